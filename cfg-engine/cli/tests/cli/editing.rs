//! Staging, editors, patches, secrets.

use serde_json::json;

use crate::world::{World, ran};

/// Runs `edit` with a shell command as the editor; `$1` is the file.
fn edit(world: &World, script: &str, args: &[&str]) -> crate::world::Ran {
    let script = world.file("editor.sh", format!("#!/bin/sh\n{script}\n"));
    let words = [&["edit"], args].concat();
    let mut command = world.command(&words);
    ran(command.env("EDITOR", format!("sh {}", script.display())))
}

#[test]
fn an_editor_stages_and_a_commit_clears() {
    let world = World::new();
    let edited = edit(&world, "sed -i 's/\"large\"/\"small\"/' \"$1\"", &["planner"]);
    assert_eq!(edited.code, 0, "{}", edited.err);
    assert!(edited.out.contains("+ model: \"small\""), "{}", edited.out);
    assert_eq!(world.live("planner")["model"], "large");
    assert_eq!(world.json("status", 0, &["status", "planner"])[0]["state"], "staged");
    // A second edit goes on from what is staged.
    let edited = edit(&world, "sed -i 's/\"retries\": 3/\"retries\": 5/' \"$1\"", &["planner"]);
    assert_eq!(edited.code, 0, "{}", edited.err);
    // A commit that fails leaves it staged.
    assert_eq!(world.refused(1, &["commit", "planner"]).0, "message_required");
    world.ok(&["commit", "planner", "-m", "edited"]);
    let live = world.live("planner");
    assert_eq!((&live["model"], &live["retries"], &live["api_key"]), (&json!("small"), &json!(5), &json!("hunter2")));
    assert_eq!(world.refused(1, &["commit", "planner", "-m", "again"]).0, "nothing_staged");
}

#[test]
fn a_text_that_does_not_change_stages_nothing() {
    let world = World::new();
    let edited = edit(&world, "true", &["planner"]);
    assert_eq!((edited.code, edited.out.as_str()), (0, ""), "{}", edited.err);
    // Another layout of the same document is no change either.
    let edited = edit(&world, "sed -i 's/  */ /g' \"$1\"", &["planner"]);
    assert_eq!(edited.code, 0, "{}", edited.err);
    assert_eq!(world.json("status", 0, &["status", "planner"])[0]["staged"], false);
}

#[test]
fn broken_text_is_kept_and_named() {
    let world = World::new();
    let edited = edit(&world, "echo '{\"model\": }' > \"$1\"", &["planner"]);
    assert_eq!(edited.code, 1);
    assert!(edited.err.contains("line 1, column 11"), "{}", edited.err);
    let kept = edited.err.split("cfg edit planner --from ").nth(1).expect("a path").trim();
    assert_eq!(std::fs::read_to_string(kept).expect("the text"), "{\"model\": }\n");
    std::fs::remove_file(kept).expect("remove");
    let failed = edit(&world, "exit 3", &["planner"]);
    assert!(failed.code == 1 && failed.err.contains("hint: set VISUAL"), "{}", failed.err);
}

#[test]
fn a_document_from_another_record_is_refused() {
    let world = World::new();
    world.ok(&["get", "writer"]);
    let text = world.ok(&["get", "writer"]);
    world.file("writer.json", text);
    assert_eq!(world.refused(1, &["edit", "planner", "--from", "writer.json"]).0, "other_base");
    assert_eq!(world.refused(1, &["commit", "planner", "--from", "writer.json", "-m", "x"]).0, "other_base");
}

