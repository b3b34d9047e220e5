//! The storage contract: [`StorageAdapter`], and the [`Batch`] that is its one write.

mod batch;
mod capabilities;
mod check;
mod error;
mod memory;
mod overwrite;
mod query;

use std::time::Duration;

use async_trait::async_trait;
use futures_core::stream::BoxStream;

pub use batch::{
    Batch, Change, ENV_OBJECT, ExpectedHead, ExpectedLive, ExpectedVersion, HeadRef, LiveWrite, NativeImage, NewEntry,
    ObjectGuard, ObjectKey, ObjectWrite, StoredDoc, TipRef,
};
pub use capabilities::{Capabilities, Caveat};
pub use check::{Mending, StoreFinding};
pub use error::AdapterError;
pub use memory::{MemoryAdapter, MemoryClock};
pub use overwrite::{Overwrite, StoredDigest, overwritten_texts};
pub use query::{
    AsOf, AsOfRow, ClockReading, Detail, Digested, EntryAddress, EntryQuery, HeadState, Live, LiveContent, LiveDigest,
    LiveDoc, Order, RecordState, Scope, StoredObject, Strays,
};

use crate::config::CollectionConfig;
use crate::document::Value;
use crate::history::{CollectionName, Entry, EnvName, RecordKey};

/// A stream of chunks. One call is one snapshot of the store; a chunk is what came in one piece.
pub type Chunks<'a, T> = BoxStream<'a, Result<Vec<T>, AdapterError>>;

/// A database that holds live records and, beside them, their history.
///
/// The engine decides, the adapter stores: no method knows what a commit or a restore is. Every
/// method may be called from several tasks at once.
#[async_trait]
pub trait StorageAdapter: Send + Sync {
    /// Returns what this store can do.
    fn capabilities(&self) -> &Capabilities;

    /// Returns the collections that this adapter was opened with, completed by what the store knows:
    /// the type of the ids, and generated or identity columns (other than the id) as ignored fields.
    fn collections(&self) -> &[CollectionConfig];

    /// Returns a monotonic time, for measuring how old a [`ClockReading`] is. Its zero is arbitrary.
    fn monotonic(&self) -> Duration;

    /// Reads the store's clock.
    ///
    /// # Errors
    ///
    /// [`AdapterError::Unreachable`] and the like.
    async fn clock(&self) -> Result<ClockReading, AdapterError>;

    /// Returns what [`ensure_schema`](Self::ensure_schema) would run, in the store's own words; empty
    /// when everything is there.
    ///
    /// # Errors
    ///
    /// [`AdapterError::Unreachable`] and the like.
    async fn pending_schema(&self) -> Result<Vec<String>, AdapterError>;

    /// Creates the engine's own tables and indexes where they are missing. Idempotent; touches
    /// nothing of the user's. Returns what it ran.
    ///
    /// # Errors
    ///
    /// [`AdapterError::Setup`] where a permission is missing.
    async fn ensure_schema(&self) -> Result<Vec<String>, AdapterError>;

    /// Checks that a collection's live table has what the configuration names; returns advice that
    /// is no error (a missing index on the id, for example).
    ///
    /// # Errors
    ///
    /// [`AdapterError::Setup`] naming the table or column that is missing or cannot be mapped.
    async fn check_collection(&self, collection: &CollectionName) -> Result<Vec<String>, AdapterError>;

