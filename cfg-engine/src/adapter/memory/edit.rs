//! A stand-in for `document::apply_changes` until that is there.

use crate::document::{Edit, FieldPath, PathChange, Step, Value};

/// Says that a path leads nowhere.
pub(super) struct EditError;

pub(super) fn apply_changes(doc: &mut Value, changes: &[PathChange]) -> Result<(), EditError> {
    changes.iter().try_for_each(|change| apply_one(doc, &change.path, &change.edit))
}

fn apply_one(doc: &mut Value, path: &FieldPath, edit: &Edit) -> Result<(), EditError> {
    let Some((parent, last)) = path.split_last() else {
        let Edit::Set(value) = edit else { return Err(EditError) };
        *doc = value.clone();
        return Ok(());
    };
    let parent = crate::document::get_mut(doc, &parent).ok_or(EditError)?;
    match (parent, last, edit) {
        (Value::Object(object), Step::Key(key), Edit::Set(value)) => {
            object.insert(key.as_str(), value.clone());
        }
        (Value::Object(object), Step::Key(key), Edit::Unset) => {
            object.remove(key);
        }
        (Value::Array(items), Step::Index(at), Edit::Set(value)) if *at < items.len() => items[*at] = value.clone(),
        (Value::Array(items), Step::Index(at), Edit::Set(value)) if *at == items.len() => items.push(value.clone()),
        (Value::Array(items), Step::Index(at), Edit::Unset) if *at < items.len() => drop(items.remove(*at)),
        _ => return Err(EditError),
    }
    Ok(())
}
