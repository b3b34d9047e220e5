//! New content for a place in the live document that keeps what is not versioned there.
//!
//! The content is the target's. Values that are equal in canonical form keep the live spelling and
//! width, ignored and secret values stay the live ones, and a secret may be given anew.

use std::borrow::Cow;

use super::align::{Pair, align, equal};
use super::field_path::Step;
use super::field_policy::{PolicyCursor, Treatment, is_secret_marker};
use super::keyed::NameIndex;
use super::value::{Object, Value};

/// The way to a secret that would be lost, innermost step first.
pub(crate) type LostSecret = Vec<Step>;

/// A value and where its rules stand.
#[derive(Clone, Copy)]
pub(crate) struct Ruled<'v> {
    pub(crate) value: &'v Value,
    pub(crate) cursor: PolicyCursor<'v>,
}

/// The elements of an array and where their rules stand.
pub(crate) struct RuledArray<'v> {
    pub(crate) items: &'v [Value],
    pub(crate) cursor: PolicyCursor<'v>,
    /// The indexes of the versioned elements.
    pub(crate) versioned: Vec<usize>,
}

impl<'v> RuledArray<'v> {
    pub(crate) fn new(items: &'v [Value], cursor: PolicyCursor<'v>) -> Self {
        let versioned = (0..items.len()).filter(|n| cursor.element(*n).0 == Treatment::Versioned).collect();
        RuledArray { items, cursor, versioned }
    }

    fn element(&self, index: usize) -> Ruled<'v> {
        Ruled { value: &self.items[index], cursor: self.cursor.element(index).1 }
    }
}

/// Pairs the versioned elements of two arrays by their versioned content. The pairs hold places
/// in [`RuledArray::versioned`].
pub(crate) fn align_versioned(live: &RuledArray<'_>, target: &RuledArray<'_>) -> Vec<Pair> {
    fn parts<'v>(array: &RuledArray<'v>) -> Vec<Cow<'v, Value>> {
        array.versioned.iter().map(|n| versioned_part(array.element(*n))).collect()
    }
    fn refs<'a>(parts: &'a [Cow<'_, Value>]) -> Vec<&'a Value> {
        parts.iter().map(AsRef::as_ref).collect()
    }
    let (live, target) = (parts(live), parts(target));
    align(&refs(&live), &refs(&target))
}

