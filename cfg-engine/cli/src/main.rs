//! `cfg`: parses, calls the engine, renders. What a verb means is decided in `cfg-engine`.

use std::process::ExitCode;

mod app;
mod cli;
mod context;
mod output;
mod progress;
mod render;
mod usage;
mod verbs;

/// Documents are many small allocations; see `docs/decisions/0056-allocator.md`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ExitCode::from(app::run(std::env::args_os().collect()))
}
