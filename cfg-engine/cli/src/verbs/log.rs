//! `log`.

use std::path::{Path, PathBuf};

use cfg_engine::Error;
use cfg_engine::document::Object;
use cfg_engine::engine::{AsOfEntry, Log, LogAxis, Project, TagIndex};
use cfg_engine::history::{Entry, TagName, Timestamp};

use crate::context::Context;
use crate::render::document::relaxed;
use crate::render::entries;
use crate::render::graph::{Node, graph};
use crate::render::html::log_page;
use crate::render::style::clean;

/// `cfg log`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which record; none means all of them
    #[arg(value_name = "ID")]
    id: Option<String>,
    /// All records, newest first
    #[arg(long, conflicts_with = "id")]
    all: bool,
    /// What was live at this moment; a date means its end, UTC
    #[arg(long, value_name = "TIME")]
    as_of: Option<String>,
    /// What history said at this moment
    #[arg(long, value_name = "TIME")]
    as_of_recorded: Option<String>,
    /// Recorded at or after; a date means its beginning
    #[arg(long, value_name = "TIME", conflicts_with_all = ["as_of", "as_of_recorded"])]
    since: Option<String>,
    /// Recorded at or before; a date means its end
    #[arg(long, value_name = "TIME", conflicts_with_all = ["as_of", "as_of_recorded"])]
    until: Option<String>,
    /// At most so many
    #[arg(short = 'n', long = "max-count", value_name = "K")]
    limit: Option<u64>,
    /// One line for each version
    #[arg(long)]
    oneline: bool,
    /// With documents
    #[arg(long)]
    with_doc: bool,
    /// What this tag means
    #[arg(long, value_name = "NAME", conflicts_with_all = ["as_of", "as_of_recorded"])]
    tag: Option<String>,
    /// Only versions that this git commit shipped
    #[arg(long, value_name = "SHA", conflicts_with_all = ["as_of", "as_of_recorded", "tag"])]
    git: Option<String>,
    /// A timeline: what was recorded together hangs together
    #[arg(long, conflicts_with_all = ["oneline", "with_doc", "as_of", "as_of_recorded", "tag"])]
    graph: bool,
    /// Write it to a file, as one page that any browser shows
    #[arg(long, value_name = "FILE", conflicts_with_all = ["oneline", "with_doc", "as_of", "as_of_recorded", "graph"])]
    html: Option<PathBuf>,
    /// Only this collection
    #[arg(long, value_name = "NAME", conflicts_with = "id")]
    collection: Option<String>,
}

/// Reads a moment as people type it, with or without the `@{}` of a reference.
pub(crate) fn moment(text: &str) -> Result<Timestamp, Error> {
    let inner = text.strip_prefix("@{").and_then(|rest| rest.strip_suffix('}')).unwrap_or(text);
    Ok(Timestamp::parse(inner)?)
}

/// Reads where a range begins: of a date its first millisecond, not its last.
fn beginning(text: &str) -> Result<Timestamp, Error> {
    const DAY: i64 = 24 * 60 * 60 * 1000;
    let time = moment(text)?;
    let is_date = text.trim_start_matches("@{").trim_end_matches('}').len() <= 10;
    Ok(if is_date { time.plus_millis(1 - DAY) } else { time })
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<u8, Error> {
    let project = context.reader().await?;
    let record = match &args.id {
        Some(id) => Some(project.record(id).await?),
        None => None,
    };
    let collection = context.collection(&project, args.collection.as_deref())?;
    let axis = LogAxis {
        valid: args.as_of.as_deref().map(moment).transpose()?,
        recorded: args.as_of_recorded.as_deref().map(moment).transpose()?,
    };
    if let Some(at) = axis.as_of() {
        let mut rows = project.log_as_of(record.as_ref(), collection, at, args.with_doc).await?;
        if let Some(author) = &context.global.author {
            rows.retain(|row| row.entry.header.author.id == *author);
        }
        rows.truncate(args.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX)));
        as_of(context, &project, &rows, args.with_doc);
        return Ok(0);
    }
    let log = Log {
        record: record.clone(),
        collection,
        since: args.since.as_deref().map(beginning).transpose()?,
        until: args.until.as_deref().map(moment).transpose()?,
        author: context.global.author.clone(),
        git_sha: args.git.as_ref().map(|sha| sha.to_ascii_lowercase()),
        limit: args.limit,
        with_doc: args.with_doc,
    };
    let entries = match &args.tag {
        Some(name) => project.log_tag(&TagName::new(name)?, record.as_ref(), args.with_doc).await?,
        None => project.log(&log).await?,
    };
    let tags = project.tags_for(&entries).await?;
    if let Some(file) = &args.html {
        return html(context, &project, &args, &entries, &tags, file);
    }
    if context.out.is_json() {
        context.out.json(entries.iter().map(|entry| entry.to_object(tags.of(entry))).collect::<Vec<Object>>());
        return Ok(0);
    }
    let now = project.adapter().clock().await?;
    people(context, &project, &args, &entries, &tags, now.store);
    Ok(0)
}

