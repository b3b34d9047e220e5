//! What every document that comes in must be.

use crate::config::{CollectionConfig, Shape};
use crate::document::{FieldPath, FieldPolicy, Step, Treatment, Value, is_secret_marker};
use crate::error::Error;
use crate::history::RecordKey;

/// Refuses `{"$secret": true}` where no secret is: it stands for a value that is hidden, and written as
/// it stands it would be that value from then on. Where live says it itself, it is content.
pub(crate) fn refuse_stray_markers(
    target: &Value,
    live: Option<&Value>,
    record: &RecordKey,
    policy: &FieldPolicy,
) -> Result<(), Error> {
    fn find(value: &Value, path: &mut Vec<Step>, found: &mut Vec<FieldPath>) {
        if is_secret_marker(value) {
            return found.push(FieldPath::from_steps(path.clone()));
        }
        let mut into = |step: Step, value: &Value| {
            path.push(step);
            find(value, path, found);
            path.pop();
        };
        match value {
            Value::Object(object) => object.iter().for_each(|(key, value)| into(Step::Key(key.clone()), value)),
            Value::Array(items) => items.iter().enumerate().for_each(|(n, value)| into(Step::Index(n), value)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    find(target, &mut Vec::new(), &mut found);
    let is_lives = |path: &FieldPath| live.and_then(|live| path.get(live)).is_some_and(is_secret_marker);
    match found.into_iter().find(|path| policy.treatment(path) != Treatment::Secret && !is_lives(path)) {
        None => Ok(()),
        Some(path) => Err(Error::refused_for(
            record,
            "stray_secret_marker",
            format!("{path} of the document for {record} says {{\"$secret\": true}} and is no secret field"),
            format!("write its value, or add {path} to secret_fields"),
        )),
    }
}

/// Checks that a document is an object and that an id inside it is this record's; in the row shape
/// a document without its id gets it.
pub(crate) fn with_id(mut doc: Value, record: &RecordKey, collection: &CollectionConfig) -> Result<Value, Error> {
    let type_name = doc.type_name();
    let Some(object) = doc.as_object_mut() else {
        return Err(Error::refused_for(
            record,
            "not_an_object",
            format!("the document for {record} is a JSON {type_name}, not an object"),
            "write a JSON object",
        ));
    };
    if collection.shape == Shape::Row {
        for (field, wanted) in collection.id_values(&record.id).into_iter().flatten().rev() {
            match object.get(field) {
                None => object.members_mut().insert(0, (field.to_owned(), wanted)),
                Some(Value::Null) => drop(object.insert(field, wanted)),
                Some(_) => {}
            }
        }
    }
    match collection.disagreeing_id(&record.id, &doc) {
        None => Ok(doc),
        Some(field) => Err(Error::refused_for(
            record,
            "other_id",
            format!("the document for {record} carries another id in {field}"),
            format!("remove {field} from the document, or commit it under its own id"),
        )),
    }
}
