//! The engine's errors as exceptions: one class for each kind, chosen by the one table of outcomes.

use cfg_engine::document::ParseError;
use cfg_engine::{Error, ErrorKind};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::values_out;

static RAISE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// Returns the name of the class of an error.
fn class(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Conflict => "ConflictError",
        ErrorKind::ChangedOutside => "DriftError",
        ErrorKind::Storage => "StorageError",
        ErrorKind::NeedsApproval => "ApprovalRequired",
        ErrorKind::NotFound => "NotFoundError",
        ErrorKind::BadConfig => "BadConfigError",
        ErrorKind::Declined => "DeclinedError",
        // Also a kind that this package does not know yet: the input is what a caller can change.
        _ => "RefusedError",
    }
}

/// Makes the exception object of an error.
pub(crate) fn exception<'py>(py: Python<'py>, error: &Error) -> PyResult<Bound<'py, PyAny>> {
    let make =
        RAISE.get_or_try_init(py, || PyResult::Ok(py.import("cfg_engine._errors")?.getattr("make")?.unbind()))?;
    let kind = error.kind();
    let record = error.record();
    let id = match record {
        Some(record) => Some(values_out::value(py, &record.id.to_value())?),
        None => None,
    };
    make.bind(py).call1((
        class(kind),
        error.to_string(),
        kind.status().as_str(),
        error.code(),
        error.hint(),
        kind.exit_code(),
        match error.to_envelope().get("data") {
            Some(data) => values_out::value(py, data)?,
            None => py.None().into_bound(py),
        },
        record.map(|record| record.env.as_str()),
        record.map(|record| record.collection.as_str()),
        id,
    ))
}

/// Raises an error.
pub(crate) fn raise(py: Python<'_>, error: &Error) -> PyErr {
    match exception(py, error) {
        Ok(exception) => PyErr::from_value(exception),
        Err(failed) => failed,
    }
}

/// Raises what is wrong with a text.
pub(crate) fn raise_parse(py: Python<'_>, error: ParseError) -> PyErr {
    raise(py, &error.into())
}
