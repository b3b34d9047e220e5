//! The oid of a document that is read once and never becomes a tree: how `status` looks at ten thousand.
//!
//! The canonical bytes of a value are written as it comes by; an object whose members do not stand in
//! canonical order has their bytes put in order at its end. This is the short way for ordinary documents:
//! whatever is wrong or unusual (equal names, a name that starts with `$`, a number that is not finite)
//! gives `None`, and the long way ([`oid`]) says what it is.
//!
//! [`oid`]: super::oid()

use std::borrow::Cow;
use std::cell::Cell;
use std::cmp::Ordering;

use sha2::{Digest, Sha256};

use super::canonical::write_extended;
use super::field_policy::{FieldPolicy, PolicyCursor, Treatment};
use super::number::Number;
use super::oid::Oid;
use super::parse::MAX_DEPTH;
use super::text::{nfc, utf16_cmp, write_escaped};
use super::value::Extended;

/// Returns the oid of the object whose members `read` hands over, or `None` where the long way has to be
/// taken: where `read` gives up, and for what is unusual.
///
/// # Examples
///
/// ```
/// use cfg_engine::Value;
/// use cfg_engine::document::{FieldPolicy, Number, digest_object, oid};
/// let policy = FieldPolicy::default();
/// let digest = digest_object(&policy, |object| {
///     object.member("n", |value| value.number(&Number::Double(1.0)))?;
///     object.member("model", |value| value.string("small"))
/// });
/// assert_eq!(digest, Some(oid(&Value::from_json(r#"{"model": "small", "n": 1}"#)?, &policy)?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn digest_object<'t>(
    policy: &'t FieldPolicy,
    read: impl FnOnce(&mut ObjectSink<'_, 't>) -> Option<()>,
) -> Option<Oid> {
    let (mut out, mut scratch) = BUFFERS.take();
    out.clear();
    let mut writer = Writer { out, scratch, members: Vec::with_capacity(32) };
    let whole = ValueSink { writer: &mut writer, cursor: policy.cursor(), depth: 0 }.object(read);
    let oid = whole.map(|()| Oid::from_bytes(Sha256::digest(&writer.out).into()));
    Writer { out, scratch, .. } = writer;
    out.shrink_to(KEPT);
    scratch.shrink_to(KEPT);
    BUFFERS.set((out, scratch));
    oid
}

/// How many bytes of the buffers are kept for the next document.
const KEPT: usize = 256 * 1024;

thread_local! {
    static BUFFERS: Cell<(Vec<u8>, Vec<u8>)> = const { Cell::new((Vec::new(), Vec::new())) };
}

#[derive(Debug)]
struct Writer<'t> {
    out: Vec<u8>,
    scratch: Vec<u8>,
    /// The members of all objects being read, outermost first.
    members: Vec<Member<'t>>,
}

/// A member whose bytes, with the comma behind it, are `out[start..end]`: none where it is not hashed.
#[derive(Debug)]
struct Member<'t> {
    /// The name in NFC.
    key: Cow<'t, str>,
    start: usize,
    end: usize,
}

/// Takes one value.
#[derive(Debug)]
pub struct ValueSink<'s, 't> {
    writer: &'s mut Writer<'t>,
    cursor: PolicyCursor<'t>,
    /// In how many arrays and objects it stands.
    depth: usize,
}

impl<'t> ValueSink<'_, 't> {
    /// Takes null.
    pub fn null(self) -> Option<()> {
        self.writer.out.extend_from_slice(b"null");
        Some(())
    }

    /// Takes true or false.
    pub fn bool(self, value: bool) -> Option<()> {
        self.writer.out.extend_from_slice(if value { b"true" } else { b"false" });
        Some(())
    }

    /// Takes a number; `None` for one that is not finite.
    pub fn number(self, number: &Number) -> Option<()> {
        number.write_canonical(&mut self.writer.out).ok()
    }

    /// Takes a text.
    pub fn string(self, text: &str) -> Option<()> {
        self.writer.string(text, false);
        Some(())
    }

    /// Takes a text; `plain` says that nothing in it needs an escape.
    pub(super) fn string_maybe_plain(self, text: &str, plain: bool) {
        self.writer.string(text, plain);
    }

    /// Takes a value of a type that JSON does not have.
    pub fn extended(self, value: &Extended) -> Option<()> {
        write_extended(value, self.depth, &mut self.writer.out).ok()
    }

    /// Takes the elements that `read` hands over.
    pub fn array(self, read: impl FnOnce(&mut ArraySink<'_, 't>) -> Option<()>) -> Option<()> {
        let depth = deeper(self.depth)?;
        self.writer.out.push(b'[');
        let body = self.writer.out.len();
        let mut array = ArraySink { writer: self.writer, cursor: self.cursor, depth, index: 0 };
        read(&mut array)?;
        array.writer.close(body, b']');
        Some(())
    }

    /// Takes the members that `read` hands over.
    pub fn object(self, read: impl FnOnce(&mut ObjectSink<'_, 't>) -> Option<()>) -> Option<()> {
        let depth = deeper(self.depth)?;
        self.writer.out.push(b'{');
        let (body, base) = (self.writer.out.len(), self.writer.members.len());
        let mut object = ObjectSink { writer: self.writer, cursor: self.cursor, depth, base, sorted: true };
        read(&mut object)?;
        let ObjectSink { writer, sorted, .. } = object;
        if !sorted {
            writer.put_in_order(body, base)?;
        }
        writer.members.truncate(base);
        writer.close(body, b'}');
        Some(())
    }
}

