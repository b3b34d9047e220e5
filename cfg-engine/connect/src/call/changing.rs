//! Verbs that change something.

use std::path::Path;

use cfg_engine::document::{Assignment, Object, Treatment, parse_assignments};
use cfg_engine::engine::{
    Adopt, Commit, CommitItem, HistoryImport, HistorySource, Import, Options, Progress, Project, Remove, Restore, State,
};
use cfg_engine::history::{CollectionName, RecordKey, Reference};
use cfg_engine::plan::{Base, Content};
use cfg_engine::{Error, Value};

use super::args::{Args, field_path, usage};
use super::reading::nothing_staged;
use super::{Answer, Session};
use crate::history_file::HistoryFile;

/// What is committed, and which of it was staged.
struct Batch {
    items: Vec<CommitItem>,
    staged: Vec<RecordKey>,
    many: bool,
}

impl Session {
    pub(super) fn options(&self, args: &mut Args) -> Result<Options, Error> {
        args.options(self.author_class()?)
    }

    /// `init`.
    pub(super) async fn init(&self, mut args: Args) -> Result<Answer, Error> {
        if args.flag("loosen")? {
            let options = self.options(&mut args)?;
            args.done()?;
            return Ok(Answer::of(self.writer()?.loosen(&options).await?));
        }
        let dry_run = args.flag("dry_run")?;
        args.done()?;
        let report = self.writer()?.init(dry_run).await?;
        let ambiguous = report.ambiguous.iter().map(|(_, error)| error);
        Ok(Answer::judged(report.to_object(), report.exit_code(), ambiguous))
    }

    /// `commit`: `items` of `id` and one of `doc`, `patch`, `merge_patch`, `set`, `assign` (with `delete`);
    /// or what is staged for `ids`, or, with `all`, for everything.
    pub(super) async fn commit(&self, mut args: Args) -> Result<Answer, Error> {
        let project = self.writer()?;
        let options = self.options(&mut args)?;
        let batch = match args.list("items")? {
            Some(items) => {
                // Some of several only where the caller says so: then one is a batch too.
                let many = args.flag("many")? || items.len() != 1;
                let mut read = Vec::with_capacity(items.len());
                for item in items {
                    read.push(self.item(project, item).await?);
                }
                Batch { items: read, staged: Vec::new(), many }
            }
            None => self.staged(project, &mut args).await?,
        };
        let commit = Commit {
            items: batch.items,
            allow_noop: args.flag("allow_noop")?,
            allow_removal: args.flag("allow_removal")?,
            without_secrets: args.flag("without_secrets")?,
            force: args.flag("force")?,
            meta: args.object("meta")?.unwrap_or_default(),
        };
        args.done()?;
        let report = project.commit(&commit, &options).await?;
        if !options.dry_run {
            let staging = self.opened.staging();
            for record in &batch.staged {
                staging.remove(record)?;
            }
        }
        if batch.many { Ok(Answer::several(&report)) } else { Answer::single(report) }
    }

    async fn item(&self, project: &Project, item: Value) -> Result<CommitItem, Error> {
        let Value::Object(item) = item else {
            return Err(usage("an item of a commit is not an object", "give each as {id, doc}"));
        };
        let mut args = Args::new("commit", item);
        let base = args.base()?;
        let reference = args.text("base_ref")?.as_deref().map(Reference::parse).transpose()?;
        let record = match (args.take("id"), &base) {
            // The same record here; a document of another env is the engine's to refuse.
            (None, Some(base)) => RecordKey { env: self.opened.env.name.clone(), ..base.record.clone() },
            (None, None) => {
                return Err(usage("no record is named", "give the id, or a document that carries its base"));
            }
            (Some(id), _) => {
                let text = super::args::address(project, &id, args.text("collection")?.as_deref());
                project.record(&text).await?
            }
        };
        let base = match reference {
            Some(reference) => {
                let entry = project.entry_at(&record, &reference).await?;
                Some(Base { record: record.clone(), seq: Some(entry.header.seq), oid: entry.header.oid })
            }
            None => base,
        };
        let content = content(project, &record, &mut args)?;
        args.done()?;
        Ok(CommitItem { record, content, base })
    }

