//! Which element of one array is which of another: by equal content, by a name that both carry,
//! then by likeness and position between those.

use std::collections::{HashMap, VecDeque};

use similar::{Algorithm, DiffOp, capture_diff_slices};

use super::canonical::{canonical_bytes, same};
use super::field_policy::FieldPolicy;
use super::keyed::NameIndex;
use super::text::nfc;
use super::value::Value;

/// Members that say which element an object is, the strongest first.
const IDENTITY: &[&str] = &["id", "_id", "name", "key"];

/// How many of them are identifiers: objects that differ in one are never the same element.
const IDENTIFIERS: usize = 2;

/// Between fixed elements, so many comparisons are worth finding the best pairs.
const BEST_PAIRS: usize = 1024;

/// Two elements that are taken to be the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) before: usize,
    pub(crate) after: usize,
    /// Whether the content is equal.
    pub(crate) equal: bool,
    /// Whether the element changed its place among the others.
    pub(crate) moved: bool,
}

/// Returns whether two values are the same in canonical form, or spelled alike where they have none.
pub(crate) fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        _ if a == b => true,
        (Value::String(a), Value::String(b)) => nfc(a) == nfc(b),
        (Value::Null | Value::Bool(_), _) | (_, Value::Null | Value::Bool(_)) => false,
        _ => same(a, b) || content_key(a) == content_key(b),
    }
}

/// Returns bytes that are equal for equal content.
fn content_key(value: &Value) -> Vec<u8> {
    canonical_bytes(value, &FieldPolicy::default()).unwrap_or_else(|_| {
        // Canonical bytes are UTF-8, so none begin like this.
        let mut key = vec![0xFF];
        key.extend_from_slice(value.to_interchange().as_bytes());
        key
    })
}

/// Returns the pairs in the order of `after`.
pub(crate) fn align(before: &[&Value], after: &[&Value]) -> Vec<Pair> {
    let mut mates = Mates { of_after: vec![None; after.len()], taken: vec![false; before.len()] };
    let prefix = before.iter().zip(after).take_while(|(a, b)| a == b).count();
    let rest = before.len().min(after.len()) - prefix;
    let suffix = before.iter().rev().zip(after.iter().rev()).take(rest).take_while(|(a, b)| a == b).count();
    for n in 0..prefix {
        mates.join(n, n, true);
    }
    for n in 1..=suffix {
        mates.join(before.len() - n, after.len() - n, true);
    }
    let (middle_before, middle_after) = (prefix..before.len() - suffix, prefix..after.len() - suffix);
    if !middle_before.is_empty() && !middle_after.is_empty() {
        mates.by_content(&before[middle_before], &after[middle_after], prefix);
        mates.by_identity(before, after);
    }
    let mut pairs = mates.pairs();
    mark_moved(&mut pairs);
    mates.between(&pairs, before, after);
    let moved: Vec<usize> = pairs.iter().filter(|pair| pair.moved).map(|pair| pair.after).collect();
    let mut pairs = mates.pairs();
    for pair in &mut pairs {
        pair.moved = moved.binary_search(&pair.after).is_ok();
        pair.equal = pair.equal || equal(before[pair.before], after[pair.after]);
    }
    pairs
}

struct Mates {
    of_after: Vec<Option<(usize, bool)>>,
    taken: Vec<bool>,
}

impl Mates {
    fn join(&mut self, before: usize, after: usize, equal: bool) {
        self.of_after[after] = Some((before, equal));
        self.taken[before] = true;
    }

    fn pairs(&self) -> Vec<Pair> {
        let mates = self.of_after.iter().enumerate();
        mates
            .filter_map(|(after, mate)| mate.map(|(before, equal)| Pair { before, after, equal, moved: false }))
            .collect()
    }

    /// Joins equal elements: a long common subsequence first, then what is left wherever it stands.
    fn by_content(&mut self, before: &[&Value], after: &[&Value], offset: usize) {
        let mut ids: HashMap<Vec<u8>, u32> = HashMap::with_capacity(before.len());
        let mut intern = |value: &&Value| {
            let next = ids.len() as u32;
            *ids.entry(content_key(value)).or_insert(next)
        };
        let before: Vec<u32> = before.iter().map(&mut intern).collect();
        let after: Vec<u32> = after.iter().map(&mut intern).collect();
        for op in capture_diff_slices(Algorithm::Myers, &before, &after) {
            if let DiffOp::Equal { old_index, new_index, len } = op {
                (0..len).for_each(|n| self.join(offset + old_index + n, offset + new_index + n, true));
            }
        }
        let mut left: HashMap<u32, VecDeque<usize>> = HashMap::new();
        for (n, id) in before.iter().enumerate().filter(|(n, _)| !self.taken[offset + n]) {
            left.entry(*id).or_default().push_back(n);
        }
        for (n, id) in after.iter().enumerate() {
            if self.of_after[offset + n].is_none()
                && let Some(mate) = left.get_mut(id).and_then(VecDeque::pop_front)
            {
                self.join(offset + mate, offset + n, true);
            }
        }
    }

