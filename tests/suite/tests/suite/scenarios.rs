//! Runs `tests/scenarios/*.json` on every store. `tests/scenarios/README.md` says what the files mean.

mod lines;
mod matching;
mod step;
mod table;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use cfg_engine::Value;
use cfg_engine::config::Shape;
use cfg_engine::document::Object;
use cfg_engine_conformance::{Harness, MemoryHarness, Need, Space};

pub(crate) use self::lines::Lines;
use crate::sqlite::SqliteHarness;

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
    let default = read("_default.json");
    let only = std::env::var("CFG_TEST_SCENARIO").ok();
    let (mut ran, mut skipped, mut failures) = (0, Vec::new(), Vec::new());
    for scenario in scenarios() {
        if only.as_deref().is_some_and(|only| !scenario.file.contains(only)) {
            continue;
        }
        if let Some(need) = scenario.unfit(&*harness) {
            skipped.push(format!("{} ({need})", scenario.file));
            continue;
        }
        ran += 1;
        if let Err(problem) = scenario.run(&harness, &default).await {
            failures.push(format!("{}: {problem}", scenario.file));
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
