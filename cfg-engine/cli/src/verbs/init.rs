//! `init`.

use std::path::{Path, PathBuf};

use cfg_engine::config::{Database, FILE_NAME, Shape};
use cfg_engine::document::Object;
use cfg_engine::engine::{InitReport, Options};
use cfg_engine::{Error, Value};
use cfg_engine_connect::{Starter, find_config, ignore_state_folder, write_config};
use clap::ValueEnum;

use crate::context::Context;
use crate::render::reports::failures;
use crate::render::style::{CYAN, DIM, GREEN, paint};
use crate::usage::usage;

/// `cfg init`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print what would be run and written, do nothing
    #[arg(long)]
    dry_run: bool,
    /// Make the policy that the store holds what the file says, which is less strict; it needs an approval itself
    #[arg(long)]
    loosen: bool,
    /// With --loosen: why
    #[arg(short, long, value_name = "WHY", requires = "loosen", default_value = "")]
    message: String,
    /// With --loosen: the approval under which it is done
    #[arg(long, value_name = "ID", requires = "loosen")]
    approval: Option<String>,
    #[command(flatten)]
    starter: StarterArgs,
}

/// What goes into a new .cfg.toml; with a file that is there these are refused.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "For a new .cfg.toml")]
struct StarterArgs {
    /// The kind of database
    #[arg(long, value_name = "KIND")]
    database: Option<DatabaseName>,
    /// Where it is: a SQLite file, relative to the folder, or env:VARIABLE
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
    /// Where it is: a URI without a password, or env:VARIABLE
    #[arg(long, value_name = "URI", conflicts_with = "path")]
    uri: Option<String>,
    /// The name of the database, where the URI does not say (MongoDB)
    #[arg(long, value_name = "NAME")]
    db: Option<String>,
    /// The live table
    #[arg(long, value_name = "NAME")]
    table: Option<String>,
    /// The column that names a record
    #[arg(long, value_name = "NAME")]
    id_field: Option<String>,
    /// doc: one column holds the document; row: the row is the record
    #[arg(long, value_name = "SHAPE")]
    shape: Option<ShapeName>,
    /// The column that holds the document
    #[arg(long, value_name = "NAME")]
    doc_column: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum DatabaseName {
    Sqlite,
    #[value(alias = "mongo")]
    Mongodb,
    #[value(alias = "postgresql")]
    Postgres,
    Memory,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ShapeName {
    Doc,
    Row,
}

/// What became of the files.
#[derive(Debug, Default)]
struct Files {
    config: Option<PathBuf>,
    /// The text of a new file, where there was none.
    new: Option<String>,
    ignored: bool,
}

/// Makes the stored policy what the file says.
async fn loosen(context: &Context, args: Args) -> Result<u8, Error> {
    let options = Options { approval: args.approval, dry_run: args.dry_run, ..Options::message(args.message) };
    let shown = context.writer().await?.loosen(&options).await?;
    if context.out.is_json() {
        context.out.json(shown);
    } else {
        let word = if args.dry_run { "would hold" } else { "holds" };
        context.out.report(&format!("the store {word} what the file says of this env\n"));
    }
    Ok(0)
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<u8, Error> {
    if args.loosen {
        return loosen(context, args).await;
    }
    let mut files = Files::default();
    let is_new = context.global.config_file.is_none() && find_config(Path::new(".")).is_none();
    if is_new {
        let starter = starter(context, &args.starter);
        files.new = Some(starter.text());
        if !args.dry_run {
            files.config = write_config(Path::new("."), &starter.text())?;
        }
        // Without a path nobody has said yet where the records are.
        if args.dry_run || args.starter.place().is_none() {
            if !args.dry_run {
                files.ignored = ignore_state_folder(Path::new("."))?;
            }
            print(context, &InitReport::default(), &files, args.dry_run, true);
            return Ok(0);
        }
    } else if let Some(flag) = args.starter.first() {
        return Err(usage(
            format!("{flag} is for a new {FILE_NAME}, and there is one"),
            "say it in the file; cfg config shows which one it is and what is in effect",
        ));
    }
    let report = match run_init(context, args.dry_run).await {
        Ok(report) => report,
        Err(error) => {
            // A file that led nowhere would stand in the way of the next try.
            let removed = files.config.as_ref().is_some_and(|written| std::fs::remove_file(written).is_ok());
            return Err(explain(error, removed));
        }
    };
    if !args.dry_run {
        files.ignored = ignore_state_folder(&context.opened().await?.root)?;
    }
    if files.config.is_none() {
        files.config = context.opened().await.ok().map(|opened| opened.config_file.clone());
    }
    print(context, &report, &files, args.dry_run, false);
    if !context.out.is_json() {
        failures(&context.out, report.ambiguous.iter().map(|(_, error)| error));
    }
    Ok(report.exit_code())
}

async fn run_init(context: &Context, dry_run: bool) -> Result<InitReport, Error> {
    context.writer().await?.init(dry_run).await
}

impl StarterArgs {
    /// Returns where the database is.
    fn place(&self) -> Option<&String> {
        self.uri.as_ref().or(self.path.as_ref())
    }

    /// Returns the first flag that was given.
    fn first(&self) -> Option<&'static str> {
        [
            (self.database.is_some(), "--database"),
            (self.path.is_some(), "--path"),
            (self.uri.is_some(), "--uri"),
            (self.db.is_some(), "--db"),
            (self.table.is_some(), "--table"),
            (self.id_field.is_some(), "--id-field"),
            (self.shape.is_some(), "--shape"),
            (self.doc_column.is_some(), "--doc-column"),
        ]
        .into_iter()
        .find_map(|(given, flag)| given.then_some(flag))
    }
}

fn starter(context: &Context, args: &StarterArgs) -> Starter {
    let database = match args.database {
        Some(DatabaseName::Memory) => Database::Memory,
        Some(DatabaseName::Mongodb) => Database::Mongo,
        Some(DatabaseName::Postgres) => Database::Postgres,
        Some(DatabaseName::Sqlite) | None => Database::Sqlite,
    };
    let folder = std::path::absolute(".").ok();
    let folder = folder.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    Starter {
        env: context.global.env.clone(),
        uri: args.place().cloned(),
        db: args.db.clone(),
        table: args.table.clone(),
        id_field: args.id_field.clone(),
        shape: args.shape.map(|shape| match shape {
            ShapeName::Doc => Shape::Doc,
            ShapeName::Row => Shape::Row,
        }),
        doc_column: args.doc_column.clone(),
        ..Starter::new(database, folder.as_deref().unwrap_or_default())
    }
}

/// Says that the new file is gone again.
fn explain(error: Error, removed: bool) -> Error {
    match error {
        Error::Setup { problem, hint } if removed => Error::Setup {
            problem,
            hint: format!("{hint}   then run cfg init with the same flags again; no {FILE_NAME} was left behind"),
        },
        other => other,
    }
}

fn print(context: &Context, report: &InitReport, files: &Files, dry_run: bool, only_file: bool) {
    let shown = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
    if context.out.is_json() {
        let result: Object = report
            .to_object()
            .with("config_file", shown(&files.config))
            .with("config_written", files.new.is_some() && !dry_run)
            .with("config_text", files.new.clone().filter(|_| dry_run).map_or(Value::Null, Value::from))
            .with("gitignore_changed", files.ignored)
            .with("dry_run", dry_run);
        context.out.json(result);
        return;
    }
    match (&files.new, dry_run) {
        (Some(text), true) => {
            context.out.heading(&format!("would write {FILE_NAME}:"));
            context.out.data(text);
        }
        (Some(_), false) => context.out.report(&format!("wrote {FILE_NAME}\n")),
        (None, _) => {}
    }
    if files.ignored {
        context.out.report("added .cfg/ to .gitignore\n");
    }
    if only_file {
        if !dry_run {
            let next = format!("say in {FILE_NAME} where your records are, then run: cfg init\n");
            context.out.report(&paint(CYAN, &next));
        }
        return;
    }
    if dry_run {
        // What was asked for: it can be handed to whoever owns the database.
        let statements: String = report.statements.iter().map(|statement| format!("{statement};\n")).collect();
        context.out.data(&statements);
        if report.statements.is_empty() {
            context.out.note("everything is there; nothing would be run");
        }
    } else {
        let done = match (report.statements.is_empty(), report.registered) {
            (true, false) => "everything was there already".to_owned(),
            _ => "the history tables are there, beside yours".to_owned(),
        };
        context.out.report(&format!("{}\n", paint(GREEN, &done)));
    }
    for advice in &report.advice {
        context.out.note(&format!("advice: {advice}"));
    }
    if report.ambiguous.is_empty() && !dry_run {
        context.out.report(&paint(DIM, "record what is live now with: cfg import --all\n"));
    }
}
