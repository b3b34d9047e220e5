//! The scan for secrets before anything is stored.

use std::fmt;

use regex::RegexSet;

use super::field_path::{FieldPath, Step};
use super::field_policy::{FieldPolicy, PolicyCursor, Treatment};
use super::glob::Glob;
use super::value::{Extended, Object, Value};

/// What [`SecretRules::default`] takes for the name of a secret.
pub const DEFAULT_BLOCK_FIELDS: &[&str] = &["*_key", "*_secret", "*_token", "*api_key*", "*password*"];

/// What [`SecretRules::default`] takes for a secret.
pub const DEFAULT_BLOCK_VALUES: &[&str] = &["sk-[A-Za-z0-9]{20,}", "AKIA[0-9A-Z]{16}"];

/// The rule named in hits of [`SecretRules::high_entropy`].
pub const HIGH_ENTROPY: &str = "high_entropy";

/// Stands for a name that is a secret itself.
const HIDDEN_NAME: &str = "***";

/// What counts as a secret: `[secrets]` of the configuration.
///
/// Two kinds of rules: globs over field names and regular expressions over text. The scan walks
/// all that would be stored: ignored fields too, values at any depth below a field with a secret
/// name, names themselves, strings in arrays, the bytes of binary values, and messages. What the
/// policy calls secret is not stored and not scanned.
///
/// **Names** are compared without regard to case and style: `apiKey`, `API_KEY`, `api-key`,
/// `APIKey` and `api key` are all `api_key`, and an underscore inside a glob is optional, so that
/// `*api_key*` finds `apikey` as well. Beyond that the globs rule, and rule literally: `*_token`
/// leaves `max_tokens`, `token_count` and a plain `token` alone, and `*_key` finds `primary_key`.
/// Whoever keeps harmless fields of such names narrows `block_fields`.
///
/// **Values** below a secret name count if they are text that is not blank, numbers or bytes.
/// Booleans, null, dates and ids do not, and neither do stand-ins: `env:NAME`, `${NAME}`,
/// `[REDACTED]`.
///
/// # Examples
///
/// ```
/// use cfg_engine::Value;
/// use cfg_engine::document::{FieldPolicy, SecretRules};
/// let doc = Value::from_json(r#"{"smtp": {"apiKey": "hunter2"}, "max_tokens": 100}"#)?;
/// let hits = SecretRules::default().scan(&doc, &FieldPolicy::default());
/// assert_eq!(hits.len(), 1);
/// assert_eq!(hits[0].path.to_string(), "smtp.apiKey");
/// # Ok::<(), cfg_engine::document::ParseError>(())
/// ```
#[derive(Clone)]
pub struct SecretRules {
    fields: Vec<FieldRule>,
    values: RegexSet,
    high_entropy: bool,
}

/// An entry of `block_fields`.
#[derive(Clone)]
struct FieldRule {
    text: String,
    /// Over the name in lower case.
    plain: Glob,
    /// Over its normal form, with and without the underscores inside the glob.
    normal: Vec<Glob>,
}

/// Something that looks like a secret. It never holds the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretHit {
    /// Where. A name that is a secret itself is shown as `***`; a message has the empty path.
    pub path: FieldPath,
    /// What gave it away.
    pub kind: SecretKind,
    /// The rule: a glob of `block_fields`, an expression of `block_values`, or [`HIGH_ENTROPY`].
    pub rule: String,
}

/// What gave a secret away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SecretKind {
    /// The name of the field, or of one around it.
    FieldName,
    /// The value.
    Value,
    /// The name of a field is a secret itself.
    Key,
    /// A message.
    Message,
}

/// Why a rule cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SecretRulesError {
    /// An entry of `block_fields` is not a glob.
    #[error("not a glob in block_fields: {rule:?}")]
    Glob {
        /// The text as given.
        rule: String,
    },
    /// An entry of `block_values` is not a regular expression.
    #[error("not a regular expression in block_values: {rule:?}")]
    Regex {
        /// The text as given.
        rule: String,
    },
}

impl SecretKind {
    /// Returns `field_name`, `value`, `key` or `message`.
    ///
    /// # Examples
    ///
    /// ```
    /// use cfg_engine::document::SecretKind;
    /// assert_eq!(SecretKind::FieldName.as_str(), "field_name");
    /// ```
    pub fn as_str(self) -> &'static str {
        match self {
            SecretKind::FieldName => "field_name",
            SecretKind::Value => "value",
            SecretKind::Key => "key",
            SecretKind::Message => "message",
        }
    }
}

