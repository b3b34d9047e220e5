//! The vector files of `tests/vectors`, and what holds for every document beyond them.

#[path = "vectors/files.rs"]
mod files;
#[path = "vectors/generated.rs"]
mod generated;
#[path = "vectors/history.rs"]
mod history;
#[path = "vectors/properties.rs"]
mod properties;
