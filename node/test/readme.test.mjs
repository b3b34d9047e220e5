// The example of the README, run as it stands.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const here = dirname(fileURLToPath(import.meta.url));
const readme = await readFile(join(here, "../README.md"), "utf8");

/** Returns the first block of a language. */
const block = (language) => new RegExp(`\`\`\`${language}\n([^]*?)\`\`\``).exec(readme)[1];

test("the example of the README prints what it says", async (t) => {
  // Below this package, so that it is found by its name.
  const dir = await mkdtemp(join(here, "readme-"));
  t.after(() => rm(dir, { recursive: true }));
  await writeFile(join(dir, ".cfg.toml"), block("toml"));
  await writeFile(join(dir, "example.mjs"), block("js"));
  const { stdout } = await promisify(execFile)(process.execPath, ["example.mjs"], { cwd: dir });
  assert.equal(stdout, block("text"));
});
