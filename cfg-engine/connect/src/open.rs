//! [`open`]: from a folder to an opened project. [`locate`] is the part of it that needs no store.

use std::fmt;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use cfg_engine::Project;
use cfg_engine::adapter::StorageAdapter;
use cfg_engine::config::{ConfigFile, EnvConfig, Settings};
use cfg_engine::history::{Author, AuthorClass};

use crate::adapters::{Create, open_adapter};
use crate::alarm::Messenger;
use crate::approve::os_user_by_id;
use crate::author::{AuthorRules, AuthorSource, Surroundings, find_author};
use crate::choose::{EnvSource, choose_env, confirms_ambient};
use crate::error::ConnectError;
use crate::find::{find_config, read_config};
use crate::staging::Staging;
use crate::variables::Variables;

/// How a project is opened.
#[derive(Debug, Clone, Default)]
pub struct OpenOptions {
    /// The configuration file; otherwise it is looked for.
    pub config_file: Option<PathBuf>,
    /// Where the search for it begins; the current folder if empty.
    pub start_dir: PathBuf,
    /// The env, as `--env` says it.
    pub env: Option<String>,
    /// The author's name, as `--author` says it.
    pub author: Option<String>,
    /// What the author declares to be: an agent, a pipeline.
    pub author_class: Option<AuthorClass>,
    /// Whether somebody sits at a terminal.
    pub surroundings: Surroundings,
    /// Whether a missing database is made.
    pub create: Create,
    /// Where environment variables are looked up.
    pub variables: Variables,
}

impl OpenOptions {
    /// Looks for the configuration from a folder upwards.
    pub fn from_dir(start_dir: impl Into<PathBuf>) -> Self {
        OpenOptions { start_dir: start_dir.into(), ..OpenOptions::default() }
    }
}

/// A project that was found: what its file says, and the chosen env. No store is open.
pub struct Located {
    /// What the file says.
    pub config: ConfigFile,
    /// The file.
    pub config_file: PathBuf,
    /// The folder of the file.
    pub root: PathBuf,
    /// The chosen env.
    pub env: EnvConfig,
    /// Who chose it.
    pub env_source: EnvSource,
    options: OpenOptions,
    author: OnceLock<(Author, AuthorSource)>,
}

/// An opened project: what was found, and its store.
pub struct Opened {
    located: Located,
    /// The store of the env.
    pub adapter: Arc<dyn StorageAdapter>,
}

impl Deref for Opened {
    type Target = Located;

    fn deref(&self) -> &Located {
        &self.located
    }
}

impl fmt::Debug for Located {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Located").field("config_file", &self.config_file).field("env", &self.env.name).finish()
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("config_file", &self.config_file).field("env", &self.env.name).finish()
    }
}

/// Finds and reads `.cfg.toml`, chooses the env and opens its store.
///
/// # Errors
///
/// [`ConnectError`]; each has a [`hint`](ConnectError::hint).
///
/// # Examples
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// use cfg_engine_connect::{OpenOptions, open};
/// std::fs::write(dir.path().join(".cfg.toml"), r#"
///     [[collection]]
///     name = "prompts"
///     id_field = "id"
///
///     [env.dev]
///     database = "memory"
/// "#)?;
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let opened = open(OpenOptions::from_dir(dir.path())).await?;
/// assert_eq!(opened.env.name.as_str(), "dev");
/// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub async fn open(options: OpenOptions) -> Result<Opened, ConnectError> {
    let create = options.create;
    let located = locate(options)?;
    let Located { config, env, root, options, .. } = &located;
    let adapter = open_adapter(config, env, root, create, &options.variables).await?;
    tracing::debug!(env = %env.name, source = located.env_source.as_str(), "opened");
    Ok(Opened { located, adapter })
}

/// Finds and reads `.cfg.toml` and chooses the env, as [`open`] does, and opens nothing.
///
/// # Errors
///
/// [`ConnectError`]; each has a [`hint`](ConnectError::hint).
pub fn locate(options: OpenOptions) -> Result<Located, ConnectError> {
    let start = if options.start_dir.as_os_str().is_empty() { Path::new(".") } else { &options.start_dir };
    let config_file = match &options.config_file {
        Some(file) => start.join(file),
        None => find_config(start).ok_or_else(|| ConnectError::NoConfigFile { start: start.to_owned() })?,
    };
    let config_file = std::path::absolute(&config_file).map_err(|e| ConnectError::file("find", &config_file, &e))?;
    let root = config_file.parent().unwrap_or(start).to_owned();
    let config = read_config(&config_file)?;
    let (env, env_source) = choose_env(&config, options.env.as_deref(), &options.variables)?;
    let env = env.clone();
    Ok(Located { config, config_file, root, env, env_source, options, author: OnceLock::new() })
}

impl Located {
    /// Returns the author and where the name came from. Found once, when first asked for: it may
    /// take a call of git.
    ///
    /// # Errors
    ///
    /// [`ConnectError::NoAuthor`] or [`ConnectError::BadAuthor`].
    pub fn author(&self) -> Result<&(Author, AuthorSource), ConnectError> {
        if let Some(found) = self.author.get() {
            return Ok(found);
        }
        let found = find_author(AuthorRules {
            asked: self.options.author.as_deref(),
            declared_class: self.options.author_class,
            surroundings: self.options.surroundings,
            from: self.config.author_from,
            root: &self.root,
            variables: &self.options.variables,
        })?;
        Ok(self.author.get_or_init(|| found))
    }

