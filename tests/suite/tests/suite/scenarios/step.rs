//! One step: the verb it names, and its outcome as data.

use std::sync::Arc;
use std::time::Duration;

use cfg_engine::adapter::AsOf;
use cfg_engine::config::{Alert, Shape};
use cfg_engine::document::{FieldPath, Object, parse_assignments};
use cfg_engine::engine::{
    Adopt, Alarm, Commit, CommitItem, DiffSide, HistoryImport, Import, Log, Options, Project, Redact, Remove, Report,
    Restore, SecretScan, Staged, parse_versions,
};
use cfg_engine::history::{Author, AuthorClass, CollectionName, OpId, RecordKey, Reference, Timestamp};
use cfg_engine::outcome::Status;
use cfg_engine::plan::{Base, Content};
use cfg_engine::{Error, Value};
use cfg_engine_conformance::Space;

use super::lines::Lines;
use super::matching::{Saved, fits, resolve};
use super::single;
use super::system;
use super::table::settings;

/// A scenario that is running.
pub(crate) struct Stage<'s> {
    space: &'s Space,
    config: &'s Value,
    has_clock: bool,
    saved: Saved,
}

/// Whoever is told, hears it. The commands themselves are run in the other languages.
struct Heard;

#[async_trait::async_trait]
impl Alarm for Heard {
    async fn raise(&self, _: &Alert, _: &Object) -> Result<(), String> {
        Ok(())
    }
}

/// What a verb gave.
pub(super) type Outcome = Result<Object, Error>;

pub(super) fn text<'v>(with: &'v Value, member: &str) -> Option<&'v str> {
    with.get(member).and_then(Value::as_str)
}

pub(super) fn flag(with: &Value, member: &str) -> bool {
    with.get(member).and_then(Value::as_bool).unwrap_or(false)
}

pub(super) fn time(text: &str) -> Result<Timestamp, Error> {
    Ok(Timestamp::parse(text)?)
}

pub(super) fn options(with: &Value) -> Result<Options, Error> {
    let mut options = Options::message(text(with, "message").unwrap_or("a scenario"));
    options.author = text(with, "author").map(|id| Author { id: id.to_owned(), class: AuthorClass::Human });
    options.idempotency_key = text(with, "key").map(OpId::new).transpose()?;
    options.approval = text(with, "approval").map(str::to_owned);
    options.dry_run = flag(with, "dry_run");
    options.allow_secret = flag(with, "allow_secret");
    Ok(options)
}

pub(super) fn ok(data: impl Into<Value>) -> Outcome {
    Ok(Object::new().with("exit", 0).with("status", "ok").with("data", data.into()))
}

/// Lays an exit code and the failure that decided it over an outcome.
pub(super) fn judged(data: Value, exit: u8, reasons: &[&Error]) -> Object {
    let deciding = reasons.iter().find(|error| error.kind().exit_code() == exit);
    let status = deciding.map_or(Status::Ok, |error| error.kind().status());
    let outcome = Object::new().with("exit", i64::from(exit)).with("status", status.as_str()).with("data", data);
    match deciding {
        Some(error) => outcome
            .with("code", error.code())
            .with("message", error.to_string())
            .with("hint", error.hint().unwrap_or_default()),
        None => outcome,
    }
}

pub(super) fn of_report(report: &Report, data: Value) -> Outcome {
    let reasons: Vec<&Error> = report.failed().map(|(_, error)| error).collect();
    let replies = report.written().map(|written| {
        Object::new()
            .with("config_id", written.entry.header.record.id.to_value())
            .with("doc", written.doc.as_deref().cloned())
            .with("base", written.base.to_object())
            .with("entries", written.entries.iter().map(|e| e.to_object(&[])).collect::<Vec<_>>())
    });
    let replies: Vec<Object> = replies.collect();
    let reply = match replies.as_slice() {
        [only] => Value::Object(only.clone()),
        _ => Value::Null,
    };
    Ok(judged(data, report.exit_code(), &reasons)
        .with("replayed", report.replayed)
        .with("reply", reply)
        .with("replies", replies))
}

impl<'s> Stage<'s> {
    pub(crate) fn new(space: &'s Space, has_clock: bool, config: &'s Value) -> Self {
        Stage { space, config, has_clock, saved: Saved::new() }
    }

    fn project(&self, env: Option<&str>) -> Project {
        Project::new(Arc::clone(&self.space.store), settings(self.config, env)).with_alarm(Arc::new(Heard))
    }

