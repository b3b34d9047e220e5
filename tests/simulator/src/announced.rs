//! A batch where there are no transactions: announced, written to live, confirmed, written to history; and
//! what others do about the announcements of programs that are gone. Each command is done or not by itself.

use std::sync::Arc;

use cfg_engine::adapter::{AdapterError, Batch, Change, HeadState, LiveWrite, Mending, StoreFinding};
use cfg_engine::document::Oid;
use cfg_engine::planted;

use crate::apply::{check_object, check_standing, new_head, number, object_write};
use crate::live;
use crate::state::{Datum, Intent, Key, StoredEntry, layout};
use crate::world::{Sim, World, unreachable_store};

/// How often live is read and written before it is given up.
const ATTEMPTS: u32 = 6;

/// One command: it may fail before, or be done and look as if it had failed.
async fn command<T>(
    sim: &Sim,
    who: u64,
    what: &'static str,
    effect: impl FnOnce(&mut World) -> T,
) -> Result<T, AdapterError> {
    sim.call(who, what).await?;
    let mut world = sim.lock();
    let outcome = effect(&mut world);
    let rate = world.rates.unknown / 6;
    if world.rng.permille(rate) {
        world.note("unheard", &[who], format_args!("{what} of {who} is done and not heard of"));
        return Err(unreachable_store());
    }
    Ok(outcome)
}

/// Applies a batch of at most one record.
pub(crate) async fn apply(sim: &Sim, who: u64, batch: &Batch) -> Result<(), AdapterError> {
    check(sim, who, batch).await?;
    if let Some(change) = batch.changes().first() {
        apply_change(sim, who, batch, change).await?;
    }
    for write in batch.objects() {
        let written = command(sim, who, "object", |world| {
            let fits = check_object(&world.state, &write.key, write.expected).is_ok();
            if fits {
                let cell = object_write(&world.state, batch, write);
                world.write([cell]);
            }
            fits
        });
        if !written.await? {
            return Err(AdapterError::Busy);
        }
    }
    Ok(())
}

async fn check(sim: &Sim, who: u64, batch: &Batch) -> Result<(), AdapterError> {
    sim.call(who, "check").await?;
    let world = sim.lock();
    check_standing(&world.state, batch, world.now())
}

async fn apply_change(sim: &Sim, who: u64, batch: &Batch, change: &Change) -> Result<(), AdapterError> {
    let record = number(change);
    let intent = Intent {
        owner: who,
        op_id: batch.op_id().to_string(),
        confirmed: false,
        entries: change.entries.iter().map(|entry| Arc::new(StoredEntry::of(entry))).collect(),
        closed: change.closed.clone(),
        links: change.links.clone(),
        head: new_head(&sim.state(), change),
    };
    announce(sim, who, record, &intent).await?;
    // Nobody else moves the head from here on; somebody may have done it before.
    let written = match check(sim, who, batch).await {
        Ok(()) => write_live(sim, who, change).await,
        Err(error) => Err(error),
    };
    if let Err(error) = written {
        // It may be written all the same, and only the answer was lost.
        return if settle(sim, who, record, &intent).await? { Ok(()) } else { Err(error) };
    }
    if !mark(sim, who, record, &intent).await.map_err(|_| AdapterError::UnknownOutcome)? {
        return Err(AdapterError::UnknownOutcome);
    }
    finish(sim, who, record, &intent).await.map_err(|_| AdapterError::UnknownOutcome)
}

/// Writes the intent, waiting for whoever is at work on the record and clearing up after whoever is gone.
async fn announce(sim: &Sim, who: u64, record: u8, intent: &Intent) -> Result<(), AdapterError> {
    for _ in 0..ATTEMPTS {
        let there = command(sim, who, "announce", |world| {
            let is_free = world.state.intent(record).is_none();
            if is_free {
                world.write([(Key::Intent(record), Some(Datum::Intent(Arc::new(intent.clone()))))]);
            }
            is_free
        });
        if there.await? {
            return Ok(());
        }
        reconcile(sim, who, Mending::Repair).await?;
        sim.step(who, "pause").await;
    }
    Err(AdapterError::Busy)
}

/// Ends a change of which it is not known how far it came: where live holds what it was to write, what was
/// there before is in the announcement alone, so it is finished; else the announcement is dropped. Returns
/// whether it is done.
async fn settle(sim: &Sim, who: u64, record: u8, intent: &Intent) -> Result<bool, AdapterError> {
    sim.call(who, "settle").await?;
    let state = sim.state();
    let rows = state.rows_of(record).live;
    // It may have been announced on a head that had moved on by then: nothing of it was written then.
    let prev = intent.entries.first().map(|entry| entry.header.prev_entry_id);
    let follows = prev == Some(state.head(record).map(|head| head.tip.entry_id));
    let wanted = intent.entries.last().map(|entry| entry.header.oid);
    let holds = match (rows.as_slice(), wanted) {
        ([], Some(None)) => true,
        ([(_, row)], Some(Some(oid))) => row.content() == Some(oid),
        _ => false,
    };
    if holds && follows && !planted!("half-done-change-dropped") && mark(sim, who, record, intent).await? {
        finish(sim, who, record, intent).await?;
        return Ok(true);
    }
    command(sim, who, "drop", |world| {
        let is_it = |there: &Arc<Intent>| there.op_id == intent.op_id && !there.confirmed;
        if world.state.intent(record).is_some_and(is_it) {
            world.write([(Key::Intent(record), None)]);
        }
    })
    .await?;
    Ok(false)
}

