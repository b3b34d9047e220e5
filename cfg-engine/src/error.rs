//! The engine's error: what happened, to which record, what to do next.

use crate::adapter::{AdapterError, HeadState, Strays};
use crate::config::LiveRuleError;
use crate::document::{CanonicalError, FieldPath, Object, ParseError, Step};
use crate::history::{NameError, RecordKey, ReferenceError, Seq, TimeError};
use crate::outcome::EXIT_PRECEDENCE;
use crate::plan::ApprovalState;

/// What a caller can do about an error. Status word and exit code derive from it in
/// [`outcome::TABLE`](crate::outcome::TABLE).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The input is refused: change it.
    Refused,
    /// Another commit came first: read again and redo.
    Conflict,
    /// Somebody wrote around the tool: adopt first.
    ChangedOutside,
    /// The store failed: try later or mend it.
    Storage,
    /// A human has to approve.
    NeedsApproval,
    /// No such thing.
    NotFound,
    /// The data or configuration breaks a rule that the engine needs.
    BadConfig,
    /// A human said no.
    Declined,
}

/// Why a verb did not do what was asked. Nothing was written unless the variant says otherwise.
///
/// Messages and `Debug` never show document values, secrets or connection URIs.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// HEAD moved between reading and writing.
    #[error("{record} was changed by another commit")]
    StaleHead {
        /// Which record.
        record: RecordKey,
        /// HEAD now.
        current: Option<Box<HeadState>>,
    },
    /// The document was read at a version that is no longer HEAD.
    #[error("{record} moved on: the document was read at {} and HEAD is {}", at(base), at(head))]
    StaleBase {
        /// Which record.
        record: RecordKey,
        /// The version that was read.
        base: Option<Seq>,
        /// HEAD now.
        head: Option<Seq>,
    },
    /// Live differs from HEAD.
    #[error("{record} was changed outside cfg")]
    Dirty {
        /// Which record.
        record: RecordKey,
    },
    /// HEAD is a document and live is gone.
    #[error("{record} was deleted outside cfg")]
    Missing {
        /// Which record.
        record: RecordKey,
    },
    /// Live changed while the change was being written.
    #[error("{record} was changed outside cfg while this change was being written")]
    StaleLive {
        /// Which record.
        record: RecordKey,
    },
    /// More than one row satisfies the live rule.
    #[error("{record} has {rows} live rows; exactly one may match the live rule")]
    Ambiguous {
        /// Which record.
        record: RecordKey,
        /// How many.
        rows: u64,
    },
    /// The document has no canonical form.
    #[error("{record} cannot be versioned: {source}")]
    Unhashable {
        /// Which record.
        record: RecordKey,
        /// Why.
        source: CanonicalError,
    },
    /// The live row cannot be read as a document.
    #[error("{record} cannot be read: {reason}")]
    Unreadable {
        /// Which record.
        record: RecordKey,
        /// Why, without values.
        reason: String,
    },
    /// Live rows that belong to no record, because of their ids.
    #[error(
        "{} live {} of {} {} not versioned: the id is {}",
        strays.rows,
        if strays.rows == 1 { "row" } else { "rows" },
        strays.collection,
        if strays.rows == 1 { "is" } else { "are" },
        strays.reason
    )]
    UnusableIds {
        /// Which.
        strays: Strays,
    },
    /// Several records of one change are refused, each for its own reason; the change is all or nothing.
    #[error("{} of {of} records are refused, and nothing was written: {}", errors.len(), names(errors))]
    Several {
        /// The records, each with why; two at least.
        errors: Vec<(RecordKey, Error)>,
        /// Of how many.
        of: usize,
    },
    /// A row with that id exists outside the live rule.
    #[error("{record} has a row that is not live; a commit would make a second one")]
    OutsideLiveRule {
        /// Which record.
        record: RecordKey,
    },
    /// The written row would not be the one live row.
    #[error("{record} as written would not satisfy the live rule")]
    LiveRule {
        /// Which record.
        record: RecordKey,
    },
    /// No such record.
    #[error("no record {address}")]
    NoRecord {
        /// As it was asked for.
        address: String,
    },
    /// The record has no history.
    #[error("{record} has no history")]
    Untracked {
        /// Which record.
        record: RecordKey,
    },
    /// No such version.
    #[error("{record} has no version {reference}")]
    NoVersion {
        /// Which record.
        record: RecordKey,
        /// As it was asked for.
        reference: String,
    },
    /// The version is a deletion, or its document is gone.
    #[error("version {reference} of {record} has no document: {reason}")]
    NoDocument {
        /// Which record.
        record: RecordKey,
        /// As it was asked for.
        reference: String,
        /// Why.
        reason: &'static str,
    },
    /// No such collection, tag, object.
    #[error("no {what} named {name:?}")]
    NoSuch {
        /// What kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// A short content address fits several contents.
    #[error("{reference} fits {} versions of {record} with different content", candidates.len())]
    AmbiguousReference {
        /// Which record.
        record: RecordKey,
        /// As it was asked for.
        reference: String,
        /// The versions.
        candidates: Vec<Seq>,
    },
    /// An address fits two records.
    #[error("{address:?} fits more than one record")]
    AmbiguousAddress {
        /// As it was asked for.
        address: String,
        /// The full forms.
        candidates: Vec<String>,
    },
    /// Input that is refused, with what to do.
    #[error("{problem}")]
    Refused {
        /// What is wrong, without values.
        problem: String,
        /// What to do.
        hint: String,
        /// Which record, if one.
        record: Option<RecordKey>,
        /// A stable word for programs.
        code: &'static str,
    },
    /// Something else is there already, or it is no longer as it was when it was looked at.
    #[error("{problem}")]
    Conflicting {
        /// What is in the way, without values.
        problem: String,
        /// What to do.
        hint: String,
        /// Which record, if one.
        record: Option<RecordKey>,
        /// A stable word for programs.
        code: &'static str,
    },
    /// A document that lacks versioned fields which the record has.
    #[error("the document for {record} lacks {} that the record has: {}", count(fields), list(fields))]
    MissingFields {
        /// Which record.
        record: RecordKey,
        /// The fields.
        fields: Vec<FieldPath>,
    },
    /// The change lies in ignored fields only.
    #[error("the change to {record} is confined to ignored fields; nothing versioned")]
    OnlyIgnored {
        /// Which record.
        record: RecordKey,
    },
    /// Something looks like a secret.
    #[error("{} of {record} looks like a secret ({rule})", place(path))]
    Secret {
        /// Which record.
        record: RecordKey,
        /// Where; `None` for the message.
        path: Option<FieldPath>,
        /// The rule that matched.
        rule: String,
    },
    /// A change that would drop a secret with the member or array element that holds it.
    #[error("the change to {record} would drop the secret at {path}")]
    SecretMoved {
        /// Which record.
        record: RecordKey,
        /// Where.
        path: FieldPath,
    },
    /// A deleted record's secrets are not in history.
    #[error("{record} had secrets that history does not hold: {}", list(fields))]
    SecretsNeeded {
        /// Which record.
        record: RecordKey,
        /// The fields.
        fields: Vec<FieldPath>,
    },
    /// More records than one atomic batch takes.
    #[error("{records} records in one atomic change, more than the {limit} that {store} takes")]
    TooMany {
        /// How many.
        records: usize,
        /// The limit.
        limit: usize,
        /// The store.
        store: &'static str,
    },
    /// The env is gated.
    #[error("env {env} is gated; a change needs an approval")]
    Gated {
        /// The env.
        env: String,
    },
    /// A human has to approve: the plan is stored, and nothing of it was applied.
    #[error("env {env} needs an approval: {}", waiting(state, id))]
    ApprovalRequired {
        /// The env.
        env: String,
        /// The request.
        id: String,
        /// Pending, approved, expired.
        state: ApprovalState,
        /// What is shown of the request, with its plan.
        request: Box<Object>,
    },
    /// A human said no.
    #[error("approval {id} was denied by {by}{}", because(reason))]
    ApprovalDenied {
        /// The env.
        env: String,
        /// The request.
        id: String,
        /// Who said no.
        by: String,
        /// Why.
        reason: String,
    },
    /// The configuration or the store's tables are not as needed.
    #[error("{problem}")]
    Setup {
        /// What, without values.
        problem: String,
        /// What to do.
        hint: String,
    },
    /// Contended for too long.
    #[error("{record} is being changed by others all the time; gave up after {attempts} attempts")]
    Contended {
        /// Which record.
        record: RecordKey,
        /// How many attempts.
        attempts: u32,
    },
    /// The store failed.
    #[error("{0}")]
    Storage(AdapterError),
}

