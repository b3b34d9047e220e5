use std::collections::HashMap;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bson::raw::RawDocumentBuf;
use bson::spec::BinarySubtype;
use bson::{Binary, DateTime, Document, doc};
use cfg_engine::history::Timestamp;
use futures_util::TryStreamExt;
use mongodb::options::{Acknowledgment, Hint, ReadConcern, WriteConcern};
use mongodb::{Client, Database, IndexModel};

use super::{App, Row};

/// An application with a client of its own.
#[derive(Debug)]
pub struct Mongodb {
    database: Database,
    /// The number of the newest entry of each record that was written by hand.
    seqs: HashMap<String, i64>,
}

/// Later than anything.
const OPEN: i64 = 253_402_300_799_999;

impl Mongodb {
    /// Connects.
    pub async fn new(uri: &str, database: &str) -> Self {
        let database = Client::with_uri_str(uri).await.unwrap().database(database);
        Mongodb { database, seqs: HashMap::new() }
    }

    /// Goes another way to the same collections.
    pub async fn through(&self, uri: &str) -> Self {
        let database = Client::with_uri_str(uri).await.unwrap().database(self.database.name());
        Mongodb { database, seqs: self.seqs.clone() }
    }
}

fn durable() -> WriteConcern {
    WriteConcern::builder().w(Acknowledgment::Majority).journal(true).build()
}

fn parsed((id, json): &Row) -> Document {
    let mut doc = doc! { "_id": id };
    doc.extend(serde_json::from_str::<Document>(json).unwrap());
    doc
}

#[async_trait(?Send)]
impl App for Mongodb {
    async fn fill(&mut self, rows: &[Row], tracked: bool) {
        for rows in rows.chunks(5000) {
            let docs: Vec<Document> = rows.iter().map(parsed).collect();
            for name in ["by_hand", "agents"].into_iter().take(1 + usize::from(tracked)) {
                self.database.collection::<Document>(name).insert_many(&docs).write_concern(durable()).await.unwrap();
            }
            let heads = rows.iter().map(|(id, _)| doc! { "_id": id, "seq": 0_i64 });
            self.database.collection::<Document>("by_hand_heads").insert_many(heads).await.unwrap();
        }
        let valid = IndexModel::builder().keys(doc! { "valid_to": 1, "valid_from": 1 }).build();
        self.database.collection::<Document>("by_hand_history").create_index(valid).await.unwrap();
    }

    async fn settle(&mut self) {
        self.database.client().database("admin").run_command(doc! { "fsync": 1 }).await.unwrap();
    }

    async fn write(&mut self, rows: &[Row], to: i64) -> Duration {
        let now = DateTime::from_millis(1_700_000_000_000 + to);
        let hash = Binary { subtype: BinarySubtype::Generic, bytes: vec![7; 32] };
        let (mut live, mut entries, mut heads) = (Vec::new(), Vec::new(), Vec::new());
        for row in rows {
            let id = &row.0;
            let seq = self.seqs.entry(id.clone()).or_insert(0);
            *seq += 1;
            let entry = doc! {
                "oid": &hash, "author": "ana@example.com", "message": "a change", "valid_from": now,
                "valid_to": DateTime::from_millis(OPEN), "doc": parsed(row),
            };
            live.push(doc! { "q": { "_id": id }, "u": { "$set": { "n": to } } });
            entries.push(
                doc! { "q": { "_id": { "id": id, "seq": *seq } }, "u": { "$setOnInsert": entry }, "upsert": true },
            );
            if *seq > 1 {
                let end = doc! { "$set": { "valid_to": now } };
                entries.push(doc! { "q": { "_id": { "id": id, "seq": *seq - 1 } }, "u": end });
            }
            heads.push(doc! { "q": { "_id": id }, "u": { "$set": { "seq": *seq, "recorded_at": now } } });
        }
        let started = Instant::now();
        let mut session = self.database.client().start_session().await.unwrap();
        session.start_transaction().read_concern(ReadConcern::snapshot()).write_concern(durable()).await.unwrap();
        for (name, updates) in [("by_hand", live), ("by_hand_history", entries), ("by_hand_heads", heads)] {
            let command = doc! { "update": name, "updates": updates };
            let reply = self.database.run_command(command).session(&mut session).await.unwrap();
            assert!(!reply.contains_key("writeErrors"), "{reply}");
        }
        session.commit_transaction().await.unwrap();
        started.elapsed()
    }

    async fn read(&mut self, id: &str) -> Duration {
        let started = Instant::now();
        let live = self.database.collection::<RawDocumentBuf>("agents");
        assert!(live.find_one(doc! { "_id": id }).await.unwrap().is_some());
        started.elapsed()
    }

    async fn read_all(&mut self) -> (Duration, usize) {
        let started = Instant::now();
        let live = self.database.collection::<RawDocumentBuf>("agents");
        let rows: Vec<RawDocumentBuf> = live.find(doc! {}).await.unwrap().try_collect().await.unwrap();
        (started.elapsed(), rows.len())
    }

    async fn as_of(&mut self, at: Timestamp, with_doc: bool) -> (Duration, usize) {
        let at = DateTime::from_millis(at.as_millis());
        let filter = doc! { "_id.env": "dev", "valid_to": { "$gt": at }, "valid_from": { "$lte": at } };
        let fields = if with_doc {
            Document::new()
        } else {
            doc! { "oid": 1, "entry_id": 1, "recorded_at": 1, "valid_from": 1, "op": 1 }
        };
        let started = Instant::now();
        let entries = self.database.collection::<RawDocumentBuf>("config_history");
        let find = entries.find(filter).projection(fields).hint(Hint::Name("cfg_valid_to".to_owned()));
        let rows: Vec<RawDocumentBuf> = find.batch_size(5000).await.unwrap().try_collect().await.unwrap();
        (started.elapsed(), rows.len())
    }

    async fn about(&mut self) -> Vec<(&'static str, String)> {
        let built = self.database.run_command(doc! { "buildInfo": 1 }).await.unwrap();
        let status = self.database.client().database("admin").run_command(doc! { "serverStatus": 1 }).await.unwrap();
        let engine = status.get_document("storageEngine").and_then(|engine| engine.get_str("name"));
        let cache = status.get_document("wiredTiger").and_then(|tiger| tiger.get_document("cache"));
        let cache = cache.ok().and_then(|cache| cache.get("maximum bytes configured"));
        let cache = cache.and_then(|n| n.as_i64().or_else(|| n.as_i32().map(i64::from))).unwrap_or_default();
        vec![
            ("version", built.get_str("version").unwrap().to_owned()),
            ("storage engine", engine.unwrap_or("unknown").to_owned()),
            ("cache", format!("{} MB", cache >> 20)),
            ("replica set of", "one node".to_owned()),
            ("write concern", "majority, journaled".to_owned()),
        ]
    }

    async fn clear(&mut self) {
        self.database.drop().await.unwrap();
    }
}
