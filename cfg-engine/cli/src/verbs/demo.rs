//! `demo`: the main job on a small database, by running this very program.

use std::fs;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cfg_engine::document::{Extended, Object};
use cfg_engine::history::Timestamp;
use cfg_engine::{Error, Value};
use cfg_engine_connect::{MongoApplication, PostgresApplication};
use clap::ValueEnum;
use rusqlite::Connection;

use crate::cli::Color;
use crate::context::Context;
use crate::render::style::{BOLD, DIM, GREEN, clean, paint, shell_word};

/// `cfg demo`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The kind of database
    #[arg(long, value_name = "KIND", default_value = "sqlite")]
    database: DatabaseName,
    /// The server, for MongoDB and PostgreSQL: a database of its own is made there, and dropped again
    #[arg(
        long,
        value_name = "URI",
        env = "DEMO_URI",
        hide_env_values = true,
        required_if_eq_any([("database", "mongodb"), ("database", "postgres")])
    )]
    uri: Option<String>,
    /// Work in this new folder and keep it
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum DatabaseName {
    Sqlite,
    #[value(alias = "mongo")]
    Mongodb,
    #[value(alias = "postgresql")]
    Postgres,
}

/// The variable by which the demo's own commands find the server.
const URI: &str = "DEMO_URI";

/// The application's own table, as it was before anybody thought of versions.
const TABLE: &str = "
CREATE TABLE agent_configs (config_id TEXT PRIMARY KEY, doc TEXT NOT NULL);
INSERT INTO agent_configs VALUES
  ('planner',  '{\"model\": \"large\", \"temperature\": 0.2, \"tools\": [\"search\", \"calendar\"]}'),
  ('reviewer', '{\"model\": \"large\", \"strict\": true, \"instructions\": \"Read the plan.\\nName what is missing.\\n\"}'),
  ('writer',   '{\"model\": \"small\", \"max_words\": 400}');
";

/// The same on a server.
const POSTGRES_TABLE: &str = r#"
CREATE TABLE agent_configs (config_id text PRIMARY KEY, doc jsonb NOT NULL);
INSERT INTO agent_configs VALUES
  ('planner',  '{"model": "large", "temperature": 0.2, "tools": ["search", "calendar"]}'),
  ('reviewer', '{"model": "large", "strict": true, "instructions": "Read the plan.\nName what is missing.\n"}'),
  ('writer',   '{"model": "small", "max_words": 400}');
"#;

/// The application's own collection: the documents, and how somebody types them into the server's shell.
const DOCUMENTS: &str = r#"[
  { "_id": "planner",  "model": "large", "temperature": 0.2, "tools": ["search", "calendar"] },
  { "_id": "reviewer", "model": "large", "strict": true, "instructions": "Read the plan.\nName what is missing.\n" },
  { "_id": "writer",   "model": "small", "max_words": 400 }
]"#;

pub(crate) async fn run(context: &Context, args: Args) -> Result<u8, Error> {
    let (dir, temporary) = folder(args.keep.as_deref())?;
    let app = App::open(&args, &dir).await?;
    let demo = Demo::new(context, &dir, app)?;
    let told = demo.tell().await;
    if temporary.is_some() {
        demo.app.clear_up().await?;
    }
    if !context.out.is_json() {
        match (&temporary, &told) {
            (None, _) => context.out.report(&format!("\nit is all in {}\n", clean(&dir.display().to_string()))),
            (Some(_), Ok(_)) => {
                context.out.report(&format!("\n{}\n", paint(DIM, "cfg demo --keep DIR leaves the folder for you")));
            }
            (Some(_), Err(_)) => {}
        }
    }
    let steps = told?;
    if context.out.is_json() {
        let kept = temporary.is_none().then(|| dir.display().to_string());
        context.out.json(Object::new().with("steps", steps).with("dir", kept));
    }
    Ok(0)
}

fn folder(keep: Option<&Path>) -> Result<(PathBuf, Option<tempfile::TempDir>), Error> {
    let unusable = |what: &str, e: &io::Error| {
        Error::refused("file", format!("cannot use {what}: {e}"), "name a new folder: cfg demo --keep DIR")
    };
    match keep {
        Some(dir) => {
            let shown = dir.display().to_string();
            fs::create_dir_all(dir).map_err(|e| unusable(&shown, &e))?;
            if fs::read_dir(dir).map_err(|e| unusable(&shown, &e))?.next().is_some() {
                return Err(Error::refused("not_empty", format!("{shown} is not empty"), "name a new folder"));
            }
            Ok((std::path::absolute(dir).map_err(|e| unusable(&shown, &e))?, None))
        }
        None => {
            let dir = tempfile::Builder::new().prefix("cfg-demo-").tempdir();
            let dir = dir.map_err(|e| unusable("a temporary folder", &e))?;
            Ok((dir.path().to_owned(), Some(dir)))
        }
    }
}

