//! `fsck`: recomputes everything that is derived and compares it with what is stored.

use std::collections::BTreeMap;

use futures_util::TryStreamExt;

use super::init::{ENV_OBJECT, registered};
use super::project::{Progress, Project};
use crate::adapter::{AdapterError, Detail, EntryQuery, HeadState, Live, Scope};
use crate::document::{EntryId, Object, oid};
use crate::error::Error;
use crate::history::{
    CollectionName, DocState, Ends, Entry, MessageHash, Op, RecordKey, Seq, Span, Timestamp, head, interval_ends,
};

/// One thing that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which record.
    pub record: RecordKey,
    /// Which entry, where one is concerned.
    pub seq: Option<Seq>,
    /// A stable word: `entry_id`, `chain`, `gap`, `content`, `message`, `head`, `tip`, `interval`, `ambiguous`,
    /// `unreadable` (its live row), `damaged` (its history cannot be read), `unconfigured` (its
    /// collection is not).
    pub code: &'static str,
    /// What is wrong, without values.
    pub problem: String,
}

/// What [`Project::fsck`] found.
#[derive(Debug, Clone, Default)]
pub struct FsckReport {
    /// The findings, by record.
    pub findings: Vec<Finding>,
    /// How many records were checked.
    pub records: u64,
    /// How many entries were checked.
    pub entries: u64,
}

impl FsckReport {
    /// Returns the exit code: 6 where anything was found.
    pub fn exit_code(&self) -> u8 {
        if self.findings.is_empty() { 0 } else { 6 }
    }

    /// Returns `{findings, records, entries}`.
    pub fn to_object(&self) -> Object {
        let findings = self.findings.iter().map(|f| {
            Object::new()
                .with("collection", f.record.collection.as_str())
                .with("config_id", f.record.id.to_value())
                .with("seq", f.seq.map(|seq| seq.0))
                .with("code", f.code)
                .with("problem", f.problem.as_str())
        });
        Object::new()
            .with("findings", findings.collect::<Vec<_>>())
            .with("records", self.records)
            .with("entries", self.entries)
    }
}

impl Project {
    /// Checks the whole history of the env: ids against headers, the hash chain, content addresses
    /// against stored documents, HEAD and tip, cached intervals, the live rule.
    ///
    /// It reads only. Dropping a record's newest entries together with its head row shows only
    /// against an anchor outside: a tag, an export, a printed head.
    ///
    /// # Errors
    ///
    /// Only where the store fails.
    pub async fn fsck(&self, progress: Option<&dyn Progress>) -> Result<FsckReport, Error> {
        let mut report = match self.check(Scope::All(None), progress).await {
            Err(Error::Storage(AdapterError::Damaged { .. } | AdapterError::Storage { .. })) => {
                self.check_each(progress).await?
            }
            other => other?,
        };
        // Heads and entries are two reads: what was committed between them looks like damage. Damage
        // is still there when it is looked at again.
        for _ in 0..RECHECKS {
            let mut suspects: Vec<RecordKey> =
                report.findings.iter().filter(|f| f.is_of_heads()).map(|f| f.record.clone()).collect();
            suspects.dedup();
            let mut again = Vec::new();
            for chunk in suspects.chunks(CHUNK) {
                again.extend(self.check(Scope::Records(chunk.to_vec()), None).await?.findings);
            }
            report.findings.retain(|finding| {
                !finding.is_of_heads()
                    || again.iter().any(|f| (&f.record, f.seq, f.code) == (&finding.record, finding.seq, finding.code))
            });
        }
        self.unconfigured(&mut report).await?;
        Ok(report)
    }

    /// Finds history of collections that this env once had and that are not configured now.
    async fn unconfigured(&self, report: &mut FsckReport) -> Result<(), Error> {
        let stored = self.adapter.objects(ENV_OBJECT, Some(self.settings.env.as_str())).await?;
        let names = stored.iter().flat_map(|object| registered(&object.body)).filter_map(|(name, _)| name);
        for name in names.filter_map(|name| CollectionName::new(&name).ok()) {
            if self.collections().iter().any(|c| c.name == name) {
                continue;
            }
            let mut query = EntryQuery::new(self.settings.env.clone(), Scope::All(Some(name)));
            query.seqs = vec![Seq::FIRST];
            let mut chunks = self.adapter.entries(&query);
            while let Some(chunk) = chunks.try_next().await? {
                for entry in chunk {
                    let problem = "its collection is not configured: this history is not checked";
                    report.find(&entry.header.record, None, "unconfigured", problem);
                }
            }
        }
        report.findings.sort_by(|a, b| (&a.record, a.seq).cmp(&(&b.record, b.seq)));
        Ok(())
    }