    async fn staged(&self, project: &Project, args: &mut Args) -> Result<Batch, Error> {
        let staging = self.opened.staging();
        let (all, many) = (args.flag("all")?, args.flag("many")?);
        let (found, several) = match args.records(project).await? {
            _ if all => (staging.all(&project.settings().env)?, true),
            Some(records) => {
                let find = |record: &RecordKey| staging.get(record)?.ok_or_else(|| nothing_staged(record));
                (records.iter().map(find).collect::<Result<Vec<_>, Error>>()?, records.len() != 1)
            }
            None => return Err(usage("nothing is given to commit", "give a document, or ids of staged ones, or all")),
        };
        let mut batch = Batch { items: Vec::new(), staged: Vec::new(), many: many || several };
        for staged in found {
            let record = staged.record().clone();
            batch.staged.push(record.clone());
            batch.items.push(CommitItem { record, content: Content::Document(staged.doc), base: Some(staged.base) });
        }
        Ok(batch)
    }

    /// `restore`.
    pub(super) async fn restore(&self, mut args: Args) -> Result<Answer, Error> {
        let options = self.options(&mut args)?;
        let (record, reference) = self.version(&mut args).await?;
        let reference = reference.ok_or_else(|| {
            usage("no version is named", format!("list them with: cfg log {}   and name one, such as @1", record.id))
        })?;
        let restore = Restore {
            secrets: args.secrets()?,
            without_secrets: args.flag("without_secrets")?,
            force: args.flag("force")?,
            ..Restore::new(record, reference)
        };
        args.done()?;
        Answer::single(self.writer()?.restore(&restore, &options).await?)
    }

    /// `rm`.
    pub(super) async fn rm(&self, mut args: Args) -> Result<Answer, Error> {
        let project = self.writer()?;
        let options = self.options(&mut args)?;
        let (base, force) = (args.base()?, args.flag("force")?);
        let record = args.record(project).await?;
        args.done()?;
        Answer::single(project.remove(&Remove { record, base, force }, &options).await?)
    }

    /// `adopt`: `ids`, or with `all` everything that differs. With `many`, one id is a row of a report too.
    pub(super) async fn adopt(&self, mut args: Args, progress: Option<&dyn Progress>) -> Result<Answer, Error> {
        let project = self.writer()?;
        let options = self.options(&mut args)?;
        let (all, many) = (args.flag("all")?, args.flag("many")?);
        let adopt = match args.records(project).await? {
            Some(records) if !all => Adopt::Records(records),
            None if all => Adopt::All,
            _ => return Err(usage("adopt takes ids, or all", "name the records, or take everything that differs")),
        };
        args.done()?;
        let one = !many && matches!(&adopt, Adopt::Records(records) if records.len() == 1);
        let report = project.adopt(&adopt, &options, progress).await?;
        if one { Answer::single(report) } else { Ok(Answer::several(&report)) }
    }

    /// `import`: `ids`, or with `all` every untracked record, or those of a `collection`; `many` as in `adopt`.
    pub(super) async fn import(&self, mut args: Args, progress: Option<&dyn Progress>) -> Result<Answer, Error> {
        let project = self.writer()?;
        let options = self.options(&mut args)?;
        let strip_backups = args.flag("strip_backups")?;
        let valid_from = args.moment("valid_from")?;
        let (all, many) = (args.flag("all")?, args.flag("many")?);
        let (records, one) = match args.records(project).await? {
            Some(records) if !all => (Some(records.clone()), !many && records.len() == 1),
            None if all => match args.collection(project)? {
                Some(collection) => (Some(untracked(project, collection).await?), false),
                None => (None, false),
            },
            _ => return Err(usage("import takes ids, or all", "name the records, or take every untracked one")),
        };
        args.done()?;
        let import = Import { records, valid_from };
        let report = match strip_backups {
            true => project.import_stripped(&import, &options, progress).await?,
            false => project.import(&import, &options, progress).await?,
        };
        if one { Answer::single(report) } else { Ok(Answer::several(&report)) }
    }

