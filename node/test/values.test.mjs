// Values both ways: what a program puts in is what it gets out, and no number is rounded on the way.

import assert from "node:assert/strict";
import { test } from "node:test";

import * as bson from "bson";
import { Extended, RefusedError, base, open, withoutBase } from "cfg-engine";

import { endApplications } from "./support/sqlite.mjs";
import { folder, inMemory, onSqlite } from "./support/world.mjs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";

test.after(endApplications);

const why = { message: "a test" };

/** Commits a document and returns what is read back. */
async function through(cfg, doc) {
  await cfg.commit("x", doc, { ...why, base: null, allowRemoval: true, allowNoop: true });
  return withoutBase(await cfg.get("x"));
}

test("types of JavaScript cross unchanged", async (t) => {
  const cfg = await inMemory(t);
  const doc = {
    text: "ä\u0000\u{1f600}\"\\",
    truth: [true, false, null],
    small: [0, 1, -1, 0.1, -0.5, 1e-7, 5e-324, 123456.789],
    edge: [Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER],
    big: [2n ** 53n, -(2n ** 53n), 2n ** 63n - 1n, -(2n ** 63n), 2n ** 64n, 10n ** 40n, -(10n ** 40n)],
    doubles: [1e300, 2 ** 53, -(2 ** 60), 1e21, Number.MAX_VALUE, Number.MIN_VALUE],
    zero: -0,
    dates: [new Date(0), new Date(-1), new Date(8.64e15), new Date("2026-06-07T12:00:00.123Z")],
    bytes: new Uint8Array([0, 1, 255]),
    none: new Uint8Array(0),
    empty: [{}, [], ""],
    deep: { a: [{ b: [{ c: { d: null } }] }] },
  };
  assert.deepStrictEqual(await through(cfg, doc), doc);
});

test("a Buffer and a slice of one are their bytes", async (t) => {
  const cfg = await inMemory(t);
  const found = await through(cfg, { whole: Buffer.from("hello"), part: Buffer.from("hello").subarray(1, 3) });
  assert.deepStrictEqual(found, { whole: new Uint8Array(Buffer.from("hello")), part: new Uint8Array(Buffer.from("el")) });
});

test("classes of bson cross unchanged", async (t) => {
  const cfg = await inMemory(t);
  const doc = {
    key: new bson.ObjectId("0123456789abcdef01234567"),
    price: bson.Decimal128.fromString("1.10"),
    uuid: new bson.UUID("00112233-4455-6677-8899-aabbccddeeff"),
    binary: new bson.Binary(Buffer.from([1, 2, 3]), 128),
    time: new bson.Timestamp({ t: 7, i: 9 }),
    pattern: new bson.BSONRegExp("^a.*b$", "im"),
    code: new bson.Code("return 1"),
    scoped: new bson.Code("return x", { x: 1, when: new Date(5) }),
    symbol: new bson.BSONSymbol("s"),
    least: new bson.MinKey(),
    most: new bson.MaxKey(),
  };
  const found = await through(cfg, doc);
  assert.deepStrictEqual(found, doc);
});

test("numbers of bson keep their width in the database, and are numbers here", async (t) => {
  const cfg = await inMemory(t);
  const found = await through(cfg, { long: bson.Long.fromNumber(5), int: new bson.Int32(6), double: new bson.Double(7), far: bson.Long.MAX_VALUE });
  assert.deepStrictEqual(found, { long: 5, int: 6, double: 7, far: 2n ** 63n - 1n });
});

test("a width outlives a change", async (t) => {
  const dir = await folder(t);
  await writeFile(join(dir, ".cfg.toml"), `[[collection]]\nname = "agents"\nid_field = "id"\n[env.dev]\ndatabase = "memory"\n`);
  const cfg = await open({ path: dir, author: "a@example.com" });
  t.after(() => cfg.close());
  await cfg.init();
  await cfg.commit("x", { long: bson.Long.fromNumber(5), double: new bson.Double(7), list: [bson.Long.fromNumber(1), 2] }, why);
  const doc = await cfg.get("x");
  doc.long += 1;
  doc.double += 1;
  doc.list[0] += 1;
  await cfg.commit("x", doc, why);
  // What is written is seen in the exported text, which says widths.
  await cfg.export(join(dir, "out"));
  const { readFile } = await import("node:fs/promises");
  const text = JSON.parse(await readFile(join(dir, "out", "agents=x.json"), "utf8"));
  assert.deepStrictEqual(text.long, { $numberLong: "6" });
  assert.deepStrictEqual(text.list, [{ $numberLong: "2" }, 2]);
  assert.match(await readFile(join(dir, "out", "agents=x.json"), "utf8"), /"double": 8\.0/);
});

