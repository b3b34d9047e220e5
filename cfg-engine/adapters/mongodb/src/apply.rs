//! One batch as one transaction.
//!
//! There are two ways through it. The **short** one sends what is expected along with what is written:
//! live, history, heads, commit. Each command says how many documents it found, and if that is not how
//! many it should have, nothing is committed. The **careful** one reads first, inside the transaction,
//! decides here by the engine's own idea of equality, and then writes: that is how adoptions, seeds and
//! deletions are made, and how it is found out what was the matter where the short way failed.
//!
//! A transaction's snapshot and the conflicts of its writes do the rest: whoever changed one of the
//! documents since makes the transaction fail, and it is run again.

use std::collections::BTreeMap;
use std::time::Duration;

use bson::raw::{RawDocument, RawDocumentBuf, cstr};
use bson::{Bson, DateTime, Document, RawBson, doc, rawdoc};
use cfg_engine::adapter::{
    AdapterError, Change, ExpectedHead, ExpectedLive, ExpectedVersion, HeadRef, HeadState, LiveWrite, ObjectGuard,
    ObjectKey, StoredDigest, TipRef,
};
use cfg_engine::document::EntryId;
use cfg_engine::history::{RecordKey, Timestamp};
use mongodb::ClientSession;
use mongodb::options::ReadConcern;

use crate::command::{Failed, Kind, Written, run};
use crate::entries::{of_record, read_entry};
use crate::errors::{self, damaged, not_initialised, storage};
use crate::fallback;
use crate::heads;
use crate::live_write::{self, LiveWrites};
use crate::prepare::{
    HeadWrite, Prepared, close, close_many, date, first_head, link, mended_head, move_head, over, put_entry, put_head,
    record_filter, seq_field, tip_part,
};
use crate::short;
use crate::store::{Store, schema_id, transaction};

/// How far a batch's time may lie behind or ahead of the store's clock.
pub(crate) const CLOCK_TOLERANCE_MS: i64 = 2000;
/// How often a transaction that met another one is run.
const ATTEMPTS: u32 = 24;
/// How often the answer to a commit is asked for.
const COMMITS: u32 = 5;
/// For how long is waited until what made a batch stale is shown to everybody.
const SHOWN_WITHIN: Duration = Duration::from_secs(5);
/// For how long a batch is tried at all.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// How an attempt ended that did not commit.
pub(crate) enum Ended {
    /// Something was not as expected, or a conflict: the careful way says what.
    Unexpected,
    /// Another transaction or write came in between: the same again may succeed.
    Again,
    Error(AdapterError),
}

impl From<AdapterError> for Ended {
    fn from(error: AdapterError) -> Self {
        Ended::Error(error)
    }
}

/// Applies a batch.
pub(crate) async fn apply(store: &Store, prepared: &Prepared<'_>) -> Result<(), AdapterError> {
    if !store.transactional {
        return fallback::apply(store, prepared).await;
    }
    let started = store.monotonic();
    let mut session = store.client.start_session().await.map_err(|error| store.place.error(&error))?;
    let short = short::plan(store, prepared);
    // After a conflict the same is tried again; what was unexpected is looked at.
    let mut look = short.is_none();
    for n in 0..ATTEMPTS {
        if n > 0 && store.monotonic() - started > PATIENCE {
            break;
        }
        let way = match &short {
            Some(plan) if !look => Way::Short(plan),
            _ => Way::Careful,
        };
        match attempt(store, &mut session, way, prepared).await {
            Ok(()) => return Ok(()),
            Err(Ended::Error(error)) => {
                if is_stale(&error) {
                    until_shown(store, &mut session).await;
                }
                return Err(error);
            }
            Err(Ended::Unexpected) if look => {
                return Err(damaged("the history lacks an entry that the batch names, or has one beyond its head"));
            }
            Err(Ended::Unexpected) => look = true,
            Err(Ended::Again) => {
                // The careful way is open to conflicts for longer; the next short one may slip through.
                look = short.is_none();
                tokio::time::sleep(pause(n)).await;
            }
        }
    }
    Err(AdapterError::Busy)
}

