//! The statement for the change that is made most: one record gets its next entry.
//!
//! It means what the general statement means, with as few steps as the server can do it in: starting and
//! ending the steps of a plan is most of what one commit costs. The head is not locked and then written: its
//! update is the lock, and finds only the head that is expected. Each further write feeds on the one before
//! it, so that nothing happens where the head has moved. Where live is not what is expected, nothing comes
//! out at the end, and the statement fails and takes everything with it.
//!
//! Its text is written once for each kind of change to a table; a commit only fills in the parameters.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use cfg_engine::adapter::{Change, ExpectedHead, HeadRef, TipRef};
use cfg_engine::history::Ends;
use tokio_postgres::types::Type;

use crate::errors::MISMATCH;
use crate::heads::seq_column;
use crate::live::is_image;
use crate::options::Names;
use crate::prepare::{EntryRow, Guard, LiveStep, Prepared, RowWrite};
use crate::sql::{Instant, Params, quoted};
use crate::statement::{Statement, clock_sql, follows_tip, guarded_objects_sql, guards, is_mended};

/// The texts that were written for a table.
pub(crate) type Texts = Mutex<HashMap<Shape, Arc<str>>>;

/// What the text of the statement depends on.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Shape {
    closes: bool,
    guards: bool,
    live: Write,
}

#[derive(Debug, PartialEq, Eq, Hash)]
enum Write {
    /// Live is neither looked at nor written.
    Nothing,
    /// It is looked at, and stays.
    Lock,
    /// Its columns, and which of them gets the text that history gets: that is sent once.
    Set(Vec<(usize, bool)>),
    Delete,
}

/// A batch of this kind.
struct Single<'p> {
    prepared: &'p Prepared,
    change: &'p Change,
    head: HeadRef,
    tip: TipRef,
    entry: &'p EntryRow,
    closed: Option<(i64, Ends)>,
    /// The step to live, and the image that live must be.
    live: Option<(&'p LiveStep, &'p str)>,
}

/// Builds the statement, if the batch is of this kind.
pub(crate) fn build(names: &Names, prepared: &Prepared, steps: &[(usize, LiveStep)]) -> Option<Statement> {
    let single = Single::of(prepared, steps)?;
    let shape = single.shape();
    let params = single.params(&shape);
    let Some((step, _)) = single.live else {
        return Some(Statement { sql: text(names, &shape, None).into(), params });
    };
    let mut texts = step.table.single.lock().unwrap_or_else(PoisonError::into_inner);
    let sql = match texts.get(&shape) {
        Some(sql) => Arc::clone(sql),
        None => {
            let sql: Arc<str> = text(names, &shape, Some(step)).into();
            texts.insert(shape, Arc::clone(&sql));
            sql
        }
    };
    Some(Statement { sql, params })
}

impl<'p> Single<'p> {
    fn of(prepared: &'p Prepared, steps: &'p [(usize, LiveStep)]) -> Option<Self> {
        let ([change], [of_change]) = (prepared.batch.changes(), prepared.changes.as_slice()) else { return None };
        let ExpectedHead::At { head, tip } = change.expected_head else { return None };
        let ([new], [entry]) = (change.entries.as_slice(), of_change.entries.as_slice()) else { return None };
        let follows = HeadRef { seq: new.header.seq, oid: new.header.oid, entry_id: new.entry_id };
        let special = is_mended(change) || !change.links.is_empty() || !change.overwrites.is_empty();
        if special || !prepared.batch.objects().is_empty() || change.new_head != Some(follows) {
            return None;
        }
        let closed = match change.closed.as_slice() {
            [] => None,
            [(seq, ends)] => Some((seq_column(*seq), *ends)),
            _ => return None,
        };
        let live = match steps {
            [] => None,
            [(_, step)] => match (&step.guard, &step.write) {
                (Guard::Is(image), RowWrite::None | RowWrite::Set(_) | RowWrite::Delete) => {
                    Some((step, image.as_str()))
                }
                _ => return None,
            },
            _ => return None,
        };
        Some(Single { prepared, change, head, tip, entry, closed, live })
    }

    fn shape(&self) -> Shape {
        let live = match self.live.map(|(step, _)| &step.write) {
            None => Write::Nothing,
            Some(RowWrite::Set(cells)) => {
                let as_in_history = |text: &Option<String>| text.is_some() && *text == self.entry.doc;
                Write::Set(cells.iter().map(|(at, cell)| (*at, as_in_history(cell))).collect())
            }
            Some(RowWrite::Delete) => Write::Delete,
            Some(RowWrite::None | RowWrite::Insert(_)) => Write::Lock,
        };
        Shape { closes: self.closed.is_some(), guards: !self.prepared.batch.guards().is_empty(), live }
    }

