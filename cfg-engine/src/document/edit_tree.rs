//! A document opened for editing: only the containers on the way to an edit are taken apart, so
//! that many edits cost one pass, and text that no edit reaches stays as it was written.

use super::edit::{Edit, EditError, PathChange};
use super::field_path::{FieldPath, Step};
use super::keyed::Keyed;
use super::parse::{ParseError, ParseProblem};
use super::text::push_escaped;
use super::value::{Object, Value};

/// A place in the document being edited.
pub(crate) enum Node<'t> {
    /// JSON text that no edit has reached.
    Text(&'t str),
    /// A value that no edit has reached.
    Plain(Value),
    Object(ObjectNode<'t>),
    Array(ArrayNode<'t>),
}

/// White space around a member or element, and between the name of a member and its value.
#[derive(Clone, Copy)]
struct Layout<'t> {
    lead: &'t str,
    colon: &'t str,
}

const COMPACT: Layout<'static> = Layout { lead: "", colon: ":" };

/// White space that belongs to a container.
#[derive(Clone, Copy, Default)]
struct Frame<'t> {
    /// Before whatever stands first.
    open: &'t str,
    /// After whatever stands last.
    close: &'t str,
    /// All there is in a container that was empty.
    empty: &'t str,
}

struct Child<'t> {
    layout: Layout<'t>,
    /// The name as it was written, with its quotes.
    name: Option<&'t str>,
    value: Node<'t>,
    /// Between the value and its comma.
    tail: &'t str,
}

pub(crate) struct ObjectNode<'t> {
    members: Keyed<Child<'t>>,
    frame: Frame<'t>,
    /// How a new member is laid out.
    added: Layout<'t>,
}

pub(crate) struct ArrayNode<'t> {
    items: Vec<Child<'t>>,
    frame: Frame<'t>,
    added: Layout<'t>,
}

impl Child<'_> {
    fn plain(value: Value) -> Self {
        Child { layout: COMPACT, name: None, value: Node::Plain(value), tail: "" }
    }
}

/// Makes the changes in order.
pub(crate) fn edit(root: &mut Node<'_>, changes: &[PathChange]) -> Result<(), EditError> {
    changes.iter().try_for_each(|change| edit_one(root, change))
}

fn edit_one(root: &mut Node<'_>, change: &PathChange) -> Result<(), EditError> {
    let steps = change.path.steps();
    let Some((last, parents)) = steps.split_last() else {
        let Edit::Set(value) = &change.edit else { return Err(EditError::WholeDocument) };
        *root = Node::Plain(value.clone());
        return Ok(());
    };
    let mut at = root;
    for (depth, step) in parents.iter().enumerate() {
        at.open()?;
        let found = at.type_name();
        let child = match (step, at) {
            (Step::Key(key), Node::Object(object)) => object.members.get_mut(key).map(|child| &mut child.value),
            (Step::Index(index), Node::Array(array)) => array.items.get_mut(*index).map(|child| &mut child.value),
            _ => return unreachable_place(change, depth, step, found),
        };
        at = match (child, &change.edit) {
            (Some(child), _) => child,
            (None, Edit::Unset) => return Ok(()),
            (None, Edit::Set(_)) => return Err(EditError::MissingParent { path: prefix(change, depth + 1) }),
        };
    }
    at.open()?;
    let found = at.type_name();
    match (last, at, &change.edit) {
        (Step::Key(key), Node::Object(object), Edit::Set(value)) => object.set(key, value),
        (Step::Key(key), Node::Object(object), Edit::Unset) => {
            object.members.remove(key);
        }
        (Step::Index(index), Node::Array(array), Edit::Set(value)) => {
            let len = array.items.len();
            array.set(*index, value).ok_or_else(|| EditError::OutOfRange {
                path: prefix(change, parents.len()),
                index: *index,
                len,
            })?;
        }
        (Step::Index(index), Node::Array(array), Edit::Unset) => {
            if *index < array.items.len() {
                array.items.remove(*index);
            }
        }
        _ => return unreachable_place(change, parents.len(), last, found),
    }
    Ok(())
}

/// A value in which `step` names nothing: harmless for what is to be absent, else refused.
fn unreachable_place(change: &PathChange, depth: usize, step: &Step, found: &'static str) -> Result<(), EditError> {
    if change.edit == Edit::Unset {
        return Ok(());
    }
    let expected = match step {
        Step::Key(_) => "object",
        Step::Index(_) => "array",
    };
    Err(EditError::NotContainer { path: prefix(change, depth), expected, found })
}

