//! What the driver and the server say, as the errors of the contract.
//!
//! The driver's messages hold addresses, topologies and, from the server, values of documents. None of
//! it is passed on: a message is made here, from the kind of the error and its code.

use bson::Document;
use cfg_engine::adapter::AdapterError;
use mongodb::error::{Error, ErrorKind, TRANSIENT_TRANSACTION_ERROR, UNKNOWN_TRANSACTION_COMMIT_RESULT};

/// The store's name in messages.
pub(crate) const STORE: &str = "mongodb";

pub(crate) fn storage(reason: impl Into<String>) -> AdapterError {
    AdapterError::Storage { store: STORE, reason: reason.into() }
}

pub(crate) fn setup(problem: impl Into<String>, hint: impl Into<String>) -> AdapterError {
    AdapterError::Setup { problem: problem.into(), hint: hint.into() }
}

pub(crate) fn damaged(problem: impl Into<String>) -> AdapterError {
    AdapterError::Damaged { problem: problem.into() }
}

/// The engine's collections are not there.
pub(crate) fn not_initialised() -> AdapterError {
    setup("the database holds no history yet", "run `cfg init` once: it creates the engine's own collections")
}

/// Where a store is, without credentials: what its errors name.
#[derive(Debug, Clone)]
pub(crate) struct Place(pub(crate) String);

impl Place {
    pub(crate) fn unreachable(&self, reason: impl Into<String>) -> AdapterError {
        AdapterError::Unreachable { store: self.0.clone(), reason: reason.into() }
    }

    /// Says what a failed operation means where nothing is known to have been written.
    pub(crate) fn error(&self, error: &Error) -> AdapterError {
        match &*error.kind {
            ErrorKind::ServerSelection { .. } => {
                self.unreachable("no server answered in time; check that it runs and that a primary is elected")
            }
            ErrorKind::Io(io) => self.unreachable(format!("the connection failed ({})", io.kind())),
            ErrorKind::ConnectionPoolCleared { .. } => self.unreachable("the connection failed"),
            ErrorKind::DnsResolve { .. } => self.unreachable("the host name cannot be resolved"),
            ErrorKind::Authentication { .. } => {
                self.unreachable("the server refuses these credentials; check user, password and authSource")
            }
            ErrorKind::InvalidTlsConfig { .. } => self.unreachable("the TLS settings of the uri cannot be used"),
            ErrorKind::IncompatibleServer { .. } => self.unreachable("the server is too old for this program"),
            ErrorKind::Shutdown => self.unreachable("the client was shut down"),
            ErrorKind::Command(command) => self.command(command.code, &command.code_name),
            ErrorKind::Write(mongodb::error::WriteFailure::WriteError(write)) => {
                self.command(write.code, write.code_name.as_deref().unwrap_or_default())
            }
            ErrorKind::SessionsNotSupported => self.unreachable("the server has no sessions"),
            ErrorKind::InvalidArgument { .. } => storage("the driver refused a command"),
            _ => storage("the driver could not run a command"),
        }
    }

    /// Names a server's error by its code; its text may hold values.
    pub(crate) fn command(&self, code: i32, name: &str) -> AdapterError {
        match code {
            13 | 31 | 33 => setup(
                "the server does not permit this to the user of the uri",
                "grant it the role readWrite on the databases of live and history",
            ),
            18 => self.unreachable("the server refuses these credentials; check user, password and authSource"),
            20 => setup(
                "the server has no transactions: it is not a member of a replica set",
                "start it with --replSet and run rs.initiate() once; one node is enough",
            ),
            // A document beyond 16 MiB, as the server counts.
            10334 | 17419 | 17420 => storage("a document is larger than MongoDB takes"),
            50 => self.unreachable("the server took longer than the time it was given"),
            189 | 10107 | 13435 | 11600 | 11602 | 91 | 13436 => {
                self.unreachable("there is no primary at the moment; try again")
            }
            239 | 246 => storage("the read took longer than the server keeps a snapshot; try again"),
            _ if name.is_empty() => storage(format!("the server refused a command (code {code})")),
            _ => storage(format!("the server refused a command ({name}, code {code})")),
        }
    }
}

/// A transaction that may be run again from its start.
pub(crate) fn is_transient(error: &Error) -> bool {
    error.contains_label(TRANSIENT_TRANSACTION_ERROR)
}

/// A commit that may or may not have happened.
pub(crate) fn is_unknown_commit(error: &Error) -> bool {
    error.contains_label(UNKNOWN_TRANSACTION_COMMIT_RESULT)
}

/// The first error among a reply's writes: its code, and the place of its statement.
pub(crate) fn write_error(reply: &Document) -> Option<(i32, usize)> {
    let first = reply.get_array("writeErrors").ok()?.first()?.as_document()?;
    let place = first.get_i32("index").ok().and_then(|n| usize::try_from(n).ok());
    Some((first.get_i32("code").unwrap_or_default(), place.unwrap_or_default()))
}

/// The server's code of an error, if it sent one.
pub(crate) fn code(error: &Error) -> Option<i32> {
    match &*error.kind {
        ErrorKind::Command(command) => Some(command.code),
        ErrorKind::Write(mongodb::error::WriteFailure::WriteError(write)) => Some(write.code),
        _ => None,
    }
}

/// A second document under a unique key.
pub(crate) const DUPLICATE_KEY: i32 = 11000;
/// A document that the collection's validator refuses.
pub(crate) const VALIDATION: i32 = 121;
