//! What history costs on SQLite: each verb's storage call against the bare statement that an
//! application would run, on the same file with the same settings.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cfg_engine::Value;
use cfg_engine::adapter::{
    AsOf, Batch, Change, Detail, ExpectedHead, ExpectedLive, HeadRef, LiveWrite, NewEntry, RecordState, Scope,
    StorageAdapter, StoredDoc,
};
use cfg_engine::config::{CollectionConfig, Shape};
use cfg_engine::document::{FieldPolicy, oid};
use cfg_engine::history::{CollectionName, EnvName, IdKey, OpId, RecordKey, Seq, Span, Timestamp, insert};
use cfg_engine_benches::{commit_of, document, header};
use cfg_engine_sqlite::{SqliteAdapter, SqliteOptions};
use criterion::{Criterion, Throughput};
use futures_util::StreamExt;
use futures_util::TryStreamExt;
use rusqlite::{Connection, params};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// As many records as the largest group has.
const RECORDS: usize = 10_000;
/// How many versions each has where time travel is measured.
const VERSIONS: usize = 20;

struct Store {
    adapter: Arc<SqliteAdapter>,
    path: PathBuf,
    env: EnvName,
    runtime: Runtime,
    ops: u64,
    _directory: TempDir,
}

fn settings(db: &Connection) {
    db.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;").unwrap();
}

impl Store {
    fn new(records: usize, size: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.db");
        let mut db = Connection::open(&path).unwrap();
        settings(&db);
        db.execute_batch("CREATE TABLE agents (id TEXT PRIMARY KEY, doc TEXT NOT NULL)").unwrap();
        let filling = db.transaction().unwrap();
        for n in 0..records {
            let row = params![format!("agent-{n:05}"), document(n, size)];
            filling.execute("INSERT INTO agents VALUES (?1, ?2)", row).unwrap();
        }
        filling.commit().unwrap();
        let mut config = CollectionConfig::new(CollectionName::new("agents").unwrap(), "id");
        config.shape = Shape::Doc;
        let adapter = Arc::new(SqliteAdapter::open(SqliteOptions::new(&path, vec![config])).unwrap());
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        runtime.block_on(adapter.ensure_schema()).unwrap();
        Store { adapter, path, env: EnvName::new("dev").unwrap(), runtime, ops: 0, _directory: directory }
    }

    fn bare(&self) -> Connection {
        let db = Connection::open(&self.path).unwrap();
        settings(&db);
        db
    }

    fn record(&self, n: usize) -> RecordKey {
        RecordKey {
            env: self.env.clone(),
            collection: CollectionName::new("agents").unwrap(),
            id: IdKey::from_value(&Value::from(format!("agent-{n:05}"))).unwrap(),
        }
    }

    fn states(&self, scope: &Scope) -> Vec<RecordState> {
        self.runtime.block_on(self.adapter.records(&self.env, scope).try_concat()).unwrap()
    }

    /// A commit of one value in each of these records, as the engine would plan it.
    fn commit(&mut self, records: std::ops::Range<usize>, to: i64) -> Batch {
        let scope = Scope::Records(records.map(|n| self.record(n)).collect());
        let states = self.states(&scope);
        let at = self.runtime.block_on(self.adapter.clock()).unwrap().store;
        let newest = states.iter().filter_map(|s| s.head.as_ref()).map(|h| h.tip.recorded_at).max();
        let at = newest.map_or(at, |tip| at.max(tip.plus_millis(1)));
        self.ops += 1;
        commit_of(states, at, &OpId::new(&format!("op-{}", self.ops)).unwrap(), to)
    }

