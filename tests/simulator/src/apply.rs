//! What every store does in a batch: the checks, and the cells that it writes.

use std::collections::BTreeMap;
use std::sync::Arc;

use cfg_engine::adapter::{
    AdapterError, Batch, Change, ExpectedHead, ExpectedVersion, HeadState, ObjectKey, ObjectWrite, StoredObject,
};
use cfg_engine::history::Timestamp;
use cfg_engine::planted;

use crate::state::{Datum, Key, State, StoredEntry, layout};

/// How far a batch's time may lie behind or ahead of the store's clock.
const CLOCK_TOLERANCE_MS: i64 = 2000;

pub(crate) fn number(change: &Change) -> u8 {
    layout().number(&change.record).expect("a record of the layout")
}

/// Whether HEAD and tip are what a change expects.
pub(crate) fn head_fits(change: &Change, current: Option<&HeadState>) -> bool {
    match (&change.expected_head, current) {
        (ExpectedHead::Absent, None) => true,
        (ExpectedHead::At { head, .. }, Some(current)) if planted!("head-by-oid") => current.head.oid == head.oid,
        (ExpectedHead::At { head, .. }, Some(current)) if planted!("tip-not-compared") => current.head == *head,
        (ExpectedHead::At { head, tip }, Some(current)) => current.head == *head && current.tip == *tip,
        _ => false,
    }
}

pub(crate) fn check_head(state: &State, change: &Change) -> Result<(), AdapterError> {
    let current = state.head(number(change));
    if head_fits(change, current.map(|head| &**head)) {
        return Ok(());
    }
    let current = current.map(|head| Box::new(head.as_ref().clone()));
    Err(AdapterError::StaleHead { record: change.record.clone(), current })
}

pub(crate) fn check_object(state: &State, key: &ObjectKey, expected: ExpectedVersion) -> Result<(), AdapterError> {
    let fits = match (expected, state.datum(&Key::Object(key.clone()))) {
        _ if planted!("object-version-not-compared") => true,
        (ExpectedVersion::Absent, None | Some(Datum::NoObject(_))) => true,
        (ExpectedVersion::At(version), Some(Datum::Object(stored))) => stored.version == version,
        _ => false,
    };
    if fits {
        return Ok(());
    }
    Err(AdapterError::StaleObject { kind: key.kind.clone(), name: key.name.clone() })
}

/// Heads before objects, and both before the time.
pub(crate) fn check_standing(state: &State, batch: &Batch, now: Timestamp) -> Result<(), AdapterError> {
    batch.changes().iter().try_for_each(|change| check_head(state, change))?;
    batch.expected_objects().try_for_each(|(key, expected)| check_object(state, key, expected))?;
    check_clock(batch, now)
}

pub(crate) fn check_clock(batch: &Batch, now: Timestamp) -> Result<(), AdapterError> {
    let at = batch.recorded_at();
    let tips = batch.changes().iter().filter_map(|change| match &change.expected_head {
        ExpectedHead::At { tip, .. } | ExpectedHead::Lost { tip } => Some(tip.recorded_at),
        ExpectedHead::Absent => None,
    });
    let newest = tips.max();
    let after_tips = newest.is_none_or(|tip| at > tip);
    let behind = at < now.plus_millis(-CLOCK_TOLERANCE_MS);
    let ahead = at > now.plus_millis(CLOCK_TOLERANCE_MS) && newest.map(|tip| tip.plus_millis(1)) != Some(at);
    if (!after_tips || behind || ahead) && !planted!("clock-not-checked") {
        return Err(AdapterError::Clock { now });
    }
    Ok(())
}

/// The cells of history that a change writes: entries, ends and shas of older ones, the head.
pub(crate) fn history_writes(state: &State, change: &Change) -> Vec<(Key, Option<Datum>)> {
    let record = number(change);
    let mut older: BTreeMap<u64, StoredEntry> = BTreeMap::new();
    let edit = |older: &mut BTreeMap<u64, StoredEntry>, seq: u64, edit: &dyn Fn(&mut StoredEntry)| {
        let there = older.get(&seq).cloned();
        let there = there.or_else(|| state.entry(record, cfg_engine::history::Seq(seq)).map(|e| e.as_ref().clone()));
        if let Some(mut entry) = there {
            edit(&mut entry);
            older.insert(seq, entry);
        }
    };
    for (seq, ends) in &change.closed {
        if planted!("interval-not-closed") {
            continue;
        }
        edit(&mut older, seq.0, &|entry| entry.ends = *ends);
        if planted!("interval-closed-by-oid") {
            let content = state.entry(record, *seq).and_then(|entry| entry.header.oid);
            let same: Vec<u64> = state
                .entries_of(record)
                .filter(|entry| entry.header.oid == content && content.is_some())
                .map(|entry| entry.header.seq.0)
                .collect();
            same.into_iter().for_each(|seq| edit(&mut older, seq, &|entry| entry.ends = *ends));
        }
    }
    for (seq, shas) in &change.links {
        edit(&mut older, seq.0, &|entry| {
            let new: Vec<String> = shas.iter().filter(|sha| !entry.git_shas.contains(sha)).cloned().collect();
            entry.git_shas.extend(new);
        });
    }
    let mut found: Vec<(Key, Option<Datum>)> =
        older.into_iter().map(|(seq, entry)| (Key::Entry(record, seq), Some(Datum::Entry(Arc::new(entry))))).collect();
    for entry in &change.entries {
        let key = Key::Entry(record, entry.header.seq.0);
        found.push((key, Some(Datum::Entry(Arc::new(StoredEntry::of(entry))))));
    }
    if let Some(head) = new_head(state, change) {
        found.push((Key::Head(record), Some(Datum::Head(Arc::new(head)))));
    }
    found
}

/// HEAD and tip after a change.
pub(crate) fn new_head(state: &State, change: &Change) -> Option<HeadState> {
    let record = number(change);
    let head = change.new_head?;
    let current = state.head(record);
    let tip = change.new_tip().or(current.map(|current| current.tip))?;
    let written = change.entries.iter().find(|entry| entry.header.seq == head.seq).map(|entry| &entry.header);
    let header = written.or_else(|| state.entry(record, head.seq).map(|entry| &entry.header))?;
    Some(HeadState { head, tip, author: header.author.clone(), recorded_at: header.recorded_at })
}

/// The cell of an object that a batch writes.
pub(crate) fn object_write(state: &State, batch: &Batch, write: &ObjectWrite) -> (Key, Option<Datum>) {
    let key = Key::Object(write.key.clone());
    let version = 1 + match state.datum(&key) {
        Some(Datum::Object(stored)) => stored.version,
        Some(Datum::NoObject(version)) => *version,
        _ => 0,
    };
    let datum = match &write.body {
        None => Datum::NoObject(version),
        Some(body) => Datum::Object(Arc::new(StoredObject {
            key: write.key.clone(),
            version,
            body: body.clone(),
            op_id: batch.op_id().clone(),
            recorded_at: batch.recorded_at(),
        })),
    };
    (key, Some(datum))
}
