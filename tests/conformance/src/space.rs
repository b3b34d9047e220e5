//! A namespace as cases see it: fields in, records and entries out, whatever the shape.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cfg_engine::Value;
use cfg_engine::adapter::{
    AdapterError, AsOf, AsOfRow, Batch, Chunks, Detail, EntryAddress, EntryQuery, HeadState, Live, LiveDoc,
    RecordState, Scope, StorageAdapter,
};
use cfg_engine::config::{CollectionConfig, Shape};
use cfg_engine::document::{FieldPolicy, Number, Object, canonical_bytes};
use cfg_engine::history::{
    CollectionName, Entry, EnvName, IdKey, OpId, RecordKey, Seq, Span, Timestamp, interval_ends,
};
use futures_util::StreamExt;

use crate::draft::Draft;
use crate::{Harness, Namespace, Table};

/// Reads a value from JSON; Extended JSON wrappers mean their type.
pub fn value(json: &str) -> Value {
    Value::from_interchange(json).expect("JSON of a test")
}

/// Reads an object from JSON.
pub fn object(json: &str) -> Object {
    match value(json) {
        Value::Object(object) => object,
        _ => panic!("an object of a test"),
    }
}

/// Returns a document in a form that two documents share if they mean the same (nulls at the top level
/// are columns without a value), and in which everything below the top level is exact.
pub fn doc_text(doc: &Value) -> String {
    let object = doc.as_object().expect("a document");
    let mut members: Vec<(&str, String)> =
        object.iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k.as_str(), v.to_interchange())).collect();
    members.sort();
    format!("{members:?}")
}

/// Returns whether a refusal says that somebody else was there first.
pub fn stale(error: &AdapterError) -> bool {
    matches!(
        error,
        AdapterError::StaleHead { .. }
            | AdapterError::StaleLive { .. }
            | AdapterError::StaleObject { .. }
            | AdapterError::Clock { .. }
            | AdapterError::Busy
    )
}

/// One isolated store.
pub struct Space {
    /// The store behind the adapter.
    pub raw: Box<dyn Namespace>,
    /// The adapter.
    pub store: Arc<dyn StorageAdapter>,
    /// The env that cases write.
    pub env: EnvName,
    /// The collections, the first being the one that is meant where none is named.
    pub collections: Vec<CollectionConfig>,
    ops: AtomicU64,
}

impl Space {
    /// Opens a store with one table, `agents`, in which every row is live.
    pub async fn open(harness: &Arc<dyn Harness>) -> Space {
        Space::with(harness, vec![Table::new("agents")]).await
    }

    /// Opens a store with these tables.
    pub async fn with(harness: &Arc<dyn Harness>, tables: Vec<Table>) -> Space {
        let tables: Vec<Table> = tables.into_iter().map(|table| table.shaped(harness.shape())).collect();
        let raw = harness.open(&tables).await;
        let store = raw.adapter();
        let collections = tables.into_iter().map(|table| table.config).collect();
        Space { raw, store, env: EnvName::new("dev").expect("a name"), collections, ops: AtomicU64::new(0) }
    }

    /// Returns the collection that is meant where none is named.
    pub fn agents(&self) -> &CollectionConfig {
        &self.collections[0]
    }

    fn collection(&self, name: &CollectionName) -> &CollectionConfig {
        self.collections.iter().find(|c| c.name == *name).expect("a collection of the space")
    }

    /// Names a record of the first collection.
    pub fn record(&self, id: &str) -> RecordKey {
        self.record_in(0, &Value::from(id))
    }

    /// Names a record of any collection, by any id.
    pub fn record_in(&self, collection: usize, id: &Value) -> RecordKey {
        RecordKey {
            env: self.env.clone(),
            collection: self.collections[collection].name.clone(),
            id: IdKey::from_value(id).expect("an id"),
        }
    }

    /// Makes an op_id that no batch had before.
    pub fn op_id(&self) -> OpId {
        OpId::new(&format!("op-{}", self.ops.fetch_add(1, Ordering::Relaxed))).expect("an op_id")
    }

    // --- fields, rows, documents

    fn id_members(&self, record: &RecordKey) -> Vec<(String, Value)> {
        let id = record.id.to_value();
        match self.collection(&record.collection).id_fields.as_slice() {
            [field] => vec![(field.clone(), id)],
            fields => fields.iter().map(|f| (f.clone(), id.get(f).cloned().expect("a part of the id"))).collect(),
        }
    }

