//! What is in effect: author, env, settings. No store is asked.

use std::path::Path;

use cfg_engine::adapter::StorageAdapter;
use cfg_engine::config::Shape;
use cfg_engine::document::Object;
use cfg_engine::{Error, Value};

use crate::choose::choose_env;
use crate::error::ConnectError;
use crate::find::{find_config, read_config};
use crate::open::Located;
use crate::variables::Variables;

/// Returns who makes changes on which env, and who said so.
///
/// # Errors
///
/// As [`Located::author`].
pub fn whoami(located: &Located) -> Result<Object, Error> {
    let (author, source) = located.author()?;
    let env = &located.env;
    let who = Object::new().with("id", author.id.as_str()).with("class", author.class.as_str());
    Ok(Object::new()
        .with("author", who)
        .with("author_source", source.as_str())
        .with("env", env.name.as_str())
        .with("env_source", located.env_source.as_str())
        .with("needs_approval", env.needs_approval)
        .with("database", env.database.as_str())
        .with("config_file", located.config_file.display().to_string()))
}

/// Returns what was opened: env, store and collections, as the store has completed them.
pub(super) fn project(located: &Located, adapter: &dyn StorageAdapter) -> Object {
    let collections = adapter.collections().iter().map(|collection| {
        Object::new()
            .with("name", collection.name.as_str())
            .with("table", collection.table.as_str())
            .with("id_fields", collection.id_fields.clone())
            .with("shape", if collection.shape == Shape::Row { "row" } else { "doc" })
    });
    Object::new()
        .with("env", located.env.name.as_str())
        .with("env_source", located.env_source.as_str())
        .with("needs_approval", located.env.needs_approval)
        .with("database", located.env.database.as_str())
        .with("config_file", located.config_file.display().to_string())
        .with("max_batch_records", adapter.capabilities().max_batch_records)
        .with("collections", collections.collect::<Vec<_>>())
}

/// Returns the settings in effect, each with where it comes from; credentials are masked. They can be looked
/// at before an env is chosen.
///
/// # Errors
///
/// [`ConnectError`], as an error of the engine.
pub fn config(start: &Path, file: Option<&Path>, env: Option<&str>, variables: &Variables) -> Result<Object, Error> {
    let path = match file {
        Some(file) => start.join(file),
        None => find_config(start).ok_or_else(|| ConnectError::NoConfigFile { start: start.to_owned() })?,
    };
    let config = read_config(&path)?;
    let chosen = match (choose_env(&config, env, variables), env) {
        (Err(error), Some(_)) => return Err(error.into()),
        (chosen, _) => chosen.ok(),
    };
    let settings = config.effective().into_iter().map(|setting| {
        Value::Object(
            Object::new()
                .with("key", setting.key.as_str())
                .with("value", setting.value)
                .with("source", setting.source.to_string()),
        )
    });
    Ok(Object::new()
        .with("config_file", path.display().to_string())
        .with("env", chosen.map(|(env, _)| env.name.to_string()))
        .with("env_source", chosen.map(|(_, source)| source.as_str()))
        .with("settings", settings.collect::<Vec<Value>>()))
}
