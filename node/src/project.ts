/** An opened project, and every verb as a method. */

import { isMainThread } from "node:worker_threads";

import { base, baseOf, readBase, takeOver, withBase, writeBase, type Base, type Document } from "./document.js";
import { encode } from "./encode.js";
import { BadConfigError, ConflictError, refused, type CfgError } from "./errors.js";
import { installedBson } from "./extended.js";
import { Native, settings, type Answer } from "./native.js";
import { idArg, isId, isOne, refArg, whichArgs } from "./names.js";
import { changeOf, documentOf, judged, planOf, reportOf, restoreReportOf, rowsOf } from "./reports.js";
import { fromReply } from "./shape.js";
import type * as t from "./types.js";

type Doc = Record<string, unknown>;
type Dry = { readonly dryRun: true };

const OPEN = Symbol("open");

/** What a project says of itself. */
interface About {
  readonly env: string;
  readonly database: string;
  readonly needsApproval: boolean;
  readonly configFile: string;
  readonly root: string;
  readonly collections: readonly string[];
}

/** A commit as it is handed over: what stands for documents is their place among `docs`. */
interface Items {
  readonly args: object[];
  readonly docs: string[];
}

/**
 * A database with its history.
 *
 * Calls may run at the same time. Every change is finished once it was begun, whether or not anybody waits.
 */
export class Project {
  readonly #native: Native;
  readonly #about: About;

  /** Use {@link open}. */
  constructor(key: typeof OPEN, native: Native, about: About) {
    if (key !== OPEN) {
      throw refused("usage", "a project is not made with new", "call open()");
    }
    this.#native = native;
    this.#about = about;
  }

  /** Finds `.cfg.toml`, chooses the env and opens its store. */
  static async open(options: t.OpenOptions = {}): Promise<Project> {
    const { signal, bson, useBigInt64, ...rest } = options;
    const native = new Native();
    const about = (await native.open({ ...rest, variables: variablesOf(options) }, { signal })) as About;
    native.how = { bson: bson === undefined ? installedBson() : bson, useBigInt64: useBigInt64 ?? false };
    return new Project(OPEN, native, about);
  }

  /** The env. */
  get env(): string {
    return this.#about.env;
  }

  /** The kind of database: `mongodb`, `postgres`, `sqlite`, `memory`. */
  get database(): string {
    return this.#about.database;
  }

  /** Whether changes need an approval. */
  get needsApproval(): boolean {
    return this.#about.needsApproval;
  }

  /** The configuration file. */
  get configFile(): string {
    return this.#about.configFile;
  }

  /** The folder of the configuration file. */
  get root(): string {
    return this.#about.root;
  }

  /** The names of the collections. */
  get collections(): readonly string[] {
    return this.#about.collections;
  }

