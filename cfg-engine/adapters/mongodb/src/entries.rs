//! Reads of history. Ranges of the key give records and seqs in order; other filters are laid over them.

use std::collections::BTreeSet;

use bson::raw::{RawBsonRef, RawDocument, RawDocumentBuf};
use bson::{Bson, Document, doc};
use cfg_engine::Value;
use cfg_engine::adapter::{AdapterError, Detail, EntryAddress, EntryQuery, Order, Scope};
use cfg_engine::document::{EntryId, Object, Oid};
use cfg_engine::history::{
    Author, AuthorClass, CollectionName, DocState, Entry, EntryHeader, EnvName, MessageHash, Op, OpId, RecordKey, Seq,
    Timestamp,
};
use mongodb::ClientSession;

use crate::errors::damaged;
use crate::heads::{read_record, seq};
use crate::prepare::{date, record_filter, seq_field};
use crate::store::Store;
use crate::streams::{Halt, Sink};
use crate::values;

/// How many records one query asks for.
const RUN: usize = 100;
/// How many keys one query asks for.
const KEYS: usize = 2000;

/// The range of keys of one record's entries.
pub(crate) fn of_record(record: &RecordKey) -> Document {
    let (mut first, mut last) = (record_filter(record), record_filter(record));
    first.insert("seq", Bson::MinKey);
    last.insert("seq", Bson::MaxKey);
    doc! { "$gte": first, "$lte": last }
}

/// The range of keys of one collection's records, in the collections of heads and of entries. A document
/// stands behind every text.
pub(crate) fn of_collection(env: &EnvName, collection: &CollectionName) -> Document {
    let (env, collection) = (env.as_str(), collection.as_str());
    doc! {
        "$gte": { "env": env, "collection": collection, "id_key": "" },
        "$lt": { "env": env, "collection": collection, "id_key": {} },
    }
}

/// The entries of some collections, by the parts of their keys: what indexes on other fields begin with.
pub(crate) fn of_collections(env: &EnvName, collections: &[CollectionName]) -> Document {
    let names: Vec<&str> = collections.iter().map(CollectionName::as_str).collect();
    doc! { "_id.env": env.as_str(), "_id.collection": { "$in": names } }
}

/// Returns the collections that a scope means, in order.
pub(crate) fn collections(store: &Store, name: Option<&CollectionName>) -> Vec<CollectionName> {
    match name {
        Some(name) => vec![name.clone()],
        None => store.tables.keys().cloned().collect(),
    }
}

/// Returns the filters that together pick a scope's entries, in the order of record keys.
fn ranges(store: &Store, env: &EnvName, scope: &Scope, order: Order) -> Vec<Document> {
    match scope {
        Scope::All(name) => {
            let all = collections(store, name.as_ref());
            all.iter().map(|collection| doc! { "_id": of_collection(env, collection) }).collect()
        }
        Scope::Records(records) => {
            let records: Vec<&RecordKey> = records.iter().collect::<BTreeSet<_>>().into_iter().collect();
            // Newest first, each record has a query: one sort order cannot run both ways.
            let run = if order == Order::NewestFirst { 1 } else { RUN };
            let filter = |records: &[&RecordKey]| match records {
                [one] => doc! { "_id": of_record(one) },
                several => {
                    let each: Vec<Document> = several.iter().map(|record| doc! { "_id": of_record(record) }).collect();
                    doc! { "$or": each }
                }
            };
            records.chunks(run).map(filter).collect()
        }
    }
}

/// The filters that pick versions by their keys, where records and numbers are both named: one look into the
/// index for each, however many versions a record has.
fn versions(query: &EntryQuery) -> Option<Vec<Document>> {
    let Scope::Records(records) = &query.scope else { return None };
    if query.seqs.is_empty() || query.across || query.seqs.len() > KEYS {
        return None;
    }
    let records: Vec<&RecordKey> = records.iter().collect::<BTreeSet<_>>().into_iter().collect();
    let run = if query.order == Order::NewestFirst { 1 } else { KEYS / query.seqs.len() };
    let filter = |records: &[&RecordKey]| {
        let keys = records.iter().flat_map(|record| query.seqs.iter().map(|seq| (*record, *seq)));
        let key = |(record, seq): (&RecordKey, Seq)| {
            let mut key = record_filter(record);
            key.insert("seq", seq_field(seq));
            Bson::from(key)
        };
        doc! { "_id": { "$in": keys.map(key).collect::<Vec<Bson>>() } }
    };
    Some(records.chunks(run).map(filter).collect())
}

