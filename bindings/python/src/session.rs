//! [`Session`]: a project whose verbs are called by name, waiting or with an asyncio future.

use std::path::PathBuf;
use std::sync::Arc;

use cfg_engine::document::Object;
use cfg_engine::engine::{Progress, Written};
use cfg_engine::history::AuthorClass;
use cfg_engine::{Error, Value};
use cfg_engine_connect::{self as connect, Create, OpenOptions, Variables};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

use crate::process::{self, Work, current};
use crate::progress::Callback;
use crate::{errors, values_in, values_out};

static SETTLE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// A project. Its store is opened with the first call, in each process of its own.
#[pyclass(module = "cfg_engine._native", frozen)]
pub(crate) struct Session {
    id: u64,
    options: OpenOptions,
}

/// What a verb gave.
#[pyclass(module = "cfg_engine._native", frozen)]
pub(crate) struct Answer {
    answer: connect::Answer,
}

/// What became of a record that was written.
#[pyclass(module = "cfg_engine._native", frozen)]
pub(crate) struct Reply {
    written: Written,
}

/// Reads how a project is opened. The variables are those that Python sees.
fn options(from: &Bound<'_, PyDict>) -> PyResult<OpenOptions> {
    let text = |name: &str| -> PyResult<Option<String>> {
        match from.get_item(name)? {
            Some(value) if !value.is_none() => value.extract().map(Some),
            _ => Ok(None),
        }
    };
    let variables: Vec<(String, String)> = match from.get_item("variables")? {
        Some(variables) => {
            let variables = variables.cast_into::<PyDict>()?;
            let pair = |(name, value): (Bound<'_, PyAny>, Bound<'_, PyAny>)| {
                // One that is no Unicode counts as not set, as everywhere.
                Some((name.extract::<String>().ok()?, value.extract::<String>().ok()?))
            };
            variables.iter().filter_map(pair).collect()
        }
        None => Vec::new(),
    };
    let class = match text("author_class")? {
        None => None,
        Some(word) => match AuthorClass::parse(&word) {
            Some(class) => Some(class),
            None => {
                let error = Error::refused(
                    "bad_author",
                    format!("an author cannot declare to be {word:?}"),
                    "declare agent or pipeline, or nothing",
                );
                return Err(errors::raise(from.py(), &error));
            }
        },
    };
    let create = match from.get_item("create")? {
        Some(create) if create.is_truthy()? => Create::IfMissing,
        _ => Create::Never,
    };
    Ok(OpenOptions {
        config_file: text("config_file")?.map(PathBuf::from),
        start_dir: text("start_dir")?.map(PathBuf::from).unwrap_or_default(),
        env: text("env")?,
        author: text("author")?,
        author_class: class,
        create,
        variables: Variables::Fixed(variables.into_iter().collect()),
        ..OpenOptions::default()
    })
}

type Outcome = Result<connect::Answer, Error>;

impl Session {
    fn work(&self, py: Python<'_>, verb: &str, args: Object, progress: Option<Arc<Callback>>) -> Work<Outcome> {
        let store = current().store(py, self.id);
        let (options, verb) = (self.options.clone(), verb.to_owned());
        Box::pin(async move {
            let session = process::opened(&store, &options).await?;
            session.call(&verb, args, progress.as_deref().map(|callback| callback as &dyn Progress)).await
        })
    }
}

#[pymethods]
impl Session {
    #[new]
    fn new(options: &Bound<'_, PyDict>) -> PyResult<Self> {
        // The program's own `sqlite3` is another copy, and may have the same file open.
        cfg_engine_own_locks::install();
        Ok(Session { id: process::new_id(), options: self::options(options)? })
    }

    /// Calls a verb and waits for it with the interpreter released.
    #[pyo3(signature = (verb, args, progress=None))]
    fn call(
        &self,
        py: Python<'_>,
        verb: &str,
        args: &Bound<'_, PyDict>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Answer> {
        let args = values_in::object(args)?;
        let running = current().enter(py);
        let progress = progress.map(|callable| Arc::new(Callback::new(callable)));
        let work = self.work(py, verb, args, progress.clone());
        let raised = |_: Python<'_>| progress.as_ref().map_or(Ok(()), |callback| callback.check());
        let outcome = process::wait(py, work, running, raised)?;
        raised(py)?;
        outcome.map(|answer| Answer { answer }).map_err(|error| errors::raise(py, &error))
    }

