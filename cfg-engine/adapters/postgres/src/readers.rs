//! Reads: each in a task with a connection of its own, so that a slow consumer never holds up another read.

use std::sync::Arc;

use async_trait::async_trait;
use cfg_engine::adapter::{AdapterError, Chunks};
use futures_util::{StreamExt, stream};
use tokio::sync::mpsc;

use crate::catalog::Catalog;
use crate::connection::{Conn, Shared, Use};
use crate::errors::{connection_lost, from_postgres, is_changed_table, task_stopped};

/// How many rows a chunk has at most.
const CHUNK_ROWS: usize = 500;
/// After how many bytes of documents a chunk is sent.
const CHUNK_BYTES: usize = 1024 * 1024;
/// How many chunks may wait for their reader.
const CHUNKS_AHEAD: usize = 2;
/// How often a read begins anew before it is given up.
const ATTEMPTS: u32 = 4;

/// Why a read stops before its end.
#[derive(Debug)]
pub(crate) enum Halt {
    Error(AdapterError),
    /// The connection is gone: another may do.
    Lost(AdapterError),
    /// A table is another one than was described.
    Moved(AdapterError),
    /// Nobody reads the stream any more.
    Unread,
}

impl From<AdapterError> for Halt {
    fn from(error: AdapterError) -> Self {
        Halt::Error(error)
    }
}

impl From<tokio_postgres::Error> for Halt {
    fn from(error: tokio_postgres::Error) -> Self {
        let said = from_postgres(&error);
        if connection_lost(&error) {
            Halt::Lost(said)
        } else if is_changed_table(&error) {
            Halt::Moved(said)
        } else {
            Halt::Error(said)
        }
    }
}

/// Something to be read, from the beginning if need be.
#[async_trait]
pub(crate) trait Read: Send + Sync + 'static {
    type Row: Send + 'static;

    /// What its connection is for.
    fn what_for(&self) -> Use {
        Use::Scans
    }

    /// Reads everything into `out`, in one snapshot.
    async fn run(&self, conn: &Conn, catalog: &Catalog, out: &mut Sink<Self::Row>) -> Result<(), Halt>;
}

/// Where a read puts its rows; they leave in chunks.
pub(crate) struct Sink<T> {
    chunk: Vec<T>,
    bytes: usize,
    begun: bool,
    sender: mpsc::Sender<Message<T>>,
}

enum Message<T> {
    Chunk(Vec<T>),
    Failed(AdapterError),
    /// Without it, a closed channel is a task that stopped.
    End,
}

impl<T> Sink<T> {
    /// Adds a row whose documents have about so many bytes.
    pub(crate) async fn push(&mut self, row: T, bytes: usize) -> Result<(), Halt> {
        self.chunk.push(row);
        self.bytes += bytes;
        if self.chunk.len() >= CHUNK_ROWS || self.bytes >= CHUNK_BYTES {
            self.flush().await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Halt> {
        self.bytes = 0;
        if self.chunk.is_empty() {
            return Ok(());
        }
        self.begun = true;
        let chunk = std::mem::take(&mut self.chunk);
        self.sender.send(Message::Chunk(chunk)).await.map_err(|_| Halt::Unread)
    }
}

/// Streams what a read sends. It starts when the stream is first polled and stops when it is dropped.
pub(crate) fn stream<R: Read>(shared: &Arc<Shared>, read: R) -> Chunks<'static, R::Row> {
    let shared = Arc::clone(shared);
    let start = async move {
        let (sender, receiver) = mpsc::channel(CHUNKS_AHEAD);
        tokio::spawn(work(shared, read, Sink { chunk: Vec::new(), bytes: 0, begun: false, sender }));
        stream::unfold(Some(receiver), |receiver| async {
            let mut receiver = receiver?;
            match receiver.recv().await {
                Some(Message::Chunk(chunk)) => Some((Ok(chunk), Some(receiver))),
                Some(Message::End) => None,
                Some(Message::Failed(error)) => Some((Err(error), None)),
                None => Some((Err(task_stopped()), None)),
            }
        })
    };
    stream::once(start).flatten().boxed()
}

async fn work<R: Read>(shared: Arc<Shared>, read: R, mut sink: Sink<R::Row>) {
    let last = match attempts(&shared, &read, &mut sink).await {
        Ok(()) => Message::End,
        Err(Halt::Error(error) | Halt::Lost(error) | Halt::Moved(error)) => Message::Failed(error),
        Err(Halt::Unread) => return,
    };
    // Nobody may be waiting any more.
    let _ = sink.sender.send(last).await;
}

async fn attempts<R: Read>(shared: &Arc<Shared>, read: &R, sink: &mut Sink<R::Row>) -> Result<(), Halt> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        let mut catalog = shared.catalog();
        if !catalog.has_history()? {
            // Somebody may have initialised it since.
            catalog = shared.look_again().await?;
        }
        let conn = shared.conn(read.what_for()).await?;
        let outcome = match read.run(&conn, &catalog, sink).await {
            Ok(()) => sink.flush().await,
            failed => failed,
        };
        let again = attempt < ATTEMPTS && !sink.begun;
        match outcome {
            Err(Halt::Lost(_)) if again => conn.discard(),
            Err(Halt::Moved(_)) if again => {
                drop(conn);
                shared.look_again().await?;
            }
            // The server still sends what nobody wants.
            Err(halt @ (Halt::Unread | Halt::Lost(_))) => {
                conn.discard();
                return Err(halt);
            }
            other => return other,
        }
        sink.chunk.clear();
        sink.bytes = 0;
    }
}
