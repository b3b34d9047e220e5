//! What errors say, provoked on every store with documents in which every value is recognisable: none of
//! them is ever told. The table itself is checked beside it, in `cfg_engine::outcome`.

use std::sync::Arc;

use cfg_engine::adapter::AdapterError;
use cfg_engine::config::OnSecret;
use cfg_engine::engine::{
    Adopt, Commit, CommitItem, HistoryImport, Import, Options, Project, Remove, Report, Restore, Staged, parse_document,
};
use cfg_engine::history::{EnvName, Reference, Seq, Timestamp};
use cfg_engine::plan::{Base, Content};
use cfg_engine::{Error, Value};
use cfg_engine_conformance::{Need, value};

use crate::scenarios::Lines;
use crate::stores::{Bed, because, settings};

/// In every value of every document.
const MARK: &str = "s3ntinel";

fn assert_silent(what: &str, error: &Error) {
    let text =
        format!("{error} | {error:?} | {:?} | {}", error.hint(), Value::Object(error.to_envelope()).to_interchange());
    assert!(!text.contains(MARK), "{what} tells a value: {text}");
    assert!(error.hint().is_some_and(|hint| !hint.is_empty()), "{what}: {error}");
}

fn errors(report: Result<Report, Error>) -> Vec<Error> {
    match report {
        Ok(report) => report.failed().map(|(_, error)| error.clone()).collect(),
        Err(error) => vec![error],
    }
}

fn commit(bed: &Bed, id: &str, content: Content) -> Commit {
    Commit::of(vec![CommitItem { record: bed.id(id), content, base: None }])
}

