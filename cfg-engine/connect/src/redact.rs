//! Redaction of what lies beside the configuration: staged documents.

use cfg_engine::Error;
use cfg_engine::document::{Edit, PathChange, apply_changes};
use cfg_engine::engine::Place;
use cfg_engine::history::{REDACTED, RecordKey, is_redacted, places};

use crate::staging::Staging;

impl Staging {
    /// Takes values out of a record's staged document; the mark in their place cannot be committed. Returns where
    /// they stood, if there is such a document. With `dry_run` the file stays as it is.
    ///
    /// # Errors
    ///
    /// As [`get`](Staging::get) and [`put`](Staging::put).
    pub fn redact(&self, record: &RecordKey, paths: &[String], dry_run: bool) -> Result<Option<Place>, Error> {
        let Some(mut staged) = self.get(record)? else { return Ok(None) };
        let mut found = places(paths, &staged.doc).unwrap_or_default();
        found.retain(|path| path.get(&staged.doc).is_some_and(|value| !value.is_null() && !is_redacted(value)));
        // A secret field that was not given anew holds a marker.
        found.retain(|path| !path.get(&staged.doc).is_some_and(cfg_engine::document::is_secret_marker));
        if found.is_empty() {
            return Ok(None);
        }
        if !dry_run {
            let mark = |path| PathChange { path, edit: Edit::Set(REDACTED.into()) };
            let changes: Vec<PathChange> = found.iter().cloned().map(mark).collect();
            // The places were found in this very document.
            let _ = apply_changes(&mut staged.doc, &changes);
            self.put(&staged)?;
        }
        Ok(Some(Place::staged(found)))
    }
}