/// Marks the intent: from here on the change holds. Returns whether it was there.
async fn mark(sim: &Sim, who: u64, record: u8, intent: &Intent) -> Result<bool, AdapterError> {
    command(sim, who, "mark", |world| match world.state.intent(record) {
        Some(there) if there.op_id == intent.op_id => {
            let marked = Intent { confirmed: true, ..there.as_ref().clone() };
            world.write([(Key::Intent(record), Some(Datum::Intent(Arc::new(marked))))]);
            true
        }
        _ => false,
    })
    .await
}

async fn drop_intent(sim: &Sim, who: u64, record: u8, op_id: &str) -> Result<(), AdapterError> {
    command(sim, who, "drop the intent", |world| {
        if world.state.intent(record).is_some_and(|there| there.op_id == op_id) {
            world.write([(Key::Intent(record), None)]);
        }
    })
    .await
}

/// Checks live and writes it, each row only if it is still what was just read.
async fn write_live(sim: &Sim, who: u64, change: &Change) -> Result<(), AdapterError> {
    let record = number(change);
    'again: for _ in 0..ATTEMPTS {
        sim.call(who, "read live").await?;
        let read = sim.state();
        let rows = read.rows_of(record);
        if !(planted!("adopt-reads-outside") && matches!(change.live, LiveWrite::Leave)) {
            live::check(change, &rows)?;
        }
        for (key, datum) in live::writes(change, &rows)? {
            let table = layout().table_of(record);
            let written = command(sim, who, "live", |world| {
                let unchanged = key.as_ref().is_none_or(|key| world.state.version(key) == read.version(key));
                if !unchanged && !planted!("live-guard-dropped") {
                    return false;
                }
                if let Some(Datum::Row(row)) = key.as_ref().and_then(|key| world.state.datum(key)) {
                    let content: Option<Oid> = row.content();
                    let replaced = content.filter(|_| row.is_live).map(|content| (record, content));
                    world.ledger.replaced.extend(replaced);
                }
                let key = key.unwrap_or_else(|| Key::Live(table, world.fresh()));
                world.write([(key, datum)]);
                true
            });
            if !written.await? {
                sim.step(who, "pause").await;
                continue 'again;
            }
        }
        return Ok(());
    }
    Err(AdapterError::Busy)
}

/// Writes what an intent says, as often as it takes, and removes it.
async fn finish(sim: &Sim, who: u64, record: u8, intent: &Intent) -> Result<(), AdapterError> {
    for entry in &intent.entries {
        command(sim, who, "entry", |world| {
            let key = Key::Entry(record, entry.header.seq.0);
            if world.state.datum(&key).is_none() {
                world.write([(key, Some(Datum::Entry(Arc::clone(entry))))]);
            }
        })
        .await?;
    }
    if !(intent.closed.is_empty() && intent.links.is_empty()) {
        command(sim, who, "close", |world| {
            let mut cells = Vec::new();
            for (seq, ends) in &intent.closed {
                if let Some(entry) = world.state.entry(record, *seq) {
                    let closed = StoredEntry { ends: *ends, ..entry.as_ref().clone() };
                    cells.push((Key::Entry(record, seq.0), Some(Datum::Entry(Arc::new(closed)))));
                }
            }
            for (seq, shas) in &intent.links {
                if let Some(entry) = world.state.entry(record, *seq) {
                    let mut linked = entry.as_ref().clone();
                    linked.git_shas.extend(shas.iter().filter(|sha| !entry.git_shas.contains(sha)).cloned());
                    cells.push((Key::Entry(record, seq.0), Some(Datum::Entry(Arc::new(linked)))));
                }
            }
            world.write(cells);
        })
        .await?;
    }
    if let Some(head) = &intent.head {
        command(sim, who, "head", |world| put_head(world, record, head)).await?;
    }
    drop_intent(sim, who, record, &intent.op_id).await
}

fn put_head(world: &mut World, record: u8, head: &HeadState) {
    // Somebody else may have finished it, and a later change may have come since.
    let is_past = world.state.head(record).is_some_and(|there| there.tip.seq > head.tip.seq);
    if !is_past || planted!("head-set-back") {
        world.write([(Key::Head(record), Some(Datum::Head(Arc::new(head.clone()))))]);
    }
}

/// Finds intents of programs that are gone; a repair finishes or drops them.
pub(crate) async fn reconcile(sim: &Sim, who: u64, mending: Mending) -> Result<Vec<StoreFinding>, AdapterError> {
    sim.call(who, "intents").await?;
    let state = sim.state();
    let mut found = Vec::new();
    for record in 0..layout().records.len() as u8 {
        let Some(intent) = state.intent(record) else { continue };
        if sim.lock().connected.contains(&intent.owner) && !planted!("live-intent-taken-over") {
            continue;
        }
        match (mending, intent.confirmed) {
            (Mending::Look, _) => {}
            (Mending::Repair, true) => finish(sim, who, record, intent).await?,
            (Mending::Repair, false) => drop(settle(sim, who, record, intent).await?),
        }
        found.push(StoreFinding {
            record: Some(layout().records[usize::from(record)].clone()),
            seq: None,
            code: "pending",
            problem: "a change was interrupted".to_owned(),
            repair: Some("it is finished or dropped".to_owned()),
            is_mended: mending == Mending::Repair,
        });
    }
    Ok(found)
}
