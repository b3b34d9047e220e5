/**
 * A JavaScript number has one width. Which one a number had in the database is kept beside the object that
 * holds it, so that a double or a 64-bit integer that is changed stays one.
 */

/** A width that plain digits do not say. */
export type Width = "long" | "double";

const widths = new WeakMap<object, Map<string | number, Width>>();

/** Says that a member of an object is a number of this width. */
export function rememberWidth(holder: object, key: string | number, width: Width): void {
  const known = widths.get(holder);
  if (known === undefined) {
    widths.set(holder, new Map([[key, width]]));
  } else {
    known.set(key, width);
  }
}

/** Returns what is known of an object's members. */
export function knownWidths(holder: object): ReadonlyMap<string | number, Width> | undefined {
  return widths.get(holder);
}
