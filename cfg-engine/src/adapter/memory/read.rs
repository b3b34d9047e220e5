//! Reads: each under one lock, each computed from nothing but what is stored.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::MemoryAdapter;
use super::live;
use super::store::{Store, StoredEntry};
use crate::adapter::{
    AdapterError, AsOf, AsOfRow, Digested, EntryAddress, EntryQuery, Live, Order, RecordState, Scope,
};
use crate::config::CollectionConfig;
use crate::history::{Entry, EnvName, RecordKey, Seq, Span, Timestamp, as_of_both};

impl MemoryAdapter {
    pub(super) fn read_records(&self, env: &EnvName, scope: &Scope) -> Result<Vec<RecordState>, AdapterError> {
        let store = self.lock();
        let clock = self.clock.read();
        let mut states = Vec::new();
        for (collection, asked) in self.scoped(scope)? {
            let rows = live::by_id(collection, store.live.get(&collection.table));
            let of_live = rows.iter().filter(|(_, rows)| !rows.live.is_empty()).map(|(id, _)| RecordKey {
                env: env.clone(),
                collection: collection.name.clone(),
                id: id.clone(),
            });
            let of_history = store.heads.keys().filter(|r| r.env == *env && r.collection == collection.name).cloned();
            let counted = asked.is_some();
            for record in asked.unwrap_or_else(|| of_live.chain(of_history).collect()) {
                let mut live = rows.get(&record.id).map_or(Live::Absent { outside_rule: 0 }, |r| r.state(collection));
                if !counted && let Live::Absent { outside_rule } = &mut live {
                    *outside_rule = 0;
                }
                let head = store.heads.get(&record).cloned();
                states.push(RecordState { record, live, head, clock });
            }
        }
        states.sort_by(|a, b| a.record.cmp(&b.record));
        Ok(states)
    }

    /// As `read_records`, with the rows that belong to no record.
    pub(super) fn read_digests(&self, env: &EnvName, scope: &Scope) -> Result<Vec<Digested>, AdapterError> {
        let states = self.read_records(env, scope)?;
        let mut digested: Vec<Digested> =
            states.into_iter().map(|state| Digested::Record(RecordState::from(state))).collect();
        let store = self.lock();
        for (collection, _) in self.scoped(scope)?.into_iter().filter(|(_, asked)| asked.is_none()) {
            digested.extend(live::strays(collection, store.live.get(&collection.table)).map(Digested::Strays));
        }
        Ok(digested)
    }

    /// Returns the collections of a scope, and which of their records are asked for by name.
    #[expect(clippy::type_complexity, reason = "a pair that only its one caller sees")]
    fn scoped(&self, scope: &Scope) -> Result<Vec<(&CollectionConfig, Option<BTreeSet<RecordKey>>)>, AdapterError> {
        match scope {
            Scope::All(None) => Ok(self.collections.iter().map(|c| (c, None)).collect()),
            Scope::All(Some(name)) => Ok(vec![(self.collection(name)?, None)]),
            Scope::Records(records) => {
                let mut asked: BTreeMap<_, BTreeSet<RecordKey>> = BTreeMap::new();
                for record in records {
                    asked.entry(&record.collection).or_default().insert(record.clone());
                }
                asked.into_iter().map(|(name, records)| Ok((self.collection(name)?, Some(records)))).collect()
            }
        }
    }

    /// Returns the history of each record of a scope, by record key.
    fn histories<'s>(
        &self,
        store: &'s Store,
        env: &EnvName,
        scope: &Scope,
    ) -> Vec<(&'s RecordKey, &'s BTreeMap<Seq, StoredEntry>)> {
        let wanted = |record: &RecordKey| match scope {
            Scope::All(None) => record.env == *env && self.collections.iter().any(|c| c.name == record.collection),
            Scope::All(Some(name)) => record.env == *env && record.collection == *name,
            Scope::Records(records) => records.contains(record),
        };
        store.history.iter().filter(|(record, _)| wanted(record)).collect()
    }

    pub(super) fn read_entries(&self, query: &EntryQuery) -> Vec<Entry> {
        let store = self.lock();
        let mut found: Vec<&StoredEntry> = Vec::new();
        for (_, entries) in self.histories(&store, &query.env, &query.scope) {
            let wanted = entries.values().filter(|entry| fits(query, entry));
            match query.order {
                Order::OldestFirst => found.extend(wanted),
                Order::NewestFirst => found.extend(wanted.rev()),
            }
        }
        if query.across {
            found.sort_by(|a, b| {
                let key =
                    |e: &StoredEntry| (Reverse(e.header.recorded_at), e.header.record.clone(), Reverse(e.header.seq));
                key(a).cmp(&key(b))
            });
        }
        let limit = query.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        found.into_iter().take(limit).map(|entry| entry.to_entry(query.detail)).collect()
    }

    pub(super) fn read_addresses(&self, env: &EnvName, scope: &Scope) -> Vec<EntryAddress> {
        let store = self.lock();
        let histories = self.histories(&store, env, scope);
        histories.into_iter().flat_map(|(_, entries)| entries.values().map(StoredEntry::to_address)).collect()
    }

    pub(super) fn read_as_of<T>(
        &self,
        env: &EnvName,
        scope: &Scope,
        at: AsOf,
        show: impl Fn(&StoredEntry) -> T,
    ) -> Vec<AsOfRow<T>> {
        let store = self.lock();
        let picked = self.histories(&store, env, scope).into_iter().filter_map(|(_, entries)| pick(entries, at));
        picked.map(|(entry, estimated_before_import)| AsOfRow { entry: show(entry), estimated_before_import }).collect()
    }
}

fn fits(query: &EntryQuery, entry: &StoredEntry) -> bool {
    let header = &entry.header;
    (query.seqs.is_empty() || query.seqs.contains(&header.seq))
        && query.op_id.as_ref().is_none_or(|op_id| header.op_id == *op_id)
        && query.since.is_none_or(|since| header.recorded_at >= since)
        && query.until.is_none_or(|until| header.recorded_at <= until)
        && query.author.as_ref().is_none_or(|author| header.author.id == *author)
        && query.git_sha.as_ref().is_none_or(|sha| entry.git_shas.iter().any(|own| own.starts_with(sha.as_str())))
}

/// Picks the entry that an as-of question means, and says whether the question lies before it.
///
/// All three questions are one: among the entries known by then, the greatest in valid order whose
/// content was live by then.
fn pick(entries: &BTreeMap<Seq, StoredEntry>, at: AsOf) -> Option<(&StoredEntry, bool)> {
    let (recorded, valid) = match at {
        AsOf::Valid(valid) => (Timestamp::OPEN, valid),
        AsOf::Recorded(recorded) => (recorded, Timestamp::OPEN),
        AsOf::Both { recorded, valid } => (recorded, valid),
    };
    let spans: Vec<Span> = entries.values().map(StoredEntry::span).collect();
    let document = |seq| entries.get(&seq).filter(|entry| !entry.header.is_tombstone());
    if let Some(seq) = as_of_both(&spans, recorded, valid) {
        return document(seq).map(|entry| (entry, false));
    }
    let known = spans.iter().filter(|span| span.in_valid_order && span.recorded_at <= recorded);
    let baseline = known.min_by_key(|span| span.order())?;
    document(baseline.seq).filter(|entry| entry.header.valid_from_estimated).map(|entry| (entry, true))
}
