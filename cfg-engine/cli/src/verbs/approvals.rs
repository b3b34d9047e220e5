//! `approvals`, `approval show`, `approve` and `deny`.

use std::path::{Path, PathBuf};

use cfg_engine::document::Object;
use cfg_engine::engine::{Asked, Signed};
use cfg_engine::plan::{Approval, ApprovalState, Statement, public_key};
use cfg_engine::{Error, Value};
use cfg_engine_connect::{Terminal, new_key, read_key};

use super::files;
use crate::context::Context;
use crate::output::text_object;
use crate::render::reports::planned;
use crate::render::style::{BOLD, CYAN, DIM, GREEN, PLAIN, RED, YELLOW, clean, count, first_line, paint};
use crate::render::table::Table;
use crate::render::time::stamp;
use crate::usage::usage;

/// `cfg approvals`.
#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// Also those that are used, denied or expired
    #[arg(long)]
    all: bool,
}

/// `cfg approval`.
#[derive(Debug, clap::Args)]
pub(crate) struct ShowArgs {
    #[command(subcommand)]
    what: Show,
}

#[derive(Debug, clap::Subcommand)]
enum Show {
    /// Show a request: state, votes, the whole plan and its diff
    Show {
        /// Which; the beginning of its id will do
        #[arg(value_name = "ID")]
        id: String,
    },
}

/// `cfg approve`.
#[derive(Debug, clap::Args)]
pub(crate) struct ApproveArgs {
    /// Which; the beginning of its id will do
    #[arg(value_name = "ID", required_unless_present_any = ["new_key", "public"])]
    id: Option<String>,
    /// Sign with this Ed25519 key instead of typing a word; the policy names its public half
    #[arg(long, value_name = "KEYFILE")]
    sign: Option<PathBuf>,
    /// With --sign: print the signed statement and store nothing
    #[arg(long, requires = "sign")]
    print: bool,
    /// With --sign --print, where the store cannot be reached: the plan that is approved, in full
    #[arg(long, value_name = "PLAN_OID", requires = "print", requires = "by")]
    plan: Option<String>,
    /// With --plan: the name that the policy gives the key
    #[arg(long = "as", value_name = "WHO", requires = "plan")]
    by: Option<String>,
    /// Hand in a statement that was signed elsewhere; - is standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["sign", "print"])]
    statement: Option<PathBuf>,
    /// Make a key, write it to a new file and print its public half
    #[arg(long, value_name = "FILE", conflicts_with_all = ["id", "sign", "statement", "public"])]
    new_key: Option<PathBuf>,
    /// Print the public half of a key
    #[arg(long, value_name = "KEYFILE", conflicts_with_all = ["id", "sign", "statement"])]
    public: Option<PathBuf>,
}

/// `cfg deny`.
#[derive(Debug, clap::Args)]
pub(crate) struct DenyArgs {
    /// Which; the beginning of its id will do
    #[arg(value_name = "ID")]
    id: String,
    /// Why; whoever asked is told
    #[arg(long, value_name = "WHY", default_value = "")]
    reason: String,
}

/// Shows the plan that an approval was just asked for.
pub(crate) async fn asked(context: &Context, error: &Error) {
    let Error::ApprovalRequired { request, .. } = error else { return };
    let Some(plan) = request.get("plan") else { return };
    if context.out.is_json() {
        return;
    }
    let list = |of: &Value, member: &str| of.get(member).and_then(Value::as_array).unwrap_or_default().to_vec();
    let objects = request.get("objects").and_then(Value::as_array).unwrap_or_default();
    let oid = plan.get("plan_oid").and_then(Value::as_str).unwrap_or_default();
    if let Ok(project) = context.reader().await {
        context.out.report(&what(&project, oid, objects, &list(plan, "changes")));
    }
}

