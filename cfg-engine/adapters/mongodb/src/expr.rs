//! Aggregation expressions: what compares a live document with its image, and what edits it in place.

use bson::raw::{RawArrayBuf, RawBsonRef, RawDocument, RawDocumentBuf, cstr};
use bson::{RawBson, rawdoc};
use cfg_engine::Value;
use cfg_engine::document::{Extended, FieldPath, FieldPolicy, Number, Object, PathChange, Step, Treatment};

use crate::table::LiveTable;
use crate::values::{self, Misfit, by_name, write};

/// Integers beyond this are not the same number as a double that the server thinks equal.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// A document larger than this is compared here and not sent to the server for it.
const MAX_COMPARED_BYTES: usize = 512 * 1024;

fn root() -> RawBson {
    RawBson::String("$$ROOT".to_owned())
}

fn literal(value: impl Into<RawBson>) -> RawBson {
    let mut doc = RawDocumentBuf::new();
    doc.append(cstr!("$literal"), value.into());
    RawBson::Document(doc)
}

fn array(items: impl IntoIterator<Item = RawBson>) -> RawBson {
    RawBson::Array(items.into_iter().collect::<RawArrayBuf>())
}

fn equal(a: RawBson, b: RawBson) -> RawBson {
    RawBson::Document(rawdoc! { "$eq": array([a, b]) })
}

fn member(input: RawBson, name: &str) -> RawBson {
    RawBson::Document(rawdoc! { "$getField": { "field": literal(name.to_owned()), "input": input } })
}

fn element(input: RawBson, index: usize) -> RawBson {
    let index = i32::try_from(index).unwrap_or(i32::MAX);
    RawBson::Document(rawdoc! { "$arrayElemAt": array([input, RawBson::Int32(index)]) })
}

fn at(path: &FieldPath) -> RawBson {
    path.steps().iter().fold(root(), |input, step| match step {
        Step::Key(name) => member(input, name),
        Step::Index(index) => element(input, *index),
    })
}

fn without_field(input: RawBson, name: &str) -> RawBson {
    RawBson::Document(rawdoc! { "$unsetField": { "field": literal(name.to_owned()), "input": input } })
}

fn with_field(input: RawBson, name: &str, value: RawBson) -> RawBson {
    RawBson::Document(rawdoc! { "$setField": { "field": literal(name.to_owned()), "input": input, "value": value } })
}

fn type_is(input: RawBson, name: &str) -> RawBson {
    equal(RawBson::Document(rawdoc! { "$type": input }), RawBson::String(name.to_owned()))
}

// --- comparing -----------------------------------------------------------------------------------

/// Where a document has values that are not versioned.
#[derive(Debug, Default)]
struct Unversioned {
    all: bool,
    members: Vec<(String, Unversioned)>,
    elements: Option<Box<Unversioned>>,
}

impl Unversioned {
    /// Collects the places in one document. `None` where a rule speaks of a single array element: what it
    /// leaves out cannot be told apart by an expression about all of them.
    fn of(value: &Value, policy: &FieldPolicy) -> Option<Self> {
        let mut found = Unversioned::default();
        for path in policy.ignored_paths(value).into_iter().chain(policy.secret_paths(value)) {
            let any = |step: &Step| match step {
                Step::Index(_) => Step::Index(usize::MAX),
                key => key.clone(),
            };
            let of_all = FieldPath::from_steps(path.steps().iter().map(any).collect());
            if policy.treatment(&of_all) == Treatment::Versioned || !found.add(path.steps()) {
                return None;
            }
        }
        Some(found)
    }

    fn add(&mut self, steps: &[Step]) -> bool {
        match steps {
            [] => self.all = true,
            // Elements that are left out as a whole.
            [Step::Index(_)] => return false,
            [Step::Key(name), rest @ ..] => {
                let known = self.members.iter().position(|(key, _)| key == name);
                let known = known.unwrap_or_else(|| {
                    self.members.push((name.clone(), Unversioned::default()));
                    self.members.len() - 1
                });
                return self.members[known].1.add(rest);
            }
            [Step::Index(_), rest @ ..] => return self.elements.get_or_insert_default().add(rest),
        }
        true
    }

