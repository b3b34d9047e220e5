//! The command line from end to end: the real binary on real SQLite files.

#[path = "cli/approvals.rs"]
mod approvals;
#[path = "cli/editing.rs"]
mod editing;
#[path = "cli/history.rs"]
mod history;
#[path = "cli/hook.rs"]
mod hook;
#[path = "cli/incumbents.rs"]
mod incumbents;
#[path = "cli/json.rs"]
mod json;
#[path = "cli/operations.rs"]
mod operations;
#[path = "cli/people.rs"]
mod people;
#[path = "cli/redaction.rs"]
mod redaction;
#[path = "cli/refusals.rs"]
mod refusals;
#[path = "cli/schemas.rs"]
mod schemas;
#[path = "cli/setup.rs"]
mod setup;
#[path = "cli/system.rs"]
mod system;
#[path = "cli/troubles.rs"]
mod troubles;
#[path = "cli/world.rs"]
mod world;
