//! `import --history`: loads versions with their true times from a file of JSON lines.
//!
//! The file is read twice. First every line is checked and only its record, instant and place are
//! kept; then the records are loaded one batch after another, their lines read again by place. So
//! nothing is written before the whole file is known to be good, order in the file is free, and
//! memory grows with the number of lines, not with their documents.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use futures_util::TryStreamExt;

use super::address::check_id;
use super::history_source::HistorySource;
use super::op_ids::op_id;
use super::project::{Options, Progress, Project};
use super::restore::recorded_secrets;
use crate::adapter::{AdapterError, EntryAddress, ExpectedLive, Live, LiveWrite, RecordState, Scope};
use crate::config::{IdType, OnSecret};
use crate::document::{Object, Oid, Value, oid};
use crate::error::Error;
use crate::history::{Author, AuthorClass, CollectionName, IdKey, RecordKey, Reference, Seq, Span, Timestamp};
use crate::plan::gates::{OnRefusal, SecretGate, judge, preview};
use crate::plan::{HashedDoc, LoadedVersion, PlannedChange, Rules, Verb, refuse_stray_markers, seed_document, with_id};

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
        if !options.dry_run {
            self.ensure_env().await?;
        }
        self.check_message(options)?;
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

    /// Looks for a secret in the message that all entries without one of their own get.
    fn check_message(&self, options: &Options) -> Result<(), Error> {
        let scans = options.gate() == SecretGate::Configured && self.settings.on_secret == OnSecret::Refuse;
        match self.settings.secrets.scan_text(&options.message).filter(|_| scans) {
            None => Ok(()),
            Some(hit) => Err(Error::refused(
                "secret_found",
                format!("the message looks like a secret ({})", hit.rule),
                "write the message without it, or pass --allow-secret, which is recorded",
            )),
        }
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
        let scan = options.gate() == SecretGate::Configured && self.settings.on_secret == OnSecret::Refuse;
        if let Some(message) = &line.message
            && scan
            && let Some(hit) = self.settings.secrets.scan_text(message)
        {
            return Err(format!("the message looks like a secret ({})", hit.rule));
        }
        if let Some(doc) = line.doc {
            refuse_stray_markers(&doc, &record, &rules.collection.policy).map_err(|e| e.to_string())?;
            let doc = with_id(doc, &record, rules.collection).map_err(|e| e.to_string())?;
            oid(&doc, &rules.collection.policy).map_err(|e| format!("the document has {e}"))?;
            // Its secrets are not loaded, and a mask of one is no value of any column.
            let stored = rules.collection.policy.without_secrets(&doc);
            self.adapter.check_document(&record, &stored).map_err(|e| e.to_string())?;
            if scan {
                let hits = self.settings.secrets.scan(&doc, &rules.collection.policy);
                let hits: Vec<String> = hits.iter().map(|hit| format!("{} ({})", hit.path, hit.rule)).collect();
                if !hits.is_empty() {
                    return Err(format!("{record} has what looks like secrets: {}", hits.join(", ")));
                }
            }
        }
        Ok((record, line.time))
    }

    fn line_record(&self, line: &Line, rules: Rules<'_>) -> Result<RecordKey, String> {
        let id = IdKey::from_value(&line.id).map_err(|e| e.to_string())?;
        check_id(&id, rules.collection).map_err(|e| e.to_string())?;
        check_id_type(&id, rules.collection.id_type.filter(|_| rules.collection.id_fields.len() < 2))?;
        Ok(RecordKey { env: self.settings.env.clone(), collection: rules.collection.name.clone(), id })
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
            let mut width = usize::MAX;
            let mut refused: BTreeMap<RecordKey, Error> = BTreeMap::new();
            let (mut part, left_out) = loop {
                attempt += 1;
                // A record that failed in an earlier batch takes no further versions.
                let recent = report.failed.iter().rev().take(2 * BATCH_ENTRIES);
                let failed: HashSet<&RecordKey> = recent.map(|(record, _)| record).collect();
                let skip = |record: &RecordKey| refused.contains_key(record) || failed.contains(record);
                let mut part = self.plan_batch(import, source, checked, &places[start..], width, &skip).await?;
                part.refused.extend(refused.clone());
                match self.apply_batch(options, &mut part).await {
                    Ok(left_out) => break (part, left_out),
                    Err(
                        Error::StaleHead { .. }
                        | Error::StaleLive { .. }
                        | Error::Storage(AdapterError::Clock { .. } | AdapterError::UnknownOutcome),
                    ) if attempt < ATTEMPTS => {}
                    // Whose history it is that is damaged shows when each is loaded alone.
                    Err(Error::Storage(AdapterError::Damaged { .. })) if part.judged.len() > 1 => width = 1,
                    // One record that the store refuses must not keep the others out.
                    Err(error) => match error.record().or(part.only_damaged(&error)).cloned() {
                        Some(record) if !refused.contains_key(&record) => {
                            attempt = 0;
                            refused.insert(record, error);
                        }
                        _ => return Err(error),
                    },
                }
            };
            part.count(report, &left_out);
            report.failed.extend(left_out);
            report.failed.append(&mut part.refused);
            start += part.places;
        }
        Ok(())
    }

    async fn plan_batch(
        &self,
        import: &HistoryImport,
        source: &mut dyn HistorySource,
        checked: &Checked,
        places: &[Place],
        width: usize,
        skip: &(dyn Fn(&RecordKey) -> bool + Sync),
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
            if skip(&state.record) {
                part.places += end - at;
                at = end;
                continue;
            }
            let known = existing.remove(&state.record).unwrap_or_default();
            let mut text = String::new();
            let mut versions = Vec::new();
            let mut last = None;
            let mut taken = 0;
            for place in &places[at..end] {
                // A record with more than a batch holds is continued in the next one.
                if bytes >= BATCH_BYTES && (part.places > 0 || taken > 0) {
                    break;
                }
                taken += 1;
                source.line_at(place.offset, &mut text).map_err(unreadable)?;
                bytes += text.len();
                let version = self.version(&text, &state.record, rules)?;
                if version.content.is_none() && !known.precedes(&version, &versions) {
                    part.without_effect += 1;
                    continue;
                }
                last.clone_from(&version.content);
                match known.has(&version) {
                    true => part.known += 1,
                    false => versions.push(version),
                }
            }
            part.places += taken;
            let lines = Lines { versions, last, is_complete: at + taken == end };
            self.plan_record(import, state, rules, known, lines, &mut part).await?;
            at += taken;
            if at < end || bytes >= BATCH_BYTES || part.judged.len() >= width {
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
        known: Known,
        lines: Lines,
        part: &mut Part,
    ) -> Result<(), Error> {
        let record = &state.record;
        let Lines { versions, last, is_complete } = lines;
        let newest_line = versions.last().map(|v| v.valid_from);
        let head_is_new = newest_line.is_some_and(|new| known.newest.is_none_or(|(old, _)| new >= old));
        let head_oid = match head_is_new {
            true => versions.last().and_then(|v| v.content.as_ref()).map(|(_, oid)| *oid),
            false => state.head.as_ref().and_then(|h| h.head.oid),
        };
        let live_none = matches!(state.live, Live::Absent { outside_rule: 0 });
        let (mut live, mut expected_live, mut after) = (LiveWrite::Leave, ExpectedLive::Unchecked, None);
        let mut live_oid = match &state.live {
            Live::One(live) => live.oid.as_ref().ok().copied(),
            _ => None,
        };
        // What comes in parts is seeded with the last one: before that its last version is not known.
        if import.seed_live && live_none && head_oid.is_some() && is_complete {
            // The line has the secrets too, which history does not hold.
            let doc = match last.filter(|(_, oid)| Some(*oid) == head_oid) {
                Some((doc, _)) => Ok(Some(doc.as_ref().clone())),
                None => self.head_document(record).await,
            };
            let seed = doc.and_then(|doc| doc.map(|doc| seed_document(doc, record, rules)).transpose());
            match seed {
                Ok(None) => {}
                Ok(Some(seed)) => {
                    live_oid = Some(seed.oid);
                    expected_live = ExpectedLive::Absent;
                    live = LiveWrite::Seed(seed.value.as_ref().clone());
                    after = Some(seed.value);
                    part.seeded.push(record.clone());
                }
                // Its history is loaded; only its live row has to wait.
                Err(error) => part.refused.push((record.clone(), error)),
            }
        }
        let has_row = !matches!(state.live, Live::Absent { outside_rule: 0 });
        if live_oid != head_oid || (has_row && live_oid.is_none()) {
            part.dirty.push(record.clone());
        }
        part.judged.push(record.clone());
        if versions.is_empty() && matches!(live, LiveWrite::Leave) {
            return Ok(());
        }
        let meta = Object::new().with("via", "history");
        part.loaded.push((record.clone(), versions.len() as u64));
        part.changes.push(PlannedChange {
            record: record.clone(),
            expected: state.head.clone(),
            existing: known.spans,
            expected_live,
            live_oid,
            live,
            before: None,
            after,
            entries: versions.into_iter().map(|version| version.entry(rules, &meta)).collect(),
        });
        Ok(())
    }

    /// Reads the document of HEAD, for a record whose file does not hold it.
    async fn head_document(&self, record: &RecordKey) -> Result<Option<Value>, Error> {
        let head = self.entry_at(record, &Reference::Head).await?;
        let fields = recorded_secrets(&head);
        if !fields.is_empty() {
            return Err(Error::SecretsNeeded { record: record.clone(), fields });
        }
        Ok(head.doc)
    }

    async fn apply_batch(&self, options: &Options, part: &mut Part) -> Result<Vec<(RecordKey, Error)>, Error> {
        let mut options = options.clone();
        if options.message.trim().is_empty() {
            options.message = "load history".to_owned();
        }
        let plan = self.plan(Verb::Import, &options, std::mem::take(&mut part.changes));
        let (gate, on_refusal) = (options.gate(), OnRefusal::LeaveOut);
        if options.dry_run {
            let (_, left_out) = preview(plan, &self.settings, self.collections(), gate, on_refusal)?;
            return Ok(left_out);
        }
        let (cleared, left_out) = judge(plan, &self.settings, self.collections(), gate, on_refusal)?;
        if cleared.plan().changes.is_empty() {
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
    /// HEAD's place in valid order.
    newest: Option<(Timestamp, Seq)>,
}

/// One record's lines in one batch.
struct Lines {
    /// What is to be written, in ascending order.
    versions: Vec<LoadedVersion>,
    /// The last line, whether it is to be written or was there already.
    last: Option<HashedDoc>,
    /// No line of the record is left for another batch.
    is_complete: bool,
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
            self.newest = self.newest.max(Some(span.order()));
        }
        self.spans.push(span);
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
    /// How many entries each change writes.
    loaded: Vec<(RecordKey, u64)>,
    known: u64,
    without_effect: u64,
    seeded: Vec<RecordKey>,
    /// Records that were compared with live, in ascending order.
    judged: Vec<RecordKey>,
    dirty: Vec<RecordKey>,
    refused: Vec<(RecordKey, Error)>,
    now: Timestamp,
}

impl Part {
    /// Returns the one record of this batch, where its history is damaged.
    fn only_damaged(&self, error: &Error) -> Option<&RecordKey> {
        self.judged.first().filter(|_| matches!(error, Error::Storage(AdapterError::Damaged { .. })))
    }

    fn count(&self, report: &mut HistoryReport, left_out: &[(RecordKey, Error)]) {
        let out = |record: &RecordKey| left_out.iter().any(|(r, _)| r == record);
        report.loaded += self.loaded.iter().filter(|(r, _)| !out(r)).map(|(_, entries)| entries).sum::<u64>();
        report.known += self.known;
        report.without_effect += self.without_effect;
        report.seeded += self.seeded.iter().filter(|r| !out(r)).count() as u64;
        // A record whose lines come in two batches is judged by the last.
        if report.dirty.last().is_some_and(|last| self.judged.first() == Some(last)) {
            report.dirty.pop();
        }
        report.dirty.extend(self.dirty.iter().filter(|r| !out(r)).cloned());
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
            other => Err(format!("{key} is a JSON {}, not text", other.type_name())),
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
                other => return Err(format!("doc is a JSON {}, not an object or null", other.type_name())),
            },
            "author" => author = text_of(value)?.map(check_author).transpose()?,
            "message" => message = text_of(value)?,
            "sha" => sha = text_of(value)?.map(check_sha).transpose()?,
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

/// Checks that the live table can hold such an id: no row would ever be found under another.
fn check_id_type(id: &IdKey, id_type: Option<IdType>) -> Result<(), String> {
    let (fits, wanted) = match (id_type, id.to_value()) {
        (Some(IdType::String), value) => (matches!(value, Value::String(_)), "text"),
        (Some(IdType::Int), value) => (matches!(value, Value::Number(_)), "a whole number"),
        _ => (true, ""),
    };
    if fits { Ok(()) } else { Err(format!("id {} is not {wanted}, as id_type says", id.as_str())) }
}

fn check_author(author: String) -> Result<String, String> {
    if author.trim().is_empty() {
        Err("author is empty; leave it out where it is not known".to_owned())
    } else {
        Ok(author)
    }
}

fn check_sha(sha: String) -> Result<String, String> {
    let fits = (7..=64).contains(&sha.len()) && sha.bytes().all(|b| b.is_ascii_hexdigit());
    if fits { Ok(sha) } else { Err(format!("sha {sha:?} is not 7 to 64 hexadecimal digits")) }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_nothing_could_be_made_of_are_refused() {
        let line = |rest: &str| {
            let text = format!(r#"{{"id":"a","time":"2023-06-07T00:00:00Z","doc":null{rest}}}"#);
            parse_line(&text).err().unwrap_or_default()
        };
        assert_eq!(line(r#","author":"ada","sha":"a1b2c3d""#), "");
        assert_eq!(line(r#","author":null,"sha":null"#), "");
        assert!(line(r#","author":" ""#).contains("author is empty"));
        for sha in ["", "a1b2c3", "not-hex", &"a".repeat(65)] {
            assert!(line(&format!(r#","sha":"{sha}""#)).contains("sha"), "{sha}");
        }
    }

    #[test]
    fn an_id_is_of_the_collections_type() {
        let text = IdKey::from_value(&Value::from("1")).expect("an id");
        let number = IdKey::from_value(&Value::from(1)).expect("an id");
        for (id, other, id_type) in [(&text, &number, IdType::String), (&number, &text, IdType::Int)] {
            assert_eq!(check_id_type(id, Some(id_type)), Ok(()));
            assert!(check_id_type(other, Some(id_type)).is_err());
            assert_eq!(check_id_type(other, None), Ok(()));
        }
    }
}
