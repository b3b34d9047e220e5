//! The first pass over a history file: every line is checked, and only its place is kept.

use std::collections::HashMap;

use super::HistoryImport;
use super::line::{Line, check_id_type, parse_line};
use crate::config::OnSecret;
use crate::document::oid;
use crate::engine::address::check_id;
use crate::engine::history_source::HistorySource;
use crate::engine::project::{Options, Progress, Project};
use crate::error::Error;
use crate::history::{IdKey, RecordKey, Timestamp};
use crate::plan::gates::SecretGate;
use crate::plan::{Rules, refuse_stray_markers, with_id};

/// Where a line is, and which version it holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) record: u32,
    pub(super) line: u32,
    pub(super) time: Timestamp,
    pub(super) offset: u64,
}

/// The checked file: records in key order, places by record and time.
#[derive(Default)]
pub(super) struct Checked {
    pub(super) records: Vec<RecordKey>,
    pub(super) places: Vec<Place>,
    pub(super) lines: u64,
    pub(super) overridden: u64,
}

/// At most so many bad lines are named.
const NAMED_LINES: usize = 20;

impl Project {
    /// Looks for a secret in the message that all entries without one of their own get.
    pub(super) fn check_message(&self, options: &Options) -> Result<(), Error> {
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

    pub(super) fn check_history(
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
            refuse_stray_markers(&doc, None, &record, &rules.collection.policy).map_err(|e| e.to_string())?;
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

pub(super) fn unreadable(error: std::io::Error) -> Error {
    Error::refused("unreadable_file", format!("the history file cannot be read: {error}"), "check the file")
}
