//! Entry headers, times, references, intervals: `entries.json`, `times.json`, `references.json`,
//! `intervals.json`.

use cfg_engine::Value;
use cfg_engine::document::{EntryId, FieldPolicy, Object, Oid, canonical_bytes};
use cfg_engine::history::{
    Author, AuthorClass, CollectionName, Ends, EntryHeader, EnvName, IdKey, MessageHash, Op, OpId, RecordKey,
    Reference, Seq, Span, Timestamp, as_of_both, head, insert, interval_ends,
};
use proptest::prelude::*;
use serde_json::Value as Json;

use super::files::{cases, expect_equal, file, run, text};

fn header(h: &Json) -> EntryHeader {
    let hex = |name: &str| h.get(name).and_then(Json::as_str);
    EntryHeader {
        record: RecordKey {
            env: EnvName::new(text(h, "env")).expect("a name"),
            collection: CollectionName::new(text(h, "collection")).expect("a name"),
            id: IdKey::from_stored(text(h, "id_key")).expect("an id"),
        },
        seq: Seq(h["seq"].as_u64().expect("a seq")),
        prev_entry_id: hex("prev_entry_id").map(|hex| hex.parse().expect("an entry id")),
        oid: hex("oid").map(|hex| hex.parse::<Oid>().expect("an oid")),
        op: Op::parse(text(h, "op")).expect("an op"),
        base: h.get("base").and_then(Json::as_array).map(|ids| {
            ids.iter().map(|id| id.as_str().expect("an id").parse::<EntryId>().expect("an entry id")).collect()
        }),
        author: Author {
            id: text(&h["author"], "id").to_owned(),
            class: AuthorClass::parse(text(&h["author"], "class")).expect("a class"),
        },
        message: MessageHash::of(text(h, "message")),
        recorded_at: Timestamp::from_millis(h["recorded_at"].as_i64().expect("millis")),
        valid_from: Timestamp::from_millis(h["valid_from"].as_i64().expect("millis")),
        valid_from_estimated: h.get("valid_from_estimated").is_some_and(|e| e == &Json::Bool(true)),
        op_id: OpId::new(text(h, "op_id")).expect("an op_id"),
        meta: match h.get("meta") {
            Some(meta) => Value::from_json(&meta.to_string()).expect("JSON").as_object().expect("an object").clone(),
            None => Object::new(),
        },
    }
}

#[test]
fn entries() {
    run("entries.json", |case| {
        let header = header(&case["header"]);
        let bytes = canonical_bytes(&Value::Object(header.to_object()), &FieldPolicy::default()).expect("canonical");
        expect_equal("canonical", String::from_utf8(bytes).expect("UTF-8").as_str(), text(case, "canonical"))?;
        expect_equal("entry_id", header.entry_id().to_hex().as_str(), text(case, "entry_id"))
    });
}

#[test]
fn times() {
    run("times.json", |case| {
        let parsed = Timestamp::parse(text(case, "text"));
        if case.get("refused").is_some() {
            return expect_equal("refused", parsed.is_err(), true);
        }
        let time = parsed.map_err(|e| e.to_string())?;
        expect_equal("millis", time.as_millis(), case["millis"].as_i64().expect("millis"))?;
        expect_equal("shown", time.to_string().as_str(), text(case, "shown"))?;
        let is_date = case.get("date").is_some();
        expect_equal("a date is no instant", Timestamp::parse_instant(text(case, "text")).is_err(), is_date)
    });
}

#[test]
fn references() {
    run("references.json", |case| match Reference::parse(text(case, "text")) {
        Err(_) => expect_equal("refused", true, case.get("refused").is_some()),
        Ok(reference) => {
            expect_equal("accepted", case.get("refused").is_none(), true)?;
            let kind = match reference {
                Reference::Seq(_) => "seq",
                Reference::Content(_) => "content",
                Reference::At(_) => "at",
                Reference::Tag(_) => "tag",
                Reference::Live => "live",
                Reference::Head => "head",
                Reference::Staged => "staged",
                _ => "unknown to the vectors",
            };
            expect_equal("kind", kind, text(case, "kind"))?;
            expect_equal("shown", reference.to_string().as_str(), text(case, "shown"))?;
            expect_equal("read back", Reference::parse(&reference.to_string()), Ok(reference))
        }
    });
    for case in file("references.json")["addresses"].as_array().expect("addresses") {
        let (id, version) = Reference::split_address(text(case, "text"));
        assert_eq!((id, version), (text(case, "id"), case.get("version").and_then(Json::as_str)), "{case}");
    }
}

fn span(entry: &Json) -> Span {
    let millis = |name: &str| Timestamp::from_millis(entry[name].as_i64().expect("millis"));
    Span {
        seq: Seq(entry["seq"].as_u64().expect("a seq")),
        recorded_at: millis("recorded_at"),
        valid_from: millis("valid_from"),
        in_valid_order: entry.get("redact").is_none(),
    }
}

