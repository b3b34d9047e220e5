/** The names of `cfg-engine/format` for `import`. */

export { address, canonical, intervals, path, reference, rewrite, time } from "./format.js";
export type * from "./format.js";
