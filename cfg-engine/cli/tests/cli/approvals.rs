//! Approvals on the command line: the walk-through of `docs/approvals.md` as it is written, and what stands in
//! nobody's place.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::hook::Hook;
use crate::world::{Ran, World, ran};

const PAGE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/approvals.md"));
const TERMINAL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/terminal.py");

const TABLE: &str = r#"
CREATE TABLE agent_configs (config_id TEXT PRIMARY KEY, doc TEXT NOT NULL);
INSERT INTO agent_configs VALUES ('planner', '{"model": "large"}'), ('writer', '{"model": "small"}');
"#;

/// Runs a command as a second terminal would, where a word is typed.
fn at_terminal(world: &World, word: &str, args: &[&str]) -> Ran {
    let program = world.command(args);
    let mut command = Command::new("python3");
    command.arg(TERMINAL).arg(word).arg(program.get_program()).args(program.get_args());
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    ran(command.current_dir(world.path()).stdin(Stdio::null()))
}

/// The commands of the page's walk-through, each with what must come of it.
#[derive(Debug)]
struct Step {
    line: String,
    typed: Option<String>,
    exit: i32,
    shows: Option<String>,
}

fn steps() -> Vec<Step> {
    let page = PAGE.split("## What an approval is bound to").next().expect("the walk-through");
    let mut steps: Vec<Step> = Vec::new();
    for block in page.split("```console\n").skip(1) {
        for line in block.split("```").next().expect("a block").lines() {
            if let Some(line) = line.strip_prefix("$ ") {
                steps.push(Step { line: line.to_owned(), typed: None, exit: 0, shows: None });
                continue;
            }
            let last = steps.last_mut().expect("a command");
            if let Some(word) = line.strip_prefix("[terminal] ") {
                last.typed = Some(word.to_owned());
            } else if let Some(text) = line.strip_prefix("[shows] ") {
                last.shows = Some(text.to_owned());
            } else {
                last.exit = line.trim_matches(['[', ']']).parse().unwrap_or_else(|_| panic!("what is {line:?}"));
            }
        }
    }
    assert!(steps.len() > 20, "{steps:?}");
    steps
}

fn config(database: &str) -> String {
    let toml = PAGE.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a configuration");
    assert!(toml.contains("database = \"sqlite\""));
    toml.replace("database = \"sqlite\"", &format!("database = \"{database}\""))
}

/// Walks through the page on one database. Somebody listens where the alert is posted.
fn walk(world: World) {
    let hook = Hook::listening();
    let world = world.with_variable("PROD_ALERT_URL", &hook.url());
    let rewritten = walked(&world);
    let told = hook.told();
    assert_eq!(told.len(), 1, "{told:#?}");
    assert_eq!((&told[0]["event"], &told[0]["approval_id"]), (&"history_redacted".into(), &rewritten.into()));
    assert!(told[0]["text"].as_str().is_some_and(|text| text.contains("INC-9")), "{told:#?}");
}

/// Does what the page says; returns the id of the approval under which history was rewritten.
fn walked(world: &World) -> String {
    let mut rewritten = String::new();
    let ids = regex::Regex::new(r"approval show ([0-9a-f]{12})").expect("a pattern");
    let mut id = String::new();
    for step in steps() {
        let words: Vec<String> =
            words(&step.line).into_iter().map(|word| if word == "ID" { id.clone() } else { word }).collect();
        let ran = match (words.iter().position(|word| word == "|"), &step.typed) {
            (Some(at), _) => {
                let args: Vec<&str> = words[at + 2..].iter().map(String::as_str).collect();
                let mut alone = Command::new("setsid");
                let program = world.command(&args);
                alone.arg("-w").arg(program.get_program()).args(program.get_args()).current_dir(world.path());
                alone.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
                piped(alone, "prod\n")
            }
            (None, Some(word)) => {
                let args: Vec<&str> = words[1..].iter().map(String::as_str).collect();
                at_terminal(world, word, &args)
            }
            (None, None) => {
                let args: Vec<&str> = words[1..].iter().map(String::as_str).collect();
                ran(&mut world.command(&args))
            }
        };
        assert_eq!(ran.code, step.exit, "{}\n{}{}", step.line, ran.out, ran.err);
        if let Some(text) = &step.shows {
            assert!(ran.out.contains(text.as_str()), "{}\n{}", step.line, ran.out);
        }
        if let Some(found) = ids.captures(&ran.err) {
            id = found[1].to_owned();
        }
        if step.line.contains("--rewrite-history") {
            rewritten.clone_from(&id);
        }
    }
    rewritten
}

