//! What the verbs share: the opened project, its staged documents, ids as they were typed.

use std::cell::OnceCell;
use std::io::{self, IsTerminal as _};
use std::sync::Arc;

use cfg_engine::engine::{Options, Project};
use cfg_engine::history::{Author, AuthorClass, CollectionName, OpId, RecordKey};
use cfg_engine::{Error, engine};
use cfg_engine_connect::{OpenOptions, Opened, Staging, Surroundings, open};

use crate::cli::{Change, Global};
use crate::output::Output;
use crate::render::style::clean;

/// One run of the program.
pub(crate) struct Context {
    /// Where results go.
    pub(crate) out: Output,
    /// The global flags.
    pub(crate) global: Global,
    opened: OnceCell<Opened>,
}

impl Context {
    pub(crate) fn new(global: Global) -> Self {
        Context { out: Output::new(&global), global, opened: OnceCell::new() }
    }

    /// Returns how a project is opened.
    pub(crate) fn open_options(&self) -> OpenOptions {
        let watched = io::stdin().is_terminal() || io::stderr().is_terminal();
        OpenOptions {
            start_dir: std::env::current_dir().unwrap_or_default(),
            config_file: self.global.config_file.clone(),
            env: self.global.env.clone(),
            author: self.global.author.clone(),
            surroundings: if watched { Surroundings::Terminal } else { Surroundings::Program },
            ..OpenOptions::default()
        }
    }

    /// Opens the project, once.
    pub(crate) async fn opened(&self) -> Result<&Opened, Error> {
        if let Some(opened) = self.opened.get() {
            return Ok(opened);
        }
        let opened = open(self.open_options()).await?;
        Ok(self.opened.get_or_init(|| opened))
    }

    /// Returns the project for looking: nobody has to be named, so git is not asked.
    pub(crate) async fn reader(&self) -> Result<Project, Error> {
        let opened = self.opened().await?;
        let nobody = Author { id: "reader".to_owned(), class: AuthorClass::System };
        Ok(Project::new(Arc::clone(&opened.adapter), opened.settings(nobody)))
    }

    /// Returns the project for changing.
    pub(crate) async fn writer(&self) -> Result<Project, Error> {
        let opened = self.opened().await?;
        if let Some(caveat) = &opened.adapter.capabilities().caveat {
            self.out.warn(&format!("changes are not atomic here: {}; {}", caveat.problem, caveat.remedy));
        }
        Ok(opened.project()?)
    }

    /// Returns the staged documents.
    pub(crate) async fn staging(&self) -> Result<Staging, Error> {
        Ok(self.opened().await?.staging())
    }

    /// Returns what a change takes along.
    pub(crate) fn options(&self, change: &Change) -> Result<Options, Error> {
        let idempotency_key = change.idempotency_key.as_deref().map(OpId::new).transpose()?;
        Ok(Options {
            message: change.message.join("\n\n"),
            author: None,
            idempotency_key,
            dry_run: change.dry_run,
            allow_secret: change.allow_secret,
            approval: change.approval.clone(),
            ..Options::default()
        })
    }

    /// Finds the records of ids as they were typed.
    pub(crate) async fn records(&self, project: &Project, ids: &[String]) -> Result<Vec<RecordKey>, Error> {
        let mut records = Vec::with_capacity(ids.len());
        for id in ids {
            records.push(project.record(id).await?);
        }
        Ok(records)
    }

    /// Finds a collection by name; none was named where the verb means all.
    pub(crate) fn collection(&self, project: &Project, name: Option<&str>) -> Result<Option<CollectionName>, Error> {
        let Some(name) = name else { return Ok(None) };
        let name = CollectionName::new(name)?;
        project.collection(&name)?;
        Ok(Some(name))
    }

    /// Returns how a record is shown to people: with its collection only where there are several.
    pub(crate) fn label(&self, project: &Project, record: &RecordKey) -> String {
        match project.collections().len() {
            1 => clean(&record.id.to_string()),
            _ => clean(&record.to_string()),
        }
    }

    /// Returns the record whose id is nearest to one that was not found. Only for people: all
    /// records are looked through.
    pub(crate) async fn nearest(&self, error: &Error) -> Option<String> {
        let Error::NoRecord { address } = error else { return None };
        if self.out.is_json() {
            return None;
        }
        let project = self.reader().await.ok()?;
        let status = project.status(None, true, &engine::Staged::new(), None).await.ok()?;
        let asked = address.rsplit(':').next().unwrap_or(address);
        let away = |record: &RecordKey| strsim::damerau_levenshtein(asked, &record.id.to_string());
        let (distance, record) = status.rows.iter().map(|row| (away(&row.record), &row.record)).min()?;
        (distance <= 1 + asked.chars().count() / 4).then(|| format!("did you mean: {}", self.label(&project, record)))
    }
}