    /// Returns the document that a read should give for a record with these fields.
    pub fn doc(&self, record: &RecordKey, fields: &Object) -> Value {
        let config = self.collection(&record.collection);
        let mut doc = fields.clone();
        match config.shape {
            Shape::Row => {
                for (field, value) in self.id_members(record) {
                    doc.insert(field, value);
                }
            }
            Shape::Doc => doc.retain(|field, _| !config.live_when.conditions().iter().any(|(f, _)| f == field)),
        }
        Value::Object(doc)
    }

    /// Returns the row that holds these fields.
    pub fn row(&self, record: &RecordKey, fields: &Object) -> Value {
        let config = self.collection(&record.collection);
        let mut row: Object = self.id_members(record).into_iter().collect();
        for (field, value) in fields {
            let own_column = config.live_when.conditions().iter().any(|(f, _)| f == field);
            if config.shape == Shape::Row || own_column {
                row.insert(field.as_str(), value.clone());
            }
        }
        if config.shape == Shape::Doc {
            row.insert(config.doc_column.as_str(), self.doc(record, fields));
        }
        Value::Object(row)
    }

    // --- writing around the tool

    /// Inserts a row of the first collection around the tool.
    pub async fn raw_insert(&self, id: &str, fields: &str) -> RecordKey {
        let record = self.record(id);
        self.raw_insert_record(&record, &object(fields)).await;
        record
    }

    /// Inserts a row around the tool.
    pub async fn raw_insert_record(&self, record: &RecordKey, fields: &Object) {
        self.raw.insert(self.collection(&record.collection), &self.row(record, fields)).await;
    }

    /// Sets fields of a record's one row around the tool.
    pub async fn raw_set(&self, record: &RecordKey, fields: &str) {
        let config = self.collection(&record.collection);
        let fields = object(fields);
        let mut set = Object::new();
        let mut doc = match config.shape {
            Shape::Row => None,
            Shape::Doc => Some(self.raw_doc(record).await),
        };
        for (field, value) in fields {
            let own_column = config.live_when.conditions().iter().any(|(f, _)| *f == field);
            match &mut doc {
                Some(doc) if !own_column => drop(doc.as_object_mut().expect("a document").insert(field, value)),
                _ => drop(set.insert(field, value)),
            }
        }
        if let Some(doc) = doc {
            set.insert(config.doc_column.as_str(), doc);
        }
        self.raw.update(config, &record.id.to_value(), &set).await;
    }

    /// Deletes a record's rows around the tool.
    pub async fn raw_delete(&self, record: &RecordKey) {
        self.raw.delete(self.collection(&record.collection), &record.id.to_value()).await;
    }

    /// Returns the rows of a record, read around the tool.
    pub async fn raw_rows(&self, record: &RecordKey) -> Vec<Value> {
        let rows = self.raw.rows(self.collection(&record.collection)).await;
        let wanted = self.id_members(record);
        let same = |there: Option<&Value>, wanted: &Value| {
            there.and_then(|there| IdKey::from_value(there).ok()) == IdKey::from_value(wanted).ok()
        };
        rows.into_iter().filter(|row| wanted.iter().all(|(field, value)| same(row.get(field), value))).collect()
    }

    /// Returns the document in a record's one row, read around the tool.
    pub async fn raw_doc(&self, record: &RecordKey) -> Value {
        let config = self.collection(&record.collection);
        let rows = self.raw_rows(record).await;
        assert_eq!(rows.len(), 1, "rows of {record}");
        match config.shape {
            Shape::Row => rows[0].clone(),
            Shape::Doc => rows[0].get(&config.doc_column).expect("a document").clone(),
        }
    }

    /// Returns a field of a record's one row, read around the tool.
    pub async fn raw_field(&self, record: &RecordKey, field: &str) -> Value {
        self.raw_doc(record).await.get(field).cloned().unwrap_or_default()
    }

    // --- reading

    /// Reads live and head of one record.
    pub async fn state(&self, record: &RecordKey) -> RecordState {
        let mut states = self.states(&Scope::Records(vec![record.clone()])).await;
        assert_eq!(states.len(), 1, "states of {record}");
        states.remove(0)
    }

