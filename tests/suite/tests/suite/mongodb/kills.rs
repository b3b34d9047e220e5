//! `kill -9` of the program in the middle of its commits, and of the server that is primary.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bson::{Document, doc};
use cfg_engine::config::CollectionConfig;
use cfg_engine::engine::Project;
use cfg_engine::history::CollectionName;

use super::bed::{MongoBed, entries, set};
use super::harness::{client, fresh_name, open};
use super::own_servers::ReplicaSet;
use crate::stores::{because, settings};

/// What the child is told.
const CHILD: &str = "CFG_TEST_COMMITTER";

fn agents() -> CollectionConfig {
    CollectionConfig::new(CollectionName::new("agents").unwrap(), "id")
}

/// The program that is killed: commits without end, and prints what it was told is done.
#[test]
#[ignore = "started by the tests that kill it"]
fn committer() {
    let Ok(told) = std::env::var(CHILD) else { return };
    crate::kills::arm();
    let [uri, db, first] = told.split(' ').collect::<Vec<_>>()[..] else { panic!("{told}") };
    let first: u64 = first.parse().unwrap();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let project = Project::new(Arc::new(open(uri, db, vec![agents()]).await), settings());
        let bed_id = cfg_engine::history::RecordKey {
            env: settings().env,
            collection: agents().name,
            id: cfg_engine::history::IdKey::from_value(&"planner".into()).unwrap(),
        };
        for n in first.. {
            match set(&project, &bed_id, &[&format!("n:={n}")]).await {
                Ok(_) => {
                    let mut out = std::io::stdout().lock();
                    writeln!(out, "\nack {n}").unwrap();
                    out.flush().unwrap();
                }
                // What was killed before this one may have left live changed, where there are no transactions.
                Err(error) if error.kind() == cfg_engine::ErrorKind::ChangedOutside => {
                    let all = cfg_engine::engine::Adopt::All;
                    project.adopt(&all, &because("after a crash"), None).await.unwrap();
                }
                Err(error) => panic!("{error}"),
            }
        }
    });
}

fn start_committer(uri: &str, db: &str, first: u64, point: Option<&str>) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["mongodb::kills::committer", "--exact", "--ignored", "--nocapture"]);
    command.env(CHILD, format!("{uri} {db} {first}")).stdout(Stdio::piped()).stderr(Stdio::null());
    crate::kills::at(&mut command, point);
    command.spawn().unwrap()
}

/// Kills a committer some time after its first commit, or at a point; returns what it had been told is done.
fn kill_one(uri: &str, db: &str, first: u64, after: Duration, point: Option<&str>) -> Vec<u64> {
    let mut child = start_committer(uri, db, first, point);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let ack = |line: String| line.strip_prefix("ack ").map(|n| n.parse::<u64>().unwrap());
    let mut acked: Vec<u64> = Vec::new();
    for line in lines.by_ref() {
        acked.extend(ack(line.unwrap()));
        if !acked.is_empty() {
            break;
        }
    }
    if point.is_some() {
        // It kills itself.
        assert!(crate::kills::was_killed(child.wait().unwrap()));
    } else {
        std::thread::sleep(after);
        child.kill().unwrap();
        child.wait().unwrap();
    }
    acked.extend(lines.map_while(Result::ok).filter_map(ack));
    acked
}

/// Every second round ends at a point, one after the other; the others at any moment.
#[expect(clippy::print_stdout, reason = "the figure that docs/robustness.md has")]
async fn kills(bed: MongoBed, rounds: u64, points: &'static [&'static str]) {
    bed.put(doc! { "id": "planner", "n": 0_i64, "hits": 0_i64 }).await;
    bed.import().await;
    let db = bed.space.application.name().to_owned();
    let mut acked = Vec::new();
    let mut slowest = Duration::ZERO;
    for round in 0..rounds {
        // Spread over the time that a few commits take.
        let after = Duration::from_micros((round * 7919) % 23_000);
        let (uri, name) = (bed.space.uri.clone(), db.clone());
        acked.extend(
            tokio::task::spawn_blocking(move || {
                let point = (round % 2 == 1).then(|| points[(round / 2) as usize % points.len()]);
                kill_one(&uri, &name, round * 100_000 + 1, after, point)
            })
            .await
            .unwrap(),
        );
        let reopened = Instant::now();
        let project = bed.colleague().await;
        bed.raw_set(doc! { "id": "planner" }, doc! { "seen": i64::try_from(round).unwrap() }).await;
        slowest = slowest.max(reopened.elapsed());
        assert!(reopened.elapsed() <= Duration::from_secs(2), "round {round}: {:?}", reopened.elapsed());
        if round % 5 == 0 || round + 1 == rounds {
            assert_eq!(project.fsck(None).await.unwrap().findings, [], "round {round}");
        }
    }
    let mut times: BTreeMap<i64, u32> = BTreeMap::new();
    for entry in bed.entries(&bed.id("planner")).await.iter().filter(|entry| entry.header.op.as_str() == "commit") {
        let n = entry.doc.as_ref().and_then(|doc| doc.get("n")?.as_i64()).unwrap();
        *times.entry(n).or_default() += 1;
    }
    assert!(acked.len() as u64 >= rounds);
    println!("{rounds} kills, {} acknowledged commits, slowest raw write {slowest:?}", acked.len());
    for n in &acked {
        assert_eq!(times.get(&i64::try_from(*n).unwrap()), Some(&1), "commit {n} was acknowledged");
    }
    assert!(times.values().all(|times| *times == 1), "none is there twice");
}

