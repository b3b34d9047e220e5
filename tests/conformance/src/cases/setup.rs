//! Opening, preparing, opening again.

use std::sync::Arc;

use cfg_engine::adapter::{AdapterError, Scope};
use cfg_engine::document::FieldPolicy;
use cfg_engine::history::CollectionName;

use crate::space::{Space, collect, live};
use crate::{Harness, Outcome, Table};

pub(crate) async fn preparing_twice_changes_nothing(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    assert!(space.store.pending_schema().await.expect("a schema").is_empty(), "the namespace is prepared");
    let record = space.create("planner", r#"{"n": 1}"#).await;
    let before = space.picture().await;
    assert!(space.store.ensure_schema().await.expect("a schema").is_empty());
    space.assert_unchanged(&before).await;
    space.commit(&record, "n", 2).await;
    Outcome::Passed
}

pub(crate) async fn collections_are_those_configured(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::with(&h, vec![Table::new("prompts"), Table::new("agents")]).await;
    let names: Vec<&str> = space.store.collections().iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["prompts", "agents"]);
    for config in &space.collections {
        space.store.check_collection(&config.name).await.expect("a collection that is there");
    }
    let unknown = CollectionName::new("unknown").expect("a name");
    let outcome = space.store.check_collection(&unknown).await;
    assert!(matches!(outcome, Err(AdapterError::Setup { .. })), "{outcome:?}");
    Outcome::Passed
}

pub(crate) async fn another_process_sees_everything(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let record = space.create("planner", r#"{"n": 1}"#).await;
    let other = space.raw.reopen(space.collections.clone()).await;
    space.commit(&record, "n", 2).await;
    let scope = Scope::All(None);
    let states = collect(other.records(&space.env, &scope)).await;
    assert_eq!(states.len(), 1);
    assert_eq!(states[0].head.as_ref().map(|h| h.head.seq.0), Some(2));
    let batch = space.bind(vec![crate::Draft::set(&space, &states[0], "n", 3)]).await;
    other.apply(&batch).await.expect("a batch of the other process");
    assert_eq!(space.assert_sound(&record).await.len(), 3);
    Outcome::Passed
}

pub(crate) async fn another_policy_is_another_oid(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    space.create("planner", r#"{"n": 1, "name": "a"}"#).await;
    let mut config = space.agents().clone();
    config.policy = FieldPolicy::builder().ignore_field("name").build();
    let other = space.raw.reopen(vec![config]).await;
    let scope = Scope::All(None);
    let states = collect(other.records(&space.env, &scope)).await;
    let ours = space.states(&scope).await;
    assert_ne!(live(&states[0]).oid, live(&ours[0]).oid);
    assert_eq!(states[0].head, ours[0].head);
    Outcome::Passed
}
