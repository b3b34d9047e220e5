//! `hooks`.

use cfg_engine::document::Object;
use cfg_engine::engine::{Options, Project};
use cfg_engine::history::{RecordKey, Reference, Seq};
use cfg_engine::{Error, Value};
use cfg_engine_connect::{HookChange, TRAILER, install_hook, read_commit, uninstall_hook};

use crate::context::Context;
use crate::render::style::{YELLOW, clean, paint};

/// `cfg hooks`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Install git's post-commit hook for an env
    Install,
    /// Take the hook out again
    Uninstall,
    /// Link a commit with the versions that its trailers name: what the hook calls
    Run(RunArgs),
}

#[derive(Debug, clap::Args)]
struct RunArgs {
    /// Which commit
    #[arg(value_name = "COMMIT", default_value = "HEAD")]
    commit: String,
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<u8, Error> {
    match args.what {
        What::Install => {
            let opened = context.opened().await?;
            let done = install_hook(&opened.root, &opened.config_file, opened.env.name.as_str())?;
            changed(context, &done, "installed");
            if done.changed && !context.out.is_json() {
                let env = &opened.env.name;
                context
                    .out
                    .note(&format!("a commit names what it ships in its message: {TRAILER}: {env}/COLLECTION:ID@3"));
            }
            Ok(0)
        }
        What::Uninstall => {
            let opened = context.opened().await?;
            let done = uninstall_hook(&opened.root, opened.env.name.as_str())?;
            changed(context, &done, "taken out");
            Ok(0)
        }
        What::Run(args) => link(context, &args.commit).await,
    }
}

fn changed(context: &Context, done: &HookChange, word: &str) {
    let file = done.file.display().to_string();
    if context.out.is_json() {
        context.out.json(Object::new().with("file", file).with("changed", done.changed));
    } else if done.changed {
        context.out.report(&format!("{word}: {}\n", clean(&file)));
    } else {
        context.out.note("nothing to do");
    }
}

/// A trailer's version, if it is one of this env.
async fn version(project: &Project, text: &str) -> Result<Option<(RecordKey, Seq)>, Error> {
    let own = text.split_once('/').filter(|(env, _)| *env == project.settings().env.as_str());
    let address = match (own, text.split_once('/')) {
        (Some((_, address)), _) => address,
        // Another env's, if what stands in front is a name; an id may have a slash in it.
        (None, Some((env, _))) if cfg_engine::history::EnvName::new(env).is_ok() && text.contains(':') => {
            return Ok(None);
        }
        _ => text,
    };
    match project.resolve(address).await? {
        cfg_engine::engine::Address { record, reference: Some(Reference::Seq(seq)) } => Ok(Some((record, seq))),
        _ => Err(Error::refused(
            "bad_trailer",
            format!("{TRAILER}: {text} names no version"),
            "write it as env/collection:id@3",
        )),
    }
}

async fn link(context: &Context, commit: &str) -> Result<u8, Error> {
    let opened = context.opened().await?;
    let commit = read_commit(&opened.root, commit)?;
    let mut linked: Vec<Object> = Vec::new();
    let mut failed: Vec<Object> = Vec::new();
    let mut lines = String::new();
    if !commit.versions.is_empty() {
        let project = context.writer().await?;
        for text in &commit.versions {
            let result = match version(&project, text).await {
                Ok(None) => continue,
                Ok(Some((record, seq))) => {
                    let version = (record.clone(), seq);
                    project.link(&[version], &commit.sha, &Options::message("link")).await.map(|()| (record, seq))
                }
                Err(error) => Err(error),
            };
            match result {
                Ok((record, seq)) => {
                    let label = context.label(&project, &record);
                    lines.push_str(&format!(
                        "{} shipped by {}\n",
                        paint(YELLOW, &format!("{label}@{seq}")),
                        &commit.sha[..12]
                    ));
                    linked.push(super::show::record_object(&record).with("seq", seq.0));
                }
                // The commit is made; a trailer that means nothing is said and passed over.
                Err(error) => {
                    context.out.warn(&format!("{TRAILER}: {text}: {error}"));
                    failed.push(Object::new().with("trailer", text.as_str()).with("reason", error.to_reason()));
                }
            }
        }
    }
    if context.out.is_json() {
        let result = Object::new().with("sha", commit.sha.as_str()).with("linked", linked).with("failed", failed);
        context.out.json(Value::Object(result));
    } else {
        context.out.report(&lines);
    }
    Ok(0)
}
