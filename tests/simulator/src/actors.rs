//! Who uses the tool: people, programs and scripts, each with chance of his own.

use std::sync::{Arc, Mutex, PoisonError};

use cfg_engine::adapter::AsOf;
use cfg_engine::config::Settings;
use cfg_engine::document::parse_assignments;
use cfg_engine::engine::{
    Activate, Adopt, Commit, CommitItem, HistoryImport, HistorySource, Import, Moment, OpIds, Options, Project, Remove,
    Report, Restore, RestoreAll, SetTag, Staged, TagTarget, Undo,
};
use cfg_engine::history::{Author, AuthorClass, OpId, RecordKey, Reference, Seq, TagName, Timestamp};
use cfg_engine::plan::Content;
use cfg_engine::{Error, Value};

use crate::adapter::SimAdapter;
use crate::check;
use crate::ledger;
use crate::rng::Rng;
use crate::state::layout;
use crate::world::Sim;

/// What somebody mostly does.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Role {
    Committer,
    Adopter,
    Restorer,
    Importer,
    Tagger,
    Reader,
}

const ROLES: [Role; 10] = [
    Role::Committer,
    Role::Committer,
    Role::Committer,
    Role::Committer,
    Role::Adopter,
    Role::Adopter,
    Role::Restorer,
    Role::Importer,
    Role::Tagger,
    Role::Reader,
];

impl Role {
    pub(crate) fn of(rng: &mut Rng) -> Role {
        rng.pick(&ROLES)
    }
}

struct SeededIds(Mutex<Rng>);

impl OpIds for SeededIds {
    fn fresh(&self) -> [u8; 32] {
        let mut rng = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bytes = [0; 32];
        bytes.chunks_mut(8).for_each(|chunk| chunk.copy_from_slice(&rng.next().to_le_bytes()));
        bytes
    }
}

/// Opens the store as a program of its own.
pub(crate) async fn open(sim: &Sim, who: u64, seed: u64) -> Project {
    let mut rng = Rng::new(seed ^ who.wrapping_mul(0x9e37_79b9));
    let adapter = SimAdapter::new(sim, who, rng.pick(&[2, 3, 1000]));
    adapter.open().await;
    let author = Author { id: format!("p{who}@example.com"), class: AuthorClass::Human };
    let settings = Settings::new(layout().env.clone(), author);
    Project::new(Arc::new(adapter), settings).with_op_ids(Arc::new(SeededIds(Mutex::new(rng))))
}

/// One program, until it is told to stop or dies.
pub(crate) struct Actor {
    sim: Sim,
    rng: Rng,
    project: Project,
}

/// Runs a program.
pub(crate) async fn run(sim: Sim, who: u64, seed: u64, role: Role) {
    let project = open(&sim, who, seed).await;
    let rng = Rng::new(seed.rotate_left(17) ^ who);
    let mut actor = Actor { sim, rng, project };
    while !actor.sim.lock().ledger.is_over {
        actor.act(role).await;
        actor.sim.step(who, "idle").await;
    }
}

fn because() -> Options {
    Options::message("because")
}

fn forced(is_forced: bool) -> Options {
    Options::message(if is_forced { check::FORCED } else { "because" })
}

impl Actor {
    async fn act(&mut self, role: Role) {
        // Everybody looks after drift now and then: else nobody could commit.
        if self.rng.permille(150) {
            return self.adopt().await;
        }
        match role {
            Role::Committer => match self.rng.below(10) {
                0..=3 => self.commit().await,
                4..=6 => self.set().await,
                7 => self.commit_with_key().await,
                8 => self.commit_several().await,
                _ => self.remove().await,
            },
            Role::Adopter => match self.rng.below(2) {
                0 => self.adopt().await,
                _ => self.repair().await,
            },
            Role::Restorer => match self.rng.below(5) {
                0 | 1 => self.restore().await,
                2 => self.restore_all().await,
                3 => self.undo().await,
                _ => self.activate().await,
            },
            Role::Importer => match self.rng.below(3) {
                0 => self.import().await,
                1 => self.import_history().await,
                _ => self.link().await,
            },
            Role::Tagger => match self.rng.below(3) {
                0 => self.ask_tag().await,
                _ => self.tag().await,
            },
            Role::Reader => match self.rng.below(6) {
                0 => self.fsck().await,
                1 => self.status().await,
                2 => self.ask_tag().await,
                _ => self.ask_past().await,
            },
        }
    }

    fn record(&mut self) -> (u8, RecordKey) {
        // The first three meet more often.
        let all = layout().records.len();
        let number = if self.rng.permille(600) { self.rng.index(3) } else { self.rng.index(all) };
        (number as u8, layout().records[number].clone())
    }

