//! What a `redact` entry says: which places were overwritten, in which versions, and what is stored there now.

use std::collections::BTreeMap;

use super::entry::{Entry, Op};
use super::record::Seq;
use crate::document::{FieldPath, FieldPolicy, Object, Oid, PolicyError, Value};

/// What stands in the place of a value, and of a message, that was redacted.
pub const REDACTED: &str = "[REDACTED]";

/// A redaction of versions of one record, as its entry lists it in `meta`. It never holds what was redacted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Redaction {
    /// The paths, as they were given: `api_key`, `tools[].key`.
    pub paths: Vec<String>,
    /// The versions whose documents were overwritten, each with the address of what is stored from then on, under
    /// the field policy that the version was made under.
    pub stored: BTreeMap<Seq, Oid>,
    /// The versions whose messages were overwritten.
    pub messages: Vec<Seq>,
}

impl Redaction {
    /// Reads what an entry redacted; `None` for any other entry.
    ///
    /// # Examples
    ///
    /// ```
    /// use cfg_engine::document::Object;
    /// use cfg_engine::history::{Redaction, Seq};
    /// let redaction = Redaction { paths: vec!["api_key".into()], messages: vec![Seq(2)], ..Redaction::default() };
    /// assert_eq!(Redaction::read(&redaction.to_meta(Object::new())), redaction);
    /// ```
    pub fn of(entry: &Entry) -> Option<Redaction> {
        (entry.header.op == Op::Redact).then(|| Redaction::read(&entry.header.meta))
    }

    /// Reads the `meta` of a `redact` entry. What is not there is empty.
    pub fn read(meta: &Object) -> Redaction {
        let list = |name: &str| meta.get(name).and_then(Value::as_array).unwrap_or_default();
        let number = |value: &Value| u64::try_from(value.as_i64()?).ok().map(Seq);
        let stored = meta.get("stored").and_then(Value::as_object).into_iter().flatten();
        Redaction {
            paths: list("paths").iter().filter_map(|path| path.as_str().map(str::to_owned)).collect(),
            stored: stored
                .filter_map(|(seq, oid)| Some((Seq(seq.parse().ok()?), oid.as_str()?.parse().ok()?)))
                .collect(),
            messages: list("messages").iter().filter_map(number).collect(),
        }
    }

    /// Adds what was redacted to the `meta` of the entry.
    pub fn to_meta(&self, mut meta: Object) -> Object {
        if !self.paths.is_empty() {
            meta.insert("paths", self.paths.clone());
        }
        if !self.stored.is_empty() {
            let stored = self.stored.iter().map(|(seq, oid)| (seq.to_string(), Value::from(oid.to_hex())));
            meta.insert("stored", stored.collect::<Object>());
        }
        if !self.messages.is_empty() {
            meta.insert("messages", self.messages.iter().map(|seq| Value::from(seq.0)).collect::<Vec<_>>());
        }
        meta
    }
}

/// What redactions took from one version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Redacted {
    /// The paths, as they were given.
    pub rules: Vec<String>,
    /// Where the stored document holds [`REDACTED`] because of them.
    pub paths: Vec<FieldPath>,
}

impl Redacted {
    /// Finds the places that redactions reached in the stored document of a version.
    pub fn find(rules: Vec<String>, doc: &Value) -> Redacted {
        let paths = places(&rules, doc).unwrap_or_default();
        let paths = paths.into_iter().filter(|path| path.get(doc).is_some_and(is_redacted)).collect();
        Redacted { rules, paths }
    }

    /// Returns whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Returns the policy that also takes the redacted places for what history does not hold.
    pub fn over(&self, policy: &FieldPolicy) -> FieldPolicy {
        // A rule that was used for a redaction is one.
        policy.with_secret_fields(&self.rules).unwrap_or_else(|_| policy.clone())
    }

    /// Returns a stored document without what its redactions left of the places.
    pub fn strip(&self, doc: Value) -> Value {
        if self.is_empty() { doc } else { self.over(&FieldPolicy::default()).without_secrets(&doc) }
    }

    /// Adds what redactions took from another version.
    pub fn extend(&mut self, other: Redacted) {
        let (rules, paths) = (other.rules, other.paths);
        self.rules.extend(rules.into_iter().filter(|rule| !self.rules.contains(rule)).collect::<Vec<_>>());
        self.paths.extend(paths.into_iter().filter(|path| !self.paths.contains(path)).collect::<Vec<_>>());
    }
}

/// Returns the places of a document that paths mean, `[]` standing for every element.
///
/// # Errors
///
/// [`PolicyError`] for a text that is no path.
pub fn places(paths: &[String], doc: &Value) -> Result<Vec<FieldPath>, PolicyError> {
    Ok(FieldPolicy::default().with_secret_fields(paths)?.secret_paths(doc))
}

/// Returns whether a value is the mark of a redaction.
pub fn is_redacted(value: &Value) -> bool {
    value.as_str() == Some(REDACTED)
}

/// Returns whether the mark of a redaction stands anywhere in a value.
pub(crate) fn has_mark(value: &Value) -> bool {
    match value {
        Value::Object(object) => object.iter().any(|(_, value)| has_mark(value)),
        Value::Array(items) => items.iter().any(has_mark),
        value => is_redacted(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_a_version_are_those_that_hold_the_mark() {
        let doc = Value::from_json(r#"{"a":"[REDACTED]","b":"[REDACTED]","t":[{"k":"[REDACTED]"},{"k":1},{}]}"#);
        let found = Redacted::find(vec!["a".into(), "t[].k".into(), "gone.x".into()], &doc.expect("JSON"));
        assert_eq!(found.paths.iter().map(ToString::to_string).collect::<Vec<_>>(), ["a", "t[0].k"]);
    }

    #[test]
    fn it_reads_what_it_wrote() {
        let mut redaction = Redaction { paths: vec!["a".into(), "b[].c".into()], ..Redaction::default() };
        redaction.stored.insert(Seq(12), Oid::from_bytes([7; 32]));
        redaction.stored.insert(Seq(3), Oid::from_bytes([8; 32]));
        redaction.messages = vec![Seq(1), Seq(12)];
        let meta = redaction.to_meta(Object::new().with("tool_version", "x"));
        assert_eq!(Redaction::read(&meta), redaction);
        assert_eq!(Redaction::default().to_meta(Object::new()), Object::new());
    }
}
