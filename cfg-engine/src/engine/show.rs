//! `show`, and finding the entry that a reference means.

use futures_util::TryStreamExt;

use super::project::Project;
use crate::adapter::{AsOf, Detail, EntryAddress, EntryQuery, Scope};
use crate::document::{FieldPath, Object, Oid, Value};
use crate::error::Error;
use crate::history::{Entry, RecordKey, Redacted, Reference, Seq, TagName};

/// What [`Project::show`] found.
#[derive(Debug, Clone)]
pub enum Shown {
    /// An entry with its document.
    Entry {
        /// The entry.
        entry: Box<Entry>,
        /// The names of its tags.
        tags: Vec<String>,
        /// What redactions took from its document.
        redacted: Redacted,
    },
    /// The live document, secrets masked.
    Live(Box<super::Document>),
}

impl Shown {
    /// Returns the document, if there is one.
    pub fn doc(&self) -> Option<&Value> {
        match self {
            Shown::Entry { entry, .. } => entry.doc.as_ref(),
            Shown::Live(document) => Some(&document.doc),
        }
    }

    /// Returns the entry with its document, or the live document with its base.
    pub fn to_object(&self) -> Object {
        match self {
            Shown::Entry { entry, tags, redacted } => {
                let mut object = entry.to_object(tags);
                if !redacted.paths.is_empty() {
                    object.insert("redacted", redacted.paths.iter().map(ToString::to_string).collect::<Vec<_>>());
                }
                if entry.doc.is_none() {
                    object.insert("doc", Value::Null);
                }
                object
            }
            Shown::Live(document) => document.to_object(),
        }
    }
}

impl Project {
    /// Shows one version of a record.
    ///
    /// # Errors
    ///
    /// [`Error::NoVersion`] and the like.
    pub async fn show(&self, record: &RecordKey, reference: &Reference) -> Result<Shown, Error> {
        match reference {
            Reference::Live => Ok(Shown::Live(Box::new(self.get(record).await?))),
            other => {
                let entry = Box::new(self.entry_at(record, other).await?);
                let tags = self.tags_for([&*entry]).await?.of(&entry).to_vec();
                let redacted = self.redacted_in(&entry).await?;
                Ok(Shown::Entry { entry, tags, redacted })
            }
        }
    }

    /// Returns the value at a path of a shown version.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] naming the path that is not there.
    pub fn field<'s>(&self, shown: &'s Shown, path: &FieldPath) -> Result<&'s Value, Error> {
        shown.doc().and_then(|doc| path.get(doc)).ok_or_else(|| Error::NoSuch {
            what: "field",
            name: path.to_string(),
            known: shown
                .doc()
                .and_then(Value::as_object)
                .map(|o| o.keys().map(str::to_owned).collect())
                .unwrap_or_default(),
        })
    }

    /// Reads the entry that a reference means, with its document.
    ///
    /// # Errors
    ///
    /// [`Error::NoVersion`], [`Error::Untracked`], [`Error::AmbiguousReference`].
    pub async fn entry_at(&self, record: &RecordKey, reference: &Reference) -> Result<Entry, Error> {
        self.own(record)?;
        let no_version = || Error::NoVersion { record: record.clone(), reference: reference.to_string() };
        let seq = match reference {
            Reference::Seq(seq) => *seq,
            Reference::Content(prefix) => self.seq_of_content(record, reference, prefix).await?,
            Reference::Head => match self.state(record).await?.head {
                Some(head) => head.head.seq,
                None => return Err(self.no_history(record).await),
            },
            Reference::At(time) => {
                let scope = Scope::Records(vec![record.clone()]);
                let rows = self.adapter.as_of(&self.settings.env, &scope, AsOf::Valid(*time), Detail::Document);
                let rows = rows.try_concat().await?;
                return match rows.into_iter().next() {
                    Some(row) if !row.estimated_before_import => Ok(row.entry),
                    Some(_) => Err(Error::NoDocument {
                        record: record.clone(),
                        reference: reference.to_string(),
                        reason: "it lies before the import, and what was live then is not known",
                    }),
                    None if self.state(record).await?.head.is_none() => Err(self.no_history(record).await),
                    None => Err(no_version()),
                };
            }
            Reference::Tag(name) => {
                let tag = self.tag_named(&TagName::new(name)?).await?;
                let row = self.tagged(&tag, Some(std::slice::from_ref(record))).await?.into_iter().next();
                match row {
                    Some(row) => row.seq,
                    None if self.state(record).await?.head.is_none() => return Err(self.no_history(record).await),
                    None => return Err(no_version()),
                }
            }
            Reference::Live | Reference::Staged => return Err(no_version()),
        };
        let mut query = EntryQuery::new(self.settings.env.clone(), Scope::Records(vec![record.clone()]));
        query.seqs = vec![seq];
        query.detail = Detail::Document;
        let found: Vec<Entry> = self.adapter.entries(&query).try_concat().await?;
        match found.into_iter().next() {
            Some(entry) => Ok(entry),
            None => match self.state(record).await?.head {
                Some(_) => Err(no_version()),
                None => Err(self.no_history(record).await),
            },
        }
    }

    async fn no_history(&self, record: &RecordKey) -> Error {
        match self.state(record).await {
            Ok(state) if super::document::live_value(&state).is_some() => Error::Untracked { record: record.clone() },
            Ok(_) => Error::NoRecord { address: record.to_string() },
            Err(error) => error,
        }
    }

    /// Finds the newest entry whose content address starts with a prefix. Several entries with one
    /// content are one content; several contents are refused.
    async fn seq_of_content(&self, record: &RecordKey, reference: &Reference, prefix: &str) -> Result<Seq, Error> {
        let scope = Scope::Records(vec![record.clone()]);
        let addresses: Vec<EntryAddress> = self.adapter.addresses(&self.settings.env, &scope).try_concat().await?;
        let mut found: Vec<(Oid, Seq)> = Vec::new();
        for address in &addresses {
            let Some(oid) = address.oid.filter(|oid| oid.starts_with(prefix)) else { continue };
            match found.iter_mut().find(|(known, _)| *known == oid) {
                Some((_, seq)) => *seq = address.seq,
                None => found.push((oid, address.seq)),
            }
        }
        match found.as_slice() {
            [(_, seq)] => Ok(*seq),
            [] if addresses.is_empty() => Err(self.no_history(record).await),
            [] => Err(Error::NoVersion { record: record.clone(), reference: reference.to_string() }),
            _ => Err(Error::AmbiguousReference {
                record: record.clone(),
                reference: reference.to_string(),
                candidates: found.iter().map(|(_, seq)| *seq).collect(),
            }),
        }
    }
}