    /// `import_history`: from a `file`, or `lines` that are texts or objects.
    pub(super) async fn import_history(
        &self,
        mut args: Args,
        progress: Option<&dyn Progress>,
    ) -> Result<Answer, Error> {
        let project = self.writer()?;
        let options = self.options(&mut args)?;
        let collection = match (args.collection(project)?, project.collections()) {
            (Some(collection), _) => collection,
            (None, [only]) => only.name.clone(),
            (None, _) => {
                return Err(usage("no collection is named, and there are several", "say into which: collection"));
            }
        };
        let import = HistoryImport { collection, seed_live: args.flag("seed_live")? };
        let mut source = source(&mut args)?;
        args.done()?;
        let report = project.import_history(&import, &mut *source, &options, progress).await?;
        let failures = report.failed.iter().map(|(_, error)| error);
        Ok(Answer::judged(report.to_object(), report.exit_code(), failures))
    }
}

async fn untracked(project: &Project, collection: CollectionName) -> Result<Vec<RecordKey>, Error> {
    let status = project.status(Some(collection), false, &cfg_engine::engine::Staged::new(), None).await?;
    Ok(status.rows.into_iter().filter(|row| row.state == State::Untracked).map(|row| row.record).collect())
}

/// Takes what an item writes.
fn content(project: &Project, record: &RecordKey, args: &mut Args) -> Result<Content, Error> {
    let delete = args.flag("delete")?;
    let words = args.list("set")?;
    let fields = args.object("assign")?;
    let secrets = args.secrets()?;
    let whole = match (args.take("doc"), args.take("patch"), args.take("merge_patch")) {
        (Some(doc), None, None) => Some(Content::Document(doc)),
        (None, Some(patch), None) => Some(Content::JsonPatch(patch)),
        (None, None, Some(patch)) => Some(Content::MergePatch(patch)),
        (None, None, None) => None,
        _ => return Err(usage("doc, patch and merge_patch exclude each other", "give one of them")),
    };
    let relative = words.is_some() || fields.is_some() || !secrets.is_empty();
    match whole {
        Some(content) if !relative => return Ok(content),
        Some(_) => return Err(usage("a document or patch, and fields beside it", "put the fields into it")),
        None if !relative => return Err(usage("there is nothing to commit", "give doc, patch, merge_patch or set")),
        None => {}
    }
    let mut assignments = Vec::new();
    if let Some(words) = words.filter(|words| !words.is_empty()) {
        let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
        let read = parse_assignments(&words, delete);
        assignments = read.map_err(|e| {
            let hint = "look at the forms with: cfg set --help".to_owned();
            Error::refused_for(record, "bad_assignment", e.to_string(), hint)
        })?;
    }
    for (path, value) in fields.unwrap_or_default() {
        assignments.push(Assignment::Set { path: field_path(&path)?, value });
    }
    for (path, value) in secrets {
        if project.collection(&record.collection)?.policy.treatment(&path) != Treatment::Secret {
            return Err(Error::refused_for(
                record,
                "bad_secret_path",
                format!("{path} is not a secret field"),
                "add it to secret_fields in .cfg.toml first, so that history never stores it",
            ));
        }
        assignments.push(Assignment::Set { path, value });
    }
    Ok(Content::Assignments(assignments))
}

/// Takes where a history comes from.
fn source(args: &mut Args) -> Result<Box<dyn HistorySource + Sync>, Error> {
    let unreadable = |name: &str, e: &std::io::Error| {
        Error::refused("unreadable_file", format!("cannot read {name}: {e}"), "check the file's name and content")
    };
    match (args.text("file")?, args.list("lines")?) {
        (Some(file), None) => {
            let source = HistoryFile::open(Path::new(&file)).map_err(|e| unreadable(&file, &e))?;
            Ok(Box::new(source))
        }
        (None, Some(lines)) => {
            let mut text = String::new();
            for line in lines {
                text.push_str(&line.as_str().map_or_else(|| line.to_interchange(), str::to_owned));
                text.push('\n');
            }
            let source = HistoryFile::spool(text.as_bytes()).map_err(|e| unreadable("the lines", &e))?;
            Ok(Box::new(source))
        }
        _ => Err(usage("a history comes from a file or from lines", "give one of file and lines")),
    }
}

/// What a reply hands back for a written record: the document and base to go on with, and all entries.
pub(super) fn reply(written: &cfg_engine::engine::Written) -> Object {
    Object::new()
        .with("collection", written.entry.header.record.collection.as_str())
        .with("config_id", written.entry.header.record.id.to_value())
        .with("doc", written.doc.as_deref().cloned())
        .with("base", written.base.to_object())
        .with("entries", written.entries.iter().map(|entry| entry.to_object(&[])).collect::<Vec<_>>())
}
