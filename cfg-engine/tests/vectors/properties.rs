//! What holds for every document.

use cfg_engine::Value;
use cfg_engine::document::{
    CanonicalError, CanonicalProblem, Dialect, FieldPath, FieldPolicy, Number, Object, Oid, Step, canonical_bytes,
    digest_json, oid, same,
};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::generated::{finite_double, number_text, shuffled, text, value};

fn canonical(value: &Value) -> Result<String, CanonicalError> {
    let bytes = canonical_bytes(value, &FieldPolicy::default())?;
    Ok(String::from_utf8(bytes).expect("canonical bytes are UTF-8"))
}

/// Only equal keys keep a generated document from having a canonical form.
fn equal_keys_or<T>(result: Result<T, CanonicalError>) -> Result<Option<T>, TestCaseError> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(e) => {
            prop_assert_eq!(e.problem, CanonicalProblem::EqualKeys);
            Ok(None)
        }
    }
}

fn every_rule() -> FieldPolicy {
    FieldPolicy::builder()
        .ignore_field("b")
        .ignore_pattern("c*")
        .expect("a pattern")
        .ignore_path("d.a")
        .and_then(|policy| policy.ignore_path("e[].b"))
        .and_then(|policy| policy.secret_field("f.a"))
        .expect("paths")
        .build()
}

fn number_bytes(number: &Number) -> String {
    let mut out = Vec::new();
    number.write_canonical(&mut out).expect("a finite number");
    String::from_utf8(out).expect("canonical bytes are UTF-8")
}

/// ECMA-262 §6.1.6.1.20 for digits `0.d₁d₂… × 10^n`, written a second time.
fn ecmascript(negative: bool, digits: &str, n: i64) -> String {
    let k = digits.len() as i64;
    let sign = if negative { "-" } else { "" };
    let zeros = |count: i64| "0".repeat(count as usize);
    let body = if digits.is_empty() {
        return "0".to_owned();
    } else if k <= n && n <= 21 {
        format!("{digits}{}", zeros(n - k))
    } else if 0 < n && n <= 21 {
        format!("{}.{}", &digits[..n as usize], &digits[n as usize..])
    } else if -6 < n && n <= 0 {
        format!("0.{}{digits}", zeros(-n))
    } else {
        let point = if k == 1 { "" } else { "." };
        format!("{}{point}{}e{:+}", &digits[..1], &digits[1..], n - 1)
    };
    format!("{sign}{body}")
}

