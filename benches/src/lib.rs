//! What the benchmarks of the stores have in common: documents, and batches as the engine would plan them.

#![allow(clippy::unwrap_used)]

pub mod app;
pub mod line;
pub mod sample;
pub mod stage;

use cfg_engine::adapter::{
    Batch, Change, ExpectedHead, ExpectedLive, HeadRef, HeadState, Live, LiveWrite, NewEntry, RecordState, StoredDoc,
};
use cfg_engine::document::{Edit, EntryId, FieldPath, FieldPolicy, Object, Oid, PathChange, apply_changes, oid};
use cfg_engine::history::{
    Author, AuthorClass, EntryHeader, MessageHash, Op, OpId, RecordKey, Seq, Span, Timestamp, insert,
};

/// As in `cfg`, the wheel and the Node package: `docs/decisions/0056-allocator.md`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A document of about `size` bytes.
pub fn document(n: usize, size: usize) -> String {
    let mut text = format!(
        r#"{{"model": "large", "n": {n}, "temperature": 0.7, "limits": {{"per_minute": 120, "timeout_ms": 30000}}, "prompt": ""#
    );
    while text.len() + 200 < size {
        text.push_str("You plan the work before you start it, and you keep the plan up to date. ");
    }
    text.push_str(r#"", "tools": [{"name": "search", "enabled": true}, {"name": "fetch", "weight": 0.37}]}"#);
    text
}

/// A commit of one value in each of these records, as the engine would plan it.
pub fn commit_of(states: Vec<RecordState>, at: Timestamp, op_id: &OpId, to: i64) -> Batch {
    let edit = PathChange { path: FieldPath::key("n"), edit: Edit::Set(to.into()) };
    let change = |state: RecordState| {
        let Live::One(live) = state.live else { panic!("a live row") };
        let mut doc = live.value.as_ref().clone();
        apply_changes(&mut doc, std::slice::from_ref(&edit)).unwrap();
        let doc_oid = oid(&doc, &FieldPolicy::default()).unwrap();
        let stored = StoredDoc::Edited { image: live.image.clone(), changes: vec![edit.clone()] };
        let spans = [Span {
            seq: state.head.as_ref().map_or(Seq::FIRST, |h| h.tip.seq.next()),
            recorded_at: at,
            valid_from: at,
            in_valid_order: true,
        }];
        let existing: Vec<Span> = state.head.iter().map(span_of_head).collect();
        let insertion = insert(&existing, &spans);
        let header = header(&state.record, spans[0], doc_oid, op_id, state.head.as_ref().map(|h| h.tip.entry_id));
        let entry_id = header.entry_id();
        Change {
            record: state.record,
            expected_head: state
                .head
                .as_ref()
                .map_or(ExpectedHead::Absent, |h| ExpectedHead::At { head: h.head, tip: h.tip }),
            expected_live: ExpectedLive::At(live.image),
            live: LiveWrite::Update(vec![edit.clone()]),
            new_head: Some(HeadRef { seq: spans[0].seq, oid: Some(doc_oid), entry_id }),
            entries: vec![NewEntry {
                header,
                entry_id,
                message: "a change".to_owned(),
                doc: stored,
                ends: insertion.new[0],
                git_shas: Vec::new(),
            }],
            closed: insertion.closed,
            links: Vec::new(),
            mended_tip: None,
            overwrites: Vec::new(),
        }
    };
    Batch::for_conformance(op_id.clone(), at, states.into_iter().map(change).collect(), Vec::new())
}

fn span_of_head(head: &HeadState) -> Span {
    Span { seq: head.head.seq, recorded_at: head.recorded_at, valid_from: head.recorded_at, in_valid_order: true }
}

/// A header of an ordinary commit.
pub fn header(record: &RecordKey, span: Span, oid: Oid, op_id: &OpId, prev_entry_id: Option<EntryId>) -> EntryHeader {
    EntryHeader {
        record: record.clone(),
        seq: span.seq,
        prev_entry_id,
        oid: Some(oid),
        op: Op::Commit,
        base: None,
        author: Author { id: "ana@example.com".to_owned(), class: AuthorClass::Human },
        message: MessageHash::of("a change"),
        recorded_at: span.recorded_at,
        valid_from: span.valid_from,
        valid_from_estimated: false,
        op_id: op_id.clone(),
        meta: Object::new().with("tool_version", "cfg-engine/0.1.0"),
    }
}
