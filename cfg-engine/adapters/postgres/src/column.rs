//! One column's values, both ways, by way of their text.
//!
//! Every type of PostgreSQL reads and prints text, and under [fixed settings](crate::connection::fixed_settings)
//! it prints one. So a cell is its text: what is read, compared, kept and written back. A value that a column
//! would give back as another one is refused, so that a written row is never dirty at once.

use cfg_engine::Value;
use cfg_engine::document::{Extended, FieldPath, Number, Step};

use crate::{array, moment};

/// A cell: SQL NULL, or the text of its value.
pub(crate) type Cell = Option<String>;

/// What a column's type is to the engine.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    Bool,
    /// A whole number of so many bytes.
    Int(u32),
    Float4,
    Float8,
    /// Digits in all and behind the point, where the column says so.
    Numeric(Option<(i64, i64)>),
    /// At most so many characters; padded with blanks or not.
    Text {
        longest: Option<usize>,
        padded: bool,
    },
    Enum(Vec<String>),
    Uuid,
    Bytea,
    Json,
    Jsonb,
    /// A `timestamptz` that keeps so many digits of a second's fraction.
    Moment(u32),
    /// Elements of one kind in one dimension.
    Array(Box<Kind>),
    Money,
    /// Any other type: its name, and its value is its text.
    Store(String),
}

/// Who writes a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Writer {
    /// Whoever writes the row.
    Anyone,
    /// PostgreSQL: a generated or an identity column.
    Database,
}

/// What a column holds in a row that does not mention it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Default {
    /// NULL.
    None,
    /// Always this.
    Constant(String),
    /// Something else each time: the clock, a sequence.
    Varies,
}

/// One column of a live table.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// The type's name as a cast needs it.
    pub(crate) type_sql: String,
    pub(crate) kind: Kind,
    pub(crate) not_null: bool,
    pub(crate) writer: Writer,
    pub(crate) default: Default,
}

impl Column {
    /// Returns SQL for the column's text.
    pub(crate) fn read_sql(&self, prefix: &str) -> String {
        let column = format!("{prefix}{}", crate::sql::quoted(&self.name));
        match &self.kind {
            Kind::Bytea => format!("encode({column}, 'hex')"),
            Kind::Money => format!("{column}::numeric::text"),
            _ => format!("{column}::text"),
        }
    }

    /// Returns SQL for the column's value of a text.
    pub(crate) fn write_sql(&self, text: &str) -> String {
        match &self.kind {
            Kind::Bytea => format!("decode({text}, 'hex')"),
            Kind::Money => format!("({text})::numeric::money"),
            _ => format!("({text})::{}", self.type_sql),
        }
    }

    /// Returns whether the text depends on the session's settings.
    pub(crate) fn needs_settings(&self) -> bool {
        self.kind.needs_settings()
    }

    /// Reads a cell.
    ///
    /// # Errors
    ///
    /// Why it cannot be read, without the value.
    pub(crate) fn read(&self, cell: Option<&str>) -> Result<Value, String> {
        match cell {
            None => Ok(Value::Null),
            Some(text) => self.kind.read(text).map_err(|what| format!("column {}: {what}", self.name)),
        }
    }

    /// Turns a value into the cell that this column holds for it.
    ///
    /// # Errors
    ///
    /// Where in the value the column cannot hold it, and what stands there, without the value.
    pub(crate) fn write(&self, value: &Value) -> Result<Cell, Misfit> {
        match value {
            Value::Null => Ok(None),
            value => self.kind.write(value, &FieldPath::key(&self.name)).map(Some),
        }
    }

    pub(crate) fn is_json(&self) -> bool {
        matches!(self.kind, Kind::Json | Kind::Jsonb)
    }
}

/// A place, and why what stands there cannot be held.
#[derive(Debug, Clone)]
pub(crate) struct Misfit {
    pub(crate) path: FieldPath,
    pub(crate) what: String,
}

