//! [`PostgresAdapter`]: the storage contract.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use cfg_engine::Value;
use cfg_engine::adapter::{
    AdapterError, AsOf, AsOfRow, Batch, Capabilities, Chunks, ClockReading, Detail, Digested, EntryAddress, EntryQuery,
    Mending, ObjectKey, RecordState, Scope, StorageAdapter, StoreFinding, StoredObject,
};
use cfg_engine::config::{CollectionConfig, Shape};
use cfg_engine::history::{CollectionName, Entry, EnvName, OpId, RecordKey, Timestamp};
use futures_util::StreamExt;

use crate::as_of::{AsOfAddresses, AsOfEntries, Question, answer};
use crate::connection::{Shared, Use};
use crate::entries::{Addresses, Entries, address, each, entry};
use crate::errors::{OrAdapterError, STORE, damaged};
use crate::live;
use crate::options::PostgresOptions;
use crate::read::{Records, Scanned, number};
use crate::readers::stream;
use crate::sql::{NOW_MS, Params};
use crate::{apply, check, doc_shape, heads, row_shape, schema};

/// A PostgreSQL database that holds live tables and, in a schema beside them, their history.
///
/// # Examples
///
/// ```
/// use cfg_engine_postgres::{PostgresAdapter, PostgresOptions};
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let options = PostgresOptions::new("postgresql://app@127.0.0.1:1/app?connect_timeout=1", Vec::new());
/// assert!(PostgresAdapter::open(options).await.is_err(), "nobody listens there");
/// # });
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct PostgresAdapter {
    capabilities: Capabilities,
    collections: Vec<CollectionConfig>,
    shared: Arc<Shared>,
}

impl PostgresAdapter {
    /// Connects, and looks at the live tables. Needs a tokio runtime, as every method does.
    ///
    /// A live table that is missing is no error here: [`check_collection`] says it.
    ///
    /// # Errors
    ///
    /// [`AdapterError::Setup`] for a URI that cannot be used, [`AdapterError::Unreachable`] for a server that
    /// cannot be reached.
    ///
    /// [`check_collection`]: StorageAdapter::check_collection
    pub async fn open(options: PostgresOptions) -> Result<Self, AdapterError> {
        #[expect(clippy::disallowed_methods, reason = "the zero of this adapter's monotonic time")]
        let shared = Arc::new(Shared::new(options, Instant::now())?);
        let catalog = shared.look_again().await?;
        let completed = |config: &CollectionConfig| match catalog.table(&config.name) {
            Ok(table) => table.config.clone(),
            Err(_) => config.clone(),
        };
        let collections: Vec<CollectionConfig> = shared.options.collections.iter().map(completed).collect();
        let mut capabilities = Capabilities::transactional(STORE);
        // Columns of many types; `check_document` says which can hold what.
        capabilities.extended_types = collections.iter().any(|collection| collection.shape == Shape::Row);
        Ok(PostgresAdapter { capabilities, collections, shared })
    }

    /// Returns how many round trips to the server were made so far, for measurements.
    pub fn round_trips(&self) -> u64 {
        self.shared.round_trips()
    }

    fn states<'a, T: Send + 'static>(
        &'a self,
        env: &EnvName,
        scope: &Scope,
        finish: impl Fn(Scanned) -> Option<T> + Send + Copy + 'a,
    ) -> Chunks<'a, T> {
        let chunks = stream(&self.shared, Records { env: env.clone(), scope: scope.clone() });
        chunks.map(move |chunk| Ok(chunk?.into_iter().filter_map(finish).collect())).boxed()
    }

    fn question(env: &EnvName, scope: &Scope, at: AsOf) -> Question {
        Question { env: env.clone(), scope: scope.clone(), at }
    }
}

#[async_trait]
impl StorageAdapter for PostgresAdapter {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn collections(&self) -> &[CollectionConfig] {
        &self.collections
    }

    fn monotonic(&self) -> Duration {
        self.shared.monotonic()
    }

    async fn clock(&self) -> Result<ClockReading, AdapterError> {
        let conn = self.shared.conn(Use::Points).await?;
        let taken = self.shared.monotonic();
        let rows = conn.rows(&format!("SELECT {NOW_MS}"), &Params::default()).await.sql()?;
        Ok(ClockReading { store: Timestamp::from_millis(number(&rows)?), taken })
    }

    async fn pending_schema(&self) -> Result<Vec<String>, AdapterError> {
        schema::pending(&self.shared.conn(Use::Scans).await?).await
    }

    async fn ensure_schema(&self) -> Result<Vec<String>, AdapterError> {
        schema::ensure(&self.shared).await
    }

    async fn check_collection(&self, collection: &CollectionName) -> Result<Vec<String>, AdapterError> {
        let catalog = self.shared.look_again().await?;
        let table = catalog.table(collection)?;
        table.advice(&self.shared.conn(Use::Scans).await?).await
    }

