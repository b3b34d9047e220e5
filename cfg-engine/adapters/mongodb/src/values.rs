//! BSON and the engine's values, both ways, without losing a type.

use std::collections::{HashMap, HashSet};

use bson::raw::{CStr, RawArray, RawArrayBuf, RawBinaryRef, RawBsonRef, RawDocument, RawDocumentBuf, RawRegexRef};
use bson::{Binary, DateTime, Decimal128, RawBson, Timestamp, oid::ObjectId};
use cfg_engine::Value;
use cfg_engine::document::{
    Extended, FieldPath, FieldPolicy, Number, Object, ObjectSink, Oid, Step, ValueSink, digest_object,
};

/// From this many members on, repeated names are looked for with a set.
const MANY: usize = 16;

/// Reads a document.
///
/// # Errors
///
/// Why it cannot be read, without values.
pub(crate) fn read_document(doc: &RawDocument) -> Result<Value, String> {
    read_object(doc).map(Value::Object)
}

fn read_object(doc: &RawDocument) -> Result<Object, String> {
    let mut members: Vec<(String, Value)> = Vec::new();
    for element in doc.iter() {
        let (key, value) =
            element.map_err(|_| "it is no readable BSON: broken, or text that is not UTF-8".to_owned())?;
        let value = read(value).map_err(|what| if what.is_empty() { format!("{key} cannot be read") } else { what })?;
        members.push((key.as_str().to_owned(), value));
    }
    let repeated = if members.len() < MANY {
        members.iter().enumerate().any(|(n, (key, _))| members[..n].iter().any(|(other, _)| other == key))
    } else {
        let mut seen = HashSet::with_capacity(members.len());
        !members.iter().all(|(key, _)| seen.insert(key.as_str()))
    };
    if repeated {
        return Err("it has two members of one name".to_owned());
    }
    Ok(Object::from_members(members))
}

fn read_array(array: &RawArray) -> Result<Vec<Value>, String> {
    array
        .into_iter()
        .map(|item| read(item.map_err(|_| "it is no readable BSON: broken, or text that is not UTF-8".to_owned())?))
        .collect()
}

/// Reads one value.
///
/// # Errors
///
/// Why it cannot be read, without values.
pub(crate) fn read(value: RawBsonRef<'_>) -> Result<Value, String> {
    Ok(match value {
        RawBsonRef::Null => Value::Null,
        RawBsonRef::Boolean(b) => Value::Bool(b),
        RawBsonRef::Int32(n) => Value::Number(Number::Int32(n)),
        RawBsonRef::Int64(n) => Value::Number(Number::Int64(n)),
        RawBsonRef::Double(n) => Value::Number(Number::Double(n)),
        RawBsonRef::Decimal128(n) => {
            Value::Number(Number::decimal128(&n.to_string()).ok_or("a decimal that cannot be read")?)
        }
        RawBsonRef::String(text) => Value::from(text),
        RawBsonRef::Array(array) => Value::Array(read_array(array)?),
        RawBsonRef::Document(doc) => Value::Object(read_object(doc)?),
        RawBsonRef::ObjectId(id) => Extended::ObjectId(id.bytes()).into(),
        RawBsonRef::DateTime(at) => Extended::DateTime(at.timestamp_millis()).into(),
        RawBsonRef::Binary(binary) => {
            Extended::Binary { subtype: binary.subtype.into(), bytes: binary.bytes.to_vec() }.into()
        }
        RawBsonRef::Timestamp(at) => Extended::Timestamp { time: at.time, increment: at.increment }.into(),
        RawBsonRef::RegularExpression(regex) => {
            Extended::Regex { pattern: regex.pattern.as_str().to_owned(), options: regex.options.as_str().to_owned() }
                .into()
        }
        RawBsonRef::JavaScriptCode(code) => Extended::Code { code: code.to_owned(), scope: None }.into(),
        RawBsonRef::JavaScriptCodeWithScope(code) => {
            Extended::Code { code: code.code.to_owned(), scope: Some(read_object(code.scope)?) }.into()
        }
        RawBsonRef::Symbol(text) => Extended::Symbol(text.to_owned()).into(),
        RawBsonRef::MinKey => Extended::MinKey.into(),
        RawBsonRef::MaxKey => Extended::MaxKey.into(),
        RawBsonRef::Undefined => Extended::Undefined.into(),
        pointer @ RawBsonRef::DbPointer(_) => {
            let (namespace, id) = read_pointer(pointer).ok_or("a database pointer that cannot be read")?;
            Extended::DbPointer { namespace, id }.into()
        }
    })
}

