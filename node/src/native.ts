/** The way to the native half: named values in, a result or a typed error out. */

import * as native from "../native/index.js";

import { decode, type Decoding } from "./decode.js";
import { encode } from "./encode.js";
import { CfgError, errorOf, refused, type ErrorParts } from "./errors.js";
import { fromReply, toArgs } from "./shape.js";
import { inTurn } from "./turns.js";
import type { CallOptions, OnProgress } from "./types.js";

type Reply = native.Reply;

/** What a verb gave. */
export interface Answer {
  readonly data: unknown;
  readonly exitCode: number;
  readonly reason: CfgError | null;
  readonly replayed: boolean;
  readonly replies: readonly unknown[];
}

const plain: Decoding = { bson: null, useBigInt64: false };

/** Returns the text of a result, or throws the error of a reply: the one place where errors are made. */
export function answerOf(reply: Reply): string {
  if (reply.error !== undefined) {
    throw errorOf(fromReply(decode(reply.error, plain)) as ErrorParts);
  }
  return reply.ok as string;
}

/** Waits for a promise as long as a signal lets it, and calls `stop` when it does not. */
async function until<R>(promise: Promise<R>, signal: AbortSignal | undefined, stop: () => void): Promise<R> {
  if (signal === undefined) {
    return promise;
  }
  let onAbort: (() => void) | undefined;
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => {
      // First: what is dropped settles too, and its reply is nobody's.
      reject(signal.reason);
      stop();
    };
    signal.addEventListener("abort", onAbort, { once: true });
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort as () => void);
  }
}

/** What keeps the event loop alive while calls are under way: a timer that is far away. */
const FAR = 2 ** 31 - 1;

/** An opened handle. */
export class Native {
  readonly #handle = new native.NativeProject((number, ok, error) => this.#settle(number, ok, error));
  readonly #waiting = new Map<number, (reply: Reply) => void>();
  readonly #running = new Set<Promise<unknown>>();
  #alive: NodeJS.Timeout | undefined;
  #number = 0;
  #closed = false;
  how: Decoding = plain;

  async open(options: object, { signal }: CallOptions): Promise<unknown> {
    signal?.throwIfAborted();
    const text = encode(toArgs(options));
    const opening = this.#ask((number) => this.#handle.open(number, text)).reply;
    const reply = await until(opening, signal, () => void opening.then(() => this.#handle.close()));
    return fromReply(decode(answerOf(reply), plain));
  }

  /** Panics on a thread of the engine, for a test. */
  async panic(): Promise<void> {
    answerOf(await this.#ask((number) => this.#handle.panicForTest(number)).reply);
  }

  /**
   * Calls a verb. `docs` are texts of documents, which the arguments name by their place. `data` and
   * `replies` come as the engine names their members.
   */
  async call(verb: string, args: object, options: CallOptions & { progress?: OnProgress | undefined }, docs: string[] = []): Promise<Answer> {
    const { signal, progress, ...rest } = options;
    signal?.throwIfAborted();
    if (this.#closed) {
      throw refused("closed", "the project is closed", "open it again; nothing is done after close()");
    }
    // What is handed over is what it is now, whenever it is sent.
    const text = encode({ ...toArgs(rest), ...args });
    const told = progress === undefined ? undefined : listener(progress);
    let begun: number | undefined;
    const stop = (): void => {
      if (begun !== undefined && this.#handle.abort(begun)) {
        this.#settle(begun);
      }
    };
    try {
      const begin = (): Promise<Reply> => {
        signal?.throwIfAborted();
        const { number, reply } = this.#ask((number) => this.#handle.call(number, verb, text, docs, told?.tell));
        begun = number;
        return reply;
      };
      const calling = this.#track(Promise.resolve(inTurn(begin)));
      const reply = await until(told === undefined ? calling : Promise.race([calling, told.failed]), signal, stop);
      return await inTurn(() => this.#answer(reply));
    } finally {
      told?.end();
    }
  }

  /** Begins something under a number of its own; its reply comes under that number. */
  #ask(begin: (number: number) => void): { number: number; reply: Promise<Reply> } {
    const number = this.#number;
    this.#number = (number + 1) % 0xffff_ffff;
    const reply = new Promise<Reply>((resolve) => this.#waiting.set(number, resolve));
    this.#alive ??= setInterval(() => {}, FAR);
    this.#alive.ref();
    try {
      begin(number);
    } catch (error) {
      this.#settle(number);
      throw error;
    }
    return { number, reply };
  }

  /** Hands a reply to whoever waits for it; without one the call was dropped. */
  #settle(number: number, ok?: string | null, error?: string | null): void {
    const resolve = this.#waiting.get(number);
    if (resolve === undefined) {
      return;
    }
    this.#waiting.delete(number);
    if (this.#waiting.size === 0) {
      this.#alive?.unref();
    }
    resolve(error === undefined || error === null ? { ok: ok ?? "null" } : { error });
  }

  #answer(reply: Reply): Answer {
    const answer = decode(answerOf(reply), this.how) as Omit<Answer, "reason" | "exitCode"> & { exit_code: number; reason: unknown };
    const reason = answer.reason === null ? null : errorOf(fromReply(answer.reason) as ErrorParts);
    return { data: answer.data, exitCode: answer.exit_code, reason, replayed: answer.replayed, replies: answer.replies };
  }

  #track(calling: Promise<Reply>): Promise<Reply> {
    this.#running.add(calling);
    const ended = (): void => void this.#running.delete(calling);
    calling.then(ended, ended);
    return calling;
  }

  oid(doc: object, collection: string | undefined): string {
    return decode(answerOf(this.#handle.oid(encode(doc), collection)), plain) as string;
  }

  canonical(doc: object, collection: string | undefined): string {
    return decode(answerOf(this.#handle.canonical(encode(doc), collection)), plain) as string;
  }

  /** Lets go of the store when everything that is under way has ended. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.allSettled([...this.#running]);
    this.#handle.close();
    clearInterval(this.#alive);
  }
}

/** Calls a listener; what it throws fails the call that it listens to. */
function listener(progress: OnProgress): { tell: (done: number, total?: number | null) => void; failed: Promise<never>; end: () => void } {
  let fail: (error: unknown) => void = () => {};
  let listening = true;
  const failed = new Promise<never>((_, reject) => (fail = reject));
  failed.catch(() => {});
  const tell = (done: number, total?: number | null): void => {
    if (listening) {
      try {
        progress(done, total ?? undefined);
      } catch (error) {
        fail(error);
      }
    }
  };
  return { tell, failed, end: () => (listening = false) };
}

/** Returns the settings in effect, without opening a store. */
export function settings(options: object): unknown {
  return fromReply(decode(answerOf(native.settings(encode(toArgs(options)))), plain));
}

export { refused };
