//! What only the model does: it refuses malformed batches, steps its clock, fails and is damaged on demand.
//! What every store does is in `tests/conformance`.

use std::time::Duration;

use super::*;
use crate::adapter::{
    Change, ExpectedHead, ExpectedLive, HeadRef, LiveWrite, NewEntry, ObjectKey, ObjectWrite, StoredDoc,
};
use crate::config::LiveRule;
use crate::document::{EntryId, FieldPolicy, Object, oid};
use crate::history::{
    Author, AuthorClass, Ends, EntryHeader, IdKey, MessageHash, Op, OpId, Seq, Span, insert, interval_ends,
};

fn adapter() -> MemoryAdapter {
    MemoryAdapter::new(vec![CollectionConfig::new(CollectionName::new("agents").unwrap(), "id")])
}

fn record(id: &str) -> RecordKey {
    RecordKey {
        env: EnvName::new("dev").unwrap(),
        collection: CollectionName::new("agents").unwrap(),
        id: IdKey::from_value(&Value::from(id)).unwrap(),
    }
}

fn doc(n: i64) -> Value {
    Value::from(Object::new().with("n", n))
}

/// Seals one entry on top of what the store holds, live left alone, after `spoil` had its way.
async fn batch(store: &MemoryAdapter, id: &str, n: i64, spoil: impl FnOnce(&mut Change)) -> Batch {
    let record = record(id);
    let at = store.clock().await.unwrap().store;
    let (scope, env) = (Scope::Records(vec![record.clone()]), record.env.clone());
    let there = store.read_addresses(&env, &scope);
    let head = store.lock().heads.get(&record).cloned();
    let span = |seq, recorded_at, valid_from| Span { seq, recorded_at, valid_from, in_valid_order: true };
    let existing: Vec<Span> = there.iter().map(|a| span(a.seq, a.recorded_at, a.valid_from)).collect();
    let seq = head.as_ref().map_or(Seq::FIRST, |head| head.tip.seq.next());
    let insertion = insert(&existing, &[span(seq, at, at)]);
    let header = EntryHeader {
        record: record.clone(),
        seq,
        prev_entry_id: head.as_ref().map(|head| head.tip.entry_id),
        oid: Some(oid(&doc(n), &FieldPolicy::default()).unwrap()),
        op: Op::Commit,
        base: None,
        author: Author { id: "ana".to_owned(), class: AuthorClass::Human },
        message: MessageHash::of("m"),
        recorded_at: at,
        valid_from: at,
        valid_from_estimated: false,
        op_id: OpId::new("op").unwrap(),
        meta: Object::new(),
    };
    let entry_id = header.entry_id();
    let new_head = Some(HeadRef { seq, oid: header.oid, entry_id });
    let entry = NewEntry {
        header,
        entry_id,
        message: "m".to_owned(),
        doc: StoredDoc::Given(doc(n)),
        ends: insertion.new[0],
        git_shas: Vec::new(),
    };
    let mut change = Change {
        record,
        expected_head: head.map_or(ExpectedHead::Absent, |h| ExpectedHead::At { head: h.head, tip: h.tip }),
        expected_live: ExpectedLive::Unchecked,
        live: LiveWrite::Leave,
        entries: vec![entry],
        closed: insertion.closed,
        new_head,
        links: Vec::new(),
        mended_tip: None,
        overwrites: Vec::new(),
    };
    spoil(&mut change);
    Batch::seal(OpId::new("op").unwrap(), at, vec![change], Vec::new())
}

async fn committed(store: &MemoryAdapter, id: &str, n: i64) {
    let batch = batch(store, id, n, |_| {}).await;
    store.apply(&batch).await.unwrap();
}

async fn refused(spoil: impl FnOnce(&mut Change)) -> String {
    let store = adapter();
    committed(&store, "a", 1).await;
    let batch = batch(&store, "a", 2, spoil).await;
    match store.apply(&batch).await {
        Err(AdapterError::Damaged { problem }) => problem,
        other => panic!("a malformed batch that is not refused: {other:?}"),
    }
}

fn resealed(change: &mut Change, edit: impl FnOnce(&mut EntryHeader)) {
    let entry = &mut change.entries[0];
    edit(&mut entry.header);
    entry.entry_id = entry.header.entry_id();
    change.new_head = Some(HeadRef { seq: entry.header.seq, oid: entry.header.oid, entry_id: entry.entry_id });
}