fn waiting(state: &ApprovalState, id: &str) -> String {
    match state {
        ApprovalState::Approved => format!("{id} is approved and was not given"),
        ApprovalState::Expired => format!("{id} has expired"),
        state => format!("{id} is {state}"),
    }
}

fn because(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(": {reason}") }
}

fn at(seq: &Option<Seq>) -> String {
    seq.map_or_else(|| "nothing".to_owned(), |seq| format!("@{seq}"))
}

fn count(fields: &[FieldPath]) -> String {
    match fields.len() {
        1 => "a field".to_owned(),
        n => format!("{n} fields"),
    }
}

fn list(fields: &[FieldPath]) -> String {
    fields.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Names the records of several refusals: the first few.
fn names(errors: &[(RecordKey, Error)]) -> String {
    const NAMED: usize = 5;
    let names: Vec<String> = errors.iter().take(NAMED).map(|(record, _)| record.to_string()).collect();
    let more = errors.len().saturating_sub(NAMED);
    if more == 0 { names.join(", ") } else { format!("{}, and {more} more", names.join(", ")) }
}

/// Returns the error that decides what a caller can do about several.
fn gravest(errors: &[(RecordKey, Error)]) -> Option<&Error> {
    let rank = |error: &Error| EXIT_PRECEDENCE.iter().position(|code| *code == error.kind().exit_code());
    errors.iter().map(|(_, error)| error).min_by_key(|error| rank(error).unwrap_or(usize::MAX))
}

/// Writes a record's id as a shell takes it.
pub(crate) fn arg(record: &RecordKey) -> String {
    let id = record.id.to_string();
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ':' | '/' | '+' | ',' | '%');
    if id.chars().all(plain) && !id.starts_with('-') { id } else { format!("'{}'", id.replace('\'', r"'\''")) }
}

