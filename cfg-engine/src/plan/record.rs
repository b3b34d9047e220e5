//! What each verb does to one record: pure functions from what was read to what will be written.

use std::sync::Arc;

use super::standing::Standing;
use super::{PlannedChange, PlannedEntry};
use crate::adapter::{ExpectedLive, LiveDoc, LiveWrite, RecordState, StoredDoc};
use crate::config::{CollectionConfig, Settings, Shape};
use crate::document::{
    Assignment, Edit, EntryId, FieldPath, FieldPolicy, Object, Oid, PathChange, Step, Treatment, Value, apply_changes,
    assign, dropped_fields, is_secret_marker, json_patch, live_changes, live_changes_without_secrets, merge_patch, oid,
    same,
};
use crate::engine::BASE_MEMBER;
use crate::error::Error;
use crate::history::{Author, Op, RecordKey, Seq, Timestamp};

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

/// The version an author had seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// Which record.
    pub record: RecordKey,
    /// HEAD as it was seen; `None` while the record had no history.
    pub seq: Option<Seq>,
    /// The content that was seen; `None` for a tombstone or where it is not known.
    pub oid: Option<Oid>,
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

/// The version a restore goes back to.
#[derive(Debug, Clone)]
pub(crate) struct RestoreInput<'a> {
    /// Its stored document, mapped onto what the store can hold now; `None` where it is a deletion.
    pub(crate) target: Option<&'a Value>,
    pub(crate) from_seq: Seq,
    pub(crate) from_entry: EntryId,
    /// Where that version had secrets.
    pub(crate) had_secrets: &'a [FieldPath],
    /// Secrets given by the caller.
    pub(crate) secrets: &'a [(FieldPath, Value)],
    pub(crate) without_secrets: bool,
    /// The version is to be HEAD still: nobody may have committed since it was looked up.
    pub(crate) is_head: bool,
    /// Record drift and overwrite it.
    pub(crate) discard_drift: bool,
    pub(crate) meta: &'a Object,
}

/// What [`plan_adopt`] is given besides the record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AdoptInput<'a> {
    pub(crate) include_untracked: bool,
    pub(crate) meta: &'a Object,
}

/// What a planner decided.
#[derive(Debug)]
pub(crate) enum Planned {
    Change(Box<PlannedChange>),
    /// Nothing to do.
    Nothing,
}

/// The rules of one collection and project, for the planners.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules<'a> {
    pub(crate) collection: &'a CollectionConfig,
    pub(crate) settings: &'a Settings,
}

impl Rules<'_> {
    fn policy(&self) -> &FieldPolicy {
        &self.collection.policy
    }

    fn meta(&self, extra: &Object) -> Object {
        let mut meta = extra.clone();
        meta.insert("tool_version", self.settings.tool_version.as_str());
        if let Some(hostname) = &self.settings.hostname {
            meta.insert("hostname", hostname.as_str());
        }
        meta
    }
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
            let edited = edit_live(live, &target, record, rules, input.without_secrets)?;
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