impl Misfit {
    pub(crate) fn new(path: &FieldPath, what: impl Into<String>) -> Self {
        Misfit { path: path.clone(), what: what.into() }
    }

    pub(crate) fn of(self, record: &cfg_engine::history::RecordKey) -> cfg_engine::adapter::AdapterError {
        cfg_engine::adapter::AdapterError::Unstorable {
            record: record.clone(),
            path: self.path.to_string(),
            what: self.what,
        }
    }
}

impl Kind {
    fn needs_settings(&self) -> bool {
        match self {
            Kind::Float4 | Kind::Float8 | Kind::Moment(_) | Kind::Store(_) => true,
            Kind::Array(element) => element.needs_settings() || **element == Kind::Bytea,
            _ => false,
        }
    }

    /// Returns the name that a value of this type has where it is its text.
    fn store_name(&self) -> String {
        let name = match self {
            Kind::Moment(_) => "timestamptz",
            Kind::Money => "money",
            Kind::Array(element) => return format!("{}[]", element.store_name()),
            Kind::Store(name) => name,
            Kind::Bool => "boolean",
            Kind::Int(_) => "integer",
            Kind::Float4 | Kind::Float8 => "double precision",
            Kind::Numeric(_) => "numeric",
            Kind::Text { .. } | Kind::Enum(_) => "text",
            Kind::Uuid => "uuid",
            Kind::Bytea => "bytea",
            Kind::Json => "json",
            Kind::Jsonb => "jsonb",
        };
        format!("pg:{name}")
    }

    fn as_store(&self, text: &str) -> Value {
        Value::from(Extended::Store { type_name: self.store_name(), text: text.to_owned() })
    }

    fn read(&self, text: &str) -> Result<Value, String> {
        Ok(match self {
            Kind::Bool => Value::Bool(text.starts_with('t')),
            Kind::Int(_) | Kind::Float4 | Kind::Float8 | Kind::Numeric(_) => {
                Value::Number(number(text).ok_or("a number that cannot be read")?)
            }
            Kind::Text { .. } | Kind::Enum(_) => Value::from(text),
            Kind::Uuid => {
                let bytes = from_hex(&text.replace('-', "")).ok_or("a UUID that cannot be read")?;
                Value::from(Extended::Binary { subtype: 4, bytes })
            }
            Kind::Bytea => {
                let hex = text.strip_prefix("\\x").unwrap_or(text);
                let bytes = from_hex(hex).ok_or("bytes that cannot be read")?;
                Value::from(Extended::Binary { subtype: 0, bytes })
            }
            Kind::Json | Kind::Jsonb => Value::from_json(text).map_err(|error| error.to_string())?,
            Kind::Moment(_) => match moment::millis(text) {
                Some(ms) => Value::from(Extended::DateTime(ms)),
                None => self.as_store(text),
            },
            Kind::Array(element) => match array::parse(text) {
                Some(items) => {
                    let item = |item: Option<String>| item.map_or(Ok(Value::Null), |text| element.read(&text));
                    Value::Array(items.into_iter().map(item).collect::<Result<_, _>>()?)
                }
                None => self.as_store(text),
            },
            Kind::Money | Kind::Store(_) => self.as_store(text),
        })
    }

