//! What only the store can see to be wrong: rows of the engine's own tables that belong to no record.

use cfg_engine::adapter::{AdapterError, StoreFinding};

use crate::connection::Conn;
use crate::errors::OrAdapterError;
use crate::sql::Params;

/// Looks for entries and heads whose record is gone. Whose they were is not known any more, so nothing is mended.
pub(crate) async fn check(conn: &Conn) -> Result<Vec<StoreFinding>, AdapterError> {
    let names = &conn.shared.names;
    let orphans = |table: &str| {
        format!(
            "(SELECT count(*) FROM {table} h WHERE NOT EXISTS (SELECT 1 FROM {} r WHERE r.record_no = h.record_no))",
            names.records
        )
    };
    let sql = format!("SELECT {}, {}", orphans(&names.history), orphans(&names.heads));
    let rows = conn.rows(&sql, &Params::default()).await.sql()?;
    let Some(row) = rows.first() else { return Ok(Vec::new()) };
    let mut findings = Vec::new();
    for (n, (what, table)) in [("entries", &names.history), ("heads", &names.heads)].into_iter().enumerate() {
        let count: i64 = row.try_get(n).sql()?;
        if count > 0 {
            findings.push(StoreFinding {
                record: None,
                seq: None,
                code: "orphan",
                problem: format!("{count} {what} in {table} belong to no record: its row in {} is gone", names.records),
                repair: None,
                is_mended: false,
            });
        }
    }
    Ok(findings)
}
