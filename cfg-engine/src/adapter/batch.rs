//! [`Batch`]: the one thing an adapter applies, as one transaction, all of it or nothing.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use super::overwrite::Overwrite;
use crate::document::{EntryId, Object, Oid, PathChange, Value};
use crate::history::{Ends, EntryHeader, OpId, RecordKey, Seq, Timestamp};

/// A document as the store holds it: BSON bytes, JSON text, a row. Opaque to the engine, which only
/// hands it back.
#[derive(Clone)]
pub struct NativeImage(Arc<dyn Any + Send + Sync>);

impl NativeImage {
    /// Wraps an adapter's own form.
    pub fn new<T: Any + Send + Sync>(native: T) -> Self {
        NativeImage(Arc::new(native))
    }

    /// Returns the adapter's own form.
    pub fn get<T: Any + Send + Sync>(&self) -> Option<&T> {
        self.0.downcast_ref()
    }
}

impl fmt::Debug for NativeImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<image>")
    }
}

/// The entry that a record's history designates as current.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadRef {
    /// Its number.
    pub seq: Seq,
    /// Its content; `None` for a tombstone.
    pub oid: Option<Oid>,
    /// Its id.
    pub entry_id: EntryId,
}

/// The newest-written entry of a record; it differs from HEAD after a backdated import.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TipRef {
    /// Its number.
    pub seq: Seq,
    /// Its id.
    pub entry_id: EntryId,
    /// When it was written.
    pub recorded_at: Timestamp,
}

/// What a change expects of the record's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpectedHead {
    /// No entry yet.
    Absent,
    /// Exactly this head and this tip.
    At {
        /// HEAD.
        head: HeadRef,
        /// The tip.
        tip: TipRef,
    },
    /// No head row, or one that cannot be read, beside entries of which this is the newest. Only a repair
    /// expects it, and it writes no entries.
    Lost {
        /// The newest entry.
        tip: TipRef,
    },
}

/// What a change expects of live. The comparison is made inside the transaction.
#[derive(Debug, Clone)]
pub enum ExpectedLive {
    /// Live is not looked at.
    Unchecked,
    /// No row that satisfies the live rule.
    Absent,
    /// A row whose versioned part is that of the image, and whose values at the paths that the
    /// change writes are exactly those of the image. Ignored fields may have moved.
    At(NativeImage),
}

impl ExpectedLive {
    /// Expects nothing where a bug is planted.
    pub(crate) fn unless(self, is_planted: bool) -> Self {
        if is_planted { ExpectedLive::Unchecked } else { self }
    }
}

/// What a change does to live.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum LiveWrite {
    /// Nothing.
    Leave,
    /// Applies path changes to the one live row, whatever its ignored fields hold by then.
    Update(Vec<PathChange>),
    /// Inserts a row. The adapter lays the live rule's equality pairs and the id over it and
    /// refuses ([`AdapterError::LiveRule`](super::AdapterError::LiveRule)) if the result is not the
    /// one row that satisfies the rule.
    Seed(Value),
    /// Deletes the one live row.
    Delete,
    /// Makes a document live where the rows of one id take turns.
    ///
    /// The row that is live now, if there is one, gets the fields of `retire`; it must no longer satisfy
    /// the live rule. Then a row of this id outside the rule (not the one just retired) that has the versioned
    /// content of `doc` gets the rule's equality pairs and nothing else; both are compared with the pairs laid
    /// over them. Where there is none, a row is inserted as by [`Seed`](LiveWrite::Seed). Afterwards exactly one
    /// row satisfies the rule, or nothing was written
    /// ([`AdapterError::LiveRule`](super::AdapterError::LiveRule)).
    Activate {
        /// What makes the row that is live now no longer live.
        retire: Object,
        /// The document that becomes live.
        doc: Value,
    },
}

/// The document stored with an entry.
#[derive(Debug, Clone)]
pub enum StoredDoc {
    /// None: a tombstone or a redact entry.
    None,
    /// The image as it was read, with these changes made to it (secrets unset, the commit's edits).
    Edited {
        /// As it was read.
        image: NativeImage,
        /// What is changed in it.
        changes: Vec<PathChange>,
    },
    /// A value that came from elsewhere: a file, a first commit, an older version.
    Given(Value),
}

/// One entry to be written.
#[derive(Debug, Clone)]
pub struct NewEntry {
    /// The hashed fields, complete.
    pub header: EntryHeader,
    /// The id: the header's hash.
    pub entry_id: EntryId,
    /// The message whose hash the header holds.
    pub message: String,
    /// The stored document.
    pub doc: StoredDoc,
    /// The cached ends of its intervals.
    pub ends: Ends,
    /// Code commits that shipped this version.
    pub git_shas: Vec<String>,
}

