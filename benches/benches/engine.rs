//! The verbs on SQLite against the bare statements that do the same work on the same file.

#![allow(clippy::print_stderr)]

use cfg_engine_benches as _;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cfg_engine::Value;
use cfg_engine::adapter::{AsOf, StorageAdapter};
use cfg_engine::config::{CollectionConfig, Settings, Shape};
use cfg_engine::engine::{Commit, CommitItem, HistoryImport, Import, Options, Project, Staged};
use cfg_engine::history::{Author, AuthorClass, CollectionName, EnvName, RecordKey, Timestamp};
use cfg_engine::plan::Content;
use cfg_engine_connect::HistoryFile;
use cfg_engine_sqlite::{SqliteAdapter, SqliteOptions};
use criterion::{BatchSize, Criterion, Throughput};
use tokio::runtime::Runtime;

fn document(n: usize, version: u64) -> String {
    let prompt = "Plan the work before you start it, and keep the plan up to date. ".repeat(24);
    format!(
        r#"{{"model": "large", "version": {version}, "temperature": 0.7, "n": {n}, "limits": {{"usd": 12.5, "per_minute": 120}}, "tools": ["search", "browse", "code"], "instructions": "{prompt}"}}"#
    )
}

fn live_database(folder: &Path, rows: usize) -> PathBuf {
    let path = folder.join("bench.db");
    let db = rusqlite::Connection::open(&path).expect("a new database");
    db.execute_batch("PRAGMA journal_mode=WAL; CREATE TABLE agents (id TEXT PRIMARY KEY, doc TEXT NOT NULL); BEGIN")
        .expect("a live table");
    {
        let mut insert = db.prepare("INSERT INTO agents VALUES (?1, ?2)").expect("a statement");
        for n in 0..rows {
            insert.execute((format!("agent_{n:06}"), document(n, 0))).expect("a row");
        }
    }
    db.execute_batch("COMMIT").expect("a commit");
    path
}

fn open(path: &Path, name: &str) -> Project {
    let mut collection = CollectionConfig::new(CollectionName::new(name).expect("a name"), "id");
    collection.shape = Shape::Doc;
    let adapter = SqliteAdapter::open(SqliteOptions::new(path, vec![collection])).expect("the database opens");
    let adapter: Arc<dyn StorageAdapter> = Arc::new(adapter);
    let author = Author { id: "bench@example.com".to_owned(), class: AuthorClass::Pipeline };
    Project::new(adapter, Settings::new(EnvName::new("dev").expect("a name"), author))
}

fn record(runtime: &Runtime, project: &Project, n: usize) -> RecordKey {
    runtime.block_on(project.record(&format!("agent_{n:06}"))).expect("a record")
}

fn item(record: &RecordKey, n: usize, version: u64) -> CommitItem {
    let doc = Value::from_json(&document(n, version)).expect("JSON");
    CommitItem { record: record.clone(), content: Content::Document(doc), base: None }
}

fn tracked(runtime: &Runtime, folder: &Path, rows: usize) -> Project {
    let path = live_database(folder, rows);
    let project = open(&path, "agents");
    runtime.block_on(project.init(false)).expect("init");
    runtime.block_on(project.import(&Import::default(), &Options::message("baseline"), None)).expect("import");
    project
}

fn commits(criterion: &mut Criterion, runtime: &Runtime) {
    let folder = tempfile::tempdir().expect("a folder");
    let bare = live_database(folder.path(), 1000);
    let db = rusqlite::Connection::open(&bare).expect("the database");
    db.execute_batch("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL").expect("settings");
    let other = tempfile::tempdir().expect("a folder");
    let project = tracked(runtime, other.path(), 1000);
    let records: Vec<RecordKey> = (0..1000).map(|n| record(runtime, &project, n)).collect();
    let mut version = 0;

    let mut group = criterion.benchmark_group("sqlite commit");
    group.bench_function("bare durable update", |b| {
        b.iter(|| {
            version += 1;
            let n = version as usize % 1000;
            db.prepare_cached("UPDATE agents SET doc = ?2 WHERE id = ?1")
                .and_then(|mut s| s.execute((format!("agent_{n:06}"), document(n, version))))
                .expect("an update");
        });
    });
    group.bench_function("cfg-engine commit", |b| {
        b.iter(|| {
            version += 1;
            let n = version as usize % 1000;
            let commit = Commit::of(vec![item(&records[n], n, version)]);
            runtime.block_on(project.commit(&commit, &Options::message("bench"))).expect("a commit")
        });
    });
    group.finish();

    let mut group = criterion.benchmark_group("sqlite batch of 1000");
    group.throughput(Throughput::Elements(1000)).sample_size(20).measurement_time(Duration::from_secs(8));
    group.bench_function("bare updates in one transaction", |b| {
        b.iter(|| {
            version += 1;
            db.execute_batch("BEGIN IMMEDIATE").expect("begin");
            for n in 0..1000 {
                db.prepare_cached("UPDATE agents SET doc = ?2 WHERE id = ?1")
                    .and_then(|mut s| s.execute((format!("agent_{n:06}"), document(n, version))))
                    .expect("an update");
            }
            db.execute_batch("COMMIT").expect("commit");
        });
    });
    group.bench_function("cfg-engine commit of 1000 records", |b| {
        b.iter(|| {
            version += 1;
            let items = records.iter().enumerate().map(|(n, record)| item(record, n, version)).collect();
            runtime.block_on(project.commit(&Commit::of(items), &Options::message("bench"))).expect("a commit")
        });
    });
    group.finish();
}

