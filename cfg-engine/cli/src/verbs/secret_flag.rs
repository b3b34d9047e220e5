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
        _ => {
            let name = if is_name(variable) { variable } else { "NAME" };
            let said = if is_name(variable) { format!("variable {variable}") } else { "variable".to_owned() };
            Err(Error::refused(
                "variable_unset",
                format!("the secret for {path}: its environment {said} is not set or empty"),
                format!("set it: export {name}=…   and name it: --secret {path}=env:{name}"),
            ))
        }
    }
}

/// Returns whether a text is written as names of variables are: what is not may be the secret itself.
fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_uppercase() || c == '_')
        && text.len() <= 64
        && text.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
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

    #[test]
    fn a_variable_that_is_not_set_is_named() {
        let error = secret("api_key=env:CFG_TEST_NOT_SET").expect_err("not set");
        assert!(error.to_string().contains("CFG_TEST_NOT_SET"), "{error}");
        assert!(error.hint().unwrap_or_default().contains("--secret api_key=env:CFG_TEST_NOT_SET"));
    }
}
