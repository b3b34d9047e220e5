//! `diff`: between two versions, HEAD and live, or two moments of the whole system.

use std::collections::BTreeMap;

use futures_util::TryStreamExt;

use super::project::Project;
use super::status::State;
use crate::adapter::{AsOf, AsOfRow, Detail, EntryAddress, Live, RecordState, Scope};
use crate::document::{ChangeOp, FieldChange, Object, Oid, Value, diff};
use crate::error::Error;
use crate::history::{CollectionName, Entry, RecordKey, Reference, Timestamp};

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
        let before = self.side(record, from, staged).await?;
        let after = self.side(record, to, staged).await?;
        let policy = &self.collection(&record.collection)?.policy;
        let changes = diff(&policy.versioned(&before), &policy.versioned(&after));
        Ok(RecordDiff { record: record.clone(), changes })
    }

    async fn side(&self, record: &RecordKey, reference: &Reference, staged: Option<&Value>) -> Result<Value, Error> {
        let empty = || Value::Object(Object::new());
        match reference {
            Reference::Live => match self.state(record).await? {
                RecordState { live: Live::One(live), .. } => Ok(live.value),
                RecordState { live: Live::Absent { .. }, head: Some(_), .. } => Ok(empty()),
                state => Err(super::Document::of_state(self, &state)
                    .err()
                    .unwrap_or_else(|| Error::NoRecord { address: record.to_string() })),
            },
            Reference::Staged => staged.cloned().ok_or_else(|| Error::NoSuch {
                what: "staged document",
                name: record.to_string(),
                known: Vec::new(),
            }),
            other => {
                let entry = self.entry_at(record, other).await?;
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
                let policy = &self.collection(&record.collection)?.policy;
                let part = |doc: Option<Value>| policy.versioned(&doc.unwrap_or(Value::Object(Object::new())));
                let changes = diff(&part(before.remove(record)), &part(after.remove(record)));
                report.diffs.push(RecordDiff { record: record.clone(), changes });
            }
        }
        report.failed.sort_by(|a, b| a.0.cmp(&b.0));
        report.failed.dedup_by(|a, b| a.0 == b.0);
        Ok(report)
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
        let scope = Scope::Records(records.to_vec());
        let at = match side {
            DiffSide::Live => {
                let states = self.states(records).await?;
                let docs = states.into_iter().filter_map(|state| match state.live {
                    Live::One(live) => Some((state.record, live.value)),
                    _ => None,
                });
                return Ok(docs.collect());
            }
            DiffSide::Head => AsOf::Recorded(Timestamp::OPEN.plus_millis(-1)),
            DiffSide::At(time) => AsOf::Valid(time),
        };
        let rows: Vec<AsOfRow<Entry>> =
            self.adapter.as_of(&self.settings.env, &scope, at, Detail::Document).try_concat().await?;
        Ok(rows
            .into_iter()
            .filter(|row| !row.estimated_before_import)
            .filter_map(|row| Some((row.entry.header.record, row.entry.doc?)))
            .collect())
    }
}

/// How many differing records are fetched at once.
const CHUNK: usize = 500;
