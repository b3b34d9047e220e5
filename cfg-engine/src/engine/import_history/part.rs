//! What one batch of a load has read, and what it is going to write.

use std::collections::HashSet;

use crate::adapter::{AdapterError, EntryAddress};
use crate::document::Oid;
use crate::error::Error;
use crate::history::{RecordKey, Seq, Span, Timestamp};
use crate::plan::{HashedDoc, LoadedVersion, PlannedChange};

use super::report::HistoryReport;

/// What is in history already for one record.
#[derive(Default)]
pub(super) struct Known {
    pub(super) seen: HashSet<(Timestamp, Option<Oid>)>,
    pub(super) spans: Vec<Span>,
    /// HEAD's place in valid order.
    pub(super) newest: Option<(Timestamp, Seq)>,
}

/// One record's lines in one batch.
pub(super) struct Lines {
    /// What is to be written, in ascending order.
    pub(super) versions: Vec<LoadedVersion>,
    /// The last line, whether it is to be written or was there already.
    pub(super) last: Option<HashedDoc>,
    /// No line of the record is left for another batch.
    pub(super) is_complete: bool,
}

impl Known {
    pub(super) fn add(&mut self, address: &EntryAddress) {
        let span = Span {
            seq: address.seq,
            recorded_at: address.recorded_at,
            valid_from: address.valid_from,
            in_valid_order: address.in_valid_order,
        };
        if span.in_valid_order {
            self.seen.insert((address.valid_from, address.oid));
            self.newest = self.newest.max(Some(span.order()));
        }
        self.spans.push(span);
    }

    pub(super) fn has(&self, version: &LoadedVersion) -> bool {
        self.seen.contains(&(version.valid_from, version.content.as_ref().map(|(_, oid)| *oid)))
    }

    /// Returns whether anything comes before a deletion, so that there is something to delete.
    pub(super) fn precedes(&self, deletion: &LoadedVersion, versions: &[LoadedVersion]) -> bool {
        !versions.is_empty() || self.spans.iter().any(|s| s.in_valid_order && s.valid_from <= deletion.valid_from)
    }
}

/// One batch's plan and what it will have done.
#[derive(Default)]
pub(super) struct Part {
    pub(super) changes: Vec<PlannedChange>,
    pub(super) places: usize,
    /// How many entries each change writes.
    pub(super) loaded: Vec<(RecordKey, u64)>,
    pub(super) known: u64,
    pub(super) without_effect: u64,
    pub(super) seeded: Vec<RecordKey>,
    /// Records that were compared with live, in ascending order.
    pub(super) judged: Vec<RecordKey>,
    pub(super) dirty: Vec<RecordKey>,
    pub(super) refused: Vec<(RecordKey, Error)>,
    pub(super) warnings: Vec<(RecordKey, Error)>,
    pub(super) now: Timestamp,
}

impl Part {
    /// Returns the one record of this batch, where its history is damaged.
    pub(super) fn only_damaged(&self, error: &Error) -> Option<&RecordKey> {
        self.judged.first().filter(|_| matches!(error, Error::Storage(AdapterError::Damaged { .. })))
    }

    pub(super) fn count(&self, report: &mut HistoryReport, left_out: &[(RecordKey, Error)]) {
        let out = |record: &RecordKey| left_out.iter().any(|(r, _)| r == record);
        report.loaded += self.loaded.iter().filter(|(r, _)| !out(r)).map(|(_, entries)| entries).sum::<u64>();
        report.known += self.known;
        report.warnings.extend(self.warnings.iter().cloned());
        report.without_effect += self.without_effect;
        report.seeded += self.seeded.iter().filter(|r| !out(r)).count() as u64;
        // A record whose lines come in two batches is judged by the last.
        if report.dirty.last().is_some_and(|last| self.judged.first() == Some(last)) {
            report.dirty.pop();
        }
        report.dirty.extend(self.dirty.iter().filter(|r| !out(r)).cloned());
    }
}
