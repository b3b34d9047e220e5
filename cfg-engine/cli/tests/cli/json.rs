//! `--json`: one document on standard output, whatever the exit code, in the shape of its schema.

use serde_json::json;

use crate::world::World;

#[test]
fn every_verb_prints_what_its_schema_says() {
    let world = World::fresh();
    assert_eq!(world.json("status", 0, &["status"])[0]["state"], "untracked");
    world.json("change", 0, &["import", "writer", "-m", "one"]);
    let report = world.json("report", 0, &["import", "--all"]);
    assert_eq!(report["results"].as_array().map(Vec::len), Some(1));
    assert_eq!(world.json("change", 0, &["import", "writer"])["unchanged"], true);

    let got = world.json("get", 0, &["get", "planner"]);
    assert_eq!(got["doc"]["api_key"], json!({"$secret": true}));
    world.json("get", 5, &["get", "planner", "nobody"]);
    world.json("change", 0, &["set", "planner", "model=small", "--commit", "-m", "two", "--dry-run"]);
    let staged = world.json("stage", 0, &["set", "planner", "model=small"]);
    assert_eq!((staged["staged"].as_bool(), staged["changes"][0]["after"].as_str()), (Some(true), Some("small")));
    world.json("status", 0, &["status", "--all"]);
    world.json("show", 0, &["show", "planner", "=staged"]);
    let diff = world.json("diff", 0, &["diff", "planner", "=live", "=staged"]);
    assert_eq!(diff["changes"][0]["op"], "replace");
    let entry = world.json("change", 0, &["commit", "planner", "-m", "two"]);
    assert_eq!((entry["seq"].as_u64(), entry["replaced"]["seq"].as_u64()), (Some(2), Some(1)));
    world.ok(&["set", "planner", "retries=4"]);
    world.json("report", 0, &["commit", "--all", "-m", "three"]);
    world.json("report", 0, &["commit", "--all", "-m", "nothing staged"]);
    world.json("edit_abort", 0, &["edit", "--abort", "planner"]);

    world.sql("UPDATE agent_configs SET doc = json_set(doc, '$.model', 'huge')");
    let status = world.json("status", 2, &["status"]);
    assert_eq!(status[0]["reason"]["code"], "dirty");
    assert_eq!(world.json("diff", 0, &["diff"]).as_array().map(Vec::len), Some(2));
    world.json("change", 0, &["adopt", "planner", "--dry-run"]);
    world.json("report", 0, &["adopt", "--all", "-m", "kept"]);
    world.json("change", 0, &["restore", "planner", "@1", "-m", "back"]);
    world.json("change", 0, &["rm", "writer", "-m", "gone"]);
    assert_eq!(world.json("status", 0, &["status", "--all"])[1]["state"], "removed");

    world.json("log", 0, &["log"]);
    world.json("log", 0, &["log", "planner", "--with-doc", "-n", "2"]);
    assert_eq!(world.json("log", 0, &["log", "--as-of", "2020-01-01"])[0]["estimated_before_import"], true);
    world.json("log", 0, &["log", "--as-of-recorded", "2020-01-01"]);
    world.json("show", 0, &["show", "writer@3"]);
    world.json("show", 0, &["show", "planner", "=live"]);
    world.json("diff", 0, &["diff", "--as-of", "2020-01-01", "--to", "=HEAD"]);
    world.json("export", 0, &["export", "out"]);
    world.json("fsck", 0, &["fsck"]);
    world.json("whoami", 0, &["whoami"]);
    world.json("config", 0, &["config"]);
    world.json("version", 0, &["version"]);
    world.json("completions", 0, &["completions", "bash"]);
    world.json("man", 0, &["man"]);
    world.json("man", 0, &["man", "pages"]);
    world.json("init", 0, &["init", "--dry-run"]);
    world.json("init", 0, &["init"]);
}

#[test]
fn usage_errors_are_envelopes_and_exit_with_1() {
    let world = World::new();
    for (args, hint) in [
        (&["comit"][..], "did you mean: commit"),
        (&["status", "--jsn"], "did you mean: --json"),
        (&["log", "--color", "blue"], "auto, always, never"),
        (&["adopt"], "usage: cfg adopt"),
        (&["restore", "planner"], "cfg restore planner @1"),
        (&["show", "planner@1", "@2"], "cfg diff"),
        (&["commit", "-m", "x"], "--all"),
        (&["set", "planner", "api_key=swordfish", "model"], "cfg set --help"),
        (&["set", "planner", "--secret", "api_key=swordfish"], "api_key=env:"),
        (&["init", "--table", "x"], "cfg config"),
    ] {
        let envelope = world.json("envelope", 1, args);
        let shown = envelope["hint"].as_str().unwrap_or_default();
        assert!(shown.contains(hint), "{args:?}: {envelope}");
        world.refused(1, args);
    }
    assert_eq!(world.json("envelope", 1, &[])["message"], "no verb is given");
    assert_eq!(world.run(&[]).code, 1);
    assert_eq!(world.run(&["--help"]).code, 0);
    assert_eq!(world.run(&["commit", "--help"]).code, 0);
    assert_eq!(world.run(&["--version"]).code, 0);
}

#[test]
fn numbers_and_types_pass_through_exactly() {
    let world = World::fresh();
    world.sql(r#"INSERT INTO agent_configs VALUES ('exact', '{"a": 1.50, "b": 12345678901234567890123, "c": {"$date": "no"}}')"#);
    let ran = world.run(&["get", "exact", "--json"]);
    assert!(ran.out.contains(r#""b":12345678901234567890123"#), "{}", ran.out);
    // What looks like a wrapper and is none comes as a literal, and goes back as it was.
    assert!(ran.out.contains(r#"{"$literal":{"$date":"no"}}"#), "{}", ran.out);
    let committed = world.pipe(&["commit", "exact", "--from", "-", "-m", "same", "--json"], &ran.out);
    assert_eq!(committed.code, 0, "{}", committed.out);
    assert_eq!(world.live("exact")["c"], json!({"$date": "no"}));
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let world = World::new();
    for _ in 0..3 {
        let mut command = world.command(&["log", "--json"]);
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        let mut child = command.spawn().expect("the program");
        drop(child.stdout.take());
        let done = child.wait_with_output().expect("the program");
        assert_eq!((done.status.code(), String::from_utf8_lossy(&done.stderr).as_ref()), (Some(0), ""));
    }
}
