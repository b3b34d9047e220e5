//! History: records, entries, the hash chain, time, intervals, references.

mod entry;
mod interval;
mod record;
mod redaction;
mod reference;
mod tag_name;
mod time;

pub use entry::{Author, AuthorClass, DocState, Entry, EntryHeader, HEADER_VERSION, MessageHash, Op};
pub use interval::{Ends, Insertion, Span, as_of_both, head, insert, interval_ends};
pub use record::{CollectionName, EnvName, IdKey, MAX_ID_BYTES, NameError, OpId, RecordKey, Seq};
pub(crate) use redaction::has_mark;
pub use redaction::{REDACTED, Redacted, Redaction, is_redacted, places};
pub use reference::{Reference, ReferenceError};
pub use tag_name::TagName;
pub use time::{TimeError, Timestamp};
