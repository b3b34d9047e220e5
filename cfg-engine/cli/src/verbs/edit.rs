//! `edit`.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use cfg_engine::engine::{Commit, CommitItem, Document, Options, Project, parse_document};
use cfg_engine::history::RecordKey;
use cfg_engine::plan::{Base, Content};
use cfg_engine::{Error, Value};
use cfg_engine_connect::record_file_stem;

use super::show::record_object;
use super::{files, stage};
use crate::cli::Change;
use crate::context::Context;
use crate::render::document::relaxed;
use crate::render::style::shell_word;

/// `cfg edit`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which record
    #[arg(value_name = "ID")]
    id: String,
    /// Stage this file instead of opening an editor; - is standard input
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// Drop what is staged
    #[arg(long, conflicts_with = "from")]
    abort: bool,
    /// With --from: without a base, versioned fields that the document lacks are removed
    #[arg(long, requires = "from")]
    allow_removal: bool,
    #[command(flatten)]
    change: Change,
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<u8, Error> {
    let project = context.reader().await?;
    let record = project.record(&args.id).await?;
    if args.abort {
        return abort(context, &project, &record, args.change.dry_run).await;
    }
    let options = context.options(&args.change)?;
    let (base, doc) = match &args.from {
        Some(file) => from_file(&project, &record, file, args.allow_removal, &options).await?,
        None => match from_editor(context, &project, &record).await? {
            Some(edited) => edited,
            None => {
                let label = context.label(&project, &record);
                context.out.note(&format!("the text is as it was; nothing is staged for {label}"));
                if context.out.is_json() {
                    context.out.json(record_object(&record).with("staged", false).with("changes", Vec::<Value>::new()));
                }
                return Ok(0);
            }
        },
    };
    let outcome = stage::put(context, &project, base, doc, &options).await?;
    stage::print(context, &project, &outcome);
    Ok(0)
}

async fn abort(context: &Context, project: &Project, record: &RecordKey, dry_run: bool) -> Result<u8, Error> {
    let staging = context.staging().await?;
    let dropped = if dry_run { staging.path(record).exists() } else { staging.remove(record)? };
    let label = context.label(project, record);
    if context.out.is_json() {
        context.out.json(record_object(record).with("dropped", dropped && !dry_run));
    } else if dropped {
        let word = if dry_run { "would drop" } else { "dropped" };
        context.out.report(&format!("{word} what was staged for {label}\n"));
    } else {
        context.out.note(&format!("nothing is staged for {label}"));
    }
    Ok(0)
}

/// A file without a base replaces what is there now, and must be whole.
async fn from_file(
    project: &Project,
    record: &RecordKey,
    file: &Path,
    allow_removal: bool,
    options: &Options,
) -> Result<(Base, Value), Error> {
    let (doc, base) = files::document(file)?;
    if let Some(base) = base {
        same_record(&base, record)?;
        return Ok((base, doc));
    }
    let item = CommitItem { record: record.clone(), content: Content::Document(doc.clone()), base: None };
    let commit = Commit { allow_noop: true, allow_removal, ..Commit::of(vec![item]) };
    let options = Options { dry_run: true, message: "staged".to_owned(), idempotency_key: None, ..options.clone() };
    project.commit(&commit, &options).await?;
    let base = match project.get(record).await {
        Ok(document) => document.base,
        Err(Error::NoRecord { .. }) => Base { record: record.clone(), seq: None, oid: None },
        Err(error) => return Err(error),
    };
    Ok((base, doc))
}

fn same_record(base: &Base, record: &RecordKey) -> Result<(), Error> {
    if base.record == *record {
        return Ok(());
    }
    Err(Error::refused_for(
        record,
        "other_base",
        format!("the document was read from {}, not from {record}", base.record),
        "stage it where it was read from, or remove its \"$cfg\" member",
    ))
}

