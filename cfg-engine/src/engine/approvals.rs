//! Approvals: asking for one, deciding it, and using it once.
//!
//! A change of a gated env stores its plan and a request, and applies nothing. Somebody decides through an
//! [`ApprovalProvider`]. The same call with the approval's id computes the plan again; if it is the one that
//! was approved, it is applied, and every batch of it moves the approval on.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::fsck_plans::is_redacted_body;
use super::objects::{address, addressed};
use super::project::{Options, Passage, Project};
use crate::adapter::{AdapterError, ExpectedVersion, ObjectKey, ObjectWrite, StoredObject};
use crate::config::{Policy, PublicKey};
use crate::document::{Object, Oid, Value};
use crate::error::Error;
use crate::history::{AuthorClass, Timestamp};
use crate::plan::approval::{APPROVAL, holder};
use crate::plan::gates::{EnvState, clean, obeys};
use crate::plan::permit::Permit;
use crate::plan::stored::{PART, PlanRow, StoredPlan, parts, plan_oid, read_part, rows};
use crate::plan::{Approval, ApprovalState, Denial, Plan, Statement, Verb, Vote};

/// How often a request is written anew where others write it too.
const ATTEMPTS: u32 = 8;
/// The most bytes of parts that are written in one batch.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// A way in which people are asked. It is handed everything that they need to see, and hands back what they
/// said; whether that counts is for the engine to judge.
#[async_trait]
pub trait ApprovalProvider: Send + Sync {
    /// Returns its name, which is stored with the vote: `local`, `signed`.
    fn name(&self) -> &'static str;

    /// Asks, and waits for the answer as long as the provider thinks fit.
    ///
    /// # Errors
    ///
    /// Where nobody can be asked.
    async fn decide(&self, asked: &Asked<'_>) -> Result<Decision, Error>;
}

/// What somebody is asked to approve.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The request.
    pub approval: &'a Approval,
    /// What the plan would do to each record, as a dry run shows it.
    pub changes: &'a [Value],
    /// What the env asks for.
    pub policy: &'a Policy,
    /// The store's time.
    pub now: Timestamp,
}

impl Asked<'_> {
    /// Returns the word that a human types: the policy's, else the env's name.
    pub fn confirm_word(&self) -> &str {
        self.policy.rules.confirm_word.as_deref().unwrap_or(self.approval.env.as_str())
    }
}

/// What somebody said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Yes.
    Approve {
        /// Who: never a name that the caller could choose.
        by: String,
        /// The signature of the statement, where there is one.
        signature: Option<String>,
    },
    /// No.
    Deny {
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
    /// Nothing yet.
    Wait,
}

/// The provider `signed`: a statement that was signed somewhere, by a key that the policy names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// What was signed.
    pub statement: Statement,
    /// The signature, in base64.
    pub signature: String,
}

impl Signed {
    /// Reads `{v, env, approval, plan_oid, by, signature}`.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] where something is missing.
    pub fn from_object(object: &Object) -> Result<Self, Error> {
        let text = |member: &str| {
            object.get(member).and_then(Value::as_str).map(str::to_owned).ok_or_else(|| {
                Error::refused(
                    "bad_statement",
                    format!("the signed statement lacks {member}"),
                    "make it with: cfg approve ID --sign KEYFILE --print",
                )
            })
        };
        let statement =
            Statement { env: text("env")?, approval: text("approval")?, plan_oid: text("plan_oid")?, by: text("by")? };
        Ok(Signed { statement, signature: text("signature")? })
    }

    /// Returns `{v, env, approval, plan_oid, by, signature}`.
    pub fn to_object(&self) -> Object {
        Object::new()
            .with("v", 1)
            .with("env", self.statement.env.as_str())
            .with("approval", self.statement.approval.as_str())
            .with("plan_oid", self.statement.plan_oid.as_str())
            .with("by", self.statement.by.as_str())
            .with("signature", self.signature.as_str())
    }
}

