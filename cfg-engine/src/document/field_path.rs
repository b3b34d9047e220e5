//! Dotted paths into a document: `model`, `tools[0].name`, `"a.b".c`.
//!
//! Grammar: steps separated by dots; a step is a bare name or a JSON string in double quotes; an
//! array element is `[n]` behind a step, or at the front where the document is an array itself. A
//! pattern may say `[]` (or `[*]`) for every element.

use std::fmt;
use std::str::FromStr;

use super::parse::Parser;
use super::value::Value;

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// A member of an object.
    Key(String),
    /// An element of an array, from 0.
    Index(usize),
}

/// A place in a document. The empty path is the document itself.
///
/// # Examples
///
/// ```
/// use cfg_engine::document::FieldPath;
/// let path: FieldPath = r#"tools[0]."a.b""#.parse()?;
/// assert_eq!(path.to_string(), r#"tools[0]."a.b""#);
/// # Ok::<(), cfg_engine::document::PathError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct FieldPath(Vec<Step>);

/// Why a text is not a path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a field path: {problem} in {text:?}")]
pub struct PathError {
    text: String,
    problem: &'static str,
}

/// One step of a [`PathPattern`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PatternStep {
    Key(String),
    Index(usize),
    EveryElement,
}

/// A path in which `[]` stands for every element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PathPattern(pub(crate) Vec<PatternStep>);

impl FieldPath {
    /// Returns the path of the whole document.
    pub fn root() -> Self {
        Self::default()
    }

    /// Returns the path of a top-level member.
    pub fn key(name: impl Into<String>) -> Self {
        Self(vec![Step::Key(name.into())])
    }

    /// Builds a path of steps.
    pub fn from_steps(steps: Vec<Step>) -> Self {
        Self(steps)
    }

    /// Returns the steps.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// Returns whether this is the whole document.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the path one step further.
    #[must_use]
    pub fn join(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }

    /// Returns the path and its last step, unless this is the whole document.
    pub fn split_last(&self) -> Option<(FieldPath, &Step)> {
        let (last, rest) = self.0.split_last()?;
        Some((Self(rest.to_vec()), last))
    }

    /// Returns the top-level member this path lies in.
    pub fn top_level(&self) -> Option<&str> {
        match self.0.first() {
            Some(Step::Key(key)) => Some(key),
            _ => None,
        }
    }

    /// Returns whether this path is `other` or lies inside it.
    pub fn starts_with(&self, other: &FieldPath) -> bool {
        self.0.starts_with(&other.0)
    }

    /// Returns the value at this path.
    pub fn get<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        self.0.iter().try_fold(value, |at, step| match (step, at) {
            (Step::Key(key), Value::Object(object)) => object.get(key),
            (Step::Index(index), Value::Array(items)) => items.get(*index),
            _ => None,
        })
    }
}

impl Step {
    /// Appends the step in the grammar of this module.
    fn write(&self, first: bool, out: &mut String) {
        match self {
            Step::Index(index) => {
                out.push('[');
                out.push_str(&index.to_string());
                out.push(']');
            }
            Step::Key(key) => {
                if !first {
                    out.push('.');
                }
                if is_bare(key) {
                    out.push_str(key);
                } else {
                    super::text::push_escaped(key, out);
                }
            }
        }
    }
}

fn is_bare(key: &str) -> bool {
    !key.is_empty()
        && !key
            .chars()
            .any(|c| matches!(c, '.' | '[' | ']' | '"' | '\\' | '=' | ':') || c.is_whitespace() || c.is_control())
}

/// Writes a pattern in the grammar of this module.
pub(crate) fn write_pattern(steps: &[PatternStep]) -> String {
    let mut out = String::new();
    for (n, step) in steps.iter().enumerate() {
        match step {
            PatternStep::Key(key) => Step::Key(key.clone()).write(n == 0, &mut out),
            PatternStep::Index(index) => Step::Index(*index).write(n == 0, &mut out),
            PatternStep::EveryElement => out.push_str("[]"),
        }
    }
    out
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::new();
        for (n, step) in self.0.iter().enumerate() {
            step.write(n == 0, &mut out);
        }
        f.write_str(&out)
    }
}

impl FromStr for FieldPath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        let PathPattern(steps) = text.parse()?;
        let steps = steps.into_iter().map(|step| match step {
            PatternStep::Key(key) => Ok(Step::Key(key)),
            PatternStep::Index(index) => Ok(Step::Index(index)),
            PatternStep::EveryElement => {
                Err(PathError { text: text.to_owned(), problem: "'[]' stands for many places; give an index" })
            }
        });
        Ok(FieldPath(steps.collect::<Result<_, _>>()?))
    }
}

impl FromStr for PathPattern {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        let fail = |problem| PathError { text: text.to_owned(), problem };
        let mut steps = Vec::new();
        let mut rest = text;
        if rest.is_empty() {
            return Err(fail("no step"));
        }
        loop {
            if rest.starts_with('"') {
                let mut parser = Parser::new(rest);
                let quoted = parser.string().map_err(|_| fail("a broken quoted name"))?;
                steps.push(PatternStep::Key(quoted.into_owned()));
                rest = &rest[parser.at..];
            } else if !(steps.is_empty() && rest.starts_with('[')) {
                let end = rest.find(['.', '[']).unwrap_or(rest.len());
                let key = &rest[..end];
                if key.is_empty() {
                    return Err(fail("an empty step"));
                }
                if key.contains([']', '"']) {
                    return Err(fail("a stray ']' or '\"'"));
                }
                steps.push(PatternStep::Key(key.to_owned()));
                rest = &rest[end..];
            }
            while let Some(inside) = rest.strip_prefix('[') {
                let end = inside.find(']').ok_or_else(|| fail("a '[' without ']'"))?;
                steps.push(match &inside[..end] {
                    "" | "*" => PatternStep::EveryElement,
                    digits => PatternStep::Index(index(digits).ok_or_else(|| fail("an index that is no number"))?),
                });
                rest = &inside[end + 1..];
            }
            if rest.is_empty() {
                return Ok(PathPattern(steps));
            }
            rest = rest.strip_prefix('.').ok_or_else(|| fail("a step that does not start with '.' or '['"))?;
            if rest.is_empty() {
                return Err(fail("a '.' at the end"));
            }
        }
    }
}

/// Reads an index in the one way it is printed.
fn index(digits: &str) -> Option<usize> {
    digits.parse().ok().filter(|index: &usize| index.to_string() == digits)
}
