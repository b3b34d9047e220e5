//! Applying a batch where there are no transactions: a standalone server, or live and history on two
//! deployments. One record at a time, never on a gated env.
//!
//! An intent is written first, which is also the record's lock; then live; then the intent is marked, and
//! from there on the change holds; then the entries, the ends of older ones and the head; then the intent
//! goes. Whoever finds the intent of a program that is gone finishes it if it is marked, or if live holds
//! what it was to write: what was there before is in the intent alone. Else he drops it. Only where somebody
//! else has written over that meanwhile it cannot be told, and live is left as a write around the tool.

use std::collections::BTreeSet;
use std::time::Duration;

use bson::raw::{RawArrayBuf, RawDocument, RawDocumentBuf, cstr};
use bson::{Document, doc, rawdoc};
use cfg_engine::adapter::{AdapterError, Batch, Live, Mending, StoreFinding};
use cfg_engine::history::RecordKey;
use futures_util::TryStreamExt;
use mongodb::ClientSession;

use crate::apply::{self, Ended, PATIENCE, Standing, pause};
use crate::command::{Failed, Kind, run};
use crate::errors::{self, storage};
use crate::heads::{self, read_record};
use crate::live_write;
use crate::others::Others;
use crate::prepare::{
    HeadWrite, Prepared, PreparedChange, close, date, head_fields, link, put_entry, record_filter, record_key,
};
use crate::store::Store;

/// How often live is read and written before it is given up.
const ATTEMPTS: u32 = 12;

/// Applies a batch of at most one record.
pub(crate) async fn apply(store: &Store, prepared: &Prepared<'_>) -> Result<(), AdapterError> {
    tracing::warn!("the server has no transactions across live and history: this write is not atomic");
    let mut sessions = Sessions::start(store).await?;
    check(store, &mut sessions, prepared).await?;
    if let [change] = prepared.changes.as_slice() {
        apply_change(store, &mut sessions, prepared, change).await?;
    }
    error_of(apply::write_objects(store, &mut sessions.history, prepared).await)
}

/// One session with each of the deployments.
struct Sessions {
    live: ClientSession,
    history: ClientSession,
}

impl Sessions {
    async fn start(store: &Store) -> Result<Self, AdapterError> {
        let live = store.client.start_session().await.map_err(|error| store.place.error(&error))?;
        let history = store.history.client().start_session().await.map_err(|error| store.place.error(&error))?;
        Ok(Sessions { live, history })
    }
}

fn error_of(outcome: Result<(), Ended>) -> Result<(), AdapterError> {
    outcome.map_err(|ended| match ended {
        Ended::Error(error) => error,
        Ended::Unexpected => storage("the history holds an entry beyond its head; cfg fsck says more"),
        Ended::Again => AdapterError::Busy,
    })
}

async fn check(store: &Store, sessions: &mut Sessions, prepared: &Prepared<'_>) -> Result<(), AdapterError> {
    let standing: Standing = match apply::read_standing(store, &mut sessions.history, prepared).await {
        Ok(standing) => standing,
        Err(Ended::Error(error)) => return Err(error),
        Err(_) => return Err(AdapterError::Busy),
    };
    apply::check_standing(&standing, prepared)
}