    /// Loads a history of `VERSIONS` versions, a thousand seconds apart, for each record.
    fn load_history(&mut self, size: usize) {
        for first in (0..RECORDS).step_by(500) {
            let at = self.runtime.block_on(self.adapter.clock()).unwrap().store;
            self.ops += 1;
            let op_id = OpId::new(&format!("op-{}", self.ops)).unwrap();
            let change = |n: usize| {
                let record = self.record(n);
                let spans: Vec<Span> = (0..VERSIONS)
                    .map(|v| Span {
                        seq: Seq(v as u64 + 1),
                        recorded_at: at,
                        valid_from: Timestamp::from_millis((v as i64 * 1000 + n as i64 % 997) * 1000),
                        in_valid_order: true,
                    })
                    .collect();
                let insertion = insert(&[], &spans);
                let mut prev = None;
                let mut entries = Vec::new();
                for (span, ends) in spans.into_iter().zip(insertion.new) {
                    let doc = Value::from_json(&document(span.seq.0 as usize * 7 + n, size)).unwrap();
                    let doc_oid = oid(&doc, &FieldPolicy::default()).unwrap();
                    let header = header(&record, span, doc_oid, &op_id, prev);
                    let entry_id = header.entry_id();
                    prev = Some(entry_id);
                    let (message, doc, git_shas) = ("a change".to_owned(), StoredDoc::Given(doc), Vec::new());
                    entries.push(NewEntry { header, entry_id, message, doc, ends, git_shas });
                }
                let last = entries.last().unwrap();
                let new_head = HeadRef { seq: last.header.seq, oid: last.header.oid, entry_id: last.entry_id };
                Change {
                    record,
                    expected_head: ExpectedHead::Absent,
                    expected_live: ExpectedLive::Unchecked,
                    live: LiveWrite::Leave,
                    entries,
                    closed: Vec::new(),
                    new_head: Some(new_head),
                    links: Vec::new(),
                    mended_tip: None,
                    overwrites: Vec::new(),
                }
            };
            let changes = (first..first + 500).map(change).collect();
            let batch = Batch::for_conformance(op_id.clone(), at, changes, Vec::new());
            self.runtime.block_on(self.adapter.apply(&batch)).unwrap();
        }
    }

    fn apply(&self, batch: &Batch) {
        self.runtime.block_on(self.adapter.apply(batch)).unwrap();
    }
}

/// One changed value of a 2 KB document: the application's durable update, and ours with its entry.
fn commit(c: &mut Criterion) {
    let mut group = c.benchmark_group("sqlite commit, 2 KB");
    let mut store = Store::new(1000, 2048);
    let db = store.bare();
    let mut n = 0;
    group.bench_function("bare update", |b| {
        b.iter_custom(|rounds| {
            let mut spent = Duration::ZERO;
            for _ in 0..rounds {
                n += 1;
                let (id, doc) = (format!("agent-{:05}", n * 37 % 1000), document(n, 2048));
                let start = Instant::now();
                db.prepare_cached("BEGIN IMMEDIATE").unwrap().execute([]).unwrap();
                db.prepare_cached("UPDATE agents SET doc = ?1 WHERE id = ?2").unwrap().execute([doc, id]).unwrap();
                db.prepare_cached("COMMIT").unwrap().execute([]).unwrap();
                spent += start.elapsed();
            }
            spent
        });
    });
    group.bench_function("apply", |b| {
        b.iter_custom(|rounds| {
            let mut spent = Duration::ZERO;
            for _ in 0..rounds {
                n += 1;
                let at = n * 37 % 1000;
                let batch = store.commit(at..at + 1, n as i64);
                let start = Instant::now();
                store.apply(&batch);
                spent += start.elapsed();
            }
            spent
        });
    });
    group.finish();
}

/// A thousand records in one batch.
fn batch(c: &mut Criterion) {
    let mut group = c.benchmark_group("sqlite batch of 1,000, 2 KB");
    group.sample_size(10).throughput(Throughput::Elements(1000));
    let mut store = Store::new(1000, 2048);
    let mut n = 0;
    let mut db = store.bare();
    group.bench_function("bare updates", |b| {
        b.iter_custom(|rounds| {
            let mut spent = Duration::ZERO;
            for _ in 0..rounds {
                n += 1;
                let rows: Vec<(String, String)> =
                    (0..1000).map(|at| (format!("agent-{at:05}"), document(n, 2048))).collect();
                let start = Instant::now();
                let writing = db.transaction().unwrap();
                for (id, doc) in &rows {
                    let mut update = writing.prepare_cached("UPDATE agents SET doc = ?1 WHERE id = ?2").unwrap();
                    update.execute([doc, id]).unwrap();
                }
                writing.commit().unwrap();
                spent += start.elapsed();
            }
            spent
        });
    });
    group.bench_function("apply", |b| {
        b.iter_custom(|rounds| {
            let mut spent = Duration::ZERO;
            for _ in 0..rounds {
                n += 1;
                let batch = store.commit(0..1000, n as i64);
                let start = Instant::now();
                store.apply(&batch);
                spent += start.elapsed();
            }
            spent
        });
    });
    group.finish();
}

