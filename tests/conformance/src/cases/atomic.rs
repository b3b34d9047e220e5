//! P3: live, entries, heads, ends and objects change together or not at all.

use std::sync::Arc;

use cfg_engine::adapter::{AdapterError, ExpectedLive, ExpectedVersion, ObjectKey, ObjectWrite};
use cfg_engine::history::RecordKey;

use crate::draft::Draft;
use crate::generated::instant;
use crate::space::{Space, object};
use crate::{Harness, Outcome, Table, require};

/// Three records, the last in order being the one that something is wrong with.
async fn three(space: &Space) -> Vec<RecordKey> {
    let mut records = Vec::new();
    for id in ["a", "b", "c"] {
        records.push(space.create(id, r#"{"n": 1}"#).await);
    }
    records
}

fn tag(name: &str, expected: ExpectedVersion) -> ObjectWrite {
    let key = ObjectKey { kind: "tag".to_owned(), name: name.to_owned() };
    ObjectWrite { key, expected, body: Some(object(r#"{"to": 1}"#).into()) }
}

/// Plans a batch of all three kinds of live write and an object, lets `spoil` happen, and asserts that
/// the refusal wrote nothing.
async fn spoiled<F: Future<Output = ()>>(
    space: &Space,
    records: &[RecordKey],
    spoil: impl FnOnce() -> F,
) -> AdapterError {
    let mut drafts = Vec::new();
    let state = space.state(&records[0]).await;
    drafts.push(Draft::remove(&state));
    let state = space.state(&records[1]).await;
    drafts.push(Draft::set(space, &state, "n", 2));
    drafts.push(Draft::create(space, &space.record("bb"), &object(r#"{"n": 5}"#)));
    let state = space.state(&records[2]).await;
    drafts.push(Draft::set(space, &state, "n", 2));
    let at = space.bind(drafts.clone()).await.recorded_at();
    let batch = space.bind_all(space.op_id(), at, drafts, vec![tag("june", ExpectedVersion::Absent)]).await;
    spoil().await;
    let before = space.picture().await;
    let error = space.store.apply(&batch).await.expect_err("a batch with one stale part");
    space.assert_unchanged(&before).await;
    error
}

pub(crate) async fn a_stale_head_in_the_last_of_a_batch(h: Arc<dyn Harness>) -> Outcome {
    require!(h, Transactions);
    let space = Space::open(&h).await;
    let records = three(&space).await;
    let error = spoiled(&space, &records, || async {
        space.commit(&records[2], "n", 9).await;
    })
    .await;
    assert!(matches!(&error, AdapterError::StaleHead { record, .. } if *record == records[2]), "{error:?}");
    Outcome::Passed
}

pub(crate) async fn a_stale_live_document_in_the_last_of_a_batch(h: Arc<dyn Harness>) -> Outcome {
    require!(h, Transactions);
    let space = Space::open(&h).await;
    let records = three(&space).await;
    let error = spoiled(&space, &records, || space.raw_set(&records[2], r#"{"n": 7}"#)).await;
    assert!(matches!(&error, AdapterError::StaleLive { record } if *record == records[2]), "{error:?}");
    Outcome::Passed
}

pub(crate) async fn a_missing_row_in_the_last_of_a_batch(h: Arc<dyn Harness>) -> Outcome {
    require!(h, Transactions);
    let space = Space::open(&h).await;
    let records = three(&space).await;
    let error = spoiled(&space, &records, || space.raw_delete(&records[2])).await;
    assert!(matches!(&error, AdapterError::StaleLive { record } if *record == records[2]), "{error:?}");
    Outcome::Passed
}

pub(crate) async fn a_second_row_in_the_last_of_a_batch(h: Arc<dyn Harness>) -> Outcome {
    require!(h, Transactions);
    let space = Space::open(&h).await;
    let records = three(&space).await;
    let error = spoiled(&space, &records, || async {
        space.raw_insert("c", r#"{"n": 1}"#).await;
    })
    .await;
    assert!(matches!(&error, AdapterError::Ambiguous { record, rows: 2 } if *record == records[2]), "{error:?}");
    Outcome::Passed
}

pub(crate) async fn a_stale_object_beside_good_changes(h: Arc<dyn Harness>) -> Outcome {
    require!(h, Transactions);
    let space = Space::open(&h).await;
    let records = three(&space).await;
    let error = spoiled(&space, &records, || async {
        let at = space.now().await;
        let batch = space.bind_all(space.op_id(), at, Vec::new(), vec![tag("june", ExpectedVersion::Absent)]).await;
        space.store.apply(&batch).await.expect("a tag");
    })
    .await;
    assert!(matches!(&error, AdapterError::StaleObject { kind, name } if kind == "tag" && name == "june"), "{error:?}");
    Outcome::Passed
}

pub(crate) async fn a_seed_that_fails_in_the_last_of_a_batch(h: Arc<dyn Harness>) -> Outcome {
    require!(h, Transactions);
    let tables =
        vec![Table::new("agents").live_when(r#"{"active": true, "status": {"$ne": "x"}, "rank": {"$gt": 3}}"#)];
    let space = Space::with(&h, tables).await;
    let good = space.record("a");
    space.raw_insert_record(&good, &object(r#"{"n": 1, "active": true, "rank": 4}"#)).await;
    let state = space.state(&good).await;
    let bad = Draft::create(&space, &space.record("b"), &object(r#"{"n": 1}"#));
    let before = space.picture().await;
    let error = space.apply(vec![Draft::set(&space, &state, "n", 2), bad]).await.expect_err("a seed without a rank");
    assert!(matches!(error, AdapterError::LiveRule { .. }), "{error:?}");
    space.assert_unchanged(&before).await;
    Outcome::Passed
}

pub(crate) async fn a_batch_of_every_kind_is_applied_whole(h: Arc<dyn Harness>) -> Outcome {
    require!(h, Transactions);
    let space = Space::open(&h).await;
    let records = three(&space).await;
    let fresh = space.record("bb");
    let removed = Draft::remove(&space.state(&records[0]).await);
    let set = Draft::set(&space, &space.state(&records[1]).await, "n", 2);
    let created = Draft::create(&space, &fresh, &object(r#"{"n": 5}"#));
    let state = space.state(&records[2]).await;
    let old = space.doc(&records[2], &object(r#"{"n": 0}"#));
    let imported = Draft::import(&space, &state, &[(instant(1), Some(old))]);
    let drafts = vec![removed, set, created, imported];
    let at = space.bind(drafts.clone()).await.recorded_at();
    let batch = space.bind_all(space.op_id(), at, drafts, vec![tag("june", ExpectedVersion::Absent)]).await;
    space.store.apply(&batch).await.expect("a batch");
    assert!(space.raw_rows(&records[0]).await.is_empty());
    assert_eq!(space.raw_field(&records[1], "n").await.as_i64(), Some(2));
    assert_eq!(space.raw_field(&fresh, "n").await.as_i64(), Some(5));
    assert_eq!(space.raw_field(&records[2], "n").await.as_i64(), Some(1));
    for (record, entries) in records.iter().chain([&fresh]).zip([2, 2, 2, 1]) {
        let history = space.assert_sound(record).await;
        assert_eq!(history.len(), entries, "{record}");
        assert_eq!(history.last().map(|e| e.header.recorded_at), Some(at), "one instant for the whole batch");
    }
    assert_eq!(space.store.objects("tag", None).await.expect("objects").len(), 1);
    Outcome::Passed
}

pub(crate) async fn a_backdated_import_closes_what_it_splits(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let record = space.record("planner");
    let state = space.state(&record).await;
    let doc = |n: i64| Some(space.doc(&record, &object(&format!(r#"{{"n": {n}}}"#))));
    let versions = [(instant(0), doc(0)), (instant(6), doc(6))];
    space.applied(vec![Draft::import(&space, &state, &versions)]).await;
    let state = space.state(&record).await;
    space.applied(vec![Draft::import(&space, &state, &[(instant(3), doc(3))])]).await;
    let entries = space.assert_sound(&record).await;
    assert_eq!(entries[0].valid_to, Some(instant(3)));
    assert_eq!(entries[2].valid_to, Some(instant(6)));
    assert_eq!(entries[1].valid_to, None);
    assert_eq!(space.head(&record).await.map(|h| (h.head.seq.0, h.tip.seq.0)), Some((2, 3)));
    Outcome::Passed
}

pub(crate) async fn a_change_of_live_without_an_entry(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let record = space.create("planner", r#"{"n": 1}"#).await;
    // Bringing live back to HEAD is no new version.
    space.raw_set(&record, r#"{"n": 7}"#).await;
    let state = space.state(&record).await;
    let mut draft = Draft::set(&space, &state, "n", 1);
    draft.entries.clear();
    space.applied(vec![draft]).await;
    assert_eq!(space.raw_field(&record, "n").await.as_i64(), Some(1));
    assert_eq!(space.assert_sound(&record).await.len(), 1);
    // And a record without history may be seeded without one.
    let untracked = space.record("untracked");
    let mut draft = Draft::create(&space, &untracked, &object(r#"{"n": 2}"#));
    draft.entries.clear();
    space.applied(vec![draft]).await;
    assert_eq!(space.raw_field(&untracked, "n").await.as_i64(), Some(2));
    assert_eq!(space.head(&untracked).await, None);
    Outcome::Passed
}

pub(crate) async fn a_batch_over_two_collections(h: Arc<dyn Harness>) -> Outcome {
    require!(h, Transactions);
    let space = Space::with(&h, vec![Table::new("agents"), Table::new("prompts")]).await;
    let (one, other) = (space.record("x"), space.record_in(1, &"x".into()));
    let seed = object(r#"{"n": 1}"#);
    space.applied(vec![Draft::create(&space, &one, &seed), Draft::create(&space, &other, &seed)]).await;
    let set = [space.state(&one).await, space.state(&other).await].map(|s| Draft::set(&space, &s, "n", 2)).to_vec();
    let late = space.bind(set.clone()).await;
    space.raw_set(&other, r#"{"n": 5}"#).await;
    let before = space.picture().await;
    super::bypass::assert_stale_live(space.store.apply(&late).await, &other);
    space.assert_unchanged(&before).await;
    space.raw_set(&other, r#"{"n": 1}"#).await;
    space.applied(set).await;
    assert_eq!(space.raw_field(&one, "n").await.as_i64(), Some(2));
    assert_eq!(space.raw_field(&other, "n").await.as_i64(), Some(2));
    Outcome::Passed
}

pub(crate) async fn a_refused_batch_can_be_planned_again(h: Arc<dyn Harness>) -> Outcome {
    require!(h, Transactions);
    let space = Space::open(&h).await;
    let records = three(&space).await;
    spoiled(&space, &records, || space.raw_set(&records[2], r#"{"n": 7}"#)).await;
    let mut drafts = Vec::new();
    for record in &records {
        let state = space.state(record).await;
        drafts.push(Draft::adopt(&space, &state).expecting(ExpectedLive::Unchecked));
    }
    space.applied(drafts).await;
    for record in &records {
        assert_eq!(space.assert_sound(record).await.len(), 2);
    }
    Outcome::Passed
}
