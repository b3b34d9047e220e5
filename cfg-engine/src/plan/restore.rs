//! What a restore does to one record.

use super::live_edit::edit_live;
use super::noted_secrets::{held_secrets, list_secrets, note_secrets};
use super::preimage::{preimages, start, tombstone};
use super::rules::{Planned, Rules};
use super::seed::seed_document;
use super::standing::Standing;
use crate::adapter::{ExpectedLive, LiveWrite, RecordState};
use crate::document::{Edit, EntryId, FieldPath, Object, PathChange, Treatment, Value, apply_changes};
use crate::error::Error;
use crate::history::{Op, Redacted, Seq};
use crate::planted;

/// The version a restore goes back to.
#[derive(Debug, Clone)]
pub(crate) struct RestoreInput<'a> {
    /// Its stored document, mapped onto what the store can hold now; `None` where it is a deletion.
    pub(crate) target: Option<&'a Value>,
    pub(crate) from_seq: Seq,
    pub(crate) from_entry: EntryId,
    /// Where that version had secrets.
    pub(crate) had_secrets: &'a [FieldPath],
    /// What redactions took from that version: these places stay as live has them.
    pub(crate) redacted: &'a Redacted,
    /// Secrets given by the caller.
    pub(crate) secrets: &'a [(FieldPath, Value)],
    pub(crate) without_secrets: bool,
    /// The version is to be HEAD still: nobody may have committed since it was looked up.
    pub(crate) is_head: bool,
    /// Record drift and overwrite it.
    pub(crate) discard_drift: bool,
    /// The version is another env's: a record without history here is made.
    pub(crate) creates: bool,
    pub(crate) meta: &'a Object,
}

/// Plans a restore of one record to an older version.
pub(crate) fn plan_restore(state: &RecordState, rules: Rules<'_>, input: &RestoreInput<'_>) -> Result<Planned, Error> {
    let standing = Standing::of(state)?;
    let record = &state.record;
    if standing.head().is_none() && !input.creates {
        return Err(match standing {
            Standing::Unknown { .. } => Error::NoRecord { address: record.to_string() },
            _ => Error::Untracked { record: record.clone() },
        });
    }
    if input.is_head
        && let Some(head) = standing.head()
        && head.head.entry_id != input.from_entry
    {
        return Err(Error::StaleHead { record: record.clone(), current: Some(Box::new(head.clone())) });
    }
    if let Some(drift) = standing.drift(record)
        && !input.discard_drift
        && !planted!("restore-over-drift")
    {
        return Err(drift);
    }
    let Some(target) = input.target else { return restore_deletion(state, &standing, rules, input) };
    standing.refuse_outside_rule(record)?;
    let policy = rules.policy();
    // A column that is missing in the stored document has its default by now, null for a secret: that is
    // no secret to be restored over the live one.
    let laid = input.redacted.over(policy);
    let mut target = laid.without_secrets(target);
    for (path, value) in input.secrets {
        let set = PathChange { path: path.clone(), edit: Edit::Set(value.clone()) };
        apply_changes(&mut target, &[set]).map_err(|e| {
            Error::refused_for(record, "bad_secret_path", e.to_string(), "give the path of a field in secret_fields")
        })?;
        if laid.treatment(path) != Treatment::Secret {
            return Err(Error::refused_for(
                record,
                "bad_secret_path",
                format!("{path} is not a secret field"),
                "give the path of a field in secret_fields",
            ));
        }
    }
    let mut change = start(state, &standing);
    let mut entries = preimages(&standing, rules, input.meta);
    let mut meta = restored_meta(rules, input);
    match standing.live() {
        Some((live, _)) => {
            let edited = edit_live(live, &target, record, rules, &laid, input.without_secrets)?;
            // Their places came back, the secrets did not: they went with an earlier removal.
            let held = held_secrets(&edited.after, policy);
            let lost: Vec<FieldPath> = input.had_secrets.iter().filter(|path| !held.contains(path)).cloned().collect();
            if !lost.is_empty() && !input.without_secrets {
                return Err(Error::SecretsNeeded { record: record.clone(), fields: lost });
            }
            if edited.changes.is_empty() && entries.is_empty() {
                return Ok(Planned::Nothing);
            }
            note_secrets(&mut meta, &edited, &live.value, policy);
            entries.push(edited.entry(Op::Restore, None, meta, live, policy));
            change.expected_live = ExpectedLive::At(live.image.clone());
            change.live = if edited.changes.is_empty() { LiveWrite::Leave } else { LiveWrite::Update(edited.changes) };
            change.after = Some(edited.after);
        }
        None => {
            let lost: Vec<FieldPath> = input
                .had_secrets
                .iter()
                .chain(&input.redacted.paths)
                .filter(|path| !input.secrets.iter().any(|(given, _)| given == *path))
                .cloned()
                .collect();
            if !lost.is_empty() && !input.without_secrets {
                return Err(Error::SecretsNeeded { record: record.clone(), fields: lost });
            }
            let seed = seed_document(target, record, rules)?;
            entries.push(seed.become_live(&mut change, Op::Restore, None, meta, policy));
        }
    }
    change.entries = entries;
    Ok(Planned::Change(Box::new(change)))
}

fn restored_meta(rules: Rules<'_>, input: &RestoreInput<'_>) -> Object {
    let from = Object::new().with("seq", input.from_seq.0).with("entry_id", input.from_entry.to_hex());
    let mut meta = rules.meta(input.meta).with("restored_from", from);
    // The version could not say what belongs there.
    list_secrets(&mut meta, "redacted", &input.redacted.paths);
    meta
}

/// Plans going back to a deletion: what came back around the tool is recorded and goes again.
fn restore_deletion(
    state: &RecordState,
    standing: &Standing<'_>,
    rules: Rules<'_>,
    input: &RestoreInput<'_>,
) -> Result<Planned, Error> {
    let Some((live, _)) = standing.live() else { return Ok(Planned::Nothing) };
    let mut change = start(state, standing);
    change.entries = preimages(standing, rules, input.meta);
    change.entries.push(tombstone(Op::Restore, None, restored_meta(rules, input)));
    change.live = LiveWrite::Delete;
    change.expected_live = ExpectedLive::At(live.image.clone());
    Ok(Planned::Change(Box::new(change)))
}
