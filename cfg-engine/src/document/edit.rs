//! Edits by path: what a live write carries.

use std::fmt;

use super::field_path::FieldPath;
use super::value::Value;

/// One edit of a document.
#[derive(Clone, PartialEq)]
pub struct PathChange {
    /// Where.
    pub path: FieldPath,
    /// What.
    pub edit: Edit,
}

/// What happens at a path.
#[derive(Clone, PartialEq)]
pub enum Edit {
    /// The value is set; a new member is appended.
    Set(Value),
    /// The member or element is removed.
    Unset,
}

impl fmt::Debug for PathChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.edit {
            Edit::Set(_) => "set",
            Edit::Unset => "unset",
        };
        write!(f, "{what} {}", self.path)
    }
}

impl fmt::Debug for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Edit::Set(_) => "set",
            Edit::Unset => "unset",
        })
    }
}
