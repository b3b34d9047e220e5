//! What belongs to one process: the runtime and the open stores. A fork gets its own.
//!
//! A forked child has the memory of its parent and none of its threads: a runtime without workers, stores
//! whose writer is gone, and, for SQLite, a library that believes to hold locks which are the parent's.
//! So before a fork the calls that run are waited for and the stores are closed; both sides open theirs
//! again with the next call. The hooks run wherever Python forks (`os.register_at_fork`). Where something
//! else does, the process id shows it, and the child leaves everything alone that it has inherited.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cfg_engine::Error;
use cfg_engine_connect::{OpenOptions, Session};
use pyo3::prelude::*;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::OnceCell;

/// How long a fork waits for the calls that run. What lasts longer is left to the parent.
const PATIENCE: Duration = Duration::from_secs(10);
const STEP: Duration = Duration::from_millis(1);

/// How the threads of ours are named, as far as the system keeps a name.
const OUR_THREADS: [&str; 2] = ["cfg-engine", "cfg-sqlite"];

/// How long a call runs before signals are looked at again.
const SIGNALS: Duration = Duration::from_millis(50);

/// More than these a store does not keep busy.
const WORKERS: usize = 4;

/// A store that is opened with the first call.
pub(crate) type Store = Arc<OnceCell<Session>>;

/// Work that can go on without whoever waits for it.
pub(crate) type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The state of this process.
pub(crate) struct Process {
    id: u32,
    runtime: Mutex<Option<Arc<Runtime>>>,
    stores: Mutex<HashMap<u64, Store>>,
    /// Calls that run.
    running: AtomicUsize,
    /// Forks that wait for them.
    forking: AtomicUsize,
}

static CURRENT: AtomicPtr<Process> = AtomicPtr::new(std::ptr::null_mut());
static NEXT: AtomicU64 = AtomicU64::new(1);

/// Returns the state of this process, a new one after a fork.
pub(crate) fn current() -> &'static Process {
    let known = CURRENT.load(Ordering::Acquire);
    // SAFETY: what the pointer was ever set to was leaked and is never changed or freed.
    if let Some(process) = unsafe { known.as_ref() }
        && process.id == std::process::id()
    {
        return process;
    }
    install(known, HashMap::new())
}

/// Puts a fresh state in the place of `known`, unless another thread was faster. The old one is left as
/// it is: dropping it would wait for threads that are not there, and close files that are the parent's.
fn install(known: *mut Process, stores: HashMap<u64, Store>) -> &'static Process {
    let fresh = Box::leak(Box::new(Process {
        id: std::process::id(),
        runtime: Mutex::new(None),
        stores: Mutex::new(stores),
        running: AtomicUsize::new(0),
        forking: AtomicUsize::new(0),
    }));
    match CURRENT.compare_exchange(known, fresh, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => fresh,
        // SAFETY: as above; it is not null, since somebody has just set it.
        Err(other) => unsafe { &*other },
    }
}

/// A call that runs; a fork waits for it.
pub(crate) struct Running(&'static Process);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Process {
    /// Announces a call. Waits while a fork is on its way.
    pub(crate) fn enter(&'static self, py: Python<'_>) -> Running {
        loop {
            self.running.fetch_add(1, Ordering::SeqCst);
            let running = Running(self);
            if self.forking.load(Ordering::SeqCst) == 0 {
                return running;
            }
            drop(running);
            py.detach(|| std::thread::sleep(STEP));
        }
    }

    /// Returns the runtime, which starts with the first call.
    pub(crate) fn runtime(&self, _: Python<'_>) -> Result<Arc<Runtime>, Error> {
        let mut known = self.runtime.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = &*known {
            return Ok(Arc::clone(runtime));
        }
        let workers = std::thread::available_parallelism().map_or(1, usize::from).min(WORKERS);
        let runtime =
            Builder::new_multi_thread().worker_threads(workers).thread_name("cfg-engine").enable_all().build();
        let runtime = runtime.map_err(|e| {
            Error::refused(
                "runtime",
                format!("no threads can be started: {e}"),
                "free memory or threads, and try again",
            )
        })?;
        Ok(Arc::clone(known.insert(Arc::new(runtime))))
    }

    /// Returns the store of a session. The lock is never held while the interpreter is released, so that a
    /// fork never finds it locked.
    pub(crate) fn store(&self, _: Python<'_>, id: u64) -> Store {
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(stores.entry(id).or_default())
    }

    /// Forgets the store of a session. Whoever gets it hands it to [`close`].
    pub(crate) fn forget(&self, _: Python<'_>, id: u64) -> (Option<Store>, Option<Arc<Runtime>>) {
        let store = self.stores.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        let runtime = self.runtime.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (store.filter(|store| store.initialized()), runtime)
    }
}

/// Closes stores. A driver may start a last task for it, so it is done on the runtime.
pub(crate) fn close(stores: impl IntoIterator<Item = Store>, runtime: Option<Arc<Runtime>>) {
    let entered = runtime.as_ref().map(|runtime| runtime.enter());
    stores.into_iter().for_each(drop);
    drop(entered);
    drop(runtime);
}

