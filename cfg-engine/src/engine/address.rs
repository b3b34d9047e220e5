//! Addresses as people type them: `planner`, `configs:planner`, `planner@7`, `"1"`.

use super::Project;
use crate::adapter::Live;
use crate::config::{CollectionConfig, IdType};
use crate::document::{Extended, Number, Value, from_hex};
use crate::error::Error;
use crate::history::{CollectionName, IdKey, RecordKey, Reference};

/// A record, and the version that was named with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The record.
    pub record: RecordKey,
    /// `@7` or `@{T}` behind the id.
    pub reference: Option<Reference>,
}

impl Project {
    /// Finds the record that an address without a version means.
    ///
    /// # Errors
    ///
    /// As [`resolve`](Self::resolve); [`Error::Refused`] where a version is given.
    pub async fn record(&self, text: &str) -> Result<RecordKey, Error> {
        let address = self.resolve(text).await?;
        match address.reference {
            None => Ok(address.record),
            Some(reference) => Err(Error::refused(
                "bad_address",
                format!("{text:?} names the version {reference}; this verb takes a record"),
                format!("write {}", address.record.id),
            )),
        }
    }

    /// Finds the record and version that an address means.
    ///
    /// Text up to the first `:` is a collection only if one is configured under that name; the
    /// version is what follows the last `@`. A bare word takes the collection's id type; a JSON
    /// string or object forces a type. Where the text can mean several records, the one that exists
    /// is taken.
    ///
    /// # Errors
    ///
    /// [`Error::AmbiguousAddress`] where two exist, or none does and several could be made.
    pub async fn resolve(&self, text: &str) -> Result<Address, Error> {
        let candidates = self.candidates(text)?;
        if let [only] = candidates.as_slice() {
            return Ok(only.clone());
        }
        let mut records: Vec<RecordKey> = candidates.iter().map(|c| c.record.clone()).collect();
        records.sort();
        records.dedup();
        let states = self.states(&records).await?;
        let exists = |record: &RecordKey| {
            states.iter().any(|s| {
                s.record == *record && (s.head.is_some() || !matches!(s.live, Live::Absent { outside_rule: 0 }))
            })
        };
        let found: Vec<&Address> = candidates.iter().filter(|c| exists(&c.record)).collect();
        match found.as_slice() {
            [only] => Ok((*only).clone()),
            // Nothing exists: with a version there is nothing to find, without one it could be made, and
            // then a configured collection in front is that collection.
            [] => {
                let candidates = match self.named_collection(text) {
                    Some(named) => candidates.into_iter().filter(|c| c.record.collection == *named).collect(),
                    None => candidates,
                };
                let whole: Vec<&Address> = candidates.iter().filter(|c| c.reference.is_none()).collect();
                let versioned: Vec<&Address> = candidates.iter().filter(|c| c.reference.is_some()).collect();
                match (versioned.as_slice(), whole.as_slice()) {
                    ([only], _) | ([], [only]) => Ok((*only).clone()),
                    _ => Err(ambiguous(text, &candidates)),
                }
            }
            _ => Err(ambiguous(text, &found.into_iter().cloned().collect::<Vec<_>>())),
        }
    }

    /// Returns the collection that stands before the first `:`.
    fn named_collection(&self, text: &str) -> Option<&CollectionName> {
        let (name, rest) = text.split_once(':')?;
        self.collections().iter().map(|c| &c.name).find(|c| c.as_str() == name && !rest.is_empty())
    }

    fn candidates(&self, text: &str) -> Result<Vec<Address>, Error> {
        if text.is_empty() {
            return Err(Error::refused(
                "bad_address",
                "an empty record id",
                "name a record; list them with: cfg status --all",
            ));
        }
        let mut found: Vec<Address> = Vec::new();
        let mut problem = None;
        // `configs:"planner"`, the full form, is that record and nothing else.
        for collection in self.collections() {
            let rest = text.strip_prefix(collection.name.as_str()).and_then(|rest| rest.strip_prefix(':'));
            if let Some(rest) = rest.filter(|rest| rest.starts_with(['"', '{'])) {
                self.readings(rest, collection, &mut found, &mut problem);
                if !found.is_empty() {
                    return Ok(found);
                }
            }
        }
        for collection in self.collections() {
            let prefix = text.strip_prefix(collection.name.as_str()).and_then(|rest| rest.strip_prefix(':'));
            for part in prefix.into_iter().filter(|part| !part.is_empty()).chain([text]) {
                // A text with this collection's own prefix is that record first.
                if prefix.is_some() && part == text {
                    continue;
                }
                self.readings(part, collection, &mut found, &mut problem);
            }
        }
        // The id itself may begin with a collection's name; it is a candidate in the others only.
        found.dedup();
        match (found.is_empty(), problem) {
            (true, Some(error)) => Err(error),
            (true, None) => Err(Error::NoRecord { address: text.to_owned() }),
            (false, _) => Ok(found),
        }
    }

