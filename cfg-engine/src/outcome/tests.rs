//! The outcome table and every error there is: a match that must stay exhaustive makes sure that a new
//! variant comes with a kind, a code, a remedy and a line in `docs/errors.md`.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::adapter::{AdapterError, Strays};
use crate::document::{CanonicalError, CanonicalProblem, FieldPath};
use crate::history::{CollectionName, EnvName, IdKey, RecordKey, Seq, Timestamp};
use crate::plan::ApprovalState;

fn record() -> RecordKey {
    RecordKey {
        env: EnvName::new("dev").expect("a name"),
        collection: CollectionName::new("agents").expect("a name"),
        id: IdKey::from_value(&Value::from("planner")).expect("an id"),
    }
}

fn path() -> FieldPath {
    "body.key".parse().expect("a path")
}

fn adapter_errors() -> Vec<AdapterError> {
    let record = record();
    vec![
        AdapterError::StaleHead { record: record.clone(), current: None },
        AdapterError::StaleLive { record: record.clone() },
        AdapterError::StaleObject { kind: "env".into(), name: "dev".into() },
        AdapterError::Clock { now: Timestamp::from_millis(0) },
        AdapterError::Ambiguous { record: record.clone(), rows: 2 },
        AdapterError::LiveRule { record: record.clone() },
        AdapterError::Unstorable { record: record.clone(), path: "n".into(), what: "a number".into() },
        AdapterError::TooLarge { record: record.clone(), bytes: 2, limit: 1 },
        AdapterError::BatchTooLarge { records: 2, limit: 1 },
        AdapterError::Setup { problem: "no table agents".into(), hint: "create it".into() },
        AdapterError::Refused { record, reason: "NOT NULL constraint".into() },
        AdapterError::Busy,
        AdapterError::UnknownOutcome,
        AdapterError::Unreachable { store: "postgres at db".into(), reason: "refused".into() },
        AdapterError::Damaged { problem: "an entry without a record".into() },
        AdapterError::Storage { store: "sqlite", reason: "disk I/O error".into() },
    ]
}

fn engine_errors() -> Vec<Error> {
    let record = record();
    let r = || record.clone();
    let canonical = CanonicalError { problem: CanonicalProblem::NotFinite, path: path() };
    let mut errors = vec![
        Error::StaleHead { record: r(), current: None },
        Error::StaleBase { record: r(), base: Some(Seq(1)), head: Some(Seq(2)) },
        Error::Dirty { record: r() },
        Error::Missing { record: r() },
        Error::StaleLive { record: r() },
        Error::Ambiguous { record: r(), rows: 2 },
        Error::Unhashable { record: r(), source: canonical },
        Error::Unreadable { record: r(), reason: "the column is empty".into() },
        Error::UnusableIds {
            strays: Strays {
                collection: r().collection,
                rows: 3,
                reason: "3 NULL".into(),
                hint: "give them ids".into(),
            },
        },
        Error::Several {
            errors: vec![
                (r(), Error::OnlyIgnored { record: r() }),
                (r(), Error::Missing { record: r() }),
                (r(), Error::OnlyIgnored { record: r() }),
            ],
            of: 4,
        },
        Error::OutsideLiveRule { record: r() },
        Error::LiveRule { record: r() },
        Error::NoRecord { address: "planner".into() },
        Error::Untracked { record: r() },
        Error::NoVersion { record: r(), reference: "@9".into() },
        Error::NoDocument { record: r(), reference: "@9".into(), reason: "it is a deletion" },
        Error::NoSuch { what: "tag", name: "june".into(), known: Vec::new() },
        Error::NoSuch { what: "field", name: "x".into(), known: Vec::new() },
        Error::NoSuch { what: "collection", name: "x".into(), known: vec!["agents".into()] },
        Error::AmbiguousReference { record: r(), reference: "#a1b2c3".into(), candidates: vec![Seq(1), Seq(2)] },
        Error::AmbiguousAddress { address: "x".into(), candidates: vec!["a:x".into(), "b:x".into()] },
        Error::refused("bad_name", "a problem", "a remedy"),
        Error::conflict("tag_exists", "a problem", "a remedy"),
        Error::MissingFields { record: r(), fields: vec![path()] },
        Error::OnlyIgnored { record: r() },
        Error::Secret { record: r(), path: Some(path()), rule: "*_key".into() },
        Error::Secret { record: r(), path: None, rule: "AKIA".into() },
        Error::SecretMoved { record: r(), path: path() },
        Error::SecretsNeeded { record: r(), fields: vec![path()] },
        Error::TooMany { records: 2, limit: 1, store: "sqlite" },
        Error::Gated { env: "prod".into() },
        waiting(ApprovalState::Pending),
        waiting(ApprovalState::Approved),
        waiting(ApprovalState::Expired),
        Error::ApprovalDenied { env: "prod".into(), id: "a1b2".into(), by: "ana".into(), reason: "no".into() },
        Error::Setup { problem: "a problem".into(), hint: "a remedy".into() },
        Error::Contended { record: r(), attempts: 12 },
    ];
    errors.extend(adapter_errors().into_iter().map(Error::from));
    errors
}

