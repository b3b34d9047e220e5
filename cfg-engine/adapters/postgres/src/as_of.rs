//! What was live, or was HEAD, at an instant.
//!
//! Over all records the stored intervals answer: on the valid axis the index of the constraint that keeps
//! them apart. For records asked for by name, and for questions on both axes (whose answer the intervals do
//! not hold), each record's entries are walked from the newest in valid order.

use async_trait::async_trait;
use cfg_engine::adapter::{AdapterError, AsOf, AsOfRow, Detail, Scope};
use cfg_engine::history::{EnvName, Timestamp};
use tokio_postgres::Row;

use crate::catalog::Catalog;
use crate::connection::Conn;
use crate::entries::{ADDRESS, Last, Scoped, entry_columns, send};
use crate::errors::OrAdapterError;
use crate::readers::{Halt, Read, Sink};
use crate::sql::Params;

/// An as-of question.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) env: EnvName,
    pub(crate) scope: Scope,
    pub(crate) at: AsOf,
}

/// Its answer with entries.
pub(crate) struct AsOfEntries(pub(crate) Question, pub(crate) Detail);

/// Its answer with addresses.
pub(crate) struct AsOfAddresses(pub(crate) Question);

#[async_trait]
impl Read for AsOfEntries {
    type Row = Row;

    async fn run(&self, conn: &Conn, catalog: &Catalog, out: &mut Sink<Self::Row>) -> Result<(), Halt> {
        if !catalog.has_history()? {
            return Ok(());
        }
        let columns = entry_columns(self.1);
        let mut params = Params::default();
        let sql = statement(conn, catalog, &self.0, &columns, &mut params);
        send(conn, &sql, &params, out).await
    }
}

#[async_trait]
impl Read for AsOfAddresses {
    type Row = Row;

    async fn run(&self, conn: &Conn, catalog: &Catalog, out: &mut Sink<Self::Row>) -> Result<(), Halt> {
        if !catalog.has_history()? {
            return Ok(());
        }
        let mut params = Params::default();
        let sql = statement(conn, catalog, &self.0, ADDRESS, &mut params);
        send(conn, &sql, &params, out).await
    }
}

/// Reads an answer: what `read` makes of the row, and the flag behind its columns.
pub(crate) fn answer<T>(
    row: &Row,
    last: &mut Last,
    read: impl Fn(&Row, &mut Last) -> Result<T, AdapterError>,
) -> Result<AsOfRow<T>, AdapterError> {
    Ok(AsOfRow { entry: read(row, last)?, estimated_before_import: row.try_get(row.len() - 1).sql()? })
}

fn statement(conn: &Conn, catalog: &Catalog, question: &Question, columns: &str, params: &mut Params) -> String {
    let Question { env, scope, at } = question;
    let scoped = Scoped::new(conn, catalog, env, scope, params);
    let all = !scoped.by_name;
    let ask = Ask { conn, scoped: &scoped, columns };
    let sql = match at {
        AsOf::Recorded(recorded) if all => ask.recorded_interval(*recorded, params),
        AsOf::Recorded(recorded) => ask.greatest(*recorded, Timestamp::OPEN, params),
        AsOf::Valid(valid) => {
            let picked =
                if all { ask.valid_interval(*valid, params) } else { ask.greatest(Timestamp::OPEN, *valid, params) };
            format!("{picked} UNION ALL {}", ask.estimated(Timestamp::OPEN, *valid, params))
        }
        AsOf::Both { recorded, valid } => {
            let picked = ask.greatest(*recorded, *valid, params);
            format!("{picked} UNION ALL {}", ask.estimated(*recorded, *valid, params))
        }
    };
    format!("{sql} ORDER BY 1, 2, 3")
}

struct Ask<'a> {
    conn: &'a Conn,
    scoped: &'a Scoped,
    columns: &'a str,
}

impl Ask<'_> {
    /// `valid_from <= T < valid_to`. Empty intervals, among them those of redact entries, hold no instant. A
    /// tombstone holds: nothing was live.
    fn valid_interval(&self, valid: Timestamp, params: &mut Params) -> String {
        let names = &self.conn.shared.names;
        let at = params.instant(valid);
        format!(
            "SELECT {}, FALSE FROM {} h JOIN {} r ON r.record_no = h.record_no \
             WHERE tstzrange(h.valid_from, h.valid_to) @> {at} AND h.oid IS NOT NULL AND {}",
            self.columns, names.history, names.records, self.scoped.filter
        )
    }

    /// `recorded_at <= R < superseded_at`: what HEAD was at R.
    fn recorded_interval(&self, recorded: Timestamp, params: &mut Params) -> String {
        let names = &self.conn.shared.names;
        let at = params.instant(recorded);
        format!(
            "SELECT {}, FALSE FROM {} h JOIN {} r ON r.record_no = h.record_no \
             WHERE h.recorded_at <= {at} AND h.superseded_at > {at} AND h.oid IS NOT NULL AND {}",
            self.columns, names.history, names.records, self.scoped.filter
        )
    }

    /// The definition: among the entries of a record recorded and valid by then, the greatest in valid order.
    fn greatest(&self, recorded: Timestamp, valid: Timestamp, params: &mut Params) -> String {
        let (valid, recorded) = (params.instant(valid), params.instant(recorded));
        format!(
            "SELECT {}, FALSE {} CROSS JOIN LATERAL (SELECT * FROM {} g WHERE g.record_no = r.record_no \
             AND g.valid_from <= {valid} AND g.recorded_at <= {recorded} AND g.op <> 'redact' \
             ORDER BY g.valid_from DESC, g.seq DESC LIMIT 1) h WHERE h.oid IS NOT NULL AND {}",
            self.columns, self.scoped.from, self.conn.shared.names.history, self.scoped.filter
        )
    }

    /// Estimated baselines that are later than T: the least entry in valid order of a record that has none
    /// by then.
    fn estimated(&self, recorded: Timestamp, valid: Timestamp, params: &mut Params) -> String {
        let history = &self.conn.shared.names.history;
        let (valid, recorded) = (params.instant(valid), params.instant(recorded));
        format!(
            "SELECT {}, TRUE {} JOIN {history} h ON h.record_no = r.record_no WHERE h.valid_from_estimated \
             AND h.oid IS NOT NULL AND h.valid_from > {valid} AND h.recorded_at <= {recorded} AND h.op <> 'redact' \
             AND {} AND NOT EXISTS (SELECT 1 FROM {history} o WHERE o.record_no = h.record_no AND o.op <> 'redact' \
             AND o.recorded_at <= {recorded} AND (o.valid_from, o.seq) < (h.valid_from, h.seq))",
            self.columns, self.scoped.from, self.scoped.filter
        )
    }
}
