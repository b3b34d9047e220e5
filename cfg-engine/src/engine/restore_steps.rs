//! The steps of a restore: planned to be shown, then carried out batch by batch.

use std::collections::HashMap;
use std::time::Duration;

use super::project::{Options, Progress, Project};
use super::report::RowResult;
use super::restore::{recorded_secrets, why_no_document};
use super::restore_all::{RestoreAll, Version};
use super::transact::{OnMoved, Request};
use crate::adapter::{AdapterError, Detail, Live, LiveWrite, RecordState, TipRef};
use crate::config::Shape;
use crate::document::Object;
use crate::error::Error;
use crate::history::{Entry, OpId, RecordKey, Redacted};
use crate::plan::gates::{OnRefusal, preview};
use crate::plan::stored::StoredPlan;
use crate::plan::{Manner, Plan, PlanView, Planned, SeenState, Target, plan_step};
use crate::planted;

/// What is to happen to one record.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) record: RecordKey,
    pub(crate) seen: SeenState,
    /// The newest entry that was seen; a kept plan does not say. Beyond it, a redaction may have taken something
    /// from the version.
    pub(crate) tip: Option<TipRef>,
    /// The version to go back to; `None` where the record goes.
    pub(crate) version: Option<Version>,
}

/// From where to where, and how.
pub(crate) struct Way<'p> {
    source: &'p Project,
    pub(crate) adopt_drift: bool,
    pub(crate) without_secrets: bool,
    pub(crate) is_elsewhere: bool,
    /// What every entry records of it: `{restored_to: …}`.
    pub(crate) meta: Object,
}

impl<'p> Way<'p> {
    pub(crate) fn new(source: &'p Project, target: &Project, restore: &RestoreAll) -> Self {
        let is_elsewhere = source.settings.env != target.settings.env;
        let mut to = restore.to.to_object();
        if is_elsewhere {
            to.insert("env", source.settings.env.as_str());
        }
        Way {
            source,
            adopt_drift: restore.adopt_drift,
            without_secrets: restore.without_secrets,
            is_elsewhere,
            meta: Object::new().with("restored_to", to),
        }
    }

    /// As it was when the plan was kept.
    pub(crate) fn kept(source: &'p Project, adopt_drift: bool, without_secrets: bool, meta: Object) -> Self {
        Way { source, adopt_drift, without_secrets, is_elsewhere: false, meta }
    }

    /// Reads the headers of the versions that steps go back to.
    pub(crate) async fn headers(&self, steps: &[Step]) -> Result<Vec<Entry>, Error> {
        let there = |record: &RecordKey| RecordKey { env: self.source.settings.env.clone(), ..record.clone() };
        let wanted = steps.iter().filter_map(|step| Some((there(&step.record), step.version?.seq)));
        Ok(self.source.pick(wanted, Detail::Header).await?.into_values().collect())
    }

    fn manner(&self) -> Manner<'_> {
        Manner {
            adopt_drift: self.adopt_drift,
            without_secrets: self.without_secrets,
            creates: self.is_elsewhere,
            meta: &self.meta,
        }
    }
}

/// The plan of all steps.
pub(crate) struct PlannedSteps {
    /// Without its changes.
    pub(crate) plan: Plan,
    pub(crate) stored: StoredPlan,
    pub(crate) view: PlanView,
    /// Those that change something.
    pub(crate) steps: Vec<Step>,
    /// What was read for the first of them, as much as may be kept.
    pub(crate) looked: Looked,
    pub(crate) failed: Vec<(RecordKey, Error)>,
    pub(crate) unchanged: u64,
    /// How many records are changed, created, deleted.
    pub(crate) kinds: [u64; 3],
}

/// What became of steps.
#[derive(Default)]
pub(crate) struct Carried {
    pub(crate) rows: Vec<RowResult>,
}

/// How many records are read and written at once.
const CHUNK: usize = 1000;
/// How many bytes of documents are kept from the plan until it is carried out.
const KEPT_BYTES: usize = 32 * 1024 * 1024;
/// How old they may be by then. What is older has probably moved.
const KEPT_FOR: Duration = Duration::from_secs(2);

/// A record as it is, and what it goes back to, or why it cannot.
pub(crate) struct Look {
    state: RecordState,
    target: Option<Result<Target, Error>>,
}

impl Look {
    /// Returns about how many bytes its larger document has.
    fn bytes(&self) -> usize {
        let live = match &self.state.live {
            Live::One(live) => live.value.about_bytes(),
            _ => 0,
        };
        let target = match &self.target {
            Some(Ok(target)) => target.doc.about_bytes(),
            _ => 0,
        };
        live.max(target)
    }
}

/// What was read for some steps.
pub(crate) type Looked = HashMap<RecordKey, Look>;

