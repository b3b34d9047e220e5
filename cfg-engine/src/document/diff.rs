//! What differs between two documents, field by field and inside arrays; and between two texts,
//! line by line.

use std::fmt;

use similar::TextDiff;

use super::align::{Pair, align, equal};
use super::field_path::{FieldPath, Step};
use super::keyed::NameIndex;
use super::value::{Object, Value};

/// One difference between two documents.
///
/// `Debug` names the path and the types, never a value.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldChange {
    /// Where: in the newer document, or in the older one for what was removed.
    pub path: FieldPath,
    /// What happened there.
    pub op: ChangeOp,
    /// Where `before` stood in the older document: for every move, and where it is not `path`
    /// because an element around it stands elsewhere now.
    pub from: Option<FieldPath>,
    /// What the older document holds.
    pub before: Option<Value>,
    /// What the newer document holds.
    pub after: Option<Value>,
}

/// What happened to a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChangeOp {
    /// Something is there that was not.
    Add,
    /// Something is no longer there.
    Remove,
    /// Something else is there.
    Replace,
    /// An array element stands elsewhere among the others.
    Move,
}

impl ChangeOp {
    /// Returns `add`, `remove`, `replace` or `move`.
    ///
    /// # Examples
    ///
    /// ```
    /// use cfg_engine::document::ChangeOp;
    /// assert_eq!(ChangeOp::Replace.as_str(), "replace");
    /// ```
    pub fn as_str(self) -> &'static str {
        match self {
            ChangeOp::Add => "add",
            ChangeOp::Remove => "remove",
            ChangeOp::Replace => "replace",
            ChangeOp::Move => "move",
        }
    }
}

impl fmt::Display for ChangeOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FieldChange {
    /// Returns `{path, op, from, before, after}`, without what is absent.
    ///
    /// # Examples
    ///
    /// ```
    /// use cfg_engine::Value;
    /// use cfg_engine::document::diff;
    /// let (old, new) = (Value::from_json("{}")?, Value::from_json(r#"{"retries": 3}"#)?);
    /// assert_eq!(diff(&old, &new)[0].to_value().to_json(), r#"{"path":"retries","op":"add","after":3}"#);
    /// # Ok::<(), cfg_engine::document::ParseError>(())
    /// ```
    pub fn to_value(&self) -> Value {
        let mut object = Object::new().with("path", self.path.to_string()).with("op", self.op.as_str());
        if let Some(from) = &self.from {
            object.insert("from", from.to_string());
        }
        for (name, side) in [("before", &self.before), ("after", &self.after)] {
            if let Some(value) = side {
                object.insert(name, value.clone());
            }
        }
        object.into()
    }
}

/// Returns what differs between two documents, in document order.
///
/// Equality is canonical: `1` and `1.0` agree, `1` and `true` do not, and a member that is null is
/// absent. The result is empty exactly if the documents are [`same`](super::same). (Values without
/// a canonical form, such as NaN, agree if they are spelled alike.)
///
/// Array elements are paired by equal content, then by `id`, `_id`, `name` or `key`, then by
/// likeness and position between those; the differences inside a pair are reported, and a move
/// only where an element changed its place among the others.
///
/// # Examples
///
/// ```
/// use cfg_engine::Value;
/// use cfg_engine::document::diff;
/// let old = Value::from_json(r#"{"tools": [{"name": "a", "n": 1}, "b", "c"]}"#)?;
/// let new = Value::from_json(r#"{"tools": ["c", {"name": "a", "n": 2}, "b"]}"#)?;
/// let changes = diff(&old, &new);
/// let shown: Vec<_> = changes.iter().map(|change| format!("{} {}", change.op, change.path)).collect();
/// assert_eq!(shown, ["move tools[0]", "replace tools[1].n"]);
/// # Ok::<(), cfg_engine::document::ParseError>(())
/// ```
pub fn diff(before: &Value, after: &Value) -> Vec<FieldChange> {
    let mut walk = Walk { found: Vec::new(), from: Vec::new(), to: Vec::new() };
    walk.value(before, after);
    walk.found
}

