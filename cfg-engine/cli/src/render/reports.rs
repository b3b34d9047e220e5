//! What a change did, or would do.

use cfg_engine::engine::{Project, Report, RowOutcome, Written};
use cfg_engine::history::Op;
use cfg_engine::{Error, Value};

use super::changes::change_values;
use super::entries::content;
use super::style::{BOLD, DIM, GREEN, YELLOW, clean, count, paint};
use super::time::stamp;
use crate::context::Context;
use crate::output::Output;

/// More rows than this are counted, not listed.
pub(crate) const LISTED: usize = 40;

/// Prints the report of a verb on one record: the entry, or the error as the verb's own.
pub(crate) fn single(context: &Context, project: &Project, mut report: Report, verb: &str) -> Result<u8, Error> {
    if report.rows.len() == 1
        && let Some(Err(_)) = report.rows.first().map(|row| &row.result)
        && let Some(error) = report.rows.pop().and_then(|row| row.result.err())
    {
        return Err(error);
    }
    if context.out.is_json() {
        context.out.json(report.to_single());
    } else {
        people(context, project, &report, verb);
    }
    Ok(report.exit_code())
}

/// Prints the report of a verb on several records.
pub(crate) fn several(context: &Context, project: &Project, report: &Report, verb: &str) -> u8 {
    if context.out.is_json() {
        context.out.json(report.to_object());
    } else {
        people(context, project, report, verb);
        failures(&context.out, report.errors());
    }
    report.exit_code()
}

/// Prints why rows failed.
pub(crate) fn failures<'e>(out: &Output, errors: impl Iterator<Item = &'e Error>) {
    let mut left_out = 0;
    for (n, error) in errors.enumerate() {
        if n < LISTED {
            out.row_error(error);
        } else {
            left_out += 1;
        }
    }
    if left_out > 0 {
        out.warn(&format!("{left_out} more failed; --json lists all of them"));
    }
}

/// Prints what was let pass, and why somebody might want to know.
pub(crate) fn warnings<'e>(out: &Output, errors: impl Iterator<Item = &'e Error>) {
    for (n, warning) in errors.enumerate() {
        if n == LISTED {
            return out.warn("there is more that looks like a secret; --json lists all of it");
        }
        out.warn(&warning.to_string());
    }
}

fn people(context: &Context, project: &Project, report: &Report, verb: &str) {
    warnings(&context.out, report.warnings());
    if let Some(plan) = &report.plan {
        context.out.text(&planned(project, &plan.shown));
        return;
    }
    let written: Vec<&Written> = report.written().collect();
    let unchanged: Vec<String> = report
        .rows
        .iter()
        .filter_map(|row| match &row.result {
            Ok(RowOutcome::Unchanged { head }) => {
                let at = head.map(|head| format!("@{}", head.seq)).unwrap_or_default();
                Some(format!("{}{at}", context.label(project, &row.record)))
            }
            _ => None,
        })
        .collect();
    if written.len() > LISTED {
        let earlier = if report.replayed { ", done by an earlier call with this key" } else { "" };
        context.out.report(&format!("{} {}{earlier}\n", past(verb), count(written.len(), "record")));
    } else {
        let text: String =
            written.iter().map(|written| written_lines(context, project, written, report.replayed)).collect();
        context.out.report(&text);
    }
    match unchanged.as_slice() {
        [] if written.is_empty() && report.rows.is_empty() && report.troubles.is_empty() => {
            context.out.note(&format!("nothing to {verb}"))
        }
        [] => {}
        [one] => context.out.note(&format!("{one} is as asked; nothing to {verb}")),
        many => context.out.note(&format!("{} are as asked", count(many.len(), "record"))),
    }
}

fn past(verb: &str) -> &'static str {
    match verb {
        "import" => "imported",
        "adopt" => "adopted",
        "restore" => "restored",
        "delete" => "deleted",
        "activate" => "activated",
        "undo" => "undone",
        _ => "committed",
    }
}

fn written_lines(context: &Context, project: &Project, written: &Written, replayed: bool) -> String {
    let label = context.label(project, &written.entry.header.record);
    let mut out = String::new();
    for before in written.entries.iter().filter(|entry| entry.entry_id != written.entry.entry_id) {
        let what = match before.header.op {
            Op::Import => "first, what live held",
            Op::Force => "first, what was changed outside cfg",
            _ => "first",
        };
        out.push_str(&paint(DIM, &format!("{label}@{} ({}) {what}", before.header.seq, address(before))));
        out.push('\n');
    }
    let entry = &written.entry;
    out.push_str(&format!("{} ({})", paint(YELLOW, &format!("{label}@{}", entry.header.seq)), address(entry)));
    if let Some(replaced) = &written.replaced
        && replaced.author != entry.header.author
    {
        let when = stamp(replaced.recorded_at);
        out.push_str(&paint(
            DIM,
            &format!(", on top of @{} by {} at {when}", replaced.seq, clean(&replaced.author.id)),
        ));
    }
    if replayed {
        out.push_str(&paint(DIM, ", done by an earlier call with this key"));
    }
    out.push('\n');
    out
}

fn address(entry: &cfg_engine::history::Entry) -> String {
    match entry.header.oid {
        Some(oid) => format!("sha256:{}", oid.short()),
        None => content(entry),
    }
}

/// Writes a plan: what a dry run shows.
pub(crate) fn planned(project: &Project, shown: &cfg_engine::document::Object) -> String {
    let changes = shown.get("changes").and_then(Value::as_array).unwrap_or_default();
    let mut out = String::new();
    for change in changes {
        let text = |key: &str| change.get(key).and_then(Value::as_str).unwrap_or_default();
        let id = change.get("config_id").map(|id| cfg_engine::history::IdKey::from_value(id).map(|id| id.to_string()));
        let id = clean(&id.and_then(Result::ok).unwrap_or_default());
        let label = if project.collections().len() == 1 { id } else { format!("{}:{id}", clean(text("collection"))) };
        let head = change.get("head_seq").and_then(Value::as_i64);
        let on = head.map_or_else(|| "no history".to_owned(), |seq| format!("@{seq}"));
        let live = match text("live") {
            "update" => "would change live",
            "seed" => "would create the live row",
            "delete" => "would delete the live row",
            "activate" => "would make another row live",
            _ => "would leave live as it is",
        };
        let entries = change.get("entries").and_then(Value::as_array).unwrap_or_default();
        let ops: Vec<&str> = entries.iter().filter_map(|entry| entry.get("op")?.as_str()).collect();
        out.push_str(&format!("{} on {on}: {live}, record {}\n", paint(BOLD, &label), ops.join(", ")));
        out.push_str(&change_values(change.get("changes").and_then(Value::as_array).unwrap_or_default(), 2));
    }
    let plan = shown.get("plan_oid").and_then(Value::as_str).unwrap_or_default();
    let plan = plan.get(..12).unwrap_or(plan);
    let words = format!("{}, nothing was done (plan {plan})", count(changes.len(), "change"));
    out.push_str(&paint(if changes.is_empty() { GREEN } else { DIM }, &words));
    out.push('\n');
    out
}
