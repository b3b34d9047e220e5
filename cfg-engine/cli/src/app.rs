//! From the words of the command line to the exit code.

use std::ffi::OsString;

use cfg_engine::Error;
use clap::Parser as _;
use clap::error::ErrorKind;

use crate::cli::{Cli, Color, Global, Verb};
use crate::context::Context;
use crate::output::Output;
use crate::{usage, verbs};

/// What a shell reports for a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

/// Runs one command; returns its exit code.
pub(crate) fn run(words: Vec<OsString>) -> u8 {
    let cli = match Cli::try_parse_from(&words) {
        Ok(cli) => cli,
        Err(error) => return not_parsed(&words, &error),
    };
    trace();
    let context = Context::new(cli.global);
    let code = match block_on(&context, cli.verb) {
        Ok(code) => code,
        Err(error) => {
            context.out.error(&error);
            error.kind().exit_code()
        }
    };
    match context.out.failure() {
        Some(error) => {
            context.out.row_error(&error);
            if code == 0 { 1 } else { code }
        }
        None => code,
    }
}

/// Runs the verb; what it refuses is printed here, while the store can still be asked.
fn block_on(context: &Context, verb: Verb) -> Result<u8, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| {
        Error::refused(
            "runtime",
            format!("the program cannot start: {e}"),
            "free memory or file handles, and try again",
        )
    })?;
    let interruptible = verb.is_interruptible();
    Ok(runtime.block_on(async {
        let work = Box::pin(dispatch(context, verb));
        let done = match interruptible {
            false => work.await,
            true => tokio::select! {
                biased;
                done = work => done,
                Ok(()) = tokio::signal::ctrl_c() => {
                    context.out.warn("interrupted; what was confirmed stays: look with cfg log");
                    Ok(INTERRUPTED)
                }
            },
        };
        match done {
            Ok(code) => code,
            Err(error) => {
                verbs::approvals::asked(context, &error).await;
                context.out.error(&error);
                if let Some(hint) = context.nearest(&error).await {
                    context.out.hint(&hint);
                }
                error.kind().exit_code()
            }
        }
    }))
}

async fn dispatch(context: &Context, verb: Verb) -> Result<u8, Error> {
    match verb {
        Verb::Init(args) => verbs::init::run(context, args).await,
        Verb::Import(args) => verbs::import::run(context, args).await,
        Verb::Status(args) => verbs::status::run(context, args).await,
        Verb::Get(args) => verbs::get::run(context, args).await,
        Verb::Show(args) => verbs::show::run(context, args).await,
        Verb::Log(args) => verbs::log::run(context, args).await,
        Verb::Diff(args) => verbs::diff::run(context, args).await,
        Verb::Set(args) => verbs::set::run(context, args).await,
        Verb::Edit(args) => verbs::edit::run(context, args).await,
        Verb::Commit(args) => verbs::commit::run(context, args).await,
        Verb::ApplyDoc(args) => verbs::commit::apply_doc(context, args).await,
        Verb::Restore(args) => verbs::restore::run(context, args).await,
        Verb::Undo(args) => verbs::undo::run(context, args).await,
        Verb::Activate(args) => verbs::activate::run(context, args).await,
        Verb::Tag(args) => verbs::tag::run(context, args).await,
        Verb::Tags(_) => verbs::tag::list(context).await,
        Verb::Points(args) => verbs::points::run(context, args).await,
        Verb::Blame(args) => verbs::blame::run(context, args).await,
        Verb::Adopt(args) => verbs::adopt::run(context, args).await,
        Verb::Rm(args) => verbs::rm::run(context, args).await,
        Verb::Approvals(args) => verbs::approvals::list(context, args).await,
        Verb::Approval(args) => verbs::approvals::show(context, args).await,
        Verb::Approve(args) => verbs::approvals::approve(context, args).await,
        Verb::Deny(args) => verbs::approvals::deny(context, args).await,
        Verb::Export(args) => verbs::export::run(context, args).await,
        Verb::Fsck(args) => verbs::fsck::run(context, args).await,
        Verb::Redact(args) => verbs::redact::run(context, args).await,
        Verb::Secrets(args) => verbs::secrets::run(context, args).await,
        Verb::Refs(args) => verbs::refs::run(context, args).await,
        Verb::Hooks(args) => verbs::hooks::run(context, args).await,
        Verb::Whoami(args) => verbs::whoami::run(context, args),
        Verb::Config(args) => verbs::config::run(context, args).await,
        Verb::Version(args) => verbs::version::run(context, args),
        Verb::Completions(args) => verbs::manual::completions(context, args),
        Verb::Man(args) => verbs::manual::man(context, args),
        Verb::Demo(args) => verbs::demo::run(context, args).await,
    }
}

/// Help and version are results; anything else is a mistake, exit code 1.
fn not_parsed(words: &[OsString], error: &clap::Error) -> u8 {
    // The words did not parse, so the flags that decide how to say so are looked up by hand.
    let before = words.iter().take_while(|word| *word != "--");
    let json = before.into_iter().any(|word| word == "--json");
    let global =
        Global { env: None, json, quiet: false, yes: false, config_file: None, author: None, color: Color::Auto };
    let out = Output::new(&global);
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            out.text(&error.render().ansi().to_string());
            0
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand if !json => {
            // As git does: the help, and the exit code of a mistake.
            out.text(&error.render().ansi().to_string());
            1
        }
        _ => {
            let error = usage::from_clap(error);
            out.error(&error);
            error.kind().exit_code()
        }
    }
}

/// Shows what happens inside, on standard error, where `CFG_LOG` asks for it.
fn trace() {
    if let Ok(filter) = std::env::var("CFG_LOG")
        && !filter.is_empty()
    {
        let filter = tracing_subscriber::EnvFilter::new(filter);
        // Only events of `tracing`: what drivers and clients write to `log` has statements, values and URLs in it.
        let shown = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).finish();
        let _ = tracing::subscriber::set_global_default(shown);
    }
}
