//! `adopt`: folds writes around the tool into history.

use std::collections::VecDeque;

use super::project::{Options, Progress, Project};
use super::report::Report;
use super::transact::{OnMoved, Request};
use crate::adapter::{AdapterError, LiveDigest, RecordState};
use crate::document::Object;
use crate::error::Error;
use crate::history::RecordKey;
use crate::plan::gates::{OnRefusal, preview};
use crate::plan::{AdoptInput, Planned, Standing, Verb, plan_adopt};

/// Which records to adopt.
#[derive(Debug, Clone)]
pub enum Adopt {
    /// These.
    Records(Vec<RecordKey>),
    /// Every record that differs from history, untracked ones included.
    All,
}

impl Project {
    /// Records what live holds now as the next version: a changed document, a deletion, a new record.
    ///
    /// Live is compared again inside the transaction, so what is recorded is what was there.
    ///
    /// # Errors
    ///
    /// Only where the store fails or the env is gated; a record's own trouble is its row.
    pub async fn adopt(
        &self,
        adopt: &Adopt,
        options: &Options,
        progress: Option<&dyn Progress>,
    ) -> Result<Report, Error> {
        let input = AdoptInput { include_untracked: true, meta: &Object::new() };
        let plan = |state: &RecordState| match self.rules(&state.record) {
            Ok(rules) => plan_adopt(state, rules, input),
            Err(error) => Err(error),
        };
        match adopt {
            Adopt::Records(records) => {
                self.converge(Verb::Adopt, records.clone(), options, progress, plan, OnRefusal::LeaveOut).await
            }
            Adopt::All => {
                let adopted = |state: &RecordState<LiveDigest>| {
                    matches!(Standing::of(state), Ok(Standing::Clean { .. } | Standing::Removed { .. }))
                };
                let (records, troubles) = self.differing(progress, |state| !adopted(state)).await?;
                let report = self.converge(Verb::Adopt, records, options, progress, plan, OnRefusal::LeaveOut).await?;
                Ok(Report { troubles, ..report })
            }
        }
    }

    /// Carries a converging verb over many records, in batches as large as the store takes.
    pub(crate) async fn converge<F>(
        &self,
        verb: Verb,
        mut records: Vec<RecordKey>,
        options: &Options,
        progress: Option<&dyn Progress>,
        plan_one: F,
        on_refusal: OnRefusal,
    ) -> Result<Report, Error>
    where
        F: Fn(&RecordState) -> Result<Planned, Error> + Send + Sync,
    {
        records.sort();
        records.dedup();
        let options = &self.under_approval(options).await?;
        let options = &self.permitted(verb, &records, options, &plan_one, on_refusal).await?;
        let total = records.len() as u64;
        let mut report = Report { replayed: !records.is_empty(), ..Report::default() };
        let size = self.adapter.capabilities().max_batch_records.min(CHUNK_RECORDS);
        // A dry run shows one plan.
        let size = if options.dry_run { records.len().max(1) } else { size };
        // A dry run of nothing is a plan too: an empty one.
        let nothing: &[RecordKey] = &[];
        let empty = options.dry_run && records.is_empty();
        let mut waiting: VecDeque<&[RecordKey]> = records.chunks(size).chain(empty.then_some(nothing)).collect();
        for n in 0.. {
            let Some(chunk) = waiting.pop_front() else { break };
            let op_id = match &options.idempotency_key {
                Some(key) if n > 0 => Some(crate::history::OpId::new(&format!("{key}/{n}"))?),
                other => other.clone(),
            };
            let request = Request {
                verb,
                records: chunk.to_vec(),
                options,
                on_refusal,
                on_moved: OnMoved::Replan,
                op_id,
                asks_for: None,
                forced: false,
                read_before: Vec::new(),
            };
            match self.transact(request, &plan_one).await {
                Ok(part) => {
                    // What did not fit into the batch's bytes comes next.
                    let done = part.rows.iter().map(|row| &row.record).max();
                    let left = done.map_or(0, |done| chunk.partition_point(|record| record <= done));
                    if !part.rows.is_empty() && left < chunk.len() && part.plan.is_none() {
                        waiting.push_front(&chunk[left..]);
                    }
                    report.rows.extend(part.rows);
                    report.replayed &= part.replayed;
                    report.plan = part.plan.or(report.plan);
                }
                // Whose history it is that is damaged shows when each is tried alone.
                Err(Error::Storage(AdapterError::Damaged { .. })) if chunk.len() > 1 => {
                    let (front, back) = chunk.split_at(chunk.len() / 2);
                    waiting.push_front(back);
                    waiting.push_front(front);
                }
                Err(error @ Error::Storage(AdapterError::Damaged { .. })) => report.fail(chunk, &error),
                Err(error) if report.rows.is_empty() => return Err(error),
                // What is done is done, and is reported; the rest waits for the next run.
                Err(error) => {
                    report.fail(chunk, &error);
                    waiting.drain(..).for_each(|chunk| report.fail(chunk, &error));
                }
            }
            if let Some(progress) = progress {
                progress.advance(report.rows.len() as u64, Some(total));
            }
        }
        report.rows.sort_by(|a, b| a.record.cmp(&b.record));
        Ok(report)
    }
}

impl Project {
    /// On a gated env gets the permit for all that a converging verb is going to do, or files the request.
    async fn permitted<F>(
        &self,
        verb: Verb,
        records: &[RecordKey],
        options: &Options,
        plan_one: &F,
        on_refusal: OnRefusal,
    ) -> Result<Options, Error>
    where
        F: Fn(&RecordState) -> Result<Planned, Error> + Send + Sync,
    {
        if options.dry_run || !self.ensure_env().await?.policy.gated {
            return Ok(options.clone());
        }
        let mut changes = Vec::new();
        let mut waiting: VecDeque<&[RecordKey]> = records.chunks(CHUNK_RECORDS).collect();
        while let Some(chunk) = waiting.pop_front() {
            match self.states(chunk).await {
                Ok(states) => {
                    // What cannot be done is said when the others are.
                    let planned = states.iter().filter_map(|state| match plan_one(state) {
                        Ok(Planned::Change(change)) => Some(*change),
                        _ => None,
                    });
                    changes.extend(planned.filter(|change| self.storable(change).is_ok()));
                }
                Err(Error::Storage(AdapterError::Damaged { .. })) if chunk.len() > 1 => {
                    let (front, back) = chunk.split_at(chunk.len() / 2);
                    waiting.push_front(back);
                    waiting.push_front(front);
                }
                Err(Error::Storage(AdapterError::Damaged { .. })) => {}
                Err(error) => return Err(error),
            }
        }
        let plan = self.plan(verb, options, changes);
        let (plan, _) = preview(plan, &self.settings, self.collections(), options.gate(), on_refusal)?;
        self.with_permit(&plan, options).await
    }
}

/// How many records a converging verb puts into one batch at the most: enough to share the cost of
/// a transaction, few enough to keep memory and locks short.
const CHUNK_RECORDS: usize = 500;
