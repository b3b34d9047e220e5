//! The lines of the table in `tests/suite/tests/suite/incumbents.rs` that need the program itself, or a file
//! that somebody damages, kills or takes away.
#![expect(clippy::disallowed_methods, reason = "how long somebody has to wait is what is tested")]

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::world::World;

fn codes(fsck: &Value) -> Vec<&str> {
    fsck["findings"].as_array().expect("findings").iter().map(|f| f["code"].as_str().unwrap_or_default()).collect()
}

#[test]
fn line_14_fsck_finds_edits_missing_rows_and_lost_heads() {
    for (damage, code) in [
        ("UPDATE config_history SET message = 'other' WHERE seq = 2", "message"),
        ("UPDATE config_history SET author_id = 'mallory' WHERE seq = 2", "entry_id"),
        ("UPDATE config_history SET recorded_at = recorded_at + 1 WHERE seq = 2", "entry_id"),
        ("UPDATE config_history SET valid_to = valid_to - 1 WHERE seq = 1", "interval"),
        ("DELETE FROM config_history WHERE seq = 2", "gap"),
        ("DELETE FROM config_history WHERE seq = 3", "head"),
    ] {
        let world = World::new();
        world.ok(&["set", "planner", "retries=4", "--commit", "-m", "more"]);
        world.ok(&["set", "planner", "retries=5", "--commit", "-m", "more"]);
        world.ok(&["fsck"]);
        world.sql(damage);
        let fsck = world.json("fsck", 6, &["fsck"]);
        assert!(codes(&fsck).contains(&code), "{damage}: {fsck}");
        assert_eq!(world.run(&["fsck"]).code, 6);
    }
    // A head that is gone is said, the record is not taken for untracked, and the other goes on.
    let world = World::new();
    world.sql(
        "DELETE FROM config_heads WHERE record_no = (SELECT record_no FROM cfg_records WHERE id_key = '\"planner\"')",
    );
    assert_eq!(world.run(&["fsck"]).code, 6);
    assert_eq!(world.run(&["status", "planner"]).code, 6);
    world.ok(&["set", "writer", "max_words=1", "--commit", "-m", "x"]);
}

#[test]
fn line_17_a_killed_client_leaves_nothing_locked() {
    let world = World::fresh();
    let rows: Vec<String> =
        (0..4000).map(|n| format!("('r{n}', '{{\"n\": {n}, \"text\": \"{}\"}}')", "x".repeat(500))).collect();
    world.sql(&format!("INSERT INTO agent_configs VALUES {}", rows.join(", ")));
    for wait in [20, 60, 120, 250] {
        let mut command = world.command(&["import", "--all", "-m", "as found"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program");
        std::thread::sleep(Duration::from_millis(wait));
        child.kill().expect("the child is ours");
        child.wait().expect("the child is ours");
        // The application writes at once, without waiting for anybody.
        let before = Instant::now();
        world.sql(&format!(
            "UPDATE agent_configs SET doc = json_set(doc, '$.touched', {wait}) WHERE config_id = 'r3999'"
        ));
        assert!(before.elapsed() < Duration::from_secs(2), "{:?}", before.elapsed());
        world.ok(&["fsck"]);
    }
    world.run(&["import", "--all", "-m", "as found"]);
    world.run(&["adopt", "--all", "-m", "touched"]);
    world.ok(&["status"]);
    assert_eq!(world.json("fsck", 0, &["fsck"])["records"], 4002);
}

#[test]
fn line_22_a_database_that_is_not_there_is_said_at_once() {
    let world = World::new();
    std::fs::rename(world.path().join("app.db"), world.path().join("away.db")).expect("a rename");
    for args in
        [&["status"][..], &["log"], &["get", "planner"], &["set", "planner", "n=1", "--commit", "-m", "x"], &["fsck"]]
    {
        let before = Instant::now();
        let (code, message) = world.refused(3, args);
        assert_eq!(code, "unreachable");
        assert!(message.contains("app.db") && message.lines().count() == 1, "{message}");
        assert!(before.elapsed() < Duration::from_secs(5), "{:?}", before.elapsed());
    }
    assert!(!world.path().join("app.db").exists(), "nothing is made in its place");
}
