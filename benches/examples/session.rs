//! Commits one document again and again through `Session`, as the packages for other languages do, and prints
//! the median in microseconds: what a commit from Node or Python is compared with.
//!
//! `session FOLDER COUNT`: the folder has a `.cfg.toml`.

use std::time::Instant;

use cfg_engine::Value;
use cfg_engine::document::Object;
use cfg_engine_connect::{OpenOptions, Session};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(folder), Some(count)) = (args.next(), args.next()) else {
        return Err("usage: session FOLDER COUNT".into());
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let median = runtime.block_on(async {
        let options = OpenOptions { author: Some("bench@example.com".into()), ..OpenOptions::from_dir(folder) };
        let session = std::sync::Arc::new(Session::open(options).await?);
        let mut taken = Vec::new();
        let read = session.call("get", named("rust"), None).await?.data;
        let (mut doc, mut base) = (read.get("doc").cloned().unwrap_or_default(), read.get("base").cloned());
        for n in 0..count.parse::<i64>()? {
            if let Some(members) = doc.as_object_mut() {
                members.insert("n", n + 1_000_000);
            }
            let item = named("rust").with("doc", doc.clone()).with("base", base.take().unwrap_or_default());
            let call = Object::new().with("items", vec![item]).with("message", "bench");
            let started = Instant::now();
            // On a thread of the runtime, as every caller's work is.
            let session = std::sync::Arc::clone(&session);
            let answer = tokio::spawn(async move { session.call("commit", call, None).await }).await??;
            taken.push(started.elapsed());
            base = answer.replies().first().and_then(|reply| reply.get("base").cloned());
        }
        taken.sort_unstable();
        Ok::<_, Box<dyn std::error::Error>>(taken[taken.len() / 2])
    })?;
    let mut line = format!("{:.1}", median.as_secs_f64() * 1e6);
    line.push('\n');
    std::io::Write::write_all(&mut std::io::stdout(), line.as_bytes())?;
    Ok(())
}

fn named(id: &str) -> Object {
    Object::new().with("id", Value::from(id))
}
