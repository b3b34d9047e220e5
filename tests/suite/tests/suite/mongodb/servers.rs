//! Servers that are down, that have no transactions, or that are two.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bson::{Document, doc};
use cfg_engine::adapter::StorageAdapter;
use cfg_engine::config::Settings;
use cfg_engine::engine::{Adopt, Commit, CommitItem, Project, State};
use cfg_engine::plan::Content;
use cfg_engine_mongodb::{MongoAdapter, MongoOptions};

use super::bed::MongoBed;
use super::harness::{OTHER, STANDALONE, fresh_name};
use crate::stores::{because, settings};

fn gated() -> Settings {
    Settings { gated: true, ..settings() }
}

#[tokio::test]
async fn a_server_that_is_down_is_named_within_five_seconds() {
    // One port that nobody listens on, and one where nobody answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_port = silent.local_addr().unwrap().port();
    for port in [1, silent_port] {
        let uri = format!("mongodb://ana:hunter2@127.0.0.1:{port}/app?replicaSet=rs0&authSource=admin");
        let options = MongoOptions { label: Some("staging".to_owned()), ..MongoOptions::new(uri, Vec::new()) };
        let started = Instant::now();
        let Err(error) = MongoAdapter::open(options).await else { panic!("nobody is there") };
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
        let said = error.to_string();
        assert!(said.contains(&format!("127.0.0.1:{port}")) && said.contains("staging"), "{said}");
        for hidden in ["ana", "hunter2", "mongodb://", "Topology", "rs0"] {
            assert!(!said.contains(hidden) && !format!("{error:?}").contains(hidden), "{said}");
        }
    }
}

#[tokio::test]
async fn a_uri_that_is_none_is_not_repeated() {
    for uri in ["mongodb://ana:hunter2@", "hunter2", "mongodb://ana:hun:ter2@host/db", "mongodb+srv://hunter2"] {
        let options = MongoOptions { label: Some("dev".to_owned()), ..MongoOptions::new(uri, Vec::new()) };
        let Err(error) = MongoAdapter::open(options).await else { panic!("{uri} is no uri") };
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    }
}

#[tokio::test]
async fn a_standalone_server_is_used_one_record_at_a_time_and_never_gated() {
    let Some(bed) = MongoBed::open_on(STANDALONE, "id").await else { return };
    let capabilities = bed.space.adapter.capabilities();
    assert!(!capabilities.transactions && capabilities.max_batch_records == 1);
    assert!(capabilities.caveat.as_ref().is_some_and(|caveat| caveat.remedy.contains("--replSet")));
    for n in 0..3 {
        bed.put(doc! { "id": format!("r{n}"), "n": 0_i32 }).await;
    }
    // The converging verbs go on one by one.
    assert_eq!(bed.import().await.written().count(), 3);
    let record = bed.id("r0");
    bed.set(&record, &["n:=1"]).await.unwrap();
    bed.restore(&record, "@1").await.unwrap();
    bed.raw_set(doc! { "id": "r1" }, doc! { "n": 7 }).await;
    assert_eq!(bed.state(&bed.id("r1")).await, State::Dirty);
    let refused = bed.set(&bed.id("r1"), &["n:=8"]).await.unwrap_err();
    assert_eq!(refused.kind().exit_code(), 2);
    bed.live().delete_one(doc! { "id": "r2" }).await.unwrap();
    assert_eq!(bed.adopt().await.written().count(), 2);
    bed.restore(&bed.id("r2"), "@1").await.unwrap();
    // Several at once are refused with the limit.
    let item = |id: &str| CommitItem {
        record: bed.id(id),
        content: Content::Assignments(cfg_engine::document::parse_assignments(&["n:=9"], false).unwrap()),
        base: None,
    };
    let both = Commit::of(vec![item("r0"), item("r1")]);
    let refused = bed.project.commit(&both, &because("two")).await.unwrap_err();
    assert!(refused.to_string().contains("limit 1") || refused.to_string().contains("more than the 1"), "{refused}");
    assert_eq!(bed.live().count_documents(doc! { "n": 9 }).await.unwrap(), 0);
    bed.assert_sound().await;
    // Gated: neither init nor a change, and the remedy is said.
    let project = Project::new(Arc::clone(&bed.space.adapter) as Arc<dyn StorageAdapter>, gated());
    let refused = project.init(false).await.unwrap_err();
    assert!(
        refused.to_string().contains("standalone") && refused.hint().is_some_and(|hint| hint.contains("--replSet")),
        "{refused}"
    );
    let refused = project.adopt(&Adopt::All, &because("no"), None).await.unwrap_err();
    assert!(refused.to_string().contains("standalone"), "{refused}");
}

