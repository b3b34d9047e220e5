//! The memory adapter's harness: the model runs what it is the model of.

use std::sync::Arc;

use async_trait::async_trait;
use cfg_engine::Value;
use cfg_engine::adapter::{MemoryAdapter, MemoryClock, StorageAdapter};
use cfg_engine::config::{CollectionConfig, Shape};
use cfg_engine::document::Object;
use cfg_engine::history::Timestamp;

use crate::{Harness, Namespace, Need, Table};

/// Opens memory stores of one shape.
#[derive(Debug, Clone, Copy)]
pub struct MemoryHarness {
    shape: Shape,
}

impl MemoryHarness {
    /// Chooses the shape.
    pub fn new(shape: Shape) -> Self {
        MemoryHarness { shape }
    }
}

struct MemoryNamespace {
    adapter: Arc<MemoryAdapter>,
    clock: MemoryClock,
}

#[async_trait]
impl Harness for MemoryHarness {
    fn name(&self) -> &str {
        match self.shape {
            Shape::Doc => "memory (doc)",
            Shape::Row => "memory (row)",
        }
    }

    fn shape(&self) -> Shape {
        self.shape
    }

    fn has(&self, _: Need) -> bool {
        true
    }

    async fn open(&self, tables: &[Table]) -> Box<dyn Namespace> {
        let clock = MemoryClock::new();
        let collections = tables.iter().map(|table| table.config.clone()).collect();
        let adapter = MemoryAdapter::new(collections).with_memory_clock(clock.clone());
        Box::new(MemoryNamespace { adapter: Arc::new(adapter), clock })
    }
}

#[async_trait]
impl Namespace for MemoryNamespace {
    fn adapter(&self) -> Arc<dyn StorageAdapter> {
        Arc::clone(&self.adapter) as Arc<dyn StorageAdapter>
    }

    async fn reopen(&self, collections: Vec<CollectionConfig>) -> Arc<dyn StorageAdapter> {
        Arc::new(self.adapter.reopen(collections))
    }

    async fn insert(&self, collection: &CollectionConfig, row: &Value) {
        self.adapter.raw_insert(collection.name.as_str(), row.clone());
    }

    async fn update(&self, collection: &CollectionConfig, id: &Value, set: &Object) {
        self.adapter.raw_update(collection.name.as_str(), id, |row| {
            let row = row.as_object_mut().expect("a row");
            for (field, value) in set {
                row.insert(field.as_str(), value.clone());
            }
        });
    }

    async fn delete(&self, collection: &CollectionConfig, id: &Value) {
        self.adapter.raw_delete(collection.name.as_str(), id);
    }

    async fn rows(&self, collection: &CollectionConfig) -> Vec<Value> {
        self.adapter.raw_rows(collection.name.as_str())
    }

    async fn step_clock(&self, by_ms: i64) {
        let now: Timestamp = self.adapter.clock().await.expect("a clock").store;
        self.clock.set(now.plus_millis(by_ms));
    }
}
