//! The row shape: the row is the record, a field is a column.

use std::collections::BTreeMap;

use cfg_engine::Value;
use cfg_engine::adapter::AdapterError;
use cfg_engine::document::{Edit, FieldPath, Object, PathChange, Step, Treatment, apply_changes, edit_json_text};
use cfg_engine::history::RecordKey;

use crate::column::{Cell, Column, Default, Kind, Misfit, Writer, find_beyond_json};
use crate::returning::Returning;
use crate::table::LiveTable;

/// Makes the document of a row: every column a field, in the order of the columns.
pub(crate) fn read(table: &LiveTable, cells: &[Cell]) -> Result<Value, String> {
    let mut object = Object::with_capacity(cells.len());
    for (column, cell) in table.columns.iter().zip(cells) {
        object.insert(column.name.as_str(), column.read(cell.as_deref())?);
    }
    Ok(Value::Object(object))
}

/// Refuses a document that the row cannot hold.
pub(crate) fn check(table: &LiveTable, record: &RecordKey, doc: &Value) -> Result<(), AdapterError> {
    let Some(object) = doc.as_object() else {
        return Err(Misfit::new(&FieldPath::root(), doc.type_name()).of(record));
    };
    if let Some(field) = table.config.disagreeing_id(&record.id, doc) {
        return Err(Misfit::new(&FieldPath::key(field), "another id").of(record));
    }
    for (name, value) in object {
        check_field(table, name, value).map_err(|misfit| misfit.of(record))?;
    }
    Ok(())
}

fn no_column(name: &str) -> Misfit {
    Misfit::new(&FieldPath::key(name), "a field that is no column of the table")
}

fn check_field(table: &LiveTable, name: &str, value: &Value) -> Result<(), Misfit> {
    match table.column(name) {
        None if value.is_null() => Ok(()),
        None => Err(no_column(name)),
        Some(at) => match table.columns[at].writer {
            // What PostgreSQL writes itself may be in a document that was read; it is not written.
            Writer::Database => Ok(()),
            Writer::Anyone => table.columns[at].write(value).map(drop),
        },
    }
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
                let value = column.read(Some(cell));
                let value = value.map_err(|what| Misfit::new(&FieldPath::key(&column.name), what).of(record))?;
                now.insert(column.name.as_str(), value);
            }
            // The column's own default, which only the write knows.
            (None, Default::Varies) => {}
            (None, Default::None) => drop(now.insert(column.name.as_str(), Value::Null)),
        }
    }
    let policy = &table.config.policy;
    let vanished = old.iter().find(|(name, value)| {
        !value.is_null() && policy.treatment(&FieldPath::key(name.as_str())) == Treatment::Versioned
    });
    match vanished {
        Some((name, _)) => {
            Err(Misfit::new(&FieldPath::key(name), "a field whose column is no longer in the table").of(record))
        }
        None => Ok(Value::Object(now)),
    }
}

/// Returns the columns that changes write, with what they hold afterwards.
///
/// # Errors
///
/// A [`Misfit`] where a change cannot be made.
pub(crate) fn edit(
    table: &LiveTable,
    cells: &[Cell],
    changes: &[PathChange],
    before: Option<&Returning>,
) -> Result<BTreeMap<usize, Cell>, Misfit> {
    let mut written: BTreeMap<usize, Cell> = BTreeMap::new();
    for change in changes {
        let Some((Step::Key(name), inside)) = change.path.steps().split_first() else {
            written.extend(replace_all(table, change)?);
            continue;
        };
        let Some(at) = table.column(name) else {
            match &change.edit {
                Edit::Unset | Edit::Set(Value::Null) => continue,
                Edit::Set(_) => return Err(no_column(name)),
            }
        };
        let column = &table.columns[at];
        if column.writer == Writer::Database {
            return Err(Misfit::new(&change.path, "a value in a column that PostgreSQL writes itself"));
        }
        let cell = match (inside.is_empty(), &change.edit) {
            (true, Edit::Unset) => None,
            (true, Edit::Set(value)) => column.write(value)?,
            (false, edit) => {
                let current = written.get(&at).unwrap_or(&cells[at]);
                edit_inside(column, current, &change.path, inside, edit)?
            }
        };
        written.insert(at, cell);
    }
    if let Some(before) = before {
        for (at, cell) in &mut written {
            let column = &table.columns[*at];
            let again = column.read(cell.as_deref()).ok().and_then(|value| before.text_of_column(column, &value));
            *cell = again.or_else(|| cell.take());
        }
    }
    written.retain(|at, cell| cells[*at] != *cell);
    Ok(written)
}

