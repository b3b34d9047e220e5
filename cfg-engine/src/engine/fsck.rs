//! `fsck`: recomputes everything that is derived and compares it with what is stored.

use std::collections::BTreeMap;

use futures_util::TryStreamExt;

use super::fsck_record::{Recomputed, RecordCheck};
use super::init::registered;
use super::pass::CollectionTrouble;
use super::project::{Options, Progress, Project};
use crate::adapter::{AdapterError, Detail, ENV_OBJECT, EntryQuery, HeadState, Live, Mending, Scope};
use crate::document::{FieldPolicy, Object, Value};
use crate::error::Error;
use crate::history::{CollectionName, RecordKey, Seq};
use crate::plan::{Upkeep, Verb};

/// One thing that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which record; `None` where it is about one of the engine's own documents or about the store.
    pub record: Option<RecordKey>,
    /// Which of the engine's own documents: `tag june`.
    pub object: Option<String>,
    /// Which entry, where one is concerned.
    pub seq: Option<Seq>,
    /// A stable word: `entry_id`, `chain`, `gap`, `content`, `policy`, `secret` (a stored document holds one), `message`,
    /// `head`, `tip`, `interval`, `tag`, `approval`, `plan`, `ambiguous`, `unreadable` or `unhashable` (its
    /// live row), `damaged` (its history cannot be read), `unconfigured` (its collection is not), `orphan` (a row of no record), `pending` (a write that was never finished).
    pub code: &'static str,
    /// What is wrong, without values.
    pub problem: String,
    /// What `fsck --repair` does about it; `None` where that would make up content.
    pub repair: Option<String>,
    /// It was repaired.
    pub repaired: bool,
}

/// What [`Project::fsck`] found.
#[derive(Debug, Clone, Default)]
pub struct FsckReport {
    /// The findings, by record.
    pub findings: Vec<Finding>,
    /// Rows that belong to no record, and collections whose live table cannot be read: their history is
    /// checked, but not their heads against it.
    pub troubles: Vec<CollectionTrouble>,
    /// How many records were checked.
    pub records: u64,
    /// How many entries were checked.
    pub entries: u64,
    /// What a repair writes.
    pub(crate) upkeep: Vec<Upkeep>,
}

impl FsckReport {
    /// Returns the exit code: 6 where anything was found that was not repaired.
    pub fn exit_code(&self) -> u8 {
        if self.findings.iter().all(|finding| finding.repaired) && self.troubles.is_empty() { 0 } else { 6 }
    }

    /// Returns `{findings, records, entries}`.
    pub fn to_object(&self) -> Object {
        let findings = self.findings.iter().map(|f| {
            Object::new()
                .with("collection", f.record.as_ref().map(|record| record.collection.as_str()))
                .with("config_id", f.record.as_ref().map(|record| record.id.to_value()))
                .with("object", f.object.clone())
                .with("seq", f.seq.map(|seq| seq.0))
                .with("code", f.code)
                .with("problem", f.problem.as_str())
                .with("repair", f.repair.clone())
                .with("repaired", f.repaired)
        });
        let troubles = self.troubles.iter().map(|trouble| {
            Object::new()
                .with("collection", trouble.collection.as_str())
                .with("config_id", Value::Null)
                .with("object", Value::Null)
                .with("seq", Value::Null)
                .with("code", trouble.error.code())
                .with("problem", trouble.error.to_string())
                .with("repair", Value::Null)
                .with("repaired", false)
        });
        Object::new()
            .with("findings", findings.chain(troubles).collect::<Vec<_>>())
            .with("records", self.records)
            .with("entries", self.entries)
    }

    pub(super) fn find(
        &mut self,
        record: &RecordKey,
        seq: Option<Seq>,
        code: &'static str,
        problem: impl Into<String>,
    ) {
        self.add(Some(record.clone()), seq, code, problem.into(), None);
    }

    pub(super) fn find_mendable(
        &mut self,
        record: &RecordKey,
        seq: Option<Seq>,
        code: &'static str,
        problem: impl Into<String>,
        repair: Option<&str>,
    ) {
        self.add(Some(record.clone()), seq, code, problem.into(), repair.map(str::to_owned));
    }

    /// Returns whether a thing of this kind was found of an entry already.
    pub(super) fn is_found(&self, record: &RecordKey, seq: Seq, code: &str) -> bool {
        self.findings.iter().any(|f| f.record.as_ref() == Some(record) && f.seq == Some(seq) && f.code == code)
    }

    pub(super) fn add(
        &mut self,
        record: Option<RecordKey>,
        seq: Option<Seq>,
        code: &'static str,
        problem: String,
        repair: Option<String>,
    ) {
        self.findings.push(Finding { record, object: None, seq, code, problem, repair, repaired: false });
    }

    fn sort(&mut self) {
        self.findings.sort_by(|a, b| (&a.record, &a.object, a.seq).cmp(&(&b.record, &b.object, b.seq)));
    }
}

