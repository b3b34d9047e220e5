//! `redact`: takes values and messages out of history, where they were stored and leave their hashes.
//!
//! Nothing is re-chained: headers, oids, seqs and tags stay. Stored documents are overwritten, and one entry
//! more says where and what is stored there now. What is planned is computed from what is stored at that moment,
//! batch by batch, so that finishing after a crash is doing it again.

use std::collections::BTreeMap;

use futures_util::TryStreamExt;

use super::commit::require_message;
use super::project::{Options, Project};
use super::redact_objects::Kept;
use super::redact_report::{Place, PlaceKind, RedactReport};
use super::redact_values::Values;
use super::restore_plan::PLAN;
use super::transact::{OnMoved, Request};
use crate::adapter::{
    AdapterError, Detail, EntryQuery, ExpectedLive, Live, LiveWrite, Mending, Overwrite, RecordState, Scope,
    StoredDigest, StoredDoc,
};
use crate::document::{Edit, FieldPath, FieldPolicy, Object, Oid, PathChange, Treatment, Value, apply_changes, oid};
use crate::error::Error;
use crate::history::{Entry, Op, REDACTED, RecordKey, Redaction, Seq, is_redacted, places};
use crate::plan::gates::{OnRefusal, preview};
use crate::plan::{POLICY, Planned, PlannedChange, PlannedEntry, Verb};

/// How many entries one batch overwrites.
const CHUNK: usize = 500;
/// How many bytes of documents one batch overwrites, about: a standalone server keeps them twice in one document.
const CHUNK_BYTES: usize = 6 * 1024 * 1024;
/// How often a batch is planned anew because others were at work on the record.
const ATTEMPTS: u32 = 4;

/// What is to be redacted of one record.
#[derive(Debug, Clone)]
pub struct Redact {
    /// Which record.
    pub record: RecordKey,
    /// Which paths of its documents, `[]` standing for every element: `api_key`, `tools[].key`.
    pub paths: Vec<String>,
    /// In which versions; `None` for all.
    pub versions: Option<Vec<Seq>>,
    /// Whether the messages of these versions go whole.
    pub messages: bool,
    /// Lets it reach what is hashed: versioned fields and messages. Their oids stay, as a commitment to what was there.
    pub rewrite_history: bool,
}

impl Redact {
    /// Redacts paths in every version, where they are not hashed.
    pub fn new(record: RecordKey, paths: Vec<String>) -> Self {
        Redact { record, paths, versions: None, messages: false, rewrite_history: false }
    }

    fn selects(&self, seq: Seq) -> bool {
        self.versions.as_ref().is_none_or(|versions| versions.contains(&seq))
    }
}

/// Reads versions as people name them: `3`, `@3`, `2-5`, `1,4-6`; `all` is every one.
///
/// # Errors
///
/// [`Error::Refused`] for a text that names no versions.
///
/// # Examples
///
/// ```
/// use cfg_engine::engine::parse_versions;
/// use cfg_engine::history::Seq;
/// assert_eq!(parse_versions("all")?, None);
/// assert_eq!(parse_versions("@7, 2-4")?, Some(vec![Seq(2), Seq(3), Seq(4), Seq(7)]));
/// assert!(parse_versions("4-2").is_err());
/// # Ok::<(), cfg_engine::Error>(())
/// ```
pub fn parse_versions(text: &str) -> Result<Option<Vec<Seq>>, Error> {
    /// More versions in one range than any record has.
    const MOST: u64 = 1_000_000;
    if text.trim() == "all" {
        return Ok(None);
    }
    let wrong = || {
        Error::refused(
            "bad_versions",
            format!("{text:?} does not name versions"),
            "write them so: 3   2-5   1,4-6   all",
        )
    };
    let number = |text: &str| {
        let text = text.trim();
        text.strip_prefix('@').unwrap_or(text).parse::<u64>().ok().filter(|n| *n > 0).ok_or_else(wrong)
    };
    let mut versions = Vec::new();
    for part in text.split(',') {
        let (first, last) = match part.split_once('-') {
            Some((first, last)) => (number(first)?, number(last)?),
            None => (number(part)?, number(part)?),
        };
        if last < first || last - first > MOST {
            return Err(wrong());
        }
        versions.extend((first..=last).map(Seq));
    }
    versions.sort_unstable();
    versions.dedup();
    Ok(Some(versions))
}

