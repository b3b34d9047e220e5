//! Measures verbs in turns with the same work by hand: medians with quartiles, commands counted.
//!
//! criterion measures one function after the other and as often as it takes for a narrow interval. Here a
//! point may take a second and there are hundreds of them; what is wanted is their course, and that what is
//! compared was measured in the same moments.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::stage::{Kind, Sample, Stage, Work};

/// A verb, and the same by hand.
#[derive(Debug, Clone, Copy)]
pub struct Pair {
    /// What the page calls it.
    pub verb: &'static str,
    /// The verb.
    pub ours: Work,
    /// By hand, where there is such a thing.
    pub by_hand: Option<Work>,
}

/// Compares a verb with the same by hand.
pub const fn pair(verb: &'static str, ours: Work, by_hand: Work) -> Pair {
    Pair { verb, ours, by_hand: Some(by_hand) }
}

/// Measures a verb that nobody does by hand.
pub const fn alone(verb: &'static str, ours: Work) -> Pair {
    Pair { verb, ours, by_hand: None }
}

/// Gathers points.
#[derive(Debug)]
pub struct Results {
    /// Shorter, for a first look.
    pub quick: bool,
    points: Vec<Value>,
    about: serde_json::Map<String, Value>,
    file: PathBuf,
    started: Instant,
}

impl Results {
    /// Starts; `--quick` on the command line makes it short.
    pub fn new(name: &str) -> Results {
        let target = std::env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"), PathBuf::from);
        Results {
            quick: std::env::args().any(|word| word == "--quick"),
            points: Vec::new(),
            about: serde_json::Map::new(),
            file: target.join("measured").join(format!("{name}.json")),
            started: Instant::now(),
        }
    }

    /// Measures the pairs of one point in turns, until each has its share of time.
    #[expect(clippy::print_stderr, reason = "it takes minutes: says how far it is")]
    pub async fn measure(&mut self, series: &str, kind: Kind, x: f64, stage: &mut Stage, pairs: &[Pair]) {
        let (share, least, most) = if self.quick { (0.15, 3, 15) } else { (1.5, 5, 60) };
        let began = Instant::now();
        let mut gathered: Vec<[Vec<Sample>; 2]> = pairs.iter().map(|_| [Vec::new(), Vec::new()]).collect();
        let mut spent = vec![Duration::ZERO; pairs.len()];
        let mut commands = Vec::with_capacity(pairs.len());
        for round in 0..=most {
            // The first is for warming up, and for counting commands.
            stage.count(round == 0);
            for (at, pair) in pairs.iter().enumerate() {
                let samples = &mut gathered[at];
                if samples[0].len() >= least && spent[at].as_secs_f64() > share {
                    continue;
                }
                let start = Instant::now();
                let ours = stage.run(pair.ours).await;
                let by_hand = match pair.by_hand {
                    Some(work) => Some(stage.run(work).await),
                    None => None,
                };
                if round == 0 {
                    commands.push(ours.commands);
                } else {
                    samples[0].push(ours);
                    samples[1].extend(by_hand);
                    spent[at] += start.elapsed();
                }
            }
        }
        for ((pair, [ours, by_hand]), commands) in pairs.iter().zip(gathered).zip(commands) {
            self.points.push(point(series, kind, x, pair.verb, "cfg-engine", commands, ours));
            if pair.by_hand.is_some() {
                self.points.push(point(series, kind, x, pair.verb, "by hand", None, by_hand));
            }
        }
        let (total, took) = (self.started.elapsed().as_secs_f64(), began.elapsed().as_secs_f64());
        eprintln!("{total:6.1} s  {series} {} {x}: {took:.1} s", kind.name());
    }

    /// Notes what the store says of itself.
    pub async fn note(&mut self, kind: Kind, stage: &mut Stage) {
        let about = stage.about().await.into_iter().map(|(name, value)| (name.to_owned(), value.into()));
        self.about.insert(kind.name().to_owned(), Value::Object(about.collect()));
    }

    /// Writes the file that `benches/report.py` reads.
    pub fn write(self) {
        std::fs::create_dir_all(self.file.parent().unwrap()).unwrap();
        let seconds = self.started.elapsed().as_secs_f64();
        let all = json!({ "quick": self.quick, "seconds": seconds, "about": self.about, "points": self.points });
        std::fs::write(&self.file, serde_json::to_string_pretty(&all).unwrap()).unwrap();
    }
}

fn point(
    series: &str,
    kind: Kind,
    x: f64,
    verb: &str,
    by: &str,
    commands: Option<u64>,
    mut samples: Vec<Sample>,
) -> Value {
    samples.sort_by_key(|sample| sample.took);
    let at = |share: f64| samples[((samples.len() - 1) as f64 * share).round() as usize].took.as_secs_f64();
    json!({
        "series": series, "store": kind.name(), "x": x, "verb": verb, "by": by, "samples": samples.len(),
        "median": at(0.5), "low": at(0.25), "high": at(0.75), "commands": commands,
    })
}