/// Streams the entries that a query asks for.
pub(crate) async fn entries(store: &Store, query: &EntryQuery, out: &mut Sink<Entry>) -> Result<(), Halt> {
    let mut session = store.snapshot_of_history().await?;
    let mut left = query.limit.unwrap_or(u64::MAX);
    let mut filters = match versions(query) {
        Some(filters) => filters,
        None => ranges(store, &query.env, &query.scope, query.order),
    };
    if query.across {
        filters = match &query.scope {
            Scope::All(name) => vec![of_collections(&query.env, &collections(store, name.as_ref()))],
            Scope::Records(_) if filters.is_empty() => filters,
            Scope::Records(_) => vec![doc! { "$or": filters }],
        };
    }
    for filter in filters {
        if left == 0 {
            break;
        }
        let mut filter = vec![filter];
        filter.extend(conditions(query));
        let filter = doc! { "$and": filter };
        let sort = match (query.across, query.order) {
            (true, _) => doc! { "recorded_at": -1, "_id.env": 1, "_id.collection": 1, "_id.id_key": 1, "_id.seq": -1 },
            (false, Order::OldestFirst) => doc! { "_id": 1 },
            (false, Order::NewestFirst) => {
                doc! { "_id.env": 1, "_id.collection": 1, "_id.id_key": 1, "_id.seq": -1 }
            }
        };
        let one_record =
            matches!(&query.scope, Scope::Records(_)) && query.order == Order::NewestFirst && !query.across;
        let sort = if one_record {
            doc! { "_id": -1 }
        } else {
            sort
        };
        let mut rows = Rows::open(store, &mut session, filter, sort, query.detail, left).await?;
        while let Some(row) = rows.next(&mut session).await? {
            let entry = read_entry(store, row)?;
            left -= 1;
            out.push(entry, row.as_bytes().len()).await?;
        }
    }
    Ok(())
}

fn conditions(query: &EntryQuery) -> Vec<Document> {
    let mut all = Vec::new();
    if !query.seqs.is_empty() {
        let seqs: Vec<i64> = query.seqs.iter().map(|seq| seq_field(*seq)).collect();
        all.push(doc! { "_id.seq": { "$in": seqs } });
    }
    if let Some(op_id) = &query.op_id {
        all.push(doc! { "op_id": op_id.as_str() });
    }
    if let Some(since) = query.since {
        all.push(doc! { "recorded_at": { "$gte": date(since) } });
    }
    if let Some(until) = query.until {
        all.push(doc! { "recorded_at": { "$lte": date(until) } });
    }
    if let Some(author) = &query.author {
        all.push(doc! { "author.id": author.as_str() });
    }
    if let Some(sha) = &query.git_sha {
        // A text that begins with it: from it up to the same with a last character behind all others.
        all.push(doc! { "git_shas": { "$elemMatch": { "$gte": sha.as_str(), "$lte": format!("{sha}\u{10ffff}") } } });
    }
    all
}

/// Streams the addresses of a scope's entries.
pub(crate) async fn addresses(
    store: &Store,
    env: &EnvName,
    scope: &Scope,
    out: &mut Sink<EntryAddress>,
) -> Result<(), Halt> {
    let mut session = store.snapshot_of_history().await?;
    for filter in ranges(store, env, scope, Order::OldestFirst) {
        let mut rows = Rows::open_addresses(store, &mut session, filter, doc! { "_id": 1 }).await?;
        while let Some(row) = rows.next(&mut session).await? {
            let address = read_address(row)?;
            out.push(address, 0).await?;
        }
    }
    Ok(())
}

/// A cursor over entries.
pub(crate) struct Rows<'s> {
    store: &'s Store,
    cursor: mongodb::SessionCursor<RawDocumentBuf>,
}

/// What an [`EntryAddress`] is made of.
pub(crate) fn address_fields() -> Document {
    doc! { "oid": 1, "entry_id": 1, "recorded_at": 1, "valid_from": 1, "valid_from_estimated": 1, "op": 1 }
}

