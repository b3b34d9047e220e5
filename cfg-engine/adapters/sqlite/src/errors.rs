//! What SQLite says, as the errors of the contract.
//!
//! SQLite's own messages name tables, columns and constraints. The exception is a trigger's `RAISE`,
//! whose text is the user's and may hold a value: it is left out.

use cfg_engine::adapter::AdapterError;
use cfg_engine::history::RecordKey;
use rusqlite::ErrorCode;
use rusqlite::ffi;

/// The store's name in messages.
pub(crate) const STORE: &str = "sqlite";

/// Turns a driver's result into one of ours.
pub(crate) trait OrAdapterError<T> {
    fn sql(self) -> Result<T, AdapterError>;
}

impl<T> OrAdapterError<T> for rusqlite::Result<T> {
    fn sql(self) -> Result<T, AdapterError> {
        self.map_err(|error| from_sqlite(&error))
    }
}

pub(crate) fn storage(reason: impl Into<String>) -> AdapterError {
    AdapterError::Storage { store: STORE, reason: reason.into() }
}

pub(crate) fn setup(problem: impl Into<String>, hint: impl Into<String>) -> AdapterError {
    AdapterError::Setup { problem: problem.into(), hint: hint.into() }
}

/// The file itself is missing, foreign or closed to this user.
pub(crate) fn unreachable(reason: impl Into<String>) -> AdapterError {
    AdapterError::Unreachable { store: STORE.to_owned(), reason: reason.into() }
}

pub(crate) fn damaged(problem: impl Into<String>) -> AdapterError {
    AdapterError::Damaged { problem: problem.into() }
}

/// The engine's tables are not there.
pub(crate) fn not_initialised() -> AdapterError {
    setup("the database holds no history yet", "run `cfg init` once: it creates the engine's own tables")
}

/// A worker thread stopped without an answer.
pub(crate) fn worker_stopped() -> AdapterError {
    storage("a worker of the adapter stopped; nothing was written by it")
}

pub(crate) fn from_sqlite(error: &rusqlite::Error) -> AdapterError {
    let rusqlite::Error::SqliteFailure(code, message) = error else {
        return match error {
            rusqlite::Error::SqlInputError { msg, .. } => sql_message(msg),
            // The column's name, its place and the two types; no value.
            rusqlite::Error::InvalidColumnType(_, name, found) => {
                damaged(format!("column {name} of the history holds a value of type {found}"))
            }
            // Read by its own type, and not of the length or form that it must have.
            rusqlite::Error::FromSqlConversionFailure(..) => damaged("a value in the history has not its form"),
            rusqlite::Error::IntegralValueOutOfRange(..) => damaged("a number in the history is out of range"),
            rusqlite::Error::Utf8Error(..) => damaged("text in the history is not UTF-8"),
            _ => storage("the driver could not run a statement"),
        };
    };
    match code.code {
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => AdapterError::Busy,
        ErrorCode::ReadOnly => unreachable(
            "the database file or its directory is read-only; give this user write permission on both: SQLite keeps \
             -wal and -shm files there, also for reading",
        ),
        ErrorCode::CannotOpen => unreachable(
            "the database file cannot be opened; check the path and the permissions of the file and its directory: a database in WAL mode can be read \
             only where the -wal and -shm files beside it can be opened or created",
        ),
        ErrorCode::PermissionDenied | ErrorCode::AuthorizationForStatementDenied => {
            unreachable("the database refuses access; check the permissions of the file and its directory")
        }
        ErrorCode::NotADatabase => {
            unreachable("the file is not a SQLite database, or it is encrypted; check the path in the configuration")
        }
        ErrorCode::DatabaseCorrupt => storage(
            "the database file is malformed; `PRAGMA integrity_check` names the damage, and only a backup repairs it",
        ),
        ErrorCode::DiskFull => storage("the disk is full, or the file has reached its limit; nothing was written"),
        ErrorCode::SystemIoFailure => {
            storage(format!("the operating system reports a read or write error ({})", code.extended_code))
        }
        ErrorCode::OutOfMemory => storage("out of memory"),
        ErrorCode::TooBig => storage("a text is longer than SQLite takes"),
        ErrorCode::ConstraintViolation => storage(constraint(code, message.as_deref())),
        _ => sql_message(message.as_deref().unwrap_or("an unknown error")),
    }
}

