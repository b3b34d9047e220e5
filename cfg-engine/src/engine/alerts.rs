//! Alerts: what people hear of before it happens. A change that is forced on a gated env, and history that is
//! rewritten on any env.

use async_trait::async_trait;

use super::project::Project;
use crate::adapter::{ExpectedVersion, ObjectKey, ObjectWrite};
use crate::config::{Alert, Settings};
use crate::document::{Object, Value};
use crate::error::Error;
use crate::history::Timestamp;
use crate::plan::gates::EnvState;
use crate::plan::{Approval, Plan, Verb};

/// The kind of the object that counts forced changes.
const EMERGENCY: &str = "emergency";
/// How long a forced change counts.
const HOUR_MS: i64 = 60 * 60 * 1000;

/// Who carries alerts.
#[async_trait]
pub trait Alarm: Send + Sync {
    /// Tells whom the policy names. What is not delivered keeps the change from happening.
    ///
    /// # Errors
    ///
    /// Why it was not delivered, without a URL or arguments.
    async fn raise(&self, to: &Alert, alert: &Object) -> Result<(), String>;
}

/// What is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    ForcedChange,
    HistoryRedacted,
}

impl Event {
    /// Returns what a plan is told of as, if it is.
    fn of(plan: &Plan, env: &EnvState) -> Option<Event> {
        match plan {
            Plan { verb: Verb::Redact, always_gated: true, .. } => Some(Event::HistoryRedacted),
            Plan { forced: true, .. } if env.policy.gated => Some(Event::ForcedChange),
            _ => None,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Event::ForcedChange => "forced_change",
            Event::HistoryRedacted => "history_redacted",
        }
    }

    const fn what(self) -> &'static str {
        match self {
            Event::ForcedChange => "a forced change",
            Event::HistoryRedacted => "a change of history",
        }
    }
}

/// An event, and who is told of it.
#[derive(Debug, Clone)]
pub(crate) struct Announced {
    event: Event,
    to: Alert,
}

/// Says who is told of an event: the alert that the file and the store both name.
///
/// What the store says is not run on anybody's machine unless his own file says the same, and what a file says
/// counts only once it is pinned: else the next file would name somebody else.
fn who_is_told(event: Event, pinned: Option<&Alert>, settings: &Settings) -> Result<Announced, Error> {
    let env = &settings.env;
    let refuse = |code, problem: String, hint: String| {
        Error::refused(code, format!("{} of env {env} is told of first, and {problem}", event.what()), hint)
    };
    let init = format!("cfg init --env {env}");
    match (pinned, &settings.rules.alert) {
        (None, None) => Err(refuse(
            "alert_missing",
            "the env names nobody to tell".to_owned(),
            format!(
                "write into [env.{env}.rules] of .cfg.toml: alert = \"env:CFG_ALERT_URL\"   (a webhook's URL in that \
                 variable, or a command: alert = [\"program\", \"argument\"]); then: {init}"
            ),
        )),
        (None, Some(_)) => Err(refuse(
            "alert_missing",
            "the store does not hold the alert of the file yet".to_owned(),
            format!("take it over: {init}"),
        )),
        (Some(pinned), Some(own)) if pinned == own => Ok(Announced { event, to: own.clone() }),
        (Some(pinned), own) => {
            let own = own.as_ref().map_or_else(|| "names none".to_owned(), |own| format!("says {}", own.label()));
            Err(refuse(
                "alert_differs",
                format!("the store holds another alert ({}) than the file, which {own}", pinned.label()),
                format!(
                    "write the store's into [env.{env}.rules] of .cfg.toml; or have the file's approved: \
                     cfg init --loosen -m \"why\" --env {env}"
                ),
            ))
        }
    }
}

impl Project {
    /// Says whom a plan is told to, if to anybody.
    ///
    /// # Errors
    ///
    /// Where it must be told of, and there is nobody to tell.
    pub(crate) fn announced(&self, plan: &Plan, env: &EnvState) -> Result<Option<Announced>, Error> {
        let event = Event::of(plan, env);
        event.map(|event| who_is_told(event, env.pinned_alert.as_ref(), &self.settings)).transpose()
    }

    /// Returns why history could not be rewritten as things stand: there is nobody who would be told.
    pub(crate) fn rewrite_is_blocked(&self, pinned: Option<&Alert>) -> Option<Error> {
        who_is_told(Event::HistoryRedacted, pinned, &self.settings).err()
    }

    /// Tells, and waits until that is delivered.
    pub(crate) async fn tell(&self, told: &Announced, approval: &Approval, now: Timestamp) -> Result<(), Error> {
        let env = &self.settings.env;
        let undelivered = |reason: &str| {
            Error::refused(
                "alert_undelivered",
                format!("{} of env {env} is told of first, and that failed: {reason}", told.event.what()),
                format!("mend alert in [env.{env}.rules], and what it names; nothing was written"),
            )
        };
        let alarm = self.alarm.as_ref().ok_or_else(|| undelivered("this program cannot carry it"))?;
        let by = self.settings.operator.as_ref().unwrap_or(&self.settings.author.id);
        let text = format!(
            "cfg: {} of env {env} under approval {}, asked for by {}, applied by {by}: {}",
            told.event.what(),
            approval.id,
            approval.author.id,
            approval.message
        );
        let alert = approval.to_object(now).with("event", told.event.as_str()).with("text", text);
        alarm.raise(&told.to, &alert).await.map_err(|reason| undelivered(&reason))
    }

    /// Counts a forced change; refuses one too many.
    pub(crate) async fn emergency(&self, env: &EnvState, now: Timestamp) -> Result<ObjectWrite, Error> {
        let rules = &env.policy.rules;
        let key = ObjectKey { kind: EMERGENCY.to_owned(), name: self.settings.env.to_string() };
        let stored = self.adapter.objects(EMERGENCY, Some(&key.name)).await?.into_iter().next();
        let earlier = stored.as_ref().and_then(|object| object.body.get("at")).and_then(Value::as_array);
        let since = now.plus_millis(-HOUR_MS).as_millis();
        let mut at: Vec<i64> =
            earlier.unwrap_or_default().iter().filter_map(Value::as_i64).filter(|at| *at > since).collect();
        if at.len() as u64 >= u64::from(rules.emergency_per_hour) {
            return Err(Error::refused(
                "too_many_emergencies",
                format!("env {} lets {} changes an hour be forced", self.settings.env, rules.emergency_per_hour),
                "adopt what was changed outside cfg, or wait",
            ));
        }
        at.push(now.as_millis());
        let body = Object::new().with("v", 1).with("at", at.into_iter().map(Value::from).collect::<Vec<_>>());
        let expected = stored.map_or(ExpectedVersion::Absent, |object| ExpectedVersion::At(object.version));
        Ok(ObjectWrite { key, expected, body: Some(Value::Object(body)) })
    }
}
