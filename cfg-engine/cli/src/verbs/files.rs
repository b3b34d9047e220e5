//! Files that people and scripts hand over.

use std::io::Read as _;
use std::path::Path;

use cfg_engine::engine::parse_document;
use cfg_engine::plan::Base;
use cfg_engine::{Error, Value};

/// More than any store takes as one document.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// Reads a text file, or standard input for `-`.
pub(crate) fn read(path: &Path) -> Result<String, Error> {
    let refuse = |reason: &str| {
        Error::refused("file", format!("cannot read {}: {reason}", path.display()), "check the file's name and content")
    };
    let mut bytes = Vec::new();
    let size = match path.as_os_str() == "-" {
        true => std::io::stdin().lock().take(MAX_BYTES + 1).read_to_end(&mut bytes),
        false => std::fs::File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes)),
    };
    let size = size.map_err(|e| refuse(&e.to_string()))?;
    if size as u64 > MAX_BYTES {
        return Err(refuse("it is larger than 64 MB"));
    }
    String::from_utf8(bytes).map_err(|_| refuse("it is not UTF-8"))
}

/// Reads a document with the base that it may carry.
pub(crate) fn document(path: &Path) -> Result<(Value, Option<Base>), Error> {
    let text = read(path)?;
    parse_document(&text).map_err(|error| in_file(error, path))
}

/// Reads a JSON value such as a patch.
pub(crate) fn value(path: &Path) -> Result<Value, Error> {
    let text = read(path)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    Value::from_interchange(text).map_err(|error| in_file(error.into(), path))
}

/// Names the file in what is wrong with its text.
fn in_file(error: Error, path: &Path) -> Error {
    match error {
        Error::Refused { problem, hint, record, code } if path.as_os_str() != "-" => {
            Error::Refused { problem: format!("{}: {problem}", path.display()), hint, record, code }
        }
        other => other,
    }
}