/// Lets somebody edit the document. Returns nothing where the text did not change.
async fn from_editor(context: &Context, project: &Project, record: &RecordKey) -> Result<Option<(Base, Value)>, Error> {
    let standing = project.status_of(std::slice::from_ref(record), &cfg_engine::engine::Staged::new()).await?;
    if let Some(drift) = standing.rows.into_iter().find_map(|row| row.reason) {
        return Err(drift);
    }
    let document = stage::start(context, project, record).await?;
    let before = relaxed(&document.to_file());
    let stem = record_file_stem(&record.collection, &record.id);
    // Mode 0600: what is edited is nobody else's.
    let file = tempfile::Builder::new().prefix(&format!("{stem}-")).suffix(".json").tempfile();
    let mut file = file.map_err(|e| unusable("make a file to edit", &e))?;
    file.write_all(before.as_bytes()).map_err(|e| unusable("write the file to edit", &e))?;
    let path = file.into_temp_path();
    ignore_interrupts().await;
    loop {
        open_editor(&path)?;
        let text = files::read(&path)?;
        if text == before {
            return Ok(None);
        }
        match read_back(&text, &document, record) {
            Ok(edited) => return Ok(Some(edited)),
            Err(error) if edit_again(context, &error) => {}
            Err(error) => return Err(kept(error, path, record)),
        }
    }
}

fn read_back(text: &str, document: &Document, record: &RecordKey) -> Result<(Base, Value), Error> {
    let (doc, base) = parse_document(text)?;
    // Without the member it is still the document that was opened.
    let base = base.unwrap_or_else(|| document.base.clone());
    same_record(&base, record)?;
    Ok((base, doc))
}

/// Shows what is wrong and asks whether to open the editor again. Without a terminal the answer is no.
fn edit_again(context: &Context, error: &Error) -> bool {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() || context.out.is_json() {
        return false;
    }
    context.out.row_error(error);
    if context.global.yes {
        return true;
    }
    context.out.warn("open the editor again? [Y/n]");
    let mut answer = String::new();
    match io::stdin().lock().read_line(&mut answer) {
        Ok(read) if read > 0 => !answer.trim().eq_ignore_ascii_case("n"),
        _ => false,
    }
}

/// Keeps the text that somebody wrote, and says where.
fn kept(error: Error, path: tempfile::TempPath, record: &RecordKey) -> Error {
    let Ok(path) = path.keep() else { return error };
    let problem = format!("{error}; your text is kept in {}", path.display());
    let hint = format!("mend it and run: cfg edit {} --from {}", shell_word(&record.id.to_string()), path.display());
    Error::refused_for(record, "bad_edit", problem, hint)
}

fn unusable(action: &str, error: &io::Error) -> Error {
    Error::refused("file", format!("cannot {action}: {error}"), "check the folder for temporary files")
}

/// Ctrl-C in the editor is the editor's.
async fn ignore_interrupts() {
    tokio::select! {
        biased;
        _ = tokio::signal::ctrl_c() => {}
        () = std::future::ready(()) => {}
    }
}

fn open_editor(path: &Path) -> Result<(), Error> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    let editor = variable("VISUAL").or_else(|| variable("EDITOR")).unwrap_or_else(|| "vi".to_owned());
    // As git does: the variable may hold flags, so a shell reads it.
    let status = match cfg!(windows) {
        true => Command::new("cmd").arg("/C").arg(format!("{editor} \"{}\"", path.display())).status(),
        false => Command::new("sh").arg("-c").arg(format!("{editor} \"$@\"")).arg("editor").arg(path).status(),
    };
    let hint = "set VISUAL or EDITOR to an editor that waits, such as \"code --wait\", or use --from FILE";
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Error::refused("editor", format!("the editor {editor:?} ended with {status}"), hint)),
        Err(e) => Err(Error::refused("editor", format!("the editor {editor:?} did not start: {e}"), hint)),
    }
}
