//! The storage trait over the world of a run.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cfg_engine::Value;
use cfg_engine::adapter::{
    AdapterError, AsOf, AsOfRow, Batch, Capabilities, Caveat, Chunks, ClockReading, Detail, Digested, EntryAddress,
    EntryQuery, Live, LiveDoc, Mending, NativeImage, Order, RecordState, Scope, StorageAdapter, StoreFinding,
    StoredObject, Strays,
};
use cfg_engine::config::CollectionConfig;
use cfg_engine::history::{CollectionName, Entry, EnvName, RecordKey, Seq, Span, Timestamp, as_of_both};
use futures_util::{StreamExt, stream};

use crate::Store;
use crate::announced;
use crate::state::{State, StoredEntry, layout};
use crate::transactions;
use crate::world::Sim;

/// One program's connection to the modelled store.
pub(crate) struct SimAdapter {
    sim: Sim,
    store: Store,
    who: u64,
    capabilities: Capabilities,
}

impl SimAdapter {
    pub(crate) fn new(sim: &Sim, who: u64, max_batch: usize) -> Self {
        let store = sim.lock().store;
        let mut capabilities = Capabilities::transactional("simulated");
        capabilities.max_batch_records = max_batch;
        if store.is_announced() {
            capabilities.transactions = false;
            capabilities.max_batch_records = 1;
            capabilities.caveat =
                Some(Caveat { problem: "no transactions".to_owned(), remedy: "use a replica set".to_owned() });
        }
        SimAdapter { sim: sim.clone(), store, who, capabilities }
    }

    /// What comes before the first command of a program: what others left behind is cleared up.
    pub(crate) async fn open(&self) {
        self.sim.lock().connected.insert(self.who);
        match self.store {
            Store::Snapshot => {
                let mut world = self.sim.lock();
                let orphans: Vec<u64> = world.orphans.keys().copied().collect();
                orphans.into_iter().for_each(|txn| world.release(txn));
            }
            Store::Standalone | Store::Split => {
                // That it could not be looked for is no reason not to open.
                let _ = announced::reconcile(&self.sim, self.who, Mending::Repair).await;
            }
            Store::Statement | Store::File => {}
        }
    }

