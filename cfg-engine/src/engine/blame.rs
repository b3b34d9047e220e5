//! `blame`: who last changed each field, when, why and in which version.

use std::collections::HashMap;

use futures_util::TryStreamExt;

use super::project::Project;
use super::restore::recorded_secrets;
use crate::adapter::{Detail, EntryAddress, EntryQuery, Scope};
use crate::document::{FieldPath, Object, Step, Value, same, secret_marker};
use crate::error::Error;
use crate::history::{Entry, RecordKey, Reference, Seq};

/// Who last changed one field.
#[derive(Debug, Clone)]
pub struct BlameLine {
    /// The field.
    pub path: FieldPath,
    /// What it holds; `{"$secret": true}` for a secret.
    pub value: Value,
    /// The value was redacted: which version made it what it was is known no further back than to the first
    /// that was redacted with it.
    pub is_redacted: bool,
    /// The version that made it so, without its document.
    pub entry: Entry,
    /// The names of that version's tags.
    pub tags: Vec<String>,
}

impl BlameLine {
    /// Returns `{path, value, seq, oid, entry_id, op, author, recorded_at, valid_from, message, git_shas, tags}`.
    pub fn to_object(&self) -> Object {
        let h = &self.entry.header;
        let author = Object::new().with("id", h.author.id.as_str()).with("class", h.author.class.as_str());
        let line = Object::new()
            .with("path", self.path.to_string())
            .with("value", self.value.clone())
            .with("seq", h.seq.0)
            .with("oid", h.oid.map(|oid| oid.to_hex()))
            .with("entry_id", self.entry.entry_id.to_hex())
            .with("op", h.op.as_str())
            .with("author", author)
            .with("recorded_at", h.recorded_at.to_string())
            .with("valid_from", h.valid_from.to_string())
            .with("message", self.entry.message.as_str())
            .with("git_shas", self.entry.git_shas.clone())
            .with("tags", self.tags.clone());
        if self.is_redacted { line.with("redacted", true) } else { line }
    }
}

/// The first reading; each further one is larger. Most fields were changed lately.
const FIRST_RUN: usize = 32;
const LONGEST_RUN: usize = 2048;

/// A field, and the version that it can be traced back to so far.
struct Leaf {
    path: FieldPath,
    value: Value,
}

impl Project {
    /// Says of each field of HEAD, or of those below a path, which version made it what it is.
    ///
    /// An array is one field: its elements have no names that would outlive a change of their order. With a
    /// path that leads into an array, that place is followed through the versions.
    ///
    /// # Errors
    ///
    /// As [`show`](Self::show); [`Error::NoSuch`] for a path that HEAD does not have.
    pub async fn blame(&self, record: &RecordKey, path: Option<&FieldPath>) -> Result<Vec<BlameLine>, Error> {
        let head = self.entry_at(record, &Reference::Head).await?;
        let Some(doc) = &head.doc else {
            return Err(Error::NoDocument {
                record: record.clone(),
                reference: Reference::Head.to_string(),
                reason: "it is a deletion",
            });
        };
        let redacted = self.redacted_in(&head).await?;
        let policy = &self.collection(&record.collection)?.policy;
        let root = path.cloned().unwrap_or_else(FieldPath::root);
        let mut leaves = Vec::new();
        let versioned = policy.versioned(doc);
        if let Some(value) = root.get(&versioned) {
            collect(&root, value, &mut leaves);
        }
        let secrets: Vec<FieldPath> =
            recorded_secrets(&head).into_iter().filter(|secret| secret.starts_with(&root)).collect();
        if leaves.is_empty() && secrets.is_empty() && !root.is_root() {
            let known = versioned.as_object().map(|o| o.keys().map(str::to_owned).collect()).unwrap_or_default();
            return Err(Error::NoSuch { what: "field", name: root.to_string(), known });
        }
        let mut order = self.valid_order(record).await?;
        order.reverse();
        let mut blamed = self.trace(record, &order, head.header.seq, leaves).await?;
        if !secrets.is_empty() {
            blamed.extend(self.trace_secrets(record, &order, secrets).await?);
        }
        let seqs: Vec<Seq> = blamed.iter().map(|(_, seq)| *seq).collect();
        let entries = self.headers(record, &seqs).await?;
        let tags = self.tags_for(entries.values()).await?;
        let mut lines: Vec<BlameLine> = blamed
            .into_iter()
            .filter_map(|(leaf, seq)| {
                let entry = entries.get(&seq)?.clone();
                let tags = tags.of(&entry).to_vec();
                let is_redacted = redacted.paths.contains(&leaf.path);
                Some(BlameLine { path: leaf.path, value: leaf.value, is_redacted, entry, tags })
            })
            .collect();
        lines.sort_by_cached_key(|line| line.path.to_string());
        Ok(lines)
    }