/// What is to be done to one entry.
struct Work {
    overwrite: Overwrite,
    /// The address of the document as it will be.
    oid: Option<Oid>,
    is_hashed: bool,
    bytes: usize,
}

/// What is left to be done, computed from what is stored.
#[derive(Default)]
struct Todo {
    works: BTreeMap<Seq, Work>,
    values: Values,
    places: Vec<Place>,
    left: Vec<Place>,
    /// Which of the paths were found in some version, redacted or not.
    found: Vec<bool>,
    /// The names at the top level, for whoever mistyped one.
    known: Vec<String>,
    versions: Vec<Seq>,
}

impl Todo {
    fn is_hashed(&self) -> bool {
        self.works.values().any(|work| work.is_hashed)
    }

    /// Splits it into batches. Messages that are known by the values in documents go before these, if they do not
    /// go with them: the batches that are left after one are those that were to follow it.
    fn split(self) -> Vec<Vec<(Seq, Work)>> {
        let fits =
            self.works.len() <= CHUNK && self.works.values().map(|work| work.bytes).sum::<usize>() <= CHUNK_BYTES;
        if fits {
            let all: Vec<(Seq, Work)> = self.works.into_iter().collect();
            return if all.is_empty() { Vec::new() } else { vec![all] };
        }
        let mut messages = Vec::new();
        let mut documents = Vec::new();
        for (seq, mut work) in self.works {
            if let Some(message) = work.overwrite.message.take() {
                let overwrite = Overwrite { changes: Vec::new(), message: Some(message), ..work.overwrite.clone() };
                messages.push((seq, Work { overwrite, oid: None, is_hashed: true, bytes: 0 }));
            }
            if !work.overwrite.changes.is_empty() {
                documents.push((seq, work));
            }
        }
        let mut batches = Vec::new();
        for works in [messages, documents] {
            let mut batch: Vec<(Seq, Work)> = Vec::new();
            let mut bytes = 0;
            for (seq, work) in works {
                if batch.len() == CHUNK || (bytes + work.bytes > CHUNK_BYTES && !batch.is_empty()) {
                    batches.push(std::mem::take(&mut batch));
                    bytes = 0;
                }
                bytes += work.bytes;
                batch.push((seq, work));
            }
            batches.extend((!batch.is_empty()).then_some(batch));
        }
        batches
    }
}

