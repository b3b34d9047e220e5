//! What history costs on MongoDB: each verb against the commands that an application would send by hand,
//! on the same server in the same run. `CFG_TEST_MONGODB_URI` says where it is.

#![allow(clippy::unwrap_used)]

use cfg_engine_benches as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bson::raw::RawDocumentBuf;
use bson::{DateTime, Document, doc};
use cfg_engine::adapter::{AsOf, Scope, StorageAdapter};
use cfg_engine::config::{CollectionConfig, Settings};
use cfg_engine::document::parse_assignments;
use cfg_engine::engine::{Adopt, Commit, CommitItem, Import, Options, Project, Staged};
use cfg_engine::history::{Author, AuthorClass, CollectionName, EnvName, IdKey, RecordKey, Timestamp};
use cfg_engine::plan::Content;
use cfg_engine_mongodb::{MongoAdapter, MongoOptions};
use criterion::{Criterion, Throughput};
use futures_util::TryStreamExt;
use mongodb::options::{ReadConcern, WriteConcern};
use mongodb::{Client, Collection, Database};
use tokio::runtime::Runtime;

/// As many records as the largest group has.
const RECORDS: usize = 10_000;
/// How many versions each has where time travel is measured.
const VERSIONS: usize = 20;
/// How many write at once.
const WRITERS: u64 = 8;

struct Store {
    project: Project,
    adapter: Arc<MongoAdapter>,
    database: Database,
}

fn document(n: usize, size: usize) -> Document {
    let prompt = "You plan the work before you start it, and you keep the plan up to date. ";
    doc! {
        "_id": format!("agent-{n:05}"),
        "model": "large",
        "n": i64::try_from(n).unwrap(),
        "temperature": 0.7,
        "limits": { "per_minute": 120, "timeout_ms": 30_000 },
        "prompt": prompt.repeat(size / prompt.len()),
        "tools": [{ "name": "search", "enabled": true }, { "name": "fetch", "weight": 0.37 }],
    }
}

fn settings() -> Settings {
    let author = Author { id: "bench@example.com".to_owned(), class: AuthorClass::Pipeline };
    Settings::new(EnvName::new("dev").unwrap(), author)
}

fn because() -> Options {
    Options::message("a benchmark")
}

fn record(n: usize) -> RecordKey {
    RecordKey {
        env: EnvName::new("dev").unwrap(),
        collection: CollectionName::new("agents").unwrap(),
        id: IdKey::from_value(&format!("agent-{n:05}").into()).unwrap(),
    }
}

fn set(n: usize, to: u64) -> Commit {
    let words = format!("n:={to}");
    let content = Content::Assignments(parse_assignments(&[words.as_str()], false).unwrap());
    Commit::of(vec![CommitItem { record: record(n), content, base: None }])
}

impl Store {
    async fn new(uri: &str, records: usize, size: usize) -> Store {
        let name = format!("bench_{}", bson::oid::ObjectId::new().to_hex());
        let database = Client::with_uri_str(uri).await.unwrap().database(&name);
        let live = database.collection::<Document>("agents");
        let all: Vec<Document> = (0..records).map(|n| document(n, size)).collect();
        live.insert_many(all).write_concern(WriteConcern::majority()).await.unwrap();
        let config = CollectionConfig::new(CollectionName::new("agents").unwrap(), "_id");
        let options = MongoOptions { db: Some(name), ..MongoOptions::new(uri, vec![config]) };
        let adapter = Arc::new(MongoAdapter::open(options).await.unwrap());
        let project = Project::new(Arc::clone(&adapter) as Arc<dyn StorageAdapter>, settings());
        project.init(false).await.unwrap();
        Store { project, adapter, database }
    }

    async fn import(self) -> Store {
        self.project.import(&Import::default(), &because(), None).await.unwrap();
        self
    }

    fn live(&self) -> Collection<Document> {
        self.database.collection("agents")
    }
}

