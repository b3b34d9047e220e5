//! The verbs on the memory adapter: one thin path through every layer.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use cfg_engine::adapter::{Capabilities, MemoryAdapter, MemoryClock};
use cfg_engine::config::{CollectionConfig, OnSecret, Settings};
use cfg_engine::document::parse_assignments;
use cfg_engine::engine::{Adopt, Commit, CommitItem, Import, Log, Options, Project, Restore, Staged, State};
use cfg_engine::history::{Author, AuthorClass, CollectionName, EnvName, Reference, Seq};
use cfg_engine::plan::Content;
use cfg_engine::{Error, Value};

fn json(text: &str) -> Value {
    Value::from_json(text).unwrap()
}

async fn project() -> (Project, Arc<MemoryAdapter>) {
    let adapter =
        Arc::new(MemoryAdapter::new(vec![CollectionConfig::new(CollectionName::new("configs").unwrap(), "config_id")]));
    let author = Author { id: "a@example.com".into(), class: AuthorClass::Pipeline };
    let project = Project::new(adapter.clone(), Settings::new(EnvName::new("dev").unwrap(), author));
    project.init(false).await.unwrap();
    (project, adapter)
}

#[tokio::test]
async fn the_main_job_from_import_to_restore() {
    let (project, adapter) = project().await;
    adapter.raw_insert("configs", json(r#"{"config_id": "planner", "model": "small", "n": 1}"#));
    let report = project.import(&Import::default(), &Options::message("baseline"), None).await.unwrap();
    assert_eq!(report.written().count(), 1);

    let planner = project.record("planner").await.unwrap();
    let document = project.get(&planner).await.unwrap();
    let commit = Commit::new(planner.clone(), json(r#"{"model": "large", "n": 1}"#)).with_base(document.base.clone());
    let report = project.commit(&commit, &Options::message("larger")).await.unwrap();
    let written = report.written().next().unwrap();
    assert_eq!(written.entry.header.seq, Seq(2));
    assert_eq!(written.replaced.as_ref().unwrap().seq, Seq(1));

    // The same base again is stale.
    let stale = project.commit(&commit, &Options::message("again")).await.unwrap_err();
    assert!(matches!(stale, Error::StaleBase { .. }), "{stale}");

    // Somebody writes around the tool.
    adapter.raw_put("configs", json(r#"{"config_id": "planner", "model": "huge", "n": 1}"#));
    let status = project.status(None, false, &Staged::new(), None).await.unwrap();
    assert_eq!(status.rows[0].state, State::Dirty);
    assert_eq!(status.exit_code(), 2);
    let diff = project.diff(&planner, &Reference::Head, &Reference::Live, None).await.unwrap();
    assert_eq!(diff.changes.len(), 1);
    let refused =
        project.restore(&Restore::new(planner.clone(), Reference::Seq(Seq(1))), &Options::message("back")).await;
    assert!(matches!(refused, Err(Error::Dirty { .. })));

    project.adopt(&Adopt::All, &Options::message("folded in"), None).await.unwrap();
    let report = project
        .restore(&Restore::new(planner.clone(), Reference::Seq(Seq(1))), &Options::message("back"))
        .await
        .unwrap();
    assert_eq!(report.written().next().unwrap().entry.header.seq, Seq(4));
    assert_eq!(project.get(&planner).await.unwrap().doc, json(r#"{"config_id": "planner", "model": "small", "n": 1}"#));

    let entries = project.log(&Log { record: Some(planner.clone()), ..Log::default() }).await.unwrap();
    let ops: Vec<&str> = entries.iter().map(|e| e.header.op.as_str()).collect();
    assert_eq!(ops, ["restore", "adopt", "commit", "import"]);
    let fsck = project.fsck(None).await.unwrap();
    assert_eq!(fsck.findings, []);
    assert_eq!((fsck.records, fsck.entries), (1, 4));
}

#[tokio::test]
async fn digits_are_the_record_that_is_there() {
    let (project, adapter) = project().await;
    adapter.raw_insert("configs", json(r#"{"config_id": 7}"#));
    let number = project.record("7").await.unwrap();
    assert_eq!(number.id.as_str(), "7");
    assert_eq!(project.record("configs:7").await.unwrap(), number);
    assert_eq!(project.record(&number.to_string()).await.unwrap(), number);
    assert_eq!(project.record("8").await.unwrap().id.as_str(), r#""8""#);
    assert_eq!(project.record("07").await.unwrap().id.as_str(), r#""07""#);
    assert_eq!(project.resolve("7@2").await.unwrap().record, number);

    adapter.raw_insert("configs", json(r#"{"config_id": "7"}"#));
    for text in ["7", "configs:7", "7@2"] {
        let Err(Error::AmbiguousAddress { candidates, .. }) = project.resolve(text).await else {
            panic!("{text} is ambiguous")
        };
        assert_eq!(candidates.len(), 2);
        let mut ids = Vec::new();
        for full in candidates {
            let address = project.resolve(full.trim_matches('\'')).await.unwrap();
            assert_eq!(address.reference.is_some(), text.contains('@'));
            ids.push(address.record.id.as_str().to_owned());
        }
        ids.sort();
        assert_eq!(ids, [r#""7""#, "7"]);
    }
    assert_eq!(project.record(r#"configs:{"$numberLong":"7"}"#).await.unwrap(), number);
}

#[tokio::test]
async fn an_id_may_begin_with_the_name_of_a_collection() {
    let (project, adapter) = project().await;
    adapter.raw_insert("configs", json(r#"{"config_id": "configs:planner"}"#));
    let long = project.record("configs:planner").await.unwrap();
    assert_eq!(long.id.as_str(), r#""configs:planner""#);
    assert_eq!(long.to_string(), r#"configs:"configs:planner""#);
    assert_eq!(project.record("configs:other").await.unwrap().id.as_str(), r#""other""#);

    adapter.raw_insert("configs", json(r#"{"config_id": "planner"}"#));
    let refused = project.record("configs:planner").await.unwrap_err();
    assert_eq!(refused.hint().unwrap(), r#"write one of: 'configs:"planner"'   'configs:"configs:planner"'"#);
    for printed in [long.to_string(), long.id.to_string()] {
        assert_eq!(project.record(&printed).await.unwrap(), long);
    }
    assert_eq!(project.record(r#"configs:"planner""#).await.unwrap().id.as_str(), r#""planner""#);
}

#[tokio::test]
async fn a_key_that_was_used_for_another_change_is_refused() {
    let (project, _) = project().await;
    let key = cfg_engine::history::OpId::new("job-1").unwrap();
    let keyed = || Options { idempotency_key: Some(key.clone()), ..Options::message("by key") };
    let code = |report: Result<cfg_engine::engine::Report, Error>| report.unwrap_err().code();
    let planner = project.record("planner").await.unwrap();
    let commit = |n: i32| Commit::new(planner.clone(), json(&format!(r#"{{"n": {n}}}"#)));
    project.commit(&commit(1), &Options::message("first")).await.unwrap();
    project.commit(&commit(2), &keyed()).await.unwrap();
    project.commit(&commit(3), &Options::message("moved on")).await.unwrap();

    let again = project.commit(&commit(2), &keyed()).await.unwrap();
    assert!(again.replayed);
    let written = again.written().next().unwrap();
    assert_eq!(written.entry.header.seq, Seq(2));
    assert_eq!(written.replaced.as_ref().unwrap().seq, Seq(1));

    assert_eq!(code(project.commit(&commit(4), &keyed()).await), "key_used");
    assert_eq!(code(project.remove(&cfg_engine::engine::Remove::new(planner.clone()), &keyed()).await), "key_used");
    let back = Restore::new(planner.clone(), Reference::Seq(Seq(1)));
    assert_eq!(code(project.restore(&back, &keyed()).await), "key_used");
    // More records than it was used for. A key is looked up on the records that are asked for: nobody
    // pays for a search of the whole history, and other records do not share its fate.
    let other = project.record("other").await.unwrap();
    let mut both = commit(2);
    both.items.extend(Commit::new(other, json("{}")).items);
    assert_eq!(code(project.commit(&both, &keyed()).await), "key_used");
    assert_eq!(project.log(&Log::default()).await.unwrap().len(), 3);
}

#[tokio::test]
async fn an_author_is_searched_for_secrets_too() {
    let (project, _) = project().await;
    let author = Author { id: "AKIA0123456789ABCDEF".into(), class: AuthorClass::Pipeline };
    let options = Options { author: Some(author), ..Options::message("first") };
    let planner = project.record("planner").await.unwrap();
    let refused = project.commit(&Commit::new(planner, json("{}")), &options).await.unwrap_err();
    assert_eq!(refused.code(), "secret_found");
    assert!(!refused.to_string().contains("0123456789"));
}

#[tokio::test]
async fn rows_that_are_not_live_and_have_no_history_are_no_removed_record() {
    let mut collection = CollectionConfig::new(CollectionName::new("configs").unwrap(), "config_id");
    collection.live_when =
        cfg_engine::config::LiveRule::from_object(json(r#"{"on": true}"#).as_object().unwrap()).unwrap();
    let adapter = Arc::new(MemoryAdapter::new(vec![collection]));
    let author = Author { id: "a@example.com".into(), class: AuthorClass::Pipeline };
    let project = Project::new(adapter.clone(), Settings::new(EnvName::new("dev").unwrap(), author));
    project.init(false).await.unwrap();
    adapter.raw_insert("configs", json(r#"{"config_id": "old", "on": false}"#));
    let old = project.record("old").await.unwrap();
    let refused = project.status_of(&[old], &Staged::new()).await.unwrap_err();
    assert_eq!(refused.code(), "no_record");
    assert!(project.status(None, true, &Staged::new(), None).await.unwrap().rows.is_empty());
}

#[tokio::test]
async fn a_table_has_one_collection() {
    let (project, adapter) = project().await;
    let over = |names: &[&str]| {
        let collection = |name: &&str| {
            let mut collection = CollectionConfig::new(CollectionName::new(name).unwrap(), "config_id");
            collection.table = "configs".into();
            collection
        };
        Arc::new(adapter.reopen(names.iter().map(collection).collect()))
    };
    let problem = |error: Error| {
        assert!(matches!(error, Error::Setup { .. }), "{error}");
        error.to_string()
    };
    let renamed = Project::new(over(&["prompts"]), project.settings().clone());
    let refused = problem(renamed.init(false).await.unwrap_err());
    assert_eq!(refused, r#"table "configs" is registered as collection configs, not prompts"#);
    let commit = Commit::new(renamed.record("planner").await.unwrap(), json("{}"));
    assert_eq!(problem(renamed.commit(&commit, &Options::message("no")).await.unwrap_err()), refused);
    let twice = Project::new(over(&["configs", "prompts"]), project.settings().clone());
    let refused = problem(twice.init(false).await.unwrap_err());
    assert_eq!(refused, r#"collections configs and prompts are both of table "configs""#);
    let mut settings = project.settings().clone();
    settings.env = EnvName::new("prod").unwrap();
    let other = Project::new(over(&["prompts"]), settings);
    assert_eq!(problem(other.init(false).await.unwrap_err()), r#"table "configs" belongs to env dev"#);
}

#[tokio::test]
async fn a_forced_commit_says_what_its_author_had_seen() {
    let (project, _) = project().await;
    let planner = project.record("planner").await.unwrap();
    let commit = |n: i32| Commit::new(planner.clone(), json(&format!(r#"{{"n": {n}}}"#)));
    let first = project.commit(&commit(1), &Options::message("first")).await.unwrap();
    let first = first.written().next().unwrap().clone();
    project.commit(&commit(2), &Options::message("second")).await.unwrap();
    let mut forced = commit(3).with_base(first.base.clone());
    forced.force = true;
    let report = project.commit(&forced, &Options::message("over it")).await.unwrap();
    let written = report.written().next().unwrap();
    assert_eq!(written.entry.header.base, Some(vec![first.entry.entry_id]));
    assert_eq!(written.replaced.as_ref().unwrap().seq, Seq(2));
}

#[tokio::test]
async fn fsck_finds_history_of_a_collection_that_is_not_configured() {
    let (project, adapter) = project().await;
    let planner = project.record("planner").await.unwrap();
    project.commit(&Commit::new(planner.clone(), json("{}")), &Options::message("first")).await.unwrap();
    let other = CollectionConfig::new(CollectionName::new("prompts").unwrap(), "config_id");
    let project = Project::new(Arc::new(adapter.reopen(vec![other])), project.settings().clone());
    project.init(false).await.unwrap();
    let findings = project.fsck(None).await.unwrap().findings;
    assert_eq!(findings.len(), 1);
    assert_eq!((&findings[0].record, findings[0].code), (&Some(planner.clone()), "unconfigured"));
}

#[tokio::test]
async fn a_document_with_a_member_named_like_the_base_reads_back_from_its_file() {
    let (project, adapter) = project().await;
    adapter.raw_insert("configs", json(r#"{"config_id": "planner", "$cfg": {"mine": 1}, "n": 1}"#));
    let read = project.get(&project.record("planner").await.unwrap()).await.unwrap();
    let (doc, base) = cfg_engine::engine::parse_document(&read.to_file().to_interchange()).unwrap();
    assert_eq!((doc, base), (read.doc, Some(read.base)));
}

fn configs() -> Vec<CollectionConfig> {
    vec![CollectionConfig::new(CollectionName::new("configs").unwrap(), "config_id")]
}

fn settings() -> Settings {
    let author = Author { id: "a@example.com".into(), class: AuthorClass::Pipeline };
    Settings::new(EnvName::new("dev").unwrap(), author)
}

#[tokio::test]
async fn a_batch_holds_no_more_bytes_than_the_store_takes() {
    let mut capabilities = Capabilities::transactional("memory");
    capabilities.max_batch_bytes = 10_000;
    let adapter = Arc::new(MemoryAdapter::new(configs()).with_capabilities(capabilities));
    let project = Project::new(adapter.clone(), settings());
    project.init(false).await.unwrap();
    // Each is a third of a batch, but for one that is two of them.
    for n in 0..20 {
        let size = if n == 7 { 20_000 } else { 3_000 };
        let row = format!(r#"{{"config_id": "r{n}", "text": "{}"}}"#, "x".repeat(size));
        adapter.raw_insert("configs", json(&row));
    }
    let report = project.import(&Import::default(), &Options::message("all"), None).await.unwrap();
    assert_eq!((report.written().count(), report.rows.len(), report.exit_code()), (20, 20, 0));
    let mut records: Vec<_> = report.rows.iter().map(|row| row.record.clone()).collect();
    records.dedup();
    assert_eq!(records.len(), 20, "each once");
    let mut batches: Vec<_> = report.written().map(|w| w.entry.header.op_id.as_str().to_owned()).collect();
    batches.sort();
    batches.dedup();
    assert!((7..=9).contains(&batches.len()), "{} batches", batches.len());
    let again = project.import(&Import::default(), &Options::message("all"), None).await.unwrap();
    assert_eq!(again.rows.len(), 0);
    // What has to be one batch is refused, with the limit.
    let items = (0..20).map(|n| CommitItem {
        record: records[n].clone(),
        content: Content::Assignments(parse_assignments(&["n=1"], false).unwrap()),
        base: None,
    });
    let refused = project.commit(&Commit::of(items.collect()), &Options::message("all")).await.unwrap_err();
    assert!(refused.code() == "batch_too_large" && refused.to_string().contains("10000"), "{refused}");
}

#[tokio::test]
async fn an_env_that_becomes_gated_is_gated_for_whoever_has_it_open() {
    let clock = MemoryClock::new();
    let adapter = Arc::new(MemoryAdapter::new(configs()).with_memory_clock(clock.clone()));
    let project = Project::new(adapter.clone(), settings());
    project.init(false).await.unwrap();
    let planner = project.record("planner").await.unwrap();
    let commit = |n: i64| Commit::new(planner.clone(), json(&format!(r#"{{"n": {n}}}"#)));
    project.commit(&commit(1), &Options::message("first")).await.unwrap();
    let mut gated = settings();
    gated.gated = true;
    Project::new(adapter, gated).init(false).await.unwrap();
    clock.advance(Duration::from_secs(1));
    let refused = project.commit(&commit(2), &Options::message("second")).await.unwrap_err();
    assert!(matches!(refused, Error::ApprovalRequired { .. }), "{refused}");
    assert_eq!(project.get(&planner).await.unwrap().base.seq, Some(Seq(1)));
}

#[tokio::test]
async fn what_is_only_warned_of_is_told() {
    let mut warns = settings();
    warns.on_secret = OnSecret::Warn;
    let project = Project::new(Arc::new(MemoryAdapter::new(configs())), warns);
    project.init(false).await.unwrap();
    let planner = project.record("planner").await.unwrap();
    let commit = Commit::new(planner, json(r#"{"smtp": {"password": "swordfish"}}"#));
    let plan = Options { dry_run: true, ..Options::message("first") };
    let report = project.commit(&commit, &plan).await.unwrap();
    assert_eq!(report.to_object().get("warnings").and_then(Value::as_array).map(<[_]>::len), Some(1));
    let report = project.commit(&commit, &Options::message("first")).await.unwrap();
    let told: Vec<&str> = report.warnings().map(Error::code).collect();
    assert_eq!(told, ["secret_found"]);
    let row = report.rows[0].to_object();
    assert_eq!(row.get("warnings").and_then(Value::as_array).map(<[_]>::len), Some(1));
    assert!(!format!("{row:?}{:?}", report.warnings().collect::<Vec<_>>()).contains("swordfish"));
    // Where it was allowed on purpose, the entry says so.
    let allowed = Options { allow_secret: true, ..Options::message("second") };
    let commit = Commit::new(project.record("other").await.unwrap(), json(r#"{"smtp": {"password": "swordfish"}}"#));
    assert_eq!(project.commit(&commit, &allowed).await.unwrap().warnings().count(), 0);
}
