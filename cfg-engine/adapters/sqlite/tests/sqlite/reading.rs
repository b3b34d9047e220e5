//! Reads: rows that are no documents, streams that are left, many at once.

use cfg_engine::adapter::{EntryQuery, Live, RecordState, Scope, StorageAdapter};
use cfg_engine::config::Shape;
use futures_util::StreamExt;

use crate::store::{Store, collection, set, wait};

fn filled(rows: usize) -> Store {
    let sql = format!(
        "CREATE TABLE agents (id TEXT PRIMARY KEY, doc TEXT); \
         WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {rows}) \
         INSERT INTO agents SELECT 'a' || n, json_object('n', n, 'text', hex(zeroblob(500))) FROM n;"
    );
    Store::new(&sql, collection(Shape::Doc))
}

/// Such a record looks untracked and can never be committed: an error that names the way out, for it alone.
#[test]
fn a_lost_or_damaged_head_is_its_records_own_trouble() {
    for damage in [
        "DELETE FROM config_heads WHERE record_no = 1",
        "UPDATE config_heads SET head_entry_id = x'00' WHERE record_no = 1",
    ] {
        let store = filled(2);
        store.commit("\"a1\"", vec![set("n", "7")]);
        store.commit("\"a2\"", vec![set("n", "7")]);
        store.db.execute_batch(damage).unwrap();
        let scopes = [Scope::All(None), Scope::Records(vec![store.record("\"a1\""), store.record("\"a2\"")])];
        for scope in scopes {
            let states = store.states(&scope).unwrap();
            assert!(matches!(&states[0].live, Live::Unreadable { reason } if reason.contains("cfg fsck")), "{damage}");
            assert!(matches!(states[1].live, Live::One(_)) && states[1].head.is_some());
        }
    }
}

#[test]
fn a_document_beyond_the_limit_is_said_before_it_is_refused() {
    let store = Store::new("CREATE TABLE agents (id TEXT PRIMARY KEY, doc TEXT)", collection(Shape::Doc));
    let sql = "INSERT INTO agents VALUES ('a', json_object('text', hex(zeroblob(9000000))))";
    store.db.execute_batch(sql).unwrap();
    assert!(matches!(store.state("\"a\"").live, Live::Unreadable { reason } if reason.contains("bytes")));
}

/// Contents of another record must not get into a record's history.
#[test]
fn a_document_with_another_id_inside_is_not_readable() {
    let sql = r#"CREATE TABLE agents (id TEXT PRIMARY KEY, doc TEXT);
        INSERT INTO agents VALUES ('a', '{"id": "b", "n": 1}'), ('b', '{"id": "b", "n": 1}');"#;
    let store = Store::new(sql, collection(Shape::Doc));
    match store.state("\"a\"").live {
        Live::Unreadable { reason } => assert!(reason.contains("another id in id"), "{reason}"),
        other => panic!("{other:?}"),
    }
    assert!(matches!(store.state("\"b\"").live, Live::One(_)));
}

