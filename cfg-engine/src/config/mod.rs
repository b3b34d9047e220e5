//! Configuration: what `.cfg.toml` says, as types.

mod collection;
mod settings;

pub use collection::{CollectionConfig, Condition, IdType, LiveRule, LiveRuleError, Shape};
pub use settings::{OnSecret, Settings};
