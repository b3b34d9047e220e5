//! The whole file: both spellings, defaults, every mistake.

use super::*;
use crate::document::{Extended, FieldPath, Treatment, Value};

const FRIENDLY: &str = include_str!("../../tests/fixtures/friendly.cfg.toml");
const TECHNICAL: &str = include_str!("../../tests/fixtures/technical.cfg.toml");

/// A file that loads, for adding to.
const BASE: &str = "[env.dev]\ndatabase = \"memory\"\n[[collection]]\nname = \"prompts\"\nid_field = \"id\"\n";

fn load(text: &str) -> ConfigFile {
    ConfigFile::parse(text).unwrap_or_else(|e| panic!("{e} ({})\n{text}", e.hint()))
}

fn setting(file: &ConfigFile, key: &str) -> Setting {
    file.effective().into_iter().find(|s| s.key == key).unwrap_or_else(|| panic!("no setting {key}"))
}

/// What a refused file says: kind, line, and message with hint.
fn refused(text: &str) -> (ConfigErrorKind, Option<usize>, String) {
    let error = ConfigFile::parse(text).map(|_| ()).expect_err(text);
    assert!(!error.hint().is_empty(), "{error} has no hint");
    assert!(!error.to_string().ends_with('.'), "{error}");
    (error.kind(), error.line(), format!("{error} / {}", error.hint()))
}

fn value(json: &str) -> Value {
    Value::from_json(json).expect("valid JSON")
}

#[test]
fn the_friendly_and_the_technical_file_load_to_the_same_configuration() {
    let (friendly, technical) = (load(FRIENDLY), load(TECHNICAL));
    // Section 8 has no [code_search]; everything else must agree.
    assert_eq!(friendly.code_search.roots, ["../backend-repo/app"]);
    let shown = |file: &ConfigFile| -> Vec<(String, String)> {
        let settings = file.effective().into_iter().filter(|s| s.key != "code_search.roots");
        settings.map(|s| (s.key, s.value.to_interchange())).collect()
    };
    assert_eq!(shown(&friendly), shown(&technical));
    assert_eq!(friendly.project_name, technical.project_name);
    assert_eq!(format!("{:?}", friendly.secrets), format!("{:?}", technical.secrets));
    assert_eq!(friendly.author_from, technical.author_from);
    assert_eq!(friendly.connections, technical.connections);
    assert_eq!(friendly.envs, technical.envs);
    assert_eq!(friendly.require_base, technical.require_base);
    assert_eq!((&friendly.history_table, &friendly.heads_table), (&technical.history_table, &technical.heads_table));
    assert_eq!((friendly.collections.len(), technical.collections.len()), (1, 1));
    let (a, b) = (&friendly.collections[0], &technical.collections[0]);
    assert_eq!((&a.name, &a.table, &a.id_fields, a.id_type), (&b.name, &b.table, &b.id_fields, b.id_type));
    assert_eq!((&a.live_when, &a.retire_with, a.shape), (&b.live_when, &b.retire_with, b.shape));
    assert_eq!(format!("{:?}", a.policy), format!("{:?}", b.policy));
}

