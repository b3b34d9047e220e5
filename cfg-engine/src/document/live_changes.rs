//! What must be written to the live document so that its versioned part becomes a target's.
//!
//! Behind it is one promise: the app's own values and the secrets in the live document are never
//! written from a copy, and nothing is written that did not change.

use super::align::equal;
use super::carry::{
    LostSecret, Ruled, RuledArray, align_versioned, carry, carry_array, fresh, has_unversioned, same_secret, secret_in,
};
use super::edit::{Edit, PathChange, apply_changes};
use super::field_path::{FieldPath, Step};
use super::field_policy::{FieldPolicy, PolicyCursor, Treatment, is_secret_marker};
use super::keyed::NameIndex;
use super::value::{Object, Value};

/// Says that a change would drop a secret from the live document: the member that holds it goes, or
/// an array changes and no element of the new array is the one that holds it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the secret at {path} would be lost: what holds it is not in the new document")]
pub struct SecretMoved {
    /// Where the secret is in the live document.
    pub path: FieldPath,
}

/// Returns what to write to `live` so that its versioned part becomes that of `target`.
///
/// Only what changed is written; values that are equal in canonical form are not, and a null
/// member is as good as none.
///
/// - Ignored values of the target are disregarded, those of `live` stay.
/// - A secret that the target lacks, or shows as `{"$secret": true}`, stays. Any other value that
///   differs from the live one is written, also where nothing else changed.
/// - A top-level member that appears is appended. One that the target lacks is unset, one that it
///   holds as null is set to null.
/// - An embedded object whose names change is written whole, in the target's order; unless it
///   holds ignored or secret values, then its members are written one by one.
/// - Array elements are written one by one where each keeps its place, else the array is written
///   whole. In it each element keeps the values that are not versioned in the live element it
///   corresponds to: by equal versioned content, by `id`, `_id`, `name` or `key`, then by likeness
///   and position between those.
///
/// What is written whole keeps the live spelling of the values in it that did not change.
///
/// # Errors
///
/// [`SecretMoved`] if a secret would be lost with the member or element that holds it. Nulls are no secrets.
///
/// # Examples
///
/// ```
/// use cfg_engine::Value;
/// use cfg_engine::document::{FieldPolicy, apply_changes, live_changes};
/// let policy = FieldPolicy::builder().ignore_field("hits").secret_field("tools[].api_key")?.build();
/// let mut live = Value::from_json(
///     r#"{"hits": 7, "tools": [{"name": "a", "api_key": "k1"}, {"name": "b", "api_key": "k2"}]}"#,
/// )?;
/// let target = Value::from_json(r#"{"hits": 1, "tools": [{"name": "b"}, {"name": "a"}]}"#)?;
/// let changes = live_changes(&live, &target, &policy)?;
/// apply_changes(&mut live, &changes)?;
/// assert_eq!(
///     live.to_json(),
///     r#"{"hits":7,"tools":[{"name":"b","api_key":"k2"},{"name":"a","api_key":"k1"}]}"#,
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn live_changes(live: &Value, target: &Value, policy: &FieldPolicy) -> Result<Vec<PathChange>, SecretMoved> {
    let mut walk = Walk { found: Vec::new(), path: Vec::new() };
    match walk.value(live, target, policy.cursor()) {
        Ok(()) => Ok(walk.found),
        Err(lost) => {
            walk.path.extend(lost.into_iter().rev());
            Err(SecretMoved { path: FieldPath::from_steps(walk.path) })
        }
    }
}

