//! Values as an application writes and reads them: the driver's own types, and none of the adapter's code.

use bson::spec::BinarySubtype;
use bson::{Binary, Bson, DateTime, Document, JavaScriptCodeWithScope, Regex, Timestamp, oid::ObjectId};
use cfg_engine::Value;
use cfg_engine::document::{Extended, Number, Object};

pub(crate) fn document(object: &Object) -> Document {
    object.iter().map(|(name, value)| (name.clone(), to_bson(value))).collect()
}

pub(crate) fn to_bson(value: &Value) -> Bson {
    match value {
        Value::Null => Bson::Null,
        Value::Bool(b) => Bson::Boolean(*b),
        Value::Number(Number::Int32(n)) => Bson::Int32(*n),
        Value::Number(Number::Int64(n)) => Bson::Int64(*n),
        Value::Number(Number::Int(n)) => i32::try_from(*n).map_or(Bson::Int64(*n), Bson::Int32),
        Value::Number(Number::Double(n)) => Bson::Double(*n),
        Value::Number(Number::Decimal128(text)) => Bson::Decimal128(text.parse().expect("a decimal")),
        Value::Number(number) => Bson::Double(number.as_f64()),
        Value::String(text) => Bson::String(text.clone()),
        Value::Array(items) => Bson::Array(items.iter().map(to_bson).collect()),
        Value::Object(object) => Bson::Document(document(object)),
        Value::Extended(extended) => match &**extended {
            Extended::ObjectId(id) => Bson::ObjectId(ObjectId::from_bytes(*id)),
            Extended::DateTime(at) => Bson::DateTime(DateTime::from_millis(*at)),
            Extended::Binary { subtype, bytes } => {
                Bson::Binary(Binary { subtype: BinarySubtype::from(*subtype), bytes: bytes.clone() })
            }
            Extended::Timestamp { time, increment } => {
                Bson::Timestamp(Timestamp { time: *time, increment: *increment })
            }
            Extended::Regex { pattern, options } => Bson::RegularExpression(Regex {
                pattern: pattern.as_str().try_into().expect("a pattern"),
                options: options.as_str().try_into().expect("options"),
            }),
            Extended::Code { code, scope: None } => Bson::JavaScriptCode(code.clone()),
            Extended::Code { code, scope: Some(scope) } => {
                Bson::JavaScriptCodeWithScope(JavaScriptCodeWithScope { code: code.clone(), scope: document(scope) })
            }
            Extended::Symbol(text) => Bson::Symbol(text.clone()),
            Extended::MinKey => Bson::MinKey,
            Extended::MaxKey => Bson::MaxKey,
            Extended::Undefined => Bson::Undefined,
            other => panic!("an application writes no {}", other.type_name()),
        },
    }
}

pub(crate) fn value(doc: Document) -> Value {
    Value::Object(doc.into_iter().map(|(name, bson)| (name, from_bson(bson))).collect())
}

pub(crate) fn from_bson(bson: Bson) -> Value {
    match bson {
        Bson::Null => Value::Null,
        Bson::Boolean(b) => Value::Bool(b),
        Bson::Int32(n) => Value::Number(Number::Int32(n)),
        Bson::Int64(n) => Value::Number(Number::Int64(n)),
        Bson::Double(n) => Value::Number(Number::Double(n)),
        Bson::Decimal128(n) => Value::Number(Number::decimal128(&n.to_string()).expect("a decimal")),
        Bson::String(text) => Value::String(text),
        Bson::Array(items) => Value::Array(items.into_iter().map(from_bson).collect()),
        Bson::Document(doc) => value(doc),
        Bson::ObjectId(id) => Extended::ObjectId(id.bytes()).into(),
        Bson::DateTime(at) => Extended::DateTime(at.timestamp_millis()).into(),
        Bson::Binary(binary) => Extended::Binary { subtype: binary.subtype.into(), bytes: binary.bytes }.into(),
        Bson::Timestamp(at) => Extended::Timestamp { time: at.time, increment: at.increment }.into(),
        Bson::RegularExpression(regex) => {
            Extended::Regex { pattern: regex.pattern.as_str().to_owned(), options: regex.options.as_str().to_owned() }
                .into()
        }
        Bson::JavaScriptCode(code) => Extended::Code { code, scope: None }.into(),
        Bson::JavaScriptCodeWithScope(code) => {
            let Value::Object(scope) = value(code.scope) else { panic!("a scope") };
            Extended::Code { code: code.code, scope: Some(scope) }.into()
        }
        Bson::Symbol(text) => Extended::Symbol(text).into(),
        Bson::MinKey => Extended::MinKey.into(),
        Bson::MaxKey => Extended::MaxKey.into(),
        Bson::Undefined => Extended::Undefined.into(),
        Bson::DbPointer(_) => panic!("an application reads no database pointer"),
    }
}
