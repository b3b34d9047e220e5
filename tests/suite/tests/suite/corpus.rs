//! Real history: 10,486 changes of 997 package manifests, with true times, authors and deletions.
//!
//! The file lies in `CFG_TEST_CORPUS` (`tests/run` sets it) and is never committed. Where it is
//! absent these tests say so loudly; in CI `tests/run` makes that a failure.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use cfg_engine::Value;
use cfg_engine::adapter::{AsOf, StorageAdapter};
use cfg_engine::config::{CollectionConfig, Settings, Shape};
use cfg_engine::document::{FieldPolicy, Object, canonical_bytes};
use cfg_engine::engine::{
    HistoryImport, Log, Moment, Options, Project, Restore, RestoreAll, SetTag, Staged, State, TagTarget,
};
use cfg_engine::history::{Author, AuthorClass, CollectionName, Entry, EnvName, Reference, TagName, Timestamp};
use cfg_engine_conformance::{Harness as _, Need, Table, is_there};
use cfg_engine_connect::HistoryFile;
use cfg_engine_sqlite::{SqliteAdapter, SqliteOptions};
use flate2::read::GzDecoder;

use crate::mongodb::MongoHarness;
use crate::postgres::PostgresHarness;
use crate::stores::{Bed, because};

const COLLECTION: &str = "manifests";

#[expect(clippy::print_stderr, reason = "a skip that nobody sees is a pass")]
fn corpus() -> Option<PathBuf> {
    let folder = std::env::var_os("CFG_TEST_CORPUS").map(PathBuf::from);
    let file = folder.map(|folder| folder.join("scoop-2023.jsonl.gz")).filter(|file| file.exists());
    if file.is_none() {
        eprintln!("SKIPPED LOUDLY: no corpus; set CFG_TEST_CORPUS to the folder of scoop-2023.jsonl.gz");
    }
    file
}

fn create_live_table(db: &Path) {
    let live = rusqlite::Connection::open(db).expect("a new database");
    live.execute_batch("CREATE TABLE manifests (id TEXT PRIMARY KEY, doc TEXT NOT NULL)").expect("a live table");
}

fn open(db: &Path) -> Project {
    let mut collection = CollectionConfig::new(CollectionName::new(COLLECTION).expect("a name"), "id");
    collection.shape = Shape::Doc;
    let options = SqliteOptions::new(db, vec![collection]);
    let adapter: Arc<dyn StorageAdapter> = Arc::new(SqliteAdapter::open(options).expect("the database opens"));
    Project::new(adapter, settings())
}

fn settings() -> Settings {
    let author = Author { id: "loader@example.com".to_owned(), class: AuthorClass::Pipeline };
    Settings::new(EnvName::new("dev").expect("a name"), author)
}

fn history() -> HistoryImport {
    HistoryImport { collection: CollectionName::new(COLLECTION).expect("a name"), seed_live: true }
}

/// The file replayed by another program's means: `id → instant → document`, later lines over earlier.
fn replay(file: &Path) -> BTreeMap<String, BTreeMap<i64, Option<serde_json::Value>>> {
    let text = std::io::read_to_string(GzDecoder::new(std::fs::File::open(file).expect("the corpus"))).expect("UTF-8");
    let mut states: BTreeMap<String, BTreeMap<i64, Option<serde_json::Value>>> = BTreeMap::new();
    for line in text.lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect("a JSON line");
        let time = line["time"].as_str().expect("a time");
        let at = Timestamp::parse_instant(time).expect("an instant").as_millis();
        let doc = (!line["doc"].is_null()).then(|| line["doc"].clone());
        states.entry(line["id"].as_str().expect("an id").to_owned()).or_default().insert(at, doc);
    }
    states
}

fn state_at(
    states: &BTreeMap<String, BTreeMap<i64, Option<serde_json::Value>>>,
    at: i64,
) -> BTreeMap<String, serde_json::Value> {
    let last = |versions: &BTreeMap<i64, Option<serde_json::Value>>| {
        versions.range(..=at).next_back().and_then(|(_, doc)| doc.clone())
    };
    states.iter().filter_map(|(id, versions)| Some((id.clone(), last(versions)?))).collect()
}

fn plain(value: &Value) -> serde_json::Value {
    serde_json::from_str(&value.to_json()).expect("JSON")
}