    fn write(&self, value: &Value, at: &FieldPath) -> Result<String, Misfit> {
        let misfit = |what: &str| Misfit::new(at, what);
        let other = || Misfit::new(at, format!("{} (the column is of type {})", described(value), self.spoken()));
        if let Value::Extended(extended) = value
            && let Extended::Store { type_name, text } = &**extended
        {
            let fits = matches!(self, Kind::Moment(_) | Kind::Array(_) | Kind::Money | Kind::Store(_));
            return if fits && *type_name == self.store_name() { Ok(text.clone()) } else { Err(other()) };
        }
        match (self, value) {
            (Kind::Json | Kind::Jsonb, value) => self.write_json(value, at),
            (Kind::Bool, Value::Bool(b)) => Ok(b.to_string()),
            (Kind::Int(bytes), Value::Number(number)) => {
                let limit = i64::MAX >> (64 - 8 * bytes);
                match number.as_i64() {
                    Some(n) if (-limit - 1..=limit).contains(&n) => Ok(n.to_string()),
                    _ => Err(misfit("a number that is not whole or out of the column's range")),
                }
            }
            (Kind::Float4, Value::Number(number)) => {
                let single = number.as_f64() as f32;
                let text = if single.is_finite() { format!("{single}") } else { special(f64::from(single)).to_owned() };
                if same_number(&text, number) { Ok(text) } else { Err(misfit("more digits than the column keeps")) }
            }
            (Kind::Float8, Value::Number(number)) => {
                let double = number.as_f64();
                let exact = !number.is_finite() || Number::Double(double).same_digits(number);
                match (exact, double.is_finite()) {
                    (false, _) => Err(misfit("more digits than the column keeps")),
                    (true, true) => Ok(digits(&Number::Double(double))),
                    (true, false) => Ok(special(double).to_owned()),
                }
            }
            (Kind::Numeric(scale), Value::Number(number)) => {
                if !number.is_finite() {
                    return Ok(special(number.as_f64()).to_owned());
                }
                let text = digits(number);
                if fits_numeric(&text, *scale) { Ok(text) } else { Err(misfit("more digits than the column keeps")) }
            }
            (Kind::Text { longest, padded }, Value::String(text)) => {
                if text.contains('\0') {
                    return Err(misfit("the character U+0000"));
                }
                if *padded && text.ends_with(' ') {
                    return Err(misfit("blanks at the end, which the column does not keep"));
                }
                match longest {
                    Some(longest) if text.chars().count() > *longest => {
                        Err(misfit("a text longer than the column takes"))
                    }
                    _ => Ok(text.clone()),
                }
            }
            (Kind::Enum(labels), Value::String(text)) => {
                if labels.contains(text) {
                    Ok(text.clone())
                } else {
                    Err(misfit("a text that the column's type does not list"))
                }
            }
            (Kind::Array(element), Value::Array(items)) => {
                let item = |(n, item): (usize, &Value)| match item {
                    Value::Null => Ok(None),
                    Value::Array(_) if **element != Kind::Json && **element != Kind::Jsonb => {
                        Err(Misfit::new(&at.join(Step::Index(n)), "an array inside an array"))
                    }
                    item => element.write(item, &at.join(Step::Index(n))).map(|text| match **element {
                        Kind::Bytea => Some(format!("\\x{text}")),
                        _ => Some(text),
                    }),
                };
                Ok(array::text(&items.iter().enumerate().map(item).collect::<Result<Vec<_>, _>>()?))
            }
            (Kind::Uuid | Kind::Bytea | Kind::Moment(_), Value::Extended(extended)) => match (self, &**extended) {
                (Kind::Uuid, Extended::Binary { subtype: 4, bytes }) if bytes.len() == 16 => Ok(uuid_text(bytes)),
                (Kind::Bytea, Extended::Binary { subtype: 0, bytes }) => Ok(to_hex(bytes)),
                (Kind::Moment(precision), Extended::DateTime(ms)) => {
                    let keeps = 10_i64.pow(3_u32.saturating_sub(*precision));
                    match moment::text(*ms) {
                        Some(text) if ms % keeps == 0 => Ok(text),
                        _ => Err(misfit("an instant that the column does not keep")),
                    }
                }
                _ => Err(other()),
            },
            _ => Err(other()),
        }
    }

    fn write_json(&self, value: &Value, at: &FieldPath) -> Result<String, Misfit> {
        match find_beyond_json(value, at.clone(), *self == Kind::Jsonb) {
            Some((path, what)) => Err(Misfit::new(&path, what)),
            None => Ok(value.to_json()),
        }
    }

    /// Returns the type's name for a message.
    fn spoken(&self) -> String {
        match self {
            Kind::Enum(_) => "enum".to_owned(),
            other => other.store_name().trim_start_matches("pg:").to_owned(),
        }
    }
}