fn prefix(change: &PathChange, depth: usize) -> FieldPath {
    FieldPath::from_steps(change.path.steps()[..depth].to_vec())
}

impl<'t> Node<'t> {
    fn type_name(&self) -> &'static str {
        match self {
            Node::Plain(value) => value.type_name(),
            Node::Object(_) => "object",
            Node::Array(_) => "array",
            Node::Text(text) => match text.as_bytes().first() {
                Some(b'"') => "string",
                Some(b't' | b'f') => "boolean",
                Some(b'n') => "null",
                _ => "number",
            },
        }
    }

    /// Takes a container apart.
    fn open(&mut self) -> Result<(), ParseError> {
        match self {
            Node::Plain(Value::Object(object)) => {
                let members = std::mem::take(object).into_iter().map(|(key, value)| (key, Child::plain(value)));
                *self =
                    Node::Object(ObjectNode { members: Keyed::new(members), frame: Frame::default(), added: COMPACT });
            }
            Node::Plain(Value::Array(items)) => {
                let items = std::mem::take(items).into_iter().map(Child::plain).collect();
                *self = Node::Array(ArrayNode { items, frame: Frame::default(), added: COMPACT });
            }
            Node::Text(text) => {
                let text = *text;
                match text.as_bytes().first() {
                    Some(b'{') => *self = Node::Object(Scan::new(text).object()?),
                    Some(b'[') => *self = Node::Array(Scan::new(text).array()?),
                    _ => {}
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Puts the value together again; text is for [`Node::write`].
    pub(crate) fn into_value(self) -> Value {
        match self {
            Node::Plain(value) => value,
            Node::Text(text) => Value::from_json(text).unwrap_or_default(),
            Node::Object(object) => {
                let members = object.members.into_members().map(|(key, child)| (key, child.value.into_value()));
                Value::Object(Object::from_members(members.collect()))
            }
            Node::Array(array) => Value::Array(array.items.into_iter().map(|child| child.value.into_value()).collect()),
        }
    }

    /// Appends the JSON text.
    pub(crate) fn write(&self, out: &mut String) {
        match self {
            Node::Text(text) => out.push_str(text),
            Node::Plain(value) => out.push_str(&value.to_json()),
            Node::Object(object) => {
                let members = object.members.iter().map(|(key, child)| (Some(key.as_str()), child));
                write_container(['{', '}'], object.frame, members, out);
            }
            Node::Array(array) => {
                write_container(['[', ']'], array.frame, array.items.iter().map(|child| (None, child)), out);
            }
        }
    }
}

fn write_container<'a, 't: 'a>(
    brackets: [char; 2],
    frame: Frame<'t>,
    children: impl Iterator<Item = (Option<&'a str>, &'a Child<'t>)>,
    out: &mut String,
) {
    out.push(brackets[0]);
    let mut tail = None;
    for (key, child) in children {
        match tail {
            None => out.push_str(frame.open),
            Some(tail) => {
                out.push_str(tail);
                out.push(',');
                out.push_str(child.layout.lead);
            }
        }
        if let Some(key) = key {
            match child.name {
                Some(name) => out.push_str(name),
                None => push_escaped(key, out),
            }
            out.push_str(child.layout.colon);
        }
        child.value.write(out);
        tail = Some(child.tail);
    }
    out.push_str(if tail.is_some() { frame.close } else { frame.empty });
    out.push(brackets[1]);
}

impl ObjectNode<'_> {
    fn set(&mut self, key: &str, value: &Value) {
        match self.members.get_mut(key) {
            Some(child) => child.value = Node::Plain(value.clone()),
            None => {
                let child = Child { layout: self.added, name: None, value: Node::Plain(value.clone()), tail: "" };
                self.members.push(key, child);
            }
        }
    }
}

impl ArrayNode<'_> {
    fn set(&mut self, index: usize, value: &Value) -> Option<()> {
        if index == self.items.len() {
            self.items.push(Child { layout: self.added, name: None, value: Node::Plain(Value::Null), tail: "" });
        }
        self.items.get_mut(index)?.value = Node::Plain(value.clone());
        Some(())
    }
}

/// A scan of one level of JSON text: notes where things stand and skips the values.
struct Scan<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Scan<'t> {
    fn new(text: &'t str) -> Self {
        Scan { text, at: 0 }
    }

    /// Reads the object that `text` begins with.
    fn object(mut self) -> Result<ObjectNode<'t>, ParseError> {
        let mut members: Vec<(String, Child<'t>)> = Vec::new();
        let (frame, added) = self.children(b'}', |scan, lead| {
            let name = scan.string()?;
            let key = match Value::from_json(name) {
                Ok(Value::String(key)) => key,
                _ => return Err(scan.broken()),
            };
            let start = scan.at;
            scan.space();
            scan.expect(b':')?;
            scan.space();
            let layout = Layout { lead, colon: &scan.text[start..scan.at] };
            let value = Node::Text(scan.value()?);
            let tail = scan.space();
            members.push((key, Child { layout, name: Some(name), value, tail }));
            Ok((layout, tail))
        })?;
        if let Some((_, last)) = members.last_mut() {
            last.tail = "";
        }
        Ok(ObjectNode { members: Keyed::new(members), frame, added })
    }

    /// Reads the array that `text` begins with.
    fn array(mut self) -> Result<ArrayNode<'t>, ParseError> {
        let mut items = Vec::new();
        let (frame, added) = self.children(b']', |scan, lead| {
            let layout = Layout { lead, colon: "" };
            let value = Node::Text(scan.value()?);
            let tail = scan.space();
            items.push(Child { layout, name: None, value, tail });
            Ok((layout, tail))
        })?;
        if let Some(last) = items.last_mut() {
            last.tail = "";
        }
        Ok(ArrayNode { items, frame, added })
    }

    /// Reads what stands between brackets; `child` reads one member or element with its tail.
    fn children(
        &mut self,
        end: u8,
        mut child: impl FnMut(&mut Self, &'t str) -> Result<(Layout<'t>, &'t str), ParseError>,
    ) -> Result<(Frame<'t>, Layout<'t>), ParseError> {
        self.at += 1;
        let open = self.space();
        if self.peek() == Some(end) && self.at + 1 == self.text.len() {
            return Ok((Frame { empty: open, ..Frame::default() }, COMPACT));
        }
        let mut lead = open;
        let mut count = 0;
        loop {
            let (layout, tail) = child(self, lead)?;
            count += 1;
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(byte) if byte == end && self.at + 1 == self.text.len() => {
                    let mut added = layout;
                    // `{"a": 1}` has no second member to copy; who writes ": " writes ", " too.
                    if count == 1 && layout.lead.is_empty() && layout.colon.ends_with(' ') {
                        added.lead = " ";
                    }
                    return Ok((Frame { open, close: tail, empty: "" }, added));
                }
                _ => return Err(self.broken()),
            }
            lead = self.space();
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn expect(&mut self, byte: u8) -> Result<(), ParseError> {
        if self.peek() != Some(byte) {
            return Err(self.broken());
        }
        self.at += 1;
        Ok(())
    }

    fn space(&mut self) -> &'t str {
        let start = self.at;
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
        &self.text[start..self.at]
    }

    /// Skips a string and returns it with its quotes.
    fn string(&mut self) -> Result<&'t str, ParseError> {
        let start = self.at;
        self.expect(b'"')?;
        let bytes = self.text.as_bytes();
        while let Some(n) = memchr::memchr2(b'"', b'\\', bytes.get(self.at..).unwrap_or_default()) {
            self.at += n;
            if bytes[self.at] == b'"' {
                self.at += 1;
                return Ok(&self.text[start..self.at]);
            }
            self.at += 2;
        }
        Err(self.broken())
    }

    /// Skips a value and returns it.
    fn value(&mut self) -> Result<&'t str, ParseError> {
        let start = self.at;
        let mut depth = 0usize;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.string()?;
                }
                Some(b'{' | b'[') => {
                    depth += 1;
                    self.at += 1;
                }
                Some(b'}' | b']') if depth > 0 => {
                    depth -= 1;
                    self.at += 1;
                }
                Some(b',' | b':' | b' ' | b'\n' | b'\r' | b'\t') if depth > 0 => self.at += 1,
                Some(b'-' | b'+' | b'.' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z') => {
                    while let Some(b'-' | b'+' | b'.' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z') = self.peek() {
                        self.at += 1;
                    }
                }
                _ => return Err(self.broken()),
            }
            if depth == 0 {
                return Ok(&self.text[start..self.at]);
            }
        }
    }

    /// Says what the parser has against this text.
    fn broken(&self) -> ParseError {
        Value::from_json(self.text).err().unwrap_or(ParseError {
            problem: ParseProblem::Expected("a value"),
            line: 1,
            column: 1,
            offset: self.at,
        })
    }
}
