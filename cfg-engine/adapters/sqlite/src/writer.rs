//! Writes: one thread with one connection. Batches that queue up while a transaction runs share the
//! next one, each in a savepoint of its own, so that a stale batch fails alone.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use cfg_engine::adapter::AdapterError;
use cfg_engine::planted;
use tokio::sync::{mpsc, oneshot};

use crate::apply::apply;
use crate::connection::{Conn, Purpose, Shared};
use crate::errors::{CommitFailure, OrAdapterError, commit_failure, from_sqlite, refused, storage, worker_stopped};
use crate::prepare::Prepared;
use crate::schema;

/// How many batches share a transaction at most.
const GROUP: usize = 64;
/// How many records a shared transaction changes before it takes no further batch.
const GROUP_RECORDS: usize = 1000;

enum Job {
    Apply(Box<Prepared>, Reply<()>),
    EnsureSchema(Reply<Vec<String>>),
}

type Reply<T> = oneshot::Sender<Result<T, AdapterError>>;

/// The thread that writes. It starts with the first write.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    conn: OwnConn,
    thread: Mutex<Option<Thread>>,
}

/// The connection that writes, while nobody writes: what was just written is in its cache, so a read of a few
/// records is quickest there.
pub(crate) type OwnConn = Arc<Mutex<Option<Conn>>>;

struct Thread {
    jobs: mpsc::UnboundedSender<Job>,
    handle: JoinHandle<()>,
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Writer { shared, conn: OwnConn::default(), thread: Mutex::new(None) }
    }

    pub(crate) fn conn(&self) -> OwnConn {
        Arc::clone(&self.conn)
    }

    /// Applies a batch. If the caller stops waiting, the batch is applied all the same.
    pub(crate) async fn apply(&self, batch: Prepared) -> Result<(), AdapterError> {
        let (reply, answer) = oneshot::channel();
        self.send(Job::Apply(Box::new(batch), reply))?;
        // The thread answers every batch; without an answer it was stopped in the middle of one.
        answer.await.unwrap_or(Err(AdapterError::UnknownOutcome))
    }

    /// Creates what is missing of the engine's tables.
    pub(crate) async fn ensure_schema(&self) -> Result<Vec<String>, AdapterError> {
        let (reply, answer) = oneshot::channel();
        self.send(Job::EnsureSchema(reply))?;
        answer.await.unwrap_or_else(|_| Err(worker_stopped()))
    }

    fn send(&self, job: Job) -> Result<(), AdapterError> {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        let running = match thread.take().filter(|thread| !thread.handle.is_finished()) {
            Some(running) => running,
            None => Thread::start(&self.shared, &self.conn)?,
        };
        let sent = running.jobs.send(job);
        *thread = Some(running);
        sent.map_err(|_| worker_stopped())
    }
}

impl Drop for Writer {
    /// Waits for batches that are on their way, and for the connection to be closed.
    fn drop(&mut self) {
        let thread = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Thread { jobs, handle }) = thread {
            drop(jobs);
            let _ = handle.join();
        }
    }
}

impl Thread {
    fn start(shared: &Arc<Shared>, conn: &OwnConn) -> Result<Self, AdapterError> {
        let (jobs, queue) = mpsc::unbounded_channel();
        let (shared, conn) = (Arc::clone(shared), Arc::clone(conn));
        let handle = std::thread::Builder::new()
            .name("cfg-sqlite-write".to_owned())
            .spawn(move || work(&shared, &conn, queue))
            .map_err(|_| storage("cannot start a thread"))?;
        Ok(Thread { jobs, handle })
    }
}

