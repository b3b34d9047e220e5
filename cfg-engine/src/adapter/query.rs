//! What is read, and what a read returns. Every read is batched or streamed.

use std::sync::Arc;
use std::time::Duration;

use super::batch::{HeadRef, NativeImage, ObjectKey, TipRef};
use crate::document::{CanonicalError, EntryId, FieldPolicy, Oid, Value, oid};
use crate::history::{Author, CollectionName, EnvName, OpId, RecordKey, Seq, Timestamp};

/// Which records are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Every record of the env, in the collections that are configured or, with a name, in one.
    All(Option<CollectionName>),
    /// These, in any order; results come in the order of record keys.
    Records(Vec<RecordKey>),
}

/// A reading of the store's clock: its instant, and the adapter's monotonic time when it was taken.
///
/// The engine never looks at a clock of its own: [`now_from`](ClockReading::now_at) adds the
/// monotonic time that has passed since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockReading {
    /// What the store's clock said.
    pub store: Timestamp,
    /// [`StorageAdapter::monotonic`](super::StorageAdapter::monotonic) at that moment.
    pub taken: Duration,
}

impl ClockReading {
    /// Returns the store's time at monotonic time `now`.
    pub fn now_at(&self, now: Duration) -> Timestamp {
        let passed = now.saturating_sub(self.taken).as_millis();
        self.store.plus_millis(i64::try_from(passed).unwrap_or(i64::MAX))
    }
}

/// What live holds for one record.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Live<D = LiveDoc> {
    /// No row satisfies the live rule; so many rows carry the id but fail the rule (0 when the read
    /// was not asked to count them).
    Absent {
        /// Rows with that id that fail the live rule.
        outside_rule: u64,
    },
    /// The one live row.
    One(D),
    /// More than one row satisfies the live rule.
    Ambiguous {
        /// How many.
        rows: u64,
    },
    /// The row is there and cannot be read as a document.
    Unreadable {
        /// Why, without values.
        reason: String,
    },
}

/// A live document: the engine's value, its oid, and the store's own form.
#[derive(Debug, Clone)]
pub struct LiveDoc {
    /// The full effective document, secrets included.
    pub value: Arc<Value>,
    /// The address of its versioned part, or why there is none.
    pub oid: Result<Oid, CanonicalError>,
    /// The store's own form.
    pub image: NativeImage,
}

impl LiveDoc {
    /// Takes what an adapter read and computes the oid.
    pub fn new(value: Value, image: NativeImage, policy: &FieldPolicy) -> Self {
        let oid = oid(&value, policy);
        LiveDoc { value: Arc::new(value), oid, image }
    }
}

/// What is left of a live document where only its content address is asked for.
#[derive(Debug, Clone)]
pub struct LiveDigest {
    /// The address of its versioned part, or why there is none.
    pub oid: Result<Oid, CanonicalError>,
}

/// What a read of live gives: the document, or its address alone.
pub trait LiveContent {
    /// Returns the address of the versioned part, or why there is none.
    fn oid(&self) -> &Result<Oid, CanonicalError>;
}

impl LiveContent for LiveDoc {
    fn oid(&self) -> &Result<Oid, CanonicalError> {
        &self.oid
    }
}

impl LiveContent for LiveDigest {
    fn oid(&self) -> &Result<Oid, CanonicalError> {
        &self.oid
    }
}

impl<D> RecordState<D> {
    /// Keeps only the address of what live holds, which is known already.
    pub fn digested(self, oid: Oid) -> RecordState<LiveDigest> {
        let live = Live::One(LiveDigest { oid: Ok(oid) });
        RecordState { record: self.record, live, head: self.head, clock: self.clock }
    }
}

impl From<RecordState> for RecordState<LiveDigest> {
    /// Drops the document.
    fn from(state: RecordState) -> Self {
        let live = match state.live {
            Live::One(doc) => Live::One(LiveDigest { oid: doc.oid }),
            Live::Absent { outside_rule } => Live::Absent { outside_rule },
            Live::Ambiguous { rows } => Live::Ambiguous { rows },
            Live::Unreadable { reason } => Live::Unreadable { reason },
        };
        RecordState { record: state.record, live, head: state.head, clock: state.clock }
    }
}

/// Live rows of one collection that belong to no record, because their ids cannot be records' ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Strays {
    /// Of which collection.
    pub collection: CollectionName,
    /// How many rows.
    pub rows: u64,
    /// What their ids are, without values: `2 NULL, 1 a number with a fraction`.
    pub reason: String,
    /// How to find them.
    pub hint: String,
}

