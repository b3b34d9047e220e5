//! Staging: what `set` and `edit` share. A staged document is judged as a commit would judge it.

use cfg_engine::document::Object;
use cfg_engine::engine::{Commit, CommitItem, Document, Options, Project};
use cfg_engine::history::RecordKey;
use cfg_engine::plan::{Base, Content};
use cfg_engine::{Error, Value};
use cfg_engine_connect::Staged;

use super::show::record_object;
use crate::context::Context;
use crate::render::changes::change_values;
use crate::render::style::{CYAN, YELLOW, paint, shell_word};

/// Says that there is nothing to commit or show.
pub(crate) fn nothing_staged(record: &RecordKey) -> Error {
    let id = shell_word(&record.id.to_string());
    Error::refused_for(
        record,
        "nothing_staged",
        format!("nothing is staged for {record}"),
        format!("stage a change with: cfg set {id} field=value   or: cfg edit {id}   or commit a file with --from"),
    )
}

/// Returns what an edit starts from: what is staged, else what is live.
pub(crate) async fn start(context: &Context, project: &Project, record: &RecordKey) -> Result<Document, Error> {
    match context.staging().await?.get(record)? {
        Some(staged) => Ok(Document { doc: staged.doc, base: staged.base }),
        None => project.get(record).await,
    }
}

/// What staging a document came to.
pub(crate) struct Outcome {
    base: Base,
    /// What a commit of it would change; empty if nothing is staged.
    changes: Vec<Value>,
    staged: bool,
}

/// Stages a document, if a commit would take it and there is something to commit.
pub(crate) async fn put(
    context: &Context,
    project: &Project,
    base: Base,
    doc: Value,
    options: &Options,
) -> Result<Outcome, Error> {
    let staging = context.staging().await?;
    let (changes, differs) = judge(project, &base, &doc, options).await?;
    if !differs {
        if !options.dry_run {
            staging.remove(&base.record)?;
        }
        return Ok(Outcome { base, changes: Vec::new(), staged: false });
    }
    if !options.dry_run {
        let staged_at = project.adapter().clock().await?.store;
        staging.put(&Staged { base: base.clone(), staged_at, doc })?;
    }
    Ok(Outcome { base, changes, staged: !options.dry_run })
}

/// Plans the commit of what is to be staged: everything that would refuse it then refuses it now.
async fn judge(project: &Project, base: &Base, doc: &Value, options: &Options) -> Result<(Vec<Value>, bool), Error> {
    let item =
        CommitItem { record: base.record.clone(), content: Content::Document(doc.clone()), base: Some(base.clone()) };
    // The commit asks about secrets that go; nothing is written yet.
    let commit = Commit { allow_noop: true, without_secrets: true, ..Commit::of(vec![item]) };
    let message = if options.message.trim().is_empty() { "staged".to_owned() } else { options.message.clone() };
    let options = Options { dry_run: true, message, idempotency_key: None, ..options.clone() };
    let report = project.commit(&commit, &options).await?;
    let plan = report.plan.map(|plan| plan.shown).unwrap_or_default();
    let planned = plan.get("changes").and_then(Value::as_array).unwrap_or_default();
    let differs = planned.iter().any(|change| change.get("live").and_then(Value::as_str) != Some("leave"));
    let changes = planned.iter().filter_map(|change| change.get("changes")?.as_array()).flatten().cloned();
    Ok((changes.collect(), differs))
}

/// Prints what was staged.
pub(crate) fn print(context: &Context, project: &Project, outcome: &Outcome) {
    let record = &outcome.base.record;
    if context.out.is_json() {
        let result: Object = record_object(record)
            .with("staged", outcome.staged)
            .with("base", outcome.base.to_object())
            .with("changes", outcome.changes.clone());
        context.out.json(result);
        return;
    }
    let label = context.label(project, record);
    if !outcome.staged && outcome.changes.is_empty() {
        context.out.note(&format!("{label} is as asked; nothing is staged"));
        return;
    }
    let word = if outcome.staged { "staged" } else { "would stage" };
    let head = outcome.base.seq.map_or_else(|| "no version yet".to_owned(), |seq| format!("@{seq}"));
    let mut text = format!("{word} {} on {head}\n", paint(YELLOW, &label));
    text.push_str(&change_values(&outcome.changes, 2));
    context.out.report(&text);
    if outcome.staged {
        let id = shell_word(&record.id.to_string());
        context.out.report(&paint(CYAN, &format!("commit it with: cfg commit {id} -m \"why\"\n")));
    }
}
