//! A plan as data: what `--dry-run` shows, and what its address is made of.

use std::cell::Cell;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::{Plan, PlannedChange, PlannedEntry};
use crate::adapter::{ExpectedVersion, LiveWrite, Overwrite};
use crate::document::{
    Edit, FieldPath, FieldPolicy, Object, Oid, PathChange, Treatment, Value, apply_changes, diff, to_hex,
};

/// A plan as people and programs see it.
#[derive(Debug, Clone)]
pub struct PlanView {
    /// The address of the whole plan: everything but the store's time, later seqs and the op_id.
    pub plan_oid: Oid,
    /// What is shown: `{plan_oid, env, verb, author, message, changes}`.
    pub shown: Object,
}

/// The random key that secrets are hidden with, and whether one was.
pub(super) struct HidingKey<'k> {
    key: &'k [u8; 32],
    pub(super) used: Cell<bool>,
}

impl<'k> HidingKey<'k> {
    pub(super) fn new(key: &'k [u8; 32]) -> Self {
        HidingKey { key, used: Cell::new(false) }
    }

    /// A secret enters a plan as an HMAC under the plan's own random key: two plans with different
    /// secrets differ, and none tells its secret.
    fn hide(&self, value: &Value) -> String {
        self.used.set(true);
        match Hmac::<Sha256>::new_from_slice(self.key) {
            Ok(mut mac) => {
                mac.update(value.to_interchange().as_bytes());
                to_hex(&mac.finalize().into_bytes())
            }
            // HMAC takes keys of any length.
            Err(_) => String::new(),
        }
    }
}

pub(super) fn author(plan: &Plan) -> Object {
    Object::new().with("id", plan.author.id.as_str()).with("class", plan.author.class.as_str())
}

pub(super) fn header(plan: &Plan) -> Object {
    let header = Object::new()
        .with("env", plan.env.as_str())
        .with("verb", plan.verb.as_str())
        .with("author", author(plan))
        .with("message", plan.message.as_str());
    if plan.forced { header.with("forced", true) } else { header }
}

pub(super) fn record(change: &PlannedChange) -> Object {
    Object::new()
        .with("collection", change.record.collection.as_str())
        .with("config_id", change.record.id.to_value())
        .with("head_seq", change.expected.as_ref().map(|h| h.head.seq.0))
        .with("head_oid", change.expected.as_ref().and_then(|h| h.head.oid).map(|oid| oid.to_hex()))
        .with("live_oid", change.live_oid.map(|oid| oid.to_hex()))
}

pub(super) fn stored_change(change: &PlannedChange, policy: &FieldPolicy, key: &HidingKey<'_>) -> Object {
    let stored = record(change)
        .with("head_entry", change.expected.as_ref().map(|h| h.head.entry_id.to_hex()))
        .with("live", stored_live(&change.live, policy, key))
        .with("entries", change.entries.iter().map(stored_entry).collect::<Vec<_>>());
    match change.overwrites.as_slice() {
        [] => stored,
        overwrites => stored.with("overwrites", overwrites.iter().map(overwrite_value).collect::<Vec<_>>()),
    }
}

/// Which places of which entry are overwritten; what stood there is not said.
fn overwrite_value(overwrite: &Overwrite) -> Object {
    Object::new()
        .with("seq", overwrite.seq.0)
        .with("paths", overwrite.changes.iter().map(|change| change.path.to_string()).collect::<Vec<_>>())
        .with("message", overwrite.message.is_some())
}

pub(super) fn stored_entry(entry: &PlannedEntry) -> Object {
    entry_value(entry)
        .with("author_class", entry.author.as_ref().map(|a| a.class.as_str()))
        .with("estimated", entry.estimated)
        .with("git_shas", entry.git_shas.clone())
        .with("meta", entry.meta.clone())
}

