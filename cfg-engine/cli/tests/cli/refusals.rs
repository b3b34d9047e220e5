//! Bad input, bad files, bad databases: what is refused, with which exit code, and that nothing was written.

use crate::world::{World, ran};

#[test]
fn documents_that_cannot_be_stored() {
    let world = World::new();
    let deep = format!("{}1{}", "{\"a\":".repeat(101), "}".repeat(101));
    let huge = format!("{{\"model\": \"{}\"}}", "x".repeat(17 * 1024 * 1024));
    let cases: &[(&str, &str, i32)] = &[
        (r#"{"a": NaN}"#, "not_json", 1),
        (r#"{"a": Infinity}"#, "not_json", 1),
        (r#"{"a": -Infinity}"#, "not_json", 1),
        (r#"{"a": {"$numberDouble": "NaN"}}"#, "unhashable_document", 1),
        (r#"{"a": {"$numberDouble": "Infinity"}}"#, "unhashable_document", 1),
        (r#"{"a": {"$numberDouble": "-Infinity"}}"#, "unhashable_document", 1),
        (r#"{"a": 1, "a": 2}"#, "not_json", 1),
        ("{\"\u{e9}\": 1, \"e\u{301}\": 2}", "unhashable_document", 1),
        (r#"{"a": "\ud800"}"#, "not_json", 1),
        (r#"{"a": "\udc00x"}"#, "not_json", 1),
        (&deep, "not_json", 1),
        (&huge, "too_large", 1),
        ("[1, 2]", "not_an_object", 1),
        ("\"text\"", "not_an_object", 1),
        ("null", "not_an_object", 1),
        ("", "not_json", 1),
        (r#"{"config_id": "other", "model": "x"}"#, "other_id", 1),
        (r#"{"at": {"$date": "2020-01-01T00:00:00Z"}}"#, "unstorable", 1),
        (r#"{"at": {"$oid": "zz"}}"#, "not_json", 1),
    ];
    for (text, code, exit) in cases {
        let path = world.file("bad.json", text);
        let file = path.display().to_string();
        let shown = text.chars().take(60).collect::<String>();
        assert_eq!(world.refused(*exit, &["commit", "made", "--from", &file, "-m", "x"]).0, *code, "{shown}");
        assert_eq!(world.refused(*exit, &["apply-doc", "made", "--from", &file, "-m", "x"]).0, *code, "{shown}");
        assert_eq!(world.refused(*exit, &["edit", "made", "--from", &file]).0, *code, "{shown}");
    }
    world.file("bytes.json", b"{\"a\": \"\xff\"}");
    assert_eq!(world.refused(1, &["commit", "made", "--from", "bytes.json", "-m", "x"]).0, "file");
    assert_eq!(world.refused(1, &["commit", "made", "--from", "absent.json", "-m", "x"]).0, "file");
    assert_eq!(world.json("log", 0, &["log"]).as_array().map(Vec::len), Some(2));
    assert_eq!(world.refused(5, &["status", "made"]).0, "no_record");
}

#[test]
fn where_a_text_is_broken_is_said() {
    let world = World::new();
    world.file("bad.json", "{\n  \"model\": \"swordfish\",\n  \"n\": 01\n}\n");
    let (_, message) = world.refused(1, &["commit", "planner", "--from", "bad.json", "-m", "x"]);
    assert!(message.contains("bad.json") && message.contains("line 3, column 8"), "{message}");
}

#[test]
fn changes_that_are_not_whole() {
    let world = World::new();
    world.file("part.json", r#"{"model": "x"}"#);
    let commit = ["commit", "planner", "--from", "part.json", "-m", "x"];
    let envelope = world.json("envelope", 1, &commit);
    assert_eq!(envelope["code"], "missing_fields");
    assert_eq!(envelope["data"]["missing_fields"], serde_json::json!(["retries", "tools"]));
    assert_eq!(world.refused(1, &["edit", "planner", "--from", "part.json"]).0, "missing_fields");
    assert_eq!(world.live("planner")["retries"], 3);
    for message in ["", "  \n"] {
        assert_eq!(world.refused(1, &["set", "planner", "model=x", "--commit", "-m", message]).0, "message_required");
    }
    assert_eq!(world.refused(1, &["set", "planner", "updated_at=1", "--commit", "-m", "x"]).0, "only_ignored_fields");
    world.ok(&[&commit[..], &["--allow-removal"]].concat());
    assert!(world.live("planner").get("retries").is_none());
}

#[test]
fn secrets_are_found_before_they_are_stored() {
    let world = World::new();
    for args in [
        &["set", "planner", "smtp.password=swordfish", "--commit", "-m", "x"][..],
        &["set", "planner", "smtp.password=swordfish"],
        &["set", "planner", "model=x", "--commit", "-m", "uses sk-abcdefghijklmnopqrstuvwx"],
    ] {
        assert_eq!(world.refused(1, args).0, "secret_found", "{args:?}");
    }
    assert!(!world.path().join(".cfg/staged/dev").exists());
    let entry = world.json(
        "change",
        0,
        &["set", "planner", "smtp.password=swordfish", "--commit", "-m", "x", "--allow-secret"],
    );
    assert_eq!(entry["meta"]["allow_secret"], true);
}

#[test]
fn versions_that_are_not_there() {
    let world = World::new();
    for (args, exit, code) in [
        (&["show", "planner", "@9"][..], 5, "no_version"),
        (&["show", "planner", "#abcdef"], 5, "no_version"),
        (&["show", "planner", "@{2001-01-01}"], 5, "no_document"),
        (&["show", "planner", "tag:none"], 5, "no_such"),
        (&["show", "planner", "=staged"], 1, "nothing_staged"),
        (&["show", "planner", "seven"], 1, "bad_reference"),
        (&["show", "planner", "#abc"], 1, "bad_reference"),
        (&["show", "planner", "@{yesterday}"], 1, "bad_reference"),
        (&["show", "planner", "--field", "a["], 1, "usage"),
        (&["show", "planner", "--field", "nowhere"], 5, "no_such"),
        (&["log", "--as-of", "noon"], 1, "bad_time"),
        (&["log", "nobody"], 5, "no_record"),
        (&["log", "--collection", "none"], 5, "no_such"),
        (&["get", "planner@1"], 1, "bad_address"),
        (&["restore", "planner", "@9"], 5, "no_version"),
    ] {
        assert_eq!(world.refused(exit, args).0, code, "{args:?}");
    }
    let ahead = ["import", "writer", "--valid-from", "2999-01-01"];
    assert_eq!(world.json("envelope", 1, &ahead)["code"], "time_ahead");
}

#[test]
fn drift_is_not_overwritten() {
    let world = World::new();
    world.sql("UPDATE agent_configs SET doc = json_set(doc, '$.model', 'huge') WHERE config_id = 'planner'; DELETE FROM agent_configs WHERE config_id = 'writer'");
    for id in ["planner", "writer"] {
        let code = if id == "planner" { "dirty" } else { "missing" };
        assert_eq!(world.refused(2, &["set", id, "retries=1", "--commit", "-m", "x"]).0, code);
        assert_eq!(world.refused(2, &["set", id, "retries=1"]).0, code);
        assert_eq!(world.refused(2, &["restore", id, "@1"]).0, code);
        assert_eq!(world.refused(2, &["rm", id]).0, code);
        assert_eq!(world.refused(2, &["edit", id]).0, code);
    }
    assert_eq!(world.live("planner")["model"], "huge");
    let entry = world.json("change", 0, &["set", "planner", "retries=1", "--commit", "-m", "x", "--force"]);
    assert_eq!(entry["seq"], 3);
    world.ok(&["restore", "writer", "=HEAD", "-m", "back"]);
    assert_eq!(world.live("writer")["model"], "small");
}

const ACTIVE: &str = "[[collection]]\nname = \"rows\"\ntable = \"rows\"\nid_field = \"id\"\nshape = \"row\"\n\
                      live_when = { is_active = true }\n[env.dev]\ndatabase = \"sqlite\"\nuri = \"app.db\"\n";

#[test]
fn a_document_that_breaks_the_live_rule() {
    let sql = "CREATE TABLE rows (id TEXT, model TEXT, is_active BOOLEAN);
               INSERT INTO rows VALUES ('a', 'x', 1), ('b', 'old', 0);";
    let world = World::with(Some(ACTIVE), sql);
    world.ok(&["init"]);
    world.ok(&["import", "--all"]);
    assert_eq!(world.refused(1, &["set", "a", "is_active=false", "--commit", "-m", "x"]).0, "live_rule");
    assert_eq!(world.refused(1, &["set", "a", "is_active=false"]).0, "live_rule");
    world.file("b.json", r#"{"model": "new"}"#);
    assert_eq!(world.refused(1, &["commit", "b", "--from", "b.json", "-m", "x"]).0, "outside_live_rule");
}

#[test]
fn databases_that_are_not_as_they_should_be() {
    let world = World::new();
    let config = std::fs::read_to_string(world.path().join(".cfg.toml")).expect("the file");
    let with =
        |from: &str, to: &str| std::fs::write(world.path().join(".cfg.toml"), config.replace(from, to)).expect("write");

    with("app.db", "garbage.db");
    world.file("garbage.db", "this is no database, and it is long enough to be looked at ".repeat(50));
    assert_eq!(world.refused(3, &["status"]).0, "unreachable");
    with("app.db", "folder");
    std::fs::create_dir(world.path().join("folder")).expect("a folder");
    assert_eq!(world.refused(3, &["status"]).0, "unreachable");
    with("app.db", "torn.db");
    let mut torn = std::fs::read(world.path().join("app.db")).expect("the database");
    torn[4096..].fill(0x5a);
    world.file("torn.db", torn);
    world.refused(3, &["status"]);
    with("app.db", "absent.db");
    assert_eq!(world.refused(3, &["status"]).0, "unreachable");
    assert!(!world.path().join("absent.db").exists());
    with("\"agent_configs\"", "\"no_table\"");
    let (code, message) = world.refused(6, &["status"]);
    assert!(code == "setup" && message.contains("no_table"), "{code} {message}");
    with("\"config_id\"", "\"no_column\"");
    assert_eq!(world.refused(6, &["status"]).0, "setup");
    with("uri = \"app.db\"", "uri = \"env:NOT_SET_ANYWHERE\"");
    assert_eq!(world.refused(1, &["status"]).0, "variable_unset");
    with("uri = \"app.db\"", "uri = \"postgres://bob:hunter2@db/x\"");
    world.refused(6, &["status"]);
    with("id_field", "id_feild");
    let (code, message) = world.refused(6, &["status"]);
    assert!(code == "setup" && message.contains("id_feild") && message.contains("line 5"), "{code} {message}");
    with("[env.dev]", "[env.dev");
    assert_eq!(world.refused(6, &["config"]).0, "setup");
    with("[env.dev]", "[env.dev]\nneeds_approval = true");
    let set = ["set", "planner", "model=x", "--commit", "-m", "x"];
    assert_eq!(world.json("envelope", 4, &set)["code"], "approval_required");
    let asked = world.run(&set);
    assert!(asked.code == 4 && asked.out.contains("+ model: \"x\"") && asked.err.contains("cfg approve"), "{asked:?}");
    assert_eq!(world.live("planner")["model"], "large");
    // Staging is not writing.
    world.json("stage", 0, &["set", "planner", "model=x"]);
    let ambient = ran(world.command(&["status"]).env("CFG_ENV", "dev"));
    assert_eq!(ambient.code, 1, "{}", ambient.err);
    assert!(ambient.err.contains("--env dev"), "{}", ambient.err);
}

#[test]
fn no_project_and_no_env() {
    let world = World::with(None, "");
    assert_eq!(world.refused(1, &["status"]).0, "no_config_file");
    assert_eq!(world.refused(1, &["whoami"]).0, "no_config_file");
    let two = "[[collection]]\nname = \"c\"\nid_field = \"id\"\n[env.a]\ndatabase = \"memory\"\n\
               [env.b]\ndatabase = \"memory\"\n";
    world.file(".cfg.toml", two);
    assert_eq!(world.refused(1, &["status"]).0, "no_env_chosen");
    assert_eq!(world.refused(1, &["status", "--env", "c"]).0, "unknown_env");
    world.ok(&["config"]);
}

#[test]
fn bad_lines_of_a_history_are_all_named_and_nothing_is_loaded() {
    let world = World::new();
    world.file(
        "bad.jsonl",
        concat!(
            "{\"id\": \"planner\", \"time\": \"2023-06-01T00:00:00Z\", \"doc\": {\"model\": \"old\"}}\n",
            "{\"id\": \"planner\", \"time\": \"2023-06-02\", \"doc\": {}}\n",
            "\n",
            "{\"id\": \"planner\", \"time\": \"2023-06-03T00:00:00Z\", \"doc\": 3, \"password\": \"swordfish\"}\n",
            "swordfish\n",
            "{\"id\": 1.5, \"time\": \"2023-06-03T00:00:00Z\", \"doc\": null}\n",
        ),
    );
    let (code, message) = world.refused(1, &["import", "--history", "bad.jsonl"]);
    assert_eq!(code, "bad_history");
    for line in ["line 2", "line 4", "line 5", "line 6"] {
        assert!(message.contains(line), "{line}: {message}");
    }
    assert_eq!(world.json("log", 0, &["log", "planner"]).as_array().map(Vec::len), Some(1));
    assert_eq!(world.refused(1, &["import", "--history", "absent.jsonl"]).0, "unreadable_file");
}

#[test]
fn staging_never_leaves_its_folder() {
    let world = World::new();
    let outside = tempfile::tempdir().expect("a folder");
    world.sql("INSERT INTO agent_configs VALUES ('../../../up', '{\"n\": 1}')");
    world.json("stage", 0, &["set", "../../../up", "n=2"]);
    assert!(!world.path().join("up.json").exists());
    assert_eq!(std::fs::read_dir(world.path().join(".cfg/staged/dev")).expect("the folder").count(), 1);
    world.ok(&["edit", "--abort", "../../../up"]);
    std::fs::remove_dir_all(world.path().join(".cfg")).expect("remove");
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(outside.path(), world.path().join(".cfg")).expect("a link");
        assert_eq!(world.refused(1, &["set", "planner", "model=x"]).0, "staging_outside");
        assert_eq!(
            std::fs::read_dir(outside.path())
                .expect("the folder")
                .filter(|e| e.as_ref().is_ok_and(|e| e.path().is_file()))
                .count(),
            0
        );
    }
}

#[cfg(unix)]
#[test]
fn staged_files_are_their_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::new();
    world.ok(&["set", "planner", "model=x"]);
    let path = world.path().join(".cfg/staged/dev/agents=planner.json");
    assert_eq!(std::fs::metadata(&path).expect("the file").permissions().mode() & 0o777, 0o600);
    // A file that somebody damaged is named, and does not hide the rest.
    std::fs::write(&path, "{").expect("write");
    let status = world.run(&["status"]);
    assert!(status.code == 6 && status.out.contains("not a staged document"), "{} {}", status.code, status.out);
    assert!(status.out.contains("2 records"), "{}", status.out);
    assert_eq!(world.refused(1, &["commit", "planner", "-m", "x"]).0, "staging_broken");
}

#[test]
fn a_full_disk_is_not_success() {
    let world = World::new();
    if !std::path::Path::new("/dev/full").exists() {
        return;
    }
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
    let done = ran(world.command(&["log"]).stdout(full));
    assert_eq!(done.code, 1);
    assert!(done.err.contains("could not be written"), "{}", done.err);
}

#[test]
fn a_secret_in_an_array_is_hinted_as_a_pattern() {
    let ran = World::new().run(&["set", "planner", r#"tools:=[{"api_key": "swordfish99"}]"#, "--commit", "-m", "x"]);
    assert!(ran.code == 1 && ran.err.contains("add tools[].api_key to secret_fields"), "{}", ran.err);
}