/// A document without the columns that hold nothing.
fn content(value: &Value) -> serde_json::Value {
    let mut doc = plain(value);
    doc.as_object_mut().expect("an object").retain(|_, value| !value.is_null());
    doc
}

/// A small generator of numbers with a seed that a failure prints.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }
}

async fn load(project: &Project, file: &Path) -> cfg_engine::engine::HistoryReport {
    let mut source = HistoryFile::open(file).expect("the corpus opens");
    project.import_history(&history(), &mut source, &Options::message("load"), None).await.expect("the corpus loads")
}

/// What must be the same however a load was disturbed: everything but clocks, op_ids and the ids made of them.
fn essence(entry: &Entry) -> (String, u64, Option<String>, i64, String, String, &'static str, Option<i64>) {
    let h = &entry.header;
    (
        h.record.to_string(),
        h.seq.0,
        h.oid.map(|oid| oid.to_hex()),
        h.valid_from.as_millis(),
        h.author.id.clone(),
        entry.message.clone(),
        h.op.as_str(),
        entry.valid_to.map(Timestamp::as_millis),
    )
}

async fn everything(
    project: &Project,
) -> BTreeSet<(String, u64, Option<String>, i64, String, String, &'static str, Option<i64>)> {
    project.log(&Log::default()).await.expect("the log").iter().map(essence).collect()
}

