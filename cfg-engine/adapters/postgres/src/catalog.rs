//! What is known of the database: whether the engine's tables are there, and each live table.

use std::collections::BTreeMap;
use std::sync::Arc;

use cfg_engine::adapter::AdapterError;
use cfg_engine::config::CollectionConfig;
use cfg_engine::history::CollectionName;

use crate::connection::Conn;
use crate::errors::{not_initialised, setup};
use crate::schema::{self, History};
use crate::table::LiveTable;

/// What the database looked like when it was read.
#[derive(Debug)]
pub(crate) struct Catalog {
    pub(crate) history: Result<History, AdapterError>,
    tables: BTreeMap<CollectionName, Result<Arc<LiveTable>, AdapterError>>,
}

impl Catalog {
    /// Nothing is known yet.
    pub(crate) fn unread(collections: &[CollectionConfig]) -> Self {
        let unread =
            |config: &CollectionConfig| (config.name.clone(), Err(setup("the table was not read", "try again")));
        Catalog { history: Ok(History::Absent), tables: collections.iter().map(unread).collect() }
    }

    /// Reads what there is. A live table that does not fit its collection is no error here.
    pub(crate) async fn read(conn: &Conn, collections: &[CollectionConfig]) -> Result<Self, AdapterError> {
        let history = schema::history(conn).await?;
        let mut tables = BTreeMap::new();
        for config in collections {
            let table = match LiveTable::describe(conn, config).await {
                Err(error @ AdapterError::Unreachable { .. }) => return Err(error),
                described => described.map(Arc::new),
            };
            tables.insert(config.name.clone(), table);
        }
        Ok(Catalog { history, tables })
    }

    /// Returns the live table of a collection.
    ///
    /// # Errors
    ///
    /// [`AdapterError::Setup`] for a collection that is not configured or does not fit its table.
    pub(crate) fn table(&self, collection: &CollectionName) -> Result<&Arc<LiveTable>, AdapterError> {
        match self.tables.get(collection) {
            Some(Ok(table)) => Ok(table),
            Some(Err(error)) => Err(error.clone()),
            None => Err(setup(format!("no collection {collection} is configured"), "add it to the configuration")),
        }
    }

    /// Returns the names of the configured collections, in order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &CollectionName> {
        self.tables.keys()
    }

    /// Returns whether history can be read; without the engine's tables there is none to read.
    pub(crate) fn has_history(&self) -> Result<bool, AdapterError> {
        self.history.clone().map(|history| history == History::Ready)
    }

    /// Refuses what needs the engine's tables.
    pub(crate) fn require_history(&self) -> Result<(), AdapterError> {
        if self.has_history()? { Ok(()) } else { Err(not_initialised()) }
    }
}
