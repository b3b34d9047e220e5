//! Writing JSON text: plain (for a JSON column), interchange (canonical Extended JSON), relaxed
//! (what people read), each compact or indented.

use super::number::Number;
use super::text::push_escaped;
use super::value::{Extended, Object, Value};

/// Which dialect a value is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// What a JSON column holds: objects as they are, no wrapper has a meaning.
    Plain,
    /// Files, `--json`, bindings: reads back as the same value.
    Interchange,
    /// What people see: as interchange, with readable dates, UUIDs and numbers.
    Relaxed,
}

impl Value {
    /// Writes compact interchange text.
    ///
    /// # Examples
    ///
    /// ```
    /// use cfg_engine::Value;
    /// let text = r#"{"$literal":{"$oid":"x"}}"#;
    /// assert_eq!(Value::from_interchange(text)?.to_interchange(), text);
    /// # Ok::<(), cfg_engine::document::ParseError>(())
    /// ```
    pub fn to_interchange(&self) -> String {
        self.to_text(Dialect::Interchange, None)
    }

    /// Writes compact plain JSON, for a JSON column.
    ///
    /// Extended values, which a JSON column cannot hold, are written as their wrappers; an adapter
    /// refuses them beforehand.
    pub fn to_json(&self) -> String {
        self.to_text(Dialect::Plain, None)
    }

    /// Writes text in a dialect, indented by `indent` spaces or compact.
    pub fn to_text(&self, dialect: Dialect, indent: Option<usize>) -> String {
        let mut out = String::new();
        TextWriter { dialect, indent, out: &mut out }.value(self, 0);
        out
    }
}

/// What the members of the object being written are.
#[derive(Clone, Copy)]
enum Inside<'o> {
    /// The user's values.
    Members,
    /// The parts of a wrapper, in which nothing is escaped.
    Wrapper,
    /// The one member `$literal`, which stands for this object.
    Literal(&'o Object),
}

struct TextWriter<'a> {
    dialect: Dialect,
    indent: Option<usize>,
    out: &'a mut String,
}

impl TextWriter<'_> {
    fn value(&mut self, value: &Value, level: usize) {
        match value {
            Value::Null => self.out.push_str("null"),
            Value::Bool(b) => self.out.push_str(if *b { "true" } else { "false" }),
            Value::Number(number) => self.number(number, level),
            Value::String(text) => push_escaped(text, self.out),
            Value::Array(items) => self.array(items, level),
            Value::Object(object) => {
                if self.dialect != Dialect::Plain && super::extended::reads_as_wrapper(object) {
                    self.object(&Object::new().with("$literal", 0), level, Inside::Literal(object));
                } else {
                    self.object(object, level, Inside::Members);
                }
            }
            Value::Extended(extended) => self.extended(extended, level),
        }
    }

    fn extended(&mut self, extended: &Extended, level: usize) {
        let object = match self.dialect {
            Dialect::Relaxed => extended.to_relaxed(),
            Dialect::Plain | Dialect::Interchange => extended.to_wrapper(),
        };
        self.object(&object, level, Inside::Wrapper);
    }

    fn number(&mut self, number: &Number, level: usize) {
        let wrapped = match (number, self.dialect) {
            (Number::Int64(n), Dialect::Interchange) => Some(("$numberLong", n.to_string())),
            (Number::Decimal128(text), Dialect::Interchange | Dialect::Relaxed) => {
                Some(("$numberDecimal", text.to_string()))
            }
            // JSON has no number for these; a JSON column cannot hold them, so its adapter refuses first.
            (Number::Decimal128(text) | Number::Decimal(text), _) if !number.is_finite() => {
                Some(("$numberDecimal", text.to_string()))
            }
            (Number::Double(d), _) if !d.is_finite() => {
                let text = if d.is_nan() {
                    "NaN"
                } else if *d > 0.0 {
                    "Infinity"
                } else {
                    "-Infinity"
                };
                Some(("$numberDouble", text.to_owned()))
            }
            _ => None,
        };
        match wrapped {
            Some((name, text)) => self.object(&Object::new().with(name, text), level, Inside::Wrapper),
            None => {
                if number.write_json(self.out).is_err() {
                    self.out.push_str("null");
                }
            }
        }
    }

    fn array(&mut self, items: &[Value], level: usize) {
        self.out.push('[');
        for (n, item) in items.iter().enumerate() {
            if n > 0 {
                self.out.push(',');
            }
            self.line(level + 1);
            self.value(item, level + 1);
        }
        if !items.is_empty() {
            self.line(level);
        }
        self.out.push(']');
    }

    fn object(&mut self, object: &Object, level: usize, inside: Inside<'_>) {
        self.out.push('{');
        for (n, (key, value)) in object.iter().enumerate() {
            if n > 0 {
                self.out.push(',');
            }
            self.line(level + 1);
            push_escaped(key, self.out);
            self.out.push(':');
            if self.indent.is_some() {
                self.out.push(' ');
            }
            match (inside, value) {
                (Inside::Literal(inner), _) => self.object(inner, level + 1, Inside::Members),
                (Inside::Wrapper, Value::Object(part)) if key != "$scope" => {
                    self.object(part, level + 1, Inside::Wrapper);
                }
                _ => self.value(value, level + 1),
            }
        }
        if !object.is_empty() {
            self.line(level);
        }
        self.out.push('}');
    }

    fn line(&mut self, level: usize) {
        if let Some(width) = self.indent {
            self.out.push('\n');
            self.out.extend(std::iter::repeat_n(' ', width * level));
        }
    }
}
