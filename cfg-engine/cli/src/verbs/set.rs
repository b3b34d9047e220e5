//! `set`.

use cfg_engine::Error;
use cfg_engine::document::{Assignment, Object, Treatment, assign, parse_assignments};
use cfg_engine::engine::{Commit, CommitItem, Project};
use cfg_engine::history::RecordKey;
use cfg_engine::plan::Content;

use super::secret_flag::secrets;
use super::stage;
use crate::cli::Change;
use crate::context::Context;
use crate::render::reports::single;
use crate::render::style::shell_word;
use crate::usage::usage;

/// `cfg set`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cfg set planner model small        one field; JSON is JSON, anything else is text
  cfg set planner model=small retries:=3 tools+=search tools-=old tools-=@2
  cfg set planner note --delete
  cfg set planner --secret api_key=env:NEW_KEY --commit -m \"rotated\"")]
pub(crate) struct Args {
    /// Which record
    #[arg(value_name = "ID")]
    id: String,
    /// PATH VALUE, or any number of path=value path:=json path+=element path-=element path-=@index
    #[arg(value_name = "ASSIGNMENT", required_unless_present = "secret", allow_negative_numbers = true)]
    words: Vec<String>,
    /// Remove the fields at these paths
    #[arg(long)]
    delete: bool,
    /// Commit at once; without it the change is staged
    #[arg(long)]
    commit: bool,
    /// A secret field's new value, from a variable
    #[arg(long, value_name = "PATH=env:VAR")]
    secret: Vec<String>,
    /// With --commit: go on over what was changed outside cfg, recording it first
    #[arg(long, requires = "commit")]
    force: bool,
    /// With --commit: secrets may go with the field or array element that holds them
    #[arg(long, requires = "commit")]
    without_secrets: bool,
    #[command(flatten)]
    change: Change,
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<u8, Error> {
    let given = secrets(&args.secret)?;
    let project = if args.commit { context.writer().await? } else { context.reader().await? };
    let record = project.record(&args.id).await?;
    let mut assignments = Vec::new();
    if !args.words.is_empty() {
        let words: Vec<&str> = args.words.iter().map(String::as_str).collect();
        assignments = parse_assignments(&words, args.delete).map_err(|e| bad_assignment(&record, &e))?;
    }
    for (path, value) in given {
        if project.collection(&record.collection)?.policy.treatment(&path) != Treatment::Secret {
            return Err(Error::refused_for(
                &record,
                "bad_secret_path",
                format!("{path} is not a secret field"),
                "add it to secret_fields in .cfg.toml first, so that history never stores it",
            ));
        }
        assignments.push(Assignment::Set { path, value });
    }
    if args.commit {
        return commit(context, &project, record, assignments, &args).await;
    }
    let options = context.options(&args.change)?;
    let mut document = stage::start(context, &project, &record).await?;
    assign(&mut document.doc, &assignments).map_err(|e| bad_assignment(&record, &e))?;
    let outcome = stage::put(context, &project, document.base, document.doc, &options).await?;
    stage::print(context, &project, &outcome);
    Ok(0)
}

async fn commit(
    context: &Context,
    project: &Project,
    record: RecordKey,
    assignments: Vec<Assignment>,
    args: &Args,
) -> Result<u8, Error> {
    if context.staging().await?.get(&record)?.is_some() {
        let id = shell_word(&record.id.to_string());
        return Err(usage(
            format!("a staged document of {record} waits"),
            format!("commit it first: cfg commit {id} -m \"why\"   or drop it: cfg edit --abort {id}"),
        ));
    }
    let item = CommitItem { record, content: Content::Assignments(assignments), base: None };
    let meta = Object::new().with("via", "set");
    let commit = Commit { force: args.force, without_secrets: args.without_secrets, meta, ..Commit::of(vec![item]) };
    let report = project.commit(&commit, &context.options(&args.change)?).await?;
    single(context, project, report, "commit")
}

fn bad_assignment(record: &RecordKey, error: &cfg_engine::document::AssignError) -> Error {
    Error::refused_for(
        record,
        "bad_assignment",
        error.to_string(),
        format!(
            "look at the document with: cfg get {}   and at the forms with: cfg set --help",
            shell_word(&record.id.to_string())
        ),
    )
}