/// Puts a store back to before its last commit but for live, with the intent of that commit.
async fn interrupt(bed: &MongoBed, confirmed: bool) -> Document {
    let app = &bed.space.application;
    let (history, heads) = (app.collection::<Document>("config_history"), app.collection::<Document>("config_heads"));
    let last = history.find_one(doc! { "_id.seq": 2_i64 }).await.unwrap().unwrap();
    let first = history.find_one(doc! { "_id.seq": 1_i64 }).await.unwrap().unwrap();
    let head = heads.find_one(doc! { "_id.id_key": { "$exists": true } }).await.unwrap().unwrap();
    let open = bson::DateTime::from_millis(253_402_300_799_999);
    history.delete_one(doc! { "_id.seq": 2_i64 }).await.unwrap();
    history
        .update_one(doc! { "_id.seq": 1_i64 }, doc! { "$set": { "valid_to": open, "superseded_at": open } })
        .await
        .unwrap();
    let at = |entry: &Document| doc! { "seq": entry.get_document("_id").unwrap().get_i64("seq").unwrap(), "entry_id": entry.get("entry_id").unwrap(), "recorded_at": entry.get("recorded_at").unwrap() };
    let mut earlier = at(&first);
    earlier.insert("oid", first.get("oid").unwrap());
    earlier.insert("author", first.get("author").unwrap());
    heads
        .update_one(doc! { "_id": head.get("_id").unwrap() }, doc! { "$set": { "head": earlier, "tip": at(&first) } })
        .await
        .unwrap();
    let closed = doc! {
        "q": { "_id": first.get("_id").unwrap() },
        "u": { "$set": { "valid_to": last.get("valid_from").unwrap(), "superseded_at": last.get("recorded_at").unwrap() } },
    };
    let intent = doc! {
        "_id": head.get("_id").unwrap(), "owner": "cfg-engine/gone", "op_id": last.get("op_id").unwrap(),
        "recorded_at": last.get("recorded_at").unwrap(), "put_confirmed": confirmed, "entries": [&last], "closed": [closed],
        "head": { "head": head.get("head").unwrap(), "tip": head.get("tip").unwrap() },
    };
    app.collection::<Document>("cfg_pending").insert_one(intent).await.unwrap();
    last
}

#[tokio::test]
async fn an_interrupted_change_is_finished_if_it_was_confirmed_or_is_live_and_dropped_if_not() {
    for (confirmed, written_over) in [(true, true), (true, false), (false, true), (false, false)] {
        let Some(bed) = MongoBed::open_on(STANDALONE, "id").await else { return };
        bed.put(doc! { "id": "planner", "n": 0_i32 }).await;
        bed.import().await;
        let record = bed.id("planner");
        bed.set(&record, &["n:=1"]).await.unwrap();
        let last = interrupt(&bed, confirmed).await;
        if written_over {
            bed.raw_set(doc! { "id": "planner" }, doc! { "n": 5 }).await;
        }
        let report = bed.project.fsck(None).await.unwrap();
        let codes: Vec<&str> = report.findings.iter().map(|finding| finding.code).collect();
        assert_eq!(codes, ["pending"]);
        // Opening is enough.
        drop(bed.adapter().await);
        bed.assert_sound().await;
        let entries = bed.entries(&record).await;
        let is_finished = confirmed || !written_over;
        assert_eq!(entries.len(), if is_finished { 2 } else { 1 });
        assert_eq!(bed.state(&record).await, if written_over { State::Dirty } else { State::Clean });
        if is_finished {
            let history = bed.space.application.collection::<Document>("config_history");
            assert_eq!(history.find_one(doc! { "_id.seq": 2_i64 }).await.unwrap().unwrap(), last);
        }
        bed.adopt().await;
        assert_eq!(bed.state(&record).await, State::Clean);
        bed.assert_sound().await;
    }
}

