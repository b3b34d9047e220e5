//! A batch as rows: everything that can be computed without the database.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use cfg_engine::Value;
use cfg_engine::adapter::{AdapterError, Batch, Change, ExpectedLive, LiveWrite, NewEntry, StoredDoc};
use cfg_engine::document::{EditError, EntryId, FieldPath, PathChange};
use cfg_engine::history::{DocState, RecordKey, Timestamp};

use crate::array;
use crate::catalog::Catalog;
use crate::column::{Cell, Column, Default, Kind, Misfit, Writer, find_beyond_json};
use crate::errors::damaged;
use crate::heads::seq_column;
use crate::live::{Image, Native};
use crate::returning::Returning;
use crate::table::LiveTable;
use crate::{doc_shape, moment, row_shape};

/// A batch, ready to be written.
pub(crate) struct Prepared {
    pub(crate) batch: Arc<Batch>,
    /// In the order of the batch's changes.
    pub(crate) changes: Vec<PreparedChange>,
    /// The texts of the objects' bodies, in the order of the batch's writes.
    pub(crate) bodies: Vec<Option<String>>,
}

pub(crate) struct PreparedChange {
    /// The live table; absent only where live is neither looked at nor written.
    pub(crate) table: Option<Arc<LiveTable>>,
    pub(crate) before: Option<Returning>,
    pub(crate) entries: Vec<EntryRow>,
}

/// One row of the table of entries, but for the record's number.
pub(crate) struct EntryRow {
    pub(crate) seq: i64,
    pub(crate) valid_from: Timestamp,
    pub(crate) valid_to: Timestamp,
    pub(crate) recorded_at: Timestamp,
    pub(crate) superseded_at: Timestamp,
    pub(crate) estimated: bool,
    pub(crate) op: &'static str,
    pub(crate) oid: Option<Vec<u8>>,
    pub(crate) entry_id: Vec<u8>,
    pub(crate) prev_entry_id: Option<Vec<u8>>,
    pub(crate) op_id: String,
    pub(crate) author_id: String,
    pub(crate) author_class: &'static str,
    pub(crate) message_hash: Vec<u8>,
    pub(crate) base: Option<String>,
    pub(crate) meta: Option<String>,
    pub(crate) git_shas: Option<String>,
    pub(crate) message: String,
    pub(crate) doc_state: &'static str,
    pub(crate) doc_native: Option<String>,
    pub(crate) doc: Option<String>,
}

/// Turns a batch into rows.
///
/// # Errors
///
/// What the store cannot hold, and what no gate would have let through.
pub(crate) fn prepare(
    batch: &Arc<Batch>,
    catalog: &Catalog,
    mut before: HashMap<RecordKey, Returning>,
    document_limit: usize,
) -> Result<Prepared, AdapterError> {
    if !batch.changes().windows(2).all(|pair| pair[0].record < pair[1].record) {
        return Err(damaged("the batch's records are not in ascending order, each once"));
    }
    let change = |change: &Change| -> Result<PreparedChange, AdapterError> {
        let before = before.remove(&change.record);
        let idle = matches!(change.live, LiveWrite::Leave) && matches!(change.expected_live, ExpectedLive::Unchecked);
        let table = match catalog.table(&change.record.collection) {
            Ok(table) => Some(Arc::clone(table)),
            // What only history holds can be written while the table is not there.
            Err(_) if idle => None,
            Err(error) => return Err(error),
        };
        check_live_write(table.as_deref(), change)?;
        let entries = change
            .entries
            .iter()
            .map(|new| entry(table.as_deref(), &change.record, new, before.as_ref(), document_limit));
        let entries = entries.collect::<Result<Vec<EntryRow>, _>>()?;
        Ok(PreparedChange { table, before, entries })
    };
    Ok(Prepared {
        changes: batch.changes().iter().map(change).collect::<Result<_, _>>()?,
        bodies: batch.objects().iter().map(|write| write.body.as_ref().map(Value::to_interchange)).collect(),
        batch: Arc::clone(batch),
    })
}

/// Refuses values that the document's column cannot hold. The row shape looks at each column as it writes it.
fn check_live_write(table: Option<&LiveTable>, change: &Change) -> Result<(), AdapterError> {
    match (&change.live, table) {
        (LiveWrite::Update(changes), Some(table)) if table.doc.is_some() => {
            doc_shape::check_changes(table, &change.record, changes)
        }
        (LiveWrite::Seed(doc) | LiveWrite::Activate { doc, .. }, Some(table)) if table.doc.is_some() => {
            doc_shape::check(table, &change.record, doc)
        }
        _ => Ok(()),
    }
}

