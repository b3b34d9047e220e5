//! A live document with its base, and the `"$cfg"` member by which a base travels in files.

use std::sync::Arc;

use super::Project;
use crate::adapter::{Live, RecordState};
use crate::document::{Object, Value};
use crate::error::Error;
use crate::history::{CollectionName, EnvName, IdKey, RecordKey, Seq};
use crate::plan::{Base, Standing};

/// A live document as it was read: secrets masked, with the base to commit it with.
#[derive(Debug, Clone)]
pub struct Document {
    /// The document, secrets as `{"$secret": true}`.
    pub doc: Value,
    /// What was HEAD when it was read.
    pub base: Base,
}

/// The name of the member that carries a base in a file.
pub(crate) const BASE_MEMBER: &str = "$cfg";

impl Base {
    /// Returns `{record, env, seq, oid}`.
    pub fn to_object(&self) -> Object {
        let record = Object::new()
            .with("collection", self.record.collection.as_str())
            .with("config_id", self.record.id.to_value());
        Object::new()
            .with("record", record)
            .with("env", self.record.env.as_str())
            .with("seq", self.seq.map(|seq| seq.0))
            .with("oid", self.oid.map(|oid| oid.to_hex()))
    }

    /// Reads what [`to_object`](Self::to_object) made.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] where it is not of that form.
    pub fn from_object(object: &Object) -> Result<Self, Error> {
        let broken = || {
            Error::refused(
                "bad_base",
                "the document's \"$cfg\" member is damaged",
                "read the document again with: cfg get   or remove the member",
            )
        };
        let text = |name: &str| object.get(name).and_then(Value::as_str);
        let record = object.get("record").ok_or_else(broken)?;
        let collection = record.get("collection").and_then(Value::as_str).ok_or_else(broken)?;
        let id = record.get("config_id").ok_or_else(broken)?;
        let seq = match object.get("seq") {
            None | Some(Value::Null) => None,
            Some(value) => Some(Seq(value.as_i64().and_then(|n| u64::try_from(n).ok()).ok_or_else(broken)?)),
        };
        let oid = match object.get("oid") {
            None | Some(Value::Null) => None,
            Some(value) => Some(value.as_str().and_then(|hex| hex.parse().ok()).ok_or_else(broken)?),
        };
        let record = RecordKey {
            env: EnvName::new(text("env").ok_or_else(broken)?)?,
            collection: CollectionName::new(collection)?,
            id: IdKey::from_value(id)?,
        };
        Ok(Base { record, seq, oid })
    }
}

impl Document {
    /// Returns `{config_id, base, doc}`.
    pub fn to_object(&self) -> Object {
        Object::new()
            .with("collection", self.base.record.collection.as_str())
            .with("config_id", self.base.record.id.to_value())
            .with("base", self.base.to_object())
            .with("doc", self.doc.clone())
    }

    /// Returns the document with its base as first member, for a file.
    pub fn to_file(&self) -> Value {
        // A document with a member of that name is written as `get` replies, which reads back as well.
        if self.doc.get(BASE_MEMBER).is_some() {
            return Value::Object(self.to_object());
        }
        let mut members = Object::new().with(BASE_MEMBER, self.base.to_object());
        if let Some(object) = self.doc.as_object() {
            for (key, value) in object {
                members.insert(key.clone(), value.clone());
            }
        }
        Value::Object(members)
    }

    pub(crate) fn of_state(project: &Project, state: &RecordState) -> Result<Document, Error> {
        let standing = Standing::of(state)?;
        let Some((live, oid)) = standing.live() else {
            return Err(match standing {
                Standing::Missing { .. } => Error::Missing { record: state.record.clone() },
                _ => Error::NoRecord { address: state.record.to_string() },
            });
        };
        let rules = project.rules(&state.record)?;
        let mut doc = live.value.as_ref().clone();
        rules.collection.policy.mask_secrets(&mut doc);
        let head = standing.head().map(|h| h.head);
        let base = Base {
            record: state.record.clone(),
            seq: head.map(|h| h.seq),
            // HEAD's content, also where live is another; without history, what was read.
            oid: head.map_or(Some(oid), |h| h.oid),
        };
        Ok(Document { doc, base })
    }
}

/// Parses a document from a file or from `get --json`: interchange text, with or without a base.
///
/// `{"config_id": …, "base": {…}, "doc": {…}}` and a first member `"$cfg"` both carry one; neither is
/// stored.
///
/// # Errors
///
/// [`Error::Refused`] for text that is no JSON object or carries a damaged base.
pub fn parse_document(text: &str) -> Result<(Value, Option<Base>), Error> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut value = Value::from_interchange(text)?;
    let type_name = value.type_name();
    let Some(object) = value.as_object_mut() else {
        return Err(Error::refused(
            "not_an_object",
            format!("the document is a JSON {type_name}, not an object"),
            "write a JSON object",
        ));
    };
    if let Some(base) = object.remove(BASE_MEMBER) {
        let base = base.as_object().map(Base::from_object).transpose()?.ok_or_else(|| {
            Error::refused("bad_base", "the document's \"$cfg\" member is damaged", "remove the member")
        })?;
        return Ok((value, Some(base)));
    }
    let is_reply = object.len() <= 4
        && matches!(object.get("doc"), Some(Value::Object(_)))
        && object.get("base").and_then(|base| base.get("record")).is_some()
        && object.contains_key("config_id");
    if is_reply && let (Some(doc), Some(Value::Object(base))) = (object.remove("doc"), object.remove("base")) {
        return Ok((doc, Some(Base::from_object(&base)?)));
    }
    Ok((value, None))
}

impl Project {
    /// Reads a live document with its base.
    ///
    /// # Errors
    ///
    /// [`Error::NoRecord`], [`Error::Missing`], or why the row cannot be read.
    pub async fn get(&self, record: &RecordKey) -> Result<Document, Error> {
        Document::of_state(self, &self.state(record).await?)
    }

    /// Reads several live documents in one round trip, in the order of record keys.
    ///
    /// # Errors
    ///
    /// Only where the store fails; a record's own trouble is its row.
    pub async fn get_many(&self, records: &[RecordKey]) -> Result<Vec<(RecordKey, Result<Document, Error>)>, Error> {
        let states = self.states(records).await?;
        Ok(states.iter().map(|state| (state.record.clone(), Document::of_state(self, state))).collect())
    }
}

/// Returns the live document of a record as it will be after a write, secrets masked.
pub(crate) fn masked(project: &Project, record: &RecordKey, doc: &Option<Arc<Value>>) -> Option<Arc<Value>> {
    let doc = doc.as_ref()?;
    let policy = &project.collection(&record.collection).ok()?.policy;
    if policy.secret_paths(doc).is_empty() {
        return Some(Arc::clone(doc));
    }
    let mut doc = doc.as_ref().clone();
    policy.mask_secrets(&mut doc);
    Some(Arc::new(doc))
}

/// Returns the live value of a state, if there is one row.
pub(crate) fn live_value(state: &RecordState) -> Option<&Value> {
    match &state.live {
        Live::One(live) => Some(&live.value),
        _ => None,
    }
}
