//! One versioned collection: where its live documents are, and how one is found.

use std::sync::Arc;

use bson::raw::{RawDocument, RawDocumentBuf};
use bson::{Bson, Document, doc};
use cfg_engine::Value;
use cfg_engine::adapter::{AdapterError, Live, LiveDoc, NativeImage};
use cfg_engine::config::{CollectionConfig, Shape};
use cfg_engine::document::{Number, Object, Oid, PathChange, oid};
use cfg_engine::history::{IdKey, NameError, RecordKey};

use crate::rule;
use crate::values;

/// The most bytes that one document, live or stored, may have: what MongoDB takes, less room for what
/// an entry holds beside its document and for the command that carries it.
pub(crate) const MAX_DOCUMENT_BYTES: usize = 16 * 1024 * 1024 - 64 * 1024;

/// A document as the server sent it.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    pub(crate) raw: RawDocumentBuf,
    /// What it says, as [`LiveTable::value`] reads it.
    pub(crate) seen: Arc<Value>,
}

/// A collection of live documents.
#[derive(Debug)]
pub(crate) struct LiveTable {
    /// The configuration, completed.
    pub(crate) config: CollectionConfig,
    /// The field `_id` is not the record's id: as a table's rowid it says where a document is and is no
    /// part of it. It is neither shown nor versioned, it stays where the document stays, and what history
    /// stores has it.
    pub(crate) hides_id: bool,
}

impl LiveTable {
    pub(crate) fn new(config: &CollectionConfig) -> Self {
        let mut config = config.clone();
        // A document is the record here, with its id and the fields of the live rule in it.
        config.shape = Shape::Row;
        let hides_id = !config.id_fields.iter().any(|field| field == "_id");
        if hides_id {
            config.policy = config.policy.with_ignored_field("_id");
        }
        LiveTable { config, hides_id }
    }

    /// Reads what a live document holds for the engine.
    ///
    /// # Errors
    ///
    /// Why it cannot be read, without values.
    pub(crate) fn value(&self, raw: &RawDocument) -> Result<Value, String> {
        let mut value = values::read_document(raw)?;
        if self.hides_id
            && let Some(object) = value.as_object_mut()
        {
            object.remove("_id");
        }
        Ok(value)
    }

    /// Returns the record id that a document holds; `None` for what cannot be an id.
    pub(crate) fn id_of(&self, raw: &RawDocument) -> Option<IdKey> {
        self.id_or_reason(raw).ok()
    }

    /// As [`id_of`](Self::id_of), with the reason why there is none.
    pub(crate) fn id_or_reason(&self, raw: &RawDocument) -> Result<IdKey, &'static str> {
        let part = |field: &String| match raw.get(field) {
            Ok(None) => Err("absent"),
            Ok(Some(value)) => match values::read(value) {
                Ok(Value::Null) => Err("null"),
                Ok(value) => Ok(value),
                Err(_) => Err("unreadable"),
            },
            Err(_) => Err("unreadable"),
        };
        let id = match self.config.id_fields.as_slice() {
            [field] => part(field)?,
            fields => {
                let members = fields.iter().map(|field| Ok((field.clone(), part(field)?)));
                Value::Object(members.collect::<Result<Object, &'static str>>()?)
            }
        };
        IdKey::from_value(&id).map_err(|error| match error {
            NameError::IdTooLong => "longer than an id may be",
            _ => "a number with a fraction or another value that no id has",
        })
    }

    /// Returns the value of each id field for a record's id.
    pub(crate) fn id_values(&self, id: &IdKey) -> Option<Vec<(String, Value)>> {
        let id = id.to_value();
        match self.config.id_fields.as_slice() {
            [field] => Some(vec![(field.clone(), id)]),
            fields => fields.iter().map(|field| Some((field.clone(), id.get(field)?.clone()))).collect(),
        }
    }

