//! `rm`.

use cfg_engine::Error;
use cfg_engine::engine::Remove;

use crate::cli::Change;
use crate::context::Context;
use crate::render::reports::single;

/// `cfg rm`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which record
    #[arg(value_name = "ID")]
    id: String,
    /// Go on over what was changed outside cfg, recording it first
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    change: Change,
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<u8, Error> {
    let project = context.writer().await?;
    let record = project.record(&args.id).await?;
    let remove = Remove { force: args.force, ..Remove::new(record) };
    let report = project.remove(&remove, &context.options(&args.change)?).await?;
    single(context, &project, report, "delete")
}
