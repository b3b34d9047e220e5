//! Each verb on each store, in turns with the same work by hand: what `docs/performance.md` says of the stores
//! side by side. Writes `target/measured/system.json`.

use cfg_engine_benches::sample::{Results, alone, pair};
use cfg_engine_benches::stage::{Filled, Kind, Stage, Work};

async fn thousand(results: &mut Results, kind: Kind) {
    let pairs = [
        pair("commit", Work::Commit(1), Work::Write(1)),
        pair("batch", Work::Commit(1_000), Work::Write(1_000)),
        alone("tag", Work::Tag(1_000)),
        alone("tag again", Work::Tag(10)),
        pair("restore", Work::RestoreAll(1_000), Work::Write(1_000)),
    ];
    let mut stage = Stage::new(kind, 1_000, 2048, Filled::Imported).await;
    results.note(kind, &mut stage).await;
    results.measure("system", kind, 1_000.0, &mut stage, &pairs).await;
    stage.close().await;
}

async fn ten_thousand(results: &mut Results, kind: Kind) {
    let mut stage = Stage::new(kind, 10_000, 2048, Filled::Imported).await;
    let reading = [
        pair("as-of", Work::AsOf(false), Work::ReadAsOf(false)),
        pair("as-of with documents", Work::AsOf(true), Work::ReadAsOf(true)),
        pair("status", Work::Status, Work::ReadAll),
    ];
    results.measure("system", kind, 10_000.0, &mut stage, &reading).await;
    // The tag comes before the changes.
    stage.run(Work::DryRun).await;
    for (changed, verb) in [(500, "dry run, 500 differ"), (9_500, "dry run, all differ")] {
        stage.changed(changed).await;
        results.measure("system", kind, 10_000.0, &mut stage, &[pair(verb, Work::DryRun, Work::Status)]).await;
    }
    stage.close().await;
}

async fn long_history(results: &mut Results, kind: Kind) {
    let mut stage = Stage::new(kind, 1, 512, Filled::Loaded(5_000)).await;
    results.measure("system", kind, 5_000.0, &mut stage, &[alone("blame", Work::Blame)]).await;
    stage.close().await;
}

fn main() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let mut results = Results::new("system");
    runtime.block_on(async {
        for kind in Kind::here() {
            thousand(&mut results, kind).await;
            ten_thousand(&mut results, kind).await;
            long_history(&mut results, kind).await;
        }
    });
    results.write();
}
