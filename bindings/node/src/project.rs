//! The handle of an opened project.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cfg_engine::config::CollectionConfig;
use cfg_engine::document::{CanonicalError, Object, canonical_bytes, oid};
use cfg_engine::engine::Progress;
use cfg_engine::{Error, Value};
use cfg_engine_connect::{Answer, Session};
use napi_derive::napi;
use tokio::task::AbortHandle;

use crate::open::open_options;
use crate::progress::{JsProgress, ProgressFunction, ReplyFunction, tell};
use crate::reply::{Reply, error_object};
use crate::runtime::{at_once, begin};
use crate::text::to_js;

/// The verbs that write nothing: their work may be dropped when nobody waits any more.
const LOOKING: [&str; 8] = ["address", "diff", "fsck", "get", "log", "show", "status", "whoami"];

/// The members of a call that are documents: they cross beside it, so that no level of theirs is lost
/// to the call they stand in.
const DOCUMENTS: [&str; 3] = ["doc", "patch", "merge_patch"];

/// A project that is opened or about to be.
#[napi]
pub struct NativeProject {
    replies: Arc<ReplyFunction>,
    session: Arc<Mutex<Option<Arc<Session>>>>,
    /// Calls that only look and have a signal.
    running: Arc<Mutex<HashMap<u32, AbortHandle>>>,
}

#[napi]
impl NativeProject {
    /// Makes a handle on nothing; `open` opens it. `replies` hears every reply, by the number of its call.
    #[napi(constructor)]
    pub fn new(
        #[napi(ts_arg_type = "(number: number, ok?: string | null, error?: string | null) => void")]
        replies: ReplyFunction,
    ) -> Self {
        NativeProject { replies: Arc::new(replies), session: Arc::default(), running: Arc::default() }
    }

    fn begin(
        &self,
        number: u32,
        work: impl Future<Output = Result<String, Error>> + Send + 'static,
    ) -> Option<AbortHandle> {
        let (replies, running) = (Arc::clone(&self.replies), Arc::clone(&self.running));
        begin(work, move |reply| {
            lock(&running).remove(&number);
            tell(&replies, number, reply);
        })
    }

    fn session(&self) -> Result<Arc<Session>, Error> {
        lock(&self.session).clone().ok_or_else(|| {
            Error::refused("closed", "the project is closed", "open it again; nothing is done after close()")
        })
    }

    /// Finds and opens a project; the reply is what it is.
    #[napi(catch_unwind)]
    pub fn open(&self, number: u32, options: String) {
        let slot = Arc::clone(&self.session);
        self.begin(number, async move {
            // The program's own SQLite (better-sqlite3, node:sqlite) is another copy, and may have the same file open.
            cfg_engine_own_locks::install();
            let session = Session::open(open_options(&options)?).await?;
            let about = to_js(about(&session));
            *lock(&slot) = Some(Arc::new(session));
            Ok(about)
        });
    }

    /// Calls a verb. In the arguments a document is its place among `docs`.
    #[napi(catch_unwind)]
    pub fn call(
        &self,
        number: u32,
        verb: String,
        args: String,
        docs: Vec<String>,
        #[napi(ts_arg_type = "((done: number, total?: number | null) => void) | undefined | null")] progress: Option<
            ProgressFunction,
        >,
    ) {
        let session = self.session();
        let stoppable = LOOKING.contains(&verb.as_str());
        let abort = self.begin(number, async move {
            let session = session?;
            let args = with_documents(&args, &docs)?;
            let progress = progress.map(JsProgress);
            let progress = progress.as_ref().map(|progress| progress as &dyn Progress);
            Ok(to_js(answer(session.call(&verb, args, progress).await?)))
        });
        if let Some(abort) = abort.filter(|abort| stoppable && !abort.is_finished()) {
            let mut running = lock(&self.running);
            running.insert(number, abort);
            // It may have ended while it was written down.
            if running.get(&number).is_some_and(AbortHandle::is_finished) {
                running.remove(&number);
            }
        }
    }

    /// Panics on a thread of the engine, for the test that a panic is a reply like any other.
    #[napi(catch_unwind)]
    pub fn panic_for_test(&self, number: u32) {
        self.begin(number, async { panic!("asked for by a test") });
    }

