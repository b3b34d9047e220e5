//! What a load of a history did.

use crate::document::Object;
use crate::error::Error;
use crate::history::RecordKey;

/// What a load did.
#[derive(Debug, Clone, Default)]
pub struct HistoryReport {
    /// Lines read.
    pub lines: u64,
    /// Entries written.
    pub loaded: u64,
    /// Lines that were there already.
    pub known: u64,
    /// Lines that write nothing: deletions of what was not there, and all but the last of several
    /// at one instant.
    pub without_effect: u64,
    /// Records in the file.
    pub records: u64,
    /// Live rows written.
    pub seeded: u64,
    /// Records whose live document is not their last version.
    pub dirty: Vec<RecordKey>,
    /// Records that failed, with why.
    pub failed: Vec<(RecordKey, Error)>,
    /// What looks like a secret and was let pass, where the configuration warns only.
    pub warnings: Vec<(RecordKey, Error)>,
    /// A dry run: nothing was written.
    pub dry_run: bool,
}

impl HistoryReport {
    /// Returns the exit code.
    pub fn exit_code(&self) -> u8 {
        crate::outcome::combined_exit(self.failed.iter().map(|(_, error)| error.kind().exit_code()))
    }

    /// Returns the report as data.
    pub fn to_object(&self) -> Object {
        let id = |record: &RecordKey| {
            Object::new().with("collection", record.collection.as_str()).with("config_id", record.id.to_value())
        };
        let rows = |rows: &[(RecordKey, Error)]| {
            rows.iter().map(|(r, e)| id(r).with("reason", e.to_reason())).collect::<Vec<_>>()
        };
        Object::new()
            .with("lines", self.lines)
            .with("loaded", self.loaded)
            .with("known", self.known)
            .with("without_effect", self.without_effect)
            .with("records", self.records)
            .with("seeded", self.seeded)
            .with("dry_run", self.dry_run)
            .with("dirty", self.dirty.iter().map(id).collect::<Vec<_>>())
            .with("failed", rows(&self.failed))
            .with("warnings", rows(&self.warnings))
    }
}
