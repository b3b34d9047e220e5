//! The PostgreSQL adapter's harness: each namespace is a schema, and the application beside the tool is a
//! connection of its own.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use cfg_engine::Value;
use cfg_engine::adapter::StorageAdapter;
use cfg_engine::config::{CollectionConfig, Settings, Shape};
use cfg_engine::document::{Extended, Object};
use cfg_engine::engine::Project;
use cfg_engine::history::CollectionName;
use cfg_engine_conformance::{Column, Harness, Namespace, Need, Table};
use cfg_engine_postgres::{PostgresAdapter, PostgresOptions};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, NoTls};

/// The variable that names the server.
pub(crate) const SERVER: &str = "CFG_TEST_POSTGRES_URI";
/// The variable that names a pooler in transaction mode before it.
pub(crate) const POOLER: &str = "CFG_TEST_PGBOUNCER_URI";

/// Opens PostgreSQL stores of one shape.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PostgresHarness {
    shape: Shape,
    /// The type of JSON columns.
    json: &'static str,
    variable: &'static str,
    name: &'static str,
}

impl PostgresHarness {
    /// The row is the record; JSON columns are `json`.
    pub(crate) fn row() -> Self {
        PostgresHarness { shape: Shape::Row, json: "json", variable: SERVER, name: "postgres (row)" }
    }

    /// The document is `jsonb`.
    pub(crate) fn jsonb() -> Self {
        PostgresHarness { shape: Shape::Doc, json: "jsonb", variable: SERVER, name: "postgres (jsonb)" }
    }

    /// The document is `json`.
    pub(crate) fn json() -> Self {
        PostgresHarness { shape: Shape::Doc, json: "json", variable: SERVER, name: "postgres (json)" }
    }

    /// As [`row`](Self::row), through a pooler in transaction mode.
    pub(crate) fn row_through_pooler() -> Self {
        PostgresHarness { variable: POOLER, name: "postgres (row, pgbouncer)", ..PostgresHarness::row() }
    }

    /// As [`jsonb`](Self::jsonb), through a pooler in transaction mode.
    pub(crate) fn jsonb_through_pooler() -> Self {
        PostgresHarness { variable: POOLER, name: "postgres (jsonb, pgbouncer)", ..PostgresHarness::jsonb() }
    }

    fn uri(&self) -> Option<String> {
        std::env::var(self.variable).ok().filter(|uri| !uri.is_empty())
    }
}

/// Connects as an application does.
pub(crate) async fn connect(uri: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(uri, NoTls).await.expect("the server of the tests");
    tokio::spawn(async move {
        let _ = connection.await;
    });
    // What is under test syncs each commit; the application's rows need not survive a power cut.
    client.batch_execute("SET synchronous_commit = off").await.expect("a setting");
    client
}

/// A schema of its own, dropped at the end.
pub(crate) struct Schema {
    pub(crate) name: String,
    uri: String,
}

impl Schema {
    pub(crate) async fn make(application: &Client) -> Schema {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let name = format!("t{}_{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed));
        let sql = format!("DROP SCHEMA IF EXISTS {name} CASCADE; CREATE SCHEMA {name}");
        application.batch_execute(&sql).await.expect("a schema");
        let uri = std::env::var(SERVER).expect("the server's uri");
        Schema { name, uri }
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        let (uri, sql) = (self.uri.clone(), format!("DROP SCHEMA IF EXISTS {} CASCADE", self.name));
        let drop_it = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            if let Ok(runtime) = runtime {
                runtime.block_on(async {
                    let client = connect(&uri).await;
                    // A test that failed may have left a transaction open: nobody waits for it.
                    let _ = client.batch_execute(&format!("SET lock_timeout = '2s'; {sql}")).await;
                });
            }
        };
        let _ = std::thread::spawn(drop_it).join();
    }
}

/// An adapter on a schema that lives as long as it does.
pub(crate) struct Rows {
    adapter: Arc<PostgresAdapter>,
    _schema: Schema,
}

impl Rows {
    pub(crate) fn with(&self, settings: Settings) -> Project {
        Project::new(self.adapter.clone(), settings)
    }
}

impl PostgresHarness {
    /// Makes a table whose columns, beside the id, are these fields, each of `jsonb`.
    pub(crate) async fn rows_of_jsonb(&self, name: &str, fields: &BTreeSet<&str>) -> Rows {
        let uri = self.uri().expect("a store that is not missing");
        let application = connect(&uri).await;
        let schema = Schema::make(&application).await;
        let columns: Vec<String> = fields.iter().map(|field| format!("{} jsonb", quoted(field))).collect();
        let create = format!("CREATE TABLE {}.{name} (id text PRIMARY KEY, {})", schema.name, columns.join(", "));
        application.batch_execute(&create).await.expect("a table");
        let config = CollectionConfig::new(CollectionName::new(name).expect("a name"), "id");
        let adapter = Arc::new(open(&uri, &schema.name, vec![config]).await);
        Rows { adapter, _schema: schema }
    }
}

