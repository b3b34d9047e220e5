//! What only several crates together can show.

#![allow(clippy::unwrap_used)]

mod adapters;
mod corpus;
mod model;
mod scenarios;
mod sqlite;
mod stores;
