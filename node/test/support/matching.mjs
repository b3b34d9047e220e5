// Expectations of scenarios: the members that are listed must fit, others may be there.

const MATCHERS = ["$any", "$absent", "$type", "$not", "$contains", "$length", "$text", "$exactly"];

function lookUp(saved, path) {
  const [name, ...rest] = path.split(".");
  if (!saved.has(name)) throw new Error(`no step is named ${name}`);
  return rest.reduce((at, part) => {
    const next = at?.[part];
    if (next === undefined) throw new Error(`${path}: nothing at ${part}`);
    return next;
  }, saved.get(name));
}

/** Puts what earlier steps gave in the place of `{"$ref": "step.path"}` and of `${step.path}` in text. */
export function resolve(value, saved) {
  if (Array.isArray(value)) return value.map((item) => resolve(item, saved));
  if (value !== null && typeof value === "object") {
    const keys = Object.keys(value);
    if (keys.length === 1 && typeof value.$ref === "string") return lookUp(saved, value.$ref);
    if (keys.length === 1 && typeof value.$numberDouble === "string") return Number(value.$numberDouble);
    return Object.fromEntries(keys.map((key) => [key, resolve(value[key], saved)]));
  }
  if (typeof value === "string") {
    return value.replace(/\$\{([^}]*)\}/g, (_, path) => {
      const found = lookUp(saved, path);
      return typeof found === "string" ? found : JSON.stringify(found);
    });
  }
  return value;
}

const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);

function show(value) {
  return value === undefined ? "nothing" : JSON.stringify(value, (_, v) => (typeof v === "bigint" ? String(v) : v));
}

/** Says where `actual` does not fit; nothing where it does. */
export function misfit(expected, actual, at) {
  const wrong = () => `${at}: expected ${show(expected)}, found ${show(actual)}`;
  if (Array.isArray(expected)) {
    if (!Array.isArray(actual) || actual.length !== expected.length) return wrong();
    return first(expected, (wanted, n) => misfit(wanted, actual[n], `${at}.${n}`));
  }
  if (isObject(expected)) {
    const keys = Object.keys(expected);
    if (keys.length === 1 && MATCHERS.includes(keys[0])) return holds(keys[0], expected[keys[0]], actual, at) ? undefined : wrong();
    if (!isObject(actual)) return wrong();
    return first(keys, (key) => misfit(expected[key], actual[key], `${at}.${key}`));
  }
  if (expected === null) return actual === undefined || actual === null ? undefined : wrong();
  return sameValue(expected, actual) ? undefined : wrong();
}

function first(items, check) {
  for (const [n, item] of items.entries()) {
    const problem = check(item, n);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

/** Equal content: nulls of an object are as good as absent. */
function sameValue(a, b) {
  if (Array.isArray(a)) return Array.isArray(b) && a.length === b.length && a.every((item, n) => sameValue(item, b[n]));
  if (isObject(a)) {
    if (!isObject(b)) return false;
    const keys = new Set([...Object.keys(a), ...Object.keys(b)]);
    return [...keys].every((key) => sameValue(a[key] ?? null, b[key] ?? null));
  }
  return typeof a === "bigint" || typeof b === "bigint" ? typeof a !== "string" && typeof b !== "string" && BigInt(a) === BigInt(b) : Object.is(a, b);
}

function holds(name, operand, actual, at) {
  const list = Array.isArray(operand) ? operand : [operand];
  switch (name) {
    case "$any":
      return actual !== undefined;
    case "$absent":
      return actual === undefined || actual === null;
    case "$type":
      return (actual === null ? "null" : Array.isArray(actual) ? "array" : typeof actual) === operand;
    case "$not":
      return misfit(operand, actual, at) !== undefined;
    case "$contains":
      return Array.isArray(actual) && list.every((wanted) => actual.some((item) => misfit(wanted, item, at) === undefined));
    case "$length":
      return Array.isArray(actual) && actual.length === operand;
    case "$text":
      return typeof actual === "string" && list.every((wanted) => actual.includes(wanted));
    case "$exactly":
      return sameValue(operand, actual);
    default:
      return false;
  }
}