    /// The parameters, in the order in which [`text`] counts them.
    fn params(&self, shape: &Shape) -> Params {
        let mut params = Params::default();
        let (record, entry) = (&self.change.record, self.entry);
        let at = self.prepared.batch.recorded_at();
        for key in [record.env.as_str(), record.collection.as_str(), record.id.as_str()] {
            params.push(key.to_owned(), Type::TEXT);
        }
        params.push(seq_column(self.head.seq), Type::INT8);
        params.push(self.head.oid.map(|oid| oid.as_bytes().to_vec()), Type::BYTEA);
        params.push(self.head.entry_id.as_bytes().to_vec(), Type::BYTEA);
        params.push(seq_column(self.tip.seq), Type::INT8);
        params.push(self.tip.entry_id.as_bytes().to_vec(), Type::BYTEA);
        params.push(Instant(self.tip.recorded_at), Type::TIMESTAMPTZ);
        params.push(Instant(at), Type::TIMESTAMPTZ);
        params.push(follows_tip(self.prepared), Type::BOOL);
        params.push(entry.seq, Type::INT8);
        for instant in [entry.valid_from, entry.valid_to, entry.recorded_at, entry.superseded_at] {
            params.push(Instant(instant), Type::TIMESTAMPTZ);
        }
        params.push(entry.estimated, Type::BOOL);
        params.push(entry.op, Type::TEXT);
        params.push(entry.oid.clone(), Type::BYTEA);
        params.push(entry.entry_id.clone(), Type::BYTEA);
        params.push(entry.prev_entry_id.clone(), Type::BYTEA);
        params.push(entry.op_id.clone(), Type::TEXT);
        params.push(entry.author_id.clone(), Type::TEXT);
        params.push(entry.author_class, Type::TEXT);
        params.push(entry.message_hash.clone(), Type::BYTEA);
        for text in [&entry.base, &entry.meta, &entry.git_shas] {
            params.push(text.clone(), Type::TEXT);
        }
        params.push(entry.message.clone(), Type::TEXT);
        params.push(entry.doc_state, Type::TEXT);
        params.push(entry.doc_native.clone(), Type::TEXT);
        params.push(entry.doc.clone(), Type::TEXT);
        if let Some((seq, ends)) = self.closed {
            params.push(seq, Type::INT8);
            params.push(Instant(ends.valid_to), Type::TIMESTAMPTZ);
            params.push(Instant(ends.superseded_at), Type::TIMESTAMPTZ);
        }
        if shape.guards {
            let (kinds, names, versions) = guards(self.prepared);
            params.push(kinds, Type::TEXT_ARRAY);
            params.push(names, Type::TEXT_ARRAY);
            params.push(versions, Type::INT8_ARRAY);
        }
        if let Some((step, image)) = self.live {
            for id in &step.id {
                params.push(id.clone(), Type::TEXT);
            }
            params.push(image.to_owned(), Type::TEXT);
            if let (RowWrite::Set(cells), Write::Set(columns)) = (&step.write, &shape.live) {
                for (cell, (_, as_in_history)) in cells.values().zip(columns) {
                    if !as_in_history {
                        params.push(cell.clone(), Type::TEXT);
                    }
                }
            }
        }
        params
    }
}

/// Counts parameters as they are named.
struct Marks(usize);

impl Marks {
    fn next(&mut self, kind: &str) -> String {
        self.0 += 1;
        format!("${}::{kind}", self.0)
    }
}

