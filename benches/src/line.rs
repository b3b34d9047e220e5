//! A way to a server that takes time: every byte arrives half a round trip after it was sent.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

/// A proxy on the loopback. Threads and not tasks: the timer of a runtime is a millisecond coarse.
#[derive(Debug)]
pub struct Line {
    /// Where it listens.
    pub port: u16,
    /// Microseconds that a byte takes in one direction.
    one_way: Arc<AtomicU64>,
}

impl Line {
    /// Listens in front of `server` (`host:port`), without delay at first.
    pub fn to(server: &str) -> Line {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (server, one_way) = (server.to_owned(), Arc::new(AtomicU64::new(0)));
        let delay = Arc::clone(&one_way);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (Ok(client), Ok(server)) = (client, TcpStream::connect(&server)) else { continue };
                client.set_nodelay(true).unwrap();
                server.set_nodelay(true).unwrap();
                carry(client.try_clone().unwrap(), server.try_clone().unwrap(), Arc::clone(&delay));
                carry(server, client, Arc::clone(&delay));
            }
        });
        Line { port, one_way }
    }

    /// Sets the time of a round trip.
    pub fn set_round_trip(&self, round_trip: Duration) {
        self.one_way.store(u64::try_from(round_trip.as_micros() / 2).unwrap(), Ordering::Relaxed);
    }
}

/// Carries bytes in one direction: one thread stamps them as they come, another lets them go when they are due.
fn carry(mut from: TcpStream, mut to: TcpStream, one_way: Arc<AtomicU64>) {
    let (sender, receiver) = channel::<(Instant, Vec<u8>)>();
    std::thread::spawn(move || {
        let mut buffer = vec![0; 256 * 1024];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            let due = Instant::now() + Duration::from_micros(one_way.load(Ordering::Relaxed));
            if sender.send((due, buffer[..read].to_vec())).is_err() {
                break;
            }
        }
    });
    std::thread::spawn(move || {
        for (due, bytes) in receiver {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if to.write_all(&bytes).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    });
}
