//! The second pass over a history file: its records are planned and written, batch after batch.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use futures_util::TryStreamExt;

use super::HistoryImport;
use super::check::{Checked, Place, unreadable};
use super::line::parse_line;
use super::part::{Known, Lines, Part};
use super::report::HistoryReport;
use crate::adapter::{AdapterError, EntryAddress, ExpectedLive, Live, LiveWrite, RecordState, Scope};
use crate::document::{Object, Value, oid};
use crate::engine::history_source::HistorySource;
use crate::engine::op_ids::op_id;
use crate::engine::project::{Options, Project};
use crate::engine::restore::recorded_secrets;
use crate::error::Error;
use crate::history::{Author, AuthorClass, RecordKey, Reference};
use crate::plan::gates::{OnRefusal, judge, preview, warnings};
use crate::plan::{Grain, LoadedVersion, Plan, PlannedChange, Rules, Verb, seed_document, with_id};

/// A batch is closed after so many entries or bytes.
const BATCH_ENTRIES: usize = 500;
const BATCH_BYTES: usize = 4 * 1024 * 1024;
const ATTEMPTS: u32 = 8;

impl Project {
    pub(super) async fn load_batch(
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
                        | Error::Storage(
                            AdapterError::Clock { .. }
                            | AdapterError::StaleObject { .. }
                            | AdapterError::UnknownOutcome,
                        ),
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
        let limit = self.adapter.capabilities().max_batch_bytes.min(BATCH_BYTES);
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
                if bytes >= limit && (part.places > 0 || taken > 0) {
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
            if at < end || bytes >= limit || part.judged.len() >= width {
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
            overwrites: Vec::new(),
            always_gated: false,
        });
        Ok(())
    }

    /// Reads the document of HEAD, for a record whose file does not hold it.
    async fn head_document(&self, record: &RecordKey) -> Result<Option<Value>, Error> {
        let head = self.entry_at(record, &Reference::Head).await?;
        let mut fields = recorded_secrets(&head);
        // What was redacted is not known any more.
        fields.extend(self.redacted_in(&head).await?.paths);
        if !fields.is_empty() {
            return Err(Error::SecretsNeeded { record: record.clone(), fields });
        }
        Ok(head.doc)
    }

    async fn apply_batch(&self, options: &Options, part: &mut Part) -> Result<Vec<(RecordKey, Error)>, Error> {
        let options = with_message(options);
        let plan = self.plan(Verb::Import, &options, std::mem::take(&mut part.changes));
        let plan = Plan { grain: Grain::Entry, ..plan };
        let (gate, on_refusal) = (options.gate(), OnRefusal::LeaveOut);
        if options.dry_run {
            let (plan, left_out) = preview(plan, &self.settings, self.collections(), gate, on_refusal)?;
            part.warnings = warnings(&plan, &self.settings, self.collections(), gate);
            self.gather(&plan, &options);
            return Ok(left_out);
        }
        let env = self.ensure_env().await?;
        let permit = options.passage.permit.as_deref();
        let (cleared, left_out) = judge(plan, self.keeper(gate, on_refusal, Some(&env), permit))?;
        if cleared.plan().changes.is_empty() {
            return Ok(left_out);
        }
        part.warnings = warnings(cleared.plan(), &self.settings, self.collections(), gate);
        let bound = cleared.bind(op_id(&*self.ids), part.now)?;
        match self.adapter.apply(&bound.batch).await {
            Ok(()) => permit.into_iter().for_each(|permit| permit.done(cleared.pieces())),
            Err(error) => {
                if matches!(error, AdapterError::StaleObject { .. }) {
                    self.forget_env();
                }
                // An unknown outcome is looked at again: what is there by then is left out.
                if let Some(error) = self.moved_approval(permit).await? {
                    return Err(error);
                }
                return Err(error.into());
            }
        }
        Ok(left_out)
    }
}

/// Returns options that say why, where nobody said.
pub(super) fn with_message(options: &Options) -> Options {
    let mut options = options.clone();
    if options.message.trim().is_empty() {
        options.message = "load history".to_owned();
    }
    options
}

/// Returns where a batch of whole records ends: after about [`BATCH_ENTRIES`] lines.
pub(super) fn batch_end(places: &[Place], start: usize) -> usize {
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
