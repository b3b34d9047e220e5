//! What `init` writes: a `.cfg.toml` to start from, and a line in `.gitignore`.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use cfg_engine::config::{Database, FILE_NAME, Shape};
use cfg_engine::history::CollectionName;

use crate::error::ConnectError;
use crate::staging::STATE_FOLDER;

/// Returns the text of a `.cfg.toml` to start from, for one kind of database.
///
/// # Examples
///
/// ```
/// use cfg_engine::config::{ConfigFile, Database};
/// let text = cfg_engine_connect::starter_config(Database::Sqlite, "my-agents");
/// assert_eq!(ConfigFile::parse(&text)?.project_name.as_deref(), Some("my-agents"));
/// # Ok::<(), cfg_engine::config::ConfigError>(())
/// ```
pub fn starter_config(database: Database, project: &str) -> String {
    Starter::new(database, project).text()
}

/// What is known when a `.cfg.toml` is begun; the rest stands in it as a comment.
///
/// # Examples
///
/// ```
/// use cfg_engine::config::{ConfigFile, Database};
/// use cfg_engine_connect::Starter;
/// let starter = Starter { table: Some("prompts".into()), ..Starter::new(Database::Sqlite, "my-agents") };
/// assert_eq!(ConfigFile::parse(&starter.text())?.collections[0].table, "prompts");
/// # Ok::<(), cfg_engine::config::ConfigError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Starter {
    /// The kind of database.
    pub database: Database,
    /// The project's name.
    pub project: String,
    /// The env's name; `dev` if not said.
    pub env: Option<String>,
    /// Where the database is: a path for SQLite, else `env:VARIABLE`.
    pub uri: Option<String>,
    /// The name of the database, where the URI does not say (MongoDB).
    pub db: Option<String>,
    /// The live table.
    pub table: Option<String>,
    /// The field that names a record.
    pub id_field: Option<String>,
    /// `doc` or `row`.
    pub shape: Option<Shape>,
    /// The column of the document.
    pub doc_column: Option<String>,
}

impl Starter {
    /// Says the kind of database and the project's name, and nothing else.
    pub fn new(database: Database, project: &str) -> Self {
        let project = project.to_owned();
        Starter {
            database,
            project,
            env: None,
            uri: None,
            db: None,
            table: None,
            id_field: None,
            shape: None,
            doc_column: None,
        }
    }

    /// Writes the file.
    pub fn text(&self) -> String {
        let name: String = self.project.chars().filter(|c| !c.is_control() && !matches!(c, '"' | '\\')).collect();
        let name = if name.trim().is_empty() { "my-project".to_owned() } else { name };
        let env = self.env.as_deref().unwrap_or("dev");
        let (collection, live, prod) = (self.collection(), self.live(), prod(self.database));
        format!(
            r#"# Every key is explained in docs/configuration.md. See what is in effect with: cfg config

[project]
name = "{name}"

# Where your live records are. Repeat the block for each table or collection.
[[collection]]
{collection}
live_when  = {{}}                  # which row is the live one, e.g. {{ is_active = true }}; {{}} = the one with that id

# What counts as a change, and what must never be stored. Top-level names; paths reach deeper.
[versioning]
ignore_fields   = ["updated_at", "updated_by", "created_at", "created_by"]
ignore_patterns = []             # e.g. ["backup_*"]
ignore_paths    = []             # e.g. ["metrics.calls", "tools[].last_used"]
secret_fields   = []             # e.g. ["api_key", "tools[].token"]: never in history

# What must not be saved by accident.
[secrets]
block_fields = ["*_key", "*_secret", "*_token", "*api_key*", "*password*"]
block_values = ['sk-[A-Za-z0-9]{{20,}}', 'AKIA[0-9A-Z]{{16}}']
on_match     = "refuse"          # or "warn"

[author]
from = "git"                     # git user.email; or "os", or "env" (CFG_AUTHOR must be set)

# One block per database. Credentials never stand here: "env:VARIABLE" names the variable that has them.
[env.{env}]
{live}

# [env.prod]
{prod}
# needs_approval = true
#
# [env.prod.rules]
# require_reason = true          # every change must say why
# require_clean  = true          # refuse while something was edited outside cfg
# confirm_word   = "prod"        # what a human types to approve
"#
        )
    }

