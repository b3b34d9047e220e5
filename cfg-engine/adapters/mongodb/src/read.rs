//! Live and head of records, in one snapshot.
//!
//! Records that are asked for by name come with one aggregate: the live documents, and behind them the
//! heads. Whole collections are streamed: results come by record key, which is no order that MongoDB has
//! (numbers sort by value there), so the live documents are read through once, their ids sorted here and
//! merged with the heads. Documents beyond a budget are not held meanwhile but fetched again in runs; where only
//! their hashes are asked for, none is held.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bson::raw::{RawDocument, RawDocumentBuf};
use bson::{Bson, DateTime, Document, doc};
use cfg_engine::adapter::{AdapterError, ClockReading, HeadState, Live, LiveDigest, RecordState, Scope, Strays};
use cfg_engine::document::Oid;
use cfg_engine::history::{CollectionName, EnvName, IdKey, RecordKey};
use mongodb::{ClientSession, SessionCursor};
use tokio::task::JoinHandle;

use crate::errors::storage;
use crate::heads;
use crate::prepare::record_filter;
use crate::store::{Reading, Store};
use crate::streams::{Halt, Sink};
use crate::table::LiveTable;

/// How many records one aggregate asks for, and how many documents one run fetches.
const RUN: usize = 500;
/// How many bytes of live documents are held while their ids are sorted.
const HELD_BYTES: usize = 48 * 1024 * 1024;

/// A record as it was read: its document neither parsed nor hashed, so that this can be done where the
/// stream is consumed, beside the next read.
pub(crate) struct Row {
    pub(crate) table: Arc<LiveTable>,
    pub(crate) record: RecordKey,
    pub(crate) live: RawLive,
    pub(crate) head: Result<Option<HeadState>, String>,
    pub(crate) clock: ClockReading,
}

/// What comes by in a pass over live and history.
#[expect(clippy::large_enum_variant, reason = "nearly all of them are records")]
pub(crate) enum Scanned {
    Record(Row),
    Strays(Strays),
}

pub(crate) enum RawLive {
    Absent {
        outside_rule: u64,
    },
    One(RawDocumentBuf),
    /// Its document was hashed where it was read.
    Hashed(Oid),
    Many(u64),
}

impl Row {
    /// Hashes; parses only what is unusual.
    pub(crate) fn digest(self) -> RecordState<LiveDigest> {
        // A head that cannot be read is for the long way.
        let quick = match (&self.live, &self.head) {
            (RawLive::One(raw), Ok(_)) => self.table.quick_oid(raw),
            (RawLive::Hashed(oid), Ok(_)) => Some(*oid),
            _ => None,
        };
        let Some(oid) = quick else { return self.finish().into() };
        let Row { record, head, clock, .. } = self;
        let live = Live::One(LiveDigest { oid: Ok(oid) });
        RecordState { record, live, head: head.ok().flatten(), clock }
    }

    /// Parses and hashes.
    pub(crate) fn finish(self) -> RecordState {
        let Row { table, record, live, head, clock } = self;
        let live = match live {
            RawLive::Absent { outside_rule } => Live::Absent { outside_rule },
            RawLive::One(raw) => table.one(raw),
            RawLive::Hashed(_) => Live::Unreadable { reason: "only its hash was asked for".to_owned() },
            RawLive::Many(rows) => Live::Ambiguous { rows },
        };
        match head {
            Ok(head) => RecordState { record, live, head, clock },
            // Without its head the record looks untracked, and is not: nothing may be planned on it.
            Err(reason) => RecordState { record, live: Live::Unreadable { reason }, head: None, clock },
        }
    }
}

/// What a pass over whole collections keeps of a live document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    Document,
    Hash,
}

