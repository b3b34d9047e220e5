//! Generated documents and paths for the property tests.

use proptest::prelude::*;

use super::field_path::{FieldPath, Step};
use super::value::{Object, Value};

/// Few names, so that documents meet; two of them are one name after NFC.
pub(crate) const NAMES: &[&str] = &["a", "b", "c", "id", "name", "ign", "sec", "\u{e9}", "e\u{301}"];

pub(crate) fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-2i64..4).prop_map(Value::from),
        prop_oneof![Just(1.0), Just(0.5), Just(-1.5)].prop_map(Value::from),
        prop_oneof![Just(""), Just("x"), Just("1"), Just("q\"\\\u{1}\u{20ac}"), Just("e\u{301}")].prop_map(Value::from),
    ]
}

/// A document of plain JSON values.
pub(crate) fn plain() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            prop::collection::vec((prop::sample::select(NAMES), inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())),
        ]
    })
}

/// A document whose top level is an object.
pub(crate) fn object() -> impl Strategy<Value = Value> {
    prop::collection::vec((prop::sample::select(NAMES), plain()), 0..6)
        .prop_map(|members| Value::Object(members.into_iter().map(|(k, v)| (k.to_owned(), v)).collect::<Object>()))
}

pub(crate) fn path() -> impl Strategy<Value = FieldPath> {
    let step = prop_oneof![
        3 => prop::sample::select(NAMES).prop_map(|name| Step::Key(name.to_owned())),
        1 => (0usize..4).prop_map(Step::Index),
    ];
    prop::collection::vec(step, 0..4).prop_map(FieldPath::from_steps)
}

/// Lists every place in a document, the whole document first.
pub(crate) fn places(doc: &Value) -> Vec<FieldPath> {
    let mut found = vec![FieldPath::root()];
    let mut next = 0;
    while next < found.len() {
        let here = found[next].clone();
        match here.get(doc) {
            Some(Value::Object(object)) => {
                found.extend(object.keys().map(|key| here.join(Step::Key(key.to_owned()))));
            }
            Some(Value::Array(items)) => found.extend((0..items.len()).map(|n| here.join(Step::Index(n)))),
            _ => {}
        }
        next += 1;
    }
    found
}
