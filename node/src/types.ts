/** What goes in and what comes out. */

import type { Base, Document } from "./document.js";
import type { CfgError, ErrorParts, StatusWord } from "./errors.js";
import type { BsonTypes } from "./extended.js";

/**
 * Names a record. A text is an address as people type it: `"planner"`, `"prompts:planner"`. An id that comes
 * from outside is safer as `{ id }`: then it is that id, whatever characters it holds. A record as replies
 * name it, `{ collection, configId }`, is taken too, and so are numbers and the classes of `bson`.
 */
export type Id =
  | string
  | number
  | bigint
  | { readonly id: unknown; readonly collection?: string | undefined }
  | { readonly collection: string; readonly configId: unknown }
  | BsonId;

/** An id of one of bson's classes. */
export interface BsonId {
  readonly _bsontype: string;
}

/** Names a version: `"@7"` or 7, `"#a1b2c3"`, a `Date` or `"@{2026-06-07}"`, `"=HEAD"`, `"=live"`, `"=staged"`, `"tag:v1"`. */
export type Ref = string | number | Date;

/** A moment. A date alone in text means its end, UTC. */
export type Moment = Date | string;

/** What every call takes. */
export interface CallOptions {
  /** Stops the waiting. What writes is finished all the same; what only looks is dropped. */
  readonly signal?: AbortSignal | undefined;
}

/** Told of how far a long call has come; the total where it is known. */
export type OnProgress = (done: number, total: number | undefined) => void;

/** What long calls take besides. */
export interface LongOptions extends CallOptions {
  readonly progress?: OnProgress | undefined;
}

/** What every change takes. */
export interface ChangeOptions extends CallOptions {
  /** Why; several make paragraphs. */
  readonly message?: string | readonly string[] | undefined;
  /** Who, where it is not the author that the project was opened with. */
  readonly author?: string | undefined;
  /** The same call with the same key happens once. */
  readonly idempotencyKey?: string | undefined;
  /** Gives the plan, does nothing. */
  readonly dryRun?: boolean | undefined;
  /** Lets something that looks like a secret pass; this is recorded. */
  readonly allowSecret?: boolean | undefined;
  /** The approval under which it is done, on an env that needs one: the `approvalId` that this very call gave. */
  readonly approval?: string | undefined;
}

/** What a commit lets pass. */
export interface CommitOptions extends ChangeOptions {
  readonly message: string | readonly string[];
  /** The version that was seen, where the document does not carry it; null commits on top of HEAD. */
  readonly base?: Base | Ref | null | undefined;
  /** A change that lies in ignored fields only is no error. */
  readonly allowNoop?: boolean | undefined;
  /** Without a base, versioned fields that the document lacks are removed. */
  readonly allowRemoval?: boolean | undefined;
  /** Secrets may go with the field or array element that holds them. */
  readonly withoutSecrets?: boolean | undefined;
  /** Goes on over what was changed outside and over a stale base; what is overwritten is recorded first. */
  readonly force?: boolean | undefined;
  /** What is recorded besides. */
  readonly meta?: Readonly<Record<string, unknown>> | undefined;
}

/** Fields to set, beside what `cfg set` takes. */
export interface SetOptions extends CommitOptions {
  /** Removes the fields at the paths that are named. */
  readonly delete?: boolean | undefined;
  /** New values of secret fields, by path. */
  readonly secrets?: Readonly<Record<string, unknown>> | undefined;
}

export interface EditOptions extends CommitOptions {
  /** How often the document is read again and `change` called again where another commit came first; 5. */
  readonly retries?: number | undefined;
}

export interface RestoreOptions extends ChangeOptions {
  /** Secrets of a deleted record, by path: history does not hold them. */
  readonly secrets?: Readonly<Record<string, unknown>> | undefined;
  /** Brings a deleted record back without its secrets. */
  readonly withoutSecrets?: boolean | undefined;
  /** Goes on over what was changed outside, recording it first. */
  readonly force?: boolean | undefined;
}

