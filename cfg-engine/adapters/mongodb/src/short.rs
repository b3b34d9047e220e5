//! The short way through a batch: few commands, each of which carries what it expects.

use bson::raw::{RawDocumentBuf, cstr};
use bson::{doc, rawdoc};
use cfg_engine::Value;
use cfg_engine::adapter::{ExpectedHead, ExpectedLive, ExpectedVersion, LiveWrite, ObjectGuard};
use cfg_engine::document::apply_changes;
use cfg_engine::history::RecordKey;
use mongodb::ClientSession;

use crate::apply::{Clock, Ended, ended, leaves_live_unread, newest_tip, write_heads, write_history, write_live};
use crate::command::{Failed, Kind, edit, run};
use crate::expr;
use crate::live_write::{self, check_written};
use crate::prepare::{Prepared, PreparedChange};
use crate::store::Store;
use crate::table::{Image, LiveTable};
use crate::values;

/// A batch that can go the short way.
pub(crate) struct Plan {
    /// The statements on live, by collection; `None` where live is looked at first.
    live: Option<Vec<Live>>,
}

/// The live documents of more records than this are read and compared here. To send each along, to be compared by the
/// server, spares a round trip and costs the server 50 µs a document, which it otherwise reads in 5.
const COMPARED_THERE: usize = 100;

struct Live {
    table: String,
    /// Edits, each of which changes exactly one document or none.
    edits: Vec<RawDocumentBuf>,
    /// Statements that change nothing and find a second live document of a record, if there is one.
    seconds: Vec<RawDocumentBuf>,
}

/// Returns how a batch goes the short way, if it can.
pub(crate) fn plan(store: &Store, prepared: &Prepared<'_>) -> Option<Plan> {
    // The clock is checked with a head that moves, and so is what stands beside the heads; other objects are
    // compared on the careful way.
    let beside_heads = |guard: &ObjectGuard| {
        store.place_of(&guard.key.kind) == store.names.heads && guard.expected != ExpectedVersion::Absent
    };
    let moves = |prepared: &PreparedChange<'_>| matches!(prepared.change.expected_head, ExpectedHead::At { .. });
    let late = newest_tip(prepared).is_some_and(|tip| tip >= prepared.batch.recorded_at());
    let guarded = prepared.batch.guards().iter().all(beside_heads);
    if late || !guarded || !prepared.batch.objects().is_empty() || !prepared.changes.iter().any(moves) {
        return None;
    }
    let is_plain = |PreparedChange { change, .. }: &PreparedChange<'_>| {
        let writes_nothing = matches!(change.expected_head, ExpectedHead::Absent) && change.entries.is_empty();
        let mends = matches!(change.expected_head, ExpectedHead::Lost { .. }) || change.mended_tip.is_some();
        // What is overwritten is looked at first.
        !writes_nothing && !mends && change.overwrites.is_empty()
    };
    if !prepared.changes.iter().all(is_plain) {
        return None;
    }
    if prepared.changes.len() > COMPARED_THERE {
        return Some(Plan { live: None });
    }
    let mut live: Vec<Live> = Vec::new();
    for PreparedChange { change, .. } in &prepared.changes {
        if leaves_live_unread(change) {
            continue;
        }
        let table = store.table(&change.record.collection).ok()?;
        let (LiveWrite::Update(changes), ExpectedLive::At(image)) = (&change.live, &change.expected_live) else {
            return None;
        };
        let Image { raw: image, seen } = image.get::<Image>()?;
        let mut new = Value::clone(seen);
        apply_changes(&mut new, changes).ok()?;
        values::keep_widths(seen, &mut new);
        check_written(table, &change.record, &new).ok()?;
        let edited = expr::rewrite(seen, &new).ok()?;
        if edited.writes.is_empty() {
            return None;
        }
        let unmoved = expr::unmoved(table, image, seen, changes, &edited.writes)?;
        let mut q = RawDocumentBuf::new();
        q.append(cstr!("_id"), image.get("_id").ok()??);
        let second = if table.hides_id { Some(second(table, &change.record, &q)?) } else { None };
        q.append(cstr!("$expr"), unmoved);
        let at = match live.iter().position(|live| live.table == table.config.table) {
            Some(at) => at,
            None => {
                live.push(Live { table: table.config.table.clone(), edits: Vec::new(), seconds: Vec::new() });
                live.len() - 1
            }
        };
        live[at].edits.push(edit(&q, edited.document));
        live[at].seconds.extend(second);
    }
    Some(Plan { live: Some(live) })
}

/// The statement that finds live documents of a record beside the one that `q` finds.
fn second(table: &LiveTable, record: &RecordKey, q: &RawDocumentBuf) -> Option<RawDocumentBuf> {
    let mut terms = vec![table.with_ids(std::iter::once(&record.id)), table.live_filter()];
    terms.retain(|term| !term.is_empty());
    let filter = RawDocumentBuf::try_from(&doc! { "$and": terms }).ok()?;
    let mut others = filter;
    let mut place = RawDocumentBuf::new();
    place.append(cstr!("$ne"), q.get("_id").ok()??);
    others.append(cstr!("_id"), place);
    Some(rawdoc! { "q": others, "u": { "$set": {} }, "multi": true, "collation": { "locale": "simple" } })
}

/// Runs the commands but for the commit.
pub(crate) async fn write(
    store: &Store,
    session: &mut ClientSession,
    plan: &Plan,
    prepared: &Prepared<'_>,
) -> Result<(), Ended> {
    let Some(live) = &plan.live else {
        write_looking(store, session, prepared).await.map_err(|ended| match ended {
            Ended::Again => Ended::Again,
            // Heads come first in what is said: the careful way looks at them first.
            Ended::Unexpected | Ended::Error(_) => Ended::Unexpected,
        })?;
        return write_beside(store, session, prepared).await;
    };
    for live in live {
        let statements: Vec<RawDocumentBuf> = live.edits.iter().chain(&live.seconds).cloned().collect();
        // Each edit changes a document if it finds it, and the others never do: so as many found as there
        // are edits, and all of them changed, is every edit once and no second document.
        let edits = live.edits.len() as u64;
        match run(&store.live, session, Kind::Update, &live.table, &statements).await {
            Ok(written) if written.found == edits && written.modified == edits => {}
            // What the server has against a document is said by the careful way, with its record.
            Ok(_) | Err(Failed::Write { .. }) => return Err(Ended::Unexpected),
            Err(Failed::Driver(error)) => {
                return Err(match ended(store, &error) {
                    // An expression that the server cannot evaluate on what is there by now.
                    Ended::Error(_) if crate::errors::code(&error).is_some() => Ended::Unexpected,
                    other => other,
                });
            }
        }
    }
    write_beside(store, session, prepared).await
}

/// Reads live, compares it here, and writes it.
async fn write_looking(store: &Store, session: &mut ClientSession, prepared: &Prepared<'_>) -> Result<(), Ended> {
    let writes = live_write::check(store, session, prepared).await?;
    write_live(store, session, writes).await
}

/// Writes history and heads.
async fn write_beside(store: &Store, session: &mut ClientSession, prepared: &Prepared<'_>) -> Result<(), Ended> {
    cfg_engine::reached!("mongodb/live-sent");
    write_history(store, session, prepared, Vec::new()).await?;
    cfg_engine::reached!("mongodb/history-sent");
    write_heads(store, session, prepared, Clock::Check).await
}
