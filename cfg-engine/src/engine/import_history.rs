//! `import --history`: loads versions with their true times from a file of JSON lines.
//!
//! The file is read twice. First every line is checked and only its record, instant and place are
//! kept; then the records are loaded one batch after another, their lines read again by place. So
//! nothing is written before the whole file is known to be good, order in the file is free, and
//! memory grows with the number of lines, not with their documents.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures_util::TryStreamExt;

use super::history_source::HistorySource;
use super::op_ids::op_id;
use super::project::{Options, Progress, Project};
use crate::adapter::{AdapterError, AsOf, Detail, EntryAddress, ExpectedLive, Live, LiveWrite, RecordState, Scope};
use crate::document::{Object, Oid, Value, oid};
use crate::error::Error;
use crate::history::{Author, AuthorClass, CollectionName, IdKey, RecordKey, Span, Timestamp, head};
use crate::plan::gates::{OnRefusal, SecretGate, judge};
use crate::plan::{LoadedVersion, PlannedChange, Rules, Verb, with_id};

/// A history to be loaded.
#[derive(Debug, Clone)]
pub struct HistoryImport {
    /// Into which collection.
    pub collection: CollectionName,
    /// Writes each last version to live where live has none.
    pub seed_live: bool,
}

/// What a load did.
#[derive(Debug, Clone, Default)]
pub struct HistoryReport {
    /// Lines read.
    pub lines: u64,
    /// Entries written.
    pub loaded: u64,
    /// Lines that were there already.
    pub known: u64,
    /// Lines that write nothing: deletions of what was not there, and all but the last of several
    /// at one instant.
    pub without_effect: u64,
    /// Records in the file.
    pub records: u64,
    /// Live rows written.
    pub seeded: u64,
    /// Records whose live document is not their last version.
    pub dirty: Vec<RecordKey>,
    /// Records that failed, with why.
    pub failed: Vec<(RecordKey, Error)>,
    /// A dry run: nothing was written.
    pub dry_run: bool,
}

impl HistoryReport {
    /// Returns the exit code.
    pub fn exit_code(&self) -> u8 {
        crate::outcome::combined_exit(self.failed.iter().map(|(_, error)| error.kind().exit_code()))
    }

    /// Returns the report as data.
    pub fn to_object(&self) -> Object {
        let id = |record: &RecordKey| {
            Object::new().with("collection", record.collection.as_str()).with("config_id", record.id.to_value())
        };
        Object::new()
            .with("lines", self.lines)
            .with("loaded", self.loaded)
            .with("known", self.known)
            .with("without_effect", self.without_effect)
            .with("records", self.records)
            .with("seeded", self.seeded)
            .with("dry_run", self.dry_run)
            .with("dirty", self.dirty.iter().map(id).collect::<Vec<_>>())
            .with("failed", self.failed.iter().map(|(r, e)| id(r).with("reason", e.to_reason())).collect::<Vec<_>>())
    }
}

/// Where a line is, and which version it holds.
#[derive(Debug, Clone, Copy)]
struct Place {
    record: u32,
    line: u32,
    time: Timestamp,
    offset: u64,
}

/// The checked file: records in key order, places by record and time.
#[derive(Default)]
struct Checked {
    records: Vec<RecordKey>,
    places: Vec<Place>,
    lines: u64,
    overridden: u64,
}

/// A line's content.
struct Line {
    id: Value,
    time: Timestamp,
    doc: Option<Value>,
    author: Option<String>,
    message: Option<String>,
    sha: Option<String>,
}

/// At most so many bad lines are named.
const NAMED_LINES: usize = 20;
/// A batch is closed after so many entries or bytes.
const BATCH_ENTRIES: usize = 500;
const BATCH_BYTES: usize = 4 * 1024 * 1024;
const ATTEMPTS: u32 = 8;

impl Project {
    /// Loads a history.
    ///
    /// A line is `{id, time, doc | null, author?, message?, sha?}`. A line equal to an entry in
    /// record, instant and content is skipped, so a second run resumes a killed one.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] naming the bad lines; then nothing was written. Afterwards only where the
    /// store fails; the same call again goes on where it stopped.
    pub async fn import_history(
        &self,
        import: &HistoryImport,
        source: &mut dyn HistorySource,
        options: &Options,
        progress: Option<&dyn Progress>,
    ) -> Result<HistoryReport, Error> {
        self.ensure_env().await?;
        let now = self.adapter.clock().await?.store;
        let checked = self.check_history(import, source, options, now, progress)?;
        let mut report = HistoryReport {
            lines: checked.lines,
            without_effect: checked.overridden,
            records: checked.records.len() as u64,
            dry_run: options.dry_run,
            ..HistoryReport::default()
        };
        let mut start = 0;
        while start < checked.places.len() {
            let end = batch_end(&checked.places, start);
            self.load_batch(import, source, options, &checked, start..end, &mut report).await?;
            start = end;
            if let Some(progress) = progress {
                progress.advance(checked.lines + start as u64, Some(checked.lines + checked.places.len() as u64));
            }
        }
        Ok(report)
    }