    /// Goes back through the versions, newest first, until every field is found to have been another.
    async fn trace(
        &self,
        record: &RecordKey,
        order: &[EntryAddress],
        head: Seq,
        mut leaves: Vec<Leaf>,
    ) -> Result<Vec<(Leaf, Seq)>, Error> {
        let mut blamed = Vec::with_capacity(leaves.len());
        let start = order.iter().position(|address| address.seq == head).unwrap_or(0);
        let order = &order[start..];
        // The oldest version looked at, in which all remaining fields are still what they are in HEAD.
        let mut newer = head;
        let mut newer_oid = order.first().and_then(|address| address.oid);
        let mut run = FIRST_RUN;
        let mut at = 1;
        while at < order.len() && !leaves.is_empty() {
            let part = &order[at..order.len().min(at + run)];
            (at, run) = (at + part.len(), (run * 4).min(LONGEST_RUN));
            // One document is read for each content: neighbours with the same are the same.
            let mut last = newer_oid;
            let mut wanted = Vec::with_capacity(part.len());
            for address in part {
                if address.oid.is_some() && address.oid != last {
                    wanted.push(address.seq);
                }
                last = address.oid;
            }
            let docs = self.documents(record, wanted).await?;
            for address in part {
                if address.oid != newer_oid {
                    let doc = docs.get(&address.seq);
                    let mut kept = Vec::with_capacity(leaves.len());
                    for leaf in leaves {
                        let is_same =
                            doc.and_then(|doc| leaf.path.get(doc)).is_some_and(|old| is_same(old, &leaf.value));
                        if is_same { kept.push(leaf) } else { blamed.push((leaf, newer)) }
                    }
                    leaves = kept;
                    if leaves.is_empty() {
                        break;
                    }
                }
                (newer, newer_oid) = (address.seq, address.oid);
            }
        }
        blamed.extend(leaves.into_iter().map(|leaf| (leaf, newer)));
        Ok(blamed)
    }

    async fn documents(&self, record: &RecordKey, seqs: Vec<Seq>) -> Result<HashMap<Seq, Value>, Error> {
        if seqs.is_empty() {
            return Ok(HashMap::new());
        }
        let mut query = EntryQuery::new(self.settings.env.clone(), Scope::Records(vec![record.clone()]));
        query.seqs = seqs;
        query.detail = Detail::Document;
        let mut docs = HashMap::with_capacity(query.seqs.len());
        let mut chunks = self.adapter.entries(&query);
        while let Some(chunk) = chunks.try_next().await? {
            docs.extend(chunk.into_iter().filter_map(|entry| Some((entry.header.seq, entry.doc?))));
        }
        Ok(docs)
    }

    async fn headers(&self, record: &RecordKey, seqs: &[Seq]) -> Result<HashMap<Seq, Entry>, Error> {
        let mut query = EntryQuery::new(self.settings.env.clone(), Scope::Records(vec![record.clone()]));
        query.seqs = seqs.to_vec();
        query.seqs.sort_unstable();
        query.seqs.dedup();
        if query.seqs.is_empty() {
            return Ok(HashMap::new());
        }
        let entries: Vec<Entry> = self.adapter.entries(&query).try_concat().await?;
        Ok(entries.into_iter().map(|entry| (entry.header.seq, entry)).collect())
    }

    /// Secrets are in no document: entries name their places, and which of them a change wrote.
    async fn trace_secrets(
        &self,
        record: &RecordKey,
        order: &[EntryAddress],
        secrets: Vec<FieldPath>,
    ) -> Result<Vec<(Leaf, Seq)>, Error> {
        let query = EntryQuery::new(self.settings.env.clone(), Scope::Records(vec![record.clone()]));
        let entries: Vec<Entry> = self.adapter.entries(&query).try_concat().await?;
        let by_seq: HashMap<Seq, &Entry> = entries.iter().map(|entry| (entry.header.seq, entry)).collect();
        let names = |entry: &Entry, member: &str, path: &str| {
            let listed = entry.header.meta.get(member).and_then(Value::as_array).unwrap_or_default();
            listed.iter().any(|listed| listed.as_str() == Some(path))
        };
        let mut blamed = Vec::with_capacity(secrets.len());
        for path in secrets {
            let text = path.to_string();
            let mut since = None;
            for entry in order.iter().filter_map(|address| by_seq.get(&address.seq)) {
                if !names(entry, "secrets", &text) {
                    break;
                }
                since = Some(entry.header.seq);
                if names(entry, "secrets_written", &text) {
                    break;
                }
            }
            blamed.extend(since.map(|seq| (Leaf { path, value: secret_marker() }, seq)));
        }
        Ok(blamed)
    }
}

fn is_same(old: &Value, now: &Value) -> bool {
    old == now || same(old, now)
}

/// Collects the fields below a place: what is no object with members.
fn collect(path: &FieldPath, value: &Value, leaves: &mut Vec<Leaf>) {
    match value {
        Value::Null => {}
        Value::Object(object) if !object.is_empty() => {
            for (key, member) in object {
                collect(&path.join(Step::Key(key.clone())), member, leaves);
            }
        }
        other => leaves.push(Leaf { path: path.clone(), value: other.clone() }),
    }
}
