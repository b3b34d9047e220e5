//! Damage that is planted in a history, and what `fsck` says of it: every one is found, at its place, and
//! no record beside it is blamed.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use cfg_engine::Value;
use cfg_engine::adapter::{MemoryAdapter, StorageAdapter};
use cfg_engine::config::{CollectionConfig, Shape};
use cfg_engine::document::Object;
use cfg_engine::engine::{Adopt, Commit, HistoryImport, Import, Log, Project, Remove, SetTag, TagTarget};
use cfg_engine::history::{
    Author, AuthorClass, CollectionName, Ends, Entry, IdKey, Op, RecordKey, Seq, TagName, Timestamp,
};
use cfg_engine_conformance::{Harness, Namespace, Need, Table, value};
use cfg_engine_sqlite::{SqliteAdapter, SqliteOptions};
use rusqlite::Connection;

use crate::scenarios::Lines;
use crate::stores::{Bed, because, settings};

/// A memory store whose hooks are at hand.
pub(crate) struct Memory {
    pub(crate) adapter: Arc<MemoryAdapter>,
    pub(crate) bed: Bed,
}

/// Opens a memory store with its hooks.
pub(crate) async fn memory(shape: Shape) -> Memory {
    let harness = Arc::new(Keeping { shape, kept: Mutex::default() });
    let bed = Bed::open(Arc::clone(&harness) as Arc<dyn Harness>, vec![Table::new("agents")]).await;
    let adapter = harness.kept.lock().unwrap().clone().unwrap();
    Memory { adapter, bed }
}

struct Keeping {
    shape: Shape,
    kept: Mutex<Option<Arc<MemoryAdapter>>>,
}

struct Kept(Arc<MemoryAdapter>);

#[async_trait]
impl Harness for Keeping {
    fn name(&self) -> &str {
        "memory"
    }

    fn shape(&self) -> Shape {
        self.shape
    }

    fn has(&self, need: Need) -> bool {
        need != Need::ClockControl
    }

    async fn open(&self, tables: &[Table]) -> Box<dyn Namespace> {
        let adapter = Arc::new(MemoryAdapter::new(tables.iter().map(|table| table.config.clone()).collect()));
        *self.kept.lock().unwrap() = Some(Arc::clone(&adapter));
        Box::new(Kept(adapter))
    }
}

#[async_trait]
impl Namespace for Kept {
    fn adapter(&self) -> Arc<dyn StorageAdapter> {
        Arc::clone(&self.0) as Arc<dyn StorageAdapter>
    }

    async fn reopen(&self, collections: Vec<CollectionConfig>) -> Arc<dyn StorageAdapter> {
        Arc::new(self.0.reopen(collections))
    }

    async fn insert(&self, collection: &CollectionConfig, row: &Value) {
        self.0.raw_insert(collection.name.as_str(), row.clone());
    }

    async fn update(&self, collection: &CollectionConfig, id: &Value, set: &Object) {
        self.0.raw_update(collection.name.as_str(), id, |row| {
            for (field, value) in set {
                row.as_object_mut().unwrap().insert(field.as_str(), value.clone());
            }
        });
    }

    async fn delete(&self, collection: &CollectionConfig, id: &Value) {
        self.0.raw_delete(collection.name.as_str(), id);
    }

    async fn rows(&self, collection: &CollectionConfig) -> Vec<Value> {
        self.0.raw_rows(collection.name.as_str())
    }
}

