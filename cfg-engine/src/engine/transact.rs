//! Read, plan, judge, apply; again where somebody else was faster and nothing of theirs is lost by it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use futures_util::TryStreamExt;

use super::document::masked;
use super::op_ids::op_id;
use super::project::{Options, Project};
use super::report::{Replaced, Report, RowOutcome, RowResult, Written};
use crate::adapter::{
    AdapterError, AsOf, AsOfRow, ClockReading, Detail, EntryQuery, HeadRef, Live, LiveWrite, RecordState, Scope, TipRef,
};
use crate::document::Oid;
use crate::error::Error;
use crate::history::{Entry, Op, OpId, RecordKey, Timestamp};
use crate::plan::gates::{EnvState, OnRefusal, clear, preview, warnings};
use crate::plan::{Base, Bound, Grain, Plan, PlanView, Planned, PlannedChange, Verb};
use crate::planted;

/// How often a change is planned anew before it is given up.
const ATTEMPTS: u32 = 12;
/// How often a verb over many records waits for one of them before it goes on without it.
const PATIENCE: u32 = 4;

/// What a moved HEAD means to a verb.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnMoved {
    /// Somebody else's commit came first: the author has to look.
    Conflict,
    /// The verb converges: it is planned anew.
    Replan,
}

/// One verb's change of some records in one batch.
pub(crate) struct Request<'r> {
    pub(crate) verb: Verb,
    /// Distinct; in any order.
    pub(crate) records: Vec<RecordKey>,
    pub(crate) options: &'r Options,
    pub(crate) on_refusal: OnRefusal,
    pub(crate) on_moved: OnMoved,
    /// The op_id, where it is not the caller's key or a fresh one.
    pub(crate) op_id: Option<OpId>,
    /// Whether an entry that an earlier call with the same key wrote is what this call asks for, as far
    /// as the verb can tell without what was there then.
    pub(crate) asks_for: Option<AsksFor<'r>>,
    /// Whether it goes over what others did.
    pub(crate) forced: bool,
    /// For a plan that is made from older versions: the state of every record, read **before** those versions
    /// were. It is the first look; and a record whose history has grown since is not planned from them any
    /// more, since a redaction may have taken from them what must not come back. Empty for every other plan.
    pub(crate) read_before: Vec<RecordState>,
}

/// See [`Request::asks_for`].
pub(crate) type AsksFor<'r> = Box<dyn Fn(&Entry) -> bool + Send + Sync + 'r>;

/// HEAD and live content at the first look, which a change without retry is bound to.
type Seen = HashMap<RecordKey, (Option<HeadRef>, Option<Oid>)>;

