//! One collection: where its live records are and which rows are live.

use crate::document::{FieldPolicy, Number, Object, Oid, Value, digest_json, same};
use crate::history::{CollectionName, IdKey};

/// How a live table holds records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// One column holds the document; others hold the id and what the live rule needs.
    Doc,
    /// The row is the record.
    Row,
}

/// The type of a collection's ids, for addresses typed as a bare word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum IdType {
    /// Text.
    String,
    /// A whole number.
    Int,
    /// A MongoDB ObjectId.
    ObjectId,
    /// A UUID.
    Uuid,
}

/// One versioned collection.
#[derive(Debug, Clone)]
pub struct CollectionConfig {
    /// The name by which it is addressed.
    pub name: CollectionName,
    /// The physical table or collection.
    pub table: String,
    /// The id's field or fields.
    pub id_fields: Vec<String>,
    /// The type of the ids, where the configuration says; else the store's column type decides.
    pub id_type: Option<IdType>,
    /// Document in a column, or row as the record.
    pub shape: Shape,
    /// The document's column in [`Shape::Doc`].
    pub doc_column: String,
    /// Which of the rows with an id is live.
    pub live_when: LiveRule,
    /// What makes a row no longer live, for `activate`.
    pub retire_with: Object,
    /// What is versioned, ignored, secret.
    pub policy: FieldPolicy,
}

impl CollectionConfig {
    /// Describes a collection whose table has its name, with one id field and nothing else said: the
    /// row is the record, every row is live, every field is versioned.
    pub fn new(name: CollectionName, id_field: &str) -> Self {
        CollectionConfig {
            table: name.as_str().to_owned(),
            name,
            id_fields: vec![id_field.to_owned()],
            id_type: None,
            shape: Shape::Row,
            doc_column: "doc".to_owned(),
            live_when: LiveRule::default(),
            retire_with: Object::new(),
            policy: FieldPolicy::default(),
        }
    }

    /// Returns the value that a record's id gives to each id field, in the order of the fields; `None`
    /// for an id that is not made of these fields.
    pub fn id_values(&self, id: &IdKey) -> Option<Vec<(&str, Value)>> {
        let id = id.to_value();
        match self.id_fields.as_slice() {
            [field] => Some(vec![(field.as_str(), id)]),
            fields => fields.iter().map(|field| Some((field.as_str(), id.get(field)?.clone()))).collect(),
        }
    }

    /// Returns the id field in which a document names another id than its record's. A document that
    /// names none there (the field is absent or null) agrees.
    ///
    /// # Examples
    ///
    /// ```
    /// use cfg_engine::{Value, config::CollectionConfig};
    /// use cfg_engine::history::{CollectionName, IdKey};
    ///
    /// let agents = CollectionConfig::new(CollectionName::new("agents")?, "id");
    /// let id = IdKey::from_value(&Value::from("planner"))?;
    /// assert_eq!(agents.disagreeing_id(&id, &Value::from_json(r#"{"id": "planner"}"#)?), None);
    /// assert_eq!(agents.disagreeing_id(&id, &Value::from_json(r#"{"id": "writer"}"#)?), Some("id"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn disagreeing_id(&self, id: &IdKey, doc: &Value) -> Option<&str> {
        let named = |field: &&String| doc.get(field).is_some_and(|there| !there.is_null());
        // Most documents name none: the id is taken apart only where one does.
        self.id_fields.iter().find(named)?;
        let differs = |field: &str, wanted: &Value| match doc.get(field) {
            None | Some(Value::Null) => false,
            Some(there) => IdKey::from_value(there).ok() != IdKey::from_value(wanted).ok(),
        };
        let wanted = self.id_values(id)?;
        wanted.into_iter().find(|(field, wanted)| differs(field, wanted)).map(|(field, _)| field)
    }

    /// Returns the oid of an ordinary document of record `id`, read from its JSON text; `None` where the long
    /// way has to be taken, which says what is unusual: a broken text, or one that names another id.
    pub fn quick_oid(&self, id: &IdKey, text: &str) -> Option<Oid> {
        let digest = digest_json(text, &self.policy, &self.id_fields)?;
        let mut ids = Object::new();
        for (name, text) in self.id_fields.iter().zip(digest.watched) {
            if let Some(text) = text {
                ids = ids.with(name.as_str(), Value::from_json(text).ok()?);
            }
        }
        (ids.is_empty() || self.disagreeing_id(id, &Value::Object(ids)).is_none()).then_some(digest.oid)
    }
}

/// Which row is the live one: a conjunction of conditions on fields.
///
/// Written as MongoDB writes filters: `{ is_active = true }`, `{ status = { "$in" = ["a", "b"] } }`.
/// Operators select; they are never written.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LiveRule {
    conditions: Vec<(String, Condition)>,
}

