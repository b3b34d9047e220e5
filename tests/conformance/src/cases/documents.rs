//! What a document may hold, and that it is stored, written and read back as it is.

use std::sync::Arc;

use cfg_engine::Value;
use cfg_engine::adapter::{AdapterError, StoredDoc};
use cfg_engine::document::{Edit, FieldPath, MAX_DEPTH, Number, Object, PathChange, Step};
use cfg_engine::history::Op;

use crate::draft::{Draft, DraftEntry};
use crate::space::{Space, as_given, assert_doc, live, object, value};
use crate::{Harness, Need, Outcome, require};

/// Seeds a document with this body, reads it, stores it as read, commits beside it, and sets the same value
/// by path: whatever way it takes, it must come back as it was. A store that cannot hold it says so.
async fn round_trips(h: &Arc<dyn Harness>, space: &Space, id: &str, inner: &Value) {
    let record = space.record(id);
    let fields = Object::new().with("n", 1).with("body", Object::new().with("v", inner.clone()).with("k", 1));
    if let Err(error) = space.store.check_document(&record, &space.doc(&record, &fields)) {
        assert!(matches!(error, AdapterError::Unstorable { .. }), "{error:?}");
        return;
    }
    let exact = |doc: &Value, way: &str| {
        let found = doc.get("body").and_then(|body| body.get("v")).map(|found| as_given(found, inner));
        if !h.has(Need::Verbatim) {
            assert_eq!(found.as_ref().map(ordered), Some(ordered(inner)), "{id}, {way}");
            return;
        }
        assert_eq!(found.as_ref().map(Value::to_interchange), Some(inner.to_interchange()), "{id}, {way}");
        assert!(found.as_ref() == Some(inner), "{id}, {way}: another width or type");
    };
    space.applied(vec![Draft::create(space, &record, &fields)]).await;
    exact(&space.raw_doc(&record).await, "seeded");
    let state = space.state(&record).await;
    exact(&live(&state).value, "read");
    assert_eq!(live(&state).oid.clone().ok(), state.head.as_ref().and_then(|h| h.head.oid), "{id}: live is HEAD");
    space.applied(vec![Draft::adopt(space, &state)]).await;
    space.commit(&record, "body.k", 2).await;
    exact(&space.raw_doc(&record).await, "after a change beside it");
    space.commit(&record, "body.v", "other").await;
    space.commit(&record, "body.v", inner.clone()).await;
    exact(&space.raw_doc(&record).await, "set by path");
    let entries = space.assert_sound(&record).await;
    for n in [0, 1, 2, 4] {
        exact(entries[n].doc.as_ref().expect("a document"), &format!("stored with entry {}", n + 1));
    }
}

