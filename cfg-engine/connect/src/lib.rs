//! Opens a cfg-engine project: finds `.cfg.toml`, chooses the env, picks the adapter, knows the author.
//!
//! The one crate that knows every adapter, and the only one below the interfaces that reads files,
//! environment variables and git.

mod adapters;
mod author;
mod choose;
mod error;
mod file_names;
mod find;
mod history_file;
mod open;
mod staging;
mod starter;
mod variables;

pub use adapters::Create;
pub use author::{AuthorSource, Surroundings};
pub use cfg_engine::config::scrub;
pub use choose::{EnvSource, choose_env};
pub use error::ConnectError;
pub use file_names::record_file_stem;
pub use find::{find_config, read_config};
pub use history_file::HistoryFile;
pub use open::{Located, OpenOptions, Opened, locate, open};
pub use staging::{STATE_FOLDER, Staged, Staging, StagingError};
pub use starter::{Starter, ignore_state_folder, starter_config, write_config};
pub use variables::Variables;

#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct ReadmeExamples;
