//! [`SqliteAdapter`]: the storage contract, each method handed to the thread that does it.

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

use crate::connection::{Catalog, Conn, Purpose, Shared};
use crate::entries::RawEntry;
use crate::errors::{OrAdapterError, STORE, damaged};
use crate::live;
use crate::options::SqliteOptions;
use crate::prepare::prepare;
use crate::read::Scanned;
use crate::readers::{Readers, Size};
use crate::writer::Writer;
use crate::{as_of, doc_shape, entries, read, row_shape, schema};

/// The most records one batch may change: about a third of a second of holding the write lock.
const MAX_BATCH_RECORDS: usize = 5000;

/// A SQLite file that holds live tables and, beside them, their history.
///
/// # Examples
///
/// ```
/// use cfg_engine_sqlite::{SqliteAdapter, SqliteOptions};
/// let missing = SqliteAdapter::open(SqliteOptions::new("no/such/file.db", Vec::new()));
/// assert!(missing.is_err());
/// ```
pub struct SqliteAdapter {
    capabilities: Capabilities,
    collections: Vec<CollectionConfig>,
    shared: Arc<Shared>,
    readers: Readers,
    writer: Writer,
}

impl SqliteAdapter {
    /// Streams the records of a scope: a thread reads them, and whoever consumes the stream parses and
    /// hashes them meanwhile.
    fn states<'a, T: Send + 'static>(
        &'a self,
        env: &EnvName,
        scope: &Scope,
        finish: impl Fn(Scanned) -> Option<T> + Send + Copy + 'a,
    ) -> Chunks<'a, T> {
        let (env, scope) = (env.clone(), scope.clone());
        let chunks = self.readers.stream(Size::of(&scope), move |conn, out| read::records(conn, &env, &scope, out));
        chunks.map(move |chunk| Ok(chunk?.into_iter().filter_map(finish).collect())).boxed()
    }

    /// Opens a file and looks at the live tables. Blocks for a few system calls.
    ///
    /// A live table that is missing is no error here: [`check_collection`] says it.
    ///
    /// # Errors
    ///
    /// [`AdapterError::Unreachable`] for a file that is missing, is no database or cannot be read.
    ///
    /// [`check_collection`]: StorageAdapter::check_collection
    pub fn open(options: SqliteOptions) -> Result<Self, AdapterError> {
        #[expect(clippy::disallowed_methods, reason = "the zero of this adapter's monotonic time")]
        let shared = Shared::new(options, Instant::now());
        let first = Conn::open(&shared, Purpose::First)?;
        let catalog = first.snapshot()?.1;
        let completed = |config: &CollectionConfig| match catalog.table(&config.name) {
            Ok(table) => table.config.clone(),
            Err(_) => config.clone(),
        };
        let collections: Vec<CollectionConfig> = shared.collections().iter().map(completed).collect();
        let mut capabilities = Capabilities::transactional(STORE);
        capabilities.max_batch_records = MAX_BATCH_RECORDS;
        // BLOB columns; `check_document` says which column can hold what.
        capabilities.extended_types = collections.iter().any(|collection| collection.shape == Shape::Row);
        let writer = Writer::new(Arc::clone(&shared));
        let readers = Readers::new(Arc::clone(&shared), first, writer.conn());
        Ok(SqliteAdapter { capabilities, collections, shared, readers, writer })
    }

    fn catalog(&self) -> Option<Arc<Catalog>> {
        self.shared.newest()
    }
}

