//! The JSON Schemas of every output, as a test.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use jsonschema::{Registry, Resource, Validator};
use serde_json::Value;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/schemas");

static VALIDATORS: LazyLock<BTreeMap<String, Validator>> = LazyLock::new(|| {
    let files = std::fs::read_dir(FOLDER).expect("the schemas");
    let schemas: BTreeMap<String, Value> = files
        .map(|file| {
            let path = file.expect("a schema").path();
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            let text = std::fs::read_to_string(&path).expect("a schema");
            (name, serde_json::from_str(&text).expect("JSON"))
        })
        .collect();
    let common = schemas["common"].clone();
    let id = common["$id"].as_str().expect("an id").to_owned();
    let registry = Registry::new().add(id, Resource::from_contents(common)).expect("common.json");
    let registry = registry.prepare().expect("a registry");
    schemas
        .iter()
        .map(|(name, schema)| {
            let built = jsonschema::draft202012::options().with_registry(&registry).build(schema);
            (name.clone(), built.unwrap_or_else(|e| panic!("{name}.json: {e}")))
        })
        .collect()
});

/// Checks an output against its schema.
pub(crate) fn check(schema: &str, value: &Value) {
    let validator = VALIDATORS.get(schema).unwrap_or_else(|| panic!("no schema {schema}"));
    let problems: Vec<String> =
        validator.iter_errors(value).map(|e| format!("{} at {}", e, e.instance_path())).collect();
    assert!(problems.is_empty(), "{schema}.json: {problems:#?}\n{value:#}");
}

#[test]
fn schemas_are_not_satisfied_by_anything() {
    for (name, validator) in VALIDATORS.iter().filter(|(name, _)| *name != "common") {
        for wrong in ["3", "null", "[3]", "{\"x\": 1}", "[{}]"] {
            let wrong: Value = serde_json::from_str(wrong).expect("JSON");
            assert!(!validator.is_valid(&wrong), "{name}.json takes {wrong}");
        }
    }
}
