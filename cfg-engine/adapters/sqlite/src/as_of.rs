//! What was live, or was HEAD, at an instant.
//!
//! Each record's entries are walked from the newest in valid order, in an index. Only what HEAD was at an
//! instant is answered by the stored intervals: one range of an index.

use cfg_engine::adapter::{AdapterError, AsOf, AsOfRow, Detail, EntryAddress, Scope};
use cfg_engine::history::{EnvName, Timestamp};
use rusqlite::types::Value as Cell;

use crate::connection::Conn;
use crate::entries::{Pick, RawEntry, Scoped, fetch_addresses, fetch_entries, send};
use crate::readers::{Halt, Sink};

/// Streams the entries that an as-of question picks.
pub(crate) fn entries(
    conn: &Conn,
    env: &EnvName,
    scope: &Scope,
    at: AsOf,
    detail: Detail,
    out: &mut Sink<AsOfRow<RawEntry>>,
) -> Result<(), Halt> {
    let (_snapshot, catalog) = conn.snapshot()?;
    if !catalog.has_history()? {
        return Ok(());
    }
    // A tombstone holds: nothing was live.
    let show = |raw: RawEntry, flagged| raw.entry.header.oid.is_some().then(|| row(raw, flagged));
    send(conn, &pick(conn, env, scope, at)?, out, |conn, run, out| fetch_entries(conn, run, detail, out, show))
}

/// Streams the addresses that an as-of question picks.
pub(crate) fn addresses(
    conn: &Conn,
    env: &EnvName,
    scope: &Scope,
    at: AsOf,
    out: &mut Sink<AsOfRow<EntryAddress>>,
) -> Result<(), Halt> {
    let (_snapshot, catalog) = conn.snapshot()?;
    if !catalog.has_history()? {
        return Ok(());
    }
    let show = |address: EntryAddress, flagged| address.oid.is_some().then(|| row(address, flagged));
    send(conn, &pick(conn, env, scope, at)?, out, |conn, run, out| fetch_addresses(conn, run, out, show))
}

fn row<T>(entry: T, estimated_before_import: bool) -> AsOfRow<T> {
    AsOfRow { entry, estimated_before_import }
}

/// The order of record keys, over whatever the statement selected.
const ORDER: &str = "ORDER BY 3, 4, 5";

pub(crate) fn pick(conn: &Conn, env: &EnvName, scope: &Scope, at: AsOf) -> Result<Pick, AdapterError> {
    let mut scoped = Scoped::new(conn, env, scope);
    let all = matches!(scope, Scope::All(_));
    let sql = match at {
        AsOf::Recorded(recorded) if all => recorded_interval(conn, &mut scoped, recorded),
        AsOf::Recorded(recorded) => greatest(conn, &mut scoped, recorded, Timestamp::OPEN),
        AsOf::Valid(valid) => {
            let picked = last_by(conn, &mut scoped, valid);
            format!("{picked} UNION ALL {}", estimated(conn, &mut scoped, Timestamp::OPEN, valid))
        }
        AsOf::Both { recorded, valid } => {
            let picked = greatest(conn, &mut scoped, recorded, valid);
            format!("{picked} UNION ALL {}", estimated(conn, &mut scoped, recorded, valid))
        }
    };
    Ok(Pick { sql: format!("{sql} {ORDER}"), params: scoped.params })
}

fn instant(scoped: &mut Scoped, at: Timestamp) -> String {
    scoped.param(Cell::Integer(at.as_millis()))
}

/// `recorded_at <= R < superseded_at`: what HEAD was at R.
fn recorded_interval(conn: &Conn, scoped: &mut Scoped, recorded: Timestamp) -> String {
    let names = &conn.shared.names;
    let at = instant(scoped, recorded);
    format!(
        "SELECT h.entry_no, 0, r.env, r.collection, r.id_key FROM {} h INDEXED BY {} \
         CROSS JOIN {} r ON r.record_no = h.record_no \
         WHERE h.recorded_at <= {at} AND h.superseded_at > {at} AND {}",
        names.history,
        names.index("recorded_at"),
        names.records,
        scoped.filter
    )
}

/// The greatest entry in valid order of those valid by then, whenever they were recorded: by one look into an
/// index per record, however many entries it has. An interval that contains T would say the same by a range of
/// an index that every commit has to change in three places.
fn last_by(conn: &Conn, scoped: &mut Scoped, valid: Timestamp) -> String {
    let names = &conn.shared.names;
    let valid = instant(scoped, valid);
    // NULL where there is none. A condition on it would have it looked up twice.
    format!(
        "SELECT (SELECT g.entry_no FROM {} g INDEXED BY {} WHERE g.record_no = r.record_no \
         AND g.valid_from <= {valid} AND g.op <> 'redact' ORDER BY g.valid_from DESC, g.seq DESC LIMIT 1), \
         0, r.env, r.collection, r.id_key {} WHERE {}",
        names.history,
        names.index("valid"),
        scoped.from,
        scoped.filter,
    )
}

/// The definition: among the entries of a record recorded and valid by then, the greatest in valid order.
fn greatest(conn: &Conn, scoped: &mut Scoped, recorded: Timestamp, valid: Timestamp) -> String {
    let names = &conn.shared.names;
    let (valid, recorded) = (instant(scoped, valid), instant(scoped, recorded));
    format!(
        "SELECT h.entry_no, 0, r.env, r.collection, r.id_key {} CROSS JOIN {history} h ON h.entry_no = \
         (SELECT g.entry_no FROM {history} g INDEXED BY {} WHERE g.record_no = r.record_no \
         AND g.valid_from <= {valid} AND g.recorded_at <= {recorded} AND g.op <> 'redact' \
         ORDER BY g.valid_from DESC, g.seq DESC LIMIT 1) WHERE {}",
        scoped.from,
        names.index("valid"),
        scoped.filter,
        history = names.history
    )
}

/// Estimated baselines that are later than T: the least entry in valid order of a record that has
/// none by then.
fn estimated(conn: &Conn, scoped: &mut Scoped, recorded: Timestamp, valid: Timestamp) -> String {
    let names = &conn.shared.names;
    let (valid, recorded) = (instant(scoped, valid), instant(scoped, recorded));
    // Records asked for by name lead; else the few estimated entries do.
    let estimated = names.index("estimated");
    let from = if scoped.by_name {
        format!("{} CROSS JOIN {} h ON h.record_no = r.record_no", scoped.from, names.history)
    } else {
        format!(
            "FROM {} h INDEXED BY {estimated} CROSS JOIN {} r ON r.record_no = h.record_no",
            names.history, names.records
        )
    };
    format!(
        "SELECT h.entry_no, 1, r.env, r.collection, r.id_key {from} WHERE h.valid_from_estimated = 1 \
         AND h.valid_from > {valid} AND h.recorded_at <= {recorded} AND h.op <> 'redact' AND {} \
         AND NOT EXISTS (SELECT 1 FROM {} o WHERE o.record_no = h.record_no AND o.op <> 'redact' \
         AND o.recorded_at <= {recorded} AND (o.valid_from, o.seq) < (h.valid_from, h.seq))",
        scoped.filter, names.history
    )
}
