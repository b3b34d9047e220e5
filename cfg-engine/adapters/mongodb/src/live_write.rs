//! The live documents of a batch, read inside the transaction: what is expected of them, and what is
//! written to them.

use std::collections::BTreeMap;
use std::sync::Arc;

use bson::raw::{RawDocument, RawDocumentBuf, cstr};
use bson::rawdoc;
use cfg_engine::Value;
use cfg_engine::adapter::{AdapterError, Change, ExpectedLive, LiveWrite};
use cfg_engine::document::{Object, PathChange, apply_changes, oid};
use cfg_engine::history::{IdKey, RecordKey};
use mongodb::ClientSession;

use crate::apply::{Ended, ended, leaves_live_unread};
use crate::command::{edit, set};
use crate::errors::damaged;
use crate::expr;
use crate::prepare::{Prepared, seed};
use crate::store::Store;
use crate::table::{Image, LiveTable, unstorable};
use crate::values;

/// What is written to one collection of live documents, each statement with its record.
pub(crate) struct LiveWrites {
    pub(crate) table: Arc<LiveTable>,
    pub(crate) updates: Vec<(RecordKey, RawDocumentBuf)>,
    pub(crate) deletes: Vec<(RecordKey, RawDocumentBuf)>,
    pub(crate) inserts: Vec<(RecordKey, RawDocumentBuf)>,
}

/// Checks what the changes expect of live, and returns what they write to it.
pub(crate) async fn check(
    store: &Store,
    session: &mut ClientSession,
    prepared: &Prepared<'_>,
) -> Result<Vec<LiveWrites>, Ended> {
    let mut by_table: BTreeMap<&str, (Arc<LiveTable>, Vec<&Change>)> = BTreeMap::new();
    for change in prepared.changes.iter().map(|prepared| prepared.change) {
        if leaves_live_unread(change) {
            continue;
        }
        let table = store.table(&change.record.collection)?;
        let entry =
            by_table.entry(change.record.collection.as_str()).or_insert_with(|| (Arc::clone(table), Vec::new()));
        entry.1.push(change);
    }
    let mut all = Vec::new();
    for (table, changes) in by_table.into_values() {
        let mut rows = live_rows(store, session, &table, &changes).await?;
        let mut writes = LiveWrites { table, updates: Vec::new(), deletes: Vec::new(), inserts: Vec::new() };
        for change in changes {
            let rows = rows.remove(&change.record.id).unwrap_or_default();
            check_one(&writes.table, change, &rows)?;
            write_one(store, session, &mut writes, change, &rows).await?;
        }
        all.push(writes);
    }
    Ok(all)
}

/// Reads the live documents of these records, inside the transaction.
async fn live_rows(
    store: &Store,
    session: &mut ClientSession,
    table: &LiveTable,
    changes: &[&Change],
) -> Result<BTreeMap<IdKey, Vec<RawDocumentBuf>>, Ended> {
    let mut filter = table.with_ids(changes.iter().map(|change| &change.record.id));
    let live = table.live_filter();
    if !live.is_empty() {
        filter = bson::doc! { "$and": [filter, live] };
    }
    let collection = store.live_collection(table);
    let mut cursor = collection.find(filter).session(&mut *session).await.map_err(|error| ended(store, &error))?;
    let mut rows: BTreeMap<IdKey, Vec<RawDocumentBuf>> = BTreeMap::new();
    while cursor.advance(session).await.map_err(|error| ended(store, &error))? {
        let row = cursor.current();
        if let Some(id) = table.id_of(row).filter(|_| table.is_live_raw(row)) {
            rows.entry(id).or_default().push(row.to_owned());
        }
    }
    Ok(rows)
}

fn check_one(table: &LiveTable, change: &Change, rows: &[RawDocumentBuf]) -> Result<(), AdapterError> {
    let record = &change.record;
    let stale = || AdapterError::StaleLive { record: record.clone() };
    match (&change.expected_live, rows) {
        (ExpectedLive::Unchecked, _) | (ExpectedLive::Absent, []) => Ok(()),
        (_, [_, _, ..]) => Err(AdapterError::Ambiguous { record: record.clone(), rows: rows.len() as u64 }),
        (ExpectedLive::At(image), [there]) => {
            let image =
                image.get::<Image>().ok_or_else(|| damaged(format!("an image of another store for {record}")))?;
            let changes: &[PathChange] = match &change.live {
                LiveWrite::Update(changes) => changes,
                _ => &[],
            };
            if table.unmoved(image, there, changes) { Ok(()) } else { Err(stale()) }
        }
        _ => Err(stale()),
    }
}

