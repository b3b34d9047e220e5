//! Streams of chunks: a task reads from the server, and whoever consumes the stream works beside it.

use std::future::Future;

use cfg_engine::adapter::{AdapterError, Chunks};
use futures_util::{StreamExt, stream};
use tokio::sync::mpsc::{Sender, channel};

/// How many rows come in one chunk.
const CHUNK_ROWS: usize = 256;
/// How many bytes of documents come in one chunk.
const CHUNK_BYTES: usize = 1024 * 1024;
/// How many chunks wait for a slow consumer.
const WAITING: usize = 4;

/// Why a read ends early.
pub(crate) enum Halt {
    Error(AdapterError),
    /// Nobody consumes the stream any more.
    Dropped,
}

impl From<AdapterError> for Halt {
    fn from(error: AdapterError) -> Self {
        Halt::Error(error)
    }
}

/// Where a read puts its rows.
pub(crate) struct Sink<T> {
    rows: Vec<T>,
    bytes: usize,
    to: Sender<Result<Vec<T>, AdapterError>>,
}

impl<T> Sink<T> {
    /// Takes a row of about so many bytes.
    pub(crate) async fn push(&mut self, row: T, bytes: usize) -> Result<(), Halt> {
        self.rows.push(row);
        self.bytes += bytes;
        if self.rows.len() < CHUNK_ROWS && self.bytes < CHUNK_BYTES { Ok(()) } else { self.flush().await }
    }

    async fn flush(&mut self) -> Result<(), Halt> {
        self.bytes = 0;
        if self.rows.is_empty() {
            return Ok(());
        }
        self.to.send(Ok(std::mem::take(&mut self.rows))).await.map_err(|_| Halt::Dropped)
    }
}

/// Streams what a read pushes. The read begins when the stream is first looked at, and ends with it.
pub(crate) fn stream<'a, T, F, R>(read: F) -> Chunks<'a, T>
where
    T: Send + 'static,
    F: FnOnce(Sink<T>) -> R + Send + 'a,
    R: Future<Output = (Sink<T>, Result<(), Halt>)> + Send + 'static,
{
    let started = stream::once(async move {
        let (to, from) = channel(WAITING);
        let reading = read(Sink { rows: Vec::new(), bytes: 0, to });
        tokio::spawn(async move {
            let (mut sink, mut outcome) = reading.await;
            if outcome.is_ok() {
                outcome = sink.flush().await;
            }
            if let Err(Halt::Error(error)) = outcome {
                // The consumer may be gone; then nobody wants to know.
                let _ = sink.to.send(Err(error)).await;
            }
        });
        stream::unfold(from, |mut from| async { from.recv().await.map(|chunk| (chunk, from)) })
    });
    started.flatten().boxed()
}
