//! Approving on this machine: the terminal, and a key in a file.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cfg_engine::Error;
use cfg_engine::engine::{ApprovalProvider, Asked, Decision};

/// Returns the name that the operating system gives the user whose process this is. Environment variables do
/// not enter into it.
#[cfg(unix)]
pub fn os_user_by_id() -> Option<String> {
    let user = nix::unistd::User::from_uid(nix::unistd::getuid()).ok()??;
    Some(user.name).filter(|name| !name.is_empty())
}

/// Returns the name that the operating system gives the user whose process this is.
#[cfg(not(unix))]
pub fn os_user_by_id() -> Option<String> {
    None
}

/// The provider `local`: a human at the terminal that controls this process types a word.
///
/// It opens the terminal itself, so neither standard input nor a flag nor a variable can answer. Whoever can
/// run a program as this user can also give it a terminal of its own and type into that: `docs/approvals.md`
/// says what this protects from, and what only a signature does.
pub struct Terminal {
    show: Box<dyn Fn(&Asked<'_>) -> String + Send + Sync>,
}

impl Terminal {
    /// Makes the provider; `show` says what is shown before the word is asked for.
    pub fn new(show: impl Fn(&Asked<'_>) -> String + Send + Sync + 'static) -> Self {
        Terminal { show: Box::new(show) }
    }
}

fn no_terminal(reason: &str) -> Error {
    Error::refused(
        "no_terminal",
        format!("a human approves at a terminal, and there is none: {reason}"),
        "run it in a terminal, or sign: cfg approve ID --sign KEYFILE",
    )
}

#[async_trait]
impl ApprovalProvider for Terminal {
    fn name(&self) -> &'static str {
        "local"
    }

    async fn decide(&self, asked: &Asked<'_>) -> Result<Decision, Error> {
        let by = os_user_by_id().ok_or_else(|| no_terminal("the operating system does not say who you are"))?;
        let word = asked.confirm_word().to_owned();
        let said = ask(&(self.show)(asked), &word).map_err(|error| no_terminal(&error.to_string()))?;
        if said.trim() == word {
            return Ok(Decision::Approve { by, signature: None });
        }
        Err(Error::refused(
            "not_confirmed",
            "what was typed is not the word that approves",
            format!("nothing was decided; type {word} to approve, or say no: cfg deny {}", asked.approval.id),
        ))
    }
}

#[cfg(unix)]
fn ask(summary: &str, word: &str) -> std::io::Result<String> {
    use std::io::IsTerminal as _;
    let mut terminal = std::fs::OpenOptions::new().read(true).write(true).open("/dev/tty")?;
    if !terminal.is_terminal() {
        return Err(std::io::Error::other("/dev/tty is no terminal"));
    }
    // What was typed before the question is no answer to it.
    let _ = nix::sys::termios::tcflush(&terminal, nix::sys::termios::FlushArg::TCIFLUSH);
    write!(terminal, "{summary}\nType {word} to approve, anything else to leave it: ")?;
    terminal.flush()?;
    let mut said = String::new();
    BufReader::new(terminal).read_line(&mut said)?;
    Ok(said)
}

#[cfg(not(unix))]
fn ask(_summary: &str, _word: &str) -> std::io::Result<String> {
    Err(std::io::Error::other("this system has none that a program can open itself"))
}

/// What comes before the 32 bytes of an Ed25519 key in PKCS#8, as `openssl genpkey -algorithm ed25519` writes it.
const PKCS8: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// Reads a private key from a PEM file.
///
/// # Errors
///
/// Where it cannot be read, or is none.
pub fn read_key(file: &Path) -> Result<[u8; 32], Error> {
    let wrong = |problem: String| {
        Error::refused(
            "bad_key",
            problem,
            "make one with: cfg approve --new-key FILE   or openssl genpkey -algorithm ed25519",
        )
    };
    let text =
        std::fs::read_to_string(file).map_err(|e| wrong(format!("cannot read the key {}: {e}", file.display())))?;
    let body: String = text.lines().map(str::trim).filter(|line| !line.starts_with("-----")).collect();
    let is_pem = text.contains("-----BEGIN PRIVATE KEY-----");
    let bytes = STANDARD.decode(body).ok().filter(|_| is_pem);
    let seed = bytes.as_deref().and_then(|bytes| bytes.strip_prefix(&PKCS8)).and_then(|seed| seed.try_into().ok());
    seed.ok_or_else(|| wrong(format!("{} is no Ed25519 key in PEM", file.display())))
}

/// Makes a private key and writes it to a new file that only its owner can read.
///
/// # Errors
///
/// Where the file is there already or cannot be written.
pub fn new_key(file: &Path) -> Result<[u8; 32], Error> {
    use cfg_engine::engine::OpIds as _;
    let seed = cfg_engine::engine::RandomOpIds.fresh();
    let bytes: Vec<u8> = PKCS8.into_iter().chain(seed).collect();
    let text = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(bytes));
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(file).and_then(|mut to| to.write_all(text.as_bytes()));
    written.map_err(|e| {
        Error::refused("bad_key", format!("cannot write {}: {e}", file.display()), "name a file that is not there yet")
    })?;
    Ok(seed)
}

#[cfg(test)]
mod tests {
    #[cfg(unix)]
    use std::process::Command;

    use super::*;

    #[test]
    fn a_key_is_what_openssl_writes() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("key.pem");
        let seed = new_key(&file).expect("a key");
        assert_eq!(read_key(&file).expect("the key"), seed);
        assert!(new_key(&file).is_err(), "a key is not overwritten");
        let theirs = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
        std::fs::write(dir.path().join("openssl.pem"), theirs).expect("write");
        let seed = read_key(&dir.path().join("openssl.pem")).expect("a key");
        let public = cfg_engine::plan::public_key(&seed).to_string();
        assert_eq!(public, "ed25519:Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=");
        for wrong in ["", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
            std::fs::write(dir.path().join("wrong.pem"), wrong).expect("write");
            assert_eq!(read_key(&dir.path().join("wrong.pem")).expect_err("no key").code(), "bad_key");
        }
    }

    #[cfg(unix)]
    #[test]
    fn the_user_is_the_systems() {
        let told = Command::new("id").arg("-un").output().expect("id");
        assert_eq!(os_user_by_id().as_deref(), Some(String::from_utf8_lossy(&told.stdout).trim()));
    }
}
