//! One bad row, record, file or collection never hides the others, and is always named.

use serde_json::{Value, json};

use crate::world::World;

const TWO: &str = r#"
[[collection]]
name = "agents"
id_field = "id"
shape = "doc"

[[collection]]
name = "prompts"
id_field = "id"
shape = "doc"

[env.dev]
database = "sqlite"
uri = "app.db"
"#;

const TABLES: &str = r#"
CREATE TABLE agents (id TEXT PRIMARY KEY, doc TEXT);
CREATE TABLE prompts (id TEXT PRIMARY KEY, doc TEXT);
INSERT INTO agents VALUES ('a', '{"n": 1}'), ('b', '{"n": 1}');
INSERT INTO prompts VALUES ('p', '{"n": 1}');
"#;

fn two() -> World {
    let world = World::with(Some(TWO), TABLES);
    world.ok(&["init"]);
    world.ok(&["import", "--all", "-m", "as found"]);
    world
}

/// Returns `(collection, config_id, state or code)` of rows.
fn rows(value: &Value, word: &str) -> Vec<(String, Value, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let rows = value.as_array().expect("rows").iter();
    rows.map(|row| (text(&row["collection"]), row["config_id"].clone(), text(&row[word]))).collect()
}

#[test]
fn rows_with_ids_that_no_record_can_have_are_counted() {
    let config = TWO.replace("[[collection]]\nname = \"prompts\"\nid_field = \"id\"\nshape = \"doc\"\n", "");
    let long = "x".repeat(2000);
    let world = World::with(
        Some(&config),
        &format!(
            "CREATE TABLE agents (id, doc TEXT);
             INSERT INTO agents VALUES ('a', '{{\"n\": 1}}'), (NULL, '{{}}'), (NULL, '{{}}'), (x'01', '{{}}'), (1.5, '{{}}'),
               ('{long}', '{{}}'), (CAST(x'ff' AS TEXT), '{{}}');"
        ),
    );
    world.ok(&["init"]);
    let import = world.json("report", 6, &["import", "--all", "-m", "as found"]);
    assert_eq!(import["results"].as_array().map(Vec::len), Some(1));
    assert_eq!(rows(&json!([import["failed"][0]["reason"]]), "code")[0].2, "unusable_ids");
    let status = world.json("status", 6, &["status"]);
    assert_eq!(
        rows(&status, "state"),
        [("agents".into(), json!("a"), "clean".into()), ("agents".into(), Value::Null, "error".into())]
    );
    let reason = &status[1]["reason"];
    assert_eq!(reason["code"], "unusable_ids");
    let message = reason["message"].as_str().expect("a message");
    assert!(message.contains("6 live rows of agents are not versioned") && message.contains("2 NULL"), "{message}");
    assert!(reason["hint"].as_str().is_some_and(|hint| hint.contains("SELECT typeof(\"id\")")), "{reason}");
    let fsck = world.json("fsck", 6, &["fsck"]);
    assert_eq!(rows(&fsck["findings"], "code"), [("agents".into(), Value::Null, "unusable_ids".into())]);
    for verb in ["status", "fsck"] {
        let ran = world.run(&[verb]);
        let said = format!("{}{}", ran.out, ran.err);
        assert_eq!(ran.code, 6);
        assert_eq!(said.matches("6 live rows").count(), 1, "{said}");
        assert!(said.contains("SELECT typeof"), "{said}");
    }
    world.sql("DELETE FROM agents WHERE typeof(id) <> 'text' OR length(CAST(id AS BLOB)) <> 1 OR hex(id) = 'FF'");
    world.ok(&["status"]);
    world.ok(&["fsck"]);
}

