//! A project on a database of its own, and the application beside it.

use std::sync::Arc;

use bson::{Document, doc};
use cfg_engine::Value;
use cfg_engine::adapter::StorageAdapter;
use cfg_engine::config::CollectionConfig;
use cfg_engine::document::FieldPolicy;
use cfg_engine::engine::{Adopt, Commit, Import, Log, Project, Report, Restore, Staged, State};
use cfg_engine::history::{CollectionName, Entry, IdKey, RecordKey, Reference};
use cfg_engine::{Error, document::parse_assignments};
use cfg_engine_conformance::{Harness, Table, is_there};
use mongodb::Collection;

use super::bson_values::from_bson;
use super::harness::{MongoHarness, MongoNamespace, open};
use crate::stores::{because, settings};

/// A project, its store, and ways around it.
pub(crate) struct MongoBed {
    pub(crate) project: Project,
    pub(crate) space: MongoNamespace,
    pub(crate) config: CollectionConfig,
}

impl MongoBed {
    /// Opens one with the collection `agents`, ids in `id_field`, and `hits` and `seen` ignored. `None`, loudly,
    /// where there is no server.
    pub(crate) async fn open(id_field: &str) -> Option<MongoBed> {
        Self::open_on(super::harness::URI, id_field).await
    }

    /// As [`open`](Self::open), on the server that another variable names.
    pub(crate) async fn open_on(variable: &'static str, id_field: &str) -> Option<MongoBed> {
        let harness = MongoHarness::on(variable);
        if !is_there(&harness as &dyn Harness) {
            return None;
        }
        let mut table = Table::new("agents");
        table.config = CollectionConfig::new(CollectionName::new("agents").unwrap(), id_field);
        table.config.policy = FieldPolicy::builder().ignore_field("hits").ignore_field("seen").build();
        let space = harness.namespace(&[table.clone()]).await;
        let bed = MongoBed::on(space, table.config).await;
        bed.project.init(false).await.unwrap();
        Some(bed)
    }

    pub(crate) async fn on(space: MongoNamespace, config: CollectionConfig) -> MongoBed {
        let adapter = Arc::clone(&space.adapter) as Arc<dyn StorageAdapter>;
        MongoBed { project: Project::new(adapter, settings()), space, config }
    }

    /// Opens the same database as another program would.
    pub(crate) async fn colleague(&self) -> Project {
        Project::new(self.adapter().await, settings())
    }

    pub(crate) async fn adapter(&self) -> Arc<dyn StorageAdapter> {
        Arc::new(open(&self.space.uri, self.space.application.name(), vec![self.config.clone()]).await)
    }

    /// The collection as the application has it.
    pub(crate) fn live(&self) -> Collection<Document> {
        self.space.live(&self.config)
    }

    pub(crate) fn record(&self, id: &Value) -> RecordKey {
        RecordKey { env: settings().env, collection: self.config.name.clone(), id: IdKey::from_value(id).unwrap() }
    }

    pub(crate) fn id(&self, id: impl Into<bson::Bson>) -> RecordKey {
        self.record(&from_bson(id.into()))
    }

    pub(crate) async fn put(&self, row: Document) {
        self.live().insert_one(row).await.unwrap();
    }

    /// Sets fields as the application does.
    pub(crate) async fn raw_set(&self, filter: Document, set: Document) {
        let done = self.live().update_one(filter, doc! { "$set": set }).await.unwrap();
        assert_eq!(done.matched_count, 1);
    }

    pub(crate) async fn state(&self, record: &RecordKey) -> State {
        self.project.status_of(std::slice::from_ref(record), &Staged::new()).await.unwrap().rows[0].state
    }

    pub(crate) async fn import(&self) -> Report {
        self.project.import(&Import::default(), &because("baseline"), None).await.unwrap()
    }

    pub(crate) async fn adopt(&self) -> Report {
        self.project.adopt(&Adopt::All, &because("folded in"), None).await.unwrap()
    }

    pub(crate) async fn set(&self, record: &RecordKey, words: &[&str]) -> Result<Report, Error> {
        set(&self.project, record, words).await
    }

    pub(crate) async fn restore(&self, record: &RecordKey, reference: &str) -> Result<Report, Error> {
        let reference = Reference::parse(reference).unwrap();
        self.project.restore(&Restore::new(record.clone(), reference), &because("back")).await
    }

    /// Returns the entries of a record, oldest first, with their documents.
    pub(crate) async fn entries(&self, record: &RecordKey) -> Vec<Entry> {
        entries(&self.project, record).await
    }

    pub(crate) async fn assert_sound(&self) {
        assert_eq!(self.project.fsck(None).await.unwrap().findings, []);
    }
}

pub(crate) async fn set(project: &Project, record: &RecordKey, words: &[&str]) -> Result<Report, Error> {
    let content = cfg_engine::plan::Content::Assignments(parse_assignments(words, false).unwrap());
    let item = cfg_engine::engine::CommitItem { record: record.clone(), content, base: None };
    project.commit(&Commit::of(vec![item]), &because("a set")).await
}

pub(crate) async fn entries(project: &Project, record: &RecordKey) -> Vec<Entry> {
    let log = Log { record: Some(record.clone()), with_doc: true, ..Log::default() };
    let mut entries = project.log(&log).await.unwrap();
    entries.reverse();
    entries
}