#[async_trait]
impl ApprovalProvider for Signed {
    fn name(&self) -> &'static str {
        "signed"
    }

    async fn decide(&self, asked: &Asked<'_>) -> Result<Decision, Error> {
        let wanted = asked.approval.statement(&self.statement.by);
        if self.statement != wanted {
            return Err(Error::refused(
                "bad_statement",
                format!("the statement is not about approval {} and its plan", asked.approval.id),
                format!("look at it and sign again: cfg approval show {}", asked.approval.id),
            ));
        }
        Ok(Decision::Approve { by: self.statement.by.clone(), signature: Some(self.signature.clone()) })
    }
}

/// A request with its plan.
#[derive(Debug, Clone)]
pub struct ApprovalShown {
    /// The request.
    pub approval: Approval,
    /// What the plan would do to each record.
    pub changes: Vec<Value>,
    /// The store's time when it was read.
    pub now: Timestamp,
    /// Whether what is stored is what the plan's address says.
    pub is_intact: bool,
}

impl ApprovalShown {
    /// Returns the request with `changes` and `objects`.
    pub fn to_object(&self) -> Object {
        self.approval
            .to_object(self.now)
            .with("objects", self.approval.objects.clone())
            .with("changes", self.changes.clone())
            .with("intact", self.is_intact)
    }
}

/// Returns whether a request and its rows are what the address of its plan says.
fn is_what_it_says(approval: &Approval, rows: &[PlanRow]) -> bool {
    let objects = approval.object_digests.iter().filter_map(|hex| hex.parse::<Oid>().ok());
    let header = Value::from_interchange(&approval.header).ok().and_then(|h| h.as_object().cloned());
    header.is_some_and(|header| {
        let says = |member: &str| header.get(member).and_then(Value::as_str);
        let author = header.get("author").and_then(|author| author.get("id")).and_then(Value::as_str);
        says("message") == Some(approval.message.as_str())
            && says("verb") == Some(approval.verb.as_str())
            && author == Some(approval.author.id.as_str())
            && header.contains_key("forced") == approval.forced
            && plan_oid(&header, approval.key.as_ref(), objects, rows).to_hex() == approval.plan_oid
    })
}

fn used(approval: &Approval) -> Error {
    let by = approval.applied_by.as_deref().unwrap_or("somebody");
    Error::refused(
        "approval_used",
        format!("approval {} was used by {by}; it is good for once", approval.id),
        "look with: cfg log   or ask anew, without --approval",
    )
}

impl Project {
    /// Takes over what a named approval says: the author and the message of its plan.
    pub(crate) async fn under_approval(&self, options: &Options) -> Result<Options, Error> {
        let Some(id) = options.approval.as_deref().filter(|_| options.passage.approval.is_none()) else {
            return Ok(options.clone());
        };
        let approval = self.find_approval(id).await?;
        if !options.dry_run {
            let now = self.store_time().await?;
            if approval.state_at(now) != ApprovalState::Pending {
                self.usable(&approval, now)?;
            }
        }
        let mut options = options.clone();
        if options.author.as_ref().is_none_or(|author| author.id == approval.author.id) {
            options.author = Some(approval.author.clone());
        }
        if options.message.trim().is_empty() {
            options.message.clone_from(&approval.message);
        }
        options.passage = Passage { approval: Some(Arc::new(approval)), ..Passage::default() };
        Ok(options)
    }

    /// Refuses an approval that cannot be used.
    fn usable(&self, approval: &Approval, now: Timestamp) -> Result<(), Error> {
        match approval.state_at(now) {
            ApprovalState::Approved | ApprovalState::Applying => Ok(()),
            ApprovalState::Used => Err(used(approval)),
            ApprovalState::Denied => {
                let denied = approval.denied.as_ref();
                Err(Error::ApprovalDenied {
                    env: approval.env.to_string(),
                    id: approval.id.clone(),
                    by: denied.map_or_else(String::new, |denied| denied.by.clone()),
                    reason: denied.map_or_else(String::new, |denied| denied.reason.clone()),
                })
            }
            state => Err(self.required(approval, state, now, None)),
        }
    }

