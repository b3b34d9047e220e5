//! The live rule as SQL: which rows of a table are live.

use cfg_engine::Value;
use cfg_engine::adapter::AdapterError;
use cfg_engine::config::{CollectionConfig, Condition};
use cfg_engine::document::{Extended, Number};
use rusqlite::types::Value as Cell;

use crate::errors::setup;
use crate::sql::quoted;

/// A live rule with a parameter for every value.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    /// The conditions, each in pieces: a column wants a prefix, a parameter a number.
    terms: Vec<Vec<Part>>,
    params: Vec<Cell>,
}

#[derive(Debug, Clone)]
enum Part {
    Sql(&'static str),
    Column(String),
    Param,
}

impl Rule {
    /// Translates a collection's rule; `columns` are the names of the table's columns.
    ///
    /// # Errors
    ///
    /// [`AdapterError::Setup`] for a field that is no column, or a value SQLite has no type for.
    pub(crate) fn new(config: &CollectionConfig, columns: &[&str]) -> Result<Self, AdapterError> {
        let mut rule = Rule { terms: Vec::new(), params: Vec::new() };
        for (field, condition) in config.live_when.conditions() {
            if !columns.contains(&field.as_str()) {
                return Err(setup(
                    format!("live_when of {} names {field}, which is no column of table {}", config.name, config.table),
                    "in SQLite the rule is about columns; a generated column can show a value from inside a document",
                ));
            }
            let term = rule.term(field, condition).ok_or_else(|| {
                setup(
                    format!("live_when of {} compares {field} with a value that SQLite has no type for", config.name),
                    "compare with text, numbers, true, false or null",
                )
            })?;
            rule.terms.push(term);
        }
        Ok(rule)
    }

    /// Returns the parameters' values, in the order of their numbers.
    pub(crate) fn params(&self) -> &[Cell] {
        &self.params
    }

    /// Renders the rule; `table` is put before each column (`t.`), parameters count from `first`.
    pub(crate) fn sql(&self, table: &str, first: usize) -> String {
        if self.terms.is_empty() {
            return "1".to_owned();
        }
        let mut next = first;
        let mut out = String::new();
        for (n, term) in self.terms.iter().enumerate() {
            out.push_str(if n > 0 { " AND (" } else { "(" });
            for part in term {
                match part {
                    Part::Sql(text) => out.push_str(text),
                    Part::Column(name) => {
                        out.push_str(table);
                        out.push_str(&quoted(name));
                    }
                    Part::Param => {
                        out.push_str(&format!("?{next}"));
                        next += 1;
                    }
                }
            }
            out.push(')');
        }
        out
    }

    fn term(&mut self, field: &str, condition: &Condition) -> Option<Vec<Part>> {
        let column = || Part::Column(field.to_owned());
        Some(match condition {
            Condition::Eq(Value::Null) | Condition::Exists(false) => vec![column(), Part::Sql(" IS NULL")],
            Condition::Ne(Value::Null) | Condition::Exists(true) => vec![column(), Part::Sql(" IS NOT NULL")],
            Condition::Eq(wanted) => self.compare(column(), " = ", wanted)?,
            // Holds for NULL too, as in the definition.
            Condition::Ne(unwanted) => self.compare(column(), " IS NOT ", unwanted)?,
            Condition::In(list) => self.list(field, list, Listed::In)?,
            Condition::NotIn(list) => self.list(field, list, Listed::NotIn)?,
            Condition::Gt(bound) => self.ordered(field, " > ", bound)?,
            Condition::Gte(bound) => self.ordered(field, " >= ", bound)?,
            Condition::Lt(bound) => self.ordered(field, " < ", bound)?,
            Condition::Lte(bound) => self.ordered(field, " <= ", bound)?,
            _ => return None,
        })
    }

    fn compare(&mut self, column: Part, operator: &'static str, value: &Value) -> Option<Vec<Part>> {
        self.params.push(cell(value)?);
        Some(vec![column, Part::Sql(operator), Part::Param])
    }

    fn list(&mut self, field: &str, list: &[Value], listed: Listed) -> Option<Vec<Part>> {
        let column = || Part::Column(field.to_owned());
        let null = list.iter().any(Value::is_null);
        let mut marks = Vec::new();
        for value in list.iter().filter(|value| !value.is_null()) {
            self.params.push(cell(value)?);
            marks.push(Part::Sql(if marks.is_empty() { "" } else { ", " }));
            marks.push(Part::Param);
        }
        let (operator, on_null) = match listed {
            Listed::In => (" IN (", null),
            Listed::NotIn => (" NOT IN (", !null),
        };
        let mut term = vec![column(), Part::Sql(operator)];
        term.extend(marks);
        term.push(Part::Sql(")"));
        let joined = if on_null { " OR " } else { " AND " };
        term.extend([Part::Sql(joined), column(), Part::Sql(if on_null { " IS NULL" } else { " IS NOT NULL" })]);
        Some(term)
    }

