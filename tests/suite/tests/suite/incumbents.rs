//! What other tools were seen to get wrong, one test per line. Each failure was reproduced with a public
//! tool; none of them may happen here, on any store.
//!
//! | line | what went wrong there | test |
//! |---|---|---|
//! | 1 | adopt records old content as HEAD while others commit, and refuses their honest commits | `line_01_*` |
//! | 2 | a stale file silently reverts a colleague's committed change | `line_02_*` |
//! | 3 | values that the app owns are written back from a stale copy | `line_03_*` |
//! | 4 | numbers, dates, ids and bytes share a hash with their text: such a bypass shows as clean | `line_04_*` |
//! | 5 | edit and export turn dates, ObjectIds and decimals into strings | `line_05_*` |
//! | 6 | a live rule with an operator is written into the document | `line_06_*` |
//! | 7 | documents that fail the live rule, carry another id or have odd keys commit and are dirty at once | `line_07_*` |
//! | 8 | an incomplete document unsets what it lacks | `line_08_*` |
//! | 9 | one bad record makes status, import and restore fail for all | `line_09_*` |
//! | 10 | ids that are not strings cannot be versioned; `1` and `"1"` are merged | `line_10_*` |
//! | 11 | the client's clock writes the intervals | `line_11_*` |
//! | 12 | a restore overwrites commits made after it was planned; one drifted record blocks all | `line_12_*` |
//! | 13 | deletions cannot be adopted or restored one by one; creation has no verb | `line_13_*` |
//! | 14 | fsck finds nothing: edited entries, missing rows and lost heads pass | `damage`, and `line_14_*` of the command line |
//! | 15 | after a restore an oid is ambiguous; user text reaches the server as a regular expression | `line_15_*` |
//! | 16 | tags: old rows stay, no list, no deletion, blank names | with the verb `tag`; till then `line_16_*` |
//! | 17 | a killed client leaves the record locked | `line_17_*` of the command line; an adapter's own, where a server holds the lock |
//! | 18 | an app that updates ignored fields makes commits fail | `line_18_*` |
//! | 19 | the secret scan misses nested values, keys, other cases, bytes, messages; a rotation is not written | `line_19_*` |
//! | 20 | the first commit of an untracked record loses the original | `line_20_*` |
//! | 21 | errors in JSON mode are prose; usage errors exit with the code for drift | `line_21_*`, and `outcomes` |
//! | 22 | server down: silence, then a topology dump | `line_22_*` of the command line; an adapter's own |
//! | elsewhere | hooks miss bulk and raw writes; a bulk update is a query per row; versions in one document; | |
//! | | merges drop fields; a second active row is a phantom; unknown outcomes are retried blindly | `elsewhere_*` |

use std::sync::Arc;

use cfg_engine::adapter::AdapterError;
use cfg_engine::config::Shape;
use cfg_engine::engine::{Adopt, Commit, CommitItem, DiffSide, Import, Remove, Staged, State, parse_document};
use cfg_engine::history::Reference;
use cfg_engine::plan::Content;
use cfg_engine::{Error, ErrorKind, Value};
use cfg_engine_conformance::{Column, MemoryHarness, Need, Table, value};

use crate::stores::{Bed, because, fields};