    /// Joins what is left and carries a name that no other element left carries.
    fn by_identity(&mut self, before: &[&Value], after: &[&Value]) {
        let unique = |values: &[&Value], is_left: &dyn Fn(usize) -> bool| {
            let mut found: HashMap<Identity, Option<usize>> = HashMap::new();
            for (n, value) in values.iter().enumerate().filter(|(n, _)| is_left(*n)) {
                if let Some(identity) = identity(value) {
                    found.entry(identity).and_modify(|at| *at = None).or_insert(Some(n));
                }
            }
            found
        };
        let left = unique(before, &|n| !self.taken[n]);
        for (identity, at) in unique(after, &|n| self.of_after[n].is_none()) {
            if let (Some(at), Some(Some(mate))) = (at, left.get(&identity)) {
                self.join(*mate, at, false);
            }
        }
    }

    /// Joins what is left between the pairs that kept their order.
    fn between(&mut self, pairs: &[Pair], before: &[&Value], after: &[&Value]) {
        let end = Pair { before: before.len(), after: after.len(), equal: true, moved: false };
        let mut from = (0, 0);
        for pair in pairs.iter().filter(|pair| !pair.moved).chain([&end]) {
            let left: Vec<usize> = (from.0..pair.before).filter(|n| !self.taken[*n]).collect();
            let new: Vec<usize> = (from.1..pair.after).filter(|n| self.of_after[*n].is_none()).collect();
            for (b, a) in pair_gap(&left, &new, before, after) {
                self.join(b, a, false);
            }
            from = (pair.before + 1, pair.after + 1);
        }
    }
}

type Identity = (usize, Vec<u8>);

/// Returns the member that says which element an object is, by its place in [`IDENTITY`].
fn identity(value: &Value) -> Option<Identity> {
    let object = value.as_object()?;
    IDENTITY.iter().enumerate().find_map(|(n, name)| match object.get(name)? {
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        scalar => Some((n, content_key(scalar))),
    })
}

/// Marks as moved what does not fit into a longest ascending order; of several such orders, the
/// one that leaves most elements at their very index.
fn mark_moved(pairs: &mut [Pair]) {
    let width = pairs.iter().map(|pair| pair.before + 1).max().unwrap_or(0);
    // A Fenwick tree over `before`: the best order that ends at or below a place.
    let mut best: Vec<Option<Ascent>> = vec![None; width + 1];
    let mut previous: Vec<Option<usize>> = vec![None; pairs.len()];
    let mut longest: Option<Ascent> = None;
    for (n, pair) in pairs.iter().enumerate() {
        let mut below: Option<Ascent> = None;
        let mut at = pair.before;
        while at > 0 {
            below = below.max(best[at]);
            at &= at - 1;
        }
        previous[n] = below.map(|(_, _, end)| end);
        let (length, fixed) = below.map_or((0, 0), |(length, fixed, _)| (length, fixed));
        let here = Some((length + 1, fixed + usize::from(pair.before == pair.after), n));
        longest = longest.max(here);
        let mut at = pair.before + 1;
        while at <= width {
            best[at] = best[at].max(here);
            at += at & at.wrapping_neg();
        }
    }
    pairs.iter_mut().for_each(|pair| pair.moved = true);
    let mut at = longest.map(|(_, _, end)| end);
    while let Some(n) = at {
        pairs[n].moved = false;
        at = previous[n];
    }
}

/// An ascending order: its length, how many of its elements kept their index, its last pair.
type Ascent = (usize, usize, usize);

