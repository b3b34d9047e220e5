//! `get`.

use cfg_engine::document::Object;
use cfg_engine::engine::Document;
use cfg_engine::history::RecordKey;
use cfg_engine::outcome::combined_exit;
use cfg_engine::{Error, Value};

use crate::context::Context;
use crate::render::document::{exact, relaxed};

/// `cfg get`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which records
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
    /// Write the document as files hold it: the base as first member, every type exact
    #[arg(long)]
    file_form: bool,
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<u8, Error> {
    let project = context.reader().await?;
    let records = context.records(&project, &args.ids).await?;
    let mut found = project.get_many(&records).await?;
    // As they were asked for; each once.
    let place = |record: &RecordKey| records.iter().position(|asked| asked == record);
    found.sort_by_key(|(record, _)| place(record));
    if found.len() == 1 {
        let document = found.remove(0).1?;
        match (args.file_form, context.out.is_json()) {
            (true, _) => context.out.data(&exact(&document.to_file())),
            (false, true) => context.out.json(document.to_object()),
            (false, false) => context.out.data(&relaxed(&document.to_file())),
        }
        return Ok(0);
    }
    if context.out.is_json() {
        let rows: Vec<Value> = found.iter().map(|(record, found)| row(record, found, args.file_form)).collect();
        context.out.json(rows);
    } else {
        for document in found.iter().filter_map(|(_, found)| found.as_ref().ok()) {
            let file = document.to_file();
            context.out.data(&if args.file_form { exact(&file) } else { relaxed(&file) });
        }
        for error in found.iter().filter_map(|(_, found)| found.as_ref().err()) {
            context.out.row_error(error);
        }
    }
    Ok(combined_exit(found.iter().filter_map(|(_, found)| found.as_ref().err()).map(|e| e.kind().exit_code())))
}

fn row(record: &RecordKey, found: &Result<Document, Error>, file_form: bool) -> Value {
    match found {
        Ok(document) if file_form => document.to_file(),
        Ok(document) => Value::Object(document.to_object()),
        Err(error) => Value::Object(
            Object::new()
                .with("collection", record.collection.as_str())
                .with("config_id", record.id.to_value())
                .with("reason", error.to_reason()),
        ),
    }
}
