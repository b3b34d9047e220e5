//! What a restore of the whole system does to one record: exactly what was planned, or nothing.

use super::{Planned, RestoreInput, Rules, plan_restore};
use super::{PlannedChange, PlannedEntry};
use crate::adapter::{ExpectedLive, LiveWrite, RecordState, StoredDoc};
use crate::document::{EntryId, FieldPath, Object, Oid, Value};
use crate::error::Error;
use crate::history::{Op, Redacted, Seq};
use crate::plan::Standing;

/// What was seen of a record when the restore was planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SeenState {
    pub(crate) head: Option<EntryId>,
    pub(crate) live: Option<Oid>,
}

/// The version that a record goes back to.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) seq: Seq,
    pub(crate) entry_id: EntryId,
    pub(crate) oid: Option<Oid>,
    /// Its document, mapped onto what the store can hold now.
    pub(crate) doc: Value,
    pub(crate) had_secrets: Vec<FieldPath>,
    pub(crate) redacted: Redacted,
}

/// How a restore of many records treats each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner<'m> {
    pub(crate) adopt_drift: bool,
    pub(crate) without_secrets: bool,
    pub(crate) creates: bool,
    pub(crate) meta: &'m Object,
}

/// Plans one step; `target` is `None` where the record was not there and goes.
pub(crate) fn plan_step(
    state: &RecordState,
    rules: Rules<'_>,
    seen: SeenState,
    target: Option<&Target>,
    manner: Manner<'_>,
) -> Result<Planned, Error> {
    let standing = Standing::of(state)?;
    let is_there = match (target, &standing) {
        (Some(target), Standing::Clean { head, .. }) => head.head.oid == target.oid,
        (None, Standing::Removed { .. } | Standing::Unknown { .. }) => true,
        _ => false,
    };
    // Whoever brought it there, it is there.
    if is_there {
        return Ok(Planned::Nothing);
    }
    let record = &state.record;
    if state.head.as_ref().map(|h| h.head.entry_id) != seen.head {
        return Err(Error::StaleHead { record: record.clone(), current: state.head.clone().map(Box::new) });
    }
    if standing.live().map(|(_, oid)| oid) != seen.live {
        return Err(Error::StaleLive { record: record.clone() });
    }
    let mut planned = match target {
        Some(target) => {
            let input = RestoreInput {
                target: Some(&target.doc),
                from_seq: target.seq,
                from_entry: target.entry_id,
                had_secrets: &target.had_secrets,
                redacted: &target.redacted,
                secrets: &[],
                without_secrets: manner.without_secrets,
                is_head: false,
                discard_drift: manner.adopt_drift,
                creates: manner.creates,
                meta: manner.meta,
            };
            plan_restore(state, rules, &input)?
        }
        None => prune(state, &standing, rules, manner)?,
    };
    // Nobody forced anything: the drift is folded in, as `adopt` would.
    if let Planned::Change(change) = &mut planned {
        for entry in change.entries.iter_mut().filter(|entry| entry.op == Op::Force) {
            entry.op = Op::Adopt;
        }
    }
    Ok(planned)
}

/// Plans the deletion of a record that was not there then.
fn prune(state: &RecordState, standing: &Standing<'_>, rules: Rules<'_>, manner: Manner<'_>) -> Result<Planned, Error> {
    let record = &state.record;
    let Standing::Clean { live, oid, .. } = standing else {
        return Err(standing.drift(record).unwrap_or_else(|| Error::Untracked { record: record.clone() }));
    };
    let entry = PlannedEntry {
        op: Op::Restore,
        oid: None,
        base: None,
        author: None,
        message: None,
        valid_from: None,
        estimated: false,
        meta: rules.meta(manner.meta).with("pruned", true),
        doc: StoredDoc::None,
        content: None,
        git_shas: Vec::new(),
    };
    Ok(Planned::Change(Box::new(PlannedChange {
        record: record.clone(),
        expected: state.head.clone(),
        existing: Vec::new(),
        expected_live: ExpectedLive::At(live.image.clone()),
        live_oid: Some(*oid),
        live: LiveWrite::Delete,
        before: Some(std::sync::Arc::clone(&live.value)),
        after: None,
        entries: vec![entry],
        overwrites: Vec::new(),
        always_gated: false,
    })))
}
