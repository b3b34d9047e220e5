//! `diff`: between two versions, HEAD and live, or two moments of the whole system.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::TryStreamExt;

use super::pass::CollectionTrouble;
use super::project::Project;
use super::status::State;
use crate::adapter::{AsOf, AsOfRow, Detail, EntryAddress, Live, RecordState, Scope};
use crate::document::{ChangeOp, FieldChange, Object, Oid, Value, diff};
use crate::error::Error;
use crate::history::{CollectionName, Entry, RecordKey, Reference, Timestamp};
use crate::outcome::combined_exit;

/// The differences of one record.
#[derive(Debug, Clone)]
pub struct RecordDiff {
    /// Which record.
    pub record: RecordKey,
    /// Field by field, of the versioned part.
    pub changes: Vec<FieldChange>,
}

/// A side of a system diff.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DiffSide {
    /// What history designates as current.
    Head,
    /// What the database holds.
    Live,
    /// What was live at that instant.
    At(Timestamp),
}

/// The differences of many records.
#[derive(Debug, Clone, Default)]
pub struct DiffReport {
    /// Records that differ, by record key.
    pub diffs: Vec<RecordDiff>,
    /// Records that could not be compared.
    pub failed: Vec<(RecordKey, Error)>,
    /// Collections of which nothing could be compared.
    pub troubles: Vec<CollectionTrouble>,
}

impl DiffReport {
    /// Returns the rows as data: what differs, then what could not be compared.
    pub fn to_objects(&self) -> Vec<Object> {
        let failed = self.failed.iter().map(|(record, error)| {
            Object::new()
                .with("collection", record.collection.as_str())
                .with("config_id", record.id.to_value())
                .with("reason", error.to_reason())
        });
        let troubles = self.troubles.iter().map(CollectionTrouble::to_object);
        self.diffs.iter().map(RecordDiff::to_object).chain(failed).chain(troubles).collect()
    }

    /// Returns why something could not be compared.
    pub fn errors(&self) -> impl Iterator<Item = &Error> {
        let troubles = self.troubles.iter().map(|trouble| &trouble.error);
        self.failed.iter().map(|(_, error)| error).chain(troubles)
    }

    /// Returns the exit code.
    pub fn exit_code(&self) -> u8 {
        combined_exit(self.errors().map(|error| error.kind().exit_code()))
    }

    fn add_troubles(&mut self, troubles: Vec<CollectionTrouble>) {
        for trouble in troubles.into_iter().filter(CollectionTrouble::is_unreadable) {
            if !self.troubles.iter().any(|there| there.collection == trouble.collection) {
                self.troubles.push(trouble);
            }
        }
    }
}

impl RecordDiff {
    /// Returns `{collection, config_id, changes: [{path, op, before, after}]}`.
    pub fn to_object(&self) -> Object {
        Object::new()
            .with("collection", self.record.collection.as_str())
            .with("config_id", self.record.id.to_value())
            .with("changes", self.changes.iter().map(FieldChange::to_value).collect::<Vec<_>>())
    }

    /// Returns how many changes add, remove and replace.
    pub fn stat(&self) -> (usize, usize, usize) {
        let count = |ops: &[ChangeOp]| self.changes.iter().filter(|c| ops.contains(&c.op)).count();
        (count(&[ChangeOp::Add]), count(&[ChangeOp::Remove]), count(&[ChangeOp::Replace, ChangeOp::Move]))
    }
}

impl Project {
    /// Compares two versions of one record; `staged` is the staged document, for `=staged`.
    ///
    /// # Errors
    ///
    /// [`Error::NoVersion`] and the like. A record without a live row is compared as empty.
    pub async fn diff(
        &self,
        record: &RecordKey,
        from: &Reference,
        to: &Reference,
        staged: Option<&Value>,
    ) -> Result<RecordDiff, Error> {
        // Read once: HEAD and live of two moments would differ by whatever was committed between them.
        let state = self.state(record).await?;
        let before = self.side(&state, from, staged).await?;
        let after = self.side(&state, to, staged).await?;
        let policy = &self.collection(&record.collection)?.policy;
        let changes = diff(&policy.versioned(&before), &policy.versioned(&after));
        Ok(RecordDiff { record: record.clone(), changes })
    }

