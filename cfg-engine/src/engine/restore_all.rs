//! `restore --tag` and `restore --as-of`: the whole system back to a moment.
//!
//! First everything is looked at and a list of steps is made: which record goes from which version to
//! which. Then the steps are carried out in batches. A step is done only on a record that is still as it was
//! when the list was made; any other is left and reported.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use futures_util::TryStreamExt;

use super::manifest::TagScope;
use super::project::{Options, Progress, Project};
use super::report::{RowOutcome, RowResult};
use super::restore_plan::KeptRoot;
use super::restore_steps::{Carried, Looked, PlannedSteps, Step, Way};
use crate::adapter::{AsOf, AsOfRow, EntryAddress, LiveDigest, RecordState, Scope};
use crate::document::{EntryId, Object, Oid};
use crate::error::Error;
use crate::history::{RecordKey, Seq, TagName, Timestamp};
use crate::outcome::combined_exit;
use crate::plan::stored::StoredPlan;
use crate::plan::{Plan, PlanView, SeenState, Standing, Verb};

/// The moment that a system goes back to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Moment {
    /// What a tag means.
    Tag(TagName),
    /// What was live at an instant.
    At(Timestamp),
}

impl Moment {
    /// Returns `{tag}` or `{as_of}`.
    pub(crate) fn to_object(&self) -> Object {
        match self {
            Moment::Tag(name) => Object::new().with("tag", name.as_str()),
            Moment::At(time) => Object::new().with("as_of", time.to_string()),
        }
    }
}

/// A restore of the whole system.
#[derive(Debug, Clone)]
pub struct RestoreAll {
    /// To which moment.
    pub to: Moment,
    /// Only these records.
    pub only: Option<Vec<RecordKey>>,
    /// All but these.
    pub except: Vec<RecordKey>,
    /// Brings back what has been deleted since.
    pub include_deleted: bool,
    /// Deletes what was not there then.
    pub prune: bool,
    /// Folds drift into history first, where it would otherwise be left as it is.
    pub adopt_drift: bool,
    /// Brings records back without the secrets that they had.
    pub without_secrets: bool,
    /// The plan that was shown; if it would be another one by now, nothing is done.
    pub plan: Option<String>,
}

impl RestoreAll {
    /// Restores everything: what was deleted comes back, nothing is pruned, drift is left.
    pub fn new(to: Moment) -> Self {
        RestoreAll {
            to,
            only: None,
            except: Vec::new(),
            include_deleted: true,
            prune: false,
            adopt_drift: false,
            without_secrets: false,
            plan: None,
        }
    }
}

/// Why a record is left as it is. None of these is a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhyLeft {
    /// It was not there then; `prune` deletes it.
    NotThereThen,
    /// A tag of single records says nothing about it.
    NotCovered,
    /// The moment lies before its estimated baseline.
    UnknownBeforeImport,
    /// It has been deleted since, and deleted records were not asked for.
    Deleted,
    /// It has no history.
    Untracked,
}

impl WhyLeft {
    /// Returns the stable word.
    pub const fn code(self) -> &'static str {
        match self {
            WhyLeft::NotThereThen => "not_there_then",
            WhyLeft::NotCovered => "not_covered",
            WhyLeft::UnknownBeforeImport => "unknown_before_import",
            WhyLeft::Deleted => "deleted_since",
            WhyLeft::Untracked => "left_untracked",
        }
    }

    /// Returns what it means and what to do about it.
    pub const fn words(self) -> (&'static str, &'static str) {
        match self {
            WhyLeft::NotThereThen => ("it was not there then", "delete such records with --prune"),
            WhyLeft::NotCovered => ("the tag does not cover it", "restore it by itself: cfg restore ID VERSION"),
            WhyLeft::UnknownBeforeImport => {
                ("what it was then is not known: that is before its import", "load what is known: cfg import --history")
            }
            WhyLeft::Deleted => ("it has been deleted since", "bring it back with --include-deleted"),
            WhyLeft::Untracked => ("it has no history", "record it with: cfg import ID"),
        }
    }
}

