//! Redaction on every store: what goes, what stays, what reading says of it, and what a kill in the middle leaves.

use std::sync::Arc;

use cfg_engine::Error;
use cfg_engine::config::Alert;
use cfg_engine::document::{FieldPath, same};
use cfg_engine::engine::{
    Commit, Moment, PlaceKind, Project, Redact, RedactReport, Restore, RestoreAll, SetTag, TagTarget, Undo,
};
use cfg_engine::history::{DocState, Reference, Seq, TagName};
use cfg_engine_conformance::{Table, is_there, value};

use crate::mongodb::{MongoHarness, STANDALONE};
use crate::stores::{Bed, because, settings};

const REASON: &str = "a key was leaked";

/// The project with everything approved.
fn approved(bed: &Bed) -> Project {
    let adapter = bed.project.adapter().clone();
    Project::new(adapter, settings().approved_for_conformance())
}

/// The project with somebody who would be told: the approval is all that is missing.
async fn asking(bed: &Bed) -> Project {
    let mut settings = settings();
    settings.rules.alert = Some(Alert::Command(vec!["tell".to_owned()]));
    let project = Project::new(bed.project.adapter().clone(), settings);
    project.init(false).await.unwrap();
    project
}

fn redact(bed: &Bed, id: &str, paths: &[&str]) -> Redact {
    Redact::new(bed.id(id), paths.iter().map(|path| (*path).to_owned()).collect())
}

fn rewriting(bed: &Bed, id: &str, paths: &[&str]) -> Redact {
    Redact { rewrite_history: true, ..redact(bed, id, paths) }
}

async fn seq(bed: &Bed, id: &str, seq: u64) -> cfg_engine::history::Entry {
    bed.project.entry_at(&bed.id(id), &Reference::Seq(Seq(seq))).await.unwrap()
}

