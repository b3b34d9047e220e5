//! `restore --tag`, `restore --as-of`, `restore --resume`.

use std::io::{self, BufRead as _, IsTerminal as _};
use std::process::Command;

use cfg_engine::Error;
use cfg_engine::engine::{LeftRecord, Moment, Options, PreparedRestore, Project, RestoreAll, RestoreReport};
use cfg_engine::history::{Entry, RecordKey, TagName};
use cfg_engine_connect::{OpenOptions, PREVIEW, open};

use super::log::moment;
use super::restore::Args;
use crate::context::Context;
use crate::progress::Bar;
use crate::render::reports::{LISTED, failures, planned};
use crate::render::style::{CYAN, GREEN, YELLOW, count, paint};
use crate::usage::usage;

pub(crate) async fn run(context: &Context, args: Args) -> Result<u8, Error> {
    let deploy = if args.include_code { Some(deploy_command(context).await?) } else { None };
    let source = context.writer().await?;
    let preview = if args.preview { Some(preview_project(context).await?) } else { None };
    let target = preview.as_ref().unwrap_or(&source);
    let options = context.options(&args.change)?;
    if let Some(token) = &args.resume {
        return resume(context, &source, target, token.as_deref(), &options).await;
    }
    let restore = wanted(context, &source, &args).await?;
    let prepared = {
        let bar = Bar::new(&context.out, "comparing");
        source.prepare_restore(target, &restore, &options, Some(&bar)).await?
    };
    let code = match &deploy {
        Some(_) => Some(shipped(&prepared).await?),
        None => None,
    };
    if options.dry_run {
        print(context, target, &prepared.report);
        return Ok(prepared.report.exit_code());
    }
    if !confirmed(context, target, &prepared) {
        context.out.note("nothing was done");
        return Ok(0);
    }
    if let Some(token) = prepared.token() {
        // Said before the first batch: whoever is interrupted has it.
        context.out.note(&format!("if this is interrupted: {}", resume_command(&args, token)));
    }
    let report = {
        let bar = Bar::new(&context.out, "restoring");
        prepared.carry_out(&options, Some(&bar)).await?
    };
    print(context, target, &report);
    if let (Some(command), Some(sha)) = (deploy, code)
        && report.exit_code() == 0
    {
        run_deploy(context, &command, &sha)?;
    }
    Ok(report.exit_code())
}

async fn wanted(context: &Context, project: &Project, args: &Args) -> Result<RestoreAll, Error> {
    let to = match (&args.tag, &args.as_of) {
        (Some(name), _) => Moment::Tag(TagName::new(name)?),
        (None, Some(time)) => Moment::At(moment(time)?),
        (None, None) => return Err(usage("no moment is named", "say --tag NAME or --as-of TIME")),
    };
    let mut restore = RestoreAll::new(to);
    if !args.only.is_empty() {
        restore.only = Some(there(context, project, &args.only).await?);
    }
    restore.except = there(context, project, &args.except).await?;
    restore.include_deleted = args.include_deleted;
    restore.prune = args.prune;
    restore.adopt_drift = args.adopt_drift;
    restore.without_secrets = args.without_secrets;
    restore.plan.clone_from(&args.plan);
    Ok(restore)
}

/// Finds records that are named; one that there is not was a slip of the pen.
async fn there(context: &Context, project: &Project, ids: &[String]) -> Result<Vec<RecordKey>, Error> {
    let records = context.records(project, ids).await?;
    if !records.is_empty() {
        project.status_of(&records, &cfg_engine::engine::Staged::new()).await?;
    }
    Ok(records)
}

/// Opens the env that previews are written to.
async fn preview_project(context: &Context) -> Result<Project, Error> {
    let opened = context.opened().await?;
    if opened.env.name.as_str() == PREVIEW {
        return Err(usage("a preview is of another env", "name the env to look at: --env prod --preview"));
    }
    let options = OpenOptions { env: Some(PREVIEW.to_owned()), ..context.open_options() };
    Ok(open(options).await?.project()?)
}

async fn resume(
    context: &Context,
    source: &Project,
    target: &Project,
    token: Option<&str>,
    options: &Options,
) -> Result<u8, Error> {
    let unfinished = target.unfinished().await?;
    let token = match (token, unfinished.as_slice()) {
        (Some(token), _) => token.to_owned(),
        (None, [only]) => only.clone(),
        (None, []) => {
            return Err(Error::NoSuch { what: "unfinished restore", name: String::new(), known: Vec::new() });
        }
        (None, several) => {
            let tokens: Vec<&str> = several.iter().map(|token| token.get(..12).unwrap_or(token)).collect();
            return Err(usage("several restores are not done", format!("name one: --resume {}", tokens.join(" or "))));
        }
    };
    let report = {
        let bar = Bar::new(&context.out, "restoring");
        target.resume(&token, Some(source), options, Some(&bar)).await?
    };
    print(context, target, &report);
    Ok(report.exit_code())
}

