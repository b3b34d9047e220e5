//! The verbs. Each reads, computes a [`Plan`](crate::plan::Plan), lets the gates judge it, applies
//! the batch and reports.

mod address;
mod adopt;
mod commit;
mod diff;
mod document;
mod export;
mod fsck;
mod history_source;
mod import;
mod import_history;
mod init;
mod log;
mod op_ids;
mod project;
mod remove;
mod report;
mod restore;
mod show;
mod status;
mod transact;

pub use address::Address;
pub use adopt::Adopt;
pub use commit::{Commit, CommitItem};
pub use diff::{DiffReport, DiffSide, RecordDiff};
pub(crate) use document::BASE_MEMBER;
pub use document::{Document, parse_document};
pub use fsck::{Finding, FsckReport};
pub use history_source::HistorySource;
pub use import::Import;
pub use import_history::{HistoryImport, HistoryReport};
pub use init::{ENV_OBJECT, InitReport};
pub use log::{AsOfEntry, Log, LogAxis};
pub use op_ids::{OpIds, RandomOpIds};
pub use project::{Options, Progress, Project};
pub use remove::Remove;
pub use report::{Replaced, Report, RowOutcome, RowResult, Written};
pub use restore::Restore;
pub use show::Shown;
pub use status::{RecordStatus, Staged, State, Status};
