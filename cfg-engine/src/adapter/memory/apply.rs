//! What [`apply`](crate::adapter::StorageAdapter::apply) checks, all of it before the first write.

use std::collections::BTreeMap;

use super::MemoryAdapter;

use super::live::{self, Row, RowsOfId};
use super::store::{ChangeWrites, RowWrite, Store, StoredEntry};
use crate::adapter::{
    AdapterError, Batch, Change, ExpectedHead, ExpectedLive, ExpectedVersion, HeadState, LiveWrite, NativeImage,
    NewEntry, Overwrite, StorageAdapter, StoredDigest, StoredDoc,
};
use crate::config::{CollectionConfig, Shape};
use crate::document::{Object, PathChange, Value, apply_changes, oid};
use crate::history::{
    DocState, EntryHeader, IdKey, MessageHash, Op, RecordKey, Seq, Span, Timestamp, insert, interval_ends,
};

/// How far a batch's time may lie behind or ahead of the store's clock.
const CLOCK_TOLERANCE_MS: i64 = 2000;

impl MemoryAdapter {
    /// Checks a batch against a state and returns what it writes.
    ///
    /// The order is part of the contract where a batch that was already applied comes again: its heads
    /// have moved, and that is what must be said, not that live has changed or that its time is past.
    pub(super) fn check_batch(
        &self,
        store: &Store,
        batch: &Batch,
        now: Timestamp,
    ) -> Result<Vec<ChangeWrites>, AdapterError> {
        let (records, limit) = (batch.changes().len(), self.capabilities.max_batch_records);
        if records > limit {
            return Err(AdapterError::BatchTooLarge { records, limit });
        }
        well_formed(batch)?;
        batch.changes().iter().try_for_each(|change| check_head(store, change))?;
        check_objects(store, batch)?;
        check_clock(store, batch, now)?;
        let mut tables = BTreeMap::new();
        for change in batch.changes() {
            let collection = self.collection(&change.record.collection)?;
            tables
                .entry(&collection.name)
                .or_insert_with(|| live::by_id(collection, store.live.get(&collection.table)));
        }
        let none = RowsOfId::default();
        let check = |change: &Change| {
            let collection = self.collection(&change.record.collection)?;
            let head = check_intervals(store, change)?;
            let rows = tables[&collection.name].get(&change.record.id).unwrap_or(&none);
            check_live(collection, change, rows)?;
            let row = self.live_write(collection, change, rows)?;
            let entries =
                change.entries.iter().map(|entry| self.stored(collection, entry)).collect::<Result<_, _>>()?;
            let overwritten = check_overwrites(store, change)?;
            Ok(ChangeWrites { table: collection.table.clone(), rows: row, entries, overwritten, head })
        };
        batch.changes().iter().map(check).collect()
    }

    fn live_write(
        &self,
        collection: &CollectionConfig,
        change: &Change,
        rows: &RowsOfId<'_>,
    ) -> Result<Vec<RowWrite>, AdapterError> {
        let record = &change.record;
        let the_live_row = || match rows.live.as_slice() {
            [] => Err(AdapterError::StaleLive { record: record.clone() }),
            [(place, row)] => Ok((*place, *row)),
            rows => Err(AdapterError::Ambiguous { record: record.clone(), rows: rows.len() as u64 }),
        };
        match &change.live {
            LiveWrite::Leave => Ok(Vec::new()),
            LiveWrite::Delete => the_live_row().map(|(place, _)| vec![RowWrite::Remove(place)]),
            LiveWrite::Update(changes) => {
                let (place, row) = the_live_row()?;
                let mut updated = row.clone();
                let doc = live::document_mut(collection, &mut updated);
                let edited = doc.is_some_and(|doc| apply_changes(doc, changes).is_ok());
                if !edited {
                    return Err(damaged(record, "its changes do not apply to the live document"));
                }
                self.check_written(collection, record, &updated)?;
                Ok(vec![RowWrite::Replace(place, updated)])
            }
            LiveWrite::Seed(doc) => {
                let rule = || AdapterError::LiveRule { record: record.clone() };
                let row = seeded(collection, &record.id, doc).ok_or_else(rule)?;
                if !rows.live.is_empty() {
                    return Err(rule());
                }
                self.check_written(collection, record, &row)?;
                Ok(vec![RowWrite::Insert(row)])
            }
            LiveWrite::Activate { retire, doc } => self.activated(collection, record, rows, retire, doc),
        }
    }

