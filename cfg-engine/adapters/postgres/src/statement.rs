//! The one statement that writes a batch.
//!
//! It locks the heads and the live rows in the order of the records, and everything it writes hangs on one row,
//! `ok`, which is there only if as many rows were locked as are expected. A row that somebody else changed
//! meanwhile is looked at again as it is then, and not counted if it no longer fits. So either all of it
//! happens or nothing does, in one round trip and without a transaction around it.
//!
//! Its text depends on what kinds of changes there are and not on how many, so that it can stay prepared.

use std::collections::BTreeMap;
use std::sync::Arc;

use cfg_engine::adapter::{Change, ExpectedHead, ExpectedVersion, ObjectGuard};
use cfg_engine::history::{Ends, Timestamp};
use tokio_postgres::types::{ToSql, Type};

use crate::array;
use crate::column::Cell;
use crate::errors::MISMATCH;
use crate::heads::seq_column;
use crate::live::is_image;
use crate::options::Names;
use crate::prepare::{EntryRow, Guard, LiveStep, Prepared, RowWrite};
use crate::sql::{Instant, Params, quoted};
use crate::table::LiveTable;

/// How far a batch's time may lie behind or ahead of the store's clock.
pub(crate) const CLOCK_TOLERANCE: &str = "interval '2 seconds'";

/// A statement and its parameters.
pub(crate) struct Statement {
    pub(crate) sql: Arc<str>,
    pub(crate) params: Params,
}

/// The columns of a head behind the record's number.
const HEAD_COLUMNS: &str = "head_seq, head_oid, head_entry_id, head_author_id, head_author_class, head_recorded_at, \
                            tip_seq, tip_entry_id, tip_recorded_at";

/// The parts of a postcondition that did not hold, as the statement names them.
pub(crate) const LIVE_PART: &str = "live";

/// Builds the statement for a batch. `steps` belong to its changes, by place.
pub(crate) fn build(names: &Names, prepared: &Prepared, steps: &[(usize, LiveStep)]) -> Statement {
    let mut builder =
        Builder { names, params: Params::default(), ctes: Vec::new(), conditions: Vec::new(), counts: Vec::new() };
    builder.expected_heads(prepared);
    builder.expected_objects(prepared);
    builder.clock(prepared);
    let tables = by_table(steps);
    for (t, steps) in tables.iter().enumerate() {
        builder.expected_live(t, steps);
    }
    let conditions = if builder.conditions.is_empty() { "TRUE".to_owned() } else { builder.conditions.join(" AND ") };
    builder.ctes.push(format!("ok AS MATERIALIZED (SELECT 1 WHERE {conditions})"));
    builder.record_numbers(prepared);
    builder.entries(prepared);
    builder.heads(prepared);
    builder.mended(prepared);
    builder.objects(prepared);
    for (t, steps) in tables.iter().enumerate() {
        builder.live(t, steps);
    }
    builder.finish()
}

/// Builds the statement that does one step to live and nothing else, to find out which one is refused.
pub(crate) fn build_live_alone(names: &Names, step: &(usize, LiveStep)) -> Statement {
    let mut builder =
        Builder { names, params: Params::default(), ctes: Vec::new(), conditions: Vec::new(), counts: Vec::new() };
    builder.ctes.push("ok AS MATERIALIZED (SELECT 1)".to_owned());
    builder.live(0, &[step]);
    builder.finish()
}

fn by_table(steps: &[(usize, LiveStep)]) -> Vec<Vec<&(usize, LiveStep)>> {
    let mut tables: BTreeMap<&str, Vec<&(usize, LiveStep)>> = BTreeMap::new();
    for step in steps {
        tables.entry(step.1.table.name.as_str()).or_default().push(step);
    }
    tables.into_values().collect()
}

struct Builder<'b> {
    names: &'b Names,
    params: Params,
    ctes: Vec<String>,
    conditions: Vec<String>,
    /// What was written: the name of the part and the CTE, and how many rows it must be.
    counts: Vec<(&'static str, String, String)>,
}

/// Places as PostgreSQL's numbers.
fn place(at: usize) -> i64 {
    i64::try_from(at).unwrap_or(i64::MAX)
}

