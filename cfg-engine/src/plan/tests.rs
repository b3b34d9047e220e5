//! Who can make a batch.

use std::path::Path;

use super::Verb;

fn callers(folder: &Path, call: &str, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).expect("a folder of the crate") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            callers(&path, call, found);
        } else if !path.ends_with("tests.rs") && std::fs::read_to_string(&path).expect("a source file").contains(call) {
            found.push(path.file_name().expect("a file").to_string_lossy().into_owned());
        }
    }
}

/// A batch is sealed in one place, from a plan that was judged, and a plan is cleared in one place.
#[test]
fn nothing_makes_a_batch_around_the_gates() {
    // In two parts, or this file would be found.
    for (call, only) in [(["Batch::", "seal("].concat(), "bind.rs"), (["Cleared {", " plan }"].concat(), "gates.rs")] {
        let mut found = Vec::new();
        callers(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &call, &mut found);
        assert_eq!(found, [only], "{call}");
    }
}

/// [`Verb::ALL`] is what the tests of the gate walk: a new verb does not compile until it is looked at here.
#[test]
fn every_verb_is_in_the_list() {
    let listed = |verb: Verb| Verb::ALL.contains(&verb);
    for verb in Verb::ALL {
        let is_listed = match verb {
            Verb::Commit
            | Verb::Restore
            | Verb::Adopt
            | Verb::Import
            | Verb::Remove
            | Verb::Init
            | Verb::Tag
            | Verb::Activate
            | Verb::Undo
            | Verb::Link
            | Verb::Redact
            | Verb::Repair
            | Verb::Approval
            | Verb::Policy => listed(verb),
        };
        assert!(is_listed);
    }
}
