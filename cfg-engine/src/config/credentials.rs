//! Finding and removing credentials in texts that look like database URIs.

use std::sync::LazyLock;

use regex::Regex;

/// What stands instead of a credential.
const MASK: &str = "***";

/// `user:password@` behind `//`. Everything up to the last `@` before the path is taken: a password
/// may hold an `@` that nobody encoded.
static USER_INFO: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"(?i)([a-z][a-z0-9+.-]*://)[^\s/?#]*@").ok());

/// The same where the password holds a `/`, `?` or `#` that nobody encoded.
static RAGGED_USER_INFO: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?i)([a-z][a-z0-9+.-]*://)[^\s/?#:@]*:[^\s@]*@").ok());

/// `password=…` as a URI parameter or in a libpq connection string, quoted or not.
static PARAMETER: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r#"(?i)((?:^|[?&;\s"'(,])(?:[a-z0-9_]*(?:password|passwd|passphrase|secret|token|hexkey)|pwd|key|api[_-]?key|authmechanismproperties)\s*=\s*)('(?:[^'\\]|\\.)*'|"[^"]*"|[^&;\s"')]+)"#,
    )
    .ok()
});

/// A user and a password before the `@` of something without a scheme.
static BARE_USER_INFO: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^[^\s/?#@:]*:[^\s@/][^\s@]*@[^\s@]+$").ok());

/// Returns whether a URI, path or connection string holds a password, token or key.
///
/// A user name alone is no credential.
///
/// # Examples
///
/// ```
/// use cfg_engine::config::holds_credentials;
/// assert!(holds_credentials("postgresql://app:hunter2@db.example/app"));
/// assert!(holds_credentials("host=db user=app password=hunter2"));
/// assert!(!holds_credentials("mongodb://app@db.example:27017/?replicaSet=rs0"));
/// ```
pub fn holds_credentials(text: &str) -> bool {
    let matched = |regex: &LazyLock<Option<Regex>>| regex.as_ref().is_some_and(|regex| regex.is_match(text));
    let with_password = USER_INFO.as_ref().and_then(|regex| regex.find(text)).is_some_and(|found| {
        let info = found.as_str().split_once("://").map_or("", |(_, info)| info);
        info.contains(':') || info.to_ascii_lowercase().contains("%3a")
    });
    with_password || matched(&RAGGED_USER_INFO) || matched(&PARAMETER) || matched(&BARE_USER_INFO)
}

/// Returns the text with the user part of every URI and every password parameter replaced by `***`.
///
/// For messages of drivers, which like to repeat the connection string.
///
/// # Examples
///
/// ```
/// use cfg_engine::config::scrub;
/// assert_eq!(scrub("cannot reach postgresql://app:hunter2@db/app"), "cannot reach postgresql://***@db/app");
/// ```
pub fn scrub(text: &str) -> String {
    let mut out = text.to_owned();
    for (regex, replacement) in [
        (&RAGGED_USER_INFO, format!("${{1}}{MASK}@")),
        (&USER_INFO, format!("${{1}}{MASK}@")),
        (&PARAMETER, format!("${{1}}{MASK}")),
    ] {
        if let Some(regex) = regex.as_ref() {
            out = regex.replace_all(&out, replacement.as_str()).into_owned();
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const WITH: &[&str] = &[
        "mongodb://me:hunter2@h1,h2/db",
        "mongodb+srv://me:hunter2@cluster.example",
        "postgres://me:p@hunter2@db/x",
        "postgres://me:hun/ter2@db/x",
        "postgres://:hunter2@db/x",
        "postgres://me%3Ahunter2@db/x",
        "postgresql://db/x?user=me&password=hunter2",
        "postgresql://db/x?sslpassword=hunter2",
        "host=db password=hunter2",
        "host=db password = 'hunter2 and more'",
        "me:hunter2@db/x",
        "file:x.db?key=hunter2",
        "mongodb://h/?authMechanismProperties=AWS_SESSION_TOKEN:hunter2",
        "POSTGRES://ME:hunter2@DB",
    ];

    #[test]
    fn credentials_are_found_and_scrubbed() {
        for text in WITH {
            assert!(holds_credentials(text), "{text}");
            let shown = scrub(&format!("driver said: {text} failed"));
            let exempt = !text.contains("://") && text.contains('@');
            assert!(exempt || !shown.contains("hunter2"), "{text} → {shown}");
        }
    }

    #[test]
    fn plain_locations_pass() {
        for text in [
            "mongodb://localhost:27017/?replicaSet=rs0",
            "postgresql://app@localhost:5432/app?sslmode=require",
            "postgresql:///app?host=/var/run/postgresql",
            "data/app.db",
            "sqlite://data/app.db",
            "C:\\data\\app.db",
            "/srv/a@b/app.db",
            "host=db user=app dbname=x keepalives=1",
            "env:DEV_URI",
        ] {
            assert!(!holds_credentials(text), "{text}");
            assert_eq!(scrub(text).replace("***@", "app@"), text);
        }
    }

    #[test]
    fn scrubbing_keeps_what_is_no_credential() {
        assert_eq!(
            scrub("connect to postgres://a:b@db:5432/x?password=c&sslmode=require: refused (at 10:30)"),
            "connect to postgres://***@db:5432/x?password=***&sslmode=require: refused (at 10:30)"
        );
    }
}
