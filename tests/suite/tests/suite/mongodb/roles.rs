//! The roles of docs/operations.md, on a server that asks everybody who he is.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;

use bson::{Bson, Document, doc};
use cfg_engine::config::CollectionConfig;
use cfg_engine::engine::{Adopt, Moment, Project, RestoreAll, SetTag, Staged, TagTarget};
use cfg_engine::history::{CollectionName, IdKey, RecordKey, TagName};
use cfg_engine_mongodb::{MongoAdapter, MongoOptions};

use super::bed::set;
use super::own_servers::ReplicaSet;
use crate::stores::{because, settings};

const PAGE: &str = include_str!("../../../../../docs/operations.md");
const PASSWORD: &str = "correct-horse-battery";

/// The words of a list behind a name in the page's block of roles.
fn listed(role: &str, list: &str) -> Vec<String> {
    let block = PAGE.split("```js").nth(1).and_then(|rest| rest.split("```").next()).expect("a block of roles");
    let of_role = block.split(&format!("role: \"{role}\"")).nth(1).expect("the role");
    let of_role = of_role.split("db.createRole").next().unwrap_or_default();
    let inside = of_role.split(list).nth(1).and_then(|rest| rest.split(']').next()).expect("a list");
    inside.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

async fn project(uri: &str, user: &str) -> Project {
    let hosts = uri.strip_prefix("mongodb://").expect("a uri");
    let uri = format!("mongodb://{user}:{PASSWORD}@{hosts}&authSource=appdb");
    let mut config = CollectionConfig::new(CollectionName::new("agents").expect("a name"), "id");
    config.table = "agent_configs".to_owned();
    let options = MongoOptions { db: Some("appdb".to_owned()), ..MongoOptions::new(uri, vec![config]) };
    Project::new(Arc::new(MongoAdapter::open(options).await.expect("a database that opens")), settings())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_roles_of_operations_suffice_and_readers_do_not_write() {
    let Some(mongod) = ReplicaSet::program("roles") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let key = folder.path().join("key");
    let mut file = std::fs::OpenOptions::new();
    let mut file = file.write(true).create_new(true).mode(0o400).open(&key).expect("a key file");
    file.write_all(b"c2hhcmVkIGJ5IHRoZSBtZW1iZXJz").expect("a key");
    let server = ReplicaSet::start(&mongod, 1, &["--auth", "--keyFile", key.to_str().expect("a path")]).await;

    // The first user may be made by whoever sits beside the server.
    let admin = server.direct(0).await.database("admin");
    let root = doc! { "createUser": "root", "pwd": PASSWORD, "roles": ["root"] };
    admin.run_command(root).await.expect("the first user");
    let uri = server.uri();
    let owner = uri.replace("mongodb://", &format!("mongodb://root:{PASSWORD}@")) + "&authSource=admin";
    let owner = super::harness::client(&owner).await.database("appdb");
    let live = owner.collection::<Document>("agent_configs");
    for n in 0..3 {
        live.insert_one(doc! { "id": format!("a{n}"), "n": 0_i32 }).await.expect("a record");
    }
    let collections = listed("cfgService", "privileges:\n  [");
    let privileges: Vec<Bson> = (collections.iter())
        .map(|collection| {
            let resource = doc! { "db": "appdb", "collection": collection };
            doc! { "resource": resource, "actions": listed("cfgService", "actions: [") }.into()
        })
        .collect();
    assert_eq!(privileges.len(), 4, "{collections:?}");
    let service = doc! { "createRole": "cfgService", "roles": [], "privileges": privileges };
    owner.run_command(service).await.expect("the role of the service");
    let all = doc! { "resource": { "db": "appdb", "collection": "" }, "actions": listed("cfgReader", "actions: [") };
    let reader = doc! { "createRole": "cfgReader", "roles": [], "privileges": [all] };
    owner.run_command(reader).await.expect("the role of those who read");
    for (user, role) in [("service", "cfgService"), ("reader", "cfgReader"), ("owner", "dbOwner")] {
        let user = doc! { "createUser": user, "pwd": PASSWORD, "roles": [role] };
        owner.run_command(user).await.expect("a user");
    }

    project(&uri, "owner").await.init(false).await.expect("the owner makes the collections");
    let record = RecordKey {
        env: settings().env,
        collection: CollectionName::new("agents").expect("a name"),
        id: IdKey::from_value(&"a0".into()).expect("an id"),
    };
    let service = project(&uri, "service").await;
    service.init(false).await.expect("there is nothing left to make");
    service.import(&Default::default(), &because("baseline"), None).await.expect("an import");
    set(&service, &record, &["n:=1"]).await.expect("a commit");
    let name = TagName::new("june").expect("a name");
    let tag = SetTag { name: name.clone(), target: TagTarget::System { collection: None, as_of: None }, force: false };
    service.set_tag(&tag, &because("tag")).await.expect("a tag");
    set(&service, &record, &["n:=2"]).await.expect("a commit");
    live.update_one(doc! { "id": "a1" }, doc! { "$set": { "n": 7_i32 } }).await.expect("a raw write");
    service.adopt(&Adopt::All, &because("adopt"), None).await.expect("an adoption");
    service.restore_all(&RestoreAll::new(Moment::Tag(name)), &because("back"), None).await.expect("a restore");
    assert_eq!(service.fsck(None).await.expect("a look").findings, []);

    let reader = project(&uri, "reader").await;
    assert_eq!(reader.status(None, false, &Staged::new(), None).await.expect("a status").rows.len(), 3);
    assert_eq!(reader.fsck(None).await.expect("a look").findings, []);
    let refused = set(&reader, &record, &["n:=3"]).await.expect_err("who reads does not write");
    let said = refused.to_string();
    assert!(!said.contains(PASSWORD) && !said.contains("reader:"), "{said}");
    let there = live.find_one(doc! { "id": "a0" }).await.expect("a read").expect("a record");
    assert_eq!(there.get_i32("n").expect("a number"), 1);
}