    /// Returns what the engine needs to know, for changes by `author`.
    pub fn settings(&self, author: Author) -> Settings {
        let mut settings = Settings::new(self.env.name.clone(), author);
        settings.gated = self.env.needs_approval;
        settings.rules = self.env.rules.clone();
        settings.ambient = self.env_source == EnvSource::Variable && !confirms_ambient(&self.options.variables);
        settings.operator = os_user_by_id();
        settings.require_base = self.config.requires_base(&self.env);
        settings.secrets = self.config.secrets.rules.clone();
        settings.on_secret = self.config.secrets.on_match;
        settings.hostname = hostname(&self.options.variables);
        settings
    }

    /// Returns the staged documents of the project.
    pub fn staging(&self) -> Staging {
        Staging::new(&self.root)
    }
}

impl Opened {
    /// Returns the engine on this store, with the author that [`author`](Located::author) finds.
    ///
    /// # Errors
    ///
    /// As [`author`](Located::author).
    pub fn project(&self) -> Result<Project, ConnectError> {
        let (author, _) = self.author()?.clone();
        let project = Project::new(Arc::clone(&self.adapter), self.settings(author));
        Ok(project.with_alarm(Arc::new(Messenger::new(self.options.variables.clone()))))
    }
}

/// Returns the machine's name, where the operating system gives it away cheaply.
fn hostname(variables: &Variables) -> Option<String> {
    let from_system = || std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name = ["HOSTNAME", "COMPUTERNAME"].into_iter().find_map(|name| variables.get(name)).or_else(from_system)?;
    let name = name.trim();
    let fine = !name.is_empty() && name.len() <= 255 && !name.chars().any(char::is_control);
    fine.then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use cfg_engine::config::FILE_NAME;

    use super::*;
    use crate::starter::starter_config;

    fn project(text: &str) -> (tempfile::TempDir, OpenOptions) {
        let dir = tempfile::tempdir().expect("a folder");
        fs::write(dir.path().join(FILE_NAME), text).expect("write");
        fs::create_dir(dir.path().join("deep")).expect("a folder");
        let mut options = OpenOptions::from_dir(dir.path().join("deep"));
        options.variables = Variables::fixed([("USER", "ada"), ("HOSTNAME", "box")]);
        (dir, options)
    }

    const MEMORY: &str = "[[collection]]\nname = \"prompts\"\nid_field = \"id\"\n[author]\nfrom = \"os\"\n\
                          [env.prod]\ndatabase = \"memory\"\nneeds_approval = true\n";

    #[tokio::test]
    async fn a_project_is_found_from_below() {
        let (dir, options) = project(MEMORY);
        let opened = open(options).await.expect("open");
        assert_eq!(opened.root, dir.path());
        assert_eq!((opened.env.name.as_str(), opened.env_source), ("prod", EnvSource::Only));
        let (author, source) = opened.author().expect("an author");
        assert_eq!((author.id.as_str(), author.class, *source), ("ada", AuthorClass::Pipeline, AuthorSource::Os));
        let settings = opened.settings(author.clone());
        assert!(settings.gated && settings.require_base);
        assert_eq!(settings.hostname.as_deref(), Some("box"));
        assert!(opened.project().is_ok());
    }

    #[tokio::test]
    async fn a_file_can_be_named() {
        let (dir, mut options) = project("broken = 1");
        fs::write(dir.path().join("other.toml"), MEMORY).expect("write");
        options.config_file = Some("../other.toml".into());
        assert!(open(options.clone()).await.is_ok());
        options.config_file = Some(dir.path().join("other.toml"));
        assert_eq!(open(options.clone()).await.expect("open").root, dir.path());
        options.config_file = Some("none.toml".into());
        assert_eq!(open(options.clone()).await.expect_err("none").code(), "file");
        options.config_file = None;
        let error = open(options).await.expect_err("broken");
        assert_eq!(error.code(), "broken_config");
        assert!(error.to_string().contains("line 1"), "{error}");
    }

    #[tokio::test]
    async fn a_missing_sqlite_file_is_made_only_when_asked() {
        let (dir, mut options) = project(&starter_config(cfg_engine::config::Database::Sqlite, "x"));
        assert_eq!(open(options.clone()).await.expect_err("missing").code(), "adapter");
        assert!(!dir.path().join("app.db").exists());
        options.create = Create::IfMissing;
        open(options).await.expect("made");
        assert!(dir.path().join("app.db").exists());
    }

    #[tokio::test]
    async fn nothing_shown_has_a_value_of_a_variable() {
        let (_dir, mut options) = project(MEMORY);
        options.variables = Variables::fixed([("USER", "hunter2")]);
        assert!(!format!("{options:?} {:?}", open(options.clone()).await.expect("open")).contains("hunter2"));
    }
}
