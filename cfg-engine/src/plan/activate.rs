//! `activate`: another row of the same id becomes the live one.

use std::sync::Arc;

use super::live_edit::edit_live;
use super::noted_secrets::{held_secrets, note_secrets};
use super::preimage::{preimages, start};
use super::rules::{Planned, Rules};
use super::seed::seed_document;
use super::{PlannedEntry, Standing};
use crate::adapter::{ExpectedLive, LiveWrite, RecordState, StoredDoc};
use crate::document::{Edit, EntryId, FieldPath, Object, PathChange, Value, apply_changes};
use crate::error::Error;
use crate::history::{Op, RecordKey, Seq};

/// The version that becomes live.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ActivateInput<'a> {
    /// Its stored document, mapped onto what the store can hold now.
    pub(crate) target: &'a Value,
    pub(crate) from_seq: Seq,
    pub(crate) from_entry: EntryId,
    /// Where it had secrets.
    pub(crate) had_secrets: &'a [FieldPath],
    pub(crate) without_secrets: bool,
    /// Records drift and goes on.
    pub(crate) force: bool,
    pub(crate) meta: &'a Object,
}

/// Plans an activation of one record.
pub(crate) fn plan_activate(state: &RecordState, rules: Rules<'_>, input: ActivateInput<'_>) -> Result<Planned, Error> {
    let standing = Standing::of(state)?;
    let record = &state.record;
    let retire = retirement(record, rules)?;
    if standing.head().is_none() {
        return Err(match standing {
            Standing::Unknown { .. } => Error::NoRecord { address: record.to_string() },
            _ => Error::Untracked { record: record.clone() },
        });
    }
    if let Some(drift) = standing.drift(record)
        && !input.force
    {
        return Err(drift);
    }
    let policy = rules.policy();
    let target = policy.without_secrets(input.target);
    let mut change = start(state, &standing);
    let mut entries = preimages(&standing, rules, input.meta);
    let from = Object::new().with("seq", input.from_seq.0).with("entry_id", input.from_entry.to_hex());
    let mut meta = rules.meta(input.meta).with("activated_from", from);
    let (doc, oid) = match standing.live() {
        Some((live, _)) => {
            // Secrets come along from the row that is live now; what is ignored starts anew.
            let edited = edit_live(live, &target, record, rules, policy, input.without_secrets)?;
            if edited.changes.is_empty() && entries.is_empty() {
                return Ok(Planned::Nothing);
            }
            note_secrets(&mut meta, &edited, &live.value, policy);
            change.expected_live = ExpectedLive::At(live.image.clone());
            let mut doc = edited.after.as_ref().clone();
            let unset = |path: FieldPath| PathChange { path, edit: Edit::Unset };
            let ignored: Vec<PathChange> = policy.ignored_paths(&doc).into_iter().rev().map(unset).collect();
            apply_changes(&mut doc, &ignored)
                .map_err(|e| Error::refused_for(record, "bad_edit", e.to_string(), "commit the document whole"))?;
            (doc, edited.oid)
        }
        None => {
            if !input.had_secrets.is_empty() && !input.without_secrets {
                return Err(Error::SecretsNeeded { record: record.clone(), fields: input.had_secrets.to_vec() });
            }
            change.expected_live = ExpectedLive::Absent;
            let seed = seed_document(target, record, rules)?;
            (seed.value.as_ref().clone(), seed.oid)
        }
    };
    let held: Vec<String> = held_secrets(&doc, policy).iter().map(ToString::to_string).collect();
    if !held.is_empty() {
        meta.insert("secrets", held);
    }
    let content = Arc::new(doc.clone());
    entries.push(PlannedEntry {
        op: Op::Commit,
        oid: Some(oid),
        base: None,
        author: None,
        message: None,
        valid_from: None,
        estimated: false,
        meta,
        doc: StoredDoc::Given(policy.without_secrets(&doc)),
        content: Some(Arc::clone(&content)),
        git_shas: Vec::new(),
    });
    change.entries = entries;
    change.after = Some(content);
    change.live = LiveWrite::Activate { retire, doc };
    Ok(Planned::Change(Box::new(change)))
}

/// Returns what makes the live row no longer live: `retire_with`, or the opposite of a rule that asks for
/// true or false.
fn retirement(record: &RecordKey, rules: Rules<'_>) -> Result<Object, Error> {
    let collection = rules.collection;
    let mut pairs = collection.live_when.equality_pairs().peekable();
    if pairs.peek().is_none() {
        return Err(Error::refused_for(
            record,
            "no_equality_rule",
            format!("the rows of {record} do not take turns: live_when asks for no field to have a value"),
            "commit or restore the version instead",
        ));
    }
    if !collection.retire_with.is_empty() {
        return Ok(collection.retire_with.clone());
    }
    match pairs.find_map(|(field, wanted)| Some((field, wanted.as_bool()?))) {
        Some((field, wanted)) => Ok(Object::new().with(field, !wanted)),
        None => Err(Error::Setup {
            problem: format!("nothing says what makes a row of {} no longer live", collection.name),
            hint: "say it in .cfg.toml: retire_with = { status = \"retired\" }".to_owned(),
        }),
    }
}
