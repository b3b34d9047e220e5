//! Why a project cannot be opened.

use std::path::PathBuf;

use cfg_engine::adapter::AdapterError;
use cfg_engine::config::{ConfigError, FILE_NAME};

/// The env that `--preview` writes.
pub const PREVIEW: &str = "preview";

/// Why a project cannot be opened. No message carries a URI.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// No `.cfg.toml` here or in a folder above.
    #[error("no {FILE_NAME} in {} or a folder above it", start.display())]
    NoConfigFile {
        /// Where the search began.
        start: PathBuf,
    },
    /// The file does not load.
    #[error("{}, {source}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// The mistake.
        source: ConfigError,
    },
    /// A file or folder that cannot be read or written.
    #[error("cannot {action} {}: {reason}", path.display())]
    File {
        /// `read`, `write`, …
        action: &'static str,
        /// Which.
        path: PathBuf,
        /// What the operating system says.
        reason: String,
    },
    /// The file has no env.
    #[error("{FILE_NAME} has no env")]
    NoEnvs,
    /// There are several envs and none was chosen.
    #[error("no env was chosen; there are {}", known.join(", "))]
    EnvNotChosen {
        /// The envs of the file.
        known: Vec<String>,
    },
    /// There is no such env.
    #[error("there is no env {name:?}; there are {}", known.join(", "))]
    UnknownEnv {
        /// As it was asked for.
        name: String,
        /// Who asked.
        source_name: &'static str,
        /// The envs of the file.
        known: Vec<String>,
    },
    /// A gated env that nobody asked for in this call.
    #[error("env {env} needs approvals and is only set by CFG_ENV")]
    AmbientGated {
        /// The env.
        env: String,
    },
    /// The variable that holds the URI is not set.
    #[error("env {env}: the environment variable {variable} is not set")]
    VariableUnset {
        /// The env.
        env: String,
        /// The variable.
        variable: String,
    },
    /// A URI that the adapter cannot use.
    #[error("env {env}: {problem}")]
    BadUri {
        /// The env.
        env: String,
        /// What is wrong, without the URI.
        problem: &'static str,
        /// What to write.
        hint: &'static str,
    },
    /// A kind of database that this build does not know.
    #[error("this build has no {database} adapter")]
    NoAdapter {
        /// The product.
        database: &'static str,
    },
    /// Nothing says who the author is.
    #[error("nobody is named as the author")]
    NoAuthor,
    /// An author's name or class that cannot be used.
    #[error("{problem}")]
    BadAuthor {
        /// What is wrong.
        problem: String,
        /// What to do.
        hint: &'static str,
    },
    /// Git does not do what it is asked for.
    #[error("git {command}: {reason}")]
    Git {
        /// What it was asked for.
        command: String,
        /// What it says.
        reason: String,
    },
    /// A hook that is no shell script is there already.
    #[error("{} is no shell script", file.display())]
    ForeignHook {
        /// The hook.
        file: PathBuf,
    },
    /// A glob that fits nearly every name.
    #[error("the glob {glob:?} cannot be searched for")]
    BadGlob {
        /// The glob.
        glob: String,
    },
    /// The store cannot be opened.
    #[error(transparent)]
    Adapter(#[from] AdapterError),
}

impl ConnectError {
    pub(crate) fn file(action: &'static str, path: impl Into<PathBuf>, error: &std::io::Error) -> Self {
        ConnectError::File { action, path: path.into(), reason: error.to_string() }
    }

    /// Returns a stable word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            ConnectError::NoConfigFile { .. } => "no_config_file",
            ConnectError::Config { .. } => "broken_config",
            ConnectError::File { .. } => "file",
            ConnectError::NoEnvs => "no_envs",
            ConnectError::EnvNotChosen { .. } => "no_env_chosen",
            ConnectError::UnknownEnv { .. } => "unknown_env",
            ConnectError::AmbientGated { .. } => "ambient_gated_env",
            ConnectError::VariableUnset { .. } => "variable_unset",
            ConnectError::BadUri { .. } => "bad_uri",
            ConnectError::NoAdapter { .. } => "no_adapter",
            ConnectError::NoAuthor => "no_author",
            ConnectError::BadAuthor { .. } => "bad_author",
            ConnectError::Git { .. } => "git",
            ConnectError::ForeignHook { .. } => "foreign_hook",
            ConnectError::BadGlob { .. } => "bad_glob",
            ConnectError::Adapter(_) => "adapter",
        }
    }

    /// Returns what to type or do next.
    pub fn hint(&self) -> String {
        match self {
            ConnectError::NoConfigFile { .. } => "start a project here with: cfg init".to_owned(),
            ConnectError::Config { source, .. } => source.hint().to_owned(),
            ConnectError::File { action, .. } => format!("check that this user may {action} it"),
            ConnectError::NoEnvs => format!("add [env.dev] with database and uri to {FILE_NAME}"),
            ConnectError::EnvNotChosen { known } => {
                let first = known.first().map_or("dev", String::as_str);
                format!("choose one: --env {first}, or set CFG_ENV")
            }
            ConnectError::UnknownEnv { name, .. } if name == PREVIEW => format!(
                "add [env.{PREVIEW}] to {FILE_NAME}: database and uri of a database of its own, with the live tables \
                 in it; then run: cfg init --env {PREVIEW}"
            ),
            ConnectError::UnknownEnv { source_name, .. } => format!("correct {source_name}"),
            ConnectError::AmbientGated { env } => {
                format!("say it in the call: --env {env}   or set CFG_CONFIRM_AMBIENT_PROD=1 beside CFG_ENV")
            }
            ConnectError::VariableUnset { variable, .. } => format!("set it: export {variable}=…"),
            ConnectError::BadUri { hint, .. } | ConnectError::BadAuthor { hint, .. } => (*hint).to_owned(),
            ConnectError::NoAdapter { .. } => "use database = \"sqlite\" or \"memory\"".to_owned(),
            ConnectError::NoAuthor => "say who you are: --author you@example.com, or set CFG_AUTHOR".to_owned(),
            ConnectError::Git { .. } => "run it inside a git repository with at least one commit".to_owned(),
            ConnectError::ForeignHook { .. } => "call from it: cfg hooks run --env ENV".to_owned(),
            ConnectError::BadGlob { .. } => {
                "write at least three letters of the name: instructions_backup_*".to_owned()
            }
            ConnectError::Adapter(AdapterError::Setup { hint, .. }) => hint.clone(),
            ConnectError::Adapter(_) => "check that the database is there and may be used".to_owned(),
        }
    }
}

impl From<ConnectError> for cfg_engine::Error {
    fn from(error: ConnectError) -> Self {
        let (code, problem, hint) = (error.code(), error.to_string(), error.hint());
        match error {
            ConnectError::Adapter(error) => error.into(),
            ConnectError::Config { .. } => cfg_engine::Error::Setup { problem, hint },
            _ => cfg_engine::Error::refused(code, problem, hint),
        }
    }
}
