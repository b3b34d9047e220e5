//! Binding: a cleared plan becomes a batch by getting its instant, its seqs, its ids.

use super::gates::Cleared;
use super::{PlannedChange, PlannedEntry, Upkeep};
use crate::adapter::{Batch, Change, ExpectedHead, HeadRef, HeadState, NewEntry};
use crate::error::Error;
use crate::history::{Entry, EntryHeader, MessageHash, Op, OpId, Seq, Span, Timestamp, insert};
use crate::planted;

/// A batch, and the entries it writes as the engine shows them (without documents).
pub(crate) struct Bound {
    pub(crate) batch: Batch,
    pub(crate) entries: Vec<Vec<Entry>>,
}

impl Cleared {
    /// Binds the plan to an instant not earlier than `now`, later than every tip among its records, and not
    /// earlier than any moment since which a document is said to be live: that one was compared with the
    /// store's clock, which may have been set back since. Were an entry valid from later than it is recorded,
    /// the next change would not be the greatest in valid order.
    ///
    /// # Errors
    ///
    /// Where the plan's approval has expired by then.
    pub(crate) fn bind(&self, op_id: OpId, now: Timestamp) -> Result<Bound, Error> {
        let plan = self.plan();
        let tips = plan.changes.iter().filter_map(|c| c.expected.as_ref()).map(|h| h.tip.recorded_at);
        let newest_tip = tips.chain(plan.upkeep.iter().filter_map(Upkeep::newest)).max();
        let newest_tip = newest_tip.filter(|_| !planted!("clock-not-monotonic"));
        let loaded = plan.changes.iter().flat_map(|c| &c.entries).filter_map(|entry| entry.valid_from).max();
        let loaded = loaded.filter(|_| !planted!("loaded-time-not-bound"));
        let now = loaded.map_or(now, |valid_from| now.max(valid_from));
        let recorded_at = newest_tip.map_or(now, |tip| now.max(tip.plus_millis(1)));
        self.in_time(recorded_at)?;
        let mut changes = Vec::with_capacity(plan.changes.len());
        let mut shown = Vec::with_capacity(plan.changes.len());
        for change in &plan.changes {
            let (bound, entries) = self.bind_change(change, &op_id, recorded_at);
            changes.push(bound);
            shown.push(entries);
        }
        if !plan.upkeep.is_empty() {
            changes.extend(plan.upkeep.iter().map(Upkeep::bind));
            changes.sort_by(|a, b| a.record.cmp(&b.record));
        }
        let objects = plan.objects.iter().chain(self.beside()).cloned().collect();
        let batch = Batch::seal(op_id, recorded_at, changes, objects).guarded(self.guards().to_vec());
        Ok(Bound { batch, entries: shown })
    }

    fn bind_change(&self, change: &PlannedChange, op_id: &OpId, recorded_at: Timestamp) -> (Change, Vec<Entry>) {
        let last = |h: &HeadState| if planted!("numbered-from-head") { h.head.seq } else { h.tip.seq };
        let first = change.expected.as_ref().map_or(Seq::FIRST, |h| last(h).next());
        let spans: Vec<Span> = change
            .entries
            .iter()
            .enumerate()
            .map(|(n, entry)| Span {
                seq: Seq(first.0 + n as u64),
                recorded_at,
                valid_from: entry.valid_from.unwrap_or(recorded_at),
                in_valid_order: entry.op != Op::Redact,
            })
            .collect();
        let insertion = insert(&existing_spans(change), &spans);
        let last = |h: &HeadState| if planted!("chained-to-head") { h.head.entry_id } else { h.tip.entry_id };
        let mut prev = change.expected.as_ref().map(last);
        let mut new_entries = Vec::with_capacity(spans.len());
        let mut shown = Vec::with_capacity(spans.len());
        for ((planned, span), ends) in change.entries.iter().zip(&spans).zip(&insertion.new) {
            let message = planned.message.as_deref().unwrap_or(&self.plan().message);
            let header = self.header(change, planned, message, op_id, span, prev);
            let entry_id = header.entry_id();
            prev = Some(entry_id);
            let open = |t: Timestamp| (t != Timestamp::OPEN).then_some(t);
            shown.push(Entry {
                header: header.clone(),
                entry_id,
                message: message.to_owned(),
                valid_to: open(ends.valid_to),
                superseded_at: open(ends.superseded_at),
                git_shas: planned.git_shas.clone(),
                doc_state: planned.doc_state(),
                doc: None,
            });
            new_entries.push(NewEntry {
                header,
                entry_id,
                message: message.to_owned(),
                doc: planned.doc.clone(),
                ends: *ends,
                git_shas: planned.git_shas.clone(),
            });
        }
        let new_head = new_entries
            .iter()
            .find(|entry| Some(entry.header.seq) == insertion.head || planted!("backdated-entry-is-head"))
            .map(|entry| HeadRef { seq: entry.header.seq, oid: entry.header.oid, entry_id: entry.entry_id })
            .or(change.expected.as_ref().map(|h| h.head));
        let bound = Change {
            record: change.record.clone(),
            expected_head: change
                .expected
                .as_ref()
                .map_or(ExpectedHead::Absent, |h| ExpectedHead::At { head: h.head, tip: h.tip }),
            expected_live: change.expected_live.clone().unless(planted!("live-guard-not-sent")),
            live: change.live.clone(),
            entries: new_entries,
            closed: if planted!("ends-left-open") { Vec::new() } else { insertion.closed },
            new_head,
            links: Vec::new(),
            mended_tip: None,
            overwrites: change.overwrites.clone(),
        };
        (bound, shown)
    }

    fn header(
        &self,
        change: &PlannedChange,
        planned: &PlannedEntry,
        message: &str,
        op_id: &OpId,
        span: &Span,
        prev: Option<crate::document::EntryId>,
    ) -> EntryHeader {
        EntryHeader {
            record: change.record.clone(),
            seq: span.seq,
            prev_entry_id: prev,
            oid: planned.oid,
            op: planned.op,
            base: planned.base.clone(),
            author: planned.author.clone().unwrap_or_else(|| self.plan().author.clone()),
            message: MessageHash::of(message),
            recorded_at: span.recorded_at,
            valid_from: span.valid_from,
            valid_from_estimated: planned.estimated,
            op_id: op_id.clone(),
            meta: planned.meta.clone(),
        }
    }
}

/// Returns what the interval algebra is given: every entry where the plan read them, else HEAD alone,
/// which is enough when the new entries are later than everything there is.
fn existing_spans(change: &PlannedChange) -> Vec<Span> {
    if !change.existing.is_empty() && !planted!("loaded-beside-head-alone") {
        return change.existing.clone();
    }
    let head = change.expected.as_ref().map(|h| Span {
        seq: h.head.seq,
        recorded_at: h.recorded_at,
        valid_from: Timestamp::from_millis(i64::MIN),
        in_valid_order: true,
    });
    head.into_iter().collect()
}