/// Returns the oid of a document, read from its bytes; `None` where the long way, by [`read_document`], has to
/// be taken.
pub(crate) fn quick_oid(doc: &RawDocument, policy: &FieldPolicy) -> Option<Oid> {
    digest_object(policy, |object| digest_members(doc, object))
}

fn digest_members<'d>(doc: &'d RawDocument, object: &mut ObjectSink<'_, 'd>) -> Option<()> {
    for element in doc.iter() {
        let (name, value) = element.ok()?;
        object.member(name.as_str(), |sink| digest_value(value, sink))?;
    }
    Some(())
}

fn digest_value<'d>(value: RawBsonRef<'d>, sink: ValueSink<'_, 'd>) -> Option<()> {
    match value {
        RawBsonRef::Null => sink.null(),
        RawBsonRef::Boolean(b) => sink.bool(b),
        RawBsonRef::Int32(n) => sink.number(&Number::Int32(n)),
        RawBsonRef::Int64(n) => sink.number(&Number::Int64(n)),
        RawBsonRef::Double(n) => sink.number(&Number::Double(n)),
        RawBsonRef::String(text) => sink.string(text),
        RawBsonRef::Document(doc) => sink.object(|object| digest_members(doc, object)),
        RawBsonRef::Array(array) => sink.array(|sink| {
            for item in array {
                let item = item.ok()?;
                sink.element(|sink| digest_value(item, sink))?;
            }
            Some(())
        }),
        RawBsonRef::DateTime(at) => sink.extended(&Extended::DateTime(at.timestamp_millis())),
        RawBsonRef::ObjectId(id) => sink.extended(&Extended::ObjectId(id.bytes())),
        other => match read(other).ok()? {
            Value::Number(number) => sink.number(&number),
            Value::Extended(extended) => sink.extended(&extended),
            _ => None,
        },
    }
}

/// The parts of a database pointer, which the driver keeps to itself: text, then twelve bytes.
fn read_pointer(pointer: RawBsonRef<'_>) -> Option<(String, [u8; 12])> {
    let mut around = RawDocumentBuf::new();
    around.append(bson::raw::cstr!(""), pointer);
    // Length of the document, type, empty name, length of the text.
    let inside = around.as_bytes().get(10..)?;
    let text = inside.get(..inside.len().checked_sub(14)?)?;
    let id = inside.get(text.len() + 1..text.len() + 13)?;
    Some((std::str::from_utf8(text).ok()?.to_owned(), id.try_into().ok()?))
}

fn pointer(namespace: &str, id: &[u8; 12]) -> Option<RawDocumentBuf> {
    let text = i32::try_from(namespace.len() + 1).ok()?;
    let mut bytes = vec![0; 4];
    bytes.extend([0x0c, 0]);
    bytes.extend(text.to_le_bytes());
    bytes.extend(namespace.as_bytes());
    bytes.push(0);
    bytes.extend(id);
    bytes.push(0);
    let length = i32::try_from(bytes.len()).ok()?;
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    RawDocumentBuf::from_bytes(bytes).ok()
}

/// A value that BSON has no place for: where, and what.
#[derive(Debug)]
pub(crate) struct Misfit {
    pub(crate) path: FieldPath,
    pub(crate) what: &'static str,
}

impl Misfit {
    fn here(what: &'static str) -> Self {
        Misfit { path: FieldPath::root(), what }
    }

    /// The place as seen from one level further up.
    fn below(self, step: Step) -> Self {
        let steps = std::iter::once(step).chain(self.path.steps().iter().cloned()).collect();
        Misfit { path: FieldPath::from_steps(steps), what: self.what }
    }
}

