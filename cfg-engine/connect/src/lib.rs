//! Opens a cfg-engine project: finds `.cfg.toml`, chooses the env, picks the adapter, knows the author.
//!
//! The one crate that knows every adapter, and the only one below the interfaces that reads files,
//! environment variables and git.

mod adapters;
mod alarm;
mod approve;
mod author;
pub mod call;
mod choose;
mod error;
mod file_names;
mod find;
mod history_file;
mod hooks;
mod open;
mod redact;
mod refs;
mod staging;
mod starter;
mod variables;

pub use adapters::Create;
pub use approve::{Terminal, new_key, os_user_by_id, read_key};
pub use author::{AuthorSource, Surroundings};
pub use call::{Answer, Session};
pub use cfg_engine::config::scrub;
pub use cfg_engine_mongodb::MongoApplication;
pub use cfg_engine_postgres::PostgresApplication;
pub use choose::{EnvSource, choose_env};
pub use error::{ConnectError, PREVIEW};
pub use file_names::record_file_stem;
pub use find::{find_config, read_config};
pub use history_file::HistoryFile;
pub use hooks::{GitCommit, HookChange, TRAILER, install_hook, read_commit, uninstall_hook};
pub use open::{Located, OpenOptions, Opened, locate, open};
pub use refs::{Reader, Readers, find_readers};
pub use staging::{STATE_FOLDER, Staged, StagedFile, Staging, StagingError, Surveyed};
pub use starter::{Starter, ignore_state_folder, starter_config, write_config};
pub use variables::Variables;

#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct ReadmeExamples;
