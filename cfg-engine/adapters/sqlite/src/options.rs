//! How a store is opened, and the names of the engine's own tables.

use std::path::PathBuf;
use std::time::Duration;

use cfg_engine::config::CollectionConfig;

use crate::sql::quoted;

/// How a SQLite store is opened.
///
/// # Examples
///
/// ```
/// use cfg_engine_sqlite::SqliteOptions;
/// let options = SqliteOptions { create: true, ..SqliteOptions::new("app.db", Vec::new()) };
/// assert_eq!(options.history_table, "config_history");
/// ```
#[derive(Debug, Clone)]
pub struct SqliteOptions {
    /// The database file. History lives in the same file as the live tables.
    pub path: PathBuf,
    /// The versioned collections.
    pub collections: Vec<CollectionConfig>,
    /// The name of the table of entries. With the default the other tables are `cfg_records` and
    /// `cfg_objects`; with another name they are that name with `_records` and `_objects` behind it.
    pub history_table: String,
    /// The name of the table of heads.
    pub heads_table: String,
    /// Whether a missing file is created. Without it, a missing file is an error.
    pub create: bool,
    /// How long to wait for another writer before giving up.
    pub busy_timeout: Duration,
    /// By how many milliseconds the store's clock is off this machine's, for the tests of the storage
    /// contract: whoever keeps a clone steps it.
    #[cfg(feature = "conformance")]
    pub clock_offset: std::sync::Arc<std::sync::atomic::AtomicI64>,
}

const HISTORY: &str = "config_history";

impl SqliteOptions {
    /// Opens an existing file with the default table names and a patience of two seconds.
    pub fn new(path: impl Into<PathBuf>, collections: Vec<CollectionConfig>) -> Self {
        SqliteOptions {
            path: path.into(),
            collections,
            history_table: HISTORY.to_owned(),
            heads_table: "config_heads".to_owned(),
            create: false,
            busy_timeout: Duration::from_secs(2),
            #[cfg(feature = "conformance")]
            clock_offset: std::sync::Arc::default(),
        }
    }
}

/// The names of the engine's own tables, bare and quoted for SQL.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    pub(crate) bare: [String; 4],
    pub(crate) records: String,
    pub(crate) heads: String,
    pub(crate) history: String,
    pub(crate) objects: String,
}

impl Names {
    pub(crate) fn new(options: &SqliteOptions) -> Self {
        let history = options.history_table.clone();
        let beside = if history == HISTORY { "cfg" } else { &history };
        let (records, objects) = (format!("{beside}_records"), format!("{beside}_objects"));
        let heads = options.heads_table.clone();
        Names {
            records: quoted(&records),
            heads: quoted(&heads),
            history: quoted(&history),
            objects: quoted(&objects),
            bare: [records, heads, history, objects],
        }
    }

    /// Returns the quoted name of an index on the table of entries.
    pub(crate) fn index(&self, suffix: &str) -> String {
        quoted(&self.index_bare(suffix))
    }

    pub(crate) fn index_bare(&self, suffix: &str) -> String {
        format!("{}_{suffix}", self.bare[2])
    }
}