/// Writes an object as a document.
///
/// # Errors
///
/// [`Misfit`] for what BSON cannot hold.
pub(crate) fn write_object(object: &Object) -> Result<RawDocumentBuf, Misfit> {
    let mut doc = RawDocumentBuf::new();
    for (name, value) in object {
        append(&mut doc, name, value)?;
    }
    Ok(doc)
}

/// Appends a member to a document.
///
/// # Errors
///
/// [`Misfit`] for what BSON cannot hold.
pub(crate) fn append(doc: &mut RawDocumentBuf, name: &str, value: &Value) -> Result<(), Misfit> {
    let below = |misfit: Misfit| misfit.below(Step::Key(name.to_owned()));
    let key = key(name).ok_or_else(|| below(Misfit::here("a field name with a NUL character")))?;
    doc.append(key, write(value).map_err(below)?);
    Ok(())
}

/// Returns a name as BSON has it; none holds a NUL character.
pub(crate) fn key(name: &str) -> Option<&CStr> {
    name.try_into().ok()
}

/// Writes one value.
///
/// # Errors
///
/// [`Misfit`] for what BSON cannot hold.
pub(crate) fn write(value: &Value) -> Result<RawBson, Misfit> {
    Ok(match value {
        Value::Null => RawBson::Null,
        Value::Bool(b) => RawBson::Boolean(*b),
        Value::Number(number) => write_number(number).ok_or(Misfit::here("a number of more digits than BSON has"))?,
        Value::String(text) => RawBson::String(text.clone()),
        Value::Array(items) => {
            let mut array = RawArrayBuf::new();
            for (n, item) in items.iter().enumerate() {
                array.push(write(item).map_err(|misfit| misfit.below(Step::Index(n)))?);
            }
            RawBson::Array(array)
        }
        Value::Object(object) => RawBson::Document(write_object(object)?),
        Value::Extended(extended) => write_extended(extended)?,
    })
}

fn write_extended(extended: &Extended) -> Result<RawBson, Misfit> {
    let text = |text: &str| key(text).map(ToOwned::to_owned).ok_or(Misfit::here("a regex with a NUL character"));
    Ok(match extended {
        Extended::ObjectId(id) => RawBson::ObjectId(ObjectId::from_bytes(*id)),
        Extended::DateTime(at) => RawBson::DateTime(DateTime::from_millis(*at)),
        Extended::Binary { subtype, bytes } => {
            RawBson::Binary(Binary { subtype: (*subtype).into(), bytes: bytes.clone() })
        }
        Extended::Timestamp { time, increment } => RawBson::Timestamp(Timestamp { time: *time, increment: *increment }),
        Extended::Regex { pattern, options } => {
            let (pattern, options) = (text(pattern)?, text(options)?);
            // Options as they are: the owned type of the driver would sort them.
            RawBsonRef::RegularExpression(RawRegexRef { pattern: &pattern, options: &options }).into()
        }
        Extended::Code { code, scope: None } => RawBson::JavaScriptCode(code.clone()),
        Extended::Code { code, scope: Some(scope) } => {
            let scope = write_object(scope).map_err(|misfit| misfit.below(Step::Key("$scope".to_owned())))?;
            RawBson::JavaScriptCodeWithScope(bson::raw::RawJavaScriptCodeWithScope { code: code.clone(), scope })
        }
        Extended::Symbol(text) => RawBson::Symbol(text.clone()),
        Extended::DbPointer { namespace, id } => {
            let around = pointer(namespace, id).ok_or(Misfit::here("a database pointer with a NUL character"))?;
            let value = around.iter().next().and_then(Result::ok).map(|(_, value)| value.into());
            value.ok_or(Misfit::here("a database pointer with a NUL character"))?
        }
        Extended::MinKey => RawBson::MinKey,
        Extended::MaxKey => RawBson::MaxKey,
        Extended::Undefined => RawBson::Undefined,
        Extended::Store { .. } => return Err(Misfit::here("a value of another store's own type")),
        _ => return Err(Misfit::here("a value of a type that this adapter does not know")),
    })
}

