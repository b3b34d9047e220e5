//! What a modelled store holds: one ordered map of small cells, each with the number of the write that
//! made it. A snapshot of it is a clone of an `Arc`.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use cfg_engine::Value;
use cfg_engine::adapter::{Detail, EntryAddress, HeadState, NewEntry, ObjectKey, StoredDoc, StoredObject};
use cfg_engine::config::{CollectionConfig, LiveRule};
use cfg_engine::document::{EntryId, FieldPolicy, Oid, apply_changes, oid};
use cfg_engine::history::{
    CollectionName, DocState, Ends, Entry, EntryHeader, EnvName, IdKey, Op, RecordKey, Seq, Span, Timestamp,
};

/// The collections and records that there can be, known beforehand: a record is a number.
pub(crate) struct Layout {
    pub(crate) env: EnvName,
    pub(crate) collections: Vec<CollectionConfig>,
    /// In the order of record keys.
    pub(crate) records: Vec<RecordKey>,
}

/// Ids in `agents`; those behind the first three come into being by a rename or a first commit.
const AGENTS: [&str; 5] = ["a", "b", "c", "d", "e"];
const NOTES: [&str; 3] = ["x", "y", "z"];

pub(crate) fn layout() -> &'static Layout {
    static LAYOUT: OnceLock<Layout> = OnceLock::new();
    LAYOUT.get_or_init(|| {
        let name = |name: &str| CollectionName::new(name).expect("a name");
        let env = EnvName::new("dev").expect("a name");
        let rule = Value::from_json(r#"{"active": true}"#).expect("JSON");
        let mut agents = CollectionConfig::new(name("agents"), "id");
        agents.live_when = LiveRule::from_object(rule.as_object().expect("an object")).expect("a rule");
        agents.policy = policy();
        let mut notes = CollectionConfig::new(name("notes"), "id");
        notes.policy = policy();
        let key = |collection: &CollectionConfig, id: &str| RecordKey {
            env: env.clone(),
            collection: collection.name.clone(),
            id: IdKey::from_value(&Value::from(id)).expect("an id"),
        };
        let mut records: Vec<RecordKey> = AGENTS.iter().map(|id| key(&agents, id)).collect();
        records.extend(NOTES.iter().map(|id| key(&notes, id)));
        records.sort();
        Layout { env, collections: vec![agents, notes], records }
    })
}

fn policy() -> FieldPolicy {
    let builder = FieldPolicy::builder().ignore_field("hits").ignore_pattern("old_*").expect("a pattern");
    builder.secret_field("token").expect("a path").build()
}

impl Layout {
    pub(crate) fn number(&self, record: &RecordKey) -> Option<u8> {
        self.records.binary_search(record).ok().map(|n| n as u8)
    }

    pub(crate) fn table_of(&self, record: u8) -> u8 {
        let name = &self.records[usize::from(record)].collection;
        self.collections.iter().position(|c| c.name == *name).expect("a collection of the layout") as u8
    }

    pub(crate) fn collection(&self, table: u8) -> &CollectionConfig {
        &self.collections[usize::from(table)]
    }

    /// The numbers of a collection's records.
    pub(crate) fn of_table(&self, table: u8) -> impl Iterator<Item = u8> + '_ {
        (0..self.records.len() as u8).filter(move |record| self.table_of(*record) == table)
    }
}

/// Where something is stored.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    /// A row of the application's, by table and place.
    Live(u8, u64),
    Entry(u8, u64),
    Head(u8),
    Object(ObjectKey),
    /// An announced change of a record, where there are no transactions.
    Intent(u8),
}

#[derive(Debug, Clone)]
pub(crate) enum Datum {
    Row(Arc<Row>),
    Entry(Arc<StoredEntry>),
    Head(Arc<HeadState>),
    Object(Arc<StoredObject>),
    /// A deleted object leaves its version behind.
    NoObject(u64),
    Intent(Arc<Intent>),
}

/// A live row, with what is asked of it again and again.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) value: Arc<Value>,
    pub(crate) record: Option<u8>,
    pub(crate) is_live: bool,
    pub(crate) oid: Result<Oid, cfg_engine::document::CanonicalError>,
}

impl Row {
    pub(crate) fn new(table: u8, value: Value) -> Arc<Row> {
        let layout = layout();
        let collection = layout.collection(table);
        let id = value.get("id").and_then(|id| IdKey::from_value(id).ok());
        let record = id.and_then(|id| layout.of_table(table).find(|n| layout.records[usize::from(*n)].id == id));
        let is_live = collection.live_when.matches(&value);
        let oid = oid(&value, &collection.policy);
        Arc::new(Row { value: Arc::new(value), record, is_live, oid })
    }

    pub(crate) fn content(&self) -> Option<Oid> {
        self.oid.as_ref().ok().copied()
    }
}

/// An entry as it is stored, the cached ends among it.
#[derive(Debug, Clone)]
pub(crate) struct StoredEntry {
    pub(crate) header: EntryHeader,
    pub(crate) entry_id: EntryId,
    pub(crate) message: String,
    pub(crate) ends: Ends,
    pub(crate) git_shas: Vec<String>,
    pub(crate) doc: Option<Arc<Value>>,
}

