//! What a change expects of live and does to it, by the contract.

use cfg_engine::adapter::{AdapterError, Change, ExpectedLive, LiveWrite, NativeImage};
use cfg_engine::config::CollectionConfig;
use cfg_engine::document::{PathChange, apply_changes, oid};
use cfg_engine::planted;
use cfg_engine::{Value, history::RecordKey};

use crate::state::{Datum, Key, Row, Rows, layout};

/// A row that a change writes: where, or in a new place, and what.
pub(crate) type RowWrite = (Option<Key>, Option<Datum>);

fn damaged(record: &RecordKey, what: &str) -> AdapterError {
    AdapterError::Damaged { problem: format!("the batch for {record}: {what}") }
}

fn image<'i>(record: &RecordKey, image: &'i NativeImage) -> Result<&'i Row, AdapterError> {
    image.get::<Row>().ok_or_else(|| damaged(record, "an image of another store"))
}

/// Compares live with what a change expects.
pub(crate) fn check(change: &Change, rows: &Rows) -> Result<(), AdapterError> {
    let record = &change.record;
    let stale = || AdapterError::StaleLive { record: record.clone() };
    if matches!(change.expected_live, ExpectedLive::Unchecked) || planted!("live-guard-dropped") {
        return Ok(());
    }
    if rows.live.len() > 1 && !planted!("second-live-row-ignored") {
        return Err(AdapterError::Ambiguous { record: record.clone(), rows: rows.live.len() as u64 });
    }
    match (&change.expected_live, rows.live.first()) {
        (ExpectedLive::At(seen), Some((_, there))) => {
            let seen = image(record, seen)?;
            let written: &[PathChange] = match &change.live {
                LiveWrite::Update(changes) => changes,
                _ => &[],
            };
            let same_written = written.iter().all(|c| c.path.get(&seen.value) == c.path.get(&there.value));
            let same = seen.content().is_some() && seen.content() == there.content();
            if same && same_written { Ok(()) } else { Err(stale()) }
        }
        (ExpectedLive::Absent, None) => Ok(()),
        _ => Err(stale()),
    }
}

/// Computes the rows that a change writes.
pub(crate) fn writes(change: &Change, rows: &Rows) -> Result<Vec<RowWrite>, AdapterError> {
    let layout = layout();
    let record = &change.record;
    let number = layout.number(record).ok_or_else(|| damaged(record, "a record that nobody knows"))?;
    let table = layout.table_of(number);
    let collection = layout.collection(table);
    let row = |value: Value| Some(Datum::Row(Row::new(table, value)));
    let the_live_row = || match rows.live.as_slice() {
        [] => Err(AdapterError::StaleLive { record: record.clone() }),
        [(key, row)] => Ok((key.clone(), row)),
        [(key, row), ..] if planted!("second-live-row-ignored") => Ok((key.clone(), row)),
        rows => Err(AdapterError::Ambiguous { record: record.clone(), rows: rows.len() as u64 }),
    };
    let written = |value: &Value| match collection.live_when.matches(value) {
        true => Ok(()),
        false => Err(AdapterError::LiveRule { record: record.clone() }),
    };
    match &change.live {
        LiveWrite::Leave => Ok(Vec::new()),
        LiveWrite::Delete => {
            let (key, _) = the_live_row()?;
            if planted!("delete-by-id") {
                let all = rows.live.iter().chain(&rows.outside);
                return Ok(all.map(|(key, _)| (Some(key.clone()), None)).collect());
            }
            Ok(vec![(Some(key), None)])
        }
        LiveWrite::Update(changes) => {
            let (key, there) = the_live_row()?;
            let mut value = match (&change.expected_live, planted!("document-written-whole")) {
                (ExpectedLive::At(seen), true) => image(record, seen)?.value.as_ref().clone(),
                _ => there.value.as_ref().clone(),
            };
            apply_changes(&mut value, changes).map_err(|_| damaged(record, "changes that do not apply"))?;
            written(&value)?;
            Ok(vec![(Some(key), row(value))])
        }
        LiveWrite::Seed(doc) => {
            let value = seeded(collection, record, doc)?;
            if !rows.live.is_empty() {
                return Err(AdapterError::LiveRule { record: record.clone() });
            }
            written(&value)?;
            Ok(vec![(None, row(value))])
        }
        LiveWrite::Activate { retire, doc } => {
            let mut found = Vec::new();
            if !rows.live.is_empty() {
                let (key, there) = the_live_row()?;
                let mut retired = there.value.as_ref().clone();
                for (field, value) in retire.iter() {
                    retired.as_object_mut().expect("a row").insert(field.as_str(), value.clone());
                }
                found.push((Some(key), row(retired)));
            }
            let wanted = seeded(collection, record, doc)?;
            let content = oid(&wanted, &collection.policy).ok();
            let promoted = rows.outside.iter().find_map(|(key, there)| {
                let mut value = there.value.as_ref().clone();
                for (field, wanted) in collection.live_when.equality_pairs() {
                    value.as_object_mut()?.insert(field, wanted.clone());
                }
                (oid(&value, &collection.policy).ok() == content).then(|| (key.clone(), value))
            });
            match promoted {
                Some((key, value)) => found.push((Some(key), row(value))),
                None => found.push((None, row(wanted))),
            }
            Ok(found)
        }
        other => Err(damaged(record, &format!("a live write that nobody knows: {other:?}"))),
    }
}

/// The row that a document becomes: the live rule's pairs and the id laid over it.
fn seeded(collection: &CollectionConfig, record: &RecordKey, doc: &Value) -> Result<Value, AdapterError> {
    let mut value = doc.clone();
    let row = value.as_object_mut().ok_or_else(|| damaged(record, "a document that is no object"))?;
    for (field, wanted) in collection.live_when.equality_pairs() {
        row.insert(field, wanted.clone());
    }
    for (field, id) in collection.id_values(&record.id).unwrap_or_default() {
        row.insert(field, id);
    }
    Ok(value)
}
