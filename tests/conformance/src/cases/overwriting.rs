//! What is stored of older entries is overwritten: values and messages, never a header.

use std::sync::Arc;

use cfg_engine::Value;
use cfg_engine::adapter::{
    AdapterError, ExpectedLive, ExpectedVersion, ObjectKey, ObjectWrite, Overwrite, StoredDigest, StoredDoc,
};
use cfg_engine::document::{Edit, PathChange};
use cfg_engine::history::{DocState, Entry, Op, RecordKey, Seq};

use crate::draft::{Draft, DraftEntry};
use crate::space::{Space, assert_doc};
use crate::{Harness, Outcome, require};

const MARK: &str = "[REDACTED]";

fn over(entry: &Entry, paths: &[&str], message: Option<&str>) -> Overwrite {
    let mark = |path: &&str| PathChange { path: path.parse().expect("a path"), edit: Edit::Set(Value::from(MARK)) };
    Overwrite {
        seq: entry.header.seq,
        stored: StoredDigest::of_entry(entry),
        changes: paths.iter().map(mark).collect(),
        message: message.map(str::to_owned),
    }
}

/// A redaction of what a function makes of a record's entries.
async fn draft(space: &Space, record: &RecordKey, overwrites: impl Fn(&[Entry]) -> Vec<Overwrite>) -> Draft {
    let mut draft = Draft::of(&space.state(record).await).expecting(ExpectedLive::Unchecked);
    draft.entries.push(DraftEntry::new(Op::Redact, None, StoredDoc::None));
    draft.overwrites = overwrites(&space.history(record).await);
    draft
}

/// Two versions that hold a leaked key at the top level and inside `body`.
async fn leaked(space: &Space, id: &str) -> RecordKey {
    let fields =
        r#"{"name": "s3cret", "n": 1, "body": {"a": [1, {"k": "s3cret"}, null], "b": 2.5, "z": {"y": "s3cret"}}}"#;
    let record = space.create(id, fields).await;
    space.commit(&record, "n", 2).await;
    record
}

/// Applies changes to a copy of a document as the memory adapter would.
fn marked(doc: &Value, paths: &[&str]) -> Value {
    let mut doc = doc.clone();
    let mark = |path: &&str| PathChange { path: path.parse().expect("a path"), edit: Edit::Set(Value::from(MARK)) };
    cfg_engine::document::apply_changes(&mut doc, &paths.iter().map(mark).collect::<Vec<_>>()).expect("they apply");
    doc
}

pub(crate) async fn stored_documents_are_overwritten_and_nothing_else(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let record = leaked(&space, "planner").await;
    let other = leaked(&space, "other").await;
    let (before, of_other) = (space.history(&record).await, space.history(&other).await);
    let (live, head) = (space.raw_rows(&record).await, space.head(&record).await.expect("a head"));
    let paths = ["name", "body.a[1].k", "body.z"];
    let redaction =
        draft(&space, &record, |entries| vec![over(&entries[0], &paths, None), over(&entries[1], &["name"], None)]);
    let redaction = redaction.await;
    space.applied(vec![redaction]).await;
    let after = space.assert_sound(&record).await;
    assert_eq!(after.len(), 3);
    for (old, new) in before.iter().zip(&after) {
        assert_eq!((&old.header, old.entry_id, &old.message), (&new.header, new.entry_id, &new.message));
        assert_eq!((old.valid_to, old.superseded_at), (new.valid_to, new.superseded_at));
        assert_eq!(new.doc_state, DocState::Redacted);
    }
    let doc = |entry: &Entry| entry.doc.clone().expect("a document");
    assert_doc(&doc(&after[0]), &marked(&doc(&before[0]), &paths));
    assert_doc(&doc(&after[1]), &marked(&doc(&before[1]), &["name"]));
    assert_eq!(after[2].doc_state, DocState::None);
    let now = space.head(&record).await.expect("a head");
    assert_eq!((now.head, now.tip.seq), (head.head, Seq(3)));
    assert_eq!(space.raw_rows(&record).await, live, "live is not touched");
    assert_eq!(space.history(&other).await, of_other);
    // A second time over what was overwritten once.
    let again = draft(&space, &record, |entries| vec![over(&entries[1], &["body.b"], None)]).await;
    space.applied(vec![again]).await;
    let last = space.assert_sound(&record).await;
    assert_doc(&doc(&last[1]), &marked(&doc(&after[1]), &["body.b"]));
    assert_eq!(last[0], after[0]);
    Outcome::Passed
}

pub(crate) async fn a_record_goes_on_after_it(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let record = leaked(&space, "planner").await;
    let redaction =
        draft(&space, &record, |entries| entries.iter().map(|e| over(e, &["body.z"], Some(MARK))).collect());
    space.applied(vec![redaction.await]).await;
    space.commit(&record, "n", 3).await;
    let entries = space.assert_sound(&record).await;
    let states: Vec<DocState> = entries.iter().map(|entry| entry.doc_state).collect();
    assert_eq!(states, [DocState::Redacted, DocState::Redacted, DocState::None, DocState::Present]);
    assert_eq!(space.head(&record).await.map(|h| (h.head.seq, h.tip.seq)), Some((Seq(4), Seq(4))));
    Outcome::Passed
}