    /// Checks record by record, where something cannot even be read: so the others still are.
    async fn check_each(&self, progress: Option<&dyn Progress>) -> Result<FsckReport, Error> {
        let mut report = FsckReport::default();
        let records: Vec<RecordKey> =
            self.heads(&Scope::All(None), &mut FsckReport::default()).await?.into_keys().collect();
        for record in records {
            match self.check(Scope::Records(vec![record.clone()]), None).await {
                Ok(mut one) => {
                    report.findings.append(&mut one.findings);
                    (report.records, report.entries) = (report.records + one.records, report.entries + one.entries);
                }
                Err(Error::Storage(
                    AdapterError::Damaged { problem } | AdapterError::Storage { reason: problem, .. },
                )) => report.find(&record, None, "damaged", problem),
                Err(error) => return Err(error),
            }
            if let Some(progress) = progress {
                progress.advance(report.entries, None);
            }
        }
        Ok(report)
    }

    async fn check(&self, scope: Scope, progress: Option<&dyn Progress>) -> Result<FsckReport, Error> {
        let mut report = FsckReport::default();
        let mut heads = self.heads(&scope, &mut report).await?;
        let mut query = EntryQuery::new(self.settings.env.clone(), scope);
        query.detail = Detail::Document;
        let mut chunks = self.adapter.entries(&query);
        let mut check: Option<RecordCheck> = None;
        while let Some(chunk) = chunks.try_next().await? {
            for entry in chunk {
                report.entries += 1;
                let record = entry.header.record.clone();
                if check.as_ref().is_none_or(|c| c.record != record) {
                    if let Some(done) = check.take() {
                        let head = heads.remove(&done.record);
                        done.finish(head, &mut report);
                    }
                    check = Some(RecordCheck::new(record));
                }
                if let Some(check) = &mut check {
                    check.entry(self, entry, &mut report);
                }
            }
            if let Some(progress) = progress {
                progress.advance(report.entries, None);
            }
        }
        if let Some(done) = check {
            let head = heads.remove(&done.record);
            done.finish(head, &mut report);
        }
        for (record, _) in heads {
            report.find(&record, None, "head", "there is a head and no entry");
        }
        report.findings.sort_by(|a, b| (&a.record, a.seq).cmp(&(&b.record, b.seq)));
        Ok(report)
    }

    async fn heads(&self, scope: &Scope, report: &mut FsckReport) -> Result<BTreeMap<RecordKey, HeadState>, Error> {
        let mut heads = BTreeMap::new();
        let mut chunks = self.adapter.records(&self.settings.env, scope);
        while let Some(chunk) = chunks.try_next().await? {
            for state in chunk {
                match &state.live {
                    Live::Ambiguous { rows } => {
                        report.find(&state.record, None, "ambiguous", format!("{rows} rows satisfy the live rule"));
                    }
                    Live::Unreadable { reason } => report.find(&state.record, None, "unreadable", reason.clone()),
                    _ => {}
                }
                if let Some(head) = state.head {
                    heads.insert(state.record, head);
                }
            }
        }
        Ok(heads)
    }
}

/// How often what looks like a damaged head is looked at again, and how many at once.
const RECHECKS: u32 = 3;
const CHUNK: usize = 500;

impl Finding {
    fn is_of_heads(&self) -> bool {
        matches!(self.code, "head" | "tip")
    }
}

impl FsckReport {
    fn find(&mut self, record: &RecordKey, seq: Option<Seq>, code: &'static str, problem: impl Into<String>) {
        self.findings.push(Finding { record: record.clone(), seq, code, problem: problem.into() });
    }
}

/// What is kept of one record while its entries pass: places, not documents.
struct RecordCheck {
    record: RecordKey,
    previous: Option<(Seq, EntryId)>,
    spans: Vec<Span>,
    cached: Vec<Ends>,
    ids: Vec<(EntryId, Option<crate::document::Oid>)>,
    redacted: Vec<Seq>,
    has_redaction: bool,
}

impl RecordCheck {
    fn new(record: RecordKey) -> Self {
        RecordCheck {
            record,
            previous: None,
            spans: Vec::new(),
            cached: Vec::new(),
            ids: Vec::new(),
            redacted: Vec::new(),
            has_redaction: false,
        }
    }