    fn check_history(
        &self,
        import: &HistoryImport,
        source: &mut dyn HistorySource,
        options: &Options,
        now: Timestamp,
        progress: Option<&dyn Progress>,
    ) -> Result<Checked, Error> {
        let collection = self.collection(&import.collection)?;
        let rules = Rules { collection, settings: &self.settings };
        let mut checked = Checked::default();
        let mut numbers: HashMap<RecordKey, u32> = HashMap::new();
        let mut problems: Vec<String> = Vec::new();
        let mut bad = 0_u64;
        let mut text = String::new();
        source.rewind().map_err(unreadable)?;
        loop {
            let number = checked.lines + 1;
            let offset = match source.next_line(&mut text) {
                Ok(Some(offset)) => offset,
                Ok(None) => break,
                Err(e) if e.kind() == std::io::ErrorKind::InvalidData => {
                    return Err(bad_lines(1, &[format!("line {number}: {e}")]));
                }
                Err(e) => return Err(unreadable(e)),
            };
            checked.lines += 1;
            if text.trim().is_empty() {
                continue;
            }
            match self.check_line(&text, rules, options, now) {
                Ok((record, time)) => {
                    let next = checked.records.len() as u32;
                    let record = *numbers.entry(record).or_insert_with_key(|key| {
                        checked.records.push(key.clone());
                        next
                    });
                    checked.places.push(Place { record, line: number as u32, time, offset });
                }
                Err(problem) => {
                    bad += 1;
                    if problems.len() < NAMED_LINES {
                        problems.push(format!("line {number}: {problem}"));
                    }
                }
            }
            if let Some(progress) = progress
                && number.is_multiple_of(1000)
            {
                progress.advance(number, None);
            }
        }
        drop(numbers);
        if bad > 0 {
            return Err(bad_lines(bad, &problems));
        }
        sort(&mut checked);
        Ok(checked)
    }

    fn check_line(
        &self,
        text: &str,
        rules: Rules<'_>,
        options: &Options,
        now: Timestamp,
    ) -> Result<(RecordKey, Timestamp), String> {
        let line = parse_line(text)?;
        let record = self.line_record(&line, rules)?;
        if line.time > now {
            return Err(format!("time {} is later than the database's clock ({now})", line.time));
        }
        let scan =
            options.gate() == SecretGate::Configured && self.settings.on_secret == crate::config::OnSecret::Refuse;
        if let Some(message) = &line.message
            && scan
            && let Some(hit) = self.settings.secrets.scan_text(message)
        {
            return Err(format!("the message looks like a secret ({})", hit.rule));
        }
        if let Some(doc) = line.doc {
            let doc = with_id(doc, &record, rules.collection).map_err(|e| e.to_string())?;
            oid(&doc, &rules.collection.policy).map_err(|e| format!("the document has {e}"))?;
            self.adapter.check_document(&record, &doc).map_err(|e| e.to_string())?;
            if scan && let Some(hit) = self.settings.secrets.scan(&doc, &rules.collection.policy).into_iter().next() {
                return Err(format!("{} of {record} looks like a secret ({})", hit.path, hit.rule));
            }
        }
        Ok((record, line.time))
    }

    fn line_record(&self, line: &Line, rules: Rules<'_>) -> Result<RecordKey, String> {
        Ok(RecordKey {
            env: self.settings.env.clone(),
            collection: rules.collection.name.clone(),
            id: IdKey::from_value(&line.id).map_err(|e| e.to_string())?,
        })
    }

