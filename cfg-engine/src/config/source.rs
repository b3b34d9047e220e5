//! A TOML text as a tree in which everything knows its line.

use toml::de::{DeTable, DeValue};
use toml::value::Datetime;

use super::error::{ConfigError, ConfigErrorKind};

/// A table, its entries in the order of the file.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) line: usize,
    pub(super) entries: Vec<Entry>,
}

/// One key of a table.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) line: usize,
    pub(super) node: Node,
}

/// A value.
#[derive(Debug)]
pub(super) enum Node {
    Text(String),
    Int(i64),
    Float(f64),
    Bool(bool),
    Date(Datetime),
    Array(Vec<(usize, Node)>),
    Table(Table),
}

impl Node {
    /// Names the type for messages.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Node::Text(_) => "text",
            Node::Int(_) => "a whole number",
            Node::Float(_) => "a number",
            Node::Bool(_) => "true or false",
            Node::Date(_) => "a date",
            Node::Array(_) => "a list",
            Node::Table(_) => "a table",
        }
    }
}

impl Table {
    /// Reads a text. The message of the parser is kept, the line of text that it would show is not:
    /// it may hold a URI.
    pub(super) fn parse(text: &str) -> Result<Table, ConfigError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines = Lines::of(text);
        let root = DeTable::parse(text).map_err(|e| {
            let line = e.span().map_or(1, |span| lines.line(span.start));
            ConfigError::new(
                ConfigErrorKind::Syntax,
                line,
                "",
                format!("not valid TOML: {}", e.message()),
                "one `key = value` per line; text stands in double quotes",
            )
        })?;
        table(root.get_ref(), 1, &lines)
    }
}

/// Where the lines of a text start.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        let starts = text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(at, _)| at + 1);
        Lines(std::iter::once(0).chain(starts).collect())
    }

    fn line(&self, offset: usize) -> usize {
        self.0.partition_point(|start| *start <= offset)
    }
}

fn table(from: &DeTable<'_>, line: usize, lines: &Lines) -> Result<Table, ConfigError> {
    let mut placed = Vec::with_capacity(from.len());
    for (key, value) in from {
        let line = lines.line(key.span().start);
        let node = node(value.get_ref(), line, lines)?;
        placed.push((key.span().start, Entry { key: key.get_ref().to_string(), line, node }));
    }
    // The map is sorted or not by a feature that any crate of a build can turn on.
    placed.sort_by_key(|(at, _)| *at);
    Ok(Table { line, entries: placed.into_iter().map(|(_, entry)| entry).collect() })
}

fn node(from: &DeValue<'_>, line: usize, lines: &Lines) -> Result<Node, ConfigError> {
    let bad = |problem: &str| ConfigError::new(ConfigErrorKind::BadValue, line, "", problem, "write it as text");
    Ok(match from {
        DeValue::String(text) => Node::Text(text.to_string()),
        DeValue::Integer(number) => Node::Int(
            i64::from_str_radix(number.as_str(), number.radix()).map_err(|_| bad("a whole number beyond 64 bits"))?,
        ),
        DeValue::Float(number) => {
            let number: f64 = number.as_str().parse().map_err(|_| bad("a number that cannot be read"))?;
            if !number.is_finite() {
                return Err(bad("a number that is not finite"));
            }
            Node::Float(number)
        }
        DeValue::Boolean(b) => Node::Bool(*b),
        DeValue::Datetime(date) => Node::Date(*date),
        DeValue::Array(items) => {
            let items = items.iter().map(|item| {
                let line = lines.line(item.span().start);
                Ok((line, node(item.get_ref(), line, lines)?))
            });
            Node::Array(items.collect::<Result<_, ConfigError>>()?)
        }
        DeValue::Table(inner) => Node::Table(table(inner, line, lines)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_keep_the_order_of_the_file_and_their_lines() {
        let table = Table::parse("b = 1\n[z]\ny = 2\nx = [1,\n  2]\n[a]\n").expect("valid");
        let keys: Vec<_> = table.entries.iter().map(|e| (e.key.as_str(), e.line)).collect();
        assert_eq!(keys, [("b", 1), ("z", 2), ("a", 6)]);
        let Node::Table(z) = &table.entries[1].node else { panic!("a table") };
        assert_eq!(z.entries[1].line, 4);
        let Node::Array(items) = &z.entries[1].node else { panic!("a list") };
        assert_eq!(items[1].0, 5);
    }

    #[test]
    fn a_syntax_error_names_the_line_and_repeats_nothing() {
        let error = Table::parse("a = 1\nuri = \"postgres://me:hunter2@db/x\n").expect_err("broken");
        assert_eq!((error.kind(), error.line()), (ConfigErrorKind::Syntax, Some(2)));
        assert!(!format!("{error} {error:?}").contains("hunter2"));
        let twice = Table::parse("[a]\nb = 1\nb = 2\n").expect_err("twice");
        assert_eq!(twice.line(), Some(3));
    }

    #[test]
    fn numbers_that_toml_knows_and_json_does_not_are_refused() {
        for text in ["a = nan", "a = inf", "a = 99999999999999999999"] {
            assert_eq!(Table::parse(text).expect_err(text).kind(), ConfigErrorKind::BadValue);
        }
        assert!(Table::parse("a = 0xff\nb = 1_000\nc = 1_0.5").is_ok());
    }
}
