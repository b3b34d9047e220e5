//! Staged documents: `.cfg/staged/<env>/<record>.json`, readable by their owner alone.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use cfg_engine::Value;
use cfg_engine::adapter::HeadRef;
use cfg_engine::document::{Dialect, EntryId, Object, Oid};
use cfg_engine::history::{CollectionName, EnvName, IdKey, RecordKey, Seq, Timestamp};

use crate::file_names::{encode, record_file_stem};

/// The folder of everything the tool keeps beside the file.
pub const STATE_FOLDER: &str = ".cfg";

/// The largest staged file that is read: more than a store takes as one document.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// A document that waits to be committed.
#[derive(Debug, Clone, PartialEq)]
pub struct Staged {
    /// Which record, in which env it was staged.
    pub record: RecordKey,
    /// HEAD when the document was read; none where there was no history.
    pub base: Option<HeadRef>,
    /// When it was staged.
    pub staged_at: Timestamp,
    /// The document, secrets as markers unless they were given anew.
    pub doc: Value,
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
            StagingError::OtherEnv { .. } => "staged_in_other_env",
        }
    }

    /// Returns what to do next.
    pub fn hint(&self) -> String {
        match self {
            StagingError::File { action, .. } => format!("check that this user may {action} it"),
            StagingError::Outside { .. } => format!("remove the link; {STATE_FOLDER} must be a folder of the project"),
            StagingError::Broken { path, .. } => format!("remove {} and stage the change again", path.display()),
            StagingError::OtherEnv { record, staged_in, .. } => {
                format!(
                    "commit it there: --env {staged_in}   or drop it: cfg edit --abort {} --env {staged_in}",
                    record.id
                )
            }
        }
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
        let folder = self.folder(&staged.record.env);
        let mut made = self.root.clone();
        for part in folder.strip_prefix(&self.root).unwrap_or(&folder) {
            made.push(part);
            private_folder(&made).map_err(|e| StagingError::file("make", &made, &e))?;
        }
        self.check_inside(&folder)?;
        let path = self.path(&staged.record);
        let write = || -> std::io::Result<()> {
            // The temporary file is made with mode 0600.
            let mut file = tempfile::Builder::new().prefix(".staging-").tempfile_in(&folder)?;
            file.write_all(staged.to_text().as_bytes())?;
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
        if staged.record != *record {
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
    pub fn list(&self, env: &EnvName) -> Result<Vec<Result<Staged, StagingError>>, StagingError> {
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
        Ok(paths.into_iter().filter_map(|path| self.read_listed(path, env).transpose()).collect())
    }

    fn read_listed(&self, path: PathBuf, env: &EnvName) -> Result<Option<Staged>, StagingError> {
        let Some(staged) = self.read(&path)? else { return Ok(None) };
        check_env(&staged, env)?;
        if self.path(&staged.record) != path {
            return Err(StagingError::Broken { path, problem: "its name is that of another record" });
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
    if staged.record.env == *wanted {
        return Ok(());
    }
    Err(StagingError::OtherEnv {
        record: staged.record.clone(),
        staged_in: staged.record.env.clone(),
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
    /// Writes the file: `$cfg` says what it is, `doc` is the document in interchange form.
    fn to_text(&self) -> String {
        let record = &self.record;
        let base = self.base.map(|base| {
            Object::new()
                .with("seq", base.seq.0)
                .with("oid", base.oid.map(|oid| oid.to_hex()))
                .with("entry_id", base.entry_id.to_hex())
        });
        let about = Object::new()
            .with("record", record.to_string())
            .with("env", record.env.as_str())
            .with("collection", record.collection.as_str())
            .with("config_id", record.id.to_value())
            .with("base", base)
            .with("staged_at", self.staged_at.to_string());
        let file = Object::new().with("$cfg", about).with("doc", self.doc.clone());
        let mut text = Value::Object(file).to_text(Dialect::Interchange, Some(2));
        text.push('\n');
        text
    }

    fn from_text(text: &str) -> Result<Self, &'static str> {
        let file = Value::from_interchange(text).map_err(|_| "it is not JSON")?;
        let about = file.get("$cfg").and_then(Value::as_object).ok_or("it has no $cfg")?;
        let text = |key: &str| about.get(key).and_then(Value::as_str);
        let record = RecordKey {
            env: text("env").and_then(|env| EnvName::new(env).ok()).ok_or("it names no env")?,
            collection: text("collection").and_then(|c| CollectionName::new(c).ok()).ok_or("it names no collection")?,
            id: about.get("config_id").and_then(|id| IdKey::from_value(id).ok()).ok_or("it names no record")?,
        };
        let base = match about.get("base") {
            None | Some(Value::Null) => None,
            Some(base) => Some(head(base).ok_or("its base cannot be read")?),
        };
        let staged_at =
            text("staged_at").and_then(|time| Timestamp::parse_instant(time).ok()).ok_or("it has no time")?;
        let doc = file.get("doc").ok_or("it has no doc")?.clone();
        Ok(Staged { record, base, staged_at, doc })
    }
}

fn head(base: &Value) -> Option<HeadRef> {
    let seq = u64::try_from(base.get("seq")?.as_i64()?).ok()?;
    let oid = match base.get("oid") {
        None | Some(Value::Null) => None,
        Some(oid) => Some(oid.as_str()?.parse::<Oid>().ok()?),
    };
    let entry_id = base.get("entry_id")?.as_str()?.parse::<EntryId>().ok()?;
    Some(HeadRef { seq: Seq(seq), oid, entry_id })
}

#[cfg(test)]
mod tests;
