//! Between the engine and a store: counts calls, and lets something happen right before one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use cfg_engine::Value;
use cfg_engine::adapter::{
    AdapterError, AsOf, AsOfRow, Batch, Capabilities, Chunks, ClockReading, Detail, Digested, EntryAddress, EntryQuery,
    Mending, RecordState, Scope, StorageAdapter, StoreFinding, StoredObject,
};
use cfg_engine::config::CollectionConfig;
use cfg_engine::history::{CollectionName, Entry, EnvName, RecordKey};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};

type Hook = Box<dyn FnOnce() -> BoxFuture<'static, ()> + Send>;

/// A store that does as another one does.
pub(crate) struct Interposed {
    inner: Arc<dyn StorageAdapter>,
    calls: Mutex<BTreeMap<&'static str, usize>>,
    hooks: Mutex<Vec<(&'static str, Hook)>>,
    capabilities: Mutex<Option<&'static Capabilities>>,
    /// After so many more calls the next one never returns.
    stop: Mutex<Option<(usize, Arc<tokio::sync::Notify>)>>,
}

impl Interposed {
    pub(crate) fn new(inner: Arc<dyn StorageAdapter>) -> Self {
        Interposed {
            inner,
            calls: Mutex::default(),
            hooks: Mutex::default(),
            capabilities: Mutex::default(),
            stop: Mutex::default(),
        }
    }

    /// Lets something happen right before the next call of that name. Several queue.
    pub(crate) fn before<F>(&self, call: &'static str, hook: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.hooks.lock().unwrap().push((call, Box::new(move || hook.boxed())));
    }

    /// Forgets what has not happened.
    pub(crate) fn forget_hooks(&self) {
        self.hooks.lock().unwrap().clear();
    }

    /// Runs something that is stopped dead right before its call number `after`, as a program that is killed; returns
    /// its outcome where it has fewer calls.
    pub(crate) async fn killed<T>(&self, after: usize, work: impl Future<Output = T>) -> Option<T> {
        let stopped = Arc::new(tokio::sync::Notify::new());
        *self.stop.lock().unwrap() = Some((after, Arc::clone(&stopped)));
        let outcome = tokio::select! {
            outcome = work => Some(outcome),
            () = stopped.notified() => None,
        };
        *self.stop.lock().unwrap() = None;
        outcome
    }

    /// Changes what the store says it can do.
    pub(crate) fn limit(&self, records: usize) {
        let mut capabilities = self.inner.capabilities().clone();
        capabilities.max_batch_records = records;
        *self.capabilities.lock().unwrap() = Some(Box::leak(Box::new(capabilities)));
    }

    /// Returns how many calls there were since the last time this was asked.
    pub(crate) fn calls(&self) -> usize {
        std::mem::take(&mut *self.calls.lock().unwrap()).values().sum()
    }

    /// Returns how many calls there were since the last time they were taken.
    pub(crate) fn seen(&self) -> usize {
        self.calls.lock().unwrap().values().sum()
    }

    fn enter(&self, call: &'static str) -> BoxFuture<'static, ()> {
        *self.calls.lock().unwrap().entry(call).or_default() += 1;
        if let Some((left, stopped)) = &mut *self.stop.lock().unwrap() {
            if *left == 0 {
                stopped.notify_one();
                return std::future::pending().boxed();
            }
            *left -= 1;
        }
        let mut hooks = self.hooks.lock().unwrap();
        match hooks.iter().position(|(name, _)| *name == call) {
            Some(at) => hooks.remove(at).1(),
            None => async {}.boxed(),
        }
    }

    fn stream<'a, T: Send + 'a>(&'a self, call: &'static str, stream: Chunks<'a, T>) -> Chunks<'a, T> {
        // The store reads when its stream is polled first, which is after the hook.
        self.enter(call).map(|()| stream).flatten_stream().boxed()
    }
}

#[async_trait]
impl StorageAdapter for Interposed {
    fn capabilities(&self) -> &Capabilities {
        self.capabilities.lock().unwrap().unwrap_or_else(|| self.inner.capabilities())
    }

    fn collections(&self) -> &[CollectionConfig] {
        self.inner.collections()
    }

    fn monotonic(&self) -> Duration {
        self.inner.monotonic()
    }

    async fn clock(&self) -> Result<ClockReading, AdapterError> {
        self.enter("clock").await;
        self.inner.clock().await
    }

    async fn pending_schema(&self) -> Result<Vec<String>, AdapterError> {
        self.inner.pending_schema().await
    }

    async fn ensure_schema(&self) -> Result<Vec<String>, AdapterError> {
        self.inner.ensure_schema().await
    }

    async fn check_collection(&self, collection: &CollectionName) -> Result<Vec<String>, AdapterError> {
        self.inner.check_collection(collection).await
    }

    fn records<'a>(&'a self, env: &'a EnvName, scope: &'a Scope) -> Chunks<'a, RecordState> {
        let read = async move { self.inner.records(env, scope) };
        self.stream("records", read.flatten_stream().boxed())
    }

    fn digests<'a>(&'a self, env: &'a EnvName, scope: &'a Scope) -> Chunks<'a, Digested> {
        let read = async move { self.inner.digests(env, scope) };
        self.stream("digests", read.flatten_stream().boxed())
    }

    fn entries<'a>(&'a self, query: &'a EntryQuery) -> Chunks<'a, Entry> {
        let read = async move { self.inner.entries(query) };
        self.stream("entries", read.flatten_stream().boxed())
    }

    fn addresses<'a>(&'a self, env: &'a EnvName, scope: &'a Scope) -> Chunks<'a, EntryAddress> {
        let read = async move { self.inner.addresses(env, scope) };
        self.stream("addresses", read.flatten_stream().boxed())
    }

    fn as_of<'a>(&'a self, env: &'a EnvName, scope: &'a Scope, at: AsOf, detail: Detail) -> Chunks<'a, AsOfRow<Entry>> {
        let read = async move { self.inner.as_of(env, scope, at, detail) };
        self.stream("as_of", read.flatten_stream().boxed())
    }

    fn as_of_addresses<'a>(
        &'a self,
        env: &'a EnvName,
        scope: &'a Scope,
        at: AsOf,
    ) -> Chunks<'a, AsOfRow<EntryAddress>> {
        let read = async move { self.inner.as_of_addresses(env, scope, at) };
        self.stream("as_of_addresses", read.flatten_stream().boxed())
    }

    async fn objects(&self, kind: &str, name: Option<&str>) -> Result<Vec<StoredObject>, AdapterError> {
        self.enter("objects").await;
        self.inner.objects(kind, name).await
    }

    async fn check_store(&self, env: &EnvName, mending: Mending) -> Result<Vec<StoreFinding>, AdapterError> {
        self.inner.check_store(env, mending).await
    }

    fn check_document(&self, record: &RecordKey, doc: &Value) -> Result<(), AdapterError> {
        self.inner.check_document(record, doc)
    }

    async fn fit(&self, record: &RecordKey, doc: Value) -> Result<Value, AdapterError> {
        self.inner.fit(record, doc).await
    }

    async fn apply(&self, batch: &Batch) -> Result<(), AdapterError> {
        self.enter("apply").await;
        self.inner.apply(batch).await
    }
}
