//! Canonical bytes and the oid, streamed into the hash without building a tree.
//!
//! The form is RFC 8785 (JCS) after this preparation: members that are null dropped, keys and
//! strings in NFC, numbers as the decimal digits that they denote, extended values as their
//! canonical Extended JSON object, and an object with a `$` member as `{"$literal": {…}}`.
//! `docs/entry-format.md` has every rule; `tests/vectors/canonical.json` fixes the bytes.

use std::borrow::Cow;
use std::cell::RefCell;
use std::cmp::Ordering;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest, Sha256};

use super::extended::sorted_letters;
use super::field_path::{FieldPath, Step};
use super::field_policy::{FieldPolicy, PolicyCursor, Treatment};
use super::oid::{Oid, to_hex};
use super::parse::MAX_DEPTH;
use super::text::{nfc, utf16_cmp, write_escaped};
use super::value::{Extended, Object, Value};

/// The Unicode version of the normalization, part of the format version.
///
/// Normalization of assigned code points never changes; a code point that a later version assigns
/// counts as not assigned until this constant, and with it the format version, moves.
pub const UNICODE_VERSION: (u8, u8, u8) = (18, 0, 0);

const _: () = {
    let (major, minor, update) = unicode_normalization::UNICODE_VERSION;
    let here = UNICODE_VERSION;
    assert!(major == here.0 && minor == here.1 && update == here.2, "the dependency has another Unicode version");
};

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
    Writer::new(&mut out, None).document(doc, policy)?;
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
    BUFFER.with_borrow_mut(|buffer| {
        buffer.clear();
        let mut hasher = Sha256::new();
        Writer::new(buffer, Some(&mut hasher)).document(doc, policy)?;
        hasher.update(&buffer);
        buffer.shrink_to(2 * FLUSH_AT);
        Ok(Oid::from_bytes(hasher.finalize().into()))
    })
}

thread_local! {
    /// One buffer a thread: small documents are hashed by the ten thousand, and an allocation of
    /// this size each time costs as much as the hash.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(Vec::with_capacity(FLUSH_AT + 4096));
}

/// Writes the canonical form of an extended value that stands in `depth` arrays and objects.
pub(super) fn write_extended(value: &Extended, depth: usize, out: &mut Vec<u8>) -> Result<(), CanonicalProblem> {
    // Hardly one of them has members.
    Writer { out, sink: None, members: Vec::new() }.extended(value, depth).map_err(|(problem, _)| problem)
}

/// Returns whether two values are the same in canonical form (a value without one equals nothing).
pub fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Null, Value::Null) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Number(a), Value::Number(b)) => a.same_digits(b),
        (Value::String(a), Value::String(b)) => a == b || nfc(a) == nfc(b),
        (Value::Array(_), Value::Array(_))
        | (Value::Object(_), Value::Object(_))
        | (Value::Extended(_), Value::Extended(_)) => {
            let policy = FieldPolicy::default();
            matches!((canonical_bytes(a, &policy), canonical_bytes(b, &policy)), (Ok(a), Ok(b)) if a == b)
        }
        _ => false,
    }
}

/// Bytes are handed to the hash in runs of about this many.
const FLUSH_AT: usize = 16 * 1024;

struct Writer<'a, 'o> {
    out: &'o mut Vec<u8>,
    sink: Option<&'o mut Sha256>,
    /// The members of all objects being written, outermost first; each object sorts its own.
    members: Vec<Member<'a>>,
}

struct Member<'a> {
    /// The name in NFC.
    key: Cow<'a, str>,
    raw: &'a str,
    value: &'a Value,
    next: PolicyCursor<'a>,
}

type Failure = (CanonicalProblem, Vec<Step>);

impl<'a, 'o> Writer<'a, 'o> {
    fn new(out: &'o mut Vec<u8>, sink: Option<&'o mut Sha256>) -> Self {
        Self { out, sink, members: Vec::with_capacity(16) }
    }

    fn document(&mut self, doc: &'a Value, policy: &'a FieldPolicy) -> Result<(), CanonicalError> {
        self.value(doc, policy.cursor(), 0).map_err(|(problem, mut steps)| {
            steps.reverse();
            CanonicalError { problem, path: FieldPath::from_steps(steps) }
        })
    }

    /// Writes a value that stands in `depth` arrays and objects.
    fn value(&mut self, value: &'a Value, cursor: PolicyCursor<'a>, depth: usize) -> Result<(), Failure> {
        match value {
            Value::Null => self.out.extend_from_slice(b"null"),
            Value::Bool(true) => self.out.extend_from_slice(b"true"),
            Value::Bool(false) => self.out.extend_from_slice(b"false"),
            Value::Number(number) => {
                number.write_canonical(self.out).map_err(|_| (CanonicalProblem::NotFinite, Vec::new()))?;
            }
            Value::String(text) => self.string(text),
            Value::Array(items) => self.array(items, cursor, depth)?,
            Value::Object(object) => self.object(object, cursor, depth)?,
            Value::Extended(extended) => self.extended(extended, depth)?,
        }
        Ok(())
    }

