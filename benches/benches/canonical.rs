//! How fast a document becomes its oid, against hashing alone and against an RFC 8785 library.

use cfg_engine_benches as _;
use std::fmt::Write as _;
use std::hint::black_box;

use cfg_engine::Value;
use cfg_engine::document::{FieldPolicy, canonical_bytes, oid};
use criterion::{BenchmarkId, Criterion, Throughput};
use sha2::{Digest, Sha256};

/// Sentences as prompts have them: quotes, dashes, line ends, names of members.
const SENTENCES: &[&str] = &[
    "You plan the work before you start it, and you keep the plan up to date.\n",
    "Never call `delete_record` without an approval; ask for one instead.\n\n",
    "Answer in the language of the question \u{2014} \u{201c}auto\u{201d} means the language of the last message.\n",
    "- Use \"search\" for anything newer than your training data.\n",
    "- Stop after {{max_steps}} steps and report what is missing.\n",
    "Return JSON only: {\"groups\": [\u{2026}], \"confidence\": 0.0 to 1.0}.\n",
    "If a tool fails twice, say so; don\u{2019}t retry it a third time.\n",
];

/// A document of about `size` bytes of JSON, always the same for the same size.
fn agent_config(size: usize) -> String {
    let mut text = String::from(
        r#"{"_id": {"name": "planner"}, "model": "large-2026-01", "temperature": 0.7, "top_p": 0.95, "max_tokens": 8192, "is_active": true, "fallback": null, "owner": "Zoë Müller", "limits": {"per_minute": 120, "usd_per_day": 12.5, "timeout_ms": 30000}, "labels": ["planning", "prod", "v3"], "instructions": ""#,
    );
    prompt(&mut text, 0, size / 4);
    text.push_str(r#"", "tools": ["#);
    let mut n = 0;
    while text.len() + 300 < size || n == 0 {
        if n > 0 {
            text.push_str(", ");
        }
        let _ = write!(
            text,
            r#"{{"name": "tool_{n}", "enabled": {}, "version": {n}, "weight": {}, "timeout_ms": {}, "retry": {{"max": 3, "backoff": 1.5, "jitter": 0.1}}, "description": ""#,
            n % 3 != 0,
            f64::from(n) * 0.37 + 0.001,
            1000 + n * 17
        );
        prompt(&mut text, n as usize, 160.min(size / 16));
        text.push_str(
            r#"", "input_schema": {"type": "object", "required": ["query"], "properties": {"query": {"type": "string", "maxLength": 400}, "limit": {"type": "integer", "minimum": 1, "default": 10}, "filters": {"type": "array", "items": {"enum": ["new", "open", "done"]}}}}}"#,
        );
        n += 1;
    }
    text.push_str("]}");
    text
}

/// Appends about `size` bytes of prompt, escaped for JSON.
fn prompt(text: &mut String, from: usize, size: usize) {
    let end = text.len() + size;
    for sentence in SENTENCES.iter().cycle().skip(from) {
        if text.len() >= end {
            return;
        }
        text.push_str(&sentence.replace('"', "\\\"").replace('\n', "\\n"));
    }
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let policy = FieldPolicy::default();
    for (name, size) in [("2 KB", 2 << 10), ("32 KB", 32 << 10), ("1 MB", 1 << 20)] {
        let text = agent_config(size);
        let ours = Value::from_json(&text).expect("the generated text is JSON");
        let theirs: serde_json::Value = serde_json::from_str(&text).expect("the generated text is JSON");
        let bytes = canonical_bytes(&ours, &policy).expect("the generated document has a canonical form");

        let mut group = criterion.benchmark_group("oid");
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(BenchmarkId::new("sha256 only", name), |b| b.iter(|| Sha256::digest(black_box(&bytes))));
        group.bench_function(BenchmarkId::new("cfg-engine", name), |b| b.iter(|| oid(black_box(&ours), &policy)));
        group.bench_function(BenchmarkId::new("serde_jcs + sha2", name), |b| {
            b.iter(|| serde_jcs::to_vec(black_box(&theirs)).map(Sha256::digest));
        });
        group.finish();

        let mut group = criterion.benchmark_group("parse");
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(BenchmarkId::new("cfg-engine", name), |b| b.iter(|| Value::from_json(black_box(&text))));
        group.bench_function(BenchmarkId::new("cfg-engine interchange", name), |b| {
            b.iter(|| Value::from_interchange(black_box(&text)));
        });
        group.bench_function(BenchmarkId::new("serde_json", name), |b| {
            b.iter(|| serde_json::from_str::<serde_json::Value>(black_box(&text)));
        });
        group.finish();
    }
    criterion.final_summary();
}
