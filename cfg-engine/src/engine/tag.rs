//! `tag`: gives the versions of a moment a name that means them for ever.

use futures_util::TryStreamExt;

use super::manifest::{Manifest, Tag, TagScope, Tagged, pointer, pointer_write};
use super::project::{Options, Project};
use crate::adapter::{AdapterError, AsOf, AsOfRow, EntryAddress, ObjectWrite, Scope};
use crate::document::Object;
use crate::error::Error;
use crate::history::{CollectionName, RecordKey, Reference, TagName, Timestamp};
use crate::plan::Verb;
use crate::planted;

/// What gets a tag.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum TagTarget {
    /// Every record, or every record of one collection: HEAD, or what was live at an instant.
    System {
        /// Only this collection.
        collection: Option<CollectionName>,
        /// What was live then; `None` for HEAD.
        as_of: Option<Timestamp>,
    },
    /// These versions and no others.
    Versions(Vec<(RecordKey, Reference)>),
}

/// A tag to be set.
#[derive(Debug, Clone)]
pub struct SetTag {
    /// Its name.
    pub name: TagName,
    /// What it means.
    pub target: TagTarget,
    /// Moves a tag that means something else.
    pub force: bool,
}

/// What [`Project::set_tag`] did or would do.
#[derive(Debug, Clone)]
pub struct TagReport {
    /// The tag's name.
    pub name: TagName,
    /// The address of what it means.
    pub manifest: String,
    /// What it speaks of.
    pub scope: TagScope,
    /// How many records.
    pub records: u64,
    /// It meant the same already: nothing was written.
    pub unchanged: bool,
    /// What it meant before, where it was moved.
    pub moved_from: Option<String>,
    /// Records whose state at that moment is not known: it lies before an estimated baseline.
    pub unknown: Vec<RecordKey>,
    /// A dry run: nothing was written.
    pub dry_run: bool,
}

impl TagReport {
    /// Returns `{name, manifest, scope, records, unchanged, moved_from, unknown, dry_run}`.
    pub fn to_object(&self) -> Object {
        let id = |record: &RecordKey| {
            Object::new().with("collection", record.collection.as_str()).with("config_id", record.id.to_value())
        };
        Object::new()
            .with("name", self.name.as_str())
            .with("manifest", self.manifest.as_str())
            .with("scope", self.scope.as_str())
            .with("records", self.records)
            .with("unchanged", self.unchanged)
            .with("moved_from", self.moved_from.clone())
            .with("unknown", self.unknown.iter().map(id).collect::<Vec<_>>())
            .with("dry_run", self.dry_run)
    }
}

/// How often a tag that somebody else moves meanwhile is looked at again.
const ATTEMPTS: u32 = 4;

