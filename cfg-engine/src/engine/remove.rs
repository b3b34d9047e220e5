//! `rm`: deletes live and writes a tombstone.

use std::collections::HashMap;

use super::project::{Options, Project};
use super::report::Report;
use super::transact::{OnMoved, Request};
use crate::document::Object;
use crate::error::Error;
use crate::history::RecordKey;
use crate::plan::gates::OnRefusal;
use crate::plan::{Base, Verb, plan_remove};

/// A deletion of one record.
#[derive(Debug, Clone)]
pub struct Remove {
    /// Which record.
    pub record: RecordKey,
    /// The version that the author had seen.
    pub base: Option<Base>,
    /// Goes on over drift; it is recorded first.
    pub force: bool,
}

impl Remove {
    /// Deletes a record that is as history says.
    pub fn new(record: RecordKey) -> Self {
        Remove { record, base: None, force: false }
    }
}

impl Project {
    /// Deletes the live row and records it. An untracked record gets its first version before.
    ///
    /// # Errors
    ///
    /// As [`commit`](Self::commit), and [`Error::NoRecord`] where there is nothing to delete.
    pub async fn remove(&self, remove: &Remove, options: &Options) -> Result<Report, Error> {
        let request = Request {
            verb: Verb::Remove,
            records: vec![remove.record.clone()],
            options,
            on_refusal: OnRefusal::Whole,
            on_moved: OnMoved::Conflict,
            op_id: None,
            asks_for: None,
            forced: remove.force,
            read_before: Vec::new(),
        };
        let meta = Object::new();
        let seen = if remove.force { self.seen(remove.base.iter()).await? } else { HashMap::new() };
        let seen = seen.get(&remove.record).copied();
        self.transact(request, |state| {
            plan_remove(state, self.rules(&state.record)?, remove.base.as_ref(), remove.force, seen, &meta)
        })
        .await
    }
}
