//! Ids of every kind, and ids that look alike.

use std::sync::Arc;

use cfg_engine::Value;
use cfg_engine::adapter::{Digested, Live, Scope};
use cfg_engine::document::Object;
use cfg_engine::history::{MAX_ID_BYTES, RecordKey};

use crate::draft::Draft;
use crate::space::{Space, collect, live, value};
use crate::{Column, Harness, Outcome, Table, require};

/// Creates, commits, reads back and deletes records with these ids, all at once in one table, so that two
/// that are taken for one are found out.
async fn versions(space: &Space, ids: &[Value]) {
    let records: Vec<RecordKey> = ids.iter().map(|id| space.record_in(0, id)).collect();
    for (n, record) in records.iter().enumerate() {
        space.applied(vec![Draft::create(space, record, &Object::new().with("n", n))]).await;
    }
    for (n, record) in records.iter().enumerate() {
        space.commit(record, "n", 1000 + n).await;
    }
    let mut sorted = records.clone();
    sorted.sort();
    let states = space.states(&Scope::All(None)).await;
    assert_eq!(states.iter().map(|s| s.record.clone()).collect::<Vec<_>>(), sorted, "every id, in order");
    let asked = space.states(&Scope::Records(records.clone())).await;
    assert_eq!(asked.iter().map(|s| s.record.clone()).collect::<Vec<_>>(), sorted);
    for (n, record) in records.iter().enumerate() {
        let state = space.state(record).await;
        let n_of_live = live(&state).value.get("n").and_then(|v| v.as_i64());
        assert_eq!(n_of_live, Some(1000 + n as i64), "live of {record:?}");
        assert_eq!(live(&state).oid.clone().ok(), state.head.as_ref().and_then(|h| h.head.oid), "{record:?}");
        let entries = space.assert_sound(record).await;
        assert_eq!(entries.len(), 2, "{record:?}");
        assert!(entries.iter().all(|entry| entry.header.record == *record));
    }
    for (n, record) in records.iter().enumerate() {
        let state = space.state(record).await;
        space.applied(vec![Draft::remove(&state)]).await;
        let rows = space.raw.rows(space.agents()).await;
        assert_eq!(rows.len(), records.len() - n - 1, "one row less after {record:?}");
    }
}

fn texts(ids: &[&str]) -> Vec<Value> {
    ids.iter().map(|id| Value::from(*id)).collect()
}

pub(crate) async fn plain_and_odd_texts(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let ids = [
        "planner",
        "it's",
        "say \"hi\"",
        "a/b\\c",
        "100%",
        "%41",
        "a_b",
        "new\nline",
        "tab\tid",
        " lead",
        "trail ",
        "",
        "x'; DROP TABLE agents_live; --",
        "$where",
        "a.b",
        "[0]",
        "{\"$oid\":\"x\"}",
        "*",
        "?",
        "null",
        "true",
        "@7",
        "#abc",
    ];
    versions(&space, &texts(&ids)).await;
    Outcome::Passed
}

pub(crate) async fn texts_that_look_like_numbers(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    versions(&space, &texts(&["1", "01", "1.0", "1e0", "-1", "+1", "0x1", " 1", "9223372036854775808"])).await;
    Outcome::Passed
}

pub(crate) async fn both_normal_forms_are_kept_apart(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    versions(&space, &texts(&["caf\u{e9}", "cafe\u{301}", "\u{212b}", "\u{c5}", "A\u{30a}"])).await;
    Outcome::Passed
}

pub(crate) async fn case_width_and_scripts_are_kept_apart(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let ids =
        ["a", "A", "ａ", "ß", "ss", "SS", "İ", "i", "ı", "I", "你好", "🙂", "👩\u{200d}💻", "\u{fffd}", "ﬀ", "ff"];
    versions(&space, &texts(&ids)).await;
    Outcome::Passed
}

pub(crate) async fn the_longest_id(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let longest = "x".repeat(MAX_ID_BYTES - 2);
    let sibling = format!("{}y", "x".repeat(MAX_ID_BYTES - 3));
    versions(&space, &texts(&[&longest, &sibling])).await;
    Outcome::Passed
}

pub(crate) async fn whole_numbers(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::with(&h, vec![Table::new("agents").id(&[("id", Column::Int)])]).await;
    let ids = [0, 1, -1, 10, 2, 9_007_199_254_740_993, 9_007_199_254_740_992, i64::MAX, i64::MIN];
    versions(&space, &ids.map(Value::from)).await;
    Outcome::Passed
}

