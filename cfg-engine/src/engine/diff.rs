//! `diff`: between two versions, HEAD and live, or two moments of the whole system.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::TryStreamExt;

use super::pass::CollectionTrouble;
use super::project::Project;
use super::redacted::RedactedVersions;
use super::status::State;
use crate::adapter::{AsOf, AsOfRow, Detail, EntryAddress, Live, RecordState, Scope};
use crate::document::{ChangeOp, FieldChange, FieldPath, Object, Oid, Value, diff};
use crate::error::Error;
use crate::history::{CollectionName, Entry, RecordKey, Redacted, Reference, Timestamp};
use crate::outcome::combined_exit;

/// The differences of one record.
#[derive(Debug, Clone)]
pub struct RecordDiff {
    /// Which record.
    pub record: RecordKey,
    /// Field by field, of the versioned part.
    pub changes: Vec<FieldChange>,
    /// Where one of the two was redacted: nothing is said of these places.
    pub redacted: Vec<FieldPath>,
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
    /// Returns `{collection, config_id, changes: [{path, op, before, after}]}`, and `redacted` where something was.
    pub fn to_object(&self) -> Object {
        let object = Object::new()
            .with("collection", self.record.collection.as_str())
            .with("config_id", self.record.id.to_value())
            .with("changes", self.changes.iter().map(FieldChange::to_value).collect::<Vec<_>>());
        if self.redacted.is_empty() {
            return object;
        }
        object.with("redacted", self.redacted.iter().map(ToString::to_string).collect::<Vec<_>>())
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
        self.compare(record.clone(), Some(before), Some(after))
    }

    /// Compares two documents. Places that were redacted in one of them are not compared: the other would be shown
    /// against a mark, and told as changed where perhaps nothing is.
    fn compare(&self, record: RecordKey, before: Option<Side>, after: Option<Side>) -> Result<RecordDiff, Error> {
        let policy = &self.collection(&record.collection)?.policy;
        let empty = || Side::from(Value::Object(Object::new()));
        let (before, after) = (before.unwrap_or_else(empty), after.unwrap_or_else(empty));
        let mut redacted = before.redacted;
        redacted.extend(after.redacted);
        let laid = redacted.over(policy);
        let changes = diff(&laid.versioned(&before.doc), &laid.versioned(&after.doc));
        Ok(RecordDiff { record, changes, redacted: redacted.paths })
    }

    async fn side(&self, state: &RecordState, reference: &Reference, staged: Option<&Value>) -> Result<Side, Error> {
        let record = &state.record;
        let empty = || Side::from(Value::Object(Object::new()));
        match reference {
            Reference::Live => match (&state.live, &state.head) {
                (Live::One(live), _) => Ok(live.value.as_ref().clone().into()),
                (Live::Absent { .. }, Some(_)) => Ok(empty()),
                _ => Err(super::Document::of_state(self, state)
                    .err()
                    .unwrap_or_else(|| Error::NoRecord { address: record.to_string() })),
            },
            Reference::Staged => staged.cloned().map(Side::from).ok_or_else(|| Error::NoSuch {
                what: "staged document",
                name: record.to_string(),
                known: Vec::new(),
            }),
            other => {
                let seq = state.head.as_ref().filter(|_| *other == Reference::Head).map(|h| Reference::Seq(h.head.seq));
                let entry = self.entry_at(record, seq.as_ref().unwrap_or(other)).await?;
                let redacted = self.redacted_in(&entry).await?;
                Ok(entry.doc.map_or_else(empty, |doc| Side { doc, redacted }))
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
                let mut redacted = self.redacted_among(heads.values()).await?;
                for state in states {
                    let head = heads.remove(&state.record);
                    // A commit fell between the two reads: once more.
                    let read = state.head.as_ref().filter(|h| h.head.oid.is_some()).map(|h| h.head.entry_id);
                    if read != head.as_ref().map(|entry| entry.entry_id) {
                        moved.push(state.record);
                        continue;
                    }
                    let (Live::One(_) | Live::Absent { .. }) = &state.live else { continue };
                    let live = super::document::live_value(&state).cloned().map(Side::from);
                    let head = head.and_then(|entry| side_of(entry, &mut redacted));
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
        before: Option<Side>,
        after: Option<Side>,
    ) -> Result<(), Error> {
        report.diffs.push(self.compare(record, before, after)?);
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

    async fn side_docs(&self, records: &[RecordKey], side: DiffSide) -> Result<BTreeMap<RecordKey, Side>, Error> {
        let at = match side {
            DiffSide::Live => {
                let states = self.states(records).await?;
                let docs = states.into_iter().filter_map(|state| match state.live {
                    Live::One(live) => Some((state.record, Arc::unwrap_or_clone(live.value).into())),
                    _ => None,
                });
                return Ok(docs.collect());
            }
            DiffSide::Head => AsOf::Recorded(Timestamp::OPEN.plus_millis(-1)),
            DiffSide::At(time) => AsOf::Valid(time),
        };
        let entries = self.side_entries(records, at).await?;
        let mut redacted = self.redacted_among(entries.values()).await?;
        Ok(entries.into_iter().filter_map(|(record, entry)| Some((record, side_of(entry, &mut redacted)?))).collect())
    }

    async fn side_entries(&self, records: &[RecordKey], at: AsOf) -> Result<BTreeMap<RecordKey, Entry>, Error> {
        let scope = Scope::Records(records.to_vec());
        let rows: Vec<AsOfRow<Entry>> =
            self.adapter.as_of(&self.settings.env, &scope, at, Detail::Document).try_concat().await?;
        let known = rows.into_iter().filter(|row| !row.estimated_before_import);
        Ok(known.map(|row| (row.entry.header.record.clone(), row.entry)).collect())
    }
}

/// One side of a comparison: a document, and what is missing in it by a redaction.
struct Side {
    doc: Value,
    redacted: Redacted,
}

impl From<Value> for Side {
    fn from(doc: Value) -> Self {
        Side { doc, redacted: Redacted::default() }
    }
}

fn side_of(entry: Entry, redacted: &mut RedactedVersions) -> Option<Side> {
    let redacted = redacted.remove(&(entry.header.record, entry.header.seq)).unwrap_or_default();
    Some(Side { doc: entry.doc?, redacted })
}

/// How often HEAD and live are read again where a commit fell between.
const ATTEMPTS: u32 = 4;

/// How many differing records are fetched at once.
const CHUNK: usize = 500;
