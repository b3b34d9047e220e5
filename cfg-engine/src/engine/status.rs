//! `status`: what differs between live and history.

use std::collections::BTreeSet;

use futures_util::{StreamExt, TryStreamExt};

use super::project::{Progress, Project};
use crate::adapter::{LiveContent, LiveDigest, RecordState, Scope};
use crate::document::{Object, Oid};
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
    /// Returns the exit code: 2 for drift, 6 for ambiguous or unreadable records.
    pub fn exit_code(&self) -> u8 {
        combined_exit(self.rows.iter().filter_map(|row| row.reason.as_ref()).map(|e| e.kind().exit_code()))
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
        let mut chunks = self.adapter.digests(&self.settings.env, &scope);
        let mut done = 0;
        while let Some(chunk) = chunks.next().await {
            for state in chunk? {
                let row = RecordStatus::of(&state, staged);
                done += 1;
                if row.staged {
                    seen.insert(row.record.clone());
                }
                // Rows that are not live, and no history: no record.
                let unknown = row.head_seq.is_none() && row.state == State::Removed;
                if row.state != State::Removed || (removed && !unknown) {
                    rows.push(row);
                }
            }
            if let Some(progress) = progress {
                progress.advance(done, None);
            }
        }
        drop(chunks);
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
        Ok(Status { rows })
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
        Ok(Status { rows })
    }

    /// Returns the records of the whole env for which `wanted` holds, holding nothing but their keys.
    pub(crate) async fn differing(
        &self,
        progress: Option<&dyn Progress>,
        wanted: impl Fn(&RecordState<LiveDigest>) -> bool + Send,
    ) -> Result<Vec<RecordKey>, Error> {
        let scope = Scope::All(None);
        let mut found = Vec::new();
        let mut done = 0;
        let mut chunks = self.adapter.digests(&self.settings.env, &scope);
        while let Some(chunk) = chunks.try_next().await? {
            done += chunk.len() as u64;
            found.extend(chunk.into_iter().filter(|state| wanted(state)).map(|state| state.record));
            if let Some(progress) = progress {
                progress.advance(done, None);
            }
        }
        Ok(found)
    }
}