pub(crate) async fn list(context: &Context, args: ListArgs) -> Result<u8, Error> {
    let project = context.reader().await?;
    let now = project.now_there().await?;
    let mut found = project.approvals().await?;
    found.retain(|approval| args.all || !approval.state_at(now).is_over());
    if context.out.is_json() {
        context.out.json(found.iter().map(|approval| approval.to_object(now)).collect::<Vec<Object>>());
        return Ok(0);
    }
    if found.is_empty() {
        context.out.note("nothing waits for an approval");
        return Ok(0);
    }
    let mut table = Table::default();
    for approval in &found {
        let state = approval.state_at(now);
        table.row([
            (approval.id.clone(), YELLOW),
            (state.to_string(), style(state)),
            (approval.verb.clone(), PLAIN),
            (count(usize::try_from(approval.changes).unwrap_or(usize::MAX), "record"), PLAIN),
            (clean(&approval.author.id), GREEN),
            (format!("until {}", stamp(approval.expires_at)), DIM),
            (first_line(&approval.message, 60), PLAIN),
        ]);
    }
    context.out.text(&table.render());
    Ok(0)
}

fn style(state: ApprovalState) -> anstyle::Style {
    match state {
        ApprovalState::Approved | ApprovalState::Used => GREEN,
        ApprovalState::Denied | ApprovalState::Expired => RED,
        _ => CYAN,
    }
}

pub(crate) async fn show(context: &Context, args: ShowArgs) -> Result<u8, Error> {
    let Show::Show { id } = args.what;
    let project = context.reader().await?;
    let shown = project.approval(&id).await?;
    if context.out.is_json() {
        context.out.json(shown.to_object());
    } else {
        let state = shown.approval.state_at(shown.now);
        let mut text = about(&shown.approval, state);
        text.push_str(&what(&project, &shown.approval.plan_oid, &shown.approval.objects, &shown.changes));
        context.out.text(&text);
        if !shown.is_intact {
            context.out.warn("what is stored of this plan is not what its address says: nobody can approve it");
        }
        if state == ApprovalState::Pending {
            context.out.hint(&format!("approve it: cfg approve {0}   or say no: cfg deny {0}", shown.approval.id));
        }
    }
    Ok(0)
}

fn about(approval: &Approval, state: ApprovalState) -> String {
    let mut text = format!(
        "{} {} {}\n",
        paint(BOLD, &format!("approval {}", approval.id)),
        paint(style(state), state.as_str()),
        paint(DIM, &format!("until {}", stamp(approval.expires_at)))
    );
    let mut line = |word: &str, value: &str| text.push_str(&format!("{word:<12} {}\n", clean(value)));
    line("env", approval.env.as_str());
    line("verb", &format!("{}{}", approval.verb, if approval.forced { ", forced" } else { "" }));
    let operator = approval.operator.as_ref().map_or_else(String::new, |user| format!(" (user {user})"));
    line("asked by", &format!("{}, {}{operator}", approval.author.id, approval.author.class.as_str()));
    line("why", &approval.message);
    line("plan", &approval.plan_oid);
    for vote in &approval.votes {
        line("approved by", &format!("{}, {}, {}", vote.by, vote.provider, stamp(vote.at)));
    }
    if let Some(denied) = &approval.denied {
        line("denied by", &format!("{}: {}", denied.by, denied.reason));
    }
    if let Some(by) = &approval.applied_by {
        line("applied by", by);
    }
    text
}

fn what(project: &cfg_engine::Project, plan_oid: &str, objects: &[Value], changes: &[Value]) -> String {
    let mut text = String::new();
    for object in objects {
        let word = |member: &str| clean(object.get(member).and_then(Value::as_str).unwrap_or_default());
        let verb = if object.get("body").is_none_or(Value::is_null) { "delete" } else { "write" };
        text.push_str(&format!("{} {}\n", paint(BOLD, &format!("would {verb} {}", word("kind"))), word("name")));
        if let Some(body) = object.get("body").filter(|body| !body.is_null()) {
            text.push_str(&format!("  {}\n", clean(&body.to_interchange())));
        }
    }
    let shown = Object::new().with("plan_oid", plan_oid).with("changes", Value::Array(changes.to_vec()));
    if !changes.is_empty() {
        text.push_str(&planned(project, &shown));
    }
    text
}

