//! Lines of a history file, read twice: once to check all of them, once to load them in order.

/// A file of JSON lines that can be read again at random. Interfaces bring one; the engine opens no files.
pub trait HistorySource: Send {
    /// Starts from the first line again.
    ///
    /// # Errors
    ///
    /// Whatever the file system says.
    fn rewind(&mut self) -> std::io::Result<()>;

    /// Reads the next line without its end into `line`; returns the offset to read it again, or
    /// `None` at the end.
    ///
    /// # Errors
    ///
    /// `InvalidData` for a line that is not UTF-8 or too long.
    fn next_line(&mut self, line: &mut String) -> std::io::Result<Option<u64>>;

    /// Reads the line at an offset that [`next_line`](Self::next_line) returned.
    ///
    /// # Errors
    ///
    /// As [`next_line`](Self::next_line).
    fn line_at(&mut self, offset: u64, line: &mut String) -> std::io::Result<()>;
}
