//! Every store that the tests of the verbs run on, and a project on it.

use std::sync::Arc;

use cfg_engine::adapter::StorageAdapter;
use cfg_engine::config::{Settings, Shape};
use cfg_engine::document::{Dialect, parse_assignments};
use cfg_engine::engine::{Adopt, Commit, CommitItem, Import, Log, Options, Project, Report, Restore, Staged, State};
use cfg_engine::history::{Author, AuthorClass, Entry, EnvName, RecordKey, Reference};
use cfg_engine::plan::Content;
use cfg_engine::{Error, Value};
use cfg_engine_conformance::{Harness, MemoryHarness, Space, Table, is_there, object, value};

use crate::interposed::Interposed;
use crate::mongodb::MongoHarness;
use crate::postgres::PostgresHarness;
use crate::sqlite::SqliteHarness;

/// Returns a harness for each store in each shape, servers that do not run left out, loudly.
pub(crate) fn harnesses() -> Vec<Arc<dyn Harness>> {
    let (row, doc) = (Shape::Row, Shape::Doc);
    let all: Vec<Arc<dyn Harness>> = vec![
        Arc::new(MemoryHarness::new(row)),
        Arc::new(MemoryHarness::new(doc)),
        Arc::new(SqliteHarness::new(row)),
        Arc::new(SqliteHarness::new(doc)),
        Arc::new(MongoHarness::new()),
        Arc::new(PostgresHarness::row()),
        Arc::new(PostgresHarness::jsonb()),
    ];
    all.into_iter().filter(|harness| is_there(&**harness)).collect()
}

/// Returns the settings of the env that the tests write.
pub(crate) fn settings() -> Settings {
    let author = Author { id: "a@example.com".to_owned(), class: AuthorClass::Pipeline };
    Settings::new(EnvName::new("dev").unwrap(), author)
}

pub(crate) fn because(message: &str) -> Options {
    Options::message(message)
}

/// A project on a store of its own, and the ways around it.
#[derive(Clone)]
pub(crate) struct Bed {
    pub(crate) project: Project,
    pub(crate) space: Arc<Space>,
    /// Between the engine and the store: what happens there can be arranged and counted.
    pub(crate) between: Arc<Interposed>,
    pub(crate) harness: Arc<dyn Harness>,
}

impl Bed {
    pub(crate) async fn open(harness: Arc<dyn Harness>, tables: Vec<Table>) -> Bed {
        let space = Arc::new(Space::with(&harness, tables).await);
        let between = Arc::new(Interposed::new(Arc::clone(&space.store)));
        let adapter: Arc<dyn StorageAdapter> = Arc::clone(&between) as Arc<dyn StorageAdapter>;
        let project = Project::new(adapter, settings());
        project.init(false).await.unwrap();
        Bed { project, space, between, harness }
    }

    /// Opens one on each store, with one table in which every row is live.
    pub(crate) async fn each() -> Vec<Bed> {
        Self::each_with(|| vec![Table::new("agents")]).await
    }

    pub(crate) async fn each_with(tables: impl Fn() -> Vec<Table>) -> Vec<Bed> {
        let mut beds = Vec::new();
        for harness in harnesses() {
            beds.push(Bed::open(harness, tables()).await);
        }
        beds
    }

    /// Opens the same store as somebody else would, whose calls pass nobody in between.
    pub(crate) fn colleague(&self) -> Project {
        Project::new(Arc::clone(&self.space.store), settings())
    }

    pub(crate) fn name(&self) -> &str {
        self.harness.name()
    }

    pub(crate) fn id(&self, id: &str) -> RecordKey {
        self.space.record(id)
    }

    /// Writes a row around the tool.
    pub(crate) async fn put(&self, id: &str, fields: &str) -> RecordKey {
        self.space.raw_insert(id, fields).await
    }

    pub(crate) async fn raw_set(&self, id: &str, fields: &str) {
        self.space.raw_set(&self.id(id), fields).await;
    }

    /// Returns a field of live, read around the tool, as JSON text has it: a number without the width that
    /// the store gave it.
    pub(crate) async fn live(&self, id: &str, field: &str) -> Value {
        let found = self.space.raw_field(&self.id(id), field).await;
        Value::from_interchange(&found.to_text(Dialect::Relaxed, None)).unwrap()
    }

    pub(crate) async fn import(&self) -> Report {
        self.project.import(&Import::default(), &because("baseline"), None).await.unwrap()
    }

    pub(crate) async fn adopt(&self) -> Report {
        self.project.adopt(&Adopt::All, &because("folded in"), None).await.unwrap()
    }

    pub(crate) async fn commit(&self, id: &str, doc: &str) -> Result<Report, Error> {
        self.project.commit(&Commit::new(self.id(id), value(doc)), &because("a commit")).await
    }

    pub(crate) async fn set(&self, id: &str, words: &[&str]) -> Result<Report, Error> {
        self.project.commit(&self.setting(id, words), &because("a set")).await
    }

    pub(crate) fn setting(&self, id: &str, words: &[&str]) -> Commit {
        let content = Content::Assignments(parse_assignments(words, false).unwrap());
        Commit::of(vec![CommitItem { record: self.id(id), content, base: None }])
    }

    pub(crate) async fn restore(&self, id: &str, reference: &str) -> Result<Report, Error> {
        let reference = Reference::parse(reference).unwrap();
        self.project.restore(&Restore::new(self.id(id), reference), &because("back")).await
    }

    /// Returns the entries of a record, oldest first, with their documents.
    pub(crate) async fn entries(&self, id: &str) -> Vec<Entry> {
        let log = Log { record: Some(self.id(id)), with_doc: true, ..Log::default() };
        let mut entries = self.project.log(&log).await.unwrap();
        entries.reverse();
        entries
    }

    pub(crate) async fn ops(&self, id: &str) -> Vec<&'static str> {
        self.entries(id).await.iter().map(|entry| entry.header.op.as_str()).collect()
    }

    pub(crate) async fn state(&self, id: &str) -> State {
        self.project.status_of(&[self.id(id)], &Staged::new()).await.unwrap().rows[0].state
    }

    /// Checks that everything recomputes to what is stored.
    pub(crate) async fn assert_sound(&self) {
        assert_eq!(self.project.fsck(None).await.unwrap().findings, [], "{}", self.name());
    }
}

/// Returns an object from JSON, for raw writes.
pub(crate) fn fields(json: &str) -> cfg_engine::document::Object {
    object(json)
}
