//! The PostgreSQL adapter of `cfg-engine`: history beside the live tables, in a schema of its own.
//!
//! ```no_run
//! use cfg_engine::adapter::StorageAdapter;
//! use cfg_engine::config::CollectionConfig;
//! use cfg_engine::history::CollectionName;
//! use cfg_engine_postgres::{PostgresAdapter, PostgresOptions};
//!
//! # async fn example(uri: &str) -> Result<(), Box<dyn std::error::Error>> {
//! let agents = CollectionConfig::new(CollectionName::new("agents")?, "id");
//! let store = PostgresAdapter::open(PostgresOptions::new(uri, vec![agents])).await?;
//! for statement in store.pending_schema().await? {
//!     println!("{statement};");
//! }
//! store.ensure_schema().await?;
//! assert!(store.pending_schema().await?.is_empty());
//! # Ok(())
//! # }
//! ```
//!
//! # How it works
//!
//! - **One statement a batch.** It locks heads and live rows in the order of the records and writes everything
//!   if, and only if, as many rows were locked as are expected. One round trip, no transaction around it, and
//!   nothing installed but tables and indexes. Where it finds something else, the batch is looked at once more
//!   under locks, to say what it was, or, where only ignored fields moved, to write all the same.
//! - **The database's own word** that no two versions of a record are valid at one instant: a deferred
//!   exclusion constraint, whose index also answers what was valid at an instant.
//! - **Cells are texts.** Every type of PostgreSQL reads and prints text; printed under settings that the
//!   statement itself fixes, it is always the same one. So nothing is rounded on the way, whatever the type.
//! - **Works through a pooler.** Statements stay prepared only where a session turns out to be the client's
//!   own; through pgbouncer in transaction mode nothing outlives a transaction.
//! - **Reads of their own.** Each read has a connection and one snapshot, and leaves in chunks; a dropped
//!   stream stops its read.
//!
//! # Shapes
//!
//! In the `doc` shape a `json` or `jsonb` column holds the document; a write replaces the column with the text
//! in which only the changes differ. In the `row` shape the row is the record, and a write sets the columns
//! that change. Generated and identity columns are read, never written.
//!
//! The layout of the engine's tables and its reasons are in `docs/decisions/0030-postgres-layout.md`.

mod adapter;
mod application;
mod apply;
mod array;
mod as_of;
mod catalog;
mod check;
mod column;
mod connection;
mod doc_shape;
mod entries;
mod errors;
mod heads;
mod live;
mod moment;
mod options;
mod prepare;
mod read;
mod readers;
mod returning;
mod row_shape;
mod rule;
mod schema;
mod single;
mod sql;
mod statement;
mod table;
mod tls;
mod turn;

pub use adapter::PostgresAdapter;
pub use application::PostgresApplication;
pub use options::PostgresOptions;
