//! Interval algebra: where a new entry falls among the others, what it closes, who is HEAD.
//!
//! Valid order is `(valid_from, seq)`. Each entry's validity runs to the next one's `valid_from`;
//! equal instants leave an empty interval. HEAD is always the greatest entry in valid order, redact
//! entries excepted. `valid_to` and `superseded_at` are caches of these rules.

use super::record::Seq;
use super::time::Timestamp;

/// The place of one entry on both axes: what the rules need to know of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The entry's number.
    pub seq: Seq,
    /// When it was written.
    pub recorded_at: Timestamp,
    /// When its content became live.
    pub valid_from: Timestamp,
    /// Whether it takes part in valid order (a redact entry does not).
    pub in_valid_order: bool,
}

/// The two cached ends of an entry's intervals; [`Timestamp::OPEN`] while open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    /// Until when the content was live.
    pub valid_to: Timestamp,
    /// When HEAD moved on.
    pub superseded_at: Timestamp,
}

impl Ends {
    /// Both intervals open.
    pub const OPEN: Ends = Ends { valid_to: Timestamp::OPEN, superseded_at: Timestamp::OPEN };
}

impl Span {
    /// Returns the place in valid order.
    pub fn order(&self) -> (Timestamp, Seq) {
        (self.valid_from, self.seq)
    }
}

/// Returns the greatest entry in valid order.
pub fn head(spans: &[Span]) -> Option<Seq> {
    spans.iter().filter(|s| s.in_valid_order).max_by_key(|s| s.order()).map(|s| s.seq)
}

/// Computes the ends of every entry of one record from nothing but the spans, in the order given.
///
/// This is the definition; adapters store its result and `fsck` compares.
///
/// # Examples
///
/// ```
/// use cfg_engine::history::{Seq, Span, Timestamp, interval_ends};
/// let at = Timestamp::from_millis;
/// let first = Span { seq: Seq(1), recorded_at: at(10), valid_from: at(10), in_valid_order: true };
/// let second = Span { seq: Seq(2), recorded_at: at(20), valid_from: at(20), in_valid_order: true };
/// assert_eq!(interval_ends(&[first, second])[0].valid_to, at(20));
/// ```
pub fn interval_ends(spans: &[Span]) -> Vec<Ends> {
    let mut valid: Vec<usize> = (0..spans.len()).filter(|n| spans[*n].in_valid_order).collect();
    valid.sort_unstable_by_key(|n| spans[*n].order());
    let mut ends: Vec<Ends> =
        spans.iter().map(|s| Ends { valid_to: s.valid_from, superseded_at: s.recorded_at }).collect();
    for (place, n) in valid.iter().enumerate() {
        ends[*n].valid_to = valid.get(place + 1).map_or(Timestamp::OPEN, |next| spans[*next].valid_from);
    }
    // HEAD over recorded time: each entry, in order of seq, becomes HEAD if it is greatest so far.
    let mut by_seq: Vec<usize> = (0..spans.len()).filter(|n| spans[*n].in_valid_order).collect();
    by_seq.sort_unstable_by_key(|n| spans[*n].seq);
    let mut head: Option<usize> = None;
    for n in by_seq {
        match head {
            Some(h) if spans[h].order() > spans[n].order() => {}
            previous => {
                if let Some(h) = previous {
                    ends[h].superseded_at = spans[n].recorded_at;
                }
                ends[n].superseded_at = Timestamp::OPEN;
                head = Some(n);
            }
        }
    }
    ends
}

/// What adding entries to a record changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Insertion {
    /// The ends of the new entries, in the order given.
    pub new: Vec<Ends>,
    /// Older entries whose cached ends change.
    pub closed: Vec<(Seq, Ends)>,
    /// HEAD afterwards.
    pub head: Option<Seq>,
}

/// Computes what adding `new` to `existing` changes. `existing` must hold every entry of the record,
/// or, where every new entry is later than all of them in valid order, HEAD alone.
pub fn insert(existing: &[Span], new: &[Span]) -> Insertion {
    let before = interval_ends(existing);
    let all: Vec<Span> = existing.iter().chain(new).copied().collect();
    let after = interval_ends(&all);
    let closed = existing
        .iter()
        .enumerate()
        .filter(|(n, _)| before[*n] != after[*n])
        .map(|(n, span)| (span.seq, after[n]))
        .collect();
    Insertion { new: after[existing.len()..].to_vec(), closed, head: head(&all) }
}

/// Returns the entry that a question on both axes picks: among those with `recorded_at <= recorded`
/// and `valid_from <= valid`, the greatest in valid order. The answer never changes for a past
/// `recorded`.
pub fn as_of_both(spans: &[Span], recorded: Timestamp, valid: Timestamp) -> Option<Seq> {
    spans
        .iter()
        .filter(|s| s.in_valid_order && s.recorded_at <= recorded && s.valid_from <= valid)
        .max_by_key(|s| s.order())
        .map(|s| s.seq)
}