    fn required(&self, approval: &Approval, state: ApprovalState, now: Timestamp, plan: Option<Object>) -> Error {
        let request = approval.to_object(now).with("objects", approval.objects.clone());
        let request = match plan {
            Some(plan) => request.with("plan", plan),
            None => request,
        };
        let (env, id) = (approval.env.to_string(), approval.id.clone());
        Error::ApprovalRequired { env, id, state, request: Box::new(request) }
    }

    async fn store_time(&self) -> Result<Timestamp, Error> {
        Ok(self.adapter.clock().await?.now_at(self.adapter.monotonic()))
    }

    /// Gets what a whole plan needs to be applied in several batches: on a gated env a permit, or the refusal
    /// that files the request.
    pub(crate) async fn with_permit(&self, plan: &Plan, options: &Options) -> Result<Options, Error> {
        let env = self.ensure_env().await?;
        let asks = (env.policy.gated || plan.always_gated) && !self.settings.is_approved();
        if !asks || options.passage.permit.is_some() || options.dry_run {
            return Ok(options.clone());
        }
        let stored = self.stored_plan(plan, options);
        self.with_permit_for(plan, stored, options, &env).await
    }

    /// As [`with_permit`](Self::with_permit), for a plan that is computed already.
    pub(crate) async fn with_permit_for(
        &self,
        plan: &Plan,
        stored: StoredPlan,
        options: &Options,
        env: &EnvState,
    ) -> Result<Options, Error> {
        if stored.is_empty() {
            return Ok(options.clone());
        }
        let permit = self.clearance(plan, &stored, env, options).await?;
        let passage = Passage { permit: Some(permit), ..options.passage.clone() };
        Ok(Options { passage, ..options.clone() })
    }

    /// Computes the plan as it would be stored, under the key of the approval that is named, if one is.
    pub(crate) fn stored_plan(&self, plan: &Plan, options: &Options) -> StoredPlan {
        StoredPlan::of(plan, self.collections(), &self.hiding_key(options))
    }

    pub(crate) fn hiding_key(&self, options: &Options) -> [u8; 32] {
        let of_approval = options.passage.approval.as_ref().and_then(|approval| approval.key);
        of_approval.unwrap_or_else(|| self.ids.fresh())
    }

    /// Returns the rows of a part of a plan that is put together from parts.
    pub(crate) fn gather(&self, plan: &Plan, options: &Options) {
        let Some(gathered) = &options.passage.gathered else { return };
        let key = options.passage.approval.as_ref().and_then(|approval| approval.key).unwrap_or_default();
        let (rows, _) = rows(plan, self.collections(), &key);
        gathered.lock().unwrap_or_else(PoisonError::into_inner).extend(rows);
    }

    /// Returns options for a run that only gathers its plan.
    pub(crate) fn gathering(options: &Options) -> (Options, Arc<Mutex<Vec<PlanRow>>>) {
        let rows: Arc<Mutex<Vec<PlanRow>>> = Arc::default();
        let passage = Passage { gathered: Some(Arc::clone(&rows)), ..options.passage.clone() };
        (Options { dry_run: true, passage, ..options.clone() }, rows)
    }

    /// Returns the permit for a plan on a gated env, if the approval that was named is for it and may be used.
    ///
    /// # Errors
    ///
    /// [`Error::ApprovalRequired`] where none was named: then the plan and a request were stored.
    pub(crate) async fn clearance(
        &self,
        plan: &Plan,
        stored: &StoredPlan,
        env: &EnvState,
        options: &Options,
    ) -> Result<Arc<Permit>, Error> {
        obeys(plan, &self.settings, &env.policy)?;
        stored.dirty.iter().try_for_each(|record| clean(plan, record, &env.policy))?;
        // What could not be told of could not be applied: it is not even asked for.
        let announced = self.announced(plan, env)?;
        let now = self.store_time().await?;
        let Some(named) = &options.passage.approval else {
            return Err(self.request(plan, stored, env, now).await?);
        };
        let approval = self.find_approval(&named.id).await?;
        let state = approval.state_at(now);
        if state != ApprovalState::Pending {
            self.usable(&approval, now)?;
        }
        if !approval.is_approved(&env.policy) {
            return Err(self.required(&approval, ApprovalState::Pending, now, None));
        }
        let kept = self.kept_rows(&approval).await?;
        if state != ApprovalState::Applying && stored.plan_oid.to_hex() != approval.plan_oid {
            return Err(differs(&approval, plan, stored, &kept));
        }
        let mut allowed: HashSet<Oid> = kept.iter().flat_map(|row| row.pieces.iter().copied()).collect();
        allowed.extend(approval.object_digests.iter().filter_map(|hex| hex.parse::<Oid>().ok()));
        let beside = if plan.forced { vec![self.emergency(env, now).await?] } else { Vec::new() };
        if let Some(announced) = announced {
            self.tell(&announced, &approval, now).await?;
        }
        let by = self.settings.operator.clone().unwrap_or_else(|| self.settings.author.id.clone());
        Ok(Arc::new(Permit::new(approval, &by, plan, stored, allowed, beside)))
    }