    /// Delivers what was read in one go, or in pieces with steps of others in between.
    fn deliver<'a, T: Send + 'a>(
        &'a self,
        read: impl Future<Output = Result<Vec<T>, AdapterError>> + Send + 'a,
    ) -> Chunks<'a, T> {
        let pieces = async move {
            let rows = match read.await {
                Ok(rows) => rows,
                Err(error) => return stream::iter([Err(error)]).boxed(),
            };
            let slow = {
                let mut world = self.sim.lock();
                let rate = world.rates.slow;
                world.rng.permille(rate)
            };
            if !slow {
                return stream::iter((!rows.is_empty()).then_some(Ok(rows))).boxed();
            }
            let rows: Vec<T> = rows;
            stream::unfold(rows.into_iter(), move |mut rows| async move {
                let row = rows.next()?;
                self.sim.step(self.who, "slow").await;
                Some((Ok(vec![row]), rows))
            })
            .boxed()
        };
        stream::once(pieces).flatten().boxed()
    }

    async fn read(&self, what: &'static str) -> Result<Arc<State>, AdapterError> {
        self.sim.call(self.who, what).await?;
        Ok(self.sim.state())
    }

    async fn read_records(&self, scope: &Scope) -> Result<Vec<RecordState>, AdapterError> {
        let records = self.scoped(scope)?;
        self.sim.call(self.who, "records").await?;
        let (live, clock) = {
            let world = self.sim.lock();
            (Arc::clone(&world.state), world.read_clock())
        };
        // Without transactions two reads are two moments: live first, heads behind.
        let heads = if self.store.is_announced() { self.read("heads").await? } else { Arc::clone(&live) };
        let counted = matches!(scope, Scope::Records(_));
        let mut found = Vec::new();
        for record in records {
            let rows = live.rows_of(record);
            let head = heads.head(record).map(|head| head.as_ref().clone());
            if !counted && rows.live.is_empty() && head.is_none() {
                continue;
            }
            let live = match rows.live.as_slice() {
                [] => Live::Absent { outside_rule: if counted { rows.outside.len() as u64 } else { 0 } },
                [(_, row)] => Live::One(LiveDoc {
                    value: Arc::clone(&row.value),
                    oid: row.oid.clone(),
                    image: NativeImage::new(crate::state::Row {
                        value: Arc::clone(&row.value),
                        record: row.record,
                        is_live: true,
                        oid: row.oid.clone(),
                    }),
                }),
                rows => Live::Ambiguous { rows: rows.len() as u64 },
            };
            found.push(RecordState { record: layout().records[usize::from(record)].clone(), live, head, clock });
        }
        Ok(found)
    }

    fn scoped(&self, scope: &Scope) -> Result<Vec<u8>, AdapterError> {
        let layout = layout();
        let setup = |name: &CollectionName| AdapterError::Setup {
            problem: format!("no collection {name} is configured"),
            hint: "add it to the configuration".to_owned(),
        };
        match scope {
            Scope::All(None) => Ok((0..layout.records.len() as u8).collect()),
            Scope::All(Some(name)) => match layout.collections.iter().position(|c| c.name == *name) {
                Some(table) => Ok(layout.of_table(table as u8).collect()),
                None => Err(setup(name)),
            },
            Scope::Records(records) => {
                let numbers = records.iter().map(|r| layout.number(r).ok_or_else(|| setup(&r.collection)));
                let mut numbers: Vec<u8> = numbers.collect::<Result<_, _>>()?;
                numbers.sort_unstable();
                numbers.dedup();
                Ok(numbers)
            }
        }
    }

    async fn read_as_of<T>(
        &self,
        scope: &Scope,
        at: AsOf,
        show: impl Fn(&StoredEntry) -> T,
    ) -> Result<Vec<AsOfRow<T>>, AdapterError> {
        let records = self.scoped(scope)?;
        let state = self.read("as of").await?;
        let mut found = Vec::new();
        for record in records {
            match pick(&state, record, at) {
                Ok(None) => {}
                Ok(Some((entry, estimated_before_import))) => {
                    found.push(AsOfRow { entry: show(entry), estimated_before_import });
                }
                // Where a change is being written in several commands, the ends may say so for a moment.
                Err(_) if self.store.is_announced() => {}
                Err(rows) => self.sim.lock().violation(format!("{rows} rows as of {at:?} of record {record}")),
            }
        }
        Ok(found)
    }

    async fn apply_once(&self, batch: &Batch) -> Result<(), AdapterError> {
        apply_once(&self.sim, self.store, self.who, batch).await
    }
}

async fn apply_once(sim: &Sim, store: Store, who: u64, batch: &Batch) -> Result<(), AdapterError> {
    match store {
        Store::Snapshot => transactions::snapshot(sim, who, batch).await,
        Store::Statement => transactions::statement(sim, who, batch).await,
        Store::File => transactions::serialized(sim, who, batch).await,
        Store::Standalone | Store::Split => announced::apply(sim, who, batch).await,
    }
}

/// Picks the entry that an as-of question means, by the ends as they are stored; says how many rows there are
/// where there is more than one.
fn pick(state: &State, record: u8, at: AsOf) -> Result<Option<(&StoredEntry, bool)>, usize> {
    let holds = |entry: &&StoredEntry| match at {
        AsOf::Valid(t) => entry.span().in_valid_order && entry.header.valid_from <= t && t < entry.ends.valid_to,
        AsOf::Recorded(r) => {
            entry.span().in_valid_order && entry.header.recorded_at <= r && r < entry.ends.superseded_at
        }
        AsOf::Both { .. } => false,
    };
    let entries = || state.entries_of(record).map(|entry| &**entry);
    let held: Vec<&StoredEntry> = match at {
        AsOf::Both { recorded, valid } => {
            let spans: Vec<Span> = entries().map(StoredEntry::span).collect();
            let seq: Option<Seq> = as_of_both(&spans, recorded, valid);
            entries().filter(|entry| Some(entry.header.seq) == seq).collect()
        }
        _ => entries().filter(holds).collect(),
    };
    match held.as_slice() {
        [] => {}
        [entry] => return Ok((!entry.header.is_tombstone()).then_some((*entry, false))),
        rows => return Err(rows.len()),
    }
    let recorded = match at {
        AsOf::Recorded(_) => return Ok(None),
        AsOf::Valid(_) => Timestamp::OPEN,
        AsOf::Both { recorded, .. } => recorded,
    };
    let known = entries().filter(|entry| entry.span().in_valid_order && entry.header.recorded_at <= recorded);
    let baseline = known.min_by_key(|entry| entry.span().order());
    let asked = match at {
        AsOf::Valid(valid) | AsOf::Both { valid, .. } | AsOf::Recorded(valid) => valid,
    };
    let estimated = |entry: &&StoredEntry| {
        entry.header.valid_from_estimated && !entry.header.is_tombstone() && asked < entry.header.valid_from
    };
    Ok(baseline.filter(estimated).map(|entry| (entry, true)))
}

