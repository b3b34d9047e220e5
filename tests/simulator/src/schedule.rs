//! The schedule: one thread, some tasks, and chance that says who takes the next step.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use cfg_engine::Error;
use cfg_engine::engine::{Adopt, Commit, CommitItem, Options, Project, Staged, State};
use cfg_engine::plan::Content;
use futures_util::future::BoxFuture;

use crate::actors::{self, Role};
use crate::rng::Rng;
use crate::state::layout;
use crate::world::{Rates, Sim};
use crate::{Store, check};

/// What became of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The seed.
    pub seed: u64,
    /// Which store was modelled.
    pub store: Store,
    /// The hash of everything that happened, in order.
    pub hash: u64,
    /// What must not be; empty where all is well.
    pub violations: Vec<String>,
    /// How many steps were taken.
    pub steps: u64,
    /// How many transactions and changes were acknowledged.
    pub commits: u64,
}

/// How many steps may be taken after the schedule's own, until everything is at rest.
const REST: u64 = 4000;

/// After these steps a change is half done: so many times as likely a program dies there.
const RISKY: [(&str, u32); 7] =
    [("live", 2), ("history", 4), ("send commit", 4), ("mark", 8), ("entry", 8), ("close", 8), ("head", 8)];

struct Task {
    /// The program, or 0 for what is on its way by itself.
    who: u64,
    future: BoxFuture<'static, ()>,
    /// Up to which step it stands still.
    until: u64,
}

/// Runs one seed for so many steps, and then until everything is at rest.
pub fn simulate(seed: u64, steps: u64) -> Run {
    Schedule::new(seed, false).run(steps).0
}

/// As [`simulate`], and says what happened, in words.
pub fn simulate_in_words(seed: u64, steps: u64) -> (Run, Vec<String>) {
    Schedule::new(seed, true).run(steps)
}

struct Schedule {
    sim: Sim,
    seed: u64,
    store: Store,
    rng: Rng,
    tasks: Vec<Task>,
    taken: u64,
}

impl Schedule {
    fn new(seed: u64, verbose: bool) -> Self {
        // The same store for the same rest: seeds next to each other model different ones.
        let store = Store::ALL[(seed % Store::ALL.len() as u64) as usize];
        let rng = Rng::new(seed.rotate_left(32));
        Schedule { sim: Sim::new(seed, store, verbose), seed, store, rng, tasks: Vec::new(), taken: 0 }
    }

    fn run(mut self, steps: u64) -> (Run, Vec<String>) {
        let rates = std::mem::replace(&mut self.sim.lock().rates, Rates::NONE);
        self.alone(prepare(self.sim.clone(), self.seed));
        self.sim.lock().rates = rates;
        let people = 2 + self.rng.below(4);
        for _ in 0..people {
            self.start();
        }
        while self.taken < steps && self.sim.lock().violations.is_empty() {
            self.step(rates);
        }
        self.come_to_rest();
        if self.sim.lock().violations.is_empty() {
            self.alone(recover(self.sim.clone(), self.seed));
        }
        let mut world = self.sim.lock();
        let acknowledged = world.ledger.commits.values().filter(|commit| commit.acknowledged).count() as u64;
        let run = Run {
            seed: self.seed,
            store: self.store,
            hash: world.trace.hash(),
            violations: std::mem::take(&mut world.violations),
            steps: self.taken,
            commits: acknowledged,
        };
        let words = world.trace.take_text();
        (run, words)
    }

    /// Starts a program.
    fn start(&mut self) {
        let role = Role::of(&mut self.rng);
        let who = self.sim.lock().fresh();
        self.sim.lock().note("start", &[who], format_args!("{who}: {role:?}"));
        let future = actors::run(self.sim.clone(), who, self.seed, role);
        self.tasks.push(Task { who, future: Box::pin(future), until: 0 });
    }

    /// Lets chance take one step.
    fn step(&mut self, rates: Rates) {
        self.taken += 1;
        self.sim.lock().tick();
        if self.rng.permille(rates.raw) {
            self.sim.lock().write_around();
        }
        let arrived = std::mem::take(&mut self.sim.lock().background);
        self.tasks.extend(arrived.into_iter().map(|future| Task { who: 0, future, until: 0 }));
        let awake: Vec<usize> = (0..self.tasks.len()).filter(|n| self.tasks[*n].until < self.taken).collect();
        if awake.is_empty() {
            return;
        }
        let at = self.rng.pick(&awake);
        if self.rng.permille(rates.stall) {
            self.tasks[at].until = self.taken + self.rng.pick(&[15, 60, 120]);
            let who = self.tasks[at].who;
            self.sim.lock().note("stall", &[who], format_args!("of {who}"));
            return;
        }
        // In the middle of a change more can go wrong.
        let last = self.sim.lock().last.get(&self.tasks[at].who).copied();
        let times = last.and_then(|last| RISKY.iter().find(|(step, _)| *step == last)).map_or(1, |(_, times)| *times);
        let crash = rates.crash * times;
        if self.tasks[at].who != 0 && self.rng.permille(crash) {
            let Task { who, future, .. } = self.tasks.swap_remove(at);
            self.sim.lock().note("crash", &[who], format_args!("of {who}"));
            drop(future);
            self.sim.lock().connected.remove(&who);
            self.start();
            return;
        }
        self.poll(at);
    }

    /// Polls one task; takes it away where it is done.
    fn poll(&mut self, at: usize) {
        let mut context = Context::from_waker(Waker::noop());
        if self.tasks[at].future.as_mut().poll(&mut context).is_ready() {
            self.tasks.swap_remove(at);
        }
    }

