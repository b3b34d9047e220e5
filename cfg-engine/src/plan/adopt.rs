//! Taking what live holds into history: `adopt` and the baseline of `import`.

use std::sync::Arc;

use super::noted_secrets::list_secrets;
use super::preimage::{as_read, start, tombstone, unset_all};
use super::rules::{Planned, Rules};
use super::standing::Standing;
use crate::adapter::{ExpectedLive, LiveWrite, RecordState};
use crate::document::{FieldPath, Object, apply_changes};
use crate::error::Error;
use crate::history::{Op, Timestamp};
use crate::planted;

/// What [`plan_adopt`] is given besides the record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AdoptInput<'a> {
    pub(crate) include_untracked: bool,
    pub(crate) meta: &'a Object,
}

/// Plans folding a write around the tool into history.
pub(crate) fn plan_adopt(state: &RecordState, rules: Rules<'_>, input: AdoptInput<'_>) -> Result<Planned, Error> {
    let standing = Standing::of(state)?;
    let mut change = start(state, &standing);
    let mut meta = rules.meta(input.meta);
    match standing {
        Standing::Unknown { .. } => return Err(Error::NoRecord { address: state.record.to_string() }),
        Standing::Clean { .. } | Standing::Removed { .. } => return Ok(Planned::Nothing),
        Standing::Untracked { .. } if !input.include_untracked => {
            return Err(Error::Untracked { record: state.record.clone() });
        }
        Standing::Missing { .. } => {
            change.expected_live = ExpectedLive::Absent;
            change.entries = vec![tombstone(Op::Adopt, None, meta)];
        }
        Standing::Untracked { live, oid } | Standing::Dirty { live, oid, .. } | Standing::Revived { live, oid, .. } => {
            meta.insert("bypass_detected_oid", oid.to_hex());
            change.expected_live = ExpectedLive::At(live.image.clone());
            change.after = Some(Arc::clone(&live.value));
            change.entries = vec![as_read(Op::Adopt, live, oid, meta, rules.policy())];
        }
    }
    change.expected_live = change.expected_live.unless(planted!("adoption-not-compared"));
    Ok(Planned::Change(Box::new(change)))
}

/// Plans the first version of an untracked record: what live holds.
pub(crate) fn plan_import(
    state: &RecordState,
    rules: Rules<'_>,
    valid_from: Option<Timestamp>,
    meta: &Object,
) -> Result<Planned, Error> {
    let standing = Standing::of(state)?;
    match standing {
        Standing::Unknown { .. } => Err(Error::NoRecord { address: state.record.to_string() }),
        Standing::Untracked { live, oid } => {
            let mut change = start(state, &standing);
            let mut entry = as_read(Op::Import, live, oid, rules.meta(meta), rules.policy());
            entry.valid_from = valid_from;
            entry.estimated = valid_from.is_none();
            change.expected_live = ExpectedLive::At(live.image.clone());
            change.after = Some(Arc::clone(&live.value));
            change.entries = vec![entry];
            Ok(Planned::Change(Box::new(change)))
        }
        _ => Ok(Planned::Nothing),
    }
}

/// Plans the first version of an untracked record, and takes out of live the fields that patterns ignore:
/// backups that were kept by hand. The version keeps them.
pub(crate) fn plan_strip(
    state: &RecordState,
    rules: Rules<'_>,
    valid_from: Option<Timestamp>,
    meta: &Object,
) -> Result<Planned, Error> {
    let mut planned = plan_import(state, rules, valid_from, meta)?;
    if let Planned::Change(change) = &mut planned
        && let Some(before) = &change.before
    {
        let fields = rules.policy().fields_by_pattern(before);
        let held: Vec<FieldPath> =
            fields.into_iter().filter(|path| path.get(before).is_some_and(|value| !value.is_null())).collect();
        if !held.is_empty() {
            let changes = unset_all(&held);
            let mut after = before.as_ref().clone();
            apply_changes(&mut after, &changes).map_err(|e| {
                Error::refused_for(&state.record, "bad_edit", e.to_string(), "import it without --strip-backups")
            })?;
            change.entries.iter_mut().for_each(|entry| list_secrets(&mut entry.meta, "stripped", &held));
            change.live = LiveWrite::Update(changes);
            change.after = Some(Arc::new(after));
        }
    }
    Ok(planned)
}
