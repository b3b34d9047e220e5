//! `commit`: a document, a patch or assignments become the next version, in one atomic batch.

use std::collections::HashMap;

use futures_util::TryStreamExt;

use super::document::live_value;
use super::project::{Options, Project};
use super::report::Report;
use super::transact::{OnMoved, Request};
use crate::adapter::{EntryQuery, Scope};
use crate::document::{EntryId, FieldPath, FieldPolicy, Object, Value, oid};
use crate::error::Error;
use crate::history::{Entry, RecordKey, Redaction, Seq, has_mark, is_redacted, places};
use crate::plan::gates::OnRefusal;
use crate::plan::{Base, CommitInput, Content, Verb, plan_commit, seed_document, with_id};

/// One record's part of a commit.
#[derive(Debug, Clone)]
pub struct CommitItem {
    /// Which record.
    pub record: RecordKey,
    /// What is written.
    pub content: Content,
    /// The version that the author had seen; `None` commits on top of HEAD.
    pub base: Option<Base>,
}

/// A commit of one record or of several, all or nothing.
#[derive(Debug, Clone)]
pub struct Commit {
    /// The records.
    pub items: Vec<CommitItem>,
    /// A change that lies in ignored fields only is no error.
    pub allow_noop: bool,
    /// Without a base, versioned fields that the document lacks are removed.
    pub allow_removal: bool,
    /// Secrets may go with the member or array element that holds them; the entry names their places.
    pub without_secrets: bool,
    /// Goes on over drift and over a stale base; what is overwritten is recorded first.
    pub force: bool,
    /// What is recorded besides: `{"via": "set"}`.
    pub meta: Object,
}

impl Commit {
    /// Commits a whole document on top of HEAD.
    pub fn new(record: RecordKey, doc: Value) -> Self {
        Self::of(vec![CommitItem { record, content: Content::Document(doc), base: None }])
    }

    /// Commits several records atomically.
    pub fn of(items: Vec<CommitItem>) -> Self {
        Commit {
            items,
            allow_noop: false,
            allow_removal: false,
            without_secrets: false,
            force: false,
            meta: Object::new(),
        }
    }

    /// Names the version that the author had seen.
    #[must_use]
    pub fn with_base(mut self, base: Base) -> Self {
        if let Some(item) = self.items.first_mut() {
            item.base = Some(base);
        }
        self
    }
}

impl Project {
    /// Commits: live and history change together, for all records or for none.
    ///
    /// # Errors
    ///
    /// [`Error::StaleBase`] and [`Error::StaleHead`] where another commit came first,
    /// [`Error::Dirty`], [`Error::Missing`] and [`Error::StaleLive`] where somebody wrote around the
    /// tool, [`Error::MissingFields`], [`Error::OnlyIgnored`], [`Error::Secret`],
    /// [`Error::TooMany`], and what the store refuses.
    pub async fn commit(&self, commit: &Commit, options: &Options) -> Result<Report, Error> {
        require_message(options)?;
        check_meta(&commit.meta)?;
        let limit = self.adapter.capabilities().max_batch_records;
        if commit.items.len() > limit {
            let store = self.adapter.capabilities().store;
            return Err(Error::TooMany { records: commit.items.len(), limit, store });
        }
        let records: Vec<RecordKey> = commit.items.iter().map(|item| item.record.clone()).collect();
        let mut sorted: Vec<&CommitItem> = commit.items.iter().collect();
        sorted.sort_by(|a, b| a.record.cmp(&b.record));
        if let Some(pair) = sorted.windows(2).find(|pair| pair[0].record == pair[1].record) {
            return Err(Error::refused_for(
                &pair[0].record,
                "twice",
                format!("{} stands twice in one commit", pair[0].record),
                "commit each record once, or in two commits",
            ));
        }
        let bases = commit.items.iter().filter_map(|item| item.base.as_ref());
        let seen = if commit.force { self.seen(bases).await? } else { HashMap::new() };
        // Assignments and patches are applied to what is there; a document was written for one HEAD.
        let relative =
            commit.items.iter().all(|item| !matches!(item.content, Content::Document(_)) && item.base.is_none());
        let marks = self.redacted_rules(&commit.items).await?;
        let request = Request {
            verb: Verb::Commit,
            records,
            options,
            on_refusal: OnRefusal::Whole,
            on_moved: if relative { OnMoved::Replan } else { OnMoved::Conflict },
            op_id: None,
            asks_for: Some(Box::new(|entry: &Entry| self.asks_for(&sorted, entry))),
            forced: commit.force,
            read_before: Vec::new(),
        };
        self.transact(request, |state| {
            let at = sorted
                .binary_search_by(|item| item.record.cmp(&state.record))
                .map_err(|_| Error::NoRecord { address: state.record.to_string() })?;
            let item = sorted[at];
            let input = CommitInput {
                content: &item.content,
                base: item.base.as_ref(),
                allow_noop: commit.allow_noop,
                allow_removal: commit.allow_removal,
                without_secrets: commit.without_secrets,
                force: commit.force,
                seen: seen.get(&state.record).copied(),
                meta: &commit.meta,
            };
            if let (Content::Document(doc), Some(redacted)) = (&item.content, marks.get(&state.record)) {
                refuse_redacted(doc, live_value(state), &state.record, redacted)?;
            }
            plan_commit(state, self.rules(&state.record)?, input)
        })
        .await
    }
}

