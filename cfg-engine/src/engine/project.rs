//! [`Project`]: an adapter and its settings, and every verb as a method.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::TryStreamExt;

use super::alerts::Alarm;
use super::op_ids::{OpIds, RandomOpIds};
use crate::adapter::{RecordState, Scope, StorageAdapter};
use crate::config::{CollectionConfig, Settings};
use crate::error::Error;
use crate::history::{Author, CollectionName, OpId, RecordKey};
use crate::plan::gates::{EnvState, SecretGate};
use crate::plan::permit::Permit;
use crate::plan::stored::PlanRow;
use crate::plan::{Approval, Rules};

/// A database with its history: the front door of the engine.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use cfg_engine::adapter::MemoryAdapter;
/// use cfg_engine::config::{CollectionConfig, Settings};
/// use cfg_engine::engine::{Commit, Options, Project};
/// use cfg_engine::history::{Author, AuthorClass, CollectionName, EnvName};
/// use cfg_engine::Value;
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let adapter = Arc::new(MemoryAdapter::new(vec![CollectionConfig::new(CollectionName::new("configs")?, "config_id")]));
/// let author = Author { id: "docs@example.com".into(), class: AuthorClass::Human };
/// let project = Project::new(adapter, Settings::new(EnvName::new("dev")?, author));
/// project.init(false).await?;
///
/// let planner = project.record("planner").await?;
/// let doc = Value::from_json(r#"{"model": "large"}"#)?;
/// project.commit(&Commit::new(planner.clone(), doc), &Options::message("first version")).await?;
/// assert_eq!(project.get(&planner).await?.base.seq.map(|seq| seq.0), Some(1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Project {
    pub(crate) adapter: Arc<dyn StorageAdapter>,
    pub(crate) settings: Settings,
    pub(crate) ids: Arc<dyn OpIds>,
    /// When the env object was last read and found in order, and what it said.
    pub(crate) env_seen: Arc<Mutex<EnvSeen>>,
    pub(crate) alarm: Option<Arc<dyn Alarm>>,
}

/// What the env object said, and when.
pub(crate) type EnvSeen = Option<(Duration, Arc<EnvState>)>;

/// What every mutating verb takes.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Why.
    pub message: String,
    /// Who, where it is not the project's author.
    pub author: Option<Author>,
    /// A caller's idempotency key: the same call with the same key happens once.
    pub idempotency_key: Option<OpId>,
    /// Computes the plan, applies nothing.
    pub dry_run: bool,
    /// Lets something that looks like a secret pass; recorded with the entry.
    pub allow_secret: bool,
    /// The approval under which it is done, on an env that needs one: its plan must be the approved one.
    pub approval: Option<String>,
    /// How far the call has come on its way through the gates; for the engine alone.
    pub passage: Passage,
}

/// How far a call has come on its way through the gates. Only the engine moves it on.
#[derive(Debug, Clone, Default)]
pub struct Passage {
    /// The approval that was named.
    pub(crate) approval: Option<Arc<Approval>>,
    /// The approval as it is being used.
    pub(crate) permit: Option<Arc<Permit>>,
    /// Where a plan that is made part by part is gathered.
    pub(crate) gathered: Option<Arc<Mutex<Vec<PlanRow>>>>,
}

impl Options {
    /// Returns options with a message.
    pub fn message(message: impl Into<String>) -> Self {
        Options { message: message.into(), ..Options::default() }
    }

    pub(crate) fn gate(&self) -> SecretGate {
        if self.allow_secret { SecretGate::Allowed } else { SecretGate::Configured }
    }
}

/// How far a long verb has come.
pub trait Progress: Send + Sync {
    /// So many of so many (where the total is known) are done.
    fn advance(&self, done: u64, total: Option<u64>);
}

impl<F: Fn(u64, Option<u64>) + Send + Sync> Progress for F {
    fn advance(&self, done: u64, total: Option<u64>) {
        self(done, total);
    }
}

impl Project {
    /// Opens a project on an adapter. Nothing is read or written yet.
    pub fn new(adapter: Arc<dyn StorageAdapter>, settings: Settings) -> Self {
        Project { adapter, settings, ids: Arc::new(RandomOpIds), env_seen: Arc::default(), alarm: None }
    }

    /// Replaces the source of op_ids.
    #[must_use]
    pub fn with_op_ids(mut self, ids: Arc<dyn OpIds>) -> Self {
        self.ids = ids;
        self
    }

    /// Says who carries alerts: where a change of a gated env is forced, and where history is rewritten. Without
    /// it neither can be done.
    #[must_use]
    pub fn with_alarm(mut self, alarm: Arc<dyn Alarm>) -> Self {
        self.alarm = Some(alarm);
        self
    }

    /// Returns the settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Returns the adapter.
    pub fn adapter(&self) -> &Arc<dyn StorageAdapter> {
        &self.adapter
    }

    /// Returns the collections.
    pub fn collections(&self) -> &[CollectionConfig] {
        self.adapter.collections()
    }

    /// Returns a collection by name.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuch`].
    pub fn collection(&self, name: &CollectionName) -> Result<&CollectionConfig, Error> {
        self.collections().iter().find(|c| c.name == *name).ok_or_else(|| Error::NoSuch {
            what: "collection",
            name: name.to_string(),
            known: self.collections().iter().map(|c| c.name.to_string()).collect(),
        })
    }

    pub(crate) fn rules(&self, record: &RecordKey) -> Result<Rules<'_>, Error> {
        self.own(record)?;
        Ok(Rules { collection: self.collection(&record.collection)?, settings: &self.settings })
    }

    /// Refuses a record of another env: its history is not this project's to read or write.
    pub(crate) fn own(&self, record: &RecordKey) -> Result<(), Error> {
        if record.env == self.settings.env { Ok(()) } else { Err(Error::other_env(record, &self.settings.env)) }
    }

    /// Reads live and head of some records, in the order of record keys.
    pub(crate) async fn states(&self, records: &[RecordKey]) -> Result<Vec<RecordState>, Error> {
        records.iter().try_for_each(|record| self.own(record))?;
        let scope = Scope::Records(records.to_vec());
        let chunks = self.adapter.records(&self.settings.env, &scope);
        Ok(chunks.try_concat().await?)
    }

    pub(crate) async fn state(&self, record: &RecordKey) -> Result<RecordState, Error> {
        let states = self.states(std::slice::from_ref(record)).await?;
        states.into_iter().next().ok_or_else(|| Error::NoRecord { address: record.to_string() })
    }
}

impl std::fmt::Debug for Project {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Project").field("env", &self.settings.env).finish_non_exhaustive()
    }
}
