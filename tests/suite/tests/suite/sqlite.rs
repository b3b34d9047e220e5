//! SQLite's harness: each namespace is a file of its own.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use cfg_engine::Value;
use cfg_engine::adapter::StorageAdapter;
use cfg_engine::config::{CollectionConfig, Shape};
use cfg_engine::document::{Extended, Object};
use cfg_engine_conformance::{Column, Harness, Namespace, Need, Table};
use cfg_engine_sqlite::{SqliteAdapter, SqliteOptions};
use rusqlite::types::{Value as Cell, ValueRef};
use rusqlite::{Connection, params_from_iter};

fn declared(column: Column) -> &'static str {
    match column {
        Column::Text => "TEXT",
        Column::Int => "INTEGER",
        Column::Bool => "BOOLEAN",
        Column::Json => "JSON",
        Column::Uuid => "BLOB",
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Opens SQLite stores of one shape, with or without a rowid under the live tables.
#[derive(Debug, Clone, Copy)]
pub struct SqliteHarness {
    shape: Shape,
    without_rowid: bool,
}

impl SqliteHarness {
    /// Chooses the shape.
    pub fn new(shape: Shape) -> Self {
        SqliteHarness { shape, without_rowid: false }
    }

    /// Puts the live tables WITHOUT ROWID.
    pub fn without_rowid(self) -> Self {
        SqliteHarness { without_rowid: true, ..self }
    }
}

struct SqliteNamespace {
    adapter: Arc<SqliteAdapter>,
    path: PathBuf,
    tables: Vec<Table>,
    _directory: tempfile::TempDir,
}

#[async_trait]
impl Harness for SqliteHarness {
    fn name(&self) -> &str {
        match (self.shape, self.without_rowid) {
            (Shape::Doc, true) => "sqlite (doc, without rowid)",
            (Shape::Doc, false) => "sqlite (doc)",
            (Shape::Row, false) => "sqlite (row)",
            (Shape::Row, true) => "sqlite (row, without rowid)",
        }
    }

    fn shape(&self) -> Shape {
        self.shape
    }

    fn has(&self, need: Need) -> bool {
        match need {
            Need::FreeFields => self.shape == Shape::Doc,
            Need::ExtendedTypes | Need::ClockControl | Need::MixedIds => false,
            _ => true,
        }
    }

    async fn open(&self, tables: &[Table]) -> Box<dyn Namespace> {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("app.db");
        let db = Connection::open(&path).expect("a database");
        for table in tables {
            let columns = table.columns();
            let columns = columns.iter().map(|(name, kind)| format!("{} {}", quoted(name), declared(*kind)));
            let mut columns: Vec<String> = columns.collect();
            let mut end = "";
            if self.without_rowid && table.config.live_when.is_empty() {
                let ids = table.id.iter().map(|(name, _)| quoted(name)).collect::<Vec<_>>().join(", ");
                columns.push(format!("PRIMARY KEY ({ids})"));
                end = " WITHOUT ROWID";
            }
            let sql = format!("CREATE TABLE {} ({}){end}", quoted(&table.config.table), columns.join(", "));
            db.execute_batch(&sql).expect("a live table");
        }
        let collections = tables.iter().map(|table| table.config.clone()).collect();
        let adapter = SqliteAdapter::open(SqliteOptions::new(&path, collections)).expect("an adapter");
        adapter.ensure_schema().await.expect("the engine's tables");
        let tables = tables.to_vec();
        Box::new(SqliteNamespace { adapter: Arc::new(adapter), path, tables, _directory: directory })
    }
}

impl SqliteNamespace {
    fn db(&self) -> Connection {
        let db = Connection::open(&self.path).expect("a database");
        db.busy_timeout(std::time::Duration::from_secs(5)).expect("a timeout");
        db
    }

    fn column(&self, collection: &CollectionConfig, name: &str) -> Option<Column> {
        let table = self.tables.iter().find(|table| table.config.table == collection.table)?;
        table.columns().into_iter().find(|(column, _)| column == name).map(|(_, kind)| kind)
    }

    fn cell(&self, collection: &CollectionConfig, name: &str, value: &Value) -> Cell {
        match (self.column(collection, name), value) {
            (_, Value::Null) => Cell::Null,
            (Some(Column::Json), value) => Cell::Text(value.to_json()),
            (_, Value::Bool(b)) => Cell::Integer(i64::from(*b)),
            (_, Value::Number(n)) => n.as_i64().map_or(Cell::Real(n.as_f64()), Cell::Integer),
            (_, Value::String(text)) => Cell::Text(text.clone()),
            (_, Value::Extended(extended)) => match &**extended {
                Extended::Binary { bytes, .. } => Cell::Blob(bytes.clone()),
                other => panic!("a row of a test holds a {}", other.type_name()),
            },
            (_, other) => panic!("a column of a test holds an {}", other.type_name()),
        }
    }

    fn value(&self, collection: &CollectionConfig, name: &str, cell: ValueRef<'_>) -> Value {
        match (self.column(collection, name), cell) {
            (_, ValueRef::Null) => Value::Null,
            (Some(Column::Json), ValueRef::Text(text)) => {
                Value::from_json(std::str::from_utf8(text).expect("UTF-8")).expect("JSON")
            }
            (Some(Column::Bool), ValueRef::Integer(n)) => Value::Bool(n != 0),
            (_, ValueRef::Integer(n)) => Value::from(n),
            (_, ValueRef::Real(n)) => Value::from(n),
            (_, ValueRef::Text(text)) => Value::from(std::str::from_utf8(text).expect("UTF-8")),
            (_, ValueRef::Blob(bytes)) => Value::from(Extended::Binary { subtype: 4, bytes: bytes.to_vec() }),
        }
    }

    fn by_id(&self, collection: &CollectionConfig, id: &Value, first: usize) -> (String, Vec<Cell>) {
        let parts: Vec<(String, Value)> = match collection.id_fields.as_slice() {
            [field] => vec![(field.clone(), id.clone())],
            fields => fields.iter().map(|f| (f.clone(), id.get(f).cloned().expect("a part"))).collect(),
        };
        let term = |(n, (field, _)): (usize, &(String, Value))| format!("{} = ?{}", quoted(field), first + n);
        let terms: Vec<String> = parts.iter().enumerate().map(term).collect();
        let cells = parts.iter().map(|(field, value)| self.cell(collection, field, value)).collect();
        (terms.join(" AND "), cells)
    }
}

#[async_trait]
impl Namespace for SqliteNamespace {
    fn adapter(&self) -> Arc<dyn StorageAdapter> {
        Arc::clone(&self.adapter) as Arc<dyn StorageAdapter>
    }

    async fn reopen(&self, collections: Vec<CollectionConfig>) -> Arc<dyn StorageAdapter> {
        Arc::new(SqliteAdapter::open(SqliteOptions::new(&self.path, collections)).expect("an adapter"))
    }

    async fn insert(&self, collection: &CollectionConfig, row: &Value) {
        let row = row.as_object().expect("a row");
        let names: Vec<String> = row.keys().map(quoted).collect();
        let marks: Vec<String> = (1..=row.len()).map(|n| format!("?{n}")).collect();
        let cells = row.iter().map(|(name, value)| self.cell(collection, name, value));
        let table = quoted(&collection.table);
        let sql = format!("INSERT INTO {table} ({}) VALUES ({})", names.join(", "), marks.join(", "));
        self.db().execute(&sql, params_from_iter(cells)).expect("an insert");
    }

    async fn update(&self, collection: &CollectionConfig, id: &Value, set: &Object) {
        let term = |(n, name): (usize, &str)| format!("{} = ?{}", quoted(name), n + 1);
        let terms: Vec<String> = set.keys().enumerate().map(term).collect();
        let (by_id, id) = self.by_id(collection, id, set.len() + 1);
        let cells = set.iter().map(|(name, value)| self.cell(collection, name, value)).chain(id);
        let sql = format!("UPDATE {} SET {} WHERE {by_id}", quoted(&collection.table), terms.join(", "));
        self.db().execute(&sql, params_from_iter(cells)).expect("an update");
    }

    async fn delete(&self, collection: &CollectionConfig, id: &Value) {
        let (by_id, id) = self.by_id(collection, id, 1);
        let sql = format!("DELETE FROM {} WHERE {by_id}", quoted(&collection.table));
        self.db().execute(&sql, params_from_iter(id)).expect("a delete");
    }

    async fn rows(&self, collection: &CollectionConfig) -> Vec<Value> {
        let db = self.db();
        let table = self.tables.iter().find(|t| t.config.table == collection.table).expect("a table of the test");
        let columns = table.columns();
        let names: Vec<String> = columns.iter().map(|(name, _)| quoted(name)).collect();
        let sql = format!("SELECT {} FROM {}", names.join(", "), quoted(&collection.table));
        let mut statement = db.prepare(&sql).expect("a select");
        let mut rows = statement.query([]).expect("rows");
        let mut found = Vec::new();
        while let Some(row) = rows.next().expect("a row") {
            let mut object = Object::new();
            for (at, (name, _)) in columns.iter().enumerate() {
                object.insert(name.as_str(), self.value(collection, name, row.get_ref(at).expect("a cell")));
            }
            found.push(Value::Object(object));
        }
        found
    }
}
