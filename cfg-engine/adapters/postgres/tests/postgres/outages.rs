//! Connections that break, servers that run full, processes that are killed: at any moment.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use cfg_engine::config::Shape;
use cfg_engine::engine::{Log, Project};
use cfg_engine_postgres::{PostgresAdapter, PostgresOptions};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::place::{Bench, Place, because, settings};

const TABLE: &str = "CREATE TABLE t (id text PRIMARY KEY, doc jsonb NOT NULL); \
                     INSERT INTO t SELECT 'r' || g, '{\"n\": 0}' FROM generate_series(0, 4) g";

async fn versions(bench: &Bench, address: &str) -> usize {
    let log = Log { record: Some(bench.record(address).await), ..Log::default() };
    bench.project.log(&log).await.unwrap().len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_is_ended_in_the_middle_leaves_nothing_half_done() {
    let Some(place) = Place::with(TABLE).await else { return };
    let mut options = place.options(vec![place.table("t", Shape::Doc)]);
    options.uri = format!("{}?application_name={}", options.uri, place.schema);
    let bench = Arc::new(place.open_with(options).await);
    bench.import().await;
    // The application holds the row: the batch waits in the middle of its statement, heads locked.
    place.sql("BEGIN; SELECT * FROM t WHERE id = 'r1' FOR UPDATE").await;
    let committing = {
        let bench = Arc::clone(&bench);
        tokio::spawn(async move { bench.set("r1", &["n=1"]).await })
    };
    let waiting = format!(
        "SELECT count(pg_terminate_backend(pid))::text FROM pg_stat_activity WHERE application_name = '{}' AND wait_event_type = 'Lock'",
        place.schema
    );
    let mut ended = 0;
    while ended == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        ended = place.one(&waiting).await.unwrap().parse().unwrap();
    }
    place.sql("ROLLBACK").await;
    // What is not known is looked up; it did not happen, so it is done again, once.
    committing.await.unwrap().unwrap();
    assert_eq!(versions(&bench, "r1").await, 2);
    bench.assert_clean().await;
}

/// A way to the server on which answers can be withheld.
struct Line {
    cut: Arc<AtomicBool>,
    /// How many answers are let through before.
    pass: Arc<AtomicU64>,
}

impl Line {
    /// Forwards connections. Once cut, what the server answers next is dropped, and the connection with it.
    async fn to(uri: &str) -> (Line, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (credentials, rest) = uri.rsplit_once('@').unwrap();
        let (server, database) = rest.split_once('/').unwrap();
        let (server, cut) = (server.to_owned(), Arc::new(AtomicBool::new(false)));
        let pass = Arc::new(AtomicU64::new(0));
        let (cutting, passing) = (Arc::clone(&cut), Arc::clone(&pass));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&server).await.unwrap();
                let (cutting, passing) = (Arc::clone(&cutting), Arc::clone(&passing));
                tokio::spawn(async move {
                    let (mut from_client, mut to_client) = client.into_split();
                    let (mut from_server, mut to_server) = server.into_split();
                    let up = tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
                    let mut buffer = vec![0; 64 * 1024];
                    while let Ok(read @ 1..) = from_server.read(&mut buffer).await {
                        let less = |left: u64| left.checked_sub(1);
                        let passes = passing.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok();
                        if (!passes && cutting.swap(false, Ordering::SeqCst))
                            || to_client.write_all(&buffer[..read]).await.is_err()
                        {
                            break;
                        }
                    }
                    up.abort();
                });
            }
        });
        (Line { cut, pass }, format!("{credentials}@127.0.0.1:{port}/{database}"))
    }
}

/// The statement is one message, so the server has committed when it answers: what is lost is the answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_is_looked_up_and_nothing_is_written_twice() {
    let Some(place) = Place::with(TABLE).await else { return };
    let (line, uri) = Line::to(&place.uri).await;
    let options = PostgresOptions { uri, ..place.options(vec![place.table("t", Shape::Doc)]) };
    let bench = place.open_with(options).await;
    bench.import().await;
    for n in 1..=5 {
        let record = bench.record("r0").await;
        let mut doc = bench.project.get(&record).await.unwrap();
        doc.doc.as_object_mut().unwrap().insert("n", n);
        let commit = cfg_engine::engine::Commit::new(record.clone(), doc.doc).with_base(doc.base);
        // The answer to the read is let through, the answer to the write is not.
        line.pass.store(1, Ordering::SeqCst);
        line.cut.store(n % 2 == 0, Ordering::SeqCst);
        let report = bench.project.commit(&commit, &because("counted")).await.unwrap();
        line.cut.store(false, Ordering::SeqCst);
        assert_eq!(report.written().count(), 1);
    }
    assert_eq!(versions(&bench, "r0").await, 6);
    assert_eq!(bench.field("r0", "n").await, "5");
    bench.assert_clean().await;
}