/// `no such table: …` is the user's to repair; anything else is passed on.
fn sql_message(message: &str) -> AdapterError {
    if message.starts_with("no such table") || message.starts_with("no such column") {
        return setup(message, "check the names in the configuration against the database");
    }
    if message.starts_with("no such index") {
        return setup(message, "run `cfg init` again: it creates what is missing of the engine's own tables");
    }
    storage(message)
}

/// Names the constraint that refused a write, without values.
fn constraint(code: &ffi::Error, message: Option<&str>) -> String {
    match code.extended_code {
        ffi::SQLITE_CONSTRAINT_TRIGGER => "a trigger of the table refused it".to_owned(),
        _ => message.unwrap_or("a constraint failed").to_owned(),
    }
}

/// Returns why the user's table refused a write of `record`, if that is what happened.
pub(crate) fn refused(record: &RecordKey, error: &rusqlite::Error) -> AdapterError {
    match error {
        rusqlite::Error::SqliteFailure(code, message)
            if matches!(code.code, ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch) =>
        {
            AdapterError::Refused { record: record.clone(), reason: constraint(code, message.as_deref()) }
        }
        other => from_sqlite(other),
    }
}

/// What a failed `COMMIT` means.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum CommitFailure {
    /// Nothing was written.
    Certain,
    /// A deferred constraint of one of the batches.
    Constraint,
    /// The write ahead log may hold the transaction, and whoever opens the file next may find it.
    Unknown,
}

pub(crate) fn commit_failure(error: &rusqlite::Error) -> CommitFailure {
    match error.sqlite_error_code() {
        Some(ErrorCode::ConstraintViolation) => CommitFailure::Constraint,
        // The lock was not obtained, or the frames did not fit on the disk: no commit mark was written.
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::DiskFull | ErrorCode::ReadOnly) => {
            CommitFailure::Certain
        }
        _ => CommitFailure::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(extended: i32, message: &str) -> rusqlite::Error {
        rusqlite::Error::SqliteFailure(ffi::Error::new(extended), Some(message.to_owned()))
    }

    #[test]
    fn a_triggers_text_is_the_users_and_stays_out() {
        let record = RecordKey {
            env: cfg_engine::history::EnvName::new("dev").unwrap(),
            collection: cfg_engine::history::CollectionName::new("c").unwrap(),
            id: cfg_engine::history::IdKey::from_value(&1.into()).unwrap(),
        };
        let said = refused(&record, &failure(ffi::SQLITE_CONSTRAINT_TRIGGER, "secret 42")).to_string();
        assert!(said.contains("trigger") && !said.contains("42"), "{said}");
        let said = refused(&record, &failure(ffi::SQLITE_CONSTRAINT_UNIQUE, "UNIQUE constraint failed: t.a"));
        assert!(said.to_string().contains("t.a"));
    }

    #[test]
    fn only_an_io_error_at_commit_is_unknown() {
        assert_eq!(commit_failure(&failure(ffi::SQLITE_IOERR_FSYNC, "")), CommitFailure::Unknown);
        assert_eq!(commit_failure(&failure(ffi::SQLITE_FULL, "")), CommitFailure::Certain);
        assert_eq!(commit_failure(&failure(ffi::SQLITE_BUSY, "")), CommitFailure::Certain);
        assert_eq!(commit_failure(&failure(ffi::SQLITE_CONSTRAINT_FOREIGNKEY, "")), CommitFailure::Constraint);
    }
}