#[test]
fn the_friendly_file_means_what_it_says() {
    let file = load(FRIENDLY);
    assert_eq!(file.project_name.as_deref(), Some("example-agent-configs"));
    let collection = file.collection("agent_configs").expect("the collection");
    assert_eq!(
        (collection.table.as_str(), collection.id_fields.as_slice()),
        ("agent_configs", &["config_id".into()][..])
    );
    assert!(collection.live_when.matches(&value(r#"{"is_active": true}"#)));
    assert!(!collection.live_when.matches(&value(r#"{"is_active": false}"#)));
    assert_eq!(collection.retire_with.get("is_active"), Some(&Value::Bool(false)));
    let treatment = |path: &str| collection.policy.treatment(&path.parse::<FieldPath>().expect("a path"));
    assert_eq!(treatment("metrics"), Treatment::Ignored);
    assert_eq!(treatment("instructions_backup_3"), Treatment::Ignored);
    assert_eq!(treatment("nested.metrics"), Treatment::Versioned);
    assert_eq!(file.connections.links.len(), 5);
    assert_eq!(file.connections.links[3].kind, LinkKind::ModelRef);

    let names: Vec<_> = file.envs.iter().map(|env| env.name.as_str()).collect();
    assert_eq!(names, ["dev", "prod", "preview"]);
    let prod = file.env("prod").expect("prod");
    assert_eq!(prod.database, Database::Mongo);
    assert_eq!(prod.uri, Some(UriSource::Env("PROD_MONGODB_URI".into())));
    assert!(prod.needs_approval && prod.rules.require_clean && !prod.rules.emergency_override);
    assert_eq!(prod.rules.require_reason, ReasonRule::Required);
    assert_eq!(prod.rules.confirm_word.as_deref(), Some("prod"));
    assert!(file.requires_base(prod));
    assert!(!file.requires_base(file.env("dev").expect("dev")));
    assert_eq!(file.env("dev").expect("dev").rules, Rules::default());
}

#[test]
fn settings_say_where_they_come_from() {
    let file = load("[env.dev]\ndatabase = \"sqlite\"\nuri = \"env:DEV\"\n[storage]\nlive_collection = \"agents\"\n");
    let uri = setting(&file, "env.dev.uri");
    assert_eq!((uri.value, uri.source), (Value::from("env:DEV"), SettingSource::Line(3)));
    let ignored = setting(&file, "versioning.ignore_fields");
    assert_eq!((ignored.value.as_array().map(<[_]>::len), ignored.source), (Some(7), SettingSource::Default));
    assert_eq!(setting(&file, "storage.live_when").value, value(r#"{"is_active": true}"#));
    assert_eq!(setting(&file, "env.dev.rules.expires").value, Value::from("24h"));
    assert_eq!(setting(&file, "secrets.on_match").source.to_string(), "default");
    let mut keys: Vec<_> = file.effective().into_iter().map(|s| s.key).collect();
    let all = keys.len();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), all, "a setting is listed twice");
}

#[test]
fn collections_take_the_lists_of_versioning_unless_they_say_their_own() {
    let file = load(
        r#"
        [versioning]
        ignore_fields = ["updated_at"]
        secret_fields = ["api_key"]
        [storage]
        live_collection = "agents"
        [[collection]]
        name = "prompts"
        table = "app_prompts"
        id_field = ["tenant", "name"]
        ignore_fields = []
        [[collection]]
        name = "rows"
        id_field = "id"
        id_type = "uuid"
        shape = "row"
        live_when = { status = { "$in" = ["live", "beta"] }, since = { "$lte" = 2023-06-07T00:00:00Z } }
        retire_with = { status = "old" }
        "#,
    );
    let treated = |name: &str, field: &str| file.collection(name).expect(name).policy.treatment(&FieldPath::key(field));
    assert_eq!(treated("agents", "updated_at"), Treatment::Ignored);
    assert_eq!(treated("agents", "metrics"), Treatment::Versioned);
    assert_eq!(treated("prompts", "updated_at"), Treatment::Versioned);
    assert_eq!(treated("prompts", "api_key"), Treatment::Secret);
    let prompts = file.collection("prompts").expect("prompts");
    assert_eq!((prompts.table.as_str(), prompts.id_fields.len(), prompts.shape), ("app_prompts", 2, Shape::Doc));
    assert!(prompts.live_when.is_empty() && prompts.retire_with.is_empty());
    let rows = file.collection("rows").expect("rows");
    assert_eq!((rows.shape, rows.id_type), (Shape::Row, Some(IdType::Uuid)));
    let conditions = rows.live_when.conditions();
    assert_eq!(conditions[0].0, "status");
    let date = Value::Extended(Box::new(Extended::DateTime(1_686_096_000_000)));
    assert_eq!(conditions[1], ("since".to_owned(), Condition::Lte(date)));
    assert_eq!(setting(&file, "collection.prompts.secret_fields").source, SettingSource::Line(4));
}

#[test]
fn without_storage_nothing_is_ignored_by_default() {
    let file = load(BASE);
    assert!(file.collections[0].policy.is_empty());
    assert_eq!(setting(&file, "versioning.ignore_fields").value.as_array().map(<[_]>::len), Some(0));
}

#[test]
fn secrets_are_looked_for_unless_the_file_says_otherwise() {
    let found =
        |text: &str| load(&format!("{BASE}{text}")).secrets.rules.scan_text("id sk-abcdefghijklmnopqrstu").is_some();
    assert!(found(""));
    assert!(!found("[secrets]\nblock_values = []\n"));
    let warn = load(&format!("{BASE}[secrets]\non_match = \"warn\"\nhigh_entropy = true\n"));
    assert_eq!((warn.secrets.on_match, warn.secrets.high_entropy), (OnSecret::Warn, true));
}

#[test]
fn rules_are_read() {
    let file = load(&format!(
        "{BASE}[env.prod]\ndatabase = \"postgresql\"\nuri = \"postgres://app@db/x\"\nneeds_approval = true\n\
         deploy = [\"./deploy\", \"{{git_sha}}\"]\n[env.prod.rules]\nrequire_reason = 'INC-[0-9]+'\nrequired = 2\n\
         exclude_author = true\napprovers = \"ada@example.com\"\nexpires = \"7d\"\nemergency_per_hour = 1\n"
    ));
    let prod = file.env("prod").expect("prod");
    assert_eq!(prod.database, Database::Postgres);
    assert_eq!(prod.deploy, ["./deploy", "{git_sha}"]);
    assert_eq!(prod.rules.require_reason, ReasonRule::Matching(vec!["INC-[0-9]+".into()]));
    assert_eq!((prod.rules.required, prod.rules.exclude_author), (2, Some(true)));
    let approvers = prod.rules.approvers.as_deref().unwrap_or_default();
    assert_eq!(approvers.iter().map(ToString::to_string).collect::<Vec<_>>(), ["ada@example.com"]);
    assert_eq!(prod.rules.expires.as_secs(), 7 * 24 * 3600);
}

#[test]
fn both_names_of_one_key_are_refused() {
    for (text, one, other) in [
        ("[storage]\nlive_collection = \"a\"\nruntime_collection = \"a\"\n", "live_collection", "runtime_collection"),
        ("[storage]\nlive_collection = \"a\"\n[stores]\nid_field = \"b\"\n", "storage", "stores"),
        ("[versioning]\nsecret_fields = []\nstrip_on_store = []\n", "secret_fields", "strip_on_store"),
        ("[env.dev]\nbackend = \"memory\"\ndatabase = \"memory\"\n", "backend", "database"),
        ("[env.dev]\ndatabase = \"memory\"\n[env.dev.rules]\n[env.dev.policy]\n", "rules", "policy"),
        ("[connections]\nlinks = [{ field = \"a\", means = \"contract\", kind = \"contract\" }]\n", "means", "kind"),
    ] {
        let collection = "[[collection]]\nname = \"x\"\nid_field = \"id\"\n";
        let (kind, line, message) = refused(&format!("{text}{collection}"));
        assert_eq!(kind, ConfigErrorKind::Duplicate, "{message}");
        assert!(line.is_some_and(|line| line >= 2), "{message}");
        assert!(message.contains(one) && message.contains(other), "{message}");
    }
}

#[test]
fn unknown_keys_are_refused_with_the_nearest_name() {
    for (text, line, near) in [
        ("[env.prod]\ndatabse = \"memory\"\n", 7, "database"),
        ("[env.prod]\ndatabase = \"memory\"\nneed_approval = true\n", 8, "needs_approval"),
        ("[versionning]\n", 6, "versioning"),
        ("[secrets]\nsecret_fields = [\"a\"]\n", 7, "[versioning]"),
        ("[author]\nform = \"git\"\n", 7, "from"),
        ("[env.prod]\ndatabase = \"memory\"\n[env.prod.rules]\nrequire_resaon = true\n", 9, "require_reason"),
        ("[[collection]]\nname = \"b\"\nid_field = \"id\"\nlive_wen = {}\n", 9, "live_when"),
        ("[connections]\nlinks = [\n  { feild = \"a\" },\n]\n", 8, "field"),
        ("[project]\nzzz = 1\n", 7, "name"),
        ("colour = 1\n", 6, "did you mean"),
    ] {
        // A bare key at the end belongs to the last table, here the collection.
        let (kind, at, message) = refused(&format!("{BASE}{text}"));
        assert_eq!((kind, at), (ConfigErrorKind::UnknownKey, Some(line)), "{message}");
        assert!(message.contains(near) || near == "did you mean", "{message}");
    }
}

#[test]
fn credentials_are_refused_and_never_repeated() {
    for uri in [
        "postgres://app:hunter2@db/x",
        "mongodb://app:hunter2@h1,h2/?replicaSet=rs0",
        "postgres://db/x?user=app&password=hunter2",
        "host=db password=hunter2",
        "env:postgres://app:hunter2@db/x",
        "env:hunter2-x",
    ] {
        let text = format!("{BASE}[env.prod]\ndatabase = \"postgres\"\nuri = \"{uri}\"\n");
        let error = ConfigFile::parse(&text).map(|_| ()).expect_err(uri);
        assert_eq!(error.line(), Some(8));
        assert_eq!(error.key(), "env.prod.uri");
        assert!(error.hint().contains("env:"), "{error}");
        assert!(!format!("{error} {error:?} {}", error.hint()).contains("hunter2"), "{error}");
    }
}

#[test]
fn a_uri_under_the_wrong_key_is_not_repeated_either() {
    for text in [
        "[env.prod]\ndatabase = \"postgres://app:hunter2@db/x\"\n",
        "[env.\"postgres://app:hunter2@db/x\"]\ndatabase = \"memory\"\n",
        "[env.prod]\n\"postgres://app:hunter2@db/x\" = 1\n",
        "[env.prod]\nuri = postgres://app:hunter2@db/x\n",
        "[[collection]]\nname = \"postgres://app:hunter2@db/x\"\n",
    ] {
        let error = ConfigFile::parse(&format!("{BASE}{text}")).map(|_| ()).expect_err(text);
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    }
}

#[test]
fn bad_values_are_refused_with_their_line() {
    use ConfigErrorKind::{BadValue, Duplicate, Missing, WrongType};
    const COLLECTION: &str = "[[collection]]\nname = \"b\"\nid_field = \"id\"\n";
    let with = |rest: &str| format!("{COLLECTION}{rest}");
    for (text, kind, line, says) in [
        ("[env.prod]\n".to_owned(), Missing, 6, "database"),
        ("[env.prod]\ndatabase = \"sqlite\"\n".into(), Missing, 6, "uri"),
        ("[env.prod]\ndatabase = \"sqlight\"\nuri = \"a\"\n".into(), BadValue, 7, "did you mean sqlite"),
        ("[env.prod]\ndatabase = 1\n".into(), WrongType, 7, "text"),
        ("[env.prod]\ndatabase = \"memory\"\nuri = \"x\"\n".into(), BadValue, 8, "memory"),
        ("[env.prod]\ndatabase = \"sqlite\"\nuri = \"\"\n".into(), BadValue, 8, "empty"),
        ("[env.prod]\ndatabase = \"sqlite\"\nuri = \"a\"\ndb = \"x\"\n".into(), BadValue, 9, "db"),
        ("[env.prod]\ndatabase = \"postgres\"\nuri = \"env:A\"\nhistory_db = \"x\"\n".into(), BadValue, 9, "MongoDB"),
        ("[env.prod]\ndatabase = \"memory\"\nneeds_approval = \"yes\"\n".into(), WrongType, 8, "true or false"),
        ("[env.prod]\ndatabase = \"memory\"\nrules = true\n".into(), WrongType, 8, "env.prod.rules"),
        ("[env.prod]\ndatabase = \"memory\"\nrules = { expires = \"soon\" }\n".into(), BadValue, 8, "duration"),
        ("[env.prod]\ndatabase = \"memory\"\nrules = { required = 0 }\n".into(), BadValue, 8, "required"),
        ("[env.prod]\ndatabase = \"memory\"\nrules = { approvers = [] }\n".into(), BadValue, 8, "nobody"),
        ("[env.prod]\ndatabase = \"memory\"\nrules = { require_reason = \"[\" }\n".into(), BadValue, 8, "expression"),
        ("[env.\"a b\"]\ndatabase = \"memory\"\n".into(), BadValue, 6, "env"),
        ("[env]\nx = 1\n".into(), WrongType, 7, "[env.dev]"),
        ("[secrets]\nblock_values = [\"(\"]\n".into(), BadValue, 7, "expression"),
        ("[secrets]\nblock_fields = [\"[\"]\n".into(), BadValue, 7, "glob"),
        ("[secrets]\nblock_fields = [1]\n".into(), WrongType, 7, "whole number"),
        ("[secrets]\non_match = \"refuze\"\n".into(), BadValue, 7, "refuse"),
        ("[author]\nfrom = \"github\"\n".into(), BadValue, 7, "git"),
        ("[storage]\nlive_when = { a = true }\n".into(), Missing, 6, "live_collection"),
        ("[storage]\nlive_collection = \"a b\"\n".into(), BadValue, 7, "[[collection]]"),
        ("[storage]\nhistory_collection = \"prompts\"\n".into(), BadValue, 7, "live table of prompts"),
        ("[storage]\nheads_collection = \"config_history\"\n".into(), BadValue, 7, "history_collection"),
        ("[versioning]\nignore_paths = [\"a..b\"]\n".into(), BadValue, 7, "path"),
        ("[versioning]\nignore_patterns = [\"a[\"]\n".into(), BadValue, 7, "glob"),
        ("[versioning]\nsecret_fields = \"a\"\n".into(), WrongType, 7, "list"),
        ("[versioning]\nrequire_base = 1\n".into(), WrongType, 7, "true or false"),
        ("[[collection]]\nid_field = \"id\"\n".into(), Missing, 6, "name"),
        ("[[collection]]\nname = \"b\"\n".into(), Missing, 6, "id_field"),
        ("[[collection]]\nname = \"b:c\"\nid_field = \"id\"\n".into(), BadValue, 7, "name"),
        ("[[collection]]\nname = \"prompts\"\nid_field = \"id\"\n".into(), Duplicate, 7, "two collections"),
        ("[[collection]]\nname = \"b\"\nid_field = [\"a\", \"a\"]\n".into(), BadValue, 8, "different"),
        ("[[collection]]\nname = \"b\"\nid_field = []\n".into(), BadValue, 8, "id_field"),
        ("[[collection]]\nname = \"b\"\nid_field = [\"a\", \"b\"]\nid_type = \"int\"\n".into(), BadValue, 9, "id_type"),
        (with("id_type = \"number\"\n"), BadValue, 9, "int"),
        (with("shape = \"rows\"\n"), BadValue, 9, "row"),
        (with("shape = \"row\"\ndoc_column = \"d\"\n"), BadValue, 10, "doc_column"),
        (with("doc_column = \"id\"\n"), BadValue, 9, "id"),
        (with("secret_fields = [\"id\"]\n"), BadValue, 9, "id"),
        (with("live_when = { a = { \"$near\" = 1 } }\n"), BadValue, 9, "$near"),
        (with("live_when = { a = { \"$in\" = 1 } }\n"), BadValue, 9, "list"),
        (with("live_when = { a = [1] }\n"), BadValue, 9, "plain value"),
        (with("live_when = true\n"), WrongType, 9, "table"),
        (with("live_when = { a = 2023-06-07 }\n"), BadValue, 9, "offset"),
        (with("live_when = { a = 2023-06-07T00:00:00 }\n"), BadValue, 9, "offset"),
        (with("live_when = { a = 2023-06-07T00:00:00.0001Z }\n"), BadValue, 9, "milliseconds"),
        (with("retire_with = { a = false }\n"), BadValue, 9, "still hold"),
        (with("live_when = { a = true }\nretire_with = { a = true }\n"), BadValue, 10, "still hold"),
        (with("live_when = { a = 1 }\nretire_with = { a = { \"$ne\" = 1 } }\n"), BadValue, 10, "plain value"),
        ("[connections]\nlinks = [{ field = \"a\" }]\n".into(), Missing, 7, "means"),
        ("[connections]\nwarn_level = \"all\"\n".into(), BadValue, 7, "breaking"),
        ("[[project]]\nname = \"x\"\n".into(), WrongType, 6, "single brackets"),
    ] {
        let (at_kind, at, message) = refused(&format!("{BASE}{text}"));
        assert_eq!((at_kind, at), (kind, Some(line)), "{message}");
        assert!(message.contains(says), "{message}");
    }
    assert_eq!(refused("[collection]\nname = \"a\"\n").0, WrongType);
    assert_eq!(refused("collection = [1]\n").0, WrongType);
    assert_eq!(refused("project = 1\n").0, WrongType);
    let (kind, line, message) = refused("");
    assert_eq!((kind, line), (Missing, None));
    assert!(message.contains("no collection"));
}

#[test]
fn two_envs_may_not_be_one_database() {
    let both = "[env.a]\ndatabase = \"sqlite\"\nuri = \"x.db\"\n[env.b]\ndatabase = \"sqlite\"\nuri = \"x.db\"\n";
    let (kind, line, message) = refused(&format!("{BASE}{both}"));
    assert_eq!((kind, line), (ConfigErrorKind::Duplicate, Some(9)), "{message}");
    load(&format!("{BASE}{}", both.replacen("x.db", "y.db", 1)));
    load(&format!("{BASE}[env.b]\ndatabase = \"memory\"\n"));
}

#[test]
fn both_tables_of_collections_can_stand_together() {
    let file = load(&format!("{BASE}[storage]\nlive_collection = \"agents\"\n"));
    let names: Vec<_> = file.collections.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["agents", "prompts"]);
    assert_eq!((file.history_table.as_str(), file.heads_table.as_str()), ("config_history", "config_heads"));
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_are_fine() {
    let text = format!("\u{feff}{}", BASE.replace('\n', "\r\n"));
    assert_eq!(load(&text).collections.len(), 1);
    let (_, line, _) = refused(&format!("{text}zzz = 1\r\n"));
    assert_eq!(line, Some(6));
}

#[test]
fn the_examples_of_the_documentation_load() {
    let text = include_str!("../../../docs/configuration.md");
    let examples: Vec<&str> = text.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(examples.len(), 2);
    for example in examples {
        load(example);
    }
}

#[test]
fn the_documentation_names_every_setting() {
    let text = include_str!("../../../docs/configuration.md");
    for setting in load(FRIENDLY).effective() {
        let key = setting.key.rsplit('.').next().expect("a key");
        assert!(text.contains(&format!("`{key}`")) || text.contains(&format!("`{}`", setting.key)), "{}", setting.key);
    }
}

#[test]
fn a_table_is_one_collections() {
    let file = |a: &str, b: &str| {
        let collection =
            |name: &str, more: &str| format!("[[collection]]\nname = \"{name}\"\nid_field = \"id\"\n{more}\n");
        ConfigFile::parse(&format!("{}{}", collection("a", a), collection("b", b)))
    };
    for (a, b) in [
        ("table = \"t\"", "table = \"t\""),
        ("", "table = \"a\""),
        // Rules that no row satisfies both of do not help: ids are one name space in a table.
        ("table = \"t\"\nlive_when = { kind = \"a\" }", "table = \"t\"\nlive_when = { kind = \"b\" }"),
    ] {
        let error = file(a, b).expect_err("one table twice");
        assert_eq!(error.kind(), ConfigErrorKind::Duplicate, "{error}");
        assert!(error.to_string().contains("collections a and b"), "{error}");
    }
    assert!(file("table = \"t\"", "table = \"u\"").is_ok());
}
