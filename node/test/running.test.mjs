// What a service relies on: signals, progress, panics, workers, several instances, a clean exit.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createRequire } from "node:module";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";

import { CfgError, ConflictError, open } from "cfg-engine";

import { endApplications } from "./support/sqlite.mjs";
import { AUTHOR, inMemory, onSqlite } from "./support/world.mjs";

test.after(endApplications);

const why = { message: "a test" };
const require = createRequire(import.meta.url);
const here = (name) => fileURLToPath(new URL(name, import.meta.url));

/** The native half itself, for what no method of the package can bring about. */
function native() {
  const entry = require.resolve("cfg-engine");
  return createRequire(entry)(join(entry, "../../native/index.js"));
}

test("import and require give the same classes", async (t) => {
  const required = require("cfg-engine");
  assert.equal(required.ConflictError, ConflictError);
  const cfg = await inMemory(t);
  await assert.rejects(cfg.get("x"), required.NotFoundError);
  const { base } = await import("cfg-engine");
  assert.equal(required.base, base);
});

test("every outcome of the engine has a class", () => {
  const { errorClasses } = createRequire(require.resolve("cfg-engine"))("./errors.js");
  const rows = JSON.parse(native().outcomes().ok);
  assert.equal(rows.length, Object.keys(errorClasses).length);
  const seen = new Set();
  for (const { kind, status, exit_code: exitCode } of rows) {
    const error = new errorClasses[kind]({ kind, status, exitCode, code: "c", message: "m", hint: null, data: { configId: 7, collection: "a" } });
    assert.ok(error instanceof CfgError && error instanceof Error);
    assert.deepEqual([error.status, error.exitCode, error.configId, error.collection, error.name], [status, exitCode, 7, "a", errorClasses[kind].name]);
    assert.deepEqual(JSON.parse(JSON.stringify(error)).code, "c");
    seen.add(errorClasses[kind]);
  }
  assert.equal(seen.size, rows.length);
});

test("a panic is an error, and the process goes on", async (t) => {
  const inside = (name) => JSON.stringify(join(require.resolve("cfg-engine"), "..", name));
  const script = `const { panicForTest } = require(${inside("../native/index.js")});
    const { Native } = require(${inside("native.js")});
    const codes = [JSON.parse(panicForTest().error).code];
    new Native().panic().catch((error) => { codes.push(error.code); console.log(codes.join()); });`;
  const { code, out } = await run(process.execPath, ["-e", script]);
  assert.deepEqual([code, out.trim()], [0, "panic,panic"]);
  const cfg = await inMemory(t);
  await cfg.commit("x", { n: 1 }, why);
});

async function run(command, args, options = {}) {
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], ...options });
  let out = "";
  let err = "";
  child.stdout.on("data", (data) => (out += data));
  child.stderr.on("data", (data) => (err += data));
  const [code, signal] = await once(child, "close");
  return { code, signal, out, err };
}

test("a signal stops the waiting; what writes is finished", async (t) => {
  const { cfg } = await onSqlite(t);
  const gone = AbortSignal.abort(new Error("gone"));
  await assert.rejects(cfg.get("x", { signal: gone }), /gone/);
  await assert.rejects(cfg.commit("x", { n: 1 }, { ...why, signal: gone }), /gone/);
  await assert.rejects(cfg.history("x", { signal: gone }).next(), /gone/);
  await assert.rejects(open({ path: cfg.root, signal: gone }), /gone/);
  assert.equal((await cfg.status()).length, 0);
  const aborting = new AbortController();
  const committing = cfg.commit("x", { n: 1 }, { ...why, signal: aborting.signal });
  aborting.abort();
  await assert.rejects(committing, { name: "AbortError" });
  for (let n = 0; n < 200 && (await cfg.status()).length === 0; n++) await sleep(10);
  assert.equal((await cfg.get("x")).n, 1);
  const looking = new AbortController();
  const reading = Promise.allSettled(Array.from({ length: 50 }, () => cfg.status({ signal: looking.signal })));
  looking.abort();
  assert.ok((await reading).every(({ reason }) => reason?.name === "AbortError"));
  const timeout = AbortSignal.timeout(60_000);
  assert.equal((await cfg.get("x", { signal: timeout })).n, 1);
});

test("long calls say how far they have come", async (t) => {
  const { cfg, application } = await onSqlite(t);
  await application.run("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1200) INSERT INTO agents SELECT 'r' || i, '{\"n\":1}' FROM n");
  const told = [];
  await cfg.import({ all: true }, { ...why, progress: (done, total) => told.push([done, total]) });
  assert.ok(told.length >= 2, `${told.length}`);
  assert.deepEqual(told.at(-1), [1200, 1200]);
  for (const call of ["status", "fsck"]) {
    const seen = [];
    await cfg[call]({ progress: (done) => seen.push(done) });
    assert.ok(seen.length > 0, call);
  }
  await assert.rejects(cfg.status({ progress: () => { throw new TypeError("mine"); } }), TypeError);
});

/** The event loop delay while something is done: the 99th percentile in milliseconds. */
async function delayOf(work) {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  await work();
  delay.disable();
  return delay.percentile(99) / 1e6;
}

