//! The name of a tag, by git's rules for the name of one.

use std::fmt;
use std::sync::Arc;

use super::record::NameError;

/// The longest name in bytes: what a file system, and so git, takes for one.
const MAX_BYTES: usize = 250;

/// The name of a tag: whatever git takes as one, and nothing else.
///
/// # Examples
///
/// ```
/// use cfg_engine::history::TagName;
/// assert_eq!(TagName::new("release/2023-06-07")?.as_str(), "release/2023-06-07");
/// assert!(TagName::new("june 7").is_err());
/// # Ok::<(), cfg_engine::history::NameError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TagName(Arc<str>);

impl TagName {
    /// Checks and takes a name as `git tag` does: no control characters, no space, none of `~^:?*[\`, no
    /// `..`, `@{` or `//`, no part that starts with `.` or ends with `.lock`, no `/` at either end, no `.` at
    /// the end, no `-` in front, and not `HEAD`.
    ///
    /// # Errors
    ///
    /// [`NameError::Tag`] saying which rule is broken.
    pub fn new(name: &str) -> Result<Self, NameError> {
        match broken_rule(name) {
            None => Ok(Self(name.into())),
            Some(rule) => Err(NameError::Tag { name: name.chars().take(60).collect(), rule }),
        }
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TagName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TagName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn broken_rule(name: &str) -> Option<&'static str> {
    let forbidden = |c: char| c.is_ascii_control() || matches!(c, ' ' | '~' | '^' | ':' | '?' | '*' | '[' | '\\');
    let rules: [(bool, &'static str); 12] = [
        (name.is_empty(), "is empty"),
        (name.len() > MAX_BYTES, "is too long"),
        (name.chars().any(forbidden), "has a space, a control character or one of ~^:?*[\\"),
        (name.contains(".."), "has two dots in a row"),
        (name.contains("@{"), "has \"@{\""),
        (name.contains("//"), "has two slashes in a row"),
        (name.starts_with('/') || name.ends_with('/'), "begins or ends with a slash"),
        (name.ends_with('.'), "ends with a dot"),
        (name.starts_with('-'), "begins with a dash"),
        (name == "HEAD", "means something else"),
        (name.split('/').any(|part| part.starts_with('.')), "has a part that begins with a dot"),
        (name.split('/').any(|part| part.ends_with(".lock")), "has a part that ends with .lock"),
    ];
    rules.into_iter().find(|(broken, _)| *broken).map(|(_, rule)| rule)
}
