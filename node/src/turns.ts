/**
 * Many calls at once leave the event loop to others: what has taken its share of a turn goes on in the next.
 * A single call never waits.
 */

/** How long one turn may be kept, in milliseconds. */
const SHARE = 4;

const waiting: (() => void)[] = [];
let began = 0;
let scheduled = false;

function nextTurn(): void {
  scheduled = false;
  began = performance.now();
  while (waiting.length > 0 && performance.now() - began < SHARE) {
    waiting.shift()?.();
  }
  if (waiting.length > 0) {
    schedule();
  } else {
    began = 0;
  }
}

function schedule(): void {
  if (!scheduled) {
    scheduled = true;
    setImmediate(nextTurn);
  }
}

/** Runs `work` now, or in a later turn where this one has been kept for long enough. */
export function inTurn<R>(work: () => R): R | Promise<R> {
  if (began === 0) {
    began = performance.now();
    schedule();
  }
  if (waiting.length === 0 && performance.now() - began < SHARE) {
    return work();
  }
  return new Promise((resolve, reject) => {
    waiting.push(() => {
      try {
        resolve(work());
      } catch (error) {
        reject(error);
      }
    });
    schedule();
  });
}
