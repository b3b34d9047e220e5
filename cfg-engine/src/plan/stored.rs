//! A plan as it is stored and approved: one row for each record, and an address over all of it.
//!
//! `plan_oid` is the address of the rows' addresses: of each row what would be done (as the store would be
//! told, with secrets hidden) and what people are shown of it. Documents are not kept a second time.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::view::{HidingKey, header, shown_change, stored_change, stored_entry, stored_live, stored_object};
use super::{Grain, Plan, PlanView, PlannedChange};
use crate::adapter::LiveWrite;
use crate::config::CollectionConfig;
use crate::document::{FieldPolicy, Object, Oid, Value, to_hex};
use crate::history::{EnvName, RecordKey};

/// Objects whose names are their content's addresses: what points to them says all of them.
const ADDRESSED: [&str; 2] = ["manifest", "manifest_part"];

/// Returns the address of data that the engine made itself: of its very text, not of what documents count as
/// equal, since what is approved is what is written.
fn address(value: impl Into<Value>) -> Oid {
    text_address(&value.into().to_interchange())
}

fn text_address(text: &str) -> Oid {
    Oid::from_bytes(Sha256::digest(text.as_bytes()).into())
}

/// What happens to one record.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PlanRow {
    pub(crate) record: RecordKey,
    /// The address of all that would be done.
    pub(crate) digest: Oid,
    /// What people are shown of it, as text.
    pub(crate) shown: String,
    /// The parts that may be carried out one by one: the digest itself, or one for each entry.
    pub(crate) pieces: Vec<Oid>,
}

impl PlanRow {
    fn cells(&self) -> Value {
        let cells = [
            self.record.collection.as_str().to_owned(),
            self.record.id.ascii(),
            self.digest.to_hex(),
            text_address(&self.shown).to_hex(),
        ];
        Value::from(cells.to_vec())
    }
}

/// A plan, ready to be stored.
#[derive(Debug, Clone)]
pub(crate) struct StoredPlan {
    pub(crate) plan_oid: Oid,
    /// Env, verb, author, message.
    pub(crate) header: Object,
    /// The key that secrets are hidden with, where there are any.
    pub(crate) key: Option<[u8; 32]>,
    /// Each object that is written, and the address of all of it.
    pub(crate) objects: Vec<(Object, Oid)>,
    /// By record key.
    pub(crate) rows: Vec<PlanRow>,
    /// A record of it that was changed outside.
    pub(crate) dirty: Option<RecordKey>,
}

impl StoredPlan {
    /// Computes it; `key` hides secret values.
    pub(crate) fn of(plan: &Plan, collections: &[CollectionConfig], key: &[u8; 32]) -> StoredPlan {
        let (rows, used) = rows(plan, collections, key);
        let dirty = plan.changes.iter().find(|change| change.is_dirty()).map(|change| change.record.clone());
        StoredPlan { dirty, ..Self::from_rows(plan, rows, used.then_some(*key)) }
    }

    /// Puts together what was computed part by part. Rows of one record become one.
    pub(crate) fn from_rows(plan: &Plan, rows: Vec<PlanRow>, key: Option<[u8; 32]>) -> StoredPlan {
        let rows = merged(rows);
        let objects: Vec<(Object, Oid)> =
            object_pieces(plan).map(|stored| (shown_object(&stored), address(stored))).collect();
        let header = header(plan);
        let plan_oid = plan_oid(&header, key.as_ref(), objects.iter().map(|(_, digest)| *digest), &rows);
        StoredPlan { plan_oid, header, key, objects, rows, dirty: None }
    }

    /// Returns whether it would do nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.objects.is_empty()
    }

    /// Returns every part that may be carried out by itself.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = Oid> {
        let rows = self.rows.iter().flat_map(|row| row.pieces.iter().copied());
        rows.chain(self.objects.iter().map(|(_, digest)| *digest))
    }

    /// Returns the view of a dry run.
    pub(crate) fn view(&self, plan: &Plan) -> PlanView {
        let changes: Vec<Value> = self.rows.iter().filter_map(|row| Value::from_interchange(&row.shown).ok()).collect();
        let shown = Object::new()
            .with("plan_oid", self.plan_oid.to_hex())
            .with("env", plan.env.as_str())
            .with("verb", plan.verb.as_str())
            .with("author", super::view::author(plan))
            .with("message", plan.message.as_str())
            .with("changes", changes);
        PlanView { plan_oid: self.plan_oid, shown }
    }
}

