//! Reads of history, each one statement, in the contract's order.

use std::collections::BTreeSet;

use async_trait::async_trait;
use cfg_engine::Value;
use cfg_engine::adapter::{AdapterError, Detail, EntryAddress, EntryQuery, Order, Scope};
use cfg_engine::document::{EntryId, Object, Oid};
use cfg_engine::history::{
    Author, CollectionName, DocState, Entry, EntryHeader, EnvName, MessageHash, Op, OpId, RecordKey, Timestamp,
};
use futures_util::TryStreamExt;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::catalog::Catalog;
use crate::connection::Conn;
use crate::errors::{OrAdapterError, damaged};
use crate::heads::{author_class, hash, hash_or_null, instant, seq, seq_column, stored_id};
use crate::read::texts;
use crate::readers::{Halt, Read, Sink};
use crate::sql::Params;

/// The entries that a query asks for.
pub(crate) struct Entries(pub(crate) EntryQuery);

/// The addresses of a scope's entries.
pub(crate) struct Addresses(pub(crate) EnvName, pub(crate) Scope);

#[async_trait]
impl Read for Entries {
    type Row = Row;

    async fn run(&self, conn: &Conn, catalog: &Catalog, out: &mut Sink<Row>) -> Result<(), Halt> {
        if !catalog.has_history()? {
            return Ok(());
        }
        let mut params = Params::default();
        let sql = statement(conn, catalog, &self.0, &entry_columns(self.0.detail), &mut params);
        send(conn, &sql, &params, out).await
    }
}

#[async_trait]
impl Read for Addresses {
    type Row = Row;

    async fn run(&self, conn: &Conn, catalog: &Catalog, out: &mut Sink<Row>) -> Result<(), Halt> {
        if !catalog.has_history()? {
            return Ok(());
        }
        let mut params = Params::default();
        let query = EntryQuery::new(self.0.clone(), self.1.clone());
        let sql = statement(conn, catalog, &query, ADDRESS, &mut params);
        send(conn, &sql, &params, out).await
    }
}

/// Runs a statement and sends its rows. They are read where the stream is consumed, beside the next ones'
/// coming: see [`each`].
pub(crate) async fn send(conn: &Conn, sql: &str, params: &Params, out: &mut Sink<Row>) -> Result<(), Halt> {
    let rows = conn.stream(sql, params).await?;
    let mut rows = std::pin::pin!(rows);
    while let Some(row) = rows.try_next().await? {
        let bytes = row.raw_size_bytes();
        out.push(row, bytes).await?;
    }
    Ok(())
}

/// Reads the rows of a chunk.
pub(crate) fn each<T>(
    chunk: Result<Vec<Row>, AdapterError>,
    read: impl Fn(&Row, &mut Last) -> Result<T, AdapterError>,
) -> Result<Vec<T>, AdapterError> {
    let mut last = None;
    chunk?.iter().map(|row| read(row, &mut last)).collect()
}

/// Which records are meant, as SQL about `r`.
pub(crate) struct Scoped {
    /// `FROM …` as far as the records.
    pub(crate) from: String,
    pub(crate) filter: String,
    /// Records were asked for by name, so they lead.
    pub(crate) by_name: bool,
}

impl Scoped {
    /// Selects the records of one or all configured collections, or these.
    pub(crate) fn new(conn: &Conn, catalog: &Catalog, env: &EnvName, scope: &Scope, params: &mut Params) -> Self {
        let records = &conn.shared.names.records;
        match scope {
            Scope::All(name) => {
                let names: BTreeSet<&CollectionName> = match name {
                    Some(name) => std::iter::once(name).collect(),
                    None => catalog.names().collect(),
                };
                let env = params.text(env.as_str());
                let names: Vec<String> = names.into_iter().map(|name| name.as_str().to_owned()).collect();
                let filter = match names.as_slice() {
                    [only] => format!("r.env = {env} AND r.collection = {}", params.text(only.as_str())),
                    _ => format!("r.env = {env} AND r.collection = ANY ({})", params.texts(names)),
                };
                Scoped { from: format!("FROM {records} r"), filter, by_name: false }
            }
            // Of one record the server finds the entries in order, and stops at a limit.
            Scope::Records(asked) if let [only] = asked.as_slice() => {
                let filter = format!(
                    "r.record_no = (SELECT k.record_no FROM {records} k WHERE k.env = {} AND k.collection = {} \
                     AND k.id_key = {})",
                    params.text(only.env.as_str()),
                    params.text(only.collection.as_str()),
                    params.text(only.id.as_str())
                );
                Scoped { from: format!("FROM {records} r"), filter, by_name: true }
            }
            Scope::Records(asked) => {
                let asked: BTreeSet<&RecordKey> = asked.iter().collect();
                let part = |of: fn(&RecordKey) -> &str| asked.iter().map(|r| of(r).to_owned()).collect::<Vec<_>>();
                let envs = params.texts(part(|r| r.env.as_str()));
                let collections = params.texts(part(|r| r.collection.as_str()));
                let ids = params.texts(part(|r| r.id.as_str()));
                Scoped {
                    from: format!(
                        "FROM unnest({envs}, {collections}, {ids}) k(env, collection, id_key) \
                         JOIN {records} r ON r.env = k.env AND r.collection = k.collection AND r.id_key = k.id_key"
                    ),
                    filter: "TRUE".to_owned(),
                    by_name: true,
                }
            }
        }
    }
}

