//! Usage errors as outcomes: exit code 1, and in JSON the same envelope as everything else.

use cfg_engine::Error;
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// The code of a mistake on the command line.
pub(crate) const CODE: &str = "usage";

/// Makes a usage error.
pub(crate) fn usage(problem: impl Into<String>, hint: impl Into<String>) -> Error {
    Error::refused(CODE, problem, hint)
}

/// Turns what clap says into an outcome.
pub(crate) fn from_clap(error: &clap::Error) -> Error {
    let rendered = error.render().to_string();
    let first = rendered.split("\n\n").next().unwrap_or_default();
    let lines: Vec<&str> = first.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let problem = lines.join(" ");
    let problem = problem.strip_prefix("error: ").unwrap_or(&problem);
    match error.kind() {
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            usage("no verb is given", "see the verbs with: cfg --help")
        }
        _ => usage(problem, hint(error)),
    }
}

fn hint(error: &clap::Error) -> String {
    let suggested = [ContextKind::SuggestedSubcommand, ContextKind::SuggestedArg, ContextKind::SuggestedValue]
        .into_iter()
        .find_map(|kind| error.get(kind));
    if let Some(word) = suggested.and_then(best) {
        return format!("did you mean: {word}");
    }
    if error.kind() == ErrorKind::InvalidValue
        && let Some(ContextValue::Strings(values)) = error.get(ContextKind::ValidValue)
        && !values.is_empty()
    {
        return format!("write one of: {}", values.join(", "));
    }
    let usage = match error.get(ContextKind::Usage) {
        Some(ContextValue::StyledStr(text)) => text.to_string(),
        _ => String::new(),
    };
    let usage = usage.strip_prefix("Usage:").unwrap_or(&usage).trim().replace(" --json", "");
    match usage.lines().next().filter(|line| !line.is_empty()) {
        Some(line) => format!("usage: {line}"),
        None => "see: cfg --help".to_owned(),
    }
}

/// Returns the likeliest of clap's suggestions, which is the last.
fn best(value: &ContextValue) -> Option<String> {
    match value {
        ContextValue::String(word) => Some(word.clone()),
        ContextValue::Strings(words) => words.last().cloned(),
        _ => None,
    }
}