/// The same writes by hand: read, live, entry and the end of the one before, head, commit.
async fn by_hand(database: &Database, n: usize, to: u64) {
    let id = format!("agent-{n:05}");
    let live = database.collection::<Document>("agents");
    let doc = live.find_one(doc! { "_id": &id }).await.unwrap().unwrap();
    let mut session = database.client().start_session().await.unwrap();
    session
        .start_transaction()
        .read_concern(ReadConcern::snapshot())
        .write_concern(WriteConcern::builder().w(mongodb::options::Acknowledgment::Majority).journal(true).build())
        .await
        .unwrap();
    let set = doc! { "$set": { "n": i64::try_from(to).unwrap() } };
    live.update_one(doc! { "_id": &id, "n": doc.get("n") }, set).session(&mut session).await.unwrap();
    let key = doc! { "env": "hand", "collection": "agents", "id_key": &id };
    let mut entry_key = key.clone();
    entry_key.insert("seq", i64::try_from(to).unwrap());
    let mut before = key.clone();
    before.insert("seq", i64::try_from(to).unwrap() - 1);
    let now = DateTime::from_millis(1_700_000_000_000 + i64::try_from(to).unwrap());
    let open = DateTime::from_millis(253_402_300_799_999);
    let hash = bson::Binary { subtype: bson::spec::BinarySubtype::Generic, bytes: vec![7; 32] };
    let entry = doc! {
        "oid": &hash, "entry_id": &hash, "prev_entry_id": &hash, "op": "commit", "author": { "id": "a", "class": "human" },
        "message": "by hand", "message_hash": &hash, "recorded_at": now, "superseded_at": open, "valid_from": now,
        "valid_to": open, "op_id": "0123456789abcdef0123456789abcdef", "doc_state": "present", "doc": doc,
    };
    let command = doc! { "update": "config_history", "updates": [
        { "q": { "_id": entry_key }, "u": { "$setOnInsert": entry }, "upsert": true },
        { "q": { "_id": before }, "u": { "$set": { "valid_to": now, "superseded_at": now } } },
    ] };
    database.run_command(command).session(&mut session).await.unwrap();
    let heads = database.collection::<Document>("config_heads");
    let head = doc! { "$set": { "head": { "seq": i64::try_from(to).unwrap(), "entry_id": &hash }, "tip": { "recorded_at": now } } };
    heads.update_one(doc! { "_id": key }, head).upsert(true).session(&mut session).await.unwrap();
    session.commit_transaction().await.unwrap();
}

fn commits(c: &mut Criterion, runtime: &Runtime, uri: &str) {
    let store = runtime.block_on(async { Store::new(uri, 16, 2048).await.import().await });
    let next = AtomicU64::new(1000);
    let mut group = c.benchmark_group("mongodb commit");
    group.bench_function("bare", |b| {
        b.iter(|| runtime.block_on(by_hand(&store.database, 0, next.fetch_add(1, Ordering::Relaxed))));
    });
    group.bench_function("project", |b| {
        b.iter(|| {
            let commit = set(1, next.fetch_add(1, Ordering::Relaxed));
            runtime.block_on(store.project.commit(&commit, &because())).unwrap();
        });
    });
    group.finish();

    let mut group = c.benchmark_group("mongodb commit of 8 writers");
    group.throughput(Throughput::Elements(WRITERS));
    let writers = |iterations: u64, by_project: bool| {
        runtime.block_on(async {
            let started = Instant::now();
            let writers = (0..WRITERS).map(|writer| {
                let (project, database) = (store.project.clone(), store.database.clone());
                let first = next.fetch_add(iterations, Ordering::Relaxed);
                tokio::spawn(async move {
                    // What is written by hand is drift to the project: each has records of its own.
                    let n = usize::try_from(writer + if by_project { WRITERS } else { 0 }).unwrap();
                    for to in first..first + iterations {
                        if by_project {
                            project.commit(&set(n, to), &because()).await.unwrap();
                        } else {
                            by_hand(&database, n, to).await;
                        }
                    }
                })
            });
            for writer in writers.collect::<Vec<_>>() {
                writer.await.unwrap();
            }
            started.elapsed()
        })
    };
    group.bench_function("bare", |b| b.iter_custom(|iterations| writers(iterations, false)));
    group.bench_function("project", |b| b.iter_custom(|iterations| writers(iterations, true)));
    group.finish();
    runtime.block_on(async { store.database.drop().await.unwrap() });
}

