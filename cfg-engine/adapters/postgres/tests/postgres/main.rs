//! What is PostgreSQL's own: types, tables, refusals, the statement, the schema. On a real server, as the
//! tests of the storage contract are.

#![allow(clippy::unwrap_used)]

mod history;
mod outages;
mod place;
mod refusals;
mod tables;
mod types;
