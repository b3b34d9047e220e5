//! A computed, content-addressed set of changes that is not yet applied, and the gates it passes.
//!
//! Every mutating verb computes a [`Plan`]; [`gates`] judge it; what they clear becomes a
//! [`Batch`](crate::adapter::Batch). Nothing else can make one.

mod activate;
mod adopt;
pub(crate) mod approval;
mod base;
mod bind;
mod commit;
mod document;
pub mod gates;
mod live_edit;
mod loaded;
mod noted_secrets;
pub(crate) mod permit;
mod preimage;
mod remove;
mod restore;
mod rules;
mod seed;
mod standing;
pub(crate) mod stored;
mod system;
#[cfg(test)]
mod tests;
mod undo;
mod upkeep;
mod view;

pub(crate) use activate::{ActivateInput, plan_activate};
pub(crate) use adopt::{AdoptInput, plan_adopt, plan_import, plan_strip};
pub use approval::{Approval, ApprovalState, Denial, Statement, Vote, public_key};
pub use base::Base;
pub(crate) use bind::Bound;
pub use commit::Content;
pub(crate) use commit::{CommitInput, plan_commit};
pub(crate) use document::{refuse_stray_markers, with_id};
pub(crate) use loaded::{HashedDoc, LoadedVersion};
pub(crate) use remove::plan_remove;
pub(crate) use restore::{RestoreInput, plan_restore};
pub(crate) use rules::{POLICY, Planned, Rules};
pub(crate) use seed::seed_document;
pub(crate) use standing::Standing;
pub(crate) use system::{Manner, SeenState, Target, plan_step};
pub(crate) use undo::{UndoInput, plan_undo};
pub use upkeep::Upkeep;
pub use view::PlanView;

use std::sync::Arc;

use crate::adapter::{ExpectedLive, HeadState, LiveWrite, ObjectWrite, Overwrite, StoredDoc};
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
    /// `tag`.
    Tag,
    /// `activate`.
    Activate,
    /// `undo`.
    Undo,
    /// `hooks`: linking code commits with versions.
    Link,
    /// `fsck --repair`.
    Repair,
    /// `redact`.
    Redact,
    /// Asking for an approval, giving and refusing one.
    Approval,
    /// `init --loosen`: a policy that is less strict than the stored one.
    Policy,
}

impl Verb {
    /// Every verb: what a test walks so that none is forgotten.
    pub const ALL: [Verb; 14] = [
        Verb::Commit,
        Verb::Restore,
        Verb::Adopt,
        Verb::Import,
        Verb::Remove,
        Verb::Init,
        Verb::Tag,
        Verb::Activate,
        Verb::Undo,
        Verb::Link,
        Verb::Repair,
        Verb::Redact,
        Verb::Approval,
        Verb::Policy,
    ];
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
            Verb::Tag => "tag",
            Verb::Activate => "activate",
            Verb::Undo => "undo",
            Verb::Link => "link",
            Verb::Repair => "fsck",
            Verb::Redact => "redact",
            Verb::Approval => "approve",
            Verb::Policy => "init",
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
    /// What is written beside entries, of records that have no change.
    pub upkeep: Vec<Upkeep>,
    /// Whether it needs an approval on every env, gated or not.
    pub always_gated: bool,
    /// It goes over what others did, because it was told to: `--force`.
    pub forced: bool,
    /// What an approval of it is an approval of.
    pub grain: Grain,
}

/// Of what parts a plan is made that may be carried out one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Grain {
    /// Each change of a record as a whole, on the head and live document that it was planned on.
    #[default]
    Change,
    /// Each entry by itself: a history is loaded in as many batches as it takes, and every one of them
    /// moves the head that the next is planned on.
    Entry,
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
    /// What is overwritten of older entries, in ascending seq.
    pub overwrites: Vec<Overwrite>,
    /// Whether it needs an approval on every env, gated or not.
    pub always_gated: bool,
}

impl PlannedChange {
    /// Returns whether live was not what history says when this was planned.
    pub(crate) fn is_dirty(&self) -> bool {
        self.expected.as_ref().is_some_and(|head| head.head.oid != self.live_oid)
    }
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