    pub(crate) async fn init(&self) {
        self.project(None).init(false).await.unwrap();
    }

    fn collection(&self, name: Option<&str>) -> usize {
        let at = |name: &str| self.space.collections.iter().position(|c| c.name.as_str() == name);
        name.map_or(0, |name| at(name).unwrap_or_else(|| panic!("no collection {name}")))
    }

    /// Names a record by the fields of its id.
    fn record(&self, collection: usize, fields: &Object) -> RecordKey {
        let id = match self.space.collections[collection].id_fields.as_slice() {
            [field] => fields.get(field).cloned().expect("the field of the id"),
            several => Value::Object(several.iter().map(|f| (f.clone(), fields.get(f).cloned().unwrap())).collect()),
        };
        self.space.record_in(collection, &id)
    }

    /// Inserts a row around the tool, from its fields. In a document column the id is not repeated.
    pub(crate) async fn insert(&self, collection: Option<&str>, fields: &Object) {
        let collection = self.collection(collection);
        let record = self.record(collection, fields);
        let mut fields = fields.clone();
        for id in &self.space.collections[collection].id_fields {
            fields.remove(id);
        }
        self.space.raw_insert_record(&record, &fields).await;
    }

    /// Returns the fields of every row, whatever the shape.
    async fn rows(&self, collection: usize) -> Vec<Value> {
        let config = &self.space.collections[collection];
        let rows = self.space.raw.rows(config).await;
        let flat = |row: Value| match config.shape {
            Shape::Row => row,
            Shape::Doc => {
                let mut fields = row.as_object().cloned().unwrap();
                if let Some(Value::Object(doc)) = fields.remove(&config.doc_column) {
                    doc.into_iter().for_each(|(key, value)| drop(fields.insert(key, value)));
                }
                Value::Object(fields)
            }
        };
        rows.into_iter().map(flat).collect()
    }

    pub(crate) async fn step(&mut self, step: &Value) -> Result<(), String> {
        let verb = text(step, "do").ok_or("no verb")?;
        let with = resolve(step.get("with").unwrap_or(&Value::Null), &self.saved);
        let outcome = match self.run(verb, text(step, "env"), &with).await {
            Ok(outcome) => outcome,
            Err(error) => error.to_envelope().with("exit", i64::from(error.kind().exit_code())),
        };
        let outcome = Value::Object(outcome);
        if let Some(name) = text(step, "as") {
            self.saved.insert(name.to_owned(), outcome.clone());
        }
        let expect = resolve(step.get("expect").unwrap_or(&Value::Null), &self.saved);
        let expect = expect.as_object().cloned().unwrap_or_default();
        if !expect.contains_key("exit") {
            fits(&Value::from(0), outcome.get("exit"), "exit")
                .map_err(|e| format!("{e}: {}", outcome.to_interchange()))?;
        }
        for (member, wanted) in &expect {
            match member.as_str() {
                "live" => self.live(wanted).await?,
                "ops" => self.ops(wanted).await?,
                other => fits(wanted, outcome.get(other), other)
                    .map_err(|e| format!("{e}\n    in {}", outcome.to_interchange()))?,
            }
        }
        Ok(())
    }

    /// Compares live: `{collection: {id: fields, or null for no row}}`.
    async fn live(&self, wanted: &Value) -> Result<(), String> {
        for (name, records) in wanted.as_object().into_iter().flatten() {
            let collection = self.collection(Some(name));
            let field = &self.space.collections[collection].id_fields[0];
            let rows = self.rows(collection).await;
            for (id, fields) in records.as_object().into_iter().flatten() {
                let row = rows.iter().find(|row| row.get(field).and_then(Value::as_str) == Some(id));
                fits(fields, row, &format!("live {id}"))?;
            }
        }
        Ok(())
    }

    /// Compares what made the entries of records, oldest first: `{address: [op]}`.
    async fn ops(&self, wanted: &Value) -> Result<(), String> {
        let project = self.project(None);
        for (address, ops) in wanted.as_object().into_iter().flatten() {
            let record = project.record(address).await.map_err(|e| e.to_string())?;
            let entries = project.log(&Log { record: Some(record), ..Log::default() }).await.unwrap_or_default();
            let made: Vec<&str> = entries.iter().rev().map(|entry| entry.header.op.as_str()).collect();
            fits(ops, Some(&Value::from(made)), &format!("ops {address}"))?;
        }
        Ok(())
    }