export interface TagOptions extends ChangeOptions {
  /** Of one record; without it, of everything. */
  readonly id?: Id | undefined;
  /** Which version of it; HEAD. */
  readonly ref?: Ref | undefined;
  /** Of these versions. */
  readonly versions?: readonly { readonly id: Id; readonly ref?: Ref | undefined }[] | undefined;
  /** Of everything in a collection. */
  readonly collection?: string | undefined;
  /** What was live at this moment; now. */
  readonly asOf?: Moment | undefined;
  /** Moves a tag that means something else. */
  readonly force?: boolean | undefined;
}

/** Where everything goes back to. */
export type SystemMoment = { readonly tag: string } | { readonly asOf: Moment };

export interface RestoreAllOptions extends ChangeOptions, LongOptions {
  /** Only these records. */
  readonly only?: readonly Id[] | undefined;
  /** All but these. */
  readonly except?: readonly Id[] | undefined;
  /** Brings back what has been deleted since; so unless it is `false`. */
  readonly includeDeleted?: boolean | undefined;
  /** Deletes what was not there then. */
  readonly prune?: boolean | undefined;
  /** Records what was changed outside first, instead of leaving it as it is. */
  readonly adoptDrift?: boolean | undefined;
  /** Brings records back without the secrets that they had. */
  readonly withoutSecrets?: boolean | undefined;
  /** The address of the plan that was shown: nothing is done if it would be another one by now. */
  readonly plan?: string | undefined;
}

export interface ResumeOptions extends ChangeOptions, LongOptions {}

export interface ActivateOptions extends ChangeOptions {
  readonly withoutSecrets?: boolean | undefined;
  /** Goes on over what was changed outside, recording it first. */
  readonly force?: boolean | undefined;
}

export interface UndoOptions extends ChangeOptions {
  readonly withoutSecrets?: boolean | undefined;
}

export interface PointsOptions extends CallOptions {
  readonly id?: Id | undefined;
  readonly collection?: string | undefined;
  /** Only moments near this one. */
  readonly around?: Moment | undefined;
  /** How near, in milliseconds. */
  readonly windowMs?: number | undefined;
}

export interface FsckOptions extends ChangeOptions, LongOptions {
  /** Mends what follows from the entries: heads, intervals. Only then it is a change, with a message and an author. */
  readonly repair?: boolean | undefined;
}

export interface RedactOptions extends ChangeOptions {
  /** Of which collection the id is, where it is no address. */
  readonly collection?: string | undefined;
  /** Only these versions: `[2, 3]`, `"2-5"`. */
  readonly versions?: string | readonly number[] | undefined;
  /** The messages of these versions go, too. */
  readonly messages?: boolean | undefined;
  /** Reaches what is hashed: versioned fields and messages. Needs an approval on every env. */
  readonly rewriteHistory?: boolean | undefined;
}

export interface SecretsScanOptions extends LongOptions {
  /** What is stored of versions. */
  readonly history?: boolean | undefined;
  /** Live documents. */
  readonly live?: boolean | undefined;
  readonly collection?: string | undefined;
}

export interface RemoveOptions extends ChangeOptions {
  /** The version that was seen. */
  readonly base?: Base | undefined;
  readonly force?: boolean | undefined;
}

/** Many records. */
export interface All {
  readonly all: true;
  readonly collection?: string | undefined;
}

export interface AdoptOptions extends ChangeOptions, LongOptions {}

export interface ImportOptions extends ChangeOptions, LongOptions {
  /** Since when the documents have been live. */
  readonly validFrom?: Moment | undefined;
  /** Leaves out what looks like a backup made by hand. */
  readonly stripBackups?: boolean | undefined;
}

/** A line of a history to load. */
export interface HistoryLine {
  readonly id: unknown;
  readonly time: Moment;
  /** null is a deletion. */
  readonly doc: object | null;
  readonly author?: string | undefined;
  readonly message?: string | undefined;
  readonly sha?: string | undefined;
}

