//! A timeline: days, the batches of each, and the versions of each batch.

use cfg_engine::history::{Entry, Op};

use super::entries::content;
use super::style::{BOLD, CYAN, DIM, GREEN, PLAIN, RED, YELLOW, clean, first_line, paint};

/// One version, as it is labelled, and the names of its tags.
pub(crate) struct Node<'e> {
    pub(crate) label: String,
    pub(crate) entry: &'e Entry,
    pub(crate) tags: &'e [String],
}

/// What is shown of a message.
const MESSAGE: usize = 60;
/// More versions of one batch are counted, not listed.
const LISTED: usize = 8;

/// Draws versions, newest first; those of one batch hang together.
pub(crate) fn graph(nodes: &[Node<'_>]) -> String {
    let mut out = String::new();
    let mut day = String::new();
    let mut rest = nodes;
    while let Some(first) = rest.first() {
        let batch = &first.entry.header.op_id;
        let size = rest.iter().take_while(|node| node.entry.header.op_id == *batch).count();
        let (now, later) = rest.split_at(size);
        rest = later;
        let time = first.entry.header.recorded_at.to_string();
        let (date, clock) = (time.get(..10).unwrap_or(&time), time.get(11..19).unwrap_or_default());
        if date != day {
            if !day.is_empty() {
                out.push_str("│\n");
            }
            day = date.to_owned();
            out.push_str(&format!("{}\n", paint(BOLD, &day)));
        }
        batch_lines(now, clock, rest.is_empty(), &mut out);
    }
    out
}

fn batch_lines(nodes: &[Node<'_>], clock: &str, is_last: bool, out: &mut String) {
    let Some(first) = nodes.first() else { return };
    let h = &first.entry.header;
    out.push_str(&format!(
        "{} {} {}  {}\n",
        mark(h.op),
        paint(DIM, clock),
        paint(GREEN, &clean(&h.author.id)),
        first_line(&first.entry.message, MESSAGE)
    ));
    let bar = if is_last { ' ' } else { '│' };
    for (n, node) in nodes.iter().enumerate().take(LISTED) {
        let branch = if n + 1 == nodes.len() { '└' } else { '├' };
        let h = &node.entry.header;
        let mut line = format!("{bar} {branch} {}", paint(YELLOW, &format!("{}@{}", node.label, h.seq)));
        line.push_str(&format!(" {}", paint(if h.is_tombstone() { RED } else { PLAIN }, &content(node.entry))));
        if h.op != Op::Commit {
            line.push_str(&format!(" {}", h.op));
        }
        if h.valid_from != h.recorded_at {
            let since = h.valid_from.to_string();
            let guess = if h.valid_from_estimated { ", a guess" } else { "" };
            line.push_str(&paint(DIM, &format!(" live since {}{guess}", since.get(..16).unwrap_or(&since))));
        }
        for tag in node.tags {
            line.push_str(&paint(CYAN, &format!(" [{}]", clean(tag))));
        }
        for sha in &node.entry.git_shas {
            line.push_str(&paint(DIM, &format!(" git:{}", clean(sha.get(..8).unwrap_or(sha)))));
        }
        out.push_str(&line);
        out.push('\n');
    }
    if nodes.len() > LISTED {
        out.push_str(&format!("{bar} └ and {} more\n", nodes.len() - LISTED));
    }
}

/// What an operation looks like from afar.
fn mark(op: Op) -> &'static str {
    match op {
        Op::Commit => "●",
        Op::Restore => "↺",
        Op::Adopt | Op::Force => "◆",
        Op::Import => "○",
        Op::Delete => "✕",
        _ => "◌",
    }
}
