//! What can only be seen from inside: how many statements run, and how SQLite runs them.

use cfg_engine::adapter::{
    AdapterError, AsOf, EntryQuery, ExpectedVersion, ObjectKey, ObjectWrite, RecordState, Scope,
};
use cfg_engine::config::{CollectionConfig, LiveRule, Shape};
use cfg_engine::history::{CollectionName, EnvName, IdKey, RecordKey, Timestamp};
use cfg_engine::{Value, document::Object};
use rusqlite::{Connection, StatementStatus};
use tempfile::TempDir;

use crate::apply::Statements;
use crate::connection::{Conn, Purpose, Shared};
use crate::options::SqliteOptions;
use crate::prepare::{Prepared, PreparedObject};
use crate::readers::{Readers, Sink};
use crate::writer::OwnConn;
use crate::{as_of, entries, read, schema, writer};

struct Opened {
    conn: Conn,
    env: EnvName,
    _directory: TempDir,
}

fn config(shape: Shape) -> CollectionConfig {
    let mut config = CollectionConfig::new(CollectionName::new("agents").unwrap(), "id");
    config.shape = shape;
    let rule: Object = [("active".to_owned(), Value::Bool(true))].into_iter().collect();
    config.live_when = LiveRule::from_object(&rule).unwrap();
    config
}

/// Opens a file with the engine's tables and `rows` rows, every tenth of them not live.
#[expect(clippy::disallowed_methods, reason = "the zero of the connection's monotonic time")]
fn open(rows: usize, shape: Shape) -> Opened {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.db");
    let mut db = Connection::open(&path).unwrap();
    db.execute_batch("CREATE TABLE agents (id TEXT PRIMARY KEY, active BOOLEAN, doc JSON)").unwrap();
    let filling = db.transaction().unwrap();
    for n in 0..rows {
        let row = rusqlite::params![format!("a{n}"), n % 10 != 0, format!("{{\"n\": {n}}}")];
        filling.execute("INSERT INTO agents VALUES (?1, ?2, ?3)", row).unwrap();
    }
    filling.commit().unwrap();
    let shared = Shared::new(SqliteOptions::new(&path, vec![config(shape)]), std::time::Instant::now());
    schema::ensure(&Conn::open(&shared, Purpose::Write).unwrap()).unwrap();
    let conn = Conn::open(&shared, Purpose::Read).unwrap();
    Opened { conn, env: EnvName::new("dev").unwrap(), _directory: directory }
}

impl Opened {
    fn record(&self, n: usize) -> RecordKey {
        let collection = CollectionName::new("agents").unwrap();
        RecordKey { env: self.env.clone(), collection, id: IdKey::from_value(&format!("a{n}").into()).unwrap() }
    }

    fn records(&self, scope: &Scope) -> Vec<RecordState> {
        let (mut sink, mut receiver) = Sink::collecting();
        read::records(&self.conn, &self.env, scope, &mut sink).unwrap();
        sink.finish();
        let scanned = Sink::collected(&mut receiver).into_iter();
        let state = |scanned| match scanned {
            read::Scanned::Record(state) => Some(crate::live::finish(state)),
            read::Scanned::Strays(_) => None,
        };
        scanned.filter_map(state).collect()
    }
}

#[test]
fn statements_do_not_grow_with_records() {
    for shape in [Shape::Doc, Shape::Row] {
        let opened = open(3000, shape);
        let asked = Scope::Records((0..3000).rev().map(|n| opened.record(n)).collect());
        for (scope, states) in [(asked, 3000), (Scope::All(None), 2700)] {
            let before = opened.conn.statements();
            assert_eq!(opened.records(&scope).len(), states);
            let run = opened.conn.statements() - before;
            // Version and clock; then ids, heads and documents of each run of 500.
            assert!(run <= 2 + 3 * 6, "{run} statements for {scope:?}");
        }
    }
}

#[test]
fn results_come_by_record_key() {
    let opened = open(200, Shape::Doc);
    for scope in [Scope::All(None), Scope::Records((0..200).map(|n| opened.record(n)).collect())] {
        let found = opened.records(&scope);
        assert!(found.windows(2).all(|pair| pair[0].record < pair[1].record));
    }
}

#[test]
fn a_record_is_found_by_the_index_on_its_id() {
    let opened = open(10, Shape::Doc);
    let catalog = opened.conn.catalog().unwrap();
    let table = catalog.table(&CollectionName::new("agents").unwrap()).unwrap();
    for sql in [&table.sql.one, &table.sql.locate] {
        let plan = plan(&opened.conn.db, sql);
        assert!(plan.contains("SEARCH t USING INDEX sqlite_autoindex_agents_1 (id=?)"), "{plan}");
    }
    let plan = plan(&opened.conn.db, &table.sql.fetch);
    assert!(plan.contains("SEARCH t USING INTEGER PRIMARY KEY"), "{plan}");
}

fn plan(db: &Connection, sql: &str) -> String {
    let mut statement = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    for n in 1..=statement.parameter_count() {
        statement.raw_bind_parameter(n, "[]").unwrap();
    }
    let mut rows = statement.raw_query();
    let mut plan = String::new();
    while let Some(row) = rows.next().unwrap() {
        plan.push_str(&row.get::<_, String>(3).unwrap());
        plan.push('\n');
    }
    plan
}