impl Project {
    /// Takes values out of the history of one record: the stored documents that hold them, messages and the engine's
    /// own documents that repeat them. Every entry keeps its header, oid and seq, every tag its meaning; a `redact`
    /// entry says where, by whom and why, and never what. Doing it twice is the same as doing it once, and an
    /// interrupted one is finished by the same call or by [`redact_resume`](Self::redact_resume).
    ///
    /// Live is not touched: rotate the secret there. [`Options::message`] is the reason, and required.
    ///
    /// # Errors
    ///
    /// [`Error::NoRecord`] and [`Error::Untracked`]; [`Error::NoSuch`] for a path that no version has;
    /// [`Error::Refused`] without a reason, and where it would reach what is hashed without
    /// [`Redact::rewrite_history`]; [`Error::ApprovalRequired`] where that lacks an approval, which it needs on every env.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::Arc;
    /// use cfg_engine::adapter::MemoryAdapter;
    /// use cfg_engine::config::{CollectionConfig, Settings};
    /// use cfg_engine::document::FieldPolicy;
    /// use cfg_engine::engine::{Commit, Options, Project, Redact};
    /// use cfg_engine::history::{Author, AuthorClass, CollectionName, DocState, EnvName, Reference, Seq};
    /// use cfg_engine::Value;
    ///
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// let mut agents = CollectionConfig::new(CollectionName::new("agents")?, "agent_id");
    /// agents.policy = FieldPolicy::builder().ignore_field("debug").build();
    /// let author = Author { id: "docs@example.com".into(), class: AuthorClass::Human };
    /// let adapter = Arc::new(MemoryAdapter::new(vec![agents]));
    /// let project = Project::new(adapter, Settings::new(EnvName::new("dev")?, author));
    /// project.init(false).await?;
    /// let planner = project.record("planner").await?;
    /// let doc = Value::from_json(r#"{"model": "large", "debug": "password hunter2hunter2"}"#)?;
    /// project.commit(&Commit::new(planner.clone(), doc), &Options::message("first version")).await?;
    ///
    /// let redact = Redact::new(planner.clone(), vec!["debug".into()]);
    /// let report = project.redact(&redact, &Options::message("a password in a debug field")).await?;
    /// assert_eq!(report.entries.len(), 1);
    /// let entry = project.entry_at(&planner, &Reference::Seq(Seq(1))).await?;
    /// assert_eq!(entry.doc_state, DocState::Redacted);
    /// assert_eq!(entry.doc.unwrap().get("debug"), Some(&Value::from("[REDACTED]")));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn redact(&self, redact: &Redact, options: &Options) -> Result<RedactReport, Error> {
        let options = &self.under_approval(options).await?;
        self.check_redact(redact, options)?;
        if !options.dry_run {
            self.ensure_env().await?;
            self.finish_pending().await?;
        }
        let mut todo = self.redact_todo(redact).await?;
        let state = self.state(&redact.record).await?;
        self.refuse_nothing(redact, &todo, &state).await?;
        if todo.values.is_in(&options.message) || redact.paths.iter().any(|path| todo.values.is_in(path)) {
            return Err(Error::refused_for(
                &redact.record,
                "secret_found",
                "the reason or a path repeats what is to be redacted, and both are recorded",
                "say why without it",
            ));
        }
        let objects = self.objects_to_redact(&todo.values).await?;
        let mut report = RedactReport::new(redact, options);
        report.places = todo.places.iter().cloned().chain(objects.places).collect();
        report.left = todo.left.iter().cloned().chain(objects.left).collect();
        report.live = self.still_live(redact, &state)?;
        report.needs_rewrite_history = !redact.rewrite_history && todo.is_hashed();
        report.needs_approval = self.settings.gated || todo.is_hashed();
        if todo.works.is_empty() && objects.writes.is_empty() {
            if !options.dry_run {
                self.finish_redact_plans(redact, options).await?;
            }
            return Ok(report);
        }
        // All of it is judged, and approved, before the first batch.
        let values = std::mem::take(&mut todo.values);
        let changes = todo.split().into_iter().map(|works| self.redact_change(redact, &state, works));
        let mut whole = self.plan(Verb::Redact, options, changes.collect::<Result<_, _>>()?);
        // What is only kept until a change is done passes without being asked about.
        whole.objects = objects.writes.into_iter().filter(|write| write.key.kind != PLAN).collect();
        let gate = options.gate();
        let (whole, _) = preview(whole, &self.settings, self.collections(), gate, OnRefusal::Whole)?;
        if options.dry_run {
            report.plan = Some(self.stored_plan(&whole, options).view(&whole));
            if whole.always_gated {
                let stored = self.policy_standing().await?.stored;
                report.blocked = self.rewrite_is_blocked(stored.and_then(|stored| stored.rules.alert).as_ref());
            }
            return Ok(report);
        }
        if report.needs_rewrite_history {
            return Err(hashed(redact, &report));
        }
        let options = &self.with_permit(&whole, options).await?;
        let token = self.keep_redact_plan(redact, options).await?;
        // What is known by the values that are about to go comes first.
        self.write_redacted_objects(&values, options).await?;
        self.redact_batches(redact, options, &mut report).await?;
        self.finish_redact_plan(&token, options).await?;
        Ok(report)
    }

    /// Finishes redactions of this env that were begun and not ended; `token` names one of several.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuch`] where there is none; else as [`redact`](Self::redact).
    pub async fn redact_resume(&self, token: Option<&str>, options: &Options) -> Result<RedactReport, Error> {
        let Kept { redact, author, message, allow_secret } = self.kept_redaction(token).await?;
        let mut options = options.clone();
        (options.author, options.message) = (Some(author), message);
        options.allow_secret |= allow_secret;
        self.redact(&redact, &options).await
    }

    fn check_redact(&self, redact: &Redact, options: &Options) -> Result<(), Error> {
        let record = &redact.record;
        let rules = self.rules(record)?;
        let refuse = |code, problem: String, hint: &str| Err(Error::refused_for(record, code, problem, hint));
        require_message(options)?;
        if redact.paths.is_empty() && !redact.messages {
            return refuse(
                "nothing_to_redact",
                "no path is named".to_owned(),
                "name a path: cfg redact ID api_key -m WHY",
            );
        }
        FieldPolicy::default().with_secret_fields(&redact.paths).map_err(|error| {
            Error::refused_for(record, "bad_path", error.to_string(), "write it as in secret_fields: tools[].api_key")
        })?;
        for path in &redact.paths {
            if let Some(hit) = self.settings.secrets.scan_text(path) {
                let problem = format!("a path itself looks like a secret ({}); it would be recorded", hit.rule);
                return refuse("secret_found", problem, "redact the field around it");
            }
            let top = path.split(['.', '[']).next().unwrap_or(path);
            if rules.collection.id_fields.iter().any(|field| field == top) {
                return refuse("bad_path", format!("{path} is the id of the record"), "an id cannot be redacted");
            }
        }
        Ok(())
    }

    /// What another program announced and never finished may hold the value still: it is finished first.
    async fn finish_pending(&self) -> Result<(), Error> {
        let found = self.adapter.check_store(&self.settings.env, Mending::Look).await?;
        if found.iter().any(|finding| finding.code == "pending") {
            self.adapter.check_store(&self.settings.env, Mending::Repair).await?;
        }
        Ok(())
    }

    /// Goes through the history of the record twice: for the places that were named, and for places that repeat
    /// what stands there.
    async fn redact_todo(&self, redact: &Redact) -> Result<Todo, Error> {
        let policies = self.policies().await?;
        let own = &self.collection(&redact.record.collection)?.policy;
        let mut todo = Todo { found: vec![false; redact.paths.len()], ..Todo::default() };
        let mut query = EntryQuery::new(self.settings.env.clone(), Scope::Records(vec![redact.record.clone()]));
        query.detail = Detail::Document;
        let mut chunks = self.adapter.entries(&query);
        while let Some(chunk) = chunks.try_next().await? {
            for entry in &chunk {
                todo.versions.push(entry.header.seq);
                let named = entry.header.meta.get(POLICY).and_then(Value::as_str);
                let policy = named.and_then(|address| policies.get(address)).unwrap_or(own);
                note_named(&mut todo, redact, entry, policy)?;
            }
        }
        drop(chunks);
        if !todo.values.is_empty() {
            let mut chunks = self.adapter.entries(&query);
            while let Some(chunk) = chunks.try_next().await? {
                chunk.iter().for_each(|entry| note_repeated(&mut todo, redact, entry));
            }
        }
        Ok(todo)
    }

    /// Refuses a record, a version or a path that there is not.
    async fn refuse_nothing(&self, redact: &Redact, todo: &Todo, state: &RecordState) -> Result<(), Error> {
        let record = &redact.record;
        if state.head.is_none() || todo.versions.is_empty() {
            return Err(self.no_history_of(record).await);
        }
        if let Some(missing) = redact.versions.iter().flatten().find(|seq| !todo.versions.contains(seq)) {
            return Err(Error::NoVersion { record: record.clone(), reference: format!("@{missing}") });
        }
        match redact.paths.iter().zip(&todo.found).find(|(_, found)| !**found) {
            Some((path, _)) => Err(Error::NoSuch { what: "field", name: path.clone(), known: todo.known.clone() }),
            None => Ok(()),
        }
    }

    /// Returns where live holds a value at the paths still: the next commit would store it again.
    fn still_live(&self, redact: &Redact, state: &RecordState) -> Result<Vec<FieldPath>, Error> {
        let Live::One(live) = &state.live else { return Ok(Vec::new()) };
        let policy = &self.collection(&redact.record.collection)?.policy;
        let mut paths = places(&redact.paths, &live.value).unwrap_or_default();
        paths.retain(|path| {
            let holds = path.get(&live.value).is_some_and(|value| !value.is_null() && !is_redacted(value));
            holds && policy.treatment(path) != Treatment::Secret
        });
        Ok(paths)
    }

    /// Makes the one change: a `redact` entry, and what it overwrites.
    fn redact_change(
        &self,
        redact: &Redact,
        state: &RecordState,
        works: impl IntoIterator<Item = (Seq, Work)>,
    ) -> Result<PlannedChange, Error> {
        let mut redaction = Redaction { paths: redact.paths.clone(), ..Redaction::default() };
        let mut overwrites = Vec::new();
        let mut always_gated = false;
        for (seq, work) in works {
            if let Some(oid) = work.oid {
                redaction.stored.insert(seq, oid);
            }
            if work.overwrite.message.is_some() {
                redaction.messages.push(seq);
            }
            always_gated |= work.is_hashed;
            overwrites.push(work.overwrite);
        }
        let meta = redaction.to_meta(self.rules(&redact.record)?.meta(&Object::new()));
        let entry = PlannedEntry {
            op: Op::Redact,
            oid: None,
            base: None,
            author: None,
            message: None,
            valid_from: None,
            estimated: false,
            meta,
            doc: StoredDoc::None,
            content: None,
            git_shas: Vec::new(),
        };
        Ok(PlannedChange {
            record: redact.record.clone(),
            expected: state.head.clone(),
            existing: Vec::new(),
            expected_live: ExpectedLive::Unchecked,
            live_oid: None,
            live: LiveWrite::Leave,
            before: None,
            after: None,
            entries: vec![entry],
            overwrites,
            always_gated,
        })
    }

    /// Overwrites batch by batch, each planned from what is stored then, until nothing is left.
    async fn redact_batches(&self, redact: &Redact, options: &Options, report: &mut RedactReport) -> Result<(), Error> {
        let mut options = options.clone();
        let mut contended = 0;
        loop {
            let batches = self.redact_todo(redact).await?.split();
            let Some(works) = batches.into_iter().next() else { return Ok(()) };
            let works = std::sync::Mutex::new(Some(works));
            let request = Request {
                verb: Verb::Redact,
                records: vec![redact.record.clone()],
                options: &options,
                on_refusal: OnRefusal::Whole,
                on_moved: OnMoved::Replan,
                op_id: None,
                asks_for: None,
                forced: false,
                read_before: Vec::new(),
            };
            let written = self
                .transact(request, |state| {
                    let mut works = works.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    // What was read may be overwritten by another redaction meanwhile: it is read again.
                    let contended = || Error::Contended { record: redact.record.clone(), attempts: ATTEMPTS };
                    let works = works.take().ok_or_else(contended)?;
                    Ok(Planned::Change(Box::new(self.redact_change(redact, state, works)?)))
                })
                .await;
            match written {
                Ok(written) => {
                    report.entries.extend(written.written().map(|written| written.entry.clone()));
                    (options.idempotency_key, contended) = (None, 0);
                }
                Err(Error::Contended { .. }) if contended < ATTEMPTS => contended += 1,
                Err(error) => return Err(error),
            }
        }
    }
}

