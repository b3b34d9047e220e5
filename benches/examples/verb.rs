//! Does one thing on one store again and again, and prints how long it took: for a look at it alone, and for a
//! profiler. `verb STORE VERB RECORDS TIMES`.

use cfg_engine_benches::stage::{Filled, Kind, Stage, Work};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [store, verb, records, times] = args.as_slice() else {
        return Err("usage: verb sqlite|postgres|mongodb VERB RECORDS TIMES".into());
    };
    let kind = Kind::here().into_iter().find(|kind| kind.name() == store).ok_or("no such store here")?;
    let records: usize = records.parse()?;
    let work = match verb.as_str() {
        "commit" => Work::Commit(1),
        "batch" => Work::Commit(records.min(1_000)),
        "write" => Work::Write(records.min(1_000)),
        "restore" => Work::RestoreAll(records.min(1_000)),
        "dry-run" => Work::DryRun,
        "status" => Work::Status,
        "read" => Work::ReadAll,
        "as-of" => Work::AsOf(false),
        "as-of-documents" => Work::AsOf(true),
        "as-of-documents-by-hand" => Work::ReadAsOf(true),
        "tag" => Work::Tag(10),
        _ => return Err("no such verb".into()),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let mut out = String::new();
    runtime.block_on(async {
        let mut stage = Stage::new(kind, records, 2048, Filled::Imported).await;
        for _ in 0..times.parse()? {
            let sample = stage.run(work).await;
            out.push_str(&format!("{:.1} ms\n", sample.took.as_secs_f64() * 1e3));
        }
        stage.count(true);
        if let Some(commands) = stage.run(work).await.commands {
            out.push_str(&format!("{commands} commands\n"));
        }
        stage.close().await;
        Ok::<_, std::num::ParseIntError>(())
    })?;
    std::io::Write::write_all(&mut std::io::stdout(), out.as_bytes())?;
    Ok(())
}
