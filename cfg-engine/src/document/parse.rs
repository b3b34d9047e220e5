//! Reading JSON text: strict RFC 8259, with what a document store must not accept refused
//! (duplicate keys, lone surrogates, nesting beyond [`MAX_DEPTH`]). With wrappers: interchange.

use std::borrow::Cow;
use std::collections::HashSet;

use super::extended::{MAX_TEXT_DEPTH, may_start_wrapper};
use super::number::Number;
use super::text::plain_run;
use super::value::{Object, Value};

/// How deep arrays and objects may nest, the outermost counted. What a wrapper or `$literal` adds in
/// text is not counted.
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
    #[error("not a JSON number, or one with an exponent of more than nine digits")]
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
        Parser::new(text).document()
    }

    /// Reads a document of plain JSON and keeps how its numbers are spelled: `1.50` is written again as `1.50`.
    ///
    /// For a store that has kept a document's text and puts a part of it back.
    ///
    /// # Errors
    ///
    /// As [`from_json`](Value::from_json).
    ///
    /// # Examples
    ///
    /// ```
    /// use cfg_engine::Value;
    /// assert_eq!(Value::from_json_verbatim(r#"{"price": 1.50}"#)?.to_json(), r#"{"price":1.50}"#);
    /// # Ok::<(), cfg_engine::document::ParseError>(())
    /// ```
    pub fn from_json_verbatim(text: &str) -> Result<Value, ParseError> {
        let mut parser = Parser::new(text);
        parser.verbatim = true;
        parser.document()
    }

    /// Parses interchange text: JSON in which Extended JSON v2 wrappers (canonical or relaxed) and
    /// `$literal` carry their meaning.
    ///
    /// # Errors
    ///
    /// [`ParseError`], also for a wrapper whose content does not fit. Numeric wrappers of NaN and
    /// the infinities are read; hashing refuses them later, with the path.
    ///
    /// # Examples
    ///
    /// ```
    /// use cfg_engine::Value;
    /// let value = Value::from_interchange(r#"{"at": {"$date": "2023-06-07T00:00:00Z"}}"#)?;
    /// assert_eq!(value.get("at").map(Value::type_name), Some("date"));
    /// # Ok::<(), cfg_engine::document::ParseError>(())
    /// ```
    pub fn from_interchange(text: &str) -> Result<Value, ParseError> {
        let mut parser = Parser::new(text);
        parser.wrappers = Wrappers::Read;
        parser.document()
    }
}

/// What an object that looks like a wrapper is to the parser.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wrappers {
    /// An ordinary object.
    Ignore,
    /// An extended value.
    Read,
    /// Part of the text of one: read as it is, and given its meaning with the outermost of them.
    Inside,
}

pub(crate) struct Parser<'a> {
    text: &'a str,
    bytes: &'a [u8],
    pub(crate) at: usize,
    wrappers: Wrappers,
    verbatim: bool,
    /// The members and the items of what is being read, outermost first: an object or array is made
    /// when its size is known.
    members: Vec<(String, Value)>,
    items: Vec<Value>,
}