fn work(shared: &Arc<Shared>, conn: &OwnConn, mut queue: mpsc::UnboundedReceiver<Job>) {
    let mut ahead: Option<Job> = None;
    while let Some(job) = ahead.take().or_else(|| queue.blocking_recv()) {
        let mut conn = conn.lock().unwrap_or_else(PoisonError::into_inner);
        let opened = match conn.take() {
            // A read that took it has no patience; a write has.
            Some(conn) => conn.db.busy_timeout(shared.options.busy_timeout).sql().map(|()| conn),
            None => Conn::open(shared, Purpose::Write),
        };
        match job {
            Job::EnsureSchema(reply) => {
                let outcome = opened.and_then(|opened| {
                    let created = use_wal(&opened).and_then(|()| guarded(|| schema::ensure(&opened)));
                    *conn = kept(opened);
                    created
                });
                drop(conn);
                let _ = reply.send(outcome);
            }
            Job::Apply(batch, reply) => {
                let mut group = vec![(batch, reply)];
                ahead = fill(&mut group, &mut queue);
                match opened {
                    Ok(opened) => write_group(opened, group, conn),
                    Err(error) => {
                        for (_, reply) in group {
                            let _ = reply.send(Err(error.clone()));
                        }
                    }
                }
            }
        }
    }
}

type Queued = (Box<Prepared>, Reply<()>);

/// Takes the batches that wait already; returns a job that is none.
fn fill(group: &mut Vec<Queued>, queue: &mut mpsc::UnboundedReceiver<Job>) -> Option<Job> {
    let mut records = group[0].0.changes.len();
    while group.len() < GROUP && records < GROUP_RECORDS {
        match queue.try_recv() {
            Ok(Job::Apply(batch, reply)) => {
                records += batch.changes.len();
                group.push((batch, reply));
            }
            Ok(other) => return Some(other),
            Err(_) => return None,
        }
    }
    None
}

/// A panic becomes an error of its batch; the transaction it was in is rolled back by its connection.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T, AdapterError>) -> Result<T, AdapterError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(worker_stopped()))
}

/// Keeps a connection that no transaction is left open on.
fn kept(conn: Conn) -> Option<Conn> {
    (conn.db.is_autocommit() || conn.db.execute_batch("ROLLBACK").is_ok()).then_some(conn)
}

/// Puts the file into WAL mode, if it is not. Where another process is in the way it stays as it is:
/// the rollback journal is as atomic, and only slower.
fn use_wal(conn: &Conn) -> Result<(), AdapterError> {
    let mode: String = conn.db.query_row("PRAGMA journal_mode", [], |row| row.get(0)).sql()?;
    if mode == "wal" {
        return Ok(());
    }
    match conn.db.query_row("PRAGMA journal_mode = WAL", [], |row| row.get::<_, String>(0)) {
        Ok(mode) if mode == "wal" => Ok(()),
        Ok(_)
        | Err(rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error { code: rusqlite::ErrorCode::DatabaseBusy, .. },
            _,
        )) => {
            tracing::warn!("the database stays in journal mode {mode}");
            Ok(())
        }
        Err(error) => Err(from_sqlite(&error)),
    }
}

/// How a shared transaction ended.
enum Ended {
    /// Every batch has its own outcome.
    Decided(Vec<Result<(), AdapterError>>),
    /// One batch took the transaction down with it: nothing was written of any.
    Lost,
}

/// Writes a group, puts the connection back if it is still good, and answers each of the batches.
fn write_group(conn: Conn, group: Vec<Queued>, mut back: MutexGuard<'_, Option<Conn>>) {
    let batches: Vec<&Prepared> = group.iter().map(|(batch, _)| &**batch).collect();
    let outcomes = match transaction(&conn, &batches) {
        Ended::Decided(outcomes) => outcomes,
        Ended::Lost => batches.iter().map(|batch| alone(&conn, batch)).collect(),
    };
    // After a failed write of the log the next batch starts with a connection that reads it anew.
    let unknown = outcomes.iter().any(|outcome| matches!(outcome, Err(AdapterError::UnknownOutcome)));
    *back = if unknown { None } else { kept(conn) };
    drop(back);
    for ((_, reply), outcome) in group.into_iter().zip(outcomes) {
        // Nobody may be waiting any more.
        let _ = reply.send(outcome);
    }
}

/// Writes one batch in a transaction of its own.
pub(crate) fn alone(conn: &Conn, batch: &Prepared) -> Result<(), AdapterError> {
    match transaction(conn, &[batch]) {
        Ended::Decided(mut outcomes) => outcomes.pop().unwrap_or_else(|| Err(worker_stopped())),
        Ended::Lost => Err(storage("the database rolled the transaction back; nothing was written")),
    }
}

