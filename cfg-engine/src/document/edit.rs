//! Edits of single places in a document.

use super::edit_tree::{self, Node};
use super::field_path::FieldPath;
use super::parse::ParseError;
use super::value::Value;

/// One edit of one place.
///
/// `Debug` names the path and the types, never a value.
///
/// # Examples
///
/// ```
/// use cfg_engine::document::{Edit, FieldPath, PathChange};
/// let change = PathChange { path: FieldPath::key("model"), edit: Edit::Set("large".into()) };
/// assert!(!format!("{change:?}").contains("large"));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct PathChange {
    /// Where.
    pub path: FieldPath,
    /// What.
    pub edit: Edit,
}

/// What an edit does.
#[derive(Debug, Clone, PartialEq)]
pub enum Edit {
    /// Puts a value there: replaces what is there, or appends the member or element.
    Set(Value),
    /// Removes what is there; removing something absent does nothing.
    Unset,
}

/// Why an edit cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EditError {
    /// What should hold the place is absent.
    #[error("there is no {path}")]
    MissingParent {
        /// The absent parent.
        path: FieldPath,
    },
    /// What should hold the place is of another type.
    #[error("expected an {expected} at {}, found {found}", place(path))]
    NotContainer {
        /// Where.
        path: FieldPath,
        /// `object` or `array`.
        expected: &'static str,
        /// The type that is there.
        found: &'static str,
    },
    /// An index beyond the end of an array.
    #[error("index {index} is beyond the {len} elements at {}", place(path))]
    OutOfRange {
        /// The array.
        path: FieldPath,
        /// The index asked for.
        index: usize,
        /// How many elements there are.
        len: usize,
    },
    /// The document as a whole cannot be absent.
    #[error("the whole document cannot be unset")]
    WholeDocument,
    /// The text to edit is not JSON.
    #[error(transparent)]
    Text(#[from] ParseError),
}

/// Names a place for messages.
pub(crate) fn place(path: &FieldPath) -> String {
    if path.is_root() { "the top level".to_owned() } else { path.to_string() }
}

/// Makes `changes` in `doc`, one after the other.
///
/// Setting a last step that is absent appends the member, or the element if the index is the
/// length of the array. An index means the array as it is when its change is made.
///
/// # Errors
///
/// [`EditError`]; the changes before the failing one are then made.
///
/// # Examples
///
/// ```
/// use cfg_engine::Value;
/// use cfg_engine::document::{Edit, PathChange, apply_changes};
/// let mut doc = Value::from_json(r#"{"tools": ["a", "b"]}"#)?;
/// let changes = [
///     PathChange { path: "tools[0]".parse()?, edit: Edit::Unset },
///     PathChange { path: "tools[1]".parse()?, edit: Edit::Set("c".into()) },
/// ];
/// apply_changes(&mut doc, &changes)?;
/// assert_eq!(doc.to_json(), r#"{"tools":["b","c"]}"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn apply_changes(doc: &mut Value, changes: &[PathChange]) -> Result<(), EditError> {
    let mut root = Node::Plain(std::mem::take(doc));
    let outcome = edit_tree::edit(&mut root, changes);
    *doc = root.into_value();
    outcome
}

#[cfg(test)]
mod tests {
    use super::super::value::Object;
    use super::*;

    fn value(text: &str) -> Value {
        Value::from_json(text).expect("JSON")
    }

    fn set(path: &str, text: &str) -> PathChange {
        PathChange { path: path.parse().expect("a path"), edit: Edit::Set(value(text)) }
    }

    fn unset(path: &str) -> PathChange {
        PathChange { path: path.parse().expect("a path"), edit: Edit::Unset }
    }

    fn edited(doc: &str, changes: &[PathChange]) -> Result<String, EditError> {
        let mut doc = value(doc);
        apply_changes(&mut doc, changes).map(|()| doc.to_json())
    }

    #[test]
    fn sets_in_place_and_appends() {
        let changes = [set("a", "2"), set("c", "3"), set("b[1]", "true"), set("b[0].x", "null")];
        assert_eq!(edited(r#"{"a":1,"b":[{}]}"#, &changes).as_deref(), Ok(r#"{"a":2,"b":[{"x":null},true],"c":3}"#));
    }

    #[test]
    fn indexes_mean_the_array_as_it_is_then() {
        let changes = [unset("a[0]"), unset("a[0]"), unset("a[5]")];
        assert_eq!(edited(r#"{"a":[1,2,3]}"#, &changes).as_deref(), Ok(r#"{"a":[3]}"#));
    }

    #[test]
    fn unset_of_something_absent_does_nothing() {
        let doc = r#"{"a":"text"}"#;
        let changes = [unset("b"), unset("b.c"), unset("a.c"), unset("a[0]")];
        assert_eq!(edited(doc, &changes).as_deref(), Ok(doc));
    }

    #[test]
    fn refuses_with_the_path() {
        let message = |doc, change| edited(doc, &[change]).expect_err("refused").to_string();
        assert_eq!(message("{}", set("a.b", "1")), "there is no a");
        assert_eq!(message(r#"{"a":[]}"#, set("a[0].b", "1")), "there is no a[0]");
        assert_eq!(message(r#"{"a":[1]}"#, set("a[2]", "1")), "index 2 is beyond the 1 elements at a");
        assert_eq!(message(r#"{"a":"s3cret"}"#, set("a.b", "1")), "expected an object at a, found string");
        assert_eq!(message("[]", set("a", "1")), "expected an object at the top level, found array");
        assert_eq!(message(r#"{"a":{}}"#, set("a[0]", "1")), "expected an array at a, found object");
        let whole = PathChange { path: FieldPath::root(), edit: Edit::Unset };
        assert_eq!(edited("{}", &[whole]), Err(EditError::WholeDocument));
    }

    #[test]
    fn a_failing_list_leaves_the_document_whole() {
        let mut doc = value(r#"{"a":{"b":1},"c":2}"#);
        let outcome = apply_changes(&mut doc, &[set("a.b", "9"), set("x.y", "1")]);
        assert!(outcome.is_err());
        assert_eq!(doc.to_json(), r#"{"a":{"b":9},"c":2}"#);
    }

    #[test]
    fn the_whole_document_can_be_replaced_and_edited_on() {
        let root = PathChange { path: FieldPath::root(), edit: Edit::Set(value("{}")) };
        assert_eq!(edited("[1]", &[root, set("a", "1"), set("b", "2"), unset("a")]).as_deref(), Ok(r#"{"b":2}"#));
    }

    #[test]
    fn ten_thousand_edits_of_ten_thousand_members() {
        let mut doc = Value::Object((0..10_000).map(|n| (format!("key{n}"), Value::from(n))).collect());
        let changes: Vec<_> = (0..10_000)
            .map(|n| PathChange {
                path: FieldPath::key(format!("key{n}")),
                edit: if n % 2 == 0 { Edit::Unset } else { Edit::Set(Value::from(-n)) },
            })
            .collect();
        apply_changes(&mut doc, &changes).expect("applies");
        assert_eq!(doc.as_object().map(Object::len), Some(5_000));
        assert_eq!(doc.get("key9999"), Some(&Value::from(-9999)));
    }
}