impl Project {
    /// Carries one change of some records through. A verb that converges may leave the last of them for
    /// another call: those that no row of the report is about.
    pub(crate) async fn transact<F>(&self, request: Request<'_>, plan_one: F) -> Result<Report, Error>
    where
        F: Fn(&RecordState) -> Result<Planned, Error> + Send + Sync,
    {
        let options = self.under_approval(request.options).await?;
        let request = Request { options: &options, ..request };
        let mut known = request.read_before;
        known.sort_by(|a, b| a.record.cmp(&b.record));
        let tips: HashMap<RecordKey, Option<TipRef>> = known.iter().map(|s| (s.record.clone(), tip(s))).collect();
        let request = Request { read_before: Vec::new(), ..request };
        let mut permit = options.passage.permit.clone();
        let mut tried: Vec<Oid> = Vec::new();
        let mut records = request.records.clone();
        records.sort();
        records.dedup();
        let key = request.op_id.as_ref().or(request.options.idempotency_key.as_ref());
        let op_id = key.cloned().unwrap_or_else(|| op_id(&*self.ids));
        let mut failed: BTreeMap<RecordKey, Error> = BTreeMap::new();
        let mut seen: Option<Seen> = None;
        let mut uncertain = key.is_some() && !request.options.dry_run && !planted!("key-not-looked-up");
        let mut moved: BTreeMap<RecordKey, u32> = BTreeMap::new();
        for attempt in 0..ATTEMPTS {
            records.retain(|record| !failed.contains_key(record));
            let (states, env) = self.look_anew(&records, std::mem::take(&mut known), &request, attempt == 0).await?;
            // What does not fit into one batch is the next one's.
            records.truncate(states.len());
            // The same key may have been used before, by a call that runs beside this one too, and an
            // attempt whose outcome is unknown may have landed since it was looked up. What the states
            // just read hold is decided; what lands after them fails on the tips.
            if uncertain && let Some(report) = self.replay(&records, &op_id).await? {
                self.same_change(&request, &report, &op_id)?;
                not_asked_before(&request, &report, &states, &op_id, &plan_one)?;
                permit.iter().for_each(|permit| permit.done(&tried));
                return Ok(Report { replayed: true, ..finish(report.rows, failed, None) });
            }
            if request.on_moved == OnMoved::Conflict {
                match &seen {
                    Some(seen) => unmoved(&states, seen)?,
                    None => seen = Some(look(&states)),
                }
            }
            let mut rows = Vec::new();
            let mut changes = Vec::new();
            for state in &states {
                let planned = plan_one(state).and_then(|planned| match planned {
                    Planned::Change(_)
                        if tips.get(&state.record).is_some_and(|then| *then != tip(state))
                            && !planted!("redacted-version-kept") =>
                    {
                        let current = state.head.clone().map(Box::new);
                        Err(Error::StaleHead { record: state.record.clone(), current })
                    }
                    Planned::Change(change) => self.storable(&change).map(|()| Some(*change)),
                    Planned::Nothing => Ok(None),
                });
                match planned {
                    Ok(Some(change)) => changes.push(change),
                    Ok(None) => rows.push(unchanged(state)),
                    Err(error) => drop(failed.insert(state.record.clone(), error)),
                }
            }
            let plan = Plan { forced: request.forced, ..self.plan(request.verb, request.options, changes) };
            let gate = request.options.gate();
            if request.on_refusal == OnRefusal::Whole && failed.is_empty() {
                self.fits_a_batch(&plan)?;
            }
            if request.on_refusal == OnRefusal::Whole && !failed.is_empty() {
                // All or nothing: whoever mends what is refused wants to know of all of it at once.
                if let Ok((_, left_out)) = preview(plan, &self.settings, self.collections(), gate, OnRefusal::LeaveOut)
                {
                    failed.extend(left_out);
                }
                return Err(Error::several(failed.into_iter().collect(), states.len()));
            }
            if request.options.dry_run {
                let (plan, left_out) = preview(plan, &self.settings, self.collections(), gate, request.on_refusal)?;
                failed.extend(left_out);
                let plan_warnings = warnings(&plan, &self.settings, self.collections(), gate);
                let view = self.stored_plan(&plan, request.options).view(&plan);
                return Ok(Report { plan_warnings, ..finish(rows, failed, Some(view)) });
            }
            let (plan, left_out) = preview(plan, &self.settings, self.collections(), gate, request.on_refusal)?;
            failed.extend(left_out);
            if let Some(env) = env.as_deref().filter(|env| env.policy.gated && !plan.changes.is_empty())
                && permit.is_none()
            {
                // All that this call does is this plan.
                let stored = self.stored_plan(&plan, request.options);
                permit = Some(self.clearance(&plan, &stored, env, request.options).await?);
            }
            let keeper = self.keeper(gate, request.on_refusal, env.as_deref(), permit.as_deref());
            let (cleared, left_out) = clear(plan, keeper)?;
            failed.extend(left_out);
            if cleared.plan().changes.is_empty() {
                return Ok(finish(rows, failed, None));
            }
            let bound = cleared.bind(op_id.clone(), self.now(&states))?;
            let done = || permit.iter().for_each(|permit| permit.done(cleared.pieces()));
            tried = cleared.pieces().to_vec();
            match self.adapter.apply(&bound.batch).await {
                Ok(()) => {
                    done();
                    rows.extend(self.written(&cleared.plan().changes, bound));
                    warn(&mut rows, warnings(cleared.plan(), &self.settings, self.collections(), gate));
                    return Ok(finish(rows, failed, None));
                }
                Err(error) => {
                    if let Some(found) = self.look_up(&error, &cleared.plan().changes, &op_id).await? {
                        // This very batch, or one that a call with the same key made beside this one.
                        let own = found.written().zip(&bound.entries).all(|(written, entries)| {
                            entries.iter().map(|e| e.entry_id).eq(written.entries.iter().map(|e| e.entry_id))
                        });
                        if own {
                            done();
                        } else {
                            self.same_change(&request, &found, &op_id)?;
                        }
                        rows.extend(if own { self.written(&cleared.plan().changes, bound) } else { found.rows });
                        return Ok(Report { replayed: !own, ..finish(rows, failed, None) });
                    }
                    uncertain |= matches!(error, AdapterError::UnknownOutcome) && !planted!("unknown-commit-retried");
                    if matches!(error, AdapterError::StaleObject { .. }) {
                        // The env asks for something else by now.
                        self.forget_env();
                    }
                    let moved_on = matches!(
                        error,
                        AdapterError::StaleHead { .. }
                            | AdapterError::StaleLive { .. }
                            | AdapterError::StaleObject { .. }
                    );
                    if moved_on && let Some(error) = self.moved_approval(permit.as_deref()).await? {
                        return Err(error);
                    }
                    match settle(error, request.on_refusal, &mut moved)? {
                        Settled::Again => {}
                        Settled::Without(record, error) => drop(failed.insert(record, error)),
                    }
                }
            }
        }
        let contended = |record: &RecordKey| Error::Contended { record: record.clone(), attempts: ATTEMPTS };
        match records.first() {
            Some(record) if request.on_refusal == OnRefusal::Whole => Err(contended(record)),
            _ => {
                failed.extend(records.iter().map(|record| (record.clone(), contended(record))));
                Ok(finish(Vec::new(), failed, None))
            }
        }
    }

    /// Reads the records, unless their states are known, and beside them what the store says of this env. A
    /// verb that converges gets as many as one batch takes at the first look; the others are left for the next.
    async fn look_anew(
        &self,
        records: &[RecordKey],
        known: Vec<RecordState>,
        request: &Request<'_>,
        first: bool,
    ) -> Result<(Vec<RecordState>, Option<Arc<EnvState>>), Error> {
        let may_split = first && request.on_refusal == OnRefusal::LeaveOut && !request.options.dry_run;
        let limit = if may_split { self.adapter.capabilities().max_batch_bytes } else { usize::MAX };
        let states = async {
            if records.is_empty() || !known.is_empty() { Ok(known) } else { self.states_within(records, limit).await }
        };
        let env = async { if request.options.dry_run { Ok(None) } else { self.ensure_env().await.map(Some) } };
        let (states, env) = futures_util::future::join(states, env).await;
        env.and_then(|env| Ok((states?, env)))
    }

    /// Reads the first of some records, in ascending order: those whose documents have so many bytes
    /// together, and one at least.
    async fn states_within(&self, records: &[RecordKey], limit: usize) -> Result<Vec<RecordState>, Error> {
        if limit == usize::MAX {
            return self.states(records).await;
        }
        records.iter().try_for_each(|record| self.own(record))?;
        let scope = Scope::Records(records.to_vec());
        let mut chunks = self.adapter.records(&self.settings.env, &scope);
        let (mut states, mut bytes) = (Vec::new(), 0);
        while let Some(chunk) = chunks.try_next().await? {
            for state in chunk {
                if let Live::One(live) = &state.live {
                    bytes += live.value.about_bytes();
                }
                if bytes > limit && !states.is_empty() {
                    return Ok(states);
                }
                states.push(state);
            }
        }
        Ok(states)
    }

    pub(crate) fn plan(&self, verb: Verb, options: &Options, changes: Vec<PlannedChange>) -> Plan {
        let mut changes = changes;
        if options.allow_secret {
            for entry in changes.iter_mut().flat_map(|change| &mut change.entries) {
                entry.meta.insert("allow_secret", true);
            }
        }
        Plan {
            env: self.settings.env.clone(),
            verb,
            author: options.author.clone().unwrap_or_else(|| self.settings.author.clone()),
            message: options.message.clone(),
            always_gated: changes.iter().any(|change| change.always_gated),
            changes,
            objects: Vec::new(),
            upkeep: Vec::new(),
            forced: false,
            grain: Grain::Change,
        }
    }

    /// Returns the store's time now, from the newest reading that came with the states.
    pub(crate) fn now(&self, states: &[RecordState]) -> Timestamp {
        let monotonic = self.adapter.monotonic();
        let newest: Option<ClockReading> = states.iter().map(|s| s.clock).max_by_key(|clock| clock.taken);
        newest.map_or(Timestamp::from_millis(0), |clock| clock.now_at(monotonic))
    }

    /// Refuses a change of several records whose documents are more than a batch takes.
    fn fits_a_batch(&self, plan: &Plan) -> Result<(), Error> {
        if plan.changes.len() < 2 {
            return Ok(());
        }
        let limit = self.adapter.capabilities().max_batch_bytes;
        let documents = plan.changes.iter().filter_map(|change| change.after.as_ref());
        let bytes: usize = documents.map(|doc| doc.about_bytes()).sum();
        if bytes <= limit {
            return Ok(());
        }
        let store = self.adapter.capabilities().store;
        Err(Error::refused(
            "batch_too_large",
            format!("the documents of one commit have about {bytes} bytes, more than the {limit} that {store} takes"),
            "split the change; each part is atomic by itself",
        ))
    }

    /// Refuses a document that the store cannot hold.
    pub(crate) fn storable(&self, change: &PlannedChange) -> Result<(), Error> {
        match (&change.live, &change.after) {
            (LiveWrite::Update(_) | LiveWrite::Seed(_) | LiveWrite::Activate { .. }, Some(after)) => {
                Ok(self.adapter.check_document(&change.record, after)?)
            }
            _ => Ok(()),
        }
    }

    /// Where an error leaves open whether this very batch landed, looks it up by its op_id.
    async fn look_up(
        &self,
        error: &AdapterError,
        changes: &[PlannedChange],
        op_id: &OpId,
    ) -> Result<Option<Report>, Error> {
        let is_open = matches!(error, AdapterError::UnknownOutcome | AdapterError::StaleHead { .. });
        if !is_open || planted!("unknown-commit-retried") {
            return Ok(None);
        }
        let records: Vec<RecordKey> = changes.iter().map(|c| c.record.clone()).collect();
        self.replay(&records, op_id).await
    }

    /// Refuses a key whose batch was another change than the one that is asked for.
    fn same_change(&self, request: &Request<'_>, report: &Report, key: &OpId) -> Result<(), Error> {
        for written in report.written() {
            let header = &written.entry.header;
            if !made_by(request.verb, &written.entry)
                || request.asks_for.as_ref().is_some_and(|asks_for| !asks_for(&written.entry))
            {
                return Err(key_used(key, &header.record));
            }
        }
        Ok(())
    }

    /// Reports what an earlier call with this idempotency key wrote to these records, if there was one:
    /// for an interface that no longer has the documents it was called with. The verb, the message and the
    /// author are compared; the documents cannot be.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] where the key was used for another change; else only where the store fails.
    pub async fn done_before(&self, again: &DoneBefore<'_>) -> Result<Option<Report>, Error> {
        let Some(report) = self.replay(again.records, again.key).await? else { return Ok(None) };
        let author = again.options.author.as_ref().unwrap_or(&self.settings.author);
        for written in report.written() {
            let entry = &written.entry;
            let same = entry.message == again.options.message && entry.header.author.id == author.id;
            if !same || !made_by(again.verb, entry) {
                return Err(key_used(again.key, &entry.header.record));
            }
        }
        Ok(Some(Report { replayed: true, ..finish(report.rows, BTreeMap::new(), None) }))
    }

    /// Reports what a batch with this op_id wrote, if there was one.
    async fn replay(&self, records: &[RecordKey], op_id: &OpId) -> Result<Option<Report>, Error> {
        if records.is_empty() {
            return Ok(None);
        }
        // Any of them: a record on which the batch had nothing to do has no entry of it.
        let mut query = EntryQuery::new(self.settings.env.clone(), Scope::Records(records.to_vec()));
        query.op_id = Some(op_id.clone());
        query.detail = Detail::Document;
        let entries: Vec<Entry> = self.adapter.entries(&query).try_concat().await?;
        if entries.is_empty() {
            return Ok(None);
        }
        // What was HEAD just before: a batch is later than everything there was.
        let before = entries.iter().map(|entry| entry.header.recorded_at).min().map(|at| at.plus_millis(-1));
        let at = AsOf::Recorded(before.unwrap_or(Timestamp::from_millis(0)));
        let scope = Scope::Records(entries.iter().map(|entry| entry.header.record.clone()).collect());
        let heads = self.adapter.as_of(&self.settings.env, &scope, at, Detail::Header);
        let heads: Vec<AsOfRow<Entry>> = heads.try_concat().await?;
        let mut replaced: HashMap<RecordKey, Replaced> = heads
            .into_iter()
            .map(|row| row.entry.header)
            .map(|h| (h.record, Replaced { seq: h.seq, author: h.author, recorded_at: h.recorded_at }))
            .collect();
        let mut by_record: BTreeMap<RecordKey, Vec<Entry>> = BTreeMap::new();
        for entry in entries {
            by_record.entry(entry.header.record.clone()).or_default().push(entry);
        }
        let rows = records.iter().map(|record| {
            let result = match by_record.remove(record).and_then(|entries| Some((entries.last()?.clone(), entries))) {
                None => Ok(RowOutcome::Unchanged { head: None }),
                Some((mut entry, mut entries)) => {
                    let base = Base { record: record.clone(), seq: Some(entry.header.seq), oid: entry.header.oid };
                    entries.iter_mut().for_each(|entry| entry.doc = None);
                    // What history holds of it; secrets are only in live.
                    let doc = entry.doc.take().map(Arc::new);
                    Ok(RowOutcome::Written(Box::new(Written {
                        entry,
                        entries,
                        replaced: replaced.remove(record),
                        doc,
                        base,
                        warnings: Vec::new(),
                    })))
                }
            };
            RowResult { record: record.clone(), result }
        });
        Ok(Some(Report { rows: rows.collect(), replayed: true, ..Report::default() }))
    }

    /// Reports what a bound batch wrote.
    pub(crate) fn written(&self, changes: &[PlannedChange], bound: Bound) -> Vec<RowResult> {
        let rows = changes.iter().zip(bound.batch.changes()).zip(bound.entries);
        rows.filter_map(|((planned, change), entries)| {
            let entry = entries.last()?.clone();
            let head = change.new_head;
            let replaced = planned.expected.as_ref().map(|h| Replaced {
                seq: h.head.seq,
                author: h.author.clone(),
                recorded_at: h.recorded_at,
            });
            let base = Base { record: planned.record.clone(), seq: head.map(|h| h.seq), oid: head.and_then(|h| h.oid) };
            let doc = match planned.live {
                LiveWrite::Delete => None,
                _ => masked(self, &planned.record, &planned.after),
            };
            let written = Written { entry, entries, replaced, doc, base, warnings: Vec::new() };
            Some(RowResult { record: planned.record.clone(), result: Ok(RowOutcome::Written(Box::new(written))) })
        })
        .collect()
    }
}

/// A call that is made again with its idempotency key.
#[derive(Debug, Clone, Copy)]
pub struct DoneBefore<'a> {
    /// The verb.
    pub verb: Verb,
    /// The records that are named now.
    pub records: &'a [RecordKey],
    /// The key.
    pub key: &'a OpId,
    /// What the call says besides: its message and author.
    pub options: &'a Options,
}

