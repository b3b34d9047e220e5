//! What a live row holds: the document, the oid, and the row as it was read.

use std::sync::Arc;

use cfg_engine::Value;
use cfg_engine::adapter::{AdapterError, Capabilities, Live, LiveDigest, LiveDoc, NativeImage, RecordState};
use cfg_engine::document::{FieldPolicy, PathChange, oid};
use cfg_engine::history::RecordKey;
use tokio_postgres::Row;

use crate::column::Cell;
use crate::errors::{OrAdapterError, STORE, damaged};
use crate::table::LiveTable;
use crate::{array, doc_shape, row_shape};

/// A live document in the store's own form.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Native {
    /// The text of the document's column.
    Doc(Arc<str>),
    /// The texts of the row's columns.
    Row(Arc<[Cell]>),
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

    /// Returns the image of an opaque one.
    pub(crate) fn of<'i>(image: &'i NativeImage, record: &RecordKey) -> Result<&'i Image, AdapterError> {
        image.get::<Image>().ok_or_else(|| damaged(format!("an image of another store for {record}")))
    }

    /// The text that a row's document is compared by.
    pub(crate) fn text(&self) -> String {
        match &self.native {
            Native::Doc(text) => text.to_string(),
            Native::Row(cells) => array::text(cells),
        }
    }

    /// Whether `there` has the versioned part of this image, and exactly its values where `changes` write.
    pub(crate) fn unmoved(&self, there: &Image, changes: &[PathChange]) -> bool {
        if self.native == there.native && (Arc::ptr_eq(&self.table, &there.table) || self.table.doc.is_some()) {
            return true;
        }
        let (Ok(seen), Ok(now)) = (self.value(), there.value()) else { return false };
        let policy: &FieldPolicy = &there.table.config.policy;
        let same_versioned = matches!((oid(&seen, policy), oid(&now, policy)), (Ok(a), Ok(b)) if a == b);
        same_versioned && changes.iter().all(|change| change.path.get(&seen) == change.path.get(&now))
    }
}

/// SQL for the text that [`Image::text`] is compared with.
pub(crate) fn text_sql(table: &LiveTable, prefix: &str) -> String {
    match table.doc {
        Some(at) => table.columns[at].read_sql(prefix),
        None => {
            let cells: Vec<String> = table.columns.iter().map(|column| column.read_sql(prefix)).collect();
            format!("ARRAY[{}]::text[]", cells.join(", "))
        }
    }
}

/// SQL that compares a row's document with the text of an image.
pub(crate) fn is_image(table: &LiveTable, prefix: &str, image: &str) -> String {
    match table.doc {
        Some(_) => format!("{} COLLATE \"C\" = {image}", text_sql(table, prefix)),
        None => format!("{} IS NOT DISTINCT FROM {image}::text[]", text_sql(table, prefix)),
    }
}

/// Takes a row's document as the store holds it; `first` is the place of its first column. Also says about
/// how many bytes it has.
pub(crate) fn native(
    table: &LiveTable,
    row: &Row,
    first: usize,
) -> Result<(Result<Native, String>, usize), AdapterError> {
    if let Some(at) = table.doc {
        let text: Option<&str> = row.try_get(first).sql()?;
        return Ok(match text {
            Some(text) => (Ok(Native::Doc(Arc::from(text))), text.len()),
            None => (Err(format!("column {} is NULL; set it to a JSON object", table.columns[at].name)), 0),
        });
    }
    let cells = (0..table.columns.len()).map(|n| row.try_get(first + n).sql());
    let cells = cells.collect::<Result<Vec<Cell>, _>>()?;
    let bytes = cells.iter().map(|cell| cell.as_ref().map_or(1, String::len)).sum();
    Ok((Ok(Native::Row(cells.into())), bytes))
}

/// Takes the one live row of a record, neither parsed nor hashed: that happens where the stream is consumed.
pub(crate) fn take(table: &Arc<LiveTable>, row: &Row, first: usize) -> Result<(Live<Image>, usize), AdapterError> {
    let (native, bytes) = native(table, row, first)?;
    let limit = Capabilities::transactional(STORE).max_document_bytes;
    let live = match native {
        // No version of it could be stored.
        Ok(_) if bytes > limit => Live::Unreadable {
            reason: format!("the document has {bytes} bytes, more than the {limit} the store takes"),
        },
        Ok(native) => Live::One(Image { table: Arc::clone(table), native }),
        Err(reason) => Live::Unreadable { reason },
    };
    Ok((live, bytes))
}

/// Parses and hashes what a read took.
pub(crate) fn finish(state: RecordState<Image>) -> RecordState {
    let live = match state.live {
        Live::One(image) => match image.value() {
            Ok(value) => {
                match image.table.doc.and_then(|_| image.table.config.disagreeing_id(&state.record.id, &value)) {
                    Some(field) => Live::Unreadable {
                        reason: format!("the document carries another id in {field} than its row has"),
                    },
                    None => {
                        let table = Arc::clone(&image.table);
                        Live::One(LiveDoc::new(value, NativeImage::new(image), &table.config.policy))
                    }
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
pub(crate) fn digest(state: RecordState<Image>) -> RecordState<LiveDigest> {
    let quick = match &state.live {
        Live::One(Image { table, native: Native::Doc(text) }) => table.config.quick_oid(&state.record.id, text),
        _ => None,
    };
    match quick {
        Some(oid) => state.digested(oid),
        None => finish(state).into(),
    }
}