/// Of two programs that clear up at once, one is slow: by the time that it is done, others have gone on.
#[tokio::test]
async fn a_change_that_is_finished_late_sets_no_head_back() {
    let Some(bed) = MongoBed::open_on(STANDALONE, "id").await else { return };
    bed.put(doc! { "id": "planner", "n": 0_i32 }).await;
    bed.import().await;
    let record = bed.id("planner");
    bed.set(&record, &["n:=1"]).await.unwrap();
    interrupt(&bed, true).await;
    let pending = bed.space.application.collection::<Document>("cfg_pending");
    let intent = pending.find_one(doc! {}).await.unwrap().unwrap();
    drop(bed.adapter().await);
    bed.set(&record, &["n:=2"]).await.unwrap();
    pending.insert_one(intent).await.unwrap();
    drop(bed.adapter().await);
    assert_eq!(pending.count_documents(doc! {}).await.unwrap(), 0);
    assert_eq!(bed.entries(&record).await.len(), 3);
    assert_eq!(bed.state(&record).await, State::Clean);
    bed.assert_sound().await;
}

async fn split(bed: &MongoBed, history_uri: String) -> MongoAdapter {
    let db = fresh_name();
    let live = bed.space.application.client().database(&db);
    live.collection::<Document>("agents_split").insert_one(doc! { "id": "planner", "n": 0_i32 }).await.unwrap();
    let mut config = bed.config.clone();
    config.table = "agents_split".to_owned();
    let options = MongoOptions {
        db: Some(db),
        history_uri: Some(history_uri),
        history_db: Some(fresh_name()),
        ..MongoOptions::new(bed.space.uri.clone(), vec![config])
    };
    MongoAdapter::open(options).await.unwrap()
}

#[tokio::test]
async fn live_and_history_on_two_sets_are_told_apart_from_one_set_under_two_names() {
    let Some(bed) = MongoBed::open("id").await else { return };
    let Ok(other) = std::env::var(OTHER) else {
        eprintln_loudly("two sets: SKIPPED LOUDLY, CFG_TEST_MONGODB_OTHER_URI is not set");
        return;
    };
    // The same set by another spelling of its address, and another database: one transaction.
    let same =
        split(&bed, bed.space.uri.replace("127.0.0.1", "localhost").replace("replicaSet=rs0", "directConnection=true"))
            .await;
    assert!(same.capabilities().transactions && same.capabilities().caveat.is_none());
    let project = Project::new(Arc::new(same), settings());
    project.init(false).await.unwrap();
    assert_eq!(project.adopt(&Adopt::All, &because("all"), None).await.unwrap().written().count(), 1);
    super::bed::set(&project, &bed.id("planner"), &["n:=1"]).await.unwrap();
    assert_eq!(project.fsck(None).await.unwrap().findings, []);

    let two = Arc::new(split(&bed, other).await);
    let caveat = two.capabilities().caveat.clone().unwrap();
    assert!(!two.capabilities().transactions && caveat.remedy.contains("history_uri"));
    let refused = Project::new(Arc::clone(&two) as Arc<dyn StorageAdapter>, gated()).init(false).await.unwrap_err();
    assert!(refused.to_string().contains("which no transaction can span"), "{refused}");
    let project = Project::new(two, settings());
    assert!(project.init(false).await.unwrap().advice.iter().any(|advice| advice.contains("not atomic")));
    assert_eq!(project.adopt(&Adopt::All, &because("all"), None).await.unwrap().written().count(), 1);
    super::bed::set(&project, &bed.id("planner"), &["n:=1"]).await.unwrap();
    assert_eq!(project.fsck(None).await.unwrap().findings, []);
    assert_eq!(super::bed::entries(&project, &bed.id("planner")).await.len(), 2);
}

pub(super) fn eprintln_loudly(line: &str) {
    use std::io::Write;
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
}

#[tokio::test]
async fn a_collection_without_an_index_on_its_id_is_advised_with_the_command() {
    let Some(bed) = MongoBed::open("id").await else { return };
    assert_eq!(bed.project.init(true).await.unwrap().advice, Vec::<String>::new());
    bed.live().drop_index("by_id").await.unwrap();
    let advice = bed.project.init(true).await.unwrap().advice.join("\n");
    assert!(advice.contains(r#"db.getCollection("agents").createIndex({ "id": 1 })"#), "{advice}");
}
