//! Canonical bytes and the oid, streamed into the hash without building a tree.
//!
//! The form is RFC 8785 (JCS) after this preparation: members that are null dropped, keys and
//! strings in NFC, numbers as the decimal digits that they denote, extended values as their
//! canonical Extended JSON object, and an object with a `$` member as `{"$literal": {…}}`.
//! `docs/entry-format.md` has every rule; `tests/vectors/canonical.json` fixes the bytes.

use std::borrow::Cow;
use std::cmp::Ordering;

use sha2::{Digest, Sha256};
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

use super::field_path::{FieldPath, Step};
use super::field_policy::{FieldPolicy, PolicyCursor, Treatment};
use super::oid::Oid;
use super::parse::MAX_DEPTH;
use super::value::{Object, Value};

/// Why a document has no canonical form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem} at {}", place(path))]
pub struct CanonicalError {
    /// What is wrong.
    pub problem: CanonicalProblem,
    /// Where.
    pub path: FieldPath,
}

/// What can keep a document from having a canonical form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CanonicalProblem {
    /// NaN or an infinity, of any width.
    #[error("NaN or an infinity")]
    NotFinite,
    /// Two keys of one object are equal after NFC.
    #[error("two keys that are equal after Unicode normalization")]
    EqualKeys,
    /// Nesting beyond the limit.
    #[error("nesting deeper than {MAX_DEPTH} levels")]
    TooDeep,
}

fn place(path: &FieldPath) -> String {
    if path.is_root() { "the top level".to_owned() } else { path.to_string() }
}

/// Returns the canonical bytes of the versioned part of `doc`.
///
/// # Errors
///
/// [`CanonicalError`] with the path.
///
/// # Examples
///
/// ```
/// use cfg_engine::Value;
/// use cfg_engine::document::{FieldPolicy, canonical_bytes};
/// let doc = Value::from_json(r#"{"b": 1.0, "a": null}"#)?;
/// assert_eq!(canonical_bytes(&doc, &FieldPolicy::default())?, br#"{"b":1}"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn canonical_bytes(doc: &Value, policy: &FieldPolicy) -> Result<Vec<u8>, CanonicalError> {
    let mut out = Vec::new();
    Writer { out: &mut out, sink: None }.document(doc, policy)?;
    Ok(out)
}

/// Returns the oid of the versioned part of `doc`.
///
/// # Errors
///
/// [`CanonicalError`] with the path.
///
/// # Examples
///
/// ```
/// use cfg_engine::Value;
/// use cfg_engine::document::{FieldPolicy, oid};
/// let policy = FieldPolicy::default();
/// assert_eq!(oid(&Value::from(1), &policy)?, oid(&Value::from(1.0), &policy)?);
/// # Ok::<(), cfg_engine::document::CanonicalError>(())
/// ```
pub fn oid(doc: &Value, policy: &FieldPolicy) -> Result<Oid, CanonicalError> {
    let mut hasher = Sha256::new();
    let mut buffer = Vec::with_capacity(FLUSH_AT + 4096);
    Writer { out: &mut buffer, sink: Some(&mut hasher) }.document(doc, policy)?;
    hasher.update(&buffer);
    Ok(Oid::from_bytes(hasher.finalize().into()))
}

/// Returns whether two values are the same in canonical form (a value without one equals nothing).
pub fn same(a: &Value, b: &Value) -> bool {
    if a == b {
        return canonical_is_certain(a);
    }
    let policy = FieldPolicy::default();
    match (a, b) {
        (Value::String(_) | Value::Bool(_) | Value::Null, Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            false
        }
        (Value::Number(a), Value::Number(b)) => a.same_digits(b),
        _ => matches!((canonical_bytes(a, &policy), canonical_bytes(b, &policy)), (Ok(a), Ok(b)) if a == b),
    }
}

/// Equal trees are equal in canonical form unless they have none; NaN is never equal to itself.
fn canonical_is_certain(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_finite(),
        Value::Array(_) | Value::Object(_) => canonical_bytes(value, &FieldPolicy::default()).is_ok(),
        _ => true,
    }
}

