//! Hooks for tests: failures of the next write, and damage done to what is stored.

use super::MemoryAdapter;
use super::store::StoredEntry;
use crate::adapter::AdapterError;
use crate::document::Value;
use crate::history::{Ends, EntryHeader, RecordKey, Seq};

impl MemoryAdapter {
    /// Makes the next [`apply`](crate::adapter::StorageAdapter::apply) fail before it writes. Several
    /// calls queue.
    pub fn fail_next(&self, error: AdapterError) {
        self.lock().faults.before.push_back(error);
    }

    /// Makes the next `apply` that succeeds say that its outcome is not known.
    pub fn lose_next_acknowledgement(&self) {
        self.lock().faults.lose_acknowledgement = true;
    }

    /// Edits the stored document of an entry; returns whether there is one.
    pub fn damage_doc(&self, record: &RecordKey, seq: Seq, edit: impl FnOnce(&mut Value)) -> bool {
        self.damage(record, seq, |entry| entry.doc.as_mut().map(edit).is_some())
    }

    /// Edits a stored header, the id left as it was; returns whether the entry is there.
    pub fn damage_header(&self, record: &RecordKey, seq: Seq, edit: impl FnOnce(&mut EntryHeader)) -> bool {
        self.damage(record, seq, |entry| {
            edit(&mut entry.header);
            true
        })
    }

    /// Changes the cached ends of an entry; returns whether the entry is there.
    pub fn damage_ends(&self, record: &RecordKey, seq: Seq, ends: Ends) -> bool {
        self.damage(record, seq, |entry| {
            entry.ends = ends;
            true
        })
    }

    /// Changes the stored message of an entry; returns whether the entry is there.
    pub fn damage_message(&self, record: &RecordKey, seq: Seq, message: &str) -> bool {
        self.damage(record, seq, |entry| {
            entry.message = message.to_owned();
            true
        })
    }

    /// Drops an entry; returns whether it was there.
    pub fn drop_entry(&self, record: &RecordKey, seq: Seq) -> bool {
        let mut store = self.lock();
        store.history.get_mut(record).and_then(|history| history.remove(&seq)).is_some()
    }

    /// Puts each of two entries under the number of the other; returns whether both are there.
    pub fn swap_entries(&self, record: &RecordKey, one: Seq, other: Seq) -> bool {
        let mut store = self.lock();
        let Some(history) = store.history.get_mut(record) else { return false };
        let (Some(mut a), Some(mut b)) = (history.get(&one).cloned(), history.get(&other).cloned()) else {
            return false;
        };
        (a.header.seq, b.header.seq) = (other, one);
        history.insert(other, a);
        history.insert(one, b);
        true
    }

    /// Drops the head row of a record; returns whether it was there.
    pub fn drop_head(&self, record: &RecordKey) -> bool {
        self.lock().heads.remove(record).is_some()
    }

    fn damage(&self, record: &RecordKey, seq: Seq, edit: impl FnOnce(&mut StoredEntry) -> bool) -> bool {
        let mut store = self.lock();
        store.history.get_mut(record).and_then(|history| history.get_mut(&seq)).is_some_and(edit)
    }
}
