//! Which parts of a document are versioned, ignored or secret.

use globset::{Glob, GlobMatcher};

use super::field_path::{FieldPath, PathError, PathPattern, PatternStep, Step};
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
    patterns: Vec<GlobMatcher>,
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
    treatment: Option<Treatment>,
    members: Vec<(String, PolicyNode)>,
    elements: Option<Box<PolicyNode>>,
    indexed: Vec<(usize, PolicyNode)>,
}

/// Where a walk through a document stands in the rules.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PolicyCursor<'p> {
    policy: Option<&'p FieldPolicy>,
    /// At most two nodes can apply at once: `[]` and `[n]`.
    nodes: [Option<&'p PolicyNode>; 2],
    top: bool,
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
        let matcher = Glob::new(glob).map_err(|_| PolicyError::Glob { glob: glob.to_owned() })?.compile_matcher();
        self.policy.patterns.push(matcher);
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
    pub fn build(self) -> FieldPolicy {
        self.policy
    }
}

impl PolicyNode {
    fn insert(&mut self, steps: &[PatternStep], treatment: Treatment) {
        let Some((step, rest)) = steps.split_first() else {
            // Secret wins over ignored where both name one place.
            if self.treatment != Some(Treatment::Secret) {
                self.treatment = Some(treatment);
            }
            return;
        };
        let child = match step {
            PatternStep::Key(key) => match self.members.iter().position(|(k, _)| k == key) {
                Some(at) => &mut self.members[at].1,
                None => {
                    self.members.push((key.clone(), PolicyNode::default()));
                    let last = self.members.len() - 1;
                    &mut self.members[last].1
                }
            },
            PatternStep::Index(index) => match self.indexed.iter().position(|(n, _)| n == index) {
                Some(at) => &mut self.indexed[at].1,
                None => {
                    self.indexed.push((*index, PolicyNode::default()));
                    let last = self.indexed.len() - 1;
                    &mut self.indexed[last].1
                }
            },
            PatternStep::EveryElement => self.elements.get_or_insert_default(),
        };
        child.insert(rest, treatment);
    }

    fn is_empty(&self) -> bool {
        self.treatment.is_none() && self.members.is_empty() && self.elements.is_none() && self.indexed.is_empty()
    }
}

impl<'p> PolicyCursor<'p> {
    /// A cursor outside all rules.
    pub(crate) const FREE: PolicyCursor<'static> = PolicyCursor { policy: None, nodes: [None, None], top: false };

    /// Returns whether nothing below can be touched by a rule.
    pub(crate) fn is_free(&self) -> bool {
        self.nodes[0].is_none() && self.nodes[1].is_none() && self.policy.is_none()
    }

    /// Steps into a member.
    pub(crate) fn member(&self, key: &str) -> (Treatment, PolicyCursor<'p>) {
        let find = |node: Option<&'p PolicyNode>| {
            node.and_then(|n| n.members.iter().find(|(k, _)| k == key)).map(|(_, child)| child)
        };
        let next = Self::at([find(self.nodes[0]), find(self.nodes[1])]);
        let (mut treatment, cursor) = next;
        if treatment == Treatment::Versioned && self.top {
            let ignored = self.policy.is_some_and(|p| p.patterns.iter().any(|glob| glob.is_match(key)));
            if ignored {
                treatment = Treatment::Ignored;
            }
        }
        (treatment, cursor)
    }

    /// Steps into an element.
    pub(crate) fn element(&self, index: usize) -> (Treatment, PolicyCursor<'p>) {
        let mut found = [None, None];
        let mut n = 0;
        for node in self.nodes.iter().flatten() {
            let children =
                [node.elements.as_deref(), node.indexed.iter().find(|(i, _)| *i == index).map(|(_, child)| child)];
            for child in children.into_iter().flatten() {
                if n < 2 {
                    found[n] = Some(child);
                    n += 1;
                }
            }
        }
        Self::at(found)
    }

    fn at(nodes: [Option<&'p PolicyNode>; 2]) -> (Treatment, PolicyCursor<'p>) {
        let mut treatment = Treatment::Versioned;
        for node in nodes.iter().flatten() {
            match node.treatment {
                Some(Treatment::Secret) => treatment = Treatment::Secret,
                Some(Treatment::Ignored) if treatment == Treatment::Versioned => treatment = Treatment::Ignored,
                _ => {}
            }
        }
        (treatment, PolicyCursor { policy: None, nodes, top: false })
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

    /// Returns whether there is no rule.
    pub fn is_empty(&self) -> bool {
        self.root.is_empty() && self.patterns.is_empty()
    }

    pub(crate) fn cursor(&self) -> PolicyCursor<'_> {
        if self.is_empty() {
            return PolicyCursor::FREE;
        }
        PolicyCursor { policy: Some(self), nodes: [Some(&self.root), None], top: true }
    }

    /// Returns what happens to the value at `path` (a rule on a parent decides for all below it).
    pub fn treatment(&self, path: &FieldPath) -> Treatment {
        let mut cursor = self.cursor();
        for step in path.steps() {
            let (treatment, next) = match step {
                Step::Key(key) => cursor.member(key),
                Step::Index(index) => cursor.element(*index),
            };
            if treatment != Treatment::Versioned {
                return treatment;
            }
            cursor = next;
        }
        Treatment::Versioned
    }

    /// Returns the part of `doc` that is versioned.
    pub fn versioned(&self, doc: &Value) -> Value {
        keep(doc, self.cursor(), &|treatment| treatment == Treatment::Versioned)
    }

    /// Returns `doc` without its secrets: what history stores.
    pub fn without_secrets(&self, doc: &Value) -> Value {
        keep(doc, self.cursor(), &|treatment| treatment != Treatment::Secret)
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

fn keep(value: &Value, cursor: PolicyCursor<'_>, wanted: &impl Fn(Treatment) -> bool) -> Value {
    if cursor.is_free() {
        return value.clone();
    }
    match value {
        Value::Object(object) => {
            let mut members = Vec::with_capacity(object.len());
            for (key, child) in object {
                let (treatment, next) = cursor.member(key);
                match treatment {
                    Treatment::Versioned => members.push((key.clone(), keep(child, next, wanted))),
                    other if wanted(other) => members.push((key.clone(), child.clone())),
                    _ => {}
                }
            }
            Value::Object(Object::from_members(members))
        }
        Value::Array(items) => {
            let mut kept = Vec::with_capacity(items.len());
            for (index, child) in items.iter().enumerate() {
                let (treatment, next) = cursor.element(index);
                match treatment {
                    Treatment::Versioned => kept.push(keep(child, next, wanted)),
                    other if wanted(other) => kept.push(child.clone()),
                    _ => {}
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
        } else if treatment == Treatment::Versioned {
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
