//! What must hold for any input of each parser.
//!
//! A function takes bytes and panics where something does not hold. The same functions are the targets of
//! cargo-fuzz (`targets/`), replay their corpus, run on generated input, and on a mutated corpus.

mod mutate;

use cfg_engine::adapter::MemoryAdapter;
use cfg_engine::config::{CollectionConfig, ConfigFile, Settings};
use cfg_engine::document::{
    FieldPath, FieldPolicy, canonical_bytes, diff, digest_json, json_patch, merge_patch, oid, parse_assignments,
};
use cfg_engine::engine::{HistoryImport, HistorySource, Options, parse_document};
use cfg_engine::history::{Author, AuthorClass, CollectionName, EnvName, IdKey, Reference, TagName, Timestamp};
use cfg_engine::{Project, Value};
use futures_util::FutureExt;

pub use mutate::Mutator;

/// A parser under test.
pub type Target = (&'static str, fn(&[u8]));

/// Every target by the name of its corpus.
pub const TARGETS: [Target; 7] = [
    ("canonical", canonical),
    ("extended", extended),
    ("references", references),
    ("paths", paths),
    ("config", config),
    ("history", history),
    ("patches", patches),
];

fn text(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data).ok()
}

/// JSON and its canonical form: reading what was written gives the same bytes and the same address, the short
/// way to the address agrees with the long one, and nothing that is refused is half read.
///
/// # Panics
///
/// Where that does not hold.
pub fn canonical(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let policy = FieldPolicy::default();
    let digest = digest_json(text, &policy, &["id".to_owned()]);
    let Ok(value) = Value::from_json(text) else {
        assert!(digest.is_none(), "the short way reads what the long way refuses");
        return;
    };
    let address = oid(&value, &policy);
    if let Some(digest) = digest {
        assert_eq!(Ok(digest.oid), address, "the short way has another address");
    }
    let written = Value::from_json(&value.to_json()).expect("what was written can be read");
    assert_eq!(oid(&written, &policy), address, "the address of what was written");
    let Ok(bytes) = canonical_bytes(&value, &policy) else {
        assert!(address.is_err());
        return;
    };
    let canonical = String::from_utf8(bytes.clone()).expect("canonical text is UTF-8");
    let again = Value::from_interchange(&canonical).expect("canonical text can be read");
    assert_eq!(canonical_bytes(&again, &policy).as_ref(), Ok(&bytes), "canonical text is its own canonical text");
    assert_eq!(oid(&again, &policy), address);
    assert!(diff(&value, &value).is_empty(), "a document differs from itself");
}

/// Extended JSON: what is read, written and read again is the same value with the same address.
///
/// # Panics
///
/// Where that does not hold.
pub fn extended(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let _ = parse_document(text);
    let Ok(value) = Value::from_interchange(text) else { return };
    let policy = FieldPolicy::default();
    let written = value.to_interchange();
    let again = Value::from_interchange(&written).expect("what was written can be read");
    assert_eq!(again.to_interchange(), written, "writing is stable");
    assert_eq!(oid(&again, &policy), oid(&value, &policy));
    if let Ok(bytes) = canonical_bytes(&value, &policy) {
        let canonical = String::from_utf8(bytes.clone()).expect("canonical text is UTF-8");
        let read = Value::from_interchange(&canonical).expect("canonical text can be read");
        assert_eq!(canonical_bytes(&read, &policy), Ok(bytes), "canonical text is its own canonical text");
    }
}

/// References, addresses, names, ids and instants: what is printed means the same.
///
/// # Panics
///
/// Where that does not hold.
pub fn references(data: &[u8]) {
    let Some(text) = text(data) else { return };
    if let Ok(reference) = Reference::parse(text) {
        let printed = reference.to_string();
        assert_eq!(Reference::parse(&printed).as_ref(), Ok(&reference), "{printed}");
    }
    let (record, reference) = Reference::split_address(text);
    assert!(record.len() + reference.map_or(0, str::len) <= text.len());
    if let Ok(name) = TagName::new(text) {
        assert_eq!(name.as_str(), text);
    }
    let _ = (CollectionName::new(text), EnvName::new(text));
    if let Ok(id) = IdKey::from_stored(text) {
        assert_eq!(IdKey::from_value(&id.to_value()).as_ref(), Ok(&id), "an id is the id of its value");
    }
    for parse in [Timestamp::parse, Timestamp::parse_instant] {
        if let Ok(time) = parse(text) {
            assert_eq!(Timestamp::parse_instant(&time.to_string()), Ok(time));
        }
    }
}

