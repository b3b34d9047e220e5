//! One line of a history file.

use crate::config::IdType;
use crate::document::Value;
use crate::history::{IdKey, Timestamp};

/// A line's content.
pub(super) struct Line {
    pub(super) id: Value,
    pub(super) time: Timestamp,
    pub(super) doc: Option<Value>,
    pub(super) author: Option<String>,
    pub(super) message: Option<String>,
    pub(super) sha: Option<String>,
}

pub(super) fn parse_line(text: &str) -> Result<Line, String> {
    let value = Value::from_interchange(text).map_err(|e| format!("{}, column {}", e.problem, e.column))?;
    let Value::Object(object) = value else { return Err("not a JSON object".to_owned()) };
    let (mut id, mut time, mut doc) = (None, None, None);
    let (mut author, mut message, mut sha) = (None, None, None);
    for (key, value) in object {
        let text_of = |value: Value| match value {
            Value::String(text) => Ok(Some(text)),
            Value::Null => Ok(None),
            other => Err(format!("{key} is a JSON {}, not text", other.type_name())),
        };
        match key.as_str() {
            "id" => id = Some(value),
            "time" => {
                let text = text_of(value)?.ok_or("time is null")?;
                time = Some(
                    Timestamp::parse_instant(&text)
                        .map_err(|_| format!("time {text:?} is not an instant with a zone"))?,
                );
            }
            "doc" => match value {
                Value::Object(_) => doc = Some(Some(value)),
                Value::Null => doc = Some(None),
                other => return Err(format!("doc is a JSON {}, not an object or null", other.type_name())),
            },
            "author" => author = text_of(value)?.map(check_author).transpose()?,
            "message" => message = text_of(value)?,
            "sha" => sha = text_of(value)?.map(check_sha).transpose()?,
            other => return Err(format!("unknown member {other:?}; a line has id, time, doc, author, message, sha")),
        }
    }
    Ok(Line {
        id: id.ok_or("no id")?,
        time: time.ok_or("no time")?,
        doc: doc.ok_or("no doc (null says that the record was deleted)")?,
        author,
        message,
        sha,
    })
}

/// Checks that the live table can hold such an id: no row would ever be found under another.
pub(super) fn check_id_type(id: &IdKey, id_type: Option<IdType>) -> Result<(), String> {
    let (fits, wanted) = match (id_type, id.to_value()) {
        (Some(IdType::String), value) => (matches!(value, Value::String(_)), "text"),
        (Some(IdType::Int), value) => (matches!(value, Value::Number(_)), "a whole number"),
        _ => (true, ""),
    };
    if fits { Ok(()) } else { Err(format!("id {} is not {wanted}, as id_type says", id.as_str())) }
}

fn check_author(author: String) -> Result<String, String> {
    if author.trim().is_empty() {
        Err("author is empty; leave it out where it is not known".to_owned())
    } else {
        Ok(author)
    }
}

fn check_sha(sha: String) -> Result<String, String> {
    let fits = (7..=64).contains(&sha.len()) && sha.bytes().all(|b| b.is_ascii_hexdigit());
    if fits { Ok(sha) } else { Err(format!("sha {sha:?} is not 7 to 64 hexadecimal digits")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_nothing_could_be_made_of_are_refused() {
        let line = |rest: &str| {
            let text = format!(r#"{{"id":"a","time":"2023-06-07T00:00:00Z","doc":null{rest}}}"#);
            parse_line(&text).err().unwrap_or_default()
        };
        assert_eq!(line(r#","author":"ada","sha":"a1b2c3d""#), "");
        assert_eq!(line(r#","author":null,"sha":null"#), "");
        assert!(line(r#","author":" ""#).contains("author is empty"));
        for sha in ["", "a1b2c3", "not-hex", &"a".repeat(65)] {
            assert!(line(&format!(r#","sha":"{sha}""#)).contains("sha"), "{sha}");
        }
    }

    #[test]
    fn an_id_is_of_the_collections_type() {
        let text = IdKey::from_value(&Value::from("1")).expect("an id");
        let number = IdKey::from_value(&Value::from(1)).expect("an id");
        for (id, other, id_type) in [(&text, &number, IdType::String), (&number, &text, IdType::Int)] {
            assert_eq!(check_id_type(id, Some(id_type)), Ok(()));
            assert!(check_id_type(other, Some(id_type)).is_err());
            assert_eq!(check_id_type(other, None), Ok(()));
        }
    }
}
