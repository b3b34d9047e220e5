//! The whole system at a moment: tags, points, restore, preview, git, pages.

use std::process::Command;

use serde_json::{Value, json};

use crate::world::{World, ran};

fn words<'a>(value: &'a Value, path: &str) -> Vec<&'a str> {
    value.as_array().expect("a list").iter().map(|row| row[path].as_str().unwrap_or_default()).collect()
}

#[test]
fn a_tag_and_back() {
    let world = World::new();
    assert_eq!(world.json("tags", 0, &["tags"]), json!([]));
    let tag = world.json("tag", 0, &["tag", "june", "-m", "good"]);
    assert_eq!((tag["records"].as_u64(), tag["unchanged"].as_bool()), (Some(2), Some(false)));
    assert_eq!(world.json("tag", 0, &["tag", "june"])["unchanged"], true);
    world.ok(&["set", "planner", "model=small", "--commit", "-m", "cheaper"]);
    world.ok(&["rm", "writer", "-m", "gone"]);
    assert_eq!(world.refused(2, &["tag", "june"]).0, "tag_exists");
    world.json("tag", 0, &["tag", "pair", "planner@2"]);
    assert_eq!(words(&world.json("tags", 0, &["tags"]), "name"), ["june", "pair"]);
    assert_eq!(world.json("show", 0, &["show", "planner", "tag:june"])["tags"], json!(["june"]));
    assert_eq!(world.json("log", 0, &["log", "--tag", "june"]).as_array().map(Vec::len), Some(2));

    let plan = world.json("restore_all", 0, &["restore", "--tag", "june", "--dry-run", "--without-secrets"]);
    assert_eq!(
        plan["summary"],
        json!({"changed": 1, "created": 1, "deleted": 0, "unchanged": 0, "left": 0, "failed": 0})
    );
    assert_eq!(world.live("planner")["model"], "small");
    let oid = plan["plan_oid"].as_str().expect("an address");
    let done = world.json("restore_all", 0, &["restore", "--tag", "june", "--plan", oid, "--without-secrets"]);
    assert_eq!(done["summary"]["restored"], 2);
    assert_eq!((&world.live("planner")["model"], &world.live("writer")["max_words"]), (&json!("large"), &json!(400)));
    assert_eq!(world.refused(2, &["restore", "--tag", "june", "--plan", &"0".repeat(64)]).0, "plan_moved");
    assert_eq!(world.refused(5, &["restore", "--tag", "july"]).0, "no_such");
    assert_eq!(world.refused(5, &["restore", "--resume"]).0, "no_such");
    world.json("tag", 0, &["tag", "june", "--delete"]);
    world.json("fsck", 0, &["fsck"]);
}

#[test]
fn drift_is_left_until_it_is_adopted() {
    let world = World::new();
    world.ok(&["tag", "june"]);
    world.ok(&["set", "writer", "max_words=1", "--commit", "-m", "short"]);
    world.sql("UPDATE agent_configs SET doc = json_set(doc, '$.model', 'huge') WHERE config_id = 'planner'");
    let report = world.json("restore_all", 2, &["restore", "--tag", "june"]);
    assert_eq!(report["failed"][0]["reason"]["code"], "dirty");
    assert_eq!((&world.live("planner")["model"], &world.live("writer")["max_words"]), (&json!("huge"), &json!(400)));
    let report = world.json("restore_all", 0, &["restore", "--tag", "june", "--adopt-drift"]);
    assert_eq!(report["summary"]["restored"], 1);
    assert_eq!(world.live("planner")["model"], "large");
    let people = world.run(&["restore", "--tag", "june"]);
    assert_eq!((people.code, people.out.as_str()), (0, "2 unchanged\n"));
}

#[test]
fn one_change_is_taken_back() {
    let world = World::new();
    world.ok(&["set", "planner", "model=small", "--commit", "-m", "cheaper"]);
    world.ok(&["set", "planner", "retries=9", "--commit", "-m", "more"]);
    world.json("change", 0, &["undo", "planner@2", "--dry-run"]);
    assert_eq!(world.json("change", 0, &["undo", "planner", "@2"])["meta"]["undone"]["seq"], 2);
    assert_eq!((&world.live("planner")["model"], &world.live("planner")["retries"]), (&json!("large"), &json!(9)));
    world.ok(&["set", "planner", "retries=10", "--commit", "-m", "more still"]);
    assert_eq!(world.refused(2, &["undo", "planner", "@3"]).0, "built_upon");
    let blame = world.json("blame", 0, &["blame", "planner"]);
    assert_eq!(words(&blame, "path"), ["api_key", "model", "retries", "tools"]);
    assert_eq!(blame[0]["value"], json!({"$secret": true}));
    assert_eq!((blame[1]["seq"].as_u64(), blame[2]["seq"].as_u64()), (Some(4), Some(5)));
    world.json("blame", 0, &["blame", "planner", "tools[0]"]);
    let points = world.json("points", 0, &["points", "planner"]);
    assert_eq!((points.as_array().map(Vec::len), &points[0]["axis"]), (Some(5), &json!("both")));
    world.json("points", 0, &["points", "--around", "2020-01-01", "--window", "2w"]);
    assert_eq!(world.refused(1, &["points", "--window", "soon"]).0, "usage");
    assert_eq!(world.refused(1, &["activate", "planner", "@1"]).0, "no_equality_rule");
}

