//! A store with so many records and a history, and the verbs that are measured on it.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cfg_engine::adapter::{AsOf, StorageAdapter};
use cfg_engine::config::{CollectionConfig, Settings, Shape};
use cfg_engine::engine::{
    Commit, CommitItem, HistoryImport, Import, Log, Moment, Options, Project, Restore, RestoreAll, SetTag, Staged,
    TagTarget,
};
use cfg_engine::history::{
    Author, AuthorClass, CollectionName, EnvName, IdKey, RecordKey, Reference, Seq, TagName, Timestamp,
};
use cfg_engine::plan::Content;
use cfg_engine_connect::HistoryFile;
use cfg_engine_mongodb::{MongoAdapter, MongoOptions};
use cfg_engine_postgres::{PostgresAdapter, PostgresOptions};
use cfg_engine_sqlite::{SqliteAdapter, SqliteOptions};
use tempfile::TempDir;

use crate::app::{App, Mongodb, Postgres, Row, Sqlite};
use crate::document;
use crate::line::Line;

/// A kind of store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    Sqlite,
    /// The server that `CFG_TEST_POSTGRES_URI` names.
    Postgres,
    /// The server that `CFG_TEST_MONGODB_URI` names.
    Mongodb,
}

impl Kind {
    /// Returns its name in the results.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Sqlite => "sqlite",
            Kind::Postgres => "postgres",
            Kind::Mongodb => "mongodb",
        }
    }

    /// Returns those that can be measured here; says of the others that they cannot.
    #[expect(clippy::print_stderr, reason = "a skip that nobody sees is a pass")]
    pub fn here() -> Vec<Kind> {
        let mut here = vec![Kind::Sqlite];
        for (kind, variable) in [(Kind::Postgres, "CFG_TEST_POSTGRES_URI"), (Kind::Mongodb, "CFG_TEST_MONGODB_URI")] {
            match std::env::var(variable) {
                Ok(_) => here.push(kind),
                Err(_) => eprintln!("SKIPPED LOUDLY: {}: {variable} is not set; see tests/servers", kind.name()),
            }
        }
        here
    }

    fn uri(self) -> String {
        let variable = if self == Kind::Postgres { "CFG_TEST_POSTGRES_URI" } else { "CFG_TEST_MONGODB_URI" };
        std::env::var(variable).unwrap()
    }

    /// Returns a slow way to the server, and the URI that leads over it; a file has none.
    pub fn line(self) -> Option<(Line, String)> {
        let uri = self.uri_of_server()?;
        let (before, rest) = uri.rsplit_once('@').unwrap_or_else(|| uri.split_at(uri.find("//").unwrap() + 2));
        let before = if uri.contains('@') { format!("{before}@") } else { before.to_owned() };
        let (server, path) = rest.split_once('/').unwrap_or((rest, ""));
        let line = Line::to(server);
        let mut through = format!("{before}127.0.0.1:{}/{path}", line.port);
        if self == Kind::Mongodb {
            // A driver that is told the set's name goes to the address that the set says of itself.
            through = format!("{before}127.0.0.1:{}/?directConnection=true", line.port);
        }
        Some((line, through))
    }

    fn uri_of_server(self) -> Option<String> {
        (self != Kind::Sqlite).then(|| self.uri())
    }
}

/// How the history comes about.
#[derive(Debug, Clone, Copy)]
pub enum Filled {
    /// Records of the application, imported: one version each.
    Imported,
    /// So many versions of each record, a minute apart, loaded from a file.
    Loaded(usize),
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// One value changed in each of so many records, in one batch.
    Commit(usize),
    /// The same writes by hand.
    Write(usize),
    /// The state of every record.
    Status,
    /// Every live document by hand.
    ReadAll,
    /// One live document with its base.
    Get,
    /// One live document by hand.
    Read,
    /// What every record was, with or without documents.
    AsOf(bool),
    /// The same by hand.
    ReadAsOf(bool),
    /// What one record was half way through its history, with its document.
    AsOfOne,
    /// The newest twenty entries of one record.
    Log,
    /// Which version made each field of one record.
    Blame,
    /// One record back to its first version.
    RestoreOne,
    /// A tag of everything after so many records have changed.
    Tag(usize),
    /// Everything back to a tag, so many records changed since.
    RestoreAll(usize),
    /// What that would do, over what has changed since.
    DryRun,
}

/// One measurement.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// How long it took.
    pub took: Duration,
    /// How many commands went to the server.
    pub commands: Option<u64>,
}

