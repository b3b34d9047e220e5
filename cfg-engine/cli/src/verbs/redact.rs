//! `redact`.

use cfg_engine::Error;
use cfg_engine::engine::{Place, PlaceKind, Project, Redact, RedactReport, parse_versions};
use cfg_engine::history::{Reference, Seq};
use cfg_engine_connect::call::with_staged;

use super::show::version;
use crate::cli::Change;
use crate::context::Context;
use crate::render::style::{CYAN, GREEN, PLAIN, RED, YELLOW, clean, count, paint, shell_word};
use crate::render::table::Table;
use crate::usage::usage;

/// `cfg redact`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which record; planner@7 names the one version with it
    #[arg(value_name = "ID", required_unless_present = "resume")]
    id: Option<String>,
    /// What goes: api_key   tools[].key   smtp.password
    #[arg(value_name = "PATH")]
    paths: Vec<String>,
    /// Only these versions: 3   2-5   1,4-6
    #[arg(long, value_name = "LIST", default_value = "all")]
    versions: String,
    /// The messages of these versions go, too, as a whole
    #[arg(long)]
    messages: bool,
    /// Reach what is hashed: versioned fields and messages. Needs an approval and an alert on every env
    #[arg(long)]
    rewrite_history: bool,
    /// Finish a redaction that was begun; its token, where there are several
    #[arg(long, value_name = "TOKEN", num_args = 0..=1, default_missing_value = "", conflicts_with_all = ["id", "paths", "messages", "rewrite_history"])]
    resume: Option<String>,
    #[command(flatten)]
    change: Change,
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<u8, Error> {
    let project = context.writer().await?;
    let options = context.options(&args.change)?;
    let report = match (&args.resume, &args.id) {
        (Some(token), _) => project.redact_resume(Some(token.as_str()).filter(|t| !t.is_empty()), &options).await?,
        (None, Some(id)) => {
            let redact = redaction(&project, id, &args).await?;
            project.redact(&redact, &options).await?
        }
        (None, None) => return Err(usage("no record is named", "name it: cfg redact planner api_key -m WHY")),
    };
    let report = with_staged(report, &context.staging().await?)?;
    if context.out.is_json() {
        context.out.json(report.to_object());
    } else {
        people(context, &project, &report);
    }
    Ok(0)
}

async fn redaction(project: &Project, id: &str, args: &Args) -> Result<Redact, Error> {
    let (record, reference) = version(project, id, None).await?;
    let versions = match (reference, parse_versions(&args.versions)?) {
        (None, versions) => versions,
        (Some(reference), None) => Some(vec![seq_of(project, &record, &reference).await?]),
        (Some(_), Some(_)) => {
            return Err(usage("versions are named twice", "name them with the record or with --versions"));
        }
    };
    Ok(Redact {
        record,
        paths: args.paths.clone(),
        versions,
        messages: args.messages,
        rewrite_history: args.rewrite_history,
    })
}

async fn seq_of(
    project: &Project,
    record: &cfg_engine::history::RecordKey,
    reference: &Reference,
) -> Result<Seq, Error> {
    match reference {
        Reference::Seq(seq) => Ok(*seq),
        other => Ok(project.entry_at(record, other).await?.header.seq),
    }
}

fn people(context: &Context, project: &Project, report: &RedactReport) {
    let label = context.label(project, &report.record);
    let mut table = Table::default();
    let word = if report.dry_run { "would lose it" } else { "redacted" };
    for place in &report.places {
        table.row([(shown(place), YELLOW), (paths(place), PLAIN), (word.to_owned(), GREEN), (hashed(place), CYAN)]);
    }
    for place in &report.left {
        table.row([
            (shown(place), YELLOW),
            (paths(place), PLAIN),
            ("still there".to_owned(), RED),
            (hashed(place), CYAN),
        ]);
    }
    context.out.report(&table.render());
    match (report.places.len(), report.dry_run, report.entries.last()) {
        (0, ..) => context.out.report(&format!("{label}: nothing is left to redact\n")),
        (n, true, _) => context.out.report(&format!("{label}: {} would be redacted\n", count(n, "place"))),
        (n, false, Some(entry)) => {
            let at = paint(YELLOW, &format!("{label}@{}", entry.header.seq));
            context.out.report(&format!("{at}: {} redacted; oids and tags are what they were\n", count(n, "place")));
        }
        (n, false, None) => context.out.report(&format!("{label}: {} redacted\n", count(n, "place"))),
    }
    let id = shell_word(&report.record.id.to_string());
    if report.needs_rewrite_history {
        context.out.hint("some of it is hashed: add --rewrite-history, which needs an approval on every env");
    } else if report.dry_run && report.needs_approval {
        context.out.hint("this needs an approval");
    }
    if let Some(blocked) = &report.blocked {
        context.out.warn(&clean(&blocked.to_string()));
        blocked.hint().into_iter().for_each(|hint| context.out.hint(&clean(&hint)));
    }
    if !report.live.is_empty() {
        let live: Vec<String> = report.live.iter().map(ToString::to_string).collect();
        let live = clean(&live.join(", "));
        context.out.warn(&format!(
            "live holds a value at {live}, and the next commit stores it: rotate it, and name it in secret_fields"
        ));
    }
    let rest: Vec<String> = report.left.iter().flat_map(|place| &place.paths).map(ToString::to_string).collect();
    if let Some(path) = rest.first() {
        context.out.hint(&format!("redact it there, too: cfg redact {id} {} -m WHY", shell_word(path)));
    }
    if report.left.iter().any(|place| place.kind == PlaceKind::Header) {
        context.out.warn("what stands in an author's name or another hashed header cannot be redacted");
    }
    if !report.dry_run && !report.places.is_empty() {
        context.out.note("logs of the database and backups hold it still (docs/redaction.md): rotate the secret");
    }
}

fn shown(place: &Place) -> String {
    match (&place.object, place.seq) {
        (Some(object), _) => clean(object),
        (None, Some(seq)) => format!("@{seq} {}", place.kind.as_str()),
        (None, None) => place.kind.as_str().to_owned(),
    }
}

fn paths(place: &Place) -> String {
    clean(&place.paths.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
}

fn hashed(place: &Place) -> String {
    if place.is_hashed { "its hash stays".to_owned() } else { String::new() }
}
