//! `restore <id> <ref>`: an older version becomes live again, as a new entry on top.

use super::project::{Options, Project};
use super::report::Report;
use super::transact::{OnMoved, Request};
use crate::document::{FieldPath, Object, Value};
use crate::error::Error;
use crate::history::{DocState, Entry, Op, RecordKey, Reference, Seq};
use crate::plan::gates::OnRefusal;
use crate::plan::{RestoreInput, Verb, plan_restore};

/// A restore of one record.
#[derive(Debug, Clone)]
pub struct Restore {
    /// Which record.
    pub record: RecordKey,
    /// To which version. [`Reference::Head`] discards drift, recording it first.
    pub reference: Reference,
    /// Secrets that live has no longer: history does not hold them.
    pub secrets: Vec<(FieldPath, Value)>,
    /// Goes on without the secrets that the version had, or that live has and the version does not.
    pub without_secrets: bool,
    /// Goes on over drift; it is recorded first.
    pub force: bool,
}

impl Restore {
    /// Restores a record that is as history says.
    pub fn new(record: RecordKey, reference: Reference) -> Self {
        Restore { record, reference, secrets: Vec::new(), without_secrets: false, force: false }
    }
}

impl Project {
    /// Makes an older version live again. History only moves forward: the restore is a new entry.
    ///
    /// # Errors
    ///
    /// As [`commit`](Self::commit), [`Error::NoVersion`], [`Error::NoDocument`] for a deletion (unless it
    /// is HEAD: then what came back goes again) or a thinned document, and
    /// [`Error::SecretsNeeded`] where the version had secrets that live has no longer.
    pub async fn restore(&self, restore: &Restore, options: &Options) -> Result<Report, Error> {
        // The versions come after it: see there.
        let read_before = vec![self.state(&restore.record).await?];
        let target = self.entry_at(&restore.record, &restore.reference).await?;
        let had_secrets = recorded_secrets(&target);
        let redacted = self.redacted_in(&target).await?;
        let is_head = restore.reference == Reference::Head;
        let fitted = match target.doc.clone() {
            Some(doc) => Some(self.adapter.fit(&restore.record, redacted.strip(doc)).await?),
            // HEAD is a deletion and something came back around the tool.
            None if is_head && target.header.is_tombstone() => None,
            None => {
                return Err(Error::NoDocument {
                    record: restore.record.clone(),
                    reference: restore.reference.to_string(),
                    reason: why_no_document(&target),
                });
            }
        };
        let request = Request {
            verb: Verb::Restore,
            records: vec![restore.record.clone()],
            options,
            on_refusal: OnRefusal::Whole,
            on_moved: OnMoved::Conflict,
            op_id: None,
            forced: restore.force,
            read_before,
            // A number means the same version later; other references may have moved on.
            asks_for: match restore.reference {
                Reference::Seq(seq) => Some(Box::new(move |entry: &Entry| restored_from(entry) == Some(seq))),
                _ => None,
            },
        };
        let meta = Object::new();
        let input = RestoreInput {
            target: fitted.as_ref(),
            from_seq: target.header.seq,
            from_entry: target.entry_id,
            had_secrets: &had_secrets,
            redacted: &redacted,
            secrets: &restore.secrets,
            without_secrets: restore.without_secrets,
            is_head,
            discard_drift: restore.force || is_head,
            creates: false,
            meta: &meta,
        };
        self.transact(request, |state| plan_restore(state, self.rules(&state.record)?, &input)).await
    }
}

/// Says why an entry has no document.
pub(crate) fn why_no_document(entry: &Entry) -> &'static str {
    match (entry.doc_state, entry.header.op) {
        (DocState::Thinned, _) => "retention dropped it",
        (_, Op::Redact) => "it is a redaction of other versions",
        _ => "it is a deletion",
    }
}

fn restored_from(entry: &Entry) -> Option<Seq> {
    let number = entry.header.meta.get("restored_from")?.get("seq")?.as_i64()?;
    u64::try_from(number).ok().map(Seq)
}

/// Returns where a version had secrets: its entry names the places, never the values.
pub(crate) fn recorded_secrets(entry: &Entry) -> Vec<FieldPath> {
    let listed = entry.header.meta.get("secrets").and_then(Value::as_array).unwrap_or_default();
    listed.iter().filter_map(|path| path.as_str()?.parse().ok()).collect()
}