  /** Creates the history tables beside the live ones, and checks what is live. Idempotent. */
  async init(options: t.CallOptions & { readonly dryRun?: boolean | undefined } = {}): Promise<t.InitReport> {
    return judged(await this.#call("init", {}, options));
  }

  // --- approvals -------------------------------------------------------------------------------

  /**
   * Makes the policy that the store holds what the file says, which is less strict. On an env that needs approvals this
   * needs one, as every change does.
   */
  async loosen(options: t.ChangeOptions = {}): Promise<Record<string, unknown>> {
    return fromReply((await this.#call("init", { loosen: true }, options)).data) as Record<string, unknown>;
  }

  /** Lists what waits for an approval; with `all`, also what is used, denied or expired. */
  async approvals(options: t.CallOptions & { readonly all?: boolean | undefined } = {}): Promise<t.Approval[]> {
    return fromReply((await this.#call("approvals", {}, options)).data) as t.Approval[];
  }

  /** Shows a request for approval with its whole plan. */
  async approval(id: string, options: t.CallOptions = {}): Promise<t.ApprovalShown> {
    return fromReply((await this.#call("approval", { id }, options)).data) as t.ApprovalShown;
  }

  /**
   * Hands in a signed statement, as `cfg approve ID --sign KEYFILE --print` prints it. A program has no terminal
   * that counts, and no argument approves anything by itself.
   */
  async approve(id: string, statement: t.SignedStatement, options: t.CallOptions = {}): Promise<t.Approval> {
    return fromReply((await this.#call("approve", { id, statement }, options)).data) as t.Approval;
  }

  /** Says no to a plan: whoever asked for it gets a `DeclinedError`. */
  async deny(
    id: string,
    options: t.CallOptions & { readonly reason?: string | undefined } = {},
  ): Promise<t.Approval> {
    return fromReply((await this.#call("deny", { id }, options)).data) as t.Approval;
  }

  // --- reading ---------------------------------------------------------------------------------

  /** Reads a live document with its base, secrets masked. */
  async get<T extends object = Doc>(id: t.Id, options: t.CallOptions = {}): Promise<Document<T>> {
    const { data } = await this.#call("get", { id: idArg(id) }, options);
    return documentOf<T>(data) as Document<T>;
  }

  /** Reads several live documents in one round trip, as they are named; each that cannot be read is a failure. */
  async getMany<T extends object = Doc>(ids: readonly t.Id[], options: t.CallOptions = {}): Promise<t.Rows<Document<T> | t.Failure>> {
    const answer = await this.#call("get", { ids: ids.map(idArg) }, options);
    const row = (row: object): Document<T> | t.Failure => ("reason" in row ? (fromReply(row) as t.Failure) : (documentOf<T>(row) as Document<T>));
    return rowsOf(answer, (answer.data as object[]).map(row));
  }

  /**
   * Reads every live document with its base, a page at a time. A record that cannot be read ends it with an
   * error, unless `failed` takes it.
   */
  async *documents<T extends object = Doc>(options: t.DocumentsOptions = {}): AsyncGenerator<Document<T>, void, void> {
    const { page = 200, collection, signal, failed } = options;
    const take = (failure: t.Failure): void => {
      if (failed === undefined) {
        throw unreadable(failure);
      }
      failed(failure);
    };
    const rows = await this.status({ collection, signal });
    // What concerns a whole collection names no record.
    rows.filter(({ configId, reason }) => configId === null && reason !== null).forEach((row) => take(row as t.Failure));
    const there = rows.filter(({ configId, state, liveOid }) => configId !== null && (liveOid !== null || state === "ambiguous" || state === "error"));
    for (let at = 0; at < there.length; at += page) {
      const ids = there.slice(at, at + page).map(({ collection, configId }) => ({ collection, configId }));
      for (const row of await this.getMany<T>(ids, { signal })) {
        if (base in row) {
          yield row as Document<T>;
        } else if (!["no_record", "missing"].includes((row as t.Failure).reason.code)) {
          // What went meanwhile is not there; anything else is told.
          take(row as t.Failure);
        }
      }
    }
  }

  /** Returns one version with its document: by default HEAD's. With `=live` or `=staged`, a document. */
  async show<T extends object = Doc>(id: t.Id, ref?: "=live" | "=staged", options?: t.CallOptions): Promise<Document<T>>;
  async show<T extends object = Doc>(id: t.Id, ref?: t.Ref, options?: t.CallOptions): Promise<t.Entry<T>>;
  async show<T extends object = Doc>(id: t.Id, ref?: t.Ref, options: t.CallOptions = {}): Promise<t.Entry<T> | Document<T>> {
    const { data } = await this.#call("show", { id: idArg(id), ref: ref === undefined ? undefined : refArg(ref) }, options);
    return "entry_id" in (data as object) ? (fromReply(data) as t.Entry<T>) : (documentOf<T>(data) as Document<T>);
  }

  /** Returns the value at a path of a version, such as `tools[0].name`. */
  async field(id: t.Id, path: string, ref?: t.Ref, options: t.CallOptions = {}): Promise<unknown> {
    const args = { id: idArg(id), ref: ref === undefined ? undefined : refArg(ref), field: path };
    return (await this.#call("show", args, options)).data;
  }

  /** Says what differs between live and history: of everything, of a collection, or of some records. */
  async status(which?: t.StatusOptions | t.Id | readonly t.Id[], options: t.StatusOptions = {}): Promise<t.Rows<t.RecordStatus>> {
    const ids = Array.isArray(which) ? (which as readonly t.Id[]) : isId(which) ? [which] : undefined;
    const answer = await this.#call("status", ids === undefined ? {} : { ids: ids.map(idArg) }, ids === undefined ? ((which as t.StatusOptions | undefined) ?? options) : options);
    return rowsOf(answer, fromReply(answer.data) as t.RecordStatus[]);
  }

  /** Lists versions, newest first: of one record or of all. */
  async log<T extends object = Doc>(which?: t.Id | t.LogOptions, options: t.LogOptions = {}): Promise<t.Entry<T>[]> {
    const one = isId(which);
    const answer = await this.#call("log", one ? { id: idArg(which) } : {}, one ? options : ((which as t.LogOptions | undefined) ?? options));
    return fromReply(answer.data) as t.Entry<T>[];
  }

  /** Goes through versions, newest first, a page at a time: of one record or of all. */
  async *history<T extends object = Doc>(which?: t.Id | t.HistoryOptions, options: t.HistoryOptions = {}): AsyncGenerator<t.Entry<T>, void, void> {
    const id = isId(which) ? which : undefined;
    const { page = 200, ...rest } = id === undefined ? ((which as t.HistoryOptions | undefined) ?? options) : options;
    let until = rest.until;
    // Versions of one batch share their instant: a page that ends among them begins the next one.
    let seen = new Set<string>();
    for (;;) {
      const limit = page + seen.size;
      const log: t.LogOptions = { ...rest, until, limit };
      const entries = id === undefined ? await this.log<T>(log) : await this.log<T>(id, log);
      for (const entry of entries) {
        if (!seen.has(entry.entryId)) {
          yield entry;
        }
      }
      const last = entries.at(-1);
      if (last === undefined || entries.length < limit) {
        return;
      }
      const instant = last.recordedAt.getTime();
      const kept = until instanceof Date && until.getTime() === instant ? seen : new Set<string>();
      for (const entry of entries) {
        if (entry.recordedAt.getTime() === instant) {
          kept.add(entry.entryId);
        }
      }
      seen = kept;
      until = last.recordedAt;
    }
  }

  /** Returns, for every record that had a document at a moment, the version that held. */
  async asOf<T extends object = Doc>(moment: t.Moment | undefined, options: t.AsOfOptions = {}): Promise<t.AsOfEntry<T>[]> {
    const { recorded, id, ids, ...rest } = options;
    if (moment === undefined && recorded === undefined) {
      throw refused("usage", "no moment is named", "give a Date, or a text such as 2026-06-07");
    }
    const named = { id: id === undefined ? undefined : idArg(id), ids: ids?.map(idArg) };
    const answer = await this.#call("log", { as_of: moment, as_of_recorded: recorded, ...named }, rest);
    return fromReply(answer.data) as t.AsOfEntry<T>[];
  }

  /** Compares two versions of a record: by default HEAD with live. */
  async diff(id: t.Id, from?: t.Ref, to?: t.Ref, options?: t.CallOptions): Promise<t.Diff>;
  async diff(id: t.Id, options: t.DiffOptions): Promise<t.Diff>;
  /** Compares the whole system between two moments: by default HEAD with live. */
  async diff(options?: t.DiffAllOptions): Promise<t.Rows<t.Diff | t.Failure>>;
  async diff(first?: t.Id | t.DiffAllOptions, second?: t.Ref | t.DiffOptions, third?: t.Ref, fourth: t.CallOptions = {}): Promise<t.Diff | t.Rows<t.Diff | t.Failure>> {
    const named = isId(first);
    const object = named ? (isRef(second) ? { ...fourth, from: second, to: third } : { ...fourth, to: third, ...second }) : (first ?? {});
    const { from, to, ...rest } = object as t.DiffAllOptions;
    const sides = { from: from === undefined ? undefined : refArg(from), to: to === undefined ? undefined : refArg(to) };
    const answer = await this.#call("diff", named ? { id: idArg(first), ...sides } : sides, rest);
    const data = fromReply(answer.data);
    return named ? (data as t.Diff) : rowsOf(answer, data as (t.Diff | t.Failure)[]);
  }

  /** Says which version each field comes from: of a whole record, or what lies at a path. */
  async blame(id: t.Id, path?: string, options: t.CallOptions = {}): Promise<t.BlameLine[]> {
    return fromReply((await this.#call("blame", { id: idArg(id), path }, options)).data) as t.BlameLine[];
  }

  /** Lists the moments at which something changed: those that are worth going back to. */
  async points(options: t.PointsOptions = {}): Promise<t.Point[]> {
    const { id, ...rest } = options;
    return fromReply((await this.#call("points", { id: id === undefined ? undefined : idArg(id) }, rest)).data) as t.Point[];
  }

  /** Checks the whole history: hashes, chain, heads, intervals. */
  async fsck(options: t.FsckOptions = {}): Promise<t.FsckReport> {
    return judged(await this.#call("fsck", {}, options));
  }

  /**
   * Takes a leaked value out of every stored version; oids, numbers and tags stay. `message` says why. Paths are as
   * in `secret_fields`: `tools[].api_key`.
   */
  async redact(id: t.Id, paths: string | readonly string[], options: t.RedactOptions): Promise<t.RedactReport> {
    return fromReply((await this.#call("redact", { id: idArg(id), paths }, options)).data) as t.RedactReport;
  }

  /** Finishes a redaction that was begun; `token` names one of several. */
  async redactResume(token?: string, options: t.ChangeOptions = {}): Promise<t.RedactReport> {
    return fromReply((await this.#call("redact", { resume: token ?? true }, options)).data) as t.RedactReport;
  }

  /** Looks for secrets in history and live documents, or in one of the two. Read-only; where, never what. */
  async secretsScan(options: t.SecretsScanOptions = {}): Promise<t.SecretReport> {
    return judged(await this.#call("secrets_scan", {}, options));
  }

  /** Returns which record and version an address means. */
  async address(id: t.Id, options: t.CallOptions = {}): Promise<{ collection: string; configId: unknown; reference: string | null }> {
    return fromReply((await this.#call("address", { id: idArg(id) }, options)).data) as never;
  }

  /** Writes every live document with its base to a folder, one file each. */
  async export(dir: string, options: t.ExportOptions = {}): Promise<t.ExportReport> {
    return judged(await this.#call("export", { dir }, options));
  }

  /** What the env asks of a change: of each rule what the file says, what the database holds, and what holds. */
  async policy(options: t.CallOptions = {}): Promise<t.PolicyStanding> {
    return fromReply((await this.#call("policy", {}, options)).data) as t.PolicyStanding;
  }

  /** Says who makes changes, and on which env. */
  async whoami(options: t.CallOptions = {}): Promise<t.WhoAmI> {
    return fromReply((await this.#call("whoami", {}, options)).data) as t.WhoAmI;
  }

  /** Returns the oid of a document as a collection's rules have it. It is computed at once, without a store. */
  oid(doc: object, collection?: string): string {
    return this.#native.oid(doc, collection);
  }

  /** Returns the text that the oid of a document is the SHA-256 of. */
  canonical(doc: object, collection?: string): string {
    return this.#native.canonical(doc, collection);
  }

  // --- changing --------------------------------------------------------------------------------

  /**
   * Writes a document to live and history. One that carries its base is compared with the version that was
   * read; it takes the new content and base.
   */
  commit<T extends object>(id: t.Id, doc: T, options: t.CommitOptions & Dry): Promise<t.Plan>;
  commit<T extends object>(id: t.Id, doc: T, options: t.CommitOptions): Promise<t.Change<T>>;
  async commit<T extends object>(id: t.Id, doc: T, options: t.CommitOptions): Promise<t.Change<T> | t.Plan> {
    const done = await this.#commitOne<T>({ id, doc }, options, {});
    if ("entry" in done && done.doc !== null && done.base !== null) {
      takeOver(doc, done.doc, done.base);
    }
    return done;
  }

  /** Applies a JSON Patch (RFC 6902) to what is live. */
  patch(id: t.Id, patch: readonly object[], options: t.CommitOptions & Dry): Promise<t.Plan>;
  patch<T extends object = Doc>(id: t.Id, patch: readonly object[], options: t.CommitOptions): Promise<t.Change<T>>;
  patch<T extends object = Doc>(id: t.Id, patch: readonly object[], options: t.CommitOptions): Promise<t.Change<T> | t.Plan> {
    return this.#commitOne<T>({ id, patch }, options, {});
  }

  /** Applies a merge patch (RFC 7396) to what is live. */
  merge(id: t.Id, merge: object, options: t.CommitOptions & Dry): Promise<t.Plan>;
  merge<T extends object = Doc>(id: t.Id, merge: object, options: t.CommitOptions): Promise<t.Change<T>>;
  merge<T extends object = Doc>(id: t.Id, merge: object, options: t.CommitOptions): Promise<t.Change<T> | t.Plan> {
    return this.#commitOne<T>({ id, merge }, options, {});
  }

  /** Changes fields: `["retries:=3", "tools+=search"]` as on the command line, or `{ "tools[0].name": "search" }`. */
  set(id: t.Id, fields: readonly string[] | Readonly<Record<string, unknown>>, options: t.SetOptions & Dry): Promise<t.Plan>;
  set<T extends object = Doc>(id: t.Id, fields: readonly string[] | Readonly<Record<string, unknown>>, options: t.SetOptions): Promise<t.Change<T>>;
  set<T extends object = Doc>(id: t.Id, fields: readonly string[] | Readonly<Record<string, unknown>>, options: t.SetOptions): Promise<t.Change<T> | t.Plan> {
    const { delete: unset, secrets, ...rest } = options;
    const item = Array.isArray(fields) ? { id, set: fields as readonly string[] } : { id, assign: fields as Record<string, unknown> };
    return this.#commitOne<T>(item, rest, { meta: { via: "set", ...rest.meta } }, { delete: unset, secrets });
  }

  /**
   * Reads a document, lets `change` change it or return another, and commits it. Where another commit came
   * first it is read again and `change` called again.
   */
  edit<T extends object = Doc>(id: t.Id, change: (doc: Document<T>) => T | void | Promise<T | void>, options: t.EditOptions & Dry): Promise<t.Plan>;
  edit<T extends object = Doc>(id: t.Id, change: (doc: Document<T>) => T | void | Promise<T | void>, options: t.EditOptions): Promise<t.Change<T>>;
  async edit<T extends object = Doc>(id: t.Id, change: (doc: Document<T>) => T | void | Promise<T | void>, options: t.EditOptions): Promise<t.Change<T> | t.Plan> {
    const { retries = 5, ...rest } = options;
    for (let tries = 0; ; tries++) {
      const doc = await this.get<T>(id, { signal: options.signal });
      const read = baseOf(doc);
      const changed = (await change(doc)) ?? doc;
      try {
        return await this.#commitOne<T>({ id, doc: changed }, { base: read, ...rest }, {});
      } catch (error) {
        if (!(error instanceof ConflictError) || tries >= retries) {
          throw error;
        }
      }
    }
  }

  /** Changes several records together or not at all. */
  batch<T extends object = Doc>(items: readonly t.BatchItem<T>[], options: Omit<t.CommitOptions, "base"> & Dry): Promise<t.Plan>;
  batch<T extends object = Doc>(items: readonly t.BatchItem<T>[], options: Omit<t.CommitOptions, "base">): Promise<t.Report<T>>;
  async batch<T extends object = Doc>(items: readonly t.BatchItem<T>[], options: Omit<t.CommitOptions, "base">): Promise<t.Report<T> | t.Plan> {
    const { args, docs } = itemArgs(items);
    const answer = await this.#call("commit", { items: args, many: true }, options, docs);
    const plan = planOf(answer.data);
    if (plan !== undefined) {
      return plan;
    }
    const report = reportOf<T>(answer);
    for (const item of items) {
      const own = "doc" in item ? baseOf(item.doc) : undefined;
      const now = own && report.results.find((result) => result.base !== null && sameRecord(result.base, own));
      if (now?.doc && now.base && "doc" in item) {
        takeOver(item.doc, now.doc, now.base);
      }
    }
    return report;
  }

  /** Commits what `cfg set` and `cfg edit` staged: of some records or of all. */
  commitStaged(which: readonly t.Id[] | t.All, options: Omit<t.CommitOptions, "base"> & Dry): Promise<t.Plan>;
  commitStaged(which: readonly t.Id[] | t.All, options: Omit<t.CommitOptions, "base">): Promise<t.Report>;
  async commitStaged(which: readonly t.Id[] | t.All, options: Omit<t.CommitOptions, "base">): Promise<t.Report | t.Plan> {
    const answer = await this.#call("commit", { ...whichArgs(which), many: true }, options);
    return planOf(answer.data) ?? reportOf(answer);
  }

  /** Makes an older version live again. History only moves forward: the restore is a new version. */
  restore(id: t.Id, ref: t.Ref, options: t.RestoreOptions & Dry): Promise<t.Plan>;
  restore<T extends object = Doc>(id: t.Id, ref: t.Ref, options?: t.RestoreOptions): Promise<t.Change<T>>;
  async restore<T extends object = Doc>(id: t.Id, ref: t.Ref, options: t.RestoreOptions = {}): Promise<t.Change<T> | t.Plan> {
    const answer = await this.#call("restore", { id: idArg(id), ref: refArg(ref) }, options);
    return planOf(answer.data) ?? changeOf<T>(answer);
  }

  /** Makes another version the live row, where the live rule chooses among several; what was live steps back. */
  activate(id: t.Id, ref: t.Ref, options: t.ActivateOptions & Dry): Promise<t.Plan>;
  activate<T extends object = Doc>(id: t.Id, ref: t.Ref, options?: t.ActivateOptions): Promise<t.Change<T>>;
  async activate<T extends object = Doc>(id: t.Id, ref: t.Ref, options: t.ActivateOptions = {}): Promise<t.Change<T> | t.Plan> {
    const answer = await this.#call("activate", { id: idArg(id), ref: refArg(ref) }, options);
    return planOf(answer.data) ?? changeOf<T>(answer);
  }

  /** Takes back what one version changed, and keeps what came after it. */
  undo(id: t.Id, ref: t.Ref, options: t.UndoOptions & Dry): Promise<t.Plan>;
  undo<T extends object = Doc>(id: t.Id, ref: t.Ref, options?: t.UndoOptions): Promise<t.Change<T>>;
  async undo<T extends object = Doc>(id: t.Id, ref: t.Ref, options: t.UndoOptions = {}): Promise<t.Change<T> | t.Plan> {
    const answer = await this.#call("undo", { id: idArg(id), ref: refArg(ref) }, options);
    return planOf(answer.data) ?? changeOf<T>(answer);
  }

  /** Says that a git commit shipped a version. */
  async link(id: t.Id, seq: number, sha: string, options: t.ChangeOptions = {}): Promise<void> {
    await this.#call("link", { id: idArg(id), seq, sha }, options);
  }

  /**
   * Takes everything back to a tag or to a moment. What moved meanwhile, and what was changed outside, is left
   * and reported.
   */
  restoreAll(to: t.SystemMoment, options: t.RestoreAllOptions & Dry): Promise<t.RestorePlan>;
  restoreAll(to: t.SystemMoment, options?: t.RestoreAllOptions): Promise<t.RestoreReport>;
  async restoreAll(to: t.SystemMoment, options: t.RestoreAllOptions = {}): Promise<t.RestoreReport | t.RestorePlan> {
    const { only, except, ...rest } = options;
    const moment = "tag" in to ? { tag: to.tag } : { as_of: to.asOf };
    const answer = await this.#call("restore_all", { ...moment, only: only?.map(idArg), except: except?.map(idArg) }, rest);
    return (planOf(answer.data) as t.RestorePlan | undefined) ?? restoreReportOf(answer);
  }

  /** Goes on with a restore of everything that is not done, by its token. */
  resume(token: string, options: t.ResumeOptions & Dry): Promise<t.RestorePlan>;
  resume(token: string, options?: t.ResumeOptions): Promise<t.RestoreReport>;
  async resume(token: string, options: t.ResumeOptions = {}): Promise<t.RestoreReport | t.RestorePlan> {
    const answer = await this.#call("resume", { token }, options);
    return (planOf(answer.data) as t.RestorePlan | undefined) ?? restoreReportOf(answer);
  }

  /** Gives the versions of a moment a name: of everything, of a collection, of one record or of some. */
  async tag(name: string, options: t.TagOptions = {}): Promise<t.TagReport> {
    const { id, ref, versions, ...rest } = options;
    const version = (of: t.Id, at: t.Ref | undefined): object => ({ id: idArg(of), ref: at === undefined ? undefined : refArg(at) });
    const named = { ...(id === undefined ? {} : version(id, ref)), versions: versions?.map((one) => version(one.id, one.ref)) };
    return fromReply((await this.#call("tag", { name, ...named }, rest)).data) as t.TagReport;
  }

  /** Deletes a tag. The versions that it meant stay. */
  async untag(name: string, options: t.ChangeOptions = {}): Promise<t.TagReport> {
    return fromReply((await this.#call("tag", { name, delete: true }, options)).data) as t.TagReport;
  }

  /** Lists the tags. */
  async tags(options: t.CallOptions = {}): Promise<t.Tag[]> {
    return fromReply((await this.#call("tags", {}, options)).data) as t.Tag[];
  }

  /** Records what was changed outside, as the next version: of one record, of some, or of all that differ. */
  adopt(which: t.Id | readonly t.Id[] | t.All, options: t.AdoptOptions & Dry): Promise<t.Plan>;
  adopt(which: readonly t.Id[] | t.All, options?: t.AdoptOptions): Promise<t.Report>;
  adopt(which: t.Id, options?: t.AdoptOptions): Promise<t.Change>;
  adopt(which: t.Id | readonly t.Id[] | t.All, options: t.AdoptOptions = {}): Promise<t.Change | t.Report | t.Plan> {
    return this.#some("adopt", which, options);
  }

  /** Records what is live as the first version: of one record, of some, or of all that have none. */
  import(which: t.Id | readonly t.Id[] | t.All, options: t.ImportOptions & Dry): Promise<t.Plan>;
  import(which: readonly t.Id[] | t.All, options?: t.ImportOptions): Promise<t.Report>;
  import(which: t.Id, options?: t.ImportOptions): Promise<t.Change>;
  import(which: t.Id | readonly t.Id[] | t.All, options: t.ImportOptions = {}): Promise<t.Change | t.Report | t.Plan> {
    return this.#some("import", which, options);
  }

  /** Loads versions with their true times, from a file of JSON lines (`.gz` is fine) or from lines. */
  async importHistory(from: string | Iterable<t.HistoryLine | string>, options: t.ImportHistoryOptions = {}): Promise<t.HistoryReport> {
    const source = typeof from === "string" ? { file: from } : { lines: [...from].map(historyLine) };
    return judged(await this.#call("import_history", source, options));
  }

  /** Deletes a live record, keeping its history. */
  rm(id: t.Id, options: t.RemoveOptions & Dry): Promise<t.Plan>;
  rm(id: t.Id, options?: t.RemoveOptions): Promise<t.Change>;
  async rm(id: t.Id, options: t.RemoveOptions = {}): Promise<t.Change | t.Plan> {
    const { base: seen, ...rest } = options;
    const answer = await this.#call("rm", { id: idArg(id), base: seen && writeBase(seen) }, rest);
    return planOf(answer.data) ?? changeOf(answer);
  }

  // --- the end ---------------------------------------------------------------------------------

  /** Lets go of the store when everything that is under way has ended. Nothing keeps the process alive then. */
  close(): Promise<void> {
    return this.#native.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  // --- inside ----------------------------------------------------------------------------------

  #call(verb: string, args: object, options: t.CallOptions, docs?: string[]): Promise<Answer> {
    return this.#native.call(verb, args, options, docs);
  }

  async #commitOne<T extends object>(item: t.BatchItem<T>, options: t.CommitOptions, more: object, fields: object = {}): Promise<t.Change<T> | t.Plan> {
    const { base: seen, ...rest } = options;
    const { args, docs } = itemArgs([seen === undefined ? item : { ...item, base: seen }]);
    const answer = await this.#call("commit", { items: [{ ...args[0], ...fields }], ...more }, rest, docs);
    return planOf(answer.data) ?? changeOf<T>(answer);
  }

  async #some(verb: string, which: t.Id | readonly t.Id[] | t.All, options: t.LongOptions): Promise<t.Change | t.Report | t.Plan> {
    const one = isOne(which);
    const answer = await this.#call(verb, { ...whichArgs(which), many: !one }, options);
    return planOf(answer.data) ?? (one ? changeOf(answer) : reportOf(answer));
  }
}

/** In a worker, `process.env` is a copy that the process does not see. */
function variablesOf({ variables }: t.OpenOptions): object | undefined {
  const given = variables ?? (isMainThread ? undefined : process.env);
  return given && Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}

function isRef(value: unknown): value is t.Ref {
  return typeof value === "string" || typeof value === "number" || value instanceof Date;
}

function sameRecord(a: Base, b: Base): boolean {
  return a.record.collection === b.record.collection && encode(a.record.configId) === encode(b.record.configId);
}

/** A record whose live document cannot be read: its data breaks a rule. */
function unreadable({ collection, configId, reason }: t.Failure): BadConfigError {
  return new BadConfigError({ kind: "BadConfig", status: "bad_config", exitCode: 6, ...reason, data: { collection, configId } });
}

function historyLine(line: t.HistoryLine | string): unknown {
  if (typeof line === "string") {
    return line;
  }
  return { ...line, time: line.time instanceof Date ? line.time.toISOString() : line.time };
}

/** Writes the items of a commit; a document's own base goes with it, unless another is named. */
function itemArgs(items: readonly t.BatchItem<object>[]): Items {
  const docs: string[] = [];
  const beside = (value: unknown): number => docs.push(encode(value)) - 1;
  const args = items.map((item): object => {
    const own = "doc" in item && typeof item.doc === "object" && item.doc !== null ? baseOf(item.doc) : undefined;
    const seen = item.base === undefined ? own : item.base;
    return {
      id: item.id === undefined ? undefined : idArg(item.id),
      ...(seen === undefined || seen === null ? {} : isRef(seen) ? { base_ref: refArg(seen) } : { base: writeBase(seen) }),
      ...("doc" in item ? { doc: beside(item.doc) } : {}),
      ...("patch" in item ? { patch: beside(item.patch) } : {}),
      ...("merge" in item ? { merge_patch: beside(item.merge) } : {}),
      ...("set" in item ? { set: item.set, delete: item.delete } : {}),
      ...("assign" in item ? { assign: item.assign } : {}),
    };
  });
  return { args, docs };
}

/** Returns the settings in effect, each with where it comes from, without opening a store. */
export function config(options: t.OpenOptions = {}): t.SettingsReport {
  const { path, configFile, env } = options;
  return settings({ path, configFile, env, variables: variablesOf(options) }) as t.SettingsReport;
}

export { readBase, withBase, type CfgError };
