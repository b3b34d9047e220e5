//! [`MongoAdapter`]: the storage contract.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bson::{Document, doc};
use cfg_engine::Value;
use cfg_engine::adapter::{
    AdapterError, AsOf, AsOfRow, Batch, Capabilities, Chunks, ClockReading, Detail, Digested, EntryAddress, EntryQuery,
    Mending, ObjectKey, RecordState, Scope, StorageAdapter, StoreFinding, StoredObject,
};
use cfg_engine::config::CollectionConfig;
use cfg_engine::history::{CollectionName, Entry, EnvName, OpId, RecordKey, Timestamp};
use futures_util::{StreamExt, TryStreamExt};

use crate::connect::{self, Opened};
use crate::errors::{STORE, damaged};
use crate::options::MongoOptions;
use crate::prepare::prepare;
use crate::read::{Keep, Scanned};
use crate::store::Store;
use crate::streams::stream;
use crate::table::MAX_DOCUMENT_BYTES;
use crate::{advice, apply, as_of, entries, fallback, others, read, schema};

/// The most records one batch may change: a second of transaction on a small machine.
const MAX_BATCH_RECORDS: usize = 1000;

/// A MongoDB database that holds live collections and, beside them, their history.
pub struct MongoAdapter {
    capabilities: Capabilities,
    collections: Vec<CollectionConfig>,
    store: Arc<Store>,
}

impl MongoAdapter {
    /// Connects and looks at what the server is.
    ///
    /// # Errors
    ///
    /// [`AdapterError::Unreachable`] for a server that does not answer in time, or an unusable URI.
    pub async fn open(options: MongoOptions) -> Result<Self, AdapterError> {
        #[expect(clippy::disallowed_methods, reason = "the zero of this adapter's monotonic time")]
        let zero = Instant::now();
        let Opened { store, collections, scope } = connect::open(&options, zero).await?;
        let mut capabilities = Capabilities::transactional(STORE);
        capabilities.transactions = store.transactional;
        capabilities.max_batch_records = if store.transactional { MAX_BATCH_RECORDS } else { 1 };
        capabilities.max_document_bytes = MAX_DOCUMENT_BYTES;
        capabilities.caveat = scope.caveat();
        let adapter = MongoAdapter { capabilities, collections, store: Arc::new(store) };
        // What a killed program left must not keep the application waiting; that it could not be looked for
        // is no reason not to open.
        if let Err(error) = adapter.clear_up().await {
            tracing::warn!(%error, "could not look for what an interrupted program left behind");
        }
        Ok(adapter)
    }
}

#[async_trait]
impl StorageAdapter for MongoAdapter {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn collections(&self) -> &[CollectionConfig] {
        &self.collections
    }

    fn monotonic(&self) -> Duration {
        self.store.monotonic()
    }

    async fn clock(&self) -> Result<ClockReading, AdapterError> {
        self.store.clock().await
    }

    async fn pending_schema(&self) -> Result<Vec<String>, AdapterError> {
        schema::pending(&self.store).await
    }

    async fn ensure_schema(&self) -> Result<Vec<String>, AdapterError> {
        schema::ensure(&self.store).await
    }

    async fn check_collection(&self, collection: &CollectionName) -> Result<Vec<String>, AdapterError> {
        advice::of(&self.store, self.store.table(collection)?).await
    }

