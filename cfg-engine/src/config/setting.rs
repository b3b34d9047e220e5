//! Effective settings, each with where it comes from, for `cfg config`.

use std::fmt;

use crate::document::Value;

/// Where a setting's value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettingSource {
    /// This line of the file.
    Line(usize),
    /// The file does not say.
    Default,
}

impl fmt::Display for SettingSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SettingSource::Line(line) => write!(f, "line {line}"),
            SettingSource::Default => f.write_str("default"),
        }
    }
}

/// One effective setting.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// The dotted key under its friendly names: `env.dev.database`, `collection.prompts.table`.
    pub key: String,
    /// The value in effect; null where nothing is set. A file that loads holds no credentials, so
    /// nothing here needs masking.
    pub value: Value,
    /// Where it comes from.
    pub source: SettingSource,
}