    fn collection(&self) -> String {
        let mongo = self.database == Database::Mongo;
        let usual = if mongo { "agent_configs" } else { "configs" };
        let table = self.table.as_deref().unwrap_or(usual);
        let name = if CollectionName::new(table).is_ok() { table } else { usual };
        let mut lines = vec![
            line("name", name, &format!("how you address it: cfg log {name}:planner")),
            line("table", table, "what the database calls it"),
        ];
        let shape = self.shape.unwrap_or(Shape::Doc);
        if !mongo {
            let word = if shape == Shape::Doc { "doc" } else { "row" };
            lines.push(line("shape", word, "\"doc\": one column holds the JSON; \"row\": the row is the record"));
            if shape == Shape::Doc {
                lines.push(line("doc_column", self.doc_column.as_deref().unwrap_or("doc"), "that column"));
            }
        }
        let (id, more) = match mongo {
            true => ("_id", "or another field that names a record"),
            false => ("id", "or several columns: [\"tenant\", \"id\"]"),
        };
        lines.push(line("id_field", self.id_field.as_deref().unwrap_or(id), more));
        lines.join("\n")
    }

    fn live(&self) -> String {
        let database = format!("database = {}", quoted(self.database.as_str()));
        let (usual, comment) = match self.database {
            Database::Memory => return format!("{database}              # empty at every start; for trying things"),
            Database::Mongo => ("env:DEV_MONGODB_URI", ""),
            Database::Postgres => ("env:DEV_DATABASE_URL", ""),
            _ => ("app.db", "relative to this file"),
        };
        let uri = line("uri", self.uri.as_deref().unwrap_or(usual), comment).replacen("uri        =", "uri      =", 1);
        // A URI that was given may name the database itself.
        let db = match (&self.db, self.database) {
            (Some(db), _) => format!("\ndb       = {}", quoted(db)),
            (None, Database::Mongo) if self.uri.is_none() => "\ndb       = \"appdb-dev\"".to_owned(),
            _ => String::new(),
        };
        format!("{database}\n{uri}{db}")
    }
}

fn line(key: &str, value: &str, comment: &str) -> String {
    let set = format!("{key:<10} = {}", quoted(value));
    if comment.is_empty() { set } else { format!("{set:<32} # {comment}") }
}

/// Writes a TOML string.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn prod(database: Database) -> &'static str {
    match database {
        Database::Mongo => "# database = \"mongo\"\n# uri = \"env:PROD_MONGODB_URI\"\n# db = \"appdb\"",
        Database::Postgres => "# database = \"postgres\"\n# uri = \"env:PROD_DATABASE_URL\"",
        _ => "# database = \"sqlite\"\n# uri = \"env:PROD_DATABASE\"",
    }
}

/// Writes a `.cfg.toml` into a folder that has none. Returns its path, or nothing where one was there.
///
/// # Errors
///
/// [`ConnectError::File`].
pub fn write_config(folder: &Path, text: &str) -> Result<Option<PathBuf>, ConnectError> {
    let path = folder.join(FILE_NAME);
    let write = || -> std::io::Result<bool> {
        let mut file = match fs::File::create_new(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => return Ok(false),
            Err(e) => return Err(e),
        };
        file.write_all(text.as_bytes())?;
        Ok(true)
    };
    let written = write().map_err(|e| ConnectError::file("write", &path, &e))?;
    Ok(written.then_some(path))
}

