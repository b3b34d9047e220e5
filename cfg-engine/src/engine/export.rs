//! `export`: every document with its base, streamed.

use futures_util::TryStreamExt;

use super::Document;
use super::project::{Progress, Project};
use crate::adapter::Scope;
use crate::error::Error;
use crate::history::{CollectionName, RecordKey};

impl Project {
    /// Streams every live document with its base through `each`, in the order of record keys, holding
    /// one chunk at a time. Records without a live row are passed over.
    ///
    /// # Errors
    ///
    /// Where the store fails, or `each` does; a record's own trouble is handed to `each`.
    pub async fn export<F>(
        &self,
        collection: Option<CollectionName>,
        progress: Option<&dyn Progress>,
        mut each: F,
    ) -> Result<u64, Error>
    where
        F: FnMut(&RecordKey, Result<Document, Error>) -> Result<(), Error> + Send,
    {
        let scope = Scope::All(collection);
        let mut done = 0;
        let mut chunks = self.adapter.records(&self.settings.env, &scope);
        while let Some(chunk) = chunks.try_next().await? {
            for state in &chunk {
                match Document::of_state(self, state) {
                    Err(Error::NoRecord { .. } | Error::Missing { .. }) => continue,
                    other => each(&state.record, other)?,
                }
                done += 1;
            }
            if let Some(progress) = progress {
                progress.advance(done, None);
            }
        }
        Ok(done)
    }
}
