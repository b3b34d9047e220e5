//! Committers, adopters and an application that goes on writing, all at once on one server.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bson::{Document, doc};
use cfg_engine::document::oid;
use cfg_engine::engine::{Adopt, Staged, State};
use cfg_engine::{Error, ErrorKind};
use futures_util::StreamExt;
use mongodb::change_stream::event::OperationType;
use mongodb::options::FullDocumentBeforeChangeType;

use super::bed::{MongoBed, entries, set};
use super::bson_values::value;
use super::harness::client;
use crate::stores::because;

/// Retries what only says that somebody else was faster.
async fn until_done<F>(mut attempt: impl FnMut() -> F) -> u32
where
    F: Future<Output = Result<(), Error>>,
{
    for lost in 0..10_000 {
        match attempt().await {
            Ok(()) => return lost,
            Err(error)
                if error.kind() == ErrorKind::Conflict || error.code() == "contended" || error.code() == "busy" => {}
            Err(error) => panic!("a writer: {error} ({})", error.code()),
        }
    }
    panic!("a writer never came through");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_writers_of_one_record_lose_nothing() {
    let Some(bed) = MongoBed::open("id").await else { return };
    bed.put(doc! { "id": "planner", "n": 0_i32 }).await;
    bed.import().await;
    let bed = Arc::new(bed);
    const EACH: i64 = 12;
    let writers = (0..8).map(|_| {
        let bed = Arc::clone(&bed);
        tokio::spawn(async move {
            let (project, record) = (bed.colleague().await, bed.id("planner"));
            for _ in 0..EACH {
                // Counts up from what it reads, with that as its base: an update that gets lost shows.
                until_done(|| async {
                    let read = project.get(&record).await?;
                    let n = read.doc.get("n").and_then(|n| n.as_i64()).unwrap();
                    let mut doc = read.doc.clone();
                    doc.as_object_mut().unwrap().insert("n", n + 1);
                    let commit = cfg_engine::engine::Commit::new(record.clone(), doc).with_base(read.base.clone());
                    project.commit(&commit, &because("one more")).await.map(drop)
                })
                .await;
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let there = bed.live().find_one(doc! { "id": "planner" }).await.unwrap().unwrap();
    let commits = 8 * EACH;
    assert_eq!(there.get_i32("n").unwrap(), i32::try_from(commits).unwrap());
    let entries = bed.entries(&bed.id("planner")).await;
    assert_eq!(entries.len() as i64, 1 + commits);
    let seqs: BTreeSet<u64> = entries.iter().map(|entry| entry.header.seq.0).collect();
    assert_eq!(seqs.len(), entries.len());
    bed.assert_sound().await;
}

/// What the engine overwrote was always something that history has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn committers_against_raw_writers() {
    let Some(bed) = MongoBed::open("id").await else { return };
    for n in 0..4 {
        bed.put(doc! { "id": format!("r{n}"), "n": 0_i32, "by": "nobody", "hits": 0_i32 }).await;
    }
    bed.import().await;
    let modify = doc! { "collMod": &bed.config.table, "changeStreamPreAndPostImages": { "enabled": true } };
    let pre_images = bed.space.application.run_command(modify).await.is_ok();
    let live = bed.live();
    let watch = live.watch().full_document_before_change(if pre_images {
        FullDocumentBeforeChangeType::Required
    } else {
        FullDocumentBeforeChangeType::Off
    });
    let mut watched = watch.await.unwrap();
    let bed = Arc::new(bed);
    let stop = Arc::new(AtomicBool::new(false));
    let (commits, raw) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut tasks = Vec::new();
    for writer in 0..3 {
        let (bed, stop, commits) = (Arc::clone(&bed), Arc::clone(&stop), Arc::clone(&commits));
        tasks.push(tokio::spawn(async move {
            let project = bed.colleague().await;
            let mut n = 0;
            while !stop.load(Ordering::Relaxed) {
                n += 1;
                let record = bed.id(format!("r{}", n % 4));
                match set(&project, &record, &[&format!("n:={}", n * 10 + writer), "by=engine"]).await {
                    Ok(_) => drop(commits.fetch_add(1, Ordering::Relaxed)),
                    // Somebody wrote around it: fold that in and go on.
                    Err(error) if error.kind() == ErrorKind::ChangedOutside => {
                        let _ = project.adopt(&Adopt::Records(vec![record]), &because("seen"), None).await;
                    }
                    Err(error) if error.kind() == ErrorKind::Conflict || error.code() == "contended" => {}
                    Err(error) => panic!("a committer: {error} ({})", error.code()),
                }
            }
        }));
    }
    for writer in 0..2_i32 {
        let (bed, stop, raw) = (Arc::clone(&bed), Arc::clone(&stop), Arc::clone(&raw));
        tasks.push(tokio::spawn(async move {
            let live = client(&bed.space.uri)
                .await
                .database(bed.space.application.name())
                .collection::<Document>(&bed.config.table);
            let mut n = 0;
            while !stop.load(Ordering::Relaxed) {
                n += 1;
                let change = doc! { "$set": { "n": -(n * 10 + writer), "by": "raw" }, "$inc": { "hits": 1_i32 } };
                live.update_one(doc! { "id": format!("r{}", n % 4) }, change).await.unwrap();
                raw.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(25)).await;
            }
        }));
    }
    let seconds = if std::env::var_os("CFG_TEST_NIGHTLY").is_some() { 60 } else { 10 };
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    stop.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.unwrap();
    }
    let (commits, raw) = (commits.load(Ordering::Relaxed), raw.load(Ordering::Relaxed));
    assert!(commits > 20 && raw > 20, "{commits} commits, {raw} raw writes");

    // Every content that history has.
    let mut known: BTreeSet<String> = BTreeSet::new();
    let mut written = 0;
    for n in 0..4 {
        for entry in bed.entries(&bed.id(format!("r{n}"))).await {
            written += u64::from(entry.header.op.as_str() == "commit");
            known.extend(entry.header.oid.map(|oid| oid.to_hex()));
        }
    }
    assert_eq!(written, commits);
    // The last thing in the stream is ours, so that we know when it was read through.
    bed.put(doc! { "id": "the end", "n": 1_i32 }).await;
    // The collection's own policy leaves `_id` out, as the adapter does.
    let policy = bed.config.policy.with_ignored_field("_id");
    let mut seen = 0;
    while let Some(event) = watched.next().await {
        let event = event.unwrap();
        if event.operation_type == OperationType::Insert {
            break;
        }
        let updated = event.update_description.map(|update| update.updated_fields).unwrap_or_default();
        if updated.get_str("by").is_ok_and(|by| by == "raw") || updated.contains_key("hits") {
            continue;
        }
        let Some(before) = event.full_document_before_change else { continue };
        seen += 1;
        let content = oid(&value(before), &policy).unwrap().to_hex();
        assert!(known.contains(&content), "the engine wrote over content that no entry has");
    }
    if pre_images {
        assert!(seen >= commits, "{seen} engine writes seen, {commits} commits");
    }
    bed.assert_sound().await;
}

/// An adopter that reads live before it looks at HEAD records old content as new.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn committers_against_adopters() {
    let Some(bed) = MongoBed::open("id").await else { return };
    bed.put(doc! { "id": "planner", "counter": 0_i64 }).await;
    bed.import().await;
    let bed = Arc::new(bed);
    let stop = Arc::new(AtomicBool::new(false));
    let mut tasks = Vec::new();
    for writer in 0..5 {
        let (bed, stop) = (Arc::clone(&bed), Arc::clone(&stop));
        tasks.push(tokio::spawn(async move {
            let (project, record) = (bed.colleague().await, bed.id("planner"));
            while !stop.load(Ordering::Relaxed) {
                match writer {
                    // Around the tool.
                    0 => {
                        let up = doc! { "$inc": { "counter": 1_i64 } };
                        bed.live().update_one(doc! { "id": "planner" }, up).await.unwrap();
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                    1 | 2 => drop(project.adopt(&Adopt::All, &because("seen"), None).await.unwrap()),
                    _ => {
                        let Ok(read) = project.get(&record).await else { continue };
                        let n = read.doc.get("counter").and_then(|n| n.as_i64()).unwrap();
                        let mut doc = read.doc.clone();
                        doc.as_object_mut().unwrap().insert("counter", n + 1);
                        let commit = cfg_engine::engine::Commit::new(record.clone(), doc).with_base(read.base.clone());
                        let _ = project.commit(&commit, &because("one more")).await;
                    }
                }
            }
        }));
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    stop.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.unwrap();
    }
    let (mut before, mut adopted) = (-1, 0);
    for entry in bed.entries(&bed.id("planner")).await {
        let counter = entry.doc.as_ref().and_then(|doc| doc.get("counter")?.as_i64()).unwrap();
        assert!(counter >= before, "{} @{} goes back from {before} to {counter}", entry.header.op, entry.header.seq);
        adopted += u32::from(entry.header.op.as_str() == "adopt");
        before = counter;
    }
    assert!(adopted > 3, "{adopted} adoptions");
    bed.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_that_never_stops_writing_ignored_fields() {
    let Some(bed) = MongoBed::open("id").await else { return };
    bed.put(doc! { "id": "planner", "n": 0_i32, "hits": 0_i64, "body": { "text": "x".repeat(1000) } }).await;
    bed.import().await;
    let bed = Arc::new(bed);
    let stop = Arc::new(AtomicBool::new(false));
    let application = tokio::spawn({
        let (bed, stop) = (Arc::clone(&bed), Arc::clone(&stop));
        async move {
            let live = client(&bed.space.uri)
                .await
                .database(bed.space.application.name())
                .collection::<Document>(&bed.config.table);
            let mut tick = tokio::time::interval(Duration::from_micros(1_000_000 / 300));
            let mut updates = 0_i64;
            while !stop.load(Ordering::Relaxed) {
                tick.tick().await;
                let change = doc! { "$inc": { "hits": 1_i64 }, "$currentDate": { "seen": true } };
                assert_eq!(live.update_one(doc! { "id": "planner" }, change).await.unwrap().modified_count, 1);
                updates += 1;
            }
            updates
        }
    });
    let writers = (0..4).map(|writer| {
        let bed = Arc::clone(&bed);
        tokio::spawn(async move {
            let (project, record) = (bed.colleague().await, bed.id("planner"));
            let mut took = Vec::new();
            for n in 0..25 {
                let started = Instant::now();
                until_done(|| async {
                    set(&project, &record, &[&format!("n:={}", n * 10 + writer + 1)]).await.map(drop)
                })
                .await;
                took.push(started.elapsed());
            }
            took
        })
    });
    let mut took = Vec::new();
    for writer in writers.collect::<Vec<_>>() {
        took.extend(writer.await.unwrap());
    }
    stop.store(true, Ordering::Relaxed);
    let updates = application.await.unwrap();
    took.sort();
    let p99 = took[took.len() * 99 / 100 - 1];
    assert_eq!(took.len(), 100);
    assert!(p99 <= Duration::from_secs(1), "p99 {p99:?}, slowest {:?}", took.last());
    let there = bed.live().find_one(doc! { "id": "planner" }).await.unwrap().unwrap();
    assert_eq!(there.get_i64("hits").unwrap(), updates, "not one of the application's updates is lost");
    assert_eq!(entries(&bed.project, &bed.id("planner")).await.len(), 101);
    bed.assert_sound().await;
}

#[tokio::test]
async fn a_second_active_document_is_reported_and_the_others_go_on() {
    let Some(bed) = MongoBed::open("id").await else { return };
    for n in 0..3 {
        bed.put(doc! { "id": format!("r{n}"), "n": 0_i32 }).await;
    }
    bed.import().await;
    bed.put(doc! { "id": "r1", "n": 5_i32 }).await;
    let status = bed.project.status(None, true, &Staged::new(), None).await.unwrap();
    let states: Vec<State> = status.rows.iter().map(|row| row.state).collect();
    assert_eq!(states, [State::Clean, State::Ambiguous, State::Clean]);
    assert_eq!(status.exit_code(), 6);
    let refused = bed.set(&bed.id("r1"), &["n:=2"]).await.unwrap_err();
    assert_eq!(refused.kind().exit_code(), 6);
    bed.set(&bed.id("r2"), &["n:=2"]).await.unwrap();
    assert_eq!(bed.project.init(false).await.unwrap().exit_code(), 6);
}