test("a thousand commits at once, none lost, and the event loop turns", async (t) => {
  const { cfg } = await onSqlite(t);
  await cfg.commit("warm", { n: 0 }, why);
  // What else the machine does only adds to what is measured, so the best of some rounds counts; and where a
  // loop that is kept for four milliseconds a turn is late by more, nothing can be on time.
  const found = [];
  const limit = Math.max(20, 1.5 * (await delayOf(async () => {
    const end = performance.now() + 500;
    while (performance.now() < end) {
      for (const turn = performance.now() + 4; performance.now() < turn; );
      await sleep(1);
    }
  })));
  let written = 1;
  while (found.length < 5 && !found.some((p99) => p99 <= limit)) {
    const round = found.length;
    let changes;
    found.push(await delayOf(async () => {
      changes = await Promise.all(Array.from({ length: 1000 }, (_, n) => cfg.commit(`r${round}-${n}`, { n, text: "x".repeat(200) }, why)));
    }));
    assert.ok(changes.every(({ seq }) => seq === 1));
    written += changes.length;
  }
  t.diagnostic(`event loop delay p99 ${found.map((p99) => p99.toFixed(1)).join(", ")} ms, at most ${limit.toFixed(1)} ms`);
  const rows = await cfg.status({ all: true });
  assert.equal(rows.filter(({ state }) => state === "clean").length, written);
  assert.deepEqual((await cfg.fsck()).findings, []);
  assert.ok(found.some((p99) => p99 <= limit), `event loop delay p99 is ${found.map((p99) => p99.toFixed(1)).join(", ")} ms`);
});

test("two instances on one database see each other's commits", async (t) => {
  const { cfg, dir } = await onSqlite(t);
  const other = await open({ path: dir, author: "b@example.com" });
  t.after(() => other.close());
  await cfg.commit("x", { n: 1 }, why);
  const doc = await other.get("x");
  await cfg.commit("x", { n: 2 }, why);
  await assert.rejects(other.commit("x", { ...doc, n: 3 }, why), ConflictError);
  const adding = (project, id) => project.edit(id, (d) => { d.n += 1; }, { ...why, retries: 100 });
  await Promise.all(Array.from({ length: 20 }, (_, n) => adding(n % 2 ? cfg : other, "x")));
  assert.equal((await cfg.get("x")).n, 22);
});

test("worker threads work, and one that is ended takes nothing with it", async (t) => {
  const { cfg, dir } = await onSqlite(t);
  const workers = [1, 2, 3].map((number) => new Worker(here("support/worker.mjs"), { workerData: { dir, number, count: 20 } }));
  const done = await Promise.all(workers.map(async (worker) => {
    // Both can come in one turn.
    const [[message]] = await Promise.all([once(worker, "message"), once(worker, "exit")]);
    return message;
  }));
  assert.deepEqual(done, [20, 20, 20]);
  assert.equal((await cfg.status({ all: true })).length, 60);
  for (let n = 0; n < 5; n++) {
    const worker = new Worker(here("support/worker.mjs"), { workerData: { dir, number: 10 + n, count: 10_000 } });
    await once(worker, "online");
    await sleep(60);
    await worker.terminate();
  }
  await cfg.commit("after", { n: 1 }, why);
  assert.deepEqual((await cfg.fsck()).findings, []);
  const rows = await cfg.status({ all: true });
  assert.ok(rows.every(({ state }) => state === "clean"));
});

test("nothing keeps the process alive after close, nor without it", async (t) => {
  const { dir } = await onSqlite(t);
  for (const [name, last] of [["closed", "await cfg.close();"], ["left open", ""], ["disposed", "{ await using again = cfg; }"]]) {
    const script = `import { open } from "cfg-engine";
      const cfg = await open({ path: ${JSON.stringify(dir)}, author: ${JSON.stringify(AUTHOR)} });
      await cfg.edit("x", (d) => { d.n += 1; }, { message: "m" }).catch(() => cfg.commit("x", { n: 1 }, { message: "m" }));
      await cfg.status({ progress: () => {} });
      ${last.replace("await using again = cfg;", "await cfg[Symbol.asyncDispose]();")}
      console.log("end");`;
    const started = performance.now();
    const { code, out, err } = await run(process.execPath, ["--input-type=module", "-e", script], { cwd: here(".") });
    assert.deepEqual([code, out], [0, "end\n"], `${name}: ${err}`);
    assert.ok(performance.now() - started < 20_000, name);
  }
});

test("close lets what is under way end, and what comes later is refused", async (t) => {
  const { cfg, dir } = await onSqlite(t);
  const commits = Array.from({ length: 50 }, (_, n) => cfg.commit(`r${n}`, { n }, why));
  await cfg.close();
  const settled = await Promise.allSettled(commits);
  assert.ok(settled.every(({ status }) => status === "fulfilled"), JSON.stringify(settled.find(({ status }) => status === "rejected")));
  await assert.rejects(cfg.get("r1"), (error) => error.code === "closed");
  await cfg.close();
  const again = await open({ path: dir, author: AUTHOR });
  assert.equal((await again.status({ all: true })).length, 50);
  await again.close();
});
