//! The SQLite adapter of `cfg-engine`: history beside the live tables, in the same file.
//!
//! ```
//! use cfg_engine::adapter::StorageAdapter;
//! use cfg_engine::config::CollectionConfig;
//! use cfg_engine::history::CollectionName;
//! use cfg_engine_sqlite::{SqliteAdapter, SqliteOptions};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("app.db");
//! # rusqlite::Connection::open(&path)?.execute_batch("CREATE TABLE agents (id TEXT PRIMARY KEY, model TEXT)")?;
//! let agents = CollectionConfig::new(CollectionName::new("agents")?, "id");
//! let store = SqliteAdapter::open(SqliteOptions::new(&path, vec![agents]))?;
//! # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
//! # runtime.block_on(async {
//! assert!(!store.pending_schema().await?.is_empty());
//! store.ensure_schema().await?;
//! assert!(store.pending_schema().await?.is_empty());
//! # Ok::<(), cfg_engine::adapter::AdapterError>(())
//! # })?;
//! # Ok(())
//! # }
//! ```
//!
//! # How it works
//!
//! - **One writer.** A thread owns the one connection that writes. Batches that queue up share a
//!   transaction, each in a savepoint, and are answered after `COMMIT`.
//! - **Reads of their own.** Each read has a thread, a connection and one snapshot. Rows leave in
//!   chunks through a bounded channel: a slow consumer costs no memory, and a dropped stream stops its
//!   read. While a stream is open the write-ahead log cannot be emptied, so streams are for reading
//!   through and not for keeping.
//! - **Any executor.** Nothing here needs a runtime; futures and streams wait on channels.
//! - **WAL and `synchronous=FULL`.** What was confirmed survives a power failure. The file is put into
//!   WAL mode by [`ensure_schema`](cfg_engine::adapter::StorageAdapter::ensure_schema), which is a
//!   property of the file that the application sees too. Reads and writes leave the journal mode as
//!   they find it.
//! - **Foreign keys are checked** on what the adapter writes, whatever the application's default is.
//! - **Uninitialised files can be read.** Without the engine's tables there is no history, and every
//!   read says so by finding none; a write is refused with a hint.
//! - **The clock is SQLite's**, which is this machine's; a read carries it, and a write checks it
//!   inside its transaction.
//!
//! # Shapes
//!
//! In the `doc` shape one column holds the document as JSON *text*, and a write edits that text in
//! place: what no change reaches stays byte for byte. In the `row` shape the row is the record: a write
//! sets the columns that change, and a column declared `JSON` is edited as a document is. Columns
//! declared `BOOLEAN` hold true and false. A value that a column would give back as another one is
//! refused beforehand.
//!
//! The layout of the engine's tables and its reasons are in `docs/decisions/0020-sqlite-layout.md`.

mod activate;
mod adapter;
mod apply;
mod as_of;
mod cell;
mod check;
mod connection;
mod doc_shape;
mod entries;
mod errors;
mod heads;
mod live;
mod live_write;
mod options;
mod prepare;
mod read;
mod readers;
mod returning;
mod row_shape;
mod rule;
mod schema;
mod sql;
mod strays;
mod table;
#[cfg(test)]
mod tests;
mod writer;

pub use adapter::SqliteAdapter;
pub use options::SqliteOptions;
