//! A scenario's `config`: its collections as tables, its settings.

use cfg_engine::Value;
use cfg_engine::config::{Alert, Approver, IdType, LiveRule, OnSecret, Settings};
use cfg_engine::document::FieldPolicy;
use cfg_engine::history::{AuthorClass, EnvName};
use cfg_engine_conformance::{Column, Table};

fn texts(config: &Value, member: &str) -> Vec<String> {
    match config.get(member) {
        None => Vec::new(),
        Some(Value::String(one)) => vec![one.clone()],
        Some(list) => list.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect(),
    }
}

/// Reads the tables.
pub(crate) fn tables(config: &Value) -> Vec<Table> {
    config.get("collections").and_then(Value::as_array).unwrap().iter().map(table).collect()
}

fn table(config: &Value) -> Table {
    let mut table = Table::new(config.get("name").and_then(Value::as_str).unwrap());
    let column = |field: &String| match config.get("id_type").and_then(Value::as_str) {
        Some("int") => (field.clone(), Column::Int),
        Some("uuid") => (field.clone(), Column::Uuid),
        _ => (field.clone(), Column::Text),
    };
    let fields = texts(config, "id_field");
    table.id = fields.iter().map(column).collect();
    table.config.id_fields = fields;
    table.config.id_type = match config.get("id_type").and_then(Value::as_str) {
        Some("int") => Some(IdType::Int),
        Some("uuid") => Some(IdType::Uuid),
        _ => None,
    };
    if let Some(rule) = config.get("live_when").and_then(Value::as_object) {
        table.config.live_when = LiveRule::from_object(rule).unwrap();
    }
    let mut policy = FieldPolicy::builder();
    for field in texts(config, "ignore_fields") {
        policy = policy.ignore_field(&field);
    }
    for glob in texts(config, "ignore_patterns") {
        policy = policy.ignore_pattern(&glob).unwrap();
    }
    for path in texts(config, "ignore_paths") {
        policy = policy.ignore_path(&path).unwrap();
    }
    for path in texts(config, "secret_fields") {
        policy = policy.secret_field(&path).unwrap();
    }
    table.config.policy = policy.build();
    table
}

/// Reads the settings, for the env of the project or another.
pub(crate) fn settings(config: &Value, env: Option<&str>) -> Settings {
    let mut settings = crate::stores::settings();
    settings.author.class = AuthorClass::Pipeline;
    let member = |name: &str| config.get("settings").and_then(|settings| settings.get(name));
    settings.gated = member("gated").and_then(Value::as_bool).unwrap_or(false);
    let words = |name: &str| -> Option<Vec<String>> {
        member(name)?.as_array()?.iter().map(|text| text.as_str().map(str::to_owned)).collect()
    };
    settings.rules.approvers =
        words("approvers").map(|list| list.iter().map(|text| Approver::parse(text).unwrap()).collect());
    settings.rules.alert = words("alert").map(Alert::Command);
    settings.require_base = member("require_base").and_then(Value::as_bool).unwrap_or(false);
    if member("on_secret").and_then(Value::as_str) == Some("warn") {
        settings.on_secret = OnSecret::Warn;
    }
    if let Some(env) = env {
        settings.env = EnvName::new(env).unwrap();
    }
    settings
}
