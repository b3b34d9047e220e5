//! Verbs by name: what a program in another language calls. Named values in, what `cfg --json` prints out.
//!
//! A binding converts its language's values to [`Value`] and back and has no verb of its own. The names are
//! those of the command line with underscores for hyphens; a value is of its own type, so an id may be a
//! number or a UUID where the command line has only text.

mod about;
mod approvals;
mod args;
mod changing;
mod history;
mod reading;
mod redact;
mod system;
mod versions;

use std::sync::{Arc, OnceLock};

use cfg_engine::document::Object;
use cfg_engine::engine::{Progress, Project, Report, Written};
use cfg_engine::history::{Author, AuthorClass};
use cfg_engine::{Error, Value};

use self::args::{Args, usage};
use crate::open::{OpenOptions, Opened, open};

pub use self::about::{config, whoami};
pub use self::reading::{prepare_folder, write_document};
pub use self::redact::with_staged;

/// An opened project that verbs are called on by name. Calls may run at the same time.
pub struct Session {
    opened: Opened,
    /// For looking: nobody has to be named, so git is not asked.
    reader: Project,
    /// For changing. What it reads of the env is read once.
    writer: OnceLock<Project>,
}

/// What a verb gave.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// What `cfg --json` prints.
    pub data: Value,
    /// The exit code that the command line has for it.
    pub exit_code: u8,
    /// The failure of the row that decided the exit code.
    pub reason: Option<Error>,
    /// The idempotency key was known: what is reported happened earlier.
    pub replayed: bool,
    /// What was written, with documents and bases to go on with.
    pub written: Vec<Written>,
}

impl Answer {
    fn of(data: impl Into<Value>) -> Self {
        Answer { data: data.into(), ..Answer::default() }
    }

    /// Takes data, and the failures of its rows.
    fn judged<'e>(data: impl Into<Value>, exit_code: u8, mut failures: impl Iterator<Item = &'e Error>) -> Self {
        let reason = failures.find(|error| error.kind().exit_code() == exit_code).cloned();
        Answer { exit_code, reason, ..Answer::of(data) }
    }

    fn of_report(data: impl Into<Value>, report: &Report) -> Self {
        let answer = Answer::judged(data, report.exit_code(), report.errors());
        Answer { replayed: report.replayed, written: report.written().cloned().collect(), ..answer }
    }

    /// Takes the report of a verb on one record, whose failure is the verb's own.
    fn single(mut report: Report) -> Result<Self, Error> {
        let failed = report.plan.is_none() && report.rows.len() == 1 && report.rows[0].result.is_err();
        if failed && let Some(Err(error)) = report.rows.pop().map(|row| row.result) {
            return Err(error);
        }
        Ok(Answer::of_report(report.to_single(), &report))
    }

    fn several(report: &Report) -> Self {
        Answer::of_report(report.to_object(), report)
    }

    /// Returns what a library hands back for each written record: `{collection, config_id, doc, base, entries}`.
    pub fn replies(&self) -> Vec<Object> {
        self.written.iter().map(changing::reply).collect()
    }
}

impl Session {
    /// Finds the project and opens its store.
    ///
    /// # Errors
    ///
    /// As [`open`].
    pub async fn open(options: OpenOptions) -> Result<Self, Error> {
        Ok(Self::new(open(options).await?))
    }

    /// Takes an opened project.
    pub fn new(opened: Opened) -> Self {
        let nobody = Author { id: "reader".to_owned(), class: AuthorClass::System };
        let reader = Project::new(Arc::clone(&opened.adapter), opened.settings(nobody));
        Session { opened, reader, writer: OnceLock::new() }
    }

    /// Returns what was found and opened.
    pub fn opened(&self) -> &Opened {
        &self.opened
    }

    fn writer(&self) -> Result<&Project, Error> {
        if let Some(writer) = self.writer.get() {
            return Ok(writer);
        }
        let writer = self.opened.project()?;
        Ok(self.writer.get_or_init(|| writer))
    }

    /// Returns of which class an author is who is named in a call.
    fn author_class(&self) -> Result<AuthorClass, Error> {
        Ok(self.opened.author()?.0.class)
    }

    /// Calls a verb.
    ///
    /// # Errors
    ///
    /// What the verb refuses; [`Error::Refused`] with the code `usage` for a verb or argument there is not.
    ///
    /// # Examples
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// use cfg_engine::Value;
    /// use cfg_engine_connect::{OpenOptions, Session};
    /// # std::fs::write(dir.path().join(".cfg.toml"), r#"
    /// #     [[collection]]
    /// #     name = "prompts"
    /// #     id_field = "id"
    /// #     [env.dev]
    /// #     database = "memory"
    /// # "#)?;
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// let session = Session::open(OpenOptions { author: Some("ana@example.com".into()), ..OpenOptions::from_dir(dir.path()) }).await?;
    /// let args = |text: &str| Value::from_interchange(text).map(|v| v.as_object().cloned().unwrap_or_default());
    /// session.call("init", args("{}")?, None).await?;
    /// let item = r#"{"items": [{"id": "planner", "doc": {"model": "large"}}], "message": "first"}"#;
    /// let answer = session.call("commit", args(item)?, None).await?;
    /// assert_eq!(answer.data.get("seq"), Some(&Value::from(1)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn call(&self, verb: &str, args: Object, progress: Option<&dyn Progress>) -> Result<Answer, Error> {
        let args = Args::new(verb, args);
        match verb {
            "activate" => self.activate(args).await,
            "address" => self.address(args).await,
            "adopt" => self.adopt(args, progress).await,
            "approval" => self.approval(args).await,
            "approvals" => self.approvals(args).await,
            "approve" => self.approve(args).await,
            "blame" => self.blame(args).await,
            "commit" => self.commit(args).await,
            "deny" => self.deny(args).await,
            "diff" => self.diff(args).await,
            "export" => self.export(args, progress).await,
            "fsck" => self.fsck(args, progress).await,
            "get" => self.get(args).await,
            "import" => self.import(args, progress).await,
            "import_history" => self.import_history(args, progress).await,
            "init" => self.init(args).await,
            "link" => self.link(args).await,
            "log" => self.log(args).await,
            "points" => self.points(args).await,
            "policy" => {
                args.done()?;
                Ok(Answer::of(self.reader.policy_standing().await?.to_object()))
            }
            "project" => {
                args.done()?;
                Ok(Answer::of(about::project(&self.opened, self.reader.adapter().as_ref())))
            }
            "redact" => self.redact(args).await,
            "restore" => self.restore(args).await,
            "restore_all" => self.restore_all(args, progress).await,
            "resume" => self.resume(args, progress).await,
            "rm" => self.rm(args).await,
            "secrets_scan" => self.secrets_scan(args, progress).await,
            "show" => self.show(args).await,
            "status" => self.status(args, progress).await,
            "tag" => self.tag(args).await,
            "tags" => self.tags(args).await,
            "undo" => self.undo(args).await,
            "whoami" => {
                args.done()?;
                Ok(Answer::of(whoami(&self.opened)?))
            }
            other => Err(usage(format!("there is no verb {other:?}"), "see the verbs with: cfg --help")),
        }
    }
}
