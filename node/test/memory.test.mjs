// Memory that a service needs does not grow with what it has done.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { folder } from "./support/world.mjs";

test("after 100,000 calls there is no more of it than after 10,000", { timeout: 600_000 }, async (t) => {
  const dir = await folder(t);
  await writeFile(join(dir, ".cfg.toml"), `[[collection]]\nname = "agents"\nid_field = "id"\n[env.dev]\ndatabase = "memory"\n`);
  const script = fileURLToPath(new URL("support/memory.mjs", import.meta.url));
  // A young generation of a fixed size, so that what is measured is what is kept.
  const { stdout } = await promisify(execFile)(process.execPath, ["--expose-gc", "--max-semi-space-size=4", script, dir]);
  const { early, late } = JSON.parse(stdout);
  t.diagnostic(`${(early / 2 ** 20).toFixed(0)} MiB after 10,000 calls, ${(late / 2 ** 20).toFixed(0)} MiB after 100,000`);
  assert.ok(late <= early * 1.1, `${early} bytes became ${late}`);
});