fn many(c: &mut Criterion, runtime: &Runtime, uri: &str) {
    let mut group = c.benchmark_group("mongodb 1,000 records");
    group.sample_size(10).throughput(Throughput::Elements(1000));
    let timed = |iterations: u64, verb: usize| {
        let mut spent = Duration::ZERO;
        for _ in 0..iterations {
            spent += runtime.block_on(async {
                let mut store = Store::new(uri, 1000, 2048).await;
                if verb > 0 {
                    store = store.import().await;
                    let bump = vec![doc! { "$set": { "n": { "$add": ["$n", 5_000_000] } } }];
                    store.live().update_many(doc! {}, bump).write_concern(WriteConcern::majority()).await.unwrap();
                }
                if verb == 2 {
                    store.project.adopt(&Adopt::All, &because(), None).await.unwrap();
                }
                let started = Instant::now();
                match verb {
                    0 => drop(store.project.import(&Import::default(), &because(), None).await.unwrap()),
                    1 => drop(store.project.adopt(&Adopt::All, &because(), None).await.unwrap()),
                    _ => {
                        // All of them back to where they began, as one batch of edits.
                        let item = |n: usize| set(n, n as u64).items.remove(0);
                        let commit = Commit::of((0..1000).map(item).collect());
                        store.project.commit(&commit, &because()).await.unwrap();
                    }
                }
                let spent = started.elapsed();
                store.database.drop().await.unwrap();
                spent
            });
        }
        spent
    };
    for (verb, name) in ["import", "adopt", "commit"].into_iter().enumerate() {
        group.bench_function(name, |b| b.iter_custom(|iterations| timed(iterations, verb)));
    }
    group.finish();
}

fn status(c: &mut Criterion, runtime: &Runtime, uri: &str) {
    let store = runtime.block_on(async { Store::new(uri, RECORDS, 1024).await.import().await });
    let mut group = c.benchmark_group("mongodb status");
    group.sample_size(10);
    group.bench_function("bare", |b| {
        b.iter(|| {
            runtime.block_on(async {
                let raw = store.live().clone_with_type::<RawDocumentBuf>();
                let rows: Vec<RawDocumentBuf> = raw.find(doc! {}).await.unwrap().try_collect().await.unwrap();
                assert_eq!(rows.len(), RECORDS);
            });
        });
    });
    group.bench_function("project", |b| {
        b.iter(|| {
            let status = runtime.block_on(store.project.status(None, false, &Staged::new(), None)).unwrap();
            assert_eq!(status.rows.len(), RECORDS);
        });
    });
    group.finish();
    runtime.block_on(async { store.database.drop().await.unwrap() });
}

