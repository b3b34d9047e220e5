//! Which record, which version, which batch: the newtypes that identify things.

use std::fmt;
use std::sync::Arc;

use crate::document::{Dialect, Extended, Number, Object, Value};

/// The longest id, in bytes of its [`IdKey`].
pub const MAX_ID_BYTES: usize = 1024;

/// Why a name or an id cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// An empty name.
    #[error("an empty {0} name")]
    Empty(&'static str),
    /// A character that names do not have.
    #[error("{kind} name {name:?} has a character other than letters, digits, '-', '_' and '.'")]
    Character {
        /// `env`, `collection` or `tag`.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// A name that git would not take for a tag.
    #[error("tag name {name:?} {rule}")]
    Tag {
        /// The name, or its beginning.
        name: String,
        /// Which rule it breaks.
        rule: &'static str,
    },
    /// A type that cannot be an id.
    #[error("this cannot be an id: {0}; ids are strings, whole numbers, object ids, UUIDs or objects of these")]
    IdType(&'static str),
    /// An id longer than [`MAX_ID_BYTES`].
    #[error("the id is longer than {MAX_ID_BYTES} bytes")]
    IdTooLong,
}

fn check_name(kind: &'static str, name: &str) -> Result<Arc<str>, NameError> {
    if name.is_empty() {
        return Err(NameError::Empty(kind));
    }
    let fine = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !name.chars().all(fine) || name.starts_with(['.', '-']) {
        return Err(NameError::Character { kind, name: name.to_owned() });
    }
    Ok(name.into())
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $type(Arc<str>);

        impl $type {
            /// Checks and takes a name: letters, digits, `-`, `_` and `.`, not starting with `.` or `-`.
            ///
            /// # Errors
            ///
            /// [`NameError`].
            pub fn new(name: &str) -> Result<Self, NameError> {
                check_name($kind, name).map(Self)
            }

            /// Returns the name.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name! {
    /// The name of an env: one line of history with one HEAD per record.
    EnvName, "env"
}

name! {
    /// The configured name of a collection, never the physical table.
    CollectionName, "collection"
}

/// An id as compact JSON: `"planner"`, `1`, `{"$oid":"…"}`; a composite id is an object whose members
/// are ordered by name. `1` and `"1"` differ. No Unicode normalization.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IdKey(Arc<str>);

impl IdKey {
    /// Makes the key of an id: a string, a whole number, an ObjectId, a UUID, or an object of these.
    ///
    /// # Errors
    ///
    /// [`NameError::IdType`] or [`NameError::IdTooLong`].
    ///
    /// # Examples
    ///
    /// ```
    /// use cfg_engine::{Value, history::IdKey};
    /// assert_eq!(IdKey::from_value(&Value::from("planner"))?.as_str(), "\"planner\"");
    /// assert_eq!(IdKey::from_value(&Value::from(1.0))?, IdKey::from_value(&Value::from(1))?);
    /// # Ok::<(), cfg_engine::history::NameError>(())
    /// ```
    pub fn from_value(id: &Value) -> Result<Self, NameError> {
        let text = match id {
            Value::String(text) => id_text(text),
            other => part(other)?.to_interchange(),
        };
        if text.len() > MAX_ID_BYTES {
            return Err(NameError::IdTooLong);
        }
        Ok(Self(text.into()))
    }

    /// Takes text that [`IdKey::from_value`] made earlier and a store kept.
    ///
    /// # Errors
    ///
    /// [`NameError::IdType`] if it is no id.
    pub fn from_stored(text: &str) -> Result<Self, NameError> {
        // A string without escapes is its own compact JSON; nearly all ids are.
        let inside = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        if inside.is_some_and(is_unescaped) && text.len() <= MAX_ID_BYTES {
            return Ok(Self(text.into()));
        }
        let value = Value::from_interchange(text).map_err(|_| NameError::IdType("broken text"))?;
        Self::from_value(&value)
    }

    /// Returns the compact JSON text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the id as a value.
    pub fn to_value(&self) -> Value {
        Value::from_interchange(&self.0).unwrap_or_default()
    }

    /// Returns the text with every non-ASCII UTF-16 unit as `\uXXXX`: how the hashed header holds
    /// it, since canonical strings are NFC and ids are not.
    pub(crate) fn ascii(&self) -> String {
        let mut out = String::with_capacity(self.0.len());
        for c in self.0.chars() {
            if c.is_ascii() {
                out.push(c);
            } else {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
        out
    }
}

fn id_text(text: &str) -> String {
    if is_unescaped(text) { format!("\"{text}\"") } else { Value::from(text).to_interchange() }
}

/// Returns whether a text stands in JSON as it is.
fn is_unescaped(text: &str) -> bool {
    !text.bytes().any(|b| b < 0x20 || b == b'"' || b == b'\\')
}

fn part(id: &Value) -> Result<Value, NameError> {
    match id {
        Value::String(_) => Ok(id.clone()),
        Value::Number(number) => {
            let digits = number.as_i64().map(Number::Int);
            let digits = digits.or_else(|| whole_decimal(number));
            digits.map(Value::Number).ok_or(NameError::IdType("number that is not whole"))
        }
        Value::Extended(extended) => match &**extended {
            Extended::ObjectId(_) => Ok(id.clone()),
            Extended::Binary { subtype: 4, bytes } if bytes.len() == 16 => Ok(id.clone()),
            other => Err(NameError::IdType(other.type_name())),
        },
        Value::Object(object) if !object.is_empty() => {
            let mut members: Vec<(String, Value)> = Vec::with_capacity(object.len());
            for (key, value) in object {
                if matches!(value, Value::Object(_)) {
                    return Err(NameError::IdType("nested object"));
                }
                members.push((key.clone(), part(value)?));
            }
            members.sort_by(|a, b| a.0.cmp(&b.0));
            Ok(Value::Object(Object::from_members(members)))
        }
        other => Err(NameError::IdType(other.type_name())),
    }
}

/// A whole number beyond 64 bits, as the digits it denotes.
fn whole_decimal(number: &Number) -> Option<Number> {
    let mut text = Vec::new();
    number.write_canonical(&mut text).ok()?;
    let text = String::from_utf8(text).ok()?;
    let whole = text.strip_prefix('-').unwrap_or(&text).bytes().all(|b| b.is_ascii_digit());
    whole.then(|| Number::Decimal(text.into()))
}

impl fmt::Display for IdKey {
    /// A plain string id is shown bare, anything else as JSON.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_value() {
            Value::String(text) if is_bare(&text) => f.write_str(&text),
            _ => f.write_str(&self.0),
        }
    }
}

/// Returns whether a string id can stand without quotes in an address (`cfg log planner`).
fn is_bare(text: &str) -> bool {
    let reads_as_json = text.starts_with(['"', '{', '[']) || Number::from_json(text).is_some();
    !text.is_empty()
        && !reads_as_json
        && !text.starts_with('-')
        && !matches!(text, "true" | "false" | "null")
        // What stands before a ':' may be a collection's name.
        && !text.contains(['@', '#', ':'])
        && !text.chars().any(char::is_control)
}

impl fmt::Debug for IdKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One versioned document: env, collection and id.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordKey {
    /// The line of history.
    pub env: EnvName,
    /// The configured collection.
    pub collection: CollectionName,
    /// The id.
    pub id: IdKey,
}

impl fmt::Display for RecordKey {
    /// `collection:id`; the env is named by whoever prints.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.collection, self.id)
    }
}

impl fmt::Debug for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}:{}", self.env, self.collection, self.id)
    }
}

/// The number of an entry within its record, from 1: a counter that backdated entries take part in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Seq(pub u64);

impl Seq {
    /// The first entry's number.
    pub const FIRST: Seq = Seq(1);

    /// Returns the number after this one.
    #[must_use]
    pub const fn next(self) -> Seq {
        Seq(self.0 + 1)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The identity of a batch: what an unknown outcome is looked up by. A caller's idempotency key
/// becomes the op_id.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OpId(Arc<str>);

impl OpId {
    /// The longest op_id in bytes.
    pub const MAX_BYTES: usize = 200;

    /// Takes an op_id or idempotency key: 1 to 200 bytes without control characters.
    ///
    /// # Errors
    ///
    /// [`NameError`].
    pub fn new(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty("idempotency key"));
        }
        if text.len() > Self::MAX_BYTES || text.chars().any(char::is_control) {
            return Err(NameError::Character { kind: "idempotency key", name: text.chars().take(40).collect() });
        }
        Ok(Self(text.into()))
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for OpId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl IdKey {
    /// Returns the id in relaxed form, for people.
    pub fn relaxed(&self) -> String {
        self.to_value().to_text(Dialect::Relaxed, None)
    }
}
