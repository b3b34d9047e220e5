//! Making a document live where the rows of one id take turns.

use std::sync::Arc;

use cfg_engine::Value;
use cfg_engine::adapter::{AdapterError, Change};
use cfg_engine::document::{Object, Oid, oid};

use crate::apply::{Applying, Failed};
use crate::column::{Column, Writer};
use crate::connection::Conn;
use crate::errors::{OrAdapterError, setup};
use crate::live::{self, Image};
use crate::prepare::{LiveStep, PreparedChange, live_step};
use crate::sql::{Params, quoted};
use crate::table::LiveTable;

/// One record's turn, inside the transaction that holds its rows.
pub(crate) struct Turn<'a> {
    pub(crate) applying: &'a Applying<'a>,
    pub(crate) conn: &'a Conn,
    pub(crate) table: &'a Arc<LiveTable>,
    pub(crate) change: &'a Change,
    pub(crate) prepared: &'a PreparedChange,
}

impl Turn<'_> {
    fn rule(&self) -> AdapterError {
        AdapterError::LiveRule { record: self.change.record.clone() }
    }

    /// Retires the row that is live now, and promotes one that has the content. Returns the insertion that is
    /// left to do where there is none.
    pub(crate) async fn take(
        &self,
        retire: &Object,
        doc: &Value,
        live: Option<&Image>,
    ) -> Result<Option<LiveStep>, Failed> {
        let outside = self.outside().await?;
        if live.is_some() {
            self.retire(retire).await?;
        }
        let wanted = self.content(doc);
        let table = self.table;
        for (place, image) in outside {
            let Ok(mut value) = image.value() else { continue };
            if table.doc.is_none()
                && let Some(row) = value.as_object_mut()
            {
                for (field, pair) in table.config.live_when.equality_pairs() {
                    row.insert(field, pair.clone());
                }
            }
            if wanted.is_some() && oid(&value, &table.config.policy).ok() == wanted && self.promote(&place).await? {
                return Ok(None);
            }
        }
        Ok(live_step(self.change, self.prepared, None)?)
    }

    /// The address of what becomes live, the live rule's pairs and the id laid over it.
    fn content(&self, doc: &Value) -> Option<Oid> {
        let table = self.table;
        let mut wanted = doc.clone();
        if table.doc.is_none() {
            let row = wanted.as_object_mut()?;
            for (field, pair) in table.config.live_when.equality_pairs() {
                row.insert(field, pair.clone());
            }
            for (field, part) in table.config.id_values(&self.change.record.id)? {
                row.insert(field, part);
            }
        }
        oid(&wanted, &table.config.policy).ok()
    }

    /// Reads and locks the rows of this id that the rule leaves out, each with what finds it again.
    async fn outside(&self) -> Result<Vec<(String, Image)>, Failed> {
        let table = self.table;
        let (mut params, id) = self.id()?;
        let ids: Vec<String> = id.iter().map(|text| params.text(text.as_str())).collect();
        let sql = format!(
            "SELECT t.tableoid::text || t.ctid::text, {} FROM {} t WHERE {} AND ({}) IS NOT TRUE AND {} ORDER BY t.ctid FOR UPDATE OF t",
            table.select("t."),
            table.name,
            table.id_is("t.", &ids),
            table.rule.sql("t."),
            table.settings
        );
        let mut found = Vec::new();
        for row in self.applying.read(self.conn, &sql, &params).await? {
            if table.id_of(&row, 1)?.as_ref() != Some(&self.change.record.id) {
                continue;
            }
            let (native, _) = live::native(table, &row, 1 + table.id.len())?;
            if let Ok(native) = native {
                found.push((row.try_get(0).sql()?, Image { table: Arc::clone(table), native }));
            }
        }
        Ok(found)
    }

    fn id(&self) -> Result<(Params, Vec<String>), Failed> {
        let id = self.table.id_texts(&self.change.record.id).ok_or_else(|| self.rule())?;
        Ok((Params::default(), id))
    }

    /// Sets the retiring fields of the one live row, which then must not be live any more.
    async fn retire(&self, retire: &Object) -> Result<(), Failed> {
        let table = self.table;
        let (mut params, id) = self.id()?;
        let fields: Vec<(&str, &Value)> = retire.iter().map(|(field, value)| (field.as_str(), value)).collect();
        let sets = self.sets(&fields, &mut params)?;
        if sets.is_empty() {
            return Err(self.rule().into());
        }
        let ids: Vec<String> = id.iter().map(|text| params.text(text.as_str())).collect();
        let sql = format!(
            "UPDATE {} t SET {} WHERE {} AND {} RETURNING ({}) IS TRUE",
            table.name,
            sets.join(", "),
            table.id_is("t.", &ids),
            table.rule.sql("t."),
            table.rule.sql("t.")
        );
        let rows = self.write(&sql, &params).await?;
        for row in &rows {
            if row.try_get::<_, bool>(0).sql()? {
                return Err(self.rule().into());
            }
        }
        if rows.len() == 1 { Ok(()) } else { Err(self.rule().into()) }
    }

    /// Sets the live rule's pairs of one row. Returns whether it then is live.
    async fn promote(&self, place: &str) -> Result<bool, Failed> {
        let table = self.table;
        let mut params = Params::default();
        let pairs: Vec<(&str, &Value)> = table
            .config
            .live_when
            .equality_pairs()
            .filter(|(field, _)| table.column(field).is_some_and(|at| table.columns[at].writer == Writer::Anyone))
            .collect();
        let sets = self.sets(&pairs, &mut params)?;
        if sets.is_empty() {
            return Ok(false);
        }
        let mark = params.text(place);
        self.conn.batch("SAVEPOINT promoted").await.map_err(|error| self.applying.failed(&error, &[]))?;
        let sql = format!(
            "UPDATE {} t SET {} WHERE t.tableoid::text || t.ctid::text = {mark} RETURNING ({}) IS TRUE",
            table.name,
            sets.join(", "),
            table.rule.sql("t.")
        );
        let rows = self.write(&sql, &params).await?;
        let fits = rows.first().map(|row| row.try_get::<_, bool>(0).sql()).transpose()?.unwrap_or(false);
        if !fits {
            // A rule with operators too: the row stays as it was.
            self.conn.batch("ROLLBACK TO promoted").await.map_err(|error| self.applying.failed(&error, &[]))?;
        }
        Ok(fits)
    }

    fn sets(&self, fields: &[(&str, &Value)], params: &mut Params) -> Result<Vec<String>, Failed> {
        let table = self.table;
        let one = |(field, value): &(&str, &Value)| -> Result<String, Failed> {
            let column: &Column = table.column(field).map(|at| &table.columns[at]).ok_or_else(|| {
                setup(
                    format!("{field} is to be set on a row, and is no column of table {}", table.config.table),
                    "name columns of the table in retire_with and live_when",
                )
            })?;
            let cell = column.write(value).map_err(|misfit| misfit.of(&self.change.record))?;
            let mark = params.add(cell, tokio_postgres::types::Type::TEXT);
            Ok(format!("{} = {}", quoted(&column.name), column.write_sql(&mark)))
        };
        fields.iter().map(one).collect()
    }

    /// Runs a write of the table; a refusal is this record's.
    async fn write(&self, sql: &str, params: &Params) -> Result<Vec<tokio_postgres::Row>, Failed> {
        self.conn.rows(sql, params).await.map_err(|error| self.applying.failed_for(&error, &self.change.record))
    }
}
