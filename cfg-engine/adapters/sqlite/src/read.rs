//! Live and head of records, in one snapshot.
//!
//! Results come by record key, which is not the order in which SQLite has ids: numbers sort by value
//! there and by digits here, and a column may have its own collation. So the ids of the live rows are
//! read first and sorted in memory (the ids, not the documents), merged with the heads, and the
//! documents are fetched in runs by rowid. No statement is run for one record alone.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use cfg_engine::Value;
use cfg_engine::adapter::{AdapterError, ClockReading, HeadState, Live, RecordState, Scope, Strays};
use cfg_engine::history::{CollectionName, EnvName, IdKey, RecordKey};
use rusqlite::params_from_iter;
use rusqlite::types::Value as Cell;

use crate::connection::{Catalog, Conn};
use crate::errors::{OrAdapterError, storage};
use crate::heads;
use crate::live::{self, Raw};
use crate::readers::{Halt, RUN_ROWS, Sink};
use crate::strays::StrayRows;
use crate::table::LiveTable;

/// What a read of records sends.
pub(crate) enum Scanned {
    Record(RecordState<Raw>),
    Strays(Strays),
}

/// Where a read of records puts them.
pub(crate) type States = Sink<Scanned>;

/// Streams live and head of the records of a scope, documents as they are stored.
pub(crate) fn records(conn: &Conn, env: &EnvName, scope: &Scope, out: &mut States) -> Result<(), Halt> {
    let (_snapshot, catalog) = conn.snapshot()?;
    let clock = conn.clock()?;
    let reader = |env: &EnvName, collection: &CollectionName| -> Result<Reader<'_>, AdapterError> {
        Reader::new(conn, &catalog, env, collection, clock)
    };
    match scope {
        Scope::All(Some(collection)) => reader(env, collection)?.all(out),
        Scope::All(None) => {
            let names: BTreeSet<_> = conn.shared.collections().iter().map(|c| &c.name).collect();
            // What does not fit its table is refused before the first row.
            names.iter().try_for_each(|collection| catalog.table(collection).map(drop))?;
            names.into_iter().try_for_each(|collection| reader(env, collection)?.all(out))
        }
        Scope::Records(records) => {
            let mut asked: BTreeMap<(&EnvName, &CollectionName), BTreeSet<&IdKey>> = BTreeMap::new();
            for record in records {
                asked.entry((&record.env, &record.collection)).or_default().insert(&record.id);
            }
            // A collection that is not configured is refused before the first row.
            for (env, collection) in asked.keys() {
                reader(env, collection)?;
            }
            asked.into_iter().try_for_each(|((env, collection), ids)| {
                let ids: Vec<&IdKey> = ids.into_iter().collect();
                let reader = reader(env, collection)?;
                ids.chunks(RUN_ROWS).try_for_each(|ids| reader.these(ids, out))
            })
        }
    }
}

/// The ids of a table's live rows in the order of record keys, and how many rows each has.
type LiveIds = Vec<(IdKey, Found)>;

/// One collection's records in one env.
struct Reader<'c> {
    conn: &'c Conn,
    table: &'c Arc<LiveTable>,
    env: EnvName,
    collection: CollectionName,
    has_history: bool,
    clock: ClockReading,
}

/// A record whose document is not read yet.
struct Pending {
    id: IdKey,
    live: Found,
    head: Standing,
}

/// What the history says of a record.
enum Standing {
    Untracked,
    At(HeadState),
    /// The record has a history, and its head is gone or damaged: why, without values.
    Lost(String),
}

fn standing(head: Result<HeadState, AdapterError>) -> Standing {
    match head {
        Ok(head) => Standing::At(head),
        Err(error) => Standing::Lost(format!("{error}; cfg fsck says more, and a backup has it as it was")),
    }
}

/// What is known of a record's live rows before one is read.
#[derive(Clone, Copy)]
enum Found {
    None { outside_rule: u64 },
    One { rowid: Option<i64> },
    Many { rows: u64 },
}

impl Found {
    fn add(&mut self, rowid: Option<i64>) {
        *self = match *self {
            Found::None { .. } => Found::One { rowid },
            Found::One { .. } => Found::Many { rows: 2 },
            Found::Many { rows } => Found::Many { rows: rows + 1 },
        };
    }
}

impl<'c> Reader<'c> {
    fn new(
        conn: &'c Conn,
        catalog: &'c Catalog,
        env: &EnvName,
        collection: &CollectionName,
        clock: ClockReading,
    ) -> Result<Self, AdapterError> {
        Ok(Reader {
            conn,
            table: catalog.table(collection)?,
            env: env.clone(),
            collection: collection.clone(),
            has_history: catalog.has_history()?,
            clock,
        })
    }