/// Where commands to the server are counted.
#[derive(Clone)]
enum Commands {
    Uncounted,
    Postgres(Arc<PostgresAdapter>),
    Mongodb(Arc<AtomicU64>),
}

impl Commands {
    fn count(&self) -> Option<u64> {
        match self {
            Commands::Uncounted => None,
            Commands::Postgres(adapter) => Some(adapter.round_trips()),
            Commands::Mongodb(count) => Some(count.load(Ordering::Relaxed)),
        }
    }
}

/// How commands are counted.
struct Counting {
    /// The project that they are counted of, where it is another one.
    project: Option<Project>,
    commands: Commands,
}

/// A store with records and history.
pub struct Stage {
    kind: Kind,
    project: Project,
    app: Box<dyn App>,
    counting: Counting,
    counts: bool,
    records: usize,
    size: usize,
    /// An instant within the history.
    at: Timestamp,
    next: usize,
    value: i64,
    tagged: bool,
    folder: TempDir,
}

fn because() -> Options {
    Options::message("a benchmark")
}

fn id(n: usize) -> String {
    format!("agent-{n:06}")
}

fn key(n: usize) -> RecordKey {
    RecordKey {
        env: EnvName::new("dev").unwrap(),
        collection: CollectionName::new("agents").unwrap(),
        id: IdKey::from_value(&id(n).into()).unwrap(),
    }
}

fn tag(name: &str) -> SetTag {
    let target = TagTarget::System { collection: None, as_of: None };
    SetTag { name: TagName::new(name).unwrap(), target, force: true }
}

fn project(adapter: Arc<dyn StorageAdapter>) -> Project {
    let author = Author { id: "bench@example.com".to_owned(), class: AuthorClass::Pipeline };
    Project::new(adapter, Settings::new(EnvName::new("dev").unwrap(), author))
}

async fn postgres(uri: &str) -> (Project, Counting) {
    let mut agents = CollectionConfig::new(CollectionName::new("agents").unwrap(), "id");
    agents.shape = Shape::Doc;
    agents.table = "bench_app.agents".to_owned();
    let options = PostgresOptions { schema: "bench_app_history".to_owned(), ..PostgresOptions::new(uri, vec![agents]) };
    let adapter = Arc::new(PostgresAdapter::open(options).await.unwrap());
    (project(adapter.clone()), Counting { project: None, commands: Commands::Postgres(adapter) })
}

/// Two ways to the same: a driver that tells of its commands reads every answer a second time to tell of it as well, so
/// the one that is counted is not the one that is timed.
async fn mongodb(uri: &str, database: &str) -> (Project, Counting) {
    let agents = CollectionConfig::new(CollectionName::new("agents").unwrap(), "_id");
    let plain = MongoOptions { db: Some(database.to_owned()), ..MongoOptions::new(uri, vec![agents]) };
    let count = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&count);
    let on_command: cfg_engine_mongodb::OnCommand = Arc::new(move |_: &str| {
        counted.fetch_add(1, Ordering::Relaxed);
    });
    let telling = MongoOptions { on_command: Some(on_command), ..plain.clone() };
    let telling = project(Arc::new(MongoAdapter::open(telling).await.unwrap()));
    let plain = project(Arc::new(MongoAdapter::open(plain).await.unwrap()));
    (plain, Counting { project: Some(telling), commands: Commands::Mongodb(count) })
}