fn transaction(conn: &Conn, batches: &[&Prepared]) -> Ended {
    let all = |error: AdapterError| Ended::Decided(vec![Err(error); batches.len()]);
    let erases = batches.iter().any(|batch| batch.erases());
    if erases && let Err(error) = secure_delete(conn, true) {
        return all(error);
    }
    let ended = begun(conn, batches);
    if erases && secure_delete(conn, false).is_err() {
        tracing::debug!("the connection goes on overwriting what it frees");
    }
    ended
}

/// Has SQLite overwrite with zeros what it frees, instead of leaving it in the file until the place is used
/// again.
fn secure_delete(conn: &Conn, on: bool) -> Result<(), AdapterError> {
    let mode = if on { "ON" } else { "OFF" };
    conn.db.query_row(&format!("PRAGMA secure_delete = {mode}"), [], |_| Ok(())).sql()
}

fn begun(conn: &Conn, batches: &[&Prepared]) -> Ended {
    let all = |error: AdapterError| Ended::Decided(vec![Err(error); batches.len()]);
    if let Err(error) = begin(conn) {
        return all(error);
    }
    let mut outcomes = Vec::with_capacity(batches.len());
    for batch in batches {
        let outcome = match batches.len() {
            1 => guarded(|| apply(conn, batch)),
            _ => in_savepoint(conn, batch),
        };
        if conn.db.is_autocommit() {
            // A trigger's ROLLBACK, a full disk: SQLite has ended the transaction.
            return match (batches.len(), outcome) {
                (1, Err(error)) => all(error),
                _ => Ended::Lost,
            };
        }
        outcomes.push(outcome);
    }
    if outcomes.iter().all(Result::is_err) && !planted!("failed-batch-committed") {
        let _ = conn.db.execute_batch("ROLLBACK");
        return Ended::Decided(outcomes);
    }
    cfg_engine::reached!("sqlite/before-commit");
    match conn.statement("COMMIT").map(|mut commit| commit.execute([])) {
        Ok(Ok(_)) => {
            cfg_engine::reached!("sqlite/committed");
            Ended::Decided(outcomes)
        }
        Ok(Err(error)) => not_committed(conn, batches, outcomes, &error),
        Err(error) => all(error),
    }
}

fn begin(conn: &Conn) -> Result<(), AdapterError> {
    conn.statement("BEGIN IMMEDIATE")?.execute([]).sql().map(drop)
}

fn in_savepoint(conn: &Conn, batch: &Prepared) -> Result<(), AdapterError> {
    conn.statement("SAVEPOINT batch")?.execute([]).sql()?;
    let outcome = guarded(|| apply(conn, batch));
    if conn.db.is_autocommit() {
        return outcome;
    }
    let outcome = outcome.and_then(|()| conn.statement("RELEASE batch")?.execute([]).sql().map(drop));
    if outcome.is_err() {
        undo_savepoint(conn);
    }
    outcome
}

/// Takes back what a batch wrote, or, where that fails, the whole transaction: never half a batch.
fn undo_savepoint(conn: &Conn) {
    if conn.db.execute_batch("ROLLBACK TO batch; RELEASE batch").is_err() {
        let _ = conn.db.execute_batch("ROLLBACK");
    }
}

/// Says what a failed commit means for each batch that would have been written.
fn not_committed(
    conn: &Conn,
    batches: &[&Prepared],
    outcomes: Vec<Result<(), AdapterError>>,
    error: &rusqlite::Error,
) -> Ended {
    if !conn.db.is_autocommit() {
        let _ = conn.db.execute_batch("ROLLBACK");
    }
    let failure = match commit_failure(error) {
        CommitFailure::Certain => from_sqlite(error),
        CommitFailure::Constraint if batches.len() > 1 => return Ended::Lost,
        CommitFailure::Constraint => match batches[0].changes.first() {
            Some(change) => refused(&change.record, error),
            None => from_sqlite(error),
        },
        CommitFailure::Unknown => AdapterError::UnknownOutcome,
    };
    let outcomes = outcomes.into_iter().map(|outcome| outcome.and(Err(failure.clone())));
    Ended::Decided(outcomes.collect())
}
