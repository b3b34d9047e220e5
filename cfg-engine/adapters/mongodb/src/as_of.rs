//! What was live, or was HEAD, at an instant.
//!
//! Over all records the stored intervals answer: one range of an index, led by the end that leaves fewer
//! entries over. For records asked for by name, and for questions on both axes (whose answer the
//! intervals do not hold), each record's entries are walked from the newest in valid order.

use std::collections::BTreeSet;

use bson::raw::RawDocument;
use bson::{Bson, Document, doc};
use cfg_engine::adapter::{AdapterError, AsOf, AsOfRow, Detail, EntryAddress, Scope};
use cfg_engine::history::{CollectionName, Entry, EnvName, RecordKey, Timestamp};
use mongodb::ClientSession;

use crate::entries::{Rows, address_fields, collections, of_collection, of_collections, read_address, read_entry};
use crate::prepare::{date, record_filter};
use crate::schema;
use crate::store::Store;
use crate::streams::{Halt, Sink};

/// How many records one query asks for.
const RUN: usize = 500;
/// How many bytes of answers are held to be sorted here; more are sorted by the server.
const HELD_BYTES: usize = 48 * 1024 * 1024;

/// Streams the entries that an as-of question picks.
pub(crate) async fn entries(
    store: &Store,
    env: &EnvName,
    scope: &Scope,
    at: AsOf,
    detail: Detail,
    out: &mut Sink<AsOfRow<Entry>>,
) -> Result<(), Halt> {
    let fields = match detail {
        Detail::Header => doc! { "doc": 0 },
        Detail::Document => doc! {},
    };
    let show = |row: &RawDocument| {
        let entry = read_entry(store, row)?;
        // A tombstone holds: nothing was live.
        Ok(entry.header.oid.is_some().then(|| (entry, row.as_bytes().len())))
    };
    pick(store, env, scope, at, &fields, show, |entry| &entry.header.record, out).await
}

/// Streams the addresses that an as-of question picks.
pub(crate) async fn addresses(
    store: &Store,
    env: &EnvName,
    scope: &Scope,
    at: AsOf,
    out: &mut Sink<AsOfRow<EntryAddress>>,
) -> Result<(), Halt> {
    let show = |row: &RawDocument| {
        let entry = read_address(row)?;
        Ok(entry.oid.is_some().then_some((entry, 0)))
    };
    pick(store, env, scope, at, &address_fields(), show, |address| &address.record, out).await
}

#[expect(clippy::too_many_arguments, reason = "the question, and what the answers become")]
async fn pick<T>(
    store: &Store,
    env: &EnvName,
    scope: &Scope,
    at: AsOf,
    fields: &Document,
    show: impl Fn(&RawDocument) -> Result<Option<(T, usize)>, AdapterError>,
    record: impl Fn(&T) -> &RecordKey,
    out: &mut Sink<AsOfRow<T>>,
) -> Result<(), Halt> {
    let mut session = store.snapshot_of_history().await?;
    let stage = stage(fields);
    let interval = match (scope, at) {
        (Scope::All(name), AsOf::Valid(valid)) => {
            Some(Interval::valid(store, &mut session, env, name.as_ref(), valid).await?)
        }
        (Scope::All(name), AsOf::Recorded(recorded)) => Some(Interval::recorded(store, env, name.as_ref(), recorded)),
        _ => None,
    };
    if let Some(interval) = &interval
        && let Some(rows) = held(store, &mut session, interval, fields, &show, record).await?
    {
        for (row, bytes) in rows {
            out.push(row, bytes).await?;
        }
        return Ok(());
    }
    let (recorded, valid) = match at {
        AsOf::Valid(valid) => (Timestamp::OPEN, valid),
        AsOf::Recorded(recorded) => (recorded, Timestamp::OPEN),
        AsOf::Both { recorded, valid } => (recorded, valid),
    };
    let queries = match (interval, scope) {
        (Some(interval), _) => vec![interval.sorted(store, &stage)],
        (None, Scope::All(name)) => {
            let range = |collection| doc! { "_id": of_collection(env, collection) };
            let all = collections(store, name.as_ref());
            all.iter().map(|collection| greatest(store, range(collection), recorded, valid, &stage)).collect()
        }
        (None, Scope::Records(records)) => {
            let records: Vec<&RecordKey> = records.iter().collect::<BTreeSet<_>>().into_iter().collect();
            let query = |records: &[&RecordKey]| {
                let keys: Vec<Bson> = records.iter().map(|record| record_filter(record).into()).collect();
                greatest(store, doc! { "_id": { "$in": keys } }, recorded, valid, &stage)
            };
            records.chunks(RUN).map(query).collect()
        }
    };
    for query in queries {
        let mut rows = query.run(store, &mut session).await?;
        while let Some(row) = rows.next(&mut session).await? {
            if let Some((row, bytes)) = shown(row, &show)? {
                out.push(row, bytes).await?;
            }
        }
    }
    Ok(())
}