fn waiting(state: ApprovalState) -> Error {
    let request = Object::new().with("approval_id", "a1b2");
    Error::ApprovalRequired { env: "prod".into(), id: "a1b2".into(), state, request: Box::new(request) }
}

/// Names a variant. It has no wildcard: a new variant does not compile until it is in the lists above.
fn variant(error: &Error) -> &'static str {
    match error {
        Error::StaleHead { .. } => "StaleHead",
        Error::StaleBase { .. } => "StaleBase",
        Error::Dirty { .. } => "Dirty",
        Error::Missing { .. } => "Missing",
        Error::StaleLive { .. } => "StaleLive",
        Error::Ambiguous { .. } => "Ambiguous",
        Error::Unhashable { .. } => "Unhashable",
        Error::Unreadable { .. } => "Unreadable",
        Error::UnusableIds { .. } => "UnusableIds",
        Error::Several { .. } => "Several",
        Error::OutsideLiveRule { .. } => "OutsideLiveRule",
        Error::LiveRule { .. } => "LiveRule",
        Error::NoRecord { .. } => "NoRecord",
        Error::Untracked { .. } => "Untracked",
        Error::NoVersion { .. } => "NoVersion",
        Error::NoDocument { .. } => "NoDocument",
        Error::NoSuch { .. } => "NoSuch",
        Error::AmbiguousReference { .. } => "AmbiguousReference",
        Error::AmbiguousAddress { .. } => "AmbiguousAddress",
        Error::Refused { .. } => "Refused",
        Error::Conflicting { .. } => "Conflicting",
        Error::MissingFields { .. } => "MissingFields",
        Error::OnlyIgnored { .. } => "OnlyIgnored",
        Error::Secret { .. } => "Secret",
        Error::SecretMoved { .. } => "SecretMoved",
        Error::SecretsNeeded { .. } => "SecretsNeeded",
        Error::TooMany { .. } => "TooMany",
        Error::Gated { .. } => "Gated",
        Error::ApprovalRequired { .. } => "ApprovalRequired",
        Error::ApprovalDenied { .. } => "ApprovalDenied",
        Error::Setup { .. } => "Setup",
        Error::Contended { .. } => "Contended",
        Error::Storage(error) => match error {
            AdapterError::StaleObject { .. } => "StaleObject",
            AdapterError::Clock { .. } => "Clock",
            AdapterError::Unstorable { .. } => "Unstorable",
            AdapterError::TooLarge { .. } => "TooLarge",
            AdapterError::BatchTooLarge { .. } => "BatchTooLarge",
            AdapterError::Setup { .. } => "AdapterSetup",
            AdapterError::Refused { .. } => "Constraint",
            AdapterError::Busy => "Busy",
            AdapterError::UnknownOutcome => "UnknownOutcome",
            AdapterError::Unreachable { .. } => "Unreachable",
            AdapterError::Damaged { .. } => "Damaged",
            AdapterError::Storage { .. } => "Storage",
            AdapterError::StaleHead { .. }
            | AdapterError::StaleLive { .. }
            | AdapterError::Ambiguous { .. }
            | AdapterError::LiveRule { .. } => "translated by From<AdapterError>",
        },
    }
}

/// How many names [`variant`] gives.
const VARIANTS: usize = 32 + 12;

#[test]
fn the_table_has_one_row_for_each_kind() {
    let kinds: BTreeSet<String> = TABLE.iter().map(|(kind, _, _)| format!("{kind:?}")).collect();
    assert_eq!(kinds.len(), TABLE.len());
    for (kind, status, exit) in TABLE {
        assert_eq!((kind.status(), kind.exit_code()), (status, exit));
        assert!(EXIT_PRECEDENCE.contains(&exit), "{kind:?}");
        assert_ne!(status, Status::Ok);
    }
}

