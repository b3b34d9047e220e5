//! What needs no store: settings, outcomes, and the format that history is written in.

use cfg_engine::document::{Dialect, FieldPath, FieldPolicy, Object, PolicyError, Step, canonical_bytes, oid};
use cfg_engine::history::{Reference, Seq, Span, Timestamp, head, interval_ends};
use cfg_engine::outcome::TABLE;
use cfg_engine::{Error, Value};
use cfg_engine_connect::call::config;
use napi_derive::napi;

use crate::open::open_options;
use crate::reply::Reply;
use crate::runtime::at_once;
use crate::text::to_js;

/// Returns the settings in effect, each with where it comes from.
#[napi(catch_unwind)]
pub(crate) fn settings(options: String) -> Reply {
    at_once(|| {
        let options = open_options(&options)?;
        let start = if options.start_dir.as_os_str().is_empty() { ".".into() } else { options.start_dir };
        let found = config(&start, options.config_file.as_deref(), options.env.as_deref(), &options.variables)?;
        Ok(to_js(found))
    })
}

/// Returns every kind of error with its status word and exit code.
#[napi(catch_unwind)]
pub(crate) fn outcomes() -> Reply {
    at_once(|| {
        let rows = TABLE.map(|(kind, status, exit)| {
            Object::new()
                .with("kind", format!("{kind:?}"))
                .with("status", status.as_str())
                .with("exit_code", i64::from(exit))
        });
        Ok(to_js(Value::from(rows.to_vec())))
    })
}

/// Answers a question about the format, asked as `{what, …}`.
#[napi(catch_unwind)]
pub(crate) fn format(question: String) -> Reply {
    at_once(|| {
        let question = Value::from_json(&question)?;
        let answer = match text(&question, "what")? {
            "canonical" => canonical(&question)?,
            "rewrite" => rewrite(&read(&question)?),
            "reference" => reference(text(&question, "text")?)?,
            "address" => {
                let (id, version) = Reference::split_address(text(&question, "text")?);
                Object::new().with("id", id).with("version", version.map(Value::from))
            }
            "time" => time(text(&question, "text")?)?,
            "path" => path(text(&question, "text")?)?,
            "intervals" => intervals(&question)?,
            other => return Err(refused(format!("the format has no {other:?}"))),
        };
        Ok(to_js(answer))
    })
}

fn refused(problem: impl Into<String>) -> Error {
    Error::refused("format", problem, "look at docs/entry-format.md")
}

fn text<'v>(question: &'v Value, name: &str) -> Result<&'v str, Error> {
    question.get(name).and_then(Value::as_str).ok_or_else(|| refused(format!("{name} is no text")))
}

fn read(question: &Value) -> Result<Value, Error> {
    let input = text(question, "input")?;
    match question.get("mode").and_then(Value::as_str) {
        Some("json") => Ok(Value::from_json(input)?),
        _ => Ok(Value::from_interchange(input)?),
    }
}

fn policy(question: &Value) -> Result<FieldPolicy, Error> {
    let bad = |e: PolicyError| refused(e.to_string());
    let rules = |name: &str| -> Vec<String> {
        let rules = question.get("policy").and_then(|policy| policy.get(name)).and_then(Value::as_array);
        rules.unwrap_or_default().iter().filter_map(|rule| rule.as_str().map(str::to_owned)).collect()
    };
    let mut builder = FieldPolicy::builder();
    for field in rules("ignore_fields") {
        builder = builder.ignore_field(&field);
    }
    for glob in rules("ignore_patterns") {
        builder = builder.ignore_pattern(&glob).map_err(bad)?;
    }
    for path in rules("ignore_paths") {
        builder = builder.ignore_path(&path).map_err(bad)?;
    }
    for path in rules("secret_fields") {
        builder = builder.secret_field(&path).map_err(bad)?;
    }
    Ok(builder.build())
}

fn canonical(question: &Value) -> Result<Object, Error> {
    let (value, policy) = (read(question)?, policy(question)?);
    let bytes = canonical_bytes(&value, &policy).map_err(|e| refused(e.to_string()))?;
    let found = oid(&value, &policy).map_err(|e| refused(e.to_string()))?;
    Ok(Object::new().with("canonical", String::from_utf8_lossy(&bytes).into_owned()).with("oid", found.to_hex()))
}

fn rewrite(value: &Value) -> Object {
    Object::new()
        .with("interchange", value.to_interchange())
        .with("relaxed", value.to_text(Dialect::Relaxed, None))
        .with("plain", value.to_json())
        .with("type", value.type_name())
}

fn reference(text: &str) -> Result<Object, Error> {
    let reference = Reference::parse(text)?;
    let kind = match reference {
        Reference::Seq(_) => "seq",
        Reference::Content(_) => "content",
        Reference::At(_) => "at",
        Reference::Tag(_) => "tag",
        Reference::Live => "live",
        Reference::Head => "head",
        Reference::Staged => "staged",
        _ => "other",
    };
    Ok(Object::new().with("kind", kind).with("shown", reference.to_string()))
}

fn time(text: &str) -> Result<Object, Error> {
    let time = Timestamp::parse(text)?;
    let is_date = Timestamp::parse_instant(text).is_err();
    Ok(Object::new().with("millis", time.as_millis()).with("shown", time.to_string()).with("date", is_date))
}

fn path(text: &str) -> Result<Object, Error> {
    let path: FieldPath = text.parse().map_err(|e: cfg_engine::document::PathError| refused(e.to_string()))?;
    let step = |step: &Step| match step {
        Step::Key(key) => Value::from(key.as_str()),
        Step::Index(index) => Value::from(*index),
    };
    Ok(Object::new().with("steps", path.steps().iter().map(step).collect::<Vec<_>>()).with("printed", path.to_string()))
}

/// The ends of the intervals of one record's entries, and which of them is HEAD.
fn intervals(question: &Value) -> Result<Object, Error> {
    let entries = question.get("entries").and_then(Value::as_array).ok_or_else(|| refused("entries is no array"))?;
    let span = |entry: &Value| -> Option<Span> {
        let number = |name: &str| entry.get(name).and_then(Value::as_i64);
        Some(Span {
            seq: Seq(u64::try_from(number("seq")?).ok()?),
            recorded_at: Timestamp::from_millis(number("recorded_at")?),
            valid_from: Timestamp::from_millis(number("valid_from")?),
            in_valid_order: entry.get("redact").and_then(Value::as_bool) != Some(true),
        })
    };
    let spans: Option<Vec<Span>> = entries.iter().map(span).collect();
    let spans = spans.ok_or_else(|| refused("an entry has no seq, recorded_at or valid_from"))?;
    let end = |time: Timestamp| if time == Timestamp::OPEN { Value::Null } else { Value::from(time.as_millis()) };
    let ends = interval_ends(&spans)
        .into_iter()
        .map(|ends| Object::new().with("valid_to", end(ends.valid_to)).with("superseded_at", end(ends.superseded_at)));
    Ok(Object::new().with("ends", ends.collect::<Vec<_>>()).with("head", head(&spans).map(|seq| seq.0)))
}

/// Panics, for the test that a panic is an error like any other.
#[napi(catch_unwind)]
pub(crate) fn panic_for_test() -> Reply {
    at_once(|| -> Result<String, Error> { panic!("asked for by a test") })
}
