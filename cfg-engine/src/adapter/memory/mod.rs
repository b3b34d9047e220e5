//! [`MemoryAdapter`]: the model of the storage contract, and the store of examples and tests.
//!
//! As simple as it can be: one mutex over plain maps; a batch is checked completely before the first
//! write, and what is written cannot fail. As-of answers are computed from the definition of the
//! intervals and never from the stored ends, which are kept only so that `fsck` has something to check.
//!
//! It is stricter than a store has to be: a batch whose chain, ids, ends or head are not what the
//! rules of [`history`](crate::history) say is refused as [`AdapterError::Damaged`].

mod apply;
mod clock;
#[cfg(any(test, feature = "conformance"))]
mod faults;
mod live;
mod read;
mod store;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt, stream};

pub use clock::MemoryClock;
use store::Store;

use super::{
    AdapterError, AsOf, AsOfRow, Batch, Capabilities, Chunks, ClockReading, Detail, Digested, EntryAddress, EntryQuery,
    Mending, RecordState, Scope, StorageAdapter, StoreFinding, StoredObject,
};
use crate::config::CollectionConfig;
use crate::document::{FieldPath, Value};
use crate::history::{CollectionName, Entry, EnvName, RecordKey, Timestamp};

/// How many rows come in one chunk of a stream.
const CHUNK: usize = 500;

/// A store in memory: live tables as lists of rows, and history beside them.
///
/// Methods that start with `raw_` write and read live rows as an application around the tool would.
///
/// # Examples
///
/// ```
/// use cfg_engine::Value;
/// use cfg_engine::adapter::{MemoryAdapter, StorageAdapter};
/// use cfg_engine::config::CollectionConfig;
/// use cfg_engine::history::CollectionName;
///
/// let agents = CollectionConfig::new(CollectionName::new("agents")?, "_id");
/// let store = MemoryAdapter::new(vec![agents]);
/// store.raw_put("agents", Value::from_json(r#"{"_id": "planner", "model": "large"}"#)?);
/// assert_eq!(store.raw_rows("agents").len(), 1);
/// assert!(!store.capabilities().durable);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct MemoryAdapter {
    capabilities: Capabilities,
    collections: Vec<CollectionConfig>,
    clock: clock::Source,
    store: Arc<Mutex<Store>>,
}

impl MemoryAdapter {
    /// Opens an empty store. Its clock starts at 2024-01-01T00:00:00Z and advances 1 ms per reading.
    pub fn new(collections: Vec<CollectionConfig>) -> Self {
        let mut capabilities = Capabilities::transactional("memory");
        capabilities.durable = false;
        let clock = clock::Source::Logical(MemoryClock::new());
        MemoryAdapter { capabilities, collections, clock, store: Arc::default() }
    }

    /// Takes the store's time from `clock`. To the monotonic clock no time passes at all.
    #[must_use]
    pub fn with_clock(mut self, clock: Box<dyn Fn() -> Timestamp + Send + Sync>) -> Self {
        self.clock = clock::Source::Given(clock.into());
        self
    }

    /// Takes both times from a clock that the caller steps.
    #[must_use]
    pub fn with_memory_clock(mut self, clock: MemoryClock) -> Self {
        self.clock = clock::Source::Logical(clock);
        self
    }

    /// Changes what the store says it can do: smaller limits, no extended types.
    #[must_use]
    pub fn with_capabilities(mut self, capabilities: Capabilities) -> Self {
        self.capabilities = capabilities;
        self
    }

    /// Opens the same store once more, as another process would, perhaps with another configuration.
    #[must_use]
    pub fn reopen(&self, collections: Vec<CollectionConfig>) -> Self {
        MemoryAdapter {
            capabilities: self.capabilities.clone(),
            collections,
            clock: self.clock.clone(),
            store: Arc::clone(&self.store),
        }
    }

    /// Appends a row.
    pub fn raw_insert(&self, collection: &str, row: Value) {
        let table = self.table(collection).to_owned();
        self.lock().table(&table).insert(row);
    }

