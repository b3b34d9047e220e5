// Packs what is published: the package without a native half, and the native half of each platform that was
// built here, in packages of their own that the first depends on optionally.
//
//     node scripts/pack.mjs FOLDER
//
// A plain `npm pack` gives one package with the native half of this machine in it: for trying it out.

import { execFileSync } from "node:child_process";
import { cp, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const to = resolve(process.argv[2] ?? "");
if (process.argv[2] === undefined) {
  console.error("name the folder that the packages go to");
  process.exit(1);
}

const read = async (file) => JSON.parse(await readFile(file, "utf8"));
const manifest = await read(join(root, "package.json"));
const { version } = manifest;

async function pack(from) {
  for (const name of ["LICENSE", "NOTICE"]) await cp(join(root, "..", name), join(from, name));
  const out = execFileSync("npm", ["pack", "--silent", "--ignore-scripts", "--pack-destination", to], { cwd: from, encoding: "utf8" });
  console.log(join(to, out.trim()));
}

await mkdir(to, { recursive: true });
const staged = await mkdtemp(join(tmpdir(), "cfg-engine-pack-"));
try {
  const optionalDependencies = {};
  for (const platform of await readdir(join(root, "npm"))) {
    const from = join(root, "npm", platform);
    const { name, main, version: own } = await read(join(from, "package.json"));
    if (own !== version) throw new Error(`${name} has the version ${own}, the package ${version}`);
    optionalDependencies[name] = version;
    const built = join(root, "native", main);
    const target = join(staged, platform);
    await cp(from, target, { recursive: true });
    try {
      await cp(built, join(target, main));
    } catch {
      console.error(`${name} was not built here and is not packed`);
      continue;
    }
    await pack(target);
  }
  const target = join(staged, "package");
  for (const folder of ["dist", "format"]) await cp(join(root, folder), join(target, folder), { recursive: true });
  for (const file of ["index.js", "index.d.ts"]) await cp(join(root, "native", file), join(target, "native", file));
  await cp(join(root, "README.md"), join(target, "README.md"));
  const { scripts, devDependencies, napi, ...published } = manifest;
  await writeFile(join(target, "package.json"), JSON.stringify({ ...published, optionalDependencies }, null, 2) + "\n");
  await pack(target);
} finally {
  await rm(staged, { recursive: true });
}
