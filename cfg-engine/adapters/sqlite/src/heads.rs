//! Rows of the table of heads.

use cfg_engine::adapter::{AdapterError, HeadRef, HeadState, TipRef};
use cfg_engine::document::{EntryId, Oid};
use cfg_engine::history::{Author, AuthorClass, Seq, Timestamp};
use rusqlite::Row;
use rusqlite::types::ValueRef;

use crate::errors::{OrAdapterError, damaged};

/// The columns that [`read`] takes, of a table called `h`.
pub(crate) const COLUMNS: &str = "h.head_seq, h.head_oid, h.head_entry_id, h.head_author_id, h.head_author_class, \
                                  h.head_recorded_at, h.tip_seq, h.tip_entry_id, h.tip_recorded_at";

/// Reads HEAD and tip of a record that is known, where the row of its head may be missing.
pub(crate) fn read_or_lost(row: &Row<'_>, first: usize) -> Result<HeadState, AdapterError> {
    if matches!(row.get_ref(first).sql()?, ValueRef::Null) {
        return Err(damaged("the record has a history and no head"));
    }
    read(row, first)
}

/// Reads HEAD and tip; `first` is the place of the first column.
pub(crate) fn read(row: &Row<'_>, first: usize) -> Result<HeadState, AdapterError> {
    let class = row.get_ref(first + 4).sql()?.as_str().unwrap_or_default();
    Ok(HeadState {
        head: HeadRef {
            seq: seq(row, first)?,
            oid: row.get::<_, Option<[u8; 32]>>(first + 1).sql()?.map(Oid::from_bytes),
            entry_id: EntryId::from_bytes(row.get(first + 2).sql()?),
        },
        tip: TipRef {
            seq: seq(row, first + 6)?,
            entry_id: EntryId::from_bytes(row.get(first + 7).sql()?),
            recorded_at: Timestamp::from_millis(row.get(first + 8).sql()?),
        },
        author: Author { id: row.get(first + 3).sql()?, class: author_class(class)? },
        recorded_at: Timestamp::from_millis(row.get(first + 5).sql()?),
    })
}

pub(crate) fn author_class(word: &str) -> Result<AuthorClass, AdapterError> {
    AuthorClass::parse(word).ok_or_else(|| damaged("an author class that there is not"))
}

/// Reads the number of an entry.
pub(crate) fn seq(row: &Row<'_>, at: usize) -> Result<Seq, AdapterError> {
    let seq: i64 = row.get(at).sql()?;
    u64::try_from(seq).map(Seq).map_err(|_| damaged("an entry with a negative number"))
}

/// The number of an entry as a column holds it.
pub(crate) fn seq_column(seq: Seq) -> i64 {
    i64::try_from(seq.0).unwrap_or(i64::MAX)
}
