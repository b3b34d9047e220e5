//! Connections: how they are made, kept and handed out, and the one place where statements are run.

use std::collections::HashSet;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use cfg_engine::adapter::AdapterError;
use deadpool_postgres::tokio_postgres::{Client as PgClient, Config as PgConfig, Error as PgError};
use deadpool_postgres::{Connect, Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime, Timeouts};
use futures_util::TryStreamExt;
use tokio::task::JoinHandle;
use tokio_postgres::{Row, RowStream};

use crate::catalog::Catalog;
use crate::errors::{from_connect, setup, unreachable};
use crate::options::{Names, PostgresOptions};
use crate::sql::{Params, literal};
use crate::tls::{Target, target};

/// How many statements an adapter keeps prepared on each connection.
const PREPARED: usize = 200;

/// What all tasks of an adapter share.
pub(crate) struct Shared {
    pub(crate) options: PostgresOptions,
    pub(crate) names: Names,
    pub(crate) catalog: Mutex<Arc<Catalog>>,
    /// Whether a session belongs to its client alone.
    sessions: Arc<Sessions>,
    /// Connections for looking at records by key, and for writing them.
    points: Pool,
    /// Connections for reading tables through; none where there may be only one connection.
    scans: Option<Pool>,
    place: String,
    started: Instant,
    /// Statements that were run once already.
    seen: Mutex<HashSet<String>>,
    /// How many messages were sent that the server has to answer, for the tests that count round trips.
    round_trips: AtomicU64,
}

/// What was found out about the sessions that the server, or a pooler before it, gives.
///
/// A prepared statement belongs to a session. A pooler in transaction mode gives each transaction another
/// one, in which another client may have prepared something else under the same name. So each connection
/// names its session in its start-up packet; where the name does not come back, or the packet is refused
/// for it, nothing that outlives a transaction is used any more.
#[derive(Debug, Default)]
struct Sessions {
    shared: AtomicBool,
    refuses_options: AtomicBool,
    counter: AtomicU64,
}

struct Connector {
    target: Arc<Target>,
    sessions: Arc<Sessions>,
    /// What its sessions are set to.
    settings: &'static str,
}

/// Statements that look records up by their keys, and only by them. They are planned once and not each time
/// anew, which would take longer than what they do; and always by index, so that a plan made while a table
/// was empty still does when it has grown.
const POINT_SETTINGS: &str = "-c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c random_page_cost=0.1 \
                              -c seq_page_cost=0.1 -c jit=off";

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// Records by key.
    Points,
    /// Whole tables.
    Scans,
}

impl Connect for Connector {
    fn connect(
        &self,
        config: &PgConfig,
    ) -> Pin<Box<dyn Future<Output = Result<(PgClient, JoinHandle<()>), PgError>> + Send + '_>> {
        let config = config.clone();
        Box::pin(async move {
            let name = format!("{:x}.{:x}", std::process::id(), self.sessions.counter.fetch_add(1, Ordering::Relaxed));
            if self.sessions.refuses_options.load(Ordering::Relaxed) {
                return self.open(&config).await;
            }
            let mut named = config.clone();
            let own = config.get_options().unwrap_or_default();
            let settings = self.settings;
            named.options(format!("{own} -c cfg_engine.session={name} {settings}").trim());
            match self.open(&named).await {
                Ok((client, task)) => {
                    let row = client.query_typed("SELECT current_setting('cfg_engine.session', true)", &[]).await?;
                    let found: Option<String> = row.first().and_then(|row| row.get(0));
                    if found.as_deref() != Some(name.as_str()) {
                        self.sessions.shared.store(true, Ordering::Relaxed);
                    }
                    Ok((client, task))
                }
                // `unsupported startup parameter: options`, as pgbouncer has it.
                Err(error) if error.code().is_some_and(|code| code.code() == "08P01") => {
                    let opened = self.open(&config).await?;
                    self.sessions.shared.store(true, Ordering::Relaxed);
                    self.sessions.refuses_options.store(true, Ordering::Relaxed);
                    Ok(opened)
                }
                Err(error) => Err(error),
            }
        })
    }
}