/// A record that is left as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftRecord {
    /// Which record.
    pub record: RecordKey,
    /// Why.
    pub why: WhyLeft,
}

impl LeftRecord {
    /// Returns `{collection, config_id, reason: {code, message, hint}}`.
    pub fn to_object(&self) -> Object {
        let (message, hint) = self.why.words();
        let reason = Object::new().with("code", self.why.code()).with("message", message).with("hint", hint);
        Object::new()
            .with("collection", self.record.collection.as_str())
            .with("config_id", self.record.id.to_value())
            .with("reason", reason)
    }
}

/// What a restore of the whole system did or would do.
#[derive(Debug, Clone, Default)]
pub struct RestoreReport {
    /// The records that were to be restored, by record key: what became of each.
    pub rows: Vec<RowResult>,
    /// The records that are left as they are, by record key.
    pub left: Vec<LeftRecord>,
    /// How many were as they should be already.
    pub unchanged: u64,
    /// The plan, where this was a dry run.
    pub plan: Option<PlanView>,
    /// How many records the plan would change, create and delete.
    pub planned: [u64; 3],
    /// What `resume` takes to finish what is not done.
    pub restore_token: Option<String>,
}

impl RestoreReport {
    /// Returns the rows that failed.
    pub fn failed(&self) -> impl Iterator<Item = (&RecordKey, &Error)> {
        self.rows.iter().filter_map(|row| row.result.as_ref().err().map(|error| (&row.record, error)))
    }

    /// Returns how many records were written.
    pub fn written(&self) -> u64 {
        self.rows.iter().filter(|row| matches!(row.result, Ok(RowOutcome::Written(_)))).count() as u64
    }

    /// Returns the exit code. What is left as it is does not count.
    pub fn exit_code(&self) -> u8 {
        combined_exit(self.failed().map(|(_, error)| error.kind().exit_code()))
    }

    /// Returns `{changed, created, deleted, restored, unchanged, left, failed}`: the first three of a plan,
    /// `restored` of what was done.
    pub fn summary(&self) -> Object {
        let [changed, created, deleted] = self.planned;
        let summary = match self.plan {
            Some(_) => Object::new().with("changed", changed).with("created", created).with("deleted", deleted),
            None => Object::new().with("restored", self.written()),
        };
        let done = self.rows.iter().filter(|row| matches!(row.result, Ok(RowOutcome::Unchanged { .. }))).count();
        summary
            .with("unchanged", self.unchanged + done as u64)
            .with("left", self.left.len())
            .with("failed", self.failed().count())
    }

    /// Returns `{results, failed, left, summary, restore_token?}`, or the plan of a dry run with `failed`,
    /// `left` and `summary`.
    pub fn to_object(&self) -> Object {
        let (failed, results): (Vec<&RowResult>, Vec<&RowResult>) =
            self.rows.iter().partition(|row| row.result.is_err());
        let objects = |rows: Vec<&RowResult>| rows.into_iter().map(RowResult::to_object).collect::<Vec<_>>();
        let object = match &self.plan {
            Some(plan) => plan.shown.clone(),
            None => Object::new().with("results", objects(results)),
        };
        let left: Vec<Object> = self.left.iter().map(LeftRecord::to_object).collect();
        let object = object.with("failed", objects(failed)).with("left", left).with("summary", self.summary());
        match &self.restore_token {
            Some(token) => object.with("restore_token", token.as_str()),
            None => object,
        }
    }

    pub(crate) fn fail(&mut self, failed: Vec<(RecordKey, Error)>) {
        self.rows.extend(failed.into_iter().map(|(record, error)| RowResult { record, result: Err(error) }));
    }

    fn sort(&mut self) {
        self.rows.sort_by(|a, b| a.record.cmp(&b.record));
        self.left.sort_by(|a, b| a.record.cmp(&b.record));
    }
}

/// A restore that was planned and is not carried out yet.
pub struct PreparedRestore<'p> {
    target: &'p Project,
    way: Way<'p>,
    steps: Vec<Step>,
    looked: Looked,
    token: String,
    plan: Plan,
    stored: StoredPlan,
    /// What it would do.
    pub report: RestoreReport,
}

