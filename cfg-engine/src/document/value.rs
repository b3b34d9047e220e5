//! The engine's own ordered JSON value, extended by the types of MongoDB Extended JSON v2.

use std::fmt;

use super::number::Number;

/// One JSON value, with the order of object members kept and numbers exact.
///
/// A `Value` never prints its content through [`fmt::Debug`]: documents may hold secrets.
///
/// # Examples
///
/// ```
/// use cfg_engine::Value;
///
/// let doc = Value::from_json(r#"{"model": "large", "retries": 3}"#)?;
/// assert_eq!(doc.get("retries"), Some(&Value::from(3)));
/// # Ok::<(), cfg_engine::document::ParseError>(())
/// ```
#[derive(Clone, PartialEq, Default)]
pub enum Value {
    /// JSON null.
    #[default]
    Null,
    /// A boolean.
    Bool(bool),
    /// An exact number; its stored width is kept and never hashed.
    Number(Number),
    /// Text.
    String(String),
    /// An ordered list.
    Array(Vec<Value>),
    /// Members in the order in which they were read.
    Object(Object),
    /// A value that plain JSON cannot say.
    Extended(Box<Extended>),
}

/// The types of MongoDB Extended JSON v2 that plain JSON lacks, and `$store`.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum Extended {
    /// `{"$oid": …}`
    ObjectId([u8; 12]),
    /// `{"$date": …}`: milliseconds since 1970-01-01T00:00:00Z.
    DateTime(i64),
    /// `{"$binary": …}`; a UUID is subtype 4.
    Binary {
        /// The BSON subtype.
        subtype: u8,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// `{"$timestamp": …}`
    Timestamp {
        /// Seconds.
        time: u32,
        /// Ordinal within the second.
        increment: u32,
    },
    /// `{"$regularExpression": …}`
    Regex {
        /// The pattern.
        pattern: String,
        /// The option letters.
        options: String,
    },
    /// `{"$code": …}`, with `$scope` where there is one.
    Code {
        /// The source text.
        code: String,
        /// The scope document.
        scope: Option<Object>,
    },
    /// `{"$symbol": …}`
    Symbol(String),
    /// `{"$dbPointer": …}` (deprecated, kept so that nothing is lost).
    DbPointer {
        /// `db.collection`
        namespace: String,
        /// The id pointed at.
        id: [u8; 12],
    },
    /// `{"$minKey": 1}`
    MinKey,
    /// `{"$maxKey": 1}`
    MaxKey,
    /// `{"$undefined": true}`
    Undefined,
    /// `{"$store": {"type": …, "text": …}}`: a store's own type, as that store prints it.
    Store {
        /// For example `pg:interval`.
        type_name: String,
        /// The text in ISO form or UTC.
        text: String,
    },
}

/// The members of a JSON object, in the order in which they were read.
#[derive(Clone, PartialEq, Default)]
pub struct Object {
    members: Vec<(String, Value)>,
}

impl Object {
    /// Returns an object without members.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns an object with room for `n` members.
    pub fn with_capacity(n: usize) -> Self {
        Self { members: Vec::with_capacity(n) }
    }

    /// Takes members whose keys the caller knows to be distinct: those of another map.
    pub fn from_members(members: Vec<(String, Value)>) -> Self {
        Self { members }
    }

    /// Returns the number of members.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Returns whether there are no members.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Returns the value under `key`.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.members.iter().find(|(k, _)| k == key).map(|(_, v)| v)
    }

    /// Returns the value under `key` for changing.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        self.members.iter_mut().find(|(k, _)| k == key).map(|(_, v)| v)
    }

    /// Returns whether there is a member named `key`.
    pub fn contains_key(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Sets `key` in place, or appends it; returns what it held.
    pub fn insert(&mut self, key: impl Into<String>, value: impl Into<Value>) -> Option<Value> {
        let (key, value) = (key.into(), value.into());
        match self.get_mut(&key) {
            Some(slot) => Some(std::mem::replace(slot, value)),
            None => {
                self.members.push((key, value));
                None
            }
        }
    }

    /// Removes `key`, keeping the order of the others; returns what it held.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        let at = self.members.iter().position(|(k, _)| k == key)?;
        Some(self.members.remove(at).1)
    }

    /// Iterates over the members in order.
    pub fn iter(&self) -> std::slice::Iter<'_, (String, Value)> {
        self.members.iter()
    }

    /// Iterates over the member names in order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(|(k, _)| k.as_str())
    }

    /// Keeps the members for which `keep` returns true.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &mut Value) -> bool) {
        self.members.retain_mut(|(k, v)| keep(k, v));
    }

    /// Returns the members as a slice.
    pub(crate) fn members(&self) -> &[(String, Value)] {
        &self.members
    }

    /// Returns the members for changing; the caller keeps the keys distinct.
    pub(crate) fn members_mut(&mut self) -> &mut Vec<(String, Value)> {
        &mut self.members
    }

    /// Appends a member that the caller knows to be new, and returns the object (for building output).
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.insert(key, value);
        self
    }
}

impl IntoIterator for Object {
    type Item = (String, Value);
    type IntoIter = std::vec::IntoIter<(String, Value)>;

