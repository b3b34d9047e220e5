//! Runs `tests/scenarios/*.json` on every store. `tests/scenarios/README.md` says what the files mean.

mod lines;
mod matching;
mod single;
mod step;
mod system;
mod table;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use cfg_engine::Value;
use cfg_engine::config::Shape;
use cfg_engine::document::Object;
use cfg_engine_conformance::{Harness, MemoryHarness, Need, Space, is_there};
use futures_util::{StreamExt, stream};

pub(crate) use self::lines::Lines;
use crate::mongodb::MongoHarness;
use crate::postgres::PostgresHarness;
use crate::sqlite::SqliteHarness;

/// How many scenarios run beside each other on one store.
const AT_ONCE: usize = 6;

/// A scenario file.
struct Scenario {
    file: String,
    body: Value,
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../scenarios")
}

fn read(name: &str) -> Value {
    let text = std::fs::read_to_string(folder().join(name)).unwrap();
    Value::from_interchange(&text).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn scenarios() -> Vec<Scenario> {
    let names = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(".json") && !name.starts_with('_')).collect();
    names.sort();
    names.into_iter().map(|file| Scenario { body: read(&file), file }).collect()
}

impl Scenario {
    fn list(&self, member: &str) -> Vec<&str> {
        let list = self.body.get(member).and_then(Value::as_array).unwrap_or_default();
        list.iter().filter_map(Value::as_str).collect()
    }

    /// Returns why a store cannot run it.
    fn unfit(&self, harness: &dyn Harness) -> Option<String> {
        let shape = if harness.shape() == Shape::Row { "row" } else { "doc" };
        let shapes = self.list("shapes");
        if !shapes.is_empty() && !shapes.contains(&shape) {
            return Some(format!("shape {shape}"));
        }
        let lacks = |need: &&str| {
            let known = match *need {
                "free_fields" => Need::FreeFields,
                "mixed_ids" => Need::MixedIds,
                "extended_types" => Need::ExtendedTypes,
                other => panic!("{}: unknown need {other}", self.file),
            };
            !harness.has(known)
        };
        self.list("needs").into_iter().find(lacks).map(str::to_owned)
    }

    async fn run(&self, harness: &Arc<dyn Harness>, default: &Value) -> Result<(), String> {
        let config = self.body.get("config").unwrap_or(default);
        let space = Space::with(harness, table::tables(config)).await;
        let mut stage = step::Stage::new(&space, harness.has(Need::ClockControl), config);
        if self.body.get("init") != Some(&Value::Bool(false)) {
            stage.init().await;
        }
        if let Some(live) = self.body.get("live").and_then(Value::as_object) {
            for (collection, rows) in live {
                for row in rows.as_array().unwrap_or_default() {
                    stage.insert(Some(collection), row.as_object().unwrap()).await;
                }
            }
        }
        for (n, step) in self.body.get("steps").and_then(Value::as_array).unwrap_or_default().iter().enumerate() {
            let verb = step.get("do").and_then(Value::as_str).unwrap_or_default();
            let failed = |problem: String| format!("step {} ({verb}): {problem}", n + 1);
            stage.step(step).await.map_err(failed)?;
        }
        let expected = self.body.get("fsck").cloned().unwrap_or(Value::Array(Vec::new()));
        stage.sound(&expected).await
    }
}

#[expect(clippy::print_stdout, reason = "a skip that nobody sees is a pass")]
async fn run_all(harness: Arc<dyn Harness>) {
    if !is_there(&*harness) {
        return;
    }
    let default = read("_default.json");
    let only = std::env::var("CFG_TEST_SCENARIO").ok();
    let (mut skipped, mut failures) = (Vec::new(), Vec::new());
    let mut wanted = Vec::new();
    for scenario in scenarios() {
        if only.as_deref().is_some_and(|only| !scenario.file.contains(only)) {
            continue;
        }
        if let Some(need) = scenario.unfit(&*harness) {
            skipped.push(format!("{} ({need})", scenario.file));
            continue;
        }
        wanted.push(scenario);
    }
    let ran = wanted.len();
    // Each has a store of its own; a server has time for several.
    let mut runs = stream::iter(wanted)
        .map(|scenario| {
            let (harness, default) = (&harness, &default);
            async move { (scenario.run(harness, default).await, scenario.file) }
        })
        .buffered(AT_ONCE);
    while let Some((outcome, file)) = runs.next().await {
        if let Err(problem) = outcome {
            failures.push(format!("{file}: {problem}"));
        }
    }
    println!("{}: {ran} scenarios; skipped: {}", harness.name(), skipped.join(", "));
    assert!(failures.is_empty(), "{} of {ran} on {}:\n{}", failures.len(), harness.name(), failures.join("\n"));
}

#[tokio::test]
async fn memory_row() {
    run_all(Arc::new(MemoryHarness::new(Shape::Row))).await;
}

#[tokio::test]
async fn memory_doc() {
    run_all(Arc::new(MemoryHarness::new(Shape::Doc))).await;
}

#[tokio::test]
async fn sqlite_row() {
    run_all(Arc::new(SqliteHarness::new(Shape::Row))).await;
}

#[tokio::test]
async fn sqlite_doc() {
    run_all(Arc::new(SqliteHarness::new(Shape::Doc))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mongodb() {
    let harness = Arc::new(MongoHarness::new());
    if is_there(&*harness) {
        run_all(harness).await;
    }
}

#[tokio::test]
async fn postgres_row() {
    run_all(Arc::new(PostgresHarness::row())).await;
}

/// On `json`, which keeps the order of members that the files are written in.
#[tokio::test]
async fn postgres_doc() {
    run_all(Arc::new(PostgresHarness::json())).await;
}

/// What another language's runner may rely on.
#[test]
fn every_file_has_the_documented_form() {
    let scenarios = scenarios();
    assert!(scenarios.len() >= 60, "{} scenarios", scenarios.len());
    let known = ["name", "about", "shapes", "needs", "config", "init", "live", "steps", "fsck"];
    let mut names = BTreeSet::new();
    for Scenario { file, body } in &scenarios {
        let body: &Object = body.as_object().unwrap();
        let name = body.get("name").and_then(Value::as_str).unwrap();
        assert_eq!(file, &format!("{name}.json"), "the file is named after the scenario");
        assert!(names.insert(name.to_owned()));
        assert!(body.get("about").and_then(Value::as_str).is_some_and(|about| about.len() > 20), "{file}: about");
        assert!(body.keys().all(|key| known.contains(&key)), "{file}: unknown member");
        let steps = body.get("steps").and_then(Value::as_array).unwrap();
        assert!(!steps.is_empty(), "{file}: steps");
        for step in steps {
            let step = step.as_object().unwrap();
            assert!(step.keys().all(|key| ["do", "as", "env", "with", "expect"].contains(&key)), "{file}: {step:?}");
        }
    }
}
