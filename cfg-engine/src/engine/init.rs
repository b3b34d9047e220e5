//! `init`: the engine's tables, and the `env` object that says what this env owns.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::op_ids::op_id;
use super::project::{Options, Project};
use crate::adapter::{AdapterError, ENV_OBJECT, ExpectedVersion, Live, ObjectKey, ObjectWrite, Scope, StoredObject};
use crate::config::{Policy, effective, pinned};
use crate::document::{FieldPolicy, Object, Value};
use crate::error::Error;
use crate::history::RecordKey;
use crate::outcome::combined_exit;
use crate::plan::gates::{EnvState, Keeper, OnRefusal, SecretGate, judge};
use crate::plan::permit::Permit;
use crate::plan::{Plan, Verb};

/// What [`Project::init`] did or would do.
#[derive(Debug, Clone, Default)]
pub struct InitReport {
    /// What was run, or would be, in the store's own words.
    pub statements: Vec<String>,
    /// Advice: a missing index, for example.
    pub advice: Vec<String>,
    /// Records with more than one live row.
    pub ambiguous: Vec<(RecordKey, Error)>,
    /// Whether the env object was written (it was not there before).
    pub registered: bool,
}

/// What an env asks of a change: what the file says, what the store holds, and what comes of both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyStanding {
    /// What the file says.
    pub file: Policy,
    /// What the store holds; `None` where the env is not initialised.
    pub stored: Option<Policy>,
    /// What holds: of each rule the stricter one.
    pub holds: Policy,
}

impl PolicyStanding {
    /// Returns `{initialised, rules}`; of each rule `{rule, file, store, holds, stricter}`, where `stricter` is
    /// `same`, `file`, `store`, or `both` where each adds something.
    pub fn to_object(&self) -> Object {
        let (file, holds) = (self.file.to_object(), self.holds.to_object());
        let stored = self.stored.as_ref().map(Policy::to_object);
        let rules = holds.iter().map(|(rule, holds)| {
            let (of_file, of_store) = (file.get(rule), stored.as_ref().and_then(|stored| stored.get(rule)));
            let stricter = match (Some(holds) == of_file, Some(holds) == of_store) {
                (true, true) => "same",
                (true, false) => "file",
                (false, true) => "store",
                (false, false) => "both",
            };
            Object::new()
                .with("rule", rule.as_str())
                .with("file", of_file.cloned())
                .with("store", of_store.cloned())
                .with("holds", holds.clone())
                .with("stricter", stricter)
        });
        Object::new().with("initialised", stored.is_some()).with("rules", rules.collect::<Vec<_>>())
    }
}

impl InitReport {
    /// Returns the exit code: 6 where a record is ambiguous.
    pub fn exit_code(&self) -> u8 {
        combined_exit(self.ambiguous.iter().map(|(_, error)| error.kind().exit_code()))
    }

    /// Returns `{statements, advice, ambiguous, registered}`.
    pub fn to_object(&self) -> Object {
        let ambiguous = self.ambiguous.iter().map(|(record, error)| {
            Object::new()
                .with("collection", record.collection.as_str())
                .with("config_id", record.id.to_value())
                .with("reason", error.to_reason())
        });
        Object::new()
            .with("statements", self.statements.clone())
            .with("advice", self.advice.clone())
            .with("ambiguous", ambiguous.collect::<Vec<_>>())
            .with("registered", self.registered)
    }
}

impl Project {
    /// Creates the engine's tables, checks the live tables, and writes the env object. Idempotent.
    ///
    /// # Errors
    ///
    /// [`Error::Setup`] where a table or column is missing or a live table belongs to another env
    /// or collection.
    pub async fn init(&self, dry_run: bool) -> Result<InitReport, Error> {
        let mut report = InitReport::default();
        if let Some(caveat) = &self.adapter.capabilities().caveat {
            report.advice.push(format!("a change is not atomic here: {}; {}", caveat.problem, caveat.remedy));
        }
        for collection in self.collections() {
            report.advice.extend(self.adapter.check_collection(&collection.name).await?);
        }
        let pending = self.adapter.pending_schema().await?;
        if dry_run {
            report.statements = pending;
        } else {
            report.statements = self.adapter.ensure_schema().await?;
        }
        if !dry_run || report.statements.is_empty() {
            report.registered = self.register_env(dry_run, &mut report.advice).await?;
            report.ambiguous = self.ambiguous_records().await?;
        }
        Ok(report)
    }

