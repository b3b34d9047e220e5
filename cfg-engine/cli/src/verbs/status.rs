//! `status`.

use cfg_engine::Error;
use cfg_engine::engine::{Project, RecordStatus, State, Status};

use crate::context::Context;
use crate::progress::Bar;
use crate::render::reports::failures;
use crate::render::style::{BOLD, CYAN, DIM, GREEN, PLAIN, RED, YELLOW, count, paint};
use crate::render::table::Table;

/// `cfg status`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only these records
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    /// List every record, clean and removed ones too
    #[arg(long)]
    all: bool,
    /// Only this collection
    #[arg(long, value_name = "NAME", conflicts_with = "ids")]
    collection: Option<String>,
}

/// Untracked records beyond this are counted: before the first import that is all of them.
const UNTRACKED_LISTED: usize = 20;

pub(crate) async fn run(context: &Context, args: Args) -> Result<u8, Error> {
    let project = context.reader().await?;
    let staging = context.staging().await?;
    let surveyed = staging.survey(&project.settings().env);
    let mut status = if args.ids.is_empty() {
        let collection = context.collection(&project, args.collection.as_deref())?;
        let bar = Bar::new(&context.out, "comparing");
        project.status(collection, args.all, &surveyed.staged, Some(&bar)).await?
    } else {
        let records = context.records(&project, &args.ids).await?;
        project.status_of(&records, &surveyed.staged).await?
    };
    staging.tell(surveyed, &mut status, args.ids.is_empty());
    if context.out.is_json() {
        context.out.json(status.to_objects());
    } else if args.all || !args.ids.is_empty() {
        context.out.report(&table(context, &project, &status));
        context.out.report(&summary(&status));
    } else {
        context.out.report(&groups(context, &project, &status));
        context.out.report(&summary(&status));
    }
    failures(&context.out, status.troubles.iter().map(|trouble| &trouble.error).chain(&status.staging));
    Ok(status.exit_code())
}

/// A group of the human view: its states, its heading, what to type.
const GROUPS: [(&[State], &str, &str); 4] = [
    (
        &[State::Ambiguous, State::Error],
        "Cannot be versioned as they are:",
        "mend them in the database; the reason stands behind each",
    ),
    (
        &[State::Dirty, State::Missing],
        "Changed outside cfg:",
        "look: cfg diff <id>   record: cfg adopt <id> -m \"why\"   discard: cfg restore <id> =HEAD",
    ),
    (
        &[State::Staged],
        "Staged:",
        "commit: cfg commit <id> -m \"why\"   look: cfg diff <id> =live =staged   drop: cfg edit --abort <id>",
    ),
    (&[State::Untracked], "Untracked:", "record the first version: cfg import <id>   or all of them: cfg import --all"),
];

fn groups(context: &Context, project: &Project, status: &Status) -> String {
    let mut out = String::new();
    for (states, heading, hint) in GROUPS {
        let rows: Vec<&RecordStatus> = status.rows.iter().filter(|row| states.contains(&row.state)).collect();
        if rows.is_empty() {
            continue;
        }
        out.push_str(&format!("{}\n  {}\n", paint(BOLD, heading), paint(DIM, &format!("({hint})"))));
        let listed = if states == [State::Untracked] { UNTRACKED_LISTED } else { usize::MAX };
        let mut table = Table::indented(4);
        for row in rows.iter().take(listed) {
            table.row([
                (row.state.as_str().to_owned(), style(row.state)),
                (context.label(project, &row.record), PLAIN),
                (row.head_seq.map(|seq| format!("@{seq}")).unwrap_or_default(), YELLOW),
                (detail(row), DIM),
            ]);
        }
        out.push_str(&table.render());
        if rows.len() > listed {
            out.push_str(&format!("    … and {} more; cfg status --all lists them\n", rows.len() - listed));
        }
        out.push('\n');
    }
    out
}

/// What a row says beyond its state.
fn detail(row: &RecordStatus) -> String {
    match row.state {
        State::Ambiguous | State::Error => row.reason.as_ref().map(ToString::to_string).unwrap_or_default(),
        State::Dirty | State::Missing if row.staged => "a staged document waits; adopt first".to_owned(),
        _ => String::new(),
    }
}

fn table(context: &Context, project: &Project, status: &Status) -> String {
    let mut table = Table::default();
    for row in &status.rows {
        let oid = row.live_oid.or(row.head_oid).map(|oid| oid.short()).unwrap_or_default();
        table.row([
            (row.state.as_str().to_owned(), style(row.state)),
            (context.label(project, &row.record), PLAIN),
            (row.head_seq.map(|seq| format!("@{seq}")).unwrap_or_default(), YELLOW),
            (oid, PLAIN),
            (detail(row), DIM),
        ]);
    }
    table.render()
}

fn summary(status: &Status) -> String {
    const ORDER: [State; 8] = [
        State::Clean,
        State::Dirty,
        State::Missing,
        State::Ambiguous,
        State::Error,
        State::Staged,
        State::Untracked,
        State::Removed,
    ];
    let number = |state: State| status.rows.iter().filter(|row| row.state == state).count();
    let total = status.rows.len();
    if total > 0 && number(State::Clean) == total {
        return format!("{}: {}\n", count(total, "record"), paint(GREEN, "live is what history says"));
    }
    let parts: Vec<String> = ORDER
        .into_iter()
        .filter(|state| number(*state) > 0)
        .map(|state| paint(style(state), &format!("{} {}", number(state), state.as_str())))
        .collect();
    match total {
        0 if !status.troubles.is_empty() => "no records that can be versioned\n".to_owned(),
        0 => format!("no records; {}\n", paint(CYAN, "the live tables are empty")),
        _ => format!("{}: {}\n", count(total, "record"), parts.join(", ")),
    }
}

fn style(state: State) -> anstyle::Style {
    match state {
        State::Clean => GREEN,
        State::Dirty | State::Missing | State::Ambiguous | State::Error => RED,
        State::Staged => YELLOW,
        State::Untracked => CYAN,
        State::Removed => DIM,
    }
}
