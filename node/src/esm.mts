/**
 * The names of this package for `import`. There is one implementation, so that an error is of the same class
 * and a base under the same symbol, however a program and its libraries load it.
 *
 * @packageDocumentation
 */

import { createRequire } from "node:module";

import { open as openRequired, type BsonTypes, type OpenOptions, type Project as ProjectType } from "./index.js";

/**
 * Finds the `bson` package as the program has it: the one that `import` gives, unless its other half was
 * loaded already, as the `mongodb` driver does.
 */
async function bsonOfProgram(): Promise<BsonTypes | null> {
  const require = createRequire(import.meta.url);
  try {
    const required = require.resolve("bson") in require.cache;
    return (required ? require("bson") : await import("bson")) as BsonTypes;
  } catch {
    return null;
  }
}

/** Finds `.cfg.toml`, chooses the env and opens its store. */
export async function open(options: OpenOptions = {}): Promise<ProjectType> {
  return openRequired(options.bson === undefined ? { ...options, bson: await bsonOfProgram() } : options);
}

export {
  BadConfigError,
  CfgError,
  ChangedOutsideError,
  ConflictError,
  DeclinedError,
  Extended,
  NeedsApprovalError,
  NotFoundError,
  Project,
  RefusedError,
  StorageError,
  base,
  baseOf,
  config,
  withoutBase,
} from "./index.js";
export type * from "./index.js";
