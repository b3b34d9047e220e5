//! Python's values as the engine's.
//!
//! The types that documents are made of are read here. All others are explained by
//! `cfg_engine._extended.simplify`, which knows `datetime`, `Decimal`, `UUID` and the types of `bson`.

use cfg_engine::Value;
use cfg_engine::document::{Extended, FieldPath, MAX_DEPTH, Number, Object, Step};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};

static SIMPLIFY: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
static REFUSE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// Why a value cannot be taken. The way to it is put together on the way back.
struct Problem {
    steps: Vec<Step>,
    what: What,
}

enum What {
    /// A type that documents do not have.
    Type(String),
    /// A key that is no text.
    Key(String),
    /// Text with half a surrogate pair.
    Text,
    TooDeep,
    /// A wrapper's content that does not fit, in the words of Python.
    Raised(PyErr),
}

impl From<PyErr> for Problem {
    fn from(error: PyErr) -> Self {
        Problem { steps: Vec::new(), what: What::Raised(error) }
    }
}

impl From<What> for Problem {
    fn from(what: What) -> Self {
        Problem { steps: Vec::new(), what }
    }
}

impl Problem {
    fn at(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    fn raise(mut self, py: Python<'_>) -> PyErr {
        self.steps.reverse();
        let path = FieldPath::from_steps(self.steps).to_string();
        let (code, what) = match self.what {
            What::Type(name) => ("unsupported_type", name),
            What::Key(name) => ("unsupported_key", name),
            What::Text => ("lone_surrogate", String::new()),
            What::TooDeep => ("too_deep", MAX_DEPTH.to_string()),
            // Signals and a lack of memory are not about the value.
            What::Raised(error) if !error.is_instance_of::<pyo3::exceptions::PyException>(py) => return error,
            What::Raised(error) => ("bad_value", error.value(py).to_string()),
        };
        let made = REFUSE
            .get_or_try_init(py, || PyResult::Ok(py.import("cfg_engine._errors")?.getattr("unsupported")?.unbind()))
            .and_then(|refuse| refuse.bind(py).call1((code, path, what)));
        match made {
            Ok(exception) => PyErr::from_value(exception),
            Err(failed) => failed,
        }
    }
}

/// Takes any value.
pub(crate) fn value(from: &Bound<'_, PyAny>) -> PyResult<Value> {
    read(from, 0).map_err(|problem| problem.raise(from.py()))
}

/// Takes the members of a dict.
pub(crate) fn object(from: &Bound<'_, PyDict>) -> PyResult<Object> {
    members(from, 0).map_err(|problem| problem.raise(from.py()))
}

/// More than any document may have: the arguments of a call stand around it.
const DEEPEST: usize = MAX_DEPTH + 16;

fn read(from: &Bound<'_, PyAny>, depth: usize) -> Result<Value, Problem> {
    if depth > DEEPEST {
        return Err(What::TooDeep.into());
    }
    if let Ok(text) = from.cast_exact::<PyString>() {
        return Ok(Value::String(string(text)?));
    }
    if from.is_none() {
        return Ok(Value::Null);
    }
    if let Ok(flag) = from.cast_exact::<PyBool>() {
        return Ok(Value::Bool(flag.is_true()));
    }
    if let Ok(int) = from.cast_exact::<PyInt>() {
        return Ok(Value::Number(integer(int)?));
    }
    if let Ok(float) = from.cast_exact::<PyFloat>() {
        return Ok(Value::Number(Number::Double(float.value())));
    }
    if let Ok(dict) = from.cast::<PyDict>() {
        return Ok(Value::Object(members(dict, depth)?));
    }
    if let Ok(list) = from.cast::<PyList>() {
        return array(list.iter(), list.len(), depth);
    }
    if let Ok(tuple) = from.cast::<PyTuple>() {
        return array(tuple.iter(), tuple.len(), depth);
    }
    if let Ok(bytes) = from.cast_exact::<PyBytes>() {
        return Ok(Extended::Binary { subtype: 0, bytes: bytes.as_bytes().to_vec() }.into());
    }
    simplified(from, depth)
}

fn string(text: &Bound<'_, PyString>) -> Result<String, Problem> {
    match text.to_str() {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => Err(What::Text.into()),
    }
}

fn integer(int: &Bound<'_, PyInt>) -> Result<Number, Problem> {
    match int.extract::<i64>() {
        Ok(n) => Ok(Number::Int(n)),
        // Beyond 64 bits: its digits, exact.
        Err(_) => Ok(Number::Decimal(int.str()?.to_str()?.into())),
    }
}

fn members(dict: &Bound<'_, PyDict>, depth: usize) -> Result<Object, Problem> {
    let mut members = Vec::with_capacity(dict.len());
    for (key, item) in dict {
        let name = match key.cast::<PyString>() {
            Ok(text) => string(text)?,
            Err(_) => return Err(What::Key(type_name(&key)).into()),
        };
        match read(&item, depth + 1) {
            Ok(value) => members.push((name, value)),
            Err(problem) => return Err(problem.at(Step::Key(name))),
        }
    }
    Ok(Object::from_members(members))
}

fn array<'py>(items: impl Iterator<Item = Bound<'py, PyAny>>, len: usize, depth: usize) -> Result<Value, Problem> {
    let mut values = Vec::with_capacity(len);
    for (n, item) in items.enumerate() {
        values.push(read(&item, depth + 1).map_err(|problem| problem.at(Step::Index(n)))?);
    }
    Ok(Value::Array(values))
}

