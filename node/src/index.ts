/**
 * Version control for live JSON records that stay in your own database.
 *
 * ```ts
 * import { open } from "cfg-engine";
 *
 * await using cfg = await open({ env: "dev" });
 * const planner = await cfg.get("planner");
 * planner.retries = 5;
 * await cfg.commit("planner", planner, { message: "more patience" });
 * ```
 *
 * @packageDocumentation
 */

import { Project } from "./project.js";
import type { OpenOptions } from "./types.js";

/** Finds `.cfg.toml`, chooses the env and opens its store. */
export function open(options: OpenOptions = {}): Promise<Project> {
  return Project.open(options);
}

export { Project, config } from "./project.js";
export { base, baseOf, withoutBase } from "./document.js";
export type { Base, Document } from "./document.js";
export {
  BadConfigError,
  CfgError,
  ChangedOutsideError,
  ConflictError,
  DeclinedError,
  NeedsApprovalError,
  NotFoundError,
  RefusedError,
  StorageError,
} from "./errors.js";
export type { ErrorKind } from "./errors.js";
export { Extended } from "./extended.js";
export type * from "./types.js";