    async fn load_batch(
        &self,
        import: &HistoryImport,
        source: &mut dyn HistorySource,
        options: &Options,
        checked: &Checked,
        range: std::ops::Range<usize>,
        report: &mut HistoryReport,
    ) -> Result<(), Error> {
        let places = &checked.places[range];
        let mut start = 0;
        // A batch ends where its bytes are full; the rest of the range is the next one.
        while start < places.len() {
            let mut attempt = 0;
            let done = loop {
                attempt += 1;
                let part = self.plan_batch(import, source, checked, &places[start..]).await?;
                match self.apply_batch(options, &part).await {
                    Ok(left_out) => {
                        part.count(report, &left_out);
                        report.failed.extend(left_out);
                        break part.places;
                    }
                    Err(Error::StaleHead { .. } | Error::StaleLive { .. }) if attempt < ATTEMPTS => {}
                    Err(Error::Storage(AdapterError::Clock { .. } | AdapterError::UnknownOutcome))
                        if attempt < ATTEMPTS => {}
                    Err(error) => return Err(error),
                }
            };
            start += done;
        }
        Ok(())
    }

    async fn plan_batch(
        &self,
        import: &HistoryImport,
        source: &mut dyn HistorySource,
        checked: &Checked,
        places: &[Place],
    ) -> Result<Part, Error> {
        let rules = Rules { collection: self.collection(&import.collection)?, settings: &self.settings };
        let mut numbers: Vec<u32> = places.iter().map(|p| p.record).collect();
        numbers.dedup();
        let records: Vec<RecordKey> = numbers.iter().map(|n| checked.records[*n as usize].clone()).collect();
        let states = self.states(&records).await?;
        let mut existing = self.existing(&records).await?;
        let mut part = Part { now: self.now(&states), ..Part::default() };
        let mut bytes = 0;
        let mut at = 0;
        for (state, number) in states.iter().zip(&numbers) {
            let end = at + places[at..].iter().take_while(|p| p.record == *number).count();
            let mut known = existing.remove(&state.record).unwrap_or_default();
            let mut text = String::new();
            let mut versions = Vec::new();
            let mut taken = 0;
            for place in &places[at..end] {
                // A record with more than a batch holds is continued in the next one.
                if bytes >= BATCH_BYTES && (part.places > 0 || taken > 0) {
                    break;
                }
                taken += 1;
                source.line_at(place.offset, &mut text).map_err(unreadable)?;
                bytes += text.len();
                match self.version(&text, &state.record, rules)? {
                    version if known.has(&version) => part.known += 1,
                    version if version.content.is_none() && !known.precedes(&version, &versions) => {
                        part.without_effect += 1
                    }
                    version => versions.push(version),
                }
            }
            part.places += taken;
            self.plan_record(import, state, rules, &mut known, versions, &mut part).await?;
            at += taken;
            if at < end || bytes >= BATCH_BYTES {
                break;
            }
        }
        Ok(part)
    }

    async fn existing(&self, records: &[RecordKey]) -> Result<HashMap<RecordKey, Known>, Error> {
        let scope = Scope::Records(records.to_vec());
        let addresses: Vec<EntryAddress> = self.adapter.addresses(&self.settings.env, &scope).try_concat().await?;
        let mut existing: HashMap<RecordKey, Known> = HashMap::new();
        for address in addresses {
            existing.entry(address.record.clone()).or_default().add(&address);
        }
        Ok(existing)
    }

    fn version(&self, text: &str, record: &RecordKey, rules: Rules<'_>) -> Result<LoadedVersion, Error> {
        // The line was checked on the first pass; the file must not change while it is read.
        let changed = |_| {
            Error::refused_for(
                record,
                "file_changed",
                "the history file changed while it was read",
                "run the import again",
            )
        };
        let line = parse_line(text).map_err(changed)?;
        let content = match line.doc {
            None => None,
            Some(doc) => {
                let doc = with_id(doc, record, rules.collection)?;
                let oid = oid(&doc, &rules.collection.policy).map_err(|_| changed(String::new()))?;
                Some((Arc::new(doc), oid))
            }
        };
        let author = line.author.map(|id| Author { id, class: AuthorClass::Pipeline });
        Ok(LoadedVersion { valid_from: line.time, content, author, message: line.message, sha: line.sha })
    }

