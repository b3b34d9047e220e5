//! Connections: how they are opened, what they know of the database, and the one place where
//! statements are prepared.

use std::cell::{Cell as Counter, RefCell};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use cfg_engine::adapter::{AdapterError, ClockReading};
use cfg_engine::config::CollectionConfig;
use cfg_engine::history::{CollectionName, Timestamp};
use rusqlite::{CachedStatement, Connection, OpenFlags};

use crate::errors::{OrAdapterError, not_initialised, setup};
use crate::options::{Names, SqliteOptions};
use crate::schema::{self, History};
use crate::sql::NOW;
use crate::table::LiveTable;

/// What all connections of an adapter share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) options: SqliteOptions,
    pub(crate) names: Names,
    pub(crate) started: Instant,
    /// The newest description of the database; a connection that sees the same schema takes it.
    newest: Mutex<Option<Arc<Catalog>>>,
}

/// What the database looks like at one version of its schema.
#[derive(Debug)]
pub(crate) struct Catalog {
    version: i64,
    pub(crate) history: Result<History, AdapterError>,
    tables: HashMap<CollectionName, Result<Arc<LiveTable>, AdapterError>>,
}

impl Catalog {
    /// Returns the live table of a collection.
    ///
    /// # Errors
    ///
    /// [`AdapterError::Setup`] for a collection that is not configured or does not fit its table.
    pub(crate) fn table(&self, collection: &CollectionName) -> Result<&Arc<LiveTable>, AdapterError> {
        match self.tables.get(collection) {
            Some(Ok(table)) => Ok(table),
            Some(Err(error)) => Err(error.clone()),
            None => Err(setup(format!("no collection {collection} is configured"), "add it to the configuration")),
        }
    }

    /// Returns whether history can be read; without the engine's tables there is none to read.
    pub(crate) fn has_history(&self) -> Result<bool, AdapterError> {
        self.history.clone().map(|history| history == History::Ready)
    }

    /// Refuses what needs the engine's tables.
    pub(crate) fn require_history(&self) -> Result<(), AdapterError> {
        if self.has_history()? { Ok(()) } else { Err(not_initialised()) }
    }
}

impl Shared {
    pub(crate) fn new(options: SqliteOptions, started: Instant) -> Arc<Self> {
        let names = Names::new(&options);
        Arc::new(Shared { options, names, started, newest: Mutex::new(None) })
    }

    /// Returns the configuration of each collection, by name.
    pub(crate) fn collections(&self) -> &[CollectionConfig] {
        &self.options.collections
    }

    /// Returns the newest description that any connection has made.
    pub(crate) fn newest(&self) -> Option<Arc<Catalog>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    #[expect(clippy::disallowed_methods, reason = "an adapter measures time passed since the store's clock was read")]
    pub(crate) fn monotonic(&self) -> Duration {
        Instant::now().saturating_duration_since(self.started)
    }
}

/// Makes sure that a path is one: SQLite reads `:memory:` and `file:…?…` as something else.
fn file_path(path: &Path) -> Result<PathBuf, AdapterError> {
    let text = path.to_string_lossy();
    if text.is_empty() || text.starts_with(':') {
        return Err(setup(
            "the database must be a file",
            "name a file, or use `database = \"memory\"` for a store that is not kept",
        ));
    }
    if text.starts_with("file:") { Ok(Path::new(".").join(path)) } else { Ok(path.to_owned()) }
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Read,
    Write,
    /// The first one: the file may be created.
    First,
}

/// One connection with its knowledge of the database.
#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) db: Connection,
    pub(crate) shared: Arc<Shared>,
    catalog: RefCell<Option<Arc<Catalog>>>,
    /// How many statements were run, for the tests that count them.
    statements: Counter<u64>,
}