    async fn side(&self, state: &RecordState, reference: &Reference, staged: Option<&Value>) -> Result<Value, Error> {
        let record = &state.record;
        let empty = || Value::Object(Object::new());
        match reference {
            Reference::Live => match (&state.live, &state.head) {
                (Live::One(live), _) => Ok(live.value.as_ref().clone()),
                (Live::Absent { .. }, Some(_)) => Ok(empty()),
                _ => Err(super::Document::of_state(self, state)
                    .err()
                    .unwrap_or_else(|| Error::NoRecord { address: record.to_string() })),
            },
            Reference::Staged => staged.cloned().ok_or_else(|| Error::NoSuch {
                what: "staged document",
                name: record.to_string(),
                known: Vec::new(),
            }),
            other => {
                let seq = state.head.as_ref().filter(|_| *other == Reference::Head).map(|h| Reference::Seq(h.head.seq));
                let entry = self.entry_at(record, seq.as_ref().unwrap_or(other)).await?;
                Ok(entry.doc.unwrap_or_else(empty))
            }
        }
    }

    /// Compares two sides of the whole system: addresses first, documents only where they differ.
    ///
    /// # Errors
    ///
    /// Only where the store fails.
    pub async fn diff_all(
        &self,
        collection: Option<CollectionName>,
        from: DiffSide,
        to: DiffSide,
    ) -> Result<DiffReport, Error> {
        let mut report = DiffReport::default();
        if let (DiffSide::Head, DiffSide::Live) | (DiffSide::Live, DiffSide::Head) = (from, to) {
            return self.diff_drift(collection, from == DiffSide::Live).await;
        }
        let before = self.side_oids(&collection, from, &mut report).await?;
        let after = self.side_oids(&collection, to, &mut report).await?;
        let mut keys: Vec<&RecordKey> = before.keys().chain(after.keys()).collect();
        keys.sort();
        keys.dedup();
        let differing: Vec<RecordKey> =
            keys.into_iter().filter(|key| before.get(key) != after.get(key)).cloned().collect();
        for chunk in differing.chunks(CHUNK) {
            let mut before = self.side_docs(chunk, from).await?;
            let mut after = self.side_docs(chunk, to).await?;
            for record in chunk {
                self.push_diff(&mut report, record.clone(), before.remove(record), after.remove(record))?;
            }
        }
        report.failed.sort_by(|a, b| a.0.cmp(&b.0));
        report.failed.dedup_by(|a, b| a.0 == b.0);
        Ok(report)
    }

    /// Compares HEAD and live, each pair as one read gave it.
    async fn diff_drift(&self, collection: Option<CollectionName>, reversed: bool) -> Result<DiffReport, Error> {
        let mut report = DiffReport::default();
        let mut waiting: Vec<RecordKey> = Vec::new();
        let status = self.status(collection, false, &super::Staged::new(), None).await?;
        report.add_troubles(status.troubles);
        for row in status.rows {
            match (row.state, row.reason) {
                (State::Ambiguous | State::Error, Some(error)) => report.failed.push((row.record, error)),
                (State::Dirty | State::Missing, _) => waiting.push(row.record),
                _ => {}
            }
        }
        for _ in 0..ATTEMPTS {
            let mut moved = Vec::new();
            for chunk in waiting.chunks(CHUNK) {
                let states = self.states(chunk).await?;
                let mut heads = self.side_entries(chunk, AsOf::Recorded(Timestamp::OPEN.plus_millis(-1))).await?;
                for state in states {
                    let head = heads.remove(&state.record);
                    // A commit fell between the two reads: once more.
                    let read = state.head.as_ref().filter(|h| h.head.oid.is_some()).map(|h| h.head.entry_id);
                    if read != head.as_ref().map(|entry| entry.entry_id) {
                        moved.push(state.record);
                        continue;
                    }
                    let (Live::One(_) | Live::Absent { .. }) = &state.live else { continue };
                    let live = super::document::live_value(&state).cloned();
                    let head = head.and_then(|entry| entry.doc);
                    let (before, after) = if reversed { (live, head) } else { (head, live) };
                    self.push_diff(&mut report, state.record, before, after)?;
                }
            }
            waiting = moved;
        }
        let contended = |record: RecordKey| (record.clone(), Error::Contended { record, attempts: ATTEMPTS });
        report.failed.extend(waiting.into_iter().map(contended));
        report.diffs.retain(|diff| !diff.changes.is_empty());
        report.diffs.sort_by(|a, b| a.record.cmp(&b.record));
        report.failed.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(report)
    }