    /// Drops the work of a call that only looks, and returns whether it did: then there is no reply. What writes
    /// goes on.
    #[napi(catch_unwind)]
    pub fn abort(&self, number: u32) -> bool {
        let abort = lock(&self.running).remove(&number);
        abort.as_ref().inspect(|abort| abort.abort()).is_some()
    }

    /// Returns the oid of a document under the rules of a collection.
    #[napi(catch_unwind)]
    pub fn oid(&self, doc: String, collection: Option<String>) -> Reply {
        at_once(|| {
            let session = self.session()?;
            let collection = find(&session, collection.as_deref())?;
            let found = oid(&Value::from_interchange(&doc)?, &collection.policy).map_err(unhashable)?;
            Ok(to_js(found.to_hex()))
        })
    }

    /// Returns the canonical bytes of a document under the rules of a collection, as text.
    #[napi(catch_unwind)]
    pub fn canonical(&self, doc: String, collection: Option<String>) -> Reply {
        at_once(|| {
            let session = self.session()?;
            let collection = find(&session, collection.as_deref())?;
            let bytes = canonical_bytes(&Value::from_interchange(&doc)?, &collection.policy).map_err(unhashable)?;
            Ok(to_js(String::from_utf8_lossy(&bytes).into_owned()))
        })
    }

    /// Lets go of the store. Calls that are under way finish.
    #[napi(catch_unwind)]
    pub fn close(&self) {
        lock(&self.session).take();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a project says of itself without being asked anything.
fn about(session: &Session) -> Object {
    let opened = session.opened();
    let collections = opened.adapter.collections().iter().map(|c| c.name.to_string()).collect::<Vec<_>>();
    Object::new()
        .with("env", opened.env.name.as_str())
        .with("database", opened.env.database.as_str())
        .with("needs_approval", opened.env.needs_approval)
        .with("config_file", opened.config_file.display().to_string())
        .with("root", opened.root.display().to_string())
        .with("collections", collections)
}

fn find<'s>(session: &'s Session, name: Option<&str>) -> Result<&'s CollectionConfig, Error> {
    let known = session.opened().adapter.collections();
    match (name, known) {
        (None, [only]) => Ok(only),
        (name, _) => known.iter().find(|c| Some(c.name.as_str()) == name).ok_or_else(|| Error::NoSuch {
            what: "collection",
            name: name.unwrap_or_default().to_owned(),
            known: known.iter().map(|c| c.name.to_string()).collect(),
        }),
    }
}

/// Says why a document that belongs to no record yet has no oid.
fn unhashable(error: CanonicalError) -> Error {
    let problem = format!("the document cannot be versioned: {error}");
    Error::refused("unhashable", problem, "change that value, or ignore its field")
}

/// Reads the arguments of a call, and puts its documents in their places.
fn with_documents(args: &str, docs: &[String]) -> Result<Object, Error> {
    let Value::Object(mut args) = Value::from_interchange(args)? else {
        return Err(Error::refused("usage", "the arguments are not an object", "give { name: value }"));
    };
    if let Some(Value::Array(items)) = args.get_mut("items") {
        for item in items.iter_mut().filter_map(Value::as_object_mut) {
            for name in DOCUMENTS {
                let Some(slot) = item.get_mut(name) else { continue };
                let place = slot.as_i64().and_then(|place| docs.get(usize::try_from(place).ok()?));
                if let Some(text) = place {
                    *slot = Value::from_interchange(text)?;
                }
            }
        }
    }
    Ok(args)
}

/// Returns `{data, exit_code, reason, replayed, replies}`.
fn answer(answer: Answer) -> Object {
    let replies = answer.replies().into_iter().map(|mut reply| {
        // Nearly always the one entry stands in the data already.
        if reply.get("entries").and_then(Value::as_array).is_some_and(|entries| entries.len() == 1) {
            reply.remove("entries");
        }
        Value::Object(reply)
    });
    let replies: Vec<Value> = replies.collect();
    Object::new()
        .with("data", answer.data)
        .with("exit_code", i64::from(answer.exit_code))
        .with("reason", answer.reason.as_ref().map(error_object))
        .with("replayed", answer.replayed)
        .with("replies", replies)
}