impl<'s> Rows<'s> {
    async fn open(
        store: &'s Store,
        session: &mut ClientSession,
        filter: Document,
        sort: Document,
        detail: Detail,
        limit: u64,
    ) -> Result<Self, AdapterError> {
        let entries = store.entries();
        let find = entries.find(filter).sort(sort).allow_disk_use(true).batch_size(1000);
        let find = match detail {
            Detail::Header => find.projection(doc! { "doc": 0 }),
            Detail::Document => find,
        };
        let find = if limit == u64::MAX { find } else { find.limit(i64::try_from(limit).unwrap_or(i64::MAX)) };
        let cursor = find.session(session).await.map_err(|error| store.place.error(&error))?;
        Ok(Rows { store, cursor })
    }

    async fn open_addresses(
        store: &'s Store,
        session: &mut ClientSession,
        filter: Document,
        sort: Document,
    ) -> Result<Self, AdapterError> {
        let entries = store.entries();
        let find = entries.find(filter).sort(sort).allow_disk_use(true).batch_size(5000);
        let cursor = find.projection(address_fields()).session(session).await;
        Ok(Rows { store, cursor: cursor.map_err(|error| store.place.error(&error))? })
    }

    pub(crate) fn of(store: &'s Store, cursor: mongodb::SessionCursor<RawDocumentBuf>) -> Self {
        Rows { store, cursor }
    }

    pub(crate) async fn next(&mut self, session: &mut ClientSession) -> Result<Option<&RawDocument>, AdapterError> {
        let more = self.cursor.advance(session).await.map_err(|error| self.store.place.error(&error))?;
        Ok(more.then(|| self.cursor.current()))
    }
}

/// The fields of an entry, found in one pass: asking a document for a name reads it from its start.
#[derive(Default)]
struct Fields<'r> {
    key: Option<&'r RawDocument>,
    prev_entry_id: Option<RawBsonRef<'r>>,
    oid: Option<RawBsonRef<'r>>,
    op: Option<RawBsonRef<'r>>,
    base: Option<RawBsonRef<'r>>,
    author: Option<RawBsonRef<'r>>,
    message_hash: Option<RawBsonRef<'r>>,
    recorded_at: Option<RawBsonRef<'r>>,
    valid_from: Option<RawBsonRef<'r>>,
    valid_from_estimated: Option<RawBsonRef<'r>>,
    op_id: Option<RawBsonRef<'r>>,
    meta: Option<RawBsonRef<'r>>,
    entry_id: Option<RawBsonRef<'r>>,
    message: Option<RawBsonRef<'r>>,
    valid_to: Option<RawBsonRef<'r>>,
    superseded_at: Option<RawBsonRef<'r>>,
    git_shas: Option<RawBsonRef<'r>>,
    doc_state: Option<RawBsonRef<'r>>,
    doc: Option<RawBsonRef<'r>>,
}

impl<'r> Fields<'r> {
    fn of(row: &'r RawDocument) -> Self {
        let mut fields = Fields::default();
        for (name, value) in row.iter().map_while(Result::ok) {
            let field = match name.as_str() {
                "_id" => {
                    fields.key = value.as_document();
                    continue;
                }
                "prev_entry_id" => &mut fields.prev_entry_id,
                "oid" => &mut fields.oid,
                "op" => &mut fields.op,
                "base" => &mut fields.base,
                "author" => &mut fields.author,
                "message_hash" => &mut fields.message_hash,
                "recorded_at" => &mut fields.recorded_at,
                "valid_from" => &mut fields.valid_from,
                "valid_from_estimated" => &mut fields.valid_from_estimated,
                "op_id" => &mut fields.op_id,
                "meta" => &mut fields.meta,
                "entry_id" => &mut fields.entry_id,
                "message" => &mut fields.message,
                "valid_to" => &mut fields.valid_to,
                "superseded_at" => &mut fields.superseded_at,
                "git_shas" => &mut fields.git_shas,
                "doc_state" => &mut fields.doc_state,
                "doc" => &mut fields.doc,
                _ => continue,
            };
            *field = Some(value);
        }
        fields
    }

    /// Which entry it is.
    fn key(&self) -> Result<(RecordKey, Seq), AdapterError> {
        let key = self.key.ok_or_else(|| damaged("an entry without a key"))?;
        let record = read_record(key)?;
        let seq = seq(key, "seq").ok_or_else(|| damaged(format!("an entry of {record} without a number")))?;
        Ok((record, seq))
    }
}

fn text(value: Option<RawBsonRef<'_>>) -> Option<&str> {
    value?.as_str()
}

fn at(value: Option<RawBsonRef<'_>>) -> Option<Timestamp> {
    Some(Timestamp::from_millis(value?.as_datetime()?.timestamp_millis()))
}

