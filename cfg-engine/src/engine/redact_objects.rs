//! Redaction and the engine's own documents: those that repeat what is redacted, and the one that keeps what is
//! to be done until it is done.

use super::manifest::TAG;
use super::objects::address;
use super::project::{Options, Project};
use super::redact::Redact;
use super::redact_report::{Place, PlaceKind};
use super::redact_values::Values;
use super::restore_plan::PLAN;
use crate::adapter::{AdapterError, ExpectedVersion, ObjectWrite, StoredObject};
use crate::document::{Object, Value};
use crate::error::Error;
use crate::history::{Author, AuthorClass, CollectionName, IdKey, RecordKey, Seq};
use crate::plan::Verb;

/// The kinds that hold what people wrote: messages, authors, what plans that wait for an approval show.
const WRITTEN_BY_PEOPLE: [&str; 4] = [TAG, PLAN, "approval", "approval_part"];
/// How often objects that others write meanwhile are read again.
const ATTEMPTS: u32 = 8;

/// Objects that repeat what is redacted.
#[derive(Default)]
pub(super) struct ToRedact {
    pub(super) places: Vec<Place>,
    pub(super) left: Vec<Place>,
    pub(super) writes: Vec<ObjectWrite>,
}

/// A redaction that was begun, as it is kept.
pub(super) struct Kept {
    pub(super) redact: Redact,
    pub(super) author: Author,
    pub(super) message: String,
    pub(super) allow_secret: bool,
}

impl Project {
    /// Finds the objects of this env that repeat what is redacted.
    pub(super) async fn objects_to_redact(&self, values: &Values) -> Result<ToRedact, Error> {
        let mut found = ToRedact::default();
        if values.is_empty() {
            return Ok(found);
        }
        for kind in WRITTEN_BY_PEOPLE {
            for object in self.adapter.objects(kind, None).await?.into_iter().filter(|object| self.is_own(object)) {
                if !values.is_in(&object.body.to_interchange()) {
                    continue;
                }
                let body = values.cut_all(&object.body);
                let name = object.key.name.split_once('/').map_or(object.key.name.as_str(), |(_, name)| name);
                let shown = if values.is_in(name) { "?" } else { name };
                let place =
                    Place { object: Some(format!("{kind} {shown}")), ..Place::of(PlaceKind::Object, None, false) };
                if values.is_in(&body.to_interchange()) {
                    found.left.push(place);
                    continue;
                }
                found.places.push(place);
                let expected = ExpectedVersion::At(object.version);
                found.writes.push(ObjectWrite { key: object.key, expected, body: Some(body) });
            }
        }
        Ok(found)
    }

    fn is_own(&self, object: &StoredObject) -> bool {
        let env = self.settings.env.as_str();
        let name = object.key.name.as_str();
        name == env || name.strip_prefix(env).is_some_and(|rest| rest.starts_with('/')) || !name.contains('/')
    }

