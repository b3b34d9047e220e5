//! Which other programs of ours still run, and what those that do not have left behind.
//!
//! Every opened store has a name of its own, which each of its connections tells the server. A client that
//! was killed has no connections any more, but its transaction stays open until the server's own limit
//! (`transactionLifetimeLimitSeconds`, 60 s by default), and so does every write of the application that
//! waits for it.

use std::collections::BTreeSet;
use std::time::Duration;

use bson::{Bson, Document, doc};
use futures_util::TryStreamExt;
use mongodb::Client;
use mongodb::error::Error;

use crate::store::primary;

/// The name that all of them begin with.
const APP_NAME: &str = "cfg-engine";

/// Makes the name of a store that is being opened.
pub(crate) fn fresh_name() -> String {
    format!("{APP_NAME}/{}", bson::oid::ObjectId::new().to_hex())
}

/// What the server knows of the programs of this user.
pub(crate) struct Others {
    /// The names of those that have connections.
    connected: BTreeSet<String>,
    /// Open transactions that no operation runs in: the program's name, and the session.
    idle: Vec<(String, Bson)>,
    /// The programs that have a transaction open.
    open: BTreeSet<String>,
}

/// Ends what programs that are gone have left open.
///
/// A program that was killed a moment ago may still look connected, and its last command may still run. So
/// where another program has a transaction open this looks again, a little later: once before it returns, and a
/// few times behind whatever comes next.
pub(crate) async fn clear_up(client: &Client, own: &str) -> Result<(), Error> {
    const PAUSES: [u64; 6] = [50, 100, 200, 300, 400, 500];
    if !look(client, own).await? {
        return Ok(());
    }
    tokio::time::sleep(Duration::from_millis(20)).await;
    if !look(client, own).await? {
        return Ok(());
    }
    let (client, own) = (client.clone(), own.to_owned());
    tokio::spawn(async move {
        for pause in PAUSES {
            tokio::time::sleep(Duration::from_millis(pause)).await;
            match look(&client, &own).await {
                Ok(true) => {}
                Ok(false) | Err(_) => break,
            }
        }
    });
    Ok(())
}

/// Ends orphans, and says whether another program has a transaction open.
async fn look(client: &Client, own: &str) -> Result<bool, Error> {
    let others = Others::ask(client).await?;
    others.end_orphans(client).await?;
    Ok(others.others_work(own))
}

impl Others {
    /// Asks the server. Everybody may ask this about himself.
    pub(crate) async fn ask(client: &Client) -> Result<Others, Error> {
        let all = doc! { "$currentOp": { "allUsers": false, "idleConnections": true, "idleSessions": true } };
        let ours = doc! { "$match": { "appName": { "$regex": format!("^{APP_NAME}/") } } };
        let fields = doc! { "$project": { "appName": 1, "type": 1, "lsid": 1, "transaction.timeOpenMicros": 1 } };
        let admin = client.database("admin");
        let rows = admin.aggregate([all, ours, fields]).selection_criteria(primary()).await?;
        let rows: Vec<Document> = rows.try_collect().await?;
        let mut others = Others { connected: BTreeSet::new(), idle: Vec::new(), open: BTreeSet::new() };
        for row in rows {
            let Ok(name) = row.get_str("appName") else { continue };
            if row.contains_key("transaction") {
                others.open.insert(name.to_owned());
            }
            if row.get_str("type").is_ok_and(|kind| kind == "idleSession") {
                let session = row.get_document("lsid").ok().and_then(|lsid| lsid.get("id")).cloned();
                if let Some(session) = session.filter(|_| row.contains_key("transaction")) {
                    others.idle.push((name.to_owned(), session));
                }
            } else {
                others.connected.insert(name.to_owned());
            }
        }
        Ok(others)
    }

    /// Whether a program still runs, as far as the server can see.
    pub(crate) fn runs(&self, name: &str) -> bool {
        self.connected.contains(name)
    }

    /// Whether another program than this one has a transaction open, as far as it can be seen.
    pub(crate) fn others_work(&self, own: &str) -> bool {
        self.open.iter().any(|name| name != own)
    }

    /// Ends the transactions of programs that are gone; returns how many.
    pub(crate) async fn end_orphans(&self, client: &Client) -> Result<usize, Error> {
        let gone = self.idle.iter().filter(|(name, _)| !self.runs(name));
        let sessions: Vec<Document> = gone.map(|(_, id)| doc! { "id": id.clone() }).collect();
        if sessions.is_empty() {
            return Ok(0);
        }
        let count = sessions.len();
        client.database("admin").run_command(doc! { "killSessions": sessions }).selection_criteria(primary()).await?;
        tracing::info!(count, "ended transactions that killed programs had left open");
        Ok(count)
    }
}
