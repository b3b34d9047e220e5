//! A field policy as data: what is kept of it, so that a stored document can be checked under the rules
//! it was made with.

use super::canonical::oid;
use super::field_path::{PatternStep, write_pattern};
use super::field_policy::{FieldPolicy, PolicyError, PolicyNode, Treatment};
use super::oid::Oid;
use super::value::{Object, Value};

/// The members of a policy's object form, each a list of texts in ascending order.
const IGNORED: &str = "ignored";
const PATTERNS: &str = "patterns";
const SECRET: &str = "secret";

impl FieldPolicy {
    /// Returns the rules as `{ignored: [path], patterns: [glob], secret: [path]}`.
    ///
    /// # Examples
    ///
    /// ```
    /// use cfg_engine::document::FieldPolicy;
    /// let policy = FieldPolicy::builder().ignore_field("a.b").secret_field("tools[].key")?.build();
    /// let again = FieldPolicy::from_object(&policy.to_object())?;
    /// assert_eq!(again.address(), policy.address());
    /// assert_ne!(again.address(), FieldPolicy::default().address());
    /// # Ok::<(), cfg_engine::document::PolicyError>(())
    /// ```
    pub fn to_object(&self) -> Object {
        let (mut ignored, mut secret) = (Vec::new(), Vec::new());
        list(self.root(), &mut Vec::new(), &mut ignored, &mut secret);
        let mut patterns: Vec<String> = self.patterns().iter().map(|glob| glob.as_str().to_owned()).collect();
        for texts in [&mut ignored, &mut patterns, &mut secret] {
            texts.sort_unstable();
            texts.dedup();
        }
        Object::new().with(IGNORED, ignored).with(PATTERNS, patterns).with(SECRET, secret)
    }

    /// Reads the rules that [`to_object`](Self::to_object) wrote.
    ///
    /// # Errors
    ///
    /// [`PolicyError`] for a rule that does not parse.
    pub fn from_object(object: &Object) -> Result<FieldPolicy, PolicyError> {
        let texts = |name: &str| {
            let list = object.get(name).and_then(Value::as_array).unwrap_or_default();
            list.iter().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>()
        };
        let mut builder = FieldPolicy::builder();
        for path in texts(IGNORED) {
            builder = builder.ignore_path(&path)?;
        }
        for glob in texts(PATTERNS) {
            builder = builder.ignore_pattern(&glob)?;
        }
        for path in texts(SECRET) {
            builder = builder.secret_field(&path)?;
        }
        Ok(builder.build())
    }

    /// Returns the content address of the rules. It is computed once.
    pub fn address(&self) -> Oid {
        *self.cached_address().get_or_init(|| {
            let rules = Value::Object(self.to_object());
            oid(&rules, &FieldPolicy::default()).expect("lists of texts have a canonical form")
        })
    }
}

fn list(node: &PolicyNode, at: &mut Vec<PatternStep>, ignored: &mut Vec<String>, secret: &mut Vec<String>) {
    match node.treatment {
        Some(Treatment::Secret) => secret.push(write_pattern(at)),
        Some(Treatment::Ignored) => ignored.push(write_pattern(at)),
        Some(Treatment::Versioned) | None => {}
    }
    let members = node.members.iter().map(|(key, node)| (PatternStep::Key(key.clone()), node));
    let indexed = node.indexed.iter().map(|(index, node)| (PatternStep::Index(*index), node));
    let elements = node.elements.iter().map(|node| (PatternStep::EveryElement, &**node));
    for (step, node) in members.chain(indexed).chain(elements) {
        at.push(step);
        list(node, at, ignored, secret);
        at.pop();
    }
}