async fn apply_change(
    store: &Store,
    sessions: &mut Sessions,
    prepared: &Prepared<'_>,
    change: &PreparedChange<'_>,
) -> Result<(), AdapterError> {
    let record = &change.change.record;
    let head = match &change.head {
        HeadWrite::Mend { head, tip } => {
            let mended = apply::mended(store, &mut sessions.history, record, head, tip).await;
            mended.map_err(|ended| match ended {
                Ended::Error(error) => error,
                _ => AdapterError::Busy,
            })?
        }
        other => head_fields(other),
    };
    // Read before the lock; the tip that is compared again behind it moves with every overwriting.
    let overwritten = match apply::overwritten(store, &mut sessions.history, prepared).await {
        Ok(overwritten) => overwritten,
        Err(Ended::Error(error)) => return Err(error),
        Err(_) => return Err(AdapterError::Busy),
    };
    let intent = intent(store, prepared.batch, change, head, overwritten);
    lock(store, record, &intent).await?;
    cfg_engine::reached!("mongodb/announced");
    // Nobody else moves the head from here on; somebody may have done it before.
    let written = match check(store, sessions, prepared).await {
        Ok(()) => write_live(store, sessions, prepared).await,
        Err(error) => Err(error),
    };
    if let Err(error) = written {
        // It may be written all the same, and only the answer was lost.
        let is_done = settle(store, &mut sessions.history, &intent).await?;
        return if is_done { Ok(()) } else { Err(error) };
    }
    cfg_engine::reached!("mongodb/live-written");
    if !mark(store, record, prepared.batch.op_id().as_str()).await? {
        // It took so long that somebody thought this program gone.
        return Err(AdapterError::UnknownOutcome);
    }
    cfg_engine::reached!("mongodb/marked");
    // What fails now is finished by whoever comes next.
    finish(store, &mut sessions.history, &intent).await.map_err(|error| {
        tracing::warn!(%error, "a change is written and its history is not yet: it is finished by the next reconcile");
        AdapterError::UnknownOutcome
    })
}

/// Everything that is left to do once live is written.
fn intent(
    store: &Store,
    batch: &Batch,
    change: &PreparedChange<'_>,
    head: RawDocumentBuf,
    overwritten: Vec<RawDocumentBuf>,
) -> RawDocumentBuf {
    let record = &change.change.record;
    let closed = change.change.closed.iter().map(|(seq, ends)| close(record, *seq, *ends));
    let links = change.change.links.iter().map(|(seq, shas)| link(record, *seq, shas));
    let closed = closed.chain(links).chain(overwritten).collect::<RawArrayBuf>();
    let entries = change.entries.iter().collect::<RawArrayBuf>();
    rawdoc! {
        "_id": record_key(record),
        "owner": store.owner.as_str(),
        "op_id": batch.op_id().as_str(),
        "recorded_at": date(batch.recorded_at()),
        "put_confirmed": false,
        "entries": entries,
        "closed": closed,
        "head": head,
    }
}

/// Writes the intent, waiting for whoever is at work on the record and clearing up after whoever is gone.
async fn lock(store: &Store, record: &RecordKey, intent: &RawDocumentBuf) -> Result<(), AdapterError> {
    let started = store.monotonic();
    let mut attempt = 0;
    loop {
        match store.intents().insert_one(intent).await {
            Ok(_) => return Ok(()),
            Err(error) if errors::code(&error) == Some(errors::DUPLICATE_KEY) => {}
            Err(error) => return Err(store.place.error(&error)),
        }
        if store.monotonic() - started > PATIENCE / 10 {
            tracing::debug!(%record, "somebody else is at work on the record");
            return Err(AdapterError::Busy);
        }
        reconcile(store).await?;
        attempt += 1;
        tokio::time::sleep(pause(attempt)).await;
    }
}

/// Removes an intent, and no later one of the same record.
async fn drop_intent(store: &Store, record: &RecordKey, op_id: &str) -> Result<(), AdapterError> {
    let dropped = store.intents().delete_one(doc! { "_id": record_filter(record), "op_id": op_id }).await;
    dropped.map(drop).map_err(|error| store.place.error(&error))
}

/// Ends a change of which it is not known how far it came; returns whether it is done.
async fn settle(store: &Store, session: &mut ClientSession, intent: &RawDocument) -> Result<bool, AdapterError> {
    let record = read_record(intent.get_document("_id").map_err(|_| broken())?)?;
    let op_id = intent.get_str("op_id").map_err(|_| broken())?;
    if is_written(store, &record, intent).await? && mark(store, &record, op_id).await? {
        finish(store, session, intent).await?;
        return Ok(true);
    }
    let q = doc! { "_id": record_filter(&record), "op_id": op_id, "put_confirmed": false };
    store.intents().delete_one(q).await.map_err(|error| store.place.error(&error))?;
    Ok(false)
}

