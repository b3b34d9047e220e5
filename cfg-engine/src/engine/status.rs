//! `status`: what differs between live and history.

use std::collections::BTreeSet;

use super::pass::CollectionTrouble;
use super::project::{Progress, Project};
use crate::adapter::{LiveContent, LiveDigest, RecordState, Scope};
use crate::document::{Object, Oid, Value};
use crate::error::Error;
use crate::history::{CollectionName, RecordKey, Seq};
use crate::outcome::combined_exit;
use crate::plan::Standing;

/// Where a record stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Live is what HEAD says.
    Clean,
    /// Live differs from HEAD.
    Dirty,
    /// A staged document waits; live is what HEAD says.
    Staged,
    /// Live, without history.
    Untracked,
    /// HEAD is a document, live is gone.
    Missing,
    /// More than one live row.
    Ambiguous,
    /// Live cannot be read or hashed.
    Error,
    /// Deleted: HEAD is a tombstone, live is gone.
    Removed,
}

impl State {
    /// Returns the word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            State::Clean => "clean",
            State::Dirty => "dirty",
            State::Staged => "staged",
            State::Untracked => "untracked",
            State::Missing => "missing",
            State::Ambiguous => "ambiguous",
            State::Error => "error",
            State::Removed => "removed",
        }
    }
}

/// The records that have a staged document; the interface that stages knows them.
pub type Staged = BTreeSet<RecordKey>;

/// One record's row.
#[derive(Debug, Clone)]
pub struct RecordStatus {
    /// Which record.
    pub record: RecordKey,
    /// Where it stands.
    pub state: State,
    /// The content of live.
    pub live_oid: Option<Oid>,
    /// The content of HEAD.
    pub head_oid: Option<Oid>,
    /// HEAD's number.
    pub head_seq: Option<Seq>,
    /// Whether a staged document waits.
    pub staged: bool,
    /// Why it is not clean.
    pub reason: Option<Error>,
}

/// What [`Project::status`] found.
#[derive(Debug, Clone, Default)]
pub struct Status {
    /// The rows, by record key.
    pub rows: Vec<RecordStatus>,
    /// Rows that belong to no record, and collections that cannot be read.
    pub troubles: Vec<CollectionTrouble>,
    /// Staged documents that cannot be used and of which it is not known whose they are.
    pub staging: Vec<Error>,
}

impl RecordStatus {
    fn of<D: LiveContent>(state: &RecordState<D>, staged: &Staged) -> RecordStatus {
        let staged = staged.contains(&state.record);
        let head = state.head.as_ref().map(|h| h.head);
        let (word, live_oid, reason) = match Standing::of(state) {
            Ok(standing) => {
                let word = match standing {
                    Standing::Dirty { .. } | Standing::Revived { .. } => State::Dirty,
                    Standing::Missing { .. } => State::Missing,
                    _ if staged => State::Staged,
                    Standing::Clean { .. } => State::Clean,
                    Standing::Untracked { .. } => State::Untracked,
                    Standing::Removed { .. } | Standing::Unknown { .. } => State::Removed,
                };
                (word, standing.live().map(|(_, oid)| oid), standing.drift(&state.record))
            }
            Err(error @ Error::Ambiguous { .. }) => (State::Ambiguous, None, Some(error)),
            Err(error) => (State::Error, None, Some(error)),
        };
        RecordStatus {
            record: state.record.clone(),
            state: word,
            live_oid,
            head_oid: head.and_then(|h| h.oid),
            head_seq: head.map(|h| h.seq),
            staged,
            reason,
        }
    }

    /// Returns `{collection, config_id, state, live_oid, head_oid, head_seq, staged, reason}`.
    pub fn to_object(&self) -> Object {
        Object::new()
            .with("collection", self.record.collection.as_str())
            .with("config_id", self.record.id.to_value())
            .with("state", self.state.as_str())
            .with("live_oid", self.live_oid.map(|oid| oid.to_hex()))
            .with("head_oid", self.head_oid.map(|oid| oid.to_hex()))
            .with("head_seq", self.head_seq.map(|seq| seq.0))
            .with("staged", self.staged)
            .with("reason", self.reason.as_ref().map(Error::to_reason))
    }
}

impl Status {
    /// Returns the exit code: 2 for drift, 6 for what cannot be versioned as it is.
    pub fn exit_code(&self) -> u8 {
        combined_exit(self.errors().map(|error| error.kind().exit_code()))
    }

