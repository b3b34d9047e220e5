//! `export`.

use std::path::PathBuf;

use cfg_engine::Error;
use cfg_engine::document::Object;
use cfg_engine::engine::Document;
use cfg_engine::history::RecordKey;
use cfg_engine::outcome::combined_exit;
use cfg_engine_connect::call::{prepare_folder, write_document};

use super::show::record_object;
use crate::context::Context;
use crate::progress::Bar;
use crate::render::reports::failures;
use crate::render::style::count;

/// `cfg export`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder; it is made if it is not there
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Only this collection
    #[arg(long, value_name = "NAME")]
    collection: Option<String>,
    /// Write into a folder that is not empty, replacing files of the same names
    #[arg(long)]
    force: bool,
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<u8, Error> {
    let project = context.reader().await?;
    let collection = context.collection(&project, args.collection.as_deref())?;
    prepare_folder(&args.dir, args.force)?;
    let mut failed: Vec<(RecordKey, Error)> = Vec::new();
    let mut exported = 0_u64;
    {
        let bar = Bar::new(&context.out, "exporting");
        let each = |record: &RecordKey, document: Result<Document, Error>| {
            match document {
                Ok(document) => {
                    write_document(&args.dir, record, &document, args.force)?;
                    exported += 1;
                }
                Err(error) => failed.push((record.clone(), error)),
            }
            Ok(())
        };
        project.export(collection, Some(&bar), each).await?;
    }
    if context.out.is_json() {
        let rows = failed.iter().map(|(record, error)| record_object(record).with("reason", error.to_reason()));
        let result = Object::new()
            .with("dir", args.dir.to_string_lossy().into_owned())
            .with("exported", exported)
            .with("failed", rows.collect::<Vec<_>>());
        context.out.json(result);
    } else {
        let documents = count(usize::try_from(exported).unwrap_or(usize::MAX), "document");
        context.out.report(&format!("wrote {documents} to {}\n", args.dir.display()));
        failures(&context.out, failed.iter().map(|(_, error)| error));
    }
    Ok(combined_exit(failed.iter().map(|(_, error)| error.kind().exit_code())))
}