fn described(value: &Value) -> String {
    match value.type_name() {
        name if name.starts_with(['a', 'e', 'i', 'o', 'u']) => format!("an {name}"),
        name => format!("a {name}"),
    }
}

/// Reads the text of any of PostgreSQL's numbers.
fn number(text: &str) -> Option<Number> {
    match text {
        "NaN" => Some(Number::Double(f64::NAN)),
        "Infinity" => Some(Number::Double(f64::INFINITY)),
        "-Infinity" => Some(Number::Double(f64::NEG_INFINITY)),
        _ => Number::from_json(text),
    }
}

fn special(double: f64) -> &'static str {
    if double.is_nan() {
        "NaN"
    } else if double > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    }
}

/// The digits of a finite number; one that says how it was spelled keeps its spelling.
fn digits(number: &Number) -> String {
    match number {
        Number::Decimal(text) => text.to_string(),
        other => {
            let mut out = Vec::new();
            // Only NaN and the infinities have none.
            let _ = other.write_canonical(&mut out);
            String::from_utf8(out).unwrap_or_default()
        }
    }
}

fn same_number(text: &str, wanted: &Number) -> bool {
    number(text).is_some_and(|found| found.same_digits(wanted) || (!wanted.is_finite() && !found.is_finite()))
}

/// How many digits a `numeric` takes before and behind its point.
const NUMERIC_LIMITS: (i64, i64) = (131_072, 16_383);

/// Returns whether a number of this text is kept with all its digits.
pub(crate) fn fits_numeric(text: &str, scale: Option<(i64, i64)>) -> bool {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let Ok(exponent) = exponent.parse::<i64>() else { return false };
    let mantissa = mantissa.trim_start_matches(['-', '+']);
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{fraction}");
    let significant = all.trim_start_matches('0');
    if significant.is_empty() {
        return true;
    }
    let point = whole.len() as i64 + exponent - (all.len() - significant.len()) as i64;
    let behind = significant.trim_end_matches('0').len() as i64 - point;
    match scale {
        Some((precision, scale)) => behind <= scale && point <= precision - scale,
        None => behind <= NUMERIC_LIMITS.1 && point <= NUMERIC_LIMITS.0,
    }
}

/// Returns where plain JSON text cannot say what `value` holds, or `jsonb` cannot hold it, and what stands
/// there.
pub(crate) fn find_beyond_json(value: &Value, at: FieldPath, jsonb: bool) -> Option<(FieldPath, &'static str)> {
    match value {
        Value::Array(items) => {
            items.iter().enumerate().find_map(|(n, item)| find_beyond_json(item, at.join(Step::Index(n)), jsonb))
        }
        Value::Object(object) => object.iter().find_map(|(key, member)| {
            let at = at.join(Step::Key(key.clone()));
            if jsonb && key.contains('\0') {
                return Some((at, "the character U+0000 in a name"));
            }
            find_beyond_json(member, at, jsonb)
        }),
        Value::Extended(extended) => Some((at, extended.type_name())),
        Value::Number(number) if !number.is_finite() => Some((at, "NaN or an infinity")),
        Value::Number(number) if jsonb && !fits_numeric(&digits(number), None) => {
            Some((at, "a number with more digits than jsonb keeps"))
        }
        Value::String(text) if jsonb && text.contains('\0') => Some((at, "the character U+0000")),
        _ => None,
    }
}

pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