async fn write_one(
    store: &Store,
    session: &mut ClientSession,
    writes: &mut LiveWrites,
    change: &Change,
    rows: &[RawDocumentBuf],
) -> Result<(), Ended> {
    let record = &change.record;
    let only = || match rows {
        [] => Err(AdapterError::StaleLive { record: record.clone() }),
        [row] => Ok(row),
        rows => Err(AdapterError::Ambiguous { record: record.clone(), rows: rows.len() as u64 }),
    };
    match &change.live {
        LiveWrite::Leave => {}
        LiveWrite::Update(changes) => {
            if let Some(statement) = update(store, &writes.table, change, changes, only()?)? {
                writes.updates.push((record.clone(), statement));
            }
        }
        LiveWrite::Delete => {
            writes.deletes.push((record.clone(), rawdoc! { "q": by_place(store, only()?), "limit": 1 }));
        }
        LiveWrite::Seed(doc) => {
            if !rows.is_empty() {
                return Err(AdapterError::LiveRule { record: record.clone() }.into());
            }
            insert(store, session, writes, change, doc).await?;
        }
        LiveWrite::Activate { retire, doc } => activate(store, session, writes, change, rows, retire, doc).await?,
        _ => return Err(damaged(format!("the batch for {record}: a live write this adapter does not know")).into()),
    }
    Ok(())
}

/// Inserts a document that becomes the live one.
async fn insert(
    store: &Store,
    session: &mut ClientSession,
    writes: &mut LiveWrites,
    change: &Change,
    doc: &Value,
) -> Result<(), Ended> {
    let record = &change.record;
    let seeded = seed(&writes.table, record, doc)?;
    writes.table.check(record, &seeded)?;
    let raw = match returning(store, session, &writes.table, change).await? {
        Some(before) => writes.table.rewritten(&before, &seeded),
        None => values::write_object(seeded.as_object().unwrap_or(&Object::new())),
    };
    let raw = raw.map_err(|misfit| unstorable(record, misfit.path.to_string(), misfit.what))?;
    writes.inserts.push((record.clone(), raw));
    Ok(())
}

/// Retires the live document, then promotes one that has the content already, or inserts one.
async fn activate(
    store: &Store,
    session: &mut ClientSession,
    writes: &mut LiveWrites,
    change: &Change,
    rows: &[RawDocumentBuf],
    retire: &Object,
    doc: &Value,
) -> Result<(), Ended> {
    let (record, table) = (&change.record, Arc::clone(&writes.table));
    let rule = || AdapterError::LiveRule { record: record.clone() };
    let misfit = |misfit: values::Misfit| unstorable(record, misfit.path.to_string(), misfit.what);
    match rows {
        [] => {}
        [row] => {
            let old = table.value(row).map_err(|_| AdapterError::StaleLive { record: record.clone() })?;
            let retired = lay(&old, retire.iter().map(|(field, value)| (field.as_str(), value)));
            if table.is_live(&retired) {
                return Err(rule().into());
            }
            let edited = expr::rewrite(&old, &retired).map_err(misfit)?;
            writes.updates.push((record.clone(), edit(&by_place(store, row), edited.document)));
        }
        rows => return Err(AdapterError::Ambiguous { record: record.clone(), rows: rows.len() as u64 }.into()),
    }
    let policy = &table.config.policy;
    let wanted = oid(&seed(&table, record, doc)?, policy);
    let collection = store.live_collection(&table);
    let find = collection.find(table.with_ids(std::iter::once(&record.id))).session(&mut *session).await;
    let mut cursor = find.map_err(|error| ended(store, &error))?;
    while cursor.advance(session).await.map_err(|error| ended(store, &error))? {
        let row = cursor.current();
        if table.id_of(row).as_ref() != Some(&record.id) || table.is_live_raw(row) {
            continue;
        }
        let Ok(old) = table.value(row) else { continue };
        let promoted = lay(&old, table.config.live_when.equality_pairs());
        let same = matches!((&wanted, oid(&promoted, policy)), (Ok(a), Ok(b)) if *a == b);
        if same && table.is_live(&promoted) {
            let edited = expr::rewrite(&old, &promoted).map_err(misfit)?;
            writes.updates.push((record.clone(), edit(&by_place(store, row), edited.document)));
            return Ok(());
        }
    }
    insert(store, session, writes, change, doc).await
}

fn lay<'f>(doc: &Value, fields: impl Iterator<Item = (&'f str, &'f Value)>) -> Value {
    let mut laid = doc.clone();
    if let Some(object) = laid.as_object_mut() {
        fields.for_each(|(field, value)| drop(object.insert(field, value.clone())));
    }
    laid
}

