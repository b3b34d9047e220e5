//! Live with a target's versioned content laid over it.

use std::sync::Arc;

use super::PlannedEntry;
use super::preimage::unset_all;
use super::rules::Rules;
use crate::adapter::{LiveDoc, StoredDoc};
use crate::config::Shape;
use crate::document::{
    EntryId, FieldPath, FieldPolicy, Object, Oid, PathChange, Value, apply_changes, live_changes,
    live_changes_without_secrets, oid,
};
use crate::error::Error;
use crate::history::{Op, RecordKey};
use crate::planted;

/// Live with a target's versioned content laid over it.
pub(super) struct Edited {
    pub(super) changes: Vec<PathChange>,
    pub(super) after: Arc<Value>,
    pub(super) oid: Oid,
    /// Where live has secrets that go.
    pub(super) dropped: Vec<FieldPath>,
}

impl Edited {
    pub(super) fn entry(
        &self,
        op: Op,
        base: Option<Vec<EntryId>>,
        meta: Object,
        live: &LiveDoc,
        policy: &FieldPolicy,
    ) -> PlannedEntry {
        let mut changes = self.changes.clone();
        if !planted!("secret-in-history") {
            changes.extend(unset_all(&policy.secret_paths(&self.after)));
        }
        PlannedEntry {
            op,
            oid: Some(self.oid),
            base,
            author: None,
            message: None,
            valid_from: None,
            estimated: false,
            meta,
            doc: StoredDoc::Edited { image: live.image.clone(), changes },
            content: Some(Arc::clone(&self.after)),
            git_shas: Vec::new(),
        }
    }
}

/// Lays a target over live. What `laid` does not call versioned stays as live has it; the result is hashed under
/// the rules' own policy.
pub(super) fn edit_live(
    live: &LiveDoc,
    target: &Value,
    record: &RecordKey,
    rules: Rules<'_>,
    laid: &FieldPolicy,
    without_secrets: bool,
) -> Result<Edited, Error> {
    let policy = rules.policy();
    let none = FieldPolicy::default();
    let left_alone = if planted!("ignored-field-overwritten") { &none } else { laid };
    let (changes, dropped) = match live_changes(&live.value, target, left_alone) {
        Ok(changes) => (changes, Vec::new()),
        Err(_) if without_secrets => live_changes_without_secrets(&live.value, target, laid),
        Err(moved) => return Err(Error::SecretMoved { record: record.clone(), path: moved.path }),
    };
    let mut after = live.value.as_ref().clone();
    apply_changes(&mut after, &changes)
        .map_err(|e| Error::refused_for(record, "bad_edit", e.to_string(), "write the document whole"))?;
    if rules.collection.shape == Shape::Row && !rules.collection.live_when.matches(&after) {
        return Err(Error::LiveRule { record: record.clone() });
    }
    let oid = input_oid(&after, record, policy)?;
    Ok(Edited { changes, after: Arc::new(after), oid, dropped })
}

pub(super) fn input_oid(doc: &Value, record: &RecordKey, policy: &FieldPolicy) -> Result<Oid, Error> {
    oid(doc, policy).map_err(|e| {
        Error::refused_for(
            record,
            "unhashable_document",
            format!("the document for {record} has {e}"),
            "change the value at that place",
        )
    })
}