impl StoredEntry {
    pub(crate) fn of(entry: &NewEntry) -> Self {
        let doc = match &entry.doc {
            StoredDoc::None => None,
            StoredDoc::Given(doc) => Some(doc.clone()),
            StoredDoc::Edited { image, changes } => image.get::<Row>().map(|row| {
                let mut doc = row.value.as_ref().clone();
                apply_changes(&mut doc, changes).expect("changes that were made for the image");
                doc
            }),
        };
        StoredEntry {
            header: entry.header.clone(),
            entry_id: entry.entry_id,
            message: entry.message.clone(),
            ends: entry.ends,
            git_shas: entry.git_shas.clone(),
            doc: doc.map(Arc::new),
        }
    }

    pub(crate) fn span(&self) -> Span {
        Span {
            seq: self.header.seq,
            recorded_at: self.header.recorded_at,
            valid_from: self.header.valid_from,
            in_valid_order: self.header.op != Op::Redact,
        }
    }

    pub(crate) fn to_entry(&self, detail: Detail) -> Entry {
        let shown = |end: Timestamp| (end != Timestamp::OPEN).then_some(end);
        Entry {
            header: self.header.clone(),
            entry_id: self.entry_id,
            message: self.message.clone(),
            valid_to: shown(self.ends.valid_to),
            superseded_at: shown(self.ends.superseded_at),
            git_shas: self.git_shas.clone(),
            doc_state: if self.doc.is_some() { DocState::Present } else { DocState::None },
            doc: self.doc.as_deref().filter(|_| detail == Detail::Document).cloned(),
        }
    }

    pub(crate) fn to_address(&self) -> EntryAddress {
        EntryAddress {
            record: self.header.record.clone(),
            seq: self.header.seq,
            oid: self.header.oid,
            entry_id: self.entry_id,
            recorded_at: self.header.recorded_at,
            valid_from: self.header.valid_from,
            valid_from_estimated: self.header.valid_from_estimated,
            in_valid_order: self.header.op != Op::Redact,
        }
    }
}

/// What is left to do of an announced change once its live write is done.
#[derive(Debug, Clone)]
pub(crate) struct Intent {
    pub(crate) owner: u64,
    pub(crate) op_id: String,
    pub(crate) confirmed: bool,
    pub(crate) entries: Vec<Arc<StoredEntry>>,
    pub(crate) closed: Vec<(Seq, Ends)>,
    pub(crate) links: Vec<(Seq, Vec<String>)>,
    pub(crate) head: Option<HeadState>,
}

/// A cell of the map: what is there, and which write put it there.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    pub(crate) version: u64,
    pub(crate) datum: Datum,
}

/// Everything that is committed.
#[derive(Debug, Clone, Default)]
pub(crate) struct State(pub(crate) BTreeMap<Key, Cell>);

impl State {
    pub(crate) fn datum(&self, key: &Key) -> Option<&Datum> {
        self.0.get(key).map(|cell| &cell.datum)
    }

    pub(crate) fn version(&self, key: &Key) -> Option<u64> {
        self.0.get(key).map(|cell| cell.version)
    }

    pub(crate) fn rows(&self, table: u8) -> impl Iterator<Item = (&Key, &Arc<Row>)> {
        self.0.range(Key::Live(table, 0)..=Key::Live(table, u64::MAX)).filter_map(|(key, cell)| match &cell.datum {
            Datum::Row(row) => Some((key, row)),
            _ => None,
        })
    }

    pub(crate) fn rows_of(&self, record: u8) -> Rows {
        let mut found = Rows::default();
        for (key, row) in self.rows(layout().table_of(record)).filter(|(_, row)| row.record == Some(record)) {
            let side = if row.is_live { &mut found.live } else { &mut found.outside };
            side.push((key.clone(), Arc::clone(row)));
        }
        found
    }

    pub(crate) fn entries_of(&self, record: u8) -> impl DoubleEndedIterator<Item = &Arc<StoredEntry>> {
        self.0.range(Key::Entry(record, 0)..=Key::Entry(record, u64::MAX)).filter_map(|(_, cell)| match &cell.datum {
            Datum::Entry(entry) => Some(entry),
            _ => None,
        })
    }

    pub(crate) fn entry(&self, record: u8, seq: Seq) -> Option<&Arc<StoredEntry>> {
        match self.datum(&Key::Entry(record, seq.0)) {
            Some(Datum::Entry(entry)) => Some(entry),
            _ => None,
        }
    }

    pub(crate) fn head(&self, record: u8) -> Option<&Arc<HeadState>> {
        match self.datum(&Key::Head(record)) {
            Some(Datum::Head(head)) => Some(head),
            _ => None,
        }
    }

    pub(crate) fn intent(&self, record: u8) -> Option<&Arc<Intent>> {
        match self.datum(&Key::Intent(record)) {
            Some(Datum::Intent(intent)) => Some(intent),
            _ => None,
        }
    }

    pub(crate) fn objects(&self) -> impl Iterator<Item = &Arc<StoredObject>> {
        self.0.values().filter_map(|cell| match &cell.datum {
            Datum::Object(object) => Some(object),
            _ => None,
        })
    }
}

/// The rows of one record: those that satisfy the live rule, and the others.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    pub(crate) live: Vec<(Key, Arc<Row>)>,
    pub(crate) outside: Vec<(Key, Arc<Row>)>,
}
