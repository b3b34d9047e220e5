//! `demo`: the main job on a small SQLite database, by running this very program.

use std::fs;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cfg_engine::document::Object;
use cfg_engine::{Error, Value};
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
    /// Work in this new folder and keep it
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum DatabaseName {
    Sqlite,
}

/// The application's own table, as it was before anybody thought of versions.
const TABLE: &str = "
CREATE TABLE agent_configs (config_id TEXT PRIMARY KEY, doc TEXT NOT NULL);
INSERT INTO agent_configs VALUES
  ('planner',  '{\"model\": \"large\", \"temperature\": 0.2, \"tools\": [\"search\", \"calendar\"]}'),
  ('reviewer', '{\"model\": \"large\", \"strict\": true, \"instructions\": \"Read the plan.\\nName what is missing.\\n\"}'),
  ('writer',   '{\"model\": \"small\", \"max_words\": 400}');
";

pub(crate) fn run(context: &Context, args: Args) -> Result<u8, Error> {
    let DatabaseName::Sqlite = args.database;
    let (dir, temporary) = folder(args.keep.as_deref())?;
    let demo = Demo::new(context, &dir)?;
    let told = demo.tell();
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

struct Demo<'c> {
    context: &'c Context,
    dir: &'c Path,
    program: PathBuf,
    /// The application's connection, which knows nothing of the tool.
    app: Connection,
    color: &'static str,
    steps: std::cell::RefCell<Vec<Object>>,
}

impl<'c> Demo<'c> {
    fn new(context: &'c Context, dir: &'c Path) -> Result<Self, Error> {
        let program = std::env::current_exe().map_err(|e| failed(&format!("the program cannot find itself: {e}")))?;
        let app = Connection::open(dir.join("app.db")).map_err(|e| failed(&format!("the database: {e}")))?;
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
    fn tell(&self) -> Result<Vec<Object>, Error> {
        self.say("An application reads its agents' settings from this table:");
        self.sql(TABLE)?;
        self.say("Put a history beside it. The application's table stays as it is.");
        let table = ["--table", "agent_configs", "--id-field", "config_id"];
        self.cfg(0, &[&["init", "--database", "sqlite", "--path", "app.db"], &table[..]].concat())?;
        self.cfg(0, &["import", "--all", "-m", "as we found it"])?;
        self.cfg(0, &["status"])?;

        self.say("Change something: stage it, look, commit. Live and history change together.");
        self.cfg(0, &["set", "planner", "temperature=0.7", "tools+=browser"])?;
        self.check("planner", "$.temperature", "0.2")?;
        self.cfg(0, &["commit", "planner", "-m", "let it look things up"])?;
        self.check("planner", "$.temperature", "0.7")?;

        self.say("At night somebody writes around the tool:");
        self.sql("UPDATE agent_configs SET doc = json_set(doc, '$.model', 'huge') WHERE config_id = 'planner';")?;
        self.say("It is seen, and nothing overwrites it: exit code 2.");
        self.cfg(2, &["status"])?;
        self.cfg(0, &["diff", "planner"])?;
        self.cfg(2, &["restore", "planner", "@1", "-m", "back"])?;
        self.check("planner", "$.model", "huge")?;
        self.cfg(0, &["adopt", "planner", "-m", "3 am hotfix, kept"])?;
        let before = self.moment()?;

        self.say("Another change, and a step back. A restore is a new version; nothing is lost.");
        let text = "instructions=Read the plan twice.\nName what is missing.\n";
        self.cfg(0, &["set", "reviewer", text, "--commit", "-m", "read it twice"])?;
        self.cfg(0, &["restore", "planner", "@1", "-m", "the hotfix was too expensive"])?;
        self.check("planner", "$.model", "large")?;
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

    /// Writes as the application, or as somebody who is in a hurry, does.
    fn sql(&self, statement: &str) -> Result<(), Error> {
        self.app.execute_batch(statement).map_err(|e| failed(&format!("the application's statement: {e}")))?;
        let prompts = std::iter::once(paint(GREEN, "sql>")).chain(std::iter::repeat("    ".to_owned()));
        let lines = statement.trim().lines().zip(prompts);
        let shown: String = lines.map(|(line, prompt)| format!("{prompt} {line}\n")).collect();
        if !self.context.out.is_json() {
            self.context.out.report(&format!("\n{shown}"));
        }
        self.steps.borrow_mut().push(Object::new().with("sql", statement.trim()));
        Ok(())
    }

    /// Looks with the application's eyes: what does it read now?
    fn check(&self, id: &str, path: &str, expected: &str) -> Result<(), Error> {
        let sql = "SELECT CAST(json_extract(doc, ?2) AS TEXT) FROM agent_configs WHERE config_id = ?1";
        let found: Result<String, _> = self.app.query_row(sql, [id, path], |row| row.get(0));
        match found {
            Ok(found) if found == expected => Ok(()),
            Ok(found) => Err(failed(&format!("the application reads {found} at {path} of {id}, not {expected}"))),
            Err(e) => Err(failed(&format!("the application cannot read {id}: {e}"))),
        }
    }

    /// Returns the database's time, with a moment on each side of it.
    fn moment(&self) -> Result<String, Error> {
        let pause = || std::thread::sleep(std::time::Duration::from_millis(3));
        pause();
        let sql = "SELECT strftime('%Y-%m-%dT%H:%M:%fZ', 'now')";
        let now: Result<Value, _> = self.app.query_row(sql, [], |row| row.get::<_, String>(0)).map(Value::from);
        pause();
        match now {
            Ok(Value::String(now)) => Ok(now),
            _ => Err(failed("the database does not tell the time")),
        }
    }
}

fn failed(problem: &str) -> Error {
    Error::refused(
        "demo",
        format!("the demo did not go as it says: {problem}"),
        "run it again with --keep DIR and look there",
    )
}
