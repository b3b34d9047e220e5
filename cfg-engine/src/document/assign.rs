//! The assignments of `cfg set`: `retries=3`, `tools+=search`, `tools-=@2`, `note:=null`.

use super::align::equal;
use super::edit::place;
use super::field_path::{FieldPath, PathError, Step};
use super::parse::{ParseError, ParseProblem};
use super::value::{Object, Value};

/// One assignment.
///
/// `Debug` names paths and types, never a value.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Assignment {
    /// Puts a value there.
    Set {
        /// Where.
        path: FieldPath,
        /// What.
        value: Value,
    },
    /// Appends an element.
    Append {
        /// The array.
        path: FieldPath,
        /// The new element.
        value: Value,
    },
    /// Removes the first element that equals a value.
    RemoveValue {
        /// The array.
        path: FieldPath,
        /// What the element equals.
        value: Value,
    },
    /// Removes the element at an index.
    RemoveAt {
        /// The array.
        path: FieldPath,
        /// The index, from 0.
        index: usize,
    },
    /// Puts null there, which is as good as absent.
    Null {
        /// Where.
        path: FieldPath,
    },
    /// Removes what is there.
    Delete {
        /// Where.
        path: FieldPath,
    },
}

/// Why words are no assignments, or an assignment cannot be made.
///
/// The text names places, never values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AssignError {
    /// There are no words.
    #[error("nothing to set")]
    Nothing,
    /// A word has no sign of an assignment.
    #[error("word {word} is no assignment such as path=value")]
    NoAssignment {
        /// Which word, from 1.
        word: usize,
    },
    /// A word assigns where paths to delete are expected.
    #[error("word {word} is an assignment, not a path to delete")]
    NotAPath {
        /// Which word, from 1.
        word: usize,
    },
    /// A path does not parse.
    #[error(transparent)]
    Path(#[from] PathError),
    /// What follows `:=` is not JSON, or a wrapper such as `{"$date": …}` does not fit.
    #[error("the value for {path} is {problem}")]
    NotJson {
        /// The path assigned to.
        path: FieldPath,
        /// What is wrong with it.
        problem: ParseError,
    },
    /// Something of another type is in the way.
    #[error("expected an {expected} at {}, found {found}", place(path))]
    TypeClash {
        /// Where.
        path: FieldPath,
        /// `object` or `array`.
        expected: &'static str,
        /// The type that is there.
        found: &'static str,
    },
    /// An array has no such element.
    #[error("there is no {path}")]
    NoElement {
        /// The element.
        path: FieldPath,
    },
    /// No element equals the value to remove.
    #[error("no element of {path} equals the value to remove")]
    NotThere {
        /// The array.
        path: FieldPath,
    },
}

#[derive(Clone, Copy, PartialEq)]
enum Sign {
    Bare,
    Json,
    Append,
    Remove,
}