    fn entry(&mut self, project: &Project, entry: Entry, report: &mut FsckReport) {
        let header = &entry.header;
        let (record, seq) = (&self.record, Some(header.seq));
        if header.entry_id() != entry.entry_id {
            report.find(record, seq, "entry_id", "the entry was edited: its id is not the hash of its header");
        }
        let expected = self.previous.map_or(Seq::FIRST, |(seq, _)| seq.next());
        if header.seq != expected {
            report.find(record, seq, "gap", format!("entry {expected} is missing before this one"));
        } else if header.prev_entry_id != self.previous.map(|(_, id)| id) {
            report.find(record, seq, "chain", "the link to the entry before does not fit it");
        }
        self.previous = Some((header.seq, entry.entry_id));
        match (entry.doc_state, header.oid) {
            (DocState::Present, _) => self.content(project, &entry, report),
            (DocState::None, Some(_)) => report.find(record, seq, "content", "the stored document is gone"),
            // Nothing but a redact entry overwrites values.
            (DocState::Redacted, _) => self.redacted.push(header.seq),
            (DocState::None | DocState::Thinned, _) => {}
        }
        self.has_redaction |= header.op == Op::Redact;
        if entry.doc_state != DocState::Redacted && MessageHash::of(&entry.message) != header.message {
            report.find(&self.record, seq, "message", "the message was edited");
        }
        self.spans.push(Span {
            seq: header.seq,
            recorded_at: header.recorded_at,
            valid_from: header.valid_from,
            in_valid_order: header.op != Op::Redact,
        });
        self.cached.push(Ends {
            valid_to: entry.valid_to.unwrap_or(Timestamp::OPEN),
            superseded_at: entry.superseded_at.unwrap_or(Timestamp::OPEN),
        });
        self.ids.push((entry.entry_id, header.oid));
    }

    fn content(&self, project: &Project, entry: &Entry, report: &mut FsckReport) {
        let seq = Some(entry.header.seq);
        let Ok(collection) = project.collection(&self.record.collection) else { return };
        match (&entry.doc, entry.header.oid) {
            (Some(doc), Some(expected)) => match oid(doc, &collection.policy) {
                Ok(found) if found == expected => {}
                Ok(_) => report.find(
                    &self.record,
                    seq,
                    "content",
                    "the stored document does not hash to the entry's oid: it was edited, or the ignore rules changed",
                ),
                Err(error) => report.find(&self.record, seq, "content", format!("the stored document has {error}")),
            },
            (None, _) => report.find(&self.record, seq, "content", "the stored document is gone"),
            (Some(_), None) => report.find(&self.record, seq, "content", "a deletion with a stored document"),
        }
    }

    fn finish(self, stored: Option<HeadState>, report: &mut FsckReport) {
        report.records += 1;
        for seq in self.redacted.iter().filter(|_| !self.has_redaction) {
            report.find(
                &self.record,
                Some(*seq),
                "content",
                "it says that it was redacted, and no entry redacts anything",
            );
        }
        for ((span, cached), expected) in self.spans.iter().zip(&self.cached).zip(interval_ends(&self.spans)) {
            if *cached != expected {
                report.find(
                    &self.record,
                    Some(span.seq),
                    "interval",
                    "the stored end of its interval is not what the entries say",
                );
            }
        }
        let Some(stored) = stored else {
            report.find(&self.record, None, "head", "there are entries and no head");
            return;
        };
        let id_of = |seq: Seq| self.spans.iter().position(|s| s.seq == seq).map(|n| self.ids[n]);
        let greatest = head(&self.spans);
        if Some(stored.head.seq) != greatest || id_of(stored.head.seq) != Some((stored.head.entry_id, stored.head.oid))
        {
            let should = greatest.map_or_else(|| "nothing".to_owned(), |seq| format!("@{seq}"));
            report.find(&self.record, Some(stored.head.seq), "head", format!("HEAD should be {should}"));
        }
        let newest = self.spans.last().map(|s| s.seq);
        if Some(stored.tip.seq) != newest || id_of(stored.tip.seq).map(|(id, _)| id) != Some(stored.tip.entry_id) {
            let should = newest.map_or_else(|| "nothing".to_owned(), |seq| format!("@{seq}"));
            report.find(&self.record, Some(stored.tip.seq), "tip", format!("the newest entry is {should}"));
        }
    }
}