fn is_stale(error: &AdapterError) -> bool {
    matches!(error, AdapterError::StaleHead { .. } | AdapterError::StaleLive { .. } | AdapterError::StaleObject { .. })
}

/// Waits until snapshots show what made a transaction stale. A transaction sees what is committed; a snapshot shows
/// what a majority holds on disk, which may be a second later where the disk is busy. Whoever planned anew from the
/// old one would only be refused again. That it takes too long is no error: the refusal stands.
async fn until_shown(store: &Store, session: &mut ClientSession) {
    // The session is causally consistent: this is answered when a majority holds what it has seen.
    let heads = store.heads();
    let shown = heads.find_one(doc! { "_id": Bson::Null }).read_concern(ReadConcern::majority());
    if shown.max_time(SHOWN_WITHIN).session(session).await.is_err() {
        tracing::debug!("what made a batch stale may not be shown yet");
    }
}

/// A pause that grows, and is different for everybody who waits.
pub(crate) fn pause(attempt: u32) -> Duration {
    let most = 2u64 << (attempt / 2).min(5);
    // The random part of an ObjectId changes with every one that is made.
    let id = bson::oid::ObjectId::new().bytes();
    let seed = u64::from_le_bytes([id[11], id[10], id[9], id[4], id[5], id[6], id[7], id[8]]);
    let mixed = (seed ^ 0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    Duration::from_millis(1 + (mixed >> 32) % most)
}

enum Way<'p> {
    Short(&'p short::Plan),
    Careful,
}

async fn attempt(
    store: &Store,
    session: &mut ClientSession,
    way: Way<'_>,
    prepared: &Prepared<'_>,
) -> Result<(), Ended> {
    session.start_transaction().with_options(transaction()).await.map_err(|error| ended(store, &error))?;
    cfg_engine::reached!("mongodb/begun");
    let written = match way {
        Way::Short(plan) => short::write(store, session, plan, prepared).await,
        Way::Careful => careful(store, session, prepared).await,
    };
    cfg_engine::reached!("mongodb/before-commit");
    match written {
        Ok(()) => {
            commit(store, session).await?;
            cfg_engine::reached!("mongodb/committed");
            Ok(())
        }
        Err(ended) => {
            // Whether or not the server hears it, nothing of an uncommitted transaction is seen.
            let _ = session.abort_transaction().await;
            Err(ended)
        }
    }
}

/// Commits, asking again where the answer was lost: the same commit may be sent any number of times.
async fn commit(store: &Store, session: &mut ClientSession) -> Result<(), Ended> {
    let mut unknown = false;
    for n in 0..COMMITS {
        match session.commit_transaction().await {
            Ok(()) => return Ok(()),
            Err(error) if errors::is_unknown_commit(&error) => {
                tracing::debug!(attempt = n, "the result of a commit is not known; asking again");
                unknown = true;
                tokio::time::sleep(pause(n + 3)).await;
            }
            // The transaction is gone. If its commit was sent before, it may be gone because it was done.
            Err(error) if errors::is_transient(&error) && !unknown => return Err(Ended::Again),
            Err(_) if unknown => break,
            Err(error) => return Err(ended(store, &error)),
        }
    }
    Err(Ended::Error(AdapterError::UnknownOutcome))
}

/// What a failed command inside a transaction means.
pub(crate) fn ended(store: &Store, error: &mongodb::error::Error) -> Ended {
    // Server selection and the like come without the label of the server, with the driver's.
    let gone = matches!(&*error.kind, mongodb::error::ErrorKind::ServerSelection { .. });
    if errors::is_transient(error) && !gone { Ended::Again } else { Ended::Error(store.place.error(error)) }
}

pub(crate) fn failed(store: &Store, failed: &Failed) -> Ended {
    match failed {
        Failed::Driver(error) => ended(store, error),
        Failed::Write { code, .. } => Ended::Error(store.place.command(*code, "")),
    }
}

// --- the careful way -----------------------------------------------------------------------------

/// What the engine's collections hold, read inside the transaction.
pub(crate) struct Standing {
    now: DateTime,
    heads: BTreeMap<RecordKey, HeadState>,
    /// The newest entries of records whose heads are expected to be lost.
    newest: BTreeMap<RecordKey, TipRef>,
    versions: Versions,
}

async fn careful(store: &Store, session: &mut ClientSession, prepared: &Prepared<'_>) -> Result<(), Ended> {
    let standing = read_standing(store, session, prepared).await?;
    check_standing(&standing, prepared)?;
    let overwritten = overwritten(store, session, prepared).await?;
    let live = live_write::check(store, session, prepared).await?;
    write_live(store, session, live).await?;
    write_history(store, session, prepared, overwritten).await?;
    write_heads(store, session, prepared, Clock::Checked).await?;
    write_objects(store, session, prepared).await
}

pub(crate) async fn read_standing(
    store: &Store,
    session: &mut ClientSession,
    prepared: &Prepared<'_>,
) -> Result<Standing, Ended> {
    let records: Vec<Bson> = prepared.changes.iter().map(|c| record_filter(&c.change.record).into()).collect();
    let names = &store.names;
    let expected_in = |place: &String| -> Vec<Bson> {
        let keys =
            prepared.batch.expected_objects().map(|(key, _)| key).filter(|key| store.place_of(&key.kind) == place);
        keys.map(|key| doc! { "kind": key.kind.as_str(), "name": key.name.as_str() }.into()).collect()
    };
    let objects_in = |place: &String| -> Document {
        doc! { "$lookup": {
            "from": place,
            "pipeline": [
                { "$match": { "_id": { "$in": expected_in(place) }, "body": { "$exists": true } } },
                { "$project": { "version": 1 } },
            ],
            "as": "objects",
        } }
    };
    // One row, whatever there is: it carries the clock, and says that the store is initialised.
    let pipeline = [
        doc! { "$match": { "_id": schema_id() } },
        doc! { "$lookup": {
            "from": &names.heads, "pipeline": [{ "$match": { "_id": { "$in": records } } }], "as": "heads",
        } },
        objects_in(&names.objects),
        doc! { "$set": { "others": "$objects" } },
        objects_in(&names.heads),
        doc! { "$project": { "heads": 1, "objects": { "$concatArrays": ["$objects", "$others"] }, "now": "$$NOW" } },
    ];
    let mut cursor =
        store.objects().aggregate(pipeline).session(&mut *session).await.map_err(|error| ended(store, &error))?;
    if !cursor.advance(session).await.map_err(|error| ended(store, &error))? {
        return Err(Ended::Error(not_initialised()));
    }
    let row = cursor.current();
    let broken = |_| Ended::Error(storage("the server's answer has another form than was asked for"));
    let mut standing = Standing {
        now: row.get_datetime("now").map_err(broken)?,
        heads: BTreeMap::new(),
        newest: BTreeMap::new(),
        versions: BTreeMap::new(),
    };
    for head in row.get_array("heads").map_err(broken)? {
        let head =
            head.ok().and_then(|head| head.as_document()).ok_or_else(|| damaged("a head that is no document"))?;
        let (record, state) = heads::read(head)?;
        standing.heads.insert(record, state);
    }
    for object in row.get_array("objects").map_err(broken)? {
        let object = object.ok().and_then(|object| object.as_document());
        let (key, version) = object.and_then(version).ok_or_else(|| damaged("an object without a name or version"))?;
        standing.versions.insert(key, version);
    }
    for change in prepared.changes.iter().map(|prepared| prepared.change) {
        if matches!(change.expected_head, ExpectedHead::Lost { .. })
            && let Some(tip) = newest_entry(store, session, &change.record).await?
        {
            standing.newest.insert(change.record.clone(), tip);
        }
    }
    Ok(standing)
}

/// Reads an object's kind, name and version.
fn version(object: &RawDocument) -> Option<((String, String), u64)> {
    let id = object.get_document("_id").ok()?;
    let key = (id.get_str("kind").ok()?.to_owned(), id.get_str("name").ok()?.to_owned());
    Some((key, u64::try_from(object.get_i64("version").ok()?).ok()?))
}

/// Reads the tip as the entries have it.
async fn newest_entry(store: &Store, session: &mut ClientSession, record: &RecordKey) -> Result<Option<TipRef>, Ended> {
    let entries = store.entries();
    let find = entries.find(doc! { "_id": of_record(record) }).sort(doc! { "_id": -1 }).limit(1);
    let fields = doc! { "entry_id": 1, "recorded_at": 1 };
    let mut cursor = find.projection(fields).session(&mut *session).await.map_err(|error| ended(store, &error))?;
    if !cursor.advance(session).await.map_err(|error| ended(store, &error))? {
        return Ok(None);
    }
    let row = cursor.current();
    let read = || {
        Some(TipRef {
            seq: heads::seq(row.get_document("_id").ok()?, "seq")?,
            entry_id: EntryId::from_bytes(heads::bytes(row, "entry_id")?),
            recorded_at: heads::instant(row, "recorded_at")?,
        })
    };
    Ok(Some(read().ok_or_else(|| damaged(format!("the newest entry of {record} lacks something")))?))
}

/// Checks heads before objects, and both before the time: a batch that comes again is told of its heads.
pub(crate) fn check_standing(standing: &Standing, prepared: &Prepared<'_>) -> Result<(), AdapterError> {
    prepared.changes.iter().try_for_each(|prepared| check_head(standing, prepared.change))?;
    let mut objects = prepared.batch.expected_objects();
    objects.try_for_each(|(key, expected)| check_object(&standing.versions, key, expected))?;
    check_clock(standing, prepared)
}

fn check_head(standing: &Standing, change: &Change) -> Result<(), AdapterError> {
    let current = standing.heads.get(&change.record);
    let as_expected = match (&change.expected_head, current) {
        (ExpectedHead::Absent, None) => true,
        (ExpectedHead::At { head, tip }, Some(current)) => current.head == *head && current.tip == *tip,
        (ExpectedHead::Lost { tip }, None) => standing.newest.get(&change.record) == Some(tip),
        _ => false,
    };
    if as_expected {
        return Ok(());
    }
    Err(AdapterError::StaleHead { record: change.record.clone(), current: current.cloned().map(Box::new) })
}

/// The versions of objects, by kind and name.
pub(crate) type Versions = BTreeMap<(String, String), u64>;

pub(crate) fn check_object(
    versions: &Versions,
    key: &ObjectKey,
    expected: ExpectedVersion,
) -> Result<(), AdapterError> {
    let key = (key.kind.clone(), key.name.clone());
    let as_expected = match (expected, versions.get(&key)) {
        (ExpectedVersion::Absent, None) => true,
        (ExpectedVersion::At(wanted), Some(version)) => *version == wanted,
        _ => false,
    };
    if as_expected { Ok(()) } else { Err(AdapterError::StaleObject { kind: key.0, name: key.1 }) }
}

/// Checks the batch's time: later than each tip, at most 2 s behind the store's clock, and at most 2 s
/// ahead of it unless it is exactly a tip plus 1 ms (the store's clock stepped back).
fn check_clock(standing: &Standing, prepared: &Prepared<'_>) -> Result<(), AdapterError> {
    let now = Timestamp::from_millis(standing.now.timestamp_millis());
    let at = prepared.batch.recorded_at();
    let newest = newest_tip(prepared);
    let after_tips = newest.is_none_or(|tip| at > tip);
    let behind = at < now.plus_millis(-CLOCK_TOLERANCE_MS);
    let ahead = at > now.plus_millis(CLOCK_TOLERANCE_MS) && newest.map(|tip| tip.plus_millis(1)) != Some(at);
    if !after_tips || behind || ahead {
        return Err(AdapterError::Clock { now });
    }
    Ok(())
}

/// The newest of the tips that the batch expects.
pub(crate) fn newest_tip(prepared: &Prepared<'_>) -> Option<Timestamp> {
    let tips = prepared.changes.iter().filter_map(|prepared| match &prepared.change.expected_head {
        ExpectedHead::At { tip, .. } => Some(tip.recorded_at),
        ExpectedHead::Absent | ExpectedHead::Lost { .. } => None,
    });
    tips.max()
}

pub(crate) async fn write_live(
    store: &Store,
    session: &mut ClientSession,
    writes: Vec<LiveWrites>,
) -> Result<(), Ended> {
    for writes in writes {
        let table = &writes.table.config.table;
        let kinds = [(Kind::Update, &writes.updates), (Kind::Delete, &writes.deletes), (Kind::Insert, &writes.inserts)];
        for (kind, statements) in kinds {
            let (records, statements): (Vec<&RecordKey>, Vec<RawDocumentBuf>) =
                statements.iter().map(|(record, statement)| (record, statement.clone())).unzip();
            if statements.is_empty() {
                continue;
            }
            match run(&store.live, session, kind, table, &statements).await {
                Ok(Written { found, .. }) if found == statements.len() as u64 => {}
                Ok(_) => return Err(Ended::Again),
                Err(Failed::Write { code, place, text }) => {
                    let record = records.get(place).map(|record| (*record).clone());
                    return Err(refused(store, &writes, record, code, &text));
                }
                Err(Failed::Driver(error)) => return Err(ended(store, &error)),
            }
        }
    }
    Ok(())
}

/// What the user's own collection has against a write.
fn refused(store: &Store, writes: &LiveWrites, record: Option<RecordKey>, code: i32, text: &str) -> Ended {
    let Some(record) = record else { return Ended::Error(store.place.command(code, "")) };
    Ended::Error(match code {
        errors::DUPLICATE_KEY => {
            // `… index: NAME dup key: {…}`, of which only the name is no value.
            let index = text.split("index: ").nth(1).and_then(|rest| rest.split(" dup key").next()).unwrap_or("one");
            if index == "_id_" && !writes.table.hides_id {
                AdapterError::StaleLive { record }
            } else {
                AdapterError::Refused {
                    record,
                    reason: format!("the unique index {index} has such a document already"),
                }
            }
        }
        errors::VALIDATION => {
            AdapterError::Refused { record, reason: "the collection's validator does not take the document".to_owned() }
        }
        10334 | 17419 | 17420 => {
            AdapterError::TooLarge { record, bytes: 16 * 1024 * 1024, limit: crate::table::MAX_DOCUMENT_BYTES }
        }
        other => store.place.command(other, ""),
    })
}

/// The statements that overwrite what is stored of older entries, where it is what was seen.
pub(crate) async fn overwritten(
    store: &Store,
    session: &mut ClientSession,
    prepared: &Prepared<'_>,
) -> Result<Vec<RawDocumentBuf>, Ended> {
    let mut statements = Vec::new();
    for change in prepared.changes.iter().map(|prepared| prepared.change) {
        for overwrite in &change.overwrites {
            let mut key = record_filter(&change.record);
            key.insert("seq", seq_field(overwrite.seq));
            let found = store.entries().find_one(doc! { "_id": key }).session(&mut *session).await;
            let found = found.map_err(|error| ended(store, &error))?;
            let (record, seq) = (&change.record, overwrite.seq);
            let found = found.ok_or_else(|| damaged(format!("entry {seq} of {record} is missing")))?;
            if StoredDigest::of_entry(&read_entry(store, &found)?) != overwrite.stored {
                return Err(AdapterError::StaleHead { record: record.clone(), current: None }.into());
            }
            statements.push(over(store, record, overwrite, &found)?);
        }
    }
    Ok(statements)
}

/// So many entries at the most are sent along with the ends of older ones: one command, in which each entry is a
/// statement of its own. More are inserted by a command that does nothing else, which takes a tenth of the time.
const IN_ONE_COMMAND: usize = 100;

/// Writes new entries, the ends of older ones, and what is overwritten of them.
pub(crate) async fn write_history(
    store: &Store,
    session: &mut ClientSession,
    prepared: &Prepared<'_>,
    overwritten: Vec<RawDocumentBuf>,
) -> Result<(), Ended> {
    let names = &store.names;
    let links = prepared.changes.iter().flat_map(|prepared| {
        let Change { record, links, .. } = prepared.change;
        links.iter().map(move |(seq, shas)| link(record, *seq, shas))
    });
    let ends = (prepared.changes.iter())
        .flat_map(|prepared| prepared.change.closed.iter().map(|(seq, ends)| (&prepared.change.record, *seq, *ends)));
    let entries = || prepared.changes.iter().flat_map(|prepared| &prepared.entries);
    let count = entries().count();
    let together = count <= IN_ONE_COMMAND;
    let closed: Vec<(RawDocumentBuf, u64)> = if together {
        ends.map(|(record, seq, ends)| (close(record, seq, ends), 1)).collect()
    } else {
        close_many(ends)
    };
    let mut found: u64 = closed.iter().map(|(_, count)| count).sum();
    let mut statements: Vec<RawDocumentBuf> = closed.into_iter().map(|(statement, _)| statement).collect();
    let one_by_one = statements.len();
    statements.extend(links.chain(overwritten));
    found += (statements.len() - one_by_one) as u64;
    let mut upserted = 0;
    let written = if together && !statements.is_empty() {
        (found, upserted) = (found + count as u64, count as u64);
        statements.splice(0..0, entries().map(put_entry));
        Ok(Written::default())
    } else {
        let entries: Vec<RawDocumentBuf> = entries().cloned().collect();
        run(&store.history, session, Kind::Insert, &names.history, &entries).await
    };
    let updated = match written {
        Ok(_) => run(&store.history, session, Kind::Update, &names.history, &statements).await,
        failed => failed,
    };
    match updated {
        Ok(written) if written.found == found && written.upserted == upserted => Ok(()),
        Ok(_) | Err(Failed::Write { code: errors::DUPLICATE_KEY, .. }) => Err(Ended::Unexpected),
        Err(other) => Err(failed(store, &other)),
    }
}

/// Whether the batch's time was compared with the store's clock already, and what it guards looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clock {
    Checked,
    /// The statements do it.
    Check,
}

