//! Environment variables, as something that a test or an embedding program can give.

use std::collections::BTreeMap;
use std::fmt;

/// Where environment variables are looked up.
#[derive(Clone, Default)]
pub enum Variables {
    /// The variables of this process.
    #[default]
    Process,
    /// These and no others.
    Fixed(BTreeMap<String, String>),
}

impl Variables {
    /// Takes pairs of name and value.
    pub fn fixed<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Variables::Fixed(pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    /// Returns a variable; one that is empty or not UTF-8 counts as not set.
    pub fn get(&self, name: &str) -> Option<String> {
        let value = match self {
            Variables::Process => std::env::var(name).ok(),
            Variables::Fixed(map) => map.get(name).cloned(),
        };
        value.filter(|value| !value.is_empty())
    }
}

impl fmt::Debug for Variables {
    /// Names no value: variables hold credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Variables::Process => "Process",
            Variables::Fixed(_) => "Fixed(…)",
        })
    }
}