    /// A word that nobody else writes.
    fn word(&self, records: Vec<u8>) -> u64 {
        let mut world = self.sim.lock();
        let word = world.fresh();
        world.ledger.commits.insert(word, ledger::Commit { records, acknowledged: false });
        word
    }

    /// Notes what a verb says that it wrote.
    fn written(&self, report: &Report) {
        let mut world = self.sim.lock();
        for written in report.written() {
            for entry in &written.entries {
                let Some(record) = layout().number(&entry.header.record) else { continue };
                world.ledger.written.push((record, entry.header.seq, entry.entry_id));
            }
        }
    }

    fn told(&self, verb: &'static str, outcome: &Result<Report, Error>) -> bool {
        match outcome {
            Ok(report) => self.written(report),
            Err(error) => self.sim.lock().note("refused", &[], format_args!("{verb}: {error}")),
        }
        outcome.is_ok()
    }

    /// A commit is done where the report says so of each record: what was as asked already needs no entry.
    fn acknowledged(&self, word: u64, outcome: &Result<Report, Error>) {
        if self.told("commit", outcome)
            && let Ok(report) = outcome
            && report.failed().count() == 0
        {
            let mut world = self.sim.lock();
            if let Some(commit) = world.ledger.commits.get_mut(&word) {
                commit.acknowledged = true;
            }
            world.note("acknowledged", &[word], format_args!("commit {word}"));
        }
    }

    /// Reads, changes, writes with the base: the document as its author saw it plus his change.
    async fn edited(&mut self, record: &RecordKey, word: u64, is_forced: bool) -> Option<CommitItem> {
        let read = self.project.get(record).await.ok()?;
        let mut doc = read.doc.clone();
        let object = doc.as_object_mut()?;
        object.insert("who", word);
        let n = object.get("n").and_then(Value::as_i64).unwrap_or(0);
        object.insert("n", n + 1);
        let base = (is_forced || self.rng.permille(800)).then_some(read.base);
        if let (Some(base), false, Some(number)) = (&base, is_forced, layout().number(record)) {
            self.sim.lock().ledger.bases.push((word, number, base.seq));
        }
        Some(CommitItem { record: record.clone(), content: Content::Document(doc), base })
    }

