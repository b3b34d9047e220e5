//! A batch as rows: everything that can be computed before the write lock is taken.

use std::sync::Arc;

use cfg_engine::Value;
use cfg_engine::adapter::{
    AdapterError, Batch, Change, ExpectedHead, ExpectedLive, HeadRef, LiveWrite, NewEntry, ObjectGuard, ObjectWrite,
    Overwrite, StoredDoc, TipRef,
};
use cfg_engine::document::{Edit, EntryId};
use cfg_engine::history::{DocState, RecordKey};

use crate::cell::find_beyond_json;
use crate::connection::Catalog;
use crate::errors::damaged;
use crate::heads::seq_column;
use crate::live::{Image, Native};
use crate::table::LiveTable;
use crate::{doc_shape, row_shape};

/// A batch, ready to be written.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) op_id: String,
    pub(crate) recorded_at: i64,
    pub(crate) changes: Vec<PreparedChange>,
    pub(crate) objects: Vec<PreparedObject>,
    /// Objects that are not written and must be as expected.
    pub(crate) guards: Vec<ObjectGuard>,
}

#[derive(Debug)]
pub(crate) struct PreparedChange {
    pub(crate) record: RecordKey,
    pub(crate) expected_head: ExpectedHead,
    pub(crate) expected_live: ExpectedLive,
    pub(crate) live: LiveWrite,
    pub(crate) entries: Vec<EntryRow>,
    /// Seq, `valid_to`, `superseded_at`.
    pub(crate) closed: Vec<(i64, i64, i64)>,
    pub(crate) new_head: Option<HeadRef>,
    pub(crate) new_tip: Option<TipRef>,
    /// Head and tip are what the entries say, and not what the row of the head says.
    pub(crate) is_mended: bool,
    /// Seq, git shas to be added.
    pub(crate) links: Vec<(i64, Vec<String>)>,
    /// What is overwritten of older entries.
    pub(crate) overwrites: Vec<Overwrite>,
}

impl Prepared {
    /// Returns whether the batch overwrites what is to be found nowhere afterwards.
    pub(crate) fn erases(&self) -> bool {
        self.changes.iter().any(|change| !change.overwrites.is_empty())
    }
}

/// One row of the table of entries, but for the record and what the batch says once.
#[derive(Debug)]
pub(crate) struct EntryRow {
    pub(crate) seq: i64,
    pub(crate) valid_from: i64,
    pub(crate) valid_to: i64,
    pub(crate) recorded_at: i64,
    pub(crate) superseded_at: i64,
    pub(crate) estimated: bool,
    pub(crate) op: &'static str,
    pub(crate) oid: Option<[u8; 32]>,
    pub(crate) entry_id: [u8; 32],
    pub(crate) prev_entry_id: Option<[u8; 32]>,
    pub(crate) op_id: String,
    pub(crate) author_id: String,
    pub(crate) author_class: &'static str,
    pub(crate) message_hash: [u8; 32],
    pub(crate) base: Option<String>,
    pub(crate) meta: Option<String>,
    pub(crate) git_shas: Option<String>,
    pub(crate) message: String,
    pub(crate) doc_state: &'static str,
    pub(crate) doc_native: Option<String>,
    pub(crate) doc: Option<String>,
}

#[derive(Debug)]
pub(crate) struct PreparedObject {
    pub(crate) write: ObjectWrite,
    pub(crate) body: Option<String>,
}

/// Turns a batch into rows.
///
/// # Errors
///
/// What the store cannot hold, and what no gate would have let through.
pub(crate) fn prepare(
    batch: &Batch,
    catalog: Option<&Catalog>,
    document_limit: usize,
) -> Result<Prepared, AdapterError> {
    let ordered = batch.changes().windows(2).all(|pair| pair[0].record < pair[1].record);
    if !ordered {
        return Err(damaged("the batch's records are not in ascending order, each once"));
    }
    let table = |record: &RecordKey| catalog.map(|catalog| catalog.table(&record.collection)).transpose();
    let change = |change: &Change| -> Result<PreparedChange, AdapterError> {
        let table = table(&change.record)?;
        check_live_write(table, change)?;
        let entries: Result<Vec<EntryRow>, _> =
            change.entries.iter().map(|new| entry(table, &change.record, new, document_limit)).collect();
        Ok(PreparedChange {
            record: change.record.clone(),
            expected_head: change.expected_head,
            expected_live: change.expected_live.clone(),
            live: change.live.clone(),
            entries: entries?,
            closed: change
                .closed
                .iter()
                .map(|(seq, ends)| (seq_column(*seq), ends.valid_to.as_millis(), ends.superseded_at.as_millis()))
                .collect(),
            new_head: change.new_head,
            new_tip: change.new_tip(),
            is_mended: change.mended_tip.is_some(),
            links: change.links.iter().map(|(seq, shas)| (seq_column(*seq), shas.clone())).collect(),
            overwrites: change.overwrites.clone(),
        })
    };
    let object = |write: &ObjectWrite| PreparedObject {
        body: write.body.as_ref().map(Value::to_interchange),
        write: ObjectWrite { key: write.key.clone(), expected: write.expected, body: None },
    };
    Ok(Prepared {
        op_id: batch.op_id().as_str().to_owned(),
        recorded_at: batch.recorded_at().as_millis(),
        changes: batch.changes().iter().map(change).collect::<Result<_, _>>()?,
        objects: batch.objects().iter().map(object).collect(),
        guards: batch.guards().to_vec(),
    })
}