/// Writes a place as `secret_fields` names it: an element's field is every element's.
fn pattern(path: &FieldPath) -> String {
    let indexes = path.steps().iter().filter_map(|step| match step {
        Step::Index(n) => Some(format!("[{n}]")),
        Step::Key(_) => None,
    });
    indexes.fold(path.to_string(), |text, index| text.replacen(&index, "[]", 1))
}

fn place(path: &Option<FieldPath>) -> String {
    path.as_ref().map_or_else(|| "the message or the author".to_owned(), ToString::to_string)
}

impl Error {
    /// Makes a refusal.
    pub fn refused(code: &'static str, problem: impl Into<String>, hint: impl Into<String>) -> Self {
        Error::Refused { problem: problem.into(), hint: hint.into(), record: None, code }
    }

    /// Makes a conflict.
    pub fn conflict(code: &'static str, problem: impl Into<String>, hint: impl Into<String>) -> Self {
        Error::Conflicting { problem: problem.into(), hint: hint.into(), record: None, code }
    }

    /// Makes a conflict that concerns a record.
    pub fn conflict_for(
        record: &RecordKey,
        code: &'static str,
        problem: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Error::Conflicting { problem: problem.into(), hint: hint.into(), record: Some(record.clone()), code }
    }

    /// Makes the refusal of a change of `of` records for what is wrong with some of them, at least one.
    pub(crate) fn several(mut errors: Vec<(RecordKey, Error)>, of: usize) -> Self {
        errors.sort_by(|a, b| a.0.cmp(&b.0));
        match errors.pop() {
            Some((_, only)) if errors.is_empty() => only,
            last => {
                errors.extend(last);
                Error::Several { errors, of }
            }
        }
    }

    /// Makes a refusal that concerns a record.
    pub fn refused_for(
        record: &RecordKey,
        code: &'static str,
        problem: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Error::Refused { problem: problem.into(), hint: hint.into(), record: Some(record.clone()), code }
    }

    pub(crate) fn expired(env: &str, id: &str, expires_at: crate::history::Timestamp) -> Self {
        let request = Object::new().with("approval_id", id).with("expires_at", expires_at.to_string());
        Error::ApprovalRequired {
            env: env.to_owned(),
            id: id.to_owned(),
            state: ApprovalState::Expired,
            request: Box::new(request),
        }
    }

