//! Documents: values, canonical bytes and oid, field policy, paths, differences.

mod canonical;
mod decimal128;
mod extended;
mod field_path;
mod field_policy;
mod glob;
mod number;
mod oid;
mod parse;
mod text;
mod value;
mod write;

pub use canonical::{CanonicalError, CanonicalProblem, UNICODE_VERSION, canonical_bytes, oid, same};
pub use field_path::{FieldPath, PathError, Step};
pub use field_policy::{FieldPolicy, FieldPolicyBuilder, PolicyError, Treatment, is_secret_marker, secret_marker};
pub use number::{NotFinite, Number};
pub use oid::{EntryId, InvalidHex, MIN_PREFIX, Oid, SHORT_DIGITS};
pub use parse::{MAX_DEPTH, ParseError, ParseProblem};
pub use value::{Extended, Object, Value};
pub use write::Dialect;