#[test]
fn history_is_read_through_its_indexes() {
    let opened = open(0, Shape::Doc);
    let all = Scope::All(Some(CollectionName::new("agents").unwrap()));
    let some = Scope::Records(vec![opened.record(1)]);
    let at = Timestamp::from_millis(5);
    for scope in [&all, &some] {
        for at in [AsOf::Valid(at), AsOf::Recorded(at), AsOf::Both { recorded: at, valid: at }] {
            let pick = as_of::pick(&opened.conn, &opened.env, scope, at).unwrap();
            let plan = plan(&opened.conn.db, &pick.sql);
            // Reading all records of an env is meant where all are asked for; entries never.
            assert!(!plan.contains("SCAN h") && !plan.contains("SCAN g") && !plan.contains("SCAN o"), "{at:?}: {plan}");
        }
        let query = EntryQuery::new(opened.env.clone(), scope.clone());
        let plan_of_all = plan(&opened.conn.db, &entries::pick(&opened.conn, &query).sql);
        assert!(!plan_of_all.contains("SCAN h"), "{plan_of_all}");
        let newest = EntryQuery { across: true, limit: Some(20), ..query };
        let plan_of_newest = plan(&opened.conn.db, &entries::pick(&opened.conn, &newest).sql);
        assert!(plan_of_newest.contains("config_history_"), "{plan_of_newest}");
    }
}

/// A statement that SQLite compiles anew for each record costs more than the write it does.
#[test]
fn no_statement_is_compiled_for_each_record() {
    let opened = open(10, Shape::Doc);
    let writer = Conn::open(&opened.conn.shared, Purpose::Write).unwrap();
    let statements = Statements::new(&opened.conn.shared.names);
    let catalog = opened.conn.catalog().unwrap();
    let table = catalog.table(&CollectionName::new("agents").unwrap()).unwrap();
    let live = [table.sql.one.clone(), table.sql.delete.clone()];
    for sql in statements.per_record().into_iter().chain(live.iter().map(String::as_str)) {
        let mut statement = writer.db.prepare(sql).unwrap();
        for round in 0..3_i64 {
            for n in 1..=statement.parameter_count() {
                statement.raw_bind_parameter(n, round * 100 + n as i64).unwrap();
            }
            let mut rows = statement.raw_query();
            while rows.next().unwrap().is_some() {}
        }
        assert_eq!(statement.get_status(StatementStatus::RePrepare), 0, "{sql}");
    }
}

fn object(conn: &Conn, name: &str, body: String) -> Prepared {
    let key = ObjectKey { kind: "tag".to_owned(), name: name.to_owned() };
    let write = ObjectWrite { key, expected: ExpectedVersion::Absent, body: None };
    Prepared {
        op_id: "op".to_owned(),
        recorded_at: conn.clock().unwrap().store.as_millis(),
        changes: Vec::new(),
        objects: vec![PreparedObject { write, body: Some(body) }],
        guards: Vec::new(),
    }
}

/// A file that may not grow stands for a disk that is full.
#[test]
fn a_full_disk_writes_nothing_and_says_so() {
    let opened = open(10, Shape::Doc);
    let conn = Conn::open(&opened.conn.shared, Purpose::Write).unwrap();
    let pages: i64 = conn.db.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
    conn.db.execute_batch(&format!("PRAGMA max_page_count = {pages}")).unwrap();
    match writer::alone(&conn, &object(&conn, "large", "x".repeat(100_000))) {
        Err(AdapterError::Storage { reason, .. }) => assert!(reason.contains("full"), "{reason}"),
        other => panic!("{other:?}"),
    }
    assert!(conn.db.is_autocommit());
    writer::alone(&conn, &object(&conn, "small", "{}".to_owned())).unwrap();
    let names: String = conn.db.query_row("SELECT group_concat(name) FROM cfg_objects", [], |row| row.get(0)).unwrap();
    assert_eq!(names, "sqlite,small");
}

#[test]
fn a_panic_in_a_worker_is_an_error_of_its_read_alone() {
    let opened = open(10, Shape::Doc);
    let readers = Readers::new(std::sync::Arc::clone(&opened.conn.shared), opened.conn, OwnConn::default());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let outcome = runtime.block_on(readers.ask(|_| -> Result<(), AdapterError> { panic!("a bug") }));
    assert!(matches!(outcome, Err(AdapterError::Storage { .. })), "{outcome:?}");
    assert!(runtime.block_on(readers.ask(Conn::clock)).is_ok());
    let outcome = writer::guarded(|| -> Result<(), AdapterError> { panic!("a bug") });
    assert!(matches!(outcome, Err(AdapterError::Storage { .. })), "{outcome:?}");
}

#[test]
fn a_dropped_adapter_leaves_no_thread_and_no_connection() {
    let opened = open(3, Shape::Doc);
    let shared = std::sync::Arc::clone(&opened.conn.shared);
    let first = Conn::open(&shared, Purpose::Read).unwrap();
    let readers = Readers::new(std::sync::Arc::clone(&shared), first, OwnConn::default());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for _ in 0..3 {
        let reads = (0..6).map(|_| readers.ask(|conn| conn.clock()));
        let readings = runtime.block_on(futures_util::future::join_all(reads));
        assert!(readings.iter().all(Result::is_ok));
    }
    let held = std::sync::Arc::downgrade(&shared);
    drop((readers, opened, shared));
    // Threads that waited for the next read end when nobody can ask them any more.
    for _ in 0..1000 {
        if held.strong_count() == 0 {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("{} threads or connections outlive the adapter", held.strong_count());
}