/// Reads the words of one call; with `delete`, each word is a path to delete.
///
/// | written | means |
/// |---|---|
/// | `path value` (two words), `path=value` | set to a bare value |
/// | `path:=json` | set to JSON; anything else is refused |
/// | `path:=null`, `path=null` | set to null, which is as good as absent |
/// | `path+=value` | append to an array; where there is none, begin one |
/// | `path-=value` | remove the first element that equals the value |
/// | `path-=@2` | remove the element at index 2 |
/// | `path`, with `delete` | remove |
///
/// Two words of which the first holds no sign are a path and its value; else each word is an
/// assignment of its own.
///
/// A bare value that is JSON (or interchange, such as `{"$date": …}`) is that value: `3`, `true`,
/// `["a"]`. Any other is a string as it stands: `large`, `001`, `1.2.3`. To force a string, write
/// it as JSON: `'"5"'`. A path is written as [`FieldPath`] has it; a name that holds one of the
/// signs above, or ends in `+` or `-`, is quoted: `"a=b"=1`.
///
/// # Errors
///
/// [`AssignError`], of which no text repeats a value.
///
/// # Examples
///
/// ```
/// use cfg_engine::document::{Assignment, parse_assignments};
/// let parsed = parse_assignments(&["model=large", "tools-=@2"], false)?;
/// assert_eq!(parsed[0], Assignment::Set { path: "model".parse()?, value: "large".into() });
/// assert_eq!(parsed[1], Assignment::RemoveAt { path: "tools".parse()?, index: 2 });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn parse(words: &[&str], delete: bool) -> Result<Vec<Assignment>, AssignError> {
    if words.is_empty() {
        return Err(AssignError::Nothing);
    }
    let mut numbered = words.iter().zip(1..);
    if delete {
        let paths = numbered.map(|(word, number)| match split(word) {
            Some(_) => Err(AssignError::NotAPath { word: number }),
            None => Ok(Assignment::Delete { path: word.parse()? }),
        });
        return paths.collect();
    }
    if let [path, text] = words
        && split(path).is_none()
    {
        return Ok(vec![parse_one(path, Sign::Bare, text)?]);
    }
    numbered.try_fold(Vec::new(), |mut parsed, (word, number)| {
        let (path, sign, text) = split(word).ok_or(AssignError::NoAssignment { word: number })?;
        parsed.push(parse_one(path, sign, text)?);
        Ok(parsed)
    })
}

/// Splits a word at its sign: the first `=` outside of quotes, with the `:`, `+` or `-` before it.
fn split(word: &str) -> Option<(&str, Sign, &str)> {
    let (mut quoted, mut escaped) = (false, false);
    let at = word.bytes().position(|byte| {
        let ends = byte == b'=' && !quoted;
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = quoted,
            b'"' => quoted = !quoted,
            _ => {}
        }
        ends
    })?;
    let (path, text) = (&word[..at], &word[at + 1..]);
    let signs = [(':', Sign::Json), ('+', Sign::Append), ('-', Sign::Remove)];
    for (sign, meaning) in signs {
        if let Some(path) = path.strip_suffix(sign) {
            return Some((path, meaning, text));
        }
    }
    Some((path, Sign::Bare, text))
}

fn parse_one(path: &str, sign: Sign, text: &str) -> Result<Assignment, AssignError> {
    let path: FieldPath = path.parse()?;
    if sign == Sign::Remove
        && let Some(index) = text.strip_prefix('@').filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))
        && let Ok(index) = index.parse()
    {
        return Ok(Assignment::RemoveAt { path, index });
    }
    let value = match Value::from_interchange(text) {
        Ok(value) => value,
        Err(error) if sign == Sign::Json || matches!(error.problem, ParseProblem::Wrapper(_)) => {
            return Err(AssignError::NotJson { path, problem: error });
        }
        Err(_) => Value::from(text),
    };
    Ok(match (sign, value) {
        (Sign::Append, value) => Assignment::Append { path, value },
        (Sign::Remove, value) => Assignment::RemoveValue { path, value },
        (_, Value::Null) => Assignment::Null { path },
        (_, value) => Assignment::Set { path, value },
    })
}

/// Makes the assignments in `doc`, one after the other: all of them, or none.
///
/// Parents that are absent or null are created as objects, except for [`Assignment::Null`] and
/// [`Assignment::Delete`], for which there is then nothing to do. Setting the element behind the
/// last one of an array appends it.
///
/// # Errors
///
/// [`AssignError`]; `doc` is then unchanged.
///
/// # Examples
///
/// ```
/// use cfg_engine::Value;
/// use cfg_engine::document::{assign, parse_assignments};
/// let mut doc = Value::from_json(r#"{"tools": ["a", "b"]}"#)?;
/// assign(&mut doc, &parse_assignments(&["limits.ram=2", "tools-=a", "tools+=c"], false)?)?;
/// assert_eq!(doc.to_json(), r#"{"tools":["b","c"],"limits":{"ram":2}}"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn assign(doc: &mut Value, assignments: &[Assignment]) -> Result<(), AssignError> {
    let mut changed = doc.clone();
    assignments.iter().try_for_each(|assignment| assign_one(&mut changed, assignment))?;
    *doc = changed;
    Ok(())
}