struct PostgresNamespace {
    adapter: Arc<PostgresAdapter>,
    uri: String,
    tables: Vec<Table>,
    json: &'static str,
    application: Client,
    schema: Schema,
}

#[async_trait]
impl Harness for PostgresHarness {
    fn name(&self) -> &str {
        self.name
    }

    fn shape(&self) -> Shape {
        self.shape
    }

    fn has(&self, need: Need) -> bool {
        match need {
            Need::Transactions | Need::UuidIds => true,
            Need::FreeFields => self.shape == Shape::Doc,
            Need::Verbatim => self.json == "json",
            _ => false,
        }
    }

    fn absent(&self) -> Option<String> {
        self.uri().is_none().then(|| "eval \"$(tests/servers/postgres up)\"".to_owned())
    }

    async fn open(&self, tables: &[Table]) -> Box<dyn Namespace> {
        let uri = self.uri().expect("a store that is not missing");
        let application = connect(&std::env::var(SERVER).expect("the server's uri")).await;
        let schema = Schema::make(&application).await;
        for table in tables {
            let columns: Vec<String> = (table.columns().iter())
                .map(|(name, kind)| format!("{} {}", quoted(name), declared(*kind, self.json)))
                .collect();
            let ids: Vec<String> = table.id.iter().map(|(name, _)| quoted(name)).collect();
            let name = format!("{}.{}", schema.name, quoted(&table.config.table));
            let create =
                format!("CREATE TABLE {name} ({}); CREATE INDEX ON {name} ({})", columns.join(", "), ids.join(", "));
            application.batch_execute(&create).await.expect("a table");
        }
        let collections = tables.iter().map(|table| table.config.clone()).collect();
        let adapter = Arc::new(open(&uri, &schema.name, collections).await);
        adapter.ensure_schema().await.expect("a schema");
        Box::new(PostgresNamespace { adapter, uri, tables: tables.to_vec(), json: self.json, application, schema })
    }
}

/// Opens a store whose live tables and history are in one schema.
pub(crate) async fn open(uri: &str, schema: &str, collections: Vec<CollectionConfig>) -> PostgresAdapter {
    let within = |mut config: CollectionConfig| {
        config.table = format!("{schema}.{}", config.table);
        config
    };
    let collections = collections.into_iter().map(within).collect();
    let options =
        PostgresOptions { schema: schema.to_owned(), max_connections: 12, ..PostgresOptions::new(uri, collections) };
    PostgresAdapter::open(options).await.expect("a database that opens")
}

pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn declared(kind: Column, json: &'static str) -> &'static str {
    match kind {
        Column::Text => "text",
        Column::Json => json,
        Column::Int => "int8",
        Column::Bool => "bool",
        Column::Uuid => "uuid",
    }
}

fn to_text(kind: Column, value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        _ if kind == Column::Json => Some(value.to_json()),
        Value::String(text) => Some(text.clone()),
        Value::Extended(extended) => match &**extended {
            Extended::Binary { bytes, .. } => Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
            other => panic!("a {} in a column", other.type_name()),
        },
        other => Some(other.to_json()),
    }
}

fn from_text(kind: Column, text: Option<String>) -> Value {
    let Some(text) = text else { return Value::Null };
    match kind {
        Column::Json => Value::from_json(&text).expect("JSON text"),
        Column::Text => Value::from(text),
        Column::Int => Value::from(text.parse::<i64>().expect("a number")),
        Column::Bool => Value::from(text == "true"),
        Column::Uuid => Value::from_interchange(&format!("{{\"$uuid\":\"{text}\"}}")).expect("a uuid"),
    }
}

impl PostgresNamespace {
    fn table(&self, collection: &CollectionConfig) -> &Table {
        self.tables.iter().find(|table| table.config.table == collection.table).expect("a table of the namespace")
    }

    fn name(&self, collection: &CollectionConfig) -> String {
        format!("{}.{}", self.schema.name, quoted(&collection.table))
    }

    fn kind(&self, collection: &CollectionConfig, column: &str) -> Column {
        let columns = self.table(collection).columns();
        columns.into_iter().find(|(name, _)| name == column).expect("a column of the table").1
    }

    async fn run(&self, sql: &str, texts: &[Option<String>]) {
        let params: Vec<(&(dyn ToSql + Sync), Type)> =
            texts.iter().map(|text| (text as &(dyn ToSql + Sync), Type::TEXT)).collect();
        self.application.query_typed(sql, &params).await.expect("a statement of the application");
    }

    /// Every row of the schema as text: where the server is newer than the program that dumps it.
    async fn every_row(&self) -> Vec<u8> {
        let list = format!(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname = '{}'",
            self.schema.name
        );
        let mut bytes = Vec::new();
        for table in self.application.query_typed(&list, &[]).await.expect("the tables") {
            let sql = format!("SELECT t::text FROM {} t", table.get::<_, String>(0));
            for row in self.application.query_typed(&sql, &[]).await.expect("the rows") {
                bytes.extend_from_slice(row.get::<_, String>(0).as_bytes());
            }
        }
        bytes
    }

