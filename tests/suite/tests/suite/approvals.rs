//! Gated envs, on every store: nothing is written without an approval of that very plan, and with one it is
//! written once.

use std::sync::Arc;
use std::time::Duration;

use cfg_engine::adapter::StorageAdapter;
use cfg_engine::config::{Alert, Approver, LiveRule, PublicKey, ReasonRule, Settings};
use cfg_engine::document::{FieldPolicy, Object};
use cfg_engine::engine::{
    Activate, Adopt, Alarm, Commit, HistoryImport, Import, Moment, Options, Project, Redact, Remove, Restore,
    RestoreAll, SetTag, Signed, TagTarget, Undo,
};
use cfg_engine::history::{Author, AuthorClass, Entry, EnvName, Op, Reference, Seq, TagName};
use cfg_engine::plan::{ApprovalState, Verb, public_key};
use cfg_engine::{Error, Value};
use cfg_engine_conformance::{Table, object, value};

use crate::scenarios::Lines;
use crate::stores::{Bed, because, settings};

const BOB: [u8; 32] = [11; 32];
const CY: [u8; 32] = [12; 32];

fn approver(who: &str, seed: &[u8; 32]) -> Approver {
    Approver { who: who.to_owned(), key: Some(public_key(seed)) }
}

/// Who is told where somebody must be.
fn everybody() -> Option<Alert> {
    Some(Alert::Command(vec!["tell".to_owned(), "everybody".to_owned()]))
}

/// The settings under which the env is gated: Bob or Cy sign, and everybody is told.
fn strict() -> Settings {
    let mut strict = settings();
    strict.gated = true;
    strict.operator = Some("ana".to_owned());
    strict.rules.approvers = Some(vec![approver("bob", &BOB), approver("cy", &CY)]);
    strict.rules.alert = everybody();
    strict
}

fn on(bed: &Bed, settings: Settings) -> Project {
    Project::new(Arc::clone(&bed.space.store), settings).with_alarm(Arc::new(Bell::default()))
}

/// Closes the gate and returns a project in front of it.
async fn close(bed: &Bed, settings: Settings) -> Project {
    let project = on(bed, settings);
    project.init(false).await.unwrap();
    project
}

async fn sign(project: &Project, id: &str, who: &str, seed: &[u8; 32]) -> Result<ApprovalState, Error> {
    let statement = project.find_approval(id).await?.statement(who);
    let signed = Signed { signature: statement.sign(seed), statement };
    let approval = project.approve(id, &signed).await?;
    Ok(approval.state_at(project.now_there().await?))
}

async fn approved(project: &Project, asked: Result<(), Error>) -> String {
    let id = asked_for(asked);
    assert_eq!(sign(project, &id, "bob", &BOB).await.unwrap(), ApprovalState::Approved);
    id
}

#[track_caller]
fn asked_for(asked: Result<(), Error>) -> String {
    match asked {
        Err(Error::ApprovalRequired { id, state: ApprovalState::Pending, .. }) => id,
        other => panic!("expected to be asked for an approval: {other:?}"),
    }
}

#[track_caller]
fn code(outcome: Result<(), Error>) -> &'static str {
    match outcome {
        Err(error) => error.code(),
        Ok(()) => panic!("it was done"),
    }
}

/// Everything that a change could touch, and the env's own object.
async fn picture(bed: &Bed) -> Vec<String> {
    let mut seen = bed.space.picture().await;
    for object in bed.space.store.objects("env", None).await.unwrap() {
        seen.push(format!("{:?} {} {}", object.key, object.version, object.body.to_interchange()));
    }
    seen
}

