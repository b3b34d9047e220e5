//! Rows of the engine's own tables that belong to no record: nothing else would ever read them.

use cfg_engine::adapter::{AdapterError, StoreFinding};

use crate::connection::Conn;
use crate::errors::OrAdapterError;

/// Counts entries and heads whose row in the table of records is gone. Which record they were of cannot be
/// known: an id is in no other table, and the hash that it went into cannot be turned around.
pub(crate) fn check(conn: &Conn) -> Result<Vec<StoreFinding>, AdapterError> {
    let (_snapshot, catalog) = conn.snapshot()?;
    if !catalog.has_history()? {
        return Ok(Vec::new());
    }
    let names = &conn.shared.names;
    let mut found = Vec::new();
    for (table, what) in [(&names.history, "entries"), (&names.heads, "a head")] {
        let sql = format!(
            "SELECT h.record_no, count(*) FROM {table} h LEFT JOIN {records} r ON r.record_no = h.record_no \
             WHERE r.record_no IS NULL GROUP BY h.record_no ORDER BY h.record_no",
            records = names.records
        );
        let mut statement = conn.statement(&sql)?;
        let mut rows = statement.query([]).sql()?;
        while let Some(row) = rows.next().sql()? {
            let (number, count): (i64, i64) = (row.get(0).sql()?, row.get(1).sql()?);
            let count = if what == "entries" { format!("{count} {what}") } else { what.to_owned() };
            found.push(StoreFinding {
                record: None,
                seq: None,
                code: "orphan",
                problem: format!("{count} of record number {number}, which is not in the table of records"),
                repair: None,
                is_mended: false,
            });
        }
    }
    Ok(found)
}
