//! The outcome of a verb: status word, exit code, code, message, hint. One table for every interface.

use crate::document::{Object, Value};
use crate::error::{Error, ErrorKind};

#[cfg(test)]
mod tests;

/// The word that scripts and agents branch on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// Done, or nothing to do.
    Ok,
    /// Live is not what history says: somebody wrote around the tool.
    ChangedOutsideCfg,
    /// Somebody else's commit came first.
    Conflict,
    /// A human has to approve.
    NeedsHumanOk,
    /// A human said no.
    WasDeclined,
    /// No such record, version or tag.
    NotFound,
    /// Ambiguous live rows, unhashable documents, broken configuration.
    BadConfig,
    /// Usage, refused input, a secret, or the storage.
    Error,
}

impl Status {
    /// Returns the word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Status::Ok => "ok",
            Status::ChangedOutsideCfg => "changed_outside_cfg",
            Status::Conflict => "conflict",
            Status::NeedsHumanOk => "needs_human_ok",
            Status::WasDeclined => "was_declined",
            Status::NotFound => "not_found",
            Status::BadConfig => "bad_config",
            Status::Error => "error",
        }
    }
}

/// Kind of error, status word, exit code: the one table from which every interface derives.
pub const TABLE: [(ErrorKind, Status, u8); 8] = [
    (ErrorKind::Refused, Status::Error, 1),
    (ErrorKind::Conflict, Status::Conflict, 2),
    (ErrorKind::ChangedOutside, Status::ChangedOutsideCfg, 2),
    (ErrorKind::Storage, Status::Error, 3),
    (ErrorKind::NeedsApproval, Status::NeedsHumanOk, 4),
    (ErrorKind::NotFound, Status::NotFound, 5),
    (ErrorKind::BadConfig, Status::BadConfig, 6),
    (ErrorKind::Declined, Status::WasDeclined, 7),
];

/// Of several rows the exit code is the first of these that is present; 4 and 7 end a verb alone.
pub const EXIT_PRECEDENCE: [u8; 7] = [4, 7, 3, 6, 2, 1, 5];

impl ErrorKind {
    /// Returns the status word.
    pub fn status(self) -> Status {
        self.row().1
    }

    /// Returns the exit code.
    pub fn exit_code(self) -> u8 {
        self.row().2
    }

    fn row(self) -> (ErrorKind, Status, u8) {
        // Every kind has a row: a test walks the table.
        TABLE.into_iter().find(|(kind, _, _)| *kind == self).unwrap_or(TABLE[0])
    }
}

/// Returns the exit code of a verb from those of its rows.
///
/// # Examples
///
/// ```
/// assert_eq!(cfg_engine::outcome::combined_exit([0, 5, 2]), 2);
/// assert_eq!(cfg_engine::outcome::combined_exit([]), 0);
/// ```
pub fn combined_exit(codes: impl IntoIterator<Item = u8>) -> u8 {
    let seen: Vec<u8> = codes.into_iter().filter(|code| *code != 0).collect();
    EXIT_PRECEDENCE.into_iter().find(|code| seen.contains(code)).unwrap_or(0)
}

impl Error {
    /// Returns `{code, message, hint}`: a row's `reason`.
    pub fn to_reason(&self) -> Object {
        Object::new().with("code", self.code()).with("message", self.to_string()).with("hint", self.hint())
    }

    /// Returns the envelope `{status, code, message, hint, data}` of a verb that produced no data.
    pub fn to_envelope(&self) -> Object {
        Object::new()
            .with("status", self.kind().status().as_str())
            .with("code", self.code())
            .with("message", self.to_string())
            .with("hint", self.hint())
            .with("data", self.data())
    }

    /// Returns what a caller needs beyond the words: the record, the missing fields.
    fn data(&self) -> Value {
        let mut data = Object::new();
        if let Some(record) = self.record() {
            data.insert("collection", record.collection.as_str());
            data.insert("config_id", record.id.to_value());
        }
        match self {
            Error::MissingFields { fields, .. } => {
                data.insert("missing_fields", fields.iter().map(ToString::to_string).collect::<Vec<_>>());
            }
            Error::StaleHead { current: Some(current), .. } => {
                data.insert("head_seq", current.head.seq.0);
                data.insert("head_oid", current.head.oid.map(|oid| oid.to_hex()));
            }
            Error::Several { errors, .. } => {
                let rows = errors.iter().map(|(record, error)| {
                    Object::new()
                        .with("collection", record.collection.as_str())
                        .with("config_id", record.id.to_value())
                        .with("reason", error.to_reason())
                });
                data.insert("failed", rows.collect::<Vec<_>>());
            }
            Error::ApprovalRequired { request, .. } => data = request.as_ref().clone(),
            Error::ApprovalDenied { id, by, reason, .. } => {
                data.insert("approval_id", id.as_str());
                data.insert("denied_by", by.as_str());
                data.insert("reason", reason.as_str());
            }
            Error::UnusableIds { strays } => {
                data.insert("collection", strays.collection.as_str());
                data.insert("rows", strays.rows);
            }
            _ => {}
        }
        if data.is_empty() { Value::Null } else { Value::Object(data) }
    }
}
