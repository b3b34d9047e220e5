//! The engine's values as Python's.

use cfg_engine::Value;
use cfg_engine::document::{Extended, Number, Object};
use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyFloat, PyList, PyNone, PyString};

static MODULE: PyOnceLock<Py<PyModule>> = PyOnceLock::new();

/// Calls a maker of `cfg_engine._extended`, which is loaded with the first value that needs it.
fn make<'py>(py: Python<'py>, name: &str, args: impl pyo3::call::PyCallArgs<'py>) -> PyResult<Bound<'py, PyAny>> {
    let module = MODULE.get_or_try_init(py, || py.import("cfg_engine._extended").map(Bound::unbind))?;
    module.bind(py).getattr(name)?.call1(args)
}

/// Gives a value.
pub(crate) fn value<'py>(py: Python<'py>, from: &Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match from {
        Value::Null => PyNone::get(py).to_owned().into_any(),
        Value::Bool(flag) => flag.into_bound_py_any(py)?,
        Value::Number(number) => self::number(py, number)?,
        Value::String(text) => PyString::new(py, text).into_any(),
        Value::Array(items) => {
            let list = PyList::empty(py);
            for item in items {
                list.append(value(py, item)?)?;
            }
            list.into_any()
        }
        Value::Object(members) => object(py, members)?.into_any(),
        Value::Extended(extended) => self::extended(py, extended)?,
    })
}

/// Gives an object as a dict, in the order of its members.
pub(crate) fn object<'py>(py: Python<'py>, from: &Object) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (key, item) in from {
        dict.set_item(PyString::new(py, key), value(py, item)?)?;
    }
    Ok(dict)
}

fn number<'py>(py: Python<'py>, from: &Number) -> PyResult<Bound<'py, PyAny>> {
    match from {
        Number::Int(n) => n.into_bound_py_any(py),
        Number::Int32(n) => n.into_bound_py_any(py),
        Number::Int64(n) => make(py, "int64", (*n,)),
        Number::Double(n) => Ok(PyFloat::new(py, *n).into_any()),
        Number::Decimal128(text) => make(py, "decimal128", (&**text,)),
        Number::Decimal(text) => make(py, "number", (&**text,)),
        // A width that this package does not know yet: its value as a double would round it.
        other => make(py, "number", (Value::Number(other.clone()).to_json(),)),
    }
}

fn extended<'py>(py: Python<'py>, from: &Extended) -> PyResult<Bound<'py, PyAny>> {
    let bytes = |bytes: &[u8]| PyBytes::new(py, bytes);
    match from {
        Extended::ObjectId(id) => make(py, "object_id", (bytes(id),)),
        Extended::DateTime(millis) => make(py, "date", (*millis,)),
        Extended::Binary { subtype: 0, bytes: content } => Ok(bytes(content).into_any()),
        Extended::Binary { subtype, bytes: content } => make(py, "binary", (*subtype, bytes(content))),
        Extended::Timestamp { time, increment } => make(py, "timestamp", (*time, *increment)),
        Extended::Regex { pattern, options } => make(py, "regex", (pattern, options)),
        Extended::Code { code, scope } => {
            let scope = scope.as_ref().map(|scope| object(py, scope)).transpose()?;
            make(py, "code", (code, scope))
        }
        Extended::Symbol(text) => make(py, "symbol", (text,)),
        Extended::DbPointer { namespace, id } => make(py, "db_pointer", (namespace, bytes(id))),
        Extended::MinKey => make(py, "min_key", ()),
        Extended::MaxKey => make(py, "max_key", ()),
        Extended::Undefined => make(py, "undefined", ()),
        Extended::Store { type_name, text } => make(py, "store", (type_name, text)),
        other => {
            let text = Value::from(other.clone()).to_interchange();
            Err(pyo3::exceptions::PyNotImplementedError::new_err(format!("this package cannot show {text}")))
        }
    }
}
