//! Bad input and bad places: each a clear error of the right kind, nothing half-written, nothing told.

use cfg_engine::adapter::{AdapterError, Digested, StorageAdapter};
use cfg_engine::config::{CollectionConfig, LiveRule, Shape};
use cfg_engine::engine::{Commit, CommitItem, Project};
use cfg_engine::history::{CollectionName, RecordKey};
use cfg_engine::plan::Content;
use cfg_engine::{Error, ErrorKind};
use cfg_engine_postgres::{PostgresAdapter, PostgresOptions};

use futures_util::TryStreamExt as _;

use crate::place::{Place, because, json, settings};

const TABLE: &str = "CREATE TABLE t (id text PRIMARY KEY, doc jsonb NOT NULL, n int4); \
                     INSERT INTO t VALUES ('r', '{\"n\": 1}', 1), ('s', '{\"n\": 1}', 1)";

async fn checked(place: &Place, config: CollectionConfig) -> Result<Vec<String>, AdapterError> {
    let name = config.name.clone();
    let adapter = PostgresAdapter::open(place.options(vec![config])).await.unwrap();
    adapter.check_collection(&name).await
}

fn setup(outcome: Result<Vec<String>, AdapterError>) -> String {
    match outcome {
        Err(error @ AdapterError::Setup { .. }) => {
            assert_eq!(Error::from(error.clone()).kind(), ErrorKind::BadConfig, "{error}");
            error.to_string()
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_that_do_not_fit_are_named() {
    let sql = format!(
        "{TABLE}; CREATE VIEW v AS SELECT * FROM t; CREATE TABLE odd (id text, c regclass); \
         CREATE TABLE trees (id text, c pg_node_tree); CREATE TABLE dated (id date, n int4); CREATE TABLE bare (id text, doc text)"
    );
    let Some(place) = Place::with(&sql).await else { return };
    let table = |name: &str, shape| place.table(name, shape);
    let said = setup(checked(&place, table("absent", Shape::Row)).await);
    assert!(said.contains("there is no table"), "{said}");
    let mut config = table("t", Shape::Row);
    config.id_fields = vec!["ID".to_owned()];
    let said = setup(checked(&place, config).await);
    assert!(said.contains("no column ID"), "{said}");
    let mut config = table("t", Shape::Doc);
    config.doc_column = "document".to_owned();
    let said = setup(checked(&place, config).await);
    assert!(said.contains("no column document"), "{said}");
    let mut config = table("t", Shape::Row);
    config.live_when = LiveRule::from_object(json(r#"{"active": true}"#).as_object().unwrap()).unwrap();
    let said = setup(checked(&place, config).await);
    assert!(said.contains("live_when") && said.contains("active"), "{said}");
    let mut config = table("t", Shape::Row);
    config.live_when = LiveRule::from_object(json(r#"{"doc": "x"}"#).as_object().unwrap()).unwrap();
    assert!(setup(checked(&place, config).await).contains("doc"));
    for (name, shape, words) in [
        ("v", Shape::Row, "a view"),
        ("odd", Shape::Row, "regclass"),
        ("trees", Shape::Row, "pg_node_tree"),
        ("dated", Shape::Row, "cannot name a record"),
        ("bare", Shape::Doc, "json or jsonb"),
    ] {
        let said = setup(checked(&place, table(name, shape)).await);
        assert!(said.contains(words), "{name}: {said}");
    }
    // One bad collection keeps nobody from the others.
    let adapter = PostgresAdapter::open(place.options(vec![table("odd", Shape::Row), table("t", Shape::Doc)])).await;
    let adapter = std::sync::Arc::new(adapter.unwrap());
    let project = Project::new(adapter, settings());
    let id = cfg_engine::history::IdKey::from_value(&"r".into()).unwrap();
    let collection = CollectionName::new("t").unwrap();
    let record = RecordKey { env: settings().env, collection, id };
    assert!(project.get(&record).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn advice_is_given_and_is_no_error() {
    let sql = "CREATE TABLE t (id text, n int4); INSERT INTO t VALUES (NULL, 1), ('a', 2), (repeat('x', 1100), 3)";
    let Some(place) = Place::with(sql).await else { return };
    let advice = checked(&place, place.table("t", Shape::Row)).await.unwrap();
    assert_eq!(advice.len(), 1, "{advice:?}");
    place.sql(advice[0].rsplit_once(": ").unwrap().1).await;
    assert_eq!(checked(&place, place.table("t", Shape::Row)).await.unwrap(), Vec::<String>::new());
    // Rows that no verb can address are counted, and found with the statement that is given.
    let bench = place.open(place.table("t", Shape::Row)).await;
    let scope = cfg_engine::adapter::Scope::All(None);
    let env = settings().env;
    let passed: Vec<Digested> = bench.adapter.digests(&env, &scope).try_concat().await.unwrap();
    let [Digested::Record(_), Digested::Strays(strays)] = passed.as_slice() else { panic!("{passed:?}") };
    assert_eq!((strays.rows, strays.reason.as_str()), (2, "1 NULL, 1 longer than an id may be"));
    let found = place.app.query_typed(strays.hint.rsplit_once(": ").unwrap().1, &[]).await.unwrap();
    assert_eq!(found.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_may_only_read_is_told_what_is_missing() {
    let Some(place) = Place::with(TABLE).await else { return };
    let bench = place.open(place.table("t", Shape::Doc)).await;
    bench.import().await;
    let role = format!("{}_reader", place.schema);
    place
        .sql(&format!(
            "CREATE ROLE {role} LOGIN PASSWORD 'hunter2'; GRANT USAGE ON SCHEMA {0}, {0}_history TO {role}; \
             GRANT SELECT ON ALL TABLES IN SCHEMA {0}, {0}_history TO {role}",
            place.schema
        ))
        .await;
    let (_, host) = place.uri.rsplit_once('@').unwrap();
    let options = PostgresOptions {
        uri: format!("postgresql://{role}:hunter2@{host}"),
        ..place.options(vec![place.table("t", Shape::Doc)])
    };
    let reader = place.open_with(options.clone()).await;
    assert_eq!(reader.field("r", "n").await, "1", "reading works");
    let refused = reader.set("r", &["n=2"]).await.unwrap_err();
    assert!(refused.to_string().contains("permission"), "{refused}");
    assert!(refused.hint().unwrap_or_default().contains("grant"), "{}", refused.hint().unwrap_or_default());
    assert!(!format!("{refused:?}").contains("hunter2"));
    bench.assert_clean().await;
    let mut read_only = place.options(vec![place.table("t", Shape::Doc)]);
    read_only.uri = format!("{}?options=-c%20default_transaction_read_only%3Don", read_only.uri);
    let standby = place.open_with(read_only).await;
    let refused = standby.set("r", &["n=2"]).await.unwrap_err();
    assert!(refused.to_string().contains("no writes"), "{refused}");
    bench.assert_clean().await;
    drop(reader);
    place.sql(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_of_the_table_names_the_record_and_no_value() {
    let sql = "CREATE TABLE t (id text PRIMARY KEY, n int4 CHECK (n < 100), u text UNIQUE, k int4 NOT NULL DEFAULT 0, \
               f text REFERENCES t DEFERRABLE INITIALLY DEFERRED); \
               INSERT INTO t VALUES ('a', 1, 'ua'), ('b', 1, 'ub'), ('c', 1, 'uc')";
    let Some(place) = Place::with(sql).await else { return };
    let bench = place.open(place.table("t", Shape::Row)).await;
    bench.import().await;
    for (word, constraint) in
        [("n=777123", "t_n_check"), ("u=ub", "t_u_key"), ("k:=null", "k"), ("f=hunter2", "t_f_fkey")]
    {
        let refused = bench.set("a", &[word]).await.unwrap_err();
        let said = format!("{refused} {refused:?} {}", refused.hint().unwrap_or_default());
        assert!(said.contains(constraint), "{word}: {said}");
        assert!(!said.contains("777123") && !said.contains("hunter2"), "{word}: {said}");
        assert_eq!(refused.kind(), ErrorKind::Refused, "{said}");
    }
    // Of several records in one batch, the one that is refused is named.
    let item = |id: &'static str, word: &'static str| async {
        let content = Content::Assignments(cfg_engine::document::parse_assignments(&[word], false).unwrap());
        CommitItem { record: bench.record(id).await, content, base: None }
    };
    let items = vec![item("a", "n=2").await, item("b", "n=500").await, item("c", "n=3").await];
    let refused = bench.project.commit(&Commit::of(items), &because("three")).await.unwrap_err();
    assert_eq!(refused.record().map(|record| record.id.to_string()).as_deref(), Some("b"), "{refused}");
    assert_eq!(place.one("SELECT sum(n)::text FROM t").await.as_deref(), Some("3"), "nothing was written");
    bench.assert_clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unprepared_database_says_so() {
    let Some(place) = Place::with(TABLE).await else { return };
    let adapter = PostgresAdapter::open(place.options(vec![place.table("t", Shape::Doc)])).await.unwrap();
    let adapter = std::sync::Arc::new(adapter);
    let project = Project::new(adapter.clone(), settings());
    let record = project.record("r").await.unwrap();
    assert!(project.get(&record).await.is_ok(), "live can be read");
    let refused = project.commit(&Commit::new(record, json(r#"{"n": 2}"#)), &because("x")).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::BadConfig, "{refused}");
    assert!(refused.hint().unwrap_or_default().contains("cfg init"), "{}", refused.hint().unwrap_or_default());
    // Somebody else prepares it: the open adapter sees it.
    let other = place.open(place.table("t", Shape::Doc)).await;
    other.import().await;
    let record = project.record("r").await.unwrap();
    project.commit(&Commit::new(record, json(r#"{"n": 2}"#)), &because("x")).await.unwrap();
    other.assert_clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn places_that_cannot_be_reached_are_named_without_credentials() {
    let Some(place) = Place::with(TABLE).await else { return };
    let (_, host) = place.uri.rsplit_once('@').unwrap();
    let (address, _) = host.split_once('/').unwrap();
    for (uri, words) in [
        ("postgresql://me:hunter2@127.0.0.1:1/x".to_owned(), "127.0.0.1:1"),
        (format!("postgresql://hunter:hunter2@{host}"), "user or the password"),
        (place.uri.replace(&format!("@{host}"), &format!("@{address}/hunter2")), "no database of that name"),
        (format!("{}?sslmode=require", place.uri), "TLS"),
        ("postgresql://me:hunter2@h:p/x".to_owned(), "cannot be used"),
    ] {
        let options = PostgresOptions::new(uri.as_str(), Vec::new());
        let Err(error) = PostgresAdapter::open(options).await else { panic!("{words}") };
        let said = format!("{error} {error:?}");
        assert!(said.contains(words), "{words}: {said}");
        assert!(!said.contains("hunter2"), "{said}");
        let kind = Error::from(error).kind();
        assert!(matches!(kind, ErrorKind::Storage | ErrorKind::BadConfig), "{words}: {kind:?}");
    }
}