/// A change of the whole document sets every column.
fn replace_all(table: &LiveTable, change: &PathChange) -> Result<Vec<(usize, Cell)>, Misfit> {
    let Edit::Set(Value::Object(object)) = &change.edit else {
        return Err(Misfit::new(&change.path, "something other than an object"));
    };
    for (name, value) in object {
        check_field(table, name, value)?;
    }
    let columns = table.columns.iter().enumerate().filter(|(_, column)| column.writer == Writer::Anyone);
    columns
        .map(|(at, column)| Ok((at, object.get(&column.name).map_or(Ok(None), |value| column.write(value))?)))
        .collect()
}

/// Makes a change inside a column: in the text of a JSON column, or in an array's value.
fn edit_inside(
    column: &Column,
    current: &Cell,
    path: &FieldPath,
    inside: &[Step],
    edit: &Edit,
) -> Result<Cell, Misfit> {
    let change = PathChange { path: FieldPath::from_steps(inside.to_vec()), edit: edit.clone() };
    let misfit = |what: String| Misfit::new(&FieldPath::key(&column.name), what);
    if column.is_json() {
        let Some(text) = current else { return Err(misfit("a change inside a value that is NULL".to_owned())) };
        if let Edit::Set(value) = edit
            && let Some((path, what)) = find_beyond_json(value, path.clone(), column.kind == Kind::Jsonb)
        {
            return Err(Misfit::new(&path, what));
        }
        return edit_json_text(text, &[change]).map(Some).map_err(|error| misfit(error.to_string()));
    }
    let mut value = column.read(current.as_deref()).map_err(misfit)?;
    apply_changes(&mut value, &[change]).map_err(|error| misfit(error.to_string()))?;
    column.write(&value)
}

/// What history keeps of a row: interchange text, and the texts of the columns whose text their value does
/// not determine, as a JSON object.
pub(crate) fn stored(
    table: &LiveTable,
    cells: &[Cell],
    changes: &[PathChange],
    before: Option<&Returning>,
) -> Result<(String, String), Misfit> {
    let whole = |what: String| Misfit::new(&FieldPath::root(), what);
    let mut doc = read(table, cells).map_err(whole)?;
    apply_changes(&mut doc, changes).map_err(|error| whole(error.to_string()))?;
    let written = edit(table, cells, changes, before)?;
    let mut texts = Object::new();
    for (at, column) in table.columns.iter().enumerate() {
        let (Some(text), Some(value)) = (written.get(&at).unwrap_or(&cells[at]), doc.get(&column.name)) else {
            continue;
        };
        let determined = column.write(&respelled(column, value)).is_ok_and(|cell| cell.as_deref() == Some(text));
        if !determined {
            texts.insert(column.name.as_str(), text.as_str());
        }
    }
    Ok((doc.to_interchange(), Value::Object(texts).to_json()))
}

/// The value as interchange text gives it back: digits without their spelling.
fn respelled(column: &Column, value: &Value) -> Value {
    match column.kind {
        Kind::Numeric(_) | Kind::Json | Kind::Jsonb | Kind::Array(_) => {
            Value::from_interchange(&value.to_interchange()).unwrap_or_default()
        }
        _ => value.clone(),
    }
}

/// Returns what a seeded row holds, by column.
pub(crate) fn seed(
    table: &LiveTable,
    doc: &Value,
    before: Option<&Returning>,
) -> Result<BTreeMap<usize, Cell>, Misfit> {
    let whole = || Misfit::new(&FieldPath::root(), doc.type_name());
    let mut row = BTreeMap::new();
    for (name, value) in doc.as_object().ok_or_else(whole)? {
        let Some(at) = table.column(name) else {
            check_field(table, name, value)?;
            continue;
        };
        let column = &table.columns[at];
        // Where a column must have a value, "none" means the one it gives itself.
        let own = value.is_null() && column.not_null && column.default != Default::None;
        if column.writer == Writer::Anyone && !own {
            let text = before.and_then(|before| before.text_of_column(column, value));
            row.insert(at, text.map_or_else(|| column.write(value), |text| Ok(Some(text)))?);
        }
    }
    Ok(row)
}