impl Project {
    /// Checks the whole history of the env: ids against headers, the hash chain, content addresses
    /// against stored documents, HEAD and tip, cached intervals, the live rule, tags against what they name,
    /// kept plans and requests against their addresses, and what only the store itself can see.
    ///
    /// It reads only. Dropping a record's newest entries together with its head row shows only
    /// against an anchor outside: a tag, an export, a printed head.
    ///
    /// # Errors
    ///
    /// Only where the store fails.
    pub async fn fsck(&self, progress: Option<&dyn Progress>) -> Result<FsckReport, Error> {
        self.look(Mending::Look, progress).await
    }

    /// As [`fsck`](Self::fsck), and then writes anew what follows from the entries: heads, tips and cached
    /// intervals. Nothing else: an entry or a document that is gone or was edited is in a backup or nowhere.
    ///
    /// # Errors
    ///
    /// Where the store fails or the env is gated.
    pub async fn repair(&self, options: &Options, progress: Option<&dyn Progress>) -> Result<FsckReport, Error> {
        let options = &self.under_approval(options).await?;
        let gated = self.ensure_env().await?.policy.gated;
        if options.dry_run || gated {
            let mut report = self.look(Mending::Look, progress).await?;
            let mut plan = self.plan(Verb::Repair, options, Vec::new());
            plan.upkeep = std::mem::take(&mut report.upkeep);
            if options.dry_run || plan.upkeep.is_empty() {
                return Ok(report);
            }
            let options = self.with_permit(&plan, options).await?;
            return self.mend(&options, progress).await;
        }
        self.mend(options, progress).await
    }

