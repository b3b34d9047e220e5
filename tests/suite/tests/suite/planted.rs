//! Bugs planted in the SQLite adapter: the contract's cases must notice every one.

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

/// Makes the bug that this process was started to have; else none.
pub(crate) fn choose() {
    if let Ok(name) = std::env::var(CHOSEN) {
        cfg_engine::planted::choose(Some(&name));
    }
}

/// Runs the contract on SQLite in a process that has a bug; returns the cases that fail.
fn failing(bug: Option<&str>) -> Vec<String> {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["adapters::sqlite_row", "--test-threads=2"]).env("RUST_BACKTRACE", "0").stderr(Stdio::null());
    if let Some(bug) = bug {
        command.env(CHOSEN, bug);
    }
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("test result: "), "{text}");
    let failed = |line: &str| Some(line.strip_prefix("test ")?.strip_suffix(" ... FAILED")?.to_owned());
    text.lines().filter_map(failed).collect()
}

#[test]
fn the_contract_notices_every_bug_planted_in_an_adapter() {
    assert_eq!(failing(None), Vec::<String>::new(), "without a bug");
    for bug in IN_SQLITE {
        let mut cases = failing(Some(bug));
        cases.sort();
        assert!(!cases.is_empty(), "nobody notices {bug}");
        println!("planted | {bug} | sqlite adapter | {} of the contract's cases, first `{}`", cases.len(), cases[0]);
    }
}