impl Project {
    /// Plans the steps: what is shown, and what its address is.
    pub(crate) async fn plan_steps(
        &self,
        way: &Way<'_>,
        steps: &[Step],
        options: &Options,
    ) -> Result<PlannedSteps, Error> {
        let mut changes = Vec::new();
        let mut failed = Vec::new();
        let mut unchanged = 0;
        let (mut kept, mut bytes) = (Looked::new(), 0);
        for chunk in steps.chunks(CHUNK) {
            let mut looked = self.look_at(way, chunk).await?;
            for step in chunk {
                let Some(look) = looked.remove(&step.record) else { continue };
                match self.plan_one(way, step, &look.state, look.target.as_ref()) {
                    Ok(Planned::Change(change)) => match self.storable(&change) {
                        Ok(()) => {
                            changes.push(*change);
                            bytes += look.bytes();
                            if bytes <= KEPT_BYTES {
                                kept.insert(step.record.clone(), look);
                            }
                        }
                        Err(error) => failed.push((step.record.clone(), error)),
                    },
                    Ok(Planned::Nothing) => unchanged += 1,
                    Err(error) => failed.push((step.record.clone(), error)),
                }
            }
        }
        let plan = self.plan(RestoreAll::VERB, options, changes);
        let gate = options.gate();
        let (plan, left_out) = preview(plan, &self.settings, self.collections(), gate, OnRefusal::LeaveOut)?;
        failed.extend(left_out);
        let mut kinds = [0; 3];
        for change in &plan.changes {
            let at = match change.live {
                LiveWrite::Seed(_) => 1,
                LiveWrite::Delete => 2,
                _ => 0,
            };
            kinds[at] += 1;
        }
        let stored = self.stored_plan(&plan, options);
        let view = stored.view(&plan);
        let mut planned = plan.changes.iter().map(|change| &change.record).peekable();
        let steps = steps.iter().filter(|step| planned.next_if_eq(&&step.record).is_some()).cloned().collect();
        let plan = Plan { changes: Vec::new(), ..plan };
        Ok(PlannedSteps { plan, stored, view, steps, looked: kept, failed, unchanged, kinds })
    }

    /// Reads the records of some steps, and what they go back to. What could be seen of a redaction in
    /// between is that the tip is another one: the one that the step knows, or else the one that is read first.
    async fn look_at(&self, way: &Way<'_>, steps: &[Step]) -> Result<Looked, Error> {
        let records: Vec<RecordKey> = steps.iter().map(|step| step.record.clone()).collect();
        let (states, targets) = (self.states(&records), self.targets(way, steps));
        let (states, mut targets) = if steps.iter().all(|step| step.tip.is_some() || step.seen.head.is_none()) {
            futures_util::future::try_join(states, targets).await?
        } else {
            (states.await?, targets.await?)
        };
        let look = |state: RecordState| {
            let target = targets.remove(&state.record);
            (state.record.clone(), Look { state, target })
        };
        Ok(states.into_iter().map(look).collect())
    }

    fn plan_one(
        &self,
        way: &Way<'_>,
        step: &Step,
        state: &RecordState,
        target: Option<&Result<Target, Error>>,
    ) -> Result<Planned, Error> {
        let target = target.map(|target| target.as_ref().map_err(Clone::clone)).transpose()?;
        let planned = plan_step(state, self.rules(&step.record)?, step.seen, target, way.manner())?;
        match (&planned, step.tip) {
            (Planned::Change(_), Some(tip))
                if state.head.as_ref().is_none_or(|head| head.tip != tip) && !planted!("redacted-version-kept") =>
            {
                Err(Error::StaleHead { record: step.record.clone(), current: state.head.clone().map(Box::new) })
            }
            _ => Ok(planned),
        }
    }

    /// Reads the versions that steps go back to, mapped onto what this store can hold now.
    async fn targets(&self, way: &Way<'_>, steps: &[Step]) -> Result<HashMap<RecordKey, Result<Target, Error>>, Error> {
        let there = |record: &RecordKey| RecordKey { env: way.source.settings.env.clone(), ..record.clone() };
        let wanted = steps.iter().filter_map(|step| Some((there(&step.record), step.version?.seq)));
        let mut found = way.source.pick(wanted, Detail::Document).await?;
        let mut redacted = way.source.redacted_among(found.values()).await?;
        let mut targets = HashMap::with_capacity(steps.len());
        for step in steps {
            let Some(version) = step.version else { continue };
            let target = match found.remove(&there(&step.record)) {
                Some(entry) if entry.entry_id == version.entry_id => {
                    let taken = redacted.remove(&(entry.header.record.clone(), entry.header.seq));
                    self.target(&step.record, entry, taken.unwrap_or_default()).await
                }
                found => Err(AdapterError::Damaged {
                    problem: match found {
                        Some(_) => format!("{}@{} is not the entry that is meant", step.record, version.seq),
                        None => format!("{}@{} is missing", step.record, version.seq),
                    },
                }
                .into()),
            };
            targets.insert(step.record.clone(), target);
        }
        Ok(targets)
    }

    async fn target(&self, record: &RecordKey, entry: Entry, redacted: Redacted) -> Result<Target, Error> {
        let had_secrets = recorded_secrets(&entry);
        let Some(doc) = entry.doc.clone() else {
            return Err(Error::NoDocument {
                record: record.clone(),
                reference: format!("@{}", entry.header.seq),
                reason: why_no_document(&entry),
            });
        };
        let doc = redacted.strip(doc);
        let is_row = self.collection(&record.collection)?.shape == Shape::Row;
        // In the document shape a version is what it is.
        let doc = if is_row { self.adapter.fit(record, doc).await? } else { doc };
        Ok(Target {
            seq: entry.header.seq,
            entry_id: entry.entry_id,
            oid: entry.header.oid,
            doc,
            had_secrets,
            redacted,
        })
    }

