//! `restore`.

use cfg_engine::Error;
use cfg_engine::engine::Restore;

use super::secret_flag::secrets;
use super::show::version;
use crate::cli::Change;
use crate::context::Context;
use crate::render::reports::single;
use crate::render::style::shell_word;
use crate::usage::usage;

/// `cfg restore`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which record; planner@7 names the version with it
    #[arg(value_name = "ID", required_unless_present_any = ["tag", "as_of", "resume"])]
    id: Option<String>,
    /// To which version; =HEAD discards what was changed outside cfg, recording it first
    #[arg(value_name = "VERSION")]
    reference: Option<String>,
    /// Go on over what was changed outside cfg, recording it first
    #[arg(long)]
    force: bool,
    /// A deleted record's secret, from a variable: history does not hold it
    #[arg(long, value_name = "PATH=env:VAR")]
    secret: Vec<String>,
    /// Bring deleted records back without their secrets
    #[arg(long)]
    pub(crate) without_secrets: bool,
    /// Everything, to what this tag means
    #[arg(long, value_name = "NAME", conflicts_with_all = ["id", "as_of"], help_heading = "The whole system")]
    pub(crate) tag: Option<String>,
    /// Everything, to what was live at this moment; a date means its end, UTC
    #[arg(long, value_name = "TIME", conflicts_with = "id", help_heading = "The whole system")]
    pub(crate) as_of: Option<String>,
    /// Go on with a restore that was interrupted, or that could not do everything
    #[arg(long, value_name = "TOKEN", num_args = 0..=1, conflicts_with_all = ["id", "tag", "as_of"], help_heading = "The whole system")]
    pub(crate) resume: Option<Option<String>>,
    /// Only these records
    #[arg(long, value_name = "ID,ID", value_delimiter = ',', conflicts_with = "id", help_heading = "The whole system")]
    pub(crate) only: Vec<String>,
    /// All but these records
    #[arg(long, value_name = "ID,ID", value_delimiter = ',', conflicts_with = "id", help_heading = "The whole system")]
    pub(crate) except: Vec<String>,
    /// Whether what was deleted since comes back
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value_t = true, default_missing_value = "true", action = clap::ArgAction::Set, help_heading = "The whole system")]
    pub(crate) include_deleted: bool,
    /// Delete what was not there then
    #[arg(long, conflicts_with = "id", help_heading = "The whole system")]
    pub(crate) prune: bool,
    /// Fold in what was changed outside cfg, which is otherwise left as it is
    #[arg(long, conflicts_with = "id", help_heading = "The whole system")]
    pub(crate) adopt_drift: bool,
    /// Do it only if the plan is still the one that --dry-run showed
    #[arg(long, value_name = "PLAN", conflicts_with = "id", help_heading = "The whole system")]
    pub(crate) plan: Option<String>,
    /// Write it into [env.preview] and nowhere else
    #[arg(long, conflicts_with = "id", help_heading = "The whole system")]
    pub(crate) preview: bool,
    /// Deploy the code that ran with it, by the env's deploy command
    #[arg(long, conflicts_with_all = ["id", "resume", "preview"], help_heading = "The whole system")]
    pub(crate) include_code: bool,
    #[command(flatten)]
    pub(crate) change: Change,
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<u8, Error> {
    let Some(id) = &args.id else {
        if args.force || !args.secret.is_empty() {
            return Err(usage("--force and --secret are for one record", "name it: cfg restore planner @3"));
        }
        return super::restore_all::run(context, args).await;
    };
    let secrets = secrets(&args.secret)?;
    let project = context.writer().await?;
    let (record, reference) = version(&project, id, args.reference.as_deref()).await?;
    let reference = reference.ok_or_else(|| {
        let id = shell_word(&record.id.to_string());
        usage("no version is named", format!("list them with: cfg log {id}   then: cfg restore {id} @1"))
    })?;
    let restore = Restore {
        secrets,
        without_secrets: args.without_secrets,
        force: args.force,
        ..Restore::new(record, reference)
    };
    let report = project.restore(&restore, &context.options(&args.change)?).await?;
    single(context, &project, report, "restore")
}