/// Returns the unified hunks between two texts, with `context` lines around each; empty if the
/// texts are equal.
///
/// # Examples
///
/// ```
/// use cfg_engine::document::line_diff;
/// assert_eq!(line_diff("a\nb\n", "a\nc\n", 1), "@@ -1,2 +1,2 @@\n a\n-b\n+c\n");
/// ```
pub fn line_diff(before: &str, after: &str, context: usize) -> String {
    let diff = TextDiff::from_lines(before, after);
    // Most values of a field end without a newline; worth a word only where that changes.
    let hint = before.ends_with('\n') != after.ends_with('\n');
    diff.unified_diff().context_radius(context).missing_newline_hint(hint).to_string()
}

struct Walk {
    found: Vec<FieldChange>,
    /// Where the walk stands in the older document.
    from: Vec<Step>,
    /// Where it stands in the newer one.
    to: Vec<Step>,
}

impl Walk {
    fn value(&mut self, before: &Value, after: &Value) {
        match (before, after) {
            (Value::Object(before), Value::Object(after)) => self.object(before, after),
            (Value::Array(before), Value::Array(after)) => self.array(before, after),
            _ if equal(before, after) => {}
            _ => self.report(ChangeOp::Replace, Some(before), Some(after)),
        }
    }

    fn object(&mut self, before: &Object, after: &Object) {
        let (old, new) = (NameIndex::new(before), NameIndex::new(after));
        for (key, value) in before.iter().filter(|(_, value)| !value.is_null()) {
            self.from.push(Step::Key(key.clone()));
            match new.get(key) {
                Some((name, other)) => {
                    self.to.push(Step::Key(name.clone()));
                    self.value(value, other);
                    self.to.pop();
                }
                None => self.report(ChangeOp::Remove, Some(value), None),
            }
            self.from.pop();
        }
        for (key, value) in after.iter().filter(|(_, value)| !value.is_null()) {
            if old.get(key).is_none() {
                self.to.push(Step::Key(key.clone()));
                self.report(ChangeOp::Add, None, Some(value));
                self.to.pop();
            }
        }
    }

    fn array(&mut self, before: &[Value], after: &[Value]) {
        let pairs = align(&before.iter().collect::<Vec<_>>(), &after.iter().collect::<Vec<_>>());
        let mut removed = vec![true; before.len()];
        pairs.iter().for_each(|pair| removed[pair.before] = false);
        let mut pairs = pairs.into_iter().peekable();
        let mut next_before = 0;
        for (index, value) in after.iter().enumerate() {
            let pair = pairs.next_if(|pair| pair.after == index);
            if let Some(Pair { before: place, moved: false, .. }) = pair {
                self.removed(before, next_before..place, &removed);
                next_before = place + 1;
            }
            self.to.push(Step::Index(index));
            match pair {
                None => self.report(ChangeOp::Add, None, Some(value)),
                Some(pair) => {
                    self.from.push(Step::Index(pair.before));
                    self.pair(pair, &before[pair.before], value);
                    self.from.pop();
                }
            }
            self.to.pop();
        }
        self.removed(before, next_before..before.len(), &removed);
    }

    fn pair(&mut self, pair: Pair, before: &Value, after: &Value) {
        if pair.moved {
            self.report(ChangeOp::Move, Some(before), Some(after));
        }
        if !pair.equal {
            self.value(before, after);
        }
    }

    fn removed(&mut self, before: &[Value], range: std::ops::Range<usize>, removed: &[bool]) {
        for index in range.filter(|index| removed[*index]) {
            self.from.push(Step::Index(index));
            self.report(ChangeOp::Remove, Some(&before[index]), None);
            self.from.pop();
        }
    }

