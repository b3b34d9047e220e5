// The examples, compiled as their readers would and run.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { before, test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";

import { open } from "cfg-engine";

import { repository } from "./support/repository.mjs";
import { endApplications } from "./support/sqlite.mjs";
import { AUTHOR, folder, onSqlite } from "./support/world.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const examples = join(here, "../examples");
const require = createRequire(import.meta.url);
const example = (name) => import(pathToFileURL(join(examples, "build", name)).href);

test.after(endApplications);

before(async () => {
  const tsc = join(dirname(require.resolve("typescript/package.json")), "bin/tsc");
  await promisify(execFile)(process.execPath, [tsc, "-p", examples]).catch(({ stdout }) => assert.fail(stdout));
});

test("the types of the package", async () => {
  const tsc = join(dirname(require.resolve("typescript/package.json")), "bin/tsc");
  await promisify(execFile)(process.execPath, [tsc, "-p", join(here, "types")]).catch(({ stdout }) => assert.fail(stdout));
});

test("a service with history and restore", async (t) => {
  const { cfg, application } = await onSqlite(t);
  const { createApp } = await example("express-service.mjs");
  const server = createApp(cfg).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  const url = `http://127.0.0.1:${server.address().port}/configs`;
  const ask = async (method, path, body, headers = {}) => {
    const options = { method, headers: { "content-type": "application/json", "x-user": "ana@example.com", ...headers } };
    if (body !== undefined) options.body = JSON.stringify(body);
    const response = await fetch(url + path, options);
    return { status: response.status, etag: response.headers.get("etag"), body: await response.json() };
  };
  assert.equal((await ask("GET", "/planner")).status, 404);
  assert.equal((await ask("PUT", "/planner", { model: "small", retries: 1 })).etag, '"1"');
  const read = await ask("GET", "/planner");
  assert.deepEqual([read.status, read.etag, read.body], [200, '"1"', { model: "small", retries: 1 }]);
  assert.equal((await ask("PUT", "/planner", { model: "large", retries: 2 }, { "if-match": '"1"', "x-reason": "bigger" })).etag, '"2"');
  const conflict = await ask("PUT", "/planner", { model: "x", retries: 3 }, { "if-match": '"1"' });
  assert.deepEqual([conflict.status, conflict.body.code], [409, "stale_base"]);
  const history = await ask("GET", "/planner/history");
  assert.deepEqual(history.body.map(({ seq, message, author, doc }) => [seq, message, author.id, doc.model]), [
    [2, "bigger", "ana@example.com", "large"],
    [1, "changed through the service", "ana@example.com", "small"],
  ]);
  assert.equal((await ask("GET", "/planner/history?limit=1")).body.length, 1);
  const restored = await ask("POST", "/planner/restore", { version: "@1", reason: "it was better" });
  assert.deepEqual([restored.status, restored.body.seq, restored.body.doc], [200, 3, { model: "small", retries: 1 }]);
  assert.equal((await ask("POST", "/planner/restore", {})).status, 400);
  assert.equal((await ask("POST", "/planner/restore", { version: "@99" })).status, 404);
  assert.equal((await ask("POST", "/planner/restore", { version: "?" })).status, 422);
  await application.run("UPDATE agents SET doc = '{\"model\":\"raw\"}'");
  assert.deepEqual((await ask("PUT", "/planner", { model: "y", retries: 1 })).body.status, "changed_outside_cfg");
  assert.equal((await ask("GET", `/${encodeURIComponent("odd:id@7")}`)).status, 404);
});

test("a seed script of the raw driver becomes one with history", async (t) => {
  const uri = process.env.CFG_TEST_MONGODB_URI;
  if (!uri) {
    // Where the checkout knows how to start one, a run that counts has started it.
    const startable = existsSync(join(repository, "tests/servers/mongodb"));
    assert.ok(process.env.CI !== "true" || !startable, "CFG_TEST_MONGODB_URI is not set");
    return t.skip('no MongoDB; start one with: eval "$(tests/servers/mongodb up)"');
  }
  const { MongoClient, SEED, seed, seedRaw, takeBack } = await example("mongodb-seed.mjs");
  const client = await MongoClient.connect(uri);
  const db = `cfg_node_${process.pid}`;
  t.after(async () => {
    await client.db(db).dropDatabase();
    await client.close();
  });
  const configs = client.db(db).collection("agent_configs");
  await seedRaw(configs);
  const dir = await folder(t);
  await writeFile(join(dir, ".cfg.toml"), `[storage]\nlive_collection = "agent_configs"\n\n[env.dev]\ndatabase = "mongo"\nuri = "env:SEED_URI"\ndb = "${db}"\n`);
  const cfg = await open({ path: dir, author: AUTHOR, variables: { SEED_URI: uri } });
  t.after(() => cfg.close());
  await cfg.init();
  // The raw script had run before: its documents are the first versions.
  const first = await seed(cfg, "the seed of today");
  assert.ok(first.results.every(({ unchanged }) => unchanged));
  await configs.updateOne({ config_id: "planner" }, { $set: { model: "raw" } });
  const second = await seed(cfg, "the seed of tomorrow");
  assert.deepEqual(second.results.filter(({ unchanged }) => !unchanged).map(({ configId }) => configId), ["planner"]);
  assert.deepEqual((await cfg.log("planner")).map(({ op }) => op), ["commit", "adopt", "adopt"]);
  await takeBack(cfg, "planner");
  const planner = await configs.findOne({ config_id: "planner" }, { promoteValues: false });
  assert.equal(planner.model, "raw");
  assert.equal(planner.max_tokens._bsontype, "Long");
  assert.equal(String(planner.price), String(SEED[0].price));
  assert.equal(planner.since.getTime(), SEED[0].since.getTime());
  assert.deepEqual((await cfg.fsck()).findings, []);
});