    async fn register_env(&self, dry_run: bool, advice: &mut Vec<String>) -> Result<bool, Error> {
        let known = self.adapter.objects(ENV_OBJECT, None).await?;
        self.check_tables(&known)?;
        let mine = known.iter().find(|object| object.key.name == self.settings.env.as_str());
        // The stored word rules; the file may only be stricter. Where nothing needs an approval, loosening does not.
        let policy = pinned(mine.map(|object| stored_policy(&object.body)).as_ref(), &self.settings.policy());
        self.check_atomicity(policy.gated)?;
        if policy != self.settings.policy() {
            let env = &self.settings.env;
            advice.push(format!(
                "what the store asks of changes of {env} is stricter than the file, and holds; to change that: cfg init --loosen"
            ));
        }
        if policy.gated && policy.rules.emergency_override && policy.rules.alert.is_none() {
            let env = &self.settings.env;
            advice.push(format!(
                "{env} has emergency_override and names nobody who would be told: nothing can be forced; write an alert into [env.{env}.rules]"
            ));
        }
        // What is not configured at the moment keeps its table: its history is under its name.
        let mut owned: Vec<(String, String)> =
            self.collections().iter().map(|c| (c.name.to_string(), c.table.clone())).collect();
        let earlier = mine.map(|object| registered(&object.body)).unwrap_or_default();
        for (name, table) in earlier.into_iter().filter_map(|(name, table)| Some((name?, table))) {
            if !owned.iter().any(|(n, _)| *n == name) {
                owned.push((name, table));
            }
        }
        let pair = |(name, table): &(String, String)| {
            Value::Object(Object::new().with("name", name.as_str()).with("table", table.as_str()))
        };
        let pairs: Vec<Value> = owned.iter().map(pair).collect();
        let body = Object::new()
            .with("v", 1)
            .with("name", self.settings.env.as_str())
            .with("tables", owned.iter().map(|(_, table)| table.clone()).collect::<Vec<_>>())
            .with("collections", pairs)
            .with("gated", policy.gated)
            .with(POLICY, policy.to_object())
            .with(POLICIES, self.all_policies(mine));
        if mine.is_some_and(|object| object.body == Value::Object(body.clone())) || dry_run {
            return Ok(false);
        }
        self.write_env(mine, body).await?;
        Ok(mine.is_none())
    }

    async fn write_env(&self, stored: Option<&StoredObject>, body: Object) -> Result<(), Error> {
        let write = ObjectWrite {
            key: ObjectKey { kind: ENV_OBJECT.to_owned(), name: self.settings.env.to_string() },
            expected: stored.map_or(ExpectedVersion::Absent, |object| ExpectedVersion::At(object.version)),
            body: Some(Value::Object(body)),
        };
        let mut plan: Plan = self.plan(Verb::Init, &Options::message("init"), Vec::new());
        plan.objects.push(write);
        let (cleared, _) = judge(plan, self.keeper(SecretGate::Configured, OnRefusal::Whole, None, None))?;
        let clock = self.adapter.clock().await?;
        let bound = cleared.bind(op_id(&*self.ids), clock.now_at(self.adapter.monotonic()))?;
        self.adapter.apply(&bound.batch).await?;
        self.forget_env();
        Ok(())
    }

    /// Returns every field policy that entries of this env were or are going to be made under, by address.
    fn all_policies(&self, stored: Option<&StoredObject>) -> Object {
        let earlier = stored.and_then(|object| object.body.get(POLICIES)).and_then(Value::as_object);
        let mut all = earlier.cloned().unwrap_or_default();
        for collection in self.collections() {
            let address = collection.policy.address().to_hex();
            if !all.contains_key(&address) {
                all.insert(address, collection.policy.to_object());
            }
        }
        all
    }

    /// Reads the field policies that entries were made under, by address.
    pub(crate) async fn policies(&self) -> Result<BTreeMap<String, FieldPolicy>, Error> {
        let stored = self.adapter.objects(ENV_OBJECT, Some(self.settings.env.as_str())).await?;
        let all = self.all_policies(stored.first());
        let read = |(address, rules): (String, Value)| {
            let policy = FieldPolicy::from_object(rules.as_object()?).ok()?;
            // Rules that were edited are not those that the entries name.
            (policy.address().to_hex() == address).then_some((address, policy))
        };
        Ok(all.into_iter().filter_map(read).collect())
    }

