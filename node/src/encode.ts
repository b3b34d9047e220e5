/** Values as canonical Extended JSON for the native half. */

import { refused } from "./errors.js";
import { Extended } from "./extended.js";
import { knownWidths, type Width } from "./widths.js";

/** The engine takes a hundred levels; this only ends what has no end. */
const MAX_LEVELS = 200;

/** Writes a value. */
export function encode(value: unknown): string {
  return isPlain(value, 0) ? JSON.stringify(value) : write(value, "", [], undefined);
}

/** Returns whether `JSON.stringify` writes exactly this value: the common case, and fast. */
function isPlain(value: unknown, level: number): boolean {
  switch (typeof value) {
    case "string":
    case "boolean":
      return true;
    case "number":
      return isPlainNumber(value);
    case "object":
      break;
    default:
      return false;
  }
  if (value === null) {
    return true;
  }
  if (level > MAX_LEVELS || knownWidths(value) !== undefined) {
    return false;
  }
  if (Array.isArray(value)) {
    for (let at = 0; at < value.length; at++) {
      if (!isPlain(value[at], level + 1)) {
        return false;
      }
    }
    return true;
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) {
    return false;
  }
  for (const key of Object.keys(value)) {
    if (key.charCodeAt(0) === 36 || key === "toJSON") {
      return false;
    }
    const member: unknown = (value as Record<string, unknown>)[key];
    // A member that is undefined is left out, as JSON.stringify does.
    if (member !== undefined && !isPlain(member, level + 1)) {
      return false;
    }
  }
  return true;
}

function isPlainNumber(n: number): boolean {
  return Number.isInteger(n) ? Number.isSafeInteger(n) && !Object.is(n, -0) : Number.isFinite(n);
}

/** Writes a number: as digits where they say its width, else in a wrapper. */
function writeNumber(n: number, width: Width | undefined): string {
  if (width === "long" && Number.isSafeInteger(n)) {
    return `{"$numberLong":"${n}"}`;
  }
  if (isPlainNumber(n) && (width !== "double" || !Number.isInteger(n))) {
    return String(n);
  }
  // What is no safe integer is a double, and its digits are those of a double.
  return `{"$numberDouble":"${Object.is(n, -0) ? "-0.0" : String(n)}"}`;
}

type Path = (string | number)[];

function write(value: unknown, key: string, path: Path, width: Width | undefined): string {
  switch (typeof value) {
    case "string":
      return JSON.stringify(value);
    case "boolean":
      return value ? "true" : "false";
    case "number":
      return writeNumber(value, width);
    case "bigint":
      return BigInt.asIntN(64, value) === value ? `{"$numberLong":"${value}"}` : String(value);
    case "object":
      return value === null ? "null" : writeObject(value, key, path);
    default:
      throw unwritable(path, `a ${typeof value}`);
  }
}

function writeObject(value: object, key: string, path: Path): string {
  if (path.length > MAX_LEVELS) {
    throw refused("too_deep", `${shown(path.slice(0, 3))}… is nested too deeply or holds itself`, "take what repeats out of the document");
  }
  if (Array.isArray(value)) {
    return writeArray(value, path);
  }
  if (value instanceof Date) {
    const millis = value.getTime();
    if (Number.isNaN(millis)) {
      throw unwritable(path, "an invalid Date");
    }
    return `{"$date":{"$numberLong":"${millis}"}}`;
  }
  if (value instanceof Uint8Array) {
    return writeBinary(value, 0);
  }
  if (value instanceof Extended) {
    return writeExtended(value, path);
  }
  if (typeof (value as { _bsontype?: unknown })._bsontype === "string") {
    return writeBson(value as BsonValue, path);
  }
  if (value instanceof RegExp) {
    return writeRegExp(value, path);
  }
  if (typeof (value as { toJSON?: unknown }).toJSON === "function") {
    const inner: unknown = (value as { toJSON(key: string): unknown }).toJSON(key);
    return inner === value ? writeMembers(inner, path) : write(inner, key, [...path, "toJSON()"], undefined);
  }
  const kind = Object.prototype.toString.call(value);
  if (kind !== "[object Object]" || ArrayBuffer.isView(value)) {
    throw unwritable(path, `a ${kind.slice(8, -1)}`);
  }
  return writeMembers(value, path);
}

function writeArray(items: readonly unknown[], path: Path): string {
  const widths = knownWidths(items);
  let text = "[";
  for (let at = 0; at < items.length; at++) {
    const item = items[at];
    if (at > 0) {
      text += ",";
    }
    text += write(item, String(at), [...path, at], widths?.get(at));
  }
  return text + "]";
}

