//! `secrets scan`.

use cfg_engine::Error;
use cfg_engine::engine::{Project, SecretFinding, SecretPlace, SecretReport, SecretScan};
use cfg_engine::history::Seq;

use crate::context::Context;
use crate::progress::Bar;
use crate::render::reports::failures;
use crate::render::style::{CYAN, GREEN, PLAIN, RED, YELLOW, clean, count, paint, shell_word};
use crate::render::table::Table;

/// `cfg secrets`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Args {
    /// List what looks like a secret by the rules of `[secrets]`; read-only, and never a value. Exits 1 where
    /// something is found
    Scan(ScanArgs),
}

/// `cfg secrets scan`.
#[derive(Debug, clap::Args)]
pub(crate) struct ScanArgs {
    /// Only what is stored of versions: documents, messages, authors
    #[arg(long)]
    history: bool,
    /// Only live documents
    #[arg(long)]
    live: bool,
    /// Only this collection
    #[arg(long, value_name = "NAME")]
    collection: Option<String>,
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<u8, Error> {
    let Args::Scan(args) = args;
    let project = context.reader().await?;
    let collection = context.collection(&project, args.collection.as_deref())?;
    let scan = SecretScan { collection, history: args.history, live: args.live };
    let report = {
        let bar = Bar::new(&context.out, "scanning");
        project.scan_secrets(&scan, Some(&bar)).await?
    };
    if context.out.is_json() {
        context.out.json(report.to_object());
    } else {
        people(context, &project, &report);
    }
    Ok(report.exit_code())
}

fn people(context: &Context, project: &Project, report: &SecretReport) {
    let mut table = Table::default();
    for finding in &report.findings {
        let place = match finding.place {
            SecretPlace::Live => "=live".to_owned(),
            SecretPlace::Doc => versions(&finding.versions),
            other => format!("{} {}", versions(&finding.versions), other.as_str()),
        };
        table.row([
            (context.label(project, &finding.record), YELLOW),
            (place, CYAN),
            (clean(&finding.path.to_string()), RED),
            (format!("{} {}", finding.kind.as_str(), clean(&finding.rule)), PLAIN),
        ]);
    }
    context.out.report(&table.render());
    let number = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    let read = format!(
        "read {} and {}",
        count(number(report.entries), "version"),
        count(number(report.records), "live document")
    );
    let found = match report.findings.len() {
        0 => paint(GREEN, "nothing looks like a secret"),
        n => paint(RED, &count(n, "finding")),
    };
    context.out.report(&format!("{read}: {found}\n"));
    failures(&context.out, report.errors());
    if let Some(stored) = report.findings.iter().find(|finding| finding.place == SecretPlace::Doc) {
        context.out.hint(&next(stored));
    } else if report.findings.iter().any(|finding| finding.place == SecretPlace::Live) {
        context.out.hint("name such fields in secret_fields, or keep them elsewhere and write env:NAME");
    }
}

fn next(finding: &SecretFinding) -> String {
    let id = shell_word(&finding.record.id.to_string());
    let path = shell_word(&finding.path.to_string());
    format!("rotate it, then see where it goes: cfg redact {id} {path} --rewrite-history --dry-run -m WHY")
}

/// `@2-5,7`.
fn versions(seqs: &[Seq]) -> String {
    let mut parts: Vec<(u64, u64)> = Vec::new();
    for seq in seqs {
        match parts.last_mut() {
            Some((_, last)) if *last + 1 == seq.0 => *last = seq.0,
            _ => parts.push((seq.0, seq.0)),
        }
    }
    let shown = parts.iter().map(|(a, b)| if a == b { a.to_string() } else { format!("{a}-{b}") });
    format!("@{}", shown.collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_shown_as_ranges() {
        let seqs: Vec<Seq> = [1, 2, 3, 7, 9, 10].map(Seq).to_vec();
        assert_eq!(versions(&seqs), "@1-3,7,9-10");
    }
}
