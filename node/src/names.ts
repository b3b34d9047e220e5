/** Records and versions as callers name them. */

import { encode } from "./encode.js";
import { refused } from "./errors.js";
import type { All, Id, Ref } from "./types.js";

/** Returns whether a first argument names a record, and is not an object of options. */
export function isId(value: unknown): value is Id {
  if (typeof value !== "object" || value === null) {
    return value !== undefined && value !== null;
  }
  return "id" in value || "configId" in value || "_bsontype" in value;
}

/** Writes the name of a record for a call. */
export function idArg(id: Id): unknown {
  if (typeof id !== "object" || id === null) {
    if (typeof id === "string" || typeof id === "number" || typeof id === "bigint") {
      return id;
    }
    throw refused("usage", `a record cannot be named by ${id === null ? "null" : `a ${typeof id}`}`, "name it by its id, or by { id, collection }");
  }
  if ("configId" in id) {
    return { collection: id.collection, config_id: id.configId };
  }
  if ("_bsontype" in id || !("id" in id)) {
    return id;
  }
  if (id.collection !== undefined) {
    return { collection: id.collection, config_id: id.id };
  }
  // A JSON string is that id, whatever characters it holds.
  return typeof id.id === "string" ? encode(id.id) : id.id;
}

/** Writes the names of records, or that all are meant. */
export function whichArgs(which: Id | readonly Id[] | All): object {
  if (Array.isArray(which)) {
    return { ids: (which as readonly Id[]).map(idArg) };
  }
  if (typeof which === "object" && which !== null && "all" in which) {
    return { all: which.all, collection: which.collection };
  }
  return { ids: [idArg(which as Id)] };
}

/** Writes the name of a version. */
export function refArg(ref: Ref): string {
  if (typeof ref === "number") {
    return `@${ref}`;
  }
  return ref instanceof Date ? `@{${ref.toISOString()}}` : ref;
}

/** Returns whether a first argument names one record, whose failure is the call's. */
export function isOne(which: Id | readonly Id[] | All): which is Id {
  return !Array.isArray(which) && !(typeof which === "object" && which !== null && "all" in which);
}
