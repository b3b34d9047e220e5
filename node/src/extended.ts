/**
 * A value that JavaScript has no type for, as its canonical Extended JSON: what such a value is where the
 * `bson` package is not installed, and what the types are that neither has.
 *
 * ```ts
 * await cfg.commit("planner", { ...doc, price: new Extended({ $numberDecimal: "1.10" }) }, { message: "…" });
 * ```
 *
 * `{ $number: "0.1234567890123456789" }` is a JSON number that no double holds.
 */
export class Extended {
  readonly [member: string]: unknown;

  constructor(wrapper: Readonly<Record<string, unknown>>) {
    Object.assign(this, wrapper);
    Object.freeze(this);
  }
}

/** The classes of the `bson` package that values come as, where it is installed. */
export interface BsonTypes {
  ObjectId: new (hex: string) => object;
  Decimal128: { fromString(text: string): object };
  Binary: new (bytes: Uint8Array, subType: number) => object;
  UUID: new (bytes: Uint8Array) => object;
  Timestamp: new (parts: { t: number; i: number }) => object;
  BSONRegExp: new (pattern: string, options: string) => object;
  Code: new (code: string, scope?: Record<string, unknown>) => object;
  BSONSymbol: new (text: string) => object;
  MinKey: new () => object;
  MaxKey: new () => object;
}

let found: BsonTypes | null | undefined;

/** Finds the `bson` package beside this one, as `require` gives it. */
export function installedBson(): BsonTypes | null {
  if (found === undefined) {
    try {
      found = require("bson") as BsonTypes;
    } catch {
      found = null;
    }
  }
  return found;
}
