//! Live and head of records, in one snapshot and in the order of record keys.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use cfg_engine::Value;
use cfg_engine::adapter::{AdapterError, ClockReading, HeadState, Live, RecordState, Scope, Strays};
use cfg_engine::history::{CollectionName, EnvName, IdKey, RecordKey, Timestamp};
use futures_util::TryStreamExt;
use tokio_postgres::Row;

use crate::catalog::Catalog;
use crate::connection::{Conn, Use};
use crate::errors::{OrAdapterError, setup};
use crate::heads;
use crate::live::{self, Image};
use crate::readers::{Halt, Read, Sink};
use crate::sql::{NOW_MS, Params};
use crate::table::LiveTable;

/// Live and head of the records of a scope, documents as they are stored.
pub(crate) struct Records {
    pub(crate) env: EnvName,
    pub(crate) scope: Scope,
}

/// What comes by in a pass.
#[derive(Debug)]
pub(crate) enum Scanned {
    Record(RecordState<Image>),
    /// Rows that belong to no record, behind the records of their collection.
    Strays(Strays),
}

type States = Sink<Scanned>;

/// What one statement answers.
enum Part<'s> {
    /// All of a collection.
    All(&'s EnvName, &'s CollectionName),
    /// These of a collection, in order.
    These(&'s EnvName, &'s CollectionName, Vec<&'s IdKey>),
}

#[async_trait]
impl Read for Records {
    type Row = Scanned;

    fn what_for(&self) -> Use {
        match self.scope {
            Scope::Records(_) => Use::Points,
            Scope::All(_) => Use::Scans,
        }
    }

    async fn run(&self, conn: &Conn, catalog: &Catalog, out: &mut States) -> Result<(), Halt> {
        let parts: Vec<Part<'_>> = match &self.scope {
            Scope::All(Some(collection)) => vec![Part::All(&self.env, collection)],
            Scope::All(None) => catalog.names().map(|collection| Part::All(&self.env, collection)).collect(),
            Scope::Records(records) => {
                let mut asked: BTreeMap<(&EnvName, &CollectionName), BTreeSet<&IdKey>> = BTreeMap::new();
                for record in records {
                    asked.entry((&record.env, &record.collection)).or_default().insert(&record.id);
                }
                asked.into_iter().map(|((env, name), ids)| Part::These(env, name, ids.into_iter().collect())).collect()
            }
        };
        // A collection that is not configured is refused before the first row.
        for part in &parts {
            let (Part::All(_, name) | Part::These(_, name, _)) = part;
            catalog.table(name)?;
        }
        if parts.len() < 2 {
            for part in &parts {
                Reader::new(conn, catalog, part)?.run(part, out).await?;
            }
            return Ok(());
        }
        // Several statements, one snapshot.
        conn.batch("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        for part in &parts {
            let outcome = match Reader::new(conn, catalog, part) {
                Ok(reader) => reader.run(part, out).await,
                Err(error) => Err(error.into()),
            };
            if let Err(halt) = outcome {
                if matches!(halt, Halt::Unread | Halt::Lost(_)) {
                    return Err(halt);
                }
                // Where this fails too, the connection is of no use to anybody.
                return conn.batch("ROLLBACK").await.map_err(Halt::from).and(Err(halt));
            }
        }
        conn.batch("COMMIT").await.map_err(Halt::from)
    }
}

/// One collection's records in one env.
struct Reader<'c> {
    conn: &'c Conn,
    table: &'c Arc<LiveTable>,
    env: EnvName,
    collection: CollectionName,
    has_history: bool,
}

/// A record whose rows are still coming.
struct Gathered {
    id: IdKey,
    live: Live<Image>,
    bytes: usize,
    head: Standing,
}

/// What the history says of a record.
enum Standing {
    Untracked,
    At(Box<HeadState>),
    /// The record has a history, and its head is gone or damaged: why, without values.
    Lost(String),
}

/// The columns before the id's and the document's: key, clock, fingerprint, whether the record is known, its
/// head, whether there is a live row, how many rows are outside the rule.
const KNOWN: usize = 3;
const HEAD: usize = 4;
const PRESENT: usize = HEAD + heads::COUNT;
const OUTSIDE: usize = PRESENT + 1;
const FIRST: usize = OUTSIDE + 1;

impl<'c> Reader<'c> {
    fn new(conn: &'c Conn, catalog: &'c Catalog, part: &Part<'_>) -> Result<Self, AdapterError> {
        let (Part::All(env, collection) | Part::These(env, collection, _)) = part;
        Ok(Reader {
            conn,
            table: catalog.table(collection)?,
            env: (*env).clone(),
            collection: (*collection).clone(),
            has_history: catalog.has_history()?,
        })
    }

