//! What `fsck` checks of tags: that what they name is there and is what it was.

use std::collections::{BTreeMap, HashMap};

use futures_util::TryStreamExt;

use super::fsck::{Finding, FsckReport};
use super::manifest::{TAG, Tag, Tagged};
use super::project::Project;
use crate::adapter::{AdapterError, Scope};
use crate::document::EntryId;
use crate::error::Error;
use crate::history::{RecordKey, Seq};

/// At most so many lost versions of one tag are named.
const NAMED: usize = 20;

impl Project {
    /// Checks every tag against its manifest, and every manifest against the entries.
    ///
    /// A tag is an anchor: whoever drops the newest entries of a record together with its head is found out
    /// by a tag of them.
    pub(super) async fn check_objects(&self, report: &mut FsckReport) -> Result<(), Error> {
        let stored = self.adapter.objects(TAG, None).await?;
        let mut manifests: BTreeMap<String, (String, Vec<Tagged>)> = BTreeMap::new();
        for object in &stored {
            let (name, tag) = match Tag::read(object, &self.settings.env) {
                None => continue,
                Some(Ok(tag)) => (format!("tag {}", tag.name), tag),
                Some(Err(error)) => {
                    report.findings.push(of_object("tag", None, error.to_string()));
                    continue;
                }
            };
            if manifests.contains_key(&tag.manifest) {
                continue;
            }
            match self.tagged(&tag, None).await {
                Ok(rows) if rows.len() as u64 == tag.records => drop(manifests.insert(tag.manifest, (name, rows))),
                Ok(rows) => {
                    let problem = format!("it says {} records, and its manifest has {}", tag.records, rows.len());
                    report.findings.push(of_object(&name, None, problem));
                }
                Err(Error::Storage(AdapterError::Damaged { problem })) => {
                    report.findings.push(of_object(&name, None, problem));
                }
                Err(error) => return Err(error),
            }
        }
        if manifests.is_empty() {
            return Ok(());
        }
        let mut wanted: HashMap<(RecordKey, Seq), Option<EntryId>> = HashMap::new();
        for row in manifests.values().flat_map(|(_, rows)| rows) {
            wanted.insert((row.record.clone(), row.seq), None);
        }
        let scope = Scope::All(None);
        let mut chunks = self.adapter.addresses(&self.settings.env, &scope);
        loop {
            match chunks.try_next().await {
                Ok(None) => break,
                Ok(Some(chunk)) => {
                    for address in chunk {
                        if let Some(found) = wanted.get_mut(&(address.record, address.seq)) {
                            *found = Some(address.entry_id);
                        }
                    }
                }
                // Entries that cannot be read were found before; without them nothing can be said of tags.
                Err(AdapterError::Damaged { .. } | AdapterError::Storage { .. }) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        for (name, rows) in manifests.values() {
            let found = |row: &Tagged| wanted.get(&(row.record.clone(), row.seq)).copied().flatten();
            let lost = rows.iter().filter(|row| found(row) != Some(row.entry_id));
            // History of a collection that is not configured is not read.
            let lost = lost.filter(|row| self.collections().iter().any(|c| c.name == row.record.collection));
            for row in lost.take(NAMED) {
                let what = if found(row).is_some() { "is another entry by now" } else { "is gone" };
                let mut finding =
                    of_object(name, Some(row.record.clone()), format!("the version that it means {what}"));
                finding.seq = Some(row.seq);
                report.findings.push(finding);
            }
        }
        Ok(())
    }
}

fn of_object(name: &str, record: Option<RecordKey>, problem: String) -> Finding {
    Finding { record, object: Some(name.to_owned()), seq: None, code: "tag", problem, repair: None, repaired: false }
}
