//! The gates: what a plan must pass before it can become a batch.
//!
//! `judge` is the one place. It refuses what looks like a secret and, on a gated env, everything
//! that has no approval. `Cleared` has no other constructor, and only `Cleared` makes batches.

use regex::Regex;

use super::permit::{Admission, Permit};
use super::{Plan, PlannedChange, Verb};
use crate::adapter::{ENV_OBJECT, ExpectedVersion, ObjectGuard, ObjectKey};
use crate::config::{Alert, CollectionConfig, OnSecret, Policy, ReasonRule, Settings};
use crate::document::{FieldPolicy, Oid};
use crate::error::Error;
use crate::history::{RecordKey, Timestamp};

/// A plan that passed the gates, and what its batch must hold besides.
#[derive(Debug)]
pub(crate) struct Cleared {
    plan: Plan,
    admission: Admission,
    guards: Vec<ObjectGuard>,
    expiry: Option<(Timestamp, String)>,
}

impl Cleared {
    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Returns the parts of an approved plan that this carries out.
    pub(crate) fn pieces(&self) -> &[Oid] {
        &self.admission.pieces
    }

    pub(super) fn beside(&self) -> &[crate::adapter::ObjectWrite] {
        &self.admission.writes
    }

    pub(super) fn guards(&self) -> &[ObjectGuard] {
        &self.guards
    }

    /// Refuses a batch that would be written when the approval has expired.
    pub(super) fn in_time(&self, at: Timestamp) -> Result<(), Error> {
        match &self.expiry {
            Some((expires_at, id)) if at >= *expires_at => Err(Error::expired(self.plan.env.as_str(), id, *expires_at)),
            _ => Ok(()),
        }
    }
}

/// What the store says of an env, joined with what the file says.
#[derive(Debug, Clone)]
pub(crate) struct EnvState {
    /// The version of the env object that was read.
    pub(crate) version: u64,
    /// The stricter of both.
    pub(crate) policy: Policy,
    /// Who is told, as the store holds it: what only a file names was agreed by nobody.
    pub(crate) pinned_alert: Option<Alert>,
}

/// Who stands at the gates, and with what.
#[derive(Clone, Copy)]
pub(crate) struct Keeper<'k> {
    pub(crate) settings: &'k Settings,
    pub(crate) collections: &'k [CollectionConfig],
    pub(crate) gate: SecretGate,
    pub(crate) on_refusal: OnRefusal,
    /// What the env asks for. Without it only what is exempt passes.
    pub(crate) env: Option<&'k EnvState>,
    /// The approval that is being used.
    pub(crate) permit: Option<&'k Permit>,
}

/// How strictly the secret gate judges one verb.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretGate {
    /// As the configuration says.
    Configured,
    /// The caller allowed it; the entry records that.
    Allowed,
}

/// What happens to the other changes of a plan when one is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnRefusal {
    /// The whole plan is refused.
    Whole,
    /// That record is left out and reported.
    LeaveOut,
}

/// Judges a plan. Returns what may be applied, and the records that were left out.
///
/// # Errors
///
/// Every refusal, where `on_refusal` says that the whole plan falls, or where nothing may pass
/// (a gated env without an approval of this very plan, a secret in the message or the author).
pub(crate) fn judge(plan: Plan, keeper: Keeper<'_>) -> Result<(Cleared, Vec<(RecordKey, Error)>), Error> {
    let Keeper { settings, collections, gate, on_refusal, .. } = keeper;
    let (plan, mut left_out) = preview(plan, settings, collections, gate, on_refusal)?;
    let (cleared, more) = clear(plan, keeper)?;
    left_out.extend(more);
    Ok((cleared, left_out))
}

