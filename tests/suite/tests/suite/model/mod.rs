//! Memory is the model: any sequence of operations, done to it and to SQLite, must look the same.
//!
//! Both stores get the same operations: batches of several records, good ones and ones that were planned
//! before somebody else wrote, by the tool or around it; deletions, imports, redactions, objects; and after
//! each of them everything that can be read is compared. The one thing that differs by nature is time:
//! both are asked for the same instants, which are SQLite's.

use std::sync::Arc;

use cfg_engine::Value;
use cfg_engine::adapter::{
    AdapterError, AsOf, Batch, EntryQuery, ExpectedLive, ExpectedVersion, Live, ObjectKey, ObjectWrite, Order,
    RecordState, Scope, StoredDoc,
};
use cfg_engine::config::Shape;
use cfg_engine::document::Object;
use cfg_engine::history::{Entry, Op, OpId, RecordKey, Seq, Timestamp};
use cfg_engine_conformance::{Draft, DraftEntry, Harness, MemoryHarness, Space, Table, doc_text, object};
use futures_util::TryStreamExt;
use proptest::prelude::*;

use crate::sqlite::SqliteHarness;

mod steps;

use steps::{Between, IDS, ObjectVerb, Plan, RULE, Raw, Step, Verb, bodies, paths, step};

/// The same store twice.
struct Pair {
    model: Space,
    real: Space,
    applied: Vec<(Batch, Batch)>,
    ops: u64,
}

/// An outcome as it is compared: what went wrong and to which record, not the words.
fn brief(outcome: &Result<(), AdapterError>) -> String {
    match outcome {
        Ok(()) => "applied".to_owned(),
        Err(AdapterError::StaleHead { record, current }) => format!("stale head {record:?} {current:?}"),
        Err(AdapterError::StaleLive { record }) => format!("stale live {record:?}"),
        Err(AdapterError::StaleObject { kind, name }) => format!("stale object {kind} {name}"),
        Err(AdapterError::Ambiguous { record, rows }) => format!("ambiguous {record:?} {rows}"),
        Err(AdapterError::LiveRule { record }) => format!("live rule {record:?}"),
        Err(AdapterError::Clock { .. }) => "clock".to_owned(),
        Err(other) => format!("{other:?}"),
    }
}

fn seen(state: &RecordState) -> String {
    let live = match &state.live {
        Live::One(live) => format!("{} {:?}", doc_text(&live.value), live.oid),
        Live::Absent { outside_rule } => format!("absent, {outside_rule} outside"),
        Live::Ambiguous { rows } => format!("{rows} rows"),
        other => format!("{other:?}"),
    };
    format!("{:?}: {live}; {:?}", state.record, state.head)
}

impl Pair {
    async fn open(shape: Shape) -> Pair {
        let space = async |harness: Arc<dyn Harness>| {
            let mut table = Table::new("agents").live_when(RULE);
            // A change of what is live is not versioned content here.
            let policy = std::mem::take(&mut table.config.policy);
            table.config.policy = policy.with_ignored_field("active").with_ignored_field("status");
            Space::with(&harness, vec![table]).await
        };
        Pair {
            model: space(Arc::new(MemoryHarness::new(shape))).await,
            real: space(Arc::new(SqliteHarness::new(shape))).await,
            applied: Vec::new(),
            ops: 0,
        }
    }

    fn spaces(&self) -> [&Space; 2] {
        [&self.model, &self.real]
    }