#[test]
fn a_table_that_is_gone_does_not_stop_the_others() {
    for (breakage, word) in [
        ("DROP TABLE prompts", "prompts"),
        ("ALTER TABLE prompts RENAME COLUMN id TO other", "id"),
        ("ALTER TABLE prompts RENAME COLUMN doc TO other", "doc"),
    ] {
        let world = two();
        world.sql(breakage);
        world.sql("UPDATE agents SET doc = '{\"n\": 2}' WHERE id = 'b'");
        let status = world.json("status", 6, &["status"]);
        let of_prompts = ("prompts".into(), Value::Null, "error".into());
        assert_eq!(
            rows(&status, "state"),
            [("agents".into(), json!("a"), "clean".into()), ("agents".into(), json!("b"), "dirty".into()), of_prompts],
            "{breakage}"
        );
        let reason = &status[2]["reason"];
        assert_eq!(reason["code"], "setup");
        assert!(reason["message"].as_str().is_some_and(|message| message.contains(word)), "{reason}");
        let fsck = world.json("fsck", 6, &["fsck"]);
        assert_eq!(rows(&fsck["findings"], "code"), [("prompts".into(), Value::Null, "setup".into())], "{breakage}");
        assert_eq!((&fsck["records"], &fsck["entries"]), (&json!(3), &json!(3)), "{breakage}");
        for log in [&["log"][..], &["log", "--as-of", "2999-01-01"], &["log", "prompts:p"], &["log", "agents:a"]] {
            let entries = world.json("log", 0, log);
            assert!(entries.as_array().is_some_and(|entries| !entries.is_empty()), "{breakage}: {log:?}");
        }
        let adopted = world.json("report", 6, &["adopt", "--all", "-m", "x"]);
        assert_eq!(adopted["results"].as_array().map(Vec::len), Some(1), "{breakage}");
        assert_eq!(rows(&adopted["failed"], "code")[0].0, "prompts");
        world.ok(&["set", "agents:a", "n=3", "--commit", "-m", "x"]);
        let diff = world.json("diff", 6, &["diff"]);
        assert_eq!(rows(&diff, "code").len(), 1, "{breakage}: {diff}");
        assert_eq!(diff[0]["reason"]["code"], "setup");
        // The one that is asked for is the verb's own error.
        assert_eq!(world.refused(6, &["status", "--collection", "prompts"]).0, "setup");
        world.ok(&["status", "--collection", "agents"]);
    }
}

