//! Time is the store's: a batch whose instant does not fit it is refused.

use std::sync::Arc;

use cfg_engine::adapter::{AdapterError, ExpectedVersion, ObjectKey, ObjectWrite};
use cfg_engine::history::{RecordKey, Timestamp};

use crate::draft::Draft;
use crate::space::{Space, object};
use crate::{Harness, Outcome, require};

/// Applies a commit that says it happens at `at`.
async fn commit_at(space: &Space, record: &RecordKey, at: Timestamp) -> Result<(), AdapterError> {
    let state = space.state(record).await;
    let n = crate::space::live(&state).value.get("n").and_then(|n| n.as_i64()).expect("a number");
    let batch = space.bind_at(vec![Draft::set(space, &state, "n", n + 1)], at).await;
    let before = space.picture().await;
    let outcome = space.store.apply(&batch).await;
    if outcome.is_err() {
        space.assert_unchanged(&before).await;
    }
    outcome
}

#[track_caller]
fn assert_clock(outcome: Result<(), AdapterError>) {
    assert!(matches!(outcome, Err(AdapterError::Clock { .. })), "expected a refusal by the clock, got {outcome:?}");
}

pub(crate) async fn a_batch_must_be_later_than_the_tip(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let record = space.create("planner", r#"{"n": 1}"#).await;
    let tip = space.head(&record).await.expect("a head").tip.recorded_at;
    assert_clock(commit_at(&space, &record, tip).await);
    assert_clock(commit_at(&space, &record, tip.plus_millis(-1)).await);
    commit_at(&space, &record, tip.plus_millis(1)).await.expect("the next millisecond");
    Outcome::Passed
}

pub(crate) async fn a_batch_must_be_later_than_every_tip(h: Arc<dyn Harness>) -> Outcome {
    require!(h, Transactions);
    let space = Space::open(&h).await;
    let one = space.create("a", r#"{"n": 1}"#).await;
    let other = space.create("b", r#"{"n": 1}"#).await;
    let tip = space.head(&other).await.expect("a head").tip.recorded_at;
    let drafts = vec![
        Draft::set(&space, &space.state(&one).await, "n", 2),
        Draft::set(&space, &space.state(&other).await, "n", 2),
    ];
    let batch = space.bind_at(drafts, tip).await;
    let before = space.picture().await;
    assert_clock(space.store.apply(&batch).await);
    space.assert_unchanged(&before).await;
    Outcome::Passed
}

pub(crate) async fn a_batch_may_not_lie_far_behind(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let record = space.raw_insert("planner", r#"{"n": 1}"#).await;
    let late = space.now().await.plus_millis(-60_000);
    let state = space.state(&record).await;
    let batch = space.bind_at(vec![Draft::adopt(&space, &state)], late).await;
    let before = space.picture().await;
    assert_clock(space.store.apply(&batch).await);
    space.assert_unchanged(&before).await;
    let near = space.now().await.plus_millis(-1000);
    let batch = space.bind_at(vec![Draft::adopt(&space, &state)], near).await;
    space.store.apply(&batch).await.expect("a second behind");
    Outcome::Passed
}

pub(crate) async fn a_batch_may_not_lie_far_ahead(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let record = space.create("planner", r#"{"n": 1}"#).await;
    let now = space.now().await;
    assert_clock(commit_at(&space, &record, now.plus_millis(60_000)).await);
    let now = space.now().await;
    commit_at(&space, &record, now.plus_millis(1000)).await.expect("a second ahead");
    Outcome::Passed
}

pub(crate) async fn the_tolerance_is_two_seconds(h: Arc<dyn Harness>) -> Outcome {
    require!(h, ClockControl);
    for (off, fits) in [(-2100, false), (-1900, true), (1900, true), (2100, false)] {
        let space = Space::open(&h).await;
        let record = space.raw_insert("planner", r#"{"n": 1}"#).await;
        let state = space.state(&record).await;
        let at = space.now().await.plus_millis(off);
        let batch = space.bind_at(vec![Draft::adopt(&space, &state)], at).await;
        assert_eq!(space.store.apply(&batch).await.is_ok(), fits, "{off} ms from the store's clock");
    }
    Outcome::Passed
}

pub(crate) async fn after_the_clock_stepped_back_a_tip_plus_one_fits(h: Arc<dyn Harness>) -> Outcome {
    require!(h, ClockControl);
    let space = Space::open(&h).await;
    let record = space.create("planner", r#"{"n": 1}"#).await;
    // Far apart: the other's own tip plus 1 ms must not be the instant that is tried.
    space.raw.step_clock(1000).await;
    let other = space.create("other", r#"{"n": 1}"#).await;
    space.raw.step_clock(-3_600_000).await;
    let tip = space.head(&record).await.expect("a head").tip.recorded_at;
    assert!(space.now().await < tip.plus_millis(-3_000_000));
    assert_clock(commit_at(&space, &record, tip.plus_millis(2)).await);
    let now = space.now().await;
    assert_clock(commit_at(&space, &record, now).await);
    commit_at(&space, &record, tip.plus_millis(1)).await.expect("the tip plus 1 ms");
    // The tips of other records give no leave.
    let tip = space.head(&record).await.expect("a head").tip.recorded_at;
    assert_clock(commit_at(&space, &other, tip.plus_millis(1)).await);
    assert_eq!(space.assert_sound(&record).await.len(), 2);
    Outcome::Passed
}

pub(crate) async fn after_the_clock_stepped_back_many_commits_go_on(h: Arc<dyn Harness>) -> Outcome {
    require!(h, ClockControl);
    let space = Space::open(&h).await;
    let record = space.create("planner", r#"{"n": 1}"#).await;
    space.raw.step_clock(-60_000).await;
    for n in 2..12 {
        space.commit(&record, "n", n).await;
    }
    let entries = space.assert_sound(&record).await;
    assert!(entries.windows(2).all(|pair| pair[0].header.recorded_at < pair[1].header.recorded_at));
    Outcome::Passed
}

pub(crate) async fn objects_have_a_time_too(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let write = || ObjectWrite {
        key: ObjectKey { kind: "tag".to_owned(), name: "june".to_owned() },
        expected: ExpectedVersion::Absent,
        body: Some(object("{}").into()),
    };
    for off in [-60_000, 60_000] {
        let at = space.now().await.plus_millis(off);
        let batch = space.bind_all(space.op_id(), at, Vec::new(), vec![write()]).await;
        assert_clock(space.store.apply(&batch).await);
    }
    assert!(space.store.objects("tag", None).await.expect("objects").is_empty());
    let at = space.now().await;
    let batch = space.bind_all(space.op_id(), at, Vec::new(), vec![write()]).await;
    space.store.apply(&batch).await.expect("an object");
    assert_eq!(space.store.objects("tag", None).await.expect("objects")[0].recorded_at, at);
    Outcome::Passed
}

pub(crate) async fn readings_never_run_backwards(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let record = space.create("planner", r#"{"n": 1}"#).await;
    let first = space.store.clock().await.expect("a clock");
    let of_read = space.state(&record).await.clock;
    let last = space.store.clock().await.expect("a clock");
    assert!(first.store <= of_read.store && of_read.store <= last.store);
    assert!(first.taken <= of_read.taken && of_read.taken <= last.taken);
    assert!(last.taken <= space.store.monotonic());
    // What the engine makes of an old reading is near what the store says.
    let guessed = first.now_at(space.store.monotonic());
    let off = guessed.as_millis() - space.now().await.as_millis();
    assert!(off.abs() <= 1000, "a guess {off} ms off");
    Outcome::Passed
}
