//! One batch inside a transaction: every expectation first, in the contract's order, then the rows.

use std::sync::Arc;

use cfg_engine::adapter::{
    AdapterError, ExpectedHead, ExpectedVersion, HeadState, Overwrite, StoredDigest, TipRef, overwritten_texts,
};
use cfg_engine::document::EntryId;
use cfg_engine::history::{DocState, Seq, Timestamp};
use cfg_engine::planted;
use rusqlite::{OptionalExtension, params};

use crate::connection::{Catalog, Conn};
use crate::errors::{OrAdapterError, damaged, from_sqlite};
use crate::heads::{self, seq_column};
use crate::live_write;
use crate::options::Names;
use crate::prepare::{EntryRow, Prepared, PreparedChange};
use crate::returning::{self, Returning};

/// How far a batch's time may lie behind or ahead of the store's clock.
const CLOCK_TOLERANCE_MS: i64 = 2000;

/// Checks and writes a batch; the caller holds the write lock and rolls back on an error.
pub(crate) fn apply(conn: &Conn, batch: &Prepared) -> Result<(), AdapterError> {
    let catalog = conn.catalog()?;
    catalog.require_history()?;
    let sql = Statements::new(&conn.shared.names);
    let standing =
        batch.changes.iter().map(|change| check_head(conn, &sql, change)).collect::<Result<Vec<Standing>, _>>()?;
    check_objects(conn, &sql, batch)?;
    check_clock(conn, batch, &standing)?;
    cfg_engine::reached!("sqlite/checked");
    for (change, standing) in batch.changes.iter().zip(standing) {
        write_change(conn, &catalog, &sql, change, standing)?;
    }
    write_objects(conn, &sql, batch)
}

/// Where a record stands.
struct Standing {
    record_no: Option<i64>,
    head: Option<HeadState>,
}

pub(crate) struct Statements {
    record: String,
    head: String,
    insert_record: String,
    insert_entry: String,
    close: String,
    head_of_entry: String,
    newest_entry: String,
    git_shas: String,
    link: String,
    stored: String,
    overwrite: String,
    put_head: String,
    object: String,
    insert_object: String,
    update_object: String,
    delete_object: String,
}

impl Statements {
    pub(crate) fn new(names: &Names) -> Self {
        let Names { records, heads, history, objects, .. } = names;
        Statements {
            // Two statements: one with an outer join is compiled anew each time its parameters change.
            record: format!("SELECT record_no FROM {records} WHERE env = ?1 AND collection = ?2 AND id_key = ?3"),
            head: format!("SELECT {} FROM {heads} h WHERE h.record_no = ?1", heads::COLUMNS),
            insert_record: format!("INSERT INTO {records} (env, collection, id_key) VALUES (?1, ?2, ?3)"),
            insert_entry: format!(
                "INSERT INTO {history} (record_no, seq, valid_from, valid_to, recorded_at, superseded_at, \
                 valid_from_estimated, op, oid, entry_id, prev_entry_id, op_id, author_id, author_class, message_hash, \
                 base, meta, git_shas, message, doc_state, doc_native, doc) VALUES ({})",
                crate::sql::placeholders(1, 22)
            ),
            close: format!("UPDATE {history} SET valid_to = ?1, superseded_at = ?2 WHERE record_no = ?3 AND seq = ?4"),
            head_of_entry: format!(
                "SELECT author_id, author_class, recorded_at FROM {history} WHERE record_no = ?1 AND seq = ?2"
            ),
            newest_entry: format!(
                "SELECT seq, entry_id, recorded_at FROM {history} WHERE record_no = ?1 ORDER BY seq DESC LIMIT 1"
            ),
            git_shas: format!("SELECT git_shas FROM {history} WHERE record_no = ?1 AND seq = ?2"),
            link: format!("UPDATE {history} SET git_shas = ?3 WHERE record_no = ?1 AND seq = ?2"),
            stored: format!(
                "SELECT doc_state, message, doc, doc_native FROM {history} WHERE record_no = ?1 AND seq = ?2"
            ),
            overwrite: format!(
                "UPDATE {history} SET doc_state = ?3, message = ?4, doc = ?5, doc_native = ?6 \
                 WHERE record_no = ?1 AND seq = ?2"
            ),
            put_head: format!(
                "INSERT INTO {heads} VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT (record_no) DO \
                 UPDATE SET head_seq = ?2, head_oid = ?3, head_entry_id = ?4, head_author_id = ?5, \
                 head_author_class = ?6, head_recorded_at = ?7, tip_seq = ?8, tip_entry_id = ?9, tip_recorded_at = ?10"
            ),
            object: format!("SELECT version FROM {objects} WHERE kind = ?1 AND name = ?2 AND body <> ''"),
            // An object that was deleted keeps its row, and with it its number.
            insert_object: format!(
                "INSERT INTO {objects} (kind, name, version, op_id, recorded_at, body) VALUES (?1, ?2, 1, ?3, ?4, ?5) \
                 ON CONFLICT (kind, name) DO UPDATE SET version = version + 1, op_id = excluded.op_id, \
                 recorded_at = excluded.recorded_at, body = excluded.body"
            ),
            update_object: format!(
                "UPDATE {objects} SET version = version + 1, op_id = ?3, recorded_at = ?4, body = ?5 \
                 WHERE kind = ?1 AND name = ?2"
            ),
            delete_object: format!(
                "UPDATE {objects} SET version = version + 1, op_id = ?3, recorded_at = ?4, body = '' \
                 WHERE kind = ?1 AND name = ?2"
            ),
        }
    }
}