#[test]
fn a_stale_file_is_a_conflict_and_not_a_revert() {
    let world = World::new();
    let text = world.ok(&["get", "planner"]);
    world.file("mine.json", text.replace("\"retries\": 3", "\"retries\": 9"));
    world.ok(&["set", "planner", "model=small", "--commit", "-m", "a colleague"]);
    assert_eq!(world.refused(2, &["commit", "planner", "--from", "mine.json", "-m", "late"]).0, "stale_base");
    assert_eq!(world.refused(2, &["edit", "planner", "--from", "mine.json"]).0, "stale_base");
    assert_eq!(world.live("planner")["model"], "small");
    // Saying the base by hand is the same check.
    world.file("whole.json", r#"{"model": "x", "retries": 3, "tools": [], "api_key": {"$secret": true}}"#);
    let args = ["commit", "planner", "--from", "whole.json", "-m", "x", "--base"];
    assert_eq!(world.refused(2, &[&args[..], &["@1"]].concat()).0, "stale_base");
    world.ok(&[&args[..], &["@2"]].concat());
}

#[test]
fn set_knows_its_operators() {
    let world = World::new();
    let commit = ["--commit", "-m", "why"];
    let set = |words: &[&str]| world.ok(&[&["set", "planner"], words, &commit].concat());
    set(&["model", "small"]);
    set(&["retries=7", "tools+=calendar", "note:={\"a\":[1]}", "limits.ram=-2"]);
    set(&["tools-=search"]);
    assert_eq!(
        world.live("planner"),
        json!({"model": "small", "retries": 7, "tools": ["calendar"], "api_key": "hunter2", "note": {"a": [1]}, "limits": {"ram": -2}})
    );
    set(&["retries", "note", "--delete"]);
    set(&["tools-=@0"]);
    set(&["temperature", "-0.5"]);
    let live = world.live("planner");
    assert!(live.get("retries").is_none() && live.get("note").is_none(), "{live}");
    assert_eq!((&live["tools"], &live["temperature"]), (&json!([]), &json!(-0.5)));
    assert_eq!(world.refused(5, &["set", "nobody", "a", "1"]).0, "no_record");
    assert_eq!(world.refused(5, &["set", "nobody", "a", "1", "--commit", "-m", "x"]).0, "no_record");
    assert_eq!(world.refused(1, &["set", "planner", "tools-=nowhere"]).0, "bad_assignment");
}

#[test]
fn a_secret_is_rotated_from_a_variable_and_never_shown() {
    let world = World::new();
    let args = ["set", "planner", "--secret", "api_key=env:NEW_KEY", "--commit", "-m", "rotated", "--json"];
    let rotated = ran(world.command(&args).env("NEW_KEY", "swordfish"));
    assert_eq!(rotated.code, 0, "{}", rotated.out);
    assert!(!rotated.out.contains("swordfish") && rotated.out.contains("secrets_written"), "{}", rotated.out);
    assert_eq!(world.live("planner")["api_key"], "swordfish");
    assert_eq!(world.refused(1, &args[..7]).0, "variable_unset");
    // Staged first, it is stored for its owner alone.
    let staged = ran(world.command(&args[..4]).env("NEW_KEY", "open sesame"));
    assert_eq!(staged.code, 0, "{}", staged.err);
    assert!(!staged.out.contains("open sesame"), "{}", staged.out);
    world.ok(&["commit", "planner", "-m", "rotated again"]);
    assert_eq!(world.live("planner")["api_key"], "open sesame");
    for args in [&["log", "--with-doc", "--json"][..], &["show", "planner", "=live"], &["diff", "planner", "@1"]] {
        let out = world.ok(args);
        assert!(!out.contains("sesame") && !out.contains("swordfish") && !out.contains("hunter2"), "{out}");
    }
    assert_eq!(world.refused(1, &["set", "planner", "--secret", "model=env:HOME"]).0, "bad_secret_path");
}

#[test]
fn a_deleted_record_comes_back_with_its_secret_given() {
    let world = World::new();
    world.ok(&["rm", "planner", "-m", "gone"]);
    let back = ["restore", "planner", "@1", "-m", "back"];
    assert_eq!(world.refused(1, &back).0, "secrets_needed");
    let args = [&back[..], &["--secret", "api_key=env:KEY"]].concat();
    assert_eq!(ran(world.command(&args).env("KEY", "fresh")).code, 0);
    assert_eq!(world.live("planner")["api_key"], "fresh");
    world.ok(&["rm", "planner", "-m", "gone"]);
    world.ok(&[&back[..], &["--without-secrets"]].concat());
    assert!(world.live("planner").get("api_key").is_none());
}

#[test]
fn patches_are_applied_to_what_is_live() {
    let world = World::new();
    world.file(
        "patch.json",
        r#"[{"op": "test", "path": "/retries", "value": 3}, {"op": "replace", "path": "/retries", "value": 4}]"#,
    );
    world.file("merge.json", r#"{"model": null, "extra": {"a": 1}}"#);
    world.ok(&["commit", "planner", "--patch", "patch.json", "-m", "patched"]);
    assert_eq!(world.refused(1, &["commit", "planner", "--patch", "patch.json", "-m", "patched"]).0, "bad_patch");
    world.ok(&["commit", "planner", "--merge-patch", "merge.json", "-m", "merged"]);
    let live = world.live("planner");
    assert_eq!((&live["retries"], &live["extra"]["a"]), (&json!(4), &json!(1)));
    assert!(live.get("model").is_none());
}

#[test]
fn an_idempotency_key_makes_a_call_happen_once() {
    let world = World::new();
    let append = ["set", "planner", "tools+=x", "--commit", "-m", "x", "--idempotency-key", "k1"];
    let first = world.json("change", 0, &append);
    let again = world.json("change", 0, &append);
    assert_eq!(first["entry_id"], again["entry_id"]);
    assert_eq!(world.live("planner")["tools"], json!(["search", "x"]));
    world.ok(&["set", "planner", "model=small"]);
    let commit = ["commit", "planner", "-m", "y", "--idempotency-key", "k2"];
    let first = world.json("change", 0, &commit);
    assert_eq!(world.json("change", 0, &commit)["entry_id"], first["entry_id"]);
    assert_eq!(world.refused(1, &["commit", "planner", "-m", "y", "--idempotency-key", "k3"]).0, "nothing_staged");
}

#[test]
fn scripts_apply_whole_documents() {
    let world = World::new();
    world.file("new.json", r#"{"model": "tiny"}"#);
    world.json("change", 0, &["apply-doc", "made", "--from", "new.json", "-m", "seeded"]);
    assert_eq!(world.live("made")["model"], "tiny");
    world.json("change", 0, &["apply-doc", "made", "--from", "new.json", "-m", "seeded"]);
    assert_eq!(world.json("log", 0, &["log", "made"]).as_array().map(Vec::len), Some(1));
}

#[test]
fn a_secret_goes_only_where_that_is_said() {
    let config = "[[collection]]\nname = \"agents\"\ntable = \"agent_configs\"\nid_field = \"config_id\"\n\
        [versioning]\nsecret_fields = [\"tools[].token\"]\n[env.dev]\ndatabase = \"sqlite\"\nuri = \"app.db\"\n";
    let world = World::with(
        Some(config),
        r#"CREATE TABLE agent_configs (config_id TEXT PRIMARY KEY, doc TEXT NOT NULL);
           INSERT INTO agent_configs VALUES ('p', '{"v": 1, "tools": [{"name": "a", "token": "t1"}]}');"#,
    );
    world.ok(&["init"]);
    world.ok(&["import", "--all", "-m", "as found"]);
    let member: &[&str] = &["set", "p", "tools", "--delete", "--commit", "-m", "x"];
    let element: &[&str] = &["set", "p", "tools:=[]", "--commit", "-m", "x"];
    for removal in [member, element] {
        let (code, text) = world.refused(1, removal);
        assert_eq!(code, "secret_moved", "{text}");
    }
    world.ok(&[element, &["--without-secrets"]].concat());
    let log = world.ok(&["log", "p", "--json"]);
    assert!(log.contains(r#""secrets_dropped":["tools[0].token"]"#), "{log}");

    // The row is there, its token is not: history cannot bring it back.
    let back: &[&str] = &["restore", "p", "@1", "-m", "back"];
    assert_eq!(world.refused(1, back).0, "secrets_needed");
    world.ok(&[back, &["--without-secrets"]].concat());
    assert_eq!(world.live("p"), json!({"v": 1, "tools": [{"name": "a"}]}));
}