export interface ImportHistoryOptions extends ChangeOptions, LongOptions {
  readonly collection?: string | undefined;
  /** Writes each last version to live where live has none. */
  readonly seedLive?: boolean | undefined;
}

export interface StatusOptions extends LongOptions {
  readonly collection?: string | undefined;
  /** Lists removed records too. */
  readonly all?: boolean | undefined;
}

export interface ShowOptions extends CallOptions {
  readonly ref?: Ref | undefined;
}

export interface LogOptions extends CallOptions {
  readonly collection?: string | undefined;
  /** Recorded at or after. */
  readonly since?: Moment | undefined;
  /** Recorded at or before. */
  readonly until?: Moment | undefined;
  readonly author?: string | undefined;
  readonly gitSha?: string | undefined;
  readonly limit?: number | undefined;
  /** With documents. */
  readonly withDoc?: boolean | undefined;
}

export interface HistoryOptions extends Omit<LogOptions, "limit"> {
  /** How many versions are read at once; 200. */
  readonly page?: number | undefined;
}

export interface AsOfOptions extends CallOptions {
  /** What history said at this moment. */
  readonly recorded?: Moment | undefined;
  readonly id?: Id | undefined;
  readonly ids?: readonly Id[] | undefined;
  readonly collection?: string | undefined;
  readonly author?: string | undefined;
  readonly limit?: number | undefined;
  readonly withDoc?: boolean | undefined;
}

export interface DiffOptions extends CallOptions {
  readonly from?: Ref | undefined;
  readonly to?: Ref | undefined;
}

export interface DiffAllOptions extends CallOptions {
  /** `"=HEAD"` (the default), `"=live"`, or a moment. */
  readonly from?: Ref | undefined;
  /** `"=live"` (the default), `"=HEAD"`, or a moment. */
  readonly to?: Ref | undefined;
  readonly collection?: string | undefined;
}

export interface ExportOptions extends LongOptions {
  readonly collection?: string | undefined;
  /** Writes into a folder that is not empty, replacing files of the same names. */
  readonly force?: boolean | undefined;
}

export interface DocumentsOptions extends CallOptions {
  readonly collection?: string | undefined;
  /** How many documents are read at once; 200. */
  readonly page?: number | undefined;
  /** Takes records that cannot be read; without it the first ends the reading. */
  readonly failed?: ((failure: Failure) => void) | undefined;
}

/** Who wrote something. */
export interface Author {
  readonly id: string;
  readonly class: "human" | "agent" | "pipeline" | "system";
}

export type Op = "commit" | "restore" | "adopt" | "force" | "import" | "delete" | "redact";

/** One version of a record. */
export interface Entry<T extends object = Record<string, unknown>> {
  readonly collection: string;
  readonly configId: unknown;
  readonly env: string;
  readonly seq: number;
  /** The address of the content; null for a deletion. */
  readonly oid: string | null;
  readonly entryId: string;
  readonly prevEntryId: string | null;
  /** The versions that its author had seen; null where none was declared. */
  readonly base: readonly string[] | null;
  readonly opId: string;
  readonly message: string;
  readonly author: Author;
  readonly recordedAt: Date;
  readonly validFrom: Date;
  /** Null while it is open. */
  readonly validTo: Date | null;
  readonly supersededAt: Date | null;
  readonly validFromEstimated: boolean;
  readonly op: Op;
  readonly gitShas: readonly string[];
  readonly tags: readonly string[];
  readonly meta: Readonly<Record<string, unknown>>;
  readonly docState: "present" | "none" | "thinned" | "redacted";
  /** The paths that were redacted, where one version is shown. */
  readonly redacted?: readonly string[];
  /** Where it was asked for and is there. */
  readonly doc?: T | null;
}

