//! An env: which database holds it, and what a change there needs.

use std::time::Duration;

use regex::Regex;

use super::alert::{Alert, AlertUrl};
use super::credentials::holds_credentials;
use super::error::{ConfigError, ConfigErrorKind};
use super::friendly_names::{ENV, RULES};
use super::policy::{Approver, check_approvers};
use super::reader::{Log, Section, Single, Sourced};
use super::setting::SettingSource;
use super::source::{Entry, Node};
use crate::history::EnvName;

/// A kind of database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Database {
    /// `mongo`, `mongodb`.
    Mongo,
    /// `postgres`, `postgresql`.
    Postgres,
    /// `sqlite`.
    Sqlite,
    /// `memory`: empty at every start, for trying things and for tests.
    Memory,
}

impl Database {
    const WORDS: [(&'static str, Database); 6] = [
        ("mongo", Database::Mongo),
        ("mongodb", Database::Mongo),
        ("postgres", Database::Postgres),
        ("postgresql", Database::Postgres),
        ("sqlite", Database::Sqlite),
        ("memory", Database::Memory),
    ];

    /// Reads the word of the file.
    pub fn parse(word: &str) -> Option<Self> {
        Self::WORDS.into_iter().find(|(w, _)| *w == word).map(|(_, database)| database)
    }

    /// Returns the word of the file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Database::Mongo => "mongo",
            Database::Postgres => "postgres",
            Database::Sqlite => "sqlite",
            Database::Memory => "memory",
        }
    }

    /// Returns the product's name.
    pub const fn title(self) -> &'static str {
        match self {
            Database::Mongo => "MongoDB",
            Database::Postgres => "PostgreSQL",
            Database::Sqlite => "SQLite",
            Database::Memory => "in-memory",
        }
    }
}

/// Where the URI of a database comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UriSource {
    /// `env:VAR`: from this environment variable.
    Env(String),
    /// As written; it holds no credentials.
    Plain(String),
}

impl UriSource {
    /// Returns the text of the file.
    pub fn text(&self) -> String {
        match self {
            UriSource::Env(variable) => format!("env:{variable}"),
            UriSource::Plain(text) => text.clone(),
        }
    }
}

/// Whether a change must say why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReasonRule {
    /// No.
    Optional,
    /// Any reason will do.
    Required,
    /// The reason must match each of these regular expressions.
    Matching(Vec<String>),
}

/// `[env.NAME.rules]`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rules {
    /// Whether a change must say why.
    pub require_reason: ReasonRule,
    /// Refuse while something was edited outside cfg.
    pub require_clean: bool,
    /// The word a human types to approve.
    pub confirm_word: Option<String>,
    /// Whether `--force` and the emergency path may be used at all; they still need an approval.
    pub emergency_override: bool,
    /// How often per hour.
    pub emergency_per_hour: u32,
    /// Who is told of every such use, and of history that is rewritten; without one there is neither.
    pub alert: Option<Alert>,
    /// How many approvals a plan needs.
    pub required: u32,
    /// The author of a plan may not approve it; `None` leaves it to the way of approving: a terminal does not
    /// ask, a signature does.
    pub exclude_author: Option<bool>,
    /// Who may approve; `None` means any user of the operating system.
    pub approvers: Option<Vec<Approver>>,
    /// How long an approval may wait and then be used.
    pub expires: Duration,
}

impl Default for Rules {
    fn default() -> Self {
        Rules {
            require_reason: ReasonRule::Optional,
            require_clean: false,
            confirm_word: None,
            emergency_override: false,
            emergency_per_hour: DEFAULT_EMERGENCY_PER_HOUR,
            alert: None,
            required: 1,
            exclude_author: None,
            approvers: None,
            expires: Duration::from_secs(24 * 60 * 60),
        }
    }
}

const DEFAULT_EMERGENCY_PER_HOUR: u32 = 3;
const DEFAULT_EXPIRES: &str = "24h";

/// One `[env.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EnvConfig {
    /// Its name.
    pub name: EnvName,
    /// Which kind of database holds it.
    pub database: Database,
    /// Where that is; none for the memory one.
    pub uri: Option<UriSource>,
    /// The database's name, where the URI does not say.
    pub db: Option<String>,
    /// Where history lies, if not beside the live records (MongoDB).
    pub history_uri: Option<UriSource>,
    /// The database history lies in (MongoDB).
    pub history_db: Option<String>,
    /// Whether a change needs a human's approval.
    pub needs_approval: bool,
    /// What else a change needs.
    pub rules: Rules,
    /// The command that deploys code at a commit, `{git_sha}` standing for it.
    pub deploy: Vec<String>,
}

