//! A batch as one transaction: under snapshot isolation, as one statement under read committed, and with
//! the whole file locked.

use std::sync::Arc;

use cfg_engine::adapter::{AdapterError, Batch, Change, LiveWrite};
use cfg_engine::planted;

use crate::apply::{check_clock, check_head, check_object, check_standing, history_writes, number, object_write};
use crate::live;
use crate::state::{Cell, Datum, Key, Rows, State};
use crate::world::{Conflict, Sim, Txn};

/// How often a transaction that met another one is run.
const ATTEMPTS: u32 = 8;

enum Ended {
    Again,
    Error(AdapterError),
}

impl From<AdapterError> for Ended {
    fn from(error: AdapterError) -> Self {
        Ended::Error(error)
    }
}

impl From<Conflict> for Ended {
    fn from(_: Conflict) -> Self {
        Ended::Again
    }
}

fn place(sim: &Sim, table: u8, key: Option<Key>) -> Key {
    key.unwrap_or_else(|| Key::Live(table, sim.lock().fresh()))
}

fn table(change: &Change) -> u8 {
    crate::state::layout().table_of(number(change))
}

// --- snapshot isolation --------------------------------------------------------------------------

/// As MongoDB does it: every command sees the snapshot, and a write that meets another one fails.
pub(crate) async fn snapshot(sim: &Sim, who: u64, batch: &Batch) -> Result<(), AdapterError> {
    for _ in 0..ATTEMPTS {
        match snapshot_attempt(sim, who, batch).await {
            Ok(()) => return Ok(()),
            Err(Ended::Error(error)) => return Err(error),
            Err(Ended::Again) => sim.step(who, "pause").await,
        }
    }
    Err(AdapterError::Busy)
}

async fn snapshot_attempt(sim: &Sim, who: u64, batch: &Batch) -> Result<(), Ended> {
    sim.call(who, "begin").await?;
    let mut txn = Txn::begin(sim, true);
    match snapshot_writes(&mut txn, who, batch).await {
        Ok(()) => {}
        Err(ended) => {
            txn.abort();
            return Err(ended);
        }
    }
    sim.step(who, "send commit").await;
    let fate = {
        let mut world = sim.lock();
        let rate = world.rates.unknown;
        if world.rng.permille(rate) { world.rng.below(3) } else { 3 }
    };
    let seen = Arc::clone(&txn.snapshot);
    match fate {
        // It is done, and nobody hears of it.
        0 => txn.commit(batch, Some(&seen)),
        // It never arrives.
        1 => txn.abort(),
        // It arrives later.
        2 => {
            let (delayed, batch) = (sim.clone(), batch.clone());
            let late = async move {
                let steps = delayed.lock().rng.below(30);
                for _ in 0..steps {
                    delayed.step(who, "on its way").await;
                }
                txn.commit(&batch, Some(&seen));
            };
            sim.lock().background.push(Box::pin(late));
        }
        _ => {
            txn.commit(batch, Some(&seen));
            return Ok(());
        }
    }
    sim.lock().note("unknown", &[who, fate], format_args!("outcome of {}", batch.op_id()));
    if planted!("unknown-commit-taken-for-done") {
        return Ok(());
    }
    Err(Ended::Error(AdapterError::UnknownOutcome))
}

async fn snapshot_writes(txn: &mut Txn, who: u64, batch: &Batch) -> Result<(), Ended> {
    let (sim, seen) = (txn.sim.clone(), Arc::clone(&txn.snapshot));
    let now = sim.lock().now();
    check_standing(&seen, batch, now)?;
    sim.lock().timed.insert(txn.id, batch.recorded_at());
    for change in batch.changes() {
        let rows = seen.rows_of(number(change));
        check_live(change, &rows)?;
        for (key, datum) in live::writes(change, &rows)? {
            txn.put(place(&sim, table(change), key), datum)?;
        }
    }
    sim.call(who, "live").await?;
    let mut heads = Vec::new();
    for change in batch.changes() {
        for (key, datum) in history_writes(&seen, change) {
            if matches!(key, Key::Head(_)) {
                heads.push((key, datum));
            } else {
                txn.put(key, datum)?;
            }
        }
    }
    sim.call(who, "history").await?;
    for (key, datum) in heads {
        txn.put(key, datum)?;
    }
    for write in batch.objects() {
        let (key, datum) = object_write(&seen, batch, write);
        txn.put(key, datum)?;
    }
    sim.call(who, "heads").await?;
    Ok(())
}

/// The comparison of live, which belongs inside the transaction.
fn check_live(change: &Change, rows: &Rows) -> Result<(), AdapterError> {
    if planted!("adopt-reads-outside") && matches!(change.live, LiveWrite::Leave) {
        return Ok(());
    }
    live::check(change, rows)
}

// --- one statement, read committed ---------------------------------------------------------------

/// As PostgreSQL does it: rows are found in the statement's snapshot, locked, and looked at again as they
/// are by then.
pub(crate) async fn statement(sim: &Sim, who: u64, batch: &Batch) -> Result<(), AdapterError> {
    for _ in 0..ATTEMPTS {
        sim.call(who, "statement").await?;
        let mut txn = Txn::begin(sim, false);
        match statement_writes(&mut txn, who, batch).await {
            Ok(Some(seen)) => {
                txn.commit(batch, Some(&seen));
                return Ok(());
            }
            Ok(None) => txn.abort(),
            Err(error) => {
                txn.abort();
                return Err(error);
            }
        }
        // Nothing was written; another look says why.
        sim.call(who, "look why").await?;
        let (state, now) = {
            let world = sim.lock();
            (Arc::clone(&world.state), world.now())
        };
        check_standing(&state, batch, now)?;
        for change in batch.changes() {
            live::check(change, &state.rows_of(number(change)))?;
        }
    }
    Err(AdapterError::Busy)
}

