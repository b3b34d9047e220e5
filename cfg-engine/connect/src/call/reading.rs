//! Verbs that look at what is there.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use cfg_engine::document::{Dialect, Object};
use cfg_engine::engine::{DiffSide, Document, Progress, Shown};
use cfg_engine::history::{CollectionName, RecordKey, Reference};
use cfg_engine::outcome::combined_exit;
use cfg_engine::{Error, Value};

use super::args::{Args, field_path, usage};
use super::{Answer, Session};
use crate::file_names::record_file_stem;

impl Session {
    /// `address`: which record and version a text means.
    pub(super) async fn address(&self, mut args: Args) -> Result<Answer, Error> {
        let text = args.address(&self.reader)?;
        args.done()?;
        let address = self.reader.resolve(&text).await?;
        Ok(Answer::of(record_object(&address.record).with("reference", address.reference.map(|r| r.to_string()))))
    }

    /// `get`: one document with its base by `id`, or rows by `ids`.
    pub(super) async fn get(&self, mut args: Args) -> Result<Answer, Error> {
        let Some(records) = args.records(&self.reader).await? else {
            let record = args.record(&self.reader).await?;
            args.done()?;
            return Ok(Answer::of(self.reader.get(&record).await?.to_object()));
        };
        args.done()?;
        let mut found = self.reader.get_many(&records).await?;
        // As they were asked for; each once.
        found.sort_by_key(|(record, _)| records.iter().position(|asked| asked == record));
        let rows: Vec<Object> = found.iter().map(|(record, found)| row(record, found)).collect();
        let failed = || found.iter().filter_map(|(_, found)| found.as_ref().err());
        Ok(Answer::judged(rows, combined_exit(failed().map(|e| e.kind().exit_code())), failed()))
    }

    /// `show`: one version, or with `field` a value of it.
    pub(super) async fn show(&self, mut args: Args) -> Result<Answer, Error> {
        let (record, reference) = self.version(&mut args).await?;
        let path = args.text("field")?.as_deref().map(field_path).transpose()?;
        args.done()?;
        let shown = match reference.unwrap_or(Reference::Head) {
            Reference::Staged => Shown::Live(Box::new(self.staged_document(&record)?)),
            other => self.reader.show(&record, &other).await?,
        };
        match path {
            Some(path) => Ok(Answer::of(self.reader.field(&shown, &path)?.clone())),
            None => Ok(Answer::of(shown.to_object())),
        }
    }

    /// Takes a record, and the version named with it or as `ref`.
    pub(super) async fn version(&self, args: &mut Args) -> Result<(RecordKey, Option<Reference>), Error> {
        let text = args.address(&self.reader)?;
        let second = args.text("ref")?;
        let address = self.reader.resolve(&text).await?;
        match (address.reference, second.as_deref().map(Reference::parse).transpose()?) {
            (Some(first), Some(second)) => Err(usage(
                format!("two versions of one record are named, {first} and {second}"),
                "name one, or compare them with: cfg diff",
            )),
            (first, second) => Ok((address.record, first.or(second))),
        }
    }

    fn staged_document(&self, record: &RecordKey) -> Result<Document, Error> {
        let staged = self.opened.staging().get(record)?.ok_or_else(|| nothing_staged(record))?;
        Ok(Document { doc: staged.doc, base: staged.base })
    }

    /// `status`: of `ids`, of a `collection`, or of everything.
    pub(super) async fn status(&self, mut args: Args, progress: Option<&dyn Progress>) -> Result<Answer, Error> {
        let env = &self.opened.env.name;
        // A staged file that cannot be used is no reason not to compare the rest.
        let staging = self.opened.staging();
        let surveyed = staging.survey(env);
        let mut everything = false;
        let mut status = match args.records(&self.reader).await? {
            Some(records) => {
                args.done()?;
                self.reader.status_of(&records, &surveyed.staged).await?
            }
            None => {
                // A collection that is not configured is for the store to refuse.
                let collection = args.text("collection")?.as_deref().map(CollectionName::new).transpose()?;
                let all = args.flag("all")?;
                args.done()?;
                everything = true;
                self.reader.status(collection, all, &surveyed.staged, progress).await?
            }
        };
        staging.tell(surveyed, &mut status, everything);
        Ok(Answer::judged(status.to_objects(), status.exit_code(), status.errors()))
    }

    /// `diff`: two versions of a record, or two moments of everything.
    pub(super) async fn diff(&self, mut args: Args) -> Result<Answer, Error> {
        let at = args.moment("as_of")?.map(Reference::At);
        let (from, to) = (args.text("from")?, args.text("to")?);
        let from = from.as_deref().map(Reference::parse).transpose()?;
        let to = to.as_deref().map(Reference::parse).transpose()?;
        let Some(id) = args.take("id") else {
            let collection = args.collection(&self.reader)?;
            args.done()?;
            let from = side(at.or(from).unwrap_or(Reference::Head))?;
            let to = side(to.unwrap_or(Reference::Live))?;
            let report = self.reader.diff_all(collection, from, to).await?;
            return Ok(Answer::judged(report.to_objects(), report.exit_code(), report.errors()));
        };
        let text = super::args::address(&self.reader, &id, args.text("collection")?.as_deref());
        args.done()?;
        let address = self.reader.resolve(&text).await?;
        let named: Vec<Reference> = address.reference.into_iter().chain(at).chain(from).chain(to.clone()).collect();
        let (from, to) = match named.as_slice() {
            [] => (Reference::Head, Reference::Live),
            // What is staged is what is to come.
            [Reference::Staged] => (Reference::Head, Reference::Staged),
            // Only the newer side is named.
            [only] if to.is_some() => (Reference::Head, only.clone()),
            [from] => (from.clone(), Reference::Live),
            [from, to] => (from.clone(), to.clone()),
            _ => return Err(usage("more than two versions are named", "compare two: cfg diff planner @5 @7")),
        };
        let record = address.record;
        let staged = match [&from, &to].contains(&&Reference::Staged) {
            true => self.opened.staging().get(&record)?.map(|staged| staged.doc),
            false => None,
        };
        Ok(Answer::of(self.reader.diff(&record, &from, &to, staged.as_ref()).await?.to_object()))
    }

