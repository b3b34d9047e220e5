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

use super::history_source::HistorySource;
use super::project::{Options, Progress, Project};
use crate::error::Error;
use crate::history::CollectionName;
use load::batch_end;
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
        if !options.dry_run {
            self.ensure_env().await?;
        }
        self.check_message(options)?;
        let now = self.adapter.clock().await?.store;
        let checked = self.check_history(import, source, options, now, progress)?;
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
            self.load_batch(import, source, options, &checked, start..end, &mut report).await?;
            start = end;
            if let Some(progress) = progress {
                progress.advance(checked.lines + start as u64, Some(checked.lines + checked.places.len() as u64));
            }
        }
        Ok(report)
    }
}
