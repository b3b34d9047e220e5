//! Verbs about the whole system at a moment: tags, and going back to one.

use cfg_engine::Error;
use cfg_engine::document::Object;
use cfg_engine::engine::{Moment, Progress, RestoreAll, RestoreReport, SetTag, TagTarget};
use cfg_engine::history::{Reference, TagName};

use super::args::{Args, usage};
use super::{Answer, Session};

impl Session {
    /// `tag`: of everything, of a `collection`, `as_of` a time; of one record `id` with `ref`; or of `versions`,
    /// each `{id, ref}`. `force` moves it, `delete` deletes it.
    pub(super) async fn tag(&self, mut args: Args) -> Result<Answer, Error> {
        let project = self.writer()?;
        let options = self.options(&mut args)?;
        let name = args.text("name")?.ok_or_else(|| usage("tag needs a name", "name it, such as v1"))?;
        let name = TagName::new(&name)?;
        let (delete, force) = (args.flag("delete")?, args.flag("force")?);
        if delete {
            args.done()?;
            return Ok(Answer::of(project.delete_tag(&name, &options).await?.to_object()));
        }
        let target = match (args.list("versions")?, args.has("id")) {
            (Some(versions), false) => {
                let mut found = Vec::with_capacity(versions.len());
                for version in versions {
                    let mut version = Args::new("tag", version.as_object().cloned().unwrap_or_default());
                    let (record, reference) = self.version(&mut version).await?;
                    version.done()?;
                    found.push((record, reference.unwrap_or(Reference::Head)));
                }
                TagTarget::Versions(found)
            }
            (None, true) => {
                let (record, reference) = self.version(&mut args).await?;
                TagTarget::Versions(vec![(record, reference.unwrap_or(Reference::Head))])
            }
            (None, false) => TagTarget::System { collection: args.collection(project)?, as_of: args.moment("as_of")? },
            (Some(_), true) => return Err(usage("versions and an id", "name the records in one way")),
        };
        args.done()?;
        Ok(Answer::of(project.set_tag(&SetTag { name, target, force }, &options).await?.to_object()))
    }

    /// `tags`.
    pub(super) async fn tags(&self, args: Args) -> Result<Answer, Error> {
        args.done()?;
        let tags = self.reader.tags().await?;
        Ok(Answer::of(tags.iter().map(|tag| tag.to_object()).collect::<Vec<Object>>()))
    }

    /// `restore_all`: to a `tag` or to what was live `as_of` a time.
    pub(super) async fn restore_all(&self, mut args: Args, progress: Option<&dyn Progress>) -> Result<Answer, Error> {
        let project = self.writer()?;
        let options = self.options(&mut args)?;
        let to = match (args.text("tag")?, args.moment("as_of")?) {
            (Some(name), None) => Moment::Tag(TagName::new(&name)?),
            (None, Some(time)) => Moment::At(time),
            _ => return Err(usage("a restore of everything goes to a tag or to a time", "name one of tag and as_of")),
        };
        let mut restore = RestoreAll::new(to);
        restore.only = args.records_named(project, "only").await?;
        restore.except = args.records_named(project, "except").await?.unwrap_or_default();
        restore.include_deleted = !args.has("include_deleted") | args.flag("include_deleted")?;
        restore.prune = args.flag("prune")?;
        restore.adopt_drift = args.flag("adopt_drift")?;
        restore.without_secrets = args.flag("without_secrets")?;
        restore.plan = args.text("plan")?;
        args.done()?;
        Ok(of_restore(&project.restore_all(&restore, &options, progress).await?))
    }

    /// `resume`: goes on with a restore of everything that is not done, by its `token`.
    pub(super) async fn resume(&self, mut args: Args, progress: Option<&dyn Progress>) -> Result<Answer, Error> {
        let project = self.writer()?;
        let options = self.options(&mut args)?;
        let token = args.text("token")?.ok_or_else(|| usage("resume needs a token", "give the restore_token"))?;
        args.done()?;
        Ok(of_restore(&project.resume(&token, None, &options, progress).await?))
    }
}

fn of_restore(report: &RestoreReport) -> Answer {
    Answer::judged(report.to_object(), report.exit_code(), report.failed().map(|(_, error)| error))
}
