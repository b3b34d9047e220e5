//! How the verbs grow on each store: with records, with versions, with the size of a document, and with the
//! time of a round trip. Writes `target/measured/growth.json`, from which `benches/report.py` draws.

use std::time::Duration;

use cfg_engine_benches::sample::{Results, alone, pair};
use cfg_engine_benches::stage::{Filled, Kind, Stage, Work};

async fn records(results: &mut Results) {
    let pairs = [
        pair("commit", Work::Commit(1), Work::Write(1)),
        pair("status", Work::Status, Work::ReadAll),
        pair("as-of, the list", Work::AsOf(false), Work::ReadAsOf(false)),
    ];
    // After the others: rows show their tags.
    let tag = [alone("tag, ten records after the last", Work::Tag(10))];
    let sizes = [100, 1_000, 10_000, 100_000];
    for records in &sizes[..if results.quick { 3 } else { 4 }] {
        for kind in Kind::here() {
            let mut stage = Stage::new(kind, *records, 512, Filled::Imported).await;
            results.note(kind, &mut stage).await;
            results.measure("records", kind, *records as f64, &mut stage, &pairs).await;
            results.measure("records", kind, *records as f64, &mut stage, &tag).await;
            stage.close().await;
        }
    }
}

async fn tags(results: &mut Results) {
    let pairs = [
        alone("as-of, the list of 1,000", Work::AsOf(false)),
        alone("as-of of one", Work::AsOfOne),
        alone("status of 1,000", Work::Status),
    ];
    for kind in Kind::here() {
        let mut stage = Stage::new(kind, 1_000, 512, Filled::Imported).await;
        let mut there = 0;
        // The first point stands for a store without tags.
        for tags in if results.quick { [0, 10, 30] } else { [0, 10, 100] } {
            while there < tags {
                stage.run(Work::Tag(10)).await;
                there += 1;
            }
            results.measure("tags", kind, f64::from(tags), &mut stage, &pairs).await;
        }
        stage.close().await;
    }
}

async fn versions(results: &mut Results) {
    let pairs = [
        pair("get", Work::Get, Work::Read),
        pair("commit", Work::Commit(1), Work::Write(1)),
        alone("as-of of one", Work::AsOfOne),
        alone("log, newest twenty", Work::Log),
        alone("blame", Work::Blame),
        alone("restore of one", Work::RestoreOne),
        alone("status of all 50", Work::Status),
        pair("as-of, all 50", Work::AsOf(true), Work::ReadAsOf(true)),
    ];
    let counts = [1, 10, 100, 1_000];
    for versions in &counts[..if results.quick { 3 } else { 4 }] {
        for kind in Kind::here() {
            let mut stage = Stage::new(kind, 50, 512, Filled::Loaded(*versions)).await;
            results.measure("versions", kind, *versions as f64, &mut stage, &pairs).await;
            stage.close().await;
        }
    }
}

async fn sizes(results: &mut Results) {
    let pairs = [
        pair("commit", Work::Commit(1), Work::Write(1)),
        pair("status of ten", Work::Status, Work::ReadAll),
        pair("restore of one", Work::RestoreOne, Work::Write(1)),
    ];
    for size in [512, 8 << 10, 64 << 10, 1 << 20] {
        for kind in Kind::here() {
            let mut stage = Stage::new(kind, 10, size, Filled::Imported).await;
            results.measure("size", kind, size as f64, &mut stage, &pairs).await;
            stage.close().await;
        }
    }
}

async fn round_trips(results: &mut Results) {
    let pairs = [
        pair("commit", Work::Commit(1), Work::Write(1)),
        pair("restore of 100", Work::RestoreAll(100), Work::Write(100)),
        pair("status of 100", Work::Status, Work::ReadAll),
    ];
    for kind in Kind::here() {
        // A file has no network before it.
        let Some((line, uri)) = kind.line() else { continue };
        let mut stage = Stage::new(kind, 100, 2048, Filled::Imported).await;
        stage.through(&uri).await;
        for ms in [0, 1, 5, 20, 50] {
            line.set_round_trip(Duration::from_millis(ms));
            results.measure("round trip", kind, ms as f64, &mut stage, &pairs).await;
        }
        line.set_round_trip(Duration::ZERO);
        stage.close().await;
    }
}

fn main() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let mut results = Results::new("growth");
    runtime.block_on(async {
        records(&mut results).await;
        tags(&mut results).await;
        versions(&mut results).await;
        sizes(&mut results).await;
        round_trips(&mut results).await;
    });
    results.write();
}