impl Project {
    /// Sets a tag. The versions are read in one snapshot and written down once; the tag is a pointer to
    /// that list, and whatever happens to history later, it means the same documents.
    ///
    /// # Errors
    ///
    /// [`Error::Conflicting`] where the name means something else and `force` is not set;
    /// [`Error::Refused`] where there is nothing to tag; for single versions as [`show`](Self::show).
    pub async fn set_tag(&self, tag: &SetTag, options: &Options) -> Result<TagReport, Error> {
        let options = &self.under_approval(options).await?;
        if !options.dry_run {
            self.ensure_env().await?;
        }
        let (scope, as_of, rows, unknown) = self.rows_to_tag(&tag.target).await?;
        if rows.is_empty() {
            return Err(Error::refused(
                "nothing_to_tag",
                "there is no version to tag",
                "import what is live first: cfg import --all   or name another moment",
            ));
        }
        let manifest = Manifest::of(&self.settings.env, &scope, &rows);
        let mut report = TagReport {
            name: tag.name.clone(),
            manifest: manifest.name.clone(),
            scope: scope.clone(),
            records: rows.len() as u64,
            unchanged: false,
            moved_from: None,
            unknown,
            dry_run: options.dry_run,
        };
        let author = options.author.as_ref().unwrap_or(&self.settings.author);
        let body = pointer(&manifest, &scope, rows.len(), as_of, author, &options.message);
        let mut manifest = Some(manifest);
        for _ in 0..ATTEMPTS {
            let there = self.find_tag(&tag.name).await?;
            match &there {
                Some(old) if old.manifest == report.manifest => {
                    report.unchanged = true;
                    return Ok(report);
                }
                Some(old) if !tag.force && !planted!("tag-moved-unasked") => return Err(tag_exists(old)),
                _ => {}
            }
            report.moved_from = there.as_ref().map(|old| old.manifest.clone());
            if options.dry_run {
                return Ok(report);
            }
            let expected = there.map(|old| old.version);
            let write = pointer_write(&self.settings.env, &tag.name, expected, Some(body.clone()));
            let options = &self.permitted_write(&write, options).await?;
            let result = match manifest.take() {
                Some(manifest) => self.write_manifest(options, manifest, write).await,
                // Its parts were written by the first attempt, or are written again under other names.
                None => {
                    let manifest = Manifest::of(&self.settings.env, &scope, &rows);
                    self.write_manifest(options, manifest, write).await
                }
            };
            match result {
                Ok(()) => return Ok(report),
                // Somebody set it meanwhile: to the same, or to something else.
                Err(Error::Storage(AdapterError::StaleObject { .. })) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::conflict("stale_object", format!("tag {} is being moved by others", tag.name), "try again"))
    }

    /// Deletes a tag: the pointer only. What it meant stays in history.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuch`].
    pub async fn delete_tag(&self, name: &TagName, options: &Options) -> Result<Tag, Error> {
        let options = &self.under_approval(options).await?;
        if !options.dry_run {
            self.ensure_env().await?;
        }
        let tag = self.tag_named(name).await?;
        if !options.dry_run {
            let write = pointer_write(&self.settings.env, name, Some(tag.version), None);
            let options = self.permitted_write(&write, options).await?;
            self.write_objects(Verb::Tag, &options, vec![write]).await?;
        }
        Ok(tag)
    }

    /// On a gated env gets the permit to move a pointer. The list that it points to is named by its content.
    async fn permitted_write(&self, write: &ObjectWrite, options: &Options) -> Result<Options, Error> {
        let mut plan = self.plan(Verb::Tag, options, Vec::new());
        plan.objects.push(write.clone());
        self.with_permit(&plan, options).await
    }

    async fn rows_to_tag(
        &self,
        target: &TagTarget,
    ) -> Result<(TagScope, Option<Timestamp>, Vec<Tagged>, Vec<RecordKey>), Error> {
        match target {
            TagTarget::System { collection, as_of } => {
                if let Some(name) = collection {
                    self.collection(name)?;
                }
                let at = as_of.map_or(AsOf::Recorded(Timestamp::OPEN.plus_millis(-1)), AsOf::Valid);
                let scope = Scope::All(collection.clone());
                let rows: Vec<AsOfRow<EntryAddress>> =
                    self.adapter.as_of_addresses(&self.settings.env, &scope, at).try_concat().await?;
                let (unknown, known): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.estimated_before_import);
                let tagged = |row: AsOfRow<EntryAddress>| {
                    let EntryAddress { record, seq, entry_id, .. } = row.entry;
                    Tagged { record, seq, entry_id }
                };
                let mut rows: Vec<Tagged> = known.into_iter().map(tagged).collect();
                rows.sort_by(|a, b| a.record.cmp(&b.record));
                let scope = match collection {
                    None => TagScope::All,
                    Some(name) => TagScope::Collections(vec![name.clone()]),
                };
                Ok((scope, *as_of, rows, unknown.into_iter().map(|row| row.entry.record).collect()))
            }
            TagTarget::Versions(versions) => {
                let mut rows = Vec::with_capacity(versions.len());
                for (record, reference) in versions {
                    let entry = self.entry_at(record, reference).await?;
                    if entry.doc.is_none() {
                        return Err(Error::NoDocument {
                            record: record.clone(),
                            reference: reference.to_string(),
                            reason: super::restore::why_no_document(&entry),
                        });
                    }
                    rows.push(Tagged { record: record.clone(), seq: entry.header.seq, entry_id: entry.entry_id });
                }
                rows.sort_by(|a, b| a.record.cmp(&b.record));
                if let Some(pair) = rows.windows(2).find(|pair| pair[0].record == pair[1].record) {
                    return Err(Error::refused_for(
                        &pair[0].record,
                        "twice",
                        format!("{} stands twice in one tag", pair[0].record),
                        "name one version of each record",
                    ));
                }
                Ok((TagScope::Records, None, rows, Vec::new()))
            }
        }
    }
}

fn tag_exists(old: &Tag) -> Error {
    Error::conflict(
        "tag_exists",
        format!(
            "tag {} is there and means something else ({} of {} records)",
            old.name,
            old.scope.as_str(),
            old.records
        ),
        format!("move it with: cfg tag --force {}   or use another name", old.name),
    )
}
