//! How a store is opened, and the names of the engine's own tables.

use std::fmt;
use std::time::Duration;

use cfg_engine::config::CollectionConfig;

use crate::sql::quoted;

/// How a PostgreSQL database is opened.
///
/// # Examples
///
/// ```
/// use cfg_engine_postgres::PostgresOptions;
/// let options = PostgresOptions::new("postgresql://app:hunter2@db.example/app", Vec::new());
/// assert_eq!(options.schema, "cfg");
/// assert!(!format!("{options:?}").contains("hunter2"));
/// ```
#[derive(Clone)]
pub struct PostgresOptions {
    /// Where the database is: a `postgresql://` URI or `host=… user=…`. History lives in the same database as
    /// the live tables.
    pub uri: String,
    /// The versioned collections. A table is looked for on the connection's search path; `schema.table`
    /// names one elsewhere.
    pub collections: Vec<CollectionConfig>,
    /// The schema of the engine's own tables.
    pub schema: String,
    /// The most connections that are open at once.
    pub max_connections: usize,
    /// How long to wait for the server, or for one of the connections to become free.
    pub patience: Duration,
}

impl PostgresOptions {
    /// Opens a database with history in the schema `cfg`.
    pub fn new(uri: impl Into<String>, collections: Vec<CollectionConfig>) -> Self {
        PostgresOptions {
            uri: uri.into(),
            collections,
            schema: "cfg".to_owned(),
            max_connections: 32,
            patience: Duration::from_secs(10),
        }
    }
}

impl fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresOptions")
            .field("schema", &self.schema)
            .field("collections", &self.collections.len())
            .finish_non_exhaustive()
    }
}

/// The names of the engine's own tables, quoted for SQL.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    /// The schema, bare.
    pub(crate) schema: String,
    pub(crate) records: String,
    pub(crate) heads: String,
    pub(crate) history: String,
    pub(crate) objects: String,
}

impl Names {
    pub(crate) fn new(schema: &str) -> Self {
        let table = |name: &str| format!("{}.{}", quoted(schema), quoted(name));
        Names {
            schema: schema.to_owned(),
            records: table("records"),
            heads: table("heads"),
            history: table("history"),
            objects: table("objects"),
        }
    }
}