    fn push_diff(
        &self,
        report: &mut DiffReport,
        record: RecordKey,
        before: Option<Value>,
        after: Option<Value>,
    ) -> Result<(), Error> {
        let policy = &self.collection(&record.collection)?.policy;
        let part = |doc: Option<Value>| policy.versioned(&doc.unwrap_or(Value::Object(Object::new())));
        let changes = diff(&part(before), &part(after));
        report.diffs.push(RecordDiff { record, changes });
        Ok(())
    }

    async fn side_oids(
        &self,
        collection: &Option<CollectionName>,
        side: DiffSide,
        report: &mut DiffReport,
    ) -> Result<BTreeMap<RecordKey, Oid>, Error> {
        let mut oids = BTreeMap::new();
        match side {
            DiffSide::Live | DiffSide::Head => {
                let status = self.status(collection.clone(), false, &super::Staged::new(), None).await?;
                report.add_troubles(status.troubles);
                for row in status.rows {
                    let oid = if side == DiffSide::Live { row.live_oid } else { row.head_oid };
                    match (row.state, row.reason) {
                        (State::Ambiguous | State::Error, Some(error)) => report.failed.push((row.record, error)),
                        // Untracked records have nothing to be compared with.
                        (State::Untracked, _) => {}
                        _ => oids.extend(oid.map(|oid| (row.record, oid))),
                    }
                }
            }
            DiffSide::At(time) => {
                let scope = Scope::All(collection.clone());
                let rows: Vec<AsOfRow<EntryAddress>> =
                    self.adapter.as_of_addresses(&self.settings.env, &scope, AsOf::Valid(time)).try_concat().await?;
                for row in rows.into_iter().filter(|row| !row.estimated_before_import) {
                    oids.extend(row.entry.oid.map(|oid| (row.entry.record, oid)));
                }
            }
        }
        Ok(oids)
    }

    async fn side_docs(&self, records: &[RecordKey], side: DiffSide) -> Result<BTreeMap<RecordKey, Value>, Error> {
        let at = match side {
            DiffSide::Live => {
                let states = self.states(records).await?;
                let docs = states.into_iter().filter_map(|state| match state.live {
                    Live::One(live) => Some((state.record, Arc::unwrap_or_clone(live.value))),
                    _ => None,
                });
                return Ok(docs.collect());
            }
            DiffSide::Head => AsOf::Recorded(Timestamp::OPEN.plus_millis(-1)),
            DiffSide::At(time) => AsOf::Valid(time),
        };
        let entries = self.side_entries(records, at).await?;
        Ok(entries.into_iter().filter_map(|(record, entry)| Some((record, entry.doc?))).collect())
    }

    async fn side_entries(&self, records: &[RecordKey], at: AsOf) -> Result<BTreeMap<RecordKey, Entry>, Error> {
        let scope = Scope::Records(records.to_vec());
        let rows: Vec<AsOfRow<Entry>> =
            self.adapter.as_of(&self.settings.env, &scope, at, Detail::Document).try_concat().await?;
        let known = rows.into_iter().filter(|row| !row.estimated_before_import);
        Ok(known.map(|row| (row.entry.header.record.clone(), row.entry)).collect())
    }
}

/// How often HEAD and live are read again where a commit fell between.
const ATTEMPTS: u32 = 4;

/// How many differing records are fetched at once.
const CHUNK: usize = 500;
