//! Reading JSON text: strict RFC 8259, with what a document store must not accept refused
//! (duplicate keys, lone surrogates, nesting beyond [`MAX_DEPTH`]).

use std::collections::HashSet;

use super::number::Number;
use super::value::{Object, Value};

/// How deep arrays and objects may nest.
pub const MAX_DEPTH: usize = 100;

/// Objects with more members than this are checked for duplicate keys by a hash set.
const LINEAR_KEYS: usize = 12;

/// Why a text is not an acceptable JSON document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem} at line {line}, column {column}")]
pub struct ParseError {
    /// What is wrong.
    pub problem: ParseProblem,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Byte offset, from 0.
    pub offset: usize,
}

/// What can be wrong with a JSON text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseProblem {
    /// The text breaks JSON's grammar.
    #[error("not JSON: expected {0}")]
    Expected(&'static str),
    /// The text ends too early.
    #[error("the JSON text ends too early")]
    Eof,
    /// There is more after the value.
    #[error("text after the JSON value")]
    Trailing,
    /// A key stands twice in one object.
    #[error("duplicate key {0:?}")]
    DuplicateKey(String),
    /// A `\uD800`-`\uDFFF` escape without its partner.
    #[error("lone surrogate in a string")]
    LoneSurrogate,
    /// Nesting beyond [`MAX_DEPTH`].
    #[error("nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// A raw control character in a string.
    #[error("control character in a string")]
    ControlCharacter,
    /// An unknown escape.
    #[error("unknown escape in a string")]
    Escape,
    /// Something that is not a JSON number, such as `NaN`, `01` or `1.`.
    #[error("not a JSON number")]
    Number,
    /// A wrapper such as `{"$oid": …}` whose content does not fit.
    #[error("not a valid {0} value")]
    Wrapper(&'static str),
}

impl Value {
    /// Parses plain JSON: what looks like an Extended JSON wrapper stays an ordinary object.
    ///
    /// This is how a JSON column is read. For files, `--json` and bindings see
    /// [`Value::from_interchange`].
    ///
    /// # Errors
    ///
    /// [`ParseError`] with line and column.
    ///
    /// # Examples
    ///
    /// ```
    /// use cfg_engine::Value;
    /// assert!(Value::from_json(r#"{"a": 1, "a": 2}"#).is_err());
    /// ```
    pub fn from_json(text: &str) -> Result<Value, ParseError> {
        let mut parser = Parser::new(text);
        parser.space();
        let value = parser.value(0)?;
        parser.space();
        if parser.at < parser.bytes.len() {
            return Err(parser.error(ParseProblem::Trailing));
        }
        Ok(value)
    }
}

pub(crate) struct Parser<'a> {
    text: &'a str,
    pub(crate) bytes: &'a [u8],
    pub(crate) at: usize,
}

