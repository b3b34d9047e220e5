//! Extended JSON v2: the wrappers, both ways, and the escape that keeps look-alikes apart.
//!
//! Interchange (files, `--json`, bindings) is canonical Extended JSON v2 where a value needs it.
//! Only an object that would read back as a wrapper, or as `$literal`, is escaped as
//! `{"$literal": {…}}`; `$ref` and `$schema` stay plain.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp as JiffTimestamp;

use super::number::{Digits, Number};
use super::parse::{MAX_DEPTH, ParseProblem};
use super::value::{Extended, Object, Value};

/// How many levels of text one value of [`MAX_DEPTH`] levels can take: each level may be the
/// `$literal` scope of a `$code`, and the deepest value a `$dbPointer`, which has three levels.
pub(crate) const MAX_TEXT_DEPTH: usize = 3 * MAX_DEPTH + 3;

/// Member sets that make an object a wrapper.
const WRAPPERS: &[&[&str]] = &[
    &["$oid"],
    &["$date"],
    &["$binary"],
    &["$uuid"],
    &["$numberInt"],
    &["$numberLong"],
    &["$numberDouble"],
    &["$numberDecimal"],
    &["$timestamp"],
    &["$regularExpression"],
    &["$code"],
    &["$code", "$scope"],
    &["$symbol"],
    &["$dbPointer"],
    &["$minKey"],
    &["$maxKey"],
    &["$undefined"],
    &["$store"],
    &["$literal"],
];

/// Returns whether an object that starts with this member can turn out to be a wrapper.
pub(crate) fn may_start_wrapper(key: &str) -> bool {
    key.starts_with('$') && WRAPPERS.iter().any(|keys| keys.contains(&key))
}

/// Returns the wrapper's name if an object with these members would be read as one.
fn wrapper(object: &Object) -> Option<&'static str> {
    if !object.keys().next()?.starts_with('$') {
        return None;
    }
    let keys = WRAPPERS.iter().find(|keys| has_exactly(object, keys))?;
    keys.first().copied()
}

fn has_exactly(object: &Object, keys: &[&str]) -> bool {
    object.len() == keys.len() && keys.iter().all(|key| object.contains_key(key))
}

/// Returns whether an object of the user's must be escaped in interchange.
pub(crate) fn reads_as_wrapper(object: &Object) -> bool {
    wrapper(object).is_some()
}

impl Value {
    /// Gives wrappers in a plain tree their meaning. `depth` is how many arrays and objects the
    /// value stands in.
    pub(crate) fn unwrap_extended(self, depth: usize) -> Result<Value, ParseProblem> {
        match self {
            Value::Array(items) => {
                let depth = deeper(depth)?;
                let items = items.into_iter().map(|item| item.unwrap_extended(depth));
                Ok(Value::Array(items.collect::<Result<_, _>>()?))
            }
            Value::Object(object) => match wrapper(&object) {
                Some("$literal") => match object.into_iter().next() {
                    Some((_, Value::Object(inner))) => unwrap_members(inner, depth),
                    _ => Err(ParseProblem::Wrapper("$literal")),
                },
                Some("$code") => read_code(object, depth),
                Some(name) => read_wrapper(name, &object).ok_or(ParseProblem::Wrapper(name)),
                None => unwrap_members(object, depth),
            },
            other => Ok(other),
        }
    }
}

fn deeper(depth: usize) -> Result<usize, ParseProblem> {
    if depth < MAX_DEPTH { Ok(depth + 1) } else { Err(ParseProblem::TooDeep) }
}

fn unwrap_members(mut object: Object, depth: usize) -> Result<Value, ParseProblem> {
    let depth = deeper(depth)?;
    for (_, value) in object.members_mut() {
        *value = std::mem::take(value).unwrap_extended(depth)?;
    }
    Ok(Value::Object(object))
}

fn read_code(mut object: Object, depth: usize) -> Result<Value, ParseProblem> {
    let scope = match object.remove("$scope").map(|scope| scope.unwrap_extended(depth)).transpose()? {
        None => None,
        Some(Value::Object(scope)) => Some(scope),
        Some(_) => return Err(ParseProblem::Wrapper("$code")),
    };
    match object.remove("$code") {
        Some(Value::String(code)) => Ok(Value::from(Extended::Code { code, scope })),
        _ => Err(ParseProblem::Wrapper("$code")),
    }
}

