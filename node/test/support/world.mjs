// Projects to test on, each in a folder of its own.

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { open } from "cfg-engine";

import { Application } from "./sqlite.mjs";

export const AUTHOR = "a@example.com";

/** A folder that is gone when the test is over. */
export async function folder(t) {
  const dir = await mkdtemp(join(tmpdir(), "cfg-engine-node-"));
  t.after(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

/** A project in memory with one collection, initialised. */
export async function inMemory(t, options = {}) {
  const dir = await folder(t);
  await writeFile(join(dir, ".cfg.toml"), `[[collection]]\nname = "agents"\nid_field = "id"\nsecret_fields = ["token"]\nignore_fields = ["seen_at"]\n\n[env.dev]\ndatabase = "memory"\n`);
  const cfg = await open({ path: dir, author: AUTHOR, ...options });
  t.after(() => cfg.close());
  await cfg.init();
  return cfg;
}

/** A SQLite project with documents in a column, and the application beside it. */
export async function onSqlite(t, options = {}) {
  const dir = await folder(t);
  await writeFile(join(dir, ".cfg.toml"), `[[collection]]\nname = "agents"\nid_field = "id"\n\n[env.dev]\ndatabase = "sqlite"\nuri = "app.db"\n`);
  const application = new Application(join(dir, "app.db"));
  await application.run("CREATE TABLE agents (id TEXT PRIMARY KEY, doc TEXT)");
  const cfg = await open({ path: dir, author: AUTHOR, ...options });
  t.after(() => cfg.close());
  await cfg.init();
  return { cfg, application, dir };
}