/// Returns whether an entry is one that the verb writes.
fn made_by(verb: Verb, entry: &Entry) -> bool {
    let header = &entry.header;
    match verb {
        // A record that is as asked already gets its pre-image alone.
        Verb::Commit => matches!(header.op, Op::Commit | Op::Import | Op::Force),
        Verb::Remove => header.op == Op::Delete || (header.op == Op::Force && header.is_tombstone()),
        Verb::Restore => header.op == Op::Restore,
        Verb::Adopt => header.op == Op::Adopt,
        Verb::Import => header.op == Op::Import,
        Verb::Activate => matches!(header.op, Op::Commit | Op::Import | Op::Force),
        Verb::Undo => matches!(header.op, Op::Commit | Op::Delete),
        Verb::Redact => header.op == Op::Redact,
        Verb::Init | Verb::Tag | Verb::Link | Verb::Repair | Verb::Approval | Verb::Policy => true,
    }
}

fn key_used(key: &OpId, record: &RecordKey) -> Error {
    Error::refused_for(
        record,
        "key_used",
        format!("the idempotency key {:?} was used for another change of {record}", key.as_str()),
        "use another key; the same one is for the very same change",
    )
}

/// Refuses a replay for a record that the earlier call did not write, where this call would have: it has
/// not moved since, and there is something to do.
fn not_asked_before<F>(
    request: &Request<'_>,
    report: &Report,
    states: &[RecordState],
    key: &OpId,
    plan_one: &F,
) -> Result<(), Error>
where
    F: Fn(&RecordState) -> Result<Planned, Error>,
{
    if request.on_refusal != OnRefusal::Whole {
        return Ok(());
    }
    let Some(then) = report.written().map(|w| w.entry.header.recorded_at).min() else { return Ok(()) };
    let written: Vec<&RecordKey> = report.written().map(|w| &w.entry.header.record).collect();
    for state in states.iter().filter(|state| !written.contains(&&state.record)) {
        let moved = state.head.as_ref().is_some_and(|head| head.recorded_at >= then);
        if !moved && matches!(plan_one(state), Ok(Planned::Change(_))) {
            return Err(key_used(key, &state.record));
        }
    }
    Ok(())
}

