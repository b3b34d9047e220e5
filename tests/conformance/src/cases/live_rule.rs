//! Which row is live: operators select and are never written.

use std::sync::Arc;

use cfg_engine::adapter::{AdapterError, ExpectedLive, Live, LiveWrite, Scope};
use cfg_engine::config::Shape;
use cfg_engine::history::RecordKey;

use crate::draft::Draft;
use crate::space::{Space, live, object};
use crate::{Harness, Outcome, Table};

async fn with_rule(h: &Arc<dyn Harness>, rule: &str) -> Space {
    Space::with(h, vec![Table::new("agents").live_when(rule)]).await
}

/// Says what live holds: the number in the live row, or how many rows are outside, or how many are live.
async fn seen(space: &Space, record: &RecordKey) -> String {
    match space.state(record).await.live {
        Live::One(live) => format!("n={}", live.value.get("n").and_then(|n| n.as_i64()).unwrap_or(-1)),
        Live::Absent { outside_rule } => format!("outside={outside_rule}"),
        Live::Ambiguous { rows } => format!("rows={rows}"),
        other => format!("{other:?}"),
    }
}

/// Inserts rows of one record, each with these fields and its number, and says what live then holds.
async fn selects(h: &Arc<dyn Harness>, rule: &str, rows: &[&str]) -> String {
    let space = with_rule(h, rule).await;
    let record = space.record("planner");
    for (n, fields) in rows.iter().enumerate() {
        let mut fields = object(fields);
        fields.insert("n", n);
        space.raw_insert_record(&record, &fields).await;
    }
    seen(&space, &record).await
}

