//! Commits the same record again and again and prints the microseconds of each: what another language's
//! package is measured against. `commit_speed FOLDER ID COUNT`

use std::error::Error;
use std::time::Instant;

use cfg_engine::engine::{Commit, Options};
use cfg_engine_connect::{OpenOptions, open};

#[expect(clippy::print_stdout, reason = "the result")]
#[expect(clippy::disallowed_methods, reason = "a measurement")]
fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [folder, id, count] = args.as_slice() else { return Err("commit_speed FOLDER ID COUNT".into()) };
    let count: u32 = count.parse()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let options = OpenOptions { author: Some("bench@example.com".to_owned()), ..OpenOptions::from_dir(folder) };
        let project = open(options).await?.project()?;
        let record = project.record(id).await?;
        let mut read = project.get(&record).await?;
        let options = Options::message("bench");
        let mut began = Instant::now();
        for n in 0..count + 20 {
            if n == 20 {
                began = Instant::now();
            }
            read.doc.as_object_mut().ok_or("an object")?.insert("n", i64::from(n) + 1000);
            let commit = Commit::new(project.record(id).await?, read.doc.clone()).with_base(read.base.clone());
            let report = project.commit(&commit, &options).await?;
            let written = report.written().next().ok_or("written")?;
            read.base = written.base.clone();
        }
        println!("{:.1}", began.elapsed().as_secs_f64() * 1e6 / f64::from(count));
        Ok(())
    })
}
