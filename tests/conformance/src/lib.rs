//! The storage contract as tests: one list of cases that every adapter runs.
//!
//! An adapter joins by implementing [`Harness`] for its store and naming it once:
//!
//! ```text
//! cfg_engine_conformance::tests!(memory_row, MemoryHarness::new(Shape::Row), may_lack: []);
//! ```
//!
//! which makes one test of each case. A case that a store cannot run says which [`Need`] it lacks. That
//! is printed, and it fails unless the store's line names it.
//!
//! Cases speak of fields; where a field is stored (a column, or inside the document's column) is up to the
//! store's shape. Documents use the columns of [`Table`] at the top level and anything at all inside `body`.

#![allow(clippy::unwrap_used)]

mod cases;
mod draft;
mod generated;
mod list;
mod memory;
mod space;
mod table;

use std::fmt;
use std::io::Write;
use std::sync::Arc;

use async_trait::async_trait;
use cfg_engine::Value;
use cfg_engine::adapter::StorageAdapter;
use cfg_engine::config::{CollectionConfig, Shape};
use cfg_engine::document::Object;
use futures_util::future::BoxFuture;

pub use draft::{Draft, DraftEntry};
pub use generated::{Random, history as generated_history};
pub use memory::MemoryHarness;
pub use space::{Space, doc_text, object, stale, value};
pub use table::{COLUMNS, Column, Table};

/// A store under test: makes namespaces that no other case sees.
#[async_trait]
pub trait Harness: Send + Sync {
    /// Returns the name that outcomes are printed under.
    fn name(&self) -> &str;

    /// Returns how live tables hold records here.
    fn shape(&self) -> Shape;

    /// Returns whether the store, as this harness opens it, has what a case needs.
    fn has(&self, need: Need) -> bool;

    /// Returns what to type so that this store can be tested, where it is not there: a server that does
    /// not run.
    fn absent(&self) -> Option<String> {
        None
    }

    /// Makes a fresh namespace with these live tables, and the engine's own tables.
    async fn open(&self, tables: &[Table]) -> Box<dyn Namespace>;
}

/// One isolated store, and the ways around the tool into it.
///
/// Rows are given in the store's shape: the whole record, or id, live-rule columns and the document's
/// column.
#[async_trait]
pub trait Namespace: Send + Sync {
    /// Returns the adapter.
    fn adapter(&self) -> Arc<dyn StorageAdapter>;

    /// Opens the same store once more, with another configuration of the same tables.
    async fn reopen(&self, collections: Vec<CollectionConfig>) -> Arc<dyn StorageAdapter>;

    /// Inserts a row as an application would.
    async fn insert(&self, collection: &CollectionConfig, row: &Value);

    /// Sets columns of every row with this id as an application would.
    async fn update(&self, collection: &CollectionConfig, id: &Value, set: &Object);

    /// Deletes every row with this id as an application would.
    async fn delete(&self, collection: &CollectionConfig, id: &Value);

    /// Returns every row.
    async fn rows(&self, collection: &CollectionConfig) -> Vec<Value>;

    /// Returns every byte that a backup of the store would hold: a dump of all of it, or its files after they were
    /// folded together. `None` for a store that keeps nothing.
    async fn dump(&self) -> Option<Vec<u8>> {
        None
    }

    /// Steps the store's wall clock; only with [`Need::ClockControl`].
    async fn step_clock(&self, by_ms: i64) {
        let _ = by_ms;
        panic!("a store with clock control implements step_clock");
    }
}

/// What a case may need of a store beyond the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Need {
    /// A batch of several records is one transaction.
    Transactions,
    /// Documents hold dates, binary, ObjectIds, …
    ExtendedTypes,
    /// Documents hold any top-level field, not only the table's columns.
    FreeFields,
    /// Ids that are UUIDs.
    UuidIds,
    /// Ids of several types in one collection.
    MixedIds,
    /// The clock can be stepped.
    ClockControl,
    /// Documents keep the order of their members and the spelling of their numbers.
    Verbatim,
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Need::Transactions => "transactions",
            Need::ExtendedTypes => "extended types",
            Need::FreeFields => "free fields",
            Need::UuidIds => "uuid ids",
            Need::MixedIds => "ids of several types",
            Need::ClockControl => "clock control",
            Need::Verbatim => "order and spelling",
        })
    }
}

/// How a case ended. A broken promise panics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The promise holds.
    Passed,
    /// The store lacks what the case needs.
    Skipped(Need),
}

/// Ends a case early, loudly, where the store lacks what it needs.
macro_rules! require {
    ($harness:expr, $need:ident) => {
        if !$harness.has($crate::Need::$need) {
            return $crate::Outcome::Skipped($crate::Need::$need);
        }
    };
}
pub(crate) use require;

/// One promise of the contract, and the test that tries to break it.
#[derive(Clone, Copy)]
pub struct Case {
    /// `group::name`.
    pub name: &'static str,
    /// The promise.
    pub promise: &'static str,
    /// The test.
    pub run: fn(Arc<dyn Harness>) -> BoxFuture<'static, Outcome>,
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.promise)
    }
}

/// Returns every case.
pub fn cases() -> Vec<Case> {
    list::all()
}

/// Returns whether a store is there to be tested, and says loudly if it is not.
///
/// # Panics
///
/// Where it is not and must be: in continuous integration.
pub fn is_there(harness: &dyn Harness) -> bool {
    let Some(command) = harness.absent() else { return true };
    // Past the test runner, which shows what is printed only where a test fails.
    let line = format!("{}: SKIPPED LOUDLY, no server; type: {command}\n", harness.name());
    std::io::stderr().write_all(line.as_bytes()).expect("standard error");
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{} must be tested here: {command}", harness.name());
    false
}

/// Runs one case, prints how it ended, and panics where it was skipped for a need that the store may
/// not lack.
///
/// # Panics
///
/// Where the promise is broken, the case is unknown, or it was skipped and should not have been.
#[expect(clippy::print_stdout, reason = "a skip that nobody sees is a pass")]
pub async fn run(name: &str, harness: Arc<dyn Harness>, may_lack: &[Need]) {
    let case = cases().into_iter().find(|case| case.name == name).expect("a case of the list");
    if !is_there(&*harness) {
        return;
    }
    match (case.run)(Arc::clone(&harness)).await {
        Outcome::Passed => println!("{}: {name}: passed", harness.name()),
        Outcome::Skipped(need) => {
            // Past the test runner, which shows what is printed only where a test fails.
            let line = format!("{}: {name}: SKIPPED, no {need}\n", harness.name());
            std::io::stderr().write_all(line.as_bytes()).expect("standard error");
            assert!(may_lack.contains(&need), "{} may not lack {need}, and {name} was skipped", harness.name());
        }
    }
}
