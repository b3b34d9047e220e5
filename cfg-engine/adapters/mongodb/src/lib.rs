//! The MongoDB adapter of `cfg-engine`: history beside the live collections, on the same servers.
//!
//! ```no_run
//! use cfg_engine::adapter::StorageAdapter;
//! use cfg_engine::config::CollectionConfig;
//! use cfg_engine::history::CollectionName;
//! use cfg_engine_mongodb::{MongoAdapter, MongoOptions};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let agents = CollectionConfig::new(CollectionName::new("agents")?, "agent_id");
//! let store = MongoAdapter::open(MongoOptions::new("mongodb://localhost/app?replicaSet=rs0", vec![agents])).await?;
//! store.ensure_schema().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # How it works
//!
//! - **One transaction a batch**, of bulk commands: live, history, heads, commit. What is expected goes along
//!   with what is written; where that fails, or cannot be said, the batch is read and decided inside the
//!   transaction ([`apply`](cfg_engine::adapter::StorageAdapter::apply)).
//! - **One snapshot a read.** Records that are asked for by name come with one aggregate.
//! - **Native BSON.** An image is the document's bytes; what no change reaches keeps them.
//! - **Nothing is inherited**: transactions name their own read and write concern.
//! - **No transactions, no promise.** A standalone server, or live and history on two deployments, is what the
//!   [capabilities](cfg_engine::adapter::Capabilities) say; batches are then announced, confirmed and reconciled.
//! - **Errors are made here.** Nothing of the driver's texts, which hold addresses and values, is passed on.
//! - It needs a tokio runtime, as the driver does.
//!
//! The layout and its reasons are in `docs/decisions/0035-mongodb-layout.md`.

mod adapter;
mod advice;
mod application;
mod apply;
mod as_of;
mod command;
mod connect;
mod entries;
mod errors;
mod expr;
mod fallback;
mod heads;
mod live_write;
mod options;
mod others;
mod prepare;
mod read;
mod rule;
mod schema;
mod short;
mod store;
mod streams;
mod table;
mod values;

pub use adapter::MongoAdapter;
pub use application::MongoApplication;
pub use options::{MongoOptions, OnCommand};