fn entry(
    table: Option<&LiveTable>,
    record: &RecordKey,
    new: &NewEntry,
    before: Option<&Returning>,
    limit: usize,
) -> Result<EntryRow, AdapterError> {
    let header = &new.header;
    let (doc, doc_native) = match stored(table, record, &new.doc, before)? {
        Some((doc, native)) => (Some(doc), native),
        None => (None, None),
    };
    if let Some(doc) = doc.as_ref().filter(|doc| doc.len() > limit) {
        return Err(AdapterError::TooLarge { record: record.clone(), bytes: doc.len(), limit });
    }
    let texts = [("message", &new.message), ("author", &header.author.id)];
    if let Some((path, _)) = texts.into_iter().find(|(_, text)| text.contains('\0')) {
        return Err(Misfit::new(&FieldPath::key(path), "the character U+0000").of(record));
    }
    let list = |texts: Vec<String>| Value::from(texts).to_json();
    let shas: Vec<Option<&str>> = new.git_shas.iter().map(|sha| Some(sha.as_str())).collect();
    Ok(EntryRow {
        seq: seq_column(header.seq),
        valid_from: header.valid_from,
        valid_to: new.ends.valid_to,
        recorded_at: header.recorded_at,
        superseded_at: new.ends.superseded_at,
        estimated: header.valid_from_estimated,
        op: header.op.as_str(),
        oid: header.oid.map(|oid| oid.as_bytes().to_vec()),
        entry_id: new.entry_id.as_bytes().to_vec(),
        prev_entry_id: header.prev_entry_id.map(|id| id.as_bytes().to_vec()),
        op_id: header.op_id.as_str().to_owned(),
        author_id: header.author.id.clone(),
        author_class: header.author.class.as_str(),
        message_hash: header.message.as_bytes().to_vec(),
        base: header.base.as_ref().map(|base| list(base.iter().map(EntryId::to_hex).collect())),
        meta: (!header.meta.is_empty()).then(|| Value::Object(header.meta.clone()).to_interchange()),
        git_shas: (!shas.is_empty()).then(|| array::text(&shas)),
        message: new.message.clone(),
        doc_state: if doc.is_some() { DocState::Present } else { DocState::None }.as_str(),
        doc_native,
        doc,
    })
}

/// Returns the text that history keeps of a document, and in the row shape the texts of columns.
fn stored(
    table: Option<&LiveTable>,
    record: &RecordKey,
    doc: &StoredDoc,
    before: Option<&Returning>,
) -> Result<Option<(String, Option<String>)>, AdapterError> {
    let misapplied = || damaged(format!("the batch for {record}: its changes do not apply to the image"));
    let of_row = table.is_some_and(|table| table.doc.is_none());
    match doc {
        StoredDoc::None => Ok(None),
        StoredDoc::Given(value) => {
            if let Some(texts) = before.and_then(|before| before.for_entry(value)) {
                return Ok(Some(texts));
            }
            if of_row {
                return Ok(Some((value.to_interchange(), Some("{}".to_owned()))));
            }
            // The history's own column is `json`, which takes what `jsonb` may not.
            match find_beyond_json(value, FieldPath::root(), false) {
                Some((path, what)) => Err(Misfit::new(&path, what).of(record)),
                None => Ok(Some((value.to_json(), None))),
            }
        }
        StoredDoc::Edited { image, changes } => {
            let image = Image::of(image, record)?;
            match &image.native {
                Native::Doc(text) => {
                    edit_doc(text, changes, before).map(|text| Some((text, None))).map_err(|_| misapplied())
                }
                Native::Row(cells) => row_shape::stored(&image.table, cells, changes, before)
                    .map(|(doc, texts)| Some((doc, Some(texts))))
                    .map_err(|_| misapplied()),
            }
        }
    }
}

/// What one change does to its live table, made out against what is known to be there.
pub(crate) struct LiveStep {
    pub(crate) table: Arc<LiveTable>,
    /// The texts of the id's columns.
    pub(crate) id: Vec<String>,
    pub(crate) guard: Guard,
    pub(crate) write: RowWrite,
    /// Whether what the table makes of the write must be looked at before it is committed.
    pub(crate) verify: bool,
}

