//! Plans that are kept while they are carried out, and `restore --resume`.

use super::project::{Options, Progress, Project};
use super::restore_all::{RestoreAll, RestoreReport, Version, is_start_of};
use super::restore_steps::{Looked, Step, Way};
use super::rows::{Row, parts};
use crate::adapter::{AdapterError, ExpectedVersion, ObjectKey, ObjectWrite, StoredObject};
use crate::document::{Object, Value};
use crate::error::Error;
use crate::history::{Author, AuthorClass, Seq};
use crate::plan::SeenState;

/// The kind of the roots.
pub(super) const PLAN: &str = "plan";
/// The kind of the parts.
const PART: &str = "plan_part";

fn row(step: &Step) -> Row {
    let hex = |text: Option<String>| text.map_or(Value::Null, Value::from);
    let (seq, entry_id) = match &step.version {
        Some(version) => (Value::from(version.seq.0), hex(Some(version.entry_id.to_hex()))),
        None => (Value::Null, Value::Null),
    };
    let head = hex(step.seen.head.map(|id| id.to_hex()));
    let live = hex(step.seen.live.map(|oid| oid.to_hex()));
    Row { record: step.record.clone(), cells: vec![head, live, seq, entry_id] }
}

fn step(row: Row) -> Option<Step> {
    let text = |n: usize| row.cells.get(n).and_then(Value::as_str);
    let head = text(0).map(|hex| hex.parse().ok());
    let live = text(1).map(|hex| hex.parse().ok());
    let seq = row.cells.get(2).and_then(Value::as_i64).map(u64::try_from);
    let version = match (seq, text(3)) {
        (None, None) => None,
        (Some(Ok(seq)), Some(hex)) => Some(Version { seq: Seq(seq), entry_id: hex.parse().ok()?, oid: None }),
        _ => return None,
    };
    let seen = SeenState {
        head: match head {
            Some(head) => Some(head?),
            None => None,
        },
        live: match live {
            Some(live) => Some(live?),
            None => None,
        },
    };
    Some(Step { seen, tip: None, version, record: row.record })
}

impl Project {
    pub(super) fn plan_key(&self, token: &str) -> ObjectKey {
        ObjectKey { kind: PLAN.to_owned(), name: format!("{}/{token}", self.settings.env) }
    }