/// Paths and assignments: what is printed is the same path.
///
/// # Panics
///
/// Where that does not hold.
pub fn paths(data: &[u8]) {
    let Some(text) = text(data) else { return };
    if let Ok(path) = text.parse::<FieldPath>() {
        let printed = path.to_string();
        assert_eq!(printed.parse::<FieldPath>().as_ref(), Ok(&path), "{printed}");
    }
    let words: Vec<&str> = text.lines().collect();
    for delete in [false, true] {
        if let Ok(assignments) = parse_assignments(&words, delete) {
            let mut doc = Value::from_json(r#"{"a": {"b": [1, {"c": 2}]}, "d": "x"}"#).expect("JSON");
            let _ = cfg_engine::document::assign(&mut doc, &assignments);
        }
    }
    let builder = || FieldPolicy::builder();
    let policies = [builder().ignore_path(text), builder().secret_field(text), builder().ignore_pattern(text)];
    for policy in policies.into_iter().flatten() {
        let doc = Value::from_json(r#"{"a": {"b": [1, {"c": 2}]}, "d": "x"}"#).expect("JSON");
        let policy = policy.build();
        let stripped = policy.versioned(&doc);
        assert_eq!(oid(&stripped, &policy), oid(&doc, &policy), "stripping twice is stripping once");
    }
}

/// `.cfg.toml`: read or refused with words, never more.
///
/// # Panics
///
/// Where that does not hold.
pub fn config(data: &[u8]) {
    let Some(text) = text(data) else { return };
    match ConfigFile::parse(text) {
        Ok(file) => drop(format!("{file:?}").len()),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// History files: refused as a whole before anything is written, or loaded so that history is sound.
///
/// # Panics
///
/// Where that does not hold.
pub fn history(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let name = CollectionName::new("agents").expect("a name");
    let store = MemoryAdapter::new(vec![CollectionConfig::new(name.clone(), "id")]);
    let author = Author { id: "f@example.com".to_owned(), class: AuthorClass::Pipeline };
    let project = Project::new(std::sync::Arc::new(store), Settings::new(EnvName::new("dev").expect("a name"), author));
    // The store is memory: nothing is ever waited for.
    let work = async {
        project.init(false).await.expect("a schema");
        let import = HistoryImport { collection: name, seed_live: true };
        let mut lines = Lines { text, at: 0 };
        let loaded = project.import_history(&import, &mut lines, &Options::message("loaded"), None).await;
        let report = project.fsck(None).await.expect("a check");
        assert_eq!(report.findings, [], "after {loaded:?}");
        if loaded.is_err() {
            assert_eq!(report.entries, 0, "refused, and something was written: {loaded:?}");
        }
    };
    work.now_or_never().expect("memory does not wait");
}

/// Patches: applied or refused, and an empty one changes nothing.
///
/// # Panics
///
/// Where that does not hold.
pub fn patches(data: &[u8]) {
    let Some((doc, patch)) = text(data).and_then(|text| text.split_once('\n')) else { return };
    let (Ok(doc), Ok(patch)) = (Value::from_json(doc), Value::from_json(patch)) else { return };
    let policy = FieldPolicy::default();
    let _ = json_patch(&doc, &patch);
    let merged = merge_patch(&doc, &patch);
    let again = merge_patch(&merged, &patch);
    assert_eq!(oid(&again, &policy), oid(&merged, &policy), "a merge patch applied twice is applied once");
    // What differs is a patch from the one to the other.
    let changes = diff(&doc, &patch);
    let same = canonical_bytes(&doc, &policy) == canonical_bytes(&patch, &policy);
    if canonical_bytes(&doc, &policy).is_ok() && canonical_bytes(&patch, &policy).is_ok() {
        assert_eq!(changes.is_empty(), same, "documents differ where their canonical text does");
    }
}

/// The lines of a file that is none.
struct Lines<'t> {
    text: &'t str,
    at: usize,
}

impl HistorySource for Lines<'_> {
    fn rewind(&mut self) -> std::io::Result<()> {
        self.at = 0;
        Ok(())
    }

    fn next_line(&mut self, line: &mut String) -> std::io::Result<Option<u64>> {
        if self.at >= self.text.len() {
            return Ok(None);
        }
        let from = self.at as u64;
        self.line_at(from, line)?;
        self.at += line.len() + 1;
        Ok(Some(from))
    }

    fn line_at(&mut self, offset: u64, line: &mut String) -> std::io::Result<()> {
        let at = usize::try_from(offset).unwrap_or(usize::MAX).min(self.text.len());
        line.clear();
        line.push_str(self.text[at..].split('\n').next().unwrap_or_default());
        Ok(())
    }
}
