//! Reads a collection, from `[storage]` or from one `[[collection]]`.

use super::collection::{CollectionConfig, IdType, LiveRule, Shape};
use super::error::ConfigError;
use super::reader::{Section, Single, Sourced};
use super::setting::SettingSource;
use crate::document::{FieldPolicy, Object, PolicyError, Value};
use crate::history::CollectionName;

/// What a `[storage]` collection ignores unless the file says otherwise: the specification's list.
const STORAGE_IGNORES: [&str; 7] =
    ["_id", "metrics", "updated_at", "updated_by", "created_at", "created_by", "is_active"];

const ID_TYPES: [(&str, IdType); 4] =
    [("string", IdType::String), ("int", IdType::Int), ("objectid", IdType::ObjectId), ("uuid", IdType::Uuid)];

const SHAPES: [(&str, Shape); 2] = [("doc", Shape::Doc), ("row", Shape::Row)];

const POLICY_KEYS: [&str; 4] = ["ignore_fields", "ignore_patterns", "ignore_paths", "secret_fields"];

/// Which of the two tables a collection is read from; their defaults differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// `[storage]`, with the specification's defaults.
    Storage,
    /// `[[collection]]`.
    Collection,
}

/// The lists of `[versioning]`, which hold for collections that do not say their own.
pub(super) struct PolicyDefaults([Sourced<Vec<String>>; 4]);

impl PolicyDefaults {
    /// Reads `[versioning]`'s lists.
    pub(super) fn read(section: &Section<'_>) -> Result<Self, ConfigError> {
        let read = |key| -> Result<Sourced<Vec<String>>, ConfigError> {
            let list = section.texts(key, Single::Refused)?;
            Ok(list.unwrap_or_else(|| Sourced::default(Vec::new())))
        };
        let lists = PolicyDefaults([
            read(POLICY_KEYS[0])?,
            read(POLICY_KEYS[1])?,
            read(POLICY_KEYS[2])?,
            read(POLICY_KEYS[3])?,
        ]);
        // Also where no collection takes it over, a mistake in it is one.
        policy(section, &lists.0, &[])?;
        Ok(lists)
    }

    /// Notes them as settings, as the collection of `[storage]` has them.
    pub(super) fn note(&self, section: &Section<'_>, origin: Origin) {
        for (n, list) in self.0.iter().enumerate() {
            let list = list_for(n, list.clone(), origin);
            section.note(POLICY_KEYS[n], list.value, list.source);
        }
    }
}

fn list_for(n: usize, list: Sourced<Vec<String>>, origin: Origin) -> Sourced<Vec<String>> {
    let specification = n == 0 && origin == Origin::Storage && list.source == SettingSource::Default;
    if specification { Sourced::default(STORAGE_IGNORES.map(str::to_owned).to_vec()) } else { list }
}

/// Reads one collection. `section` has its final path.
pub(super) fn read(
    section: &Section<'_>,
    origin: Origin,
    name: CollectionName,
    table: String,
    defaults: &PolicyDefaults,
    versioning: &Section<'_>,
) -> Result<CollectionConfig, ConfigError> {
    let id_fields = id_fields(section, origin)?;
    let id_type = section.word("id_type", &ID_TYPES, "as the column")?;
    if id_type.is_some() && id_fields.len() > 1 {
        return Err(section.bad("id_type", "an id of several fields has no one type", "remove it"));
    }
    let shape = section.word("shape", &SHAPES, "doc")?.unwrap_or(Shape::Doc);
    if shape == Shape::Row && section.entry("doc_column").is_some() {
        return Err(section.bad(
            "doc_column",
            "has no meaning where the row is the record",
            "remove it, or write shape = \"doc\"",
        ));
    }
    let doc_column = section.text_or("doc_column", Some("doc"))?.unwrap_or_default();
    if shape == Shape::Doc && id_fields.contains(&doc_column) {
        return Err(section.bad("doc_column", "is a field of the id", "name the column that holds the document"));
    }
    let (live_when, rule) = live_rule(section, origin)?;
    let retire_with = retire_with(section, &live_when, &rule)?;
    let policy = match origin {
        Origin::Storage => {
            let lists: Vec<_> = (0..4).map(|n| list_for(n, defaults.0[n].clone(), origin)).collect();
            policy(versioning, &lists, &id_fields)?
        }
        Origin::Collection => {
            let mut lists = Vec::with_capacity(4);
            for (n, key) in POLICY_KEYS.into_iter().enumerate() {
                let list = section.texts(key, Single::Refused)?.unwrap_or_else(|| defaults.0[n].clone());
                section.note(key, list.value.clone(), list.source);
                lists.push(list);
            }
            policy(section, &lists, &id_fields)?
        }
    };
    Ok(CollectionConfig { name, table, id_fields, id_type, shape, doc_column, live_when, retire_with, policy })
}

