//! Batches by hand: what the gates would make of a verb, so that cases can make it wrong.

use cfg_engine::Value;
use cfg_engine::adapter::{
    Batch, Change, ExpectedHead, ExpectedLive, HeadRef, HeadState, Live, LiveWrite, NewEntry, ObjectWrite, Overwrite,
    RecordState, Scope, StoredDoc,
};
use cfg_engine::document::{Edit, EntryId, Object, Oid, PathChange, apply_changes, oid};
use cfg_engine::history::{
    Author, AuthorClass, EntryHeader, MessageHash, Op, OpId, RecordKey, Seq, Span, Timestamp, insert,
};

use crate::space::{Space, live};

/// What is to happen to one record.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Which record.
    pub record: RecordKey,
    /// What history was when it was read.
    pub head: Option<HeadState>,
    /// What live must be.
    pub expected_live: ExpectedLive,
    /// What is done to live.
    pub live: LiveWrite,
    /// The new entries.
    pub entries: Vec<DraftEntry>,
    /// What is overwritten of older entries.
    pub overwrites: Vec<Overwrite>,
}

/// A new entry but for its number, its ids and its time.
#[derive(Debug, Clone)]
pub struct DraftEntry {
    /// What made it.
    pub op: Op,
    /// The content's address.
    pub oid: Option<Oid>,
    /// The stored document.
    pub doc: StoredDoc,
    /// The message.
    pub message: String,
    /// Who.
    pub author: Author,
    /// What the author had seen.
    pub base: Option<Vec<EntryId>>,
    /// When it became live; `None` for the batch's time.
    pub valid_from: Option<Timestamp>,
    /// Whether that is a guess.
    pub estimated: bool,
    /// The rest of the header.
    pub meta: Object,
    /// Code commits.
    pub git_shas: Vec<String>,
}

impl DraftEntry {
    /// Starts an entry by an ordinary author.
    pub fn new(op: Op, oid: Option<Oid>, doc: StoredDoc) -> Self {
        DraftEntry {
            op,
            oid,
            doc,
            message: "a change".to_owned(),
            author: Author { id: "ana@example.com".to_owned(), class: AuthorClass::Human },
            base: None,
            valid_from: None,
            estimated: false,
            meta: Object::new(),
            git_shas: Vec::new(),
        }
    }

    /// Starts an entry that holds a given document, its secrets left out; `None` for a tombstone.
    pub fn given(space: &Space, record: &RecordKey, op: Op, doc: Option<&Value>) -> Self {
        let policy = &space.collections.iter().find(|c| c.name == record.collection).expect("a collection").policy;
        match doc {
            None => DraftEntry::new(op, None, StoredDoc::None),
            Some(doc) => {
                let stored = StoredDoc::Given(policy.without_secrets(doc));
                DraftEntry::new(op, Some(oid(doc, policy).expect("a document with an oid")), stored)
            }
        }
    }
}

impl Draft {
    /// Starts from what was read: nothing happens, and everything must be as it was.
    pub fn of(state: &RecordState) -> Self {
        let expected_live = match &state.live {
            Live::One(live) => ExpectedLive::At(live.image.clone()),
            Live::Absent { .. } => ExpectedLive::Absent,
            _ => ExpectedLive::Unchecked,
        };
        Draft {
            record: state.record.clone(),
            head: state.head.clone(),
            expected_live,
            live: LiveWrite::Leave,
            entries: Vec::new(),
            overwrites: Vec::new(),
        }
    }

    /// Sets one value, by path, and records it.
    pub fn set(space: &Space, state: &RecordState, path: &str, to: impl Into<Value>) -> Self {
        let change = PathChange { path: path.parse().expect("a path"), edit: Edit::Set(to.into()) };
        Draft::edit(space, state, vec![change])
    }

