//! One column's value, both ways.
//!
//! SQLite columns have an affinity, not a type: what is written may be read back as something else
//! (`'5'` in an INTEGER column is 5). [`Column::write`] refuses what would not come back as the same
//! canonical value, so that a written row is never dirty at once.

use cfg_engine::Value;
use cfg_engine::document::{Extended, Number};
use rusqlite::types::{Value as Cell, ValueRef};

/// What SQLite does to values on their way into a column (its rules, section 3.1 of "Datatypes").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Affinity {
    Text,
    Integer,
    Real,
    Numeric,
    Blob,
}

impl Affinity {
    pub(crate) fn of(declared: &str) -> Self {
        let declared = declared.to_ascii_uppercase();
        let has = |words: &[&str]| words.iter().any(|word| declared.contains(word));
        if has(&["INT"]) {
            Affinity::Integer
        } else if has(&["CHAR", "CLOB", "TEXT"]) {
            Affinity::Text
        } else if declared.is_empty() || has(&["BLOB"]) {
            Affinity::Blob
        } else if has(&["REAL", "FLOA", "DOUB"]) {
            Affinity::Real
        } else {
            Affinity::Numeric
        }
    }
}

/// What a column's declared type says beyond its affinity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Plain,
    /// `BOOL` or `BOOLEAN`: 0 and 1 are false and true.
    Bool,
    /// `JSON` or `JSONB`: text that holds a JSON value.
    Json,
    /// An id whose 16 bytes are a UUID.
    Uuid,
}

/// Who writes a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Writer {
    /// Whoever writes the row.
    Anyone,
    /// SQLite: a generated column, or the rowid by another name.
    Database,
}

/// One column of a live table.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) affinity: Affinity,
    pub(crate) kind: Kind,
    pub(crate) declared_blob: bool,
    pub(crate) not_null: bool,
    pub(crate) writer: Writer,
    pub(crate) default: Default,
}

/// What a column holds in a row that does not mention it.
#[derive(Debug, Clone)]
pub(crate) enum Default {
    /// NULL.
    None,
    /// Always this.
    Constant(Cell),
    /// Something else each time: the clock, a random number.
    Varies,
}

/// A driver's value, borrowed.
pub(crate) fn borrowed(cell: &Cell) -> ValueRef<'_> {
    ValueRef::from(cell)
}

impl Column {
    pub(crate) fn new(name: String, declared: &str) -> Self {
        let kind = match declared.trim().to_ascii_uppercase().as_str() {
            "BOOL" | "BOOLEAN" => Kind::Bool,
            "JSON" | "JSONB" => Kind::Json,
            _ => Kind::Plain,
        };
        Column {
            name,
            affinity: Affinity::of(declared),
            kind,
            declared_blob: declared.trim().eq_ignore_ascii_case("BLOB"),
            not_null: false,
            writer: Writer::Anyone,
            default: Default::None,
        }
    }

    /// Reads a value of this column.
    ///
    /// # Errors
    ///
    /// Why it cannot be read, without the value.
    pub(crate) fn read(&self, cell: ValueRef<'_>) -> Result<Value, String> {
        Ok(match cell {
            ValueRef::Null => Value::Null,
            ValueRef::Integer(n @ (0 | 1)) if self.kind == Kind::Bool => Value::Bool(n == 1),
            ValueRef::Integer(n) => Value::from(n),
            ValueRef::Real(n) => Value::from(n),
            ValueRef::Text(bytes) => {
                let text = std::str::from_utf8(bytes).map_err(|_| format!("column {} is not UTF-8 text", self.name))?;
                if self.kind == Kind::Json {
                    return Value::from_json(text).map_err(|error| format!("column {}: {error}", self.name));
                }
                Value::from(text)
            }
            ValueRef::Blob(_) if self.kind == Kind::Json => return Err(self.holds_blob()),
            ValueRef::Blob(bytes) => {
                let subtype = if self.kind == Kind::Uuid && bytes.len() == 16 { 4 } else { 0 };
                Value::from(Extended::Binary { subtype, bytes: bytes.to_vec() })
            }
        })
    }

    /// Says how a binary form of JSON becomes text.
    pub(crate) fn holds_blob(&self) -> String {
        let column = crate::sql::quoted(&self.name);
        format!("column {} holds binary JSON; make it text with: SET {column} = json({column})", self.name)
    }

    /// Turns a value into what this column holds for it.
    ///
    /// # Errors
    ///
    /// What it is that the column cannot hold, without the value.
    pub(crate) fn write(&self, value: &Value) -> Result<Cell, String> {
        if self.kind == Kind::Json {
            return self.write_json(value);
        }
        Ok(match value {
            Value::Null => Cell::Null,
            Value::Bool(b) if self.kind == Kind::Bool => Cell::Integer(i64::from(*b)),
            Value::Bool(_) => return Err("a boolean (the column is not declared BOOLEAN)".to_owned()),
            Value::Number(number) => self.write_number(number)?,
            Value::String(text) => {
                let numeric = matches!(self.affinity, Affinity::Integer | Affinity::Real | Affinity::Numeric);
                if numeric && reads_as_number(text) {
                    return Err("text that the column would turn into a number".to_owned());
                }
                Cell::Text(text.clone())
            }
            Value::Array(_) | Value::Object(_) => {
                return Err(format!("an {} (the column is not declared JSON)", value.type_name()));
            }
            Value::Extended(extended) => match &**extended {
                Extended::Binary { subtype: 0, bytes } => Cell::Blob(bytes.clone()),
                Extended::Binary { subtype: 4, bytes } if self.kind == Kind::Uuid => Cell::Blob(bytes.clone()),
                other => return Err(format!("a value of type {}", other.type_name())),
            },
        })
    }