#[test]
fn a_refused_commit_names_every_record() {
    let world = World::new();
    world.sql("INSERT INTO agent_configs VALUES ('third', '{\"n\": 1}'), ('fourth', '{\"n\": 1}')");
    world.ok(&["import", "--all", "-m", "as found"]);
    for id in ["planner", "writer", "third", "fourth"] {
        world.ok(&["set", id, "x=1"]);
    }
    // One dirty, one committed by somebody else, one with a secret; the fourth is fine.
    world.sql("UPDATE agent_configs SET doc = '{\"model\": \"other\"}' WHERE config_id = 'planner'");
    world.file("w.json", r#"{"model": "medium", "max_words": 1}"#);
    world.ok(&["commit", "writer", "--from", "w.json", "-m", "x"]);
    let path = world.path().join(".cfg/staged/dev/agents=third.json");
    let staged = std::fs::read_to_string(&path).expect("a staged file");
    let with_secret = staged.replacen("\"x\": 1", "\"x\": 1, \"smtp_password\": \"swordfish\"", 1);
    std::fs::write(&path, with_secret).expect("a staged file");
    let before = world.json("log", 0, &["log"]);
    for args in [&["commit", "--all", "-m", "x"][..], &["commit", "planner", "writer", "third", "fourth", "-m", "x"]] {
        let (code, message) = world.refused(2, args);
        assert!(["dirty", "stale_base"].contains(&code.as_str()), "{code}");
        assert!(message.starts_with("3 of 4 records are refused, and nothing was written"), "{message}");
        let envelope = world.json("envelope", 2, args);
        let failed = envelope["data"]["failed"].as_array().expect("rows");
        let codes: Vec<(&str, &str)> = failed
            .iter()
            .map(|row| (row["config_id"].as_str().unwrap_or(""), row["reason"]["code"].as_str().unwrap_or("")))
            .collect();
        assert_eq!(codes, [("planner", "dirty"), ("third", "secret_found"), ("writer", "stale_base")]);
        let err = world.run(args).err;
        for hint in ["cfg adopt planner", "cfg get writer", "smtp_password"] {
            assert!(err.contains(hint), "{err}");
        }
    }
    assert_eq!(world.json("log", 0, &["log"]), before);
    // A plan shows the same.
    assert_eq!(
        world.json("envelope", 2, &["commit", "--all", "--dry-run", "-m", "x"])["data"]["failed"][0]["config_id"],
        "planner"
    );
    world.ok(&["commit", "fourth", "-m", "x"]);
}

#[test]
fn a_staged_file_that_cannot_be_used_is_named_and_blocks_nothing_else() {
    let world = World::new();
    world.ok(&["set", "planner", "retries=5"]);
    world.ok(&["set", "writer", "max_words=500"]);
    let folder = world.path().join(".cfg/staged/dev");
    std::fs::write(folder.join("agents=writer.json"), "{broken").expect("a file");
    std::fs::write(folder.join("agents=unknown.json"), [0xff]).expect("a file");
    let status = world.json("status", 6, &["status"]);
    assert_eq!(
        rows(&status, "state"),
        [
            ("agents".into(), json!("planner"), "staged".into()),
            ("agents".into(), json!("writer"), "error".into()),
            (String::new(), Value::Null, "error".into())
        ]
    );
    for (row, name) in [(1, "agents=writer.json"), (2, "agents=unknown.json")] {
        assert_eq!(status[row]["staged"], true);
        let message = status[row]["reason"]["message"].as_str().unwrap_or_default();
        assert!(message.contains(name), "{message}");
    }
    let ran = world.run(&["status"]);
    assert_eq!(ran.code, 6);
    assert!(format!("{}{}", ran.out, ran.err).contains("agents=unknown.json"), "{}{}", ran.out, ran.err);
    // Asked for one record, only its own.
    world.ok(&["status", "planner"]);
    assert_eq!(world.json("status", 6, &["status", "writer"])[0]["state"], "error");
    // All of it was asked for.
    let (code, message) = world.refused(1, &["commit", "--all", "-m", "x"]);
    assert_eq!(code, "staging_broken");
    assert!(message.contains("agents=writer.json") && message.contains("agents=unknown.json"), "{message}");
    assert_eq!(world.live("planner")["retries"], 3);
    for verb in [&["diff", "planner", "=live", "=staged"][..], &["show", "planner", "=staged"], &["log"], &["fsck"]] {
        world.ok(verb);
    }
    world.ok(&["commit", "planner", "-m", "x"]);
    assert_eq!(world.live("planner")["retries"], 5);
    world.ok(&["edit", "--abort", "writer"]);
    assert_eq!(world.json("status", 6, &["status"]).as_array().map(Vec::len), Some(3));
}

#[test]
fn old_entries_are_checked_under_the_rules_they_were_made_with() {
    let world = World::new();
    world.sql("UPDATE agent_configs SET doc = json_set(doc, '$.updated_at', 'now', '$.note', 'x')");
    world.ok(&["adopt", "--all", "-m", "notes"]);
    let config = std::fs::read_to_string(world.path().join(".cfg.toml")).expect("a configuration");
    let rules = |list: &str| config.replace("ignore_fields = [\"updated_at\"]", &format!("ignore_fields = [{list}]"));
    for list in ["\"updated_at\", \"note\"", "\"retries\"", ""] {
        world.file(".cfg.toml", rules(list));
        assert_eq!(world.json("fsck", 0, &["fsck"])["findings"], json!([]), "{list}");
        // What differs by the new rules is adopted under them, and everything is sound still.
        world.run(&["adopt", "--all", "-m", "other rules"]);
        world.ok(&["status"]);
        assert_eq!(world.json("fsck", 0, &["fsck"])["findings"], json!([]), "{list}");
    }
    // An edit is found whichever rules hold by then.
    let edit = |from: &str, to: &str| {
        let of = |column: &str| format!("{column} = replace({column}, '{from}', '{to}')");
        world.sql(&format!("UPDATE config_history SET {}, {} WHERE seq = 1", of("doc"), of("doc_native")));
    };
    edit("large", "forged");
    let fsck = world.json("fsck", 6, &["fsck"]);
    assert_eq!(rows(&fsck["findings"], "code"), [("agents".into(), json!("planner"), "content".into())]);
    edit("forged", "large");
    assert_eq!(world.json("fsck", 0, &["fsck"])["findings"], json!([]));
    // Rules that were edited are not those that the entries name.
    world.sql("UPDATE cfg_objects SET body = replace(body, '\"note\",\"updated_at\"', '\"note\"') WHERE kind = 'env'");
    let fsck = world.json("fsck", 6, &["fsck"]);
    assert!(rows(&fsck["findings"], "code").iter().all(|(_, _, code)| code == "policy"), "{fsck}");
}

#[test]
fn a_call_that_is_made_again_with_its_key_says_so() {
    let world = World::new();
    world.ok(&["set", "planner", "retries=5"]);
    let call = ["commit", "planner", "-m", "more", "--idempotency-key", "job-1"];
    let first = world.json("change", 0, &call);
    assert_eq!((&first["replayed"], &first["seq"]), (&json!(false), &json!(2)));
    // Nothing is staged any more; the call is answered from history.
    let again = world.json("change", 0, &call);
    assert_eq!((&again["replayed"], &again["entry_id"]), (&json!(true), &first["entry_id"]));
    assert!(world.ok(&call).contains("done by an earlier call with this key"));
    for other in [
        &["commit", "planner", "-m", "another reason", "--idempotency-key", "job-1"][..],
        &["commit", "planner", "-m", "more", "--idempotency-key", "job-1", "--author", "bob@example.com"],
    ] {
        assert_eq!(world.refused(1, other).0, "key_used", "{other:?}");
    }
    let all = ["import", "--all", "-m", "x", "--idempotency-key", "job-2"];
    assert_eq!(world.json("report", 0, &all)["replayed"], false);
}

#[test]
fn what_is_only_warned_of_is_said_everywhere() {
    let world = World::new();
    let config = std::fs::read_to_string(world.path().join(".cfg.toml")).expect("a configuration");
    world.file(".cfg.toml", format!("{config}\n[secrets]\non_match = \"warn\"\n"));
    let ran = world.run(&["set", "planner", "smtp.password=swordfish", "--commit", "-m", "x"]);
    assert!(ran.code == 0 && ran.err.contains("warning:") && ran.err.contains("smtp.password"), "{}", ran.err);
    assert!(!ran.err.contains("swordfish"), "{}", ran.err);
    let written = world.json("change", 0, &["set", "writer", "smtp.password=swordfish", "--commit", "-m", "x"]);
    assert_eq!(written["warnings"][0]["code"], "secret_found");
    let line = r#"{"id": "old", "time": "2023-06-07T00:00:00Z", "doc": {"smtp": {"password": "swordfish"}}}"#;
    world.file("history.jsonl", line);
    let load = ["import", "--history", "history.jsonl"];
    let dry = world.json("import_history", 0, &[&load[..], &["--dry-run"]].concat());
    let loaded = world.json("import_history", 0, &load);
    for report in [dry, loaded] {
        assert_eq!((&report["loaded"], &report["warnings"][0]["config_id"]), (&json!(1), &json!("old")), "{report}");
    }
    // Content without a secret has none.
    let written = world.json("change", 0, &["set", "planner", "retries=9", "smtp.password=env", "--commit", "-m", "x"]);
    assert!(written["warnings"].as_array().is_none_or(|warnings| !warnings.is_empty()));
}

#[test]
fn live_values_that_have_no_hash_are_findings() {
    let world = World::new();
    world.sql("UPDATE agent_configs SET doc = '{\"\u{e9}\": 1, \"e\u{301}\": 2}' WHERE config_id = 'writer'");
    let fsck = world.json("fsck", 6, &["fsck"]);
    assert_eq!(rows(&fsck["findings"], "code"), [("agents".into(), json!("writer"), "unhashable".into())]);
    // A marker that an application wrote as content is content, and a new one is refused.
    world.sql("UPDATE agent_configs SET doc = '{\"a\": {\"$secret\": true}}' WHERE config_id = 'writer'");
    world.ok(&["adopt", "writer", "-m", "x"]);
    world.ok(&["set", "writer", "b=1", "--commit", "-m", "x"]);
    assert_eq!(world.live("writer"), json!({"a": {"$secret": true}, "b": 1}));
    assert_eq!(
        world.refused(1, &["set", "writer", "c:={\"$secret\": true}", "--commit", "-m", "x"]).0,
        "stray_secret_marker"
    );
}
