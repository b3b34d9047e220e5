//! A history to load: `FILE.jsonl`, `FILE.jsonl.gz` or standard input, as lines that can be read twice.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read, Seek as _, SeekFrom};
use std::path::Path;
use std::time::SystemTime;

use cfg_engine::engine::HistorySource;
use flate2::read::MultiGzDecoder;

/// The longest line: more than any store takes as one document.
const MAX_LINE: usize = 64 * 1024 * 1024;

const BUFFER: usize = 64 * 1024;

/// A history file that is read line by line, from the start as often as needed, or at an offset.
///
/// A plain file is read where it is. What is compressed, or comes through a pipe, is first written
/// to a temporary file without a name, which is gone when this is dropped.
#[derive(Debug)]
pub struct HistoryFile {
    reader: BufReader<File>,
    /// The bytes there were at the start. What is appended later is not read.
    len: u64,
    /// When a plain file was last changed; nothing where nobody else can change it.
    modified: Option<SystemTime>,
    /// Where the text starts: behind a byte order mark.
    start: u64,
    /// Where the next line of the walk starts.
    next: u64,
    /// Where the reader stands, as long as that is known.
    at: Option<u64>,
    /// How many lines of the walk were read.
    lines: u64,
}

impl HistoryFile {
    /// Opens a file, or standard input for `-`. Whether it is compressed is seen from its first bytes.
    ///
    /// # Errors
    ///
    /// What the operating system says; [`io::ErrorKind::InvalidData`] for a damaged archive or UTF-16.
    pub fn open(path: &Path) -> io::Result<Self> {
        if path.as_os_str() == "-" {
            return Self::spool(io::stdin().lock());
        }
        let mut file = File::open(path)?;
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            return Err(invalid("it is a folder; name a file of JSON lines"));
        }
        if !metadata.is_file() {
            return Self::spool(file);
        }
        let mut magic = [0; 2];
        let compressed = file.read(&mut magic)? == 2 && magic == GZIP;
        file.rewind()?;
        if compressed {
            return Self::spool(file);
        }
        Self::over(file, metadata.len(), metadata.modified().ok())
    }

    /// Takes everything that a reader gives, compressed or not.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn spool(from: impl Read) -> io::Result<Self> {
        let mut from = BufReader::with_capacity(BUFFER, from);
        let mut spooled = tempfile::tempfile()?;
        let len = if from.fill_buf()?.starts_with(&GZIP) {
            io::copy(&mut MultiGzDecoder::new(from), &mut spooled).map_err(damaged)?
        } else {
            io::copy(&mut from, &mut spooled)?
        };
        spooled.rewind()?;
        Self::over(spooled, len, None)
    }

    fn over(file: File, len: u64, modified: Option<SystemTime>) -> io::Result<Self> {
        let mut reader = BufReader::with_capacity(BUFFER, file);
        let start = match reader.fill_buf()? {
            [0xef, 0xbb, 0xbf, ..] => 3,
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => {
                return Err(invalid("it is UTF-16; write it as UTF-8"));
            }
            _ => 0,
        };
        Ok(HistoryFile { reader, len, modified, start, next: start, at: Some(0), lines: 0 })
    }

    /// Returns the number of bytes there are, for showing progress beside the offsets.
    pub fn len_hint(&self) -> u64 {
        self.len
    }

    /// Returns the number of the line that [`next_line`](Self::next_line) read last, from 1.
    pub fn line_number(&self) -> u64 {
        self.lines
    }

    /// Starts from the first line again.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidData`] if somebody changed the file meanwhile.
    pub fn rewind(&mut self) -> io::Result<()> {
        self.check_unchanged()?;
        (self.next, self.lines) = (self.start, 0);
        Ok(())
    }

    /// Reads the next line without its end; returns the offset by which to read it again, or nothing
    /// at the end. Empty lines are lines.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidData`] for a line that is not UTF-8 or longer than 64 MB.
    pub fn next_line(&mut self, line: &mut String) -> io::Result<Option<u64>> {
        let at = self.next;
        if at >= self.len {
            line.clear();
            return Ok(None);
        }
        self.move_to(at)?;
        self.next = at + self.read_line(line)?;
        self.lines += 1;
        Ok(Some(at))
    }

    /// Reads the line at an offset that [`next_line`](Self::next_line) returned. The walk is not disturbed.
    ///
    /// # Errors
    ///
    /// As [`next_line`](Self::next_line) and [`rewind`](Self::rewind); [`io::ErrorKind::InvalidInput`]
    /// for an offset at which no line starts.
    pub fn line_at(&mut self, offset: u64, line: &mut String) -> io::Result<()> {
        self.check_unchanged()?;
        let inside = (self.start..self.len).contains(&offset);
        if !inside || (offset != self.start && self.byte_at(offset - 1)? != b'\n') {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no line starts there"));
        }
        self.move_to(offset)?;
        self.read_line(line)?;
        Ok(())
    }

    /// Moves the reader, inside its buffer where that suffices.
    fn move_to(&mut self, offset: u64) -> io::Result<()> {
        match self.at.take() {
            // Both lie within a file's length, which fits.
            Some(at) => self.reader.seek_relative(offset.cast_signed() - at.cast_signed())?,
            None => drop(self.reader.seek(SeekFrom::Start(offset))?),
        }
        self.at = Some(offset);
        Ok(())
    }

    fn byte_at(&mut self, offset: u64) -> io::Result<u8> {
        let mut byte = [0];
        self.move_to(offset)?;
        self.at = None;
        self.reader.read_exact(&mut byte)?;
        self.at = Some(offset + 1);
        Ok(byte[0])
    }

    /// Reads a line where the reader stands; returns how many bytes it took with its end.
    fn read_line(&mut self, line: &mut String) -> io::Result<u64> {
        let at = self.at.take().unwrap_or(self.len);
        let mut bytes = std::mem::take(line).into_bytes();
        bytes.clear();
        let limit = (self.len - at).min(MAX_LINE as u64 + 2);
        let taken = (&mut self.reader).take(limit).read_until(b'\n', &mut bytes)?;
        self.at = Some(at + taken as u64);
        if taken == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter while it was read"));
        }
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
            if bytes.last() == Some(&b'\r') {
                bytes.pop();
            }
        }
        if bytes.len() > MAX_LINE {
            return Err(invalid("longer than 64 MB"));
        }
        *line = String::from_utf8(bytes).map_err(|_| invalid("not UTF-8"))?;
        Ok(taken as u64)
    }

    fn check_unchanged(&self) -> io::Result<()> {
        let Some(modified) = self.modified else { return Ok(()) };
        let now = self.reader.get_ref().metadata()?;
        if now.len() == self.len && now.modified().ok() == Some(modified) {
            return Ok(());
        }
        Err(invalid("somebody changed the file while it was read; start again"))
    }
}

impl HistorySource for HistoryFile {
    fn rewind(&mut self) -> io::Result<()> {
        HistoryFile::rewind(self)
    }

    fn next_line(&mut self, line: &mut String) -> io::Result<Option<u64>> {
        HistoryFile::next_line(self, line)
    }

    fn line_at(&mut self, offset: u64, line: &mut String) -> io::Result<()> {
        HistoryFile::line_at(self, offset, line)
    }
}

const GZIP: [u8; 2] = [0x1f, 0x8b];

fn invalid(problem: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}

/// What flate2 says of an archive that ends early or is broken. Errors of the disk stay as they are.
fn damaged(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
            invalid(&format!("the compressed file is damaged or incomplete: {error}"))
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests;