    /// Returns a filter that all documents with one of these ids pass, and perhaps some others.
    pub(crate) fn with_ids<'i>(&self, ids: impl Iterator<Item = &'i IdKey>) -> Document {
        let mut alternatives: Vec<Bson> = Vec::new();
        let mut plain: Vec<Bson> = Vec::new();
        for id in ids {
            let Some(parts) = self.id_values(id) else { continue };
            match parts.as_slice() {
                [(_, value)] if !matches!(value, Value::Object(_)) => plain.extend(spellings(value)),
                parts => {
                    let mut all = Document::new();
                    parts.iter().for_each(|(field, value)| id_terms(&mut all, field, value));
                    alternatives.push(all.into());
                }
            }
        }
        if !plain.is_empty() {
            let field = self.config.id_fields.first().cloned().unwrap_or_default();
            let plain: Bson = if plain.len() == 1 { plain.remove(0) } else { doc! { "$in": plain }.into() };
            let term = Document::from_iter([(field, plain)]);
            if alternatives.is_empty() {
                return term;
            }
            alternatives.push(term.into());
        }
        match (alternatives.len(), alternatives.first()) {
            (1, Some(Bson::Document(only))) => only.clone(),
            // Nothing was asked for, or nothing that can be here.
            (0, _) => doc! { "$nor": [{}] },
            _ => doc! { "$or": alternatives },
        }
    }

    /// Returns whether a document satisfies the live rule.
    pub(crate) fn is_live(&self, value: &Value) -> bool {
        self.config.live_when.matches(value)
    }

    /// Reads only what the live rule needs, and says whether a document satisfies it.
    pub(crate) fn is_live_raw(&self, raw: &RawDocument) -> bool {
        if self.config.live_when.is_empty() {
            return true;
        }
        let named = |(field, _): &(String, _)| {
            let value = values::read(raw.get(field).ok()??).ok()?;
            Some((field.clone(), value))
        };
        let fields: Object = self.config.live_when.conditions().iter().filter_map(named).collect();
        self.is_live(&Value::Object(fields))
    }

    /// Returns a filter that all live documents pass, and perhaps some others.
    pub(crate) fn live_filter(&self) -> Document {
        rule::filter(&self.config.live_when)
    }

    /// Reads the one live document of a record.
    pub(crate) fn one(&self, raw: RawDocumentBuf) -> Live {
        let bytes = raw.as_bytes().len();
        if bytes > MAX_DOCUMENT_BYTES {
            // No version of it could be stored.
            let limit = MAX_DOCUMENT_BYTES;
            return Live::Unreadable {
                reason: format!("the document has {bytes} bytes, more than the {limit} that history takes"),
            };
        }
        match self.value(&raw) {
            Ok(value) => {
                let (oid, seen) = (oid(&value, &self.config.policy), Arc::new(value));
                let image = NativeImage::new(Image { raw, seen: Arc::clone(&seen) });
                Live::One(LiveDoc { value: seen, oid, image })
            }
            Err(reason) => Live::Unreadable { reason },
        }
    }

    /// Returns the oid of an ordinary live document, read from its bytes.
    pub(crate) fn quick_oid(&self, raw: &RawDocument) -> Option<Oid> {
        if raw.as_bytes().len() > MAX_DOCUMENT_BYTES {
            return None;
        }
        values::quick_oid(raw, &self.config.policy)
    }

    /// Whether the versioned part is that of the image, and the values to be written over are exactly
    /// those of the image.
    pub(crate) fn unmoved(&self, image: &Image, there: &RawDocument, changes: &[PathChange]) -> bool {
        if image.raw.as_bytes() == there.as_bytes() {
            return true;
        }
        let Ok(there) = self.value(there) else { return false };
        let (policy, seen) = (&self.config.policy, &*image.seen);
        let same_versioned = matches!((oid(seen, policy), oid(&there, policy)), (Ok(a), Ok(b)) if a == b);
        same_versioned && changes.iter().all(|change| change.path.get(seen) == change.path.get(&there))
    }

    /// Makes the BSON of a document that was edited, out of the one it was.
    ///
    /// # Errors
    ///
    /// What BSON cannot hold.
    pub(crate) fn rewritten(&self, old: &RawDocument, new: &Value) -> Result<RawDocumentBuf, values::Misfit> {
        let empty = Object::new();
        let mut new = std::borrow::Cow::Borrowed(new.as_object().unwrap_or(&empty));
        if self.hides_id
            && let Ok(Some(id)) = old.get("_id")
            && let Ok(id) = values::read(id)
        {
            let first = std::iter::once(("_id".to_owned(), id));
            new = std::borrow::Cow::Owned(Object::from_members(first.chain(new.into_owned()).collect()));
        }
        values::rewrite(old, &new)
    }

    /// Checks that a document can be the live one of a record.
    ///
    /// # Errors
    ///
    /// [`AdapterError::Unstorable`] with the path, or [`AdapterError::TooLarge`].
    pub(crate) fn check(&self, record: &RecordKey, doc: &Value) -> Result<(), AdapterError> {
        let Some(object) = doc.as_object() else {
            return Err(unstorable(record, String::new(), doc.type_name()));
        };
        for (field, wanted) in self.id_values(&record.id).unwrap_or_default() {
            let other = |there: &Value| IdKey::from_value(there).ok() != IdKey::from_value(&wanted).ok();
            if object.get(&field).is_some_and(other) {
                return Err(unstorable(record, field, "another id"));
            }
        }
        let raw =
            values::write_object(object).map_err(|misfit| unstorable(record, misfit.path.to_string(), misfit.what))?;
        check_size(record, &raw)
    }
}

pub(crate) fn unstorable(record: &RecordKey, path: String, what: &str) -> AdapterError {
    AdapterError::Unstorable { record: record.clone(), path, what: what.to_owned() }
}

pub(crate) fn check_size(record: &RecordKey, doc: &RawDocument) -> Result<(), AdapterError> {
    let (bytes, limit) = (doc.as_bytes().len(), MAX_DOCUMENT_BYTES);
    if bytes > limit {
        return Err(AdapterError::TooLarge { record: record.clone(), bytes, limit });
    }
    Ok(())
}

/// Adds what finds the documents whose field is this part of an id.
fn id_terms(all: &mut Document, field: &str, value: &Value) {
    match value {
        // The order of an object's members is no part of an id, and it is part of equality here.
        Value::Object(object) => {
            let plain = |name: &str| !name.is_empty() && !name.contains('.') && !name.starts_with('$');
            for (name, part) in object.iter().filter(|(name, _)| plain(name)) {
                id_terms(all, &format!("{field}.{name}"), part);
            }
        }
        value => {
            let mut spellings = spellings(value);
            let term = if spellings.len() == 1 { spellings.remove(0) } else { doc! { "$in": spellings }.into() };
            all.insert(field, term);
        }
    }
}

/// Returns the values that a part of an id may be stored as. MongoDB compares numbers across their types,
/// by their exact value; a double that denotes shorter digits than it holds has two.
pub(crate) fn spellings(value: &Value) -> Vec<Bson> {
    let mut all: Vec<Bson> = values::write(value).ok().and_then(|raw| Bson::try_from(raw).ok()).into_iter().collect();
    if let Value::Number(number @ Number::Decimal(text)) = value {
        all.push(Bson::Double(number.as_f64()));
        if let Some(Number::Decimal128(text)) = Number::decimal128(text)
            && let Ok(decimal) = text.parse()
        {
            all.push(Bson::Decimal128(decimal));
        }
    }
    all
}
