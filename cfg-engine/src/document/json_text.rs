//! Edits of JSON text that leave every untouched byte as it was.

use super::edit::{EditError, PathChange};
use super::edit_tree::{self, Node};
use super::parse::{ParseError, ParseProblem};
use super::value::Value;

/// Makes `changes` in the JSON document `text` and returns the new text.
///
/// What no change reaches stays byte for byte: white space, the spelling of numbers, escapes, the
/// order of members. Values are written as [`Value::to_json`] writes them; a new member takes the
/// white space of its siblings. The result reads back as the document that
/// [`apply_changes`](super::apply_changes) makes of the one read from `text`.
///
/// Only what lies on the way to a change is looked at, so `text` must be a document that
/// [`Value::from_json`] reads.
///
/// # Errors
///
/// [`EditError`], as [`apply_changes`](super::apply_changes) gives it, and [`EditError::Text`]
/// where the text on the way is no JSON.
///
/// # Examples
///
/// ```
/// use cfg_engine::document::{Edit, PathChange, edit_json_text};
/// let text = "{\n  \"model\": \"large\",\n  \"limit\": 1.50\n}\n";
/// let changes = [
///     PathChange { path: "model".parse()?, edit: Edit::Set("small".into()) },
///     PathChange { path: "retries".parse()?, edit: Edit::Set(3.into()) },
/// ];
/// assert_eq!(
///     edit_json_text(text, &changes)?,
///     "{\n  \"model\": \"small\",\n  \"limit\": 1.50,\n  \"retries\": 3\n}\n",
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn edit_json_text(text: &str, changes: &[PathChange]) -> Result<String, EditError> {
    const SPACE: [char; 4] = [' ', '\t', '\n', '\r'];
    let behind = text.trim_start_matches(SPACE);
    let body = behind.trim_end_matches(SPACE);
    if body.is_empty() {
        let end = ParseError { problem: ParseProblem::Eof, line: 1, column: 1, offset: text.len() };
        return Err(Value::from_json(text).err().unwrap_or(end).into());
    }
    let mut root = Node::Text(body);
    edit_tree::edit(&mut root, changes)?;
    let mut out = String::with_capacity(text.len() + 64);
    out.push_str(&text[..text.len() - behind.len()]);
    root.write(&mut out);
    out.push_str(&behind[body.len()..]);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::arbitrary;
    use super::super::edit::{Edit, apply_changes};
    use super::super::field_path::FieldPath;
    use super::*;

    fn set(path: &str, value: impl Into<Value>) -> PathChange {
        PathChange { path: path.parse().expect("a path"), edit: Edit::Set(value.into()) }
    }

    fn unset(path: &str) -> PathChange {
        PathChange { path: path.parse().expect("a path"), edit: Edit::Unset }
    }

    fn edited(text: &str, changes: &[PathChange]) -> String {
        edit_json_text(text, changes).expect("edits")
    }

    #[test]
    fn keeps_what_it_does_not_touch() {
        let text = "  {\"b\" : 1.00 ,\t\"\\u0061\":\"\\/\",  \"c\": [ 1e2 , {} ] }\r\n";
        assert_eq!(edited(text, &[]), text);
        assert_eq!(edited(text, &[set("c[0]", 7)]), text.replace("1e2", "7"));
        assert_eq!(edited(text, &[set("a", 7)]), text.replace(r#""\/""#, "7"));
        assert_eq!(edited(text, &[unset("c[1].x"), unset("b.c")]), text);
    }

    #[test]
    fn new_members_take_the_layout_of_their_siblings() {
        assert_eq!(edited(r#"{"a":1}"#, &[set("b", 2)]), r#"{"a":1,"b":2}"#);
        assert_eq!(edited(r#"{"a": 1}"#, &[set("b", 2)]), r#"{"a": 1, "b": 2}"#);
        assert_eq!(edited(r#"{ "a": 1, "c": 1 }"#, &[set("b", 2)]), r#"{ "a": 1, "c": 1, "b": 2 }"#);
        let lines = "{\n\t\"a\": [\n\t\t1\n\t]\n}";
        assert_eq!(edited(lines, &[set("a[1]", 2)]), "{\n\t\"a\": [\n\t\t1,\n\t\t2\n\t]\n}");
        assert_eq!(edited(lines, &[set("b", 2)]), "{\n\t\"a\": [\n\t\t1\n\t],\n\t\"b\": 2\n}");
        assert_eq!(edited("{ }", &[set("a", 1)]), r#"{"a":1}"#);
    }

    #[test]
    fn removal_leaves_no_gap() {
        let text = "{\n  \"a\": 1,\n  \"b\": 2,\n  \"c\": 3\n}";
        assert_eq!(edited(text, &[unset("a")]), "{\n  \"b\": 2,\n  \"c\": 3\n}");
        assert_eq!(edited(text, &[unset("b")]), "{\n  \"a\": 1,\n  \"c\": 3\n}");
        assert_eq!(edited(text, &[unset("c")]), "{\n  \"a\": 1,\n  \"b\": 2\n}");
        assert_eq!(edited(r#"{"a": 1, "b": 2}"#, &[unset("a")]), r#"{"b": 2}"#);
        assert_eq!(edited("[ 1 ]", &[unset_index(0)]), "[]");
        assert_eq!(edited("[ ]", &[unset_index(0)]), "[ ]");
        let all = [unset("a"), unset("b"), unset("c"), set("d", 4)];
        assert_eq!(edited(text, &all), "{\n  \"d\": 4\n}");
    }

    fn unset_index(index: usize) -> PathChange {
        let path = FieldPath::from_steps(vec![crate::document::Step::Index(index)]);
        PathChange { path, edit: Edit::Unset }
    }

    #[test]
    fn refuses_broken_text_without_panicking() {
        for text in [
            "",
            "  ",
            "{",
            "{\"a\"",
            "{\"a\":",
            "{\"a\":1",
            "{\"a\":1,}",
            "{\"a\" 1}",
            "{\"a\":}",
            "{\"a\\",
            "{\"a\":1} x",
        ] {
            assert!(matches!(edit_json_text(text, &[set("a", 1)]), Err(EditError::Text(_))), "{text:?}");
        }
    }

    #[test]
    fn many_edits_of_one_long_text() {
        let members: Vec<_> = (0..10_000).map(|n| format!("\"key{n}\": [{n}, {{\"x\": \"{n}\"}}]")).collect();
        let text = format!("{{{}}}", members.join(", "));
        let changes: Vec<_> = (0..10_000).map(|n| set(&format!("key{n}[1].x"), n)).collect();
        let mut doc = Value::from_json(&text).expect("JSON");
        apply_changes(&mut doc, &changes).expect("applies");
        assert!(Value::from_json(&edited(&text, &changes)).expect("JSON") == doc);
    }

    /// Writes a document with white space, escapes and number spellings of its own.
    fn sloppy(value: &Value, seed: &mut u64, out: &mut String) {
        let mut pick = |of: &[&'static str]| {
            *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            of[(*seed >> 33) as usize % of.len()]
        };
        const SPACES: &[&str] = &["", "", " ", "\n  ", "\t", "\r\n"];
        match value {
            Value::Array(items) => {
                out.push('[');
                out.push_str(pick(SPACES));
                for (n, item) in items.iter().enumerate() {
                    out.push_str(if n > 0 { "," } else { "" });
                    sloppy(item, seed, out);
                }
                out.push(']');
            }
            Value::Object(object) => {
                out.push_str(pick(&["{", "{ ", "{\n"]));
                for (n, (key, member)) in object.iter().enumerate() {
                    out.push_str(if n > 0 { ", " } else { "" });
                    let name = if key == "a" { "\"\\u0061\"".to_owned() } else { Value::from(key.as_str()).to_json() };
                    out.push_str(&name);
                    out.push_str(": ");
                    sloppy(member, seed, out);
                }
                out.push('}');
            }
            Value::Number(number) if number.as_i64() == Some(1) => {
                let double = matches!(number, crate::document::Number::Double(_));
                out.push_str(if double { pick(&["1.0", "1.00", "10e-1"]) } else { "1" });
            }
            scalar => out.push_str(&scalar.to_json()),
        }
        let pick = |of: &[&'static str]| of[(*seed >> 20) as usize % of.len()];
        out.push_str(pick(SPACES));
    }

    proptest! {
        #[test]
        fn text_and_tree_agree(
            doc in arbitrary::plain(),
            seed in any::<u64>(),
            edits in prop::collection::vec(
                (any::<prop::sample::Index>(), arbitrary::path(), prop::option::of(arbitrary::plain())),
                0..8,
            ),
        ) {
            let mut text = String::new();
            sloppy(&doc, &mut seed.clone(), &mut text);
            prop_assert!(Value::from_json(&text).expect("sloppy, but JSON") == doc);
            let places = arbitrary::places(&doc);
            let changes: Vec<_> = edits
                .into_iter()
                .map(|(place, more, value)| {
                    let steps = places[place.index(places.len())].steps().iter().chain(more.steps().first()).cloned();
                    let edit = value.map_or(Edit::Unset, Edit::Set);
                    PathChange { path: FieldPath::from_steps(steps.collect()), edit }
                })
                .collect();
            let mut tree = doc;
            match (edit_json_text(&text, &changes), apply_changes(&mut tree, &changes)) {
                (Ok(text), Ok(())) => prop_assert!(Value::from_json(&text).expect("JSON") == tree),
                (text, tree) => prop_assert_eq!(text.map(|_| ()), tree),
            }
        }
    }
}
