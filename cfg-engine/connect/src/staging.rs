//! Staged documents: `.cfg/staged/<env>/<record>.json`, readable by their owner alone.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use cfg_engine::Value;
use cfg_engine::document::Dialect;
use cfg_engine::engine::Status;
use cfg_engine::history::{EnvName, RecordKey, Timestamp};
use cfg_engine::plan::Base;

use crate::file_names::{encode, record_file_stem};

/// The folder of everything the tool keeps beside the file.
pub const STATE_FOLDER: &str = ".cfg";

/// The member that says what a document in a file is.
const ABOUT: &str = "$cfg";

const STAGED_AT: &str = "staged_at";

/// The largest staged file that is read: more than a store takes as one document.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// A document that waits to be committed.
#[derive(Debug, Clone, PartialEq)]
pub struct Staged {
    /// Which record, in which env it was staged, and HEAD when it was read.
    pub base: Base,
    /// When it was staged.
    pub staged_at: Timestamp,
    /// The document, secrets as markers unless they were given anew.
    pub doc: Value,
}

/// A file in the folder of staged documents.
#[derive(Debug, Clone)]
pub struct StagedFile {
    /// Which.
    pub path: PathBuf,
    /// What is staged in it, or why it cannot be used.
    pub staged: Result<Staged, StagingError>,
}

/// What is staged in an env.
#[derive(Debug, Clone, Default)]
pub struct Surveyed {
    /// The records with a staged document.
    pub staged: cfg_engine::engine::Staged,
    /// The files that cannot be used, and why.
    unusable: Vec<(PathBuf, StagingError)>,
}

/// Why a staged document cannot be written or used.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StagingError {
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
    /// A symbolic link leads out of the folder.
    #[error("{} leads out of the project's folder", path.display())]
    Outside {
        /// Which.
        path: PathBuf,
    },
    /// Not a file that staging wrote.
    #[error("{} is not a staged document: {problem}", path.display())]
    Broken {
        /// Which.
        path: PathBuf,
        /// What is wrong, without values.
        problem: &'static str,
    },
    /// A document that cannot be staged.
    #[error("{record} cannot be staged: {problem}")]
    Unusable {
        /// Which record.
        record: RecordKey,
        /// What is wrong, without values.
        problem: &'static str,
    },
    /// The document was staged in another env.
    #[error("{record} was staged in env {staged_in}, not in {wanted}")]
    OtherEnv {
        /// Which record.
        record: RecordKey,
        /// Where it was staged.
        staged_in: EnvName,
        /// Where it was to be used.
        wanted: EnvName,
    },
}

impl StagingError {
    fn file(action: &'static str, path: &Path, error: &std::io::Error) -> Self {
        StagingError::File { action, path: path.to_owned(), reason: error.to_string() }
    }

    /// Returns a stable word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            StagingError::File { .. } => "file",
            StagingError::Outside { .. } => "staging_outside",
            StagingError::Broken { .. } => "staging_broken",
            StagingError::Unusable { .. } => "unstageable",
            StagingError::OtherEnv { .. } => "staged_in_other_env",
        }
    }

    /// Returns what to do next.
    pub fn hint(&self) -> String {
        match self {
            StagingError::File { action, .. } => format!("check that this user may {action} it"),
            StagingError::Outside { .. } => format!("remove the link; {STATE_FOLDER} must be a folder of the project"),
            StagingError::Broken { path, .. } => format!("remove {} and stage the change again", path.display()),
            StagingError::Unusable { .. } => "commit it with --from instead".to_owned(),
            StagingError::OtherEnv { record, staged_in, .. } => {
                format!(
                    "commit it there: --env {staged_in}   or drop it: cfg edit --abort {} --env {staged_in}",
                    record.id
                )
            }
        }
    }
}

impl From<StagingError> for cfg_engine::Error {
    fn from(error: StagingError) -> Self {
        cfg_engine::Error::refused(error.code(), error.to_string(), error.hint())
    }
}

/// The staged documents of a project.
#[derive(Debug, Clone)]
pub struct Staging {
    root: PathBuf,
}

