//! `import`.

use std::path::PathBuf;

use cfg_engine::Error;
use cfg_engine::engine::{HistoryImport, HistoryReport, Import, Project, State};
use cfg_engine::history::{CollectionName, RecordKey};
use cfg_engine_connect::HistoryFile;

use super::log::moment;
use crate::cli::Change;
use crate::context::Context;
use crate::progress::Bar;
use crate::render::reports::{failures, several, single, warnings};
use crate::render::style::{CYAN, count, paint};
use crate::usage::usage;

/// `cfg import`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which records
    #[arg(value_name = "ID", required_unless_present_any = ["all", "history"])]
    ids: Vec<String>,
    /// Every untracked record
    #[arg(long, conflicts_with = "ids")]
    all: bool,
    /// Since when the documents have been live; a date means its end, UTC
    #[arg(long, value_name = "TIME", conflicts_with = "history")]
    valid_from: Option<String>,
    /// Load versions with their times: lines of {id, time, doc, author, message, sha}; .gz or - is fine
    #[arg(long, value_name = "FILE", conflicts_with_all = ["ids", "all"])]
    history: Option<PathBuf>,
    /// Take the fields that ignore_patterns names out of live; the first version keeps what they held
    #[arg(long, conflicts_with = "history")]
    strip_backups: bool,
    /// With --history: write each last version to live where live has none
    #[arg(long, requires = "history")]
    seed_live: bool,
    /// Only this collection; with --history, into it
    #[arg(long, value_name = "NAME", conflicts_with = "ids")]
    collection: Option<String>,
    #[command(flatten)]
    change: Change,
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<u8, Error> {
    let project = context.writer().await?;
    if let Some(file) = &args.history {
        return history(context, &project, file, &args).await;
    }
    // The parser lets it pass beside --all, which --history cannot stand with.
    if args.seed_live {
        return Err(usage("--seed-live writes versions of a history to live", "name the history: --history FILE"));
    }
    if args.strip_backups {
        refuse_readers(context).await?;
    }
    let options = context.options(&args.change)?;
    let valid_from = args.valid_from.as_deref().map(moment).transpose()?;
    let collection = context.collection(&project, args.collection.as_deref())?;
    let records = match (args.all, collection) {
        (false, _) => Some(context.records(&project, &args.ids).await?),
        (true, Some(collection)) => Some(untracked(&project, collection).await?),
        (true, None) => None,
    };
    let one = !args.all && records.as_ref().is_some_and(|records| records.len() == 1);
    let report = {
        let bar = Bar::new(&context.out, "importing");
        let import = Import { records, valid_from };
        match args.strip_backups {
            true => project.import_stripped(&import, &options, Some(&bar)).await?,
            false => project.import(&import, &options, Some(&bar)).await?,
        }
    };
    match one {
        true => single(context, &project, report, "import"),
        false => Ok(several(context, &project, &report, "import")),
    }
}

/// Refuses to take fields away that code still reads.
async fn refuse_readers(context: &Context) -> Result<(), Error> {
    let readers = super::refs::readers(context, None).await?;
    let Some(first) = readers.found.first() else { return Ok(()) };
    let more = match readers.found.len() {
        1 => String::new(),
        n => format!(" and {} more places", n - 1),
    };
    Err(Error::refused(
        "still_read",
        format!("{}:{}{more} name the fields that would go ({})", first.file.display(), first.line, first.field),
        "look at them with: cfg refs check",
    ))
}

async fn untracked(project: &Project, collection: CollectionName) -> Result<Vec<RecordKey>, Error> {
    let status = project.status(Some(collection), false, &cfg_engine::engine::Staged::new(), None).await?;
    Ok(status.rows.into_iter().filter(|row| row.state == State::Untracked).map(|row| row.record).collect())
}

async fn history(context: &Context, project: &Project, file: &std::path::Path, args: &Args) -> Result<u8, Error> {
    let collection = match (context.collection(project, args.collection.as_deref())?, project.collections()) {
        (Some(collection), _) => collection,
        (None, [only]) => only.name.clone(),
        (None, several) => {
            let names: Vec<&str> = several.iter().map(|collection| collection.name.as_str()).collect();
            return Err(usage(
                "no collection is named, and there are several",
                format!("say into which: --collection {}", names.join(" or --collection ")),
            ));
        }
    };
    let mut source = HistoryFile::open(file).map_err(|e| {
        Error::refused(
            "unreadable_file",
            format!("cannot read {}: {e}", file.display()),
            "check the file's name and content",
        )
    })?;
    let import = HistoryImport { collection, seed_live: args.seed_live };
    let options = context.options(&args.change)?;
    let report = {
        let bar = Bar::new(&context.out, "loading");
        project.import_history(&import, &mut source, &options, Some(&bar)).await?
    };
    if context.out.is_json() {
        context.out.json(report.to_object());
    } else {
        context.out.report(&people(context, project, &report));
        failures(&context.out, report.failed.iter().map(|(_, error)| error));
        warnings(&context.out, report.warnings.iter().map(|(_, error)| error));
    }
    Ok(report.exit_code())
}

fn people(context: &Context, project: &Project, report: &HistoryReport) -> String {
    const NAMED: usize = 5;
    let versions = |n: u64| count(usize::try_from(n).unwrap_or(usize::MAX), "version");
    let word = if report.dry_run { "would load" } else { "loaded" };
    let records = count(usize::try_from(report.records).unwrap_or(usize::MAX), "record");
    let mut out = format!("{word} {} of {records}", versions(report.loaded));
    if report.known > 0 {
        out.push_str(&format!(", {} already there", report.known));
    }
    if report.without_effect > 0 {
        out.push_str(&format!(", {} without effect", report.without_effect));
    }
    if report.seeded > 0 {
        out.push_str(&format!(", {} written to live", report.seeded));
    }
    out.push('\n');
    if !report.dirty.is_empty() {
        let named: Vec<String> = report.dirty.iter().take(NAMED).map(|r| context.label(project, r)).collect();
        let more = report.dirty.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let differs = if report.dirty.len() == 1 { "differs" } else { "differ" };
        out.push_str(&format!(
            "live {differs} from the last version of {}{more}\n{}\n",
            named.join(", "),
            paint(CYAN, "look with: cfg status")
        ));
    }
    out
}