    /// Checks the whole history at the end.
    pub(crate) async fn sound(&self, expected: &Value) -> Result<(), String> {
        let report = self.project(None).fsck(None).await.map_err(|e| format!("fsck: {e}"))?;
        let codes: Vec<Value> = report.findings.iter().map(|f| Value::from(f.code)).collect();
        fits(expected, Some(&Value::Array(codes)), "fsck").map_err(|e| format!("{e}: {:?}", report.findings))
    }

    async fn run(&self, verb: &str, env: Option<&str>, with: &Value) -> Outcome {
        let project = self.project(env);
        match verb {
            "tick" => {
                match self.has_clock {
                    true => self.space.raw.step_clock(1000).await,
                    false => tokio::time::sleep(Duration::from_millis(3)).await,
                }
                ok(Value::Null)
            }
            "raw_insert" | "raw_update" | "raw_delete" => self.raw(verb, with).await,
            "rows" => ok(self.rows(self.collection(text(with, "collection"))).await),
            "init" => {
                let report = project.init(flag(with, "dry_run")).await?;
                let reasons: Vec<&Error> = report.ambiguous.iter().map(|(_, error)| error).collect();
                Ok(judged(Value::Object(report.to_object()), report.exit_code(), &reasons))
            }
            "address" => {
                let address = project.resolve(text(with, "text").unwrap()).await?;
                ok(Object::new()
                    .with("collection", address.record.collection.as_str())
                    .with("config_id", address.record.id.to_value())
                    .with("reference", address.reference.map(|r| r.to_string())))
            }
            "get" => ok(project.get(&record(&project, with).await?).await?.to_object()),
            "show" => self.show(&project, with).await,
            "status" => self.status(&project, with).await,
            "log" => self.log(&project, with).await,
            "diff" => self.diff(&project, with).await,
            "export" => {
                let mut rows: Vec<Object> = Vec::new();
                let collection = text(with, "collection").map(CollectionName::new).transpose()?;
                project
                    .export(collection, None, |record, document| {
                        rows.push(match document {
                            Ok(document) => document.to_object(),
                            Err(error) => {
                                Object::new().with("config_id", record.id.to_value()).with("reason", error.to_reason())
                            }
                        });
                        Ok(())
                    })
                    .await?;
                ok(rows)
            }
            "fsck" => {
                let report = match flag(with, "repair") {
                    true => project.repair(&options(with)?, None).await?,
                    false => project.fsck(None).await?,
                };
                Ok(Object::new().with("exit", i64::from(report.exit_code())).with("data", report.to_object()))
            }
            "redact" => {
                let redact = Redact {
                    record: record(&project, with).await?,
                    paths: match with.get("paths").and_then(Value::as_array) {
                        Some(paths) => paths.iter().filter_map(|path| path.as_str().map(str::to_owned)).collect(),
                        None => Vec::new(),
                    },
                    versions: text(with, "versions").map_or(Ok(None), parse_versions)?,
                    messages: flag(with, "messages"),
                    rewrite_history: flag(with, "rewrite_history"),
                };
                ok(project.redact(&redact, &options(with)?).await?.to_object())
            }
            "secrets_scan" => {
                let collection = text(with, "collection").map(CollectionName::new).transpose()?;
                let scan = SecretScan { collection, history: flag(with, "history"), live: flag(with, "live") };
                let report = project.scan_secrets(&scan, None).await?;
                Ok(Object::new().with("exit", i64::from(report.exit_code())).with("data", report.to_object()))
            }
            "import" => {
                let records = match with.get("ids") {
                    Some(ids) => Some(records(&project, ids).await?),
                    None => None,
                };
                let import = Import { records, valid_from: text(with, "valid_from").map(time).transpose()? };
                let options = options(with)?;
                let report = match flag(with, "strip_backups") {
                    true => project.import_stripped(&import, &options, None).await?,
                    false => project.import(&import, &options, None).await?,
                };
                of_report(&report, Value::Object(report.to_object()))
            }
            "import_history" => self.import_history(&project, with).await,
            "adopt" => {
                let adopt = match with.get("ids") {
                    Some(ids) => Adopt::Records(records(&project, ids).await?),
                    None => Adopt::All,
                };
                let report = project.adopt(&adopt, &options(with)?, None).await?;
                of_report(&report, Value::Object(report.to_object()))
            }
            "commit" => self.commit(&project, with).await,
            "tag" | "tags" | "restore_all" | "resume" | "points" | "approvals" | "approval" | "approve" | "deny" => {
                system::run(&project, verb, with).await
            }
            "activate" | "undo" | "blame" | "link" => single::run(&project, verb, with).await,
            "restore" => {
                let reference = Reference::parse(text(with, "ref").unwrap())?;
                let mut restore = Restore::new(record(&project, with).await?, reference);
                for (path, value) in with.get("secrets").and_then(Value::as_object).into_iter().flatten() {
                    restore.secrets.push((path.parse::<FieldPath>().unwrap(), value.clone()));
                }
                restore.without_secrets = flag(with, "without_secrets");
                restore.force = flag(with, "force");
                let report = project.restore(&restore, &options(with)?).await?;
                of_report(&report, report.to_single())
            }
            "rm" => {
                let mut remove = Remove::new(record(&project, with).await?);
                remove.base = base(with)?;
                remove.force = flag(with, "force");
                let report = project.remove(&remove, &options(with)?).await?;
                of_report(&report, report.to_single())
            }
            other => panic!("no verb {other}"),
        }
    }

