//! `refs check`: which code reads fields that are about to go.

use std::path::{Path, PathBuf};

use cfg_engine::document::Object;
use ignore::WalkBuilder;
use regex::bytes::Regex;

use crate::error::ConnectError;

/// A place in the code that names a field.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reader {
    /// The file, relative to the project's folder where it is below it.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: u64,
    /// The field as it is written there.
    pub field: String,
}

impl Reader {
    /// Returns `{file, line, field}`.
    pub fn to_object(&self) -> Object {
        Object::new()
            .with("file", self.file.to_string_lossy().into_owned())
            .with("line", self.line)
            .with("field", self.field.as_str())
    }
}

/// What was searched, and what was found.
#[derive(Debug, Clone, Default)]
pub struct Readers {
    /// The places, by file and line.
    pub found: Vec<Reader>,
    /// How many files were read.
    pub files: u64,
}

/// A file that is larger than this is no source code.
const LARGEST: u64 = 8 * 1024 * 1024;
/// A pattern must say so much literally: a shorter one finds everything.
const LITERAL: usize = 3;

/// Searches the folders of `[code_search]`, or the project's own where none is named, for text that a glob of
/// field names fits. What git ignores, hidden files and binary files are passed over.
///
/// # Errors
///
/// [`ConnectError::File`] for a folder that is not there: what cannot be searched is not known to be free of
/// readers. [`ConnectError::BadGlob`] for a glob that fits everything.
pub fn find_readers(root: &Path, roots: &[String], globs: &[String]) -> Result<Readers, ConnectError> {
    let patterns = globs.iter().map(|glob| pattern(glob)).collect::<Result<Vec<_>, _>>()?;
    let own = [".".to_owned()];
    let roots = if roots.is_empty() { &own[..] } else { roots };
    let mut readers = Readers::default();
    for folder in roots {
        let folder = root.join(folder);
        if !folder.exists() {
            let missing = std::io::Error::from(std::io::ErrorKind::NotFound);
            return Err(ConnectError::file("search", folder, &missing));
        }
        for entry in WalkBuilder::new(&folder).build() {
            let entry = entry.map_err(|e| ConnectError::File {
                action: "search",
                path: folder.clone(),
                reason: e.to_string(),
            })?;
            if !entry.file_type().is_some_and(|kind| kind.is_file()) {
                continue;
            }
            if entry.metadata().is_ok_and(|metadata| metadata.len() <= LARGEST) {
                search(entry.path(), root, &patterns, &mut readers)?;
            }
        }
    }
    readers.found.sort();
    readers.found.dedup();
    Ok(readers)
}

fn search(path: &Path, root: &Path, patterns: &[Regex], readers: &mut Readers) -> Result<(), ConnectError> {
    let text = std::fs::read(path).map_err(|e| ConnectError::file("read", path, &e))?;
    if text.contains(&0) {
        return Ok(());
    }
    readers.files += 1;
    let shown = path.strip_prefix(root).unwrap_or(path);
    let shown = shown.strip_prefix(".").unwrap_or(shown);
    for (n, line) in text.split(|byte| *byte == b'\n').enumerate() {
        for found in patterns.iter().flat_map(|pattern| pattern.find_iter(line)) {
            readers.found.push(Reader {
                file: shown.to_owned(),
                line: n as u64 + 1,
                field: String::from_utf8_lossy(found.as_bytes()).into_owned(),
            });
        }
    }
    Ok(())
}

/// Makes of a glob for field names what finds such names in text.
fn pattern(glob: &str) -> Result<Regex, ConnectError> {
    let mut out = String::new();
    let mut literal = 0;
    for c in glob.chars() {
        match c {
            '*' => out.push_str(r"\w*"),
            '?' => out.push_str(r"\w"),
            '{' => out.push_str("(?:"),
            '}' => out.push(')'),
            ',' => out.push('|'),
            '[' | ']' | '-' => out.push(c),
            '!' => out.push('^'),
            other => {
                literal += 1;
                out.push_str(&regex::escape(&other.to_string()));
            }
        }
    }
    let bounded = if glob.starts_with(|c: char| c.is_alphanumeric() || c == '_') { r"\b" } else { "" };
    let regex = Regex::new(&format!("{bounded}{out}")).ok().filter(|_| literal >= LITERAL);
    regex.ok_or_else(|| ConnectError::BadGlob { glob: glob.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_are_found_and_named() {
        let dir = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &[u8]| {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            std::fs::write(path, text).expect("a file");
        };
        write("app/loader.py", b"x = 1\nold = doc['instructions_backup_2024']\nnot_instructions_backup_1\n");
        write("app/image.bin", b"instructions_backup_1\0");
        write(".cfg.toml", b"ignore_patterns = [\"instructions_backup_*\"]");
        write("other/reader.ts", b"instructions_backup_1");
        let globs = ["instructions_backup_*".to_owned()];
        let found = |roots: &[&str]| {
            let roots: Vec<String> = roots.iter().map(|root| (*root).to_owned()).collect();
            let readers = find_readers(dir.path(), &roots, &globs).expect("a search");
            let places = readers.found.iter();
            places.map(|r| format!("{}:{} {}", r.file.display(), r.line, r.field)).collect::<Vec<_>>()
        };
        assert_eq!(found(&["app"]), ["app/loader.py:2 instructions_backup_2024"]);
        assert_eq!(found(&[]).len(), 2);
        assert_eq!(find_readers(dir.path(), &["nowhere".to_owned()], &globs).expect_err("missing").code(), "file");
        for glob in ["*", "a*", "??"] {
            assert_eq!(find_readers(dir.path(), &[], &[glob.to_owned()]).expect_err(glob).code(), "bad_glob");
        }
    }
}
