/** Errors by class. Which class an error has follows from the engine's one table of outcomes. */

/** The kinds of errors, by what a caller can do about them. */
export type ErrorKind =
  | "Refused"
  | "Conflict"
  | "ChangedOutside"
  | "Storage"
  | "NeedsApproval"
  | "NotFound"
  | "BadConfig"
  | "Declined";

/** The words that programs branch on, the same in every interface. */
export type StatusWord =
  | "changed_outside_cfg"
  | "conflict"
  | "needs_human_ok"
  | "was_declined"
  | "not_found"
  | "bad_config"
  | "error";

/** What an error is made of. */
export interface ErrorParts {
  readonly kind: ErrorKind;
  readonly status: StatusWord;
  readonly exitCode: number;
  readonly code: string;
  readonly message: string;
  readonly hint: string | null;
  readonly data: Readonly<Record<string, unknown>> | null;
}

/** The root of all errors of this package. Nothing was written unless the code says otherwise. */
export class CfgError extends Error {
  /** The word that programs branch on: `conflict`, `not_found`, … */
  readonly status: StatusWord;
  /** A stable word, finer than the status: `stale_base`, `no_version`, … */
  readonly code: string;
  /** What to type or do next. */
  readonly hint: string | null;
  /** The id of the record that it concerns, as history has it; `undefined` where it concerns none. */
  readonly configId: unknown;
  /** The collection of that record. */
  readonly collection: string | undefined;
  /** The exit code that the command line has for it. */
  readonly exitCode: number;
  /** What a program needs beyond the words: missing fields, HEAD's number. */
  readonly data: Readonly<Record<string, unknown>>;

  constructor(parts: ErrorParts) {
    super(parts.message);
    this.name = new.target.name;
    this.status = parts.status;
    this.code = parts.code;
    this.hint = parts.hint;
    this.exitCode = parts.exitCode;
    this.data = parts.data ?? {};
    this.configId = this.data["configId"];
    this.collection = this.data["collection"] as string | undefined;
  }

  /** The envelope of the command line. */
  toJSON(): Record<string, unknown> {
    const { status, code, message, hint, data } = this;
    return { status, code, message, hint, data };
  }
}

/** Another commit came first: read again, redo the change, commit. */
export class ConflictError extends CfgError {}
/** Somebody wrote around the tool: adopt first, or discard with `restore(id, "=HEAD")`. */
export class ChangedOutsideError extends CfgError {}
/** No such record, version, tag or collection. */
export class NotFoundError extends CfgError {}
/** The input is refused: change it. */
export class RefusedError extends CfgError {}
/** The data or the configuration breaks a rule that the engine needs. */
export class BadConfigError extends CfgError {}
/** The database failed: try later, or mend it. */
export class StorageError extends CfgError {}
/** A human has to approve: then the same call with `approval`. */
export class NeedsApprovalError extends CfgError {
  /** What to wait for. */
  get approvalId(): string | undefined {
    return this.data["approvalId"] as string | undefined;
  }
}
/** A human said no. */
export class DeclinedError extends CfgError {}

/** The class of every kind. A test holds it against the engine's table. */
export const errorClasses: Readonly<Record<ErrorKind, typeof CfgError>> = {
  Refused: RefusedError,
  Conflict: ConflictError,
  ChangedOutside: ChangedOutsideError,
  Storage: StorageError,
  NeedsApproval: NeedsApprovalError,
  NotFound: NotFoundError,
  BadConfig: BadConfigError,
  Declined: DeclinedError,
};

/** Makes an error of its parts. */
export function errorOf(parts: ErrorParts): CfgError {
  const found = errorClasses[parts.kind] ?? CfgError;
  return new found(parts);
}

/** Makes a refusal of this package's own. */
export function refused(code: string, message: string, hint: string): RefusedError {
  return new RefusedError({ kind: "Refused", status: "error", exitCode: 1, code, message, hint, data: null });
}