/// Whether live holds what an intent was to write, and history is where it was announced on.
async fn is_written(store: &Store, record: &RecordKey, intent: &RawDocument) -> Result<bool, AdapterError> {
    let entries = list(intent, "entries")?;
    let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return Ok(false) };
    let head = store.heads().find_one(doc! { "_id": record_filter(record) }).await;
    let head = head.map_err(|error| store.place.error(&error))?;
    let tip = head.as_ref().and_then(|head| heads::bytes(head.get_document("tip").ok()?, "entry_id"));
    if tip != heads::bytes(first, "prev_entry_id") {
        return Ok(false);
    }
    let table = store.table(&record.collection)?;
    let mut filter = table.with_ids([&record.id].into_iter());
    let rule = table.live_filter();
    if !rule.is_empty() {
        filter = doc! { "$and": [filter, rule] };
    }
    let fail = |error: mongodb::error::Error| store.place.error(&error);
    let rows: Vec<RawDocumentBuf> =
        store.live_collection(table).find(filter).await.map_err(fail)?.try_collect().await.map_err(fail)?;
    let its = |row: &RawDocumentBuf| table.id_of(row).as_ref() == Some(&record.id) && table.is_live_raw(row);
    let mut rows: Vec<RawDocumentBuf> = rows.into_iter().filter(its).collect();
    Ok(match (rows.pop(), heads::bytes(last, "oid")) {
        (None, None) => true,
        (Some(row), Some(wanted)) if rows.is_empty() => match table.one(row) {
            Live::One(live) => live.oid.is_ok_and(|oid| *oid.as_bytes() == wanted),
            _ => false,
        },
        _ => false,
    })
}

fn broken() -> AdapterError {
    errors::damaged("an intent of a change that lacks something")
}

fn list(intent: &RawDocument, field: &str) -> Result<Vec<RawDocumentBuf>, AdapterError> {
    let list = intent.get_array(field).map_err(|_| broken())?;
    list.into_iter()
        .map(|item| Ok(item.ok().and_then(|item| item.as_document()).ok_or_else(broken)?.to_owned()))
        .collect()
}

/// Marks the intent: from here on the change holds. Returns whether it was there.
async fn mark(store: &Store, record: &RecordKey, op_id: &str) -> Result<bool, AdapterError> {
    let q = doc! { "_id": record_filter(record), "op_id": op_id };
    let marked = store.intents().update_one(q, doc! { "$set": { "put_confirmed": true } }).await;
    Ok(marked.map_err(|_| AdapterError::UnknownOutcome)?.matched_count == 1)
}

/// Checks live and writes it, each document only if it is still what was just read.
async fn write_live(store: &Store, sessions: &mut Sessions, prepared: &Prepared<'_>) -> Result<(), AdapterError> {
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            tokio::time::sleep(pause(attempt)).await;
        }
        let writes = match live_write::check(store, &mut sessions.live, prepared).await {
            Ok(writes) => writes,
            Err(Ended::Error(error)) => return Err(error),
            Err(_) => continue,
        };
        match apply::write_live(store, &mut sessions.live, writes).await {
            Ok(()) => return Ok(()),
            Err(Ended::Error(error)) => return Err(error),
            Err(_) => {}
        }
    }
    Err(AdapterError::Busy)
}

/// Writes what an intent says, as often as it takes, and removes it.
async fn finish(store: &Store, session: &mut ClientSession, intent: &RawDocument) -> Result<(), AdapterError> {
    let entries = list(intent, "entries")?;
    let mut statements: Vec<RawDocumentBuf> = entries.iter().map(put_entry).collect();
    statements.extend(list(intent, "closed")?);
    let run_all = async |session: &mut ClientSession, collection: &str, statements: &[RawDocumentBuf]| match run(
        &store.history,
        session,
        Kind::Update,
        collection,
        statements,
    )
    .await
    {
        Ok(_) => Ok(()),
        Err(Failed::Driver(error)) => Err(store.place.error(&error)),
        // The head is past it: see below.
        Err(Failed::Write { code: errors::DUPLICATE_KEY, .. }) if collection == store.names.heads => Ok(()),
        Err(Failed::Write { code, .. }) => Err(store.place.command(code, "")),
    };
    run_all(session, &store.names.history, &statements).await?;
    cfg_engine::reached!("mongodb/entries-written");
    let key = intent.get_document("_id").map_err(|_| broken())?;
    let head = intent.get_document("head").map_err(|_| broken())?;
    if !head.is_empty() {
        let mut q = RawDocumentBuf::new();
        q.append(cstr!("_id"), key);
        // Somebody else may have finished it, and a later change may have come since: that one's head stays.
        let seq = entries.last().and_then(|entry| entry.get_document("_id").ok()?.get_i64("seq").ok());
        if let Some(seq) = seq {
            q.append(cstr!("tip.seq"), rawdoc! { "$not": { "$gt": seq } });
        }
        let head = rawdoc! { "q": q, "u": { "$set": head.to_owned() }, "upsert": true };
        run_all(session, &store.names.heads, &[head]).await?;
    }
    cfg_engine::reached!("mongodb/head-written");
    drop_intent(store, &read_record(key)?, intent.get_str("op_id").map_err(|_| broken())?).await
}