impl Statements {
    /// Every statement that runs once per record.
    #[cfg(test)]
    pub(crate) fn per_record(&self) -> [&str; 10] {
        [
            &self.record,
            &self.head,
            &self.insert_record,
            &self.insert_entry,
            &self.close,
            &self.head_of_entry,
            &self.put_head,
            &self.object,
            &self.update_object,
            &self.delete_object,
        ]
    }
}

fn check_head(conn: &Conn, sql: &Statements, change: &PreparedChange) -> Result<Standing, AdapterError> {
    let record = &change.record;
    let key = [record.env.as_str(), record.collection.as_str(), record.id.as_str()];
    let record_no: Option<i64> = conn.statement(&sql.record)?.query_row(key, |row| row.get(0)).optional().sql()?;
    let mut standing = Standing { record_no, head: None };
    if let Some(record_no) = record_no {
        let mut statement = conn.statement(&sql.head)?;
        let mut rows = statement.query([record_no]).sql()?;
        if let Some(row) = rows.next().sql()? {
            match heads::read(row, 0) {
                Ok(head) => standing.head = Some(head),
                // A head that cannot be read is as good as lost.
                Err(_) if matches!(change.expected_head, ExpectedHead::Lost { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }
    let as_expected = match (&change.expected_head, &standing.head) {
        (ExpectedHead::Absent, None) => true,
        (ExpectedHead::At { head, .. }, Some(current)) if planted!("head-by-oid") => current.head.oid == head.oid,
        (ExpectedHead::At { head, .. }, Some(current)) if planted!("tip-not-compared") => current.head == *head,
        (ExpectedHead::At { head, tip }, Some(current)) => current.head == *head && current.tip == *tip,
        (ExpectedHead::Lost { tip }, None) => newest_entry(conn, sql, record_no)? == Some(*tip),
        _ => false,
    };
    if as_expected {
        return Ok(standing);
    }
    Err(AdapterError::StaleHead { record: record.clone(), current: standing.head.map(Box::new) })
}

/// Reads the tip as the entries have it.
fn newest_entry(conn: &Conn, sql: &Statements, record_no: Option<i64>) -> Result<Option<TipRef>, AdapterError> {
    let Some(record_no) = record_no else { return Ok(None) };
    let read = |row: &rusqlite::Row<'_>| -> rusqlite::Result<(i64, [u8; 32], i64)> {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?))
    };
    let found = conn.statement(&sql.newest_entry)?.query_row([record_no], read).optional().sql()?;
    Ok(found.and_then(|(seq, entry_id, recorded_at)| {
        Some(TipRef {
            seq: Seq(u64::try_from(seq).ok()?),
            entry_id: EntryId::from_bytes(entry_id),
            recorded_at: Timestamp::from_millis(recorded_at),
        })
    }))
}

fn check_objects(conn: &Conn, sql: &Statements, batch: &Prepared) -> Result<(), AdapterError> {
    let written = batch.objects.iter().map(|object| (&object.write.key, object.write.expected));
    for (key, expected) in written.chain(batch.guards.iter().map(|guard| (&guard.key, guard.expected))) {
        let (kind, name) = (&key.kind, &key.name);
        let version: Option<i64> =
            conn.statement(&sql.object)?.query_row([kind, name], |row| row.get(0)).optional().sql()?;
        let as_expected = match (expected, version) {
            _ if planted!("object-version-not-compared") => true,
            (ExpectedVersion::Absent, None) => true,
            (ExpectedVersion::At(wanted), Some(version)) => u64::try_from(version) == Ok(wanted),
            _ => false,
        };
        if !as_expected {
            return Err(AdapterError::StaleObject { kind: kind.clone(), name: name.clone() });
        }
    }
    Ok(())
}

/// Checks the batch's time: later than each tip, at most 2 s behind the store's clock, and at most 2 s
/// ahead of it unless it is exactly a tip plus 1 ms (the store's clock stepped back).
fn check_clock(conn: &Conn, batch: &Prepared, standing: &[Standing]) -> Result<(), AdapterError> {
    let now = conn.clock()?.store;
    let at = Timestamp::from_millis(batch.recorded_at);
    let newest = standing.iter().filter_map(|s| s.head.as_ref()).map(|head| head.tip.recorded_at).max();
    let after_tips = newest.is_none_or(|tip| at > tip);
    let behind = at < now.plus_millis(-CLOCK_TOLERANCE_MS);
    let ahead = at > now.plus_millis(CLOCK_TOLERANCE_MS) && newest.map(|tip| tip.plus_millis(1)) != Some(at);
    if (!after_tips || behind || ahead) && !planted!("clock-not-checked") {
        return Err(AdapterError::Clock { now });
    }
    Ok(())
}

fn write_change(
    conn: &Conn,
    catalog: &Arc<Catalog>,
    sql: &Statements,
    change: &PreparedChange,
    standing: Standing,
) -> Result<(), AdapterError> {
    let record = &change.record;
    let before = returning::find(conn, change, standing.record_no)?;
    live_write::write(conn, catalog, change, before.as_ref())?;
    cfg_engine::reached!("sqlite/live-written");
    if change.entries.is_empty() && standing.head.is_none() && !change.is_mended {
        return Ok(());
    }
    let record_no = match standing.record_no {
        Some(record_no) => record_no,
        None => {
            let key = [record.env.as_str(), record.collection.as_str(), record.id.as_str()];
            conn.statement(&sql.insert_record)?.insert(key).sql()?
        }
    };
    for entry in &change.entries {
        insert_entry(conn, sql, record_no, change, entry, before.as_ref())?;
        cfg_engine::reached!("sqlite/entry-written");
    }
    for (seq, valid_to, superseded_at) in change.closed.iter().filter(|_| !planted!("interval-not-closed")) {
        let closed = conn.statement(&sql.close)?.execute([*valid_to, *superseded_at, record_no, *seq]).sql()?;
        if closed != 1 {
            return Err(damaged(format!("entry {seq} of {record} is missing")));
        }
    }
    for (seq, shas) in &change.links {
        link(conn, sql, record_no, change, *seq, shas)?;
    }
    for overwrite in &change.overwrites {
        write_over(conn, sql, record_no, change, overwrite, standing.head.as_ref())?;
    }
    put_head(conn, sql, record_no, change, standing.head)
}

/// Overwrites what is stored of an older entry, if it is what was seen.
fn write_over(
    conn: &Conn,
    sql: &Statements,
    record_no: i64,
    change: &PreparedChange,
    overwrite: &Overwrite,
    head: Option<&HeadState>,
) -> Result<(), AdapterError> {
    type Stored = (String, String, Option<String>, Option<String>);
    let (record, seq) = (&change.record, seq_column(overwrite.seq));
    let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
    let stored: Option<Stored> = conn.statement(&sql.stored)?.query_row([record_no, seq], read).optional().sql()?;
    let (state, message, doc, native) = stored.ok_or_else(|| damaged(format!("entry {seq} of {record} is missing")))?;
    let of_entry = || damaged(format!("entry {seq} of {record} has a document state that there is not"));
    let parsed = DocState::parse(&state).ok_or_else(of_entry)?;
    let value = doc.as_deref().map(|doc| crate::entries::read_doc(doc, native.is_some())).transpose()?;
    if StoredDigest::of(parsed, &message, value.as_ref()) != overwrite.stored {
        return Err(AdapterError::StaleHead { record: record.clone(), current: head.cloned().map(Box::new) });
    }
    let (state, doc, native) = match (overwrite.changes.as_slice(), &doc) {
        ([], _) => (state, doc, native),
        (changes, Some(doc)) => {
            let written = overwritten_texts(doc, native.as_deref(), changes);
            let misapplied = || damaged(format!("the batch for {record}: its changes do not apply to entry {seq}"));
            let (doc, native) = written.ok_or_else(misapplied)?;
            (DocState::Redacted.as_str().to_owned(), Some(doc), native)
        }
        (_, None) => return Err(damaged(format!("entry {seq} of {record} has no document"))),
    };
    let message = overwrite.message.as_ref().unwrap_or(&message);
    conn.statement(&sql.overwrite)?.execute(params![record_no, seq, state, message, doc, native]).sql()?;
    Ok(())
}

/// Adds git shas to an entry; what it has stays.
fn link(
    conn: &Conn,
    sql: &Statements,
    record_no: i64,
    change: &PreparedChange,
    seq: i64,
    shas: &[String],
) -> Result<(), AdapterError> {
    let missing = || damaged(format!("entry {seq} of {} is missing", change.record));
    let stored: Option<String> = conn
        .statement(&sql.git_shas)?
        .query_row([record_no, seq], |row| row.get(0))
        .optional()
        .sql()?
        .ok_or_else(missing)?;
    let mut linked = stored.map_or_else(|| Ok(Vec::new()), |stored| crate::entries::read_list(&stored))?;
    let before = linked.len();
    for sha in shas {
        if !linked.contains(sha) {
            linked.push(sha.clone());
        }
    }
    if linked.len() > before {
        let linked = cfg_engine::Value::from(linked).to_json();
        conn.statement(&sql.link)?.execute(params![record_no, seq, linked]).sql()?;
    }
    Ok(())
}

fn insert_entry(
    conn: &Conn,
    sql: &Statements,
    record_no: i64,
    change: &PreparedChange,
    entry: &EntryRow,
    before: Option<&Returning>,
) -> Result<(), AdapterError> {
    let own = (entry.doc.as_deref(), entry.doc_native.as_deref());
    let (doc, doc_native) = before.map_or(own, |before| before.for_entry(entry));
    let written = conn.statement(&sql.insert_entry)?.execute(params![
        record_no,
        entry.seq,
        entry.valid_from,
        entry.valid_to,
        entry.recorded_at,
        entry.superseded_at,
        entry.estimated,
        entry.op,
        entry.oid,
        entry.entry_id,
        entry.prev_entry_id,
        entry.op_id,
        entry.author_id,
        entry.author_class,
        entry.message_hash,
        entry.base,
        entry.meta,
        entry.git_shas,
        entry.message,
        entry.doc_state,
        doc_native,
        doc,
    ]);
    match written {
        Ok(_) => Ok(()),
        // Only a damaged store has entries beyond the tip, or entries and no head.
        Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) => {
            Err(damaged(format!("{} has an entry {} beyond its head", change.record, entry.seq)))
        }
        Err(error) => Err(from_sqlite(&error)),
    }
}

fn put_head(
    conn: &Conn,
    sql: &Statements,
    record_no: i64,
    change: &PreparedChange,
    before: Option<HeadState>,
) -> Result<(), AdapterError> {
    let Some(head) = change.new_head else { return Ok(()) };
    let tip: Option<TipRef> = change.new_tip.or(before.as_ref().map(|before| before.tip));
    let Some(tip) = tip else { return Err(damaged(format!("a head of {} and no tip", change.record))) };
    let seq = seq_column(head.seq);
    let (author_id, author_class, recorded_at) = match change.entries.iter().find(|entry| entry.seq == seq) {
        Some(entry) => (entry.author_id.clone(), entry.author_class.to_owned(), entry.recorded_at),
        None => match before.filter(|before| !change.is_mended && before.head.entry_id == head.entry_id) {
            Some(before) => (before.author.id, before.author.class.as_str().to_owned(), before.recorded_at.as_millis()),
            None => conn
                .statement(&sql.head_of_entry)?
                .query_row([record_no, seq], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
                .optional()
                .sql()?
                .ok_or_else(|| damaged(format!("entry {seq} of {} is missing", change.record)))?,
        },
    };
    conn.statement(&sql.put_head)?
        .execute(params![
            record_no,
            seq,
            head.oid.map(|oid| *oid.as_bytes()),
            head.entry_id.as_bytes(),
            author_id,
            author_class,
            recorded_at,
            seq_column(tip.seq),
            tip.entry_id.as_bytes(),
            tip.recorded_at.as_millis(),
        ])
        .sql()?;
    Ok(())
}

fn write_objects(conn: &Conn, sql: &Statements, batch: &Prepared) -> Result<(), AdapterError> {
    for object in &batch.objects {
        let (kind, name) = (&object.write.key.kind, &object.write.key.name);
        match (&object.body, object.write.expected) {
            (None, _) => {
                let params = params![kind, name, batch.op_id, batch.recorded_at];
                conn.statement(&sql.delete_object)?.execute(params).sql()?
            }
            (Some(body), expected) => {
                let sql = match expected {
                    ExpectedVersion::Absent => &sql.insert_object,
                    ExpectedVersion::At(_) => &sql.update_object,
                };
                conn.statement(sql)?.execute(params![kind, name, batch.op_id, batch.recorded_at, body]).sql()?
            }
        };
    }
    Ok(())
}
