//! Small pieces of SQL: quoting, numbered parameters.

use cfg_engine::adapter::AdapterError;

use crate::errors::{OrAdapterError, storage};

/// Quotes an identifier: whatever the configuration says, it is a name and nothing else.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Returns `?first, ?first+1, …`.
pub(crate) fn placeholders(first: usize, count: usize) -> String {
    let marks: Vec<String> = (first..first + count).map(|n| format!("?{n}")).collect();
    marks.join(", ")
}

/// Reads a place in a list that a statement was given.
pub(crate) fn place(row: &rusqlite::Row<'_>, at: usize) -> Result<usize, AdapterError> {
    let place: i64 = row.get(at).sql()?;
    usize::try_from(place).map_err(|_| storage("a row that was not asked for"))
}

/// The store's clock in whole milliseconds. `unixepoch` gives a double with three decimals, which
/// times 1000 is a whole number but for the last bit.
pub(crate) const NOW: &str = "CAST(round(unixepoch('subsec') * 1000.0) AS INTEGER)";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_a_name() {
        assert_eq!(quoted(r#"a"; DROP TABLE b; --"#), r#""a""; DROP TABLE b; --""#);
        assert_eq!(placeholders(2, 3), "?2, ?3, ?4");
    }
}
