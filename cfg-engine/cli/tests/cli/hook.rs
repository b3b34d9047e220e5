//! A webhook: a real server on this machine that takes what is posted to it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

/// A server that answers every request the same way and keeps what it was told.
pub(crate) struct Hook {
    port: u16,
    told: Arc<Mutex<Vec<Value>>>,
}

/// What the URL has besides its host; nothing that the program prints may have it.
pub(crate) const SECRET: &str = "T0-s3cret-path";

impl Hook {
    /// One that takes everything.
    pub(crate) fn listening() -> Hook {
        Hook::answering("204 No Content")
    }

    /// One that answers with this status.
    pub(crate) fn answering(status: &'static str) -> Hook {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let told: Arc<Mutex<Vec<Value>>> = Arc::default();
        let kept = Arc::clone(&told);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let Some(alert) = read(&stream) else { continue };
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(alert);
                let _ = write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            }
        });
        Hook { port, told }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/services/{SECRET}", self.port)
    }

    /// Returns everything that was posted.
    pub(crate) fn told(&self) -> Vec<Value> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn read(stream: &TcpStream) -> Option<Value> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length = |line: &str| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok();
    let mut body = vec![0; head.lines().find_map(length)?];
    reader.read_exact(&mut body).ok()?;
    serde_json::from_slice(&body).ok()
}
