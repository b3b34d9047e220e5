// Where the files are that every language runs. Tests run in the checkout or from a copy of this folder.

import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

function find() {
  if (process.env.CFG_TEST_REPOSITORY) return process.env.CFG_TEST_REPOSITORY;
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    if (existsSync(join(folder, "tests/scenarios/_default.json"))) return folder;
    if (folder === dirname(folder)) throw new Error("the folder tests/scenarios is not there; set CFG_TEST_REPOSITORY");
  }
}

export const repository = find();
