//! Which env: `--env`, else `CFG_ENV`, else the only one.

use cfg_engine::config::{ConfigFile, EnvConfig};

use crate::error::ConnectError;
use crate::variables::Variables;

/// Who chose the env.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnvSource {
    /// `--env`, or the caller of the library.
    Asked,
    /// `CFG_ENV`.
    Variable,
    /// It is the only one.
    Only,
}

impl EnvSource {
    /// Returns how people know it.
    pub const fn as_str(self) -> &'static str {
        match self {
            EnvSource::Asked => "--env",
            EnvSource::Variable => "CFG_ENV",
            EnvSource::Only => "the only env",
        }
    }
}

/// Returns whether an inherited env is meant, gated or not.
pub(crate) fn confirms_ambient(variables: &Variables) -> bool {
    variables.get("CFG_CONFIRM_AMBIENT_PROD").as_deref() == Some("1")
}

/// Chooses the env.
///
/// A gated env is never taken from a merely inherited `CFG_ENV`: it must be asked for in this call,
/// or `CFG_CONFIRM_AMBIENT_PROD=1` must stand beside the variable.
///
/// # Errors
///
/// [`ConnectError::NoEnvs`], [`EnvNotChosen`](ConnectError::EnvNotChosen),
/// [`UnknownEnv`](ConnectError::UnknownEnv), [`AmbientGated`](ConnectError::AmbientGated).
pub fn choose_env<'c>(
    config: &'c ConfigFile,
    asked: Option<&str>,
    variables: &Variables,
) -> Result<(&'c EnvConfig, EnvSource), ConnectError> {
    let known = || config.envs.iter().map(|env| env.name.to_string()).collect::<Vec<_>>();
    if config.envs.is_empty() {
        return Err(ConnectError::NoEnvs);
    }
    let find = |name: &str, source: EnvSource| {
        config.env(name).map(|env| (env, source)).ok_or_else(|| ConnectError::UnknownEnv {
            name: name.to_owned(),
            source_name: source.as_str(),
            known: known(),
        })
    };
    if let Some(name) = asked {
        return find(name, EnvSource::Asked);
    }
    if let Some(name) = variables.get("CFG_ENV") {
        let (env, source) = find(&name, EnvSource::Variable)?;
        if env.needs_approval && !confirms_ambient(variables) {
            return Err(ConnectError::AmbientGated { env: name });
        }
        return Ok((env, source));
    }
    match config.envs.as_slice() {
        [only] => Ok((only, EnvSource::Only)),
        _ => Err(ConnectError::EnvNotChosen { known: known() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "[[collection]]\nname = \"a\"\nid_field = \"id\"\n[env.dev]\ndatabase = \"memory\"\n\
                       [env.prod]\ndatabase = \"memory\"\nneeds_approval = true\n";

    fn chosen(asked: Option<&str>, variables: &[(&str, &str)]) -> Result<(String, EnvSource), ConnectError> {
        let config = ConfigFile::parse(TWO).expect("valid");
        choose_env(&config, asked, &Variables::fixed(variables.iter().copied()))
            .map(|(env, source)| (env.name.to_string(), source))
    }

    #[test]
    fn the_call_wins_over_the_variable() {
        assert_eq!(chosen(Some("prod"), &[("CFG_ENV", "dev")]).expect("prod"), ("prod".into(), EnvSource::Asked));
        assert_eq!(chosen(None, &[("CFG_ENV", "dev")]).expect("dev"), ("dev".into(), EnvSource::Variable));
    }

    #[test]
    fn a_gated_env_is_not_inherited() {
        let error = chosen(None, &[("CFG_ENV", "prod")]).expect_err("ambient");
        assert!(matches!(error, ConnectError::AmbientGated { .. }));
        assert!(error.hint().contains("--env prod"));
        for not_one in ["0", "true", ""] {
            assert!(chosen(None, &[("CFG_ENV", "prod"), ("CFG_CONFIRM_AMBIENT_PROD", not_one)]).is_err());
        }
        let both = [("CFG_ENV", "prod"), ("CFG_CONFIRM_AMBIENT_PROD", "1")];
        assert_eq!(chosen(None, &both).expect("confirmed").0, "prod");
    }

    #[test]
    fn none_of_several_is_guessed() {
        let error = chosen(None, &[("CFG_ENV", "")]).expect_err("none chosen");
        assert!(error.to_string().contains("dev, prod"), "{error}");
        let error = chosen(Some("prd"), &[]).expect_err("unknown");
        assert!(error.to_string().contains("\"prd\"") && error.hint().contains("--env"), "{error}");
        let error = chosen(None, &[("CFG_ENV", "stage")]).expect_err("unknown");
        assert!(error.hint().contains("CFG_ENV"));
    }

    #[test]
    fn the_only_env_is_taken() {
        let only = TWO.split("[env.prod]").next().expect("the first half");
        let config = ConfigFile::parse(only).expect("valid");
        let (env, source) = choose_env(&config, None, &Variables::fixed([])).expect("the only one");
        assert_eq!((env.name.as_str(), source), ("dev", EnvSource::Only));
        let none = ConfigFile::parse("[[collection]]\nname = \"a\"\nid_field = \"id\"\n").expect("valid");
        assert!(matches!(choose_env(&none, Some("dev"), &Variables::fixed([])), Err(ConnectError::NoEnvs)));
    }
}
