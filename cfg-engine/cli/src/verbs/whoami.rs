//! `whoami`.

use cfg_engine::Error;
use cfg_engine_connect::{call, locate};

use crate::context::Context;
use crate::render::style::{BOLD, DIM, PLAIN, RED, clean};
use crate::render::table::Table;

/// `cfg whoami`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(context: &Context, _: Args) -> Result<u8, Error> {
    let located = locate(context.open_options())?;
    let (author, source) = located.author()?;
    let env = &located.env;
    let file = located.config_file.display().to_string();
    if context.out.is_json() {
        context.out.json(call::whoami(&located)?);
        return Ok(0);
    }
    let mut table = Table::default();
    let name = |name: &str| (name.to_owned(), DIM);
    let (gated, style) = if env.needs_approval { (", needs approval", RED) } else { ("", BOLD) };
    table.row([
        name("env"),
        (format!("{}{gated}", env.name), style),
        (format!("from {}", located.env_source.as_str()), DIM),
    ]);
    let who = format!("{} ({})", clean(&author.id), author.class.as_str());
    table.row([name("author"), (who, PLAIN), (format!("from {}", source.as_str()), DIM)]);
    table.row([name("database"), (env.database.title().to_owned(), PLAIN), (String::new(), PLAIN)]);
    table.row([name("config"), (clean(&file), PLAIN), (String::new(), PLAIN)]);
    context.out.text(&table.render());
    Ok(0)
}
