/**
 * A seed script that wrote straight into a collection, and what becomes of it.
 *
 * The raw script overwrites what somebody changed since, leaves no trace of who did it and why, and turns
 * back to nothing. The other one changes what differs, refuses to write over a change that it has not seen,
 * and every run is a version that can be gone back to. The documents and their types stay the same.
 */
import { pathToFileURL } from "node:url";

import { ChangedOutsideError, NotFoundError, open, type Project, type Report } from "cfg-engine";
import { Decimal128, Long, MongoClient, type Collection } from "mongodb";

/** A document of the seed, with the types that MongoDB has. */
export interface AgentConfig {
  config_id: string;
  is_active: boolean;
  model: string;
  temperature: number;
  max_tokens: Long;
  price: Decimal128;
  since: Date;
}

export const SEED: readonly AgentConfig[] = [
  {
    config_id: "planner",
    is_active: true,
    model: "large",
    temperature: 0.2,
    max_tokens: Long.fromNumber(8192),
    price: Decimal128.fromString("0.0150"),
    since: new Date("2026-01-01T00:00:00Z"),
  },
  {
    config_id: "critic",
    is_active: true,
    model: "small",
    temperature: 0,
    max_tokens: Long.fromNumber(2048),
    price: Decimal128.fromString("0.0010"),
    since: new Date("2026-01-01T00:00:00Z"),
  },
];

/** Before: the raw driver. */
export async function seedRaw(configs: Collection<AgentConfig>): Promise<void> {
  for (const doc of SEED) {
    await configs.replaceOne({ config_id: doc.config_id }, doc, { upsert: true });
  }
}

/** After: all records together or none, with a reason. A second run with nothing new writes nothing. */
export async function seed(cfg: Project, message: string): Promise<Report<AgentConfig>> {
  // What was written around the tool is kept as a version of its own before it is changed.
  const drift = await cfg.status();
  if (drift.some(({ state }) => state === "dirty" || state === "untracked")) {
    await cfg.adopt({ all: true }, { message: `found before: ${message}` });
  }
  return cfg.batch(
    SEED.map((doc) => ({ id: { id: doc.config_id }, doc })),
    { message, allowNoop: true, allowRemoval: true },
  );
}

/** Takes the last run back, where nobody has changed the record since. */
export async function takeBack(cfg: Project, id: string): Promise<void> {
  const [last, before] = await cfg.log({ id }, { limit: 2 });
  if (last === undefined || before === undefined) {
    throw new Error(`${id} has no version to go back to`);
  }
  await cfg.restore({ id }, before.seq, { message: `took back: ${last.message}` });
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const cfg = await open();
  try {
    await cfg.init();
    const report = await seed(cfg, process.argv[2] ?? "seed");
    console.log(report.results.map(({ configId, seq, unchanged }) => `${String(configId)}@${seq ?? "-"}${unchanged ? " as it was" : ""}`).join("\n"));
  } catch (error) {
    if (error instanceof ChangedOutsideError || error instanceof NotFoundError) {
      console.error(`${error.message}\n${error.hint ?? ""}`);
      process.exitCode = error.exitCode;
    } else {
      throw error;
    }
  } finally {
    await cfg.close();
  }
}

export { MongoClient };