/// What comes by in a pass over live and history.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "nearly every one is the larger")]
pub enum Digested {
    /// A record.
    Record(RecordState<LiveDigest>),
    /// Rows that belong to none, once for each collection that has some, behind its records.
    Strays(Strays),
}

impl From<RecordState<LiveDigest>> for Digested {
    fn from(state: RecordState<LiveDigest>) -> Self {
        Digested::Record(state)
    }
}

/// HEAD and tip of one record, and who wrote HEAD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadState {
    /// HEAD.
    pub head: HeadRef,
    /// The newest-written entry.
    pub tip: TipRef,
    /// Who wrote HEAD.
    pub author: Author,
    /// When HEAD was written.
    pub recorded_at: Timestamp,
}

/// Live and head of one record, read in one round trip.
#[derive(Debug, Clone)]
pub struct RecordState<D = LiveDoc> {
    /// Which record.
    pub record: RecordKey,
    /// What live holds.
    pub live: Live<D>,
    /// What history designates as current; `None` while untracked.
    pub head: Option<HeadState>,
    /// The store's clock at this read.
    pub clock: ClockReading,
}

/// Which instant is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsOf {
    /// What was live at `T`: `valid_from <= T < valid_to`.
    Valid(Timestamp),
    /// What HEAD was at `R`: `recorded_at <= R < superseded_at`.
    Recorded(Timestamp),
    /// Among entries with `recorded_at <= recorded` and `valid_from <= valid`, the greatest in valid order.
    Both {
        /// The instant on the recorded axis.
        recorded: Timestamp,
        /// The instant on the valid axis.
        valid: Timestamp,
    },
}

/// How much of an entry is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// Everything but the document.
    Header,
    /// The document too.
    Document,
}

/// In which order a record's entries come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Highest seq first.
    NewestFirst,
    /// Lowest seq first.
    OldestFirst,
}

/// Which entries are read. Results come by record key, then by seq in `order`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryQuery {
    /// Of which env.
    pub env: EnvName,
    /// Of which records.
    pub scope: Scope,
    /// Only these seqs (for one or more records); empty means all.
    pub seqs: Vec<Seq>,
    /// Only entries of this batch.
    pub op_id: Option<OpId>,
    /// Only entries recorded at or after.
    pub since: Option<Timestamp>,
    /// Only entries recorded at or before.
    pub until: Option<Timestamp>,
    /// Only entries whose author id is this.
    pub author: Option<String>,
    /// Only entries that carry this git sha (or start with it).
    pub git_sha: Option<String>,
    /// In which order.
    pub order: Order,
    /// With `across`, newest first over all records by `recorded_at` instead of record by record,
    /// whatever `order` says; at one instant by record key, then highest seq first.
    pub across: bool,
    /// At most so many in all.
    pub limit: Option<u64>,
    /// How much of each.
    pub detail: Detail,
}

impl EntryQuery {
    /// Asks for every header of a scope, oldest first.
    pub fn new(env: EnvName, scope: Scope) -> Self {
        EntryQuery {
            env,
            scope,
            seqs: Vec::new(),
            op_id: None,
            since: None,
            until: None,
            author: None,
            git_sha: None,
            order: Order::OldestFirst,
            across: false,
            limit: None,
            detail: Detail::Header,
        }
    }
}

/// Where an entry stands and what it holds: enough to decide, without its document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryAddress {
    /// Which record.
    pub record: RecordKey,
    /// Its number.
    pub seq: Seq,
    /// Its content; `None` for a tombstone or redact entry.
    pub oid: Option<Oid>,
    /// Its id.
    pub entry_id: EntryId,
    /// When it was written.
    pub recorded_at: Timestamp,
    /// When its content became live.
    pub valid_from: Timestamp,
    /// Whether `valid_from` is a guess.
    pub valid_from_estimated: bool,
    /// Whether it takes part in valid order (not a redact entry).
    pub in_valid_order: bool,
}

/// One answer of a system as-of question.
#[derive(Debug, Clone, PartialEq)]
pub struct AsOfRow<T> {
    /// The entry.
    pub entry: T,
    /// The instant asked about lies before the record's estimated baseline, which is what this row
    /// holds: what was live then is not known.
    pub estimated_before_import: bool,
}

/// One of the engine's own documents, as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredObject {
    /// Which.
    pub key: ObjectKey,
    /// Its version, from 1. A deletion counts: no version of a name ever comes again.
    pub version: u64,
    /// Its content.
    pub body: Value,
    /// The batch that wrote it.
    pub op_id: OpId,
    /// When.
    pub recorded_at: Timestamp,
}
