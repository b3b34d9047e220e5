//! `blame`.

use cfg_engine::Error;
use cfg_engine::document::{Dialect, Object};
use cfg_engine::engine::BlameLine;

use super::show::parse_path;
use crate::context::Context;
use crate::render::style::{DIM, GREEN, PLAIN, YELLOW, clean, first_line};
use crate::render::table::Table;
use crate::render::time::stamp;

/// `cfg blame`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which record
    #[arg(value_name = "ID")]
    id: String,
    /// Only this field and what is below it: `tools[0].name`
    #[arg(value_name = "PATH")]
    path: Option<String>,
}

/// What is shown of a value.
const VALUE: usize = 40;

pub(crate) async fn run(context: &Context, args: Args) -> Result<u8, Error> {
    let path = args.path.as_deref().map(parse_path).transpose()?;
    let project = context.reader().await?;
    let record = project.record(&args.id).await?;
    let lines = project.blame(&record, path.as_ref()).await?;
    if context.out.is_json() {
        context.out.json(lines.iter().map(BlameLine::to_object).collect::<Vec<Object>>());
        return Ok(0);
    }
    let mut table = Table::default();
    for line in &lines {
        let h = &line.entry.header;
        table.row([
            (format!("@{}", h.seq), YELLOW),
            (stamp(h.valid_from), DIM),
            (clean(&h.author.id), GREEN),
            (clean(&line.path.to_string()), PLAIN),
            (first_line(&line.value.to_text(Dialect::Relaxed, None), VALUE), PLAIN),
            (first_line(&line.entry.message, 50), DIM),
        ]);
    }
    context.out.text(&table.render());
    Ok(0)
}
