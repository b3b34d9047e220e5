//! The engine's own tables.
//!
//! The DDL keeps to what SQLite has known for ten years: no STRICT tables and no generated columns,
//! because the application opens the same file, perhaps with an older library, and a schema that it
//! cannot parse would lock it out of its own data.

use cfg_engine::Value;
use cfg_engine::adapter::AdapterError;
use rusqlite::{Connection, OptionalExtension};

use crate::connection::Conn;
use crate::errors::{OrAdapterError, setup};
use crate::options::Names;
use crate::sql::NOW;

/// The version of the layout. `PRAGMA user_version` belongs to the application.
pub(crate) const VERSION: i64 = 1;

/// Whether the engine's tables are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum History {
    /// None of them.
    Absent,
    /// All of them, in a version that this adapter knows.
    Ready,
}

/// One thing that must exist, and the statement that makes it.
struct Piece {
    name: String,
    sql: String,
}

fn pieces(names: &Names) -> Vec<Piece> {
    let Names { records, heads, history, objects, bare } = names;
    let table = |n: usize, sql: String| Piece { name: bare[n].clone(), sql: format!("CREATE TABLE {sql}") };
    let index = |kind: &str, suffix: &str, columns: &str| Piece {
        name: names.index_bare(suffix),
        sql: format!("CREATE {kind} {} ON {history} {columns}", names.index(suffix)),
    };
    vec![
        table(
            0,
            format!(
                "{records} (record_no INTEGER PRIMARY KEY, env TEXT NOT NULL, collection TEXT NOT NULL, \
                 id_key TEXT NOT NULL, UNIQUE (env, collection, id_key))"
            ),
        ),
        table(
            1,
            format!(
                "{heads} (record_no INTEGER PRIMARY KEY, head_seq INTEGER NOT NULL, head_oid BLOB, \
                 head_entry_id BLOB NOT NULL, head_author_id TEXT NOT NULL, head_author_class TEXT NOT NULL, \
                 head_recorded_at INTEGER NOT NULL, tip_seq INTEGER NOT NULL, tip_entry_id BLOB NOT NULL, \
                 tip_recorded_at INTEGER NOT NULL)"
            ),
        ),
        // Documents stand last: what is before them is read without following overflow pages.
        table(
            2,
            format!(
                "{history} (entry_no INTEGER PRIMARY KEY, record_no INTEGER NOT NULL, seq INTEGER NOT NULL, \
                 valid_from INTEGER NOT NULL, valid_to INTEGER NOT NULL, recorded_at INTEGER NOT NULL, \
                 superseded_at INTEGER NOT NULL, valid_from_estimated INTEGER NOT NULL, op TEXT NOT NULL, oid BLOB, \
                 entry_id BLOB NOT NULL, prev_entry_id BLOB, op_id TEXT NOT NULL, author_id TEXT NOT NULL, \
                 author_class TEXT NOT NULL, message_hash BLOB NOT NULL, base TEXT, meta TEXT, git_shas TEXT, \
                 message TEXT NOT NULL, doc_state TEXT NOT NULL, doc_native TEXT, doc TEXT)"
            ),
        ),
        table(
            3,
            format!(
                "{objects} (kind TEXT NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL, op_id TEXT NOT NULL, \
                 recorded_at INTEGER NOT NULL, body TEXT NOT NULL, UNIQUE (kind, name))"
            ),
        ),
        index("UNIQUE INDEX", "seq", "(record_no, seq)"),
        // What closes an entry touches none of these but the one of recorded time.
        index("INDEX", "valid", "(record_no, valid_from, seq, op)"),
        index("INDEX", "recorded_at", "(recorded_at, superseded_at, record_no)"),
        index("INDEX", "estimated", "(valid_from, record_no) WHERE valid_from_estimated = 1"),
        index("INDEX", "git_shas", "(record_no) WHERE git_shas IS NOT NULL"),
    ]
}

/// Returns what is missing.
pub(crate) fn pending(db: &Connection, names: &Names) -> Result<Vec<String>, AdapterError> {
    let mut exists = db.prepare("SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = ?1)").sql()?;
    let mut missing = Vec::new();
    for piece in pieces(names) {
        let there: bool = exists.query_row([&piece.name], |row| row.get(0)).sql()?;
        if !there {
            missing.push(piece.sql);
        }
    }
    let has_objects: bool = exists.query_row([&names.bare[3]], |row| row.get(0)).sql()?;
    let version = if has_objects { version(db, names)? } else { None };
    if let Some(newer) = version.filter(|version| *version > VERSION) {
        return Err(newer_layout(newer));
    }
    if version.is_none() {
        missing.push(format!(
            "INSERT INTO {} (kind, name, version, op_id, recorded_at, body) \
             VALUES ('schema', 'sqlite', 1, 'schema', {NOW}, '{{\"version\":{VERSION}}}')",
            names.objects
        ));
    }
    Ok(missing)
}

/// Creates what is missing, in one transaction, and returns what was run.
pub(crate) fn ensure(conn: &Conn) -> Result<Vec<String>, AdapterError> {
    let names = &conn.shared.names;
    if pending(&conn.db, names)?.is_empty() {
        return history(&conn.db, names).map(|_| Vec::new());
    }
    let transaction = rusqlite::Transaction::new_unchecked(&conn.db, rusqlite::TransactionBehavior::Immediate).sql()?;
    // Looked at again under the lock: another process may have done it meanwhile.
    let missing = pending(&conn.db, names)?;
    for statement in &missing {
        transaction.execute_batch(statement).sql()?;
    }
    history(&conn.db, names)?;
    transaction.commit().sql()?;
    conn.look_again()?;
    Ok(missing)
}

/// Says whether history is there, and refuses a layout that is newer than this program.
pub(crate) fn history(db: &Connection, names: &Names) -> Result<History, AdapterError> {
    let sql = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name IN (?1, ?2, ?3, ?4)";
    let tables: i64 = db.query_row(sql, rusqlite::params_from_iter(&names.bare), |row| row.get(0)).sql()?;
    match tables {
        0 => return Ok(History::Absent),
        4 => {}
        _ => {
            return Err(setup(
                format!("some of the engine's tables are missing ({})", names.bare.join(", ")),
                "restore them from a backup; `cfg init` creates empty ones",
            ));
        }
    }
    match version(db, names)? {
        Some(VERSION) => Ok(History::Ready),
        Some(newer) if newer > VERSION => Err(newer_layout(newer)),
        _ => Err(setup("the history does not say which layout it has", "run `cfg init` again")),
    }
}

fn newer_layout(newer: i64) -> AdapterError {
    setup(
        format!("the history has layout {newer}, and this program knows {VERSION}"),
        "use the version of cfg-engine that wrote it, or a newer one",
    )
}

fn version(db: &Connection, names: &Names) -> Result<Option<i64>, AdapterError> {
    let sql = format!("SELECT body FROM {} WHERE kind = 'schema' AND name = 'sqlite'", names.objects);
    let body: Option<String> = db.query_row(&sql, [], |row| row.get(0)).optional().sql()?;
    Ok(body.and_then(|body| Value::from_json(&body).ok()?.get("version")?.as_i64()))
}
