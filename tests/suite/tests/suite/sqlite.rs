//! The SQLite adapter's harness: each namespace is a file, and the application beside the tool is a
//! connection of its own.

use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use cfg_engine::Value;
use cfg_engine::adapter::StorageAdapter;
use cfg_engine::config::{CollectionConfig, Shape};
use cfg_engine::document::{Extended, Number, Object};
use cfg_engine_conformance::{Column, Harness, Namespace, Need, Table};
use cfg_engine_sqlite::{SqliteAdapter, SqliteOptions};
use rusqlite::types::Value as Cell;
use rusqlite::{Connection, params_from_iter};
use tempfile::TempDir;

/// Opens SQLite stores of one shape.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SqliteHarness {
    shape: Shape,
}

impl SqliteHarness {
    pub(crate) fn new(shape: Shape) -> Self {
        crate::planted::choose();
        SqliteHarness { shape }
    }
}

struct SqliteNamespace {
    adapter: Arc<SqliteAdapter>,
    path: PathBuf,
    tables: Vec<Table>,
    clock: Arc<AtomicI64>,
    application: Mutex<Connection>,
    _dir: TempDir,
}

#[async_trait]
impl Harness for SqliteHarness {
    fn name(&self) -> &str {
        match self.shape {
            Shape::Doc => "sqlite (doc)",
            Shape::Row => "sqlite (row)",
        }
    }

    fn shape(&self) -> Shape {
        self.shape
    }

    fn has(&self, need: Need) -> bool {
        match need {
            Need::Transactions | Need::UuidIds | Need::ClockControl | Need::Verbatim => true,
            Need::FreeFields => self.shape == Shape::Doc,
            _ => false,
        }
    }

    async fn open(&self, tables: &[Table]) -> Box<dyn Namespace> {
        let dir = TempDir::new().expect("a directory");
        let path = dir.path().join("app.db");
        let application = Connection::open(&path).expect("a database");
        application.busy_timeout(Duration::from_secs(20)).expect("a timeout");
        for table in tables {
            let columns: Vec<String> = (table.columns().iter())
                .map(|(name, kind)| format!("{} {}", quoted(name), declared(*kind, self.shape)))
                .collect();
            let create = format!("CREATE TABLE {} ({})", quoted(&table.config.table), columns.join(", "));
            application.execute_batch(&create).expect("a table");
        }
        let collections = tables.iter().map(|table| table.config.clone()).collect();
        let options = SqliteOptions::new(&path, collections);
        let clock = Arc::clone(&options.clock_offset);
        let adapter = Arc::new(SqliteAdapter::open(options).expect("a database that opens"));
        adapter.ensure_schema().await.expect("a schema");
        Box::new(SqliteNamespace {
            adapter,
            path,
            tables: tables.to_vec(),
            clock,
            application: Mutex::new(application),
            _dir: dir,
        })
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The doc shape's document is text that the adapter knows to be JSON; a row's column says so itself.
fn declared(kind: Column, shape: Shape) -> &'static str {
    match (kind, shape) {
        (Column::Text, _) | (Column::Json, Shape::Doc) => "TEXT",
        (Column::Int, _) => "INTEGER",
        (Column::Bool, _) => "BOOLEAN",
        (Column::Json, Shape::Row) => "JSON",
        (Column::Uuid, _) => "BLOB",
    }
}

fn to_cell(kind: Column, value: &Value) -> Cell {
    match value {
        Value::Null => Cell::Null,
        _ if kind == Column::Json => Cell::Text(value.to_json()),
        Value::Bool(b) => Cell::Integer(i64::from(*b)),
        Value::Number(Number::Double(double)) => Cell::Real(*double),
        Value::Number(number) => Cell::Integer(number.as_i64().expect("a number of 64 bits")),
        Value::String(text) => Cell::Text(text.clone()),
        Value::Extended(extended) => match &**extended {
            Extended::Binary { bytes, .. } => Cell::Blob(bytes.clone()),
            other => panic!("a {} in a column", other.type_name()),
        },
        other => panic!("a {} in a plain column", other.type_name()),
    }
}

fn from_cell(kind: Column, cell: Cell) -> Value {
    match cell {
        Cell::Null => Value::Null,
        Cell::Integer(n) if kind == Column::Bool => Value::from(n != 0),
        Cell::Integer(n) => Value::from(n),
        Cell::Real(n) => Value::from(n),
        Cell::Text(text) if kind == Column::Json => Value::from_json(&text).expect("JSON text"),
        Cell::Text(text) => Value::from(text),
        Cell::Blob(bytes) => {
            let subtype = if kind == Column::Uuid { 4 } else { 0 };
            Value::from(Extended::Binary { subtype, bytes })
        }
    }
}

impl SqliteNamespace {
    fn table(&self, collection: &CollectionConfig) -> &Table {
        self.tables.iter().find(|table| table.config.table == collection.table).expect("a table of the namespace")
    }

