//! How many commands a commit sends.

use std::sync::{Arc, Mutex};

use bson::doc;
use cfg_engine::adapter::{EntryQuery, Scope, StorageAdapter};
use cfg_engine::engine::Project;
use cfg_engine_mongodb::{MongoAdapter, MongoOptions};
use futures_util::TryStreamExt;

use super::bed::{MongoBed, set};
use crate::stores::{because, settings};

type Sent = Arc<Mutex<Vec<String>>>;

async fn counted(bed: &MongoBed) -> (Arc<MongoAdapter>, Sent) {
    let sent: Sent = Arc::default();
    let to = Arc::clone(&sent);
    let options = MongoOptions {
        db: Some(bed.space.application.name().to_owned()),
        on_command: Some(Arc::new(move |name: &str| to.lock().unwrap().push(name.to_owned()))),
        ..MongoOptions::new(bed.space.uri.clone(), vec![bed.config.clone()])
    };
    (Arc::new(MongoAdapter::open(options).await.unwrap()), sent)
}

fn take(sent: &Sent) -> Vec<String> {
    std::mem::take(&mut *sent.lock().unwrap())
}

const TRANSACTION: [&str; 4] = ["update", "update", "update", "commitTransaction"];

#[tokio::test]
async fn a_commit_is_one_read_and_four_commands() {
    let Some(bed) = MongoBed::open("id").await else { return };
    for n in 0..150 {
        bed.put(doc! { "id": format!("r{n}"), "n": 0_i32, "hits": 1_i32 }).await;
    }
    let (adapter, sent) = counted(&bed).await;
    let project = Project::new(Arc::clone(&adapter) as Arc<dyn StorageAdapter>, settings());
    project.import(&Default::default(), &because("baseline"), None).await.unwrap();
    // The env's own document is looked at now and then; this commit does it for the next one.
    set(&project, &bed.id("r0"), &["n:=1"]).await.unwrap();
    take(&sent);
    set(&project, &bed.id("r0"), &["n:=2"]).await.unwrap();
    assert_eq!(take(&sent), [&["aggregate"], &TRANSACTION[..]].concat());

    // Many at once are as many commands.
    let content = |n: i64| {
        let words = format!("n:={n}");
        let assignments = cfg_engine::document::parse_assignments(&[words.as_str()], false).unwrap();
        cfg_engine::plan::Content::Assignments(assignments)
    };
    let items = |count: i64| {
        let item = |n| cfg_engine::engine::CommitItem {
            record: bed.id(format!("r{n}")),
            content: content(100 + count + n),
            base: None,
        };
        cfg_engine::engine::Commit::of((0..count).map(item).collect())
    };
    project.commit(&items(50), &because("some")).await.unwrap();
    assert_eq!(take(&sent), [&["aggregate"], &TRANSACTION[..]].concat());

    // Of very many, live is looked at here, and entries are inserted by a command of their own.
    project.commit(&items(150), &because("all")).await.unwrap();
    let sent_for_all = take(&sent);
    let reads =
        sent_for_all.iter().take_while(|name| ["aggregate", "find", "getMore"].contains(&name.as_str())).count();
    assert!(reads <= 4, "{sent_for_all:?}");
    assert_eq!(sent_for_all[reads..], ["update", "insert", "update", "update", "commitTransaction"]);

    // Without the read: what was read before is the base.
    let space_record = bed.id("r1");
    let scope = Scope::Records(vec![space_record.clone()]);
    let env = settings().env;
    let states = adapter.records(&env, &scope).try_concat().await.unwrap();
    take(&sent);
    let batch = super::by_hand::set(&states[0], "n", 7, &bed.config.policy, adapter.monotonic());
    adapter.apply(&batch).await.unwrap();
    assert_eq!(take(&sent), TRANSACTION);
    let query = EntryQuery::new(env, scope);
    assert_eq!(adapter.entries(&query).try_concat().await.unwrap().len(), 4);
    bed.assert_sound().await;
}