impl fmt::Display for SecretKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl SecretHit {
    /// Returns `{path, kind, rule}`.
    ///
    /// # Examples
    ///
    /// ```
    /// use cfg_engine::document::SecretRules;
    /// let hit = SecretRules::default().scan_text("rotated AKIA0123456789ABCDEF").expect("a hit");
    /// assert_eq!(hit.to_value().to_json(), r#"{"path":"","kind":"message","rule":"AKIA[0-9A-Z]{16}"}"#);
    /// ```
    pub fn to_value(&self) -> Value {
        let object = Object::new().with("path", self.path.to_string()).with("kind", self.kind.as_str());
        object.with("rule", self.rule.as_str()).into()
    }
}

impl fmt::Debug for SecretRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretRules")
            .field("block_fields", &self.fields.iter().map(|rule| &rule.text).collect::<Vec<_>>())
            .field("block_values", &self.values.patterns())
            .field("high_entropy", &self.high_entropy)
            .finish()
    }
}

impl FieldRule {
    fn new(text: &str) -> Option<Self> {
        let glob = normal_glob(text);
        let joined = without_inner_underscores(&glob);
        let joined = (joined != glob).then(|| Glob::new(&joined));
        let normal = std::iter::once(Glob::new(&glob)).chain(joined).collect::<Option<_>>()?;
        Some(FieldRule { text: text.to_owned(), plain: Glob::new(&text.to_lowercase())?, normal })
    }
}

impl Default for SecretRules {
    /// [`DEFAULT_BLOCK_FIELDS`] and [`DEFAULT_BLOCK_VALUES`].
    fn default() -> Self {
        Self::new(DEFAULT_BLOCK_FIELDS, DEFAULT_BLOCK_VALUES).expect("the default rules are well formed")
    }
}

impl SecretRules {
    /// Takes the globs of `block_fields` and the regular expressions of `block_values`.
    ///
    /// # Errors
    ///
    /// [`SecretRulesError`] with the rule at fault.
    ///
    /// # Examples
    ///
    /// ```
    /// use cfg_engine::document::SecretRules;
    /// assert!(SecretRules::new(&["*credential*"], &["ghp_[A-Za-z0-9]{36}"]).is_ok());
    /// assert!(SecretRules::new(&["*"], &["("]).is_err());
    /// ```
    pub fn new<F, V>(block_fields: &[F], block_values: &[V]) -> Result<Self, SecretRulesError>
    where
        F: AsRef<str>,
        V: AsRef<str>,
    {
        let fields = block_fields.iter().map(|rule| {
            let rule = rule.as_ref();
            FieldRule::new(rule).ok_or_else(|| SecretRulesError::Glob { rule: rule.to_owned() })
        });
        let fields = fields.collect::<Result<_, _>>()?;
        for rule in block_values {
            regex::Regex::new(rule.as_ref()).map_err(|_| SecretRulesError::Regex { rule: rule.as_ref().to_owned() })?;
        }
        let values = RegexSet::new(block_values.iter().map(AsRef::as_ref)).map_err(|_| SecretRulesError::Regex {
            rule: block_values.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", "),
        })?;
        Ok(SecretRules { fields, values, high_entropy: false })
    }

    /// Counts long words that look random as secrets, too: mixed letters and digits from 20
    /// characters on, hexadecimal digits from 32 on.
    ///
    /// Not a default: hashes and random ids look the same.
    ///
    /// # Examples
    ///
    /// ```
    /// use cfg_engine::document::SecretRules;
    /// let rules = SecretRules::default().high_entropy();
    /// assert!(rules.scan_text("use q9XvT2mLr8Zp4KdW7sYh").is_some());
    /// assert!(rules.scan_text("use gpt-4-turbo-preview-2024-01-25").is_none());
    /// ```
    #[must_use]
    pub fn high_entropy(mut self) -> Self {
        self.high_entropy = true;
        self
    }

    /// Returns what looks like a secret in all that would be stored of `doc`, in document order.
    ///
    /// # Examples
    ///
    /// ```
    /// use cfg_engine::Value;
    /// use cfg_engine::document::{FieldPolicy, SecretKind, SecretRules};
    /// let doc = Value::from_json(r#"{"notes": ["AKIA0123456789ABCDEF"], "db_password": "hunter2"}"#)?;
    /// let policy = FieldPolicy::builder().secret_field("db_password")?.build();
    /// let hits = SecretRules::default().scan(&doc, &policy);
    /// assert_eq!(hits.len(), 1);
    /// assert_eq!(hits[0].kind, SecretKind::Value);
    /// assert_eq!(hits[0].path.to_string(), "notes[0]");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn scan(&self, doc: &Value, policy: &FieldPolicy) -> Vec<SecretHit> {
        let mut walk = Walk { rules: self, path: Vec::new(), hits: Vec::new() };
        walk.value(doc, policy.cursor(), None);
        walk.hits
    }

    /// Returns what looks like a secret in a message.
    ///
    /// # Examples
    ///
    /// ```
    /// use cfg_engine::document::SecretRules;
    /// assert!(SecretRules::default().scan_text("move the api key to the vault").is_none());
    /// ```
    pub fn scan_text(&self, text: &str) -> Option<SecretHit> {
        let rule = self.value_rule(text)?.to_owned();
        Some(SecretHit { path: FieldPath::root(), kind: SecretKind::Message, rule })
    }

    fn name_rule(&self, name: &str) -> Option<&str> {
        let (lower, normal) = (name.to_lowercase(), normal_name(name));
        let fits =
            |rule: &&FieldRule| rule.plain.is_match(&lower) || rule.normal.iter().any(|glob| glob.is_match(&normal));
        self.fields.iter().find(fits).map(|rule| rule.text.as_str())
    }

    fn value_rule(&self, text: &str) -> Option<&str> {
        match self.values.matches(text).iter().next() {
            Some(n) => Some(self.values.patterns()[n].as_str()),
            None => (self.high_entropy && has_random_word(text)).then_some(HIGH_ENTROPY),
        }
    }
}

