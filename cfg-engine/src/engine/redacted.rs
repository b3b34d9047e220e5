//! Reading a version of which something was redacted: what is missing there, by whose word.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use futures_util::TryStreamExt;

use super::project::Project;
use crate::adapter::{EntryAddress, EntryQuery, Scope};
use crate::error::Error;
use crate::history::{DocState, Entry, RecordKey, Redacted, Redaction, Seq};

/// What redactions took, by version.
pub(crate) type RedactedVersions = HashMap<(RecordKey, Seq), Redacted>;

impl Project {
    /// Reads what redactions took from one version; nothing where its document is as it was written.
    ///
    /// # Errors
    ///
    /// Only where the store fails.
    pub async fn redacted_in(&self, entry: &Entry) -> Result<Redacted, Error> {
        let mut found = self.redacted_among([entry]).await?;
        Ok(found.remove(&(entry.header.record.clone(), entry.header.seq)).unwrap_or_default())
    }

    /// As [`redacted_in`](Self::redacted_in), for versions of many records: one read of the places of `redact`
    /// entries and one of what they say, and none at all where nothing was redacted.
    pub(crate) async fn redacted_among<'e>(
        &self,
        entries: impl IntoIterator<Item = &'e Entry>,
    ) -> Result<RedactedVersions, Error> {
        let redacted: Vec<&Entry> = entries.into_iter().filter(|e| e.doc_state == DocState::Redacted).collect();
        let records: BTreeSet<&RecordKey> = redacted.iter().map(|entry| &entry.header.record).collect();
        let redactions = self.redactions(records.into_iter().cloned().collect()).await?;
        let mut found = RedactedVersions::new();
        for entry in redacted {
            let (record, seq) = (&entry.header.record, entry.header.seq);
            let of_record = redactions.get(record).into_iter().flatten();
            let mut rules: Vec<String> = Vec::new();
            for path in of_record.filter(|r| r.stored.contains_key(&seq)).flat_map(|r| &r.paths) {
                if !rules.contains(path) {
                    rules.push(path.clone());
                }
            }
            let redacted = match &entry.doc {
                Some(doc) => Redacted::find(rules, doc),
                None => Redacted { rules, paths: Vec::new() },
            };
            found.insert((record.clone(), seq), redacted);
        }
        Ok(found)
    }

    /// Reads the redactions of some records, in the order in which they were made.
    pub(crate) async fn redactions(
        &self,
        records: Vec<RecordKey>,
    ) -> Result<BTreeMap<RecordKey, Vec<Redaction>>, Error> {
        let mut redactions: BTreeMap<RecordKey, Vec<Redaction>> = BTreeMap::new();
        if records.is_empty() {
            return Ok(redactions);
        }
        let mut query = EntryQuery::new(self.settings.env.clone(), Scope::Records(records));
        let addresses: Vec<EntryAddress> =
            self.adapter.addresses(&self.settings.env, &query.scope).try_concat().await?;
        // Only redactions stand outside valid order.
        query.seqs = addresses.iter().filter(|address| !address.in_valid_order).map(|address| address.seq).collect();
        query.seqs.sort_unstable();
        query.seqs.dedup();
        if query.seqs.is_empty() {
            return Ok(redactions);
        }
        let mut chunks = self.adapter.entries(&query);
        while let Some(chunk) = chunks.try_next().await? {
            for entry in chunk {
                if let Some(redaction) = Redaction::of(&entry) {
                    redactions.entry(entry.header.record).or_default().push(redaction);
                }
            }
        }
        Ok(redactions)
    }
}
