//! `completions` and `man`, from the same definitions as the command line itself.

use std::fs;
use std::path::PathBuf;

use cfg_engine::Error;
use cfg_engine::document::Object;
use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::cli::Cli;
use crate::context::Context;
use crate::output::text_object;

/// `cfg completions`.
#[derive(Debug, clap::Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// `cfg man`.
#[derive(Debug, clap::Args)]
pub(crate) struct ManArgs {
    /// A folder for all pages, one for each verb
    #[arg(value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(crate) fn completions(context: &Context, args: CompletionsArgs) -> Result<u8, Error> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "cfg", &mut script);
    let script = String::from_utf8_lossy(&script);
    match context.out.is_json() {
        true => context.out.json(Object::new().with("shell", args.shell.to_string()).with("script", &*script)),
        false => context.out.data(&script),
    }
    Ok(0)
}

pub(crate) fn man(context: &Context, args: ManArgs) -> Result<u8, Error> {
    let Some(dir) = args.dir else {
        let mut page = Vec::new();
        clap_mangen::Man::new(Cli::command()).render(&mut page).map_err(|e| unwritable("the page", &e))?;
        let page = String::from_utf8_lossy(&page);
        match context.out.is_json() {
            true => context.out.json(text_object("page", &page)),
            false => context.out.data(&page),
        }
        return Ok(0);
    };
    let shown = dir.display().to_string();
    fs::create_dir_all(&dir).map_err(|e| unwritable(&shown, &e))?;
    clap_mangen::generate_to(Cli::command(), &dir).map_err(|e| unwritable(&shown, &e))?;
    match context.out.is_json() {
        true => context.out.json(text_object("dir", &shown)),
        false => context.out.report(&format!("wrote the man pages to {shown}\n")),
    }
    Ok(0)
}

fn unwritable(what: &str, error: &std::io::Error) -> Error {
    Error::refused("file", format!("cannot write {what}: {error}"), "name a folder that you may write")
}