    /// Overwrites the objects that repeat what is redacted, until there is none.
    pub(super) async fn write_redacted_objects(&self, values: &Values, options: &Options) -> Result<(), Error> {
        let mut options = options.clone();
        options.idempotency_key = None;
        for _ in 0..ATTEMPTS {
            let found = self.objects_to_redact(values).await?;
            if found.writes.is_empty() {
                return Ok(());
            }
            for write in found.writes {
                match self.write_objects(Verb::Redact, &options, vec![write]).await {
                    // Somebody moved it meanwhile: it is read again.
                    Ok(()) | Err(Error::Storage(AdapterError::StaleObject { .. })) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Err(Error::conflict("stale_object", "an object that is redacted is being changed by others", "try again"))
    }

    /// Keeps what is to be done, before anything is: whoever comes after a crash finishes it.
    pub(super) async fn keep_redact_plan(&self, redact: &Redact, options: &Options) -> Result<String, Error> {
        let author = options.author.as_ref().unwrap_or(&self.settings.author);
        let body = Object::new()
            .with("v", 1)
            .with("verb", Verb::Redact.as_str())
            .with("collection", redact.record.collection.as_str())
            .with("id_key", redact.record.id.as_str())
            .with("paths", redact.paths.clone())
            .with(
                "versions",
                redact.versions.as_ref().map(|all| all.iter().map(|s| Value::from(s.0)).collect::<Vec<_>>()),
            )
            .with("messages", redact.messages)
            .with("rewrite_history", redact.rewrite_history)
            .with("author", Object::new().with("id", author.id.as_str()).with("class", author.class.as_str()))
            .with("message", options.message.as_str())
            .with("allow_secret", options.allow_secret);
        let token = address(&Value::Object(body.clone())).to_hex();
        let body = Value::Object(body.with("state", "applying"));
        let key = self.plan_key(&token);
        let mut options = options.clone();
        options.idempotency_key = None;
        for _ in 0..ATTEMPTS {
            let there = self.adapter.objects(PLAN, Some(&key.name)).await?.into_iter().next();
            if there.as_ref().is_some_and(|plan| plan.body == body) {
                return Ok(token);
            }
            let expected = there.map_or(ExpectedVersion::Absent, |plan| ExpectedVersion::At(plan.version));
            let write = ObjectWrite { key: key.clone(), expected, body: Some(body.clone()) };
            match self.write_objects(Verb::Redact, &options, vec![write]).await {
                Ok(()) => return Ok(token),
                Err(Error::Storage(AdapterError::StaleObject { .. })) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::conflict("stale_object", "the kept plan is being changed by others", "try again"))
    }

    /// Takes a finished plan away: its `redact` entries say all that it said.
    pub(super) async fn finish_redact_plan(&self, token: &str, options: &Options) -> Result<(), Error> {
        let key = self.plan_key(token);
        let mut options = options.clone();
        options.idempotency_key = None;
        let Some(plan) = self.adapter.objects(PLAN, Some(&key.name)).await?.into_iter().next() else { return Ok(()) };
        let write = ObjectWrite { key, expected: ExpectedVersion::At(plan.version), body: None };
        match self.write_objects(Verb::Redact, &options, vec![write]).await {
            // Somebody else finished it.
            Err(Error::Storage(AdapterError::StaleObject { .. })) => Ok(()),
            other => other,
        }
    }

    /// Takes plans of the very same redaction away, where a crash came after its last batch.
    pub(super) async fn finish_redact_plans(&self, redact: &Redact, options: &Options) -> Result<(), Error> {
        for (token, plan) in self.redactions_begun().await? {
            let same = |kept: &Redact| {
                kept.record == redact.record
                    && kept.paths == redact.paths
                    && kept.versions == redact.versions
                    && kept.messages == redact.messages
            };
            if self.read_kept(&plan).is_some_and(|kept| same(&kept.redact)) {
                self.finish_redact_plan(&token, options).await?;
            }
        }
        Ok(())
    }

    /// Returns the tokens of redactions that were begun and are not done.
    ///
    /// # Errors
    ///
    /// Only where the store fails.
    pub async fn unfinished_redactions(&self) -> Result<Vec<String>, Error> {
        Ok(self.redactions_begun().await?.into_iter().map(|(token, _)| token).collect())
    }

    async fn redactions_begun(&self) -> Result<Vec<(String, StoredObject)>, Error> {
        let mut plans = self.plans().await?;
        plans.retain(|(_, plan)| plan.body.get("verb").and_then(Value::as_str) == Some(Verb::Redact.as_str()));
        Ok(plans)
    }

    pub(super) async fn kept_redaction(&self, token: Option<&str>) -> Result<Kept, Error> {
        let begun = self.redactions_begun().await?;
        let mut fits = begun.iter().filter(|(full, _)| token.is_none_or(|token| full.starts_with(token)));
        let (token, plan) = match (fits.next(), fits.next()) {
            (Some(found), None) => found,
            _ => {
                let known = begun.iter().map(|(token, _)| token.clone()).collect();
                let name = token.unwrap_or("--resume").to_owned();
                return Err(Error::NoSuch { what: "unfinished redaction", name, known });
            }
        };
        let broken =
            || AdapterError::Damaged { problem: format!("plan {} cannot be read", &token[..token.len().min(12)]) };
        Ok(self.read_kept(plan).ok_or_else(broken)?)
    }

    pub(super) fn read_kept(&self, plan: &StoredObject) -> Option<Kept> {
        let body = &plan.body;
        let flag = |member: &str| body.get(member).and_then(Value::as_bool);
        let texts = |value: &Value| -> Option<Vec<String>> {
            value.as_array()?.iter().map(|item| item.as_str().map(str::to_owned)).collect()
        };
        let seq = |value: &Value| Some(Seq(u64::try_from(value.as_i64()?).ok()?));
        let versions = match body.get("versions") {
            None | Some(Value::Null) => None,
            Some(list) => Some(list.as_array()?.iter().map(seq).collect::<Option<Vec<Seq>>>()?),
        };
        let author = body.get("author")?;
        Some(Kept {
            redact: Redact {
                record: RecordKey {
                    env: self.settings.env.clone(),
                    collection: CollectionName::new(body.get("collection")?.as_str()?).ok()?,
                    id: IdKey::from_stored(body.get("id_key")?.as_str()?).ok()?,
                },
                paths: texts(body.get("paths")?)?,
                versions,
                messages: flag("messages")?,
                rewrite_history: flag("rewrite_history")?,
            },
            author: Author {
                id: author.get("id")?.as_str()?.to_owned(),
                class: AuthorClass::parse(author.get("class")?.as_str()?)?,
            },
            message: body.get("message")?.as_str()?.to_owned(),
            allow_secret: flag("allow_secret")?,
        })
    }
}
