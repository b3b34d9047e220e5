//! What people read, as snapshots; times, plan addresses and folders are filtered.

use std::sync::LazyLock;

use regex::Regex;

use crate::world::{World, ran};

/// What differs from run to run, and what stands in the snapshot for it.
static FILTERS: LazyLock<Vec<(Regex, &'static str)>> = LazyLock::new(|| {
    [
        (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ", "[time]"),
        (r"just now|\d+ seconds ago", "[ago]"),
        (r"plan [0-9a-f]{12}", "plan [plan]"),
    ]
    .into_iter()
    .map(|(pattern, word)| (Regex::new(pattern).expect("a pattern"), word))
    .collect()
});

/// Runs commands and puts down what a person sees, exit codes included.
fn session(world: &World, commands: &[&[&str]]) -> String {
    let mut text = String::new();
    for words in commands {
        let done = world.run(words);
        let typed: Vec<String> =
            words.iter().map(|w| if w.contains([' ', '\n']) { format!("{w:?}") } else { (*w).to_owned() }).collect();
        text.push_str(&format!("$ cfg {}\n{}{}", typed.join(" "), done.out, done.err));
        if done.code != 0 {
            text.push_str(&format!("[exit code {}]\n", done.code));
        }
        text.push('\n');
    }
    let folder = world.path().display().to_string();
    let text = text.replace(&folder, "[dir]");
    FILTERS.iter().fold(text, |text, (pattern, word)| pattern.replace_all(&text, *word).into_owned())
}

#[test]
fn the_first_day() {
    let world = World::with(
        None,
        "CREATE TABLE prompts (name TEXT PRIMARY KEY, doc TEXT NOT NULL);
        INSERT INTO prompts VALUES ('a', '{\"n\": 1}'), ('b', '{\"text\": \"one\\ntwo\\nthree\\n\"}');",
    );
    insta::assert_snapshot!(session(
        &world,
        &[
            &["status"],
            &["init", "--path", "app.db", "--table", "prompts", "--id-field", "name"],
            &["init"],
            &["status"],
            &["import", "a", "-m", "first"],
            &["import", "--all"],
            &["import", "--all"],
            &["status"],
            &["whoami"],
        ]
    ));
}

#[test]
fn a_change_and_its_history() {
    let world = World::new();
    insta::assert_snapshot!(session(
        &world,
        &[
            &["set", "planner", "model=small", "--dry-run"],
            &["set", "planner", "model=small", "instructions=Read the plan.\nName what is missing.\nBe brief.\n"],
            &["status"],
            &["commit", "planner", "-m", "cheaper", "-m", "Nobody could tell the difference."],
            &[
                "set",
                "planner",
                "instructions=Read the plan twice.\nName what is missing.\nBe brief.\n",
                "--commit",
                "-m",
                "read it twice",
                "--author",
                "bob"
            ],
            &["set", "planner", "model=small", "--commit", "-m", "again"],
            &["diff", "planner", "@1", "@3"],
            &["diff", "planner", "@1", "@3", "--stat"],
            &["log", "planner"],
            &["log", "--oneline"],
            &["show", "planner@2"],
            &["restore", "planner", "@1", "--dry-run"],
            &["restore", "planner", "@1", "-m", "back"],
            &["rm", "writer", "-m", "not needed"],
            &["log", "writer", "--oneline"],
            &["status", "--all"],
            &["fsck"],
        ]
    ));
}

#[test]
fn writes_around_the_tool() {
    let world = World::new();
    world.sql(
        "UPDATE agent_configs SET doc = json_set(doc, '$.model', 'huge', '$.api_key', 'swordfish') WHERE config_id = 'planner';
         DELETE FROM agent_configs WHERE config_id = 'writer';
         INSERT INTO agent_configs VALUES ('new', '{}'), ('odd id@1', '{}'), ('broken', '{\"n\": NaN}');",
    );
    insta::assert_snapshot!(session(
        &world,
        &[
            &["status"],
            &["diff"],
            &["set", "planner", "retries=1"],
            &["adopt", "--all", "-m", "as found"],
            &["status"],
            &["status", "--all"],
            &["get", "planner", "broken"],
            &["restore", "writer", "@1", "-m", "needed after all"],
        ]
    ));
}

