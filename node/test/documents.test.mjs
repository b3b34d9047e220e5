// Documents carry what their author had seen; verbs on them.

import assert from "node:assert/strict";
import { mkdir, readFile, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";

import { BadConfigError, ChangedOutsideError, ConflictError, NotFoundError, RefusedError, base, baseOf, config, open, withoutBase } from "cfg-engine";

import { endApplications } from "./support/sqlite.mjs";
import { AUTHOR, folder, inMemory, onSqlite } from "./support/world.mjs";

test.after(endApplications);

const why = { message: "a test" };

test("a document that was read is compared with what was read", async (t) => {
  const cfg = await inMemory(t);
  await cfg.commit("planner", { model: "small", n: 1 }, why);
  const mine = await cfg.get("planner");
  const theirs = await cfg.get("planner");
  theirs.n = 2;
  await cfg.commit("planner", theirs, why);
  mine.model = "large";
  await assert.rejects(cfg.commit("planner", mine, why), (error) => {
    assert.ok(error instanceof ConflictError);
    assert.deepEqual([error.name, error.status, error.code, error.configId, error.collection, error.exitCode], ["ConflictError", "conflict", "stale_base", "planner", "agents", 2]);
    assert.match(error.hint, /read it again/);
    return true;
  });
  // A copy made with a spread carries the base as well; JSON does not show it.
  await assert.rejects(cfg.commit("planner", { ...mine, n: 5 }, why), ConflictError);
  assert.deepEqual(Object.keys(mine), ["model", "n"]);
  assert.equal(JSON.stringify(mine), '{"model":"large","n":1}');
  assert.deepStrictEqual(withoutBase(mine), { model: "large", n: 1 });
});

test("after a commit the local object has the content and base of now", async (t) => {
  const cfg = await inMemory(t);
  await cfg.commit("planner", { n: 1, token: "t0p" }, why);
  const doc = await cfg.get("planner");
  doc.n = 2;
  doc.token = "n3w";
  const change = await cfg.commit("planner", doc, why);
  assert.equal(baseOf(doc).seq, 2);
  assert.deepStrictEqual(doc.token, { $secret: true });
  assert.deepStrictEqual(change.doc, doc);
  assert.deepStrictEqual(change.base, doc[base]);
  doc.n = 3;
  assert.equal((await cfg.commit("planner", doc, why)).seq, 3);
  // What a caller made may be meant for other records too, so it stays as it is.
  const template = { n: 9 };
  await cfg.commit("a", template, why);
  await cfg.commit("b", template, why);
  assert.equal(baseOf(template), undefined);
  assert.deepStrictEqual(Reflect.ownKeys(template), ["n"]);
  // A frozen document stays what it is.
  const frozen = Object.freeze({ ...(await cfg.get("a")), n: 10 });
  await cfg.commit("a", frozen, why);
  assert.equal(baseOf(frozen).seq, 1);
});

test("a base can be named, or left out on purpose", async (t) => {
  const cfg = await inMemory(t);
  await cfg.commit("x", { n: 1 }, why);
  await cfg.commit("x", { n: 2 }, why);
  await assert.rejects(cfg.commit("x", { n: 3 }, { ...why, base: "@1" }), ConflictError);
  await assert.rejects(cfg.commit("x", { n: 3 }, { ...why, base: 1 }), ConflictError);
  assert.equal((await cfg.commit("x", { n: 3 }, { ...why, base: 2 })).seq, 3);
  const stale = await cfg.get("x");
  await cfg.commit("x", { n: 4 }, why);
  assert.equal((await cfg.commit("x", { ...stale, n: 5 }, { ...why, base: null })).replaced.seq, 4);
});

test("edit reads, changes and commits, and does it again where another was first", async (t) => {
  const cfg = await inMemory(t);
  await cfg.commit("x", { n: 0, tags: [] }, why);
  const add = (tag) => cfg.edit("x", (doc) => { doc.tags.push(tag); }, { ...why, retries: 50 });
  await Promise.all([..."abcdefgh"].map(add));
  assert.deepEqual((await cfg.get("x")).tags.sort(), [..."abcdefgh"]);
  assert.equal((await cfg.edit("x", ({ tags }) => ({ n: 1, tags }), why)).doc.n, 1);
  assert.equal((await cfg.edit("x", async () => {}, why)).unchanged, true);
  let calls = 0;
  await assert.rejects(cfg.edit("x", async (doc) => {
    calls += 1;
    await cfg.set("x", [`n:=${calls + 10}`], why);
    doc.n = 0;
  }, { ...why, retries: 2 }), ConflictError);
  assert.equal(calls, 3);
  await assert.rejects(cfg.edit("x", () => { throw new TypeError("mine"); }, why), TypeError);
});

test("several records change together or not at all", async (t) => {
  const cfg = await inMemory(t);
  const report = await cfg.batch([{ id: "a", doc: { n: 1 } }, { id: "b", doc: { n: 2 } }], why);
  assert.deepEqual(report.results.map(({ configId, seq }) => [configId, seq]), [["a", 1], ["b", 1]]);
  assert.equal(report.results[0].entry.opId, report.results[1].entry.opId);
  const a = await cfg.get("a");
  await cfg.commit("a", { n: 5 }, why);
  a.n = 6;
  await assert.rejects(cfg.batch([{ doc: a }, { id: "b", set: ["n:=9"] }], why), ConflictError);
  assert.equal((await cfg.get("b")).n, 2);
  const [fresh, other] = await cfg.getMany(["a", "b"]);
  fresh.n = 7;
  await cfg.batch([{ doc: fresh }, { doc: other }, { id: "c", doc: { n: 3 } }], why);
  assert.equal(baseOf(fresh).seq, 3);
  assert.equal(baseOf(other).seq, 1);
  const one = await cfg.batch([{ id: "a", merge: { n: 8 } }], why);
  assert.equal(one.results.length, 1);
  const plan = await cfg.batch([{ id: "a", patch: [{ op: "replace", path: "/n", value: 9 }] }], { ...why, dryRun: true });
  assert.match(plan.planOid, /^[0-9a-f]{64}$/);
  assert.equal((await cfg.get("a")).n, 8);
});

test("patches and fields", async (t) => {
  const cfg = await inMemory(t);
  await cfg.commit("x", { n: 1, list: ["a"], at: new Date(5) }, why);
  await cfg.patch("x", [{ op: "add", path: "/list/-", value: new Date(7) }], why);
  await cfg.merge("x", { m: { when: new Date(9) }, n: null }, why);
  await cfg.set("x", ["n:=3", "list+=b"], why);
  await cfg.set("x", { "m.deep": 2n ** 60n, "list[0]": "z" }, why);
  await cfg.set("x", ["at"], { ...why, delete: true });
  assert.deepStrictEqual(withoutBase(await cfg.get("x")), { list: ["z", new Date(7), "b"], m: { when: new Date(9), deep: 2n ** 60n }, n: 3 });
  await cfg.set("x", {}, { ...why, secrets: { token: "s3cret" } });
  assert.deepStrictEqual((await cfg.get("x")).token, { $secret: true });
  assert.deepEqual((await cfg.log("x", { limit: 1 }))[0].meta.via, "set");
});

test("ids are taken as they are named", async (t) => {
  const cfg = await inMemory(t);
  await cfg.commit({ id: "odd@3" }, { n: 1 }, why);
  await cfg.commit({ id: "agents:x", collection: "agents" }, { n: 2 }, why);
  await cfg.commit({ id: 7 }, { n: 3 }, why);
  await cfg.commit({ id: "7" }, { n: 4 }, why);
  await cfg.commit({ id: '"quoted"' }, { n: 5 }, why);
  await cfg.commit(8, { n: 6 }, why);
  const rows = await cfg.status({ all: true });
  assert.deepEqual(new Set(rows.map(({ configId }) => configId)), new Set(["odd@3", "agents:x", 7, "7", '"quoted"', 8]));
  for (const row of rows) {
    const { n } = await cfg.get(row);
    assert.equal((await cfg.get({ id: row.configId })).n, n);
  }
  await assert.rejects(cfg.get("7"), (error) => error instanceof RefusedError && error.code === "ambiguous_address");
  assert.deepEqual(await cfg.address("odd@3"), { collection: "agents", configId: "odd@3", reference: null });
});

test("history goes back page by page, and ends", async (t) => {
  const cfg = await inMemory(t);
  for (let n = 1; n <= 7; n++) await cfg.commit("x", { n }, { message: `v${n}` });
  await cfg.batch(["a", "b", "c", "d", "e"].map((id) => ({ id, doc: { n: 1 } })), why);
  for (const page of [1, 2, 3, 7, 8, 200]) {
    const seqs = [];
    for await (const entry of cfg.history("x", { page })) seqs.push(entry.seq);
    assert.deepEqual(seqs, [7, 6, 5, 4, 3, 2, 1], `page ${page}`);
    const all = [];
    for await (const entry of cfg.history({ page, withDoc: true })) all.push(`${entry.configId}@${entry.seq}`);
    assert.equal(all.length, 12, `page ${page}`);
    assert.equal(new Set(all).size, 12, `page ${page}`);
  }
  const some = [];
  for await (const entry of cfg.history("x", { page: 2, withDoc: true })) {
    some.push(entry.doc.n);
    if (some.length === 3) break;
  }
  assert.deepEqual(some, [7, 6, 5]);
});

test("time travel", async (t) => {
  const cfg = await inMemory(t);
  const first = await cfg.commit("x", { n: 1 }, why);
  await new Promise((resolve) => setTimeout(resolve, 5));
  await cfg.commit("x", { n: 2 }, why);
  const then = first.entry.recordedAt;
  assert.ok(then instanceof Date);
  const [held] = await cfg.asOf(then, { withDoc: true });
  assert.deepEqual([held.seq, held.doc], [1, { n: 1 }]);
  assert.equal((await cfg.asOf(undefined, { recorded: then, id: "x" }))[0].seq, 1);
  assert.equal((await cfg.asOf(then.toISOString(), { recorded: new Date(), ids: ["x"] }))[0].seq, 1);
  assert.equal((await cfg.show("x", then)).seq, 1);
  assert.equal((await cfg.show("x", 1)).doc.n, 1);
  assert.equal((await cfg.show("x@1")).seq, 1);
  assert.equal((await cfg.show("x")).seq, 2);
  assert.equal(baseOf(await cfg.show("x", "=live")).seq, 2);
  assert.equal(await cfg.field("x", "n", "@1"), 1);
  assert.deepEqual((await cfg.diff("x", then, "=live")).changes.map(({ path, before, after }) => [path, before, after]), [["n", 1, 2]]);
  assert.deepEqual((await cfg.diff({ from: then })).map(({ configId }) => configId), ["x"]);
  const back = await cfg.restore("x", then, why);
  assert.deepEqual([back.seq, back.doc.n, back.entry.meta.restored_from.seq], [3, 1, 1]);
  await assert.rejects(cfg.asOf(), RefusedError);
});

test("writes around the tool", async (t) => {
  const { cfg, application } = await onSqlite(t);
  await application.run("INSERT INTO agents VALUES ('a', '{\"n\":1}'), ('b', '{\"n\":1}'), ('c', '{\"n\":1}')");
  const imported = await cfg.import({ all: true }, { validFrom: new Date(Date.now() - 1000), ...why });
  assert.deepEqual(imported.results.map(({ seq }) => seq), [1, 1, 1]);
  await application.run("UPDATE agents SET doc = '{\"n\":2}' WHERE id = 'a'");
  await application.run("DELETE FROM agents WHERE id = 'b'");
  const status = await cfg.status();
  assert.deepEqual(status.map(({ configId, state }) => [configId, state]), [["a", "dirty"], ["b", "missing"], ["c", "clean"]]);
  assert.equal(status.exitCode, 2);
  assert.ok(status.error instanceof ChangedOutsideError);
  await assert.rejects(cfg.commit("a", { n: 3 }, why), ChangedOutsideError);
  assert.equal((await cfg.adopt("a", why)).entry.op, "adopt");
  const report = await cfg.adopt({ all: true }, why);
  assert.deepEqual(report.results.map(({ configId, oid }) => [configId, oid]), [["b", null]]);
  assert.equal(report.results[0].base.seq, 2);
  const failed = await cfg.adopt(["nowhere"], why);
  assert.deepEqual([failed.results.length, failed.failed[0].reason.code, failed.exitCode], [0, "no_record", 5]);
  await assert.rejects(cfg.adopt("nowhere", why), NotFoundError);
  const gone = await cfg.rm("c", why);
  assert.deepEqual([gone.doc, gone.entry.op], [null, "delete"]);
  assert.deepEqual((await cfg.fsck()).findings, []);
  assert.equal((await cfg.diff()).exitCode, 0);
});

test("histories are loaded from lines and from files", async (t) => {
  const { cfg, dir } = await onSqlite(t);
  const lines = [
    { id: "a", time: new Date("2023-01-01T00:00:00Z"), doc: { n: 1n } },
    '{"id": "a", "time": "2023-02-01T00:00:00Z", "doc": {"n": 2}, "author": "ana@example.com", "message": "two"}',
  ];
  const report = await cfg.importHistory(lines, { ...why, seedLive: true });
  assert.deepEqual([report.loaded, report.seeded, report.exitCode], [2, 1, 0]);
  await writeFile(join(dir, "h.jsonl"), '{"id": "b", "time": "2023-01-01T00:00:00Z", "doc": {"n": 1}}\n');
  assert.equal((await cfg.importHistory(join(dir, "h.jsonl"), why)).loaded, 1);
  assert.equal((await cfg.asOf("2023-01-15", { withDoc: true })).length, 2);
});

test("documents one after another, and as files", async (t) => {
  const cfg = await inMemory(t);
  await cfg.batch(Array.from({ length: 25 }, (_, n) => ({ id: `r${String(n).padStart(2, "0")}`, doc: { n } })), why);
  const seen = [];
  for await (const doc of cfg.documents({ page: 10 })) seen.push([baseOf(doc).record.configId, doc.n]);
  assert.deepEqual(seen, Array.from({ length: 25 }, (_, n) => [`r${String(n).padStart(2, "0")}`, n]));
  const out = join(await folder(t), "out");
  assert.equal((await cfg.export(out)).exported, 25);
  assert.equal((await readdir(out)).length, 25);
  await assert.rejects(cfg.export(out), (error) => error.code === "not_empty");
  assert.deepEqual(JSON.parse(await readFile(join(out, "agents=r03.json"), "utf8")).n, 3);
});

test("the same call with the same key happens once", async (t) => {
  const cfg = await inMemory(t);
  const options = { ...why, idempotencyKey: "k1" };
  const first = await cfg.commit("x", { n: 1 }, options);
  const second = await cfg.commit("x", { n: 1 }, options);
  assert.deepEqual([first.replayed, second.replayed, second.seq], [false, true, 1]);
  assert.equal((await cfg.log("x")).length, 1);
});

test("misspelt options and verbs on nothing are refused", async (t) => {
  const cfg = await inMemory(t);
  await assert.rejects(cfg.commit("x", { n: 1 }, { mesage: "oops" }), (error) => error.code === "usage" && /mesage/.test(error.message));
  await assert.rejects(cfg.commit("x", { n: 1 }, {}), (error) => error.code === "message_required");
  await assert.rejects(cfg.status({ al: true }), (error) => error.code === "usage");
  await assert.rejects(cfg.get("x"), (error) => error instanceof NotFoundError && error.code === "no_record");
  await assert.rejects(cfg.adopt({ all: false }), RefusedError);
  await assert.rejects(cfg.commit("x", { n: 1 }, { ...why, author: "" }), RefusedError);
});

test("opening finds the project, or says why not", async (t) => {
  const dir = await folder(t);
  await assert.rejects(open({ path: dir }), (error) => error instanceof RefusedError && error.code === "no_config_file");
  await writeFile(join(dir, ".cfg.toml"), "nonsense = 1\n");
  await assert.rejects(open({ path: dir }), BadConfigError);
  const text = `[[collection]]\nname = "a"\nid_field = "id"\n[env.dev]\ndatabase = "sqlite"\nuri = "env:DB"\n[env.prod]\ndatabase = "memory"\n`;
  await writeFile(join(dir, ".cfg.toml"), text);
  await assert.rejects(open({ path: dir }), (error) => error.code === "no_env_chosen" && /dev, prod/.test(error.message));
  await assert.rejects(open({ path: dir, env: "dev", variables: {} }), (error) => /DB is not set/.test(error.message));
  await assert.rejects(open({ path: dir, envv: "dev" }), (error) => error.code === "usage");
  await mkdir(join(dir, "below"));
  const cfg = await open({ path: join(dir, "below"), env: "dev", create: true, variables: { DB: "made.db", CFG_AUTHOR: "v@example.com" } });
  assert.deepEqual([cfg.env, cfg.database, cfg.root, cfg.needsApproval, cfg.collections], ["dev", "sqlite", dir, false, ["a"]]);
  const who = await cfg.whoami();
  assert.deepEqual([who.author, who.env], [{ id: "v@example.com", class: "pipeline" }, "dev"]);
  await cfg.close();
  const settings = config({ path: dir, env: "prod" });
  assert.equal(settings.env, "prod");
  assert.ok(settings.settings.some(({ key, value }) => key === "env.dev.database" && value === "sqlite"));
  const agent = await inMemory(t, { authorClass: "agent" });
  assert.equal((await agent.commit("x", { n: 1 }, why)).entry.author.class, "agent");
  assert.equal((await agent.commit("x", { n: 2 }, { ...why, author: "b@example.com" })).entry.author.id, "b@example.com");
  assert.equal((await agent.log("x"))[1].author.id, AUTHOR);
});