    fn prune_document(&self, doc: &RawDocument) -> RawDocumentBuf {
        let mut kept = RawDocumentBuf::new();
        for (name, value) in doc.iter().filter_map(Result::ok) {
            match self.members.iter().find(|(key, _)| key == name.as_str()) {
                Some((_, below)) if below.all => {}
                Some((_, below)) => kept.append(name, below.prune_value(value)),
                None => kept.append(name, value),
            }
        }
        kept
    }

    fn prune_value(&self, value: RawBsonRef<'_>) -> RawBson {
        match (value, &self.elements) {
            (RawBsonRef::Document(doc), _) => RawBson::Document(self.prune_document(doc)),
            (RawBsonRef::Array(items), Some(elements)) => {
                array(items.into_iter().filter_map(Result::ok).map(|item| elements.prune_value(item)))
            }
            (other, _) => other.into(),
        }
    }

    fn prune_object(&self, input: &RawBson, depth: usize) -> RawBson {
        self.members.iter().fold(input.clone(), |kept, (name, below)| {
            if below.all {
                without_field(kept, name)
            } else {
                with_field(kept, name, below.prune(member(input.clone(), name), depth))
            }
        })
    }

    fn prune(&self, input: RawBson, depth: usize) -> RawBson {
        let (name, variable) = (format!("v{depth}"), RawBson::String(format!("$$v{depth}")));
        let mut branches = RawArrayBuf::new();
        if !self.members.is_empty() {
            branches.push(rawdoc! {
                "case": type_is(variable.clone(), "object"),
                "then": self.prune_object(&variable, depth + 1),
            });
        }
        if let Some(elements) = &self.elements {
            let item = RawBson::String(format!("$$e{depth}"));
            branches.push(rawdoc! {
                "case": { "$isArray": array([variable.clone()]) },
                "then": { "$map": {
                    "input": variable.clone(), "as": format!("e{depth}"), "in": elements.prune(item, depth + 1),
                } },
            });
        }
        let mut variables = RawDocumentBuf::new();
        variables.append(values::key(&name).unwrap_or(cstr!("v")), input);
        RawBson::Document(rawdoc! { "$let": {
            "vars": variables, "in": { "$switch": { "branches": branches, "default": variable } },
        } })
    }
}

/// Returns an expression that is true of a live document whose versioned part is that of the image and
/// whose values at the paths written are exactly those of the image.
///
/// It may be false of such a document, and is then not what decides. It is never true of another one:
/// where the server's equality is too generous for that, there is no expression.
pub(crate) fn unmoved(
    table: &LiveTable,
    image: &RawDocument,
    seen: &Value,
    changes: &[PathChange],
    writes: &[FieldPath],
) -> Option<RawBson> {
    if image.as_bytes().len() > MAX_COMPARED_BYTES || beyond_exact(seen) {
        return None;
    }
    let policy = &table.config.policy;
    let mut unversioned = Unversioned::of(seen, policy)?;
    if table.hides_id {
        unversioned.add(&[Step::Key("_id".to_owned())]);
    }
    let (there, wanted) = (unversioned.prune_object(&root(), 0), unversioned.prune_document(image));
    let size = i32::try_from(wanted.as_bytes().len()).ok()?;
    let mut terms = RawArrayBuf::new();
    // Numbers are equal in every width, and so are a string and a symbol; their sizes differ, mostly.
    terms.push(equal(RawBson::Document(rawdoc! { "$bsonSize": there.clone() }), RawBson::Int32(size)));
    terms.push(equal(there, literal(wanted)));
    for path in changes.iter().map(|change| &change.path).chain(writes) {
        if path.is_root() {
            return None;
        }
        exactly(&mut terms, path, seen, policy)?;
    }
    Some(RawBson::Document(rawdoc! { "$and": terms }))
}

/// Returns an expression that is true of a document that equals another one, as far as the server can tell.
pub(crate) fn is_exactly(document: &RawDocument) -> RawBson {
    let size = RawBson::Int32(i32::try_from(document.as_bytes().len()).unwrap_or(i32::MAX));
    let same_size = equal(RawBson::Document(rawdoc! { "$bsonSize": root() }), size);
    RawBson::Document(rawdoc! { "$and": array([same_size, equal(root(), literal(document.to_owned()))]) })
}

