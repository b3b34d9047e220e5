//! The world of one run: what is stored, the clock, what goes wrong, and what is known to have happened.
//!
//! One thread runs it, so its lock is never waited for; it is there because adapters are shared.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Arguments;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use cfg_engine::adapter::{AdapterError, Batch, ClockReading};
use cfg_engine::history::Timestamp;
use futures_util::future::BoxFuture;

use crate::Store;
use crate::check;
use crate::ledger::Ledger;
use crate::rng::Rng;
use crate::state::{Cell, Datum, Key, State};
use crate::trace::Trace;

/// 2024-01-01T00:00:00Z.
const START: i64 = 1_704_067_200_000;

/// How often something goes wrong, out of 1000; every seed has its own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rates {
    /// A call fails before anything is done.
    pub(crate) transient: u32,
    /// The program dies between two steps.
    pub(crate) crash: u32,
    /// An acknowledgement is lost, or what it would have acknowledged.
    pub(crate) unknown: u32,
    /// A batch arrives a second time.
    pub(crate) twice: u32,
    /// Somebody writes around the tool.
    pub(crate) raw: u32,
    /// The store's clock is set.
    pub(crate) clock: u32,
    /// Everybody waits longer than a batch's time may be late.
    pub(crate) pause: u32,
    /// A program stands still for a while: a laptop that is closed, a long collection of garbage.
    pub(crate) stall: u32,
    /// A read is delivered in pieces, with other things in between.
    pub(crate) slow: u32,
}

impl Rates {
    pub(crate) fn of(rng: &mut Rng) -> Self {
        Rates {
            transient: rng.pick(&[0, 0, 5, 25]),
            crash: rng.pick(&[0, 2, 6, 15]),
            unknown: rng.pick(&[0, 40, 120, 300]),
            twice: rng.pick(&[0, 50, 200]),
            raw: rng.pick(&[0, 15, 50, 120]),
            clock: rng.pick(&[0, 0, 5, 20]),
            pause: rng.pick(&[0, 0, 5, 15]),
            stall: rng.pick(&[0, 10, 30, 60]),
            slow: rng.pick(&[0, 200, 600]),
        }
    }

    pub(crate) const NONE: Rates =
        Rates { transient: 0, crash: 0, unknown: 0, twice: 0, raw: 0, clock: 0, pause: 0, stall: 0, slow: 0 };
}

/// The world, shared.
#[derive(Clone)]
pub(crate) struct Sim(Arc<Mutex<World>>);

pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) rng: Rng,
    pub(crate) rates: Rates,
    pub(crate) state: Arc<State>,
    /// Cells that a transaction has written and not committed, or holds for itself.
    pub(crate) locks: BTreeMap<Key, u64>,
    /// The transaction that holds the whole file.
    pub(crate) file: Option<u64>,
    /// Transactions that are past the check of their time.
    pub(crate) timed: BTreeMap<u64, Timestamp>,
    /// Transactions whose program is gone, and for how many steps the server keeps them.
    pub(crate) orphans: BTreeMap<u64, u32>,
    /// Programs that are connected.
    pub(crate) connected: BTreeSet<u64>,
    /// The last step of each program.
    pub(crate) last: BTreeMap<u64, &'static str>,
    /// What is on its way and arrives later.
    pub(crate) background: Vec<BoxFuture<'static, ()>>,
    pub(crate) ledger: Ledger,
    pub(crate) trace: Trace,
    /// What must not be, in the order in which it was noticed.
    pub(crate) violations: Vec<String>,
    wall: i64,
    mono: u64,
    next: u64,
}

/// Gives the scheduler its turn, once.
struct Turn(bool);

impl Future for Turn {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

pub(crate) fn unreachable_store() -> AdapterError {
    AdapterError::Unreachable { store: "simulated".to_owned(), reason: "no route".to_owned() }
}

impl Sim {
    pub(crate) fn new(seed: u64, store: Store, verbose: bool) -> Self {
        let mut rng = Rng::new(seed);
        let mut rates = Rates::of(&mut rng);
        if store.is_announced() {
            // Where nothing is atomic, what is left behind is what matters.
            rates.crash = rng.pick(&[0, 10, 20, 40]);
            rates.stall = rng.pick(&[0, 30, 60, 100]);
        }
        Sim(Arc::new(Mutex::new(World {
            store,
            rng,
            rates,
            state: Arc::default(),
            locks: BTreeMap::new(),
            file: None,
            timed: BTreeMap::new(),
            orphans: BTreeMap::new(),
            connected: BTreeSet::new(),
            last: BTreeMap::new(),
            background: Vec::new(),
            ledger: Ledger::default(),
            trace: Trace::new(verbose),
            violations: Vec::new(),
            wall: START,
            mono: 0,
            next: 0,
        })))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A step of somebody, before which anybody else may take some.
    pub(crate) async fn step(&self, who: u64, what: &'static str) {
        Turn(false).await;
        let mut world = self.lock();
        world.trace.event(what, &[who], format_args!("by {who}"));
        world.last.insert(who, what);
    }

    /// A step that reaches the store or not.
    pub(crate) async fn call(&self, who: u64, what: &'static str) -> Result<(), AdapterError> {
        self.step(who, what).await;
        let mut world = self.lock();
        let rate = world.rates.transient;
        if world.rng.permille(rate) {
            world.note("transient", &[who], format_args!("{what} of {who} fails"));
            return Err(unreachable_store());
        }
        Ok(())
    }

    /// What is committed.
    pub(crate) fn state(&self) -> Arc<State> {
        Arc::clone(&self.lock().state)
    }
}

impl World {
    pub(crate) fn note(&mut self, name: &str, numbers: &[u64], words: Arguments<'_>) {
        self.trace.event(name, numbers, words);
    }

