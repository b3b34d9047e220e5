//! `adopt`.

use cfg_engine::Error;
use cfg_engine::engine::Adopt;

use crate::cli::Change;
use crate::context::Context;
use crate::progress::Bar;
use crate::render::reports::{several, single};

/// `cfg adopt`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which records
    #[arg(value_name = "ID", required_unless_present = "all")]
    ids: Vec<String>,
    /// Every record that differs from history, untracked ones included
    #[arg(long, conflicts_with = "ids")]
    all: bool,
    #[command(flatten)]
    change: Change,
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<u8, Error> {
    let project = context.writer().await?;
    let options = context.options(&args.change)?;
    let adopt = match args.all {
        true => Adopt::All,
        false => Adopt::Records(context.records(&project, &args.ids).await?),
    };
    let one = matches!(&adopt, Adopt::Records(records) if records.len() == 1);
    let report = {
        let bar = Bar::new(&context.out, "adopting");
        project.adopt(&adopt, &options, Some(&bar)).await?
    };
    match one {
        true => single(context, &project, report, "adopt"),
        false => Ok(several(context, &project, &report, "adopt")),
    }
}