    /// Puts a row in the place of the rows that have its id and are on its side of the live rule, or
    /// appends it.
    pub fn raw_put(&self, collection: &str, row: Value) {
        let mut store = self.lock();
        let Some(config) = self.collections.iter().find(|c| c.name.as_str() == collection) else {
            store.table(collection).insert(row);
            return;
        };
        let table = store.table(&config.table);
        let (id, live) = (live::id_of(config, &row), config.live_when.matches(&row));
        let same =
            |other: &Value| id.is_some() && live::id_of(config, other) == id && config.live_when.matches(other) == live;
        let places: Vec<u64> = table.rows.iter().filter(|(_, other)| same(other)).map(|(place, _)| *place).collect();
        match places.split_first() {
            Some((first, rest)) => {
                rest.iter().for_each(|place| drop(table.rows.remove(place)));
                table.rows.insert(*first, row);
            }
            None => table.insert(row),
        }
    }

    /// Changes every row with this id; returns how many there were.
    pub fn raw_update(&self, collection: &str, id: &Value, mut change: impl FnMut(&mut Value)) -> usize {
        let mut store = self.lock();
        let places = self.raw_places(&mut store, collection, id);
        let table = store.table(self.table(collection));
        for place in &places {
            if let Some(row) = table.rows.get_mut(place) {
                change(row);
            }
        }
        places.len()
    }

    /// Deletes every row with this id; returns how many there were.
    pub fn raw_delete(&self, collection: &str, id: &Value) -> usize {
        let mut store = self.lock();
        let places = self.raw_places(&mut store, collection, id);
        let table = store.table(self.table(collection));
        places.iter().for_each(|place| drop(table.rows.remove(place)));
        places.len()
    }

    /// Returns every row, in the order in which they were inserted.
    pub fn raw_rows(&self, collection: &str) -> Vec<Value> {
        let mut store = self.lock();
        store.table(self.table(collection)).rows.values().cloned().collect()
    }

    fn raw_places(&self, store: &mut Store, collection: &str, id: &Value) -> Vec<u64> {
        let Some(config) = self.collections.iter().find(|c| c.name.as_str() == collection) else {
            return Vec::new();
        };
        let Ok(id) = crate::history::IdKey::from_value(id) else { return Vec::new() };
        let rows = &store.table(&config.table).rows;
        rows.iter().filter(|(_, row)| live::id_of(config, row).as_ref() == Some(&id)).map(|(place, _)| *place).collect()
    }

    /// A name that is not configured is taken for a table's.
    fn table<'a>(&'a self, collection: &'a str) -> &'a str {
        self.collections.iter().find(|c| c.name.as_str() == collection).map_or(collection, |c| c.table.as_str())
    }

    fn collection(&self, name: &CollectionName) -> Result<&CollectionConfig, AdapterError> {
        self.collections.iter().find(|c| c.name == *name).ok_or_else(|| AdapterError::Setup {
            problem: format!("no collection {name} is configured"),
            hint: "add it to the configuration".to_owned(),
        })
    }

    /// A panic in a test's closure leaves the maps as they are: nothing is written half.
    fn lock(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Streams what was read under one lock, which makes it one snapshot.
fn chunks<'a, T: Send + 'a>(read: Result<Vec<T>, AdapterError>) -> Chunks<'a, T> {
    match read {
        Ok(mut rows) => {
            let mut chunks = Vec::new();
            while !rows.is_empty() {
                let rest = rows.split_off(rows.len().min(CHUNK));
                chunks.push(Ok(std::mem::replace(&mut rows, rest)));
            }
            stream::iter(chunks).boxed()
        }
        Err(error) => stream::iter([Err(error)]).boxed(),
    }
}

#[async_trait]
impl StorageAdapter for MemoryAdapter {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn collections(&self) -> &[CollectionConfig] {
        &self.collections
    }

    fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }

