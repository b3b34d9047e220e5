//! The reference grammar: `@7 #hex sha256:hex @{T} tag:name =live =HEAD =staged`.

use std::fmt;

use super::record::Seq;
use super::time::{TimeError, Timestamp};
use crate::document::{MIN_PREFIX, Oid};

/// Which version of a record is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reference {
    /// `@7`: the entry with this number.
    Seq(Seq),
    /// `#a1b2c3` or `sha256:…`: a content address or the start of one.
    Content(String),
    /// `@{2023-06-07}`: what was live at that instant (valid time).
    At(Timestamp),
    /// `tag:name`.
    Tag(String),
    /// `=live`: what the database holds now.
    Live,
    /// `=HEAD`: the current entry.
    Head,
    /// `=staged`: the staged document.
    Staged,
}

/// Why a text is not a reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReferenceError {
    /// Nothing of the grammar.
    #[error("{0:?} is not a version; write @7, #a1b2c3, @{{2023-06-07}}, tag:name, =live, =HEAD or =staged")]
    Unknown(String),
    /// A content prefix that is too short or no hex.
    #[error("{0:?} is not a content address; write at least {MIN_PREFIX} lower-case hex digits")]
    Prefix(String),
    /// A time that does not parse.
    #[error(transparent)]
    Time(#[from] TimeError),
}

impl Reference {
    /// Reads a reference.
    ///
    /// # Errors
    ///
    /// [`ReferenceError`].
    ///
    /// # Examples
    ///
    /// ```
    /// use cfg_engine::history::{Reference, Seq};
    /// assert_eq!(Reference::parse("@7")?, Reference::Seq(Seq(7)));
    /// assert!(Reference::parse("7").is_err());
    /// # Ok::<(), cfg_engine::history::ReferenceError>(())
    /// ```
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        let unknown = || ReferenceError::Unknown(text.to_owned());
        match text {
            "=live" => return Ok(Reference::Live),
            "=HEAD" => return Ok(Reference::Head),
            "=staged" => return Ok(Reference::Staged),
            _ => {}
        }
        if let Some(inside) = text.strip_prefix("@{") {
            let time = inside.strip_suffix('}').ok_or_else(unknown)?;
            return Ok(Reference::At(Timestamp::parse(time)?));
        }
        if let Some(digits) = text.strip_prefix('@') {
            let fine = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            let seq: u64 = if fine { digits.parse().map_err(|_| unknown())? } else { return Err(unknown()) };
            return if seq == 0 { Err(unknown()) } else { Ok(Reference::Seq(Seq(seq))) };
        }
        if let Some(prefix) = text.strip_prefix('#').or_else(|| text.strip_prefix("sha256:")) {
            let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
            if (MIN_PREFIX..=64).contains(&prefix.len()) && prefix.bytes().all(hex) {
                return Ok(Reference::Content(prefix.to_owned()));
            }
            return Err(ReferenceError::Prefix(text.to_owned()));
        }
        if let Some(name) = text.strip_prefix("tag:").filter(|name| !name.is_empty()) {
            return Ok(Reference::Tag(name.to_owned()));
        }
        Err(unknown())
    }

    /// Splits `planner@7` or `planner@{2023-06-07}` at the last `@` that starts a version.
    pub fn split_address(text: &str) -> (&str, Option<&str>) {
        if text.ends_with('}')
            && let Some(at) = text.rfind("@{")
        {
            return (&text[..at], Some(&text[at..]));
        }
        match text.rfind('@') {
            Some(at) if at > 0 && at + 1 < text.len() && text[at + 1..].bytes().all(|b| b.is_ascii_digit()) => {
                (&text[..at], Some(&text[at..]))
            }
            _ => (text, None),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reference::Seq(seq) => write!(f, "@{seq}"),
            Reference::Content(prefix) if prefix.len() == 64 => write!(f, "sha256:{prefix}"),
            Reference::Content(prefix) => write!(f, "#{prefix}"),
            Reference::At(time) => write!(f, "@{{{time}}}"),
            Reference::Tag(name) => write!(f, "tag:{name}"),
            Reference::Live => f.write_str("=live"),
            Reference::Head => f.write_str("=HEAD"),
            Reference::Staged => f.write_str("=staged"),
        }
    }
}

impl From<Oid> for Reference {
    fn from(oid: Oid) -> Self {
        Reference::Content(oid.to_hex())
    }
}
