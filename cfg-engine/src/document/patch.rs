//! JSON Patch (RFC 6902) and JSON Merge Patch (RFC 7396) on values.

use super::keyed::Keyed;
use super::value::{Object, Value};

/// Why a patch cannot be applied.
///
/// The text names places, never values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatchError {
    /// The patch is not an array.
    #[error("a JSON patch is an array of operations, not {found}")]
    NotAnArray {
        /// The type found.
        found: &'static str,
    },
    /// One operation cannot be carried out.
    #[error("operation {index} of the patch: {problem}")]
    Operation {
        /// Which operation, from 0.
        index: usize,
        /// What is wrong.
        problem: PatchProblem,
    },
}

/// What is wrong with an operation of a JSON patch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatchProblem {
    /// The operation is not an object.
    #[error("not an object")]
    NotAnObject,
    /// A member is absent or of the wrong type.
    #[error("no {name:?}, or not of the right type")]
    Member {
        /// The name of the member.
        name: &'static str,
    },
    /// `op` is none of the six.
    #[error("unknown op; add, remove, replace, move, copy and test are known")]
    UnknownOp,
    /// A path is not a JSON Pointer.
    #[error("{pointer:?} is not a JSON Pointer")]
    Pointer {
        /// The text as given.
        pointer: String,
    },
    /// Nothing is there.
    #[error("nothing at {pointer:?}")]
    NotThere {
        /// The place.
        pointer: String,
    },
    /// The place cannot hold members or elements, or the index is no index.
    #[error("no such place: {pointer:?}")]
    NoPlace {
        /// The place.
        pointer: String,
    },
    /// A value cannot move into itself.
    #[error("{pointer:?} cannot move into itself")]
    IntoItself {
        /// The place.
        pointer: String,
    },
    /// A `test` found another value.
    #[error("the test at {pointer:?} failed")]
    TestFailed {
        /// The place.
        pointer: String,
    },
    /// The document as a whole cannot be removed.
    #[error("the whole document cannot be removed")]
    WholeDocument,
}

/// Applies a JSON Patch (RFC 6902): all of its operations, or none.
///
/// `test` compares as RFC 6902 §4.6 says: numbers by their value, strings by their characters,
/// objects without regard to order.
///
/// # Errors
///
/// [`PatchError`], with the operation at fault.
///
/// # Examples
///
/// ```
/// use cfg_engine::Value;
/// use cfg_engine::document::json_patch;
/// let doc = Value::from_json(r#"{"tools": ["a"]}"#)?;
/// let patch = Value::from_json(r#"[{"op": "add", "path": "/tools/-", "value": "b"}]"#)?;
/// assert_eq!(json_patch(&doc, &patch)?.to_json(), r#"{"tools":["a","b"]}"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn json_patch(doc: &Value, patch: &Value) -> Result<Value, PatchError> {
    let operations = patch.as_array().ok_or_else(|| PatchError::NotAnArray { found: patch.type_name() })?;
    let mut patched = doc.clone();
    for (index, operation) in operations.iter().enumerate() {
        apply(&mut patched, operation).map_err(|problem| PatchError::Operation { index, problem })?;
    }
    Ok(patched)
}

/// Applies a JSON Merge Patch (RFC 7396): members of the patch replace those of the document,
/// objects are merged, and null removes.
///
/// # Examples
///
/// ```
/// use cfg_engine::Value;
/// use cfg_engine::document::merge_patch;
/// let doc = Value::from_json(r#"{"model": "large", "limits": {"cpu": 1, "ram": 2}}"#)?;
/// let patch = Value::from_json(r#"{"limits": {"ram": null, "disk": 3}}"#)?;
/// assert_eq!(merge_patch(&doc, &patch).to_json(), r#"{"model":"large","limits":{"cpu":1,"disk":3}}"#);
/// # Ok::<(), cfg_engine::document::ParseError>(())
/// ```
pub fn merge_patch(doc: &Value, patch: &Value) -> Value {
    merged(doc.clone(), patch)
}

fn merged(target: Value, patch: &Value) -> Value {
    let Value::Object(patch) = patch else { return patch.clone() };
    let target = match target {
        Value::Object(object) => object,
        _ => Object::new(),
    };
    let mut members = Keyed::new(target);
    for (key, change) in patch {
        if change.is_null() {
            members.remove(key);
            continue;
        }
        match members.get_mut(key) {
            Some(slot) => *slot = merged(std::mem::take(slot), change),
            None => members.push(key, merged(Value::Null, change)),
        }
    }
    Value::Object(Object::from_members(members.into_members().collect()))
}