#[tokio::test]
async fn malformed_batches_are_refused() {
    let cases: Vec<(&str, String)> = vec![
        ("no chain", refused(|c| resealed(c, |h| h.seq = Seq(3))).await),
        ("no chain", refused(|c| resealed(c, |h| h.prev_entry_id = None)).await),
        ("header's hash", refused(|c| c.entries[0].entry_id = EntryId::from_bytes([0; 32])).await),
        ("another op_id", refused(|c| resealed(c, |h| h.op_id = OpId::new("other").unwrap())).await),
        ("another op_id or time", refused(|c| resealed(c, |h| h.recorded_at = Timestamp::from_millis(1))).await),
        ("another record", refused(|c| resealed(c, |h| h.record = record("b"))).await),
        ("hashed one", refused(|c| c.entries[0].message = "other".to_owned()).await),
        ("no oid", refused(|c| c.entries[0].doc = StoredDoc::None).await),
        ("a new entry", refused(|c| c.entries[0].ends.valid_to = Timestamp::from_millis(5)).await),
        ("does not say so", refused(|c| c.closed.clear()).await),
        ("an older entry", refused(|c| c.closed.push((Seq(1), Ends::OPEN))).await),
        ("new head", refused(|c| c.new_head = None).await),
        ("new head", refused(|c| c.new_head = c.new_head.map(|h| HeadRef { oid: None, ..h })).await),
    ];
    for (wanted, problem) in cases {
        let wanted = if wanted == "new head" && problem.contains("no head") { "no head" } else { wanted };
        assert!(problem.contains(wanted), "{problem:?} should say {wanted:?}");
    }
}

#[tokio::test]
async fn records_and_objects_stand_once_and_in_order() {
    let store = adapter();
    let (a, b) = (batch(&store, "a", 1, |_| {}).await, batch(&store, "b", 1, |_| {}).await);
    let sealed = |changes: &[&Batch], objects| {
        let changes = changes.iter().flat_map(|batch| batch.changes().to_vec()).collect();
        Batch::seal(a.op_id().clone(), a.recorded_at(), changes, objects)
    };
    for wrong in [[&b, &a], [&a, &a]] {
        let outcome = store.apply(&sealed(&wrong, Vec::new())).await;
        assert!(matches!(outcome, Err(AdapterError::Damaged { .. })), "{outcome:?}");
    }
    let key = ObjectKey { kind: "tag".to_owned(), name: "june".to_owned() };
    let write = ObjectWrite { key, expected: crate::adapter::ExpectedVersion::Absent, body: Some(Value::Null) };
    let outcome = store.apply(&sealed(&[], vec![write.clone(), write])).await;
    assert!(matches!(outcome, Err(AdapterError::Damaged { .. })), "{outcome:?}");
    assert!(store.lock().history.is_empty());
}

#[tokio::test]
async fn the_clock_is_readings_and_steps() {
    let store = adapter();
    let first = store.clock().await.unwrap();
    assert_eq!(first.store.to_string(), "2024-01-01T00:00:00.000Z");
    let second = store.clock().await.unwrap();
    assert_eq!((second.store, second.taken), (first.store.plus_millis(1), first.taken + Duration::from_millis(1)));
    assert_eq!(second.now_at(store.monotonic()), first.store.plus_millis(2));

    let clock = MemoryClock::starting_at(Timestamp::from_millis(5000), Duration::ZERO);
    let store = adapter().with_memory_clock(clock.clone());
    clock.advance(Duration::from_secs(1));
    assert_eq!(store.clock().await.unwrap().store, Timestamp::from_millis(6000));
    clock.set(Timestamp::from_millis(10));
    let reading = store.clock().await.unwrap();
    assert_eq!((reading.store, reading.taken), (Timestamp::from_millis(10), Duration::from_secs(1)));

    let store = adapter().with_clock(Box::new(|| Timestamp::from_millis(7)));
    assert_eq!(store.clock().await.unwrap().store, Timestamp::from_millis(7));
    assert_eq!(store.monotonic(), Duration::ZERO);
}

#[tokio::test]
async fn a_failure_before_and_an_acknowledgement_lost() {
    let store = adapter();
    let first = batch(&store, "a", 1, |_| {}).await;
    store.fail_next(AdapterError::Busy);
    assert!(matches!(store.apply(&first).await, Err(AdapterError::Busy)));
    assert!(store.lock().history.is_empty());
    store.lose_next_acknowledgement();
    assert!(matches!(store.apply(&first).await, Err(AdapterError::UnknownOutcome)));
    assert!(matches!(store.apply(&first).await, Err(AdapterError::StaleHead { current: Some(_), .. })));
    let mut query = EntryQuery::new(EnvName::new("dev").unwrap(), Scope::All(None));
    query.op_id = Some(first.op_id().clone());
    assert_eq!(store.read_entries(&query).len(), 1, "written once");
}