fn assign_one(doc: &mut Value, assignment: &Assignment) -> Result<(), AssignError> {
    match assignment {
        Assignment::Set { path, value } => *slot(doc, path)? = value.clone(),
        Assignment::Append { path, value } => match slot(doc, path)? {
            Value::Array(items) => items.push(value.clone()),
            none @ Value::Null => *none = Value::Array(vec![value.clone()]),
            other => return Err(clash(path, "array", other)),
        },
        Assignment::RemoveValue { path, value } => {
            let items = array(doc, path)?.ok_or_else(|| AssignError::NotThere { path: path.clone() })?;
            let found = items.iter().position(|item| equal(item, value));
            items.remove(found.ok_or_else(|| AssignError::NotThere { path: path.clone() })?);
        }
        Assignment::RemoveAt { path, index } => {
            let items = array(doc, path)?.filter(|items| *index < items.len());
            let missing = || AssignError::NoElement { path: path.join(Step::Index(*index)) };
            items.ok_or_else(missing)?.remove(*index);
        }
        Assignment::Null { path } => {
            if is_reached(doc, path)? {
                *slot(doc, path)? = Value::Null;
            }
        }
        Assignment::Delete { path } => match (path.split_last(), is_reached(doc, path)?) {
            (None, _) => *doc = Value::Null,
            (_, false) => {}
            (Some((parent, last)), true) => match (step_into(doc, parent.steps()), last) {
                (Some(Value::Object(object)), Step::Key(key)) => {
                    object.remove(key);
                }
                (Some(Value::Array(items)), Step::Index(index)) if *index < items.len() => {
                    items.remove(*index);
                }
                _ => {}
            },
        },
    }
    Ok(())
}

fn clash(path: &FieldPath, expected: &'static str, found: &Value) -> AssignError {
    AssignError::TypeClash { path: path.clone(), expected, found: found.type_name() }
}

fn expected(step: &Step) -> &'static str {
    match step {
        Step::Key(_) => "object",
        Step::Index(_) => "array",
    }
}

fn step_into<'v>(doc: &'v mut Value, steps: &[Step]) -> Option<&'v mut Value> {
    super::field_policy::get_mut(doc, &FieldPath::from_steps(steps.to_vec()))
}

/// Returns the array at a place, `None` if nothing is there.
fn array<'v>(doc: &'v mut Value, path: &FieldPath) -> Result<Option<&'v mut Vec<Value>>, AssignError> {
    if !is_reached(doc, path)? {
        return Ok(None);
    }
    match step_into(doc, path.steps()) {
        Some(Value::Array(items)) => Ok(Some(items)),
        None | Some(Value::Null) => Ok(None),
        Some(other) => Err(clash(path, "array", other)),
    }
}

/// Returns whether the container of a place is there; something else in its way is refused.
fn is_reached(doc: &Value, path: &FieldPath) -> Result<bool, AssignError> {
    let mut at = doc;
    for (n, step) in path.steps().iter().enumerate() {
        let next = match (step, at) {
            (Step::Key(key), Value::Object(object)) => object.get(key),
            (Step::Index(index), Value::Array(items)) => items.get(*index),
            (_, Value::Null) => return Ok(false),
            (step, other) => return Err(clash(&prefix(path, n), expected(step), other)),
        };
        match next {
            Some(next) => at = next,
            None => return Ok(n + 1 == path.steps().len() && matches!(step, Step::Key(_))),
        }
    }
    Ok(true)
}

