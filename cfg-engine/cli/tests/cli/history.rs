//! Versions, moments and loaded histories.

use serde_json::json;

use crate::world::World;

#[test]
fn a_loaded_history_answers_what_was_live_then() {
    let world = World::fresh();
    world.file(
        "history.jsonl",
        concat!(
            "{\"id\": \"planner\", \"time\": \"2023-06-01T00:00:00Z\", \"doc\": {\"model\": \"old\"}, \"author\": \"bob\"}\n",
            "{\"id\": \"late\", \"time\": \"2023-07-01T00:00:00Z\", \"doc\": {\"n\": 1}}\n",
            "{\"id\": \"late\", \"time\": \"2023-08-01T00:00:00Z\", \"doc\": null}\n",
        ),
    );
    let report = world.json("import_history", 0, &["import", "--history", "history.jsonl", "--dry-run"]);
    assert_eq!((report["loaded"].as_u64(), report["dry_run"].as_bool()), (Some(3), Some(true)));
    let report = world.json("import_history", 0, &["import", "--history", "history.jsonl"]);
    assert_eq!((report["loaded"].as_u64(), report["dirty"][0]["config_id"].as_str()), (Some(3), Some("planner")));
    let again = world.json("import_history", 0, &["import", "--history", "history.jsonl"]);
    assert_eq!((again["loaded"].as_u64(), again["known"].as_u64()), (Some(0), Some(3)));

    let june = world.json("log", 0, &["log", "--as-of", "2023-06-07", "--with-doc"]);
    assert_eq!(june.as_array().map(Vec::len), Some(1));
    assert_eq!(june[0]["doc"], json!({"model": "old"}));
    assert_eq!(world.json("log", 0, &["log", "--as-of", "@{2023-07-15}"]).as_array().map(Vec::len), Some(2));
    let by = world.json("log", 0, &["log", "--author", "bob"]);
    assert_eq!(by.as_array().map(Vec::len), Some(1));
    assert_eq!(world.ok(&["show", "planner", "@{2023-06-02}", "--field", "model"]), "old\n");
    assert_eq!(
        world.json("diff", 0, &["diff", "--as-of", "2023-06-07", "--to", "@{2023-07-07}"])[0]["config_id"],
        "late"
    );

    let piped = world.pipe(
        &["import", "--history", "-", "--json"],
        "{\"id\": \"piped\", \"time\": \"2024-01-01T00:00:00Z\", \"doc\": {}}\n",
    );
    assert_eq!(piped.code, 0, "{}", piped.out);
}

#[test]
fn references_find_versions() {
    let world = World::new();
    world.ok(&["set", "planner", "model=small", "--commit", "-m", "two"]);
    let log = world.json("log", 0, &["log", "planner"]);
    let oid = log[1]["oid"].as_str().expect("an oid");
    for reference in ["@1", &format!("#{}", &oid[..8]), &format!("sha256:{oid}")] {
        assert_eq!(world.json("show", 0, &["show", "planner", reference])["seq"], 1, "{reference}");
    }
    assert_eq!(world.json("show", 0, &["show", "agents:planner@2"])["seq"], 2);
    assert_eq!(world.json("show", 0, &["show", "planner"])["seq"], 2);
    assert_eq!(world.ok(&["show", "planner", "--field", "retries", "--json"]), "3\n");
    assert_eq!(world.json("diff", 0, &["diff", "planner@1", "@2"])["changes"][0]["path"], "model");
    world.json("change", 0, &["restore", "planner@1", "-m", "back"]);
    assert_eq!(world.live("planner")["model"], "large");
    assert_eq!(world.live("planner")["api_key"], "hunter2");
}

#[test]
fn a_short_oid_that_fits_two_contents_is_refused() {
    let world = World::fresh();
    let lines: String = (0..600)
        .map(|n| {
            format!(
                "{{\"id\":\"many\",\"time\":\"2023-01-01T00:{:02}:{:02}Z\",\"doc\":{{\"n\":{n}}}}}\n",
                n / 60,
                n % 60
            )
        })
        .collect();
    world.file("many.jsonl", lines);
    world.ok(&["import", "--history", "many.jsonl"]);
    let log = world.json("log", 0, &["log", "many"]);
    let mut short: Vec<&str> =
        log.as_array().expect("entries").iter().filter_map(|e| e["oid"].as_str()?.get(..4)).collect();
    short.sort_unstable();
    // Of 600 contents two share four digits.
    let twice = short.windows(2).find(|pair| pair[0] == pair[1]).expect("two alike")[0];
    assert_eq!(world.refused(1, &["show", "many", &format!("#{twice}")]).0, "ambiguous_reference");
}

#[test]
fn fsck_finds_what_somebody_edited() {
    let world = World::new();
    world.sql("UPDATE config_history SET message = 'forged'");
    let report = world.json("fsck", 6, &["fsck"]);
    assert_eq!(report["findings"].as_array().map(Vec::len), Some(2));
    let ran = world.run(&["fsck"]);
    assert_eq!(ran.code, 6);
    assert!(ran.out.contains("2 findings"), "{}", ran.out);
}

#[test]
fn export_writes_what_commit_takes_back() {
    let world = World::new();
    world.sql("INSERT INTO agent_configs VALUES ('../up', '{\"n\": 1}')");
    assert!(world.ok(&["export", "out"]).contains("3 documents"));
    assert!(world.path().join("out/agents=%2e%2e%2fup.json").is_file());
    assert_eq!(world.refused(1, &["export", "out"]).0, "not_empty");
    world.ok(&["export", "out", "--force"]);
    // Nothing of the secret, and nothing to commit.
    let text = std::fs::read_to_string(world.path().join("out/agents=planner.json")).expect("a file");
    assert!(!text.contains("hunter2") && text.contains("\"$cfg\""), "{text}");
    let files = ["out/agents=planner.json", "out/agents=writer.json"];
    let report = world.json("report", 0, &["commit", "--from", files[0], "--from", files[1], "-m", "same"]);
    assert_eq!(report["results"][0]["unchanged"], true);
    // Both or none.
    let changed = text.replace("\"large\"", "\"small\"");
    world.file(files[0], changed);
    world.ok(&["set", "writer", "n=1", "--commit", "-m", "meanwhile"]);
    assert_eq!(world.refused(2, &["commit", "--from", files[0], "--from", files[1], "-m", "late"]).0, "stale_base");
    assert_eq!(world.live("planner")["model"], "large");
}

#[test]
fn what_is_staged_is_the_new_side() {
    let world = World::new();
    world.ok(&["set", "planner", "model", "huge"]);
    let out = world.ok(&["diff", "planner", "=staged"]);
    assert!(out.contains("=HEAD → =staged") && out.contains("+ model: \"huge\""), "{out}");
}

#[test]
fn seeding_needs_a_history() {
    let ran = World::new().run(&["import", "--all", "--seed-live", "-m", "x"]);
    assert!(ran.code != 0 && ran.err.contains("--history"), "{}{}", ran.out, ran.err);
}