/// Lets a plan pass that was looked at already, if the env lets it.
///
/// # Errors
///
/// As [`judge`].
pub(crate) fn clear(plan: Plan, keeper: Keeper<'_>) -> Result<(Cleared, Vec<(RecordKey, Error)>), Error> {
    let Keeper { settings, collections, on_refusal, env, permit, .. } = keeper;
    let nothing = plan.changes.is_empty() && plan.objects.is_empty() && plan.upkeep.is_empty();
    if nothing || is_exempt(&plan) {
        return Ok((Cleared { plan, admission: Admission::default(), guards: Vec::new(), expiry: None }, Vec::new()));
    }
    let gated = || Error::Gated { env: settings.env.to_string() };
    let env = env.ok_or_else(gated)?;
    obeys(&plan, settings, &env.policy)?;
    // Whoever changes what the env asks for, changes the version, and this batch with it.
    let key = ObjectKey { kind: ENV_OBJECT.to_owned(), name: settings.env.to_string() };
    let is_env = plan.objects.iter().any(|write| write.key == key);
    let guard = ObjectGuard { key, expected: ExpectedVersion::At(env.version) };
    let guards = if is_env { Vec::new() } else { vec![guard] };
    // What was asked for is used, also where only this plan needs it.
    let asks = env.policy.gated || plan.always_gated || permit.is_some();
    if settings.is_approved() || !asks {
        return Ok((Cleared { plan, admission: Admission::default(), guards, expiry: None }, Vec::new()));
    }
    let permit = permit.ok_or_else(gated)?;
    let (plan, left_out, admission) = permit.admit(plan, collections, on_refusal)?;
    let expiry = Some((permit.expires_at, permit.id.clone()));
    Ok((Cleared { plan, admission, guards, expiry }, left_out))
}

/// What needs no approval, and cannot: the env's own object, requests and what is decided of them, shas of
/// git commits, and the bookkeeping of a restore that has one.
fn is_exempt(plan: &Plan) -> bool {
    let only = |kinds: &[&str]| {
        let bare = plan.changes.is_empty() && plan.upkeep.is_empty();
        bare && plan.objects.iter().all(|write| kinds.contains(&write.key.kind.as_str()))
    };
    match plan.verb {
        Verb::Init => only(&[ENV_OBJECT]),
        Verb::Approval => only(&[super::approval::APPROVAL, super::stored::PART]),
        Verb::Restore | Verb::Redact => only(&["plan", "plan_part"]),
        Verb::Link => {
            let links = |upkeep: &super::Upkeep| upkeep.mended_tip.is_none() && upkeep.closed.is_empty();
            plan.changes.is_empty() && plan.objects.is_empty() && plan.upkeep.iter().all(links)
        }
        _ => false,
    }
}

/// Refuses a record that was changed outside, where the env wants clean ones; adopting is how one gets clean.
pub(crate) fn clean(plan: &Plan, dirty: &RecordKey, policy: &Policy) -> Result<(), Error> {
    match policy.rules.require_clean && !matches!(plan.verb, Verb::Adopt | Verb::Import | Verb::Redact) {
        true => Err(Error::Dirty { record: dirty.clone() }),
        false => Ok(()),
    }
}

/// Checks what the env asks of every plan, approved or not yet.
///
/// # Errors
///
/// A missing reason, a record that is not clean, a forced change of a gated env that forbids it.
pub(crate) fn obeys(plan: &Plan, settings: &Settings, policy: &Policy) -> Result<(), Error> {
    let env = &settings.env;
    let rules = &policy.rules;
    if policy.gated && settings.ambient {
        return Err(Error::refused(
            "ambient_gated_env",
            format!("env {env} needs approvals, and only CFG_ENV asked for it"),
            format!("ask for it in this call: --env {env}"),
        ));
    }
    let reason = match &rules.require_reason {
        ReasonRule::Optional => None,
        _ if plan.message.trim().is_empty() => Some(format!("env {env} wants a reason for every change")),
        ReasonRule::Required => None,
        ReasonRule::Matching(patterns) => {
            let missing = patterns.iter().find(|p| !Regex::new(p).is_ok_and(|p| p.is_match(&plan.message)));
            missing.map(|pattern| format!("env {env} wants a reason that matches {pattern}"))
        }
    };
    if let Some(problem) = reason {
        return Err(Error::refused("reason_required", problem, "say why with -m \"…\""));
    }
    if let Some(change) = plan.changes.iter().find(|change| change.is_dirty()) {
        clean(plan, &change.record, policy)?;
    }
    if plan.forced && policy.gated && !rules.emergency_override {
        return Err(Error::refused(
            "force_forbidden",
            format!("env {env} needs approvals and does not let a change be forced"),
            "adopt what was changed outside cfg first: cfg adopt ID -m \"why\"",
        ));
    }
    Ok(())
}