struct Walk<'r> {
    rules: &'r SecretRules,
    path: Vec<Step>,
    hits: Vec<SecretHit>,
}

impl<'r> Walk<'r> {
    /// Walks a value; `named` is the rule that its name, or one around it, fits.
    fn value(&mut self, value: &Value, cursor: PolicyCursor<'_>, named: Option<&'r str>) {
        match value {
            Value::Object(object) => {
                for (key, child) in object {
                    if let Some(cursor) = stored(cursor.member(key)) {
                        self.member(key, child, cursor, named);
                    }
                }
            }
            Value::Array(items) => {
                for (index, child) in items.iter().enumerate() {
                    if let Some(cursor) = stored(cursor.element(index)) {
                        self.path.push(Step::Index(index));
                        self.value(child, cursor, named);
                        self.path.pop();
                    }
                }
            }
            Value::String(text) => self.text(text, named),
            Value::Number(_) => self.hit_name(named),
            Value::Extended(extended) => self.extended(extended, named),
            Value::Null | Value::Bool(_) => {}
        }
    }

    fn member(&mut self, key: &str, value: &Value, cursor: PolicyCursor<'_>, named: Option<&'r str>) {
        let as_value = self.rules.value_rule(key);
        // A name that is a secret must not be shown, neither here nor in paths below it.
        let shown = if as_value.is_some() { HIDDEN_NAME } else { key };
        self.path.push(Step::Key(shown.to_owned()));
        if let Some(rule) = as_value {
            self.hit(SecretKind::Key, rule);
        }
        self.value(value, cursor, named.or_else(|| self.rules.name_rule(key)));
        self.path.pop();
    }

    fn text(&mut self, text: &str, named: Option<&'r str>) {
        if named.is_some() && !is_stand_in(text) {
            self.hit_name(named);
        } else if let Some(rule) = self.rules.value_rule(text) {
            self.hit(SecretKind::Value, rule);
        }
    }

    fn extended(&mut self, extended: &Extended, named: Option<&'r str>) {
        match extended {
            Extended::Binary { bytes, .. } => {
                if named.is_some() && !bytes.is_empty() {
                    self.hit_name(named);
                } else {
                    self.text(&String::from_utf8_lossy(bytes), None);
                }
            }
            Extended::Regex { pattern: text, .. } | Extended::Symbol(text) | Extended::Store { text, .. } => {
                self.text(text, named);
            }
            Extended::Code { code, scope } => {
                self.text(code, named);
                for (key, value) in scope.iter().flatten() {
                    self.path.push(Step::Key("$scope".to_owned()));
                    self.member(key, value, PolicyCursor::FREE, named);
                    self.path.pop();
                }
            }
            Extended::DbPointer { namespace, .. } => self.text(namespace, None),
            Extended::ObjectId(_)
            | Extended::DateTime(_)
            | Extended::Timestamp { .. }
            | Extended::MinKey
            | Extended::MaxKey
            | Extended::Undefined => {}
        }
    }

