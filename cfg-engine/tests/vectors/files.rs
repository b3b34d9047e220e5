//! Runs each file of `tests/vectors`; its README says what the members of a case mean.

use cfg_engine::Value;
use cfg_engine::document::{
    CanonicalProblem, Dialect, FieldPath, FieldPolicy, Number, ParseError, ParseProblem, SecretHit, SecretRules, Step,
    canonical_bytes, oid, same,
};
use serde_json::Value as Json;

pub(crate) fn file(file: &str) -> Json {
    let path = format!("{}/../tests/vectors/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).expect("the vector files stand beside the crate");
    serde_json::from_str(&text).expect("a vector file is JSON")
}

pub(crate) fn cases(name: &str) -> Vec<Json> {
    let cases = file(name)["cases"].as_array().expect("a vector file has cases").clone();
    assert!(!cases.is_empty(), "{name}");
    cases
}

/// Runs `check` on every case, and reports all that fail at once.
pub(crate) fn run(file: &str, check: impl Fn(&Json) -> Result<(), String>) {
    let cases = cases(file);
    let failures: Vec<String> = cases
        .iter()
        .filter_map(|case| {
            let name = case.get("name").or(case.get("text")).unwrap_or(case);
            check(case).err().map(|why| format!("{name}: {why}"))
        })
        .collect();
    assert!(failures.is_empty(), "{} of {} fail in {file}:\n{}", failures.len(), cases.len(), failures.join("\n"));
}

pub(crate) fn text<'c>(case: &'c Json, member: &str) -> &'c str {
    case[member].as_str().unwrap_or_else(|| panic!("no text {member} in {case}"))
}

pub(crate) fn expect_equal<T: PartialEq + std::fmt::Debug>(what: &str, got: T, wanted: T) -> Result<(), String> {
    if got == wanted { Ok(()) } else { Err(format!("{what}: got {got:?}, wanted {wanted:?}")) }
}

fn refusal(problem: &ParseProblem) -> &'static str {
    match problem {
        ParseProblem::Expected(_) | ParseProblem::Eof | ParseProblem::Trailing => "syntax",
        ParseProblem::DuplicateKey(_) => "duplicate_key",
        ParseProblem::LoneSurrogate => "lone_surrogate",
        ParseProblem::TooDeep => "too_deep",
        ParseProblem::ControlCharacter => "control_character",
        ParseProblem::Escape => "escape",
        ParseProblem::Number => "number",
        ParseProblem::Wrapper(_) => "wrapper",
        _ => "unknown to the vectors",
    }
}

fn read(case: &Json) -> Result<Value, ParseError> {
    match text(case, "mode") {
        "json" => Value::from_json(text(case, "input")),
        "interchange" => Value::from_interchange(text(case, "input")),
        other => panic!("mode {other}"),
    }
}

fn policy(case: &Json) -> FieldPolicy {
    let rules = |name: &str| -> Vec<String> {
        let rules = case["policy"][name].as_array().cloned().unwrap_or_default();
        rules.iter().map(|rule| rule.as_str().expect("a rule is text").to_owned()).collect()
    };
    let mut builder = FieldPolicy::builder();
    for field in rules("ignore_fields") {
        builder = builder.ignore_field(&field);
    }
    for glob in rules("ignore_patterns") {
        builder = builder.ignore_pattern(&glob).expect("the vectors' globs are sound");
    }
    for path in rules("ignore_paths") {
        builder = builder.ignore_path(&path).expect("the vectors' paths are sound");
    }
    for path in rules("secret_fields") {
        builder = builder.secret_field(&path).expect("the vectors' paths are sound");
    }
    builder.build()
}

#[test]
fn canonical() {
    run("canonical.json", |case| {
        let policy = policy(case);
        let outcome = read(case).map_err(|e| (refusal(&e.problem), String::new())).and_then(|value| {
            let bytes = canonical_bytes(&value, &policy).map_err(|e| {
                let kind = match e.problem {
                    CanonicalProblem::NotFinite => "not_finite",
                    CanonicalProblem::EqualKeys => "equal_keys",
                    CanonicalProblem::TooDeep => "too_deep",
                    _ => "unknown to the vectors",
                };
                (kind, e.path.to_string())
            })?;
            Ok((value, bytes))
        });
        match (outcome, case.get("refused")) {
            (Ok((value, bytes)), None) => {
                let canonical = String::from_utf8(bytes).expect("canonical bytes are UTF-8");
                expect_equal("canonical", canonical.as_str(), text(case, "canonical"))?;
                let oid = oid(&value, &policy).map_err(|e| e.to_string())?;
                expect_equal("oid", oid.to_hex().as_str(), text(case, "oid"))?;
                let versioned = policy.versioned(&value);
                let again = canonical_bytes(&versioned, &FieldPolicy::default()).map_err(|e| e.to_string())?;
                expect_equal("canonical of the versioned part", again, canonical.into_bytes())
            }
            (Err((kind, path)), Some(_)) => {
                expect_equal("refused", kind, text(case, "refused"))?;
                expect_equal("path", path.as_str(), case["path"].as_str().unwrap_or_default())
            }
            (Ok(_), Some(_)) => Err("accepted".to_owned()),
            (Err((kind, path)), None) => Err(format!("refused: {kind} at {path:?}")),
        }
    });
}