    /// Makes changes of the live document and records them.
    pub fn edit(space: &Space, state: &RecordState, changes: Vec<PathChange>) -> Self {
        let mut draft = Draft::of(state);
        draft.entries.push(edited(space, state, Op::Commit, &changes));
        draft.live = LiveWrite::Update(changes);
        draft
    }

    /// Records what live holds, which is left as it is.
    pub fn adopt(space: &Space, state: &RecordState) -> Self {
        let mut draft = Draft::of(state);
        draft.entries.push(edited(space, state, Op::Adopt, &[]));
        draft
    }

    /// Deletes the live row and records a tombstone.
    pub fn remove(state: &RecordState) -> Self {
        let mut draft = Draft::of(state);
        draft.live = LiveWrite::Delete;
        draft.entries.push(DraftEntry::new(Op::Delete, None, StoredDoc::None));
        draft
    }

    /// Creates a record that has neither history nor a live row.
    pub fn create(space: &Space, record: &RecordKey, fields: &Object) -> Self {
        let mut draft = Draft {
            record: record.clone(),
            head: None,
            expected_live: ExpectedLive::Absent,
            live: LiveWrite::Leave,
            entries: Vec::new(),
            overwrites: Vec::new(),
        };
        draft.seed(space, fields);
        draft
    }

    /// Seeds a record that has history and no live row.
    pub fn recreate(space: &Space, state: &RecordState, fields: &Object) -> Self {
        let mut draft = Draft::of(state);
        draft.seed(space, fields);
        draft
    }

    fn seed(&mut self, space: &Space, fields: &Object) {
        let config = space.collections.iter().find(|c| c.name == self.record.collection).expect("a collection");
        let mut laid = fields.clone();
        for (field, value) in config.live_when.equality_pairs() {
            laid.insert(field, value.clone());
        }
        let doc = space.doc(&self.record, &laid);
        self.entries.push(DraftEntry::given(space, &self.record, Op::Commit, Some(&doc)));
        // The live rule's pairs and the id are the adapter's to lay over it.
        let mut seed = doc;
        let given = seed.as_object_mut().expect("a document");
        for (field, _) in config.live_when.equality_pairs() {
            if !fields.contains_key(field) {
                given.remove(field);
            }
        }
        config.id_fields.iter().for_each(|field| drop(given.remove(field)));
        self.live = LiveWrite::Seed(seed);
    }

    /// Loads versions of a record, each with the instant at which it became live; live is not looked at.
    pub fn import(space: &Space, state: &RecordState, versions: &[(Timestamp, Option<Value>)]) -> Self {
        let mut draft = Draft::of(state);
        draft.expected_live = ExpectedLive::Unchecked;
        for (at, doc) in versions {
            let mut entry = DraftEntry::given(space, &state.record, Op::Import, doc.as_ref());
            entry.valid_from = Some(*at);
            draft.entries.push(entry);
        }
        draft
    }

    /// Changes the last entry.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut DraftEntry)) -> Self {
        change(self.entries.last_mut().expect("an entry"));
        self
    }

    /// Replaces what is expected of live.
    #[must_use]
    pub fn expecting(mut self, live: ExpectedLive) -> Self {
        self.expected_live = live;
        self
    }
}

fn edited(space: &Space, state: &RecordState, op: Op, changes: &[PathChange]) -> DraftEntry {
    let config = space.collections.iter().find(|c| c.name == state.record.collection).expect("a collection");
    let image = live(state).image.clone();
    let mut doc = live(state).value.as_ref().clone();
    apply_changes(&mut doc, changes).expect("changes that apply");
    let oid = oid(&doc, &config.policy).expect("a document with an oid");
    let secrets = config.policy.secret_paths(&doc).into_iter().map(|path| PathChange { path, edit: Edit::Unset });
    // Elements go from the back, so that indexes stay true.
    let changes: Vec<PathChange> = changes.iter().cloned().chain(secrets.rev()).collect();
    DraftEntry::new(op, Some(oid), StoredDoc::Edited { image, changes })
}