impl Builder<'_> {
    fn count(&mut self, n: usize) -> String {
        self.params.add(place(n), Type::INT8)
    }

    fn bytes(&mut self, values: Vec<Option<Vec<u8>>>) -> String {
        self.params.add(values, Type::BYTEA_ARRAY)
    }

    fn numbers<T: ToSql + Send + Sync + 'static>(&mut self, values: Vec<T>) -> String {
        self.params.add(values, Type::INT8_ARRAY)
    }

    fn instants<T: ToSql + Send + Sync + 'static>(&mut self, values: Vec<T>) -> String {
        self.params.add(values, Type::TIMESTAMPTZ_ARRAY)
    }

    /// The parameters of `rows` rows as a table. One row is spelled out: then there is nothing to scan and to
    /// join, which is most of the work of a single commit.
    fn table(arrays: &[String], rows: usize) -> String {
        if rows == 1 {
            let first: Vec<String> = arrays.iter().map(|array| format!("({array})[1]")).collect();
            return format!("(SELECT {})", first.join(", "));
        }
        format!("unnest({})", arrays.join(", "))
    }

    /// The keys of some changes.
    fn keys(&mut self, prepared: &Prepared, places: &[usize]) -> Vec<String> {
        let changes = prepared.batch.changes();
        let part = |of: fn(&cfg_engine::history::RecordKey) -> &str| {
            places.iter().map(|at| of(&changes[*at].record).to_owned()).collect::<Vec<_>>()
        };
        let numbers = self.numbers(places.iter().map(|at| place(*at)).collect());
        let envs = self.params.texts(part(|r| r.env.as_str()));
        let collections = self.params.texts(part(|r| r.collection.as_str()));
        let ids = self.params.texts(part(|r| r.id.as_str()));
        vec![numbers, envs, collections, ids]
    }

    /// Locks the heads that are expected, and makes sure that none is there where none is.
    fn expected_heads(&mut self, prepared: &Prepared) {
        let Names { records, heads, .. } = self.names;
        let changes = prepared.batch.changes();
        let at = |n: usize| match changes[n].expected_head {
            ExpectedHead::At { head, tip } => Some((head, tip)),
            _ => None,
        };
        let (known, others): (Vec<usize>, Vec<usize>) = (0..changes.len()).partition(|n| at(*n).is_some());
        let lost = |n: &usize| matches!(changes[*n].expected_head, ExpectedHead::Lost { .. });
        let (lost, new): (Vec<usize>, Vec<usize>) = others.into_iter().partition(lost);
        if !lost.is_empty() {
            // Under locks it was seen that there is none, or one that cannot be read.
            let arrays = self.keys(prepared, &lost);
            let count = self.count(lost.len());
            self.ctes.push(format!(
                "lost AS MATERIALIZED (SELECT c.n, r.record_no FROM {} c(n, env, collection, id_key) \
                 JOIN {records} r ON r.env = c.env AND r.collection = c.collection AND r.id_key = c.id_key)",
                Self::table(&arrays, lost.len())
            ));
            self.conditions.push(format!("(SELECT count(*) FROM lost) = {count}"));
        }
        if !known.is_empty() {
            let mut arrays = self.keys(prepared, &known);
            let expected: Vec<_> = known.iter().filter_map(|n| at(*n)).collect();
            arrays.push(self.numbers(expected.iter().map(|(head, _)| seq_column(head.seq)).collect()));
            arrays.push(
                self.bytes(expected.iter().map(|(head, _)| head.oid.map(|oid| oid.as_bytes().to_vec())).collect()),
            );
            arrays.push(self.bytes(expected.iter().map(|(head, _)| Some(head.entry_id.as_bytes().to_vec())).collect()));
            arrays.push(self.numbers(expected.iter().map(|(_, tip)| seq_column(tip.seq)).collect()));
            arrays.push(self.bytes(expected.iter().map(|(_, tip)| Some(tip.entry_id.as_bytes().to_vec())).collect()));
            arrays.push(self.instants(expected.iter().map(|(_, tip)| Instant(tip.recorded_at)).collect()));
            let at = self.params.instant(prepared.batch.recorded_at());
            let count = self.count(known.len());
            self.ctes.push(format!(
                "locked AS MATERIALIZED (SELECT c.n, h.record_no FROM {} \
                 c(n, env, collection, id_key, head_seq, head_oid, head_entry_id, tip_seq, tip_entry_id, tip_at) \
                 CROSS JOIN LATERAL (SELECT r.record_no FROM {records} r WHERE r.env = c.env \
                 AND r.collection = c.collection AND r.id_key = c.id_key OFFSET 0) r \
                 CROSS JOIN LATERAL (SELECT h.record_no FROM {heads} h WHERE h.record_no = r.record_no \
                 AND h.head_seq = c.head_seq AND h.head_oid IS NOT DISTINCT FROM c.head_oid \
                 AND h.head_entry_id = c.head_entry_id AND h.tip_seq = c.tip_seq AND h.tip_entry_id = c.tip_entry_id \
                 AND h.tip_recorded_at = c.tip_at AND h.tip_recorded_at < {at} FOR UPDATE OF h) h)",
                Self::table(&arrays, known.len())
            ));
            self.conditions.push(format!("(SELECT count(*) FROM locked) = {count}"));
        }
        if !new.is_empty() {
            let arrays = self.keys(prepared, &new);
            self.ctes.push(format!(
                "news AS MATERIALIZED (SELECT * FROM {} c(n, env, collection, id_key))",
                Self::table(&arrays, new.len())
            ));
            self.conditions.push(format!(
                "NOT EXISTS (SELECT 1 FROM news c JOIN {records} r ON r.env = c.env AND r.collection = c.collection \
                 AND r.id_key = c.id_key)"
            ));
        }
    }

    fn expected_objects(&mut self, prepared: &Prepared) {
        self.guarded_objects(prepared);
        let objects = &self.names.objects;
        let writes = prepared.batch.objects();
        if writes.is_empty() {
            return;
        }
        let kinds = self.params.texts(writes.iter().map(|w| w.key.kind.clone()).collect::<Vec<_>>());
        let names = self.params.texts(writes.iter().map(|w| w.key.name.clone()).collect::<Vec<_>>());
        let versions: Vec<Option<i64>> = writes
            .iter()
            .map(|w| match w.expected {
                ExpectedVersion::Absent => None,
                ExpectedVersion::At(version) => Some(i64::try_from(version).unwrap_or(i64::MAX)),
            })
            .collect();
        let count = self.count(versions.iter().flatten().count());
        let versions = self.numbers(versions);
        let bodies = self.params.texts(prepared.bodies.clone());
        self.ctes.push(format!(
            "objects AS MATERIALIZED (SELECT * FROM unnest({kinds}, {names}, {versions}, {bodies}) \
             o(kind, name, version, body)), \
             held AS MATERIALIZED (SELECT x.version FROM objects o JOIN {objects} x ON x.kind = o.kind AND x.name = o.name \
             WHERE x.version = o.version AND x.body IS NOT NULL ORDER BY o.kind, o.name FOR UPDATE OF x)"
        ));
        self.conditions.push(format!("(SELECT count(*) FROM held) = {count}"));
        self.conditions.push(format!(
            "NOT EXISTS (SELECT 1 FROM objects o JOIN {objects} x ON x.kind = o.kind AND x.name = o.name \
             WHERE o.version IS NULL AND x.body IS NOT NULL)"
        ));
    }

    fn guarded_objects(&mut self, prepared: &Prepared) {
        if !prepared.batch.guards().is_empty() {
            let (kinds, names, versions) = guards(prepared);
            let (kinds, names) = (self.params.texts(kinds), self.params.texts(names));
            let versions = self.numbers(versions);
            self.conditions.push(guarded_objects_sql(self.names, &kinds, &names, &versions));
        }
    }

    fn clock(&mut self, prepared: &Prepared) {
        let at = self.params.instant(prepared.batch.recorded_at());
        let follows_tip = self.params.add(follows_tip(prepared), Type::BOOL);
        self.conditions.push(clock_sql(&at, &follows_tip));
    }

    /// Locks the live rows that are expected, and makes sure that there are no others.
    fn expected_live(&mut self, t: usize, steps: &[&(usize, LiveStep)]) {
        let guarded: Vec<&&(usize, LiveStep)> = steps.iter().filter(|step| step.1.guard != Guard::None).collect();
        let Some(first) = guarded.first() else { return };
        let table = &first.1.table;
        let ids: Vec<&LiveStep> = guarded.iter().map(|step| &step.1).collect();
        let places = self.numbers(guarded.iter().map(|step| place(step.0)).collect());
        let mut arrays = vec![places];
        arrays.extend(self.ids(table, &ids));
        let images: Vec<Option<String>> = guarded
            .iter()
            .map(|step| match &step.1.guard {
                Guard::Is(image) => Some(image.clone()),
                _ => None,
            })
            .collect();
        let there = images.iter().flatten().count();
        arrays.push(self.params.texts(images));
        let count = self.count(there);
        let (names, parts) = id_names(table, "w.");
        // Row by row: a plan that compares whole tables would make a text of every document.
        let row = format!("FROM {} t WHERE {} AND {}", table.name, table.id_is("t.", &parts), table.rule.sql("t."));
        self.ctes.push(format!(
            "watched{t} AS MATERIALIZED (SELECT * FROM {} w(n, {names}, image))",
            Self::table(&arrays, guarded.len())
        ));
        self.conditions.push(format!(
            "(SELECT count(*) FROM watched{t} w CROSS JOIN LATERAL (SELECT 1 {row} OFFSET 0) l) = {count}"
        ));
        if there > 0 {
            self.ctes.push(format!(
                "live{t} AS MATERIALIZED (SELECT w.n FROM watched{t} w \
                 CROSS JOIN LATERAL (SELECT 1 {row} AND {} FOR UPDATE OF t) l WHERE w.image IS NOT NULL AND {})",
                is_image(table, "t.", "w.image"),
                table.settings
            ));
            self.conditions.push(format!("(SELECT count(*) FROM live{t}) = {count}"));
        }
    }

    /// The texts of ids, one array for each column of the id.
    fn ids(&mut self, table: &LiveTable, steps: &[&LiveStep]) -> Vec<String> {
        let column = |n: usize| steps.iter().map(|step| step.id[n].clone()).collect::<Vec<String>>();
        (0..table.id.len()).map(|n| self.params.texts(column(n))).collect()
    }

    /// Gives each change the number of its record; new records get one.
    fn record_numbers(&mut self, prepared: &Prepared) {
        let records = &self.names.records;
        let changes = prepared.batch.changes();
        let mut sources = Vec::new();
        if changes.iter().any(|c| matches!(c.expected_head, ExpectedHead::At { .. })) {
            sources.push("SELECT n, record_no FROM locked".to_owned());
        }
        if changes.iter().any(|c| matches!(c.expected_head, ExpectedHead::Lost { .. })) {
            sources.push("SELECT n, record_no FROM lost".to_owned());
        }
        let begun: Vec<usize> = (0..changes.len())
            .filter(|n| matches!(changes[*n].expected_head, ExpectedHead::Absent) && changes[*n].new_head.is_some())
            .collect();
        if !begun.is_empty() {
            let count = self.count(begun.len());
            let places = self.numbers(begun.iter().map(|at| place(*at)).collect());
            self.ctes.push(format!(
                "begun AS (INSERT INTO {records} (env, collection, id_key) SELECT c.env, c.collection, c.id_key \
                 FROM ok, news c WHERE c.n = ANY ({places}) ORDER BY c.n RETURNING record_no, env, collection, id_key)"
            ));
            sources.push(
                "SELECT c.n, b.record_no FROM begun b JOIN news c ON c.env = b.env AND c.collection = b.collection \
                 AND c.id_key = b.id_key"
                    .to_owned(),
            );
            self.counts.push(("records", "begun".to_owned(), count));
        }
        if !sources.is_empty() {
            self.ctes.push(format!("numbered AS ({})", sources.join(" UNION ALL ")));
        }
    }

    /// Writes entries. The intervals that end are ended first, which the order of the counts decides: so old
    /// and new never overlap, and the constraint is not looked at a second time when the transaction ends.
    fn entries(&mut self, prepared: &Prepared) {
        self.closed(prepared);
        let history = &self.names.history;
        let rows: Vec<(usize, &EntryRow)> = prepared
            .changes
            .iter()
            .enumerate()
            .flat_map(|(at, change)| change.entries.iter().map(move |entry| (at, entry)))
            .collect();
        if !rows.is_empty() {
            let texts = |of: fn(&EntryRow) -> Option<String>| rows.iter().map(|(_, e)| of(e)).collect::<Vec<_>>();
            let times = |of: fn(&EntryRow) -> Timestamp| rows.iter().map(|(_, e)| Instant(of(e))).collect::<Vec<_>>();
            let hashes = |of: fn(&EntryRow) -> Option<Vec<u8>>| rows.iter().map(|(_, e)| of(e)).collect::<Vec<_>>();
            let arrays = [
                self.numbers(rows.iter().map(|(at, _)| place(*at)).collect()),
                self.numbers(rows.iter().map(|(_, e)| e.seq).collect()),
                self.instants(times(|e| e.valid_from)),
                self.instants(times(|e| e.valid_to)),
                self.instants(times(|e| e.recorded_at)),
                self.instants(times(|e| e.superseded_at)),
                self.params.add(rows.iter().map(|(_, e)| e.estimated).collect::<Vec<_>>(), Type::BOOL_ARRAY),
                self.params.texts(texts(|e| Some(e.op.to_owned()))),
                self.bytes(hashes(|e| e.oid.clone())),
                self.bytes(hashes(|e| Some(e.entry_id.clone()))),
                self.bytes(hashes(|e| e.prev_entry_id.clone())),
                self.params.texts(texts(|e| Some(e.op_id.clone()))),
                self.params.texts(texts(|e| Some(e.author_id.clone()))),
                self.params.texts(texts(|e| Some(e.author_class.to_owned()))),
                self.bytes(hashes(|e| Some(e.message_hash.clone()))),
                self.params.texts(texts(|e| e.base.clone())),
                self.params.texts(texts(|e| e.meta.clone())),
                self.params.texts(texts(|e| e.git_shas.clone())),
                self.params.texts(texts(|e| Some(e.message.clone()))),
                self.params.texts(texts(|e| Some(e.doc_state.to_owned()))),
                self.params.texts(texts(|e| e.doc_native.clone())),
                self.params.texts(texts(|e| e.doc.clone())),
            ];
            const COLUMNS: &str = "seq, valid_from, valid_to, recorded_at, superseded_at, valid_from_estimated, op, oid, \
                                   entry_id, prev_entry_id, op_id, author_id, author_class, message_hash, base, meta, \
                                   git_shas, message, doc_state, doc_native, doc";
            let count = self.count(rows.len());
            self.ctes.push(format!(
                "entered AS (INSERT INTO {history} (record_no, {COLUMNS}) SELECT m.record_no, e.seq, e.valid_from, \
                 e.valid_to, e.recorded_at, e.superseded_at, e.valid_from_estimated, e.op, e.oid, e.entry_id, \
                 e.prev_entry_id, e.op_id, e.author_id, e.author_class, e.message_hash, e.base::json, e.meta::json, \
                 e.git_shas::text[], e.message, e.doc_state, e.doc_native::json, e.doc::json \
                 FROM ok, {} e(n, {COLUMNS}) JOIN numbered m ON m.n = e.n RETURNING 1)",
                Self::table(&arrays, rows.len())
            ));
            self.counts.push(("entries", "entered".to_owned(), count));
        }
    }

    /// Changes entries that are there: the ends of intervals, and git shas that are added.
    fn closed(&mut self, prepared: &Prepared) {
        let mut changed: BTreeMap<(usize, i64), (Option<Ends>, Option<String>)> = BTreeMap::new();
        for (at, change) in prepared.batch.changes().iter().enumerate() {
            for (seq, ends) in &change.closed {
                changed.entry((at, seq_column(*seq))).or_default().0 = Some(*ends);
            }
            for (seq, shas) in &change.links {
                let shas: Vec<Option<&str>> = shas.iter().map(|sha| Some(sha.as_str())).collect();
                changed.entry((at, seq_column(*seq))).or_default().1 = Some(array::text(&shas));
            }
        }
        if changed.is_empty() {
            return;
        }
        let end = |of: fn(&Ends) -> Timestamp| {
            changed.values().map(|(ends, _)| ends.as_ref().map(|e| Instant(of(e)))).collect::<Vec<_>>()
        };
        let (valid, superseded) = (end(|ends| ends.valid_to), end(|ends| ends.superseded_at));
        let mut arrays = vec![
            self.numbers(changed.keys().map(|(at, _)| place(*at)).collect()),
            self.numbers(changed.keys().map(|(_, seq)| *seq).collect()),
            self.instants(valid),
            self.instants(superseded),
        ];
        let mut names = "n, seq, valid_to, superseded_at".to_owned();
        let mut set = "valid_to = COALESCE(x.valid_to, h.valid_to), \
                       superseded_at = COALESCE(x.superseded_at, h.superseded_at)"
            .to_owned();
        if changed.values().any(|(_, shas)| shas.is_some()) {
            arrays.push(self.params.texts(changed.values().map(|(_, shas)| shas.clone()).collect::<Vec<_>>()));
            names.push_str(", shas");
            set.push_str(
                ", git_shas = CASE WHEN x.shas IS NULL THEN h.git_shas ELSE COALESCE(h.git_shas, '{}') || \
                 ARRAY(SELECT g.sha FROM unnest(x.shas::text[]) WITH ORDINALITY g(sha, place) \
                 WHERE g.sha <> ALL (COALESCE(h.git_shas, '{}')) ORDER BY g.place) END",
            );
        }
        let count = self.count(changed.len());
        self.ctes.push(format!(
            "closing AS MATERIALIZED (SELECT m.record_no, x.* FROM {} x({names}) JOIN numbered m ON m.n = x.n), \
             closed AS (UPDATE {} h SET {set} FROM ok, closing x \
             WHERE h.record_no = x.record_no AND h.seq = x.seq RETURNING 1)",
            Self::table(&arrays, changed.len()),
            self.names.history,
        ));
        self.counts.push(("older entries", "closed".to_owned(), count));
    }

    /// Sets HEAD and tip. Where HEAD stays, so does who wrote it.
    fn heads(&mut self, prepared: &Prepared) {
        let Names { heads, history, .. } = self.names;
        let changes = prepared.batch.changes();
        let moved = |n: usize| {
            let change = &changes[n];
            match change.expected_head {
                _ if is_mended(change) => false,
                ExpectedHead::At { head, .. } => !change.entries.is_empty() || change.new_head != Some(head),
                _ => change.new_head.is_some(),
            }
        };
        let (begun, known): (Vec<usize>, Vec<usize>) = (0..changes.len())
            .filter(|n| moved(*n))
            .partition(|n| matches!(changes[*n].expected_head, ExpectedHead::Absent));
        if !begun.is_empty() {
            let arrays = self.head_arrays(prepared, &begun);
            let count = self.count(begun.len());
            self.ctes.push(format!(
                "headed AS (INSERT INTO {heads} (record_no, {HEAD_COLUMNS}) SELECT m.record_no, c.head_seq, c.head_oid, \
                 c.head_entry_id, c.head_author_id, c.head_author_class, c.head_recorded_at, c.tip_seq, c.tip_entry_id, \
                 c.tip_recorded_at FROM ok, {} c(n, {HEAD_COLUMNS}) JOIN numbered m ON m.n = c.n RETURNING 1)",
                Self::table(&arrays, begun.len())
            ));
            self.counts.push(("heads", "headed".to_owned(), count));
        }
        if !known.is_empty() {
            let arrays = self.head_arrays(prepared, &known);
            let count = self.count(known.len());
            let kept = |column: &str, source: &str| {
                format!(
                    "{column} = COALESCE(c.{column}, CASE WHEN h.head_entry_id = c.head_entry_id THEN h.{column} END, \
                     (SELECT x.{source} FROM {history} x WHERE x.record_no = h.record_no AND x.seq = c.head_seq))"
                )
            };
            let (author, class, recorded) = (
                kept("head_author_id", "author_id"),
                kept("head_author_class", "author_class"),
                kept("head_recorded_at", "recorded_at"),
            );
            self.ctes.push(format!(
                "pointed AS (UPDATE {heads} h SET head_seq = c.head_seq, head_oid = c.head_oid, \
                 head_entry_id = c.head_entry_id, {author}, {class}, {recorded}, tip_seq = c.tip_seq, \
                 tip_entry_id = c.tip_entry_id, tip_recorded_at = c.tip_recorded_at \
                 FROM ok, {} c(n, {HEAD_COLUMNS}) JOIN numbered m ON m.n = c.n \
                 WHERE h.record_no = m.record_no RETURNING 1)",
                Self::table(&arrays, known.len())
            ));
            self.counts.push(("heads", "pointed".to_owned(), count));
        }
    }

    /// Writes heads anew from what their entries say.
    fn mended(&mut self, prepared: &Prepared) {
        let Names { heads, history, .. } = self.names;
        let changes = prepared.batch.changes();
        let mended: Vec<usize> =
            (0..changes.len()).filter(|n| is_mended(&changes[*n]) && changes[*n].new_head.is_some()).collect();
        if mended.is_empty() {
            return;
        }
        let arrays = self.head_arrays(prepared, &mended);
        let count = self.count(mended.len());
        let set = HEAD_COLUMNS.split(", ").map(|column| format!("{column} = excluded.{column}"));
        self.ctes.push(format!(
            "mended AS (INSERT INTO {heads} (record_no, {HEAD_COLUMNS}) SELECT m.record_no, c.head_seq, c.head_oid, \
             c.head_entry_id, x.author_id, x.author_class, x.recorded_at, c.tip_seq, c.tip_entry_id, c.tip_recorded_at \
             FROM ok, {} c(n, {HEAD_COLUMNS}) JOIN numbered m ON m.n = c.n \
             JOIN {history} x ON x.record_no = m.record_no AND x.seq = c.head_seq \
             ON CONFLICT (record_no) DO UPDATE SET {} RETURNING 1)",
            Self::table(&arrays, mended.len()),
            set.collect::<Vec<_>>().join(", ")
        ));
        self.counts.push(("heads", "mended".to_owned(), count));
    }

    fn head_arrays(&mut self, prepared: &Prepared, places: &[usize]) -> Vec<String> {
        let changes = prepared.batch.changes();
        let rows: Vec<_> = places
            .iter()
            .map(|at| {
                let change = &changes[*at];
                let old = match change.expected_head {
                    ExpectedHead::At { head, tip } => Some((head, tip)),
                    _ => None,
                };
                let head = change.new_head.or(old.map(|(head, _)| head));
                let tip = change.new_tip().or(old.map(|(_, tip)| tip));
                let entry = change.entries.iter().find(|entry| Some(entry.header.seq) == head.map(|head| head.seq));
                (head, tip, entry)
            })
            .collect();
        vec![
            self.numbers(places.iter().map(|at| place(*at)).collect()),
            self.numbers(rows.iter().map(|(head, ..)| head.map(|head| seq_column(head.seq))).collect()),
            self.bytes(
                rows.iter()
                    .map(|(head, ..)| head.and_then(|head| head.oid).map(|oid| oid.as_bytes().to_vec()))
                    .collect(),
            ),
            self.bytes(rows.iter().map(|(head, ..)| head.map(|head| head.entry_id.as_bytes().to_vec())).collect()),
            self.params.texts(rows.iter().map(|(.., e)| e.map(|e| e.header.author.id.clone())).collect::<Vec<_>>()),
            self.params.texts(rows.iter().map(|(.., e)| e.map(|e| e.header.author.class.as_str())).collect::<Vec<_>>()),
            self.instants(rows.iter().map(|(.., e)| e.map(|e| Instant(e.header.recorded_at))).collect()),
            self.numbers(rows.iter().map(|(_, tip, _)| tip.map(|tip| seq_column(tip.seq))).collect()),
            self.bytes(rows.iter().map(|(_, tip, _)| tip.map(|tip| tip.entry_id.as_bytes().to_vec())).collect()),
            self.instants(rows.iter().map(|(_, tip, _)| tip.map(|tip| Instant(tip.recorded_at))).collect()),
        ]
    }

    fn objects(&mut self, prepared: &Prepared) {
        if prepared.batch.objects().is_empty() {
            return;
        }
        let objects = &self.names.objects;
        let op_id = self.params.text(prepared.batch.op_id().as_str());
        let at = self.params.instant(prepared.batch.recorded_at());
        let count = self.count(prepared.batch.objects().len());
        self.ctes.push(format!(
            "made AS (INSERT INTO {objects} AS x (kind, name, version, op_id, recorded_at, body) \
             SELECT o.kind, o.name, 1, {op_id}, {at}, o.body::json FROM ok, objects o \
             WHERE o.version IS NULL AND o.body IS NOT NULL ON CONFLICT (kind, name) DO UPDATE \
             SET version = x.version + 1, op_id = excluded.op_id, recorded_at = excluded.recorded_at, \
             body = excluded.body WHERE x.body IS NULL RETURNING 1), \
             remade AS (UPDATE {objects} x SET version = x.version + 1, op_id = {op_id}, recorded_at = {at}, \
             body = o.body::json FROM ok, objects o WHERE x.kind = o.kind AND x.name = o.name \
             AND o.version IS NOT NULL RETURNING 1), \
             nothing AS (SELECT 1 FROM ok, objects o WHERE o.version IS NULL AND o.body IS NULL), \
             written AS (SELECT 1 FROM made UNION ALL SELECT 1 FROM remade UNION ALL SELECT 1 FROM nothing)"
        ));
        self.counts.push(("objects", "written".to_owned(), count));
    }

    /// Writes live rows: one statement for each set of columns, so that nothing else is touched.
    fn live(&mut self, t: usize, steps: &[&(usize, LiveStep)]) {
        let mut sets: BTreeMap<Vec<usize>, Vec<&LiveStep>> = BTreeMap::new();
        let mut inserts: BTreeMap<Vec<usize>, Vec<&LiveStep>> = BTreeMap::new();
        let mut deletes: Vec<&LiveStep> = Vec::new();
        for (_, step) in steps {
            match &step.write {
                RowWrite::None => {}
                RowWrite::Set(cells) => sets.entry(cells.keys().copied().collect()).or_default().push(step),
                RowWrite::Insert(cells) => inserts.entry(cells.keys().copied().collect()).or_default().push(step),
                RowWrite::Delete => deletes.push(step),
            }
        }
        for (g, (columns, steps)) in sets.into_iter().enumerate() {
            self.update(&format!("set{t}_{g}"), &columns, &steps);
        }
        for (g, (columns, steps)) in inserts.into_iter().enumerate() {
            self.insert(&format!("seeded{t}_{g}"), &columns, &steps);
        }
        self.delete(&format!("deleted{t}"), &deletes);
    }

    fn cells(&mut self, columns: &[usize], steps: &[&LiveStep]) -> Vec<String> {
        let column = |at: &usize| -> Vec<Cell> {
            let cell = |step: &&LiveStep| match &step.write {
                RowWrite::Set(cells) | RowWrite::Insert(cells) => cells.get(at).cloned().flatten(),
                _ => None,
            };
            steps.iter().map(cell).collect()
        };
        columns.iter().map(|at| self.params.texts(column(at))).collect()
    }

    fn update(&mut self, name: &str, columns: &[usize], steps: &[&LiveStep]) {
        let Some(first) = steps.first() else { return };
        let table = &first.table;
        let mut arrays = self.ids(table, steps);
        arrays.extend(self.cells(columns, steps));
        let (ids, parts) = id_names(table, "u.");
        let values: Vec<String> = (0..columns.len()).map(|n| format!("v{n}")).collect();
        let set = |(n, at): (usize, &usize)| {
            let column = &table.columns[*at];
            format!("{} = {}", quoted(&column.name), column.write_sql(&format!("u.v{n}")))
        };
        let sets: Vec<String> = columns.iter().enumerate().map(set).collect();
        let count = self.count(steps.len());
        self.ctes.push(format!(
            "{name} AS (UPDATE {} t SET {} FROM ok, {} u({ids}, {}) WHERE {} AND {} RETURNING 1)",
            table.name,
            sets.join(", "),
            Self::table(&arrays, steps.len()),
            values.join(", "),
            table.id_is("t.", &parts),
            table.rule.sql("t.")
        ));
        self.counts.push((LIVE_PART, name.to_owned(), count));
    }

    fn insert(&mut self, name: &str, columns: &[usize], steps: &[&LiveStep]) {
        let Some(first) = steps.first() else { return };
        let table = &first.table;
        let arrays = self.cells(columns, steps);
        let values: Vec<String> = (0..columns.len()).map(|n| format!("v{n}")).collect();
        let names: Vec<String> = columns.iter().map(|at| quoted(&table.columns[*at].name)).collect();
        let cast = |(n, at): (usize, &usize)| table.columns[*at].write_sql(&format!("u.v{n}"));
        let casts: Vec<String> = columns.iter().enumerate().map(cast).collect();
        let count = self.count(steps.len());
        self.ctes.push(format!(
            "{name} AS (INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM ok, unnest({}) WITH ORDINALITY \
             u({}, n) ORDER BY u.n RETURNING 1)",
            table.name,
            names.join(", "),
            casts.join(", "),
            arrays.join(", "),
            values.join(", ")
        ));
        self.counts.push((LIVE_PART, name.to_owned(), count));
    }

    fn delete(&mut self, name: &str, steps: &[&LiveStep]) {
        let Some(first) = steps.first() else { return };
        let table = &first.table;
        let arrays = self.ids(table, steps);
        let (ids, parts) = id_names(table, "u.");
        let count = self.count(steps.len());
        self.ctes.push(format!(
            "{name} AS (DELETE FROM {} t USING ok, {} u({ids}) WHERE {} AND {} RETURNING 1)",
            table.name,
            Self::table(&arrays, steps.len()),
            table.id_is("t.", &parts),
            table.rule.sql("t.")
        ));
        self.counts.push((LIVE_PART, name.to_owned(), count));
    }

    /// Asks whether it was done. What was written must be as many rows as were to be: else the statement
    /// fails, and with it everything. (The text that fails to be a number is not a constant, which the
    /// planner would try beforehand.)
    fn finish(self) -> Statement {
        let mut checks = String::new();
        for (part, cte, count) in &self.counts {
            checks.push_str(&format!(
                " WHEN (SELECT count(*) FROM {cte}) <> {count} THEN ('{MISMATCH} {part} ' || clock_timestamp())::int8"
            ));
        }
        let done = "(SELECT count(*) FROM ok)";
        let sql =
            format!("WITH {} SELECT {done}, CASE WHEN {done} = 0 THEN 0{checks} ELSE 1 END", self.ctes.join(", "));
        Statement { sql: sql.into(), params: self.params }
    }
}

