//! Manifests: which version of which record, once and for all; and the tag pointers to them.

use std::collections::{HashMap, HashSet};

use super::objects::addressed;
use super::project::{Options, Project};
use super::rows::{Row, parts};
use crate::adapter::{AdapterError, ExpectedVersion, ObjectKey, ObjectWrite, StoredObject};
use crate::document::{EntryId, Object, Value};
use crate::error::Error;
use crate::history::{Author, AuthorClass, CollectionName, Entry, EnvName, RecordKey, Seq, TagName, Timestamp};
use crate::plan::Verb;
use crate::planted;

/// The kind of the pointers.
pub(crate) const TAG: &str = "tag";
/// The kind of the roots.
pub(crate) const MANIFEST: &str = "manifest";
/// The kind of the parts.
pub(crate) const PART: &str = "manifest_part";

/// What a manifest speaks of: a record that is in its scope and has no row was not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TagScope {
    /// Every record of the env.
    All,
    /// Every record of these collections.
    Collections(Vec<CollectionName>),
    /// The records of its rows and no others.
    Records,
}

impl TagScope {
    /// Returns `all`, `collections` or `records`.
    pub fn as_str(&self) -> &'static str {
        match self {
            TagScope::All => "all",
            TagScope::Collections(_) => "collections",
            TagScope::Records => "records",
        }
    }

    /// Returns whether a record that has no row was not there.
    pub fn covers(&self, record: &RecordKey) -> bool {
        match self {
            TagScope::All => true,
            TagScope::Collections(names) => names.contains(&record.collection),
            TagScope::Records => false,
        }
    }

    fn to_value(&self) -> Value {
        let object = Object::new().with("kind", self.as_str());
        Value::Object(match self {
            TagScope::Collections(names) => {
                object.with("collections", names.iter().map(|name| name.as_str().to_owned()).collect::<Vec<_>>())
            }
            _ => object,
        })
    }

    fn read(value: Option<&Value>) -> Option<TagScope> {
        let value = value?;
        Some(match value.get("kind")?.as_str()? {
            "all" => TagScope::All,
            "records" => TagScope::Records,
            "collections" => {
                let names = value.get("collections")?.as_array()?.iter();
                TagScope::Collections(names.map(|n| CollectionName::new(n.as_str()?).ok()).collect::<Option<_>>()?)
            }
            _ => return None,
        })
    }
}

/// One row of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tagged {
    /// Which record.
    pub record: RecordKey,
    /// Which version.
    pub seq: Seq,
    /// Its id.
    pub entry_id: EntryId,
}

/// A tag: a name, what it points to, and who put it there.
#[derive(Debug, Clone, PartialEq)]
pub struct Tag {
    /// Its name.
    pub name: TagName,
    /// The address of the manifest.
    pub manifest: String,
    /// What it speaks of.
    pub scope: TagScope,
    /// How many records it holds.
    pub records: u64,
    /// The moment that was asked for, where one was.
    pub as_of: Option<Timestamp>,
    /// Who set it.
    pub author: Author,
    /// Why.
    pub message: String,
    /// When it was set.
    pub recorded_at: Timestamp,
    /// The version of the pointer.
    pub(crate) version: u64,
}

impl Tag {
    /// Returns `{name, manifest, scope, collections?, records, as_of, author, message, recorded_at}`.
    pub fn to_object(&self) -> Object {
        let author = Object::new().with("id", self.author.id.as_str()).with("class", self.author.class.as_str());
        let collections = match &self.scope {
            TagScope::Collections(names) => {
                Value::from(names.iter().map(|name| name.as_str().to_owned()).collect::<Vec<_>>())
            }
            _ => Value::Null,
        };
        Object::new()
            .with("name", self.name.as_str())
            .with("manifest", self.manifest.as_str())
            .with("scope", self.scope.as_str())
            .with("collections", collections)
            .with("records", self.records)
            .with("as_of", self.as_of.map(|at| at.to_string()))
            .with("author", author)
            .with("message", self.message.as_str())
            .with("recorded_at", self.recorded_at.to_string())
    }

    pub(super) fn read(object: &StoredObject, env: &EnvName) -> Option<Result<Tag, Error>> {
        let name = object.key.name.strip_prefix(env.as_str())?.strip_prefix('/')?;
        let body = &object.body;
        let text = |member: &str| body.get(member).and_then(Value::as_str).map(str::to_owned);
        let read = || {
            let author = body.get("author")?;
            let as_of = match body.get("as_of") {
                None | Some(Value::Null) => None,
                Some(at) => Some(Timestamp::from_millis(at.as_i64()?)),
            };
            Some(Tag {
                name: TagName::new(name).ok()?,
                manifest: text("manifest")?,
                scope: TagScope::read(body.get("scope"))?,
                records: u64::try_from(body.get("records")?.as_i64()?).ok()?,
                as_of,
                author: Author {
                    id: author.get("id")?.as_str()?.to_owned(),
                    class: AuthorClass::parse(author.get("class")?.as_str()?)?,
                },
                message: text("message")?,
                recorded_at: object.recorded_at,
                version: object.version,
            })
        };
        let broken = || AdapterError::Damaged { problem: format!("tag {name} cannot be read") }.into();
        Some(read().ok_or_else(broken))
    }
}

