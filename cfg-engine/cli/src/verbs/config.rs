//! `config`.

use std::path::Path;

use cfg_engine::document::Dialect;
use cfg_engine::engine::PolicyStanding;
use cfg_engine::{Error, Value};
use cfg_engine_connect::{ConnectError, Variables, call, choose_env, find_config, read_config, scrub};

use crate::context::Context;
use crate::render::style::{DIM, PLAIN, YELLOW, clean, paint};
use crate::render::table::Table;

/// `cfg config`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Ask the database what it holds of the env's policy, and show what holds: of each rule the stricter one
    #[arg(long)]
    policy: bool,
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<u8, Error> {
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
    let standing = match args.policy {
        true => Some(context.reader().await?.policy_standing().await?),
        false => None,
    };
    if context.out.is_json() {
        let env = context.global.env.as_deref();
        let shown = call::config(start, context.global.config_file.as_deref(), env, &Variables::Process)?;
        context.out.json(match standing {
            Some(standing) => shown.with("policy", standing.to_object()),
            None => shown,
        });
        return Ok(0);
    }
    context.out.text(&paint(DIM, &format!("# {}\n", clean(&path.display().to_string()))));
    if let Some((env, source)) = chosen {
        context.out.text(&paint(DIM, &format!("# env {} ({})\n", env.name, source.as_str())));
    }
    let mut table = Table::default();
    match standing {
        Some(standing) => policy(context, &standing, &mut table),
        None => {
            for setting in &settings {
                let value = shown(Some(&setting.value));
                table.row([(setting.key.clone(), PLAIN), (value, PLAIN), (setting.source.to_string(), DIM)]);
            }
        }
    }
    context.out.text(&table.render());
    Ok(0)
}

fn shown(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "(not set)".to_owned(),
        Some(value) => scrub(&clean(&value.to_text(Dialect::Relaxed, None))),
    }
}

/// Shows of each rule what holds, and where file and store differ what each of them says.
fn policy(context: &Context, standing: &PolicyStanding, table: &mut Table) {
    if standing.stored.is_none() {
        context.out.hint("the database holds nothing of this env yet: what the file says holds once cfg init has run");
    }
    for rule in standing.to_object().get("rules").and_then(Value::as_array).unwrap_or_default() {
        let text = |member: &str| rule.get(member).and_then(Value::as_str).unwrap_or_default().to_owned();
        let both = || format!("file: {}   store: {}", shown(rule.get("file")), shown(rule.get("store")));
        let whose = match text("stricter").as_str() {
            _ if standing.stored.is_none() => (String::new(), PLAIN),
            "same" => ("file and store".to_owned(), DIM),
            "both" => (format!("both together   {}", both()), YELLOW),
            stricter => (format!("the {stricter} is stricter   {}", both()), YELLOW),
        };
        table.row([(text("rule"), PLAIN), (shown(rule.get("holds")), PLAIN), whose]);
    }
}