#[async_trait]
impl StorageAdapter for SqliteAdapter {
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
        self.readers.ask(|conn| conn.clock()).await
    }

    async fn pending_schema(&self) -> Result<Vec<String>, AdapterError> {
        self.readers
            .ask(|conn| {
                let _snapshot = conn.snapshot()?;
                schema::pending(&conn.db, &conn.shared.names)
            })
            .await
    }

    async fn ensure_schema(&self) -> Result<Vec<String>, AdapterError> {
        self.writer.ensure_schema().await
    }

    async fn check_collection(&self, collection: &CollectionName) -> Result<Vec<String>, AdapterError> {
        let collection = collection.clone();
        self.readers
            .ask(move |conn| {
                let (_snapshot, catalog) = conn.snapshot()?;
                catalog.table(&collection)?.advice(&conn.db)
            })
            .await
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
        let query = query.clone();
        let chunks = self.readers.stream(Size::Any, move |conn, out| entries::entries(conn, &query, out));
        chunks.map(|chunk| chunk?.into_iter().map(RawEntry::finish).collect()).boxed()
    }

    fn addresses<'a>(&'a self, env: &'a EnvName, scope: &'a Scope) -> Chunks<'a, EntryAddress> {
        let (env, scope) = (env.clone(), scope.clone());
        self.readers.stream(Size::Any, move |conn, out| entries::addresses(conn, &env, &scope, out))
    }

    fn as_of<'a>(&'a self, env: &'a EnvName, scope: &'a Scope, at: AsOf, detail: Detail) -> Chunks<'a, AsOfRow<Entry>> {
        let (env, scope) = (env.clone(), scope.clone());
        let chunks =
            self.readers.stream(Size::Any, move |conn, out| as_of::entries(conn, &env, &scope, at, detail, out));
        let finish = |row: AsOfRow<RawEntry>| {
            let AsOfRow { entry, estimated_before_import } = row;
            Ok(AsOfRow { entry: entry.finish()?, estimated_before_import })
        };
        chunks.map(move |chunk| chunk?.into_iter().map(finish).collect()).boxed()
    }

    fn as_of_addresses<'a>(
        &'a self,
        env: &'a EnvName,
        scope: &'a Scope,
        at: AsOf,
    ) -> Chunks<'a, AsOfRow<EntryAddress>> {
        let (env, scope) = (env.clone(), scope.clone());
        self.readers.stream(Size::Any, move |conn, out| as_of::addresses(conn, &env, &scope, at, out))
    }

    async fn objects(&self, kind: &str, name: Option<&str>) -> Result<Vec<StoredObject>, AdapterError> {
        let (kind, name) = (kind.to_owned(), name.map(str::to_owned));
        self.readers.ask(move |conn| objects(conn, &kind, name.as_deref())).await
    }

    async fn check_store(&self, _: &EnvName, _: Mending) -> Result<Vec<StoreFinding>, AdapterError> {
        self.readers.ask(crate::check::check).await
    }

    fn check_document(&self, record: &RecordKey, doc: &Value) -> Result<(), AdapterError> {
        if let Some(catalog) = self.catalog() {
            let table = catalog.table(&record.collection)?;
            match table.doc {
                Some(_) => doc_shape::check(table, record, doc)?,
                None => row_shape::check(table, record, doc)?,
            }
        }
        let (bytes, limit) = (doc.to_interchange().len(), self.capabilities.max_document_bytes);
        if bytes > limit {
            return Err(AdapterError::TooLarge { record: record.clone(), bytes, limit });
        }
        Ok(())
    }

    async fn fit(&self, record: &RecordKey, doc: Value) -> Result<Value, AdapterError> {
        let record = record.clone();
        self.readers
            .ask(move |conn| {
                let (_snapshot, catalog) = conn.snapshot()?;
                let table = catalog.table(&record.collection)?;
                if table.doc.is_some() { Ok(doc) } else { row_shape::fit(table, &record, doc) }
            })
            .await
    }

    async fn apply(&self, batch: &Batch) -> Result<(), AdapterError> {
        let (records, limit) = (batch.changes().len(), self.capabilities.max_batch_records);
        if records > limit {
            return Err(AdapterError::BatchTooLarge { records, limit });
        }
        let catalog = self.catalog();
        let prepared = prepare(batch, catalog.as_deref(), self.capabilities.max_document_bytes)?;
        self.writer.apply(prepared).await
    }
}

fn objects(conn: &Conn, kind: &str, name: Option<&str>) -> Result<Vec<StoredObject>, AdapterError> {
    let (_snapshot, catalog) = conn.snapshot()?;
    if !catalog.has_history()? {
        return Ok(Vec::new());
    }
    let sql = format!(
        "SELECT name, version, op_id, recorded_at, body FROM {} \
         WHERE kind = ?1 AND (?2 IS NULL OR name = ?2) AND body <> '' ORDER BY name",
        conn.shared.names.objects
    );
    let mut statement = conn.statement(&sql)?;
    let mut rows = statement.query([Some(kind), name]).sql()?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().sql()? {
        let body: String = row.get(4).sql()?;
        let key = ObjectKey { kind: kind.to_owned(), name: row.get(0).sql()? };
        let broken = |what: &str| damaged(format!("{what} of {} {}", key.kind, key.name));
        found.push(StoredObject {
            version: u64::try_from(row.get::<_, i64>(1).sql()?).map_err(|_| broken("the version"))?,
            op_id: OpId::new(&row.get::<_, String>(2).sql()?).map_err(|_| broken("the op_id"))?,
            recorded_at: Timestamp::from_millis(row.get(3).sql()?),
            body: Value::from_interchange(&body).map_err(|_| broken("the content"))?,
            key,
        });
    }
    Ok(found)
}