/// Bytes are handed to the hash in runs of about this many.
const FLUSH_AT: usize = 16 * 1024;

struct Writer<'a> {
    out: &'a mut Vec<u8>,
    sink: Option<&'a mut Sha256>,
}

type Failure = (CanonicalProblem, Vec<Step>);

impl Writer<'_> {
    fn document(&mut self, doc: &Value, policy: &FieldPolicy) -> Result<(), CanonicalError> {
        self.value(doc, policy.cursor(), 0).map_err(|(problem, mut steps)| {
            steps.reverse();
            CanonicalError { problem, path: FieldPath::from_steps(steps) }
        })
    }

    fn value(&mut self, value: &Value, cursor: PolicyCursor<'_>, depth: usize) -> Result<(), Failure> {
        match value {
            Value::Null => self.out.extend_from_slice(b"null"),
            Value::Bool(true) => self.out.extend_from_slice(b"true"),
            Value::Bool(false) => self.out.extend_from_slice(b"false"),
            Value::Number(number) => {
                number.write_canonical(self.out).map_err(|_| (CanonicalProblem::NotFinite, Vec::new()))?;
            }
            Value::String(text) => self.string(text),
            Value::Array(items) => self.array(items, cursor, depth + 1)?,
            Value::Object(object) => self.object(object, cursor, depth + 1, Dollar::Escape)?,
            Value::Extended(extended) => {
                self.object(&extended.to_wrapper(), PolicyCursor::FREE, depth + 1, Dollar::Wrapper)?;
            }
        }
        Ok(())
    }

    fn array(&mut self, items: &[Value], cursor: PolicyCursor<'_>, depth: usize) -> Result<(), Failure> {
        if depth > MAX_DEPTH {
            return Err((CanonicalProblem::TooDeep, Vec::new()));
        }
        self.out.push(b'[');
        let mut first = true;
        for (index, item) in items.iter().enumerate() {
            let next = if cursor.is_free() {
                PolicyCursor::FREE
            } else {
                match cursor.element(index) {
                    (Treatment::Versioned, next) => next,
                    _ => continue,
                }
            };
            if !first {
                self.out.push(b',');
            }
            first = false;
            self.value(item, next, depth).map_err(|failure| under(failure, Step::Index(index)))?;
            self.flush();
        }
        self.out.push(b']');
        Ok(())
    }

    fn object(
        &mut self,
        object: &Object,
        cursor: PolicyCursor<'_>,
        depth: usize,
        dollar: Dollar,
    ) -> Result<(), Failure> {
        if depth > MAX_DEPTH {
            return Err((CanonicalProblem::TooDeep, Vec::new()));
        }
        let mut members: Vec<Member<'_>> = Vec::with_capacity(object.len());
        let mut sorted = true;
        let mut escape = false;
        for (key, value) in object.members() {
            if value.is_null() {
                continue;
            }
            let next = if cursor.is_free() {
                PolicyCursor::FREE
            } else {
                match cursor.member(key) {
                    (Treatment::Versioned, next) => next,
                    _ => continue,
                }
            };
            escape |= key.starts_with('$');
            let member = Member { key: nfc(key), raw: key, value, next };
            if let Some(last) = members.last() {
                sorted &= utf16_cmp(&last.key, &member.key) == Ordering::Less;
            }
            members.push(member);
        }
        if !sorted {
            members.sort_unstable_by(|a, b| utf16_cmp(&a.key, &b.key));
            if let Some(pair) = members.windows(2).find(|pair| pair[0].key == pair[1].key) {
                return Err((CanonicalProblem::EqualKeys, vec![Step::Key(pair[1].raw.to_owned())]));
            }
        }
        let escape = escape && matches!(dollar, Dollar::Escape);
        if escape {
            self.out.extend_from_slice(b"{\"$literal\":");
        }
        self.out.push(b'{');
        for (n, member) in members.iter().enumerate() {
            if n > 0 {
                self.out.push(b',');
            }
            write_escaped(&member.key, self.out);
            self.out.push(b':');
            let written = match (dollar, member.value) {
                // The parts of a wrapper are its own; only a scope is a document of the user's.
                (Dollar::Wrapper, Value::Object(inner)) if member.raw != "$scope" => {
                    self.object(inner, PolicyCursor::FREE, depth + 1, Dollar::Wrapper)
                }
                _ => self.value(member.value, member.next, depth),
            };
            written.map_err(|failure| under(failure, Step::Key(member.raw.to_owned())))?;
            self.flush();
        }
        self.out.push(b'}');
        if escape {
            self.out.push(b'}');
        }
        Ok(())
    }

    fn string(&mut self, text: &str) {
        write_escaped(&nfc(text), self.out);
    }

    fn flush(&mut self) {
        if self.out.len() >= FLUSH_AT
            && let Some(hasher) = &mut self.sink
        {
            hasher.update(&self.out);
            self.out.clear();
        }
    }
}

