//! Live tables of every kind: names, ids, keys, views, schemas that change.

use cfg_engine::adapter::{AdapterError, Live, Scope, StorageAdapter};
use cfg_engine::config::{IdType, LiveRule, Shape};
use cfg_engine::document::{FieldPath, Treatment};
use cfg_engine_sqlite::{SqliteAdapter, SqliteOptions};

use crate::store::{Store, collection, json, set, unset, wait};

fn problem(store: &Store) -> String {
    match wait(store.adapter.check_collection(&store.name())) {
        Err(AdapterError::Setup { problem, hint }) => format!("{problem}; {hint}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_table_that_does_not_fit_is_named() {
    assert!(problem(&Store::raw("", collection(Shape::Doc))).contains("no table agents"));
    let view = "CREATE TABLE t (id TEXT, doc TEXT); CREATE VIEW agents AS SELECT * FROM t;";
    assert!(problem(&Store::raw(view, collection(Shape::Doc))).contains("is a view"));
    let near = Store::raw("CREATE TABLE agents (id TEXT, Doc TEXT)", collection(Shape::Doc));
    let said = problem(&near);
    assert!(said.contains("no column doc") && said.contains("it has Doc:"), "{said}");
    let mut ruled = collection(Shape::Doc);
    ruled.live_when = LiveRule::from_object(json(r#"{"active": true}"#).as_object().unwrap()).unwrap();
    let store = Store::raw("CREATE TABLE agents (id TEXT, doc TEXT)", ruled);
    assert!(problem(&store).contains("live_when of agents names active"));
    assert!(matches!(store.states(&Scope::All(None)), Err(AdapterError::Setup { .. })));
}

#[test]
fn a_missing_index_is_advice_to_be_typed() {
    for (sql, advised) in [
        ("CREATE TABLE agents (id TEXT, doc TEXT)", true),
        ("CREATE TABLE agents (id TEXT PRIMARY KEY, doc TEXT)", false),
        ("CREATE TABLE agents (id INTEGER PRIMARY KEY, doc TEXT)", false),
        ("CREATE TABLE agents (id TEXT, doc TEXT, n INT); CREATE INDEX i ON agents (n, id)", true),
        ("CREATE TABLE agents (id TEXT, doc TEXT, n INT); CREATE INDEX i ON agents (id, n)", false),
        ("CREATE TABLE agents (id TEXT, doc TEXT, n INT); CREATE INDEX i ON agents (id) WHERE n > 0", true),
    ] {
        let store = Store::raw(sql, collection(Shape::Doc));
        let advice = wait(store.adapter.check_collection(&store.name())).unwrap();
        assert_eq!(advice.len(), usize::from(advised), "{sql}: {advice:?}");
        if let [advice] = advice.as_slice() {
            store.db.execute_batch(&advice[advice.find("CREATE").unwrap()..]).unwrap();
            assert!(wait(store.adapter.check_collection(&store.name())).unwrap().is_empty());
        }
    }
}

#[test]
fn names_of_any_kind_are_names() {
    let mut config = collection(Shape::Row);
    config.table = r#"we"ird; DROP TABLE x; --"#.to_owned();
    config.id_fields = vec![r#"the "id" "#.to_owned()];
    let sql = r#"CREATE TABLE "we""ird; DROP TABLE x; --" ("the ""id"" " TEXT PRIMARY KEY, "select" TEXT, "a b" JSON);
                 INSERT INTO "we""ird; DROP TABLE x; --" VALUES ('a', 'x', '{"c":1}');"#;
    let store = Store::new(sql, config);
    store.commit("\"a\"", vec![set("select", "\"y\""), set("\"a b\".c", "2")]);
    assert_eq!(store.text(r#"SELECT "select" || "a b" FROM "we""ird; DROP TABLE x; --""#), r#"y{"c":2}"#);
    store.apply(&store.remove("\"a\"")).unwrap();
    assert!(matches!(store.state("\"a\"").live, Live::Absent { .. }));
}

#[test]
fn ids_are_what_the_column_holds() {
    let sql = "CREATE TABLE agents (id, doc TEXT); INSERT INTO agents VALUES (1, '{}'), ('1', '{\"n\":1}'), (2.0, '{}'), \
               (2.5, '{}'), (NULL, '{}'), (x'00', '{}'), ('a', '{}');";
    let store = Store::new(sql, collection(Shape::Doc));
    let ids: Vec<String> =
        store.states(&Scope::All(None)).unwrap().iter().map(|s| s.record.id.as_str().to_owned()).collect();
    assert_eq!(ids, [r#""1""#, r#""a""#, "1", "2"]);
    store.commit("1", vec![set("n", "5")]);
    assert_eq!(store.text("SELECT group_concat(doc) FROM agents WHERE id IN (1, '1')"), r#"{"n":5},{"n":1}"#);

    let typed = |declared: &str| {
        let sql = format!("CREATE TABLE agents (id {declared}, doc TEXT)");
        Store::raw(&sql, collection(Shape::Doc)).adapter.collections()[0].id_type
    };
    assert_eq!(typed("INTEGER PRIMARY KEY"), Some(IdType::Int));
    assert_eq!(typed("bigint"), Some(IdType::Int));
    assert_eq!(typed("TEXT"), Some(IdType::String));
    assert_eq!(typed("BLOB"), Some(IdType::Uuid));
}

/// Such rows are in no other answer, so this is where they have to show.
#[test]
fn rows_without_a_usable_id_are_counted_and_can_be_found() {
    let sql = "CREATE TABLE agents (id UNIQUE, doc TEXT); INSERT INTO agents VALUES ('a', '{}'), (2.5, '{}'), (NULL, '{}'), \
               (x'00', '{}'), (printf('%2000s', 'x'), '{}'), (CAST(x'ff' AS TEXT), '{}');";
    let store = Store::new(sql, collection(Shape::Doc));
    let advice = wait(store.adapter.check_collection(&store.name())).unwrap().join("\n");
    for part in ["has 5 live rows", "1 NULL", "fraction", "BLOB", "longer", "not UTF-8"] {
        assert!(advice.contains(part), "{part}: {advice}");
    }
    let find = advice[advice.find("SELECT").unwrap()..].trim_end_matches(';');
    assert_eq!(store.text(&format!("SELECT count(*) || '' FROM ({find})")), "5");
    store.db.execute_batch("DELETE FROM agents WHERE id IS NOT 'a'").unwrap();
    assert!(wait(store.adapter.check_collection(&store.name())).unwrap().is_empty());
}

/// A column may say that 'a' and 'A' are the same; records do not.
#[test]
fn a_collation_does_not_merge_records() {
    for end in ["", " WITHOUT ROWID"] {
        let sql = format!(
            "CREATE TABLE agents (id TEXT COLLATE NOCASE, doc TEXT, k INT DEFAULT 0, PRIMARY KEY (id, k)){end}; \
             INSERT INTO agents VALUES ('a', '{{\"n\":1}}', 1), ('A', '{{\"n\":2}}', 2);"
        );
        let store = Store::new(&sql, collection(Shape::Doc));
        assert_eq!(store.states(&Scope::All(None)).unwrap().len(), 2);
        store.commit("\"a\"", vec![set("n", "5")]);
        assert_eq!(store.text("SELECT group_concat(doc) FROM agents"), r#"{"n":5},{"n":2}"#, "{end}");
        store.db.execute("UPDATE agents SET k = 0 WHERE doc = '{\"n\":2}'", []).unwrap();
        store.apply(&store.remove("\"A\"")).unwrap();
        assert_eq!(store.text("SELECT group_concat(id) FROM agents"), "a");
    }
}

#[test]
fn rowids_with_names_of_columns() {
    let sql = "CREATE TABLE agents (id TEXT, doc TEXT, rowid TEXT, _rowid_ TEXT, oid TEXT); \
               INSERT INTO agents VALUES ('a', '{\"n\":1}', 'x', 'x', 'x'), ('b', '{\"n\":1}', 'x', 'x', 'x');";
    let store = Store::new(sql, collection(Shape::Doc));
    store.commit("\"a\"", vec![set("n", "2")]);
    assert_eq!(store.text("SELECT group_concat(doc) FROM agents"), r#"{"n":2},{"n":1}"#);
    assert_eq!(store.states(&Scope::All(None)).unwrap().len(), 2);
}

#[test]
fn columns_of_sqlites_own_are_ignored() {
    let sql = "CREATE TABLE agents (no INTEGER PRIMARY KEY, id TEXT UNIQUE, n INTEGER, \
               twice INTEGER GENERATED ALWAYS AS (n * 2) STORED, thrice AS (n * 3)); \
               INSERT INTO agents (id, n) VALUES ('a', 1);";
    let store = Store::new(sql, collection(Shape::Row));
    let policy = &store.adapter.collections()[0].policy;
    for (field, treatment) in [
        ("no", Treatment::Ignored),
        ("twice", Treatment::Ignored),
        ("thrice", Treatment::Ignored),
        ("n", Treatment::Versioned),
    ] {
        assert_eq!(policy.treatment(&FieldPath::key(field)), treatment, "{field}");
    }
    let live = store.live("\"a\"");
    assert_eq!(live.value.to_json(), r#"{"no":1,"id":"a","n":1,"twice":2,"thrice":3}"#);
    store.commit("\"a\"", vec![set("n", "2")]);
    store.apply(&store.remove("\"a\"")).unwrap();
    store.apply(&store.seed("\"a\"", &live.value)).unwrap();
    assert_eq!(store.live("\"a\"").value.get("thrice"), Some(&json("3")));
}

#[test]
fn a_schema_that_changes_is_noticed() {
    let store = Store::new(
        "CREATE TABLE agents (id TEXT PRIMARY KEY, gone TEXT, n INTEGER); INSERT INTO agents VALUES ('a', 'x', 1);",
        collection(Shape::Row),
    );
    store.commit("\"a\"", vec![set("n", "2")]);
    store
        .db
        .execute_batch(
            "ALTER TABLE agents ADD COLUMN level TEXT NOT NULL DEFAULT 'low'; ALTER TABLE agents ADD COLUMN on_ BOOLEAN \
             DEFAULT 1; ALTER TABLE agents DROP COLUMN gone;",
        )
        .unwrap();
    assert_eq!(store.live("\"a\"").value.to_json(), r#"{"id":"a","n":2,"level":"low","on_":true}"#);
    store.commit("\"a\"", vec![set("level", "\"high\"")]);

    let record = store.record("\"a\"");
    let fitted = wait(store.adapter.fit(&record, json(r#"{"id":"a","n":7,"gone":null}"#))).unwrap();
    assert_eq!(fitted.to_json(), r#"{"id":"a","n":7,"level":"low","on_":true}"#);
    match wait(store.adapter.fit(&record, json(r#"{"id":"a","gone":"x"}"#))) {
        Err(AdapterError::Unstorable { path, .. }) => assert_eq!(path, "gone"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn defaults_that_vary_are_the_columns_own() {
    let store = Store::new(
        "CREATE TABLE agents (id TEXT PRIMARY KEY, made TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP, \
         n TEXT DEFAULT (hex(randomblob(4))), tags JSON DEFAULT '[]', note TEXT DEFAULT 'it''s')",
        collection(Shape::Row),
    );
    let fitted = wait(store.adapter.fit(&store.record("\"a\""), json(r#"{"id":"a"}"#))).unwrap();
    assert_eq!(fitted.to_json(), r#"{"id":"a","tags":[],"note":"it's"}"#);
    // Versioned, such a column would make the record dirty from its first moment.
    match store.apply(&store.seed("\"a\"", &fitted)) {
        Err(AdapterError::Refused { reason, .. }) => assert!(reason.contains("fills in made, n;"), "{reason}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(store.text("SELECT count(*) || '' FROM agents"), "0");
    let given = json(r#"{"id":"a","made":"2023-06-07","n":"x","tags":[],"note":"it's"}"#);
    store.apply(&store.seed("\"a\"", &given)).unwrap();
    assert_eq!(store.live("\"a\"").value, given.into());

    let mut ignoring = collection(Shape::Row);
    ignoring.policy = cfg_engine::document::FieldPolicy::builder().ignore_field("made").build();
    let sql = "CREATE TABLE agents (id TEXT PRIMARY KEY, made TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP)";
    let store = Store::new(sql, ignoring);
    store.apply(&store.seed("\"a\"", &json(r#"{"id":"a"}"#))).unwrap();
    assert!(store.text("SELECT made FROM agents").starts_with("20"));
}

#[test]
fn an_empty_field_is_null_unless_it_must_not_be() {
    let store = Store::new(
        "CREATE TABLE agents (id TEXT PRIMARY KEY, n INTEGER, must TEXT NOT NULL); INSERT INTO agents VALUES ('a', 1, 'x');",
        collection(Shape::Row),
    );
    store.commit("\"a\"", vec![unset("n")]);
    assert!(store.live("\"a\"").value.get("n").unwrap().is_null());
    match store.apply(&store.edit("\"a\"", vec![unset("must")])) {
        Err(AdapterError::Refused { reason, .. }) => assert!(reason.contains("agents.must"), "{reason}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn values_that_would_come_back_as_others_are_refused() {
    let store = Store::new(
        "CREATE TABLE agents (id TEXT PRIMARY KEY, n INTEGER, text TEXT, on_ BOOLEAN, body JSON, raw BLOB); \
         INSERT INTO agents VALUES ('a', 1, 'x', 0, '{}', x'0102');",
        collection(Shape::Row),
    );
    let record = store.record("\"a\"");
    let doc = store.live("\"a\"").value;
    store.adapter.check_document(&record, &doc).unwrap();
    for (path, doc) in [
        ("n", r#"{"id":"a","n":"5"}"#),
        ("text", r#"{"id":"a","text":5}"#),
        ("on_", r#"{"id":"a","on_":1}"#),
        ("none", r#"{"id":"a","none":1}"#),
        ("id", r#"{"id":"b"}"#),
        ("body.at", r#"{"id":"a","body":{"at":{"$date":"2023-06-07T00:00:00Z"}}}"#),
        ("raw", r#"{"id":"a","raw":{"$uuid":"00112233-4455-6677-8899-aabbccddeeff"}}"#),
    ] {
        let doc = cfg_engine::Value::from_interchange(doc).unwrap();
        match store.adapter.check_document(&record, &doc) {
            Err(AdapterError::Unstorable { path: found, .. }) => assert_eq!(found, path),
            other => panic!("{path}: {other:?}"),
        }
    }
    assert!(store.adapter.capabilities().extended_types);
    let other = SqliteAdapter::open(SqliteOptions::new(&store.path, vec![])).unwrap();
    assert!(!other.capabilities().extended_types);
}
