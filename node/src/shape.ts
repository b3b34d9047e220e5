/** Names in JavaScript spelling, and back. What a user stored under a name is never renamed. */

/** Members whose content is the user's own, or is handed back as it is. */
const OPAQUE = new Set(["doc", "meta", "config_id", "before", "after", "value"]);

/** Members that are instants. */
const TIMES = new Set(["recorded_at", "valid_from", "valid_to", "superseded_at", "staged_at", "as_of", "at", "requested_at", "expires_at"]);

const camelNames = new Map<string, string>();

function camel(name: string): string {
  let known = camelNames.get(name);
  if (known === undefined) {
    known = name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
    camelNames.set(name, known);
  }
  return known;
}

/** Gives the members of a reply their names and their instants the type `Date`. */
export function fromReply(value: unknown): unknown {
  if (Array.isArray(value)) {
    return value.map(fromReply);
  }
  if (typeof value !== "object" || value === null || Object.getPrototypeOf(value) !== Object.prototype) {
    return value;
  }
  const shaped: Record<string, unknown> = {};
  for (const [name, member] of Object.entries(value)) {
    if (OPAQUE.has(name)) {
      shaped[camel(name)] = member;
    } else if (TIMES.has(name) && typeof member === "string") {
      shaped[camel(name)] = new Date(member);
    } else {
      shaped[camel(name)] = fromReply(member);
    }
  }
  return shaped;
}

const snakeNames = new Map<string, string>();

function snake(name: string): string {
  let known = snakeNames.get(name);
  if (known === undefined) {
    known = name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    snakeNames.set(name, known);
  }
  return known;
}

/** Gives options the names that the engine reads. Their contents are left as they are. */
export function toArgs(options: object): Record<string, unknown> {
  const args: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(options)) {
    if (value !== undefined) {
      args[snake(name)] = value;
    }
  }
  return args;
}