    async fn mend(&self, options: &Options, progress: Option<&dyn Progress>) -> Result<FsckReport, Error> {
        let mut report = self.look(Mending::Repair, progress).await?;
        for upkeep in std::mem::take(&mut report.upkeep) {
            let record = upkeep.record.clone();
            match self.apply_upkeep(Verb::Repair, options, vec![upkeep]).await {
                Ok(()) => {
                    let of_record = |f: &&mut Finding| f.record.as_ref() == Some(&record) && f.repair.is_some();
                    report.findings.iter_mut().filter(of_record).for_each(|finding| finding.repaired = true);
                }
                // Somebody wrote it meanwhile, or it cannot be written; the finding stays as it is.
                Err(
                    Error::StaleHead { .. }
                    | Error::Contended { .. }
                    | Error::Storage(AdapterError::Damaged { .. } | AdapterError::Storage { .. }),
                ) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(report)
    }

    async fn look(&self, mending: Mending, progress: Option<&dyn Progress>) -> Result<FsckReport, Error> {
        let mut report = match self.check(Scope::All(None), progress).await {
            Err(Error::Storage(AdapterError::Damaged { .. } | AdapterError::Storage { .. })) => {
                self.check_each(progress).await?
            }
            other => other?,
        };
        // Heads and entries are two reads: what was committed between them looks like damage. Damage
        // is still there when it is looked at again.
        for _ in 0..RECHECKS {
            let suspects = report.findings.iter().filter(|f| f.is_of_heads());
            let mut suspects: Vec<RecordKey> = suspects.filter_map(|f| f.record.clone()).collect();
            suspects.dedup();
            let mut again = FsckReport::default();
            for chunk in suspects.chunks(CHUNK) {
                let part = self.check(Scope::Records(chunk.to_vec()), None).await?;
                again.findings.extend(part.findings);
                again.upkeep.extend(part.upkeep);
            }
            report.findings.retain(|finding| {
                let same = |f: &Finding| (&f.record, f.seq, f.code) == (&finding.record, finding.seq, finding.code);
                !finding.is_of_heads() || again.findings.iter().any(same)
            });
            report.upkeep.retain(|upkeep| !suspects.contains(&upkeep.record));
            report.upkeep.extend(again.upkeep);
        }
        self.unconfigured(&mut report).await?;
        self.check_objects(&mut report).await?;
        self.check_plans(&mut report).await?;
        for found in self.adapter.check_store(&self.settings.env, mending).await? {
            report.add(found.record, found.seq, found.code, found.problem, found.repair);
            if let Some(finding) = report.findings.last_mut() {
                finding.repaired = found.is_mended;
            }
        }
        report.sort();
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
        Ok(())
    }

    /// Checks record by record, where something cannot even be read: so the others still are.
    async fn check_each(&self, progress: Option<&dyn Progress>) -> Result<FsckReport, Error> {
        let mut report = FsckReport::default();
        let mut known = FsckReport::default();
        let heads = self.heads(&Scope::All(None), &mut known).await?;
        report.troubles = std::mem::take(&mut known.troubles);
        let mut records: BTreeMap<RecordKey, Option<Seq>> =
            heads.iter().map(|(record, head)| (record.clone(), Some(head.tip.seq))).collect();
        // A record whose head is lost has no head that could name it.
        records.extend(known.findings.into_iter().filter_map(|f| Some((f.record?, None))));
        for (record, newest) in records {
            match self.check(Scope::Records(vec![record.clone()]), None).await {
                Ok(mut one) => {
                    report.findings.append(&mut one.findings);
                    report.upkeep.append(&mut one.upkeep);
                    (report.records, report.entries) = (report.records + one.records, report.entries + one.entries);
                }
                Err(Error::Storage(
                    AdapterError::Damaged { problem } | AdapterError::Storage { reason: problem, .. },
                )) => self.find_damaged(&record, newest, problem, &mut report).await?,
                Err(error) => return Err(error),
            }
            if let Some(progress) = progress {
                progress.advance(report.entries, None);
            }
        }
        Ok(report)
    }

    /// Finds which entries of a record cannot be read: halves are read until one is left.
    async fn find_damaged(
        &self,
        record: &RecordKey,
        newest: Option<Seq>,
        problem: String,
        report: &mut FsckReport,
    ) -> Result<(), Error> {
        report.records += 1;
        let before = report.findings.len();
        let mut ranges: Vec<(u64, u64)> = newest.map(|newest| (1, newest.0)).into_iter().collect();
        while let Some((first, last)) = ranges.pop() {
            let mut query = EntryQuery::new(self.settings.env.clone(), Scope::Records(vec![record.clone()]));
            query.seqs = (first..=last).map(Seq).collect();
            query.detail = Detail::Document;
            match self.adapter.entries(&query).try_concat().await {
                Ok(entries) => report.entries += entries.len() as u64,
                Err(AdapterError::Damaged { problem } | AdapterError::Storage { reason: problem, .. }) => {
                    if first == last {
                        report.find(record, Some(Seq(first)), "damaged", problem);
                    } else {
                        let middle = first + (last - first) / 2;
                        ranges.extend([(first, middle), (middle + 1, last)]);
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        if report.findings.len() == before {
            report.find(record, None, "damaged", problem);
        }
        Ok(())
    }

    async fn check(&self, scope: Scope, progress: Option<&dyn Progress>) -> Result<FsckReport, Error> {
        let mut report = FsckReport::default();
        let policies = self.policies().await?;
        let mut heads = self.heads(&scope, &mut report).await?;
        let mut query = EntryQuery::new(self.settings.env.clone(), scope);
        query.detail = Detail::Document;
        let mut chunks = self.adapter.entries(&query);
        let mut check: Option<RecordCheck> = None;
        while let Some(chunk) = chunks.try_next().await? {
            for entry in chunk {
                report.entries += 1;
                if check.as_ref().is_none_or(|c| c.record != entry.header.record)
                    && let Some(done) = check.replace(RecordCheck::new(entry.header.record.clone()))
                {
                    finish(done, &mut heads, &mut report);
                }
                if let Some(check) = &mut check {
                    check.entry(self, &policies, entry, &mut report);
                }
            }
            if let Some(progress) = progress {
                progress.advance(report.entries, None);
            }
        }
        if let Some(done) = check {
            finish(done, &mut heads, &mut report);
        }
        for (record, _) in heads {
            report.find(&record, None, "head", "there is a head and no entry");
        }
        report.sort();
        Ok(report)
    }

    async fn heads(&self, scope: &Scope, report: &mut FsckReport) -> Result<BTreeMap<RecordKey, HeadState>, Error> {
        let mut heads = BTreeMap::new();
        let mut found = FsckReport::default();
        let troubles = self
            .pass(scope, None, &mut |state| {
                match &state.live {
                    Live::Ambiguous { rows } => {
                        found.find(&state.record, None, "ambiguous", format!("{rows} rows satisfy the live rule"));
                    }
                    Live::Unreadable { reason } => found.find(&state.record, None, "unreadable", reason.clone()),
                    Live::One(digest) => {
                        if let Err(error) = &digest.oid {
                            let problem = format!("the live document has {error}");
                            found.find(&state.record, None, "unhashable", problem);
                        }
                    }
                    Live::Absent { .. } => {}
                }
                if let Some(head) = state.head {
                    heads.insert(state.record, head);
                }
            })
            .await?;
        report.findings.extend(found.findings);
        report.troubles.extend(troubles);
        Ok(heads)
    }
}

/// The field policies that entries were made under, by address.
pub(super) type Policies = BTreeMap<String, FieldPolicy>;

fn finish(done: RecordCheck, heads: &mut BTreeMap<RecordKey, HeadState>, report: &mut FsckReport) {
    let stored = heads.remove(&done.record);
    if let Recomputed::Differs(upkeep) = done.finish(stored, report) {
        // A head that cannot be read is a row that cannot be read, too: mended with it.
        let of_head = |f: &&mut Finding| f.record.as_ref() == Some(&upkeep.record) && f.code == "unreadable";
        if matches!(upkeep.expected, crate::adapter::ExpectedHead::Lost { .. }) {
            let words = "the same: its head is written anew from its entries";
            report.findings.iter_mut().filter(of_head).for_each(|f| f.repair = Some(words.to_owned()));
        }
        report.upkeep.push(*upkeep);
    }
}

/// How often what looks like a damaged head is looked at again, and how many at once.
const RECHECKS: u32 = 3;
const CHUNK: usize = 500;

impl Finding {
    fn is_of_heads(&self) -> bool {
        matches!(self.code, "head" | "tip" | "interval")
    }
}