/** A version that held at a moment. */
export interface AsOfEntry<T extends object = Record<string, unknown>> extends Entry<T> {
  /** The moment lies before the record's estimated baseline: what was live then is not known. */
  readonly estimatedBeforeImport?: boolean;
}

/** What a change went on top of. */
export interface Replaced {
  readonly seq: number;
  readonly author: Author;
  readonly recordedAt: Date;
}

/** What became of one record. */
export interface Change<T extends object = Record<string, unknown>> {
  readonly collection: string;
  readonly configId: unknown;
  /** It was as asked; nothing was written. */
  readonly unchanged: boolean;
  /** HEAD's number now. */
  readonly seq: number | null;
  /** HEAD's content now. */
  readonly oid: string | null;
  /** The version that was written. */
  readonly entry: Entry | null;
  /** All versions that were written, a recorded pre-image first. */
  readonly entries: readonly Entry[];
  readonly replaced: Replaced | null;
  /** The document as it is now, with its base; null for a deletion, and where nothing was written. */
  readonly doc: Document<T> | null;
  /** The base to go on with; null where nothing was written. */
  readonly base: Base | null;
  /** The idempotency key was known: this happened earlier. */
  readonly replayed: boolean;
}

/** What the command line would say of a result. */
export interface Judged {
  /** The exit code that the command line has for it: 0 where nothing failed. */
  readonly exitCode: number;
  /** The failure that decided the exit code. */
  readonly error: CfgError | null;
}

/** Why a row is not as it should be. */
export interface Reason {
  readonly code: string;
  readonly message: string;
  readonly hint: string | null;
}

export interface Failure {
  readonly collection: string;
  readonly configId: unknown;
  readonly reason: Reason;
}

/** What a verb did, record by record. */
export interface Report<T extends object = Record<string, unknown>> extends Judged {
  readonly results: readonly Change<T>[];
  readonly failed: readonly Failure[];
  readonly replayed: boolean;
}

/** What a dry run would do. */
export interface Plan {
  readonly planOid: string;
  readonly env: string;
  readonly verb: string;
  readonly author: Author;
  readonly message: string;
  readonly changes: readonly Readonly<Record<string, unknown>>[];
  readonly failed?: readonly Failure[];
}

/** What a restore of everything did. */
export interface RestoreReport extends Judged {
  readonly results: readonly Change[];
  readonly failed: readonly Failure[];
  /** Records that were left as they are, with why. */
  readonly left: readonly Failure[];
  readonly summary: Readonly<Record<"restored" | "unchanged" | "left" | "failed", number>>;
  /** What `resume` takes to finish what is not done. */
  readonly restoreToken?: string;
}

/** What a restore of everything would do. */
export interface RestorePlan extends Plan {
  readonly failed: readonly Failure[];
  readonly left: readonly Failure[];
  readonly summary: Readonly<Record<"changed" | "created" | "deleted" | "unchanged" | "left" | "failed", number>>;
}

/** What tagging did. */
export interface TagReport {
  readonly name: string;
  /** The address of what it means. */
  readonly manifest: string;
  readonly scope: string;
  readonly records: number;
  /** It meant the same already. */
  readonly unchanged: boolean;
  readonly movedFrom: string | null;
  /** Records whose state at that moment is not known. */
  readonly unknown: readonly { readonly collection: string; readonly configId: unknown }[];
  readonly dryRun: boolean;
}

/** A name for the versions of a moment. */
export interface Tag {
  readonly name: string;
  readonly manifest: string;
  readonly scope: string;
  readonly collections: readonly string[] | null;
  readonly records: number;
  /** The moment that was asked for, where one was. */
  readonly asOf: Date | null;
  readonly author: Author;
  readonly message: string;
  readonly recordedAt: Date;
}

