//! A batch as documents and statements: everything that can be computed before a transaction begins.

use bson::raw::{RawArrayBuf, RawDocument, RawDocumentBuf, cstr};
use bson::{DateTime, Document, RawBson, doc, rawdoc};
use cfg_engine::Value;
use cfg_engine::adapter::{
    AdapterError, Batch, Change, ExpectedHead, HeadRef, NewEntry, ObjectWrite, Overwrite, StoredDoc, TipRef,
};
use cfg_engine::document::{Object, apply_changes};
use cfg_engine::history::{DocState, Ends, RecordKey, Seq, Timestamp};

use crate::errors::damaged;
use crate::store::Store;
use crate::table::{Image, LiveTable, check_size, unstorable};
use crate::values::{self, binary};

/// A batch, ready to be written.
pub(crate) struct Prepared<'b> {
    pub(crate) batch: &'b Batch,
    pub(crate) changes: Vec<PreparedChange<'b>>,
    /// Bodies of the objects that are written.
    pub(crate) bodies: Vec<(&'b ObjectWrite, Option<String>)>,
}

pub(crate) struct PreparedChange<'b> {
    pub(crate) change: &'b Change,
    /// New entries, complete but for what the live read adds.
    pub(crate) entries: Vec<RawDocumentBuf>,
    /// What becomes of the head's document, and whether it may be there already.
    pub(crate) head: HeadWrite,
}

/// What is written to a head.
pub(crate) enum HeadWrite {
    /// Neither HEAD nor tip change.
    Leave,
    /// HEAD stays, the tip moves.
    Tip(RawDocumentBuf),
    /// Both are new.
    Both { head: RawDocumentBuf, tip: RawDocumentBuf },
    /// Both are as a repair says; who wrote HEAD stands in its entry.
    Mend { head: HeadRef, tip: TipRef },
}

/// Turns a batch into documents.
///
/// # Errors
///
/// What the store cannot hold, and what no gate would have let through.
pub(crate) fn prepare<'b>(store: &Store, batch: &'b Batch) -> Result<Prepared<'b>, AdapterError> {
    let ordered = batch.changes().windows(2).all(|pair| pair[0].record < pair[1].record);
    if !ordered {
        return Err(damaged("the batch's records are not in ascending order, each once"));
    }
    let changes = batch.changes().iter().map(|change| prepare_change(store, change)).collect::<Result<_, _>>()?;
    let body = |write: &'b ObjectWrite| (write, write.body.as_ref().map(Value::to_interchange));
    Ok(Prepared { batch, changes, bodies: batch.objects().iter().map(body).collect() })
}

fn prepare_change<'b>(store: &Store, change: &'b Change) -> Result<PreparedChange<'b>, AdapterError> {
    let table = store.table(&change.record.collection)?;
    let entries: Vec<RawDocumentBuf> = change
        .entries
        .iter()
        .map(|new| {
            let entry = entry(table, &change.record, new)?;
            check_size(&change.record, &entry)?;
            Ok(entry)
        })
        .collect::<Result<_, AdapterError>>()?;
    Ok(PreparedChange { change, entries, head: head_write(change)? })
}

fn head_write(change: &Change) -> Result<HeadWrite, AdapterError> {
    let Some(head) = change.new_head else { return Ok(HeadWrite::Leave) };
    if let Some(tip) = change.mended_tip {
        return Ok(HeadWrite::Mend { head, tip });
    }
    let own = change.entries.iter().find(|entry| entry.entry_id == head.entry_id);
    let before = match change.expected_head {
        ExpectedHead::Absent | ExpectedHead::Lost { .. } => None,
        ExpectedHead::At { head, .. } => Some(head),
    };
    match (own, change.new_tip()) {
        (Some(entry), Some(tip)) => Ok(HeadWrite::Both { head: head_part(&head, entry), tip: tip_part(&tip) }),
        (None, tip) if before.is_some_and(|before| before.entry_id == head.entry_id) => {
            Ok(tip.map_or(HeadWrite::Leave, |tip| HeadWrite::Tip(tip_part(&tip))))
        }
        _ => Err(damaged(format!("the batch for {}: its head is neither the old one nor of it", change.record))),
    }
}