    fn into_iter(self) -> Self::IntoIter {
        self.members.into_iter()
    }
}

impl<'a> IntoIterator for &'a Object {
    type Item = &'a (String, Value);
    type IntoIter = std::slice::Iter<'a, (String, Value)>;

    fn into_iter(self) -> Self::IntoIter {
        self.members.iter()
    }
}

impl FromIterator<(String, Value)> for Object {
    /// Later members replace earlier ones of the same name.
    fn from_iter<I: IntoIterator<Item = (String, Value)>>(iter: I) -> Self {
        let mut object = Object::new();
        for (key, value) in iter {
            object.insert(key, value);
        }
        object
    }
}

impl Value {
    /// Returns the member `key` of an object.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.as_object()?.get(key)
    }

    /// Returns the object, if this is one.
    pub fn as_object(&self) -> Option<&Object> {
        match self {
            Value::Object(object) => Some(object),
            _ => None,
        }
    }

    /// Returns the object for changing, if this is one.
    pub fn as_object_mut(&mut self) -> Option<&mut Object> {
        match self {
            Value::Object(object) => Some(object),
            _ => None,
        }
    }

    /// Returns the elements, if this is an array.
    pub fn as_array(&self) -> Option<&[Value]> {
        match self {
            Value::Array(items) => Some(items),
            _ => None,
        }
    }

    /// Returns the text, if this is a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the boolean, if this is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(b) => Some(*b),
            _ => None,
        }
    }

    /// Returns the number as `i64`, if it is one and exactly representable.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Value::Number(number) => number.as_i64(),
            _ => None,
        }
    }

    /// Returns whether this is null.
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// Returns about how many bytes the value has as text, without writing it.
    pub(crate) fn about_bytes(&self) -> usize {
        match self {
            Value::Null | Value::Bool(_) => 5,
            Value::Number(_) => 12,
            Value::String(text) => text.len() + 2,
            Value::Array(items) => items.iter().map(|item| item.about_bytes() + 1).sum::<usize>() + 2,
            Value::Object(object) => {
                object.iter().map(|(key, value)| key.len() + value.about_bytes() + 4).sum::<usize>() + 2
            }
            Value::Extended(extended) => match &**extended {
                Extended::Binary { bytes, .. } => bytes.len() * 4 / 3 + 40,
                _ => 40,
            },
        }
    }

    /// Names the type for messages: `string`, `object`, `date`, …
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
            Value::Extended(extended) => extended.type_name(),
        }
    }
}

impl Extended {
    /// Names the type for messages.
    pub fn type_name(&self) -> &'static str {
        match self {
            Extended::ObjectId(_) => "objectid",
            Extended::DateTime(_) => "date",
            Extended::Binary { subtype: 4, .. } => "uuid",
            Extended::Binary { .. } => "binary",
            Extended::Timestamp { .. } => "timestamp",
            Extended::Regex { .. } => "regex",
            Extended::Code { .. } => "code",
            Extended::Symbol(_) => "symbol",
            Extended::DbPointer { .. } => "dbpointer",
            Extended::MinKey => "minkey",
            Extended::MaxKey => "maxkey",
            Extended::Undefined => "undefined",
            Extended::Store { .. } => "store type",
        }
    }
}

impl fmt::Debug for Value {
    /// Names the type only: documents may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}>", self.type_name())
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<object of {}>", self.members.len())
    }
}

impl fmt::Debug for Extended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}>", self.type_name())
    }
}

impl From<bool> for Value {
    fn from(b: bool) -> Self {
        Value::Bool(b)
    }
}

impl From<i64> for Value {
    fn from(n: i64) -> Self {
        Value::Number(Number::Int(n))
    }
}

impl From<i32> for Value {
    fn from(n: i32) -> Self {
        Value::Number(Number::Int(i64::from(n)))
    }
}

impl From<u32> for Value {
    fn from(n: u32) -> Self {
        Value::Number(Number::Int(i64::from(n)))
    }
}

impl From<u64> for Value {
    fn from(n: u64) -> Self {
        match i64::try_from(n) {
            Ok(n) => Value::Number(Number::Int(n)),
            Err(_) => Value::Number(Number::Decimal(n.to_string().into())),
        }
    }
}

impl From<usize> for Value {
    fn from(n: usize) -> Self {
        Value::from(n as u64)
    }
}

impl From<f64> for Value {
    fn from(n: f64) -> Self {
        Value::Number(Number::Double(n))
    }
}

impl From<Number> for Value {
    fn from(n: Number) -> Self {
        Value::Number(n)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::String(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::String(text)
    }
}

impl From<Object> for Value {
    fn from(object: Object) -> Self {
        Value::Object(object)
    }
}

impl From<Extended> for Value {
    fn from(extended: Extended) -> Self {
        Value::Extended(Box::new(extended))
    }
}

impl<T: Into<Value>> From<Vec<T>> for Value {
    fn from(items: Vec<T>) -> Self {
        Value::Array(items.into_iter().map(Into::into).collect())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    /// `None` is null.
    fn from(option: Option<T>) -> Self {
        option.map_or(Value::Null, Into::into)
    }
}
