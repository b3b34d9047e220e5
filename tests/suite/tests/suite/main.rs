//! What only several crates together can show.

#![allow(clippy::unwrap_used)]

mod adapters;
mod approvals;
mod corpus;
mod damage;
mod histories;
mod incumbents;
mod interposed;
mod kills;
mod model;
mod mongodb;
mod outcomes;
mod planted;
mod postgres;
mod races;
mod redaction;
mod scenarios;
mod sqlite;
mod stores;
mod system;
