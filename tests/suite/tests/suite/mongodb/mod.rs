//! MongoDB: the harness of the contract's cases, and tests of what only a real server can show.

mod bed;
mod bson_values;
mod by_hand;
mod commands;
mod harness;
mod kills;
mod own_servers;
mod races;
mod roles;
mod servers;
mod types;

pub(crate) use harness::{MongoHarness, STANDALONE};