#[test]
fn a_row_that_is_no_document_says_why() {
    let sql = r#"CREATE TABLE agents (id TEXT PRIMARY KEY, doc);
        INSERT INTO agents VALUES ('null', NULL), ('blob', jsonb('{"a":1}')), ('number', 5), ('array', '[]'),
        ('broken', '{"a":
  nope}'), ('twice', '{"a":1,"a":2}'), ('bytes', CAST(x'ff' AS TEXT)), ('fine', '{"secret-value":1}');"#;
    let store = Store::new(sql, collection(Shape::Doc));
    let states = store.states(&Scope::All(None)).unwrap();
    assert_eq!(states.len(), 8);
    for (id, expected) in [
        ("null", "NULL"),
        ("blob", r#"SET "doc" = json("doc")"#),
        ("number", "holds a number"),
        ("array", "must be an object"),
        ("broken", "line 2, column 3"),
        ("twice", "duplicate key"),
        ("bytes", "not UTF-8"),
    ] {
        match store.state(&format!("\"{id}\"")).live {
            Live::Unreadable { reason } => assert!(reason.contains(expected), "{id}: {reason}"),
            other => panic!("{id}: {other:?}"),
        }
    }
    store.db.execute("UPDATE agents SET doc = json(doc) WHERE id = 'blob'", []).unwrap();
    assert_eq!(store.live("\"blob\"").value.to_json(), r#"{"a":1}"#);
}

#[test]
fn look_alikes_of_extended_values_stay_objects() {
    let sql = r#"CREATE TABLE agents (id TEXT PRIMARY KEY, doc TEXT);
        INSERT INTO agents VALUES ('a', '{"at":{"$date":"2023-06-07T00:00:00Z"},"n":1.50}');"#;
    let store = Store::new(sql, collection(Shape::Doc));
    store.commit("\"a\"", vec![set("m", "1")]);
    let entry = store.entries("\"a\"").remove(0);
    assert_eq!(entry.doc.as_ref(), Some(&*store.live("\"a\"").value));
    assert!(entry.doc.unwrap().get("at").unwrap().as_object().is_some());
    assert_eq!(
        store.text("SELECT doc FROM config_history"),
        r#"{"at":{"$date":"2023-06-07T00:00:00Z"},"n":1.50,"m":1}"#
    );
}

#[test]
fn streams_that_are_left_do_not_hold_up_others() {
    let store = filled(5000);
    let scope = Scope::All(None);
    for _ in 0..20 {
        let mut left = store.adapter.records(&store.env, &scope);
        assert!(wait(left.next()).unwrap().is_ok());
    }
    // Many streams open at once, each read a little at a time.
    let mut open: Vec<_> = (0..12).map(|_| store.adapter.records(&store.env, &scope)).collect();
    let mut found = vec![0; open.len()];
    while found[0] < 5000 {
        for (stream, found) in open.iter_mut().zip(&mut found) {
            *found += wait(stream.next()).unwrap().unwrap().len();
        }
    }
    assert!(found.iter().all(|found| *found == 5000), "{found:?}");
    for stream in &mut open {
        assert!(wait(stream.next()).is_none());
    }
}

#[test]
fn a_stream_is_one_snapshot_however_slowly_it_is_read() {
    let store = filled(5000);
    let scope = Scope::All(None);
    let mut stream = store.adapter.records(&store.env, &scope);
    let first = wait(stream.next()).unwrap().unwrap();
    store.commit("\"a999\"", vec![set("n", "0")]);
    store.db.execute("DELETE FROM agents", []).unwrap();
    let mut found: Vec<RecordState> = first;
    while let Some(chunk) = wait(stream.next()) {
        found.extend(chunk.unwrap());
    }
    assert_eq!(found.len(), 5000);
    assert!(found.iter().all(|state| state.head.is_none() && matches!(state.live, Live::One(_))));
}

#[test]
fn chunks_are_small() {
    let store = filled(3000);
    let scope = Scope::All(None);
    let mut stream = store.adapter.records(&store.env, &scope);
    while let Some(chunk) = wait(stream.next()) {
        assert!(chunk.unwrap().len() <= 500);
    }
    store
        .db
        .execute_batch(
            "DELETE FROM agents WHERE rowid > 20; UPDATE agents SET doc = json_object('text', hex(zeroblob(200000)))",
        )
        .unwrap();
    let mut stream = store.adapter.records(&store.env, &scope);
    let chunk = wait(stream.next()).unwrap().unwrap();
    assert!(chunk.len() <= 3, "{} documents of 400 KB in one chunk", chunk.len());
}

#[test]
fn a_header_comes_back_exactly() {
    let store = filled(1);
    store.commit("\"a1\"", vec![set("n", "2")]);
    for entry in store.entries("\"a1\"") {
        assert_eq!(entry.header.entry_id(), entry.entry_id);
        assert_eq!(entry.header.base, Some(Vec::new()));
        assert_eq!(entry.git_shas, ["abc"]);
    }
    let mut query = EntryQuery::new(store.env.clone(), Scope::All(None));
    query.git_sha = Some("ab".to_owned());
    assert_eq!(wait(store.adapter.entries(&query).collect::<Vec<_>>()).len(), 1);
}
