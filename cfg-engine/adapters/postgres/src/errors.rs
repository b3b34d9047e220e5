//! What PostgreSQL says, as the errors of the contract.
//!
//! The server's primary message may quote a value (`invalid input syntax for type integer: "…"`), and its
//! detail does so nearly always. What leaves this adapter is made of the error's class and of the names of
//! tables, columns and constraints.

use cfg_engine::adapter::AdapterError;
use cfg_engine::history::RecordKey;
use tokio_postgres::error::{DbError, SqlState};

/// The store's name in messages.
pub(crate) const STORE: &str = "postgres";

/// Turns a driver's result of a read into one of ours.
pub(crate) trait OrAdapterError<T> {
    fn sql(self) -> Result<T, AdapterError>;
}

impl<T> OrAdapterError<T> for Result<T, tokio_postgres::Error> {
    fn sql(self) -> Result<T, AdapterError> {
        self.map_err(|error| from_postgres(&error))
    }
}

pub(crate) fn storage(reason: impl Into<String>) -> AdapterError {
    AdapterError::Storage { store: STORE, reason: reason.into() }
}

pub(crate) fn setup(problem: impl Into<String>, hint: impl Into<String>) -> AdapterError {
    AdapterError::Setup { problem: problem.into(), hint: hint.into() }
}

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

/// A task of this adapter stopped without an answer.
pub(crate) fn task_stopped() -> AdapterError {
    storage("a task of the adapter stopped; nothing was read")
}

/// Returns whether the error says that the connection is gone, so that nothing is known of what ran on it.
pub(crate) fn connection_lost(error: &tokio_postgres::Error) -> bool {
    match error.code() {
        // Shutdown, crash of a neighbour, a terminated backend: it may come behind a commit.
        Some(code) => code.code().starts_with("57P") || code.code().starts_with("08"),
        None => error.is_closed() || is_io(error),
    }
}

fn is_io(error: &tokio_postgres::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        if inner.is::<std::io::Error>() {
            return true;
        }
        source = inner.source();
    }
    false
}

/// Returns whether the same transaction may succeed when it is run again.
pub(crate) fn is_transient(error: &tokio_postgres::Error) -> bool {
    matches!(error.code(), Some(code) if [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED].contains(code))
}

/// Returns whether a table or column is not what was read of it.
pub(crate) fn is_changed_table(error: &tokio_postgres::Error) -> bool {
    let changed = [
        SqlState::UNDEFINED_COLUMN,
        SqlState::UNDEFINED_TABLE,
        SqlState::UNDEFINED_OBJECT,
        SqlState::FEATURE_NOT_SUPPORTED,
        SqlState::DATATYPE_MISMATCH,
        SqlState::UNDEFINED_FUNCTION,
    ];
    matches!(error.code(), Some(code) if changed.contains(code))
}

pub(crate) fn from_postgres(error: &tokio_postgres::Error) -> AdapterError {
    match error.as_db_error() {
        Some(error) => from_server(error),
        None if error.is_closed() || is_io(error) => unreachable(reason_of_io(error)),
        None => storage("the driver could not run a statement"),
    }
}

/// Says why a connection cannot be made or was lost. The driver's text names hosts and never credentials,
/// and is still not taken: the operating system's is.
fn reason_of_io(error: &tokio_postgres::Error) -> String {
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        if let Some(io) = inner.downcast_ref::<std::io::Error>() {
            return match io.kind() {
                std::io::ErrorKind::Other | std::io::ErrorKind::InvalidData => tls_reason(io),
                kind => kind.to_string(),
            };
        }
        source = inner.source();
    }
    "the connection was closed".to_owned()
}

fn tls_reason(error: &std::io::Error) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(_)) => "the server's certificate cannot be verified; name the \
             certificate authority with sslrootcert=FILE in the uri"
            .to_owned(),
        Some(_) => "TLS could not be agreed on".to_owned(),
        None => "the connection failed".to_owned(),
    }
}

/// Says why a connection was refused.
pub(crate) fn from_connect(error: &tokio_postgres::Error, place: &str) -> AdapterError {
    let reason = match error.as_db_error() {
        Some(error) => match error.code() {
            code if [SqlState::INVALID_PASSWORD, SqlState::INVALID_AUTHORIZATION_SPECIFICATION].contains(code) => {
                "the server does not accept the user or the password".to_owned()
            }
            code if *code == SqlState::INVALID_CATALOG_NAME => "there is no database of that name".to_owned(),
            code if *code == SqlState::TOO_MANY_CONNECTIONS => "the server has no connection free".to_owned(),
            code if *code == SqlState::CANNOT_CONNECT_NOW => "the server is starting up or shutting down".to_owned(),
            code if *code == SqlState::INSUFFICIENT_PRIVILEGE => "the user may not connect to the database".to_owned(),
            code => format!("the server refuses the connection (SQLSTATE {})", code.code()),
        },
        None if error.is_closed() || is_io(error) => reason_of_io(error),
        None => no_session(error),
    };
    AdapterError::Unreachable { store: format!("postgres at {place}"), reason }
}

/// What the driver itself says before there is a session. Its texts are fixed.
fn no_session(error: &tokio_postgres::Error) -> String {
    let text = error.to_string();
    if text.contains("authentication") {
        return "the server asks for a password; add it to the uri".to_owned();
    }
    if text.contains("TLS") {
        return "the server does not offer TLS; sslmode=disable in the uri goes without".to_owned();
    }
    if text.contains("timeout") || text.contains("timed out") {
        return "the server did not answer in time".to_owned();
    }
    "the connection failed".to_owned()
}