    /// Streams live and head of records: the union of what live and history hold, by record key,
    /// in one snapshot. With [`Scope::Records`] every record asked for comes back, untracked and
    /// absent ones too, once however often it is named, and rows outside the live rule are counted.
    ///
    /// A row whose id cannot be a record's (absent, null, a fraction) belongs to no record. A collection
    /// that is not configured, or whose live table or columns are not there, is an [`AdapterError::Setup`]
    /// before the first row.
    fn records<'a>(&'a self, env: &'a EnvName, scope: &'a Scope) -> Chunks<'a, RecordState>;

    /// As [`records`](Self::records), with content addresses instead of documents: each document is
    /// dropped where it was read. With [`Scope::All`], rows that belong to no record because of their
    /// ids are counted on the way, and said behind the records of their collection.
    fn digests<'a>(&'a self, env: &'a EnvName, scope: &'a Scope) -> Chunks<'a, Digested>;

    /// Streams entries. One record's entries are never torn between two snapshots. Reads of history
    /// are not errors where nothing is there: no env, no collection, no record of that name.
    fn entries<'a>(&'a self, query: &'a EntryQuery) -> Chunks<'a, Entry>;

    /// Streams the addresses of a scope's entries by record key and seq, without documents.
    fn addresses<'a>(&'a self, env: &'a EnvName, scope: &'a Scope) -> Chunks<'a, EntryAddress>;

    /// Streams, by record key, the one entry of each record that an as-of question picks: none before
    /// the first entry or while a tombstone holds. On the valid axis a record whose estimated baseline
    /// is later than the instant comes as a row flagged `estimated_before_import`; the baseline is the
    /// least entry in valid order (of those recorded by then, where both axes are asked about).
    fn as_of<'a>(&'a self, env: &'a EnvName, scope: &'a Scope, at: AsOf, detail: Detail) -> Chunks<'a, AsOfRow<Entry>>;

    /// As [`as_of`](Self::as_of), addresses only.
    fn as_of_addresses<'a>(&'a self, env: &'a EnvName, scope: &'a Scope, at: AsOf)
    -> Chunks<'a, AsOfRow<EntryAddress>>;

    /// Reads the engine's own documents of one kind, all or by name, ordered by name.
    ///
    /// # Errors
    ///
    /// [`AdapterError::Unreachable`] and the like.
    async fn objects(&self, kind: &str, name: Option<&str>) -> Result<Vec<StoredObject>, AdapterError>;

    /// Looks for what only the store can see to be wrong: rows of the engine's own tables that belong to no
    /// record, writes that were announced and never finished. With [`Mending::Repair`] it finishes or takes
    /// back what it can without making up content.
    ///
    /// # Errors
    ///
    /// [`AdapterError::Unreachable`] and the like; what is found is no error.
    async fn check_store(&self, env: &EnvName, mending: Mending) -> Result<Vec<StoreFinding>, AdapterError>;

    /// Says whether this store can hold `doc` as the live document of `record`.
    ///
    /// # Errors
    ///
    /// [`AdapterError::Unstorable`] with the path, or [`AdapterError::TooLarge`].
    fn check_document(&self, record: &RecordKey, doc: &Value) -> Result<(), AdapterError>;

    /// Maps an older version onto what the store can hold now. In the row shape a missing column takes
    /// its default and a vanished one is refused unless its value is null; elsewhere this is `doc`.
    ///
    /// # Errors
    ///
    /// [`AdapterError::Unstorable`] naming the vanished column.
    async fn fit(&self, record: &RecordKey, doc: Value) -> Result<Value, AdapterError>;

    /// Applies a batch: all of it or nothing.
    ///
    /// Inside one transaction it checks every expectation (head and tip, live, object versions, and
    /// the batch's time: later than each tip, not more than 2 s behind the store's clock, and not
    /// more than 2 s ahead of it unless it is exactly a tip plus 1 ms), then writes entries, closed
    /// intervals, heads, live and objects, and overwrites what is stored of older entries where it is what was
    /// seen.
    ///
    /// Applying the same batch again after it was committed does not write again: a head has moved.
    /// That is what is reported, whatever else fails by then: heads are checked before objects, and both
    /// before time and live. The engine then looks the op_id up.
    ///
    /// # Errors
    ///
    /// A stale, clock, live-rule, size or setup error means that nothing was written;
    /// [`AdapterError::UnknownOutcome`] means that it is not known.
    async fn apply(&self, batch: &Batch) -> Result<(), AdapterError>;
}