impl PreparedRestore<'_> {
    /// Carries out this plan. A record that moved since it was made is left and reported.
    ///
    /// # Errors
    ///
    /// As [`Project::restore_all`].
    pub async fn carry_out(self, options: &Options, progress: Option<&dyn Progress>) -> Result<RestoreReport, Error> {
        let PreparedRestore { target, way, steps, looked, token, plan, stored, mut report } = self;
        let options = &target.under_approval(options).await?;
        let env = target.ensure_env().await?;
        let options = &match env.policy.gated && !steps.is_empty() {
            true => target.with_permit_for(&plan, stored, options, &env).await?,
            false => options.clone(),
        };
        report.plan = None;
        report.planned = [0; 3];
        if !steps.is_empty() {
            let kept = target.keep_plan(&token, &way, &steps, options).await?;
            let carried = target.carry_out(&way, &steps, looked, options, progress).await?;
            target.settle_plan(&mut report, carried, &token, kept, options).await?;
        }
        report.sort();
        Ok(report)
    }

    /// Returns what resumes it, should it be interrupted; `None` where there is nothing to do.
    pub fn token(&self) -> Option<&str> {
        (!self.steps.is_empty()).then_some(self.token.as_str())
    }

    /// Returns the entries that records go back to, without documents: what code ran with them, for one.
    ///
    /// # Errors
    ///
    /// Only where the store fails.
    pub async fn targets(&self) -> Result<Vec<crate::history::Entry>, Error> {
        self.way.headers(&self.steps).await
    }
}

/// Which version each record had at a moment.
pub(crate) struct Then {
    targets: BTreeMap<RecordKey, Version>,
    /// What was there then is not known.
    unknown: HashSet<RecordKey>,
    scope: TagScope,
}

/// A version of a record; its content is not known yet where it comes from a manifest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Version {
    pub(crate) seq: Seq,
    pub(crate) entry_id: EntryId,
    pub(crate) oid: Option<Oid>,
}

/// What was found by looking at everything once.
#[derive(Default)]
pub(crate) struct Survey {
    pub(crate) steps: Vec<Step>,
    left: Vec<LeftRecord>,
    failed: Vec<(RecordKey, Error)>,
    unchanged: u64,
}

impl Project {
    /// Restores the whole system to a moment.
    ///
    /// The plan is made once and carried out as it was made, in batches as large as the store takes. A record
    /// that moved meanwhile is left and reported; so is one that differs from its history, unless
    /// `adopt_drift` says to fold that in. What is not done can be finished with [`resume`](Self::resume).
    /// A dry run gives the plan; handed back as [`plan`](RestoreAll::plan), it is carried out only if it would
    /// be the same plan again.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuch`] for the tag, [`Error::Conflicting`] where the plan is no longer the one that was
    /// shown; else only where the store fails. A record's own trouble is its row.
    pub async fn restore_all(
        &self,
        restore: &RestoreAll,
        options: &Options,
        progress: Option<&dyn Progress>,
    ) -> Result<RestoreReport, Error> {
        self.restore_into(self, restore, options, progress).await
    }

    /// Writes what this env was at a moment into another env, which has a history of its own: a preview.
    /// This env is only read.
    ///
    /// # Errors
    ///
    /// As [`restore_all`](Self::restore_all).
    pub async fn restore_into(
        &self,
        target: &Project,
        restore: &RestoreAll,
        options: &Options,
        progress: Option<&dyn Progress>,
    ) -> Result<RestoreReport, Error> {
        let prepared = self.prepare_restore(target, restore, options, progress).await?;
        if options.dry_run {
            return Ok(prepared.report);
        }
        prepared.carry_out(options, progress).await
    }