    /// Retires the live row and makes another one live: one that is there, or a new one.
    fn activated(
        &self,
        collection: &CollectionConfig,
        record: &RecordKey,
        rows: &RowsOfId<'_>,
        retire: &Object,
        doc: &Value,
    ) -> Result<Vec<RowWrite>, AdapterError> {
        let rule = || AdapterError::LiveRule { record: record.clone() };
        let mut writes = Vec::new();
        match rows.live.as_slice() {
            [] => {}
            [(place, row)] => {
                let mut retired = (*row).clone();
                lay(&mut retired, retire.iter().map(|(field, value)| (field.as_str(), value)));
                if collection.live_when.matches(&retired) {
                    return Err(rule());
                }
                writes.push(RowWrite::Replace(*place, retired));
            }
            rows => return Err(AdapterError::Ambiguous { record: record.clone(), rows: rows.len() as u64 }),
        }
        let wanted = seeded(collection, &record.id, doc).ok_or_else(rule)?;
        let content = |row: &Value| oid(live::document(collection, row).ok()?, &collection.policy).ok();
        let promoted = rows.outside.iter().find_map(|(place, row)| {
            let mut row = (*row).clone();
            lay(&mut row, collection.live_when.equality_pairs());
            let fits = collection.live_when.matches(&row) && content(&row) == content(&wanted);
            fits.then_some((*place, row))
        });
        match promoted {
            Some((place, row)) => writes.push(RowWrite::Replace(place, row)),
            None => {
                self.check_written(collection, record, &wanted)?;
                writes.push(RowWrite::Insert(wanted));
            }
        }
        Ok(writes)
    }

    /// Checks a row as it would be written: still this record, still live, still storable.
    fn check_written(
        &self,
        collection: &CollectionConfig,
        record: &RecordKey,
        row: &Value,
    ) -> Result<(), AdapterError> {
        if live::id_of(collection, row).as_ref() != Some(&record.id) || !collection.live_when.matches(row) {
            return Err(AdapterError::LiveRule { record: record.clone() });
        }
        match live::document(collection, row) {
            Ok(doc) => self.check_document(record, doc),
            Err(what) => Err(AdapterError::Unstorable { record: record.clone(), path: String::new(), what }),
        }
    }

    fn stored(&self, collection: &CollectionConfig, entry: &NewEntry) -> Result<StoredEntry, AdapterError> {
        let record = &entry.header.record;
        let doc = match &entry.doc {
            StoredDoc::None => None,
            StoredDoc::Given(doc) => Some(doc.clone()),
            StoredDoc::Edited { image, changes } => {
                let mut doc = image_document(collection, record, image)?.clone();
                apply_changes(&mut doc, changes)
                    .map_err(|_| damaged(record, "its changes do not apply to the image"))?;
                Some(doc)
            }
        };
        if let Some(doc) = &doc {
            live::check_size(record, doc, self.capabilities.max_document_bytes)?;
        }
        Ok(StoredEntry {
            header: entry.header.clone(),
            entry_id: entry.entry_id,
            message: entry.message.clone(),
            ends: entry.ends,
            git_shas: entry.git_shas.clone(),
            doc_state: if doc.is_some() { DocState::Present } else { DocState::None },
            doc,
        })
    }
}

