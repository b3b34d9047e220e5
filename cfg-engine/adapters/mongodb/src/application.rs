//! The application's side: commands as an application sends them, around the tool. For demonstrations.

use bson::{Document, doc};
use cfg_engine::Value;
use cfg_engine::adapter::AdapterError;
use mongodb::{Client, Database};

use crate::connect;
use crate::errors::{Place, storage};
use crate::options::MongoOptions;
use crate::values;

/// A client that knows nothing of the tool.
pub struct MongoApplication {
    database: Database,
    place: Place,
}

impl MongoApplication {
    /// Connects to a database.
    ///
    /// # Errors
    ///
    /// [`AdapterError::Unreachable`] for a server that does not answer in time, or an unusable URI.
    pub async fn connect(uri: &str, db: &str) -> Result<Self, AdapterError> {
        let (client, place): (Client, Place) = connect::plain(&MongoOptions::new(uri, Vec::new())).await?;
        Ok(MongoApplication { database: client.database(db), place })
    }

    /// Runs a database command, given in Extended JSON, and returns the server's answer.
    ///
    /// # Errors
    ///
    /// Why the server refused it.
    pub async fn run(&self, command: &Value) -> Result<Value, AdapterError> {
        let command = command.as_object().ok_or_else(|| storage("a command that is no object"))?;
        let raw = values::write_object(command).map_err(|misfit| storage(misfit.what))?;
        let reply = self.database.run_raw_command(raw).await.map_err(|error| self.place.error(&error))?;
        if reply.contains_key("writeErrors") {
            return Err(storage("the server refused a write"));
        }
        answer(&reply)
    }

    /// Drops the database.
    ///
    /// # Errors
    ///
    /// Why the server refused it.
    pub async fn drop_database(&self) -> Result<(), AdapterError> {
        let drop = doc! { "dropDatabase": 1, "writeConcern": { "w": "majority" } };
        self.database.run_command(drop).await.map(|_| ()).map_err(|error| self.place.error(&error))
    }
}

fn answer(reply: &Document) -> Result<Value, AdapterError> {
    let unreadable = |_| storage("an answer that cannot be read");
    let raw = bson::raw::RawDocumentBuf::try_from(reply).map_err(unreadable)?;
    values::read_document(&raw).map_err(storage)
}