fn hash(value: Option<RawBsonRef<'_>>) -> Option<[u8; 32]> {
    value?.as_binary()?.bytes.try_into().ok()
}

/// A hash that may be missing, and is one if it is there.
fn optional(value: Option<RawBsonRef<'_>>) -> Option<Option<[u8; 32]>> {
    if value.is_some() { hash(value).map(Some) } else { Some(None) }
}

/// Reads an entry.
pub(crate) fn read_entry(store: &Store, row: &RawDocument) -> Result<Entry, AdapterError> {
    let fields = Fields::of(row);
    let (record, seq) = fields.key()?;
    let doc = match fields.doc.and_then(|doc| doc.as_document()) {
        Some(doc) => {
            let read = match store.tables.get(&record.collection) {
                Some(table) => table.value(doc),
                None => values::read_document(doc),
            };
            Some(read.map_err(|_| damaged(format!("the document of {record}@{seq} is unreadable")))?)
        }
        None => None,
    };
    let read = || -> Option<Entry> {
        let shown = |end: Timestamp| (end != Timestamp::OPEN).then_some(end);
        let author = fields.author?.as_document()?;
        let meta = match text(fields.meta) {
            Some(text) => match Value::from_interchange(text) {
                Ok(Value::Object(meta)) => meta,
                _ => return None,
            },
            None => Object::new(),
        };
        Some(Entry {
            header: EntryHeader {
                record: record.clone(),
                seq,
                prev_entry_id: optional(fields.prev_entry_id)?.map(EntryId::from_bytes),
                oid: optional(fields.oid)?.map(Oid::from_bytes),
                op: Op::parse(text(fields.op)?)?,
                base: read_base(fields.base)?,
                author: Author {
                    id: author.get_str("id").ok()?.to_owned(),
                    class: AuthorClass::parse(author.get_str("class").ok()?)?,
                },
                message: MessageHash::from_bytes(hash(fields.message_hash)?),
                recorded_at: at(fields.recorded_at)?,
                valid_from: at(fields.valid_from)?,
                valid_from_estimated: fields.valid_from_estimated.and_then(|b| b.as_bool()).unwrap_or_default(),
                op_id: OpId::new(text(fields.op_id)?).ok()?,
                meta,
            },
            entry_id: EntryId::from_bytes(hash(fields.entry_id)?),
            message: text(fields.message)?.to_owned(),
            valid_to: shown(at(fields.valid_to)?),
            superseded_at: shown(at(fields.superseded_at)?),
            git_shas: texts(fields.git_shas),
            doc_state: DocState::parse(text(fields.doc_state)?)?,
            doc,
        })
    };
    read().ok_or_else(|| damaged(format!("the entry {record}@{seq} lacks something, or holds what no entry can")))
}

fn read_base(base: Option<RawBsonRef<'_>>) -> Option<Option<Vec<EntryId>>> {
    let Some(base) = base else { return Some(None) };
    let ids = base.as_array()?.into_iter().map(|id| {
        let bytes: [u8; 32] = id.ok()?.as_binary()?.bytes.try_into().ok()?;
        Some(EntryId::from_bytes(bytes))
    });
    ids.collect::<Option<Vec<_>>>().map(Some)
}

fn texts(list: Option<RawBsonRef<'_>>) -> Vec<String> {
    let Some(list) = list.and_then(|list| list.as_array()) else { return Vec::new() };
    list.into_iter().filter_map(|item| item.ok()?.as_str().map(str::to_owned)).collect()
}

/// Reads where an entry stands and what it holds.
pub(crate) fn read_address(row: &RawDocument) -> Result<EntryAddress, AdapterError> {
    let fields = Fields::of(row);
    let (record, seq) = fields.key()?;
    let read = || {
        Some(EntryAddress {
            record: record.clone(),
            seq,
            oid: optional(fields.oid)?.map(Oid::from_bytes),
            entry_id: EntryId::from_bytes(hash(fields.entry_id)?),
            recorded_at: at(fields.recorded_at)?,
            valid_from: at(fields.valid_from)?,
            valid_from_estimated: fields.valid_from_estimated.and_then(|b| b.as_bool()).unwrap_or_default(),
            in_valid_order: text(fields.op)? != Op::Redact.as_str(),
        })
    };
    read().ok_or_else(|| damaged(format!("an entry of {record} lacks something, or holds what no entry can")))
}