/// The stored document of the newest version of a record that was there before: a record that comes back
/// gets its `_id` back, and the bytes of what is as it was.
async fn returning(
    store: &Store,
    session: &mut ClientSession,
    table: &LiveTable,
    change: &Change,
) -> Result<Option<RawDocumentBuf>, Ended> {
    if matches!(change.expected_head, cfg_engine::adapter::ExpectedHead::Absent) {
        return Ok(None);
    }
    let range = crate::entries::of_record(&change.record);
    let collection = store.entries();
    let mut cursor = collection
        .find(bson::doc! { "_id": range, "doc_state": "present" })
        .sort(bson::doc! { "_id": -1 })
        .limit(1)
        .projection(bson::doc! { "doc": 1 })
        .session(&mut *session)
        .await
        .map_err(|error| ended(store, &error))?;
    if !cursor.advance(session).await.map_err(|error| ended(store, &error))? {
        return Ok(None);
    }
    let before = cursor.current().get_document("doc").ok().map(ToOwned::to_owned);
    let Some(before) = before.filter(|_| table.hides_id) else { return Ok(before_if_shown(cursor.current(), table)) };
    // Somebody may have used the place since.
    let Ok(Some(id)) = before.get("_id") else { return Ok(Some(before)) };
    let mut filter = RawDocumentBuf::new();
    filter.append(cstr!("_id"), id);
    let Ok(filter) = bson::Document::try_from(filter.as_ref()) else { return Ok(None) };
    let taken = store.live_collection(table).find(filter).limit(1).session(&mut *session).await;
    let mut taken = taken.map_err(|error| ended(store, &error))?;
    let free = !taken.advance(session).await.map_err(|error| ended(store, &error))?;
    Ok(free.then_some(before))
}

fn before_if_shown(row: &RawDocument, table: &LiveTable) -> Option<RawDocumentBuf> {
    row.get_document("doc").ok().filter(|_| !table.hides_id).map(ToOwned::to_owned)
}

/// Where a document is: its `_id`. Without a transaction, it is found only as it was read.
fn by_place(store: &Store, row: &RawDocument) -> RawDocumentBuf {
    let mut q = RawDocumentBuf::new();
    if let Ok(Some(id)) = row.get("_id") {
        q.append(cstr!("_id"), id);
    }
    if !store.transactional {
        q.append(cstr!("$expr"), expr::is_exactly(row));
    }
    q
}

/// The statement that makes the changes in what the document holds now.
fn update(
    store: &Store,
    table: &LiveTable,
    change: &Change,
    changes: &[PathChange],
    row: &RawDocument,
) -> Result<Option<RawDocumentBuf>, AdapterError> {
    let record = &change.record;
    let stale = || AdapterError::StaleLive { record: record.clone() };
    let seen = match &change.expected_live {
        ExpectedLive::At(image) => image.get::<Image>(),
        _ => None,
    };
    let unmoved = seen.filter(|seen| seen.raw.as_bytes() == row.as_bytes());
    let old = match unmoved {
        Some(seen) => Arc::clone(&seen.seen),
        None => Arc::new(table.value(row).map_err(|_| stale())?),
    };
    let mut new = Value::clone(&old);
    if apply_changes(&mut new, changes).is_err() {
        // To a document that moved meanwhile, or at all?
        if seen.is_some() && unmoved.is_none() {
            return Err(stale());
        }
        return Err(damaged(format!("the batch for {record}: its changes do not apply to the live document")));
    }
    values::keep_widths(&old, &mut new);
    check_written(table, record, &new)?;
    let misfit = |misfit: values::Misfit| unstorable(record, misfit.path.to_string(), misfit.what);
    let edited = expr::rewrite(&old, &new).map_err(misfit)?;
    if edited.writes.is_empty() {
        return Ok(None);
    }
    let place = by_place(store, row);
    Ok(Some(match expr::fields(&old, &new, &edited.writes).map_err(misfit)? {
        Some(fields) => set(&place, fields),
        None => edit(&place, edited.document),
    }))
}

/// Checks a document as it would be written: still this record, still live, still storable.
pub(crate) fn check_written(table: &LiveTable, record: &RecordKey, new: &Value) -> Result<(), AdapterError> {
    table.check(record, new)?;
    let has_id = |field: &String| new.get(field).is_some_and(|value| !value.is_null());
    if !table.config.id_fields.iter().all(has_id) || !table.is_live(new) {
        return Err(AdapterError::LiveRule { record: record.clone() });
    }
    Ok(())
}
