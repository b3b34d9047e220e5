//! The live rule as SQL: which rows of a table are live.
//!
//! Values stand in it as literals and not as parameters, so that the planner can use a partial index.

use cfg_engine::Value;
use cfg_engine::adapter::AdapterError;
use cfg_engine::config::{CollectionConfig, Condition};

use crate::column::{Column, Kind};
use crate::errors::setup;
use crate::sql::{literal, quoted};

/// A live rule, translated for one table.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    /// The conditions, with `{}` where a column wants its prefix.
    terms: Vec<Term>,
}

#[derive(Debug, Clone)]
struct Term {
    column: String,
    /// Each piece but the last is followed by the column.
    pieces: Vec<String>,
}

/// The column's place in a template.
const COLUMN: char = '\u{1}';

impl Rule {
    /// Translates a collection's rule.
    ///
    /// # Errors
    ///
    /// [`AdapterError::Setup`] for a field that is no column, or a column whose values cannot be compared.
    pub(crate) fn new(config: &CollectionConfig, columns: &[Column]) -> Result<Self, AdapterError> {
        let mut terms = Vec::new();
        for (field, condition) in config.live_when.conditions() {
            let Some(column) = columns.iter().find(|column| column.name == *field) else {
                return Err(setup(
                    format!("live_when of {} names {field}, which is no column of table {}", config.name, config.table),
                    "the rule is about columns; a generated column can show a value from inside a document",
                ));
            };
            let template = term(column, condition).ok_or_else(|| {
                setup(
                    format!("live_when of {} compares {field}, whose type has no plain values", config.name),
                    "compare columns of text, numbers, booleans, uuids and times, or any column with null",
                )
            })?;
            let pieces = template.split(COLUMN).map(str::to_owned).collect();
            terms.push(Term { column: quoted(field), pieces });
        }
        Ok(Rule { terms })
    }

    /// Renders the rule; `prefix` is put before each column (`t.`).
    pub(crate) fn sql(&self, prefix: &str) -> String {
        if self.terms.is_empty() {
            return "TRUE".to_owned();
        }
        let one = |term: &Term| format!("({})", term.pieces.join(&format!("{prefix}{}", term.column)));
        self.terms.iter().map(one).collect::<Vec<_>>().join(" AND ")
    }
}

fn term(column: &Column, condition: &Condition) -> Option<String> {
    let comparable = match &column.kind {
        Kind::Bool
        | Kind::Int(_)
        | Kind::Float4
        | Kind::Float8
        | Kind::Numeric(_)
        | Kind::Text { .. }
        | Kind::Enum(_)
        | Kind::Uuid
        | Kind::Bytea
        | Kind::Moment(_) => true,
        Kind::Json | Kind::Jsonb | Kind::Array(_) | Kind::Money | Kind::Store(_) => false,
    };
    // A value that the column cannot hold is equal to none of its values.
    let value = |value: &Value| {
        let cell = column.write(value).ok().flatten()?;
        Some(column.write_sql(&literal(&cell)))
    };
    let list = |list: &[Value]| list.iter().filter_map(value).collect::<Vec<_>>();
    let c = COLUMN;
    Some(match condition {
        Condition::Eq(Value::Null) | Condition::Exists(false) => format!("{c} IS NULL"),
        Condition::Ne(Value::Null) | Condition::Exists(true) => format!("{c} IS NOT NULL"),
        _ if !comparable => return None,
        Condition::Eq(wanted) => value(wanted).map_or_else(|| "FALSE".to_owned(), |value| format!("{c} = {value}")),
        // Holds for NULL too, as in the definition.
        Condition::Ne(unwanted) => {
            value(unwanted).map_or_else(|| "TRUE".to_owned(), |value| format!("{c} IS DISTINCT FROM {value}"))
        }
        Condition::In(wanted) => listed(&list(wanted), "IN", wanted.iter().any(Value::is_null)),
        Condition::NotIn(unwanted) => listed(&list(unwanted), "NOT IN", !unwanted.iter().any(Value::is_null)),
        Condition::Gt(bound) => ordered(column, ">", bound),
        Condition::Gte(bound) => ordered(column, ">=", bound),
        Condition::Lt(bound) => ordered(column, "<", bound),
        Condition::Lte(bound) => ordered(column, "<=", bound),
        _ => return None,
    })
}

fn listed(values: &[String], operator: &str, null_fits: bool) -> String {
    let c = COLUMN;
    let null = if null_fits { format!("{c} IS NULL") } else { "FALSE".to_owned() };
    let values = match (values.is_empty(), operator) {
        (false, _) => format!("{c} {operator} ({})", values.join(", ")),
        (true, "IN") => "FALSE".to_owned(),
        (true, _) => format!("{c} IS NOT NULL"),
    };
    format!("{values} OR {null}")
}

/// Numbers are ordered among numbers and text, byte by byte, among text; nothing else is ordered.
fn ordered(column: &Column, operator: &str, bound: &Value) -> String {
    let c = COLUMN;
    match (&column.kind, bound) {
        (Kind::Int(_) | Kind::Numeric(_) | Kind::Float4 | Kind::Float8, Value::Number(number))
            if number.is_finite() =>
        {
            let mut digits = Vec::new();
            // Finite, so it has digits.
            let _ = number.write_canonical(&mut digits);
            let digits = literal(&String::from_utf8_lossy(&digits));
            let kind = if matches!(column.kind, Kind::Float4 | Kind::Float8) { "float8" } else { "numeric" };
            format!("{c} {operator} ({digits})::{kind}")
        }
        (Kind::Text { .. } | Kind::Enum(_), Value::String(text)) if !text.contains('\0') => {
            format!("{c}::text COLLATE \"C\" {operator} {}", literal(text))
        }
        _ => "FALSE".to_owned(),
    }
}
