//! What a live row holds: the document, the oid, and the row as it was read.

use std::sync::Arc;

use cfg_engine::Value;
use cfg_engine::adapter::{Capabilities, Live, LiveDigest, LiveDoc, NativeImage, RecordState};
use rusqlite::Row;
use rusqlite::types::{Value as Cell, ValueRef};

use crate::doc_shape;
use crate::errors::STORE;
use crate::row_shape;
use crate::table::LiveTable;

/// A live document in the store's own form.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Native {
    /// The text of the document's column.
    Doc(Arc<str>),
    /// The cells of the row, column by column.
    Row(Vec<Cell>),
}

/// An image together with the table it was read from, which says what its cells are.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    pub(crate) table: Arc<LiveTable>,
    pub(crate) native: Native,
}

impl Image {
    /// Returns the document.
    ///
    /// # Errors
    ///
    /// Why it cannot be read, without values.
    pub(crate) fn value(&self) -> Result<Value, String> {
        match &self.native {
            Native::Doc(text) => doc_shape::parse(&self.table, text),
            Native::Row(cells) => row_shape::read(&self.table, cells),
        }
    }
}

/// Takes a row's document as the store holds it; `first` is the place of its first column. Also says
/// about how many bytes it has.
pub(crate) fn native(table: &LiveTable, row: &Row<'_>, first: usize) -> (Result<Native, String>, usize) {
    match table.doc {
        Some(at) => doc_shape::native(&table.columns[at], row.get_ref(first)),
        None => {
            let mut bytes = 0;
            let mut cells = Vec::with_capacity(table.columns.len());
            for (n, column) in table.columns.iter().enumerate() {
                let cell = match row.get_ref(first + n) {
                    Ok(ValueRef::Text(text)) => match std::str::from_utf8(text) {
                        Ok(text) => Cell::Text(text.to_owned()),
                        Err(_) => return (Err(format!("column {} is not UTF-8 text", column.name)), bytes),
                    },
                    Ok(ValueRef::Blob(blob)) => Cell::Blob(blob.to_vec()),
                    Ok(ValueRef::Integer(n)) => Cell::Integer(n),
                    Ok(ValueRef::Real(n)) => Cell::Real(n),
                    Ok(ValueRef::Null) | Err(_) => Cell::Null,
                };
                bytes += match &cell {
                    Cell::Text(text) => text.len(),
                    Cell::Blob(blob) => blob.len(),
                    _ => 8,
                };
                cells.push(cell);
            }
            (Ok(Native::Row(cells)), bytes)
        }
    }
}

/// The one live row of a record as a reading thread hands it on: neither parsed nor hashed yet.
///
/// Parsing and hashing happen where the stream is consumed, so that they run beside the next read.
pub(crate) type Raw = Image;

/// Takes the one live row of a record, and says about how many bytes it has.
pub(crate) fn take(table: &Arc<LiveTable>, row: &Row<'_>, first: usize) -> (Live<Raw>, usize) {
    let (native, bytes) = native(table, row, first);
    let limit = Capabilities::transactional(STORE).max_document_bytes;
    let live = match native {
        // No version of it could be stored.
        Ok(_) if bytes > limit => Live::Unreadable {
            reason: format!("the document has {bytes} bytes, more than the {limit} the store takes"),
        },
        Ok(native) => Live::One(Image { table: Arc::clone(table), native }),
        Err(reason) => Live::Unreadable { reason },
    };
    (live, bytes)
}

/// Parses and hashes what a reading thread took.
pub(crate) fn finish(state: RecordState<Raw>) -> RecordState {
    let live = match state.live {
        Live::One(image) => match image.value() {
            Ok(value) => {
                let table = Arc::clone(&image.table);
                // In the row shape the id is the row's own.
                let other_id = table.doc.and_then(|_| table.config.disagreeing_id(&state.record.id, &value));
                match other_id {
                    None => Live::One(LiveDoc::new(value, NativeImage::new(image), &table.config.policy)),
                    Some(field) => Live::Unreadable {
                        reason: format!("the document carries another id in {field} than its row has"),
                    },
                }
            }
            Err(reason) => Live::Unreadable { reason },
        },
        Live::Absent { outside_rule } => Live::Absent { outside_rule },
        Live::Ambiguous { rows } => Live::Ambiguous { rows },
        Live::Unreadable { reason } => Live::Unreadable { reason },
        // The enum may grow; what this adapter never makes cannot come.
        _ => Live::Unreadable { reason: "a state that this store does not have".to_owned() },
    };
    RecordState { record: state.record, live, head: state.head, clock: state.clock }
}

/// As [`finish`], where only the address is asked for.
pub(crate) fn digest(state: RecordState<Raw>) -> RecordState<LiveDigest> {
    let quick = match &state.live {
        Live::One(Image { table, native: Native::Doc(text) }) => table.config.quick_oid(&state.record.id, text),
        _ => None,
    };
    match quick {
        Some(oid) => state.digested(oid),
        None => finish(state).into(),
    }
}
