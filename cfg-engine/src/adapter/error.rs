//! What can go wrong in a store. No message carries a URI, a user, a password or a document.

use crate::adapter::HeadState;
use crate::history::{RecordKey, Timestamp};

/// An adapter's error.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum AdapterError {
    /// The record's head or tip is not the expected one. Nothing was written.
    #[error("head of {record} moved")]
    StaleHead {
        /// Which record.
        record: RecordKey,
        /// What is there now.
        current: Option<Box<HeadState>>,
    },
    /// Live is not what the change expects. Nothing was written.
    #[error("live document of {record} changed")]
    StaleLive {
        /// Which record.
        record: RecordKey,
    },
    /// An object is not at the expected version. Nothing was written.
    #[error("{kind} {name} changed")]
    StaleObject {
        /// The kind.
        kind: String,
        /// The name.
        name: String,
    },
    /// The batch's `recorded_at` is not later than a tip, or too far from the store's clock. Nothing was written.
    #[error("the batch's time does not fit the store's clock")]
    Clock {
        /// The store's clock.
        now: Timestamp,
    },
    /// More than one row satisfies the live rule. Nothing was written.
    #[error("{rows} live rows for {record}")]
    Ambiguous {
        /// Which record.
        record: RecordKey,
        /// How many.
        rows: u64,
    },
    /// The row as it would be written is not the one row that satisfies the live rule. Nothing was written.
    #[error("the written row of {record} would not satisfy the live rule")]
    LiveRule {
        /// Which record.
        record: RecordKey,
    },
    /// A value that the store cannot hold. Nothing was written.
    #[error("the store cannot hold {what} at {path} of {record}")]
    Unstorable {
        /// Which record.
        record: RecordKey,
        /// Where.
        path: String,
        /// What, without the value.
        what: String,
    },
    /// A document beyond the store's limit. Nothing was written.
    #[error("the document of {record} has {bytes} bytes, more than the {limit} the store takes")]
    TooLarge {
        /// Which record.
        record: RecordKey,
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// A batch beyond [`Capabilities::max_batch_records`](super::Capabilities::max_batch_records). Nothing was written.
    #[error("a batch of {records} records, more than the {limit} the store takes")]
    BatchTooLarge {
        /// Its size.
        records: usize,
        /// The limit.
        limit: usize,
    },
    /// A table, column or permission that is missing, or a schema that is not initialised.
    #[error("{problem}")]
    Setup {
        /// What, without values.
        problem: String,
        /// What to do.
        hint: String,
    },
    /// The store itself refused the write: a constraint of the user's table. Nothing was written.
    #[error("the database refused to write {record}: {reason}")]
    Refused {
        /// Which record.
        record: RecordKey,
        /// The constraint, without values.
        reason: String,
    },
    /// Somebody else holds the store's lock. Nothing was written.
    #[error("the database is locked by another writer")]
    Busy,
    /// The outcome of a commit is not known: look it up by op_id.
    #[error("the connection broke before the store confirmed the write")]
    UnknownOutcome,
    /// The store cannot be reached.
    #[error("cannot reach {store}: {reason}")]
    Unreachable {
        /// The store and host, without credentials.
        store: String,
        /// Why, without credentials.
        reason: String,
    },
    /// What the engine keeps is damaged.
    #[error("damaged history: {problem}")]
    Damaged {
        /// What, without values.
        problem: String,
    },
    /// Anything else the store says.
    #[error("{store}: {reason}")]
    Storage {
        /// The store.
        store: &'static str,
        /// What it said, without values.
        reason: String,
    },
}
