// The same names for `require`; compiled with --strict, never run.

import cfgEngine = require("cfg-engine");
import format = require("cfg-engine/format");

export async function types(): Promise<void> {
  const cfg: cfgEngine.Project = await cfgEngine.open({ path: "." });
  const doc = await cfg.get<{ n: number }>("x");
  doc.n satisfies number;
  doc[cfgEngine.base].seq satisfies number | null;
  format.time("2026-06-07").millis satisfies number;
  await cfg.close();
}