/// A JSON Pointer (RFC 6901).
struct Pointer<'p> {
    text: &'p str,
    tokens: Vec<String>,
}

impl<'p> Pointer<'p> {
    fn parse(text: &'p str) -> Result<Self, PatchProblem> {
        let fail = || PatchProblem::Pointer { pointer: text.to_owned() };
        if text.is_empty() {
            return Ok(Pointer { text, tokens: Vec::new() });
        }
        let tokens = text.strip_prefix('/').ok_or_else(fail)?.split('/').map(|token| {
            let mut parts = token.split('~');
            let mut plain = parts.next().unwrap_or_default().to_owned();
            for part in parts {
                plain.push(match part.as_bytes().first() {
                    Some(b'0') => '~',
                    Some(b'1') => '/',
                    _ => return Err(fail()),
                });
                plain.push_str(&part[1..]);
            }
            Ok(plain)
        });
        Ok(Pointer { text, tokens: tokens.collect::<Result<_, _>>()? })
    }

    fn not_there(&self) -> PatchProblem {
        PatchProblem::NotThere { pointer: self.text.to_owned() }
    }

    fn no_place(&self) -> PatchProblem {
        PatchProblem::NoPlace { pointer: self.text.to_owned() }
    }

    fn get_mut<'v>(&self, doc: &'v mut Value) -> Result<&'v mut Value, PatchProblem> {
        step_down(doc, &self.tokens).ok_or_else(|| self.not_there())
    }

    fn add(&self, doc: &mut Value, value: Value) -> Result<(), PatchProblem> {
        let Some((last, parents)) = self.tokens.split_last() else {
            *doc = value;
            return Ok(());
        };
        match step_down(doc, parents) {
            Some(Value::Object(object)) => {
                object.insert(last.as_str(), value);
            }
            Some(Value::Array(items)) => {
                let place = if last == "-" { Some(items.len()) } else { index(last) };
                let place = place.filter(|place| *place <= items.len()).ok_or_else(|| self.no_place())?;
                items.insert(place, value);
            }
            Some(_) => return Err(self.no_place()),
            None => return Err(self.not_there()),
        }
        Ok(())
    }

    fn remove(&self, doc: &mut Value) -> Result<Value, PatchProblem> {
        let Some((last, parents)) = self.tokens.split_last() else { return Err(PatchProblem::WholeDocument) };
        let removed = match step_down(doc, parents) {
            Some(Value::Object(object)) => object.remove(last),
            Some(Value::Array(items)) => {
                index(last).filter(|place| *place < items.len()).map(|place| items.remove(place))
            }
            _ => None,
        };
        removed.ok_or_else(|| self.not_there())
    }
}

fn step_down<'v>(doc: &'v mut Value, tokens: &[String]) -> Option<&'v mut Value> {
    tokens.iter().try_fold(doc, |at, token| match at {
        Value::Object(object) => object.get_mut(token),
        Value::Array(items) => items.get_mut(index(token)?),
        _ => None,
    })
}

/// Reads an array index of RFC 6901: digits without a leading zero.
fn index(token: &str) -> Option<usize> {
    let is_index = token == "0" || (!token.starts_with('0') && token.bytes().all(|b| b.is_ascii_digit()));
    is_index.then(|| token.parse().ok()).flatten()
}