/// The stage of a pipeline that leaves these fields, or all.
fn stage(fields: &Document) -> Document {
    if fields.is_empty() {
        doc! { "$match": {} }
    } else {
        doc! { "$project": fields }
    }
}

fn shown<T>(
    row: &RawDocument,
    show: impl Fn(&RawDocument) -> Result<Option<(T, usize)>, AdapterError>,
) -> Result<Option<(AsOfRow<T>, usize)>, AdapterError> {
    let estimated_before_import = row.get_bool("estimated_before_import").unwrap_or_default();
    Ok(show(row)?.map(|(entry, bytes)| (AsOfRow { entry, estimated_before_import }, bytes)))
}

/// Answers, with about how many bytes each has.
type Held<T> = Vec<(AsOfRow<T>, usize)>;

/// Reads all answers and sorts them here, which is cheaper than having them sorted; `None` where they are more
/// than should be held.
async fn held<T>(
    store: &Store,
    session: &mut ClientSession,
    interval: &Interval,
    fields: &Document,
    show: impl Fn(&RawDocument) -> Result<Option<(T, usize)>, AdapterError>,
    record: impl Fn(&T) -> &RecordKey,
) -> Result<Option<Held<T>>, AdapterError> {
    let (mut found, mut bytes) = (Vec::new(), 0);
    let entries = store.entries();
    let hint = mongodb::options::Hint::Name(schema::index_name(interval.index));
    let find = entries.find(interval.filter.clone()).projection(fields.clone()).hint(hint).batch_size(5000);
    let cursor = find.session(&mut *session).await.map_err(|error| missing_index(store, &error))?;
    let mut rows = Rows::of(store, cursor);
    while let Some(row) = rows.next(session).await? {
        bytes += row.as_bytes().len();
        if bytes > HELD_BYTES {
            return Ok(None);
        }
        if let Some((entry, bytes)) = show(row)? {
            found.push((AsOfRow { entry, estimated_before_import: false }, bytes));
        }
    }
    if let Some(pipeline) = &interval.estimated {
        let pipeline = pipeline.iter().cloned().chain([stage(fields)]);
        let query = Query { from: From::Entries, pipeline: pipeline.collect(), hint: None };
        let mut rows = query.run(store, session).await?;
        while let Some(row) = rows.next(session).await? {
            if let Some((entry, bytes)) = show(row)? {
                found.push((AsOfRow { entry, estimated_before_import: true }, bytes));
            }
        }
    }
    found.sort_unstable_by(|(a, _), (b, _)| record(&a.entry).cmp(record(&b.entry)));
    Ok(Some(found))
}

enum From {
    Entries,
    Heads,
}

struct Query {
    from: From,
    pipeline: Vec<Document>,
    /// The index on entries by its short name.
    hint: Option<&'static str>,
}

impl Query {
    async fn run<'s>(self, store: &'s Store, session: &mut ClientSession) -> Result<Rows<'s>, AdapterError> {
        let collection = match self.from {
            From::Entries => store.entries(),
            From::Heads => store.heads(),
        };
        let mut find = collection.aggregate(self.pipeline).allow_disk_use(true).batch_size(5000);
        if let Some(index) = self.hint {
            find = find.hint(mongodb::options::Hint::Name(schema::index_name(index)));
        }
        let cursor = find.session(session).await.map_err(|error| missing_index(store, &error))?;
        Ok(Rows::of(store, cursor.with_type()))
    }
}

fn missing_index(store: &Store, error: &mongodb::error::Error) -> AdapterError {
    match crate::errors::code(error) {
        // A hint that names no index.
        Some(2) => crate::errors::setup(
            "an index of the history is missing",
            "run `cfg init` again: it creates what is missing of the engine's own collections",
        ),
        _ => store.place.error(error),
    }
}

/// The entries of some collections whose interval holds an instant: one range of an index, led by the end that
/// leaves fewer entries over.
struct Interval {
    filter: Document,
    index: &'static str,
    /// What finds the estimated baselines that a valid instant lies before.
    estimated: Option<Vec<Document>>,
}

impl Interval {
    /// `recorded_at <= T < superseded_at`.
    fn recorded(store: &Store, env: &EnvName, name: Option<&CollectionName>, recorded: Timestamp) -> Self {
        let mut filter = of_collections(env, &collections(store, name));
        filter.insert("recorded_at", doc! { "$lte": date(recorded) });
        filter.insert("superseded_at", doc! { "$gt": date(recorded) });
        Interval { filter, index: "superseded_at", estimated: None }
    }

