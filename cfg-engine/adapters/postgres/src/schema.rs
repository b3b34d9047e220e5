//! The engine's own tables.

use cfg_engine::Value;
use cfg_engine::adapter::AdapterError;

use crate::connection::{Conn, Shared, Use};
use crate::errors::{OrAdapterError, from_postgres, setup};
use crate::options::Names;
use crate::sql::{Params, literal, quoted};

/// The version of the layout.
const VERSION: i64 = 1;

/// Whether the engine's tables are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum History {
    /// Not all of them.
    Absent,
    /// All of them, in a version that this adapter knows.
    Ready,
}

/// One thing that must exist, and the statement that makes it.
struct Piece {
    name: &'static str,
    sql: String,
}

fn pieces(names: &Names) -> Vec<Piece> {
    let Names { records, heads, history, objects, .. } = names;
    let table = |name: &'static str, sql: String| Piece { name, sql: format!("CREATE TABLE {sql}") };
    let index = |name: &'static str, columns: &str| Piece {
        name,
        sql: format!("CREATE INDEX {} ON {history} {columns}", quoted(name)),
    };
    vec![
        table(
            "records",
            format!(
                "{records} (record_no int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY, env text COLLATE \"C\" NOT NULL, \
                 collection text COLLATE \"C\" NOT NULL, id_key text COLLATE \"C\" NOT NULL, \
                 CONSTRAINT records_key UNIQUE (env, collection, id_key))"
            ),
        ),
        // Half of each page stays free: a head is changed again and again, and finds its room beside itself.
        table(
            "heads",
            format!(
                "{heads} (record_no int8 PRIMARY KEY, head_seq int8 NOT NULL, head_oid bytea, \
                 head_entry_id bytea NOT NULL, head_author_id text NOT NULL, head_author_class text NOT NULL, \
                 head_recorded_at timestamptz NOT NULL, tip_seq int8 NOT NULL, tip_entry_id bytea NOT NULL, \
                 tip_recorded_at timestamptz NOT NULL) WITH (fillfactor = 50)"
            ),
        ),
        // The constraint is the database's own word that no two versions of a record are valid at one instant,
        // and its index answers what was valid at one. It is deferred: a batch closes one interval and opens
        // the next, in whatever order.
        table(
            "history",
            format!(
                "{history} (record_no int8 NOT NULL, seq int8 NOT NULL, valid_from timestamptz NOT NULL, \
                 valid_to timestamptz NOT NULL, recorded_at timestamptz NOT NULL, superseded_at timestamptz NOT NULL, \
                 valid_from_estimated bool NOT NULL, op text NOT NULL, oid bytea, entry_id bytea NOT NULL, \
                 prev_entry_id bytea, op_id text NOT NULL, author_id text NOT NULL, author_class text NOT NULL, \
                 message_hash bytea NOT NULL, base json, meta json, git_shas text[], message text NOT NULL, \
                 doc_state text NOT NULL, doc_native json, doc json, \
                 CONSTRAINT history_seq PRIMARY KEY (record_no, seq), \
                 CONSTRAINT history_no_overlap EXCLUDE USING gist (tstzrange(valid_from, valid_to) WITH &&, \
                 int8range(record_no, record_no, '[]') WITH &&) DEFERRABLE INITIALLY DEFERRED)"
            ),
        ),
        // An object that was deleted keeps its row, without a body, and with it its number.
        table(
            "objects",
            format!(
                "{objects} (kind text COLLATE \"C\" NOT NULL, name text COLLATE \"C\" NOT NULL, version int8 NOT NULL, \
                 op_id text NOT NULL, recorded_at timestamptz NOT NULL, body json, \
                 CONSTRAINT objects_key PRIMARY KEY (kind, name))"
            ),
        ),
        // What comes behind is no key, so that one version is looked up by the primary key.
        index("history_valid", "(record_no, valid_from) INCLUDE (seq)"),
        index("history_recorded", "(recorded_at)"),
        index("history_superseded", "(superseded_at, recorded_at)"),
        index("history_estimated", "(record_no, valid_from) WHERE valid_from_estimated"),
        index("history_git_shas", "(record_no) WHERE git_shas IS NOT NULL"),
    ]
}

