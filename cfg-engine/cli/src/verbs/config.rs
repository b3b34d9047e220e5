//! `config`.

use std::path::Path;

use cfg_engine::document::Dialect;
use cfg_engine::{Error, Value};
use cfg_engine_connect::{ConnectError, Variables, call, choose_env, find_config, read_config, scrub};

use crate::context::Context;
use crate::render::style::{DIM, PLAIN, clean, paint};
use crate::render::table::Table;

/// `cfg config`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(context: &Context, _: Args) -> Result<u8, Error> {
    let start = Path::new(".");
    let path = match &context.global.config_file {
        Some(file) => file.clone(),
        None => find_config(start).ok_or_else(|| ConnectError::NoConfigFile { start: start.to_owned() })?,
    };
    let config = read_config(&path)?;
    // Settings can be looked at before an env is chosen.
    let chosen = choose_env(&config, context.global.env.as_deref(), &Variables::Process).ok();
    if let Some(asked) = &context.global.env
        && chosen.is_none()
    {
        choose_env(&config, Some(asked), &Variables::Process)?;
    }
    let settings = config.effective();
    if context.out.is_json() {
        let env = context.global.env.as_deref();
        context.out.json(call::config(start, context.global.config_file.as_deref(), env, &Variables::Process)?);
        return Ok(0);
    }
    context.out.text(&paint(DIM, &format!("# {}\n", clean(&path.display().to_string()))));
    if let Some((env, source)) = chosen {
        context.out.text(&paint(DIM, &format!("# env {} ({})\n", env.name, source.as_str())));
    }
    let mut table = Table::default();
    for setting in &settings {
        let value = match &setting.value {
            Value::Null => "(not set)".to_owned(),
            value => scrub(&clean(&value.to_text(Dialect::Relaxed, None))),
        };
        table.row([(setting.key.clone(), PLAIN), (value, PLAIN), (setting.source.to_string(), DIM)]);
    }
    context.out.text(&table.render());
    Ok(0)
}