/// Splits a line as a shell does, as far as the page needs it.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            c => words.last_mut().expect("a word").push(c),
        }
    }
    words
}

fn piped(mut command: Command, text: &str) -> Ran {
    use std::io::Write as _;
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program");
    child.stdin.take().expect("stdin").write_all(text.as_bytes()).expect("write");
    let done = child.wait_with_output().expect("the program");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Ran { code: done.status.code().unwrap_or(-1), out: text(done.stdout), err: text(done.stderr) }
}

#[test]
fn the_walk_through_on_sqlite() {
    let world = World::with(Some(&config("sqlite")), TABLE);
    let uri = format!("sqlite://{}", world.path().join("app.db").display());
    walk(world.with_variable("PROD_DATABASE_URL", &uri));
}

#[test]
fn the_walk_through_on_postgres() {
    let Some(server) = server("CFG_TEST_POSTGRES_URI") else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let name = format!("walk_{}", std::process::id());
    let (base, _) = server.rsplit_once('/').expect("a database");
    let uri = format!("{base}/{name}");
    let sql = async |uri: &str, statements: &[&str]| {
        let (client, connection) = tokio_postgres::connect(uri, tokio_postgres::NoTls).await.expect("a connection");
        let handle = tokio::spawn(connection);
        for statement in statements {
            client.batch_execute(statement).await.expect("a statement");
        }
        drop(client);
        let _ = handle.await;
    };
    runtime.block_on(async {
        sql(&server, &[&format!("CREATE DATABASE {name}")]).await;
        sql(
            &uri,
            &[
                "CREATE TABLE agent_configs (config_id text PRIMARY KEY, doc jsonb NOT NULL)",
                r#"INSERT INTO agent_configs VALUES ('planner', '{"model": "large"}'), ('writer', '{"model": "small"}')"#,
            ],
        )
        .await;
    });
    let world = World::with(Some(&config("postgres")), "").with_variable("PROD_DATABASE_URL", &uri);
    walk(world);
    runtime.block_on(sql(&server, &[&format!("DROP DATABASE {name} WITH (FORCE)")]));
}

#[test]
fn the_walk_through_on_mongodb() {
    let Some(server) = server("CFG_TEST_MONGODB_URI") else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let name = format!("walk_{}", std::process::id());
    let (base, options) = server.rsplit_once("/?").expect("options");
    let uri = format!("{base}/{name}?{options}");
    runtime.block_on(async {
        let client = mongodb::Client::with_uri_str(&server).await.expect("a client");
        let agents = client.database(&name).collection("agent_configs");
        let docs = [
            bson::doc! { "config_id": "planner", "model": "large" },
            bson::doc! { "config_id": "writer", "model": "small" },
        ];
        agents.insert_many(docs).await.expect("documents");
    });
    let world = World::with(Some(&config("mongo")), "").with_variable("PROD_DATABASE_URL", &uri);
    walk(world);
    runtime.block_on(async {
        let client = mongodb::Client::with_uri_str(&server).await.expect("a client");
        client.database(&name).drop().await.expect("gone");
    });
}

#[expect(clippy::print_stdout, reason = "a test that is skipped says so")]
fn server(variable: &str) -> Option<String> {
    let found = std::env::var(variable).ok().filter(|uri| !uri.is_empty());
    if found.is_none() {
        println!("skipped: {variable} is not set");
    }
    found
}

const GATED: &str = r#"
[[collection]]
name = "agents"
table = "agent_configs"
id_field = "config_id"

