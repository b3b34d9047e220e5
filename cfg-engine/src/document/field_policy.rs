//! Which parts of a document are versioned, ignored or secret.

use std::sync::OnceLock;

use super::field_path::{FieldPath, PathError, PathPattern, PatternStep, Step};
use super::glob::Glob;
use super::oid::Oid;
use super::text::nfc;
use super::value::{Object, Value};

/// What happens to a part of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    /// Hashed, stored and restored.
    Versioned,
    /// Stored as it was read, but not hashed, and never written.
    Ignored,
    /// Neither hashed nor stored.
    Secret,
}

/// The rules of one collection: `ignore_fields`, `ignore_patterns`, `ignore_paths`, `secret_fields`.
///
/// A rule decides for the place it names and all below it. A secret inside something ignored is
/// still a secret, and a name matches whatever Unicode normalization it is written in.
///
/// # Examples
///
/// ```
/// use cfg_engine::document::FieldPolicy;
/// let policy = FieldPolicy::builder()
///     .ignore_field("updated_at")
///     .secret_field("tools[].api_key")?
///     .build();
/// # Ok::<(), cfg_engine::document::PolicyError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct FieldPolicy {
    root: PolicyNode,
    patterns: Vec<Glob>,
    /// The patterns as they were written.
    pattern_texts: Vec<String>,
    address: OnceLock<Oid>,
}

/// Builds a [`FieldPolicy`].
#[derive(Debug, Clone, Default)]
pub struct FieldPolicyBuilder {
    policy: FieldPolicy,
}

/// Why a rule cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// A path does not parse.
    #[error(transparent)]
    Path(#[from] PathError),
    /// A glob does not parse.
    #[error("not a glob: {glob:?}")]
    Glob {
        /// The text as given.
        glob: String,
    },
}

/// A tree of rules; a node with a treatment decides for all below it.
#[derive(Debug, Clone, Default)]
pub(crate) struct PolicyNode {
    pub(super) treatment: Option<Treatment>,
    /// By name in NFC.
    pub(super) members: Vec<(String, PolicyNode)>,
    pub(super) elements: Option<Box<PolicyNode>>,
    /// Single elements; when built, each holds the rules of `elements` too.
    pub(super) indexed: Vec<(usize, PolicyNode)>,
}

/// Where a walk through a document stands in the rules.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PolicyCursor<'p> {
    node: Option<&'p PolicyNode>,
    /// The globs, at the top level only.
    patterns: &'p [Glob],
    /// Inside something ignored, where only secrets are still told apart.
    ignored: bool,
}

impl FieldPolicyBuilder {
    /// Ignores a top-level field, by its exact name.
    #[must_use]
    pub fn ignore_field(mut self, name: &str) -> Self {
        let step = [PatternStep::Key(name.to_owned())];
        self.policy.root.insert(&step, Treatment::Ignored);
        self
    }

    /// Ignores the top-level fields that match a glob (`*`, `?`, `[…]`, `{a,b}`).
    ///
    /// # Errors
    ///
    /// [`PolicyError::Glob`].
    pub fn ignore_pattern(mut self, glob: &str) -> Result<Self, PolicyError> {
        let pattern = Glob::new(&nfc(glob)).ok_or_else(|| PolicyError::Glob { glob: glob.to_owned() })?;
        self.policy.patterns.push(pattern);
        self.policy.pattern_texts.push(glob.to_owned());
        Ok(self)
    }

    /// Ignores a dotted path; `[]` stands for every element.
    ///
    /// # Errors
    ///
    /// [`PolicyError::Path`].
    pub fn ignore_path(mut self, path: &str) -> Result<Self, PolicyError> {
        let PathPattern(steps) = path.parse()?;
        self.policy.root.insert(&steps, Treatment::Ignored);
        Ok(self)
    }

    /// Makes a dotted path secret; `[]` stands for every element.
    ///
    /// # Errors
    ///
    /// [`PolicyError::Path`].
    pub fn secret_field(mut self, path: &str) -> Result<Self, PolicyError> {
        let PathPattern(steps) = path.parse()?;
        self.policy.root.insert(&steps, Treatment::Secret);
        Ok(self)
    }

    /// Returns the policy.
    pub fn build(mut self) -> FieldPolicy {
        self.policy.root.settle();
        // It may have been built on another policy.
        self.policy.address = OnceLock::new();
        self.policy
    }
}

impl PolicyNode {
    fn insert(&mut self, steps: &[PatternStep], treatment: Treatment) {
        let Some((step, rest)) = steps.split_first() else {
            return self.treat(treatment);
        };
        let child = match step {
            PatternStep::Key(key) => child(&mut self.members, nfc(key).into_owned()),
            PatternStep::Index(index) => child(&mut self.indexed, *index),
            PatternStep::EveryElement => self.elements.get_or_insert_default(),
        };
        child.insert(rest, treatment);
    }

