//! `--secret path=env:VARIABLE`: a secret comes from a variable, never from the command line, where
//! others can see it.

use cfg_engine::document::FieldPath;
use cfg_engine::{Error, Value};

use super::show::parse_path;
use crate::usage::usage;

/// Reads secrets from the variables that the flags name.
pub(crate) fn secrets(flags: &[String]) -> Result<Vec<(FieldPath, Value)>, Error> {
    flags.iter().map(|flag| secret(flag)).collect()
}

fn secret(flag: &str) -> Result<(FieldPath, Value), Error> {
    // What was written behind the path may be the secret itself, so it is not repeated.
    let (path, variable) = flag.rsplit_once("=env:").ok_or_else(|| {
        usage(
            "--secret takes path=env:VARIABLE, not a value",
            "put the secret into a variable and name it: api_key=env:NEW_KEY",
        )
    })?;
    let path = parse_path(path)?;
    match std::env::var(variable) {
        Ok(value) if !value.is_empty() => Ok((path, Value::from(value))),
        _ => Err(Error::refused(
            "variable_unset",
            format!("the secret for {path}: its environment variable is not set or empty"),
            "set it: export NAME=…   and name it: --secret path=env:NAME",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_is_never_repeated() {
        for flag in ["key=hunter2", "key", "key=env:hunter2_is_not_set"] {
            let error = secret(flag).expect_err(flag);
            assert!(!format!("{error} {:?}", error.hint()).contains("hunter2"), "{error}");
        }
    }
}