    /// Reads live and head of a scope.
    pub async fn states(&self, scope: &Scope) -> Vec<RecordState> {
        collect(self.store.records(&self.env, scope)).await
    }

    /// Reads the head of one record.
    pub async fn head(&self, record: &RecordKey) -> Option<HeadState> {
        self.state(record).await.head
    }

    /// Reads the entries that a query means.
    pub async fn entries(&self, query: &EntryQuery) -> Vec<Entry> {
        collect(self.store.entries(query)).await
    }

    /// Reads every entry of one record, oldest first, with documents.
    pub async fn history(&self, record: &RecordKey) -> Vec<Entry> {
        let mut query = EntryQuery::new(self.env.clone(), Scope::Records(vec![record.clone()]));
        query.detail = Detail::Document;
        self.entries(&query).await
    }

    /// Reads the addresses of a scope's entries.
    pub async fn addresses(&self, scope: &Scope) -> Vec<EntryAddress> {
        collect(self.store.addresses(&self.env, scope)).await
    }

    /// Asks an as-of question, with documents.
    pub async fn as_of(&self, scope: &Scope, at: AsOf) -> Vec<AsOfRow<Entry>> {
        collect(self.store.as_of(&self.env, scope, at, Detail::Document)).await
    }

    /// Reads the store's clock.
    pub async fn now(&self) -> Timestamp {
        self.store.clock().await.expect("a clock").store
    }

    // --- writing through the tool

    /// Applies drafts as one batch.
    ///
    /// # Errors
    ///
    /// What the store says.
    pub async fn apply(&self, drafts: Vec<Draft>) -> Result<Batch, AdapterError> {
        let batch = self.bind(drafts).await;
        self.store.apply(&batch).await?;
        Ok(batch)
    }

    /// Applies drafts as one batch, which must succeed.
    pub async fn applied(&self, drafts: Vec<Draft>) -> Batch {
        match self.apply(drafts).await {
            Ok(batch) => batch,
            Err(error) => panic!("a batch that should be applied: {error}"),
        }
    }

    /// Creates a record of the first collection through the tool.
    pub async fn create(&self, id: &str, fields: &str) -> RecordKey {
        let record = self.record(id);
        let draft = Draft::create(self, &record, &object(fields));
        self.applied(vec![draft]).await;
        record
    }

    /// Commits one field of a record.
    pub async fn commit(&self, record: &RecordKey, path: &str, to: impl Into<Value>) -> Batch {
        let state = self.state(record).await;
        self.applied(vec![Draft::set(self, &state, path, to)]).await
    }

    /// Asserts that nothing differs between this moment and an earlier [`picture`](Self::picture).
    pub async fn assert_unchanged(&self, before: &[String]) {
        assert_eq!(self.picture().await, before, "a refused batch wrote something");
    }

    /// Returns everything that can be seen of the store: rows, heads, entries with documents and ends, objects.
    pub async fn picture(&self) -> Vec<String> {
        let mut seen = Vec::new();
        for config in &self.collections {
            let mut rows: Vec<String> = self.raw.rows(config).await.iter().map(Value::to_interchange).collect();
            rows.sort();
            seen.extend(rows);
        }
        for state in self.states(&Scope::All(None)).await {
            seen.push(format!("{:?} {:?}", state.record, state.head));
        }
        let mut query = EntryQuery::new(self.env.clone(), Scope::All(None));
        query.detail = Detail::Document;
        for entry in self.entries(&query).await {
            seen.push(Value::Object(entry.to_object(&[])).to_interchange());
        }
        for object in self.store.objects("tag", None).await.expect("objects") {
            seen.push(format!("{:?} {} {}", object.key, object.version, object.body.to_interchange()));
        }
        seen
    }

