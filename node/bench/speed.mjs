// How long a commit takes from Node and from Rust, in turns, on SQLite and, where CFG_TEST_MONGODB_URI names a
// server, on MongoDB; and the oid of a 2 KB document.
//
//     cargo build --release -p cfg-engine-benches --example session && node node/bench/speed.mjs
//
// Ratios of the same run count: nothing else should run beside it. With `--json FILE` the figures are written
// there, for docs/performance.md.

import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { open } from "cfg-engine";

const rust = fileURLToPath(new URL("../../target/release/examples/session", import.meta.url));
const median = (times) => times.sort((a, b) => a - b)[times.length >> 1];
const ROUNDS = 7;
const COUNT = 400;

const doc = { n: 0, model: "large", temperature: 0.2, prompt: "You are a planner. ".repeat(40), tools: [], limits: {} };
for (let n = 0; n < 12; n++) {
  doc.tools.push({ name: `tool-${n}`, enabled: n % 2 === 0, weight: n / 8, tags: ["a", "b"] });
  doc.limits[`limit_${n}`] = n * 1000;
}
console.log(`a document of ${JSON.stringify(doc).length} bytes`);
const rows = [];

const stores = [{ name: "SQLite", env: `database = "sqlite"\nuri = "app.db"`, limit: 1.4 }];
if (process.env.CFG_TEST_MONGODB_URI) {
  const env = `database = "mongo"\nuri = "env:CFG_TEST_MONGODB_URI"\ndb = "bench_node_${process.pid}"`;
  stores.push({ name: "MongoDB", env, limit: 1.1 });
}
for (const store of stores) {
  const dir = mkdtempSync(join(tmpdir(), "cfg-engine-bench-"));
  try {
    writeFileSync(join(dir, ".cfg.toml"), `[[collection]]\nname = "agents"\nid_field = "id"\n[env.dev]\n${store.env}\n`);
    execFileSync("python3", ["-c", "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('CREATE TABLE agents (id TEXT PRIMARY KEY, doc TEXT)')", join(dir, "app.db")]);
    const cfg = await open({ path: dir, author: "bench@example.com" });
    await cfg.init();
    await cfg.batch(["rust", "node"].map((id) => ({ id, doc })), { message: "bench" });

    const live = await cfg.get("node");
    let n = 0;
    const commits = async (count) => {
      const times = [];
      for (let k = 0; k < count; k++) {
        live.n = ++n;
        const started = performance.now();
        await cfg.commit("node", live, { message: "bench" });
        times.push((performance.now() - started) * 1000);
      }
      return median(times);
    };
    await commits(500);
    const found = { node: [], rust: [] };
    for (let round = 0; round < ROUNDS; round++) {
      found.node.push(await commits(COUNT));
      found.rust.push(Number(execFileSync(rust, [dir, String(COUNT)], { encoding: "utf8" })));
    }
    // What else runs only adds, so the best round of each counts.
    const [fromNode, fromRust] = [Math.min(...found.node), Math.min(...found.rust)];
    const times = fromNode / fromRust;
    const beside = `${fromNode.toFixed(0)} µs, from Rust ${fromRust.toFixed(0)} µs: ${times.toFixed(2)} times`;
    console.log(`commit on ${store.name}: ${beside} (at most ${store.limit})`);
    rows.push([`A commit on ${store.name}`, beside, `at most ${store.limit} times`, times <= store.limit]);
    if (store === stores[0]) {
      const oids = [];
      for (let round = 0; round < 200; round++) {
        const started = performance.now();
        for (let k = 0; k < 100; k++) cfg.oid(doc);
        oids.push(((performance.now() - started) * 1000) / 100);
      }
      const best = Math.min(...oids);
      console.log(`oid: ${best.toFixed(1)} µs (at most 25)`);
      rows.push(["`oid` of a 2 KB object", `${best.toFixed(1)} µs`, "at most 25 µs", best <= 25]);
    }
    await cfg.close();
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

const into = process.argv.indexOf("--json");
if (into > 0) writeFileSync(process.argv[into + 1], JSON.stringify(rows));