impl Project {
    /// Reads what was ever redacted of the records for which a document is given that holds a mark.
    async fn redacted_rules(&self, items: &[CommitItem]) -> Result<HashMap<RecordKey, Vec<String>>, Error> {
        let marked = items.iter().filter(|item| matches!(&item.content, Content::Document(doc) if has_mark(doc)));
        let redactions = self.redactions(marked.map(|item| item.record.clone()).collect()).await?;
        let paths = |all: Vec<Redaction>| all.into_iter().flat_map(|redaction| redaction.paths).collect();
        Ok(redactions.into_iter().map(|(record, all)| (record, paths(all))).collect())
    }

    /// Finds the entries that bases name: what the author of a forced change had seen, HEAD or not.
    pub(crate) async fn seen(&self, bases: impl Iterator<Item = &Base>) -> Result<HashMap<RecordKey, EntryId>, Error> {
        let bases: HashMap<&RecordKey, (Seq, &Base)> =
            bases.filter_map(|base| Some((&base.record, (base.seq?, base)))).collect();
        if bases.is_empty() {
            return Ok(HashMap::new());
        }
        let scope = Scope::Records(bases.keys().map(|record| (*record).clone()).collect());
        let mut query = EntryQuery::new(self.settings.env.clone(), scope);
        query.seqs = bases.values().map(|(seq, _)| *seq).collect();
        query.seqs.sort();
        query.seqs.dedup();
        let entries: Vec<Entry> = self.adapter.entries(&query).try_concat().await?;
        let named = entries.into_iter().filter(|entry| {
            bases.get(&entry.header.record).is_some_and(|(seq, base)| {
                *seq == entry.header.seq && (base.oid.is_none() || base.oid == entry.header.oid)
            })
        });
        Ok(named.map(|entry| (entry.header.record, entry.entry_id)).collect())
    }

    /// Returns whether a whole document that is given is what an entry holds; a patch is relative to what
    /// was there, and its record is all that can be compared.
    fn asks_for(&self, sorted: &[&CommitItem], entry: &Entry) -> bool {
        let record = &entry.header.record;
        let Ok(at) = sorted.binary_search_by(|item| item.record.cmp(record)) else { return false };
        let (Content::Document(doc), Ok(rules)) = (&sorted[at].content, self.rules(record)) else { return true };
        let Ok(doc) = with_id(doc.clone(), record, rules.collection) else { return false };
        oid(&doc, &rules.collection.policy).ok() == entry.header.oid
            // A record that was made got what the live rule asks for.
            || seed_document(doc, record, rules).is_ok_and(|seed| Some(seed.oid) == entry.header.oid)
    }
}

/// Refuses to write the mark of a redaction to live, where a document was taken from a redacted version.
fn refuse_redacted(doc: &Value, live: Option<&Value>, record: &RecordKey, rules: &[String]) -> Result<(), Error> {
    let is_lives = |path: &FieldPath| live.and_then(|live| path.get(live)).is_some_and(is_redacted);
    let there = places(rules, doc).unwrap_or_default();
    match there.iter().find(|path| path.get(doc).is_some_and(is_redacted) && !is_lives(path)) {
        None => Ok(()),
        Some(path) => Err(Error::refused_for(
            record,
            "redacted",
            format!("{path} of the document for {record} holds the mark of a redaction, not its value"),
            format!("write its value, or go back to that version with: cfg restore {} VERSION", record.id),
        )),
    }
}

pub(crate) fn require_message(options: &Options) -> Result<(), Error> {
    // An approval has the message with which it was asked for.
    if options.message.trim().is_empty() && options.approval.is_none() {
        return Err(Error::refused("message_required", "an empty message", "say why with -m \"…\""));
    }
    Ok(())
}

/// Checks what a caller wants recorded besides: it enters the header, and a header must have a hash.
fn check_meta(meta: &Object) -> Result<(), Error> {
    // The levels that it stands in, in a header and in a plan.
    let nested = (0..8).fold(Value::Object(meta.clone()), |value, _| Value::Array(vec![value]));
    match oid(&nested, &FieldPolicy::default()) {
        Ok(_) => Ok(()),
        Err(error) => Err(Error::refused("bad_meta", format!("meta has {}", error.problem), "leave that value out")),
    }
}
