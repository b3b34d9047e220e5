// Before a plain `npm pack`: everything that goes in must have been built.

import { copyFileSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const list = (folder) => {
  try {
    return readdirSync(join(root, folder));
  } catch {
    return [];
  }
};
if (!list("dist").includes("esm.mjs") || !list("native").some((name) => name.endsWith(".node"))) {
  console.error("nothing is built yet: npm run build");
  process.exit(1);
}
for (const name of ["LICENSE", "NOTICE"]) copyFileSync(join(root, "..", name), join(root, name));
