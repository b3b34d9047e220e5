// Node as the oracle: the package `canonicalize` for documents, V8 itself for 10,000 doubles, a million by night.
//
// Runs from a copy beside node_modules; `run` makes it.
// Usage: node jcs.mjs <repository> <command that prints doubles>

import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";

import canonicalize from "canonicalize";

const [repository, printer] = process.argv.slice(2);

let passed = 0;
let failed = 0;

function expect(name, got, wanted) {
  if (got === wanted) {
    passed += 1;
  } else {
    failed += 1;
    console.error(`${name}: the oracle has ${got}, we have ${wanted}`);
  }
}

function cases(file) {
  const text = readFileSync(join(repository, "tests/vectors", file), "utf8");
  return JSON.parse(text).cases.filter((entry) => entry.jcs);
}

function double(bits) {
  return new DataView(new BigUint64Array([BigInt(`0x${bits}`)]).buffer).getFloat64(0, true);
}

for (const entry of cases("canonical.json")) {
  const text = canonicalize(JSON.parse(entry.input));
  expect(entry.name, text, entry.canonical);
  expect(`${entry.name}, oid`, createHash("sha256").update(text).digest("hex"), entry.oid);
}

for (const entry of cases("numbers.json")) {
  const value = entry.width === "double_bits" ? double(entry.text) : Number(entry.text);
  expect(`number ${entry.text}`, canonicalize(value), entry.canonical);
}

// Bits from a generator of our own (xorshift), so that every run asks the same.
let state = 0x9e3779b97f4a7c15n;
function next() {
  state ^= BigInt.asUintN(64, state << 13n);
  state ^= state >> 7n;
  state ^= BigInt.asUintN(64, state << 17n);
  return state;
}

function toBits(value) {
  return new BigUint64Array(new Float64Array([value]).buffer)[0].toString(16).padStart(16, "0");
}

const kinds = [
  () => next().toString(16).padStart(16, "0"),
  () => toBits(Number(next() % 2_000_000n) / 10 ** Number(next() % 10n)),
  () => toBits(Number(1n + (next() % 64n)) * 2 ** (Number(next() % 2000n) - 1040)),
  () => toBits(Number(1n + (next() % 1000n)) * 10 ** (Number(next() % 620n) - 320)),
  () => toBits(Number(next() >> (next() % 40n))),
];
const rounds = process.env.CFG_TEST_NIGHTLY ? 100 : 1;
for (let round = 0; round < rounds; round += 1) {
  const doubles = Array.from({ length: 10_000 }, (_, n) => kinds[n % kinds.length]());
  const printed = spawnSync(printer, { input: doubles.join("\n"), encoding: "utf8", maxBuffer: 1 << 26 });
  const lines = printed.stdout.trimEnd().split("\n");
  expect("lines printed", lines.length, doubles.length);
  doubles.forEach((bits, n) => {
    const value = double(bits);
    expect(`double ${bits}`, Number.isFinite(value) ? String(value) : "not finite", lines[n]);
  });
}

console.log(`node: ${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
