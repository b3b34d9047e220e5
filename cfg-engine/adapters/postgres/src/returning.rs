//! A content that comes back: history knows the text it had.
//!
//! What the engine hands over is a value, and a value does not say how it was spelled: white space, `1.50`,
//! escapes. Where an older entry of the record has the same content, its texts are used again, for the live
//! row and for the new entry.

use std::collections::HashMap;

use cfg_engine::Value;
use cfg_engine::adapter::{AdapterError, Batch, Change, LiveWrite};
use cfg_engine::document::{Edit, PathChange};
use cfg_engine::history::{Op, RecordKey};
use tokio_postgres::types::Type;

use crate::column::Column;
use crate::connection::Conn;
use crate::errors::OrAdapterError;
use crate::sql::Params;

/// What the newest older entry with the same content holds.
#[derive(Debug, Clone)]
pub(crate) struct Returning {
    doc: String,
    native: Option<String>,
}

/// Finds the texts of contents that their records had before, in one question for the whole batch.
pub(crate) async fn find(conn: &Conn, batch: &Batch) -> Result<HashMap<RecordKey, Returning>, AdapterError> {
    let wanted: Vec<(&Change, [u8; 32])> = batch.changes().iter().filter_map(|c| Some((c, comes_back(c)?))).collect();
    if wanted.is_empty() {
        return Ok(HashMap::new());
    }
    let names = &conn.shared.names;
    let mut params = Params::default();
    let key = |part: fn(&RecordKey) -> &str| wanted.iter().map(|(c, _)| part(&c.record).to_owned()).collect::<Vec<_>>();
    let envs = params.texts(key(|r| r.env.as_str()));
    let collections = params.texts(key(|r| r.collection.as_str()));
    let ids = params.texts(key(|r| r.id.as_str()));
    let oids = params.add(wanted.iter().map(|(_, oid)| oid.to_vec()).collect::<Vec<_>>(), Type::BYTEA_ARRAY);
    let sql = format!(
        "SELECT k.n - 1, h.doc::text, h.doc_native::text \
         FROM unnest({envs}, {collections}, {ids}, {oids}) WITH ORDINALITY k(env, collection, id_key, oid, n) \
         JOIN {} r ON r.env = k.env AND r.collection = k.collection AND r.id_key = k.id_key \
         CROSS JOIN LATERAL (SELECT doc, doc_native FROM {} WHERE record_no = r.record_no AND oid = k.oid \
         AND doc IS NOT NULL ORDER BY seq DESC LIMIT 1) h",
        names.records, names.history
    );
    let mut found = HashMap::new();
    for row in conn.rows(&sql, &params).await.sql()? {
        let at: i64 = row.try_get(0).sql()?;
        let returning = Returning { doc: row.try_get(1).sql()?, native: row.try_get(2).sql()? };
        if let Some((change, _)) = usize::try_from(at).ok().and_then(|at| wanted.get(at)) {
            found.insert(change.record.clone(), returning);
        }
    }
    Ok(found)
}

/// Returns the content that a change brings back, if it says so.
fn comes_back(change: &Change) -> Option<[u8; 32]> {
    let entry = change.entries.last()?;
    let again = match &change.live {
        LiveWrite::Seed(_) | LiveWrite::Activate { .. } => entry.header.seq.0 > 1,
        LiveWrite::Update(_) => entry.header.op == Op::Restore,
        _ => entry.header.op == Op::Restore,
    };
    if again { entry.header.oid.map(|oid| *oid.as_bytes()) } else { None }
}

impl Returning {
    /// Returns the text of a document's column.
    pub(crate) fn text_of(&self, doc: &Value) -> Option<&str> {
        (self.native.is_none() && reads_as(&self.doc, doc)).then_some(self.doc.as_str())
    }

    /// Returns the text of a row's column.
    pub(crate) fn text_of_column(&self, column: &Column, value: &Value) -> Option<String> {
        let texts = Value::from_json(self.native.as_deref()?).ok()?;
        let text = texts.get(&column.name)?.as_str()?;
        let same = column.read(Some(text)).is_ok_and(|read| cfg_engine::document::same(&read, value));
        same.then(|| text.to_owned())
    }

    /// Returns the document and the texts to be stored with a new entry.
    pub(crate) fn for_entry(&self, doc: &Value) -> Option<(String, Option<String>)> {
        let read = match &self.native {
            None => Value::from_json(&self.doc),
            Some(_) => Value::from_interchange(&self.doc),
        };
        read.is_ok_and(|read| read == *doc).then(|| (self.doc.clone(), self.native.clone()))
    }

    /// Gives the numbers in changes of a document the spelling that they had.
    pub(crate) fn spelled(&self, changes: &[PathChange]) -> Vec<PathChange> {
        let Some(doc) = self.native.is_none().then(|| Value::from_json_verbatim(&self.doc).ok()).flatten() else {
            return changes.to_vec();
        };
        changes.iter().map(|change| PathChange { path: change.path.clone(), edit: spelled(&doc, change) }).collect()
    }
}

fn spelled(doc: &Value, change: &PathChange) -> Edit {
    match &change.edit {
        Edit::Set(value) => match change.path.get(doc) {
            Some(there) if cfg_engine::document::same(there, value) && there.type_name() == value.type_name() => {
                Edit::Set(there.clone())
            }
            _ => change.edit.clone(),
        },
        Edit::Unset => Edit::Unset,
    }
}

fn reads_as(text: &str, value: &Value) -> bool {
    Value::from_json(text).is_ok_and(|read| read == *value)
}