/// Returns the versioned part of a value.
fn versioned_part(ruled: Ruled<'_>) -> Cow<'_, Value> {
    let Ruled { value, cursor } = ruled;
    if cursor.is_free() {
        return Cow::Borrowed(value);
    }
    match value {
        Value::Object(object) => {
            let members = object.iter().filter_map(|(key, value)| match cursor.member(key) {
                (Treatment::Versioned, cursor) => {
                    Some((key.clone(), versioned_part(Ruled { value, cursor }).into_owned()))
                }
                _ => None,
            });
            Cow::Owned(Value::Object(Object::from_members(members.collect())))
        }
        Value::Array(items) => {
            let items = items.iter().enumerate().filter_map(|(n, value)| match cursor.element(n) {
                (Treatment::Versioned, cursor) => Some(versioned_part(Ruled { value, cursor }).into_owned()),
                _ => None,
            });
            Cow::Owned(Value::Array(items.collect()))
        }
        scalar => Cow::Borrowed(scalar),
    }
}

/// Returns whether a value holds anything ignored or secret.
pub(crate) fn has_unversioned(ruled: Ruled<'_>) -> bool {
    any_unversioned(ruled, &|_, _| true).is_some()
}

/// Returns the way to a secret inside a value, if there is one.
pub(crate) fn secret_in(ruled: Ruled<'_>) -> Option<LostSecret> {
    any_unversioned(ruled, &|treatment, value| treatment == Treatment::Secret && !value.is_null())
}

fn any_unversioned(ruled: Ruled<'_>, wanted: &impl Fn(Treatment, &Value) -> bool) -> Option<LostSecret> {
    let Ruled { value, cursor } = ruled;
    if cursor.is_free() {
        return None;
    }
    let visit = |step: &dyn Fn() -> Step, (treatment, cursor), value| {
        if treatment != Treatment::Versioned {
            return wanted(treatment, value).then(|| vec![step()]);
        }
        any_unversioned(Ruled { value, cursor }, wanted).map(|steps| under(steps, step()))
    };
    match value {
        Value::Object(object) => {
            object.iter().find_map(|(key, value)| visit(&|| Step::Key(key.clone()), cursor.member(key), value))
        }
        Value::Array(items) => {
            let mut items = items.iter().enumerate();
            items.find_map(|(n, value)| visit(&|| Step::Index(n), cursor.element(n), value))
        }
        _ => None,
    }
}

fn under(mut steps: LostSecret, step: Step) -> LostSecret {
    steps.push(step);
    steps
}

/// Returns whether a secret that was given is the live one; unlike content, a secret is compared
/// by its exact characters.
pub(crate) fn same_secret(live: &Value, given: &Value) -> bool {
    match (live, given) {
        (Value::String(live), Value::String(given)) => live == given,
        (Value::Array(live), Value::Array(given)) => {
            live.len() == given.len() && live.iter().zip(given).all(|(live, given)| same_secret(live, given))
        }
        (Value::Object(live), Value::Object(given)) => {
            let names = NameIndex::new(live);
            let present = |object: &Object| object.iter().filter(|(_, value)| !value.is_null()).count();
            let mut members = given.iter().filter(|(_, value)| !value.is_null());
            present(live) == present(given)
                && members.all(|(key, value)| names.get(key).is_some_and(|(_, live)| same_secret(live, value)))
        }
        _ => equal(live, given),
    }
}

/// Returns what a new place holds: the target without its ignored values and secret markers.
pub(crate) fn fresh(target: Ruled<'_>) -> Value {
    let Ruled { value, cursor } = target;
    if cursor.is_free() {
        return value.clone();
    }
    match value {
        Value::Object(object) => {
            let members = object.iter().filter_map(|(key, value)| {
                let kept = match cursor.member(key) {
                    (Treatment::Versioned, cursor) => fresh(Ruled { value, cursor }),
                    (Treatment::Secret, _) if !is_secret_marker(value) => value.clone(),
                    _ => return None,
                };
                Some((key.clone(), kept))
            });
            Value::Object(Object::from_members(members.collect()))
        }
        Value::Array(items) => {
            let none = RuledArray::new(&[], cursor);
            carry_array(&none, &RuledArray::new(items, cursor), &[]).unwrap_or_default()
        }
        scalar => scalar.clone(),
    }
}

/// Returns the target's content with what is not versioned in the live value.
pub(crate) fn carry(live: Ruled<'_>, target: Ruled<'_>) -> Result<Value, LostSecret> {
    match (live.value, target.value) {
        (Value::Object(old), Value::Object(new)) => carry_object(old, live.cursor, new, target.cursor),
        (Value::Array(old), Value::Array(new)) => {
            let old = RuledArray::new(old, live.cursor);
            let new = RuledArray::new(new, target.cursor);
            carry_array(&old, &new, &align_versioned(&old, &new))
        }
        (old, new) if equal(old, new) => Ok(old.clone()),
        _ => match secret_in(live) {
            Some(lost) => Err(lost),
            None => Ok(fresh(target)),
        },
    }
}

fn carry_object(
    live: &Object,
    live_cursor: PolicyCursor<'_>,
    target: &Object,
    target_cursor: PolicyCursor<'_>,
) -> Result<Value, LostSecret> {
    let (old, new) = (NameIndex::new(live), NameIndex::new(target));
    let is_versioned = |key: &str, cursor: PolicyCursor<'_>| cursor.member(key).0 == Treatment::Versioned;
    let gone =
        |(key, value): &&(String, Value)| !value.is_null() && is_versioned(key, live_cursor) && new.get(key).is_none();
    let come = |(key, value): &&(String, Value)| {
        !value.is_null() && is_versioned(key, target_cursor) && old.get(key).is_none()
    };
    // Where the names agree the live order stays, else the target's is taken.
    let by_live = !live.iter().any(|member| gone(&member)) && !target.iter().any(|member| come(&member));
    let (lead, names, rest, rest_names) = if by_live { (live, &old, target, &new) } else { (target, &new, live, &old) };
    let mut members: Vec<(String, Value)> = Vec::with_capacity(live.len().max(target.len()));
    let mut add = |member: &(String, Value), other: Option<&(String, Value)>, leads: bool| -> Result<(), LostSecret> {
        let (l, t) = if leads == by_live { (Some(member), other) } else { (other, Some(member)) };
        let Some((key, _)) = l.or(t) else { return Ok(()) };
        // A null that was passed over must not come twice.
        if !leads && member.1.is_null() && members.iter().any(|(name, _)| name == key) {
            return Ok(());
        }
        let live = (l.map(|(_, value)| value), live_cursor.member(key));
        let target = (t.map(|(_, value)| value), target_cursor.member(key));
        if let Some(value) = carry_member(live, target).map_err(|lost| under(lost, Step::Key(key.clone())))? {
            members.push((key.clone(), value));
        }
        Ok(())
    };
    let mut done = vec![false; rest.len()];
    for member in lead {
        // Beside a null, another spelling of the name may carry the value.
        if member.1.is_null() && names.get(&member.0).is_some() {
            continue;
        }
        let other = rest_names.position(&member.0);
        if let Some(other) = other {
            done[other] = true;
        }
        add(member, other.map(|n| &rest.members()[n]), true)?;
    }
    let rest_cursor = if by_live { target_cursor } else { live_cursor };
    for (member, _) in rest.iter().zip(done).filter(|(_, done)| !done) {
        if !(member.1.is_null() && is_versioned(&member.0, rest_cursor)) {
            add(member, None, false)?;
        }
    }
    Ok(Value::Object(Object::from_members(members)))
}

/// Returns the new value of one member, `None` if there is to be none.
fn carry_member(
    (live, (live_treatment, live_cursor)): (Option<&Value>, (Treatment, PolicyCursor<'_>)),
    (target, (treatment, cursor)): (Option<&Value>, (Treatment, PolicyCursor<'_>)),
) -> Result<Option<Value>, LostSecret> {
    if let Some(given) = target.filter(|value| treatment == Treatment::Secret && !is_secret_marker(value)) {
        return Ok(Some(given.clone()));
    }
    let kept = live.filter(|_| live_treatment == treatment);
    let is_removed = treatment == Treatment::Versioned && target.is_none_or(Value::is_null);
    if let Some(live) = live.filter(|live| !live.is_null() && (kept.is_none() || is_removed)) {
        let lost = match live_treatment {
            Treatment::Secret => Some(Vec::new()),
            Treatment::Ignored => None,
            Treatment::Versioned => secret_in(Ruled { value: live, cursor: live_cursor }),
        };
        if let Some(lost) = lost {
            return Err(lost);
        }
    }
    match (treatment, kept, target) {
        (Treatment::Ignored | Treatment::Secret, kept, _) => Ok(kept.cloned()),
        (Treatment::Versioned, Some(Value::Null), None) => Ok(Some(Value::Null)),
        (Treatment::Versioned, _, None) => Ok(None),
        (Treatment::Versioned, _, Some(Value::Null)) => Ok(Some(Value::Null)),
        (Treatment::Versioned, Some(live), Some(value)) if !live.is_null() => {
            carry(Ruled { value: live, cursor: live_cursor }, Ruled { value, cursor }).map(Some)
        }
        (Treatment::Versioned, _, Some(value)) => Ok(Some(fresh(Ruled { value, cursor }))),
    }
}

/// Returns the target's elements with what is not versioned in their live mates; elements that are
/// not versioned themselves stay at their index.
pub(crate) fn carry_array(live: &RuledArray<'_>, target: &RuledArray<'_>, pairs: &[Pair]) -> Result<Value, LostSecret> {
    let mut mates = vec![None; target.versioned.len()];
    let mut mated = vec![false; live.versioned.len()];
    for pair in pairs {
        mates[pair.after] = Some(live.versioned[pair.before]);
        mated[pair.before] = true;
    }
    for (n, _) in live.versioned.iter().zip(mated).filter(|(_, mated)| !mated) {
        if let Some(lost) = secret_in(live.element(*n)) {
            return Err(under(lost, Step::Index(*n)));
        }
    }
    // Rules for single indexes can put a moved array's secret where it would be versioned.
    let is_secret = |array: &RuledArray<'_>, n: usize| array.cursor.element(n).0 == Treatment::Secret;
    let mut secrets = (0..live.items.len()).filter(|n| is_secret(live, *n) && !live.items[*n].is_null());
    if let Some(n) = secrets.find(|n| !is_secret(target, *n)) {
        return Err(vec![Step::Index(n)]);
    }
    let mut waiting = target.versioned.iter().zip(mates).peekable();
    let mut made = Vec::with_capacity(target.items.len());
    for index in 0.. {
        if waiting.peek().is_none() && index >= live.items.len().max(target.items.len()) {
            break;
        }
        let (treatment, _) = target.cursor.element(index);
        let stays = live.items.get(index).filter(|_| live.cursor.element(index).0 == treatment);
        let given = target.items.get(index).filter(|value| !is_secret_marker(value));
        match (treatment, waiting.peek().is_some()) {
            (Treatment::Versioned, true) => {
                let Some((place, mate)) = waiting.next() else { break };
                made.push(match mate {
                    Some(n) => {
                        carry(live.element(n), target.element(*place)).map_err(|lost| under(lost, Step::Index(n)))?
                    }
                    None => fresh(target.element(*place)),
                });
            }
            (Treatment::Versioned, false) => {
                // Nothing may stand here, so nothing behind it can stay.
                let lost = (index..live.items.len()).find(|n| is_secret(live, *n) && !live.items[*n].is_null());
                match lost {
                    Some(n) => return Err(vec![Step::Index(n)]),
                    None => break,
                }
            }
            (Treatment::Secret, _) if given.is_some() => made.extend(given.cloned()),
            (_, more) => made.extend(stays.cloned().or(more.then_some(Value::Null))),
        }
    }
    Ok(Value::Array(made))
}
