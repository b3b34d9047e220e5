//! `diff`.

use std::path::{Path, PathBuf};

use cfg_engine::Error;
use cfg_engine::engine::{DiffSide, Project, RecordDiff};
use cfg_engine::history::{RecordKey, Reference, Timestamp};

use super::log::{moment, write_page};
use crate::context::Context;
use crate::render::changes::changes;
use crate::render::html::{Section, diff_page};
use crate::render::reports::failures;
use crate::render::style::{BOLD, GREEN, PLAIN, RED, YELLOW, clean, count, paint};
use crate::render::table::Table;
use crate::usage::usage;

/// `cfg diff`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which record; none compares the whole system, HEAD with live
    #[arg(value_name = "ID")]
    id: Option<String>,
    /// The older side: @7, #a1b2c3, @{2026-06-07}, =HEAD (the default), =live, =staged
    #[arg(value_name = "FROM")]
    from: Option<String>,
    /// The newer side; by default =live
    #[arg(value_name = "TO", conflicts_with = "to")]
    second: Option<String>,
    /// From what was live at this moment
    #[arg(long, value_name = "TIME", conflicts_with = "from")]
    as_of: Option<String>,
    /// To =live, =HEAD or another moment @{…}
    #[arg(long, value_name = "VERSION", requires = "as_of")]
    to: Option<String>,
    /// Only this collection
    #[arg(long, value_name = "NAME", conflicts_with = "id")]
    collection: Option<String>,
    /// Write it to a file, as one page that any browser shows
    #[arg(long, value_name = "FILE", conflicts_with = "stat")]
    html: Option<PathBuf>,
    /// Only count what changed
    #[arg(long)]
    stat: bool,
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<u8, Error> {
    let project = context.reader().await?;
    let at = args.as_of.as_deref().map(moment).transpose()?;
    match &args.id {
        Some(id) => one(context, &project, id, at, &args).await,
        None => system(context, &project, at, &args).await,
    }
}

async fn one(context: &Context, project: &Project, id: &str, at: Option<Timestamp>, args: &Args) -> Result<u8, Error> {
    let address = project.resolve(id).await?;
    let mut named: Vec<Reference> = address.reference.into_iter().chain(at.map(Reference::At)).collect();
    for text in [&args.from, &args.second, &args.to].into_iter().flatten() {
        named.push(Reference::parse(text)?);
    }
    let (from, to) = match named.as_slice() {
        [] => (Reference::Head, Reference::Live),
        // What is staged is what is to come.
        [Reference::Staged] => (Reference::Head, Reference::Staged),
        [from] => (from.clone(), Reference::Live),
        [from, to] => (from.clone(), to.clone()),
        _ => return Err(usage("more than two versions are named", "compare two: cfg diff planner @5 @7")),
    };
    let record = address.record;
    let staged = match [&from, &to].contains(&&Reference::Staged) {
        true => Some(super::show::staged(context, &record).await?.doc),
        false => None,
    };
    let diff = project.diff(&record, &from, &to, staged.as_ref()).await?;
    if let Some(file) = &args.html {
        return html(context, project, std::slice::from_ref(&diff), &format!("{from} → {to}"), file);
    }
    if context.out.is_json() {
        context.out.json(diff.to_object());
    } else if diff.changes.is_empty() {
        context.out.note("no differences");
    } else if args.stat {
        context.out.report(&stat(context, project, std::slice::from_ref(&diff)));
    } else {
        context.out.report(&record_diff(context, project, &diff, &format!("{from} → {to}")));
    }
    Ok(0)
}

async fn system(context: &Context, project: &Project, at: Option<Timestamp>, args: &Args) -> Result<u8, Error> {
    let collection = context.collection(project, args.collection.as_deref())?;
    let from = at.map_or(DiffSide::Head, DiffSide::At);
    let to = match args.to.as_deref() {
        None => DiffSide::Live,
        Some(text) => match Reference::parse(text)? {
            Reference::Live => DiffSide::Live,
            Reference::Head => DiffSide::Head,
            Reference::At(time) => DiffSide::At(time),
            other => {
                return Err(usage(
                    format!("{other} is a version of one record"),
                    "compare the system with --to =live, --to =HEAD or --to @{2026-06-07}",
                ));
            }
        },
    };
    let report = project.diff_all(collection, from, to).await?;
    if let Some(file) = &args.html {
        html(context, project, &report.diffs, &format!("{} → {}", side(from), side(to)), file)?;
        failures(&context.out, report.errors());
        return Ok(report.exit_code());
    }
    if context.out.is_json() {
        context.out.json(report.to_objects());
    } else {
        if report.diffs.is_empty() && report.errors().next().is_none() {
            context.out.note("no differences");
        } else if args.stat {
            context.out.report(&stat(context, project, &report.diffs));
        } else {
            let sides = format!("{} → {}", side(from), side(to));
            for (n, diff) in report.diffs.iter().enumerate() {
                let gap = if n > 0 { "\n" } else { "" };
                context.out.report(&format!("{gap}{}", record_diff(context, project, diff, &sides)));
            }
        }
        failures(&context.out, report.errors());
    }
    Ok(report.exit_code())
}

/// Writes differences as a page.
fn html(context: &Context, project: &Project, diffs: &[RecordDiff], sides: &str, file: &Path) -> Result<u8, Error> {
    let sections: Vec<Section<'_>> = diffs
        .iter()
        .filter(|diff| !diff.changes.is_empty())
        .map(|diff| Section { label: label(context, project, &diff.record), changes: &diff.changes })
        .collect();
    let title = match diffs {
        [only] => format!("What changed in {}", only.record.id),
        _ => "What changed".to_owned(),
    };
    let about = format!("env {}, {sides}, {}", project.settings().env, count(sections.len(), "record"));
    write_page(context, file, &diff_page(&title, &about, &sections))?;
    Ok(0)
}

fn side(side: DiffSide) -> String {
    match side {
        DiffSide::Head => Reference::Head.to_string(),
        DiffSide::Live => Reference::Live.to_string(),
        DiffSide::At(time) => Reference::At(time).to_string(),
        _ => String::new(),
    }
}

/// Writes one record's differences under its name.
pub(crate) fn record_diff(context: &Context, project: &Project, diff: &RecordDiff, sides: &str) -> String {
    let label = label(context, project, &diff.record);
    format!("{} {}\n{}", paint(BOLD, &label), clean(sides), changes(&diff.changes, 2))
}

fn label(context: &Context, project: &Project, record: &RecordKey) -> String {
    context.label(project, record)
}

fn stat(context: &Context, project: &Project, diffs: &[RecordDiff]) -> String {
    let mut table = Table::indented(1);
    let mut totals = (0, 0, 0);
    for diff in diffs {
        let (added, removed, replaced) = diff.stat();
        totals = (totals.0 + added, totals.1 + removed, totals.2 + replaced);
        let number = |sign: char, n: usize| if n == 0 { String::new() } else { format!("{sign}{n}") };
        table.row([
            (label(context, project, &diff.record), PLAIN),
            (number('+', added), GREEN),
            (number('-', removed), RED),
            (number('~', replaced), YELLOW),
        ]);
    }
    let (added, removed, replaced) = totals;
    // As git says it: what there is none of is not named.
    let parts = [(added, "addition", "(+)"), (removed, "removal", "(-)"), (replaced, "change", "(~)")];
    let parts = parts.into_iter().filter(|(n, ..)| *n > 0).map(|(n, word, sign)| format!(", {}{sign}", count(n, word)));
    format!("{} {} changed{}\n", table.render(), count(diffs.len(), "record"), parts.collect::<String>())
}
