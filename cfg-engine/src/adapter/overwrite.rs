//! What a redaction does to what is stored of older entries: values and messages, never a header.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::document::{FieldPath, Object, PathChange, Value, apply_changes, edit_json_text, same};
use crate::history::{DocState, Entry, Seq};

/// A stored document, a message or both of an older entry that are overwritten.
#[derive(Debug, Clone)]
pub struct Overwrite {
    /// Which entry.
    pub seq: Seq,
    /// What must be stored of it, compared inside the transaction. Where something else is, nothing is
    /// written ([`AdapterError::StaleHead`](super::AdapterError::StaleHead)).
    pub stored: StoredDigest,
    /// Changes of the stored document, whose state becomes
    /// [`DocState::Redacted`](crate::history::DocState::Redacted). With none the document stays as it is.
    pub changes: Vec<PathChange>,
    /// The new text of the message; the header goes on holding the hash of the old one.
    pub message: Option<String>,
}

/// The SHA-256 over what is stored of an entry outside its header: state, message and document.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct StoredDigest([u8; 32]);

impl StoredDigest {
    /// Computes the digest of what a store holds.
    pub fn of(state: DocState, message: &str, doc: Option<&Value>) -> Self {
        let mut hash = Sha256::new();
        let mut part = |text: &str| {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text);
        };
        part(state.as_str());
        part(message);
        part(&doc.map(Value::to_interchange).unwrap_or_default());
        StoredDigest(hash.finalize().into())
    }

    /// Computes the digest of an entry that was read with its document.
    pub fn of_entry(entry: &Entry) -> Self {
        Self::of(entry.doc_state, &entry.message, entry.doc.as_ref())
    }
}

impl fmt::Debug for StoredDigest {
    /// A short value could be found by its hash.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<digest>")
    }
}

/// Makes changes to the texts in which a store keeps a document: its JSON, or, in the row shape, its
/// interchange form with the store's own texts of some columns (`native`) beside it. What no change
/// reaches keeps its spelling. `None` where the changes do not apply.
pub fn overwritten_texts(doc: &str, native: Option<&str>, changes: &[PathChange]) -> Option<(String, Option<String>)> {
    let Some(native) = native else { return Some((edit_json_text(doc, changes).ok()?, None)) };
    let mut value = Value::from_interchange(doc).ok()?;
    apply_changes(&mut value, changes).ok()?;
    let texts = Value::from_json(native).ok()?;
    let kept = texts.as_object()?.iter().filter_map(|(column, text)| {
        let of_column = |change: &&PathChange| change.path.is_root() || change.path.top_level() == Some(column);
        let here: Vec<&PathChange> = changes.iter().filter(of_column).collect();
        let text = match here.as_slice() {
            [] => text.clone(),
            here => Value::from(edited_column(text.as_str()?, here, value.get(column)?)?),
        };
        Some((column.clone(), text))
    });
    let kept: Object = kept.collect();
    Some((value.to_interchange(), Some(Value::Object(kept).to_json())))
}

/// The text of a column in which something was overwritten, if it still says what the document says: any
/// other could hold what is to go.
fn edited_column(text: &str, changes: &[&PathChange], now: &Value) -> Option<String> {
    let inside = changes.iter().map(|change| {
        let steps = change.path.steps().get(1..).filter(|steps| !steps.is_empty())?;
        Some(PathChange { path: FieldPath::from_steps(steps.to_vec()), edit: change.edit.clone() })
    });
    let inside: Vec<PathChange> = inside.collect::<Option<_>>()?;
    let text = edit_json_text(text, &inside).ok()?;
    same(&Value::from_json(&text).ok()?, now).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Edit;

    fn mark(path: &str) -> Vec<PathChange> {
        vec![PathChange { path: path.parse().expect("a path"), edit: Edit::Set(Value::from("[REDACTED]")) }]
    }

    #[test]
    fn the_text_of_a_document_is_changed_in_one_place_and_nowhere_else() {
        let (doc, native) =
            overwritten_texts(r#"{ "n": 1.50,  "key": "s3cret" }"#, None, &mark("key")).expect("applies");
        assert_eq!(doc, r#"{ "n": 1.50,  "key": "[REDACTED]" }"#);
        assert_eq!(native, None);
        assert!(overwritten_texts("{}", None, &mark("a.b")).is_none_or(|(doc, _)| doc.contains("REDACTED")));
    }

    #[test]
    fn texts_of_columns_do_not_keep_what_is_overwritten() {
        let row = r#"{"body":{"n":1.5,"key":"s3cret"},"at":"x","plain":"s3cret"}"#;
        let native = r#"{"body":"{ \"n\": 1.50, \"key\": \"s3cret\" }","at":"(x)","plain":"<s3cret>"}"#;
        let (doc, texts) = overwritten_texts(row, Some(native), &mark("body.key")).expect("applies");
        assert!(!doc.contains(r#""key":"s3cret""#), "{doc}");
        let texts = Value::from_json(&texts.expect("texts")).expect("JSON");
        assert_eq!(texts.get("body").and_then(Value::as_str), Some(r#"{ "n": 1.50, "key": "[REDACTED]" }"#));
        assert_eq!(texts.get("at").and_then(Value::as_str), Some("(x)"));
        // A whole column, and one whose text is no JSON, lose their texts.
        let (doc, texts) = overwritten_texts(row, Some(native), &mark("plain")).expect("applies");
        assert!(!format!("{doc}{texts:?}").contains("<s3cret>"));
        let (_, texts) =
            overwritten_texts(r#"{"list":["a","s3cret"]}"#, Some(r#"{"list":"{a,s3cret}"}"#), &mark("list[1]"))
                .expect("applies");
        assert_eq!(texts.as_deref(), Some("{}"));
    }

    #[test]
    fn the_digest_depends_on_each_part_and_is_never_shown() {
        let doc = Value::from_json(r#"{"a":1}"#).expect("JSON");
        let digest = StoredDigest::of(DocState::Present, "m", Some(&doc));
        assert_eq!(digest, StoredDigest::of(DocState::Present, "m", Some(&doc.clone())));
        assert_ne!(digest, StoredDigest::of(DocState::Redacted, "m", Some(&doc)));
        assert_ne!(digest, StoredDigest::of(DocState::Present, "n", Some(&doc)));
        assert_ne!(digest, StoredDigest::of(DocState::Present, "m", None));
        assert_eq!(format!("{digest:?}"), "<digest>");
    }
}
