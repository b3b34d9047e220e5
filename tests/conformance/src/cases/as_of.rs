//! P5: per record and instant at most one row on each axis, exactly what the definition says.

use std::sync::Arc;

use cfg_engine::Value;
use cfg_engine::adapter::{AsOf, AsOfRow, Detail, ExpectedLive, Scope, StoredDoc};
use cfg_engine::history::{Entry, Op, RecordKey, Timestamp, as_of_both, interval_ends};

use crate::draft::{Draft, DraftEntry};
use crate::generated::{Random, history, instant};
use crate::space::{Space, assert_doc, collect, object, span_of};
use crate::{Harness, Outcome, Table};

/// The answer as the definition has it: the entry, and whether the question lies before it.
fn defined(entries: &[Entry], at: AsOf) -> Option<(&Entry, bool)> {
    let spans: Vec<_> = entries.iter().map(span_of).collect();
    let ends = interval_ends(&spans);
    let holds = |n: &usize| match at {
        AsOf::Valid(t) => spans[*n].in_valid_order && spans[*n].valid_from <= t && t < ends[*n].valid_to,
        AsOf::Recorded(r) => spans[*n].in_valid_order && spans[*n].recorded_at <= r && r < ends[*n].superseded_at,
        AsOf::Both { recorded, valid } => as_of_both(&spans, recorded, valid) == Some(spans[*n].seq),
    };
    let found: Vec<usize> = (0..entries.len()).filter(holds).collect();
    assert!(found.len() <= 1, "the definition itself gives two answers");
    if let Some(n) = found.first() {
        return (!entries[*n].header.is_tombstone()).then(|| (&entries[*n], false));
    }
    let recorded = match at {
        AsOf::Recorded(_) => return None,
        AsOf::Valid(_) => Timestamp::OPEN,
        AsOf::Both { recorded, .. } => recorded,
    };
    let known = (0..entries.len()).filter(|n| spans[*n].in_valid_order && spans[*n].recorded_at <= recorded);
    let baseline = known.min_by_key(|n| spans[*n].order())?;
    let entry = &entries[baseline];
    (entry.header.valid_from_estimated && entry.header.oid.is_some()).then_some((entry, true))
}

fn brief(row: Option<(&Entry, bool)>) -> Option<(u64, bool)> {
    row.map(|(entry, before)| (entry.header.seq.0, before))
}

/// Asks the store about one record.
async fn ask(space: &Space, record: &RecordKey, at: AsOf) -> Option<AsOfRow<Entry>> {
    let mut rows = space.as_of(&Scope::Records(vec![record.clone()]), at).await;
    assert!(rows.len() <= 1, "{} rows for one record and instant", rows.len());
    rows.pop()
}

async fn answer(space: &Space, record: &RecordKey, at: AsOf) -> Option<(u64, bool)> {
    ask(space, record, at).await.map(|row| (row.entry.header.seq.0, row.estimated_before_import))
}

