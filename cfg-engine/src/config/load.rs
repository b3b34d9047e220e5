//! [`ConfigFile`]: what a `.cfg.toml` says. Text in, typed configuration out; no files, no variables.

use super::collection::CollectionConfig;
use super::connections::Connections;
use super::env::{EnvConfig, UriSource};
use super::error::{ConfigError, ConfigErrorKind};
use super::friendly_names::{
    AUTHOR, CODE_SEARCH, COLLECTION, CONNECTIONS, PROJECT, SECRETS, SECTIONS, STORAGE, VERSIONING,
};
use super::read_collection::{self, Origin, PolicyDefaults};
use super::reader::{Log, Section};
use super::setting::{Setting, SettingSource};
use super::settings::OnSecret;
use super::source::{Entry, Node, Table};
use crate::document::{DEFAULT_BLOCK_FIELDS, DEFAULT_BLOCK_VALUES, SecretRules, SecretRulesError};
use crate::history::CollectionName;

/// The name of the file.
pub const FILE_NAME: &str = ".cfg.toml";

const HISTORY: &str = "config_history";
const HEADS: &str = "config_heads";
/// `[secrets]`: what must not be saved by accident.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SecretSettings {
    /// Globs of field names.
    pub block_fields: Vec<String>,
    /// Regular expressions of values.
    pub block_values: Vec<String>,
    /// What happens on a match.
    pub on_match: OnSecret,
    /// Whether long random-looking values count too.
    pub high_entropy: bool,
    /// All of that as what scans documents.
    pub rules: SecretRules,
}

/// Where an author's name comes from when neither `--author` nor `CFG_AUTHOR` gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthorFrom {
    /// git's `user.email`, else the user of the operating system.
    Git,
    /// Nowhere: one of the two must be given.
    Env,
    /// The user of the operating system.
    Os,
}

impl AuthorFrom {
    const WORDS: [(&'static str, AuthorFrom); 3] =
        [("git", AuthorFrom::Git), ("env", AuthorFrom::Env), ("os", AuthorFrom::Os)];
}

/// `[code_search]`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct CodeSearch {
    /// The folders that `refs check` searches, relative to the file.
    pub roots: Vec<String>,
}

/// A `.cfg.toml`, read and checked.
///
/// # Examples
///
/// ```
/// use cfg_engine::config::ConfigFile;
/// let file = ConfigFile::parse(r#"
///     [[collection]]
///     name = "prompts"
///     id_field = "id"
///
///     [env.dev]
///     database = "sqlite"
///     uri = "app.db"
/// "#)?;
/// assert_eq!(file.collections[0].table, "prompts");
/// # Ok::<(), cfg_engine::config::ConfigError>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ConfigFile {
    /// The project's name.
    pub project_name: Option<String>,
    /// The versioned collections; at least one.
    pub collections: Vec<CollectionConfig>,
    /// The table or collection that history lies in.
    pub history_table: String,
    /// The table or collection of the head pointers.
    pub heads_table: String,
    /// What must not be saved by accident.
    pub secrets: SecretSettings,
    /// Where an author's name comes from.
    pub author_from: AuthorFrom,
    /// Whether a commit needs a base; by default on gated envs.
    pub require_base: Option<bool>,
    /// How configs depend on each other.
    pub connections: Connections,
    /// Where code is searched.
    pub code_search: CodeSearch,
    /// The envs, in the order of the file.
    pub envs: Vec<EnvConfig>,
    settings: Vec<Setting>,
}

impl ConfigFile {
    /// Reads the text of a `.cfg.toml`, in the specification's friendly names, its technical ones, or both.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] with line and key: not TOML, an unknown key, both names of one key, a missing
    /// key, a value that cannot be used, credentials in a URI.
    pub fn parse(text: &str) -> Result<ConfigFile, ConfigError> {
        let root = Table::parse(text)?;
        let log = Log::default();
        let file = Section::open("", Some(&root), SECTIONS, &log)?;
        let open = |name: &'static str, keys| Section::open(name, table_of(&file, name)?, keys, &log);

        let project = open("project", PROJECT)?;
        let storage = open("storage", STORAGE)?;
        let versioning = open("versioning", VERSIONING)?;
        let secrets = open("secrets", SECRETS)?;
        let author = open("author", AUTHOR)?;
        let connections = open("connections", CONNECTIONS)?;
        let code_search = open("code_search", CODE_SEARCH)?;

        let project_name = project.text_or("name", None)?;
        let (collections, history_table, heads_table) = collections(&file, &storage, &versioning, &log)?;
        let require_base = require_base(&versioning)?;
        let secrets = secret_settings(&secrets)?;
        let author_from = author.word("from", &AuthorFrom::WORDS, "git")?.unwrap_or(AuthorFrom::Git);
        let connections = Connections::read(&connections)?;
        let code_search = CodeSearch { roots: code_search.texts_or("roots", &[])? };
        let envs = envs(&file, &log)?;
        drop(file);
        Ok(ConfigFile {
            project_name,
            collections,
            history_table,
            heads_table,
            secrets,
            author_from,
            require_base,
            connections,
            code_search,
            envs,
            settings: log.into_inner(),
        })
    }