/// Returns which of the engine's relations are there.
async fn there(conn: &Conn) -> Result<Vec<String>, AdapterError> {
    let mut params = Params::default();
    let schema = params.text(conn.shared.names.schema.as_str());
    let sql = format!(
        "SELECT c.relname::text FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname = {schema}"
    );
    let rows = conn.rows(&sql, &params).await.sql()?;
    rows.iter().map(|row| row.try_get(0).sql()).collect()
}

async fn schema_exists(conn: &Conn) -> Result<bool, AdapterError> {
    let mut params = Params::default();
    let schema = params.text(conn.shared.names.schema.as_str());
    let sql = format!("SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = {schema})");
    conn.rows(&sql, &params).await.sql()?.first().map_or(Ok(false), |row| row.try_get(0).sql())
}

/// Returns what is missing.
pub(crate) async fn pending(conn: &Conn) -> Result<Vec<String>, AdapterError> {
    let names = &conn.shared.names;
    let there = there(conn).await?;
    let mut missing = Vec::new();
    if !schema_exists(conn).await? {
        missing.push(format!("CREATE SCHEMA {}", quoted(&names.schema)));
    }
    let absent = |piece: &Piece| !there.iter().any(|name| name == piece.name);
    missing.extend(pieces(names).into_iter().filter(absent).map(|piece| piece.sql));
    let version = if there.iter().any(|name| name == "objects") { version(conn).await? } else { None };
    if let Some(newer) = version.filter(|version| *version > VERSION) {
        return Err(newer_layout(newer));
    }
    if version.is_none() {
        missing.push(format!(
            "INSERT INTO {} (kind, name, version, op_id, recorded_at, body) VALUES \
             ('schema', 'postgres', 1, 'schema', date_trunc('milliseconds', now()), {})",
            names.objects,
            literal(&format!("{{\"version\":{VERSION}}}"))
        ));
    }
    Ok(missing)
}

async fn version(conn: &Conn) -> Result<Option<i64>, AdapterError> {
    let sql =
        format!("SELECT body::text FROM {} WHERE kind = 'schema' AND name = 'postgres'", conn.shared.names.objects);
    let rows = conn.rows(&sql, &Params::default()).await.sql()?;
    let Some(row) = rows.first() else { return Ok(None) };
    let body: String = row.try_get(0).sql()?;
    Ok(Value::from_json(&body).ok().and_then(|body| body.get("version")?.as_i64()))
}

fn newer_layout(version: i64) -> AdapterError {
    setup(
        format!("the history was written by a newer version of this program (layout {version})"),
        "update the program: it knows layouts up to 1",
    )
}

/// Says whether the engine's tables are there, and in a version that this adapter knows.
pub(crate) async fn history(conn: &Conn) -> Result<Result<History, AdapterError>, AdapterError> {
    let names = &conn.shared.names;
    let there = there(conn).await?;
    if pieces(names).iter().any(|piece| !there.iter().any(|name| name == piece.name)) {
        return Ok(Ok(History::Absent));
    }
    match version(conn).await {
        Ok(Some(version)) if version > VERSION => Ok(Err(newer_layout(version))),
        Ok(Some(_)) => Ok(Ok(History::Ready)),
        Ok(None) => Ok(Ok(History::Absent)),
        Err(error @ AdapterError::Unreachable { .. }) => Err(error),
        Err(error) => Ok(Err(error)),
    }
}

/// Creates what is missing, in one transaction, and returns what was run.
pub(crate) async fn ensure(shared: &std::sync::Arc<Shared>) -> Result<Vec<String>, AdapterError> {
    let conn = shared.conn(Use::Scans).await?;
    if pending(&conn).await?.is_empty() {
        drop(conn);
        shared.look_again().await?;
        return Ok(Vec::new());
    }
    let transaction = conn.begin("BEGIN").await.map_err(|(error, _)| from_postgres(&error))?;
    let conn = transaction.conn();
    // One at a time, whoever else prepares the same schema; looked at again behind the lock.
    let lock = literal(&format!("cfg-engine schema {}", shared.names.schema));
    conn.batch(&format!("SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended({lock}, 0))"))
        .await
        .sql()?;
    let missing = pending(conn).await?;
    for statement in &missing {
        conn.batch(statement).await.sql()?;
    }
    transaction.commit().await.sql()?;
    shared.look_again().await?;
    Ok(missing)
}