/// The server says "no space left" at each of its tables in turn.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_leaves_nothing_half_written() {
    let Some(place) = Place::with(TABLE).await else { return };
    let bench = place.open(place.table("t", Shape::Doc)).await;
    bench.import().await;
    place
        .sql(
            "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$",
        )
        .await;
    let history = format!("{}_history", place.schema);
    for table in [format!("{history}.history"), format!("{history}.heads"), "t".to_owned()] {
        place
            .sql(&format!(
                "CREATE TRIGGER full_disk AFTER INSERT OR UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION full_disk()"
            ))
            .await;
        let refused = bench.set("r2", &["n=9"]).await.unwrap_err();
        assert!(refused.to_string().contains("disk is full"), "{table}: {refused}");
        assert_eq!(refused.kind(), cfg_engine::ErrorKind::Storage);
        place.sql(&format!("DROP TRIGGER full_disk ON {table}")).await;
        assert_eq!(place.one("SELECT doc->>'n' FROM t WHERE id = 'r2'").await.as_deref(), Some("0"));
        bench.assert_clean().await;
    }
    bench.set("r2", &["n=9"]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_that_is_limited_says_that_the_row_is_locked() {
    let Some(place) = Place::with(TABLE).await else { return };
    let mut options = place.options(vec![place.table("t", Shape::Doc)]);
    options.uri = format!("{}?options=-c%20lock_timeout%3D100ms", options.uri);
    let bench = place.open_with(options).await;
    bench.import().await;
    place.sql("BEGIN; SELECT * FROM t WHERE id = 'r1' FOR UPDATE").await;
    let refused = bench.set("r1", &["n=1"]).await.unwrap_err();
    assert!(refused.to_string().contains("locked"), "{refused}");
    place.sql("ROLLBACK").await;
    bench.set("r1", &["n=1"]).await.unwrap();
    bench.assert_clean().await;
}

// --- kills

const CHILD: &str = "CFG_TEST_KILLED_CHILD";

/// Not a test: what the killed processes run. Commits to one record after the other, and says so after each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by the test below, and killed"]
async fn child() {
    let Ok(word) = std::env::var(CHILD) else { return };
    let [uri, schema, task] = word.split('\n').collect::<Vec<_>>()[..] else { panic!("three words") };
    let place_table = |name: &str| format!("{schema}.{name}");
    let mut config =
        cfg_engine::config::CollectionConfig::new(cfg_engine::history::CollectionName::new("t").unwrap(), "id");
    config.table = place_table("t");
    config.shape = Shape::Doc;
    let options = PostgresOptions { schema: format!("{schema}_history"), ..PostgresOptions::new(uri, vec![config]) };
    let adapter = Arc::new(PostgresAdapter::open(options).await.unwrap());
    let project = Project::new(adapter.clone(), settings());
    let bench = Bench { adapter, project };
    let mut n: u64 = 0;
    loop {
        n += 1;
        let record = format!("r{}", n % 5);
        // Each process counts in a field of its own.
        let own = bench.doc(&record).await.get(task).and_then(cfg_engine::Value::as_i64).unwrap_or(0) + 1;
        match bench.set(&record, &[&format!("{task}={own}")]).await {
            Ok(()) => {
                let mut out = std::io::stdout().lock();
                writeln!(out, "ack {record} {own}").unwrap();
                out.flush().unwrap();
            }
            Err(error) => assert!(
                error.kind() == cfg_engine::ErrorKind::Conflict || matches!(error, cfg_engine::Error::Contended { .. }),
                "{error}"
            ),
        }
    }
}

/// Kills committers at any moment. Afterwards history is sound, every record is clean, and every commit that
/// was acknowledged is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_committers_leave_a_sound_history_with_every_acknowledged_commit() {
    let Some(place) = Place::with(TABLE).await else { return };
    let bench = place.open(place.table("t", Shape::Doc)).await;
    bench.import().await;
    let rounds: u64 = if std::env::var_os("CFG_TEST_NIGHTLY").is_some() { 500 } else { 25 };
    let mut acknowledged = 0;
    for round in 0..rounds {
        let children = (0..4).map(|task| {
            let word = format!("{}\n{}\nk{round}_{task}", place.uri, place.schema);
            let mut child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "outages::child", "--ignored", "--nocapture"])
                .env(CHILD, word)
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let lines = BufReader::new(child.stdout.take().unwrap()).lines();
            (child, lines)
        });
        let mut children: Vec<_> = children.collect();
        // Once the first is at work, all are killed within some milliseconds of each other.
        let first = children[0].1.by_ref().find_map(|line| line.ok().filter(|line| line.contains("ack ")));
        std::thread::sleep(Duration::from_micros(round * 7919 % 23_000));
        let mut acks: Vec<(usize, String)> = first.into_iter().map(|line| (0, line)).collect();
        for (child, _) in &mut children {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        for (task, (_, lines)) in children.into_iter().enumerate() {
            acks.extend(lines.map_while(Result::ok).filter(|line| line.contains("ack ")).map(|line| (task, line)));
        }
        for (task, line) in acks {
            // A line that the kill cut off was not acknowledged.
            let words: Vec<&str> = line[line.find("ack ").unwrap()..].split(' ').collect();
            let [_, record, own] = words[..] else { continue };
            let there = bench.doc(record).await.get(&format!("k{round}_{task}")).and_then(cfg_engine::Value::as_i64);
            assert!(there >= own.parse().ok(), "{record} of round {round}: {own} was acknowledged, {there:?} is there");
            acknowledged += 1;
        }
        if round % 5 == 4 {
            bench.assert_clean().await;
        }
    }
    println!("{} kills, {acknowledged} acknowledged commits", rounds * 4);
    assert!(acknowledged > rounds, "{acknowledged} acknowledged commits");
    // No killed process has left a lock behind.
    for n in 0..5 {
        tokio::time::timeout(Duration::from_secs(5), bench.set(&format!("r{n}"), &["n=1"])).await.unwrap().unwrap();
    }
    bench.assert_clean().await;
}
