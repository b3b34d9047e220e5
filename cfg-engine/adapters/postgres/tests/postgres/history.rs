//! The engine's own tables: what the database itself refuses, who may do what, how they come to be.

use cfg_engine::adapter::StorageAdapter;
use cfg_engine::config::Shape;
use cfg_engine_postgres::{PostgresAdapter, PostgresOptions};

use crate::place::{Place, connect};

const TABLE: &str =
    "CREATE TABLE t (id text PRIMARY KEY, doc jsonb NOT NULL); INSERT INTO t VALUES ('r', '{\"n\": 1}')";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_database_refuses_overlapping_validity() {
    let Some(place) = Place::with(TABLE).await else { return };
    let bench = place.open(place.table("t", Shape::Doc)).await;
    bench.import().await;
    bench.set("r", &["n=2"]).await.unwrap();
    let history = format!("{}_history.history", place.schema);
    let copy = format!(
        "INSERT INTO {history} SELECT record_no, seq + 10, valid_from, valid_to, recorded_at, superseded_at, \
         valid_from_estimated, op, oid, entry_id, prev_entry_id, op_id, author_id, author_class, message_hash, base, \
         meta, git_shas, message, doc_state, doc_native, doc FROM {history} WHERE seq = 2"
    );
    let reopen = format!("UPDATE {history} SET valid_to = '9999-12-31' WHERE seq = 1");
    for attempt in [copy, reopen] {
        let error = place.app.batch_execute(&attempt).await.expect_err("overlapping intervals");
        let error = error.as_db_error().unwrap();
        assert_eq!((error.code().code(), error.constraint()), ("23P01", Some("history_no_overlap")), "{attempt}");
    }
    // An empty interval, such as a redact entry has, overlaps nothing.
    place
        .sql(&format!(
            "BEGIN; INSERT INTO {history} (record_no, seq, valid_from, valid_to, recorded_at, superseded_at, \
             valid_from_estimated, op, entry_id, op_id, author_id, author_class, message_hash, message, doc_state) \
             SELECT record_no, 3, now(), now(), now(), now(), false, 'redact', entry_id, 'x', 'a', 'system', entry_id, '', \
             'none' FROM {history} WHERE seq = 2; SET CONSTRAINTS ALL IMMEDIATE; ROLLBACK"
        ))
        .await;
    bench.assert_clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_schema_is_shown_before_it_is_made_and_made_once() {
    let Some(place) = Place::with(TABLE).await else { return };
    let adapter = PostgresAdapter::open(place.options(vec![place.table("t", Shape::Doc)])).await.unwrap();
    let shown = adapter.pending_schema().await.unwrap();
    assert!(shown[0].starts_with("CREATE SCHEMA"), "{shown:?}");
    assert!(shown.iter().any(|sql| sql.contains("EXCLUDE USING gist")), "{shown:?}");
    let there = format!("SELECT count(*)::text FROM pg_namespace WHERE nspname = '{}_history'", place.schema);
    assert_eq!(place.one(&there).await.as_deref(), Some("0"), "showing makes nothing");
    // Four at once, of which one makes it.
    let made = futures_util::future::join_all((0..4).map(|_| adapter.ensure_schema())).await;
    let made: Vec<Vec<String>> = made.into_iter().map(Result::unwrap).collect();
    assert_eq!(made.iter().filter(|made| !made.is_empty()).count(), 1);
    assert_eq!(made.iter().flatten().collect::<Vec<_>>(), shown.iter().collect::<Vec<_>>());
    assert!(adapter.pending_schema().await.unwrap().is_empty());
    // What a person prints and runs is the same.
    place.sql(&format!("DROP SCHEMA {}_history CASCADE", place.schema)).await;
    place.sql(&shown.join(";\n")).await;
    assert!(adapter.pending_schema().await.unwrap().is_empty());
    assert!(adapter.ensure_schema().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_index_is_made_again_and_a_newer_layout_refused() {
    let Some(place) = Place::with(TABLE).await else { return };
    let bench = place.open(place.table("t", Shape::Doc)).await;
    bench.import().await;
    let schema = format!("{}_history", place.schema);
    place.sql(&format!("DROP INDEX {schema}.history_superseded")).await;
    assert_eq!(bench.adapter.pending_schema().await.unwrap().len(), 1);
    bench.adapter.ensure_schema().await.unwrap();
    bench.set("r", &["n=2"]).await.unwrap();
    place.sql(&format!("UPDATE {schema}.objects SET body = '{{\"version\": 2}}' WHERE kind = 'schema'")).await;
    let other = PostgresAdapter::open(place.options(vec![place.table("t", Shape::Doc)])).await.unwrap();
    let refused = other.ensure_schema().await.unwrap_err();
    assert!(refused.to_string().contains("newer version"), "{refused}");
}

/// The grants of docs/operations.md, word for word, suffice for every verb, and for no more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documented_grants_suffice() {
    let sql = format!("{TABLE}; CREATE TABLE other (id text)");
    let Some(place) = Place::with(&sql).await else { return };
    let bench = place.open(place.table("t", Shape::Doc)).await;
    bench.import().await;
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../docs/operations.md")).unwrap();
    let grants = page.split("```sql\n").find(|block| block.starts_with("GRANT USAGE")).unwrap();
    let grants = grants.split("```").next().unwrap();
    let role = format!("{}_role", place.schema);
    let grants = grants
        .replace("app.configs", &format!("{}.t", place.schema))
        .replace("SCHEMA app ", &format!("SCHEMA {} ", place.schema))
        .replace("SCHEMA cfg ", &format!("SCHEMA {}_history ", place.schema))
        .replace(" cfg.", &format!(" {}_history.", place.schema))
        .replace("cfg_user", &role);
    place.sql(&format!("CREATE ROLE {role} LOGIN PASSWORD 'hunter2'")).await;
    place.sql(&grants).await;
    let (_, host) = place.uri.rsplit_once('@').unwrap();
    let options = PostgresOptions {
        uri: format!("postgresql://{role}:hunter2@{host}"),
        ..place.options(vec![place.table("t", Shape::Doc)])
    };
    let as_role = place.open_with(options.clone()).await;
    as_role.set("r", &["n=2"]).await.unwrap();
    as_role.commit("s", r#"{"n": 1}"#).await.unwrap();
    place.sql("UPDATE t SET doc = '{\"n\": 5}' WHERE id = 'r'").await;
    as_role.adopt().await;
    as_role.restore("r", "@1").await.unwrap();
    as_role
        .project
        .remove(&cfg_engine::engine::Remove::new(as_role.record("s").await), &crate::place::because("gone"))
        .await
        .unwrap();
    as_role.assert_clean().await;
    let raw = connect(&options.uri).await;
    for forbidden in [
        format!("SELECT * FROM {}.other", place.schema),
        format!("DELETE FROM {}_history.history", place.schema),
        format!("TRUNCATE {}_history.history", place.schema),
        format!("DELETE FROM {}_history.heads", place.schema),
        format!("CREATE TABLE {}_history.x (id int)", place.schema),
    ] {
        let error = raw.batch_execute(&forbidden).await.expect_err(&forbidden);
        assert_eq!(error.code().map(|code| code.code()), Some("42501"), "{forbidden}");
    }
    drop((as_role, raw));
    place.sql(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
}

/// What the adapter sends: a commit of one record that was read is one message and its answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_is_one_round_trip() {
    let sql = "CREATE TABLE t (id text PRIMARY KEY, doc jsonb NOT NULL, n int4); \
               INSERT INTO t SELECT 'r' || g, '{\"n\": 0}', 0 FROM generate_series(1, 20) g; \
               CREATE TABLE rows (id text PRIMARY KEY, n int4 NOT NULL, at timestamptz, body json); \
               INSERT INTO rows SELECT 'r' || g, 0, now(), '{}' FROM generate_series(1, 20) g";
    let Some(place) = Place::with(sql).await else { return };
    for config in [place.table("t", Shape::Doc), place.table("rows", Shape::Row)] {
        let name = config.name.clone();
        let bench = place.open(config).await;
        bench.import().await;
        for n in 1..=20 {
            let before = bench.adapter.round_trips();
            let doc = bench.doc(&format!("r{n}")).await;
            let read = bench.adapter.round_trips() - before;
            let mut doc = doc;
            doc.as_object_mut().unwrap().insert("n", n);
            let record = bench.record(&format!("r{n}")).await;
            let before = bench.adapter.round_trips();
            let commit = cfg_engine::engine::Commit::new(record, doc);
            bench.project.commit(&commit, &crate::place::because("one")).await.unwrap();
            let committed = bench.adapter.round_trips() - before;
            // The second time a statement comes it is prepared, once for each connection.
            if n > 4 {
                assert_eq!((read, committed), (1, 2), "{name}: the read of the plan and the write");
            }
        }
    }
}
