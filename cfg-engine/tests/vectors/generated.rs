//! Documents for the property tests, biased to where the rules differ from each other.

use cfg_engine::Value;
use cfg_engine::document::{Extended, Number, Object};
use proptest::prelude::*;

/// Characters at the borders: of escapes, of UTF-8 and UTF-16, of normalization, of the path grammar.
const BORDERS: &[char] = &[
    'a',
    'e',
    'A',
    '0',
    '$',
    '.',
    '[',
    ']',
    '"',
    '\\',
    '/',
    ' ',
    '\n',
    '\u{0}',
    '\u{1f}',
    '\u{7f}',
    '\u{e9}',
    '\u{300}',
    '\u{301}',
    '\u{323}',
    '\u{212b}',
    '\u{1100}',
    '\u{1161}',
    '\u{11a8}',
    '\u{ac00}',
    '\u{d7ff}',
    '\u{e000}',
    '\u{efff}',
    '\u{f000}',
    '\u{ffff}',
    '\u{10000}',
    '\u{1f600}',
    '\u{10ffff}',
];

pub(crate) fn text() -> impl Strategy<Value = String> {
    let c = prop_oneof![3 => prop::sample::select(BORDERS), 1 => any::<char>()];
    prop::collection::vec(c, 0..12).prop_map(String::from_iter)
}

fn key() -> impl Strategy<Value = String> {
    const NAMES: &[&str] = &[
        "$oid",
        "$date",
        "$binary",
        "$uuid",
        "$numberInt",
        "$numberLong",
        "$numberDouble",
        "$numberDecimal",
        "$timestamp",
        "$regularExpression",
        "$code",
        "$scope",
        "$symbol",
        "$dbPointer",
        "$minKey",
        "$maxKey",
        "$undefined",
        "$store",
        "$literal",
        "$ref",
        "$id",
        "$schema",
        "$secret",
    ];
    prop_oneof![
        2 => prop::sample::select(NAMES).prop_map(str::to_owned),
        2 => "[a-f]{1,3}",
        1 => text(),
    ]
}

/// The text of a JSON number, of any length.
pub(crate) fn number_text() -> impl Strategy<Value = String> {
    let whole = prop_oneof![Just("0".to_owned()), "[1-9][0-9]{0,30}"];
    let fraction = prop_oneof![Just(String::new()), "\\.[0-9]{1,30}"];
    let exponent = prop_oneof![3 => Just(String::new()), 1 => "[eE][+-]?[0-9]{1,3}"];
    (any::<bool>(), whole, fraction, exponent)
        .prop_map(|(negative, whole, fraction, exponent)| format!("{}{whole}{fraction}{exponent}", minus(negative)))
}

fn minus(negative: bool) -> &'static str {
    if negative { "-" } else { "" }
}

pub(crate) fn finite_double() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<u64>().prop_map(f64::from_bits),
        (-1_000_000i32..1_000_000, 0i32..10).prop_map(|(n, places)| f64::from(n) / 10f64.powi(places)),
        (-1074i32..1024).prop_map(|power| 2f64.powi(power)),
        (-330i32..309, 1u32..1000).prop_map(|(power, n)| f64::from(n) * 10f64.powi(power)),
    ]
    .prop_filter("finite", |double| double.is_finite())
}

/// Numbers that interchange gives back with their width; an Int32 comes back as a plain integer.
fn number() -> impl Strategy<Value = Number> {
    let small = -1000i64..1000;
    prop_oneof![
        prop_oneof![small.clone(), any::<i64>()].prop_map(Number::Int),
        prop_oneof![small, any::<i64>()].prop_map(Number::Int64),
        finite_double().prop_map(Number::Double),
        number_text().prop_filter_map("a JSON number", |text| Number::from_json(&text)),
        ("[0-9]{1,34}", -6200i32..6200, any::<bool>())
            .prop_filter_map("a Decimal128", |(digits, exponent, negative)| {
                Number::decimal128(&format!("{}{digits}E{exponent}", minus(negative)))
            }),
        ("[0-9]{1,17}\\.[0-9]{1,17}", any::<bool>()).prop_filter_map("a Decimal128", |(digits, negative)| {
            Number::decimal128(&format!("{}{digits}", minus(negative)))
        }),
    ]
}

fn extended() -> impl Strategy<Value = Extended> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..20);
    prop_oneof![
        any::<[u8; 12]>().prop_map(Extended::ObjectId),
        prop_oneof![any::<i64>(), -1000i64..2_000_000_000_000].prop_map(Extended::DateTime),
        (any::<u8>(), bytes()).prop_map(|(subtype, bytes)| Extended::Binary { subtype, bytes }),
        prop::collection::vec(any::<u8>(), 16).prop_map(|bytes| Extended::Binary { subtype: 4, bytes }),
        any::<(u32, u32)>().prop_map(|(time, increment)| Extended::Timestamp { time, increment }),
        (text(), "i?l?m?s?u?x?").prop_map(|(pattern, options)| Extended::Regex { pattern, options }),
        text().prop_map(|code| Extended::Code { code, scope: None }),
        text().prop_map(Extended::Symbol),
        (text(), any::<[u8; 12]>()).prop_map(|(namespace, id)| Extended::DbPointer { namespace, id }),
        Just(Extended::MinKey),
        Just(Extended::MaxKey),
        Just(Extended::Undefined),
        (text(), text()).prop_map(|(type_name, text)| Extended::Store { type_name, text }),
    ]
}

/// Any value that interchange gives back unchanged.
pub(crate) fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::Bool),
        3 => number().prop_map(Value::Number),
        3 => text().prop_map(Value::String),
        2 => extended().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        let object = prop::collection::vec((key(), inner.clone()), 0..5).prop_map(Object::from_iter).boxed();
        prop_oneof![
            3 => object.clone().prop_map(Value::Object),
            2 => prop::collection::vec(inner, 0..5).prop_map(Value::Array),
            1 => (text(), object).prop_map(|(code, scope)| Value::from(Extended::Code { code, scope: Some(scope) })),
        ]
    })
}

/// The same value with the members of all objects in an order that `seed` decides.
pub(crate) fn shuffled(value: &Value, seed: &mut u64) -> Value {
    match value {
        Value::Object(object) => Value::Object(shuffled_members(object, seed)),
        Value::Array(items) => Value::Array(items.iter().map(|item| shuffled(item, seed)).collect()),
        Value::Extended(extended) => match &**extended {
            Extended::Code { code, scope: Some(scope) } => {
                Value::from(Extended::Code { code: code.clone(), scope: Some(shuffled_members(scope, seed)) })
            }
            other => Value::from(other.clone()),
        },
        other => other.clone(),
    }
}

fn shuffled_members(object: &Object, seed: &mut u64) -> Object {
    let mut members: Vec<(u64, String, Value)> = Vec::new();
    for (key, value) in object {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let rank = *seed >> 32;
        members.push((rank, key.clone(), shuffled(value, seed)));
    }
    members.sort_by_key(|(rank, _, _)| *rank);
    members.into_iter().map(|(_, key, value)| (key, value)).collect()
}
