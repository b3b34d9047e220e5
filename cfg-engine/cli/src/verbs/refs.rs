//! `refs`.

use cfg_engine::Error;
use cfg_engine::document::Object;
use cfg_engine_connect::{Reader, Readers, find_readers};

use crate::context::Context;
use crate::render::style::{GREEN, PLAIN, YELLOW, clean, count, paint};
use crate::render::table::Table;

/// `cfg refs`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Search the code of `[code_search]` for fields that a glob fits
    Check(CheckArgs),
}

#[derive(Debug, clap::Args)]
struct CheckArgs {
    /// Which fields; else those that ignore_patterns names
    #[arg(value_name = "GLOB")]
    glob: Option<String>,
}

/// The pattern of backups that are kept by hand, where none is configured.
const BACKUPS: &str = "instructions_backup_*";

/// Searches for readers of fields that a glob, or `ignore_patterns`, fits.
pub(crate) async fn readers(context: &Context, glob: Option<&str>) -> Result<Readers, Error> {
    let opened = context.opened().await?;
    let mut globs: Vec<String> = match glob {
        Some(glob) => vec![glob.to_owned()],
        None => opened.config.collections.iter().flat_map(|c| c.policy.ignore_patterns().to_vec()).collect(),
    };
    if globs.is_empty() {
        globs.push(BACKUPS.to_owned());
    }
    globs.sort();
    globs.dedup();
    Ok(find_readers(&opened.root, &opened.config.code_search.roots, &globs)?)
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<u8, Error> {
    let What::Check(args) = args.what;
    let readers = readers(context, args.glob.as_deref()).await?;
    if context.out.is_json() {
        let found: Vec<Object> = readers.found.iter().map(Reader::to_object).collect();
        context.out.json(Object::new().with("found", found).with("files", readers.files));
        return Ok(0);
    }
    let mut table = Table::default();
    for reader in &readers.found {
        let place = format!("{}:{}", reader.file.display(), reader.line);
        table.row([(clean(&place), YELLOW), (clean(&reader.field), PLAIN)]);
    }
    let files = count(usize::try_from(readers.files).unwrap_or(usize::MAX), "file");
    let result = match readers.found.len() {
        0 => paint(GREEN, "nobody reads them"),
        found => count(found, "reader"),
    };
    context.out.report(&format!("{}searched {files}: {result}\n", table.render()));
    Ok(0)
}
