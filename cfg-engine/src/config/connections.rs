//! `[connections]`: how configs depend on each other. Read and kept; nothing acts on it yet.

use super::error::{ConfigError, ConfigErrorKind};
use super::friendly_names::{LINK, link_kind};
use super::reader::{Log, Section};
use super::setting::SettingSource;
use super::source::Node;
use crate::document::{Object, Value};

/// When a change is flagged in a check before saving.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WarnLevel {
    /// Never.
    #[default]
    None,
    /// When it breaks another config.
    Breaking,
}

/// What a field that connects configs means.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkKind {
    /// A contract other configs rely on.
    Contract,
    /// Something several configs share.
    SharedSet,
    /// Keys referenced across configs.
    RefKeys,
    /// A model another config falls back to.
    ModelRef,
    /// Anything else, in the words of the file.
    Other(String),
}

/// A field that connects configs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The field.
    pub field: String,
    /// What it means.
    pub kind: LinkKind,
}

/// `[connections]`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Connections {
    /// Whether anything may be sent anywhere.
    pub enabled: bool,
    /// The configs whose text may be sent.
    pub share_with_ai: Vec<String>,
    /// To whom.
    pub ai_provider: String,
    /// When a change is flagged.
    pub warn_level: WarnLevel,
    /// The fields that connect configs.
    pub links: Vec<Link>,
}

impl Connections {
    pub(super) fn read(section: &Section<'_>) -> Result<Self, ConfigError> {
        let enabled = section.bool_or("enabled", false)?;
        let share_with_ai = section.texts_or("share_with_ai", &[])?;
        let ai_provider = section.text_or("ai_provider", Some("claude"))?.unwrap_or_default();
        let words = [("none", WarnLevel::None), ("breaking", WarnLevel::Breaking)];
        let warn_level = section.word("warn_level", &words, "none")?.unwrap_or_default();
        Ok(Connections { enabled, share_with_ai, ai_provider, warn_level, links: links(section)? })
    }
}

fn links(section: &Section<'_>) -> Result<Vec<Link>, ConfigError> {
    const KEY: &str = "links";
    const EXAMPLE: &str = "write links = [{ field = \"tools\", means = \"a tool several configs share\" }]";
    let Some(entry) = section.entry(KEY) else {
        section.note(KEY, Vec::<Value>::new(), SettingSource::Default);
        return Ok(Vec::new());
    };
    let wrong = || section.error(ConfigErrorKind::WrongType, KEY, "must be a list of tables", EXAMPLE);
    let Node::Array(items) = &entry.node else { return Err(wrong()) };
    let mut links = Vec::with_capacity(items.len());
    let mut shown = Vec::with_capacity(items.len());
    for (line, item) in items {
        let Node::Table(table) = item else { return Err(wrong()) };
        // The links are noted as one setting, below.
        let quiet = Log::default();
        let mut link = Section::open(format!("{}.{KEY}", section.path), Some(table), LINK, &quiet)?;
        link.line = *line;
        let field = link.text("field")?.ok_or_else(|| link.missing("field", EXAMPLE))?.value;
        let means = link.text("means")?.ok_or_else(|| link.missing("means", EXAMPLE))?.value;
        let kind = link_kind(&means);
        shown.push(Object::new().with("field", field.as_str()).with("means", kind.unwrap_or(&means)));
        links.push(Link {
            field,
            kind: match kind {
                Some("contract") => LinkKind::Contract,
                Some("shared_set") => LinkKind::SharedSet,
                Some("ref_keys") => LinkKind::RefKeys,
                Some("model_ref") => LinkKind::ModelRef,
                _ => LinkKind::Other(means),
            },
        });
    }
    let source = SettingSource::Line(entry.line);
    section.note(KEY, shown, source);
    Ok(links)
}