    /// Secret wins over ignored where both name one place.
    fn treat(&mut self, treatment: Treatment) {
        if self.treatment != Some(Treatment::Secret) {
            self.treatment = Some(treatment);
        }
    }

    /// Gives every indexed element the rules of `[]`, so that one node at a time decides.
    fn settle(&mut self) {
        if let Some(every) = &self.elements {
            self.indexed.iter_mut().for_each(|(_, node)| node.absorb(every));
        }
        self.members.iter_mut().for_each(|(_, node)| node.settle());
        self.indexed.iter_mut().for_each(|(_, node)| node.settle());
        self.elements.iter_mut().for_each(|node| node.settle());
    }

    fn absorb(&mut self, other: &PolicyNode) {
        if let Some(treatment) = other.treatment {
            self.treat(treatment);
        }
        for (key, node) in &other.members {
            child(&mut self.members, key.clone()).absorb(node);
        }
        for (index, node) in &other.indexed {
            child(&mut self.indexed, *index).absorb(node);
        }
        if let Some(node) = &other.elements {
            self.elements.get_or_insert_default().absorb(node);
        }
    }

    fn is_empty(&self) -> bool {
        self.treatment.is_none() && self.members.is_empty() && self.elements.is_none() && self.indexed.is_empty()
    }
}

/// Returns the node under `key`, which is made where it is missing.
fn child<K: PartialEq>(nodes: &mut Vec<(K, PolicyNode)>, key: K) -> &mut PolicyNode {
    let at = nodes.iter().position(|(k, _)| *k == key).unwrap_or_else(|| {
        nodes.push((key, PolicyNode::default()));
        nodes.len() - 1
    });
    &mut nodes[at].1
}

impl<'p> PolicyCursor<'p> {
    /// A cursor outside all rules.
    pub(crate) const FREE: PolicyCursor<'static> = PolicyCursor { node: None, patterns: &[], ignored: false };

    /// Returns whether no rule tells what is below apart from what is here.
    pub(crate) fn is_free(&self) -> bool {
        self.node.is_none() && self.patterns.is_empty()
    }

    /// Steps into a member.
    pub(crate) fn member(&self, key: &str) -> (Treatment, PolicyCursor<'p>) {
        let key = nfc(key);
        let ignored = self.patterns.iter().any(|glob| glob.is_match(&key));
        let node = self.node.and_then(|node| node.members.iter().find(|(k, _)| *k == key));
        self.step(node.map(|(_, node)| node), ignored)
    }

    /// Steps into an element.
    pub(crate) fn element(&self, index: usize) -> (Treatment, PolicyCursor<'p>) {
        let node = self.node.and_then(|node| {
            let single = node.indexed.iter().find(|(n, _)| *n == index);
            single.map(|(_, node)| node).or(node.elements.as_deref())
        });
        self.step(node, false)
    }

    /// Steps into a member, at no cost where there are no rules.
    #[inline]
    pub(crate) fn member_unless_free(&self, key: &str) -> (Treatment, PolicyCursor<'p>) {
        if self.is_free() { (Treatment::Versioned, PolicyCursor::FREE) } else { self.member(key) }
    }

    /// Steps into an element, at no cost where there are no rules.
    #[inline]
    pub(crate) fn element_unless_free(&self, index: usize) -> (Treatment, PolicyCursor<'p>) {
        if self.is_free() { (Treatment::Versioned, PolicyCursor::FREE) } else { self.element(index) }
    }

    fn step(&self, node: Option<&'p PolicyNode>, ignored: bool) -> (Treatment, PolicyCursor<'p>) {
        let treatment = node.and_then(|node| node.treatment);
        if treatment == Some(Treatment::Secret) {
            return (Treatment::Secret, PolicyCursor::FREE);
        }
        let ignored = self.ignored || ignored || treatment == Some(Treatment::Ignored);
        let treatment = if ignored { Treatment::Ignored } else { Treatment::Versioned };
        (treatment, PolicyCursor { node, patterns: &[], ignored })
    }
}

impl FieldPolicy {
    /// Starts with no rule: everything is versioned.
    pub fn builder() -> FieldPolicyBuilder {
        FieldPolicyBuilder::default()
    }

    /// Returns the policy that also ignores a top-level field: an adapter adds the columns that it
    /// reads and never writes.
    #[must_use]
    pub fn with_ignored_field(&self, name: &str) -> FieldPolicy {
        FieldPolicyBuilder { policy: self.clone() }.ignore_field(name).build()
    }

