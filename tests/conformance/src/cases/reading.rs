//! Reads: complete, in order, in one snapshot.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cfg_engine::adapter::{AdapterError, EntryQuery, ExpectedLive, Live, Order, Scope};
use cfg_engine::document::Object;
use cfg_engine::history::{CollectionName, EnvName, RecordKey, Seq};
use futures_util::StreamExt;

use crate::draft::Draft;
use crate::generated::instant;
use crate::space::{Space, live, object};
use crate::{Harness, Outcome, Table, require};

const MANY: usize = 2500;

/// Creates records through the tool, in batches.
async fn many(space: &Space, records: usize) -> Vec<RecordKey> {
    let keys: Vec<RecordKey> = (0..records).map(|n| space.record(&format!("r{n:05}"))).collect();
    for chunk in keys.chunks(500) {
        let seed = Object::new().with("n", 0);
        space.applied(chunk.iter().map(|record| Draft::create(space, record, &seed)).collect()).await;
    }
    keys
}

fn names(states: &[cfg_engine::adapter::RecordState]) -> Vec<String> {
    states.iter().map(|state| state.record.to_string()).collect()
}

pub(crate) async fn all_is_the_union_of_live_and_history(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::with(&h, vec![Table::new("agents"), Table::new("prompts")]).await;
    space.create("tracked", r#"{"n": 1}"#).await;
    space.raw_insert("untracked", r#"{"n": 1}"#).await;
    let lost = space.create("lost", r#"{"n": 1}"#).await;
    space.raw_delete(&lost).await;
    let gone = space.create("gone", r#"{"n": 1}"#).await;
    let state = space.state(&gone).await;
    space.applied(vec![Draft::remove(&state)]).await;
    let prompt = space.record_in(1, &"tracked".into());
    space.raw_insert_record(&prompt, &object(r#"{"n": 2}"#)).await;
    let states = space.states(&Scope::All(None)).await;
    assert_eq!(names(&states), ["agents:gone", "agents:lost", "agents:tracked", "agents:untracked", "prompts:tracked"]);
    let there = |n: usize| (matches!(states[n].live, Live::One(_)), states[n].head.is_some());
    assert_eq!(
        (0..5).map(there).collect::<Vec<_>>(),
        [(false, true), (false, true), (true, true), (true, false), (true, false)]
    );
    assert_eq!(states[0].head.as_ref().and_then(|h| h.head.oid), None);
    let one = space.states(&Scope::All(Some(prompt.collection.clone()))).await;
    assert_eq!(names(&one), ["prompts:tracked"]);
    Outcome::Passed
}

pub(crate) async fn named_records_come_back_whatever_they_are(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::with(&h, vec![Table::new("agents"), Table::new("prompts")]).await;
    space.create("b", r#"{"n": 1}"#).await;
    space.raw_insert("d", r#"{"n": 1}"#).await;
    let asked = vec![
        space.record_in(1, &"a".into()),
        space.record("d"),
        space.record("zz"),
        space.record("b"),
        space.record("d"),
    ];
    let states = space.states(&Scope::Records(asked)).await;
    assert_eq!(names(&states), ["agents:b", "agents:d", "agents:zz", "prompts:a"], "in order, each once");
    assert!(matches!(states[2].live, Live::Absent { outside_rule: 0 }));
    assert!(states[2].head.is_none());
    assert!(space.states(&Scope::Records(Vec::new())).await.is_empty());
    Outcome::Passed
}

pub(crate) async fn thousands_of_records_come_in_order(h: Arc<dyn Harness>) -> Outcome {
    require!(h, Transactions);
    let space = Space::open(&h).await;
    let keys = many(&space, MANY).await;
    let states = space.states(&Scope::All(None)).await;
    assert!(states.iter().map(|s| &s.record).eq(keys.iter()), "every record once, in order");
    assert!(states.iter().all(|s| live(s).oid.clone().ok() == s.head.as_ref().and_then(|h| h.head.oid)));
    let mut asked: Vec<RecordKey> = keys.iter().rev().step_by(2).cloned().collect();
    let states = space.states(&Scope::Records(asked.clone())).await;
    asked.reverse();
    assert!(states.iter().map(|s| &s.record).eq(asked.iter()), "half of them, in order");
    let addresses = space.addresses(&Scope::All(None)).await;
    assert!(addresses.iter().map(|a| &a.record).eq(keys.iter()));
    let entries = space.entries(&EntryQuery::new(space.env.clone(), Scope::All(None))).await;
    assert!(entries.iter().map(|e| &e.header.record).eq(keys.iter()));
    let at = cfg_engine::adapter::AsOf::Recorded(entries.last().expect("entries").header.recorded_at);
    assert!(space.as_of(&Scope::All(None), at).await.iter().map(|row| &row.entry.header.record).eq(keys.iter()));
    Outcome::Passed
}

pub(crate) async fn a_stream_is_one_snapshot(h: Arc<dyn Harness>) -> Outcome {
    require!(h, Transactions);
    let space = Space::open(&h).await;
    let keys = many(&space, MANY).await;
    let (first, last) = (&keys[0], &keys[MANY - 1]);
    let set = [space.state(first).await, space.state(last).await].map(|s| Draft::set(&space, &s, "n", 1)).to_vec();
    let batch = space.bind(set).await;
    let scope = Scope::All(None);
    let mut stream = space.store.records(&space.env, &scope);
    let mut seen = stream.next().await.expect("a chunk").expect("a read");
    // A writer must not have to wait for a reader that takes its time.
    let write = tokio::time::timeout(Duration::from_secs(20), space.store.apply(&batch)).await;
    write.expect("a write while a stream is open").expect("a batch");
    while let Some(chunk) = stream.next().await {
        seen.extend(chunk.expect("a read"));
    }
    assert_eq!(seen.len(), MANY);
    let n = |state: &cfg_engine::adapter::RecordState| live(state).value.get("n").and_then(|n| n.as_i64());
    assert_eq!(n(&seen[0]), n(&seen[MANY - 1]), "both ends of one read are of one moment");
    for state in [&seen[0], &seen[MANY - 1]] {
        assert_eq!(live(state).oid.clone().ok(), state.head.as_ref().and_then(|h| h.head.oid), "live and head too");
    }
    drop(stream);
    assert_eq!(n(&space.state(last).await), Some(1));
    Outcome::Passed
}

pub(crate) async fn a_stream_may_be_dropped(h: Arc<dyn Harness>) -> Outcome {
    require!(h, Transactions);
    let space = Space::open(&h).await;
    let keys = many(&space, 1500).await;
    let scope = Scope::All(None);
    for _ in 0..20 {
        let mut stream = space.store.records(&space.env, &scope);
        stream.next().await.expect("a chunk").expect("a read");
        drop(stream);
        drop(space.store.addresses(&space.env, &scope));
    }
    space.commit(&keys[0], "n", 1).await;
    assert_eq!(space.states(&scope).await.len(), 1500);
    Outcome::Passed
}

pub(crate) async fn live_and_head_are_of_one_moment(h: Arc<dyn Harness>) -> Outcome {
    let space = Arc::new(Space::open(&h).await);
    let record = space.create("planner", r#"{"n": 0}"#).await;
    let done = Arc::new(AtomicBool::new(false));
    let writer = {
        let (space, record, done) = (Arc::clone(&space), record.clone(), Arc::clone(&done));
        tokio::spawn(async move {
            for n in 1..=60 {
                space.commit(&record, "n", n).await;
                tokio::task::yield_now().await;
            }
            done.store(true, Ordering::SeqCst);
        })
    };
    let mut reads = 0;
    while !done.load(Ordering::SeqCst) || reads < 10 {
        let state = space.state(&record).await;
        let of_live = live(&state).oid.clone().ok();
        assert_eq!(of_live, state.head.as_ref().and_then(|h| h.head.oid), "live of one moment, head of another");
        let entries = space.history(&record).await;
        let seqs: Vec<u64> = entries.iter().map(|e| e.header.seq.0).collect();
        assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>(), "a torn history");
        let open = entries.iter().filter(|e| e.valid_to.is_none()).count();
        assert_eq!(open, 1, "one entry of a moment is open");
        reads += 1;
        if writer.is_finished() {
            break;
        }
        tokio::task::yield_now().await;
    }
    writer.await.expect("the writer");
    assert_eq!(space.assert_sound(&record).await.len(), 61);
    Outcome::Passed
}

pub(crate) async fn envs_have_histories_of_their_own(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let record = space.create("planner", r#"{"n": 1}"#).await;
    let other_env = EnvName::new("prod").expect("a name");
    let mut elsewhere = record.clone();
    elsewhere.env = other_env.clone();
    assert!(space.addresses(&Scope::Records(vec![elsewhere.clone()])).await.is_empty());
    let scope = Scope::All(None);
    let states = crate::space::collect(space.store.records(&other_env, &scope)).await;
    assert_eq!(states.len(), 1, "the live table is there for both");
    assert_eq!(states[0].record, elsewhere);
    assert!(states[0].head.is_none(), "and the history is not");
    space.applied(vec![Draft::adopt(&space, &states[0])]).await;
    assert_eq!(space.assert_sound(&record).await.len(), 1);
    assert_eq!(space.history(&elsewhere).await.len(), 1);
    assert_eq!(space.addresses(&Scope::All(None)).await.len(), 1);
    let mut query = EntryQuery::new(other_env, Scope::All(None));
    assert_eq!(space.entries(&query).await.len(), 1);
    query.env = EnvName::new("nowhere").expect("a name");
    assert!(space.entries(&query).await.is_empty());
    Outcome::Passed
}

pub(crate) async fn collections_of_one_name_part_do_not_mix(h: Arc<dyn Harness>) -> Outcome {
    let names = ["a", "a.b", "ab", "A"];
    let tables = names.iter().enumerate().map(|(n, name)| {
        let mut table = Table::new(name);
        table.config.table = format!("table_{n}");
        table
    });
    let space = Space::with(&h, tables.collect()).await;
    for n in 0..names.len() {
        let record = space.record_in(n, &"x".into());
        space.applied(vec![Draft::create(&space, &record, &Object::new().with("n", n))]).await;
    }
    let found: Vec<String> = space.states(&Scope::All(None)).await.iter().map(|s| s.record.to_string()).collect();
    assert_eq!(found, ["A:x", "a:x", "a.b:x", "ab:x"]);
    for (n, name) in names.iter().enumerate() {
        let scope = Scope::All(Some(CollectionName::new(name).expect("a name")));
        let states = space.states(&scope).await;
        assert_eq!(states.len(), 1);
        assert_eq!(live(&states[0]).value.get("n").and_then(|v| v.as_i64()), Some(n as i64));
        assert_eq!(space.addresses(&scope).await.len(), 1);
    }
    Outcome::Passed
}

/// Ten entries: five on `a` by ana, five on `b`, of which one by bo, in turns, each in a batch of its own and
/// at an instant of its own.
async fn journal(space: &Space) -> (RecordKey, RecordKey) {
    let (a, b) = (space.record("a"), space.record("b"));
    let mut last = space.now().await;
    for n in 0..5 {
        for record in [&a, &b] {
            let state = space.state(record).await;
            let draft = match n {
                0 => Draft::create(space, record, &Object::new().with("n", 0)),
                _ => Draft::set(space, &state, "n", n).with(|entry| {
                    if n == 2 && record == &b {
                        entry.author.id = "bo".to_owned();
                    }
                    entry.git_shas = vec![format!("abc{n}00"), "fed".to_owned()];
                }),
            };
            last = space.now().await.max(last.plus_millis(1));
            let batch = space.bind_at(vec![draft], last).await;
            space.store.apply(&batch).await.expect("an entry of the journal");
        }
    }
    (a, b)
}

async fn found(space: &Space, query: &EntryQuery) -> Vec<String> {
    space.entries(query).await.iter().map(cfg_engine::history::Entry::address).collect()
}

pub(crate) async fn entries_by_order_and_limit(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let (_, b) = journal(&space).await;
    let mut query = EntryQuery::new(space.env.clone(), Scope::All(None));
    assert_eq!(found(&space, &query).await, ["a@1", "a@2", "a@3", "a@4", "a@5", "b@1", "b@2", "b@3", "b@4", "b@5"]);
    query.limit = Some(6);
    assert_eq!(found(&space, &query).await, ["a@1", "a@2", "a@3", "a@4", "a@5", "b@1"]);
    query.order = Order::NewestFirst;
    assert_eq!(found(&space, &query).await, ["a@5", "a@4", "a@3", "a@2", "a@1", "b@5"]);
    query.scope = Scope::Records(vec![b]);
    query.limit = Some(2);
    assert_eq!(found(&space, &query).await, ["b@5", "b@4"]);
    query.limit = Some(0);
    assert!(found(&space, &query).await.is_empty());
    query.limit = Some(u64::MAX);
    assert_eq!(found(&space, &query).await.len(), 5);
    Outcome::Passed
}

pub(crate) async fn entries_across_records(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    journal(&space).await;
    let mut query = EntryQuery::new(space.env.clone(), Scope::All(None));
    query.across = true;
    query.limit = Some(4);
    assert_eq!(found(&space, &query).await, ["b@5", "a@5", "b@4", "a@4"]);
    query.author = Some("bo".to_owned());
    assert_eq!(found(&space, &query).await, ["b@3"]);
    // Of one instant: by record, then the highest seq first.
    let mut drafts = Vec::new();
    for id in ["b", "a"] {
        let record = space.record(id);
        let state = space.state(&record).await;
        let old = space.doc(&record, &object(r#"{"n": -1}"#));
        let versions = [(instant(1), Some(old.clone())), (instant(2), Some(old))];
        drafts.push(Draft::import(&space, &state, &versions));
    }
    if h.has(crate::Need::Transactions) {
        space.applied(drafts).await;
        query.author = None;
        query.limit = Some(5);
        assert_eq!(found(&space, &query).await, ["a@7", "a@6", "b@7", "b@6", "b@5"]);
    }
    Outcome::Passed
}

pub(crate) async fn entries_by_seq_author_and_sha(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let (a, b) = journal(&space).await;
    let mut query = EntryQuery::new(space.env.clone(), Scope::Records(vec![b, a]));
    query.seqs = vec![Seq(5), Seq(2), Seq(99)];
    assert_eq!(found(&space, &query).await, ["a@2", "a@5", "b@2", "b@5"]);
    query.seqs.clear();
    query.author = Some("bo".to_owned());
    assert_eq!(found(&space, &query).await, ["b@3"]);
    query.author = Some("b".to_owned());
    assert!(found(&space, &query).await.is_empty(), "the whole id, not a part");
    query.author = None;
    query.git_sha = Some("abc300".to_owned());
    assert_eq!(found(&space, &query).await, ["a@4", "b@4"]);
    query.git_sha = Some("abc".to_owned());
    assert_eq!(found(&space, &query).await.len(), 8, "a sha may be shortened");
    query.git_sha = Some("bc3".to_owned());
    assert!(found(&space, &query).await.is_empty(), "and starts where it starts");
    for odd in ["%", "_", "a%", "\"", "'", ".*", "[\"abc"] {
        query.git_sha = Some(odd.to_owned());
        assert!(found(&space, &query).await.is_empty(), "{odd} is no pattern");
    }
    Outcome::Passed
}

pub(crate) async fn entries_by_time(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let (a, _) = journal(&space).await;
    let times: Vec<_> = space.history(&a).await.iter().map(|e| e.header.recorded_at).collect();
    let mut query = EntryQuery::new(space.env.clone(), Scope::Records(vec![a]));
    query.since = Some(times[1]);
    query.until = Some(times[3]);
    assert_eq!(found(&space, &query).await, ["a@2", "a@3", "a@4"], "both ends are in");
    query.since = Some(times[1].plus_millis(1));
    query.until = Some(times[3].plus_millis(-1));
    assert_eq!(found(&space, &query).await, ["a@3"]);
    query.since = None;
    query.until = Some(times[0].plus_millis(-1));
    assert!(found(&space, &query).await.is_empty());
    Outcome::Passed
}

pub(crate) async fn addresses_say_what_entries_say(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let mut random = crate::generated::Random::new(9);
    for id in ["b", "a"] {
        crate::generated::history(&space, &space.record(id), &mut random, 5).await;
    }
    let entries = space.entries(&EntryQuery::new(space.env.clone(), Scope::All(None))).await;
    let addresses = space.addresses(&Scope::All(None)).await;
    assert_eq!(entries.len(), addresses.len());
    for (entry, address) in entries.iter().zip(&addresses) {
        let header = &entry.header;
        assert_eq!((&address.record, address.seq, address.oid), (&header.record, header.seq, header.oid));
        assert_eq!((address.entry_id, address.recorded_at), (entry.entry_id, header.recorded_at));
        assert_eq!(
            (address.valid_from, address.valid_from_estimated),
            (header.valid_from, header.valid_from_estimated)
        );
        assert_eq!(address.in_valid_order, header.op != cfg_engine::history::Op::Redact);
    }
    Outcome::Passed
}

pub(crate) async fn an_unhashable_document_harms_nobody_else(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let good = space.create("good", r#"{"n": 1}"#).await;
    // Two keys that are equal after normalization: JSON holds them, canonical form does not.
    space.raw_insert("bad", "{\"body\": {\"caf\u{e9}\": 1, \"cafe\u{301}\": 2}}").await;
    let states = space.states(&Scope::All(None)).await;
    assert_eq!(names(&states), ["agents:bad", "agents:good"]);
    assert!(live(&states[0]).oid.is_err());
    assert!(live(&states[1]).oid.is_ok());
    space.commit(&good, "n", 2).await;
    Outcome::Passed
}

pub(crate) async fn history_of_what_is_not_there_is_empty(h: Arc<dyn Harness>) -> Outcome {
    let space = Space::open(&h).await;
    let unknown = Scope::All(Some(CollectionName::new("unknown").expect("a name")));
    assert!(space.addresses(&unknown).await.is_empty());
    assert!(space.entries(&EntryQuery::new(space.env.clone(), unknown.clone())).await.is_empty());
    assert!(space.as_of(&unknown, cfg_engine::adapter::AsOf::Valid(instant(1))).await.is_empty());
    let first = space.store.records(&space.env, &unknown).next().await;
    assert!(matches!(first, Some(Err(AdapterError::Setup { .. }))), "{first:?}");
    Outcome::Passed
}

pub(crate) async fn many_readers_and_writers(h: Arc<dyn Harness>) -> Outcome {
    let space = Arc::new(Space::open(&h).await);
    let mut records = Vec::new();
    for n in 0..4 {
        records.push(space.create(&format!("r{n}"), r#"{"n": 0}"#).await);
    }
    let mut tasks = Vec::new();
    for record in &records {
        let (space, record) = (Arc::clone(&space), record.clone());
        tasks.push(tokio::spawn(async move {
            for n in 1..=10 {
                loop {
                    let state = space.state(&record).await;
                    let draft = Draft::set(&space, &state, "n", n).expecting(ExpectedLive::Unchecked);
                    match space.apply(vec![draft]).await {
                        Ok(_) => break,
                        Err(error) if crate::space::stale(&error) => {}
                        Err(error) => panic!("a writer: {error}"),
                    }
                }
            }
        }));
    }
    for _ in 0..4 {
        let space = Arc::clone(&space);
        tasks.push(tokio::spawn(async move {
            for _ in 0..10 {
                let states = space.states(&Scope::All(None)).await;
                let ids: BTreeSet<_> = states.iter().map(|s| s.record.clone()).collect();
                assert_eq!(ids.len(), 4);
                assert_eq!(space.store.objects("tag", None).await.map(|o| o.len()).ok(), Some(0));
            }
        }));
    }
    for task in tasks {
        task.await.expect("a task");
    }
    for record in &records {
        assert_eq!(space.assert_sound(record).await.len(), 11);
        assert_eq!(space.raw_field(record, "n").await.as_i64(), Some(10));
    }
    Outcome::Passed
}
