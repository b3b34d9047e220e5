//! What callers were told, to be compared with what is there in the end.

use std::collections::BTreeMap;

use cfg_engine::adapter::AsOf;
use cfg_engine::document::EntryId;
use cfg_engine::history::{Seq, Timestamp};

/// What callers were told.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Commits by the word that each of them alone wrote.
    pub(crate) commits: BTreeMap<u64, Commit>,
    /// The version that a commit's author had seen: word, record, number.
    pub(crate) bases: Vec<(u64, u8, Option<Seq>)>,
    /// Entries that a verb said it wrote: record, number, id.
    pub(crate) written: Vec<(u8, Seq, EntryId)>,
    /// Answers about the past.
    pub(crate) answers: Vec<Answer>,
    /// What tags meant when they were set or read: name, manifest and rows.
    pub(crate) tags: BTreeMap<String, TagMeaning>,
    /// How often the store's clock was set.
    pub(crate) clock_sets: u64,
    /// Nobody starts anything any more.
    pub(crate) is_over: bool,
    /// Somebody moved a tag by force, or tried to.
    pub(crate) is_forced: bool,
    /// What names of tags mean.
    pub(crate) names: BTreeMap<String, String>,
    /// Content that the engine wrote over, to be found in history in the end.
    pub(crate) replaced: Vec<(u8, cfg_engine::document::Oid)>,
}

/// A commit and what became of it.
#[derive(Debug)]
pub(crate) struct Commit {
    pub(crate) records: Vec<u8>,
    /// The caller was told that it is done.
    pub(crate) acknowledged: bool,
}

/// The rows of a manifest.
pub(crate) type TagMeaning = Vec<(u8, Seq, EntryId)>;

/// An answer about the past.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) at: AsOf,
    pub(crate) recorded: Timestamp,
    pub(crate) rows: Vec<(u8, Seq)>,
    /// The earliest that the store's clock said since.
    pub(crate) low: i64,
}

impl Ledger {
    /// A clock that is set back lets entries be recorded before what was asked about.
    pub(crate) fn clock_set(&mut self, wall: i64) {
        self.clock_sets += 1;
        for answer in &mut self.answers {
            answer.low = answer.low.min(wall);
        }
    }
}