function writeMembers(value: object, path: Path): string {
  const widths = knownWidths(value);
  let text = "";
  let escaped = false;
  for (const key of Object.keys(value)) {
    const member: unknown = (value as Record<string, unknown>)[key];
    if (member === undefined) {
      continue;
    }
    escaped ||= key.startsWith("$");
    const written = write(member, key, [...path, key], widths?.get(key));
    text += `${text === "" ? "" : ","}${JSON.stringify(key)}:${written}`;
  }
  return escaped ? `{"$literal":{${text}}}` : `{${text}}`;
}

function writeBinary(bytes: Uint8Array, subType: number): string {
  const base64 = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
  return `{"$binary":{"base64":"${base64}","subType":"${subType.toString(16).padStart(2, "0")}"}}`;
}

function writeExtended(value: Extended, path: Path): string {
  const number = value["$number"];
  if (number !== undefined) {
    if (typeof number !== "string" || !/^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/.test(number)) {
      throw unwritable(path, "an Extended whose $number is no JSON number");
    }
    return number;
  }
  if ("$scope" in value) {
    return `{"$code":${JSON.stringify(value["$code"])},"$scope":${write(value["$scope"], "$scope", [...path, "$scope"], undefined)}}`;
  }
  return JSON.stringify(value);
}

/** Flags of JavaScript that say what a letter of a regex in the database says. */
function writeRegExp(value: RegExp, path: Path): string {
  const odd = value.flags.replace(/[imsu]/g, "");
  if (odd !== "") {
    throw unwritable(path, `a RegExp with the flag ${odd}, which a stored one does not have`);
  }
  const options = value.flags.replace("u", "");
  return `{"$regularExpression":{"pattern":${JSON.stringify(value.source)},"options":"${options}"}}`;
}

/** What the classes of the `bson` package have in common, of whatever release they are. */
interface BsonValue {
  readonly _bsontype: string;
  readonly value: unknown;
  readonly buffer: Uint8Array;
  readonly sub_type: number;
  readonly position: number;
  readonly pattern: string;
  readonly options: string;
  readonly code: string | (() => unknown);
  readonly scope: object | null | undefined;
  readonly collection: string;
  readonly oid: unknown;
  readonly db: string | undefined;
  readonly fields: object;
  readonly t: number;
  readonly i: number;
  toHexString(): string;
  toString(): string;
  getHighBitsUnsigned(): number;
  getLowBitsUnsigned(): number;
}

function writeBson(value: BsonValue, path: Path): string {
  switch (value._bsontype) {
    case "ObjectId":
    case "ObjectID":
      return `{"$oid":"${value.toHexString()}"}`;
    case "Long":
      return `{"$numberLong":"${value.toString()}"}`;
    case "Int32":
      return `{"$numberInt":"${Number(value.value)}"}`;
    case "Double":
      return writeNumber(Number(value.value), "double");
    case "Decimal128":
      return `{"$numberDecimal":"${value.toString()}"}`;
    case "Timestamp":
      return `{"$timestamp":{"t":${value.getHighBitsUnsigned()},"i":${value.getLowBitsUnsigned()}}}`;
    case "Binary":
    case "UUID":
      return writeBinary(value.buffer.subarray(0, value.position ?? value.buffer.length), value.sub_type);
    case "BSONRegExp":
      return `{"$regularExpression":{"pattern":${JSON.stringify(value.pattern)},"options":${JSON.stringify(value.options)}}}`;
    case "Code": {
      const scope = value.scope ? `,"$scope":${write(value.scope, "$scope", [...path, "$scope"], undefined)}` : "";
      return `{"$code":${JSON.stringify(String(value.code))}${scope}}`;
    }
    case "BSONSymbol":
    case "Symbol":
      return `{"$symbol":${JSON.stringify(String(value.value))}}`;
    case "MinKey":
      return '{"$minKey":1}';
    case "MaxKey":
      return '{"$maxKey":1}';
    case "DBRef": {
      const parts: Record<string, unknown> = { $ref: value.collection, $id: value.oid };
      return writeMembers(value.db ? { ...parts, $db: value.db, ...value.fields } : { ...parts, ...value.fields }, path);
    }
    default:
      throw unwritable(path, `a bson ${value._bsontype}`);
  }
}

function shown(path: Path): string {
  const text = path.map((step) => (typeof step === "number" ? `[${step}]` : `.${step}`)).join("");
  return text.replace(/^\./, "") || "the document";
}

function unwritable(path: Path, what: string): Error {
  const hint = "write a JSON value, a Date, a bigint, a Uint8Array or a class of bson; leave a member out to remove it";
  return refused("unwritable", `${shown(path)} is ${what}, which is no value of a document`, hint);
}
