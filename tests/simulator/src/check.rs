//! What must hold, whatever happened: after every commit of a transaction, and in the end.

use std::collections::BTreeSet;

use cfg_engine::Value;
use cfg_engine::adapter::{Batch, Change, LiveWrite};
use cfg_engine::document::Oid;
use cfg_engine::history::{Op, Span, head, interval_ends};

use crate::apply::number;
use crate::state::{State, StoredEntry, layout};

/// Fields that no verb here has any business with.
const UNTOUCHED: [&str; 3] = ["hits", "old_model", "token"];

/// The message of a change that goes on over a stale base.
pub(crate) const FORCED: &str = "forced";

/// Checks one transaction: what was there, what is there, and what it decided on.
pub(crate) fn transaction(before: &State, after: &State, seen: &State, batch: &Batch) -> Vec<String> {
    let mut found = Vec::new();
    for change in batch.changes() {
        let record = number(change);
        let mut say = |what: String| found.push(format!("record {record}, batch {}: {what}", batch.op_id()));
        one_change(before, after, seen, change, &mut say);
        history(after, record, &mut say);
    }
    found
}

fn contents(state: &State, record: u8) -> BTreeSet<Option<Oid>> {
    state.entries_of(record).map(|entry| entry.header.oid).collect()
}

fn one_change(before: &State, after: &State, seen: &State, change: &Change, say: &mut dyn FnMut(String)) {
    let record = number(change);
    let old: Vec<&StoredEntry> = before.entries_of(record).map(|entry| &**entry).collect();
    let new: Vec<&StoredEntry> = after.entries_of(record).map(|entry| &**entry).collect();
    // Nothing is lost, and nothing is there but what the batch says.
    if new.len() != old.len() + change.entries.len() {
        say(format!("{} entries, {} were written, and now there are {}", old.len(), change.entries.len(), new.len()));
    }
    if old.iter().zip(&new).any(|(old, new)| old.entry_id != new.entry_id || old.doc != new.doc) {
        say("an entry was changed".to_owned());
    }
    if !change.entries.is_empty() && before.head(record).map(|h| h.tip) != expected_tip(change) {
        say("it was planned on another tip".to_owned());
    }
    if change.entries.iter().any(|entry| entry.header.op == Op::Force && entry.message != FORCED) {
        say("it went on over a write around the tool, and nobody forced it".to_owned());
    }
    // A commit says what its author had seen.
    if let [only] = change.entries.as_slice()
        && let (Op::Commit | Op::Delete, Some(base)) = (only.header.op, &only.header.base)
        && only.message != FORCED
        && before.head(record).is_none_or(|head| !base.contains(&head.head.entry_id))
    {
        say("its author had seen another version".to_owned());
    }
    // Whatever was written over is in history.
    let there = contents(after, record);
    for (key, row) in before.rows_of(record).live {
        let is_gone = match after.datum(&key) {
            Some(crate::state::Datum::Row(now)) => now.content() != row.content(),
            _ => true,
        };
        if is_gone && !there.contains(&row.content()) {
            say("it wrote over content that is nowhere in history".to_owned());
        }
        if let (Some(crate::state::Datum::Row(now)), LiveWrite::Update(_)) = (after.datum(&key), &change.live)
            && UNTOUCHED.iter().any(|field| now.value.get(field) != row.value.get(field))
        {
            say("it changed a field that is not versioned".to_owned());
        }
    }
    let outside = before.rows_of(record).outside;
    if !matches!(change.live, LiveWrite::Activate { .. })
        && outside.iter().any(
            |(key, row)| !matches!(after.datum(key), Some(crate::state::Datum::Row(now)) if now.value == row.value),
        )
    {
        say("it changed a row that is not live".to_owned());
    }
    live_is_head(after, seen, change, say);
    for entry in &new[old.len().min(new.len())..] {
        if entry.doc.as_ref().is_some_and(|doc| doc.get("token").is_some_and(|token| !token.is_null())) {
            say("a secret is in history".to_owned());
        }
    }
}

fn expected_tip(change: &Change) -> Option<cfg_engine::adapter::TipRef> {
    match change.expected_head {
        cfg_engine::adapter::ExpectedHead::At { tip, .. } | cfg_engine::adapter::ExpectedHead::Lost { tip } => {
            Some(tip)
        }
        cfg_engine::adapter::ExpectedHead::Absent => None,
    }
}

/// After a change of live, live is what HEAD says; an adoption records what was live when it looked.
fn live_is_head(after: &State, seen: &State, change: &Change, say: &mut dyn FnMut(String)) {
    let record = number(change);
    let (Some(last), Some(head)) = (change.entries.last(), after.head(record)) else { return };
    let loaded = last.header.op == Op::Import && !last.header.valid_from_estimated;
    if loaded || head.head.seq != last.header.seq {
        return;
    }
    let rows = match change.live {
        LiveWrite::Leave => seen.rows_of(record).live,
        _ => after.rows_of(record).live,
    };
    let live: Vec<Option<Oid>> = rows.iter().map(|(_, row)| row.content()).collect();
    let fits = match (live.as_slice(), head.head.oid) {
        ([], None) => true,
        ([one], Some(oid)) => *one == Some(oid),
        // Somebody made a second row beside it.
        ([_, _, ..], _) => !matches!(change.live, LiveWrite::Leave),
        ([_], None) => !matches!(change.live, LiveWrite::Leave),
        _ => false,
    };
    if !fits {
        say(format!("{} rows are live and not what HEAD says", live.len()));
    }
}

