//! The file itself: missing, foreign, locked, newer, not initialised.

use std::time::Duration;

use cfg_engine::adapter::{AdapterError, EntryQuery, Live, Scope, StorageAdapter};
use cfg_engine::config::Shape;
use cfg_engine_sqlite::{SqliteAdapter, SqliteOptions};
use futures_util::TryStreamExt;
use rusqlite::Connection;

use crate::store::{Store, collection, set, wait};

const TABLE: &str =
    r#"CREATE TABLE agents (id TEXT PRIMARY KEY, doc TEXT); INSERT INTO agents VALUES ('a', '{"n": 1}');"#;

fn setup(error: &AdapterError) -> (&str, &str) {
    match error {
        AdapterError::Setup { problem, hint } => (problem, hint),
        other => panic!("{other:?}"),
    }
}

fn unreachable(error: &AdapterError) -> &str {
    match error {
        AdapterError::Unreachable { reason, .. } => reason,
        other => panic!("{other:?}"),
    }
}

fn open(options: SqliteOptions) -> AdapterError {
    match SqliteAdapter::open(options) {
        Ok(_) => panic!("it opened"),
        Err(error) => error,
    }
}

#[test]
fn files_that_cannot_be_opened_are_told_apart() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing.db");
    let error = open(SqliteOptions::new(&missing, Vec::new()));
    assert!(unreachable(&error).starts_with("there is no database file"), "{error}");
    assert!(!missing.exists());
    SqliteAdapter::open(SqliteOptions { create: true, ..SqliteOptions::new(&missing, Vec::new()) }).unwrap();
    assert!(missing.exists());

    let text = directory.path().join("notes.txt");
    std::fs::write(&text, "not a database, but long enough to be looked at. ".repeat(30)).unwrap();
    let error = open(SqliteOptions::new(&text, Vec::new()));
    assert!(unreachable(&error).contains("not a SQLite database"), "{error}");

    let error = open(SqliteOptions::new(directory.path(), Vec::new()));
    assert!(unreachable(&error).contains("cannot be opened"), "{error}");
    for name in ["", ":memory:"] {
        assert!(
            setup(&open(SqliteOptions { create: true, ..SqliteOptions::new(name, Vec::new()) })).0.contains("a file")
        );
    }
}

#[test]
fn a_file_without_history_can_be_read_and_not_written() {
    let store = Store::raw(TABLE, collection(Shape::Doc));
    assert!(matches!(store.state("\"a\"").live, Live::One(_)));
    assert!(store.entries("\"a\"").is_empty());
    assert!(wait(store.adapter.objects("tag", None)).unwrap().is_empty());
    let error = store.apply(&store.edit("\"a\"", vec![set("n", "2")])).unwrap_err();
    assert!(setup(&error).1.contains("cfg init"), "{error}");
    assert_eq!(store.text("PRAGMA journal_mode"), "delete");

    let pending = wait(store.adapter.pending_schema()).unwrap();
    assert_eq!(wait(store.adapter.ensure_schema()).unwrap(), pending);
    // A connection says what the mode is once it has read the file again.
    store.text("SELECT count(*) || '' FROM agents");
    assert_eq!(store.text("PRAGMA journal_mode"), "wal");
    assert!(wait(store.adapter.pending_schema()).unwrap().is_empty());
    assert!(wait(store.adapter.ensure_schema()).unwrap().is_empty());
    store.commit("\"a\"", vec![set("n", "2")]);
    let version: i64 = store.db.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    assert_eq!(version, 0);
}

#[test]
fn a_missing_index_is_made_again() {
    let store = Store::new(TABLE, collection(Shape::Doc));
    store.db.execute_batch("DROP INDEX config_history_valid").unwrap();
    let made = wait(store.adapter.ensure_schema()).unwrap();
    assert_eq!(made.len(), 1);
    assert!(made[0].contains("config_history_valid"));
}

#[test]
fn a_newer_layout_is_refused() {
    let store = Store::new(TABLE, collection(Shape::Doc));
    store.db.execute("UPDATE cfg_objects SET body = '{\"version\":2}' WHERE kind = 'schema'", []).unwrap();
    let other = SqliteAdapter::open(SqliteOptions::new(&store.path, vec![collection(Shape::Doc)])).unwrap();
    for error in [
        wait(other.pending_schema()).unwrap_err(),
        wait(other.ensure_schema()).unwrap_err(),
        wait(other.entries(&EntryQuery::new(store.env.clone(), Scope::All(None))).try_concat()).unwrap_err(),
        wait(other.apply(&store.edit("\"a\"", vec![set("n", "2")]))).unwrap_err(),
    ] {
        assert!(setup(&error).0.contains("layout 2"), "{error}");
    }
}