    async fn run(&self, part: &Part<'_>, out: &mut States) -> Result<(), Halt> {
        let mut params = Params::default();
        let sql = match part {
            Part::All(..) => self.all(&mut params),
            Part::These(_, _, ids) => self.these(ids, &mut params),
        };
        let taken = self.conn.shared.monotonic();
        let rows = self.conn.stream(&sql, &params).await?;
        let mut rows = std::pin::pin!(rows);
        let mut gathered: Option<Gathered> = None;
        let mut clock: Option<ClockReading> = None;
        let mut strays: BTreeMap<&'static str, u64> = BTreeMap::new();
        while let Some(row) = rows.try_next().await? {
            let reading = match clock {
                Some(clock) => clock,
                None => {
                    let found: Option<&str> = row.try_get(2).sql()?;
                    if found != self.table.fingerprint.as_deref() {
                        return Err(Halt::Moved(setup("a table changed while it was read", "run the command again")));
                    }
                    let ms: i64 = row.try_get(1).sql()?;
                    *clock.insert(ClockReading { store: Timestamp::from_millis(ms), taken })
                }
            };
            let known: bool = row.try_get(KNOWN).sql()?;
            let key = match row.try_get::<_, Option<&str>>(0).sql()?.map(heads::stored_id) {
                Some(Ok(key)) => key,
                Some(Err(error)) if known => return Err(error.into()),
                other => {
                    self.stray(&row, other.is_some(), &mut strays)?;
                    continue;
                }
            };
            match &mut gathered {
                Some(gathered) if gathered.id == key => self.add(gathered, &row)?,
                _ => {
                    if let Some(done) = gathered.take() {
                        self.send(done, reading, out).await?;
                    }
                    gathered = Some(self.gather(key, &row)?);
                }
            }
        }
        if let (Some(done), Some(clock)) = (gathered, clock) {
            self.send(done, clock, out).await?;
        }
        match self.table.strays(&self.collection, &strays) {
            Some(strays) => out.push(Scanned::Strays(strays), 0).await,
            None => Ok(()),
        }
    }

    /// Counts a live row that belongs to no record.
    fn stray(&self, row: &Row, too_long: bool, strays: &mut BTreeMap<&'static str, u64>) -> Result<(), AdapterError> {
        let mut reason = if too_long { "longer than an id may be" } else { "a number with a fraction" };
        for n in 0..self.table.id.len() {
            if row.try_get::<_, Option<&str>>(FIRST + n).sql()?.is_none() {
                reason = "NULL";
            }
        }
        *strays.entry(reason).or_default() += 1;
        Ok(())
    }

    /// The union of what live and history hold.
    fn all(&self, params: &mut Params) -> String {
        let table = self.table;
        let columns = column_names(table);
        let live = format!(
            "SELECT TRUE AS present, ({}) COLLATE \"C\" AS k, {} FROM {} t WHERE {} AND {}",
            table.id_key_sql("t."),
            aliased(table),
            table.name,
            table.rule.sql("t."),
            table.settings,
        );
        let live = format!("({live}) l");
        let (from, key, known, heads) = if self.has_history {
            let names = &self.conn.shared.names;
            let (env, collection) = (params.text(self.env.as_str()), params.text(self.collection.as_str()));
            let history = format!(
                "(SELECT r.id_key, {} FROM {} r LEFT JOIN {} h ON h.record_no = r.record_no \
                 WHERE r.env = {env} AND r.collection = {collection}) h",
                heads::COLUMNS,
                names.records,
                names.heads
            );
            (
                format!("{live} FULL JOIN {history} ON h.id_key = l.k"),
                "COALESCE(h.id_key, l.k)",
                "h.id_key IS NOT NULL",
                heads::COLUMNS.to_owned(),
            )
        } else {
            (live, "l.k", "FALSE", no_heads())
        };
        format!(
            "SELECT {key}, (SELECT {NOW_MS}), (SELECT {}), {known}, {heads}, l.present IS NOT NULL, 0::int8, {columns} \
             FROM {from} ORDER BY {key}",
            table.fingerprint_sql
        )
    }

