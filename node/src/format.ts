/**
 * The format that history is written in, for checking it without a store: `import … from "cfg-engine/format"`.
 *
 * @packageDocumentation
 */

import * as native from "../native/index.js";

import { decode } from "./decode.js";
import { answerOf } from "./native.js";

/** What is left out of canonical bytes, as `.cfg.toml` says it. */
export interface FieldPolicy {
  readonly ignore_fields?: readonly string[];
  readonly ignore_patterns?: readonly string[];
  readonly ignore_paths?: readonly string[];
  readonly secret_fields?: readonly string[];
}

/** How a text is read: with wrappers that mean something, or as a JSON column is read. */
export type Mode = "interchange" | "json";

function ask<R>(question: object): R {
  const text = answerOf(native.format(JSON.stringify(question)));
  return decode(text, { bson: null, useBigInt64: false }) as R;
}

/** Returns the canonical bytes of a JSON text, as text, and their SHA-256. */
export function canonical(input: string, options: { readonly mode?: Mode; readonly policy?: FieldPolicy } = {}): { canonical: string; oid: string } {
  return ask({ what: "canonical", input, mode: options.mode ?? "interchange", policy: options.policy ?? {} });
}

/** Writes a JSON text in each dialect. */
export function rewrite(input: string, options: { readonly mode?: Mode } = {}): { interchange: string; relaxed: string; plain: string; type: string } {
  return ask({ what: "rewrite", input, mode: options.mode ?? "interchange" });
}

/** Reads a reference to a version: `@7`, `#a1b2c3`, `@{2026-06-07}`, `=HEAD`. */
export function reference(text: string): { kind: string; shown: string } {
  return ask({ what: "reference", text });
}

/** Splits an address at its version. */
export function address(text: string): { id: string; version: string | null } {
  return ask({ what: "address", text });
}

/** Reads a moment as people type it. */
export function time(text: string): { millis: number; shown: string; date: boolean } {
  return ask({ what: "time", text });
}

/** Reads a path such as `tools[0].name`. */
export function path(text: string): { steps: (string | number)[]; printed: string } {
  return ask({ what: "path", text });
}

/** The place of an entry on both axes of time. */
export interface Span {
  readonly seq: number;
  readonly recorded_at: number;
  readonly valid_from: number;
  readonly redact?: boolean;
}

/** Returns the ends of the intervals of one record's entries, null while open, and which of them is HEAD. */
export function intervals(entries: readonly Span[]): { ends: { valid_to: number | null; superseded_at: number | null }[]; head: number | null } {
  return ask({ what: "intervals", entries });
}