#[test]
fn a_preview_is_written_elsewhere() {
    let config = "[[collection]]\nname = \"agents\"\ntable = \"agent_configs\"\nid_field = \"config_id\"\n[env.dev]\ndatabase = \"sqlite\"\nuri = \"app.db\"\n";
    let table = "CREATE TABLE agent_configs (config_id TEXT PRIMARY KEY, doc TEXT NOT NULL); INSERT INTO agent_configs VALUES ('planner', '{\"n\": 1}');";
    let world = World::with(Some(config), table);
    world.ok(&["init", "--env", "dev"]);
    world.ok(&["import", "--all", "--env", "dev"]);
    world.ok(&["tag", "june", "--env", "dev"]);
    world.ok(&["set", "planner", "n=2", "--commit", "-m", "two", "--env", "dev"]);
    let (code, _) = world.refused(1, &["restore", "--tag", "june", "--preview", "--env", "dev"]);
    assert_eq!(code, "unknown_env");
    assert!(world.run(&["restore", "--tag", "june", "--preview", "--env", "dev"]).err.contains("[env.preview]"));
    world.file(".cfg.toml", format!("{config}[env.preview]\ndatabase = \"sqlite\"\nuri = \"preview.db\"\n"));
    let preview = rusqlite::Connection::open(world.path().join("preview.db")).expect("a database");
    preview
        .execute_batch("CREATE TABLE agent_configs (config_id TEXT PRIMARY KEY, doc TEXT NOT NULL)")
        .expect("a table");
    assert_eq!(world.refused(6, &["restore", "--tag", "june", "--preview", "--env", "dev"]).0, "setup");
    world.ok(&["init", "--env", "preview"]);
    let report = world.json("restore_all", 0, &["restore", "--tag", "june", "--preview", "--env", "dev"]);
    assert_eq!(report["results"][0]["meta"]["restored_to"], json!({"tag": "june", "env": "dev"}));
    let there: String = preview.query_row("SELECT doc FROM agent_configs", [], |row| row.get(0)).expect("a row");
    assert_eq!(serde_json::from_str::<Value>(&there).expect("JSON"), json!({"n": 1}));
    assert_eq!(world.live("planner"), json!({"n": 2}), "the env itself is only read");
    assert_eq!(world.json("log", 0, &["log", "planner", "--env", "preview"])[0]["op"], "restore");
    let again = world.json("restore_all", 0, &["restore", "--tag", "june", "--preview", "--env", "dev"]);
    assert_eq!(again["summary"], json!({"restored": 0, "unchanged": 1, "left": 0, "failed": 0}));
}

fn git(world: &World, args: &[&str]) -> String {
    let mut command = Command::new("git");
    command.args(args).current_dir(world.path()).env("HOME", world.path());
    for (name, value) in [("GIT_AUTHOR_NAME", "Ada"), ("GIT_AUTHOR_EMAIL", "ada@example.com")] {
        command.env(name, value).env(name.replace("AUTHOR", "COMMITTER"), value);
    }
    let path = std::path::Path::new(env!("CARGO_BIN_EXE_cfg")).parent().expect("a folder");
    let paths = std::env::join_paths(
        [path.to_owned()].into_iter().chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
    );
    command.env("PATH", paths.expect("a path")).env("CFG_AUTHOR", "ada@example.com");
    let done = ran(&mut command);
    assert_eq!(done.code, 0, "git {args:?}: {}{}", done.out, done.err);
    done.out
}

#[test]
fn a_commit_of_code_names_what_it_ships() {
    let world = World::new();
    assert_eq!(world.refused(1, &["hooks", "install"]).0, "git");
    git(&world, &["init", "--quiet"]);
    world.json("hooks", 0, &["hooks", "install"]);
    assert_eq!(world.json("hooks", 0, &["hooks", "install"])["changed"], false);
    world.ok(&["set", "planner", "model=small", "--commit", "-m", "cheaper"]);
    world.file("code.py", "x = 1\n");
    git(&world, &["add", "code.py"]);
    git(
        &world,
        &[
            "commit",
            "--quiet",
            "-m",
            "use it\n\nCfg-Version: dev/agents:planner@2\nCfg-Version: other/agents:planner@1",
        ],
    );
    let sha = git(&world, &["rev-parse", "HEAD"]).trim().to_owned();
    let log = world.json("log", 0, &["log", "--git", &sha[..10]]);
    assert_eq!((log[0]["seq"].as_u64(), &log[0]["git_shas"]), (Some(2), &json!([sha])));
    assert_eq!(log.as_array().map(Vec::len), Some(1));
    let linked = world.json("hooks_run", 0, &["hooks", "run"]);
    assert_eq!((linked["linked"][0]["seq"].as_u64(), &linked["failed"]), (Some(2), &json!([])));
    git(&world, &["commit", "--quiet", "--allow-empty", "-m", "no\n\nCfg-Version: dev/agents:planner@99"]);
    assert_eq!(world.json("hooks_run", 0, &["hooks", "run"])["failed"][0]["reason"]["code"], "no_version");

    // The code that ran with it comes along, by a list of arguments.
    world.ok(&["tag", "shipped"]);
    world.ok(&["set", "planner", "model=huge", "--commit", "-m", "dear"]);
    assert_eq!(world.refused(1, &["restore", "--tag", "shipped", "--include-code"]).0, "usage");
    let config = std::fs::read_to_string(world.path().join(".cfg.toml")).expect("a configuration");
    world.file(".cfg.toml", format!("{config}deploy = [\"sh\", \"-c\", \"echo $0 > deployed\", \"{{git_sha}}\"]\n"));
    world.json("restore_all", 0, &["restore", "--tag", "shipped", "--include-code"]);
    assert_eq!(std::fs::read_to_string(world.path().join("deployed")).expect("deployed").trim(), sha);
    world.json("hooks", 0, &["hooks", "uninstall"]);
    assert!(!world.path().join(".git/hooks/post-commit").exists());
}

