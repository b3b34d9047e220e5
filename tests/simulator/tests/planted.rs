//! Bugs planted in the engine and in the modelled stores: the simulator must notice every one soon.
//!
//! A process of its own: a bug is chosen for the whole process. The table in `docs/robustness.md` is written
//! with `CFG_WRITE_TABLE=1 cargo test -p cfg-engine-simulator --test planted`.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use cfg_engine_simulator::{Store, simulate};

/// How many seeds there are to notice a bug.
const SEEDS: u64 = 1000;

/// Each bug, where it is planted, and what it is.
const BUGS: [(&str, &str, &str); 39] = [
    ("adopt-reads-outside", "stores", "an adoption records what was read before its transaction"),
    ("adoption-not-compared", "engine", "an adoption says nothing of what live has to be"),
    ("backdated-entry-is-head", "engine", "what is written last becomes HEAD, however old"),
    ("base-not-compared", "engine", "the version that an author had seen is not looked at"),
    ("chained-to-head", "engine", "an entry links to HEAD and not to the tip"),
    ("clock-not-checked", "stores", "a batch may say any time"),
    ("clock-not-monotonic", "engine", "a batch is recorded when the store's clock says, later than the tips or not"),
    ("delete-by-id", "stores", "a deletion takes every row of the id, live or not"),
    ("document-written-whole", "stores", "the document as it was read replaces the one that is there"),
    ("drift-not-refused", "engine", "a commit goes on over a write around the tool"),
    ("ends-left-open", "engine", "the entry that was HEAD keeps its open ends"),
    ("half-done-change-dropped", "stores", "an announced change that reached live is forgotten"),
    ("head-by-oid", "stores", "HEAD is compared by content alone"),
    ("head-set-back", "stores", "a change that is finished late puts its own HEAD over a later one"),
    ("ignored-field-overwritten", "engine", "fields that are not versioned are written as the author had them"),
    ("interval-closed-by-oid", "stores", "every entry of the same content is closed"),
    ("interval-not-closed", "stores", "the ends of older entries are not written"),
    ("journaling-off", "stores", "what is written stays written when the rest fails"),
    ("key-not-looked-up", "engine", "a call that comes again with its key is a new one"),
    ("live-guard-dropped", "stores", "live is not compared in the transaction"),
    ("live-guard-not-sent", "engine", "a batch says nothing of what live has to be"),
    ("live-intent-taken-over", "stores", "the announcement of a program that still runs is taken for left behind"),
    ("loaded-beside-head-alone", "engine", "a loaded version is placed without looking at the others"),
    ("loaded-time-not-bound", "engine", "an entry may be valid from later than it is recorded"),
    ("numbered-from-head", "engine", "numbers are counted from HEAD and not from the tip"),
    ("object-version-not-compared", "stores", "the last writer of a tag wins"),
    ("pre-image-not-recorded", "engine", "what a change writes over is not recorded first"),
    ("removal-not-compared", "engine", "a deletion says nothing of what live has to be"),
    ("restore-over-drift", "engine", "a restore goes on over a write around the tool"),
    ("row-not-looked-at-again", "stores", "a row that was waited for is taken for what it was"),
    ("second-live-row-ignored", "stores", "of several live rows the first is taken"),
    ("secret-in-baseline", "engine", "a first version keeps the secrets"),
    ("secret-in-history", "engine", "a commit's version keeps the secrets"),
    ("tag-before-its-parts", "engine", "a tag is written before what it means"),
    ("tag-moved-unasked", "engine", "a tag that is there is moved without being told to"),
    ("tip-not-compared", "stores", "only HEAD is compared"),
    ("unknown-commit-retried", "engine", "an unknown outcome is not looked up"),
    ("unknown-commit-taken-for-done", "stores", "an unknown outcome is reported as done"),
    ("write-conflict-ignored", "stores", "of two transactions that write one row both are committed"),
];

/// Who noticed: the seed, the store, and what was said.
type Noticed = (u64, Store, String);

/// Runs seeds until one notices; the least of them.
fn notice() -> Option<Noticed> {
    let (next, found) = (AtomicU64::new(0), Mutex::new(None::<Noticed>));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= SEEDS || found.lock().unwrap().is_some() {
                        break;
                    }
                    let store = Store::ALL[(seed % 5) as usize];
                    let said = match catch_unwind(AssertUnwindSafe(|| simulate(seed, 200))) {
                        Ok(run) => run.violations.into_iter().next(),
                        Err(_) => Some("a panic".to_owned()),
                    };
                    let Some(said) = said else { continue };
                    let mut found = found.lock().unwrap();
                    if found.as_ref().is_none_or(|(least, _, _)| seed < *least) {
                        *found = Some((seed, store, said));
                    }
                }
            });
        }
    });
    found.into_inner().unwrap()
}

/// Takes what differs from run to run out of what was said.
fn brief(said: &str) -> String {
    let said = said.split(": [").next().unwrap_or(said);
    let said = match said.split_once("batch ") {
        Some((_, rest)) => rest.split_once(": ").map_or(rest, |(_, what)| what),
        None => said,
    };
    said.chars().take(100).collect::<String>().replace('|', "/")
}

#[test]
fn every_planted_bug_is_noticed() {
    let only = std::env::var("CFG_PLANTED").ok();
    let mut table =
        String::from("| bug | planted in | what it does | noticed by seed | what is said |\n|---|---|---|---|---|\n");
    let mut missed = Vec::new();
    for (name, place, what) in BUGS {
        if only.as_ref().is_some_and(|only| only != name) {
            continue;
        }
        cfg_engine::planted::choose(Some(name));
        let noticed = notice();
        cfg_engine::planted::choose(None);
        match noticed {
            Some((seed, store, said)) => {
                println!("{name}: {seed} {store:?}: {said}");
                writeln!(table, "| `{name}` | {place} | {what} | {seed} ({store:?}) | {} |", brief(&said)).unwrap();
            }
            None => missed.push(name),
        }
    }
    assert_eq!(missed, Vec::<&str>::new(), "nobody notices these within {SEEDS} seeds");
    if std::env::var_os("CFG_WRITE_TABLE").is_some() && only.is_none() {
        write_table(&table);
    }
}

/// Puts the table between its marks in the page.
fn write_table(table: &str) {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/robustness.md");
    let text = std::fs::read_to_string(page).unwrap();
    let (begin, end) = ("<!-- planted: begin -->\n", "<!-- planted: end -->");
    let (head, rest) = text.split_once(begin).unwrap();
    let (_, tail) = rest.split_once(end).unwrap();
    std::fs::write(page, format!("{head}{begin}{table}{end}{tail}")).unwrap();
}

/// The page names every bug, so that none is forgotten in it.
#[test]
fn the_page_names_every_planted_bug() {
    let page = include_str!("../../../docs/robustness.md");
    for (name, _, _) in BUGS {
        assert!(page.contains(&format!("| `{name}` |")), "{name} is not in docs/robustness.md: CFG_WRITE_TABLE=1 …");
    }
}