    /// `valid_from <= T < valid_to`. Empty intervals, among them those of redact entries, hold no instant.
    async fn valid(
        store: &Store,
        session: &mut ClientSession,
        env: &EnvName,
        name: Option<&CollectionName>,
        valid: Timestamp,
    ) -> Result<Self, AdapterError> {
        let of = of_collections(env, &collections(store, name));
        let mut filter = of.clone();
        filter.insert("valid_to", doc! { "$gt": date(valid) });
        filter.insert("valid_from", doc! { "$lte": date(valid) });
        let index = if nearer_to_now(store, session, env, valid).await? { "valid_to" } else { "valid_from" };
        let mut estimated = of;
        estimated.insert("valid_from_estimated", true);
        estimated.insert("valid_from", doc! { "$gt": date(valid) });
        estimated.insert("op", doc! { "$ne": "redact" });
        let least = of_same_record(&[doc! { "op": { "$ne": "redact" } }], 1, &doc! { "$project": { "_id": 1 } });
        let estimated = vec![
            doc! { "$match": estimated },
            doc! { "$lookup": {
                "from": &store.names.history, "let": record_variables(), "pipeline": least, "as": "least",
            } },
            doc! { "$match": { "$expr": { "$eq": [{ "$first": "$least._id" }, "$_id"] } } },
            doc! { "$unset": "least" },
        ];
        Ok(Interval { filter, index, estimated: Some(estimated) })
    }

    /// All of it in the order of record keys, however much it is.
    fn sorted(self, store: &Store, stage: &Document) -> Query {
        let mut pipeline = vec![doc! { "$match": self.filter }, stage.clone()];
        if let Some(mut estimated) = self.estimated {
            estimated.push(stage.clone());
            estimated.push(doc! { "$set": { "estimated_before_import": true } });
            pipeline.push(doc! { "$unionWith": { "coll": &store.names.history, "pipeline": estimated } });
        }
        pipeline.push(doc! { "$sort": { "_id": 1 } });
        Query { from: From::Entries, pipeline, hint: Some(self.index) }
    }
}

/// The definition: among the entries of a record recorded and valid by then, the greatest in valid
/// order; and where there is none, the least of all, if it is an estimated baseline.
fn greatest(store: &Store, heads: Document, recorded: Timestamp, valid: Timestamp, fields: &Document) -> Query {
    let known = doc! { "op": { "$ne": "redact" }, "recorded_at": { "$lte": date(recorded) } };
    let by_then = of_same_record(&[known.clone(), doc! { "valid_from": { "$lte": date(valid) } }], -1, fields);
    let least = of_same_record(&[known], 1, fields);
    let history = &store.names.history;
    let pipeline = vec![
        doc! { "$match": heads },
        doc! { "$sort": { "_id": 1 } },
        doc! { "$project": { "_id": 1 } },
        doc! { "$lookup": { "from": history, "let": record_variables(), "pipeline": by_then, "as": "then" } },
        doc! { "$lookup": { "from": history, "let": record_variables(), "pipeline": least, "as": "least" } },
        doc! { "$replaceWith": { "$cond": [
            { "$ne": ["$then", []] },
            { "$first": "$then" },
            { "$mergeObjects": [{ "$first": "$least" }, { "estimated_before_import": true }] },
        ] } },
        doc! { "$match": { "_id": { "$exists": true }, "$or": [
            { "estimated_before_import": { "$exists": false } }, { "valid_from_estimated": true },
        ] } },
    ];
    Query { from: From::Heads, pipeline, hint: None }
}

fn record_variables() -> Document {
    doc! { "env": "$_id.env", "collection": "$_id.collection", "id_key": "$_id.id_key" }
}

/// The first entry of the same record in valid order (`1`) or its reverse (`-1`).
fn of_same_record(filters: &[Document], direction: i32, fields: &Document) -> Vec<Document> {
    let same = doc! { "$expr": { "$and": [
        { "$eq": ["$_id.env", "$$env"] },
        { "$eq": ["$_id.collection", "$$collection"] },
        { "$eq": ["$_id.id_key", "$$id_key"] },
    ] } };
    let filters: Vec<Document> = std::iter::once(same).chain(filters.iter().cloned()).collect();
    vec![
        doc! { "$match": { "$and": filters } },
        doc! { "$sort": { "valid_from": direction, "_id.seq": direction } },
        doc! { "$limit": 1 },
        fields.clone(),
    ]
}

/// Few intervals end after an instant near now, few begin before an old one.
async fn nearer_to_now(
    store: &Store,
    session: &mut ClientSession,
    env: &EnvName,
    at: Timestamp,
) -> Result<bool, AdapterError> {
    let bounds = match store.known_bounds() {
        Some(bounds) => bounds,
        None => {
            let mut ends = [0; 2];
            for (end, direction) in ends.iter_mut().zip([1, -1]) {
                let sort = doc! { "_id.env": direction, "valid_from": direction };
                let entries = store.entries();
                let find = entries.find(doc! { "_id.env": env.as_str() }).sort(sort).limit(1);
                let find = find.projection(doc! { "_id": 0, "valid_from": 1 });
                let cursor = find.session(&mut *session).await.map_err(|error| store.place.error(&error))?;
                if let Some(row) = Rows::of(store, cursor).next(session).await? {
                    *end = row.get_datetime("valid_from").map(|at| at.timestamp_millis()).unwrap_or_default();
                }
            }
            let bounds = (ends[0], ends[1]);
            store.learn_bounds(bounds);
            bounds
        }
    };
    Ok(at.as_millis() > bounds.0 / 2 + bounds.1 / 2)
}
