//! The row shape: the row is the record, a field is a column.

use std::collections::BTreeMap;

use cfg_engine::Value;
use cfg_engine::adapter::AdapterError;
use cfg_engine::document::{Edit, FieldPath, Object, PathChange, Step, apply_changes, edit_json_text};
use cfg_engine::history::RecordKey;
use rusqlite::types::Value as Cell;

use crate::cell::{Column, Default, Kind, Writer, borrowed};
use crate::returning::Returning;
use crate::table::LiveTable;

/// A place, and why what stands there cannot be held.
#[derive(Debug)]
pub(crate) struct Misfit {
    pub(crate) path: FieldPath,
    pub(crate) what: String,
}

impl Misfit {
    pub(crate) fn of(self, record: &RecordKey) -> AdapterError {
        AdapterError::Unstorable { record: record.clone(), path: self.path.to_string(), what: self.what }
    }
}

fn misfit(column: &str, what: impl Into<String>) -> Misfit {
    Misfit { path: FieldPath::key(column), what: what.into() }
}

/// Makes the document of a row: every column a field, in the order of the columns.
pub(crate) fn read(table: &LiveTable, cells: &[Cell]) -> Result<Value, String> {
    let mut object = Object::with_capacity(cells.len());
    for (column, cell) in table.columns.iter().zip(cells) {
        object.insert(column.name.as_str(), column.read(borrowed(cell))?);
    }
    Ok(Value::Object(object))
}

/// Refuses a document that the row cannot hold.
pub(crate) fn check(table: &LiveTable, record: &RecordKey, doc: &Value) -> Result<(), AdapterError> {
    let Some(object) = doc.as_object() else {
        return Err(Misfit { path: FieldPath::root(), what: doc.type_name().to_owned() }.of(record));
    };
    if let Some(field) = table.config.disagreeing_id(&record.id, doc) {
        return Err(misfit(field, "another id").of(record));
    }
    for (name, value) in object {
        check_field(table, name, value).map_err(|misfit| misfit.of(record))?;
    }
    Ok(())
}

fn check_field(table: &LiveTable, name: &str, value: &Value) -> Result<(), Misfit> {
    match table.column(name) {
        None if value.is_null() => Ok(()),
        None => Err(misfit(name, "a field that is no column of the table")),
        Some(at) => match table.columns[at].writer {
            // What SQLite writes itself may be in a document that was read; it is not written.
            Writer::Database => Ok(()),
            Writer::Anyone => write_cell(&table.columns[at], value).map(drop),
        },
    }
}

fn write_cell(column: &Column, value: &Value) -> Result<Cell, Misfit> {
    if column.kind == Kind::Json
        && let Some((path, what)) = crate::cell::find_beyond_json(value, FieldPath::key(&column.name))
    {
        return Err(Misfit { path, what: what.to_owned() });
    }
    column.write(value).map_err(|what| misfit(&column.name, what))
}

/// Maps an older version onto the columns there are now.
pub(crate) fn fit(table: &LiveTable, record: &RecordKey, doc: Value) -> Result<Value, AdapterError> {
    let Value::Object(mut old) = doc else { return Ok(doc) };
    let mut now = Object::with_capacity(table.columns.len());
    for column in &table.columns {
        match (old.remove(&column.name), &column.default) {
            (Some(value), _) => drop(now.insert(column.name.as_str(), value)),
            (None, _) if column.writer == Writer::Database => {}
            (None, Default::Constant(cell)) => {
                let value = column.read(borrowed(cell)).map_err(|what| misfit(&column.name, what).of(record))?;
                now.insert(column.name.as_str(), value);
            }
            // The column's own default, which only the write knows.
            (None, Default::Varies) => {}
            (None, Default::None) => drop(now.insert(column.name.as_str(), Value::Null)),
        }
    }
    let policy = &table.config.policy;
    let vanished = old.iter().find(|(name, value)| {
        !value.is_null()
            && policy.treatment(&FieldPath::key(name.as_str())) == cfg_engine::document::Treatment::Versioned
    });
    match vanished {
        Some((name, _)) => Err(misfit(name, "a field whose column is no longer in the table").of(record)),
        None => Ok(Value::Object(now)),
    }
}

/// Returns the columns that changes write, with what they hold afterwards.
///
/// # Errors
///
/// A [`Misfit`] where a change cannot be made.
pub(crate) fn edit(table: &LiveTable, cells: &[Cell], changes: &[PathChange]) -> Result<BTreeMap<usize, Cell>, Misfit> {
    let mut written: BTreeMap<usize, Cell> = BTreeMap::new();
    for change in changes {
        let Some((Step::Key(name), inside)) = change.path.steps().split_first() else {
            for (at, cell) in replace_all(table, change)? {
                written.insert(at, cell);
            }
            continue;
        };
        let Some(at) = table.column(name) else {
            match &change.edit {
                Edit::Unset | Edit::Set(Value::Null) => continue,
                Edit::Set(_) => return Err(misfit(name, "a field that is no column of the table")),
            }
        };
        let column = &table.columns[at];
        if column.writer == Writer::Database {
            return Err(misfit(name, "a value in a column that SQLite writes itself"));
        }
        let cell = if inside.is_empty() {
            match &change.edit {
                Edit::Unset => Cell::Null,
                Edit::Set(value) => write_cell(column, value)?,
            }
        } else {
            let current = written.get(&at).unwrap_or(&cells[at]);
            edit_inside(column, current, inside, &change.edit)?
        };
        written.insert(at, cell);
    }
    written.retain(|at, cell| cells[*at] != *cell);
    Ok(written)
}