/// Adds `.cfg/` to the folder's `.gitignore`: staged documents are nobody else's. Returns whether a
/// line was added; a second call adds none.
///
/// # Errors
///
/// [`ConnectError::File`].
pub fn ignore_state_folder(folder: &Path) -> Result<bool, ConnectError> {
    let path = folder.join(".gitignore");
    let before = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(e) => return Err(ConnectError::file("read", &path, &e)),
    };
    let names_it = |line: &str| line.trim().trim_start_matches('/').trim_end_matches('/') == STATE_FOLDER;
    if before.lines().any(names_it) {
        return Ok(false);
    }
    let end = if before.contains("\r\n") { "\r\n" } else { "\n" };
    let gap = if before.is_empty() || before.ends_with('\n') { "" } else { end };
    let line = format!("{gap}{STATE_FOLDER}/{end}");
    let append = || fs::OpenOptions::new().create(true).append(true).open(&path)?.write_all(line.as_bytes());
    append().map_err(|e: std::io::Error| ConnectError::file("write", &path, &e))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use cfg_engine::config::ConfigFile;

    use super::*;

    #[test]
    fn what_is_written_loads_with_and_without_the_comments() {
        for database in [Database::Sqlite, Database::Memory, Database::Postgres, Database::Mongo] {
            let text = starter_config(database, "a \"b\"\nc");
            let file = ConfigFile::parse(&text).unwrap_or_else(|e| panic!("{e}\n{text}"));
            assert_eq!(file.project_name.as_deref(), Some("a bc"));
            assert_eq!((file.envs.len(), file.envs[0].database), (1, database));
            // The env that is commented out must be right too.
            let (head, tail) = text.split_once("# [env.prod]").expect("prod");
            let whole = format!("{head}[env.prod]{}", tail.replace("\n# ", "\n").replace("\n#\n", "\n\n"));
            let file = ConfigFile::parse(&whole).unwrap_or_else(|e| panic!("{e}\n{whole}"));
            assert!(file.env("prod").expect("prod").needs_approval);
            assert!(!text.contains(" \n"));
        }
        assert!(starter_config(Database::Sqlite, " ").contains("my-project"));
    }

    #[test]
    fn what_is_known_stands_in_the_file() {
        let starter = Starter {
            env: Some("local".into()),
            uri: Some("data \"x\".db".into()),
            db: None,
            table: Some("odd table".into()),
            id_field: Some("config_id".into()),
            doc_column: Some("body\\".into()),
            ..Starter::new(Database::Sqlite, "p")
        };
        let file = ConfigFile::parse(&starter.text()).unwrap_or_else(|e| panic!("{e}\n{}", starter.text()));
        let collection = &file.collections[0];
        assert_eq!((collection.name.as_str(), collection.table.as_str()), ("configs", "odd table"));
        assert_eq!(
            (collection.id_fields.as_slice(), collection.doc_column.as_str()),
            (&["config_id".into()][..], "body\\")
        );
        assert_eq!(file.env("local").expect("the env").uri.as_ref().expect("a uri").text(), "data \"x\".db");
        let row = Starter { shape: Some(Shape::Row), ..Starter::new(Database::Sqlite, "p") };
        assert_eq!(ConfigFile::parse(&row.text()).expect("valid").collections[0].shape, Shape::Row);
    }

    #[test]
    fn an_existing_file_is_not_touched() {
        let dir = tempfile::tempdir().expect("a folder");
        assert!(write_config(dir.path(), "one").expect("write").is_some());
        assert!(write_config(dir.path(), "two").expect("write").is_none());
        assert_eq!(fs::read_to_string(dir.path().join(FILE_NAME)).expect("read"), "one");
    }

    #[test]
    fn the_ignore_line_is_added_once() {
        for (before, after) in [
            ("", ".cfg/\n"),
            ("target", "target\n.cfg/\n"),
            ("target\n", "target\n.cfg/\n"),
            ("a\r\nb\r\n", "a\r\nb\r\n.cfg/\r\n"),
            ("#.cfg/\n.cfg.toml\n", "#.cfg/\n.cfg.toml\n.cfg/\n"),
        ] {
            let dir = tempfile::tempdir().expect("a folder");
            let path = dir.path().join(".gitignore");
            if !before.is_empty() {
                fs::write(&path, before).expect("write");
            }
            assert!(ignore_state_folder(dir.path()).expect("add"));
            assert!(!ignore_state_folder(dir.path()).expect("again"));
            assert_eq!(fs::read_to_string(&path).expect("read"), after);
        }
        for there in [".cfg\n", "/.cfg/\n", "x\n  .cfg/  \n"] {
            let dir = tempfile::tempdir().expect("a folder");
            fs::write(dir.path().join(".gitignore"), there).expect("write");
            assert!(!ignore_state_folder(dir.path()).expect("there"));
        }
    }
}