    /// Carries steps out, batch by batch. What is done is done; a batch that the store does not take is
    /// reported, and so is everything behind it. What is still good of `kept` is not read again.
    pub(crate) async fn carry_out(
        &self,
        way: &Way<'_>,
        steps: &[Step],
        mut kept: Looked,
        options: &Options,
        progress: Option<&dyn Progress>,
    ) -> Result<Carried, Error> {
        let mut carried = Carried::default();
        let total = steps.len() as u64;
        let capabilities = self.adapter.capabilities();
        let most = capabilities.max_batch_records.clamp(1, CHUNK);
        let limit = capabilities.max_batch_bytes / 4;
        // A redaction in the other env would not be seen here.
        if way.is_elsewhere {
            kept.clear();
        }
        let mut n = 0;
        let mut failure: Option<Error> = None;
        for chunk in steps.chunks(CHUNK) {
            let mut looked = match (&failure, self.still_good(&mut kept, chunk)) {
                (Some(_), _) => Looked::new(),
                (None, Some(looked)) => looked,
                (None, None) => match self.look_at(way, chunk).await {
                    Ok(looked) => looked,
                    Err(error) if carried.rows.is_empty() => return Err(error),
                    Err(error) => {
                        failure = Some(error);
                        Looked::new()
                    }
                },
            };
            for batch in batches(chunk, &looked, most, limit) {
                if failure.is_none() {
                    let op_id = match &options.idempotency_key {
                        Some(key) => Some(OpId::new(&format!("{key}/{n}"))?),
                        None => None,
                    };
                    n += 1;
                    match self.carry_out_batch(way, batch, &mut looked, options, op_id).await {
                        Ok(rows) => carried.rows.extend(rows),
                        Err(
                            error @ (Error::Gated { .. }
                            | Error::ApprovalRequired { .. }
                            | Error::ApprovalDenied { .. }
                            | Error::Setup { .. }),
                        ) if carried.rows.is_empty() => {
                            return Err(error);
                        }
                        Err(error) => failure = Some(error),
                    }
                }
                if let Some(error) = &failure {
                    carried.rows.extend(
                        batch.iter().map(|s| RowResult { record: s.record.clone(), result: Err(error.clone()) }),
                    );
                }
                if let Some(progress) = progress {
                    progress.advance(carried.rows.len() as u64, Some(total));
                }
            }
        }
        tracing::debug!(rows = carried.rows.len(), "restore carried out");
        Ok(carried)
    }

    /// Takes what was kept for some steps, if all of it is there and new enough.
    fn still_good(&self, kept: &mut Looked, steps: &[Step]) -> Option<Looked> {
        let now = self.adapter.monotonic();
        let good = |look: &Look| now.saturating_sub(look.state.clock.taken) < KEPT_FOR;
        if !steps.iter().all(|step| kept.get(&step.record).is_some_and(good)) {
            return None;
        }
        Some(steps.iter().filter_map(|step| kept.remove_entry(&step.record)).collect())
    }

    async fn carry_out_batch(
        &self,
        way: &Way<'_>,
        steps: &[Step],
        looked: &mut Looked,
        options: &Options,
        op_id: Option<OpId>,
    ) -> Result<Vec<RowResult>, Error> {
        let mut read_before = Vec::with_capacity(steps.len());
        let mut by_record = HashMap::with_capacity(steps.len());
        for step in steps {
            let Some((record, look)) = looked.remove_entry(&step.record) else { continue };
            read_before.push(look.state);
            by_record.insert(record, (step, look.target));
        }
        let request = Request {
            verb: RestoreAll::VERB,
            records: steps.iter().map(|step| step.record.clone()).collect(),
            options,
            on_refusal: OnRefusal::LeaveOut,
            // Looked at again, a step says itself whether its record is still what it was.
            on_moved: OnMoved::Replan,
            op_id,
            asks_for: None,
            forced: false,
            read_before,
        };
        let plan = |state: &RecordState| match by_record.get(&state.record) {
            Some((step, target)) => self.plan_one(way, step, state, target.as_ref()),
            None => Err(Error::NoRecord { address: state.record.to_string() }),
        };
        Ok(self.transact(request, plan).await?.rows)
    }
}

/// Cuts steps into batches by the number of records and the size of their documents.
fn batches<'s>(steps: &'s [Step], looked: &Looked, most: usize, limit: usize) -> Vec<&'s [Step]> {
    let mut cut = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (n, step) in steps.iter().enumerate() {
        let more = looked.get(&step.record).map_or(0, Look::bytes);
        if n > start && (n - start >= most || bytes + more > limit) {
            cut.push(&steps[start..n]);
            (start, bytes) = (n, 0);
        }
        bytes += more;
    }
    if start < steps.len() {
        cut.push(&steps[start..]);
    }
    cut
}