enum Settled {
    Again,
    Without(RecordKey, Error),
}

/// Decides what an adapter's error means for the attempt.
fn settle(error: AdapterError, on_refusal: OnRefusal, moved: &mut BTreeMap<RecordKey, u32>) -> Result<Settled, Error> {
    match error {
        // One record that others never let go of must not keep all the others waiting.
        AdapterError::StaleHead { record, .. } | AdapterError::StaleLive { record }
            if on_refusal == OnRefusal::LeaveOut =>
        {
            let times = moved.entry(record.clone()).or_default();
            *times += 1;
            if *times < PATIENCE {
                return Ok(Settled::Again);
            }
            let attempts = *times;
            Ok(Settled::Without(record.clone(), Error::Contended { record, attempts }))
        }
        // Another look decides whether the author has to.
        AdapterError::StaleHead { .. }
        | AdapterError::StaleLive { .. }
        | AdapterError::StaleObject { .. }
        | AdapterError::Clock { .. }
        | AdapterError::UnknownOutcome => Ok(Settled::Again),
        other => {
            let error = Error::from(other);
            match error.record().cloned() {
                Some(record) if on_refusal == OnRefusal::LeaveOut => Ok(Settled::Without(record, error)),
                _ => Err(error),
            }
        }
    }
}

/// Puts warnings into the rows of their records.
fn warn(rows: &mut [RowResult], warnings: Vec<(RecordKey, Error)>) {
    for (record, warning) in warnings {
        let row = rows.iter_mut().find(|row| row.record == record);
        if let Some(RowResult { result: Ok(RowOutcome::Written(written)), .. }) = row {
            written.warnings.push(warning);
        }
    }
}

