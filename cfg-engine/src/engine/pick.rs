//! Reads single versions of many records in few queries.

use std::collections::{BTreeSet, HashMap};

use futures_util::TryStreamExt;

use super::project::Project;
use crate::adapter::{Detail, EntryQuery, Scope};
use crate::error::Error;
use crate::history::{Entry, RecordKey, Seq};

/// A query asks for so many pairs of record and version at the most: all its versions of all its records.
const PAIRS: usize = 2000;
const RECORDS: usize = 1000;

impl Project {
    /// Reads one version of each of these records. What is not there is not in the answer.
    pub(crate) async fn pick(
        &self,
        versions: impl IntoIterator<Item = (RecordKey, Seq)>,
        detail: Detail,
    ) -> Result<HashMap<RecordKey, Entry>, Error> {
        let mut versions: Vec<(Seq, RecordKey)> = versions.into_iter().map(|(record, seq)| (seq, record)).collect();
        // By number: then records of one query ask for nearly the same ones.
        versions.sort();
        let mut found = HashMap::with_capacity(versions.len());
        let mut rest = versions.as_slice();
        while !rest.is_empty() {
            let (now, later) = rest.split_at(width(rest));
            rest = later;
            let wanted: HashMap<&RecordKey, Seq> = now.iter().map(|(seq, record)| (record, *seq)).collect();
            let records = now.iter().map(|(_, record)| record.clone()).collect();
            let mut query = EntryQuery::new(self.settings.env.clone(), Scope::Records(records));
            query.seqs = now.iter().map(|(seq, _)| *seq).collect::<BTreeSet<_>>().into_iter().collect();
            query.detail = detail;
            let mut chunks = self.adapter.entries(&query);
            while let Some(chunk) = chunks.try_next().await? {
                let asked = chunk.into_iter().filter(|e| wanted.get(&e.header.record) == Some(&e.header.seq));
                found.extend(asked.map(|entry| (entry.header.record.clone(), entry)));
            }
        }
        Ok(found)
    }
}

/// Returns how many of these go into one query.
fn width(versions: &[(Seq, RecordKey)]) -> usize {
    let (mut taken, mut numbers, mut last) = (0, 0, None);
    for (seq, _) in versions.iter().take(RECORDS) {
        let more = numbers + usize::from(last != Some(*seq));
        if taken > 0 && more > 1 && more * (taken + 1) > PAIRS {
            break;
        }
        (taken, numbers, last) = (taken + 1, more, Some(*seq));
    }
    taken.max(1)
}