/// What `status` reads: live and head of ten thousand records, against scanning and parsing alone.
fn status(c: &mut Criterion) {
    let mut group = c.benchmark_group("sqlite status of 10,000, 2 KB");
    group.sample_size(10).throughput(Throughput::Elements(RECORDS as u64));
    let mut store = Store::new(RECORDS, 2048);
    for first in (0..RECORDS).step_by(1000) {
        let batch = store.commit(first..first + 1000, 1);
        store.apply(&batch);
    }
    let db = store.bare();
    let scan = |with_oid: bool| {
        let mut statement = db.prepare_cached("SELECT id, doc FROM agents").unwrap();
        let mut rows = statement.query([]).unwrap();
        let mut parsed = 0;
        while let Some(row) = rows.next().unwrap() {
            let value = Value::from_json(row.get_ref(1).unwrap().as_str().unwrap()).unwrap();
            let text: String = row.get(1).unwrap();
            parsed += text.len();
            if with_oid {
                parsed += usize::from(oid(&value, &FieldPolicy::default()).is_ok());
            }
        }
        parsed
    };
    group.bench_function("scan and parse", |b| b.iter(|| scan(false)));
    group.bench_function("scan, parse and oid", |b| b.iter(|| scan(true)));
    group.bench_function("records", |b| {
        b.iter(|| {
            let scope = Scope::All(None);
            store.runtime.block_on(async {
                let mut chunks = store.adapter.records(&store.env, &scope);
                let mut found = 0;
                while let Some(chunk) = chunks.next().await {
                    found += chunk.unwrap().len();
                }
                assert_eq!(found, RECORDS);
            });
        });
    });
    group.finish();
}

fn bare_as_of(db: &Connection, index: &str, columns: &str, at: i64) -> usize {
    let sql = format!(
        "SELECT {columns} FROM config_history INDEXED BY bare_{index} WHERE valid_to > ?1 AND valid_from <= ?1"
    );
    let mut statement = db.prepare_cached(&sql).unwrap();
    let mut rows = statement.query([at]).unwrap();
    let mut found = 0;
    while let Some(row) = rows.next().unwrap() {
        found += usize::from(row.get_ref(0).is_ok());
    }
    found
}

/// What was live at an instant, over 200,000 entries, against the bare interval query.
fn as_of(c: &mut Criterion) {
    let mut group = c.benchmark_group("sqlite as-of over 200,000 entries, 0.5 KB");
    group.sample_size(10).throughput(Throughput::Elements(RECORDS as u64));
    let mut store = Store::new(0, 512);
    store.load_history(512);
    let db = store.bare();
    // The bare query gets the indexes that suit it best; the engine does without them.
    db.execute_batch(
        "CREATE INDEX bare_valid_to ON config_history (valid_to, valid_from, record_no);
         CREATE INDEX bare_valid_from ON config_history (valid_from, valid_to, record_no)",
    )
    .unwrap();
    let scope = Scope::All(None);
    for (name, at) in [("old", 1_500_000), ("mid", 10_000_000), ("now", 30_000_000)] {
        let index = if name == "old" { "valid_from" } else { "valid_to" };
        group.bench_function(format!("{name}, bare addresses"), |b| {
            b.iter(|| bare_as_of(&db, index, "oid, entry_id, seq, record_no", at));
        });
        let valid = AsOf::Valid(Timestamp::from_millis(at));
        group.bench_function(format!("{name}, as_of_addresses"), |b| {
            b.iter(|| {
                let rows = store.adapter.as_of_addresses(&store.env, &scope, valid).try_concat();
                assert_eq!(store.runtime.block_on(rows).unwrap().len(), RECORDS);
            });
        });
        group.bench_function(format!("{name}, bare documents"), |b| {
            b.iter(|| bare_as_of(&db, index, "doc, oid, entry_id, seq, record_no", at));
        });
        group.bench_function(format!("{name}, as_of"), |b| {
            b.iter(|| {
                let rows = store.adapter.as_of(&store.env, &scope, valid, Detail::Document).try_concat();
                assert_eq!(store.runtime.block_on(rows).unwrap().len(), RECORDS);
            });
        });
    }
    group.finish();
}

/// What a command that reads one record waits for.
fn cold(c: &mut Criterion) {
    let mut group = c.benchmark_group("sqlite cold start");
    let mut store = Store::new(1000, 2048);
    let batch = store.commit(0..1000, 1);
    store.apply(&batch);
    let record = store.record(500);
    group.bench_function("open, read one record, close", |b| b.iter(|| open_and_read(&store.path, &store, &record)));
    group.finish();
}

fn open_and_read(path: &Path, store: &Store, record: &RecordKey) {
    let mut config = CollectionConfig::new(CollectionName::new("agents").unwrap(), "id");
    config.shape = Shape::Doc;
    let adapter = SqliteAdapter::open(SqliteOptions::new(path, vec![config])).unwrap();
    let scope = Scope::Records(vec![record.clone()]);
    let read = adapter.records(&store.env, &scope).try_concat();
    assert_eq!(store.runtime.block_on(read).unwrap().len(), 1);
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    commit(&mut criterion);
    batch(&mut criterion);
    status(&mut criterion);
    as_of(&mut criterion);
    cold(&mut criterion);
    criterion.final_summary();
}
