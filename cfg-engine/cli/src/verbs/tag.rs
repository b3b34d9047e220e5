//! `tag` and `tags`.

use cfg_engine::Error;
use cfg_engine::document::Object;
use cfg_engine::engine::{Project, SetTag, Tag, TagReport, TagTarget};
use cfg_engine::history::{RecordKey, Reference, TagName};

use super::log::moment;
use crate::cli::Change;
use crate::context::Context;
use crate::render::style::{DIM, GREEN, PLAIN, YELLOW, clean, count, first_line, paint};
use crate::render::table::Table;
use crate::render::time::stamp;
use crate::usage::usage;

/// `cfg tag`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The tag; what git takes for one
    #[arg(value_name = "NAME", allow_hyphen_values = true)]
    name: String,
    /// Single versions: planner @7, or planner@7 critic@3; none means every record as it is in history
    #[arg(value_name = "ID VERSION")]
    versions: Vec<String>,
    /// What was live at this moment; a date means its end, UTC
    #[arg(long, value_name = "TIME", conflicts_with = "versions")]
    as_of: Option<String>,
    /// Only this collection
    #[arg(long, value_name = "NAME", conflicts_with = "versions")]
    collection: Option<String>,
    /// Move a tag that means something else
    #[arg(long)]
    force: bool,
    /// Delete the tag; what it meant stays in history
    #[arg(long, conflicts_with_all = ["versions", "as_of", "collection", "force"])]
    delete: bool,
    #[command(flatten)]
    change: Change,
}

/// `cfg tags`.
#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {}

pub(crate) async fn run(context: &Context, args: Args) -> Result<u8, Error> {
    let name = TagName::new(&args.name)?;
    let project = context.writer().await?;
    let options = context.options(&args.change)?;
    if args.delete {
        let tag = project.delete_tag(&name, &options).await?;
        if context.out.is_json() {
            context.out.json(tag.to_object());
        } else {
            let word = if options.dry_run { "would delete" } else { "deleted" };
            context.out.report(&format!(
                "{word} tag {} ({})\n",
                paint(YELLOW, &clean(&args.name)),
                short(&tag.manifest)
            ));
        }
        return Ok(0);
    }
    let target = match args.versions.is_empty() {
        false => TagTarget::Versions(versions(&project, &args.versions).await?),
        true => TagTarget::System {
            collection: context.collection(&project, args.collection.as_deref())?,
            as_of: args.as_of.as_deref().map(moment).transpose()?,
        },
    };
    let report = project.set_tag(&SetTag { name, target, force: args.force }, &options).await?;
    if context.out.is_json() {
        context.out.json(report.to_object());
    } else {
        people(context, &project, &report);
    }
    Ok(0)
}

/// Reads `planner @7 critic@3`: each id takes the version behind it.
async fn versions(project: &Project, words: &[String]) -> Result<Vec<(RecordKey, Reference)>, Error> {
    let mut found: Vec<(RecordKey, Option<Reference>)> = Vec::new();
    for word in words {
        match (Reference::parse(word), found.last_mut()) {
            (Ok(reference), Some((_, version @ None))) => *version = Some(reference),
            (Ok(reference), _) => {
                return Err(usage(format!("{reference} follows no id"), "write the id first: cfg tag june planner @7"));
            }
            (Err(_), _) => {
                let address = project.resolve(word).await?;
                found.push((address.record, address.reference));
            }
        }
    }
    Ok(found.into_iter().map(|(record, version)| (record, version.unwrap_or(Reference::Head))).collect())
}

fn short(manifest: &str) -> &str {
    manifest.get(..12).unwrap_or(manifest)
}

fn people(context: &Context, project: &Project, report: &TagReport) {
    const NAMED: usize = 5;
    let records = count(usize::try_from(report.records).unwrap_or(usize::MAX), "record");
    let name = paint(YELLOW, &clean(report.name.as_str()));
    let text = match (report.unchanged, &report.moved_from, report.dry_run) {
        (true, _, _) => format!("tag {name} means this already: {records} ({})", short(&report.manifest)),
        (_, _, true) => format!("tag {name} would mean {records} ({})", short(&report.manifest)),
        (_, Some(old), _) => format!("tag {name} moved from {} to {records} ({})", short(old), short(&report.manifest)),
        (_, None, _) => format!("tag {name}: {records} ({})", short(&report.manifest)),
    };
    context.out.report(&format!("{text}\n"));
    if !report.unknown.is_empty() {
        let named: Vec<String> = report.unknown.iter().take(NAMED).map(|r| context.label(project, r)).collect();
        let more = report.unknown.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        context.out.warn(&format!(
            "what was live then is not known of {}{more}: that is before their import; the tag leaves them out",
            named.join(", ")
        ));
    }
}

pub(crate) async fn list(context: &Context) -> Result<u8, Error> {
    let tags = context.reader().await?.tags().await?;
    if context.out.is_json() {
        context.out.json(tags.iter().map(Tag::to_object).collect::<Vec<Object>>());
        return Ok(0);
    }
    if tags.is_empty() {
        context.out.note("no tags; set one with: cfg tag NAME");
        return Ok(0);
    }
    let mut table = Table::default();
    for tag in &tags {
        let records = count(usize::try_from(tag.records).unwrap_or(usize::MAX), "record");
        let of = tag.as_of.map_or_else(String::new, |at| format!("as of {}", stamp(at)));
        table.row([
            (clean(tag.name.as_str()), YELLOW),
            (records, PLAIN),
            (of, PLAIN),
            (format!("set {}", stamp(tag.recorded_at)), DIM),
            (clean(&tag.author.id), GREEN),
            (first_line(&tag.message, 60), PLAIN),
        ]);
    }
    context.out.text(&table.render());
    Ok(0)
}