/// Writes the page, and says so.
fn html(
    context: &Context,
    project: &Project,
    args: &Args,
    entries: &[Entry],
    tags: &TagIndex,
    file: &Path,
) -> Result<u8, Error> {
    let rows: Vec<(String, &Entry, &[String])> =
        entries.iter().map(|entry| (context.label(project, &entry.header.record), entry, tags.of(entry))).collect();
    let title = match &args.id {
        Some(id) => format!("History of {id}"),
        None => "History".to_owned(),
    };
    let about = format!("env {}, {} versions, newest first", project.settings().env, rows.len());
    write_page(context, file, &log_page(&title, &about, &rows))?;
    Ok(0)
}

/// Writes a page to a file.
pub(crate) fn write_page(context: &Context, file: &Path, page: &str) -> Result<(), Error> {
    std::fs::write(file, page).map_err(|e| {
        Error::refused("file", format!("cannot write {}: {e}", file.display()), "name a file in a folder that is there")
    })?;
    if context.out.is_json() {
        context.out.json(Object::new().with("file", file.display().to_string()));
    } else {
        context.out.report(&format!("wrote {}\n", clean(&file.display().to_string())));
    }
    Ok(())
}

fn people(context: &Context, project: &Project, args: &Args, entries: &[Entry], tags: &TagIndex, now: Timestamp) {
    if entries.is_empty() {
        context.out.note("no versions");
        return;
    }
    let labelled = |entry: &Entry| context.label(project, &entry.header.record);
    if args.oneline {
        context.out.text(&entries::oneline(entries.iter().map(|entry| (labelled(entry), entry)), now));
        return;
    }
    if args.graph {
        let node = |entry| Node { label: labelled(entry), entry, tags: tags.of(entry) };
        let mut nodes: Vec<Node<'_>> = entries.iter().map(node).collect();
        // What was recorded together stands together, newest first.
        nodes.sort_by_key(|node| std::cmp::Reverse(node.entry.header.recorded_at));
        context.out.text(&graph(&nodes));
        return;
    }
    for (n, entry) in entries.iter().enumerate() {
        let gap = if n > 0 { "\n" } else { "" };
        context.out.text(&format!(
            "{gap}{}",
            entries::full(&labelled(entry), entry, tags.of(entry), entries::is_head(entry), now)
        ));
        if let Some(doc) = entry.doc.as_ref().filter(|_| args.with_doc) {
            context.out.text("\n");
            context.out.data(&relaxed(doc));
        }
    }
}

fn as_of(context: &Context, project: &Project, rows: &[AsOfEntry], with_doc: bool) {
    if context.out.is_json() {
        context.out.json(rows.iter().map(AsOfEntry::to_object).collect::<Vec<Object>>());
        return;
    }
    if rows.is_empty() {
        context.out.note("nothing was live then, as far as history knows");
        return;
    }
    let labelled = |row: &AsOfEntry| context.label(project, &row.entry.header.record);
    if !with_doc {
        context.out.text(&entries::as_of(rows.iter().map(|row| (labelled(row), row))));
        return;
    }
    for row in rows {
        context.out.text(&entries::as_of([(labelled(row), row)]));
        if let Some(doc) = &row.entry.doc {
            context.out.data(&relaxed(doc));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_begins_and_ends() {
        assert_eq!(moment("@{2026-06-07}").expect("a date").to_string(), "2026-06-07T23:59:59.999Z");
        assert_eq!(beginning("2026-06-07").expect("a date").to_string(), "2026-06-07T00:00:00.000Z");
        assert_eq!(beginning("2026-06-07T01:00:00Z").expect("a time").to_string(), "2026-06-07T01:00:00.000Z");
        assert!(moment("yesterday").is_err());
    }
}