#[test]
fn mistakes() {
    let world = World::new();
    insta::assert_snapshot!(session(
        &world,
        &[
            &["comit"],
            &["status", "planer"],
            &["show", "planner", "@9"],
            &["commit", "planner", "-m", "x"],
            &["commit", "-m", "x"],
            &["set", "planner", "smtp.password=swordfish"],
            &["restore", "planner"],
            &["log", "--as-of", "noon"],
        ]
    ));
}

#[test]
fn moments() {
    let world = World::fresh();
    world.file(
        "history.jsonl",
        concat!(
            "{\"id\": \"planner\", \"time\": \"2023-06-01T00:00:00Z\", \"doc\": {\"model\": \"old\"}, \"author\": \"bob\", \"message\": \"begun\"}\n",
            "{\"id\": \"writer\", \"time\": \"2023-07-01T00:00:00Z\", \"doc\": {\"model\": \"small\", \"max_words\": 400}}\n",
        ),
    );
    insta::assert_snapshot!(session(
        &world,
        &[
            &["import", "--history", "history.jsonl", "--dry-run"],
            &["import", "--history", "history.jsonl"],
            &["import", "--history", "history.jsonl"],
            &["log", "--as-of", "2023-06-07"],
            &["log", "--as-of", "2023-05-07"],
            &["log", "planner"],
            &["diff", "--as-of", "2023-06-07", "--to", "@{2023-07-07}"],
            &["export", "out"],
        ]
    ));
}

#[test]
fn colours_come_only_where_they_are_wanted() {
    let world = World::new();
    let colour = |command: &mut std::process::Command| ran(command).out.contains('\u{1b}');
    assert!(!colour(&mut world.command(&["status"])));
    assert!(colour(&mut world.command(&["status", "--color", "always"])));
    assert!(colour(world.command(&["status"]).env("CLICOLOR_FORCE", "1")));
    assert!(!colour(world.command(&["status", "--color", "never"]).env("CLICOLOR_FORCE", "1")));
    assert!(!colour(&mut world.command(&["status", "--json", "--color", "always"])));
    let refused = ran(&mut world.command(&["show", "planner", "@9"]));
    assert!(!refused.err.contains('\u{1b}'), "{}", refused.err);
}

#[test]
fn quiet_leaves_the_exit_code_and_what_was_asked_for() {
    let world = World::new();
    assert_eq!(world.ok(&["set", "planner", "model=x", "-q"]), "");
    assert_eq!(world.ok(&["commit", "planner", "-m", "x", "--quiet"]), "");
    world.sql("UPDATE agent_configs SET doc = '{}' WHERE config_id = 'writer'");
    let status = world.run(&["status", "-q"]);
    assert_eq!((status.code, status.out.as_str(), status.err.as_str()), (2, "", ""));
    assert!(!world.ok(&["get", "planner", "-q"]).is_empty());
    assert!(world.run(&["show", "planner", "@9", "-q"]).err.starts_with("error:"));
}

#[test]
fn nothing_from_a_document_steers_the_terminal() {
    let world = World::fresh();
    world.sql(
        "INSERT INTO agent_configs VALUES ('evil', json_object('a', 'x' || char(27) || '[2Jy' || char(10) || 'z'))",
    );
    world.ok(&["import", "--all"]);
    world.ok(&["set", "evil", "a=w\u{1b}[2J\nv", "--commit", "-m", "m\u{1b}[31m"]);
    for args in [&["log", "evil"][..], &["log", "--oneline"], &["diff", "evil", "@1", "@2"], &["show", "evil"]] {
        let out = ran(&mut world.command(&[args, &["--color", "always"]].concat())).out;
        assert!(!out.contains("\u{1b}[2J") && !out.contains("m\u{1b}[31m"), "{out:?}");
    }
}