#[test]
fn backups_go_only_where_nobody_reads_them() {
    let config = "[[collection]]\nname = \"agents\"\ntable = \"agent_configs\"\nid_field = \"config_id\"\n[versioning]\nignore_patterns = [\"instructions_backup_*\"]\n[code_search]\nroots = [\"code\"]\n[env.dev]\ndatabase = \"sqlite\"\nuri = \"app.db\"\n";
    let table = "CREATE TABLE agent_configs (config_id TEXT PRIMARY KEY, doc TEXT NOT NULL); INSERT INTO agent_configs VALUES ('planner', '{\"n\": 1, \"instructions_backup_1\": \"old\"}');";
    let world = World::with(Some(config), table);
    world.ok(&["init"]);
    assert_eq!(world.refused(1, &["refs", "check"]).0, "file");
    std::fs::create_dir(world.path().join("code")).expect("a folder");
    world.file("code/loader.py", "old = doc['instructions_backup_1']\n");
    let found = world.json("refs", 0, &["refs", "check"]);
    assert_eq!(found["found"], json!([{"file": "code/loader.py", "line": 1, "field": "instructions_backup_1"}]));
    assert_eq!(world.refused(1, &["refs", "check", "*"]).0, "bad_glob");
    assert_eq!(world.refused(1, &["import", "--all", "--strip-backups"]).0, "still_read");
    world.file("code/loader.py", "x = 1\n");
    assert_eq!(world.json("report", 0, &["import", "--all", "--strip-backups"])["results"][0]["seq"], 1);
    assert_eq!(world.live("planner"), json!({"n": 1}));
    assert_eq!(world.json("show", 0, &["show", "planner@1"])["doc"]["instructions_backup_1"], "old");
    world.ok(&["status"]);
}

#[test]
fn pages_and_timelines() {
    let world = World::new();
    world.ok(&["tag", "june"]);
    world.ok(&["set", "planner", "model=<b>small</b>", "--commit", "-m", "cheaper & smaller"]);
    world.json("page", 0, &["log", "--html", "log.html"]);
    world.json("page", 0, &["diff", "planner", "@1", "@2", "--html", "diff.html"]);
    world.json("page", 0, &["diff", "--as-of", "2020-01-01", "--to", "=HEAD", "--html", "all.html"]);
    let page = |name: &str| std::fs::read_to_string(world.path().join(name)).expect("a page");
    assert!(page("log.html").contains("cheaper &amp; smaller") && page("log.html").contains("june"));
    assert!(page("diff.html").contains("&lt;b&gt;small") && !page("diff.html").contains("<b>small"));
    assert_eq!(world.refused(1, &["log", "--html", "no/such/folder/x.html"]).0, "file");
    let graph = world.ok(&["log", "--graph"]);
    assert!(graph.contains("└ planner@2") && graph.contains("[june]"), "{graph}");
}

#[test]
fn damage_is_repaired_where_nothing_has_to_be_made_up() {
    let world = World::new();
    world.sql(
        "DELETE FROM config_heads WHERE record_no = (SELECT record_no FROM cfg_records WHERE id_key = '\"planner\"')",
    );
    let report = world.json("fsck", 6, &["fsck"]);
    assert!(report["findings"].as_array().is_some_and(|f| f.iter().any(|f| f["repair"].is_string())));
    let report = world.json("fsck", 0, &["fsck", "--repair"]);
    assert!(report["findings"].as_array().is_some_and(|f| f.iter().all(|f| f["repaired"] == true)));
    world.json("fsck", 0, &["fsck"]);
    world.ok(&["set", "planner", "model=small", "--commit", "-m", "goes on"]);
    world.sql("UPDATE config_history SET message = 'forged' WHERE seq = 2");
    assert_eq!(world.json("fsck", 6, &["fsck", "--repair"])["findings"][0]["repaired"], false);
}
