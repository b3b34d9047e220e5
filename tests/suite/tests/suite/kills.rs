//! `kill -9` of programs in the middle of their commits: at named points, and at any moment.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cfg_engine::config::CollectionConfig;
use cfg_engine::document::parse_assignments;
use cfg_engine::engine::{Adopt, Commit, CommitItem, Log, Project, Staged, State};
use cfg_engine::history::{CollectionName, IdKey, RecordKey};
use cfg_engine::plan::Content;
use cfg_engine_sqlite::{SqliteAdapter, SqliteOptions};

use crate::stores::{because, settings};

/// Names the point at which a process kills itself, and how often it passes it before.
const POINT: &str = "CFG_TEST_KILL_POINT";
static LEFT: AtomicU64 = AtomicU64::new(0);

/// Tells a process to kill itself at a point, some commits after it began.
pub(crate) fn at(command: &mut Command, point: Option<&str>) {
    command.env_remove(POINT);
    if let Some(point) = point {
        command.env(POINT, point);
    }
}

/// Does as [`at`] told.
pub(crate) fn arm() {
    let Ok(point) = std::env::var(POINT) else { return };
    LEFT.store(4, Ordering::Relaxed);
    cfg_engine::planted::choose(Some(&point));
    cfg_engine::planted::at_chosen(|| {
        if LEFT.fetch_sub(1, Ordering::Relaxed) == 1 {
            let own = std::process::id().to_string();
            let _ = Command::new("kill").args(["-9", &own]).status();
            loop {
                std::thread::park();
            }
        }
    });
}

/// Whether a process ended by `SIGKILL`.
pub(crate) fn was_killed(status: ExitStatus) -> bool {
    status.signal() == Some(9)
}

/// What the child is told.
const CHILD: &str = "CFG_TEST_SQLITE_COMMITTER";

/// Where a batch of the SQLite adapter may be killed.
const POINTS: [&str; 5] =
    ["sqlite/checked", "sqlite/live-written", "sqlite/entry-written", "sqlite/before-commit", "sqlite/committed"];

fn agents() -> CollectionConfig {
    CollectionConfig::new(CollectionName::new("agents").unwrap(), "id")
}

async fn open(path: &Path) -> Project {
    let adapter = SqliteAdapter::open(SqliteOptions::new(path, vec![agents()])).unwrap();
    let project = Project::new(Arc::new(adapter), settings());
    project.init(false).await.unwrap();
    project
}

fn record(id: &str) -> RecordKey {
    RecordKey {
        env: settings().env,
        collection: agents().name,
        id: IdKey::from_value(&cfg_engine::Value::from(id)).unwrap(),
    }
}

/// The program that is killed: commits to two records at once, without end, and prints what it was told is done.
#[test]
#[ignore = "started by the test that kills it"]
fn sqlite_committer() {
    let Ok(told) = std::env::var(CHILD) else { return };
    arm();
    let [path, first] = told.split('\n').collect::<Vec<_>>()[..] else { panic!("{told}") };
    let first: u64 = first.parse().unwrap();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let project = open(Path::new(path)).await;
        for n in first.. {
            let content = || Content::Assignments(parse_assignments(&[&format!("n:={n}")], false).unwrap());
            let item = |id: &str| CommitItem { record: record(id), content: content(), base: None };
            project.commit(&Commit::of(vec![item("planner"), item("writer")]), &because("one more")).await.unwrap();
            let mut out = std::io::stdout().lock();
            writeln!(out, "\nack {n}").unwrap();
            out.flush().unwrap();
        }
    });
}

fn start(path: &Path, first: u64, point: Option<&str>) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["kills::sqlite_committer", "--exact", "--ignored", "--nocapture"]);
    command.env(CHILD, format!("{}\n{first}", path.display())).stdout(Stdio::piped()).stderr(Stdio::null());
    at(&mut command, point);
    command.spawn().unwrap()
}

/// Kills one some time after its first commit, or at a point; returns what it had been told is done.
fn kill_one(path: &Path, first: u64, after: Duration, point: Option<&str>) -> Vec<u64> {
    let mut child = start(path, first, point);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let ack = |line: String| line.strip_prefix("ack ").map(|n| n.parse::<u64>().unwrap());
    let mut acked: Vec<u64> = lines.by_ref().map_while(Result::ok).find_map(ack).into_iter().collect();
    if point.is_some() {
        assert!(was_killed(child.wait().unwrap()));
    } else {
        std::thread::sleep(after);
        child.kill().unwrap();
        child.wait().unwrap();
    }
    acked.extend(lines.map_while(Result::ok).filter_map(ack));
    acked
}

async fn numbers(project: &Project, id: &str) -> BTreeMap<i64, u32> {
    let log = Log { record: Some(record(id)), with_doc: true, ..Log::default() };
    let mut times = BTreeMap::new();
    for entry in project.log(&log).await.unwrap().iter().filter(|entry| entry.header.op.as_str() == "commit") {
        *times.entry(entry.doc.as_ref().and_then(|doc| doc.get("n")?.as_i64()).unwrap()).or_default() += 1;
    }
    times
}

/// After every kill history is sound, both records are as it says, and what was acknowledged is there once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_committers_leave_a_sqlite_file_whole() {
    let rounds: u64 = if std::env::var_os("CFG_TEST_NIGHTLY").is_some() { 3000 } else { 200 };
    let rounds = std::env::var("CFG_TEST_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(rounds);
    // A history that grows for ever makes every check slower than the last.
    const ROUNDS_PER_FILE: u64 = 50;
    let (mut kills, mut acknowledged) = (0, 0);
    while kills < rounds {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.db");
        let application = rusqlite::Connection::open(&path).unwrap();
        let table = "CREATE TABLE agents (id TEXT PRIMARY KEY, n INTEGER);
            INSERT INTO agents VALUES ('planner', 0), ('writer', 0)";
        application.execute_batch(table).unwrap();
        open(&path).await.adopt(&Adopt::All, &because("first versions"), None).await.unwrap();
        let mut acked: Vec<u64> = Vec::new();
        for round in 0..ROUNDS_PER_FILE.min(rounds - kills) {
            let after = Duration::from_micros((kills * 7919) % 9_000);
            let point = (kills % 2 == 1).then(|| POINTS[(kills / 2) as usize % POINTS.len()]);
            acked.extend(kill_one(&path, round * 100_000 + 1, after, point));
            kills += 1;
            let project = open(&path).await;
            assert_eq!(project.fsck(None).await.unwrap().findings, [], "kill {kills} at {point:?}");
            let status = project.status(None, true, &Staged::new(), None).await.unwrap();
            assert!(status.rows.iter().all(|row| row.state == State::Clean), "kill {kills} at {point:?}");
            assert_eq!(status.rows.len(), 2);
        }
        let project = open(&path).await;
        let times = numbers(&project, "planner").await;
        assert_eq!(times, numbers(&project, "writer").await, "both records or none");
        assert!(times.values().all(|times| *times == 1), "none is there twice");
        for n in &acked {
            assert!(times.contains_key(&i64::try_from(*n).unwrap()), "commit {n} was acknowledged");
        }
        acknowledged += acked.len();
    }
    println!("{kills} kills, {acknowledged} acknowledged commits");
    assert!(acknowledged as u64 >= kills);
}
