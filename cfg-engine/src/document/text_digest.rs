//! The oid of a JSON text, read once and without a tree: how `status` looks at ten thousand documents.
//!
//! The canonical bytes of a value are written as it is read; an object whose members do not stand in
//! canonical order has their bytes put in order at its end. This is the short way for ordinary
//! documents: whatever is wrong or unusual (a broken text, equal keys, a name that starts with `$`)
//! gives `None`, and the long way ([`Value::from_json`] and [`oid`]) says what it is.
//!
//! [`Value::from_json`]: super::Value::from_json
//! [`oid`]: super::oid()

use std::borrow::Cow;
use std::cell::RefCell;
use std::cmp::Ordering;

use sha2::{Digest, Sha256};

use super::field_policy::{FieldPolicy, PolicyCursor, Treatment};
use super::number::Number;
use super::oid::Oid;
use super::parse::{MAX_DEPTH, Parser};
use super::text::{nfc, utf16_cmp, write_escaped};

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
pub fn digest_json<'t>(text: &'t str, policy: &FieldPolicy, watched: &[String]) -> Option<TextDigest<'t>> {
    BUFFERS.with_borrow_mut(|(out, scratch)| {
        out.clear();
        let mut reader = Reader {
            text,
            parser: Parser::new(text),
            out,
            scratch,
            members: Vec::with_capacity(32),
            names: watched,
            watched: vec![None; watched.len()],
        };
        reader.document(policy)?;
        let watched = reader.watched;
        let oid = Oid::from_bytes(Sha256::digest(&*out).into());
        out.shrink_to(KEPT);
        scratch.shrink_to(KEPT);
        Some(TextDigest { oid, watched })
    })
}

/// How many bytes of the buffers are kept for the next document.
const KEPT: usize = 256 * 1024;

thread_local! {
    static BUFFERS: RefCell<(Vec<u8>, Vec<u8>)> = const { RefCell::new((Vec::new(), Vec::new())) };
}

struct Reader<'t, 'b> {
    text: &'t str,
    parser: Parser<'t>,
    out: &'b mut Vec<u8>,
    scratch: &'b mut Vec<u8>,
    /// The members of all objects being read, outermost first.
    members: Vec<Member<'t>>,
    names: &'b [String],
    watched: Vec<Option<&'t str>>,
}

/// A member whose bytes, with the comma behind it, are `out[start..end]`: none where it is not hashed.
struct Member<'t> {
    /// The name in NFC.
    key: Cow<'t, str>,
    start: usize,
    end: usize,
}

