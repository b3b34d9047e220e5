//! P2: what somebody wrote around the tool between read and write is never lost.

use std::sync::Arc;

use cfg_engine::adapter::{AdapterError, ExpectedLive, Live, LiveWrite, Scope};
use cfg_engine::document::{Edit, PathChange};
use cfg_engine::history::RecordKey;

use crate::draft::Draft;
use crate::space::{Space, assert_doc, assert_value, live, object, value};
use crate::{Harness, Outcome, require};

#[track_caller]
pub(crate) fn assert_stale_live(outcome: Result<(), AdapterError>, record: &RecordKey) {
    match outcome {
        Err(AdapterError::StaleLive { record: named }) => assert_eq!(named, *record),
        other => panic!("expected a stale live document of {record}, got {other:?}"),
    }
}

/// Plans a change, lets an application write, and applies the change.
async fn interleaved(space: &Space, record: &RecordKey, path: &str, to: i64, set: &str) -> Result<(), AdapterError> {
    let state = space.state(record).await;
    let batch = space.bind(vec![Draft::set(space, &state, path, to)]).await;
    space.raw_set(record, set).await;
    space.store.apply(&batch).await
}

pub(crate) async fn a_raw_write_between_read_and_write_wins(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let record = space.create("planner", r#"{"n": 1, "name": "a"}"#).await;
    let outcome = interleaved(&space, &record, "n", 2, r#"{"name": "b"}"#).await;
    assert_stale_live(outcome, &record);
    assert_eq!(space.raw_field(&record, "name").await.as_str(), Some("b"));
    assert_eq!(space.raw_field(&record, "n").await.as_i64(), Some(1));
    assert_eq!(space.assert_sound(&record).await.len(), 1);
    Outcome::Passed
}

pub(crate) async fn a_raw_write_of_the_written_value_wins(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let record = space.create("planner", r#"{"n": 1}"#).await;
    assert_stale_live(interleaved(&space, &record, "n", 2, r#"{"n": 5}"#).await, &record);
    // Even one that wrote just what the change writes.
    space.raw_set(&record, r#"{"n": 1}"#).await;
    assert_stale_live(interleaved(&space, &record, "n", 2, r#"{"n": 2}"#).await, &record);
    assert_eq!(space.assert_sound(&record).await.len(), 1);
    Outcome::Passed
}

pub(crate) async fn a_raw_write_deep_inside_wins(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let record = space.create("planner", r#"{"body": {"a": {"b": [1, 2, {"c": 3}]}, "x": 1}}"#).await;
    let outcome =
        interleaved(&space, &record, "body.x", 2, r#"{"body": {"a": {"b": [1, 2, {"c": 4}]}, "x": 1}}"#).await;
    assert_stale_live(outcome, &record);
    assert_value(&space.raw_field(&record, "body").await, &value(r#"{"a": {"b": [1, 2, {"c": 4}]}, "x": 1}"#));
    Outcome::Passed
}

pub(crate) async fn an_ignored_field_may_move(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let record = space.create("planner", r#"{"n": 1, "updated_at": "monday"}"#).await;
    interleaved(&space, &record, "n", 2, r#"{"updated_at": "tuesday"}"#)
        .await
        .expect("a commit beside an ignored write");
    assert_eq!(
        space.raw_field(&record, "updated_at").await.as_str(),
        Some("tuesday"),
        "the application's value is kept"
    );
    assert_eq!(space.raw_field(&record, "n").await.as_i64(), Some(2));
    let entries = space.assert_sound(&record).await;
    let stored = entries[1].doc.as_ref().expect("a document");
    assert_eq!(stored.get("updated_at").and_then(|v| v.as_str()), Some("monday"), "history holds what was read");
    Outcome::Passed
}

pub(crate) async fn an_ignored_path_may_move_beside_the_written_one(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let record = space.create("planner", r#"{"body": {"k": 1, "cache": {"hits": 1}}}"#).await;
    let moved = r#"{"body": {"k": 1, "cache": {"hits": 99, "more": [1]}}}"#;
    interleaved(&space, &record, "body.k", 2, moved).await.expect("a commit beside an ignored write");
    assert_value(&space.raw_field(&record, "body").await, &value(r#"{"k": 2, "cache": {"hits": 99, "more": [1]}}"#));
    Outcome::Passed
}

pub(crate) async fn an_ignored_field_may_appear_and_vanish(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let record = space.create("planner", r#"{"body": {"k": 1}}"#).await;
    let appeared = r#"{"body": {"k": 1, "cache": 7}}"#;
    interleaved(&space, &record, "body.k", 2, appeared).await.expect("a commit beside an ignored write");
    interleaved(&space, &record, "body.k", 3, r#"{"body": {"k": 2}}"#).await.expect("another");
    assert_value(&space.raw_field(&record, "body").await, &value(r#"{"k": 3}"#));
    Outcome::Passed
}

pub(crate) async fn a_rotated_secret_is_kept(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let record = space.create("planner", r#"{"n": 1, "token": "old-secret"}"#).await;
    interleaved(&space, &record, "n", 2, r#"{"token": "new-secret"}"#).await.expect("a commit beside a rotation");
    assert_eq!(space.raw_field(&record, "token").await.as_str(), Some("new-secret"));
    Outcome::Passed
}

pub(crate) async fn a_secret_that_moved_is_not_overwritten(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let record = space.create("planner", r#"{"n": 1, "token": "old-secret"}"#).await;
    let state = space.state(&record).await;
    let batch = space.bind(vec![Draft::set(&space, &state, "token", "mine")]).await;
    space.raw_set(&record, r#"{"token": "theirs"}"#).await;
    assert_stale_live(space.store.apply(&batch).await, &record);
    assert_eq!(space.raw_field(&record, "token").await.as_str(), Some("theirs"));
    Outcome::Passed
}

pub(crate) async fn a_written_ignored_value_that_moved_is_not_overwritten(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let record = space.create("planner", r#"{"n": 1, "updated_at": "monday"}"#).await;
    let state = space.state(&record).await;
    let batch = space.bind(vec![Draft::set(&space, &state, "updated_at", "mine")]).await;
    space.raw_set(&record, r#"{"updated_at": "theirs"}"#).await;
    assert_stale_live(space.store.apply(&batch).await, &record);
    assert_eq!(space.raw_field(&record, "updated_at").await.as_str(), Some("theirs"));
    Outcome::Passed
}

pub(crate) async fn a_value_that_only_changed_its_spelling(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let record = space.create("planner", r#"{"body": {"k": 1, "x": 1}}"#).await;
    // Where the change writes, exactly what was read must be there.
    assert_stale_live(interleaved(&space, &record, "body.k", 2, r#"{"body": {"k": 1.0, "x": 1}}"#).await, &record);
    // Elsewhere, content that hashes alike is the same content, and stays as the application spelled it.
    interleaved(&space, &record, "body.k", 3, r#"{"body": {"k": 1.0, "x": 1.0, "gone": null}}"#)
        .await
        .expect("a commit beside a respelling");
    assert_value(&space.raw_field(&record, "body").await, &value(r#"{"k": 3, "x": 1.0, "gone": null}"#));
    Outcome::Passed
}

pub(crate) async fn members_that_changed_their_order_keep_it(h: Arc<dyn Harness>) -> Outcome {
    require!(h, Verbatim);
    let space = Space::open(&h).await;
    let record = space.create("planner", r#"{"body": {"a": 1, "b": 2, "c": 3}}"#).await;
    interleaved(&space, &record, "body.a", 9, r#"{"body": {"c": 3, "a": 1, "b": 2}}"#).await.expect("a commit");
    let body = space.raw_field(&record, "body").await;
    assert_eq!(body.to_interchange(), r#"{"c":3,"a":9,"b":2}"#);
    Outcome::Passed
}

pub(crate) async fn a_deleted_row_is_not_written(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let record = space.create("planner", r#"{"n": 1}"#).await;
    let state = space.state(&record).await;
    let set = space.bind(vec![Draft::set(&space, &state, "n", 2)]).await;
    let adopt = space.bind(vec![Draft::adopt(&space, &state)]).await;
    let remove = space.bind(vec![Draft::remove(&state)]).await;
    space.raw_delete(&record).await;
    let before = space.picture().await;
    for batch in [set, adopt, remove] {
        assert_stale_live(space.store.apply(&batch).await, &record);
    }
    space.assert_unchanged(&before).await;
    Outcome::Passed
}

pub(crate) async fn a_row_that_appeared_is_not_doubled(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let record = space.record("planner");
    let draft = Draft::create(&space, &record, &object(r#"{"n": 1}"#));
    let batch = space.bind(vec![draft]).await;
    space.raw_insert("planner", r#"{"n": 7}"#).await;
    let before = space.picture().await;
    assert_stale_live(space.store.apply(&batch).await, &record);
    space.assert_unchanged(&before).await;
    Outcome::Passed
}

pub(crate) async fn adopting_guards_what_it_records(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let record = space.create("planner", r#"{"n": 1}"#).await;
    space.raw_set(&record, r#"{"n": 2}"#).await;
    let state = space.state(&record).await;
    let late = space.bind(vec![Draft::adopt(&space, &state)]).await;
    space.raw_set(&record, r#"{"n": 3}"#).await;
    assert_stale_live(space.store.apply(&late).await, &record);
    let state = space.state(&record).await;
    space.applied(vec![Draft::adopt(&space, &state)]).await;
    let head = space.state(&record).await;
    assert_eq!(head.head.as_ref().and_then(|h| h.head.oid), live(&head).oid.clone().ok());
    Outcome::Passed
}

pub(crate) async fn a_delete_guards_what_it_deletes(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let record = space.create("planner", r#"{"n": 1, "updated_at": "a"}"#).await;
    let state = space.state(&record).await;
    let batch = space.bind(vec![Draft::remove(&state)]).await;
    space.raw_set(&record, r#"{"n": 2}"#).await;
    assert_stale_live(space.store.apply(&batch).await, &record);
    // An ignored field that moved does not stand in the way.
    space.raw_set(&record, r#"{"n": 1, "updated_at": "b"}"#).await;
    space.store.apply(&batch).await.expect("a deletion");
    assert!(space.raw_rows(&record).await.is_empty());
    Outcome::Passed
}

pub(crate) async fn unchecked_writes_only_its_path(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let record = space.create("planner", r#"{"n": 1, "name": "a", "body": {"k": 1, "x": 1}}"#).await;
    let state = space.state(&record).await;
    let changes = vec![PathChange { path: "body.k".parse().expect("a path"), edit: Edit::Set(2.into()) }];
    let draft = Draft::edit(&space, &state, changes).expecting(ExpectedLive::Unchecked);
    let batch = space.bind(vec![draft]).await;
    space.raw_set(&record, r#"{"name": "b", "body": {"k": 7, "x": 7}}"#).await;
    space.store.apply(&batch).await.expect("an unchecked write");
    let doc = space.raw_doc(&record).await;
    assert_doc(&doc, &space.doc(&record, &object(r#"{"n": 1, "name": "b", "body": {"k": 2, "x": 7}}"#)));
    Outcome::Passed
}

pub(crate) async fn unchecked_leaves_live_alone(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let record = space.create("planner", r#"{"n": 1}"#).await;
    let state = space.state(&record).await;
    let draft = Draft::adopt(&space, &state).expecting(ExpectedLive::Unchecked);
    let batch = space.bind(vec![draft]).await;
    space.raw_set(&record, r#"{"n": 2}"#).await;
    space.raw_insert("planner", r#"{"n": 3}"#).await;
    let rows = space.raw_rows(&record).await.len();
    space.store.apply(&batch).await.expect("an entry that does not look at live");
    assert_eq!(space.raw_rows(&record).await.len(), rows);
    assert_eq!(space.assert_sound(&record).await.len(), 2);
    Outcome::Passed
}

pub(crate) async fn unchecked_needs_a_row_to_write(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let record = space.create("planner", r#"{"n": 1}"#).await;
    let state = space.state(&record).await;
    let set = Draft::set(&space, &state, "n", 2).expecting(ExpectedLive::Unchecked);
    let set = space.bind(vec![set]).await;
    space.raw_delete(&record).await;
    let before = space.picture().await;
    assert_stale_live(space.store.apply(&set).await, &record);
    space.assert_unchanged(&before).await;
    Outcome::Passed
}

pub(crate) async fn a_second_live_row_is_ambiguous(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let record = space.create("planner", r#"{"n": 1}"#).await;
    let other = space.create("writer", r#"{"n": 1}"#).await;
    let state = space.state(&record).await;
    let set = space.bind(vec![Draft::set(&space, &state, "n", 2)]).await;
    let remove = space.bind(vec![Draft::remove(&state)]).await;
    let adopt = space.bind(vec![Draft::adopt(&space, &state)]).await;
    let mut absent = Draft::recreate(&space, &state, &object(r#"{"n": 5}"#));
    absent.expected_live = ExpectedLive::Absent;
    let create = space.bind(vec![absent]).await;
    space.raw_insert("planner", r#"{"n": 1}"#).await;
    let before = space.picture().await;
    for batch in [set, remove, adopt, create] {
        match space.store.apply(&batch).await {
            Err(AdapterError::Ambiguous { record: named, rows }) => assert_eq!((named, rows), (record.clone(), 2)),
            outcome => panic!("expected an ambiguous record, got {outcome:?}"),
        }
    }
    space.assert_unchanged(&before).await;
    // The rest of the collection goes on.
    let states = space.states(&Scope::All(None)).await;
    assert!(matches!(states[0].live, Live::Ambiguous { rows: 2 }), "{:?}", states[0].live);
    assert!(matches!(states[1].live, Live::One(_)));
    space.commit(&other, "n", 2).await;
    Outcome::Passed
}

pub(crate) async fn leaving_live_writes_nothing_to_it(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let record = space.raw_insert("planner", r#"{"n": 1, "body": {"z": 1.50, "a": null}, "token": "s"}"#).await;
    let before: Vec<String> = space.raw_rows(&record).await.iter().map(|r| r.to_interchange()).collect();
    let state = space.state(&record).await;
    let draft = Draft::adopt(&space, &state);
    assert!(matches!(draft.live, LiveWrite::Leave));
    space.applied(vec![draft]).await;
    let after: Vec<String> = space.raw_rows(&record).await.iter().map(|r| r.to_interchange()).collect();
    assert_eq!(before, after);
    Outcome::Passed
}
