//! `activate`: a version becomes live in a row of its own, where the rows of one id take turns.

use super::project::{Options, Project};
use super::report::Report;
use super::restore::recorded_secrets;
use super::transact::{OnMoved, Request};
use crate::document::Object;
use crate::error::Error;
use crate::history::{RecordKey, Reference};
use crate::plan::gates::OnRefusal;
use crate::plan::{ActivateInput, Verb, plan_activate};

/// An activation of one record.
#[derive(Debug, Clone)]
pub struct Activate {
    /// Which record.
    pub record: RecordKey,
    /// Which version becomes live.
    pub reference: Reference,
    /// Goes on without the secrets that the version had, or that live has and the version does not.
    pub without_secrets: bool,
    /// Goes on over drift; it is recorded first.
    pub force: bool,
}

impl Activate {
    /// Activates a version of a record that is as history says.
    pub fn new(record: RecordKey, reference: Reference) -> Self {
        Activate { record, reference, without_secrets: false, force: false }
    }
}

impl Project {
    /// Makes a version live: the row that is live now steps back, and a row outside the live rule that has
    /// the version's content takes its place, or a new one. All of it happens in one batch, under the same
    /// guards as a commit.
    ///
    /// # Errors
    ///
    /// As [`restore`](Self::restore); [`Error::Refused`] where the live rule asks for no field to have a value,
    /// and [`Error::Setup`] where nothing says what makes a row no longer live.
    pub async fn activate(&self, activate: &Activate, options: &Options) -> Result<Report, Error> {
        // The versions come after it: see there.
        let read_before = vec![self.state(&activate.record).await?];
        let entry = self.entry_at(&activate.record, &activate.reference).await?;
        let had_secrets = recorded_secrets(&entry);
        let redacted = self.redacted_in(&entry).await?;
        let Some(doc) = entry.doc else {
            return Err(Error::NoDocument {
                record: activate.record.clone(),
                reference: activate.reference.to_string(),
                reason: "it is a deletion",
            });
        };
        if let Some(path) = redacted.paths.first() {
            return Err(Error::refused_for(
                &activate.record,
                "redacted",
                format!("{path} of {}{} was redacted", activate.record, activate.reference),
                "make the row live with your own tools, then run: cfg adopt",
            ));
        }
        let target = self.adapter.fit(&activate.record, doc).await?;
        let meta = Object::new();
        let input = ActivateInput {
            target: &target,
            from_seq: entry.header.seq,
            from_entry: entry.entry_id,
            had_secrets: &had_secrets,
            without_secrets: activate.without_secrets,
            force: activate.force,
            meta: &meta,
        };
        let request = Request {
            verb: Verb::Activate,
            records: vec![activate.record.clone()],
            options,
            on_refusal: OnRefusal::Whole,
            on_moved: OnMoved::Conflict,
            op_id: None,
            asks_for: None,
            forced: activate.force,
            read_before,
        };
        self.transact(request, |state| plan_activate(state, self.rules(&state.record)?, input)).await
    }
}
