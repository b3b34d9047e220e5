//! A file, an adapter, and batches as the engine would make them.

use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use cfg_engine::Value;
use cfg_engine::adapter::{
    AdapterError, Batch, Change, Detail, EntryQuery, ExpectedHead, ExpectedLive, HeadRef, Live, LiveDoc, LiveWrite,
    NewEntry, RecordState, Scope, StorageAdapter, StoredDoc,
};
use cfg_engine::config::{CollectionConfig, Shape};
use cfg_engine::document::{Edit, Object, Oid, PathChange, apply_changes, oid};
use cfg_engine::history::{
    Author, AuthorClass, CollectionName, Entry, EntryHeader, EnvName, IdKey, MessageHash, Op, OpId, RecordKey, Seq,
    Span, insert,
};
use cfg_engine_sqlite::{SqliteAdapter, SqliteOptions};
use futures_util::TryStreamExt;
use rusqlite::Connection;
use tempfile::TempDir;

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for a future on this thread: nothing in the adapter needs a runtime.
pub(crate) fn wait<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(done) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return done;
        }
        std::thread::park();
    }
}

pub(crate) fn json(text: &str) -> Value {
    Value::from_json(text).unwrap()
}

pub(crate) fn set(path: &str, to: &str) -> PathChange {
    PathChange { path: path.parse().unwrap(), edit: Edit::Set(json(to)) }
}

pub(crate) fn unset(path: &str) -> PathChange {
    PathChange { path: path.parse().unwrap(), edit: Edit::Unset }
}

pub(crate) fn collection(shape: Shape) -> CollectionConfig {
    let mut config = CollectionConfig::new(CollectionName::new("agents").unwrap(), "id");
    config.shape = shape;
    config
}

pub(crate) struct Store {
    pub(crate) adapter: Arc<SqliteAdapter>,
    pub(crate) path: PathBuf,
    pub(crate) db: Connection,
    pub(crate) env: EnvName,
    _directory: TempDir,
}

impl Store {
    /// Makes a file with this schema and the engine's tables.
    pub(crate) fn new(sql: &str, config: CollectionConfig) -> Self {
        let store = Self::raw(sql, config);
        wait(store.adapter.ensure_schema()).unwrap();
        store
    }

