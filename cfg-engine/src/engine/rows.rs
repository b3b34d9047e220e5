//! Long lists as objects: rows by record key in content-addressed parts, and a root that names the parts.
//!
//! A part ends where the hash of a row's key says so. Two lists that differ in a few rows therefore share
//! all parts but those few, and a second tag of the same records costs little.

use std::collections::{BTreeSet, HashMap, HashSet};

use sha2::{Digest, Sha256};

use super::objects::{address, addressed};
use super::project::Project;
use crate::adapter::ObjectWrite;
use crate::document::{Object, Value};
use crate::error::Error;
use crate::history::{CollectionName, EnvName, IdKey, RecordKey};

/// On average so many rows make a part.
const ROWS: u8 = 128;
/// And never more than this.
const MOST_ROWS: usize = 2048;
/// Up to so many parts are read one by one; more come in one reading of all.
const SINGLY: usize = 8;

/// One row: the record it is about, and what it says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    pub(crate) record: RecordKey,
    pub(crate) cells: Vec<Value>,
}

/// Rows cut into parts, ready to be written.
pub(crate) struct Parts {
    /// `[name, rows, collection and id_key of the last row]` for each part: what the root holds.
    pub(crate) index: Vec<Value>,
    pub(crate) writes: Vec<ObjectWrite>,
}

/// A part as the root names it.
#[derive(Debug, Clone)]
struct Named {
    name: String,
    last: (String, IdKey),
}

fn key_cells(record: &RecordKey) -> [Value; 2] {
    [Value::from(record.collection.as_str()), Value::from(record.id.ascii())]
}

/// Cuts rows, which are in the order of record keys, into parts. Lists share those that hold the same, unless they
/// say whose they are.
pub(crate) fn parts(kind: &str, rows: &[Row], of: Option<&str>) -> Parts {
    let mut found = Parts { index: Vec::new(), writes: Vec::new() };
    let mut named: HashSet<String> = HashSet::new();
    let mut start = 0;
    for (n, row) in rows.iter().enumerate() {
        let [collection, id] = key_cells(&row.record);
        let mut hash = Sha256::new();
        for cell in [&collection, &id] {
            hash.update(cell.as_str().unwrap_or_default());
            hash.update([0]);
        }
        let ends = hash.finalize()[0] % ROWS == 0;
        if !ends && n + 1 - start < MOST_ROWS && n + 1 < rows.len() {
            continue;
        }
        let cells = |row: &Row| Value::Array(key_cells(&row.record).into_iter().chain(row.cells.clone()).collect());
        let mut body = Object::new().with("v", 1).with("rows", rows[start..=n].iter().map(cells).collect::<Vec<_>>());
        if let Some(of) = of {
            body.insert("of", of);
        }
        let (name, write) = addressed(kind, Value::Object(body));
        found.index.push(Value::Array(vec![Value::from(name.as_str()), Value::from(n + 1 - start), collection, id]));
        if named.insert(name) {
            found.writes.push(write);
        }
        start = n + 1;
    }
    found
}

fn damaged(kind: &str, what: &str) -> Error {
    crate::adapter::AdapterError::Damaged { problem: format!("a {kind}: {what}") }.into()
}

fn index(kind: &str, root: &Value) -> Result<Vec<Named>, Error> {
    let parts = root.get("parts").and_then(Value::as_array).ok_or_else(|| damaged(kind, "it names no parts"))?;
    parts
        .iter()
        .map(|part| {
            let cells = part.as_array().unwrap_or_default();
            let text = |n: usize| cells.get(n).and_then(Value::as_str);
            let last = text(2).zip(text(3).and_then(|id| IdKey::from_stored(id).ok()));
            match (text(0), last) {
                (Some(name), Some((collection, id))) => {
                    Ok(Named { name: name.to_owned(), last: (collection.to_owned(), id) })
                }
                _ => Err(damaged(kind, "the list of its parts cannot be read")),
            }
        })
        .collect()
}

/// Reads the rows of one part.
fn read_part(kind: &str, env: &EnvName, body: &Value, rows: &mut Vec<Row>) -> Result<(), Error> {
    let list = body.get("rows").and_then(Value::as_array).ok_or_else(|| damaged(kind, "a part without rows"))?;
    for row in list {
        let cells = row.as_array().unwrap_or_default();
        let text = |n: usize| cells.get(n).and_then(Value::as_str);
        let collection = text(0).and_then(|name| CollectionName::new(name).ok());
        let id = text(1).and_then(|id| IdKey::from_stored(id).ok());
        let (Some(collection), Some(id)) = (collection, id) else {
            return Err(damaged(kind, "a row without a record"));
        };
        let record = RecordKey { env: env.clone(), collection, id };
        rows.push(Row { record, cells: cells[2..].to_vec() });
    }
    Ok(())
}

/// What was kept of the rows of some roots. They share parts, and each part was read once.
pub(crate) struct Kept<T> {
    /// By part.
    pub(crate) parts: Vec<Vec<T>>,
    /// By root: its parts in order, as places in `parts`.
    pub(crate) of_root: Vec<Vec<usize>>,
}