#[tokio::test]
async fn line_01_adopters_record_what_is_live_and_do_not_fight_committers() {
    for bed in Bed::each().await {
        bed.put("planner", r#"{"name": "a", "n": 0}"#).await;
        bed.import().await;
        bed.raw_set("planner", r#"{"name": "bypass"}"#).await;
        // Between the adopter's read and its write a colleague adopts and commits.
        let (colleague, commit, id) = (bed.colleague(), bed.setting("planner", &["n=1"]), bed.id("planner"));
        bed.between.before("apply", async move {
            colleague.adopt(&Adopt::Records(vec![id]), &because("first"), None).await.unwrap();
            colleague.commit(&commit, &because("honest")).await.unwrap();
        });
        let report = bed.adopt().await;
        assert_eq!(report.written().count(), 0, "{}: there was nothing left to adopt", bed.name());
        assert_eq!(bed.ops("planner").await, ["import", "adopt", "commit"]);
        // Between read and write the row changes again: what is recorded is the newest.
        bed.raw_set("planner", r#"{"name": "old"}"#).await;
        let space = Arc::clone(&bed.space);
        bed.between.before("apply", async move {
            space.raw_set(&space.record("planner"), r#"{"name": "newest"}"#).await;
        });
        bed.adopt().await;
        assert_eq!(bed.state("planner").await, State::Clean);
        let entries = bed.entries("planner").await;
        assert_eq!(entries.last().unwrap().doc.as_ref().unwrap().get("name"), Some(&Value::from("newest")));
        bed.set("planner", &["n=2"]).await.unwrap();
        bed.assert_sound().await;
    }
}

#[tokio::test]
async fn line_02_a_stale_file_cannot_revert_a_colleagues_change() {
    for bed in Bed::each().await {
        bed.put("planner", r#"{"name": "a", "n": 0}"#).await;
        bed.import().await;
        let file = bed.project.get(&bed.id("planner")).await.unwrap().to_file().to_interchange();
        bed.set("planner", &["n=7"]).await.unwrap();
        let (doc, base) = parse_document(&file).unwrap();
        let commit = Commit::new(bed.id("planner"), doc.clone()).with_base(base.unwrap());
        let error = bed.project.commit(&commit, &because("stale")).await.unwrap_err();
        assert_eq!((error.code(), error.kind().exit_code()), ("stale_base", 2));
        assert_eq!(bed.live("planner", "n").await, Value::from(7));
        // Without a base it goes on top, but not when a commit falls between read and write.
        let (colleague, setting) = (bed.colleague(), bed.setting("planner", &["n=8"]));
        bed.between.before("apply", async move {
            colleague.commit(&setting, &because("faster")).await.unwrap();
        });
        let error = bed.project.commit(&Commit::new(bed.id("planner"), doc), &because("blind")).await.unwrap_err();
        assert!(matches!(error, Error::StaleHead { .. }), "{}: {error}", bed.name());
        assert_eq!(bed.live("planner", "n").await, Value::from(8));
        bed.assert_sound().await;
    }
}

#[tokio::test]
async fn line_03_values_the_app_owns_are_never_written_back() {
    for bed in Bed::each().await {
        bed.put("planner", r#"{"name": "a", "updated_at": "t1", "body": {"cache": 1, "limit": 1}}"#).await;
        bed.import().await;
        let document = bed.project.get(&bed.id("planner")).await.unwrap();
        let mut doc = document.doc.clone();
        doc.as_object_mut().unwrap().insert("body", value(r#"{"cache": 1, "limit": 2}"#));
        // The app writes its own values after the read, and again between the engine's read and write.
        bed.raw_set("planner", r#"{"updated_at": "t2", "body": {"cache": 2, "limit": 1}}"#).await;
        let space = Arc::clone(&bed.space);
        bed.between.before("apply", async move {
            let fields = r#"{"updated_at": "t3", "body": {"cache": 3, "limit": 1}}"#;
            space.raw_set(&space.record("planner"), fields).await;
        });
        let commit = Commit::new(bed.id("planner"), doc).with_base(document.base);
        bed.project.commit(&commit, &because("limit")).await.unwrap();
        assert_eq!(bed.live("planner", "updated_at").await, Value::from("t3"), "{}", bed.name());
        assert_eq!(bed.live("planner", "body").await, value(r#"{"cache": 3, "limit": 2}"#));
        bed.restore("planner", "@1").await.unwrap();
        assert_eq!(bed.live("planner", "updated_at").await, Value::from("t3"));
        assert_eq!(bed.live("planner", "body").await, value(r#"{"cache": 3, "limit": 1}"#));
        bed.assert_sound().await;
    }
}

#[tokio::test]
async fn line_04_a_change_of_type_alone_is_drift() {
    let mut pairs = vec![("0.5", r#""0.5""#), ("true", "1"), ("1", r#""1""#), ("null", r#""null""#), ("[]", "{}")];
    let extended = [
        (r#"{"$date": "2023-06-07T00:00:00Z"}"#, r#""2023-06-07T00:00:00Z""#),
        (r#"{"$oid": "64b0c0ffee64b0c0ffee64b0"}"#, r#""64b0c0ffee64b0c0ffee64b0""#),
        (r#"{"$binary": {"base64": "AQID", "subType": "00"}}"#, r#""AQID""#),
    ];
    for bed in Bed::each().await {
        if bed.harness.has(Need::ExtendedTypes) {
            pairs.extend(extended);
        }
        for (n, (before, after)) in pairs.iter().enumerate() {
            let id = format!("r{n}");
            bed.put(&id, &format!(r#"{{"body": {{"v": {before}}}}}"#)).await;
            bed.import().await;
            bed.raw_set(&id, &format!(r#"{{"body": {{"v": {after}}}}}"#)).await;
            assert_eq!(bed.state(&id).await, State::Dirty, "{}: {before} to {after}", bed.name());
            let diff = bed.project.diff(&bed.id(&id), &Reference::Head, &Reference::Live, None).await.unwrap();
            assert_eq!(diff.changes.len(), 1, "{before} to {after}");
        }
        // The same number in another width is the same number.
        bed.put("width", r#"{"n": 1, "body": {"v": 1}}"#).await;
        bed.import().await;
        bed.raw_set("width", r#"{"body": {"v": 1.0}}"#).await;
        assert_eq!(bed.state("width").await, State::Clean);
    }
}

#[tokio::test]
async fn line_05_a_document_survives_export_and_import() {
    let doc = r#"{"name": "x", "body": {"at": {"$date": "2023-06-07T12:00:00Z"}, "id": {"$oid": "64b0c0ffee64b0c0ffee64b0"},
        "price": {"$numberDecimal": "1.50"}, "big": {"$numberLong": "9007199254740993"}, "literal": {"$literal": {"$date": "no date"}}}}"#;
    for harness in [Shape::Row, Shape::Doc].map(|shape| Arc::new(MemoryHarness::new(shape))) {
        let bed = Bed::open(harness, vec![Table::new("agents")]).await;
        bed.put("planner", doc).await;
        bed.import().await;
        let before = bed.live("planner", "body").await;
        let file = bed.project.get(&bed.id("planner")).await.unwrap().to_file().to_interchange();
        let (doc, base) = parse_document(&file).unwrap();
        let commit = Commit::new(bed.id("planner"), doc).with_base(base.unwrap());
        let report = bed.project.commit(&commit, &because("as it was")).await.unwrap();
        assert_eq!(report.written().count(), 0);
        bed.set("planner", &["name=y"]).await.unwrap();
        bed.restore("planner", "@1").await.unwrap();
        assert_eq!(bed.live("planner", "body").await.to_interchange(), before.to_interchange());
        bed.project.remove(&Remove::new(bed.id("planner")), &because("gone")).await.unwrap();
        bed.restore("planner", "@1").await.unwrap();
        assert_eq!(bed.live("planner", "body").await.to_interchange(), before.to_interchange());
        bed.assert_sound().await;
    }
}

#[tokio::test]
async fn line_06_a_live_rule_with_an_operator_is_never_written() {
    let rule = r#"{"status": {"$in": ["live", "canary"]}, "rank": {"$gte": 2}}"#;
    for bed in Bed::each_with(|| vec![Table::new("agents").live_when(rule)]).await {
        let record = bed.put("planner", r#"{"name": "a", "status": "canary", "rank": 3}"#).await;
        bed.put("planner", r#"{"name": "old", "status": "retired", "rank": 1}"#).await;
        bed.import().await;
        bed.set("planner", &["name=b"]).await.unwrap();
        bed.restore("planner", "@1").await.unwrap();
        for row in bed.space.raw_rows(&record).await {
            let (status, rank) = (row.get("status").unwrap().as_str().unwrap().to_owned(), row.get("rank").unwrap());
            assert!(matches!((status.as_str(), rank.as_i64()), ("canary", Some(3)) | ("retired", Some(1))));
        }
        bed.assert_sound().await;
    }
}

#[tokio::test]
async fn line_07_what_commits_is_clean_afterwards() {
    for bed in Bed::each_with(|| vec![Table::new("agents").live_when(r#"{"active": true}"#)]).await {
        let tried = [
            r#"{"name": "fine"}"#,
            r#"{"name": "retired", "active": false}"#,
            r#"{"name": "other", "id": "critic"}"#,
            r#"{"body": {"a.b": 1, "$x": 2, "": 3, "$literal": {"$date": 1}}}"#,
            r#"{"body": {"e\u0301": 1, "\u00e9": 2}}"#,
            r#"{"body": {"n": 1e400, "i": 123456789012345678901234567890}}"#,
            r#"{"n": 0.5}"#,
            r#"{"a.b": 1}"#,
            r#"{"$x": 1}"#,
        ];
        for (n, doc) in tried.iter().enumerate() {
            let id = format!("r{n}");
            match bed.commit(&id, doc).await {
                Ok(_) => assert_eq!(bed.state(&id).await, State::Clean, "{}: {doc}", bed.name()),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Refused, "{}: {doc}: {error}", bed.name());
                    assert!(bed.space.raw_rows(&bed.id(&id)).await.is_empty(), "{doc}");
                }
            }
        }
        assert!(bed.commit("r2", tried[2]).await.is_err() && bed.commit("r4", tried[4]).await.is_err());
        assert_eq!(bed.state("r0").await, State::Clean);
        bed.assert_sound().await;
    }
}

#[tokio::test]
async fn line_08_an_incomplete_document_is_refused() {
    for bed in Bed::each().await {
        bed.put("planner", r#"{"name": "a", "n": 1, "status": "s"}"#).await;
        bed.import().await;
        let error = bed.commit("planner", r#"{"id": "planner", "name": "b"}"#).await.unwrap_err();
        let Error::MissingFields { fields, .. } = &error else { panic!("{error}") };
        let mut fields: Vec<String> = fields.iter().map(ToString::to_string).collect();
        fields.sort();
        assert_eq!(fields, ["n", "status"]);
        assert_eq!(bed.live("planner", "n").await, Value::from(1));
    }
}

#[tokio::test]
async fn line_09_one_bad_record_concerns_nobody_else() {
    for bed in Bed::each().await {
        for n in 0..4 {
            bed.put(&format!("good{n}"), r#"{"name": "g", "n": 1}"#).await;
        }
        bed.put("twice", r#"{"name": "x"}"#).await;
        bed.put("twice", r#"{"name": "y"}"#).await;
        let mut bad = 1;
        if bed.harness.has(Need::ExtendedTypes) {
            bed.put("nan", r#"{"n": {"$numberDouble": "NaN"}}"#).await;
            bed.put("date", r#"{"body": {"at": {"$date": {"$numberLong": "999999999999999999"}}}}"#).await;
            bad += 1;
        }
        let report = bed.import().await;
        assert!(report.written().count() >= 4 && report.failed().count() == bad, "{}", bed.name());
        assert_eq!(report.exit_code(), 6);
        let status = bed.project.status(None, false, &Staged::new(), None).await.unwrap();
        let clean = status.rows.iter().filter(|row| row.state == State::Clean).count();
        assert_eq!(status.rows.len() - clean, bad);
        bed.raw_set("good1", r#"{"name": "drift"}"#).await;
        assert_eq!(bed.adopt().await.written().count(), 1);
        let mut exported = 0;
        bed.project
            .export(None, None, |_, document| {
                exported += usize::from(document.is_ok());
                Ok(())
            })
            .await
            .unwrap();
        assert_eq!(exported, clean);
        bed.raw_set("good2", r#"{"name": "drift"}"#).await;
        let diff = bed.project.diff_all(None, DiffSide::Head, DiffSide::Live).await.unwrap();
        assert_eq!((diff.diffs.len(), diff.failed.len()), (1, bad));
        bed.restore("good1", "@1").await.unwrap();
    }
}

#[tokio::test]
async fn line_10_ids_that_are_not_strings() {
    let ids = || {
        vec![
            Table::new("agents").id(&[("id", Column::Int)]),
            Table::new("pairs").id(&[("a", Column::Text), ("b", Column::Int)]),
        ]
    };
    for bed in Bed::each_with(ids).await {
        let (seven, pair) =
            (bed.space.record_in(0, &Value::from(7)), bed.space.record_in(1, &value(r#"{"a": "x", "b": 1}"#)));
        bed.space.raw_insert_record(&seven, &fields(r#"{"name": "seven"}"#)).await;
        bed.space.raw_insert_record(&pair, &fields(r#"{"name": "pair"}"#)).await;
        assert_eq!(bed.import().await.written().count(), 2);
        for record in [&seven, &pair] {
            let document = bed.project.get(record).await.unwrap();
            let mut doc = document.doc.clone();
            doc.as_object_mut().unwrap().insert("name", "changed");
            let commit = Commit::new(record.clone(), doc).with_base(document.base);
            bed.project.commit(&commit, &because("changed")).await.unwrap();
            assert_eq!(bed.space.raw_field(record, "name").await, Value::from("changed"), "{}", bed.name());
        }
        // Text in a collection of numbers is another id, which the store cannot hold, or holds apart.
        let text = bed.space.record_in(0, &Value::from("7"));
        let made = bed.project.commit(&Commit::new(text.clone(), value(r#"{"name": "text"}"#)), &because("text")).await;
        assert_eq!(bed.space.raw_field(&seven, "name").await, Value::from("changed"), "{}: {made:?}", bed.name());
        assert_eq!(
            bed.project.show(&seven, &Reference::Head).await.unwrap().doc().unwrap().get("name"),
            Some(&Value::from("changed"))
        );
        bed.assert_sound().await;
    }
}

#[tokio::test]
async fn line_11_the_stores_clock_writes_the_intervals() {
    for bed in Bed::each().await.into_iter().filter(|bed| bed.harness.has(Need::ClockControl)) {
        bed.put("planner", r#"{"n": 0}"#).await;
        bed.import().await;
        bed.set("planner", &["n=1"]).await.unwrap();
        for (n, step) in [-3_600_000, 5000, 86_400_000, -86_400_000].into_iter().enumerate() {
            bed.space.raw.step_clock(step).await;
            bed.set("planner", &[&format!("n={}", n + 10)]).await.unwrap();
        }
        let entries = bed.entries("planner").await;
        for pair in entries.windows(2) {
            assert!(pair[0].header.recorded_at < pair[1].header.recorded_at, "{}", bed.name());
            assert_eq!(pair[0].valid_to, Some(pair[1].header.valid_from));
            let at = Reference::At(pair[0].header.valid_from);
            let shown = bed.project.entry_at(&bed.id("planner"), &at).await.unwrap();
            assert_eq!(shown.header.seq, pair[0].header.seq);
        }
        bed.assert_sound().await;
    }
}

#[tokio::test]
async fn line_12_a_restore_never_overwrites_what_came_after_it_was_planned() {
    for bed in Bed::each().await {
        bed.put("planner", r#"{"name": "a", "n": 0}"#).await;
        bed.import().await;
        bed.set("planner", &["n=1"]).await.unwrap();
        // A commit between the read and the write: the restore is refused.
        let (colleague, setting) = (bed.colleague(), bed.setting("planner", &["n=2"]));
        bed.between.before("apply", async move {
            colleague.commit(&setting, &because("in between")).await.unwrap();
        });
        let error = bed.restore("planner", "@1").await.unwrap_err();
        assert!(matches!(error, Error::StaleHead { .. }), "{}: {error}", bed.name());
        // A commit after HEAD was looked up and before live was read: =HEAD means that HEAD, or nothing.
        bed.raw_set("planner", r#"{"name": "drift"}"#).await;
        let (colleague, setting) = (bed.colleague(), bed.setting("planner", &["n=3"]));
        bed.between.before("entries", async move {
            colleague.adopt(&Adopt::All, &because("folded in"), None).await.unwrap();
            colleague.commit(&setting, &because("in between")).await.unwrap();
        });
        let error = bed.restore("planner", "=HEAD").await.unwrap_err();
        assert!(matches!(error, Error::StaleHead { .. }), "{}: {error}", bed.name());
        assert_eq!(bed.live("planner", "n").await, Value::from(3));
        // A bypass in between is neither overwritten nor lost.
        let space = Arc::clone(&bed.space);
        bed.between.before("apply", async move {
            space.raw_set(&space.record("planner"), r#"{"n": 4}"#).await;
        });
        let error = bed.restore("planner", "@1").await.unwrap_err();
        assert!(matches!(error, Error::StaleLive { .. }), "{}: {error}", bed.name());
        assert_eq!(bed.live("planner", "n").await, Value::from(4));
        bed.assert_sound().await;
    }
}

#[tokio::test]
async fn line_12_one_drifted_record_does_not_hold_up_the_others() {
    for bed in Bed::each().await {
        for n in 0..5 {
            bed.put(&format!("r{n}"), r#"{"n": 0}"#).await;
        }
        // One of the records is changed again and again while they are imported.
        for n in 1..40 {
            let space = Arc::clone(&bed.space);
            bed.between.before("apply", async move {
                space.raw_set(&space.record("r2"), &format!(r#"{{"n": {n}}}"#)).await;
            });
        }
        let report = bed.project.import(&Import::default(), &because("baseline"), None).await.unwrap();
        assert_eq!(report.written().count(), 4, "{}", bed.name());
        let failed: Vec<&str> = report.failed().map(|(_, error)| error.code()).collect();
        assert_eq!(failed, ["contended"]);
    }
}

#[tokio::test]
async fn line_13_deletion_and_creation_have_verbs() {
    for bed in Bed::each().await {
        bed.commit("planner", r#"{"name": "made"}"#).await.unwrap();
        bed.space.raw_delete(&bed.id("planner")).await;
        bed.adopt().await;
        assert_eq!(bed.state("planner").await, State::Removed);
        bed.restore("planner", "@1").await.unwrap();
        bed.project.remove(&Remove::new(bed.id("planner")), &because("retired")).await.unwrap();
        bed.restore("planner", "@1").await.unwrap();
        assert_eq!(bed.live("planner", "name").await, Value::from("made"));
        assert_eq!(bed.ops("planner").await, ["commit", "adopt", "restore", "delete", "restore"]);
        bed.assert_sound().await;
    }
}

#[tokio::test]
async fn line_15_a_restored_version_still_has_one_address() {
    for bed in Bed::each().await {
        bed.commit("a.b", r#"{"name": "dot"}"#).await.unwrap();
        bed.commit("axb", r#"{"name": "x"}"#).await.unwrap();
        bed.set("a.b", &["n=1"]).await.unwrap();
        bed.restore("a.b", "@1").await.unwrap();
        let oid = bed.entries("a.b").await[0].header.oid.unwrap();
        for reference in [format!("#{}", oid.short()), format!("sha256:{}", oid.to_hex())] {
            let found = bed.project.entry_at(&bed.id("a.b"), &Reference::parse(&reference).unwrap()).await.unwrap();
            assert_eq!((found.header.seq.0, found.header.oid), (3, Some(oid)), "{}", bed.name());
        }
        // Text with a meaning elsewhere is text.
        for id in [".*", "a.*", "%", "_", "' OR 1=1 --", "$where", "[x]", "\\", "\u{0}"] {
            let Ok(record) = bed.project.record(&Value::from(id).to_json()).await else { continue };
            assert!(matches!(bed.project.get(&record).await, Err(Error::NoRecord { .. })), "{}: {id:?}", bed.name());
        }
        bed.commit("%", r#"{"name": "percent"}"#).await.unwrap();
        assert_eq!(bed.live("axb", "name").await, Value::from("x"));
        bed.assert_sound().await;
    }
}

#[tokio::test]
async fn line_16_a_tag_that_is_not_there_says_so() {
    for bed in Bed::each().await {
        bed.commit("planner", r#"{"name": "a"}"#).await.unwrap();
        let error = bed.restore("planner", "tag:june").await.unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::NotFound, "no_such"));
        assert!(Reference::parse("tag:").is_err());
    }
}

#[tokio::test]
async fn line_18_commits_do_not_fail_beside_an_app_that_updates_ignored_fields() {
    for bed in Bed::each().await {
        bed.put("planner", r#"{"name": "a", "n": 0, "updated_at": "0", "body": {"cache": 0}}"#).await;
        bed.import().await;
        for n in 1..=25 {
            let space = Arc::clone(&bed.space);
            bed.between.before("apply", async move {
                let fields = format!(r#"{{"updated_at": "{n}", "body": {{"cache": {n}}}}}"#);
                space.raw_set(&space.record("planner"), &fields).await;
            });
            bed.set("planner", &[&format!("n={n}")]).await.unwrap();
        }
        assert_eq!(bed.live("planner", "updated_at").await, Value::from("25"), "{}", bed.name());
        assert_eq!((bed.entries("planner").await.len(), bed.state("planner").await), (26, State::Clean));
        bed.assert_sound().await;
    }
}

#[tokio::test]
async fn line_19_the_scan_looks_everywhere() {
    let hidden = [
        r#"{"body": {"smtp": {"password": {"value": "hunter2hunter2"}}}}"#,
        r#"{"body": {"apiKey": "hunter2hunter2"}}"#,
        r#"{"body": {"API_KEY": "hunter2hunter2"}}"#,
        r#"{"body": {"list": [{"client-secret": "hunter2hunter2"}]}}"#,
        r#"{"body": {"sk-abcdefghijklmnopqrstuvwx": true}}"#,
        r#"{"body": {"note": "use sk-abcdefghijklmnopqrstuvwx here"}}"#,
        r#"{"updated_at": "AKIAABCDEFGHIJKLMNOP"}"#,
    ];
    for bed in Bed::each().await {
        let mut hidden = hidden.to_vec();
        if bed.harness.has(Need::ExtendedTypes) {
            hidden.push(r#"{"body": {"b": {"$binary": {"base64": "QUtJQUFCQ0RFRkdISUpLTE1OT1A=", "subType": "00"}}}}"#);
        }
        for doc in hidden {
            let error = bed.commit("planner", doc).await.unwrap_err();
            let Error::Secret { path, .. } = &error else { panic!("{}: {doc}: {error}", bed.name()) };
            let text = format!("{error} {error:?} {} {:?}", error.hint().unwrap(), path);
            assert!(!text.contains("hunter2") && !text.contains("AKIAABC") && !text.contains("sk-abc"), "{text}");
        }
        let commit = Commit::new(bed.id("planner"), value(r#"{"name": "x"}"#));
        let error = bed.project.commit(&commit, &because("with AKIAABCDEFGHIJKLMNOP")).await.unwrap_err();
        assert!(matches!(error, Error::Secret { path: None, .. }));
        // Secrets in arrays are left out of history, and a rotation of one is written and recorded.
        bed.put("critic", r#"{"token": "one", "body": {"tools": [{"key": "k1", "name": "a"}]}}"#).await;
        bed.import().await;
        bed.set("critic", &["body.tools[0].key=k2", "token=two"]).await.unwrap();
        assert_eq!(bed.live("critic", "body").await, value(r#"{"tools": [{"key": "k2", "name": "a"}]}"#));
        let entries = bed.entries("critic").await;
        assert_eq!(entries[0].header.oid, entries[1].header.oid);
        let written = entries[1].header.meta.get("secrets_written").unwrap().as_array().unwrap().len();
        assert_eq!(written, 2);
        let stored: Vec<String> = entries.iter().map(|entry| entry.doc.as_ref().unwrap().to_interchange()).collect();
        assert!(
            stored.iter().all(|doc| !doc.contains("k1") && !doc.contains("k2") && !doc.contains("two")),
            "{stored:?}"
        );
        bed.assert_sound().await;
    }
}

#[tokio::test]
async fn line_20_the_first_commit_keeps_the_original() {
    for bed in Bed::each().await {
        bed.put("planner", r#"{"name": "original", "n": 1, "updated_at": "kept"}"#).await;
        bed.set("planner", &["name=changed"]).await.unwrap();
        let entries = bed.entries("planner").await;
        assert_eq!(bed.ops("planner").await, ["import", "commit"], "{}", bed.name());
        let original = entries[0].doc.as_ref().unwrap();
        assert_eq!(original.get("name"), Some(&Value::from("original")));
        assert_eq!(original.get("updated_at"), Some(&Value::from("kept")));
        assert_eq!(entries[0].header.op_id, entries[1].header.op_id);
        bed.assert_sound().await;
    }
}

#[tokio::test]
async fn line_21_errors_are_data_and_usage_is_not_drift() {
    for bed in Bed::each().await {
        bed.put("planner", r#"{"name": "a"}"#).await;
        bed.import().await;
        let usage = bed.project.record("").await.unwrap_err();
        assert_eq!(usage.kind().exit_code(), 1);
        bed.raw_set("planner", r#"{"name": "drift"}"#).await;
        let drift = bed.set("planner", &["n=1"]).await.unwrap_err();
        assert_eq!(drift.kind().exit_code(), 2);
        for error in [usage, drift] {
            let envelope = error.to_envelope();
            let members: Vec<&str> = envelope.keys().collect();
            assert_eq!(members, ["status", "code", "message", "hint", "data"]);
            assert!(envelope.get("hint").unwrap().as_str().is_some_and(|hint| !hint.is_empty()));
        }
    }
}

#[tokio::test]
async fn elsewhere_bulk_and_raw_writes_are_seen() {
    for bed in Bed::each().await {
        for n in 0..60 {
            bed.put(&format!("r{n:02}"), r#"{"n": 0}"#).await;
        }
        bed.import().await;
        for n in 0..60 {
            bed.raw_set(&format!("r{n:02}"), r#"{"n": 1}"#).await;
        }
        let status = bed.project.status(None, false, &Staged::new(), None).await.unwrap();
        assert!(status.rows.iter().all(|row| row.state == State::Dirty) && status.rows.len() == 60);
        assert_eq!(bed.adopt().await.written().count(), 60, "{}", bed.name());
        bed.assert_sound().await;
    }
}

#[tokio::test]
async fn elsewhere_no_verb_asks_once_per_record_and_history_does_not_slow_the_present() {
    for bed in Bed::each().await {
        let mut asked = Vec::new();
        for round in 0..3 {
            for n in 0..20 {
                bed.put(&format!("r{round}-{n:02}"), r#"{"n": 0}"#).await;
            }
            bed.between.calls();
            bed.import().await;
            let import = bed.between.calls();
            for n in 0..20 {
                bed.raw_set(&format!("r{round}-{n:02}"), r#"{"n": 1}"#).await;
            }
            bed.adopt().await;
            let adopt = bed.between.calls();
            bed.project.status(None, false, &Staged::new(), None).await.unwrap();
            bed.project.diff_all(None, DiffSide::Head, DiffSide::Live).await.unwrap();
            bed.project.export(None, None, |_, _| Ok(())).await.unwrap();
            let reads = bed.between.calls();
            bed.set("r0-00", &["n=5"]).await.unwrap();
            bed.restore("r0-00", "@1").await.unwrap();
            asked.push([import, adopt, reads, bed.between.calls()]);
        }
        // The env is looked at once a second, so one call in a while is more than the others.
        let alike = asked[1].iter().zip(&asked[2]).all(|(before, now)| before.abs_diff(*now) <= 1);
        assert!(alike, "{}: {asked:?}", bed.name());
        assert!(asked[2].iter().all(|calls| *calls <= 8), "{}: {asked:?}", bed.name());
    }
}

#[tokio::test]
async fn elsewhere_versions_are_entries_and_not_one_growing_document() {
    let padding = "x".repeat(200_000);
    for bed in Bed::each().await {
        bed.put("planner", &format!(r#"{{"n": 0, "body": {{"text": "{padding}"}}}}"#)).await;
        bed.import().await;
        for n in 1..=100 {
            bed.set("planner", &[&format!("n={n}")]).await.unwrap();
        }
        let entries = bed.entries("planner").await;
        assert_eq!(entries.len(), 101);
        assert!(entries.iter().all(|entry| entry.doc.is_some()), "{}", bed.name());
    }
}

#[tokio::test]
async fn elsewhere_a_patch_drops_no_field() {
    for bed in Bed::each().await {
        bed.put("planner", r#"{"name": "a", "n": 1, "body": {"p": {"q": 1, "r": [1, 2]}, "s": null}}"#).await;
        bed.import().await;
        let merge = Content::MergePatch(value(r#"{"body": {"p": {"q": 2}, "t": 3}}"#));
        let item = CommitItem { record: bed.id("planner"), content: merge, base: None };
        bed.project.commit(&Commit::of(vec![item]), &because("merge")).await.unwrap();
        let body = bed.live("planner", "body").await;
        assert_eq!(body.get("p"), Some(&value(r#"{"q": 2, "r": [1, 2]}"#)), "{}", bed.name());
        assert_eq!((body.get("t"), bed.live("planner", "n").await), (Some(&Value::from(3)), Value::from(1)));
    }
}

#[tokio::test]
async fn elsewhere_a_second_live_row_between_read_and_write_is_no_phantom() {
    for bed in Bed::each().await {
        bed.put("planner", r#"{"name": "a", "n": 0}"#).await;
        bed.import().await;
        let space = Arc::clone(&bed.space);
        bed.between.before("apply", async move {
            space.raw_insert("planner", r#"{"name": "second", "n": 0}"#).await;
        });
        let error = bed.set("planner", &["n=1"]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadConfig, "{}: {error}", bed.name());
        assert_eq!(bed.entries("planner").await.len(), 1);
        // A row that appears while a record is being made.
        let space = Arc::clone(&bed.space);
        bed.between.before("apply", async move {
            space.raw_insert("critic", r#"{"name": "first"}"#).await;
        });
        let error = bed.commit("critic", r#"{"name": "mine"}"#).await.unwrap_err();
        assert_eq!(error.kind().exit_code(), 2, "{}: {error}", bed.name());
        assert_eq!(bed.live("critic", "name").await, Value::from("first"));
    }
}

#[tokio::test]
async fn elsewhere_an_unknown_outcome_is_looked_up() {
    for shape in [Shape::Row, Shape::Doc] {
        let memory = crate::damage::memory(shape).await;
        let bed = &memory.bed;
        bed.put("planner", r#"{"n": 0, "body": {"tags": []}}"#).await;
        bed.import().await;
        for n in 1..=5 {
            memory.adapter.lose_next_acknowledgement();
            let report = bed.set("planner", &["body.tags+=x"]).await.unwrap();
            let written = report.written().next().unwrap();
            assert_eq!((written.entry.header.seq.0, report.replayed), (n + 1, false));
            assert_eq!(
                written.doc.as_ref().unwrap().get("body").unwrap().get("tags").unwrap().as_array().unwrap().len(),
                n as usize
            );
        }
        memory.adapter.fail_next(AdapterError::UnknownOutcome);
        bed.set("planner", &["body.tags+=x"]).await.unwrap();
        let tags = bed.live("planner", "body").await;
        assert_eq!(tags.get("tags").unwrap().as_array().unwrap().len(), 6);
        assert_eq!(bed.entries("planner").await.len(), 7);
        bed.assert_sound().await;
    }
}

/// A commit whose batch would be too large is refused before anything is read.
#[tokio::test]
async fn a_commit_beyond_the_stores_limit_is_refused_whole() {
    for bed in Bed::each().await {
        bed.between.limit(3);
        let items = |n: usize| -> Vec<CommitItem> {
            let item = |n| CommitItem {
                record: bed.id(&format!("r{n}")),
                content: Content::Document(value(r#"{"n": 1}"#)),
                base: None,
            };
            (0..n).map(item).collect()
        };
        let error = bed.project.commit(&Commit::of(items(4)), &because("many")).await.unwrap_err();
        assert_eq!((error.code(), error.kind()), ("batch_too_large", ErrorKind::Refused), "{}", bed.name());
        assert!(error.to_string().contains('3') && error.to_string().contains('4'));
        assert_eq!(bed.project.commit(&Commit::of(items(3)), &because("fit")).await.unwrap().written().count(), 3);
        // A converging verb splits instead.
        for n in 10..20 {
            bed.put(&format!("r{n}"), r#"{"n": 1}"#).await;
        }
        assert_eq!(bed.import().await.written().count(), 10);
        bed.assert_sound().await;
    }
}