impl EnvConfig {
    /// Reads `[env.NAME]`.
    pub(super) fn read(entry: &Entry, log: &Log) -> Result<Self, ConfigError> {
        let path = format!("env.{}", entry.key);
        let name = EnvName::new(&entry.key).map_err(|e| {
            ConfigError::new(ConfigErrorKind::BadValue, entry.line, "env", e.to_string(), "name it like dev or prod")
        })?;
        let Node::Table(table) = &entry.node else {
            return Err(ConfigError::new(
                ConfigErrorKind::WrongType,
                entry.line,
                path,
                format!("must be a table, not {}", entry.node.type_name()),
                "write [env.dev] and its keys below",
            ));
        };
        let section = Section::open(path, Some(table), ENV, log)?;
        let database = section.word("database", &Database::WORDS, "")?.ok_or_else(|| {
            section.missing("database", "database = \"sqlite\", \"postgres\", \"mongo\" or \"memory\"")
        })?;
        let uri = uri(&section, "uri")?;
        let db = section.text_or("db", None)?;
        let history_uri = self::uri(&section, "history_uri")?;
        let history_db = section.text_or("history_db", None)?;
        check_place(&section, database, uri.as_ref())?;
        let needs_approval = section.bool_or("needs_approval", false)?;
        let rules = rules(&section, log)?;
        let deploy = section.texts_or("deploy", &[])?;
        Ok(EnvConfig { name, database, uri, db, history_uri, history_db, needs_approval, rules, deploy })
    }
}

/// Reads a URI: `env:VAR`, or a plain one without credentials.
fn uri(section: &Section<'_>, key: &str) -> Result<Option<UriSource>, ConfigError> {
    let Some(Sourced { value, source }) = section.text(key)? else {
        section.note(key, crate::Value::Null, SettingSource::Default);
        return Ok(None);
    };
    let uri = match value.strip_prefix("env:") {
        Some(variable) => UriSource::Env(variable_name(section, key, variable)?),
        None if holds_credentials(&value) => {
            return Err(section.error(
                ConfigErrorKind::Credentials,
                key,
                "holds credentials, which do not belong into a file",
                format!("write {key} = \"env:VARIABLE\" and put the URI into that environment variable"),
            ));
        }
        None => UriSource::Plain(value),
    };
    section.note(key, uri.text(), source);
    Ok(Some(uri))
}

/// Checks that the keys for the place fit the kind of database.
fn check_place(section: &Section<'_>, database: Database, uri: Option<&UriSource>) -> Result<(), ConfigError> {
    let unused = |key: &str, hint: &str| match section.entry(key) {
        Some(_) => Err(section.bad(key, format!("has no meaning for {}", database.as_str()), hint)),
        None => Ok(()),
    };
    match database {
        Database::Memory => unused("uri", "remove it: this database is empty at every start")?,
        _ if uri.is_none() => {
            let example = match database {
                Database::Sqlite => "uri = \"data/app.db\" (relative to this file) or uri = \"env:VARIABLE\"",
                _ => "uri = \"env:VARIABLE\" and put the URI into that environment variable",
            };
            return Err(section.missing("uri", example));
        }
        _ => {}
    }
    if matches!(database, Database::Memory | Database::Sqlite) {
        unused("db", "remove it: the uri is the file")?;
    }
    if database != Database::Mongo {
        for key in ["history_uri", "history_db"] {
            unused(key, "remove it: history lies beside the live records here; only MongoDB can hold it elsewhere")?;
        }
    }
    Ok(())
}

fn rules(env: &Section<'_>, log: &Log) -> Result<Rules, ConfigError> {
    let table = match env.entry("rules") {
        None => None,
        Some(Entry { node: Node::Table(table), .. }) => Some(table),
        Some(entry) => {
            return Err(env.error(
                ConfigErrorKind::WrongType,
                "rules",
                format!("must be a table, not {}", entry.node.type_name()),
                format!("write [{}.rules] and its keys below", env.path),
            ));
        }
    };
    let section = Section::open(format!("{}.rules", env.path), table, RULES, log)?;
    Ok(Rules {
        require_reason: reason(&section)?,
        require_clean: section.bool_or("require_clean", false)?,
        confirm_word: section.text_or("confirm_word", None)?,
        emergency_override: section.bool_or("emergency_override", false)?,
        emergency_per_hour: section.count_or("emergency_per_hour", DEFAULT_EMERGENCY_PER_HOUR)?,
        alert: alert(&section)?,
        required: section.count_or("required", 1)?,
        exclude_author: exclude_author(&section)?,
        approvers: approvers(&section)?,
        expires: expires(&section)?,
    })
}