const POINTS: [&str; 5] =
    ["mongodb/begun", "mongodb/live-sent", "mongodb/history-sent", "mongodb/before-commit", "mongodb/committed"];

const POINTS_WITHOUT_TRANSACTIONS: [&str; 5] =
    ["mongodb/announced", "mongodb/live-written", "mongodb/marked", "mongodb/entries-written", "mongodb/head-written"];

fn rounds() -> u64 {
    if std::env::var_os("CFG_TEST_NIGHTLY").is_some() { 1000 } else { 30 }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_committer_leaves_nothing_half_done() {
    let Some(bed) = MongoBed::open("id").await else { return };
    kills(bed, rounds(), &POINTS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_committer_on_a_standalone_server_is_reconciled() {
    let Some(bed) = MongoBed::open_on(super::harness::STANDALONE, "id").await else { return };
    kills(bed, rounds() / 3, &POINTS_WITHOUT_TRANSACTIONS).await;
}

// --- fail-over -----------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_is_killed_loses_and_doubles_no_commit() {
    let Some(mongod) = ReplicaSet::program("fail-over") else { return };
    let mut set_of_three = ReplicaSet::start(&mongod, 3, &[]).await;
    let (uri, db) = (set_of_three.uri(), fresh_name());
    let live = client(&uri).await.database(&db).collection::<Document>("agents");
    for writer in 0..3 {
        live.insert_one(doc! { "id": format!("w{writer}"), "n": 0_i64 }).await.unwrap();
    }
    let project = Project::new(Arc::new(open(&uri, &db, vec![agents()]).await), settings());
    project.init(false).await.unwrap();
    project.import(&Default::default(), &because("baseline"), None).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let record = |writer: u64| cfg_engine::history::RecordKey {
        env: settings().env,
        collection: agents().name,
        id: cfg_engine::history::IdKey::from_value(&format!("w{writer}").into()).unwrap(),
    };
    let mut writers = Vec::new();
    for writer in 0..3_u64 {
        let (uri, db, stop, record) = (uri.clone(), db.clone(), Arc::clone(&stop), record(writer));
        writers.push(tokio::spawn(async move {
            let project = Project::new(Arc::new(open(&uri, &db, vec![agents()]).await), settings());
            let mut acked = Vec::new();
            for n in 1.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                // Each number is tried once: an error is no promise either way.
                if set(&project, &record, &[&format!("n:={n}")]).await.is_ok() {
                    acked.push(n);
                }
            }
            acked
        }));
    }
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let primary = set_of_three.primary().await;
        // One of three has to stay: the second time it is only asked to step down.
        if set_of_three.servers.len() == 3 {
            let (_, mut server) = set_of_three.servers.remove(primary);
            server.kill().unwrap();
            server.wait().unwrap();
        } else {
            let stepped = doc! { "replSetStepDown": 5, "force": true };
            let _ = set_of_three.direct(primary).await.database("admin").run_command(stepped).await;
        }
        set_of_three.primary().await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    stop.store(true, Ordering::Relaxed);
    for (n, writer) in writers.into_iter().enumerate() {
        let acked: Vec<i64> = writer.await.unwrap();
        let mut times: BTreeMap<i64, u32> = BTreeMap::new();
        for entry in entries(&project, &record(n as u64)).await.iter().skip(1) {
            *times.entry(entry.doc.as_ref().and_then(|doc| doc.get("n")?.as_i64()).unwrap()).or_default() += 1;
        }
        assert!(acked.len() > 20, "{} commits of writer {n}", acked.len());
        assert!(acked.iter().all(|n| times.get(n) == Some(&1)), "an acknowledged commit is lost or doubled");
        assert!(times.values().all(|times| *times == 1), "a commit is doubled");
    }
    assert_eq!(project.fsck(None).await.unwrap().findings, []);
}