/// A world on which every verb has something to do.
async fn world(bed: &Bed) {
    for id in ["planner", "critic", "judge"] {
        bed.put(id, r#"{"n": 0, "name": "a"}"#).await;
    }
    bed.import().await;
    let target = TagTarget::System { collection: None, as_of: None };
    let tag = SetTag { name: TagName::new("zero").unwrap(), target, force: false };
    bed.project.set_tag(&tag, &because("a tag")).await.unwrap();
    bed.set("planner", &["n=1"]).await.unwrap();
    bed.raw_set("critic", r#"{"n": 7}"#).await;
    bed.put("new", r#"{"n": 0, "name": "untracked"}"#).await;
}

/// Calls a verb that changes something. `None`: it has no need of an approval.
async fn call(bed: &Bed, project: &Project, verb: Verb, options: &Options) -> Option<Vec<Result<(), Error>>> {
    let done = |report: Result<cfg_engine::engine::Report, Error>| {
        let report = report?;
        report.rows.into_iter().try_for_each(|row| row.result.map(drop))
    };
    let planner = bed.id("planner");
    Some(match verb {
        Verb::Commit => vec![done(project.commit(&bed.setting("planner", &["n=5"]), options).await)],
        Verb::Restore => {
            let one = Restore::new(planner, Reference::Seq(Seq(1)));
            let all = RestoreAll::new(Moment::Tag(TagName::new("zero").unwrap()));
            let all = project.restore_all(&all, options, None).await;
            let all = all.map(drop);
            vec![done(project.restore(&one, options).await), all]
        }
        Verb::Adopt => vec![
            done(project.adopt(&Adopt::Records(vec![bed.id("critic")]), options, None).await),
            done(project.adopt(&Adopt::All, options, None).await),
        ],
        Verb::Import => {
            let history = HistoryImport { collection: bed.space.agents().name.clone(), seed_live: true };
            let line = r#"{"id": "old", "time": "2023-06-07T00:00:00Z", "doc": {"n": 3, "name": "x"}}"#;
            let mut lines = Lines::new(vec![line.to_owned()]);
            vec![
                done(project.import(&Import::default(), options, None).await),
                project.import_history(&history, &mut lines, options, None).await.map(drop),
            ]
        }
        Verb::Redact => {
            let paths = vec!["name".to_owned()];
            let redact = Redact { rewrite_history: true, ..Redact::new(bed.id("judge"), paths) };
            vec![project.redact(&redact, options).await.map(drop)]
        }
        Verb::Remove => vec![done(project.remove(&Remove::new(planner), options).await)],
        Verb::Undo => vec![done(project.undo(&Undo::new(planner, Reference::Seq(Seq(2))), options).await)],
        Verb::Tag => {
            let target = TagTarget::System { collection: None, as_of: None };
            let name = TagName::new("zero").unwrap();
            let tag = SetTag { name: name.clone(), target: target.clone(), force: true };
            let other = SetTag { name: TagName::new("other").unwrap(), target, force: false };
            vec![
                project.set_tag(&other, options).await.map(drop),
                project.set_tag(&tag, options).await.map(drop),
                project.delete_tag(&name, options).await.map(drop),
            ]
        }
        Verb::Policy => {
            let mut looser = project.settings().clone();
            looser.rules.expires = Duration::from_secs(3600 * 48);
            vec![on(bed, looser).loosen(options).await.map(drop)]
        }
        // These have tests of their own below: they need another table, or a damaged history.
        Verb::Activate | Verb::Repair => return None,
        // Exempt, as docs/approvals.md lists.
        Verb::Init | Verb::Link | Verb::Approval => return None,
        other => panic!("{other:?} is not in this table: does it pass the gate?"),
    })
}

/// P8, for every verb there is: without a valid approval nothing changes, however it is tried.
#[tokio::test]
async fn nothing_changes_without_an_approval() {
    for bed in Bed::each().await {
        world(&bed).await;
        let project = close(&bed, strict()).await;
        let before = picture(&bed).await;
        let mut edited = settings();
        edited.rules.expires = Duration::from_secs(3600 * 480);
        edited.rules.alert = everybody();
        let mut wide = strict();
        wide.rules.approvers = Some(vec![approver("mallory", &[66; 32])]);
        for verb in Verb::ALL {
            let mut asked = Vec::new();
            for (file, why) in [(strict(), "why"), (edited.clone(), "why"), (wide.clone(), "why")] {
                let project = on(&bed, file);
                let Some(outcomes) = call(&bed, &project, verb, &because(why)).await else { continue };
                for outcome in outcomes {
                    // Asked for twice, it is one request.
                    asked.push(asked_for(outcome));
                }
            }
            for id in &asked {
                // Waiting, it is none; nor is what was never asked for.
                for id in [id.as_str(), "0123456789ab"] {
                    let options = Options { approval: Some(id.to_owned()), ..because("why") };
                    for outcome in call(&bed, &project, verb, &options).await.unwrap_or_default() {
                        let code = code(outcome);
                        assert!(
                            ["approval_required", "no_such"].contains(&code),
                            "{}: {verb:?} under {id}: {code}",
                            bed.name()
                        );
                    }
                }
            }
            // Another name over the same store.
            let mut renamed = settings();
            renamed.env = EnvName::new("staging").unwrap();
            let renamed = on(&bed, renamed);
            assert!(renamed.init(false).await.is_err());
            for outcome in call(&bed, &renamed, verb, &because("why")).await.unwrap_or_default() {
                assert!(outcome.is_err(), "{}: {verb:?} by another name", bed.name());
            }
            assert_eq!(picture(&bed).await, before, "{}: {verb:?}", bed.name());
        }
        // Signed by somebody whom only an edited file knows.
        let wide = on(&bed, wide);
        let id = asked_for(call(&bed, &wide, Verb::Commit, &because("why")).await.unwrap().remove(0));
        assert_eq!(code(sign(&wide, &id, "mallory", &[66; 32]).await.map(drop)), "may_not_approve");
        assert_eq!(picture(&bed).await, before, "{}", bed.name());
    }
}

/// With an approval each verb does what it does, once.
#[tokio::test]
async fn an_approval_is_good_for_one_time() {
    for verb in Verb::ALL {
        for bed in Bed::each().await {
            world(&bed).await;
            let project = close(&bed, strict()).await;
            let Some(asked) = call(&bed, &project, verb, &because("why")).await else { continue };
            let count = asked.len();
            for n in 0..count {
                // What is done moves the world on: what is left is asked for anew.
                let asked = call(&bed, &project, verb, &because("why")).await.unwrap();
                let Some(Err(Error::ApprovalRequired { .. })) = asked.get(n) else { continue };
                let id = approved(&project, asked.into_iter().nth(n).unwrap()).await;
                let before = picture(&bed).await;
                let options = Options { approval: Some(id.clone()), ..because("why") };
                let done = call(&bed, &project, verb, &options).await.unwrap();
                let words: Vec<String> =
                    done.iter().map(|d| format!("{:?}", d.as_ref().map_err(Error::code))).collect();
                assert!(done[n].is_ok(), "{} {verb:?} {n}: {words:?} {:?}", bed.name(), done[n]);
                let after = picture(&bed).await;
                assert_ne!(after, before, "{} {verb:?} {n}", bed.name());
                for outcome in call(&bed, &project, verb, &options).await.unwrap() {
                    assert_eq!(code(outcome), "approval_used", "{} {verb:?}", bed.name());
                }
                assert_eq!(picture(&bed).await, after, "{} {verb:?}", bed.name());
            }
            bed_is_sound(&bed).await;
        }
    }
}

/// Reaching what is hashed needs an approval where nothing else does, and is told of where people want to be told.
#[tokio::test]
async fn history_is_rewritten_under_an_approval_on_every_env() {
    for bed in Bed::each().await {
        world(&bed).await;
        let mut open = strict();
        open.gated = false;
        let project = close(&bed, open).await;
        let paths = vec!["name".to_owned()];
        let redact = Redact { rewrite_history: true, ..Redact::new(bed.id("judge"), paths) };
        let before = picture(&bed).await;
        let id = asked_for(project.redact(&redact, &because("why")).await.map(drop));
        let options = Options { approval: Some(id.clone()), ..because("why") };
        assert_eq!(code(project.redact(&redact, &options).await.map(drop)), "approval_required");
        assert_eq!(picture(&bed).await, before, "{}", bed.name());
        assert_eq!(sign(&project, &id, "bob", &BOB).await.unwrap(), ApprovalState::Approved);
        // It is for this record, these paths and this reason.
        let other = Redact { record: bed.id("planner"), ..redact.clone() };
        assert_eq!(code(project.redact(&other, &options).await.map(drop)), "plan_differs", "{}", bed.name());
        assert_eq!(picture(&bed).await, before, "{}", bed.name());
        let report = project.redact(&redact, &options).await.unwrap();
        assert_eq!(report.entries.len(), 1);
        assert_eq!(code(project.redact(&redact, &options).await.map(drop)), "approval_used");
        bed_is_sound(&bed).await;
        // Every other change goes on without one.
        bed.set("planner", &["n=9"]).await.unwrap();
    }
}

async fn bed_is_sound(bed: &Bed) {
    assert_eq!(on(bed, strict()).fsck(None).await.unwrap().findings, [], "{}", bed.name());
}

/// An approval is for one plan: whatever else is asked for under it is refused.
#[tokio::test]
async fn an_approval_never_applies_another_plan() {
    for bed in Bed::each().await {
        world(&bed).await;
        let project = close(&bed, strict()).await;
        let set = |words: &'static [&'static str]| bed.setting("planner", words);
        let try_it = async |project: &Project, commit: &Commit, options: &Options| {
            project.commit(commit, options).await.map(drop)
        };
        let id = approved(&project, try_it(&project, &set(&["n=5"]), &because("why")).await).await;
        let before = picture(&bed).await;
        let under = |message: &str| Options { approval: Some(id.clone()), ..because(message) };
        for (commit, options) in [
            (set(&["n=6"]), under("why")),
            (set(&["n=5"]), under("another reason")),
            (bed.setting("judge", &["n=5"]), under("why")),
            (set(&["n=5", "name=b"]), under("why")),
            (Commit { force: true, ..set(&["n=5"]) }, under("why")),
            (
                set(&["n=5"]),
                Options {
                    author: Some(Author { id: "eve@example.com".into(), class: AuthorClass::Human }),
                    ..under("why")
                },
            ),
        ] {
            let refused = code(try_it(&project, &commit, &options).await);
            assert!(["plan_differs", "force_forbidden"].contains(&refused), "{}: {refused}", bed.name());
            assert_eq!(picture(&bed).await, before, "{}", bed.name());
        }
        // Another verb with the same outcome.
        let remove = project.remove(&Remove::new(bed.id("planner")), &under("why")).await.map(drop);
        assert_eq!(code(remove), "plan_differs", "{}", bed.name());
        // The same content on another head: somebody else was approved meanwhile.
        let other = approved(&project, try_it(&project, &set(&["name=c"]), &because("faster")).await).await;
        let options = Options { approval: Some(other), ..because("faster") };
        // After a restart, so to speak: what is known is in the store.
        try_it(&on(&bed, strict()), &set(&["name=c"]), &options).await.unwrap();
        let error = try_it(&project, &set(&["n=5"]), &under("why")).await.unwrap_err();
        assert_eq!((error.code(), error.kind().exit_code()), ("plan_differs", 2), "{}", bed.name());
        assert!(error.to_string().contains("HEAD"), "{error}");
        // Changed outside since it was asked for.
        let id = approved(&project, try_it(&project, &bed.setting("judge", &["n=9"]), &because("why")).await).await;
        bed.raw_set("judge", r#"{"n": 4}"#).await;
        let options = Options { approval: Some(id), ..because("why") };
        let refused = code(try_it(&project, &bed.setting("judge", &["n=9"]), &options).await);
        assert!(["dirty", "plan_differs"].contains(&refused), "{}: {refused}", bed.name());
        assert_eq!(bed.live("judge", "n").await, Value::from(4));
    }
}

/// A secret value is part of the plan, and the stored plan does not tell it.
#[tokio::test]
async fn a_plan_is_bound_to_its_secret() {
    let table = || {
        let mut table = Table::new("agents");
        table.config.policy = FieldPolicy::builder().secret_field("token").unwrap().build();
        vec![table]
    };
    for bed in Bed::each_with(table).await {
        bed.put("planner", r#"{"n": 0, "token": "old-value"}"#).await;
        bed.import().await;
        let project = close(&bed, strict()).await;
        let set = |words: &'static [&'static str]| bed.setting("planner", words);
        let first = asked_for(project.commit(&set(&["token=hunter2-hunter2"]), &because("rotate")).await.map(drop));
        let again = asked_for(project.commit(&set(&["token=hunter2-hunter2"]), &because("rotate")).await.map(drop));
        assert_eq!(first, again, "the same plan is one request");
        let other = asked_for(project.commit(&set(&["token=another-one"]), &because("rotate")).await.map(drop));
        assert_ne!(first, other);
        sign(&project, &first, "bob", &BOB).await.unwrap();
        let under = Options { approval: Some(first.clone()), ..because("rotate") };
        assert_eq!(code(project.commit(&set(&["token=another-one"]), &under).await.map(drop)), "plan_differs");
        assert_eq!(bed.live("planner", "token").await, Value::from("old-value"));
        for kind in ["approval", "approval_part"] {
            for object in bed.space.store.objects(kind, None).await.unwrap() {
                assert!(!object.body.to_interchange().contains("hunter2"), "{}", bed.name());
            }
        }
        project.commit(&set(&["token=hunter2-hunter2"]), &under).await.unwrap();
        assert_eq!(bed.live("planner", "token").await, Value::from("hunter2-hunter2"));
    }
}

/// Eight at once under one approval: one of them applies it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn eight_at_once_apply_one_approval_once() {
    for bed in Bed::each().await {
        world(&bed).await;
        let project = close(&bed, strict()).await;
        let id = approved(&project, project.adopt(&Adopt::All, &because("why"), None).await.map(drop)).await;
        let entries = bed.entries("critic").await.len();
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let project = on(&bed, strict());
                let options = Options { approval: Some(id.clone()), ..because("why") };
                tokio::spawn(async move { project.adopt(&Adopt::All, &options, None).await })
            })
            .collect();
        let mut written = 0;
        for task in tasks {
            match task.await.unwrap() {
                Ok(report) => written += report.written().count(),
                Err(error) => assert!(
                    ["approval_used", "approval_in_use", "plan_differs"].contains(&error.code()),
                    "{}: {error}",
                    bed.name()
                ),
            }
        }
        assert_eq!((written, bed.entries("critic").await.len()), (2, entries + 1), "{}", bed.name());
        assert_eq!(project.find_approval(&id).await.unwrap().batches, 1);
        bed_is_sound(&bed).await;
    }
}