/// Entries an hour apart, written as the adapter writes them.
async fn history(store: &Store) -> (Timestamp, Timestamp) {
    let first = 1_600_000_000_000_i64;
    let hash = bson::Binary { subtype: bson::spec::BinarySubtype::Generic, bytes: vec![7; 32] };
    let hour = |n: usize| DateTime::from_millis(first + i64::try_from(n).unwrap() * 3_600_000);
    let open = DateTime::from_millis(253_402_300_799_999);
    let entries = store.database.collection::<Document>("config_history");
    for n in (0..RECORDS).collect::<Vec<_>>().chunks(250) {
        let all = n.iter().flat_map(|n| (0..VERSIONS).map(move |version| (*n, version)));
        let entry = |(n, version): (usize, usize)| {
            let id = doc! {
                "env": "dev", "collection": "agents", "id_key": format!("\"agent-{n:05}\""), "seq": version as i64 + 1,
            };
            let end = if version + 1 == VERSIONS { open } else { hour(version + 1) };
            doc! {
                "_id": id, "oid": &hash, "entry_id": &hash, "prev_entry_id": &hash, "op": "commit",
                "author": { "id": "a", "class": "human" }, "message": "m", "message_hash": &hash,
                "recorded_at": hour(version), "superseded_at": end, "valid_from": hour(version), "valid_to": end,
                "op_id": "0123456789abcdef", "doc_state": "present", "doc": document(n, 300),
            }
        };
        entries.insert_many(all.map(entry)).await.unwrap();
    }
    (Timestamp::from_millis(first), Timestamp::from_millis(hour(VERSIONS).timestamp_millis()))
}

fn as_of(c: &mut Criterion, runtime: &Runtime, uri: &str) {
    let (store, (first, last)) = runtime.block_on(async {
        let store = Store::new(uri, 1, 300).await;
        let instants = history(&store).await;
        (store, instants)
    });
    let env = EnvName::new("dev").unwrap();
    let middle = Timestamp::from_millis(first.as_millis() / 2 + last.as_millis() / 2);
    let mut group = c.benchmark_group("mongodb as-of");
    group.sample_size(10);
    for (name, at) in [("old", first.plus_millis(1_800_000)), ("mid", middle), ("now", last)] {
        let instant = DateTime::from_millis(at.as_millis());
        let filter = doc! { "_id.env": "dev", "valid_to": { "$gt": instant }, "valid_from": { "$lte": instant } };
        let index = if name == "old" { "cfg_valid_from" } else { "cfg_valid_to" };
        let entries = store.database.collection::<RawDocumentBuf>("config_history");
        for (what, fields) in [
            ("addresses", doc! { "oid": 1, "entry_id": 1, "recorded_at": 1, "valid_from": 1, "op": 1 }),
            ("documents", Document::new()),
        ] {
            group.bench_function(format!("bare {name} {what}"), |b| {
                b.iter(|| {
                    runtime.block_on(async {
                        let hint = mongodb::options::Hint::Name(index.to_owned());
                        let find = entries.find(filter.clone()).projection(fields.clone()).hint(hint);
                        let rows: Vec<RawDocumentBuf> =
                            find.batch_size(5000).await.unwrap().try_collect().await.unwrap();
                        assert_eq!(rows.len(), RECORDS);
                    });
                });
            });
        }
        group.bench_function(format!("cfg {name} addresses"), |b| {
            b.iter(|| {
                let rows = runtime.block_on(async {
                    store.adapter.as_of_addresses(&env, &Scope::All(None), AsOf::Valid(at)).try_concat().await.unwrap()
                });
                assert_eq!(rows.len(), RECORDS);
            });
        });
        group.bench_function(format!("cfg {name} documents"), |b| {
            b.iter(|| {
                let detail = cfg_engine::adapter::Detail::Document;
                let rows = runtime.block_on(async {
                    store.adapter.as_of(&env, &Scope::All(None), AsOf::Valid(at), detail).try_concat().await.unwrap()
                });
                assert_eq!(rows.len(), RECORDS);
            });
        });
    }
    group.finish();
    runtime.block_on(async { store.database.drop().await.unwrap() });
}

#[expect(clippy::print_stderr, reason = "a skip that nobody sees is a pass")]
fn main() {
    let Ok(uri) = std::env::var("CFG_TEST_MONGODB_URI") else {
        eprintln!("SKIPPED LOUDLY: no server; type: eval \"$(tests/servers/mongodb up)\"");
        return;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut c = Criterion::default().configure_from_args();
    commits(&mut c, &runtime, &uri);
    many(&mut c, &runtime, &uri);
    status(&mut c, &runtime, &uri);
    as_of(&mut c, &runtime, &uri);
    c.final_summary();
}
