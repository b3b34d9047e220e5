/** What changes give back. */

import { readBase, withBase, type Document } from "./document.js";
import type { Answer } from "./native.js";
import { fromReply } from "./shape.js";
import type { Change, Entry, Failure, Judged, Plan, Replaced, Report, RestoreReport, Rows } from "./types.js";

interface WireReply {
  readonly doc: object | null;
  readonly base: unknown;
  /** Where there is more than the one that stands beside it. */
  readonly entries?: readonly unknown[];
}

type Row = Record<string, unknown>;

/** Returns the plan, where a dry run gave one. */
export function planOf(data: unknown): Plan | undefined {
  return typeof data === "object" && data !== null && "plan_oid" in data ? (fromReply(data) as Plan) : undefined;
}

/** Gives the document of a reply its base. */
export function documentOf<T extends object>(reply: unknown): Document<T> | null {
  const { doc, base } = reply as WireReply;
  return doc === null ? null : withBase(doc as T, readBase(base));
}

function change<T extends object>(data: Row, reply: unknown, replayed: boolean): Change<T> {
  const { replaced, unchanged, headSeq, headOid, ...entry } = fromReply(data) as Row;
  if (unchanged === true) {
    const { collection, configId } = entry;
    const nothing = { entry: null, entries: [], replaced: null, doc: null, base: null };
    return { collection, configId, unchanged: true, seq: headSeq, oid: headOid, ...nothing, replayed } as Change<T>;
  }
  const written = entry as unknown as Entry;
  return {
    collection: written.collection,
    configId: written.configId,
    unchanged: false,
    seq: written.seq,
    oid: written.oid,
    entry: written,
    entries: ((reply as WireReply | undefined)?.entries?.map(fromReply) as Entry[] | undefined) ?? [written],
    replaced: (replaced as Replaced | null) ?? null,
    doc: reply === undefined ? null : documentOf<T>(reply),
    base: reply === undefined ? null : readBase((reply as WireReply).base),
    replayed,
  };
}

/** Returns what became of the one record of a call. */
export function changeOf<T extends object>(answer: Answer): Change<T> {
  return change(answer.data as Row, answer.replies[0], answer.replayed);
}

/** Returns what became of each record of a call. */
export function reportOf<T extends object>(answer: Answer): Report<T> {
  const { results, failed } = answer.data as { results: Row[]; failed: unknown[] };
  // There is a reply for each row that was written, in the same order.
  let next = 0;
  const rows = results.map((row) => change<T>(row, row["unchanged"] === true ? undefined : answer.replies[next++], answer.replayed));
  return {
    results: rows,
    failed: failed.map(fromReply) as Failure[],
    replayed: answer.replayed,
    exitCode: answer.exitCode,
    error: answer.reason,
  };
}

/** Returns what a restore of everything did; its documents are too many to hand back. */
export function restoreReportOf(answer: Answer): RestoreReport {
  const { results, ...rest } = answer.data as { results: Row[] };
  const rows = results.map((row) => change<Record<string, unknown>>(row, undefined, answer.replayed));
  return { ...judged<RestoreReport>({ ...answer, data: rest }), results: rows };
}

/** Returns a list that knows what the command line would say of it. */
export function rowsOf<R>(answer: Answer, rows: R[]): Rows<R> {
  return Object.defineProperties(rows, {
    exitCode: { value: answer.exitCode },
    error: { value: answer.reason },
  }) as Rows<R>;
}

/** Returns a report with what the command line would say of it. */
export function judged<R extends Judged>(answer: Answer): R {
  return { ...(fromReply(answer.data) as object), exitCode: answer.exitCode, error: answer.reason } as R;
}