/// A number in its own width. One without a width gets the narrowest integer, or the double that denotes
/// the same digits, or a decimal.
fn write_number(number: &Number) -> Option<RawBson> {
    Some(match number {
        Number::Int32(n) => RawBson::Int32(*n),
        Number::Int64(n) => RawBson::Int64(*n),
        Number::Int(n) => i32::try_from(*n).map_or(RawBson::Int64(*n), RawBson::Int32),
        Number::Double(n) => RawBson::Double(*n),
        Number::Decimal128(text) => RawBson::Decimal128(text.parse::<Decimal128>().ok()?),
        other => {
            let double = other.as_f64();
            if double.is_finite() && Number::Double(double).same_digits(other) {
                return Some(RawBson::Double(double));
            }
            let mut text = Vec::new();
            other.write_canonical(&mut text).ok()?;
            let Number::Decimal128(text) = Number::decimal128(std::str::from_utf8(&text).ok()?)? else { return None };
            RawBson::Decimal128(text.parse::<Decimal128>().ok()?)
        }
    })
}

/// An object's members, to be found by name.
pub(crate) fn by_name(object: &Object) -> HashMap<&str, &Value> {
    object.iter().map(|(name, value)| (name.as_str(), value)).collect()
}

/// Gives an integer that came without a width the one of the value in whose place it stands: a long stays a
/// long, and a decimal a decimal, when somebody types another number.
pub(crate) fn keep_widths(old: &Value, new: &mut Value) {
    match (old, new) {
        (Value::Number(Number::Int64(_)), Value::Number(number)) => {
            if let Number::Int(n) = *number {
                *number = Number::Int64(n);
            }
        }
        (Value::Number(Number::Decimal128(_)), Value::Number(number)) => {
            if let Number::Int(n) = *number
                && let Some(decimal) = Number::decimal128(&n.to_string())
            {
                *number = decimal;
            }
        }
        (Value::Array(old), Value::Array(new)) => {
            old.iter().zip(new).for_each(|(old, new)| keep_widths(old, new));
        }
        (Value::Object(old), Value::Object(new)) => {
            let old = by_name(old);
            new.retain(|name, new| {
                if let Some(old) = old.get(name) {
                    keep_widths(old, new);
                }
                true
            });
        }
        _ => {}
    }
}

/// Writes a document, taking over the bytes of every value that it shares with `old`.
///
/// Equal values need not have equal bytes (a decimal in an unusual encoding), so what a change did not
/// reach is copied and not written anew.
///
/// # Errors
///
/// [`Misfit`] for what BSON cannot hold.
pub(crate) fn rewrite(old: &RawDocument, new: &Object) -> Result<RawDocumentBuf, Misfit> {
    let mut doc = RawDocumentBuf::new();
    let there: HashMap<&str, RawBsonRef<'_>> =
        old.iter().filter_map(Result::ok).map(|(name, value)| (name.as_str(), value)).collect();
    for (name, value) in new {
        let below = |misfit: Misfit| misfit.below(Step::Key(name.clone()));
        let key = key(name).ok_or_else(|| below(Misfit::here("a field name with a NUL character")))?;
        match there.get(name.as_str()) {
            Some(old) => doc.append(key, rewrite_value(*old, value).map_err(below)?),
            None => doc.append(key, write(value).map_err(below)?),
        }
    }
    Ok(doc)
}

fn rewrite_value(old: RawBsonRef<'_>, new: &Value) -> Result<RawBson, Misfit> {
    if read(old).is_ok_and(|old| old == *new) {
        return Ok(old.into());
    }
    match (old, new) {
        (RawBsonRef::Document(old), Value::Object(new)) => rewrite(old, new).map(RawBson::Document),
        (RawBsonRef::Array(old), Value::Array(new)) => {
            let mut old = old.into_iter();
            let mut array = RawArrayBuf::new();
            for (n, item) in new.iter().enumerate() {
                let written = match old.next() {
                    Some(Ok(old)) => rewrite_value(old, item),
                    _ => write(item),
                };
                array.push(written.map_err(|misfit| misfit.below(Step::Index(n)))?);
            }
            Ok(RawBson::Array(array))
        }
        _ => write(new),
    }
}

/// Bytes as a generic binary value.
pub(crate) fn binary(bytes: &[u8]) -> RawBsonRef<'_> {
    RawBsonRef::Binary(RawBinaryRef { subtype: bson::spec::BinarySubtype::Generic, bytes })
}
