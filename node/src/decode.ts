/** Text of the native half as values. A member that starts with `$` begins a wrapper, always. */

import { Extended, type BsonTypes } from "./extended.js";
import { rememberWidth } from "./widths.js";

/** How values come. */
export interface Decoding {
  /** Classes for what JavaScript has no type for. */
  readonly bson: BsonTypes | null;
  /** Every 64-bit integer comes as a bigint, not only those beyond 2^53. */
  readonly useBigInt64: boolean;
}

const MAX_TIME = 8.64e15;

/** Reads the text of a result. */
export function decode(text: string, how: Decoding): unknown {
  const value: unknown = JSON.parse(text);
  return text.includes('"$') ? revive(value, how) : value;
}

function revive(value: unknown, how: Decoding): unknown {
  if (typeof value !== "object" || value === null) {
    return value;
  }
  if (Array.isArray(value)) {
    const items: unknown[] = value;
    for (let at = 0; at < items.length; at++) {
      const item = items[at];
      if (typeof item === "object" && item !== null) {
        items[at] = member(items, at, item, how);
      }
    }
    return items;
  }
  const object = value as Record<string, unknown>;
  const first = firstKey(object);
  if (first !== undefined && first.startsWith("$")) {
    return unwrap(first, object, how);
  }
  return members(object, how);
}

function firstKey(object: object): string | undefined {
  for (const key in object) {
    return key;
  }
  return undefined;
}

function members(object: Record<string, unknown>, how: Decoding): Record<string, unknown> {
  for (const key of Object.keys(object)) {
    const value = object[key];
    if (typeof value === "object" && value !== null) {
      const revived = member(object, key, value, how);
      if (revived !== value) {
        define(object, key, revived);
      }
    }
  }
  return object;
}

/** Sets a member whatever its name is. */
function define(object: object, key: string, value: unknown): void {
  if (key === "__proto__") {
    Object.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true });
  } else {
    (object as Record<string, unknown>)[key] = value;
  }
}

/** Revives a member; a number whose width would be lost is remembered with the object that holds it. */
function member(holder: object, key: string | number, value: object, how: Decoding): unknown {
  const wrapper = value as { $numberLong?: unknown; $numberDouble?: unknown };
  if (typeof wrapper.$numberLong === "string") {
    const exact = BigInt(wrapper.$numberLong);
    if (how.useBigInt64 || !isSafe(exact)) {
      return exact;
    }
    rememberWidth(holder, key, "long");
    return Number(exact);
  }
  if (typeof wrapper.$numberDouble === "string") {
    rememberWidth(holder, key, "double");
    return Number(wrapper.$numberDouble);
  }
  return revive(value, how);
}

function isSafe(n: bigint): boolean {
  return n <= BigInt(Number.MAX_SAFE_INTEGER) && n >= BigInt(Number.MIN_SAFE_INTEGER);
}

function unwrap(name: string, wrapper: Record<string, unknown>, how: Decoding): unknown {
  const content = wrapper[name];
  const text = content as string;
  const { bson } = how;
  switch (name) {
    case "$literal":
      return members(content as Record<string, unknown>, how);
    case "$bigint":
      return BigInt(text);
    case "$numberLong": {
      const exact = BigInt(text);
      return how.useBigInt64 || !isSafe(exact) ? exact : Number(exact);
    }
    case "$numberDouble":
      return Number(text);
    case "$date": {
      const millis = Number((content as { $numberLong: string }).$numberLong);
      return Math.abs(millis) <= MAX_TIME ? new Date(millis) : new Extended(wrapper);
    }
    case "$binary":
      return binary(content as { base64: string; subType: string }, wrapper, bson);
  }
  if (bson === null) {
    return new Extended(wrapper);
  }
  switch (name) {
    case "$oid":
      return new bson.ObjectId(text);
    case "$numberDecimal":
      return bson.Decimal128.fromString(text);
    case "$timestamp":
      return new bson.Timestamp(content as { t: number; i: number });
    case "$regularExpression": {
      const { pattern, options } = content as { pattern: string; options: string };
      return new bson.BSONRegExp(pattern, options);
    }
    case "$code":
      return "$scope" in wrapper
        ? new bson.Code(text, members(wrapper["$scope"] as Record<string, unknown>, how))
        : new bson.Code(text);
    case "$symbol":
      return new bson.BSONSymbol(text);
    case "$minKey":
      return new bson.MinKey();
    case "$maxKey":
      return new bson.MaxKey();
    default:
      return new Extended(wrapper);
  }
}

function binary(content: { base64: string; subType: string }, wrapper: Record<string, unknown>, bson: BsonTypes | null): unknown {
  if (content.subType === "00") {
    return new Uint8Array(Buffer.from(content.base64, "base64"));
  }
  if (bson === null) {
    return new Extended(wrapper);
  }
  const bytes = Buffer.from(content.base64, "base64");
  return content.subType === "04" && bytes.length === 16
    ? new bson.UUID(bytes)
    : new bson.Binary(bytes, Number.parseInt(content.subType, 16));
}
