//! The texts that a redaction takes out, held in memory while it runs to find what repeats them, and never
//! shown.

use std::fmt;

use crate::document::{Extended, FieldPath, Object, Step, Value};
use crate::history::{REDACTED, is_redacted};

/// A text shorter than this says nothing: it may stand anywhere by chance.
const SHORTEST: usize = 8;

/// Texts that are being redacted.
#[derive(Default)]
pub(crate) struct Values {
    texts: Vec<String>,
}

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} values>", self.texts.len())
    }
}

impl Values {
    pub(crate) fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// Notes the texts in a value.
    pub(crate) fn collect(&mut self, value: &Value) {
        match value {
            Value::String(text) => self.note(text),
            Value::Object(object) => object.iter().for_each(|(_, value)| self.collect(value)),
            Value::Array(items) => items.iter().for_each(|value| self.collect(value)),
            Value::Number(_) => self.note(&value.to_json()),
            Value::Extended(extended) => match &**extended {
                Extended::Symbol(text) | Extended::Store { text, .. } => self.note(text),
                Extended::Binary { bytes, .. } => self.note(&String::from_utf8_lossy(bytes)),
                _ => {}
            },
            Value::Null | Value::Bool(_) => {}
        }
    }

    fn note(&mut self, text: &str) {
        let text = text.trim();
        if text.len() < SHORTEST || text.contains(REDACTED) || self.texts.iter().any(|known| known == text) {
            return;
        }
        // The longer one first: what holds another goes as a whole.
        let at = self.texts.iter().position(|known| known.len() < text.len()).unwrap_or(self.texts.len());
        self.texts.insert(at, text.to_owned());
    }

    /// Returns whether one of the texts stands in another.
    pub(crate) fn is_in(&self, text: &str) -> bool {
        self.texts.iter().any(|secret| text.contains(secret.as_str()))
    }

    /// Returns a text without them, if one stands in it.
    pub(crate) fn cut(&self, text: &str) -> Option<String> {
        self.is_in(text)
            .then(|| self.texts.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), REDACTED)))
    }

    /// Returns where they stand in a document. A place whose name holds one is told as what is around it.
    pub(crate) fn places_in(&self, doc: &Value) -> Vec<FieldPath> {
        fn walk(values: &Values, value: &Value, path: &mut Vec<Step>, found: &mut Vec<FieldPath>) {
            match value {
                Value::Object(object) => {
                    for (key, value) in object {
                        if values.is_in(key) {
                            found.push(FieldPath::from_steps(path.clone()));
                            continue;
                        }
                        path.push(Step::Key(key.clone()));
                        walk(values, value, path, found);
                        path.pop();
                    }
                }
                Value::Array(items) => {
                    for (n, value) in items.iter().enumerate() {
                        path.push(Step::Index(n));
                        walk(values, value, path, found);
                        path.pop();
                    }
                }
                Value::Null | Value::Bool(_) => {}
                value if is_redacted(value) => {}
                Value::String(text) if values.is_in(text) => found.push(FieldPath::from_steps(path.clone())),
                Value::String(_) => {}
                value if values.is_in(&value.to_interchange()) => found.push(FieldPath::from_steps(path.clone())),
                _ => {}
            }
        }
        let mut found = Vec::new();
        walk(self, doc, &mut Vec::new(), &mut found);
        found.dedup();
        found
    }

    /// Returns a value with its texts cut, and whether something is left in a name.
    pub(crate) fn cut_all(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => self.cut(text).map_or_else(|| value.clone(), Value::from),
            Value::Object(object) => {
                Value::Object(object.iter().map(|(key, value)| (key.clone(), self.cut_all(value))).collect::<Object>())
            }
            Value::Array(items) => Value::Array(items.iter().map(|item| self.cut_all(item)).collect()),
            other => other.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> Values {
        let mut values = Values::default();
        values.collect(&Value::from_json(r#"{"a":"hunter2hunter2","b":["short",true,123456789012]}"#).expect("JSON"));
        values
    }

    #[test]
    fn short_texts_and_marks_are_no_values() {
        let mut values = values();
        values.collect(&Value::from("x[REDACTED]yyyy"));
        assert_eq!(format!("{values:?}"), "<2 values>");
        assert!(!values.is_in("short"));
        assert_eq!(values.cut("no: hunter2hunter2!").as_deref(), Some("no: [REDACTED]!"));
        assert_eq!(values.cut("nothing"), None);
    }

    #[test]
    fn places_are_named_and_names_are_not() {
        let doc = r#"{"x":{"y":["hunter2hunter2"]},"n":123456789012,"k":{"hunter2hunter2":1},"ok":1}"#;
        let found = values().places_in(&Value::from_json(doc).expect("JSON"));
        assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), ["x.y[0]", "n", "k"]);
    }
}
