//! Finding and reading `.cfg.toml`.

use std::fs;
use std::path::{Path, PathBuf};

use cfg_engine::config::{ConfigFile, FILE_NAME};

use crate::error::ConnectError;

/// The largest configuration that is read.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// Returns the `.cfg.toml` in `start` or the nearest folder above it.
pub fn find_config(start: &Path) -> Option<PathBuf> {
    let start = std::path::absolute(start).ok()?;
    start.ancestors().map(|folder| folder.join(FILE_NAME)).find(|file| file.is_file())
}

/// Reads and checks a configuration file.
///
/// # Errors
///
/// [`ConnectError::File`] or [`ConnectError::Config`].
pub fn read_config(path: &Path) -> Result<ConfigFile, ConnectError> {
    let refuse = |reason: &str| ConnectError::File { action: "read", path: path.to_owned(), reason: reason.to_owned() };
    let size = fs::metadata(path).map_err(|e| ConnectError::file("read", path, &e))?.len();
    if size > MAX_BYTES {
        return Err(refuse("it is larger than 4 MB"));
    }
    let bytes = fs::read(path).map_err(|e| ConnectError::file("read", path, &e))?;
    let text = String::from_utf8(bytes).map_err(|_| refuse("it is not UTF-8"))?;
    ConfigFile::parse(&text).map_err(|source| ConnectError::Config { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_file_above_is_found() {
        let dir = tempfile::tempdir().expect("a folder");
        let deep = dir.path().join("a/b/c");
        fs::create_dir_all(&deep).expect("folders");
        fs::write(dir.path().join(FILE_NAME), "").expect("a file");
        assert_eq!(find_config(&deep), Some(dir.path().join(FILE_NAME)));
        fs::write(dir.path().join("a").join(FILE_NAME), "").expect("a nearer file");
        assert_eq!(find_config(&deep), Some(dir.path().join("a").join(FILE_NAME)));
        fs::create_dir(deep.join(FILE_NAME)).expect("a folder of that name is no file");
        assert_eq!(find_config(&deep), Some(dir.path().join("a").join(FILE_NAME)));
    }

    #[test]
    fn mistakes_name_the_file() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join(FILE_NAME);
        assert_eq!(read_config(&path).expect_err("missing").code(), "file");
        fs::write(&path, "[project]\nnme = 1\n").expect("write");
        let error = read_config(&path).expect_err("unknown key");
        assert!(error.to_string().contains(".cfg.toml, line 2: project.nme"), "{error}");
        fs::write(&path, b"a = \"\xff\"").expect("write");
        assert!(read_config(&path).expect_err("not UTF-8").to_string().contains("UTF-8"));
    }
}