    /// Numbers are ordered among numbers and text among text; nothing else is ordered.
    fn ordered(&mut self, field: &str, operator: &'static str, bound: &Value) -> Option<Vec<Part>> {
        let types = match bound {
            Value::Number(_) => " IN ('integer', 'real') AND ",
            Value::String(_) => " = 'text' AND ",
            _ => return Some(vec![Part::Sql("0")]),
        };
        self.params.push(cell(bound)?);
        let column = || Part::Column(field.to_owned());
        let mut term = vec![Part::Sql("typeof("), column(), Part::Sql(")"), Part::Sql(types), column()];
        term.extend([Part::Sql(operator), Part::Param]);
        if matches!(bound, Value::String(_)) {
            term.push(Part::Sql(" COLLATE BINARY"));
        }
        Some(term)
    }
}

#[derive(Clone, Copy)]
enum Listed {
    In,
    NotIn,
}

/// The value that a rule compares a column with.
pub(crate) fn cell(value: &Value) -> Option<Cell> {
    Some(match value {
        Value::Null => Cell::Null,
        Value::Bool(b) => Cell::Integer(i64::from(*b)),
        Value::Number(number) => match number.as_i64() {
            Some(n) => Cell::Integer(n),
            None => {
                let double = number.as_f64();
                Cell::Real(Number::Double(double).same_digits(number).then_some(double)?)
            }
        },
        Value::String(text) => Cell::Text(text.clone()),
        Value::Extended(extended) => match &**extended {
            Extended::Binary { bytes, .. } => Cell::Blob(bytes.clone()),
            _ => return None,
        },
        Value::Array(_) | Value::Object(_) => return None,
    })
}

#[cfg(test)]
mod tests {
    use cfg_engine::config::LiveRule;
    use cfg_engine::history::CollectionName;
    use rusqlite::{Connection, params_from_iter};

    use super::*;

    fn rule(text: &str) -> (LiveRule, Result<Rule, AdapterError>) {
        let object = Value::from_json(text).unwrap();
        let live_when = LiveRule::from_object(object.as_object().unwrap()).unwrap();
        let mut config = CollectionConfig::new(CollectionName::new("c").unwrap(), "id");
        config.live_when = live_when.clone();
        let rule = Rule::new(&config, &["a", "we \"b\""]);
        (live_when, rule)
    }

    /// The SQL and the definition agree on every value of a column without affinity.
    #[test]
    fn sql_says_what_the_definition_says() {
        let values = ["null", "0", "1", "2", "1.5", "\"\"", "\"1\"", "\"a\"", "\"b\"", "\"B\""];
        let rules = [
            r#"{}"#,
            r#"{"a": null}"#,
            r#"{"a": 1}"#,
            r#"{"a": 1.0}"#,
            r#"{"a": "a"}"#,
            r#"{"a": {"$ne": null}}"#,
            r#"{"a": {"$ne": "a"}}"#,
            r#"{"a": {"$in": ["a", 1]}}"#,
            r#"{"a": {"$in": ["a", null]}}"#,
            r#"{"a": {"$in": [null]}}"#,
            r#"{"a": {"$in": []}}"#,
            r#"{"a": {"$nin": ["a", 1]}}"#,
            r#"{"a": {"$nin": ["a", null]}}"#,
            r#"{"a": {"$nin": []}}"#,
            r#"{"a": {"$exists": true}}"#,
            r#"{"a": {"$exists": false}}"#,
            r#"{"a": {"$gt": 0, "$lte": 1.5}}"#,
            r#"{"a": {"$gte": "a"}}"#,
            r#"{"a": {"$lt": "b"}}"#,
            r#"{"a": {"$lt": null}}"#,
        ];
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch("CREATE TABLE t (a)").unwrap();
        for text in rules {
            let (definition, rule) = rule(text);
            let rule = rule.unwrap();
            for value in values {
                let value = Value::from_json(value).unwrap();
                db.execute("DELETE FROM t", []).unwrap();
                db.execute("INSERT INTO t VALUES (?1)", [cell(&value).unwrap()]).unwrap();
                let sql = format!("SELECT count(*) FROM t WHERE {}", rule.sql("t.", 1));
                let rows: i64 = db.query_row(&sql, params_from_iter(rule.params()), |row| row.get(0)).unwrap();
                let row = Value::Object([("a".to_owned(), value.clone())].into_iter().collect());
                assert_eq!(rows == 1, definition.matches(&row), "{text} on {}", value.to_json());
            }
        }
    }

    #[test]
    fn names_are_quoted_and_must_be_columns() {
        let (_, fine) = rule(r#"{"we \"b\"": true}"#);
        assert_eq!(fine.unwrap().sql("t.", 3), r#"(t."we ""b""" = ?3)"#);
        assert!(matches!(rule(r#"{"x": 1}"#).1, Err(AdapterError::Setup { .. })));
    }
}
