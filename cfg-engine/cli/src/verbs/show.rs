//! `show`.

use cfg_engine::document::{Dialect, FieldPath, Object};
use cfg_engine::engine::{Document, Project, Shown};
use cfg_engine::history::{RecordKey, Reference};
use cfg_engine::{Error, Value};
use std::io::IsTerminal as _;

use crate::context::Context;
use crate::render::document::relaxed;
use crate::render::entries;
use crate::render::style::{CYAN, clean, paint};
use crate::usage::usage;

/// `cfg show`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which record; planner@7 names a version with it
    #[arg(value_name = "ID")]
    id: String,
    /// Which version: @7, #a1b2c3, @{2026-06-07}, tag:june, =HEAD (the default), =live, =staged
    #[arg(value_name = "VERSION")]
    reference: Option<String>,
    /// Only the value at this path, text as it is: `--field tools[0].name`
    #[arg(long, value_name = "PATH")]
    field: Option<String>,
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<u8, Error> {
    let project = context.reader().await?;
    let (record, reference) = version(&project, &args.id, args.reference.as_deref()).await?;
    let reference = reference.unwrap_or(Reference::Head);
    let path: Option<FieldPath> = args.field.as_deref().map(parse_path).transpose()?;
    let shown = match &reference {
        Reference::Staged => Shown::Live(Box::new(staged(context, &record).await?)),
        other => project.show(&record, other).await?,
    };
    match path {
        Some(path) => field(context, project.field(&shown, &path)?),
        None => whole(context, &project, &record, &reference, &shown).await?,
    }
    Ok(0)
}

/// Reads a path as people type it.
pub(crate) fn parse_path(text: &str) -> Result<FieldPath, Error> {
    text.parse().map_err(|e: cfg_engine::document::PathError| {
        usage(e.to_string(), "write a path such as tools[0].name, with quotes around odd names")
    })
}

/// Finds a record and the version named with it or behind it.
pub(crate) async fn version(
    project: &Project,
    id: &str,
    reference: Option<&str>,
) -> Result<(RecordKey, Option<Reference>), Error> {
    let address = project.resolve(id).await?;
    let second = reference.map(Reference::parse).transpose()?;
    match (address.reference, second) {
        (Some(first), Some(second)) => Err(usage(
            format!("two versions of one record are named, {first} and {second}"),
            "name one, or compare them with: cfg diff",
        )),
        (first, second) => Ok((address.record, first.or(second))),
    }
}

/// Reads what is staged for a record.
pub(crate) async fn staged(context: &Context, record: &RecordKey) -> Result<Document, Error> {
    let staged = context.staging().await?.get(record)?;
    let staged = staged.ok_or_else(|| super::stage::nothing_staged(record))?;
    Ok(Document { doc: staged.doc, base: staged.base })
}

fn field(context: &Context, value: &Value) {
    if context.out.is_json() {
        context.out.json(value.clone());
        return;
    }
    let text = match value {
        Value::String(text) if std::io::stdout().is_terminal() => clean(text),
        Value::String(text) => text.clone(),
        other => other.to_text(Dialect::Relaxed, Some(2)),
    };
    let end = if text.ends_with('\n') { "" } else { "\n" };
    context.out.data(&format!("{text}{end}"));
}

async fn whole(
    context: &Context,
    project: &Project,
    record: &RecordKey,
    reference: &Reference,
    shown: &Shown,
) -> Result<(), Error> {
    if context.out.is_json() {
        context.out.json(shown.to_object());
        return Ok(());
    }
    let label = context.label(project, record);
    let head = match shown {
        Shown::Entry { entry, tags, .. } => {
            let now = project.adapter().clock().await?.store;
            entries::full(&label, entry, tags, entries::is_head(entry), now)
        }
        Shown::Live(_) => format!("{} {reference}\n", paint(CYAN, &label)),
    };
    context.out.text(&head);
    match shown.doc() {
        Some(doc) => {
            context.out.text("\n");
            context.out.data(&relaxed(doc));
        }
        None => context.out.note("this version has no document"),
    }
    if let Shown::Entry { redacted, .. } = shown
        && !redacted.paths.is_empty()
    {
        let paths: Vec<String> = redacted.paths.iter().map(ToString::to_string).collect();
        context.out.note(&format!("redacted: {}", paths.join(", ")));
    }
    Ok(())
}

/// Returns `{config_id, …}` members that name a record.
pub(crate) fn record_object(record: &RecordKey) -> Object {
    Object::new().with("collection", record.collection.as_str()).with("config_id", record.id.to_value())
}
