//! Writes: only what changed, whoever else writes, and what the user's own constraints say.

use std::sync::Arc;

use cfg_engine::adapter::{AdapterError, Scope, StorageAdapter};
use cfg_engine::config::{LiveRule, Shape};
use cfg_engine::history::RecordKey;

use crate::store::{Store, collection, json, set, unset, wait};

const SPACED: &str = "{\n  \"model\" : \"large\",\n  \"limit\": 1.50,  \"name\": \"Zo\\u00eb\"\n}";

#[test]
fn text_that_no_change_reaches_stays_as_it_is() {
    let store = Store::new("CREATE TABLE agents (id TEXT PRIMARY KEY, doc TEXT)", collection(Shape::Doc));
    store.db.execute("INSERT INTO agents VALUES ('a', ?1)", [SPACED]).unwrap();
    store.commit("\"a\"", vec![set("model", "\"small\"")]);
    let edited = SPACED.replace("large", "small");
    assert_eq!(store.text("SELECT doc FROM agents"), edited);
    assert_eq!(store.text("SELECT doc FROM config_history"), edited);
    // A record that comes back after a deletion has the bytes it had, every time.
    let doc = store.live("\"a\"").value;
    for _ in 0..2 {
        store.apply(&store.remove("\"a\"")).unwrap();
        store.apply(&store.seed("\"a\"", &doc)).unwrap();
        assert_eq!(store.text("SELECT doc FROM agents"), edited);
    }
}

#[test]
fn a_row_that_comes_back_has_the_texts_it_had() {
    let sql = "CREATE TABLE agents (id TEXT PRIMARY KEY, body JSON, n INTEGER)";
    let store = Store::new(sql, collection(Shape::Row));
    store.db.execute("INSERT INTO agents VALUES ('a', ?1, 1)", [SPACED]).unwrap();
    store.commit("\"a\"", vec![set("n", "2")]);
    let doc = store.live("\"a\"").value;
    for _ in 0..2 {
        store.apply(&store.remove("\"a\"")).unwrap();
        store.apply(&store.seed("\"a\"", &doc)).unwrap();
        assert_eq!(store.text("SELECT body FROM agents"), SPACED);
    }
}

