//! Servers that a test starts, configures and kills.

use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bson::{Document, doc};
use mongodb::Client;
use mongodb::options::ClientOptions;
use tempfile::TempDir;

/// Servers of one test's own.
pub(super) struct ReplicaSet {
    pub(super) servers: Vec<(u16, Child)>,
    _data: TempDir,
}

impl Drop for ReplicaSet {
    fn drop(&mut self) {
        for (_, server) in &mut self.servers {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

impl ReplicaSet {
    /// The server's program. Where nobody names it, says that `what` is not tested.
    pub(super) fn program(what: &str) -> Option<String> {
        let program = std::env::var("CFG_TEST_MONGOD").ok();
        if program.is_none() && cfg_engine_conformance::is_there(&super::MongoHarness::new()) {
            let skipped = format!("{what}: SKIPPED LOUDLY, CFG_TEST_MONGOD names no server\n");
            std::io::stderr().write_all(skipped.as_bytes()).unwrap();
        }
        program
    }

    /// Starts so many, and waits until one of them is primary.
    pub(super) async fn start(mongod: &str, count: usize, more: &[&str]) -> ReplicaSet {
        let data = TempDir::new().unwrap();
        let mut servers = Vec::new();
        for n in 0..count {
            let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let folder = data.path().join(format!("{n}"));
            std::fs::create_dir(&folder).unwrap();
            let server = Command::new(mongod)
                .args([
                    "--port",
                    &port.to_string(),
                    "--bind_ip",
                    "127.0.0.1",
                    "--replSet",
                    "own",
                    "--oplogSize",
                    "64",
                ])
                .args(["--wiredTigerCacheSizeGB", "0.25", "--setParameter", "diagnosticDataCollectionEnabled=false"])
                .args(["--dbpath", folder.to_str().unwrap(), "--logpath", folder.join("log").to_str().unwrap()])
                .args(more)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            servers.push((port, server));
        }
        let set = ReplicaSet { servers, _data: data };
        let members: Vec<Document> = (set.servers.iter().zip(0_i32..))
            .map(|((port, _), n)| doc! { "_id": n, "host": format!("127.0.0.1:{port}"), "priority": if n == 0 { 2 } else { 1 } })
            .collect();
        let quick = doc! { "electionTimeoutMillis": 1000, "heartbeatIntervalMillis": 200 };
        let config = doc! { "_id": "own", "members": members, "settings": quick };
        let first = set.direct(0).await;
        for _ in 0..100 {
            if first.database("admin").run_command(doc! { "replSetInitiate": config.clone() }).await.is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        set.primary().await;
        set
    }

    pub(super) fn uri(&self) -> String {
        let hosts: Vec<String> = self.servers.iter().map(|(port, _)| format!("127.0.0.1:{port}")).collect();
        format!("mongodb://{}/?replicaSet=own", hosts.join(","))
    }

    pub(super) async fn direct(&self, n: usize) -> Client {
        let mut options = ClientOptions::parse(format!("mongodb://127.0.0.1:{}", self.servers[n].0)).await.unwrap();
        options.direct_connection = Some(true);
        options.server_selection_timeout = Some(Duration::from_secs(2));
        Client::with_options(options).unwrap()
    }

    /// Waits for a primary; returns which server it is.
    pub(super) async fn primary(&self) -> usize {
        for _ in 0..300 {
            for n in 0..self.servers.len() {
                let hello = self.direct(n).await.database("admin").run_command(doc! { "hello": 1 }).await;
                if hello.is_ok_and(|hello| hello.get_bool("isWritablePrimary").unwrap_or_default()) {
                    return n;
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("no primary");
    }
}
