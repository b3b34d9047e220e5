//! The arguments of a call: named values, read with the mistakes that a caller can make in mind.

use cfg_engine::document::{FieldPath, Object};
use cfg_engine::engine::{Options, Project};
use cfg_engine::history::{Author, CollectionName, OpId, RecordKey, Timestamp};
use cfg_engine::plan::Base;
use cfg_engine::{Error, Value};

use crate::author::is_name;

/// The code of a call that cannot be meant.
const CODE: &str = "usage";

/// Makes a refusal of a call as it stands.
pub(super) fn usage(problem: impl Into<String>, hint: impl Into<String>) -> Error {
    Error::refused(CODE, problem, hint)
}

/// What a verb was called with. Each reading takes a member away; [`done`](Args::done) refuses what is left.
pub(super) struct Args {
    verb: String,
    members: Object,
}

impl Args {
    pub(super) fn new(verb: &str, members: Object) -> Self {
        Args { verb: verb.to_owned(), members }
    }

    /// Takes a member; null is as good as absent.
    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        self.members.remove(name).filter(|value| !value.is_null())
    }

    fn wrong(&self, name: &str, expected: &str, found: &Value) -> Error {
        usage(
            format!("{name} of {} must be {expected}, it is: {}", self.verb, found.type_name()),
            format!("give {name} as {expected}"),
        )
    }

    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, Error> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.wrong(name, "text", &other)),
        }
    }

    pub(super) fn flag(&mut self, name: &str) -> Result<bool, Error> {
        match self.take(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(other) => Err(self.wrong(name, "true or false", &other)),
        }
    }

    pub(super) fn count(&mut self, name: &str) -> Result<Option<u64>, Error> {
        match self.take(name) {
            None => Ok(None),
            Some(value) => match value.as_i64().and_then(|n| u64::try_from(n).ok()) {
                Some(n) => Ok(Some(n)),
                None => Err(self.wrong(name, "a whole number, zero or more", &value)),
            },
        }
    }

    pub(super) fn list(&mut self, name: &str) -> Result<Option<Vec<Value>>, Error> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Array(items)) => Ok(Some(items)),
            Some(other) => Err(self.wrong(name, "a list", &other)),
        }
    }

    pub(super) fn object(&mut self, name: &str) -> Result<Option<Object>, Error> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Object(object)) => Ok(Some(object)),
            Some(other) => Err(self.wrong(name, "an object", &other)),
        }
    }

    /// Takes a moment, with or without the `@{}` of a reference; of a date alone its end.
    pub(super) fn moment(&mut self, name: &str) -> Result<Option<Timestamp>, Error> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => moment(&text).map(Some),
            Some(Value::Extended(value)) => match *value {
                cfg_engine::document::Extended::DateTime(millis) => Ok(Some(Timestamp::from_millis(millis))),
                _ => Err(self.wrong(name, "a time", &Value::Extended(value))),
            },
            Some(other) => Err(self.wrong(name, "a time", &other)),
        }
    }

    /// Takes a moment at which a range begins; of a date alone its beginning.
    pub(super) fn beginning(&mut self, name: &str) -> Result<Option<Timestamp>, Error> {
        const DAY: i64 = 24 * 60 * 60 * 1000;
        let is_date = self.members.get(name).and_then(Value::as_str).is_some_and(|text| inner(text).len() <= 10);
        let time = self.moment(name)?;
        Ok(time.map(|time| if is_date { time.plus_millis(1 - DAY) } else { time }))
    }

    pub(super) fn base(&mut self) -> Result<Option<Base>, Error> {
        self.object("base")?.as_ref().map(Base::from_object).transpose()
    }

    /// Takes a collection; it must be configured.
    pub(super) fn collection(&mut self, project: &Project) -> Result<Option<CollectionName>, Error> {
        let Some(name) = self.text("collection")? else { return Ok(None) };
        let name = CollectionName::new(&name)?;
        project.collection(&name)?;
        Ok(Some(name))
    }

    /// Takes `id`, and `collection` where the id is not an address.
    pub(super) async fn record(&mut self, project: &Project) -> Result<RecordKey, Error> {
        let address = self.address(project)?;
        project.record(&address).await
    }

    /// Takes `id` as the text of an address.
    pub(super) fn address(&mut self, project: &Project) -> Result<String, Error> {
        let collection = self.text("collection")?;
        let Some(id) = self.take("id") else {
            return Err(usage(format!("{} needs an id", self.verb), "name the record"));
        };
        Ok(address(project, &id, collection.as_deref()))
    }

    /// Returns whether a member is given.
    pub(super) fn has(&self, name: &str) -> bool {
        self.members.get(name).is_some_and(|value| !value.is_null())
    }

    /// Takes `ids`.
    pub(super) async fn records(&mut self, project: &Project) -> Result<Option<Vec<RecordKey>>, Error> {
        self.records_named(project, "ids").await
    }

    /// Takes a list of ids under another name.
    pub(super) async fn records_named(
        &mut self,
        project: &Project,
        name: &str,
    ) -> Result<Option<Vec<RecordKey>>, Error> {
        if !self.has(name) {
            return Ok(None);
        }
        let collection = self.text("collection")?;
        let ids = self.list(name)?.unwrap_or_default();
        let mut records = Vec::with_capacity(ids.len());
        for id in &ids {
            records.push(project.record(&address(project, id, collection.as_deref())).await?);
        }
        Ok(Some(records))
    }

    /// Takes what every change is called with.
    pub(super) fn options(&mut self, class: cfg_engine::history::AuthorClass) -> Result<Options, Error> {
        let message = match self.take("message") {
            None => String::new(),
            Some(Value::String(text)) => text,
            // Several make paragraphs, as `-m` twice does.
            Some(Value::Array(parts)) => parts.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n\n"),
            Some(other) => return Err(self.wrong("message", "text", &other)),
        };
        let author = self.text("author")?.map(|id| Author { id, class });
        if author.as_ref().is_some_and(|author| !is_name(&author.id)) {
            return Err(usage(
                format!("author of {} is empty, too long or has a control character", self.verb),
                "give an e-mail address or a name",
            ));
        }
        Ok(Options {
            message,
            author,
            idempotency_key: self.text("idempotency_key")?.as_deref().map(OpId::new).transpose()?,
            dry_run: self.flag("dry_run")?,
            allow_secret: self.flag("allow_secret")?,
            approval: self.text("approval")?,
            ..Options::default()
        })
    }

    /// Takes `secrets`: what history does not hold, by path.
    pub(super) fn secrets(&mut self) -> Result<Vec<(FieldPath, Value)>, Error> {
        let given = self.object("secrets")?.unwrap_or_default();
        given.into_iter().map(|(path, value)| Ok((field_path(&path)?, value))).collect()
    }

    /// Refuses what nobody took.
    pub(super) fn done(&self) -> Result<(), Error> {
        match self.members.iter().find(|(_, value)| !value.is_null()) {
            None => Ok(()),
            Some((name, _)) => {
                Err(usage(format!("{} takes no {name} here", self.verb), "leave it out, or look at the verb's options"))
            }
        }
    }
}