    /// Plans a restore into an env (this one, or a preview) and does nothing yet: for whoever wants to show
    /// the plan and then carry out exactly that.
    ///
    /// # Errors
    ///
    /// As [`restore_all`](Self::restore_all).
    pub async fn prepare_restore<'p>(
        &'p self,
        target: &'p Project,
        restore: &RestoreAll,
        options: &Options,
        progress: Option<&dyn Progress>,
    ) -> Result<PreparedRestore<'p>, Error> {
        if !options.dry_run {
            target.ensure_env().await?;
        }
        let options = &target.under_approval(options).await?;
        let then = self.then(&restore.to).await?;
        let survey = target.survey(restore, then, progress).await?;
        let way = Way::new(self, target, restore);
        let mut report = RestoreReport { left: survey.left, unchanged: survey.unchanged, ..RestoreReport::default() };
        let mut planned = target.plan_steps(&way, &survey.steps, options).await?;
        planned.failed.extend(survey.failed);
        let token = planned.view.plan_oid.to_hex();
        if let Some(shown) = &restore.plan
            && !is_start_of(shown, &token)
        {
            return Err(Error::conflict(
                "plan_moved",
                format!("the plan would be another one by now ({})", &token[..12]),
                "look at it again with --dry-run",
            ));
        }
        report.planned = planned.kinds;
        report.fail(planned.failed);
        report.unchanged += planned.unchanged;
        report.plan = Some(planned.view.clone());
        report.sort();
        let PlannedSteps { plan, stored, steps, looked, .. } = planned;
        Ok(PreparedRestore { target, way, steps, looked, token, plan, stored, report })
    }

    /// Takes over what was carried out; a plan that is done is put away.
    pub(crate) async fn settle_plan(
        &self,
        report: &mut RestoreReport,
        carried: Carried,
        token: &str,
        kept: Option<KeptRoot>,
        options: &Options,
    ) -> Result<(), Error> {
        let is_done = carried.rows.iter().all(|row| row.result.is_ok());
        report.rows.extend(carried.rows);
        if is_done {
            // What it was kept for has happened; that it stays is no failure of the restore.
            drop(self.finish_plan(token, kept, options).await);
        } else {
            report.restore_token = Some(token.to_owned());
        }
        Ok(())
    }

    /// Finds the version that each record had at a moment.
    pub(crate) async fn then(&self, moment: &Moment) -> Result<Then, Error> {
        match moment {
            Moment::Tag(name) => {
                let tag = self.tag_named(name).await?;
                let rows = self.tagged(&tag, None).await?;
                let version =
                    |row: &super::manifest::Tagged| Version { seq: row.seq, entry_id: row.entry_id, oid: None };
                let targets = rows.iter().map(|row| (row.record.clone(), version(row))).collect();
                Ok(Then { targets, unknown: HashSet::new(), scope: tag.scope })
            }
            Moment::At(time) => {
                let mut then = Then { targets: BTreeMap::new(), unknown: HashSet::new(), scope: TagScope::All };
                let scope = Scope::All(None);
                let mut chunks = self.adapter.as_of_addresses(&self.settings.env, &scope, AsOf::Valid(*time));
                while let Some(chunk) = chunks.try_next().await? {
                    for AsOfRow { entry: EntryAddress { record, seq, entry_id, oid, .. }, estimated_before_import } in
                        chunk
                    {
                        if estimated_before_import {
                            then.unknown.insert(record);
                        } else {
                            then.targets.insert(record, Version { seq, entry_id, oid });
                        }
                    }
                }
                Ok(then)
            }
        }
    }

    /// Looks at every record once and decides what is to be done with it.
    pub(crate) async fn survey(
        &self,
        restore: &RestoreAll,
        then: Then,
        progress: Option<&dyn Progress>,
    ) -> Result<Survey, Error> {
        let only: Option<HashSet<&RecordKey>> = restore.only.as_ref().map(|only| only.iter().collect());
        let except: HashSet<&RecordKey> = restore.except.iter().collect();
        let here = |record: &RecordKey| RecordKey { env: self.settings.env.clone(), ..record.clone() };
        let asked =
            |record: &RecordKey| only.as_ref().is_none_or(|only| only.contains(record)) && !except.contains(record);
        let mut targets: BTreeMap<RecordKey, Version> =
            then.targets.into_iter().map(|(record, version)| (here(&record), version)).collect();
        let unknown: BTreeSet<RecordKey> = then.unknown.iter().map(here).collect();
        let mut survey = Survey::default();
        let troubles = self
            .pass(&Scope::All(None), progress, &mut |state| {
                let version = targets.remove(&state.record);
                if asked(&state.record) {
                    let is_unknown = version.is_none() && unknown.contains(&state.record);
                    survey.take(&state, version, is_unknown, &then.scope, restore);
                }
            })
            .await?;
        // Neither history nor a live row in this env: another env's record, or a collection that is gone.
        for (record, version) in targets.into_iter().filter(|(record, _)| asked(record)) {
            if let Some(trouble) = troubles.iter().find(|t| t.is_unreadable() && t.collection == record.collection) {
                survey.failed.push((record, trouble.error.clone()));
                continue;
            }
            match self.collection(&record.collection) {
                Err(error) => survey.failed.push((record, error)),
                Ok(_) => {
                    let seen = SeenState { head: None, live: None };
                    survey.steps.push(Step { record, seen, tip: None, version: Some(version) });
                }
            }
        }
        survey.steps.sort_by(|a, b| a.record.cmp(&b.record));
        Ok(survey)
    }
}

