//! The real engine over modelled stores: seeded schedules, faults, checkers.
//!
//! One seed decides everything: which store is modelled, who does what and in which order, and what goes
//! wrong between any two steps. A run is one thread that polls its tasks as chance says; no time passes but
//! the modelled one. So a seed that fails fails again, byte for byte.
//!
//! ```
//! let run = cfg_engine_simulator::simulate(1, 200);
//! assert!(run.violations.is_empty(), "{:?}", run.violations);
//! assert_eq!(run.hash, cfg_engine_simulator::simulate(1, 200).hash);
//! ```

mod actors;
mod adapter;
mod announced;
mod apply;
mod check;
mod ledger;
mod live;
mod raw;
mod rng;
mod schedule;
mod state;
mod trace;
mod transactions;
mod world;

pub use schedule::{Run, simulate, simulate_in_words};

/// The stores that are modelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Store {
    /// MongoDB with transactions: snapshot isolation, and the first writer wins.
    Snapshot,
    /// PostgreSQL: one statement under read committed.
    Statement,
    /// SQLite: one writer at a time.
    File,
    /// MongoDB without transactions: announced, confirmed, reconciled.
    Standalone,
    /// Live and history on two deployments, the same way.
    Split,
}

impl Store {
    /// All of them.
    pub const ALL: [Store; 5] = [Store::Snapshot, Store::Statement, Store::File, Store::Standalone, Store::Split];

    /// Whether a batch is no transaction.
    pub(crate) const fn is_announced(self) -> bool {
        matches!(self, Store::Standalone | Store::Split)
    }
}