#[tokio::test]
async fn the_corpus_loads_and_every_moment_reads_back() {
    let Some(file) = corpus() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let db = folder.path().join("corpus.db");
    create_live_table(&db);
    every_moment_reads_back(&open(&db), &file).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_corpus_loads_on_postgresql_and_every_moment_reads_back() {
    let Some(file) = corpus() else { return };
    let harness = PostgresHarness::jsonb();
    if !is_there(&harness) {
        return;
    }
    let mut table = Table::new(COLLECTION);
    table.config = CollectionConfig::new(CollectionName::new(COLLECTION).expect("a name"), "id");
    table.config.shape = Shape::Doc;
    let namespace = harness.open(&[table]).await;
    every_moment_reads_back(&Project::new(namespace.adapter(), settings()), &file).await;
}

/// The row is the record: a column of `jsonb` for each field that any version has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_corpus_loads_into_rows_of_postgresql_and_every_moment_reads_back() {
    let Some(file) = corpus() else { return };
    let harness = PostgresHarness::row();
    if !is_there(&harness) {
        return;
    }
    let states = replay(&file);
    let docs = states.values().flat_map(BTreeMap::values).flatten().filter_map(serde_json::Value::as_object);
    let fields: BTreeSet<&str> = docs.flat_map(|doc| doc.keys().map(String::as_str)).collect();
    let project = harness.rows_of_jsonb(COLLECTION, &fields).await;
    every_moment_reads_back(&project.with(settings()), &file).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_corpus_loads_on_mongodb_and_every_moment_reads_back() {
    let Some(file) = corpus() else { return };
    let harness = MongoHarness::new();
    if !is_there(&harness) {
        return;
    }
    let mut table = Table::new(COLLECTION);
    table.config = CollectionConfig::new(CollectionName::new(COLLECTION).expect("a name"), "id");
    let space = harness.namespace(&[table]).await;
    every_moment_reads_back(&Project::new(space.adapter, settings()), &file).await;
}

/// Loads the corpus and compares what the store answers with what the file says.
async fn every_moment_reads_back(project: &Project, file: &Path) {
    project.init(false).await.expect("init");
    let report = load(project, file).await;
    let states = replay(file);
    // Where the record is the whole document, its id is in it.
    let holds_id = project.collections()[0].shape == Shape::Row;
    assert_eq!((report.lines, report.records), (10_486, states.len() as u64));
    assert_eq!(report.loaded + report.without_effect, report.lines);
    assert!(
        report.failed.is_empty() && report.dirty.is_empty(),
        "{} failed, {} dirty",
        report.failed.len(),
        report.dirty.len()
    );

    let instants: Vec<i64> = states.values().flat_map(|v| v.keys().copied()).collect();
    let (first, last) = (instants.iter().min().expect("a time"), instants.iter().max().expect("a time"));
    let seed = 2023;
    let mut random = Random(seed);
    for n in 0..200 {
        // Half of them exactly on a change, where an interval's end is decided.
        let at = match n % 2 {
            0 => first - 1000 + random.below((last - first + 2000) as u64) as i64,
            _ => instants[random.below(instants.len() as u64) as usize],
        };
        let rows = project.log_as_of(None, None, AsOf::Valid(Timestamp::from_millis(at)), true).await.expect("as-of");
        let found: BTreeMap<String, serde_json::Value> = rows
            .iter()
            .map(|row| {
                assert!(!row.estimated_before_import);
                let mut doc = plain(row.entry.doc.as_ref().expect("a document"));
                if holds_id {
                    doc.as_object_mut().and_then(|doc| doc.remove("id")).expect("the id");
                }
                (row.entry.header.record.id.to_string(), doc)
            })
            .collect();
        let expected: BTreeMap<String, serde_json::Value> =
            state_at(&states, at).into_iter().map(|(id, doc)| (shown(&id), doc)).collect();
        assert!(found == expected, "as of {at} differs (seed {seed}, instant {n})");
    }

    let status = project.status(None, false, &Staged::new(), None).await.expect("status");
    assert!(status.rows.iter().all(|row| row.state == State::Clean), "every record is clean");
    assert_eq!(project.fsck(None).await.expect("fsck").findings, []);

    restores_give_back_the_documents(project, &mut random).await;

    let before = everything(project).await;
    let again = load(project, file).await;
    assert_eq!((again.loaded, again.seeded), (0, 0), "a second import changes nothing");
    assert_eq!(everything(project).await, before);
}

/// How an id is shown: bare, or as JSON where it would read as something else.
fn shown(id: &str) -> String {
    cfg_engine::history::IdKey::from_value(&Value::from(id)).expect("an id").to_string()
}

async fn restores_give_back_the_documents(project: &Project, random: &mut Random) {
    let with_doc = Log { with_doc: true, ..Log::default() };
    let entries: Vec<Entry> =
        project.log(&with_doc).await.expect("the log").into_iter().filter(|e| e.doc.is_some()).collect();
    for _ in 0..50 {
        let entry = &entries[random.below(entries.len() as u64) as usize];
        let record = &entry.header.record;
        let restore = Restore::new(record.clone(), Reference::Seq(entry.header.seq));
        project.restore(&restore, &Options::message("back")).await.expect("a restore");
        let live = project.get(record).await.expect("live").doc;
        assert_eq!(content(&live), content(entry.doc.as_ref().expect("a document")), "{record}@{}", entry.header.seq);
    }
    assert_eq!(project.fsck(None).await.expect("fsck").findings, []);
}

/// The command, built beside this test binary by the same cargo run.
fn cfg_binary() -> PathBuf {
    let here = std::env::current_exe().expect("this binary");
    let binary = here.parent().and_then(Path::parent).expect("a target folder").join("cfg");
    assert!(binary.exists(), "build the command first: cargo build -p cfg-engine-cli");
    binary
}

const CONFIG: &str = r#"
[project]
name = "corpus"
[[collection]]
name = "manifests"
id_field = "id"
shape = "doc"
[env.dev]
database = "sqlite"
uri = "corpus.db"
"#;

fn project_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join(".cfg.toml"), CONFIG).expect("a config");
    create_live_table(&folder.path().join("corpus.db"));
    let init = command(folder.path()).arg("init").output().expect("cfg runs");
    assert!(init.status.success(), "{}", String::from_utf8_lossy(&init.stderr));
    folder
}

fn command(folder: &Path) -> Command {
    let mut command = Command::new(cfg_binary());
    command.current_dir(folder).env("CFG_AUTHOR", "loader@example.com").stdin(Stdio::null());
    command
}