    /// Returns the policy that also takes these paths for secret.
    ///
    /// # Errors
    ///
    /// [`PolicyError::Path`].
    pub fn with_secret_fields<P: AsRef<str>>(&self, paths: &[P]) -> Result<FieldPolicy, PolicyError> {
        let builder = FieldPolicyBuilder { policy: self.clone() };
        Ok(paths.iter().try_fold(builder, |builder, path| builder.secret_field(path.as_ref()))?.build())
    }

    /// Returns the globs of ignored top-level fields, as they were written.
    pub fn ignore_patterns(&self) -> &[String] {
        &self.pattern_texts
    }

    /// Returns the top-level fields of a document that a glob ignores.
    pub fn fields_by_pattern(&self, doc: &Value) -> Vec<FieldPath> {
        let names = doc.as_object().into_iter().flat_map(Object::keys);
        let matches = |name: &&str| self.patterns.iter().any(|glob| glob.is_match(&nfc(name)));
        names.filter(matches).map(FieldPath::key).collect()
    }

    /// Returns whether there is no rule.
    pub fn is_empty(&self) -> bool {
        self.root.is_empty() && self.patterns.is_empty()
    }

    pub(super) fn root(&self) -> &PolicyNode {
        &self.root
    }

    pub(super) fn patterns(&self) -> &[Glob] {
        &self.patterns
    }

    pub(super) fn cached_address(&self) -> &OnceLock<Oid> {
        &self.address
    }

    pub(crate) fn cursor(&self) -> PolicyCursor<'_> {
        if self.is_empty() {
            return PolicyCursor::FREE;
        }
        PolicyCursor { node: Some(&self.root), patterns: &self.patterns, ignored: false }
    }

    /// Returns what happens to the value at `path` (a rule on a parent decides for all below it).
    pub fn treatment(&self, path: &FieldPath) -> Treatment {
        let mut cursor = self.cursor();
        let mut treatment = Treatment::Versioned;
        for step in path.steps() {
            (treatment, cursor) = match step {
                Step::Key(key) => cursor.member(key),
                Step::Index(index) => cursor.element(*index),
            };
            if treatment == Treatment::Secret {
                break;
            }
        }
        treatment
    }

    /// Returns the part of `doc` that is versioned.
    pub fn versioned(&self, doc: &Value) -> Value {
        keep(doc, self.cursor(), |treatment| treatment == Treatment::Versioned)
    }

    /// Returns `doc` without its secrets: what history stores.
    pub fn without_secrets(&self, doc: &Value) -> Value {
        keep(doc, self.cursor(), |treatment| treatment != Treatment::Secret)
    }

    /// Replaces every secret by `{"$secret": true}`, which is what reads show.
    pub fn mask_secrets(&self, doc: &mut Value) {
        for path in self.secret_paths(doc) {
            if let Some(slot) = get_mut(doc, &path) {
                *slot = secret_marker();
            }
        }
    }

    /// Returns the places in `doc` that hold a secret, in document order.
    pub fn secret_paths(&self, doc: &Value) -> Vec<FieldPath> {
        self.paths_of(doc, Treatment::Secret)
    }

    /// Returns the places in `doc` that are ignored, in document order.
    pub fn ignored_paths(&self, doc: &Value) -> Vec<FieldPath> {
        self.paths_of(doc, Treatment::Ignored)
    }

    fn paths_of(&self, doc: &Value, wanted: Treatment) -> Vec<FieldPath> {
        let mut found = Vec::new();
        collect(doc, self.cursor(), &mut FieldPath::root(), wanted, &mut found);
        found
    }
}

/// What a secret field shows to whoever reads.
pub fn secret_marker() -> Value {
    Value::Object(Object::new().with("$secret", true))
}

/// Returns whether a value is the marker that stands for "the secret that is there".
pub fn is_secret_marker(value: &Value) -> bool {
    value.as_object().is_some_and(|o| o.len() == 1 && o.get("$secret") == Some(&Value::Bool(true)))
}

fn keep(value: &Value, cursor: PolicyCursor<'_>, wanted: fn(Treatment) -> bool) -> Value {
    if cursor.is_free() {
        return value.clone();
    }
    match value {
        Value::Object(object) => {
            let mut members = Vec::with_capacity(object.len());
            for (key, child) in object {
                let (treatment, next) = cursor.member(key);
                if wanted(treatment) {
                    members.push((key.clone(), keep(child, next, wanted)));
                }
            }
            Value::Object(Object::from_members(members))
        }
        Value::Array(items) => {
            let mut kept = Vec::with_capacity(items.len());
            for (index, child) in items.iter().enumerate() {
                let (treatment, next) = cursor.element(index);
                if wanted(treatment) {
                    kept.push(keep(child, next, wanted));
                }
            }
            Value::Array(kept)
        }
        other => other.clone(),
    }
}

