//! The engine's own collections and their indexes.

use std::collections::BTreeSet;

use bson::{Bson, Document, doc};
use cfg_engine::adapter::AdapterError;
use futures_util::TryStreamExt;
use mongodb::error::Error;

use crate::errors::{code, setup};
use crate::store::{Store, durable, schema_id};

/// The version of the layout.
const VERSION: i64 = 1;

/// Somebody else made the collection meanwhile.
const NAMESPACE_EXISTS: i32 = 48;

/// Returns the name of an index on entries.
pub(crate) fn index_name(short: &str) -> String {
    format!("cfg_{short}")
}

/// The indexes on entries, beside that of their key, which is unique by record and seq.
fn indexes() -> Vec<Document> {
    let index = |short: &str, key: Document| doc! { "name": index_name(short), "key": key };
    let partial = |short: &str, key: Document, filter: Document| {
        doc! { "name": index_name(short), "key": key, "partialFilterExpression": filter }
    };
    vec![
        index("record", doc! { "_id.env": 1, "_id.collection": 1, "_id.id_key": 1, "valid_from": 1, "_id.seq": 1 }),
        index("valid_to", doc! { "_id.env": 1, "valid_to": 1, "valid_from": 1, "_id.collection": 1 }),
        index("valid_from", doc! { "_id.env": 1, "valid_from": 1, "valid_to": 1, "_id.collection": 1 }),
        index("superseded_at", doc! { "_id.env": 1, "superseded_at": 1, "recorded_at": 1, "_id.collection": 1 }),
        index(
            "recorded_at",
            doc! { "_id.env": 1, "recorded_at": -1, "_id.collection": 1, "_id.id_key": 1, "_id.seq": -1 },
        ),
        partial("estimated", doc! { "_id.env": 1, "valid_from": 1 }, doc! { "valid_from_estimated": true }),
        partial("git_shas", doc! { "_id.env": 1, "git_shas": 1 }, doc! { "git_shas": { "$exists": true } }),
    ]
}

/// One thing that is missing.
enum Piece {
    Collection(String),
    Indexes(Vec<Document>),
    Layout,
}

impl Piece {
    /// What would be typed into the server's shell.
    fn shown(&self, store: &Store) -> Vec<String> {
        let names = &store.names;
        match self {
            Piece::Collection(name) => vec![format!("db.createCollection({name:?})")],
            Piece::Indexes(indexes) => {
                let shell = |index: &Document| {
                    let mut options = index.clone();
                    let key = options.remove("key").unwrap_or(Bson::Null);
                    format!("db.getCollection({:?}).createIndex({key}, {options})", names.history)
                };
                indexes.iter().map(shell).collect()
            }
            Piece::Layout => {
                vec![format!(
                    "db.getCollection({:?}).insertOne({{ _id: {}, version: {VERSION} }})",
                    names.objects,
                    schema_id()
                )]
            }
        }
    }
}

/// Returns what is missing, in the shell's words.
pub(crate) async fn pending(store: &Store) -> Result<Vec<String>, AdapterError> {
    Ok(missing(store).await?.iter().flat_map(|piece| piece.shown(store)).collect())
}

/// Creates what is missing, and returns what was run.
pub(crate) async fn ensure(store: &Store) -> Result<Vec<String>, AdapterError> {
    let missing = missing(store).await?;
    let fail = |error: Error| store.place.error(&error);
    for piece in &missing {
        match piece {
            Piece::Collection(name) => match store.history.create_collection(name).await {
                Err(error) if code(&error) != Some(NAMESPACE_EXISTS) => return Err(fail(error)),
                _ => {}
            },
            Piece::Indexes(indexes) => {
                let command =
                    doc! { "createIndexes": &store.names.history, "indexes": indexes, "commitQuorum": "majority" };
                let plain = doc! { "createIndexes": &store.names.history, "indexes": indexes };
                let command = if store.transactional { command } else { plain };
                store.history.run_command(command).await.map_err(fail)?;
            }
            Piece::Layout => {
                let objects = store.history.collection::<Document>(&store.names.objects);
                let set = doc! { "$setOnInsert": { "version": VERSION } };
                let write = objects.update_one(doc! { "_id": schema_id() }, set).upsert(true);
                let write = if store.transactional { write.write_concern(durable()) } else { write };
                write.await.map_err(fail)?;
            }
        }
    }
    Ok(missing.iter().flat_map(|piece| piece.shown(store)).collect())
}

async fn missing(store: &Store) -> Result<Vec<Piece>, AdapterError> {
    let names = &store.names;
    let fail = |error: Error| store.place.error(&error);
    let there = store.history.list_collection_names().authorized_collections(true).await.map_err(fail)?;
    let there: BTreeSet<String> = there.into_iter().collect();
    let mut pieces = Vec::new();
    let mut wanted = vec![&names.history, &names.heads, &names.objects];
    if !store.transactional {
        wanted.push(&names.pending);
    }
    pieces.extend(wanted.into_iter().filter(|name| !there.contains(*name)).cloned().map(Piece::Collection));
    let known: BTreeSet<String> = if there.contains(&names.history) {
        let cursor = store.entries().list_indexes().await.map_err(fail)?;
        let indexes: Vec<_> = cursor.try_collect().await.map_err(fail)?;
        indexes.into_iter().filter_map(|index| index.options?.name).collect()
    } else {
        BTreeSet::new()
    };
    let indexes: Vec<Document> =
        indexes().into_iter().filter(|index| index.get_str("name").is_ok_and(|name| !known.contains(name))).collect();
    if !indexes.is_empty() {
        pieces.push(Piece::Indexes(indexes));
    }
    let layout = store.history.collection::<Document>(&names.objects).find_one(doc! { "_id": schema_id() }).await;
    match layout.map_err(fail)?.and_then(|layout| layout.get_i64("version").ok()) {
        None => pieces.push(Piece::Layout),
        Some(VERSION) => {}
        Some(newer) => {
            return Err(setup(
                format!("the history has layout {newer}, and this program knows {VERSION}"),
                "use the version of cfg-engine that wrote it, or a newer one",
            ));
        }
    }
    Ok(pieces)
}