impl Stage {
    /// Makes a store of so many records of so many bytes.
    pub async fn new(kind: Kind, records: usize, size: usize, filled: Filled) -> Stage {
        let folder = tempfile::tempdir().unwrap();
        let database = format!("bench_{}", std::process::id());
        let mut app: Box<dyn App> = match kind {
            Kind::Sqlite => Box::new(Sqlite::new(&folder.path().join("bench.db"))),
            Kind::Postgres => Box::new(Postgres::new(&kind.uri()).await),
            Kind::Mongodb => Box::new(Mongodb::new(&kind.uri(), &database).await),
        };
        if kind == Kind::Mongodb {
            app.clear().await;
        }
        let rows: Vec<Row> = (0..records).map(|n| (id(n), document(n, size))).collect();
        app.fill(&rows, matches!(filled, Filled::Imported)).await;
        let (project, counting) = match kind {
            Kind::Sqlite => {
                let mut agents = CollectionConfig::new(CollectionName::new("agents").unwrap(), "id");
                agents.shape = Shape::Doc;
                let options = SqliteOptions::new(folder.path().join("bench.db"), vec![agents]);
                let counting = Counting { project: None, commands: Commands::Uncounted };
                (project(Arc::new(SqliteAdapter::open(options).unwrap())), counting)
            }
            Kind::Postgres => postgres(&kind.uri()).await,
            Kind::Mongodb => mongodb(&kind.uri(), &database).await,
        };
        project.init(false).await.unwrap();
        let at = Timestamp::from_millis(0);
        let mut stage = Stage {
            kind,
            project,
            app,
            counting,
            counts: false,
            records,
            size,
            at,
            next: 0,
            value: 1 << 32,
            tagged: false,
            folder,
        };
        match filled {
            Filled::Imported => {
                stage.project.import(&Import::default(), &because(), None).await.unwrap();
                stage.at = stage.project.now_there().await.unwrap();
            }
            Filled::Loaded(versions) => stage.load(versions).await,
        }
        stage.app.settle().await;
        stage
    }