    pub(crate) fn fresh(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.wall)
    }

    pub(crate) fn monotonic(&self) -> Duration {
        Duration::from_millis(self.mono)
    }

    pub(crate) fn read_clock(&self) -> ClockReading {
        ClockReading { store: self.now(), taken: self.monotonic() }
    }

    /// Lets time pass, and whatever depends on it.
    pub(crate) fn tick(&mut self) {
        let pause = self.rates.pause;
        let passed = if self.rng.permille(pause) { 2500 } else { self.rng.below(60) };
        self.mono += passed;
        self.wall += passed as i64;
        let mut gone = Vec::new();
        for (txn, left) in &mut self.orphans {
            *left = left.saturating_sub(1);
            if *left == 0 {
                gone.push(*txn);
            }
        }
        gone.into_iter().for_each(|txn| self.release(txn));
        let rate = self.rates.clock;
        if self.rng.permille(rate) {
            let far = self.rng.pick(&[40, 900, 2500, 30_000]);
            let by = self.rng.below(far) as i64 + 1;
            let by = if self.rng.permille(500) { by } else { -by };
            self.wall += by;
            self.ledger.clock_set(self.wall);
            self.note("clock", &[by as u64], format_args!("is set by {by} ms"));
        }
    }

    /// From now on nothing goes wrong.
    pub(crate) fn calm(&mut self) {
        self.rates = Rates::NONE;
    }

    /// Forgets a transaction: what it holds is free.
    pub(crate) fn release(&mut self, txn: u64) {
        self.locks.retain(|_, holder| *holder != txn);
        if self.file == Some(txn) {
            self.file = None;
        }
        self.timed.remove(&txn);
        self.orphans.remove(&txn);
    }

    pub(crate) fn violation(&mut self, what: String) {
        self.trace.event("VIOLATION", &[], format_args!("{what}"));
        self.violations.push(what);
    }

    /// Writes cells as one step.
    pub(crate) fn write(&mut self, writes: impl IntoIterator<Item = (Key, Option<Datum>)>) {
        let version = self.fresh();
        let state = Arc::make_mut(&mut self.state);
        for (key, datum) in writes {
            match datum {
                Some(datum) => drop(state.0.insert(key, Cell { version, datum })),
                None => drop(state.0.remove(&key)),
            }
        }
    }

    /// Commits what a transaction wrote, and checks it. `seen` is what the transaction decided on.
    pub(crate) fn commit(&mut self, batch: &Batch, writes: BTreeMap<Key, Option<Datum>>, seen: Option<&State>) {
        let before = Arc::clone(&self.state);
        self.write(writes);
        let after = Arc::clone(&self.state);
        self.note("commit", &[batch.changes().len() as u64], format_args!("{}", batch.op_id()));
        let found = check::transaction(&before, &after, seen.unwrap_or(&after), batch);
        found.into_iter().for_each(|what| self.violation(what));
    }
}

/// A transaction: its writes are seen by nobody else until it commits.
pub(crate) struct Txn {
    pub(crate) sim: Sim,
    pub(crate) id: u64,
    pub(crate) snapshot: Arc<State>,
    pub(crate) writes: BTreeMap<Key, Option<Datum>>,
    /// Whether the server keeps it for a while when its program is gone.
    lingers: bool,
    done: bool,
}

/// Another transaction was there first.
pub(crate) struct Conflict;

impl Txn {
    pub(crate) fn begin(sim: &Sim, lingers: bool) -> Txn {
        let mut world = sim.lock();
        let id = world.fresh();
        let snapshot = Arc::clone(&world.state);
        drop(world);
        Txn { sim: sim.clone(), id, snapshot, writes: BTreeMap::new(), lingers, done: false }
    }

    /// Writes a cell under snapshot isolation: whoever wrote it since, or is writing it, wins.
    pub(crate) fn put(&mut self, key: Key, datum: Option<Datum>) -> Result<(), Conflict> {
        let mut world = self.sim.lock();
        let is_free = world.locks.get(&key).is_none_or(|holder| *holder == self.id);
        let unchanged = world.state.version(&key) == self.snapshot.version(&key);
        let may_write = (is_free && unchanged) || cfg_engine::planted!("write-conflict-ignored");
        if !may_write {
            return Err(Conflict);
        }
        world.locks.insert(key.clone(), self.id);
        drop(world);
        self.writes.insert(key, datum);
        Ok(())
    }

    /// Takes a cell for itself, waiting for whoever has it; `false` where that takes too long.
    pub(crate) async fn take(&mut self, who: u64, key: &Key) -> bool {
        for _ in 0..40 {
            {
                let mut world = self.sim.lock();
                if world.locks.get(key).is_none_or(|holder| *holder == self.id) {
                    world.locks.insert(key.clone(), self.id);
                    return true;
                }
            }
            self.sim.step(who, "wait").await;
        }
        false
    }

    pub(crate) fn commit(mut self, batch: &Batch, seen: Option<&State>) {
        let writes = std::mem::take(&mut self.writes);
        let sim = self.sim.clone();
        let mut world = sim.lock();
        world.commit(batch, writes, seen);
        world.release(self.id);
        self.done = true;
    }

    pub(crate) fn abort(mut self) {
        self.done = true;
        self.sim.lock().release(self.id);
    }
}

impl Drop for Txn {
    /// The program is gone in the middle of it.
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let mut world = self.sim.lock();
        if self.lingers && world.rng.permille(500) {
            let steps = 5 + world.rng.below(40) as u32;
            world.orphans.insert(self.id, steps);
        } else {
            world.release(self.id);
        }
    }
}
