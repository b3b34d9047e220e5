//! The base of a change: the version its author had seen.

use super::standing::Standing;
use crate::document::{EntryId, Oid};
use crate::error::Error;
use crate::history::{RecordKey, Seq};
use crate::planted;

/// The version an author had seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// Which record.
    pub record: RecordKey,
    /// HEAD as it was seen; `None` while the record had no history.
    pub seq: Option<Seq>,
    /// The content that was seen; `None` for a tombstone or where it is not known.
    pub oid: Option<Oid>,
}

/// Checks that the version an author had seen is still HEAD; returns it for the entry.
pub(super) fn check_base(
    standing: &Standing<'_>,
    record: &RecordKey,
    base: Option<&Base>,
    force: bool,
    seen: Option<EntryId>,
) -> Result<Option<Vec<EntryId>>, Error> {
    let Some(base) = base else { return Ok(None) };
    let head = standing.head().map(|h| h.head);
    if base.record != *record {
        return Err(Error::refused_for(
            record,
            "other_base",
            format!("the document was read from {:?}", base.record),
            "commit it where it was read from, or remove its \"$cfg\" member",
        ));
    }
    let fits = match (base.seq, head) {
        // Read while untracked: nothing but its content can be compared.
        (None, None) => base.oid.is_none() || base.oid == standing.live().map(|(_, oid)| oid),
        (Some(seq), Some(head)) => seq == head.seq && (base.oid.is_none() || base.oid == head.oid),
        _ => false,
    };
    if !fits && !force && !planted!("base-not-compared") {
        return Err(Error::StaleBase { record: record.clone(), base: base.seq, head: head.map(|h| h.seq) });
    }
    Ok(if fits { head.map(|h| h.entry_id) } else { seen }.map(|id| vec![id]))
}