test("every 64-bit integer is a bigint where that is asked for", async (t) => {
  const cfg = await inMemory(t, { useBigInt64: true });
  assert.deepStrictEqual(await through(cfg, { n: 5n, m: 6, list: [7n] }), { n: 5n, m: 6, list: [7n] });
});

test("without bson, values that JavaScript lacks are Extended, and go back as they came", async (t) => {
  const cfg = await inMemory(t, { bson: null });
  const doc = {
    key: new Extended({ $oid: "0123456789abcdef01234567" }),
    price: new Extended({ $numberDecimal: "1.10" }),
    uuid: new Extended({ $binary: { base64: "ABEiM0RVZneImaq7zN3u/w==", subType: "04" } }),
    scoped: new Extended({ $code: "return x", $scope: { x: 1 } }),
    type: new Extended({ $store: { type: "pg:interval", text: "P1D" } }),
    undefinedOne: new Extended({ $undefined: true }),
  };
  assert.deepStrictEqual(await through(cfg, doc), doc);
  const same = await through(cfg, await through(cfg, doc));
  assert.deepStrictEqual(same, doc);
});

test("objects that look like wrappers are objects", async (t) => {
  const cfg = await inMemory(t);
  const doc = {
    a: { $oid: "0123456789abcdef01234567" },
    b: { $date: 5 },
    c: { $literal: { $literal: 1 } },
    d: { $ref: "x", $id: 1 },
    e: { $numberLong: "5" },
    f: { $bigint: "5" },
    g: { $number: "5", and: [{ $numberDouble: "x" }] },
    h: [{ $numberLong: "5" }, { $set: { a: 1 } }],
  };
  assert.deepStrictEqual(await through(cfg, doc), doc);
});

test("names that JavaScript treats in a way of its own", async (t) => {
  const cfg = await inMemory(t);
  const doc = JSON.parse('{"__proto__": {"x": 1}, "constructor": "c", "toString": "t", "hasOwnProperty": {"$oid": "y"}, "2": "b", "1": "a"}');
  const found = await through(cfg, doc);
  assert.deepStrictEqual(Object.getOwnPropertyDescriptor(found, "__proto__").value, { x: 1 });
  assert.equal(Object.getPrototypeOf(found), Object.prototype);
  assert.deepStrictEqual(JSON.stringify(found), JSON.stringify(doc));
  const dated = JSON.parse('{"a": {"__proto__": {"x": 1}}}');
  dated.a.at = new Date(5);
  const again = await through(cfg, dated);
  assert.deepStrictEqual(Object.getOwnPropertyDescriptor(again.a, "__proto__").value, { x: 1 });
  assert.deepStrictEqual(again.a.at, new Date(5));
});

test("numbers of a JSON column are exact, however long", async (t) => {
  const { cfg, application } = await onSqlite(t);
  const text = '{"id":"x","a":9007199254740993,"b":123456789012345678901234567890,"c":0.1234567890123456789,"d":1.10,"e":1e400,"f":5.0,"g":-0,"h":[18446744073709551616]}';
  await application.run("INSERT INTO agents VALUES ('x', ?)", text);
  await cfg.import("x", why);
  const doc = await cfg.get("x");
  assert.equal(doc.a, 9007199254740993n);
  assert.equal(doc.b, 123456789012345678901234567890n);
  assert.deepEqual(doc.c, new Extended({ $number: "0.1234567890123456789" }));
  assert.equal(doc.d, 1.1);
  assert.deepEqual(doc.e, new Extended({ $number: "1e400" }));
  assert.equal(doc.f, 5);
  assert.deepEqual(doc.h, [18446744073709551616n]);
  // Nothing changed, so nothing is written, and one change writes one field.
  assert.equal((await cfg.commit("x", doc, why)).unchanged, true);
  doc.added = 9007199254740995n;
  await cfg.commit("x", doc, why);
  const [row] = await application.run("SELECT doc FROM agents");
  assert.ok(row.doc.startsWith(text.slice(0, -1)), row.doc);
  assert.ok(row.doc.includes('"added":9007199254740995'), row.doc);
});