/// HEAD as a repair says, with who wrote it and when as its entry says.
pub(crate) fn mended_head(head: &HeadRef, entry: &bson::raw::RawDocument) -> Option<RawDocumentBuf> {
    let mut part = rawdoc! { "seq": seq_field(head.seq) };
    if let Some(oid) = head.oid {
        part.append(cstr!("oid"), binary(oid.as_bytes()));
    }
    part.append(cstr!("entry_id"), binary(head.entry_id.as_bytes()));
    part.append(cstr!("author"), entry.get_document("author").ok()?);
    part.append(cstr!("recorded_at"), entry.get_datetime("recorded_at").ok()?);
    Some(part)
}

fn head_part(head: &HeadRef, entry: &NewEntry) -> RawDocumentBuf {
    let mut part = rawdoc! { "seq": seq_field(head.seq) };
    if let Some(oid) = head.oid {
        part.append(cstr!("oid"), binary(oid.as_bytes()));
    }
    part.append(cstr!("entry_id"), binary(head.entry_id.as_bytes()));
    part.append(cstr!("author"), author(entry));
    part.append(cstr!("recorded_at"), date(entry.header.recorded_at));
    part
}

pub(crate) fn tip_part(tip: &TipRef) -> RawDocumentBuf {
    let mut part = rawdoc! { "seq": seq_field(tip.seq) };
    part.append(cstr!("entry_id"), binary(tip.entry_id.as_bytes()));
    part.append(cstr!("recorded_at"), date(tip.recorded_at));
    part
}

fn author(entry: &NewEntry) -> RawDocumentBuf {
    rawdoc! { "id": entry.header.author.id.as_str(), "class": entry.header.author.class.as_str() }
}

/// The document of one entry.
fn entry(table: &LiveTable, record: &RecordKey, new: &NewEntry) -> Result<RawDocumentBuf, AdapterError> {
    let header = &new.header;
    let mut out = rawdoc! { "_id": entry_key(record, header.seq) };
    if let Some(oid) = header.oid {
        out.append(cstr!("oid"), binary(oid.as_bytes()));
    }
    out.append(cstr!("entry_id"), binary(new.entry_id.as_bytes()));
    if let Some(prev) = header.prev_entry_id {
        out.append(cstr!("prev_entry_id"), binary(prev.as_bytes()));
    }
    out.append(cstr!("op"), header.op.as_str());
    if let Some(base) = &header.base {
        out.append(cstr!("base"), base.iter().map(|id| RawBson::from(binary(id.as_bytes()))).collect::<RawArrayBuf>());
    }
    out.append(cstr!("author"), author(new));
    out.append(cstr!("message"), new.message.as_str());
    out.append(cstr!("message_hash"), binary(header.message.as_bytes()));
    out.append(cstr!("recorded_at"), date(header.recorded_at));
    out.append(cstr!("superseded_at"), date(new.ends.superseded_at));
    out.append(cstr!("valid_from"), date(header.valid_from));
    out.append(cstr!("valid_to"), date(new.ends.valid_to));
    if header.valid_from_estimated {
        out.append(cstr!("valid_from_estimated"), true);
    }
    out.append(cstr!("op_id"), header.op_id.as_str());
    if !header.meta.is_empty() {
        // As text, which is exact whatever a later version puts there.
        out.append(cstr!("meta"), Value::Object(header.meta.clone()).to_interchange());
    }
    if !new.git_shas.is_empty() {
        out.append(cstr!("git_shas"), new.git_shas.iter().map(String::as_str).collect::<RawArrayBuf>());
    }
    let doc = stored(table, record, &new.doc)?;
    let state = if doc.is_some() { DocState::Present } else { DocState::None };
    out.append(cstr!("doc_state"), state.as_str());
    if let Some(doc) = doc {
        out.append(cstr!("doc"), doc);
    }
    Ok(out)
}

/// Returns the document that history keeps.
fn stored(table: &LiveTable, record: &RecordKey, doc: &StoredDoc) -> Result<Option<RawDocumentBuf>, AdapterError> {
    let misfit = |misfit: values::Misfit| unstorable(record, misfit.path.to_string(), misfit.what);
    match doc {
        StoredDoc::None => Ok(None),
        StoredDoc::Given(Value::Object(object)) => values::write_object(object).map(Some).map_err(misfit),
        StoredDoc::Given(other) => Err(unstorable(record, String::new(), other.type_name())),
        StoredDoc::Edited { image, changes } => {
            let image =
                image.get::<Image>().ok_or_else(|| damaged(format!("an image of another store for {record}")))?;
            if changes.is_empty() {
                return Ok(Some(image.raw.clone()));
            }
            let mut value = Value::clone(&image.seen);
            apply_changes(&mut value, changes)
                .map_err(|_| damaged(format!("the batch for {record}: its changes do not apply to the image")))?;
            values::keep_widths(&image.seen, &mut value);
            table.rewritten(&image.raw, &value).map(Some).map_err(misfit)
        }
    }
}

