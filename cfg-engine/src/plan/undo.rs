//! `undo`: takes one change back and keeps the later ones.

use super::Standing;
use super::base::Base;
use super::commit::{CommitInput, Content, plan_commit};
use super::remove::plan_remove;
use super::restore::{RestoreInput, plan_restore};
use super::rules::{Planned, Rules};
use crate::adapter::RecordState;
use crate::document::{
    Edit, EntryId, FieldPath, FieldPolicy, Object, PathChange, Step, Value, apply_changes, diff, same,
};
use crate::error::Error;
use crate::history::{Op, RecordKey, Redacted, Seq};

/// The change that is taken back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UndoInput<'a> {
    pub(crate) seq: Seq,
    pub(crate) entry_id: EntryId,
    /// The document before it; `None` where there was none.
    pub(crate) before: Option<&'a Value>,
    /// The document after it; `None` for a deletion.
    pub(crate) after: Option<&'a Value>,
    /// Where the version before had secrets.
    pub(crate) had_secrets: &'a [FieldPath],
    /// What redactions took from the two versions.
    pub(crate) redacted: &'a Redacted,
    pub(crate) without_secrets: bool,
    pub(crate) meta: &'a Object,
}

/// Plans taking back one change of one record.
pub(crate) fn plan_undo(state: &RecordState, rules: Rules<'_>, input: UndoInput<'_>) -> Result<Planned, Error> {
    let standing = Standing::of(state)?;
    let record = &state.record;
    if let Some(drift) = standing.drift(record) {
        return Err(drift);
    }
    let Some(head) = standing.head() else { return Err(Error::Untracked { record: record.clone() }) };
    let undone = Object::new().with("seq", input.seq.0).with("entry_id", input.entry_id.to_hex());
    let meta = input.meta.clone().with("undone", undone);
    let is_head = head.head.entry_id == input.entry_id;
    match (input.before, input.after) {
        (None, None) => Ok(Planned::Nothing),
        (Some(before), Some(after)) => {
            let Some((live, _)) = standing.live() else { return Err(built_upon(state, input.seq, &[])) };
            let policy = rules.policy();
            let mut now = live.value.as_ref().clone();
            policy.mask_secrets(&mut now);
            let laid = input.redacted.over(policy);
            let target =
                take_back(before, after, &now, &laid).map_err(|fields| built_upon(state, input.seq, &fields))?;
            if let Some(lost) = input.redacted.paths.iter().find(|path| lost_with(path, before, after, &laid)) {
                return Err(redacted_there(record, input.seq, lost));
            }
            let base = Base { record: record.clone(), seq: Some(head.head.seq), oid: head.head.oid };
            let commit = CommitInput {
                content: &Content::Document(target),
                base: Some(&base),
                allow_noop: true,
                allow_removal: true,
                without_secrets: input.without_secrets,
                force: false,
                seen: None,
                meta: &meta,
            };
            plan_commit(state, rules, commit)
        }
        _ if !is_head => Err(built_upon(state, input.seq, &[])),
        // It made the record.
        (None, Some(_)) => plan_remove(state, rules, None, false, None, &meta),
        // It deleted the record.
        (Some(before), None) => {
            let restore = RestoreInput {
                target: Some(before),
                from_seq: input.seq,
                from_entry: input.entry_id,
                had_secrets: input.had_secrets,
                redacted: input.redacted,
                secrets: &[],
                without_secrets: input.without_secrets,
                is_head: false,
                discard_drift: false,
                creates: false,
                meta: &meta,
            };
            let mut planned = plan_restore(state, rules, &restore)?;
            if let Planned::Change(change) = &mut planned {
                for entry in change.entries.iter_mut().filter(|entry| entry.op == Op::Restore) {
                    entry.op = Op::Commit;
                    entry.meta.remove("restored_from");
                }
            }
            Ok(planned)
        }
    }
}

/// Returns whether a change touched a list that holds a place which was redacted: the list goes back as a whole,
/// and what stood there is not known.
fn lost_with(path: &FieldPath, before: &Value, after: &Value, laid: &FieldPolicy) -> bool {
    let Some(list) = path.steps().iter().position(|step| matches!(step, Step::Index(_))) else { return false };
    let list = FieldPath::from_steps(path.steps()[..list].to_vec());
    let changes = diff(&laid.versioned(before), &laid.versioned(after));
    changes.iter().any(|change| change.path.starts_with(&list) || list.starts_with(&change.path))
}

fn redacted_there(record: &RecordKey, seq: Seq, path: &FieldPath) -> Error {
    Error::refused_for(
        record,
        "redacted",
        format!("{record}@{seq} cannot be taken back alone: {path} of it was redacted, in a list that it changed"),
        format!("see what is left with: cfg diff {} @{seq}   then write the list as it should be", record.id),
    )
}