    async fn plan_record(
        &self,
        import: &HistoryImport,
        state: &RecordState,
        rules: Rules<'_>,
        known: &mut Known,
        versions: Vec<LoadedVersion>,
        part: &mut Part,
    ) -> Result<(), Error> {
        let (last_new, last_content) = match versions.iter().max_by_key(|v| v.valid_from) {
            // Entries added in order: of equal instants the later line is the later entry.
            Some(_) => {
                let last = versions.iter().enumerate().max_by_key(|(n, v)| (v.valid_from, *n)).map(|(_, v)| v);
                (last.map(|v| v.valid_from), last.and_then(|v| v.content.clone()))
            }
            None => (None, None),
        };
        let head_is_new = last_new.is_some_and(|new| known.newest.is_none_or(|old| new >= old));
        let live_none = matches!(state.live, Live::Absent { outside_rule: 0 });
        let mut live = LiveWrite::Leave;
        let mut expected_live = ExpectedLive::Unchecked;
        let mut after = None;
        if import.seed_live && live_none {
            let seed = match (head_is_new, last_content.clone()) {
                (true, content) => content.map(|(doc, _)| doc),
                (false, _) => self.head_document(&state.record).await?.map(Arc::new),
            };
            if let Some(doc) = seed {
                expected_live = ExpectedLive::Absent;
                live = LiveWrite::Seed(doc.as_ref().clone());
                after = Some(doc);
                part.seeded.push(state.record.clone());
            }
        }
        let head_oid: Option<Oid> = match head_is_new {
            true => last_content.as_ref().map(|(_, oid)| *oid),
            false => state.head.as_ref().and_then(|h| h.head.oid),
        };
        let live_oid = match &state.live {
            Live::One(live) => live.oid.as_ref().ok().copied(),
            _ if after.is_some() => head_oid,
            _ => None,
        };
        if live_oid != head_oid && !matches!(state.live, Live::Absent { outside_rule: 0 })
            || (live_none && after.is_none() && head_oid.is_some())
        {
            part.dirty.push(state.record.clone());
        }
        if versions.is_empty() && matches!(live, LiveWrite::Leave) {
            return Ok(());
        }
        let meta = Object::new().with("via", "history");
        part.loaded += versions.len() as u64;
        part.changes.push(PlannedChange {
            record: state.record.clone(),
            expected: state.head.clone(),
            existing: std::mem::take(&mut known.spans),
            expected_live,
            live_oid,
            live,
            before: None,
            after,
            entries: versions.into_iter().map(|version| version.entry(rules, &meta)).collect(),
        });
        Ok(())
    }

    async fn head_document(&self, record: &RecordKey) -> Result<Option<Value>, Error> {
        let scope = Scope::Records(vec![record.clone()]);
        let at = AsOf::Recorded(Timestamp::OPEN.plus_millis(-1));
        let rows = self.adapter.as_of(&self.settings.env, &scope, at, Detail::Document);
        Ok(rows.try_concat().await?.into_iter().next().and_then(|row| row.entry.doc))
    }

    async fn apply_batch(&self, options: &Options, part: &Part) -> Result<Vec<(RecordKey, Error)>, Error> {
        let mut options = options.clone();
        if options.message.trim().is_empty() {
            options.message = "load history".to_owned();
        }
        let plan = self.plan(Verb::Import, &options, part.changes.clone());
        let (cleared, left_out) = judge(plan, &self.settings, self.collections(), options.gate(), OnRefusal::LeaveOut)?;
        if options.dry_run || cleared.plan().changes.is_empty() {
            return Ok(left_out);
        }
        let bound = cleared.bind(op_id(&*self.ids), part.now);
        self.adapter.apply(&bound.batch).await?;
        Ok(left_out)
    }
}

/// What is in history already for one record.
#[derive(Default)]
struct Known {
    seen: HashSet<(Timestamp, Option<Oid>)>,
    spans: Vec<Span>,
    newest: Option<Timestamp>,
}

impl Known {
    fn add(&mut self, address: &EntryAddress) {
        let span = Span {
            seq: address.seq,
            recorded_at: address.recorded_at,
            valid_from: address.valid_from,
            in_valid_order: address.in_valid_order,
        };
        if span.in_valid_order {
            self.seen.insert((address.valid_from, address.oid));
        }
        self.spans.push(span);
        let newest = head(&self.spans).and_then(|seq| self.spans.iter().find(|s| s.seq == seq));
        self.newest = newest.map(|s| s.valid_from);
    }

    fn has(&self, version: &LoadedVersion) -> bool {
        self.seen.contains(&(version.valid_from, version.content.as_ref().map(|(_, oid)| *oid)))
    }

    /// Returns whether anything comes before a deletion, so that there is something to delete.
    fn precedes(&self, deletion: &LoadedVersion, versions: &[LoadedVersion]) -> bool {
        !versions.is_empty() || self.spans.iter().any(|s| s.in_valid_order && s.valid_from <= deletion.valid_from)
    }
}

/// One batch's plan and what it will have done.
#[derive(Default)]
struct Part {
    changes: Vec<PlannedChange>,
    places: usize,
    loaded: u64,
    known: u64,
    without_effect: u64,
    seeded: Vec<RecordKey>,
    dirty: Vec<RecordKey>,
    now: Timestamp,
}

