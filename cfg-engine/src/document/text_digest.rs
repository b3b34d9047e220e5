//! The oid of a JSON text, read once and without a tree.

use std::borrow::Cow;

use super::digest::{ArraySink, ObjectSink, ValueSink, digest_object};
use super::field_policy::FieldPolicy;
use super::number::Number;
use super::oid::Oid;
use super::parse::Parser;

/// What [`digest_json`] read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextDigest<'t> {
    /// The address of the versioned part.
    pub oid: Oid,
    /// The JSON text of each watched top-level member, where the document has it.
    pub watched: Vec<Option<&'t str>>,
}

/// Returns the oid of the object that a JSON text holds, and the texts of the top-level members named
/// in `watched`; or `None` where the long way has to be taken.
///
/// # Examples
///
/// ```
/// use cfg_engine::Value;
/// use cfg_engine::document::{FieldPolicy, digest_json, oid};
/// let (text, policy) = (r#"{"n": 1.0, "id": "a"}"#, FieldPolicy::default());
/// let digest = digest_json(text, &policy, &["id".to_owned()]).expect("an ordinary document");
/// assert_eq!(digest.oid, oid(&Value::from_json(text)?, &policy)?);
/// assert_eq!(digest.watched, [Some(r#""a""#)]);
/// assert_eq!(digest_json("{broken", &policy, &[]), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn digest_json<'t>(text: &'t str, policy: &'t FieldPolicy, watched: &[String]) -> Option<TextDigest<'t>> {
    let parser = Parser::new(text);
    let mut reader = Reader { text, parser, names: watched, watched: vec![None; watched.len()] };
    reader.parser.space();
    if reader.parser.peek() != Some(b'{') {
        return None;
    }
    let oid = digest_object(policy, |object| reader.object(object))?;
    reader.parser.space();
    (reader.parser.at == text.len()).then_some(TextDigest { oid, watched: reader.watched })
}

struct Reader<'t, 'w> {
    text: &'t str,
    parser: Parser<'t>,
    names: &'w [String],
    watched: Vec<Option<&'t str>>,
}

impl<'t> Reader<'t, '_> {
    fn value(&mut self, sink: ValueSink<'_, 't>) -> Option<()> {
        match self.parser.peek()? {
            b'"' => {
                let text = self.parser.string().ok()?;
                sink.string_maybe_plain(&text, matches!(text, Cow::Borrowed(_)));
                Some(())
            }
            b'{' => sink.object(|object| self.object(object)),
            b'[' => sink.array(|array| self.array(array)),
            b't' => self.word("true").and_then(|()| sink.bool(true)),
            b'f' => self.word("false").and_then(|()| sink.bool(false)),
            b'n' => self.word("null").and_then(|()| sink.null()),
            _ => sink.number(&Number::from_json(self.parser.number_text())?),
        }
    }

    fn word(&mut self, word: &str) -> Option<()> {
        self.text.get(self.parser.at..)?.starts_with(word).then(|| self.parser.at += word.len())
    }

    fn array(&mut self, array: &mut ArraySink<'_, 't>) -> Option<()> {
        self.parser.at += 1;
        self.parser.space();
        if self.parser.peek()? == b']' {
            self.parser.at += 1;
            return Some(());
        }
        loop {
            self.parser.space();
            array.element(|value| self.value(value))?;
            self.parser.space();
            match self.parser.peek()? {
                b',' => self.parser.at += 1,
                b']' => break,
                _ => return None,
            }
        }
        self.parser.at += 1;
        Some(())
    }

    fn object(&mut self, object: &mut ObjectSink<'_, 't>) -> Option<()> {
        self.parser.at += 1;
        self.parser.space();
        if self.parser.peek()? == b'}' {
            self.parser.at += 1;
            return Some(());
        }
        loop {
            self.parser.space();
            self.member(object)?;
            self.parser.space();
            match self.parser.peek()? {
                b',' => self.parser.at += 1,
                b'}' => break,
                _ => return None,
            }
        }
        self.parser.at += 1;
        Some(())
    }

    fn member(&mut self, object: &mut ObjectSink<'_, 't>) -> Option<()> {
        if self.parser.peek()? != b'"' {
            return None;
        }
        let name = self.parser.string().ok()?;
        self.parser.space();
        if self.parser.peek()? != b':' {
            return None;
        }
        self.parser.at += 1;
        self.parser.space();
        let watched = match object.is_outermost() {
            true => self.names.iter().position(|wanted| *wanted == name),
            false => None,
        };
        let from = self.parser.at;
        let plain = matches!(name, Cow::Borrowed(_));
        object.member_maybe_plain(name, plain, |value| self.value(value))?;
        if let Some(at) = watched {
            self.watched[at] = self.text.get(from..self.parser.at);
        }
        Some(())
    }
}
