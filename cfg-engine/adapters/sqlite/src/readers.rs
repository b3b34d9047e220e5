//! Reads: each on a thread of its own with a connection of its own, so that a slow consumer never
//! holds up another read, and an executor is never blocked.
//!
//! Threads and connections are kept for the next read, up to a few; a burst of streams that are open
//! at once gets a thread each, since one stream may be read inside the loop over another.
//!
//! A read of a few records, as before each commit, takes less time than two threads take to hand it
//! over: where the connection kept for it is free and nothing makes it wait, it runs where it is asked for.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use cfg_engine::adapter::{AdapterError, Chunks, Scope};
use futures_core::Stream;
use futures_util::StreamExt;
use tokio::sync::{mpsc, oneshot};

use crate::connection::{Conn, Purpose, Shared};
use crate::errors::{storage, worker_stopped};
use crate::writer::OwnConn;

/// How many idle threads are kept.
const IDLE: usize = 4;
/// How many rows a chunk has at most: few, so that they are parsed while the next are read.
const CHUNK_ROWS: usize = 100;
/// After how many bytes of documents a chunk is sent.
const CHUNK_BYTES: usize = 256 * 1024;
/// How many chunks may wait for their reader.
const CHUNKS_AHEAD: usize = 8;
/// How many rows one statement fetches.
pub(crate) const RUN_ROWS: usize = 500;

type Job = Box<dyn FnOnce(Result<&Conn, AdapterError>) + Send>;

/// A job, and the way back among the idle. A thread that waits has no sender of its own: when the
/// adapter goes, the idle list goes, and with the last sender the thread and its connection.
struct Task {
    job: Job,
    back: Sender<Task>,
}

/// The threads that read.
pub(crate) struct Readers {
    shared: Arc<Shared>,
    idle: Arc<Mutex<Vec<Sender<Task>>>>,
    /// The connection that was open before the first thread.
    first: Mutex<Option<Conn>>,
    /// The connection for reads of a few records while the one that writes is not to be had.
    near: Mutex<Option<Conn>>,
    writing: OwnConn,
}

impl Readers {
    /// Starts with one connection that is open already; its thread starts with the first read.
    pub(crate) fn new(shared: Arc<Shared>, first: Conn, writing: OwnConn) -> Self {
        Readers { shared, idle: Arc::default(), first: Mutex::new(Some(first)), near: Mutex::default(), writing }
    }

    fn run(&self, job: Job) -> Result<(), AdapterError> {
        let mut job = job;
        loop {
            let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some(worker) = idle else { break };
            let back = worker.clone();
            match worker.send(Task { job, back }) {
                Ok(()) => return Ok(()),
                // That thread is gone: the next one.
                Err(returned) => job = returned.0.job,
            }
        }
        let (sender, tasks) = channel::<Task>();
        let (shared, idle) = (Arc::clone(&self.shared), Arc::downgrade(&self.idle));
        let mut conn = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        let work = move || {
            while let Ok(Task { job, back }) = tasks.recv() {
                if !run_one(&shared, &mut conn, job) || !wait_for_more(&idle, back) {
                    return;
                }
            }
        };
        std::thread::Builder::new()
            .name("cfg-sqlite-read".to_owned())
            .spawn(work)
            .map_err(|_| storage("cannot start a thread"))?;
        let back = sender.clone();
        sender.send(Task { job, back }).map_err(|_| worker_stopped())
    }

    /// Runs a read that has one answer.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Conn) -> Result<T, AdapterError> + Send + 'static,
    ) -> Result<T, AdapterError> {
        let (sender, answer) = oneshot::channel();
        self.run(Box::new(move |conn| {
            // Nobody may be waiting any more.
            let _ = sender.send(conn.and_then(read));
        }))?;
        answer.await.unwrap_or_else(|_| Err(worker_stopped()))
    }

    /// Streams what a read sends. It starts when the stream is first polled and stops when the
    /// stream is dropped.
    pub(crate) fn stream<'a, T: Send + 'static>(
        &'a self,
        size: Size,
        read: impl Fn(&Conn, &mut Sink<T>) -> Result<(), Halt> + Send + 'static,
    ) -> Chunks<'a, T> {
        Reading::Ready { readers: self, size, read: Box::new(read) }.boxed()
    }

    /// Runs a small read here and now; `None` where somebody else has the connection, or where the read
    /// fails or would have to wait: then a thread of its own says why, or waits.
    fn read_near<T>(&self, read: &Read<T>) -> Option<Vec<T>> {
        if let Ok(writing) = self.writing.try_lock()
            && let Some(conn) = &*writing
        {
            conn.db.busy_timeout(Duration::ZERO).ok()?;
            return collect(conn, read);
        }
        let mut near = self.near.try_lock().ok()?;
        if near.is_none() {
            let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
            let conn = first.map_or_else(|| Conn::open(&self.shared, Purpose::Read), Ok).ok()?;
            conn.db.busy_timeout(Duration::ZERO).ok()?;
            *near = Some(conn);
        }
        collect(near.as_ref()?, read)
    }
}

fn collect<T>(conn: &Conn, read: &Read<T>) -> Option<Vec<T>> {
    let mut sink = Sink { chunk: Vec::new(), bytes: 0, sender: None };
    read(conn, &mut sink).ok()?;
    Some(sink.chunk)
}

/// Runs one job; returns whether the thread can go on.
fn run_one(shared: &Arc<Shared>, conn: &mut Option<Conn>, job: Job) -> bool {
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        if conn.is_none() {
            match Conn::open(shared, Purpose::Read) {
                Ok(opened) => *conn = Some(opened),
                Err(error) => return job(Err(error)),
            }
        }
        match conn {
            Some(conn) => job(Ok(conn)),
            None => job(Err(worker_stopped())),
        }
    }));
    // After a panic the job's channel is closed, which its receiver reports as an error.
    outcome.is_ok()
}

