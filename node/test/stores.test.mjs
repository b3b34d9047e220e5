// The stores that are servers: the same calls, with the types that each has.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";

import * as bson from "bson";
import { ConflictError, open, withoutBase } from "cfg-engine";

import { repository } from "./support/repository.mjs";
import { AUTHOR, folder } from "./support/world.mjs";

const why = { message: "a test" };

/** Returns where a server is, or says loudly why there is none. */
function server(t, variable, name) {
  const uri = process.env[variable];
  if (uri) return uri;
  const startable = existsSync(join(repository, "tests/servers", name));
  assert.ok(process.env.CI !== "true" || !startable, `${variable} is not set`);
  t.skip(`${variable} is not set; start a server with: eval "$(tests/servers/${name} up)"`);
  return undefined;
}

async function project(t, env) {
  const dir = await folder(t);
  await writeFile(join(dir, ".cfg.toml"), `[[collection]]\nname = "agents"\nid_field = "config_id"\n\n[env.dev]\n${env}\n`);
  const cfg = await open({ path: dir, author: AUTHOR });
  t.after(() => cfg.close());
  await cfg.init();
  return cfg;
}

test("MongoDB", async (t) => {
  const uri = server(t, "CFG_TEST_MONGODB_URI", "mongodb");
  if (uri === undefined) return;
  const { MongoClient } = await import("mongodb");
  const client = await MongoClient.connect(uri);
  const name = `cfg_node_stores_${process.pid}`;
  t.after(async () => {
    await client.db(name).dropDatabase();
    await client.close();
  });
  const live = client.db(name).collection("agents");
  const original = { config_id: "x", n: bson.Long.fromNumber(5), at: new Date(5), price: bson.Decimal128.fromString("1.10"), owner: new bson.ObjectId(), raw: new bson.Binary(Buffer.from([1, 2])), ratio: new bson.Double(2) };
  await live.insertOne(original);
  const cfg = await project(t, `database = "mongo"\nuri = "env:CFG_TEST_MONGODB_URI"\ndb = "${name}"`);
  await cfg.import("x", why);
  const doc = await cfg.get("x");
  assert.equal(doc.n, 5);
  assert.ok(doc.at instanceof Date && doc.raw instanceof Uint8Array);
  assert.equal(String(doc.price), "1.10");
  doc.n += 1;
  doc.ratio += 1;
  const stale = { ...doc };
  await cfg.commit("x", doc, why);
  const stored = await live.findOne({ config_id: "x" }, { promoteValues: false });
  assert.deepEqual([stored.n._bsontype, String(stored.n), stored.ratio._bsontype, Number(stored.ratio)], ["Long", "6", "Double", 3]);
  await assert.rejects(cfg.commit("x", stale, why), ConflictError);
  await cfg.restore("x", 1, why);
  const restored = await live.findOne({ config_id: "x" }, { promoteValues: false });
  for (const field of ["n", "at", "price", "owner", "raw", "ratio"]) {
    assert.equal(bson.EJSON.stringify(restored[field], { relaxed: false }), bson.EJSON.stringify(original[field], { relaxed: false }), field);
  }
  const edits = Array.from({ length: 8 }, (_, n) => cfg.edit("x", (d) => void (d[`f${n}`] = n), { ...why, retries: 100 }));
  await Promise.all(edits);
  assert.equal((await cfg.log("x")).length, 11);
  assert.deepEqual((await cfg.fsck()).findings, []);
});

test("PostgreSQL", async (t) => {
  const uri = server(t, "CFG_TEST_POSTGRES_URI", "postgres");
  if (uri === undefined) return;
  const { default: pg } = await import("pg");
  const client = new pg.Client({ connectionString: uri });
  await client.connect();
  const table = `agents_node_${process.pid}`;
  t.after(async () => {
    await client.query(`DROP SCHEMA IF EXISTS ${table} CASCADE`);
    await client.end();
  });
  await client.query(`CREATE SCHEMA ${table}`);
  await client.query(`CREATE TABLE ${table}.agents (config_id text PRIMARY KEY, doc jsonb)`);
  const dir = await folder(t);
  const own = new URL(uri);
  own.searchParams.set("options", `-c search_path=${table}`);
  await writeFile(join(dir, ".cfg.toml"), `[[collection]]\nname = "agents"\nid_field = "config_id"\n\n[env.dev]\ndatabase = "postgres"\nuri = "env:PG_URI"\n`);
  const cfg = await open({ path: dir, author: AUTHOR, variables: { PG_URI: own.href.replaceAll("+", "%20") } });
  t.after(() => cfg.close());
  await cfg.init();
  await client.query(`INSERT INTO ${table}.agents VALUES ('x', '{"n": 9007199254740993, "m": 1.10}')`);
  await cfg.import("x", why);
  const doc = await cfg.get("x");
  assert.deepEqual(withoutBase(doc), { n: 9007199254740993n, m: 1.1 });
  doc.n += 2n;
  await cfg.commit("x", doc, why);
  const { rows } = await client.query(`SELECT doc->>'n' AS n, doc->>'m' AS m FROM ${table}.agents`);
  assert.deepEqual(rows, [{ n: "9007199254740995", m: "1.10" }]);
  await cfg.restore("x", 1, why);
  const edits = Array.from({ length: 8 }, (_, n) => cfg.edit("x", (d) => void (d[`f${n}`] = n), { ...why, retries: 100 }));
  await Promise.all(edits);
  assert.equal((await cfg.log("x")).length, 11);
  assert.deepEqual((await cfg.fsck()).findings, []);
});