/// Finishes marked intents of programs that are gone, and drops the others of them.
pub(crate) async fn reconcile(store: &Store) -> Result<(), AdapterError> {
    check_store(store, Mending::Repair).await.map(drop)
}

/// Finds intents of programs that are gone; a repair finishes or drops them.
///
/// A program that was killed a moment ago looks connected until the server has noticed, while a living one is soon done
/// with its change. So this looks again for as long as an intent stays that it found first, up to a second.
pub(crate) async fn check_store(store: &Store, mending: Mending) -> Result<Vec<StoreFinding>, AdapterError> {
    const PAUSES: [u64; 6] = [20, 50, 100, 200, 300, 400];
    let mut found = Vec::new();
    let mut in_work = look(store, mending, &mut found).await?;
    for pause in PAUSES {
        if in_work.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let now = look(store, mending, &mut found).await?;
        in_work.retain(|op_id| now.contains(op_id));
    }
    Ok(found)
}

/// Looks at all intents once; returns the op_ids of those whose programs seem to run.
async fn look(
    store: &Store,
    mending: Mending,
    found: &mut Vec<StoreFinding>,
) -> Result<BTreeSet<String>, AdapterError> {
    let fail = |error: mongodb::error::Error| store.place.error(&error);
    let cursor = store.intents().find(Document::new()).await.map_err(fail)?;
    let intents: Vec<RawDocumentBuf> = cursor.try_collect().await.map_err(fail)?;
    // What was found and not mended is found again.
    found.retain(|finding| finding.is_mended);
    let mut in_work = BTreeSet::new();
    if intents.is_empty() {
        return Ok(in_work);
    }
    let others = Others::ask(store.history.client()).await.map_err(fail)?;
    let mut session = store.history.client().start_session().await.map_err(fail)?;
    for intent in intents {
        let owner = intent.get_str("owner").unwrap_or_default();
        if others.runs(owner) {
            in_work.extend(intent.get_str("op_id").ok().filter(|_| owner != store.owner).map(str::to_owned));
            continue;
        }
        let key = intent.get_document("_id").map_err(|_| errors::damaged("an intent without a record"))?;
        let record = read_record(key)?;
        let confirmed = intent.get_bool("put_confirmed").unwrap_or_default();
        match (mending, confirmed) {
            (Mending::Look, _) => {}
            (Mending::Repair, true) => finish(store, &mut session, &intent).await?,
            // Without its configuration nobody can tell what live holds; somebody else will come who has it.
            (Mending::Repair, false) if store.table(&record.collection).is_err() => continue,
            (Mending::Repair, false) => drop(settle(store, &mut session, &intent).await?),
        }
        let (problem, repair) = if confirmed {
            ("a change was interrupted after its live document was written", "the history of the change is written")
        } else {
            ("a change was interrupted before it was confirmed", "it is finished where live holds it, and dropped else")
        };
        found.push(StoreFinding {
            record: Some(record),
            seq: None,
            code: "pending",
            problem: problem.to_owned(),
            repair: Some(repair.to_owned()),
            is_mended: mending == Mending::Repair,
        });
    }
    Ok(in_work)
}