/// Returns the address of a plan from its parts.
pub(crate) fn plan_oid(
    header: &Object,
    key: Option<&[u8; 32]>,
    objects: impl Iterator<Item = Oid>,
    rows: &[PlanRow],
) -> Oid {
    let stored = Object::new()
        .with("v", 1)
        .with("header", Value::Object(header.clone()).to_interchange())
        .with("objects", objects.map(|digest| digest.to_hex()).collect::<Vec<_>>())
        .with("rows", rows.iter().map(PlanRow::cells).collect::<Vec<_>>());
    // Without a secret the same plan has the same address every time.
    address(match key {
        Some(key) => stored.with("key", to_hex(key)),
        None => stored,
    })
}

/// Returns the address of what a plan says of itself besides what it does.
pub(crate) fn header_oid(plan: &Plan) -> Oid {
    address(Value::Object(header(plan)).to_interchange())
}

/// Computes the rows of a plan, and whether the key was needed.
pub(crate) fn rows(plan: &Plan, collections: &[CollectionConfig], key: &[u8; 32]) -> (Vec<PlanRow>, bool) {
    let key = HidingKey::new(key);
    let mut rows = Vec::with_capacity(plan.changes.len() + plan.upkeep.len());
    for change in &plan.changes {
        let policy = policy_of(change, collections);
        let shown = match plan.grain {
            Grain::Change => shown_change(change, policy),
            Grain::Entry => shown_versions(change),
        };
        let digest =
            address(stored_change(change, policy, &key).with("shown", Value::Object(shown.clone()).to_interchange()));
        let pieces = pieces_of(change, plan.grain, policy, &key, digest);
        rows.push(PlanRow {
            record: change.record.clone(),
            digest,
            shown: Value::Object(shown).to_interchange(),
            pieces,
        });
    }
    for upkeep in &plan.upkeep {
        let shown = upkeep.to_object();
        let digest = address(shown.clone());
        rows.push(PlanRow {
            record: upkeep.record.clone(),
            digest,
            shown: Value::Object(shown).to_interchange(),
            pieces: vec![digest],
        });
    }
    (rows, key.used.get())
}

fn policy_of<'c>(change: &PlannedChange, collections: &'c [CollectionConfig]) -> &'c FieldPolicy {
    static NONE: std::sync::LazyLock<FieldPolicy> = std::sync::LazyLock::new(FieldPolicy::default);
    collections.iter().find(|c| c.name == change.record.collection).map_or(&NONE, |c| &c.policy)
}

fn pieces_of(change: &PlannedChange, grain: Grain, policy: &FieldPolicy, key: &HidingKey<'_>, digest: Oid) -> Vec<Oid> {
    if grain == Grain::Change {
        return vec![digest];
    }
    let record =
        Object::new().with("collection", change.record.collection.as_str()).with("config_id", change.record.id.ascii());
    let entries = change.entries.iter().map(|entry| address(record.clone().with("entry", stored_entry(entry))));
    let live = match change.live {
        LiveWrite::Leave => None,
        _ => Some(address(record.clone().with("live", stored_live(&change.live, policy, key)))),
    };
    entries.chain(live).collect()
}

/// What is shown of a record whose history is loaded: how many versions, from when to when.
fn shown_versions(change: &PlannedChange) -> Object {
    let time = |entry: Option<&super::PlannedEntry>| entry.and_then(|e| e.valid_from).map(|at| at.to_string());
    super::view::record(change)
        .with("live", super::view::live_word(&change.live))
        .with("versions", change.entries.len())
        .with("from", time(change.entries.first()))
        .with("to", time(change.entries.last()))
        .with("entries", Vec::<Value>::new())
        .with("changes", Vec::<Value>::new())
}

/// Makes one row of the rows of one record.
fn merged(rows: Vec<PlanRow>) -> Vec<PlanRow> {
    let mut by_record: BTreeMap<RecordKey, PlanRow> = BTreeMap::new();
    for row in rows {
        match by_record.get_mut(&row.record) {
            Some(first) => {
                first.digest = address(vec![first.digest.to_hex(), row.digest.to_hex()]);
                first.pieces.extend(row.pieces);
            }
            None => drop(by_record.insert(row.record.clone(), row)),
        }
    }
    by_record.into_values().collect()
}

