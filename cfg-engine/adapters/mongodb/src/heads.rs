//! Documents of the collection of heads.

use bson::raw::RawDocument;
use cfg_engine::adapter::{AdapterError, HeadRef, HeadState, TipRef};
use cfg_engine::document::{EntryId, Oid};
use cfg_engine::history::{Author, AuthorClass, CollectionName, EnvName, IdKey, RecordKey, Seq, Timestamp};

use crate::errors::damaged;

/// Reads the key of a record.
pub(crate) fn read_record(key: &RawDocument) -> Result<RecordKey, AdapterError> {
    let name = || damaged("a record in the history with a name that none can have");
    let text = |field: &str| key.get_str(field).map_err(|_| name());
    Ok(RecordKey {
        env: EnvName::new(text("env")?).map_err(|_| name())?,
        collection: CollectionName::new(text("collection")?).map_err(|_| name())?,
        id: IdKey::from_stored(text("id_key")?).map_err(|_| name())?,
    })
}

/// Reads a head: of which record, and where it stands.
pub(crate) fn read(head: &RawDocument) -> Result<(RecordKey, HeadState), AdapterError> {
    let record = read_record(head.get_document("_id").map_err(|_| damaged("a head without a record"))?)?;
    let state = state(head).ok_or_else(|| damaged(format!("the head of {record} lacks something")))?;
    Ok((record, state))
}

pub(crate) fn state(row: &RawDocument) -> Option<HeadState> {
    let (head, tip) = (row.get_document("head").ok()?, row.get_document("tip").ok()?);
    let author = head.get_document("author").ok()?;
    Some(HeadState {
        head: HeadRef {
            seq: seq(head, "seq")?,
            oid: match head.get("oid").ok()? {
                Some(_) => Some(Oid::from_bytes(bytes(head, "oid")?)),
                None => None,
            },
            entry_id: EntryId::from_bytes(bytes(head, "entry_id")?),
        },
        tip: TipRef {
            seq: seq(tip, "seq")?,
            entry_id: EntryId::from_bytes(bytes(tip, "entry_id")?),
            recorded_at: instant(tip, "recorded_at")?,
        },
        author: Author {
            id: author.get_str("id").ok()?.to_owned(),
            class: AuthorClass::parse(author.get_str("class").ok()?)?,
        },
        recorded_at: instant(head, "recorded_at")?,
    })
}

/// Reads the 32 bytes of a hash.
pub(crate) fn bytes(doc: &RawDocument, field: &str) -> Option<[u8; 32]> {
    doc.get_binary(field).ok()?.bytes.try_into().ok()
}

/// Reads the number of an entry.
pub(crate) fn seq(doc: &RawDocument, field: &str) -> Option<Seq> {
    u64::try_from(doc.get_i64(field).ok()?).ok().map(Seq)
}

/// Reads an instant.
pub(crate) fn instant(doc: &RawDocument, field: &str) -> Option<Timestamp> {
    Some(Timestamp::from_millis(doc.get_datetime(field).ok()?.timestamp_millis()))
}