    /// Makes a file without the engine's tables.
    pub(crate) fn raw(sql: &str, config: CollectionConfig) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.db");
        let db = Connection::open(&path).unwrap();
        db.execute_batch(sql).unwrap();
        let adapter = Arc::new(SqliteAdapter::open(SqliteOptions::new(&path, vec![config])).unwrap());
        Store { adapter, path, db, env: EnvName::new("dev").unwrap(), _directory: directory }
    }

    pub(crate) fn name(&self) -> CollectionName {
        self.adapter.collections()[0].name.clone()
    }

    pub(crate) fn record(&self, id: &str) -> RecordKey {
        RecordKey { env: self.env.clone(), collection: self.name(), id: IdKey::from_value(&json(id)).unwrap() }
    }

    pub(crate) fn states(&self, scope: &Scope) -> Result<Vec<RecordState>, AdapterError> {
        wait(self.adapter.records(&self.env, scope).try_concat())
    }

    pub(crate) fn state(&self, id: &str) -> RecordState {
        self.states(&Scope::Records(vec![self.record(id)])).unwrap().remove(0)
    }

    pub(crate) fn live(&self, id: &str) -> LiveDoc {
        match self.state(id).live {
            Live::One(live) => live,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn entries(&self, id: &str) -> Vec<Entry> {
        let mut query = EntryQuery::new(self.env.clone(), Scope::Records(vec![self.record(id)]));
        query.detail = Detail::Document;
        wait(self.adapter.entries(&query).try_concat()).unwrap()
    }

    /// Asks the application's connection.
    pub(crate) fn text(&self, sql: &str) -> String {
        self.db.query_row(sql, [], |row| row.get(0)).unwrap()
    }

    /// Makes a batch that does `live` to a record as it was read and stores `doc`.
    pub(crate) fn batch(&self, state: &RecordState, live: LiveWrite, op: Op, doc: Option<(StoredDoc, Oid)>) -> Batch {
        let now = wait(self.adapter.clock()).unwrap().store;
        let at = state.head.as_ref().map_or(now, |head| now.max(head.tip.recorded_at.plus_millis(1)));
        let op_id = OpId::new(&format!("op-{}-{}", state.record.id.as_str(), at.as_millis())).unwrap();
        let seq = state.head.as_ref().map_or(Seq::FIRST, |head| head.tip.seq.next());
        let (doc, doc_oid) = doc.map_or((StoredDoc::None, None), |(doc, oid)| (doc, Some(oid)));
        let header = EntryHeader {
            record: state.record.clone(),
            seq,
            prev_entry_id: state.head.as_ref().map(|head| head.tip.entry_id),
            oid: doc_oid,
            op,
            base: Some(Vec::new()),
            author: Author { id: "ana".to_owned(), class: AuthorClass::Human },
            message: MessageHash::of("why"),
            recorded_at: at,
            valid_from: at,
            valid_from_estimated: false,
            op_id: op_id.clone(),
            meta: Object::new().with("tool_version", "test"),
        };
        let span = |seq, at| Span { seq, recorded_at: at, valid_from: at, in_valid_order: true };
        let existing: Vec<Span> = state.head.iter().map(|head| span(head.head.seq, head.recorded_at)).collect();
        let insertion = insert(&existing, &[span(seq, at)]);
        let entry_id = header.entry_id();
        let (message, ends, git_shas) = ("why".to_owned(), insertion.new[0], vec!["abc".to_owned()]);
        let expected_head = state
            .head
            .as_ref()
            .map_or(ExpectedHead::Absent, |head| ExpectedHead::At { head: head.head, tip: head.tip });
        let change = Change {
            record: state.record.clone(),
            expected_head,
            expected_live: match &state.live {
                Live::One(live) => ExpectedLive::At(live.image.clone()),
                Live::Absent { .. } => ExpectedLive::Absent,
                _ => ExpectedLive::Unchecked,
            },
            live,
            entries: vec![NewEntry { header, entry_id, message, doc, ends, git_shas }],
            closed: insertion.closed,
            new_head: Some(HeadRef { seq, oid: doc_oid, entry_id }),
            links: Vec::new(),
            mended_tip: None,
            overwrites: Vec::new(),
        };
        Batch::for_conformance(op_id, at, vec![change], Vec::new())
    }

    /// Makes a batch that changes the live document of a record and records it.
    pub(crate) fn edit(&self, id: &str, changes: Vec<PathChange>) -> Batch {
        let state = self.state(id);
        let Live::One(live) = &state.live else { panic!("{:?}", state.live) };
        let mut doc = Value::clone(&live.value);
        apply_changes(&mut doc, &changes).unwrap();
        let oid = oid(&doc, &self.adapter.collections()[0].policy).unwrap();
        let stored = StoredDoc::Edited { image: live.image.clone(), changes: changes.clone() };
        self.batch(&state, LiveWrite::Update(changes), Op::Commit, Some((stored, oid)))
    }

    pub(crate) fn seed(&self, id: &str, doc: &Value) -> Batch {
        let oid = oid(doc, &self.adapter.collections()[0].policy).unwrap();
        let stored = StoredDoc::Given(doc.clone());
        self.batch(&self.state(id), LiveWrite::Seed(doc.clone()), Op::Commit, Some((stored, oid)))
    }

    pub(crate) fn remove(&self, id: &str) -> Batch {
        self.batch(&self.state(id), LiveWrite::Delete, Op::Delete, None)
    }

    pub(crate) fn apply(&self, batch: &Batch) -> Result<(), AdapterError> {
        wait(self.adapter.apply(batch))
    }

    pub(crate) fn commit(&self, id: &str, changes: Vec<PathChange>) {
        self.apply(&self.edit(id, changes)).unwrap();
    }
}