/// Takes the elements of an array.
#[derive(Debug)]
pub struct ArraySink<'s, 't> {
    writer: &'s mut Writer<'t>,
    cursor: PolicyCursor<'t>,
    depth: usize,
    index: usize,
}

impl<'t> ArraySink<'_, 't> {
    /// Takes the next element, which `write` hands over.
    pub fn element(&mut self, write: impl FnOnce(ValueSink<'_, 't>) -> Option<()>) -> Option<()> {
        let start = self.writer.out.len();
        let (treatment, next) = self.cursor.element_unless_free(self.index);
        self.index += 1;
        write(ValueSink { writer: self.writer, cursor: next, depth: self.depth })?;
        self.writer.end_of(start, treatment == Treatment::Versioned);
        Some(())
    }
}

/// Takes the members of an object.
#[derive(Debug)]
pub struct ObjectSink<'s, 't> {
    writer: &'s mut Writer<'t>,
    cursor: PolicyCursor<'t>,
    depth: usize,
    /// Where its own members begin.
    base: usize,
    sorted: bool,
}

impl<'t> ObjectSink<'_, 't> {
    /// Takes the next member, whose value `write` hands over.
    pub fn member(&mut self, name: &'t str, write: impl FnOnce(ValueSink<'_, 't>) -> Option<()>) -> Option<()> {
        self.member_maybe_plain(Cow::Borrowed(name), false, write)
    }

    /// Takes the next member; `plain` says that nothing in its name needs an escape.
    pub(super) fn member_maybe_plain(
        &mut self,
        name: Cow<'t, str>,
        plain: bool,
        write: impl FnOnce(ValueSink<'_, 't>) -> Option<()>,
    ) -> Option<()> {
        let (treatment, next) = self.cursor.member_unless_free(&name);
        let start = self.writer.out.len();
        self.writer.string(&name, plain);
        self.writer.out.push(b':');
        let from = self.writer.out.len();
        write(ValueSink { writer: self.writer, cursor: next, depth: self.depth })?;
        // A member that is null counts as absent.
        let hashed = treatment == Treatment::Versioned && self.writer.out.get(from..) != Some(b"null");
        if hashed && name.starts_with('$') {
            return None;
        }
        self.writer.end_of(start, hashed);
        let key = match name {
            Cow::Borrowed(name) => nfc(name),
            Cow::Owned(name) => Cow::Owned(nfc(&name).into_owned()),
        };
        let own = self.writer.members.get(self.base..).unwrap_or_default();
        self.sorted &= own.last().is_none_or(|last| utf16_cmp(&last.key, &key) == Ordering::Less);
        let end = self.writer.out.len();
        self.writer.members.push(Member { key, start, end });
        Some(())
    }

    /// How deep what stands in this object is.
    pub(super) fn is_outermost(&self) -> bool {
        self.depth == 1
    }
}

impl Writer<'_> {
    /// Writes a string; nothing in one that is `plain` needs an escape.
    fn string(&mut self, text: &str, plain: bool) {
        match nfc(text) {
            Cow::Borrowed(text) if plain => {
                self.out.reserve(text.len() + 3);
                self.out.push(b'"');
                self.out.extend_from_slice(text.as_bytes());
                self.out.push(b'"');
            }
            normal => write_escaped(&normal, &mut self.out),
        }
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
        self.out.extend_from_slice(&self.scratch);
        Some(())
    }
}

fn deeper(depth: usize) -> Option<usize> {
    (depth < MAX_DEPTH).then_some(depth + 1)
}