/// A redaction of several batches that is killed, wherever, goes on under the approval it had, to its end.
#[tokio::test]
async fn a_redaction_that_was_killed_goes_on_under_its_approval() {
    const SECRET: &str = "s3cret-of-several-batches";
    for bed in Bed::each().await {
        let mut settings = strict();
        settings.gated = false;
        let through = Project::new(Arc::clone(&bed.between) as Arc<dyn StorageAdapter>, settings.clone())
            .with_alarm(Arc::new(Bell::default()));
        through.init(false).await.unwrap();
        let (mut step, mut batches) = (0, 0);
        for n in 0.. {
            let id = format!("r{n}");
            for version in 0..3 {
                let big = "x".repeat(3_200_000);
                let doc = format!(r#"{{"n": {version}, "name": "a", "body": {{"leak": "{SECRET}", "big": "{big}"}}}}"#);
                let doc = Value::from_json(&doc).unwrap();
                bed.project.commit(&Commit::new(bed.id(&id), doc), &because("a version")).await.unwrap();
            }
            let paths = vec!["body.leak".to_owned()];
            let redact = Redact { rewrite_history: true, ..Redact::new(bed.id(&id), paths) };
            let approval = approved(&through, through.redact(&redact, &because("why")).await.map(drop)).await;
            let under = Options { approval: Some(approval.clone()), ..because("why") };
            let outcome = bed.between.killed(step, through.redact(&redact, &under)).await;
            let finished = matches!(outcome, Some(Ok(_)));
            assert!(outcome.is_none() || finished, "{} after {step}: {outcome:?}", bed.name());
            if !finished {
                let project = on(&bed, settings.clone());
                let again = project.redact(&redact, &under).await.map(drop);
                let nothing_left = matches!(&again, Err(error) if error.code() == "approval_used");
                assert!(again.is_ok() || nothing_left, "{} after {step}: {again:?}", bed.name());
                if nothing_left && !project.unfinished_redactions().await.unwrap().is_empty() {
                    // Only its own notes are left, and to throw them away needs no approval.
                    project.redact_resume(None, &because("")).await.unwrap();
                }
                assert_eq!(project.unfinished_redactions().await.unwrap(), Vec::<String>::new(), "after {step}");
            }
            let entries = bed.entries(&id).await;
            let hides = |entry: &Entry| entry.doc.as_ref().is_none_or(|doc| !doc.to_interchange().contains(SECRET));
            assert!(entries.iter().all(hides), "{} after {step}", bed.name());
            batches = entries.iter().filter(|entry| entry.header.op == Op::Redact).count();
            if finished {
                break;
            }
            step += 4;
        }
        assert!(batches >= 2 && step >= 16, "{}: {batches} batches, {step} steps", bed.name());
        bed_is_sound(&bed).await;
    }
}

/// A restore of many that is killed half-way goes on under its approval, and nothing else can use it.
#[tokio::test]
async fn a_restore_that_was_killed_goes_on_under_its_approval() {
    const RECORDS: usize = 1000;
    for bed in Bed::each().await {
        let lines = (0..RECORDS)
            .map(|n| format!(r#"{{"id": "r{n:04}", "time": "2024-01-01T00:00:00Z", "doc": {{"n": 0, "name": "a"}}}}"#));
        let history = HistoryImport { collection: bed.space.agents().name.clone(), seed_live: true };
        let mut source = Lines::new(lines.collect());
        bed.project.import_history(&history, &mut source, &because("load"), None).await.unwrap();
        let target = TagTarget::System { collection: None, as_of: None };
        let tag = SetTag { name: TagName::new("zero").unwrap(), target, force: false };
        bed.project.set_tag(&tag, &because("a tag")).await.unwrap();
        let ids: Vec<String> = (0..RECORDS).map(|n| format!("r{n:04}")).collect();
        for ids in ids.chunks(500) {
            let items = ids.iter().map(|id| bed.setting(id, &["n=1"]).items.remove(0)).collect();
            bed.project.commit(&Commit::of(items), &because("all of them")).await.unwrap();
        }
        let project = Project::new(Arc::clone(&bed.between) as Arc<dyn StorageAdapter>, strict());
        project.init(false).await.unwrap();
        let back = RestoreAll::new(Moment::Tag(TagName::new("zero").unwrap()));
        let id = approved(&project, project.restore_all(&back, &because("back"), None).await.map(drop)).await;
        bed.between.limit(100);
        let under = Options { approval: Some(id.clone()), ..because("back") };
        {
            // The plan, and four batches of it; then nobody ever hears of this call again.
            let gone = Arc::new(tokio::sync::Notify::new());
            for n in 0..6 {
                let gone = Arc::clone(&gone);
                bed.between.before("apply", async move {
                    if n == 5 {
                        gone.notify_one();
                        std::future::pending::<()>().await;
                    }
                });
            }
            tokio::select! {
                outcome = project.restore_all(&back, &under, None) => panic!("{}: {outcome:?}", bed.name()),
                () = gone.notified() => {}
            }
        }
        let restored = async || {
            let rows = bed.space.raw.rows(bed.space.agents()).await;
            let number = |row: &Value| row.get("n").or_else(|| row.get("doc")?.get("n")).and_then(Value::as_i64);
            rows.iter().filter(|row| number(row) == Some(0)).count()
        };
        let half = restored().await;
        assert_eq!(half, 400, "{}", bed.name());
        let project = on(&bed, strict());
        assert_eq!(
            project.find_approval(&id).await.unwrap().state_at(project.now_there().await.unwrap()),
            ApprovalState::Applying
        );
        // Another change under it, and a resume without it.
        let outcome = project.commit(&bed.setting("r0000", &["n=9"]), &under).await.map(drop);
        assert_eq!(code(outcome), "plan_differs", "{}", bed.name());
        let outcome = project.remove(&Remove::new(bed.id("r0999")), &under).await.map(drop);
        assert_eq!(code(outcome), "plan_differs", "{}", bed.name());
        let token = project.unfinished().await.unwrap().remove(0);
        let without = project.resume(&token, None, &because("back"), None).await.map(drop);
        assert!(without.is_err(), "{}", bed.name());
        assert_eq!(restored().await, half);
        // One record moved meanwhile: it is left and reported, and the others are done.
        bed.raw_set("r0700", r#"{"n": 5}"#).await;
        let report = project.resume(&token, None, &under, None).await.unwrap();
        let failed: Vec<String> = report.failed().map(|(record, _)| record.id.to_string()).collect();
        assert_eq!(failed, ["r0700"], "{}", bed.name());
        assert_eq!(restored().await, RECORDS - 1, "{}", bed.name());
        bed_is_sound(&bed).await;
    }
}

/// Who may say yes, and what ends a request.
#[tokio::test]
async fn who_decides() {
    for bed in Bed::each().await {
        world(&bed).await;
        let mut two = strict();
        two.rules.required = 2;
        let project = close(&bed, two.clone()).await;
        let ask = async |n: u32| {
            let commit = bed.setting("planner", &[["n=50", "n=51", "n=52", "n=53"][n as usize]]);
            project.commit(&commit, &because("why")).await.map(drop)
        };
        let id = asked_for(ask(0).await);
        assert_eq!(sign(&project, &id, "bob", &BOB).await.unwrap(), ApprovalState::Pending);
        assert_eq!(code(sign(&project, &id, "bob", &BOB).await.map(drop)), "approved_already");
        assert_eq!(code(sign(&project, &id, "cy", &BOB).await.map(drop)), "may_not_approve");
        // A file that asks for fewer is not asked.
        let mut fewer = two.clone();
        fewer.rules.required = 1;
        let under = Options { approval: Some(id.clone()), ..because("why") };
        let outcome = on(&bed, fewer).commit(&bed.setting("planner", &["n=50"]), &under).await.map(drop);
        assert_eq!(code(outcome), "approval_required", "{}", bed.name());
        assert_eq!(sign(&project, &id, "cy", &CY).await.unwrap(), ApprovalState::Approved);
        // An agent cannot, whatever it holds.
        let id = asked_for(ask(1).await);
        let mut agent = two.clone();
        agent.author.class = AuthorClass::Agent;
        assert_eq!(code(sign(&on(&bed, agent), &id, "bob", &BOB).await.map(drop)), "agent_cannot_approve");
        // Who asked cannot sign, under whatever author name.
        let mut asker = two.clone();
        asker.operator = Some("bob".to_owned());
        asker.author.id = "somebody.else@example.com".to_owned();
        let asked = on(&bed, asker).commit(&bed.setting("judge", &["n=8"]), &because("mine")).await.map(drop);
        let own = asked_for(asked);
        assert_eq!(code(sign(&project, &own, "bob", &BOB).await.map(drop)), "may_not_approve");
        // A no is the end.
        project.deny(&id, "not today").await.unwrap();
        let under = Options { approval: Some(id.clone()), ..because("why") };
        let error = project.commit(&bed.setting("planner", &["n=51"]), &under).await.map(drop).unwrap_err();
        assert_eq!((error.code(), error.kind().exit_code()), ("approval_denied", 7));
        assert_eq!(code(sign(&project, &id, "bob", &BOB).await.map(drop)), "already_decided");
        // Time is the end of what is approved, too: the store's. A file may give it less.
        let mut brief = two.clone();
        brief.rules.expires = Duration::from_secs(2);
        let asked = on(&bed, brief).commit(&bed.setting("planner", &["n=52"]), &because("why")).await.map(drop);
        let id = asked_for(asked);
        sign(&project, &id, "bob", &BOB).await.unwrap();
        sign(&project, &id, "cy", &CY).await.unwrap();
        let expires_at = project.find_approval(&id).await.unwrap().expires_at;
        tokio::time::sleep(Duration::from_millis(2300)).await;
        if project.now_there().await.unwrap() < expires_at {
            // The model's clock moves when it is told to; that of a real store does by itself.
            assert!(bed.name().starts_with("memory"), "{}: its clock stands still", bed.name());
            continue;
        }
        let under = Options { approval: Some(id.clone()), ..because("why") };
        let error = project.commit(&bed.setting("planner", &["n=52"]), &under).await.map(drop).unwrap_err();
        assert_eq!((error.code(), error.kind().exit_code()), ("approval_expired", 4), "{}", bed.name());
        assert_eq!(bed.live("planner", "n").await, Value::from(1), "{}", bed.name());
    }
}

/// What the rules ask for is asked of every plan, approved or not.
#[tokio::test]
async fn rules_of_an_env() {
    for bed in Bed::each().await {
        world(&bed).await;
        let mut rules = strict();
        rules.rules.require_reason = ReasonRule::Matching(vec!["^INC-[0-9]+".to_owned()]);
        rules.rules.require_clean = true;
        let project = close(&bed, rules).await;
        let commit = bed.setting("planner", &["n=5"]);
        assert_eq!(code(project.commit(&commit, &because("why")).await.map(drop)), "reason_required");
        asked_for(project.commit(&commit, &because("INC-7 why")).await.map(drop));
        // Adopting is how a record gets clean.
        asked_for(project.adopt(&Adopt::All, &because("INC-7 why"), None).await.map(drop));
        let mut all = RestoreAll::new(Moment::Tag(TagName::new("zero").unwrap()));
        all.adopt_drift = true;
        let outcome = project.restore_all(&all, &because("INC-7 why"), None).await.map(drop);
        assert_eq!(code(outcome), "dirty", "{}", bed.name());
        // Only CFG_ENV asked for it.
        let mut ambient = strict();
        ambient.ambient = true;
        let outcome = on(&bed, ambient).commit(&commit, &because("INC-7 why")).await.map(drop);
        assert_eq!(code(outcome), "ambient_gated_env", "{}", bed.name());
    }
}

/// Hears every alert, or none.
#[derive(Default)]
struct Bell {
    rings: std::sync::Mutex<Vec<String>>,
    is_deaf: bool,
}

impl Bell {
    fn heard(&self) -> Vec<String> {
        self.rings.lock().unwrap().clone()
    }
}

#[async_trait::async_trait]
impl Alarm for Bell {
    async fn raise(&self, to: &Alert, alert: &Object) -> Result<(), String> {
        if self.is_deaf {
            return Err("nobody there".to_owned());
        }
        self.rings.lock().unwrap().push(format!("{} {}", to.label(), Value::Object(alert.clone()).to_interchange()));
        Ok(())
    }
}

fn deaf() -> Arc<Bell> {
    Arc::new(Bell { is_deaf: true, ..Bell::default() })
}

/// A forced change of a gated env is forbidden, or approved, told of, and rare.
#[tokio::test]
async fn a_forced_change_is_approved_told_of_and_rare() {
    for bed in Bed::each().await {
        world(&bed).await;
        let mut open = strict();
        open.rules.emergency_override = true;
        open.rules.emergency_per_hour = 2;
        open.rules.alert = None;
        let force = |n: u32| {
            let word: &'static str = ["n=20", "n=21", "n=22"][n as usize];
            Commit { force: true, ..bed.setting("critic", &[word]) }
        };
        let run = async |project: &Project, n: u32, approval: Option<String>| {
            project.commit(&force(n), &Options { approval, ..because("on fire") }).await.map(drop)
        };
        // What could not be told of is not even asked for: nobody is named, or only by a file.
        let project = close(&bed, open.clone()).await;
        assert_eq!(code(run(&project, 0, None).await), "alert_missing", "{}", bed.name());
        open.rules.alert = everybody();
        assert_eq!(code(run(&on(&bed, open.clone()), 0, None).await), "alert_missing", "{}", bed.name());
        assert_eq!(project.approvals().await.unwrap(), [], "{}", bed.name());
        let project = close(&bed, open.clone()).await;
        let id = approved(&project, run(&project, 0, None).await).await;
        // Nobody who carries it, somebody who does not hear, another command: refused.
        let alone = Project::new(Arc::clone(&bed.space.store), open.clone());
        assert_eq!(code(run(&alone, 0, Some(id.clone())).await), "alert_undelivered", "{}", bed.name());
        let nobody = on(&bed, open.clone()).with_alarm(deaf());
        assert_eq!(code(run(&nobody, 0, Some(id.clone())).await), "alert_undelivered");
        let bell = Arc::new(Bell::default());
        let mut other = open.clone();
        other.rules.alert = Some(Alert::Command(vec!["true".to_owned()]));
        let other = on(&bed, other).with_alarm(Arc::clone(&bell) as Arc<dyn Alarm>);
        assert_eq!(code(run(&other, 0, Some(id.clone())).await), "alert_differs");
        assert_eq!(bed.live("critic", "n").await, Value::from(7), "{}", bed.name());
        let heard = on(&bed, open).with_alarm(Arc::clone(&bell) as Arc<dyn Alarm>);
        run(&heard, 0, Some(id)).await.unwrap();
        assert_eq!(bed.live("critic", "n").await, Value::from(20), "{}", bed.name());
        assert!(bell.heard()[0].starts_with("tell {"), "{}", bed.name());
        let id = approved(&heard, run(&heard, 1, None).await).await;
        run(&heard, 1, Some(id)).await.unwrap();
        let id = approved(&heard, run(&heard, 2, None).await).await;
        assert_eq!(code(run(&heard, 2, Some(id)).await), "too_many_emergencies", "{}", bed.name());
        assert_eq!(bell.heard().len(), 2);
        bed_is_sound(&bed).await;
    }
}

/// History is not rewritten behind anybody's back: on every env, gated or not, somebody is told first, and who that
/// is is not for whoever rewrites it to say.
#[tokio::test]
async fn nobody_rewrites_history_unheard() {
    for gated in [false, true] {
        for bed in Bed::each().await {
            let name = format!("{}, gated: {gated}", bed.name());
            world(&bed).await;
            let mut file = strict();
            (file.gated, file.rules.alert) = (gated, None);
            let mute = close(&bed, file.clone()).await;
            let redact = Redact { rewrite_history: true, ..Redact::new(bed.id("judge"), vec!["name".to_owned()]) };
            let run = async |project: &Project, approval: Option<String>| {
                project.redact(&redact, &Options { approval, ..because("why") }).await.map(drop)
            };
            let before = picture(&bed).await;
            let refused = run(&mute, None).await.unwrap_err();
            assert_eq!(refused.code(), "alert_missing", "{name}");
            let hint = refused.hint().unwrap();
            for said in ["[env.dev.rules] of .cfg.toml", "alert = ", "cfg init --env dev"] {
                assert!(hint.contains(said), "{name}: {hint}");
            }
            let dry = Options { dry_run: true, ..because("why") };
            let blocked = async |project: &Project| {
                let report = project.redact(&redact, &dry).await.unwrap();
                report.blocked.map(|error| error.code())
            };
            assert_eq!(blocked(&mute).await, Some("alert_missing"), "{name}");
            // Only this file names somebody: the next would name another.
            file.rules.alert = everybody();
            let project = on(&bed, file.clone());
            assert_eq!(code(run(&project, None).await), "alert_missing", "{name}");
            assert_eq!(mute.approvals().await.unwrap(), [], "{name}");
            assert_eq!(picture(&bed).await, before, "{name}");
            // Pinned: that is stricter, and needs nobody's approval.
            project.init(false).await.unwrap();
            assert_eq!(blocked(&project).await, None, "{name}");
            let id = approved(&project, run(&project, None).await).await;
            // Another file, an edited one, one without: they neither rewrite nor change who is told.
            let mut elsewhere = file.clone();
            elsewhere.rules.alert = Some(Alert::Command(vec!["true".to_owned()]));
            let mut own = elsewhere.clone();
            own.rules.approvers = Some(vec![approver("mallory", &[66; 32])]);
            let mut none = file.clone();
            (none.rules.alert, none.rules.approvers) = (None, None);
            for other in [&elsewhere, &own, &none] {
                let bell = Arc::new(Bell::default());
                let other = on(&bed, other.clone()).with_alarm(Arc::clone(&bell) as Arc<dyn Alarm>);
                for approval in [None, Some(id.clone())] {
                    let refused = code(run(&other, approval).await);
                    assert!(["alert_differs", "approval_required"].contains(&refused), "{name}: {refused}");
                }
                assert_eq!(blocked(&other).await, Some("alert_differs"), "{name}");
                assert_eq!(bell.heard(), Vec::<String>::new(), "{name}");
                other.init(false).await.unwrap();
                let held = other.policy_standing().await.unwrap().stored.unwrap().rules;
                assert_eq!((&held.alert, &held.approvers), (&file.rules.alert, &file.rules.approvers), "{name}");
                // To name somebody else is a change that others approve.
                asked_for(other.loosen(&because("somebody else")).await.map(drop));
                assert_eq!(
                    sign(&other, &id, "mallory", &[66; 32]).await.map_err(|error| error.code()).err(),
                    Some("already_decided"),
                    "{name}"
                );
            }
            // Not delivered: nothing happens, and the approval is as good as before.
            let nobody = on(&bed, file.clone()).with_alarm(deaf());
            assert_eq!(code(run(&nobody, Some(id.clone())).await), "alert_undelivered", "{name}");
            assert_eq!(bed.entries("judge").await[0].doc.as_ref().unwrap().get("name"), Some(&"a".into()), "{name}");
            let bell = Arc::new(Bell::default());
            let project = on(&bed, file.clone()).with_alarm(Arc::clone(&bell) as Arc<dyn Alarm>);
            run(&project, Some(id)).await.unwrap();
            assert_eq!(bell.heard().len(), 1, "{name}");
            assert!(bell.heard()[0].contains("history_redacted"), "{name}: {:?}", bell.heard());
            bed_is_sound(&bed).await;
            // Named anew, under an approval.
            let mut other = file;
            other.rules.alert = Some(Alert::Variable("HOOK".to_owned()));
            let other = on(&bed, other);
            let id = approved(&project, other.loosen(&because("a new channel")).await.map(drop)).await;
            other.loosen(&Options { approval: Some(id), ..because("a new channel") }).await.unwrap();
            let redact = Redact { record: bed.id("planner"), ..redact };
            asked_for(other.redact(&redact, &because("why")).await.map(drop));
            // Whoever still has the old one finds out when he looks again.
            let old = on(&bed, project.settings().clone());
            assert_eq!(code(old.redact(&redact, &because("why")).await.map(drop)), "alert_differs", "{name}");
        }
    }
}

/// Whoever has the project open when the gate closes writes nothing any more: not even within the second
/// in which he does not look.
#[tokio::test]
async fn a_gate_that_closes_is_closed_for_whoever_is_inside() {
    for bed in Bed::each().await {
        world(&bed).await;
        bed.set("planner", &["n=2"]).await.unwrap();
        let (store, gate) = (Arc::clone(&bed.space.store), strict());
        bed.between.before("apply", async move {
            Project::new(store, gate).init(false).await.unwrap();
        });
        let outcome = bed.set("planner", &["n=3"]).await.map(drop);
        assert_eq!(code(outcome), "approval_required", "{}", bed.name());
        assert_eq!(bed.live("planner", "n").await, Value::from(2), "{}", bed.name());
    }
}

/// Looser only by an approval of its own, and then it holds.
#[tokio::test]
async fn loosening_is_a_gated_change() {
    for bed in Bed::each().await {
        world(&bed).await;
        let gated = close(&bed, strict()).await;
        let loose = on(&bed, settings());
        loose.init(false).await.unwrap();
        asked_for(loose.commit(&bed.setting("planner", &["n=5"]), &because("why")).await.map(drop));
        let id = approved(&gated, loose.loosen(&because("no more gate")).await.map(drop)).await;
        let under = Options { approval: Some(id), ..because("no more gate") };
        loose.loosen(&under).await.unwrap();
        loose.commit(&bed.setting("planner", &["n=5"]), &because("why")).await.unwrap();
        assert_eq!(bed.live("planner", "n").await, Value::from(5), "{}", bed.name());
        assert_eq!(code(loose.loosen(&because("again")).await.map(drop)), "nothing_to_loosen");
    }
}

/// A repair writes too; what needs none does not wait for one.
#[tokio::test]
async fn a_repair_needs_an_approval_and_links_do_not() {
    let file = crate::damage::file().await;
    let planner = crate::damage::record(&file.project, "planner");
    for doc in [r#"{"n": 1}"#, r#"{"n": 2}"#] {
        file.project.commit(&Commit::new(planner.clone(), value(doc)), &because("why")).await.unwrap();
    }
    let project = Project::new(Arc::clone(file.project.adapter()), strict());
    project.init(false).await.unwrap();
    file.db.execute("UPDATE config_history SET valid_to = valid_to - 1 WHERE seq = 1", []).unwrap();
    let left = async || project.fsck(None).await.unwrap().findings.len();
    assert_eq!(left().await, 1);
    let asked = project.repair(&because("mend"), None).await.map(drop);
    assert_eq!(left().await, 1);
    let id = approved(&project, asked).await;
    let under = Options { approval: Some(id), ..because("mend") };
    project.repair(&under, None).await.unwrap();
    assert_eq!(left().await, 0);
    assert_eq!(code(project.repair(&under, None).await.map(drop)), "approval_used");
    project.link(&[(planner, Seq(2))], "a1b2c3d4e5f6", &because("link")).await.unwrap();
}

/// Rows of one id that take turns: the verb that needs such a table.
#[tokio::test]
async fn an_activation_needs_an_approval() {
    let table = || {
        let mut table = Table::new("agents");
        let rule = object(r#"{"active": true}"#);
        table.config.live_when = LiveRule::from_object(&rule).unwrap();
        table.config.retire_with = object(r#"{"active": false}"#);
        vec![table]
    };
    for bed in Bed::each_with(table).await {
        bed.put("planner", r#"{"n": 0, "active": true}"#).await;
        bed.import().await;
        bed.set("planner", &["n=1"]).await.unwrap();
        let project = close(&bed, strict()).await;
        let before = picture(&bed).await;
        let activate = Activate::new(bed.id("planner"), Reference::Seq(Seq(1)));
        let id = asked_for(project.activate(&activate, &because("why")).await.map(drop));
        assert_eq!(picture(&bed).await, before, "{}", bed.name());
        sign(&project, &id, "cy", &CY).await.unwrap();
        let under = Options { approval: Some(id), ..because("why") };
        project.activate(&activate, &under).await.unwrap();
        assert_ne!(picture(&bed).await, before, "{}", bed.name());
        assert_eq!(code(project.activate(&activate, &under).await.map(drop)), "approval_used");
    }
}

#[test]
fn keys_are_shown_as_they_are_read() {
    let key = public_key(&BOB);
    assert_eq!(PublicKey::parse(&key.to_string()), Some(key));
}

/// What was damaged of a request or of a plan that is being carried out is found, said what to do about, and
/// stands in nobody's way.
#[tokio::test]
async fn damaged_requests_are_found() {
    let plants = [
        ("DELETE FROM cfg_objects WHERE kind = 'approval_part'", "a part of its plan is missing", true),
        (
            "UPDATE cfg_objects SET body = replace(body, 'planner', 'plannex') WHERE kind = 'approval_part'",
            "not what its address says",
            true,
        ),
        ("UPDATE cfg_objects SET body = '{}' WHERE kind = 'approval_part'", "not what its address says", true),
        (
            "UPDATE cfg_objects SET body = replace(body, 'cheaper', 'dearest') WHERE kind = 'approval'",
            "its plan is not what",
            true,
        ),
        (
            "UPDATE cfg_objects SET body = replace(body, '\"forced\":false', '\"forced\":true') WHERE kind = 'approval'",
            "its plan is not what",
            true,
        ),
        ("UPDATE cfg_objects SET body = '{}' WHERE kind = 'approval'", "cannot be read", false),
    ];
    for (statement, problem, can_be_denied) in plants {
        let file = crate::damage::file().await;
        let planner = crate::damage::record(&file.project, "planner");
        let first = Commit::new(planner.clone(), value(r#"{"n": 1}"#));
        file.project.commit(&first, &because("why")).await.unwrap();
        let project = Project::new(Arc::clone(file.project.adapter()), strict());
        project.init(false).await.unwrap();
        let change = Commit::new(planner, value(r#"{"n": 2}"#));
        let id = approved(&project, project.commit(&change, &because("cheaper")).await.map(drop)).await;
        assert_eq!(project.fsck(None).await.unwrap().findings, [], "{statement}");
        let changed = file.db.execute(statement, []).unwrap();
        assert_eq!(changed, 1, "{statement}");
        let report = project.fsck(None).await.unwrap();
        let found: Vec<_> = report.findings.iter().map(|f| (f.code, f.object.clone(), f.repair.clone())).collect();
        assert_eq!(found, [("approval", Some(format!("approval {id}")), None)], "{statement}");
        assert!(report.findings[0].problem.contains(problem), "{statement}: {}", report.findings[0].problem);
        assert_eq!(report.exit_code(), 6);
        // It is no approval of anything else, and does not keep anybody from asking anew.
        let under = Options { approval: Some(id.clone()), ..because("dearest") };
        assert!(project.commit(&change, &under).await.is_err(), "{statement}");
        if can_be_denied {
            assert!(report.findings[0].problem.contains(&format!("cfg deny {id}")), "{statement}");
            project.deny(&id, "damaged").await.unwrap();
        }
        let again = approved(&project, project.commit(&change, &because("cheaper")).await.map(drop)).await;
        assert_ne!(again, id, "{statement}");
        project.commit(&change, &Options { approval: Some(again), ..because("cheaper") }).await.unwrap();
    }
}