/// Pairs what is left of two stretches, in order.
fn pair_gap(left: &[usize], new: &[usize], before: &[&Value], after: &[&Value]) -> Vec<(usize, usize)> {
    if left.is_empty() || new.is_empty() {
        return Vec::new();
    }
    let even = left.len() == new.len();
    let score = |i: usize, j: usize| likeness(before[left[i]], after[new[j]], even && i == j);
    if left.len().saturating_mul(new.len()) > BEST_PAIRS {
        let by_place = left.iter().zip(new).enumerate();
        return by_place.filter(|(n, _)| score(*n, *n) > 0).map(|(_, (b, a))| (*b, *a)).collect();
    }
    // The common subsequence of the greatest likeness.
    let width = new.len() + 1;
    let mut scores = vec![0u32; left.len() * new.len()];
    let mut best = vec![0u32; (left.len() + 1) * width];
    for i in (0..left.len()).rev() {
        for j in (0..new.len()).rev() {
            let here = score(i, j);
            scores[i * new.len() + j] = here;
            let paired = if here > 0 { here + best[(i + 1) * width + j + 1] } else { 0 };
            best[i * width + j] = paired.max(best[(i + 1) * width + j]).max(best[i * width + j + 1]);
        }
    }
    let (mut i, mut j, mut pairs) = (0, 0, Vec::new());
    while i < left.len() && j < new.len() {
        let (here, all) = (scores[i * new.len() + j], best[i * width + j]);
        if here > 0 && all == here + best[(i + 1) * width + j + 1] {
            pairs.push((left[i], new[j]));
            (i, j) = (i + 1, j + 1);
        } else if all == best[(i + 1) * width + j] {
            i += 1;
        } else {
            j += 1;
        }
    }
    pairs
}

/// Says how much two unequal elements look like the same one; 0 if they cannot be.
fn likeness(before: &Value, after: &Value, same_place: bool) -> u32 {
    let place = u32::from(same_place);
    match (before, after) {
        (Value::Object(b), Value::Object(a)) => {
            let differ = |name: &&&str| matches!((b.get(name), a.get(name)), (Some(b), Some(a)) if !equal(b, a));
            if IDENTITY[..IDENTIFIERS].iter().any(|name| differ(&name)) {
                return 0;
            }
            let names = NameIndex::new(b);
            let shared = a.iter().filter(|(key, value)| names.get(key).is_some_and(|(_, other)| equal(other, value)));
            4 * shared.count() as u32 + place
        }
        _ if before.type_name() == after.type_name() => 1 + place,
        _ => place,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(before: &str, after: &str) -> Vec<(usize, usize)> {
        let (before, after) = (array(before), array(after));
        let (before, after) = (before.iter().collect::<Vec<_>>(), after.iter().collect::<Vec<_>>());
        align(&before, &after).iter().map(|pair| (pair.before, pair.after)).collect()
    }

    fn array(text: &str) -> Vec<Value> {
        Value::from_json(text).expect("JSON").as_array().expect("an array").to_vec()
    }

    #[test]
    fn equal_content_first_wherever_it_stands() {
        assert_eq!(pairs("[1,2,3]", "[1.0,3,2]"), [(0, 0), (2, 1), (1, 2)]);
        assert_eq!(pairs("[1,1,2]", "[2,1,1]"), [(2, 0), (0, 1), (1, 2)]);
    }

    #[test]
    fn then_by_name_then_by_likeness() {
        let before = r#"[{"name":"a","v":1},{"name":"b","v":1}]"#;
        assert_eq!(pairs(before, r#"[{"name":"b","v":2},{"name":"a","v":2}]"#), [(1, 0), (0, 1)]);
        // Without a name, the one that shares most; the new element in front is nobody's.
        let before = r#"[{"t":1,"x":1,"y":1}]"#;
        assert_eq!(pairs(before, r#"[{"t":1,"x":2,"y":2},{"t":1,"x":1,"y":9}]"#), [(0, 1)]);
    }

    #[test]
    fn by_position_in_even_stretches_unless_an_id_differs() {
        assert_eq!(pairs(r#"[{"name":"a"}]"#, r#"[{"name":"b"}]"#), [(0, 0)]);
        assert_eq!(pairs(r#"["a", 1]"#, r#"["b", "c"]"#), [(0, 0), (1, 1)]);
        assert_eq!(pairs(r#"[{"id":1,"v":1}]"#, r#"[{"id":2,"v":1}]"#), []);
        assert_eq!(pairs(r#"[{"x":1}]"#, r#"[{"x":2},{"x":3}]"#), []);
    }

    #[test]
    fn long_arrays_in_any_order() {
        let numbers: Vec<Value> = (0..20_000).map(Value::from).collect();
        let forth: Vec<&Value> = numbers.iter().collect();
        let back: Vec<&Value> = numbers.iter().rev().collect();
        assert_eq!(align(&forth, &back).len(), 20_000);
        let other: Vec<Value> = (0..20_000).map(|n| Value::from((n * 7919) % 500)).collect();
        let few: Vec<Value> = (0..20_000).map(|n| Value::from((n * 104_729) % 499)).collect();
        let (other, few) = (other.iter().collect::<Vec<_>>(), few.iter().collect::<Vec<_>>());
        assert!(align(&other, &few).len() > 19_000);
    }
}