[env.prod]
database = "sqlite"
uri = "app.db"
needs_approval = true
"#;

fn gated(rules: &str) -> World {
    World::with(Some(&format!("{GATED}{rules}")), TABLE)
}

fn asked(world: &World, args: &[&str]) -> String {
    let envelope = world.json("envelope", 4, args);
    assert_eq!(envelope["code"], "approval_required", "{envelope}");
    envelope["data"]["approval_id"].as_str().expect("an id").to_owned()
}

/// What `local` protects from: flags, variables, standard input, other names. And what it does not: a program
/// that gives itself a terminal, as this test does.
#[test]
fn only_a_terminal_answers() {
    let world = gated("");
    world.ok(&["init"]);
    let id = asked(&world, &["import", "--all", "-m", "as found"]);
    for args in [&["approve", &id][..], &["approve", &id, "-y"], &["approve", &id, "--author", "boss@example.com"]] {
        let mut command = world.command(args);
        command.env("CFG_APPROVE", "prod").env("CFG_AUTHOR", "boss@example.com");
        // A session of its own has no terminal, wherever this test runs.
        let words: Vec<_> = command.get_args().map(|a| a.to_owned()).collect();
        let mut alone = Command::new("setsid");
        alone.arg("-w").arg(command.get_program()).args(words).current_dir(world.path());
        let refused = piped(alone, "prod\nprod\n");
        assert_eq!(refused.code, 1, "{refused:?}");
        assert!(refused.err.contains("terminal"), "{refused:?}");
    }
    assert_eq!(world.json("approvals", 0, &["approvals"])[0]["state"], "pending");
    // The approver is the user of the operating system, whatever the command calls itself.
    let ran = at_terminal(&world, "prod", &["approve", &id, "--author", "boss@example.com"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let shown = world.json("approval", 0, &["approval", "show", &id]);
    assert_eq!(shown["state"], "approved");
    let me = String::from_utf8(Command::new("id").arg("-un").output().expect("id").stdout).expect("UTF-8");
    assert_eq!(shown["approved_by"][0]["by"], me.trim());
    // An agent has a terminal as well as anybody, and no say.
    world.ok(&["import", "--all", "-m", "as found", "--approval", &id]);
    let other = asked(&world, &["tag", "june", "-m", "x"]);
    let mut agent = world.command(&["approve", &other]);
    agent.env("CFG_AUTHOR_CLASS", "agent");
    let refused = ran_in(agent);
    assert!(refused.err.contains("agent"), "{refused:?}");
}

fn ran_in(mut command: Command) -> Ran {
    ran(&mut command)
}

/// One approval in the hands of eight processes at once.
#[test]
fn eight_processes_apply_one_approval_once() {
    let world = gated("");
    world.ok(&["init"]);
    let id = asked(&world, &["import", "--all", "-m", "as found"]);
    assert_eq!(at_terminal(&world, "prod", &["approve", &id]).code, 0);
    let words = ["import", "--all", "-m", "as found", "--approval", &id, "--json"];
    let children: Vec<_> = (0..8)
        .map(|_| world.command(&words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program"))
        .collect();
    let mut written = 0;
    for child in children {
        let done = child.wait_with_output().expect("the program");
        let out: Value = serde_json::from_slice(&done.stdout).expect("JSON");
        match done.status.code() {
            Some(0) => {
                written += out["results"].as_array().map_or(0, |rows| rows.iter().filter(|r| r["seq"] == 1).count())
            }
            _ => assert!(
                ["approval_used", "approval_in_use", "plan_differs"]
                    .contains(&out["code"].as_str().unwrap_or_default()),
                "{out}"
            ),
        }
    }
    assert_eq!(written, 2);
    assert_eq!(world.json("log", 0, &["log"]).as_array().map_or(0, Vec::len), 2);
    world.ok(&["fsck"]);
}

/// Signed on another machine, handed in by a script; the requester's own key is none.
#[test]
fn a_signature_from_elsewhere() {
    let world = gated("");
    let elsewhere = tempfile::tempdir().expect("a folder");
    let key = elsewhere.path().join("bob.pem");
    let key = key.to_str().expect("a path");
    let public = world.ok(&["approve", "--new-key", key]);
    assert_eq!(world.ok(&["approve", "--public", key]), public);
    let rules = format!("[env.prod.rules]\napprovers = [\"bob {}\"]\n", public.trim());
    world.file(".cfg.toml", format!("{GATED}{rules}"));
    world.ok(&["init"]);
    let id = asked(&world, &["import", "--all", "-m", "as found"]);
    let plan = world.json("approval", 0, &["approval", "show", &id])["plan_oid"].as_str().expect("a plan").to_owned();
    // Without a store or a configuration.
    let mut alone =
        world.command(&["approve", &id, "--sign", key, "--print", "--plan", &plan, "--as", "bob", "--env", "prod"]);
    let signed = ran(alone.current_dir(elsewhere.path()));
    assert_eq!(signed.code, 0, "{signed:?}");
    let statement: Value = serde_json::from_str(&signed.out).expect("JSON");
    crate::schemas::check("statement", &statement);
    let wrong = signed.out.replace(&plan, &"0".repeat(64));
    world.file("wrong.json", wrong);
    assert_eq!(world.refused(1, &["approve", &id, "--statement", "wrong.json"]).0, "bad_statement");
    world.file("statement.json", &signed.out);
    let approved = world.json("approval", 0, &["approve", &id, "--statement", "statement.json"]);
    assert_eq!((&approved["state"], &approved["approved_by"][0]["provider"]), (&"approved".into(), &"signed".into()));
    world.ok(&["import", "--all", "-m", "as found", "--approval", &id]);
    // Who holds a key does not approve at a terminal.
    let id = asked(&world, &["set", "planner", "model=tiny", "--commit", "-m", "x"]);
    let refused = at_terminal(&world, "prod", &["approve", &id]);
    assert_eq!(refused.code, 1, "{refused:?}");
    world.json("approval", 0, &["approve", &id, "--sign", key]);
    // What is denied after all is denied.
    world.json("approval", 0, &["deny", &id, "--reason", "no"]);
    assert_eq!(
        world.refused(7, &["set", "planner", "model=tiny", "--commit", "-m", "x", "--approval", &id]).0,
        "approval_denied"
    );
}

/// Neither an edited file, nor another one, nor another folder opens the gate.
#[test]
fn other_files_open_no_gate() {
    let world = gated("");
    world.ok(&["init"]);
    let open = GATED.replace("needs_approval = true", "needs_approval = false");
    let renamed = open.replace("[env.prod]", "[env.staging]");
    let second = tempfile::tempdir().expect("a folder");
    let uri = format!("uri = \"{}\"", world.path().join("app.db").display());
    std::fs::write(second.path().join(".cfg.toml"), open.replace("uri = \"app.db\"", &uri)).expect("a file");
    world.file("open.toml", &open);
    world.file("renamed.toml", &renamed);
    let set = ["set", "planner", "model=x", "--commit", "-m", "x"];
    let tag = ["tag", "june", "-m", "x"];
    let adopt = ["adopt", "--all", "-m", "x"];
    let other = world.run(&["--config-file", "renamed.toml", "init"]);
    assert_eq!(other.code, 6, "{other:?}");
    for words in [&set[..], &tag, &adopt] {
        let file = world.run(&[&["--config-file", "open.toml"], words].concat());
        assert!([1, 4].contains(&file.code), "{words:?} {file:?}");
        let name = world.run(&[&["--config-file", "renamed.toml"], words].concat());
        assert_eq!(name.code, 6, "{words:?} {name:?}");
        let folder = ran(world.command(words).current_dir(second.path()));
        assert!([1, 4].contains(&folder.code), "{words:?} {folder:?}");
    }
    world.file(".cfg.toml", &open);
    assert_eq!(world.run(&adopt).code, 4);
    world.ok(&["init"]);
    assert_eq!(world.run(&adopt).code, 4, "init does not loosen");
    assert_eq!(world.live("planner")["model"], "large");
    assert!(Path::new(TERMINAL).exists());
}

const PLAIN: &str = r#"
[[collection]]
name = "agents"
table = "agent_configs"
id_field = "config_id"

[env.dev]
database = "sqlite"
uri = "app.db"
"#;

const REWRITE: [&str; 6] = ["redact", "planner", "model", "--rewrite-history", "-m", "a leak"];

/// The URL of a webhook is a secret: it gets the alert, and nothing that is printed, logged or stored tells it.
#[test]
fn a_webhook_hears_of_it_and_is_not_told_on() {
    let mut seen = Vec::new();
    let keep = |ran: Ran, seen: &mut Vec<String>| {
        seen.extend([ran.out.clone(), ran.err.clone()]);
        ran
    };
    let hook = Hook::listening();
    let broken = Hook::answering("503 Service Unavailable");
    for (rule, url) in [(format!("\"{}\"", hook.url()), None), ("\"env:HOOK\"".to_owned(), Some(hook.url()))] {
        let told = hook.told().len();
        let mut world = World::with(Some(PLAIN), TABLE);
        world.ok(&["init"]);
        world.ok(&["import", "--all", "-m", "as found"]);
        // Nobody is named: it is refused before anything is asked for, and the dry run says it, too.
        let refused = keep(world.run(&REWRITE), &mut seen);
        assert_eq!(refused.code, 1, "{refused:?}");
        for said in ["names nobody to tell", "[env.dev.rules] of .cfg.toml", "cfg init --env dev"] {
            assert!(refused.err.contains(said), "{said}: {}", refused.err);
        }
        let dry = [&REWRITE[..], &["--dry-run"]].concat();
        assert_eq!(world.json("redact", 0, &dry)["blocked"]["code"], "alert_missing");
        let people = world.run(&dry);
        assert!(people.err.contains("names nobody to tell") && people.err.contains("cfg init"), "{people:?}");
        assert_eq!(world.json("approvals", 0, &["approvals", "--all"]).as_array().map(Vec::len), Some(0));
        // As the hint says.
        world.file(".cfg.toml", format!("{PLAIN}\n[env.dev.rules]\nalert = {rule}\n"));
        assert_eq!(world.refused(1, &REWRITE).0, "alert_missing", "only the file names it");
        world.ok(&["init", "--env", "dev"]);
        assert_eq!(world.json("redact", 0, &dry)["blocked"], Value::Null);
        let id = asked(&world, &REWRITE);
        assert_eq!(at_terminal(&world, "dev", &["approve", &id]).code, 0);
        let approved = [&REWRITE[..], &["--approval", &id]].concat();
        let traced = |world: &World, args: &[&str]| {
            let mut command = world.command(args);
            ran(command.env("CFG_LOG", "trace"))
        };
        if let Some(url) = url {
            let unset = keep(traced(&world, &approved), &mut seen);
            assert_eq!(unset.code, 1, "{unset:?}");
            assert!(unset.err.contains("HOOK is not set"), "{}", unset.err);
            world = world.with_variable("HOOK", &broken.url());
            let refused = keep(traced(&world, &approved), &mut seen);
            assert_eq!(refused.code, 1, "{refused:?}");
            assert!(refused.err.contains("answered 503"), "{}", refused.err);
            assert_eq!(world.json("show", 0, &["show", "planner@1"])["doc"]["model"], "large");
            world = world.with_variable("HOOK", &url);
        } else {
            // A second folder over the same database, whose file names nobody or somebody else.
            let second = tempfile::tempdir().expect("a folder");
            let uri = format!("uri = \"{}\"", world.path().join("app.db").display());
            let elsewhere = PLAIN.replace("uri = \"app.db\"", &uri);
            for rules in ["", "[env.dev.rules]\nalert = [\"true\"]\n"] {
                std::fs::write(second.path().join(".cfg.toml"), format!("{elsewhere}\n{rules}")).expect("a file");
                for words in [&["init"][..], &REWRITE, &approved] {
                    let other = keep(ran(world.command(words).current_dir(second.path())), &mut seen);
                    assert_eq!(other.code == 0, words == ["init"], "{words:?} {other:?}");
                }
                let loosen = ["init", "--loosen", "-m", "quiet"];
                let other = keep(ran(world.command(&loosen).current_dir(second.path())), &mut seen);
                assert_eq!(other.code, 4, "{other:?}");
            }
            assert_eq!(hook.told().len(), told);
        }
        let done = keep(traced(&world, &approved), &mut seen);
        assert_eq!(done.code, 0, "{done:?}");
        let all = hook.told();
        assert_eq!(all.len(), told + 1, "{all:#?}");
        let alert = &all[told];
        assert_eq!((&alert["event"], &alert["env"]), (&"history_redacted".into(), &"dev".into()));
        assert_eq!(alert["approval_id"], Value::from(id));
        for words in [
            &["config"][..],
            &["config", "--json"],
            &["config", "--policy"],
            &["config", "--policy", "--json"],
            &["approvals", "--all"],
        ] {
            let shown = keep(world.run(words), &mut seen);
            assert_eq!(shown.code, 0, "{shown:?}");
            if words == ["config", "--policy", "--json"] {
                let config: Value = serde_json::from_str(&shown.out).expect("JSON");
                crate::schemas::check("config", &config);
                let rules = config["policy"]["rules"].as_array().expect("rules");
                let alert = rules.iter().find(|rule| rule["rule"] == "alert").expect("the alert");
                assert_eq!(alert["stricter"], "same", "{config:#}");
            }
        }
        seen.push(
            String::from_utf8_lossy(&std::fs::read(world.path().join("app.db")).expect("a database")).into_owned(),
        );
        world.ok(&["fsck"]);
    }
    for text in seen {
        assert!(!text.contains(crate::hook::SECRET), "{text}");
    }
}

/// A file that holds credentials is refused, and an alert that is none is explained.
#[test]
fn an_alert_is_a_url_a_variable_or_a_list() {
    for (rule, code) in [
        ("\"https://ana:hunter2@hooks.example.com/x\"", "credentials"),
        ("\"env:no variable\"", "bad_value"),
        ("\"curl\"", "bad_value"),
        ("\"ftp://hooks.example.com/hunter2\"", "bad_value"),
    ] {
        let world = World::with(Some(&format!("{PLAIN}\n[env.dev.rules]\nalert = {rule}\n")), TABLE);
        let refused = world.run(&["init"]);
        assert_eq!(refused.code, 6, "{code} {refused:?}");
        assert!(refused.err.contains("alert") && !refused.err.contains("hunter2"), "{refused:?}");
    }
}

/// What is forced on a gated env is told of as well, and is not asked for where it could not be.
#[test]
fn a_forced_change_is_told_of() {
    let hook = Hook::listening();
    let world = gated("[env.prod.rules]\nemergency_override = true\n").with_variable("HOOK", &hook.url());
    let init = world.run(&["init"]);
    assert!(init.err.contains("nothing can be forced") || init.out.contains("nothing can be forced"), "{init:?}");
    let id = asked(&world, &["import", "--all", "-m", "as found"]);
    assert_eq!(at_terminal(&world, "prod", &["approve", &id]).code, 0);
    world.ok(&["import", "--all", "-m", "as found", "--approval", &id]);
    world.sql(r#"UPDATE agent_configs SET doc = '{"model": "drifted"}' WHERE config_id = 'planner'"#);
    let force = ["set", "planner", "model=small", "--commit", "--force", "-m", "on fire"];
    assert_eq!(world.refused(1, &force).0, "alert_missing");
    world.file(".cfg.toml", format!("{GATED}[env.prod.rules]\nemergency_override = true\nalert = \"env:HOOK\"\n"));
    world.ok(&["init"]);
    let id = asked(&world, &force);
    assert_eq!(at_terminal(&world, "prod", &["approve", &id]).code, 0);
    world.ok(&[&force[..], &["--approval", &id]].concat());
    assert_eq!(hook.told()[0]["event"], "forced_change");
    assert_eq!(world.live("planner")["model"], "small");
}