fn statement(conn: &Conn, catalog: &Catalog, query: &EntryQuery, columns: &str, params: &mut Params) -> String {
    let scoped = Scoped::new(conn, catalog, &query.env, &query.scope, params);
    let one = matches!(&query.scope, Scope::Records(asked) if asked.len() == 1);
    let mut filters = vec![scoped.filter];
    if !query.seqs.is_empty() {
        let seqs: Vec<i64> = query.seqs.iter().map(|seq| seq_column(*seq)).collect();
        filters.push(format!("h.seq = ANY ({})", params.add(seqs, Type::INT8_ARRAY)));
    }
    if let Some(op_id) = &query.op_id {
        filters.push(format!("h.op_id = {}", params.text(op_id.as_str())));
    }
    if let Some(since) = query.since {
        filters.push(format!("h.recorded_at >= {}", params.instant(since)));
    }
    if let Some(until) = query.until {
        filters.push(format!("h.recorded_at <= {}", params.instant(until)));
    }
    if let Some(author) = &query.author {
        filters.push(format!("h.author_id = {}", params.text(author.as_str())));
    }
    if let Some(sha) = &query.git_sha {
        let sha = params.text(sha.as_str());
        filters.push(format!(
            "h.git_shas IS NOT NULL AND EXISTS (SELECT 1 FROM unnest(h.git_shas) g WHERE starts_with(g, {sha}))"
        ));
    }
    let order = match (query.across, query.order) {
        (false, Order::NewestFirst) if one => "h.seq DESC",
        (false, Order::OldestFirst) if one => "h.seq",
        (true, _) => "h.recorded_at DESC, r.env, r.collection, r.id_key, h.seq DESC",
        (false, Order::NewestFirst) => "r.env, r.collection, r.id_key, h.seq DESC",
        (false, Order::OldestFirst) => "r.env, r.collection, r.id_key, h.seq",
    };
    let limit = query.limit.map(|limit| params.add(i64::try_from(limit).unwrap_or(i64::MAX), Type::INT8));
    let limit = limit.map_or_else(String::new, |mark| format!(" LIMIT {mark}"));
    format!(
        "SELECT {columns} {} JOIN {} h ON h.record_no = r.record_no WHERE {} ORDER BY {order}{limit}",
        scoped.from,
        conn.shared.names.history,
        filters.join(" AND ")
    )
}

/// The columns of [`entry`].
pub(crate) fn entry_columns(detail: Detail) -> String {
    const HEADER: &str = "r.env, r.collection, r.id_key, h.seq, h.prev_entry_id, h.oid, h.op, h.base::text, \
                          h.author_id, h.author_class, h.message_hash, h.recorded_at, h.valid_from, \
                          h.valid_from_estimated, h.op_id, h.meta::text, h.entry_id, h.message, h.valid_to, \
                          h.superseded_at, h.git_shas, h.doc_state, h.doc_native IS NOT NULL";
    match detail {
        Detail::Header => format!("{HEADER}, NULL::text"),
        Detail::Document => format!("{HEADER}, h.doc::text"),
    }
}

/// The place of the first column behind the record's three.
const FIRST: usize = 3;

/// The record before, most often of the same collection.
pub(crate) type Last = Option<(EnvName, CollectionName)>;

