use proptest::prelude::*;

use super::super::arbitrary;
use super::*;

const KEY: &str = "AKIA0123456789ABCDEF";

fn hits(doc: &str) -> Vec<String> {
    hits_of(doc, &FieldPolicy::default())
}

fn hits_of(doc: &str, policy: &FieldPolicy) -> Vec<String> {
    let doc = Value::from_interchange(doc).expect("interchange");
    let hits = SecretRules::default().scan(&doc, policy);
    hits.iter().map(|hit| format!("{} {} {}", hit.kind, hit.path, hit.rule)).collect()
}

#[test]
fn names_in_every_style() {
    let named = |name: &str| SecretRules::default().name_rule(name).map(str::to_owned);
    for name in ["api_key", "apiKey", "API_KEY", "api-key", "APIKey", "ApiKeys", "apikey", "my api key", "x-api-key"] {
        assert!(named(name).is_some(), "{name}");
    }
    for name in ["DB_PASSWORD", "dbPassword", "passwords", "clientSecret", "AUTH-TOKEN", "accessToken", "s3Key"] {
        assert!(named(name).is_some(), "{name}");
    }
    for name in ["primary_key", "primaryKey"] {
        assert_eq!(named(name).as_deref(), Some("*_key"));
    }
    for name in ["max_tokens", "token_count", "key", "token", "secret", "monkey", "keys", "keyName", "tokenizer", ""] {
        assert_eq!(named(name), None, "{name}");
    }
}

#[test]
fn globs_of_the_users() {
    let rules = SecretRules::new(&["X-Auth-*", "accessCode", "pin[0-9]", "a?b"], &[] as &[&str]).expect("rules");
    for name in ["x-auth-user", "xAuthUser", "access_code", "ACCESSCODE", "accesscode", "Pin7", "a-b"] {
        assert!(rules.name_rule(name).is_some(), "{name}");
    }
    assert!(rules.name_rule("pin").is_none());
    assert_eq!(
        SecretRules::new(&["[a"], &[] as &[&str]).map(|_| ()),
        Err(SecretRulesError::Glob { rule: "[a".to_owned() })
    );
}

#[test]
fn values_below_a_secret_name() {
    assert_eq!(
        hits(r#"{"api_keys":{"prod":{"eu":["k1",2,true,null,""]}},"apiKey":"x"}"#),
        [
            "field_name api_keys.prod.eu[0] *api_key*",
            "field_name api_keys.prod.eu[1] *api_key*",
            "field_name apiKey *_key",
        ]
    );
    let binary = r#"{"db_password":{"$binary":{"base64":"AAEC","subType":"00"}}}"#;
    assert_eq!(hits(binary), ["field_name db_password *password*"]);
    let harmless = r#"{"a_key":{"$oid":"0123456789abcdef01234567"},"b_key":{"$date":"2020-01-01T00:00:00Z"},
        "c_key":"","d_key":"env:NAME","e_key":"${VAULT.NAME}","f_key":false,"g_key":"[REDACTED]","h_key":{"$secret":true},
        "i_key":{"$binary":{"base64":"","subType":"00"}}}"#;
    assert_eq!(hits(harmless), [] as [&str; 0]);
    assert_eq!(hits(r#"{"a_key":"env:not a name","b_key":"${A}b"}"#).len(), 2);
    // A stand-in by its look is still read.
    assert_eq!(hits(&format!(r#"{{"a_key":"env:{KEY}"}}"#)), ["value a_key AKIA[0-9A-Z]{16}"]);
}

#[test]
fn values_wherever_they_are() {
    use base64::Engine as _;
    let encoded = base64::engine::general_purpose::STANDARD.encode(format!("\u{0}\u{1}key={KEY}").as_bytes());
    let doc = format!(
        r#"{{"a":["x",["in {KEY}."]],"b":{{"$binary":{{"base64":"{encoded}","subType":"00"}}}},
            "c":{{"$code":"f()","$scope":{{"k":"{KEY}"}}}},"d":{{"$store":{{"type":"pg:xml","text":"{KEY}"}}}},"e":1}}"#
    );
    let rule = "AKIA[0-9A-Z]{16}";
    assert_eq!(
        hits(&doc),
        [
            format!("value a[1][0] {rule}"),
            format!("value b {rule}"),
            format!("value c.$scope.k {rule}"),
            format!("value d {rule}")
        ]
    );
}

#[test]
fn a_name_that_is_a_secret_is_not_shown() {
    let doc = format!(r#"{{"users":{{"{KEY}":{{"db_password":"x"}}}}}}"#);
    assert_eq!(hits(&doc), ["key users.*** AKIA[0-9A-Z]{16}", "field_name users.***.db_password *password*"]);
}

#[test]
fn ignored_fields_are_scanned_and_secret_ones_are_not() {
    let policy =
        FieldPolicy::builder().ignore_field("ign").secret_field("sec_key").and_then(|p| p.secret_field("t[].api_key"));
    let policy = policy.expect("rules").build();
    let doc = r#"{"ign":{"a_token":"x"},"sec_key":"x","t":[{"api_key":"x","other_key":"x"}]}"#;
    assert_eq!(hits_of(doc, &policy), ["field_name ign.a_token *_token", "field_name t[0].other_key *_key"]);
}

#[test]
fn messages() {
    let rules = SecretRules::default();
    let hit = rules.scan_text(&format!("rotate {KEY} now")).expect("a hit");
    assert_eq!((hit.kind, hit.path.is_root()), (SecretKind::Message, true));
    assert!(!format!("{hit:?}").contains(KEY));
    assert!(rules.scan_text("raise max_tokens, drop api_key").is_none());
}

#[test]
fn random_words_are_an_option() {
    let (plain, strict) = (SecretRules::default(), SecretRules::default().high_entropy());
    let random = "9f86d081884c7d659a2feaa0c55ad015";
    assert!(plain.scan_text(random).is_none());
    assert_eq!(strict.scan_text(random).map(|hit| hit.rule).as_deref(), Some(HIGH_ENTROPY));
    for text in [
        "the quick brown fox jumps over the lazy dog",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa1111",
        "claude-sonnet-4-20250514-latest",
        "00000000000000000000000000000000",
    ] {
        assert!(strict.scan_text(text).is_none(), "{text}");
    }
}

#[test]
fn a_long_document() {
    let object = (0..10_000).map(|n| (format!("someKey{n}_token"), Value::from(format!("text {n}"))));
    let doc = Value::Object(object.collect());
    assert_eq!(SecretRules::default().scan(&doc, &FieldPolicy::default()).len(), 10_000);
}

proptest! {
    #[test]
    fn a_planted_secret_is_found_and_never_shown(
        doc in arbitrary::plain(),
        place in any::<prop::sample::Index>(),
        as_key in any::<bool>(),
    ) {
        let mut doc = doc;
        let places = arbitrary::places(&doc);
        let path = &places[place.index(places.len())];
        let planted = if as_key { Object::new().with(KEY, 1).into() } else { Value::from(format!("<{KEY}>")) };
        *super::super::field_policy::get_mut(&mut doc, path).expect("a place") = planted;
        let hits = SecretRules::default().scan(&doc, &FieldPolicy::default());
        prop_assert_eq!(hits.len(), 1);
        prop_assert!(hits[0].path.starts_with(path));
        let debug = format!("{:?}", hits);
        prop_assert!(!debug.contains(KEY) && !hits[0].to_value().to_json().contains(KEY));
    }
}