/// What must hold of the live rows of an id.
#[derive(Debug, PartialEq)]
pub(crate) enum Guard {
    /// Nothing.
    None,
    /// There is none.
    Absent,
    /// There is one, and it is this.
    Is(String),
}

/// What happens to the live row.
#[derive(Debug, PartialEq)]
pub(crate) enum RowWrite {
    None,
    Set(BTreeMap<usize, Cell>),
    Insert(BTreeMap<usize, Cell>),
    Delete,
}

/// Makes out what a change does to a live row that is `seen`.
///
/// `Ok(None)` where live is neither looked at nor written.
pub(crate) fn live_step(
    change: &Change,
    prepared: &PreparedChange,
    seen: Option<&Image>,
) -> Result<Option<LiveStep>, AdapterError> {
    let record = &change.record;
    let idle = matches!(change.live, LiveWrite::Leave) && matches!(change.expected_live, ExpectedLive::Unchecked);
    let Some(table) = prepared.table.as_ref().filter(|_| !idle) else { return Ok(None) };
    let stale = || AdapterError::StaleLive { record: record.clone() };
    let rule = || AdapterError::LiveRule { record: record.clone() };
    let write = match (&change.live, seen) {
        (LiveWrite::Leave, _) => RowWrite::None,
        (LiveWrite::Update(changes), Some(image)) => update(table, change, image, changes, prepared)?,
        (LiveWrite::Delete, Some(_)) => RowWrite::Delete,
        (LiveWrite::Update(_) | LiveWrite::Delete, None) => return Err(stale()),
        (LiveWrite::Seed(_), Some(_)) => return Err(rule()),
        (LiveWrite::Seed(doc), None) => RowWrite::Insert(seed(table, record, doc, prepared.before.as_ref())?),
        // Under locks the rows take turns before this; what is left is a row that is not there yet.
        (LiveWrite::Activate { doc, .. }, None) => {
            RowWrite::Insert(seed(table, record, doc, prepared.before.as_ref())?)
        }
        _ => return Err(damaged(format!("the batch for {record}: a live write this adapter does not know"))),
    };
    // An id that no row can have: nothing is there, and nothing can be put there.
    let id = match (table.id_texts(&record.id), &write) {
        (Some(id), _) => id,
        (None, RowWrite::None) if matches!(change.expected_live, ExpectedLive::Absent) => return Ok(None),
        (None, RowWrite::Insert(_)) => return Err(rule()),
        (None, _) => return Err(stale()),
    };
    let guard = match (seen, &change.expected_live) {
        (Some(image), _) => Guard::Is(image.text()),
        (None, ExpectedLive::Unchecked) => Guard::None,
        (None, _) => Guard::Absent,
    };
    let verify = must_verify(table, &write);
    Ok(Some(LiveStep { table: Arc::clone(table), id, guard, write, verify }))
}

fn update(
    table: &LiveTable,
    change: &Change,
    image: &Image,
    changes: &[PathChange],
    prepared: &PreparedChange,
) -> Result<RowWrite, AdapterError> {
    let before = prepared.before.as_ref();
    let written = match (&image.native, table.doc) {
        (Native::Doc(text), Some(at)) => {
            let edited = match entered(change, text, changes, prepared) {
                Some(edited) => edited.to_owned(),
                None => edit_doc(text, changes, before).map_err(|_| misapplied(change, image))?,
            };
            if *edited == **text { BTreeMap::new() } else { BTreeMap::from([(at, Some(edited))]) }
        }
        (Native::Row(cells), None) if cells.len() == table.columns.len() => {
            row_shape::edit(table, cells, changes, before).map_err(|misfit| misfit.of(&change.record))?
        }
        _ => return Err(AdapterError::StaleLive { record: change.record.clone() }),
    };
    Ok(if written.is_empty() { RowWrite::None } else { RowWrite::Set(written) })
}

/// The document's text in the new entry, where that is made by the same changes of the same text.
fn entered<'p>(
    change: &Change,
    text: &Arc<str>,
    changes: &[PathChange],
    prepared: &'p PreparedChange,
) -> Option<&'p str> {
    let StoredDoc::Edited { image, changes: entered } = &change.entries.last()?.doc else { return None };
    let Native::Doc(seen) = &image.get::<Image>()?.native else { return None };
    let same = Arc::ptr_eq(seen, text) && entered.as_slice() == changes;
    same.then(|| prepared.entries.last()?.doc.as_deref())?
}