fn resume_command(args: &Args, token: &str) -> String {
    let preview = if args.preview { "--preview " } else { "" };
    let approval = args.change.approval.as_ref().map_or_else(String::new, |id| format!(" --approval {id}"));
    format!("cfg restore {preview}--resume {}{approval}", token.get(..12).unwrap_or(token))
}

/// Shows the plan and asks, where somebody sits there; a script has decided already.
fn confirmed(context: &Context, project: &Project, prepared: &PreparedRestore<'_>) -> bool {
    let asks = io::stdin().is_terminal() && io::stderr().is_terminal() && !context.out.is_json();
    if !asks || context.global.yes || prepared.token().is_none() {
        return true;
    }
    print(context, project, &prepared.report);
    context.out.warn("do this? [y/N]");
    let mut answer = String::new();
    match io::stdin().lock().read_line(&mut answer) {
        Ok(read) if read > 0 => answer.trim().eq_ignore_ascii_case("y"),
        _ => false,
    }
}

fn print(context: &Context, project: &Project, report: &RestoreReport) {
    if context.out.is_json() {
        context.out.json(report.to_object());
        return;
    }
    if let Some(plan) = &report.plan {
        context.out.text(&planned(project, &plan.shown));
    }
    let number = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    let summary = report.summary();
    let mut parts: Vec<String> = Vec::new();
    for word in ["changed", "created", "deleted", "restored", "unchanged", "left", "failed"] {
        let n = summary.get(word).and_then(cfg_engine::Value::as_i64).unwrap_or(0);
        if n > 0 {
            parts.push(format!("{n} {word}"));
        }
    }
    if parts.is_empty() {
        parts.push("nothing to do".to_owned());
    }
    let text = if report.plan.is_some() { format!("in all: {}", parts.join(", ")) } else { parts.join(", ") };
    let style = if report.exit_code() == 0 { GREEN } else { YELLOW };
    context.out.report(&format!("{}\n", paint(style, &text)));
    left(context, project, &report.left);
    failures(&context.out, report.failed().map(|(_, error)| error));
    if let Some(token) = &report.restore_token {
        let token = token.get(..12).unwrap_or(token);
        let rest = count(number(report.failed().count() as u64), "record");
        context.out.report(&paint(CYAN, &format!("{rest} not done; go on with: cfg restore --resume {token}\n")));
    }
}

fn left(context: &Context, project: &Project, left: &[LeftRecord]) {
    for (n, record) in left.iter().enumerate() {
        if n == LISTED {
            context.out.warn(&format!("{} more are left as they are; --json lists all of them", left.len() - n));
            break;
        }
        let (message, hint) = record.why.words();
        context.out.report(&format!("left {}: {message}; {hint}\n", context.label(project, &record.record)));
    }
}

/// Returns the env's deploy command; without one there is no code to bring along.
async fn deploy_command(context: &Context) -> Result<Vec<String>, Error> {
    let env = &context.opened().await?.env;
    if env.deploy.is_empty() {
        return Err(usage(
            format!("env {} does not say how code is deployed", env.name),
            format!("add to [env.{}]: deploy = [\"./deploy\", \"{{git_sha}}\"]", env.name),
        ));
    }
    Ok(env.deploy.clone())
}

/// Returns the code that ran with what is restored: the git commit of the latest version that has one.
async fn shipped(prepared: &PreparedRestore<'_>) -> Result<String, Error> {
    let entries = prepared.targets().await?;
    let newest = entries.iter().filter(|entry| !entry.git_shas.is_empty());
    let newest = newest.max_by_key(|entry: &&Entry| (entry.header.valid_from, entry.header.recorded_at));
    match newest.and_then(|entry| entry.git_shas.last()) {
        Some(sha) => Ok(sha.clone()),
        None => Err(usage(
            "no git commit is linked with what would be restored",
            "link them with: cfg hooks install   or restore without --include-code",
        )),
    }
}

/// Runs the deploy command as a list of arguments; no shell reads it.
fn run_deploy(context: &Context, command: &[String], sha: &str) -> Result<(), Error> {
    let words: Vec<String> = command.iter().map(|word| word.replace("{git_sha}", sha)).collect();
    let Some((program, arguments)) = words.split_first() else { return Ok(()) };
    context.out.note(&format!("deploying {sha}"));
    let failed = |reason: String| {
        Error::refused(
            "deploy",
            format!("the records are restored, and deploying {sha} failed: {reason}"),
            "deploy it by hand; the restore is done",
        )
    };
    // Its words are for people; standard output may be somebody's JSON.
    let done = Command::new(program).args(arguments).stdin(std::process::Stdio::null()).stdout(io::stderr()).status();
    match done {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(failed(status.to_string())),
        Err(error) => Err(failed(error.to_string())),
    }
}
