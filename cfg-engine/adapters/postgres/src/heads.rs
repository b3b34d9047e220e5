//! Rows of the table of heads, and what rows of several tables have in common.

use cfg_engine::adapter::{AdapterError, HeadRef, HeadState, TipRef};
use cfg_engine::document::{EntryId, Oid};
use cfg_engine::history::{Author, AuthorClass, IdKey, Seq, Timestamp};
use tokio_postgres::Row;

use crate::errors::{OrAdapterError, damaged};
use crate::sql::Instant;

/// The columns that [`read`] takes, of a table called `h`.
pub(crate) const COLUMNS: &str = "h.head_seq, h.head_oid, h.head_entry_id, h.head_author_id, h.head_author_class, \
                                  h.head_recorded_at, h.tip_seq, h.tip_entry_id, h.tip_recorded_at";
/// How many they are.
pub(crate) const COUNT: usize = 9;

/// Reads HEAD and tip of a record that is known, where the row of its head may be missing.
pub(crate) fn read_or_lost(row: &Row, first: usize) -> Result<HeadState, AdapterError> {
    if row.try_get::<_, Option<i64>>(first).sql()?.is_none() {
        return Err(damaged("the record has a history and no head"));
    }
    read(row, first)
}

/// Reads HEAD and tip; `first` is the place of the first column.
pub(crate) fn read(row: &Row, first: usize) -> Result<HeadState, AdapterError> {
    Ok(HeadState {
        head: HeadRef {
            seq: seq(row, first)?,
            oid: hash_or_null(row, first + 1)?.map(Oid::from_bytes),
            entry_id: EntryId::from_bytes(hash(row, first + 2)?),
        },
        tip: TipRef {
            seq: seq(row, first + 6)?,
            entry_id: EntryId::from_bytes(hash(row, first + 7)?),
            recorded_at: instant(row, first + 8)?,
        },
        author: Author { id: row.try_get(first + 3).sql()?, class: author_class(row.try_get(first + 4).sql()?)? },
        recorded_at: instant(row, first + 5)?,
    })
}

pub(crate) fn author_class(word: &str) -> Result<AuthorClass, AdapterError> {
    AuthorClass::parse(word).ok_or_else(|| damaged("an author class that there is not"))
}

/// Reads the number of an entry.
pub(crate) fn seq(row: &Row, at: usize) -> Result<Seq, AdapterError> {
    let seq: i64 = row.try_get(at).sql()?;
    u64::try_from(seq).map(Seq).map_err(|_| damaged("an entry with a negative number"))
}

/// The number of an entry as a column holds it.
pub(crate) fn seq_column(seq: Seq) -> i64 {
    i64::try_from(seq.0).unwrap_or(i64::MAX)
}

pub(crate) fn hash(row: &Row, at: usize) -> Result<[u8; 32], AdapterError> {
    hash_or_null(row, at)?.ok_or_else(|| damaged("a hash is missing in the history"))
}

pub(crate) fn hash_or_null(row: &Row, at: usize) -> Result<Option<[u8; 32]>, AdapterError> {
    let bytes: Option<&[u8]> = row.try_get(at).sql()?;
    bytes.map(|bytes| bytes.try_into().map_err(|_| damaged("a hash in the history has not its length"))).transpose()
}

pub(crate) fn instant(row: &Row, at: usize) -> Result<Timestamp, AdapterError> {
    row.try_get::<_, Instant>(at).sql().map(|instant| instant.0)
}

/// Reads an id that the history holds.
pub(crate) fn stored_id(text: &str) -> Result<IdKey, AdapterError> {
    IdKey::from_stored(text).map_err(|error| damaged(format!("a record in the history: {error}")))
}