impl Space {
    /// Makes a batch of drafts at the next instant.
    pub async fn bind(&self, drafts: Vec<Draft>) -> Batch {
        let now = self.now().await;
        let newest = drafts.iter().filter_map(|d| d.head.as_ref()).map(|h| h.tip.recorded_at).max();
        let at = newest.map_or(now, |tip| now.max(tip.plus_millis(1)));
        self.bind_at(drafts, at).await
    }

    /// Makes a batch of drafts at an instant.
    pub async fn bind_at(&self, drafts: Vec<Draft>, at: Timestamp) -> Batch {
        self.bind_all(self.op_id(), at, drafts, Vec::new()).await
    }

    /// Makes a batch.
    pub async fn bind_all(&self, op_id: OpId, at: Timestamp, drafts: Vec<Draft>, objects: Vec<ObjectWrite>) -> Batch {
        let scope = Scope::Records(drafts.iter().map(|draft| draft.record.clone()).collect());
        let there = if drafts.is_empty() { Vec::new() } else { self.addresses(&scope).await };
        let mut changes = Vec::new();
        for draft in drafts {
            let of_record = there.iter().filter(|address| address.record == draft.record);
            let existing: Vec<Span> = of_record
                .map(|a| Span {
                    seq: a.seq,
                    recorded_at: a.recorded_at,
                    valid_from: a.valid_from,
                    in_valid_order: a.in_valid_order,
                })
                .collect();
            changes.push(bind_change(draft, &existing, &op_id, at));
        }
        changes.sort_by(|a, b| a.record.cmp(&b.record));
        Batch::for_conformance(op_id, at, changes, objects)
    }
}

fn bind_change(draft: Draft, existing: &[Span], op_id: &OpId, at: Timestamp) -> Change {
    let first = draft.head.as_ref().map_or(Seq::FIRST, |h| h.tip.seq.next());
    let spans: Vec<Span> = (draft.entries.iter().enumerate())
        .map(|(n, entry)| Span {
            seq: Seq(first.0 + n as u64),
            recorded_at: at,
            valid_from: entry.valid_from.unwrap_or(at),
            in_valid_order: entry.op != Op::Redact,
        })
        .collect();
    let insertion = insert(existing, &spans);
    let mut prev = draft.head.as_ref().map(|h| h.tip.entry_id);
    let mut entries = Vec::new();
    for ((entry, span), ends) in draft.entries.into_iter().zip(&spans).zip(insertion.new) {
        let header = EntryHeader {
            record: draft.record.clone(),
            seq: span.seq,
            prev_entry_id: prev,
            oid: entry.oid,
            op: entry.op,
            base: entry.base,
            author: entry.author,
            message: MessageHash::of(&entry.message),
            recorded_at: at,
            valid_from: span.valid_from,
            valid_from_estimated: entry.estimated,
            op_id: op_id.clone(),
            meta: entry.meta,
        };
        let entry_id = header.entry_id();
        prev = Some(entry_id);
        let (message, doc, git_shas) = (entry.message, entry.doc, entry.git_shas);
        entries.push(NewEntry { header, entry_id, message, doc, ends, git_shas });
    }
    let among_new = entries.iter().find(|entry| Some(entry.header.seq) == insertion.head);
    let new_head = among_new
        .map(|entry| HeadRef { seq: entry.header.seq, oid: entry.header.oid, entry_id: entry.entry_id })
        .or(draft.head.as_ref().map(|h| h.head));
    Change {
        record: draft.record,
        expected_head: draft
            .head
            .as_ref()
            .map_or(ExpectedHead::Absent, |h| ExpectedHead::At { head: h.head, tip: h.tip }),
        expected_live: draft.expected_live,
        live: draft.live,
        entries,
        closed: insertion.closed,
        new_head,
        links: Vec::new(),
        mended_tip: None,
        overwrites: draft.overwrites,
    }
}