/// Refuses values that a JSON column cannot hold. The row shape looks at each column as it writes it.
fn check_live_write(table: Option<&Arc<LiveTable>>, change: &Change) -> Result<(), AdapterError> {
    let of_doc = table.is_none_or(|table| table.doc.is_some());
    let unstorable = |path: String, what: &str| AdapterError::Unstorable {
        record: change.record.clone(),
        path,
        what: what.to_owned(),
    };
    match (&change.live, table) {
        (LiveWrite::Update(changes), _) if of_doc => {
            for change in changes {
                if let Edit::Set(value) = &change.edit
                    && let Some((path, what)) = find_beyond_json(value, change.path.clone())
                {
                    return Err(unstorable(path.to_string(), what));
                }
            }
            Ok(())
        }
        (LiveWrite::Seed(doc) | LiveWrite::Activate { doc, .. }, Some(table)) if of_doc => {
            doc_shape::check(table, &change.record, doc)
        }
        _ => Ok(()),
    }
}

fn entry(
    table: Option<&Arc<LiveTable>>,
    record: &RecordKey,
    new: &NewEntry,
    limit: usize,
) -> Result<EntryRow, AdapterError> {
    let header = &new.header;
    let (doc, doc_native) = match stored(table, record, &new.doc)? {
        Some((doc, native)) => (Some(doc), native),
        None => (None, None),
    };
    if let Some(doc) = doc.as_ref().filter(|doc| doc.len() > limit) {
        return Err(AdapterError::TooLarge { record: record.clone(), bytes: doc.len(), limit });
    }
    let list = |texts: Vec<String>| Value::from(texts).to_json();
    let meta = (!header.meta.is_empty()).then(|| Value::Object(header.meta.clone()).to_interchange());
    Ok(EntryRow {
        seq: seq_column(header.seq),
        valid_from: header.valid_from.as_millis(),
        valid_to: new.ends.valid_to.as_millis(),
        recorded_at: header.recorded_at.as_millis(),
        superseded_at: new.ends.superseded_at.as_millis(),
        estimated: header.valid_from_estimated,
        op: header.op.as_str(),
        oid: header.oid.map(|oid| *oid.as_bytes()),
        entry_id: *new.entry_id.as_bytes(),
        prev_entry_id: header.prev_entry_id.map(|id| *id.as_bytes()),
        op_id: header.op_id.as_str().to_owned(),
        author_id: header.author.id.clone(),
        author_class: header.author.class.as_str(),
        message_hash: *header.message.as_bytes(),
        base: header.base.as_ref().map(|base| list(base.iter().map(EntryId::to_hex).collect())),
        meta,
        git_shas: (!new.git_shas.is_empty()).then(|| list(new.git_shas.clone())),
        message: new.message.clone(),
        doc_state: if doc.is_some() { DocState::Present } else { DocState::None }.as_str(),
        doc_native,
        doc,
    })
}

/// Returns the text that history keeps of a document, and in the row shape the texts of JSON columns.
fn stored(
    table: Option<&Arc<LiveTable>>,
    record: &RecordKey,
    doc: &StoredDoc,
) -> Result<Option<(String, Option<String>)>, AdapterError> {
    let misapplied = || damaged(format!("the batch for {record}: its changes do not apply to the image"));
    match doc {
        StoredDoc::None => Ok(None),
        StoredDoc::Given(value) if table.is_some_and(|table| table.doc.is_none()) => {
            Ok(Some((value.to_interchange(), Some("{}".to_owned()))))
        }
        StoredDoc::Given(value) => match find_beyond_json(value, cfg_engine::document::FieldPath::root()) {
            Some((path, what)) => {
                Err(AdapterError::Unstorable { record: record.clone(), path: path.to_string(), what: what.to_owned() })
            }
            None => Ok(Some((value.to_json(), None))),
        },
        StoredDoc::Edited { image, changes } => {
            let image =
                image.get::<Image>().ok_or_else(|| damaged(format!("an image of another store for {record}")))?;
            match &image.native {
                Native::Doc(text) => {
                    doc_shape::edit(text, changes).map(|text| Some((text, None))).map_err(|_| misapplied())
                }
                Native::Row(cells) => row_shape::stored(&image.table, cells, changes)
                    .map(|(doc, texts)| Some((doc, Some(texts))))
                    .map_err(|_| misapplied()),
            }
        }
    }
}
