//! Configuration: what `.cfg.toml` says, as types. `docs/configuration.md` explains the file.
//!
//! Pure: no file is opened and no environment variable is read here.

mod alert;
mod collection;
mod connections;
mod credentials;
mod env;
mod error;
mod friendly_names;
mod load;
mod policy;
mod read_collection;
mod reader;
mod setting;
mod settings;
mod source;
#[cfg(test)]
mod tests;

pub use alert::{Alert, AlertUrl};
pub use collection::{CollectionConfig, Condition, IdType, LiveRule, LiveRuleError, Shape};
pub use connections::{Connections, Link, LinkKind, WarnLevel};
pub use credentials::{holds_credentials, scrub};
pub use env::{Database, EnvConfig, ReasonRule, Rules, UriSource};
pub use error::{ConfigError, ConfigErrorKind};
pub use load::{AuthorFrom, CodeSearch, ConfigFile, FILE_NAME, SecretSettings};
pub(crate) use policy::pinned;
pub use policy::{Approver, Policy, PublicKey, effective};
pub use setting::{Setting, SettingSource};
pub use settings::{OnSecret, Settings};
