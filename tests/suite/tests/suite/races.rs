//! Writers of every kind at once, on every store: committers, raw writers, adopters, retries.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use cfg_engine::config::Shape;
use cfg_engine::document::{Object, oid};
use cfg_engine::engine::{Adopt, Commit, Options, Project, State};
use cfg_engine::history::{Entry, Op, OpId, Seq};
use cfg_engine::{Error, ErrorKind, Value};

use crate::stores::{Bed, because};

const TASKS: u64 = 8;

fn commits() -> u64 {
    if std::env::var_os("CFG_TEST_NIGHTLY").is_some() { 400 } else { 50 }
}

fn number(value: Option<&Value>) -> u64 {
    u64::try_from(value.and_then(Value::as_i64).unwrap_or(0)).unwrap()
}

/// Checks seqs without gaps and the order of recorded time.
fn assert_one_chain(entries: &[Entry]) {
    for (n, entry) in entries.iter().enumerate() {
        assert_eq!(entry.header.seq, Seq(n as u64 + 1));
    }
    for pair in entries.windows(2) {
        assert!(pair[0].header.recorded_at < pair[1].header.recorded_at);
        assert_eq!(pair[1].header.prev_entry_id, Some(pair[0].entry_id));
    }
}

/// Reads, adds one to the task's own counter and to the common one, writes with the base; again on conflict.
async fn increment(project: &Project, bed: &Bed, task: u64) -> u64 {
    let mut conflicts = 0;
    loop {
        let read = project.get(&bed.id("planner")).await.unwrap();
        let mut doc = read.doc.clone();
        let body = doc.get("body").and_then(Value::as_object).cloned().unwrap_or_default();
        let own = number(body.get(&format!("t{task}"))) + 1;
        let object = doc.as_object_mut().unwrap();
        object.insert("body", body.with(&format!("t{task}"), own));
        let total = number(object.get("n")) + 1;
        object.insert("n", total);
        let commit = Commit::new(bed.id("planner"), doc).with_base(read.base);
        match project.commit(&commit, &because("one more")).await {
            Ok(_) => return conflicts,
            Err(error) if error.kind() == ErrorKind::Conflict => conflicts += 1,
            Err(error) => panic!("{}: {error}", bed.name()),
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_update_is_lost() {
    for bed in Bed::each().await {
        bed.put("planner", r#"{"n": 0, "body": {"t": 0}}"#).await;
        bed.import().await;
        let tasks = (0..TASKS).map(|task| {
            let (bed, project) = (bed.clone(), bed.colleague());
            tokio::spawn(async move {
                let mut conflicts = 0;
                for _ in 0..commits() {
                    conflicts += increment(&project, &bed, task).await;
                }
                conflicts
            })
        });
        let mut conflicts = 0;
        for task in tasks.collect::<Vec<_>>() {
            conflicts += task.await.unwrap();
        }
        let total = TASKS * commits();
        assert_eq!(bed.live("planner", "n").await, Value::from(total), "{}: an update was lost", bed.name());
        let body = bed.live("planner", "body").await;
        for task in 0..TASKS {
            assert_eq!(number(body.get(&format!("t{task}"))), commits(), "{}", bed.name());
        }
        let entries = bed.entries("planner").await;
        assert_eq!(entries.len() as u64, total + 1);
        assert_one_chain(&entries);
        // Each entry is exactly one more than the one before: what it was written over is what it had read.
        for (n, entry) in entries.iter().enumerate() {
            assert_eq!(number(entry.doc.as_ref().unwrap().get("n")), n as u64);
        }
        println!("{}: {total} commits, {conflicts} conflicts", bed.name());
        assert_eq!(bed.state("planner").await, State::Clean);
        bed.assert_sound().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn relative_changes_are_all_there() {
    for bed in Bed::each().await {
        bed.put("planner", r#"{"body": {"seen": []}}"#).await;
        bed.import().await;
        let tasks = (0..TASKS).map(|task| {
            let (bed, project) = (bed.clone(), bed.colleague());
            tokio::spawn(async move {
                for n in 0..10 {
                    let setting = bed.setting("planner", &[&format!("body.seen+={}", task * 100 + n)]);
                    // `set` looks again by itself; only under a storm of others it gives up.
                    while let Err(error) = project.commit(&setting, &because("append")).await {
                        assert!(matches!(error, Error::Contended { .. }), "{error}");
                    }
                }
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap();
        }
        let body = bed.live("planner", "body").await;
        let seen: BTreeSet<i64> =
            body.get("seen").unwrap().as_array().unwrap().iter().map(|v| v.as_i64().unwrap()).collect();
        assert_eq!(seen.len() as u64, TASKS * 10, "{}", bed.name());
        assert_one_chain(&bed.entries("planner").await);
        bed.assert_sound().await;
    }
}

/// The promise: whatever the engine wrote over is in history. Raw writers count up in a field of their own;
/// each value that they wrote and that an engine write replaced must be the content of an entry.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn committers_beside_raw_writers_write_over_nothing_unrecorded() {
    for bed in Bed::each().await {
        bed.put("planner", r#"{"n": 0, "name": "start", "rank": 0}"#).await;
        bed.import().await;
        let done = Arc::new(AtomicBool::new(false));
        let raw = {
            let (bed, done) = (bed.clone(), Arc::clone(&done));
            tokio::spawn(async move {
                let mut wrote = 0;
                while !done.load(Ordering::Relaxed) {
                    wrote += 1;
                    bed.space
                        .raw
                        .update(bed.space.agents(), &Value::from("planner"), &raw_fields(&bed, wrote).await)
                        .await;
                    tokio::time::sleep(std::time::Duration::from_millis(3)).await;
                }
                wrote
            })
        };
        let committed = Arc::new(AtomicU64::new(0));
        let tasks = (0..4_u64).map(|task| {
            let (bed, project, committed) = (bed.clone(), bed.colleague(), Arc::clone(&committed));
            tokio::spawn(async move {
                for n in 0..25 {
                    let setting = bed.setting("planner", &[&format!("name=t{task}-{n}")]);
                    let result = project.commit(&setting, &because("a name")).await;
                    match result {
                        Ok(_) => drop(committed.fetch_add(1, Ordering::Relaxed)),
                        Err(error) if error.kind() == ErrorKind::ChangedOutside => {
                            project.adopt(&Adopt::All, &because("folded in"), None).await.unwrap();
                        }
                        Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict, "{}: {error}", bed.name()),
                    }
                    tokio::task::yield_now().await;
                }
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap();
        }
        done.store(true, Ordering::Relaxed);
        let wrote = raw.await.unwrap();
        bed.adopt().await;
        let entries = bed.entries("planner").await;
        assert_one_chain(&entries);
        // What an engine write found, it found as HEAD: between two entries only an adoption changes
        // what raw writers own, and it never goes back.
        let ranks: Vec<u64> = entries.iter().map(|entry| number(entry.doc.as_ref().unwrap().get("rank"))).collect();
        for (n, pair) in entries.windows(2).enumerate() {
            let moved = ranks[n] != ranks[n + 1];
            assert!(ranks[n] <= ranks[n + 1], "{}: a raw write was undone: {ranks:?}", bed.name());
            assert!(
                !moved || pair[1].header.op == Op::Adopt,
                "{}: {} carried a raw write",
                bed.name(),
                pair[1].header.op
            );
        }
        assert_eq!(
            number(Some(&bed.live("planner", "rank").await)),
            wrote,
            "{}: the last raw write is live",
            bed.name()
        );
        assert_eq!(*ranks.last().unwrap(), wrote);
        println!("{}: {wrote} raw writes, {} commits", bed.name(), committed.load(Ordering::Relaxed));
        assert_eq!(bed.state("planner").await, State::Clean);
        bed.assert_sound().await;
    }
}

/// One field of the row, as an application sets it: a column, or the whole document as it is now.
async fn raw_fields(bed: &Bed, rank: u64) -> Object {
    match bed.harness.shape() {
        Shape::Row => Object::new().with("rank", rank),
        Shape::Doc => {
            // An application without transactions of its own would lose updates here; it is not what is
            // tested, so the document's column is only written where nobody else has.
            let mut doc = bed.space.raw_doc(&bed.id("planner")).await;
            doc.as_object_mut().unwrap().insert("rank", rank);
            Object::new().with(&bed.space.agents().doc_column, doc)
        }
    }
}

/// Adopters count what they record; together with committers' entries that is the whole history.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn committers_beside_adopters_account_for_every_entry() {
    for bed in Bed::each().await {
        for n in 0..4 {
            bed.put(&format!("r{n}"), r#"{"n": 0}"#).await;
        }
        bed.import().await;
        let (made, adopted) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let mut tasks = Vec::new();
        for task in 0..4_u64 {
            let (bed, project, made) = (bed.clone(), bed.colleague(), Arc::clone(&made));
            tasks.push(tokio::spawn(async move {
                for n in 0..25_u64 {
                    let setting = bed.setting(&format!("r{}", n % 4), &[&format!("n={}", task * 1000 + n + 1)]);
                    match project.commit(&setting, &because("a number")).await {
                        Ok(report) => drop(made.fetch_add(report.written().count() as u64, Ordering::Relaxed)),
                        // Nobody writes around the tool here: drift would be the engine's own.
                        Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict, "{}: {error}", bed.name()),
                    }
                }
            }));
        }
        for _ in 0..2 {
            let (project, adopted) = (bed.colleague(), Arc::clone(&adopted));
            tasks.push(tokio::spawn(async move {
                for _ in 0..15 {
                    let report = project.adopt(&Adopt::All, &because("nothing to do"), None).await.unwrap();
                    adopted.fetch_add(report.written().count() as u64, Ordering::Relaxed);
                    tokio::task::yield_now().await;
                }
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(adopted.load(Ordering::Relaxed), 0, "{}: an adopter saw drift where there was none", bed.name());
        let mut entries = 0;
        for n in 0..4 {
            let of_record = bed.entries(&format!("r{n}")).await;
            assert_one_chain(&of_record);
            assert!(of_record.iter().all(|entry| entry.header.op != Op::Adopt));
            entries += of_record.len() as u64;
        }
        assert_eq!(entries, made.load(Ordering::Relaxed) + 4, "{}", bed.name());
        bed.assert_sound().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_key_that_is_retried_beside_itself_commits_once() {
    for bed in Bed::each().await {
        bed.put("planner", r#"{"n": 0, "body": {"tags": []}}"#).await;
        bed.import().await;
        for round in 0..10_u64 {
            let key = OpId::new(&format!("job-{round}")).unwrap();
            let tasks = (0..TASKS).map(|_| {
                let (bed, project, key) = (bed.clone(), bed.colleague(), key.clone());
                tokio::spawn(async move {
                    let options = Options { idempotency_key: Some(key), ..because("once") };
                    let setting = bed.setting("planner", &["body.tags+=x"]);
                    project.commit(&setting, &options).await
                })
            });
            let mut by_entry: BTreeMap<Seq, usize> = BTreeMap::new();
            let mut fresh = 0;
            for task in tasks.collect::<Vec<_>>() {
                let report = task.await.unwrap().unwrap_or_else(|error| panic!("{}: {error}", bed.name()));
                let written = report.written().next().unwrap();
                *by_entry.entry(written.entry.header.seq).or_default() += 1;
                assert_eq!(number(written.doc.as_ref().unwrap().get("n")), 0);
                fresh += usize::from(!report.replayed);
            }
            // Two of them may have made the very same entry in the same millisecond; one of them wrote it.
            assert!(by_entry.len() == 1 && fresh > 0, "{}: {by_entry:?}", bed.name());
        }
        let tags = bed.live("planner", "body").await;
        assert_eq!(tags.get("tags").unwrap().as_array().unwrap().len(), 10, "{}", bed.name());
        assert_eq!(bed.entries("planner").await.len(), 11);
        bed.assert_sound().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn lost_acknowledgements_under_load_lose_and_repeat_nothing() {
    for shape in [Shape::Row, Shape::Doc] {
        let memory = crate::damage::memory(shape).await;
        let bed = &memory.bed;
        bed.put("planner", r#"{"n": 0, "body": {"seen": []}}"#).await;
        bed.import().await;
        let adapter = Arc::clone(&memory.adapter);
        let tasks = (0..TASKS).map(|task| {
            let (bed, project, adapter) = (bed.clone(), bed.colleague(), Arc::clone(&adapter));
            tokio::spawn(async move {
                for n in 0..20 {
                    adapter.lose_next_acknowledgement();
                    let setting = bed.setting("planner", &[&format!("body.seen+={}", task * 100 + n)]);
                    while let Err(error) = project.commit(&setting, &because("append")).await {
                        assert!(matches!(error, Error::Contended { .. }), "{error}");
                    }
                    tokio::task::yield_now().await;
                }
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap();
        }
        let body = bed.live("planner", "body").await;
        let seen: Vec<i64> =
            body.get("seen").unwrap().as_array().unwrap().iter().map(|v| v.as_i64().unwrap()).collect();
        assert_eq!(seen.len() as u64, TASKS * 20, "one commit each, neither lost nor twice");
        assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), seen.len());
        assert_one_chain(&bed.entries("planner").await);
        bed.assert_sound().await;
    }
}

/// Several records in one commit: all of it, or none, whatever else goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn commits_of_several_records_are_never_torn() {
    for bed in Bed::each().await {
        bed.put("a", r#"{"n": 0}"#).await;
        bed.put("b", r#"{"n": 0}"#).await;
        bed.import().await;
        let done = Arc::new(AtomicBool::new(false));
        let reader = {
            let (bed, project, done) = (bed.clone(), bed.colleague(), Arc::clone(&done));
            tokio::spawn(async move {
                let mut looks = 0;
                while !done.load(Ordering::Relaxed) {
                    let both = project.get_many(&[bed.id("a"), bed.id("b")]).await.unwrap();
                    let of = |n: usize| both[n].1.as_ref().unwrap();
                    assert_eq!(of(0).doc.get("n"), of(1).doc.get("n"), "{}: torn", bed.name());
                    looks += 1;
                    tokio::task::yield_now().await;
                }
                looks
            })
        };
        let tasks = (0..4_u64).map(|task| {
            let (bed, project) = (bed.clone(), bed.colleague());
            tokio::spawn(async move {
                for n in 0..20_u64 {
                    let word = format!("n={}", task * 100 + n + 1);
                    let mut commit = bed.setting("a", &[&word]);
                    commit.items.extend(bed.setting("b", &[&word]).items);
                    if let Err(error) = project.commit(&commit, &because("both")).await {
                        assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
                    }
                }
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap();
        }
        done.store(true, Ordering::Relaxed);
        assert!(reader.await.unwrap() > 0);
        let (a, b) = (bed.entries("a").await, bed.entries("b").await);
        assert_eq!(a.len(), b.len(), "{}", bed.name());
        for (a, b) in a.iter().zip(&b).skip(1) {
            assert_eq!((a.header.op_id.clone(), a.header.recorded_at), (b.header.op_id.clone(), b.header.recorded_at));
        }
        assert_eq!(
            oid(a.last().unwrap().doc.as_ref().unwrap(), &bed.space.agents().policy).ok(),
            a.last().unwrap().header.oid
        );
        bed.assert_sound().await;
    }
}
