//! Which adapter an env needs, and what it needs to open.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cfg_engine::adapter::{MemoryAdapter, StorageAdapter};
use cfg_engine::config::{ConfigFile, Database, EnvConfig, UriSource};
use cfg_engine::history::Timestamp;
use cfg_engine_mongodb::{MongoAdapter, MongoOptions};
use cfg_engine_postgres::{PostgresAdapter, PostgresOptions};
use cfg_engine_sqlite::{SqliteAdapter, SqliteOptions};

use crate::error::ConnectError;
use crate::variables::Variables;

/// Whether a database that is not there yet is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Create {
    /// It must be there.
    #[default]
    Never,
    /// It is made: `init`.
    IfMissing,
}

/// What the history is called where the configuration does not say.
const HISTORY: &str = "config_history";

/// Opens the store of an env.
pub(crate) async fn open_adapter(
    config: &ConfigFile,
    env: &EnvConfig,
    root: &Path,
    create: Create,
    variables: &Variables,
) -> Result<Arc<dyn StorageAdapter>, ConnectError> {
    match env.database {
        Database::Sqlite => {
            let path = sqlite_path(env, &uri(env, variables)?, root)?;
            let options = SqliteOptions {
                history_table: config.history_table.clone(),
                heads_table: config.heads_table.clone(),
                create: create == Create::IfMissing,
                ..SqliteOptions::new(path, config.collections.clone())
            };
            Ok(Arc::new(SqliteAdapter::open(options)?))
        }
        Database::Mongo => {
            let text = |source: &Option<UriSource>| source.as_ref().map(|uri| given(env, uri, variables)).transpose();
            let options = MongoOptions {
                db: env.db.clone(),
                history_uri: text(&env.history_uri)?,
                history_db: env.history_db.clone(),
                history_table: config.history_table.clone(),
                heads_table: config.heads_table.clone(),
                label: Some(env.name.to_string()),
                ..MongoOptions::new(uri(env, variables)?, config.collections.clone())
            };
            Ok(Arc::new(MongoAdapter::open(options).await?))
        }
        Database::Postgres => {
            let mut options = PostgresOptions::new(uri(env, variables)?, config.collections.clone());
            // The engine's tables have a schema of their own; another name for the history is its name.
            if config.history_table != HISTORY {
                options.schema = config.history_table.clone();
            }
            Ok(Arc::new(PostgresAdapter::open(options).await?))
        }
        Database::Memory => {
            Ok(Arc::new(MemoryAdapter::new(config.collections.clone()).with_clock(Box::new(wall_clock))))
        }
        other => Err(ConnectError::NoAdapter { database: other.title() }),
    }
}

/// The memory store lives in this process, so its clock is this machine's.
#[expect(clippy::disallowed_methods, reason = "the clock of a store")]
fn wall_clock() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Returns the URI, from the file or from the variable that the file names.
fn uri(env: &EnvConfig, variables: &Variables) -> Result<String, ConnectError> {
    match &env.uri {
        Some(source) => given(env, source, variables),
        // The configuration does not load without one.
        None => Err(bad_uri(env, "there is no uri", "add uri to the env")),
    }
}

fn given(env: &EnvConfig, source: &UriSource, variables: &Variables) -> Result<String, ConnectError> {
    match source {
        UriSource::Plain(text) => Ok(text.clone()),
        UriSource::Env(variable) => variables
            .get(variable)
            .ok_or_else(|| ConnectError::VariableUnset { env: env.name.to_string(), variable: variable.clone() }),
    }
}

fn bad_uri(env: &EnvConfig, problem: &'static str, hint: &'static str) -> ConnectError {
    ConnectError::BadUri { env: env.name.to_string(), problem, hint }
}

/// Returns the file that `app.db`, `sqlite:app.db` or `sqlite://app.db` names, seen from the project's folder.
fn sqlite_path(env: &EnvConfig, uri: &str, root: &Path) -> Result<PathBuf, ConnectError> {
    const HINT: &str = "write the path of the file: uri = \"data/app.db\", sqlite:data/app.db or sqlite:///srv/app.db";
    let path = match uri.strip_prefix("sqlite:") {
        Some(rest) => {
            if rest.contains(['?', '#']) {
                return Err(bad_uri(env, "the uri has parameters, which have no meaning here", HINT));
            }
            rest.strip_prefix("//").unwrap_or(rest)
        }
        None if uri.contains("://") || uri.starts_with("file:") => {
            return Err(bad_uri(env, "the uri is not that of a SQLite file", HINT));
        }
        None => uri,
    };
    if path.is_empty() || path.ends_with(['/', '\\']) || path.contains('\0') {
        return Err(bad_uri(env, "the uri names no file", HINT));
    }
    if path == ":memory:" {
        let hint = "write database = \"memory\" instead";
        return Err(bad_uri(env, "a SQLite database in memory would be lost with each command", hint));
    }
    Ok(root.join(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(database: &str, uri: &str) -> EnvConfig {
        let text = format!(
            "[[collection]]\nname = \"a\"\nid_field = \"id\"\n[env.dev]\ndatabase = \"{database}\"\nuri = \"{uri}\"\n"
        );
        ConfigFile::parse(&text).expect("valid").envs.remove(0)
    }

    #[test]
    fn sqlite_paths() {
        let root = Path::new("/project");
        let env = env("sqlite", "x");
        for (uri, path) in [
            ("app.db", "/project/app.db"),
            ("./data/app.db", "/project/./data/app.db"),
            ("/srv/app.db", "/srv/app.db"),
            ("sqlite:app.db", "/project/app.db"),
            ("sqlite://data/app.db", "/project/data/app.db"),
            ("sqlite:///srv/app.db", "/srv/app.db"),
            ("odd?name.db", "/project/odd?name.db"),
        ] {
            assert_eq!(sqlite_path(&env, uri, root).expect(uri), Path::new(path), "{uri}");
        }
        for bad in [
            "sqlite:",
            "sqlite://",
            "data/",
            ":memory:",
            "sqlite::memory:",
            "sqlite:a.db?mode=ro",
            "postgres://db/x",
            "file:a.db",
        ] {
            let error = sqlite_path(&env, bad, root).expect_err(bad);
            assert!(!error.to_string().contains("postgres"), "{error}");
            assert!(!error.hint().is_empty());
        }
    }

    #[test]
    fn an_unset_variable_is_named() {
        let env = env("sqlite", "env:APP_DB");
        let error = uri(&env, &Variables::fixed([("APP_DB", "")])).expect_err("unset");
        assert_eq!(error.to_string(), "env dev: the environment variable APP_DB is not set");
        assert_eq!(uri(&env, &Variables::fixed([("APP_DB", "x.db")])).expect("set"), "x.db");
    }
}
