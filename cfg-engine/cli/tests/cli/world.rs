//! A folder with a database, a configuration and an application that writes around the tool.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rusqlite::Connection;
use serde_json::Value;

/// One project, gone when it is dropped.
pub(crate) struct World {
    dir: tempfile::TempDir,
    app: Connection,
    variables: Vec<(String, String)>,
}

/// What one call of the program did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

const CONFIG: &str = r#"
[[collection]]
name = "agents"
table = "agent_configs"
id_field = "config_id"

[versioning]
ignore_fields = ["updated_at"]
secret_fields = ["api_key"]

[env.dev]
database = "sqlite"
uri = "app.db"
"#;

const TABLE: &str = r#"
CREATE TABLE agent_configs (config_id TEXT PRIMARY KEY, doc TEXT NOT NULL);
INSERT INTO agent_configs VALUES
  ('planner', '{"model": "large", "retries": 3, "tools": ["search"], "api_key": "hunter2"}'),
  ('writer', '{"model": "small", "max_words": 400}');
"#;

impl World {
    /// A folder with nothing in it but a database with these statements run.
    pub(crate) fn with(config: Option<&str>, sql: &str) -> World {
        let dir = tempfile::tempdir().expect("a folder");
        let app = Connection::open(dir.path().join("app.db")).expect("a database");
        app.execute_batch(sql).expect("the application's statements");
        if let Some(config) = config {
            std::fs::write(dir.path().join(".cfg.toml"), config).expect("a configuration");
        }
        World { dir, app, variables: Vec::new() }
    }

    /// Sets a variable for every call.
    #[must_use]
    pub(crate) fn with_variable(mut self, name: &str, value: &str) -> World {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn variables(&self) -> impl Iterator<Item = (&str, &str)> {
        self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Two records without history, and the engine's tables.
    pub(crate) fn fresh() -> World {
        let world = World::with(Some(CONFIG), TABLE);
        world.ok(&["init"]);
        world
    }

    /// Two records with their first version.
    pub(crate) fn new() -> World {
        let world = World::fresh();
        world.ok(&["import", "--all", "-m", "as found"]);
        world
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Writes around the tool.
    pub(crate) fn sql(&self, statements: &str) {
        self.app.execute_batch(statements).expect("the application's statements");
    }

    /// Returns what the application reads.
    pub(crate) fn live(&self, id: &str) -> Value {
        let sql = "SELECT doc FROM agent_configs WHERE config_id = ?1";
        let text: String = self.app.query_row(sql, [id], |row| row.get(0)).expect("a live row");
        serde_json::from_str(&text).expect("JSON")
    }

    /// Writes a file into the folder.
    pub(crate) fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cfg"));
        command.args(args).current_dir(self.path()).stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if name.starts_with("CFG_") || name.starts_with("GIT_") || name.starts_with("CLICOLOR") {
                command.env_remove(name);
            }
        }
        for name in ["NO_COLOR", "VISUAL", "EDITOR"] {
            command.env_remove(name);
        }
        command.env("CFG_AUTHOR", "ada@example.com").env("HOME", self.path());
        command.envs(self.variables());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        ran(&mut self.command(args))
    }

    /// Runs with a text on standard input.
    pub(crate) fn pipe(&self, args: &[&str], text: &str) -> Ran {
        let mut command = self.command(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program");
        child.stdin.take().expect("stdin").write_all(text.as_bytes()).expect("write");
        let done = child.wait_with_output().expect("the program");
        Ran {
            code: done.status.code().unwrap_or(-1),
            out: String::from_utf8(done.stdout).expect("UTF-8"),
            err: String::from_utf8(done.stderr).expect("UTF-8"),
        }
    }

    /// Runs what must end with exit code 0; returns what it printed.
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let ran = self.run(args);
        assert_eq!(ran.code, 0, "cfg {args:?}\n{}{}", ran.out, ran.err);
        ran.out
    }

    /// Runs with `--json`; checks that one document came, that it fits its schema, and that standard
    /// error stayed empty.
    pub(crate) fn json(&self, schema: &str, code: i32, args: &[&str]) -> Value {
        let words = [args, &["--json"]].concat();
        let ran = self.run(&words);
        assert_eq!((ran.code, ran.err.as_str()), (code, ""), "cfg {words:?}\n{}", ran.out);
        let value: Value = serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("cfg {words:?}: {e}\n{}", ran.out));
        crate::schemas::check(schema, &value);
        value
    }

    /// Runs what must be refused, for people and for programs; returns `(code, message)` of the
    /// envelope after checking that both say the same, name a remedy, and keep quiet about values.
    pub(crate) fn refused(&self, exit: i32, args: &[&str]) -> (String, String) {
        let envelope = self.json("envelope", exit, args);
        let ran = self.run(args);
        assert_eq!((ran.code, ran.out.as_str()), (exit, ""), "cfg {args:?}\n{}", ran.err);
        let text = |key: &str| envelope[key].as_str().unwrap_or_default().to_owned();
        let (message, hint) = (text("message"), text("hint"));
        assert!(ran.err.starts_with(&format!("error: {message}\n")), "{}\n{message}", ran.err);
        assert!(!hint.is_empty() && ran.err.contains(&format!("hint: {hint}")), "{}\n{hint}", ran.err);
        assert!(!ran.err.contains("hunter2") && !ran.err.contains("swordfish"), "{}", ran.err);
        (text("code"), message)
    }
}

pub(crate) fn ran(command: &mut Command) -> Ran {
    let done = command.output().expect("the program");
    Ran {
        code: done.status.code().unwrap_or(-1),
        out: String::from_utf8(done.stdout).expect("UTF-8"),
        err: String::from_utf8(done.stderr).expect("UTF-8"),
    }
}