#[test]
fn every_error_has_a_kind_a_code_a_message_and_a_remedy() {
    let errors = engine_errors();
    let variants: BTreeSet<&str> = errors.iter().map(variant).collect();
    assert_eq!(variants.len(), VARIANTS, "a variant has no example: {variants:?}");
    let mut codes: BTreeMap<&str, ErrorKind> = BTreeMap::new();
    for error in &errors {
        let (message, hint) = (error.to_string(), error.hint().unwrap_or_default());
        assert!(TABLE.iter().any(|(kind, _, _)| *kind == error.kind()), "{error:?}");
        assert!(!error.code().is_empty() && error.code().bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
        assert!(!hint.is_empty(), "{error:?} says what is wrong and not what to do");
        assert!(
            !message.is_empty() && !message.ends_with('.') && !message.starts_with(char::is_uppercase),
            "{message}"
        );
        assert!(!message.contains(&hint), "{message}");
        // One code never means two exits.
        assert_eq!(*codes.entry(error.code()).or_insert(error.kind()), error.kind(), "{}", error.code());
        if let Some(record) = error.record() {
            assert!(matches!(error, Error::AmbiguousAddress { .. }) || message.contains("planner"), "{message}");
            assert_eq!(record.id.as_str(), "\"planner\"");
        }
        let envelope = error.to_envelope();
        assert_eq!(envelope.get("status"), Some(&Value::from(error.kind().status().as_str())));
        assert_eq!(envelope.get("message"), Some(&Value::from(message)));
    }
    // Two variants share a code only where a caller would do the same.
    let shared =
        [("batch_too_large", 2), ("missing", 2), ("setup", 2), ("no_such", 3), ("secret_found", 2), ("live_rule", 2)];
    let shared: BTreeMap<&str, usize> = shared
        .into_iter()
        .chain([("stale_head", 2), ("stale_live", 2), ("ambiguous", 2), ("approval_required", 2)])
        .collect();
    for code in codes.keys() {
        let times = errors.iter().filter(|error| error.code() == *code).count();
        assert_eq!(times, shared.get(code).copied().unwrap_or(1), "{code}");
    }
}

#[test]
fn remedies_can_be_typed_whatever_the_id() {
    for (id, shown) in [
        ("planner", "cfg adopt planner -m"),
        ("two words", "cfg adopt 'two words' -m"),
        ("it's", r"cfg adopt 'it'\''s' -m"),
        ("1", "cfg adopt '\"1\"' -m"),
        ("a@7", "cfg adopt '\"a@7\"' -m"),
        ("x:1", "cfg adopt '\"x:1\"' -m"),
        ("$(rm)", "cfg adopt '$(rm)' -m"),
    ] {
        let id = IdKey::from_value(&Value::from(id)).expect("an id");
        let hint = Error::Dirty { record: RecordKey { id, ..record() } }.hint().unwrap_or_default();
        assert!(hint.contains(shown), "{hint}");
    }
}

#[test]
fn of_several_rows_the_gravest_decides() {
    assert_eq!(combined_exit([0, 5, 1, 2]), 2);
    assert_eq!(combined_exit([5, 1]), 1);
    assert_eq!(combined_exit([2, 6, 3]), 3);
    assert_eq!(combined_exit([6, 2]), 6);
    assert_eq!(combined_exit([0, 0]), 0);
}

/// Returns the words that follow the constructors of errors in a source file, and what they mean.
fn literal_codes(source: &str) -> Vec<(String, ErrorKind)> {
    let mut codes = Vec::new();
    let calls = [
        ("Error::refused(", ErrorKind::Refused),
        ("Error::refused_for(", ErrorKind::Refused),
        ("Error::conflict(", ErrorKind::Conflict),
        ("Error::conflict_for(", ErrorKind::Conflict),
    ];
    for (call, kind) in calls {
        for (at, _) in source.match_indices(call) {
            let arguments = source[at + call.len()..].chars().take(160).collect::<String>();
            let word = arguments.split('"').nth(1).unwrap_or_default();
            if !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') {
                codes.push((word.to_owned(), kind));
            }
        }
    }
    codes
}

fn sources(folder: &std::path::Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).expect("a folder of the workspace") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("tests.rs") {
            found.push(std::fs::read_to_string(path).expect("a source file"));
        }
    }
}

#[test]
fn the_documentation_lists_every_code() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("../docs/errors.md")).expect("docs/errors.md");
    let mut rows: BTreeMap<String, (String, u8)> = BTreeMap::new();
    let mut words: BTreeSet<(String, u8)> = BTreeSet::from([(Status::Ok.as_str().to_owned(), 0)]);
    for line in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        if let [status, exit, _] = cells.as_slice() {
            words.insert((status.trim_matches('`').to_owned(), exit.parse::<u8>().expect("an exit code")));
            continue;
        }
        let [code, status, exit, when, what] = cells.as_slice() else { panic!("not five cells: {line}") };
        assert!(!when.is_empty() && !what.is_empty(), "{line}");
        let exit = exit.parse().expect("an exit code");
        let earlier = rows.insert(code.trim_matches('`').to_owned(), (status.trim_matches('`').to_owned(), exit));
        assert!(earlier.is_none(), "twice: {line}");
    }
    let mut expected: BTreeMap<String, ErrorKind> =
        engine_errors().iter().map(|error| (error.code().to_owned(), error.kind())).collect();
    let mut files = Vec::new();
    for folder in ["src", "connect/src", "cli/src"] {
        sources(&root.join(folder), &mut files);
    }
    for (code, kind) in files.iter().flat_map(|source| literal_codes(source)) {
        expected.entry(code).or_insert(kind);
    }
    assert!(expected.len() > 50, "the sources were found");
    let table = TABLE.iter().map(|(_, status, exit)| (status.as_str().to_owned(), *exit));
    assert_eq!(words, table.chain([("ok".to_owned(), 0)]).collect());
    for (code, kind) in &expected {
        let row = rows.get(code).unwrap_or_else(|| panic!("docs/errors.md does not list {code}"));
        assert_eq!(*row, (kind.status().as_str().to_owned(), kind.exit_code()), "{code}");
    }
    let known: Vec<String> = files.concat().split('"').map(str::to_owned).collect();
    for code in rows.keys() {
        assert!(expected.contains_key(code) || known.contains(code), "docs/errors.md lists {code}, which there is not");
    }
}