/// Splits a decimal text into sign, digits without outer zeros, and the place of the point.
fn parts(text: &str) -> (bool, String, i64) {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let unsigned = mantissa.trim_start_matches('-');
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let all = format!("{whole}{fraction}");
    let digits = all.trim_start_matches('0');
    if digits.is_empty() {
        return (false, String::new(), 0);
    }
    let point = whole.len() as i64 + exponent.parse::<i64>().expect("an exponent") - (all.len() - digits.len()) as i64;
    (mantissa.len() > unsigned.len(), digits.trim_end_matches('0').to_owned(), point)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn interchange_gives_back_what_was_written(value in value()) {
        for indent in [None, Some(2)] {
            let text = value.to_text(Dialect::Interchange, indent);
            let read = Value::from_interchange(&text);
            prop_assert!(read.as_ref() == Ok(&value), "{text}");
        }
    }

    #[test]
    fn relaxed_text_denotes_the_same_document(value in value()) {
        let text = value.to_text(Dialect::Relaxed, Some(2));
        let read = Value::from_interchange(&text).expect("relaxed text is interchange");
        prop_assert_eq!(canonical(&read), canonical(&value), "{}", text);
    }

    #[test]
    fn plain_json_gives_back_what_a_json_column_held(value in value()) {
        let column = Value::from_json(&value.to_json()).expect("plain text is JSON");
        let text = column.to_json();
        prop_assert!(Value::from_json(&text).as_ref() == Ok(&column), "{text}");
        prop_assert!(Value::from_interchange(&column.to_interchange()).as_ref() == Ok(&column), "{text}");
    }

    #[test]
    fn canonical_text_reads_back_to_the_same_bytes(value in value()) {
        if let Some(text) = equal_keys_or(canonical(&value))? {
            let read = Value::from_interchange(&text).expect("canonical text is interchange");
            prop_assert_eq!(canonical(&read), Ok(text));
            prop_assert!(same(&read, &value));
        }
    }

    #[test]
    fn the_oid_is_the_hash_of_the_bytes(value in value()) {
        let policy = FieldPolicy::default();
        // Once alone, and once so often that the bytes reach the hash in several runs.
        for document in [value.clone(), Value::Array(vec![value; 300])] {
            let bytes = canonical_bytes(&document, &policy);
            let hash = bytes.map(|bytes| Oid::from_bytes(Sha256::digest(bytes).into()));
            prop_assert_eq!(oid(&document, &policy), hash);
        }
    }

    #[test]
    fn a_text_has_the_oid_of_what_it_holds(members in prop::collection::vec(("[a-f]{1,2}", value()), 0..8), cut in 0..9_usize) {
        let policies = [FieldPolicy::default(), every_rule()];
        for indent in [None, Some(2)] {
            let object: Object = members.iter().cloned().collect();
            let text = Value::Object(object).to_text(Dialect::Plain, indent);
            let read = Value::from_json(&text).expect("plain text is JSON");
            for policy in &policies {
                let long_way = oid(&read, policy);
                let digest = digest_json(&text, policy, &["a".to_owned()]);
                match &digest {
                    Some(digest) => {
                        prop_assert_eq!(Ok(digest.oid), long_way, "{}", text);
                        let watched = digest.watched[0].map(|text| Value::from_json(text).expect("a value"));
                        prop_assert!(watched.as_ref() == read.get("a"), "{text}");
                    }
                    None => prop_assert!(long_way.is_err() || text.contains('$'), "{text}"),
                }
            }
            // Whatever is left of a text is refused, as the long way refuses it.
            if let Some(rest) = text.get(cut..).filter(|_| cut > 0) {
                prop_assert!(Value::from_json(rest).is_ok_and(|v| v.as_object().is_some()) == digest_json(rest, &policies[0], &[]).is_some() || rest.contains('$'), "{rest}");
            }
        }
    }

    #[test]
    fn the_order_of_members_is_not_hashed(value in value(), mut seed: u64) {
        let policy = FieldPolicy::default();
        let other = shuffled(&value, &mut seed);
        prop_assert_eq!(oid(&value, &policy).ok(), oid(&other, &policy).ok());
    }

    #[test]
    fn different_digits_never_share_bytes(a in number_text(), b in number_text()) {
        let bytes = |text: &str| number_bytes(&Number::from_json(text).expect("a JSON number"));
        prop_assert_eq!(parts(&a) == parts(&b), bytes(&a) == bytes(&b));
        let (negative, digits, point) = parts(&a);
        prop_assert_eq!(bytes(&a), ecmascript(negative, &digits, point), "{}", a);
        // The same digits in another layout.
        let other = format!("{}0.{digits}0e{point}", if negative { "-" } else { "" });
        prop_assert_eq!(bytes(&other), bytes(&a), "{} {}", a, other);
    }

    #[test]
    fn doubles_are_their_shortest_digits(double in finite_double()) {
        let bytes = number_bytes(&Number::Double(double));
        let (negative, digits, point) = parts(&format!("{double:e}"));
        if bytes != ecmascript(negative, &digits, point) {
            // Half way between two shortest texts ECMAScript takes the even digit, Rust the upper one.
            let (_, exact, _) = parts(&format!("{double:.1100e}"));
            prop_assert!(exact.len() == digits.len() + 1 && exact.ends_with('5'), "{bytes}");
            prop_assert_eq!(bytes.parse(), Ok(double));
            prop_assert_eq!(parts(&bytes).1, &exact[..digits.len()]);
            prop_assert!("02468".contains(&exact[digits.len() - 1..digits.len()]), "{bytes}");
        }
    }

    #[test]
    fn members_stand_in_the_order_of_their_utf16(keys in prop::collection::vec(text(), 0..20)) {
        let object: Object = keys.into_iter().map(|key| (format!("k{key}"), Value::from(1))).collect();
        if let Some(text) = equal_keys_or(canonical(&Value::Object(object)))? {
            let read = Value::from_json(&text).expect("canonical text is JSON");
            let keys: Vec<Vec<u16>> =
                read.as_object().expect("an object").keys().map(|key| key.encode_utf16().collect()).collect();
            prop_assert!(keys.is_sorted(), "{text}");
        }
    }

    #[test]
    fn paths_read_back(steps in prop::collection::vec(prop_oneof![
        text().prop_map(Step::Key),
        (0usize..100).prop_map(Step::Index),
    ], 1..6)) {
        let path = FieldPath::from_steps(steps);
        prop_assert_eq!(path.to_string().parse(), Ok(path));
    }

    #[test]
    fn no_text_breaks_the_readers(text in "\\PC{0,40}", json in "[\\[\\]{}:,\"\\\\$a-z0-9.eE+ -]{0,60}") {
        for text in [text, json] {
            let _ = text.parse::<FieldPath>();
            let _ = Number::decimal128(&text);
            if let Ok(value) = Value::from_interchange(&text) {
                let _ = canonical(&value);
            }
            if let Ok(value) = Value::from_json(&text) {
                prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok() || text.contains(['e', 'E']));
                let _ = canonical(&value);
            }
        }
    }
}