fn apply(doc: &mut Value, operation: &Value) -> Result<(), PatchProblem> {
    let operation = operation.as_object().ok_or(PatchProblem::NotAnObject)?;
    let text = |name| operation.get(name).and_then(Value::as_str).ok_or(PatchProblem::Member { name });
    let value = || operation.get("value").ok_or(PatchProblem::Member { name: "value" });
    let op = text("op")?;
    let path = Pointer::parse(text("path")?)?;
    match op {
        "add" => path.add(doc, value()?.clone()),
        "remove" => path.remove(doc).map(|_| ()),
        "replace" => {
            *path.get_mut(doc)? = value()?.clone();
            Ok(())
        }
        "move" => {
            let from = Pointer::parse(text("from")?)?;
            if path.tokens == from.tokens {
                return from.get_mut(doc).map(|_| ());
            }
            if path.tokens.starts_with(&from.tokens) {
                return Err(PatchProblem::IntoItself { pointer: from.text.to_owned() });
            }
            let moved = from.remove(doc)?;
            path.add(doc, moved)
        }
        "copy" => {
            let copied = Pointer::parse(text("from")?)?.get_mut(doc)?.clone();
            path.add(doc, copied)
        }
        "test" => {
            let agrees = agree(path.get_mut(doc)?, value()?);
            agrees.then_some(()).ok_or_else(|| PatchProblem::TestFailed { pointer: path.text.to_owned() })
        }
        _ => Err(PatchProblem::UnknownOp),
    }
}

