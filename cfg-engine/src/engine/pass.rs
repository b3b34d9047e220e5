//! One pass over live and history: every record, and what concerns a whole collection.

use futures_util::TryStreamExt;

use super::project::{Progress, Project};
use crate::adapter::{AdapterError, Digested, LiveDigest, RecordState, Scope};
use crate::document::{Object, Value};
use crate::error::Error;
use crate::history::CollectionName;

/// What keeps a collection, or rows of it that belong to no record, from being versioned.
#[derive(Debug, Clone)]
pub struct CollectionTrouble {
    /// Which collection.
    pub collection: CollectionName,
    /// [`Error::UnusableIds`], or why nothing of it can be read.
    pub error: Error,
}

impl CollectionTrouble {
    /// Returns whether nothing of the collection's live table can be read.
    pub fn is_unreadable(&self) -> bool {
        !matches!(self.error, Error::UnusableIds { .. })
    }

    /// Returns `{collection, config_id: null, reason}`.
    pub fn to_object(&self) -> Object {
        Object::new()
            .with("collection", self.collection.as_str())
            .with("config_id", Value::Null)
            .with("reason", self.error.to_reason())
    }
}

/// What is done with each record that comes by.
pub(crate) type Each<'e> = &'e mut (dyn FnMut(RecordState<LiveDigest>) + Send);

impl Project {
    /// Passes over live and history of a scope. A collection that cannot be read is told, and the others
    /// go on; where none can be read, that is the error.
    pub(crate) async fn pass(
        &self,
        scope: &Scope,
        progress: Option<&dyn Progress>,
        each: Each<'_>,
    ) -> Result<Vec<CollectionTrouble>, Error> {
        let mut done = 0;
        match self.pass_once(scope, progress, &mut done, each).await {
            Err(Error::Storage(first @ AdapterError::Setup { .. })) if *scope == Scope::All(None) && done == 0 => {
                self.pass_each(first, progress, each).await
            }
            other => other,
        }
    }

    /// Passes over one collection after another.
    async fn pass_each(
        &self,
        first: AdapterError,
        progress: Option<&dyn Progress>,
        each: Each<'_>,
    ) -> Result<Vec<CollectionTrouble>, Error> {
        let mut names: Vec<CollectionName> = self.collections().iter().map(|c| c.name.clone()).collect();
        names.sort();
        let total = names.len();
        let mut troubles = Vec::new();
        let mut unreadable = 0;
        let mut done = 0;
        for collection in names {
            let scope = Scope::All(Some(collection.clone()));
            match self.pass_once(&scope, progress, &mut done, each).await {
                Ok(found) => troubles.extend(found),
                Err(error @ Error::Storage(AdapterError::Setup { .. })) => {
                    unreadable += 1;
                    troubles.push(CollectionTrouble { collection, error });
                }
                Err(error) => return Err(error),
            }
        }
        if unreadable == total { Err(Error::Storage(first)) } else { Ok(troubles) }
    }

    async fn pass_once(
        &self,
        scope: &Scope,
        progress: Option<&dyn Progress>,
        done: &mut u64,
        each: Each<'_>,
    ) -> Result<Vec<CollectionTrouble>, Error> {
        let mut troubles = Vec::new();
        let mut chunks = self.adapter.digests(&self.settings.env, scope);
        while let Some(chunk) = chunks.try_next().await? {
            *done += chunk.len() as u64;
            for digested in chunk {
                match digested {
                    Digested::Record(state) => each(state),
                    Digested::Strays(strays) => troubles.push(CollectionTrouble {
                        collection: strays.collection.clone(),
                        error: Error::UnusableIds { strays },
                    }),
                }
            }
            if let Some(progress) = progress {
                progress.advance(*done, None);
            }
        }
        Ok(troubles)
    }
}