/// Adds that what is at `path` is exactly what was seen there.
fn exactly(terms: &mut RawArrayBuf, path: &FieldPath, seen: &Value, policy: &FieldPolicy) -> Option<()> {
    let old = path.get(seen);
    let versioned = policy.treatment(path) == Treatment::Versioned;
    if !versioned && path.steps().iter().any(|step| matches!(step, Step::Index(_))) {
        return None;
    }
    let below = |other: &FieldPath| other.starts_with(path);
    let mixed = policy.ignored_paths(seen).iter().chain(&policy.secret_paths(seen)).any(below);
    match old {
        None if versioned && !mixed => {}
        None => terms.push(type_is(at(path), "missing")),
        Some(old) => {
            if !versioned || mixed {
                terms.push(equal(at(path), literal(write(old).ok()?)));
            }
            let kind = match old {
                Value::Number(Number::Int32(_)) => Some("int"),
                Value::Number(Number::Int64(_)) => Some("long"),
                Value::Number(Number::Double(_)) => Some("double"),
                Value::Number(Number::Decimal128(_)) => Some("decimal"),
                Value::String(_) => Some("string"),
                _ => None,
            };
            if let Some(kind) = kind {
                terms.push(type_is(at(path), kind));
            }
        }
    }
    Some(())
}

/// Whether there is a number that the server thinks equal to another one of the same size.
fn beyond_exact(value: &Value) -> bool {
    match value {
        Value::Number(Number::Int64(n)) => n.unsigned_abs() as f64 > EXACT,
        Value::Number(Number::Double(n)) => n.abs() >= EXACT,
        Value::Array(items) => items.iter().any(beyond_exact),
        Value::Object(object) => object.iter().any(|(_, value)| beyond_exact(value)),
        _ => false,
    }
}

// --- editing -------------------------------------------------------------------------------------

/// An edit of a live document: the expression of the new one, and every place that it writes.
pub(crate) struct Rewrite {
    /// The new document, in terms of `$$ROOT`.
    pub(crate) document: RawBson,
    /// What it writes. Empty if nothing changes.
    pub(crate) writes: Vec<FieldPath>,
}

/// Returns what turns one document into another, writing only what differs.
///
/// # Errors
///
/// What BSON cannot hold.
pub(crate) fn rewrite(old: &Value, new: &Value) -> Result<Rewrite, Misfit> {
    let mut differ = Differ { writes: Vec::new(), path: Vec::new() };
    let document = differ.object(root(), old, new)?;
    Ok(Rewrite { document, writes: differ.writes })
}

/// Returns the update operators that do what [`rewrite`] does, where they do exactly that: the fields that are set are
/// there already, one new one perhaps excepted, and no name on the way means anything to an operator. The server takes a third
/// of the time for them.
///
/// # Errors
///
/// What BSON cannot hold.
pub(crate) fn fields(old: &Value, new: &Value, writes: &[FieldPath]) -> Result<Option<RawDocumentBuf>, Misfit> {
    let (mut set, mut unset) = (RawDocumentBuf::new(), RawDocumentBuf::new());
    let mut added = 0;
    for path in writes {
        let Some(dotted) = dotted(path) else { return Ok(None) };
        let Some(name) = values::key(&dotted) else { return Ok(None) };
        match path.get(new) {
            Some(value) if is_taken_as_it_is(value) => {
                added += usize::from(path.get(old).is_none());
                set.append(name, write(value)?);
            }
            None => unset.append(name, ""),
            Some(_) => return Ok(None),
        }
    }
    // Several new ones would be added in the order of their names.
    if added > 1 {
        return Ok(None);
    }
    let mut update = RawDocumentBuf::new();
    for (operator, fields) in [(cstr!("$set"), set), (cstr!("$unset"), unset)] {
        if !fields.is_empty() {
            update.append(operator, fields);
        }
    }
    Ok(Some(update))
}

/// Writes a path as update operators read one, where it means the same to them.
fn dotted(path: &FieldPath) -> Option<String> {
    let name = |step: &Step| match step {
        Step::Key(name) => {
            let is_plain = !name.is_empty() && !name.contains(['.', '$']) && name.parse::<u64>().is_err();
            is_plain.then(|| name.clone())
        }
        Step::Index(_) => None,
    };
    let names: Option<Vec<String>> = path.steps().iter().map(name).collect();
    names.filter(|names| !names.is_empty()).map(|names| names.join("."))
}

