// What the types say; compiled with --strict, never run.

import {
  CfgError,
  ConflictError,
  Extended,
  base,
  baseOf,
  config,
  open,
  withoutBase,
  type Base,
  type Change,
  type Document,
  type Entry,
  type Id,
  type Plan,
  type Project,
  type RecordStatus,
  type Ref,
  type Report,
} from "cfg-engine";
import { canonical, intervals } from "cfg-engine/format";

interface PlannerConfig {
  model: string;
  retries?: number;
  since: Date;
}

type Same<A, B> = (<X>() => X extends A ? 1 : 2) extends <X>() => X extends B ? 1 : 2 ? true : false;
const same = <A, B>(_: Same<A, B>): void => {};

export async function types(): Promise<void> {
  await using cfg: Project = await open({ env: "dev", variables: process.env, bson: null });
  const planner = await cfg.get<PlannerConfig>("planner", { signal: AbortSignal.timeout(1000) });
  same<typeof planner, Document<PlannerConfig>>(true);
  planner.model satisfies string;
  planner[base] satisfies Base;
  planner.since.getTime();
  // @ts-expect-error: there is no such member
  planner.modle;
  // @ts-expect-error: a base is not changed by hand
  planner[base] = planner[base];

  const change = await cfg.commit<PlannerConfig>("planner", planner, { message: "m" });
  same<typeof change, Change<PlannerConfig>>(true);
  change.doc?.retries satisfies number | undefined;
  change.entry?.recordedAt satisfies Date | undefined;
  // @ts-expect-error: a commit says why
  await cfg.commit("planner", planner, {});
  // @ts-expect-error: misspelt
  await cfg.commit("planner", planner, { message: "m", alowNoop: true });
  // @ts-expect-error: a document is an object
  await cfg.commit("planner", "text", { message: "m" });

  const plan = await cfg.commit("planner", planner, { message: "m", dryRun: true });
  same<typeof plan, Plan>(true);

  await cfg.edit<PlannerConfig>("planner", (doc) => void (doc.retries = 1), { message: "m" });
  await cfg.edit<PlannerConfig>("planner", async (doc) => ({ ...doc, model: "x" }), { message: "m", retries: 1 });
  const report = await cfg.batch([{ id: "a", doc: planner }, { id: 7, doc: { ...planner } }], { message: "m" });
  same<typeof report, Report<Document<PlannerConfig>>>(true);
  report.failed[0]?.reason.code satisfies string | undefined;
  report.error satisfies CfgError | null;

  const rows = await cfg.status({ progress: (done: number, total: number | undefined) => void [done, total] });
  rows[0] satisfies RecordStatus | undefined;
  rows.exitCode satisfies number;
  (await cfg.adopt("x")) satisfies Change;
  (await cfg.adopt({ all: true })) satisfies Report;
  (await cfg.import(["x"], { validFrom: new Date() })) satisfies Report;
  // @ts-expect-error: which records?
  await cfg.adopt();

  for await (const entry of cfg.history<PlannerConfig>("planner", { withDoc: true })) entry satisfies Entry<PlannerConfig>;
  for await (const doc of cfg.documents<PlannerConfig>()) doc satisfies Document<PlannerConfig>;
  (await cfg.asOf(new Date(), { withDoc: true }))[0]?.estimatedBeforeImport satisfies boolean | undefined;
  (await cfg.diff("x", 1, "=live")).changes[0]?.path satisfies string | undefined;
  (await cfg.diff({ from: new Date() })).exitCode satisfies number;
  (await cfg.show("x", "=live"))[base] satisfies Base;
  (await cfg.show("x", 3)).seq satisfies number;

  const ids: Id[] = ["x", 7, 7n, { id: "x@1" }, { id: 7, collection: "a" }, { collection: "a", configId: 7 }];
  const refs: Ref[] = ["@7", 7, new Date()];
  void [ids, refs, baseOf(planner), withoutBase(planner), config().settings, new Extended({ $numberDecimal: "1" })];
  try {
    await cfg.rm("x");
  } catch (error) {
    if (error instanceof ConflictError) {
      error.status satisfies string;
      error.configId satisfies unknown;
      error.hint satisfies string | null;
    }
  }
  canonical("{}", { mode: "json" }).oid satisfies string;
  intervals([]).head satisfies number | null;
}