fn id_fields(section: &Section<'_>, origin: Origin) -> Result<Vec<String>, ConfigError> {
    const KEY: &str = "id_field";
    let read = match (section.texts(KEY, Single::Allowed)?, origin) {
        (Some(read), _) => read,
        (None, Origin::Storage) => Sourced::default(vec!["config_id".to_owned()]),
        (None, Origin::Collection) => {
            return Err(section.missing(KEY, "id_field = \"id\", the field or column of the id"));
        }
    };
    let fields = read.value;
    let twice = fields.iter().enumerate().any(|(n, field)| fields[..n].contains(field));
    if fields.is_empty() || twice {
        return Err(section.bad(
            KEY,
            "must name one or several different fields",
            "write \"id\" or [\"tenant\", \"id\"]",
        ));
    }
    match fields.as_slice() {
        [one] => section.note(KEY, one.as_str(), read.source),
        several => section.note(KEY, several.to_vec(), read.source),
    }
    Ok(fields)
}

fn live_rule(section: &Section<'_>, origin: Origin) -> Result<(LiveRule, Object), ConfigError> {
    const KEY: &str = "live_when";
    let default = match origin {
        Origin::Storage => Object::new().with("is_active", true),
        Origin::Collection => Object::new(),
    };
    let read = section.object(KEY)?.unwrap_or(Sourced::default(default));
    let rule = LiveRule::from_object(&read.value).map_err(|e| {
        let problem = e.to_string();
        let problem = problem.strip_prefix("live_when: ").unwrap_or(&problem).to_owned();
        section.bad(KEY, problem, "write { field = value } or { field = { \"$in\" = [\"a\", \"b\"] } }")
    })?;
    section.note(KEY, read.value.clone(), read.source);
    Ok((rule, read.value))
}

/// Reads what makes a row no longer live. By default the true and false of the live rule are turned round.
fn retire_with(section: &Section<'_>, rule: &LiveRule, written: &Object) -> Result<Object, ConfigError> {
    const KEY: &str = "retire_with";
    let Some(read) = section.object(KEY)? else {
        let turned = written.iter().filter_map(|(field, value)| Some((field.clone(), Value::Bool(!value.as_bool()?))));
        let turned: Object = turned.collect();
        section.note(KEY, turned.clone(), SettingSource::Default);
        return Ok(turned);
    };
    if let Some((field, _)) = read.value.iter().find(|(_, value)| matches!(value, Value::Object(_) | Value::Array(_))) {
        return Err(section.bad(KEY, format!("{field} must be set to a plain value"), "write { is_active = false }"));
    }
    let retired = Value::Object(read.value.clone());
    let ends = rule.conditions().iter().any(|(field, condition)| {
        let value = retired.get(field);
        value.is_some() && !condition.holds(value)
    });
    if !ends {
        return Err(section.bad(
            KEY,
            "leaves the row live: live_when would still hold",
            "set a field of live_when to another value, as in { is_active = false }",
        ));
    }
    section.note(KEY, read.value.clone(), read.source);
    Ok(read.value)
}

/// Builds the policy of the four lists.
fn policy(
    section: &Section<'_>,
    lists: &[Sourced<Vec<String>>],
    id_fields: &[String],
) -> Result<FieldPolicy, ConfigError> {
    let [fields, patterns, paths, secrets] = lists else {
        return Ok(FieldPolicy::default());
    };
    let refuse =
        |key: &'static str| move |e: PolicyError| section.bad(key, e.to_string(), "write it like tools[].api_key");
    let mut builder = FieldPolicy::builder();
    for field in &fields.value {
        builder = builder.ignore_field(field);
    }
    for glob in &patterns.value {
        builder = builder
            .ignore_pattern(glob)
            .map_err(|e| section.bad(POLICY_KEYS[1], e.to_string(), "write it like backup_*"))?;
    }
    for path in &paths.value {
        builder = builder.ignore_path(path).map_err(refuse(POLICY_KEYS[2]))?;
    }
    for path in &secrets.value {
        if id_fields.contains(path) {
            return Err(section.bad(
                POLICY_KEYS[3],
                format!("{path} is the id, which every listing shows"),
                "take it out",
            ));
        }
        builder = builder.secret_field(path).map_err(refuse(POLICY_KEYS[3]))?;
    }
    Ok(builder.build())
}