    fn records<'a>(&'a self, env: &'a EnvName, scope: &'a Scope) -> Chunks<'a, RecordState> {
        self.states(env, scope, Keep::Document, |scanned| match scanned {
            Scanned::Record(row) => Some(row.finish()),
            Scanned::Strays(_) => None,
        })
    }

    fn digests<'a>(&'a self, env: &'a EnvName, scope: &'a Scope) -> Chunks<'a, Digested> {
        self.states(env, scope, Keep::Hash, |scanned| match scanned {
            Scanned::Record(row) => Some(Digested::Record(row.digest())),
            Scanned::Strays(strays) => Some(Digested::Strays(strays)),
        })
    }

    fn entries<'a>(&'a self, query: &'a EntryQuery) -> Chunks<'a, Entry> {
        let (store, query) = (Arc::clone(&self.store), query.clone());
        stream(move |mut out| async move {
            let outcome = entries::entries(&store, &query, &mut out).await;
            (out, outcome)
        })
    }

    fn addresses<'a>(&'a self, env: &'a EnvName, scope: &'a Scope) -> Chunks<'a, EntryAddress> {
        let (store, env, scope) = (Arc::clone(&self.store), env.clone(), scope.clone());
        stream(move |mut out| async move {
            let outcome = entries::addresses(&store, &env, &scope, &mut out).await;
            (out, outcome)
        })
    }

    fn as_of<'a>(&'a self, env: &'a EnvName, scope: &'a Scope, at: AsOf, detail: Detail) -> Chunks<'a, AsOfRow<Entry>> {
        let (store, env, scope) = (Arc::clone(&self.store), env.clone(), scope.clone());
        stream(move |mut out| async move {
            let outcome = as_of::entries(&store, &env, &scope, at, detail, &mut out).await;
            (out, outcome)
        })
    }

    fn as_of_addresses<'a>(
        &'a self,
        env: &'a EnvName,
        scope: &'a Scope,
        at: AsOf,
    ) -> Chunks<'a, AsOfRow<EntryAddress>> {
        let (store, env, scope) = (Arc::clone(&self.store), env.clone(), scope.clone());
        stream(move |mut out| async move {
            let outcome = as_of::addresses(&store, &env, &scope, at, &mut out).await;
            (out, outcome)
        })
    }

    async fn objects(&self, kind: &str, name: Option<&str>) -> Result<Vec<StoredObject>, AdapterError> {
        objects(&self.store, kind, name).await
    }

    fn check_document(&self, record: &RecordKey, doc: &Value) -> Result<(), AdapterError> {
        self.store.table(&record.collection)?.check(record, doc)
    }

    async fn fit(&self, record: &RecordKey, doc: Value) -> Result<Value, AdapterError> {
        self.store.table(&record.collection).map(|_| doc)
    }

    async fn check_store(&self, env: &EnvName, mending: Mending) -> Result<Vec<StoreFinding>, AdapterError> {
        if self.store.transactional {
            if mending == Mending::Repair {
                self.clear_up().await?;
            }
            return Ok(Vec::new());
        }
        let mut found = fallback::check_store(&self.store, mending).await?;
        found.retain(|finding| finding.record.as_ref().is_some_and(|record| record.env == *env));
        Ok(found)
    }

    async fn apply(&self, batch: &Batch) -> Result<(), AdapterError> {
        let (records, limit) = (batch.changes().len(), self.capabilities.max_batch_records);
        if records > limit {
            return Err(AdapterError::BatchTooLarge { records, limit });
        }
        let prepared = prepare(&self.store, batch)?;
        apply::apply(&self.store, &prepared).await
    }
}

impl MongoAdapter {
    /// Ends transactions, and finishes or drops changes, of programs that are gone.
    async fn clear_up(&self) -> Result<(), AdapterError> {
        let store = &self.store;
        if !store.transactional {
            return fallback::reconcile(store).await;
        }
        others::clear_up(&store.client, &store.owner).await.map_err(|error| store.place.error(&error))
    }

    /// Streams the records of a scope: a task reads them, and whoever consumes the stream parses and
    /// hashes them meanwhile.
    fn states<'a, T: Send + 'static>(
        &'a self,
        env: &EnvName,
        scope: &Scope,
        keep: Keep,
        finish: impl Fn(Scanned) -> Option<T> + Send + Copy + 'a,
    ) -> Chunks<'a, T> {
        let (store, env, scope) = (Arc::clone(&self.store), env.clone(), scope.clone());
        let chunks = stream(move |mut out| async move {
            let outcome = read::records(&store, &env, &scope, keep, &mut out).await;
            (out, outcome)
        });
        chunks.map(move |chunk| Ok(chunk?.into_iter().filter_map(finish).collect())).boxed()
    }
}

async fn objects(store: &Store, kind: &str, name: Option<&str>) -> Result<Vec<StoredObject>, AdapterError> {
    let fail = |error: mongodb::error::Error| store.place.error(&error);
    let filter = match name {
        Some(name) => doc! { "_id": { "kind": kind, "name": name }, "body": { "$exists": true } },
        // A document stands behind every text.
        None => doc! {
            "_id": { "$gte": { "kind": kind, "name": "" }, "$lt": { "kind": kind, "name": {} } },
            "body": { "$exists": true },
        },
    };
    let mut session = store.snapshot_of_history().await?;
    let objects = store.history.collection::<Document>(store.place_of(kind));
    let mut cursor = objects.find(filter).sort(doc! { "_id": 1 }).session(&mut session).await.map_err(fail)?;
    let rows: Vec<Document> = cursor.stream(&mut session).try_collect().await.map_err(fail)?;
    let read = |row: &Document| -> Option<StoredObject> {
        let key = row.get_document("_id").ok()?;
        let key = ObjectKey { kind: key.get_str("kind").ok()?.to_owned(), name: key.get_str("name").ok()?.to_owned() };
        Some(StoredObject {
            version: u64::try_from(row.get_i64("version").ok()?).ok()?,
            op_id: OpId::new(row.get_str("op_id").ok()?).ok()?,
            recorded_at: Timestamp::from_millis(row.get_datetime("recorded_at").ok()?.timestamp_millis()),
            body: Value::from_interchange(row.get_str("body").ok()?).ok()?,
            key,
        })
    };
    rows.iter().map(|row| read(row).ok_or_else(|| damaged(format!("an object of kind {kind}")))).collect()
}
