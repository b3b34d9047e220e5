//! The live row of one change: the guard, then the write.

use std::collections::BTreeMap;
use std::sync::Arc;

use cfg_engine::Value;
use cfg_engine::adapter::{AdapterError, ExpectedLive, LiveWrite};
use cfg_engine::document::{FieldPath, FieldPolicy, PathChange, Treatment, oid};
use cfg_engine::history::RecordKey;
use cfg_engine::planted;
use rusqlite::params_from_iter;
use rusqlite::types::{Value as Cell, ValueRef};

use crate::cell::{Column, Default, Writer, borrowed};
use crate::connection::{Catalog, Conn};
use crate::errors::{OrAdapterError, damaged, refused};
use crate::live::{self, Image, Native};
use crate::prepare::PreparedChange;
use crate::returning::Returning;
use crate::sql::quoted;
use crate::table::LiveTable;
use crate::{doc_shape, row_shape};

/// Checks what a change expects of live and writes what it does to it.
pub(crate) fn write(
    conn: &Conn,
    catalog: &Arc<Catalog>,
    change: &PreparedChange,
    before: Option<&Returning>,
) -> Result<(), AdapterError> {
    let leave = matches!(change.live, LiveWrite::Leave);
    if leave && matches!(change.expected_live, ExpectedLive::Unchecked) {
        return Ok(());
    }
    let table = catalog.table(&change.record.collection)?;
    let writing = Writing { conn, table, record: &change.record };
    let rows = writing.live_rows()?;
    if !planted!("live-guard-dropped") {
        writing.check(&change.expected_live, &change.live, &rows)?;
    }
    match &change.live {
        LiveWrite::Leave => Ok(()),
        LiveWrite::Update(changes) => writing.update(writing.only(rows)?, changes, &change.expected_live),
        LiveWrite::Delete => {
            let row = writing.only(rows)?;
            let params = writing.locator_params(&row);
            writing.check_nothing_lost(&params)?;
            writing.run_one(&table.sql.delete, params)
        }
        LiveWrite::Seed(doc) => {
            if !rows.is_empty() {
                return Err(writing.live_rule());
            }
            writing.seed(doc, before)?;
            writing.verify_seeded(change)
        }
        LiveWrite::Activate { retire, doc } => {
            crate::activate::activate(&writing, rows, retire, doc, before)?;
            writing.verify_one()?;
            writing.verify_seeded(change)
        }
        _ => Err(damaged(format!("the batch for {}: a live write this adapter does not know", change.record))),
    }
}

/// One live row: what finds it again, and what it holds.
pub(crate) struct Found {
    pub(crate) locator: Vec<Cell>,
    pub(crate) native: Result<Native, String>,
}

pub(crate) struct Writing<'c> {
    pub(crate) conn: &'c Conn,
    pub(crate) table: &'c Arc<LiveTable>,
    pub(crate) record: &'c RecordKey,
}