/// A change of the whole document sets every column.
fn replace_all(table: &LiveTable, change: &PathChange) -> Result<Vec<(usize, Cell)>, Misfit> {
    let whole = || Misfit { path: change.path.clone(), what: "something other than an object".to_owned() };
    let Edit::Set(Value::Object(object)) = &change.edit else { return Err(whole()) };
    for (name, value) in object {
        check_field(table, name, value)?;
    }
    let columns = table.columns.iter().enumerate().filter(|(_, column)| column.writer == Writer::Anyone);
    columns
        .map(|(at, column)| match object.get(&column.name) {
            Some(value) => Ok((at, write_cell(column, value)?)),
            None => Ok((at, Cell::Null)),
        })
        .collect()
}

fn edit_inside(column: &Column, current: &Cell, inside: &[Step], edit: &Edit) -> Result<Cell, Misfit> {
    let Cell::Text(text) = current else {
        return Err(misfit(&column.name, "a change inside a value that is no JSON text"));
    };
    if column.kind != Kind::Json {
        return Err(misfit(&column.name, "a change inside a value (the column is not declared JSON)"));
    }
    if let Edit::Set(value) = edit
        && let Some((path, what)) = crate::cell::find_beyond_json(value, FieldPath::key(&column.name))
    {
        return Err(Misfit { path, what: what.to_owned() });
    }
    let change = PathChange { path: FieldPath::from_steps(inside.to_vec()), edit: edit.clone() };
    edit_json_text(text, &[change]).map(Cell::Text).map_err(|error| misfit(&column.name, error.to_string()))
}

/// What history keeps of a row: interchange text, and the text of the JSON columns whose text their
/// value does not determine, as a JSON object.
pub(crate) fn stored(table: &LiveTable, cells: &[Cell], changes: &[PathChange]) -> Result<(String, String), Misfit> {
    let whole = |what: String| Misfit { path: FieldPath::root(), what };
    let mut doc = read(table, cells).map_err(whole)?;
    apply_changes(&mut doc, changes).map_err(|error| whole(error.to_string()))?;
    let mut texts = Object::new();
    for (at, column) in table.columns.iter().enumerate().filter(|(_, column)| column.kind == Kind::Json) {
        let Cell::Text(text) = &cells[at] else { continue };
        let here: Vec<&PathChange> =
            changes.iter().filter(|c| c.path.is_root() || c.path.top_level() == Some(&column.name)).collect();
        // A column that was set or unset as a whole is its value and nothing more.
        if here.iter().any(|change| change.path.steps().len() < 2) {
            continue;
        }
        let inside: Vec<PathChange> = here
            .into_iter()
            .map(|c| PathChange { path: FieldPath::from_steps(c.path.steps()[1..].to_vec()), edit: c.edit.clone() })
            .collect();
        let text = crate::doc_shape::edit(text, &inside).map_err(|error| misfit(&column.name, error.to_string()))?;
        let compact = doc.get(&column.name).map(Value::to_json);
        if compact.as_deref() != Some(text.as_str()) {
            texts.insert(column.name.as_str(), text);
        }
    }
    Ok((doc.to_interchange(), Value::Object(texts).to_json()))
}

/// Returns what a seeded row holds, by column: the document, over it the live rule's equality pairs,
/// over both the id.
pub(crate) fn seed(
    table: &LiveTable,
    doc: &Value,
    before: Option<&Returning>,
) -> Result<BTreeMap<usize, Cell>, Misfit> {
    let whole = || Misfit { path: FieldPath::root(), what: doc.type_name().to_owned() };
    let mut row = BTreeMap::new();
    for (name, value) in doc.as_object().ok_or_else(whole)? {
        let Some(at) = table.column(name) else {
            check_field(table, name, value)?;
            continue;
        };
        let column = &table.columns[at];
        // Where a column must have a value, "none" means the one it gives itself.
        let own = value.is_null() && column.not_null && !matches!(column.default, Default::None);
        if column.writer == Writer::Anyone && !own {
            let text = match column.kind {
                Kind::Json => before.and_then(|before| before.text_of_column(name, value)),
                _ => None,
            };
            row.insert(at, text.map_or_else(|| write_cell(column, value), |text| Ok(Cell::Text(text)))?);
        }
    }
    Ok(row)
}
