//! What an entry says about secrets: where they are and which were written, never what they are.

use super::live_edit::Edited;
use crate::document::{FieldPath, FieldPolicy, Object, Treatment, Value};

/// Records where the new document has secrets, and which of them this change wrote.
pub(super) fn note_secrets(meta: &mut Object, edited: &Edited, live: &Value, policy: &FieldPolicy) {
    let secrets = held_secrets(&edited.after, policy);
    list_secrets(meta, "secrets", &secrets);
    let mut written: Vec<FieldPath> = Vec::new();
    let old = policy.secret_paths(live);
    for change in &edited.changes {
        if policy.treatment(&change.path) == Treatment::Secret {
            written.push(change.path.clone());
            continue;
        }
        // An array or object that is written whole carries its old secrets with it.
        let below = |paths: &[FieldPath]| -> Vec<FieldPath> {
            paths.iter().filter(|path| path.steps().starts_with(change.path.steps())).cloned().collect()
        };
        let mut carried: Vec<&Value> = below(&old).iter().filter_map(|path| path.get(live)).collect();
        for path in below(&secrets) {
            let Some(value) = path.get(&edited.after) else { continue };
            match carried.iter().position(|old| *old == value) {
                Some(at) => drop(carried.swap_remove(at)),
                None => written.push(path),
            }
        }
    }
    list_secrets(meta, "secrets_written", &written);
    list_secrets(meta, "secrets_dropped", &edited.dropped);
}

/// Returns where a document has secrets; a null is none.
pub(super) fn held_secrets(doc: &Value, policy: &FieldPolicy) -> Vec<FieldPath> {
    let mut paths = policy.secret_paths(doc);
    paths.retain(|path| path.get(doc).is_some_and(|value| !value.is_null()));
    paths
}

/// Records where secrets are; never what they are.
pub(super) fn list_secrets(meta: &mut Object, name: &str, paths: &[FieldPath]) {
    if !paths.is_empty() {
        meta.insert(name, paths.iter().map(ToString::to_string).collect::<Vec<_>>());
    }
}
