//! The doc shape: one `json` or `jsonb` column holds the document.

use cfg_engine::Value;
use cfg_engine::adapter::AdapterError;
use cfg_engine::document::{Edit, EditError, FieldPath, PathChange, edit_json_text};
use cfg_engine::history::RecordKey;

use crate::column::{Kind, Misfit, find_beyond_json};
use crate::table::LiveTable;

/// Reads the text of a document's column: plain JSON, in which no wrapper has a meaning.
pub(crate) fn parse(table: &LiveTable, text: &str) -> Result<Value, String> {
    let column = table.doc.map_or("doc", |at| table.columns[at].name.as_str());
    match Value::from_json(text) {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(other) => Err(format!("column {column}: a document must be an object, this is: {}", other.type_name())),
        Err(error) => Err(format!("column {column}: {error}")),
    }
}

/// Refuses what the column cannot hold, or a document that names another id than its record's.
pub(crate) fn check(table: &LiveTable, record: &RecordKey, doc: &Value) -> Result<(), AdapterError> {
    if doc.as_object().is_none() {
        return Err(Misfit::new(&FieldPath::root(), doc.type_name()).of(record));
    }
    check_value(table, doc, FieldPath::root()).map_err(|misfit| misfit.of(record))?;
    match table.config.disagreeing_id(&record.id, doc) {
        Some(field) => Err(Misfit::new(&FieldPath::key(field), "another id").of(record)),
        None => Ok(()),
    }
}

fn check_value(table: &LiveTable, value: &Value, at: FieldPath) -> Result<(), Misfit> {
    let jsonb = table.doc.is_some_and(|at| table.columns[at].kind == Kind::Jsonb);
    match find_beyond_json(value, at, jsonb) {
        Some((path, what)) => Err(Misfit::new(&path, what)),
        None => Ok(()),
    }
}

/// Refuses changes that put into the column what it cannot hold.
pub(crate) fn check_changes(table: &LiveTable, record: &RecordKey, changes: &[PathChange]) -> Result<(), AdapterError> {
    for change in changes {
        if let Edit::Set(value) = &change.edit {
            check_value(table, value, change.path.clone()).map_err(|misfit| misfit.of(record))?;
        }
        // A new member's name is in its path and not in its value.
        let steps = change.path.steps();
        let odd = steps.iter().any(|step| matches!(step, cfg_engine::document::Step::Key(key) if key.contains('\0')));
        let jsonb = table.doc.is_some_and(|at| table.columns[at].kind == Kind::Jsonb);
        if odd && jsonb && matches!(change.edit, Edit::Set(_)) {
            return Err(Misfit::new(&change.path, "the character U+0000 in a name").of(record));
        }
    }
    Ok(())
}

/// Edits the text of a document, leaving what no change reaches as it is.
pub(crate) fn edit(text: &str, changes: &[PathChange]) -> Result<String, EditError> {
    if changes.is_empty() {
        return Ok(text.to_owned());
    }
    edit_json_text(text, changes)
}
