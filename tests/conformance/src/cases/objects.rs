//! The engine's own documents: versioned, guarded, listed by kind.

use std::sync::Arc;

use cfg_engine::Value;
use cfg_engine::adapter::{
    AdapterError, Batch, ENV_OBJECT, ExpectedVersion, ObjectGuard, ObjectKey, ObjectWrite, StoredObject,
};
use futures_util::future::join_all;

use crate::draft::Draft;
use crate::space::{Space, object, stale, value};
use crate::{Harness, Outcome, require};

fn write(kind: &str, name: &str, expected: ExpectedVersion, body: Option<&str>) -> ObjectWrite {
    ObjectWrite { key: ObjectKey { kind: kind.to_owned(), name: name.to_owned() }, expected, body: body.map(value) }
}

async fn put(space: &Space, writes: Vec<ObjectWrite>) -> Result<Batch, AdapterError> {
    let batch = space.bind_all(space.op_id(), space.now().await, Vec::new(), writes).await;
    space.store.apply(&batch).await?;
    Ok(batch)
}

async fn one(space: &Space, kind: &str, name: &str) -> Option<StoredObject> {
    let mut found = space.store.objects(kind, Some(name)).await.expect("objects");
    assert!(found.len() <= 1);
    found.pop()
}

#[track_caller]
fn assert_stale_object<T: std::fmt::Debug>(outcome: Result<T, AdapterError>, kind: &str, name: &str) {
    match outcome {
        Err(AdapterError::StaleObject { kind: k, name: n }) => assert_eq!((k.as_str(), n.as_str()), (kind, name)),
        other => panic!("expected a stale object, got {other:?}"),
    }
}

