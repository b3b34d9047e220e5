//! Entries for people.

use cfg_engine::engine::AsOfEntry;
use cfg_engine::history::{Entry, Op, Timestamp};

use super::style::{BOLD, CYAN, DIM, GREEN, PLAIN, RED, YELLOW, clean, first_line, paint};
use super::table::Table;
use super::time::{ago, stamp};

/// What is shown of a message in one line.
const MESSAGE: usize = 72;

/// The short content address, or what stands for it.
pub(crate) fn content(entry: &Entry) -> String {
    match (entry.header.oid, entry.header.op) {
        (Some(oid), _) => oid.short(),
        (None, Op::Redact) => "-".to_owned(),
        (None, _) => "deleted".to_owned(),
    }
}

/// Returns whether an entry is its record's HEAD: nothing superseded it, and it holds now.
pub(crate) fn is_head(entry: &Entry) -> bool {
    entry.superseded_at.is_none() && entry.valid_to.is_none()
}

/// Writes one line for each entry.
pub(crate) fn oneline<'e>(entries: impl IntoIterator<Item = (String, &'e Entry)>, now: Timestamp) -> String {
    let mut table = Table::default();
    for (label, entry) in entries {
        let h = &entry.header;
        table.row([
            (format!("{label}@{}", h.seq), YELLOW),
            (content(entry), if h.is_tombstone() { RED } else { PLAIN }),
            (h.op.as_str().to_owned(), PLAIN),
            (ago(h.recorded_at, now), DIM),
            (first_line(&entry.message, MESSAGE), PLAIN),
        ]);
    }
    table.render()
}

/// Writes one entry over several lines; `is_head` marks it.
pub(crate) fn full(label: &str, entry: &Entry, tags: &[String], is_head: bool, now: Timestamp) -> String {
    let h = &entry.header;
    let mut out = String::new();
    let mark = if is_head { format!(" {}", paint(CYAN, "(HEAD)")) } else { String::new() };
    let address = paint(YELLOW, &format!("{label}@{}", h.seq));
    let oid = h.oid.map_or_else(|| paint(RED, &content(entry)), |oid| format!("sha256:{}", oid.short()));
    out.push_str(&format!("{address} {oid} {}{mark}\n", paint(BOLD, h.op.as_str())));
    let mut line =
        |name: &str, value: String| out.push_str(&format!("  {} {value}\n", paint(DIM, &format!("{name:<8}"))));
    line("author", format!("{} ({})", clean(&h.author.id), h.author.class.as_str()));
    line("recorded", format!("{}, {}", stamp(h.recorded_at), ago(h.recorded_at, now)));
    if h.valid_from != h.recorded_at || h.valid_from_estimated {
        let estimated = if h.valid_from_estimated { ", estimated" } else { "" };
        line("live", format!("since {}{estimated}", stamp(h.valid_from)));
    }
    if !tags.is_empty() {
        line("tags", clean(&tags.join(", ")));
    }
    if !entry.git_shas.is_empty() {
        line("git", clean(&entry.git_shas.join(", ")));
    }
    if let Some(from) = h.meta.get("restored_from").and_then(|from| from.get("seq")).and_then(cfg_engine::Value::as_i64)
    {
        line("restores", format!("@{from}"));
    }
    if !entry.message.trim().is_empty() {
        out.push('\n');
        for text in clean(&entry.message).lines() {
            out.push_str(format!("    {text}").trim_end());
            out.push('\n');
        }
    }
    out
}

/// Writes what was live at a moment, one line for each record.
pub(crate) fn as_of<'e>(rows: impl IntoIterator<Item = (String, &'e AsOfEntry)>) -> String {
    let mut table = Table::default();
    for (label, row) in rows {
        let h = &row.entry.header;
        let (state, style) = match row.estimated_before_import {
            true => ("unknown before its import".to_owned(), YELLOW),
            false => (format!("since {}", stamp(h.valid_from)), DIM),
        };
        table.row([
            (format!("{label}@{}", h.seq), YELLOW),
            (content(&row.entry), PLAIN),
            (state, style),
            (clean(&h.author.id), GREEN),
            (first_line(&row.entry.message, MESSAGE), PLAIN),
        ]);
    }
    table.render()
}