fn uuid_text(bytes: &[u8]) -> String {
    let mut text = to_hex(bytes);
    for at in [20, 16, 12, 8] {
        text.insert(at, '-');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(kind: Kind) -> Column {
        Column {
            name: "c".to_owned(),
            type_sql: "text".to_owned(),
            kind,
            not_null: false,
            writer: Writer::Anyone,
            default: Default::None,
        }
    }

    fn value(json: &str) -> Value {
        Value::from_interchange(json).expect("JSON")
    }

    const PLAIN: Kind = Kind::Text { longest: None, padded: false };

    #[test]
    fn what_a_column_keeps_comes_back() {
        for (kind, json) in [
            (Kind::Bool, "true"),
            (Kind::Int(2), "-32768"),
            (Kind::Int(8), "9223372036854775807"),
            (Kind::Float4, "0.1"),
            (Kind::Float8, "0.30000000000000004"),
            (Kind::Numeric(None), "12345678901234567890.123456789"),
            (Kind::Numeric(Some((5, 2))), "123.45"),
            (PLAIN, "\"it's\""),
            (Kind::Enum(vec!["on".to_owned()]), "\"on\""),
            (Kind::Uuid, r#"{"$uuid":"00112233-4455-6677-8899-aabbccddeeff"}"#),
            (Kind::Bytea, r#"{"$binary":{"base64":"AQID","subType":"00"}}"#),
            (Kind::Jsonb, r#"{"a":[1.5,null]}"#),
            (Kind::Moment(6), r#"{"$date":{"$numberLong":"1686096000123"}}"#),
            (Kind::Moment(6), r#"{"$store":{"type":"pg:timestamptz","text":"infinity"}}"#),
            (Kind::Array(Box::new(Kind::Int(4))), "[1,null,3]"),
            (Kind::Array(Box::new(PLAIN)), r#"["a","NULL","b \"c\"",null]"#),
            (Kind::Array(Box::new(Kind::Bytea)), r#"[{"$binary":{"base64":"AQID","subType":"00"}}]"#),
            (Kind::Store("interval".to_owned()), r#"{"$store":{"type":"pg:interval","text":"P1D"}}"#),
        ] {
            let column = column(kind);
            let cell = column.write(&value(json)).unwrap_or_else(|misfit| panic!("{json}: {}", misfit.what));
            let back = column.read(cell.as_deref()).expect("reads back");
            assert!(cfg_engine::document::same(&back, &value(json)), "{json}: {}", back.to_interchange());
        }
    }

    #[test]
    fn what_comes_back_changed_is_refused_with_its_path() {
        for (kind, json, path) in [
            (Kind::Bool, "1", "c"),
            (Kind::Int(2), "32768", "c"),
            (Kind::Int(8), "1.5", "c"),
            (Kind::Float4, "0.123456789", "c"),
            (Kind::Float8, "9007199254740993", "c"),
            (Kind::Numeric(Some((5, 2))), "1.234", "c"),
            (Kind::Numeric(Some((5, 2))), "1234", "c"),
            (Kind::Numeric(None), "1e200000", "c"),
            (PLAIN, r#""a\u0000""#, "c"),
            (PLAIN, "5", "c"),
            (Kind::Text { longest: Some(2), padded: false }, "\"abc\"", "c"),
            (Kind::Text { longest: Some(9), padded: true }, "\"abc \"", "c"),
            (Kind::Enum(vec!["on".to_owned()]), "\"off\"", "c"),
            (Kind::Jsonb, r#"{"a":[1,"x\u0000"]}"#, "c.a[1]"),
            (Kind::Jsonb, r#"{"a":{"$date":{"$numberLong":"1"}}}"#, "c.a"),
            (Kind::Json, r#"{"a":{"$numberDouble":"NaN"}}"#, "c.a"),
            (Kind::Moment(0), r#"{"$date":{"$numberLong":"1"}}"#, "c"),
            (Kind::Array(Box::new(Kind::Int(4))), "[1,[2]]", "c[1]"),
            (Kind::Store("interval".to_owned()), r#"{"$store":{"type":"pg:date","text":"2023-06-07"}}"#, "c"),
        ] {
            let misfit = column(kind).write(&value(json)).expect_err(json);
            assert_eq!(misfit.path.to_string(), path, "{json}");
        }
        let json = column(Kind::Json).write(&value(r#"{"a":"x\u0000"}"#));
        assert!(json.is_ok(), "the text of a json column may hold what jsonb may not");
    }
}