fn record(row: &Row, last: &mut Last) -> Result<RecordKey, AdapterError> {
    let text = |at: usize| row.try_get::<_, &str>(at).sql();
    let name = |_| damaged("a record with a name that none can have");
    let (env, collection) = (text(0)?, text(1)?);
    let (env, collection) = match last {
        Some((e, c)) if e.as_str() == env && c.as_str() == collection => (e.clone(), c.clone()),
        _ => (EnvName::new(env).map_err(name)?, CollectionName::new(collection).map_err(name)?),
    };
    *last = Some((env.clone(), collection.clone()));
    Ok(RecordKey { env, collection, id: stored_id(text(2)?)? })
}

/// Reads an entry.
pub(crate) fn entry(row: &Row, last: &mut Last) -> Result<Entry, AdapterError> {
    let at = |n: usize| FIRST + n;
    let text = |n: usize| row.try_get::<_, &str>(at(n)).sql();
    let optional = |n: usize| row.try_get::<_, Option<&str>>(at(n)).sql();
    let closed = |n: usize| instant(row, at(n)).map(|end| (end != Timestamp::OPEN).then_some(end));
    let header = EntryHeader {
        record: record(row, last)?,
        seq: seq(row, at(0))?,
        prev_entry_id: hash_or_null(row, at(1))?.map(EntryId::from_bytes),
        oid: hash_or_null(row, at(2))?.map(Oid::from_bytes),
        op: Op::parse(text(3)?).ok_or_else(|| damaged("an operation that there is not"))?,
        base: optional(4)?.map(read_base).transpose()?,
        author: Author { id: text(5)?.to_owned(), class: author_class(text(6)?)? },
        message: MessageHash::from_bytes(hash(row, at(7))?),
        recorded_at: instant(row, at(8))?,
        valid_from: instant(row, at(9))?,
        valid_from_estimated: row.try_get(at(10)).sql()?,
        op_id: OpId::new(text(11)?).map_err(|_| damaged("an entry with an op_id that none can have"))?,
        meta: optional(12)?.map_or_else(|| Ok(Object::new()), read_meta)?,
    };
    let of_row: bool = row.try_get(at(19)).sql()?;
    Ok(Entry {
        header,
        entry_id: EntryId::from_bytes(hash(row, at(13))?),
        message: text(14)?.to_owned(),
        valid_to: closed(15)?,
        superseded_at: closed(16)?,
        git_shas: row.try_get::<_, Option<Vec<String>>>(at(17)).sql()?.unwrap_or_default(),
        doc_state: DocState::parse(text(18)?).ok_or_else(|| damaged("a document state that there is not"))?,
        doc: optional(20)?.map(|doc| read_doc(doc, of_row)).transpose()?,
    })
}

/// Beside a row's document stand the texts of its columns, perhaps none.
pub(crate) fn read_doc(text: &str, of_row: bool) -> Result<Value, AdapterError> {
    let read = if of_row { Value::from_interchange(text) } else { Value::from_json(text) };
    read.map_err(|_| damaged("a stored document is no JSON"))
}

fn read_base(text: &str) -> Result<Vec<EntryId>, AdapterError> {
    let broken = || damaged("a base that is no entry id");
    texts(text).ok_or_else(broken)?.iter().map(|hex| hex.parse().map_err(|_| broken())).collect()
}

fn read_meta(text: &str) -> Result<Object, AdapterError> {
    match Value::from_interchange(text) {
        Ok(Value::Object(meta)) => Ok(meta),
        _ => Err(damaged("an entry's meta is no object")),
    }
}

/// The columns of [`address`].
pub(crate) const ADDRESS: &str = "r.env, r.collection, r.id_key, h.seq, h.oid, h.entry_id, h.recorded_at, \
                                  h.valid_from, h.valid_from_estimated, h.op";

pub(crate) fn address(row: &Row, last: &mut Last) -> Result<EntryAddress, AdapterError> {
    Ok(EntryAddress {
        record: record(row, last)?,
        seq: seq(row, FIRST)?,
        oid: hash_or_null(row, FIRST + 1)?.map(Oid::from_bytes),
        entry_id: EntryId::from_bytes(hash(row, FIRST + 2)?),
        recorded_at: instant(row, FIRST + 3)?,
        valid_from: instant(row, FIRST + 4)?,
        valid_from_estimated: row.try_get(FIRST + 5).sql()?,
        in_valid_order: row.try_get::<_, &str>(FIRST + 6).sql()? != Op::Redact.as_str(),
    })
}