impl Project {
    /// Reads the rows that a root holds for some records, or all of them, in order.
    pub(crate) async fn read_rows(
        &self,
        kind: &str,
        root: &Value,
        only: Option<&[RecordKey]>,
    ) -> Result<Vec<Row>, Error> {
        let kept = self.keep_rows(kind, std::slice::from_ref(root), only, &mut |row| Ok(Some(row))).await?;
        // A single root names no part twice.
        Ok(kept.parts.into_iter().flatten().collect())
    }

    /// Reads the rows that some roots hold for some records, or all of them, and keeps what `keep` makes of them.
    pub(crate) async fn keep_rows<T>(
        &self,
        kind: &str,
        roots: &[Value],
        only: Option<&[RecordKey]>,
        keep: &mut (dyn FnMut(Row) -> Result<Option<T>, Error> + Send),
    ) -> Result<Kept<T>, Error> {
        let only: Option<BTreeSet<&RecordKey>> = only.map(|records| records.iter().collect());
        let indexes = roots.iter().map(|root| index(kind, root)).collect::<Result<Vec<_>, _>>()?;
        let (mut places, mut names) = (HashMap::<&str, usize>::new(), Vec::<&str>::new());
        let mut of_root = Vec::with_capacity(roots.len());
        for parts in &indexes {
            let wanted: BTreeSet<usize> = match &only {
                None => (0..parts.len()).collect(),
                Some(records) => records.iter().filter_map(|record| place(parts, record)).collect(),
            };
            let mut place_of = |name| {
                *places.entry(name).or_insert_with(|| {
                    names.push(name);
                    names.len() - 1
                })
            };
            of_root.push(wanted.into_iter().map(|at| place_of(parts[at].name.as_str())).collect());
        }
        let bodies: HashMap<String, Value> =
            self.part_bodies(kind, &names.iter().copied().collect()).await?.into_iter().collect();
        let mut parts = Vec::with_capacity(names.len());
        for name in names {
            let body = bodies.get(name).ok_or_else(|| damaged(kind, "one of its parts is missing"))?;
            let mut rows = Vec::new();
            read_part(kind, &self.settings.env, body, &mut rows)?;
            let asked = |row: &Row| only.as_ref().is_none_or(|only| only.contains(&row.record));
            let kept = rows.into_iter().filter(asked).filter_map(|row| keep(row).transpose());
            parts.push(kept.collect::<Result<Vec<T>, Error>>()?);
        }
        Ok(Kept { parts, of_root })
    }

    async fn part_bodies(&self, kind: &str, names: &BTreeSet<&str>) -> Result<Vec<(String, Value)>, Error> {
        let mut bodies = Vec::with_capacity(names.len());
        if names.len() > SINGLY {
            let all = self.adapter.objects(kind, None).await?;
            bodies.extend(all.into_iter().map(|o| (o.key.name, o.body)).filter(|(n, _)| names.contains(n.as_str())));
        } else {
            for name in names {
                let found = self.adapter.objects(kind, Some(name)).await?;
                bodies.extend(found.into_iter().map(|object| (object.key.name, object.body)));
            }
        }
        match bodies.iter().find(|(name, body)| address(body).to_hex() != *name) {
            Some(_) => Err(damaged(kind, "a part is not what its address says")),
            None => Ok(bodies),
        }
    }
}

/// Returns the part that holds a record, if any does.
fn place(parts: &[Named], record: &RecordKey) -> Option<usize> {
    let key = (record.collection.as_str(), &record.id);
    let at = parts.partition_point(|part| (part.last.0.as_str(), &part.last.1) < key);
    (at < parts.len()).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(ids: impl Iterator<Item = usize>) -> Vec<Row> {
        let record = |n: usize| RecordKey {
            env: EnvName::new("dev").expect("a name"),
            collection: CollectionName::new("agents").expect("a name"),
            id: IdKey::from_value(&Value::from(format!("r{n:05}"))).expect("an id"),
        };
        ids.map(|n| Row { record: record(n), cells: vec![Value::from(n)] }).collect()
    }

    #[test]
    fn lists_that_differ_a_little_share_nearly_all_parts() {
        let (all, without) = (rows(0..10_000), rows((0..10_000).filter(|n| *n != 5000)));
        let names = |rows: &[Row]| -> HashSet<String> {
            parts("part", rows, None).writes.into_iter().map(|write| write.key.name).collect()
        };
        let (all, without) = (names(&all), names(&without));
        assert!((20..400).contains(&all.len()), "{}", all.len());
        assert!(all.difference(&without).count() <= 2, "{}", all.difference(&without).count());
    }

    #[test]
    fn every_row_is_in_the_part_that_its_key_leads_to() {
        let all = rows(0..3000);
        let cut = parts("part", &all, None);
        let root = Value::Object(Object::new().with("parts", cut.index));
        let named = index("part", &root).expect("an index");
        for (n, row) in all.iter().enumerate() {
            let at = place(&named, &row.record).expect("a part");
            let body = cut.writes.iter().find(|write| write.key.name == named[at].name).expect("its write");
            let mut read = Vec::new();
            read_part("part", &row.record.env, body.body.as_ref().expect("a body"), &mut read).expect("rows");
            assert!(read.contains(row), "{n}");
        }
        assert_eq!(place(&named, &rows(9000..9001)[0].record), None);
    }
}