/// Returns a value with members in the order of their names and numbers by their digits.
fn ordered(value: &Value) -> String {
    match value {
        Value::Object(object) => {
            let mut members: Vec<String> = object.iter().map(|(k, v)| format!("{k:?}:{}", ordered(v))).collect();
            members.sort();
            format!("{{{}}}", members.join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(ordered).collect::<Vec<_>>().join(",")),
        Value::Number(number) => {
            let mut digits = Vec::new();
            number.write_canonical(&mut digits).expect("a finite number");
            String::from_utf8(digits).expect("digits")
        }
        other => other.to_interchange(),
    }
}

pub(crate) async fn odd_keys(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let keys = [
        "a.b",
        "$set",
        "$oid",
        "",
        " ",
        "a[0]",
        "\"q\"",
        "\\",
        "ключ",
        "é",
        "e\u{301}x",
        "🙂",
        "a'b",
        "\n",
        "*",
        "0",
        "__proto__",
    ];
    let every: Object = keys.iter().enumerate().map(|(n, key)| ((*key).to_owned(), Value::from(n))).collect();
    round_trips(&h, &space, "together", &Value::Object(every)).await;
    for (n, key) in keys.iter().enumerate() {
        round_trips(&h, &space, &format!("key-{n}"), &Value::Object(Object::new().with(key, "x"))).await;
    }
    Outcome::Passed
}

pub(crate) async fn odd_keys_are_written_by_path(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    for (n, key) in ["a.b", "$set", "", "a[0]", "\"q\"", "\\", "é", "\n", "0", "a'b"].into_iter().enumerate() {
        let record = space.record(&format!("r{n}"));
        let inner = Object::new().with(key, 1).with("plain", 1).with("a", Object::new().with("b", 1));
        let fields = Object::new().with("body", inner.clone());
        if space.store.check_document(&record, &space.doc(&record, &fields)).is_err() {
            continue;
        }
        space.applied(vec![Draft::create(&space, &record, &fields)]).await;
        let path = FieldPath::from_steps(vec![Step::Key("body".to_owned()), Step::Key(key.to_owned())]);
        let state = space.state(&record).await;
        let set = PathChange { path: path.clone(), edit: Edit::Set(2.into()) };
        space.applied(vec![Draft::edit(&space, &state, vec![set])]).await;
        let mut wanted = inner;
        wanted.insert(key, 2);
        assert_eq!(ordered(&space.raw_field(&record, "body").await), ordered(&Value::from(wanted.clone())));
        let state = space.state(&record).await;
        space.applied(vec![Draft::edit(&space, &state, vec![PathChange { path, edit: Edit::Unset }])]).await;
        wanted.remove(key);
        assert_eq!(ordered(&space.raw_field(&record, "body").await), ordered(&Value::from(wanted)));
    }
    Outcome::Passed
}

pub(crate) async fn look_alikes_stay_what_they_are(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    // Objects that read like Extended JSON, as an application may well have stored them.
    for (n, text) in [
        r#"{"$oid": "0123456789abcdef01234567"}"#,
        r#"{"$date": "2023-06-07T00:00:00Z"}"#,
        r#"{"$numberDecimal": "1.10"}"#,
        r#"{"$numberLong": "1"}"#,
        r#"{"$literal": {"a": 1}}"#,
        r#"{"$ref": "x", "$id": 1}"#,
        r#"{"$binary": {"base64": "AQID", "subType": "00"}}"#,
        r#"[{"$undefined": true}]"#,
        r#"{"$secret": true}"#,
    ]
    .into_iter()
    .enumerate()
    {
        round_trips(&h, &space, &format!("r{n}"), &Value::from_json(text).expect("JSON")).await;
    }
    Outcome::Passed
}

pub(crate) async fn nesting_to_the_limit(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    // The document and its body are two levels of their own.
    for (id, open, close) in [("arrays", "[", "]"), ("objects", "{\"a\":", "}")] {
        let depth = MAX_DEPTH - 2;
        let text = format!("{}1{}", open.repeat(depth), close.repeat(depth));
        round_trips(&h, &space, id, &value(&text)).await;
    }
    Outcome::Passed
}

pub(crate) async fn numbers_keep_their_digits_and_spelling(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let numbers = [
        "0",
        "1",
        "1.0",
        "-1",
        "0.1",
        "1.5",
        "0.30000000000000004",
        "1e21",
        "1e-7",
        "5e-324",
        "1.7976931348623157e308",
        "9007199254740992",
        "9007199254740993",
        "9223372036854775807",
        "-9223372036854775808",
        "2147483648",
        "18446744073709551615",
        "123456789012345678901234567890",
        "0.1000000000000000055511151231257827",
        "1e400",
        "100000000000000000000",
    ];
    for (n, text) in numbers.into_iter().enumerate() {
        round_trips(&h, &space, &format!("number-{n}"), &Value::Number(Number::from_json(text).expect("a number")))
            .await;
    }
    round_trips(&h, &space, "array", &value("[1, 1.0, 2, 0.1, 9007199254740993]")).await;
    Outcome::Passed
}

pub(crate) async fn texts_of_every_kind(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let texts = [
        "",
        " ",
        "it's \"quoted\" \\ / \u{8}\u{c}\n\r\t",
        "\u{1}\u{1f}\u{7f}",
        "\u{0}",
        "a\u{0}b",
        "\u{2028}\u{2029}\u{feff}",
        "e\u{301} and \u{e9}",
        "🙂👩\u{200d}💻",
        "\u{fffd}\u{ffff}\u{10ffff}",
        "null",
        "true",
        "1",
        "{\"a\": 1}",
        "2023-06-07",
        "'; DROP TABLE x; --",
        "$1 ? :a @b",
        "\u{202e}abc",
    ];
    for (n, text) in texts.into_iter().enumerate() {
        round_trips(&h, &space, &format!("text-{n}"), &Value::from(text)).await;
    }
    Outcome::Passed
}

pub(crate) async fn nulls_and_empties_are_kept(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let values = ["null", "[]", "{}", "[null]", r#"{"a": null}"#, r#"[[], {}, null, "", 0, false]"#, "true", "false"];
    for (n, text) in values.into_iter().enumerate() {
        round_trips(&h, &space, &format!("value-{n}"), &value(text)).await;
    }
    Outcome::Passed
}

pub(crate) async fn key_order_is_kept(h: Arc<dyn Harness>) -> Outcome {
    require!(h, Verbatim);
    let space = Space::open(&h).await;
    round_trips(
        &h,
        &space,
        "order",
        &value(r#"{"z": 1, "a": {"y": 1, "b": 2}, "m": [{"d": 1, "c": 2}], "10": 0, "9": 0}"#),
    )
    .await;
    let record = space.create("appended", r#"{"body": {"z": 1, "a": 2}}"#).await;
    space.commit(&record, "body.m", 3).await;
    assert_eq!(space.raw_field(&record, "body").await.to_json(), r#"{"z":1,"a":2,"m":3}"#);
    space.commit(&record, "body.z", 9).await;
    assert_eq!(space.raw_field(&record, "body").await.to_json(), r#"{"z":9,"a":2,"m":3}"#);
    Outcome::Passed
}

pub(crate) async fn arrays_are_edited_in_place(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let record = space.create("planner", r#"{"body": {"list": [1, {"x": 1}, "c"]}}"#).await;
    let edit = |path: &str, edit: Edit| PathChange { path: path.parse().expect("a path"), edit };
    let steps = [
        (vec![edit("body.list[1].x", Edit::Set(2.into()))], r#"{"list":[1,{"x":2},"c"]}"#),
        (vec![edit("body.list[3]", Edit::Set("d".into()))], r#"{"list":[1,{"x":2},"c","d"]}"#),
        (vec![edit("body.list[0]", Edit::Unset)], r#"{"list":[{"x":2},"c","d"]}"#),
        (
            vec![edit("body.list[2]", Edit::Unset), edit("body.list[0].y", Edit::Set(Value::Null))],
            r#"{"list":[{"x":2,"y":null},"c"]}"#,
        ),
        (vec![edit("body.list", Edit::Set(value("[]")))], r#"{"list":[]}"#),
    ];
    for (changes, wanted) in steps {
        let state = space.state(&record).await;
        space.applied(vec![Draft::edit(&space, &state, changes)]).await;
        assert_eq!(space.raw_field(&record, "body").await.to_json(), wanted);
    }
    let entries = space.assert_sound(&record).await;
    let stored = entries[3].doc.as_ref().and_then(|doc| doc.get("body")).map(Value::to_json);
    assert_eq!(stored.as_deref(), Some(r#"{"list":[{"x":2},"c","d"]}"#));
    Outcome::Passed
}

pub(crate) async fn unsetting_is_not_writing_null(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let record = space.create("planner", r#"{"body": {"a": 1, "b": 2}}"#).await;
    space.commit(&record, "body.a", Value::Null).await;
    assert_eq!(space.raw_field(&record, "body").await.to_json(), r#"{"a":null,"b":2}"#);
    let state = space.state(&record).await;
    let unset = PathChange { path: "body.a".parse().expect("a path"), edit: Edit::Unset };
    space.applied(vec![Draft::edit(&space, &state, vec![unset])]).await;
    assert_eq!(space.raw_field(&record, "body").await.to_json(), r#"{"b":2}"#);
    let heads: Vec<_> = space.assert_sound(&record).await.iter().map(|e| e.header.oid).collect();
    assert_eq!(heads[1], heads[2], "both hash alike");
    Outcome::Passed
}

pub(crate) async fn several_changes_of_one_document(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let record =
        space.create("planner", r#"{"n": 1, "name": "a", "status": "x", "body": {"a": {"b": 1}, "c": 1}}"#).await;
    let edit = |path: &str, edit: Edit| PathChange { path: path.parse().expect("a path"), edit };
    let changes = vec![
        edit("n", Edit::Set(2.into())),
        edit("name", Edit::Set("b".into())),
        edit("status", Edit::Set(Value::Null)),
        edit("body.a.b", Edit::Set(value("[1]"))),
        edit("body.a.new", Edit::Set(value("{}"))),
        edit("body.a.new.x", Edit::Set(1.into())),
        edit("body.c", Edit::Unset),
    ];
    let state = space.state(&record).await;
    space.applied(vec![Draft::edit(&space, &state, changes)]).await;
    let wanted = object(r#"{"n": 2, "name": "b", "status": null, "body": {"a": {"b": [1], "new": {"x": 1}}}}"#);
    let wanted = space.doc(&record, &wanted);
    assert_doc(&space.raw_doc(&record).await, &wanted);
    let state = space.state(&record).await;
    assert_eq!(live(&state).oid.clone().ok(), state.head.and_then(|h| h.head.oid));
    assert_doc(space.assert_sound(&record).await[1].doc.as_ref().expect("a document"), &wanted);
    Outcome::Passed
}

pub(crate) async fn secrets_are_not_stored(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let fields = r#"{"n": 1, "token": "hush-1", "body": {"tools": [{"name": "a", "key": "hush-2"}, {"name": "b", "key": "hush-3"}]}}"#;
    let record = space.raw_insert("planner", fields).await;
    let state = space.state(&record).await;
    space.applied(vec![Draft::adopt(&space, &state)]).await;
    space.commit(&record, "n", 2).await;
    assert_eq!(space.raw_field(&record, "token").await.as_str(), Some("hush-1"), "live keeps its secrets");
    for entry in space.assert_sound(&record).await {
        let text = Value::Object(entry.to_object(&[])).to_interchange();
        assert!(!text.contains("hush"), "a stored secret");
        let names = entry.doc.as_ref().and_then(|doc| doc.get("body")?.get("tools").map(Value::to_json));
        assert_eq!(names.as_deref(), Some(r#"[{"name":"a"},{"name":"b"}]"#));
    }
    Outcome::Passed
}

pub(crate) async fn a_secret_is_written_and_hashed_by_nobody(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let record = space.create("planner", r#"{"n": 1, "token": "hush-1"}"#).await;
    space.commit(&record, "token", "hush-2").await;
    assert_eq!(space.raw_field(&record, "token").await.as_str(), Some("hush-2"));
    let entries = space.assert_sound(&record).await;
    assert_eq!(entries[0].header.oid, entries[1].header.oid);
    assert!(entries.iter().all(|e| e.doc.as_ref().is_some_and(|doc| doc.get("token").is_none_or(Value::is_null))));
    Outcome::Passed
}

pub(crate) async fn ignored_values_are_stored_as_read(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let fields = r#"{"n": 1, "updated_at": "monday", "body": {"k": 1, "cache": [1, null, {"a": 1.0}]}}"#;
    let record = space.raw_insert("planner", fields).await;
    let state = space.state(&record).await;
    space.applied(vec![Draft::adopt(&space, &state)]).await;
    let entries = space.assert_sound(&record).await;
    assert_doc(entries[0].doc.as_ref().expect("a document"), &space.doc(&record, &object(fields)));
    Outcome::Passed
}

pub(crate) async fn a_given_document_is_stored_as_given(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let record = space.create("planner", r#"{"n": 1}"#).await;
    let given =
        space.doc(&record, &object(r#"{"n": 5, "body": {"old": [1.0, {"z": null}], "big": 9007199254740993}}"#));
    let mut draft = Draft::of(&space.state(&record).await);
    draft.entries.push(DraftEntry::given(&space, &record, Op::Import, Some(&given)));
    assert!(matches!(draft.entries[0].doc, StoredDoc::Given(_)));
    space.applied(vec![draft]).await;
    assert_doc(space.assert_sound(&record).await[1].doc.as_ref().expect("a document"), &given);
    assert_eq!(space.raw_field(&record, "n").await.as_i64(), Some(1), "live is left");
    Outcome::Passed
}

pub(crate) async fn any_top_level_field(h: Arc<dyn Harness>) -> Outcome {
    require!(h, FreeFields);
    let space = Space::open(&h).await;
    let fields = r#"{"a.b": 1, "$odd": {"x": 1}, "": 2, "é": [1], "0": null, "z": 1, "m": {"deep": true}, "tmp_x": 1}"#;
    let record = space.create("planner", fields).await;
    assert_doc(&space.raw_doc(&record).await, &space.doc(&record, &object(fields)));
    let path = FieldPath::from_steps(vec![Step::Key("a.b".to_owned())]);
    let state = space.state(&record).await;
    let edits = vec![
        PathChange { path, edit: Edit::Set(7.into()) },
        PathChange { path: "m".parse().expect("a path"), edit: Edit::Unset },
        PathChange { path: "fresh".parse().expect("a path"), edit: Edit::Set(value("[1]")) },
    ];
    space.applied(vec![Draft::edit(&space, &state, edits)]).await;
    let wanted = r#"{"a.b": 7, "$odd": {"x": 1}, "": 2, "é": [1], "0": null, "z": 1, "fresh": [1], "tmp_x": 1}"#;
    let doc = space.raw_doc(&record).await;
    assert_doc(&doc, &space.doc(&record, &object(wanted)));
    let keys: Vec<&str> = doc.as_object().expect("a document").keys().filter(|key| *key != "id").collect();
    if h.has(Need::Verbatim) {
        assert_eq!(keys, ["a.b", "$odd", "", "é", "0", "z", "tmp_x", "fresh"], "a new member goes last");
    }
    assert_eq!(space.assert_sound(&record).await.len(), 2);
    Outcome::Passed
}

pub(crate) async fn extended_types(h: Arc<dyn Harness>) -> Outcome {
    require!(h, ExtendedTypes);
    let space = Space::open(&h).await;
    for (n, text) in [
        r#"{"$oid": "0123456789abcdef01234567"}"#,
        r#"{"$date": {"$numberLong": "1686096000123"}}"#,
        r#"{"$date": {"$numberLong": "-1"}}"#,
        r#"{"$binary": {"base64": "AQID", "subType": "00"}}"#,
        r#"{"$uuid": "00112233-4455-6677-8899-aabbccddeeff"}"#,
        r#"{"$numberDecimal": "1.10"}"#,
        r#"{"$numberLong": "5"}"#,
        r#"{"$numberInt": "5"}"#,
        r#"{"$timestamp": {"t": 1, "i": 2}}"#,
        r#"{"$regularExpression": {"pattern": "^a", "options": "i"}}"#,
        r#"{"$minKey": 1}"#,
        r#"[{"$maxKey": 1}, {"$date": {"$numberLong": "0"}}]"#,
    ]
    .into_iter()
    .enumerate()
    {
        round_trips(&h, &space, &format!("type-{n}"), &value(text)).await;
    }
    Outcome::Passed
}

pub(crate) async fn what_cannot_be_a_document_is_refused(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let record = space.record("planner");
    for text in ["null", "1", "\"text\"", "[]", "true"] {
        let outcome = space.store.check_document(&record, &value(text));
        assert!(matches!(outcome, Err(AdapterError::Unstorable { .. })), "{text}: {outcome:?}");
    }
    let other = space.doc(&space.record("other"), &object(r#"{"n": 1}"#));
    let mut named = space.doc(&record, &object(r#"{"n": 1}"#));
    space.store.check_document(&record, &named).expect("a plain document");
    assert!(
        space.store.fit(&record, named.clone()).await.is_ok_and(|fit| crate::doc_text(&fit) == crate::doc_text(&named))
    );
    if other.get("id").is_some() || h.has(crate::Need::FreeFields) {
        named.as_object_mut().expect("an object").insert("id", "other");
        let outcome = space.store.check_document(&record, &named);
        assert!(matches!(&outcome, Err(AdapterError::Unstorable { path, .. }) if path == "id"), "{outcome:?}");
    }
    Outcome::Passed
}

pub(crate) async fn errors_show_no_values(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let record = space.create("planner", r#"{"n": 1, "name": "hush-name", "token": "hush-token"}"#).await;
    let state = space.state(&record).await;
    let draft = Draft::set(&space, &state, "name", "hush-new");
    let batch = space.bind(vec![draft]).await;
    space.raw_set(&record, r#"{"name": "hush-theirs"}"#).await;
    let error = space.store.apply(&batch).await.expect_err("a stale batch");
    let shown = format!("{error} {error:?} {batch:?} {state:?}");
    assert!(!shown.contains("hush"), "{shown}");
    Outcome::Passed
}
