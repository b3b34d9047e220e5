//! Who makes a change: `--author`, else `CFG_AUTHOR`, else git's `user.email`, else the user of the
//! operating system.

use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use cfg_engine::config::AuthorFrom;
use cfg_engine::history::{Author, AuthorClass};

use crate::error::ConnectError;
use crate::variables::Variables;

/// How long git may take to answer, in steps of [`GIT_STEP`]. It usually takes two milliseconds.
const GIT_STEPS: u32 = 1000;
const GIT_STEP: Duration = Duration::from_millis(1);

/// The longest name in bytes.
const MAX_NAME: usize = 320;

/// Where an author's name came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthorSource {
    /// `--author`, or the caller of the library.
    Asked,
    /// `CFG_AUTHOR`.
    Variable,
    /// git's `user.email`.
    Git,
    /// The user of the operating system.
    Os,
}

impl AuthorSource {
    /// Returns how people know it.
    pub const fn as_str(self) -> &'static str {
        match self {
            AuthorSource::Asked => "--author",
            AuthorSource::Variable => "CFG_AUTHOR",
            AuthorSource::Git => "git user.email",
            AuthorSource::Os => "operating system user",
        }
    }
}

/// Where somebody sits who makes a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Surroundings {
    /// A person at a terminal.
    Terminal,
    /// A script, a job, a program that uses the library.
    #[default]
    Program,
}

/// What decides about the author.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AuthorRules<'a> {
    pub(crate) asked: Option<&'a str>,
    pub(crate) declared_class: Option<AuthorClass>,
    pub(crate) surroundings: Surroundings,
    pub(crate) from: AuthorFrom,
    pub(crate) root: &'a Path,
    pub(crate) variables: &'a Variables,
}

/// Finds the author. Asks git only where nothing before it gives a name.
pub(crate) fn find_author(rules: AuthorRules<'_>) -> Result<(Author, AuthorSource), ConnectError> {
    let class = class(&rules)?;
    let (name, source) = name(&rules)?;
    if !is_name(&name) {
        return Err(ConnectError::BadAuthor {
            problem: format!(
                "the author's name from {} is empty, too long or has a control character",
                source.as_str()
            ),
            hint: "give an e-mail address or a name: --author you@example.com",
        });
    }
    Ok((Author { id: name, class }, source))
}

/// Returns whether somebody can be called that.
pub(crate) fn is_name(name: &str) -> bool {
    !name.trim().is_empty() && name.len() <= MAX_NAME && !name.chars().any(char::is_control)
}

fn name(rules: &AuthorRules<'_>) -> Result<(String, AuthorSource), ConnectError> {
    if let Some(name) = rules.asked {
        return Ok((name.to_owned(), AuthorSource::Asked));
    }
    if let Some(name) = rules.variables.get("CFG_AUTHOR") {
        return Ok((name, AuthorSource::Variable));
    }
    if rules.from == AuthorFrom::Env {
        return Err(ConnectError::NoAuthor);
    }
    let from_git = || (rules.from == AuthorFrom::Git).then(|| git_email(rules.root)).flatten();
    if let Some(email) = from_git() {
        return Ok((email, AuthorSource::Git));
    }
    os_user(rules.variables).map(|name| (name, AuthorSource::Os)).ok_or(ConnectError::NoAuthor)
}

/// An agent is one only when that is declared. Nobody declares to be human: a terminal shows it.
fn class(rules: &AuthorRules<'_>) -> Result<AuthorClass, ConnectError> {
    let declared = match (rules.declared_class, rules.variables.get("CFG_AUTHOR_CLASS")) {
        (Some(class), _) => Some(class),
        (None, Some(word)) => Some(AuthorClass::parse(&word).ok_or_else(|| refused_class(&word))?),
        (None, None) => None,
    };
    match (declared, rules.surroundings) {
        (Some(class @ (AuthorClass::Agent | AuthorClass::Pipeline)), _) => Ok(class),
        (Some(AuthorClass::Human) | None, Surroundings::Terminal) => Ok(AuthorClass::Human),
        (None, Surroundings::Program) => Ok(AuthorClass::Pipeline),
        (Some(class), _) => Err(refused_class(class.as_str())),
    }
}

fn refused_class(word: &str) -> ConnectError {
    ConnectError::BadAuthor {
        problem: format!("an author cannot declare to be {word:?}"),
        hint: "declare agent or pipeline, or nothing; who sits at a terminal is human",
    }
}

/// Asks git for `user.email` as it is set for the folder. No git, no answer.
fn git_email(root: &Path) -> Option<String> {
    let child = Command::new("git")
        .args(["config", "--get", "user.email"])
        .current_dir(root)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .stdout(Stdio::piped())
        .spawn();
    let mut child = child.inspect_err(|e| tracing::debug!(error = %e, "git did not start")).ok()?;
    if !finished(&mut child) {
        tracing::warn!("git took too long to say user.email");
        let _ = child.kill();
        let _ = child.wait();
        return None;
    }
    let mut text = String::new();
    child.stdout.take()?.take(4096).read_to_string(&mut text).ok()?;
    let email = text.trim();
    (!email.is_empty()).then(|| email.to_owned())
}

