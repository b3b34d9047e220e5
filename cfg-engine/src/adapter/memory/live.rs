//! Live rows: their id, their document, and which of them is the live one.

use std::collections::BTreeMap;

use super::store::Table;
use crate::adapter::{AdapterError, Live, LiveDoc, NativeImage, Strays};
use crate::config::{CollectionConfig, Shape};
use crate::document::{FieldPath, Object, Step, Value};
use crate::history::{IdKey, RecordKey};

/// Returns the id of a row or document: its one id field, or an object of its id fields.
pub(super) fn id_of(collection: &CollectionConfig, row: &Value) -> Option<IdKey> {
    let id = match collection.id_fields.as_slice() {
        [field] => row.get(field)?.clone(),
        fields => {
            let members = fields.iter().map(|field| Some((field.clone(), row.get(field)?.clone())));
            Value::Object(members.collect::<Option<Object>>()?)
        }
    };
    IdKey::from_value(&id).ok()
}

/// Returns the document that a row holds.
///
/// # Errors
///
/// Why there is none, without values.
pub(super) fn document<'r>(collection: &CollectionConfig, row: &'r Value) -> Result<&'r Value, String> {
    let doc = match collection.shape {
        Shape::Row => row,
        Shape::Doc => match row.get(&collection.doc_column) {
            Some(doc) => doc,
            None => return Err(format!("column {} is empty", collection.doc_column)),
        },
    };
    match doc {
        Value::Object(_) => Ok(doc),
        other => Err(format!("a document must be an object, this is: {}", other.type_name())),
    }
}

/// Returns the document in a row for changing.
pub(super) fn document_mut<'r>(collection: &CollectionConfig, row: &'r mut Value) -> Option<&'r mut Value> {
    match collection.shape {
        Shape::Row => Some(row),
        Shape::Doc => row.as_object_mut()?.get_mut(&collection.doc_column),
    }
}

/// The rows of one id, each with its place: those that satisfy the live rule, and the others.
#[derive(Default)]
pub(super) struct RowsOfId<'t> {
    pub(super) live: Vec<(u64, &'t Value)>,
    pub(super) outside: Vec<(u64, &'t Value)>,
}

/// Sorts a table's rows by id. A row without a usable id is no record.
pub(super) fn by_id<'t>(collection: &CollectionConfig, table: Option<&'t Table>) -> BTreeMap<IdKey, RowsOfId<'t>> {
    let mut found: BTreeMap<IdKey, RowsOfId<'t>> = BTreeMap::new();
    for (place, row) in table.into_iter().flat_map(|table| &table.rows) {
        let Some(id) = id_of(collection, row) else { continue };
        let rows = found.entry(id).or_default();
        if collection.live_when.matches(row) {
            rows.live.push((*place, row));
        } else {
            rows.outside.push((*place, row));
        }
    }
    found
}

/// Counts the live rows without a usable id.
pub(super) fn strays(collection: &CollectionConfig, table: Option<&Table>) -> Option<Strays> {
    let rows = table.into_iter().flat_map(|table| table.rows.values());
    let stray = |row: &&Value| collection.live_when.matches(row) && id_of(collection, row).is_none();
    let rows = rows.filter(stray).count() as u64;
    (rows > 0).then(|| Strays {
        collection: collection.name.clone(),
        rows,
        reason: format!("{rows} without text, a whole number, an ObjectId or a UUID in it"),
        hint: format!("give each row of {} an id of its own", collection.table),
    })
}

impl RowsOfId<'_> {
    /// Returns what the rows of one id mean.
    pub(super) fn state(&self, collection: &CollectionConfig) -> Live {
        match self.live.as_slice() {
            [] => Live::Absent { outside_rule: self.outside.len() as u64 },
            [(_, row)] => match document(collection, row) {
                Ok(doc) => {
                    Live::One(LiveDoc::new(doc.clone(), NativeImage::new(Row((*row).clone())), &collection.policy))
                }
                Err(reason) => Live::Unreadable { reason },
            },
            rows => Live::Ambiguous { rows: rows.len() as u64 },
        }
    }
}

/// The native form of a live document: the whole row.
pub(super) struct Row(pub(super) Value);

/// Returns where a value that plain JSON cannot say stands first, and what it is.
pub(super) fn first_extended(value: &Value, at: FieldPath) -> Option<(FieldPath, &'static str)> {
    match value {
        Value::Extended(extended) => Some((at, extended.type_name())),
        Value::Array(items) => {
            items.iter().enumerate().find_map(|(n, item)| first_extended(item, at.join(Step::Index(n))))
        }
        Value::Object(object) => {
            object.iter().find_map(|(key, member)| first_extended(member, at.join(Step::Key(key.clone()))))
        }
        _ => None,
    }
}

/// Refuses a document beyond the store's limit.
pub(super) fn check_size(record: &RecordKey, doc: &Value, limit: usize) -> Result<(), AdapterError> {
    let bytes = doc.to_interchange().len();
    if bytes > limit {
        return Err(AdapterError::TooLarge { record: record.clone(), bytes, limit });
    }
    Ok(())
}
