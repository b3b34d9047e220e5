use std::path::Path;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use cfg_engine::history::Timestamp;
use rusqlite::{Connection, params};

use super::{App, Row};

/// An application with a connection of its own to the file.
#[derive(Debug)]
pub struct Sqlite(Connection);

const TABLES: &str = "
    PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
    CREATE TABLE agents (id TEXT PRIMARY KEY, doc TEXT NOT NULL);
    CREATE TABLE by_hand (id TEXT PRIMARY KEY, doc TEXT NOT NULL);
    CREATE TABLE by_hand_heads (id TEXT PRIMARY KEY, seq INTEGER NOT NULL, recorded_at INTEGER NOT NULL);
    CREATE TABLE by_hand_history (id TEXT NOT NULL, seq INTEGER NOT NULL, valid_from INTEGER NOT NULL,
        valid_to INTEGER NOT NULL, oid BLOB NOT NULL, author TEXT NOT NULL, message TEXT NOT NULL, doc TEXT NOT NULL,
        PRIMARY KEY (id, seq));
    CREATE INDEX by_hand_valid ON by_hand_history (valid_to, valid_from);";

impl Sqlite {
    /// Makes the file and its tables.
    pub fn new(path: &Path) -> Self {
        let db = Connection::open(path).unwrap();
        db.execute_batch(TABLES).unwrap();
        Sqlite(db)
    }
}

#[async_trait(?Send)]
impl App for Sqlite {
    async fn fill(&mut self, rows: &[Row], tracked: bool) {
        let filling = self.0.transaction().unwrap();
        for (id, doc) in rows {
            if tracked {
                filling.prepare_cached("INSERT INTO agents VALUES (?1, ?2)").unwrap().execute((id, doc)).unwrap();
            }
            filling.prepare_cached("INSERT INTO by_hand VALUES (?1, ?2)").unwrap().execute((id, doc)).unwrap();
            filling.prepare_cached("INSERT INTO by_hand_heads VALUES (?1, 0, 0)").unwrap().execute([id]).unwrap();
        }
        filling.commit().unwrap();
    }

    async fn settle(&mut self) {
        self.0.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    }

    async fn write(&mut self, rows: &[Row], to: i64) -> Duration {
        let started = Instant::now();
        self.0.execute_batch("BEGIN IMMEDIATE").unwrap();
        for (id, doc) in rows {
            let statement = |sql| self.0.prepare_cached(sql).unwrap();
            statement("UPDATE by_hand SET doc = ?2 WHERE id = ?1").execute((id, doc)).unwrap();
            let seq: i64 =
                statement("UPDATE by_hand_heads SET seq = seq + 1, recorded_at = ?2 WHERE id = ?1 RETURNING seq")
                    .query_row((id, to), |row| row.get(0))
                    .unwrap();
            statement("UPDATE by_hand_history SET valid_to = ?3 WHERE id = ?1 AND seq = ?2 - 1")
                .execute((id, seq, to))
                .unwrap();
            statement("INSERT INTO by_hand_history VALUES (?1, ?2, ?3, ?4, ?5, 'ana@example.com', 'a change', ?6)")
                .execute(params![id, seq, to, i64::MAX, [7_u8; 32], doc])
                .unwrap();
        }
        self.0.execute_batch("COMMIT").unwrap();
        started.elapsed()
    }

    async fn read(&mut self, id: &str) -> Duration {
        let started = Instant::now();
        let mut read = self.0.prepare_cached("SELECT doc FROM agents WHERE id = ?1").unwrap();
        let doc: String = read.query_row([id], |row| row.get(0)).unwrap();
        assert!(!doc.is_empty());
        started.elapsed()
    }

    async fn read_all(&mut self) -> (Duration, usize) {
        let started = Instant::now();
        let mut read = self.0.prepare_cached("SELECT id, doc FROM agents").unwrap();
        let rows = read.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        let rows: Vec<(String, String)> = rows.collect::<Result<_, _>>().unwrap();
        (started.elapsed(), rows.len())
    }

    async fn as_of(&mut self, at: Timestamp, with_doc: bool) -> (Duration, usize) {
        let started = Instant::now();
        let doc = if with_doc { ", h.doc" } else { "" };
        // One look per record: what suits the indexes that are there best.
        let sql = format!(
            "SELECT h.record_no, h.seq, h.oid, h.entry_id{doc} FROM cfg_records r JOIN config_history h \
             ON h.entry_no = (SELECT g.entry_no FROM config_history g WHERE g.record_no = r.record_no \
             AND g.valid_from <= ?1 ORDER BY g.valid_from DESC, g.seq DESC LIMIT 1)"
        );
        let mut read = self.0.prepare_cached(&sql).unwrap();
        let mut rows = read.query([at.as_millis()]).unwrap();
        let (mut found, mut bytes) = (0, 0);
        while let Some(row) = rows.next().unwrap() {
            found += usize::from(row.get::<_, i64>(0).is_ok());
            bytes += row.get::<_, Vec<u8>>(2).unwrap().len();
            if with_doc {
                bytes += row.get::<_, String>(4).unwrap().len();
            }
        }
        assert!(bytes > 0);
        (started.elapsed(), found)
    }

    async fn about(&mut self) -> Vec<(&'static str, String)> {
        let synchronous: i64 = self.0.query_row("PRAGMA synchronous", [], |row| row.get(0)).unwrap();
        let journal: String = self.0.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
        let names = ["OFF", "NORMAL", "FULL", "EXTRA"];
        vec![
            ("version", rusqlite::version().to_owned()),
            ("journal_mode", journal),
            ("synchronous", names[usize::try_from(synchronous).unwrap()].to_owned()),
        ]
    }

    async fn clear(&mut self) {}
}
