//! What `fsck` checks of one record while its entries pass: places are kept, not documents.

use std::collections::BTreeMap;

use super::fsck::{FsckReport, Policies};
use super::project::Project;
use crate::adapter::{ExpectedHead, HeadRef, HeadState, TipRef};
use crate::document::{EntryId, Oid, Value, oid};
use crate::history::{
    Author, DocState, Ends, Entry, MessageHash, Op, REDACTED, RecordKey, Redaction, Seq, Span, Timestamp, has_mark,
    interval_ends, is_redacted,
};
use crate::plan::{POLICY, Upkeep};

/// Whether what is stored beside the entries is what follows from them.
pub(super) enum Recomputed {
    Agrees,
    /// This makes it so.
    Differs(Box<Upkeep>),
}

/// One record's entries so far.
pub(super) struct RecordCheck {
    pub(super) record: RecordKey,
    previous: Option<(Seq, EntryId)>,
    spans: Vec<Span>,
    cached: Vec<Ends>,
    /// The greatest in valid order.
    greatest: Option<Greatest>,
    /// What is stored of versions that say they were redacted.
    redacted: BTreeMap<Seq, Stored>,
    /// Versions that hold another message than the one in their hash, and which they hold.
    messages: BTreeMap<Seq, bool>,
    redactions: Vec<(Seq, Redaction)>,
    /// The entries do not hang together: what follows from them cannot be trusted.
    is_broken: bool,
}

/// What is stored of a version that was redacted.
struct Stored {
    /// Its address, under the policy that it was made under.
    oid: Result<Oid, String>,
    /// Whether the mark stands anywhere in it.
    has_mark: bool,
}

struct Greatest {
    order: (Timestamp, Seq),
    head: HeadRef,
    author: Author,
    recorded_at: Timestamp,
}

const REWRITTEN: &str = "writes it anew from the entries";

impl RecordCheck {
    pub(super) fn new(record: RecordKey) -> Self {
        RecordCheck {
            record,
            previous: None,
            spans: Vec::new(),
            cached: Vec::new(),
            greatest: None,
            redacted: BTreeMap::new(),
            messages: BTreeMap::new(),
            redactions: Vec::new(),
            is_broken: false,
        }
    }

    pub(super) fn entry(&mut self, project: &Project, policies: &Policies, entry: Entry, report: &mut FsckReport) {
        let header = &entry.header;
        let (record, seq) = (&self.record, Some(header.seq));
        if header.entry_id() != entry.entry_id {
            report.find(record, seq, "entry_id", "the entry was edited: its id is not the hash of its header");
            self.is_broken = true;
        }
        let expected = self.previous.map_or(Seq::FIRST, |(seq, _)| seq.next());
        if header.seq != expected {
            report.find(record, seq, "gap", format!("entry {expected} is missing before this one"));
            self.is_broken = true;
        } else if header.prev_entry_id != self.previous.map(|(_, id)| id) {
            report.find(record, seq, "chain", "the link to the entry before does not fit it");
            self.is_broken = true;
        }
        self.previous = Some((header.seq, entry.entry_id));
        match (entry.doc_state, header.oid) {
            (DocState::Present, _) => self.content(project, policies, &entry, report),
            (DocState::None, Some(_)) => report.find(record, seq, "content", "the stored document is gone"),
            (DocState::Redacted, _) => {
                if let Some(stored) = self.overwritten(project, policies, &entry, report) {
                    self.redacted.insert(header.seq, stored);
                }
            }
            (DocState::Thinned, _) => {
                let problem = "it says that retention dropped its document, and no retention has run here";
                report.find(record, seq, "content", problem);
            }
            (DocState::None, None) => {}
        }
        if let (Some(doc), Ok(collection)) = (&entry.doc, project.collection(&record.collection)) {
            let held = collection.policy.secret_paths(doc);
            let held: Vec<String> = held
                .iter()
                .filter(|path| path.get(doc).is_some_and(|value| !value.is_null() && !is_redacted(value)))
                .map(ToString::to_string)
                .collect();
            if !held.is_empty() {
                let problem = format!("the stored document holds what is secret by now: {}", held.join(", "));
                report.find(record, seq, "secret", problem);
            }
        }
        if let Some(redaction) = Redaction::of(&entry) {
            self.redactions.push((header.seq, redaction));
        }
        if MessageHash::of(&entry.message) != header.message {
            // A redaction leaves a mark behind, in the place of the message or in it.
            self.messages.insert(header.seq, entry.message.contains(REDACTED));
        }
        self.keep(&entry);
    }

