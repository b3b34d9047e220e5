// Commits in a worker thread.

import { parentPort, workerData } from "node:worker_threads";

import { open } from "cfg-engine";

const { dir, number, count } = workerData;
const cfg = await open({ path: dir, author: `worker${number}@example.com` });
let done = 0;
for (let n = 0; n < count; n++) {
  await cfg.commit(`w${number}-${n}`, { n }, { message: "from a worker" });
  done += 1;
}
parentPort.postMessage(done);
await cfg.close();
