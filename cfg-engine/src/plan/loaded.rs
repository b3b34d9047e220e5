//! A version of a history that is loaded from a file.

use std::sync::Arc;

use super::PlannedEntry;
use super::noted_secrets::{held_secrets, list_secrets};
use super::rules::Rules;
use crate::adapter::StoredDoc;
use crate::document::{Object, Oid, Value};
use crate::history::{Author, Op, Timestamp};

/// A document and its oid.
pub(crate) type HashedDoc = (Arc<Value>, Oid);

/// One version of a loaded history, ready to be planned.
#[derive(Debug, Clone)]
pub(crate) struct LoadedVersion {
    pub(crate) valid_from: Timestamp,
    pub(crate) content: Option<HashedDoc>,
    pub(crate) author: Option<Author>,
    pub(crate) message: Option<String>,
    pub(crate) sha: Option<String>,
}

impl LoadedVersion {
    /// Returns the entry that this version becomes.
    pub(crate) fn entry(self, rules: Rules<'_>, meta: &Object) -> PlannedEntry {
        let policy = rules.policy();
        let mut meta = rules.meta(meta);
        let (oid, doc, content) = match self.content {
            Some((value, oid)) => {
                list_secrets(&mut meta, "secrets", &held_secrets(&value, policy));
                (Some(oid), StoredDoc::Given(policy.without_secrets(&value)), Some(value))
            }
            None => (None, StoredDoc::None, None),
        };
        PlannedEntry {
            op: Op::Import,
            oid,
            base: None,
            author: self.author,
            message: self.message,
            valid_from: Some(self.valid_from),
            estimated: false,
            meta,
            doc,
            content,
            git_shas: self.sha.into_iter().collect(),
        }
    }
}