impl Writing<'_> {
    fn stale(&self) -> AdapterError {
        AdapterError::StaleLive { record: self.record.clone() }
    }

    pub(crate) fn live_rule(&self) -> AdapterError {
        AdapterError::LiveRule { record: self.record.clone() }
    }

    /// Reads the rows that satisfy the live rule for this record's id.
    pub(crate) fn live_rows(&self) -> Result<Vec<Found>, AdapterError> {
        let table = self.table;
        let Some(cells) = table.id_cells(&self.record.id) else { return Ok(Vec::new()) };
        let mut statement = self.conn.statement(&table.sql.one)?;
        let mut rows = statement.query(params_from_iter(cells.iter().chain(table.rule.params()))).sql()?;
        let mut found = Vec::new();
        while let Some(row) = rows.next().sql()? {
            // SQLite compares as the column's affinity says; ids are compared exactly.
            if table.id_of(row, 1).as_ref() != Some(&self.record.id) {
                continue;
            }
            let locator = match table.rowid {
                Some(_) => vec![row.get(0).sql()?],
                None => (0..table.id.len()).map(|n| row.get(1 + n)).collect::<Result<_, _>>().sql()?,
            };
            let (native, _) = live::native(table, row, 1 + table.id.len());
            found.push(Found { locator, native });
        }
        Ok(found)
    }

    fn only(&self, mut rows: Vec<Found>) -> Result<Found, AdapterError> {
        match (rows.pop(), rows.len()) {
            (Some(row), 0) => Ok(row),
            (Some(_), others) => Err(self.ambiguous(others + 1)),
            (None, _) => Err(self.stale()),
        }
    }

    pub(crate) fn ambiguous(&self, rows: usize) -> AdapterError {
        AdapterError::Ambiguous { record: self.record.clone(), rows: rows as u64 }
    }

    fn check(&self, expected: &ExpectedLive, write: &LiveWrite, rows: &[Found]) -> Result<(), AdapterError> {
        match expected {
            ExpectedLive::Unchecked => Ok(()),
            _ if rows.len() > 1 => Err(self.ambiguous(rows.len())),
            ExpectedLive::Absent => {
                if rows.is_empty() {
                    Ok(())
                } else {
                    Err(self.stale())
                }
            }
            ExpectedLive::At(image) => {
                let image = image
                    .get::<Image>()
                    .ok_or_else(|| damaged(format!("an image of another store for {}", self.record)))?;
                let there = rows.first().and_then(|row| row.native.as_ref().ok()).ok_or_else(|| self.stale())?;
                let changes: &[PathChange] = match write {
                    LiveWrite::Update(changes) => changes,
                    _ => &[],
                };
                if self.unmoved(image, there, changes) { Ok(()) } else { Err(self.stale()) }
            }
        }
    }

    /// Whether the versioned part is that of the image, and the values to be written over are exactly
    /// those of the image.
    fn unmoved(&self, image: &Image, there: &Native, changes: &[PathChange]) -> bool {
        // The same text or cells, read as the same columns.
        if image.native == *there && (Arc::ptr_eq(&image.table, self.table) || self.table.doc.is_some()) {
            return true;
        }
        let there = Image { table: Arc::clone(self.table), native: there.clone() };
        let (Ok(seen), Ok(there)) = (image.value(), there.value()) else { return false };
        let policy: &FieldPolicy = &self.table.config.policy;
        let same_versioned = matches!((oid(&seen, policy), oid(&there, policy)), (Ok(a), Ok(b)) if a == b);
        same_versioned && changes.iter().all(|change| change.path.get(&seen) == change.path.get(&there))
    }

    /// Makes the changes in what the row holds now.
    fn update(&self, row: Found, changes: &[PathChange], expected: &ExpectedLive) -> Result<(), AdapterError> {
        let native = row.native.as_ref().map_err(|_| self.stale())?;
        let written: BTreeMap<usize, Cell> = match (native, self.table.doc) {
            (Native::Doc(text), Some(at)) => {
                let edited = doc_shape::edit(text, changes).map_err(|_| self.misapplied(native, expected))?;
                if *edited == **text { BTreeMap::new() } else { BTreeMap::from([(at, Cell::Text(edited))]) }
            }
            (Native::Row(cells), _) => {
                row_shape::edit(self.table, cells, changes).map_err(|misfit| misfit.of(self.record))?
            }
            (Native::Doc(_), None) => return Err(self.stale()),
        };
        if written.is_empty() {
            return Ok(());
        }
        let rule_may_move = written.keys().any(|at| self.table.decides_liveness(*at));
        let column = |(n, at): (usize, &usize)| format!("{} = ?{}", quoted(&self.table.columns[*at].name), n + 1);
        let set: Vec<String> = written.keys().enumerate().map(column).collect();
        let sql = format!(
            "UPDATE {} SET {} WHERE {}",
            quoted(&self.table.config.table),
            set.join(", "),
            self.table.locator(written.len() + 1)
        );
        let params = written.into_values().chain(self.locator_params(&row)).collect();
        self.run_one(&sql, params)?;
        if rule_may_move { self.verify_one() } else { Ok(()) }
    }

    /// Changes that do not apply: to a document that moved meanwhile, or at all?
    fn misapplied(&self, there: &Native, expected: &ExpectedLive) -> AdapterError {
        let seen = match expected {
            ExpectedLive::At(image) => image.get::<Image>().map(|image| &image.native),
            _ => None,
        };
        if seen.is_some_and(|seen| seen != there) {
            return self.stale();
        }
        damaged(format!("the batch for {}: its changes do not apply to the live document", self.record))
    }

    pub(crate) fn locator_params(&self, row: &Found) -> Vec<Cell> {
        let rule: &[Cell] = if self.table.rowid.is_some() { &[] } else { self.table.rule.params() };
        row.locator.iter().chain(rule).cloned().collect()
    }

    /// Refuses to delete a row that holds, beside its document, what history could not bring back.
    /// A column that fills itself anew each time is no such thing.
    fn check_nothing_lost(&self, params: &[Cell]) -> Result<(), AdapterError> {
        let table = self.table;
        let others: Vec<&Column> = match table.doc {
            None => return Ok(()),
            Some(doc) => {
                let other = |at: &usize| *at != doc && !table.decides_liveness(*at);
                (0..table.columns.len()).filter(other).map(|at| &table.columns[at]).collect()
            }
        };
        let others: Vec<&Column> = others.into_iter().filter(|column| column.writer == Writer::Anyone).collect();
        if others.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = others.iter().map(|column| quoted(&column.name)).collect();
        let sql =
            format!("SELECT {} FROM {} WHERE {}", names.join(", "), quoted(&table.config.table), table.locator(1));
        let mut statement = self.conn.statement(&sql)?;
        let mut rows = statement.query(params_from_iter(params)).sql()?;
        let Some(row) = rows.next().sql()? else { return Ok(()) };
        let mut lost: Vec<&str> = Vec::new();
        for (n, column) in others.iter().enumerate() {
            let cell = row.get_ref(n).sql()?;
            let kept = cell == ValueRef::Null
                || match &column.default {
                    Default::None => false,
                    Default::Constant(constant) => borrowed(constant) == cell,
                    Default::Varies => true,
                };
            if !kept {
                lost.push(&column.name);
            }
        }
        if lost.is_empty() {
            return Ok(());
        }
        Err(AdapterError::Refused {
            record: self.record.clone(),
            reason: format!(
                "its row also holds {}, which history does not keep; delete the row with your own tools, then run: cfg adopt {}",
                lost.join(", "),
                self.record.id
            ),
        })
    }

    /// Runs a statement that must write exactly one row.
    pub(crate) fn run_one(&self, sql: &str, params: Vec<Cell>) -> Result<(), AdapterError> {
        let written = self.conn.statement(sql)?.execute(params_from_iter(params));
        match written {
            Ok(1) => Ok(()),
            Ok(_) => Err(AdapterError::Refused {
                record: self.record.clone(),
                reason: "a trigger of the table ignored the write".to_owned(),
            }),
            Err(error) => Err(refused(self.record, &error)),
        }
    }

    pub(crate) fn seed(&self, doc: &Value, before: Option<&Returning>) -> Result<(), AdapterError> {
        let table = self.table;
        let mut row: BTreeMap<usize, Cell> = match table.doc {
            Some(at) => {
                let text = before.and_then(|before| before.text_of(doc)).map_or_else(|| doc.to_json(), str::to_owned);
                BTreeMap::from([(at, Cell::Text(text))])
            }
            None => row_shape::seed(table, doc, before).map_err(|misfit| misfit.of(self.record))?,
        };
        let ids = table.id_parts(&self.record.id).ok_or_else(|| self.live_rule())?;
        let pairs = table.config.live_when.equality_pairs().map(|(field, value)| (table.column(field), value));
        let ids = table.id.iter().map(|at| Some(*at)).zip(&ids);
        for (at, value) in pairs.chain(ids) {
            let Some(at) = at.filter(|at| table.columns[*at].writer == Writer::Anyone) else { continue };
            row.insert(at, crate::rule::cell(value).ok_or_else(|| self.live_rule())?);
        }
        let columns: Vec<String> = row.keys().map(|at| quoted(&table.columns[*at].name)).collect();
        let sql = format!(
            "INSERT INTO {} ({}) VALUES ({})",
            quoted(&table.config.table),
            columns.join(", "),
            crate::sql::placeholders(1, row.len())
        );
        self.run_one(&sql, row.into_values().collect())?;
        self.verify_one()
    }

    /// Makes sure that a new row holds what its entry says: where the table fills in more (a default that
    /// varies, a trigger), the record would be dirty from its first moment.
    fn verify_seeded(&self, change: &PreparedChange) -> Result<(), AdapterError> {
        let expected = change.new_head.and_then(|head| head.oid);
        let (None, Some(expected)) = (self.table.doc, expected) else { return Ok(()) };
        let Some(Ok(native)) = self.live_rows()?.pop().map(|row| row.native) else { return Err(self.live_rule()) };
        let image = Image { table: Arc::clone(self.table), native };
        let policy = &self.table.config.policy;
        let Ok(there) = image.value() else { return Err(self.live_rule()) };
        if oid(&there, policy).is_ok_and(|there| there == expected) {
            return Ok(());
        }
        let (LiveWrite::Seed(doc) | LiveWrite::Activate { doc, .. }) = &change.live else { return Ok(()) };
        let null = Value::Null;
        let filled: Vec<&str> = self
            .table
            .columns
            .iter()
            .map(|column| column.name.as_str())
            .filter(|name| policy.treatment(&FieldPath::key(*name)) == Treatment::Versioned)
            .filter(|name| doc.get(name).unwrap_or(&null) != there.get(name).unwrap_or(&null))
            .collect();
        if filled.is_empty() {
            return Ok(());
        }
        Err(AdapterError::Refused {
            record: self.record.clone(),
            reason: format!(
                "the table itself fills in {}; give the new record a value there, or add it to ignore_fields",
                filled.join(", ")
            ),
        })
    }

    /// Makes sure that exactly one row satisfies the live rule for this record.
    fn verify_one(&self) -> Result<(), AdapterError> {
        if self.live_rows()?.len() == 1 { Ok(()) } else { Err(self.live_rule()) }
    }
}