#[tokio::test]
async fn no_error_tells_a_value_of_a_document() {
    for bed in Bed::each().await {
        let full = format!(
            r#"{{"name": "{MARK}", "n": 1, "token": "{MARK}-token", "body": {{"x": "{MARK}", "list": ["{MARK}"], "tools": [{{"name": "{MARK}", "key": "{MARK}-key"}}]}}}}"#
        );
        bed.put("planner", &full).await;
        bed.put("twice", &full).await;
        bed.put("twice", &full).await;
        let mut found: Vec<Error> = errors(bed.project.import(&Import::default(), &because("in"), None).await);
        let doc = |text: String| Content::Document(value(&text));
        let contents = [
            doc(format!(r#"{{"name": "{MARK}"}}"#)),
            doc(format!(r#"["{MARK}"]"#)),
            doc(format!(r#"{{"id": "{MARK}", "name": "{MARK}"}}"#)),
            doc(format!(r#"{{"body": {{"apiKey": "{MARK}{MARK}{MARK}"}}}}"#)),
            Content::Document(value(r#"{"body": {"field": {"$secret": true}}}"#)),
            Content::JsonPatch(value(&format!(r#"[{{"op": "test", "path": "/name", "value": "{MARK}?"}}]"#))),
            Content::JsonPatch(value(&format!(r#"[{{"op": "add", "path": "/body/list/9", "value": "{MARK}"}}]"#))),
            Content::JsonPatch(value(&format!(r#""{MARK}""#))),
            Content::MergePatch(value(&format!(r#""{MARK}""#))),
            Content::MergePatch(value(&format!(r#"{{"body": {{"tools": ["{MARK}"]}}}}"#))),
            Content::MergePatch(value(&format!(r#"{{"n": "{MARK}", "active": "{MARK}", "name": {{"a": "{MARK}"}}}}"#))),
        ];
        for content in contents {
            found.extend(errors(bed.project.commit(&commit(&bed, "planner", content), &because("x")).await));
        }
        for words in [["name.deep=s3ntinel"], ["body.list-=s3ntinel?"], ["body.list.x=s3ntinel"]] {
            found.extend(errors(bed.set("planner", &words).await));
        }
        let base = Base { record: bed.id("planner"), seq: Some(Seq(9)), oid: None };
        let stale = Commit::new(bed.id("planner"), value(&full)).with_base(base);
        found.extend(errors(bed.project.commit(&stale, &because("x")).await));
        found.extend(errors(bed.project.commit(&stale, &because(&format!("AKIAABCDEFGHIJKLMNOP {MARK}"))).await));
        for text in [format!(r#"{{"name": "{MARK}" oops"#), format!(r#""{MARK}""#), format!(r#"{{"$cfg": "{MARK}"}}"#)]
        {
            found.extend(parse_document(&text).err());
        }
        let lines = vec![
            format!(r#"{{"id": "x", "time": "2023-06-07T00:00:00Z", "doc": "{MARK}"}}"#),
            format!(
                r#"{{"id": "x", "time": "2023-06-07T00:00:00Z", "doc": {{"body": {{"password": "{MARK}{MARK}"}}}}}}"#
            ),
            format!(
                r#"{{"id": "x", "time": "2023-06-07T00:00:00Z", "doc": {{"n": "{MARK}", "name": ["{MARK}"]}}, "author": 7}}"#
            ),
        ];
        let history = HistoryImport { collection: bed.space.agents().name.clone(), seed_live: true };
        found.extend(bed.project.import_history(&history, &mut Lines::new(lines), &because("x"), None).await.err());
        bed.raw_set("planner", &format!(r#"{{"name": "{MARK}-drift", "body": {{"apiKey": "{MARK}{MARK}"}}}}"#)).await;
        found.extend(errors(bed.set("planner", &["n=2"]).await));
        found.extend(errors(bed.restore("planner", "@1").await));
        found.extend(errors(bed.project.adopt(&Adopt::All, &because("x"), None).await));
        let status = bed.project.status(None, true, &Staged::new(), None).await.unwrap();
        found.extend(status.rows.into_iter().filter_map(|row| row.reason));
        if bed.harness.has(Need::ExtendedTypes) {
            bed.put("nan", &format!(r#"{{"name": "{MARK}", "n": {{"$numberDouble": "NaN"}}}}"#)).await;
            found.extend(bed.project.get(&bed.id("nan")).await.err());
        }
        let removed =
            bed.project.remove(&Remove { record: bed.id("planner"), base: None, force: true }, &allowed()).await;
        found.extend(errors(removed));
        found.extend(errors(
            bed.project.restore(&Restore::new(bed.id("planner"), Reference::Seq(Seq(1))), &because("x")).await,
        ));
        assert!(found.len() >= 22, "{}: {} errors", bed.name(), found.len());
        for error in &found {
            assert_silent(bed.name(), error);
        }
        let codes: std::collections::BTreeSet<&str> = found.iter().map(Error::code).collect();
        for code in [
            "missing_fields",
            "other_id",
            "secret_found",
            "bad_patch",
            "stale_base",
            "dirty",
            "bad_history",
            "secrets_needed",
        ] {
            assert!(codes.contains(code), "{}: {code} was not provoked: {codes:?}", bed.name());
        }
    }
}

fn allowed() -> Options {
    Options { allow_secret: true, ..because("x") }
}

#[tokio::test]
async fn what_a_store_says_keeps_its_kind() {
    let memory = crate::damage::memory(cfg_engine::config::Shape::Doc).await;
    let bed = &memory.bed;
    bed.put("planner", r#"{"n": 0}"#).await;
    bed.import().await;
    let record = bed.id("planner");
    let cases = [
        (AdapterError::Busy, "busy", 2),
        (AdapterError::Unreachable { store: "memory".into(), reason: "gone".into() }, "unreachable", 3),
        (AdapterError::Storage { store: "memory", reason: "disk".into() }, "storage", 3),
        (AdapterError::Damaged { problem: "a hole".into() }, "damaged", 6),
        (AdapterError::Setup { problem: "no table".into(), hint: "make it".into() }, "setup", 6),
        (AdapterError::Refused { record: record.clone(), reason: "NOT NULL".into() }, "constraint", 1),
        (AdapterError::TooLarge { record: record.clone(), bytes: 2, limit: 1 }, "too_large", 1),
        (AdapterError::LiveRule { record: record.clone() }, "live_rule", 1),
        (AdapterError::Ambiguous { record, rows: 2 }, "ambiguous", 6),
    ];
    for (error, code, exit) in cases {
        memory.adapter.fail_next(error);
        let error = bed.set("planner", &["n=1"]).await.unwrap_err();
        assert_eq!((error.code(), error.kind().exit_code()), (code, exit), "{error}");
    }
    assert_eq!(bed.live("planner", "n").await, Value::from(0));
    // What passes by itself is tried again.
    memory.adapter.fail_next(AdapterError::UnknownOutcome);
    bed.set("planner", &["n=1"]).await.unwrap();
    memory.adapter.fail_next(AdapterError::Clock { now: Timestamp::from_millis(0) });
    bed.set("planner", &["n=2"]).await.unwrap();
    assert_eq!(bed.entries("planner").await.len(), 3);
}

/// A project cannot write the history of an env that is not its own, whoever names it.
#[tokio::test]
async fn a_record_of_another_env_is_refused_by_every_verb() {
    for bed in Bed::each().await {
        bed.put("planner", r#"{"name": "a"}"#).await;
        bed.import().await;
        let mut other = bed.id("planner");
        other.env = EnvName::new("prod").unwrap();
        let (project, why) = (&bed.project, because("around the gate"));
        let mut found = errors(project.commit(&Commit::new(other.clone(), value(r#"{"name": "b"}"#)), &why).await);
        found.extend(errors(project.remove(&Remove::new(other.clone()), &why).await));
        found.extend(errors(project.restore(&Restore::new(other.clone(), Reference::Seq(Seq(1))), &why).await));
        found.extend(errors(project.adopt(&Adopt::Records(vec![other.clone()]), &why, None).await));
        let import = Import { records: Some(vec![other.clone()]), valid_from: None };
        found.extend(errors(project.import(&import, &why, None).await));
        found.extend(project.get(&other).await.err());
        found.extend(project.show(&other, &Reference::Head).await.err());
        found.extend(project.diff(&other, &Reference::Head, &Reference::Live, None).await.err());
        let codes: Vec<&str> = found.iter().map(Error::code).collect();
        assert_eq!(codes, ["other_env"; 8], "{}", bed.name());
        assert_eq!(bed.live("planner", "name").await, Value::from("a"));
    }
}

/// The stored word rules: a file that calls a gated env ungated changes nothing.
#[tokio::test]
async fn a_gate_cannot_be_loosened_by_a_file() {
    for bed in Bed::each().await {
        bed.put("planner", r#"{"name": "a"}"#).await;
        let mut strict = settings();
        strict.gated = true;
        Project::new(Arc::clone(&bed.space.store), strict).init(false).await.unwrap();
        let mut loose = settings();
        loose.on_secret = OnSecret::Warn;
        let project = Project::new(Arc::clone(&bed.space.store), loose);
        project.init(false).await.unwrap();
        let why = because("around the gate");
        let mut found = errors(project.import(&Import::default(), &why, None).await);
        found.extend(errors(project.adopt(&Adopt::All, &why, None).await));
        found.extend(errors(project.commit(&Commit::new(bed.id("planner"), value(r#"{"name": "b"}"#)), &why).await));
        found.extend(errors(project.remove(&Remove::new(bed.id("planner")), &why).await));
        let history = HistoryImport { collection: bed.space.agents().name.clone(), seed_live: true };
        let line = r#"{"id": "new", "time": "2023-06-07T00:00:00Z", "doc": {"name": "x"}}"#.to_owned();
        found.extend(project.import_history(&history, &mut Lines::new(vec![line]), &why, None).await.err());
        let codes: Vec<&str> = found.iter().map(Error::code).collect();
        assert_eq!(codes, ["approval_required"; 5], "{}", bed.name());
        assert_eq!(bed.live("planner", "name").await, Value::from("a"));
        assert!(project.status(None, true, &Staged::new(), None).await.unwrap().rows.len() == 1);
    }
}
