//! The application's own access to each store, without this tool: what a verb is compared with.
//!
//! Writing by hand means the same writes in one durable transaction: the record, an entry with its document,
//! the end of the entry before, and the head. They lie in tables of their own with the indexes that somebody
//! would make who keeps history by hand, because a write to the versioned table would be drift.

mod mongodb;
mod postgres;
mod sqlite;

use std::time::Duration;

use async_trait::async_trait;
use cfg_engine::history::Timestamp;

pub use mongodb::Mongodb;
pub use postgres::Postgres;
pub use sqlite::Sqlite;

/// One record as the application has it: its id and its document as JSON.
pub type Row = (String, String);

/// The application.
#[async_trait(?Send)]
pub trait App {
    /// Fills the versioned table (if `tracked`) and the one kept by hand with these records.
    async fn fill(&mut self, rows: &[Row], tracked: bool);

    /// Lets the store tidy up after a load, as it would by itself in time.
    async fn settle(&mut self);

    /// Writes these documents by hand, all of them in one transaction; `to` is their `n`.
    async fn write(&mut self, rows: &[Row], to: i64) -> Duration;

    /// Reads one live document.
    async fn read(&mut self, id: &str) -> Duration;

    /// Reads every live document, not even parsed.
    async fn read_all(&mut self) -> (Duration, usize);

    /// Asks the history that this tool has written what was valid at an instant.
    async fn as_of(&mut self, at: Timestamp, with_doc: bool) -> (Duration, usize);

    /// Versions and settings of the store, for the page.
    async fn about(&mut self) -> Vec<(&'static str, String)>;

    /// Removes everything.
    async fn clear(&mut self);
}
