//! A live table as the database describes it, and the statements that read and write it.

use std::collections::BTreeMap;

use cfg_engine::Value;
use cfg_engine::adapter::AdapterError;
use cfg_engine::config::{CollectionConfig, IdType, Shape};
use cfg_engine::document::{Extended, Object};
use cfg_engine::history::{IdKey, NameError};
use rusqlite::types::{Value as Cell, ValueRef};
use rusqlite::{Connection, Row, params_from_iter};

use crate::cell::{Affinity, Column, Default, Kind, Writer};
use crate::errors::{OrAdapterError, setup};
use crate::rule::Rule;
use crate::sql::quoted;
use crate::strays::StrayRows;

/// A collection's live table: its columns, how a row is found, and SQL that is built once.
#[derive(Debug)]
pub(crate) struct LiveTable {
    /// The configuration, completed by what the table says.
    pub(crate) config: CollectionConfig,
    pub(crate) columns: Vec<Column>,
    /// The places of the id's columns, in the order of the configuration.
    pub(crate) id: Vec<usize>,
    /// The place of the document's column, in the doc shape.
    pub(crate) doc: Option<usize>,
    pub(crate) rule: Rule,
    /// The name by which the rowid can be reached, if there is one.
    pub(crate) rowid: Option<&'static str>,
    pub(crate) sql: TableSql,
}

/// Statements on one live table. Where rows are selected, the columns come in this order: what the
/// statement itself says, the id's columns, then the document's column or the row's.
#[derive(Debug)]
pub(crate) struct TableSql {
    /// Every live row: rowid, id.
    pub(crate) scan: String,
    /// Rows by id, from a JSON list of ids: place in the list, rowid, whether it is live, id.
    pub(crate) locate: String,
    /// Live rows from a JSON list of rowids, or of ids where there is no rowid: place in the list,
    /// id, document.
    pub(crate) fetch: String,
    /// The live rows of one id: rowid, id, document.
    pub(crate) one: String,
    /// The rows of one id that are not live, as `one`.
    pub(crate) outside: String,
    /// What finds again the row that `one` found: parameters from `?1`.
    pub(crate) delete: String,
}

impl LiveTable {
    /// Reads what the database knows of a collection's table.
    ///
    /// # Errors
    ///
    /// [`AdapterError::Setup`] naming what is missing.
    pub(crate) fn describe(db: &Connection, config: &CollectionConfig) -> Result<Self, AdapterError> {
        let (without_rowid, exact) = table_kind(db, config)?;
        let alias = if without_rowid { None } else { rowid_alias(db, &exact)? };
        let mut columns = columns(db, &exact, alias)?;
        let place = |name: &str| -> Result<usize, AdapterError> {
            columns.iter().position(|c| c.name == name).ok_or_else(|| missing_column(config, name, &columns))
        };
        let id = config.id_fields.iter().map(|field| place(field)).collect::<Result<Vec<_>, _>>()?;
        let doc = match config.shape {
            Shape::Doc => Some(place(&config.doc_column)?),
            Shape::Row => None,
        };
        for at in &id {
            if alias == Some(*at) {
                // An id that is the rowid is the record's own, and written when a row is seeded.
                columns[*at].writer = Writer::Anyone;
            }
            // Nothing else in a BLOB can be an id.
            let blob = config.id_type.is_none() && columns[*at].declared_blob;
            if blob || config.id_type == Some(IdType::Uuid) {
                columns[*at].kind = Kind::Uuid;
            }
        }
        let names: Vec<&str> = columns.iter().map(|c| c.name.as_str()).collect();
        let rule = Rule::new(config, &names)?;
        let shadowed = |name: &&str| !names.iter().any(|column| column.eq_ignore_ascii_case(name));
        let rowid =
            if without_rowid { None } else { ["rowid", "_rowid_", "oid"].into_iter().find(|name| shadowed(name)) };
        let config = completed(config, &columns, &id);
        let sql = TableSql::new(&config, &columns, &id, doc, &rule, rowid);
        Ok(LiveTable { config, columns, id, doc, rule, rowid, sql })
    }

