//! Non-custodial version control for live JSON records that stay in the user's own database.
//!
//! ```
//! use std::sync::Arc;
//! use cfg_engine::adapter::MemoryAdapter;
//! use cfg_engine::config::{CollectionConfig, Settings};
//! use cfg_engine::engine::{Commit, Log, Options};
//! use cfg_engine::history::{Author, AuthorClass, CollectionName, EnvName};
//! use cfg_engine::{Project, Value};
//!
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! let store = MemoryAdapter::new(vec![CollectionConfig::new(CollectionName::new("agents")?, "agent_id")]);
//! store.raw_insert("agents", Value::from_json(r#"{"agent_id": "planner", "model": "large"}"#)?); // the app's own row
//! let me = Author { id: "ana@example.com".into(), class: AuthorClass::Human };
//! let project = Project::new(Arc::new(store), Settings::new(EnvName::new("dev")?, me));
//! project.init(false).await?;
//!
//! let planner = project.record("planner").await?;
//! let mut read = project.get(&planner).await?; // the document, and the version it was read at
//! read.doc.as_object_mut().expect("a record is an object").insert("model", "small");
//! project.commit(&Commit::new(planner.clone(), read.doc).with_base(read.base), &Options::message("cheaper")).await?;
//!
//! let log = project.log(&Log { record: Some(planner), ..Log::default() }).await?;
//! assert_eq!(log.len(), 2); // what was there before, and the change
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Where to look
//!
//! | To … | see |
//! |---|---|
//! | open a database from a `.cfg.toml` | the crate `cfg-engine-connect` |
//! | read a document with its base | [`Project::get`] |
//! | save it, one record or many at once | [`Project::commit`] |
//! | change a field, apply a patch | [`plan::Content`] |
//! | see what differs from history | [`Project::status`], [`Project::diff`], [`Project::diff_all`] |
//! | fold in what was written around the engine | [`Project::adopt`] |
//! | go back | [`Project::restore`] |
//! | ask for the past | [`Project::log_as_of`], [`Project::show`] |
//! | load an existing history | [`Project::import_history`] |
//! | check everything | [`Project::fsck`] |
//! | find a leaked secret, take it out of history | [`Project::scan_secrets`], [`Project::redact`] |
//! | hash a document as the engine does | [`document::oid`] |
//! | store records in another database | [`adapter::StorageAdapter`] and `docs/adapter-guide.md` |
//! | know what an error means to a script | [`outcome`] |
//!
//! Every mutating verb takes [`engine::Options`]: message, author, idempotency key, dry run. An error
//! says what happened, to which record, and in [`Error::hint`] what to do next.

pub mod adapter;
pub mod config;
pub mod document;
pub mod engine;
mod error;
pub mod history;
pub mod outcome;
pub mod plan;
#[doc(hidden)]
pub mod planted;

pub use document::Value;
pub use engine::Project;
pub use error::{Error, ErrorKind};