/// Streams live and head of the records of a scope.
pub(crate) async fn records(
    store: &Store,
    env: &EnvName,
    scope: &Scope,
    keep: Keep,
    out: &mut Sink<Scanned>,
) -> Result<(), Halt> {
    match scope {
        Scope::Records(records) => named(store, records, out).await,
        Scope::All(Some(name)) => {
            let table = Arc::clone(store.table(name)?);
            all(store, &[table], env, keep, out).await
        }
        Scope::All(None) => {
            let tables: Vec<Arc<LiveTable>> = store.tables.values().cloned().collect();
            all(store, &tables, env, keep, out).await
        }
    }
}

// --- by name -------------------------------------------------------------------------------------

async fn named(store: &Store, records: &[RecordKey], out: &mut Sink<Scanned>) -> Result<(), Halt> {
    let mut asked: BTreeMap<(&EnvName, &CollectionName), BTreeSet<&IdKey>> = BTreeMap::new();
    for record in records {
        asked.entry((&record.env, &record.collection)).or_default().insert(&record.id);
    }
    // A collection that is not configured is refused before the first row.
    for (_, collection) in asked.keys() {
        store.table(collection)?;
    }
    let mut runs: Vec<(RecordKeys<'_>, Arc<LiveTable>)> = Vec::new();
    for ((env, collection), ids) in asked {
        let ids: Vec<&IdKey> = ids.into_iter().collect();
        let table = store.table(collection)?;
        runs.extend(ids.chunks(RUN).map(|ids| (RecordKeys { env, collection, ids: ids.to_vec() }, Arc::clone(table))));
    }
    let mut session = store.snapshot().await?;
    for (keys, table) in runs {
        for row in run(store, &mut session, &table, &keys).await? {
            out.push(Scanned::Record(row), 0).await?;
        }
    }
    Ok(())
}

struct RecordKeys<'r> {
    env: &'r EnvName,
    collection: &'r CollectionName,
    ids: Vec<&'r IdKey>,
}

impl RecordKeys<'_> {
    fn record(&self, id: &IdKey) -> RecordKey {
        RecordKey { env: self.env.clone(), collection: self.collection.clone(), id: id.clone() }
    }
}

#[derive(Default)]
struct Found {
    live: Vec<RawDocumentBuf>,
    outside: u64,
    head: Option<Result<HeadState, String>>,
}

/// Reads some records of one collection: one aggregate.
async fn run(
    store: &Store,
    session: &mut Reading,
    table: &Arc<LiveTable>,
    keys: &RecordKeys<'_>,
) -> Result<Vec<Row>, AdapterError> {
    let records: Vec<Bson> = keys.ids.iter().map(|id| record_filter(&keys.record(id)).into()).collect();
    let live = [
        doc! { "$match": table.with_ids(keys.ids.iter().copied()) },
        doc! { "$project": { "_id": 0, "live": "$$ROOT", "now": "$$NOW" } },
    ];
    let heads = vec![
        doc! { "$match": { "_id": { "$in": records } } },
        doc! { "$project": { "_id": 0, "head": "$$ROOT", "now": "$$NOW" } },
    ];
    let mut found: BTreeMap<IdKey, Found> = BTreeMap::new();
    let mut now = None;
    if store.one_database {
        let both = live.into_iter().chain([doc! { "$unionWith": { "coll": &store.names.heads, "pipeline": heads } }]);
        let cursor = store.live_collection(table).aggregate(both).session(&mut session.live).await;
        collect(store, &mut session.live, table, cursor, &mut found, &mut now).await?;
    } else {
        // An aggregate reads one database; the session makes the two reads one snapshot, if it can.
        let cursor = store.live_collection(table).aggregate(live).session(&mut session.live).await;
        collect(store, &mut session.live, table, cursor, &mut found, &mut now).await?;
        let cursor = store.heads().aggregate(heads).session(session.history()).await;
        collect(store, session.history(), table, cursor, &mut found, &mut now).await?;
    }
    let clock = match now {
        Some(now) => store.reading(now),
        None => store.clock().await?,
    };
    let row = |id: &&IdKey| {
        let mut found = found.remove(*id).unwrap_or_default();
        let live = match (found.live.pop(), found.live.len()) {
            (None, _) => RawLive::Absent { outside_rule: found.outside },
            (Some(raw), 0) => RawLive::One(raw),
            (Some(_), others) => RawLive::Many(others as u64 + 1),
        };
        Row { table: Arc::clone(table), record: keys.record(id), live, head: found.head.transpose(), clock }
    };
    Ok(keys.ids.iter().map(row).collect())
}

