//! What `init` writes: a `.cfg.toml` to start from, and a line in `.gitignore`.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use cfg_engine::config::{Database, FILE_NAME};

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
    let name: String = project.chars().filter(|c| !c.is_control() && !matches!(c, '"' | '\\')).collect();
    let name = if name.trim().is_empty() { "my-project".to_owned() } else { name };
    let (collection, id_type, dev, prod) = match database {
        Database::Mongo => (MONGO_COLLECTION, MONGO_IDS, MONGO_DEV, MONGO_PROD),
        Database::Postgres => (SQL_COLLECTION, SQL_IDS, POSTGRES_DEV, POSTGRES_PROD),
        Database::Memory => (SQL_COLLECTION, SQL_IDS, MEMORY_DEV, SQLITE_PROD),
        _ => (SQL_COLLECTION, SQL_IDS, SQLITE_DEV, SQLITE_PROD),
    };
    format!(
        r#"# Every key is explained in docs/configuration.md. See what is in effect with: cfg config

[project]
name = "{name}"

# Where your live records are. Repeat the block for each table or collection.
[[collection]]
{collection}
{id_type}
live_when = {{}}                 # which row is the live one, e.g. {{ is_active = true }}; {{}} = the one with that id

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
[env.dev]
{dev}

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

const SQL_COLLECTION: &str = r#"name       = "configs"           # how you address it: cfg log configs:planner
table      = "configs"           # what the database calls it
shape      = "doc"               # "doc": one column holds the JSON; "row": the row is the record
doc_column = "doc""#;
const SQL_IDS: &str = r#"id_field   = "id"                # or several columns: ["tenant", "id"]"#;
const MONGO_COLLECTION: &str = r#"name      = "agent_configs"      # how you address it: cfg log agent_configs:planner
table     = "agent_configs"      # what the database calls it"#;
const MONGO_IDS: &str = r#"id_field  = "_id"                # or another field that names a record"#;

const SQLITE_DEV: &str = "database = \"sqlite\"\nuri = \"app.db\"                   # relative to this file";
const SQLITE_PROD: &str = "# database = \"sqlite\"\n# uri = \"env:PROD_DATABASE\"";
const MEMORY_DEV: &str = "database = \"memory\"              # empty at every start; for trying things";
const POSTGRES_DEV: &str = "database = \"postgres\"\nuri = \"env:DEV_DATABASE_URL\"";
const POSTGRES_PROD: &str = "# database = \"postgres\"\n# uri = \"env:PROD_DATABASE_URL\"";
const MONGO_DEV: &str = "database = \"mongo\"\nuri = \"env:DEV_MONGODB_URI\"\ndb = \"appdb-dev\"";
const MONGO_PROD: &str = "# database = \"mongo\"\n# uri = \"env:PROD_MONGODB_URI\"\n# db = \"appdb\"";

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