fn tip(state: &RecordState) -> Option<TipRef> {
    state.head.as_ref().map(|head| head.tip)
}

fn look(states: &[RecordState]) -> Seen {
    states.iter().map(|state| (state.record.clone(), (state.head.as_ref().map(|h| h.head), content(state)))).collect()
}

fn content(state: &RecordState) -> Option<Oid> {
    match &state.live {
        Live::One(live) => live.oid.as_ref().ok().copied(),
        _ => None,
    }
}

/// Checks that neither HEAD nor the versioned content of live moved since the first look.
fn unmoved(states: &[RecordState], seen: &Seen) -> Result<(), Error> {
    let mut moved = Vec::new();
    for state in states {
        let Some((head, live)) = seen.get(&state.record) else { continue };
        let record = state.record.clone();
        if state.head.as_ref().map(|h| h.head) != *head {
            let current = state.head.clone().map(Box::new);
            moved.push((record.clone(), Error::StaleHead { record, current }));
        } else if content(state) != *live {
            moved.push((record.clone(), Error::StaleLive { record }));
        }
    }
    if moved.is_empty() { Ok(()) } else { Err(Error::several(moved, states.len())) }
}

fn unchanged(state: &RecordState) -> RowResult {
    let head = state.head.as_ref().map(|h| h.head);
    RowResult { record: state.record.clone(), result: Ok(RowOutcome::Unchanged { head }) }
}

fn finish(mut rows: Vec<RowResult>, failed: BTreeMap<RecordKey, Error>, plan: Option<PlanView>) -> Report {
    rows.extend(failed.into_iter().map(|(record, error)| RowResult { record, result: Err(error) }));
    rows.sort_by(|a, b| a.record.cmp(&b.record));
    Report { rows, plan, ..Report::default() }
}