pub(crate) async fn a_message_is_overwritten_alone(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let record = leaked(&space, "planner").await;
    space.applied(vec![Draft::remove(&space.state(&record).await)]).await;
    let before = space.history(&record).await;
    let redaction =
        draft(&space, &record, |entries| vec![over(&entries[0], &[], Some(MARK)), over(&entries[2], &[], Some(MARK))]);
    space.applied(vec![redaction.await]).await;
    let after = space.assert_sound(&record).await;
    let messages: Vec<&str> = after.iter().map(|entry| entry.message.as_str()).collect();
    assert_eq!(messages[..3], [MARK, before[1].message.as_str(), MARK]);
    for (old, new) in before.iter().zip(&after) {
        assert_eq!(
            (&old.header, &old.doc, old.doc_state),
            (&new.header, &new.doc, new.doc_state),
            "a message is no document"
        );
    }
    Outcome::Passed
}

pub(crate) async fn what_is_stored_otherwise_than_seen_is_left(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let record = leaked(&space, "planner").await;
    let picture = space.picture().await;
    for seen in [DocState::Redacted, DocState::Present] {
        let redaction = draft(&space, &record, |entries| {
            let mut wrong = entries[1].clone();
            match seen {
                DocState::Redacted => wrong.doc_state = seen,
                _ => wrong.doc = entries[0].doc.clone(),
            }
            vec![over(&entries[0], &["name"], None), over(&wrong, &["name"], None)]
        });
        let refused = space.apply(vec![redaction.await]).await.unwrap_err();
        assert!(matches!(refused, AdapterError::StaleHead { .. }), "{refused}");
        space.assert_unchanged(&picture).await;
    }
    // Of two that saw the same, one is applied.
    let first = draft(&space, &record, |entries| vec![over(&entries[0], &["name"], None)]).await;
    let second = first.clone();
    space.applied(vec![first]).await;
    let picture = space.picture().await;
    let refused = space.apply(vec![second]).await.unwrap_err();
    assert!(matches!(refused, AdapterError::StaleHead { .. } | AdapterError::Clock { .. }), "{refused}");
    space.assert_unchanged(&picture).await;
    Outcome::Passed
}

pub(crate) async fn an_entry_that_is_not_there_is_refused(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let record = leaked(&space, "planner").await;
    let picture = space.picture().await;
    let missing = draft(&space, &record, |entries| {
        let mut over = over(&entries[1], &["name"], None);
        over.seq = Seq(7);
        vec![over]
    });
    let refused = space.apply(vec![missing.await]).await.unwrap_err();
    assert!(matches!(refused, AdapterError::Damaged { .. }), "{refused}");
    space.assert_unchanged(&picture).await;
    let misapplied = draft(&space, &record, |entries| vec![over(&entries[1], &["body.b.c.d"], None)]);
    let refused = space.apply(vec![misapplied.await]).await.unwrap_err();
    assert!(matches!(refused, AdapterError::Damaged { .. }), "{refused}");
    space.assert_unchanged(&picture).await;
    Outcome::Passed
}

pub(crate) async fn it_is_taken_back_with_its_batch(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let record = leaked(&space, "planner").await;
    let picture = space.picture().await;
    let redaction = draft(&space, &record, |entries| vec![over(&entries[0], &["name"], Some(MARK))]).await;
    let key = ObjectKey { kind: "tag".to_owned(), name: "none".to_owned() };
    let object = ObjectWrite { key, expected: ExpectedVersion::At(3), body: Some(Value::from("x")) };
    let now = space.now().await.max(redaction.head.as_ref().expect("a head").tip.recorded_at.plus_millis(1));
    let batch = space.bind_all(space.op_id(), now, vec![redaction], vec![object]).await;
    let refused = space.store.apply(&batch).await.unwrap_err();
    assert!(matches!(refused, AdapterError::StaleObject { .. }), "{refused}");
    space.assert_unchanged(&picture).await;
    Outcome::Passed
}

pub(crate) async fn records_of_one_batch_are_overwritten_together(h: Arc<dyn Harness>) -> Outcome {
    require!(h, Transactions);
    let space = Space::open(&h).await;
    let (a, b) = (leaked(&space, "a").await, leaked(&space, "b").await);
    let picture = space.picture().await;
    let mark = |entries: &[Entry]| vec![over(&entries[0], &["name"], None)];
    let drafts = vec![
        draft(&space, &a, mark).await,
        draft(&space, &b, |entries| {
            let mut seen = entries[1].clone();
            seen.message.push('!');
            vec![over(&seen, &["name"], None)]
        })
        .await,
    ];
    assert!(space.apply(drafts).await.is_err());
    space.assert_unchanged(&picture).await;
    space.applied(vec![draft(&space, &a, mark).await, draft(&space, &b, mark).await]).await;
    for record in [&a, &b] {
        let entries = space.assert_sound(record).await;
        assert_eq!((entries[0].doc_state, entries[1].doc_state), (DocState::Redacted, DocState::Present));
    }
    Outcome::Passed
}
