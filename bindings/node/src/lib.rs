//! The native half of the npm package: conversion only.
//!
//! Everything crosses as text: named values as JSON, documents as canonical Extended JSON. What a call
//! resolves to is `{ok}` or `{error}`, and one TypeScript function makes a typed error of the second.
//! The verbs themselves are [`cfg_engine_connect::Session`]'s.

mod format;
mod open;
mod progress;
mod project;
mod reply;
mod runtime;
mod text;

/// Documents are many small allocations; see `docs/decisions/0056-allocator.md`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
