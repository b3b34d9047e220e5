//! End-to-end tests.

mod corpus;
