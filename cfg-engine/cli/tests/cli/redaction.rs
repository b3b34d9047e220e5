//! `redact` and `secrets scan`: the commands of docs/redaction.md on every store, and what people see.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;

use crate::operations::{blocks, shell};
use crate::world::{World, ran};

const SECRET: &str = "swordfish-and-chips";

/// Two versions; the secret is in an ignored field, and in a versioned one.
fn leak(world: &World) {
    let doc = format!(
        r#"{{"model": "large", "retries": 3, "debug": {{"password": "{SECRET}"}}, "smtp_password": "{SECRET}"}}"#
    );
    let file = world.file("planner.json", doc);
    let file = file.to_str().expect("a path");
    world.ok(&["commit", "planner", "--from", file, "--allow-secret", "-m", "first"]);
    world.ok(&["set", "planner", "retries:=4", "--commit", "--allow-secret", "-m", "more"]);
}

fn config(env: &str) -> String {
    format!(
        "[[collection]]\nname = \"agents\"\ntable = \"agent_configs\"\nid_field = \"config_id\"\n\
         [versioning]\nignore_fields = [\"debug\"]\n[env.dev]\n{env}\n[env.dev.rules]\nalert = [\"true\"]\n"
    )
}

/// The page as it stands, line by line.
fn walk_through(world: &World) {
    world.ok(&["init"]);
    leak(world);
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/redaction.md");
    let text = std::fs::read_to_string(page).expect("docs/redaction.md");
    let mut lines = 0;
    for line in blocks(&text).iter().flat_map(|block| block.lines()).filter(|line| line.starts_with("cfg ")) {
        // Whatever is logged, it is not the secret.
        let logged = if line.starts_with("cfg redact") { format!("CFG_LOG=trace {line}") } else { line.to_owned() };
        let done = shell(world, &logged);
        let expected = i32::from(line.contains("secrets scan"));
        assert_eq!(done.code, expected, "{line}\n{}{}", done.out, done.err);
        assert!(!done.out.contains(SECRET) || line.contains("show"), "{line}\n{}", done.out);
        assert!(!done.err.contains(SECRET), "{line}\n{}", done.err);
        lines += 1;
    }
    assert!(lines >= 7, "{lines} commands were found");
    let shown = world.json("show", 0, &["show", "planner", "@1"]);
    assert_eq!(shown["doc"]["debug"]["password"], "[REDACTED]");
    assert_eq!(shown["redacted"][0], "debug.password");
    // What is hashed stays until somebody approves.
    assert_eq!(shown["doc"]["smtp_password"], SECRET);
    let envelope = world.json("envelope", 4, &["redact", "planner", "smtp_password", "--rewrite-history", "-m", "why"]);
    assert_eq!(envelope["code"], "approval_required");
    assert_eq!(world.json("show", 0, &["show", "planner", "@1"])["doc"]["smtp_password"], SECRET);
}

#[test]
fn the_page_runs_on_sqlite() {
    let table = "CREATE TABLE agent_configs (config_id TEXT PRIMARY KEY, doc TEXT NOT NULL)";
    walk_through(&World::with(Some(&config("database = \"sqlite\"\nuri = \"app.db\"")), table));
}

fn server(variable: &str, script: &str) -> Option<String> {
    if let Ok(uri) = std::env::var(variable) {
        return Some(uri);
    }
    let skipped =
        format!("docs/redaction.md: SKIPPED LOUDLY, no server; type: eval \"$(tests/servers/{script} up)\"\n");
    std::io::stderr().write_all(skipped.as_bytes()).expect("standard error");
    assert!(std::env::var("CI").as_deref() != Ok("true"), "the page must run on {script} here");
    None
}

#[test]
fn the_page_runs_on_mongodb() {
    let Some(uri) = server("CFG_TEST_MONGODB_URI", "mongodb") else { return };
    let db =
        format!("cfg_page_{}_{}", std::process::id(), World::with(None, "").path().file_name().expect("a name").len());
    let env = format!("database = \"mongodb\"\nuri = \"{uri}\"\ndb = \"{db}\"");
    walk_through(&World::with(Some(&config(&env)), ""));
}

fn psql(uri: &str, sql: &str) {
    let versions = std::fs::read_dir("/usr/lib/postgresql").expect("the programs of the server");
    let programs = versions.filter_map(|version| Some(version.ok()?.path().join("bin/psql")));
    let program: PathBuf = programs.filter(|program| program.exists()).max().expect("psql");
    let done = ran(Command::new(program).args(["-q", "-v", "ON_ERROR_STOP=1", uri, "-c", sql]));
    assert_eq!(done.code, 0, "{}", done.err);
}