impl Survey {
    /// Decides what is to be done with one record.
    fn take(
        &mut self,
        state: &RecordState<LiveDigest>,
        version: Option<Version>,
        is_unknown: bool,
        scope: &TagScope,
        restore: &RestoreAll,
    ) {
        let record = state.record.clone();
        let standing = match Standing::of(state) {
            Ok(standing) => standing,
            Err(_) if version.is_none() && !scope.covers(&record) => return self.leave(record, WhyLeft::NotCovered),
            Err(error) => return self.failed.push((record, error)),
        };
        let seen = SeenState {
            head: standing.head().map(|head| head.head.entry_id),
            live: standing.live().map(|(_, oid)| oid),
        };
        let tip = standing.head().map(|head| head.tip);
        let step = Step { record: record.clone(), seen, tip, version };
        match version {
            Some(version) => self.with_target(step, &standing, version, restore),
            None if is_unknown => self.leave(record, WhyLeft::UnknownBeforeImport),
            None => {
                let is_covered = scope.covers(&record);
                self.without_target(step, &standing, is_covered, restore);
            }
        }
    }

    fn leave(&mut self, record: RecordKey, why: WhyLeft) {
        self.left.push(LeftRecord { record, why });
    }

    fn with_target(&mut self, step: Step, standing: &Standing<'_, LiveDigest>, version: Version, restore: &RestoreAll) {
        let is_same = |head: &crate::adapter::HeadState| {
            head.head.entry_id == version.entry_id || (version.oid.is_some() && head.head.oid == version.oid)
        };
        match standing {
            Standing::Clean { head, .. } if is_same(head) => self.unchanged += 1,
            Standing::Removed { .. } if !restore.include_deleted => self.leave(step.record, WhyLeft::Deleted),
            _ => match standing.drift(&step.record).filter(|_| !restore.adopt_drift) {
                Some(drift) => self.failed.push((step.record, drift)),
                None => self.steps.push(step),
            },
        }
    }

    fn without_target(
        &mut self,
        step: Step,
        standing: &Standing<'_, LiveDigest>,
        is_covered: bool,
        restore: &RestoreAll,
    ) {
        match standing {
            Standing::Unknown { .. } | Standing::Removed { .. } => {}
            _ if !is_covered => self.leave(step.record, WhyLeft::NotCovered),
            Standing::Untracked { .. } => self.leave(step.record, WhyLeft::Untracked),
            Standing::Clean { .. } if restore.prune => self.steps.push(step),
            Standing::Clean { .. } => self.leave(step.record, WhyLeft::NotThereThen),
            _ => match standing.drift(&step.record).filter(|_| restore.prune) {
                Some(drift) => self.failed.push((step.record, drift)),
                None => self.leave(step.record, WhyLeft::NotThereThen),
            },
        }
    }
}

/// Returns whether a text is a plan's address or the beginning of one.
pub(crate) fn is_start_of(text: &str, token: &str) -> bool {
    text.len() >= 8 && token.starts_with(text)
}

impl RestoreAll {
    /// Returns the verb that plans of this are made by.
    pub(crate) const VERB: Verb = Verb::Restore;
}
