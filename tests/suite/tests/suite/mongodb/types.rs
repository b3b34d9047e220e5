//! Nothing is lost: every BSON type comes back as the same type and bytes, and a write around the tool that
//! changes a type shows.

use bson::raw::{RawDocumentBuf, cstr};
use bson::spec::BinarySubtype;
use bson::{Binary, Bson, DateTime, Document, JavaScriptCodeWithScope, Regex, Timestamp, Uuid, doc, oid::ObjectId};
use cfg_engine::engine::State;

use super::bed::MongoBed;

fn oid() -> ObjectId {
    ObjectId::parse_str("0123456789abcdef01234567").unwrap()
}

fn binary(subtype: BinarySubtype, bytes: &[u8]) -> Bson {
    Bson::Binary(Binary { subtype, bytes: bytes.to_vec() })
}

/// A document with every type that BSON has, odd names, and an order of its own.
fn everything() -> Document {
    doc! {
        "z": 1_i32,
        "id": "planner",
        "int64": 1_i64,
        "large": i64::MAX,
        "double": 1.0,
        "minus_zero": -0.0,
        "tiny": 5e-324,
        "decimal": Bson::Decimal128("1.10".parse().unwrap()),
        "decimal_large": Bson::Decimal128("9.999999999999999999999999999999999E+6144".parse().unwrap()),
        "date": DateTime::from_millis(1_700_000_000_123),
        "before_year_1": DateTime::from_millis(-70_000_000_000_000),
        "oid": oid(),
        "generic": binary(BinarySubtype::Generic, &[0, 1, 2]),
        "function": binary(BinarySubtype::Function, &[3]),
        "old": binary(BinarySubtype::BinaryOld, &[4, 5]),
        "uuid_old": binary(BinarySubtype::UuidOld, &[7; 16]),
        "uuid": Uuid::from_bytes([9; 16]),
        "md5": binary(BinarySubtype::Md5, &[1; 16]),
        "user": binary(BinarySubtype::UserDefined(0x80), &[6]),
        "empty": binary(BinarySubtype::Generic, &[]),
        "timestamp": Timestamp { time: 7, increment: 8 },
        "regex": Regex { pattern: cstr!("^a.*").to_owned(), options: cstr!("im").to_owned() },
        "code": Bson::JavaScriptCode("1 + 1".to_owned()),
        "scoped": Bson::JavaScriptCodeWithScope(JavaScriptCodeWithScope { code: "x".to_owned(), scope: doc! { "x": 1_i64 } }),
        "symbol": Bson::Symbol("s".to_owned()),
        "undefined": Bson::Undefined,
        "min": Bson::MinKey,
        "max": Bson::MaxKey,
        "null": Bson::Null,
        "nested": { "b": 1_i32, "a": { "a.b": 1_i32, "$set": 2_i64, "": 3.0, "$oid": "no id" } },
        "list": [ 1_i32, 1_i64, 1.0, oid(), Bson::Null, { "x": DateTime::from_millis(0) } ],
        "look_alike": { "$oid": "0123456789abcdef01234567" },
        "a": 2_i32,
    }
}

async fn raw(bed: &MongoBed) -> RawDocumentBuf {
    let live = bed.live().clone_with_type::<RawDocumentBuf>();
    live.find_one(doc! { "id": "planner" }).await.unwrap().unwrap()
}

#[tokio::test]
async fn every_type_survives_commit_restore_and_recreation() {
    let Some(bed) = MongoBed::open("id").await else { return };
    bed.put(everything()).await;
    let record = bed.id("planner");
    bed.import().await;
    let before = raw(&bed).await;

    // A change beside everything, back by restore: the same bytes.
    bed.set(&record, &["z:=2"]).await.unwrap();
    assert_ne!(raw(&bed).await.as_bytes(), before.as_bytes());
    bed.restore(&record, "@1").await.unwrap();
    assert_eq!(raw(&bed).await.as_bytes(), before.as_bytes(), "a restored document has the bytes it had");

    // Everything overwritten around the tool, adopted, restored.
    let replaced = doc! { "id": "planner", "z": "other" };
    bed.live().replace_one(doc! { "id": "planner" }, replaced).await.unwrap();
    bed.adopt().await;
    bed.restore(&record, "@1").await.unwrap();
    let there: Document = Document::try_from(raw(&bed).await.as_ref()).unwrap();
    let mut wanted: Document = Document::try_from(before.as_ref()).unwrap();
    // A member that is null is as good as none, and nobody writes it for that.
    for (name, value) in wanted.iter().filter(|(_, value)| **value != Bson::Null) {
        assert_eq!(there.get(name), Some(value), "{name}");
    }
    // What came back stands behind what had stayed.
    let id = wanted.remove("_id").unwrap();
    assert_eq!(there.get("_id"), Some(&id), "the document stayed the document");
    assert_eq!(bed.state(&record).await, State::Clean);

    // Deleted around the tool, adopted, brought back: the very bytes, `_id` and order among them.
    bed.restore(&record, "@1").await.unwrap();
    let last = raw(&bed).await;
    bed.live().delete_one(doc! { "id": "planner" }).await.unwrap();
    bed.adopt().await;
    bed.restore(&record, "@2").await.unwrap();
    bed.restore(&record, "@1").await.unwrap();
    let mut back: Document = Document::try_from(raw(&bed).await.as_ref()).unwrap();
    let mut last: Document = Document::try_from(last.as_ref()).unwrap();
    assert_eq!(back.remove("_id"), last.remove("_id"));
    for (name, value) in last.iter().filter(|(_, value)| **value != Bson::Null) {
        assert_eq!(back.get(name), Some(value), "{name}");
    }
    assert_eq!(bed.state(&record).await, State::Clean);
    bed.assert_sound().await;
}

