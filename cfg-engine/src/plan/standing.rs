//! Where a record stands: what live holds against what history says.

use crate::adapter::{HeadState, Live, LiveContent, LiveDoc, RecordState};
use crate::document::Oid;
use crate::error::Error;
use crate::history::RecordKey;

/// Live against HEAD, for a record whose live document can be read and hashed.
#[derive(Debug)]
pub(crate) enum Standing<'s, D = LiveDoc> {
    /// Neither history nor a live row.
    Unknown { outside_rule: u64 },
    /// A live row without history.
    Untracked { live: &'s D, oid: Oid },
    /// Live is what HEAD says.
    Clean { head: &'s HeadState, live: &'s D, oid: Oid },
    /// Live differs from HEAD.
    Dirty { head: &'s HeadState, live: &'s D, oid: Oid },
    /// HEAD is a document and there is no live row.
    Missing { head: &'s HeadState, outside_rule: u64 },
    /// HEAD is a tombstone and there is no live row.
    Removed { head: &'s HeadState, outside_rule: u64 },
    /// HEAD is a tombstone and there is a live row again.
    Revived { head: &'s HeadState, live: &'s D, oid: Oid },
}

impl<'s, D: LiveContent> Standing<'s, D> {
    /// Judges a record as it was read.
    ///
    /// # Errors
    ///
    /// [`Error::Ambiguous`], [`Error::Unreadable`] or [`Error::Unhashable`].
    pub(crate) fn of(state: &'s RecordState<D>) -> Result<Self, Error> {
        let record = || state.record.clone();
        let head = state.head.as_ref();
        let live = match &state.live {
            Live::Ambiguous { rows } => return Err(Error::Ambiguous { record: record(), rows: *rows }),
            Live::Unreadable { reason } => {
                return Err(Error::Unreadable { record: record(), reason: reason.clone() });
            }
            Live::Absent { outside_rule } => {
                let outside_rule = *outside_rule;
                return Ok(match head {
                    None => Standing::Unknown { outside_rule },
                    Some(head) if head.head.oid.is_none() => Standing::Removed { head, outside_rule },
                    Some(head) => Standing::Missing { head, outside_rule },
                });
            }
            Live::One(live) => live,
        };
        let oid = live.oid().clone().map_err(|source| Error::Unhashable { record: record(), source })?;
        Ok(match head {
            None => Standing::Untracked { live, oid },
            Some(head) => match head.head.oid {
                None => Standing::Revived { head, live, oid },
                Some(expected) if expected == oid => Standing::Clean { head, live, oid },
                Some(_) => Standing::Dirty { head, live, oid },
            },
        })
    }

    /// Returns the live document.
    pub(crate) fn live(&self) -> Option<(&'s D, Oid)> {
        match *self {
            Standing::Untracked { live, oid }
            | Standing::Clean { live, oid, .. }
            | Standing::Dirty { live, oid, .. }
            | Standing::Revived { live, oid, .. } => Some((live, oid)),
            Standing::Unknown { .. } | Standing::Missing { .. } | Standing::Removed { .. } => None,
        }
    }

    /// Returns HEAD and tip.
    pub(crate) fn head(&self) -> Option<&'s HeadState> {
        match *self {
            Standing::Clean { head, .. }
            | Standing::Dirty { head, .. }
            | Standing::Missing { head, .. }
            | Standing::Removed { head, .. }
            | Standing::Revived { head, .. } => Some(head),
            Standing::Unknown { .. } | Standing::Untracked { .. } => None,
        }
    }

    /// Returns the drift: why this record is refused until it is adopted.
    pub(crate) fn drift(&self, record: &RecordKey) -> Option<Error> {
        match self {
            Standing::Dirty { .. } | Standing::Revived { .. } => Some(Error::Dirty { record: record.clone() }),
            Standing::Missing { .. } => Some(Error::Missing { record: record.clone() }),
            _ => None,
        }
    }

    /// Refuses to make a row beside one that is not live.
    pub(crate) fn refuse_outside_rule(&self, record: &RecordKey) -> Result<(), Error> {
        match self {
            Standing::Unknown { outside_rule }
            | Standing::Missing { outside_rule, .. }
            | Standing::Removed { outside_rule, .. }
                if *outside_rule > 0 =>
            {
                Err(Error::OutsideLiveRule { record: record.clone() })
            }
            _ => Ok(()),
        }
    }
}