    /// SQL for the value of a text parameter.
    fn cast(&self, collection: &CollectionConfig, column: &str, mark: usize) -> String {
        format!("${mark}::text::{}", declared(self.kind(collection, column), self.json))
    }

    /// `WHERE` for an id, its parameters numbered behind `first` others.
    fn by_id(&self, collection: &CollectionConfig, id: &Value, first: usize) -> (String, Vec<Option<String>>) {
        let part = |field: &String| match collection.id_fields.as_slice() {
            [_] => id.clone(),
            _ => id.get(field).cloned().expect("a part of the id"),
        };
        let fields = collection.id_fields.iter();
        let texts = fields.clone().map(|field| to_text(self.kind(collection, field), &part(field))).collect();
        let terms: Vec<String> = fields
            .enumerate()
            .map(|(n, field)| format!("{} = {}", quoted(field), self.cast(collection, field, first + n + 1)))
            .collect();
        (terms.join(" AND "), texts)
    }
}

#[async_trait]
impl Namespace for PostgresNamespace {
    fn adapter(&self) -> Arc<dyn StorageAdapter> {
        Arc::clone(&self.adapter) as Arc<dyn StorageAdapter>
    }

    async fn reopen(&self, collections: Vec<CollectionConfig>) -> Arc<dyn StorageAdapter> {
        Arc::new(open(&self.uri, &self.schema.name, collections).await)
    }

    async fn insert(&self, collection: &CollectionConfig, row: &Value) {
        let row = row.as_object().expect("a row");
        let columns: Vec<String> = row.keys().map(quoted).collect();
        let marks: Vec<String> = row.keys().enumerate().map(|(n, c)| self.cast(collection, c, n + 1)).collect();
        let texts: Vec<Option<String>> =
            row.iter().map(|(column, value)| to_text(self.kind(collection, column), value)).collect();
        let (table, columns, marks) = (self.name(collection), columns.join(", "), marks.join(", "));
        self.run(&format!("INSERT INTO {table} ({columns}) VALUES ({marks})"), &texts).await;
    }

    async fn update(&self, collection: &CollectionConfig, id: &Value, set: &Object) {
        let terms: Vec<String> = (set.keys().enumerate())
            .map(|(n, column)| format!("{} = {}", quoted(column), self.cast(collection, column, n + 1)))
            .collect();
        let mut texts: Vec<Option<String>> =
            set.iter().map(|(column, value)| to_text(self.kind(collection, column), value)).collect();
        let (by_id, ids) = self.by_id(collection, id, texts.len());
        texts.extend(ids);
        self.run(&format!("UPDATE {} SET {} WHERE {by_id}", self.name(collection), terms.join(", ")), &texts).await;
    }

    async fn delete(&self, collection: &CollectionConfig, id: &Value) {
        let (by_id, ids) = self.by_id(collection, id, 0);
        self.run(&format!("DELETE FROM {} WHERE {by_id}", self.name(collection)), &ids).await;
    }

    async fn dump(&self) -> Option<Vec<u8>> {
        let versions = std::fs::read_dir("/usr/lib/postgresql").expect("the programs of the server");
        let programs = versions.filter_map(|version| Some(version.ok()?.path().join("bin/pg_dump")));
        let program = programs.filter(|program| program.exists()).max().expect("pg_dump");
        let uri = std::env::var(SERVER).expect("the server's uri");
        let dump = std::process::Command::new(program)
            .args(["--dbname", &uri, "--schema", &self.schema.name])
            .output()
            .expect("a dump");
        let said = String::from_utf8_lossy(&dump.stderr);
        if said.contains("server version mismatch") {
            return Some(self.every_row().await);
        }
        assert!(dump.status.success(), "{said}");
        Some(dump.stdout)
    }

    async fn rows(&self, collection: &CollectionConfig) -> Vec<Value> {
        let columns = self.table(collection).columns();
        let names: Vec<String> = columns.iter().map(|(name, _)| format!("{}::text", quoted(name))).collect();
        // An updated row moves: only its id keeps its place.
        let ids: Vec<String> = collection.id_fields.iter().map(|field| quoted(field)).collect();
        let sql =
            format!("SELECT {} FROM {} ORDER BY {}, ctid", names.join(", "), self.name(collection), ids.join(", "));
        let rows = self.application.query_typed(&sql, &[]).await.expect("rows");
        let read = |row: &tokio_postgres::Row| {
            let fields = columns.iter().enumerate();
            Value::Object(fields.map(|(n, (name, kind))| (name.clone(), from_text(*kind, row.get(n)))).collect())
        };
        rows.iter().map(read).collect()
    }
}
