//! The commands of docs/operations.md, run as they stand there, and what it says about names.

use std::process::Command;

use cfg_engine::history::TagName;

use crate::world::{World, ran};

const CONFIG: &str = "[[collection]]\nname = \"agents\"\ntable = \"agent_configs\"\nid_field = \"config_id\"\n\
                      [env.dev]\ndatabase = \"sqlite\"\nuri = \"dev.db\"\n[env.prod]\ndatabase = \"sqlite\"\nuri = \"app.db\"\n";
const TABLE: &str = "CREATE TABLE agent_configs (config_id TEXT PRIMARY KEY, doc TEXT NOT NULL); \
                     INSERT INTO agent_configs VALUES ('planner', '{\"instructions\": \"go\", \"n\": 0}'), ('critic', '{\"n\": 0}')";

/// The shell blocks of a document.
pub(crate) fn blocks(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut inside: Option<String> = None;
    for line in text.lines() {
        match (&mut inside, line.trim()) {
            (None, "```sh") => inside = Some(String::new()),
            (Some(_), "```") => found.extend(inside.take()),
            (Some(block), _) => {
                block.push_str(line);
                block.push('\n');
            }
            _ => {}
        }
    }
    found
}

pub(crate) fn shell(world: &World, line: &str) -> crate::world::Ran {
    let binary = std::path::Path::new(env!("CARGO_BIN_EXE_cfg")).parent().expect("a folder").to_owned();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let paths = [binary].into_iter().chain(std::env::split_paths(&path));
    let mut command = Command::new("sh");
    command.args(["-c", line]).current_dir(world.path()).stdin(std::process::Stdio::null());
    command.env("PATH", std::env::join_paths(paths).expect("a path")).env("HOME", world.path());
    command.envs(world.variables());
    command.env("CFG_ENV", "dev").env("CFG_AUTHOR", "ada@example.com");
    for name in ["GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"] {
        command.env(name, "ada@example.com");
    }
    ran(&mut command)
}

#[test]
fn the_commands_of_operations_run() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operations.md");
    let text = std::fs::read_to_string(page).expect("docs/operations.md");
    let world = World::with(Some(CONFIG), TABLE);
    let dev = rusqlite::Connection::open(world.path().join("dev.db")).expect("a database");
    dev.execute_batch(TABLE).expect("a table");
    for env in ["dev", "prod"] {
        world.ok(&["init", "--env", env]);
        world.ok(&["import", "--all", "--env", env]);
        for n in 1..8 {
            // What @7 changed is changed by nobody later.
            let word = if n == 6 { "m=6".to_owned() } else { format!("n={n}") };
            world.ok(&["set", "planner", &word, "--commit", "-m", "next", "--env", env]);
        }
    }
    assert_eq!(shell(&world, "git init -q . && git commit -q --allow-empty -m start").code, 0);
    let blocks = blocks(&text);
    let mut lines = 0;
    for block in blocks.iter().filter(|block| block.lines().any(|line| line.starts_with("cfg "))) {
        for line in block.lines().filter(|line| line.starts_with("cfg ")) {
            let done = shell(&world, line);
            // Nothing is left to be resumed here, and that is said.
            let expected = if line.contains("--resume") { 5 } else { 0 };
            assert_eq!(done.code, expected, "{line}\n{}{}", done.out, done.err);
            lines += 1;
        }
    }
    assert!(lines >= 15, "{lines} commands were found");
}

/// Git itself is asked, with names made of everything that its rules speak of.
#[test]
fn tags_are_named_as_git_names_them() {
    let world = World::with(None, "");
    let git = |args: &[&str]| ran(Command::new("git").args(args).current_dir(world.path()).env("HOME", world.path()));
    assert_eq!(git(&["init", "-q", "."]).code, 0);
    let pieces = [
        "a", "-", ".", "..", "/", "@", "{", "}", "~", "^", ":", "?", "*", "[", "]", "\\", " ", ".lock", "HEAD", "ü",
        "'", "\"", "\t", "\u{7f}",
    ];
    let mut names: Vec<String> = vec![String::new()];
    for one in pieces {
        names.push(one.to_owned());
        for other in pieces {
            names.push(format!("{one}{other}"));
            names.push(format!("a{one}{other}b"));
        }
    }
    for name in &names {
        // What `git tag` asks beyond the form of a ref.
        let is_ref = !name.is_empty() && !name.starts_with('-') && name != "HEAD" && {
            let name = format!("refs/tags/{name}");
            git(&["check-ref-format", &name]).code == 0
        };
        assert_eq!(TagName::new(name).is_ok(), is_ref, "{name:?}");
    }
}