/// Makes a history with every kind of entry: `planner` @1 import, @2 and @3 commits, @4 a backdated import,
/// @5 a deletion, @6 a new document; and `critic` beside it.
async fn populate(project: &Project, planner: &RecordKey, critic: &RecordKey) {
    for record in [planner, critic] {
        project.commit(&Commit::new(record.clone(), value(r#"{"name": "one"}"#)), &because("first")).await.unwrap();
        for n in 2..=3 {
            let doc = value(&format!(r#"{{"name": "one", "n": {n}}}"#));
            project.commit(&Commit::new(record.clone(), doc), &because("next")).await.unwrap();
        }
        let id = record.id.as_str();
        let line = format!(r#"{{"id": {id}, "time": "2023-06-07T00:00:00Z", "doc": {{"name": "older"}}}}"#);
        let history = HistoryImport { collection: record.collection.clone(), seed_live: false };
        let mut lines = Lines::new(vec![line]);
        project.import_history(&history, &mut lines, &because("load"), None).await.unwrap();
        project.remove(&Remove::new(record.clone()), &because("gone")).await.unwrap();
        project.commit(&Commit::new(record.clone(), value(r#"{"name": "again"}"#)), &because("again")).await.unwrap();
    }
    let report = project.fsck(None).await.unwrap();
    assert_eq!((report.findings.as_slice(), report.entries), (&[][..], 12));
}

/// Checks that damage to `planner` is found as `code` at `seq`, and that nobody else is blamed.
async fn assert_found(project: &Project, planner: &RecordKey, what: &str, code: &str, seq: Option<u64>) {
    let report = project.fsck(None).await.unwrap();
    let found = report.findings.iter().any(|f| f.code == code && f.seq == seq.map(Seq));
    assert!(found, "{what}: expected {code} at {seq:?}, found {:?}", report.findings);
    assert!(report.findings.iter().all(|f| f.record.as_ref() == Some(planner)), "{what}: {:?}", report.findings);
    assert_eq!(report.exit_code(), 6);
    let text = report.to_object();
    assert!(!Value::Object(text).to_interchange().contains("forged"), "{what}: a finding tells a value");
}

type Plant = (&'static str, &'static str, Option<u64>, fn(&MemoryAdapter, &RecordKey) -> bool);

#[tokio::test]
async fn damage_in_memory_is_found() {
    let plants: Vec<Plant> = vec![
        ("an edited document", "content", Some(2), |m, r| {
            m.damage_doc(r, Seq(2), |doc| drop(doc.as_object_mut().unwrap().insert("name", "forged")))
        }),
        ("an edited message", "message", Some(2), |m, r| m.damage_message(r, Seq(2), "forged")),
        ("an edited author", "entry_id", Some(3), |m, r| {
            m.damage_header(r, Seq(3), |h| h.author = Author { id: "forged".to_owned(), class: AuthorClass::Human })
        }),
        ("an edited time", "entry_id", Some(2), |m, r| {
            m.damage_header(r, Seq(2), |h| h.recorded_at = h.recorded_at.plus_millis(-5))
        }),
        ("an edited content address", "entry_id", Some(1), |m, r| m.damage_header(r, Seq(1), |h| h.oid = None)),
        ("an edited operation", "entry_id", Some(2), |m, r| m.damage_header(r, Seq(2), |h| h.op = Op::Adopt)),
        ("edited meta", "entry_id", Some(2), |m, r| m.damage_header(r, Seq(2), |h| h.meta = Object::new())),
        ("a forged link", "chain", Some(3), |m, r| m.damage_header(r, Seq(3), |h| h.prev_entry_id = None)),
        ("a deleted entry", "gap", Some(3), |m, r| m.drop_entry(r, Seq(2))),
        ("a deleted first entry", "gap", Some(2), |m, r| m.drop_entry(r, Seq(1))),
        ("a truncated chain", "head", Some(6), |m, r| m.drop_entry(r, Seq(6))),
        ("a truncated chain, its tip", "tip", Some(6), |m, r| m.drop_entry(r, Seq(6))),
        ("swapped entries", "entry_id", Some(2), |m, r| m.swap_entries(r, Seq(2), Seq(3))),
        ("a lost head", "head", None, |m, r| m.drop_head(r)),
        ("an interval that overlaps", "interval", Some(1), |m, r| {
            m.damage_ends(r, Seq(1), Ends { valid_to: Timestamp::OPEN, superseded_at: Timestamp::OPEN })
        }),
        ("all entries gone", "head", None, |m, r| (1..=6).all(|n| m.drop_entry(r, Seq(n)))),
    ];
    for shape in [Shape::Row, Shape::Doc] {
        for (what, code, seq, plant) in &plants {
            let memory = memory(shape).await;
            let (planner, critic) = (memory.bed.id("planner"), memory.bed.id("critic"));
            populate(&memory.bed.project, &planner, &critic).await;
            assert!(plant(&memory.adapter, &planner), "{what}");
            assert_found(&memory.bed.project, &planner, what, code, *seq).await;
            // What is not damaged goes on.
            memory.bed.set("critic", &["n=9"]).await.unwrap();
        }
    }
}

/// A file with a live table in the document shape.
pub(crate) struct File {
    _dir: tempfile::TempDir,
    pub(crate) db: Connection,
    pub(crate) project: Project,
}

pub(crate) async fn file() -> File {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.db");
    let db = Connection::open(&path).unwrap();
    db.execute_batch("CREATE TABLE agents (id TEXT PRIMARY KEY, doc TEXT NOT NULL)").unwrap();
    let mut config = CollectionConfig::new(CollectionName::new("agents").unwrap(), "id");
    config.shape = Shape::Doc;
    let adapter = SqliteAdapter::open(SqliteOptions::new(&path, vec![config])).unwrap();
    let project = Project::new(Arc::new(adapter), settings());
    project.init(false).await.unwrap();
    File { _dir: dir, db, project }
}

pub(crate) fn record(project: &Project, id: &str) -> RecordKey {
    RecordKey {
        env: project.settings().env.clone(),
        collection: CollectionName::new("agents").unwrap(),
        id: IdKey::from_value(&Value::from(id)).unwrap(),
    }
}

#[tokio::test]
async fn damage_in_sqlite_is_found() {
    const MINE: &str = "record_no = (SELECT record_no FROM cfg_records WHERE id_key = '\"planner\"')";
    let plants: [(&str, &str, Option<u64>, &str); 22] = [
        (
            "an edited document",
            "content",
            Some(3),
            "UPDATE config_history SET doc_native = replace(doc_native, 'one', 'forged'), doc = replace(doc, 'one', 'forged') WHERE seq = 3 AND",
        ),
        (
            "an edited first document",
            "content",
            Some(1),
            "UPDATE config_history SET doc_native = replace(doc_native, 'one', 'forged'), doc = replace(doc, 'one', 'forged') WHERE seq = 1 AND",
        ),
        (
            "a document taken out",
            "content",
            Some(3),
            "UPDATE config_history SET doc_native = NULL, doc = NULL WHERE seq = 3 AND",
        ),
        (
            "a document said never to have been",
            "content",
            Some(3),
            "UPDATE config_history SET doc_native = NULL, doc = NULL, doc_state = 'none' WHERE seq = 3 AND",
        ),
        (
            "a document said to be redacted",
            "content",
            Some(3),
            "UPDATE config_history SET doc_state = 'redacted' WHERE seq = 3 AND",
        ),
        ("an edited message", "message", Some(2), "UPDATE config_history SET message = 'forged' WHERE seq = 2 AND"),
        ("an edited author", "entry_id", Some(2), "UPDATE config_history SET author_id = 'forged' WHERE seq = 2 AND"),
        (
            "an edited time",
            "entry_id",
            Some(2),
            "UPDATE config_history SET recorded_at = recorded_at - 1 WHERE seq = 2 AND",
        ),
        ("an edited operation", "entry_id", Some(2), "UPDATE config_history SET op = 'adopt' WHERE seq = 2 AND"),
        ("an edited op_id", "entry_id", Some(2), "UPDATE config_history SET op_id = 'forged' WHERE seq = 2 AND"),
        (
            "edited meta",
            "entry_id",
            Some(2),
            "UPDATE config_history SET meta = '{\"tool_version\":\"forged\"}' WHERE seq = 2 AND",
        ),
        (
            "a moved valid_from",
            "entry_id",
            Some(4),
            "UPDATE config_history SET valid_from = valid_from + 1 WHERE seq = 4 AND",
        ),
        ("a forged id", "entry_id", Some(3), "UPDATE config_history SET entry_id = zeroblob(32) WHERE seq = 3 AND"),
        (
            "a forged id breaks the link behind it",
            "chain",
            Some(4),
            "UPDATE config_history SET entry_id = zeroblob(32) WHERE seq = 3 AND",
        ),
        ("a deleted entry", "gap", Some(3), "DELETE FROM config_history WHERE seq = 2 AND"),
        ("a deleted first entry", "gap", Some(2), "DELETE FROM config_history WHERE seq = 1 AND"),
        ("a truncated chain", "tip", Some(6), "DELETE FROM config_history WHERE seq = 6 AND"),
        ("a lost head", "head", None, "DELETE FROM config_heads WHERE"),
        ("a moved head", "head", Some(3), "UPDATE config_heads SET head_seq = 3 WHERE"),
        ("a forged head", "head", Some(6), "UPDATE config_heads SET head_oid = zeroblob(32) WHERE"),
        (
            "an interval that overlaps",
            "interval",
            Some(1),
            "UPDATE config_history SET valid_to = valid_to + 100000 WHERE seq = 1 AND",
        ),
        (
            "an interval with a hole",
            "interval",
            Some(4),
            "UPDATE config_history SET valid_to = valid_to - 1 WHERE seq = 4 AND",
        ),
    ];
    for (what, code, seq, sql) in plants {
        let file = file().await;
        let (planner, critic) = (record(&file.project, "planner"), record(&file.project, "critic"));
        populate(&file.project, &planner, &critic).await;
        let rows = file.db.execute(&format!("{sql} {MINE}"), []).unwrap();
        assert_eq!(rows, 1, "{what}");
        assert_found(&file.project, &planner, what, code, seq).await;
        let commit = Commit::new(critic, value(r#"{"name": "goes on"}"#));
        file.project.commit(&commit, &because("beside")).await.unwrap();
    }
}

/// Swaps two entries whole: all that is left to see it are the links.
#[tokio::test]
async fn swapped_entries_in_sqlite_are_found() {
    let file = file().await;
    let (planner, critic) = (record(&file.project, "planner"), record(&file.project, "critic"));
    populate(&file.project, &planner, &critic).await;
    let mine = "record_no = (SELECT record_no FROM cfg_records WHERE id_key = '\"planner\"')";
    for (from, to) in [(2, 100), (3, 2), (100, 3)] {
        let sql = format!("UPDATE config_history SET seq = {to} WHERE seq = {from} AND {mine}");
        assert_eq!(file.db.execute(&sql, []).unwrap(), 1);
    }
    for (code, seq) in [("entry_id", 2), ("chain", 3), ("entry_id", 3)] {
        assert_found(&file.project, &planner, "swapped entries", code, Some(seq)).await;
    }
}

/// Whoever edits an entry and gives it the right id again still breaks the link of the next one.
#[tokio::test]
async fn an_edit_with_a_new_hash_breaks_the_chain() {
    let file = file().await;
    let (planner, critic) = (record(&file.project, "planner"), record(&file.project, "critic"));
    populate(&file.project, &planner, &critic).await;
    let log = Log { record: Some(planner.clone()), ..Log::default() };
    let entries: Vec<Entry> = file.project.log(&log).await.unwrap();
    let mut header = entries.iter().find(|entry| entry.header.seq == Seq(2)).unwrap().header.clone();
    header.author.id = "forged".to_owned();
    let sql = format!(
        "UPDATE config_history SET author_id = 'forged', entry_id = x'{}' WHERE seq = 2 AND record_no = \
         (SELECT record_no FROM cfg_records WHERE id_key = '\"planner\"')",
        header.entry_id().to_hex()
    );
    assert_eq!(file.db.execute(&sql, []).unwrap(), 1);
    assert_found(&file.project, &planner, "a rehashed edit", "chain", Some(3)).await;
}

/// A record whose live row is wrong is a finding too, and none of these are.
#[tokio::test]
async fn what_is_no_damage_is_no_finding() {
    for bed in Bed::each().await {
        bed.put("planner", r#"{"name": "a"}"#).await;
        bed.put("untracked", r#"{"name": "b"}"#).await;
        bed.project
            .import(&Import { records: Some(vec![bed.id("planner")]), valid_from: None }, &because("one"), None)
            .await
            .unwrap();
        bed.raw_set("planner", r#"{"name": "drift"}"#).await;
        bed.assert_sound().await;
        bed.put("planner", r#"{"name": "second row"}"#).await;
        let report = bed.project.fsck(None).await.unwrap();
        assert_eq!(report.findings.iter().map(|f| f.code).collect::<Vec<_>>(), ["ambiguous"], "{}", bed.name());
    }
}

/// A commit between the two reads of a check is no damage.
#[tokio::test]
async fn commits_during_a_check_are_no_findings() {
    for bed in Bed::each().await {
        bed.put("planner", r#"{"n": 0}"#).await;
        bed.import().await;
        for n in 1..=2 {
            let (colleague, setting) = (bed.colleague(), bed.setting("planner", &[&format!("n={n}")]));
            bed.between.before("entries", async move {
                colleague.commit(&setting, &because("meanwhile")).await.unwrap();
            });
        }
        bed.assert_sound().await;
    }
}

/// One record whose history is damaged is one row; the others go on.
#[tokio::test]
async fn a_lost_head_concerns_one_record() {
    for shape in [Shape::Row, Shape::Doc] {
        let memory = memory(shape).await;
        let bed = &memory.bed;
        for n in 0..10 {
            bed.put(&format!("r{n}"), r#"{"n": 0}"#).await;
        }
        bed.import().await;
        assert!(memory.adapter.drop_head(&bed.id("r4")));
        for n in 0..10 {
            bed.raw_set(&format!("r{n}"), r#"{"n": 1}"#).await;
        }
        let refused = bed.set("r4", &["n=2"]).await.unwrap_err();
        assert_eq!((refused.code(), refused.kind().exit_code()), ("damaged", 6));
        let report = bed.adopt().await;
        let failed: Vec<(&RecordKey, &str)> = report.failed().map(|(r, e)| (r, e.code())).collect();
        assert_eq!((report.written().count(), failed), (9, vec![(&bed.id("r4"), "damaged")]));
        let line = |n: u64| format!(r#"{{"id": "r{n}", "time": "2023-06-07T00:00:00Z", "doc": {{"n": 9}}}}"#);
        let history = HistoryImport { collection: bed.space.agents().name.clone(), seed_live: false };
        let mut lines = Lines::new((0..10).map(line).collect());
        let report = bed.project.import_history(&history, &mut lines, &because("load"), None).await.unwrap();
        assert_eq!((report.loaded, report.failed.len()), (9, 1));
    }
}

#[tokio::test]
async fn a_lost_head_concerns_one_record_in_sqlite() {
    let file = file().await;
    let (planner, critic) = (record(&file.project, "planner"), record(&file.project, "critic"));
    populate(&file.project, &planner, &critic).await;
    file.db.execute_batch("DELETE FROM config_heads WHERE record_no = (SELECT record_no FROM cfg_records WHERE id_key = '\"planner\"'); UPDATE agents SET doc = '{\"name\":\"drift\"}'").unwrap();
    let refused =
        file.project.commit(&Commit::new(planner.clone(), value(r#"{"name": "x"}"#)), &because("x")).await.unwrap_err();
    assert_eq!(refused.code(), "unreadable", "{refused}");
    let report = file.project.adopt(&Adopt::All, &because("x"), None).await.unwrap();
    let failed: Vec<(&RecordKey, &str)> = report.failed().map(|(r, e)| (r, e.code())).collect();
    assert_eq!((report.written().count(), failed), (1, vec![(&planner, "unreadable")]));
}

/// What cannot even be read is named too, and everything else is still checked.
#[tokio::test]
async fn an_entry_that_cannot_be_read_is_found() {
    for (what, set) in [
        ("an unknown operation", "op = 'bogus'"),
        ("a short id", "entry_id = x'00'"),
        ("broken meta", "meta = '{'"),
        ("a broken document", "doc_native = '{', doc = '{'"),
    ] {
        let file = file().await;
        let (planner, critic) = (record(&file.project, "planner"), record(&file.project, "critic"));
        populate(&file.project, &planner, &critic).await;
        file.db.execute_batch(&format!("UPDATE config_history SET message = 'forged' WHERE seq = 2; UPDATE config_history SET {set} WHERE seq = 2 AND record_no = (SELECT record_no FROM cfg_records WHERE id_key = '\"planner\"')")).unwrap();
        let report = file.project.fsck(None).await.unwrap();
        let found = |record: &RecordKey, seq: u64, code: &str| {
            report.findings.iter().any(|f| (f.record.as_ref(), f.seq, f.code) == (Some(record), Some(Seq(seq)), code))
        };
        assert!(found(&planner, 2, "damaged") && found(&critic, 2, "message"), "{what}: {:?}", report.findings);
    }
}

/// What follows from the entries is written anew; nothing else is touched.
#[tokio::test]
async fn repair_writes_what_follows_from_the_entries() {
    type Plants = Vec<(&'static str, fn(&MemoryAdapter, &RecordKey) -> bool)>;
    let plants: Plants = vec![
        ("a lost head", |m, r| m.drop_head(r)),
        ("an interval that overlaps", |m, r| m.damage_ends(r, Seq(1), Ends::OPEN)),
        ("both", |m, r| m.drop_head(r) && m.damage_ends(r, Seq(2), Ends::OPEN)),
    ];
    for (what, plant) in plants {
        let memory = memory(Shape::Row).await;
        let bed = &memory.bed;
        let (planner, critic) = (bed.id("planner"), bed.id("critic"));
        populate(&bed.project, &planner, &critic).await;
        assert!(plant(&memory.adapter, &planner), "{what}");
        let looked = bed.project.fsck(None).await.unwrap();
        assert!(looked.findings.iter().all(|f| f.repair.is_some() && !f.repaired), "{what}: {:?}", looked.findings);
        let report = bed.project.repair(&because("mend"), None).await.unwrap();
        assert!(report.findings.iter().all(|f| f.repaired), "{what}: {:?}", report.findings);
        assert_eq!(report.exit_code(), 0, "{what}");
        bed.assert_sound().await;
        // The record takes commits again.
        bed.set("planner", &["n=9"]).await.unwrap();
        bed.assert_sound().await;
    }
}

#[tokio::test]
async fn repair_makes_nothing_up() {
    type Plants = Vec<(&'static str, fn(&MemoryAdapter, &RecordKey) -> bool)>;
    let plants: Plants = vec![
        ("a truncated chain", |m, r| m.drop_entry(r, Seq(6))),
        ("a deleted entry", |m, r| m.drop_entry(r, Seq(2))),
        ("a deleted entry and its head", |m, r| m.drop_entry(r, Seq(2)) && m.drop_head(r)),
        ("an edited author", |m, r| {
            m.damage_header(r, Seq(3), |h| h.author = Author { id: "forged".to_owned(), class: AuthorClass::Human })
        }),
        ("an edited document", |m, r| {
            m.damage_doc(r, Seq(2), |doc| drop(doc.as_object_mut().unwrap().insert("name", "forged")))
        }),
    ];
    for (what, plant) in plants {
        let memory = memory(Shape::Row).await;
        let bed = &memory.bed;
        let (planner, critic) = (bed.id("planner"), bed.id("critic"));
        populate(&bed.project, &planner, &critic).await;
        assert!(plant(&memory.adapter, &planner), "{what}");
        let before = bed.project.fsck(None).await.unwrap();
        let report = bed.project.repair(&because("mend"), None).await.unwrap();
        assert!(report.findings.iter().all(|f| !f.repaired), "{what}: {:?}", report.findings);
        assert_eq!(report.exit_code(), 6, "{what}");
        assert_eq!(bed.project.fsck(None).await.unwrap().findings, before.findings, "{what}");
    }
}

/// A tag is an anchor: what nothing in the record tells, it tells.
#[tokio::test]
async fn a_tag_gives_away_a_cut_at_the_end() {
    let memory = memory(Shape::Row).await;
    let bed = &memory.bed;
    let (planner, critic) = (bed.id("planner"), bed.id("critic"));
    populate(&bed.project, &planner, &critic).await;
    let name = TagName::new("anchor").unwrap();
    let target = TagTarget::System { collection: None, as_of: None };
    bed.project.set_tag(&SetTag { name, target, force: false }, &because("x")).await.unwrap();
    assert!(memory.adapter.drop_entry(&planner, Seq(6)) && memory.adapter.drop_head(&planner));
    let report = bed.project.repair(&because("mend"), None).await.unwrap();
    let found: Vec<_> = report.findings.iter().map(|f| (f.code, f.object.as_deref(), f.repaired)).collect();
    assert!(found.contains(&("tag", Some("tag anchor"), false)), "{found:?}");
    assert_eq!(report.exit_code(), 6);
}

#[tokio::test]
async fn rows_of_no_record_and_forged_heads_are_found_in_sqlite() {
    const MINE: &str = "(SELECT record_no FROM cfg_records WHERE id_key = '\"planner\"')";
    for (what, sql, code, mended) in [
        ("rows of no record", "DELETE FROM cfg_records WHERE record_no = ", "orphan", false),
        ("a head's author", "UPDATE config_heads SET head_author_id = 'forged' WHERE record_no = ", "head", true),
        ("a head's time", "UPDATE config_heads SET head_recorded_at = 5 WHERE record_no = ", "head", true),
        (
            "a head that cannot be read",
            "UPDATE config_heads SET head_author_class = 'x' WHERE record_no = ",
            "head",
            true,
        ),
        ("a moved head", "UPDATE config_heads SET head_seq = 3 WHERE record_no = ", "head", true),
        (
            "a document said to be thinned",
            "UPDATE config_history SET doc_state = 'thinned', doc = NULL, doc_native = NULL WHERE seq = 3 AND record_no = ",
            "content",
            false,
        ),
    ] {
        let file = file().await;
        let (planner, critic) = (record(&file.project, "planner"), record(&file.project, "critic"));
        populate(&file.project, &planner, &critic).await;
        file.db.execute_batch("PRAGMA foreign_keys=OFF").unwrap();
        assert_eq!(file.db.execute(&format!("{sql}{MINE}"), []).unwrap(), 1, "{what}");
        let report = file.project.fsck(None).await.unwrap();
        assert!(report.findings.iter().any(|f| f.code == code), "{what}: {:?}", report.findings);
        let report = file.project.repair(&because("mend"), None).await.unwrap();
        assert_eq!(report.findings.iter().all(|f| f.repaired), mended, "{what}: {:?}", report.findings);
        if mended {
            assert_eq!(file.project.fsck(None).await.unwrap().findings, [], "{what}");
        }
    }
}
