//! What is written beside entries: git shas that are added, cached ends and heads that are mended.

use crate::adapter::{Change, ExpectedHead, ExpectedLive, HeadRef, LiveWrite, TipRef};
use crate::document::{EntryId, Object};
use crate::history::{Ends, RecordKey, Seq, Timestamp};

/// An upkeep of one record. It adds no entry and touches no live row.
#[derive(Debug, Clone)]
pub struct Upkeep {
    /// Which record.
    pub record: RecordKey,
    /// Its history as it was read.
    pub expected: ExpectedHead,
    /// HEAD afterwards.
    pub head: HeadRef,
    /// The tip as the entries say, where head and tip are written anew.
    pub mended_tip: Option<TipRef>,
    /// Entries whose cached ends are written anew.
    pub closed: Vec<(Seq, Ends)>,
    /// Git shas that are added to entries.
    pub links: Vec<(Seq, Vec<String>)>,
}

impl Upkeep {
    /// Returns when the newest entry was written, as far as it is known.
    pub(crate) fn newest(&self) -> Option<Timestamp> {
        match self.expected {
            ExpectedHead::Absent => None,
            ExpectedHead::At { tip, .. } | ExpectedHead::Lost { tip } => Some(tip.recorded_at),
        }
    }

    pub(crate) fn bind(&self) -> Change {
        Change {
            record: self.record.clone(),
            expected_head: self.expected,
            expected_live: ExpectedLive::Unchecked,
            live: LiveWrite::Leave,
            entries: Vec::new(),
            closed: self.closed.clone(),
            new_head: Some(self.head),
            links: self.links.clone(),
            mended_tip: self.mended_tip,
            overwrites: Vec::new(),
        }
    }

    pub(crate) fn to_object(&self) -> Object {
        let closed = self.closed.iter().map(|(seq, ends)| {
            Object::new()
                .with("seq", seq.0)
                .with("valid_to", ends.valid_to.as_millis())
                .with("superseded_at", ends.superseded_at.as_millis())
        });
        let links =
            self.links.iter().map(|(seq, shas)| Object::new().with("seq", seq.0).with("git_shas", shas.clone()));
        let id = |id: EntryId| id.to_hex();
        Object::new()
            .with("collection", self.record.collection.as_str())
            .with("config_id", self.record.id.to_value())
            .with("head_entry", id(self.head.entry_id))
            .with("tip_entry", self.mended_tip.map(|tip| id(tip.entry_id)))
            .with("closed", closed.collect::<Vec<_>>())
            .with("links", links.collect::<Vec<_>>())
    }
}
