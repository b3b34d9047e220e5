//! Beginning a project, and the demo.

use crate::world::{World, ran};

const TABLE: &str = "CREATE TABLE prompts (name TEXT PRIMARY KEY, body TEXT NOT NULL);
                     INSERT INTO prompts VALUES ('a', '{\"n\": 1}');";

#[test]
fn init_writes_a_file_that_works_at_once() {
    let world = World::with(None, TABLE);
    let flags = [
        "--database",
        "sqlite",
        "--path",
        "app.db",
        "--table",
        "prompts",
        "--id-field",
        "name",
        "--doc-column",
        "body",
    ];
    let dry = world.json("init", 0, &[&["init", "--dry-run"], &flags[..]].concat());
    assert!(dry["config_text"].as_str().is_some_and(|text| text.contains("table      = \"prompts\"")), "{dry}");
    assert!(!world.path().join(".cfg.toml").exists() && !world.path().join(".gitignore").exists());
    let made = world.json("init", 0, &[&["init"], &flags[..]].concat());
    assert_eq!((made["config_written"].as_bool(), made["registered"].as_bool()), (Some(true), Some(true)));
    assert_eq!(std::fs::read_to_string(world.path().join(".gitignore")).expect("a file"), ".cfg/\n");
    world.ok(&["import", "--all"]);
    world.ok(&["init"]);
    // From a folder below, and with the file named.
    std::fs::create_dir(world.path().join("deep")).expect("a folder");
    let below = ran(world.command(&["status"]).current_dir(world.path().join("deep")));
    assert_eq!(below.code, 0, "{}", below.err);
    let file = world.path().join(".cfg.toml").display().to_string();
    assert_eq!(ran(world.command(&["status", "--config-file", &file]).current_dir("/")).code, 0);
}

#[test]
fn init_without_words_writes_a_file_to_edit() {
    let world = World::with(None, TABLE);
    let out = world.ok(&["init"]);
    assert!(out.contains("wrote .cfg.toml") && out.contains("then run: cfg init"), "{out}");
    // The table it names is not there.
    assert_eq!(world.refused(6, &["init"]).0, "setup");
}

#[test]
fn init_prints_the_statements_and_runs_none() {
    let world = World::with(Some(&config("prompts", "name", "body")), TABLE);
    let ddl = world.ok(&["init", "--dry-run"]);
    assert!(ddl.contains("CREATE TABLE"), "{ddl}");
    assert_eq!(world.refused(6, &["import", "--all"]).0, "setup");
    world.sql(&ddl);
    world.ok(&["init"]);
    world.ok(&["import", "--all"]);
}

fn config(table: &str, id: &str, doc: &str) -> String {
    format!(
        "[[collection]]\nname = \"c\"\ntable = \"{table}\"\nid_field = \"{id}\"\ndoc_column = \"{doc}\"\n\
         [env.dev]\ndatabase = \"sqlite\"\nuri = \"app.db\"\n"
    )
}

#[test]
fn init_names_all_ambiguous_records() {
    let sql = "CREATE TABLE t (id TEXT, doc TEXT); INSERT INTO t VALUES ('a','{}'),('a','{}'),('b','{}'),('c','{}'),('c','{}');";
    let world = World::with(Some(&config("t", "id", "doc")), sql);
    let report = world.json("init", 6, &["init"]);
    let ids: Vec<&str> =
        report["ambiguous"].as_array().expect("rows").iter().filter_map(|r| r["config_id"].as_str()).collect();
    assert_eq!(ids, ["a", "c"]);
    let status = world.json("status", 6, &["status"]);
    assert_eq!(status[0]["state"], "ambiguous");
    // The others go on.
    let imported = world.json("report", 6, &["import", "--all"]);
    assert_eq!(
        (imported["results"].as_array().map(Vec::len), imported["failed"].as_array().map(Vec::len)),
        (Some(1), Some(2))
    );
}

#[test]
fn who_asks_is_found_without_a_database() {
    let world = World::with(Some(&config("t", "id", "doc").replace("app.db", "none.db")), "");
    let who = world.json("whoami", 0, &["whoami"]);
    assert_eq!(
        (who["author"]["id"].as_str(), who["author_source"].as_str()),
        (Some("ada@example.com"), Some("CFG_AUTHOR"))
    );
    assert_eq!(world.json("whoami", 0, &["whoami", "--author", "bob"])["author_source"], "--author");
    world.json("config", 0, &["config"]);
    assert_eq!(world.refused(3, &["status"]).0, "unreachable");
}

#[test]
fn the_demo_does_what_it_says() {
    let world = World::with(None, "");
    let out = world.ok(&["demo", "--keep", "kept"]);
    for line in
        ["$ cfg init", "Changed outside cfg:", "- model: \"large\"", "huge\n", "everything is as it was written"]
    {
        assert!(out.contains(line), "{line}\n{out}");
    }
    assert!(world.path().join("kept/.cfg.toml").is_file());
    assert_eq!(world.refused(1, &["demo", "--keep", "kept"]).0, "not_empty");
    let told = world.json("demo", 0, &["demo"]);
    assert!(told["dir"].is_null() && told["steps"].as_array().is_some_and(|steps| steps.len() > 10));
    assert_eq!(world.run(&["demo", "-q"]).out, "");
}

#[test]
fn an_init_that_fails_leaves_nothing_behind() {
    let world = World::with(None, "");
    let args = ["init", "--path", "app.db", "--table", "nowhere", "--id-field", "id"];
    let ran = world.run(&args);
    assert_ne!(ran.code, 0, "{}", ran.out);
    assert!(!world.path().join(".cfg.toml").exists() && !world.path().join(".gitignore").exists(), "{}", ran.err);
}

/// Runs the demo on a server, if there is one: it says what was typed into it, and not where it is.
fn the_demo_on(database: &str, variable: &str, typed: &str) {
    let Ok(uri) = std::env::var(variable) else {
        use std::io::Write as _;
        let skipped = format!("demo: SKIPPED LOUDLY, no server; type: eval \"$(tests/servers/{database} up)\"\n");
        std::io::stderr().write_all(skipped.as_bytes()).expect("standard error");
        assert!(std::env::var("CI").as_deref() != Ok("true"), "the demo must run on {database} here");
        return;
    };
    let world = World::with(None, "");
    let out = world.ok(&["demo", "--database", database, "--uri", &uri]);
    assert!(out.contains(typed), "{out}");
    assert!(out.contains("everything is as it was written"), "{out}");
    assert!(!out.contains(&uri), "the uri is shown nowhere");
    let told = world.json("demo", 0, &["demo", "--database", database, "--uri", &uri]);
    assert!(told["dir"].is_null() && told["steps"].as_array().is_some_and(|steps| steps.len() > 10));
}

#[test]
fn the_demo_does_what_it_says_on_mongodb() {
    the_demo_on("mongodb", "CFG_TEST_MONGODB_URI", "mongo> db.agent_configs.updateOne");
}

#[test]
fn the_demo_does_what_it_says_on_postgres() {
    the_demo_on("postgres", "CFG_TEST_POSTGRES_URI", "sql> UPDATE agent_configs SET doc = jsonb_set");
}