/// Plans a restore of one record to an older version.
pub(crate) fn plan_restore(state: &RecordState, rules: Rules<'_>, input: &RestoreInput<'_>) -> Result<Planned, Error> {
    let standing = Standing::of(state)?;
    let record = &state.record;
    if standing.head().is_none() {
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
    {
        return Err(drift);
    }
    let Some(target) = input.target else { return restore_deletion(state, &standing, rules, input) };
    standing.refuse_outside_rule(record)?;
    let policy = rules.policy();
    // A column that is missing in the stored document has its default by now, null for a secret: that is
    // no secret to be restored over the live one.
    let mut target = policy.without_secrets(target);
    for (path, value) in input.secrets {
        let set = PathChange { path: path.clone(), edit: Edit::Set(value.clone()) };
        apply_changes(&mut target, &[set]).map_err(|e| {
            Error::refused_for(record, "bad_secret_path", e.to_string(), "give the path of a field in secret_fields")
        })?;
        if policy.treatment(path) != Treatment::Secret {
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
            let edited = edit_live(live, &target, record, rules, input.without_secrets)?;
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
    rules.meta(input.meta).with("restored_from", from)
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

/// Plans folding a write around the tool into history.
pub(crate) fn plan_adopt(state: &RecordState, rules: Rules<'_>, input: AdoptInput<'_>) -> Result<Planned, Error> {
    let standing = Standing::of(state)?;
    let mut change = start(state, &standing);
    let mut meta = rules.meta(input.meta);
    match standing {
        Standing::Unknown { .. } => return Err(Error::NoRecord { address: state.record.to_string() }),
        Standing::Clean { .. } | Standing::Removed { .. } => return Ok(Planned::Nothing),
        Standing::Untracked { .. } if !input.include_untracked => {
            return Err(Error::Untracked { record: state.record.clone() });
        }
        Standing::Missing { .. } => {
            change.expected_live = ExpectedLive::Absent;
            change.entries = vec![tombstone(Op::Adopt, None, meta)];
        }
        Standing::Untracked { live, oid } | Standing::Dirty { live, oid, .. } | Standing::Revived { live, oid, .. } => {
            meta.insert("bypass_detected_oid", oid.to_hex());
            change.expected_live = ExpectedLive::At(live.image.clone());
            change.after = Some(Arc::clone(&live.value));
            change.entries = vec![as_read(Op::Adopt, live, oid, meta, rules.policy())];
        }
    }
    Ok(Planned::Change(Box::new(change)))
}

/// Plans the first version of an untracked record: what live holds.
pub(crate) fn plan_import(
    state: &RecordState,
    rules: Rules<'_>,
    valid_from: Option<Timestamp>,
    meta: &Object,
) -> Result<Planned, Error> {
    let standing = Standing::of(state)?;
    match standing {
        Standing::Unknown { .. } => Err(Error::NoRecord { address: state.record.to_string() }),
        Standing::Untracked { live, oid } => {
            let mut change = start(state, &standing);
            let mut entry = as_read(Op::Import, live, oid, rules.meta(meta), rules.policy());
            entry.valid_from = valid_from;
            entry.estimated = valid_from.is_none();
            change.expected_live = ExpectedLive::At(live.image.clone());
            change.after = Some(Arc::clone(&live.value));
            change.entries = vec![entry];
            Ok(Planned::Change(Box::new(change)))
        }
        _ => Ok(Planned::Nothing),
    }
}

/// Plans the deletion of a record.
pub(crate) fn plan_remove(
    state: &RecordState,
    rules: Rules<'_>,
    base: Option<&Base>,
    force: bool,
    seen: Option<EntryId>,
    meta: &Object,
) -> Result<Planned, Error> {
    let standing = Standing::of(state)?;
    let record = &state.record;
    let seen = check_base(&standing, record, base, force, seen)?;
    if let Some(drift) = standing.drift(record)
        && !force
    {
        return Err(drift);
    }
    let mut change = start(state, &standing);
    let mut entries = preimages(&standing, rules, meta);
    match standing.live() {
        None if matches!(standing, Standing::Unknown { .. } | Standing::Removed { .. }) => {
            return Err(Error::NoRecord { address: record.to_string() });
        }
        // Missing, with force: the pre-image is the deletion itself.
        None => change.expected_live = ExpectedLive::Absent,
        Some((live, _)) => {
            entries.push(tombstone(Op::Delete, seen, rules.meta(meta)));
            change.live = LiveWrite::Delete;
            change.expected_live = ExpectedLive::At(live.image.clone());
        }
    }
    change.entries = entries;
    Ok(Planned::Change(Box::new(change)))
}

fn start(state: &RecordState, standing: &Standing<'_>) -> PlannedChange {
    PlannedChange {
        record: state.record.clone(),
        expected: state.head.clone(),
        existing: Vec::new(),
        expected_live: ExpectedLive::Unchecked,
        live_oid: standing.live().map(|(_, oid)| oid),
        live: LiveWrite::Leave,
        before: standing.live().map(|(live, _)| Arc::clone(&live.value)),
        after: None,
        entries: Vec::new(),
    }
}

/// What must be in history before a change goes on top: the first version of an untracked record,
/// or the drift that a forced change overwrites.
fn preimages(standing: &Standing<'_>, rules: Rules<'_>, meta: &Object) -> Vec<PlannedEntry> {
    let mut meta = rules.meta(meta);
    match *standing {
        Standing::Untracked { live, oid } => {
            let mut entry = as_read(Op::Import, live, oid, meta, rules.policy());
            entry.estimated = true;
            vec![entry]
        }
        Standing::Dirty { live, oid, .. } | Standing::Revived { live, oid, .. } => {
            meta.insert("bypass_detected_oid", oid.to_hex());
            vec![as_read(Op::Force, live, oid, meta, rules.policy())]
        }
        Standing::Missing { .. } => vec![tombstone(Op::Force, None, meta)],
        Standing::Unknown { .. } | Standing::Clean { .. } | Standing::Removed { .. } => Vec::new(),
    }
}

fn as_read(op: Op, live: &LiveDoc, oid: Oid, mut meta: Object, policy: &FieldPolicy) -> PlannedEntry {
    list_secrets(&mut meta, "secrets", &held_secrets(&live.value, policy));
    let secrets = policy.secret_paths(&live.value);
    PlannedEntry {
        op,
        oid: Some(oid),
        base: None,
        author: None,
        message: None,
        valid_from: None,
        estimated: false,
        meta,
        doc: StoredDoc::Edited { image: live.image.clone(), changes: unset_all(&secrets) },
        content: Some(Arc::clone(&live.value)),
        git_shas: Vec::new(),
    }
}

fn tombstone(op: Op, base: Option<Vec<EntryId>>, meta: Object) -> PlannedEntry {
    PlannedEntry {
        op,
        oid: None,
        base,
        author: None,
        message: None,
        valid_from: None,
        estimated: false,
        meta,
        doc: StoredDoc::None,
        content: None,
        git_shas: Vec::new(),
    }
}

/// Unsets places from the last to the first, so that indexes stay true.
fn unset_all(paths: &[FieldPath]) -> Vec<PathChange> {
    paths.iter().rev().map(|path| PathChange { path: path.clone(), edit: Edit::Unset }).collect()
}

/// Live with a target's versioned content laid over it.
struct Edited {
    changes: Vec<PathChange>,
    after: Arc<Value>,
    oid: Oid,
    /// Where live has secrets that go.
    dropped: Vec<FieldPath>,
}

impl Edited {
    fn entry(
        &self,
        op: Op,
        base: Option<Vec<EntryId>>,
        meta: Object,
        live: &LiveDoc,
        policy: &FieldPolicy,
    ) -> PlannedEntry {
        let mut changes = self.changes.clone();
        changes.extend(unset_all(&policy.secret_paths(&self.after)));
        PlannedEntry {
            op,
            oid: Some(self.oid),
            base,
            author: None,
            message: None,
            valid_from: None,
            estimated: false,
            meta,
            doc: StoredDoc::Edited { image: live.image.clone(), changes },
            content: Some(Arc::clone(&self.after)),
            git_shas: Vec::new(),
        }
    }
}

fn edit_live(
    live: &LiveDoc,
    target: &Value,
    record: &RecordKey,
    rules: Rules<'_>,
    without_secrets: bool,
) -> Result<Edited, Error> {
    let policy = rules.policy();
    let (changes, dropped) = match live_changes(&live.value, target, policy) {
        Ok(changes) => (changes, Vec::new()),
        Err(_) if without_secrets => live_changes_without_secrets(&live.value, target, policy),
        Err(moved) => return Err(Error::SecretMoved { record: record.clone(), path: moved.path }),
    };
    let mut after = live.value.as_ref().clone();
    apply_changes(&mut after, &changes)
        .map_err(|e| Error::refused_for(record, "bad_edit", e.to_string(), "write the document whole"))?;
    if rules.collection.shape == Shape::Row && !rules.collection.live_when.matches(&after) {
        return Err(Error::LiveRule { record: record.clone() });
    }
    let oid = input_oid(&after, record, policy)?;
    Ok(Edited { changes, after: Arc::new(after), oid, dropped })
}

/// A document that will be a new live row.
pub(crate) struct Seeded {
    pub(crate) value: Arc<Value>,
    pub(crate) oid: Oid,
}

impl Seeded {
    /// Makes this document the new live row of a change; returns the entry that records it.
    fn become_live(
        self,
        change: &mut PlannedChange,
        op: Op,
        base: Option<Vec<EntryId>>,
        mut meta: Object,
        policy: &FieldPolicy,
    ) -> PlannedEntry {
        list_secrets(&mut meta, "secrets", &held_secrets(&self.value, policy));
        let entry = self.entry(op, base, meta, policy);
        change.live = LiveWrite::Seed(self.value.as_ref().clone());
        change.expected_live = ExpectedLive::Absent;
        change.after = Some(self.value);
        entry
    }

    fn entry(&self, op: Op, base: Option<Vec<EntryId>>, meta: Object, policy: &FieldPolicy) -> PlannedEntry {
        PlannedEntry {
            op,
            oid: Some(self.oid),
            base,
            author: None,
            message: None,
            valid_from: None,
            estimated: false,
            meta,
            doc: StoredDoc::Given(policy.without_secrets(&self.value)),
            content: Some(Arc::clone(&self.value)),
            git_shas: Vec::new(),
        }
    }
}

/// Lays the live rule's equality pairs over a document that will be a new live row, and checks it.
pub(crate) fn seed_document(target: Value, record: &RecordKey, rules: Rules<'_>) -> Result<Seeded, Error> {
    let mut value = target;
    // Where the record holds the rule's fields itself they are part of what is hashed.
    if rules.collection.shape == Shape::Row {
        if let Some(object) = value.as_object_mut() {
            for (field, wanted) in rules.collection.live_when.equality_pairs() {
                object.insert(field, wanted.clone());
            }
        }
        if !rules.collection.live_when.matches(&value) {
            return Err(Error::LiveRule { record: record.clone() });
        }
    }
    let mut hidden = rules.policy().secret_paths(&value);
    hidden.retain(|path| path.get(&value).is_some_and(is_secret_marker));
    if !hidden.is_empty() {
        return Err(Error::SecretsNeeded { record: record.clone(), fields: hidden });
    }
    let oid = input_oid(&value, record, rules.policy())?;
    Ok(Seeded { value: Arc::new(value), oid })
}

fn input_oid(doc: &Value, record: &RecordKey, policy: &FieldPolicy) -> Result<Oid, Error> {
    oid(doc, policy).map_err(|e| {
        Error::refused_for(
            record,
            "unhashable_document",
            format!("the document for {record} has {e}"),
            "change the value at that place",
        )
    })
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
    refuse_stray_markers(&target, record, rules.policy())?;
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

/// Refuses `{"$secret": true}` where no secret is: it stands for a value that is hidden, and written as
/// it stands it would be that value from then on.
pub(crate) fn refuse_stray_markers(target: &Value, record: &RecordKey, policy: &FieldPolicy) -> Result<(), Error> {
    fn find(value: &Value, path: &mut Vec<Step>, found: &mut Vec<FieldPath>) {
        if is_secret_marker(value) {
            return found.push(FieldPath::from_steps(path.clone()));
        }
        let mut into = |step: Step, value: &Value| {
            path.push(step);
            find(value, path, found);
            path.pop();
        };
        match value {
            Value::Object(object) => object.iter().for_each(|(key, value)| into(Step::Key(key.clone()), value)),
            Value::Array(items) => items.iter().enumerate().for_each(|(n, value)| into(Step::Index(n), value)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    find(target, &mut Vec::new(), &mut found);
    match found.into_iter().find(|path| policy.treatment(path) != Treatment::Secret) {
        None => Ok(()),
        Some(path) => Err(Error::refused_for(
            record,
            "stray_secret_marker",
            format!("{path} of the document for {record} says {{\"$secret\": true}} and is no secret field"),
            format!("write its value, or add {path} to secret_fields"),
        )),
    }
}

/// Checks that a document is an object and that an id inside it is this record's; in the row shape
/// a document without its id gets it.
pub(crate) fn with_id(mut doc: Value, record: &RecordKey, collection: &CollectionConfig) -> Result<Value, Error> {
    let type_name = doc.type_name();
    let Some(object) = doc.as_object_mut() else {
        return Err(Error::refused_for(
            record,
            "not_an_object",
            format!("the document for {record} is a JSON {type_name}, not an object"),
            "write a JSON object",
        ));
    };
    let id = record.id.to_value();
    for field in collection.id_fields.iter().rev() {
        let wanted = if collection.id_fields.len() == 1 { Some(&id) } else { id.get(field) };
        let Some(wanted) = wanted else { continue };
        match object.get(field) {
            Some(found) if same(found, wanted) => {}
            Some(Value::Null) | None if collection.shape == Shape::Doc => {}
            Some(Value::Null) => {
                object.insert(field.clone(), wanted.clone());
            }
            None => object.members_mut().insert(0, (field.clone(), wanted.clone())),
            Some(_) => {
                return Err(Error::refused_for(
                    record,
                    "other_id",
                    format!("the document for {record} carries another id in {field}"),
                    format!("remove {field} from the document, or commit it under its own id"),
                ));
            }
        }
    }
    Ok(doc)
}

fn differs_in_ignored(live: &Value, target: &Value, policy: &FieldPolicy) -> bool {
    policy.ignored_paths(target).iter().any(|path| match (path.get(live), path.get(target)) {
        (Some(a), Some(b)) => !same(a, b),
        (None, Some(b)) => !b.is_null(),
        _ => false,
    })
}

/// Records where the new document has secrets, and which of them this change wrote.
fn note_secrets(meta: &mut Object, edited: &Edited, live: &Value, policy: &FieldPolicy) {
    let secrets = held_secrets(&edited.after, policy);
    list_secrets(meta, "secrets", &secrets);
    let mut written: Vec<FieldPath> = Vec::new();
    let old = policy.secret_paths(live);
    for change in &edited.changes {
        if policy.treatment(&change.path) == Treatment::Secret {
            written.push(change.path.clone());
            continue;
        }
        // An array or object that is written whole carries its old secrets with it.
        let below = |paths: &[FieldPath]| -> Vec<FieldPath> {
            paths.iter().filter(|path| path.steps().starts_with(change.path.steps())).cloned().collect()
        };
        let mut carried: Vec<&Value> = below(&old).iter().filter_map(|path| path.get(live)).collect();
        for path in below(&secrets) {
            let Some(value) = path.get(&edited.after) else { continue };
            match carried.iter().position(|old| *old == value) {
                Some(at) => drop(carried.swap_remove(at)),
                None => written.push(path),
            }
        }
    }
    list_secrets(meta, "secrets_written", &written);
    list_secrets(meta, "secrets_dropped", &edited.dropped);
}

/// Returns where a document has secrets; a null is none.
fn held_secrets(doc: &Value, policy: &FieldPolicy) -> Vec<FieldPath> {
    let mut paths = policy.secret_paths(doc);
    paths.retain(|path| path.get(doc).is_some_and(|value| !value.is_null()));
    paths
}

/// Records where secrets are; never what they are.
fn list_secrets(meta: &mut Object, name: &str, paths: &[FieldPath]) {
    if !paths.is_empty() {
        meta.insert(name, paths.iter().map(ToString::to_string).collect::<Vec<_>>());
    }
}

/// Checks that the version an author had seen is still HEAD; returns it for the entry.
fn check_base(
    standing: &Standing<'_>,
    record: &RecordKey,
    base: Option<&Base>,
    force: bool,
    seen: Option<EntryId>,
) -> Result<Option<Vec<EntryId>>, Error> {
    let Some(base) = base else { return Ok(None) };
    let head = standing.head().map(|h| h.head);
    if base.record != *record {
        return Err(Error::refused_for(
            record,
            "other_base",
            format!("the document was read from {:?}", base.record),
            "commit it where it was read from, or remove its \"$cfg\" member",
        ));
    }
    let fits = match (base.seq, head) {
        // Read while untracked: nothing but its content can be compared.
        (None, None) => base.oid.is_none() || base.oid == standing.live().map(|(_, oid)| oid),
        (Some(seq), Some(head)) => seq == head.seq && (base.oid.is_none() || base.oid == head.oid),
        _ => false,
    };
    if !fits && !force {
        return Err(Error::StaleBase { record: record.clone(), base: base.seq, head: head.map(|h| h.seq) });
    }
    Ok(if fits { head.map(|h| h.entry_id) } else { seen }.map(|id| vec![id]))
}

/// A document and its oid.
pub(crate) type HashedDoc = (Arc<Value>, Oid);

/// One version of a loaded history, ready to be planned.
#[derive(Debug, Clone)]
pub(crate) struct LoadedVersion {
    pub(crate) valid_from: Timestamp,
    pub(crate) content: Option<HashedDoc>,
    pub(crate) author: Option<Author>,
    pub(crate) message: Option<String>,
    pub(crate) sha: Option<String>,
}

impl LoadedVersion {
    /// Returns the entry that this version becomes.
    pub(crate) fn entry(self, rules: Rules<'_>, meta: &Object) -> PlannedEntry {
        let policy = rules.policy();
        let mut meta = rules.meta(meta);
        let (oid, doc, content) = match self.content {
            Some((value, oid)) => {
                list_secrets(&mut meta, "secrets", &held_secrets(&value, policy));
                (Some(oid), StoredDoc::Given(policy.without_secrets(&value)), Some(value))
            }
            None => (None, StoredDoc::None, None),
        };
        PlannedEntry {
            op: Op::Import,
            oid,
            base: None,
            author: self.author,
            message: self.message,
            valid_from: Some(self.valid_from),
            estimated: false,
            meta,
            doc,
            content,
            git_shas: self.sha.into_iter().collect(),
        }
    }
}
