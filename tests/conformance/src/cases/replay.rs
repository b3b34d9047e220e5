//! P4: a batch that comes again is recognised and written once.

use std::sync::Arc;

use cfg_engine::adapter::{AdapterError, EntryQuery, ExpectedVersion, ObjectKey, ObjectWrite, Scope};
use futures_util::future::join_all;

use super::lost_update::assert_stale_head;
use crate::draft::Draft;
use crate::space::{Space, object, stale};
use crate::{Harness, Outcome, require};

pub(crate) async fn the_same_batch_twice_is_written_once(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let record = space.create("planner", r#"{"n": 1}"#).await;
    let batch = space.commit(&record, "n", 2).await;
    let before = space.picture().await;
    // Live has moved and the batch's time is past, too; it is the head that must be named, because that
    // is what makes the engine look the op_id up.
    assert_stale_head(space.store.apply(&batch).await, &record, Some(2));
    space.assert_unchanged(&before).await;
    Outcome::Passed
}

pub(crate) async fn a_first_commit_twice_is_written_once(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let record = space.record("planner");
    let batch = space.applied(vec![Draft::create(&space, &record, &object(r#"{"n": 1}"#))]).await;
    assert_stale_head(space.store.apply(&batch).await, &record, Some(1));
    assert_eq!(space.raw_rows(&record).await.len(), 1);
    assert_eq!(space.assert_sound(&record).await.len(), 1);
    Outcome::Passed
}

pub(crate) async fn a_deletion_twice_is_written_once(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let record = space.create("planner", r#"{"n": 1}"#).await;
    let state = space.state(&record).await;
    let batch = space.applied(vec![Draft::remove(&state)]).await;
    assert_stale_head(space.store.apply(&batch).await, &record, Some(2));
    assert_eq!(space.assert_sound(&record).await.len(), 2);
    Outcome::Passed
}

pub(crate) async fn a_replay_after_later_commits(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let record = space.create("planner", r#"{"n": 1}"#).await;
    let batch = space.commit(&record, "n", 2).await;
    space.commit(&record, "n", 1).await;
    // Live is what the batch saw, and only the head says otherwise.
    assert_stale_head(space.store.apply(&batch).await, &record, Some(3));
    assert_eq!(space.assert_sound(&record).await.len(), 3);
    Outcome::Passed
}

pub(crate) async fn an_op_id_finds_its_entries(h: Arc<dyn Harness>) -> Outcome {
    require!(h, Transactions);
    let space = Space::open(&h).await;
    let one = space.create("a", r#"{"n": 1}"#).await;
    let other = space.create("b", r#"{"n": 1}"#).await;
    let states = [space.state(&one).await, space.state(&other).await];
    let batch = space.applied(states.iter().map(|s| Draft::set(&space, s, "n", 2)).collect()).await;
    space.commit(&one, "n", 3).await;
    let mut query = EntryQuery::new(space.env.clone(), Scope::All(None));
    query.op_id = Some(batch.op_id().clone());
    let found: Vec<_> = space.entries(&query).await.into_iter().map(|e| (e.header.record, e.entry_id)).collect();
    let wrote: Vec<_> = batch.changes().iter().map(|c| (c.record.clone(), c.entries[0].entry_id)).collect();
    assert_eq!(found, wrote);
    query.op_id = Some(space.op_id());
    assert!(space.entries(&query).await.is_empty());
    Outcome::Passed
}

pub(crate) async fn a_refused_batch_leaves_no_op_id(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let record = space.create("planner", r#"{"n": 1}"#).await;
    let state = space.state(&record).await;
    let batch = space.bind(vec![Draft::set(&space, &state, "n", 2)]).await;
    space.raw_set(&record, r#"{"n": 9}"#).await;
    space.store.apply(&batch).await.expect_err("a stale batch");
    let mut query = EntryQuery::new(space.env.clone(), Scope::All(None));
    query.op_id = Some(batch.op_id().clone());
    assert!(space.entries(&query).await.is_empty());
    Outcome::Passed
}

pub(crate) async fn one_batch_from_six_tasks(h: Arc<dyn Harness>) -> Outcome {
    let space = Arc::new(Space::open(&h).await);
    let record = space.create("planner", r#"{"n": 1}"#).await;
    let state = space.state(&record).await;
    let batch = Arc::new(space.bind(vec![Draft::set(&space, &state, "n", 2)]).await);
    let tasks = (0..6).map(|_| {
        let (space, batch) = (Arc::clone(&space), Arc::clone(&batch));
        tokio::spawn(async move {
            loop {
                match space.store.apply(&batch).await {
                    Err(AdapterError::Busy) => tokio::task::yield_now().await,
                    outcome => return outcome,
                }
            }
        })
    });
    let outcomes: Vec<_> = join_all(tasks).await.into_iter().map(|t| t.expect("a task")).collect();
    assert_eq!(outcomes.iter().filter(|o| o.is_ok()).count(), 1, "{outcomes:?}");
    assert!(outcomes.iter().all(|o| o.as_ref().err().is_none_or(stale)), "{outcomes:?}");
    assert_eq!(space.assert_sound(&record).await.len(), 2);
    Outcome::Passed
}

pub(crate) async fn a_batch_of_objects_twice_is_written_once(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let key = ObjectKey { kind: "tag".to_owned(), name: "june".to_owned() };
    let write = ObjectWrite { key, expected: ExpectedVersion::Absent, body: Some(object("{}").into()) };
    let batch = space.bind_all(space.op_id(), space.now().await, Vec::new(), vec![write]).await;
    space.store.apply(&batch).await.expect("an object");
    match space.store.apply(&batch).await {
        Err(AdapterError::StaleObject { kind, name }) => assert_eq!((kind.as_str(), name.as_str()), ("tag", "june")),
        other => panic!("expected a stale object, got {other:?}"),
    }
    let stored = space.store.objects("tag", Some("june")).await.expect("objects").remove(0);
    assert_eq!((stored.version, &stored.op_id), (1, batch.op_id()));
    Outcome::Passed
}
