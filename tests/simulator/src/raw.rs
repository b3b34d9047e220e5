//! Writes around the tool: what applications and people do to the live rows.

use cfg_engine::Value;

use crate::state::{Datum, Key, Row, layout};
use crate::world::World;

impl World {
    fn is_free(&self, key: &Key) -> bool {
        self.file.is_none() && !self.locks.contains_key(key)
    }

    fn put_row(&mut self, key: Key, value: Value) {
        let Key::Live(table, _) = key else { return };
        self.write([(key, Some(Datum::Row(Row::new(table, value))))]);
    }

    /// Inserts a row of a record, live or not.
    pub(crate) fn insert_row(&mut self, record: u8, active: bool) {
        let word = self.fresh();
        let id = layout().records[usize::from(record)].id.to_value();
        let text = format!(
            r#"{{"active": {active}, "model": "large", "n": 0, "rank": {word}, "hits": {word}, "token": "t{word}"}}"#
        );
        let mut value = Value::from_json(&text).expect("JSON");
        value.as_object_mut().expect("an object").insert("id", id);
        let key = Key::Live(layout().table_of(record), word);
        self.put_row(key, value);
    }

    /// Does something to one row, in one step; nothing where a transaction holds it.
    pub(crate) fn write_around(&mut self) {
        let tables = layout().collections.len() as u64;
        let table = self.rng.below(tables) as u8;
        let rows: Vec<(Key, Value)> =
            self.state.rows(table).map(|(key, row)| (key.clone(), row.value.as_ref().clone())).collect();
        let kind = self.rng.below(20);
        let word = self.fresh();
        if kind == 0 || rows.is_empty() {
            // A record comes, or comes back, or gets a second row.
            let records: Vec<u8> = layout().of_table(table).collect();
            let record = self.rng.pick(&records);
            if self.file.is_none() {
                let active = self.rng.permille(700);
                self.insert_row(record, active);
                self.note("raw insert", &[u64::from(record), word], format_args!("record {record}, rank {word}"));
            }
            return;
        }
        let at = self.rng.index(rows.len());
        let (key, mut value) = rows[at].clone();
        if !self.is_free(&key) {
            return;
        }
        self.forget_replaced(&key);
        let Some(row) = value.as_object_mut() else { return };
        let what = match kind {
            1 => {
                self.write([(key.clone(), None)]);
                self.note("raw delete", &[word], format_args!("{key:?}"));
                return;
            }
            2 => {
                let records: Vec<u8> = layout().of_table(table).collect();
                let to = self.rng.pick(&records);
                row.insert("id", layout().records[usize::from(to)].id.to_value());
                "rename"
            }
            3 => {
                row.insert("active", self.rng.permille(500));
                "switch"
            }
            4 => {
                row.insert("token", format!("t{word}"));
                "secret"
            }
            5..=8 => {
                row.insert("hits", word);
                row.insert("old_model", word);
                "ignored"
            }
            9 => {
                // Back to what it once was: the same content, and nobody's version.
                row.insert("rank", 7);
                row.insert("n", 0);
                "set back"
            }
            _ => {
                row.insert("rank", word);
                "update"
            }
        };
        self.note("raw", &[word, u64::from(table)], format_args!("{what} {key:?}, rank {word}"));
        self.put_row(key, value);
    }

    /// The known limit of stores without transactions: where a program dies between its write of live and the
    /// confirmation, and somebody else writes over that before anybody has cleared up, it cannot be told any more
    /// whether live was written, and what was there before is lost with the announcement.
    fn forget_replaced(&mut self, key: &Key) {
        let Some(Datum::Row(row)) = self.state.datum(key) else { return };
        let Some(record) = row.record else { return };
        if self.state.intent(record).is_some_and(|intent| !intent.confirmed) {
            let state = std::sync::Arc::clone(&self.state);
            self.ledger.replaced.retain(|(of, content)| {
                *of != record || state.entries_of(record).any(|entry| entry.header.oid == Some(*content))
            });
        }
    }

    /// What a person does about records with several live rows: all but one go.
    pub(crate) fn tidy(&mut self) {
        for record in 0..layout().records.len() as u8 {
            let rows = self.state.rows_of(record).live;
            let surplus: Vec<(Key, Option<Datum>)> = rows.into_iter().skip(1).map(|(key, _)| (key, None)).collect();
            if !surplus.is_empty() {
                self.write(surplus);
            }
        }
    }
}