/// Whether an operator stores a value as it is: names with a dollar sign, and a timestamp that the server
/// might fill in, are left to expressions.
fn is_taken_as_it_is(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().all(is_taken_as_it_is),
        Value::Object(object) => {
            object.iter().all(|(name, value)| !name.contains(['$', '.']) && is_taken_as_it_is(value))
        }
        Value::Extended(extended) => !matches!(**extended, Extended::Timestamp { .. }),
        _ => true,
    }
}

struct Differ {
    writes: Vec<FieldPath>,
    path: Vec<Step>,
}

impl Differ {
    fn note(&mut self, step: Step) {
        let steps = self.path.iter().cloned().chain([step]).collect();
        self.writes.push(FieldPath::from_steps(steps));
    }

    /// Both are objects.
    fn object(&mut self, input: RawBson, old: &Value, new: &Value) -> Result<RawBson, Misfit> {
        let mut out = input.clone();
        let (Some(old), Some(new)) = (old.as_object(), new.as_object()) else { return Ok(out) };
        let (olds, news) = (by_name(old), by_name(new));
        for name in old.keys().filter(|name| !news.contains_key(name)) {
            self.note(Step::Key(name.to_owned()));
            out = without_field(out, name);
        }
        for (name, value) in new {
            let there = olds.get(name.as_str()).copied();
            if there == Some(value) {
                continue;
            }
            let step = Step::Key(name.clone());
            let written = match there {
                Some(there) => self.value(member(input.clone(), name), there, value, step)?,
                None => {
                    self.note(step);
                    literal(write(value)?)
                }
            };
            out = with_field(out, name, written);
        }
        Ok(out)
    }

    /// A value that differs from what is at `step`.
    fn value(&mut self, input: RawBson, old: &Value, new: &Value, step: Step) -> Result<RawBson, Misfit> {
        let in_place = match (old, new) {
            (Value::Object(old), Value::Object(new)) => keeps_order(old, new),
            (Value::Array(old), Value::Array(new)) => old.len() <= new.len() && !old.is_empty(),
            _ => false,
        };
        if !in_place {
            self.note(step);
            return Ok(literal(write(new)?));
        }
        self.path.push(step);
        let out = match (old, new) {
            (Value::Array(old), Value::Array(new)) => self.array(input, old, new),
            _ => self.object(input, old, new),
        };
        self.path.pop();
        out
    }

    /// Edits elements where they are, and appends.
    fn array(&mut self, input: RawBson, old: &[Value], new: &[Value]) -> Result<RawBson, Misfit> {
        let (kept, added) = new.split_at(old.len());
        let mut branches = RawArrayBuf::new();
        for (index, (old, new)) in old.iter().zip(kept).enumerate().filter(|(_, (old, new))| old != new) {
            let place = RawBson::Int32(i32::try_from(index).unwrap_or(i32::MAX));
            let written = self.value(element(input.clone(), index), old, new, Step::Index(index))?;
            branches.push(rawdoc! { "case": equal(RawBson::String("$$place".to_owned()), place), "then": written });
        }
        let mut out = input.clone();
        if !branches.is_empty() {
            let here = array([input.clone(), RawBson::String("$$place".to_owned())]);
            let length = RawBson::Int32(i32::try_from(old.len()).unwrap_or(i32::MAX));
            out = RawBson::Document(rawdoc! { "$map": {
                "input": { "$range": array([RawBson::Int32(0), length]) },
                "as": "place",
                "in": { "$switch": { "branches": branches, "default": { "$arrayElemAt": here } } },
            } });
        }
        if !added.is_empty() {
            for index in old.len()..new.len() {
                self.note(Step::Index(index));
            }
            let added = array(added.iter().map(write).collect::<Result<Vec<_>, _>>()?);
            out = RawBson::Document(rawdoc! { "$concatArrays": array([out, literal(added)]) });
        }
        Ok(out)
    }
}

/// Whether members only go away, change or are appended.
fn keeps_order(old: &Object, new: &Object) -> bool {
    let (olds, news) = (by_name(old), by_name(new));
    let kept = old.keys().filter(|name| news.contains_key(name));
    let appended = new.keys().filter(|name| !olds.contains_key(name));
    kept.chain(appended).eq(new.keys())
}