/// The statement that finds a guarded object as it should be, and leaves it as it is.
fn guard_object(guard: &ObjectGuard) -> RawDocumentBuf {
    let version = match guard.expected {
        ExpectedVersion::At(version) => i64::try_from(version).unwrap_or(i64::MAX),
        ExpectedVersion::Absent => -1,
    };
    let id = rawdoc! { "kind": guard.key.kind.as_str(), "name": guard.key.name.as_str() };
    rawdoc! { "q": { "_id": id, "version": version, "body": { "$exists": true } }, "u": { "$set": {} } }
}

/// Moves heads that are where they should be.
pub(crate) async fn write_heads(
    store: &Store,
    session: &mut ClientSession,
    prepared: &Prepared<'_>,
    clock: Clock,
) -> Result<(), Ended> {
    let mut statements = Vec::with_capacity(prepared.changes.len());
    // One of them is enough: all are written or none.
    let mut clock_guard = (clock == Clock::Check).then(|| clock_guard(prepared));
    let (mut first, mut mends) = (0, 0);
    if clock == Clock::Check {
        statements.extend(prepared.batch.guards().iter().map(guard_object));
    }
    for prepared in &prepared.changes {
        match (&prepared.change.expected_head, &prepared.head) {
            (_, HeadWrite::Mend { head, tip }) => {
                let fields = mended(store, session, &prepared.change.record, head, tip).await?;
                mends += 1;
                statements.push(put_head(&prepared.change.record, fields));
            }
            (ExpectedHead::At { head, tip }, _) => statements.push(move_head(prepared, head, tip, clock_guard.take())),
            (ExpectedHead::Absent, HeadWrite::Leave) => {}
            (ExpectedHead::Lost { .. }, _) => {
                return Err(damaged(format!(
                    "the batch for {}: a lost head that it does not mend",
                    prepared.change.record
                ))
                .into());
            }
            (ExpectedHead::Absent, _) => {
                first += 1;
                statements.push(first_head(prepared));
            }
        }
    }
    match run(&store.history, session, Kind::Update, &store.names.heads, &statements).await {
        // What a repair writes may have been there or not.
        Ok(written)
            if written.found == statements.len() as u64 && (first..=first + mends).contains(&written.upserted) =>
        {
            Ok(())
        }
        Ok(_) | Err(Failed::Write { code: errors::DUPLICATE_KEY, .. }) => Err(Ended::Unexpected),
        Err(other) => Err(failed(store, &other)),
    }
}