    fn records<'a>(&'a self, env: &'a EnvName, scope: &'a Scope) -> Chunks<'a, RecordState> {
        self.states(env, scope, |scanned| match scanned {
            Scanned::Record(state) => Some(live::finish(state)),
            Scanned::Strays(_) => None,
        })
    }

    fn digests<'a>(&'a self, env: &'a EnvName, scope: &'a Scope) -> Chunks<'a, Digested> {
        self.states(env, scope, |scanned| match scanned {
            Scanned::Record(state) => Some(Digested::Record(live::digest(state))),
            Scanned::Strays(strays) => Some(Digested::Strays(strays)),
        })
    }

    fn entries<'a>(&'a self, query: &'a EntryQuery) -> Chunks<'a, Entry> {
        stream(&self.shared, Entries(query.clone())).map(|rows| each(rows, entry)).boxed()
    }

    fn addresses<'a>(&'a self, env: &'a EnvName, scope: &'a Scope) -> Chunks<'a, EntryAddress> {
        stream(&self.shared, Addresses(env.clone(), scope.clone())).map(|rows| each(rows, address)).boxed()
    }

    fn as_of<'a>(&'a self, env: &'a EnvName, scope: &'a Scope, at: AsOf, detail: Detail) -> Chunks<'a, AsOfRow<Entry>> {
        let rows = stream(&self.shared, AsOfEntries(Self::question(env, scope, at), detail));
        rows.map(|rows| each(rows, |row, last| answer(row, last, entry))).boxed()
    }

    fn as_of_addresses<'a>(
        &'a self,
        env: &'a EnvName,
        scope: &'a Scope,
        at: AsOf,
    ) -> Chunks<'a, AsOfRow<EntryAddress>> {
        let rows = stream(&self.shared, AsOfAddresses(Self::question(env, scope, at)));
        rows.map(|rows| each(rows, |row, last| answer(row, last, address))).boxed()
    }

    async fn objects(&self, kind: &str, name: Option<&str>) -> Result<Vec<StoredObject>, AdapterError> {
        let mut catalog = self.shared.catalog();
        if !catalog.has_history()? {
            catalog = self.shared.look_again().await?;
        }
        if !catalog.has_history()? {
            return Ok(Vec::new());
        }
        let conn = self.shared.conn(Use::Points).await?;
        let mut params = Params::default();
        let mut filter = format!("body IS NOT NULL AND kind = {}", params.text(kind));
        if let Some(name) = name {
            filter = format!("{filter} AND name = {}", params.text(name));
        }
        let sql = format!(
            "SELECT name, version, op_id, recorded_at, body::text FROM {} WHERE {filter} ORDER BY name",
            self.shared.names.objects
        );
        conn.rows(&sql, &params).await.sql()?.iter().map(|row| object(kind, row)).collect()
    }

    async fn check_store(&self, _: &EnvName, _: Mending) -> Result<Vec<StoreFinding>, AdapterError> {
        if !self.shared.catalog().has_history()? {
            return Ok(Vec::new());
        }
        check::check(&self.shared.conn(Use::Scans).await?).await
    }

    fn check_document(&self, record: &RecordKey, doc: &Value) -> Result<(), AdapterError> {
        let catalog = self.shared.catalog();
        let table = catalog.table(&record.collection)?;
        match table.doc {
            Some(_) => doc_shape::check(table, record, doc)?,
            None => row_shape::check(table, record, doc)?,
        }
        let (bytes, limit) = (doc.to_interchange().len(), self.capabilities.max_document_bytes);
        if bytes > limit {
            return Err(AdapterError::TooLarge { record: record.clone(), bytes, limit });
        }
        Ok(())
    }

    async fn fit(&self, record: &RecordKey, doc: Value) -> Result<Value, AdapterError> {
        let catalog = self.shared.catalog();
        let table = catalog.table(&record.collection)?;
        if table.doc.is_some() { Ok(doc) } else { row_shape::fit(table, record, doc) }
    }

    async fn apply(&self, batch: &Batch) -> Result<(), AdapterError> {
        let (records, limit) = (batch.changes().len(), self.capabilities.max_batch_records);
        if records > limit {
            return Err(AdapterError::BatchTooLarge { records, limit });
        }
        // A task of its own: if the caller stops waiting, the batch is applied all the same.
        let (shared, batch) = (Arc::clone(&self.shared), batch.clone());
        let document_limit = self.capabilities.max_document_bytes;
        let task = tokio::spawn(async move { apply::apply(&shared, &batch, document_limit).await });
        // Without an answer the task was stopped in the middle.
        task.await.unwrap_or(Err(AdapterError::UnknownOutcome))
    }
}

fn object(kind: &str, row: &tokio_postgres::Row) -> Result<StoredObject, AdapterError> {
    let key = ObjectKey { kind: kind.to_owned(), name: row.try_get(0).sql()? };
    let broken = |what: &str| damaged(format!("{what} of {} {}", key.kind, key.name));
    let version: i64 = row.try_get(1).sql()?;
    let body: &str = row.try_get(4).sql()?;
    Ok(StoredObject {
        version: u64::try_from(version).map_err(|_| broken("the version"))?,
        op_id: OpId::new(row.try_get(2).sql()?).map_err(|_| broken("the op_id"))?,
        recorded_at: heads::instant(row, 3)?,
        body: Value::from_interchange(body).map_err(|_| broken("the content"))?,
        key,
    })
}
