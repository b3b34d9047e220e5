use std::time::{Duration, Instant};

use async_trait::async_trait;
use cfg_engine::history::Timestamp;
use tokio_postgres::{Client, NoTls, Statement};

use super::{App, Row};

/// An application with a connection of its own, everything prepared.
pub struct Postgres {
    client: Client,
    statements: Statements,
}

struct Statements {
    write: Statement,
    read: Statement,
    read_all: Statement,
}

const TABLES: &str = "
    DROP SCHEMA IF EXISTS bench_app CASCADE; DROP SCHEMA IF EXISTS bench_app_history CASCADE; CREATE SCHEMA bench_app;
    CREATE TABLE bench_app.agents (id text PRIMARY KEY, doc jsonb NOT NULL);
    CREATE TABLE bench_app.by_hand (id text PRIMARY KEY, doc jsonb NOT NULL);
    CREATE TABLE bench_app.by_hand_heads (id text PRIMARY KEY, seq int8 NOT NULL, recorded_at timestamptz NOT NULL);
    CREATE TABLE bench_app.by_hand_history (id text, seq int8, valid_from timestamptz NOT NULL,
        valid_to timestamptz NOT NULL, oid bytea NOT NULL, author text NOT NULL, message text NOT NULL,
        doc json NOT NULL, PRIMARY KEY (id, seq));
    CREATE INDEX by_hand_valid ON bench_app.by_hand_history (valid_to, valid_from);";

/// One statement, so one round trip and one transaction.
const WRITE: &str = "
    WITH given AS (SELECT i AS id, d AS doc FROM unnest($1::text[], $2::text[]) u(i, d)),
    live AS (UPDATE bench_app.by_hand a SET doc = g.doc::jsonb FROM given g WHERE a.id = g.id),
    head AS (UPDATE bench_app.by_hand_heads h SET seq = h.seq + 1, recorded_at = now() FROM given g WHERE h.id = g.id
             RETURNING h.id, h.seq),
    ended AS (UPDATE bench_app.by_hand_history e SET valid_to = now() FROM head
              WHERE e.id = head.id AND e.seq = head.seq - 1)
    INSERT INTO bench_app.by_hand_history
    SELECT head.id, head.seq, now(), 'infinity', '\\x0707', 'ana@example.com', 'a change', given.doc::json
    FROM head JOIN given USING (id)";

impl Postgres {
    /// Connects, and makes the tables anew.
    pub async fn new(uri: &str) -> Self {
        let client = connect(uri).await;
        client.batch_execute(TABLES).await.unwrap();
        Postgres { statements: prepare(&client).await, client }
    }

    /// Goes another way to the same tables.
    pub async fn through(uri: &str) -> Self {
        let client = connect(uri).await;
        Postgres { statements: prepare(&client).await, client }
    }
}

async fn connect(uri: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(uri, NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute("SET client_min_messages = warning").await.unwrap();
    client
}

async fn prepare(client: &Client) -> Statements {
    Statements {
        write: client.prepare(WRITE).await.unwrap(),
        read: client.prepare("SELECT doc::text FROM bench_app.agents WHERE id = $1").await.unwrap(),
        read_all: client.prepare("SELECT id, doc::text FROM bench_app.agents").await.unwrap(),
    }
}

#[async_trait(?Send)]
impl App for Postgres {
    async fn fill(&mut self, rows: &[Row], tracked: bool) {
        for rows in rows.chunks(5000) {
            let (ids, docs): (Vec<&str>, Vec<&str>) = rows.iter().map(|(i, d)| (i.as_str(), d.as_str())).unzip();
            for table in ["by_hand", "agents"].into_iter().take(1 + usize::from(tracked)) {
                let fill = format!(
                    "INSERT INTO bench_app.{table} SELECT i, d::jsonb FROM unnest($1::text[], $2::text[]) u(i, d)"
                );
                self.client.execute(&fill, &[&ids, &docs]).await.unwrap();
            }
            let heads = "INSERT INTO bench_app.by_hand_heads SELECT i, 0, now() FROM unnest($1::text[]) u(i)";
            self.client.execute(heads, &[&ids]).await.unwrap();
        }
    }

    async fn settle(&mut self) {
        self.client.batch_execute("VACUUM ANALYZE").await.unwrap();
        self.client.batch_execute("CHECKPOINT").await.unwrap();
    }

    async fn write(&mut self, rows: &[Row], _to: i64) -> Duration {
        let (ids, docs): (Vec<&str>, Vec<&str>) = rows.iter().map(|(i, d)| (i.as_str(), d.as_str())).unzip();
        let started = Instant::now();
        let written = self.client.execute(&self.statements.write, &[&ids, &docs]).await.unwrap();
        assert_eq!(written, rows.len() as u64);
        started.elapsed()
    }

    async fn read(&mut self, id: &str) -> Duration {
        let started = Instant::now();
        let row = self.client.query_one(&self.statements.read, &[&id]).await.unwrap();
        assert!(!row.get::<_, &str>(0).is_empty());
        started.elapsed()
    }

    async fn read_all(&mut self) -> (Duration, usize) {
        let started = Instant::now();
        let rows = self.client.query(&self.statements.read_all, &[]).await.unwrap();
        (started.elapsed(), rows.len())
    }

    async fn as_of(&mut self, at: Timestamp, with_doc: bool) -> (Duration, usize) {
        let doc = if with_doc { ", h.doc::text" } else { "" };
        let sql = format!(
            "SELECT r.env, r.collection, r.id_key, h.seq, h.oid, h.entry_id{doc} FROM bench_app_history.history h \
             JOIN bench_app_history.records r ON r.record_no = h.record_no \
             WHERE tstzrange(h.valid_from, h.valid_to) @> $1::text::timestamptz"
        );
        let read = self.client.prepare(&sql).await.unwrap();
        let started = Instant::now();
        let rows = self.client.query(&read, &[&at.to_string()]).await.unwrap();
        (started.elapsed(), rows.len())
    }

    async fn about(&mut self) -> Vec<(&'static str, String)> {
        let mut about = Vec::new();
        for (name, setting) in [
            ("version", "server_version"),
            ("fsync", "fsync"),
            ("synchronous_commit", "synchronous_commit"),
            ("shared_buffers", "shared_buffers"),
        ] {
            let row = self.client.query_one(&format!("SHOW {setting}"), &[]).await.unwrap();
            let value: String = row.get(0);
            about.push((name, value.split(' ').next().unwrap_or_default().to_owned()));
        }
        about
    }

    async fn clear(&mut self) {
        self.client
            .batch_execute("DROP SCHEMA bench_app CASCADE; DROP SCHEMA IF EXISTS bench_app_history CASCADE")
            .await
            .unwrap();
    }
}
