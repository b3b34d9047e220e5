//! Carrying alerts: to a command of this machine, or to a URL. What is not delivered in time is not delivered.
//!
//! The URL of a webhook is a secret, and so may be the arguments of a command: no text of this module names more
//! than the host, the variable or the program.

use std::io::{ErrorKind, Write as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use async_trait::async_trait;
use cfg_engine::Value;
use cfg_engine::config::{Alert, AlertUrl};
use cfg_engine::document::Object;
use cfg_engine::engine::Alarm;
use ureq::tls::{RootCerts, TlsConfig, TlsProvider};

use crate::variables::Variables;

/// How long a command may take.
const COMMAND_TIME: Duration = Duration::from_secs(30);
/// How long a server may take, from looking up its name to the last header of its answer.
const URL_TIME: Duration = Duration::from_secs(8);
/// How long it may take until a connection stands.
const CONNECT_TIME: Duration = Duration::from_secs(4);
/// How often is looked whether a command has ended.
const LOOK: Duration = Duration::from_millis(20);

/// Carries alerts from this machine.
pub(crate) struct Messenger {
    variables: Variables,
}

impl Messenger {
    /// Makes one that looks up `env:VARIABLE` in these variables.
    pub(crate) fn new(variables: Variables) -> Self {
        Messenger { variables }
    }

    fn url(&self, variable: &str) -> Result<AlertUrl, String> {
        let text =
            self.variables.get(variable).ok_or_else(|| format!("the environment variable {variable} is not set"))?;
        AlertUrl::parse(text.trim()).map_err(|problem| format!("what the variable {variable} holds {problem}"))
    }
}

#[async_trait]
impl Alarm for Messenger {
    async fn raise(&self, to: &Alert, alert: &Object) -> Result<(), String> {
        let body = Value::Object(alert.clone()).to_interchange();
        let carry: Box<dyn FnOnce() -> Result<(), String> + Send> = match to {
            Alert::Command(command) => {
                let command = command.clone();
                Box::new(move || run(&command, &body, COMMAND_TIME))
            }
            Alert::Variable(variable) => {
                let url = self.url(variable)?;
                Box::new(move || post(&url, &body))
            }
            Alert::Url(url) => {
                let url = url.clone();
                Box::new(move || post(&url, &body))
            }
        };
        // Whoever waits here may have other work on the same thread.
        let (done, outcome) = tokio::sync::oneshot::channel();
        let carrier = std::thread::Builder::new().name("cfg-alert".to_owned());
        carrier.spawn(move || drop(done.send(carry()))).map_err(|error| format!("no thread for it: {error}"))?;
        outcome.await.unwrap_or_else(|_| Err("it was given up".to_owned()))
    }
}

/// Runs a command. No shell reads it; what happened is on its standard input, as JSON.
fn run(command: &[String], body: &str, time: Duration) -> Result<(), String> {
    let Some((program, arguments)) = command.split_first() else { return Err("it names no program".to_owned()) };
    let failed = |error: std::io::Error| format!("{program}: {error}");
    let mut child =
        Command::new(program).args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().map_err(failed)?;
    if let Some(mut to) = child.stdin.take() {
        let text = format!("{body}\n");
        // A command that does not read it says itself whether that was well; it does not hold up this thread.
        let writer = std::thread::Builder::new().name("cfg-alert-input".to_owned());
        writer.spawn(move || drop(to.write_all(text.as_bytes()))).map_err(failed)?;
    }
    match ended(&mut child, time).map_err(failed)? {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(format!("{program}: {status}")),
        None => Err(format!("{program} did not end within {} s", time.as_secs_f32())),
    }
}

/// Waits until a command ends; ends it when the time is up.
fn ended(child: &mut Child, time: Duration) -> std::io::Result<Option<ExitStatus>> {
    for _ in 0..=time.as_millis() / LOOK.as_millis() {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        std::thread::sleep(LOOK);
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}

/// Posts it. Only an answer of 2xx counts, and that of this very server: no redirect is followed, and no proxy of
/// the surroundings answers in its place.
fn post(url: &AlertUrl, body: &str) -> Result<(), String> {
    let host = url.host();
    let text = url.text().ok_or_else(|| format!("{host}: only its host is known here"))?;
    let tls = TlsConfig::builder().provider(TlsProvider::Rustls).root_certs(RootCerts::WebPki).build();
    let agent = ureq::Agent::config_builder()
        .tls_config(tls)
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .timeout_connect(Some(CONNECT_TIME))
        .timeout_global(Some(URL_TIME))
        .user_agent(concat!("cfg-engine/", env!("CARGO_PKG_VERSION")))
        .build()
        .new_agent();
    let sent = agent.post(text).content_type("application/json").send(body);
    match sent.map(|answer| answer.status()) {
        Ok(status) if status.is_success() => Ok(()),
        Ok(status) if status.is_redirection() => {
            Err(format!("{host} answered {}, a redirect, which is not followed", status.as_u16()))
        }
        Ok(status) => Err(format!("{host} answered {}", status.as_u16())),
        Err(error) => Err(format!("{host}: {}", cause(&error))),
    }
}

/// Says why nothing was answered. The client's own texts may repeat the URL, so only what is known not to is said.
fn cause(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Timeout(_) => "no answer in time".to_owned(),
        ureq::Error::HostNotFound => "there is no such host".to_owned(),
        ureq::Error::ConnectionFailed => "no connection".to_owned(),
        ureq::Error::Rustls(error) => format!("TLS: {error}"),
        ureq::Error::Tls(problem) => format!("TLS: {problem}"),
        // A handshake that fails comes as invalid data: what is wrong with the certificate.
        ureq::Error::Io(error) => match error.get_ref().filter(|_| error.kind() == ErrorKind::InvalidData) {
            Some(problem) => format!("TLS: {problem}"),
            None => error.kind().to_string(),
        },
        ureq::Error::Protocol(_) => "what it answered is no HTTP".to_owned(),
        _ => "it cannot be posted to".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Read as _};
    use std::net::{TcpListener, TcpStream};
    use std::sync::mpsc::{Receiver, channel};

    use super::*;

    /// Answers one request after another with these texts; hands back what it was sent.
    fn server(answers: Vec<String>) -> (u16, Receiver<(String, String)>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (sent, seen) = channel();
        std::thread::spawn(move || {
            for answer in answers {
                let Ok((mut stream, _)) = listener.accept() else { return };
                let request = request(&stream);
                let _ = stream.write_all(answer.as_bytes());
                let _ = sent.send(request);
            }
        });
        (port, seen)
    }

    fn request(stream: &TcpStream) -> (String, String) {
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).expect("a header") == 0 {
                break;
            }
        }
        let length =
            head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        reader.read_exact(&mut body).expect("a body");
        (head, String::from_utf8(body).expect("text"))
    }

    fn answer(status: &str, headers: &str) -> String {
        format!("HTTP/1.1 {status}\r\n{headers}content-length: 0\r\nconnection: close\r\n\r\n")
    }

    async fn raise(to: &Alert, variables: &[(&str, &str)]) -> Result<(), String> {
        let messenger = Messenger::new(Variables::fixed(variables.iter().copied()));
        messenger.raise(to, &Object::new().with("event", "history_redacted")).await
    }

    fn url(text: &str) -> Alert {
        Alert::Url(AlertUrl::parse(text).expect("a URL"))
    }

    const SECRETS: [&str; 3] = ["hunter2", "s3cret-path", "t0ken"];

    #[tokio::test]
    async fn it_is_posted_as_json() {
        let (port, seen) = server(vec![answer("204 No Content", ""), answer("200 OK", "")]);
        let place = format!("http://ana:hunter2@127.0.0.1:{port}/s3cret-path?token=t0ken");
        assert_eq!(raise(&url(&place), &[]).await, Ok(()));
        let (head, body) = seen.recv().expect("a request");
        assert!(head.starts_with("POST /s3cret-path?token=t0ken HTTP/1.1\r\n"), "{head}");
        let head = head.to_ascii_lowercase();
        assert!(head.contains("content-type: application/json"), "{head}");
        assert!(head.contains("authorization: basic yw5homh1bnrlcji="), "{head}");
        assert_eq!(body, r#"{"event":"history_redacted"}"#);
        // The URL is in a variable.
        let alert = Alert::Variable("HOOK".to_owned());
        assert_eq!(raise(&alert, &[("HOOK", &place)]).await, Ok(()));
        assert_eq!(raise(&alert, &[]).await, Err("the environment variable HOOK is not set".to_owned()));
        let wrong = raise(&alert, &[("HOOK", "postgres://ana:hunter2@db/s3cret-path")]).await.expect_err("no URL");
        assert!(wrong.contains("HOOK") && SECRETS.iter().all(|secret| !wrong.contains(secret)), "{wrong}");
    }

    #[tokio::test]
    async fn only_an_answer_of_2xx_counts() {
        let (elsewhere, visited) = server(vec![answer("200 OK", "")]);
        let answers = ["301 Moved", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"]
            .map(|status| answer(status, &format!("location: http://127.0.0.1:{elsewhere}/\r\n")));
        let others = ["400 Bad Request", "404 Not Found", "500 Oops", "503 Later"].map(|status| answer(status, ""));
        let broken = ["SSH-2.0-OpenSSH\r\n".to_owned(), String::new()];
        let answers: Vec<String> = answers.into_iter().chain(others).chain(broken).collect();
        let count = answers.len();
        let (port, _seen) = server(answers);
        let place = url(&format!("http://ana:hunter2@127.0.0.1:{port}/s3cret-path?token=t0ken"));
        for n in 0..count {
            let why = raise(&place, &[]).await.expect_err("not delivered");
            assert!(why.starts_with(&format!("http://127.0.0.1:{port}")), "{n}: {why}");
            assert!(SECRETS.iter().all(|secret| !why.contains(secret)), "{n}: {why}");
        }
        // Nobody listens any more.
        let why = raise(&place, &[]).await.expect_err("not delivered");
        assert!(SECRETS.iter().all(|secret| !why.contains(secret)), "{why}");
        assert!(visited.try_recv().is_err(), "a redirect was followed");
    }

    #[tokio::test]
    async fn no_answer_is_no_delivery() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let place = url(&format!("http://127.0.0.1:{port}/s3cret-path"));
        let told = tokio::time::timeout(URL_TIME + Duration::from_secs(10), raise(&place, &[])).await;
        let why = told.expect("it ends").expect_err("no answer");
        assert!(why.contains("in time") && !why.contains("s3cret"), "{why}");
    }

    #[tokio::test]
    async fn tls_is_not_optional() {
        let (port, _seen) = server(vec![answer("200 OK", "")]);
        let why = raise(&url(&format!("https://127.0.0.1:{port}/s3cret-path")), &[]).await.expect_err("no TLS");
        assert!(why.starts_with("https://127.0.0.1") && !why.contains("s3cret"), "{why}");
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_command_says_whether_it_was_delivered() {
        let dir = tempfile::tempdir().expect("a folder");
        let told = dir.path().join("told");
        let command = |words: &[&str]| Alert::Command(words.iter().map(|word| (*word).to_owned()).collect());
        let tee = command(&["tee", told.to_str().expect("a path")]);
        assert_eq!(raise(&tee, &[]).await, Ok(()));
        assert_eq!(std::fs::read_to_string(&told).expect("told"), "{\"event\":\"history_redacted\"}\n");
        assert!(raise(&command(&["false", "s3cret-path"]), &[]).await.is_err_and(|why| !why.contains("s3cret")));
        assert!(raise(&command(&["no-such-program-here"]), &[]).await.is_err());
        assert!(raise(&command(&[]), &[]).await.is_err());
        let slow = ["sleep".to_owned(), "60".to_owned()];
        assert!(run(&slow, "{}", Duration::from_millis(300)).is_err_and(|why| why.contains("did not end")));
    }
}