impl Connector {
    async fn open(&self, config: &PgConfig) -> Result<(PgClient, JoinHandle<()>), PgError> {
        let (client, connection) = config.connect(self.target.tls.clone()).await?;
        let task = tokio::spawn(async move {
            if connection.await.is_err() {
                tracing::debug!("a connection to PostgreSQL ended");
            }
        });
        Ok((client, task))
    }
}

impl Shared {
    pub(crate) fn new(options: PostgresOptions, started: Instant) -> Result<Self, AdapterError> {
        let mut target = target(&options.uri)?;
        if options.schema.is_empty() || options.schema.len() > 63 || options.schema.starts_with("pg_") {
            return Err(setup(
                "the name of the history schema cannot be used",
                "use up to 63 bytes, not beginning with pg_",
            ));
        }
        if target.config.get_connect_timeout().is_none() {
            target.config.connect_timeout(options.patience);
        }
        let sessions = Arc::new(Sessions::default());
        let place = target.place.clone();
        let target = Arc::new(target);
        let pool = |size: usize, settings| {
            let connector = Connector { target: Arc::clone(&target), sessions: Arc::clone(&sessions), settings };
            let how = ManagerConfig { recycling_method: RecyclingMethod::Fast };
            Pool::builder(Manager::from_connect(target.config.clone(), connector, how))
                .max_size(size)
                .runtime(Runtime::Tokio1)
                .timeouts(Timeouts {
                    wait: Some(options.patience),
                    create: Some(options.patience.saturating_mul(2)),
                    recycle: Some(options.patience),
                })
                .build()
                .map_err(|_| setup("the pool of connections cannot be set up", "this is a defect; please report it"))
        };
        // Long reads are few, and must not keep the short ones waiting.
        let most = options.max_connections.max(1);
        let (points, scans) = match most {
            1 => (pool(1, "")?, None),
            most => (pool(most - most.div_ceil(4), POINT_SETTINGS)?, Some(pool(most.div_ceil(4), "")?)),
        };
        let names = Names::new(&options.schema);
        let catalog = Mutex::new(Arc::new(Catalog::unread(&options.collections)));
        Ok(Shared {
            options,
            names,
            catalog,
            sessions,
            points,
            scans,
            place,
            started,
            seen: Mutex::default(),
            round_trips: AtomicU64::new(0),
        })
    }

    /// Takes a connection.
    pub(crate) async fn conn(self: &Arc<Self>, what_for: Use) -> Result<Conn, AdapterError> {
        let pool = match (what_for, &self.scans) {
            (Use::Scans, Some(scans)) => scans,
            _ => &self.points,
        };
        let client = pool.get().await.map_err(|error| match error {
            PoolError::Backend(error) => from_connect(&error, &self.place),
            PoolError::Timeout(deadpool_postgres::TimeoutType::Wait) => unreachable("all connections are in use"),
            PoolError::Timeout(_) => AdapterError::Unreachable {
                store: format!("postgres at {}", self.place),
                reason: "the server did not answer in time".to_owned(),
            },
            _ => unreachable("no connection can be had"),
        })?;
        Ok(Conn { client: Some(client), shared: Arc::clone(self) })
    }

