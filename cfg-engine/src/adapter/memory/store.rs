//! What is stored, as plain maps, and the write that cannot fail.

use std::collections::BTreeMap;
#[cfg(any(test, feature = "conformance"))]
use std::collections::VecDeque;

#[cfg(any(test, feature = "conformance"))]
use crate::adapter::AdapterError;
use crate::adapter::{Batch, Detail, EntryAddress, HeadState, ObjectKey, StoredObject};
use crate::document::{EntryId, Value};
use crate::history::{DocState, Ends, Entry, EntryHeader, Op, RecordKey, Seq, Span, Timestamp};

/// Everything.
#[derive(Default)]
pub(super) struct Store {
    /// The live tables by physical name.
    pub(super) live: BTreeMap<String, Table>,
    /// The entries of each record.
    pub(super) history: BTreeMap<RecordKey, BTreeMap<Seq, StoredEntry>>,
    /// HEAD and tip of each record.
    pub(super) heads: BTreeMap<RecordKey, HeadState>,
    /// The engine's own documents.
    pub(super) objects: BTreeMap<ObjectKey, StoredObject>,
    /// The last version of each object that was deleted: numbers never come again.
    pub(super) deleted: BTreeMap<ObjectKey, u64>,
    /// What goes wrong next.
    #[cfg(any(test, feature = "conformance"))]
    pub(super) faults: Faults,
}

/// What goes wrong next.
#[cfg(any(test, feature = "conformance"))]
#[derive(Default)]
pub(super) struct Faults {
    pub(super) before: VecDeque<AdapterError>,
    pub(super) lose_acknowledgement: bool,
}

/// A live table: rows in the order of insertion, each under a place that no other row ever had.
#[derive(Default)]
pub(super) struct Table {
    pub(super) rows: BTreeMap<u64, Value>,
    next: u64,
}

impl Table {
    pub(super) fn insert(&mut self, row: Value) {
        self.rows.insert(self.next, row);
        self.next += 1;
    }
}

/// An entry with its columns as they were given, the cached ends among them.
#[derive(Clone)]
pub(super) struct StoredEntry {
    pub(super) header: EntryHeader,
    pub(super) entry_id: EntryId,
    pub(super) message: String,
    pub(super) ends: Ends,
    pub(super) git_shas: Vec<String>,
    pub(super) doc_state: DocState,
    pub(super) doc: Option<Value>,
}

impl StoredEntry {
    pub(super) fn span(&self) -> Span {
        Span {
            seq: self.header.seq,
            recorded_at: self.header.recorded_at,
            valid_from: self.header.valid_from,
            in_valid_order: self.header.op != Op::Redact,
        }
    }

    pub(super) fn to_entry(&self, detail: Detail) -> Entry {
        let shown = |end: Timestamp| (end != Timestamp::OPEN).then_some(end);
        Entry {
            header: self.header.clone(),
            entry_id: self.entry_id,
            message: self.message.clone(),
            valid_to: shown(self.ends.valid_to),
            superseded_at: shown(self.ends.superseded_at),
            git_shas: self.git_shas.clone(),
            doc_state: self.doc_state,
            doc: self.doc.clone().filter(|_| detail == Detail::Document),
        }
    }

    pub(super) fn to_address(&self) -> EntryAddress {
        let header = &self.header;
        EntryAddress {
            record: header.record.clone(),
            seq: header.seq,
            oid: header.oid,
            entry_id: self.entry_id,
            recorded_at: header.recorded_at,
            valid_from: header.valid_from,
            valid_from_estimated: header.valid_from_estimated,
            in_valid_order: header.op != Op::Redact,
        }
    }
}

/// What a checked change writes.
pub(super) struct ChangeWrites {
    pub(super) table: String,
    pub(super) rows: Vec<RowWrite>,
    pub(super) entries: Vec<StoredEntry>,
    /// Older entries as they are stored from now on.
    pub(super) overwritten: Vec<StoredEntry>,
    pub(super) head: Option<HeadState>,
}

/// What happens to the live row.
pub(super) enum RowWrite {
    Insert(Value),
    Replace(u64, Value),
    Remove(u64),
}

impl Store {
    pub(super) fn table(&mut self, name: &str) -> &mut Table {
        self.live.entry(name.to_owned()).or_default()
    }

    /// Writes a batch that was checked against exactly this state.
    pub(super) fn write(&mut self, batch: &Batch, writes: Vec<ChangeWrites>) {
        for (change, writes) in batch.changes().iter().zip(writes) {
            if let Some(head) = writes.head {
                let history = self.history.entry(change.record.clone()).or_default();
                for written in writes.overwritten {
                    if let Some(entry) = history.get_mut(&written.header.seq) {
                        *entry = written;
                    }
                }
                for (seq, ends) in &change.closed {
                    if let Some(entry) = history.get_mut(seq) {
                        entry.ends = *ends;
                    }
                }
                for (seq, shas) in &change.links {
                    if let Some(entry) = history.get_mut(seq) {
                        let new = shas.iter().filter(|sha| !entry.git_shas.contains(sha)).cloned();
                        let new: Vec<String> = new.collect();
                        entry.git_shas.extend(new);
                    }
                }
                history.extend(writes.entries.into_iter().map(|entry| (entry.header.seq, entry)));
                self.heads.insert(change.record.clone(), head);
            }
            let table = self.table(&writes.table);
            for row in writes.rows {
                match row {
                    RowWrite::Insert(row) => table.insert(row),
                    RowWrite::Replace(place, row) => drop(table.rows.insert(place, row)),
                    RowWrite::Remove(place) => drop(table.rows.remove(&place)),
                }
            }
        }
        for write in batch.objects() {
            let last = self.objects.get(&write.key).map(|stored| stored.version);
            let version = 1 + last.or_else(|| self.deleted.remove(&write.key)).unwrap_or(0);
            match &write.body {
                None => {
                    self.objects.remove(&write.key);
                    self.deleted.insert(write.key.clone(), version);
                }
                Some(body) => {
                    let stored = StoredObject {
                        key: write.key.clone(),
                        version,
                        body: body.clone(),
                        op_id: batch.op_id().clone(),
                        recorded_at: batch.recorded_at(),
                    };
                    self.objects.insert(write.key.clone(), stored);
                }
            }
        }
    }
}