    /// Returns the record id that a row holds, `first` being the place of the id's first column.
    /// `None` for what cannot be an id (NULL, a fraction): such a row is no record.
    pub(crate) fn id_of(&self, row: &Row<'_>, first: usize) -> Option<IdKey> {
        self.id_or_reason(row, first).ok()
    }

    /// As [`id_of`](Self::id_of), with the reason why there is none.
    pub(crate) fn id_or_reason(&self, row: &Row<'_>, first: usize) -> Result<IdKey, &'static str> {
        let part = |n: usize| -> Result<Value, &'static str> {
            Ok(match row.get_ref(first + n).map_err(|_| "unreadable")? {
                ValueRef::Null => return Err("NULL"),
                ValueRef::Integer(n) => Value::from(n),
                ValueRef::Real(n) => Value::from(n),
                ValueRef::Text(bytes) => Value::from(std::str::from_utf8(bytes).map_err(|_| "text that is not UTF-8")?),
                ValueRef::Blob(bytes) if bytes.len() == 16 && self.columns[self.id[n]].kind == Kind::Uuid => {
                    Value::from(Extended::Binary { subtype: 4, bytes: bytes.to_vec() })
                }
                ValueRef::Blob(_) => return Err("a BLOB that is no UUID"),
            })
        };
        let value = match self.config.id_fields.as_slice() {
            [_] => part(0)?,
            fields => {
                let members = fields.iter().enumerate().map(|(n, field)| Ok((field.clone(), part(n)?)));
                Value::Object(members.collect::<Result<Object, &'static str>>()?)
            }
        };
        IdKey::from_value(&value).map_err(|error| match error {
            NameError::IdTooLong => "longer than an id may be",
            _ => "a number with a fraction or another value that no id has",
        })
    }

    /// Says how many live rows belong to no record because of their id, why, and how to find them.
    fn advice_on_ids(&self, db: &Connection) -> Result<Option<String>, AdapterError> {
        let mut strays = StrayRows::default();
        let mut statement = db.prepare(&self.sql.scan).sql()?;
        let mut rows = statement.query(params_from_iter(self.rule.params())).sql()?;
        while let Some(row) = rows.next().sql()? {
            if let Err(reason) = self.id_or_reason(row, 1) {
                strays.add(reason, row.get(0).sql()?);
            }
        }
        Ok(strays.report(self).map(|strays| {
            let rows = if strays.rows == 1 { "row" } else { "rows" };
            format!(
                "table {} has {} live {rows} that cannot be versioned: the id ({}) is {}; {}",
                self.config.table,
                strays.rows,
                self.config.id_fields.join(", "),
                strays.reason,
                strays.hint
            )
        }))
    }

    /// Returns the value of each id column for a record's id, in the order of the configuration.
    pub(crate) fn id_parts(&self, id: &IdKey) -> Option<Vec<Value>> {
        Some(self.config.id_values(id)?.into_iter().map(|(_, value)| value).collect())
    }

    /// Returns what is bound to find a record's row, or `None` for an id that no row can have.
    pub(crate) fn id_cells(&self, id: &IdKey) -> Option<Vec<Cell>> {
        self.id_parts(id)?.iter().map(crate::rule::cell).collect()
    }

    /// Returns an id as it stands in the JSON list that `locate` takes.
    pub(crate) fn id_in_list(&self, id: &IdKey) -> Value {
        let plain = |part: Value| match part {
            Value::Extended(extended) => match *extended {
                Extended::Binary { bytes, .. } => Value::from(hex(&bytes)),
                _ => Value::Null,
            },
            other => other,
        };
        match self.id_parts(id) {
            Some(mut parts) if parts.len() == 1 => plain(parts.remove(0)),
            Some(parts) => Value::Array(parts.into_iter().map(plain).collect()),
            None => Value::Null,
        }
    }

    /// Returns the place of a column.
    pub(crate) fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|c| c.name == name)
    }

    /// Returns SQL that finds one row again, with parameters from `first`: its rowid, or its id and the
    /// live rule. Ids are compared byte by byte, whatever collation the column has.
    pub(crate) fn locator(&self, first: usize) -> String {
        locator(&self.config, &self.rule, self.rowid, first)
    }

    /// Returns whether a column takes part in the live rule or the id.
    pub(crate) fn decides_liveness(&self, at: usize) -> bool {
        let name = self.columns[at].name.as_str();
        self.id.contains(&at) || self.config.live_when.conditions().iter().any(|(field, _)| field == name)
    }

    /// Returns advice about the table that is no error.
    pub(crate) fn advice(&self, db: &Connection) -> Result<Vec<String>, AdapterError> {
        let mut advice: Vec<String> = self.advice_on_ids(db)?.into_iter().collect();
        let rowid_is_id = self.id.len() == 1 && rowid_alias(db, &self.config.table)?.is_some_and(|at| at == self.id[0]);
        if rowid_is_id || self.has_id_index(db)? {
            return Ok(advice);
        }
        let fields: Vec<String> = self.config.id_fields.iter().map(|field| quoted(field)).collect();
        let name = quoted(&format!("{}_{}", self.config.table, self.config.id_fields.join("_")));
        advice.push(format!(
            "table {} has no index that starts with {}, so finding one record reads the whole table; create one: \
             CREATE INDEX {name} ON {} ({});",
            self.config.table,
            self.config.id_fields.join(", "),
            quoted(&self.config.table),
            fields.join(", "),
        ));
        Ok(advice)
    }

    fn has_id_index(&self, db: &Connection) -> Result<bool, AdapterError> {
        let sql = "SELECT il.name, ii.cid FROM pragma_index_list(?1) il, pragma_index_info(il.name) ii \
                   WHERE il.partial = 0 ORDER BY il.name, ii.seqno";
        let mut indexes: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        let mut statement = db.prepare(sql).sql()?;
        let mut rows = statement.query([&self.config.table]).sql()?;
        while let Some(row) = rows.next().sql()? {
            indexes.entry(row.get(0).sql()?).or_default().push(row.get(1).sql()?);
        }
        let cids = column_ids(db, &self.config.table)?;
        let wanted = |at: &usize| cids.get(*at).copied().unwrap_or(-1);
        Ok(indexes.values().any(|index| {
            let lead = index.get(..self.id.len()).unwrap_or_default();
            self.id.iter().map(wanted).all(|cid| lead.contains(&cid)) && lead.len() == self.id.len()
        }))
    }
}

