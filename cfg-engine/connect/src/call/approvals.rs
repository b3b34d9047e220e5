//! Approvals: looking at requests, handing in a signature, saying no. A program has no terminal that counts.

use cfg_engine::Error;
use cfg_engine::document::Object;
use cfg_engine::engine::Signed;

use super::args::{Args, usage};
use super::{Answer, Session};

fn id(args: &mut Args, verb: &str) -> Result<String, Error> {
    args.text("id")?.ok_or_else(|| usage(format!("{verb} needs an id"), "list them with: cfg approvals"))
}

impl Session {
    /// `approvals`: those that are waiting, or with `all` every one.
    pub(super) async fn approvals(&self, mut args: Args) -> Result<Answer, Error> {
        let all = args.flag("all")?;
        args.done()?;
        let now = self.reader.now_there().await?;
        let found = self.reader.approvals().await?;
        let shown = found.iter().filter(|approval| all || !approval.state_at(now).is_over());
        Ok(Answer::of(shown.map(|approval| approval.to_object(now)).collect::<Vec<Object>>()))
    }

    /// `approval`: one request with its plan.
    pub(super) async fn approval(&self, mut args: Args) -> Result<Answer, Error> {
        let id = id(&mut args, "approval")?;
        args.done()?;
        Ok(Answer::of(self.reader.approval(&id).await?.to_object()))
    }

    /// `approve`: with a `statement` that somebody signed.
    pub(super) async fn approve(&self, mut args: Args) -> Result<Answer, Error> {
        let id = id(&mut args, "approve")?;
        let statement = args.object("statement")?.ok_or_else(|| {
            usage(
                "a program approves by a signed statement",
                "sign: cfg approve ID --sign KEYFILE --print   or approve on a terminal: cfg approve ID",
            )
        })?;
        args.done()?;
        let project = self.writer()?;
        let approval = project.approve(&id, &Signed::from_object(&statement)?).await?;
        Ok(Answer::of(approval.to_object(project.now_there().await?)))
    }

    /// `deny`.
    pub(super) async fn deny(&self, mut args: Args) -> Result<Answer, Error> {
        let id = id(&mut args, "deny")?;
        let reason = args.text("reason")?.unwrap_or_default();
        args.done()?;
        let project = self.writer()?;
        let approval = project.deny(&id, &reason).await?;
        Ok(Answer::of(approval.to_object(project.now_there().await?)))
    }
}