/// Checks one record's history: the chain, the times, the ends, HEAD and tip.
pub(crate) fn history(state: &State, record: u8, say: &mut dyn FnMut(String)) {
    let entries: Vec<&StoredEntry> = state.entries_of(record).map(|entry| &**entry).collect();
    let mut prev: Option<&StoredEntry> = None;
    for (n, entry) in entries.iter().enumerate() {
        let header = &entry.header;
        if header.seq.0 != n as u64 + 1 {
            say(format!("entry {} stands at place {}", header.seq, n + 1));
        }
        if header.prev_entry_id != prev.map(|prev| prev.entry_id) {
            say(format!("entry {} is no link of the chain", header.seq));
        }
        let later = prev.is_none_or(|prev| match header.op_id == prev.header.op_id {
            true => header.recorded_at == prev.header.recorded_at,
            false => header.recorded_at > prev.header.recorded_at,
        });
        if !later {
            say(format!("entry {} is not later than the one before", header.seq));
        }
        prev = Some(entry);
    }
    let spans: Vec<Span> = entries.iter().map(|entry| entry.span()).collect();
    for (entry, ends) in entries.iter().zip(interval_ends(&spans)) {
        if entry.ends != ends {
            let all: Vec<String> = (entries.iter())
                .map(|e| {
                    let (h, ends) = (&e.header, e.ends);
                    let [r, v] = [h.recorded_at, h.valid_from].map(|t| t.as_millis() % 10_000_000);
                    let [to, sup] = [ends.valid_to, ends.superseded_at].map(|t| t.as_millis() % 10_000_000);
                    format!("{} {} recorded {r} valid {v}..{to} superseded {sup}", h.seq, h.op)
                })
                .collect();
            say(format!("the ends of entry {} are not what the rules say: {all:?}", entry.header.seq));
        }
    }
    let stored = state.head(record);
    let right = match (stored, head(&spans), entries.last()) {
        (None, None, None) => true,
        (Some(stored), Some(seq), Some(last)) => {
            let named = entries.iter().find(|entry| entry.header.seq == seq);
            named.is_some_and(|named| {
                stored.head.seq == seq
                    && stored.head.oid == named.header.oid
                    && stored.head.entry_id == named.entry_id
                    && stored.recorded_at == named.header.recorded_at
            }) && stored.tip.seq == last.header.seq
                && stored.tip.entry_id == last.entry_id
                && stored.tip.recorded_at == last.header.recorded_at
        }
        _ => false,
    };
    if !right {
        say("HEAD and tip are not what the entries say".to_owned());
    }
}

/// The word that a commit alone wrote, where a document has one.
pub(crate) fn word_of(doc: Option<&Value>) -> Option<u64> {
    doc?.get("who")?.as_i64().and_then(|word| u64::try_from(word).ok())
}

/// Checks, when everything has come to rest, what callers were told.
pub(crate) fn ledger(state: &State, ledger: &crate::ledger::Ledger, announced: bool) -> Vec<String> {
    let mut found = Vec::new();
    let layout = layout();
    for (word, commit) in &ledger.commits {
        let times: Vec<usize> = commit
            .records
            .iter()
            .map(|record| {
                let made = |entry: &&std::sync::Arc<StoredEntry>| {
                    entry.header.op == Op::Commit
                        && !entry.header.meta.contains_key("undone")
                        && !entry.header.meta.contains_key("activated_from")
                        && word_of(entry.doc.as_deref()) == Some(*word)
                };
                state.entries_of(*record).filter(made).count()
            })
            .collect();
        let right = match commit.acknowledged {
            true => times.iter().all(|times| *times == 1),
            false => times.iter().all(|times| *times == 1) || times.iter().all(|times| *times == 0),
        };
        if !right {
            let told = if commit.acknowledged { "acknowledged" } else { "not acknowledged" };
            let of_record = |record: &u8| -> Vec<String> {
                let words = |e: &std::sync::Arc<StoredEntry>| {
                    format!("{} {} {:?} {:?}", e.header.seq, e.header.op, word_of(e.doc.as_deref()), e.header.op_id)
                };
                state.entries_of(*record).map(words).collect()
            };
            let there: Vec<Vec<String>> = commit.records.iter().map(of_record).collect();
            found.push(format!(
                "commit {word} of {:?} was {told} and is there {times:?} times: {there:?}",
                commit.records
            ));
        }
    }
    for (word, record, base) in &ledger.bases {
        let is_it = |entry: &&&std::sync::Arc<StoredEntry>| {
            entry.header.op == Op::Commit && word_of(entry.doc.as_deref()) == Some(*word)
        };
        let entries: Vec<_> = state.entries_of(*record).collect();
        let Some(made) = entries.iter().find(is_it) else { continue };
        // What was HEAD just before it: of what was written before, the greatest in valid order.
        let before: Vec<Span> = (entries.iter())
            .filter(|entry| entry.header.seq < made.header.seq && entry.header.op_id != made.header.op_id)
            .map(|entry| entry.span())
            .collect();
        if head(&before) != *base {
            found.push(format!(
                "commit {word} of record {record}: its author had seen {base:?}, it came on {:?}",
                head(&before)
            ));
        }
    }
    for (record, seq, entry_id) in &ledger.written {
        if state.entry(*record, *seq).is_none_or(|entry| entry.entry_id != *entry_id) {
            found.push(format!("entry {seq} of record {record} was reported and is not there"));
        }
    }
    for (record, content) in &ledger.replaced {
        if !contents(state, *record).contains(&Some(*content)) {
            found.push(format!("record {record}: content was written over and is nowhere in history"));
        }
    }
    for record in 0..layout.records.len() as u8 {
        history(state, record, &mut |what| found.push(format!("in the end, record {record}: {what}")));
    }
    let _ = announced;
    found
}
