//! The only map between the names of the specification's Part 1, which people write, and those of
//! its §8, which it uses inside. Everything else in the engine knows the friendly names alone.

use super::error::{ConfigError, ConfigErrorKind};
use super::source::{Entry, Table};

/// A key: its friendly name, and the technical one where that differs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Name {
    pub(super) friendly: &'static str,
    technical: &'static str,
}

const fn same(name: &'static str) -> Name {
    Name { friendly: name, technical: name }
}

const fn pair(friendly: &'static str, technical: &'static str) -> Name {
    Name { friendly, technical }
}

impl Name {
    fn is(&self, key: &str) -> bool {
        self.friendly == key || self.technical == key
    }
}

/// The tables of the file.
pub(super) const SECTIONS: &[Name] = &[
    same("project"),
    pair("storage", "stores"),
    same("collection"),
    pair("versioning", "hash"),
    same("secrets"),
    pair("author", "identity"),
    pair("connections", "impact"),
    same("code_search"),
    same("env"),
];

pub(super) const PROJECT: &[Name] = &[same("name")];

pub(super) const STORAGE: &[Name] = &[
    pair("live_collection", "runtime_collection"),
    same("id_field"),
    same("id_type"),
    same("shape"),
    same("doc_column"),
    pair("live_when", "runtime_filter"),
    same("retire_with"),
    same("history_collection"),
    same("heads_collection"),
];

pub(super) const COLLECTION: &[Name] = &[
    same("name"),
    same("table"),
    same("id_field"),
    same("id_type"),
    same("shape"),
    same("doc_column"),
    pair("live_when", "runtime_filter"),
    same("retire_with"),
    same("ignore_fields"),
    pair("ignore_patterns", "ignore_globs"),
    same("ignore_paths"),
    pair("secret_fields", "strip_on_store"),
];

pub(super) const VERSIONING: &[Name] = &[
    same("ignore_fields"),
    pair("ignore_patterns", "ignore_globs"),
    same("ignore_paths"),
    pair("secret_fields", "strip_on_store"),
    same("require_base"),
];

pub(super) const SECRETS: &[Name] = &[
    pair("block_fields", "deny_field_globs"),
    pair("block_values", "deny_value_regex"),
    same("on_match"),
    same("high_entropy"),
];

pub(super) const AUTHOR: &[Name] = &[pair("from", "author_from")];

pub(super) const CONNECTIONS: &[Name] = &[
    same("enabled"),
    pair("share_with_ai", "allow"),
    pair("ai_provider", "provider"),
    pair("warn_level", "block_on"),
    pair("links", "edge_fields"),
];

pub(super) const LINK: &[Name] = &[same("field"), pair("means", "kind")];

pub(super) const CODE_SEARCH: &[Name] = &[same("roots")];

pub(super) const ENV: &[Name] = &[
    pair("database", "backend"),
    same("uri"),
    same("db"),
    same("history_uri"),
    same("history_db"),
    pair("needs_approval", "gated"),
    pair("rules", "policy"),
    same("deploy"),
];

pub(super) const RULES: &[Name] = &[
    same("require_reason"),
    same("require_clean"),
    pair("confirm_word", "affirm_phrase"),
    pair("emergency_override", "break_glass"),
    same("emergency_per_hour"),
    same("alert"),
    same("required"),
    same("exclude_author"),
    same("approvers"),
    same("expires"),
];

/// Which keys belong to which table, for telling people where a key goes.
const BY_SECTION: &[(&str, &[Name])] = &[
    ("[project]", PROJECT),
    ("[storage]", STORAGE),
    ("[versioning]", VERSIONING),
    ("[[collection]]", COLLECTION),
    ("[secrets]", SECRETS),
    ("[author]", AUTHOR),
    ("[connections]", CONNECTIONS),
    ("[code_search]", CODE_SEARCH),
    ("[env.NAME]", ENV),
    ("[env.NAME.rules]", RULES),
];

/// Pairs each key of a table with its friendly name.
///
/// # Errors
///
/// A key that is none of `names`, with the nearest one; a key given under both of its names.
pub(super) fn resolve<'t>(
    names: &'static [Name],
    table: &'t Table,
    path: &str,
) -> Result<Vec<(&'static str, &'t Entry)>, ConfigError> {
    let mut found: Vec<(&'static str, &'t Entry)> = Vec::with_capacity(table.entries.len());
    for entry in &table.entries {
        let Some(name) = names.iter().find(|name| name.is(&entry.key)) else {
            return Err(unknown(names, entry, path));
        };
        if let Some((_, earlier)) = found.iter().find(|(friendly, _)| *friendly == name.friendly) {
            return Err(ConfigError::new(
                ConfigErrorKind::Duplicate,
                entry.line,
                dotted(path, &entry.key),
                format!("{} and {} are two names of one key (line {})", earlier.key, entry.key, earlier.line),
                format!("keep {} and remove {}", name.friendly, name.technical),
            ));
        }
        found.push((name.friendly, entry));
    }
    Ok(found)
}

