//! File names of records: safe on every file system, and different for different records.

use cfg_engine::history::{CollectionName, IdKey};
use percent_encoding::percent_encode_byte;
use sha2::{Digest as _, Sha256};

/// The longest name without its extension, in bytes.
const MAX_STEM: usize = 180;

/// How much of a name that is too long stays, before its hash.
const KEPT: usize = 100;

/// Names that Windows gives to devices.
const DEVICES: [&str; 4] = ["con", "prn", "aux", "nul"];

/// Encodes a text as part of a file name. No path separator, no leading dot, no reserved name.
pub(crate) fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        // Upper case is encoded too, so that `Planner` and `planner` are two files where case does
        // not count; escapes are in lower case, so that each has one form.
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => out.push(char::from(byte)),
            _ => out.push_str(&percent_encode_byte(byte).to_ascii_lowercase()),
        }
    }
    let device = DEVICES.contains(&out.as_str())
        || (out.len() == 4
            && (out.starts_with("com") || out.starts_with("lpt"))
            && out.ends_with(|c: char| c.is_ascii_digit()));
    if device {
        let first = percent_encode_byte(out.as_bytes()[0]).to_ascii_lowercase();
        out.replace_range(..1, &first);
    }
    out
}

/// Returns the file name of a record without extension: `prompts=planner`.
///
/// An id that is a string stands without quotes where nothing else could be meant, as in addresses.
/// A name that would be too long is cut and ends with a hash of all of it.
pub fn record_file_stem(collection: &CollectionName, id: &IdKey) -> String {
    let stem = format!("{}={}", encode(collection.as_str()), encode(&id.to_string()));
    if stem.len() <= MAX_STEM {
        return stem;
    }
    let hash: String = Sha256::digest(stem.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    // `~` is written for nothing else.
    format!("{}~{hash}", &stem[..KEPT])
}

#[cfg(test)]
mod tests {
    use cfg_engine::Value;

    use super::*;

    fn stem(collection: &str, id: &Value) -> String {
        let id = IdKey::from_value(id).expect("an id");
        record_file_stem(&CollectionName::new(collection).expect("a name"), &id)
    }

    #[test]
    fn names_are_readable_where_they_can_be() {
        assert_eq!(stem("prompts", &Value::from("planner_2")), "prompts=planner_2");
        assert_eq!(stem("prompts", &Value::from("Planner v1.2")), "prompts=%50lanner%20v1%2e2");
        assert_eq!(stem("prompts", &Value::from(1)), "prompts=1");
        assert_eq!(stem("prompts", &Value::from("1")), "prompts=%221%22");
    }

    #[test]
    fn nothing_leaves_the_folder_or_names_a_device() {
        for id in ["../../etc/passwd", "..", ".", "/abs", "a\\b", "c:d", "nul", "~", "a\u{0}b", "é", "%2e%2e"] {
            let stem = stem("con", &Value::from(id));
            assert!(
                stem.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_%=".contains(&b)),
                "{stem}"
            );
            assert!(stem.starts_with("%63on="), "{stem}");
        }
        assert_eq!(encode("lpt1"), "%6cpt1");
        assert_eq!(encode("lpt10"), "lpt10");
    }

    #[test]
    fn different_records_have_different_names_even_where_case_does_not_count() {
        let long = "x".repeat(900);
        let ids: Vec<Value> = ["a", "A", "é", "e\u{301}", "a=b", "%61", "\"a\"", "true", &long, &format!("{long}y")]
            .into_iter()
            .map(Value::from)
            .chain([Value::from(1), Value::from("1"), Value::from(-1)])
            .collect();
        let mut stems: Vec<String> = Vec::new();
        for collection in ["c", "C", "c.d", "c-d"] {
            stems.extend(ids.iter().map(|id| stem(collection, id).to_lowercase()));
        }
        assert!(stems.iter().all(|stem| stem.len() <= MAX_STEM));
        let all = stems.len();
        stems.sort();
        stems.dedup();
        assert_eq!(stems.len(), all);
    }
}