    /// Keeps a plan before its first batch, so that it can be finished by whoever comes after a crash.
    /// Returns what is stored of it, unless somebody else stored it at the same time.
    pub(crate) async fn keep_plan(
        &self,
        token: &str,
        way: &Way<'_>,
        steps: &[Step],
        options: &Options,
    ) -> Result<Option<KeptRoot>, Error> {
        let key = self.plan_key(token);
        let mut stored = self.stored_root(&key).await?;
        // The same plan again: the last one got no further than this.
        if stored.as_ref().is_some_and(|plan| !is_done(plan)) {
            return Ok(stored.map(KeptRoot::from));
        }
        // Its own: they go when it is done, and no other plan may need them.
        let cut = parts(PART, &steps.iter().map(row).collect::<Vec<_>>(), Some(&key.name));
        let author = options.author.as_ref().unwrap_or(&self.settings.author);
        let body = Object::new()
            .with("v", 1)
            .with("verb", RestoreAll::VERB.as_str())
            .with("state", "applying")
            .with("plan_oid", token)
            .with("author", Object::new().with("id", author.id.as_str()).with("class", author.class.as_str()))
            .with("message", options.message.as_str())
            .with("adopt_drift", way.adopt_drift)
            .with("without_secrets", way.without_secrets)
            .with("allow_secret", options.allow_secret)
            .with("elsewhere", way.is_elsewhere)
            .with("meta", way.meta.clone())
            .with("rows", steps.len())
            .with("parts", cut.index);
        let mut options = options.clone();
        options.idempotency_key = None;
        let mut pending = cut.writes;
        let body = Value::Object(body);
        loop {
            let mut writes = pending.clone();
            let version = stored.as_ref().map(|plan| plan.version);
            let expected = version.map_or(ExpectedVersion::Absent, ExpectedVersion::At);
            writes.push(ObjectWrite { key: key.clone(), expected, body: Some(body.clone()) });
            match self.write_objects(RestoreAll::VERB, &options, writes).await {
                Ok(()) => return Ok(Some(KeptRoot { version: version.map_or(1, |version| version + 1), body })),
                // It is left of the same plan, which was kept before.
                Err(Error::Storage(AdapterError::StaleObject { kind, name })) if kind == PART => {
                    pending.retain(|write| write.key.name != name);
                    stored = self.stored_root(&key).await?;
                }
                // Somebody else keeps the same plan, which is as good.
                Err(Error::Storage(AdapterError::StaleObject { kind, .. })) if kind == PLAN => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    async fn stored_root(&self, key: &ObjectKey) -> Result<Option<StoredObject>, Error> {
        Ok(self.adapter.objects(&key.kind, Some(&key.name)).await?.into_iter().next())
    }

    /// Puts a finished plan away: its steps go, that it happened stays.
    pub(crate) async fn finish_plan(
        &self,
        token: &str,
        kept: Option<KeptRoot>,
        options: &Options,
    ) -> Result<(), Error> {
        let key = self.plan_key(token);
        let mut options = options.clone();
        options.idempotency_key = None;
        if let Some(kept) = kept {
            match self.put_away(key.clone(), kept, &options).await {
                // Not the version that it was taken for.
                Err(Error::Storage(AdapterError::StaleObject { kind, .. })) if kind == PLAN => {}
                other => return other,
            }
        }
        match self.stored_root(&key).await? {
            Some(plan) => self.put_away(key, plan.into(), &options).await,
            None => Ok(()),
        }
    }

    async fn put_away(&self, key: ObjectKey, plan: KeptRoot, options: &Options) -> Result<(), Error> {
        let names: Vec<String> = plan
            .body
            .get("parts")
            .and_then(Value::as_array)
            .unwrap_or_default()
            .iter()
            .filter_map(|part| Some(part.as_array()?.first()?.as_str()?.to_owned()))
            .collect();
        let Value::Object(mut body) = plan.body else { return Ok(()) };
        body.insert("state", "done");
        body.insert("parts", Vec::<Value>::new());
        let root = ObjectWrite { key, expected: ExpectedVersion::At(plan.version), body: Some(Value::Object(body)) };
        let gone = names.iter().map(|name| ObjectWrite {
            key: ObjectKey { kind: PART.to_owned(), name: name.clone() },
            expected: ExpectedVersion::At(1),
            body: None,
        });
        let all = gone.chain([root.clone()]).collect();
        match self.write_objects(RestoreAll::VERB, options, all).await {
            // Somebody else put it away, or the same plan was kept before.
            Err(Error::Storage(AdapterError::StaleObject { kind, .. })) if kind == PART => {
                self.write_objects(RestoreAll::VERB, options, vec![root]).await
            }
            other => other,
        }
    }

    /// Returns the tokens of restores that were begun and are not done.
    ///
    /// # Errors
    ///
    /// Only where the store fails.
    pub async fn unfinished(&self) -> Result<Vec<String>, Error> {
        let plans = self.restores().await?;
        Ok(plans.into_iter().filter(|(_, plan)| !is_done(plan)).map(|(token, _)| token).collect())
    }

    async fn restores(&self) -> Result<Vec<(String, StoredObject)>, Error> {
        let mut plans = self.plans().await?;
        plans.retain(|(_, plan)| plan.body.get("verb").and_then(Value::as_str) == Some(RestoreAll::VERB.as_str()));
        Ok(plans)
    }

    /// Reads the plans of this env that are kept, whatever verb they are of.
    pub(super) async fn plans(&self) -> Result<Vec<(String, StoredObject)>, Error> {
        let stored = self.adapter.objects(PLAN, None).await?;
        let of_env = |plan: StoredObject| {
            let token = plan.key.name.strip_prefix(self.settings.env.as_str())?.strip_prefix('/')?.to_owned();
            Some((token, plan))
        };
        Ok(stored.into_iter().filter_map(of_env).collect())
    }

    /// Finishes a restore that was begun: the kept plan, less what is done. `source` is the env that is
    /// restored from, where that is another one.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuch`] for a token that there is not; else as [`restore_all`](Self::restore_all).
    pub async fn resume(
        &self,
        token: &str,
        source: Option<&Project>,
        options: &Options,
        progress: Option<&dyn Progress>,
    ) -> Result<RestoreReport, Error> {
        let options = &self.under_approval(options).await?;
        if !options.dry_run {
            self.ensure_env().await?;
        }
        let plans = self.restores().await?;
        let mut fits = plans.iter().filter(|(full, _)| is_start_of(token, full));
        let (token, plan) = match (fits.next(), fits.next()) {
            (Some(found), None) => found,
            _ => {
                let known = plans.iter().filter(|(_, plan)| !is_done(plan)).map(|(token, _)| token.clone()).collect();
                return Err(Error::NoSuch { what: "unfinished restore", name: token.to_owned(), known });
            }
        };
        let mut report = RestoreReport::default();
        if is_done(plan) {
            return Ok(report);
        }
        let broken = || Error::from(AdapterError::Damaged { problem: format!("plan {} cannot be read", &token[..12]) });
        let kept = KeptPlan::read(&plan.body).ok_or_else(broken)?;
        let rows = self.read_rows(PART, &plan.body, None).await?;
        let steps = rows.into_iter().map(step).collect::<Option<Vec<Step>>>().ok_or_else(broken)?;
        let source = match (kept.is_elsewhere, source) {
            (false, _) => self,
            (true, Some(source)) => source,
            (true, None) => {
                return Err(Error::refused(
                    "preview_restore",
                    "this restore writes a preview of another env",
                    "resume it as it was begun: cfg restore --preview --resume TOKEN",
                ));
            }
        };
        let mut way = Way::kept(source, kept.adopt_drift, kept.without_secrets, kept.meta);
        way.is_elsewhere = kept.is_elsewhere;
        let mut options = options.clone();
        options.author = Some(kept.author);
        options.message = kept.message;
        options.allow_secret |= kept.allow_secret;
        if options.dry_run {
            let planned = self.plan_steps(&way, &steps, &options).await?;
            report.planned = planned.kinds;
            report.unchanged = planned.unchanged;
            report.fail(planned.failed);
            report.plan = Some(planned.view);
            return Ok(report);
        }
        let env = self.ensure_env().await?;
        let mut looked = Looked::new();
        if env.policy.gated {
            // What is left is part of what was approved, or is approved by itself.
            let planned = self.plan_steps(&way, &steps, &options).await?;
            options = self.with_permit_for(&planned.plan, planned.stored, &options, &env).await?;
            looked = planned.looked;
        }
        let carried = self.carry_out(&way, &steps, looked, &options, progress).await?;
        self.settle_plan(&mut report, carried, token, Some(plan.clone().into()), &options).await?;
        Ok(report)
    }
}

/// The root of a plan that is kept.
pub(crate) struct KeptRoot {
    version: u64,
    body: Value,
}

impl From<StoredObject> for KeptRoot {
    fn from(plan: StoredObject) -> Self {
        KeptRoot { version: plan.version, body: plan.body }
    }
}

/// What is kept of a plan besides its steps.
struct KeptPlan {
    author: Author,
    message: String,
    adopt_drift: bool,
    without_secrets: bool,
    allow_secret: bool,
    is_elsewhere: bool,
    meta: Object,
}

impl KeptPlan {
    fn read(body: &Value) -> Option<KeptPlan> {
        let author = body.get("author")?;
        let flag = |member: &str| body.get(member).and_then(Value::as_bool);
        Some(KeptPlan {
            author: Author {
                id: author.get("id")?.as_str()?.to_owned(),
                class: AuthorClass::parse(author.get("class")?.as_str()?)?,
            },
            message: body.get("message")?.as_str()?.to_owned(),
            adopt_drift: flag("adopt_drift")?,
            without_secrets: flag("without_secrets")?,
            allow_secret: flag("allow_secret")?,
            is_elsewhere: flag("elsewhere")?,
            meta: body.get("meta")?.as_object()?.clone(),
        })
    }
}

fn is_done(plan: &StoredObject) -> bool {
    plan.body.get("state").and_then(Value::as_str) == Some("done")
}
