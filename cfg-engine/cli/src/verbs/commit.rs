//! `commit` and `apply-doc`.

use std::path::PathBuf;

use cfg_engine::Error;
use cfg_engine::document::Object;
use cfg_engine::engine::{Commit, CommitItem, DoneBefore, Options, Project, Report};
use cfg_engine::history::{RecordKey, Reference};
use cfg_engine::plan::{Base, Content, Verb};

use super::{files, stage};
use crate::cli::Change;
use crate::context::Context;
use crate::render::reports::{several, single};
use crate::usage::usage;

/// `cfg commit`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which records; what is staged for them is committed
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    /// Everything that is staged
    #[arg(long, conflicts_with_all = ["ids", "from", "patch", "merge_patch"])]
    all: bool,
    /// A document instead of what is staged; - is standard input. Several must carry "$cfg"
    #[arg(long, value_name = "FILE")]
    from: Vec<PathBuf>,
    /// An RFC 6902 JSON Patch to apply to what is live
    #[arg(long, value_name = "FILE", conflicts_with = "from")]
    patch: Option<PathBuf>,
    /// An RFC 7396 merge patch to apply to what is live
    #[arg(long, value_name = "FILE", conflicts_with_all = ["from", "patch"])]
    merge_patch: Option<PathBuf>,
    #[command(flatten)]
    rules: Rules,
    #[command(flatten)]
    change: Change,
}

/// `cfg apply-doc`.
#[derive(Debug, clap::Args)]
pub(crate) struct ApplyDocArgs {
    /// Which record
    #[arg(value_name = "ID")]
    id: String,
    /// The document; - is standard input
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    #[command(flatten)]
    rules: Rules,
    #[command(flatten)]
    change: Change,
}

/// What a commit lets pass.
#[derive(Debug, clap::Args)]
struct Rules {
    /// The version that the document was written for; a conflict if it is no longer HEAD
    #[arg(long, value_name = "VERSION")]
    base: Option<String>,
    /// A change that lies in ignored fields only is no error
    #[arg(long)]
    allow_noop: bool,
    /// Without a base, versioned fields that the document lacks are removed
    #[arg(long)]
    allow_removal: bool,
    /// Secrets may go with the field or array element that holds them; the entry names their places
    #[arg(long)]
    without_secrets: bool,
    /// Go on over what was changed outside cfg and over a stale base; what is overwritten is recorded first
    #[arg(long)]
    force: bool,
}