    /// Asserts what must hold for every record at any time: seqs without gaps, a chain that links, ids
    /// that are the headers' hashes, ends that are what the definition says, and the head it says.
    pub async fn assert_sound(&self, record: &RecordKey) -> Vec<Entry> {
        let entries = self.history(record).await;
        let mut prev = None;
        for (n, entry) in entries.iter().enumerate() {
            assert_eq!(entry.header.seq, Seq(n as u64 + 1), "seqs of {record}");
            assert_eq!(entry.header.prev_entry_id, prev, "chain of {record}@{}", entry.header.seq);
            assert_eq!(entry.header.entry_id(), entry.entry_id, "id of {record}@{}", entry.header.seq);
            prev = Some(entry.entry_id);
        }
        let spans: Vec<Span> = entries.iter().map(span_of).collect();
        for (entry, ends) in entries.iter().zip(interval_ends(&spans)) {
            let shown = |t: Timestamp| (t != Timestamp::OPEN).then_some(t);
            assert_eq!(entry.valid_to, shown(ends.valid_to), "valid_to of {record}@{}", entry.header.seq);
            assert_eq!(
                entry.superseded_at,
                shown(ends.superseded_at),
                "superseded_at of {record}@{}",
                entry.header.seq
            );
        }
        let head = self.head(record).await;
        let designated = cfg_engine::history::head(&spans);
        assert_eq!(head.as_ref().map(|h| h.head.seq), designated, "head of {record}");
        if let Some(head) = head {
            let of_head = &entries[head.head.seq.0 as usize - 1];
            assert_eq!(head.head.entry_id, of_head.entry_id, "head of {record}");
            assert_eq!(head.head.oid, of_head.header.oid, "head of {record}");
            assert_eq!(head.author, of_head.header.author, "head of {record}");
            assert_eq!(head.recorded_at, of_head.header.recorded_at, "head of {record}");
            let last = entries.last().expect("entries where there is a head");
            assert_eq!(head.tip.seq, last.header.seq, "tip of {record}");
            assert_eq!(head.tip.entry_id, last.entry_id, "tip of {record}");
            assert_eq!(head.tip.recorded_at, last.header.recorded_at, "tip of {record}");
        }
        entries
    }
}

/// Returns the place of an entry on both axes.
pub(crate) fn span_of(entry: &Entry) -> Span {
    Span {
        seq: entry.header.seq,
        recorded_at: entry.header.recorded_at,
        valid_from: entry.header.valid_from,
        in_valid_order: entry.header.op != cfg_engine::history::Op::Redact,
    }
}

/// Returns the one live document of a state.
pub(crate) fn live(state: &RecordState) -> &LiveDoc {
    match &state.live {
        Live::One(live) => live,
        other => panic!("{} should have one live document: {other:?}", state.record),
    }
}

/// Drains a stream.
pub(crate) async fn collect<T>(mut chunks: Chunks<'_, T>) -> Vec<T> {
    let mut all = Vec::new();
    while let Some(chunk) = chunks.next().await {
        match chunk {
            Ok(chunk) => all.extend(chunk),
            Err(error) => panic!("a read: {error}"),
        }
    }
    all
}

/// Returns what was found, with the numbers that were given without a width as they were given: a store
/// with widths has to choose one.
pub(crate) fn as_given(found: &Value, given: &Value) -> Value {
    match (found, given) {
        (Value::Number(Number::Int32(_) | Number::Int64(_)), Value::Number(number @ Number::Int(_)))
            if found.as_i64() == number.as_i64() =>
        {
            given.clone()
        }
        (Value::Number(found), Value::Number(number @ Number::Decimal(_))) if found.same_digits(number) => {
            given.clone()
        }
        (Value::Array(found), Value::Array(given)) if found.len() == given.len() => {
            Value::Array(found.iter().zip(given).map(|(found, given)| as_given(found, given)).collect())
        }
        (Value::Object(found), Value::Object(given)) => {
            let member = |(key, found): &(String, Value)| {
                let given = given.get(key).map_or_else(|| found.clone(), |given| as_given(found, given));
                (key.clone(), given)
            };
            Value::Object(found.iter().map(member).collect())
        }
        (found, _) => found.clone(),
    }
}

/// Asserts that a value is the one that was given.
#[track_caller]
pub(crate) fn assert_value(found: &Value, given: &Value) {
    let found = as_given(found, given);
    assert_eq!(found.to_interchange(), given.to_interchange());
    assert!(found == *given, "another width or type");
}

/// Asserts that two documents mean the same and that everything below the top level is exactly equal.
#[track_caller]
pub(crate) fn assert_doc(found: &Value, wanted: &Value) {
    let found = &as_given(found, wanted);
    assert_eq!(doc_text(found), doc_text(wanted));
    let canonical = |doc: &Value| canonical_bytes(doc, &FieldPolicy::default()).expect("a canonical form");
    assert_eq!(canonical(found), canonical(wanted));
}