    async fn clock(&self) -> Result<ClockReading, AdapterError> {
        Ok(self.clock.read())
    }

    async fn pending_schema(&self) -> Result<Vec<String>, AdapterError> {
        Ok(Vec::new())
    }

    async fn ensure_schema(&self) -> Result<Vec<String>, AdapterError> {
        Ok(Vec::new())
    }

    async fn check_collection(&self, collection: &CollectionName) -> Result<Vec<String>, AdapterError> {
        self.collection(collection).map(|_| Vec::new())
    }

    fn records<'a>(&'a self, env: &'a EnvName, scope: &'a Scope) -> Chunks<'a, RecordState> {
        chunks(self.read_records(env, scope))
    }

    fn digests<'a>(&'a self, env: &'a EnvName, scope: &'a Scope) -> Chunks<'a, Digested> {
        chunks(self.read_digests(env, scope))
    }

    fn entries<'a>(&'a self, query: &'a EntryQuery) -> Chunks<'a, Entry> {
        chunks(Ok(self.read_entries(query)))
    }

    fn addresses<'a>(&'a self, env: &'a EnvName, scope: &'a Scope) -> Chunks<'a, EntryAddress> {
        chunks(Ok(self.read_addresses(env, scope)))
    }

    fn as_of<'a>(&'a self, env: &'a EnvName, scope: &'a Scope, at: AsOf, detail: Detail) -> Chunks<'a, AsOfRow<Entry>> {
        chunks(Ok(self.read_as_of(env, scope, at, |stored| stored.to_entry(detail))))
    }

    fn as_of_addresses<'a>(
        &'a self,
        env: &'a EnvName,
        scope: &'a Scope,
        at: AsOf,
    ) -> Chunks<'a, AsOfRow<EntryAddress>> {
        chunks(Ok(self.read_as_of(env, scope, at, |stored| stored.to_address())))
    }

    async fn objects(&self, kind: &str, name: Option<&str>) -> Result<Vec<StoredObject>, AdapterError> {
        let wanted = |o: &&StoredObject| o.key.kind == kind && name.is_none_or(|name| o.key.name == name);
        Ok(self.lock().objects.values().filter(wanted).cloned().collect())
    }

    /// Everything here stands under its record.
    async fn check_store(&self, _: &EnvName, _: Mending) -> Result<Vec<StoreFinding>, AdapterError> {
        Ok(Vec::new())
    }

    fn check_document(&self, record: &RecordKey, doc: &Value) -> Result<(), AdapterError> {
        let collection = self.collection(&record.collection)?;
        let unstorable = |path: &FieldPath, what: &str| AdapterError::Unstorable {
            record: record.clone(),
            path: path.to_string(),
            what: what.to_owned(),
        };
        if doc.as_object().is_none() {
            return Err(unstorable(&FieldPath::root(), doc.type_name()));
        }
        if let Some(field) = collection.disagreeing_id(&record.id, doc) {
            return Err(unstorable(&FieldPath::key(field), "another id"));
        }
        if !self.capabilities.extended_types
            && let Some((path, kind)) = live::first_extended(doc, FieldPath::root())
        {
            return Err(unstorable(&path, kind));
        }
        live::check_size(record, doc, self.capabilities.max_document_bytes)
    }

    async fn fit(&self, record: &RecordKey, doc: Value) -> Result<Value, AdapterError> {
        self.collection(&record.collection).map(|_| doc)
    }

    async fn apply(&self, batch: &Batch) -> Result<(), AdapterError> {
        let mut store = self.lock();
        #[cfg(any(test, feature = "conformance"))]
        if let Some(error) = store.faults.before.pop_front() {
            return Err(error);
        }
        let writes = self.check_batch(&store, batch, self.clock.read().store)?;
        store.write(batch, writes);
        #[cfg(any(test, feature = "conformance"))]
        if std::mem::take(&mut store.faults.lose_acknowledgement) {
            return Err(AdapterError::UnknownOutcome);
        }
        Ok(())
    }
}