/// The application, which knows nothing of the tool.
enum App {
    Sqlite(Connection),
    Mongo {
        application: MongoApplication,
        uri: String,
        db: String,
    },
    /// `server` makes and drops the database in which the application lives.
    Postgres {
        application: PostgresApplication,
        uri: String,
        server: PostgresApplication,
        db: String,
    },
}

impl App {
    async fn open(args: &Args, dir: &Path) -> Result<Self, Error> {
        let unique = dir.file_name().map(|name| name.to_string_lossy().replace(['.', '-'], "_"));
        let db = format!("cfg_demo_{}", unique.unwrap_or_default());
        match (args.database, &args.uri) {
            (DatabaseName::Postgres, Some(uri)) => {
                let db = db.to_ascii_lowercase();
                let server = PostgresApplication::connect(uri).await?;
                let uri = server.create_database(uri, &db).await?;
                let application = PostgresApplication::connect(&uri).await?;
                Ok(App::Postgres { application, uri, server, db })
            }
            (DatabaseName::Mongodb, Some(uri)) => {
                let application = MongoApplication::connect(uri, &db).await?;
                Ok(App::Mongo { application, uri: uri.clone(), db })
            }
            _ => {
                let app = Connection::open(dir.join("app.db")).map_err(|e| failed(&format!("the database: {e}")))?;
                Ok(App::Sqlite(app))
            }
        }
    }

    /// How `init` is told where the database is.
    fn init_flags(&self) -> Vec<&str> {
        match self {
            App::Sqlite(_) => vec!["--database", "sqlite", "--path", "app.db"],
            App::Mongo { db, .. } => {
                vec!["--database", "mongodb", "--uri", "env:DEMO_URI", "--db", db]
            }
            App::Postgres { .. } => vec!["--database", "postgres", "--uri", "env:DEMO_URI"],
        }
    }

    async fn command(&self, command: &str) -> Result<Value, Error> {
        let App::Mongo { application, .. } = self else { return Err(failed("a command for another database")) };
        let command = Value::from_interchange(command).map_err(|e| failed(&format!("a command: {e}")))?;
        Ok(application.run(&command).await?)
    }