pub(super) fn stored_live(live: &LiveWrite, policy: &FieldPolicy, key: &HidingKey<'_>) -> Object {
    let kind = Object::new().with("kind", live_word(live));
    match live {
        LiveWrite::Update(changes) => {
            let changes = changes.iter().map(|change| {
                let at = Object::new().with("path", change.path.to_string());
                match &change.edit {
                    Edit::Unset => at.with("unset", true),
                    Edit::Set(value) if policy.treatment(&change.path) == Treatment::Secret => {
                        at.with("secret", key.hide(value))
                    }
                    // A whole branch may hold secrets below its path.
                    Edit::Set(value) => at.with("set", hide_below(&change.path, value, policy, key).to_interchange()),
                }
            });
            kind.with("changes", changes.collect::<Vec<_>>())
        }
        LiveWrite::Seed(doc) => {
            let mut doc = doc.clone();
            hide_secrets(&mut doc, policy, key);
            kind.with("doc", doc.to_interchange())
        }
        LiveWrite::Activate { retire, doc } => {
            let mut doc = doc.clone();
            hide_secrets(&mut doc, policy, key);
            kind.with("retire", Value::Object(retire.clone()).to_interchange()).with("doc", doc.to_interchange())
        }
        LiveWrite::Leave | LiveWrite::Delete => kind,
    }
}

fn hide_secrets(doc: &mut Value, policy: &FieldPolicy, key: &HidingKey<'_>) {
    let hide: Vec<PathChange> = policy
        .secret_paths(doc)
        .into_iter()
        .filter_map(|path| {
            let secret = key.hide(path.get(doc)?);
            Some(PathChange { path, edit: Edit::Set(Value::Object(Object::new().with("secret", secret))) })
        })
        .collect();
    // The paths were just read from this document.
    let _ = apply_changes(doc, &hide);
}

fn hide_below(path: &FieldPath, value: &Value, policy: &FieldPolicy, key: &HidingKey<'_>) -> Value {
    fn walk(path: &FieldPath, value: &Value, policy: &FieldPolicy, key: &HidingKey<'_>) -> Value {
        use crate::document::Step;
        if policy.treatment(path) == Treatment::Secret {
            return Value::Object(Object::new().with("secret", key.hide(value)));
        }
        match value {
            Value::Object(object) => Value::Object(
                object
                    .iter()
                    .map(|(k, v)| (k.clone(), walk(&path.join(Step::Key(k.clone())), v, policy, key)))
                    .collect(),
            ),
            Value::Array(items) => Value::Array(
                items.iter().enumerate().map(|(n, v)| walk(&path.join(Step::Index(n)), v, policy, key)).collect(),
            ),
            other => other.clone(),
        }
    }
    if policy.is_empty() { value.clone() } else { walk(path, value, policy, key) }
}

pub(super) fn stored_object(object: &crate::adapter::ObjectWrite) -> Object {
    let expected = match object.expected {
        ExpectedVersion::Absent => Value::Null,
        ExpectedVersion::At(version) => Value::from(version),
    };
    Object::new()
        .with("kind", object.key.kind.as_str())
        .with("name", object.key.name.as_str())
        .with("version", expected)
        .with("body", object.body.as_ref().map(Value::to_interchange))
}

pub(super) fn live_word(live: &LiveWrite) -> &'static str {
    match live {
        LiveWrite::Leave => "leave",
        LiveWrite::Update(_) => "update",
        LiveWrite::Seed(_) => "seed",
        LiveWrite::Delete => "delete",
        LiveWrite::Activate { .. } => "activate",
    }
}

fn entry_value(entry: &PlannedEntry) -> Object {
    Object::new()
        .with("op", entry.op.as_str())
        .with("oid", entry.oid.map(|oid| oid.to_hex()))
        .with("base", entry.base.as_ref().map(|ids| ids.iter().map(|id| id.to_hex()).collect::<Vec<_>>()))
        .with("message", entry.message.clone())
        .with("author", entry.author.as_ref().map(|a| a.id.clone()))
        .with("valid_from", entry.valid_from.map(|t| t.to_string()))
}

pub(super) fn shown_change(change: &PlannedChange, policy: &FieldPolicy) -> Object {
    let empty = Value::Object(Object::new());
    let part = |doc: &Option<std::sync::Arc<Value>>| doc.as_ref().map_or(empty.clone(), |doc| policy.versioned(doc));
    let after = match change.live {
        LiveWrite::Delete => empty.clone(),
        _ => part(&change.after),
    };
    let changes = match change.live {
        LiveWrite::Leave => Vec::new(),
        _ => diff(&part(&change.before), &after),
    };
    let shown = record(change)
        .with("live", live_word(&change.live))
        .with("entries", change.entries.iter().map(entry_value).collect::<Vec<_>>())
        .with("changes", changes.iter().map(|change| change.to_value()).collect::<Vec<_>>());
    match change.overwrites.as_slice() {
        [] => shown,
        overwrites => shown.with("overwrites", overwrites.iter().map(overwrite_value).collect::<Vec<_>>()),
    }
}
