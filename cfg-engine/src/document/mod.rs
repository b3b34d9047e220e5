//! Documents: values, canonical bytes and oid, field policy, paths, differences.

mod align;
#[cfg(test)]
mod arbitrary;
mod assign;
mod canonical;
mod carry;
mod decimal128;
mod diff;
mod digest;
mod edit;
mod edit_tree;
mod extended;
mod field_path;
mod field_policy;
mod glob;
mod json_text;
mod keyed;
mod live_changes;
mod number;
mod oid;
mod parse;
mod patch;
mod policy_rules;
mod secrets;
#[cfg(feature = "serde_json")]
mod serde_json;
mod text;
mod text_digest;
mod value;
mod write;

pub use assign::{AssignError, Assignment, assign, parse as parse_assignments};
pub use canonical::{CanonicalError, CanonicalProblem, UNICODE_VERSION, canonical_bytes, oid, same};
pub use diff::{ChangeOp, FieldChange, diff, line_diff};
pub use digest::{ArraySink, ObjectSink, ValueSink, digest_object};
pub use edit::{Edit, EditError, PathChange, apply_changes};
pub use field_path::{FieldPath, PathError, Step};
pub use field_policy::{FieldPolicy, FieldPolicyBuilder, PolicyError, Treatment, is_secret_marker, secret_marker};
pub use json_text::edit_json_text;
pub use live_changes::{SecretMoved, dropped_fields, live_changes, live_changes_without_secrets};
pub use number::{NotFinite, Number};
pub use oid::{EntryId, InvalidHex, MIN_PREFIX, Oid, SHORT_DIGITS};
pub use parse::{MAX_DEPTH, ParseError, ParseProblem};
pub use patch::{PatchError, PatchProblem, json_patch, merge_patch};
pub use secrets::{
    DEFAULT_BLOCK_FIELDS, DEFAULT_BLOCK_VALUES, HIGH_ENTROPY, SecretHit, SecretKind, SecretRules, SecretRulesError,
};
pub use text_digest::{TextDigest, digest_json};
pub use value::{Extended, Object, Value};
pub use write::Dialect;

pub(crate) use oid::{from_hex, to_hex};