    /// Calls a verb; returns at once with a future of the event loop. If it is cancelled, nobody waits any
    /// more; the verb is carried to its end.
    #[pyo3(signature = (event_loop, verb, args, progress=None))]
    fn call_async<'py>(
        &self,
        py: Python<'py>,
        event_loop: &Bound<'py, PyAny>,
        verb: &str,
        args: &Bound<'py, PyDict>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let args = values_in::object(args)?;
        let future = event_loop.call_method0("create_future")?;
        let running = current().enter(py);
        let progress = progress.map(|callable| Arc::new(Callback::new(callable)));
        let work = self.work(py, verb, args, progress.clone());
        let (event_loop, waiting) = (event_loop.clone().unbind(), future.clone().unbind());
        let runtime = current().runtime(py).map_err(|error| errors::raise(py, &error))?;
        runtime.spawn(async move {
            let outcome = work.await;
            drop(running);
            // Without an interpreter nobody waits; without a loop neither.
            Python::try_attach(|py| settle(py, event_loop, waiting, outcome, progress.as_deref()));
        });
        Ok(future)
    }

    /// Closes the store. The next call opens it again.
    fn close(&self, py: Python<'_>) {
        let (store, runtime) = current().forget(py, self.id);
        py.detach(|| process::close(store, runtime));
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Closing waits for a thread of the store, so another one does it.
        let forgotten = Python::try_attach(|py| current().forget(py, self.id));
        if let Some((Some(store), runtime)) = forgotten {
            let close = move || process::close([store], runtime);
            drop(std::thread::Builder::new().name("cfg-engine-close".to_owned()).spawn(close));
        }
    }
}

/// Hands an outcome to the event loop.
fn settle(
    py: Python<'_>,
    event_loop: Py<PyAny>,
    future: Py<PyAny>,
    outcome: Outcome,
    progress: Option<&Callback>,
) -> PyResult<()> {
    let raised = progress.map_or(Ok(()), Callback::check);
    let (result, error) = match (raised, outcome) {
        (Err(error), _) => (None, Some(error.into_value(py).into_any())),
        (Ok(()), Ok(answer)) => (Some(Py::new(py, Answer { answer })?.into_any()), None),
        (Ok(()), Err(error)) => (None, Some(errors::exception(py, &error)?.unbind())),
    };
    let settle =
        SETTLE.get_or_try_init(py, || PyResult::Ok(py.import("cfg_engine._bridge")?.getattr("settle")?.unbind()))?;
    event_loop.call_method1(py, "call_soon_threadsafe", (settle, future, result, error))?;
    Ok(())
}

#[pymethods]
impl Answer {
    /// What `cfg --json` prints.
    fn data<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        values_out::value(py, &self.answer.data)
    }

    #[getter]
    fn exit_code(&self) -> u8 {
        self.answer.exit_code
    }

    #[getter]
    fn replayed(&self) -> bool {
        self.answer.replayed
    }

    /// The failure of the row that decided the exit code, as an exception.
    fn reason<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.answer.reason.as_ref().map(|error| errors::exception(py, error)).transpose()
    }

    /// What was written, record by record.
    fn replies(&self) -> Vec<Reply> {
        self.answer.written.iter().map(|written| Reply { written: written.clone() }).collect()
    }
}

#[pymethods]
impl Reply {
    fn collection(&self) -> &str {
        self.written.entry.header.record.collection.as_str()
    }

    fn config_id<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        values_out::value(py, &self.written.entry.header.record.id.to_value())
    }

    /// The document as it is now; nothing for a deletion.
    fn doc<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.written.doc.as_deref().map(|doc| values_out::value(py, doc)).transpose()
    }

    /// The base to commit the next change with.
    fn base<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        values_out::object(py, &self.written.base.to_object())
    }

    /// All entries that were written for the record, the pre-image first.
    fn entries<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        self.written.entries.iter().map(|entry| values_out::object(py, &entry.to_object(&[]))).collect()
    }
}

/// Returns who makes changes on which env; no store is opened.
#[pyfunction]
pub(crate) fn whoami<'py>(py: Python<'py>, options: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyAny>> {
    let options = self::options(options)?;
    let found = py.detach(|| {
        let located = connect::locate(options)?;
        connect::call::whoami(&located)
    });
    values_out::value(py, &Value::Object(found.map_err(|error| errors::raise(py, &error))?))
}

/// Returns the settings in effect; no store is opened.
#[pyfunction]
pub(crate) fn config<'py>(py: Python<'py>, options: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyAny>> {
    let options = self::options(options)?;
    let found = py.detach(|| {
        let file = options.config_file.as_deref();
        connect::call::config(&options.start_dir, file, options.env.as_deref(), &options.variables)
    });
    values_out::value(py, &Value::Object(found.map_err(|error| errors::raise(py, &error))?))
}