    fn keep(&mut self, entry: &Entry) {
        let header = &entry.header;
        let span = Span {
            seq: header.seq,
            recorded_at: header.recorded_at,
            valid_from: header.valid_from,
            in_valid_order: header.op != Op::Redact,
        };
        self.spans.push(span);
        self.cached.push(Ends {
            valid_to: entry.valid_to.unwrap_or(Timestamp::OPEN),
            superseded_at: entry.superseded_at.unwrap_or(Timestamp::OPEN),
        });
        if span.in_valid_order && self.greatest.as_ref().is_none_or(|greatest| greatest.order < span.order()) {
            self.greatest = Some(Greatest {
                order: span.order(),
                head: HeadRef { seq: header.seq, oid: header.oid, entry_id: entry.entry_id },
                author: header.author.clone(),
                recorded_at: header.recorded_at,
            });
        }
    }

    /// Returns what is stored of a redacted version, to be kept until its redaction comes by.
    fn overwritten(
        &self,
        project: &Project,
        policies: &Policies,
        entry: &Entry,
        report: &mut FsckReport,
    ) -> Option<Stored> {
        let seq = Some(entry.header.seq);
        let (Some(doc), Ok(collection)) = (&entry.doc, project.collection(&self.record.collection)) else {
            report.find(&self.record, seq, "content", "the stored document is gone");
            return None;
        };
        let named = entry.header.meta.get(POLICY).and_then(Value::as_str);
        let policy = match named.map(|address| policies.get(address)) {
            Some(Some(policy)) => policy,
            Some(None) => {
                let problem = "the field policy that it was made under is not stored: its content cannot be checked";
                report.find(&self.record, seq, "policy", problem);
                return None;
            }
            None => &collection.policy,
        };
        Some(Stored { oid: oid(doc, policy).map_err(|error| error.to_string()), has_mark: has_mark(doc) })
    }

    /// Compares what is stored of redacted versions with what the redactions say is.
    fn check_redactions(&self, report: &mut FsckReport) {
        let record = &self.record;
        for (seq, stored) in &self.redacted {
            let mut of_version = self.redactions.iter().filter(|(_, redaction)| redaction.stored.contains_key(seq));
            let Some((at, last)) = of_version.next_back() else {
                let problem = "it says that it was redacted, and no entry redacts it";
                report.find(record, Some(*seq), "content", problem);
                continue;
            };
            match (&stored.oid, last.stored.get(seq)) {
                (Ok(found), Some(listed)) if found == listed && stored.has_mark => {}
                (Ok(_), _) => {
                    let problem = format!("the stored document is not what the redaction @{at} left: it was edited");
                    report.find(record, Some(*seq), "content", problem);
                }
                (Err(error), _) => {
                    report.find(record, Some(*seq), "content", format!("the stored document has {error}"))
                }
            }
        }
        for (at, redaction) in &self.redactions {
            for seq in redaction.stored.keys() {
                let is_written = self.spans.iter().any(|span| span.seq == *seq);
                if is_written && !self.redacted.contains_key(seq) && !report.is_found(record, *seq, "content") {
                    let problem = format!("the redaction @{at} lists it, and its document is as it was written");
                    report.find(record, Some(*seq), "content", problem);
                }
            }
        }
        for (seq, has_mark) in &self.messages {
            let is_listed = self.redactions.iter().any(|(_, redaction)| redaction.messages.contains(seq));
            if !(is_listed && *has_mark) {
                report.find(record, Some(*seq), "message", "the message was edited");
            }
        }
    }