    async fn raw(&self, id: u8, raw: &Raw) {
        for space in self.spaces() {
            let record = record(space, id);
            let rows = space.raw_rows(&record).await.len();
            match raw {
                Raw::Insert { active, n } if rows < 3 => {
                    let fields = Object::new().with("active", *active).with("n", *n).with("body", bodies(*n as u8));
                    space.raw_insert_record(&record, &fields).await;
                }
                // What an application sets, it sets in the one row that it knows.
                _ if rows != 1 && !matches!(raw, Raw::Delete) => {}
                Raw::Insert { .. } => {}
                Raw::SetNumber(n) => space.raw_set(&record, &format!(r#"{{"n": {n}}}"#)).await,
                Raw::SetBody(n) => space.raw_set(&record, &format!(r#"{{"body": {}}}"#, bodies(*n).to_json())).await,
                Raw::SetIgnored(n) => space.raw_set(&record, &format!(r#"{{"updated_at": "raw {n}"}}"#)).await,
                Raw::SetSecret(n) => space.raw_set(&record, &format!(r#"{{"token": "hush {n}"}}"#)).await,
                Raw::Activate(active) => space.raw_set(&record, &format!(r#"{{"active": {active}}}"#)).await,
                Raw::Retire => space.raw_set(&record, r#"{"status": "retired"}"#).await,
                Raw::Delete => space.raw_delete(&record).await,
            }
        }
    }

    /// Makes the same batch for both stores, each from its own reads.
    async fn plan(&mut self, plan: &Plan) -> (Batch, Batch) {
        self.ops += 1;
        let op_id = OpId::new(&format!("model-{}", self.ops)).expect("an op_id");
        // The memory store's clock follows.
        let now = self.real.now().await;
        let at_model = self.model.now().await;
        self.model.raw.step_clock(now.as_millis() - at_model.as_millis()).await;
        let mut drafts = Vec::new();
        for space in self.spaces() {
            let mut of_space = Vec::new();
            for (id, verb) in &plan.changes {
                let author = ["ana", "bo", "bo2"][(self.ops % 3) as usize];
                of_space.extend(draft(space, *id, verb).await.map(|draft| by(draft, author)));
            }
            drafts.push(of_space);
        }
        let [of_model, of_real] = <[Vec<Draft>; 2]>::try_from(drafts).expect("two stores");
        let newest = of_real.iter().filter_map(|d| d.head.as_ref()).map(|h| h.tip.recorded_at).max();
        let at = newest.map_or(now, |tip| now.max(tip.plus_millis(1))).plus_millis(plan.off_ms);
        let mut objects = Vec::new();
        if let Some((name, verb)) = &plan.object {
            objects.push(object_write(&self.real, *name, verb).await);
        }
        let for_model = self.model.bind_all(op_id.clone(), at, of_model, objects.clone()).await;
        (for_model, self.real.bind_all(op_id, at, of_real, objects).await)
    }

    async fn apply(&mut self, (for_model, for_real): (Batch, Batch)) {
        let now = self.real.now().await;
        let at_model = self.model.now().await;
        self.model.raw.step_clock(now.as_millis() - at_model.as_millis()).await;
        let outcome = self.model.store.apply(&for_model).await;
        let real = self.real.store.apply(&for_real).await;
        assert_eq!(brief(&outcome), brief(&real), "of one batch");
        self.applied.push((for_model, for_real));
    }

    async fn take(&mut self, step: &Step) {
        match step {
            Step::Raw(id, raw) => self.raw(*id, raw).await,
            Step::Apply(plan) => {
                let batch = self.plan(plan).await;
                self.apply(batch).await;
            }
            Step::Late(plan, between) => {
                let batch = self.plan(plan).await;
                match between {
                    Between::Raw(n, raw) => {
                        let of_plan = plan.changes.get(usize::from(*n) % plan.changes.len().max(1));
                        self.raw(of_plan.map_or(0, |(id, _)| *id), raw).await;
                    }
                    Between::Apply(other) => {
                        let other = self.plan(other).await;
                        self.apply(other).await;
                    }
                }
                self.apply(batch).await;
            }
            Step::Replay => {
                if let Some(batch) = self.applied.iter().rev().nth(1).cloned() {
                    self.apply(batch).await;
                }
            }
        }
        self.compare().await;
    }

    /// Compares everything that can be read.
    async fn compare(&self) {
        let all = Scope::All(None);
        let named = Scope::Records((0..IDS).map(|id| record(&self.model, id)).collect());
        let mut seen_by: Vec<Vec<String>> = Vec::new();
        let instants = self.instants().await;
        for space in self.spaces() {
            let mut found: Vec<String> = Vec::new();
            for scope in [&all, &named] {
                found.extend(space.states(scope).await.iter().map(seen));
                found.extend(space.addresses(scope).await.iter().map(|address| format!("{address:?}")));
                for at in &instants {
                    for mut row in space.as_of(scope, *at).await {
                        // A row has a null in every column that the model's document does not mention.
                        let doc = row.entry.doc.take().as_ref().map(doc_text);
                        let entry = Value::Object(row.entry.to_object(&[])).to_interchange();
                        found.push(format!("{at:?} {} {entry} {doc:?}", row.estimated_before_import));
                    }
                    let addresses = space.store.as_of_addresses(&space.env, scope, *at);
                    let addresses: Vec<_> = addresses.try_concat().await.expect("a read");
                    found.extend(addresses.iter().map(|row| format!("{at:?} {row:?}")));
                }
            }
            for query in self.queries(space, &all) {
                for entry in space.entries(&query).await {
                    assert_eq!(entry.header.entry_id(), entry.entry_id);
                    let Entry { header, message, git_shas, .. } = &entry;
                    found.push(format!("{header:?} {:?} {message} {git_shas:?}", entry.entry_id));
                }
            }
            for id in 0..IDS {
                for entry in space.assert_sound(&record(space, id)).await {
                    found.push(format!("{} {:?}", entry.address(), entry.doc.as_ref().map(doc_text)));
                }
            }
            for kind in ["tag", "other"] {
                for stored in space.store.objects(kind, None).await.expect("objects") {
                    let body = stored.body.to_interchange();
                    found.push(format!("{:?} {} {body} {:?}", stored.key, stored.version, stored.op_id));
                }
            }
            let rows = space.raw.rows(space.agents()).await;
            let doc_column = &space.agents().doc_column;
            let mut rows: Vec<String> =
                (rows.iter()).map(|row| format!("{} {:?}", doc_text(row), row.get(doc_column).map(doc_text))).collect();
            rows.sort();
            found.extend(rows);
            seen_by.push(found);
        }
        for (model, real) in seen_by[0].iter().zip(&seen_by[1]) {
            assert_eq!(model, real);
        }
        assert_eq!(seen_by[0].len(), seen_by[1].len());
    }

    /// Every filter on its own, around the last batches.
    fn queries(&self, space: &Space, scope: &Scope) -> Vec<EntryQuery> {
        let any = EntryQuery::new(space.env.clone(), scope.clone());
        let filtered = |filter: &dyn Fn(&mut EntryQuery)| {
            let mut query = any.clone();
            filter(&mut query);
            query
        };
        let mut queries = vec![
            any.clone(),
            filtered(&|q| (q.across, q.limit) = (true, Some(5))),
            filtered(&|q| (q.order, q.limit) = (Order::NewestFirst, Some(3))),
            filtered(&|q| q.author = Some("bo".to_owned())),
            filtered(&|q| (q.git_sha, q.across) = (Some("boa".to_owned()), true)),
            filtered(&|q| q.git_sha = Some("oabc".to_owned())),
            filtered(&|q| q.seqs = vec![Seq(2), Seq(4)]),
        ];
        for (batch, _) in self.applied.iter().rev().take(2) {
            queries.push(filtered(&|q| q.op_id = Some(batch.op_id().clone())));
            queries.push(filtered(&|q| q.since = Some(batch.recorded_at())));
            queries.push(filtered(&|q| q.until = Some(batch.recorded_at())));
        }
        queries
    }

    /// The instants worth asking about: a few on each axis, and pairs.
    async fn instants(&self) -> Vec<AsOf> {
        let recorded: Vec<Timestamp> =
            self.model.addresses(&Scope::All(None)).await.iter().map(|address| address.recorded_at).collect();
        let mut instants: Vec<AsOf> = (0..7).map(|n| AsOf::Valid(past(n).plus_millis(-1))).collect();
        for r in recorded.iter().rev().step_by(3).take(3).flat_map(|r| [r.plus_millis(-1), *r]) {
            instants.extend([AsOf::Recorded(r), AsOf::Valid(r)]);
            instants.extend((0..6).step_by(2).map(|n| AsOf::Both { recorded: r, valid: past(n) }));
            instants.push(AsOf::Both { recorded: r, valid: r });
        }
        instants
    }
}

fn record(space: &Space, id: u8) -> RecordKey {
    // Unlike in all that a store may be careless about.
    space.record(["a", "A", "é", "e\u{301}"][usize::from(id)])
}

fn past(n: u8) -> Timestamp {
    Timestamp::from_millis(1_577_836_800_000 + i64::from(n) * 1000)
}

/// Plans one change from what the store holds; `None` where there is nothing to do.
async fn draft(space: &Space, id: u8, verb: &Verb) -> Option<Draft> {
    let state = space.state(&record(space, id)).await;
    let is_live = matches!(state.live, Live::One(_));
    let has_history = state.head.is_some();
    let unchecked =
        |draft: Draft, checked: bool| if checked { draft } else { draft.expecting(ExpectedLive::Unchecked) };
    match verb {
        Verb::Commit { edits, checked } if is_live => {
            let changes = edits.iter().map(|(path, to)| paths(*path, *to)).collect();
            Some(unchecked(Draft::edit(space, &state, changes), *checked))
        }
        Verb::Commit { .. } if matches!(state.live, Live::Ambiguous { .. }) => {
            // Planned as if nobody had looked.
            let seed = object(r#"{"n": 7}"#);
            Some(Draft::recreate(space, &state, &seed))
        }
        Verb::Commit { edits, .. } => {
            let seed = Object::new().with("n", 1).with("body", bodies(edits[0].1));
            Some(Draft::recreate(space, &state, &seed))
        }
        Verb::Adopt => is_live.then(|| Draft::adopt(space, &state)),
        Verb::Remove { checked } => is_live.then(|| unchecked(Draft::remove(&state), *checked)),
        Verb::Import { versions, estimated } => {
            let doc = |n: u8| space.doc(&state.record, &Object::new().with("n", u64::from(n)).with("body", bodies(n)));
            let versions: Vec<_> = versions.iter().map(|(at, n)| (past(*at), n.map(doc))).collect();
            let mut draft = Draft::import(space, &state, &versions);
            let first = &mut draft.entries[0];
            first.estimated = *estimated && first.oid.is_some();
            Some(draft)
        }
        Verb::Redact => has_history.then(|| {
            let mut draft = Draft::of(&state).expecting(ExpectedLive::Unchecked);
            draft.entries.push(DraftEntry::new(Op::Redact, None, StoredDoc::None));
            draft
        }),
    }
}

fn by(mut draft: Draft, author: &str) -> Draft {
    for entry in &mut draft.entries {
        entry.author.id = author.to_owned();
        entry.git_shas = vec![format!("{author}abc"), "feed".to_owned()];
    }
    draft
}

async fn object_write(space: &Space, name: u8, verb: &ObjectVerb) -> ObjectWrite {
    let name = ["june", "july/é"][usize::from(name)];
    let there = space.store.objects("tag", Some(name)).await.expect("objects");
    let expected = there.first().map_or(ExpectedVersion::Absent, |object| ExpectedVersion::At(object.version));
    let key = ObjectKey { kind: "tag".to_owned(), name: name.to_owned() };
    match verb {
        ObjectVerb::Put(n) => ObjectWrite { key, expected, body: Some(bodies(*n)) },
        ObjectVerb::PutStale(n) => ObjectWrite { key, expected: ExpectedVersion::At(99), body: Some(bodies(*n)) },
        ObjectVerb::DeleteStale => ObjectWrite { key, expected: ExpectedVersion::At(99), body: None },
        ObjectVerb::Delete if there.is_empty() => ObjectWrite { key, expected, body: Some(bodies(0)) },
        ObjectVerb::Delete => ObjectWrite { key, expected, body: None },
    }
}

fn agrees(shape: Shape, steps: &[Step]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut pair = Pair::open(shape).await;
        // Two records are there and tracked, so that the first step meets something.
        for id in 0..2 {
            pair.raw(id, &Raw::Insert { active: true, n: i64::from(id) }).await;
        }
        let adopt = Plan { changes: vec![(0, Verb::Adopt), (1, Verb::Adopt)], object: None, off_ms: 0 };
        pair.take(&Step::Apply(adopt)).await;
        for step in steps {
            pair.take(step).await;
        }
    });
}

fn config() -> ProptestConfig {
    // `PROPTEST_CASES` makes it longer.
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(40);
    ProptestConfig { cases, max_shrink_iters: 400, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn sqlite_doc_agrees_with_memory(steps in prop::collection::vec(step(), 1..14)) {
        agrees(Shape::Doc, &steps);
    }

    #[test]
    fn sqlite_row_agrees_with_memory(steps in prop::collection::vec(step(), 1..14)) {
        agrees(Shape::Row, &steps);
    }
}