/// History has the document alone: the rest of the row would be lost for ever.
#[test]
fn a_row_with_more_than_its_document_is_not_deleted() {
    let store = Store::new(
        "CREATE TABLE agents (id TEXT PRIMARY KEY, doc TEXT, level INT DEFAULT 1, owner TEXT, \
         made TEXT DEFAULT CURRENT_TIMESTAMP); INSERT INTO agents (id, doc) VALUES ('a', '{}'), ('b', '{}'); \
         UPDATE agents SET owner = 'ana', level = 2 WHERE id = 'a';",
        collection(Shape::Doc),
    );
    match store.apply(&store.remove("\"a\"")) {
        Err(AdapterError::Refused { reason, .. }) => {
            assert!(reason.contains("level, owner,") && reason.contains("cfg adopt a"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(store.text("SELECT group_concat(id) FROM agents"), "a,b");
    store.apply(&store.remove("\"b\"")).unwrap();
}

#[test]
fn only_changed_columns_are_written() {
    let sql = r#"CREATE TABLE agents (id TEXT PRIMARY KEY, model TEXT, body JSON, seen INTEGER, token TEXT);
        INSERT INTO agents VALUES ('a', 'large', '{ "x": 1.50,  "y": [1, 2] }', 1, 's');
        CREATE TABLE touched (name TEXT);
        CREATE TRIGGER t1 AFTER UPDATE OF model ON agents BEGIN INSERT INTO touched VALUES ('model'); END;
        CREATE TRIGGER t2 AFTER UPDATE OF body ON agents BEGIN INSERT INTO touched VALUES ('body'); END;
        CREATE TRIGGER t3 AFTER UPDATE OF seen, token, id ON agents BEGIN INSERT INTO touched VALUES ('other'); END;"#;
    let mut config = collection(Shape::Row);
    config.policy = cfg_engine::document::FieldPolicy::builder()
        .ignore_field("seen")
        .secret_field("token")
        .unwrap()
        .secret_field("body.y")
        .unwrap()
        .build();
    let store = Store::new(sql, config);
    // The application counts on between the read and the write.
    let batch = store.edit("\"a\"", vec![set("body.x", "2")]);
    store.db.execute("UPDATE agents SET seen = 7", []).unwrap();
    store.db.execute("DELETE FROM touched", []).unwrap();
    store.apply(&batch).unwrap();
    assert_eq!(store.text("SELECT group_concat(name) FROM touched"), "body");
    assert_eq!(store.text("SELECT body || seen FROM agents"), "{ \"x\": 2,  \"y\": [1, 2] }7");
    // A value that is what it was is not written at all.
    store.db.execute("DELETE FROM touched", []).unwrap();
    store.commit("\"a\"", vec![set("model", "\"large\"")]);
    assert_eq!(store.db.query_row("SELECT count(*) FROM touched", [], |row| row.get::<_, i64>(0)).unwrap(), 0);
}

#[test]
fn a_row_is_stored_as_interchange_and_the_texts_it_does_not_determine() {
    let sql = r#"CREATE TABLE agents (id TEXT PRIMARY KEY, body JSON, compact JSON, raw BLOB, token TEXT);
        INSERT INTO agents VALUES ('a', '{ "x": 1.50 }', '{"z":1}', x'0102', 'hush');"#;
    let store = Store::new(sql, collection(Shape::Row));
    let mut batch = store.edit("\"a\"", vec![set("compact.z", "2"), unset("token")]);
    store.apply(&batch).unwrap();
    let stored = store.text("SELECT doc FROM config_history");
    assert!(stored.contains(r#""raw":{"$binary":{"base64":"AQI=","subType":"00"}}"#), "{stored}");
    assert!(!stored.contains("hush"));
    assert_eq!(store.text("SELECT doc_native FROM config_history"), r#"{"body":"{ \"x\": 1.50 }"}"#);
    let entry = store.entries("\"a\"").remove(0);
    assert_eq!(entry.doc.unwrap().get("raw").unwrap().type_name(), "binary");
    batch = store.remove("\"a\"");
    store.apply(&batch).unwrap();
}

#[test]
fn the_users_constraints_are_named_without_values() {
    let sql = r#"CREATE TABLE owners (name TEXT PRIMARY KEY); INSERT INTO owners VALUES ('ana');
        CREATE TABLE agents (id TEXT PRIMARY KEY, n INTEGER CONSTRAINT small CHECK (n < 100), owner TEXT REFERENCES owners (name),
            code TEXT UNIQUE);
        INSERT INTO agents VALUES ('a', 1, 'ana', 'x'), ('b', 1, 'ana', 'y');
        CREATE TRIGGER no AFTER UPDATE OF n ON agents WHEN new.n = 13 BEGIN SELECT RAISE(ABORT, 'hush-13'); END;
        CREATE TRIGGER skip BEFORE UPDATE OF n ON agents WHEN new.n = 14 BEGIN SELECT RAISE(IGNORE); END;"#;
    let store = Store::new(sql, collection(Shape::Row));
    for (change, expected) in [
        (set("n", "777"), "small"),
        (set("owner", "\"hush\""), "FOREIGN KEY"),
        (set("code", "\"y\""), "agents.code"),
        (set("n", "13"), "trigger"),
        (set("n", "14"), "trigger"),
    ] {
        match store.apply(&store.edit("\"a\"", vec![change])) {
            Err(AdapterError::Refused { reason, .. }) => {
                assert!(reason.contains(expected), "{reason}");
                assert!(!reason.contains("hush") && !reason.contains("777"), "{reason}");
            }
            other => panic!("{expected}: {other:?}"),
        }
    }
    assert!(store.entries("\"a\"").is_empty());
    assert_eq!(store.text("SELECT group_concat(id || n || owner || code) FROM agents"), "a1anax,b1anay");
}

/// A row that leaves the live rule by its own change would be gone at once.
#[test]
fn a_change_may_not_end_liveness() {
    let mut config = collection(Shape::Row);
    config.live_when =
        LiveRule::from_object(json(r#"{"status": {"$in": ["on", "up"]}}"#).as_object().unwrap()).unwrap();
    let store = Store::new(
        "CREATE TABLE agents (id TEXT PRIMARY KEY, status TEXT); INSERT INTO agents VALUES ('a', 'on');",
        config,
    );
    store.commit("\"a\"", vec![set("status", "\"up\"")]);
    let outcome = store.apply(&store.edit("\"a\"", vec![set("status", "\"off\"")]));
    assert!(matches!(outcome, Err(AdapterError::LiveRule { .. })), "{outcome:?}");
    assert_eq!(store.text("SELECT status FROM agents"), "up");
}

fn many(n: usize) -> (Store, Vec<String>) {
    let sql = "CREATE TABLE owners (name TEXT PRIMARY KEY); INSERT INTO owners VALUES ('ana'); \
               CREATE TABLE agents (id TEXT PRIMARY KEY, n INTEGER, owner TEXT REFERENCES owners (name) DEFERRABLE INITIALLY \
               DEFERRED); CREATE TRIGGER no AFTER UPDATE OF n ON agents WHEN new.n = 13 BEGIN SELECT RAISE(ROLLBACK, 'no'); END;";
    let store = Store::new(sql, collection(Shape::Row));
    for at in 0..n {
        store.db.execute("INSERT INTO agents VALUES (?1, 0, 'ana')", [format!("a{at:02}")]).unwrap();
    }
    (store, (0..n).map(|at| format!("\"a{at:02}\"")).collect())
}

/// Batches that wait together are written together; each has its own outcome all the same.
#[test]
fn a_batch_that_fails_in_a_group_fails_alone() {
    let (store, ids) = many(40);
    let mut batches = Vec::new();
    for (at, id) in ids.iter().enumerate() {
        batches.push(match at {
            // Stale, refused at commit, and one whose trigger takes the transaction down.
            5 => {
                let batch = store.edit(id, vec![set("n", "1")]);
                store.commit(id, vec![set("n", "9")]);
                batch
            }
            6 => store.edit(id, vec![set("owner", "\"nobody\"")]),
            7 => store.edit(id, vec![set("n", "13")]),
            _ => store.edit(id, vec![set("n", "1")]),
        });
    }
    // While somebody else holds the lock, all of them queue up.
    store.db.execute_batch("BEGIN IMMEDIATE").unwrap();
    let threads: Vec<_> = batches
        .into_iter()
        .map(|batch| {
            let adapter = Arc::clone(&store.adapter);
            std::thread::spawn(move || wait(adapter.apply(&batch)))
        })
        .collect();
    std::thread::sleep(std::time::Duration::from_millis(200));
    store.db.execute_batch("ROLLBACK").unwrap();
    let outcomes: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    for (at, outcome) in outcomes.iter().enumerate() {
        match at {
            5 => assert!(matches!(outcome, Err(AdapterError::StaleHead { .. })), "{outcome:?}"),
            6 | 7 => assert!(matches!(outcome, Err(AdapterError::Refused { .. })), "{at}: {outcome:?}"),
            _ => assert!(outcome.is_ok(), "{at}: {outcome:?}"),
        }
    }
    let states = store.states(&Scope::All(None)).unwrap();
    assert_eq!(states.iter().filter(|state| state.head.is_some()).count(), 38);
    let committed = "SELECT group_concat(n, '') FROM (SELECT n FROM agents ORDER BY id)";
    assert_eq!(store.text(committed), format!("11111900{}", "1".repeat(32)));
}

#[test]
fn a_caller_that_stops_waiting_does_not_stop_the_write() {
    let (store, ids) = many(1);
    let batch = store.edit(&ids[0], vec![set("n", "1")]);
    {
        let mut applied = Box::pin(store.adapter.apply(&batch));
        let waker = std::task::Waker::noop();
        let _ = applied.as_mut().poll(&mut std::task::Context::from_waker(waker));
    }
    // The next write comes behind it.
    let outcome = store.apply(&batch);
    assert!(matches!(outcome, Err(AdapterError::StaleHead { .. })), "{outcome:?}");
    assert_eq!(store.entries(&ids[0]).len(), 1);
}

#[test]
fn an_image_of_another_store_is_refused() {
    let (store, ids) = many(1);
    let state = store.state(&ids[0]);
    let strange = cfg_engine::adapter::NativeImage::new(5_i32);
    let oid = cfg_engine::document::oid(&json("{}"), &Default::default()).unwrap();
    let stored = cfg_engine::adapter::StoredDoc::Edited { image: strange, changes: Vec::new() };
    let batch = store.batch(
        &state,
        cfg_engine::adapter::LiveWrite::Leave,
        cfg_engine::history::Op::Commit,
        Some((stored, oid)),
    );
    assert!(matches!(store.apply(&batch), Err(AdapterError::Damaged { .. })));
}

/// The same values written as other text are not a change.
#[test]
fn the_guard_compares_meaning_and_what_is_written_exactly() {
    let store = Store::new(
        r#"CREATE TABLE agents (id TEXT PRIMARY KEY, doc TEXT); INSERT INTO agents VALUES ('a', '{"n":1,"m":2}');"#,
        collection(Shape::Doc),
    );
    let batch = store.edit("\"a\"", vec![set("n", "5")]);
    store.db.execute(r#"UPDATE agents SET doc = '{ "m" : 2.0, "n" : 1 }'"#, []).unwrap();
    store.apply(&batch).unwrap();
    assert_eq!(store.text("SELECT doc FROM agents"), r#"{ "m" : 2.0, "n" : 5 }"#);

    let batch = store.edit("\"a\"", vec![set("n", "6")]);
    store.db.execute(r#"UPDATE agents SET doc = '{ "m" : 2.0, "n" : 5.0 }'"#, []).unwrap();
    let outcome = store.apply(&batch);
    assert!(matches!(outcome, Err(AdapterError::StaleLive { .. })), "{outcome:?}");
}

#[test]
fn records_of_a_batch_come_in_order() {
    let (store, ids) = many(2);
    let mut changes = Vec::new();
    for id in ids.iter().rev() {
        changes.extend(store.edit(id, vec![set("n", "1")]).changes().to_vec());
    }
    let records: Vec<&RecordKey> = changes.iter().map(|change| &change.record).collect();
    assert!(records[0] > records[1]);
    let one = store.edit(&ids[0], vec![set("n", "1")]);
    let batch =
        cfg_engine::adapter::Batch::for_conformance(one.op_id().clone(), one.recorded_at(), changes, Vec::new());
    assert!(matches!(store.apply(&batch), Err(AdapterError::Damaged { .. })));
}
