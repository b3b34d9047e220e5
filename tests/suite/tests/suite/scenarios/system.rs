//! Steps that are about the whole system at a moment.

use cfg_engine::document::Object;
use cfg_engine::engine::{Moment, Points, Project, RestoreAll, RestoreReport, SetTag, Signed, TagTarget};
use cfg_engine::history::{CollectionName, Reference, TagName};
use cfg_engine::{Error, Value};

use super::step::{Outcome, flag, judged, ok, options, record, records, text, time};

pub(super) async fn run(project: &Project, verb: &str, with: &Value) -> Outcome {
    match verb {
        "tag" => tag(project, with).await,
        "tags" => ok(project.tags().await?.iter().map(|tag| tag.to_object()).collect::<Vec<Object>>()),
        "approvals" => {
            let now = project.now_there().await?;
            let mut found = project.approvals().await?;
            found.retain(|approval| flag(with, "all") || !approval.state_at(now).is_over());
            ok(found.iter().map(|approval| approval.to_object(now)).collect::<Vec<Object>>())
        }
        "approval" => ok(project.approval(text(with, "id").expect("an id")).await?.to_object()),
        "approve" => {
            let approval = project.find_approval(text(with, "id").expect("an id")).await?;
            let by = text(with, "by").expect("who");
            let mut statement = approval.statement(by);
            if let Some(other) = text(with, "plan_oid") {
                statement.plan_oid = other.to_owned();
            }
            let seed = [u8::try_from(with.get("seed").and_then(Value::as_i64).expect("a seed")).expect("a byte"); 32];
            let signed = Signed { signature: statement.sign(&seed), statement };
            let approved = project.approve(&approval.id, &signed).await?;
            ok(approved.to_object(project.now_there().await?))
        }
        "deny" => {
            let reason = text(with, "reason").unwrap_or_default();
            let denied = project.deny(text(with, "id").expect("an id"), reason).await?;
            ok(denied.to_object(project.now_there().await?))
        }
        "restore_all" => {
            let report = project.restore_all(&restore(project, with).await?, &options(with)?, None).await?;
            of_restore(&report)
        }
        "resume" => {
            let token = text(with, "token").expect("a token");
            of_restore(&project.resume(token, None, &options(with)?, None).await?)
        }
        "points" => {
            let points = Points {
                record: match with.get("id") {
                    Some(_) => Some(record(project, with).await?),
                    None => None,
                },
                collection: text(with, "collection").map(CollectionName::new).transpose()?,
                around: text(with, "around").map(time).transpose()?,
                window: with.get("window_ms").and_then(Value::as_i64).unwrap_or(Points::WINDOW),
            };
            ok(project.points(&points).await?.iter().map(|point| point.to_object()).collect::<Vec<Object>>())
        }
        other => panic!("no verb {other}"),
    }
}

async fn tag(project: &Project, with: &Value) -> Outcome {
    let name = TagName::new(text(with, "name").expect("a name"))?;
    if flag(with, "delete") {
        return ok(project.delete_tag(&name, &options(with)?).await?.to_object());
    }
    let target = match (with.get("versions").and_then(Value::as_array), text(with, "id")) {
        (Some(versions), _) => {
            let mut found = Vec::new();
            for version in versions {
                let reference = Reference::parse(text(version, "ref").expect("a version"))?;
                found.push((record(project, version).await?, reference));
            }
            TagTarget::Versions(found)
        }
        (None, Some(_)) => {
            let reference = Reference::parse(text(with, "ref").unwrap_or("=HEAD"))?;
            TagTarget::Versions(vec![(record(project, with).await?, reference)])
        }
        (None, None) => TagTarget::System {
            collection: text(with, "collection").map(CollectionName::new).transpose()?,
            as_of: text(with, "as_of").map(time).transpose()?,
        },
    };
    let report = project.set_tag(&SetTag { name, target, force: flag(with, "force") }, &options(with)?).await?;
    ok(report.to_object())
}

async fn restore(project: &Project, with: &Value) -> Result<RestoreAll, Error> {
    let to = match (text(with, "tag"), text(with, "as_of")) {
        (Some(name), None) => Moment::Tag(TagName::new(name)?),
        (None, Some(at)) => Moment::At(time(at)?),
        _ => panic!("a restore goes to a tag or to a moment"),
    };
    let mut restore = RestoreAll::new(to);
    if let Some(ids) = with.get("only") {
        restore.only = Some(records(project, ids).await?);
    }
    if let Some(ids) = with.get("except") {
        restore.except = records(project, ids).await?;
    }
    restore.include_deleted = with.get("include_deleted").and_then(Value::as_bool).unwrap_or(true);
    restore.prune = flag(with, "prune");
    restore.adopt_drift = flag(with, "adopt_drift");
    restore.without_secrets = flag(with, "without_secrets");
    restore.plan = text(with, "plan").map(str::to_owned);
    Ok(restore)
}

fn of_restore(report: &RestoreReport) -> Outcome {
    let reasons: Vec<&Error> = report.failed().map(|(_, error)| error).collect();
    Ok(judged(Value::Object(report.to_object()), report.exit_code(), &reasons))
}
