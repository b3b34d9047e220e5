//! `log`: versions of one record, of all, and the system as of a moment.

use futures_util::TryStreamExt;

use super::project::Project;
use crate::adapter::{AsOf, AsOfRow, Detail, EntryQuery, Order, Scope};
use crate::document::Object;
use crate::error::Error;
use crate::history::{CollectionName, Entry, RecordKey, TagName, Timestamp};

/// Which entries [`Project::log`] lists: those of one record, highest seq first, or of all, newest first.
#[derive(Debug, Clone, Default)]
pub struct Log {
    /// Of this record; `None` for all.
    pub record: Option<RecordKey>,
    /// Of this collection, where no record is named.
    pub collection: Option<CollectionName>,
    /// Recorded at or after.
    pub since: Option<Timestamp>,
    /// Recorded at or before.
    pub until: Option<Timestamp>,
    /// By this author.
    pub author: Option<String>,
    /// Shipped by this git commit.
    pub git_sha: Option<String>,
    /// At most so many.
    pub limit: Option<u64>,
    /// With documents.
    pub with_doc: bool,
}

/// The instant of a question, as the command line asks it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogAxis {
    /// `--as-of`: what was live then.
    pub valid: Option<Timestamp>,
    /// `--as-of-recorded`: what the history said then.
    pub recorded: Option<Timestamp>,
}

impl LogAxis {
    /// Returns the question, if one is asked.
    pub fn as_of(self) -> Option<AsOf> {
        match (self.valid, self.recorded) {
            (None, None) => None,
            (Some(valid), None) => Some(AsOf::Valid(valid)),
            (None, Some(recorded)) => Some(AsOf::Recorded(recorded)),
            (Some(valid), Some(recorded)) => Some(AsOf::Both { recorded, valid }),
        }
    }
}

/// One row of a system as-of.
#[derive(Debug, Clone)]
pub struct AsOfEntry {
    /// The entry that held.
    pub entry: Entry,
    /// The instant lies before the record's estimated baseline: what was live then is not known.
    pub estimated_before_import: bool,
    /// The names of its tags.
    pub tags: Vec<String>,
}

impl AsOfEntry {
    /// Returns the entry, with `estimated_before_import` where it is so.
    pub fn to_object(&self) -> Object {
        let mut object = self.entry.to_object(&self.tags);
        if self.estimated_before_import {
            object.insert("estimated_before_import", true);
        }
        object
    }
}

impl Project {
    /// Lists entries.
    ///
    /// # Errors
    ///
    /// [`Error::NoRecord`] and [`Error::Untracked`] for a record without history.
    pub async fn log(&self, log: &Log) -> Result<Vec<Entry>, Error> {
        let scope = match &log.record {
            Some(record) => Scope::Records(vec![record.clone()]),
            None => Scope::All(log.collection.clone()),
        };
        let mut query = EntryQuery::new(self.settings.env.clone(), scope);
        query.since = log.since;
        query.until = log.until;
        query.author.clone_from(&log.author);
        query.git_sha.clone_from(&log.git_sha);
        query.limit = log.limit;
        query.order = Order::NewestFirst;
        query.across = log.record.is_none();
        query.detail = if log.with_doc { Detail::Document } else { Detail::Header };
        let entries: Vec<Entry> = self.adapter.entries(&query).try_concat().await?;
        if entries.is_empty()
            && let Some(record) = &log.record
            && self.state(record).await?.head.is_none()
        {
            return Err(self.no_history_of(record).await);
        }
        Ok(entries)
    }

    pub(crate) async fn no_history_of(&self, record: &RecordKey) -> Error {
        self.entry_at(record, &crate::history::Reference::Head)
            .await
            .err()
            .unwrap_or_else(|| Error::Untracked { record: record.clone() })
    }

    /// Lists the versions that a tag means, by record key.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuch`] for the tag; [`Error::NoVersion`] for a record that it does not cover.
    pub async fn log_tag(
        &self,
        name: &TagName,
        record: Option<&RecordKey>,
        with_doc: bool,
    ) -> Result<Vec<Entry>, Error> {
        let tag = self.tag_named(name).await?;
        let rows = self.tagged(&tag, record.map(std::slice::from_ref)).await?;
        if let (Some(record), true) = (record, rows.is_empty()) {
            return Err(Error::NoVersion { record: record.clone(), reference: format!("tag:{name}") });
        }
        let detail = if with_doc { Detail::Document } else { Detail::Header };
        let found = self.pick(rows.into_iter().map(|row| (row.record, row.seq)), detail).await?;
        let mut entries: Vec<Entry> = found.into_values().collect();
        entries.sort_by(|a, b| a.header.record.cmp(&b.header.record));
        Ok(entries)
    }

    /// Lists, for every record that had a document then, the entry that held.
    ///
    /// # Errors
    ///
    /// [`Error::NoRecord`] and [`Error::Untracked`] for a named record without history.
    pub async fn log_as_of(
        &self,
        record: Option<&RecordKey>,
        collection: Option<CollectionName>,
        at: AsOf,
        with_doc: bool,
    ) -> Result<Vec<AsOfEntry>, Error> {
        let scope = match record {
            Some(record) => Scope::Records(vec![record.clone()]),
            None => Scope::All(collection),
        };
        let rows = self.held(&scope, at, with_doc).await?;
        if rows.is_empty()
            && let Some(record) = record
            && self.state(record).await?.head.is_none()
        {
            return Err(self.no_history_of(record).await);
        }
        Ok(rows)
    }

    /// Returns what the records of a scope held at an instant, by record key; none is no error.
    ///
    /// # Errors
    ///
    /// Only where the store fails.
    pub async fn held(&self, scope: &Scope, at: AsOf, with_doc: bool) -> Result<Vec<AsOfEntry>, Error> {
        let detail = if with_doc { Detail::Document } else { Detail::Header };
        let rows: Vec<AsOfRow<Entry>> = self.adapter.as_of(&self.settings.env, scope, at, detail).try_concat().await?;
        let tags = self.tags_for(rows.iter().map(|row| &row.entry)).await?;
        let shown = |row: AsOfRow<Entry>| AsOfEntry {
            tags: tags.of(&row.entry).to_vec(),
            entry: row.entry,
            estimated_before_import: row.estimated_before_import,
        };
        Ok(rows.into_iter().map(shown).collect())
    }
}