/// Edits a document's text; what then reads as it did once takes the text that it had.
fn edit_doc(text: &str, changes: &[PathChange], before: Option<&Returning>) -> Result<String, EditError> {
    let Some(before) = before else { return doc_shape::edit(text, changes) };
    let edited = doc_shape::edit(text, &before.spelled(changes))?;
    let again = Value::from_json(&edited).ok().and_then(|value| before.text_of(&value).map(str::to_owned));
    Ok(again.unwrap_or(edited))
}

/// Changes that were made for another document do not apply to this one: it moved.
fn misapplied(change: &Change, there: &Image) -> AdapterError {
    let seen = match &change.expected_live {
        ExpectedLive::At(image) => image.get::<Image>().map(|image| &image.native),
        _ => None,
    };
    if seen.is_some_and(|seen| *seen != there.native) {
        return AdapterError::StaleLive { record: change.record.clone() };
    }
    damaged(format!("the batch for {}: its changes do not apply to the live document", change.record))
}

/// Makes a new row: the document, over it the live rule's equality pairs, over both the id.
pub(crate) fn seed(
    table: &LiveTable,
    record: &RecordKey,
    doc: &Value,
    before: Option<&Returning>,
) -> Result<BTreeMap<usize, Cell>, AdapterError> {
    let rule = || AdapterError::LiveRule { record: record.clone() };
    let mut row: BTreeMap<usize, Cell> = match table.doc {
        Some(at) => {
            let text = before.and_then(|before| before.text_of(doc)).map_or_else(|| doc.to_json(), str::to_owned);
            BTreeMap::from([(at, Some(text))])
        }
        None => row_shape::seed(table, doc, before).map_err(|misfit| misfit.of(record))?,
    };
    let ids = table.id_parts(&record.id).ok_or_else(rule)?;
    let pairs = table.config.live_when.equality_pairs().map(|(field, value)| (table.column(field), value));
    let ids = table.id.iter().map(|at| Some(*at)).zip(&ids);
    for (at, value) in pairs.chain(ids) {
        let Some(at) = at.filter(|at| table.columns[*at].writer == Writer::Anyone) else { continue };
        row.insert(at, table.columns[at].write(value).map_err(|_| rule())?);
    }
    Ok(row)
}

/// Returns whether the table may make something else of a write than what is written.
fn must_verify(table: &LiveTable, write: &RowWrite) -> bool {
    let plain = |(at, cell): (&usize, &Cell)| is_kept_as_written(&table.columns[*at], cell.as_deref());
    match write {
        RowWrite::None => false,
        // Whether the row holds what history could not bring back is seen only there.
        RowWrite::Delete => table.doc.is_some() && !others(table).is_empty(),
        RowWrite::Set(cells) => {
            cells.keys().any(|at| table.decides_liveness(*at)) || (table.doc.is_none() && !cells.iter().all(plain))
        }
        RowWrite::Insert(cells) => {
            let pairs = table.config.live_when.equality_pairs().count();
            let by_pairs = pairs == table.config.live_when.conditions().len()
                && table
                    .config
                    .live_when
                    .conditions()
                    .iter()
                    .all(|(field, _)| table.column(field).is_some_and(|at| cells.contains_key(&at)));
            let left_out = |(at, column): (usize, &Column)| {
                !cells.contains_key(&at) && column.writer == Writer::Anyone && column.default != Default::None
            };
            !by_pairs
                || table.has_row_triggers
                || (table.doc.is_none() && (!cells.iter().all(plain) || table.columns.iter().enumerate().any(left_out)))
        }
    }
}

/// Returns whether a column gives back exactly what is written to it. What it cannot hold was refused.
fn is_kept_as_written(column: &Column, cell: Option<&str>) -> bool {
    fn plain(kind: &Kind) -> bool {
        !matches!(kind, Kind::Store(_) | Kind::Money | Kind::Array(_) | Kind::Moment(_))
    }
    let Some(cell) = cell else { return true };
    match &column.kind {
        Kind::Moment(_) => moment::millis(cell).is_some(),
        Kind::Array(element) => plain(element) && array::parse(cell).is_some(),
        kind => plain(kind),
    }
}

/// Returns the places of columns beside the document that a deletion would lose.
pub(crate) fn others(table: &LiveTable) -> Vec<usize> {
    let other = |at: &usize| {
        Some(*at) != table.doc && !table.decides_liveness(*at) && table.columns[*at].writer == Writer::Anyone
    };
    (0..table.columns.len()).filter(other).collect()
}
