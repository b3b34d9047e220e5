//! The corpus of every target, what is generated from grammars, and a corpus that is mutated.
//!
//! `CFG_FUZZ_MINUTES=10 CFG_TEST_NIGHTLY=1 cargo test -p cfg-engine-fuzz mutated -- --nocapture` mutates for so
//! many minutes for each target; an input that fails is printed, and belongs into its corpus.

#![allow(clippy::unwrap_used, clippy::print_stdout, unexpected_cfgs)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use cfg_engine_fuzz::{Mutator, TARGETS};
use proptest::prelude::*;

// The targets compile here as they are, without cargo-fuzz.
#[allow(dead_code)]
#[path = "../targets/fuzz_targets/canonical.rs"]
mod canonical_target;
#[allow(dead_code)]
#[path = "../targets/fuzz_targets/config.rs"]
mod config_target;
#[allow(dead_code)]
#[path = "../targets/fuzz_targets/extended.rs"]
mod extended_target;
#[allow(dead_code)]
#[path = "../targets/fuzz_targets/history.rs"]
mod history_target;
#[allow(dead_code)]
#[path = "../targets/fuzz_targets/patches.rs"]
mod patches_target;
#[allow(dead_code)]
#[path = "../targets/fuzz_targets/paths.rs"]
mod paths_target;
#[allow(dead_code)]
#[path = "../targets/fuzz_targets/references.rs"]
mod references_target;

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/corpus")).join(target);
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

#[test]
fn every_corpus_replays() {
    for (name, target) in TARGETS {
        let corpus = corpus(name);
        assert!(corpus.len() >= 8, "{name} has a corpus");
        corpus.iter().for_each(|data| target(data));
    }
}

/// Runs a target on an input, and shows the input where it fails.
fn check(name: &str, target: fn(&[u8]), data: &[u8]) {
    if catch_unwind(AssertUnwindSafe(|| target(data))).is_err() {
        panic!("{name} fails on {:?}", String::from_utf8_lossy(data));
    }
}

#[test]
fn mutated_corpora_break_nothing() {
    let is_nightly = std::env::var_os("CFG_TEST_NIGHTLY").is_some();
    let minutes: u64 = std::env::var("CFG_FUZZ_MINUTES").ok().and_then(|n| n.parse().ok()).unwrap_or(10);
    let seed: u64 = std::env::var("CFG_FUZZ_SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
    std::thread::scope(|scope| {
        for half in [&TARGETS[..4], &TARGETS[4..]] {
            scope.spawn(move || {
                for (name, target) in half {
                    let started = Instant::now();
                    let mut mutator = Mutator::new(seed, corpus(name));
                    let mut inputs = 0_u64;
                    loop {
                        let data = mutator.input();
                        check(name, *target, &data);
                        inputs += 1;
                        // What is text may be worth going on from.
                        if inputs.is_multiple_of(64) && std::str::from_utf8(&data).is_ok() {
                            mutator.keep(data);
                        }
                        let is_over = match is_nightly {
                            true => {
                                inputs.is_multiple_of(256) && started.elapsed() >= Duration::from_secs(60 * minutes)
                            }
                            false => inputs == 20_000,
                        };
                        if is_over {
                            break;
                        }
                    }
                    println!("{name}: {inputs} inputs in {:.0} s", started.elapsed().as_secs_f64());
                }
            });
        }
    });
}

fn json() -> impl Strategy<Value = String> {
    let name = prop_oneof!["[a-c]{1,2}", Just("$date".to_owned()), Just("$literal".to_owned()), ".{0,3}"];
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|b| b.to_string()),
        any::<i64>().prop_map(|n| n.to_string()),
        any::<f64>().prop_filter("finite", |n| n.is_finite()).prop_map(|n| format!("{n:e}")),
        "-?[0-9]{1,25}(\\.[0-9]{1,25})?([eE][+-]?[0-9]{1,3})?",
        ".{0,8}".prop_map(|text| quoted(&text)),
        Just(r#"{"$date":{"$numberLong":"1"}}"#.to_owned()),
        Just(r#"{"$numberDecimal":"1.50"}"#.to_owned()),
        Just(r#"{"$binary":{"base64":"AAEC","subType":"00"}}"#.to_owned()),
    ];
    leaf.prop_recursive(4, 32, 5, move |inner| {
        let members = prop::collection::vec((name.clone(), inner.clone()), 0..5);
        prop_oneof![
            prop::collection::vec(inner, 0..5).prop_map(|items| format!("[{}]", items.join(", "))),
            members.prop_map(|members| {
                let members: Vec<String> = members.iter().map(|(k, v)| format!("{}: {v}", quoted(k))).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

fn quoted(text: &str) -> String {
    cfg_engine::Value::from(text).to_json()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn generated_json_holds(text in json()) {
        cfg_engine_fuzz::canonical(text.as_bytes());
        cfg_engine_fuzz::extended(text.as_bytes());
    }

    #[test]
    fn generated_patches_hold(doc in json(), patch in json()) {
        cfg_engine_fuzz::patches(format!("{doc}\n{patch}").as_bytes());
    }

    #[test]
    fn generated_words_hold(text in "[a-c@{}~^:./\\[\\]0-9=\"'T+ -]{0,24}", any in ".{0,24}") {
        for text in [text, any] {
            cfg_engine_fuzz::references(text.as_bytes());
            cfg_engine_fuzz::paths(text.as_bytes());
            cfg_engine_fuzz::config(text.as_bytes());
        }
    }

    #[test]
    fn generated_histories_hold(
        lines in prop::collection::vec(("[a-c]", 0..9_u8, prop::option::of(json())), 0..6)
    ) {
        let line = |(id, day, doc): &(String, u8, Option<String>)| {
            let doc = doc.as_ref().map_or("null".to_owned(), |doc| format!(r#"{{"body": {doc}}}"#));
            format!(r#"{{"id": "{id}", "time": "2020-01-0{}T00:00:00Z", "doc": {doc}}}"#, day + 1)
        };
        let text: Vec<String> = lines.iter().map(line).collect();
        cfg_engine_fuzz::history(text.join("\n").as_bytes());
    }
}
