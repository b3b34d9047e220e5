//! Addresses as people type them: `planner`, `configs:planner`, `planner@7`, `"1"`.

use std::collections::BTreeSet;

use futures_util::TryStreamExt;

use super::Project;
use crate::adapter::{AdapterError, Live, RecordState, Scope};
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
    /// string or object forces a type. Digits in a collection whose ids are text can be the number too,
    /// `{"$numberLong":"7"}` in full. Where the text can mean several records, the one that exists is taken.
    ///
    /// # Errors
    ///
    /// [`Error::AmbiguousAddress`] where two exist, or none does and several could be made.
    pub async fn resolve(&self, text: &str) -> Result<Address, Error> {
        let candidates = self.candidates(text)?;
        if let [only] = candidates.as_slice() {
            return Ok(only.address.clone());
        }
        let mut records: Vec<RecordKey> = candidates.iter().map(|c| c.address.record.clone()).collect();
        records.sort();
        records.dedup();
        let there = self.those_there(&records).await?;
        let exists = |record: &RecordKey| there.contains(record);
        let found: Vec<&Address> = candidates.iter().map(|c| &c.address).filter(|a| exists(&a.record)).collect();
        match found.as_slice() {
            [only] => Ok((*only).clone()),
            // Nothing exists: with a version there is nothing to find, without one it could be made, and
            // then a configured collection in front is that collection, and a bare word its id type.
            [] => {
                let named = self.named_collection(text);
                let first = candidates.into_iter().filter(|c| !c.only_if_there).map(|c| c.address);
                let candidates: Vec<Address> =
                    first.filter(|a| named.is_none_or(|named| a.record.collection == *named)).collect();
                let whole: Vec<&Address> = candidates.iter().filter(|c| c.reference.is_none()).collect();
                let versioned: Vec<&Address> = candidates.iter().filter(|c| c.reference.is_some()).collect();
                match (versioned.as_slice(), whole.as_slice()) {
                    ([only], _) | ([], [only]) => Ok((*only).clone()),
                    _ => Err(self.ambiguous(text, &candidates)),
                }
            }
            _ => Err(self.ambiguous(text, &found.into_iter().cloned().collect::<Vec<_>>())),
        }
    }

    /// Returns which of these have history or a row.
    async fn those_there(&self, records: &[RecordKey]) -> Result<BTreeSet<RecordKey>, Error> {
        let is_there =
            |state: &RecordState| state.head.is_some() || !matches!(state.live, Live::Absent { outside_rule: 0 });
        match self.states(records).await {
            Ok(states) => return Ok(states.into_iter().filter(is_there).map(|state| state.record).collect()),
            Err(Error::Storage(AdapterError::Setup { .. })) => {}
            Err(error) => return Err(error),
        }
        // A collection whose table is not there must not keep the others from being named.
        let mut there = BTreeSet::new();
        for record in records {
            let scope = Scope::Records(vec![record.clone()]);
            match self.states(std::slice::from_ref(record)).await {
                Ok(states) => there.extend(states.into_iter().filter(is_there).map(|state| state.record)),
                Err(Error::Storage(AdapterError::Setup { .. })) => {
                    let entries = self.adapter.addresses(&self.settings.env, &scope).try_concat().await?;
                    there.extend(entries.into_iter().map(|entry| entry.record));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(there)
    }

    /// Returns the collection that stands before the first `:`.
    fn named_collection(&self, text: &str) -> Option<&CollectionName> {
        let (name, rest) = text.split_once(':')?;
        self.collections().iter().map(|c| &c.name).find(|c| c.as_str() == name && !rest.is_empty())
    }

    fn candidates(&self, text: &str) -> Result<Vec<Candidate>, Error> {
        if text.is_empty() {
            return Err(Error::refused(
                "bad_address",
                "an empty record id",
                "name a record; list them with: cfg status --all",
            ));
        }
        let mut found: Vec<Candidate> = Vec::new();
        let mut problem = None;
        // `configs:"planner"`, the full form, is that record and nothing else.
        for collection in self.collections() {
            let rest = text.strip_prefix(collection.name.as_str()).and_then(|rest| rest.strip_prefix(':'));
            if let Some(rest) = rest.filter(|rest| rest.starts_with(['"', '{'])) {
                self.readings(rest, collection, false, &mut found, &mut problem);
                if !found.is_empty() {
                    return Ok(found);
                }
            }
        }
        for collection in self.collections() {
            let prefix = text.strip_prefix(collection.name.as_str()).and_then(|rest| rest.strip_prefix(':'));
            for part in prefix.into_iter().filter(|part| !part.is_empty()).chain([text]) {
                // A text with this collection's own prefix is that record first; an id that begins with the
                // collection's name is meant where it is there.
                let only_if_there = prefix.is_some_and(|prefix| !prefix.is_empty()) && part == text;
                self.readings(part, collection, only_if_there, &mut found, &mut problem);
            }
        }
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
        only_if_there: bool,
        found: &mut Vec<Candidate>,
        problem: &mut Option<Error>,
    ) {
        let mut add = |text: &str, reference: Option<Reference>| {
            let mut push = |id: IdKey, only_if_there: bool| {
                let record = RecordKey { env: self.settings.env.clone(), collection: collection.name.clone(), id };
                found.push(Candidate { address: Address { record, reference: reference.clone() }, only_if_there });
            };
            match id_of(text, collection) {
                Ok(id) => push(id, only_if_there),
                Err(error) => *problem = Some(error),
            }
            if let Some(id) = whole_number(text, collection) {
                push(id, true);
            }
        };
        let (id, version) = Reference::split_address(text);
        if let Some(version) = version.and_then(|v| Reference::parse(v).ok()) {
            add(id, Some(version));
        }
        add(text, None);
    }

    fn ambiguous(&self, text: &str, candidates: &[Address]) -> Error {
        let full = candidates.iter().map(|c| {
            let id = match self.collection(&c.record.collection) {
                Ok(collection) if holds_text(collection) && matches!(c.record.id.to_value(), Value::Number(_)) => {
                    format!(r#"{{"$numberLong":"{}"}}"#, c.record.id.as_str())
                }
                _ => c.record.id.as_str().to_owned(),
            };
            let version = c.reference.as_ref().map(|r| r.to_string()).unwrap_or_default();
            format!("'{}'", format!("{}:{id}{version}", c.record.collection).replace('\'', r"'\''"))
        });
        Error::AmbiguousAddress { address: text.to_owned(), candidates: full.collect() }
    }
}

/// What an address can mean.
#[derive(Debug, PartialEq)]
struct Candidate {
    address: Address,
    /// A reading that is taken only if that record exists: it is never made from this text.
    only_if_there: bool,
}

/// Returns whether a bare word of this collection is text: it says so, or nothing says otherwise.
fn holds_text(collection: &CollectionConfig) -> bool {
    collection.id_fields.len() < 2 && matches!(collection.id_type, None | Some(IdType::String))
}

/// Reads digits as the whole number that they are too, where the ids of a collection may be both.
fn whole_number(text: &str, collection: &CollectionConfig) -> Option<IdKey> {
    let number: i64 = text.parse().ok().filter(|_| holds_text(collection))?;
    // One number has one form: `07` and `+7` are text.
    (number.to_string() == text).then(|| IdKey::from_value(&Value::from(number)).ok())?
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
