//! What a commit does to one record.

use std::sync::Arc;

use super::base::{Base, check_base};
use super::document::{refuse_stray_markers, with_id};
use super::live_edit::edit_live;
use super::noted_secrets::note_secrets;
use super::preimage::{preimages, start};
use super::rules::{Planned, Rules};
use super::seed::seed_document;
use super::standing::Standing;
use crate::adapter::{ExpectedLive, LiveWrite, RecordState};
use crate::document::{
    Assignment, EntryId, FieldPolicy, Object, Value, assign, dropped_fields, json_patch, merge_patch, same,
};
use crate::engine::BASE_MEMBER;
use crate::error::Error;
use crate::history::{Op, RecordKey};
use crate::planted;

/// What a commit writes: a whole document, or a change of the one that is there.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Content {
    /// The whole document.
    Document(Value),
    /// An RFC 6902 JSON Patch.
    JsonPatch(Value),
    /// An RFC 7396 merge patch.
    MergePatch(Value),
    /// The operators of `cfg set`.
    Assignments(Vec<Assignment>),
}

/// What [`plan_commit`] is given besides the record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CommitInput<'a> {
    pub(crate) content: &'a Content,
    pub(crate) base: Option<&'a Base>,
    pub(crate) allow_noop: bool,
    pub(crate) allow_removal: bool,
    /// Secrets may go with the member or element that holds them.
    pub(crate) without_secrets: bool,
    pub(crate) force: bool,
    /// The entry that the base names, where it has to be looked up: HEAD is looked at anyway.
    pub(crate) seen: Option<EntryId>,
    pub(crate) meta: &'a Object,
}

/// Plans a commit of one record.
pub(crate) fn plan_commit(state: &RecordState, rules: Rules<'_>, input: CommitInput<'_>) -> Result<Planned, Error> {
    let standing = Standing::of(state)?;
    let record = &state.record;
    // A patch is applied to what is there; a whole document was written for one version.
    if input.base.is_none()
        && rules.settings.require_base
        && standing.head().is_some()
        && matches!(input.content, Content::Document(_))
    {
        return Err(Error::refused_for(
            record,
            "base_required",
            format!("{record} is committed without saying which version it was based on"),
            format!("start from: cfg get {} --json   or say it with --base", record.id),
        ));
    }
    let base = check_base(&standing, record, input.base, input.force, input.seen)?;
    if let Some(drift) = standing.drift(record)
        && !input.force
        && !planted!("drift-not-refused")
    {
        return Err(drift);
    }
    standing.refuse_outside_rule(record)?;
    let target = target_document(&standing, record, rules, input.content)?;
    let mut change = start(state, &standing);
    let mut entries = preimages(&standing, rules, input.meta);
    let policy = rules.policy();
    match standing.live() {
        Some((live, _)) => {
            if input.base.is_none() && !input.allow_removal && matches!(input.content, Content::Document(_)) {
                let fields = dropped_fields(&live.value, &target, policy);
                if !fields.is_empty() {
                    return Err(Error::MissingFields { record: record.clone(), fields });
                }
            }
            let edited = edit_live(live, &target, record, rules, policy, input.without_secrets)?;
            if edited.changes.is_empty() {
                if !input.allow_noop && differs_in_ignored(&live.value, &target, policy) {
                    return Err(Error::OnlyIgnored { record: record.clone() });
                }
                // An untracked record still gets its first version; a forced one its drift.
                if entries.is_empty() {
                    return Ok(Planned::Nothing);
                }
                change.entries = entries;
                change.expected_live = ExpectedLive::At(live.image.clone());
                change.after = Some(Arc::clone(&live.value));
                return Ok(Planned::Change(Box::new(change)));
            }
            let mut meta = rules.meta(input.meta);
            note_secrets(&mut meta, &edited, &live.value, policy);
            entries.push(edited.entry(Op::Commit, base, meta, live, policy));
            change.live = LiveWrite::Update(edited.changes);
            change.expected_live = ExpectedLive::At(live.image.clone());
            change.after = Some(edited.after);
        }
        None => {
            let seed = seed_document(target, record, rules)?;
            entries.push(seed.become_live(&mut change, Op::Commit, base, rules.meta(input.meta), policy));
        }
    }
    change.entries = entries;
    Ok(Planned::Change(Box::new(change)))
}

fn target_document(
    standing: &Standing<'_>,
    record: &RecordKey,
    rules: Rules<'_>,
    content: &Content,
) -> Result<Value, Error> {
    let current = || match standing.live() {
        Some((live, _)) => {
            let mut shown = live.value.as_ref().clone();
            rules.policy().mask_secrets(&mut shown);
            Ok(shown)
        }
        None => Err(standing.drift(record).unwrap_or_else(|| Error::NoRecord { address: record.to_string() })),
    };
    let fix = "look at the document with: cfg get";
    let target = match content {
        Content::Document(doc) => doc.clone(),
        Content::JsonPatch(patch) => json_patch(&current()?, patch)
            .map_err(|e| Error::refused_for(record, "bad_patch", e.to_string(), format!("{fix} {}", record.id)))?,
        Content::MergePatch(patch) => merge_patch(&current()?, patch),
        Content::Assignments(assignments) => {
            let mut doc = current()?;
            assign(&mut doc, assignments).map_err(|e| {
                Error::refused_for(record, "bad_assignment", e.to_string(), format!("{fix} {}", record.id))
            })?;
            doc
        }
    };
    let live = standing.live().map(|(live, _)| live.value.as_ref());
    refuse_stray_markers(&target, live, record, rules.policy())?;
    let has_base = |doc: Option<&Value>| doc.is_some_and(|doc| doc.get(BASE_MEMBER).is_some());
    if has_base(Some(&target)) && !has_base(standing.live().map(|(live, _)| live.value.as_ref())) {
        return Err(Error::refused_for(
            record,
            "reserved_member",
            format!(
                "the document for {record} has a member \"{BASE_MEMBER}\", which carries a base and is never stored"
            ),
            "take it out, or give it as the base",
        ));
    }
    with_id(target, record, rules.collection)
}

fn differs_in_ignored(live: &Value, target: &Value, policy: &FieldPolicy) -> bool {
    policy.ignored_paths(target).iter().any(|path| match (path.get(live), path.get(target)) {
        (Some(a), Some(b)) => !same(a, b),
        (None, Some(b)) => !b.is_null(),
        _ => false,
    })
}
