//! `points`: the moments at which something changed, to choose one to go back to.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::TryStreamExt;

use super::project::Project;
use crate::adapter::{EntryAddress, EntryQuery, Scope};
use crate::document::Object;
use crate::error::Error;
use crate::history::{CollectionName, Entry, RecordKey, Seq, Timestamp};

/// Which moments are listed.
#[derive(Debug, Clone)]
pub struct Points {
    /// Of this record; `None` for all.
    pub record: Option<RecordKey>,
    /// Of this collection, where no record is named.
    pub collection: Option<CollectionName>,
    /// The moments around this one; `None` for all of them.
    pub around: Option<Timestamp>,
    /// How far away, in milliseconds.
    pub window: i64,
}

impl Points {
    /// Three days.
    pub const WINDOW: i64 = 3 * 24 * 60 * 60 * 1000;
}

/// On which axis a moment lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PointAxis {
    /// It became live, and was recorded, then.
    Both,
    /// It became live then.
    Valid,
    /// It was recorded then.
    Recorded,
}

impl PointAxis {
    /// Returns the word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            PointAxis::Both => "both",
            PointAxis::Valid => "valid",
            PointAxis::Recorded => "recorded",
        }
    }
}

/// A moment at which something changed.
#[derive(Debug, Clone)]
pub struct Point {
    /// When.
    pub at: Timestamp,
    /// On which axis.
    pub axis: PointAxis,
    /// What changed, without its document.
    pub entry: Entry,
    /// The names of its tags.
    pub tags: Vec<String>,
}

impl Point {
    /// Returns the entry with `at` and `axis`.
    pub fn to_object(&self) -> Object {
        self.entry.to_object(&self.tags).with("at", self.at.to_string()).with("axis", self.axis.as_str())
    }
}

impl Project {
    /// Lists the moments at which something changed, in their order: when it became live, and when it was
    /// recorded where that is another moment.
    ///
    /// # Errors
    ///
    /// [`Error::NoRecord`] and [`Error::Untracked`] for a record without history.
    pub async fn points(&self, points: &Points) -> Result<Vec<Point>, Error> {
        let window = points.around.map(|at| (at.plus_millis(-points.window), at.plus_millis(points.window)));
        let is_near = |time: Timestamp| window.is_none_or(|(first, last)| first <= time && time <= last);
        let scope = match &points.record {
            Some(record) => Scope::Records(vec![record.clone()]),
            None => Scope::All(points.collection.clone()),
        };
        let entries = match window {
            None => self.adapter.entries(&EntryQuery::new(self.settings.env.clone(), scope)).try_concat().await?,
            Some(_) => self.near(&scope, is_near).await?,
        };
        if entries.is_empty()
            && let Some(record) = &points.record
            && self.state(record).await?.head.is_none()
        {
            return Err(self.no_history_of(record).await);
        }
        let tags = self.tags_for(&entries).await?;
        let mut found = Vec::with_capacity(entries.len());
        for entry in entries {
            let (valid, recorded) = (entry.header.valid_from, entry.header.recorded_at);
            let tags = tags.of(&entry).to_vec();
            let mut add = |at: Timestamp, axis: PointAxis| {
                if is_near(at) {
                    found.push(Point { at, axis, entry: entry.clone(), tags: tags.clone() });
                }
            };
            if valid == recorded {
                add(valid, PointAxis::Both);
            } else {
                add(valid, PointAxis::Valid);
                add(recorded, PointAxis::Recorded);
            }
        }
        found.sort_by(|a, b| {
            let key = |p: &Point| (p.at, p.axis, p.entry.header.record.clone(), p.entry.header.seq);
            key(a).cmp(&key(b))
        });
        Ok(found)
    }

    /// Reads the entries that are near on either axis: addresses first, then no more than these.
    async fn near(&self, scope: &Scope, is_near: impl Fn(Timestamp) -> bool) -> Result<Vec<Entry>, Error> {
        const RECORDS: usize = 500;
        let mut near: BTreeMap<RecordKey, BTreeSet<Seq>> = BTreeMap::new();
        let mut chunks = self.adapter.addresses(&self.settings.env, scope);
        while let Some(chunk) = chunks.try_next().await? {
            for EntryAddress { record, seq, recorded_at, valid_from, .. } in chunk {
                if is_near(recorded_at) || is_near(valid_from) {
                    near.entry(record).or_default().insert(seq);
                }
            }
        }
        drop(chunks);
        let records: Vec<&RecordKey> = near.keys().collect();
        let mut found = Vec::new();
        for part in records.chunks(RECORDS) {
            let scope = Scope::Records(part.iter().map(|record| (*record).clone()).collect());
            let mut query = EntryQuery::new(self.settings.env.clone(), scope);
            query.seqs =
                part.iter().flat_map(|record| &near[*record]).copied().collect::<BTreeSet<_>>().into_iter().collect();
            let mut chunks = self.adapter.entries(&query);
            while let Some(chunk) = chunks.try_next().await? {
                found.extend(chunk.into_iter().filter(|e| near[&e.header.record].contains(&e.header.seq)));
            }
        }
        Ok(found)
    }
}
