/** Documents that carry what their author had seen. */

/**
 * The key under which a document carries its base. It is an enumerable symbol, so that a copy made with
 * `{ ...doc }` is compared with the same version when it is committed; JSON and `Object.keys` pass over it.
 */
export const base: unique symbol = Symbol.for("cfg-engine.base") as never;

/** The version of a record that a document was read at. */
export interface Base {
  /** Which record. */
  readonly record: { readonly collection: string; readonly configId: unknown };
  /** In which env. */
  readonly env: string;
  /** HEAD's number then; null where there was no history. */
  readonly seq: number | null;
  /** HEAD's content then; null for a deletion. */
  readonly oid: string | null;
}

/** A document as it was read: secrets as `{ $secret: true }`, with its base. */
export type Document<T extends object = Record<string, unknown>> = T & { readonly [base]: Base };

/** Returns the base of a document, if it carries one. */
export function baseOf(doc: object): Base | undefined {
  return (doc as { [base]?: Base })[base];
}

/** Returns a copy without the base: for comparing, or for committing on top of whatever is there. */
export function withoutBase<T extends object>(doc: T): Omit<T, typeof base> {
  const { [base]: _, ...rest } = doc as T & { [base]?: Base };
  return rest;
}

interface WireBase {
  readonly record: { readonly collection: string; readonly config_id: unknown };
  readonly env: string;
  readonly seq: number | null;
  readonly oid: string | null;
}

/** Reads a base of a reply. */
export function readBase(wire: unknown): Base {
  const { record, env, seq, oid } = wire as WireBase;
  return { record: { collection: record.collection, configId: record.config_id }, env, seq, oid };
}

/** Writes a base for a call. */
export function writeBase(of: Base): WireBase {
  const { record, env, seq, oid } = of;
  return { record: { collection: record.collection, config_id: record.configId }, env, seq, oid };
}

/** Gives a document its base. */
export function withBase<T extends object>(doc: T, of: Base): Document<T> {
  Object.defineProperty(doc, base, { value: of, writable: true, enumerable: true, configurable: true });
  return doc as Document<T>;
}

/**
 * Makes a document that was committed what the reply says: content and base. Only one that was read from the
 * engine is changed; what a caller made may be used for other records too.
 */
export function takeOver(doc: object, now: object, of: Base): void {
  const before = baseOf(doc);
  if (before === undefined || Object.isFrozen(doc) || Object.isSealed(doc) || Array.isArray(doc)) {
    return;
  }
  for (const key of Object.keys(doc)) {
    if (!(key in now)) {
      delete (doc as Record<string, unknown>)[key];
    }
  }
  for (const [key, value] of Object.entries(now)) {
    Object.defineProperty(doc, key, { value, writable: true, enumerable: true, configurable: true });
  }
  withBase(doc, of);
}
