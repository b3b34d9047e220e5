//! The rules of one collection and project, and what a planner decides.

use crate::config::{CollectionConfig, Settings};
use crate::document::{FieldPolicy, Object};

use super::PlannedChange;

/// The member of an entry's `meta` that names the field policy its document was hashed under.
pub(crate) const POLICY: &str = "policy";

/// What a planner decided.
#[derive(Debug)]
pub(crate) enum Planned {
    Change(Box<PlannedChange>),
    /// Nothing to do.
    Nothing,
}

/// The rules of one collection and project, for the planners.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules<'a> {
    pub(crate) collection: &'a CollectionConfig,
    pub(crate) settings: &'a Settings,
}

impl Rules<'_> {
    pub(super) fn policy(&self) -> &FieldPolicy {
        &self.collection.policy
    }

    pub(crate) fn meta(&self, extra: &Object) -> Object {
        let mut meta = extra.clone();
        // Under which rules the document is hashed: they may be others when it is checked.
        meta.insert(POLICY, self.policy().address().to_hex());
        meta.insert("tool_version", self.settings.tool_version.as_str());
        if let Some(hostname) = &self.settings.hostname {
            meta.insert("hostname", hostname.as_str());
        }
        meta
    }
}