/// All that happens to one record in a batch.
#[derive(Debug, Clone)]
pub struct Change {
    /// Which record.
    pub record: RecordKey,
    /// What its history must be.
    pub expected_head: ExpectedHead,
    /// What live must be.
    pub expected_live: ExpectedLive,
    /// What is done to live.
    pub live: LiveWrite,
    /// New entries, in ascending seq, the first being the tip's plus one.
    pub entries: Vec<NewEntry>,
    /// Older entries whose cached ends change.
    pub closed: Vec<(Seq, Ends)>,
    /// HEAD afterwards; `None` only where there is no history and none is written.
    pub new_head: Option<HeadRef>,
    /// Git shas that are added to entries that are there, each at most once. What they have stays.
    pub links: Vec<(Seq, Vec<String>)>,
    /// Set by a repair alone: the tip as the entries say. Then head and tip are written as given, and the
    /// head's author and time are read from its entry, whatever the row of the head says.
    pub mended_tip: Option<TipRef>,
    /// Older entries of which the stored document or the message is overwritten; each once, in ascending seq, and
    /// only beside a `redact` entry.
    pub overwrites: Vec<Overwrite>,
}

impl Change {
    /// Returns the tip after this change, if it writes entries or mends the tip.
    pub fn new_tip(&self) -> Option<TipRef> {
        let last = self.entries.last().map(|entry| TipRef {
            seq: entry.header.seq,
            entry_id: entry.entry_id,
            recorded_at: entry.header.recorded_at,
        });
        last.or(self.mended_tip)
    }
}

/// The name of one of the engine's own documents: `tag/june`, `plan/…`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey {
    /// The kind: `env`, `tag`, `manifest`, `plan`, `approval`, …
    pub kind: String,
    /// The name within the kind.
    pub name: String,
}

/// What a write of an object expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpectedVersion {
    /// No such object.
    Absent,
    /// Exactly this version.
    At(u64),
}

/// A write of one of the engine's own documents.
#[derive(Debug, Clone)]
pub struct ObjectWrite {
    /// Which.
    pub key: ObjectKey,
    /// What must be there.
    pub expected: ExpectedVersion,
    /// The new content; `None` deletes.
    pub body: Option<Value>,
}

/// The kind of object that every batch guards: what the store says of an env.
pub const ENV_OBJECT: &str = "env";

/// An object that a batch does not write and that must be as expected: the same comparison as of one that
/// it writes, in the same snapshot. A batch never both writes and guards one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectGuard {
    /// Which.
    pub key: ObjectKey,
    /// What must be there.
    pub expected: ExpectedVersion,
}

/// One transaction: changes of records and writes of objects, under one `op_id` and at one instant.
///
/// Only the gates make one, from a plan that passed them.
#[derive(Debug, Clone)]
pub struct Batch {
    op_id: OpId,
    recorded_at: Timestamp,
    changes: Vec<Change>,
    objects: Vec<ObjectWrite>,
    guards: Vec<ObjectGuard>,
}

impl Batch {
    /// Assembles a batch. Crate-private: the gates are the only callers.
    pub(crate) fn seal(op_id: OpId, recorded_at: Timestamp, changes: Vec<Change>, objects: Vec<ObjectWrite>) -> Self {
        Batch { op_id, recorded_at, changes, objects, guards: Vec::new() }
    }

    /// Adds objects that must be as expected.
    #[must_use]
    pub(crate) fn guarded(mut self, guards: Vec<ObjectGuard>) -> Self {
        self.guards = guards;
        self
    }

    /// Assembles a batch without the gates, for the tests of the storage contract.
    #[cfg(feature = "conformance")]
    pub fn for_conformance(
        op_id: OpId,
        recorded_at: Timestamp,
        changes: Vec<Change>,
        objects: Vec<ObjectWrite>,
    ) -> Self {
        Self::seal(op_id, recorded_at, changes, objects)
    }

    /// Adds objects that must be as expected, for the tests of the storage contract.
    #[cfg(feature = "conformance")]
    #[must_use]
    pub fn guarded_for_conformance(self, guards: Vec<ObjectGuard>) -> Self {
        self.guarded(guards)
    }

    /// Returns the identity by which an unknown outcome is looked up.
    pub fn op_id(&self) -> &OpId {
        &self.op_id
    }

    /// Returns the `recorded_at` of every entry in it.
    pub fn recorded_at(&self) -> Timestamp {
        self.recorded_at
    }

    /// Returns the changes, in ascending record key, each record at most once.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// Returns the writes of objects.
    pub fn objects(&self) -> &[ObjectWrite] {
        &self.objects
    }

    /// Returns the objects that are not written and must be as expected. One that is not is
    /// [`AdapterError::StaleObject`](super::AdapterError::StaleObject), and nothing is written.
    pub fn guards(&self) -> &[ObjectGuard] {
        &self.guards
    }

    /// Returns what the batch expects of objects: of those that it writes first, then of the others.
    pub fn expected_objects(&self) -> impl Iterator<Item = (&ObjectKey, ExpectedVersion)> {
        let written = self.objects.iter().map(|write| (&write.key, write.expected));
        written.chain(self.guards.iter().map(|guard| (&guard.key, guard.expected)))
    }
}