#[tokio::test]
async fn what_history_stores_is_the_document_as_it_is() {
    let Some(bed) = MongoBed::open("id").await else { return };
    bed.put(everything()).await;
    bed.import().await;
    let history = bed.space.application.collection::<RawDocumentBuf>("config_history");
    let entry = history.find_one(doc! {}).await.unwrap().unwrap();
    assert_eq!(entry.get_document("doc").unwrap().as_bytes(), raw(&bed).await.as_bytes());
}

#[tokio::test]
async fn a_write_that_changes_a_type_shows() {
    let Some(bed) = MongoBed::open("id").await else { return };
    bed.put(doc! {
        "id": "planner",
        "date": DateTime::from_millis(1_686_096_000_000),
        "half": 0.5,
        "flag": true,
        "oid": oid(),
        "look_alike": { "$oid": oid().to_hex() },
        "bytes": binary(BinarySubtype::Generic, &[1, 2]),
        "n": 7_i32,
        "list": [1_i32],
    })
    .await;
    bed.import().await;
    let record = bed.id("planner");
    let was = bed.live().find_one(doc! { "id": "planner" }).await.unwrap().unwrap_or_default();
    let check = async |field: &str, other: Bson, wanted: State| {
        let before = match field {
            "look_alike" => bson::bson!({ "$oid": oid().to_hex() }),
            _ => was.get(field).cloned().unwrap(),
        };
        let write = async |value: Bson| {
            // Through a pipeline: a literal object is what it is.
            let set = doc! { "$set": { field: { "$literal": value } } };
            bed.live().update_one(doc! { "id": "planner" }, vec![set]).await.unwrap();
        };
        write(other).await;
        assert_eq!(bed.state(&record).await, wanted, "{field}");
        write(before).await;
        assert_eq!(bed.state(&record).await, State::Clean, "{field}, back");
    };
    check("date", "2023-06-07T00:00:00Z".into(), State::Dirty).await;
    check("date", Bson::Int64(1_686_096_000_000), State::Dirty).await;
    check("half", "0.5".into(), State::Dirty).await;
    check("flag", Bson::Int32(1), State::Dirty).await;
    check("oid", oid().to_hex().into(), State::Dirty).await;
    check("oid", bson::bson!({ "$oid": oid().to_hex() }), State::Dirty).await;
    check("look_alike", oid().into(), State::Dirty).await;
    check("bytes", binary(BinarySubtype::Function, &[1, 2]), State::Dirty).await;
    check("bytes", "AQI=".into(), State::Dirty).await;
    check("list", Bson::Int32(1), State::Dirty).await;
    // A number is its digits, in whatever width.
    check("n", Bson::Double(7.0), State::Clean).await;
    check("n", Bson::Int64(7), State::Clean).await;
    check("n", Bson::Decimal128("7.00".parse().unwrap()), State::Clean).await;
    check("half", Bson::Decimal128("0.5".parse().unwrap()), State::Clean).await;
}

#[tokio::test]
async fn ids_of_every_type_in_the_id_field_itself() {
    let Some(bed) = MongoBed::open("_id").await else { return };
    let ids: Vec<Bson> =
        vec!["planner".into(), oid().into(), 7_i32.into(), 8_i64.into(), Uuid::from_bytes([3; 16]).into()];
    for id in &ids {
        bed.put(doc! { "_id": id, "n": 1_i32, "when": DateTime::from_millis(5) }).await;
    }
    assert_eq!(bed.import().await.written().count(), ids.len());
    for id in &ids {
        let record = bed.id(id.clone());
        bed.set(&record, &["n:=2"]).await.unwrap();
        assert_eq!(bed.state(&record).await, State::Clean);
        bed.live().delete_one(doc! { "_id": id }).await.unwrap();
        bed.project
            .adopt(&cfg_engine::engine::Adopt::Records(vec![record.clone()]), &crate::stores::because("gone"), None)
            .await
            .unwrap();
        bed.restore(&record, "@2").await.unwrap();
        let back = bed.live().find_one(doc! { "_id": id }).await.unwrap().unwrap();
        assert_eq!(back, doc! { "_id": id, "n": 2_i32, "when": DateTime::from_millis(5) });
        assert_eq!(bed.entries(&record).await.len(), 4);
    }
    bed.assert_sound().await;
}

#[tokio::test]
async fn a_number_keeps_the_width_it_had() {
    let Some(bed) = MongoBed::open("id").await else { return };
    bed.put(doc! { "id": "planner", "long": 1_i64, "double": 1.0, "int": 1_i32, "decimal": Bson::Decimal128("1.0".parse().unwrap()) }).await;
    bed.import().await;
    let record = bed.id("planner");
    bed.set(&record, &["long:=2", "double:=2", "int:=2", "decimal:=2"]).await.unwrap();
    let there = bed.live().find_one(doc! { "id": "planner" }).await.unwrap().unwrap();
    assert_eq!(there.get("long"), Some(&Bson::Int64(2)));
    assert_eq!(there.get("double"), Some(&Bson::Int32(2)), "what was typed is no double");
    assert_eq!(there.get("int"), Some(&Bson::Int32(2)));
    assert_eq!(there.get("decimal"), Some(&Bson::Decimal128("2".parse().unwrap())));
    assert_eq!(bed.state(&record).await, State::Clean);
    // What does not fit is not made to fit.
    bed.set(&record, &["long:=2.5", "int:=5000000000"]).await.unwrap();
    let there = bed.live().find_one(doc! { "id": "planner" }).await.unwrap().unwrap();
    assert_eq!((there.get("long"), there.get("int")), (Some(&Bson::Double(2.5)), Some(&Bson::Int64(5_000_000_000))));
    bed.assert_sound().await;
}