/// Returns the document that a seed inserts: the live rule's equality pairs and the id laid over it.
pub(crate) fn seed(table: &LiveTable, record: &RecordKey, doc: &Value) -> Result<Value, AdapterError> {
    let rule = || AdapterError::LiveRule { record: record.clone() };
    let mut object: Object = doc.as_object().ok_or_else(rule)?.clone();
    for (field, value) in table.config.live_when.equality_pairs() {
        object.insert(field, value.clone());
    }
    for (field, value) in table.id_values(&record.id).ok_or_else(rule)? {
        let there = object.get(&field).and_then(|there| cfg_engine::history::IdKey::from_value(there).ok());
        // An id in another spelling (a whole double) is the same id, and stays as it was given.
        if there.is_none() || there != cfg_engine::history::IdKey::from_value(&value).ok() {
            object.insert(field, value);
        }
    }
    let seeded = Value::Object(object);
    if !table.is_live(&seeded) {
        return Err(rule());
    }
    Ok(seeded)
}

/// The key of a record in the engine's collections.
pub(crate) fn record_key(record: &RecordKey) -> RawDocumentBuf {
    rawdoc! {
        "env": record.env.as_str(), "collection": record.collection.as_str(), "id_key": record.id.as_str(),
    }
}

/// As [`record_key`], for filters.
pub(crate) fn record_filter(record: &RecordKey) -> Document {
    doc! { "env": record.env.as_str(), "collection": record.collection.as_str(), "id_key": record.id.as_str() }
}

/// The key of an entry.
pub(crate) fn entry_key(record: &RecordKey, seq: Seq) -> RawDocumentBuf {
    let mut key = record_key(record);
    key.append(cstr!("seq"), seq_field(seq));
    key
}

pub(crate) fn seq_field(seq: Seq) -> i64 {
    i64::try_from(seq.0).unwrap_or(i64::MAX)
}

pub(crate) fn date(at: Timestamp) -> DateTime {
    DateTime::from_millis(at.as_millis())
}

/// The statement that closes intervals of an older entry.
pub(crate) fn close(record: &RecordKey, seq: Seq, ends: Ends) -> RawDocumentBuf {
    rawdoc! {
        "q": { "_id": entry_key(record, seq) },
        "u": { "$set": { "valid_to": date(ends.valid_to), "superseded_at": date(ends.superseded_at) } },
    }
}

/// As [`close`], for many: one statement for those that end alike, each with how many it is to find.
pub(crate) fn close_many<'r>(closed: impl Iterator<Item = (&'r RecordKey, Seq, Ends)>) -> Vec<(RawDocumentBuf, u64)> {
    let mut alike: Vec<(Ends, Vec<RawDocumentBuf>)> = Vec::new();
    for (record, seq, ends) in closed {
        let key = entry_key(record, seq);
        match alike.iter_mut().rev().take(4).find(|(other, keys)| *other == ends && keys.len() < MAX_ALIKE) {
            Some((_, keys)) => keys.push(key),
            None => alike.push((ends, vec![key])),
        }
    }
    let statement = |(ends, keys): (Ends, Vec<RawDocumentBuf>)| {
        let count = keys.len() as u64;
        let keys: RawArrayBuf = keys.into_iter().collect();
        let statement = rawdoc! {
            "q": { "_id": { "$in": keys } },
            "u": { "$set": { "valid_to": date(ends.valid_to), "superseded_at": date(ends.superseded_at) } },
            "multi": true,
        };
        (statement, count)
    };
    alike.into_iter().map(statement).collect()
}

/// So many entries at the most are closed by one statement.
const MAX_ALIKE: usize = 1_000;

