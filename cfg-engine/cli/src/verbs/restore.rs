//! `restore`.

use cfg_engine::Error;
use cfg_engine::engine::Restore;

use super::secret_flag::secrets;
use super::show::version;
use crate::cli::Change;
use crate::context::Context;
use crate::render::reports::single;
use crate::render::style::shell_word;
use crate::usage::usage;

/// `cfg restore`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which record; planner@7 names the version with it
    #[arg(value_name = "ID")]
    id: String,
    /// To which version; =HEAD discards what was changed outside cfg, recording it first
    #[arg(value_name = "VERSION")]
    reference: Option<String>,
    /// Go on over what was changed outside cfg, recording it first
    #[arg(long)]
    force: bool,
    /// A deleted record's secret, from a variable: history does not hold it
    #[arg(long, value_name = "PATH=env:VAR")]
    secret: Vec<String>,
    /// Bring a deleted record back without its secrets
    #[arg(long)]
    without_secrets: bool,
    #[command(flatten)]
    change: Change,
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<u8, Error> {
    let secrets = secrets(&args.secret)?;
    let project = context.writer()?;
    let (record, reference) = version(&project, &args.id, args.reference.as_deref()).await?;
    let reference = reference.ok_or_else(|| {
        let id = shell_word(&record.id.to_string());
        usage("no version is named", format!("list them with: cfg log {id}   then: cfg restore {id} @1"))
    })?;
    let restore = Restore {
        secrets,
        without_secrets: args.without_secrets,
        force: args.force,
        ..Restore::new(record, reference)
    };
    let report = project.restore(&restore, &context.options(&args.change)?).await?;
    single(context, &project, report, "restore")
}