fn collect(
    value: &Value,
    cursor: PolicyCursor<'_>,
    path: &mut FieldPath,
    wanted: Treatment,
    found: &mut Vec<FieldPath>,
) {
    if cursor.is_free() {
        return;
    }
    let mut visit = |step: Step, (treatment, next): (Treatment, PolicyCursor<'_>), child: &Value| {
        let mut here = path.join(step);
        if treatment == wanted {
            found.push(here);
        } else if treatment != Treatment::Secret {
            collect(child, next, &mut here, wanted, found);
        }
    };
    match value {
        Value::Object(object) => {
            for (key, child) in object {
                visit(Step::Key(key.clone()), cursor.member(key), child);
            }
        }
        Value::Array(items) => {
            for (index, child) in items.iter().enumerate() {
                visit(Step::Index(index), cursor.element(index), child);
            }
        }
        _ => {}
    }
}

pub(crate) fn get_mut<'v>(value: &'v mut Value, path: &FieldPath) -> Option<&'v mut Value> {
    path.steps().iter().try_fold(value, |at, step| match (step, at) {
        (Step::Key(key), Value::Object(object)) => object.get_mut(key),
        (Step::Index(index), Value::Array(items)) => items.get_mut(*index),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::ParseError;

    fn policy() -> Result<FieldPolicy, PolicyError> {
        Ok(FieldPolicy::builder()
            .ignore_field("metrics")
            .ignore_pattern("old_*")?
            .ignore_path("runs[].at")?
            .secret_field("metrics.token")?
            .secret_field("old_keys[].value")?
            .secret_field("runs[0].key")?
            .secret_field("m[][0].k")?
            .build())
    }

    fn doc() -> Result<Value, ParseError> {
        Value::from_json(concat!(
            r#"{"name": "n", "metrics": {"calls": 1, "token": "s"}, "old_keys": [{"id": 1, "value": "s"}], "#,
            r#""runs": [{"at": 1, "key": "s"}, {"at": 2, "key": "kept"}], "m": [[{"k": "s", "n": 1}]]}"#,
        ))
    }

    #[test]
    fn a_secret_inside_something_ignored_is_neither_hashed_nor_stored_nor_shown() {
        let (policy, mut doc) = (policy().expect("sound rules"), doc().expect("JSON"));
        assert_eq!(policy.versioned(&doc).to_json(), r#"{"name":"n","runs":[{},{"key":"kept"}],"m":[[{"n":1}]]}"#);
        assert_eq!(
            policy.without_secrets(&doc).to_json(),
            concat!(
                r#"{"name":"n","metrics":{"calls":1},"old_keys":[{"id":1}],"#,
                r#""runs":[{"at":1},{"at":2,"key":"kept"}],"m":[[{"n":1}]]}"#
            )
        );
        let paths = |paths: Vec<FieldPath>| paths.iter().map(FieldPath::to_string).collect::<Vec<_>>();
        assert_eq!(
            paths(policy.secret_paths(&doc)),
            ["metrics.token", "old_keys[0].value", "runs[0].key", "m[0][0].k"]
        );
        assert_eq!(paths(policy.ignored_paths(&doc)), ["metrics", "old_keys", "runs[0].at", "runs[1].at"]);
        policy.mask_secrets(&mut doc);
        assert!(!doc.to_json().contains(r#""s""#), "{}", doc.to_json());
        assert_eq!(doc.to_json().matches(r#"{"$secret":true}"#).count(), 4);
    }

    #[test]
    fn treatment_agrees_with_what_is_kept() {
        let policy = policy().expect("sound rules");
        let of = |path: &str| policy.treatment(&path.parse().expect("a path"));
        assert_eq!(of("name"), Treatment::Versioned);
        assert_eq!(of("metrics"), Treatment::Ignored);
        assert_eq!(of("metrics.calls.by_day"), Treatment::Ignored);
        assert_eq!(of("metrics.token.inner"), Treatment::Secret);
        assert_eq!(of("old_keys[3].value"), Treatment::Secret);
        assert_eq!(of("old_keys[3].id"), Treatment::Ignored);
        assert_eq!(of("runs[0].at"), Treatment::Ignored);
        assert_eq!(of("runs[1].key"), Treatment::Versioned);
        assert_eq!(of("a.old_keys"), Treatment::Versioned);
    }

    #[test]
    fn unsound_rules_are_refused() {
        assert!(FieldPolicy::builder().ignore_pattern("a[").is_err());
        assert!(FieldPolicy::builder().ignore_path("a..b").is_err());
        assert!(FieldPolicy::builder().secret_field("").is_err());
    }
}