/// Waits for a child, but not for long. Returns whether it ended well or badly, not that it hangs.
fn finished(child: &mut Child) -> bool {
    for _ in 0..GIT_STEPS {
        match child.try_wait() {
            Ok(Some(_)) => return true,
            Ok(None) => std::thread::sleep(GIT_STEP),
            Err(_) => return false,
        }
    }
    false
}

fn os_user(variables: &Variables) -> Option<String> {
    ["USER", "LOGNAME", "USERNAME"].into_iter().find_map(|name| variables.get(name)).or_else(|| account_name(variables))
}

/// The name of this process's account: containers often set no variable.
#[cfg(target_os = "linux")]
fn account_name(variables: &Variables) -> Option<String> {
    use std::os::unix::fs::MetadataExt as _;

    if matches!(variables, Variables::Fixed(_)) {
        return None;
    }
    let uid = std::fs::metadata("/proc/self").ok()?.uid().to_string();
    let accounts = std::fs::read_to_string("/etc/passwd").ok()?;
    accounts.lines().find_map(|line| {
        let mut parts = line.split(':');
        let (name, number) = (parts.next()?, parts.nth(1)?);
        (number == uid && !name.is_empty()).then(|| name.to_owned())
    })
}

#[cfg(not(target_os = "linux"))]
fn account_name(_: &Variables) -> Option<String> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules<'a>(root: &'a Path, variables: &'a Variables) -> AuthorRules<'a> {
        AuthorRules {
            asked: None,
            declared_class: None,
            surroundings: Surroundings::Program,
            from: AuthorFrom::Git,
            root,
            variables,
        }
    }

    fn repository(email: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a folder");
        for args in [&["init", "-q"][..], &["config", "user.email", email]] {
            assert!(Command::new("git").args(args).current_dir(&dir).status().expect("git").success());
        }
        dir
    }

    #[test]
    fn the_first_that_gives_a_name_wins() {
        let dir = repository("ada@example.com");
        let variables = Variables::fixed([("CFG_AUTHOR", "nightly"), ("USER", "root")]);
        let mut rules = rules(dir.path(), &variables);
        let (author, source) = find_author(rules).expect("CFG_AUTHOR");
        assert_eq!(
            (author.id.as_str(), author.class, source),
            ("nightly", AuthorClass::Pipeline, AuthorSource::Variable)
        );
        rules.asked = Some("me");
        assert_eq!(find_author(rules).expect("asked").1, AuthorSource::Asked);
        rules.asked = None;
        let variables = Variables::fixed([("USER", "root")]);
        rules.variables = &variables;
        let (author, source) = find_author(rules).expect("git");
        assert_eq!((author.id.as_str(), source), ("ada@example.com", AuthorSource::Git));
        rules.from = AuthorFrom::Os;
        assert_eq!(find_author(rules).expect("os").0.id, "root");
        rules.from = AuthorFrom::Env;
        assert!(matches!(find_author(rules), Err(ConnectError::NoAuthor)));
    }

    #[test]
    fn nobody_is_an_error_with_a_remedy() {
        let dir = tempfile::tempdir().expect("a folder");
        let variables = Variables::fixed([]);
        let mut rules = rules(dir.path(), &variables);
        rules.from = AuthorFrom::Os;
        let error = find_author(rules).expect_err("nobody");
        assert!(error.hint().contains("--author"));
        for bad in ["", "  ", "a\nb", &"x".repeat(400)] {
            rules.asked = Some(bad);
            assert!(matches!(find_author(rules), Err(ConnectError::BadAuthor { .. })), "{bad:?}");
        }
    }

    #[test]
    fn classes() {
        use AuthorClass::{Agent, Human, Pipeline, System};
        use Surroundings::{Program, Terminal};
        let root = Path::new(".");
        let class = |declared, variable: Option<&str>, surroundings| {
            let variables = Variables::fixed(variable.map(|word| ("CFG_AUTHOR_CLASS", word)));
            let rules =
                AuthorRules { asked: Some("x"), declared_class: declared, surroundings, ..rules(root, &variables) };
            find_author(rules).ok().map(|(author, _)| author.class)
        };
        assert_eq!(class(None, None, Terminal), Some(Human));
        assert_eq!(class(None, None, Program), Some(Pipeline));
        assert_eq!(class(None, Some("agent"), Terminal), Some(Agent));
        assert_eq!(class(Some(Agent), Some("pipeline"), Program), Some(Agent));
        assert_eq!(class(None, Some("pipeline"), Terminal), Some(Pipeline));
        for (declared, variable, surroundings) in [
            (None, Some("human"), Program),
            (Some(Human), None, Program),
            (Some(System), None, Terminal),
            (None, Some("robot"), Terminal),
        ] {
            assert_eq!(class(declared, variable, surroundings), None, "{declared:?} {variable:?}");
        }
    }
}