test("what is no value of a document is refused with its place", async (t) => {
  const cfg = await inMemory(t);
  const around = {};
  around.me = { again: around };
  for (const [doc, place] of [
    [{ a: { f: () => 1 } }, "a.f"],
    [{ list: [1, undefined] }, "list[1]"],
    [{ s: Symbol("x") }, "s"],
    [{ d: new Date(NaN) }, "d"],
    [{ m: new Map([[1, 2]]) }, "m"],
    [{ s: new Set([1]) }, "s"],
    [{ r: /x/g }, "r"],
    [{ floats: new Float64Array(1) }, "floats"],
    [around, "me.again.me"],
  ]) {
    await assert.rejects(cfg.commit("x", doc, why), (error) => {
      assert.ok(error instanceof RefusedError, String(error));
      assert.ok(error.message.includes(place), `${error.message} does not name ${place}`);
      return true;
    });
  }
  await assert.rejects(cfg.commit("x", { a: "\ud800" }, why), RefusedError);
  await assert.rejects(cfg.commit("x", { n: NaN }, why), (error) => error.message.includes("at n"));
  await assert.rejects(cfg.commit("x", [1], why), RefusedError);
});

test("a member that is undefined is left out, and what has toJSON is what it says", async (t) => {
  const cfg = await inMemory(t);
  class Money {
    constructor(cents) {
      this.cents = cents;
    }
    toJSON() {
      return { amount: String(this.cents) };
    }
  }
  class Plain {
    a = 1;
    at = new Date(5);
  }
  const found = await through(cfg, { gone: undefined, money: new Money(5), plain: new Plain(), re: /a/im, url: new URL("http://localhost/x") });
  assert.deepStrictEqual(withoutBase(found), {
    money: { amount: "5" },
    plain: { a: 1, at: new Date(5) },
    re: new bson.BSONRegExp("a", "im"),
    url: "http://localhost/x",
  });
});

test("a hundred levels of a document are taken, one more is refused", async (t) => {
  const cfg = await inMemory(t);
  const nested = (levels) => {
    let value = 1;
    for (let n = 1; n < levels; n++) value = { a: value };
    return { a: value };
  };
  assert.deepStrictEqual(await through(cfg, nested(100)), nested(100));
  await assert.rejects(cfg.commit("y", nested(101), why), RefusedError);
});

test("secrets are masked, and a mask that is committed keeps the secret", async (t) => {
  const cfg = await inMemory(t);
  await cfg.commit("x", { token: "t0p", n: 1 }, why);
  const doc = await cfg.get("x");
  assert.deepStrictEqual(doc.token, { $secret: true });
  doc.n = 2;
  await cfg.commit("x", doc, why);
  assert.deepStrictEqual(doc.token, { $secret: true });
  assert.ok(!JSON.stringify(await cfg.log("x", { withDoc: true })).includes("t0p"));
});

test("oids do not depend on how a number is written", async (t) => {
  const cfg = await inMemory(t);
  const oid = cfg.oid({ n: 1 });
  for (const n of [1n, new bson.Int32(1), bson.Long.ONE, new bson.Double(1), bson.Decimal128.fromString("1.00")]) assert.equal(cfg.oid({ n }), oid);
  assert.notEqual(cfg.oid({ n: "1" }), oid);
  assert.notEqual(cfg.oid({ n: 9007199254740993n }), cfg.oid({ n: 9007199254740992n }));
  const change = await cfg.commit("x", { n: 1 }, why);
  assert.equal(change.oid, oid);
  assert.equal(cfg.canonical({ b: 2, a: [1.5, null], seen_at: 1 }), '{"a":[1.5,null],"b":2}');
  assert.ok(base in (await cfg.get("x")));
});