pub(crate) async fn a_number_is_not_its_text(h: Arc<dyn Harness>) -> Outcome {
    let tables = vec![Table::new("numbers").id(&[("id", Column::Int)]), Table::new("texts")];
    let space = Space::with(&h, tables).await;
    let (number, text) = (space.record_in(0, &Value::from(1)), space.record_in(1, &Value::from("1")));
    for record in [&number, &text] {
        space.applied(vec![Draft::create(&space, record, &Object::new().with("n", 1))]).await;
    }
    let found: Vec<_> = space.states(&Scope::All(None)).await.into_iter().map(|s| s.record).collect();
    assert_eq!(found, [number, text.clone()]);
    // Asked for by the wrong type, nothing is there, or nothing that is the other.
    let mut wrong = text;
    wrong.id = space.record_in(0, &Value::from(1)).id;
    let state = space.state(&wrong).await;
    assert!(state.head.is_none());
    assert!(matches!(state.live, Live::Absent { .. }), "{:?}", state.live);
    Outcome::Passed
}

pub(crate) async fn several_types_in_one_collection(h: Arc<dyn Harness>) -> Outcome {
    require!(h, MixedIds);
    let space = Space::open(&h).await;
    let ids = [
        r#"1"#,
        r#""1""#,
        r#"{"$oid": "0123456789abcdef01234567"}"#,
        r#""0123456789abcdef01234567""#,
        r#"{"$uuid": "00112233-4455-6677-8899-aabbccddeeff"}"#,
        r#""00112233-4455-6677-8899-aabbccddeeff""#,
    ];
    versions(&space, &ids.map(value)).await;
    Outcome::Passed
}

pub(crate) async fn uuids(h: Arc<dyn Harness>) -> Outcome {
    require!(h, UuidIds);
    let space = Space::with(&h, vec![Table::new("agents").id(&[("id", Column::Uuid)])]).await;
    let ids = [
        r#"{"$uuid": "00112233-4455-6677-8899-aabbccddeeff"}"#,
        r#"{"$uuid": "00000000-0000-0000-0000-000000000000"}"#,
        r#"{"$uuid": "ffffffff-ffff-ffff-ffff-ffffffffffff"}"#,
    ];
    versions(&space, &ids.map(value)).await;
    Outcome::Passed
}

pub(crate) async fn composite_ids(h: Arc<dyn Harness>) -> Outcome {
    // Configured in another order than that of the names.
    let columns = [("tenant", Column::Text), ("number", Column::Int)];
    let space = Space::with(&h, vec![Table::new("agents").id(&columns)]).await;
    let ids = [
        r#"{"tenant": "a", "number": 1}"#,
        r#"{"tenant": "a", "number": 2}"#,
        r#"{"number": 1, "tenant": "b"}"#,
        r#"{"tenant": "", "number": 0}"#,
        r#"{"tenant": "1", "number": -1}"#,
        r#"{"tenant": "a'\"/%\n", "number": 1}"#,
    ];
    versions(&space, &ids.map(value)).await;
    Outcome::Passed
}

pub(crate) async fn rows_without_a_usable_id_do_no_harm(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let record = space.create("planner", r#"{"n": 1}"#).await;
    let mut row = space.row(&record, &Object::new().with("n", 2));
    row.as_object_mut().expect("a row").insert("id", Value::Null);
    space.raw.insert(space.agents(), &row).await;
    let states = space.states(&Scope::All(None)).await;
    assert_eq!(states.len(), 1);
    // They are counted on the way, behind the records, and only where everything is read.
    let passed = collect(space.store.digests(&space.env, &Scope::All(None))).await;
    let [Digested::Record(state), Digested::Strays(strays)] = passed.as_slice() else { panic!("{passed:?}") };
    assert_eq!((&state.record, &strays.collection, strays.rows), (&record, &space.agents().name, 1));
    assert!(!strays.reason.is_empty() && !strays.hint.is_empty());
    let asked = collect(space.store.digests(&space.env, &Scope::Records(vec![record.clone()]))).await;
    assert!(matches!(asked.as_slice(), [Digested::Record(_)]), "{asked:?}");
    space.commit(&record, "n", 2).await;
    assert_eq!(space.raw.rows(space.agents()).await.len(), 2);
    Outcome::Passed
}
