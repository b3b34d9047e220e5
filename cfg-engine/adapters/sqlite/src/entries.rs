//! Reads of history. Each is two steps in one snapshot: a statement that picks entries, in the
//! contract's order and from indexes where it can, and one that fetches a run of them.

use std::collections::BTreeSet;

use cfg_engine::Value;
use cfg_engine::adapter::{AdapterError, Detail, EntryAddress, EntryQuery, Order, Scope};
use cfg_engine::document::{EntryId, Object, Oid};
use cfg_engine::history::{
    Author, CollectionName, DocState, Entry, EntryHeader, EnvName, MessageHash, Op, OpId, RecordKey, Timestamp,
};
use rusqlite::types::Value as Cell;
use rusqlite::{Row, params_from_iter};

use crate::connection::Conn;
use crate::errors::{OrAdapterError, damaged, storage};
use crate::heads::{author_class, seq, seq_column};
use crate::read::stored_id;
use crate::readers::{Halt, RUN_ROWS, Sink};

/// A statement that picks entries: `entry_no`, or NULL where a record has none to pick; whether the row is an
/// estimated baseline that stands for a time before it; and the env, collection and id of its record.
pub(crate) struct Pick {
    pub(crate) sql: String,
    pub(crate) params: Vec<Cell>,
}

/// An entry that was picked.
pub(crate) struct Picked {
    entry_no: i64,
    estimated: bool,
    record: RecordKey,
}

/// Runs a statement that picks, and sends what `fetch` makes of each run, in the order picked.
pub(crate) fn send<T>(
    conn: &Conn,
    pick: &Pick,
    out: &mut Sink<T>,
    fetch: impl Fn(&Conn, &mut Vec<Picked>, &mut Sink<T>) -> Result<(), Halt>,
) -> Result<(), Halt> {
    let mut statement = conn.statement(&pick.sql)?;
    let mut rows = statement.query(params_from_iter(&pick.params)).sql()?;
    let mut run = Vec::with_capacity(RUN_ROWS);
    let mut last = None;
    while let Some(row) = rows.next().sql()? {
        let Some(entry_no) = row.get(0).sql()? else { continue };
        let record = record(row, 2, &mut last)?;
        run.push(Picked { entry_no, estimated: row.get(1).sql()?, record });
        if run.len() == RUN_ROWS {
            fetch(conn, &mut run, out)?;
        }
    }
    fetch(conn, &mut run, out)
}