#[derive(Clone, Copy)]
enum Dollar {
    Escape,
    Wrapper,
}

struct Member<'a> {
    key: Cow<'a, str>,
    raw: &'a str,
    value: &'a Value,
    next: PolicyCursor<'a>,
}

fn under((problem, mut steps): Failure, step: Step) -> Failure {
    steps.push(step);
    (problem, steps)
}

/// Returns `text` in Unicode Normalization Form C.
pub(crate) fn nfc(text: &str) -> Cow<'_, str> {
    if text.is_ascii() || is_nfc_quick(text.chars()) == IsNormalized::Yes {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.nfc().collect())
}

/// Compares by UTF-16 code units, as RFC 8785 §3.2.3 orders members.
pub(crate) fn utf16_cmp(a: &str, b: &str) -> Ordering {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let common = a.iter().zip(b).position(|(x, y)| x != y);
    let Some(at) = common else { return a.len().cmp(&b.len()) };
    let (x, y) = (a[at], b[at]);
    // UTF-8 orders as code points do. UTF-16 differs in one way: U+E000 to U+FFFF (lead bytes EE
    // and EF) come after the surrogates, that is after every code point beyond U+FFFF (F0 to F4).
    if x >= 0xEE && y >= 0xEE && (x >= 0xF0) != (y >= 0xF0) {
        return y.cmp(&x);
    }
    x.cmp(&y)
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// Returns whether any of eight bytes is a control character, a quote or a backslash.
fn needs_escape(word: u64) -> bool {
    let below = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
    let quote = word ^ (ONES * u64::from(b'"'));
    let slash = word ^ (ONES * u64::from(b'\\'));
    let quote = quote.wrapping_sub(ONES) & !quote & HIGH;
    let slash = slash.wrapping_sub(ONES) & !slash & HIGH;
    (below | quote | slash) != 0
}

/// Appends `text` as a JSON string with the escapes of RFC 8785 §3.2.2.2.
pub(crate) fn write_escaped(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    let mut start = 0;
    let mut at = 0;
    while at < bytes.len() {
        if let Some(chunk) = bytes.get(at..at + 8).and_then(|c| <[u8; 8]>::try_from(c).ok())
            && !needs_escape(u64::from_le_bytes(chunk))
        {
            at += 8;
            continue;
        }
        let byte = bytes[at];
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            at += 1;
            continue;
        }
        out.extend_from_slice(&bytes[start..at]);
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x09 => out.extend_from_slice(b"\\t"),
            0x0a => out.extend_from_slice(b"\\n"),
            0x0c => out.extend_from_slice(b"\\f"),
            0x0d => out.extend_from_slice(b"\\r"),
            other => {
                const DIGITS: &[u8; 16] = b"0123456789abcdef";
                out.extend_from_slice(b"\\u00");
                out.push(DIGITS[usize::from(other >> 4)]);
                out.push(DIGITS[usize::from(other & 15)]);
            }
        }
        at += 1;
        start = at;
    }
    out.extend_from_slice(&bytes[start..]);
    out.push(b'"');
}
