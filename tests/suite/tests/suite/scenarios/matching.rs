//! Expectations: the members that are listed must fit, others may be there.

use std::collections::BTreeMap;

use cfg_engine::Value;
use cfg_engine::document::{Object, same};

/// What earlier steps gave, by the name after `as`.
pub(crate) type Saved = BTreeMap<String, Value>;

fn look_up<'s>(saved: &'s Saved, path: &str) -> &'s Value {
    let (name, rest) = path.split_once('.').unwrap_or((path, ""));
    let mut at = saved.get(name).unwrap_or_else(|| panic!("no step is named {name}"));
    for part in rest.split('.').filter(|part| !part.is_empty()) {
        at = match (at, part.parse::<usize>()) {
            (Value::Array(items), Ok(n)) => items.get(n),
            (other, _) => other.get(part),
        }
        .unwrap_or_else(|| panic!("{path}: nothing at {part}"));
    }
    at
}

/// Puts what earlier steps gave in the place of `{"$ref": "step.path"}` and of `${step.path}` in text.
pub(crate) fn resolve(value: &Value, saved: &Saved) -> Value {
    match value {
        Value::Object(object) => match (object.len(), object.get("$ref").and_then(Value::as_str)) {
            (1, Some(path)) => look_up(saved, path).clone(),
            _ => Value::Object(object.iter().map(|(key, value)| (key.clone(), resolve(value, saved))).collect()),
        },
        Value::Array(items) => Value::Array(items.iter().map(|item| resolve(item, saved)).collect()),
        Value::String(text) if text.contains("${") => {
            let mut out = String::new();
            let mut rest = text.as_str();
            while let Some((before, after)) = rest.split_once("${") {
                let (path, after) = after.split_once('}').expect("a closing brace");
                out.push_str(before);
                match look_up(saved, path) {
                    Value::String(text) => out.push_str(text),
                    other => out.push_str(&other.to_interchange()),
                }
                rest = after;
            }
            Value::from(out + rest)
        }
        other => other.clone(),
    }
}

fn shown(value: Option<&Value>) -> String {
    value.map_or_else(|| "nothing".to_owned(), Value::to_interchange)
}

/// Says where `actual` does not fit.
pub(crate) fn fits(expected: &Value, actual: Option<&Value>, at: &str) -> Result<(), String> {
    let wrong = |what: String| Err(format!("{at}: expected {what}, found {}", shown(actual)));
    match expected {
        Value::Object(object) => match matcher(object) {
            Some((name, operand)) => match holds(name, operand, actual, at) {
                true => Ok(()),
                false => wrong(expected.to_interchange()),
            },
            None => {
                if !matches!(actual, Some(Value::Object(_))) {
                    return wrong(expected.to_interchange());
                }
                object.iter().try_for_each(|(key, wanted)| {
                    fits(wanted, actual.and_then(|actual| actual.get(key)), &format!("{at}.{key}"))
                })
            }
        },
        Value::Array(wanted) => match actual {
            Some(Value::Array(items)) if items.len() == wanted.len() => {
                let mut pairs = wanted.iter().zip(items).enumerate();
                pairs.try_for_each(|(n, (wanted, item))| fits(wanted, Some(item), &format!("{at}.{n}")))
            }
            _ => wrong(expected.to_interchange()),
        },
        Value::Null => match actual {
            None | Some(Value::Null) => Ok(()),
            _ => wrong("null or nothing".to_owned()),
        },
        leaf => match actual {
            Some(actual) if same(leaf, actual) => Ok(()),
            _ => wrong(leaf.to_interchange()),
        },
    }
}

fn matcher(object: &Object) -> Option<(&str, &Value)> {
    let known = ["$any", "$absent", "$type", "$not", "$contains", "$length", "$text", "$exactly"];
    match object.iter().next() {
        Some((name, operand)) if object.len() == 1 && known.contains(&name.as_str()) => Some((name, operand)),
        _ => None,
    }
}

fn holds(name: &str, operand: &Value, actual: Option<&Value>, at: &str) -> bool {
    let list = |value: &Value| value.as_array().map_or_else(|| vec![value.clone()], <[Value]>::to_vec);
    match name {
        "$any" => actual.is_some(),
        "$absent" => actual.is_none_or(Value::is_null),
        "$type" => actual.map(Value::type_name) == operand.as_str(),
        "$not" => fits(operand, actual, at).is_err(),
        "$contains" => {
            let items = actual.and_then(Value::as_array).unwrap_or_default();
            list(operand).iter().all(|wanted| items.iter().any(|item| fits(wanted, Some(item), at).is_ok()))
        }
        "$length" => actual.and_then(Value::as_array).map(|items| items.len() as i64) == operand.as_i64(),
        "$text" => actual.and_then(Value::as_str).is_some_and(|text| {
            list(operand).iter().all(|wanted| wanted.as_str().is_some_and(|wanted| text.contains(wanted)))
        }),
        // Nulls at the top level are columns without a value.
        "$exactly" => actual.is_some_and(|actual| same(operand, actual)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(expected: &str, actual: &str) -> bool {
        let value = |text| Value::from_interchange(text).unwrap();
        fits(&value(expected), Some(&value(actual)), "").is_ok()
    }

    #[test]
    fn only_what_is_listed_counts() {
        assert!(check(r#"{"a": 1}"#, r#"{"a": 1.0, "b": 2}"#) && !check(r#"{"a": 1}"#, r#"{"b": 2}"#));
        assert!(check(r#"[1, {"a": null}]"#, r#"[1, {"b": 1}]"#) && !check("[1]", "[1, 2]"));
        assert!(check(r#"{"$contains": [{"a": 1}]}"#, r#"[{"a": 2}, {"a": 1, "b": 1}]"#));
        assert!(check(r#"{"$text": ["one", "two"]}"#, r#""two and one""#) && !check(r#"{"$text": "x"}"#, r#""y""#));
        assert!(!check(r#"{"$not": {"$any": true}}"#, "1") && check(r#"{"$type": "number"}"#, "1"));
        assert!(check(r#"{"$exactly": {"a": 1}}"#, r#"{"a": 1, "b": null}"#));
        assert!(!check(r#"{"$exactly": {"a": 1}}"#, r#"{"a": 1, "b": 2}"#));
    }
}