/// What is committed, and which of it was staged.
struct Batch {
    items: Vec<CommitItem>,
    staged: Vec<RecordKey>,
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<u8, Error> {
    let project = context.writer().await?;
    let options = context.options(&args.change)?;
    let mut batch = match batch(context, &project, &args).await {
        Ok(batch) => batch,
        Err(error) => return replayed(context, &project, &args, &options, error).await,
    };
    let many = args.all || batch.items.len() > 1;
    set_base(&project, &mut batch.items, &args.rules).await?;
    let report = project.commit(&commit(batch.items, &args.rules, Object::new()), &options).await?;
    if !options.dry_run {
        let staging = context.staging().await?;
        for record in &batch.staged {
            staging.remove(record)?;
        }
    }
    print(context, &project, report, many)
}

pub(crate) async fn apply_doc(context: &Context, args: ApplyDocArgs) -> Result<u8, Error> {
    let project = context.writer().await?;
    let record = project.record(&args.id).await?;
    let (doc, base) = files::document(&args.from)?;
    let mut items = vec![CommitItem { record, content: Content::Document(doc), base }];
    set_base(&project, &mut items, &args.rules).await?;
    let meta = Object::new().with("via", "apply-doc");
    let report = project.commit(&commit(items, &args.rules, meta), &context.options(&args.change)?).await?;
    print(context, &project, report, false)
}

fn commit(items: Vec<CommitItem>, rules: &Rules, meta: Object) -> Commit {
    Commit {
        items,
        allow_noop: rules.allow_noop,
        allow_removal: rules.allow_removal,
        without_secrets: rules.without_secrets,
        force: rules.force,
        meta,
    }
}

fn print(context: &Context, project: &Project, report: Report, many: bool) -> Result<u8, Error> {
    match many {
        true => Ok(several(context, project, &report, "commit")),
        false => single(context, project, report, "commit"),
    }
}

/// Collects what is to be committed.
async fn batch(context: &Context, project: &Project, args: &Args) -> Result<Batch, Error> {
    let patch = match (&args.patch, &args.merge_patch) {
        (Some(file), _) => Some(Content::JsonPatch(files::value(file)?)),
        (_, Some(file)) => Some(Content::MergePatch(files::value(file)?)),
        _ => None,
    };
    if let Some(content) = patch {
        let [id] = args.ids.as_slice() else {
            return Err(usage("a patch changes one record", "name it: cfg commit <id> --patch FILE -m \"why\""));
        };
        let record = project.record(id).await?;
        return Ok(Batch { items: vec![CommitItem { record, content, base: None }], staged: Vec::new() });
    }
    if !args.from.is_empty() {
        return Ok(Batch { items: from_files(context, project, args).await?, staged: Vec::new() });
    }
    staged(context, project, args).await
}

async fn from_files(context: &Context, project: &Project, args: &Args) -> Result<Vec<CommitItem>, Error> {
    let mut items = Vec::with_capacity(args.from.len());
    match (args.ids.as_slice(), args.from.as_slice()) {
        ([id], [file]) => {
            let record = project.record(id).await?;
            let (doc, base) = files::document(file)?;
            items.push(CommitItem { record, content: Content::Document(doc), base });
        }
        ([], files) => {
            for file in files {
                let (doc, base) = files::document(file)?;
                let base = base.ok_or_else(|| {
                    usage(
                        format!("{} does not say which record it is", file.display()),
                        "name the record: cfg commit <id> --from FILE   or use files from: cfg get <id>",
                    )
                })?;
                // The same record here; a document of another env is the engine's to refuse.
                let record = RecordKey { env: context.opened().await?.env.name.clone(), ..base.record.clone() };
                items.push(CommitItem { record, content: Content::Document(doc), base: Some(base) });
            }
        }
        _ => {
            return Err(usage(
                "several files, or several ids with a file",
                "one id and one --from; or several --from and no id: each file then says in \"$cfg\" which record it is",
            ));
        }
    }
    Ok(items)
}

async fn staged(context: &Context, project: &Project, args: &Args) -> Result<Batch, Error> {
    let staging = context.staging().await?;
    let mut batch = Batch { items: Vec::new(), staged: Vec::new() };
    let found = if args.all {
        staging.all(&project.settings().env)?
    } else if args.ids.is_empty() {
        return Err(usage(
            "no record is named",
            "name records: cfg commit <id> -m \"why\"   or take everything that is staged: --all",
        ));
    } else {
        let mut found = Vec::new();
        for record in context.records(project, &args.ids).await? {
            found.push(staging.get(&record)?.ok_or_else(|| stage::nothing_staged(&record))?);
        }
        found
    };
    for staged in found {
        let record = staged.record().clone();
        batch.staged.push(record.clone());
        batch.items.push(CommitItem { record, content: Content::Document(staged.doc), base: Some(staged.base) });
    }
    Ok(batch)
}

/// Takes the base that `--base` names instead of what the document carries.
async fn set_base(project: &Project, items: &mut [CommitItem], rules: &Rules) -> Result<(), Error> {
    let Some(text) = &rules.base else { return Ok(()) };
    let reference = Reference::parse(text)?;
    let [item] = items else {
        return Err(usage("--base names a version of one record", "commit the records one by one"));
    };
    let entry = project.entry_at(&item.record, &reference).await?;
    item.base = Some(Base { record: item.record.clone(), seq: Some(entry.header.seq), oid: entry.header.oid });
    Ok(())
}

/// A call that is made again with its idempotency key finds nothing staged any more; if it was done
/// then, that is its answer.
async fn replayed(
    context: &Context,
    project: &Project,
    args: &Args,
    options: &Options,
    error: Error,
) -> Result<u8, Error> {
    let Some(key) = options.idempotency_key.as_ref().filter(|_| error.code() == "nothing_staged") else {
        return Err(error);
    };
    let records = context.records(project, &args.ids).await?;
    let again = DoneBefore { verb: Verb::Commit, records: &records, key, options };
    match project.done_before(&again).await? {
        Some(report) => print(context, project, report, records.len() > 1),
        None => Err(error),
    }
}
