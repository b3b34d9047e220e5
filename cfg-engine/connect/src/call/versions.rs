//! Verbs about single versions: making one live, taking one back, asking who changed what.

use cfg_engine::Error;
use cfg_engine::document::Object;
use cfg_engine::engine::{Activate, Points, Undo};
use cfg_engine::history::{RecordKey, Reference, Seq};

use super::args::{Args, field_path, usage};
use super::{Answer, Session};

impl Session {
    /// Takes a record and a version, which must be named.
    async fn one_version(&self, args: &mut Args, verb: &str) -> Result<(RecordKey, Reference), Error> {
        let (record, reference) = self.version(args).await?;
        let missing = || {
            let hint = format!("list them with: cfg log {}   and name one, such as @3", record.id);
            usage(format!("{verb} needs a version"), hint)
        };
        let reference = reference.ok_or_else(missing)?;
        Ok((record, reference))
    }

    /// `activate`: a version becomes the live row, and the one that was live steps back.
    pub(super) async fn activate(&self, mut args: Args) -> Result<Answer, Error> {
        let options = self.options(&mut args)?;
        let (record, reference) = self.one_version(&mut args, "activate").await?;
        let mut activate = Activate::new(record, reference);
        activate.without_secrets = args.flag("without_secrets")?;
        activate.force = args.flag("force")?;
        args.done()?;
        Answer::single(self.writer()?.activate(&activate, &options).await?)
    }

    /// `undo`: takes back what one version changed.
    pub(super) async fn undo(&self, mut args: Args) -> Result<Answer, Error> {
        let options = self.options(&mut args)?;
        let (record, reference) = self.one_version(&mut args, "undo").await?;
        let mut undo = Undo::new(record, reference);
        undo.without_secrets = args.flag("without_secrets")?;
        args.done()?;
        Answer::single(self.writer()?.undo(&undo, &options).await?)
    }

    /// `blame`: which version each field comes from.
    pub(super) async fn blame(&self, mut args: Args) -> Result<Answer, Error> {
        let path = args.text("path")?.as_deref().map(field_path).transpose()?;
        let record = args.record(&self.reader).await?;
        args.done()?;
        let lines = self.reader.blame(&record, path.as_ref()).await?;
        Ok(Answer::of(lines.iter().map(|line| line.to_object()).collect::<Vec<Object>>()))
    }

    /// `points`: the moments at which something changed.
    pub(super) async fn points(&self, mut args: Args) -> Result<Answer, Error> {
        let window = args.count("window_ms")?.map_or(Ok(Points::WINDOW), |window| {
            i64::try_from(window).map_err(|_| usage("window_ms is too long", "give a span in milliseconds"))
        })?;
        let around = args.moment("around")?;
        let record = if args.has("id") { Some(args.record(&self.reader).await?) } else { None };
        let collection = args.collection(&self.reader)?;
        args.done()?;
        let points = self.reader.points(&Points { record, collection, around, window }).await?;
        Ok(Answer::of(points.iter().map(|point| point.to_object()).collect::<Vec<Object>>()))
    }

    /// `link`: a git commit, `sha`, shipped a version, `seq`.
    pub(super) async fn link(&self, mut args: Args) -> Result<Answer, Error> {
        let project = self.writer()?;
        let options = self.options(&mut args)?;
        let sha = args.text("sha")?.ok_or_else(|| usage("link needs a sha", "name the git commit"))?;
        let seq = args.count("seq")?.ok_or_else(|| usage("link needs a seq", "name the version by its number"))?;
        let record = args.record(project).await?;
        args.done()?;
        project.link(&[(record, Seq(seq))], &sha, &options).await?;
        Ok(Answer::default())
    }
}
