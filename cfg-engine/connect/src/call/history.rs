//! Versions: lists of them, and what held at a moment.

use cfg_engine::adapter::{AsOf, Scope};
use cfg_engine::document::Object;
use cfg_engine::engine::{AsOfEntry, Log, LogAxis};
use cfg_engine::history::{RecordKey, TagName};
use cfg_engine::{Error, Value};

use super::args::Args;
use super::{Answer, Session};

impl Session {
    /// `log`: versions, newest first; with `as_of` or `as_of_recorded` what held then, of everything, of one
    /// record or of `ids`.
    pub(super) async fn log(&self, mut args: Args) -> Result<Answer, Error> {
        let axis = LogAxis { valid: args.moment("as_of")?, recorded: args.moment("as_of_recorded")? };
        let author = args.text("author")?;
        let limit = args.count("limit")?;
        let with_doc = args.flag("with_doc")?;
        if let Some(at) = axis.as_of() {
            let mut rows = self.held(&mut args, at, with_doc).await?;
            if let Some(author) = author {
                rows.retain(|row| row.entry.header.author.id == author);
            }
            rows.truncate(limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX)));
            return Ok(Answer::of(rows.iter().map(AsOfEntry::to_object).collect::<Vec<Object>>()));
        }
        let record = match args.take("id") {
            Some(id) => Some(self.named(&mut args, &id).await?),
            None => None,
        };
        if let Some(name) = args.text("tag")? {
            args.done()?;
            let entries = self.reader.log_tag(&TagName::new(&name)?, record.as_ref(), with_doc).await?;
            let tags = self.reader.tags_for(&entries).await?;
            return Ok(Answer::of(
                entries.iter().map(|entry| entry.to_object(tags.of(entry))).collect::<Vec<Object>>(),
            ));
        }
        let log = Log {
            collection: if record.is_none() { args.collection(&self.reader)? } else { None },
            record,
            since: args.beginning("since")?,
            until: args.moment("until")?,
            author,
            git_sha: args.text("git_sha")?,
            limit,
            with_doc,
        };
        args.done()?;
        let entries = self.reader.log(&log).await?;
        let tags = self.reader.tags_for(&entries).await?;
        Ok(Answer::of(entries.iter().map(|entry| entry.to_object(tags.of(entry))).collect::<Vec<Object>>()))
    }

    async fn named(&self, args: &mut Args, id: &Value) -> Result<RecordKey, Error> {
        let text = super::args::address(&self.reader, id, args.text("collection")?.as_deref());
        self.reader.record(&text).await
    }

    async fn held(&self, args: &mut Args, at: AsOf, with_doc: bool) -> Result<Vec<AsOfEntry>, Error> {
        if let Some(records) = args.records(&self.reader).await? {
            args.done()?;
            return self.reader.held(&Scope::Records(records), at, with_doc).await;
        }
        let record = match args.take("id") {
            Some(id) => Some(self.named(args, &id).await?),
            None => None,
        };
        let collection = args.collection(&self.reader)?;
        args.done()?;
        self.reader.log_as_of(record.as_ref(), collection, at, with_doc).await
    }
}