/// One condition of a [`LiveRule`].
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Condition {
    /// Equal in canonical form; null also fits an absent field.
    Eq(Value),
    /// Not equal.
    Ne(Value),
    /// Equal to one of these.
    In(Vec<Value>),
    /// Equal to none of these.
    NotIn(Vec<Value>),
    /// Present and not null, or not.
    Exists(bool),
    /// Greater: numbers with numbers, text with text.
    Gt(Value),
    /// Greater or equal.
    Gte(Value),
    /// Less.
    Lt(Value),
    /// Less or equal.
    Lte(Value),
}

/// Why a live rule cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("live_when: {problem}")]
pub struct LiveRuleError {
    problem: String,
}

impl LiveRule {
    /// Reads a rule from its object form.
    ///
    /// # Errors
    ///
    /// [`LiveRuleError`] for an unknown operator or a value that cannot be compared.
    ///
    /// # Examples
    ///
    /// ```
    /// use cfg_engine::{Value, config::LiveRule};
    /// let rule = Value::from_json(r#"{"is_active": true}"#)?;
    /// let rule = LiveRule::from_object(rule.as_object().expect("an object"))?;
    /// assert!(rule.matches(&Value::from_json(r#"{"is_active": true, "n": 1}"#)?));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn from_object(object: &Object) -> Result<Self, LiveRuleError> {
        let mut conditions = Vec::new();
        for (field, wanted) in object {
            match wanted {
                Value::Object(operators) if operators.keys().any(|k| k.starts_with('$')) => {
                    for (operator, operand) in operators {
                        conditions.push((field.clone(), condition(field, operator, operand)?));
                    }
                }
                Value::Object(_) | Value::Array(_) => {
                    return Err(LiveRuleError { problem: format!("{field} must be compared with a plain value") });
                }
                plain => conditions.push((field.clone(), Condition::Eq(plain.clone()))),
            }
        }
        Ok(LiveRule { conditions })
    }

    /// Returns the conditions in order.
    pub fn conditions(&self) -> &[(String, Condition)] {
        &self.conditions
    }

    /// Returns whether every row is live.
    pub fn is_empty(&self) -> bool {
        self.conditions.is_empty()
    }

    /// Returns the equality pairs, which seeding lays over a new row.
    pub fn equality_pairs(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.conditions.iter().filter_map(|(field, condition)| match condition {
            Condition::Eq(value) => Some((field.as_str(), value)),
            _ => None,
        })
    }

    /// Returns whether a row or document satisfies the rule.
    pub fn matches(&self, row: &Value) -> bool {
        self.conditions.iter().all(|(field, condition)| condition.holds(row.get(field)))
    }
}

fn condition(field: &str, operator: &str, operand: &Value) -> Result<Condition, LiveRuleError> {
    let list = || {
        operand
            .as_array()
            .map(<[Value]>::to_vec)
            .ok_or_else(|| LiveRuleError { problem: format!("{operator} of {field} takes a list") })
    };
    Ok(match operator {
        "$eq" => Condition::Eq(operand.clone()),
        "$ne" => Condition::Ne(operand.clone()),
        "$in" => Condition::In(list()?),
        "$nin" => Condition::NotIn(list()?),
        "$exists" => Condition::Exists(
            operand
                .as_bool()
                .ok_or_else(|| LiveRuleError { problem: format!("$exists of {field} takes true or false") })?,
        ),
        "$gt" => Condition::Gt(operand.clone()),
        "$gte" => Condition::Gte(operand.clone()),
        "$lt" => Condition::Lt(operand.clone()),
        "$lte" => Condition::Lte(operand.clone()),
        other => return Err(LiveRuleError { problem: format!("unknown operator {other} for {field}") }),
    })
}

impl Condition {
    /// Returns whether a field's value satisfies the condition.
    pub fn holds(&self, value: Option<&Value>) -> bool {
        let value = value.filter(|v| !v.is_null());
        let equals = |wanted: &Value| match value {
            Some(value) => same(value, wanted),
            None => wanted.is_null(),
        };
        match self {
            Condition::Eq(wanted) => equals(wanted),
            Condition::Ne(wanted) => !equals(wanted),
            Condition::In(list) => list.iter().any(equals),
            Condition::NotIn(list) => !list.iter().any(equals),
            Condition::Exists(wanted) => value.is_some() == *wanted,
            Condition::Gt(bound) => ordered(value, bound).is_some_and(|o| o.is_gt()),
            Condition::Gte(bound) => ordered(value, bound).is_some_and(|o| o.is_ge()),
            Condition::Lt(bound) => ordered(value, bound).is_some_and(|o| o.is_lt()),
            Condition::Lte(bound) => ordered(value, bound).is_some_and(|o| o.is_le()),
        }
    }
}

fn ordered(value: Option<&Value>, bound: &Value) -> Option<std::cmp::Ordering> {
    match (value?, bound) {
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        (Value::Number(a), Value::Number(b)) if a.same_digits(b) => Some(std::cmp::Ordering::Equal),
        (Value::Number(Number::Int(a)), Value::Number(Number::Int(b))) => Some(a.cmp(b)),
        (Value::Number(a), Value::Number(b)) => a.as_f64().partial_cmp(&b.as_f64()),
        _ => None,
    }
}