fn object_pieces(plan: &Plan) -> impl Iterator<Item = Object> {
    plan.objects.iter().filter(|write| !ADDRESSED.contains(&write.key.kind.as_str())).map(stored_object)
}

/// What is shown of an object that is written.
fn shown_object(stored: &Object) -> Object {
    let body = stored.get("body").and_then(Value::as_str).and_then(|text| Value::from_interchange(text).ok());
    Object::new().with("kind", stored.get("kind").cloned()).with("name", stored.get("name").cloned()).with("body", body)
}

/// A part of a plan as the gate compares it with what was approved.
pub(crate) struct Piece {
    /// The change that it is of, by place; `None` for upkeep and objects.
    pub(crate) change: Option<usize>,
    pub(crate) digest: Oid,
}

/// Returns the parts of a plan.
pub(crate) fn pieces(plan: &Plan, collections: &[CollectionConfig], key: &[u8; 32]) -> Vec<Piece> {
    let (rows, _) = rows(plan, collections, key);
    let changes = plan.changes.len();
    let of_rows = rows.into_iter().enumerate().flat_map(|(at, row)| {
        let change = (at < changes).then_some(at);
        row.pieces.into_iter().map(move |digest| Piece { change, digest })
    });
    let objects = object_pieces(plan).map(|stored| Piece { change: None, digest: address(stored) });
    of_rows.chain(objects).collect()
}

/// The kind of the parts that the rows of a stored plan lie in.
pub(crate) const PART: &str = "approval_part";
/// A part is closed after so many rows or bytes.
const PART_ROWS: usize = 500;
const PART_BYTES: usize = 1 << 20;
/// What is shown of one record is kept up to this size.
const SHOWN_BYTES: usize = 2 << 20;

/// Cuts rows into bodies of parts.
pub(crate) fn parts(rows: &[PlanRow]) -> Vec<Value> {
    let mut bodies = Vec::new();
    let mut cells: Vec<Value> = Vec::new();
    let mut bytes = 0;
    for row in rows {
        let is_itself = row.pieces == [row.digest];
        let pieces: Vec<String> = row.pieces.iter().filter(|_| !is_itself).map(Oid::to_hex).collect();
        // The address over it stays: that it was too long to keep shows.
        let shown = if row.shown.len() > SHOWN_BYTES { Value::Null } else { Value::from(row.shown.as_str()) };
        bytes += row.shown.len().min(SHOWN_BYTES) + 66 * pieces.len() + 200;
        cells.push(Value::Array(vec![
            Value::from(row.record.collection.as_str()),
            Value::from(row.record.id.ascii()),
            Value::from(row.digest.to_hex()),
            Value::from(text_address(&row.shown).to_hex()),
            shown,
            Value::from(pieces),
        ]));
        if cells.len() >= PART_ROWS || bytes >= PART_BYTES {
            bodies.push(body(std::mem::take(&mut cells)));
            bytes = 0;
        }
    }
    if !cells.is_empty() {
        bodies.push(body(cells));
    }
    bodies
}

fn body(rows: Vec<Value>) -> Value {
    Value::Object(Object::new().with("v", 1).with("rows", rows))
}

/// Reads the rows of a part; `None` where it is not one, or what is shown is not what was stored.
pub(crate) fn read_part(body: &Value, env: &EnvName) -> Option<Vec<PlanRow>> {
    let read = |row: &Value| {
        let cells = row.as_array()?;
        let text = |n: usize| cells.get(n).and_then(Value::as_str);
        let hex = |text: &str| text.parse::<Oid>().ok();
        let shown = match text(4) {
            Some(shown) if Some(text_address(shown)) == hex(text(3)?) => shown.to_owned(),
            None => String::new(),
            Some(_) => return None,
        };
        let digest = hex(text(2)?)?;
        let mut pieces = cells.get(5)?.as_array()?.iter().map(|p| hex(p.as_str()?)).collect::<Option<Vec<_>>>()?;
        if pieces.is_empty() {
            pieces.push(digest);
        }
        let collection = crate::history::CollectionName::new(text(0)?).ok()?;
        let id = crate::history::IdKey::from_stored(text(1)?).ok()?;
        Some(PlanRow { record: RecordKey { env: env.clone(), collection, id }, digest, shown, pieces })
    };
    body.get("rows")?.as_array()?.iter().map(read).collect()
}