/// The statement that adds git shas to an entry; what it has stays.
pub(crate) fn link(record: &RecordKey, seq: Seq, shas: &[String]) -> RawDocumentBuf {
    let shas: RawArrayBuf = shas.iter().map(String::as_str).collect();
    rawdoc! { "q": { "_id": entry_key(record, seq) }, "u": { "$addToSet": { "git_shas": { "$each": shas } } } }
}

/// The statement that overwrites what is stored of an older entry, in the store's own form.
///
/// # Errors
///
/// Where the changes do not apply, or the document becomes larger than the store takes.
pub(crate) fn over(
    store: &Store,
    record: &RecordKey,
    overwrite: &Overwrite,
    entry: &RawDocument,
) -> Result<RawDocumentBuf, AdapterError> {
    let mut fields = RawDocumentBuf::new();
    if !overwrite.changes.is_empty() {
        let seq = overwrite.seq;
        let misapplied = || damaged(format!("the batch for {record}: its changes do not apply to entry {seq}"));
        let image = entry.get_document("doc").map_err(|_| misapplied())?;
        let table = store.table(&record.collection)?;
        let seen = table.value(image).map_err(|_| misapplied())?;
        let mut value = seen.clone();
        apply_changes(&mut value, &overwrite.changes).map_err(|_| misapplied())?;
        values::keep_widths(&seen, &mut value);
        let doc = table.rewritten(image, &value);
        let doc = doc.map_err(|misfit| unstorable(record, misfit.path.to_string(), misfit.what))?;
        check_size(record, &doc)?;
        fields.append(cstr!("doc"), doc);
        fields.append(cstr!("doc_state"), DocState::Redacted.as_str());
    }
    if let Some(message) = &overwrite.message {
        fields.append(cstr!("message"), message.as_str());
    }
    Ok(rawdoc! { "q": { "_id": entry_key(record, overwrite.seq) }, "u": { "$set": fields } })
}

/// The statement that makes a head what a repair says it is.
pub(crate) fn put_head(record: &RecordKey, fields: RawDocumentBuf) -> RawDocumentBuf {
    rawdoc! { "q": { "_id": record_key(record) }, "u": { "$set": fields }, "upsert": true }
}

/// The statement that inserts an entry where there is none of its number.
pub(crate) fn put_entry(entry: &RawDocumentBuf) -> RawDocumentBuf {
    let mut fields = RawDocumentBuf::new();
    let mut key = RawDocumentBuf::new();
    for (name, value) in entry.iter().filter_map(Result::ok) {
        if name.as_str() == "_id" { key.append(name, value) } else { fields.append(name, value) }
    }
    rawdoc! { "q": key, "u": { "$setOnInsert": fields }, "upsert": true }
}

/// The statement that moves a head which must be `head` and `tip`; with `clock`, only at a time that
/// the batch's fits to.
pub(crate) fn move_head(
    change: &PreparedChange<'_>,
    head: &HeadRef,
    tip: &TipRef,
    clock: Option<RawBson>,
) -> RawDocumentBuf {
    let mut q = rawdoc! { "_id": record_key(&change.change.record) };
    q.append(cstr!("head.seq"), seq_field(head.seq));
    q.append(cstr!("head.entry_id"), binary(head.entry_id.as_bytes()));
    q.append(cstr!("tip.seq"), seq_field(tip.seq));
    q.append(cstr!("tip.entry_id"), binary(tip.entry_id.as_bytes()));
    q.append(cstr!("tip.recorded_at"), date(tip.recorded_at));
    if let Some(clock) = clock {
        q.append(cstr!("$expr"), clock);
    }
    rawdoc! { "q": q, "u": { "$set": head_fields(&change.head) } }
}

/// The statement that makes the first head of a record.
pub(crate) fn first_head(change: &PreparedChange<'_>) -> RawDocumentBuf {
    rawdoc! {
        "q": { "_id": record_key(&change.change.record) },
        "u": { "$setOnInsert": head_fields(&change.head) },
        "upsert": true,
    }
}

pub(crate) fn head_fields(write: &HeadWrite) -> RawDocumentBuf {
    let mut fields = RawDocumentBuf::new();
    match write {
        HeadWrite::Leave | HeadWrite::Mend { .. } => {}
        HeadWrite::Tip(tip) => fields.append(cstr!("tip"), tip),
        HeadWrite::Both { head, tip } => {
            fields.append(cstr!("head"), head);
            fields.append(cstr!("tip"), tip);
        }
    }
    fields
}
