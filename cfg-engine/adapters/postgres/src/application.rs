//! The application's side: statements as an application sends them, around the tool. For demonstrations.

use std::time::Duration;

use cfg_engine::adapter::AdapterError;
use tokio_postgres::Client;
use tokio_postgres::types::Type;

use crate::errors::{OrAdapterError, from_connect, from_postgres};
use crate::sql::quoted;
use crate::tls::target;

/// A client that knows nothing of the tool.
pub struct PostgresApplication {
    client: Client,
}

impl PostgresApplication {
    /// Connects to a database. Needs a tokio runtime.
    ///
    /// # Errors
    ///
    /// [`AdapterError::Setup`] for a URI that cannot be used, [`AdapterError::Unreachable`] for a server that does
    /// not answer in time.
    pub async fn connect(uri: &str) -> Result<Self, AdapterError> {
        let mut target = target(uri)?;
        if target.config.get_connect_timeout().is_none() {
            target.config.connect_timeout(Duration::from_secs(10));
        }
        let (client, connection) =
            target.config.connect(target.tls.clone()).await.map_err(|error| from_connect(&error, &target.place))?;
        tokio::spawn(async move {
            if connection.await.is_err() {
                tracing::debug!("the application's connection to PostgreSQL ended");
            }
        });
        Ok(PostgresApplication { client })
    }

    /// Makes a database of this name, and returns the URI by which it is reached.
    ///
    /// # Errors
    ///
    /// Why the server refused it.
    pub async fn create_database(&self, uri: &str, name: &str) -> Result<String, AdapterError> {
        self.run(&format!("CREATE DATABASE {}", quoted(name))).await?;
        // The last word about the database counts, in both forms of a URI.
        Ok(match (uri.contains("://"), uri.contains('?')) {
            (true, true) => format!("{uri}&dbname={name}"),
            (true, false) => format!("{uri}?dbname={name}"),
            (false, _) => format!("{uri} dbname={name}"),
        })
    }

    /// Drops a database, whoever is still connected to it.
    ///
    /// # Errors
    ///
    /// Why the server refused it.
    pub async fn drop_database(&self, name: &str) -> Result<(), AdapterError> {
        self.run(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", quoted(name))).await
    }

    /// Runs statements.
    ///
    /// # Errors
    ///
    /// Why the server refused them.
    pub async fn run(&self, sql: &str) -> Result<(), AdapterError> {
        self.client.batch_execute(sql).await.map_err(|error| from_postgres(&error))
    }

    /// Asks for one text.
    ///
    /// # Errors
    ///
    /// Why the server refused the question.
    pub async fn ask(&self, sql: &str, words: &[&str]) -> Result<Option<String>, AdapterError> {
        let words: Vec<(&(dyn tokio_postgres::types::ToSql + Sync), Type)> =
            words.iter().map(|word| (word as &(dyn tokio_postgres::types::ToSql + Sync), Type::TEXT)).collect();
        let rows = self.client.query_typed(sql, &words).await.sql()?;
        rows.first().map_or(Ok(None), |row| row.try_get(0).sql())
    }
}