/// Equality of RFC 6902 §4.6; extended values are equal to their like only.
fn agree(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.same_digits(b),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| agree(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            let mut members = Keyed::new(a.iter().map(|(key, value)| (key.clone(), value)));
            a.len() == b.len() && b.iter().all(|(key, b)| members.get_mut(key).is_some_and(|a| agree(a, b)))
        }
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::arbitrary;
    use super::*;

    fn value(text: &str) -> Value {
        Value::from_json(text).expect("JSON")
    }

    fn patched(doc: &str, patch: &str) -> Result<String, PatchError> {
        json_patch(&value(doc), &value(patch)).map(|doc| doc.to_json())
    }

    /// The examples of RFC 6902, appendix A, without A.11 (unknown members, below) and A.13 (a
    /// duplicate `op`, which the parser refuses).
    #[test]
    fn rfc_6902_appendix_a() {
        for (doc, patch, expected) in [
            (r#"{"foo":"bar"}"#, r#"[{"op":"add","path":"/baz","value":"qux"}]"#, r#"{"foo":"bar","baz":"qux"}"#),
            (
                r#"{"foo":["bar","baz"]}"#,
                r#"[{"op":"add","path":"/foo/1","value":"qux"}]"#,
                r#"{"foo":["bar","qux","baz"]}"#,
            ),
            (r#"{"baz":"qux","foo":"bar"}"#, r#"[{"op":"remove","path":"/baz"}]"#, r#"{"foo":"bar"}"#),
            (r#"{"foo":["bar","qux","baz"]}"#, r#"[{"op":"remove","path":"/foo/1"}]"#, r#"{"foo":["bar","baz"]}"#),
            (
                r#"{"baz":"qux","foo":"bar"}"#,
                r#"[{"op":"replace","path":"/baz","value":"boo"}]"#,
                r#"{"baz":"boo","foo":"bar"}"#,
            ),
            (
                r#"{"foo":{"bar":"baz","waldo":"fred"},"qux":{"corge":"grault"}}"#,
                r#"[{"op":"move","from":"/foo/waldo","path":"/qux/thud"}]"#,
                r#"{"foo":{"bar":"baz"},"qux":{"corge":"grault","thud":"fred"}}"#,
            ),
            (
                r#"{"foo":["all","grass","cows","eat"]}"#,
                r#"[{"op":"move","from":"/foo/1","path":"/foo/3"}]"#,
                r#"{"foo":["all","cows","eat","grass"]}"#,
            ),
            (
                r#"{"baz":"qux","foo":["a",2,"c"]}"#,
                r#"[{"op":"test","path":"/baz","value":"qux"},{"op":"test","path":"/foo/1","value":2}]"#,
                r#"{"baz":"qux","foo":["a",2,"c"]}"#,
            ),
            (
                r#"{"foo":"bar"}"#,
                r#"[{"op":"add","path":"/child","value":{"grandchild":{}}}]"#,
                r#"{"foo":"bar","child":{"grandchild":{}}}"#,
            ),
            (
                r#"{"foo":"bar"}"#,
                r#"[{"op":"add","path":"/baz","value":"qux","xyz":123}]"#,
                r#"{"foo":"bar","baz":"qux"}"#,
            ),
            (r#"{"/":9,"~1":10}"#, r#"[{"op":"test","path":"/~01","value":10}]"#, r#"{"/":9,"~1":10}"#),
            (
                r#"{"foo":["bar"]}"#,
                r#"[{"op":"add","path":"/foo/-","value":["abc","def"]}]"#,
                r#"{"foo":["bar",["abc","def"]]}"#,
            ),
        ] {
            assert_eq!(patched(doc, patch).as_deref(), Ok(expected), "{patch}");
        }
    }

    #[test]
    fn rfc_6902_appendix_a_errors() {
        let problem = |doc, patch| match patched(doc, patch) {
            Err(PatchError::Operation { problem, .. }) => problem,
            other => panic!("{other:?}"),
        };
        let at = |pointer: &str| pointer.to_owned();
        assert_eq!(
            problem(r#"{"baz":"qux"}"#, r#"[{"op":"test","path":"/baz","value":"bar"}]"#),
            PatchProblem::TestFailed { pointer: at("/baz") }
        );
        assert_eq!(
            problem(r#"{"foo":"bar"}"#, r#"[{"op":"add","path":"/baz/bat","value":"qux"}]"#),
            PatchProblem::NotThere { pointer: at("/baz/bat") }
        );
        assert_eq!(
            problem(r#"{"/":9,"~1":10}"#, r#"[{"op":"test","path":"/~01","value":"10"}]"#),
            PatchProblem::TestFailed { pointer: at("/~01") }
        );
    }

    #[test]
    fn refuses_as_a_whole() {
        let two = r#"[{"op":"add","path":"/a","value":1},{"op":"remove","path":"/x"}]"#;
        let error = patched("{}", two).expect_err("no x");
        assert_eq!(error.to_string(), r#"operation 1 of the patch: nothing at "/x""#);
        for patch in [
            r#"{}"#,
            r#"[1]"#,
            r#"[{"path":"/a"}]"#,
            r#"[{"op":"add","path":"/a"}]"#,
            r#"[{"op":"add","path":"a","value":1}]"#,
            r#"[{"op":"add","path":"/a~2","value":1}]"#,
            r#"[{"op":"add","path":"/l/4","value":1}]"#,
            r#"[{"op":"add","path":"/l/01","value":1}]"#,
            r#"[{"op":"add","path":"/l/+1","value":1}]"#,
            r#"[{"op":"add","path":"/s/a","value":1}]"#,
            r#"[{"op":"remove","path":""}]"#,
            r#"[{"op":"remove","path":"/l/-"}]"#,
            r#"[{"op":"replace","path":"/a","value":1}]"#,
            r#"[{"op":"move","from":"/o","path":"/o/p"}]"#,
            r#"[{"op":"merge","path":"/o"}]"#,
        ] {
            assert!(patched(r#"{"l":[1,2],"o":{},"s":""}"#, patch).is_err(), "{patch}");
        }
    }

    #[test]
    fn tests_compare_without_order_and_width() {
        let doc = r#"{"a":{"x":1,"y":[1.0,null]},"n":null}"#;
        let test = |path, value| patched(doc, &format!(r#"[{{"op":"test","path":"{path}","value":{value}}}]"#)).is_ok();
        assert!(test("/a", r#"{"y":[1,null],"x":1.0}"#));
        assert!(test("/n", "null"));
        assert!(!test("/a", r#"{"y":[1,null]}"#));
        assert!(!test("/missing", "null"));
        assert!(test("", doc));
    }

    /// The examples of RFC 7396, appendix A.
    #[test]
    fn rfc_7396_appendix_a() {
        for (doc, patch, expected) in [
            (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"a":null}"#, "{}"),
            (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
            (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
            (r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#),
            (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
            (r#"["a","b"]"#, r#"["c","d"]"#, r#"["c","d"]"#),
            (r#"{"a":"b"}"#, r#"["c"]"#, r#"["c"]"#),
            (r#"{"a":"foo"}"#, "null", "null"),
            (r#"{"a":"foo"}"#, r#""bar""#, r#""bar""#),
            (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"e":null,"a":1}"#),
            ("[1,2]", r#"{"a":"b","c":null}"#, r#"{"a":"b"}"#),
            ("{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
        ] {
            assert_eq!(merge_patch(&value(doc), &value(patch)).to_json(), expected, "{patch}");
        }
    }

    proptest! {
        #[test]
        fn merging_twice_changes_nothing_more(doc in arbitrary::plain(), patch in arbitrary::plain()) {
            let once = merge_patch(&doc, &patch);
            prop_assert!(merge_patch(&once, &patch) == once);
        }
    }
}