    /// Returns every setting in effect under its friendly name, with where it comes from.
    pub fn effective(&self) -> Vec<Setting> {
        self.settings.clone()
    }

    /// Returns the env of this name.
    pub fn env(&self, name: &str) -> Option<&EnvConfig> {
        self.envs.iter().find(|env| env.name.as_str() == name)
    }

    /// Returns the collection of this name.
    pub fn collection(&self, name: &str) -> Option<&CollectionConfig> {
        self.collections.iter().find(|collection| collection.name.as_str() == name)
    }

    /// Returns whether a commit in this env needs a base.
    pub fn requires_base(&self, env: &EnvConfig) -> bool {
        self.require_base.unwrap_or(env.needs_approval)
    }
}

/// Returns the table under a key of the file.
fn table_of<'t>(file: &Section<'t>, name: &str) -> Result<Option<&'t Table>, ConfigError> {
    match file.entry(name) {
        None => Ok(None),
        Some(Entry { node: Node::Table(table), .. }) => Ok(Some(table)),
        Some(Entry { node: Node::Array(_), .. }) => Err(file.error(
            ConfigErrorKind::WrongType,
            name,
            "must be one table",
            format!("write [{name}] with single brackets, once"),
        )),
        Some(entry) => Err(file.error(
            ConfigErrorKind::WrongType,
            name,
            format!("must be a table, not {}", entry.node.type_name()),
            format!("write [{name}] and its keys below"),
        )),
    }
}

/// Reads `[storage]` and every `[[collection]]`.
fn collections(
    file: &Section<'_>,
    storage: &Section<'_>,
    versioning: &Section<'_>,
    log: &Log,
) -> Result<(Vec<CollectionConfig>, String, String), ConfigError> {
    let defaults = PolicyDefaults::read(versioning)?;
    let mut found = Vec::new();
    let live = storage.text("live_collection")?;
    let about_live = ["id_field", "id_type", "shape", "doc_column", "live_when", "retire_with"];
    match live {
        Some(table) => {
            storage.note("live_collection", table.value.as_str(), table.source);
            let name = CollectionName::new(&table.value).map_err(|e| {
                storage.bad("live_collection", e.to_string(), "use [[collection]], where name and table can differ")
            })?;
            found.push(read_collection::read(storage, Origin::Storage, name, table.value, &defaults, versioning)?);
        }
        None if about_live.iter().any(|key| storage.entry(key).is_some()) => {
            return Err(storage.missing("live_collection", "live_collection = \"…\", the collection the app reads"));
        }
        None => {}
    }
    let history = storage.text_or("history_collection", Some(HISTORY))?.unwrap_or_default();
    let heads = storage.text_or("heads_collection", Some(HEADS))?.unwrap_or_default();
    defaults.note(versioning, if found.is_empty() { Origin::Collection } else { Origin::Storage });

    for (line, table) in collection_tables(file)? {
        let mut section = Section::open("collection", Some(table), COLLECTION, log)?;
        section.line = line;
        let name = section.text("name")?.ok_or_else(|| section.missing("name", "name = \"…\""))?;
        let collection = CollectionName::new(&name.value).map_err(|e| {
            section.bad("name", e.to_string(), "name it like prompts; table is what the database calls it")
        })?;
        if found.iter().any(|other: &CollectionConfig| other.name == collection) {
            return Err(section.error(
                ConfigErrorKind::Duplicate,
                "name",
                format!("there are two collections {collection}"),
                "give each its own name",
            ));
        }
        section.path = format!("collection.{collection}");
        let table = section.text_or("table", Some(&name.value))?.unwrap_or_default();
        found.push(read_collection::read(&section, Origin::Collection, collection, table, &defaults, versioning)?);
    }
    if found.is_empty() {
        return Err(ConfigError::whole(
            ConfigErrorKind::Missing,
            "no collection is configured",
            "add a [[collection]] with name and id_field, or [storage] with live_collection",
        ));
    }
    check_tables(storage, &found, &history, &heads)?;
    Ok((found, history, heads))
}

fn collection_tables<'t>(file: &Section<'t>) -> Result<Vec<(usize, &'t Table)>, ConfigError> {
    let wrong = || {
        file.error(
            ConfigErrorKind::WrongType,
            "collection",
            "must be a list of tables",
            "write [[collection]], with double brackets",
        )
    };
    match file.entry("collection") {
        None => Ok(Vec::new()),
        Some(Entry { node: Node::Array(items), .. }) => items
            .iter()
            .map(|(line, item)| match item {
                Node::Table(table) => Ok((*line, table)),
                _ => Err(wrong()),
            })
            .collect(),
        Some(_) => Err(wrong()),
    }
}