impl TableSql {
    fn new(
        config: &CollectionConfig,
        columns: &[Column],
        id: &[usize],
        doc: Option<usize>,
        rule: &Rule,
        rowid: Option<&'static str>,
    ) -> Self {
        let table = quoted(&config.table);
        let column = |at: &usize| format!("t.{}", quoted(&columns[*at].name));
        let ids = id.iter().map(column).collect::<Vec<_>>().join(", ");
        let document = match doc {
            Some(at) => column(&at),
            None => (0..columns.len()).map(|at| column(&at)).collect::<Vec<_>>().join(", "),
        };
        let rowid_value = rowid.map_or_else(|| "NULL".to_owned(), |name| format!("t.{name}"));
        let by_list = |n: usize, at: &usize| {
            let part = if id.len() == 1 { "k.value".to_owned() } else { format!("json_extract(k.value, '$[{n}]')") };
            let part = if columns[*at].kind == Kind::Uuid { format!("unhex({part})") } else { part };
            format!("{} = {part}", column(at))
        };
        let on_list = id.iter().enumerate().map(|(n, at)| by_list(n, at)).collect::<Vec<_>>().join(" AND ");
        let fetch_on = match rowid {
            Some(name) => format!("t.{name} = k.value"),
            None => format!("{on_list} AND {}", rule.sql("t.", 2)),
        };
        let one_id = |(n, at): (usize, &usize)| {
            let (column, n) = (column(at), n + 1);
            format!("{column} = ?{n} AND {column} = ?{n} COLLATE BINARY")
        };
        let by_id = id.iter().enumerate().map(one_id).collect::<Vec<_>>().join(" AND ");
        TableSql {
            scan: format!("SELECT {rowid_value}, {ids} FROM {table} t WHERE {}", rule.sql("t.", 1)),
            locate: format!(
                "SELECT k.key, {rowid_value}, ({}) IS TRUE, {ids} FROM json_each(?1) k CROSS JOIN {table} t ON {on_list}",
                rule.sql("t.", 2)
            ),
            fetch: format!("SELECT k.key, {ids}, {document} FROM json_each(?1) k CROSS JOIN {table} t ON {fetch_on}"),
            one: format!(
                "SELECT {rowid_value}, {ids}, {document} FROM {table} t WHERE {by_id} AND {}",
                rule.sql("t.", id.len() + 1)
            ),
            outside: format!(
                "SELECT {rowid_value}, {ids}, {document} FROM {table} t WHERE {by_id} AND ({}) IS NOT TRUE",
                rule.sql("t.", id.len() + 1)
            ),
            delete: format!("DELETE FROM {table} WHERE {}", locator(config, rule, rowid, 1)),
        }
    }
}