/// Writes, and returns what was decided on; `None` where something is not as expected.
async fn statement_writes(txn: &mut Txn, who: u64, batch: &Batch) -> Result<Option<State>, AdapterError> {
    let (sim, snapshot) = (txn.sim.clone(), Arc::clone(&txn.snapshot));
    for change in batch.changes() {
        if !txn.take(who, &Key::Head(number(change))).await {
            return Err(AdapterError::Busy);
        }
    }
    sim.step(who, "heads are locked").await;
    let as_locked = |state: &State| batch.changes().iter().all(|change| check_head(state, change).is_ok());
    if !as_locked(&sim.state()) {
        return Ok(None);
    }
    let mut rows_of: Vec<Rows> = Vec::new();
    for change in batch.changes() {
        // What the snapshot does not have, the statement does not see.
        let mut rows = snapshot.rows_of(number(change));
        for (key, _) in &rows.live {
            if !txn.take(who, key).await {
                return Err(AdapterError::Busy);
            }
        }
        let newest = sim.state();
        if !planted!("row-not-looked-at-again") {
            let there = newest.rows_of(number(change));
            rows.live.retain_mut(|(key, row)| match there.live.iter().find(|(k, _)| k == key) {
                Some((_, newest)) => {
                    *row = Arc::clone(newest);
                    true
                }
                None => false,
            });
        }
        rows_of.push(rows);
    }
    for (key, _) in batch.expected_objects() {
        if !txn.take(who, &Key::Object(key.clone())).await {
            return Err(AdapterError::Busy);
        }
    }
    sim.step(who, "rows are locked").await;
    let (newest, now) = {
        let world = sim.lock();
        (Arc::clone(&world.state), world.now())
    };
    let objects_fit = batch.expected_objects().all(|(key, expected)| check_object(&newest, key, expected).is_ok());
    if !objects_fit || check_clock(batch, now).is_err() {
        return Ok(None);
    }
    sim.lock().timed.insert(txn.id, batch.recorded_at());
    // The rows of the snapshot, as they are by now, without those that are gone.
    let mut seen = snapshot.as_ref().clone();
    for change in batch.changes() {
        snapshot.rows_of(number(change)).live.iter().for_each(|(key, _)| drop(seen.0.remove(key)));
    }
    for (key, row) in rows_of.iter().flat_map(|rows| &rows.live) {
        seen.0.insert(key.clone(), Cell { version: 0, datum: Datum::Row(Arc::clone(row)) });
    }
    for (change, rows) in batch.changes().iter().zip(&rows_of) {
        if check_live(change, rows).is_err() {
            return Ok(None);
        }
        for (key, datum) in live::writes(change, rows)? {
            txn.writes.insert(place(&sim, table(change), key), datum);
        }
        txn.writes.extend(history_writes(&newest, change));
    }
    txn.writes.extend(batch.objects().iter().map(|write| object_write(&newest, batch, write)));
    sim.step(who, "written").await;
    Ok(Some(seen))
}

// --- the whole file --------------------------------------------------------------------------------

/// As SQLite does it: one writer at a time, from the first look to the commit.
pub(crate) async fn serialized(sim: &Sim, who: u64, batch: &Batch) -> Result<(), AdapterError> {
    let mut txn = Txn::begin(sim, false);
    let mut locked = false;
    for _ in 0..25 {
        sim.step(who, "lock").await;
        let mut world = sim.lock();
        if world.file.is_none() {
            world.file = Some(txn.id);
            locked = true;
            break;
        }
    }
    if !locked {
        txn.abort();
        return Err(AdapterError::Busy);
    }
    match serialized_writes(&mut txn, who, batch).await {
        Ok(()) => {
            txn.commit(batch, None);
            Ok(())
        }
        Err(error) => {
            txn.abort();
            Err(error)
        }
    }
}

async fn serialized_writes(txn: &mut Txn, who: u64, batch: &Batch) -> Result<(), AdapterError> {
    let sim = txn.sim.clone();
    let (state, now) = {
        let world = sim.lock();
        (Arc::clone(&world.state), world.now())
    };
    check_standing(&state, batch, now)?;
    sim.lock().timed.insert(txn.id, batch.recorded_at());
    for change in batch.changes() {
        let rows = state.rows_of(number(change));
        check_live(change, &rows)?;
        for (key, datum) in live::writes(change, &rows)? {
            txn.writes.insert(place(&sim, table(change), key), datum);
        }
        sim.call(who, "live").await?;
        if planted!("journaling-off") {
            let now = std::mem::take(&mut txn.writes);
            sim.lock().write(now);
        }
        txn.writes.extend(history_writes(&state, change));
    }
    sim.call(who, "history").await?;
    txn.writes.extend(batch.objects().iter().map(|write| object_write(&state, batch, write)));
    sim.step(who, "send commit").await;
    Ok(())
}
