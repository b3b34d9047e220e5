//! The one runtime of the process.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::OnceLock;

use cfg_engine::Error;
use futures_util::FutureExt as _;
use tokio::runtime::{Builder, Runtime};
use tokio::task::AbortHandle;

use crate::reply::Reply;

/// Returns the runtime. It outlives every environment of the process: what a worker thread began is
/// finished after the worker is gone, and a driver's own tasks never lose the runtime under them.
fn runtime() -> Result<&'static Runtime, Error> {
    static RUNTIME: OnceLock<Result<Runtime, String>> = OnceLock::new();
    let build = || {
        // The event loop keeps a core; what waits for a database needs no more threads than this.
        let threads = std::thread::available_parallelism().map_or(1, |n| (n.get() - 1).clamp(1, 4));
        Builder::new_multi_thread().worker_threads(threads).thread_name("cfg-engine").enable_all().build()
    };
    RUNTIME.get_or_init(|| build().map_err(|e| e.to_string())).as_ref().map_err(|problem| {
        Error::refused(
            "runtime",
            format!("the engine cannot start its threads: {problem}"),
            "free memory or threads, and try again",
        )
    })
}

/// Begins `work` and returns a handle by which it can be dropped. `reply` hears how it ended, unless it was dropped.
///
/// The work goes on when nobody waits any more. A panic in it is a reply like any other.
pub(crate) fn begin(
    work: impl Future<Output = Result<String, Error>> + Send + 'static,
    reply: impl FnOnce(Reply) + Send + 'static,
) -> Option<AbortHandle> {
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => {
            reply(Reply::error(&error));
            return None;
        }
    };
    let task = runtime.spawn(async move {
        reply(match AssertUnwindSafe(work).catch_unwind().await {
            Ok(Ok(text)) => Reply::ok(text),
            Ok(Err(error)) => Reply::error(&error),
            Err(_) => Reply::error(&panicked()),
        });
    });
    Some(task.abort_handle())
}

/// Says that the engine has a bug. What it says of itself went to standard error.
fn panicked() -> Error {
    Error::refused(
        "panic",
        "the engine met a state that it does not know; this is a bug in it",
        "please report it; look at what was written with: cfg status",
    )
}

/// Runs `work` at once. A panic in it is a reply like any other.
pub(crate) fn at_once(work: impl FnOnce() -> Result<String, Error>) -> Reply {
    match std::panic::catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(text)) => Reply::ok(text),
        Ok(Err(error)) => Reply::error(&error),
        Err(_) => Reply::error(&panicked()),
    }
}
