//! The live rule as a filter: what the server can leave out beforehand.
//!
//! The rule itself is evaluated here, on what comes back, since the server's idea of equality differs
//! in places (arrays, Unicode, collations, decimals). A filter only has to let every live document pass.

use bson::{Bson, Document, doc};
use cfg_engine::Value;
use cfg_engine::config::{Condition, LiveRule};
use cfg_engine::document::Number;

/// Integers up to here are the same number in every width.
const EXACT: i64 = 1 << 53;

/// Returns a filter that all live documents pass.
pub(crate) fn filter(rule: &LiveRule) -> Document {
    let terms: Vec<Bson> = rule.conditions().iter().filter_map(|(field, c)| Some(term(field, c)?.into())).collect();
    match terms.as_slice() {
        [] => Document::new(),
        [Bson::Document(only)] => only.clone(),
        _ => doc! { "$and": terms },
    }
}

fn term(field: &str, condition: &Condition) -> Option<Document> {
    if field.is_empty() || field.starts_with('$') || field.contains('.') {
        return None;
    }
    let named = |bson: Bson| Document::from_iter([(field.to_owned(), bson)]);
    let list = |list: &[Value]| list.iter().map(comparable).collect::<Option<Vec<Bson>>>();
    // Where nothing is like null, in `$expr`, which does not look into arrays.
    let not_in = |values: Vec<Bson>| {
        let literals: Vec<Bson> = values.into_iter().map(|value| doc! { "$literal": value }.into()).collect();
        Some(doc! { "$expr": { "$not": [{ "$in": [format!("${field}"), literals] }] } })
    };
    match condition {
        Condition::Eq(wanted) => Some(named(comparable(wanted)?)),
        Condition::In(wanted) => Some(named(doc! { "$in": list(wanted)? }.into())),
        Condition::Ne(Value::Null) | Condition::Exists(true) => Some(named(doc! { "$exists": true }.into())),
        Condition::Exists(false) => Some(named(Bson::Null)),
        Condition::Ne(unwanted) => not_in(vec![same_for_all(unwanted)?]),
        Condition::NotIn(unwanted) => {
            // What the server thinks equal has to be equal; what it does not know stays in.
            not_in(unwanted.iter().filter(|value| !value.is_null()).filter_map(same_for_all).collect())
        }
        _ => None,
    }
}

/// A value that the server finds wherever the rule would.
fn comparable(value: &Value) -> Option<Bson> {
    match value {
        // Absent and null both.
        Value::Null => Some(Bson::Null),
        // A few other characters become these when they are normalized.
        Value::String(text) if text.is_ascii() && !text.contains(['K', ';', '`']) => Some(text.as_str().into()),
        other => same_for_all(other).filter(|bson| !matches!(bson, Bson::String(_))),
    }
}

/// A value that is equal in the rule's eyes to whatever the server thinks equal to it.
fn same_for_all(value: &Value) -> Option<Bson> {
    match value {
        Value::Bool(b) => Some(Bson::Boolean(*b)),
        Value::String(text) => Some(text.as_str().into()),
        Value::Number(number @ (Number::Int(_) | Number::Int32(_) | Number::Int64(_))) => {
            number.as_i64().filter(|n| (-EXACT..=EXACT).contains(n)).map(Bson::Int64)
        }
        _ => None,
    }
}