    fn kind(&self, collection: &CollectionConfig, column: &str) -> Column {
        let columns = self.table(collection).columns();
        columns.into_iter().find(|(name, _)| name == column).expect("a column of the table").1
    }

    fn run(&self, sql: &str, params: Vec<Cell>) {
        let application = self.application.lock().unwrap_or_else(PoisonError::into_inner);
        application.execute(sql, params_from_iter(params)).expect("a statement of the application");
    }

    /// `WHERE` for an id, its parameters numbered behind `first` others.
    fn by_id(&self, collection: &CollectionConfig, id: &Value, first: usize) -> (String, Vec<Cell>) {
        let part = |field: &String| match collection.id_fields.as_slice() {
            [_] => id.clone(),
            _ => id.get(field).cloned().expect("a part of the id"),
        };
        let fields = collection.id_fields.iter();
        let cells = fields.clone().map(|field| to_cell(self.kind(collection, field), &part(field))).collect();
        let terms: Vec<String> =
            fields.enumerate().map(|(n, field)| format!("{} IS ?{}", quoted(field), first + n + 1)).collect();
        (terms.join(" AND "), cells)
    }
}

#[async_trait]
impl Namespace for SqliteNamespace {
    fn adapter(&self) -> Arc<dyn StorageAdapter> {
        Arc::clone(&self.adapter) as Arc<dyn StorageAdapter>
    }

    async fn reopen(&self, collections: Vec<CollectionConfig>) -> Arc<dyn StorageAdapter> {
        let clock_offset = Arc::clone(&self.clock);
        let options = SqliteOptions { clock_offset, ..SqliteOptions::new(&self.path, collections) };
        Arc::new(SqliteAdapter::open(options).expect("a database that opens"))
    }

    async fn insert(&self, collection: &CollectionConfig, row: &Value) {
        let row = row.as_object().expect("a row");
        let columns: Vec<String> = row.keys().map(quoted).collect();
        let places: Vec<String> = (1..=columns.len()).map(|n| format!("?{n}")).collect();
        let cells = row.iter().map(|(column, value)| to_cell(self.kind(collection, column), value)).collect();
        let (table, columns, places) = (quoted(&collection.table), columns.join(", "), places.join(", "));
        self.run(&format!("INSERT INTO {table} ({columns}) VALUES ({places})"), cells);
    }

    async fn update(&self, collection: &CollectionConfig, id: &Value, set: &Object) {
        let terms: Vec<String> =
            set.keys().enumerate().map(|(n, column)| format!("{} = ?{}", quoted(column), n + 1)).collect();
        let mut cells: Vec<Cell> =
            set.iter().map(|(column, value)| to_cell(self.kind(collection, column), value)).collect();
        let (by_id, ids) = self.by_id(collection, id, cells.len());
        cells.extend(ids);
        self.run(&format!("UPDATE {} SET {} WHERE {by_id}", quoted(&collection.table), terms.join(", ")), cells);
    }

    async fn delete(&self, collection: &CollectionConfig, id: &Value) {
        let (by_id, ids) = self.by_id(collection, id, 0);
        self.run(&format!("DELETE FROM {} WHERE {by_id}", quoted(&collection.table)), ids);
    }

    async fn rows(&self, collection: &CollectionConfig) -> Vec<Value> {
        let columns = self.table(collection).columns();
        let names: Vec<String> = columns.iter().map(|(name, _)| quoted(name)).collect();
        let application = self.application.lock().unwrap_or_else(PoisonError::into_inner);
        let sql = format!("SELECT {} FROM {} ORDER BY rowid", names.join(", "), quoted(&collection.table));
        let mut statement = application.prepare(&sql).expect("a statement of the application");
        let read = |row: &rusqlite::Row<'_>| -> rusqlite::Result<Value> {
            let mut object = Object::new();
            for (n, (name, kind)) in columns.iter().enumerate() {
                object.insert(name.as_str(), from_cell(*kind, row.get(n)?));
            }
            Ok(Value::Object(object))
        };
        let rows = statement.query_map([], read).expect("rows");
        rows.collect::<Result<_, _>>().expect("rows that can be read")
    }

    async fn dump(&self) -> Option<Vec<u8>> {
        let connection = Connection::open(&self.path).expect("a database");
        connection.busy_timeout(Duration::from_secs(20)).expect("a timeout");
        let busy: i64 =
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0)).expect("a checkpoint");
        assert_eq!(busy, 0, "a reader stands in the way of the checkpoint");
        // What the application overwrote itself lies in free pages until then.
        connection.execute_batch("VACUUM").expect("a vacuum");
        let busy: i64 =
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0)).expect("a checkpoint");
        assert_eq!(busy, 0, "a reader stands in the way of the checkpoint");
        let dir = self.path.parent().expect("a directory");
        let files = std::fs::read_dir(dir).expect("a directory").map(|file| file.expect("a file").path());
        Some(files.flat_map(|file| std::fs::read(file).expect("a file")).collect())
    }

    async fn step_clock(&self, by_ms: i64) {
        self.clock.fetch_add(by_ms, Ordering::SeqCst);
    }
}