fn locator(config: &CollectionConfig, rule: &Rule, rowid: Option<&'static str>, first: usize) -> String {
    if let Some(name) = rowid {
        return format!("{name} = ?{first}");
    }
    let mut terms: Vec<String> = Vec::new();
    for (n, field) in config.id_fields.iter().enumerate() {
        let (field, n) = (quoted(field), first + n);
        terms.push(format!("{field} = ?{n} AND {field} = ?{n} COLLATE BINARY"));
    }
    terms.push(rule.sql("", first + config.id_fields.len()));
    terms.join(" AND ")
}

/// Returns whether the table is WITHOUT ROWID, and its name as it was created.
fn table_kind(db: &Connection, config: &CollectionConfig) -> Result<(bool, String), AdapterError> {
    let sql = "SELECT type, wr, name FROM pragma_table_list WHERE schema = 'main' AND name = ?1 COLLATE NOCASE";
    let mut statement = db.prepare(sql).sql()?;
    let mut rows = statement.query([&config.table]).sql()?;
    let Some(row) = rows.next().sql()? else {
        return Err(setup(
            format!("there is no table {} (collection {})", config.table, config.name),
            "name the live table with `table = \"…\"`, or create it",
        ));
    };
    let (kind, without_rowid, name): (String, bool, String) = (row.get(0).sql()?, row.get(1).sql()?, row.get(2).sql()?);
    if kind != "table" {
        return Err(setup(
            format!("{} (collection {}) is a {kind}, and live records are kept in tables", config.table, config.name),
            "name the table behind it",
        ));
    }
    Ok((without_rowid, name))
}

fn columns(db: &Connection, exact: &str, alias: Option<usize>) -> Result<Vec<Column>, AdapterError> {
    let sql = "SELECT name, type, \"notnull\", dflt_value, hidden FROM pragma_table_xinfo(?1) WHERE hidden <> 1";
    let mut statement = db.prepare(sql).sql()?;
    let mut rows = statement.query([exact]).sql()?;
    let mut columns = Vec::new();
    while let Some(row) = rows.next().sql()? {
        let declared: String = row.get(1).sql()?;
        let mut column = Column::new(row.get(0).sql()?, &declared);
        column.not_null = row.get(2).sql()?;
        let hidden: i64 = row.get(4).sql()?;
        if matches!(hidden, 2 | 3) || alias == Some(columns.len()) {
            column.writer = Writer::Database;
        }
        if let Some(expression) = row.get::<_, Option<String>>(3).sql()? {
            column.default = evaluate(db, &expression, column.affinity);
        }
        columns.push(column);
    }
    Ok(columns)
}