    /// `export`: every live document with its base, as rows or, with `dir`, as files.
    pub(super) async fn export(&self, mut args: Args, progress: Option<&dyn Progress>) -> Result<Answer, Error> {
        let collection = args.collection(&self.reader)?;
        let (dir, force) = (args.text("dir")?, args.flag("force")?);
        args.done()?;
        let mut rows: Vec<Object> = Vec::new();
        let mut failed: Vec<(RecordKey, Error)> = Vec::new();
        let mut exported = 0_u64;
        if let Some(dir) = &dir {
            prepare_folder(Path::new(dir), force)?;
        }
        let each = |record: &RecordKey, found: Result<Document, Error>| {
            match (&dir, &found) {
                (Some(dir), Ok(document)) => write_document(Path::new(dir), record, document, force)?,
                (None, _) => rows.push(row(record, &found)),
                (Some(_), Err(_)) => {}
            }
            match found {
                Ok(_) => exported += 1,
                Err(error) => failed.push((record.clone(), error)),
            }
            Ok(())
        };
        self.reader.export(collection, progress, each).await?;
        let failures = || failed.iter().map(|(_, error)| error);
        let exit_code = combined_exit(failures().map(|error| error.kind().exit_code()));
        let data = match dir {
            None => Value::from(rows),
            Some(dir) => {
                let rows = failed.iter().map(|(record, error)| record_object(record).with("reason", error.to_reason()));
                let object = Object::new().with("dir", dir).with("exported", exported);
                Value::Object(object.with("failed", rows.collect::<Vec<_>>()))
            }
        };
        Ok(Answer::judged(data, exit_code, failures()))
    }

    /// `fsck`; with `repair`, what follows from the entries is written anew.
    pub(super) async fn fsck(&self, mut args: Args, progress: Option<&dyn Progress>) -> Result<Answer, Error> {
        let report = match args.flag("repair")? {
            true => {
                let options = self.options(&mut args)?;
                args.done()?;
                self.writer()?.repair(&options, progress).await?
            }
            false => {
                args.done()?;
                self.reader.fsck(progress).await?
            }
        };
        Ok(Answer { exit_code: report.exit_code(), ..Answer::of(report.to_object()) })
    }
}

/// Returns the members that name a record.
pub(super) fn record_object(record: &RecordKey) -> Object {
    Object::new().with("collection", record.collection.as_str()).with("config_id", record.id.to_value())
}

fn row(record: &RecordKey, found: &Result<Document, Error>) -> Object {
    match found {
        Ok(document) => document.to_object(),
        Err(error) => record_object(record).with("reason", error.to_reason()),
    }
}

fn side(reference: Reference) -> Result<DiffSide, Error> {
    match reference {
        Reference::Head => Ok(DiffSide::Head),
        Reference::Live => Ok(DiffSide::Live),
        Reference::At(time) => Ok(DiffSide::At(time)),
        other => Err(usage(
            format!("{other} is a version of one record"),
            "compare the system with =live, =HEAD or @{2026-06-07}",
        )),
    }
}

/// Says that there is nothing to commit or show.
pub(super) fn nothing_staged(record: &RecordKey) -> Error {
    Error::refused_for(
        record,
        "nothing_staged",
        format!("nothing is staged for {record}"),
        format!("give the document, or stage a change with: cfg edit {}", record.id),
    )
}

/// Makes a folder for exported documents, or checks that it is empty.
///
/// # Errors
///
/// [`Error::Refused`].
pub fn prepare_folder(dir: &Path, force: bool) -> Result<(), Error> {
    fs::create_dir_all(dir).map_err(|e| unwritable("make", dir, &e))?;
    let mut entries = fs::read_dir(dir).map_err(|e| unwritable("read", dir, &e))?;
    if entries.next().is_some() && !force {
        return Err(Error::refused(
            "not_empty",
            format!("{} is not empty", dir.display()),
            "name a new folder, or write into this one with --force",
        ));
    }
    Ok(())
}

/// Writes a document with its base into a folder, under its record's name.
///
/// # Errors
///
/// [`Error::Refused`].
pub fn write_document(dir: &Path, record: &RecordKey, document: &Document, force: bool) -> Result<(), Error> {
    let path = dir.join(format!("{}.json", record_file_stem(&record.collection, &record.id)));
    let mut text = document.to_file().to_text(Dialect::Interchange, Some(2));
    text.push('\n');
    // A new file always: what a link of that name points to is not written.
    let write = || {
        if force && path.symlink_metadata().is_ok() {
            fs::remove_file(&path)?;
        }
        fs::File::create_new(&path)?.write_all(text.as_bytes())
    };
    write().map_err(|e| unwritable("write", &path, &e))
}

fn unwritable(action: &str, path: &Path, error: &std::io::Error) -> Error {
    Error::refused("file", format!("cannot {action} {}: {error}", path.display()), "name a folder that you may write")
}
