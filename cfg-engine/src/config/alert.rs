//! Whom changes are told of that people want to hear of: a command, or a URL.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::document::{Value, to_hex};

/// How a policy names a URL without telling it: the host, and an address of all of it.
const DIGEST: &str = "#sha256:";

/// Who is told, before it happens, of a change that is forced on a gated env and of history that is rewritten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Alert {
    /// A command, as a list of arguments. It gets the alert on standard input.
    Command(Vec<String>),
    /// The URL that this environment variable holds.
    Variable(String),
    /// A URL that the alert is posted to.
    Url(AlertUrl),
}

/// The URL of a webhook. Whoever knows one can post to it, so a policy holds its host and an address of the
/// rest, and nothing shows more than the host.
#[derive(Clone)]
pub struct AlertUrl {
    host: String,
    digest: String,
    text: Option<String>,
}

impl AlertUrl {
    /// Reads `https://…` or `http://…`.
    ///
    /// # Errors
    ///
    /// What is wrong with it, without repeating it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let scheme = ["https://", "http://"].into_iter().find(|scheme| text.starts_with(scheme));
        let scheme = scheme.ok_or("is no URL that begins with https:// or http://")?;
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err("has a blank or a control character");
        }
        if text.contains('#') {
            return Err("has a fragment, which no server would see");
        }
        let rest = &text[scheme.len()..];
        let authority = rest.split(['/', '?', '\\']).next().unwrap_or_default();
        let host = authority.rsplit('@').next().unwrap_or_default();
        if host.is_empty() || host.starts_with(':') {
            return Err("names no host");
        }
        let digest = to_hex(&<[u8; 32]>::from(Sha256::digest(text.as_bytes())));
        Ok(AlertUrl { host: format!("{scheme}{host}"), digest, text: Some(text.to_owned()) })
    }

    /// Returns the scheme and the host, which may be shown.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the URL, where it was read from a file or a variable and not from a stored policy.
    pub fn text(&self) -> Option<&str> {
        self.text.as_deref()
    }

    /// Returns whether the URL itself holds a user or a password.
    pub(super) fn holds_user(&self) -> bool {
        let rest = self.text().and_then(|text| text.split_once("://")).map_or("", |(_, rest)| rest);
        rest.split(['/', '?', '\\']).next().unwrap_or_default().contains('@')
    }
}

impl PartialEq for AlertUrl {
    fn eq(&self, other: &Self) -> bool {
        (&self.host, &self.digest) == (&other.host, &other.digest)
    }
}

impl Eq for AlertUrl {}

impl fmt::Debug for AlertUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host)
    }
}

impl Alert {
    /// An alert that no file can name: what stands for one that was damaged in the store.
    pub(super) fn unreadable() -> Self {
        Alert::Variable(String::new())
    }

    /// Returns what a policy keeps of it: the command, `env:VARIABLE`, or host and address of a URL.
    pub fn to_value(&self) -> Value {
        match self {
            Alert::Command(command) => Value::from(command.clone()),
            Alert::Variable(variable) => Value::from(format!("env:{variable}")),
            Alert::Url(url) => Value::from(format!("{}{DIGEST}{}", url.host, url.digest)),
        }
    }

    /// Reads what a policy keeps. `None`: there is no alert.
    pub(super) fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Null => None,
            Value::Array(list) if list.is_empty() => None,
            Value::Array(list) => {
                let words = list.iter().map(|word| word.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>();
                Some(words.map_or_else(Alert::unreadable, Alert::Command))
            }
            other => Some(other.as_str().and_then(Self::from_text).unwrap_or_else(Alert::unreadable)),
        }
    }

    fn from_text(text: &str) -> Option<Self> {
        if let Some(variable) = text.strip_prefix("env:") {
            return Some(Alert::Variable(variable.to_owned()));
        }
        let (host, digest) = text.split_once(DIGEST)?;
        Some(Alert::Url(AlertUrl { host: host.to_owned(), digest: digest.to_owned(), text: None }))
    }

    /// Returns it as it is shown in a sentence: a program, a variable or a host, never arguments or a path.
    pub fn label(&self) -> String {
        match self {
            Alert::Command(command) => command.first().cloned().unwrap_or_default(),
            Alert::Variable(variable) if variable.is_empty() => "an alert that cannot be read".to_owned(),
            Alert::Variable(variable) => format!("env:{variable}"),
            Alert::Url(url) => url.host.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_kept_by_its_host_and_an_address() {
        let text = "https://ana:hunter2@hooks.example.com:8443/services/T0/s3cret?token=t0ken";
        let url = AlertUrl::parse(text).expect("a URL");
        assert_eq!(url.host(), "https://hooks.example.com:8443");
        assert!(url.holds_user());
        let alert = Alert::Url(url);
        let kept = alert.to_value();
        for shown in [kept.to_interchange(), format!("{alert:?}"), alert.label()] {
            for secret in ["ana", "hunter2", "s3cret", "t0ken", "services"] {
                assert!(!shown.contains(secret), "{shown}");
            }
        }
        let stored = Alert::from_value(&kept).expect("an alert");
        assert_eq!(stored, alert);
        assert!(matches!(&stored, Alert::Url(url) if url.text().is_none()));
        let other = AlertUrl::parse("https://hooks.example.com:8443/services/T0/other").expect("a URL");
        assert_ne!(stored, Alert::Url(other));
        for wrong in [
            "",
            "hooks.example.com",
            "ftp://x/",
            "https://",
            "https:///x",
            "https://a b/",
            "https://:80/",
            "https://a/#f",
        ] {
            assert!(AlertUrl::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_no_alert_that_a_file_names() {
        for damaged in [Value::Bool(true), Value::from("x"), Value::Array(vec![Value::Null]), Value::from("env:")] {
            let read = Alert::from_value(&damaged);
            assert_eq!(read, Some(Alert::unreadable()), "{damaged:?}");
            assert_eq!(Alert::from_value(&Alert::unreadable().to_value()), read);
        }
        assert_eq!(Alert::from_value(&Value::Null), None);
        assert_eq!(Alert::from_value(&Value::Array(Vec::new())), None);
    }
}