    fn write_number(&self, number: &Number) -> Result<Cell, String> {
        let integer = number.as_i64();
        if self.kind == Kind::Bool && matches!(integer, Some(0 | 1)) {
            return Err("the number 0 or 1 (the column is declared BOOLEAN)".to_owned());
        }
        if self.affinity == Affinity::Text {
            return Err("a number (the column is declared as text)".to_owned());
        }
        let exact = |double: f64| Number::Double(double).same_digits(number);
        match integer {
            Some(n) if self.affinity == Affinity::Real && !exact(n as f64) => Err(beyond_double()),
            // The double that it was, where it was one: without an affinity it stays one.
            Some(n) => Ok(match number {
                Number::Double(double) => Cell::Real(*double),
                _ => Cell::Integer(n),
            }),
            None => {
                let double = number.as_f64();
                if !double.is_finite() {
                    return Err("NaN or an infinity".to_owned());
                }
                if exact(double) { Ok(Cell::Real(double)) } else { Err(beyond_double()) }
            }
        }
    }

    fn write_json(&self, value: &Value) -> Result<Cell, String> {
        if value.is_null() {
            return Ok(Cell::Null);
        }
        if let Some(what) = beyond_json(value) {
            return Err(what.to_owned());
        }
        // A bare number is stored as one: the affinity of a column declared JSON is NUMERIC.
        if let Value::Number(number) = value
            && self.affinity != Affinity::Text
        {
            return self.write_number(number);
        }
        Ok(Cell::Text(value.to_json()))
    }
}

fn beyond_double() -> String {
    "a number with more digits than the column keeps".to_owned()
}

/// Returns what plain JSON text cannot say, if `value` itself is such.
fn beyond_json(value: &Value) -> Option<&'static str> {
    match value {
        Value::Extended(extended) => Some(extended.type_name()),
        Value::Number(number) if !number.is_finite() => Some("NaN or an infinity"),
        _ => None,
    }
}

/// Returns where plain JSON text cannot say what `value` holds, and what stands there.
pub(crate) fn find_beyond_json(
    value: &Value,
    at: cfg_engine::document::FieldPath,
) -> Option<(cfg_engine::document::FieldPath, &'static str)> {
    use cfg_engine::document::Step;
    match value {
        Value::Array(items) => {
            items.iter().enumerate().find_map(|(n, item)| find_beyond_json(item, at.join(Step::Index(n))))
        }
        Value::Object(object) => {
            object.iter().find_map(|(key, member)| find_beyond_json(member, at.join(Step::Key(key.clone()))))
        }
        other => beyond_json(other).map(|what| (at, what)),
    }
}

/// Returns whether a numeric affinity would turn the text into a number.
fn reads_as_number(text: &str) -> bool {
    let text = text.trim_matches(|c: char| matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{b}' | '\u{c}'));
    text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) && text.parse::<f64>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(declared: &str) -> Column {
        Column::new("c".to_owned(), declared)
    }

    #[test]
    fn affinities_are_those_of_the_documentation() {
        for (declared, affinity) in [
            ("INT", Affinity::Integer),
            ("CHARINT", Affinity::Integer),
            ("VARCHAR(255)", Affinity::Text),
            ("", Affinity::Blob),
            ("DOUBLE PRECISION", Affinity::Real),
            ("DECIMAL(10,5)", Affinity::Numeric),
            ("JSON", Affinity::Numeric),
        ] {
            assert_eq!(Affinity::of(declared), affinity, "{declared}");
        }
    }

    #[test]
    fn what_comes_back_changed_is_refused() {
        let json = |text: &str| Value::from_json(text).expect("JSON");
        for (declared, text) in [
            ("INTEGER", "\"5\""),
            ("INTEGER", "\" 5e3\""),
            ("TEXT", "5"),
            ("TEXT", "true"),
            ("BOOLEAN", "1"),
            ("REAL", "9007199254740993"),
            ("INTEGER", "1.2345678901234567890123"),
            ("TEXT", "[1]"),
            ("JSON", "1e400"),
        ] {
            assert!(column(declared).write(&json(text)).is_err(), "{declared} {text}");
        }
        for (declared, text) in [
            ("INTEGER", "9007199254740993"),
            ("INTEGER", "\"five\""),
            ("INTEGER", "1.5"),
            ("REAL", "5"),
            ("TEXT", "\"5\""),
            ("BOOLEAN", "true"),
            ("JSON", "[1.50, {\"a\": null}]"),
            ("JSON", "\"5\""),
            ("", "7.0"),
        ] {
            let column = column(declared);
            let cell = column.write(&json(text)).unwrap_or_else(|what| panic!("{declared} {text}: {what}"));
            let back = column.read(borrowed(&cell)).expect("reads back");
            assert!(cfg_engine::document::same(&back, &json(text)), "{declared} {text}");
        }
    }
}
