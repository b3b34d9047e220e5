//! One immutable version of a record, and the header that its id is the hash of.

use std::fmt;

use sha2::{Digest, Sha256};

use super::record::{OpId, RecordKey, Seq};
use super::time::Timestamp;
use crate::document::{EntryId, FieldPolicy, Object, Oid, Value, canonical_bytes};

/// The version of the header's layout.
pub const HEADER_VERSION: i64 = 1;

/// What made an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Op {
    /// A change by a person or script through the engine.
    Commit,
    /// An older version became live again.
    Restore,
    /// A write around the tool was folded into history.
    Adopt,
    /// What live held before a forced commit.
    Force,
    /// A baseline or a loaded history.
    Import,
    /// A deletion.
    Delete,
    /// A redaction of older entries; never HEAD.
    Redact,
}

impl Op {
    /// All of them.
    pub const ALL: [Op; 7] = [Op::Commit, Op::Restore, Op::Adopt, Op::Force, Op::Import, Op::Delete, Op::Redact];

    /// Returns the word that is stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Op::Commit => "commit",
            Op::Restore => "restore",
            Op::Adopt => "adopt",
            Op::Force => "force",
            Op::Import => "import",
            Op::Delete => "delete",
            Op::Redact => "redact",
        }
    }

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Op> {
        Op::ALL.into_iter().find(|op| op.as_str() == word)
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What kind of actor an author is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AuthorClass {
    /// Somebody at a terminal.
    Human,
    /// A script, a job, a service.
    Pipeline,
    /// An AI agent; only when declared.
    Agent,
    /// The engine itself.
    System,
}

impl AuthorClass {
    /// Returns the word that is stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            AuthorClass::Human => "human",
            AuthorClass::Pipeline => "pipeline",
            AuthorClass::Agent => "agent",
            AuthorClass::System => "system",
        }
    }

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Human, Self::Pipeline, Self::Agent, Self::System].into_iter().find(|class| class.as_str() == word)
    }
}

/// Who made a change.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Author {
    /// An e-mail address or a name, stored verbatim.
    pub id: String,
    /// What kind of actor.
    pub class: AuthorClass,
}

/// Whether the stored document of an entry is there. It never decides what an entry means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DocState {
    /// As it was written.
    Present,
    /// There is none: a tombstone or a redact entry.
    None,
    /// Dropped by retention.
    Thinned,
    /// Some values were overwritten by a redaction.
    Redacted,
}

impl DocState {
    /// Returns the word that is stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            DocState::Present => "present",
            DocState::None => "none",
            DocState::Thinned => "thinned",
            DocState::Redacted => "redacted",
        }
    }

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Present, Self::None, Self::Thinned, Self::Redacted].into_iter().find(|state| state.as_str() == word)
    }
}

/// The SHA-256 of a message, which is what the header holds, so that a message can be redacted too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageHash([u8; 32]);

impl MessageHash {
    /// Hashes the UTF-8 bytes of a message.
    pub fn of(message: &str) -> Self {
        MessageHash(Sha256::digest(message.as_bytes()).into())
    }

    /// Takes the 32 bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        MessageHash(bytes)
    }

    /// Returns the 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Every immutable field of an entry. Its canonical form is what [`EntryId`] is the hash of.
///
/// Absent fields are omitted, so that later versions can add fields without touching old ids.
#[derive(Debug, Clone, PartialEq)]
pub struct EntryHeader {
    /// Which record.
    pub record: RecordKey,
    /// The number within the record.
    pub seq: Seq,
    /// The entry of `seq - 1`, backdated or not; absent for the first.
    pub prev_entry_id: Option<EntryId>,
    /// The address of the content; absent for a tombstone and a redact entry.
    pub oid: Option<Oid>,
    /// What made the entry.
    pub op: Op,
    /// The entries the author had seen, of any env; absent when none was declared.
    pub base: Option<Vec<EntryId>>,
    /// Who made the change.
    pub author: Author,
    /// The hash of the message.
    pub message: MessageHash,
    /// When the engine wrote the entry.
    pub recorded_at: Timestamp,
    /// When the content became the live value in reality.
    pub valid_from: Timestamp,
    /// Whether `valid_from` is a guess: an import that could not know.
    pub valid_from_estimated: bool,
    /// The batch.
    pub op_id: OpId,
    /// `restored_from`, `bypass_detected_oid`, `secrets_written`, `tool_version`, …
    pub meta: Object,
}