impl Staging {
    /// Takes the project's folder, the one that holds `.cfg.toml`. Touches nothing yet.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Staging { root: root.into() }
    }

    /// Returns the file in which a record's document is or would be staged.
    pub fn path(&self, record: &RecordKey) -> PathBuf {
        self.folder(&record.env).join(format!("{}.json", record_file_stem(&record.collection, &record.id)))
    }

    fn folder(&self, env: &EnvName) -> PathBuf {
        self.root.join(STATE_FOLDER).join("staged").join(encode(env.as_str()))
    }

    /// Stages a document, replacing what was staged for the record. All of it is written or nothing.
    ///
    /// # Errors
    ///
    /// [`StagingError::File`] or [`StagingError::Outside`].
    pub fn put(&self, staged: &Staged) -> Result<PathBuf, StagingError> {
        let folder = self.folder(&staged.record().env);
        let path = self.path(staged.record());
        let text =
            staged.to_text().map_err(|problem| StagingError::Unusable { record: staged.record().clone(), problem })?;
        let mut made = self.root.clone();
        for part in folder.strip_prefix(&self.root).unwrap_or(&folder) {
            made.push(part);
            private_folder(&made).map_err(|e| StagingError::file("make", &made, &e))?;
            self.check_inside(&made)?;
        }
        let write = || -> std::io::Result<()> {
            // The temporary file is made with mode 0600.
            let mut file = tempfile::Builder::new().prefix(".staging-").tempfile_in(&folder)?;
            file.write_all(text.as_bytes())?;
            file.as_file().sync_all()?;
            file.persist(&path).map_err(|e| e.error)?;
            Ok(())
        };
        write().map_err(|e| StagingError::file("write", &path, &e))?;
        Ok(path)
    }

    /// Returns what is staged for a record.
    ///
    /// # Errors
    ///
    /// [`StagingError::Broken`], [`StagingError::OtherEnv`] for a file that was copied from another
    /// env, [`StagingError::Outside`], [`StagingError::File`].
    pub fn get(&self, record: &RecordKey) -> Result<Option<Staged>, StagingError> {
        let path = self.path(record);
        let Some(staged) = self.read(&path)? else { return Ok(None) };
        check_env(&staged, &record.env)?;
        if staged.record() != record {
            return Err(StagingError::Broken { path, problem: "it holds another record" });
        }
        Ok(Some(staged))
    }

    /// Returns what is staged in an env, by file name. A file that cannot be used is an error in its
    /// place, so that one does not hide the others.
    ///
    /// # Errors
    ///
    /// [`StagingError::File`] or [`StagingError::Outside`] for the folder as a whole.
    pub fn list(&self, env: &EnvName) -> Result<Vec<StagedFile>, StagingError> {
        let folder = self.folder(env);
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(StagingError::file("read", &folder, &e)),
        };
        self.check_inside(&folder)?;
        let mut paths = Vec::new();
        for entry in entries {
            let path = entry.map_err(|e| StagingError::file("read", &folder, &e))?.path();
            let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
            if !hidden && path.extension().is_some_and(|extension| extension == "json") {
                paths.push(path);
            }
        }
        paths.sort();
        let listed = paths.into_iter().filter_map(|path| {
            let staged = self.read_listed(&path, env).transpose()?;
            Some(StagedFile { path, staged })
        });
        Ok(listed.collect())
    }

    /// Returns everything that is staged in an env, to be committed together.
    ///
    /// # Errors
    ///
    /// A refusal that names every file that cannot be used.
    pub fn all(&self, env: &EnvName) -> Result<Vec<Staged>, cfg_engine::Error> {
        let (found, broken): (Vec<_>, Vec<_>) =
            self.list(env)?.into_iter().map(|file| file.staged).partition(Result::is_ok);
        let broken: Vec<StagingError> = broken.into_iter().filter_map(Result::err).collect();
        match broken.as_slice() {
            [] => Ok(found.into_iter().flatten().collect()),
            [only] => Err(only.clone().into()),
            several => {
                let lines: Vec<String> = several.iter().map(ToString::to_string).collect();
                Err(cfg_engine::Error::refused(
                    "staging_broken",
                    format!(
                        "{} staged files cannot be used, and nothing was committed:\n{}",
                        several.len(),
                        lines.join("\n")
                    ),
                    "mend or remove them and try again, or name the records that are to be committed",
                ))
            }
        }
    }

    /// Returns which records of an env have a staged document, and what cannot be used. Nothing of it is an
    /// error: whoever compares live and history goes on.
    pub fn survey(&self, env: &EnvName) -> Surveyed {
        let mut surveyed = Surveyed::default();
        match self.list(env) {
            Ok(files) => {
                for file in files {
                    match file.staged {
                        Ok(staged) => drop(surveyed.staged.insert(staged.record().clone())),
                        Err(error) => surveyed.unusable.push((file.path, error)),
                    }
                }
            }
            Err(error) => surveyed.unusable.push((PathBuf::new(), error)),
        }
        surveyed
    }

    /// Puts what cannot be used into a status: into the row of its record, or beside the rows if everything
    /// was asked for.
    pub fn tell(&self, surveyed: Surveyed, status: &mut Status, everything: bool) {
        for (path, error) in surveyed.unusable {
            let is_its = |record: &RecordKey| self.path(record) == path;
            // Records that are not asked about keep theirs to themselves.
            if everything || status.rows.iter().any(|row| is_its(&row.record)) {
                let error = cfg_engine::Error::Setup { problem: error.to_string(), hint: error.hint() };
                status.staged_unusable(is_its, error);
            }
        }
    }

    fn read_listed(&self, path: &Path, env: &EnvName) -> Result<Option<Staged>, StagingError> {
        let Some(staged) = self.read(path)? else { return Ok(None) };
        check_env(&staged, env)?;
        if self.path(staged.record()) != path {
            return Err(StagingError::Broken { path: path.to_owned(), problem: "its name is that of another record" });
        }
        Ok(Some(staged))
    }

    /// Drops what is staged for a record; returns whether something was.
    ///
    /// # Errors
    ///
    /// [`StagingError::File`] or [`StagingError::Outside`].
    pub fn remove(&self, record: &RecordKey) -> Result<bool, StagingError> {
        let path = self.path(record);
        if !self.folder(&record.env).exists() {
            return Ok(false);
        }
        self.check_inside(&self.folder(&record.env))?;
        match fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(StagingError::file("remove", &path, &e)),
        }
    }

    fn read(&self, path: &Path) -> Result<Option<Staged>, StagingError> {
        let file = match fs::File::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(StagingError::file("read", path, &e)),
        };
        self.check_inside(path)?;
        let mut text = String::new();
        let size = file.take(MAX_BYTES + 1).read_to_string(&mut text);
        let size = size.map_err(|e| StagingError::file("read", path, &e))?;
        let broken = |problem| StagingError::Broken { path: path.to_owned(), problem };
        if size as u64 > MAX_BYTES {
            return Err(broken("it is larger than 64 MB"));
        }
        Staged::from_text(&text).map(Some).map_err(broken)
    }

    /// Refuses a path that links lead out of the project's own state folder.
    fn check_inside(&self, path: &Path) -> Result<(), StagingError> {
        let real = |path: &Path| fs::canonicalize(path).map_err(|e| StagingError::file("read", path, &e));
        let state = real(&self.root)?.join(STATE_FOLDER);
        if real(path)?.starts_with(&state) { Ok(()) } else { Err(StagingError::Outside { path: path.to_owned() }) }
    }
}