    fn array(&mut self, items: &'a [Value], cursor: PolicyCursor<'a>, depth: usize) -> Result<(), Failure> {
        let depth = deeper(depth)?;
        self.out.push(b'[');
        let mut first = true;
        for (index, item) in items.iter().enumerate() {
            let next = match cursor.element_unless_free(index) {
                (Treatment::Versioned, next) => next,
                _ => continue,
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

    fn object(&mut self, object: &'a Object, cursor: PolicyCursor<'a>, depth: usize) -> Result<(), Failure> {
        let depth = deeper(depth)?;
        let base = self.members.len();
        let has_dollar = self.push_members(object, cursor)?;
        if has_dollar {
            self.out.extend_from_slice(b"{\"$literal\":");
        }
        self.out.push(b'{');
        let end = self.members.len();
        for at in base..end {
            if at > base {
                self.out.push(b',');
            }
            let Member { key, raw, value, next } = &self.members[at];
            let (raw, value, next) = (*raw, *value, *next);
            write_escaped(key, self.out);
            self.out.push(b':');
            self.value(value, next, depth).map_err(|failure| under(failure, Step::Key(raw.to_owned())))?;
            self.flush();
        }
        self.members.truncate(base);
        self.out.push(b'}');
        if has_dollar {
            self.out.push(b'}');
        }
        Ok(())
    }

    /// Pushes what is hashed of an object, in order; returns whether a name starts with `$`.
    fn push_members(&mut self, object: &'a Object, cursor: PolicyCursor<'a>) -> Result<bool, Failure> {
        let base = self.members.len();
        let mut sorted = true;
        let mut has_dollar = false;
        for (raw, value) in object.members() {
            if value.is_null() {
                continue;
            }
            let next = match cursor.member_unless_free(raw) {
                (Treatment::Versioned, next) => next,
                _ => continue,
            };
            has_dollar |= raw.starts_with('$');
            let key = nfc(raw);
            sorted =
                sorted && self.members[base..].last().is_none_or(|last| utf16_cmp(&last.key, &key) == Ordering::Less);
            self.members.push(Member { key, raw, value, next });
        }
        if !sorted {
            let own = &mut self.members[base..];
            // Stable, so that of two equal names the later one in the document is reported.
            own.sort_by(|a, b| utf16_cmp(&a.key, &b.key));
            if let Some(pair) = own.windows(2).find(|pair| pair[0].key == pair[1].key) {
                return Err((CanonicalProblem::EqualKeys, vec![Step::Key(pair[1].raw.to_owned())]));
            }
        }
        Ok(has_dollar)
    }

    /// Writes the canonical Extended JSON object, its members in order. It is no level of its own.
    fn extended(&mut self, extended: &'a Extended, depth: usize) -> Result<(), Failure> {
        match extended {
            Extended::ObjectId(id) => self.raw(&[r#"{"$oid":""#, &to_hex(id), r#""}"#]),
            Extended::DateTime(ms) => {
                self.raw(&[r#"{"$date":{"$numberLong":""#, itoa::Buffer::new().format(*ms), r#""}}"#]);
            }
            Extended::Binary { subtype, bytes } => {
                let subtype = to_hex(&[*subtype]);
                self.raw(&[r#"{"$binary":{"base64":""#, &BASE64.encode(bytes), r#"","subType":""#, &subtype, r#""}}"#]);
            }
            Extended::Timestamp { time, increment } => {
                let (time, increment) = (time.to_string(), increment.to_string());
                self.raw(&[r#"{"$timestamp":{"i":"#, &increment, r#","t":"#, &time, "}}"]);
            }
            Extended::Regex { pattern, options } => {
                self.raw(&[r#"{"$regularExpression":{"options":"#]);
                self.string(&sorted_letters(options));
                self.raw(&[r#","pattern":"#]);
                self.string(pattern);
                self.raw(&["}}"]);
            }
            Extended::Code { code, scope } => {
                self.raw(&[r#"{"$code":"#]);
                self.string(code);
                if let Some(scope) = scope {
                    self.raw(&[r#","$scope":"#]);
                    self.object(scope, PolicyCursor::FREE, depth)
                        .map_err(|failure| under(failure, Step::Key("$scope".to_owned())))?;
                }
                self.raw(&["}"]);
            }
            Extended::Symbol(text) => {
                self.raw(&[r#"{"$symbol":"#]);
                self.string(text);
                self.raw(&["}"]);
            }
            Extended::DbPointer { namespace, id } => {
                self.raw(&[r#"{"$dbPointer":{"$id":{"$oid":""#, &to_hex(id), r#""},"$ref":"#]);
                self.string(namespace);
                self.raw(&["}}"]);
            }
            Extended::MinKey => self.raw(&[r#"{"$minKey":1}"#]),
            Extended::MaxKey => self.raw(&[r#"{"$maxKey":1}"#]),
            Extended::Undefined => self.raw(&[r#"{"$undefined":true}"#]),
            Extended::Store { type_name, text } => {
                self.raw(&[r#"{"$store":{"text":"#]);
                self.string(text);
                self.raw(&[r#","type":"#]);
                self.string(type_name);
                self.raw(&["}}"]);
            }
        }
        Ok(())
    }

    fn raw(&mut self, pieces: &[&str]) {
        pieces.iter().for_each(|piece| self.out.extend_from_slice(piece.as_bytes()));
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

fn deeper(depth: usize) -> Result<usize, Failure> {
    if depth < MAX_DEPTH { Ok(depth + 1) } else { Err((CanonicalProblem::TooDeep, Vec::new())) }
}

fn under((problem, mut steps): Failure, step: Step) -> Failure {
    steps.push(step);
    (problem, steps)
}
