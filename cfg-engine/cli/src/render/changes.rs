//! Differences inside documents, as git shows them: `-` what was, `+` what is.

use anstyle::Style;
use cfg_engine::Value;
use cfg_engine::document::{Dialect, FieldChange, line_diff};

use super::style::{CYAN, GREEN, RED, YELLOW, clean, paint};

/// Text longer than this, or of several lines, is compared line by line.
const LONG_TEXT: usize = 80;
/// A value that is longer than this as one line is written over several.
const LONG_VALUE: usize = 72;

/// One difference, wherever it comes from.
struct Line<'a> {
    path: String,
    op: &'a str,
    from: Option<String>,
    before: Option<&'a Value>,
    after: Option<&'a Value>,
}

/// Writes differences.
pub(crate) fn changes(changes: &[FieldChange], indent: usize) -> String {
    let lines = changes.iter().map(|change| Line {
        path: place(&change.path.to_string()),
        op: change.op.as_str(),
        from: change.from.as_ref().map(|path| path.to_string()),
        before: change.before.as_ref(),
        after: change.after.as_ref(),
    });
    write(lines, indent)
}

/// Writes differences that come as data: `[{path, op, from, before, after}]`.
pub(crate) fn change_values(changes: &[Value], indent: usize) -> String {
    let text = |change: &Value, key: &str| change.get(key).and_then(Value::as_str).map(str::to_owned);
    let lines = changes.iter().map(|change| Line {
        path: place(&text(change, "path").unwrap_or_default()),
        op: change.get("op").and_then(Value::as_str).unwrap_or_default(),
        from: text(change, "from"),
        before: change.get("before"),
        after: change.get("after"),
    });
    write(lines, indent)
}

fn place(path: &str) -> String {
    if path.is_empty() { "(the whole document)".to_owned() } else { clean(path) }
}

fn write<'a>(lines: impl Iterator<Item = Line<'a>>, indent: usize) -> String {
    let mut out = String::new();
    let margin = " ".repeat(indent);
    for line in lines {
        let mut part = String::new();
        one(&line, &mut part);
        for text in part.lines() {
            out.push_str(&margin);
            out.push_str(text.trim_end());
            out.push('\n');
        }
    }
    out
}

fn one(line: &Line<'_>, out: &mut String) {
    let came_from = line.from.as_ref().map(|from| format!(" (was {})", clean(from))).unwrap_or_default();
    match (line.op, line.before, line.after) {
        ("move", _, _) => {
            let from = line.from.as_deref().unwrap_or_default();
            out.push_str(&paint(YELLOW, &format!("> {}: moved from {}", line.path, clean(from))));
            out.push('\n');
        }
        (_, Some(Value::String(before)), Some(Value::String(after))) if is_long(before) || is_long(after) => {
            out.push_str(&paint(CYAN, &format!("~ {}{came_from}", line.path)));
            out.push('\n');
            for text in line_diff(before, after, 2).lines() {
                let style = match text.as_bytes().first() {
                    Some(b'+') => GREEN,
                    Some(b'-') => RED,
                    Some(b'@') => CYAN,
                    _ => super::style::PLAIN,
                };
                out.push_str("  ");
                out.push_str(&paint(style, &clean(text)));
                out.push('\n');
            }
        }
        (_, before, after) => {
            if let Some(value) = before {
                let path = if after.is_some() {
                    line.from.as_deref().map_or(line.path.clone(), clean)
                } else {
                    line.path.clone()
                };
                side('-', RED, &path, value, out);
            }
            if let Some(value) = after {
                side('+', GREEN, &line.path, value, out);
            }
        }
    }
}

fn is_long(text: &str) -> bool {
    text.len() > LONG_TEXT || text.contains('\n')
}

fn side(sign: char, style: Style, path: &str, value: &Value, out: &mut String) {
    let flat = value.to_text(Dialect::Relaxed, None);
    let lines = value.as_str().is_some_and(|text| text.contains('\n'));
    if !lines && flat.chars().count() <= LONG_VALUE || matches!(value, Value::Number(_) | Value::Extended(_)) {
        out.push_str(&paint(style, &format!("{sign} {path}: {}", clean(&flat))));
        out.push('\n');
        return;
    }
    out.push_str(&paint(style, &format!("{sign} {path}:")));
    out.push('\n');
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_text(Dialect::Relaxed, Some(2)),
    };
    for row in text.lines() {
        out.push_str(&paint(style, &format!("{sign}   {}", clean(row))));
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use cfg_engine::document::diff;

    use super::*;

    fn shown(before: &str, after: &str) -> String {
        let value = |text: &str| Value::from_json(text).expect("JSON");
        let painted = changes(&diff(&value(before), &value(after)), 2);
        anstream::adapter::strip_str(&painted).to_string()
    }

    #[test]
    fn short_values_stand_on_a_line() {
        assert_eq!(
            shown(r#"{"model":"large","n":1}"#, r#"{"model":"small","t":["a"]}"#),
            "  - model: \"large\"\n  + model: \"small\"\n  - n: 1\n  + t: [\"a\"]\n"
        );
    }

    #[test]
    fn long_text_is_compared_line_by_line() {
        let text = shown(r#"{"p":"one\ntwo\nthree\n"}"#, r#"{"p":"one\n2\u001b[0m\nthree\n"}"#);
        assert_eq!(text, "  ~ p\n    @@ -1,3 +1,3 @@\n     one\n    -two\n    +2\u{fffd}[0m\n     three\n");
    }

    #[test]
    fn moves_name_both_places() {
        assert_eq!(shown(r#"{"t":[1,2,3]}"#, r#"{"t":[3,1,2]}"#), "  > t[0]: moved from t[2]\n");
    }

    #[test]
    fn long_values_are_written_over_several_lines() {
        let long = format!(r#"{{"o":{{"a":"{}","b":2}}}}"#, "x".repeat(80));
        let text = shown("{}", &long);
        assert!(text.starts_with("  + o:\n  +   {\n  +     \"a\": \"xxx"), "{text}");
    }
}
