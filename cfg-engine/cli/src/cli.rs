//! The command line as clap knows it; completions and man pages come from the same definitions.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::verbs;

const ABOUT: &str = "Version history for the JSON records that an application reads from its own database.";

const EXIT_CODES: &str = "\
Versions: planner@7 or @7 (number), #a1b2c3 (content), @{2026-06-07} (what was live then),
          tag:june, =live, =HEAD, =staged
Exit codes: 0 done  1 refused input  2 changed outside cfg, or another commit came first
            3 storage  4 needs an approval  5 not found  6 broken data or configuration  7 declined";

/// `cfg`.
#[derive(Debug, Parser)]
#[command(name = "cfg", version, about = ABOUT, after_help = EXIT_CODES, max_term_width = 100)]
#[command(subcommand_required = true, arg_required_else_help = true, disable_help_subcommand = false)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What every verb takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The env; else CFG_ENV, else the only one of .cfg.toml
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) env: Option<String>,
    /// Print one JSON document on standard output, and nothing else there
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print no reports, notes or progress. status still answers by its exit code; diff exits 0 either way
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// Answer yes to questions; an approval is never one of them
    #[arg(short, long, global = true)]
    pub(crate) yes: bool,
    /// The configuration; else .cfg.toml here or in a folder above
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config_file: Option<PathBuf>,
    /// Who makes the change, else CFG_AUTHOR, else git's user.email; for log: whose entries
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) author: Option<String>,
    /// Colours; auto means on a terminal, unless NO_COLOR is set
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: Color,
}

/// When colours are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    // Without words of their own the values stand in one line of the help.
    Auto,
    Always,
    Never,
}

/// What every change takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct Change {
    /// Why; several make paragraphs
    #[arg(short, long, value_name = "WHY", allow_hyphen_values = true)]
    pub(crate) message: Vec<String>,
    /// The same call with the same key happens once
    #[arg(long, value_name = "KEY")]
    pub(crate) idempotency_key: Option<String>,
    /// Show what would be done, do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Let something that looks like a secret pass; this is recorded
    #[arg(long)]
    pub(crate) allow_secret: bool,
    /// The approval under which this is done, on an env that needs one: the id that this very call gave
    #[arg(long, value_name = "ID")]
    pub(crate) approval: Option<String>,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Create the history tables beside yours, and a .cfg.toml where there is none
    Init(verbs::init::Args),
    /// Record what is live as the first version, or load a history with its true times
    Import(verbs::import::Args),
    /// Show what differs between live and history
    Status(verbs::status::Args),
    /// Print live documents with their base, ready to be edited and committed
    Get(verbs::get::Args),
    /// Show one version
    Show(verbs::show::Args),
    /// List versions; with --as-of, what was live at a moment
    Log(verbs::log::Args),
    /// Compare versions, or the whole system between two moments
    Diff(verbs::diff::Args),
    /// Change fields: model=small retries:=3 tools+=search
    Set(verbs::set::Args),
    /// Edit a document in $VISUAL or $EDITOR and stage it
    Edit(verbs::edit::Args),
    /// Write documents to live and history, all or nothing
    Commit(verbs::commit::Args),
    /// Commit one file: what scripts call instead of writing the table
    ApplyDoc(verbs::commit::ApplyDocArgs),
    /// Make an older version live again, as a new version; with --tag or --as-of, everything
    Restore(verbs::restore::Args),
    /// Take back one change and keep the later ones
    Undo(verbs::undo::Args),
    /// Make a version live in a row of its own, where rows of one id take turns
    Activate(verbs::activate::Args),
    /// Give the versions of a moment a name that means them for ever
    Tag(verbs::tag::Args),
    /// List tags
    Tags(verbs::tag::ListArgs),
    /// List the moments at which something changed
    Points(verbs::points::Args),
    /// Show who last changed each field, and in which version
    Blame(verbs::blame::Args),
    /// Record what was changed outside cfg
    Adopt(verbs::adopt::Args),
    /// Delete a live record, keeping its history
    Rm(verbs::rm::Args),
    /// List what waits for an approval
    Approvals(verbs::approvals::ListArgs),
    /// Show a request for approval: the whole plan and its diff
    Approval(verbs::approvals::ShowArgs),
    /// Approve a plan: by typing a word at the terminal, or by a signature
    Approve(verbs::approvals::ApproveArgs),
    /// Say no to a plan
    Deny(verbs::approvals::DenyArgs),
    /// Write every live document to a folder, one file each
    Export(verbs::export::Args),
    /// Check the whole history: hashes, chain, heads, intervals
    Fsck(verbs::fsck::Args),
    /// Take a leaked value out of every stored version; hashes, numbers and tags stay
    Redact(verbs::redact::Args),
    /// Look for secrets in history and live documents
    #[command(subcommand)]
    Secrets(verbs::secrets::Args),
    /// Look for code that reads fields which are about to go
    Refs(verbs::refs::Args),
    /// Link git commits with the versions that they ship
    Hooks(verbs::hooks::Args),
    /// Show who you are and which env you are on
    Whoami(verbs::whoami::Args),
    /// Show the settings in effect, each with where it comes from
    Config(verbs::config::Args),
    /// Show the version of the program and of its formats
    Version(verbs::version::Args),
    /// Print a completion script for a shell
    Completions(verbs::manual::CompletionsArgs),
    /// Print the man page, or write all of them to a folder
    Man(verbs::manual::ManArgs),
    /// Walk through the main job on a small database of agent configs
    Demo(verbs::demo::Args),
}

impl Verb {
    /// Returns whether Ctrl-C is answered with a word instead of the end: something may be under way.
    pub(crate) fn is_interruptible(&self) -> bool {
        matches!(
            self,
            Verb::Init(_)
                | Verb::Import(_)
                | Verb::Set(_)
                | Verb::Commit(_)
                | Verb::ApplyDoc(_)
                | Verb::Restore(_)
                | Verb::Undo(_)
                | Verb::Activate(_)
                | Verb::Tag(_)
                | Verb::Fsck(_)
                | Verb::Redact(_)
                | Verb::Adopt(_)
                | Verb::Rm(_)
                | Verb::Demo(_)
        )
    }
}