fn from_server(error: &DbError) -> AdapterError {
    let code = error.code();
    let (class, _) = code.code().split_at(2);
    match code.code() {
        "42501" => setup(
            format!("the database user has no permission{}", on_what(error)),
            "grant what docs/operations.md lists for PostgreSQL",
        ),
        "25006" => setup(
            "the database accepts no writes: it is a standby, or the session is read-only",
            "connect to the primary; target_session_attrs=read-write in the uri looks for it",
        ),
        "42P01" | "3F000" => setup(
            format!("a table is missing{}", on_what(error)),
            "run `cfg init`; check the names in the configuration against the database",
        ),
        "42703" | "42704" | "42883" | "42804" => setup(
            "a table has changed, or a column is missing".to_owned(),
            "run the command again; check the names in the configuration against the database",
        ),
        "53100" => storage("the server's disk is full; nothing was written"),
        "53200" => storage("the server is out of memory; nothing was written"),
        "53300" => unreachable("the server has no connection free"),
        "53400" => storage("a limit of the server is reached; nothing was written"),
        "55P03" => AdapterError::Busy,
        "57014" => storage("the statement was cancelled, by a timeout or an administrator; nothing was written"),
        "40001" | "40P01" => AdapterError::Busy,
        "54000" | "54001" | "54011" | "54023" => storage("a statement is larger than the server takes"),
        "XX001" | "XX002" => storage("the server reports damaged data; only a backup repairs it"),
        _ if class == "57" || class == "08" => unreachable("the server ended the connection"),
        _ if class == "58" => storage(format!("the server's system reports an error (SQLSTATE {})", code.code())),
        _ => storage(format!("the server reports SQLSTATE {}{}", code.code(), on_what(error))),
    }
}

/// Names the table, column or constraint that an error is about.
fn on_what(error: &DbError) -> String {
    if let (Some(constraint), Some(table)) = (error.constraint(), error.table()) {
        return format!(" (constraint {constraint} of table {table})");
    }
    if let (Some(column), Some(table)) = (error.column(), error.table()) {
        return format!(" (column {column} of table {table})");
    }
    if let Some(table) = error.table() {
        return format!(" (table {table})");
    }
    // `permission denied for table x`: a fixed text around a name.
    match error.message().strip_prefix("permission denied for ") {
        Some(object) if error.code() == &SqlState::INSUFFICIENT_PRIVILEGE => format!(" for {object}"),
        _ => String::new(),
    }
}

/// What a failed write of a batch means.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The user's table refused: which constraint, without values.
    Refused(String),
    /// One of the engine's own tables has a row already: somebody was first.
    Taken,
    /// The same statement may succeed now.
    Transient,
    /// A postcondition in the statement did not hold.
    Mismatch,
    /// The connection is gone.
    Lost,
    /// Anything else; nothing was written.
    Other(AdapterError),
}

/// The marker of a postcondition that did not hold, in the text that the server repeats.
pub(crate) const MISMATCH: &str = "cfg:mismatch";

/// Judges the error of a statement that writes. `own` is the schema of the engine's tables.
pub(crate) fn failure(error: &tokio_postgres::Error, own: &str) -> Failure {
    if connection_lost(error) {
        return Failure::Lost;
    }
    if is_transient(error) {
        return Failure::Transient;
    }
    let Some(server) = error.as_db_error() else { return Failure::Other(from_postgres(error)) };
    let class = &server.code().code()[..2];
    let in_own = server.schema() == Some(own);
    match class {
        "23" if in_own && *server.code() == SqlState::UNIQUE_VIOLATION => Failure::Taken,
        "23" if in_own && *server.code() == SqlState::EXCLUSION_VIOLATION => {
            Failure::Other(damaged("two versions of one record would be valid at one instant"))
        }
        "23" if in_own => Failure::Other(from_postgres(error)),
        "23" => Failure::Refused(constraint(server)),
        // A trigger's or a function's own text may hold a value.
        "P0" => Failure::Refused("a trigger of the table refused it".to_owned()),
        "22" if server.message().contains(MISMATCH) => Failure::Mismatch,
        "22" | "44" => Failure::Refused(format!("the table cannot hold a value{}", data_reason(server))),
        _ => Failure::Other(from_postgres(error)),
    }
}

fn constraint(error: &DbError) -> String {
    match error.code().code() {
        "23502" => format!("column {} must have a value", error.column().unwrap_or("?")),
        "23503" => format!("foreign key {} does not hold", error.constraint().unwrap_or("?")),
        "23505" => format!("unique constraint {} does not hold", error.constraint().unwrap_or("?")),
        "23514" => format!("check constraint {} does not hold", error.constraint().unwrap_or("?")),
        "23P01" => format!("exclusion constraint {} does not hold", error.constraint().unwrap_or("?")),
        _ => format!("constraint {} does not hold", error.constraint().unwrap_or("?")),
    }
}

fn data_reason(error: &DbError) -> String {
    let what = match error.code().code() {
        "22001" => "a text is longer than its column",
        "22003" => "a number is out of its column's range",
        "22007" | "22008" => "a time is not one of its column's",
        "22P02" => "a text is not one that its column's type reads",
        "22P05" | "22021" => "a character that the database's encoding does not have",
        code => return format!(" (SQLSTATE {code})"),
    };
    format!(": {what}")
}

/// Says that the user's table refused a write of this record.
pub(crate) fn refused(record: &RecordKey, reason: String) -> AdapterError {
    AdapterError::Refused { record: record.clone(), reason }
}
