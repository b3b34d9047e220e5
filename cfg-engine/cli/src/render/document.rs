//! Documents for people: relaxed JSON, indented.

use cfg_engine::Value;
use cfg_engine::document::Dialect;

/// Writes a document as people edit it: the base first, dates and numbers readable.
pub(crate) fn relaxed(value: &Value) -> String {
    let mut text = value.to_text(Dialect::Relaxed, Some(2));
    text.push('\n');
    text
}

/// Writes a document as files hold it: every type exact.
pub(crate) fn exact(value: &Value) -> String {
    let mut text = value.to_text(Dialect::Interchange, Some(2));
    text.push('\n');
    text
}