async fn collect(
    store: &Store,
    session: &mut ClientSession,
    table: &LiveTable,
    cursor: mongodb::error::Result<SessionCursor<Document>>,
    found: &mut BTreeMap<IdKey, Found>,
    now: &mut Option<DateTime>,
) -> Result<(), AdapterError> {
    let fail = |error: mongodb::error::Error| store.place.error(&error);
    let mut cursor = cursor.map_err(fail)?;
    while cursor.advance(session).await.map_err(fail)? {
        let row = cursor.current();
        *now = now.or_else(|| row.get_datetime("now").ok());
        if let Ok(live) = row.get_document("live") {
            // The server's filter lets more pass than is meant.
            if let Some(id) = table.id_of(live) {
                let found = found.entry(id).or_default();
                if table.is_live_raw(live) { found.live.push(live.to_owned()) } else { found.outside += 1 }
            }
        } else if let Ok(head) = row.get_document("head") {
            let (record, state) = standing(head)?;
            found.entry(record.id).or_default().head = Some(state);
        }
    }
    Ok(())
}

/// Reads a head that may be damaged.
fn standing(head: &RawDocument) -> Result<(RecordKey, Result<HeadState, String>), AdapterError> {
    let key = head.get_document("_id").map_err(|_| crate::errors::damaged("a head without a record"))?;
    let record = heads::read_record(key)?;
    let state = heads::state(head).ok_or_else(|| {
        "its head in the history lacks something; cfg fsck says more, and a backup has it as it was".to_owned()
    });
    Ok((record, state))
}

// --- whole collections ---------------------------------------------------------------------------

/// A live document whose id is known: held, hashed, or to be fetched by its place.
struct Place {
    id: IdKey,
    at: At,
}

enum At {
    Held(RawDocumentBuf),
    Hashed(Oid),
    Place(Bson),
}

async fn all(
    store: &Store,
    tables: &[Arc<LiveTable>],
    env: &EnvName,
    keep: Keep,
    out: &mut Sink<Scanned>,
) -> Result<(), Halt> {
    let clock = store.clock().await?;
    let mut session = store.snapshot().await?;
    for table in tables {
        let mut strays = BTreeMap::new();
        let live = scan(store, &mut session.live, table, keep, &mut strays).await?;
        merge(store, &mut session, Collection { table, env, clock }, live, out).await?;
        if let Some(strays) = report(table, &strays) {
            out.push(Scanned::Strays(strays), 0).await?;
        }
    }
    Ok(())
}

/// Reads the live documents of a collection, sorted by id. What there is to do with them is done on another
/// thread, while the server sends the next ones.
async fn scan(
    store: &Store,
    session: &mut ClientSession,
    table: &Arc<LiveTable>,
    keep: Keep,
    strays: &mut BTreeMap<&'static str, u64>,
) -> Result<Vec<Place>, AdapterError> {
    let fail = |error: mongodb::error::Error| store.place.error(&error);
    let cursor = store.live_collection(table).find(table.live_filter()).batch_size(4000).session(&mut *session).await;
    let mut cursor = cursor.map_err(fail)?;
    let mut sorted = Sorted { found: Vec::new(), held: 0, strays };
    let mut at_work: VecDeque<JoinHandle<Vec<Sorting>>> = VecDeque::new();
    let (mut rows, mut bytes) = (Vec::new(), 0);
    loop {
        let more = cursor.advance(session).await.map_err(fail)?;
        if more {
            let row = cursor.current().to_owned();
            bytes += row.as_bytes().len();
            rows.push(row);
        }
        if !rows.is_empty() && (!more || rows.len() >= SORTED_ROWS || bytes >= SORTED_BYTES) {
            let (rows, table) = (std::mem::take(&mut rows), Arc::clone(table));
            bytes = 0;
            let work = move || rows.into_iter().filter_map(|row| sort_out(&table, keep, row)).collect();
            at_work.push_back(tokio::task::spawn_blocking(work));
        }
        while at_work.len() > if more { SORTED_AT_ONCE } else { 0 } {
            let Some(done) = at_work.pop_front() else { break };
            let done = done.await.map_err(|_| storage("the documents that came could not be looked at"))?;
            done.into_iter().try_for_each(|row| sorted.take(row))?;
        }
        if !more {
            break;
        }
    }
    let mut found = sorted.found;
    found.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    Ok(found)
}