/// Functions whose result is not the same each time.
const VARYING: [&str; 15] = [
    "current_date",
    "current_time",
    "current_timestamp",
    "date",
    "time",
    "datetime",
    "julianday",
    "unixepoch",
    "strftime",
    "timediff",
    "random",
    "randomblob",
    "changes",
    "total_changes",
    "last_insert_rowid",
];

/// Evaluates a column's default, unless it says something else each time.
fn evaluate(db: &Connection, expression: &str, affinity: Affinity) -> Default {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    if expression.split(|c| !word(c)).any(|w| VARYING.contains(&w.to_ascii_lowercase().as_str())) {
        // A text literal may hold such a word; then the column simply keeps its own default.
        return Default::Varies;
    }
    match db.query_row(&format!("SELECT {expression}"), [], |row| row.get::<_, Cell>(0)) {
        Ok(Cell::Null) => Default::None,
        Ok(Cell::Integer(n)) if affinity == Affinity::Text => Default::Constant(Cell::Text(n.to_string())),
        Ok(cell) => Default::Constant(cell),
        Err(_) => Default::Varies,
    }
}

/// Returns the place of the column that is the rowid by another name: `INTEGER PRIMARY KEY` alone.
fn rowid_alias(db: &Connection, table: &str) -> Result<Option<usize>, AdapterError> {
    let sql = "SELECT name, type, pk FROM pragma_table_xinfo(?1) WHERE hidden <> 1";
    let mut statement = db.prepare(sql).sql()?;
    let columns: Vec<(String, i64)> =
        statement.query_map([table], |row| Ok((row.get(1)?, row.get(2)?))).sql()?.collect::<Result<_, _>>().sql()?;
    let keys: Vec<usize> = (0..columns.len()).filter(|at| columns[*at].1 > 0).collect();
    let [key] = keys.as_slice() else { return Ok(None) };
    if !columns[*key].0.eq_ignore_ascii_case("INTEGER") {
        return Ok(None);
    }
    // `INTEGER PRIMARY KEY DESC` has an index of its own and is no alias.
    let own: bool = db
        .query_row("SELECT EXISTS (SELECT 1 FROM pragma_index_list(?1) WHERE origin = 'pk')", [table], |row| row.get(0))
        .sql()?;
    Ok((!own).then_some(*key))
}

fn column_ids(db: &Connection, table: &str) -> Result<Vec<i64>, AdapterError> {
    let mut statement = db.prepare("SELECT cid FROM pragma_table_xinfo(?1) WHERE hidden <> 1").sql()?;
    let rows = statement.query_map([table], |row| row.get(0)).sql()?;
    rows.collect::<Result<_, _>>().sql()
}

fn missing_column(config: &CollectionConfig, name: &str, columns: &[Column]) -> AdapterError {
    let near = columns.iter().find(|c| c.name.eq_ignore_ascii_case(name));
    let hint = match near {
        Some(column) => format!("it has {}: write the name as the table has it", column.name),
        None => {
            let names: Vec<&str> = columns.iter().map(|c| c.name.as_str()).collect();
            format!("it has {}", names.join(", "))
        }
    };
    setup(format!("table {} (collection {}) has no column {name}", config.table, config.name), hint)
}

/// Completes a configuration: the type of the ids, and columns that SQLite writes as ignored fields.
fn completed(config: &CollectionConfig, columns: &[Column], id: &[usize]) -> CollectionConfig {
    let mut config = config.clone();
    if let ([only], None) = (id, config.id_type) {
        config.id_type = Some(match &columns[*only] {
            column if column.kind == Kind::Uuid => IdType::Uuid,
            column if column.affinity == Affinity::Integer => IdType::Int,
            _ => IdType::String,
        });
    }
    if config.shape == Shape::Row {
        let own = |(at, column): &(usize, &Column)| column.writer == Writer::Database && !id.contains(at);
        for (_, column) in columns.iter().enumerate().filter(own) {
            config.policy = config.policy.with_ignored_field(&column.name);
        }
    }
    config
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