/// Writes the text of the statement. It says 1 where all was done, and 0 where the head was not the one that
/// is expected. What is begun and does not come to its end fails. (The text that fails to be a number is not a
/// constant, which the planner would try beforehand.)
fn text(names: &Names, shape: &Shape, step: Option<&LiveStep>) -> String {
    let Names { records, heads, history, .. } = names;
    let marks = &mut Marks(0);
    let [env, collection, id] = [(); 3].map(|()| marks.next("text"));
    let (head_seq, head_oid, head_entry_id) = (marks.next("int8"), marks.next("bytea"), marks.next("bytea"));
    let (tip_seq, tip_entry_id) = (marks.next("int8"), marks.next("bytea"));
    let (tip_at, at, follows_tip) = (marks.next("timestamptz"), marks.next("timestamptz"), marks.next("bool"));
    const COLUMNS: [(&str, &str, &str); 21] = [
        ("seq", "int8", ""),
        ("valid_from", "timestamptz", ""),
        ("valid_to", "timestamptz", ""),
        ("recorded_at", "timestamptz", ""),
        ("superseded_at", "timestamptz", ""),
        ("valid_from_estimated", "bool", ""),
        ("op", "text", ""),
        ("oid", "bytea", ""),
        ("entry_id", "bytea", ""),
        ("prev_entry_id", "bytea", ""),
        ("op_id", "text", ""),
        ("author_id", "text", ""),
        ("author_class", "text", ""),
        ("message_hash", "bytea", ""),
        ("base", "text", "::json"),
        ("meta", "text", "::json"),
        ("git_shas", "text", "::text[]"),
        ("message", "text", ""),
        ("doc_state", "text", ""),
        ("doc_native", "text", "::json"),
        ("doc", "text", "::json"),
    ];
    let entry = COLUMNS.map(|(column, kind, cast)| (column, marks.next(kind), cast));
    let of_entry = |wanted: &str| {
        entry.iter().find(|(column, ..)| *column == wanted).map(|(_, mark, _)| mark.clone()).unwrap_or_default()
    };
    let closes = shape.closes.then(|| (marks.next("int8"), marks.next("timestamptz"), marks.next("timestamptz")));
    let mut conditions = vec![clock_sql(&at, &follows_tip)];
    if shape.guards {
        let (kinds, keys, versions) = (marks.next("text[]"), marks.next("text[]"), marks.next("int8[]"));
        conditions.push(guarded_objects_sql(names, &kinds, &keys, &versions));
    }
    let ids: Vec<String> = step.map_or(Vec::new(), |step| step.id.iter().map(|_| marks.next("text")).collect());
    let row = step.map(|step| {
        let table = &step.table;
        format!("{} AND {}", table.id_is("t.", &ids), table.rule.sql("t."))
    });
    if let (Some(step), Some(row)) = (step, &row) {
        conditions.push(format!("NOT EXISTS (SELECT 1 FROM {} t WHERE {row} OFFSET 1)", step.table.name));
    }
    let mut ctes = vec![format!(
        "pointed AS (UPDATE {heads} h SET head_seq = {seq}, head_oid = {oid}, head_entry_id = {entry_id}, \
         head_author_id = {author_id}, head_author_class = {author_class}, head_recorded_at = {recorded_at}, \
         tip_seq = {seq}, tip_entry_id = {entry_id}, tip_recorded_at = {recorded_at} FROM {records} r \
         WHERE r.env = {env} AND r.collection = {collection} AND r.id_key = {id} AND h.record_no = r.record_no \
         AND h.head_seq = {head_seq} AND h.head_oid IS NOT DISTINCT FROM {head_oid} \
         AND h.head_entry_id = {head_entry_id} AND h.tip_seq = {tip_seq} AND h.tip_entry_id = {tip_entry_id} \
         AND h.tip_recorded_at = {tip_at} AND h.tip_recorded_at < {at} AND {} RETURNING h.record_no)",
        conditions.join(" AND "),
        seq = of_entry("seq"),
        oid = of_entry("oid"),
        entry_id = of_entry("entry_id"),
        author_id = of_entry("author_id"),
        author_class = of_entry("author_class"),
        recorded_at = of_entry("recorded_at"),
    )];
    let mut last = "pointed";
    // An older interval ends before the new one begins: so the two never overlap, and the constraint is not
    // looked at a second time when the transaction ends.
    if let Some((seq, valid_to, superseded_at)) = closes {
        ctes.push(format!(
            "closed AS (UPDATE {history} h SET valid_to = {valid_to}, superseded_at = {superseded_at} FROM {last} b \
             WHERE h.record_no = b.record_no AND h.seq = {seq} RETURNING h.record_no)"
        ));
        last = "closed";
    }
    ctes.push(format!(
        "entered AS (INSERT INTO {history} (record_no, {}) SELECT b.record_no, {} FROM {last} b RETURNING 1)",
        entry.each_ref().map(|(column, ..)| *column).join(", "),
        entry.each_ref().map(|(_, mark, cast)| format!("{mark}{cast}")).join(", ")
    ));
    last = "entered";
    if let (Some(step), Some(row)) = (step, row) {
        let table = &step.table;
        let image = marks.next("text");
        let found = format!("{row} AND {} AND {}", is_image(table, "t.", &image), table.settings);
        let name = &table.name;
        ctes.push(match &shape.live {
            Write::Set(columns) => {
                let set = columns.iter().map(|(at, as_in_history)| {
                    let mark = if *as_in_history { of_entry("doc") } else { marks.next("text") };
                    let column = &table.columns[*at];
                    format!("{} = {}", quoted(&column.name), column.write_sql(&mark))
                });
                let set: Vec<String> = set.collect();
                format!("lived AS (UPDATE {name} t SET {} FROM {last} WHERE {found} RETURNING 1)", set.join(", "))
            }
            Write::Delete => format!("lived AS (DELETE FROM {name} t USING {last} WHERE {found} RETURNING 1)"),
            Write::Lock | Write::Nothing => {
                format!("lived AS MATERIALIZED (SELECT 1 FROM {last}, {name} t WHERE {found} FOR UPDATE OF t)")
            }
        });
        last = "lived";
    }
    format!(
        "WITH {} SELECT CASE WHEN NOT EXISTS (SELECT 1 FROM pointed) THEN 0 WHEN EXISTS (SELECT 1 FROM {last}) \
         THEN 1 ELSE ('{MISMATCH} ' || clock_timestamp())::int8 END",
        ctes.join(", ")
    )
}
