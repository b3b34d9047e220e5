//! Rows of one id that take turns: the live one steps back, another one becomes live.

use cfg_engine::Value;
use cfg_engine::adapter::AdapterError;
use cfg_engine::document::{Object, oid};
use rusqlite::params_from_iter;
use rusqlite::types::Value as Cell;

use crate::errors::OrAdapterError;
use crate::live::{self, Image};
use crate::live_write::{Found, Writing};
use crate::returning::Returning;
use crate::sql::quoted;

/// Retires the live row, then promotes a row that has the content already, or inserts one.
pub(crate) fn activate(
    writing: &Writing<'_>,
    mut rows: Vec<Found>,
    retire: &Object,
    doc: &Value,
    before: Option<&Returning>,
) -> Result<(), AdapterError> {
    let promoted = outside(writing, doc)?;
    match (rows.pop(), rows.len()) {
        (None, _) => {}
        (Some(row), 0) => {
            let fields = retire.iter().map(|(field, value)| (field.as_str(), value));
            set(writing, &row.locator, fields)?;
            if !writing.live_rows()?.is_empty() {
                return Err(writing.live_rule());
            }
        }
        (Some(_), others) => return Err(writing.ambiguous(others + 1)),
    }
    match promoted {
        Some(locator) => set(writing, &locator, writing.table.config.live_when.equality_pairs()),
        None => writing.seed(doc, before),
    }
}

/// Sets columns of one row.
fn set<'f>(
    writing: &Writing<'_>,
    locator: &[Cell],
    fields: impl Iterator<Item = (&'f str, &'f Value)>,
) -> Result<(), AdapterError> {
    let table = writing.table;
    let mut columns = Vec::new();
    let mut params = Vec::new();
    for (field, value) in fields {
        let cell = table.column(field).and_then(|_| crate::rule::cell(value)).ok_or_else(|| writing.live_rule())?;
        params.push(cell);
        columns.push(format!("{} = ?{}", quoted(field), params.len()));
    }
    if columns.is_empty() {
        return Err(writing.live_rule());
    }
    let sql = format!(
        "UPDATE {} SET {} WHERE {}",
        quoted(&table.config.table),
        columns.join(", "),
        table.locator(params.len() + 1)
    );
    params.extend(locator.iter().cloned());
    if table.rowid.is_none() {
        params.extend(table.rule.params().iter().cloned());
    }
    writing.run_one(&sql, params)
}

/// Finds a row of this id outside the rule that has the content, so that nothing is written twice. A table
/// without rowid has one row for each id, which then is the one that is found or inserted over.
fn outside(writing: &Writing<'_>, doc: &Value) -> Result<Option<Vec<Cell>>, AdapterError> {
    let table = writing.table;
    let (Some(_), Some(ids)) = (table.rowid, table.id_cells(&writing.record.id)) else { return Ok(None) };
    let policy = &table.config.policy;
    let laid = |doc: &Value| {
        let mut doc = doc.clone();
        if let (None, Some(object)) = (table.doc, doc.as_object_mut()) {
            table
                .config
                .live_when
                .equality_pairs()
                .for_each(|(field, value)| drop(object.insert(field, value.clone())));
        }
        doc
    };
    let Ok(wanted) = oid(&laid(doc), policy) else { return Ok(None) };
    let mut statement = writing.conn.statement(&table.sql.outside)?;
    let mut rows = statement.query(params_from_iter(ids.iter().chain(table.rule.params()))).sql()?;
    while let Some(row) = rows.next().sql()? {
        if table.id_of(row, 1).as_ref() != Some(&writing.record.id) {
            continue;
        }
        let (Ok(native), _) = live::native(table, row, 1 + table.id.len()) else { continue };
        let image = Image { table: std::sync::Arc::clone(table), native };
        if image.value().is_ok_and(|there| oid(&laid(&there), policy).is_ok_and(|there| there == wanted)) {
            return Ok(Some(vec![row.get(0).sql()?]));
        }
    }
    Ok(None)
}