#[test]
fn the_page_runs_on_postgres() {
    let Some(uri) = server("CFG_TEST_POSTGRES_URI", "postgres") else { return };
    let name = format!("page_{}", std::process::id());
    psql(&uri, &format!("CREATE DATABASE {name}"));
    let own = format!("{}/{name}", uri.rsplit_once('/').expect("a database").0);
    psql(&own, "CREATE TABLE agent_configs (config_id text PRIMARY KEY, doc jsonb NOT NULL)");
    // The configuration takes no uri with a password in it.
    let world = World::with(Some(&config("database = \"postgres\"\nuri = \"env:PAGE_URI\"")), "");
    let world = world.with_variable("PAGE_URI", &own);
    walk_through(&world);
    psql(&uri, &format!("DROP DATABASE {name} WITH (FORCE)"));
}

#[test]
fn every_output_is_what_its_schema_says() {
    let table = "CREATE TABLE agent_configs (config_id TEXT PRIMARY KEY, doc TEXT NOT NULL)";
    let world = World::with(Some(&config("database = \"sqlite\"\nuri = \"app.db\"")), table);
    world.ok(&["init"]);
    leak(&world);
    let found = world.json("secrets_scan", 1, &["secrets", "scan"]);
    let places: Vec<&str> =
        found["findings"].as_array().expect("rows").iter().filter_map(|f| f["place"].as_str()).collect();
    assert_eq!(places, ["doc", "doc", "live", "live"], "{found:#}");
    world.json("secrets_scan", 1, &["secrets", "scan", "--history", "--collection", "agents"]);
    world.json("secrets_scan", 1, &["secrets", "scan", "--live"]);
    assert!(!found.to_string().contains(SECRET));
    let staged = ["set", "planner", "retries:=5", "--allow-secret"];
    world.ok(&staged);
    let dry = ["redact", "planner", "smtp_password", "debug", "-m", "a leak", "--dry-run"];
    let report = world.json("redact", 0, &dry);
    assert_eq!(
        (report["needs_rewrite_history"].as_bool(), report["needs_approval"].as_bool()),
        (Some(true), Some(true))
    );
    let kinds: Vec<&str> =
        report["places"].as_array().expect("rows").iter().filter_map(|p| p["kind"].as_str()).collect();
    assert_eq!(kinds, ["doc", "doc", "staged"], "{report:#}");
    let (code, _) = world.refused(1, &["redact", "planner", "smtp_password", "-m", "a leak"]);
    assert_eq!(code, "hashed");
    let asked = world.json("envelope", 4, &["redact", "planner", "smtp_password", "-m", "a leak", "--rewrite-history"]);
    assert_eq!(asked["code"], "approval_required");
    assert!(!asked.to_string().contains(SECRET), "{asked:#}");
    let (code, _) = world.refused(1, &["redact", "planner", "debug"]);
    assert_eq!(code, "message_required");
    let (code, _) = world.refused(5, &["redact", "planner", "debgu", "-m", "a leak"]);
    assert_eq!(code, "no_such");
    let (code, _) = world.refused(1, &["redact", "planner", "debug", "-m", "a leak", "--versions", "x"]);
    assert_eq!(code, "bad_versions");
    let (code, _) = world.refused(5, &["redact", "--resume"]);
    assert_eq!(code, "no_such");
    let report = world.json("redact", 0, &["redact", "planner@1", "debug", "-m", "a leak"]);
    assert_eq!(report["entries"][0]["meta"]["paths"][0], "debug");
    assert_eq!(report["places"].as_array().map(Vec::len), Some(2), "the version and what is staged: {report:#}");
    // What is staged cannot be committed as it is.
    let (code, _) = world.refused(1, &["commit", "planner", "-m", "staged", "--allow-secret"]);
    assert_eq!(code, "redacted");
    world.json("diff", 0, &["diff", "planner", "@1", "@2"]);
    world.json("log", 0, &["log", "planner", "--with-doc"]);
    world.json("blame", 0, &["blame", "planner"]);
    world.json("fsck", 0, &["fsck"]);
    let people = world.run(&["log", "planner"]);
    assert!(people.out.contains("redact"), "{}", people.out);
    let people = world.run(&["show", "planner@1"]);
    assert!(people.err.contains("redacted: debug"), "{}{}", people.out, people.err);
    let people = world.run(&["secrets", "scan"]);
    assert_eq!(people.code, 1);
    assert!(people.out.contains("@1-2") && people.out.contains("smtp_password"), "{}", people.out);
    assert!(people.err.contains("cfg redact planner "), "{}", people.err);
}