    async fn raw(&self, verb: &str, with: &Value) -> Outcome {
        let collection = self.collection(text(with, "collection"));
        let fields = |member: &str| with.get(member).and_then(Value::as_object).cloned().unwrap_or_default();
        match verb {
            "raw_insert" => self.insert(text(with, "collection"), &fields("row")).await,
            "raw_update" => {
                let record = self.space.record_in(collection, with.get("id").unwrap());
                self.space.raw_set(&record, &Value::Object(fields("set")).to_interchange()).await;
            }
            _ => {
                let record = self.space.record_in(collection, with.get("id").unwrap());
                self.space.raw_delete(&record).await;
            }
        }
        ok(Value::Null)
    }

    async fn show(&self, project: &Project, with: &Value) -> Outcome {
        let address = project.resolve(text(with, "id").unwrap()).await?;
        let reference = match text(with, "ref") {
            Some(text) => Reference::parse(text)?,
            None => address.reference.unwrap_or(Reference::Head),
        };
        let shown = project.show(&address.record, &reference).await?;
        match text(with, "field") {
            Some(path) => ok(project.field(&shown, &path.parse::<FieldPath>().unwrap())?.clone()),
            None => ok(shown.to_object()),
        }
    }

    async fn status(&self, project: &Project, with: &Value) -> Outcome {
        let staged: Staged = match with.get("staged") {
            Some(ids) => records(project, ids).await?.into_iter().collect(),
            None => Staged::new(),
        };
        let status = match with.get("ids") {
            Some(ids) => project.status_of(&records(project, ids).await?, &staged).await?,
            None => {
                let collection = text(with, "collection").map(CollectionName::new).transpose()?;
                project.status(collection, flag(with, "all"), &staged, None).await?
            }
        };
        let reasons: Vec<&Error> = status.rows.iter().filter_map(|row| row.reason.as_ref()).collect();
        let rows: Vec<Object> = status.rows.iter().map(|row| row.to_object()).collect();
        Ok(judged(Value::from(rows), status.exit_code(), &reasons))
    }

    async fn log(&self, project: &Project, with: &Value) -> Outcome {
        let record = match with.get("id") {
            Some(_) => Some(record(project, with).await?),
            None => None,
        };
        let collection = text(with, "collection").map(CollectionName::new).transpose()?;
        let instant = |member: &str| text(with, member).map(time).transpose();
        let at = match (instant("as_of")?, instant("as_of_recorded")?) {
            (None, None) => None,
            (Some(valid), None) => Some(AsOf::Valid(valid)),
            (None, Some(recorded)) => Some(AsOf::Recorded(recorded)),
            (Some(valid), Some(recorded)) => Some(AsOf::Both { recorded, valid }),
        };
        if let Some(at) = at {
            let rows = project.log_as_of(record.as_ref(), collection, at, flag(with, "doc")).await?;
            return ok(rows.iter().map(|row| row.to_object()).collect::<Vec<_>>());
        }
        let log = Log {
            record,
            collection,
            since: instant("since")?,
            until: instant("until")?,
            author: text(with, "author").map(str::to_owned),
            git_sha: text(with, "git_sha").map(str::to_owned),
            limit: with.get("limit").and_then(Value::as_i64).map(|n| u64::try_from(n).unwrap()),
            with_doc: flag(with, "doc"),
        };
        let entries = project.log(&log).await?;
        let tags = project.tags_for(&entries).await?;
        ok(entries.iter().map(|entry| entry.to_object(tags.of(entry))).collect::<Vec<_>>())
    }