/// Judges a plan that is only shown: all but the approval, which is asked for *with* the plan.
///
/// # Errors
///
/// As [`judge`], but for a gated env.
pub(crate) fn preview(
    mut plan: Plan,
    settings: &Settings,
    collections: &[CollectionConfig],
    gate: SecretGate,
    on_refusal: OnRefusal,
) -> Result<(Plan, Vec<(RecordKey, Error)>), Error> {
    // A record of another env would be that env's history, around its gate.
    let mut records = plan.changes.iter().map(|change| &change.record).chain(plan.upkeep.iter().map(|u| &u.record));
    if let Some(record) = records.find(|record| record.env != plan.env) {
        return Err(Error::other_env(record, &plan.env));
    }
    let mut left_out = Vec::new();
    if gate == SecretGate::Configured && settings.on_secret == OnSecret::Refuse {
        let stores_texts = !plan.changes.is_empty() || !plan.objects.is_empty();
        let texts = [&plan.message, &plan.author.id].into_iter().filter(|_| stores_texts);
        if let Some(hit) = texts.filter_map(|text| settings.secrets.scan_text(text)).next() {
            return Err(match plan.changes.first() {
                Some(first) => Error::Secret { record: first.record.clone(), path: None, rule: hit.rule },
                None => secret_message(&hit.rule),
            });
        }
        let of = plan.changes.len();
        let mut kept = Vec::with_capacity(of);
        for change in plan.changes {
            match secret_in(&change, settings, collections) {
                None => kept.push(change),
                Some(error) => left_out.push((change.record, error)),
            }
        }
        if on_refusal == OnRefusal::Whole && !left_out.is_empty() {
            return Err(Error::several(left_out, of));
        }
        plan.changes = kept;
    }
    Ok((plan, left_out))
}

/// Says that a message which belongs to no one record looks like a secret.
pub(crate) fn secret_message(rule: &str) -> Error {
    Error::refused(
        "secret_found",
        format!("the message or the author looks like a secret ({rule})"),
        "write them without it, or pass --allow-secret, which is recorded",
    )
}

/// Finds what looks like a secret where the configuration lets it pass and wants it told.
pub(crate) fn warnings(
    plan: &Plan,
    settings: &Settings,
    collections: &[CollectionConfig],
    gate: SecretGate,
) -> Vec<(RecordKey, Error)> {
    if gate != SecretGate::Configured || settings.on_secret != OnSecret::Warn {
        return Vec::new();
    }
    let hit = [&plan.message, &plan.author.id].into_iter().find_map(|text| settings.secrets.scan_text(text));
    let of_all = plan.changes.first().zip(hit).map(|(first, hit)| {
        (first.record.clone(), Error::Secret { record: first.record.clone(), path: None, rule: hit.rule })
    });
    let of_each = plan
        .changes
        .iter()
        .filter_map(|change| Some((change.record.clone(), secret_in(change, settings, collections)?)));
    of_all.into_iter().chain(of_each).collect()
}

fn secret_in(change: &PlannedChange, settings: &Settings, collections: &[CollectionConfig]) -> Option<Error> {
    let none = FieldPolicy::default();
    let policy =
        collections.iter().find(|c| c.name == change.record.collection).map_or(&none, |collection| &collection.policy);
    for entry in &change.entries {
        let texts = [entry.message.as_deref(), entry.author.as_ref().map(|author| author.id.as_str())];
        if let Some(hit) = texts.into_iter().flatten().find_map(|text| settings.secrets.scan_text(text)) {
            return Some(Error::Secret { record: change.record.clone(), path: None, rule: hit.rule });
        }
        if let Some(content) = &entry.content
            && let Some(hit) = settings.secrets.scan(content, policy).into_iter().next()
        {
            return Some(Error::Secret { record: change.record.clone(), path: Some(hit.path), rule: hit.rule });
        }
    }
    None
}
