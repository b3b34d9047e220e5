//! Tags and restores of a whole system, on every store: races, interruptions, answers that never change.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cfg_engine::Value;
use cfg_engine::adapter::AsOf;
use cfg_engine::engine::{Commit, HistoryImport, Moment, Options, Project, RestoreAll, SetTag, State, TagTarget};
use cfg_engine::history::{EnvName, Op, RecordKey, Reference, Seq, TagName, Timestamp};
use cfg_engine_conformance::{Random, Space, Table, value};

use crate::scenarios::Lines;
use crate::stores::{Bed, because};

const RECORDS: usize = 40;

fn name(text: &str) -> TagName {
    TagName::new(text).unwrap()
}

fn back(tag: &str) -> RestoreAll {
    RestoreAll::new(Moment::Tag(name(tag)))
}

async fn tag(project: &Project, tag: &str) {
    let target = TagTarget::System { collection: None, as_of: None };
    project.set_tag(&SetTag { name: name(tag), target, force: false }, &because("a tag")).await.unwrap();
}

/// Records `r00` … with `n: 0`, tagged `zero`; then all of them with `n: 1`, tagged `one`; then `n: 2`.
async fn three_states(bed: &Bed) -> Vec<RecordKey> {
    let ids: Vec<String> = (0..RECORDS).map(|n| format!("r{n:02}")).collect();
    for id in &ids {
        bed.put(id, r#"{"n": 0, "name": "a record"}"#).await;
    }
    bed.import().await;
    tag(&bed.project, "zero").await;
    set_all(bed, &ids, 1).await;
    tag(&bed.project, "one").await;
    set_all(bed, &ids, 2).await;
    ids.iter().map(|id| bed.id(id)).collect()
}

async fn set_all(bed: &Bed, ids: &[String], n: usize) {
    let setting = |id: &String| bed.setting(id, &[&format!("n={n}")]).items.remove(0);
    bed.project.commit(&Commit::of(ids.iter().map(setting).collect()), &because("all of them")).await.unwrap();
}

async fn numbers(bed: &Bed) -> Vec<i64> {
    let rows = bed.space.raw.rows(bed.space.agents()).await;
    let number = |row: &Value| row.get("n").or_else(|| row.get("doc")?.get("n")).and_then(Value::as_i64);
    rows.iter().map(|row| number(row).unwrap()).collect()
}

/// Returns how many restore entries each record has.
async fn restores(bed: &Bed, records: &[RecordKey]) -> Vec<usize> {
    let mut counts = Vec::new();
    for record in records {
        let id = record.id.to_string();
        let entries = bed.entries(&id).await;
        counts.push(entries.iter().filter(|entry| entry.header.op == Op::Restore).count());
    }
    counts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_restores_to_one_target_are_one() {
    for bed in Bed::each().await {
        let records = three_states(&bed).await;
        let race = (0..2).map(|_| {
            let project = bed.colleague();
            tokio::spawn(async move { project.restore_all(&back("zero"), &because("back"), None).await.unwrap() })
        });
        for done in race.collect::<Vec<_>>() {
            let report = done.await.unwrap();
            assert_eq!(report.failed().count(), 0, "{}: {:?}", bed.name(), report.failed().next());
        }
        assert_eq!(numbers(&bed).await, vec![0; RECORDS], "{}", bed.name());
        assert_eq!(restores(&bed, &records).await, vec![1; RECORDS], "{}", bed.name());
        bed.assert_sound().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_restores_to_different_targets_leave_each_record_at_one_of_them() {
    for bed in Bed::each().await {
        let records = three_states(&bed).await;
        let race = ["zero", "one"].map(|to| {
            let project = bed.colleague();
            tokio::spawn(async move { project.restore_all(&back(to), &because(to), None).await.unwrap() })
        });
        let mut written = 0;
        for done in race {
            let report = done.await.unwrap();
            written += usize::try_from(report.written()).unwrap();
            // What the other one was faster with is refused, and said.
            let codes: BTreeSet<&str> = report.failed().map(|(_, error)| error.code()).collect();
            assert!(codes.is_subset(&BTreeSet::from(["stale_head", "contended"])), "{}: {codes:?}", bed.name());
        }
        assert!(numbers(&bed).await.iter().all(|n| [0, 1].contains(n)), "{}", bed.name());
        assert_eq!(restores(&bed, &records).await.iter().sum::<usize>(), written, "{}", bed.name());
        bed.assert_sound().await;
    }
}

#[tokio::test]
async fn a_commit_after_the_plan_was_made_is_never_overwritten() {
    for bed in Bed::each().await {
        three_states(&bed).await;
        let options = because("back");
        let prepared = bed.project.prepare_restore(&bed.project, &back("zero"), &options, None).await.unwrap();
        bed.colleague().commit(&bed.setting("r07", &["n=77"]), &because("meanwhile")).await.unwrap();
        bed.raw_set("r08", r#"{"n": 88}"#).await;
        // And one more while it is being written.
        let (colleague, setting) = (bed.colleague(), bed.setting("r09", &["n=99"]));
        bed.between.before("apply", async move {
            // The first batch keeps the plan.
            colleague.commit(&setting, &because("in between")).await.unwrap();
        });
        let report = prepared.carry_out(&options, None).await.unwrap();
        let failed: BTreeMap<String, &str> =
            report.failed().map(|(record, error)| (record.id.to_string(), error.code())).collect();
        let expected = [("r07", "stale_head"), ("r08", "stale_live"), ("r09", "stale_head")];
        let expected: BTreeMap<String, &str> = expected.map(|(id, code)| (id.to_owned(), code)).into();
        assert_eq!(failed, expected, "{}", bed.name());
        for (id, n) in [("r07", 77), ("r08", 88), ("r09", 99), ("r10", 0)] {
            assert_eq!(bed.live(id, "n").await, Value::from(n), "{}: {id}", bed.name());
        }
        assert!(report.restore_token.is_some());
        bed.assert_sound().await;
    }
}

/// A restore that is dropped somewhere and resumed, again and again, ends as an undisturbed one.
#[tokio::test]
async fn a_restore_that_is_interrupted_is_resumed() {
    let rounds = if std::env::var_os("CFG_TEST_NIGHTLY").is_some() { 100 } else { 8 };
    for round in 0..rounds {
        for bed in Bed::each().await {
            let records = three_states(&bed).await;
            bed.between.limit(3);
            let mut random = Random::new(round);
            let options = because("back");
            let mut restoring = true;
            for _ in 0..100 {
                // The next call of the store after so many is the last that is waited for.
                let calls = 2 + random.below(40) as usize;
                let interrupted = {
                    let between = &bed.between;
                    between.calls();
                    let work = async {
                        match bed.project.unfinished().await.unwrap().first() {
                            Some(token) => bed.project.resume(token, None, &options, None).await,
                            None => bed.project.restore_all(&back("zero"), &options, None).await,
                        }
                    };
                    tokio::pin!(work);
                    let stop = std::future::poll_fn(|_| match between.seen() > calls {
                        true => std::task::Poll::Ready(()),
                        false => std::task::Poll::Pending,
                    });
                    tokio::select! {
                        biased;
                        () = stop => true,
                        done = &mut work => {
                            assert_eq!(done.unwrap().failed().count(), 0, "{}", bed.name());
                            false
                        }
                    }
                };
                if !interrupted {
                    restoring = false;
                    break;
                }
            }
            assert!(!restoring, "{}: it never ended", bed.name());
            assert_eq!(numbers(&bed).await, vec![0; RECORDS], "{}", bed.name());
            assert_eq!(restores(&bed, &records).await, vec![1; RECORDS], "{}: round {round}", bed.name());
            assert_eq!(bed.project.unfinished().await.unwrap(), Vec::<String>::new());
            bed.assert_sound().await;
        }
    }
}

/// Two restores that would do the same to each record, both begun and neither done: that the one is finished takes nothing
/// from the other.
#[tokio::test]
async fn a_restore_that_is_done_takes_nothing_of_another() {
    for bed in Bed::each().await {
        let records = three_states(&bed).await;
        let versions = records.iter().map(|record| (record.clone(), Reference::Seq(Seq(1)))).collect();
        let same = SetTag { name: name("nought"), target: TagTarget::Versions(versions), force: false };
        bed.project.set_tag(&same, &because("what zero is")).await.unwrap();
        let plan = async |tag: &str| {
            let dry = Options { dry_run: true, ..because("back") };
            let report = bed.project.restore_all(&back(tag), &dry, None).await.unwrap();
            report.plan.unwrap().plan_oid.to_hex()
        };
        let (zero, nought) = (plan("zero").await, plan("nought").await);
        for (tag, token) in [("zero", &zero), ("nought", &nought)] {
            // Killed when its plan is kept, and nothing is carried out.
            for calls in 3.. {
                let (back, options) = (back(tag), because("back"));
                let work = bed.project.restore_all(&back, &options, None);
                assert!(bed.between.killed(calls, work).await.is_none(), "{}: {tag} was done", bed.name());
                if bed.project.unfinished().await.unwrap().contains(token) {
                    break;
                }
            }
        }
        assert_eq!(numbers(&bed).await, vec![2; RECORDS], "{}", bed.name());
        assert_eq!(bed.project.fsck(None).await.unwrap().findings, [], "{}", bed.name());
        let done = bed.project.resume(&nought, None, &because(""), None).await.unwrap();
        assert_eq!((done.written() as usize, done.failed().count()), (RECORDS, 0), "{}", bed.name());
        assert_eq!(bed.project.fsck(None).await.unwrap().findings, [], "{}", bed.name());
        // It can still be read, and finds that all of it is done.
        let left = bed.project.resume(&zero, None, &because(""), None).await.unwrap();
        assert_eq!((left.rows.len(), left.written(), left.failed().count()), (RECORDS, 0, 0), "{}", bed.name());
        assert_eq!(numbers(&bed).await, vec![0; RECORDS], "{}", bed.name());
        bed.assert_sound().await;
    }
}

#[tokio::test]
async fn a_preview_writes_another_store_only() {
    for bed in Bed::each().await {
        three_states(&bed).await;
        let space = Space::with(&bed.harness, vec![Table::new("agents")]).await;
        let mut settings = crate::stores::settings();
        settings.env = EnvName::new("preview").unwrap();
        let preview = Project::new(Arc::clone(&space.store), settings);
        preview.init(false).await.unwrap();
        let report = bed.project.restore_into(&preview, &back("zero"), &because("look"), None).await.unwrap();
        assert_eq!(report.written() as usize, RECORDS, "{}", bed.name());
        assert_eq!(numbers(&bed).await, vec![2; RECORDS], "{}: the env itself is only read", bed.name());
        assert_eq!(space.raw.rows(space.agents()).await.len(), RECORDS);
        let again = bed.project.restore_into(&preview, &back("zero"), &because("again"), None).await.unwrap();
        assert_eq!((again.written(), again.unchanged as usize), (0, RECORDS), "{}", bed.name());
        let other = bed.project.restore_into(&preview, &back("one"), &because("other"), None).await.unwrap();
        assert_eq!(other.written() as usize, RECORDS, "{}", bed.name());
        assert_eq!(preview.fsck(None).await.unwrap().findings, []);
        bed.assert_sound().await;
    }
}

#[tokio::test]
async fn a_restore_of_many_takes_few_round_trips() {
    for bed in Bed::each().await {
        three_states(&bed).await;
        bed.between.calls();
        let report = bed.project.restore_all(&back("zero"), &because("back"), None).await.unwrap();
        assert_eq!(report.written() as usize, RECORDS, "{}", bed.name());
        let calls = bed.between.calls();
        assert!(calls <= 16, "{}: {calls} calls", bed.name());
        let dry = Options { dry_run: true, ..because("back") };
        bed.project.restore_all(&back("one"), &dry, None).await.unwrap();
        let calls = bed.between.calls();
        assert!(calls <= 8, "{}: {calls} calls for a dry run", bed.name());
    }
}

/// Lines of three records at up to ten instants, deletions among them.
fn history(random: &mut Random) -> Vec<String> {
    let mut lines = Vec::new();
    for id in ["a", "b", "c"] {
        for at in 0..10 {
            if random.below(3) == 0 {
                continue;
            }
            let doc = match random.below(6) {
                0 => "null".to_owned(),
                _ => format!(r#"{{"n": {}, "name": "{id}"}}"#, random.below(4)),
            };
            lines.push(format!(r#"{{"id": "{id}", "time": "2023-01-0{}T00:00:00Z", "doc": {doc}}}"#, at % 9 + 1));
        }
    }
    // One line for each instant: of several the last would hold, whichever that is.
    let mut seen = BTreeSet::new();
    lines.retain(|line| {
        let line = value(line);
        let text = |member: &str| line.get(member).and_then(Value::as_str).map(str::to_owned);
        seen.insert((text("id"), text("time")))
    });
    lines
}

async fn import(bed: &Bed, lines: Vec<String>) {
    let history = HistoryImport { collection: bed.space.agents().name.clone(), seed_live: false };
    let report = bed.project.import_history(&history, &mut Lines::new(lines), &because("load"), None).await.unwrap();
    assert_eq!(report.failed.len(), 0);
}

/// What each record was at every hour of interest.
async fn answers(bed: &Bed) -> Vec<Vec<(String, Option<String>)>> {
    let mut all = Vec::new();
    for day in 1..=10 {
        for offset in [-1, 0, 1] {
            let at = Timestamp::parse(&format!("2023-01-{day:02}T00:00:00Z")).unwrap().plus_millis(offset);
            let rows = bed.project.log_as_of(None, None, AsOf::Valid(at), false).await.unwrap();
            let row = |row: &cfg_engine::engine::AsOfEntry| {
                (row.entry.header.record.id.to_string(), row.entry.header.oid.map(|oid| oid.to_hex()))
            };
            all.push(rows.iter().map(row).collect());
        }
    }
    all
}

/// Deletions of what was not there write nothing, so whatever begins with one is loaded after it.
fn shuffled(lines: &[String], random: &mut Random) -> Vec<String> {
    let mut order: Vec<String> = lines.to_vec();
    for n in (1..order.len()).rev() {
        order.swap(n, random.below(n as u64 + 1) as usize);
    }
    order
}

#[tokio::test]
async fn backdated_imports_in_any_order_give_the_same_answers() {
    let seeds = if std::env::var_os("CFG_TEST_NIGHTLY").is_some() { 60 } else { 4 };
    for seed in 0..seeds {
        for harness in crate::stores::harnesses() {
            let mut random = Random::new(seed);
            let mut lines = history(&mut random);
            // A deletion with nothing before it has no effect in the right order, and one in another.
            let mut alive = BTreeSet::new();
            lines.sort_by_key(|line| value(line).get("time").and_then(Value::as_str).map(str::to_owned));
            lines.retain(|line| {
                let line = value(line);
                let id = line.get("id").and_then(Value::as_str).unwrap().to_owned();
                !line.get("doc").unwrap().is_null() && alive.insert(id.clone()) || alive.contains(&id)
            });
            let firsts: BTreeSet<String> = {
                let mut seen = BTreeSet::new();
                let is_first = |line: &&String| seen.insert(value(line).get("id").cloned().unwrap().to_interchange());
                lines.iter().filter(is_first).cloned().collect()
            };
            let table = || vec![Table::new("agents")];
            let right = Bed::open(Arc::clone(&harness), table()).await;
            import(&right, lines.clone()).await;
            let expected = answers(&right).await;
            let other = Bed::open(harness, table()).await;
            import(&other, firsts.iter().cloned().collect()).await;
            for line in shuffled(&lines, &mut random) {
                import(&other, vec![line]).await;
            }
            assert_eq!(answers(&other).await, expected, "{} seed {seed}", other.name());
            other.assert_sound().await;
        }
    }
}

/// The answer to "what did history say at R of what was live at T" never changes, whatever comes later.
#[tokio::test]
async fn answers_about_the_past_never_change() {
    let seeds = if std::env::var_os("CFG_TEST_NIGHTLY").is_some() { 40 } else { 3 };
    for seed in 0..seeds {
        for bed in Bed::each().await {
            let mut random = Random::new(seed + 100);
            let mut asked: Vec<(AsOf, Vec<String>)> = Vec::new();
            let lines = history(&mut random);
            for line in shuffled(&lines, &mut random) {
                import(&bed, vec![line]).await;
                if random.below(4) == 0 {
                    let n = random.below(9);
                    drop(bed.commit("z", &format!(r#"{{"n": {n}, "name": "committed"}}"#)).await);
                }
                tokio::time::sleep(std::time::Duration::from_millis(2)).await;
                let recorded = bed.space.now().await.plus_millis(-1);
                for day in [2, 5, 9] {
                    let valid = Timestamp::parse(&format!("2023-01-{day:02}T12:00:00Z")).unwrap();
                    for at in [AsOf::Both { recorded, valid }, AsOf::Recorded(recorded)] {
                        asked.push((at, said(&bed, at).await));
                    }
                }
            }
            for (at, then) in &asked {
                assert_eq!(said(&bed, *at).await, *then, "{} seed {seed} {at:?}", bed.name());
            }
        }
    }
}

async fn said(bed: &Bed, at: AsOf) -> Vec<String> {
    let rows = bed.project.log_as_of(None, None, at, true).await.unwrap();
    let row = |row: &cfg_engine::engine::AsOfEntry| {
        let doc = row.entry.doc.as_ref().map(Value::to_interchange);
        format!("{}@{} {doc:?}", row.entry.header.record, row.entry.header.seq)
    };
    rows.iter().map(row).collect()
}

/// Whatever happens to history later, a tag means the same documents.
#[tokio::test]
async fn a_tag_means_the_same_documents_for_ever() {
    for bed in Bed::each().await {
        let records = three_states(&bed).await;
        let then = bed.project.log_tag(&name("one"), None, true).await.unwrap();
        bed.project.restore_all(&back("zero"), &because("back"), None).await.unwrap();
        import(&bed, vec![r#"{"id": "r03", "time": "2022-06-07T00:00:00Z", "doc": {"n": 9}}"#.to_owned()]).await;
        bed.space.raw_delete(&records[5]).await;
        bed.adopt().await;
        bed.project.delete_tag(&name("zero"), &because("gone")).await.unwrap();
        assert_eq!(bed.project.log_tag(&name("one"), None, true).await.unwrap().len(), RECORDS);
        let now = bed.project.log_tag(&name("one"), None, true).await.unwrap();
        for (then, now) in then.iter().zip(&now) {
            assert_eq!((then.entry_id, &then.doc), (now.entry_id, &now.doc), "{}", bed.name());
        }
        let report = bed.project.restore_all(&back("one"), &because("there"), None).await.unwrap();
        assert_eq!(report.failed().count(), 0, "{}", bed.name());
        assert_eq!(numbers(&bed).await, vec![1; RECORDS], "{}", bed.name());
        assert_eq!(bed.state("r05").await, State::Clean, "{}", bed.name());
        bed.assert_sound().await;
    }
}
