//! A computed, content-addressed set of changes that is not yet applied, and the gates it passes.
//!
//! Every mutating verb computes a [`Plan`]; [`gates`] judge it; what they clear becomes a
//! [`Batch`](crate::adapter::Batch). Nothing else can make one.

mod bind;
pub mod gates;
mod record;
mod standing;
#[cfg(test)]
mod tests;
mod view;

pub(crate) use bind::Bound;
pub(crate) use record::{
    AdoptInput, CommitInput, HashedDoc, LoadedVersion, Planned, RestoreInput, Rules, plan_adopt, plan_commit,
    plan_import, plan_remove, plan_restore, refuse_stray_markers, seed_document, with_id,
};
pub use record::{Base, Content};
pub(crate) use standing::Standing;
pub use view::PlanView;

use std::sync::Arc;

use crate::adapter::{ExpectedLive, HeadState, LiveWrite, ObjectWrite, StoredDoc};
use crate::document::{EntryId, Object, Oid, Value};
use crate::history::{Author, DocState, EnvName, Op, RecordKey, Span, Timestamp};

/// The verb that computed a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verb {
    /// `commit`, `set`, `edit`, `apply-doc`.
    Commit,
    /// `restore`.
    Restore,
    /// `adopt`.
    Adopt,
    /// `import`, with or without `--history`.
    Import,
    /// `rm`.
    Remove,
    /// `init`: the engine's own objects.
    Init,
}

impl Verb {
    /// Returns the command-line name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Verb::Commit => "commit",
            Verb::Restore => "restore",
            Verb::Adopt => "adopt",
            Verb::Import => "import",
            Verb::Remove => "rm",
            Verb::Init => "init",
        }
    }
}

/// What a verb is going to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The line of history.
    pub env: EnvName,
    /// The verb.
    pub verb: Verb,
    /// Who asks for it.
    pub author: Author,
    /// Why.
    pub message: String,
    /// What happens to records, in ascending record key.
    pub changes: Vec<PlannedChange>,
    /// What happens to the engine's own documents.
    pub objects: Vec<ObjectWrite>,
}

/// What is going to happen to one record.
#[derive(Debug, Clone)]
pub struct PlannedChange {
    /// Which record.
    pub record: RecordKey,
    /// Its history as it was read.
    pub expected: Option<HeadState>,
    /// Entries that were there, where the interval algebra needs more than HEAD.
    pub existing: Vec<Span>,
    /// What live must be when the batch is applied.
    pub expected_live: ExpectedLive,
    /// The content of live as it was read, for people and for `plan_oid`.
    pub live_oid: Option<Oid>,
    /// What is done to live.
    pub live: LiveWrite,
    /// The versioned content before and after, for people.
    pub before: Option<Arc<Value>>,
    /// See `before`.
    pub after: Option<Arc<Value>>,
    /// The entries, in ascending seq.
    pub entries: Vec<PlannedEntry>,
}

/// One entry that is going to be written; what the batch decides (seq, times, ids) is still open.
#[derive(Debug, Clone)]
pub struct PlannedEntry {
    /// What makes it.
    pub op: Op,
    /// Its content; `None` for a tombstone.
    pub oid: Option<Oid>,
    /// The entries the author had seen; `None` where none was declared.
    pub base: Option<Vec<EntryId>>,
    /// Its author, where it is not the plan's.
    pub author: Option<Author>,
    /// Its message, where it is not the plan's.
    pub message: Option<String>,
    /// When its content became live; `None` means with the batch.
    pub valid_from: Option<Timestamp>,
    /// Whether `valid_from` is a guess.
    pub estimated: bool,
    /// What is recorded besides.
    pub meta: Object,
    /// What is stored.
    pub doc: StoredDoc,
    /// The stored document as a value, without secrets: what the gates look at.
    pub content: Option<Arc<Value>>,
    /// Git shas to link with it.
    pub git_shas: Vec<String>,
}

impl PlannedEntry {
    /// Returns whether a document is stored with the entry.
    pub fn doc_state(&self) -> DocState {
        match self.doc {
            StoredDoc::None => DocState::None,
            StoredDoc::Edited { .. } | StoredDoc::Given(_) => DocState::Present,
        }
    }
}
