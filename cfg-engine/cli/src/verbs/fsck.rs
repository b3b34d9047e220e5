//! `fsck`.

use cfg_engine::Error;
use cfg_engine::engine::{FsckReport, Project};

use crate::context::Context;
use crate::progress::Bar;
use crate::render::style::{GREEN, PLAIN, RED, YELLOW, clean, count, paint};
use crate::render::table::Table;

/// `cfg fsck`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) async fn run(context: &Context, _: Args) -> Result<u8, Error> {
    let project = context.reader()?;
    let report = {
        let bar = Bar::new(&context.out, "checking");
        project.fsck(Some(&bar)).await?
    };
    if context.out.is_json() {
        context.out.json(report.to_object());
    } else {
        context.out.report(&people(context, &project, &report));
    }
    Ok(report.exit_code())
}

fn people(context: &Context, project: &Project, report: &FsckReport) -> String {
    let number = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    let mut table = Table::default();
    for finding in &report.findings {
        let seq = finding.seq.map(|seq| format!("@{seq}")).unwrap_or_default();
        table.row([
            (finding.code.to_owned(), RED),
            (format!("{}{seq}", context.label(project, &finding.record)), YELLOW),
            (clean(&finding.problem), PLAIN),
        ]);
    }
    let checked =
        format!("checked {} of {}", count(number(report.entries), "version"), count(number(report.records), "record"));
    match report.findings.len() {
        0 => format!("{checked}: {}\n", paint(GREEN, "everything is as it was written")),
        found => format!("{}{checked}: {}\n", table.render(), paint(RED, &count(found, "finding"))),
    }
}
