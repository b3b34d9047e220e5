//! Why a configuration cannot be used: the line, the key, what is wrong, what to write instead.

use std::fmt;

use super::credentials::scrub;

/// What kind of mistake it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigErrorKind {
    /// Not TOML.
    Syntax,
    /// A key that does not exist.
    UnknownKey,
    /// One key under both of its names, or two things under one name.
    Duplicate,
    /// A key that must be there.
    Missing,
    /// A value of the wrong type.
    WrongType,
    /// A value of the right type that cannot be used.
    BadValue,
    /// A URI with a user's password or a token in it.
    Credentials,
}

impl ConfigErrorKind {
    /// Returns the word by which programs tell the kinds apart.
    pub const fn as_str(self) -> &'static str {
        match self {
            ConfigErrorKind::Syntax => "syntax",
            ConfigErrorKind::UnknownKey => "unknown_key",
            ConfigErrorKind::Duplicate => "duplicate",
            ConfigErrorKind::Missing => "missing",
            ConfigErrorKind::WrongType => "wrong_type",
            ConfigErrorKind::BadValue => "bad_value",
            ConfigErrorKind::Credentials => "credentials",
        }
    }
}

/// A mistake in a configuration. It never repeats a URI.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{problem}", Place(*line, key))]
pub struct ConfigError {
    kind: ConfigErrorKind,
    line: Option<usize>,
    key: String,
    problem: String,
    hint: String,
}

/// Writes `line 7: env.dev.uri: `, as far as it is known.
struct Place<'a>(Option<usize>, &'a str);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.0 {
            write!(f, "line {line}: ")?;
        }
        if !self.1.is_empty() {
            write!(f, "{}: ", self.1)?;
        }
        Ok(())
    }
}

impl ConfigError {
    pub(super) fn new(
        kind: ConfigErrorKind,
        line: usize,
        key: impl Into<String>,
        problem: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        // A URI can end up under any key, or as one.
        let [key, problem, hint] = [key.into(), problem.into(), hint.into()].map(|text| scrub(&text));
        ConfigError { kind, line: Some(line), key, problem, hint }
    }

    /// A mistake of the file as a whole.
    pub(super) fn whole(kind: ConfigErrorKind, problem: impl Into<String>, hint: impl Into<String>) -> Self {
        ConfigError { kind, line: None, key: String::new(), problem: problem.into(), hint: hint.into() }
    }

    /// Returns what kind of mistake it is.
    pub fn kind(&self) -> ConfigErrorKind {
        self.kind
    }

    /// Returns the line, from 1, where there is one.
    pub fn line(&self) -> Option<usize> {
        self.line
    }

    /// Returns the dotted key, empty where the file as a whole is meant.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Returns what to do about it.
    pub fn hint(&self) -> &str {
        &self.hint
    }
}