    /// Returns why rows are not clean, and what concerns no single row.
    pub fn errors(&self) -> impl Iterator<Item = &Error> {
        let rows = self.rows.iter().filter_map(|row| row.reason.as_ref());
        rows.chain(self.troubles.iter().map(|trouble| &trouble.error)).chain(&self.staging)
    }

    /// Says that what is staged cannot be used: for the record for which `is_its` holds, where there is one.
    pub fn staged_unusable(&mut self, is_its: impl Fn(&RecordKey) -> bool, error: Error) {
        match self.rows.iter_mut().find(|row| is_its(&row.record)) {
            Some(row) => {
                row.staged = true;
                // What live is comes first.
                if row.reason.is_none() {
                    row.state = State::Error;
                    row.reason = Some(error);
                }
            }
            None => self.staging.push(error),
        }
    }

    /// Returns the rows as data. What concerns a whole collection comes behind them, with `config_id`
    /// null; then what is staged and belongs to nothing that is known, with `collection` null too.
    pub fn to_objects(&self) -> Vec<Object> {
        let row = |collection: Option<&CollectionName>, staged: bool, error: &Error| {
            let row = Object::new()
                .with("collection", collection.map(CollectionName::as_str))
                .with("config_id", Value::Null)
                .with("state", State::Error.as_str());
            let row = ["live_oid", "head_oid", "head_seq"].iter().fold(row, |row, key| row.with(key, Value::Null));
            row.with("staged", staged).with("reason", error.to_reason())
        };
        let rows = self.rows.iter().map(RecordStatus::to_object);
        let troubles = self.troubles.iter().map(|t| row(Some(&t.collection), false, &t.error));
        rows.chain(troubles).chain(self.staging.iter().map(|error| row(None, true, error))).collect()
    }
}

impl Project {
    /// Compares live and history, of one collection or of all, in one streamed read.
    ///
    /// Records that are deleted and gone are listed only with `removed`.
    ///
    /// # Errors
    ///
    /// Only where the store fails; a record's own trouble is its row.
    pub async fn status(
        &self,
        collection: Option<CollectionName>,
        removed: bool,
        staged: &Staged,
        progress: Option<&dyn Progress>,
    ) -> Result<Status, Error> {
        let wanted = |record: &RecordKey| collection.as_ref().is_none_or(|c| record.collection == *c);
        let scope = Scope::All(collection.clone());
        let mut rows = Vec::new();
        let mut seen = BTreeSet::new();
        let troubles = self
            .pass(&scope, progress, &mut |state| {
                let row = RecordStatus::of(&state, staged);
                if row.staged {
                    seen.insert(row.record.clone());
                }
                // Rows that are not live, and no history: no record.
                let unknown = row.head_seq.is_none() && row.state == State::Removed;
                if row.state != State::Removed || (removed && !unknown) {
                    rows.push(row);
                }
            })
            .await?;
        // A staged document of a record that does not exist yet.
        for record in staged.difference(&seen).filter(|r| r.env == self.settings.env && wanted(r)) {
            rows.push(RecordStatus {
                record: record.clone(),
                state: State::Staged,
                live_oid: None,
                head_oid: None,
                head_seq: None,
                staged: true,
                reason: None,
            });
        }
        rows.sort_by(|a, b| a.record.cmp(&b.record));
        Ok(Status { rows, troubles, staging: Vec::new() })
    }

    /// Compares live and history of single records.
    ///
    /// # Errors
    ///
    /// [`Error::NoRecord`] for a record that has neither history nor a live row nor a staged document.
    pub async fn status_of(&self, records: &[RecordKey], staged: &Staged) -> Result<Status, Error> {
        let states = self.states(records).await?;
        let mut rows = Vec::with_capacity(states.len());
        for state in &states {
            if matches!(Standing::of(state), Ok(Standing::Unknown { .. })) && !staged.contains(&state.record) {
                return Err(Error::NoRecord { address: state.record.to_string() });
            }
            rows.push(RecordStatus::of(state, staged));
        }
        Ok(Status { rows, ..Status::default() })
    }

    /// Returns the records of the whole env for which `wanted` holds, holding nothing but their keys, and
    /// the collections that cannot be read.
    pub(crate) async fn differing(
        &self,
        progress: Option<&dyn Progress>,
        mut wanted: impl FnMut(&RecordState<LiveDigest>) -> bool + Send,
    ) -> Result<(Vec<RecordKey>, Vec<CollectionTrouble>), Error> {
        let mut found = Vec::new();
        let troubles = self
            .pass(&Scope::All(None), progress, &mut |state| {
                if wanted(&state) {
                    found.push(state.record);
                }
            })
            .await?;
        Ok((found, troubles))
    }
}