    fn new_document(&self, word: u64) -> Value {
        Value::from_json(&format!(r#"{{"model": "small", "n": 0, "who": {word}}}"#)).expect("JSON")
    }

    async fn commit(&mut self) {
        let (number, record) = self.record();
        let word = self.word(vec![number]);
        let force = self.rng.permille(100);
        let item = match self.edited(&record, word, force).await {
            Some(item) => item,
            None if self.rng.permille(300) => {
                CommitItem { record, content: Content::Document(self.new_document(word)), base: None }
            }
            None => return,
        };
        let mut commit = Commit::of(vec![item]);
        commit.force = force;
        let outcome = self.project.commit(&commit, &forced(commit.force)).await;
        self.acknowledged(word, &outcome);
    }

    /// A change that is relative to whatever is there.
    async fn set(&mut self) {
        let (number, record) = self.record();
        let word = self.word(vec![number]);
        let content = self.assignments(word);
        let mut commit = Commit::of(vec![CommitItem { record, content, base: None }]);
        commit.force = self.rng.permille(100);
        let outcome = self.project.commit(&commit, &forced(commit.force)).await;
        self.acknowledged(word, &outcome);
    }

    fn assignments(&self, word: u64) -> Content {
        let words = [format!("who:={word}"), format!("seen+={word}")];
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        Content::Assignments(parse_assignments(&words, false).expect("words"))
    }

    /// The same call again and again under one key, until it is done.
    async fn commit_with_key(&mut self) {
        let (number, record) = self.record();
        let word = self.word(vec![number]);
        let item = if self.rng.permille(500) {
            let Some(item) = self.edited(&record, word, false).await else { return };
            item
        } else {
            CommitItem { record, content: self.assignments(word), base: None }
        };
        let commit = Commit::of(vec![item]);
        let key = OpId::new(&format!("key-{word}")).expect("a key");
        let options = Options { idempotency_key: Some(key), ..because() };
        for _ in 0..3 {
            let outcome = self.project.commit(&commit, &options).await;
            self.acknowledged(word, &outcome);
            if outcome.is_ok() && self.rng.permille(700) {
                break;
            }
        }
    }

    async fn commit_several(&mut self) {
        let ((one, first), (two, second)) = (self.record(), self.record());
        if one == two {
            return;
        }
        let word = self.word(vec![one, two]);
        let mut items = Vec::new();
        for record in [first, second] {
            match self.edited(&record, word, false).await {
                Some(item) => items.push(item),
                None => return,
            }
        }
        let outcome = self.project.commit(&Commit::of(items), &because()).await;
        self.acknowledged(word, &outcome);
    }

    async fn remove(&mut self) {
        let (_, record) = self.record();
        let mut remove = Remove::new(record);
        remove.force = self.rng.permille(200);
        let outcome = self.project.remove(&remove, &forced(remove.force)).await;
        self.told("rm", &outcome);
    }

    async fn adopt(&mut self) {
        let adopt = if self.rng.permille(500) { Adopt::All } else { Adopt::Records(vec![self.record().1]) };
        let outcome = self.project.adopt(&adopt, &because(), None).await;
        self.told("adopt", &outcome);
    }

    fn version(&mut self) -> Reference {
        if self.rng.permille(200) { Reference::Head } else { Reference::Seq(Seq(1 + self.rng.below(6))) }
    }

    async fn restore(&mut self) {
        let (_, record) = self.record();
        let mut restore = Restore::new(record, self.version());
        restore.force = self.rng.permille(200);
        restore.without_secrets = self.rng.permille(500);
        let is_forced = restore.force || restore.reference == Reference::Head;
        let outcome = self.project.restore(&restore, &forced(is_forced)).await;
        self.told("restore", &outcome);
    }

    async fn undo(&mut self) {
        let (_, record) = self.record();
        let undo = Undo::new(record, self.version());
        let outcome = self.project.undo(&undo, &because()).await;
        self.told("undo", &outcome);
    }

    async fn activate(&mut self) {
        let (_, record) = self.record();
        let mut activate = Activate::new(record, self.version());
        activate.without_secrets = self.rng.permille(500);
        let outcome = self.project.activate(&activate, &because()).await;
        self.told("activate", &outcome);
    }

    async fn restore_all(&mut self) {
        let to = if self.rng.permille(400) {
            Moment::Tag(self.tag_name())
        } else {
            let back = self.rng.below(4000) as i64;
            Moment::At(self.sim.lock().now().plus_millis(-back))
        };
        let mut restore = RestoreAll::new(to);
        restore.adopt_drift = self.rng.permille(500);
        restore.without_secrets = self.rng.permille(500);
        restore.prune = self.rng.permille(200);
        let outcome = self.project.restore_all(&restore, &forced(restore.adopt_drift), None).await;
        if let Err(error) = outcome {
            self.sim.lock().note("refused", &[], format_args!("restore --all: {error}"));
        }
    }

    async fn import(&mut self) {
        let outcome = self.project.import(&Import::default(), &because(), None).await;
        self.told("import", &outcome);
    }

    /// Versions of the past: a few lines for one record.
    async fn import_history(&mut self) {
        let (_, record) = self.record();
        let now = self.sim.lock().now().as_millis();
        let mut lines = String::new();
        for n in 0..1 + self.rng.below(3) {
            let back = self.rng.below(20_000) as i64;
            let time = Timestamp::from_millis(now - back);
            let doc = match self.rng.permille(150) {
                true => "null".to_owned(),
                false => format!(r#"{{"model": "old {n}", "n": {}}}"#, self.rng.below(100)),
            };
            let id = record.id.as_str();
            lines.push_str(&format!("{{\"id\": {id}, \"time\": \"{time}\", \"doc\": {doc}, \"message\": \"m\"}}\n"));
        }
        let import = HistoryImport { collection: record.collection.clone(), seed_live: self.rng.permille(300) };
        let mut source = Lines { text: lines, at: 0 };
        let outcome = self.project.import_history(&import, &mut source, &because(), None).await;
        if let Err(error) = outcome {
            self.sim.lock().note("refused", &[], format_args!("import --history: {error}"));
        }
    }

    async fn link(&mut self) {
        let (_, record) = self.record();
        let seq = Seq(1 + self.rng.below(4));
        let sha = format!("{:040x}", self.rng.next());
        let _ = self.project.link(&[(record, seq)], &sha, &because()).await;
    }

    fn tag_name(&mut self) -> TagName {
        TagName::new(self.rng.pick(&["june", "july"])).expect("a name")
    }

    async fn tag(&mut self) {
        let name = self.tag_name();
        let force = self.rng.permille(200);
        let as_of = self.rng.permille(300).then(|| self.sim.lock().now().plus_millis(-3000));
        let target = TagTarget::System { collection: None, as_of };
        self.sim.lock().ledger.is_forced |= force;
        let set = SetTag { name: name.clone(), target, force };
        match self.project.set_tag(&set, &because()).await {
            Ok(report) => {
                let mut world = self.sim.lock();
                world.note("tagged", &[report.records], format_args!("{name}"));
                let meant = world.ledger.names.insert(name.to_string(), report.manifest.clone());
                // Somebody may have moved it by force and never have been told.
                if !force && meant.is_some_and(|meant| meant != report.manifest) && !world.ledger.is_forced {
                    world.violation(format!("tag {name} was moved, and nobody asked for it"));
                }
            }
            Err(error) => self.sim.lock().note("refused", &[], format_args!("tag: {error}")),
        }
        self.ask_tag().await;
    }

    /// What a manifest holds is the same whenever it is asked.
    async fn ask_tag(&mut self) {
        let name = self.tag_name();
        let Ok(tag) = self.project.tag_named(&name).await else { return };
        match self.project.tagged(&tag, None).await {
            Ok(rows) => {
                let rows: ledger::TagMeaning = rows
                    .iter()
                    .filter_map(|row| Some((layout().number(&row.record)?, row.seq, row.entry_id)))
                    .collect();
                let mut world = self.sim.lock();
                let known = world.ledger.tags.get(&tag.manifest).cloned();
                if known.is_some_and(|known| known != rows) {
                    world.violation(format!("tag {name} means something else than before"));
                }
                world.ledger.tags.insert(tag.manifest.clone(), rows);
            }
            Err(error @ Error::Storage(cfg_engine::adapter::AdapterError::Damaged { .. })) => {
                self.sim.lock().violation(format!("tag {name}: {error}"));
            }
            Err(_) => {}
        }
    }

    /// What a job does every night: it clears up behind programs that are gone, and mends what can be mended.
    async fn repair(&mut self) {
        if let Err(error) = self.project.repair(&because(), None).await {
            self.sim.lock().note("refused", &[], format_args!("repair: {error}"));
        }
    }

    async fn status(&mut self) {
        let _ = self.project.status(None, true, &Staged::new(), None).await;
    }

    /// Where a batch is one transaction, history is sound at every moment.
    async fn fsck(&mut self) {
        let Ok(report) = self.project.fsck(None).await else { return };
        let mut world = self.sim.lock();
        if !world.store.is_announced() {
            for finding in report.findings.iter().filter(|finding| finding.code != "ambiguous") {
                world.violation(format!("fsck: {} of {:?}: {}", finding.code, finding.record, finding.problem));
            }
        }
    }

    /// Asks about the past, more than the two seconds ago by which a batch's time may be late.
    async fn ask_past(&mut self) {
        let back = 2100 + self.rng.below(4000) as i64;
        let recorded = self.sim.lock().now().plus_millis(-back);
        let valid = recorded.plus_millis(-(self.rng.below(3000) as i64));
        let at = if self.rng.permille(600) { AsOf::Both { recorded, valid } } else { AsOf::Recorded(recorded) };
        let (sets, open) = {
            let world = self.sim.lock();
            (world.ledger.clock_sets, world.timed.values().any(|at| *at <= recorded))
        };
        let rows = ask(&self.project, at).await;
        let mut world = self.sim.lock();
        if let Ok(rows) = rows
            && !open
            && world.ledger.clock_sets == sets
        {
            let low = world.now().as_millis();
            world.ledger.answers.push(ledger::Answer { at, recorded, rows, low });
        }
    }
}

/// Asks what held at a moment of the past.
pub(crate) async fn ask(project: &Project, at: AsOf) -> Result<Vec<(u8, Seq)>, Error> {
    let rows = project.log_as_of(None, None, at, false).await?;
    let row =
        |row: &cfg_engine::engine::AsOfEntry| Some((layout().number(&row.entry.header.record)?, row.entry.header.seq));
    Ok(rows.iter().filter_map(row).collect())
}

/// The lines of a file that is none.
struct Lines {
    text: String,
    at: usize,
}

impl HistorySource for Lines {
    fn rewind(&mut self) -> std::io::Result<()> {
        self.at = 0;
        Ok(())
    }

    fn next_line(&mut self, line: &mut String) -> std::io::Result<Option<u64>> {
        let from = self.at;
        self.line_at(from as u64, line)?;
        if from >= self.text.len() {
            return Ok(None);
        }
        self.at = from + line.len() + 1;
        Ok(Some(from as u64))
    }

    fn line_at(&mut self, offset: u64, line: &mut String) -> std::io::Result<()> {
        line.clear();
        let rest = &self.text[(offset as usize).min(self.text.len())..];
        line.push_str(rest.lines().next().unwrap_or_default());
        Ok(())
    }
}