/// Puts a thread among the idle ones; returns false where there are enough, or no adapter any more.
fn wait_for_more(idle: &Weak<Mutex<Vec<Sender<Task>>>>, own: Sender<Task>) -> bool {
    let Some(idle) = idle.upgrade() else { return false };
    let mut idle = idle.lock().unwrap_or_else(PoisonError::into_inner);
    if idle.len() >= IDLE {
        return false;
    }
    idle.push(own);
    true
}

/// How much a read is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    /// Any number of rows.
    Any,
    /// The rows of a few records.
    Few,
}

impl Size {
    /// How many records are a few.
    const FEW: usize = 4;

    pub(crate) fn of(scope: &Scope) -> Size {
        match scope {
            Scope::Records(records) if records.len() <= Size::FEW => Size::Few,
            _ => Size::Any,
        }
    }
}

/// Why a read stops before its end.
#[derive(Debug)]
pub(crate) enum Halt {
    Error(AdapterError),
    /// Nobody reads the stream any more.
    Unread,
}

impl From<AdapterError> for Halt {
    fn from(error: AdapterError) -> Self {
        Halt::Error(error)
    }
}

/// Where a read puts its rows; they leave in chunks.
pub(crate) struct Sink<T> {
    chunk: Vec<T>,
    bytes: usize,
    /// Without one, all rows stay in the one chunk.
    sender: Option<mpsc::Sender<Message<T>>>,
}

pub(crate) enum Message<T> {
    Chunk(Vec<T>),
    Failed(AdapterError),
    /// Without it, a closed channel is a thread that stopped.
    End,
}

impl<T> Sink<T> {
    /// Adds a row whose documents have about so many bytes.
    pub(crate) fn push(&mut self, row: T, bytes: usize) -> Result<(), Halt> {
        self.chunk.push(row);
        self.bytes += bytes;
        if self.chunk.len() >= CHUNK_ROWS || self.bytes >= CHUNK_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Halt> {
        let Some(sender) = &self.sender else { return Ok(()) };
        self.bytes = 0;
        if self.chunk.is_empty() {
            return Ok(());
        }
        let chunk = std::mem::take(&mut self.chunk);
        sender.blocking_send(Message::Chunk(chunk)).map_err(|_| Halt::Unread)
    }
}

#[cfg(test)]
impl<T> Sink<T> {
    /// A sink whose chunks all wait to be collected.
    pub(crate) fn collecting() -> (Self, mpsc::Receiver<Message<T>>) {
        let (sender, receiver) = mpsc::channel(1000);
        (Sink { chunk: Vec::new(), bytes: 0, sender: Some(sender) }, receiver)
    }

    pub(crate) fn finish(mut self) {
        assert!(self.flush().is_ok(), "somebody collects");
    }

    pub(crate) fn collected(receiver: &mut mpsc::Receiver<Message<T>>) -> Vec<T> {
        let mut rows = Vec::new();
        while let Some(Message::Chunk(chunk)) = receiver.blocking_recv() {
            assert!(chunk.len() <= CHUNK_ROWS);
            rows.extend(chunk);
        }
        rows
    }
}

type Read<T> = Box<dyn Fn(&Conn, &mut Sink<T>) -> Result<(), Halt> + Send>;

/// A stream of chunks, before, during and after its read.
enum Reading<'a, T> {
    Ready { readers: &'a Readers, size: Size, read: Read<T> },
    Running(mpsc::Receiver<Message<T>>),
    Done,
}

impl<T> Unpin for Reading<'_, T> {}

impl<T: Send + 'static> Reading<'_, T> {
    fn start(readers: &Readers, read: Read<T>) -> Result<mpsc::Receiver<Message<T>>, AdapterError> {
        let (sender, receiver) = mpsc::channel(CHUNKS_AHEAD);
        readers.run(Box::new(move |conn| {
            let mut sink = Sink { chunk: Vec::new(), bytes: 0, sender: Some(sender.clone()) };
            let outcome = match conn {
                Ok(conn) => read(conn, &mut sink).and_then(|()| sink.flush()),
                Err(error) => Err(Halt::Error(error)),
            };
            let last = match outcome {
                Ok(()) => Message::End,
                Err(Halt::Error(error)) => Message::Failed(error),
                Err(Halt::Unread) => return,
            };
            let _ = sender.blocking_send(last);
        }))?;
        Ok(receiver)
    }
}

impl<T: Send + 'static> Stream for Reading<'_, T> {
    type Item = Result<Vec<T>, AdapterError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Reading::Ready { .. } = *self
            && let Reading::Ready { readers, size, read } = std::mem::replace(&mut *self, Reading::Done)
        {
            if size == Size::Few
                && let Some(rows) = readers.read_near(&read)
            {
                return Poll::Ready((!rows.is_empty()).then_some(Ok(rows)));
            }
            match Self::start(readers, read) {
                Ok(receiver) => *self = Reading::Running(receiver),
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
        let Reading::Running(receiver) = &mut *self else { return Poll::Ready(None) };
        let message = match receiver.poll_recv(context) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(message) => message,
        };
        let item = match message {
            Some(Message::Chunk(chunk)) => return Poll::Ready(Some(Ok(chunk))),
            Some(Message::End) => None,
            Some(Message::Failed(error)) => Some(Err(error)),
            None => Some(Err(worker_stopped())),
        };
        *self = Reading::Done;
        Poll::Ready(item)
    }
}
