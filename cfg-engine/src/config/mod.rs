//! Configuration: what `.cfg.toml` says, as types.

mod collection;

pub use collection::{CollectionConfig, Condition, IdType, LiveRule, LiveRuleError, Shape};