    async fn load(&mut self, versions: usize) {
        let start = Timestamp::parse("2020-01-01").unwrap();
        let file = self.folder.path().join("history.jsonl");
        let mut lines = std::io::BufWriter::new(std::fs::File::create(&file).unwrap());
        let mut line = String::new();
        for version in 0..versions {
            let at = start.plus_millis(version as i64 * 60_000);
            for n in 0..self.records {
                let doc = document(version * self.records + n, self.size);
                line.clear();
                writeln!(line, r#"{{"id": "{}", "time": "{at}", "doc": {doc}}}"#, id(n)).unwrap();
                std::io::Write::write_all(&mut lines, line.as_bytes()).unwrap();
            }
        }
        std::io::Write::flush(&mut lines).unwrap();
        let import = HistoryImport { collection: CollectionName::new("agents").unwrap(), seed_live: true };
        let mut source = HistoryFile::open(&file).unwrap();
        self.project.import_history(&import, &mut source, &because(), None).await.unwrap();
        self.at = start.plus_millis((versions as i64 - 1) / 2 * 60_000 + 30_000);
    }

    /// Goes on over another way to the server.
    pub async fn through(&mut self, uri: &str) {
        let database = format!("bench_{}", std::process::id());
        match self.kind {
            Kind::Sqlite => {}
            Kind::Postgres => {
                (self.project, self.counting) = postgres(uri).await;
                self.app = Box::new(Postgres::through(uri).await);
            }
            Kind::Mongodb => {
                (self.project, self.counting) = mongodb(uri, &database).await;
                self.app = Box::new(Mongodb::new(&self.kind.uri(), &database).await.through(uri).await);
            }
        }
    }

    /// Versions and settings of the store.
    pub async fn about(&mut self) -> Vec<(&'static str, String)> {
        self.app.about().await
    }

    /// Removes everything from the server.
    pub async fn close(mut self) {
        drop((self.project, self.counting));
        self.app.clear().await;
    }

    /// From now on commands are counted, and times are not to be trusted; or the other way round.
    pub fn count(&mut self, counts: bool) {
        self.counts = counts;
    }

    /// The numbers of the next records; taken in turn.
    fn turn(&mut self, count: usize) -> Vec<usize> {
        let first = self.next;
        self.next += count;
        (first..first + count).map(|n| n % self.records).collect()
    }

    /// A commit of a new value in the next records, each with the base that was read.
    async fn change(&mut self, count: usize) -> Commit {
        let keys: Vec<RecordKey> = self.turn(count).into_iter().map(key).collect();
        self.value += 1;
        let mut items = Vec::with_capacity(count);
        for (record, read) in self.project.get_many(&keys).await.unwrap() {
            let read = read.unwrap();
            let mut doc = read.doc;
            doc.as_object_mut().unwrap().insert("n", self.value);
            items.push(CommitItem { record, content: Content::Document(doc), base: Some(read.base) });
        }
        Commit::of(items)
    }

    /// Commits a new value in the next records.
    pub async fn changed(&mut self, count: usize) -> Vec<RecordKey> {
        let mut changed = Vec::with_capacity(count);
        for part in (0..count).step_by(1000) {
            let commit = self.change(1000.min(count - part)).await;
            changed.extend(commit.items.iter().map(|item| item.record.clone()));
            self.project.commit(&commit, &because()).await.unwrap();
        }
        changed
    }

    /// Tags everything as it is: what [`Work::RestoreAll`] and [`Work::DryRun`] go back to.
    async fn tagged(&mut self) {
        if !self.tagged {
            self.project.set_tag(&tag("then"), &because()).await.unwrap();
            self.tagged = true;
        }
    }

    /// Does it once. What has to be so beforehand is not timed.
    pub async fn run(&mut self, work: Work) -> Sample {
        match work {
            Work::Write(count) => {
                let turn = self.turn(count);
                self.value += 1;
                let new = usize::try_from(self.value).unwrap();
                let rows: Vec<Row> = turn.into_iter().map(|n| (id(n), document(new, self.size))).collect();
                Sample { took: self.app.write(&rows, self.value).await, commands: None }
            }
            Work::Read => {
                let n = self.turn(1)[0];
                Sample { took: self.app.read(&id(n)).await, commands: None }
            }
            Work::ReadAll => {
                let (took, found) = self.app.read_all().await;
                assert_eq!(found, self.records);
                Sample { took, commands: None }
            }
            Work::ReadAsOf(with_doc) => {
                let (took, found) = self.app.as_of(self.at, with_doc).await;
                assert_eq!(found, self.records);
                Sample { took, commands: None }
            }
            Work::Commit(count) => {
                let commit = self.change(count).await;
                self.timed(async |project| project.commit(&commit, &because()).await.unwrap().written().count()).await
            }
            Work::RestoreOne => {
                let record = self.changed(1).await.remove(0);
                let restore = Restore::new(record, Reference::Seq(Seq(1)));
                self.timed(async |project| {
                    assert_eq!(project.restore(&restore, &because()).await.unwrap().written().count(), 1);
                })
                .await
            }
            Work::Tag(count) => {
                self.changed(count).await;
                let name = format!("tag-{}", self.value);
                self.timed(async |project| project.set_tag(&tag(&name), &because()).await.unwrap().records).await
            }
            Work::RestoreAll(count) => {
                self.tagged().await;
                self.changed(count).await;
                let restore = RestoreAll::new(Moment::Tag(TagName::new("then").unwrap()));
                self.timed(async |project| {
                    let report = project.restore_all(&restore, &because(), None).await.unwrap();
                    assert_eq!(report.written(), count as u64);
                })
                .await
            }
            Work::DryRun => {
                self.tagged().await;
                let restore = RestoreAll::new(Moment::Tag(TagName::new("then").unwrap()));
                let dry = Options { dry_run: true, ..because() };
                self.timed(async |project| project.restore_all(&restore, &dry, None).await.unwrap().planned).await
            }
            Work::Status | Work::AsOf(_) => self.all(work).await,
            Work::Get | Work::AsOfOne | Work::Log | Work::Blame => self.one(work).await,
        }
    }

    /// Reads every record.
    async fn all(&mut self, work: Work) -> Sample {
        let (records, at) = (self.records, AsOf::Valid(self.at));
        let found = async |project: Project| match work {
            Work::AsOf(with_doc) => project.log_as_of(None, None, at, with_doc).await.unwrap().len(),
            _ => project.status(None, false, &Staged::new(), None).await.unwrap().rows.len(),
        };
        self.timed(async |project| assert_eq!(found(project).await, records)).await
    }

    /// Reads one record.
    async fn one(&mut self, work: Work) -> Sample {
        let record = key(self.turn(1)[0]);
        let at = AsOf::Valid(self.at);
        let log = Log { record: Some(record.clone()), limit: Some(20), ..Log::default() };
        let found = async |project: Project| match work {
            Work::AsOfOne => project.log_as_of(Some(&record), None, at, true).await.unwrap().len(),
            Work::Log => project.log(&log).await.unwrap().len(),
            Work::Blame => project.blame(&record, None).await.unwrap().len(),
            _ => usize::from(project.get(&record).await.unwrap().base.seq.is_some()),
        };
        self.timed(async |project| assert!(found(project).await > 0)).await
    }

    async fn timed<T>(&self, work: impl AsyncFnOnce(Project) -> T) -> Sample {
        let counted = self.counting.project.as_ref().filter(|_| self.counts);
        let (project, before) = (counted.unwrap_or(&self.project).clone(), self.counting.commands.count());
        let started = Instant::now();
        work(project).await;
        let took = started.elapsed();
        let after = self.counting.commands.count().filter(|_| self.counts);
        Sample { took, commands: after.zip(before).map(|(after, before)| after - before) }
    }
}