/// Fetches a run of entries, which is empty then, and sends what `show` makes of each.
pub(crate) fn fetch<T>(
    conn: &Conn,
    run: &mut Vec<Picked>,
    columns: &str,
    out: &mut Sink<T>,
    show: impl Fn(&Row<'_>, RecordKey, bool) -> Result<Option<(T, usize)>, AdapterError>,
) -> Result<(), Halt> {
    if run.is_empty() {
        return Ok(());
    }
    let history = &conn.shared.names.history;
    let sql = format!("SELECT k.key, {columns} FROM json_each(?1) k CROSS JOIN {history} h ON h.entry_no = k.value");
    let list = Value::from(run.iter().map(|picked| picked.entry_no).collect::<Vec<_>>()).to_json();
    let mut statement = conn.statement(&sql)?;
    let mut rows = statement.query([list]).sql()?;
    let other = || storage("entries came otherwise than they were asked for");
    let mut picked = run.drain(..).enumerate();
    while let Some(row) = rows.next().sql()? {
        let (at, picked) = picked.next().ok_or_else(other)?;
        if crate::sql::place(row, 0)? != at {
            return Err(other().into());
        }
        if let Some((shown, bytes)) = show(row, picked.record, picked.estimated)? {
            out.push(shown, bytes)?;
        }
    }
    if picked.next().is_none() { Ok(()) } else { Err(other().into()) }
}

/// Streams the entries that a query asks for.
pub(crate) fn entries(conn: &Conn, query: &EntryQuery, out: &mut Sink<RawEntry>) -> Result<(), Halt> {
    let (_snapshot, catalog) = conn.snapshot()?;
    if !catalog.has_history()? {
        return Ok(());
    }
    for pick in picks(conn, query) {
        send(conn, &pick, out, |conn, run, out| fetch_entries(conn, run, query.detail, out, |entry, _| Some(entry)))?;
    }
    Ok(())
}

/// Fetches entries and sends what `show` makes of them.
pub(crate) fn fetch_entries<T>(
    conn: &Conn,
    run: &mut Vec<Picked>,
    detail: Detail,
    out: &mut Sink<T>,
    show: impl Fn(RawEntry, bool) -> Option<T>,
) -> Result<(), Halt> {
    let columns = match detail {
        Detail::Header => format!("{HEADER}, NULL, NULL"),
        Detail::Document => format!("{HEADER}, h.doc_native, h.doc"),
    };
    fetch(conn, run, &columns, out, |row, record, flagged| {
        let entry = entry(row, record)?;
        let bytes = entry.doc.as_ref().map_or(0, |doc| doc.text.len());
        Ok(show(entry, flagged).map(|shown| (shown, bytes)))
    })
}

/// Streams the addresses of a scope's entries.
pub(crate) fn addresses(conn: &Conn, env: &EnvName, scope: &Scope, out: &mut Sink<EntryAddress>) -> Result<(), Halt> {
    let (_snapshot, catalog) = conn.snapshot()?;
    if !catalog.has_history()? {
        return Ok(());
    }
    for pick in picks(conn, &EntryQuery::new(env.clone(), scope.clone())) {
        send(conn, &pick, out, |conn, run, out| fetch_addresses(conn, run, out, |address, _| Some(address)))?;
    }
    Ok(())
}

/// Fetches addresses and sends what `show` makes of them.
pub(crate) fn fetch_addresses<T>(
    conn: &Conn,
    run: &mut Vec<Picked>,
    out: &mut Sink<T>,
    show: impl Fn(EntryAddress, bool) -> Option<T>,
) -> Result<(), Halt> {
    fetch(conn, run, ADDRESS, out, |row, record, flagged| {
        Ok(show(address(row, record)?, flagged).map(|shown| (shown, 0)))
    })
}

/// Which records are meant, as SQL that joins `r`, with parameters from `?1`.
pub(crate) struct Scoped {
    /// `FROM …` as far as the records.
    pub(crate) from: String,
    pub(crate) filter: String,
    pub(crate) params: Vec<Cell>,
    /// Records were asked for by name, so they lead.
    pub(crate) by_name: bool,
}

impl Scoped {
    /// Selects the records of one or all configured collections, or these.
    pub(crate) fn new(conn: &Conn, env: &EnvName, scope: &Scope) -> Self {
        let records = &conn.shared.names.records;
        match scope {
            Scope::All(name) => {
                let configured = conn.shared.collections().iter().map(|c| &c.name);
                let names: BTreeSet<&CollectionName> = match name {
                    Some(name) => std::iter::once(name).collect(),
                    None => configured.collect(),
                };
                Scoped::collections(records, env, names)
            }
            // Of one record SQLite knows that an index gives the order of its entries, and stops at a limit.
            Scope::Records(asked) if let [only] = asked.as_slice() => {
                let key = [only.env.as_str(), only.collection.as_str(), only.id.as_str()];
                Scoped {
                    from: format!("FROM {records} r"),
                    filter: "r.env = ?1 AND r.collection = ?2 AND r.id_key = ?3".to_owned(),
                    params: key.map(|text| Cell::Text(text.to_owned())).to_vec(),
                    by_name: true,
                }
            }
            Scope::Records(asked) => {
                let asked: BTreeSet<&RecordKey> = asked.iter().collect();
                let key = |r: &&RecordKey| Value::from(vec![r.env.as_str(), r.collection.as_str(), r.id.as_str()]);
                let list = Value::Array(asked.iter().map(key).collect()).to_json();
                Scoped {
                    from: format!(
                        "FROM json_each(?1) k CROSS JOIN {records} r ON r.env = json_extract(k.value, '$[0]') \
                         AND r.collection = json_extract(k.value, '$[1]') AND r.id_key = json_extract(k.value, '$[2]')"
                    ),
                    filter: "1".to_owned(),
                    params: vec![Cell::Text(list)],
                    by_name: true,
                }
            }
        }
    }

    fn collections(records: &str, env: &EnvName, names: BTreeSet<&CollectionName>) -> Self {
        let mut params = vec![Cell::Text(env.as_str().to_owned())];
        let filter = match names.iter().next() {
            // With one collection SQLite knows that the index gives the order of record keys.
            Some(only) if names.len() == 1 => {
                params.push(Cell::Text(only.as_str().to_owned()));
                "r.env = ?1 AND r.collection = ?2".to_owned()
            }
            _ => {
                params.push(Cell::Text(Value::from(names.iter().map(|n| n.as_str()).collect::<Vec<_>>()).to_json()));
                "r.env = ?1 AND r.collection IN (SELECT value FROM json_each(?2))".to_owned()
            }
        };
        Scoped { from: format!("FROM {records} r"), filter, params, by_name: false }
    }

    /// Adds a parameter and returns its mark.
    pub(crate) fn param(&mut self, cell: Cell) -> String {
        self.params.push(cell);
        format!("?{}", self.params.len())
    }
}

/// Splits a question about all collections into one for each, which then needs no sort.
fn picks(conn: &Conn, query: &EntryQuery) -> Vec<Pick> {
    let all: BTreeSet<CollectionName> = conn.shared.collections().iter().map(|c| c.name.clone()).collect();
    if query.scope != Scope::All(None) || query.across || query.limit.is_some() {
        return vec![pick(conn, query)];
    }
    let one = |name| pick(conn, &EntryQuery { scope: Scope::All(Some(name)), ..query.clone() });
    all.into_iter().map(one).collect()
}

pub(crate) fn pick(conn: &Conn, query: &EntryQuery) -> Pick {
    let names = &conn.shared.names;
    let mut scoped = Scoped::new(conn, &query.env, &query.scope);
    let mut filters = vec![scoped.filter.clone()];
    if !query.seqs.is_empty() {
        let seqs = query.seqs.iter().map(|seq| Value::from(seq_column(*seq))).collect();
        let mark = scoped.param(Cell::Text(Value::Array(seqs).to_json()));
        filters.push(format!("h.seq IN (SELECT value FROM json_each({mark}))"));
    }
    let mut equal = |column: &str, operator: &str, cell: Option<Cell>| {
        if let Some(cell) = cell {
            let mark = scoped.param(cell);
            filters.push(format!("{column} {operator} {mark}"));
        }
    };
    equal("h.op_id", "=", query.op_id.as_ref().map(|op_id| Cell::Text(op_id.as_str().to_owned())));
    equal("h.recorded_at", ">=", query.since.map(|since| Cell::Integer(since.as_millis())));
    equal("h.recorded_at", "<=", query.until.map(|until| Cell::Integer(until.as_millis())));
    equal("h.author_id", "=", query.author.clone().map(Cell::Text));
    if let Some(sha) = &query.git_sha {
        let mark = scoped.param(Cell::Text(sha.clone()));
        filters.push(format!(
            "h.git_shas IS NOT NULL AND EXISTS (SELECT 1 FROM json_each(h.git_shas) g \
             WHERE substr(g.value, 1, length({mark})) = {mark})"
        ));
    }
    let newest = query.order == Order::NewestFirst;
    let order = if query.across {
        "h.recorded_at DESC, r.collection, r.id_key, h.seq DESC"
    } else if newest {
        "r.collection, r.id_key, h.seq DESC"
    } else {
        "r.collection, r.id_key, h.seq"
    };
    let order =
        if matches!(query.scope, Scope::Records(_)) { order.replace("r.coll", "r.env, r.coll") } else { order.into() };
    let limit = query.limit.map(|limit| scoped.param(Cell::Integer(i64::try_from(limit).unwrap_or(i64::MAX))));
    let limit = limit.map_or_else(String::new, |mark| format!(" LIMIT {mark}"));
    // Across all records the newest entries are at one end of an index; otherwise records lead.
    let join = if query.across && matches!(query.scope, Scope::All(_)) {
        format!(
            "FROM {} h INDEXED BY {} CROSS JOIN {} r ON r.record_no = h.record_no",
            names.history,
            names.index("recorded_at"),
            names.records
        )
    } else {
        format!(
            "{} CROSS JOIN {} h INDEXED BY {} ON h.record_no = r.record_no",
            scoped.from,
            names.history,
            names.index("seq")
        )
    };
    let filters = filters.join(" AND ");
    Pick {
        sql: format!(
            "SELECT h.entry_no, 0, r.env, r.collection, r.id_key {join} WHERE {filters} ORDER BY {order}{limit}"
        ),
        params: scoped.params,
    }
}

/// The columns of [`entry`]; the two of the document follow.
const HEADER: &str = "h.seq, h.prev_entry_id, h.oid, h.op, h.base, h.author_id, h.author_class, h.message_hash, \
                      h.recorded_at, h.valid_from, h.valid_from_estimated, h.op_id, h.meta, h.entry_id, h.message, \
                      h.valid_to, h.superseded_at, h.git_shas, h.doc_state";
/// The place of the first column of [`HEADER`], behind the place in the list.
const FIRST: usize = 1;
const DOC_NATIVE: usize = FIRST + 19;

/// The record before, most often of the same collection.
type Last = Option<(EnvName, CollectionName)>;

fn record(row: &Row<'_>, first: usize, last: &mut Last) -> Result<RecordKey, AdapterError> {
    let text = |at: usize| row.get_ref(first + at).sql().map(|cell| cell.as_str().unwrap_or_default());
    let name = |_| damaged("a record with a name that none can have");
    let (env, collection) = (text(0)?, text(1)?);
    let (env, collection) = match last {
        Some((e, c)) if e.as_str() == env && c.as_str() == collection => (e.clone(), c.clone()),
        _ => (EnvName::new(env).map_err(name)?, CollectionName::new(collection).map_err(name)?),
    };
    *last = Some((env.clone(), collection.clone()));
    Ok(RecordKey { env, collection, id: stored_id(text(2)?)? })
}

/// An entry as a reading thread hands it on: meta and document are not parsed yet.
///
/// Parsing happens where the stream is consumed, so that it runs beside the next read.
pub(crate) struct RawEntry {
    pub(crate) entry: Entry,
    meta: Option<String>,
    doc: Option<RawDoc>,
}

struct RawDoc {
    text: String,
    /// Of a row, with its own text beside it; else the text of a document's column.
    of_row: bool,
}

impl RawEntry {
    /// Parses what a reading thread took.
    pub(crate) fn finish(self) -> Result<Entry, AdapterError> {
        let RawEntry { mut entry, meta, doc } = self;
        if let Some(meta) = meta {
            entry.header.meta = read_meta(&meta)?;
        }
        entry.doc = doc.map(|doc| read_doc(&doc.text, doc.of_row)).transpose()?;
        Ok(entry)
    }
}

fn entry(row: &Row<'_>, record: RecordKey) -> Result<RawEntry, AdapterError> {
    let at = |n: usize| FIRST + n;
    let no_text = |_| damaged("an entry with a column that is no text");
    let text = |n: usize| row.get_ref(at(n)).sql()?.as_str().map_err(no_text);
    let bytes = |n: usize| row.get::<_, [u8; 32]>(at(n)).sql();
    let optional = |n: usize| row.get::<_, Option<[u8; 32]>>(at(n)).sql();
    let instant = |n: usize| row.get::<_, i64>(at(n)).sql().map(Timestamp::from_millis);
    let closed = |n: usize| instant(n).map(|end| (end != Timestamp::OPEN).then_some(end));
    let header = EntryHeader {
        record,
        seq: seq(row, at(0))?,
        prev_entry_id: optional(1)?.map(EntryId::from_bytes),
        oid: optional(2)?.map(Oid::from_bytes),
        op: Op::parse(text(3)?).ok_or_else(|| damaged("an operation that there is not"))?,
        base: row.get::<_, Option<String>>(at(4)).sql()?.map(|base| read_base(&base)).transpose()?,
        author: Author { id: text(5)?.to_owned(), class: author_class(text(6)?)? },
        message: MessageHash::from_bytes(bytes(7)?),
        recorded_at: instant(8)?,
        valid_from: instant(9)?,
        valid_from_estimated: row.get(at(10)).sql()?,
        op_id: OpId::new(text(11)?).map_err(|_| damaged("an entry with an op_id that none can have"))?,
        meta: Object::new(),
    };
    let doc: Option<String> = row.get(DOC_NATIVE + 1).sql()?;
    // Beside a row's document stand the texts of its JSON columns, perhaps none.
    let of_row = !matches!(row.get_ref(DOC_NATIVE).sql()?, rusqlite::types::ValueRef::Null);
    let entry = Entry {
        header,
        entry_id: EntryId::from_bytes(bytes(13)?),
        message: text(14)?.to_owned(),
        valid_to: closed(15)?,
        superseded_at: closed(16)?,
        git_shas: row
            .get::<_, Option<String>>(at(17))
            .sql()?
            .map_or_else(|| Ok(Vec::new()), |shas| read_list(&shas))?,
        doc_state: DocState::parse(text(18)?).ok_or_else(|| damaged("a document state that there is not"))?,
        doc: None,
    };
    Ok(RawEntry { entry, meta: row.get(at(12)).sql()?, doc: doc.map(|text| RawDoc { text, of_row }) })
}

pub(crate) fn read_doc(text: &str, of_row: bool) -> Result<Value, AdapterError> {
    let read = if of_row { Value::from_interchange(text) } else { Value::from_json(text) };
    read.map_err(|_| damaged("a stored document is no JSON"))
}

pub(crate) fn read_list(text: &str) -> Result<Vec<String>, AdapterError> {
    let value = Value::from_json(text).map_err(|_| damaged("a stored list is no JSON"))?;
    let items = value.as_array().unwrap_or_default().iter();
    Ok(items.filter_map(|item| item.as_str().map(str::to_owned)).collect())
}

fn read_base(text: &str) -> Result<Vec<EntryId>, AdapterError> {
    let id = |hex: String| hex.parse().map_err(|_| damaged("a base that is no entry id"));
    read_list(text)?.into_iter().map(id).collect()
}

fn read_meta(text: &str) -> Result<Object, AdapterError> {
    match Value::from_interchange(text) {
        Ok(Value::Object(meta)) => Ok(meta),
        _ => Err(damaged("an entry's meta is no object")),
    }
}

const ADDRESS: &str = "h.seq, h.oid, h.entry_id, h.recorded_at, h.valid_from, h.valid_from_estimated, h.op";

fn address(row: &Row<'_>, record: RecordKey) -> Result<EntryAddress, AdapterError> {
    Ok(EntryAddress {
        record,
        seq: seq(row, FIRST)?,
        oid: row.get::<_, Option<[u8; 32]>>(FIRST + 1).sql()?.map(Oid::from_bytes),
        entry_id: EntryId::from_bytes(row.get(FIRST + 2).sql()?),
        recorded_at: Timestamp::from_millis(row.get(FIRST + 3).sql()?),
        valid_from: Timestamp::from_millis(row.get(FIRST + 4).sql()?),
        valid_from_estimated: row.get(FIRST + 5).sql()?,
        in_valid_order: row.get_ref(FIRST + 6).sql()?.as_str().unwrap_or_default() != Op::Redact.as_str(),
    })
}
