//! Reads the keys of one table as what they should be, and notes each as a setting.

use std::cell::RefCell;

use super::error::{ConfigError, ConfigErrorKind};
use super::friendly_names::{Name, dotted, nearest, resolve};
use super::setting::{Setting, SettingSource};
use super::source::{Entry, Node, Table};
use crate::document::{Extended, Number, Object, Value};

/// The settings noted so far.
pub(super) type Log = RefCell<Vec<Setting>>;

/// A value and where it comes from.
#[derive(Debug, Clone)]
pub(super) struct Sourced<T> {
    pub(super) value: T,
    pub(super) source: SettingSource,
}

impl<T> Sourced<T> {
    pub(super) fn default(value: T) -> Self {
        Sourced { value, source: SettingSource::Default }
    }
}

/// One table, its keys under their friendly names.
pub(super) struct Section<'t> {
    pub(super) path: String,
    pub(super) line: usize,
    found: Vec<(&'static str, &'t Entry)>,
    log: &'t Log,
}

impl<'t> Section<'t> {
    /// Opens a table; a missing one is an empty one.
    pub(super) fn open(
        path: impl Into<String>,
        table: Option<&'t Table>,
        names: &'static [Name],
        log: &'t Log,
    ) -> Result<Self, ConfigError> {
        let path = path.into();
        let found = match table {
            Some(table) => resolve(names, table, &path)?,
            None => Vec::new(),
        };
        Ok(Section { path, line: table.map_or(1, |table| table.line), found, log })
    }

