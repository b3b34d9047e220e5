//! The gates: what a plan must pass before it can become a batch.
//!
//! `judge` is the one place. It refuses what looks like a secret and, on a gated env, everything
//! that has no approval. `Cleared` has no other constructor, and only `Cleared` makes batches.

use super::{Plan, PlannedChange};
use crate::config::{CollectionConfig, OnSecret, Settings};
use crate::document::FieldPolicy;
use crate::error::Error;
use crate::history::RecordKey;

/// A plan that passed the gates.
#[derive(Debug)]
pub(crate) struct Cleared {
    plan: Plan,
}

impl Cleared {
    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }
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
/// (a gated env, a secret in the message or the author).
pub(crate) fn judge(
    plan: Plan,
    settings: &Settings,
    collections: &[CollectionConfig],
    gate: SecretGate,
    on_refusal: OnRefusal,
) -> Result<(Cleared, Vec<(RecordKey, Error)>), Error> {
    if !settings.is_approved() && plan.verb != super::Verb::Init {
        if settings.gated {
            return Err(Error::Gated { env: settings.env.to_string() });
        }
        if plan.always_gated {
            return Err(Error::AlwaysGated { env: settings.env.to_string(), verb: plan.verb });
        }
    }
    let (plan, left_out) = preview(plan, settings, collections, gate, on_refusal)?;
    Ok((Cleared { plan }, left_out))
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