fn read_wrapper(name: &'static str, object: &Object) -> Option<Value> {
    let content = object.get(name)?;
    let text = || content.as_str();
    let extended = match name {
        "$oid" => Extended::ObjectId(hex12(text()?)?),
        "$date" => Extended::DateTime(read_date(content)?),
        "$binary" => read_binary(content)?,
        "$uuid" => Extended::Binary { subtype: 4, bytes: read_uuid(text()?)? },
        "$numberInt" => return Some(Value::Number(Number::Int32(read_integer(text()?)?))),
        "$numberLong" => return Some(Value::Number(Number::Int64(read_integer(text()?)?))),
        "$numberDouble" => return Some(Value::Number(Number::Double(read_double(text()?)?))),
        "$numberDecimal" => return Some(Value::Number(Number::decimal128(text()?)?)),
        "$timestamp" => {
            let [time, increment] = parts(content, ["t", "i"])?;
            Extended::Timestamp {
                time: u32::try_from(time.as_i64()?).ok()?,
                increment: u32::try_from(increment.as_i64()?).ok()?,
            }
        }
        "$regularExpression" => {
            let [pattern, options] = parts(content, ["pattern", "options"])?;
            Extended::Regex { pattern: pattern.as_str()?.to_owned(), options: sorted_letters(options.as_str()?) }
        }
        "$symbol" => Extended::Symbol(text()?.to_owned()),
        "$dbPointer" => {
            let [namespace, id] = parts(content, ["$ref", "$id"])?;
            let [id] = parts(id, ["$oid"])?;
            Extended::DbPointer { namespace: namespace.as_str()?.to_owned(), id: hex12(id.as_str()?)? }
        }
        "$minKey" if content.as_i64() == Some(1) => Extended::MinKey,
        "$maxKey" if content.as_i64() == Some(1) => Extended::MaxKey,
        "$undefined" if content.as_bool() == Some(true) => Extended::Undefined,
        "$store" => {
            let [type_name, text] = parts(content, ["type", "text"])?;
            Extended::Store { type_name: type_name.as_str()?.to_owned(), text: text.as_str()?.to_owned() }
        }
        _ => return None,
    };
    Some(Value::from(extended))
}

/// Returns the members of an object that has these and no others: a part that would be dropped
/// silently makes the wrapper unfit.
fn parts<'v, const N: usize>(value: &'v Value, keys: [&str; N]) -> Option<[&'v Value; N]> {
    let object = value.as_object().filter(|object| has_exactly(object, &keys))?;
    let mut found = [value; N];
    for (slot, key) in found.iter_mut().zip(keys) {
        *slot = object.get(key)?;
    }
    Some(found)
}

fn hex12(text: &str) -> Option<[u8; 12]> {
    let bytes = super::oid::from_hex(text)?;
    bytes.try_into().ok()
}

/// Reads an integer in the one way it is printed: no plus sign, no leading zeros.
fn read_integer<T: std::str::FromStr + ToString>(text: &str) -> Option<T> {
    text.parse().ok().filter(|n: &T| n.to_string() == text)
}

fn read_date(value: &Value) -> Option<i64> {
    match value {
        Value::String(text) => read_instant(text),
        Value::Number(number) => number.as_i64(),
        Value::Object(_) => {
            let [ms] = parts(value, ["$numberLong"])?;
            read_integer(ms.as_str()?)
        }
        _ => None,
    }
}

/// Reads an instant of whole milliseconds with its offset. Finer ones are no date (a store's own
/// type has them), nor is a leap second, which would silently become another.
fn read_instant(text: &str) -> Option<i64> {
    let instant: JiffTimestamp = text.parse().ok()?;
    let exact = instant.subsec_nanosecond() % 1_000_000 == 0 && !text.contains(":60") && !text.contains('[');
    exact.then(|| instant.as_millisecond())
}

fn read_binary(value: &Value) -> Option<Extended> {
    let [base64, subtype] = parts(value, ["base64", "subType"])?;
    let subtype = subtype.as_str()?;
    if !matches!(subtype.len(), 1 | 2) || !subtype.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let subtype = u8::from_str_radix(subtype, 16).ok()?;
    let bytes = BASE64.decode(base64.as_str()?).ok()?;
    Some(Extended::Binary { subtype, bytes })
}

fn read_uuid(text: &str) -> Option<Vec<u8>> {
    let hyphens: Vec<usize> = text.match_indices('-').map(|(at, _)| at).collect();
    if text.len() != 36 || hyphens != [8, 13, 18, 23] {
        return None;
    }
    super::oid::from_hex(&text.replace('-', ""))
}

fn read_double(text: &str) -> Option<f64> {
    match text {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        _ => {
            let digits = Digits::parse(text)?;
            let double: f64 = text.parse().ok()?;
            // A number that leaves the range of doubles is not one of them.
            (double.is_finite() && (double != 0.0 || digits.digits.is_empty())).then_some(double)
        }
    }
}

/// Canonical Extended JSON has the option letters of a regex in alphabetical order.
pub(crate) fn sorted_letters(options: &str) -> String {
    let mut letters: Vec<char> = options.chars().collect();
    letters.sort_unstable();
    letters.into_iter().collect()
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
            Extended::Regex { pattern, options } => object(
                "$regularExpression",
                object("pattern", pattern.as_str()).with("options", sorted_letters(options)),
            ),
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
                Ok(t) if *ms >= 0 && ms % 1000 == 0 => object("$date", t.to_string()),
                Ok(t) if *ms >= 0 => object("$date", format!("{t:.3}")),
                _ => self.to_wrapper(),
            },
            Extended::Binary { subtype: 4, bytes } if bytes.len() == 16 => {
                let mut text = super::oid::to_hex(bytes);
                [20, 16, 12, 8].into_iter().for_each(|at| text.insert(at, '-'));
                object("$uuid", text)
            }
            _ => self.to_wrapper(),
        }
    }
}
