//! A document that comes back after a deletion: history knows the bytes it had.
//!
//! What the engine hands over is a value, and a value does not say how it was spelled: white space,
//! `1.50`, escapes. Where an older entry of the record holds the same value, its text is used again,
//! for the live row and for the new entry.

use cfg_engine::Value;
use cfg_engine::adapter::{AdapterError, LiveWrite};
use rusqlite::{OptionalExtension, params};

use crate::connection::Conn;
use crate::errors::OrAdapterError;
use crate::prepare::{EntryRow, PreparedChange};

/// What the newest older entry with the same content holds.
#[derive(Debug)]
pub(crate) struct Returning {
    doc: String,
    native: Option<String>,
}

/// Finds the texts of a seeded document that the record had before.
pub(crate) fn find(
    conn: &Conn,
    change: &PreparedChange,
    record_no: Option<i64>,
) -> Result<Option<Returning>, AdapterError> {
    let oid = change.entries.last().and_then(|entry| entry.oid);
    let (LiveWrite::Seed(_) | LiveWrite::Activate { .. }, Some(record_no), Some(oid)) = (&change.live, record_no, oid)
    else {
        return Ok(None);
    };
    let sql = format!(
        "SELECT doc, doc_native FROM {} WHERE record_no = ?1 AND oid = ?2 AND doc IS NOT NULL ORDER BY seq DESC LIMIT 1",
        conn.shared.names.history
    );
    let read = |row: &rusqlite::Row<'_>| Ok(Returning { doc: row.get(0)?, native: row.get(1)? });
    conn.statement(&sql)?.query_row(params![record_no, oid], read).optional().sql()
}

impl Returning {
    /// Returns the text of a document's column.
    pub(crate) fn text_of(&self, doc: &Value) -> Option<&str> {
        (self.native.is_none() && reads_as(&self.doc, doc)).then_some(self.doc.as_str())
    }

    /// Returns the text of a JSON column of a row.
    pub(crate) fn text_of_column(&self, column: &str, value: &Value) -> Option<String> {
        let texts = Value::from_json(self.native.as_deref()?).ok()?;
        let text = texts.get(column)?.as_str()?;
        reads_as(text, value).then(|| text.to_owned())
    }

    /// Returns the document and the texts to be stored with a new entry.
    pub(crate) fn for_entry<'r>(&'r self, entry: &'r EntryRow) -> (Option<&'r str>, Option<&'r str>) {
        let own = (entry.doc.as_deref(), entry.doc_native.as_deref());
        let (Some(doc), native) = own else { return own };
        let same = match (native, &self.native) {
            (None, None) => Value::from_json(doc).is_ok_and(|doc| reads_as(&self.doc, &doc)),
            (Some("{}"), Some(_)) => doc == self.doc,
            _ => false,
        };
        if same { (Some(&self.doc), self.native.as_deref()) } else { own }
    }
}

fn reads_as(text: &str, value: &Value) -> bool {
    Value::from_json(text).is_ok_and(|read| read == *value)
}
