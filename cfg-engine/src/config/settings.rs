//! What the engine needs to know beyond the collections.

use super::env::Rules;
use super::policy::Policy;
use crate::document::SecretRules;
use crate::history::{Author, EnvName};

/// What happens when something that is about to be stored looks like a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnSecret {
    /// The change is refused.
    #[default]
    Refuse,
    /// The change goes on; the interface warns.
    Warn,
}

/// The settings of one opened project.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The env.
    pub env: EnvName,
    /// Whether changes of this env need an approval.
    pub gated: bool,
    /// What else a change needs.
    pub rules: Rules,
    /// Whether the env was merely inherited from the surroundings: a gated one is not changed then.
    pub ambient: bool,
    /// The user of the operating system, where one is known: whoever asks for an approval, under whatever
    /// author name.
    pub operator: Option<String>,
    /// Whether a commit must say which version it was based on.
    pub require_base: bool,
    /// What looks like a secret.
    pub secrets: SecretRules,
    /// What happens then.
    pub on_secret: OnSecret,
    /// Who makes changes, where a call does not say otherwise.
    pub author: Author,
    /// The program and version recorded with each entry.
    pub tool_version: String,
    /// The machine recorded with each entry, if any.
    pub hostname: Option<String>,
    /// Whether everything counts as approved: for tests of what comes behind an approval.
    #[cfg(feature = "conformance")]
    pub approved: bool,
}

impl Settings {
    /// Returns the settings of an ungated env with the default secret rules.
    pub fn new(env: EnvName, author: Author) -> Self {
        Settings {
            env,
            gated: false,
            rules: Rules::default(),
            ambient: false,
            operator: None,
            require_base: false,
            secrets: SecretRules::default(),
            on_secret: OnSecret::Refuse,
            author,
            tool_version: concat!("cfg-engine/", env!("CARGO_PKG_VERSION")).to_owned(),
            hostname: None,
            #[cfg(feature = "conformance")]
            approved: false,
        }
    }

    /// Takes everything for approved, for tests of what comes behind an approval.
    #[cfg(feature = "conformance")]
    #[must_use]
    pub fn approved_for_conformance(mut self) -> Self {
        self.approved = true;
        self
    }

    pub(crate) fn is_approved(&self) -> bool {
        #[cfg(feature = "conformance")]
        {
            self.approved
        }
        #[cfg(not(feature = "conformance"))]
        {
            false
        }
    }

    /// Returns what the file asks of a change; the store may ask for more.
    pub fn policy(&self) -> Policy {
        Policy { gated: self.gated, rules: self.rules.clone() }
    }
}
