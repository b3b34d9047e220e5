//! The doc shape: one column holds the document as JSON text.

use std::sync::Arc;

use cfg_engine::Value;
use cfg_engine::adapter::AdapterError;
use cfg_engine::document::{EditError, FieldPath, PathChange, edit_json_text};
use cfg_engine::history::RecordKey;
use rusqlite::types::ValueRef;

use crate::cell::{Column, find_beyond_json};
use crate::live::Native;
use crate::table::LiveTable;

/// Takes the text of the document's column.
pub(crate) fn native(column: &Column, cell: rusqlite::Result<ValueRef<'_>>) -> (Result<Native, String>, usize) {
    let name = &column.name;
    match cell {
        Ok(ValueRef::Text(bytes)) => match std::str::from_utf8(bytes) {
            Ok(text) => (Ok(Native::Doc(Arc::from(text))), bytes.len()),
            Err(_) => (Err(format!("column {name} is not UTF-8 text")), bytes.len()),
        },
        Ok(ValueRef::Null) => (Err(format!("column {name} is NULL; set it to a JSON object")), 0),
        Ok(ValueRef::Blob(bytes)) => (Err(column.holds_blob()), bytes.len()),
        Ok(ValueRef::Integer(_) | ValueRef::Real(_)) => {
            (Err(format!("column {name} holds a number; a document must be a JSON object")), 8)
        }
        Err(_) => (Err(format!("column {name} cannot be read")), 0),
    }
}

/// Reads the text of a document's column: plain JSON, in which no wrapper has a meaning.
pub(crate) fn parse(table: &LiveTable, text: &str) -> Result<Value, String> {
    let column = table.doc.map_or("doc", |at| table.columns[at].name.as_str());
    match Value::from_json(text) {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(other) => Err(format!("column {column}: a document must be an object, this is: {}", other.type_name())),
        Err(error) => Err(format!("column {column}: {error}")),
    }
}

/// Refuses what a JSON column cannot hold, or a document that names another id than its record's.
pub(crate) fn check(table: &LiveTable, record: &RecordKey, doc: &Value) -> Result<(), AdapterError> {
    let unstorable = |path: &FieldPath, what: &str| AdapterError::Unstorable {
        record: record.clone(),
        path: path.to_string(),
        what: what.to_owned(),
    };
    if doc.as_object().is_none() {
        return Err(unstorable(&FieldPath::root(), doc.type_name()));
    }
    if let Some((path, what)) = find_beyond_json(doc, FieldPath::root()) {
        return Err(unstorable(&path, what));
    }
    match table.config.disagreeing_id(&record.id, doc) {
        Some(field) => Err(unstorable(&FieldPath::key(field), "another id")),
        None => Ok(()),
    }
}

/// Edits the text of a document, leaving what no change reaches as it is.
pub(crate) fn edit(text: &str, changes: &[PathChange]) -> Result<String, EditError> {
    if changes.is_empty() {
        return Ok(text.to_owned());
    }
    edit_json_text(text, changes)
}
