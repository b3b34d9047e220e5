//! `import`: the first version of records that have none.

use super::project::{Options, Progress, Project};
use super::report::Report;
use crate::adapter::RecordState;
use crate::document::Object;
use crate::error::Error;
use crate::history::{RecordKey, Timestamp};
use crate::plan::gates::OnRefusal;
use crate::plan::{Planned, Rules, Verb, plan_import, plan_strip};

/// Plans the first version of one record.
type PlanFirst = fn(&RecordState, Rules<'_>, Option<Timestamp>, &Object) -> Result<Planned, Error>;

/// Which records to import, and since when their documents have been live.
#[derive(Debug, Clone, Default)]
pub struct Import {
    /// These; `None` for every untracked record.
    pub records: Option<Vec<RecordKey>>,
    /// Since when; `None` records the moment of import and marks it as a guess.
    pub valid_from: Option<Timestamp>,
}

impl Project {
    /// Records what live holds as version 1 of untracked records. Tracked ones are left as they are.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] for a time later than the store's; else only where the store fails; a
    /// record's own trouble is its row.
    pub async fn import(
        &self,
        import: &Import,
        options: &Options,
        progress: Option<&dyn Progress>,
    ) -> Result<Report, Error> {
        self.import_with(import, options, progress, plan_import).await
    }

    /// As [`import`](Self::import), and takes the fields that a pattern ignores out of live: backups that were
    /// kept by hand inside the documents. The first version keeps what they held.
    ///
    /// # Errors
    ///
    /// As [`import`](Self::import).
    pub async fn import_stripped(
        &self,
        import: &Import,
        options: &Options,
        progress: Option<&dyn Progress>,
    ) -> Result<Report, Error> {
        self.import_with(import, options, progress, plan_strip).await
    }

    async fn import_with(
        &self,
        import: &Import,
        options: &Options,
        progress: Option<&dyn Progress>,
        plan_one: PlanFirst,
    ) -> Result<Report, Error> {
        if let Some(valid_from) = import.valid_from {
            let now = self.adapter.clock().await?.store;
            if valid_from > now {
                return Err(Error::refused(
                    "time_ahead",
                    format!("{valid_from} is later than the database's clock ({now})"),
                    "give a time that has passed",
                ));
            }
        }
        let meta = Object::new();
        let plan =
            |state: &crate::adapter::RecordState| plan_one(state, self.rules(&state.record)?, import.valid_from, &meta);
        match &import.records {
            Some(records) => {
                self.converge(Verb::Import, records.clone(), options, progress, plan, OnRefusal::LeaveOut).await
            }
            None => {
                let (records, troubles) = self.differing(progress, |state| state.head.is_none()).await?;
                let report = self.converge(Verb::Import, records, options, progress, plan, OnRefusal::LeaveOut).await?;
                Ok(Report { troubles, ..report })
            }
        }
    }
}