impl Part {
    fn count(&self, report: &mut HistoryReport, left_out: &[(RecordKey, Error)]) {
        let out = |record: &RecordKey| left_out.iter().any(|(r, _)| r == record);
        let lost: usize = self.changes.iter().filter(|c| out(&c.record)).map(|c| c.entries.len()).sum();
        report.loaded += self.loaded - lost as u64;
        report.known += self.known;
        report.without_effect += self.without_effect;
        report.seeded += self.seeded.iter().filter(|r| !out(r)).count() as u64;
        // A record whose lines come in two batches is judged by the last.
        report.dirty.retain(|r| !self.changes.iter().any(|c| c.record == *r));
        report.dirty.extend(self.dirty.iter().cloned());
    }
}

/// Sorts places by record key, then time, then line; drops all but the last line of an instant.
fn sort(checked: &mut Checked) {
    let mut order: Vec<u32> = (0..checked.records.len() as u32).collect();
    order.sort_by(|a, b| checked.records[*a as usize].cmp(&checked.records[*b as usize]));
    let mut rank = vec![0_u32; order.len()];
    for (place, number) in order.iter().enumerate() {
        rank[*number as usize] = place as u32;
    }
    let mut records: Vec<RecordKey> = Vec::with_capacity(order.len());
    for number in &order {
        records.push(checked.records[*number as usize].clone());
    }
    checked.records = records;
    for place in &mut checked.places {
        place.record = rank[place.record as usize];
    }
    checked.places.sort_unstable_by_key(|p| (p.record, p.time, p.line));
    let before = checked.places.len();
    let mut kept: Vec<Place> = Vec::with_capacity(before);
    for place in checked.places.drain(..) {
        match kept.last_mut() {
            Some(last) if last.record == place.record && last.time == place.time => *last = place,
            _ => kept.push(place),
        }
    }
    checked.overridden = (before - kept.len()) as u64;
    checked.places = kept;
}

/// Returns where a batch of whole records ends: after about [`BATCH_ENTRIES`] lines.
fn batch_end(places: &[Place], start: usize) -> usize {
    let mut end = start;
    while end < places.len() {
        let record = places[end].record;
        let size = places[end..].iter().take_while(|p| p.record == record).count();
        if end > start && end - start + size > BATCH_ENTRIES {
            break;
        }
        end += size;
    }
    end
}

fn parse_line(text: &str) -> Result<Line, String> {
    let value = Value::from_interchange(text).map_err(|e| format!("{}, column {}", e.problem, e.column))?;
    let Value::Object(object) = value else { return Err("not a JSON object".to_owned()) };
    let (mut id, mut time, mut doc) = (None, None, None);
    let (mut author, mut message, mut sha) = (None, None, None);
    for (key, value) in object {
        let text_of = |value: Value| match value {
            Value::String(text) => Ok(Some(text)),
            Value::Null => Ok(None),
            other => Err(format!("{key} is a {}, not text", other.type_name())),
        };
        match key.as_str() {
            "id" => id = Some(value),
            "time" => {
                let text = text_of(value)?.ok_or("time is null")?;
                time = Some(
                    Timestamp::parse_instant(&text)
                        .map_err(|_| format!("time {text:?} is not an instant with a zone"))?,
                );
            }
            "doc" => match value {
                Value::Object(_) => doc = Some(Some(value)),
                Value::Null => doc = Some(None),
                other => return Err(format!("doc is a {}, not an object or null", other.type_name())),
            },
            "author" => author = text_of(value)?,
            "message" => message = text_of(value)?,
            "sha" => sha = text_of(value)?,
            other => return Err(format!("unknown member {other:?}; a line has id, time, doc, author, message, sha")),
        }
    }
    Ok(Line {
        id: id.ok_or("no id")?,
        time: time.ok_or("no time")?,
        doc: doc.ok_or("no doc (null says that the record was deleted)")?,
        author,
        message,
        sha,
    })
}

fn bad_lines(count: u64, problems: &[String]) -> Error {
    let more = if count as usize > problems.len() {
        format!("\n… and {} more", count as usize - problems.len())
    } else {
        String::new()
    };
    let lines = if count == 1 { "1 bad line".to_owned() } else { format!("{count} bad lines") };
    Error::refused(
        "bad_history",
        format!("{lines}, nothing was loaded\n{}{more}", problems.join("\n")),
        "mend the lines and run the import again",
    )
}

fn unreadable(error: std::io::Error) -> Error {
    Error::refused("unreadable_file", format!("the history file cannot be read: {error}"), "check the file")
}
