//! `version`.

use cfg_engine::Error;
use cfg_engine::document::{Object, UNICODE_VERSION};

use crate::context::Context;

/// `cfg version`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// The stores that this build can open.
const STORES: [&str; 2] = ["sqlite", "memory"];

pub(crate) fn run(context: &Context, _: Args) -> Result<u8, Error> {
    let header = cfg_engine::history::HEADER_VERSION;
    let version = env!("CARGO_PKG_VERSION");
    let (major, minor, patch) = UNICODE_VERSION;
    let unicode = format!("{major}.{minor}.{patch}");
    if context.out.is_json() {
        let result = Object::new()
            .with("version", version)
            .with("entry_format", header)
            .with("unicode", unicode)
            .with("stores", STORES.to_vec());
        context.out.json(result);
    } else {
        let stores = STORES.join(", ");
        context.out.text(&format!("cfg {version}, entry format {header}, Unicode {unicode}, stores: {stores}\n"));
    }
    Ok(0)
}
