//! `fsck`.

use cfg_engine::Error;
use cfg_engine::engine::{Finding, FsckReport, Options, Project};

use crate::context::Context;
use crate::progress::Bar;
use crate::render::style::{CYAN, GREEN, PLAIN, RED, YELLOW, clean, count, paint};
use crate::render::table::Table;

/// `cfg fsck`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Write anew what follows from the entries: heads, tips, cached intervals. Nothing is made up
    #[arg(long)]
    repair: bool,
    /// With --repair: why
    #[arg(short, long, value_name = "WHY", requires = "repair", default_value = "fsck --repair")]
    message: String,
    /// With --repair, on an env that needs one: the approval under which it is done
    #[arg(long, value_name = "ID", requires = "repair")]
    approval: Option<String>,
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<u8, Error> {
    let project = if args.repair { context.writer().await? } else { context.reader().await? };
    let report = {
        let bar = Bar::new(&context.out, "checking");
        match args.repair {
            true => {
                let options = Options { approval: args.approval, ..Options::message(args.message) };
                project.repair(&options, Some(&bar)).await?
            }
            false => project.fsck(Some(&bar)).await?,
        }
    };
    if context.out.is_json() {
        context.out.json(report.to_object());
    } else {
        context.out.report(&people(context, &project, &report));
        report.troubles.iter().filter_map(|trouble| trouble.error.hint()).for_each(|hint| context.out.hint(&hint));
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
            (format!("{}{seq}", place(context, project, finding)), YELLOW),
            (clean(&finding.problem), PLAIN),
            (repair(finding), if finding.repaired { GREEN } else { CYAN }),
        ]);
    }
    let checked =
        format!("checked {} of {}", count(number(report.entries), "version"), count(number(report.records), "record"));
    for trouble in &report.troubles {
        table.row([
            (trouble.error.code().to_owned(), RED),
            (clean(trouble.collection.as_str()), YELLOW),
            (clean(&trouble.error.to_string()), PLAIN),
        ]);
    }
    match report.findings.len() + report.troubles.len() {
        0 => format!("{checked}: {}\n", paint(GREEN, "everything is as it was written")),
        found => format!("{}{checked}: {}\n", table.render(), paint(RED, &count(found, "finding"))),
    }
}

fn place(context: &Context, project: &Project, finding: &Finding) -> String {
    let record = finding.record.as_ref().map(|record| context.label(project, record));
    match (&finding.object, record) {
        (Some(object), Some(record)) => format!("{} {record}", clean(object)),
        (Some(object), None) => clean(object),
        (None, Some(record)) => record,
        (None, None) => "the store".to_owned(),
    }
}

fn repair(finding: &Finding) -> String {
    match (&finding.repair, finding.repaired) {
        (_, true) => "repaired".to_owned(),
        (Some(repair), false) => format!("--repair {}", clean(repair)),
        (None, false) => String::new(),
    }
}
