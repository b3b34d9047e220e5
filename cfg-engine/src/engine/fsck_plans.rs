//! What `fsck` checks of plans that are kept: those that wait for an approval, and those that are being carried out.
//!
//! Nothing of a plan follows from anything else, so nothing is repaired: a finding says whom to ask anew.

use super::fsck::{Finding, FsckReport};
use super::objects::address;
use super::project::Project;
use super::restore_plan::PLAN;
use crate::adapter::{AdapterError, StoredObject};
use crate::document::Value;
use crate::error::Error;
use crate::history::REDACTED;
use crate::plan::approval::APPROVAL;
use crate::plan::{Approval, ApprovalState, Verb};

/// The kind of the parts of a plan that is being carried out.
const PLAN_PART: &str = "plan_part";

impl Project {
    /// Checks every request and every plan of this env that is not done: that its parts are there, and are what
    /// their addresses say.
    pub(super) async fn check_plans(&self, report: &mut FsckReport) -> Result<(), Error> {
        for object in self.of_kind(APPROVAL, report).await? {
            let Some(read) = self.read_approval(&object) else { continue };
            let name = format!("approval {}", short(&object));
            let problem = match read {
                Ok(approval) => self.problem_of(&approval).await?,
                Err(_) => Some(
                    "it cannot be read, so nothing can be applied under it; ask anew, and have whoever runs the \
                     database delete this object"
                        .to_owned(),
                ),
            };
            report.findings.extend(problem.map(|problem| finding("approval", name, problem)));
        }
        for object in self.of_kind(PLAN, report).await? {
            let Some(problem) = self.problem_of_kept(&object).await? else { continue };
            report.findings.push(finding("plan", format!("plan {}", short(&object)), problem));
        }
        Ok(())
    }

    /// Reads the objects of a kind that are this env's. That they cannot even be read is a finding.
    async fn of_kind(&self, kind: &'static str, report: &mut FsckReport) -> Result<Vec<StoredObject>, Error> {
        let env = self.settings.env.as_str();
        let is_own =
            |object: &StoredObject| object.key.name.strip_prefix(env).is_some_and(|rest| rest.starts_with('/'));
        match self.adapter.objects(kind, None).await {
            Ok(objects) => Ok(objects.into_iter().filter(is_own).collect()),
            Err(AdapterError::Damaged { problem }) => {
                report.findings.push(finding(kind, format!("{kind}s"), problem));
                Ok(Vec::new())
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn problem_of(&self, approval: &Approval) -> Result<Option<String>, Error> {
        let Some(problem) = self.plan_problem(approval).await? else { return Ok(None) };
        let id = &approval.id;
        let what_to_do = match approval.state_at(self.now_there().await?) {
            ApprovalState::Used | ApprovalState::Denied | ApprovalState::Expired => {
                "it is over: nothing can come of it, and its plan cannot be shown as it was".to_owned()
            }
            _ => format!("do not apply it: cfg deny {id} --reason damaged, and ask anew"),
        };
        Ok(Some(format!("{problem}; {what_to_do}")))
    }

    async fn problem_of_kept(&self, plan: &StoredObject) -> Result<Option<String>, Error> {
        let text = |member: &str| plan.body.get(member).and_then(Value::as_str);
        if text("state") == Some("done") {
            return Ok(None);
        }
        let unreadable = |again: &str| Some(format!("it cannot be read, so it cannot be resumed; {again}"));
        match text("verb") {
            Some(verb) if verb == Verb::Redact.as_str() => {
                Ok(if self.read_kept(plan).is_some() { None } else { unreadable("redact anew what it was of") })
            }
            Some(verb) if verb == Verb::Restore.as_str() => {
                let again = "restore anew: what is done is not done twice";
                let Some(parts) = plan.body.get("parts").and_then(Value::as_array) else {
                    return Ok(unreadable(again));
                };
                for part in parts {
                    let name = part.as_array().and_then(|cells| cells.first()?.as_str());
                    let Some(name) = name else { return Ok(unreadable(again)) };
                    let found = self.adapter.objects(PLAN_PART, Some(name)).await?;
                    match found.first() {
                        Some(part) if address(&part.body).to_hex() == name => {}
                        Some(_) => return Ok(Some(format!("a part of it is not what its address says; {again}"))),
                        // They go when it is done, perhaps just now.
                        None => {
                            let now = self.adapter.objects(PLAN, Some(&plan.key.name)).await?;
                            let moved = now.first().map(|now| now.version) != Some(plan.version);
                            return Ok((!moved).then(|| format!("a part of it is missing; {again}")));
                        }
                    }
                }
                Ok(None)
            }
            _ => Ok(unreadable("it says not even what it was of")),
        }
    }
}

/// Returns whether an object lost something to a redaction, after which no address fits any more.
pub(super) fn is_redacted_body(body: &Value) -> bool {
    match body {
        Value::String(text) => text.contains(REDACTED),
        Value::Array(items) => items.iter().any(is_redacted_body),
        Value::Object(members) => members.iter().any(|(_, member)| is_redacted_body(member)),
        _ => false,
    }
}

/// Returns the name of an object without its env, as short as people type it.
fn short(object: &StoredObject) -> String {
    let name = object.key.name.split_once('/').map_or(object.key.name.as_str(), |(_, name)| name);
    name.chars().take(12).collect()
}

fn finding(code: &'static str, object: String, problem: String) -> Finding {
    Finding { record: None, object: Some(object), seq: None, code, problem, repair: None, repaired: false }
}
