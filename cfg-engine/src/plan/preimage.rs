//! How every change of a record starts: what was there is in history before anything goes on top.

use std::sync::Arc;

use super::noted_secrets::{held_secrets, list_secrets};
use super::rules::Rules;
use super::standing::Standing;
use super::{PlannedChange, PlannedEntry};
use crate::adapter::{ExpectedLive, LiveDoc, LiveWrite, RecordState, StoredDoc};
use crate::document::{Edit, EntryId, FieldPath, FieldPolicy, Object, Oid, PathChange};
use crate::history::Op;
use crate::planted;

pub(super) fn start(state: &RecordState, standing: &Standing<'_>) -> PlannedChange {
    PlannedChange {
        record: state.record.clone(),
        expected: state.head.clone(),
        existing: Vec::new(),
        expected_live: ExpectedLive::Unchecked,
        live_oid: standing.live().map(|(_, oid)| oid),
        live: LiveWrite::Leave,
        before: standing.live().map(|(live, _)| Arc::clone(&live.value)),
        after: None,
        entries: Vec::new(),
        overwrites: Vec::new(),
        always_gated: false,
    }
}

/// What must be in history before a change goes on top: the first version of an untracked record,
/// or the drift that a forced change overwrites.
pub(super) fn preimages(standing: &Standing<'_>, rules: Rules<'_>, meta: &Object) -> Vec<PlannedEntry> {
    let mut meta = rules.meta(meta);
    if planted!("pre-image-not-recorded") {
        return Vec::new();
    }
    match *standing {
        Standing::Untracked { live, oid } => {
            let mut entry = as_read(Op::Import, live, oid, meta, rules.policy());
            entry.estimated = true;
            vec![entry]
        }
        Standing::Dirty { live, oid, .. } | Standing::Revived { live, oid, .. } => {
            meta.insert("bypass_detected_oid", oid.to_hex());
            vec![as_read(Op::Force, live, oid, meta, rules.policy())]
        }
        Standing::Missing { .. } => vec![tombstone(Op::Force, None, meta)],
        Standing::Unknown { .. } | Standing::Clean { .. } | Standing::Removed { .. } => Vec::new(),
    }
}

pub(super) fn as_read(op: Op, live: &LiveDoc, oid: Oid, mut meta: Object, policy: &FieldPolicy) -> PlannedEntry {
    list_secrets(&mut meta, "secrets", &held_secrets(&live.value, policy));
    let secrets = if planted!("secret-in-baseline") { Vec::new() } else { policy.secret_paths(&live.value) };
    PlannedEntry {
        op,
        oid: Some(oid),
        base: None,
        author: None,
        message: None,
        valid_from: None,
        estimated: false,
        meta,
        doc: StoredDoc::Edited { image: live.image.clone(), changes: unset_all(&secrets) },
        content: Some(Arc::clone(&live.value)),
        git_shas: Vec::new(),
    }
}

pub(super) fn tombstone(op: Op, base: Option<Vec<EntryId>>, meta: Object) -> PlannedEntry {
    PlannedEntry {
        op,
        oid: None,
        base,
        author: None,
        message: None,
        valid_from: None,
        estimated: false,
        meta,
        doc: StoredDoc::None,
        content: None,
        git_shas: Vec::new(),
    }
}

/// Unsets places from the last to the first, so that indexes stay true.
pub(super) fn unset_all(paths: &[FieldPath]) -> Vec<PathChange> {
    paths.iter().rev().map(|path| PathChange { path: path.clone(), edit: Edit::Unset }).collect()
}