/** A request for approval. */
export interface Approval {
  readonly approvalId: string;
  readonly env: string;
  readonly state: "pending" | "approved" | "applying" | "used" | "denied" | "expired";
  readonly verb: string;
  readonly planOid: string;
  readonly author: Author;
  /** The user of the operating system who asked. */
  readonly requestedBy: string | null;
  readonly message: string;
  /** Whether it goes over what others did. */
  readonly forced: boolean;
  /** How many records it changes. */
  readonly records: number;
  readonly requestedAt: Date;
  readonly expiresAt: Date;
  readonly approvedBy: readonly { readonly by: string; readonly provider: string; readonly at: Date }[];
  readonly denied: { readonly by: string; readonly reason: string; readonly at: Date } | null;
  readonly appliedBy: string | null;
}

/** A request with its plan. */
export interface ApprovalShown extends Approval {
  /** What it writes of the engine's own objects. */
  readonly objects: readonly unknown[];
  /** What it would do to each record, as a dry run shows it. */
  readonly changes: readonly unknown[];
  /** Whether what is stored is what the plan's address says. */
  readonly intact: boolean;
}

/** What `cfg approve ID --sign KEYFILE --print` prints. */
export interface SignedStatement {
  readonly v: number;
  readonly env: string;
  readonly approval: string;
  readonly plan_oid: string;
  readonly by: string;
  readonly signature: string;
}

/** Which version a field comes from. */
export interface BlameLine {
  readonly path: string;
  readonly value: unknown;
  readonly seq: number;
  readonly oid: string | null;
  readonly entryId: string;
  readonly op: Op;
  readonly author: Author;
  readonly recordedAt: Date;
  readonly validFrom: Date;
  readonly message: string;
  readonly gitShas: readonly string[];
  readonly tags: readonly string[];
}

/** A moment at which something changed. */
export interface Point extends Entry {
  readonly at: Date;
  /** On which axis of time. */
  readonly axis: "both" | "valid" | "recorded";
}

/** A list that knows what the command line would say of it. */
export type Rows<R> = R[] & Judged;

export type State = "clean" | "dirty" | "staged" | "untracked" | "missing" | "ambiguous" | "error" | "removed";

/** Where a record stands. */
export interface RecordStatus {
  readonly collection: string;
  readonly configId: unknown;
  readonly state: State;
  readonly liveOid: string | null;
  readonly headOid: string | null;
  readonly headSeq: number | null;
  readonly staged: boolean;
  readonly reason: Reason | null;
}

/** One field's difference. */
export interface FieldChange {
  readonly path: string;
  readonly op: string;
  readonly before?: unknown;
  readonly after?: unknown;
  readonly from?: string;
}

export interface Diff {
  readonly collection: string;
  readonly configId: unknown;
  readonly changes: readonly FieldChange[];
  /** Paths of which nothing is said: they were redacted on one side. */
  readonly redacted?: readonly string[];
}

export interface InitReport extends Judged {
  readonly statements: readonly string[];
  readonly advice: readonly string[];
  readonly ambiguous: readonly Failure[];
  readonly registered: boolean;
}

export interface HistoryReport extends Judged {
  readonly lines: number;
  readonly loaded: number;
  readonly known: number;
  readonly withoutEffect: number;
  readonly records: number;
  readonly seeded: number;
  readonly dryRun: boolean;
  readonly dirty: readonly { readonly collection: string; readonly configId: unknown }[];
  readonly failed: readonly Failure[];
}

export interface FsckReport extends Judged {
  readonly records: number;
  readonly entries: number;
  readonly findings: readonly {
    /** Null where the finding is about no collection. */
    readonly collection: string | null;
    readonly configId: unknown;
    readonly seq: number | null;
    readonly code: string;
    readonly problem: string;
    /** Which of the engine's own documents. */
    readonly object?: string | null;
    /** What mending does about it; null where that would make up content. */
    readonly repair?: string | null;
  }[];
}

/** A place that holds what is redacted. */
export interface RedactedPlace {
  readonly kind: "doc" | "message" | "header" | "object" | "staged";
  readonly seq: number | null;
  readonly object: string | null;
  readonly paths: readonly string[];
  /** Its hash stays. */
  readonly hashed: boolean;
}