#[test]
fn intervals() {
    run("intervals.json", |case| {
        let entries = case["entries"].as_array().expect("entries");
        let spans: Vec<Span> = entries.iter().map(span).collect();
        let end = |entry: &Json, name: &str| entry[name].as_i64().map_or(Timestamp::OPEN, Timestamp::from_millis);
        let wanted: Vec<Ends> = entries
            .iter()
            .map(|e| Ends { valid_to: end(e, "valid_to"), superseded_at: end(e, "superseded_at") })
            .collect();
        expect_equal("ends", interval_ends(&spans), wanted)?;
        expect_equal("head", head(&spans).map(|seq| seq.0), case["head"].as_u64())
    });
    assert!(cases("intervals.json").len() >= 25);
}

/// Entries of one record as they are written: seq ascending, recorded_at not falling.
fn histories() -> impl Strategy<Value = Vec<Span>> {
    prop::collection::vec((0..4_i64, 0..60_i64, prop::bool::weighted(0.1)), 1..12).prop_map(|steps| {
        let mut recorded = 100;
        let spans = steps.into_iter().enumerate().map(|(n, (pause, valid, redact))| {
            recorded += pause;
            Span {
                seq: Seq(n as u64 + 1),
                recorded_at: Timestamp::from_millis(recorded),
                valid_from: Timestamp::from_millis(valid + 50),
                in_valid_order: n == 0 || !redact,
            }
        });
        spans.collect()
    })
}

proptest! {
    /// An id's key is its compact JSON, whatever stands in it, and history gives back the same key.
    #[test]
    fn an_id_key_is_the_compact_json(id in "\\PC{0,12}|[\\x00-\\x7f\"\\\\]{0,12}") {
        let value = Value::from(id);
        let key = IdKey::from_value(&value).expect("a short text is an id");
        prop_assert_eq!(key.as_str(), value.to_interchange());
        prop_assert_eq!(IdKey::from_stored(key.as_str()), Ok(key.clone()));
        prop_assert_eq!(key.to_value(), value);
    }

    /// At every instant at most one entry holds, and exactly one from the first on; HEAD holds at the end.
    #[test]
    fn intervals_neither_overlap_nor_leave_gaps(spans in histories(), at in 0..130_i64) {
        let ends = interval_ends(&spans);
        let at = Timestamp::from_millis(at);
        let holding: Vec<Seq> = spans.iter().zip(&ends)
            .filter(|(s, e)| s.in_valid_order && s.valid_from <= at && at < e.valid_to)
            .map(|(s, _)| s.seq).collect();
        let started = spans.iter().any(|s| s.in_valid_order && s.valid_from <= at);
        prop_assert_eq!(holding.len(), usize::from(started));
        // The interval form is the definition: the greatest in valid order that has begun.
        prop_assert_eq!(holding.first().copied(), as_of_both(&spans, Timestamp::OPEN, at));
    }

    /// What HEAD was at R is what it was when nothing later had been written.
    #[test]
    fn superseded_at_says_what_head_was(spans in histories(), at in 90..150_i64) {
        let ends = interval_ends(&spans);
        let at = Timestamp::from_millis(at);
        let cached: Vec<Seq> = spans.iter().zip(&ends)
            .filter(|(s, e)| s.in_valid_order && s.recorded_at <= at && at < e.superseded_at)
            .map(|(s, _)| s.seq).collect();
        let known: Vec<Span> = spans.iter().copied().filter(|s| s.recorded_at <= at).collect();
        prop_assert_eq!(cached, head(&known).into_iter().collect::<Vec<_>>());
    }

    /// Adding entries one batch after another closes exactly what computing all at once says.
    #[test]
    fn insertion_agrees_with_the_definition(spans in histories(), cut in 0..12_usize) {
        let (before, new) = spans.split_at(cut.min(spans.len()));
        let mut ends = interval_ends(before);
        let insertion = insert(before, new);
        for (seq, end) in &insertion.closed {
            ends[seq.0 as usize - 1] = *end;
        }
        ends.extend(&insertion.new);
        prop_assert_eq!(ends, interval_ends(&spans));
        prop_assert_eq!(insertion.head, head(&spans));
    }

    /// The answer for a pair of instants in the past never changes, whatever is written later.
    #[test]
    fn a_question_on_both_axes_keeps_its_answer(spans in histories(), r in 90..150_i64, t in 40..130_i64) {
        let (r, t) = (Timestamp::from_millis(r), Timestamp::from_millis(t));
        let known: Vec<Span> = spans.iter().copied().filter(|s| s.recorded_at <= r).collect();
        prop_assert_eq!(as_of_both(&known, r, t), as_of_both(&spans, r, t));
    }
}