/// Notes what the named paths mean in one entry, and its message where that is to go.
fn note_named(todo: &mut Todo, redact: &Redact, entry: &Entry, policy: &FieldPolicy) -> Result<(), Error> {
    let seq = entry.header.seq;
    let mut overwrite = Overwrite { seq, stored: StoredDigest::of_entry(entry), changes: Vec::new(), message: None };
    let mut work_oid = None;
    let (mut is_hashed, mut bytes) = (false, 0);
    if let Some(doc) = entry.doc.as_ref() {
        for (n, path) in redact.paths.iter().enumerate() {
            let there = places(std::slice::from_ref(path), doc).unwrap_or_default();
            todo.found[n] |= there.iter().any(|path| path.get(doc).is_some_and(|value| !value.is_null()));
        }
        for key in doc.as_object().into_iter().flat_map(Object::keys) {
            if !todo.known.iter().any(|known| known == key) {
                todo.known.push(key.to_owned());
            }
        }
        let mut paths = if redact.selects(seq) { places(&redact.paths, doc).unwrap_or_default() } else { Vec::new() };
        paths.retain(|path| path.get(doc).is_some_and(|value| !value.is_null() && !is_redacted(value)));
        if !paths.is_empty() {
            paths.iter().filter_map(|path| path.get(doc)).for_each(|value| todo.values.collect(value));
            let mark = |path: &FieldPath| PathChange { path: path.clone(), edit: Edit::Set(Value::from(REDACTED)) };
            overwrite.changes = paths.iter().map(mark).collect();
            let mut after = doc.clone();
            let applied = apply_changes(&mut after, &overwrite.changes).ok();
            let hash = |doc: &Value| oid(doc, policy).ok();
            let (before, after) = (hash(doc), applied.and_then(|()| hash(&after)));
            work_oid = Some(after.ok_or_else(|| AdapterError::Damaged {
                problem: format!("the document of {}@{seq} cannot be hashed", redact.record),
            })?);
            is_hashed = before != after;
            bytes = doc.about_bytes();
            todo.places.push(Place::doc(seq, paths, is_hashed));
        }
    }
    let has_message = !entry.message.is_empty() && entry.message != REDACTED && entry.header.op != Op::Redact;
    if redact.messages && redact.selects(seq) && has_message {
        overwrite.message = Some(REDACTED.to_owned());
        is_hashed = true;
        todo.places.push(Place::of(PlaceKind::Message, Some(seq), true));
    }
    if !overwrite.changes.is_empty() || overwrite.message.is_some() {
        todo.works.insert(seq, Work { overwrite, oid: work_oid, is_hashed, bytes });
    }
    Ok(())
}