    /// The union of what live and history hold.
    fn all(&self, out: &mut States) -> Result<(), Halt> {
        let (live, strays) = self.live_ids()?;
        let mut live = live.into_iter().peekable();
        let mut run = Vec::with_capacity(RUN_ROWS);
        let mut add = |pending: Pending, out: &mut States| {
            run.push(pending);
            if run.len() < RUN_ROWS { Ok(()) } else { self.emit(std::mem::take(&mut run), out) }
        };
        let none = Found::None { outside_rule: 0 };
        if self.has_history {
            let names = &self.conn.shared.names;
            let sql = format!(
                "SELECT r.id_key, {} FROM {} r LEFT JOIN {} h ON h.record_no = r.record_no \
                 WHERE r.env = ?1 AND r.collection = ?2 ORDER BY r.id_key",
                heads::COLUMNS,
                names.records,
                names.heads
            );
            let mut statement = self.conn.statement(&sql)?;
            let mut rows = statement.query([self.env.as_str(), self.collection.as_str()]).sql()?;
            while let Some(row) = rows.next().sql()? {
                let id = stored_id(row.get_ref(0).sql()?.as_str().unwrap_or_default())?;
                let mut found = none;
                while let Some((other, _)) = live.peek() {
                    match other.cmp(&id) {
                        Ordering::Greater => break,
                        order => {
                            let Some((other, other_found)) = live.next() else { break };
                            if order == Ordering::Less {
                                add(Pending { id: other, live: other_found, head: Standing::Untracked }, out)?;
                            } else {
                                found = other_found;
                            }
                        }
                    }
                }
                add(Pending { id, live: found, head: standing(heads::read_or_lost(row, 1)) }, out)?;
            }
        }
        for (id, found) in live {
            add(Pending { id, live: found, head: Standing::Untracked }, out)?;
        }
        self.emit(run, out)?;
        strays.map_or(Ok(()), |strays| out.push(Scanned::Strays(strays), 0))
    }

    /// Reads the id of every live row, in the order of record keys, and counts those without one.
    fn live_ids(&self) -> Result<(LiveIds, Option<Strays>), AdapterError> {
        let mut statement = self.conn.statement(&self.table.sql.scan)?;
        let mut rows = statement.query(params_from_iter(self.table.rule.params())).sql()?;
        let mut read: Vec<(IdKey, Option<i64>)> = Vec::new();
        let mut strays = StrayRows::default();
        while let Some(row) = rows.next().sql()? {
            match self.table.id_or_reason(row, 1) {
                Ok(id) => read.push((id, row.get(0).sql()?)),
                // It belongs to no record.
                Err(reason) => strays.add(reason, row.get(0).sql()?),
            }
        }
        read.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let mut ids: LiveIds = Vec::with_capacity(read.len());
        for (id, rowid) in read {
            match ids.last_mut() {
                Some((last, found)) if *last == id => found.add(rowid),
                _ => ids.push((id, Found::One { rowid })),
            }
        }
        Ok((ids, strays.report(self.table)))
    }

    /// Records that were asked for by name, in order.
    fn these(&self, ids: &[&IdKey], out: &mut States) -> Result<(), Halt> {
        let mut found = vec![Found::None { outside_rule: 0 }; ids.len()];
        let list = Value::Array(ids.iter().map(|id| self.table.id_in_list(id)).collect()).to_json();
        let mut statement = self.conn.statement(&self.table.sql.locate)?;
        let params = std::iter::once(Cell::Text(list)).chain(self.table.rule.params().iter().cloned());
        let mut rows = statement.query(params_from_iter(params)).sql()?;
        while let Some(row) = rows.next().sql()? {
            let at = crate::sql::place(row, 0)?;
            // SQLite compares as the column's affinity and collation say; ids are compared exactly.
            if ids.get(at).is_none_or(|id| self.table.id_of(row, 3).as_ref() != Some(*id)) {
                continue;
            }
            if row.get(2).sql()? {
                found[at].add(row.get(1).sql()?);
            } else if let Found::None { outside_rule } = &mut found[at] {
                *outside_rule += 1;
            }
        }
        drop(rows);
        drop(statement);
        let mut heads = self.heads_of(ids)?;
        let pending = ids.iter().zip(found).map(|(id, live)| Pending {
            id: (*id).clone(),
            live,
            head: heads.remove(id.as_str()).unwrap_or(Standing::Untracked),
        });
        self.emit(pending.collect(), out)
    }