    /// Returns the newest description of the live tables.
    pub(crate) fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.catalog.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the description of the live tables anew.
    pub(crate) async fn look_again(self: &Arc<Self>) -> Result<Arc<Catalog>, AdapterError> {
        let conn = self.conn(Use::Points).await?;
        let catalog = Arc::new(Catalog::read(&conn, &self.options.collections).await?);
        *self.catalog.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&catalog);
        Ok(catalog)
    }

    #[expect(clippy::disallowed_methods, reason = "an adapter measures time passed since the store's clock was read")]
    pub(crate) fn monotonic(&self) -> Duration {
        Instant::now().saturating_duration_since(self.started)
    }

    pub(crate) fn round_trips(&self) -> u64 {
        self.round_trips.load(Ordering::Relaxed)
    }

    fn count_round_trip(&self) {
        self.round_trips.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns whether a statement is worth preparing: it came before, and the session is ours.
    fn worth_preparing(&self, sql: &str) -> bool {
        if self.sessions.shared.load(Ordering::Relaxed) {
            return false;
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.contains(sql) {
            return true;
        }
        if seen.len() < PREPARED {
            seen.insert(sql.to_owned());
        }
        false
    }
}

/// One connection, for as long as it is needed.
pub(crate) struct Conn {
    client: Option<Object>,
    pub(crate) shared: Arc<Shared>,
}

impl Conn {
    fn client(&self) -> &Object {
        self.client.as_ref().expect("only discard takes the connection, and it takes self")
    }

    /// Runs a statement and streams its rows. The first time it goes as one message; from then on it is
    /// prepared, where that is safe.
    pub(crate) async fn stream(&self, sql: &str, params: &Params) -> Result<RowStream, PgError> {
        let client = self.client();
        if self.shared.worth_preparing(sql) {
            let before = client.statement_cache.size();
            let statement = client.prepare_typed_cached(sql, params.types()).await?;
            if client.statement_cache.size() > before {
                self.shared.count_round_trip();
            }
            self.shared.count_round_trip();
            return client.query_raw(&statement, params.values()).await;
        }
        self.shared.count_round_trip();
        client.query_typed_raw(sql, params.typed()).await
    }

    /// Runs a statement and collects its rows.
    pub(crate) async fn rows(&self, sql: &str, params: &Params) -> Result<Vec<Row>, PgError> {
        self.stream(sql, params).await?.try_collect().await
    }

    /// Runs plain statements.
    pub(crate) async fn batch(&self, sql: &str) -> Result<(), PgError> {
        self.shared.count_round_trip();
        self.client().batch_execute(sql).await
    }

    /// Closes the connection instead of handing it to the next: what runs on it is of no use to anybody.
    pub(crate) fn discard(mut self) {
        if let Some(client) = self.client.take() {
            drop(Object::take(client));
        }
    }

    /// Starts a transaction together with its first statement.
    pub(crate) async fn begin(self, how: &str) -> Result<Transaction, (PgError, Conn)> {
        match self.batch(how).await {
            Ok(()) => Ok(Transaction { conn: Some(self) }),
            Err(error) => Err((error, self)),
        }
    }
}

/// An open transaction. Dropped, it takes its connection with it, and the server rolls back.
pub(crate) struct Transaction {
    conn: Option<Conn>,
}

impl Transaction {
    pub(crate) fn conn(&self) -> &Conn {
        self.conn.as_ref().expect("only the end of a transaction takes its connection")
    }

    /// Commits and gives the connection back.
    pub(crate) async fn commit(mut self) -> Result<(), PgError> {
        self.conn().batch("COMMIT").await?;
        drop(self.conn.take());
        Ok(())
    }

    /// Rolls back and gives the connection back.
    pub(crate) async fn rollback(mut self) {
        if self.conn().batch("ROLLBACK").await.is_ok() {
            drop(self.conn.take());
        }
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if let Some(conn) = self.conn.take() {
            conn.discard();
        }
    }
}

/// Settings under which every type prints its one text, for this statement alone.
///
/// The session's own settings are not used: behind a pooler they are somebody else's. As a condition
/// without a column it is evaluated once, before any row.
pub(crate) fn fixed_settings() -> String {
    let settings = [
        ("TimeZone", "UTC"),
        ("DateStyle", "ISO, YMD"),
        ("IntervalStyle", "iso_8601"),
        ("extra_float_digits", "1"),
        ("bytea_output", "hex"),
    ];
    let calls: Vec<String> = settings
        .iter()
        .map(|(name, value)| format!("pg_catalog.set_config({}, {}, true)", literal(name), literal(value)))
        .collect();
    format!("(SELECT {}) IS NOT NULL", calls.join(" || "))
}
