//! Bugs planted in the SQLite adapter, at the gate and in restores: the contract's cases, the tests of approvals and
//! those of redaction must notice every one.

use std::process::{Command, Stdio};

/// Names the bug that a process was started to have.
const CHOSEN: &str = "CFG_TEST_PLANTED";

/// Every bug that is planted in the SQLite adapter.
const IN_SQLITE: [&str; 7] = [
    "clock-not-checked",
    "failed-batch-committed",
    "head-by-oid",
    "interval-not-closed",
    "live-guard-dropped",
    "object-version-not-compared",
    "tip-not-compared",
];

/// Every bug that is planted where approvals are used.
const AT_THE_GATE: [&str; 2] = ["approval-not-consumed", "approval-of-any-plan"];

/// Every bug that is planted where a version is brought back.
const IN_RESTORE: [&str; 1] = ["redacted-version-kept"];

/// Makes the bug that this process was started to have; else none.
pub(crate) fn choose() {
    if let Ok(name) = std::env::var(CHOSEN) {
        cfg_engine::planted::choose(Some(&name));
    }
}

/// Runs some tests in a process that has a bug; returns those that fail.
fn failing(tests: &str, bug: Option<&str>) -> Vec<String> {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([tests, "--test-threads=2"]).env("RUST_BACKTRACE", "0").stderr(Stdio::null());
    if let Some(bug) = bug {
        command.env(CHOSEN, bug);
    }
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("test result: "), "{text}");
    let failed = |line: &str| Some(line.strip_prefix("test ")?.strip_suffix(" ... FAILED")?.to_owned());
    text.lines().filter_map(failed).collect()
}

#[expect(clippy::print_stdout, reason = "what the table in docs/robustness.md is written from")]
fn all_are_noticed(place: &str, tests: &str, bugs: &[&str]) {
    assert_eq!(failing(tests, None), Vec::<String>::new(), "without a bug");
    for bug in bugs {
        let mut cases = failing(tests, Some(bug));
        cases.sort();
        assert!(!cases.is_empty(), "nobody notices {bug}");
        println!("planted | {bug} | {place} | {} tests, first `{}`", cases.len(), cases[0]);
    }
}

#[test]
fn redaction_notices_every_bug_planted_in_restore() {
    all_are_noticed("restore", "redaction::what_is_redacted", &IN_RESTORE);
}

#[test]
fn approvals_notice_every_bug_planted_at_the_gate() {
    all_are_noticed("gate", "approvals::", &AT_THE_GATE);
}

#[test]
fn the_contract_notices_every_bug_planted_in_an_adapter() {
    all_are_noticed("SQLite adapter", "adapters::sqlite_row", &IN_SQLITE);
}
