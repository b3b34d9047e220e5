//! The MongoDB adapter's harness: each namespace is a database, and the application beside the tool is a
//! client of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bson::{Bson, Document, RawDocumentBuf, doc};
use cfg_engine::Value;
use cfg_engine::adapter::StorageAdapter;
use cfg_engine::config::{CollectionConfig, Shape};
use cfg_engine::document::Object;
use cfg_engine_conformance::{Harness, Namespace, Need, Table};
use cfg_engine_mongodb::{MongoAdapter, MongoOptions};
use futures_util::TryStreamExt;
use mongodb::options::{ClientOptions, WriteConcern};
use mongodb::{Client, Collection, Database};

use super::bson_values::{document, to_bson, value};

/// The variable that says where the server is.
pub(crate) const URI: &str = "CFG_TEST_MONGODB_URI";
/// The variable that says where a standalone server is.
pub(crate) const STANDALONE: &str = "CFG_TEST_MONGODB_STANDALONE_URI";
/// The variable that says where a second replica set is.
pub(crate) const OTHER: &str = "CFG_TEST_MONGODB_OTHER_URI";

/// Opens databases on the server that a variable names.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MongoHarness {
    variable: &'static str,
}

impl MongoHarness {
    pub(crate) fn new() -> Self {
        MongoHarness { variable: URI }
    }

    pub(crate) fn on(variable: &'static str) -> Self {
        MongoHarness { variable }
    }

    /// Opens a namespace as the tests of this folder use it.
    pub(crate) async fn namespace(&self, tables: &[Table]) -> MongoNamespace {
        let uri = std::env::var(self.variable).expect("a server");
        let application = client(&uri).await.database(&fresh_name());
        let collections: Vec<CollectionConfig> = tables.iter().map(|table| table.config.clone()).collect();
        for config in &collections {
            // As an application has it: an index on the id. Not a unique one, since versions share an id.
            let keys: Document = config.id_fields.iter().map(|field| (field.clone(), Bson::Int32(1))).collect();
            if config.id_fields != ["_id"] {
                let index = doc! { "name": "by_id", "key": keys };
                let command = doc! { "createIndexes": &config.table, "indexes": [index] };
                application.run_command(command).await.expect("an index");
            }
        }
        let adapter = Arc::new(open(&uri, application.name(), collections).await);
        adapter.ensure_schema().await.expect("a schema");
        MongoNamespace { adapter, uri, application }
    }
}

pub(crate) struct MongoNamespace {
    pub(crate) adapter: Arc<MongoAdapter>,
    pub(crate) uri: String,
    pub(crate) application: Database,
}

/// Connects as an application does.
pub(crate) async fn client(uri: &str) -> Client {
    let mut options = ClientOptions::parse(uri).await.expect("a uri");
    options.write_concern = Some(WriteConcern::majority());
    Client::with_options(options).expect("a client")
}

/// Makes the name of a database that no other test has.
pub(crate) fn fresh_name() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("cfg_{}_{}", bson::oid::ObjectId::new().to_hex(), NEXT.fetch_add(1, Ordering::Relaxed))
}

pub(crate) async fn open(uri: &str, db: &str, collections: Vec<CollectionConfig>) -> MongoAdapter {
    let options = MongoOptions { db: Some(db.to_owned()), ..MongoOptions::new(uri, collections) };
    MongoAdapter::open(options).await.expect("a database that opens")
}

#[async_trait]
impl Harness for MongoHarness {
    fn name(&self) -> &str {
        "mongodb"
    }

    fn shape(&self) -> Shape {
        Shape::Row
    }

    fn has(&self, need: Need) -> bool {
        need != Need::ClockControl
    }

    fn absent(&self) -> Option<String> {
        let there = std::env::var(self.variable).is_ok_and(|uri| !uri.is_empty());
        (!there).then(|| "eval \"$(tests/servers/mongodb up)\"".to_owned())
    }

    async fn open(&self, tables: &[Table]) -> Box<dyn Namespace> {
        Box::new(self.namespace(tables).await)
    }
}

impl MongoNamespace {
    pub(crate) fn live(&self, collection: &CollectionConfig) -> Collection<Document> {
        self.application.collection(&collection.table)
    }

    fn by_id(collection: &CollectionConfig, id: &Value) -> Document {
        match collection.id_fields.as_slice() {
            [field] => Document::from_iter([(field.clone(), to_bson(id))]),
            fields => {
                let part = |field: &String| (field.clone(), to_bson(id.get(field).expect("a part of the id")));
                fields.iter().map(part).collect()
            }
        }
    }
}

#[async_trait]
impl Namespace for MongoNamespace {
    fn adapter(&self) -> Arc<dyn StorageAdapter> {
        Arc::clone(&self.adapter) as Arc<dyn StorageAdapter>
    }

    async fn reopen(&self, collections: Vec<CollectionConfig>) -> Arc<dyn StorageAdapter> {
        Arc::new(open(&self.uri, self.application.name(), collections).await)
    }

    async fn insert(&self, collection: &CollectionConfig, row: &Value) {
        let row = document(row.as_object().expect("a row"));
        self.live(collection).insert_one(row).await.expect("a write of the application");
    }

    async fn update(&self, collection: &CollectionConfig, id: &Value, set: &Object) {
        // By name and not by path: a field may have a dot in its name.
        let new = set.iter().fold(Bson::from("$$ROOT"), |input, (name, value)| {
            let (name, value) = (doc! { "$literal": name }, doc! { "$literal": to_bson(value) });
            doc! { "$setField": { "field": name, "input": input, "value": value } }.into()
        });
        let update = vec![doc! { "$replaceWith": new }];
        let live = self.live(collection);
        live.update_many(Self::by_id(collection, id), update).await.expect("a write of the application");
    }

    async fn delete(&self, collection: &CollectionConfig, id: &Value) {
        self.live(collection).delete_many(Self::by_id(collection, id)).await.expect("a write of the application");
    }

    async fn dump(&self) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        for name in self.application.list_collection_names().await.expect("names") {
            let collection = self.application.collection::<bson::RawDocumentBuf>(&name);
            let mut cursor = collection.find(Document::new()).await.expect("documents");
            while let Some(document) = cursor.try_next().await.expect("a document") {
                bytes.extend_from_slice(document.as_bytes());
            }
        }
        Some(bytes)
    }

    async fn rows(&self, collection: &CollectionConfig) -> Vec<Value> {
        // Raw: the driver's own deserialization takes an object with a member `$oid` for an ObjectId.
        let live = self.live(collection).clone_with_type::<RawDocumentBuf>();
        let cursor = live.find(doc! {}).sort(doc! { "$natural": 1 }).await.expect("rows");
        let rows: Vec<RawDocumentBuf> = cursor.try_collect().await.expect("rows that can be read");
        let rows = rows.iter().map(|row| Document::try_from(row.as_ref()).expect("a row"));
        let shown = |mut row: Document| {
            if !collection.id_fields.iter().any(|field| field == "_id") {
                row.remove("_id");
            }
            value(row)
        };
        rows.map(shown).collect()
    }
}