fn status(criterion: &mut Criterion, runtime: &Runtime) {
    let folder = tempfile::tempdir().expect("a folder");
    let project = tracked(runtime, folder.path(), 10_000);
    let db = rusqlite::Connection::open(folder.path().join("bench.db")).expect("the database");
    let mut group = criterion.benchmark_group("sqlite status of 10000 records of 2 KB");
    group.sample_size(20).measurement_time(Duration::from_secs(8));
    group.bench_function("read and parse", |b| {
        b.iter(|| {
            let mut read = db.prepare_cached("SELECT id, doc FROM agents ORDER BY id").expect("a statement");
            let mut rows = read.query(()).expect("rows");
            let mut bytes = 0;
            while let Some(row) = rows.next().expect("a row") {
                let text = row.get_ref(1).and_then(|t| Ok(t.as_str()?)).expect("text");
                bytes += text.len();
                black_box(Value::from_json(text).expect("JSON"));
            }
            bytes
        });
    });
    group.bench_function("cfg-engine status", |b| {
        b.iter(|| runtime.block_on(project.status(None, false, &Staged::new(), None)).expect("status").rows.len());
    });
    group.finish();
}

fn corpus(criterion: &mut Criterion, runtime: &Runtime) {
    let folder =
        std::env::var_os("CFG_TEST_CORPUS").map_or_else(|| PathBuf::from("../../shared/corpus"), PathBuf::from);
    let file = folder.join("scoop-2023.jsonl.gz");
    if !file.exists() {
        eprintln!("SKIPPED LOUDLY: no corpus; set CFG_TEST_CORPUS to the folder of scoop-2023.jsonl.gz");
        return;
    }
    let load = |folder: &Path| {
        let path = folder.join("corpus.db");
        rusqlite::Connection::open(&path)
            .and_then(|db| db.execute_batch("CREATE TABLE manifests (id TEXT PRIMARY KEY, doc TEXT NOT NULL)"))
            .expect("a live table");
        let project = open(&path, "manifests");
        let import = HistoryImport { collection: CollectionName::new("manifests").expect("a name"), seed_live: true };
        let mut source = HistoryFile::open(&file).expect("the corpus");
        runtime.block_on(async {
            project.init(false).await.expect("init");
            project.import_history(&import, &mut source, &Options::message("load"), None).await.expect("a load")
        });
        project
    };
    let mut group = criterion.benchmark_group("sqlite corpus");
    group.sample_size(10).measurement_time(Duration::from_secs(15));
    group.bench_function("load", |b| {
        b.iter_batched(
            || tempfile::tempdir().expect("a folder"),
            |folder| (load(folder.path()), folder),
            BatchSize::PerIteration,
        );
    });
    let loaded = tempfile::tempdir().expect("a folder");
    let project = load(loaded.path());
    let db = rusqlite::Connection::open(loaded.path().join("corpus.db")).expect("the database");
    // The bare query gets the index that suits it best; the engine does without it.
    db.execute_batch("CREATE INDEX bare_valid ON config_history (valid_from, valid_to)").expect("an index");
    let at = Timestamp::parse("2023-06-07").expect("a date");
    group.bench_function("as-of, bare query with documents", |b| {
        b.iter(|| {
            let sql = "SELECT record_no, seq, doc FROM config_history WHERE valid_from <= ?1 AND valid_to > ?1 AND oid IS NOT NULL";
            let mut read = db.prepare_cached(sql).expect("a statement");
            let rows = read.query_map([at.as_millis()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
            rows.expect("rows").collect::<Result<Vec<(i64, i64, String)>, _>>().expect("rows").len()
        });
    });
    group.bench_function("as-of, cfg-engine log", |b| {
        b.iter(|| runtime.block_on(project.log_as_of(None, None, AsOf::Valid(at), true)).expect("as-of").len());
    });
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    commits(&mut criterion, &runtime);
    status(&mut criterion, &runtime);
    corpus(&mut criterion, &runtime);
    criterion.final_summary();
}
