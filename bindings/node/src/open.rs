//! How a project is opened.

use std::path::PathBuf;

use cfg_engine::document::Object;
use cfg_engine::history::AuthorClass;
use cfg_engine::{Error, Value};
use cfg_engine_connect::{Create, OpenOptions, Variables};

fn usage(problem: String, hint: &str) -> Error {
    Error::refused("usage", problem, hint)
}

/// Reads how a project is opened.
pub(crate) fn open_options(text: &str) -> Result<OpenOptions, Error> {
    let Value::Object(mut given) = Value::from_interchange(text)? else {
        return Err(usage("open takes an object of options".to_owned(), "call it as open({ env: \"dev\" })"));
    };
    let options = OpenOptions {
        start_dir: string(&mut given, "path")?.map(PathBuf::from).unwrap_or_default(),
        config_file: string(&mut given, "config_file")?.map(PathBuf::from),
        env: string(&mut given, "env")?,
        author: string(&mut given, "author")?,
        author_class: string(&mut given, "author_class")?.as_deref().map(author_class).transpose()?,
        create: match given.remove("create") {
            None | Some(Value::Null | Value::Bool(false)) => Create::Never,
            Some(Value::Bool(true)) => Create::IfMissing,
            Some(other) => return Err(not_a("create", "true or false", &other)),
        },
        variables: variables(&mut given)?,
        ..OpenOptions::default()
    };
    match given.iter().find(|(_, value)| !value.is_null()) {
        None => Ok(options),
        Some((name, _)) => Err(usage(format!("open takes no {name}"), "look at the type OpenOptions")),
    }
}

fn not_a(name: &str, wanted: &str, found: &Value) -> Error {
    usage(format!("{name} of open must be {wanted}, it is: {}", found.type_name()), "look at the type OpenOptions")
}

fn string(given: &mut Object, name: &str) -> Result<Option<String>, Error> {
    match given.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(not_a(name, "a string", &other)),
    }
}

fn variables(given: &mut Object) -> Result<Variables, Error> {
    match given.remove("variables") {
        None | Some(Value::Null) => Ok(Variables::Process),
        Some(Value::Object(pairs)) => {
            let pair = |(name, value): (String, Value)| match value {
                Value::String(text) => Ok((name, text)),
                other => Err(not_a(&name, "a string", &other)),
            };
            Ok(Variables::Fixed(pairs.into_iter().map(pair).collect::<Result<_, _>>()?))
        }
        Some(other) => Err(not_a("variables", "an object of strings", &other)),
    }
}

fn author_class(word: &str) -> Result<AuthorClass, Error> {
    AuthorClass::parse(word)
        .ok_or_else(|| usage(format!("there is no class of authors {word:?}"), "declare \"agent\" or \"pipeline\""))
}