/// The objects that are compared and not written: kinds, names, and versions (none where there must be none).
pub(crate) fn guards(prepared: &Prepared) -> (Vec<String>, Vec<String>, Vec<Option<i64>>) {
    let guards = prepared.batch.guards();
    let version = |guard: &ObjectGuard| match guard.expected {
        ExpectedVersion::Absent => None,
        ExpectedVersion::At(version) => Some(i64::try_from(version).unwrap_or(i64::MAX)),
    };
    (
        guards.iter().map(|guard| guard.key.kind.clone()).collect(),
        guards.iter().map(|guard| guard.key.name.clone()).collect(),
        guards.iter().map(version).collect(),
    )
}

/// SQL that compares them: in the statement's own snapshot, without a lock.
pub(crate) fn guarded_objects_sql(names: &Names, kinds: &str, keys: &str, versions: &str) -> String {
    format!(
        "NOT EXISTS (SELECT 1 FROM unnest({kinds}, {keys}, {versions}) g(kind, name, version) LEFT JOIN {} x \
         ON x.kind = g.kind AND x.name = g.name AND x.body IS NOT NULL \
         WHERE x.version IS DISTINCT FROM g.version)",
        names.objects
    )
}

/// SQL that compares the batch's time with the store's clock: at most 2 s behind it, and at most 2 s ahead of
/// it unless the time follows a tip.
pub(crate) fn clock_sql(at: &str, follows_tip: &str) -> String {
    let now = "date_trunc('milliseconds', clock_timestamp())";
    format!("{at} >= {now} - {CLOCK_TOLERANCE} AND ({follows_tip} OR {at} <= {now} + {CLOCK_TOLERANCE})")
}

/// Whether the batch's time is exactly a tip plus 1 ms: the store's clock stepped back.
pub(crate) fn follows_tip(prepared: &Prepared) -> bool {
    newest_tip(prepared).map(|tip| tip.plus_millis(1)) == Some(prepared.batch.recorded_at())
}

/// Whether a repair writes the head from what the entries say.
pub(crate) fn is_mended(change: &Change) -> bool {
    change.mended_tip.is_some() || matches!(change.expected_head, ExpectedHead::Lost { .. })
}

/// The newest tip that a batch expects.
pub(crate) fn newest_tip(prepared: &Prepared) -> Option<Timestamp> {
    let tips = prepared.batch.changes().iter().filter_map(|change| match change.expected_head {
        ExpectedHead::At { tip, .. } => Some(tip.recorded_at),
        _ => None,
    });
    tips.max()
}

/// The names of the columns of ids in an `unnest`, bare and with a prefix.
pub(crate) fn id_names(table: &LiveTable, prefix: &str) -> (String, Vec<String>) {
    let names: Vec<String> = (0..table.id.len()).map(|n| format!("i{n}")).collect();
    let parts = names.iter().map(|name| format!("{prefix}{name}")).collect();
    (names.join(", "), parts)
}
