//! What a removal does to one record.

use super::base::{Base, check_base};
use super::preimage::{preimages, start, tombstone};
use super::rules::{Planned, Rules};
use super::standing::Standing;
use crate::adapter::{ExpectedLive, LiveWrite, RecordState};
use crate::document::{EntryId, Object};
use crate::error::Error;
use crate::history::Op;
use crate::planted;

/// Plans the deletion of a record.
pub(crate) fn plan_remove(
    state: &RecordState,
    rules: Rules<'_>,
    base: Option<&Base>,
    force: bool,
    seen: Option<EntryId>,
    meta: &Object,
) -> Result<Planned, Error> {
    let standing = Standing::of(state)?;
    let record = &state.record;
    let seen = check_base(&standing, record, base, force, seen)?;
    if let Some(drift) = standing.drift(record)
        && !force
    {
        return Err(drift);
    }
    let mut change = start(state, &standing);
    let mut entries = preimages(&standing, rules, meta);
    match standing.live() {
        None if matches!(standing, Standing::Unknown { .. } | Standing::Removed { .. }) => {
            return Err(Error::NoRecord { address: record.to_string() });
        }
        // Missing, with force: the pre-image is the deletion itself.
        None => change.expected_live = ExpectedLive::Absent,
        Some((live, _)) => {
            entries.push(tombstone(Op::Delete, seen, rules.meta(meta)));
            change.live = LiveWrite::Delete;
            change.expected_live = ExpectedLive::At(live.image.clone());
        }
    }
    change.expected_live = change.expected_live.unless(planted!("removal-not-compared"));
    change.entries = entries;
    Ok(Planned::Change(Box::new(change)))
}
