//! Live rows that belong to no record, because their ids cannot be records' ids.

use std::collections::BTreeMap;

use cfg_engine::adapter::Strays;

use crate::sql::quoted;
use crate::table::LiveTable;

/// How many of the rows are named.
const ROWS_NAMED: usize = 10;

/// Counts rows without a usable id while a table is read.
#[derive(Debug, Default)]
pub(crate) struct StrayRows {
    reasons: BTreeMap<&'static str, u64>,
    /// Where to find some of them.
    some: Vec<i64>,
}

impl StrayRows {
    pub(crate) fn add(&mut self, reason: &'static str, rowid: Option<i64>) {
        *self.reasons.entry(reason).or_default() += 1;
        self.some.extend(rowid.filter(|_| self.some.len() < ROWS_NAMED));
    }

    /// Says how many there are, why, and how to find them; `None` where there is none.
    pub(crate) fn report(&self, table: &LiveTable) -> Option<Strays> {
        let rows = self.reasons.values().sum();
        if rows == 0 {
            return None;
        }
        let reasons: Vec<String> = self.reasons.iter().map(|(reason, n)| format!("{n} {reason}")).collect();
        let fields: Vec<String> = table.config.id_fields.iter().map(|field| quoted(field)).collect();
        let shown: Vec<String> = fields.iter().map(|field| format!("typeof({field}), quote({field})")).collect();
        let some: Vec<String> = self.some.iter().map(i64::to_string).collect();
        let filter = match (table.rowid, some.is_empty()) {
            (Some(rowid), false) => format!(" WHERE {rowid} IN ({})", some.join(", ")),
            _ => String::new(),
        };
        Some(Strays {
            collection: table.config.name.clone(),
            rows,
            reason: reasons.join(", "),
            hint: format!(
                "look at them and give them ids: SELECT {} FROM {}{filter};",
                shown.join(", "),
                quoted(&table.config.table)
            ),
        })
    }
}
