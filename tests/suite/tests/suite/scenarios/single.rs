//! Steps on one record beyond commit and restore.

use cfg_engine::Value;
use cfg_engine::document::{FieldPath, Object};
use cfg_engine::engine::{Activate, Project, Undo};
use cfg_engine::history::{Reference, Seq};

use super::step::{Outcome, flag, of_report, ok, options, record, text};

pub(super) async fn run(project: &Project, verb: &str, with: &Value) -> Outcome {
    let record = record(project, with).await?;
    let reference = text(with, "ref").map(Reference::parse).transpose()?;
    match verb {
        "activate" => {
            let mut activate = Activate::new(record, reference.expect("a version"));
            activate.without_secrets = flag(with, "without_secrets");
            activate.force = flag(with, "force");
            let report = project.activate(&activate, &options(with)?).await?;
            of_report(&report, report.to_single())
        }
        "undo" => {
            let mut undo = Undo::new(record, reference.expect("a version"));
            undo.without_secrets = flag(with, "without_secrets");
            let report = project.undo(&undo, &options(with)?).await?;
            of_report(&report, report.to_single())
        }
        "blame" => {
            let path = text(with, "path").map(|path| path.parse::<FieldPath>().unwrap());
            let lines = project.blame(&record, path.as_ref()).await?;
            ok(lines.iter().map(|line| line.to_object()).collect::<Vec<Object>>())
        }
        "link" => {
            let seq = with.get("seq").and_then(Value::as_i64).expect("a number");
            let version = (record, Seq(u64::try_from(seq).unwrap()));
            project.link(&[version], text(with, "sha").expect("a sha"), &options(with)?).await?;
            ok(Value::Null)
        }
        other => panic!("no verb {other}"),
    }
}
