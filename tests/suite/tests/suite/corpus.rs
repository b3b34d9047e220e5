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
use cfg_engine::engine::{HistoryImport, Log, Options, Project, Restore, Staged, State};
use cfg_engine::history::{Author, AuthorClass, CollectionName, Entry, EnvName, Reference, Timestamp};
use cfg_engine_connect::HistoryFile;
use cfg_engine_sqlite::{SqliteAdapter, SqliteOptions};
use flate2::read::GzDecoder;

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
    let author = Author { id: "loader@example.com".to_owned(), class: AuthorClass::Pipeline };
    Project::new(adapter, Settings::new(EnvName::new("dev").expect("a name"), author))
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
    let project = open(&db);
    project.init(false).await.expect("init");
    let report = load(&project, &file).await;
    let states = replay(&file);
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
                (row.entry.header.record.id.to_string(), plain(row.entry.doc.as_ref().expect("a document")))
            })
            .collect();
        let expected: BTreeMap<String, serde_json::Value> =
            state_at(&states, at).into_iter().map(|(id, doc)| (shown(&id), doc)).collect();
        assert!(found == expected, "as of {at} differs (seed {seed}, instant {n})");
    }

    let status = project.status(None, false, &Staged::new(), None).await.expect("status");
    assert!(status.rows.iter().all(|row| row.state == State::Clean), "every record is clean");
    assert_eq!(project.fsck(None).await.expect("fsck").findings, []);

    restores_give_back_the_documents(&project, &mut random).await;

    let before = everything(&project).await;
    let again = load(&project, &file).await;
    assert_eq!((again.loaded, again.seeded), (0, 0), "a second import changes nothing");
    assert_eq!(everything(&project).await, before);
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
        assert_eq!(plain(&live), plain(entry.doc.as_ref().expect("a document")), "{record}@{}", entry.header.seq);
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