/// Returns what [`live_changes`] does, and the places in `live` of the secrets that are lost by it.
///
/// # Examples
///
/// ```
/// use cfg_engine::Value;
/// use cfg_engine::document::{FieldPolicy, live_changes_without_secrets};
/// let policy = FieldPolicy::builder().secret_field("tools[].token")?.build();
/// let live = Value::from_json(r#"{"tools": [{"name": "a", "token": "t"}]}"#)?;
/// let target = Value::from_json(r#"{"tools": []}"#)?;
/// let (changes, dropped) = live_changes_without_secrets(&live, &target, &policy);
/// assert_eq!((changes.len(), dropped), (1, vec!["tools[0].token".parse()?]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn live_changes_without_secrets(
    live: &Value,
    target: &Value,
    policy: &FieldPolicy,
) -> (Vec<PathChange>, Vec<FieldPath>) {
    let mut dropped: Vec<FieldPath> = Vec::new();
    // A null is no secret, and it keeps the places of what stands beside it. What held the secret is
    // written whole or unset, so the null itself is never written.
    let mut without = live.clone();
    loop {
        match live_changes(&without, target, policy) {
            Ok(changes) => return (changes, dropped),
            Err(SecretMoved { path }) => {
                let null = PathChange { path: path.clone(), edit: Edit::Set(Value::Null) };
                if dropped.contains(&path) || apply_changes(&mut without, &[null]).is_err() {
                    return (Vec::new(), dropped);
                }
                dropped.push(path);
            }
        }
    }
}

/// Returns the top-level versioned members that `base` has and `target` lacks altogether.
///
/// A member that is null in the target is not among them: that null was written on purpose.
///
/// # Examples
///
/// ```
/// use cfg_engine::Value;
/// use cfg_engine::document::{FieldPolicy, dropped_fields};
/// let base = Value::from_json(r#"{"model": "large", "retries": 3, "limit": 1}"#)?;
/// let target = Value::from_json(r#"{"model": "small", "limit": null}"#)?;
/// let dropped = dropped_fields(&base, &target, &FieldPolicy::default());
/// assert_eq!(dropped, ["retries".parse()?]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn dropped_fields(base: &Value, target: &Value, policy: &FieldPolicy) -> Vec<FieldPath> {
    let none = Object::new();
    let target = target.as_object().unwrap_or(&none);
    let names = NameIndex::new(target);
    let members = base.as_object().unwrap_or(&none).iter();
    let dropped = members.filter(|(key, value)| {
        let is_versioned = policy.cursor().member(key).0 == Treatment::Versioned;
        is_versioned && !value.is_null() && names.get(key).is_none() && !target.contains_key(key)
    });
    dropped.map(|(key, _)| FieldPath::key(key.as_str())).collect()
}

struct Walk {
    found: Vec<PathChange>,
    path: Vec<Step>,
}

impl Walk {
    fn value(&mut self, live: &Value, target: &Value, cursor: PolicyCursor<'_>) -> Result<(), LostSecret> {
        match (live, target) {
            (Value::Object(old), Value::Object(new)) => {
                let is_embedded = !self.path.is_empty();
                if is_embedded && !same_names(old, new, cursor) && !has_unversioned(Ruled { value: live, cursor }) {
                    let whole = carry(Ruled { value: live, cursor }, Ruled { value: target, cursor })?;
                    self.write(Edit::Set(whole));
                    return Ok(());
                }
                self.object(old, new, cursor)
            }
            (Value::Array(old), Value::Array(new)) => self.array(old, new, cursor),
            _ => {
                if !equal(live, target) {
                    Self::keeps_secrets(live, cursor)?;
                    self.write(Edit::Set(fresh(Ruled { value: target, cursor })));
                }
                Ok(())
            }
        }
    }