/// Returns a number that no other session of this program has.
pub(crate) fn new_id() -> u64 {
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Opens a store, if it is not open.
pub(crate) async fn opened<'s>(store: &'s Store, options: &OpenOptions) -> Result<&'s Session, Error> {
    store.get_or_try_init(|| Session::open(options.clone())).await
}

/// Waits for work with the interpreter released, and looks at signals meanwhile. Where one ends the waiting,
/// the work goes on without anybody who waits: a change is never left half made.
pub(crate) fn wait<T: Send + 'static>(
    py: Python<'_>,
    mut work: Work<T>,
    running: Running,
    interrupted: impl Fn(Python<'_>) -> PyResult<()>,
) -> PyResult<T> {
    let runtime = running.0.runtime(py).map_err(|error| crate::errors::raise(py, &error))?;
    // A callback of a call calls again: that thread waits for work already.
    let nested = tokio::runtime::Handle::try_current().is_ok();
    loop {
        let mut turn = || {
            runtime.block_on(async {
                tokio::select! {
                    biased;
                    done = &mut work => Some(done),
                    () = tokio::time::sleep(SIGNALS) => None,
                }
            })
        };
        let done = py.detach(|| match nested {
            false => Some(turn()),
            true => std::thread::scope(|scope| scope.spawn(turn).join().ok()),
        });
        match done {
            Some(Some(done)) => {
                // The work holds its store; a fork that no longer waits must find it free.
                drop(work);
                drop(runtime);
                drop(running);
                return Ok(done);
            }
            Some(None) => {}
            None => return Err(pyo3::exceptions::PyRuntimeError::new_err("the call panicked")),
        }
        if let Err(error) = py.check_signals().and_then(|()| interrupted(py)) {
            runtime.spawn(async move {
                drop(work.await);
                drop(running);
            });
            return Err(error);
        }
    }
}

/// Whether a store may be used by a child of the process that opened it: it is nothing but memory.
fn survives_fork(store: &Store) -> bool {
    store.get().is_some_and(|session| session.opened().env.database == cfg_engine::config::Database::Memory)
}

/// Waits for the calls that run and closes the stores; new calls wait until the fork is done.
#[pyfunction]
pub(crate) fn before_fork(py: Python<'_>) {
    let process = current();
    process.forking.fetch_add(1, Ordering::SeqCst);
    let idle = py.detach(|| {
        let steps = PATIENCE.as_millis() / STEP.as_millis();
        (0..steps).any(|_| {
            let idle = process.running.load(Ordering::SeqCst) == 0;
            if !idle {
                std::thread::sleep(STEP);
            }
            idle
        })
    });
    if !idle {
        let words = c"a call still runs; the forked child must not use a SQLite store of this project";
        // Where warnings are errors, nobody could be told from here either.
        let _ = PyErr::warn(py, &py.get_type::<pyo3::exceptions::PyRuntimeWarning>(), words, 1);
        return;
    }
    let mut closed = Vec::new();
    {
        let mut stores = process.stores.lock().unwrap_or_else(PoisonError::into_inner);
        stores.retain(|_, store| {
            let stays = survives_fork(store);
            if !stays {
                closed.push(Arc::clone(store));
            }
            stays
        });
    }
    let runtime = process.runtime.lock().unwrap_or_else(PoisonError::into_inner).take();
    py.detach(|| {
        close(closed, runtime);
        wait_for_threads();
    });
}

/// Waits until the threads of closed stores are gone: what they close must not be half closed in the child.
fn wait_for_threads() {
    let is_ours = |entry: std::fs::DirEntry| {
        std::fs::read_to_string(entry.path().join("comm"))
            .is_ok_and(|name| OUR_THREADS.iter().any(|ours| name.starts_with(ours)))
    };
    for _ in 0..PATIENCE.as_millis() / STEP.as_millis() {
        match std::fs::read_dir("/proc/self/task") {
            Ok(mut threads) => match threads.any(|entry| entry.is_ok_and(is_ours)) {
                true => std::thread::sleep(STEP),
                false => return,
            },
            // Nothing says which threads there are; closing takes them a few milliseconds.
            Err(_) => return std::thread::sleep(STEP * 50),
        }
    }
}

/// Lets calls go on in the parent.
#[pyfunction]
pub(crate) fn after_fork_parent() {
    current().forking.fetch_sub(1, Ordering::SeqCst);
}

/// Starts anew in the child, with what is nothing but memory.
#[pyfunction]
pub(crate) fn after_fork_child() {
    let known = CURRENT.load(Ordering::Acquire);
    // SAFETY: as in `current`.
    let inherited = unsafe { known.as_ref() };
    let memory = inherited.filter(|parent| parent.running.load(Ordering::SeqCst) == 0).map(|parent| {
        let stores = parent.stores.lock().unwrap_or_else(PoisonError::into_inner);
        let memory = stores.iter().filter(|(_, store)| survives_fork(store));
        memory.map(|(id, store)| (*id, Arc::clone(store))).collect()
    });
    install(known, memory.unwrap_or_default());
}