impl<'a> Parser<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Parser { text, bytes: text.as_bytes(), at: 0 }
    }

    pub(crate) fn error(&self, problem: ParseProblem) -> ParseError {
        let offset = self.at.min(self.text.len());
        let before = &self.bytes[..offset];
        let line_start = memchr::memrchr(b'\n', before).map_or(0, |n| n + 1);
        ParseError {
            problem,
            line: memchr::memchr_iter(b'\n', before).count() + 1,
            column: String::from_utf8_lossy(&before[line_start..]).chars().count() + 1,
            offset,
        }
    }

    fn expected<T>(&self, what: &'static str) -> Result<T, ParseError> {
        Err(self.error(if self.at >= self.bytes.len() { ParseProblem::Eof } else { ParseProblem::Expected(what) }))
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    pub(crate) fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    pub(crate) fn value(&mut self, depth: usize) -> Result<Value, ParseError> {
        match self.peek() {
            Some(b'"') => Ok(Value::String(self.string()?)),
            Some(b'{') => self.object(depth + 1),
            Some(b'[') => self.array(depth + 1),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'n') => self.word("null", Value::Null),
            _ => self.expected("a value"),
        }
    }

    fn word(&mut self, word: &'static str, value: Value) -> Result<Value, ParseError> {
        if self.bytes[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            return Ok(value);
        }
        self.expected("a value")
    }

    fn number(&mut self) -> Result<Value, ParseError> {
        let start = self.at;
        while let Some(b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        match Number::from_json(&self.text[start..self.at]) {
            Some(number) => Ok(Value::Number(number)),
            None => {
                self.at = start;
                Err(self.error(ParseProblem::Number))
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<Value, ParseError> {
        if depth > MAX_DEPTH {
            return Err(self.error(ParseProblem::TooDeep));
        }
        self.at += 1;
        let mut items = Vec::new();
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Value::Array(items));
        }
        loop {
            self.space();
            items.push(self.value(depth)?);
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(Value::Array(items));
                }
                _ => return self.expected("',' or ']'"),
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value, ParseError> {
        if depth > MAX_DEPTH {
            return Err(self.error(ParseProblem::TooDeep));
        }
        self.at += 1;
        let mut members: Vec<(String, Value)> = Vec::new();
        let mut seen: Option<HashSet<String>> = None;
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Value::Object(Object::new()));
        }
        loop {
            self.space();
            let key_at = self.at;
            if self.peek() != Some(b'"') {
                return self.expected("a member name");
            }
            let key = self.string()?;
            let duplicate = match &mut seen {
                Some(seen) => !seen.insert(key.clone()),
                None => members.iter().any(|(k, _)| *k == key),
            };
            if duplicate {
                self.at = key_at;
                return Err(self.error(ParseProblem::DuplicateKey(key)));
            }
            self.space();
            if self.peek() != Some(b':') {
                return self.expected("':'");
            }
            self.at += 1;
            self.space();
            let value = self.value(depth)?;
            members.push((key, value));
            if seen.is_none() && members.len() > LINEAR_KEYS {
                seen = Some(members.iter().map(|(k, _)| k.clone()).collect());
            }
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(Value::Object(Object::from_members(members)));
                }
                _ => return self.expected("',' or '}'"),
            }
        }
    }

    /// Reads a string; stands on its opening quote.
    pub(crate) fn string(&mut self) -> Result<String, ParseError> {
        self.at += 1;
        let start = self.at;
        self.plain_run();
        if self.peek() == Some(b'"') {
            let text = self.text[start..self.at].to_owned();
            self.at += 1;
            return Ok(text);
        }
        let mut text = self.text[start..self.at].to_owned();
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(text);
                }
                Some(b'\\') => text.push(self.escape()?),
                Some(_) => return Err(self.error(ParseProblem::ControlCharacter)),
                None => return Err(self.error(ParseProblem::Eof)),
            }
            let run = self.at;
            self.plain_run();
            text.push_str(&self.text[run..self.at]);
        }
    }

    fn plain_run(&mut self) {
        while let Some(b) = self.peek() {
            if b == b'"' || b == b'\\' || b < 0x20 {
                break;
            }
            self.at += 1;
        }
    }

    fn escape(&mut self) -> Result<char, ParseError> {
        let escape = self.bytes.get(self.at + 1).copied();
        let plain = match escape {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(),
            Some(_) => return Err(self.error(ParseProblem::Escape)),
            None => return Err(self.error(ParseProblem::Eof)),
        };
        self.at += 2;
        Ok(plain)
    }

    fn unicode_escape(&mut self) -> Result<char, ParseError> {
        let first = self.hex4(self.at + 2)?;
        match first {
            0xD800..=0xDBFF => {
                if self.bytes.get(self.at + 6..self.at + 8) != Some(b"\\u") {
                    return Err(self.error(ParseProblem::LoneSurrogate));
                }
                let second = self.hex4(self.at + 8)?;
                if !(0xDC00..=0xDFFF).contains(&second) {
                    return Err(self.error(ParseProblem::LoneSurrogate));
                }
                let code = 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
                let c = char::from_u32(code).ok_or_else(|| self.error(ParseProblem::Escape))?;
                self.at += 12;
                Ok(c)
            }
            0xDC00..=0xDFFF => Err(self.error(ParseProblem::LoneSurrogate)),
            code => {
                let c = char::from_u32(code).ok_or_else(|| self.error(ParseProblem::Escape))?;
                self.at += 6;
                Ok(c)
            }
        }
    }

    fn hex4(&self, at: usize) -> Result<u32, ParseError> {
        let digits = self.bytes.get(at..at + 4).ok_or_else(|| self.error(ParseProblem::Eof))?;
        let mut code = 0;
        for digit in digits {
            let digit = (*digit as char).to_digit(16).ok_or_else(|| self.error(ParseProblem::Escape))?;
            code = code * 16 + digit;
        }
        Ok(code)
    }
}