/// So many documents, or bytes of them, are looked at in one piece, and so many pieces wait at the most.
const SORTED_ROWS: usize = 256;
const SORTED_BYTES: usize = 1024 * 1024;
const SORTED_AT_ONCE: usize = 4;

/// A live document with its id, or why it belongs to no record.
type Sorting = Result<(IdKey, At), &'static str>;

fn sort_out(table: &LiveTable, keep: Keep, row: RawDocumentBuf) -> Option<Sorting> {
    if !table.is_live_raw(&row) {
        return None;
    }
    Some(table.id_or_reason(&row).map(|id| {
        // What is unusual is kept for the long way.
        let hash = if keep == Keep::Hash { table.quick_oid(&row) } else { None };
        (id, hash.map_or(At::Held(row), At::Hashed))
    }))
}

struct Sorted<'s> {
    found: Vec<Place>,
    held: usize,
    strays: &'s mut BTreeMap<&'static str, u64>,
}

impl Sorted<'_> {
    fn take(&mut self, row: Sorting) -> Result<(), AdapterError> {
        let (id, mut at) = match row {
            Ok(row) => row,
            Err(reason) => {
                *self.strays.entry(reason).or_default() += 1;
                return Ok(());
            }
        };
        if let At::Held(row) = &at {
            self.held += row.as_bytes().len();
            if self.held > HELD_BYTES {
                let place = row.get("_id").ok().flatten().and_then(|id| Bson::try_from(id).ok());
                at = At::Place(place.ok_or_else(|| storage("a document without an _id"))?);
            }
        }
        self.found.push(Place { id, at });
        Ok(())
    }
}

/// Says how many live documents belong to no record, why, and how to find them.
fn report(table: &LiveTable, strays: &BTreeMap<&'static str, u64>) -> Option<Strays> {
    let rows: u64 = strays.values().sum();
    if rows == 0 {
        return None;
    }
    let reasons: Vec<String> = strays.iter().map(|(reason, n)| format!("{n} {reason}")).collect();
    let unusable: Vec<String> = (table.config.id_fields.iter())
        .map(|field| format!("{{ {field:?}: {{ $not: {{ $type: [\"string\", \"int\", \"long\", \"objectId\"] }} }} }}"))
        .collect();
    Some(Strays {
        collection: table.config.name.clone(),
        rows,
        reason: reasons.join(", "),
        hint: format!(
            "look at them and give them ids: db.getCollection({:?}).find({{ $or: [{}] }})",
            table.config.table,
            unusable.join(", ")
        ),
    })
}

#[derive(Clone, Copy)]
struct Collection<'c> {
    table: &'c Arc<LiveTable>,
    env: &'c EnvName,
    clock: ClockReading,
}