impl Conn {
    pub(crate) fn open(shared: &Arc<Shared>, purpose: Purpose) -> Result<Self, AdapterError> {
        let options = &shared.options;
        let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        if purpose == Purpose::First && options.create {
            flags |= OpenFlags::SQLITE_OPEN_CREATE;
        }
        let db = Connection::open_with_flags(file_path(&options.path)?, flags).map_err(|error| {
            if options.create || options.path.exists() {
                return crate::errors::from_sqlite(&error);
            }
            crate::errors::unreachable(format!(
                "there is no database file {}; check `uri` in the configuration (a relative path is relative to the \
                 configuration file)",
                options.path.display()
            ))
        })?;
        db.busy_timeout(options.busy_timeout).sql()?;
        db.set_prepared_statement_cache_capacity(96);
        let pragmas = match purpose {
            // WAL and FULL: a commit that was confirmed survives a power failure.
            // The log is folded back every 16 MB, and dirty pages wait in 32 MB: a batch of a thousand
            // records would else do the one each time and write pages twice for want of the other.
            Purpose::Write => {
                "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA cache_size = -32000; \
                 PRAGMA wal_autocheckpoint = 4000;"
            }
            Purpose::Read | Purpose::First => "PRAGMA query_only = ON; PRAGMA cache_size = -8000;",
        };
        db.execute_batch(pragmas).sql()?;
        Ok(Conn { db, shared: Arc::clone(shared), catalog: RefCell::new(None), statements: Counter::new(0) })
    }

    /// Prepares a statement, or takes it from the cache, to run it once.
    pub(crate) fn statement(&self, sql: &str) -> Result<CachedStatement<'_>, AdapterError> {
        self.statements.set(self.statements.get() + 1);
        self.db.prepare_cached(sql).sql()
    }

    #[cfg(test)]
    pub(crate) fn statements(&self) -> u64 {
        self.statements.get()
    }

    /// Starts a read: all that follows until the returned guard is dropped sees one snapshot.
    pub(crate) fn snapshot(&self) -> Result<(rusqlite::Transaction<'_>, Arc<Catalog>), AdapterError> {
        let snapshot = self.db.unchecked_transaction().sql()?;
        let catalog = self.catalog()?;
        Ok((snapshot, catalog))
    }

    /// Returns what the database looks like, inside the current transaction.
    pub(crate) fn catalog(&self) -> Result<Arc<Catalog>, AdapterError> {
        let version: i64 = self.statement("PRAGMA schema_version")?.query_row([], |row| row.get(0)).sql()?;
        let own = self.catalog.borrow().clone();
        if let Some(catalog) = own.filter(|catalog| catalog.version == version) {
            return Ok(catalog);
        }
        let mut newest = self.shared.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let catalog = match newest.as_ref().filter(|catalog| catalog.version == version) {
            Some(catalog) => Arc::clone(catalog),
            None => Arc::new(self.describe(version)),
        };
        *newest = Some(Arc::clone(&catalog));
        *self.catalog.borrow_mut() = Some(Arc::clone(&catalog));
        Ok(catalog)
    }

    fn describe(&self, version: i64) -> Catalog {
        let describe = |config: &CollectionConfig| LiveTable::describe(&self.db, config).map(Arc::new);
        Catalog {
            version,
            history: schema::history(&self.db, &self.shared.names),
            tables: self.shared.collections().iter().map(|c| (c.name.clone(), describe(c))).collect(),
        }
    }

    /// Looks at the database anew, whatever the version of its schema says.
    pub(crate) fn look_again(&self) -> Result<(), AdapterError> {
        *self.catalog.borrow_mut() = None;
        *self.shared.newest.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.catalog().map(drop)
    }

    /// Reads the clock of the store, which is this machine's as SQLite reads it.
    pub(crate) fn clock(&self) -> Result<ClockReading, AdapterError> {
        let taken = self.shared.monotonic();
        let sql = format!("SELECT {NOW}");
        let ms: i64 = self.statement(&sql)?.query_row([], |row| row.get(0)).sql()?;
        #[cfg(feature = "conformance")]
        let ms = ms + self.shared.options.clock_offset.load(std::sync::atomic::Ordering::SeqCst);
        Ok(ClockReading { store: Timestamp::from_millis(ms), taken })
    }
}