/// Head and tip as a repair says.
pub(crate) async fn mended(
    store: &Store,
    session: &mut ClientSession,
    record: &RecordKey,
    head: &HeadRef,
    tip: &TipRef,
) -> Result<RawDocumentBuf, Ended> {
    let mut key = record_filter(record);
    key.insert("seq", seq_field(head.seq));
    let entry = store.entries().find_one(doc! { "_id": key }).session(&mut *session).await;
    let entry = entry.map_err(|error| ended(store, &error))?;
    let head = entry.and_then(|entry| mended_head(head, &entry));
    let head = head.ok_or_else(|| damaged(format!("the entry that is to be HEAD of {record} is missing")))?;
    Ok(rawdoc! { "head": head, "tip": tip_part(tip) })
}

/// True where the batch's time fits the server's clock.
fn clock_guard(prepared: &Prepared<'_>) -> RawBson {
    let at = prepared.batch.recorded_at();
    let now_plus = |ms: i64| rawdoc! { "$add": ["$$NOW", ms] };
    let behind = rawdoc! { "$gte": [date(at), now_plus(-CLOCK_TOLERANCE_MS)] };
    if newest_tip(prepared).map(|tip| tip.plus_millis(1)) == Some(at) {
        return RawBson::Document(behind);
    }
    RawBson::Document(rawdoc! { "$and": [behind, { "$lte": [date(at), now_plus(CLOCK_TOLERANCE_MS)] }] })
}