    pub(crate) fn other_env(record: &RecordKey, env: &crate::history::EnvName) -> Self {
        Error::refused_for(
            record,
            "other_env",
            format!("{record} of env {} cannot be reached through env {env}", record.env),
            format!("use --env {}", record.env),
        )
    }

    /// Returns what a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::StaleHead { .. } | Error::StaleBase { .. } | Error::Contended { .. } | Error::Conflicting { .. } => {
                ErrorKind::Conflict
            }
            Error::Dirty { .. } | Error::Missing { .. } | Error::StaleLive { .. } => ErrorKind::ChangedOutside,
            Error::Ambiguous { .. }
            | Error::Unhashable { .. }
            | Error::Unreadable { .. }
            | Error::UnusableIds { .. } => ErrorKind::BadConfig,
            Error::Several { errors, .. } => gravest(errors).map_or(ErrorKind::Refused, Error::kind),
            Error::NoRecord { .. }
            | Error::Untracked { .. }
            | Error::NoVersion { .. }
            | Error::NoDocument { .. }
            | Error::NoSuch { .. } => ErrorKind::NotFound,
            Error::OutsideLiveRule { .. }
            | Error::LiveRule { .. }
            | Error::AmbiguousReference { .. }
            | Error::AmbiguousAddress { .. }
            | Error::Refused { .. }
            | Error::MissingFields { .. }
            | Error::OnlyIgnored { .. }
            | Error::Secret { .. }
            | Error::SecretMoved { .. }
            | Error::SecretsNeeded { .. }
            | Error::TooMany { .. } => ErrorKind::Refused,
            Error::Gated { .. } | Error::ApprovalRequired { .. } => ErrorKind::NeedsApproval,
            Error::ApprovalDenied { .. } => ErrorKind::Declined,
            Error::Setup { .. } => ErrorKind::BadConfig,
            Error::Storage(error) => match error {
                AdapterError::Busy | AdapterError::StaleObject { .. } => ErrorKind::Conflict,
                AdapterError::Refused { .. }
                | AdapterError::Unstorable { .. }
                | AdapterError::TooLarge { .. }
                | AdapterError::BatchTooLarge { .. } => ErrorKind::Refused,
                AdapterError::Setup { .. } | AdapterError::Damaged { .. } => ErrorKind::BadConfig,
                _ => ErrorKind::Storage,
            },
        }
    }

    /// Returns a stable word for programs, finer than the kind.
    pub fn code(&self) -> &'static str {
        match self {
            Error::StaleHead { .. } => "stale_head",
            Error::StaleBase { .. } => "stale_base",
            Error::Dirty { .. } => "dirty",
            Error::Missing { .. } => "missing",
            Error::StaleLive { .. } => "stale_live",
            Error::Ambiguous { .. } => "ambiguous",
            Error::Unhashable { .. } => "unhashable",
            Error::Unreadable { .. } => "unreadable",
            Error::UnusableIds { .. } => "unusable_ids",
            Error::Several { errors, .. } => gravest(errors).map_or("refused", Error::code),
            Error::OutsideLiveRule { .. } => "outside_live_rule",
            Error::LiveRule { .. } => "live_rule",
            Error::NoRecord { .. } => "no_record",
            Error::Untracked { .. } => "untracked",
            Error::NoVersion { .. } => "no_version",
            Error::NoDocument { .. } => "no_document",
            Error::NoSuch { .. } => "no_such",
            Error::AmbiguousReference { .. } => "ambiguous_reference",
            Error::AmbiguousAddress { .. } => "ambiguous_address",
            Error::Refused { code, .. } | Error::Conflicting { code, .. } => code,
            Error::MissingFields { .. } => "missing_fields",
            Error::OnlyIgnored { .. } => "only_ignored_fields",
            Error::Secret { .. } => "secret_found",
            Error::SecretMoved { .. } => "secret_moved",
            Error::SecretsNeeded { .. } => "secrets_needed",
            Error::TooMany { .. } => "batch_too_large",
            Error::Gated { .. } => "gated",
            Error::ApprovalRequired { state: ApprovalState::Expired, .. } => "approval_expired",
            Error::ApprovalRequired { .. } => "approval_required",
            Error::ApprovalDenied { .. } => "approval_denied",
            Error::Setup { .. } => "setup",
            Error::Contended { .. } => "contended",
            Error::Storage(error) => match error {
                AdapterError::Busy => "busy",
                AdapterError::StaleObject { .. } => "stale_object",
                AdapterError::Refused { .. } => "constraint",
                AdapterError::Unstorable { .. } => "unstorable",
                AdapterError::TooLarge { .. } => "too_large",
                AdapterError::BatchTooLarge { .. } => "batch_too_large",
                AdapterError::Setup { .. } => "setup",
                AdapterError::Damaged { .. } => "damaged",
                AdapterError::UnknownOutcome => "unknown_outcome",
                AdapterError::Unreachable { .. } => "unreachable",
                AdapterError::Clock { .. } => "clock",
                _ => "storage",
            },
        }
    }

    /// Returns what to type or do next.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Error::StaleHead { record, .. } | Error::StaleBase { record, .. } => {
                format!("read it again (cfg get {}), redo the change and commit", arg(record))
            }
            Error::Dirty { record } => format!(
                "see it with: cfg diff {id}   then: cfg adopt {id} -m \"why\"   or discard it with: cfg restore {id} =HEAD",
                id = arg(record)
            ),
            Error::Missing { record } => format!(
                "record the deletion with: cfg adopt {id} -m \"why\"   or bring it back with: cfg restore {id} =HEAD",
                id = arg(record)
            ),
            Error::StaleLive { record } => format!("look with: cfg status {}   and try again", arg(record)),
            Error::Ambiguous { record, .. } => {
                format!("leave one row of {} that matches live_when, then run: cfg status", arg(record))
            }
            Error::Unhashable { .. } | Error::Unreadable { .. } => {
                "mend the value in the database, or add its field to ignore_fields".to_owned()
            }
            Error::UnusableIds { strays } => strays.hint.clone(),
            Error::Several { .. } => "mend each of them, or leave it out: the others can be committed without it".to_owned(),
            Error::OutsideLiveRule { record } => format!("make that row live with: cfg activate {} <version>", arg(record)),
            Error::LiveRule { .. } => "give the fields that live_when asks for the values it asks for".to_owned(),
            Error::NoRecord { .. } => "list the records with: cfg status --all".to_owned(),
            Error::Untracked { record } => format!("record its first version with: cfg import {}", arg(record)),
            Error::NoVersion { record, .. } | Error::NoDocument { record, .. } => {
                format!("list its versions with: cfg log {}", arg(record))
            }
            Error::NoSuch { what: "tag", known, .. } if known.is_empty() => {
                "there are no tags; name a version as @7 or @{2023-06-07}".to_owned()
            }
            Error::NoSuch { what, known, .. } if known.is_empty() => format!("there is no {what} at all"),
            Error::NoSuch { known, .. } => format!("there is: {}", known.join(", ")),
            Error::AmbiguousReference { candidates, .. } => {
                let seqs: Vec<String> = candidates.iter().map(|seq| format!("@{seq}")).collect();
                format!("write more digits, or one of {}", seqs.join(", "))
            }
            Error::AmbiguousAddress { candidates, .. } => format!("write one of: {}", candidates.join("   ")),
            Error::Refused { hint, .. } | Error::Conflicting { hint, .. } | Error::Setup { hint, .. } => hint.clone(),
            Error::MissingFields { .. } => {
                "add them, or remove them on purpose with --allow-removal; a document from cfg get carries its base and may drop fields".to_owned()
            }
            Error::OnlyIgnored { .. } => "write ignored fields with your own tools, or pass --allow-noop".to_owned(),
            Error::Secret { path: Some(path), .. } => format!(
                "add {} to secret_fields so that history never stores it, or pass --allow-secret, which is recorded",
                pattern(path)
            ),
            Error::Secret { .. } => "write the message and the author without it, or pass --allow-secret, which is recorded".to_owned(),
            Error::SecretMoved { .. } => "keep what holds it, or let the secret go with it: --without-secrets, which is recorded".to_owned(),
            Error::SecretsNeeded { fields, .. } => format!(
                "give them in the document or with --secret {}=env:VARIABLE, or go on without them: --without-secrets",
                fields.first().map(ToString::to_string).unwrap_or_default()
            ),
            Error::TooMany { .. } => "split the change; each part is atomic by itself".to_owned(),
            Error::Gated { .. } => "nothing was written; ask for an approval with the verb itself".to_owned(),
            Error::ApprovalRequired { id, env, state: ApprovalState::Approved, .. } => {
                format!("apply it: the same call with --approval {id} --env {env}")
            }
            Error::ApprovalRequired { state: ApprovalState::Expired, .. } => {
                "ask anew: the same call without --approval".to_owned()
            }
            Error::ApprovalRequired { id, env, .. } => format!(
                "look: cfg approval show {id} --env {env}   a human approves: cfg approve {id} --env {env}   then the same call with --approval {id}"
            ),
            Error::ApprovalDenied { .. } => "talk to who denied it; trying again asks for the same".to_owned(),
            Error::Contended { .. } => "try again".to_owned(),
            Error::Storage(error) => match error {
                AdapterError::Setup { hint, .. } => hint.clone(),
                AdapterError::Busy => "another program holds the database's write lock; try again".to_owned(),
                AdapterError::Unreachable { .. } => "check that the database runs, or that its file is there and may be used, and that the env's uri is right".to_owned(),
                AdapterError::UnknownOutcome => "look with: cfg log   before trying again".to_owned(),
                AdapterError::Damaged { .. } => "look with: cfg fsck".to_owned(),
                AdapterError::Refused { .. } => "give the row what the table requires, or write it with your own tools and then run: cfg adopt".to_owned(),
                AdapterError::Unstorable { .. } => "change the value to something the column can hold".to_owned(),
                AdapterError::TooLarge { .. } => "make the document smaller".to_owned(),
                AdapterError::BatchTooLarge { .. } => "split the change; each part is atomic by itself".to_owned(),
                AdapterError::StaleObject { .. } | AdapterError::Clock { .. } => "try again".to_owned(),
                _ => "see what the database says about it, then try again".to_owned(),
            },
        };
        Some(hint)
    }

    /// Returns the record that the error concerns.
    pub fn record(&self) -> Option<&RecordKey> {
        match self {
            Error::StaleHead { record, .. }
            | Error::StaleBase { record, .. }
            | Error::Dirty { record }
            | Error::Missing { record }
            | Error::StaleLive { record }
            | Error::Ambiguous { record, .. }
            | Error::Unhashable { record, .. }
            | Error::Unreadable { record, .. }
            | Error::OutsideLiveRule { record }
            | Error::LiveRule { record }
            | Error::Untracked { record }
            | Error::NoVersion { record, .. }
            | Error::NoDocument { record, .. }
            | Error::AmbiguousReference { record, .. }
            | Error::MissingFields { record, .. }
            | Error::OnlyIgnored { record }
            | Error::Secret { record, .. }
            | Error::SecretMoved { record, .. }
            | Error::SecretsNeeded { record, .. }
            | Error::Contended { record, .. } => Some(record),
            Error::Refused { record, .. } | Error::Conflicting { record, .. } => record.as_ref(),
            Error::Storage(
                AdapterError::Refused { record, .. }
                | AdapterError::Unstorable { record, .. }
                | AdapterError::TooLarge { record, .. },
            ) => Some(record),
            _ => None,
        }
    }
}