fn type_name(value: &Bound<'_, PyAny>) -> String {
    value.get_type().fully_qualified_name().map_or_else(|_| "?".to_owned(), |name| name.to_string())
}

/// Asks what a value of another type stands for: `(kind, …)`, or nothing.
fn simplified(from: &Bound<'_, PyAny>, depth: usize) -> Result<Value, Problem> {
    let py = from.py();
    let simplify = SIMPLIFY
        .get_or_try_init(py, || PyResult::Ok(py.import("cfg_engine._extended")?.getattr("simplify")?.unbind()))?;
    let simple = simplify.bind(py).call1((from,))?;
    if simple.is_none() {
        return Err(What::Type(type_name(from)).into());
    }
    let parts = simple.cast_into::<PyTuple>().map_err(PyErr::from)?;
    let part = |n: usize| parts.get_item(n);
    let text = |n: usize| -> PyResult<String> { part(n)?.extract() };
    let kind = text(0)?;
    let extended = match kind.as_str() {
        "value" => return read(&part(1)?, depth + 1),
        "int" => {
            let int = part(1)?;
            return Ok(Value::Number(integer(int.cast::<PyInt>().map_err(PyErr::from)?)?));
        }
        "int64" => return Ok(Value::Number(Number::Int64(part(1)?.extract()?))),
        "decimal" => return Ok(Value::Number(decimal(&text(1)?))),
        "decimal128" => {
            let text = text(1)?;
            let number = Number::decimal128(&text).unwrap_or_else(|| Number::Decimal128(text.into()));
            return Ok(Value::Number(number));
        }
        "date" => Extended::DateTime(part(1)?.extract()?),
        "oid" => Extended::ObjectId(part(1)?.extract()?),
        "binary" => Extended::Binary {
            subtype: part(1)?.extract()?,
            bytes: part(2)?.cast::<PyBytes>().map_err(PyErr::from)?.as_bytes().to_vec(),
        },
        "timestamp" => Extended::Timestamp { time: part(1)?.extract()?, increment: part(2)?.extract()? },
        "regex" => Extended::Regex { pattern: text(1)?, options: text(2)? },
        "code" => {
            let scope = part(2)?;
            let scope = match scope.is_none() {
                true => None,
                false => Some(members(scope.cast::<PyDict>().map_err(PyErr::from)?, depth + 1)?),
            };
            Extended::Code { code: text(1)?, scope }
        }
        "symbol" => Extended::Symbol(text(1)?),
        "db_pointer" => Extended::DbPointer { namespace: text(1)?, id: part(2)?.extract()? },
        "min_key" => Extended::MinKey,
        "max_key" => Extended::MaxKey,
        "undefined" => Extended::Undefined,
        "store" => Extended::Store { type_name: text(1)?, text: text(2)? },
        _ => return Err(What::Type(type_name(from)).into()),
    };
    Ok(extended.into())
}

/// Takes a `Decimal` as its exact digits. A whole one keeps a fraction, so that it comes back as a `Decimal`.
fn decimal(text: &str) -> Number {
    let whole = text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    Number::Decimal(if whole { format!("{text}.0").into() } else { text.into() })
}