pub(crate) async fn equality_selects(h: Arc<dyn Harness>) -> Outcome {
    let rows = [r#"{"active": false}"#, r#"{"active": true}"#, r#"{"active": false}"#];
    assert_eq!(selects(&h, r#"{"active": true}"#, &rows).await, "n=1");
    let rows = [r#"{"status": "on"}"#, r#"{"status": "ON"}"#, r#"{"status": "on "}"#, "{}"];
    assert_eq!(selects(&h, r#"{"status": "on"}"#, &rows).await, "n=0");
    let rows = [r#"{"rank": 10}"#, r#"{"rank": 1}"#, "{}"];
    assert_eq!(selects(&h, r#"{"rank": 1}"#, &rows).await, "n=1");
    Outcome::Passed
}

pub(crate) async fn equality_with_null_selects_rows_without_the_value(h: Arc<dyn Harness>) -> Outcome {
    let rows = [r#"{"retired_at": "monday"}"#, r#"{"retired_at": null}"#];
    assert_eq!(selects(&h, r#"{"retired_at": null}"#, &rows).await, "n=1");
    assert_eq!(selects(&h, r#"{"retired_at": null}"#, &["{}"]).await, "n=0");
    Outcome::Passed
}

pub(crate) async fn in_and_nin_select(h: Arc<dyn Harness>) -> Outcome {
    let rows = [r#"{"status": "c"}"#, r#"{"status": "b"}"#, "{}"];
    assert_eq!(selects(&h, r#"{"status": {"$in": ["a", "b"]}}"#, &rows).await, "n=1");
    let rows = [r#"{"status": "a"}"#, r#"{"status": "b"}"#, r#"{"status": "c"}"#];
    assert_eq!(selects(&h, r#"{"status": {"$nin": ["a", "b"]}}"#, &rows).await, "n=2");
    let rows = [r#"{"status": "a"}"#, "{}"];
    assert_eq!(selects(&h, r#"{"status": {"$nin": ["a"]}}"#, &rows).await, "n=1", "a row without the value is not in");
    assert_eq!(selects(&h, r#"{"status": {"$in": []}}"#, &rows).await, "outside=2");
    Outcome::Passed
}

pub(crate) async fn ne_selects_rows_without_the_value_too(h: Arc<dyn Harness>) -> Outcome {
    let rows = [r#"{"status": "off"}"#, r#"{"status": "on"}"#];
    assert_eq!(selects(&h, r#"{"status": {"$ne": "off"}}"#, &rows).await, "n=1");
    assert_eq!(selects(&h, r#"{"status": {"$ne": "off"}}"#, &["{}", r#"{"status": "off"}"#]).await, "n=0");
    assert_eq!(selects(&h, r#"{"status": {"$ne": null}}"#, &["{}", r#"{"status": "x"}"#]).await, "n=1");
    Outcome::Passed
}

pub(crate) async fn exists_selects(h: Arc<dyn Harness>) -> Outcome {
    let rows = [r#"{"retired_at": "monday"}"#, "{}"];
    assert_eq!(selects(&h, r#"{"retired_at": {"$exists": false}}"#, &rows).await, "n=1");
    assert_eq!(selects(&h, r#"{"retired_at": {"$exists": true}}"#, &rows).await, "n=0");
    assert_eq!(selects(&h, r#"{"retired_at": {"$exists": false}}"#, &[r#"{"retired_at": null}"#]).await, "n=0");
    Outcome::Passed
}

pub(crate) async fn comparisons_select(h: Arc<dyn Harness>) -> Outcome {
    let rows = [r#"{"rank": 1}"#, r#"{"rank": 2}"#, r#"{"rank": 3}"#, "{}"];
    assert_eq!(selects(&h, r#"{"rank": {"$gt": 2}}"#, &rows).await, "n=2");
    assert_eq!(selects(&h, r#"{"rank": {"$gte": 3}}"#, &rows).await, "n=2");
    assert_eq!(selects(&h, r#"{"rank": {"$lt": 2}}"#, &rows).await, "n=0");
    assert_eq!(selects(&h, r#"{"rank": {"$lte": 1}}"#, &rows).await, "n=0");
    assert_eq!(selects(&h, r#"{"rank": {"$gt": 1, "$lt": 3}}"#, &rows).await, "n=1");
    assert_eq!(selects(&h, r#"{"rank": {"$gte": 2}}"#, &rows).await, "rows=2");
    let rows = [r#"{"status": "a"}"#, r#"{"status": "é"}"#, r#"{"status": "b"}"#];
    assert_eq!(selects(&h, r#"{"status": {"$gt": "b"}}"#, &rows).await, "n=1", "text compares by code point");
    Outcome::Passed
}

pub(crate) async fn conditions_are_a_conjunction(h: Arc<dyn Harness>) -> Outcome {
    let rows = [
        r#"{"active": true, "status": "draft"}"#,
        r#"{"active": false, "status": "live"}"#,
        r#"{"active": true, "status": "live"}"#,
    ];
    assert_eq!(selects(&h, r#"{"active": true, "status": {"$in": ["live", "canary"]}}"#, &rows).await, "n=2");
    Outcome::Passed
}

pub(crate) async fn rows_outside_the_rule_are_counted_when_asked_for(h: Arc<dyn Harness>) -> Outcome {
    let space = with_rule(&h, r#"{"active": true}"#).await;
    let outside = space.record("outside");
    for _ in 0..2 {
        space.raw_insert_record(&outside, &object(r#"{"active": false, "n": 1}"#)).await;
    }
    let inside = space.raw_insert("inside", r#"{"active": true, "n": 1}"#).await;
    assert_eq!(seen(&space, &outside).await, "outside=2");
    let listed = space.states(&Scope::All(None)).await;
    assert_eq!(listed.iter().map(|s| &s.record).collect::<Vec<_>>(), [&inside], "a row outside the rule is no record");
    // Nor are they counted when nobody asked about that record.
    let state = space.state(&inside).await;
    space.applied(vec![Draft::adopt(&space, &state)]).await;
    space.raw_set(&inside, r#"{"active": false}"#).await;
    assert_eq!(seen(&space, &inside).await, "outside=1");
    let listed = space.states(&Scope::All(None)).await;
    assert!(matches!(listed[0].live, Live::Absent { outside_rule: 0 }), "{:?}", listed[0].live);
    Outcome::Passed
}

pub(crate) async fn rows_outside_the_rule_are_never_written(h: Arc<dyn Harness>) -> Outcome {
    let space = with_rule(&h, r#"{"active": true}"#).await;
    let record = space.record("planner");
    space.raw_insert_record(&record, &object(r#"{"active": false, "n": 10}"#)).await;
    space.raw_insert_record(&record, &object(r#"{"active": true, "n": 1}"#)).await;
    space.raw_insert_record(&record, &object(r#"{"active": false, "n": 11}"#)).await;
    let state = space.state(&record).await;
    space.applied(vec![Draft::set(&space, &state, "n", 2)]).await;
    assert_eq!(seen(&space, &record).await, "n=2");
    let state = space.state(&record).await;
    space.applied(vec![Draft::remove(&state)]).await;
    assert_eq!(seen(&space, &record).await, "outside=2");
    let doc_column = &space.agents().doc_column;
    let number = |row: &cfg_engine::Value| row.get(doc_column).unwrap_or(row).get("n").and_then(|n| n.as_i64());
    let mut left: Vec<_> = space.raw_rows(&record).await.iter().filter_map(number).collect();
    left.sort_unstable();
    assert_eq!(left, [10, 11]);
    Outcome::Passed
}

pub(crate) async fn a_seed_gets_the_pairs_and_the_id(h: Arc<dyn Harness>) -> Outcome {
    let space = with_rule(&h, r#"{"active": true, "rank": 5, "retired_at": null}"#).await;
    let record = space.create("planner", r#"{"n": 1}"#).await;
    let rows = space.raw_rows(&record).await;
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].get("active").and_then(|v| v.as_bool()), Some(true));
    assert_eq!(rows[0].get("rank").and_then(|v| v.as_i64()), Some(5));
    assert_eq!(rows[0].get("id").and_then(|v| v.as_str()), Some("planner"));
    let state = space.state(&record).await;
    assert_eq!(live(&state).oid.clone().ok(), state.head.and_then(|h| h.head.oid), "live is HEAD");
    Outcome::Passed
}

pub(crate) async fn a_seed_never_gets_an_operator(h: Arc<dyn Harness>) -> Outcome {
    let space = with_rule(&h, r#"{"active": true, "status": {"$in": ["a", "b"]}}"#).await;
    let record = space.record("planner");
    let draft = Draft::create(&space, &record, &object(r#"{"n": 1, "status": "b"}"#));
    let before = space.picture().await;
    match (space.apply(vec![draft]).await, h.shape()) {
        (Ok(_), Shape::Row) => {
            let rows = space.raw_rows(&record).await;
            assert_eq!(rows[0].get("status").and_then(|v| v.as_str()), Some("b"));
        }
        // Only the document is given here; its column for the rule would stay empty.
        (Err(AdapterError::LiveRule { record: named }), Shape::Doc) => {
            assert_eq!(named, record);
            space.assert_unchanged(&before).await;
        }
        (outcome, _) => panic!("{:?}", outcome.err()),
    }
    Outcome::Passed
}

pub(crate) async fn a_seed_that_fails_the_rule_leaves_nothing(h: Arc<dyn Harness>) -> Outcome {
    for rule in [r#"{"status": {"$in": ["a", "b"]}}"#, r#"{"rank": {"$gt": 3}}"#, r#"{"status": {"$exists": true}}"#] {
        let space = with_rule(&h, rule).await;
        let record = space.record("planner");
        let before = space.picture().await;
        let draft = Draft::create(&space, &record, &object(r#"{"n": 1}"#));
        match space.apply(vec![draft]).await {
            Err(AdapterError::LiveRule { record: named }) => assert_eq!(named, record),
            outcome => panic!("expected a refusal by the live rule {rule}, got {:?}", outcome.err()),
        }
        space.assert_unchanged(&before).await;
    }
    Outcome::Passed
}

pub(crate) async fn a_seed_beside_a_live_row_is_refused(h: Arc<dyn Harness>) -> Outcome {
    let space = with_rule(&h, r#"{"active": true}"#).await;
    let record = space.raw_insert("planner", r#"{"active": true, "n": 1}"#).await;
    let before = space.picture().await;
    let draft = Draft::create(&space, &record, &object(r#"{"n": 2}"#)).expecting(ExpectedLive::Unchecked);
    match space.apply(vec![draft]).await {
        Err(AdapterError::LiveRule { record: named }) => assert_eq!(named, record),
        outcome => panic!("expected a refusal by the live rule, got {:?}", outcome.err()),
    }
    space.assert_unchanged(&before).await;
    Outcome::Passed
}

pub(crate) async fn a_row_that_leaves_the_rule_is_gone(h: Arc<dyn Harness>) -> Outcome {
    let space = with_rule(&h, r#"{"active": true}"#).await;
    let record = space.create("planner", r#"{"n": 1}"#).await;
    let state = space.state(&record).await;
    let set = space.bind(vec![Draft::set(&space, &state, "n", 2)]).await;
    space.raw_set(&record, r#"{"active": false}"#).await;
    super::bypass::assert_stale_live(space.store.apply(&set).await, &record);
    assert_eq!(seen(&space, &record).await, "outside=1");
    Outcome::Passed
}

pub(crate) async fn deleting_and_seeding_again(h: Arc<dyn Harness>) -> Outcome {
    let space = with_rule(&h, r#"{"active": true}"#).await;
    let record = space.create("planner", r#"{"n": 1}"#).await;
    let state = space.state(&record).await;
    assert!(matches!(Draft::remove(&state).live, LiveWrite::Delete));
    space.applied(vec![Draft::remove(&state)]).await;
    assert_eq!(seen(&space, &record).await, "outside=0");
    let state = space.state(&record).await;
    space.applied(vec![Draft::recreate(&space, &state, &object(r#"{"n": 3}"#))]).await;
    assert_eq!(seen(&space, &record).await, "n=3");
    assert_eq!(space.assert_sound(&record).await.len(), 3);
    Outcome::Passed
}
