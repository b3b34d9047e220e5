//! Values as JSON text for JavaScript, which has fewer numbers than we have.
//!
//! A member whose name starts with `$` always begins a wrapper in this text: any other object with
//! such a member stands in `$literal`. So a text without `"$` needs no second look. `$bigint` and
//! `$number` are JSON numbers that no double holds; `$numberLong` and `$numberDouble` keep widths.

use cfg_engine::Value;
use cfg_engine::document::{Dialect, Extended, Number, Object, same};

/// The greatest integer below which every integer is a number of JavaScript.
const MAX_SAFE: i64 = (1 << 53) - 1;

/// Writes a value for JavaScript.
pub(crate) fn to_js(value: impl Into<Value>) -> String {
    prepare(value.into()).to_text(Dialect::Plain, None)
}

fn prepare(value: Value) -> Value {
    match value {
        Value::Number(number) => prepare_number(number),
        Value::Array(items) => Value::Array(items.into_iter().map(prepare).collect()),
        Value::Object(object) => {
            let escaped = object.keys().any(|key| key.starts_with('$'));
            let object = Value::Object(members(object));
            if escaped { wrap("$literal", object) } else { object }
        }
        Value::Extended(extended) => match *extended {
            Extended::Code { code, scope: Some(scope) } => {
                let scope = Some(members(scope));
                Value::from(Extended::Code { code, scope })
            }
            other => Value::from(other),
        },
        other => other,
    }
}

fn members(object: Object) -> Object {
    object.into_iter().map(|(key, value)| (key, prepare(value))).collect()
}

fn wrap(name: &str, content: impl Into<Value>) -> Value {
    Value::Object(Object::new().with(name, content))
}

fn prepare_number(number: Number) -> Value {
    match number {
        Number::Int(n) if n.unsigned_abs() > MAX_SAFE.unsigned_abs() => wrap("$bigint", n.to_string()),
        Number::Int64(n) => wrap("$numberLong", n.to_string()),
        Number::Double(d) if d.is_nan() => wrap("$numberDouble", "NaN"),
        Number::Double(d) if d.is_infinite() => wrap("$numberDouble", if d > 0.0 { "Infinity" } else { "-Infinity" }),
        // As an integer it would read back as one.
        Number::Double(d) if d.fract() == 0.0 => wrap("$numberDouble", format!("{d:?}")),
        Number::Decimal128(text) => wrap("$numberDecimal", String::from(text)),
        Number::Decimal(text) => prepare_decimal(text),
        other => Value::Number(other),
    }
}

/// Writes a JSON number of any length: as a number where a double says the same.
fn prepare_decimal(text: Box<str>) -> Value {
    if text.bytes().all(|b| b.is_ascii_digit() || b == b'-') {
        return wrap("$bigint", String::from(text));
    }
    let number = Value::Number(Number::Decimal(text.clone()));
    match text.parse().map(Number::Double) {
        Ok(double) if same(&Value::Number(double.clone()), &number) => prepare_number(double),
        _ => wrap("$number", String::from(text)),
    }
}