fn built_upon(state: &RecordState, seq: Seq, fields: &[FieldPath]) -> Error {
    let record = &state.record;
    let what = match fields {
        [] => "the record itself".to_owned(),
        fields => fields.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    };
    Error::conflict_for(
        record,
        "built_upon",
        format!("{record}@{seq} cannot be taken back alone: later changes touch {what}"),
        format!("see them with: cfg diff {} @{seq} =HEAD   then write what it should be", record.id),
    )
}

/// Returns a document without one change that was made to it, or the fields that changed again later.
///
/// What was touched inside an array is taken back with the array as a whole: its elements have no names that
/// would outlive a later change of their order.
fn take_back(before: &Value, after: &Value, now: &Value, policy: &FieldPolicy) -> Result<Value, Vec<FieldPath>> {
    let (before, after) = (policy.versioned(before), policy.versioned(after));
    let current = policy.versioned(now);
    let mut places: Vec<FieldPath> = Vec::new();
    for change in diff(&before, &after) {
        for path in [Some(change.path), change.from].into_iter().flatten() {
            let steps = path.steps().iter().take_while(|step| matches!(step, Step::Key(_))).cloned().collect();
            let place = FieldPath::from_steps(steps);
            if !places.contains(&place) {
                places.push(place);
            }
        }
    }
    let is_same = |a: Option<&Value>, b: Option<&Value>| match (a.filter(|v| !v.is_null()), b.filter(|v| !v.is_null()))
    {
        (None, None) => true,
        (Some(a), Some(b)) => same(a, b),
        _ => false,
    };
    let mut edits = Vec::new();
    let mut touched = Vec::new();
    for path in places {
        let (old, new, there) = (path.get(&before), path.get(&after), path.get(&current));
        if is_same(there, new) {
            let edit = old.map_or(Edit::Unset, |old| Edit::Set(old.clone()));
            edits.push(PathChange { path, edit });
        } else if !is_same(there, old) {
            touched.push(path);
        }
    }
    if !touched.is_empty() {
        return Err(touched);
    }
    let mut target = now.clone();
    match apply_changes(&mut target, &edits) {
        Ok(()) => Ok(target),
        // A place whose surroundings are gone was touched later, too.
        Err(_) => Err(edits.into_iter().map(|edit| edit.path).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn undone(before: &str, after: &str, now: &str) -> Result<String, Vec<String>> {
        let value = |text: &str| Value::from_json(text).expect("JSON");
        take_back(&value(before), &value(after), &value(now), &FieldPolicy::default())
            .map(|doc| doc.to_json())
            .map_err(|paths| paths.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn later_changes_stay() {
        let ok = |text: &str| Ok(text.to_owned());
        assert_eq!(undone(r#"{"a":1,"b":1}"#, r#"{"a":2,"b":1}"#, r#"{"a":2,"b":9}"#), ok(r#"{"a":1,"b":9}"#));
        assert_eq!(undone(r#"{"b":1}"#, r#"{"a":{"x":1},"b":1}"#, r#"{"a":{"x":1},"b":2}"#), ok(r#"{"b":2}"#));
        assert_eq!(undone(r#"{"a":[1,2]}"#, r#"{"a":[2]}"#, r#"{"a":[2],"c":1}"#), ok(r#"{"a":[1,2],"c":1}"#));
        // Somebody took it back by hand.
        assert_eq!(undone(r#"{"a":1}"#, r#"{"a":2}"#, r#"{"a":1,"c":1}"#), ok(r#"{"a":1,"c":1}"#));
        assert_eq!(undone(r#"{"a":1}"#, r#"{}"#, r#"{"c":1}"#), ok(r#"{"c":1,"a":1}"#));
    }

    #[test]
    fn what_was_changed_again_is_named() {
        let no = |paths: &[&str]| Err(paths.iter().map(|path| (*path).to_owned()).collect());
        assert_eq!(undone(r#"{"a":1,"b":1}"#, r#"{"a":2,"b":2}"#, r#"{"a":3,"b":2}"#), no(&["a"]));
        assert_eq!(undone(r#"{"a":[1,2]}"#, r#"{"a":[1,3]}"#, r#"{"a":[0,1,3]}"#), no(&["a"]));
        assert_eq!(undone(r#"{}"#, r#"{"a":{"x":1}}"#, r#"{"a":{"x":1,"y":2}}"#), no(&["a"]));
        assert_eq!(undone(r#"{"a":{"x":1}}"#, r#"{"a":{"x":2}}"#, r#"{"a":5}"#), no(&["a.x"]));
    }
}