/// The instants at which something may change, and those just before.
fn around(instants: impl Iterator<Item = Timestamp>) -> Vec<Timestamp> {
    let mut all: Vec<Timestamp> = instants.flat_map(|t| [t.plus_millis(-1), t]).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Writes several made-up histories and compares every answer of every question of one axis.
async fn compare(h: &Arc<dyn Harness>, seed: u64, questions: impl Fn(&[Timestamp], &[Timestamp]) -> Vec<AsOf>) {
    let space = Space::open(h).await;
    let mut random = Random::new(seed);
    let mut histories = Vec::new();
    for id in ["a", "b", "c", "d"] {
        let record = space.record(id);
        history(&space, &record, &mut random, 4).await;
        histories.push(space.assert_sound(&record).await);
    }
    let all = || histories.iter().flatten();
    let valid = around(all().map(|e| e.header.valid_from).chain([instant(0), instant(9)]));
    let recorded = around(all().map(|e| e.header.recorded_at));
    for at in questions(&recorded, &valid) {
        let wanted: Vec<_> = histories.iter().filter_map(|entries| defined(entries, at)).collect();
        let found = space.as_of(&Scope::All(None), at).await;
        let brief_found: Vec<_> = found
            .iter()
            .map(|row| (&row.entry.header.record, row.entry.header.seq, row.estimated_before_import))
            .collect();
        let brief_wanted: Vec<_> = wanted.iter().map(|(e, before)| (&e.header.record, e.header.seq, *before)).collect();
        assert_eq!(brief_found, brief_wanted, "seed {seed}, {at:?}");
        for (row, (entry, _)) in found.iter().zip(&wanted) {
            assert_eq!(&row.entry, *entry, "seed {seed}, {at:?}");
        }
    }
}

pub(crate) async fn the_valid_axis_is_as_defined(h: Arc<dyn Harness>) -> Outcome {
    for seed in 1..=4 {
        compare(&h, seed, |_, valid| valid.iter().map(|t| AsOf::Valid(*t)).collect()).await;
    }
    Outcome::Passed
}

pub(crate) async fn the_recorded_axis_is_as_defined(h: Arc<dyn Harness>) -> Outcome {
    for seed in 11..=14 {
        compare(&h, seed, |recorded, _| recorded.iter().map(|r| AsOf::Recorded(*r)).collect()).await;
    }
    Outcome::Passed
}

pub(crate) async fn both_axes_are_as_defined(h: Arc<dyn Harness>) -> Outcome {
    for seed in 21..=22 {
        compare(&h, seed, |recorded, valid| {
            let pairs = recorded.iter().flat_map(|r| valid.iter().map(|v| (*r, *v)));
            // Every third pair: the whole square is some thousand questions.
            pairs.step_by(3).map(|(recorded, valid)| AsOf::Both { recorded, valid }).collect()
        })
        .await;
    }
    Outcome::Passed
}

pub(crate) async fn an_answer_on_both_axes_never_changes(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let record = space.record("planner");
    let mut random = Random::new(77);
    let mut known: Vec<(AsOf, Option<(u64, bool)>)> = Vec::new();
    for _ in 0..6 {
        history(&space, &record, &mut random, 1).await;
        let recorded = space.head(&record).await.expect("a head").tip.recorded_at;
        for n in 0..9 {
            let at = AsOf::Both { recorded, valid: instant(n) };
            known.push((at, answer(&space, &record, at).await));
        }
        for (at, then) in &known {
            assert_eq!(answer(&space, &record, *at).await, *then, "{at:?}");
        }
    }
    let entries = space.assert_sound(&record).await;
    for (at, then) in &known {
        assert_eq!(brief(defined(&entries, *at)), *then, "{at:?}");
    }
    Outcome::Passed
}

/// Loads versions at given seconds into a fresh record; `None` is a deletion.
async fn loaded(space: &Space, id: &str, versions: &[(u64, Option<i64>)]) -> RecordKey {
    let record = space.record(id);
    let state = space.state(&record).await;
    let doc = |n: i64| space.doc(&record, &object(&format!(r#"{{"n": {n}}}"#)));
    let versions: Vec<_> = versions.iter().map(|(at, n)| (instant(*at), n.map(doc))).collect();
    space.applied(vec![Draft::import(space, &state, &versions)]).await;
    record
}

pub(crate) async fn an_interval_is_half_open(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let record = loaded(&space, "planner", &[(1, Some(1)), (2, Some(2))]).await;
    let at = |ms: i64| AsOf::Valid(instant(0).plus_millis(ms));
    assert_eq!(answer(&space, &record, at(999)).await, None);
    assert_eq!(answer(&space, &record, at(1000)).await, Some((1, false)));
    assert_eq!(answer(&space, &record, at(1999)).await, Some((1, false)));
    assert_eq!(answer(&space, &record, at(2000)).await, Some((2, false)));
    let document = ask(&space, &record, at(1999)).await.and_then(|row| row.entry.doc).expect("a document");
    assert_doc(&document, &space.doc(&record, &object(r#"{"n": 1}"#)));
    Outcome::Passed
}

pub(crate) async fn an_empty_interval_never_answers(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let record = loaded(&space, "planner", &[(1, Some(1)), (1, Some(2)), (3, Some(3))]).await;
    assert_eq!(answer(&space, &record, AsOf::Valid(instant(1))).await, Some((2, false)));
    assert_eq!(answer(&space, &record, AsOf::Valid(instant(2))).await, Some((2, false)));
    let recorded = space.head(&record).await.expect("a head").recorded_at;
    assert_eq!(answer(&space, &record, AsOf::Recorded(recorded)).await, Some((3, false)));
    Outcome::Passed
}

pub(crate) async fn a_tombstone_answers_nothing_while_it_holds(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let record = loaded(&space, "planner", &[(1, Some(1)), (3, None), (5, Some(5))]).await;
    for (second, wanted) in [(0, None), (2, Some(1)), (3, None), (4, None), (5, Some(3)), (6, Some(3))] {
        let found = answer(&space, &record, AsOf::Valid(instant(second))).await;
        assert_eq!(found, wanted.map(|seq| (seq, false)), "second {second}");
    }
    let gone = loaded(&space, "gone", &[(1, Some(1)), (3, None)]).await;
    let now = space.head(&gone).await.expect("a head").recorded_at;
    assert_eq!(answer(&space, &gone, AsOf::Recorded(now)).await, None);
    Outcome::Passed
}

pub(crate) async fn a_redact_entry_is_no_version(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let record = loaded(&space, "planner", &[(1, Some(1))]).await;
    let mut draft = Draft::of(&space.state(&record).await).expecting(ExpectedLive::Unchecked);
    draft.entries.push(DraftEntry::new(Op::Redact, None, StoredDoc::None));
    let batch = space.applied(vec![draft]).await;
    space.assert_sound(&record).await;
    for at in [AsOf::Valid(batch.recorded_at()), AsOf::Recorded(batch.recorded_at())] {
        assert_eq!(answer(&space, &record, at).await, Some((1, false)));
    }
    assert_eq!(space.head(&record).await.map(|h| (h.head.seq.0, h.tip.seq.0)), Some((1, 2)));
    let addresses = space.addresses(&Scope::Records(vec![record])).await;
    assert_eq!(addresses.iter().map(|a| a.in_valid_order).collect::<Vec<_>>(), [true, false]);
    Outcome::Passed
}

pub(crate) async fn a_question_before_an_estimated_baseline_is_flagged(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let estimated = space.raw_insert("estimated", r#"{"n": 1}"#).await;
    let state = space.state(&estimated).await;
    let baseline = Draft::adopt(&space, &state).with(|entry| {
        entry.op = Op::Import;
        entry.valid_from = Some(instant(5));
        entry.estimated = true;
    });
    space.applied(vec![baseline]).await;
    let known = loaded(&space, "known", &[(5, Some(1))]).await;
    let early = AsOf::Valid(instant(4));
    assert_eq!(answer(&space, &estimated, early).await, Some((1, true)));
    assert_eq!(answer(&space, &known, early).await, None, "a baseline that is no guess");
    assert_eq!(answer(&space, &estimated, AsOf::Valid(instant(5))).await, Some((1, false)));
    let recorded = space.head(&estimated).await.expect("a head").recorded_at;
    assert_eq!(answer(&space, &estimated, AsOf::Recorded(recorded.plus_millis(-1))).await, None);
    let both = |recorded, second| AsOf::Both { recorded, valid: instant(second) };
    assert_eq!(answer(&space, &estimated, both(recorded, 4)).await, Some((1, true)));
    assert_eq!(answer(&space, &estimated, both(recorded.plus_millis(-1), 6)).await, None, "not known then");
    let rows = space.as_of(&Scope::All(None), early).await;
    assert_eq!(rows.len(), 1);
    // A version loaded later, from before the guess, answers for itself.
    let state = space.state(&estimated).await;
    let old = space.doc(&estimated, &object(r#"{"n": 0}"#));
    space.applied(vec![Draft::import(&space, &state, &[(instant(2), Some(old))])]).await;
    assert_eq!(answer(&space, &estimated, early).await, Some((2, false)));
    assert_eq!(answer(&space, &estimated, AsOf::Valid(instant(1))).await, None);
    Outcome::Passed
}

pub(crate) async fn addresses_answer_as_entries_do(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let mut random = Random::new(5);
    for id in ["a", "b", "c"] {
        history(&space, &space.record(id), &mut random, 4).await;
    }
    let recorded = space.head(&space.record("b")).await.expect("a head").recorded_at;
    let mut questions: Vec<AsOf> = (0..10).map(|n| AsOf::Valid(instant(n))).collect();
    questions.push(AsOf::Recorded(recorded));
    questions.push(AsOf::Both { recorded, valid: instant(4) });
    for at in questions {
        let entries = space.as_of(&Scope::All(None), at).await;
        let scope = Scope::All(None);
        let addresses = collect(space.store.as_of_addresses(&space.env, &scope, at)).await;
        assert_eq!(entries.len(), addresses.len());
        for (entry, address) in entries.iter().zip(&addresses) {
            let header = &entry.entry.header;
            let found = &address.entry;
            assert_eq!((&found.record, found.seq, found.oid), (&header.record, header.seq, header.oid));
            assert_eq!(found.entry_id, entry.entry.entry_id);
            assert_eq!((found.recorded_at, found.valid_from), (header.recorded_at, header.valid_from));
            assert_eq!(found.valid_from_estimated, header.valid_from_estimated);
            assert_eq!(address.estimated_before_import, entry.estimated_before_import);
        }
    }
    Outcome::Passed
}

pub(crate) async fn a_header_answer_has_no_document(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    loaded(&space, "planner", &[(1, Some(1))]).await;
    let scope = Scope::All(None);
    let at = AsOf::Valid(instant(2));
    let header = collect(space.store.as_of(&space.env, &scope, at, Detail::Header)).await;
    assert_eq!(header[0].entry.doc, None);
    let document = collect(space.store.as_of(&space.env, &scope, at, Detail::Document)).await;
    assert!(document[0].entry.doc.is_some());
    Outcome::Passed
}

pub(crate) async fn scopes_limit_the_answer(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::with(&h, vec![Table::new("agents"), Table::new("prompts")]).await;
    let mut drafts = Vec::new();
    for (collection, id) in [(0, "a"), (0, "b"), (1, "a"), (1, "c")] {
        let record = space.record_in(collection, &Value::from(id));
        let doc = space.doc(&record, &object(r#"{"n": 1}"#));
        drafts.push(Draft::import(&space, &space.state(&record).await, &[(instant(1), Some(doc))]));
    }
    for draft in drafts {
        space.applied(vec![draft]).await;
    }
    let ids = async |scope: Scope| -> Vec<String> {
        let rows = space.as_of(&scope, AsOf::Valid(instant(1))).await;
        rows.iter().map(|row| row.entry.header.record.to_string()).collect()
    };
    assert_eq!(ids(Scope::All(None)).await, ["agents:a", "agents:b", "prompts:a", "prompts:c"]);
    assert_eq!(ids(Scope::All(Some(space.collections[1].name.clone()))).await, ["prompts:a", "prompts:c"]);
    let asked = vec![space.record_in(1, &"c".into()), space.record("zz"), space.record("b")];
    assert_eq!(ids(Scope::Records(asked)).await, ["agents:b", "prompts:c"]);
    Outcome::Passed
}

pub(crate) async fn live_is_never_looked_at(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let record = space.create("planner", r#"{"n": 1}"#).await;
    let at = space.head(&record).await.expect("a head").recorded_at;
    space.raw_set(&record, r#"{"n": 9}"#).await;
    let row = ask(&space, &record, AsOf::Valid(at)).await.expect("a row");
    assert_eq!(row.entry.doc.and_then(|doc| doc.get("n")?.as_i64()), Some(1));
    space.raw_delete(&record).await;
    assert!(ask(&space, &record, AsOf::Valid(at)).await.is_some());
    Outcome::Passed
}
