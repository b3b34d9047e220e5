// tests/vectors: what the bytes are, the same in every language.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { RefusedError } from "cfg-engine";
import * as format from "cfg-engine/format";

import { repository } from "./support/repository.mjs";

const read = (name) => JSON.parse(readFileSync(join(repository, "tests/vectors", name), "utf8"));

/** Runs a check on every case, and reports all that fail at once. */
function run(name, check) {
  test(name, () => {
    const { cases } = read(name);
    assert.ok(cases.length > 0);
    const failures = [];
    for (const item of cases) {
      try {
        check(item);
      } catch (error) {
        failures.push(`${item.name ?? item.text ?? item.input}: ${error.message}`);
      }
    }
    assert.deepEqual(failures, []);
  });
}

/** Calls what must be refused, with its place in the words. */
function refuses(call, path) {
  assert.throws(call, (error) => {
    assert.ok(error instanceof RefusedError, error);
    if (path) assert.ok(error.message.includes(path), `${error.message} does not name ${path}`);
    return true;
  });
}

run("canonical.json", ({ mode, input, policy, canonical, oid, refused, path }) => {
  if (refused !== undefined) return refuses(() => format.canonical(input, { mode, policy }), path);
  assert.deepEqual(format.canonical(input, { mode, policy }), { canonical, oid });
});

run("numbers.json", ({ width, text, canonical, refused }) => {
  const wrappers = { int32: "$numberInt", int64: "$numberLong", double: "$numberDouble", decimal128: "$numberDecimal" };
  let input = text;
  if (width === "double_bits") {
    const double = Buffer.from(text, "hex").readDoubleBE();
    input = JSON.stringify({ $numberDouble: Object.is(double, -0) ? "-0.0" : String(double) });
  } else if (width !== "json") {
    input = JSON.stringify({ [wrappers[width]]: text });
  }
  if (refused !== undefined) return refuses(() => format.canonical(input));
  assert.equal(format.canonical(input).canonical, canonical);
});

run("interchange.json", ({ mode, input, refused, wrapper, interchange, relaxed, plain, type }) => {
  if (refused !== undefined) return refuses(() => format.rewrite(input, { mode }), wrapper);
  const written = format.rewrite(input, { mode });
  assert.equal(written.interchange, interchange);
  assert.equal(written.relaxed, relaxed);
  if (plain !== undefined) assert.equal(written.plain, plain);
  if (type !== undefined) assert.equal(written.type, type);
  assert.equal(format.rewrite(interchange).interchange, interchange);
});

run("json_syntax.json", ({ text, accept }) => {
  if (!accept) return refuses(() => format.rewrite(text, { mode: "json" }));
  const { plain } = format.rewrite(text, { mode: "json" });
  assert.equal(format.rewrite(plain, { mode: "json" }).plain, plain);
});

run("paths.json", ({ text, steps, printed, refused }) => {
  if (refused) return refuses(() => format.path(text));
  assert.deepEqual(format.path(text), { steps, printed });
  assert.deepEqual(format.path(printed).steps, steps);
});

run("times.json", ({ text, millis, shown, date, refused }) => {
  if (refused) return refuses(() => format.time(text));
  assert.deepEqual(format.time(text), { millis, shown, date: date === true });
});

run("references.json", ({ text, kind, shown, refused }) => {
  if (refused) return refuses(() => format.reference(text));
  assert.deepEqual(format.reference(text), { kind, shown });
});

test("addresses", () => {
  for (const { text, id, version } of read("references.json").addresses) {
    assert.deepEqual(format.address(text), { id, version: version ?? null }, text);
  }
});

run("intervals.json", ({ entries, head }) => {
  const found = format.intervals(entries);
  assert.deepEqual(found.ends, entries.map(({ valid_to, superseded_at }) => ({ valid_to, superseded_at })));
  assert.equal(found.head, head ?? null);
});

// An entry's id can be computed by anybody who has its header: this does it.
run("entries.json", ({ header, canonical, entry_id: entryId }) => {
  const sha256 = (text) => createHash("sha256").update(text).digest("hex");
  const ascii = header.id_key.replace(/[\u0080-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
  const hashed = { ...header, id_key: ascii, message: sha256(header.message) };
  const found = format.canonical(JSON.stringify(hashed), { mode: "json" });
  assert.equal(found.canonical, canonical);
  assert.equal(found.oid, entryId);
});