/// The engine's own tables must not be anybody's live table.
fn check_tables(
    storage: &Section<'_>,
    collections: &[CollectionConfig],
    history: &str,
    heads: &str,
) -> Result<(), ConfigError> {
    let hint = "give the engine's own tables names of their own";
    for (n, collection) in collections.iter().enumerate() {
        if let Some(other) = collections[..n].iter().find(|other| other.table == collection.table) {
            return Err(ConfigError::whole(
                ConfigErrorKind::Duplicate,
                format!("collections {} and {} are both of table {}", other.name, collection.name, collection.table),
                "a table is one collection's: leave one of them, or give each a table of its own",
            ));
        }
    }
    if history == heads {
        return Err(storage.bad("heads_collection", "is the same as history_collection", hint));
    }
    for (key, table) in [("history_collection", history), ("heads_collection", heads)] {
        if let Some(live) = collections.iter().find(|collection| collection.table == table) {
            return Err(storage.bad(key, format!("is the live table of {}", live.name), hint));
        }
    }
    Ok(())
}

fn require_base(versioning: &Section<'_>) -> Result<Option<bool>, ConfigError> {
    let read = versioning.bool("require_base")?;
    match &read {
        Some(read) => versioning.note("require_base", read.value, read.source),
        None => versioning.note("require_base", "where needs_approval", SettingSource::Default),
    }
    Ok(read.map(|read| read.value))
}

fn secret_settings(section: &Section<'_>) -> Result<SecretSettings, ConfigError> {
    let block_fields = section.texts_or("block_fields", DEFAULT_BLOCK_FIELDS)?;
    let block_values = section.texts_or("block_values", DEFAULT_BLOCK_VALUES)?;
    let rules = SecretRules::new(&block_fields, &block_values).map_err(|e| match e {
        SecretRulesError::Regex { rule } => section.bad(
            "block_values",
            format!("{rule:?} is no regular expression"),
            "write it like 'AKIA[0-9A-Z]{16}', in single quotes so that backslashes stay",
        ),
        SecretRulesError::Glob { rule } => {
            section.bad("block_fields", format!("{rule:?} is no glob"), "write it like *_token")
        }
    })?;
    let words = [("refuse", OnSecret::Refuse), ("warn", OnSecret::Warn)];
    let on_match = section.word("on_match", &words, "refuse")?.unwrap_or_default();
    let high_entropy = section.bool_or("high_entropy", false)?;
    let rules = if high_entropy { rules.high_entropy() } else { rules };
    Ok(SecretSettings { block_fields, block_values, on_match, high_entropy, rules })
}

/// Returns the variable that two envs take their databases from, where one of them is gated: whoever is given
/// the one has the other.
fn shared_with_gated<'e>(one: &'e EnvConfig, other: &EnvConfig) -> Option<&'e str> {
    fn variables(env: &EnvConfig) -> impl Iterator<Item = &str> {
        [&env.uri, &env.history_uri].into_iter().flatten().filter_map(|uri| match uri {
            UriSource::Env(variable) => Some(variable.as_str()),
            UriSource::Plain(_) => None,
        })
    }
    let gated = one.needs_approval || other.needs_approval;
    variables(one).filter(|_| gated).find(|variable| variables(other).any(|other| other == *variable))
}

fn envs(file: &Section<'_>, log: &Log) -> Result<Vec<EnvConfig>, ConfigError> {
    let Some(table) = table_of(file, "env")? else { return Ok(Vec::new()) };
    let mut envs: Vec<EnvConfig> = Vec::with_capacity(table.entries.len());
    for entry in &table.entries {
        let env = EnvConfig::read(entry, log)?;
        let same_place = |other: &&EnvConfig| {
            env.uri.is_some() && (other.database, &other.uri, &other.db) == (env.database, &env.uri, &env.db)
        };
        if let Some(other) = envs.iter().find(same_place) {
            return Err(ConfigError::new(
                ConfigErrorKind::Duplicate,
                entry.line,
                format!("env.{}", entry.key),
                format!("is the same database as env {}", other.name),
                "give each env a database of its own: a live table belongs to one env",
            ));
        }
        if let Some((other, variable)) = envs.iter().find_map(|other| Some((other, shared_with_gated(&env, other)?))) {
            return Err(ConfigError::new(
                ConfigErrorKind::Duplicate,
                entry.line,
                format!("env.{}.uri", entry.key),
                format!("is the variable {variable} of env {}, and one of them needs approvals", other.name),
                "give the env that needs approvals a variable of its own: who has one must not have the other",
            ));
        }
        envs.push(env);
    }
    Ok(envs)
}
