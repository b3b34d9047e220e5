//! Conversions to and from `serde_json::Value`, for programs that hold their documents in it.
//!
//! They go through text, so that they give the same whatever features of serde_json a build turns
//! on. Text is interchange: a date or an ObjectId is its Extended JSON wrapper on the other side.

use super::parse::ParseError;
use super::value::Value;

impl TryFrom<&serde_json::Value> for Value {
    type Error = ParseError;

    /// Reads wrappers such as `{"$date": …}` as what they mean.
    ///
    /// # Errors
    ///
    /// [`ParseError`] for a wrapper whose content does not fit, or nesting beyond the limit.
    fn try_from(value: &serde_json::Value) -> Result<Self, ParseError> {
        Value::from_interchange(&value.to_string())
    }
}

impl From<&Value> for serde_json::Value {
    /// Writes canonical Extended JSON where a value needs it. Without serde_json's feature
    /// `arbitrary_precision` a number beyond a double is rounded, as everywhere in serde_json.
    fn from(value: &Value) -> Self {
        // Interchange text is JSON; a number beyond a double's range has no form in serde_json.
        serde_json::from_str(&value.to_interchange()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use crate::Value;

    #[test]
    fn a_document_goes_there_and_comes_back() {
        let text = r#"{"n":5,"x":0.5,"at":{"$date":{"$numberLong":"0"}},"list":[null,true,"a"]}"#;
        let ours = Value::from_interchange(text).expect("a document");
        let theirs = serde_json::Value::from(&ours);
        assert_eq!(theirs["at"]["$date"]["$numberLong"], "0");
        let back = Value::try_from(&theirs).expect("a document");
        assert!(crate::document::same(&ours, &back));
    }
}