    fn readings(
        &self,
        text: &str,
        collection: &CollectionConfig,
        found: &mut Vec<Address>,
        problem: &mut Option<Error>,
    ) {
        let mut add = |id: Result<IdKey, Error>, reference: Option<Reference>| match id {
            Ok(id) => {
                let record = RecordKey { env: self.settings.env.clone(), collection: collection.name.clone(), id };
                found.push(Address { record, reference });
            }
            Err(error) => *problem = Some(error),
        };
        let (id, version) = Reference::split_address(text);
        if let Some(version) = version.and_then(|v| Reference::parse(v).ok()) {
            add(id_of(id, collection), Some(version));
        }
        add(id_of(text, collection), None);
    }
}

fn ambiguous(text: &str, candidates: &[Address]) -> Error {
    let full = candidates.iter().map(|c| {
        let id = c.record.id.as_str();
        let version = c.reference.as_ref().map(|r| r.to_string()).unwrap_or_default();
        format!("'{}'", format!("{}:{id}{version}", c.record.collection).replace('\'', r"'\''"))
    });
    Error::AmbiguousAddress { address: text.to_owned(), candidates: full.collect() }
}

/// Reads an id as typed: a JSON string or object as it says, a bare word as the collection's type.
fn id_of(text: &str, collection: &CollectionConfig) -> Result<IdKey, Error> {
    if text.starts_with(['"', '{']) {
        let id = IdKey::from_value(&Value::from_interchange(text)?)?;
        check_id(&id, collection)?;
        return Ok(id);
    }
    let wrong = |what: &str| wrong_id(text, collection, what);
    if collection.id_fields.len() > 1 {
        return Err(wrong(&composite_form(collection)));
    }
    let value = match collection.id_type.unwrap_or(IdType::String) {
        IdType::String => Value::from(text),
        IdType::Int => match Number::from_json(text) {
            Some(number) if number.as_i64().is_some() => Value::Number(number),
            _ => return Err(wrong("whole numbers")),
        },
        IdType::ObjectId => match from_hex(text).and_then(|bytes| bytes.try_into().ok()) {
            Some(bytes) => Value::from(Extended::ObjectId(bytes)),
            None => return Err(wrong("object ids of 24 hex digits")),
        },
        IdType::Uuid => match from_hex(&text.replace('-', "")).filter(|bytes| bytes.len() == 16) {
            Some(bytes) => Value::from(Extended::Binary { subtype: 4, bytes }),
            None => return Err(wrong("UUIDs")),
        },
    };
    Ok(IdKey::from_value(&value)?)
}

fn wrong_id(text: &str, collection: &CollectionConfig, what: &str) -> Error {
    Error::refused(
        "bad_address",
        format!("{text:?} is no id of collection {}: its ids are {what}", collection.name),
        "write the id as the collection has it, or as a JSON string in quotes",
    )
}

fn composite_form(collection: &CollectionConfig) -> String {
    let fields = collection.id_fields.iter().map(|f| format!("{f:?}: …")).collect::<Vec<_>>().join(", ");
    format!("objects such as {{{fields}}}")
}

/// Checks that an id has the parts that a collection's ids have.
pub(super) fn check_id(id: &IdKey, collection: &CollectionConfig) -> Result<(), Error> {
    if collection.id_fields.len() < 2 {
        return Ok(());
    }
    let value = id.to_value();
    let fits = value.as_object().is_some_and(|parts| {
        parts.len() == collection.id_fields.len() && collection.id_fields.iter().all(|field| parts.contains_key(field))
    });
    if fits { Ok(()) } else { Err(wrong_id(id.as_str(), collection, &composite_form(collection))) }
}
