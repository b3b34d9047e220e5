//! Aligned columns.

use anstyle::Style;
use unicode_width::UnicodeWidthStr as _;

use super::style::paint;

/// A cell that is wider does not widen its column.
const WIDEST: usize = 48;

/// Rows whose columns are as wide as their widest cell.
#[derive(Debug, Default)]
pub(crate) struct Table {
    indent: usize,
    rows: Vec<Vec<(String, Style)>>,
}

impl Table {
    /// Starts a table whose rows begin after so many spaces.
    pub(crate) fn indented(indent: usize) -> Self {
        Table { indent, rows: Vec::new() }
    }

    /// Adds a row.
    pub(crate) fn row<const N: usize>(&mut self, cells: [(String, Style); N]) {
        self.rows.push(cells.into());
    }

    /// Writes the rows.
    pub(crate) fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |n: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(n)).map(|cell| cell.0.width());
            cells.filter(|width| *width <= WIDEST).max()
        };
        let widths: Vec<usize> = (0..columns).map(|n| width(n).unwrap_or(0)).collect();
        let mut out = String::new();
        for row in &self.rows {
            out.push_str(&" ".repeat(self.indent));
            let last = row.iter().rposition(|cell| !cell.0.is_empty());
            for (n, (text, style)) in row.iter().enumerate().take(last.map_or(0, |last| last + 1)) {
                out.push_str(&paint(*style, text));
                if Some(n) != last {
                    let missing = widths[n].saturating_sub(text.width());
                    // A column that is empty everywhere takes no room.
                    let gap = if widths[n] == 0 && text.is_empty() { 0 } else { 2 };
                    out.push_str(&" ".repeat(missing + gap));
                }
            }
            out.push('\n');
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_and_lines_have_no_trailing_space() {
        let mut table = Table::indented(2);
        for cells in [["a", "", "1"], ["日本", "", ""], ["abc", "", "22"]] {
            table.row(cells.map(|cell| (cell.to_owned(), Style::new())));
        }
        assert_eq!(table.render(), "  a     1\n  日本\n  abc   22\n");
    }

    #[test]
    fn a_long_cell_moves_its_own_row_only() {
        let mut table = Table::indented(0);
        let long = "x".repeat(200);
        for cells in [["a", "1"], [&long, "2"]] {
            table.row(cells.map(|cell| (cell.to_owned(), Style::new())));
        }
        assert_eq!(table.render(), format!("a  1\n{long}  2\n"));
    }
}