    /// Creates the application's records; returns what somebody would have typed.
    async fn create(&self) -> Result<String, Error> {
        match self {
            App::Sqlite(app) => execute(app, TABLE),
            App::Mongo { .. } => {
                self.command(&format!(r#"{{"insert": "agent_configs", "documents": {DOCUMENTS}}}"#)).await?;
                Ok(format!("db.agent_configs.insertMany({DOCUMENTS})"))
            }
            App::Postgres { application, .. } => {
                application.run(POSTGRES_TABLE).await?;
                Ok(POSTGRES_TABLE.to_owned())
            }
        }
    }

    /// Changes a record around the tool; returns what somebody would have typed.
    async fn bypass(&self) -> Result<String, Error> {
        match self {
            App::Sqlite(app) => execute(
                app,
                "UPDATE agent_configs SET doc = json_set(doc, '$.model', 'huge') WHERE config_id = 'planner';",
            ),
            App::Mongo { .. } => {
                let update = r#"{"q": {"_id": "planner"}, "u": {"$set": {"model": "huge"}}}"#;
                self.command(&format!(r#"{{"update": "agent_configs", "updates": [{update}]}}"#)).await?;
                Ok(r#"db.agent_configs.updateOne({ _id: "planner" }, { $set: { model: "huge" } })"#.to_owned())
            }
            App::Postgres { application, .. } => {
                let update = "UPDATE agent_configs SET doc = jsonb_set(doc, '{model}', '\"huge\"') \
                              WHERE config_id = 'planner';";
                application.run(update).await?;
                Ok(update.to_owned())
            }
        }
    }

    /// Returns what the application reads in a field now, as text.
    async fn read(&self, id: &str, field: &str) -> Result<String, Error> {
        match self {
            App::Sqlite(app) => {
                let sql = "SELECT CAST(json_extract(doc, '$.' || ?2) AS TEXT) FROM agent_configs WHERE config_id = ?1";
                app.query_row(sql, [id, field], |row| row.get(0))
                    .map_err(|e| failed(&format!("the application cannot read {id}: {e}")))
            }
            App::Mongo { .. } => {
                let find = format!(r#"{{"find": "agent_configs", "filter": {{"_id": "{id}"}}}}"#);
                let found = self.command(&find).await?;
                let first =
                    found.get("cursor").and_then(|c| c.get("firstBatch")?.as_array()?.first()?.get(field).cloned());
                let found = first.ok_or_else(|| failed(&format!("the application finds no {field} of {id}")))?;
                Ok(found.as_str().map_or_else(|| found.to_json(), str::to_owned))
            }
            App::Postgres { application, .. } => {
                let sql = "SELECT doc ->> $2 FROM agent_configs WHERE config_id = $1";
                let found = application.ask(sql, &[id, field]).await?;
                found.ok_or_else(|| failed(&format!("the application finds no {field} of {id}")))
            }
        }
    }

    /// Returns the database's time.
    async fn now(&self) -> Result<String, Error> {
        let now = match self {
            App::Sqlite(app) => {
                app.query_row("SELECT strftime('%Y-%m-%dT%H:%M:%fZ', 'now')", [], |row| row.get(0)).ok()
            }
            App::Mongo { .. } => match self.command(r#"{"hello": 1}"#).await?.get("localTime") {
                Some(Value::Extended(time)) => match &**time {
                    Extended::DateTime(ms) => Some(Timestamp::from_millis(*ms).to_string()),
                    _ => None,
                },
                _ => None,
            },
            App::Postgres { application, .. } => {
                let form = r#"YYYY-MM-DD"T"HH24:MI:SS.MS"Z""#;
                application.ask("SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', $1)", &[form]).await?
            }
        };
        now.ok_or_else(|| failed("the database does not tell the time"))
    }

    async fn clear_up(&self) -> Result<(), Error> {
        match self {
            App::Sqlite(_) => Ok(()),
            App::Mongo { application, .. } => Ok(application.drop_database().await?),
            App::Postgres { server, db, .. } => Ok(server.drop_database(db).await?),
        }
    }

    fn prompt(&self) -> &'static str {
        match self {
            App::Sqlite(_) | App::Postgres { .. } => "sql>",
            App::Mongo { .. } => "mongo>",
        }
    }
}

fn execute(app: &Connection, statement: &str) -> Result<String, Error> {
    app.execute_batch(statement).map_err(|e| failed(&format!("the application's statement: {e}")))?;
    Ok(statement.to_owned())
}

struct Demo<'c> {
    context: &'c Context,
    dir: &'c Path,
    program: PathBuf,
    app: App,
    color: &'static str,
    steps: std::cell::RefCell<Vec<Object>>,
}

impl<'c> Demo<'c> {
    fn new(context: &'c Context, dir: &'c Path, app: App) -> Result<Self, Error> {
        let program = std::env::current_exe().map_err(|e| failed(&format!("the program cannot find itself: {e}")))?;
        let color = match context.global.color {
            Color::Never => "never",
            Color::Always => "always",
            // What the steps print goes through this program's own standard output.
            Color::Auto if io::stdout().is_terminal() => "always",
            Color::Auto => "never",
        };
        Ok(Demo { context, dir, program, app, color, steps: std::cell::RefCell::default() })
    }

    /// Tells the story; any step that does not do what it says ends it.
    async fn tell(&self) -> Result<Vec<Object>, Error> {
        let place = if matches!(self.app, App::Mongo { .. }) { "collection" } else { "table" };
        self.say(&format!("An application reads its agents' settings from this {place}:"));
        self.typed(&self.app.create().await?);
        self.say(&format!("Put a history beside it. The application's {place} stays as it is."));
        let id = if matches!(self.app, App::Mongo { .. }) { "_id" } else { "config_id" };
        let table = ["--table", "agent_configs", "--id-field", id];
        self.cfg(0, &[&["init"], &self.app.init_flags()[..], &table[..]].concat())?;
        self.cfg(0, &["import", "--all", "-m", "as we found it"])?;
        self.cfg(0, &["status"])?;

        self.say("Change something: stage it, look, commit. Live and history change together.");
        self.cfg(0, &["set", "planner", "temperature=0.7", "tools+=browser"])?;
        self.check("planner", "temperature", "0.2").await?;
        self.cfg(0, &["commit", "planner", "-m", "let it look things up"])?;
        self.check("planner", "temperature", "0.7").await?;

        self.say("At night somebody writes around the tool:");
        self.typed(&self.app.bypass().await?);
        self.say("It is seen, and nothing overwrites it: exit code 2.");
        self.cfg(2, &["status"])?;
        self.cfg(0, &["diff", "planner"])?;
        self.cfg(2, &["restore", "planner", "@1", "-m", "back"])?;
        self.check("planner", "model", "huge").await?;
        self.cfg(0, &["adopt", "planner", "-m", "3 am hotfix, kept"])?;
        let before = self.moment().await?;

        self.say("Another change, and a step back. A restore is a new version; nothing is lost.");
        let text = "instructions=Read the plan twice.\nName what is missing.\n";
        self.cfg(0, &["set", "reviewer", text, "--commit", "-m", "read it twice"])?;
        self.cfg(0, &["restore", "planner", "@1", "-m", "the hotfix was too expensive"])?;
        self.check("planner", "model", "large").await?;
        self.cfg(0, &["log", "planner", "--oneline"])?;
        self.cfg(0, &["diff", "planner", "@3", "@4"])?;

        self.say("What was live before that?");
        self.cfg(0, &["log", "--as-of", &before])?;
        self.cfg(0, &["show", "planner", &format!("@{{{before}}}"), "--field", "model"])?;

        self.say("And is the history as it was written?");
        self.cfg(0, &["fsck"])?;
        Ok(self.steps.take())
    }

    fn say(&self, text: &str) {
        if !self.context.out.is_json() {
            self.context.out.report(&format!("\n{}\n", paint(BOLD, &format!("# {text}"))));
        }
    }

    /// Runs the program as somebody would type it, and prints what it prints.
    fn cfg(&self, expected: u8, words: &[&str]) -> Result<(), Error> {
        let typed = format!("cfg {}", words.iter().map(|word| shell_word(word)).collect::<Vec<_>>().join(" "));
        let mut command = Command::new(&self.program);
        command.args(words).args(["--color", self.color]).current_dir(self.dir).stdin(Stdio::null());
        // Nothing of the caller's own setting shows through.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("CFG_") {
                command.env_remove(name);
            }
        }
        if let App::Mongo { uri, .. } | App::Postgres { uri, .. } = &self.app {
            command.env(URI, uri);
        }
        let done = command.env("CFG_AUTHOR", "you@example.com").output();
        let done = done.map_err(|e| failed(&format!("{typed}: {e}")))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, err) = (text(&done.stdout), text(&done.stderr));
        if !self.context.out.is_json() {
            let prompt = format!("{} {}\n", paint(GREEN, "$"), paint(BOLD, &clean(&typed)));
            self.context.out.report(&format!("\n{prompt}{out}{err}"));
        }
        let code = done.status.code();
        self.steps.borrow_mut().push(
            Object::new()
                .with("command", typed.as_str())
                .with("exit_code", code.map(i64::from))
                .with("stdout", out)
                .with("stderr", err),
        );
        match code {
            Some(code) if code == i32::from(expected) => Ok(()),
            _ => Err(failed(&format!("{typed}: exit code {code:?}, not {expected}"))),
        }
    }

    /// Shows what the application, or somebody who is in a hurry, has written.
    fn typed(&self, statement: &str) {
        let prompt = self.app.prompt();
        let prompts = std::iter::once(paint(GREEN, prompt)).chain(std::iter::repeat(" ".repeat(prompt.len())));
        let lines = statement.trim().lines().zip(prompts);
        let shown: String = lines.map(|(line, prompt)| format!("{prompt} {line}\n")).collect();
        if !self.context.out.is_json() {
            self.context.out.report(&format!("\n{shown}"));
        }
        let name = if matches!(self.app, App::Mongo { .. }) { "mongo" } else { "sql" };
        self.steps.borrow_mut().push(Object::new().with(name, statement.trim()));
    }

    /// Looks with the application's eyes: what does it read now?
    async fn check(&self, id: &str, field: &str, expected: &str) -> Result<(), Error> {
        let found = self.app.read(id, field).await?;
        if found == expected {
            return Ok(());
        }
        Err(failed(&format!("the application reads {found} in {field} of {id}, not {expected}")))
    }

    /// Returns the database's time, with a moment on each side of it.
    async fn moment(&self) -> Result<String, Error> {
        let pause = || std::thread::sleep(std::time::Duration::from_millis(3));
        pause();
        let now = self.app.now().await;
        pause();
        now
    }
}

fn failed(problem: &str) -> Error {
    Error::refused(
        "demo",
        format!("the demo did not go as it says: {problem}"),
        "run it again with --keep DIR and look there",
    )
}