    fn object(&mut self, live: &Object, target: &Object, cursor: PolicyCursor<'_>) -> Result<(), LostSecret> {
        let (old, new) = (NameIndex::new(live), NameIndex::new(target));
        for (key, value) in live.iter().filter(|(_, value)| !value.is_null()) {
            let (Treatment::Versioned, next) = cursor.member(key) else { continue };
            self.path.push(Step::Key(key.clone()));
            match mate(&new, key, cursor, Treatment::Versioned) {
                Some((_, other)) => self.value(value, other, next)?,
                None => {
                    Self::keeps_secrets(value, next)?;
                    self.write(if target.contains_key(key) { Edit::Set(Value::Null) } else { Edit::Unset });
                }
            }
            self.path.pop();
        }
        for (key, value) in target {
            match cursor.member(key) {
                (Treatment::Versioned, next) => {
                    if !value.is_null() && mate(&old, key, cursor, Treatment::Versioned).is_none() {
                        self.write_at(Step::Key(key.clone()), fresh(Ruled { value, cursor: next }));
                    }
                }
                (Treatment::Secret, _) => match mate(&old, key, cursor, Treatment::Secret) {
                    Some((name, live)) => self.secret(Step::Key(name.clone()), live, value),
                    None => self.secret(Step::Key(key.clone()), &Value::Null, value),
                },
                (Treatment::Ignored, _) => {}
            }
        }
        Ok(())
    }

    fn array(&mut self, live: &[Value], target: &[Value], cursor: PolicyCursor<'_>) -> Result<(), LostSecret> {
        let (old, new) = (RuledArray::new(live, cursor), RuledArray::new(target, cursor));
        let pairs = align_versioned(&old, &new);
        let in_place = old.versioned == new.versioned
            && pairs.len() == new.versioned.len()
            && pairs.iter().all(|pair| pair.before == pair.after);
        if !in_place {
            self.write(Edit::Set(carry_array(&old, &new, &pairs)?));
            return Ok(());
        }
        for pair in pairs {
            let index = new.versioned[pair.after];
            let next = cursor.element(index).1;
            if pair.equal && next.is_free() {
                continue;
            }
            self.path.push(Step::Index(index));
            self.value(&live[index], &target[index], next)?;
            self.path.pop();
        }
        let mut length = live.len();
        for (index, value) in target.iter().enumerate() {
            if cursor.element(index).0 == Treatment::Secret {
                match live.get(index) {
                    Some(live) => self.secret(Step::Index(index), live, value),
                    None if is_secret_marker(value) => {}
                    None => {
                        self.write_at(Step::Index(length), value.clone());
                        length += 1;
                    }
                }
            }
        }
        Ok(())
    }

    /// Refuses to let go of what holds a secret.
    fn keeps_secrets(live: &Value, cursor: PolicyCursor<'_>) -> Result<(), LostSecret> {
        secret_in(Ruled { value: live, cursor }).map_or(Ok(()), Err)
    }

    fn secret(&mut self, step: Step, live: &Value, given: &Value) {
        if !is_secret_marker(given) && !same_secret(live, given) {
            self.write_at(step, given.clone());
        }
    }

    fn write_at(&mut self, step: Step, value: Value) {
        self.path.push(step);
        self.write(Edit::Set(value));
        self.path.pop();
    }

    fn write(&mut self, edit: Edit) {
        self.found.push(PathChange { path: FieldPath::from_steps(self.path.clone()), edit });
    }
}

/// Finds the member named `key` that is treated in the same way.
fn mate<'o>(
    names: &NameIndex<'o>,
    key: &str,
    cursor: PolicyCursor<'_>,
    treatment: Treatment,
) -> Option<&'o (String, Value)> {
    names.get(key).filter(|(name, _)| cursor.member(name).0 == treatment)
}