fn damaged(record: &RecordKey, problem: &str) -> AdapterError {
    AdapterError::Damaged { problem: format!("the batch for {record}: {problem}") }
}

/// Checks what can be seen without the store: order, chain, ids.
fn well_formed(batch: &Batch) -> Result<(), AdapterError> {
    for pair in batch.changes().windows(2) {
        if pair[0].record >= pair[1].record {
            return Err(damaged(&pair[1].record, "records are not in ascending order, each once"));
        }
    }
    for change in batch.changes() {
        let (mut prev, mut seq) = match change.expected_head {
            ExpectedHead::Absent => (None, Seq::FIRST),
            ExpectedHead::At { tip, .. } | ExpectedHead::Lost { tip } => (Some(tip.entry_id), tip.seq.next()),
        };
        for entry in &change.entries {
            let EntryHeader { record, prev_entry_id, op_id, recorded_at, .. } = &entry.header;
            let problem = if *record != change.record {
                "an entry of another record"
            } else if entry.header.seq != seq || *prev_entry_id != prev {
                "the entries are no chain from the tip on"
            } else if entry.entry_id != entry.header.entry_id() {
                "an entry's id is not its header's hash"
            } else if op_id != batch.op_id() || *recorded_at != batch.recorded_at() {
                "an entry with another op_id or time than the batch"
            } else if entry.header.message != MessageHash::of(&entry.message) {
                "a message that is not the hashed one"
            } else if entry.header.oid.is_some() != !matches!(entry.doc, StoredDoc::None) {
                "an entry with a document and no oid, or the other way round"
            } else {
                (prev, seq) = (Some(entry.entry_id), seq.next());
                continue;
            };
            return Err(damaged(&change.record, problem));
        }
    }
    for change in batch.changes().iter().filter(|change| !change.overwrites.is_empty()) {
        let problem = if !change.entries.iter().any(|entry| entry.header.op == Op::Redact) {
            "something is overwritten and no redact entry says so"
        } else if !change.overwrites.windows(2).all(|pair| pair[0].seq < pair[1].seq) {
            "what is overwritten is not in ascending order, each once"
        } else {
            continue;
        };
        return Err(damaged(&change.record, problem));
    }
    let mut keys: Vec<_> = batch.expected_objects().map(|(key, _)| key).collect();
    keys.sort_unstable();
    if keys.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(AdapterError::Damaged { problem: "the batch writes one object twice".to_owned() });
    }
    Ok(())
}

fn check_head(store: &Store, change: &Change) -> Result<(), AdapterError> {
    let current = store.heads.get(&change.record);
    let as_expected = match (&change.expected_head, current) {
        (ExpectedHead::Absent, None) => true,
        (ExpectedHead::At { head, tip }, Some(current)) => current.head == *head && current.tip == *tip,
        (ExpectedHead::Lost { tip }, None) => {
            store.history.get(&change.record).and_then(|history| history.values().next_back()).is_some_and(|last| {
                (last.header.seq, last.entry_id, last.header.recorded_at) == (tip.seq, tip.entry_id, tip.recorded_at)
            })
        }
        _ => false,
    };
    if !as_expected {
        return Err(AdapterError::StaleHead { record: change.record.clone(), current: current.cloned().map(Box::new) });
    }
    // Only a damaged store has no head where it has entries, or entries beyond the tip.
    let mut written = change.entries.iter().map(|entry| entry.header.seq);
    let history = store.history.get(&change.record);
    if history.is_some_and(|history| written.any(|seq| history.contains_key(&seq))) {
        return Err(damaged(&change.record, "an entry with this number is already there"));
    }
    Ok(())
}

