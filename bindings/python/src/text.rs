//! Canonical bytes, content addresses and JSON text of values, without a project.

use cfg_engine::Error;
use cfg_engine::Value;
use cfg_engine::document::{self, Dialect, FieldPolicy};
use cfg_engine::history::{Reference, Timestamp};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::{errors, values_in, values_out};

/// Reads `{ignore_fields, ignore_patterns, ignore_paths, secret_fields}`.
fn policy(py: Python<'_>, from: Option<&Bound<'_, PyDict>>) -> PyResult<FieldPolicy> {
    let Some(from) = from else { return Ok(FieldPolicy::default()) };
    let list = |name: &str| -> PyResult<Vec<String>> {
        from.get_item(name)?.filter(|list| !list.is_none()).map_or(Ok(Vec::new()), |list| list.extract())
    };
    let mut policy = FieldPolicy::builder();
    for name in list("ignore_fields")? {
        policy = policy.ignore_field(&name);
    }
    let refuse = |error: document::PolicyError| {
        errors::raise(py, &Error::refused("bad_policy", error.to_string(), "write it as .cfg.toml has it"))
    };
    for glob in list("ignore_patterns")? {
        policy = policy.ignore_pattern(&glob).map_err(refuse)?;
    }
    for path in list("ignore_paths")? {
        policy = policy.ignore_path(&path).map_err(refuse)?;
    }
    for path in list("secret_fields")? {
        policy = policy.secret_field(&path).map_err(refuse)?;
    }
    Ok(policy.build())
}

fn refused(py: Python<'_>, error: &document::CanonicalError) -> PyErr {
    let hint = "change the value, or leave its field out of what is versioned";
    errors::raise(py, &Error::refused("unhashable", error.to_string(), hint))
}

/// Returns the canonical bytes of a value.
#[pyfunction]
#[pyo3(signature = (value, policy=None))]
pub(crate) fn canonical<'py>(
    py: Python<'py>,
    value: &Bound<'py, PyAny>,
    policy: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyBytes>> {
    let policy = self::policy(py, policy)?;
    let value = values_in::value(value)?;
    let bytes = document::canonical_bytes(&value, &policy).map_err(|error| refused(py, &error))?;
    Ok(PyBytes::new(py, &bytes))
}

/// Returns the content address of a value.
#[pyfunction]
#[pyo3(signature = (value, policy=None))]
pub(crate) fn oid(py: Python<'_>, value: &Bound<'_, PyAny>, policy: Option<&Bound<'_, PyDict>>) -> PyResult<String> {
    let policy = self::policy(py, policy)?;
    let value = values_in::value(value)?;
    Ok(document::oid(&value, &policy).map_err(|error| refused(py, &error))?.to_hex())
}

/// Reads JSON text: with wrappers such as `{"$date": …}`, or plain, where they mean nothing.
#[pyfunction]
#[pyo3(signature = (text, plain=false))]
pub(crate) fn loads<'py>(py: Python<'py>, text: &str, plain: bool) -> PyResult<Bound<'py, PyAny>> {
    let read = if plain { Value::from_json(text) } else { Value::from_interchange(text) };
    values_out::value(py, &read.map_err(|error| errors::raise_parse(py, error))?)
}

/// Writes JSON text in the dialect `interchange`, `relaxed` or `plain`.
#[pyfunction]
#[pyo3(signature = (value, dialect="interchange", indent=None))]
pub(crate) fn dumps(value: &Bound<'_, PyAny>, dialect: &str, indent: Option<usize>) -> PyResult<String> {
    let dialect = match dialect {
        "interchange" => Dialect::Interchange,
        "relaxed" => Dialect::Relaxed,
        "plain" => Dialect::Plain,
        other => return Err(pyo3::exceptions::PyValueError::new_err(format!("no dialect is named {other:?}"))),
    };
    Ok(values_in::value(value)?.to_text(dialect, indent))
}

/// Reads a time as every verb does; returns its milliseconds since 1970 and how it is shown.
#[pyfunction]
pub(crate) fn parse_time(py: Python<'_>, text: &str) -> PyResult<(i64, String)> {
    let time = Timestamp::parse(text).map_err(|error| errors::raise(py, &error.into()))?;
    Ok((time.as_millis(), time.to_string()))
}

/// Reads a reference such as `@7`; returns its kind and how it is shown.
#[pyfunction]
pub(crate) fn parse_reference(py: Python<'_>, text: &str) -> PyResult<(&'static str, String)> {
    let reference = Reference::parse(text).map_err(|error| errors::raise(py, &error.into()))?;
    let kind = match reference {
        Reference::Live => "live",
        Reference::Head => "head",
        Reference::Staged => "staged",
        Reference::At(_) => "at",
        Reference::Seq(_) => "seq",
        Reference::Content(_) => "content",
        Reference::Tag(_) => "tag",
        _ => "other",
    };
    Ok((kind, reference.to_string()))
}