pub(crate) async fn created_updated_deleted(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    assert!(one(&space, "tag", "june").await.is_none());
    let batch =
        put(&space, vec![write("tag", "june", ExpectedVersion::Absent, Some(r#"{"to": 1}"#))]).await.expect("created");
    let stored = one(&space, "tag", "june").await.expect("an object");
    assert_eq!((stored.version, &stored.body), (1, &value(r#"{"to": 1}"#)));
    assert_eq!((&stored.op_id, stored.recorded_at), (batch.op_id(), batch.recorded_at()));
    let batch =
        put(&space, vec![write("tag", "june", ExpectedVersion::At(1), Some(r#"{"to": 2}"#))]).await.expect("updated");
    let stored = one(&space, "tag", "june").await.expect("an object");
    assert_eq!((stored.version, &stored.body, &stored.op_id), (2, &value(r#"{"to": 2}"#), batch.op_id()));
    put(&space, vec![write("tag", "june", ExpectedVersion::At(2), None)]).await.expect("deleted");
    assert!(one(&space, "tag", "june").await.is_none());
    put(&space, vec![write("tag", "june", ExpectedVersion::Absent, Some("{}"))]).await.expect("created again");
    // A version names one content for ever: whoever saw 1 or 2 of the deleted one must not take this for it.
    let again = one(&space, "tag", "june").await.expect("an object");
    assert!(again.version > 2, "version {} came again", again.version);
    let stale = put(&space, vec![write("tag", "june", ExpectedVersion::At(1), Some("{}"))]).await;
    assert_stale_object(stale, "tag", "june");
    put(&space, vec![write("tag", "june", ExpectedVersion::At(again.version), None)]).await.expect("deleted again");
    assert!(space.store.objects("tag", None).await.expect("objects").is_empty());
    Outcome::Passed
}

pub(crate) async fn a_stale_version_is_refused(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    put(&space, vec![write("tag", "june", ExpectedVersion::Absent, Some(r#"{"to": 1}"#))]).await.expect("created");
    put(&space, vec![write("tag", "june", ExpectedVersion::At(1), Some(r#"{"to": 2}"#))]).await.expect("updated");
    let before = space.picture().await;
    for (expected, body) in [
        (ExpectedVersion::Absent, Some("{}")),
        (ExpectedVersion::At(1), Some("{}")),
        (ExpectedVersion::At(3), Some("{}")),
        (ExpectedVersion::At(1), None),
    ] {
        assert_stale_object(put(&space, vec![write("tag", "june", expected, body)]).await, "tag", "june");
    }
    for body in [Some("{}"), None] {
        assert_stale_object(put(&space, vec![write("tag", "july", ExpectedVersion::At(1), body)]).await, "tag", "july");
    }
    space.assert_unchanged(&before).await;
    Outcome::Passed
}

pub(crate) async fn one_stale_object_of_several_refuses_all(h: Arc<dyn Harness>) -> Outcome {
    require!(h, Transactions);
    let space = Space::open(&h).await;
    put(&space, vec![write("tag", "b", ExpectedVersion::Absent, Some("{}"))]).await.expect("created");
    let before = space.picture().await;
    let writes = vec![
        write("tag", "a", ExpectedVersion::Absent, Some("{}")),
        write("tag", "b", ExpectedVersion::At(1), Some(r#"{"x": 1}"#)),
        write("tag", "c", ExpectedVersion::At(7), Some("{}")),
    ];
    assert_stale_object(put(&space, writes).await, "tag", "c");
    space.assert_unchanged(&before).await;
    Outcome::Passed
}

pub(crate) async fn listed_by_kind_and_ordered_by_name(h: Arc<dyn Harness>) -> Outcome {
    require!(h, Transactions);
    let space = Space::open(&h).await;
    let names = ["b", "a", "A", "é", "a/b", "aa", "10", "9"];
    let writes = names.map(|name| write("tag", name, ExpectedVersion::Absent, Some("{}"))).to_vec();
    put(&space, writes).await.expect("tags");
    put(&space, vec![write("tags", "x", ExpectedVersion::Absent, Some("{}"))]).await.expect("another kind");
    let listed: Vec<String> =
        space.store.objects("tag", None).await.expect("objects").into_iter().map(|o| o.key.name).collect();
    let mut wanted = names.map(str::to_owned).to_vec();
    wanted.sort();
    assert_eq!(listed, wanted);
    assert!(space.store.objects("ta", None).await.expect("objects").is_empty());
    assert!(one(&space, "tags", "a").await.is_none());
    Outcome::Passed
}

pub(crate) async fn odd_names_and_bodies(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let body = r#"{"z": 1, "a": null, "$set": {"a.b": [1.0, 9007199254740993, "é\n\"", {"": {}}]}, "$oid": "x"}"#;
    let at = r#"{"at": {"$date": {"$numberLong": "1686096000123"}}, "lit": {"$literal": {"$oid": "x"}}}"#;
    for (n, name) in ["a/b c%d", "it's", "new\nline", "🙂", "e\u{301}", "\u{e9}", "_", "*"].into_iter().enumerate() {
        let text = if n % 2 == 0 { body } else { at };
        put(&space, vec![write("manifest", name, ExpectedVersion::Absent, Some(text))]).await.expect("created");
        let stored = one(&space, "manifest", name).await.expect("an object");
        assert_eq!(stored.key.name, name);
        assert_eq!(stored.body.to_interchange(), value(text).to_interchange());
        assert!(stored.body == value(text), "the same types");
    }
    assert_eq!(space.store.objects("manifest", None).await.expect("objects").len(), 8);
    Outcome::Passed
}

pub(crate) async fn a_body_of_a_megabyte(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let rows: Vec<Value> =
        (0..8000).map(|n| Value::from(object(&format!(r#"{{"id": "r{n}", "hash": "{:0>100}"}}"#, n)))).collect();
    let body = Value::from(rows);
    let key = ObjectKey { kind: "manifest".to_owned(), name: "big".to_owned() };
    let big = ObjectWrite { key, expected: ExpectedVersion::Absent, body: Some(body.clone()) };
    put(&space, vec![big]).await.expect("created");
    assert!(one(&space, "manifest", "big").await.expect("an object").body == body);
    Outcome::Passed
}

pub(crate) async fn eight_writers_of_one_object(h: Arc<dyn Harness>) -> Outcome {
    let space = Arc::new(Space::open(&h).await);
    put(&space, vec![write("tag", "june", ExpectedVersion::Absent, Some(r#"{"n": 0}"#))]).await.expect("created");
    let writers = (0..8).map(|_| {
        let space = Arc::clone(&space);
        tokio::spawn(async move {
            for _ in 0..4 {
                loop {
                    let there = one(&space, "tag", "june").await.expect("an object");
                    let n = there.body.get("n").and_then(|n| n.as_i64()).expect("a number") + 1;
                    let body = format!(r#"{{"n": {n}}}"#);
                    let next = write("tag", "june", ExpectedVersion::At(there.version), Some(&body));
                    match put(&space, vec![next]).await {
                        Ok(_) => break,
                        Err(error) if stale(&error) => tokio::task::yield_now().await,
                        Err(error) => panic!("a writer: {error}"),
                    }
                }
            }
        })
    });
    for writer in join_all(writers).await {
        writer.expect("a writer");
    }
    let stored = one(&space, "tag", "june").await.expect("an object");
    assert_eq!(stored.version, 33);
    assert_eq!(stored.body.get("n").and_then(|n| n.as_i64()), Some(32));
    Outcome::Passed
}

fn guard(kind: &str, name: &str, expected: ExpectedVersion) -> ObjectGuard {
    ObjectGuard { key: ObjectKey { kind: kind.to_owned(), name: name.to_owned() }, expected }
}

/// A guarded object is compared as a written one is, and stays as it is.
pub(crate) async fn a_guarded_object_is_compared_and_not_written(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let record = space.create("planner", r#"{"n": 0}"#).await;
    put(&space, vec![write(ENV_OBJECT, "june", ExpectedVersion::Absent, Some(r#"{"to": 1}"#))]).await.expect("created");
    put(&space, vec![write(ENV_OBJECT, "gone", ExpectedVersion::Absent, Some("{}"))]).await.expect("created");
    put(&space, vec![write(ENV_OBJECT, "gone", ExpectedVersion::At(1), None)]).await.expect("deleted");
    let before = one(&space, ENV_OBJECT, "june").await.expect("an object");
    for n in 1..=3 {
        let state = space.state(&record).await;
        let batch = space.bind(vec![Draft::set(&space, &state, "n", n)]).await;
        let guards =
            vec![guard(ENV_OBJECT, "june", ExpectedVersion::At(1)), guard(ENV_OBJECT, "gone", ExpectedVersion::Absent)];
        space.store.apply(&batch.guarded_for_conformance(guards)).await.expect("as expected");
    }
    assert_eq!(one(&space, ENV_OBJECT, "june").await, Some(before));
    assert_eq!(space.assert_sound(&record).await.len(), 4);
    Outcome::Passed
}

/// Whatever a batch does, a guard that does not hold keeps all of it from happening.
pub(crate) async fn a_guard_that_does_not_hold_refuses_all(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let record = space.create("planner", r#"{"n": 0}"#).await;
    for kind in ["tag", ENV_OBJECT] {
        put(&space, vec![write(kind, "june", ExpectedVersion::Absent, Some("{}"))]).await.expect("created");
        put(&space, vec![write(kind, "june", ExpectedVersion::At(1), Some("{}"))]).await.expect("moved");
    }
    let before = space.picture().await;
    for (kind, name, expected) in [
        ("tag", "june", ExpectedVersion::At(1)),
        ("tag", "july", ExpectedVersion::At(1)),
        (ENV_OBJECT, "june", ExpectedVersion::At(1)),
        (ENV_OBJECT, "june", ExpectedVersion::At(3)),
        (ENV_OBJECT, "june", ExpectedVersion::Absent),
        (ENV_OBJECT, "july", ExpectedVersion::At(1)),
    ] {
        let state = space.state(&record).await;
        let change = space.bind(vec![Draft::set(&space, &state, "n", 1)]).await;
        let adopt = space.bind(vec![Draft::adopt(&space, &state)]).await;
        let first = Draft::create(&space, &space.record("critic"), &object(r#"{"n": 1}"#));
        let first = space.bind(vec![first]).await;
        let tag = write("tag", "august", ExpectedVersion::Absent, Some("{}"));
        let objects = space.bind_all(space.op_id(), space.now().await, Vec::new(), vec![tag]).await;
        for batch in [change, adopt, first, objects] {
            let outcome = space.store.apply(&batch.guarded_for_conformance(vec![guard(kind, name, expected)])).await;
            assert_stale_object(outcome, kind, name);
            space.assert_unchanged(&before).await;
        }
    }
    Outcome::Passed
}

/// Once an object has moved, no batch that was guarded by its old version is applied: whoever closes a gate
/// knows that it is closed.
pub(crate) async fn nothing_slips_past_a_guard_that_moved(h: Arc<dyn Harness>) -> Outcome {
    let space = Arc::new(Space::open(&h).await);
    let record = space.create("planner", r#"{"n": 0}"#).await;
    put(&space, vec![write(ENV_OBJECT, "gate", ExpectedVersion::Absent, Some("{}"))]).await.expect("created");
    let writer = {
        let (space, record) = (Arc::clone(&space), record.clone());
        tokio::spawn(async move {
            for n in 0..4000 {
                let state = space.state(&record).await;
                let batch = space.bind(vec![Draft::set(&space, &state, "n", n + 1)]).await;
                let batch = batch.guarded_for_conformance(vec![guard(ENV_OBJECT, "gate", ExpectedVersion::At(1))]);
                match space.store.apply(&batch).await {
                    Ok(()) => {}
                    Err(AdapterError::StaleObject { .. }) => return n,
                    Err(error) if stale(&error) => {}
                    Err(error) => panic!("the writer: {error}"),
                }
                // A store that never waits lets nobody else have a turn.
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
            4000
        })
    };
    tokio::time::sleep(std::time::Duration::from_millis(60)).await;
    put(&space, vec![write(ENV_OBJECT, "gate", ExpectedVersion::At(1), Some(r#"{"closed": true}"#))])
        .await
        .expect("closed");
    // What was under way when it closed may still come; what begins now may not.
    let state = space.state(&record).await;
    let late = space.bind(vec![Draft::set(&space, &state, "n", -1)]).await;
    let late = late.guarded_for_conformance(vec![guard(ENV_OBJECT, "gate", ExpectedVersion::At(1))]);
    let outcome = space.store.apply(&late).await;
    assert!(matches!(&outcome, Err(error) if stale(error)), "{outcome:?}");
    assert!(writer.await.expect("the writer") < 4000);
    let newest = space.assert_sound(&record).await;
    let tip = newest.last().expect("an entry").header.seq;
    let state = space.state(&record).await;
    assert_eq!(state.head.expect("a head").tip.seq, tip);
    Outcome::Passed
}
