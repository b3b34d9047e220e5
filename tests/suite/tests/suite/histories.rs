//! Loading histories: the order of lines, kills between batches, commits in between, records larger than a
//! batch.

use std::collections::BTreeMap;
use std::sync::Arc;

use cfg_engine::Value;
use cfg_engine::adapter::AdapterError;
use cfg_engine::config::Shape;
use cfg_engine::engine::{HistoryImport, HistoryReport, Log, Staged, State};
use cfg_engine::{Error, ErrorKind};
use cfg_engine_conformance::Random;

use crate::damage::memory;
use crate::scenarios::Lines;
use crate::stores::{Bed, because};

const RECORDS: u64 = 40;
const VERSIONS: u64 = 32;

/// Versions of many records at distinct instants, some of them deletions; the lines in order.
fn lines() -> Vec<String> {
    let mut lines = Vec::new();
    for version in 0..VERSIONS {
        for record in 0..RECORDS {
            let instant = 1_686_000_000_000 + version * 3_600_000 + record;
            let deleted = (record + version * 7) % 11 == 0;
            let doc = if deleted { "null".to_owned() } else { format!(r#"{{"name": "v{version}", "n": {record}}}"#) };
            let time = cfg_engine::history::Timestamp::from_millis(instant as i64);
            lines.push(format!(r#"{{"id": "r{record:02}", "time": "{time}", "doc": {doc}}}"#));
        }
    }
    lines
}

async fn load(bed: &Bed, lines: &[String]) -> Result<HistoryReport, Error> {
    let history = HistoryImport { collection: bed.space.agents().name.clone(), seed_live: true };
    bed.project.import_history(&history, &mut Lines::new(lines.to_vec()), &because("load"), None).await
}

/// What a history says, without what differs from load to load: ids, seqs, recorded times.
async fn meaning(bed: &Bed) -> BTreeMap<String, Vec<(String, String)>> {
    let entries = bed.project.log(&Log { with_doc: true, ..Log::default() }).await.unwrap();
    let mut meaning: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for entry in entries {
        let doc = entry.doc.map_or_else(|| "deleted".to_owned(), |doc| doc.get("name").unwrap().to_json());
        let span = format!("{} to {:?}", entry.header.valid_from, entry.valid_to.map(|t| t.to_string()));
        meaning.entry(entry.header.record.id.to_string()).or_default().push((span, doc));
    }
    meaning.values_mut().for_each(|versions| versions.sort());
    meaning
}

async fn live(bed: &Bed) -> Vec<(String, State)> {
    let status = bed.project.status(None, true, &Staged::new(), None).await.unwrap();
    status.rows.iter().map(|row| (row.record.id.to_string(), row.state)).collect()
}

#[tokio::test]
async fn the_order_of_lines_does_not_matter() {
    let lines = lines();
    let mut beds = Bed::each().await.into_iter();
    let first = beds.next().unwrap();
    let report = load(&first, &lines).await.unwrap();
    assert_eq!(report.loaded + report.without_effect, lines.len() as u64);
    let (expected, states) = (meaning(&first).await, live(&first).await);
    assert!(states.iter().all(|(_, state)| matches!(state, State::Clean | State::Removed)));
    for (n, bed) in beds.enumerate() {
        let mut shuffled = lines.clone();
        let mut random = Random::new(n as u64 + 1);
        for at in (1..shuffled.len()).rev() {
            shuffled.swap(at, random.below(at as u64 + 1) as usize);
        }
        load(&bed, &shuffled).await.unwrap();
        assert_eq!(meaning(&bed).await, expected, "{}", bed.name());
        assert_eq!(live(&bed).await, states, "{}", bed.name());
        bed.assert_sound().await;
    }
}

#[tokio::test]
async fn a_killed_load_resumes_wherever_it_was() {
    let lines = lines();
    let whole = memory(Shape::Doc).await.bed;
    let total = load(&whole, &lines).await.unwrap().loaded;
    let expected = (meaning(&whole).await, live(&whole).await);
    for killed_at in 0..3 {
        let memory = memory(Shape::Doc).await;
        let bed = &memory.bed;
        for batch in 0..=killed_at {
            let adapter = Arc::clone(&memory.adapter);
            bed.between.before("apply", async move {
                if batch == killed_at {
                    adapter.fail_next(AdapterError::Unreachable { store: "memory".into(), reason: "killed".into() });
                }
            });
        }
        let error = load(bed, &lines).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Storage);
        let report = load(bed, &lines).await.unwrap();
        assert_eq!(report.loaded + report.known, total, "killed at batch {killed_at}");
        assert_eq!((meaning(bed).await, live(bed).await), expected, "killed at batch {killed_at}");
        assert_eq!(load(bed, &lines).await.unwrap().loaded, 0);
        bed.assert_sound().await;
    }
}

#[tokio::test]
async fn a_load_survives_lost_acknowledgements_and_commits_in_between() {
    let lines = lines();
    let whole = memory(Shape::Row).await.bed;
    load(&whole, &lines).await.unwrap();
    let expected = meaning(&whole).await;
    let lossy = memory(Shape::Row).await;
    for _ in 0..3 {
        let adapter = Arc::clone(&lossy.adapter);
        lossy.bed.between.before("apply", async move { adapter.lose_next_acknowledgement() });
    }
    load(&lossy.bed, &lines).await.unwrap();
    assert_eq!(meaning(&lossy.bed).await, expected, "nothing twice");
    lossy.bed.assert_sound().await;
    for bed in Bed::each().await {
        // While the first batch is on its way somebody makes one of its records.
        let colleague = bed.colleague();
        let commit =
            cfg_engine::engine::Commit::new(bed.id("r03"), cfg_engine_conformance::value(r#"{"name": "mine"}"#));
        bed.between.before("apply", async move {
            colleague.commit(&commit, &because("meanwhile")).await.unwrap();
        });
        let report = load(&bed, &lines).await.unwrap();
        assert_eq!(report.failed.len(), 0, "{}", bed.name());
        assert_eq!(bed.live("r03", "name").await, Value::from("mine"), "{}: what came later stays", bed.name());
        assert_eq!(bed.state("r03").await, State::Clean);
        let mut here = meaning(&bed).await;
        let mine = here.remove("r03").unwrap();
        assert_eq!(mine.last().unwrap().1, "\"mine\"");
        assert!(here.iter().all(|(id, versions)| expected[id] == *versions), "{}", bed.name());
        bed.assert_sound().await;
    }
}

/// A record whose versions fill more than one batch is seeded with the last of them, once they are all there.
#[tokio::test]
async fn a_record_larger_than_a_batch() {
    let padding = "x".repeat(400_000);
    let line = |n: u64| {
        format!(
            r#"{{"id": "big", "time": "2023-06-{:02}T00:00:00Z", "doc": {{"n": {n}, "body": {{"text": "{padding}"}}}}}}"#,
            n + 1
        )
    };
    let mut lines: Vec<String> = (0..25).map(line).collect();
    lines.push(r#"{"id": "small", "time": "2023-06-01T00:00:00Z", "doc": {"n": 1}}"#.to_owned());
    for bed in Bed::each().await {
        let report = load(&bed, &lines).await.unwrap();
        assert_eq!((report.loaded, report.seeded, report.dirty.len()), (26, 2, 0), "{}", bed.name());
        assert_eq!(bed.live("big", "n").await, Value::from(24), "{}", bed.name());
        assert_eq!((bed.state("big").await, bed.state("small").await), (State::Clean, State::Clean));
        // Killed in the middle: what is there is not live yet, and the next run makes it so.
        bed.assert_sound().await;
    }
    let memory = memory(Shape::Doc).await;
    let adapter = Arc::clone(&memory.adapter);
    memory.bed.between.before("apply", async {});
    memory.bed.between.before("apply", async move {
        adapter.fail_next(AdapterError::Unreachable { store: "memory".into(), reason: "killed".into() });
    });
    load(&memory.bed, &lines).await.unwrap_err();
    assert_eq!(memory.bed.state("big").await, State::Missing);
    let report = load(&memory.bed, &lines).await.unwrap();
    assert!(report.known > 0 && report.seeded == 2);
    assert_eq!((memory.bed.state("big").await, memory.bed.live("big", "n").await), (State::Clean, Value::from(24)));
}

/// A row that the database itself refuses keeps that record out of the load, and nobody else.
#[tokio::test]
async fn a_refused_record_is_a_row_of_the_report() {
    let lines = lines();
    let memory = memory(Shape::Row).await;
    let record = memory.bed.id("r07");
    let adapter = Arc::clone(&memory.adapter);
    memory.bed.between.before("apply", async move {
        adapter.fail_next(AdapterError::Refused { record, reason: "CHECK constraint".into() });
    });
    let report = load(&memory.bed, &lines).await.unwrap();
    let failed: Vec<(String, &str)> = report.failed.iter().map(|(r, e)| (r.id.to_string(), e.code())).collect();
    assert_eq!(failed, [("r07".to_owned(), "constraint")]);
    assert_eq!(meaning(&memory.bed).await.len() as u64, RECORDS - 1);
    assert_eq!(load(&memory.bed, &lines).await.unwrap().failed.len(), 0);
    assert_eq!(meaning(&memory.bed).await.len() as u64, RECORDS);
    memory.bed.assert_sound().await;
}