/// Returns whether two objects have the same versioned names.
fn same_names(live: &Object, target: &Object, cursor: PolicyCursor<'_>) -> bool {
    let (old, new) = (NameIndex::new(live), NameIndex::new(target));
    let within = |object: &Object, names: &NameIndex<'_>| {
        object.iter().all(|(key, value)| {
            value.is_null()
                || cursor.member(key).0 != Treatment::Versioned
                || mate(names, key, cursor, Treatment::Versioned).is_some()
        })
    };
    within(live, &new) && within(target, &old)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::arbitrary;
    use super::super::canonical::{canonical_bytes, same};
    use super::super::edit::apply_changes;
    use super::super::field_policy::secret_marker;
    use super::*;

    fn value(text: &str) -> Value {
        Value::from_interchange(text).expect("interchange")
    }

    fn policy() -> FieldPolicy {
        let policy =
            FieldPolicy::builder().ignore_field("ign").ignore_path("a.ign").and_then(|p| p.ignore_path("b[].ign"));
        let policy = policy.and_then(|p| p.secret_field("sec")).and_then(|p| p.secret_field("a.sec"));
        let policy = policy.and_then(|p| p.secret_field("b[].sec")).and_then(|p| p.secret_field("c[].b.sec"));
        policy.and_then(|p| p.ignore_path("name[]")).and_then(|p| p.secret_field("id[1]")).expect("rules").build()
    }

    fn changes(live: &str, target: &str) -> Vec<String> {
        let (live, target) = (value(live), value(target));
        let changes = live_changes(&live, &target, &policy()).expect("no secret moves");
        let show = |change: &PathChange| match &change.edit {
            Edit::Set(value) => format!("{} = {}", change.path, value.to_interchange()),
            Edit::Unset => format!("{} unset", change.path),
        };
        changes.iter().map(show).collect()
    }

    fn moved(live: &str, target: &str) -> Option<String> {
        live_changes(&value(live), &value(target), &policy()).err().map(|moved| moved.path.to_string())
    }

    #[test]
    fn writes_only_what_changed() {
        let live = r#"{"x":{"$numberLong":"1"},"y":null,"z":{"p":1,"q":2}}"#;
        assert!(changes(live, r#"{"x":1.0,"z":{"q":2,"p":1}}"#).is_empty());
        assert_eq!(changes(live, r#"{"z":{"p":3,"q":2},"n":1,"m":null}"#), ["x unset", "z.p = 3", "n = 1"]);
        assert_eq!(changes(live, r#"{"x":null,"y":2,"z":null}"#), ["x = null", "z = null", "y = 2"]);
        assert_eq!(changes("{}", r#"{"at":{"$date":"2020-01-01T00:00:00Z"}}"#).len(), 1);
    }

    #[test]
    fn ignored_values_are_never_written() {
        assert!(changes(r#"{"ign":1,"a":{"ign":1},"name":[]}"#, r#"{"ign":2,"a":{"ign":2},"name":[1]}"#).is_empty());
        assert_eq!(changes(r#"{"a":{"ign":1,"x":1}}"#, r#"{"a":{"y":1,"ign":5}}"#), ["a.x unset", "a.y = 1"]);
        assert_eq!(changes("{}", r#"{"a":{"y":1,"ign":5}}"#), [r#"a = {"y":1}"#]);
    }

    #[test]
    fn embedded_objects_whose_names_change_are_written_in_the_targets_order() {
        let live = r#"{"x":{"p":{"$numberLong":"1"},"q":2}}"#;
        assert_eq!(changes(live, r#"{"x":{"r":0,"q":3,"p":1}}"#), [r#"x = {"r":0,"q":3,"p":{"$numberLong":"1"}}"#]);
        assert_eq!(changes(live, r#"{"x":{"r":{"s":null},"p":null}}"#), [r#"x = {"r":{"s":null},"p":null}"#]);
    }

    #[test]
    fn secrets_stay_until_another_is_given() {
        let live = r#"{"sec":"old","a":{"sec":"old","x":1},"v":1}"#;
        assert!(changes(live, r#"{"a":{"x":1},"v":1}"#).is_empty());
        let marked = r#"{"sec":{"$secret":true},"a":{"sec":{"$secret":true},"x":1},"v":2}"#;
        assert_eq!(changes(live, marked), ["v = 2"]);
        assert_eq!(changes(live, r#"{"sec":"new","a":{"sec":"old","x":1},"v":1}"#), [r#"sec = "new""#]);
        assert_eq!(changes(live, r#"{"sec":null,"a":{"sec":"n","x":1},"v":1}"#), [r#"a.sec = "n""#, "sec = null"]);
        // A password is its characters, not its canonical form.
        assert_eq!(changes("{\"sec\":\"\u{e9}\"}", "{\"sec\":\"e\u{301}\"}").len(), 1);
        assert_eq!(changes("{}", r#"{"sec":{"$secret":true},"b":[{"sec":{"$secret":true}}]}"#), [r#"b = [{}]"#]);
    }

    #[test]
    fn elements_that_keep_their_place_are_written_one_by_one() {
        let live = r#"{"b":[{"n":"x","v":1,"sec":"s1","ign":1},{"n":"y","v":1}]}"#;
        assert_eq!(
            changes(live, r#"{"b":[{"n":"x","v":2},{"n":"y","v":1,"sec":"s2"}]}"#),
            ["b[0].v = 2", r#"b[1].sec = "s2""#]
        );
        assert_eq!(changes(live, r#"{"b":[{"n":"z"},{"n":"y","v":1}]}"#), [r#"b[0].n = "z""#, "b[0].v unset"]);
        assert_eq!(changes(r#"{"x":[1,{"p":1}]}"#, r#"{"x":[1.0,{"p":2}]}"#), ["x[1].p = 2"]);
    }

    #[test]
    fn values_follow_their_elements() {
        let live = r#"{"b":[{"name":"x","v":{"$numberLong":"1"},"sec":"s1","ign":1},{"name":"y","sec":"s2"}]}"#;
        assert_eq!(
            changes(live, r#"{"b":[{"name":"new","ign":9},{"name":"y"},{"name":"x","v":1}]}"#),
            [r#"b = [{"name":"new"},{"name":"y","sec":"s2"},{"name":"x","v":{"$numberLong":"1"},"sec":"s1","ign":1}]"#]
        );
        assert_eq!(
            changes(live, r#"{"b":[{"name":"y","sec":"s3","w":1},{"name":"x","v":1}]}"#),
            [r#"b = [{"name":"y","sec":"s3","w":1},{"name":"x","v":{"$numberLong":"1"},"sec":"s1","ign":1}]"#]
        );
    }

    #[test]
    fn no_change_loses_a_secret() {
        let live = r#"{"b":[{"id":1,"sec":"s1"},{"id":2,"ign":1}]}"#;
        assert_eq!(moved(live, r#"{"b":[{"id":2}]}"#).as_deref(), Some("b[0].sec"));
        assert_eq!(moved(live, r#"{"b":[{"id":3},{"id":2}]}"#).as_deref(), Some("b[0].sec"));
        assert_eq!(moved(live, r#"{"b":[]}"#).as_deref(), Some("b[0].sec"));
        assert_eq!(moved(live, r#"{"b":[{"id":1}]}"#), None);
        let inner = r#"{"c":[{"id":1,"b":{"sec":1}},{"id":2}]}"#;
        assert_eq!(moved(inner, r#"{"c":[{"id":2},{"id":1}]}"#).as_deref(), Some("c[0].b.sec"));
        assert_eq!(moved(inner, r#"{"c":[{"id":2},{"id":1,"b":{}}]}"#), None);
        assert_eq!(moved(inner, r#"{"c":[{"id":1,"b":{"sec":null}}]}"#), None);
        // It makes no difference whether the element goes or the member that holds it.
        assert_eq!(moved(live, "{}").as_deref(), Some("b[0].sec"));
        assert_eq!(moved(live, r#"{"b":null}"#).as_deref(), Some("b[0].sec"));
        assert_eq!(moved(live, r#"{"b":"x"}"#).as_deref(), Some("b[0].sec"));
        assert_eq!(moved(r#"{"a":{"sec":1}}"#, "{}").as_deref(), Some("a.sec"));
        assert_eq!(moved(r#"{"a":{"sec":null},"b":[{"sec":null}]}"#, "{}"), None);
    }

    #[test]
    fn secrets_that_may_go_are_named() {
        let live = r#"{"a":{"sec":1},"b":[{"id":1,"sec":"s1"},{"id":2,"sec":"s2"},{"id":3,"sec":"s3"}]}"#;
        let (live, target) = (value(live), value(r#"{"b":[{"id":2}]}"#));
        let (changes, dropped) = live_changes_without_secrets(&live, &target, &policy());
        let dropped: Vec<String> = dropped.iter().map(ToString::to_string).collect();
        assert_eq!(dropped, ["a.sec", "b[0].sec", "b[2].sec"]);
        let mut made = live;
        apply_changes(&mut made, &changes).expect("applies");
        assert_eq!(made.to_json(), r#"{"b":[{"id":2,"sec":"s2"}]}"#);
    }

    #[test]
    fn elements_can_be_ignored_or_secret_themselves() {
        assert!(
            changes(r#"{"name":[1,2],"id":["x","s","y"]}"#, r#"{"name":[],"id":["x",{"$secret":true},"y"]}"#)
                .is_empty()
        );
        assert_eq!(changes(r#"{"id":["x","s","y"]}"#, r#"{"id":["z","t","y"]}"#), [r#"id[0] = "z""#, r#"id[1] = "t""#]);
        assert_eq!(changes(r#"{"id":["x","s","y"]}"#, r#"{"id":["y",null]}"#), [r#"id = ["y",null]"#]);
        assert_eq!(changes(r#"{"id":["x","s","y"]}"#, r#"{"id":["y"]}"#), [r#"id = ["y","s"]"#]);
        assert_eq!(moved(r#"{"id":["x","s"]}"#, r#"{"id":[]}"#).as_deref(), Some("id[1]"));
    }

    #[test]
    fn the_root_may_be_anything() {
        assert_eq!(changes("[1]", "{}"), [" = {}"]);
        assert_eq!(changes("[1]", "[2]"), ["[0] = 2"]);
    }

    #[test]
    fn what_the_target_dropped() {
        let base = value(r#"{"x":1,"y":null,"ign":1,"sec":1,"z":0}"#);
        assert_eq!(dropped_fields(&base, &value(r#"{"x":null}"#), &policy()), [FieldPath::key("z")]);
    }

    #[test]
    fn long_arrays_and_objects() {
        let doc = |shift: i64| {
            let items = (0..9_973).map(|n| Object::new().with("p", (n * shift) % 9_973).with("sec", n));
            let object = (0..10_000).map(|n| (format!("key{}", n + shift), Value::from(n)));
            let object = Value::Object(object.collect());
            Value::from(
                Object::new()
                    .with("b", items.map(Value::from).collect::<Vec<_>>())
                    .with("o", object.clone())
                    .with("x", vec![object]),
            )
        };
        let changes = live_changes(&doc(7), &doc(11), &policy()).expect("every element has a mate");
        assert_eq!(changes.len(), 3);
    }

    /// Returns whether every container around `path` is there in `doc`, as an object.
    fn is_reached(doc: &Value, path: &FieldPath) -> bool {
        (0..path.steps().len()).all(|n| {
            let parent = FieldPath::from_steps(path.steps()[..n].to_vec());
            parent.get(doc).is_some_and(|value| value.as_object().is_some())
        })
    }

    proptest! {
        #[test]
        fn live_becomes_the_target_and_keeps_what_is_its_own(
            live in arbitrary::object(),
            other in arbitrary::object(),
            related in any::<bool>(),
        ) {
            let policy = policy();
            let target = if related {
                let members = live.as_object().into_iter().chain(other.as_object()).flatten().cloned();
                Value::Object(members.collect())
            } else {
                other
            };
            let has_form = |doc: &Value| canonical_bytes(&policy.versioned(doc), &FieldPolicy::default()).is_ok();
            if !has_form(&live) || !has_form(&target) {
                return Ok(());
            }
            let shown = || format!("{} to {}", live.to_json(), target.to_json());
            let Ok(changes) = live_changes(&live, &target, &policy) else { return Ok(()) };
            let mut made = live.clone();
            apply_changes(&mut made, &changes).expect("applies");
            prop_assert!(same(&policy.versioned(&made), &policy.versioned(&target)), "{} gave {}", shown(), made.to_json());
            let no_index = |path: &&FieldPath| path.steps().iter().all(|step| matches!(step, Step::Key(_)));
            let ignored = policy.ignored_paths(&live);
            for path in ignored.iter().filter(no_index).filter(|path| is_reached(&target, path)) {
                prop_assert!(path.get(&made) == path.get(&live), "{} lost {path}", shown());
            }
            let secrets = policy.secret_paths(&live);
            for path in secrets.iter().filter(no_index).filter(|path| is_reached(&target, path)) {
                let expected = path.get(&target).or(path.get(&live));
                prop_assert!(expected.zip(path.get(&made)).is_some_and(|(a, b)| equal(a, b)), "{} lost {path}", shown());
            }
            let again = live_changes(&made, &target, &policy).map(|changes| changes.len());
            prop_assert_eq!(again, Ok(0), "{} gave {}", shown(), made.to_json());
            let mut masked = live.clone();
            policy.mask_secrets(&mut masked);
            for unchanged in [&live, &masked, &policy.without_secrets(&live), &policy.versioned(&live)] {
                let is_shifted = |array: &Value| array.as_array().is_some_and(|items| items.len() > 1);
                if unchanged.get("id").is_some_and(is_shifted) {
                    continue; // Without the secret element at `id[1]`, the next one takes its index.
                }
                prop_assert_eq!(live_changes(&live, unchanged, &policy).map(|changes| changes.len()), Ok(0));
            }
        }

        #[test]
        fn secrets_stay_with_their_elements(
            live in prop::collection::vec(0usize..8, 0..8),
            target in prop::collection::vec((0usize..8, 0i64..3), 0..8),
        ) {
            let element = |n: usize, v: i64| Object::new().with("name", format!("tool {n}")).with("v", v);
            let mut names = std::collections::HashSet::new();
            let live: Vec<_> = live.into_iter().filter(|n| names.insert(*n)).collect();
            let live = live.iter().map(|n| Value::from(element(*n, 0).with("sec", format!("of tool {n}"))));
            let live: Value = Object::new().with("b", live.collect::<Vec<_>>()).into();
            names.clear();
            let target = target.into_iter().filter(|(n, _)| names.insert(*n));
            let target: Value =
                Object::new().with("b", target.map(|(n, v)| Value::from(element(n, v))).collect::<Vec<_>>()).into();
            let elements = |doc: &Value| doc.get("b").and_then(Value::as_array).map(<[Value]>::to_vec).unwrap_or_default();
            let name = |tool: &Value| tool.get("name").cloned().expect("a name");
            let named = |doc: &Value, name: &Value| elements(doc).iter().any(|tool| tool.get("name") == Some(name));
            let Ok(changes) = live_changes(&live, &target, &policy()) else {
                // Refused only where an element is gone.
                prop_assert!(elements(&live).iter().any(|tool| !named(&target, &name(tool))));
                return Ok(());
            };
            let mut made = live.clone();
            apply_changes(&mut made, &changes).expect("applies");
            prop_assert_eq!(policy().secret_paths(&made).len(), policy().secret_paths(&live).len());
            for tool in elements(&made) {
                if named(&live, &name(&tool)) {
                    let expected = name(&tool).as_str().map(|name| Value::from(format!("of {name}")));
                    prop_assert!(tool.get("sec") == expected.as_ref());
                }
            }
            prop_assert!(!is_secret_marker(&made) && is_secret_marker(&secret_marker()));
        }
    }
}