    /// Nothing goes wrong any more, and everybody ends what he has begun.
    fn come_to_rest(&mut self) {
        {
            let mut world = self.sim.lock();
            world.calm();
            world.ledger.is_over = true;
        }
        for _ in 0..REST {
            let arrived = std::mem::take(&mut self.sim.lock().background);
            self.tasks.extend(arrived.into_iter().map(|future| Task { who: 0, future, until: 0 }));
            if self.tasks.is_empty() {
                break;
            }
            self.sim.lock().tick();
            let at = self.rng.index(self.tasks.len());
            self.poll(at);
        }
        if !self.tasks.is_empty() {
            self.sim.lock().violation(format!("{} tasks do not end", self.tasks.len()));
            self.tasks.clear();
        }
    }

    /// Runs something by itself, to its end.
    fn alone(&mut self, future: impl Future<Output = ()> + Send + 'static) {
        let mut future: BoxFuture<'static, ()> = Box::pin(future);
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..REST {
            self.sim.lock().tick();
            if let Poll::Ready(()) = future.as_mut().poll(&mut context) {
                return;
            }
        }
        self.sim.lock().violation("what runs alone does not end".to_owned());
    }
}

/// Some records are there, some of them with history.
async fn prepare(sim: Sim, seed: u64) {
    let who = {
        let mut world = sim.lock();
        for record in [0, 1, 2, 5] {
            world.insert_row(record, true);
        }
        world.insert_row(0, false);
        world.fresh()
    };
    let project = actors::open(&sim, who, seed).await;
    if let Err(error) = project.init(false).await {
        sim.lock().violation(format!("init: {error}"));
    }
    let some = layout().records[..2].to_vec();
    let options = Options::message("first versions");
    if let Err(error) = project.adopt(&Adopt::Records(some), &options, None).await {
        sim.lock().violation(format!("adopt: {error}"));
    }
    sim.lock().connected.remove(&who);
}

/// Everything is as it was left: a new program clears up, and then all must be as history says.
async fn recover(sim: Sim, seed: u64) {
    let who = {
        let mut world = sim.lock();
        let orphans: Vec<u64> = world.orphans.keys().copied().collect();
        orphans.into_iter().for_each(|txn| world.release(txn));
        world.connected.clear();
        world.tidy();
        world.fresh()
    };
    let project = actors::open(&sim, who, seed).await;
    if let Err(error) = recovered(&sim, &project).await {
        sim.lock().violation(format!("while recovering: {error}"));
    }
    let mut world = sim.lock();
    let state = Arc::clone(&world.state);
    let found = check::ledger(&state, &world.ledger, world.store.is_announced());
    found.into_iter().for_each(|what| world.violation(what));
}

async fn recovered(sim: &Sim, project: &Project) -> Result<(), Error> {
    let options = Options::message("after all");
    project.repair(&options, None).await?;
    let report = project.adopt(&Adopt::All, &options, None).await?;
    if let Some((record, error)) = report.failed().next() {
        sim.lock().violation(format!("{record:?} cannot be adopted in the end: {error}"));
    }
    for finding in project.fsck(None).await?.findings {
        sim.lock().violation(format!("fsck in the end: {} of {:?}: {}", finding.code, finding.record, finding.problem));
    }
    let status = project.status(None, true, &Staged::new(), None).await?;
    for row in status.rows.iter().filter(|row| !matches!(row.state, State::Clean | State::Removed)) {
        sim.lock().violation(format!("{:?} is {} in the end", row.record, row.state.as_str()));
    }
    same_answers(sim, project).await?;
    // Whoever comes next can work.
    for row in status.rows.iter().filter(|row| row.state == State::Clean) {
        let assignment = cfg_engine::document::parse_assignments(&["rank:=0", "who:=0"], false).expect("words");
        let item = CommitItem { record: row.record.clone(), content: Content::Assignments(assignment), base: None };
        if let Err(error) = project.commit(&Commit::of(vec![item]), &options).await {
            sim.lock().violation(format!("{:?} cannot be committed in the end: {error}", row.record));
        }
    }
    Ok(())
}

/// Asks again what was asked about the past, and what tags meant.
async fn same_answers(sim: &Sim, project: &Project) -> Result<(), Error> {
    let (answers, is_announced) = {
        let mut world = sim.lock();
        (std::mem::take(&mut world.ledger.answers), world.store.is_announced())
    };
    // Where a change may be finished long after its time was chosen, an answer may still change.
    for answer in answers.iter().filter(|answer| !is_announced && answer.recorded.as_millis() < answer.low - 2000) {
        let rows = actors::ask(project, answer.at).await?;
        if rows != answer.rows {
            sim.lock().violation(format!("{:?} was {:?} and is {rows:?}", answer.at, answer.rows));
        }
    }
    let tags = std::mem::take(&mut sim.lock().ledger.tags);
    for tag in project.tags().await? {
        let rows = project.tagged(&tag, None).await?;
        let rows: crate::ledger::TagMeaning =
            rows.iter().filter_map(|row| Some((layout().number(&row.record)?, row.seq, row.entry_id))).collect();
        if tags.get(&tag.manifest).is_some_and(|known| *known != rows) {
            sim.lock().violation(format!("tag {} means something else in the end", tag.name));
        }
        let state = sim.state();
        if rows.iter().any(|(r, seq, id)| state.entry(*r, *seq).is_none_or(|entry| entry.entry_id != *id)) {
            sim.lock().violation(format!("tag {} names what is not there", tag.name));
        }
    }
    Ok(())
}