    /// Stores a plan and the request for its approval, or finds the request that is there.
    async fn request(&self, plan: &Plan, stored: &StoredPlan, env: &EnvState, now: Timestamp) -> Result<Error, Error> {
        let shown = stored.view(plan).shown;
        for _ in 0..ATTEMPTS {
            // One that cannot be read stands in nobody's way; fsck tells of it.
            let objects = self.adapter.objects(APPROVAL, None).await?;
            let read: Vec<_> = objects.iter().filter_map(|object| self.read_approval(object)).collect();
            let unreadable = read.iter().filter(|read| read.is_err()).count();
            let all: Vec<Approval> = read.into_iter().filter_map(Result::ok).collect();
            let same = |approval: &&Approval| {
                approval.plan_oid == stored.plan_oid.to_hex() || self.is_same_plan(approval, plan)
            };
            if let Some(there) = all.iter().find(|a| !a.state_at(now).is_over() && same(a)) {
                return Ok(self.required(there, there.state_at(now), now, Some(shown)));
            }
            let before = all.iter().filter(same).count() + unreadable;
            let id = address(&Value::from(format!("{} {} {before}", self.settings.env, stored.plan_oid.to_hex())));
            let bodies = parts(&stored.rows);
            let approval = Approval {
                id: id.to_hex()[..12].to_owned(),
                env: self.settings.env.clone(),
                verb: plan.verb.as_str().to_owned(),
                plan_oid: stored.plan_oid.to_hex(),
                author: plan.author.clone(),
                operator: self.settings.operator.clone(),
                message: plan.message.clone(),
                forced: plan.forced,
                changes: stored.rows.len() as u64,
                objects: stored.objects.iter().map(|(shown, _)| Value::Object(shown.clone())).collect(),
                requested_at: now,
                expires_at: now
                    .plus_millis(i64::try_from(env.policy.rules.expires.as_millis()).unwrap_or(i64::MAX / 4)),
                votes: Vec::new(),
                denied: None,
                applied_by: None,
                batches: 0,
                stored: ApprovalState::Pending,
                header: Value::Object(stored.header.clone()).to_interchange(),
                key: stored.key,
                object_digests: stored.objects.iter().map(|(_, digest)| digest.to_hex()).collect(),
                parts: bodies.iter().map(|body| address(body).to_hex()).collect(),
                version: 0,
            };
            self.keep_parts(bodies, plan).await?;
            match self.write_approval(&approval, ExpectedVersion::Absent).await {
                Ok(()) => return Ok(self.required(&approval, ApprovalState::Pending, now, Some(shown))),
                // Somebody asks for the very same.
                Err(Error::Storage(AdapterError::StaleObject { .. })) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::conflict("stale_object", "the request is being written by others", "try again"))
    }

    /// Returns whether a plan with secrets is the one of a request: it is seen under the request's key.
    fn is_same_plan(&self, approval: &Approval, plan: &Plan) -> bool {
        let Some(key) = approval.key else { return false };
        let alike = approval.verb == plan.verb.as_str() && approval.message == plan.message;
        alike && StoredPlan::of(plan, self.collections(), &key).plan_oid.to_hex() == approval.plan_oid
    }

    async fn keep_parts(&self, bodies: Vec<Value>, plan: &Plan) -> Result<(), Error> {
        let options = self.deciding(&plan.message);
        let mut waiting: Vec<ObjectWrite> = bodies.into_iter().map(|body| addressed(PART, body).1).collect();
        while !waiting.is_empty() {
            let mut bytes = 0;
            let fits = |write: &&ObjectWrite| {
                bytes += write.body.as_ref().map_or(0, Value::about_bytes);
                bytes <= BATCH_BYTES.min(self.adapter.capabilities().max_batch_bytes / 2)
            };
            let count = waiting.iter().take_while(fits).count().max(1);
            match self.write_objects(Verb::Approval, &options, waiting[..count].to_vec()).await {
                Ok(()) => drop(waiting.drain(..count)),
                // Another request has this very part. If it is not what its address says, it is by now.
                Err(Error::Storage(AdapterError::StaleObject { kind, name })) if kind == PART => {
                    let there = self.adapter.objects(PART, Some(&name)).await?.into_iter().next();
                    let damaged = there.filter(|part| address(&part.body).to_hex() != name);
                    match (damaged, waiting.iter_mut().find(|write| write.key.name == name)) {
                        (Some(part), Some(write)) => write.expected = ExpectedVersion::At(part.version),
                        _ => waiting.retain(|write| write.key.name != name),
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn deciding(&self, message: &str) -> Options {
        // The gates saw the message with the plan; here it would be scanned a second time.
        Options { allow_secret: true, ..Options::message(message) }
    }

    async fn write_approval(&self, approval: &Approval, expected: ExpectedVersion) -> Result<(), Error> {
        let write = ObjectWrite {
            key: ObjectKey { kind: APPROVAL.to_owned(), name: format!("{}/{}", approval.env, approval.id) },
            expected,
            body: Some(Value::Object(approval.to_body())),
        };
        self.write_objects(Verb::Approval, &self.deciding("approval"), vec![write]).await
    }

    /// Lists the requests of this env, the newest first.
    ///
    /// # Errors
    ///
    /// Only where the store fails, or a request cannot be read.
    pub async fn approvals(&self) -> Result<Vec<Approval>, Error> {
        let stored = self.adapter.objects(APPROVAL, None).await?;
        let mut all = stored.iter().filter_map(|object| self.read_approval(object)).collect::<Result<Vec<_>, _>>()?;
        all.sort_by(|a, b| b.requested_at.cmp(&a.requested_at).then_with(|| a.id.cmp(&b.id)));
        Ok(all)
    }

    pub(super) fn read_approval(&self, object: &StoredObject) -> Option<Result<Approval, Error>> {
        let id = object.key.name.strip_prefix(self.settings.env.as_str())?.strip_prefix('/')?;
        let read = Approval::read(&self.settings.env, id, object.version, &object.body);
        let broken = || AdapterError::Damaged { problem: format!("approval {id} cannot be read") }.into();
        Some(read.ok_or_else(broken))
    }

    /// Returns the store's time, by which requests expire.
    ///
    /// # Errors
    ///
    /// Only where the store fails.
    pub async fn now_there(&self) -> Result<Timestamp, Error> {
        self.store_time().await
    }

    /// Finds a request by its id or the beginning of it.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuch`] where there is none, or more than one.
    pub async fn find_approval(&self, id: &str) -> Result<Approval, Error> {
        let name = format!("{}/{id}", self.settings.env);
        if let Some(object) = self.adapter.objects(APPROVAL, Some(&name)).await?.first()
            && let Some(read) = self.read_approval(object)
        {
            return read;
        }
        let all = self.approvals().await?;
        let mut fits = all.iter().filter(|approval| id.len() >= 4 && approval.id.starts_with(id));
        match (fits.next(), fits.next()) {
            (Some(found), None) => Ok(found.clone()),
            _ => {
                const NAMED: usize = 5;
                let known = all.iter().filter(|a| !a.stored.is_over()).take(NAMED).map(|a| a.id.clone()).collect();
                Err(Error::NoSuch { what: "approval", name: id.to_owned(), known })
            }
        }
    }

    async fn kept_rows(&self, approval: &Approval) -> Result<Vec<PlanRow>, Error> {
        let mut rows = Vec::new();
        for name in &approval.parts {
            let found = self.adapter.objects(PART, Some(name)).await?;
            let read = found.first().filter(|part| address(&part.body).to_hex() == *name);
            let read = read.and_then(|part| read_part(&part.body, &self.settings.env));
            let lost =
                || AdapterError::Damaged { problem: format!("the plan of approval {} cannot be read", approval.id) };
            rows.extend(read.ok_or_else(lost)?);
        }
        Ok(rows)
    }

    /// Returns what is wrong with what is stored of a request's plan. What a redaction took from it is not wrong.
    pub(super) async fn plan_problem(&self, approval: &Approval) -> Result<Option<String>, Error> {
        let mut is_redacted = is_redacted_body(&Value::Object(approval.to_body()));
        for name in &approval.parts {
            let found = self.adapter.objects(PART, Some(name)).await?;
            let Some(part) = found.first() else { return Ok(Some("a part of its plan is missing".to_owned())) };
            let is_whole = address(&part.body).to_hex() == *name && read_part(&part.body, &self.settings.env).is_some();
            let is_cut = is_redacted_body(&part.body);
            if !is_whole && !is_cut {
                return Ok(Some("a part of its plan is not what its address says".to_owned()));
            }
            is_redacted |= is_cut;
        }
        if is_redacted {
            return Ok(None);
        }
        let rows = self.kept_rows(approval).await?;
        Ok((!is_what_it_says(approval, &rows)).then(|| "its plan is not what its address says".to_owned()))
    }

    /// Shows a request with its plan.
    ///
    /// # Errors
    ///
    /// As [`find_approval`](Self::find_approval).
    pub async fn approval(&self, id: &str) -> Result<ApprovalShown, Error> {
        let approval = self.find_approval(id).await?;
        let now = self.store_time().await?;
        match self.kept_rows(&approval).await {
            Ok(rows) => {
                let is_intact = is_what_it_says(&approval, &rows);
                let shown = |row: &PlanRow| match Value::from_interchange(&row.shown) {
                    Ok(shown @ Value::Object(_)) => shown,
                    _ => Value::Object(
                        Object::new()
                            .with("collection", row.record.collection.as_str())
                            .with("config_id", row.record.id.to_value())
                            .with("too_large_to_show", true),
                    ),
                };
                Ok(ApprovalShown { changes: rows.iter().map(shown).collect(), approval, now, is_intact })
            }
            Err(Error::Storage(AdapterError::Damaged { .. })) => {
                Ok(ApprovalShown { approval, changes: Vec::new(), now, is_intact: false })
            }
            Err(error) => Err(error),
        }
    }

    /// Returns as whom somebody signs who holds a key: the name that the policy gives it.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] where the policy does not name the key.
    pub async fn signer(&self, key: &PublicKey) -> Result<String, Error> {
        let env = self.ensure_env().await?;
        holder(&env.policy, key).map(|approver| approver.who.clone()).ok_or_else(|| {
            Error::refused(
                "may_not_approve",
                format!("the policy of env {} does not name the key {key}", self.settings.env),
                "name it in approvers of [env.NAME.rules], and pin it: cfg init --loosen",
            )
        })
    }

    /// Returns what the env asks of a change: the stored policy, and where the file is stricter the file's.
    ///
    /// # Errors
    ///
    /// [`Error::Setup`] where the env is not initialised.
    pub async fn policy(&self) -> Result<Policy, Error> {
        Ok(self.ensure_env().await?.policy.clone())
    }

    /// Has a request decided by a provider.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] where the answer does not count: an agent, somebody who may not, a request that is over,
    /// a plan that is not what its address says.
    pub async fn approve(&self, id: &str, provider: &dyn ApprovalProvider) -> Result<Approval, Error> {
        if self.settings.author.class == AuthorClass::Agent {
            return Err(Error::refused(
                "agent_cannot_approve",
                "an agent cannot approve",
                "a human approves: on a terminal, or by a signature",
            ));
        }
        let env = self.ensure_env().await?;
        let shown = self.approval(id).await?;
        open_for_decision(&shown.approval, shown.now)?;
        if !shown.is_intact {
            return Err(AdapterError::Damaged {
                problem: format!("the plan of approval {} is not what its address says", shown.approval.id),
            }
            .into());
        }
        let asked = Asked { approval: &shown.approval, changes: &shown.changes, policy: &env.policy, now: shown.now };
        let decision = provider.decide(&asked).await?;
        self.record_decision(&shown.approval, decision, provider.name(), &env.policy).await
    }

    /// Says no to a request. Whatever asked for it ends with exit code 7.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] where it is over already.
    pub async fn deny(&self, id: &str, reason: &str) -> Result<Approval, Error> {
        let approval = self.find_approval(id).await?;
        open_for_denial(&approval, self.store_time().await?)?;
        if let Some(hit) = self.settings.secrets.scan_text(reason) {
            return Err(crate::plan::gates::secret_message(&hit.rule));
        }
        let by = self.settings.operator.clone().unwrap_or_else(|| self.settings.author.id.clone());
        let decision = Decision::Deny { by, reason: reason.to_owned() };
        self.record_decision(&approval, decision, "local", &Policy::default()).await
    }

    async fn record_decision(
        &self,
        asked: &Approval,
        decision: Decision,
        provider: &str,
        policy: &Policy,
    ) -> Result<Approval, Error> {
        for _ in 0..ATTEMPTS {
            let mut approval = self.find_approval(&asked.id).await?;
            let now = self.store_time().await?;
            match &decision {
                Decision::Wait => return Ok(approval),
                Decision::Deny { by, reason } => {
                    open_for_denial(&approval, now)?;
                    approval.stored = ApprovalState::Denied;
                    approval.denied = Some(Denial { by: by.clone(), reason: reason.clone(), at: now });
                }
                Decision::Approve { by, signature } => {
                    open_for_decision(&approval, now)?;
                    let vote =
                        Vote { by: by.clone(), provider: provider.to_owned(), at: now, signature: signature.clone() };
                    let one = Approval { votes: vec![vote.clone()], ..approval.clone() };
                    if one.counting(policy).is_empty() {
                        return Err(does_not_count(&approval, &vote, policy));
                    }
                    if approval.votes.iter().any(|there| there.by == *by) {
                        return Err(Error::refused(
                            "approved_already",
                            format!("{by} has approved {} already", approval.id),
                            "somebody else has to, too",
                        ));
                    }
                    approval.votes.push(vote);
                    if approval.is_approved(policy) {
                        approval.stored = ApprovalState::Approved;
                    }
                }
            }
            match self.write_approval(&approval, ExpectedVersion::At(approval.version)).await {
                Ok(()) => return Ok(approval),
                Err(Error::Storage(AdapterError::StaleObject { .. })) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::conflict("stale_object", format!("approval {} is being decided by others", asked.id), "try again"))
    }

    /// Returns why a batch under a permit was refused, where that is because the approval moved.
    pub(crate) async fn moved_approval(&self, permit: Option<&Permit>) -> Result<Option<Error>, Error> {
        let Some(permit) = permit else { return Ok(None) };
        let approval = self.find_approval(&permit.id).await?;
        if approval.version == permit.version() {
            return Ok(None);
        }
        let now = self.store_time().await?;
        Ok(Some(match self.usable(&approval, now) {
            Err(error) => error,
            Ok(()) => Error::conflict(
                "approval_in_use",
                format!("approval {} is being applied by another program", approval.id),
                "let it finish; if it is gone, the same call again goes on",
            ),
        }))
    }
}

fn open_for_decision(approval: &Approval, now: Timestamp) -> Result<(), Error> {
    match approval.state_at(now) {
        ApprovalState::Pending => Ok(()),
        state => Err(over(approval, state)),
    }
}

fn open_for_denial(approval: &Approval, now: Timestamp) -> Result<(), Error> {
    match approval.state_at(now) {
        ApprovalState::Pending | ApprovalState::Approved | ApprovalState::Applying => Ok(()),
        state => Err(over(approval, state)),
    }
}

fn over(approval: &Approval, state: ApprovalState) -> Error {
    Error::refused(
        "already_decided",
        format!("approval {} is {state}", approval.id),
        "list what is waiting with: cfg approvals",
    )
}

/// Says why somebody's yes does not count.
fn does_not_count(approval: &Approval, vote: &Vote, policy: &Policy) -> Error {
    let by = &vote.by;
    let approvers = policy.rules.approvers.as_deref();
    let listed = approvers.and_then(|list| list.iter().find(|a| a.who == *by));
    let (problem, hint) = match (vote.provider.as_str(), listed) {
        ("signed", Some(approver))
            if approver
                .key
                .is_some_and(|key| vote.signature.as_ref().is_some_and(|s| approval.statement(by).verify(s, &key))) =>
        {
            (format!("{by} asked for it and does not approve it"), "somebody else has to")
        }
        ("signed", Some(approver)) if approver.key.is_some() => (
            format!("the signature is not {by}'s, or of something else"),
            "sign with the key whose public half the policy names",
        ),
        ("signed", _) => (format!("the policy names no key of {by}"), "name it in approvers, with init --loosen"),
        (_, Some(approver)) if approver.key.is_some() => {
            (format!("{by} approves by a signature"), "sign: cfg approve ID --sign KEYFILE")
        }
        (_, None) if approvers.is_some() => {
            (format!("{by} is not among those who may approve"), "see who may: cfg config")
        }
        _ => (format!("{by} asked for it and does not approve it"), "somebody else has to"),
    };
    Error::refused("may_not_approve", problem, hint)
}

/// Says what differs between a plan and the one that was approved.
fn differs(approval: &Approval, plan: &Plan, stored: &StoredPlan, kept: &[PlanRow]) -> Error {
    let mut what: Vec<String> = Vec::new();
    let mut tell = |differs: bool, text: String| what.extend(differs.then_some(text));
    tell(approval.verb != plan.verb.as_str(), format!("the verb is {} and not {}", plan.verb.as_str(), approval.verb));
    tell(approval.message != plan.message, "the message is another one".to_owned());
    tell(approval.author != plan.author, format!("the author is {} and not {}", plan.author.id, approval.author.id));
    tell(approval.forced != plan.forced, "one of them is forced".to_owned());
    for row in &stored.rows {
        match kept.iter().find(|other| other.record == row.record) {
            None => tell(true, format!("{} was not part of it", row.record)),
            Some(other) => tell(other != row, changed(row, other)),
        }
    }
    for row in kept.iter().filter(|row| !stored.rows.iter().any(|other| other.record == row.record)) {
        tell(true, format!("{} is not changed any more", row.record));
    }
    let digests: Vec<String> = stored.objects.iter().map(|(_, digest)| digest.to_hex()).collect();
    tell(digests != approval.object_digests, "it writes other objects".to_owned());
    if what.is_empty() {
        what.push("a secret is another one".to_owned());
    }
    const NAMED: usize = 5;
    let more = what.len().saturating_sub(NAMED);
    what.truncate(NAMED);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    Error::conflict(
        "plan_differs",
        format!("approval {} is for another plan: {}{more}", approval.id, what.join("; ")),
        format!("look at what was approved: cfg approval show {}   or ask anew, without --approval", approval.id),
    )
}

fn changed(row: &PlanRow, other: &PlanRow) -> String {
    let read = |row: &PlanRow| Value::from_interchange(&row.shown).unwrap_or(Value::Null);
    let (now, then) = (read(row), read(other));
    let member = |name: &str| now.get(name) != then.get(name);
    let what = if member("head_seq") || member("head_oid") {
        "another version is HEAD by now"
    } else if member("live_oid") {
        "it was changed outside cfg since"
    } else if row.shown == other.shown {
        "a secret, or what history keeps of it, is another one"
    } else {
        "the change is another one"
    };
    format!("{}: {what}", row.record)
}