fn inner(text: &str) -> &str {
    text.strip_prefix("@{").and_then(|rest| rest.strip_suffix('}')).unwrap_or(text)
}

fn moment(text: &str) -> Result<Timestamp, Error> {
    Ok(Timestamp::parse(inner(text))?)
}

/// Reads a path as people type it.
pub(super) fn field_path(text: &str) -> Result<FieldPath, Error> {
    text.parse().map_err(|e: cfg_engine::document::PathError| {
        usage(e.to_string(), "write a path such as tools[0].name, with quotes around odd names")
    })
}

/// Writes an id as the text of an address. Text is an address already; `{collection, config_id}`, as every
/// reply has it, is that record; any other value is an id of its own type.
pub(super) fn address(project: &Project, id: &Value, collection: Option<&str>) -> String {
    if let (Some(Value::String(name)), Some(id)) = (id.get("collection"), id.get("config_id")) {
        return format!("{name}:{}", typed(id));
    }
    match (id, collection) {
        (Value::String(text), None) => text.clone(),
        (Value::String(text), Some(name)) => format!("{name}:{text}"),
        (id, Some(name)) => format!("{name}:{}", typed(id)),
        (id, None) => match project.collections() {
            [only] => format!("{}:{}", only.name, typed(id)),
            _ => typed(id),
        },
    }
}

/// Writes an id in the form that forces its type.
fn typed(id: &Value) -> String {
    match id.as_i64() {
        Some(n) if matches!(id, Value::Number(_)) => format!(r#"{{"$numberLong":"{n}"}}"#),
        _ => id.to_interchange(),
    }
}