/// Merges live documents with heads, both by record key.
async fn merge(
    store: &Store,
    session: &mut Reading,
    collection: Collection<'_>,
    live: Vec<Place>,
    out: &mut Sink<Scanned>,
) -> Result<(), Halt> {
    let fail = |error: mongodb::error::Error| Halt::from(store.place.error(&error));
    let range = crate::entries::of_collection(collection.env, &collection.table.config.name);
    let heads = store.heads();
    let heads = heads.find(doc! { "_id": range }).sort(doc! { "_id": 1 }).batch_size(4000);
    let mut heads = heads.session(session.history()).await.map_err(fail)?;
    let mut head = next_head(store, &mut heads, session.history()).await?;
    let mut live = live.into_iter().peekable();
    let mut pending: Vec<Located> = Vec::with_capacity(RUN);
    loop {
        let order = match (live.peek(), &head) {
            (None, None) => break,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(place), Some((record, _))) => place.id.cmp(&record.id),
        };
        let mut rows = Vec::new();
        let mut id = None;
        if order.is_le()
            && let Some(first) = live.next()
        {
            rows.push(first.at);
            while let Some(other) = live.next_if(|place| place.id == first.id) {
                rows.push(other.at);
            }
            id = Some(first.id);
        }
        let mut state = Ok(None);
        if order.is_ge()
            && let Some((record, found)) = head.take()
        {
            state = found.map(Some);
            id = Some(record.id);
            head = next_head(store, &mut heads, session.history()).await?;
        }
        let Some(id) = id else { break };
        pending.push((id, rows, state));
        if pending.len() == RUN {
            emit(store, &mut session.live, collection, std::mem::take(&mut pending), out).await?;
        }
    }
    emit(store, &mut session.live, collection, pending, out).await
}

type Head = Option<(RecordKey, Result<HeadState, String>)>;

async fn next_head(
    store: &Store,
    cursor: &mut SessionCursor<RawDocumentBuf>,
    session: &mut ClientSession,
) -> Result<Head, AdapterError> {
    if cursor.advance(session).await.map_err(|error| store.place.error(&error))? {
        standing(cursor.current()).map(Some)
    } else {
        Ok(None)
    }
}

/// A record of a run: its id, its live rows, and its head or why there is none to read.
type Located = (IdKey, Vec<At>, Result<Option<HeadState>, String>);

/// Sends a run of records on, fetching the documents that were not held.
async fn emit(
    store: &Store,
    session: &mut ClientSession,
    collection: Collection<'_>,
    run: Vec<Located>,
    out: &mut Sink<Scanned>,
) -> Result<(), Halt> {
    let Collection { table, env, clock } = collection;
    let mut fetched: BTreeMap<IdKey, RawDocumentBuf> = BTreeMap::new();
    let places: Vec<Bson> = (run.iter())
        .filter_map(|(_, rows, _)| match rows.as_slice() {
            [At::Place(place)] => Some(place.clone()),
            _ => None,
        })
        .collect();
    if !places.is_empty() {
        let fail = |error: mongodb::error::Error| store.place.error(&error);
        let cursor = store.live_collection(table).find(doc! { "_id": { "$in": places } }).session(&mut *session).await;
        let mut cursor = cursor.map_err(fail)?;
        while cursor.advance(session).await.map_err(fail)? {
            let row = cursor.current();
            if let Some(id) = table.id_of(row) {
                fetched.insert(id, row.to_owned());
            }
        }
    }
    for (id, mut rows, head) in run {
        let live = match (rows.pop(), rows.len()) {
            (None, _) => RawLive::Absent { outside_rule: 0 },
            (Some(At::Held(raw)), 0) => RawLive::One(raw),
            (Some(At::Hashed(oid)), 0) => RawLive::Hashed(oid),
            (Some(At::Place(_)), 0) => RawLive::One(
                fetched.remove(&id).ok_or_else(|| storage("a live document is gone in the same snapshot"))?,
            ),
            (Some(_), others) => RawLive::Many(others as u64 + 1),
        };
        let bytes = if let RawLive::One(raw) = &live { raw.as_bytes().len() } else { 0 };
        let record = RecordKey { env: env.clone(), collection: table.config.name.clone(), id };
        let row = Row { table: Arc::clone(table), record, live, head, clock };
        out.push(Scanned::Record(row), bytes).await?;
    }
    Ok(())
}
