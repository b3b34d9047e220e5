//! Non-custodial version control for live JSON records that stay in the user's own database.

pub mod adapter;
pub mod config;
pub mod document;
pub mod engine;
mod error;
pub mod history;
pub mod outcome;
pub mod plan;

pub use document::Value;
pub use engine::Project;
pub use error::{Error, ErrorKind};