    fn content(&self, project: &Project, policies: &Policies, entry: &Entry, report: &mut FsckReport) {
        let seq = Some(entry.header.seq);
        let Ok(collection) = project.collection(&self.record.collection) else { return };
        let (doc, expected) = match (&entry.doc, entry.header.oid) {
            (Some(doc), Some(expected)) => (doc, expected),
            (None, _) => return report.find(&self.record, seq, "content", "the stored document is gone"),
            (Some(_), None) => return report.find(&self.record, seq, "content", "a deletion with a stored document"),
        };
        let named = entry.header.meta.get(POLICY).and_then(Value::as_str);
        let outcome = match named.map(|address| policies.get(address)) {
            Some(Some(policy)) => oid(doc, policy),
            Some(None) => {
                let problem = "the field policy that it was made under is not stored: its content cannot be checked";
                return report.find(&self.record, seq, "policy", problem);
            }
            // Older than the recording of policies: any that the env has had will do.
            None => match oid(doc, &collection.policy) {
                Ok(found) if found != expected => {
                    let fits = policies.values().any(|policy| oid(doc, policy).ok() == Some(expected));
                    Ok(if fits { expected } else { found })
                }
                other => other,
            },
        };
        match outcome {
            Ok(found) if found == expected => {}
            Ok(_) => report.find(
                &self.record,
                seq,
                "content",
                "the stored document does not hash to the entry's oid: it was edited",
            ),
            Err(error) => report.find(&self.record, seq, "content", format!("the stored document has {error}")),
        }
    }

    pub(super) fn finish(self, stored: Option<HeadState>, report: &mut FsckReport) -> Recomputed {
        report.records += 1;
        let record = &self.record;
        self.check_redactions(report);
        let (Some(greatest), Some(last), Some((_, last_id))) = (&self.greatest, self.spans.last(), self.previous)
        else {
            // Redactions alone designate nothing.
            return Recomputed::Agrees;
        };
        let tip = TipRef { seq: last.seq, entry_id: last_id, recorded_at: last.recorded_at };
        // Where the head speaks of entries beyond the last one, these are lost, and that must stay to be seen.
        let is_cut = stored.as_ref().is_some_and(|s| s.tip.seq > tip.seq || s.head.seq > tip.seq);
        let repair = (!self.is_broken && !is_cut).then_some(REWRITTEN);
        let mut closed = Vec::new();
        for ((span, cached), expected) in self.spans.iter().zip(&self.cached).zip(interval_ends(&self.spans)) {
            if *cached != expected {
                closed.push((span.seq, expected));
                let problem = "the stored end of its interval is not what the entries say";
                report.find_mendable(record, Some(span.seq), "interval", problem, repair);
            }
        }
        let collection = &self.record.collection;
        // Heads come with live: a table that is not there hides them.
        let is_hidden = report.troubles.iter().any(|t| t.is_unreadable() && t.collection == *collection);
        let mends_head = match &stored {
            None if is_hidden => return Recomputed::Agrees,
            None => {
                report.find_mendable(record, None, "head", "there are entries and no head", repair);
                true
            }
            Some(stored) => check_head(record, stored, greatest, tip, report, repair),
        };
        if repair.is_none() || (closed.is_empty() && !mends_head) {
            return Recomputed::Agrees;
        }
        let expected = match &stored {
            None => ExpectedHead::Lost { tip },
            Some(stored) => ExpectedHead::At { head: stored.head, tip: stored.tip },
        };
        Recomputed::Differs(Box::new(Upkeep {
            record: self.record.clone(),
            expected,
            head: greatest.head,
            mended_tip: mends_head.then_some(tip),
            closed,
            links: Vec::new(),
        }))
    }
}

/// Compares the row of the head with the entries; returns whether it differs.
fn check_head(
    record: &RecordKey,
    stored: &HeadState,
    greatest: &Greatest,
    tip: TipRef,
    report: &mut FsckReport,
    repair: Option<&str>,
) -> bool {
    let before = report.findings.len();
    let seq = Some(stored.head.seq);
    if stored.head != greatest.head {
        let problem = format!("HEAD should be @{}", greatest.head.seq);
        report.find_mendable(record, seq, "head", problem, repair);
    } else if stored.author != greatest.author || stored.recorded_at != greatest.recorded_at {
        let problem = "the head's author or time is not its entry's";
        report.find_mendable(record, seq, "head", problem, repair);
    }
    if stored.tip != tip {
        let problem = format!("the newest entry is @{}", tip.seq);
        report.find_mendable(record, Some(stored.tip.seq), "tip", problem, repair);
    }
    report.findings.len() > before
}
