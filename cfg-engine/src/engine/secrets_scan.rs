//! `secrets scan`: looks for what should never have been stored, in history and in live. It reads and writes
//! nothing.

use std::collections::BTreeMap;

use futures_util::TryStreamExt;

use super::pass::CollectionTrouble;
use super::project::{Progress, Project};
use crate::adapter::{Detail, EntryQuery, Live, Scope};
use crate::document::{FieldPath, FieldPolicy, Object, SecretHit, SecretKind};
use crate::error::Error;
use crate::history::{CollectionName, Entry, RecordKey, Seq};
use crate::outcome::combined_exit;

/// What is looked through.
#[derive(Debug, Clone, Default)]
pub struct SecretScan {
    /// Only this collection.
    pub collection: Option<CollectionName>,
    /// Stored documents, messages and authors of every version.
    pub history: bool,
    /// Live documents.
    pub live: bool,
}

/// Where something was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum SecretPlace {
    /// A live document.
    Live,
    /// The stored document of versions.
    Doc,
    /// The message of versions.
    Message,
    /// The name of the author of versions.
    Author,
}

impl SecretPlace {
    /// Returns `live`, `doc`, `message` or `author`.
    pub const fn as_str(self) -> &'static str {
        match self {
            SecretPlace::Live => "live",
            SecretPlace::Doc => "doc",
            SecretPlace::Message => "message",
            SecretPlace::Author => "author",
        }
    }
}

/// Something that looks like a secret: where it is, never what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretFinding {
    /// Which record.
    pub record: RecordKey,
    /// Where.
    pub place: SecretPlace,
    /// In which versions; none for live.
    pub versions: Vec<Seq>,
    /// The path in the document; empty for a message and an author. A name that is a secret itself is `***`.
    pub path: FieldPath,
    /// What gave it away.
    pub kind: SecretKind,
    /// By which rule.
    pub rule: String,
}

impl SecretFinding {
    /// Returns `{collection, config_id, place, versions, path, kind, rule}`.
    pub fn to_object(&self) -> Object {
        Object::new()
            .with("collection", self.record.collection.as_str())
            .with("config_id", self.record.id.to_value())
            .with("place", self.place.as_str())
            .with("versions", self.versions.iter().map(|seq| crate::Value::from(seq.0)).collect::<Vec<_>>())
            .with("path", self.path.to_string())
            .with("kind", self.kind.as_str())
            .with("rule", self.rule.as_str())
    }
}

/// What [`Project::scan_secrets`] found.
#[derive(Debug, Clone, Default)]
pub struct SecretReport {
    /// The findings, by record: history first, then live.
    pub findings: Vec<SecretFinding>,
    /// How many live records were read.
    pub records: u64,
    /// How many versions were read.
    pub entries: u64,
    /// Live documents that could not be read.
    pub failed: Vec<(RecordKey, Error)>,
    /// Collections that could not be read.
    pub troubles: Vec<CollectionTrouble>,
}

impl SecretReport {
    /// Returns the exit code: 1 where something was found, as scanners have it; more where something could not
    /// be read.
    pub fn exit_code(&self) -> u8 {
        let troubles = self.failed.iter().map(|(_, error)| error).chain(self.troubles.iter().map(|t| &t.error));
        let found = (!self.findings.is_empty()).then_some(1);
        combined_exit(troubles.map(|error| error.kind().exit_code()).chain(found))
    }

    /// Returns `{findings, records, entries, failed}`.
    pub fn to_object(&self) -> Object {
        let failed = self.failed.iter().map(|(record, error)| {
            Object::new()
                .with("collection", record.collection.as_str())
                .with("config_id", record.id.to_value())
                .with("reason", error.to_reason())
        });
        let troubles = self.troubles.iter().map(CollectionTrouble::to_object);
        Object::new()
            .with("findings", self.findings.iter().map(SecretFinding::to_object).collect::<Vec<_>>())
            .with("records", self.records)
            .with("entries", self.entries)
            .with("failed", failed.chain(troubles).collect::<Vec<_>>())
    }

    /// Returns why something could not be read.
    pub fn errors(&self) -> impl Iterator<Item = &Error> {
        self.failed.iter().map(|(_, error)| error).chain(self.troubles.iter().map(|trouble| &trouble.error))
    }
}