#[test]
fn secrets() {
    run("secrets.json", |case| {
        let rules = SecretRules::default();
        let rules = if case["high_entropy"].as_bool() == Some(true) { rules.high_entropy() } else { rules };
        let hits: Vec<SecretHit> = match case.get("message") {
            Some(message) => rules.scan_text(message.as_str().expect("text")).into_iter().collect(),
            None => rules.scan(&Value::from_json(&case["doc"].to_string()).map_err(|e| e.to_string())?, &policy(case)),
        };
        let shown: Vec<Json> = (hits.iter().map(|hit| hit.to_value().to_json()))
            .map(|json| serde_json::from_str(&json).expect("JSON"))
            .collect();
        expect_equal("hits", Json::Array(shown), case["hits"].clone())
    });
}

#[test]
fn numbers() {
    run("numbers.json", |case| {
        let number = read_number(text(case, "width"), text(case, "text"));
        let outcome = number.ok_or("syntax").and_then(|number| {
            let mut out = Vec::new();
            number.write_canonical(&mut out).map_err(|_| "not_finite")?;
            Ok(String::from_utf8(out).expect("canonical bytes are UTF-8"))
        });
        let wanted = case.get("canonical").ok_or("refused").map(|_| text(case, "canonical").to_owned());
        expect_equal("canonical", outcome, wanted.map_err(|_| text(case, "refused")))
    });
}

fn read_number(width: &str, text: &str) -> Option<Number> {
    let wrapper = match width {
        "json" => return Number::from_json(text),
        "double_bits" => {
            return Some(Number::Double(f64::from_bits(u64::from_str_radix(text, 16).expect("sixteen hex digits"))));
        }
        "int32" => "$numberInt",
        "int64" => "$numberLong",
        "double" => "$numberDouble",
        "decimal128" => "$numberDecimal",
        other => panic!("width {other}"),
    };
    let text = serde_json::json!({ wrapper: text }).to_string();
    match Value::from_interchange(&text) {
        Ok(Value::Number(number)) => Some(number),
        _ => None,
    }
}

#[test]
fn interchange() {
    run("interchange.json", |case| {
        let value = match (read(case), case.get("refused")) {
            (Ok(value), None) => value,
            (Err(e), Some(_)) => {
                expect_equal("refused", refusal(&e.problem), text(case, "refused"))?;
                let named = e.problem.to_string().contains(text(case, "wrapper"));
                return if named { Ok(()) } else { Err(format!("another wrapper: {e}")) };
            }
            (Ok(_), Some(_)) => return Err("accepted".to_owned()),
            (Err(e), None) => return Err(format!("refused: {e}")),
        };
        let written = value.to_interchange();
        expect_equal("interchange", written.as_str(), text(case, "interchange"))?;
        expect_equal("relaxed", value.to_text(Dialect::Relaxed, None).as_str(), text(case, "relaxed"))?;
        if case.get("plain").is_some() {
            expect_equal("plain", value.to_json().as_str(), text(case, "plain"))?;
        }
        if case.get("type").is_some() {
            expect_equal("type", value.type_name(), text(case, "type"))?;
        }
        let again = Value::from_interchange(&written).map_err(|e| e.to_string())?;
        expect_equal("interchange of what was read back", again.to_interchange(), written)?;
        let has_form = canonical_bytes(&value, &FieldPolicy::default()).is_ok();
        expect_equal("read back, the same", same(&again, &value), has_form)?;
        for indent in [None, Some(2)] {
            let relaxed = value.to_text(Dialect::Relaxed, indent);
            let relaxed = Value::from_interchange(&relaxed).map_err(|e| e.to_string())?;
            expect_equal("relaxed and read back, the same", same(&relaxed, &value), has_form)?;
        }
        Ok(())
    });
}

#[test]
fn paths() {
    run("paths.json", |case| {
        let parsed: Result<FieldPath, _> = text(case, "text").parse();
        if case.get("refused").is_some() {
            return if parsed.is_err() { Ok(()) } else { Err("accepted".to_owned()) };
        }
        let path = parsed.map_err(|e| e.to_string())?;
        let steps = case["steps"].as_array().expect("steps");
        let steps = steps.iter().map(|step| match step.as_str() {
            Some(key) => Step::Key(key.to_owned()),
            None => Step::Index(step.to_string().parse().expect("an index")),
        });
        expect_equal("steps", path.steps().to_vec(), steps.collect())?;
        expect_equal("printed", path.to_string().as_str(), text(case, "printed"))?;
        expect_equal("parsed again", path.to_string().parse::<FieldPath>().ok(), Some(path))
    });
}

#[test]
fn json_syntax() {
    run("json_syntax.json", |case| {
        let outcome = Value::from_json(text(case, "text"));
        match (outcome, case["accept"].as_bool()) {
            (Ok(value), Some(true)) => {
                let written = value.to_json();
                let again = Value::from_json(&written).map_err(|e| e.to_string())?;
                expect_equal("written, read and written", again.to_json(), written)
            }
            (Err(e), Some(false)) => expect_equal("refused", refusal(&e.problem), text(case, "refused")),
            (Ok(_), _) => Err("accepted".to_owned()),
            (Err(e), _) => Err(format!("refused: {e}")),
        }
    });
}

#[test]
fn errors_name_line_and_column() {
    let place = |text: &str| {
        let error = Value::from_interchange(text).expect_err("refused");
        (error.line, error.column, error.offset)
    };
    assert_eq!(place("[1,\n é]"), (2, 2, 5));
    assert_eq!(place("{\"é\": 01}"), (1, 7, 7));
    assert_eq!(place("{\"a\": 1,\n \"b\": {\"$oid\": 5}}"), (2, 7, 15));
    assert_eq!(place("{\"a\": 1, \"a\": 2}"), (1, 10, 9));
    assert_eq!(place("[\"\\ud800\"]"), (1, 3, 2));
    assert_eq!(place(""), (1, 1, 0));
}