/// The key of a tag's pointer.
pub(crate) fn pointer_key(env: &EnvName, name: &TagName) -> ObjectKey {
    ObjectKey { kind: TAG.to_owned(), name: format!("{env}/{name}") }
}

/// A manifest, ready to be written.
pub(crate) struct Manifest {
    pub(crate) name: String,
    root: ObjectWrite,
    parts: Vec<ObjectWrite>,
}

impl Manifest {
    /// Makes the manifest of rows, which are in the order of record keys.
    pub(crate) fn of(env: &EnvName, scope: &TagScope, rows: &[Tagged]) -> Manifest {
        let row = |tagged: &Tagged| Row {
            record: tagged.record.clone(),
            cells: vec![Value::from(tagged.seq.0), Value::from(tagged.entry_id.to_hex())],
        };
        let parts = parts(PART, &rows.iter().map(row).collect::<Vec<_>>(), None);
        let body = Object::new()
            .with("v", 1)
            .with("env", env.as_str())
            .with("scope", scope.to_value())
            .with("rows", rows.len())
            .with("parts", parts.index);
        let (name, root) = addressed(MANIFEST, Value::Object(body));
        Manifest { name, root, parts: parts.writes }
    }
}

/// The body of a pointer.
pub(crate) fn pointer(
    manifest: &Manifest,
    scope: &TagScope,
    records: usize,
    as_of: Option<Timestamp>,
    author: &Author,
    message: &str,
) -> Value {
    let author = Object::new().with("id", author.id.as_str()).with("class", author.class.as_str());
    let body = Object::new()
        .with("v", 1)
        .with("manifest", manifest.name.as_str())
        .with("scope", scope.to_value())
        .with("records", records)
        .with("as_of", as_of.map(Timestamp::as_millis))
        .with("author", author)
        .with("message", message);
    Value::Object(body)
}

fn damaged(what: &str) -> Error {
    AdapterError::Damaged { problem: format!("a manifest: {what}") }.into()
}

/// Reads a row of a manifest.
fn tagged(row: Row) -> Result<Tagged, Error> {
    let seq = row.cells.first().and_then(Value::as_i64).and_then(|seq| u64::try_from(seq).ok());
    let entry_id = row.cells.get(1).and_then(Value::as_str).and_then(|hex| hex.parse().ok());
    match (seq, entry_id) {
        (Some(seq), Some(entry_id)) => Ok(Tagged { record: row.record, seq: Seq(seq), entry_id }),
        _ => Err(damaged("a row without a version")),
    }
}

/// The most bytes of parts that are written in one batch.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

