//! Non-custodial version control for live JSON records that stay in the user's own database.

pub mod document;

pub use document::Value;