fn reason(section: &Section<'_>) -> Result<ReasonRule, ConfigError> {
    const KEY: &str = "require_reason";
    if !matches!(section.entry(KEY), Some(Entry { node: Node::Text(_), .. })) {
        let required = section.bool_or(KEY, false)?;
        return Ok(if required { ReasonRule::Required } else { ReasonRule::Optional });
    }
    let pattern = section.text_or(KEY, None)?.unwrap_or_default();
    if Regex::new(&pattern).is_err() {
        return Err(section.bad(KEY, "is no regular expression", "write true, or a pattern like '[A-Z]+-[0-9]+'"));
    }
    Ok(ReasonRule::Matching(vec![pattern]))
}

fn alert(section: &Section<'_>) -> Result<Option<Alert>, ConfigError> {
    const KEY: &str = "alert";
    const HINT: &str = "write a URL or \"env:VARIABLE\", or a command as a list: [\"notify\", \"--now\"]";
    if !matches!(section.entry(KEY), Some(Entry { node: Node::Text(_), .. })) {
        let command = section.texts_or(KEY, &[])?;
        return Ok((!command.is_empty()).then_some(Alert::Command(command)));
    }
    let Some(Sourced { value, source }) = section.text(KEY)? else { return Ok(None) };
    let alert = match value.strip_prefix("env:") {
        Some(variable) => Alert::Variable(variable_name(section, KEY, variable)?),
        None => Alert::Url(AlertUrl::parse(&value).map_err(|problem| section.bad(KEY, problem, HINT))?),
    };
    if matches!(&alert, Alert::Url(url) if url.holds_user()) {
        return Err(section.error(
            ConfigErrorKind::Credentials,
            KEY,
            "holds credentials, which do not belong into a file",
            "write alert = \"env:VARIABLE\" and put the URL into that environment variable",
        ));
    }
    let shown = match &alert {
        Alert::Url(url) => format!("{}/…", url.host()),
        other => other.label(),
    };
    section.note(KEY, shown, source);
    Ok(Some(alert))
}

/// Reads the name behind `env:`.
fn variable_name(section: &Section<'_>, key: &str, variable: &str) -> Result<String, ConfigError> {
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    let fine = variable.starts_with(letter) && variable.chars().all(|c| letter(c) || c.is_ascii_digit());
    if !fine {
        // What was written there may be the URI itself, so it is not repeated.
        return Err(section.bad(
            key,
            "is no name of an environment variable",
            "write env:NAME, a name of letters, digits and '_', and set that variable",
        ));
    }
    Ok(variable.to_owned())
}

fn exclude_author(section: &Section<'_>) -> Result<Option<bool>, ConfigError> {
    const KEY: &str = "exclude_author";
    let read = section.bool(KEY)?;
    match &read {
        Some(read) => section.note(KEY, read.value, read.source),
        None => section.note(KEY, "where approvals are signed", SettingSource::Default),
    }
    Ok(read.map(|read| read.value))
}

fn approvers(section: &Section<'_>) -> Result<Option<Vec<Approver>>, ConfigError> {
    const KEY: &str = "approvers";
    let hint = "name users, each with a public key if he signs: [\"ana\", \"bob ed25519:…\"]";
    let read = section.texts(KEY, Single::Allowed)?;
    let Some(read) = read else {
        section.note(KEY, crate::Value::Null, SettingSource::Default);
        return Ok(None);
    };
    if read.value.is_empty() {
        return Err(section.bad(KEY, "is empty, so that nobody could approve", "name somebody, or remove the key"));
    }
    let parsed = read.value.iter().map(|text| Approver::parse(text)).collect::<Result<Vec<_>, _>>();
    let approvers = parsed.map_err(|problem| section.bad(KEY, problem, hint))?;
    check_approvers(&approvers).map_err(|problem| section.bad(KEY, problem, hint))?;
    section.note(KEY, read.value, read.source);
    Ok(Some(approvers))
}

fn expires(section: &Section<'_>) -> Result<Duration, ConfigError> {
    const KEY: &str = "expires";
    let text = section.text_or(KEY, Some(DEFAULT_EXPIRES))?.unwrap_or_default();
    duration(&text)
        .ok_or_else(|| section.bad(KEY, format!("{text:?} is no duration"), "write a number and s, m, h or d: \"24h\""))
}

fn duration(text: &str) -> Option<Duration> {
    let unit = text.chars().last()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 60 * 60,
        'd' => 24 * 60 * 60,
        _ => return None,
    };
    let digits = &text[..text.len() - 1];
    let number: u64 = digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())??;
    number.checked_mul(seconds).filter(|s| *s > 0).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(duration("90s"), Some(Duration::from_secs(90)));
        assert_eq!(duration("7d"), Some(Duration::from_secs(7 * 24 * 3600)));
        for text in ["", "h", "24", "0h", "-1h", "1.5h", "1w", "24 h", "ü", "99999999999999999999h"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }
}