impl<'t> Reader<'t, '_> {
    fn document(&mut self, policy: &FieldPolicy) -> Option<()> {
        self.parser.space();
        if self.parser.peek() != Some(b'{') {
            return None;
        }
        self.object(policy.cursor(), 0)?;
        self.parser.space();
        (self.parser.at == self.text.len()).then_some(())
    }

    /// Reads a value that stands in `depth` arrays and objects.
    fn value(&mut self, cursor: PolicyCursor<'_>, depth: usize) -> Option<()> {
        match self.parser.peek()? {
            b'"' => self.string(),
            b'{' => self.object(cursor, depth),
            b'[' => self.array(cursor, depth),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' => self.word("null"),
            _ => Number::from_json(self.parser.number_text())?.write_canonical(self.out).ok(),
        }
    }

    fn word(&mut self, word: &str) -> Option<()> {
        self.text.get(self.parser.at..)?.starts_with(word).then(|| {
            self.parser.at += word.len();
            self.out.extend_from_slice(word.as_bytes());
        })
    }

    fn string(&mut self) -> Option<()> {
        let text = self.parser.string().ok()?;
        self.write_string(&text, matches!(text, Cow::Borrowed(_)));
        Some(())
    }

    /// Writes a string; nothing in one that stood in the text as it is needs an escape.
    fn write_string(&mut self, text: &str, as_it_stood: bool) {
        match nfc(text) {
            Cow::Borrowed(plain) if as_it_stood => {
                self.out.reserve(plain.len() + 3);
                self.out.push(b'"');
                self.out.extend_from_slice(plain.as_bytes());
                self.out.push(b'"');
            }
            normal => write_escaped(&normal, self.out),
        }
    }

    fn array(&mut self, cursor: PolicyCursor<'_>, depth: usize) -> Option<()> {
        let depth = deeper(depth)?;
        self.parser.at += 1;
        self.out.push(b'[');
        let body = self.out.len();
        self.parser.space();
        if self.parser.peek()? == b']' {
            self.parser.at += 1;
            self.out.push(b']');
            return Some(());
        }
        for index in 0.. {
            self.parser.space();
            let start = self.out.len();
            let (treatment, next) = cursor.element_unless_free(index);
            self.value(next, depth)?;
            self.end_of(start, treatment == Treatment::Versioned);
            self.parser.space();
            match self.parser.peek()? {
                b',' => self.parser.at += 1,
                b']' => break,
                _ => return None,
            }
        }
        self.parser.at += 1;
        self.close(body, b']');
        Some(())
    }

    fn object(&mut self, cursor: PolicyCursor<'_>, depth: usize) -> Option<()> {
        let outermost = depth == 0;
        let depth = deeper(depth)?;
        self.parser.at += 1;
        self.out.push(b'{');
        let (body, base) = (self.out.len(), self.members.len());
        let mut sorted = true;
        self.parser.space();
        if self.parser.peek()? == b'}' {
            self.parser.at += 1;
            self.out.push(b'}');
            return Some(());
        }
        loop {
            self.parser.space();
            sorted &= self.member(cursor, depth, base, outermost)?;
            self.parser.space();
            match self.parser.peek()? {
                b',' => self.parser.at += 1,
                b'}' => break,
                _ => return None,
            }
        }
        self.parser.at += 1;
        if !sorted {
            self.put_in_order(body, base)?;
        }
        self.members.truncate(base);
        self.close(body, b'}');
        Some(())
    }

    /// Reads a member; returns whether it comes after the one before.
    fn member(&mut self, cursor: PolicyCursor<'_>, depth: usize, base: usize, outermost: bool) -> Option<bool> {
        if self.parser.peek()? != b'"' {
            return None;
        }
        let raw = self.parser.string().ok()?;
        self.parser.space();
        if self.parser.peek()? != b':' {
            return None;
        }
        self.parser.at += 1;
        self.parser.space();
        let (treatment, next) = cursor.member_unless_free(&raw);
        let hashed = treatment == Treatment::Versioned && self.parser.peek()? != b'n';
        if hashed && raw.starts_with('$') {
            return None;
        }
        let start = self.out.len();
        self.write_string(&raw, matches!(raw, Cow::Borrowed(_)));
        self.out.push(b':');
        let from = self.parser.at;
        self.value(next, depth)?;
        if outermost && let Some(at) = self.names.iter().position(|name| *name == raw) {
            self.watched[at] = self.text.get(from..self.parser.at);
        }
        self.end_of(start, hashed);
        let key = match raw {
            Cow::Borrowed(raw) => nfc(raw),
            Cow::Owned(raw) => Cow::Owned(nfc(&raw).into_owned()),
        };
        let after = self.members[base..].last().is_none_or(|last| utf16_cmp(&last.key, &key) == Ordering::Less);
        self.members.push(Member { key, start, end: self.out.len() });
        Some(after)
    }

    /// Ends a member or element with its comma, or takes it back where it is not hashed.
    fn end_of(&mut self, start: usize, hashed: bool) {
        if hashed { self.out.push(b',') } else { self.out.truncate(start) }
    }

    /// Ends an array or object: the last comma makes place for the bracket.
    fn close(&mut self, body: usize, bracket: u8) {
        if self.out.len() > body {
            self.out.pop();
        }
        self.out.push(bracket);
    }

    /// Puts the bytes of the members from `base` on, which begin at `body`, into canonical order.
    fn put_in_order(&mut self, body: usize, base: usize) -> Option<()> {
        let members = &mut self.members[base..];
        members.sort_unstable_by(|a, b| utf16_cmp(&a.key, &b.key));
        if members.windows(2).any(|pair| pair[0].key == pair[1].key) {
            return None;
        }
        self.scratch.clear();
        for member in members {
            self.scratch.extend_from_slice(&self.out[member.start..member.end]);
        }
        self.out.truncate(body);
        self.out.extend_from_slice(self.scratch);
        Some(())
    }
}

fn deeper(depth: usize) -> Option<usize> {
    (depth < MAX_DEPTH).then_some(depth + 1)
}
