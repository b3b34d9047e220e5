//! A history file that is nowhere but in memory.

use cfg_engine::engine::HistorySource;

/// Lines as a file would give them.
pub(crate) struct Lines {
    pub(crate) lines: Vec<String>,
    next: usize,
}

impl Lines {
    pub(crate) fn new(lines: Vec<String>) -> Self {
        Lines { lines, next: 0 }
    }
}

impl HistorySource for Lines {
    fn rewind(&mut self) -> std::io::Result<()> {
        self.next = 0;
        Ok(())
    }

    fn next_line(&mut self, line: &mut String) -> std::io::Result<Option<u64>> {
        let Some(text) = self.lines.get(self.next) else { return Ok(None) };
        line.clone_from(text);
        self.next += 1;
        Ok(Some(self.next as u64 - 1))
    }

    fn line_at(&mut self, offset: u64, line: &mut String) -> std::io::Result<()> {
        line.clone_from(&self.lines[usize::try_from(offset).unwrap()]);
        Ok(())
    }
}