pub(crate) async fn write_objects(
    store: &Store,
    session: &mut ClientSession,
    prepared: &Prepared<'_>,
) -> Result<(), Ended> {
    let names = &store.names;
    for place in [&names.objects, &names.heads] {
        write_objects_in(store, session, prepared, place).await?;
    }
    Ok(())
}

async fn write_objects_in(
    store: &Store,
    session: &mut ClientSession,
    prepared: &Prepared<'_>,
    place: &str,
) -> Result<(), Ended> {
    let mut statements = Vec::with_capacity(prepared.bodies.len());
    for (write, body) in prepared.bodies.iter().filter(|(write, _)| store.place_of(&write.key.kind) == place) {
        let id = rawdoc! { "kind": write.key.kind.as_str(), "name": write.key.name.as_str() };
        let mut fields = rawdoc! {
            "op_id": prepared.batch.op_id().as_str(), "recorded_at": date(prepared.batch.recorded_at()),
        };
        let mut q = rawdoc! { "_id": id };
        let absent = match write.expected {
            ExpectedVersion::Absent => {
                q.append(cstr!("body"), rawdoc! { "$exists": false });
                true
            }
            ExpectedVersion::At(version) => {
                q.append(cstr!("version"), i64::try_from(version).unwrap_or(i64::MAX));
                false
            }
        };
        // What is deleted leaves its version behind: no version of a name ever comes again.
        let mut update = rawdoc! { "$inc": { "version": 1_i64 } };
        match body {
            Some(body) => fields.append(cstr!("body"), body.as_str()),
            None if absent => continue,
            None => update.append(cstr!("$unset"), rawdoc! { "body": "" }),
        }
        update.append(cstr!("$set"), fields);
        statements.push(rawdoc! { "q": q, "u": update, "upsert": absent });
    }
    match run(&store.history, session, Kind::Update, place, &statements).await {
        Ok(written) if written.found == statements.len() as u64 => Ok(()),
        Ok(_) | Err(Failed::Write { code: errors::DUPLICATE_KEY, .. }) => Err(Ended::Again),
        Err(other) => Err(failed(store, &other)),
    }
}

/// What is expected of live that no statement of the short way can say.
pub(crate) fn leaves_live_unread(change: &Change) -> bool {
    matches!((&change.live, &change.expected_live), (LiveWrite::Leave, ExpectedLive::Unchecked))
}
