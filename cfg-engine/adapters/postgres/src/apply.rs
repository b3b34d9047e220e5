//! Applying a batch: by one statement, and where that finds something else than is expected, once more under
//! locks, to say what it was or to write all the same.
//!
//! The statement compares live rows as they were read, to the last byte. An ignored field that moved is
//! enough for it to do nothing; the second way then takes the row as it is now and applies the changes to it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cfg_engine::Value;
use cfg_engine::adapter::{
    AdapterError, Batch, Change, ExpectedHead, ExpectedLive, ExpectedVersion, HeadState, LiveWrite, StoredDigest,
    TipRef, overwritten_texts,
};
use cfg_engine::document::{EntryId, FieldPath, Treatment, oid};
use cfg_engine::history::{DocState, RecordKey, Timestamp};
use tokio_postgres::types::Type;

use crate::column::Default;
use crate::connection::{Conn, Shared, Transaction, Use};
use crate::errors::{
    Failure, MISMATCH, OrAdapterError, damaged, failure, from_postgres, is_changed_table, refused, storage,
};
use crate::heads::{self, seq_column};
use crate::live::{self, Image, Native};
use crate::prepare::{LiveStep, Prepared, RowWrite, live_step, others, prepare};
use crate::sql::{NOW_MS, Params, quoted};
use crate::statement::{LIVE_PART, Statement, build, build_live_alone, id_names, is_mended, newest_tip};
use crate::table::LiveTable;
use crate::turn::Turn;
use crate::{returning, single};

/// How often a batch is tried again where the server asks for it, or a table has changed.
const ATTEMPTS: u32 = 8;
/// How far a batch's time may lie behind or ahead of the store's clock.
const CLOCK_TOLERANCE_MS: i64 = 2000;

/// Applies a batch.
pub(crate) async fn apply(shared: &Arc<Shared>, batch: &Arc<Batch>, document_limit: usize) -> Result<(), AdapterError> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        let mut catalog = shared.catalog();
        if !catalog.has_history()? {
            catalog = shared.look_again().await?;
        }
        catalog.require_history()?;
        let conn = shared.conn(Use::Points).await?;
        let before = returning::find(&conn, batch).await?;
        let prepared = prepare(batch, &catalog, before, document_limit)?;
        let applying = Applying { shared, prepared: &prepared };
        let outcome = match applying.optimistic(conn).await {
            Ok(Tried::Done) => return Ok(()),
            Ok(Tried::NotAsExpected) => applying.under_locks().await,
            Err(failed) => Err(failed),
        };
        match outcome {
            Ok(()) => return Ok(()),
            Err(Failed::Again(_)) if attempt < ATTEMPTS => pause(attempt).await,
            Err(Failed::Changed(_)) if attempt < ATTEMPTS => drop(shared.look_again().await?),
            Err(Failed::Again(error) | Failed::Changed(error) | Failed::For(error)) => return Err(error),
        }
    }
}

/// Waits a little longer each time, and never exactly as long as a neighbour.
async fn pause(attempt: u32) {
    let spread = std::ptr::from_ref(&attempt).addr() as u64 % 7;
    tokio::time::sleep(Duration::from_millis((1 << attempt.min(6)) + spread)).await;
}

enum Tried {
    Done,
    NotAsExpected,
}

/// Why an attempt failed.
pub(crate) enum Failed {
    /// The server asks for another, or somebody was first.
    Again(AdapterError),
    /// A table is another one than was described.
    Changed(AdapterError),
    For(AdapterError),
}

impl From<AdapterError> for Failed {
    fn from(error: AdapterError) -> Self {
        Failed::For(error)
    }
}

pub(crate) struct Applying<'a> {
    shared: &'a Arc<Shared>,
    prepared: &'a Prepared,
}

