//! P1: of two batches that saw the same head, one is applied.

use std::sync::Arc;

use cfg_engine::adapter::{AdapterError, ExpectedLive};
use cfg_engine::history::{RecordKey, Seq};
use futures_util::future::join_all;

use crate::draft::Draft;
use crate::generated::instant;
use crate::space::{Space, object, stale};
use crate::{Harness, Outcome, require};

#[track_caller]
pub(crate) fn assert_stale_head(outcome: Result<(), AdapterError>, record: &RecordKey, now_at: Option<u64>) {
    match outcome {
        Err(AdapterError::StaleHead { record: named, current }) => {
            assert_eq!(named, *record);
            assert_eq!(current.map(|c| c.head.seq.0), now_at);
        }
        other => panic!("expected a stale head of {record}, got {other:?}"),
    }
}

pub(crate) async fn of_two_batches_on_one_head_one_wins(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let record = space.create("planner", r#"{"n": 1}"#).await;
    let state = space.state(&record).await;
    let first = space.bind(vec![Draft::set(&space, &state, "n", 2)]).await;
    let second = space.bind(vec![Draft::set(&space, &state, "n", 3)]).await;
    space.store.apply(&first).await.expect("the first");
    let before = space.picture().await;
    assert_stale_head(space.store.apply(&second).await, &record, Some(2));
    space.assert_unchanged(&before).await;
    assert_eq!(space.raw_field(&record, "n").await.as_i64(), Some(2));
    Outcome::Passed
}

pub(crate) async fn the_current_head_is_named_in_full(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let record = space.create("planner", r#"{"n": 1}"#).await;
    let state = space.state(&record).await;
    let late = space.bind(vec![Draft::set(&space, &state, "n", 3)]).await;
    space.commit(&record, "n", 2).await;
    let head = space.head(&record).await;
    match space.store.apply(&late).await {
        Err(AdapterError::StaleHead { current, .. }) => assert_eq!(current.map(|c| *c), head),
        other => panic!("expected a stale head, got {other:?}"),
    }
    Outcome::Passed
}

/// Commits a change of every one of these records until it goes through; returns how often it was refused.
async fn increment(space: &Space, records: &[RecordKey]) -> usize {
    for refused in 0..1000 {
        let mut drafts = Vec::new();
        for record in records {
            let state = space.state(record).await;
            let n = crate::space::live(&state).value.get("n").and_then(|n| n.as_i64()).expect("a number");
            drafts.push(Draft::set(space, &state, "n", n + 1));
        }
        match space.apply(drafts).await {
            Ok(_) => return refused,
            Err(error) if stale(&error) => tokio::task::yield_now().await,
            Err(error) => panic!("a racing commit: {error}"),
        }
    }
    panic!("a commit that is never let in");
}

pub(crate) async fn eight_writers_of_one_record(h: Arc<dyn Harness>) -> Outcome {
    let space = Arc::new(Space::open(&h).await);
    let record = space.create("planner", r#"{"n": 0}"#).await;
    let writers = (0..8).map(|_| {
        let (space, record) = (Arc::clone(&space), record.clone());
        tokio::spawn(async move {
            for _ in 0..5 {
                increment(&space, std::slice::from_ref(&record)).await;
            }
        })
    });
    for writer in join_all(writers).await {
        writer.expect("a writer");
    }
    let entries = space.assert_sound(&record).await;
    assert_eq!(entries.len(), 41, "every commit is one entry");
    for entry in &entries {
        let n = entry.doc.as_ref().and_then(|doc| doc.get("n")?.as_i64());
        assert_eq!(n, Some(entry.header.seq.0 as i64 - 1), "no commit built on another than its predecessor");
    }
    assert_eq!(space.raw_field(&record, "n").await.as_i64(), Some(40));
    Outcome::Passed
}

pub(crate) async fn writers_of_overlapping_batches(h: Arc<dyn Harness>) -> Outcome {
    require!(h, Transactions);
    let space = Arc::new(Space::open(&h).await);
    let mut records = Vec::new();
    for id in ["a", "b", "c", "d"] {
        records.push(space.create(id, r#"{"n": 0}"#).await);
    }
    let writers = (0..4).map(|w: usize| {
        let space = Arc::clone(&space);
        let mine: Vec<RecordKey> = (0..3).map(|n| records[(w + n) % 4].clone()).collect();
        tokio::spawn(async move {
            for _ in 0..4 {
                increment(&space, &mine).await;
            }
        })
    });
    for writer in join_all(writers).await {
        writer.expect("a writer");
    }
    for record in &records {
        // Each record is in three of the four sets.
        assert_eq!(space.assert_sound(record).await.len(), 13);
        assert_eq!(space.raw_field(record, "n").await.as_i64(), Some(12));
    }
    Outcome::Passed
}

pub(crate) async fn of_eight_first_commits_one_wins(h: Arc<dyn Harness>) -> Outcome {
    let space = Arc::new(Space::open(&h).await);
    let record = space.record("planner");
    let writers = (0..8).map(|n| {
        let (space, record) = (Arc::clone(&space), record.clone());
        tokio::spawn(async move {
            let draft = Draft::create(&space, &record, &object(&format!(r#"{{"n": {n}}}"#)));
            let batch = space.bind(vec![draft]).await;
            loop {
                match space.store.apply(&batch).await {
                    Err(AdapterError::Busy) => tokio::task::yield_now().await,
                    outcome => return outcome,
                }
            }
        })
    });
    let outcomes: Vec<_> = join_all(writers).await.into_iter().map(|w| w.expect("a writer")).collect();
    assert_eq!(outcomes.iter().filter(|o| o.is_ok()).count(), 1);
    assert!(outcomes.iter().all(|o| o.as_ref().err().is_none_or(stale)), "{outcomes:?}");
    assert_eq!(space.assert_sound(&record).await.len(), 1);
    assert_eq!(space.raw_rows(&record).await.len(), 1);
    Outcome::Passed
}

pub(crate) async fn a_moved_tip_beside_the_same_head_is_told(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let record = space.create("planner", r#"{"n": 1}"#).await;
    let state = space.state(&record).await;
    let late = space.bind(vec![Draft::set(&space, &state, "n", 2)]).await;
    let old = space.doc(&record, &object(r#"{"n": 0}"#));
    space.applied(vec![Draft::import(&space, &state, &[(instant(0), Some(old))])]).await;
    let before = space.picture().await;
    match space.store.apply(&late).await {
        Err(AdapterError::StaleHead { current: Some(current), .. }) => {
            assert_eq!(current.head, state.head.expect("a head").head, "HEAD is where it was");
            assert_eq!(current.tip.seq, Seq(2), "the tip has moved");
        }
        other => panic!("expected a stale head, got {other:?}"),
    }
    space.assert_unchanged(&before).await;
    // Planned anew on what is there, the same change goes through.
    let state = space.state(&record).await;
    space.applied(vec![Draft::set(&space, &state, "n", 2)]).await;
    assert_eq!(space.assert_sound(&record).await.len(), 3);
    Outcome::Passed
}

pub(crate) async fn a_head_where_none_was_expected(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let record = space.raw_insert("planner", r#"{"n": 1}"#).await;
    let state = space.state(&record).await;
    let late = space.bind(vec![Draft::adopt(&space, &state)]).await;
    space.applied(vec![Draft::adopt(&space, &state)]).await;
    assert_stale_head(space.store.apply(&late).await, &record, Some(1));
    assert_eq!(space.assert_sound(&record).await.len(), 1);
    Outcome::Passed
}

pub(crate) async fn no_head_where_one_was_expected(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let there = space.create("planner", r#"{"n": 1}"#).await;
    let absent = space.record("ghost");
    let mut draft = Draft::of(&space.state(&there).await).expecting(ExpectedLive::Unchecked);
    draft.record = absent.clone();
    draft.entries.push(crate::DraftEntry::given(&space, &absent, cfg_engine::history::Op::Delete, None));
    let batch = space.bind(vec![draft]).await;
    let before = space.picture().await;
    assert_stale_head(space.store.apply(&batch).await, &absent, None);
    space.assert_unchanged(&before).await;
    Outcome::Passed
}