    /// Refuses a gated env on a store whose batches are no transactions.
    fn check_atomicity(&self, gated: bool) -> Result<(), Error> {
        match &self.adapter.capabilities().caveat {
            Some(caveat) if gated => Err(Error::Setup {
                problem: format!(
                    "env {} is gated and its changes would not be atomic: {}",
                    self.settings.env, caveat.problem
                ),
                hint: caveat.remedy.clone(),
            }),
            _ => Ok(()),
        }
    }

    /// Refuses a table that two collections would keep history of: here, in another env, or under
    /// another name than the one its history has.
    fn check_tables(&self, known: &[StoredObject]) -> Result<(), Error> {
        let collections = self.collections();
        for (n, collection) in collections.iter().enumerate() {
            let table = &collection.table;
            if let Some(other) = collections[..n].iter().find(|other| other.table == *table) {
                return Err(Error::Setup {
                    problem: format!("collections {} and {} are both of table {table:?}", other.name, collection.name),
                    hint: "leave one of them in .cfg.toml".to_owned(),
                });
            }
            for object in known {
                let env = object.key.name.as_str();
                let Some((name, _)) = registered(&object.body).into_iter().find(|(_, t)| t == table) else { continue };
                if env != self.settings.env.as_str() {
                    return Err(Error::Setup {
                        problem: format!("table {table:?} belongs to env {env}"),
                        hint: format!("use --env {env}, or another table"),
                    });
                }
                if let Some(name) = name.filter(|name| *name != collection.name.as_str()) {
                    return Err(Error::Setup {
                        problem: format!("table {table:?} is registered as collection {name}, not {}", collection.name),
                        hint: format!("name the collection {name}: its history is under that name"),
                    });
                }
            }
        }
        Ok(())
    }

    async fn ambiguous_records(&self) -> Result<Vec<(RecordKey, Error)>, Error> {
        let mut found = Vec::new();
        self.pass(&Scope::All(None), None, &mut |state| {
            if let Live::Ambiguous { rows } = state.live {
                let record = state.record;
                found.push((record.clone(), Error::Ambiguous { record, rows }));
            }
        })
        .await?;
        Ok(found)
    }