impl<'a> Parser<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Parser {
            text,
            bytes: text.as_bytes(),
            at: 0,
            wrappers: Wrappers::Ignore,
            verbatim: false,
            members: Vec::new(),
            items: Vec::new(),
        }
    }

    fn document(mut self) -> Result<Value, ParseError> {
        self.space();
        let value = self.value(0)?;
        self.space();
        if self.at < self.bytes.len() {
            return Err(self.error(ParseProblem::Trailing));
        }
        Ok(value)
    }

    fn error(&self, problem: ParseProblem) -> ParseError {
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

    fn error_at(&mut self, at: usize, problem: ParseProblem) -> ParseError {
        self.at = at;
        self.error(problem)
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

    fn value(&mut self, depth: usize) -> Result<Value, ParseError> {
        match self.peek() {
            Some(b'"') => Ok(Value::String(self.string()?.into_owned())),
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'n') => self.word("null", Value::Null),
            _ => self.expected("a value"),
        }
    }

    /// Returns the depth inside an array or object that opens at `start`, unless it is too deep.
    fn deeper(&mut self, start: usize, depth: usize) -> Result<usize, ParseError> {
        let limit = if self.wrappers == Wrappers::Inside { MAX_TEXT_DEPTH } else { MAX_DEPTH };
        if depth < limit { Ok(depth + 1) } else { Err(self.error_at(start, ParseProblem::TooDeep)) }
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
        let text = self.number_text();
        match Number::from_json(text) {
            Some(Number::Double(_)) if self.verbatim => Ok(Value::Number(Number::Decimal(text.into()))),
            Some(number) => Ok(Value::Number(number)),
            None => {
                self.at = start;
                Err(self.error(ParseProblem::Number))
            }
        }
    }

    /// Reads the run of bytes that numbers are made of.
    pub(crate) fn number_text(&mut self) -> &'a str {
        let start = self.at;
        while let Some(b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        &self.text[start..self.at]
    }

    fn array(&mut self, depth: usize) -> Result<Value, ParseError> {
        let depth = self.deeper(self.at, depth)?;
        self.at += 1;
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Value::Array(Vec::new()));
        }
        let base = self.items.len();
        loop {
            self.space();
            let item = self.value(depth)?;
            self.items.push(item);
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(Value::Array(self.items.drain(base..).collect()));
                }
                _ => return self.expected("',' or ']'"),
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value, ParseError> {
        let start = self.at;
        self.at += 1;
        self.space();
        if self.peek() == Some(b'}') {
            self.deeper(start, depth)?;
            self.at += 1;
            return Ok(Value::Object(Object::new()));
        }
        let first = self.key()?;
        if self.wrappers != Wrappers::Read || !may_start_wrapper(&first) {
            let depth = self.deeper(start, depth)?;
            return Ok(Value::Object(self.members(first, depth)?));
        }
        // Only at its end is it known whether this is a wrapper, so what it holds is read as it is.
        self.wrappers = Wrappers::Inside;
        let plain = Value::Object(self.members(first, depth + 1)?);
        self.wrappers = Wrappers::Read;
        plain.unwrap_extended(depth).map_err(|problem| self.error_at(start, problem))
    }

    /// Reads the members of an object to its end; stands behind the first key.
    fn members(&mut self, first: Cow<'a, str>, depth: usize) -> Result<Object, ParseError> {
        let base = self.members.len();
        let mut seen: HashSet<Cow<'a, str>> = HashSet::new();
        let mut key = first;
        loop {
            self.space();
            if self.peek() != Some(b':') {
                return self.expected("':'");
            }
            self.at += 1;
            self.space();
            let value = self.value(depth)?;
            let count = self.members.len() - base;
            if count == LINEAR_KEYS {
                seen.extend(self.members[base..].iter().map(|(key, _)| Cow::Owned(key.clone())));
            }
            if count >= LINEAR_KEYS {
                seen.insert(key.clone());
            }
            self.members.push((key.into_owned(), value));
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(Object::from_members(self.members.drain(base..).collect()));
                }
                _ => return self.expected("',' or '}'"),
            }
            self.space();
            let key_at = self.at;
            key = self.key()?;
            let duplicate = match seen.is_empty() {
                true => self.members[base..].iter().any(|(earlier, _)| *earlier == key),
                false => seen.contains(&key),
            };
            if duplicate {
                return Err(self.error_at(key_at, ParseProblem::DuplicateKey(key.into_owned())));
            }
        }
    }

    fn key(&mut self) -> Result<Cow<'a, str>, ParseError> {
        if self.peek() != Some(b'"') {
            return self.expected("a member name");
        }
        self.string()
    }

    /// Reads a string; stands on its opening quote.
    pub(crate) fn string(&mut self) -> Result<Cow<'a, str>, ParseError> {
        self.at += 1;
        let plain = self.plain_run();
        if self.peek() == Some(b'"') {
            self.at += 1;
            return Ok(Cow::Borrowed(plain));
        }
        let mut text = plain.to_owned();
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Cow::Owned(text));
                }
                Some(b'\\') => text.push(self.escape()?),
                Some(_) => return Err(self.error(ParseProblem::ControlCharacter)),
                None => return Err(self.error(ParseProblem::Eof)),
            }
            text.push_str(self.plain_run());
        }
    }

    /// Reads up to a quote, a backslash or a control character.
    fn plain_run(&mut self) -> &'a str {
        let start = self.at;
        self.at += plain_run(&self.bytes[start..]);
        &self.text[start..self.at]
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
        (at..at + 4).try_fold(0, |code, at| {
            let digit = self.bytes.get(at).ok_or_else(|| self.error(ParseProblem::Eof))?;
            let digit = char::from(*digit).to_digit(16).ok_or_else(|| self.error(ParseProblem::Escape))?;
            Ok(code * 16 + digit)
        })
    }
}
