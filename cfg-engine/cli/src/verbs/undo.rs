//! `undo`.

use cfg_engine::Error;
use cfg_engine::engine::Undo;

use super::show::version;
use crate::cli::Change;
use crate::context::Context;
use crate::render::reports::single;
use crate::render::style::shell_word;
use crate::usage::usage;

/// `cfg undo`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which record; planner@7 names the version with it
    #[arg(value_name = "ID")]
    id: String,
    /// The version whose change is taken back
    #[arg(value_name = "VERSION")]
    reference: Option<String>,
    /// Go on without secrets that would go or that history does not hold
    #[arg(long)]
    without_secrets: bool,
    #[command(flatten)]
    change: Change,
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<u8, Error> {
    let project = context.writer().await?;
    let (record, reference) = version(&project, &args.id, args.reference.as_deref()).await?;
    let reference = reference.ok_or_else(|| {
        let id = shell_word(&record.id.to_string());
        usage("no version is named", format!("list them with: cfg log {id}   then: cfg undo {id} @3"))
    })?;
    let undo = Undo { without_secrets: args.without_secrets, ..Undo::new(record, reference) };
    let report = project.undo(&undo, &context.options(&args.change)?).await?;
    single(context, &project, report, "undo")
}
