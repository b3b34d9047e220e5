//! What a mutating verb reports: per record an entry, nothing, or an error.

use std::sync::Arc;

use super::pass::CollectionTrouble;
use crate::adapter::HeadRef;
use crate::document::{Object, Value};
use crate::error::Error;
use crate::history::{Author, Entry, RecordKey, Seq, Timestamp};
use crate::outcome::combined_exit;
use crate::plan::{Base, PlanView};

/// What a change went on top of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replaced {
    /// Its number.
    pub seq: Seq,
    /// Who wrote it.
    pub author: Author,
    /// When.
    pub recorded_at: Timestamp,
}

impl Replaced {
    fn to_object(&self) -> Object {
        let author = Object::new().with("id", self.author.id.as_str()).with("class", self.author.class.as_str());
        Object::new().with("seq", self.seq.0).with("author", author).with("recorded_at", self.recorded_at.to_string())
    }
}

/// A change that was made.
#[derive(Debug, Clone)]
pub struct Written {
    /// The entry that is HEAD's, or the last one written.
    pub entry: Entry,
    /// All entries written for this record, the pre-image first.
    pub entries: Vec<Entry>,
    /// HEAD before.
    pub replaced: Option<Replaced>,
    /// The document as it is now, secrets masked; `None` for a deletion.
    pub doc: Option<Arc<Value>>,
    /// The base to commit the next change with.
    pub base: Base,
    /// What looks like a secret and was let pass, where the configuration warns only.
    pub warnings: Vec<Error>,
}

impl Written {
    /// Returns the entry plus `replaced`, and `warnings` where there are some.
    pub fn to_object(&self) -> Object {
        let row = self.entry.to_object(&[]).with("replaced", self.replaced.as_ref().map(Replaced::to_object));
        if self.warnings.is_empty() {
            return row;
        }
        row.with("warnings", self.warnings.iter().map(Error::to_reason).collect::<Vec<_>>())
    }
}

/// What became of one record.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum RowOutcome {
    /// Written.
    Written(Box<Written>),
    /// Nothing to do: it was as asked.
    Unchanged {
        /// HEAD, if there is one.
        head: Option<HeadRef>,
    },
}

/// One record's row.
#[derive(Debug, Clone)]
pub struct RowResult {
    /// Which record.
    pub record: RecordKey,
    /// What became of it.
    pub result: Result<RowOutcome, Error>,
}

impl RowResult {
    /// Returns the entry plus `replaced`, `{collection, config_id, unchanged: true, …}`, or
    /// `{collection, config_id, reason}`.
    pub fn to_object(&self) -> Object {
        let id = || {
            Object::new()
                .with("collection", self.record.collection.as_str())
                .with("config_id", self.record.id.to_value())
        };
        match &self.result {
            Ok(RowOutcome::Written(written)) => written.to_object(),
            Ok(RowOutcome::Unchanged { head }) => id()
                .with("unchanged", true)
                .with("head_seq", head.map(|h| h.seq.0))
                .with("head_oid", head.and_then(|h| h.oid).map(|oid| oid.to_hex())),
            Err(error) => id().with("reason", error.to_reason()),
        }
    }
}

/// What a verb did, record by record.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// The rows, by record key.
    pub rows: Vec<RowResult>,
    /// The plan, where this was a dry run.
    pub plan: Option<PlanView>,
    /// What a dry run would let pass with a warning.
    pub plan_warnings: Vec<(RecordKey, Error)>,
    /// Collections of which a verb over everything could read nothing, and rows that belong to no record.
    pub troubles: Vec<CollectionTrouble>,
    /// The idempotency key was known: what is reported happened earlier.
    pub replayed: bool,
}

impl Report {
    /// Says of records that they failed.
    pub(crate) fn fail(&mut self, records: &[RecordKey], error: &Error) {
        let failed = records.iter().map(|record| RowResult { record: record.clone(), result: Err(error.clone()) });
        self.rows.extend(failed);
    }

    /// Returns the entries that were written.
    pub fn written(&self) -> impl Iterator<Item = &Written> {
        self.rows.iter().filter_map(|row| match &row.result {
            Ok(RowOutcome::Written(written)) => Some(&**written),
            _ => None,
        })
    }

    /// Returns the rows that failed.
    pub fn failed(&self) -> impl Iterator<Item = (&RecordKey, &Error)> {
        self.rows.iter().filter_map(|row| row.result.as_ref().err().map(|error| (&row.record, error)))
    }

    /// Returns what was let pass with a warning.
    pub fn warnings(&self) -> impl Iterator<Item = &Error> {
        self.written().flat_map(|written| &written.warnings).chain(self.plan_warnings.iter().map(|(_, error)| error))
    }

    /// Returns why rows failed, and what concerns a whole collection.
    pub fn errors(&self) -> impl Iterator<Item = &Error> {
        self.failed().map(|(_, error)| error).chain(self.troubles.iter().map(|trouble| &trouble.error))
    }

    /// Returns the exit code.
    pub fn exit_code(&self) -> u8 {
        combined_exit(self.errors().map(|error| error.kind().exit_code()))
    }

    /// Returns `{results, failed, replayed}`, or the plan of a dry run.
    pub fn to_object(&self) -> Object {
        if let Some(plan) = &self.plan {
            let shown = plan.shown.clone().with("failed", self.failures());
            if self.plan_warnings.is_empty() {
                return shown;
            }
            let row = |(record, error): &(RecordKey, Error)| {
                Object::new()
                    .with("collection", record.collection.as_str())
                    .with("config_id", record.id.to_value())
                    .with("reason", error.to_reason())
            };
            return shown.with("warnings", self.plan_warnings.iter().map(row).collect::<Vec<_>>());
        }
        let results = self.rows.iter().filter(|row| row.result.is_ok());
        Object::new()
            .with("results", results.map(RowResult::to_object).collect::<Vec<_>>())
            .with("failed", self.failures())
            .with("replayed", self.replayed)
    }

    fn failures(&self) -> Vec<Object> {
        let rows = self.rows.iter().filter(|row| row.result.is_err()).map(RowResult::to_object);
        rows.chain(self.troubles.iter().map(CollectionTrouble::to_object)).collect()
    }

    /// Returns what a verb on one record prints: the entry plus `replaced`, or the plan.
    pub fn to_single(&self) -> Value {
        match (&self.plan, self.rows.as_slice()) {
            (Some(_), _) => Value::Object(self.to_object()),
            (None, [row]) => Value::Object(row.to_object().with("replayed", self.replayed)),
            (None, _) => Value::Object(self.to_object()),
        }
    }
}
