// tests/scenarios: the same files that Rust and Python run, here on SQLite in both shapes.

import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import { endApplications } from "./support/sqlite.mjs";
import { Stage } from "./support/scenario.mjs";
import { repository } from "./support/repository.mjs";

/** What SQLite has of what scenarios need. */
const HAS = { row: [], doc: ["free_fields"] };

/** Scenarios of what a library has no way to ask for. */
const ELSEWHERE = {
  diff_with_a_staged_document: "its document is given beside the call; here it is staged, and its absence has another code",
};

/** Expectations that are the engine's alone: a program is no human. */
const OTHERWISE = {
  commit_without_a_base_names_what_it_replaced: (step) => step.expect?.data?.author?.class === "human" && delete step.expect.data.author.class,
};

const folder = join(repository, "tests/scenarios");
const read = async (name) => JSON.parse(await readFile(join(folder, name), "utf8"));
const fallback = await read("_default.json");
const names = (await readdir(folder)).filter((name) => name.endsWith(".json") && !name.startsWith("_")).sort();
const only = process.env.CFG_TEST_SCENARIO;

let root;
before(async () => {
  root = await mkdtemp(join(tmpdir(), "cfg-engine-scenarios-"));
});
after(async () => {
  await rm(root, { recursive: true, force: true });
  await endApplications();
});

for (const shape of ["row", "doc"]) {
  describe(`sqlite (${shape})`, { concurrency: 4 }, () => {
    for (const name of names.filter((name) => only === undefined || name.includes(only))) {
      test(name.replace(".json", ""), async (t) => {
        const scenario = await read(name);
        const lacks = (scenario.needs ?? []).find((need) => !HAS[shape].includes(need));
        if (scenario.shapes !== undefined && !scenario.shapes.includes(shape)) return t.skip(`not in the shape ${shape}`);
        if (lacks !== undefined) return t.skip(`SQLite has no ${lacks}`);
        if (ELSEWHERE[scenario.name] !== undefined) return t.skip(ELSEWHERE[scenario.name]);
        const dir = join(root, `${shape}-${scenario.name}`);
        await mkdir(dir);
        const stage = await Stage.open(dir, scenario, fallback, shape);
        try {
          for (const [n, step] of scenario.steps.entries()) {
            OTHERWISE[scenario.name]?.(step);
            const problem = await stage.step(step);
            assert.equal(problem, undefined, `step ${n + 1} (${step.do}): ${problem}`);
          }
          assert.equal(await stage.sound(scenario.fsck ?? []), undefined);
        } finally {
          await stage.close();
        }
      });
    }
  });
}

test("there are as many scenarios as there should be", () => assert.ok(names.length >= 60, `${names.length}`));