impl Project {
    /// Writes a manifest and, in the batch of its root, a pointer to it: parts first, root last.
    pub(crate) async fn write_manifest(
        &self,
        options: &Options,
        manifest: Manifest,
        pointer: ObjectWrite,
    ) -> Result<(), Error> {
        let roots = self.adapter.objects(MANIFEST, None).await?;
        let is_there = roots.iter().any(|root| root.key.name == manifest.name);
        let mut known: HashSet<String> = HashSet::new();
        for part in roots.iter().filter_map(|root| root.body.get("parts")?.as_array()).flatten() {
            known.extend(part.as_array().and_then(|cells| cells.first()?.as_str()).map(str::to_owned));
        }
        let Manifest { root, parts, .. } = manifest;
        let mut parts: Vec<ObjectWrite> = if is_there { Vec::new() } else { parts };
        // A part of a tag that was never finished is in no root: its write says so.
        loop {
            parts.retain(|part| !known.contains(&part.key.name));
            let mut ahead: Vec<ObjectWrite> = Vec::new();
            let mut bytes = 0;
            for part in &parts {
                let size = part.body.as_ref().map_or(0, |body| body.to_interchange().len());
                if bytes + size > BATCH_BYTES.min(self.adapter.capabilities().max_batch_bytes / 2) {
                    break;
                }
                bytes += size;
                ahead.push(part.clone());
            }
            let is_last = ahead.len() == parts.len();
            // A key is for the pointer: parts are found by their address.
            let mut options = options.clone();
            let mut writes = Vec::with_capacity(ahead.len() + 2);
            writes.extend(ahead.iter().cloned());
            if is_last {
                writes.extend((!is_there).then(|| root.clone()));
                writes.push(pointer.clone());
                if planted!("tag-before-its-parts") {
                    writes.reverse();
                }
            } else {
                options.idempotency_key = None;
            }
            match self.write_objects(Verb::Tag, &options, writes).await {
                Ok(()) if is_last => return Ok(()),
                Ok(()) => known.extend(ahead.into_iter().map(|part| part.key.name)),
                Err(Error::Storage(AdapterError::StaleObject { kind, name }))
                    if kind == PART && !known.contains(&name) =>
                {
                    known.insert(name);
                }
                // Somebody made the same tag beside us: with the root all parts are there too.
                Err(Error::Storage(AdapterError::StaleObject { kind, .. })) if kind == MANIFEST => {
                    return self.write_objects(Verb::Tag, &options, vec![pointer]).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Lists the tags of this env, by name.
    ///
    /// # Errors
    ///
    /// Only where the store fails, or a tag cannot be read.
    pub async fn tags(&self) -> Result<Vec<Tag>, Error> {
        let stored = self.adapter.objects(TAG, None).await?;
        let mut tags = stored.iter().filter_map(|o| Tag::read(o, &self.settings.env)).collect::<Result<Vec<_>, _>>()?;
        tags.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(tags)
    }

    /// Finds a tag.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuch`] naming the tags there are.
    pub async fn tag_named(&self, name: &TagName) -> Result<Tag, Error> {
        match self.find_tag(name).await? {
            Some(tag) => Ok(tag),
            None => {
                let known = self.tags().await?.into_iter().map(|tag| tag.name.to_string()).collect();
                Err(Error::NoSuch { what: "tag", name: name.to_string(), known })
            }
        }
    }

    pub(crate) async fn find_tag(&self, name: &TagName) -> Result<Option<Tag>, Error> {
        let key = pointer_key(&self.settings.env, name);
        let stored = self.adapter.objects(TAG, Some(&key.name)).await?;
        stored.iter().find_map(|object| Tag::read(object, &self.settings.env)).transpose()
    }

    /// Reads what a tag holds, of all records or of these, in the order of record keys.
    ///
    /// # Errors
    ///
    /// [`AdapterError::Damaged`] where its manifest is missing or is not what its address says.
    pub async fn tagged(&self, tag: &Tag, only: Option<&[RecordKey]>) -> Result<Vec<Tagged>, Error> {
        let roots = self.roots(std::slice::from_ref(&tag.manifest)).await?;
        let Some(root) = roots.first() else { return Ok(Vec::new()) };
        self.read_rows(PART, root, only).await?.into_iter().map(tagged).collect()
    }

    /// Reads the roots of manifests, and proves that they are what their addresses say.
    async fn roots(&self, names: &[String]) -> Result<Vec<Value>, Error> {
        let stored = match names {
            [only] => self.adapter.objects(MANIFEST, Some(only)).await?,
            _ => self.adapter.objects(MANIFEST, None).await?,
        };
        let mut stored: HashMap<String, Value> =
            stored.into_iter().map(|object| (object.key.name, object.body)).collect();
        let mut roots = Vec::with_capacity(names.len());
        for name in names {
            let root = stored.remove(name).ok_or_else(|| damaged("it is missing"))?;
            if super::objects::address(&root).to_hex() != *name {
                return Err(damaged("it is not what its address says"));
            }
            roots.push(root);
        }
        Ok(roots)
    }

    /// Finds which of these entries have tags: what their JSON shows as `tags`.
    ///
    /// # Errors
    ///
    /// Only where the store fails or a manifest is damaged.
    pub async fn tags_for<'e>(&self, entries: impl IntoIterator<Item = &'e Entry>) -> Result<TagIndex, Error> {
        let wanted: HashMap<EntryId, &RecordKey> =
            entries.into_iter().map(|entry| (entry.entry_id, &entry.header.record)).collect();
        if wanted.is_empty() {
            return Ok(TagIndex::default());
        }
        let tags = self.tags().await?;
        if tags.is_empty() {
            return Ok(TagIndex::default());
        }
        let mut records: Vec<RecordKey> = wanted.values().map(|record| (*record).clone()).collect();
        records.sort();
        records.dedup();
        let mut names: Vec<String> = tags.iter().map(|tag| tag.manifest.clone()).collect();
        names.sort();
        names.dedup();
        let roots = self.roots(&names).await?;
        // Tags of the same records share nearly all of their parts: each is read, and looked through, once.
        let kept = self
            .keep_rows(PART, &roots, Some(&records), &mut |row| {
                let row = tagged(row)?;
                Ok(wanted.contains_key(&row.entry_id).then_some(row.entry_id))
            })
            .await?;
        let mut index = TagIndex::default();
        for tag in &tags {
            let Ok(at) = names.binary_search(&tag.manifest) else { continue };
            for entry_id in kept.of_root[at].iter().flat_map(|part| &kept.parts[*part]) {
                index.by_entry.entry(*entry_id).or_default().push(tag.name.to_string());
            }
        }
        Ok(index)
    }
}

/// Which entries have which tags.
#[derive(Debug, Clone, Default)]
pub struct TagIndex {
    by_entry: HashMap<EntryId, Vec<String>>,
}

impl TagIndex {
    /// Returns the names of an entry's tags, in order.
    pub fn of(&self, entry: &Entry) -> &[String] {
        self.by_entry.get(&entry.entry_id).map_or(&[], Vec::as_slice)
    }
}

/// Makes the write of a pointer.
pub(crate) fn pointer_write(env: &EnvName, name: &TagName, expected: Option<u64>, body: Option<Value>) -> ObjectWrite {
    let expected = expected.map_or(ExpectedVersion::Absent, ExpectedVersion::At);
    ObjectWrite { key: pointer_key(env, name), expected, body }
}