    /// Records that are asked for by name, in order.
    fn these(&self, ids: &[&IdKey], params: &mut Params) -> String {
        let table = self.table;
        let columns = column_names(table);
        let keys: Vec<String> = ids.iter().map(|id| id.as_str().to_owned()).collect();
        let texts: Vec<Option<Vec<String>>> = ids.iter().map(|id| table.id_texts(id)).collect();
        let mut arrays = vec![params.texts(keys)];
        for n in 0..table.id.len() {
            let part: Vec<Option<String>> = texts.iter().map(|texts| Some(texts.as_ref()?[n].clone())).collect();
            arrays.push(params.texts(part));
        }
        let parts: Vec<String> = (0..table.id.len()).map(|n| format!("k.i{n}")).collect();
        let named: Vec<String> = (0..table.id.len()).map(|n| format!("i{n}")).collect();
        let live = format!(
            "SELECT TRUE AS present, {} FROM {} t WHERE {} AND {}",
            aliased(table),
            table.name,
            table.id_is("t.", &parts),
            table.rule.sql("t.")
        );
        let outside = format!(
            "CASE WHEN l.present IS NULL THEN (SELECT count(*) FROM {} o WHERE {} AND ({}) IS NOT TRUE) ELSE 0 END",
            table.name,
            table.id_is("o.", &parts),
            table.rule.sql("o.")
        );
        let (history, known, heads) = if self.has_history {
            let names = &self.conn.shared.names;
            let (env, collection) = (params.text(self.env.as_str()), params.text(self.collection.as_str()));
            let join = format!(
                "LEFT JOIN {} r ON r.env = {env} AND r.collection = {collection} AND r.id_key = k.id_key \
                 LEFT JOIN {} h ON h.record_no = r.record_no",
                names.records, names.heads
            );
            (join, "r.record_no IS NOT NULL", heads::COLUMNS.to_owned())
        } else {
            (String::new(), "FALSE", no_heads())
        };
        format!(
            "SELECT k.id_key, (SELECT {NOW_MS}), (SELECT {}), {known}, {heads}, l.present IS NOT NULL, {outside}, {columns} \
             FROM unnest({}) WITH ORDINALITY k(id_key, {}, n) {history} LEFT JOIN LATERAL ({live}) l ON TRUE \
             WHERE {} ORDER BY k.n",
            table.fingerprint_sql,
            arrays.join(", "),
            named.join(", "),
            table.settings,
        )
    }

    fn gather(&self, id: IdKey, row: &Row) -> Result<Gathered, AdapterError> {
        let head = match row.try_get(KNOWN).sql()? {
            false => Standing::Untracked,
            true => match heads::read_or_lost(row, HEAD) {
                Ok(head) => Standing::At(Box::new(head)),
                Err(error) => Standing::Lost(format!("{error}; cfg fsck says more, and a backup has it as it was")),
            },
        };
        let outside: i64 = row.try_get(OUTSIDE).sql()?;
        let live = Live::Absent { outside_rule: u64::try_from(outside).unwrap_or_default() };
        let mut gathered = Gathered { id, live, bytes: 0, head };
        self.add(&mut gathered, row)?;
        Ok(gathered)
    }

    /// Adds one row of the live table.
    fn add(&self, gathered: &mut Gathered, row: &Row) -> Result<(), AdapterError> {
        let present: bool = row.try_get(PRESENT).sql()?;
        // Columns may compare more loosely than ids do: a case, a blank at the end.
        if !present || self.table.id_of(row, FIRST)?.as_ref() != Some(&gathered.id) {
            return Ok(());
        }
        match &mut gathered.live {
            Live::Absent { .. } => {
                let first = FIRST + self.table.id.len();
                (gathered.live, gathered.bytes) = live::take(self.table, row, first)?;
            }
            Live::Ambiguous { rows } => *rows += 1,
            _ => gathered.live = Live::Ambiguous { rows: 2 },
        }
        Ok(())
    }

    async fn send(&self, gathered: Gathered, clock: ClockReading, out: &mut States) -> Result<(), Halt> {
        let record = RecordKey { env: self.env.clone(), collection: self.collection.clone(), id: gathered.id };
        let (live, head) = match gathered.head {
            Standing::Untracked => (gathered.live, None),
            Standing::At(head) => (gathered.live, Some(*head)),
            // Without its head the record looks untracked, and is not: nothing may be planned on it.
            Standing::Lost(reason) => (Live::Unreadable { reason }, None),
        };
        out.push(Scanned::Record(RecordState { record, live, head, clock }), gathered.bytes).await
    }
}

/// The texts of a table's id and document, each under a name.
fn aliased(table: &LiveTable) -> String {
    let places = table.id.iter().copied().chain(table.shown());
    let one = |(n, at): (usize, usize)| format!("{} AS c{n}", table.columns[at].read_sql("t."));
    places.enumerate().map(one).collect::<Vec<_>>().join(", ")
}

fn column_names(table: &LiveTable) -> String {
    (0..table.selected()).map(|n| format!("l.c{n}")).collect::<Vec<_>>().join(", ")
}

fn no_heads() -> String {
    "NULL::int8, NULL::bytea, NULL::bytea, NULL::text, NULL::text, NULL::timestamptz, NULL::int8, NULL::bytea, \
     NULL::timestamptz"
        .to_owned()
}

/// Reads the one number that a statement gives.
pub(crate) fn number(rows: &[Row]) -> Result<i64, AdapterError> {
    rows.first().map_or(Ok(0), |row| row.try_get(0).sql())
}

/// Reads a list of texts kept as JSON.
pub(crate) fn texts(json: &str) -> Option<Vec<String>> {
    let value = Value::from_json(json).ok()?;
    Some(value.as_array()?.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect())
}
