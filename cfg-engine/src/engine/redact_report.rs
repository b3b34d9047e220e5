//! What a redaction did or would do: places, never values.

use super::project::Options;
use super::redact::Redact;
use crate::document::{FieldPath, Object, Value};
use crate::error::Error;
use crate::history::{Entry, RecordKey, Seq};

use crate::plan::PlanView;

/// What kind of place the engine keeps something in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlaceKind {
    /// The stored document of an entry.
    Doc,
    /// The message of an entry.
    Message,
    /// The hashed header of an entry: author, op_id, `meta`.
    Header,
    /// One of the engine's own documents: a kept plan, a tag's message.
    Object,
    /// A staged file beside the configuration.
    Staged,
}

impl PlaceKind {
    /// Returns `doc`, `message`, `header`, `object` or `staged`.
    pub const fn as_str(self) -> &'static str {
        match self {
            PlaceKind::Doc => "doc",
            PlaceKind::Message => "message",
            PlaceKind::Header => "header",
            PlaceKind::Object => "object",
            PlaceKind::Staged => "staged",
        }
    }
}

/// A place that holds what is redacted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// What kind of place.
    pub kind: PlaceKind,
    /// Of which entry.
    pub seq: Option<Seq>,
    /// Which of the engine's own documents: `tag june`.
    pub object: Option<String>,
    /// Where in the document.
    pub paths: Vec<FieldPath>,
    /// Whether it is hashed: its hash stays.
    pub is_hashed: bool,
}

impl Place {
    pub(crate) fn of(kind: PlaceKind, seq: Option<Seq>, is_hashed: bool) -> Place {
        Place { kind, seq, object: None, paths: Vec::new(), is_hashed }
    }

    pub(crate) fn doc(seq: Seq, paths: Vec<FieldPath>, is_hashed: bool) -> Place {
        Place { paths, ..Place::of(PlaceKind::Doc, Some(seq), is_hashed) }
    }

    /// A staged file of the record.
    pub fn staged(paths: Vec<FieldPath>) -> Place {
        Place { paths, ..Place::of(PlaceKind::Staged, None, false) }
    }

    /// Returns `{kind, seq, object, paths, hashed}`.
    pub fn to_object(&self) -> Object {
        Object::new()
            .with("kind", self.kind.as_str())
            .with("seq", self.seq.map(|seq| seq.0))
            .with("object", self.object.clone())
            .with("paths", self.paths.iter().map(ToString::to_string).collect::<Vec<_>>())
            .with("hashed", self.is_hashed)
    }
}

/// What [`Project::redact`](super::Project::redact) did or would do.
#[derive(Debug, Clone)]
pub struct RedactReport {
    /// Of which record.
    pub record: RecordKey,
    /// Why.
    pub reason: String,
    /// The paths, as they were given.
    pub paths: Vec<String>,
    /// Nothing was written.
    pub dry_run: bool,
    /// The places that lost it, or would.
    pub places: Vec<Place>,
    /// Places that repeat it and were left: other paths of the record's versions, messages without
    /// `rewrite_history`, hashed headers.
    pub left: Vec<Place>,
    /// Where live holds a value at the paths still, and would bring it back with the next commit.
    pub live: Vec<FieldPath>,
    /// The `redact` entries that were written; none where there was nothing to do.
    pub entries: Vec<Entry>,
    /// What a dry run would need: it reaches what is hashed, and the flag for that was not given.
    pub needs_rewrite_history: bool,
    /// Whether it needs an approval.
    pub needs_approval: bool,
    /// What stands in the way of a dry run that would need an approval: nobody would be told.
    pub blocked: Option<Error>,
    /// The plan of a dry run.
    pub plan: Option<PlanView>,
}

impl RedactReport {
    pub(crate) fn new(redact: &Redact, options: &Options) -> Self {
        RedactReport {
            record: redact.record.clone(),
            reason: options.message.clone(),
            paths: redact.paths.clone(),
            dry_run: options.dry_run,
            places: Vec::new(),
            left: Vec::new(),
            live: Vec::new(),
            entries: Vec::new(),
            needs_rewrite_history: false,
            needs_approval: false,
            blocked: None,
            plan: None,
        }
    }

    /// Returns `{collection, config_id, dry_run, reason, paths, places, left, live, entries, needs_rewrite_history,
    /// needs_approval, blocked, plan_oid}`.
    pub fn to_object(&self) -> Object {
        let places = |places: &[Place]| places.iter().map(Place::to_object).collect::<Vec<_>>();
        Object::new()
            .with("collection", self.record.collection.as_str())
            .with("config_id", self.record.id.to_value())
            .with("dry_run", self.dry_run)
            .with("reason", self.reason.as_str())
            .with("paths", self.paths.clone())
            .with("places", places(&self.places))
            .with("left", places(&self.left))
            .with("live", self.live.iter().map(ToString::to_string).collect::<Vec<_>>())
            .with("entries", self.entries.iter().map(|entry| entry.to_object(&[])).collect::<Vec<_>>())
            .with("needs_rewrite_history", self.needs_rewrite_history)
            .with("needs_approval", self.needs_approval)
            .with("blocked", self.blocked.as_ref().map_or(Value::Null, |error| Value::Object(error.to_reason())))
            .with("plan_oid", self.plan.as_ref().map(|plan| plan.plan_oid.to_hex()))
    }
}
