//! Extended JSON v2: the wrappers, both ways, and the escape that keeps look-alikes apart.
//!
//! Interchange (files, `--json`, bindings) is canonical Extended JSON v2 where a value needs it.
//! Only an object that would read back as a wrapper, or as `$literal`, is escaped as
//! `{"$literal": {…}}`; `$ref` and `$schema` stay plain.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp as JiffTimestamp;

use super::number::{Digits, Number};
use super::parse::{ParseError, ParseProblem};
use super::value::{Extended, Object, Value};

/// Member sets that make an object a wrapper, each with the name used in messages.
const WRAPPERS: &[(&[&str], &str)] = &[
    (&["$oid"], "$oid"),
    (&["$date"], "$date"),
    (&["$binary"], "$binary"),
    (&["$uuid"], "$uuid"),
    (&["$numberInt"], "$numberInt"),
    (&["$numberLong"], "$numberLong"),
    (&["$numberDouble"], "$numberDouble"),
    (&["$numberDecimal"], "$numberDecimal"),
    (&["$timestamp"], "$timestamp"),
    (&["$regularExpression"], "$regularExpression"),
    (&["$code"], "$code"),
    (&["$code", "$scope"], "$code"),
    (&["$symbol"], "$symbol"),
    (&["$dbPointer"], "$dbPointer"),
    (&["$minKey"], "$minKey"),
    (&["$maxKey"], "$maxKey"),
    (&["$undefined"], "$undefined"),
    (&["$store"], "$store"),
    (&["$literal"], "$literal"),
];

/// Returns the wrapper's name if an object with these members would be read as one.
fn wrapper(object: &Object) -> Option<&'static str> {
    let first = object.keys().next()?;
    if !first.starts_with('$') || object.len() > 2 {
        return None;
    }
    WRAPPERS
        .iter()
        .find(|(keys, _)| keys.len() == object.len() && keys.iter().all(|key| object.contains_key(key)))
        .map(|(_, name)| *name)
}

/// Returns whether an object of the user's must be escaped in interchange.
pub(crate) fn reads_as_wrapper(object: &Object) -> bool {
    wrapper(object).is_some()
}

impl Value {
    /// Parses interchange text: JSON in which Extended JSON v2 wrappers (canonical or relaxed) and
    /// `$literal` carry their meaning.
    ///
    /// # Errors
    ///
    /// [`ParseError`], also for a wrapper whose content does not fit. Numeric wrappers of NaN and
    /// the infinities are read; hashing refuses them later, with the path.
    ///
    /// # Examples
    ///
    /// ```
    /// use cfg_engine::Value;
    /// let value = Value::from_interchange(r#"{"at": {"$date": "2023-06-07T00:00:00Z"}}"#)?;
    /// assert_eq!(value.get("at").map(Value::type_name), Some("date"));
    /// # Ok::<(), cfg_engine::document::ParseError>(())
    /// ```
    pub fn from_interchange(text: &str) -> Result<Value, ParseError> {
        let plain = Value::from_json(text)?;
        plain.unwrap_extended().map_err(|name| ParseError {
            problem: ParseProblem::Wrapper(name),
            line: 1,
            column: 1,
            offset: 0,
        })
    }

    /// Gives wrappers in a plain tree their meaning.
    pub(crate) fn unwrap_extended(self) -> Result<Value, &'static str> {
        match self {
            Value::Array(items) => {
                Ok(Value::Array(items.into_iter().map(Value::unwrap_extended).collect::<Result<_, _>>()?))
            }
            Value::Object(object) => match wrapper(&object) {
                Some("$literal") => match object.into_iter().next() {
                    Some((_, Value::Object(inner))) => Ok(Value::Object(unwrap_members(inner)?)),
                    _ => Err("$literal"),
                },
                Some(name) => read_wrapper(name, object).ok_or(name),
                None => Ok(Value::Object(unwrap_members(object)?)),
            },
            other => Ok(other),
        }
    }
}

fn unwrap_members(mut object: Object) -> Result<Object, &'static str> {
    for (_, value) in object.members_mut() {
        let taken = std::mem::take(value);
        *value = taken.unwrap_extended()?;
    }
    Ok(object)
}