#[test]
fn history_with_a_table_lost_is_not_read_as_empty() {
    let store = Store::new(TABLE, collection(Shape::Doc));
    store.db.execute_batch("DROP TABLE config_heads").unwrap();
    let error = store.states(&Scope::All(None)).unwrap_err();
    assert!(setup(&error).0.contains("config_heads"), "{error}");
}

#[test]
fn other_tables_have_other_names() {
    let store = Store::new(TABLE, collection(Shape::Doc));
    let options = SqliteOptions {
        history_table: "preview \"x\"".to_owned(),
        heads_table: "preview heads".to_owned(),
        ..SqliteOptions::new(&store.path, vec![collection(Shape::Doc)])
    };
    let preview = SqliteAdapter::open(options).unwrap();
    wait(preview.ensure_schema()).unwrap();
    store.commit("\"a\"", vec![set("n", "2")]);
    let query = EntryQuery::new(store.env.clone(), Scope::All(None));
    assert!(wait(preview.entries(&query).try_concat()).unwrap().is_empty());
    assert_eq!(wait(store.adapter.entries(&query).try_concat()).unwrap().len(), 1);
}

#[test]
fn a_lock_held_by_somebody_else_is_busy() {
    let store = Store::new(TABLE, collection(Shape::Doc));
    let options = SqliteOptions {
        busy_timeout: Duration::from_millis(50),
        ..SqliteOptions::new(&store.path, vec![collection(Shape::Doc)])
    };
    let impatient = SqliteAdapter::open(options).unwrap();
    let batch = store.edit("\"a\"", vec![set("n", "2")]);
    store.db.execute_batch("BEGIN IMMEDIATE").unwrap();
    let start = store.adapter.monotonic();
    assert!(matches!(wait(impatient.apply(&batch)), Err(AdapterError::Busy)));
    assert!(store.adapter.monotonic() - start < Duration::from_secs(1));
    // Reads do not wait for writers.
    assert!(wait(impatient.records(&store.env, &Scope::All(None)).try_concat()).is_ok());
    store.db.execute_batch("ROLLBACK").unwrap();
    wait(impatient.apply(&batch)).unwrap();
}

#[test]
fn an_application_in_rollback_mode_goes_on() {
    let store = Store::new(TABLE, collection(Shape::Doc));
    store.db.execute_batch("PRAGMA journal_mode = DELETE").unwrap();
    store.commit("\"a\"", vec![set("n", "2")]);
    assert_eq!(store.text("PRAGMA journal_mode"), "delete");
    assert_eq!(store.text("SELECT doc FROM agents"), r#"{"n": 2}"#);
}

#[test]
fn a_damaged_file_is_an_error_and_no_panic() {
    let store = Store::new(TABLE, collection(Shape::Doc));
    store.commit("\"a\"", vec![set("n", "2")]);
    let Store { path, .. } = &store;
    let copy = path.with_extension("copy");
    store.db.execute("VACUUM INTO ?1", [copy.to_str()]).unwrap();
    let mut bytes = std::fs::read(&copy).unwrap();
    // The header and the schema stay; every other page is junk.
    bytes[4096..].fill(0x5a);
    std::fs::write(&copy, bytes).unwrap();
    let broken = SqliteAdapter::open(SqliteOptions::new(&copy, vec![collection(Shape::Doc)]));
    let error = match broken {
        Ok(broken) => wait(broken.records(&store.env, &Scope::All(None)).try_concat()).unwrap_err(),
        Err(error) => error,
    };
    assert!(error.to_string().contains("malformed"), "{error}");
}

#[test]
fn what_was_confirmed_is_there_for_whoever_opens_the_file_next() {
    let store = Store::new(TABLE, collection(Shape::Doc));
    store.commit("\"a\"", vec![set("n", "2")]);
    let Store { adapter, path, .. } = &store;
    drop(std::sync::Arc::clone(adapter));
    let other = Connection::open(path).unwrap();
    let n: i64 = other.query_row("SELECT count(*) FROM config_history", [], |row| row.get(0)).unwrap();
    assert_eq!(n, 1);
}