/// Returns the place itself, created where it is absent.
fn slot<'v>(doc: &'v mut Value, path: &FieldPath) -> Result<&'v mut Value, AssignError> {
    let mut at = doc;
    for (n, step) in path.steps().iter().enumerate() {
        if at.is_null() && matches!(step, Step::Key(_)) {
            *at = Value::Object(Object::new());
        }
        at = match (step, at) {
            (Step::Key(key), Value::Object(object)) => {
                if !object.contains_key(key) {
                    object.insert(key.as_str(), Value::Null);
                }
                // The member is there by now.
                object.get_mut(key).ok_or_else(|| AssignError::NoElement { path: prefix(path, n + 1) })?
            }
            (Step::Index(index), Value::Array(items)) => {
                if *index == items.len() && n + 1 == path.steps().len() {
                    items.push(Value::Null);
                }
                items.get_mut(*index).ok_or_else(|| AssignError::NoElement { path: prefix(path, n + 1) })?
            }
            (step, other) => return Err(clash(&prefix(path, n), expected(step), other)),
        };
    }
    Ok(at)
}

fn prefix(path: &FieldPath, steps: usize) -> FieldPath {
    FieldPath::from_steps(path.steps()[..steps].to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> FieldPath {
        text.parse().expect("a path")
    }

    fn one(word: &str) -> Assignment {
        parse(&[word], false).expect("an assignment").remove(0)
    }

    fn set(at: &str, value: impl Into<Value>) -> Assignment {
        Assignment::Set { path: path(at), value: value.into() }
    }

    fn assigned(doc: &str, words: &[&str]) -> Result<String, AssignError> {
        let mut doc = Value::from_json(doc).expect("JSON");
        assign(&mut doc, &parse(words, false)?).map(|()| doc.to_json())
    }

    fn refused(doc: &str, words: &[&str]) -> String {
        assigned(doc, words).expect_err("refused").to_string()
    }

    #[test]
    fn bare_values_are_json_or_text() {
        for (text, value) in [
            ("3", Value::from(3)),
            ("1.50", Value::from(1.5)),
            ("true", Value::from(true)),
            ("[1]", Value::from(vec![1])),
            ("\"5\"", Value::from("5")),
            ("large", Value::from("large")),
            ("001", Value::from("001")),
            ("1.2.3", Value::from("1.2.3")),
            ("", Value::from("")),
            ("a=b", Value::from("a=b")),
            ("NaN", Value::from("NaN")),
            ("{name}", Value::from("{name}")),
        ] {
            assert_eq!(one(&format!("a={text}")), set("a", value.clone()), "{text}");
            assert_eq!(parse(&["a", text], false), Ok(vec![set("a", value)]), "{text}");
        }
        assert_eq!(one("a=null"), Assignment::Null { path: path("a") });
        assert!(matches!(
            one(r#"a={"$date":"2020-01-01T00:00:00Z"}"#),
            Assignment::Set { value: Value::Extended(_), .. }
        ));
        assert!(parse(&[r#"a={"$date":"soon"}"#], false).is_err());
    }

    #[test]
    fn signs() {
        assert_eq!(one("a.b:=[1]"), set("a.b", vec![1]));
        assert_eq!(one("a:=null"), Assignment::Null { path: path("a") });
        assert_eq!(one("a+=x"), Assignment::Append { path: path("a"), value: "x".into() });
        assert_eq!(one("a-=x"), Assignment::RemoveValue { path: path("a"), value: "x".into() });
        assert_eq!(one("a-=@12"), Assignment::RemoveAt { path: path("a"), index: 12 });
        assert_eq!(one("a-=\"@12\""), Assignment::RemoveValue { path: path("a"), value: "@12".into() });
        assert_eq!(one("a-=@b"), Assignment::RemoveValue { path: path("a"), value: "@b".into() });
        assert_eq!(one(r#""a=\"+=".b[0]=1"#), set(r#""a=\"+=".b[0]"#, 1));
        assert_eq!(parse(&["a.b", "c"], true).map(|all| all.len()), Ok(2));
        assert_eq!(parse(&["a=1", "b"], false), Err(AssignError::NoAssignment { word: 2 }));
        assert_eq!(parse(&["a", "b", "c"], false), Err(AssignError::NoAssignment { word: 1 }));
        assert_eq!(parse(&["a", "b=1"], true), Err(AssignError::NotAPath { word: 2 }));
        assert_eq!(parse(&[], false), Err(AssignError::Nothing));
        assert_eq!(parse(&["a"], false), Err(AssignError::NoAssignment { word: 1 }));
        let error = parse(&["a:=s3cret"], false).expect_err("no JSON").to_string();
        assert_eq!(error, "the value for a is not JSON: expected a value at line 1, column 1");
    }

    #[test]
    fn parents_are_created() {
        assert_eq!(assigned("{}", &["a.b.c=1"]).as_deref(), Ok(r#"{"a":{"b":{"c":1}}}"#));
        assert_eq!(assigned(r#"{"a":null}"#, &["a.b=1", "a.c+=2"]).as_deref(), Ok(r#"{"a":{"b":1,"c":[2]}}"#));
        assert_eq!(assigned("{}", &["a.b:=null", "c:=null"]).as_deref(), Ok(r#"{"c":null}"#));
        assert_eq!(assigned(r#"{"a":[1]}"#, &["a[1]=2", "a[0]=0"]).as_deref(), Ok(r#"{"a":[0,2]}"#));
    }

    #[test]
    fn elements() {
        let doc = r#"{"t":["a",1,"a",null]}"#;
        assert_eq!(assigned(doc, &["t-=a"]).as_deref(), Ok(r#"{"t":[1,"a",null]}"#));
        assert_eq!(assigned(doc, &["t-=1.0", "t-=@1"]).as_deref(), Ok(r#"{"t":["a",null]}"#));
        assert_eq!(assigned(doc, &["t-=null", "t+=null"]).as_deref(), Ok(doc));
        assert_eq!(refused(doc, &["t-=s3cret"]), "no element of t equals the value to remove");
        assert_eq!(refused(doc, &["u-=s3cret"]), "no element of u equals the value to remove");
        assert_eq!(refused(doc, &["t-=@4"]), "there is no t[4]");
        assert_eq!(refused(doc, &["t[5]=1"]), "there is no t[5]");
        assert_eq!(refused(doc, &["t[4].x=1"]), "there is no t[4]");
    }

    #[test]
    fn clashes_are_refused_and_leave_the_document() {
        let doc = r#"{"s":"s3cret","o":{},"l":[]}"#;
        assert_eq!(refused(doc, &["s.a=1"]), "expected an object at s, found string");
        assert_eq!(refused(doc, &["s.a:=null"]), "expected an object at s, found string");
        assert_eq!(refused(doc, &["l.a=1"]), "expected an object at l, found array");
        assert_eq!(refused(doc, &["o[0]=1"]), "expected an array at o, found object");
        assert_eq!(refused(doc, &["o+=1"]), "expected an array at o, found object");
        assert_eq!(refused(doc, &["s-=1"]), "expected an array at s, found string");
        let mut value = Value::from_json(doc).expect("JSON");
        assert!(assign(&mut value, &[set("o.x", 1), set("s.a", 1)]).is_err());
        assert_eq!(value.to_json(), doc);
    }

    #[test]
    fn deletes() {
        let mut doc = Value::from_json(r#"{"a":{"b":1,"c":2},"l":[1,2]}"#).expect("JSON");
        let paths = parse(&["a.b", "l[0]", "x.y", "l[7]"], true).expect("paths");
        assign(&mut doc, &paths).expect("deletes");
        assert_eq!(doc.to_json(), r#"{"a":{"c":2},"l":[2]}"#);
    }
}