    /// Reads what the env asks of a change, and checks that it was initialised and that the field policies in
    /// use are stored. Read anew where the last look is older than [`ENV_FRESH`]; whoever was faster than that
    /// is noticed by the batch, which is guarded by the version that was read.
    pub(crate) async fn ensure_env(&self) -> Result<Arc<EnvState>, Error> {
        let now = self.adapter.monotonic();
        let seen = || self.env_seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, state)) = &*seen()
            && now.saturating_sub(*at) < ENV_FRESH
        {
            return Ok(Arc::clone(state));
        }
        let state = Arc::new(self.look_at_env().await?);
        *seen() = Some((now, Arc::clone(&state)));
        Ok(state)
    }

    /// Forgets what the env object said: it says something else by now.
    pub(crate) fn forget_env(&self) {
        *self.env_seen.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Returns who stands at the gates.
    pub(crate) fn keeper<'k>(
        &'k self,
        gate: SecretGate,
        on_refusal: OnRefusal,
        env: Option<&'k EnvState>,
        permit: Option<&'k Permit>,
    ) -> Keeper<'k> {
        Keeper { settings: &self.settings, collections: self.collections(), gate, on_refusal, env, permit }
    }

    async fn look_at_env(&self) -> Result<EnvState, Error> {
        for attempt in 1.. {
            let stored = self.adapter.objects(ENV_OBJECT, None).await?;
            let Some(mine) = stored.iter().find(|o| o.key.name == self.settings.env.as_str()) else {
                return Err(Error::Setup {
                    problem: format!("env {} is not initialised", self.settings.env),
                    hint: format!("run: cfg init --env {}", self.settings.env),
                });
            };
            self.check_tables(&stored)?;
            let stored = stored_policy(&mine.body);
            let policy = effective(Some(&stored), &self.settings.policy());
            self.check_atomicity(policy.gated)?;
            let state = EnvState { version: mine.version, policy, pinned_alert: stored.rules.alert };
            if self.collections().iter().all(|c| knows_policy(mine, &c.policy)) {
                return Ok(state);
            }
            let Some(body) = mine.body.as_object().cloned() else { return Ok(state) };
            match self.write_env(Some(mine), body.with(POLICIES, self.all_policies(Some(mine)))).await {
                // It has another version now; or somebody else's policy, or this very one: look again.
                Ok(()) => {}
                Err(Error::Storage(AdapterError::StaleObject { .. } | AdapterError::Clock { .. }))
                    if attempt < ATTEMPTS => {}
                Err(Error::Storage(AdapterError::UnknownOutcome)) if attempt < ATTEMPTS => {}
                Err(error) => return Err(error),
            }
        }
        Err(AdapterError::UnknownOutcome.into())
    }

    /// Returns what the env asks of a change, as the file says it, as the store holds it, and what comes of both.
    /// It reads only, and an env that was never initialised has no stored policy.
    ///
    /// # Errors
    ///
    /// Only where the store fails.
    pub async fn policy_standing(&self) -> Result<PolicyStanding, Error> {
        let stored = self.adapter.objects(ENV_OBJECT, Some(self.settings.env.as_str())).await?;
        let (stored, file) = (stored.first().map(|object| stored_policy(&object.body)), self.settings.policy());
        Ok(PolicyStanding { holds: effective(stored.as_ref(), &file), stored, file })
    }

    /// Makes the stored policy what the file says, which is less strict: a change like any other of a gated env.
    ///
    /// # Errors
    ///
    /// [`Error::ApprovalRequired`] on a gated env, and where it loosens who approves that history is rewritten; [`Error::Refused`] where there is nothing to loosen.
    pub async fn loosen(&self, options: &Options) -> Result<Object, Error> {
        let options = &self.under_approval(options).await?;
        let known = self.adapter.objects(ENV_OBJECT, None).await?;
        self.ensure_env().await?;
        let Some(mine) = known.iter().find(|object| object.key.name == self.settings.env.as_str()) else {
            return Err(Error::NoSuch { what: "env", name: self.settings.env.to_string(), known: Vec::new() });
        };
        let (stored, file) = (stored_policy(&mine.body), self.settings.policy());
        let Some(body) = mine.body.as_object().cloned().filter(|_| stored != file) else {
            return Err(Error::refused(
                "nothing_to_loosen",
                format!("the store holds of env {} what the file says", self.settings.env),
                "change [env.NAME.rules] in .cfg.toml first",
            ));
        };
        self.check_atomicity(file.gated)?;
        let body = body.with("gated", file.gated).with(POLICY, file.to_object());
        let write = ObjectWrite {
            key: mine.key.clone(),
            expected: ExpectedVersion::At(mine.version),
            body: Some(Value::Object(body)),
        };
        let shown = Object::new().with("env", self.settings.env.as_str()).with("policy", file.to_object());
        if options.dry_run {
            return Ok(shown.with("dry_run", true));
        }
        let mut plan = self.plan(Verb::Policy, options, Vec::new());
        plan.objects.push(write.clone());
        // Who approves that history is rewritten, and who is told, is not for one alone to say.
        plan.always_gated = pinned(Some(&stored), &file) != file;
        let options = self.with_permit(&plan, options).await?;
        self.write_objects(Verb::Policy, &options, vec![write]).await?;
        self.forget_env();
        Ok(shown.with("dry_run", false))
    }
}

/// Reads the policy of an env object; one that was written before there were any says only whether it is gated.
fn stored_policy(body: &Value) -> Policy {
    match body.get(POLICY) {
        Some(policy) => Policy::from_value(policy),
        None => Policy { gated: body.get("gated").and_then(Value::as_bool).unwrap_or(false), ..Policy::default() },
    }
}

/// The member of an env object that holds what the env asks of a change.
const POLICY: &str = "policy";

/// How long what the env object said is taken for what it says.
const ENV_FRESH: Duration = Duration::from_secs(1);

/// How often the env object is written anew where others write it too.
const ATTEMPTS: u32 = 8;

/// The member of an env object that holds field policies by address.
const POLICIES: &str = "policies";

fn knows_policy(env: &StoredObject, policy: &FieldPolicy) -> bool {
    env.body.get(POLICIES).and_then(|all| all.get(&policy.address().to_hex())).is_some()
}

/// Returns the tables that an env object names, with the collections they are; an object that was written
/// before collections were kept names the tables alone.
pub(super) fn registered(body: &Value) -> Vec<(Option<String>, String)> {
    let list = |member: &str| body.get(member).and_then(Value::as_array).unwrap_or_default();
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let pairs: Vec<_> = list("collections")
        .iter()
        .filter_map(|pair| Some((text(pair.get("name")), text(pair.get("table"))?)))
        .collect();
    if pairs.is_empty() { list("tables").iter().filter_map(|t| Some((None, text(Some(t))?))).collect() } else { pairs }
}
