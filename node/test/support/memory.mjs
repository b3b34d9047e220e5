// Calls of many kinds, again and again; prints the resident memory after 10,000 and after 100,000.

import { open } from "cfg-engine";

const cfg = await open({ path: process.argv[2], author: "a@example.com" });
await cfg.init();
const doc = { model: "large", text: "x".repeat(1000), at: new Date(5), big: 2n ** 60n, list: [1, 2.5, "y"] };
await cfg.batch(Array.from({ length: 20 }, (_, n) => ({ id: `r${n}`, doc: { ...doc, n } })), { message: "m" });
const ignore = () => {};
const calls = [
  (n) => cfg.get(`r${n % 20}`),
  (n) => cfg.show(`r${n % 20}`),
  (n) => cfg.log(`r${n % 20}`, { limit: 1, withDoc: true }),
  (n) => cfg.get("nowhere").catch(ignore),
  async (n) => cfg.oid({ ...doc, n }),
  async (n) => cfg.commit(`r${n % 20}`, await cfg.get(`r${n % 20}`), { message: "m" }),
  (n) => cfg.status(`r${n % 20}`, { progress: ignore, signal: AbortSignal.timeout(60_000) }),
  (n) => cfg.diff(`r${n % 20}`),
];

async function make(count) {
  const width = 20;
  for (let n = 0; n < count; n += width) {
    await Promise.all(Array.from({ length: width }, (_, k) => calls[(n / width + k) % calls.length](n + k)));
  }
}

async function resident() {
  for (let n = 0; n < 5; n++) {
    globalThis.gc();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return process.memoryUsage().rss;
}

await make(10_000);
const early = await resident();
await make(90_000);
const late = await resident();
await cfg.close();
console.log(JSON.stringify({ early, late }));
