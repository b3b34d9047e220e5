//! Progress of long work, told to a Python callable.

use std::sync::{Mutex, PoisonError};

use cfg_engine::engine::Progress;
use pyo3::prelude::*;

/// A callable that is told `(done, total)`; `total` is `None` where it is not known.
pub(crate) struct Callback {
    callable: Py<PyAny>,
    /// What the callable raised. It is not called again.
    raised: Mutex<Option<PyErr>>,
}

impl Callback {
    pub(crate) fn new(callable: Py<PyAny>) -> Self {
        Callback { callable, raised: Mutex::new(None) }
    }

    /// Raises what the callable raised, once.
    pub(crate) fn check(&self) -> PyResult<()> {
        match self.raised.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

impl Progress for Callback {
    fn advance(&self, done: u64, total: Option<u64>) {
        let told = Python::try_attach(|py| self.callable.call1(py, (done, total)).map(drop));
        if let Some(Err(error)) = told {
            self.raised.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        }
    }
}
