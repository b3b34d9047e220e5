//! What is worth saying about a collection of live documents, and is no error.

use bson::{Document, doc};
use cfg_engine::adapter::AdapterError;
use futures_util::TryStreamExt;

use crate::store::Store;
use crate::table::LiveTable;

/// Returns advice on one collection.
pub(crate) async fn of(store: &Store, table: &LiveTable) -> Result<Vec<String>, AdapterError> {
    let fail = |error: mongodb::error::Error| store.place.error(&error);
    let name = &table.config.table;
    // What this user may see: a role for single collections need not list the others.
    let names = store.live.list_collection_names().filter(doc! { "name": name }).authorized_collections(true);
    if names.await.map_err(fail)?.is_empty() {
        return Ok(vec![format!(
            "the database {} has no collection {name} yet; the first document makes it",
            store.live.name()
        )]);
    }
    let indexes = store.live.collection::<Document>(name).list_indexes().await.map_err(fail)?;
    let indexes: Vec<mongodb::IndexModel> = indexes.try_collect().await.map_err(fail)?;
    let fields = &table.config.id_fields;
    let leads = |index: &mongodb::IndexModel| {
        let partial = index.options.as_ref().is_some_and(|options| options.partial_filter_expression.is_some());
        let led: Vec<&String> = index.keys.keys().take(fields.len()).collect();
        !partial && fields.iter().all(|field| led.contains(&field))
    };
    let mut advice = Vec::new();
    if !indexes.iter().any(leads) {
        let keys: Vec<String> = fields.iter().map(|field| format!("{field:?}: 1")).collect();
        advice.push(format!(
            "no index of {name} begins with the id, so every commit reads the whole collection; run: \
             db.getCollection({name:?}).createIndex({{ {} }})",
            keys.join(", ")
        ));
    }
    Ok(advice)
}