/// Notes where else in an entry stands what is redacted: a message loses it; other places are named.
fn note_repeated(todo: &mut Todo, redact: &Redact, entry: &Entry) {
    let seq = entry.header.seq;
    let is_gone = todo.works.get(&seq).is_some_and(|work| work.overwrite.message.is_some());
    if !is_gone && let Some(message) = todo.values.cut(&entry.message) {
        if redact.rewrite_history {
            let stored = StoredDigest::of_entry(entry);
            let empty = || Overwrite { seq, stored, changes: Vec::new(), message: None };
            let work = todo.works.entry(seq).or_insert_with(|| Work {
                overwrite: empty(),
                oid: None,
                is_hashed: true,
                bytes: 0,
            });
            work.overwrite.message = Some(message);
            work.is_hashed = true;
            todo.places.push(Place::of(PlaceKind::Message, Some(seq), true));
        } else {
            todo.left.push(Place::of(PlaceKind::Message, Some(seq), true));
        }
    }
    if let Some(doc) = &entry.doc {
        let own: Vec<&FieldPath> = match todo.works.get(&seq) {
            Some(work) => work.overwrite.changes.iter().map(|change| &change.path).collect(),
            None => Vec::new(),
        };
        let mut paths = todo.values.places_in(doc);
        paths.retain(|path| !own.iter().any(|own| path.starts_with(own)));
        if !paths.is_empty() {
            todo.left.push(Place { paths, ..Place::of(PlaceKind::Doc, Some(seq), false) });
        }
    }
    // What is in the header is in the hash of the entry, and stays.
    let header = &entry.header;
    let texts = [header.author.id.as_str(), header.op_id.as_str()];
    let meta = Value::Object(header.meta.clone());
    if texts.into_iter().any(|text| todo.values.is_in(text)) || todo.values.is_in(&meta.to_interchange()) {
        todo.left.push(Place::of(PlaceKind::Header, Some(seq), true));
    }
}

/// Refuses to reach what is hashed, and says where.
fn hashed(redact: &Redact, report: &RedactReport) -> Error {
    let mut versions: Vec<Seq> =
        report.places.iter().filter(|place| place.is_hashed).filter_map(|place| place.seq).collect();
    versions.sort_unstable();
    versions.dedup();
    let record = &redact.record;
    let shown: Vec<String> = versions.iter().take(8).map(|seq| format!("@{seq}")).collect();
    let more = if versions.len() > shown.len() {
        format!(" and {} more", versions.len() - shown.len())
    } else {
        String::new()
    };
    Error::refused_for(
        record,
        "hashed",
        format!("what is to be redacted of {record} is hashed in {}{more}", shown.join(", ")),
        "add --rewrite-history: it needs an approval on every env; oids and tags stay, what they commit to can be \
         tested against a guess, so rotate the secret first",
    )
}
