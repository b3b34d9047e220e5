//! What the model and a real store are both made to do, generated.

use cfg_engine::Value;
use cfg_engine::document::{Edit, PathChange};
use cfg_engine_conformance::value;
use proptest::prelude::*;

/// How many ids there are: few, so that operations meet.
pub(super) const IDS: u8 = 4;
pub(super) const RULE: &str = r#"{"active": true, "status": {"$ne": "retired"}}"#;

/// One step.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// Writes around the tool.
    Raw(u8, Raw),
    /// Plans a batch now and applies it at once.
    Apply(Plan),
    /// Plans a batch, lets others write to one of its records or commit, and applies it.
    Late(Plan, Between),
    /// Applies the batch before last again.
    Replay,
}

/// What happens between a plan and its application.
#[derive(Debug, Clone)]
pub(super) enum Between {
    /// A write around the tool, to one of the plan's records.
    Raw(u8, Raw),
    /// Another batch.
    Apply(Plan),
}

#[derive(Debug, Clone)]
pub(super) enum Raw {
    Insert { active: bool, n: i64 },
    SetNumber(i64),
    SetBody(u8),
    SetIgnored(u8),
    SetSecret(u8),
    Activate(bool),
    Retire,
    Delete,
}

#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) changes: Vec<(u8, Verb)>,
    pub(super) object: Option<(u8, ObjectVerb)>,
    /// How far from the store's clock the batch says to be.
    pub(super) off_ms: i64,
}

#[derive(Debug, Clone)]
pub(super) enum Verb {
    /// Sets values by path where there is a live row, else creates one.
    Commit {
        edits: Vec<(u8, u8)>,
        checked: bool,
    },
    Adopt,
    Remove {
        checked: bool,
    },
    /// Entries that became live in the past, some of them deletions, the first perhaps a guess.
    Import {
        versions: Vec<(u8, Option<u8>)>,
        estimated: bool,
    },
    Redact,
}

#[derive(Debug, Clone)]
pub(super) enum ObjectVerb {
    Put(u8),
    PutStale(u8),
    Delete,
    DeleteStale,
}

pub(super) fn bodies(n: u8) -> Value {
    let bodies = [
        r#"{"k": 1, "list": [1, 2.0, "x", null], "cache": 1}"#,
        r#"{"list": [1.0, 2, "x", null], "k": 1.0, "cache": {"a": [1]}}"#,
        r#"{"k": null, "a.b": {"$set": 1}, "": 0, "tools": [{"name": "t", "key": "hush"}]}"#,
        r#"{"k": 9007199254740993, "é": "e\u0301\n\"\\", "deep": {"a": {"b": {"c": [[[]]]}}}}"#,
        r#"{}"#,
    ];
    value(bodies[usize::from(n) % bodies.len()])
}

pub(super) fn paths(n: u8, to: u8) -> PathChange {
    let set = |path: &str, to: Value| PathChange { path: path.parse().expect("a path"), edit: Edit::Set(to) };
    match n % 7 {
        0 => set("n", Value::from(u64::from(to))),
        1 => set("name", Value::from(format!("name {to}"))),
        2 => set("body", bodies(to)),
        3 => set("token", Value::from(format!("hush {to}"))),
        4 => set("name", Value::Null),
        5 => set("updated_at", Value::from(format!("at {to}"))),
        _ => set("rank", Value::from(i64::from(to) - 3)),
    }
}

pub(super) fn raw() -> impl Strategy<Value = Raw> {
    prop_oneof![
        3 => (any::<bool>(), 0..5i64).prop_map(|(active, n)| Raw::Insert { active, n }),
        2 => (0..5i64).prop_map(Raw::SetNumber),
        2 => (0..5u8).prop_map(Raw::SetBody),
        2 => (0..3u8).prop_map(Raw::SetIgnored),
        1 => (0..3u8).prop_map(Raw::SetSecret),
        1 => any::<bool>().prop_map(Raw::Activate),
        1 => Just(Raw::Retire),
        1 => Just(Raw::Delete),
    ]
}

pub(super) fn verb() -> impl Strategy<Value = Verb> {
    prop_oneof![
        6 => (prop::collection::vec((0..7u8, 0..5u8), 1..4), prop::bool::weighted(0.9))
            .prop_map(|(edits, checked)| Verb::Commit { edits, checked }),
        2 => Just(Verb::Adopt),
        1 => prop::bool::weighted(0.8).prop_map(|checked| Verb::Remove { checked }),
        2 => (prop::collection::vec((0..6u8, prop::option::weighted(0.8, 0..5u8)), 1..4), any::<bool>())
            .prop_map(|(versions, estimated)| Verb::Import { versions, estimated }),
        1 => Just(Verb::Redact),
    ]
}

pub(super) fn plan() -> impl Strategy<Value = Plan> {
    let object_verb = prop_oneof![
        4 => (0..5u8).prop_map(ObjectVerb::Put),
        1 => (0..5u8).prop_map(ObjectVerb::PutStale),
        1 => Just(ObjectVerb::Delete),
        1 => Just(ObjectVerb::DeleteStale),
    ];
    let off_ms = prop_oneof![20 => Just(0i64), 1 => Just(-60_000), 1 => Just(60_000), 1 => Just(-1000)];
    let changes = prop::collection::btree_map(0..IDS, verb(), 0..4).prop_map(|map| map.into_iter().collect());
    (changes, prop::option::weighted(0.2, (0..2u8, object_verb)), off_ms).prop_map(|(changes, object, off_ms)| Plan {
        changes,
        object,
        off_ms,
    })
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let simple = prop_oneof![
        4 => (0..IDS, raw()).prop_map(|(id, raw)| Step::Raw(id, raw)),
        6 => plan().prop_map(Step::Apply),
        1 => Just(Step::Replay),
    ];
    let meddling = prop_oneof![
        2 => (0..5u8).prop_map(Raw::SetIgnored),
        2 => (0..5u8).prop_map(Raw::SetBody),
        1 => (0..5u8).prop_map(Raw::SetSecret),
        3 => raw(),
    ];
    let between = prop_oneof![
        3 => (any::<u8>(), meddling).prop_map(|(n, raw)| Between::Raw(n, raw)),
        1 => plan().prop_map(Between::Apply),
    ];
    prop_oneof![
        4 => simple,
        4 => (plan(), between).prop_map(|(plan, between)| Step::Late(plan, between)),
    ]
}