    fn report(&mut self, op: ChangeOp, before: Option<&Value>, after: Option<&Value>) {
        let place = |steps: &[Step]| FieldPath::from_steps(steps.to_vec());
        let path = if op == ChangeOp::Remove { place(&self.from) } else { place(&self.to) };
        let elsewhere = before.is_some() && after.is_some() && (op == ChangeOp::Move || self.from != self.to);
        let from = elsewhere.then(|| place(&self.from));
        self.found.push(FieldChange { path, op, from, before: before.cloned(), after: after.cloned() });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::arbitrary;
    use super::super::canonical::{canonical_bytes, same};
    use super::super::field_policy::FieldPolicy;
    use super::super::text::nfc;
    use super::*;

    fn value(text: &str) -> Value {
        Value::from_interchange(text).expect("interchange")
    }

    fn shown(before: &str, after: &str) -> Vec<String> {
        diff(&value(before), &value(after)).iter().map(|change| change.to_value().to_json()).collect()
    }

    #[test]
    fn types_are_told_apart_and_widths_are_not() {
        assert!(shown(r#"{"a":1,"b":null}"#, r#"{"a":1.0}"#).is_empty());
        for (before, after) in [
            ("true", "1"),
            ("0.5", r#""0.5""#),
            (r#"{"$date":"2020-01-01T00:00:00Z"}"#, r#""2020-01-01T00:00:00Z""#),
            (r#"{"$oid":"0123456789abcdef01234567"}"#, r#""0123456789abcdef01234567""#),
            ("[]", "{}"),
            ("[null]", "[0]"),
        ] {
            let (before, after) = (format!(r#"{{"a":{before}}}"#), format!(r#"{{"a":{after}}}"#));
            assert_eq!(diff(&value(&before), &value(&after)).len(), 1, "{before} {after}");
        }
    }

    #[test]
    fn reports_members_in_document_order() {
        assert_eq!(
            shown(r#"{"a":1,"b":2,"c":{"d":1}}"#, r#"{"n":1,"c":{"d":2},"a":1,"z":null}"#),
            [
                r#"{"path":"b","op":"remove","before":2}"#,
                r#"{"path":"c.d","op":"replace","before":1,"after":2}"#,
                r#"{"path":"n","op":"add","after":1}"#,
            ]
        );
    }

    #[test]
    fn looks_inside_elements_that_shifted_or_moved() {
        let before = r#"{"t":[{"id":1,"v":1},{"id":2,"v":1},{"id":3,"v":1}]}"#;
        assert_eq!(
            shown(before, r#"{"t":[{"id":0},{"id":1,"v":1},{"id":2,"v":2},{"id":3,"v":1}]}"#),
            [
                r#"{"path":"t[0]","op":"add","after":{"id":0}}"#,
                r#"{"path":"t[2].v","op":"replace","from":"t[1].v","before":1,"after":2}"#,
            ]
        );
        assert_eq!(
            shown(before, r#"{"t":[{"id":3,"v":2},{"id":1,"v":1}]}"#),
            [
                r#"{"path":"t[0]","op":"move","from":"t[2]","before":{"id":3,"v":1},"after":{"id":3,"v":2}}"#,
                r#"{"path":"t[0].v","op":"replace","from":"t[2].v","before":1,"after":2}"#,
                r#"{"path":"t[1]","op":"remove","before":{"id":2,"v":1}}"#,
            ]
        );
    }

    #[test]
    fn a_turned_array_turns_around_what_stays() {
        let moves = diff(&value("[1,2,3]"), &value("[3,2,1]"));
        assert_eq!(moves.iter().map(|change| change.path.to_string()).collect::<Vec<_>>(), ["[0]", "[2]"]);
    }

    #[test]
    fn not_a_number_agrees_with_itself() {
        let nan = r#"{"a":[{"$numberDouble":"NaN"},1]}"#;
        assert!(shown(nan, nan).is_empty());
        assert_eq!(shown(nan, &nan.replace('1', "2")).len(), 1);
    }

    #[test]
    fn names_that_normalisation_joins_are_one_name() {
        assert!(shown("{\"\u{e9}\":1}", "{\"e\u{301}\":1}").is_empty());
        assert!(shown("{\"\u{212a}\":\"\u{212a}\"}", "{\"K\":\"K\"}").is_empty());
        let both = "{\"\u{e9}\":1,\"e\u{301}\":2}";
        assert!(shown(both, both).is_empty());
    }

    #[test]
    fn line_diff_speaks_of_the_last_newline_only_when_it_changes() {
        assert_eq!(line_diff("a", "a", 3), "");
        assert_eq!(line_diff("a\nb", "a\nc", 0), "@@ -2 +2 @@\n-b\n+c\n");
        assert!(line_diff("a", "a\n", 3).contains("No newline"));
    }

    #[test]
    fn long_documents() {
        let doc = |skip: usize| {
            let items = (0..10_000).filter(|n| n % skip != 1).map(|n| Value::from(Object::new().with("n", n)));
            let items = Value::Array(items.collect());
            let object = (0..10_000).filter(|n| n % skip != 1).map(|n| (format!("key{n}"), Value::from(n)));
            Object::new().with("items", items).with("object", Value::Object(object.collect()))
        };
        let changes = diff(&doc(20_000).into(), &doc(10).into());
        assert_eq!(changes.len(), 2 * 1_000 - 2);
        let lines = |by: u64| (0..20_000u64).map(|n| format!("{}\n", (n * by) % 9_973)).collect::<String>();
        assert!(!line_diff(&lines(7), &lines(11), 3).is_empty());
    }

    /// Makes the newer document of the older one and the changes alone.
    fn replay(before: &Value, from: &FieldPath, to: &FieldPath, changes: &[FieldChange]) -> Value {
        let alike = |a: &FieldPath, b: &FieldPath| nfc(&a.to_string()) == nfc(&b.to_string());
        let at = |op, path: &FieldPath| changes.iter().find(|change| change.op == op && alike(&change.path, path));
        if let Some(change) = at(ChangeOp::Replace, to) {
            return change.after.clone().expect("a replacement");
        }
        let removed = |step| at(ChangeOp::Remove, &from.join(step)).is_some();
        match before {
            Value::Object(object) => {
                let mut made = Object::new();
                for (key, member) in object.iter().filter(|(_, member)| !member.is_null()) {
                    let step = Step::Key(key.clone());
                    if !removed(step.clone()) {
                        made.insert(key.clone(), replay(member, &from.join(step.clone()), &to.join(step), changes));
                    }
                }
                for change in changes.iter().filter(|change| change.op == ChangeOp::Add) {
                    if let Some((parent, Step::Key(key))) = change.path.split_last()
                        && alike(&parent, to)
                    {
                        made.insert(key.clone(), change.after.clone().expect("an addition"));
                    }
                }
                made.into()
            }
            Value::Array(items) => {
                let moved = |change: &&FieldChange| change.op == ChangeOp::Move;
                let origins: Vec<_> = changes.iter().filter(moved).filter_map(|change| change.from.clone()).collect();
                let mut staying = (0..items.len()).filter(|n| {
                    !removed(Step::Index(*n))
                        && !origins.iter().any(|origin| alike(origin, &from.join(Step::Index(*n))))
                });
                let mut made = Vec::new();
                loop {
                    let here = to.join(Step::Index(made.len()));
                    let inner = |n: usize| replay(&items[n], &from.join(Step::Index(n)), &here, changes);
                    if let Some(change) = at(ChangeOp::Add, &here) {
                        made.push(change.after.clone().expect("an addition"));
                    } else if let Some(change) = at(ChangeOp::Move, &here) {
                        let origin = change.from.clone().expect("an origin");
                        let Some((_, Step::Index(n))) = origin.split_last() else { panic!("an element") };
                        made.push(inner(*n));
                    } else if let Some(n) = staying.next() {
                        made.push(inner(n));
                    } else {
                        return made.into();
                    }
                }
            }
            scalar => scalar.clone(),
        }
    }

    fn mutate(doc: &Value, edits: &[(prop::sample::Index, Value)]) -> Value {
        let mut doc = doc.clone();
        for (place, value) in edits {
            let places = arbitrary::places(&doc);
            let path = &places[place.index(places.len())];
            if let Some(slot) = super::super::field_policy::get_mut(&mut doc, path) {
                match (slot, value) {
                    (Value::Array(items), Value::Bool(true)) => items.reverse(),
                    (Value::Array(items), Value::Bool(false)) => items.truncate(1),
                    (Value::Array(items), value) => items.insert(items.len() / 2, value.clone()),
                    (slot, value) => *slot = value.clone(),
                }
            }
        }
        doc
    }

    proptest! {
        #[test]
        fn changes_are_true_and_complete(
            before in arbitrary::plain(),
            other in arbitrary::plain(),
            edits in prop::collection::vec((any::<prop::sample::Index>(), arbitrary::plain()), 0..4),
            edited in any::<bool>(),
        ) {
            let after = if edited { mutate(&before, &edits) } else { other };
            prop_assert!(diff(&before, &before).is_empty());
            let policy = FieldPolicy::default();
            if canonical_bytes(&before, &policy).is_err() || canonical_bytes(&after, &policy).is_err() {
                return Ok(());
            }
            let changes = diff(&before, &after);
            prop_assert_eq!(changes.is_empty(), same(&before, &after));
            for change in &changes {
                let origin = change.from.as_ref().unwrap_or(&change.path);
                prop_assert!(change.before.is_none() || change.before.as_ref() == origin.get(&before));
                prop_assert!(change.after.is_none() || change.after.as_ref() == change.path.get(&after));
            }
            let root = FieldPath::root();
            let made = replay(&before, &root, &root, &changes);
            prop_assert!(same(&made, &after), "{} to {}", before.to_json(), after.to_json());
        }
    }
}
