//! A schema of its own on the server of the tests, and a project on it.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cfg_engine::Value;
use cfg_engine::config::{CollectionConfig, Settings, Shape};
use cfg_engine::engine::{Adopt, Commit, CommitItem, Import, Options, Project, Restore, Staged, State};
use cfg_engine::history::{Author, AuthorClass, CollectionName, EnvName, RecordKey, Reference};
use cfg_engine::plan::Content;
use cfg_engine_postgres::{PostgresAdapter, PostgresOptions};
use tokio_postgres::{Client, NoTls};

/// Returns the server's URI, or says loudly that there is none.
pub(crate) fn server() -> Option<String> {
    let uri = std::env::var("CFG_TEST_POSTGRES_URI").ok().filter(|uri| !uri.is_empty());
    if uri.is_none() {
        let command = "eval \"$(tests/servers/postgres up)\"";
        assert!(std::env::var("CI").as_deref() != Ok("true"), "PostgreSQL must be tested here: {command}");
        // Past the test runner, which shows what is printed only where a test fails.
        let line = format!("postgres: SKIPPED LOUDLY, no server; type: {command}\n");
        std::io::stderr().write_all(line.as_bytes()).unwrap();
    }
    uri
}

/// Connects as an application does.
pub(crate) async fn connect(uri: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(uri, NoTls).await.expect("the server of the tests");
    tokio::spawn(async move {
        let _ = connection.await;
    });
    client
}

/// A schema, an application that writes to it around the tool, and how the tool is opened on it.
pub(crate) struct Place {
    pub(crate) uri: String,
    pub(crate) schema: String,
    pub(crate) app: Client,
}

impl Place {
    /// Makes the schema and runs the application's statements in it. `None` where there is no server.
    pub(crate) async fn with(sql: &str) -> Option<Place> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let uri = server()?;
        let schema = format!("p{}_{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed));
        let app = connect(&uri).await;
        let prepare =
            format!("DROP SCHEMA IF EXISTS {schema} CASCADE; CREATE SCHEMA {schema}; SET search_path = {schema}");
        app.batch_execute(&prepare).await.unwrap();
        app.batch_execute(sql).await.unwrap();
        Some(Place { uri, schema, app })
    }

    /// Describes a collection on a table of this schema, with an id column `id`.
    pub(crate) fn table(&self, name: &str, shape: Shape) -> CollectionConfig {
        let mut config = CollectionConfig::new(CollectionName::new(name).unwrap(), "id");
        config.table = format!("{}.{name}", self.schema);
        config.shape = shape;
        config
    }

    pub(crate) fn options(&self, collections: Vec<CollectionConfig>) -> PostgresOptions {
        PostgresOptions {
            schema: format!("{}_history", self.schema),
            max_connections: 12,
            ..PostgresOptions::new(self.uri.as_str(), collections)
        }
    }

    /// Opens the tool, history prepared.
    pub(crate) async fn open(&self, config: CollectionConfig) -> Bench {
        self.open_with(self.options(vec![config])).await
    }

    pub(crate) async fn open_with(&self, options: PostgresOptions) -> Bench {
        let adapter = Arc::new(PostgresAdapter::open(options).await.unwrap());
        let project = Project::new(adapter.clone(), settings());
        project.init(false).await.unwrap();
        Bench { adapter, project }
    }

    pub(crate) async fn sql(&self, sql: &str) {
        self.app.batch_execute(sql).await.unwrap();
    }

    /// Returns the texts of a query's one row.
    pub(crate) async fn row(&self, sql: &str) -> Vec<Option<String>> {
        let rows = self.app.query_typed(sql, &[]).await.unwrap();
        assert_eq!(rows.len(), 1, "{sql}");
        (0..rows[0].len()).map(|n| rows[0].get(n)).collect()
    }

    pub(crate) async fn one(&self, sql: &str) -> Option<String> {
        self.row(sql).await.remove(0)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let sql = format!(
            "SET lock_timeout = '3s'; DROP SCHEMA IF EXISTS {0}_history CASCADE; DROP SCHEMA IF EXISTS {0} CASCADE",
            self.schema
        );
        let uri = self.uri.clone();
        let drop_it = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            // Where a test failed with a lock held, the schema stays.
            let _ = runtime.block_on(async { connect(&uri).await.batch_execute(&sql).await });
        };
        let _ = std::thread::spawn(drop_it).join();
    }
}

pub(crate) fn settings() -> Settings {
    let author = Author { id: "a@example.com".to_owned(), class: AuthorClass::Pipeline };
    Settings::new(EnvName::new("dev").unwrap(), author)
}

pub(crate) fn json(text: &str) -> Value {
    Value::from_interchange(text).unwrap()
}

pub(crate) fn because(message: &str) -> Options {
    Options::message(message)
}

/// A project, and the adapter under it.
pub(crate) struct Bench {
    pub(crate) adapter: Arc<PostgresAdapter>,
    pub(crate) project: Project,
}

impl Bench {
    pub(crate) async fn record(&self, address: &str) -> RecordKey {
        self.project.record(address).await.unwrap()
    }

    pub(crate) async fn import(&self) {
        self.project.import(&Import::default(), &because("baseline"), None).await.unwrap();
    }

    pub(crate) async fn adopt(&self) {
        self.project.adopt(&Adopt::All, &because("folded in"), None).await.unwrap();
    }

    pub(crate) async fn set(&self, address: &str, words: &[&str]) -> Result<(), cfg_engine::Error> {
        let content = Content::Assignments(cfg_engine::document::parse_assignments(words, false).unwrap());
        let item = CommitItem { record: self.record(address).await, content, base: None };
        self.project.commit(&Commit::of(vec![item]), &because("set")).await.map(drop)
    }

    pub(crate) async fn commit(&self, address: &str, doc: &str) -> Result<(), cfg_engine::Error> {
        let commit = Commit::new(self.record(address).await, json(doc));
        self.project.commit(&commit, &because("commit")).await.map(drop)
    }

    pub(crate) async fn restore(&self, address: &str, reference: &str) -> Result<(), cfg_engine::Error> {
        let restore = Restore::new(self.record(address).await, Reference::parse(reference).unwrap());
        self.project.restore(&restore, &because("back")).await.map(drop)
    }

    pub(crate) async fn doc(&self, address: &str) -> Value {
        self.project.get(&self.record(address).await).await.unwrap().doc
    }

    pub(crate) async fn field(&self, address: &str, field: &str) -> String {
        self.doc(address).await.get(field).cloned().unwrap_or_default().to_interchange()
    }

    pub(crate) async fn assert_clean(&self) {
        let status = self.project.status(None, true, &Staged::new(), None).await.unwrap();
        for row in &status.rows {
            assert!(matches!(row.state, State::Clean | State::Removed), "{:?} is {:?}", row.record, row.state);
        }
        assert_eq!(self.project.fsck(None).await.unwrap().findings, []);
    }
}
