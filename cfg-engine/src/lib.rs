//! Non-custodial version control for live JSON records that stay in the user's own database.

pub mod adapter;
pub mod config;
pub mod document;
pub mod history;

pub use document::Value;
