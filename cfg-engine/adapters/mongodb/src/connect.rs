//! Opening: from two URIs to one client that reaches both databases, and what is known of them.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bson::{Document, doc};
use cfg_engine::Value;
use cfg_engine::adapter::{AdapterError, Caveat};
use cfg_engine::config::{CollectionConfig, IdType};
use cfg_engine::document::Extended;
use mongodb::Client;
use mongodb::event::EventHandler;
use mongodb::event::command::CommandEvent;
use mongodb::options::ClientOptions;

use crate::errors::{Place, setup};
use crate::options::{MongoOptions, Names};
use crate::others;
use crate::store::{Store, primary};
use crate::table::LiveTable;
use crate::values;

/// An opened store, and the configuration of its collections, completed.
pub(crate) struct Opened {
    pub(crate) store: Store,
    pub(crate) collections: Vec<CollectionConfig>,
    pub(crate) scope: Scope,
}

/// Opens a store.
pub(crate) async fn open(options: &MongoOptions, zero: Instant) -> Result<Opened, AdapterError> {
    let owner = others::fresh_name();
    let live = Server::connect(&options.uri, options, &owner).await?;
    let db = options.db.clone().or_else(|| live.named.clone()).ok_or_else(|| {
        setup("the uri names no database", "add db = \"…\" to the env, or the name to the uri: mongodb://host/name")
    })?;
    let elsewhere = match &options.history_uri {
        Some(uri) => Some(Server::connect(uri, options, &owner).await?),
        None => None,
    };
    let history_db = options.history_db.clone().or_else(|| elsewhere.as_ref()?.named.clone());
    let history_db = history_db.unwrap_or_else(|| db.clone());
    let mut place = live.place.clone();
    let mut scope = if live.has_transactions() { Scope::Atomic } else { Scope::NoTransactions };
    let mut history_client = live.client.clone();
    if let Some(other) = elsewhere.filter(|other| !live.is(other)) {
        scope = Scope::Split { live: live.place.0.clone(), history: other.place.0.clone() };
        place = Place(format!("{}, history at {}", live.place.0, other.place.0));
        history_client = other.client;
    }
    let transactional = matches!(scope, Scope::Atomic);
    let store = Store {
        live: live.client.database(&db),
        history: history_client.database(&history_db),
        client: live.client,
        names: Names::new(options),
        tables: options.collections.iter().map(|c| (c.name.clone(), Arc::new(LiveTable::new(c)))).collect(),
        place,
        owner,
        transactional,
        one_database: db == history_db && !matches!(scope, Scope::Split { .. }),
        bounds: Mutex::new(None),
        zero,
    };
    let mut collections = Vec::with_capacity(options.collections.len());
    for config in &options.collections {
        let table = store.table(&config.name)?;
        let mut config = table.config.clone();
        if config.id_type.is_none() {
            config.id_type = id_type(&store, table).await?;
        }
        collections.push(config);
    }
    Ok(Opened { store, collections, scope })
}

/// Connects as anybody would.
pub(crate) async fn plain(options: &MongoOptions) -> Result<(Client, Place), AdapterError> {
    let server = Server::connect(&options.uri, options, "demo").await?;
    Ok((server.client, server.place))
}

/// Whether one transaction can span live and history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Scope {
    Atomic,
    /// A standalone server.
    NoTransactions,
    /// Two deployments.
    Split {
        live: String,
        history: String,
    },
}

impl Scope {
    /// Returns why a batch is not one transaction.
    pub(crate) fn caveat(&self) -> Option<Caveat> {
        match self {
            Scope::Atomic => None,
            Scope::NoTransactions => Some(Caveat {
                problem: "the server is a standalone one, which has no transactions".to_owned(),
                remedy: "make it a replica set (start it with --replSet and run rs.initiate() once; one node is \
                         enough), or point the uri at one"
                    .to_owned(),
            }),
            Scope::Split { live, history } => Some(Caveat {
                problem: format!("live is in {live} and history in {history}, which no transaction can span"),
                remedy: "remove history_uri, so that history lies beside the live records".to_owned(),
            }),
        }
    }
}

/// A client and what its server said of itself.
struct Server {
    client: Client,
    place: Place,
    /// The database that the URI names.
    named: Option<String>,
    hello: Document,
}

impl Server {
    async fn connect(uri: &str, options: &MongoOptions, owner: &str) -> Result<Self, AdapterError> {
        let label = options.label.as_ref().map_or(String::new(), |env| format!(" (env {env})"));
        let unusable = |_| {
            setup(
                format!("the uri of the MongoDB server cannot be used{label}"),
                "write it as mongodb://host:27017/name?replicaSet=rs0, with %XX for odd characters in user and password",
            )
        };
        let mut parsed = ClientOptions::parse(uri).await.map_err(unusable)?;
        parsed.app_name = Some(owner.to_owned());
        parsed.server_selection_timeout = Some(options.timeout);
        parsed.connect_timeout = Some(parsed.connect_timeout.map_or(options.timeout, |own| own.min(options.timeout)));
        // How soon a new primary is noticed.
        parsed.heartbeat_freq.get_or_insert(Duration::from_secs(2));
        if let Some(told) = options.on_command.clone() {
            parsed.command_event_handler = Some(EventHandler::callback(move |event| {
                if let CommandEvent::Started(started) = event {
                    told(&started.command_name);
                }
            }));
        }
        let hosts: Vec<String> = parsed.hosts.iter().map(ToString::to_string).collect();
        let place = Place(format!("mongodb at {}{label}", hosts.join(", ")));
        let named = parsed.default_database.clone();
        let client = Client::with_options(parsed).map_err(unusable)?;
        let hello = client.database("admin").run_command(doc! { "hello": 1 }).selection_criteria(primary()).await;
        let hello = hello.map_err(|error| place.error(&error))?;
        Ok(Server { client, place, named, hello })
    }

    /// Whether this is a member of a replica set, or a router.
    fn has_transactions(&self) -> bool {
        self.hello.contains_key("setName") || self.is_router()
    }

    fn is_router(&self) -> bool {
        self.hello.get_str("msg").is_ok_and(|msg| msg == "isdbgrid")
    }

    /// Whether two connections end at one deployment. Both were answered by a primary, and a process has an
    /// id of its own: names of sets and hosts prove nothing.
    fn is(&self, other: &Server) -> bool {
        let process = |server: &Server| {
            let version = server.hello.get_document("topologyVersion").ok()?;
            version.get_object_id("processId").ok()
        };
        process(self).is_some() && process(self) == process(other)
    }
}

/// The type of a collection's ids, as far as a few documents tell: for addresses typed as a bare word.
async fn id_type(store: &Store, table: &LiveTable) -> Result<Option<IdType>, AdapterError> {
    let [field] = table.config.id_fields.as_slice() else { return Ok(None) };
    let live = store.live_collection(table);
    let find = live.find(Document::new()).projection(doc! { field: 1 }).limit(20);
    let mut cursor = find.await.map_err(|error| store.place.error(&error))?;
    let mut seen = None;
    while cursor.advance().await.map_err(|error| store.place.error(&error))? {
        let kind = match cursor.current().get(field).ok().flatten().map(values::read) {
            Some(Ok(Value::Number(_))) => IdType::Int,
            Some(Ok(Value::Extended(extended))) => match &*extended {
                Extended::ObjectId(_) => IdType::ObjectId,
                Extended::Binary { subtype: 4, .. } => IdType::Uuid,
                _ => return Ok(None),
            },
            _ => return Ok(None),
        };
        if *seen.get_or_insert(kind) != kind {
            return Ok(None);
        }
    }
    Ok(seen)
}
