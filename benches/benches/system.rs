//! The whole system at a moment, on SQLite: a tag, the dry run of a restore, and blame over a long history.

use cfg_engine_benches as _;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cfg_engine::adapter::StorageAdapter;
use cfg_engine::config::{CollectionConfig, Settings, Shape};
use cfg_engine::engine::{
    Adopt, HistoryImport, Import, Moment, Options, Project, RestoreAll, SetTag, Staged, TagTarget,
};
use cfg_engine::history::{Author, AuthorClass, CollectionName, EnvName, TagName, Timestamp};
use cfg_engine_connect::HistoryFile;
use cfg_engine_sqlite::{SqliteAdapter, SqliteOptions};
use criterion::Criterion;
use tokio::runtime::Runtime;

fn document(n: usize, version: usize, words: usize) -> String {
    let prompt = "Plan the work before you start it. ".repeat(words);
    format!(
        r#"{{"model": "large", "version": {version}, "n": {n}, "limits": {{"usd": 12.5, "per_minute": 120}}, "tools": ["search", "code"], "instructions": "{prompt}"}}"#
    )
}

fn project(runtime: &Runtime, folder: &Path, rows: usize) -> Project {
    let path = folder.join("bench.db");
    let db = rusqlite::Connection::open(&path).expect("a new database");
    db.execute_batch("PRAGMA journal_mode=WAL; CREATE TABLE agents (id TEXT PRIMARY KEY, doc TEXT NOT NULL); BEGIN")
        .expect("a live table");
    for n in 0..rows {
        db.execute("INSERT INTO agents VALUES (?1, ?2)", (format!("agent_{n:06}"), document(n, 0, 50))).expect("a row");
    }
    db.execute_batch("COMMIT").expect("a commit");
    let mut collection = CollectionConfig::new(CollectionName::new("agents").expect("a name"), "id");
    collection.shape = Shape::Doc;
    let adapter = SqliteAdapter::open(SqliteOptions::new(&path, vec![collection])).expect("the database opens");
    let adapter: Arc<dyn StorageAdapter> = Arc::new(adapter);
    let author = Author { id: "bench@example.com".to_owned(), class: AuthorClass::Pipeline };
    let project = Project::new(adapter, Settings::new(EnvName::new("dev").expect("a name"), author));
    runtime.block_on(project.init(false)).expect("init");
    runtime.block_on(project.import(&Import::default(), &Options::message("baseline"), None)).expect("import");
    project
}

fn tag(name: &str) -> SetTag {
    let target = TagTarget::System { collection: None, as_of: None };
    SetTag { name: TagName::new(name).expect("a name"), target, force: true }
}

/// Changes every `nth` record around the tool and folds that in.
fn change(runtime: &Runtime, folder: &Path, project: &Project, nth: usize) {
    let db = rusqlite::Connection::open(folder.join("bench.db")).expect("the database");
    let sql =
        "UPDATE agents SET doc = json_set(doc, '$.version', json_extract(doc, '$.version') + 1) WHERE rowid % ?1 = 0";
    db.execute(sql, [nth as i64]).expect("a change");
    runtime.block_on(project.adopt(&Adopt::All, &Options::message("changed"), None)).expect("adopt");
}

fn tags(criterion: &mut Criterion, runtime: &Runtime) {
    let folder = tempfile::tempdir().expect("a folder");
    let project = project(runtime, folder.path(), 1000);
    let mut n = 0;
    let mut group = criterion.benchmark_group("sqlite tag of 1000 records");
    group.sample_size(20).measurement_time(Duration::from_secs(5));
    group.bench_function("first of its kind", |b| {
        b.iter_batched(
            || {
                n += 1;
                change(runtime, folder.path(), &project, 1);
                format!("tag-{n}")
            },
            |name| runtime.block_on(project.set_tag(&tag(&name), &Options::message("a tag"))).expect("a tag"),
            criterion::BatchSize::PerIteration,
        );
    });
    group.bench_function("ten records after the last", |b| {
        b.iter_batched(
            || {
                n += 1;
                change(runtime, folder.path(), &project, 100);
                format!("tag-{n}")
            },
            |name| runtime.block_on(project.set_tag(&tag(&name), &Options::message("a tag"))).expect("a tag"),
            criterion::BatchSize::PerIteration,
        );
    });
    group.finish();
}

fn dry_runs(criterion: &mut Criterion, runtime: &Runtime) {
    let folder = tempfile::tempdir().expect("a folder");
    let project = project(runtime, folder.path(), 10_000);
    runtime.block_on(project.set_tag(&tag("then"), &Options::message("a tag"))).expect("a tag");
    change(runtime, folder.path(), &project, 20);
    let restore = RestoreAll::new(Moment::Tag(TagName::new("then").expect("a name")));
    let dry = Options { dry_run: true, ..Options::message("look") };
    let mut group = criterion.benchmark_group("sqlite restore of 10000 records of 2 KB, dry run");
    group.sample_size(10).measurement_time(Duration::from_secs(8));
    group.bench_function("cfg-engine status", |b| {
        b.iter(|| runtime.block_on(project.status(None, false, &Staged::new(), None)).expect("status").rows.len());
    });
    group.bench_function("500 differ", |b| {
        b.iter(|| runtime.block_on(project.restore_all(&restore, &dry, None)).expect("a plan").planned);
    });
    change(runtime, folder.path(), &project, 1);
    group.bench_function("all differ", |b| {
        b.iter(|| runtime.block_on(project.restore_all(&restore, &dry, None)).expect("a plan").planned);
    });
    group.finish();
}

fn blame(criterion: &mut Criterion, runtime: &Runtime) {
    const VERSIONS: usize = 5000;
    let folder = tempfile::tempdir().expect("a folder");
    let project = project(runtime, folder.path(), 0);
    let start = Timestamp::parse("2020-01-01").expect("a date");
    let mut lines = String::new();
    for version in 0..VERSIONS {
        let at = start.plus_millis(version as i64 * 60_000);
        let doc = document(1, version, 10);
        writeln!(lines, r#"{{"id": "planner", "time": "{at}", "doc": {doc}}}"#).expect("text");
    }
    let file = folder.path().join("history.jsonl");
    std::fs::write(&file, lines).expect("a file");
    let import = HistoryImport { collection: CollectionName::new("agents").expect("a name"), seed_live: true };
    let mut source = HistoryFile::open(&file).expect("the file");
    runtime.block_on(project.import_history(&import, &mut source, &Options::message("load"), None)).expect("a load");
    let record = runtime.block_on(project.record("planner")).expect("a record");
    let mut group = criterion.benchmark_group("sqlite blame over 5000 versions of 0.5 KB");
    group.sample_size(20).measurement_time(Duration::from_secs(5));
    group.bench_function("every field", |b| {
        b.iter(|| runtime.block_on(project.blame(&record, None)).expect("blame").len());
    });
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    tags(&mut criterion, &runtime);
    dry_runs(&mut criterion, &runtime);
    blame(&mut criterion, &runtime);
    criterion.final_summary();
}