impl EntryHeader {
    /// Returns the header as the object whose canonical form is hashed.
    pub fn to_object(&self) -> Object {
        let mut header = Object::with_capacity(16);
        let record = &self.record;
        header.insert("v", HEADER_VERSION);
        header.insert("env", record.env.as_str());
        header.insert("collection", record.collection.as_str());
        header.insert("id_key", record.id.ascii());
        header.insert("seq", self.seq.0);
        if let Some(prev) = self.prev_entry_id {
            header.insert("prev_entry_id", prev.to_hex());
        }
        if let Some(oid) = self.oid {
            header.insert("oid", oid.to_hex());
        }
        header.insert("op", self.op.as_str());
        if let Some(base) = &self.base {
            header.insert("base", base.iter().map(EntryId::to_hex).collect::<Vec<_>>());
        }
        header.insert(
            "author",
            Object::new().with("id", self.author.id.as_str()).with("class", self.author.class.as_str()),
        );
        header.insert("message", crate::document::to_hex(self.message.as_bytes()));
        header.insert("recorded_at", self.recorded_at.as_millis());
        header.insert("valid_from", self.valid_from.as_millis());
        if self.valid_from_estimated {
            header.insert("valid_from_estimated", true);
        }
        header.insert("op_id", self.op_id.as_str());
        if !self.meta.is_empty() {
            header.insert("meta", self.meta.clone());
        }
        header
    }

    /// Returns the entry's id: `sha256(canonical(header))`.
    pub fn entry_id(&self) -> EntryId {
        let object = Value::Object(self.to_object());
        // A header holds no double and no free nesting but `meta`, which the engine builds itself.
        let bytes = canonical_bytes(&object, &FieldPolicy::default()).unwrap_or_default();
        EntryId::from_bytes(Sha256::digest(&bytes).into())
    }

    /// Returns the place of this entry in valid order, by which HEAD is the greatest.
    pub fn valid_order(&self) -> (Timestamp, Seq) {
        (self.valid_from, self.seq)
    }

    /// Returns whether this entry says that the record is deleted.
    pub fn is_tombstone(&self) -> bool {
        self.oid.is_none() && self.op != Op::Redact
    }
}

/// An entry as it is stored: the hashed header, its id, and what stands outside the hash.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The immutable fields.
    pub header: EntryHeader,
    /// The stored id; `fsck` recomputes it from the header.
    pub entry_id: EntryId,
    /// The message.
    pub message: String,
    /// Until when the content was the live value; `None` while open. A cache of the interval rules.
    pub valid_to: Option<Timestamp>,
    /// When HEAD moved on; `None` while this is HEAD. A cache of the interval rules.
    pub superseded_at: Option<Timestamp>,
    /// Code commits that shipped this version.
    pub git_shas: Vec<String>,
    /// Whether the stored document is there.
    pub doc_state: DocState,
    /// The stored document, where it was asked for and is there.
    pub doc: Option<Value>,
}

impl Entry {
    /// Returns the short address for people: `planner@7`.
    pub fn address(&self) -> String {
        format!("{}@{}", self.header.record.id, self.header.seq)
    }

    /// Returns the entry as the JSON object that every interface shows; `tags` are looked up by the caller.
    pub fn to_object(&self, tags: &[String]) -> Object {
        let h = &self.header;
        let author = Object::new().with("id", h.author.id.as_str()).with("class", h.author.class.as_str());
        let mut out = Object::with_capacity(24)
            .with("collection", h.record.collection.as_str())
            .with("config_id", h.record.id.to_value())
            .with("env", h.record.env.as_str())
            .with("seq", h.seq.0)
            .with("oid", h.oid.map(|oid| oid.to_hex()))
            .with("entry_id", self.entry_id.to_hex())
            .with("prev_entry_id", h.prev_entry_id.map(|id| id.to_hex()))
            .with("base", h.base.as_ref().map(|ids| ids.iter().map(EntryId::to_hex).collect::<Vec<_>>()))
            .with("op_id", h.op_id.as_str())
            .with("message", self.message.as_str())
            .with("author", author)
            .with("recorded_at", h.recorded_at.to_string())
            .with("valid_from", h.valid_from.to_string())
            .with("valid_to", self.valid_to.map(|t| t.to_string()))
            .with("superseded_at", self.superseded_at.map(|t| t.to_string()))
            .with("valid_from_estimated", h.valid_from_estimated)
            .with("op", h.op.as_str())
            .with("git_shas", self.git_shas.clone())
            .with("tags", tags.to_vec())
            .with("meta", h.meta.clone())
            .with("doc_state", self.doc_state.as_str());
        if let Some(doc) = &self.doc {
            out.insert("doc", doc.clone());
        }
        out
    }
}