/// Joins a path and a key.
pub(super) fn dotted(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn unknown(names: &[Name], entry: &Entry, path: &str) -> ConfigError {
    let spellings = names.iter().flat_map(|name| [name.friendly, name.technical]);
    let hint = match (nearest(&entry.key, spellings), elsewhere(&entry.key)) {
        (Some(near), _) if near.eq_ignore_ascii_case(&entry.key) => format!("write {near}"),
        (_, Some(section)) => format!("{} belongs in {section}", entry.key),
        (Some(near), None) => format!("did you mean {near}?"),
        (None, None) => {
            format!("the keys here are {}", names.iter().map(|n| n.friendly).collect::<Vec<_>>().join(", "))
        }
    };
    ConfigError::new(ConfigErrorKind::UnknownKey, entry.line, dotted(path, &entry.key), "there is no such key", hint)
}

fn elsewhere(key: &str) -> Option<&'static str> {
    BY_SECTION.iter().find(|(_, names)| names.iter().any(|name| name.is(key))).map(|(section, _)| *section)
}

/// Returns the word most like `word`, if one is like it at all.
pub(super) fn nearest<'n>(word: &str, among: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let word = word.to_lowercase();
    among
        .into_iter()
        .map(|name| (strsim::jaro_winkler(&word, name).max(strsim::normalized_damerau_levenshtein(&word, name)), name))
        .filter(|(likeness, _)| *likeness > 0.78)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

/// How two configs depend on each other through a field, as §8's word.
///
/// Part 1 says it in a sentence, whose end tells: "a tool several configs share" is `shared_set`.
pub(super) fn link_kind(text: &str) -> Option<&'static str> {
    const KINDS: [(&str, &str); 4] = [
        ("contract", "other configs rely on"),
        ("shared_set", "several configs share"),
        ("ref_keys", "referenced across configs"),
        ("model_ref", "another config falls back to"),
    ];
    KINDS.into_iter().find(|(word, end)| text == *word || text.ends_with(end)).map(|(word, _)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_means_two_keys() {
        for (section, names) in BY_SECTION.iter().copied().chain([("links", LINK), ("", SECTIONS)]) {
            for (n, a) in names.iter().enumerate() {
                for b in &names[n + 1..] {
                    assert!(!a.is(b.friendly) && !a.is(b.technical), "{section}: {} and {}", a.friendly, b.friendly);
                }
            }
        }
    }

    #[test]
    fn the_specifications_pairs_are_all_here() {
        for (names, friendly, technical) in [
            (STORAGE, "live_collection", "runtime_collection"),
            (STORAGE, "live_when", "runtime_filter"),
            (VERSIONING, "ignore_patterns", "ignore_globs"),
            (VERSIONING, "secret_fields", "strip_on_store"),
            (CONNECTIONS, "links", "edge_fields"),
            (CONNECTIONS, "share_with_ai", "allow"),
            (CONNECTIONS, "warn_level", "block_on"),
            (ENV, "needs_approval", "gated"),
            (RULES, "confirm_word", "affirm_phrase"),
            (ENV, "database", "backend"),
            (SECTIONS, "storage", "stores"),
            (SECTIONS, "versioning", "hash"),
            (SECTIONS, "author", "identity"),
            (SECTIONS, "connections", "impact"),
        ] {
            assert!(names.iter().any(|n| n.friendly == friendly && n.technical == technical), "{friendly}");
        }
    }

    #[test]
    fn nearest_is_near() {
        assert_eq!(nearest("databse", ENV.iter().map(|n| n.friendly)), Some("database"));
        assert_eq!(nearest("Database", ENV.iter().map(|n| n.friendly)), Some("database"));
        assert_eq!(nearest("colour", ENV.iter().map(|n| n.friendly)), None);
    }

    #[test]
    fn sentences_and_words_name_one_kind() {
        assert_eq!(link_kind("a tool several configs share"), Some("shared_set"));
        assert_eq!(link_kind("model_ref"), Some("model_ref"));
        assert_eq!(link_kind("something else"), None);
    }
}