/// Three versions: the secret comes with the second and is rotated by the third, whose message repeats it.
async fn leaked(bed: &Bed, id: &str, secret: &str) {
    bed.commit(id, r#"{"name": "a", "n": 1, "body": {"keep": [1, 2.5]}}"#).await.unwrap();
    let leak = format!(
        r#"{{"name": "b", "n": 2, "body": {{"keep": [1, 2.5], "leak": "{secret}", "in": [{{"k": "{secret}"}}]}}}}"#
    );
    bed.commit(id, &leak).await.unwrap();
    let rotated = r#"{"name": "c", "n": 3, "body": {"keep": [1, 2.5], "leak": "rotated", "in": [{"k": "rotated"}]}}"#;
    let commit = Commit::new(bed.id(id), value(rotated));
    bed.project.commit(&commit, &because(&format!("rotate {secret} now"))).await.unwrap();
}

const PATHS: [&str; 2] = ["body.leak", "body.in[].k"];

fn of_kind(report: &RedactReport, kind: PlaceKind) -> Vec<u64> {
    report.places.iter().filter(|p| p.kind == kind).filter_map(|p| p.seq).map(|seq| seq.0).collect()
}

async fn assert_gone(bed: &Bed, secret: &str) {
    let picture = bed.space.picture().await.join("\n");
    assert!(!picture.contains(secret), "{}: {picture}", bed.name());
    if let Some(dump) = bed.space.raw.dump().await {
        assert!(!dump.windows(secret.len()).any(|at| at == secret.as_bytes()), "{}: in a dump", bed.name());
        assert!(dump.windows(6).any(|at| at == b"REDACT"), "{}: the dump is of something else", bed.name());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leaked_key_is_gone_and_everything_else_stays() {
    for bed in Bed::each().await {
        let secret = "s3cret-in-every-place";
        leaked(&bed, "planner", secret).await;
        let tag = SetTag {
            name: TagName::new("june").unwrap(),
            target: TagTarget::System { collection: None, as_of: None },
            force: false,
        };
        bed.project.set_tag(&tag, &because(&format!("with {secret}"))).await.unwrap();
        let asking = asking(&bed).await;
        let before = bed.entries("planner").await;
        if let Some(dump) = bed.space.raw.dump().await {
            assert!(
                dump.windows(secret.len()).any(|at| at == secret.as_bytes()),
                "{}: a dump that sees it",
                bed.name()
            );
        }
        let picture = bed.space.picture().await;
        // Without the flag, and without an approval, nothing happens.
        let refused = bed.project.redact(&redact(&bed, "planner", &PATHS), &because(REASON)).await.unwrap_err();
        assert_eq!((refused.code(), refused.to_string().contains(secret)), ("hashed", false));
        let rewriting = rewriting(&bed, "planner", &PATHS);
        let refused = asking.redact(&rewriting, &because(REASON)).await.unwrap_err();
        assert!(matches!(refused, Error::ApprovalRequired { .. }), "{refused}");
        assert_eq!(bed.space.picture().await, picture, "{}", bed.name());
        // A dry run says where, and does nothing.
        let mut dry = because(REASON);
        dry.dry_run = true;
        let report = bed.project.redact(&rewriting, &dry).await.unwrap();
        assert_eq!(bed.space.picture().await, picture, "{}", bed.name());
        assert_eq!((of_kind(&report, PlaceKind::Doc), of_kind(&report, PlaceKind::Message)), (vec![2, 3], vec![3]));
        assert_eq!(report.places.iter().filter(|p| p.kind == PlaceKind::Object).count(), 1, "{:?}", report.places);
        assert!(report.needs_approval && report.plan.is_some() && report.entries.is_empty());
        assert!(!cfg_engine::Value::Object(report.to_object()).to_json().contains(secret));

        let versions = Redact { versions: Some(vec![Seq(2)]), ..rewriting };
        let report = approved(&bed).redact(&versions, &because(REASON)).await.unwrap();
        assert_eq!(report.left, [], "{}", bed.name());
        assert_eq!(report.entries.len(), 1);
        assert_eq!(report.live.len(), 2, "live holds the rotated one");
        let after = bed.entries("planner").await;
        for (old, new) in before.iter().zip(&after) {
            assert_eq!((&old.header, old.entry_id), (&new.header, new.entry_id));
        }
        assert_eq!((&after[0], after[2].doc_state), (&before[0], DocState::Present));
        assert_eq!(after[1].doc_state, DocState::Redacted);
        assert_eq!(after[2].message, "rotate [REDACTED] now");
        let doc = after[1].doc.as_ref().unwrap();
        let at = |path: &str| path.parse::<FieldPath>().unwrap().get(doc).cloned();
        for path in ["body.leak", "body.in[0].k"] {
            assert_eq!(at(path), Some("[REDACTED]".into()), "{}", bed.name());
        }
        assert_eq!(at("body.keep").map(|keep| keep.to_json()).as_deref(), Some("[1,2.5]"));
        bed.assert_sound().await;
        assert_gone(&bed, secret).await;
        // Again: there is nothing left to do.
        let again = approved(&bed).redact(&versions, &because(REASON)).await.unwrap();
        assert_eq!((again.places, again.entries.len()), (Vec::new(), 0));
        assert_eq!(bed.entries("planner").await.len(), 4);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_hashed_needs_no_approval() {
    for bed in Bed::each().await {
        let secret = "s3cret-in-an-ignored-field";
        let doc =
            format!(r#"{{"name": "a", "updated_at": "{secret}", "body": {{"cache": {{"x": ["{secret}"]}}, "n": 1}}}}"#);
        bed.put("planner", &doc).await;
        bed.import().await;
        bed.raw_set("planner", r#"{"updated_at": "now", "body": {"n": 1}}"#).await;
        let before = bed.entries("planner").await;
        let redact = redact(&bed, "planner", &["updated_at", "body.cache"]);
        let report = bed.project.redact(&redact, &because(REASON)).await.unwrap();
        assert_eq!((report.entries.len(), report.needs_approval), (1, false), "{}", bed.name());
        assert_eq!(bed.entries("planner").await[0].header, before[0].header);
        bed.assert_sound().await;
        assert_gone(&bed, secret).await;
        assert_eq!(bed.state("planner").await, cfg_engine::engine::State::Clean);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_go_whole_where_that_is_asked_for() {
    for bed in Bed::each().await {
        let secret = "s3cret-in-a-message";
        leaked(&bed, "planner", secret).await;
        let mut redact = rewriting(&bed, "planner", &["body.leak", "body.in"]);
        (redact.messages, redact.versions) = (true, Some(vec![Seq(2), Seq(3)]));
        let refused = asking(&bed).await.redact(&redact, &because(REASON)).await.unwrap_err();
        assert!(matches!(refused, Error::ApprovalRequired { .. }), "{refused}");
        approved(&bed).redact(&redact, &because(REASON)).await.unwrap();
        let entries = bed.entries("planner").await;
        let messages: Vec<&str> = entries.iter().map(|entry| entry.message.as_str()).collect();
        assert_eq!(messages, ["a commit", "[REDACTED]", "[REDACTED]", REASON], "{}", bed.name());
        bed.assert_sound().await;
        assert_gone(&bed, secret).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn going_back_to_a_redacted_version_leaves_the_place_as_live_has_it() {
    for bed in Bed::each().await {
        leaked(&bed, "planner", "s3cret-that-never-comes-back").await;
        let redact = Redact { versions: Some(vec![Seq(2)]), ..rewriting(&bed, "planner", &PATHS) };
        approved(&bed).redact(&redact, &because(REASON)).await.unwrap();
        // Of two versions, one of them redacted, nothing is said of the place.
        let two = Reference::Seq(Seq(2));
        let diff = bed.project.diff(&bed.id("planner"), &two, &Reference::Head, None).await.unwrap();
        let mut changed: Vec<String> = diff.changes.iter().map(|change| change.path.to_string()).collect();
        changed.sort();
        assert_eq!(changed, ["n", "name"], "{}", bed.name());
        let mut redacted: Vec<String> = diff.redacted.iter().map(ToString::to_string).collect();
        redacted.sort();
        assert_eq!(redacted, ["body.in[0].k", "body.leak"]);
        bed.restore("planner", "@2").await.unwrap();
        let body = bed.live("planner", "body").await;
        let wanted = value(r#"{"keep": [1, 2.5], "leak": "rotated", "in": [{"k": "rotated"}]}"#);
        assert!(same(&body, &wanted), "{}: {}", bed.name(), body.to_json());
        assert_eq!(bed.live("planner", "name").await, "b".into());
        let entry = bed.entries("planner").await.pop().unwrap();
        assert_eq!(entry.header.meta.get("redacted").and_then(|v| v.as_array()).map(<[_]>::len), Some(2));
        // Once more: it is there already.
        bed.restore("planner", "@2").await.unwrap();
        assert_eq!(bed.entries("planner").await.len(), 5);
        // What a redacted version shows is not what can be committed.
        let shown = seq(&bed, "planner", 2).await.doc.unwrap();
        let refused =
            bed.project.commit(&Commit::new(bed.id("planner"), shown), &because("as shown")).await.unwrap_err();
        assert_eq!(refused.code(), "redacted", "{refused}");
        // Undoing the redacted change takes back the rest of it.
        let undo = Undo::new(bed.id("planner"), Reference::Seq(Seq(5)));
        bed.project.undo(&undo, &because("undo")).await.unwrap();
        assert_eq!(bed.live("planner", "name").await, "c".into());
        bed.assert_sound().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_record_comes_back_without_what_was_redacted_if_that_is_said() {
    for bed in Bed::each().await {
        leaked(&bed, "planner", "s3cret-of-a-deleted-record").await;
        bed.project.remove(&cfg_engine::engine::Remove::new(bed.id("planner")), &because("gone")).await.unwrap();
        approved(&bed).redact(&rewriting(&bed, "planner", &PATHS), &because(REASON)).await.unwrap();
        let refused = bed.restore("planner", "@3").await.unwrap_err();
        assert_eq!(refused.code(), "secrets_needed", "{}: {refused}", bed.name());
        let mut restore = Restore::new(bed.id("planner"), Reference::Seq(Seq(3)));
        restore.without_secrets = true;
        bed.project.restore(&restore, &because("back")).await.unwrap();
        assert_eq!(bed.live("planner", "body").await.get("leak"), None, "{}", bed.name());
        assert_eq!(bed.live("planner", "name").await, "c".into());
        bed.assert_sound().await;
    }
}

/// A server without transactions announces what it does, and whoever comes next finishes it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_every_step_on_a_server_without_transactions() {
    let harness = Arc::new(MongoHarness::on(STANDALONE));
    if !is_there(&*harness) {
        return;
    }
    killed_at_every_step(vec![Bed::open(harness, vec![Table::new("agents")]).await]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_every_step_it_is_finished_by_whoever_comes_next() {
    killed_at_every_step(Bed::each().await).await;
}

async fn killed_at_every_step(beds: Vec<Bed>) {
    for bed in beds {
        let approved = approved(&bed);
        let mut steps = 0;
        let mut secrets = Vec::new();
        loop {
            let (id, secret) = (format!("r{steps}"), format!("s3cret-number-{steps}-of-many"));
            leaked(&bed, &id, &secret).await;
            let redact = rewriting(&bed, &id, &PATHS);
            let outcome = bed.between.killed(steps, approved.redact(&redact, &because(REASON))).await;
            secrets.push(secret);
            let finished = matches!(outcome, Some(Ok(_)));
            assert!(outcome.is_none() || finished, "{}: {outcome:?}", bed.name());
            let begun = bed.project.unfinished_redactions().await.unwrap();
            match begun.as_slice() {
                // Nothing was begun, or all of it is done: the same call again is all that it takes.
                [] => drop(approved.redact(&redact, &because(REASON)).await.unwrap()),
                [token] => drop(approved.redact_resume(Some(&token[..12]), &because("")).await.unwrap()),
                more => panic!("{more:?}"),
            }
            assert_eq!(bed.project.unfinished_redactions().await.unwrap(), Vec::<String>::new());
            let redactions = bed.entries(&id).await.iter().filter(|e| e.header.op.as_str() == "redact").count();
            assert_eq!(redactions, 1, "{} after {steps} steps", bed.name());
            if finished {
                break;
            }
            steps += 1;
            assert!(steps < 100, "it never ends");
        }
        assert!(steps > 8, "{}: {steps} steps", bed.name());
        bed.assert_sound().await;
        for secret in secrets {
            assert_gone(&bed, &secret).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_history_goes_batch_by_batch() {
    for bed in Bed::each().await {
        let secret = "s3cret-of-a-long-history";
        for n in 0..3 {
            let doc = format!(r#"{{"n": {n}, "body": {{"leak": "{secret}"}}}}"#);
            let commit = Commit::new(bed.id("planner"), value(&doc));
            bed.project.commit(&commit, &because(&format!("{secret} once more"))).await.unwrap();
        }
        let record = bed.id("planner");
        let big = format!(r#"{{"n": 9, "body": {{"leak": "{secret}", "big": "{}"}}}}"#, "x".repeat(3_500_000));
        bed.project.commit(&Commit::new(record.clone(), value(&big)), &because("big")).await.unwrap();
        bed.set("planner", &["n=10"]).await.unwrap();
        bed.set("planner", &["n=11"]).await.unwrap();
        bed.raw_set("planner", r#"{"body": {"leak": "rotated"}}"#).await;
        bed.adopt().await;
        let redact = rewriting(&bed, "planner", &["body.leak"]);
        // Killed between two of its batches, and finished.
        let killed = bed.between.killed(34, approved(&bed).redact(&redact, &because(REASON))).await;
        if killed.is_none() {
            let _ = approved(&bed).redact(&redact, &because(REASON)).await.unwrap();
        }
        let entries = bed.entries("planner").await;
        let redactions = entries.iter().filter(|e| e.header.op.as_str() == "redact").count();
        assert!(redactions >= 3, "{}: {redactions} batches", bed.name());
        assert!(entries.iter().all(|entry| !entry.message.contains(secret)), "{}", bed.name());
        bed.assert_sound().await;
        assert_gone(&bed, secret).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_it_cannot_do_it_says_and_nothing_happens() {
    for bed in Bed::each().await {
        let secret = "s3cret-in-the-way";
        leaked(&bed, "planner", secret).await;
        let picture = bed.space.picture().await;
        let code = |result: Result<RedactReport, Error>| result.unwrap_err().code().to_owned();
        let approved = approved(&bed);
        let run = async |redact: Redact, reason: &str| code(approved.redact(&redact, &because(reason)).await);
        assert_eq!(run(rewriting(&bed, "planner", &PATHS), " ").await, "message_required");
        assert_eq!(run(rewriting(&bed, "planner", &[]), REASON).await, "nothing_to_redact");
        assert_eq!(run(rewriting(&bed, "planner", &["a..b"]), REASON).await, "bad_path");
        assert_eq!(run(rewriting(&bed, "planner", &["id"]), REASON).await, "bad_path");
        assert_eq!(run(rewriting(&bed, "planner", &["body.lek"]), REASON).await, "no_such");
        assert_eq!(run(rewriting(&bed, "nobody", &["body"]), REASON).await, "no_record");
        assert_eq!(run(rewriting(&bed, "planner", &["body"]), "it was AKIA0123456789ABCDEF").await, "secret_found");
        assert_eq!(run(rewriting(&bed, "planner", &["AKIA0123456789ABCDEF"]), REASON).await, "secret_found");
        assert_eq!(run(rewriting(&bed, "planner", &PATHS), &format!("it was {secret}")).await, "secret_found");
        let seven = Redact { versions: Some(vec![Seq(2), Seq(7)]), ..rewriting(&bed, "planner", &PATHS) };
        assert_eq!(run(seven, REASON).await, "no_version");
        assert_eq!(bed.space.picture().await, picture, "{}", bed.name());
        // Places that were not named, and hold it still, are.
        let report = approved.redact(&rewriting(&bed, "planner", &["body.leak"]), &because(REASON)).await.unwrap();
        let left: Vec<String> = report.left.iter().flat_map(|p| &p.paths).map(ToString::to_string).collect();
        assert_eq!(left, ["body.in[0].k"], "{}", bed.name());
    }
}

const COMES_BACK: &str = "s3cret-that-would-come-back";

/// A verb that brings an older version back, and a redaction of that version right before any call that it makes of
/// the store: what was taken out does not come back with what was read before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_redacted_meanwhile_does_not_come_back() {
    for bed in Bed::each().await {
        for verb in ["restore", "restore --tag", "undo"] {
            let mut moments = 0;
            for call in ["records", "digests", "entries", "addresses", "objects", "apply"] {
                for skipped in 0.. {
                    let id = format!("{}-{call}-{skipped}", verb.replace([' ', '-'], ""));
                    if !is_redacted_before(&bed, verb, call, skipped, &id).await {
                        break;
                    }
                    moments += 1;
                    let live = bed.live(&id, "body").await.to_interchange();
                    assert!(!live.contains(COMES_BACK), "{}: {verb}, before {call} {skipped}: {live}", bed.name());
                }
            }
            assert!(moments > 2, "{}: {verb} made {moments} calls", bed.name());
        }
        bed.assert_sound().await;
        assert_gone(&bed, COMES_BACK).await;
    }
}

/// Brings a version back that is redacted right before the call of that name and number; returns whether there was such
/// a call before the version was live again.
async fn is_redacted_before(bed: &Bed, verb: &str, call: &'static str, number: usize, id: &str) -> bool {
    leaked(bed, id, COMES_BACK).await;
    let record = bed.id(id);
    let tag = SetTag {
        name: TagName::new(id).unwrap(),
        target: TagTarget::Versions(vec![(record.clone(), Reference::Seq(Seq(2)))]),
        force: false,
    };
    bed.project.set_tag(&tag, &because("with it")).await.unwrap();
    (0..number).for_each(|_| bed.between.before(call, async {}));
    let moment = Arc::new(std::sync::Mutex::new(None));
    let (noted, space) = (Arc::clone(&moment), Arc::clone(&bed.space));
    let (redactor, redact) =
        (Project::new(Arc::clone(&bed.space.store), settings().approved_for_conformance()), rewriting(bed, id, &PATHS));
    bed.between.before(call, async move {
        let body = space.raw_field(&redact.record, "body").await.to_interchange();
        *noted.lock().unwrap() = Some(body.contains(COMES_BACK));
        redactor.redact(&redact, &because(REASON)).await.unwrap();
    });
    let why = because("back to what it was");
    match verb {
        "restore" => drop(bed.project.restore(&Restore::new(record, Reference::Seq(Seq(2))), &why).await),
        "undo" => drop(bed.project.undo(&Undo::new(record, Reference::Seq(Seq(3))), &why).await),
        _ => {
            let back = RestoreAll { only: Some(vec![record]), ..RestoreAll::new(Moment::Tag(tag.name)) };
            drop(bed.project.restore_all(&back, &why, None).await);
        }
    }
    bed.between.forget_hooks();
    let moment = *moment.lock().unwrap();
    if moment != Some(false) {
        // It came too late, or never: the value is to go from this record as well.
        bed.restore(id, "@1").await.unwrap();
        approved(bed).redact(&rewriting(bed, id, &PATHS), &because(REASON)).await.unwrap();
    }
    moment == Some(false)
}

/// What a redaction left is as guarded as what was written: any other content is found.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fsck_finds_what_a_redaction_did_not_leave() {
    let plants = [
        (
            "a guess in the place of the mark",
            "content",
            Some(2),
            "doc = replace(doc, '[REDACTED]', 'guess') WHERE seq = 2 AND",
        ),
        ("another value beside it", "content", Some(2), "doc = replace(doc, 'keep', 'keeq') WHERE seq = 2 AND"),
        ("a version that says it is whole", "content", Some(2), "doc_state = 'present' WHERE seq = 2 AND"),
        ("a version that was not redacted", "content", Some(1), "doc_state = 'redacted' WHERE seq = 1 AND"),
        ("a message that was cut, written anew", "message", Some(3), "message = 'rotate it now' WHERE seq = 3 AND"),
        ("a message that nobody redacted", "message", Some(2), "message = '[REDACTED]' WHERE seq = 2 AND"),
        ("another list", "entry_id", Some(4), "meta = replace(meta, '\"2\"', '\"1\"') WHERE seq = 4 AND"),
    ];
    for (what, code, seq, sql) in plants {
        let dir = tempfile::tempdir().unwrap();
        let db = rusqlite::Connection::open(dir.path().join("app.db")).unwrap();
        db.execute_batch("CREATE TABLE agents (id TEXT PRIMARY KEY, doc TEXT NOT NULL)").unwrap();
        let mut config = Table::new("agents").config;
        (config.table, config.shape) = ("agents".to_owned(), cfg_engine::config::Shape::Doc);
        let options = cfg_engine_sqlite::SqliteOptions::new(dir.path().join("app.db"), vec![config]);
        let adapter = Arc::new(cfg_engine_sqlite::SqliteAdapter::open(options).unwrap());
        let project = Project::new(adapter, settings().approved_for_conformance());
        project.init(false).await.unwrap();
        let planner = project.record("planner").await.unwrap();
        let secret = "s3cret-under-guard";
        let docs = [("first", "none at all yet"), ("second", secret), (secret, "rotated by now")];
        for (message, leak) in docs {
            let doc = format!(r#"{{"name": "{}", "body": {{"keep": 1, "leak": "{leak}"}}}}"#, leak.len());
            project.commit(&Commit::new(planner.clone(), value(&doc)), &because(message)).await.unwrap();
        }
        let mut redact = Redact::new(planner.clone(), vec!["body.leak".to_owned()]);
        (redact.rewrite_history, redact.versions) = (true, Some(vec![Seq(2)]));
        project.redact(&redact, &because(REASON)).await.unwrap();
        assert_eq!(project.fsck(None).await.unwrap().findings, [], "{what}");
        let mine = "record_no = (SELECT record_no FROM cfg_records WHERE id_key = '\"planner\"')";
        assert_eq!(db.execute(&format!("UPDATE config_history SET {sql} {mine}"), []).unwrap(), 1, "{what}");
        let findings = project.fsck(None).await.unwrap().findings;
        assert!(findings.iter().any(|f| f.code == code && f.seq == seq.map(Seq)), "{what}: {findings:?}");
        assert!(findings.iter().all(|f| !f.problem.contains(secret)), "{what}");
    }
}