    fn hit_name(&mut self, named: Option<&'r str>) {
        if let Some(rule) = named {
            self.hit(SecretKind::FieldName, rule);
        }
    }

    fn hit(&mut self, kind: SecretKind, rule: &str) {
        self.hits.push(SecretHit { path: FieldPath::from_steps(self.path.clone()), kind, rule: rule.to_owned() });
    }
}

/// Returns the rules below, unless the place is not stored at all.
fn stored((treatment, cursor): (Treatment, PolicyCursor<'_>)) -> Option<PolicyCursor<'_>> {
    match treatment {
        Treatment::Versioned => Some(cursor),
        // An ignored value is stored with all that is in it.
        Treatment::Ignored => Some(PolicyCursor::FREE),
        Treatment::Secret => None,
    }
}

/// Returns whether a text only says where the secret is, or that there is none.
fn is_stand_in(text: &str) -> bool {
    let text = text.trim();
    let is_name = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'.')
    };
    let variable = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
    text.is_empty() || text == "[REDACTED]" || text.strip_prefix("env:").or(variable).is_some_and(is_name)
}

/// Brings a name into `snake_case`, whatever its style.
fn normal_name(name: &str) -> String {
    normalise(name, |_| false)
}

/// As [`normal_name`], but leaves the signs of a glob alone.
fn normal_glob(glob: &str) -> String {
    // Inside brackets and behind a backslash every character has a meaning of its own.
    if glob.contains(['[', '\\']) {
        glob.to_lowercase()
    } else {
        normalise(glob, |c| matches!(c, '*' | '?' | '{' | '}' | ','))
    }
}

fn normalise(name: &str, is_sign: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(name.len() + 4);
    let mut chars = name.chars().peekable();
    let mut previous: Option<char> = None;
    while let Some(c) = chars.next() {
        if is_sign(c) {
            out.push(c);
        } else if !c.is_alphanumeric() {
            if !out.ends_with('_') {
                out.push('_');
            }
        } else {
            // A word begins at `K` in `apiKey` and in `APIKey`.
            let begins = c.is_uppercase()
                && previous.is_some_and(|p| {
                    p.is_lowercase()
                        || p.is_numeric()
                        || (p.is_uppercase() && chars.peek().is_some_and(|next| next.is_lowercase()))
                });
            if begins {
                out.push('_');
            }
            out.extend(c.to_lowercase());
        }
        previous = Some(c);
    }
    out
}

/// Leaves out the underscores between two letters or digits.
fn without_inner_underscores(glob: &str) -> String {
    let chars: Vec<char> = glob.chars().collect();
    let is_inner = |n: usize| {
        n > 0 && chars[n - 1].is_alphanumeric() && chars.get(n + 1).is_some_and(|next| next.is_alphanumeric())
    };
    (0..chars.len()).filter(|n| chars[*n] != '_' || !is_inner(*n)).map(|n| chars[n]).collect()
}

/// Returns whether a word of a text looks random.
fn has_random_word(text: &str) -> bool {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=' | '_' | '-'))).any(is_random)
}

fn is_random(word: &str) -> bool {
    if word.len() < 20 {
        return false;
    }
    let mut counts = [0u32; 128];
    word.bytes().for_each(|b| counts[usize::from(b & 127)] += 1);
    let length = word.len() as f64;
    let share = |count: &u32| f64::from(*count) / length;
    let entropy: f64 = counts.iter().filter(|count| **count > 0).map(share).map(|p| -p * p.log2()).sum();
    let has = |wanted: fn(&u8) -> bool| word.bytes().any(|b| wanted(&b));
    let has_digit = has(u8::is_ascii_digit);
    if word.bytes().all(|b| b.is_ascii_hexdigit()) {
        return word.len() >= 32 && has_digit && has(u8::is_ascii_alphabetic) && entropy >= 3.0;
    }
    has_digit && has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase) && entropy >= 4.0
}

#[cfg(test)]
mod tests;
