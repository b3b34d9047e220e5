//! Limits are named, and what lies below them works.

use std::sync::Arc;

use cfg_engine::adapter::{AdapterError, Scope};
use cfg_engine::document::Object;

use crate::draft::Draft;
use crate::space::{Space, assert_doc};
use crate::{Harness, Outcome, require};

async fn creating(space: &Space, records: usize) -> Vec<Draft> {
    (0..records)
        .map(|n| Draft::create(space, &space.record(&format!("r{n:05}")), &Object::new().with("n", n)))
        .collect()
}

pub(crate) async fn the_largest_batch_is_applied(h: Arc<dyn Harness>) -> Outcome {
    require!(h, Transactions);
    let space = Space::open(&h).await;
    let records = space.store.capabilities().max_batch_records.min(1000);
    space.applied(creating(&space, records).await).await;
    let states = space.states(&Scope::All(None)).await;
    assert_eq!(states.len(), records);
    let updates = states.iter().map(|state| Draft::set(&space, state, "n", -1)).collect();
    space.applied(updates).await;
    let states = space.states(&Scope::All(None)).await;
    assert!(states.iter().all(|s| s.head.as_ref().map(|h| h.head.seq.0) == Some(2)));
    assert!(states.iter().all(|s| crate::space::live(s).value.get("n").and_then(|n| n.as_i64()) == Some(-1)));
    Outcome::Passed
}

pub(crate) async fn a_larger_batch_is_refused_with_the_limit(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let limit = space.store.capabilities().max_batch_records;
    let drafts = creating(&space, limit + 1).await;
    let batch = space.bind(drafts).await;
    match space.store.apply(&batch).await {
        Err(AdapterError::BatchTooLarge { records, limit: named }) => assert_eq!((records, named), (limit + 1, limit)),
        other => panic!("expected a batch that is too large, got {other:?}"),
    }
    assert!(space.states(&Scope::All(None)).await.is_empty());
    Outcome::Passed
}

pub(crate) async fn a_document_of_a_megabyte(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let text: String = (0..1024 * 1024).map(|n| char::from(b'a' + (n * 7 % 26) as u8)).collect();
    let fields = Object::new().with("n", 1).with("body", Object::new().with("k", 1).with("text", text));
    let record = space.record("planner");
    space.applied(vec![Draft::create(&space, &record, &fields)]).await;
    space.commit(&record, "body.k", 2).await;
    let mut wanted = fields;
    if let Some(cfg_engine::Value::Object(body)) = wanted.get_mut("body") {
        body.insert("k", 2);
    }
    let wanted = space.doc(&record, &wanted);
    assert_doc(&space.raw_doc(&record).await, &wanted);
    let entries = space.assert_sound(&record).await;
    assert_doc(entries[1].doc.as_ref().expect("a document"), &wanted);
    Outcome::Passed
}

pub(crate) async fn a_document_beyond_the_limit_is_refused(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let limit = space.store.capabilities().max_document_bytes;
    let fields = Object::new().with("body", Object::new().with("text", "x".repeat(limit + 1)));
    let record = space.record("planner");
    let doc = space.doc(&record, &fields);
    match space.store.check_document(&record, &doc) {
        Err(AdapterError::TooLarge { record: named, bytes, limit: said }) => {
            assert_eq!((named, said), (record.clone(), limit));
            assert!(bytes > limit);
        }
        other => panic!("expected a document that is too large, got {other:?}"),
    }
    let error = space.apply(vec![Draft::create(&space, &record, &fields)]).await.expect_err("a document too large");
    assert!(matches!(error, AdapterError::TooLarge { .. }), "{error:?}");
    assert!(space.states(&Scope::All(None)).await.is_empty());
    Outcome::Passed
}

pub(crate) async fn a_batch_of_nothing_is_applied(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    space.create("planner", r#"{"n": 1}"#).await;
    let before = space.picture().await;
    space.applied(Vec::new()).await;
    space.assert_unchanged(&before).await;
    Outcome::Passed
}