/// Compares what is to be overwritten with what was seen, and returns the entries as they will be stored.
fn check_overwrites(store: &Store, change: &Change) -> Result<Vec<StoredEntry>, AdapterError> {
    let overwritten = |overwrite: &Overwrite| {
        let history = store.history.get(&change.record);
        let stored = history.and_then(|history| history.get(&overwrite.seq));
        let mut entry =
            stored.cloned().ok_or_else(|| damaged(&change.record, "an entry that is to be overwritten is missing"))?;
        if StoredDigest::of(entry.doc_state, &entry.message, entry.doc.as_ref()) != overwrite.stored {
            let current = store.heads.get(&change.record).cloned().map(Box::new);
            return Err(AdapterError::StaleHead { record: change.record.clone(), current });
        }
        if !overwrite.changes.is_empty() {
            let applied = entry.doc.as_mut().is_some_and(|doc| apply_changes(doc, &overwrite.changes).is_ok());
            if !applied {
                return Err(damaged(&change.record, "its changes do not apply to a stored document"));
            }
            entry.doc_state = DocState::Redacted;
        }
        if let Some(message) = &overwrite.message {
            entry.message.clone_from(message);
        }
        Ok(entry)
    };
    change.overwrites.iter().map(overwritten).collect()
}

fn check_objects(store: &Store, batch: &Batch) -> Result<(), AdapterError> {
    for (key, expected) in batch.expected_objects() {
        let as_expected = match (expected, store.objects.get(key)) {
            (ExpectedVersion::Absent, None) => true,
            (ExpectedVersion::At(version), Some(stored)) => stored.version == version,
            _ => false,
        };
        if !as_expected {
            return Err(AdapterError::StaleObject { kind: key.kind.clone(), name: key.name.clone() });
        }
    }
    Ok(())
}

/// Checks the batch's time: later than each tip, at most 2 s behind the store's clock, and at most 2 s
/// ahead of it unless it is exactly a tip plus 1 ms (the store's clock stepped back).
fn check_clock(store: &Store, batch: &Batch, now: Timestamp) -> Result<(), AdapterError> {
    let at = batch.recorded_at();
    let tips = batch.changes().iter().filter_map(|change| store.heads.get(&change.record));
    let newest = tips.map(|head| head.tip.recorded_at).max();
    let after_tips = newest.is_none_or(|tip| at > tip);
    let behind = at < now.plus_millis(-CLOCK_TOLERANCE_MS);
    let ahead = at > now.plus_millis(CLOCK_TOLERANCE_MS) && newest.map(|tip| tip.plus_millis(1)) != Some(at);
    if !after_tips || behind || ahead {
        return Err(AdapterError::Clock { now });
    }
    Ok(())
}

/// Checks head and ends against the interval rules, and returns HEAD and tip after the change.
fn check_intervals(store: &Store, change: &Change) -> Result<Option<HeadState>, AdapterError> {
    let record = &change.record;
    let history = store.history.get(record);
    let existing: Vec<Span> = history.into_iter().flat_map(|h| h.values().map(StoredEntry::span)).collect();
    let new: Vec<Span> = change.entries.iter().map(span).collect();
    let insertion = insert(&existing, &new);
    let ends_of_new = change.entries.iter().map(|entry| entry.ends);
    if !ends_of_new.eq(insertion.new.iter().copied()) {
        return Err(damaged(record, "the ends of a new entry are not what the interval rules say"));
    }
    if insertion.closed.iter().any(|closed| !change.closed.contains(closed)) {
        return Err(damaged(record, "the ends of an older entry change, and the batch does not say so"));
    }
    let all: Vec<Span> = existing.iter().chain(&new).copied().collect();
    let ends = interval_ends(&all);
    let right =
        |(seq, given): &(Seq, _)| existing.iter().position(|s| s.seq == *seq).is_some_and(|n| ends[n] == *given);
    if !change.closed.iter().all(right) {
        return Err(damaged(record, "the ends of an older entry are not what the interval rules say"));
    }
    let linked = |seq: &Seq| all.iter().any(|span| span.seq == *seq);
    if !change.links.iter().all(|(seq, _)| linked(seq)) {
        return Err(damaged(record, "an entry that git shas are added to is missing"));
    }
    let Some(head) = change.new_head else {
        return if all.is_empty() { Ok(None) } else { Err(damaged(record, "no head for a record with history")) };
    };
    let new = change.entries.iter().map(|entry| (&entry.header, entry.entry_id));
    let old = history.into_iter().flat_map(|h| h.values().map(|entry| (&entry.header, entry.entry_id)));
    let written = new.chain(old).find(|(header, _)| header.seq == head.seq);
    let right = |(header, id): &(&EntryHeader, _)| *id == head.entry_id && header.oid == head.oid;
    let Some((header, _)) = written.filter(right).filter(|_| insertion.head == Some(head.seq)) else {
        return Err(damaged(record, "the new head is not the greatest entry in valid order"));
    };
    let current = store.heads.get(record).map(|current| current.tip);
    let Some(tip) = change.new_tip().or(current) else {
        return Err(damaged(record, "a head and no tip"));
    };
    Ok(Some(HeadState { head, tip, author: header.author.clone(), recorded_at: header.recorded_at }))
}

