//! What every native function gives back.

use cfg_engine::Error;
use cfg_engine::document::Object;
use napi_derive::napi;

use crate::text::to_js;

/// The text of a result, or of an error: exactly one is there.
#[napi(object)]
pub struct Reply {
    /// The result, as JSON text in which every wrapper has a meaning.
    pub ok: Option<String>,
    /// `{kind, exit_code, status, code, message, hint, data}`.
    pub error: Option<String>,
}

impl Reply {
    pub(crate) fn ok(text: String) -> Reply {
        Reply { ok: Some(text), error: None }
    }

    pub(crate) fn error(error: &Error) -> Reply {
        Reply { ok: None, error: Some(to_js(error_object(error))) }
    }
}

/// Returns an error as data: its envelope, and what the class of the error is chosen by.
pub(crate) fn error_object(error: &Error) -> Object {
    let kind = error.kind();
    error.to_envelope().with("kind", format!("{kind:?}")).with("exit_code", i64::from(kind.exit_code()))
}