    /// Returns a key's entry, if the file has it.
    pub(super) fn entry(&self, key: &str) -> Option<&'t Entry> {
        self.found.iter().find(|(friendly, _)| *friendly == key).map(|(_, entry)| *entry)
    }

    /// Notes a setting.
    pub(super) fn note(&self, key: &str, value: impl Into<Value>, source: SettingSource) {
        let key = dotted(&self.path, key);
        self.log.borrow_mut().push(Setting { key, value: value.into(), source });
    }

    /// Makes an error about a key's value.
    pub(super) fn bad(&self, key: &str, problem: impl Into<String>, hint: impl Into<String>) -> ConfigError {
        self.error(ConfigErrorKind::BadValue, key, problem, hint)
    }

    /// Makes an error about a key, at its line or, if it is not there, at the table's.
    pub(super) fn error(
        &self,
        kind: ConfigErrorKind,
        key: &str,
        problem: impl Into<String>,
        hint: impl Into<String>,
    ) -> ConfigError {
        let entry = self.entry(key);
        let spelling = entry.map_or(key, |entry| &entry.key);
        ConfigError::new(kind, entry.map_or(self.line, |e| e.line), dotted(&self.path, spelling), problem, hint)
    }

    /// Makes the error for a key that must be there.
    pub(super) fn missing(&self, key: &str, example: &str) -> ConfigError {
        self.error(ConfigErrorKind::Missing, key, "is missing", format!("add {example}"))
    }

    fn wrong(&self, key: &str, node: &Node, wanted: &str) -> ConfigError {
        self.error(
            ConfigErrorKind::WrongType,
            key,
            format!("must be {wanted}, not {}", node.type_name()),
            format!("write {key} = {}", example(wanted)),
        )
    }

    /// Reads text, not empty.
    pub(super) fn text(&self, key: &str) -> Result<Option<Sourced<String>>, ConfigError> {
        let Some(entry) = self.entry(key) else { return Ok(None) };
        let Node::Text(text) = &entry.node else { return Err(self.wrong(key, &entry.node, "text")) };
        if text.trim().is_empty() || text.chars().any(char::is_control) {
            return Err(self.bad(key, "is empty or has a control character", "write some text or remove the key"));
        }
        Ok(Some(Sourced { value: text.clone(), source: SettingSource::Line(entry.line) }))
    }

    /// Reads and notes text.
    pub(super) fn text_or(&self, key: &str, default: Option<&str>) -> Result<Option<String>, ConfigError> {
        let read = self.text(key)?;
        let source = read.as_ref().map_or(SettingSource::Default, |read| read.source);
        let value = read.map(|read| read.value).or_else(|| default.map(str::to_owned));
        self.note(key, value.clone(), source);
        Ok(value)
    }

    /// Reads and notes one of some words; `unset` is what is noted where the file does not say.
    pub(super) fn word<T: Copy>(
        &self,
        key: &str,
        words: &[(&'static str, T)],
        unset: &str,
    ) -> Result<Option<T>, ConfigError> {
        let Some(text) = self.text(key)? else {
            self.note(key, unset, SettingSource::Default);
            return Ok(None);
        };
        if let Some((word, value)) = words.iter().find(|(word, _)| *word == text.value) {
            self.note(key, *word, text.source);
            return Ok(Some(*value));
        }
        let all = words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
        let hint = match nearest(&text.value, words.iter().map(|(word, _)| *word)) {
            Some(near) => format!("did you mean {near}? It is one of {all}"),
            None => format!("write one of {all}"),
        };
        Err(self.bad(key, format!("{:?} is none of its words", text.value), hint))
    }

    /// Reads true or false.
    pub(super) fn bool(&self, key: &str) -> Result<Option<Sourced<bool>>, ConfigError> {
        let Some(entry) = self.entry(key) else { return Ok(None) };
        let Node::Bool(value) = entry.node else { return Err(self.wrong(key, &entry.node, "true or false")) };
        Ok(Some(Sourced { value, source: SettingSource::Line(entry.line) }))
    }

    /// Reads and notes true or false.
    pub(super) fn bool_or(&self, key: &str, default: bool) -> Result<bool, ConfigError> {
        let read = self.bool(key)?.unwrap_or(Sourced::default(default));
        self.note(key, read.value, read.source);
        Ok(read.value)
    }

    /// Reads and notes a whole number from 1.
    pub(super) fn count_or(&self, key: &str, default: u32) -> Result<u32, ConfigError> {
        let Some(entry) = self.entry(key) else {
            self.note(key, u64::from(default), SettingSource::Default);
            return Ok(default);
        };
        let Node::Int(number) = entry.node else { return Err(self.wrong(key, &entry.node, "a whole number")) };
        let count = u32::try_from(number).ok().filter(|n| *n > 0);
        let count = count.ok_or_else(|| self.bad(key, format!("{number} is not a count"), "write 1 or more"))?;
        self.note(key, number, SettingSource::Line(entry.line));
        Ok(count)
    }

    /// Reads a list of texts; `single` also takes one text alone.
    pub(super) fn texts(&self, key: &str, single: Single) -> Result<Option<Sourced<Vec<String>>>, ConfigError> {
        let Some(entry) = self.entry(key) else { return Ok(None) };
        let value = match &entry.node {
            Node::Text(_) if single == Single::Allowed => vec![self.text(key)?.map(|t| t.value).unwrap_or_default()],
            Node::Array(items) => items
                .iter()
                .map(|(line, item)| match item {
                    Node::Text(text) if !text.is_empty() => Ok(text.clone()),
                    other => Err(ConfigError::new(
                        ConfigErrorKind::WrongType,
                        *line,
                        dotted(&self.path, &entry.key),
                        format!("holds {} where some text must be", other.type_name()),
                        format!("write {key} = [\"…\", \"…\"]"),
                    )),
                })
                .collect::<Result<_, _>>()?,
            other => return Err(self.wrong(key, other, "a list of texts")),
        };
        Ok(Some(Sourced { value, source: SettingSource::Line(entry.line) }))
    }

    /// Reads and notes a list of texts.
    pub(super) fn texts_or(&self, key: &str, default: &[&str]) -> Result<Vec<String>, ConfigError> {
        let default = || Sourced::default(default.iter().map(|text| (*text).to_owned()).collect());
        let read = self.texts(key, Single::Refused)?.unwrap_or_else(default);
        self.note(key, read.value.clone(), read.source);
        Ok(read.value)
    }

    /// Reads a table of free keys as an object.
    pub(super) fn object(&self, key: &str) -> Result<Option<Sourced<Object>>, ConfigError> {
        let Some(entry) = self.entry(key) else { return Ok(None) };
        let Node::Table(table) = &entry.node else { return Err(self.wrong(key, &entry.node, "a table")) };
        let value = self.table_value(table, &dotted(&self.path, &entry.key))?;
        Ok(Some(Sourced { value, source: SettingSource::Line(entry.line) }))
    }

    fn table_value(&self, table: &Table, path: &str) -> Result<Object, ConfigError> {
        let members = table.entries.iter().map(|entry| {
            let path = dotted(path, &entry.key);
            Ok((entry.key.clone(), self.value(&entry.node, entry.line, &path)?))
        });
        members.collect()
    }

    fn value(&self, node: &Node, line: usize, path: &str) -> Result<Value, ConfigError> {
        Ok(match node {
            Node::Text(text) => Value::from(text.as_str()),
            Node::Int(number) => Value::from(*number),
            Node::Float(number) => Value::Number(Number::Double(*number)),
            Node::Bool(b) => Value::Bool(*b),
            Node::Date(date) => {
                // TOML allows a blank between date and time.
                let text = date.to_string().replacen(' ', "T", 1);
                let instant = date.offset.and_then(|_| crate::history::Timestamp::parse_instant(&text).ok());
                let fine = date.time.and_then(|t| t.nanosecond).unwrap_or(0) % 1_000_000 == 0;
                let Some(instant) = instant.filter(|_| fine) else {
                    return Err(ConfigError::new(
                        ConfigErrorKind::BadValue,
                        line,
                        path,
                        "a date must have a time, an offset and at most milliseconds",
                        "write 2023-06-07T00:00:00Z, or the date in quotes where the field holds text",
                    ));
                };
                Value::Extended(Box::new(Extended::DateTime(instant.as_millis())))
            }
            Node::Array(items) => {
                let items = items.iter().map(|(line, item)| self.value(item, *line, path));
                Value::Array(items.collect::<Result<_, _>>()?)
            }
            Node::Table(table) => Value::Object(self.table_value(table, path)?),
        })
    }
}

/// Whether a list may be written as one text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Single {
    Allowed,
    Refused,
}

fn example(wanted: &str) -> &str {
    match wanted {
        "text" => "\"…\"",
        "true or false" => "true",
        "a whole number" => "1",
        "a list of texts" => "[\"…\"]",
        "a table" => "{ field = true }",
        other => other,
    }
}
