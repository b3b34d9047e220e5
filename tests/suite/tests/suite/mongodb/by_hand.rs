//! A batch as the gates would make it.

use std::time::Duration;

use cfg_engine::adapter::{
    Batch, Change, ExpectedHead, ExpectedLive, HeadRef, Live, LiveWrite, NewEntry, RecordState, StoredDoc,
};
use cfg_engine::document::{Edit, FieldPath, FieldPolicy, Object, PathChange, apply_changes, oid};
use cfg_engine::history::{Author, AuthorClass, EntryHeader, MessageHash, Op, OpId, Span, insert};

/// Sets one value of a record that was read.
pub(super) fn set(state: &RecordState, field: &str, to: i64, policy: &FieldPolicy, monotonic: Duration) -> Batch {
    let Live::One(live) = &state.live else { panic!("a live document") };
    let head = state.head.clone().expect("a head");
    let at = state.clock.now_at(monotonic).max(head.tip.recorded_at.plus_millis(1));
    let changes = vec![PathChange { path: FieldPath::key(field), edit: Edit::Set(to.into()) }];
    let mut doc = live.value.as_ref().clone();
    apply_changes(&mut doc, &changes).expect("a change");
    let op_id = OpId::new(&format!("by-hand-{to}")).expect("an op_id");
    let header = EntryHeader {
        record: state.record.clone(),
        seq: head.tip.seq.next(),
        prev_entry_id: Some(head.tip.entry_id),
        oid: Some(oid(&doc, policy).expect("an oid")),
        op: Op::Commit,
        base: None,
        author: Author { id: "a@example.com".to_owned(), class: AuthorClass::Pipeline },
        message: MessageHash::of("by hand"),
        recorded_at: at,
        valid_from: at,
        valid_from_estimated: false,
        op_id: op_id.clone(),
        meta: Object::new(),
    };
    let span = |seq, at| Span { seq, recorded_at: at, valid_from: at, in_valid_order: true };
    let insertion = insert(&[span(head.head.seq, head.recorded_at)], &[span(header.seq, at)]);
    let entry_id = header.entry_id();
    let new_head = HeadRef { seq: header.seq, oid: header.oid, entry_id };
    let entry = NewEntry {
        entry_id,
        message: "by hand".to_owned(),
        doc: StoredDoc::Edited { image: live.image.clone(), changes: changes.clone() },
        ends: insertion.new[0],
        git_shas: Vec::new(),
        header,
    };
    let change = Change {
        record: state.record.clone(),
        expected_head: ExpectedHead::At { head: head.head, tip: head.tip },
        expected_live: ExpectedLive::At(live.image.clone()),
        live: LiveWrite::Update(changes),
        entries: vec![entry],
        closed: insertion.closed,
        new_head: Some(new_head),
        links: Vec::new(),
        mended_tip: None,
        overwrites: Vec::new(),
    };
    Batch::for_conformance(op_id, at, vec![change], Vec::new())
}
