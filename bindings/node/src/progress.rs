//! What is told to JavaScript from other threads: replies, and how far a long call has come.

use cfg_engine::engine::Progress;
use napi::bindgen_prelude::FnArgs;
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};

use crate::reply::Reply;

/// What is told: so many of so many are done.
pub(crate) type ProgressArgs = FnArgs<(f64, Option<f64>)>;

/// A function of JavaScript. It never keeps the event loop alive: the promise of the call does.
pub(crate) type ProgressFunction = ThreadsafeFunction<ProgressArgs, (), ProgressArgs, napi::Status, false, true>;

pub(crate) struct JsProgress(pub(crate) ProgressFunction);

impl Progress for JsProgress {
    fn advance(&self, done: u64, total: Option<u64>) {
        let told = FnArgs::from((done as f64, total.map(|total| total as f64)));
        // Where the environment is gone nobody listens any more.
        let _ = self.0.call(told, ThreadsafeFunctionCallMode::NonBlocking);
    }
}

/// A reply: the number of its call, and its result or error.
pub(crate) type ReplyArgs = FnArgs<(u32, Option<String>, Option<String>)>;

/// The function that hears all replies of a handle: one for the handle, since making one costs more than a call.
/// It does not keep the event loop alive; whoever waits does.
pub(crate) type ReplyFunction = ThreadsafeFunction<ReplyArgs, (), ReplyArgs, napi::Status, false, true>;

/// Hands a reply to JavaScript.
pub(crate) fn tell(to: &ReplyFunction, number: u32, reply: Reply) {
    let told = FnArgs::from((number, reply.ok, reply.error));
    let _ = to.call(told, ThreadsafeFunctionCallMode::NonBlocking);
}