pub(crate) async fn approve(context: &Context, args: ApproveArgs) -> Result<u8, Error> {
    if let Some(file) = args.new_key.as_ref() {
        return public(context, &new_key(file)?);
    }
    if let Some(file) = args.public.as_ref() {
        return public(context, &read_key(file)?);
    }
    let Some(id) = args.id.as_deref() else {
        return Err(usage("no request is named", "list them with: cfg approvals"));
    };
    if let (Some(file), Some(plan), Some(by)) = (&args.sign, &args.plan, &args.by) {
        return offline(context, file, id, plan, by);
    }
    let project = context.writer().await?;
    let approval = match (&args.sign, &args.statement) {
        (Some(file), _) => {
            let signed = sign(&project, id, file).await?;
            if args.print {
                print(context, &signed);
                return Ok(0);
            }
            project.approve(id, &signed).await?
        }
        (None, Some(file)) => {
            let statement = files::value(file)?;
            let statement = statement
                .as_object()
                .ok_or_else(|| usage("a statement is an object", "hand in what --print printed"))?;
            project.approve(id, &Signed::from_object(statement)?).await?
        }
        (None, None) => {
            let shown = project.clone();
            let terminal = Terminal::new(move |asked: &Asked<'_>| {
                let state = asked.approval.state_at(asked.now);
                let text = about(asked.approval, state)
                    + &what(&shown, &asked.approval.plan_oid, &asked.approval.objects, asked.changes);
                anstream::adapter::strip_str(&text).to_string()
            });
            project.approve(id, &terminal).await?
        }
    };
    decided(context, &project, &approval).await
}

fn public(context: &Context, seed: &[u8; 32]) -> Result<u8, Error> {
    let key = public_key(seed).to_string();
    if context.out.is_json() {
        context.out.json(text_object("public_key", &key));
    } else {
        context.out.data(&format!("{key}\n"));
        context.out.note("name it in approvers of [env.NAME.rules]: \"WHO KEY\"");
    }
    Ok(0)
}

async fn sign(project: &cfg_engine::Project, id: &str, file: &Path) -> Result<Signed, Error> {
    let seed = read_key(file)?;
    let by = project.signer(&public_key(&seed)).await?;
    let statement = project.find_approval(id).await?.statement(&by);
    Ok(Signed { signature: statement.sign(&seed), statement })
}

fn offline(context: &Context, file: &Path, id: &str, plan: &str, by: &str) -> Result<u8, Error> {
    let env = context.global.env.as_deref();
    let env = env.ok_or_else(|| usage("no env is named", "name it: --env prod"))?;
    let is_hex = |text: &str, digits: usize| {
        text.len() == digits && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    if !is_hex(plan, 64) || !is_hex(id, 12) {
        return Err(usage(
            "a signature is for one request and one plan, each in full",
            "copy both from: cfg approval show ID",
        ));
    }
    let statement =
        Statement { env: env.to_owned(), approval: id.to_owned(), plan_oid: plan.to_owned(), by: by.to_owned() };
    let signature = statement.sign(&read_key(file)?);
    print(context, &Signed { statement, signature });
    Ok(0)
}

fn print(context: &Context, signed: &Signed) {
    match context.out.is_json() {
        true => context.out.json(signed.to_object()),
        false => context.out.data(&format!("{}\n", Value::Object(signed.to_object()).to_interchange())),
    }
}

async fn decided(context: &Context, project: &cfg_engine::Project, approval: &Approval) -> Result<u8, Error> {
    let now = project.now_there().await?;
    let state = approval.state_at(now);
    if context.out.is_json() {
        context.out.json(approval.to_object(now));
        return Ok(0);
    }
    context.out.report(&format!("approval {} is {}\n", approval.id, paint(style(state), state.as_str())));
    match state {
        ApprovalState::Approved => {
            context.out.hint(&format!("whoever asked makes the same call again with --approval {}", approval.id));
        }
        ApprovalState::Pending => context.out.hint("it takes one more; see the policy with: cfg config"),
        _ => {}
    }
    Ok(0)
}

pub(crate) async fn deny(context: &Context, args: DenyArgs) -> Result<u8, Error> {
    let project = context.writer().await?;
    let approval = project.deny(&args.id, &args.reason).await?;
    decided(context, &project, &approval).await
}
