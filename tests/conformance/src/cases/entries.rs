//! What an entry carries comes back as it was, so that its id can be computed again.

use std::sync::Arc;

use cfg_engine::adapter::{Detail, EntryQuery, Scope};
use cfg_engine::document::EntryId;
use cfg_engine::history::{Author, AuthorClass, DocState, Op};

use crate::draft::Draft;
use crate::generated::instant;
use crate::space::{Space, assert_doc, object};
use crate::{Harness, Outcome};

pub(crate) async fn every_header_field_round_trips(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let record = space.record("planner");
    let draft = Draft::create(&space, &record, &object(r#"{"n": 1, "body": {"a": [1, 2]}}"#)).with(|entry| {
        entry.message = "first: \"quoted\", \\ and\nsecond line, naïve 你好 🙂".to_owned();
        entry.author = Author { id: "robot; drop'--".to_owned(), class: AuthorClass::Agent };
        entry.base = Some(vec![EntryId::from_bytes([7; 32]), EntryId::from_bytes([0xAB; 32])]);
        entry.meta = object(
            r#"{"z": 1, "a": {"deep": [null, true, "x"]}, "tool_version": "0.1.0", "big": 9007199254740993, "$odd.key": ""}"#,
        );
        entry.git_shas = vec!["0123456789abcdef0123456789abcdef01234567".to_owned(), "feed".to_owned()];
        entry.valid_from = Some(instant(3));
        entry.estimated = true;
    });
    let batch = space.applied(vec![draft]).await;
    let wrote = &batch.changes()[0].entries[0];
    let entries = space.assert_sound(&record).await;
    let read = &entries[0];
    assert_eq!(read.header, wrote.header);
    assert_eq!(read.entry_id, wrote.entry_id);
    assert_eq!(read.header.entry_id(), wrote.entry_id);
    assert_eq!(read.message, wrote.message);
    assert_eq!(read.git_shas, wrote.git_shas);
    assert_eq!(read.doc_state, DocState::Present);
    assert_doc(
        read.doc.as_ref().expect("a document"),
        &space.doc(&record, &object(r#"{"n": 1, "body": {"a": [1, 2]}}"#)),
    );
    Outcome::Passed
}

pub(crate) async fn absent_header_fields_stay_absent(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let record = space.create("planner", r#"{"n": 1}"#).await;
    let entry = &space.assert_sound(&record).await[0];
    assert_eq!(entry.header.base, None);
    assert_eq!(entry.header.prev_entry_id, None);
    assert!(!entry.header.valid_from_estimated);
    assert!(entry.header.meta.is_empty());
    assert!(entry.git_shas.is_empty());
    assert_eq!((entry.valid_to, entry.superseded_at), (None, None));
    Outcome::Passed
}

pub(crate) async fn an_empty_base_is_not_an_absent_one(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let record = space.record("planner");
    let draft = Draft::create(&space, &record, &object(r#"{"n": 1}"#)).with(|entry| {
        entry.base = Some(Vec::new());
        entry.message = String::new();
    });
    space.applied(vec![draft]).await;
    let entry = &space.assert_sound(&record).await[0];
    assert_eq!(entry.header.base, Some(Vec::new()));
    assert_eq!(entry.message, "");
    Outcome::Passed
}

pub(crate) async fn every_op_and_author_class_round_trips(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let record = space.create("planner", r#"{"n": 0}"#).await;
    let classes = [AuthorClass::Human, AuthorClass::Pipeline, AuthorClass::Agent, AuthorClass::System];
    let mut wrote = vec![(Op::Commit, AuthorClass::Human)];
    for (n, op) in Op::ALL.into_iter().enumerate().filter(|(_, op)| *op != Op::Redact) {
        let class = classes[n % classes.len()];
        let state = space.state(&record).await;
        let draft = Draft::set(&space, &state, "n", n as i64 + 1).with(|entry| {
            entry.op = op;
            entry.author.class = class;
        });
        space.applied(vec![draft]).await;
        wrote.push((op, class));
    }
    let read: Vec<_> = space.assert_sound(&record).await.iter().map(|e| (e.header.op, e.header.author.class)).collect();
    assert_eq!(read, wrote);
    Outcome::Passed
}

pub(crate) async fn entries_chain_over_many_batches(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let record = space.create("planner", r#"{"n": 0}"#).await;
    for n in 1..8 {
        space.commit(&record, "n", n).await;
    }
    let entries = space.assert_sound(&record).await;
    assert_eq!(entries.len(), 8);
    for entry in &entries {
        let n = entry.header.seq.0 as i64 - 1;
        assert_eq!(entry.doc.as_ref().and_then(|doc| doc.get("n")?.as_i64()), Some(n));
    }
    assert!(entries.windows(2).all(|pair| pair[0].header.recorded_at < pair[1].header.recorded_at));
    Outcome::Passed
}

pub(crate) async fn several_entries_in_one_change(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let record = space.raw_insert("planner", r#"{"n": 1, "name": "before"}"#).await;
    let state = space.state(&record).await;
    let pre_image = Draft::adopt(&space, &state).with(|entry| {
        entry.op = Op::Import;
        entry.estimated = true;
    });
    let mut draft = Draft::set(&space, &state, "n", 2);
    draft.entries.splice(0..0, pre_image.entries);
    space.applied(vec![draft]).await;
    let entries = space.assert_sound(&record).await;
    assert_eq!(entries.len(), 2);
    let n = |i: usize| entries[i].doc.as_ref().and_then(|doc| doc.get("n")?.as_i64());
    assert_eq!((n(0), n(1)), (Some(1), Some(2)));
    assert_eq!(entries[0].header.recorded_at, entries[1].header.recorded_at);
    Outcome::Passed
}

pub(crate) async fn a_long_history_in_one_change(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let record = space.record("planner");
    let state = space.state(&record).await;
    let versions: Vec<_> =
        (0..200).map(|n| (instant(n), Some(space.doc(&record, &object(&format!(r#"{{"n": {n}}}"#)))))).collect();
    space.applied(vec![Draft::import(&space, &state, &versions)]).await;
    let entries = space.assert_sound(&record).await;
    assert_eq!(entries.len(), 200);
    assert_eq!(entries[17].doc.as_ref().and_then(|doc| doc.get("n")?.as_i64()), Some(17));
    Outcome::Passed
}

pub(crate) async fn a_tombstone_has_no_document(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let record = space.create("planner", r#"{"n": 1}"#).await;
    let state = space.state(&record).await;
    space.applied(vec![Draft::remove(&state)]).await;
    let entries = space.assert_sound(&record).await;
    assert!(entries[1].header.is_tombstone());
    assert_eq!((entries[1].doc_state, &entries[1].doc), (DocState::None, &None));
    assert_eq!(space.head(&record).await.expect("a head").head.oid, None);
    Outcome::Passed
}

pub(crate) async fn a_header_read_has_no_document(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let record = space.create("planner", r#"{"n": 1}"#).await;
    let query = EntryQuery::new(space.env.clone(), Scope::Records(vec![record.clone()]));
    let entry = space.entries(&query).await.remove(0);
    assert_eq!((entry.doc_state, entry.doc), (DocState::Present, None));
    assert_eq!(query.detail, Detail::Header);
    Outcome::Passed
}

pub(crate) async fn the_head_names_who_wrote_it(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let record = space.create("planner", r#"{"n": 1}"#).await;
    let state = space.state(&record).await;
    let by_bo = Draft::set(&space, &state, "n", 2).with(|e| e.author.id = "bo".to_owned());
    let batch = space.applied(vec![by_bo]).await;
    // A backdated import beside HEAD moves the tip and not who wrote HEAD.
    let state = space.state(&record).await;
    let old = space.doc(&record, &object(r#"{"n": 0}"#));
    let import = Draft::import(&space, &state, &[(instant(0), Some(old))]).with(|e| e.author.id = "cy".to_owned());
    space.applied(vec![import]).await;
    let head = space.head(&record).await.expect("a head");
    assert_eq!((head.head.seq.0, head.tip.seq.0), (2, 3));
    assert_eq!(head.author.id, "bo");
    assert_eq!(head.recorded_at, batch.recorded_at());
    space.assert_sound(&record).await;
    Outcome::Passed
}