fn read_wrapper(name: &'static str, object: Object) -> Option<Value> {
    let first = object.get(object.keys().next()?)?;
    let extended = match name {
        "$oid" => Extended::ObjectId(hex12(first.as_str()?)?),
        "$date" => Extended::DateTime(read_date(first)?),
        "$binary" => read_binary(first)?,
        "$uuid" => Extended::Binary { subtype: 4, bytes: read_uuid(first.as_str()?)? },
        "$numberInt" => return Some(Value::Number(Number::Int32(first.as_str()?.parse().ok()?))),
        "$numberLong" => return Some(Value::Number(Number::Int64(first.as_str()?.parse().ok()?))),
        "$numberDouble" => return Some(Value::Number(Number::Double(read_double(first.as_str()?)?))),
        "$numberDecimal" => return Some(Value::Number(Number::Decimal128(read_decimal(first.as_str()?)?))),
        "$timestamp" => Extended::Timestamp {
            time: u32::try_from(first.get("t")?.as_i64()?).ok()?,
            increment: u32::try_from(first.get("i")?.as_i64()?).ok()?,
        },
        "$regularExpression" => Extended::Regex {
            pattern: first.get("pattern")?.as_str()?.to_owned(),
            options: first.get("options")?.as_str()?.to_owned(),
        },
        "$code" => {
            let scope = match object.get("$scope") {
                Some(Value::Object(scope)) => Some(unwrap_members(scope.clone()).ok()?),
                Some(_) => return None,
                None => None,
            };
            Extended::Code { code: object.get("$code")?.as_str()?.to_owned(), scope }
        }
        "$symbol" => Extended::Symbol(first.as_str()?.to_owned()),
        "$dbPointer" => Extended::DbPointer {
            namespace: first.get("$ref")?.as_str()?.to_owned(),
            id: hex12(first.get("$id")?.get("$oid")?.as_str()?)?,
        },
        "$minKey" => Extended::MinKey,
        "$maxKey" => Extended::MaxKey,
        "$undefined" => Extended::Undefined,
        "$store" => Extended::Store {
            type_name: first.get("type")?.as_str()?.to_owned(),
            text: first.get("text")?.as_str()?.to_owned(),
        },
        _ => return None,
    };
    Some(Value::from(extended))
}

fn hex12(text: &str) -> Option<[u8; 12]> {
    let bytes = super::oid::from_hex(text)?;
    bytes.try_into().ok()
}

fn read_date(value: &Value) -> Option<i64> {
    match value {
        Value::String(text) => text.parse::<JiffTimestamp>().ok().map(|t| t.as_millisecond()),
        Value::Number(number) => number.as_i64(),
        Value::Object(object) if object.len() == 1 => object.get("$numberLong")?.as_str()?.parse().ok(),
        _ => None,
    }
}

fn read_binary(value: &Value) -> Option<Extended> {
    let subtype = u8::from_str_radix(value.get("subType")?.as_str()?, 16).ok()?;
    let bytes = BASE64.decode(value.get("base64")?.as_str()?).ok()?;
    Some(Extended::Binary { subtype, bytes })
}

fn read_uuid(text: &str) -> Option<Vec<u8>> {
    let bytes = super::oid::from_hex(&text.replace('-', ""))?;
    (bytes.len() == 16).then_some(bytes)
}

fn read_double(text: &str) -> Option<f64> {
    match text {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        _ => Digits::parse(text).and_then(|_| text.parse().ok()).filter(|d: &f64| d.is_finite()),
    }
}

fn read_decimal(text: &str) -> Option<Box<str>> {
    let fits = matches!(text, "NaN" | "Infinity" | "-Infinity") || Digits::parse(text)?.digits.len() <= 34;
    fits.then(|| text.into())
}

fn object(key: &str, value: impl Into<Value>) -> Object {
    Object::new().with(key, value)
}

impl Extended {
    /// Returns the canonical Extended JSON v2 object, as a plain tree.
    pub(crate) fn to_wrapper(&self) -> Object {
        match self {
            Extended::ObjectId(id) => object("$oid", super::oid::to_hex(id)),
            Extended::DateTime(ms) => object("$date", object("$numberLong", ms.to_string())),
            Extended::Binary { subtype, bytes } => {
                object("$binary", object("base64", BASE64.encode(bytes)).with("subType", format!("{subtype:02x}")))
            }
            Extended::Timestamp { time, increment } => object("$timestamp", object("t", *time).with("i", *increment)),
            Extended::Regex { pattern, options } => {
                object("$regularExpression", object("pattern", pattern.as_str()).with("options", options.as_str()))
            }
            Extended::Code { code, scope: None } => object("$code", code.as_str()),
            Extended::Code { code, scope: Some(scope) } => object("$code", code.as_str()).with("$scope", scope.clone()),
            Extended::Symbol(text) => object("$symbol", text.as_str()),
            Extended::DbPointer { namespace, id } => object(
                "$dbPointer",
                object("$ref", namespace.as_str()).with("$id", object("$oid", super::oid::to_hex(id))),
            ),
            Extended::MinKey => object("$minKey", 1),
            Extended::MaxKey => object("$maxKey", 1),
            Extended::Undefined => object("$undefined", true),
            Extended::Store { type_name, text } => {
                object("$store", object("type", type_name.as_str()).with("text", text.as_str()))
            }
        }
    }

    /// Returns the relaxed form that people read, as a plain tree.
    pub(crate) fn to_relaxed(&self) -> Object {
        match self {
            Extended::DateTime(ms) => match JiffTimestamp::from_millisecond(*ms) {
                Ok(t) if t.as_second() >= 0 && *ms < 253_402_300_800_000 => object("$date", t.to_string()),
                _ => self.to_wrapper(),
            },
            Extended::Binary { subtype: 4, bytes } if bytes.len() == 16 => {
                let hex = super::oid::to_hex(bytes);
                let text = format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]);
                object("$uuid", text)
            }
            _ => self.to_wrapper(),
        }
    }
}