#[tokio::test]
async fn damage_shows_in_reads_and_stops_no_commit() {
    let store = adapter();
    for n in 1..=3 {
        committed(&store, "a", n).await;
    }
    let key = record("a");
    assert!(store.damage_doc(&key, Seq(1), |doc| *doc = Value::from(9)));
    assert!(store.damage_header(&key, Seq(2), |header| header.author.id = "eve".to_owned()));
    assert!(store.damage_message(&key, Seq(2), "forged"));
    assert!(store.damage_ends(&key, Seq(1), Ends::OPEN));
    assert!(!store.damage_doc(&key, Seq(9), |_| {}));
    let query = EntryQuery::new(key.env.clone(), Scope::All(None));
    let entries = store.read_entries(&query);
    assert_ne!(entries[1].header.entry_id(), entries[1].entry_id);
    assert_eq!((entries[0].valid_to, entries[1].message.as_str()), (None, "forged"));
    // What was live then is computed from the definition, whatever the stored ends say.
    let at = AsOf::Valid(entries[2].header.valid_from);
    let rows = store.read_as_of(&key.env, &Scope::All(None), at, |stored| stored.header.seq);
    assert_eq!(rows[0].entry, Seq(3));
    committed(&store, "a", 4).await;
    assert!(store.swap_entries(&key, Seq(1), Seq(2)));
    assert!(store.drop_entry(&key, Seq(3)));
    assert!(!store.drop_entry(&key, Seq(3)));
    assert!(store.drop_head(&key));
    assert!(store.read_records(&key.env, &Scope::All(None)).unwrap().is_empty());
    // A first commit where entries are: the store is damaged, and nothing is overwritten.
    let first = batch(&store, "a", 5, |_| {}).await;
    assert!(matches!(store.apply(&first).await, Err(AdapterError::Damaged { .. })));
}

#[tokio::test]
async fn raw_rows_are_put_by_id_and_side_of_the_rule() {
    let mut config = CollectionConfig::new(CollectionName::new("agents").unwrap(), "id");
    config.live_when = LiveRule::from_object(&Object::new().with("active", true)).unwrap();
    let store = MemoryAdapter::new(vec![config]);
    let row = |active: bool, n: i64| Value::from(Object::new().with("id", "a").with("active", active).with("n", n));
    store.raw_put("agents", row(true, 1));
    store.raw_put("agents", row(false, 2));
    store.raw_put("agents", row(true, 3));
    assert_eq!(store.raw_rows("agents"), [row(true, 3), row(false, 2)]);
    store.raw_insert("agents", row(true, 4));
    store.raw_put("agents", row(true, 5));
    assert_eq!(store.raw_rows("agents"), [row(true, 5), row(false, 2)], "both live rows are replaced by one");
    let id = Value::from("a");
    assert_eq!(store.raw_update("agents", &id, |row| *row = Value::from(Object::new().with("id", "b"))), 2);
    assert_eq!(store.raw_delete("agents", &id), 0);
    assert_eq!(store.raw_delete("agents", &Value::from("b")), 2);
    assert!(store.raw_rows("agents").is_empty());
}

#[tokio::test]
async fn closed_ends_may_be_repaired_without_an_entry() {
    let store = adapter();
    committed(&store, "a", 1).await;
    committed(&store, "a", 2).await;
    let key = record("a");
    store.damage_ends(&key, Seq(1), Ends::OPEN);
    let spans: Vec<Span> = store.lock().history[&key].values().map(store::StoredEntry::span).collect();
    let right = interval_ends(&spans)[0];
    let mut repair = batch(&store, "a", 3, |change| {
        change.entries.clear();
        change.closed = vec![(Seq(1), right)];
    })
    .await
    .changes()
    .to_vec();
    repair[0].new_head = store.lock().heads.get(&key).map(|head| head.head);
    let at = store.clock().await.unwrap().store;
    store.apply(&Batch::seal(OpId::new("repair").unwrap(), at, repair, Vec::new())).await.unwrap();
    assert_eq!(store.lock().history[&key][&Seq(1)].ends, right);
}
