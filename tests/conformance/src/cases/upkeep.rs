//! What is written beside entries: git shas that are added, heads that are mended.

use std::sync::Arc;

use cfg_engine::adapter::{AdapterError, Batch, Change, ExpectedHead, ExpectedLive, LiveWrite, Mending};
use cfg_engine::history::{RecordKey, Seq};

use crate::space::Space;
use crate::{Harness, Outcome};

/// A change that writes no entry: head and tip as they are.
async fn upkeep(space: &Space, record: &RecordKey) -> Change {
    let head = space.head(record).await.expect("a head");
    Change {
        record: record.clone(),
        expected_head: ExpectedHead::At { head: head.head, tip: head.tip },
        expected_live: ExpectedLive::Unchecked,
        live: LiveWrite::Leave,
        entries: Vec::new(),
        closed: Vec::new(),
        new_head: Some(head.head),
        links: Vec::new(),
        mended_tip: None,
        overwrites: Vec::new(),
    }
}

async fn apply(space: &Space, change: Change) -> Result<(), AdapterError> {
    let now = space.now().await;
    let at = space.head(&change.record).await.map_or(now, |head| now.max(head.tip.recorded_at.plus_millis(1)));
    let batch = Batch::for_conformance(space.op_id(), at, vec![change], Vec::new());
    space.store.apply(&batch).await
}

async fn link(space: &Space, record: &RecordKey, seq: u64, shas: &[&str]) {
    let mut change = upkeep(space, record).await;
    change.links = vec![(Seq(seq), shas.iter().map(|sha| (*sha).to_owned()).collect())];
    apply(space, change).await.unwrap();
}

pub(crate) async fn git_shas_are_added_and_never_replaced(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let record = space.create("planner", r#"{"n": 1}"#).await;
    space.commit(&record, "n", 2).await;
    link(&space, &record, 1, &["a1b2c3d4"]).await;
    link(&space, &record, 1, &["ffff0000", "a1b2c3d4"]).await;
    link(&space, &record, 2, &["a1b2c3d4"]).await;
    let entries = space.assert_sound(&record).await;
    assert_eq!(entries[0].git_shas, ["a1b2c3d4", "ffff0000"], "each once, in the order in which they came");
    assert_eq!(entries[1].git_shas, ["a1b2c3d4"]);
    Outcome::Passed
}

pub(crate) async fn a_link_to_an_entry_that_is_not_there_is_refused(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let record = space.create("planner", r#"{"n": 1}"#).await;
    let before = space.picture().await;
    let mut change = upkeep(&space, &record).await;
    change.links = vec![(Seq(7), vec!["a1b2c3d4".to_owned()])];
    let refused = apply(&space, change).await.unwrap_err();
    assert!(matches!(refused, AdapterError::Damaged { .. }), "{refused}");
    space.assert_unchanged(&before).await;
    Outcome::Passed
}

pub(crate) async fn a_link_on_a_head_that_moved_is_refused(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let record = space.create("planner", r#"{"n": 1}"#).await;
    let mut change = upkeep(&space, &record).await;
    change.links = vec![(Seq(1), vec!["a1b2c3d4".to_owned()])];
    space.commit(&record, "n", 2).await;
    let refused = apply(&space, change).await.unwrap_err();
    assert!(matches!(refused, AdapterError::StaleHead { .. }), "{refused}");
    Outcome::Passed
}

pub(crate) async fn a_head_is_not_lost_while_it_is_there(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let record = space.create("planner", r#"{"n": 1}"#).await;
    let head = space.head(&record).await.expect("a head");
    let mut change = upkeep(&space, &record).await;
    change.expected_head = ExpectedHead::Lost { tip: head.tip };
    change.mended_tip = Some(head.tip);
    let refused = apply(&space, change).await.unwrap_err();
    assert!(matches!(refused, AdapterError::StaleHead { .. }), "{refused}");
    // A head that is as it should be may be written again.
    let mut change = upkeep(&space, &record).await;
    change.mended_tip = Some(head.tip);
    apply(&space, change).await.unwrap();
    assert_eq!(space.head(&record).await, Some(head));
    space.assert_sound(&record).await;
    Outcome::Passed
}

pub(crate) async fn a_sound_store_finds_nothing(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let record = space.create("planner", r#"{"n": 1}"#).await;
    space.commit(&record, "n", 2).await;
    let before = space.picture().await;
    for mending in [Mending::Look, Mending::Repair] {
        assert_eq!(space.store.check_store(&space.env, mending).await.unwrap(), []);
    }
    space.assert_unchanged(&before).await;
    Outcome::Passed
}