    fn heads_of(&self, ids: &[&IdKey]) -> Result<HashMap<String, Standing>, AdapterError> {
        if !self.has_history {
            return Ok(HashMap::new());
        }
        let names = &self.conn.shared.names;
        let sql = format!(
            // A parameter that an outer join's conditions name is a reason to compile the statement anew each time.
            "SELECT k.value, {} FROM json_each(?1) k \
             CROSS JOIN {} r ON r.env = (SELECT ?2) AND r.collection = (SELECT ?3) AND r.id_key = k.value \
             LEFT JOIN {} h ON h.record_no = r.record_no",
            heads::COLUMNS,
            names.records,
            names.heads
        );
        let list = Value::from(ids.iter().map(|id| id.as_str()).collect::<Vec<_>>()).to_json();
        let mut statement = self.conn.statement(&sql)?;
        let mut rows = statement.query([list.as_str(), self.env.as_str(), self.collection.as_str()]).sql()?;
        let mut heads = HashMap::with_capacity(ids.len());
        while let Some(row) = rows.next().sql()? {
            heads.insert(row.get(0).sql()?, standing(heads::read_or_lost(row, 1)));
        }
        Ok(heads)
    }

    /// Reads the documents of a run of records and sends it on, in order.
    fn emit(&self, run: Vec<Pending>, out: &mut States) -> Result<(), Halt> {
        let one = |pending: &Pending| match (pending.live, self.table.rowid) {
            (Found::One { rowid: Some(rowid) }, Some(_)) => Some(Value::from(rowid)),
            (Found::One { .. }, _) => Some(self.table.id_in_list(&pending.id)),
            _ => None,
        };
        let wanted: Vec<(usize, Value)> =
            run.iter().enumerate().filter_map(|(at, pending)| Some((at, one(pending)?))).collect();
        let (places, list): (Vec<usize>, Vec<Value>) = wanted.into_iter().unzip();
        let mut run: Vec<Option<Pending>> = run.into_iter().map(Some).collect();
        let mut sent = 0;
        if !list.is_empty() {
            let rule = if self.table.rowid.is_some() { &[] } else { self.table.rule.params() };
            let list = Cell::Text(Value::Array(list).to_json());
            let mut statement = self.conn.statement(&self.table.sql.fetch)?;
            let params = std::iter::once(list).chain(rule.iter().cloned());
            let mut rows = statement.query(params_from_iter(params)).sql()?;
            while let Some(row) = rows.next().sql()? {
                let in_list = crate::sql::place(row, 0)?;
                let place = *places.get(in_list).ok_or_else(|| storage("a row that was not asked for"))?;
                let wanted = |pending: &Option<Pending>| pending.as_ref().map(|p| p.id.clone());
                if self.table.rowid.is_none() && self.table.id_of(row, 1) != run.get(place).and_then(wanted) {
                    // Equal under the column's collation only.
                    continue;
                }
                // The rows come in the order of the list: what was passed over has no row to be read.
                for pending in run[sent..place].iter_mut().filter_map(Option::take) {
                    self.send(pending, None, out)?;
                }
                let Some(pending) = run[place].take() else {
                    return Err(storage("rows came in another order than they were asked for").into());
                };
                self.send(pending, Some(live::take(self.table, row, 1 + self.table.id.len())), out)?;
                sent = place + 1;
            }
        }
        run.into_iter().flatten().try_for_each(|pending| self.send(pending, None, out))
    }

    fn send(&self, pending: Pending, live: Option<(Live<Raw>, usize)>, out: &mut States) -> Result<(), Halt> {
        let (live, bytes) = match (live, pending.live) {
            (Some(read), _) => read,
            (None, Found::None { outside_rule }) => (Live::Absent { outside_rule }, 0),
            (None, Found::Many { rows }) => (Live::Ambiguous { rows }, 0),
            (None, Found::One { .. }) => {
                return Err(storage("a live row that was there is gone in the same snapshot").into());
            }
        };
        let record = RecordKey { env: self.env.clone(), collection: self.collection.clone(), id: pending.id };
        let (live, head) = match pending.head {
            Standing::Untracked => (live, None),
            Standing::At(head) => (live, Some(head)),
            // Without its head the record looks untracked, and is not: nothing may be planned on it.
            Standing::Lost(reason) => (Live::Unreadable { reason }, None),
        };
        out.push(Scanned::Record(RecordState { record, live, head, clock: self.clock }), bytes)
    }
}

/// Reads an id that the history holds.
pub(crate) fn stored_id(text: &str) -> Result<IdKey, AdapterError> {
    IdKey::from_stored(text).map_err(|error| crate::errors::damaged(format!("a record in the history: {error}")))
}