impl Applying<'_> {
    fn changes(&self) -> &[Change] {
        self.prepared.batch.changes()
    }

    fn own(&self) -> &str {
        &self.shared.names.schema
    }

    /// Writes the batch by one statement, if that can be done.
    async fn optimistic(&self, conn: Conn) -> Result<Tried, Failed> {
        let Some(steps) = self.steps_as_seen() else { return Ok(Tried::NotAsExpected) };
        let Statement { sql, params } = single::build(&self.shared.names, self.prepared, &steps)
            .unwrap_or_else(|| build(&self.shared.names, self.prepared, &steps));
        let error = match conn.rows(&sql, &params).await {
            Ok(rows) => {
                let done = crate::read::number(&rows)? == 1;
                return Ok(if done { Tried::Done } else { Tried::NotAsExpected });
            }
            Err(error) => error,
        };
        if is_changed_table(&error) {
            return Err(Failed::Changed(from_postgres(&error)));
        }
        match failure(&error, self.own()) {
            Failure::Lost => {
                conn.discard();
                Err(Failed::For(AdapterError::UnknownOutcome))
            }
            // A trigger or a rule in the way; a head that is there after all: under locks it is said which.
            Failure::Taken | Failure::Mismatch => Ok(Tried::NotAsExpected),
            Failure::Transient => Err(Failed::Again(AdapterError::Busy)),
            Failure::Refused(reason) => {
                drop(conn);
                // Somebody may have been first, and the table refuses only the second.
                self.under_locks_refused(&steps, reason).await.map(|()| Tried::Done)
            }
            Failure::Other(error) => Err(Failed::For(error)),
        }
    }

    /// Makes out each step from what was seen when the batch was planned. `None` where that does not do:
    /// nobody looked, or the outcome must be looked at before it is committed.
    fn steps_as_seen(&self) -> Option<Vec<(usize, LiveStep)>> {
        let mut steps = Vec::new();
        for (at, (change, prepared)) in self.changes().iter().zip(&self.prepared.changes).enumerate() {
            let must_look = is_mended(change) || !change.overwrites.is_empty();
            if must_look || matches!(change.live, LiveWrite::Activate { .. }) {
                return None;
            }
            let seen = match &change.expected_live {
                ExpectedLive::At(image) => Some(image.get::<Image>()?),
                ExpectedLive::Unchecked if !matches!(change.live, LiveWrite::Leave) => return None,
                _ => None,
            };
            let same_table = |image: &Image, table: &Arc<LiveTable>| {
                table.doc.is_some() == image.table.doc.is_some()
                    && (table.doc.is_some() || image.table.fingerprint == table.fingerprint)
            };
            if let (Some(image), Some(table)) = (seen, &prepared.table)
                && !same_table(image, table)
            {
                return None;
            }
            // What cannot be made out is reported where everything is looked at in the contract's order.
            match live_step(change, prepared, seen).ok()? {
                Some(step) if step.verify => return None,
                Some(step) => steps.push((at, step)),
                None => {}
            }
        }
        Some(steps)
    }

    /// Looks at everything under locks, in the contract's order; then writes, looks at what came of it, and
    /// commits.
    async fn under_locks(&self) -> Result<(), Failed> {
        let transaction = self.begin().await?;
        match self.locked(&transaction).await {
            Ok(()) => {}
            Err(failed) => {
                transaction.rollback().await;
                return Err(failed);
            }
        }
        match transaction.commit().await {
            Ok(()) => Ok(()),
            Err(error) => match failure(&error, self.own()) {
                Failure::Lost => Err(Failed::For(AdapterError::UnknownOutcome)),
                Failure::Transient => Err(Failed::Again(AdapterError::Busy)),
                Failure::Refused(reason) => Err(Failed::For(self.refused_first(reason))),
                Failure::Taken | Failure::Mismatch => Err(Failed::Again(from_postgres(&error))),
                Failure::Other(error) => Err(Failed::For(error)),
            },
        }
    }

    async fn begin(&self) -> Result<Transaction, Failed> {
        let conn = self.shared.conn(Use::Points).await?;
        conn.begin("BEGIN ISOLATION LEVEL READ COMMITTED").await.map_err(|(error, conn)| {
            conn.discard();
            Failed::For(from_postgres(&error))
        })
    }

    async fn locked(&self, transaction: &Transaction) -> Result<(), Failed> {
        let conn = transaction.conn();
        let now = self.check_heads(conn).await?;
        self.check_objects(conn).await?;
        self.check_clock(now)?;
        let (steps, images) = self.steps_under_locks(conn).await?;
        self.check_nothing_lost(conn, &steps).await?;
        let Statement { sql, params } = build(&self.shared.names, self.prepared, &steps);
        let rows = conn.rows(&sql, &params).await.map_err(|error| self.failed(&error, &steps))?;
        if crate::read::number(&rows)? != 1 {
            // Nothing can have moved under locks but the clock, and rows that nobody can lock: new ones.
            return Err(Failed::Again(storage("the rows of a batch changed while it was applied")));
        }
        self.write_over(conn).await?;
        self.verify(conn, &steps, &images).await
    }

    /// Overwrites what is stored of older entries, where it is what was seen; their heads are locked.
    async fn write_over(&self, conn: &Conn) -> Result<(), Failed> {
        for change in self.changes().iter().filter(|change| !change.overwrites.is_empty()) {
            let written = self.overwritten(conn, change).await?;
            let names = &self.shared.names;
            let count = written.len();
            let mut params = Params::default();
            let (env, collection, id) = self.key(change, &mut params);
            let arrays = [
                params.add(written.iter().map(|row| row.seq).collect::<Vec<_>>(), Type::INT8_ARRAY),
                params.texts(written.iter().map(|row| row.state).collect::<Vec<_>>()),
                params.texts(written.iter().map(|row| row.message.clone()).collect::<Vec<_>>()),
                params.texts(written.iter().map(|row| row.native.clone()).collect::<Vec<_>>()),
                params.texts(written.into_iter().map(|row| row.doc).collect::<Vec<_>>()),
            ];
            let sql = format!(
                "WITH over AS (UPDATE {} h SET doc_state = x.doc_state, message = x.message, \
                 doc_native = x.doc_native::json, doc = x.doc::json \
                 FROM unnest({}) x(seq, doc_state, message, doc_native, doc), {} r \
                 WHERE r.env = {env} AND r.collection = {collection} AND r.id_key = {id} \
                 AND h.record_no = r.record_no AND h.seq = x.seq RETURNING 1) SELECT count(*) FROM over",
                names.history,
                arrays.join(", "),
                names.records
            );
            let rows = self.read(conn, &sql, &params).await?;
            if usize::try_from(crate::read::number(&rows)?) != Ok(count) {
                return Err(Failed::For(damaged(format!("an entry of {} is missing", change.record))));
            }
        }
        Ok(())
    }

    fn key(&self, change: &Change, params: &mut Params) -> (String, String, String) {
        let record = &change.record;
        (params.text(record.env.as_str()), params.text(record.collection.as_str()), params.text(record.id.as_str()))
    }

    /// Reads the entries that are to be overwritten, compares them with what was seen, and returns them as
    /// they will be.
    async fn overwritten(&self, conn: &Conn, change: &Change) -> Result<Vec<OverRow>, Failed> {
        let (names, record) = (&self.shared.names, &change.record);
        let mut params = Params::default();
        let (env, collection, id) = self.key(change, &mut params);
        let seqs: Vec<i64> = change.overwrites.iter().map(|overwrite| seq_column(overwrite.seq)).collect();
        let seqs = params.add(seqs, Type::INT8_ARRAY);
        let sql = format!(
            "SELECT h.seq, h.doc_state, h.message, h.doc_native::text, h.doc::text FROM {} r JOIN {} h \
             ON h.record_no = r.record_no WHERE r.env = {env} AND r.collection = {collection} AND r.id_key = {id} \
             AND h.seq = ANY ({seqs}) ORDER BY h.seq FOR UPDATE OF h",
            names.records, names.history
        );
        let rows = self.read(conn, &sql, &params).await?;
        let missing = || Failed::For(damaged(format!("an entry of {record} that is to be overwritten is missing")));
        if rows.len() != change.overwrites.len() {
            return Err(missing());
        }
        let mut written = Vec::with_capacity(rows.len());
        for (row, overwrite) in rows.iter().zip(&change.overwrites) {
            let seq: i64 = row.try_get(0).sql()?;
            if seq != seq_column(overwrite.seq) {
                return Err(missing());
            }
            let unknown = || damaged(format!("entry {seq} of {record} has a document state that there is not"));
            let state = DocState::parse(row.try_get(1).sql()?).ok_or_else(unknown)?;
            let message: String = row.try_get(2).sql()?;
            let native: Option<String> = row.try_get(3).sql()?;
            let doc: Option<String> = row.try_get(4).sql()?;
            let value = doc.as_deref().map(|doc| crate::entries::read_doc(doc, native.is_some())).transpose()?;
            if StoredDigest::of(state, &message, value.as_ref()) != overwrite.stored {
                return Err(Failed::For(AdapterError::StaleHead { record: record.clone(), current: None }));
            }
            let message = overwrite.message.clone().unwrap_or(message);
            written.push(if overwrite.changes.is_empty() {
                OverRow { seq, state: state.as_str(), message, native, doc }
            } else {
                let texts =
                    doc.and_then(|doc| overwritten_texts(&doc, native.as_deref(), &overwrite.changes)).ok_or_else(
                        || damaged(format!("the batch for {record}: its changes do not apply to entry {seq}")),
                    )?;
                let (doc, native) = texts;
                OverRow { seq, state: DocState::Redacted.as_str(), message, native, doc: Some(doc) }
            });
        }
        Ok(written)
    }

    pub(crate) fn failed(&self, error: &tokio_postgres::Error, steps: &[(usize, LiveStep)]) -> Failed {
        if is_changed_table(error) {
            return Failed::Changed(from_postgres(error));
        }
        match failure(error, self.own()) {
            // Nothing was committed, and nothing will be.
            Failure::Lost => Failed::For(from_postgres(error)),
            Failure::Transient => Failed::Again(AdapterError::Busy),
            Failure::Taken => Failed::Again(damaged("an entry with this number is already there")),
            Failure::Mismatch => Failed::For(self.mismatch(error, steps)),
            Failure::Refused(reason) => Failed::For(self.refused_among(steps, reason)),
            Failure::Other(error) => Failed::For(error),
        }
    }

    /// As [`failed`](Self::failed), where one record is written.
    pub(crate) fn failed_for(&self, error: &tokio_postgres::Error, record: &RecordKey) -> Failed {
        match failure(error, self.own()) {
            Failure::Refused(reason) => Failed::For(refused(record, reason)),
            _ => self.failed(error, &[]),
        }
    }

    fn mismatch(&self, error: &tokio_postgres::Error, steps: &[(usize, LiveStep)]) -> AdapterError {
        let message = error.as_db_error().map_or("", |error| error.message());
        if message.contains(&format!("{MISMATCH} {LIVE_PART}")) {
            return self.refused_among(steps, "a trigger of the table ignored the write".to_owned());
        }
        damaged("an older entry that a batch changes, or a head's entry, is missing")
    }

    fn refused_first(&self, reason: String) -> AdapterError {
        let writes = |at: &usize| !matches!(self.changes()[*at].live, LiveWrite::Leave);
        match (0..self.changes().len()).find(writes).map(|at| &self.changes()[at].record) {
            Some(record) => refused(record, reason),
            None => storage(reason),
        }
    }

    fn refused_among(&self, steps: &[(usize, LiveStep)], reason: String) -> AdapterError {
        match steps.iter().find(|(_, step)| step.write != RowWrite::None) {
            Some((at, _)) => refused(&self.changes()[*at].record, reason),
            None => self.refused_first(reason),
        }
    }

    /// The user's table refused. First it is seen whether that is because somebody was faster, then which
    /// of the records it is about: each step alone, and all of it taken back.
    async fn under_locks_refused(&self, steps: &[(usize, LiveStep)], reason: String) -> Result<(), Failed> {
        let transaction = self.begin().await?;
        let outcome = self.find_refused(&transaction, steps, reason).await;
        transaction.rollback().await;
        Err(outcome)
    }

    async fn find_refused(&self, transaction: &Transaction, steps: &[(usize, LiveStep)], reason: String) -> Failed {
        let conn = transaction.conn();
        let checked = async {
            let now = self.check_heads(conn).await?;
            self.check_objects(conn).await?;
            self.check_clock(now)?;
            self.steps_under_locks(conn).await.map(drop)
        };
        if let Err(failed) = checked.await {
            return failed;
        }
        let writing: Vec<&(usize, LiveStep)> = steps.iter().filter(|(_, step)| step.write != RowWrite::None).collect();
        if writing.len() > 1 {
            // What would be refused at the end only is refused at once.
            if let Err(error) = conn.batch("SET CONSTRAINTS ALL IMMEDIATE").await {
                return Failed::For(from_postgres(&error));
            }
            for step in &writing {
                let Statement { sql, params } = build_live_alone(&self.shared.names, step);
                if let Err(error) = conn.rows(&sql, &params).await {
                    let record = &self.changes()[step.0].record;
                    return match failure(&error, self.own()) {
                        Failure::Refused(reason) => Failed::For(refused(record, reason)),
                        _ => Failed::For(refused(record, reason)),
                    };
                }
            }
        }
        Failed::For(self.refused_among(steps, reason))
    }

    /// Locks the heads and compares them with those expected; returns the store's clock.
    async fn check_heads(&self, conn: &Conn) -> Result<Timestamp, Failed> {
        let names = &self.shared.names;
        let changes = self.changes();
        let mut params = Params::default();
        let part = |of: fn(&RecordKey) -> &str| changes.iter().map(|c| of(&c.record).to_owned()).collect::<Vec<_>>();
        let envs = params.texts(part(|r| r.env.as_str()));
        let collections = params.texts(part(|r| r.collection.as_str()));
        let ids = params.texts(part(|r| r.id.as_str()));
        let keys = format!("unnest({envs}, {collections}, {ids}) WITH ORDINALITY k(env, collection, id_key, n)");
        let join = format!(
            "JOIN {} r ON r.env = k.env AND r.collection = k.collection AND r.id_key = k.id_key",
            names.records
        );
        let sql = format!(
            "SELECT k.n - 1, {} FROM {keys} {join} JOIN {} h ON h.record_no = r.record_no ORDER BY k.n FOR UPDATE OF h",
            heads::COLUMNS,
            names.heads
        );
        let mut found: BTreeMap<usize, HeadState> = BTreeMap::new();
        for row in self.read(conn, &sql, &params).await? {
            let at = place(row.try_get(0).sql()?);
            match heads::read(&row, 1) {
                Ok(head) => drop(found.insert(at, head)),
                // A head that cannot be read is lost, to whoever mends it.
                Err(_) if changes.get(at).is_some_and(|c| matches!(c.expected_head, ExpectedHead::Lost { .. })) => {}
                Err(error) => return Err(Failed::For(error)),
            }
        }
        let newest = self.newest_entries(conn).await?;
        for (at, change) in changes.iter().enumerate() {
            let current = found.get(&at);
            let as_expected = match (&change.expected_head, current) {
                (ExpectedHead::Absent, None) => true,
                (ExpectedHead::At { head, tip }, Some(current)) => current.head == *head && current.tip == *tip,
                (ExpectedHead::Lost { tip }, None) => newest.get(&at) == Some(tip),
                _ => false,
            };
            if !as_expected {
                let current = current.cloned().map(Box::new);
                return Err(Failed::For(AdapterError::StaleHead { record: change.record.clone(), current }));
            }
        }
        let sql = format!(
            "SELECT k.n - 1 FROM {keys} {join} LEFT JOIN {} h ON h.record_no = r.record_no WHERE h.record_no IS NULL",
            names.heads
        );
        for row in self.read(conn, &sql, &params).await? {
            let at = place(row.try_get(0).sql()?);
            let Some(change) = changes.get(at).filter(|c| matches!(c.expected_head, ExpectedHead::Absent)) else {
                continue;
            };
            return Err(Failed::For(damaged(format!("{} has a history and no head", change.record))));
        }
        let rows = self.read(conn, &format!("SELECT {NOW_MS}"), &Params::default()).await?;
        Ok(Timestamp::from_millis(crate::read::number(&rows)?))
    }

    /// Reads the newest entries of the records whose heads are lost.
    async fn newest_entries(&self, conn: &Conn) -> Result<BTreeMap<usize, TipRef>, Failed> {
        let mut found = BTreeMap::new();
        for (at, change) in self.changes().iter().enumerate() {
            if !matches!(change.expected_head, ExpectedHead::Lost { .. }) {
                continue;
            }
            let names = &self.shared.names;
            let mut params = Params::default();
            let record = &change.record;
            let (env, collection, id) = (
                params.text(record.env.as_str()),
                params.text(record.collection.as_str()),
                params.text(record.id.as_str()),
            );
            let sql = format!(
                "SELECT h.seq, h.entry_id, h.recorded_at FROM {} r JOIN {} h ON h.record_no = r.record_no \
                 WHERE r.env = {env} AND r.collection = {collection} AND r.id_key = {id} ORDER BY h.seq DESC LIMIT 1",
                names.records, names.history
            );
            if let Some(row) = self.read(conn, &sql, &params).await?.first() {
                let entry_id = EntryId::from_bytes(heads::hash(row, 1)?);
                found.insert(at, TipRef { seq: heads::seq(row, 0)?, entry_id, recorded_at: heads::instant(row, 2)? });
            }
        }
        Ok(found)
    }

    pub(crate) async fn read(
        &self,
        conn: &Conn,
        sql: &str,
        params: &Params,
    ) -> Result<Vec<tokio_postgres::Row>, Failed> {
        conn.rows(sql, params).await.map_err(|error| self.failed(&error, &[]))
    }

    async fn check_objects(&self, conn: &Conn) -> Result<(), Failed> {
        let expected: Vec<_> = self.prepared.batch.expected_objects().collect();
        if expected.is_empty() {
            return Ok(());
        }
        let mut params = Params::default();
        let kinds = params.texts(expected.iter().map(|(key, _)| key.kind.clone()).collect::<Vec<_>>());
        let names = params.texts(expected.iter().map(|(key, _)| key.name.clone()).collect::<Vec<_>>());
        // Nobody waits for what is only compared.
        let written = params.add(i64::try_from(self.prepared.batch.objects().len()).unwrap_or(i64::MAX), Type::INT8);
        let sql = format!(
            "SELECT o.n - 1, x.version FROM unnest({kinds}, {names}) WITH ORDINALITY o(kind, name, n) JOIN {} x \
             ON x.kind = o.kind AND x.name = o.name AND x.body IS NOT NULL \
             WHERE o.n <= {written} ORDER BY o.kind, o.name FOR UPDATE OF x",
            self.shared.names.objects
        );
        let compared = format!(
            "SELECT o.n - 1, x.version FROM unnest({kinds}, {names}) WITH ORDINALITY o(kind, name, n) JOIN {} x \
             ON x.kind = o.kind AND x.name = o.name AND x.body IS NOT NULL WHERE o.n > {written}",
            self.shared.names.objects
        );
        let mut versions: BTreeMap<usize, i64> = BTreeMap::new();
        let mut rows = self.read(conn, &sql, &params).await?;
        if !self.prepared.batch.guards().is_empty() {
            rows.extend(self.read(conn, &compared, &params).await?);
        }
        for row in rows {
            versions.insert(place(row.try_get(0).sql()?), row.try_get(1).sql()?);
        }
        for (at, (key, expected)) in expected.into_iter().enumerate() {
            let as_expected = match (expected, versions.get(&at)) {
                (ExpectedVersion::Absent, None) => true,
                (ExpectedVersion::At(wanted), Some(version)) => u64::try_from(*version) == Ok(wanted),
                _ => false,
            };
            if !as_expected {
                let (kind, name) = (key.kind.clone(), key.name.clone());
                return Err(Failed::For(AdapterError::StaleObject { kind, name }));
            }
        }
        Ok(())
    }

    /// Checks the batch's time: later than each tip, at most 2 s behind the store's clock, and at most 2 s
    /// ahead of it unless it is exactly a tip plus 1 ms (the store's clock stepped back).
    fn check_clock(&self, now: Timestamp) -> Result<(), Failed> {
        let at = self.prepared.batch.recorded_at();
        let newest = newest_tip(self.prepared);
        let after_tips = newest.is_none_or(|tip| at > tip);
        let behind = at < now.plus_millis(-CLOCK_TOLERANCE_MS);
        let ahead = at > now.plus_millis(CLOCK_TOLERANCE_MS) && newest.map(|tip| tip.plus_millis(1)) != Some(at);
        if !after_tips || behind || ahead {
            return Err(Failed::For(AdapterError::Clock { now }));
        }
        Ok(())
    }

    /// Locks the live rows, compares them with what is expected, and makes out each step from what is there.
    async fn steps_under_locks(&self, conn: &Conn) -> Result<(Vec<(usize, LiveStep)>, Images), Failed> {
        let images = self.lock_live(conn).await?;
        let mut steps = Vec::new();
        for (at, (change, prepared)) in self.changes().iter().zip(&self.prepared.changes).enumerate() {
            let Some(rows) = images.get(&at) else { continue };
            let record = &change.record;
            let stale = || Failed::For(AdapterError::StaleLive { record: record.clone() });
            let writes = !matches!(change.live, LiveWrite::Leave | LiveWrite::Seed(_));
            let checked = !matches!(change.expected_live, ExpectedLive::Unchecked);
            if rows.len() > 1 && (checked || writes) {
                let rows = rows.len() as u64;
                return Err(Failed::For(AdapterError::Ambiguous { record: record.clone(), rows }));
            }
            let there = match rows.first() {
                Some(Ok(image)) => Some(image),
                Some(Err(_)) => return Err(stale()),
                None => None,
            };
            match (&change.expected_live, there) {
                (ExpectedLive::At(image), Some(there)) => {
                    let written: &[_] = match &change.live {
                        LiveWrite::Update(changes) => changes,
                        _ => &[],
                    };
                    if !Image::of(image, record)?.unmoved(there, written) {
                        return Err(stale());
                    }
                }
                (ExpectedLive::At(_), None) | (ExpectedLive::Absent, Some(_)) => return Err(stale()),
                (ExpectedLive::Absent, None) | (ExpectedLive::Unchecked, _) => {}
            }
            if let (LiveWrite::Activate { retire, doc }, Some(table)) = (&change.live, &prepared.table) {
                let turn = Turn { applying: self, conn, table, change, prepared };
                steps.extend(turn.take(retire, doc, there).await?.map(|step| (at, step)));
                continue;
            }
            if let Some(step) = live_step(change, prepared, there)? {
                steps.push((at, step));
            }
        }
        Ok((steps, images))
    }

    /// Reads and locks the live rows of every change that looks at live.
    async fn lock_live(&self, conn: &Conn) -> Result<Images, Failed> {
        let mut images: Images = BTreeMap::new();
        let mut tables: BTreeMap<&str, (&Arc<LiveTable>, Vec<usize>)> = BTreeMap::new();
        for (at, (change, prepared)) in self.changes().iter().zip(&self.prepared.changes).enumerate() {
            let idle =
                matches!(change.live, LiveWrite::Leave) && matches!(change.expected_live, ExpectedLive::Unchecked);
            if let Some(table) = prepared.table.as_ref().filter(|_| !idle) {
                images.insert(at, Vec::new());
                tables.entry(&table.name).or_insert((table, Vec::new())).1.push(at);
            }
        }
        for (table, places) in tables.into_values() {
            for (at, row) in self.live_rows(conn, table, &places, "FOR UPDATE OF t").await? {
                images.entry(at).or_default().push(row);
            }
        }
        Ok(images)
    }

    /// Reads the live rows of some changes of one table.
    async fn live_rows(
        &self,
        conn: &Conn,
        table: &Arc<LiveTable>,
        places: &[usize],
        lock: &str,
    ) -> Result<Vec<(usize, Result<Image, String>)>, Failed> {
        let changes = self.changes();
        let ids: Vec<(usize, Vec<String>)> =
            places.iter().filter_map(|at| Some((*at, table.id_texts(&changes[*at].record.id)?))).collect();
        let mut params = Params::default();
        let numbers: Vec<i64> = ids.iter().map(|(at, _)| i64::try_from(*at).unwrap_or(i64::MAX)).collect();
        let mut arrays = vec![params.add(numbers, Type::INT8_ARRAY)];
        for n in 0..table.id.len() {
            arrays.push(params.texts(ids.iter().map(|(_, id)| id[n].clone()).collect::<Vec<_>>()));
        }
        let (names, parts) = id_names(table, "w.");
        let sql = format!(
            "SELECT w.n, {} FROM unnest({}) w(n, {names}) JOIN {} t ON {} AND {} WHERE {} ORDER BY w.n {lock}",
            table.select("t."),
            arrays.join(", "),
            table.name,
            table.id_is("t.", &parts),
            table.rule.sql("t."),
            table.settings
        );
        let mut found = Vec::new();
        for row in self.read(conn, &sql, &params).await? {
            let at = place(row.try_get(0).sql()?);
            // Columns may compare more loosely than ids do.
            if changes
                .get(at)
                .is_none_or(|change| table.id_of(&row, 1).ok().flatten().as_ref() != Some(&change.record.id))
            {
                continue;
            }
            let (native, _): (Result<Native, String>, usize) = live::native(table, &row, 1 + table.id.len())?;
            found.push((at, native.map(|native| Image { table: Arc::clone(table), native })));
        }
        Ok(found)
    }

    /// Refuses to delete a row that holds, beside its document, what history could not bring back. A column
    /// that fills itself anew each time is no such thing.
    async fn check_nothing_lost(&self, conn: &Conn, steps: &[(usize, LiveStep)]) -> Result<(), Failed> {
        for (at, step) in steps.iter().filter(|(_, step)| step.write == RowWrite::Delete) {
            let table = &step.table;
            let others: Vec<usize> = if table.doc.is_some() { others(table) } else { Vec::new() };
            let kept = |at: &usize| {
                let column = &table.columns[*at];
                let name = format!("t.{}", quoted(&column.name));
                match &column.default {
                    Default::Varies => "TRUE".to_owned(),
                    Default::None => format!("{name} IS NULL"),
                    Default::Constant(text) => {
                        format!("({name} IS NULL OR {} = {})", column.read_sql("t."), crate::sql::literal(text))
                    }
                }
            };
            if others.is_empty() {
                continue;
            }
            let mut params = Params::default();
            let ids: Vec<String> = step.id.iter().map(|text| params.text(text.as_str())).collect();
            let sql = format!(
                "SELECT {} FROM {} t WHERE {} AND {} AND {}",
                others.iter().map(kept).collect::<Vec<_>>().join(", "),
                table.name,
                table.id_is("t.", &ids),
                table.rule.sql("t."),
                crate::connection::fixed_settings()
            );
            let rows = self.read(conn, &sql, &params).await?;
            let Some(row) = rows.first() else { continue };
            let mut lost: Vec<&str> = Vec::new();
            for (n, other) in others.iter().enumerate() {
                if !row.try_get::<_, bool>(n).sql()? {
                    lost.push(&table.columns[*other].name);
                }
            }
            if !lost.is_empty() {
                let record = &self.changes()[*at].record;
                return Err(Failed::For(refused(
                    record,
                    format!(
                        "its row also holds {}, which history does not keep; delete the row with your own tools, then \
                         run: cfg adopt {}",
                        lost.join(", "),
                        record.id
                    ),
                )));
            }
        }
        Ok(())
    }

    /// Looks at what the table made of the writes that it may make something else of.
    async fn verify(&self, conn: &Conn, steps: &[(usize, LiveStep)], before: &Images) -> Result<(), Failed> {
        let mut tables: BTreeMap<&str, (&Arc<LiveTable>, Vec<usize>)> = BTreeMap::new();
        let looked_at = |step: &&(usize, LiveStep)| step.1.verify && step.1.write != RowWrite::Delete;
        for (at, step) in steps.iter().filter(looked_at) {
            tables.entry(&step.table.name).or_insert((&step.table, Vec::new())).1.push(*at);
        }
        for (table, places) in tables.into_values() {
            let mut rows: BTreeMap<usize, Vec<Result<Image, String>>> = BTreeMap::new();
            for (at, row) in self.live_rows(conn, table, &places, "").await? {
                rows.entry(at).or_default().push(row);
            }
            for at in places {
                let change = &self.changes()[at];
                let rule = || Failed::For(AdapterError::LiveRule { record: change.record.clone() });
                let mut of_record = rows.remove(&at).unwrap_or_default();
                let (Some(Ok(image)), true) = (of_record.pop(), of_record.is_empty()) else { return Err(rule()) };
                let was = before.get(&at).and_then(|rows| rows.first()).and_then(|row| row.as_ref().ok());
                self.verify_row(table, at, &image, was)?;
            }
        }
        Ok(())
    }

    /// Makes sure that a row holds what its entry says: where the table fills in more (a default that varies,
    /// a trigger) or keeps less, the record would be dirty from its first moment.
    fn verify_row(&self, table: &LiveTable, at: usize, image: &Image, was: Option<&Image>) -> Result<(), Failed> {
        let change = &self.changes()[at];
        let Some(expected) = change.new_head.and_then(|head| head.oid).filter(|_| table.doc.is_none()) else {
            return Ok(());
        };
        let policy = &table.config.policy;
        let Ok(there) = image.value() else {
            return Err(Failed::For(AdapterError::LiveRule { record: change.record.clone() }));
        };
        if oid(&there, policy).is_ok_and(|there| there == expected) {
            return Ok(());
        }
        let null = Value::Null;
        let mut wanted = was.and_then(|was| was.value().ok()).unwrap_or_default();
        match &change.live {
            LiveWrite::Seed(doc) | LiveWrite::Activate { doc, .. } => wanted = doc.clone(),
            LiveWrite::Update(changes) => {
                // Applied to the same document once before.
                let _ = cfg_engine::document::apply_changes(&mut wanted, changes);
            }
            _ => return Ok(()),
        }
        let filled: Vec<&str> = table
            .columns
            .iter()
            .map(|column| column.name.as_str())
            .filter(|name| policy.treatment(&FieldPath::key(*name)) == Treatment::Versioned)
            .filter(|name| {
                !cfg_engine::document::same(wanted.get(name).unwrap_or(&null), there.get(name).unwrap_or(&null))
            })
            .collect();
        if filled.is_empty() {
            return Ok(());
        }
        Err(Failed::For(refused(
            &change.record,
            format!(
                "the table itself fills in or changes {}; write it as the table keeps it, give a new record a value \
                 there, or add it to ignore_fields",
                filled.join(", ")
            ),
        )))
    }
}

/// What is stored of an older entry from now on.
struct OverRow {
    seq: i64,
    state: &'static str,
    message: String,
    native: Option<String>,
    doc: Option<String>,
}

/// The live rows of changes, by place; a row that cannot be read says why.
type Images = BTreeMap<usize, Vec<Result<Image, String>>>;

fn place(at: i64) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}