#[tokio::test]
async fn a_killed_import_run_again_ends_as_an_undisturbed_one() {
    let Some(file) = corpus() else { return };
    let undisturbed = project_folder();
    let import = |folder: &Path| {
        let mut import = command(folder);
        import.args(["import", "--seed-live", "--quiet", "--history"]).arg(&file);
        import
    };
    let started = std::time::Instant::now();
    let done = import(undisturbed.path()).output().expect("cfg runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let whole = started.elapsed();
    let expected = everything(&open(&undisturbed.path().join("corpus.db"))).await;
    assert!(expected.len() > 10_000, "the undisturbed import loaded everything");

    let disturbed = project_folder();
    let kills = if std::env::var_os("CFG_TEST_NIGHTLY").is_some() { 40 } else { 5 };
    let mut random = Random(7);
    for _ in 0..kills {
        let mut child =
            import(disturbed.path()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("cfg starts");
        let share = Duration::from_micros(random.below(whole.as_micros() as u64));
        std::thread::sleep(share);
        child.kill().expect("the child is ours");
        child.wait().expect("the child ends");
        let project = open(&disturbed.path().join("corpus.db"));
        assert_eq!(project.fsck(None).await.expect("fsck").findings, [], "clean after a kill");
    }
    let done = import(disturbed.path()).output().expect("cfg runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let project = open(&disturbed.path().join("corpus.db"));
    assert!(everything(&project).await == expected, "the same entries");
    let status = project.status(None, false, &Staged::new(), None).await.expect("status");
    assert!(status.rows.iter().all(|row| row.state == State::Clean), "every record is clean");
}

/// Live as an application reads it: the document of every row, by id.
async fn live_docs(bed: &Bed) -> BTreeMap<String, String> {
    let collection = bed.space.agents();
    let id = &collection.id_fields[0];
    let doc = |row: &Value| match collection.shape {
        Shape::Doc => row.get(&collection.doc_column).expect("a document").clone(),
        Shape::Row => row.clone(),
    };
    let rows = bed.space.raw.rows(collection).await;
    rows.iter()
        .map(|row| (row.get(id).and_then(Value::as_str).expect("an id").to_owned(), canonical(&doc(row))))
        .collect()
}

/// What a document means: a restore leaves the order of members that are otherwise the same as it is.
fn canonical(doc: &Value) -> String {
    let bytes = canonical_bytes(doc, &FieldPolicy::default()).expect("a document with a canonical form");
    String::from_utf8(bytes).expect("UTF-8")
}

/// The whole job, on every store that holds such documents: tag, 500 changes behind the tool's back, adopt,
/// restore to the tag; and the same to the 7th of June by date.
#[tokio::test]
async fn everything_goes_back_to_a_tag_and_to_a_date() {
    let Some(file) = corpus() else { return };
    let states = replay(&file);
    let june = Timestamp::parse("2023-06-07").expect("a date");
    for harness in crate::stores::harnesses().into_iter().filter(|harness| harness.has(Need::FreeFields)) {
        let bed = Bed::open(harness, vec![Table::new(COLLECTION)]).await;
        let report = load(&bed.project, &file).await;
        assert_eq!(report.failed.len(), 0, "{}", bed.name());
        let tagged = live_docs(&bed).await;
        let name = TagName::new("corpus").expect("a name");
        let target = TagTarget::System { collection: None, as_of: None };
        let set = SetTag { name: name.clone(), target, force: false };
        let tag = bed.project.set_tag(&set, &because("as loaded")).await.expect("a tag");
        assert_eq!(tag.records as usize, tagged.len(), "{}", bed.name());
        by_hand(&bed, tagged.keys().take(500)).await;
        let adopted = bed.adopt().await;
        assert_eq!((adopted.written().count(), adopted.failed().count()), (500, 0), "{}", bed.name());

        let back = |to| RestoreAll { adopt_drift: false, prune: true, ..RestoreAll::new(to) };
        let report =
            bed.project.restore_all(&back(Moment::Tag(name)), &because("back"), None).await.expect("a restore");
        assert_eq!((report.written(), report.failed().count()), (500, 0), "{}", bed.name());
        assert!(live_docs(&bed).await == tagged, "{}: every document equals the tagged one", bed.name());

        let report = bed.project.restore_all(&back(Moment::At(june)), &because("june"), None).await.expect("a restore");
        assert_eq!(report.failed().count(), 0, "{}: {:?}", bed.name(), report.failed().next());
        let live = live_docs(&bed).await;
        let expected: BTreeMap<String, String> = state_at(&states, june.as_millis())
            .into_iter()
            .map(|(id, doc)| {
                let doc = Value::from_json(&doc.to_string()).expect("JSON");
                let fields = doc.as_object().expect("an object").clone();
                let record = bed.id(&id);
                (id, canonical(&bed.space.doc(&record, &fields)))
            })
            .collect();
        let differs = |id: &&String| live.get(*id) != expected.get(*id);
        let first = live.keys().chain(expected.keys()).find(differs);
        assert_eq!(first, None, "{}: what was live on the 7th of June", bed.name());
        bed.assert_sound().await;
    }
}

/// Changes a field of records as an application would.
async fn by_hand(bed: &Bed, ids: impl Iterator<Item = &String>) {
    let collection = bed.space.agents();
    let rows = bed.space.raw.rows(collection).await;
    let field = &collection.id_fields[0];
    let by_id: BTreeMap<&str, &Value> = rows.iter().filter_map(|row| Some((row.get(field)?.as_str()?, row))).collect();
    for id in ids {
        let set = match collection.shape {
            Shape::Row => Object::new().with("version", "by hand"),
            Shape::Doc => {
                let mut doc = by_id[id.as_str()].get(&collection.doc_column).expect("a document").clone();
                doc.as_object_mut().expect("an object").insert("version", "by hand");
                Object::new().with(&collection.doc_column, doc)
            }
        };
        bed.space.raw.update(collection, &Value::from(id.as_str()), &set).await;
    }
}

/// A restore of a thousand records by the command, killed at random moments and resumed, ends where an
/// undisturbed one ends, and each record has exactly one restore entry.
#[tokio::test]
async fn a_killed_restore_is_resumed() {
    const RECORDS: usize = 1000;
    let prepared = project_folder();
    {
        let db = rusqlite::Connection::open(prepared.path().join("corpus.db")).expect("the database");
        db.execute_batch("BEGIN").expect("a transaction");
        for n in 0..RECORDS {
            db.execute(
                "INSERT INTO manifests VALUES (?1, ?2)",
                (format!("r{n:04}"), r#"{"n": 0, "text": "as it was"}"#),
            )
            .expect("a row");
        }
        db.execute_batch("COMMIT").expect("a commit");
    }
    let run = |folder: &Path, words: &[&str]| {
        let done = command(folder).args(words).output().expect("cfg runs");
        assert!(done.status.success(), "cfg {words:?}: {}", String::from_utf8_lossy(&done.stderr));
    };
    run(prepared.path(), &["import", "--all", "-q"]);
    run(prepared.path(), &["tag", "then", "-q"]);
    rusqlite::Connection::open(prepared.path().join("corpus.db"))
        .and_then(|db| {
            db.execute_batch("UPDATE manifests SET doc = json_set(doc, '$.n', 1); PRAGMA wal_checkpoint(TRUNCATE)")
        })
        .expect("a change around the tool");
    run(prepared.path(), &["adopt", "--all", "-q", "-m", "changed"]);
    let copy = || {
        let folder = tempfile::tempdir().expect("a folder");
        let db = rusqlite::Connection::open(prepared.path().join("corpus.db")).expect("the database");
        db.execute("VACUUM INTO ?1", [folder.path().join("corpus.db").to_string_lossy()]).expect("a copy");
        std::fs::copy(prepared.path().join(".cfg.toml"), folder.path().join(".cfg.toml")).expect("a copy");
        folder
    };
    let restore = ["restore", "--tag", "then", "-q"];
    let undisturbed = copy();
    let started = std::time::Instant::now();
    run(undisturbed.path(), &restore);
    let whole = started.elapsed();
    let contents = |project: Project| async move {
        let entries = project.log(&Log::default()).await.expect("the log");
        let essential = |entry: &Entry| {
            let h = &entry.header;
            (h.record.to_string(), h.seq.0, h.op.as_str(), h.oid.map(|oid| oid.to_hex()))
        };
        entries.iter().map(essential).collect::<BTreeSet<_>>()
    };
    let expected = contents(open(&undisturbed.path().join("corpus.db"))).await;
    assert_eq!(expected.len(), 3 * RECORDS);
    let kills = if std::env::var_os("CFG_TEST_NIGHTLY").is_some() { 500 } else { 20 };
    let mut random = Random(11);
    let mut unfinished = 0;
    for _ in 0..kills {
        let folder = copy();
        let mut child = command(folder.path()).args(restore).stderr(Stdio::null()).spawn().expect("cfg starts");
        std::thread::sleep(Duration::from_micros(random.below(whole.as_micros() as u64)));
        child.kill().expect("the child is ours");
        child.wait().expect("the child ends");
        let db = folder.path().join("corpus.db");
        let begun = !open(&db).unfinished().await.expect("plans").is_empty();
        unfinished += u32::from(begun);
        // Killed before the plan was kept, or after it was done: nothing is there to be resumed.
        let words: &[&str] = if begun { &["restore", "--resume", "-q"] } else { &restore };
        run(folder.path(), words);
        assert!(contents(open(&db)).await == expected, "one restore entry for each record");
        assert_eq!(open(&db).fsck(None).await.expect("fsck").findings, []);
    }
    println!("{unfinished} of {kills} restores were killed half-way");
}