export interface RedactReport {
  readonly collection: string;
  readonly configId: unknown;
  readonly dryRun: boolean;
  readonly reason: string;
  readonly paths: readonly string[];
  /** What lost it, or would. */
  readonly places: readonly RedactedPlace[];
  /** What repeats it and was left. */
  readonly left: readonly RedactedPlace[];
  /** Where live holds a value still. */
  readonly live: readonly string[];
  /** The `redact` entries that were written. */
  readonly entries: readonly Entry[];
  readonly needsRewriteHistory: boolean;
  readonly needsApproval: boolean;
  /** What stands in the way of a dry run that would need an approval: nobody would be told. */
  readonly blocked: Reason | null;
  readonly planOid: string | null;
}

export interface SecretReport extends Judged {
  readonly records: number;
  readonly entries: number;
  readonly failed: readonly Failure[];
  readonly findings: readonly {
    readonly collection: string;
    readonly configId: unknown;
    readonly place: "live" | "doc" | "message" | "author";
    /** In which versions; none for live. */
    readonly versions: readonly number[];
    readonly path: string;
    readonly kind: "field_name" | "value" | "key" | "message";
    readonly rule: string;
  }[];
}

export interface ExportReport extends Judged {
  readonly dir: string;
  readonly exported: number;
  readonly failed: readonly Failure[];
}

export interface WhoAmI {
  readonly author: Author;
  readonly authorSource: string;
  readonly env: string;
  readonly envSource: string;
  readonly needsApproval: boolean;
  readonly database: string;
  readonly configFile: string;
}

export interface SettingsReport {
  readonly configFile: string;
  readonly env: string | null;
  readonly envSource: string | null;
  readonly settings: readonly { readonly key: string; readonly value: unknown; readonly source: string }[];
}

/** One rule of a policy. */
export interface PolicyRule {
  readonly rule: string;
  /** What the file says. */
  readonly file: unknown;
  /** What the database holds; `null` where the env is not initialised. */
  readonly store: unknown;
  /** What holds: the stricter of both. */
  readonly holds: unknown;
  readonly stricter: "same" | "file" | "store" | "both";
}

/** What an env asks of a change. */
export interface PolicyStanding {
  readonly initialised: boolean;
  readonly rules: readonly PolicyRule[];
}

/** How a project is opened. */
export interface OpenOptions extends CallOptions {
  /** The folder from which `.cfg.toml` is looked for, upwards; the current one. */
  readonly path?: string | undefined;
  /** The configuration file; otherwise it is looked for. */
  readonly configFile?: string | undefined;
  /** The env; else `CFG_ENV`, else the only one. */
  readonly env?: string | undefined;
  /** Who makes changes; else `CFG_AUTHOR`, else git's `user.email`, else the user of the operating system. */
  readonly author?: string | undefined;
  /** What the author declares to be. */
  readonly authorClass?: "agent" | "pipeline" | undefined;
  /** Makes a SQLite file that is not there. */
  readonly create?: boolean | undefined;
  /** Environment variables, instead of the process's own. */
  readonly variables?: Readonly<Record<string, string | undefined>> | undefined;
  /** The `bson` module whose classes values come as: by default the installed one; null for none. */
  readonly bson?: BsonTypes | null | undefined;
  /** Every 64-bit integer comes as a bigint, not only those beyond 2^53. */
  readonly useBigInt64?: boolean | undefined;
}

/** One record's part of a batch. */
export type BatchItem<T extends object = Record<string, unknown>> = {
  readonly id?: Id | undefined;
  readonly base?: Base | Ref | null | undefined;
} & (
  | { readonly doc: T }
  | { readonly patch: readonly object[] }
  | { readonly merge: object }
  | { readonly set: readonly string[]; readonly delete?: boolean | undefined }
  | { readonly assign: Readonly<Record<string, unknown>> }
);

export type { BsonTypes, ErrorParts, StatusWord };
