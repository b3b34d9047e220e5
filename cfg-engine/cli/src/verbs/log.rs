//! `log`.

use cfg_engine::Error;
use cfg_engine::document::Object;
use cfg_engine::engine::{AsOfEntry, Log, LogAxis, Project};
use cfg_engine::history::{Entry, Timestamp};

use crate::context::Context;
use crate::render::document::relaxed;
use crate::render::entries;

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
    let project = context.reader()?;
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
        git_sha: None,
        limit: args.limit,
        with_doc: args.with_doc,
    };
    if context.out.is_json() {
        let entries = project.log(&log).await?;
        context.out.json(entries.iter().map(|entry| entry.to_object(&[])).collect::<Vec<Object>>());
        return Ok(0);
    }
    let (entries, now) = tokio::join!(project.log(&log), project.adapter().clock());
    people(context, &project, &args, &entries?, now?.store).await?;
    Ok(0)
}

async fn people(
    context: &Context,
    project: &Project,
    args: &Args,
    entries: &[Entry],
    now: Timestamp,
) -> Result<(), Error> {
    if entries.is_empty() {
        context.out.note("no versions");
        return Ok(());
    }
    let labelled = |entry: &Entry| context.label(project, &entry.header.record);
    if args.oneline {
        context.out.text(&entries::oneline(entries.iter().map(|entry| (labelled(entry), entry)), now));
        return Ok(());
    }
    for (n, entry) in entries.iter().enumerate() {
        let gap = if n > 0 { "\n" } else { "" };
        context.out.text(&format!("{gap}{}", entries::full(&labelled(entry), entry, entries::is_head(entry), now)));
        if let Some(doc) = entry.doc.as_ref().filter(|_| args.with_doc) {
            context.out.text("\n");
            context.out.data(&relaxed(doc));
        }
    }
    Ok(())
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