    async fn diff(&self, project: &Project, with: &Value) -> Outcome {
        let (from, to) = (text(with, "from").unwrap_or("=HEAD"), text(with, "to").unwrap_or("=live"));
        let (from, to) = (Reference::parse(from)?, Reference::parse(to)?);
        if with.get("id").is_some() {
            let record = record(project, with).await?;
            return ok(project.diff(&record, &from, &to, with.get("staged")).await?.to_object());
        }
        let side = |reference: Reference| match reference {
            Reference::Head => DiffSide::Head,
            Reference::Live => DiffSide::Live,
            Reference::At(time) => DiffSide::At(time),
            other => panic!("{other} is no side of the whole system"),
        };
        let collection = text(with, "collection").map(CollectionName::new).transpose()?;
        let report = project.diff_all(collection, side(from), side(to)).await?;
        let failed = report.failed.iter().map(|(record, error)| {
            Object::new().with("config_id", record.id.to_value()).with("reason", error.to_reason())
        });
        ok(Object::new()
            .with("diffs", report.diffs.iter().map(|diff| diff.to_object()).collect::<Vec<_>>())
            .with("failed", failed.collect::<Vec<_>>()))
    }

    async fn commit(&self, project: &Project, with: &Value) -> Outcome {
        let items = match with.get("items").and_then(Value::as_array) {
            Some(items) => items.to_vec(),
            None => vec![with.clone()],
        };
        let mut commit = Commit::of(Vec::new());
        for item in &items {
            commit.items.push(CommitItem {
                record: record(project, item).await?,
                content: content(item)?,
                base: base(item)?,
            });
        }
        commit.force = flag(with, "force");
        commit.allow_noop = flag(with, "allow_noop");
        commit.allow_removal = flag(with, "allow_removal");
        if let Some(meta) = with.get("meta").and_then(Value::as_object) {
            commit.meta = meta.clone();
        }
        let report = project.commit(&commit, &options(with)?).await?;
        let data = if items.len() == 1 { report.to_single() } else { Value::Object(report.to_object()) };
        of_report(&report, data)
    }

    async fn import_history(&self, project: &Project, with: &Value) -> Outcome {
        let collection = match text(with, "collection") {
            Some(name) => CollectionName::new(name)?,
            None => self.space.agents().name.clone(),
        };
        let import = HistoryImport { collection, seed_live: flag(with, "seed_live") };
        let lines = with.get("lines").and_then(Value::as_array).unwrap_or_default();
        let line = |line: &Value| line.as_str().map_or_else(|| line.to_interchange(), str::to_owned);
        let mut lines = Lines::new(lines.iter().map(line).collect());
        let report = project.import_history(&import, &mut lines, &options(with)?, None).await?;
        let reasons: Vec<&Error> = report.failed.iter().map(|(_, error)| error).collect();
        Ok(judged(Value::Object(report.to_object()), report.exit_code(), &reasons))
    }
}

pub(super) async fn record(project: &Project, with: &Value) -> Result<RecordKey, Error> {
    project.record(text(with, "id").expect("an id")).await
}

pub(super) async fn records(project: &Project, ids: &Value) -> Result<Vec<RecordKey>, Error> {
    let mut records = Vec::new();
    for id in ids.as_array().unwrap_or_default() {
        records.push(project.record(id.as_str().unwrap()).await?);
    }
    Ok(records)
}

fn base(with: &Value) -> Result<Option<Base>, Error> {
    with.get("base").and_then(Value::as_object).map(Base::from_object).transpose()
}

fn content(item: &Value) -> Result<Content, Error> {
    if let Some(words) = item.get("set").and_then(Value::as_array) {
        let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
        let assignments = parse_assignments(&words, flag(item, "delete"));
        return assignments
            .map(Content::Assignments)
            .map_err(|e| Error::refused("bad_assignment", e.to_string(), "fix it"));
    }
    Ok(match (item.get("doc"), item.get("patch"), item.get("merge")) {
        (Some(doc), None, None) => Content::Document(doc.clone()),
        (None, Some(patch), None) => Content::JsonPatch(patch.clone()),
        (None, None, Some(merge)) => Content::MergePatch(merge.clone()),
        _ => panic!("a commit has one of doc, patch, merge and set"),
    })
}
