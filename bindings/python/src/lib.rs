//! The native half of the Python package: conversion only.
//!
//! Values are walked by hand in both directions (`values_in`, `values_out`); verbs are called by name
//! (`session`); `process` keeps what belongs to this process and not to a fork of it.

mod errors;
mod process;
mod progress;
mod session;
mod text;
mod values_in;
mod values_out;

use pyo3::prelude::*;

/// Documents are many small allocations; see `docs/decisions/0056-allocator.md`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `cfg_engine._native`.
#[pymodule]
mod _native {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::process::{after_fork_child, after_fork_parent, before_fork};
    #[pymodule_export]
    use crate::session::{Answer, Reply, Session, config, whoami};
    #[pymodule_export]
    use crate::text::{canonical, dumps, loads, oid, parse_reference, parse_time};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        let (major, minor, patch) = cfg_engine::document::UNICODE_VERSION;
        module.add("version", env!("CARGO_PKG_VERSION"))?;
        module.add("entry_format", cfg_engine::history::HEADER_VERSION)?;
        module.add("unicode", format!("{major}.{minor}.{patch}"))
    }
}
