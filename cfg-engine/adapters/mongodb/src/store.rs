//! What an opened store consists of: two databases on one client, and the collections in them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bson::raw::RawDocumentBuf;
use bson::{DateTime, Document, doc};
use cfg_engine::adapter::{AdapterError, ClockReading, ENV_OBJECT};
use cfg_engine::history::{CollectionName, Timestamp};
use mongodb::options::{
    CollectionOptions, ReadConcern, SelectionCriteria, SessionOptions, TransactionOptions, WriteConcern,
};
use mongodb::{Client, ClientSession, Collection, Database};

use crate::errors::{Place, setup};
use crate::options::Names;
use crate::table::LiveTable;

/// An opened store.
pub(crate) struct Store {
    pub(crate) client: Client,
    /// The database of live.
    pub(crate) live: Database,
    /// The database of history.
    pub(crate) history: Database,
    pub(crate) names: Names,
    pub(crate) tables: BTreeMap<CollectionName, Arc<LiveTable>>,
    pub(crate) place: Place,
    /// What this store calls itself to the server.
    pub(crate) owner: String,
    /// Whether there are transactions and snapshots that span both databases.
    pub(crate) transactional: bool,
    /// Whether one aggregate reaches both live and history.
    pub(crate) one_database: bool,
    /// When the oldest and the newest entry of history became valid, as it was when last looked at.
    pub(crate) bounds: Mutex<Option<(i64, i64)>>,
    pub(crate) zero: Instant,
}

/// Where the engine's own documents live that say which layout there is.
pub(crate) fn schema_id() -> Document {
    doc! { "kind": "schema", "name": "mongodb" }
}

impl Store {
    pub(crate) fn table(&self, name: &CollectionName) -> Result<&Arc<LiveTable>, AdapterError> {
        let missing = || setup(format!("no collection {name} is configured"), "add it to the configuration");
        self.tables.get(name).ok_or_else(missing)
    }

    pub(crate) fn live_collection(&self, table: &LiveTable) -> Collection<RawDocumentBuf> {
        self.live.collection(&table.config.table)
    }

    pub(crate) fn entries(&self) -> Collection<RawDocumentBuf> {
        self.history.collection(&self.names.history)
    }

    pub(crate) fn heads(&self) -> Collection<RawDocumentBuf> {
        self.history.collection(&self.names.heads)
    }

    pub(crate) fn objects(&self) -> Collection<RawDocumentBuf> {
        self.history.collection(&self.names.objects)
    }

    /// The collection of the objects of a kind. What the store says of an env stands beside the heads: every
    /// batch compares both, and does it with one command.
    pub(crate) fn place_of(&self, kind: &str) -> &str {
        if kind == ENV_OBJECT { &self.names.heads } else { &self.names.objects }
    }

    /// Intents of changes, where there are no transactions.
    pub(crate) fn intents(&self) -> Collection<RawDocumentBuf> {
        let options = CollectionOptions::builder().write_concern(durable()).selection_criteria(primary()).build();
        self.history.collection_with_options(&self.names.pending, options)
    }

    pub(crate) fn monotonic(&self) -> Duration {
        self.zero.elapsed()
    }

    /// Makes a reading of a time that the server said just now.
    pub(crate) fn reading(&self, at: DateTime) -> ClockReading {
        ClockReading { store: Timestamp::from_millis(at.timestamp_millis()), taken: self.monotonic() }
    }

    /// Asks the server for its time.
    pub(crate) async fn clock(&self) -> Result<ClockReading, AdapterError> {
        let hello = self.live.run_command(doc! { "hello": 1 }).selection_criteria(primary()).await;
        let hello = hello.map_err(|error| self.place.error(&error))?;
        let time = hello.get_datetime("localTime").map_err(|_| crate::errors::storage("the server tells no time"))?;
        Ok(self.reading(*time))
    }

    /// Starts a read in which everything is seen at one moment, where the servers can do that.
    pub(crate) async fn snapshot(&self) -> Result<Reading, AdapterError> {
        let live = self.snapshot_of(&self.client).await?;
        let history = if self.transactional { None } else { Some(self.snapshot_of(self.history.client()).await?) };
        Ok(Reading { live, history })
    }

    /// As [`snapshot`](Self::snapshot), for reads of history alone.
    pub(crate) async fn snapshot_of_history(&self) -> Result<ClientSession, AdapterError> {
        self.snapshot_of(self.history.client()).await
    }

    async fn snapshot_of(&self, client: &Client) -> Result<ClientSession, AdapterError> {
        let options = if self.transactional {
            SessionOptions::builder().snapshot(true).build()
        } else {
            SessionOptions::builder().build()
        };
        client.start_session().with_options(options).await.map_err(|error| self.place.error(&error))
    }

    pub(crate) fn known_bounds(&self) -> Option<(i64, i64)> {
        *self.bounds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn learn_bounds(&self, bounds: (i64, i64)) {
        *self.bounds.lock().unwrap_or_else(PoisonError::into_inner) = Some(bounds);
    }
}

/// A read of live and history.
pub(crate) struct Reading {
    pub(crate) live: ClientSession,
    /// Another session, where history may be on another deployment.
    history: Option<ClientSession>,
}

impl Reading {
    pub(crate) fn history(&mut self) -> &mut ClientSession {
        self.history.as_mut().unwrap_or(&mut self.live)
    }
}

pub(crate) fn primary() -> SelectionCriteria {
    SelectionCriteria::ReadPreference(mongodb::options::ReadPreference::Primary)
}

/// What every transaction runs under, whatever the URI or the server's defaults say.
pub(crate) fn transaction() -> TransactionOptions {
    TransactionOptions::builder()
        .read_concern(ReadConcern::snapshot())
        .write_concern(durable())
        .selection_criteria(primary())
        .build()
}

/// Acknowledged by a majority, each from its journal.
pub(crate) fn durable() -> WriteConcern {
    WriteConcern::builder().w(mongodb::options::Acknowledgment::Majority).journal(true).build()
}