impl From<AdapterError> for Error {
    fn from(error: AdapterError) -> Self {
        match error {
            AdapterError::StaleHead { record, current } => Error::StaleHead { record, current },
            AdapterError::StaleLive { record } => Error::StaleLive { record },
            AdapterError::Ambiguous { record, rows } => Error::Ambiguous { record, rows },
            AdapterError::LiveRule { record } => Error::LiveRule { record },
            other => Error::Storage(other),
        }
    }
}

impl From<ParseError> for Error {
    fn from(error: ParseError) -> Self {
        Error::refused("not_json", error.to_string(), "mend the JSON text at that place")
    }
}

impl From<NameError> for Error {
    fn from(error: NameError) -> Self {
        Error::refused("bad_name", error.to_string(), "use another name or id")
    }
}

impl From<ReferenceError> for Error {
    fn from(error: ReferenceError) -> Self {
        Error::refused("bad_reference", error.to_string(), "list versions with: cfg log <id>")
    }
}

impl From<TimeError> for Error {
    fn from(error: TimeError) -> Self {
        Error::refused("bad_time", error.to_string(), "write a time such as 2023-06-07 or 2023-06-07T12:00:00Z")
    }
}

impl From<LiveRuleError> for Error {
    fn from(error: LiveRuleError) -> Self {
        Error::Setup { problem: error.to_string(), hint: "mend live_when in .cfg.toml".to_owned() }
    }
}