fn span(entry: &NewEntry) -> Span {
    Span {
        seq: entry.header.seq,
        recorded_at: entry.header.recorded_at,
        valid_from: entry.header.valid_from,
        in_valid_order: entry.header.op != Op::Redact,
    }
}

fn image_document<'i>(
    collection: &CollectionConfig,
    record: &RecordKey,
    image: &'i NativeImage,
) -> Result<&'i Value, AdapterError> {
    let row = image.get::<Row>().ok_or_else(|| damaged(record, "an image of another store"))?;
    live::document(collection, &row.0).map_err(|_| damaged(record, "an image without a document"))
}

/// Checks what a change expects of live.
fn check_live(collection: &CollectionConfig, change: &Change, rows: &RowsOfId<'_>) -> Result<(), AdapterError> {
    let record = &change.record;
    let stale = || AdapterError::StaleLive { record: record.clone() };
    if matches!(change.expected_live, ExpectedLive::Unchecked) {
        return Ok(());
    }
    if rows.live.len() > 1 {
        return Err(AdapterError::Ambiguous { record: record.clone(), rows: rows.live.len() as u64 });
    }
    match (&change.expected_live, rows.live.first()) {
        (ExpectedLive::At(image), Some((_, row))) => {
            let seen = image_document(collection, record, image)?;
            let there = live::document(collection, row).map_err(|_| stale())?;
            let written: &[PathChange] = match &change.live {
                LiveWrite::Update(changes) => changes,
                _ => &[],
            };
            let same_versioned = matches!(
                (oid(seen, &collection.policy), oid(there, &collection.policy)),
                (Ok(seen), Ok(there)) if seen == there
            );
            let same_written = written.iter().all(|change| change.path.get(seen) == change.path.get(there));
            if same_versioned && same_written { Ok(()) } else { Err(stale()) }
        }
        (ExpectedLive::Absent, None) => Ok(()),
        _ => Err(stale()),
    }
}

fn lay<'f>(row: &mut Value, fields: impl Iterator<Item = (&'f str, &'f Value)>) {
    if let Some(row) = row.as_object_mut() {
        fields.for_each(|(field, value)| drop(row.insert(field, value.clone())));
    }
}

/// Makes the row of a seed: the document, the live rule's equality pairs and the id laid over it.
fn seeded(collection: &CollectionConfig, id: &IdKey, doc: &Value) -> Option<Value> {
    let mut row = match collection.shape {
        Shape::Row => doc.as_object()?.clone(),
        Shape::Doc => Object::new().with(&collection.doc_column, doc.clone()),
    };
    for (field, value) in collection.live_when.equality_pairs() {
        row.insert(field, value.clone());
    }
    for (field, value) in collection.id_values(id)? {
        row.insert(field, value);
    }
    Some(Value::Object(row))
}
