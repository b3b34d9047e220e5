//! A document that becomes a new live row.

use std::sync::Arc;

use super::live_edit::input_oid;
use super::noted_secrets::{held_secrets, list_secrets};
use super::rules::Rules;
use super::{PlannedChange, PlannedEntry};
use crate::adapter::{ExpectedLive, LiveWrite, StoredDoc};
use crate::config::Shape;
use crate::document::{EntryId, FieldPolicy, Object, Oid, Value, is_secret_marker};
use crate::error::Error;
use crate::history::{Op, RecordKey};

/// A document that will be a new live row.
pub(crate) struct Seeded {
    pub(crate) value: Arc<Value>,
    pub(crate) oid: Oid,
}

impl Seeded {
    /// Makes this document the new live row of a change; returns the entry that records it.
    pub(super) fn become_live(
        self,
        change: &mut PlannedChange,
        op: Op,
        base: Option<Vec<EntryId>>,
        mut meta: Object,
        policy: &FieldPolicy,
    ) -> PlannedEntry {
        list_secrets(&mut meta, "secrets", &held_secrets(&self.value, policy));
        let entry = self.entry(op, base, meta, policy);
        change.live = LiveWrite::Seed(self.value.as_ref().clone());
        change.expected_live = ExpectedLive::Absent;
        change.after = Some(self.value);
        entry
    }

    fn entry(&self, op: Op, base: Option<Vec<EntryId>>, meta: Object, policy: &FieldPolicy) -> PlannedEntry {
        PlannedEntry {
            op,
            oid: Some(self.oid),
            base,
            author: None,
            message: None,
            valid_from: None,
            estimated: false,
            meta,
            doc: StoredDoc::Given(policy.without_secrets(&self.value)),
            content: Some(Arc::clone(&self.value)),
            git_shas: Vec::new(),
        }
    }
}

/// Lays the live rule's equality pairs over a document that will be a new live row, and checks it.
pub(crate) fn seed_document(target: Value, record: &RecordKey, rules: Rules<'_>) -> Result<Seeded, Error> {
    let mut value = target;
    // Where the record holds the rule's fields itself they are part of what is hashed.
    if rules.collection.shape == Shape::Row {
        if let Some(object) = value.as_object_mut() {
            for (field, wanted) in rules.collection.live_when.equality_pairs() {
                object.insert(field, wanted.clone());
            }
        }
        if !rules.collection.live_when.matches(&value) {
            return Err(Error::LiveRule { record: record.clone() });
        }
    }
    let mut hidden = rules.policy().secret_paths(&value);
    hidden.retain(|path| path.get(&value).is_some_and(is_secret_marker));
    if !hidden.is_empty() {
        return Err(Error::SecretsNeeded { record: record.clone(), fields: hidden });
    }
    let oid = input_oid(&value, record, rules.policy())?;
    Ok(Seeded { value: Arc::new(value), oid })
}