/// What was found of one record so far, by place, path, kind and rule.
type Found = BTreeMap<(SecretPlace, String, &'static str, String), SecretFinding>;

impl Project {
    /// Runs the pre-flight's rules (`[secrets]`) over history and live, one chunk at a time. With neither named,
    /// over both. A path that repeats over versions is one finding.
    ///
    /// What the policy calls secret is meant to be in live; a stored version that holds it is a finding.
    ///
    /// # Errors
    ///
    /// Where the store fails; what is found is no error.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::Arc;
    /// use cfg_engine::adapter::MemoryAdapter;
    /// use cfg_engine::config::{CollectionConfig, Settings};
    /// use cfg_engine::engine::{Project, SecretScan};
    /// use cfg_engine::history::{Author, AuthorClass, CollectionName, EnvName};
    /// use cfg_engine::Value;
    ///
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// let adapter = Arc::new(MemoryAdapter::new(vec![CollectionConfig::new(CollectionName::new("agents")?, "id")]));
    /// adapter.raw_insert("agents", Value::from_json(r#"{"id": "planner", "smtp": {"apiKey": "hunter2"}}"#)?);
    /// let author = Author { id: "docs@example.com".into(), class: AuthorClass::Human };
    /// let project = Project::new(adapter, Settings::new(EnvName::new("dev")?, author));
    /// let report = project.scan_secrets(&SecretScan::default(), None).await?;
    /// assert_eq!(report.findings[0].path.to_string(), "smtp.apiKey");
    /// assert_eq!(report.exit_code(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn scan_secrets(
        &self,
        scan: &SecretScan,
        progress: Option<&dyn Progress>,
    ) -> Result<SecretReport, Error> {
        if let Some(name) = &scan.collection {
            self.collection(name)?;
        }
        let mut report = SecretReport::default();
        let both = !scan.history && !scan.live;
        if scan.history || both {
            self.scan_history(scan, &mut report, progress).await?;
        }
        if scan.live || both {
            self.scan_live(scan, &mut report, progress).await?;
        }
        report.findings.sort_by(|a, b| a.record.cmp(&b.record));
        Ok(report)
    }

    async fn scan_history(
        &self,
        scan: &SecretScan,
        report: &mut SecretReport,
        progress: Option<&dyn Progress>,
    ) -> Result<(), Error> {
        let mut query = EntryQuery::new(self.settings.env.clone(), Scope::All(scan.collection.clone()));
        query.detail = Detail::Document;
        let mut chunks = self.adapter.entries(&query);
        let mut found = Found::new();
        let mut current: Option<RecordKey> = None;
        while let Some(chunk) = chunks.try_next().await? {
            for entry in &chunk {
                report.entries += 1;
                if current.as_ref() != Some(&entry.header.record) {
                    report.findings.extend(std::mem::take(&mut found).into_values());
                    current = Some(entry.header.record.clone());
                }
                self.scan_entry(entry, &mut found);
            }
            if let Some(progress) = progress {
                progress.advance(report.entries, None);
            }
        }
        report.findings.extend(found.into_values());
        Ok(())
    }

    fn scan_entry(&self, entry: &Entry, found: &mut Found) {
        let rules = &self.settings.secrets;
        let (record, seq) = (&entry.header.record, entry.header.seq);
        let mut note = |place: SecretPlace, hit: SecretHit| {
            let key = (place, hit.path.to_string(), hit.kind.as_str(), hit.rule.clone());
            let finding = found.entry(key).or_insert_with(|| finding(record, place, hit));
            if finding.versions.last() != Some(&seq) {
                finding.versions.push(seq);
            }
        };
        // Nothing that is stored is meant to be secret.
        let none = FieldPolicy::default();
        entry.doc.iter().flat_map(|doc| rules.scan(doc, &none)).for_each(|hit| note(SecretPlace::Doc, hit));
        if let Some(hit) = rules.scan_text(&entry.message) {
            note(SecretPlace::Message, hit);
        }
        if let Some(hit) = rules.scan_text(&entry.header.author.id) {
            note(SecretPlace::Author, hit);
        }
    }

    async fn scan_live(
        &self,
        scan: &SecretScan,
        report: &mut SecretReport,
        progress: Option<&dyn Progress>,
    ) -> Result<(), Error> {
        let wanted = |name: &CollectionName| scan.collection.as_ref().is_none_or(|only| only == name);
        let collections: Vec<_> = self.collections().iter().filter(|c| wanted(&c.name)).cloned().collect();
        for collection in collections {
            let scope = Scope::All(Some(collection.name.clone()));
            let mut chunks = self.adapter.records(&self.settings.env, &scope);
            loop {
                let chunk = match chunks.try_next().await {
                    Ok(Some(chunk)) => chunk,
                    Ok(None) => break,
                    // One table that is not there does not hide the others.
                    Err(error @ crate::adapter::AdapterError::Setup { .. }) => {
                        let error = Error::from(error);
                        report.troubles.push(CollectionTrouble { collection: collection.name.clone(), error });
                        break;
                    }
                    Err(error) => return Err(error.into()),
                };
                for state in chunk {
                    match &state.live {
                        Live::One(live) => {
                            report.records += 1;
                            let hits = self.settings.secrets.scan(&live.value, &collection.policy);
                            let findings = hits.into_iter().map(|hit| finding(&state.record, SecretPlace::Live, hit));
                            report.findings.extend(findings);
                        }
                        Live::Ambiguous { rows } => {
                            let error = Error::Ambiguous { record: state.record.clone(), rows: *rows };
                            report.failed.push((state.record, error));
                        }
                        Live::Unreadable { reason } => {
                            let error = Error::Unreadable { record: state.record.clone(), reason: reason.clone() };
                            report.failed.push((state.record, error));
                        }
                        Live::Absent { .. } => {}
                    }
                }
                if let Some(progress) = progress {
                    progress.advance(report.entries + report.records, None);
                }
            }
        }
        Ok(())
    }
}

fn finding(record: &RecordKey, place: SecretPlace, hit: SecretHit) -> SecretFinding {
    SecretFinding {
        record: record.clone(),
        place,
        versions: Vec::new(),
        path: hit.path,
        kind: hit.kind,
        rule: hit.rule,
    }
}
