//! How a store is opened, and the names of the engine's own collections.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use cfg_engine::config::CollectionConfig;

const HISTORY: &str = "config_history";

/// How a MongoDB store is opened.
///
/// `Debug` shows neither URI.
///
/// # Examples
///
/// ```
/// use cfg_engine_mongodb::MongoOptions;
/// let options = MongoOptions::new("mongodb://user:secret@db.example/app", Vec::new());
/// assert_eq!(options.history_table, "config_history");
/// assert!(!format!("{options:?}").contains("secret"));
/// ```
#[derive(Clone)]
pub struct MongoOptions {
    /// Where live is.
    pub uri: String,
    /// The database of live, where the URI does not name it.
    pub db: Option<String>,
    /// Where history lies, if not beside live.
    pub history_uri: Option<String>,
    /// The database of history, if not that of live.
    pub history_db: Option<String>,
    /// The versioned collections.
    pub collections: Vec<CollectionConfig>,
    /// The name of the collection of entries. With the default the engine's own documents are in
    /// `cfg_objects`; with another name they are in that name with `_objects` behind it.
    pub history_table: String,
    /// The name of the collection of heads.
    pub heads_table: String,
    /// What errors call this store beside its address: the name of the env.
    pub label: Option<String>,
    /// How long a server that does not answer is waited for.
    pub timeout: Duration,
    /// Is told the name of every command that is sent, as it is sent.
    pub on_command: Option<OnCommand>,
}

/// Is told the names of commands.
pub type OnCommand = Arc<dyn Fn(&str) + Send + Sync>;

impl MongoOptions {
    /// Opens a database with the default names and a patience of four seconds.
    pub fn new(uri: impl Into<String>, collections: Vec<CollectionConfig>) -> Self {
        MongoOptions {
            uri: uri.into(),
            db: None,
            history_uri: None,
            history_db: None,
            collections,
            history_table: HISTORY.to_owned(),
            heads_table: "config_heads".to_owned(),
            label: None,
            timeout: Duration::from_secs(4),
            on_command: None,
        }
    }
}

impl fmt::Debug for MongoOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MongoOptions")
            .field("db", &self.db)
            .field("history_db", &self.history_db)
            .finish_non_exhaustive()
    }
}

/// The names of the engine's own collections.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    pub(crate) history: String,
    pub(crate) heads: String,
    pub(crate) objects: String,
    /// Intents of changes where there are no transactions.
    pub(crate) pending: String,
}

impl Names {
    pub(crate) fn new(options: &MongoOptions) -> Self {
        let history = options.history_table.clone();
        let beside = if history == HISTORY { "cfg" } else { &history };
        Names {
            objects: format!("{beside}_objects"),
            pending: format!("{beside}_pending"),
            heads: options.heads_table.clone(),
            history,
        }
    }
}
