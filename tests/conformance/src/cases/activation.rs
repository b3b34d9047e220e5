//! Rows of one id that take turns at being live.

use std::sync::Arc;

use cfg_engine::Value;
use cfg_engine::adapter::{AdapterError, Batch, LiveWrite, RecordState};
use cfg_engine::document::Object;
use cfg_engine::history::{Op, RecordKey};

use crate::draft::{Draft, DraftEntry};
use crate::space::{Space, live, object};
use crate::{Harness, Outcome, Table};

async fn space(h: &Arc<dyn Harness>) -> Space {
    Space::with(h, vec![Table::new("agents").live_when(r#"{"active": true}"#)]).await
}

/// Makes a document live in the place of the one that is, and records it.
async fn activate(space: &Space, state: &RecordState, fields: &str, retire: &str) -> Result<Batch, AdapterError> {
    let mut laid = object(fields);
    laid.insert("active", true);
    let doc = space.doc(&state.record, &laid);
    let mut draft = Draft::of(state);
    draft.entries.push(DraftEntry::given(space, &state.record, Op::Commit, Some(&doc)));
    draft.live = LiveWrite::Activate { retire: object(retire), doc };
    space.apply(vec![draft]).await
}

/// Returns `n` and `active` of every row of a record, by `n`.
async fn rows(space: &Space, record: &RecordKey) -> Vec<(i64, bool)> {
    let number = |row: &Value| row.get("n").or_else(|| row.get("doc")?.get("n")).and_then(Value::as_i64);
    let mut rows: Vec<(i64, bool)> = space
        .raw_rows(record)
        .await
        .iter()
        .map(|row| (number(row).unwrap_or(-1), row.get("active") == Some(&Value::from(true))))
        .collect();
    rows.sort_unstable();
    rows
}

async fn live_and_outside(h: &Arc<dyn Harness>) -> (Space, RecordKey) {
    let space = space(h).await;
    let record = space.record("planner");
    for (n, active) in [(1, true), (2, false)] {
        space.raw_insert_record(&record, &Object::new().with("n", n).with("active", active)).await;
    }
    let state = space.state(&record).await;
    space.applied(vec![Draft::adopt(&space, &state)]).await;
    (space, record)
}

pub(crate) async fn a_row_that_has_the_content_is_promoted(h: Arc<dyn Harness>) -> Outcome {
    let (space, record) = live_and_outside(&h).await;
    let state = space.state(&record).await;
    activate(&space, &state, r#"{"n": 2}"#, r#"{"active": false}"#).await.unwrap();
    assert_eq!(rows(&space, &record).await, [(1, false), (2, true)], "no row is added");
    let entries = space.assert_sound(&record).await;
    assert_eq!(live(&space.state(&record).await).oid, Ok(entries[1].header.oid.unwrap()));
    Outcome::Passed
}

pub(crate) async fn a_row_is_added_where_none_has_the_content(h: Arc<dyn Harness>) -> Outcome {
    let (space, record) = live_and_outside(&h).await;
    let state = space.state(&record).await;
    activate(&space, &state, r#"{"n": 3}"#, r#"{"active": false}"#).await.unwrap();
    assert_eq!(rows(&space, &record).await, [(1, false), (2, false), (3, true)]);
    space.assert_sound(&record).await;
    Outcome::Passed
}

pub(crate) async fn the_first_of_them_needs_nobody_to_step_back(h: Arc<dyn Harness>) -> Outcome {
    let space = space(&h).await;
    let record = space.record("planner");
    space.raw_insert_record(&record, &object(r#"{"n": 2, "active": false}"#)).await;
    let state = space.state(&record).await;
    activate(&space, &state, r#"{"n": 2}"#, r#"{"active": false}"#).await.unwrap();
    assert_eq!(rows(&space, &record).await, [(2, true)]);
    Outcome::Passed
}

pub(crate) async fn a_row_that_stays_live_refuses_it(h: Arc<dyn Harness>) -> Outcome {
    let (space, record) = live_and_outside(&h).await;
    let state = space.state(&record).await;
    let before = space.picture().await;
    let refused = activate(&space, &state, r#"{"n": 2}"#, r#"{"active": true}"#).await.unwrap_err();
    assert!(matches!(refused, AdapterError::LiveRule { .. }), "{refused}");
    space.assert_unchanged(&before).await;
    Outcome::Passed
}

pub(crate) async fn a_live_row_that_moved_refuses_it(h: Arc<dyn Harness>) -> Outcome {
    let (space, record) = live_and_outside(&h).await;
    let state = space.state(&record).await;
    space.raw_delete(&record).await;
    space.raw_insert_record(&record, &object(r#"{"n": 9, "active": true}"#)).await;
    let before = space.picture().await;
    let refused = activate(&space, &state, r#"{"n": 2}"#, r#"{"active": false}"#).await.unwrap_err();
    assert!(matches!(refused, AdapterError::StaleLive { .. }), "{refused}");
    space.assert_unchanged(&before).await;
    Outcome::Passed
}
