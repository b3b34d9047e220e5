//! `undo`: takes back one change of a record and keeps the later ones.

use futures_util::TryStreamExt;

use super::project::{Options, Project};
use super::report::Report;
use super::restore::recorded_secrets;
use super::transact::{OnMoved, Request};
use crate::adapter::{Detail, EntryAddress, EntryQuery, Scope};
use crate::document::{FieldPath, Object, Value};
use crate::error::Error;
use crate::history::{DocState, Entry, RecordKey, Reference, Seq};
use crate::plan::gates::OnRefusal;
use crate::plan::{UndoInput, Verb, plan_undo};

/// One change to be taken back.
#[derive(Debug, Clone)]
pub struct Undo {
    /// Of which record.
    pub record: RecordKey,
    /// The version that the change made.
    pub reference: Reference,
    /// Goes on without secrets that would go or that history does not hold.
    pub without_secrets: bool,
}

impl Undo {
    /// Takes back what made this version.
    pub fn new(record: RecordKey, reference: Reference) -> Self {
        Undo { record, reference, without_secrets: false }
    }
}

impl Project {
    /// Takes back what one version changed against the one before it, as a new version on top.
    ///
    /// # Errors
    ///
    /// [`Error::Conflicting`] naming the fields that were changed again later; then nothing is written. Else as
    /// [`commit`](Self::commit) and [`restore`](Self::restore).
    pub async fn undo(&self, undo: &Undo, options: &Options) -> Result<Report, Error> {
        // The versions come after it: see there.
        let read_before = vec![self.state(&undo.record).await?];
        let entry = self.entry_at(&undo.record, &undo.reference).await?;
        let before = self.version_before(&undo.record, entry.header.seq).await?;
        for version in [Some(&entry), before.as_ref()].into_iter().flatten() {
            if version.doc_state == DocState::Thinned {
                return Err(Error::NoDocument {
                    record: undo.record.clone(),
                    reference: format!("@{}", version.header.seq),
                    reason: "retention dropped it",
                });
            }
        }
        let mut redacted = self.redacted_in(&entry).await?;
        if let Some(before) = &before {
            redacted.extend(self.redacted_in(before).await?);
        }
        let had_secrets: Vec<FieldPath> = before.as_ref().map(recorded_secrets).unwrap_or_default();
        let before: Option<Value> = match before.and_then(|before| before.doc) {
            Some(doc) => Some(self.adapter.fit(&undo.record, redacted.strip(doc)).await?),
            None => None,
        };
        let after: Option<Value> = match entry.doc {
            Some(doc) => Some(self.adapter.fit(&undo.record, redacted.strip(doc)).await?),
            None => None,
        };
        let meta = Object::new();
        let input = UndoInput {
            seq: entry.header.seq,
            entry_id: entry.entry_id,
            before: before.as_ref(),
            after: after.as_ref(),
            had_secrets: &had_secrets,
            redacted: &redacted,
            without_secrets: undo.without_secrets,
            meta: &meta,
        };
        let mut options = options.clone();
        if options.message.trim().is_empty() {
            options.message = format!("undo @{}", entry.header.seq);
        }
        let request = Request {
            verb: Verb::Undo,
            records: vec![undo.record.clone()],
            options: &options,
            on_refusal: OnRefusal::Whole,
            on_moved: OnMoved::Conflict,
            op_id: None,
            asks_for: None,
            forced: false,
            read_before,
        };
        self.transact(request, |state| plan_undo(state, self.rules(&state.record)?, input)).await
    }

    /// Reads the version that held right before another one, in valid order.
    async fn version_before(&self, record: &RecordKey, seq: Seq) -> Result<Option<Entry>, Error> {
        let addresses = self.valid_order(record).await?;
        let at = addresses.iter().position(|address| address.seq == seq);
        let Some(before) = at.and_then(|at| at.checked_sub(1)).map(|at| addresses[at].seq) else { return Ok(None) };
        let mut query = EntryQuery::new(self.settings.env.clone(), Scope::Records(vec![record.clone()]));
        query.seqs = vec![before];
        query.detail = Detail::Document;
        let found: Vec<Entry> = self.adapter.entries(&query).try_concat().await?;
        Ok(found.into_iter().next())
    }

    /// Reads the addresses of a record's entries in valid order.
    pub(crate) async fn valid_order(&self, record: &RecordKey) -> Result<Vec<EntryAddress>, Error> {
        let scope = Scope::Records(vec![record.clone()]);
        let mut addresses: Vec<EntryAddress> = self.adapter.addresses(&self.settings.env, &scope).try_concat().await?;
        addresses.retain(|address| address.in_valid_order);
        addresses.sort_by_key(|address| (address.valid_from, address.seq));
        Ok(addresses)
    }
}