#[async_trait]
impl StorageAdapter for SimAdapter {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn collections(&self) -> &[CollectionConfig] {
        &layout().collections
    }

    fn monotonic(&self) -> Duration {
        self.sim.lock().monotonic()
    }

    async fn clock(&self) -> Result<ClockReading, AdapterError> {
        self.sim.call(self.who, "clock").await?;
        Ok(self.sim.lock().read_clock())
    }

    async fn pending_schema(&self) -> Result<Vec<String>, AdapterError> {
        Ok(Vec::new())
    }

    async fn ensure_schema(&self) -> Result<Vec<String>, AdapterError> {
        Ok(Vec::new())
    }

    async fn check_collection(&self, _: &CollectionName) -> Result<Vec<String>, AdapterError> {
        Ok(Vec::new())
    }

    fn records<'a>(&'a self, _: &'a EnvName, scope: &'a Scope) -> Chunks<'a, RecordState> {
        self.deliver(self.read_records(scope))
    }

    fn digests<'a>(&'a self, _: &'a EnvName, scope: &'a Scope) -> Chunks<'a, Digested> {
        self.deliver(async move {
            let states = self.read_records(scope).await?;
            let mut digested: Vec<Digested> =
                states.into_iter().map(|state| Digested::Record(RecordState::from(state))).collect();
            if matches!(scope, Scope::All(_)) {
                let state = self.sim.state();
                for (table, collection) in layout().collections.iter().enumerate() {
                    let rows = state.rows(table as u8).filter(|(_, row)| row.record.is_none() && row.is_live);
                    let rows = rows.count() as u64;
                    let strays = Strays {
                        collection: collection.name.clone(),
                        rows,
                        reason: format!("{rows} without an id"),
                        hint: "give each row an id".to_owned(),
                    };
                    digested.extend((rows > 0).then_some(Digested::Strays(strays)));
                }
            }
            Ok(digested)
        })
    }

    fn entries<'a>(&'a self, query: &'a EntryQuery) -> Chunks<'a, Entry> {
        self.deliver(async move {
            let records = self.scoped(&query.scope)?;
            let state = self.read("entries").await?;
            let mut found: Vec<&StoredEntry> = Vec::new();
            for record in records {
                let wanted = state.entries_of(record).map(|entry| &**entry).filter(|entry| fits(query, entry));
                match query.order {
                    Order::OldestFirst => found.extend(wanted),
                    Order::NewestFirst => found.extend(wanted.rev()),
                }
            }
            if query.across {
                let key = |e: &StoredEntry| {
                    (std::cmp::Reverse(e.header.recorded_at), e.header.record.clone(), std::cmp::Reverse(e.header.seq))
                };
                found.sort_by_key(|entry| key(entry));
            }
            let limit = query.limit.map_or(usize::MAX, |limit| limit as usize);
            Ok(found.into_iter().take(limit).map(|entry| entry.to_entry(query.detail)).collect())
        })
    }

    fn addresses<'a>(&'a self, _: &'a EnvName, scope: &'a Scope) -> Chunks<'a, EntryAddress> {
        self.deliver(async move {
            let records = self.scoped(scope)?;
            let state = self.read("addresses").await?;
            Ok(records
                .into_iter()
                .flat_map(|r| state.entries_of(r).map(|e| e.to_address()).collect::<Vec<_>>())
                .collect())
        })
    }

    fn as_of<'a>(&'a self, _: &'a EnvName, scope: &'a Scope, at: AsOf, detail: Detail) -> Chunks<'a, AsOfRow<Entry>> {
        self.deliver(self.read_as_of(scope, at, move |entry| entry.to_entry(detail)))
    }

    fn as_of_addresses<'a>(&'a self, _: &'a EnvName, scope: &'a Scope, at: AsOf) -> Chunks<'a, AsOfRow<EntryAddress>> {
        self.deliver(self.read_as_of(scope, at, StoredEntry::to_address))
    }

    async fn objects(&self, kind: &str, name: Option<&str>) -> Result<Vec<StoredObject>, AdapterError> {
        let state = self.read("objects").await?;
        let wanted = |o: &&Arc<StoredObject>| o.key.kind == kind && name.is_none_or(|name| o.key.name == name);
        Ok(state.objects().filter(wanted).map(|object| object.as_ref().clone()).collect())
    }

    async fn check_store(&self, _: &EnvName, mending: Mending) -> Result<Vec<StoreFinding>, AdapterError> {
        match self.store {
            Store::Standalone | Store::Split => announced::reconcile(&self.sim, self.who, mending).await,
            _ => Ok(Vec::new()),
        }
    }

    fn check_document(&self, record: &RecordKey, doc: &Value) -> Result<(), AdapterError> {
        let collection = layout().collections.iter().find(|c| c.name == record.collection);
        match collection.and_then(|collection| collection.disagreeing_id(&record.id, doc)) {
            None => Ok(()),
            Some(field) => Err(AdapterError::Unstorable {
                record: record.clone(),
                path: field.to_owned(),
                what: "another id".to_owned(),
            }),
        }
    }

    async fn fit(&self, _: &RecordKey, doc: Value) -> Result<Value, AdapterError> {
        Ok(doc)
    }

    async fn apply(&self, batch: &Batch) -> Result<(), AdapterError> {
        self.sim.call(self.who, "apply").await?;
        // What a transaction's own commit may suffer is its own matter.
        let (fate, twice) = {
            let mut world = self.sim.lock();
            let (unknown, twice) = (world.rates.unknown, world.rates.twice);
            let own = matches!(self.store, Store::Snapshot | Store::Standalone | Store::Split);
            let fate = if !own && world.rng.permille(unknown) { world.rng.below(3) } else { 3 };
            (fate, world.rng.permille(twice))
        };
        let later = || {
            let (sim, store, who, batch) = (self.sim.clone(), self.store, self.who, batch.clone());
            let late = async move {
                let steps = sim.lock().rng.below(30);
                for _ in 0..steps {
                    sim.step(who, "on its way").await;
                }
                // Nobody waits for the answer.
                let _ = apply_once(&sim, store, who, &batch).await;
            };
            self.sim.lock().background.push(Box::pin(late));
        };
        let outcome = match fate {
            0 => {
                let _ = self.apply_once(batch).await;
                Err(AdapterError::UnknownOutcome)
            }
            1 => Err(AdapterError::UnknownOutcome),
            2 => {
                later();
                Err(AdapterError::UnknownOutcome)
            }
            _ => self.apply_once(batch).await,
        };
        if fate < 3 {
            self.sim.lock().note("unknown", &[self.who, fate], format_args!("outcome of {}", batch.op_id()));
        }
        if twice {
            later();
        }
        let is_unknown = matches!(outcome, Err(AdapterError::UnknownOutcome));
        if is_unknown && cfg_engine::planted!("unknown-commit-taken-for-done") {
            return Ok(());
        }
        outcome
    }
}

fn fits(query: &EntryQuery, entry: &StoredEntry) -> bool {
    let header = &entry.header;
    (query.seqs.is_empty() || query.seqs.contains(&header.seq))
        && query.op_id.as_ref().is_none_or(|op_id| header.op_id == *op_id)
        && query.since.is_none_or(|since| header.recorded_at >= since)
        && query.until.is_none_or(|until| header.recorded_at <= until)
        && query.author.as_ref().is_none_or(|author| header.author.id == *author)
        && query.git_sha.as_ref().is_none_or(|sha| entry.git_shas.iter().any(|own| own.starts_with(sha.as_str())))
}
