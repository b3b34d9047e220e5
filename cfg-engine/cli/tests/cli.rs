//! The command line from end to end: the real binary on real SQLite files.

#[path = "cli/editing.rs"]
mod editing;
#[path = "cli/history.rs"]
mod history;
#[path = "cli/json.rs"]
mod json;
#[path = "cli/people.rs"]
mod people;
#[path = "cli/refusals.rs"]
mod refusals;
#[path = "cli/schemas.rs"]
mod schemas;
#[path = "cli/setup.rs"]
mod setup;
#[path = "cli/world.rs"]
mod world;
