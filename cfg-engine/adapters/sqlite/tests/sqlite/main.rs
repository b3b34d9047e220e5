//! What is SQLite's own: shapes, types, constraints, other writers, files that are not what they should be.
//! The contract itself is tested by the conformance suite.

#![allow(clippy::unwrap_used)]

mod files;
mod reading;
mod store;
mod tables;
mod writing;
