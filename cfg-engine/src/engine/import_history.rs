//! `import --history`: loads versions with their true times from a file of JSON lines.
//!
//! The file is read twice. First every line is checked and only its record, instant and place are
//! kept; then the records are loaded one batch after another, their lines read again by place. So
//! nothing is written before the whole file is known to be good, order in the file is free, and
//! memory grows with the number of lines, not with their documents.

mod check;
mod line;
mod load;
mod part;
mod report;

use std::sync::PoisonError;

use super::history_source::HistorySource;
use super::project::{Options, Progress, Project};
use crate::error::Error;
use crate::history::CollectionName;
use crate::plan::stored::StoredPlan;
use crate::plan::{Grain, Plan, Verb};
use check::Checked;
use load::{batch_end, with_message};
pub use report::HistoryReport;

/// A history to be loaded.
#[derive(Debug, Clone)]
pub struct HistoryImport {
    /// Into which collection.
    pub collection: CollectionName,
    /// Writes each last version to live where live has none.
    pub seed_live: bool,
}

impl Project {
    /// Loads a history.
    ///
    /// A line is `{id, time, doc | null, author?, message?, sha?}`. A line equal to an entry in
    /// record, instant and content is skipped, so a second run resumes a killed one.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] naming the bad lines; then nothing was written. Afterwards only where the
    /// store fails; the same call again goes on where it stopped.
    pub async fn import_history(
        &self,
        import: &HistoryImport,
        source: &mut dyn HistorySource,
        options: &Options,
        progress: Option<&dyn Progress>,
    ) -> Result<HistoryReport, Error> {
        let options = &self.under_approval(options).await?;
        let gated = !options.dry_run && self.ensure_env().await?.policy.gated;
        self.check_message(options)?;
        let now = self.adapter.clock().await?.store;
        let checked = self.check_history(import, source, options, now, progress)?;
        if gated && options.passage.permit.is_none() {
            // First all of it is planned, as a dry run plans it.
            let (gathering, rows) = Self::gathering(options);
            self.load_all(import, source, &gathering, &checked, None).await?;
            let rows = std::mem::take(&mut *rows.lock().unwrap_or_else(PoisonError::into_inner));
            let plan = Plan { grain: Grain::Entry, ..self.plan(Verb::Import, &with_message(options), Vec::new()) };
            let env = self.ensure_env().await?;
            let key = options.passage.approval.as_ref().and_then(|approval| approval.key);
            let stored = StoredPlan::from_rows(&plan, rows, key);
            let options = self.with_permit_for(&plan, stored, options, &env).await?;
            return self.load_all(import, source, &options, &checked, progress).await;
        }
        self.load_all(import, source, options, &checked, progress).await
    }

    async fn load_all(
        &self,
        import: &HistoryImport,
        source: &mut dyn HistorySource,
        options: &Options,
        checked: &Checked,
        progress: Option<&dyn Progress>,
    ) -> Result<HistoryReport, Error> {
        let mut report = HistoryReport {
            lines: checked.lines,
            without_effect: checked.overridden,
            records: checked.records.len() as u64,
            dry_run: options.dry_run,
            ..HistoryReport::default()
        };
        let mut start = 0;
        while start < checked.places.len() {
            let end = batch_end(&checked.places, start);
            self.load_batch(import, source, options, checked, start..end, &mut report).await?;
            start = end;
            if let Some(progress) = progress {
                progress.advance(checked.lines + start as u64, Some(checked.lines + checked.places.len() as u64));
            }
        }
        Ok(report)
    }
}