fn check_env(staged: &Staged, wanted: &EnvName) -> Result<(), StagingError> {
    if staged.record().env == *wanted {
        return Ok(());
    }
    Err(StagingError::OtherEnv {
        record: staged.record().clone(),
        staged_in: staged.record().env.clone(),
        wanted: wanted.clone(),
    })
}

/// Makes a folder that only its owner can enter, if it is not there.
fn private_folder(path: &Path) -> std::io::Result<()> {
    #[allow(unused_mut, reason = "changed on Unix only")]
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    match builder.create(path) {
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        result => result,
    }
}

impl Staged {
    /// Returns which record it is for.
    pub fn record(&self) -> &RecordKey {
        &self.base.record
    }

    /// Writes the file: the document with its base as first member, as every document in a file.
    fn to_text(&self) -> Result<String, &'static str> {
        let doc = self.doc.as_object().ok_or("the document is no object")?;
        if doc.contains_key(ABOUT) {
            return Err("the document has a member $cfg of its own");
        }
        let about = self.base.to_object().with(STAGED_AT, self.staged_at.to_string());
        let members = std::iter::once((ABOUT.to_owned(), Value::Object(about))).chain(doc.clone());
        let mut text = Value::Object(members.collect()).to_text(Dialect::Interchange, Some(2));
        text.push('\n');
        Ok(text)
    }

    fn from_text(text: &str) -> Result<Self, &'static str> {
        let mut doc = Value::from_interchange(text).map_err(|_| "it is not JSON")?;
        let about = doc.as_object_mut().and_then(|members| members.remove(ABOUT)).ok_or("it has no member $cfg")?;
        let about = about.as_object().ok_or("its member $cfg cannot be read")?;
        let base = Base::from_object(about).map_err(|_| "its member $cfg cannot be read")?;
        let staged_at = about.get(STAGED_AT).and_then(Value::as_str).and_then(|t| Timestamp::parse_instant(t).ok());
        Ok(Staged { base, staged_at: staged_at.ok_or("it does not say when it was staged")?, doc })
    }
}

#[cfg(test)]
mod tests;
