// Runs one scenario on SQLite through the public methods. tests/scenarios/README.md says what the files mean.

import { createPrivateKey, sign } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { CfgError, NotFoundError, base, open } from "cfg-engine";

import { misfit, resolve } from "./matching.mjs";
import { Application } from "./sqlite.mjs";
import { AUTHOR } from "./world.mjs";

const COLUMNS = [
  ["name", "text"],
  ["n", "int"],
  ["body", "json"],
  ["updated_at", "text"],
  ["token", "text"],
  ["active", "bool"],
  ["status", "text"],
  ["rank", "int"],
  ["retired_at", "text"],
];

const DECLARED = {
  text: () => "TEXT",
  int: () => "INTEGER",
  bool: () => "BOOLEAN",
  json: (shape) => (shape === "row" ? "JSON" : "TEXT"),
  uuid: () => "BLOB",
};

const list = (value) => (value === undefined ? [] : [value].flat());
const quoted = (name) => `"${name.replaceAll('"', '""')}"`;

/** A table as a scenario describes it, in one of the shapes. */
class Table {
  constructor(config, shape) {
    this.config = config;
    this.shape = shape;
    this.name = config.name;
    this.live = `${config.name}_live`;
    this.idFields = list(config.id_field);
    this.own = new Set(Object.keys(config.live_when ?? {}));
    const idType = { int: "int", uuid: "uuid" }[config.id_type] ?? "text";
    this.columns = this.idFields.map((field) => [field, idType]);
    this.columns.push(...COLUMNS.filter(([name]) => shape === "row" || this.own.has(name)));
    if (shape === "doc") this.columns.push(["doc", "json"]);
  }

  toml() {
    const { name, id_type: idType } = this.config;
    const lines = ["[[collection]]", `name = ${toml(name)}`, `table = ${toml(this.live)}`, `id_field = ${toml(this.config.id_field)}`];
    lines.push(`shape = ${toml(this.shape)}`, `live_when = ${toml(this.config.live_when ?? {})}`);
    if (idType !== undefined) lines.push(`id_type = ${toml(idType)}`);
    for (const key of ["ignore_fields", "ignore_patterns", "ignore_paths", "secret_fields"]) {
      lines.push(`${key} = ${toml(this.config[key] ?? [])}`);
    }
    return lines.join("\n");
  }

  create() {
    const columns = this.columns.map(([name, kind]) => `${quoted(name)} ${DECLARED[kind](this.shape)}`);
    return `CREATE TABLE ${quoted(this.live)} (${columns.join(", ")})`;
  }

  toCell(name, value) {
    const kind = this.columns.find(([column]) => column === name)[1];
    if (value === null || value === undefined) return null;
    if (kind === "json") return JSON.stringify(value);
    if (typeof value === "boolean") return Number(value);
    if (typeof value === "object" && typeof value.$uuid === "string") {
      return { $blob: Buffer.from(value.$uuid.replaceAll("-", ""), "hex").toString("base64") };
    }
    return value;
  }

  fromCell(kind, cell) {
    if (cell === null) return null;
    if (kind === "json") return JSON.parse(cell);
    if (kind === "bool") return cell !== 0;
    return cell;
  }

  idOf(fields) {
    return this.idFields.length === 1 ? fields[this.idFields[0]] : Object.fromEntries(this.idFields.map((field) => [field, fields[field]]));
  }

  where(id) {
    const part = (field) => this.toCell(field, this.idFields.length === 1 ? id : id[field]);
    return [this.idFields.map((field) => `${quoted(field)} IS ?`).join(" AND "), this.idFields.map(part)];
  }
}

function toml(value) {
  if (Array.isArray(value)) return `[${value.map(toml).join(", ")}]`;
  if (value !== null && typeof value === "object") {
    return `{ ${Object.entries(value).map(([key, member]) => `${JSON.stringify(key)} = ${toml(member)}`).join(", ")} }`;
  }
  return JSON.stringify(value);
}

/** The Ed25519 key of 32 times this byte, in PKCS#8. */
function privateKey(seed) {
  const key = Buffer.concat([Buffer.from("302e020100300506032b657004220420", "hex"), Buffer.alloc(32, seed)]);
  return createPrivateKey({ key, format: "der", type: "pkcs8" });
}

/** Members whose content is the user's own keeps its names. */
const OPAQUE = new Set(["doc", "meta", "configId", "before", "after", "value"]);

/** Undoes the spelling of JavaScript, so that one expectation serves every language. */
function toWire(value) {
  if (Array.isArray(value)) return value.map(toWire);
  if (value instanceof Date) return value.toISOString();
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => [
      name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
      OPAQUE.has(name) ? member : toWire(member),
    ]),
  );
}

const failure = (error) => ({ exit: error.exitCode, status: error.status, code: error.code, message: error.message, hint: error.hint ?? "" });

/** What a change gave, as the command line prints it and as a library hands it back. */
function ofChange(change) {
  const { entry, entries, replaced, unchanged, doc, base: next, collection, configId, seq, oid } = change;
  const data = unchanged ? { collection, config_id: configId, unchanged, head_seq: seq, head_oid: oid } : { ...toWire(entry), replaced: toWire(replaced) };
  const reply = unchanged ? null : { config_id: configId, doc, base: toWire(next), entries: toWire(entries) };
  return { exit: 0, status: "ok", data, reply, replies: reply ? [reply] : [], replayed: change.replayed };
}

function ofReport(report) {
  const results = report.results.map(ofChange);
  return {
    ...ofRows(report, { results: results.map(({ data }) => data), failed: toWire(report.failed) }),
    replies: results.flatMap(({ replies }) => replies),
    replayed: report.replayed,
  };
}

/** The rows of a restore of everything are entries, as the command line prints them. */
function ofRestore(report) {
  if (isPlan(report)) return ofPlan(report);
  const { results, ...rest } = report;
  const outcome = ofJudged(rest);
  return { ...outcome, data: { ...outcome.data, results: results.map((change) => ofChange(change).data) } };
}

const isPlan = (given) => "planOid" in given;
const ofPlan = (plan) => ({ exit: 0, status: "ok", data: toWire(plan) });
const ok = (data) => ({ exit: 0, status: "ok", data: toWire(data) });

/** Takes the error that decided, where there is one. */
const ofRows = (rows, data) => ({ ...(rows.error === null ? { exit: rows.exitCode, status: "ok" } : failure(rows.error)), data });

const ofJudged = ({ exitCode, error, ...report }) => ofRows({ exitCode, error }, toWire(report));

function documentRow(doc) {
  const { [base]: of, ...fields } = doc;
  return { collection: of.record.collection, config_id: of.record.configId, base: toWire(of), doc: fields };
}

export class Stage {
  static async open(dir, scenario, fallback, shape) {
    const config = scenario.config ?? fallback;
    const stage = new Stage();
    stage.dir = dir;
    stage.saved = new Map();
    stage.projects = new Map();
    stage.tables = config.collections.map((collection) => new Table(collection, shape));
    stage.application = new Application(join(dir, "app.db"));
    for (const table of stage.tables) await stage.application.run(table.create());
    const settings = config.settings ?? {};
    const parts = stage.tables.map((table) => table.toml());
    if (settings.require_base) parts.push("[versioning]\nrequire_base = true");
    if (settings.on_secret) parts.push(`[secrets]\non_match = ${toml(settings.on_secret)}`);
    for (const env of ["dev", ...new Set(scenario.steps.map(({ env }) => env).filter(Boolean))]) {
      parts.push(`[env.${env}]\ndatabase = "sqlite"\nuri = "${env === "dev" ? "app.db" : "env:OTHER_DB"}"\nneeds_approval = ${Boolean(settings.gated)}`);
      const rules = ["approvers", "alert"].filter((rule) => rule in settings).map((rule) => `${rule} = ${toml(settings[rule])}`);
      parts.push([`[env.${env}.rules]`, ...rules].join("\n"));
    }
    await writeFile(join(dir, ".cfg.toml"), parts.join("\n\n") + "\n");
    if (scenario.init !== false) await (await stage.project("dev")).init();
    for (const [name, rows] of Object.entries(scenario.live ?? {})) {
      for (const row of rows) await stage.insert(stage.table(name), row);
    }
    return stage;
  }

  async close() {
    for (const project of this.projects.values()) await project.close();
    await this.application.close();
  }

  async project(env = "dev") {
    if (!this.projects.has(env)) {
      const variables = { OTHER_DB: join(this.dir, "app.db") };
      this.projects.set(env, await open({ path: this.dir, env, author: AUTHOR, variables }));
    }
    return this.projects.get(env);
  }

  table(name) {
    return name === undefined ? this.tables[0] : this.tables.find((table) => table.name === name);
  }

  async insert(table, fields) {
    const row = Object.fromEntries(table.idFields.map((field) => [field, fields[field]]));
    const rest = Object.entries(fields).filter(([field]) => !table.idFields.includes(field));
    for (const [field, value] of rest) if (table.shape === "row" || table.own.has(field)) row[field] = value;
    if (table.shape === "doc") row.doc = Object.fromEntries(rest.filter(([field]) => !table.own.has(field)));
    const names = Object.keys(row);
    const cells = names.map((name) => table.toCell(name, row[name]));
    await this.application.run(`INSERT INTO ${quoted(table.live)} (${names.map(quoted).join(", ")}) VALUES (${names.map(() => "?").join(", ")})`, ...cells);
  }

  async update(table, id, fields) {
    const [where, ids] = table.where(id);
    const set = {};
    let doc;
    for (const [field, value] of Object.entries(fields)) {
      if (table.shape === "row" || table.own.has(field)) set[field] = value;
      else {
        doc ??= JSON.parse((await this.application.run(`SELECT doc FROM ${quoted(table.live)} WHERE ${where}`, ...ids))[0].doc);
        doc[field] = value;
      }
    }
    if (doc !== undefined) set.doc = doc;
    const names = Object.keys(set);
    const cells = names.map((name) => table.toCell(name, set[name]));
    await this.application.run(`UPDATE ${quoted(table.live)} SET ${names.map((name) => `${quoted(name)} = ?`).join(", ")} WHERE ${where}`, ...cells, ...ids);
  }

  async rows(table) {
    const rows = await this.application.run(`SELECT * FROM ${quoted(table.live)} ORDER BY rowid`);
    return rows.map((row) => {
      const fields = Object.fromEntries(table.columns.map(([name, kind]) => [name, table.fromCell(kind, row[name])]));
      if (table.shape === "row") return fields;
      const { doc, ...columns } = fields;
      return { ...columns, ...doc };
    });
  }

  /** Does a step; returns what is wrong with its outcome. */
  async step(step) {
    const given = resolve(step.with ?? {}, this.saved);
    let outcome;
    try {
      outcome = await this.run(step.do, step.env, given);
    } catch (error) {
      if (!(error instanceof CfgError)) throw error;
      const data = Object.keys(error.data).length === 0 ? null : toWire(error.data);
      outcome = { ...failure(error), data };
    }
    if (step.as !== undefined) this.saved.set(step.as, outcome);
    const expect = { exit: 0, ...resolve(step.expect ?? {}, this.saved) };
    for (const [member, wanted] of Object.entries(expect)) {
      let problem;
      if (member === "live") problem = await this.checkLive(wanted);
      else if (member === "ops") problem = await this.checkOps(wanted);
      else problem = misfit(wanted, outcome[member], member);
      if (problem !== undefined) {
        return `${problem}\n    in ${JSON.stringify(outcome, (_, value) => (typeof value === "bigint" ? `${value}n` : value))}`;
      }
    }
    return undefined;
  }

  async checkLive(wanted) {
    for (const [name, records] of Object.entries(wanted)) {
      const table = this.table(name);
      const rows = await this.rows(table);
      for (const [id, fields] of Object.entries(records)) {
        const row = rows.find((row) => row[table.idFields[0]] === id);
        const problem = misfit(fields, row, `live ${id}`);
        if (problem !== undefined) return problem;
      }
    }
    return undefined;
  }

  async checkOps(wanted) {
    const cfg = await this.project();
    for (const [address, ops] of Object.entries(wanted)) {
      const entries = await cfg.log(address).catch((error) => {
        if (error instanceof NotFoundError) return [];
        throw error;
      });
      const problem = misfit(ops, entries.map(({ op }) => op).reverse(), `ops ${address}`);
      if (problem !== undefined) return problem;
    }
    return undefined;
  }

  async sound(expected) {
    const report = await (await this.project()).fsck();
    return misfit(expected, report.findings.map(({ code }) => code), "fsck");
  }

  async run(verb, env, given) {
    const table = this.table(given.collection);
    switch (verb) {
      case "tick":
        await sleep(3);
        return ok(null);
      case "raw_insert":
        await this.insert(table, given.row);
        return ok(null);
      case "raw_update":
        await this.update(table, given.id, given.set);
        return ok(null);
      case "raw_delete": {
        const [where, ids] = table.where(given.id);
        await this.application.run(`DELETE FROM ${quoted(table.live)} WHERE ${where}`, ...ids);
        return ok(null);
      }
      case "rows":
        return ok(await this.rows(table));
    }
    const cfg = await this.project(env);
    return (await this[`do_${verb}`]?.(cfg, given)) ?? Promise.reject(new Error(`no verb ${verb}`));
  }

  options({ message, author, key, approval, dry_run: dryRun, allow_secret: allowSecret }) {
    return { message: message ?? "a scenario", author, approval, idempotencyKey: key, dryRun, allowSecret };
  }

  base(given) {
    if (given.base === undefined || given.base === null) return undefined;
    const { record, ...rest } = given.base;
    return { ...rest, record: { collection: record.collection, configId: record.config_id } };
  }

  async do_init(cfg, given) {
    return ofJudged(await cfg.init({ dryRun: given.dry_run }));
  }

  async do_address(cfg, given) {
    return ok(await cfg.address(given.text));
  }

  async do_get(cfg, given) {
    return ok(documentRow(await cfg.get(given.id)));
  }

  async do_show(cfg, given) {
    if (given.field !== undefined) return { ...ok(null), data: await cfg.field(given.id, given.field, given.ref) };
    const shown = await cfg.show(given.id, given.ref);
    return ok(base in shown && typeof shown[base] === "object" && shown.entryId === undefined ? documentRow(shown) : shown);
  }

  async do_status(cfg, given) {
    for (const id of given.staged ?? []) await this.stage(cfg, id, { name: "staged" });
    const rows = given.ids === undefined ? await cfg.status({ collection: given.collection, all: given.all }) : await cfg.status(given.ids);
    return ofRows(rows, toWire(rows));
  }

  /** Stages a document as `cfg edit` does. */
  async stage(cfg, id, doc) {
    const { collection, configId } = await cfg.address(id);
    const of = { record: { collection, config_id: configId }, env: cfg.env, seq: 1, oid: "0".repeat(64), staged_at: new Date().toISOString() };
    const folder = join(this.dir, ".cfg", "staged", cfg.env);
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, `${collection}=${configId}.json`), JSON.stringify({ $cfg: of, ...doc }));
  }

  async do_log(cfg, given) {
    const { id, as_of: asOf, as_of_recorded: recorded, doc: withDoc, git_sha: gitSha, ...rest } = given;
    const options = { ...rest, gitSha, withDoc };
    const fits = (rows) => ok(rows);
    if (asOf !== undefined || recorded !== undefined) return fits(await cfg.asOf(asOf, { ...rest, id, recorded, withDoc }));
    return fits(id === undefined ? await cfg.log(options) : await cfg.log(id, options));
  }

  async do_diff(cfg, given) {
    const { id, from, to, staged, collection } = given;
    if (staged !== undefined) await this.stage(cfg, id, staged);
    if (id !== undefined) return ok(await cfg.diff(id, from ?? "=HEAD", to ?? "=live"));
    const rows = await cfg.diff({ from, to, collection });
    const [diffs, failed] = [rows.filter((row) => row.changes), rows.filter((row) => row.reason)];
    return { ...ok(null), data: { diffs: toWire(diffs), failed: toWire(failed) } };
  }

  async do_export(cfg, given) {
    const rows = [];
    for await (const doc of cfg.documents({ collection: given.collection, page: 2 })) rows.push(documentRow(doc));
    return ok(rows);
  }

  async do_fsck(cfg, given) {
    return ofJudged(await cfg.fsck(given.repair ? { ...this.options(given), repair: true } : {}));
  }

  async do_redact(cfg, given) {
    const options = { ...this.options(given), versions: given.versions, messages: given.messages, rewriteHistory: given.rewrite_history };
    return ok(await cfg.redact(given.id, given.paths ?? [], options));
  }

  async do_secrets_scan(cfg, given) {
    return ofJudged(await cfg.secretsScan({ collection: given.collection, history: given.history, live: given.live }));
  }

  async do_import(cfg, given) {
    const options = { ...this.options(given), validFrom: given.valid_from, stripBackups: given.strip_backups };
    const done = await cfg.import(given.ids ?? { all: true }, options);
    return isPlan(done) ? ofPlan(done) : ofReport(done);
  }

  async do_adopt(cfg, given) {
    const done = await cfg.adopt(given.ids ?? { all: true }, this.options(given));
    return isPlan(done) ? ofPlan(done) : ofReport(done);
  }

  async do_import_history(cfg, given) {
    const options = { ...this.options(given), collection: given.collection ?? this.tables[0].name, seedLive: given.seed_live };
    return ofJudged(await cfg.importHistory(given.lines, options));
  }

  async do_commit(cfg, given) {
    const { force, allow_noop: allowNoop, allow_removal: allowRemoval, meta, items } = given;
    const options = { ...this.options(given), force, allowNoop, allowRemoval, meta };
    if (items !== undefined && items.length !== 1) {
      const batch = items.map((item) => ({ ...item, base: this.base(item) }));
      const done = await cfg.batch(batch, options);
      return isPlan(done) ? ofPlan(done) : ofReport(done);
    }
    const item = items?.[0] ?? given;
    const one = { ...options, base: this.base(item) };
    let done;
    if (item.doc !== undefined) done = await cfg.commit(item.id, item.doc, one);
    else if (item.patch !== undefined) done = await cfg.patch(item.id, item.patch, one);
    else if (item.merge !== undefined) done = await cfg.merge(item.id, item.merge, one);
    else done = await cfg.set(item.id, item.set, { ...one, delete: item.delete });
    return isPlan(done) ? ofPlan(done) : ofChange(done);
  }

  async do_restore(cfg, given) {
    const { id, ref, secrets, without_secrets: withoutSecrets, force } = given;
    const done = await cfg.restore(id, ref, { ...this.options(given), secrets, withoutSecrets, force });
    return isPlan(done) ? ofPlan(done) : ofChange(done);
  }

  async do_tag(cfg, given) {
    const { name, id, ref, versions, collection, as_of: asOf, force } = given;
    const options = this.options(given);
    if (given.delete) return ok(await cfg.untag(name, options));
    return ok(await cfg.tag(name, { ...options, id, ref: ref ?? undefined, versions, collection, asOf, force }));
  }

  async do_activate(cfg, given) {
    const { id, ref, without_secrets: withoutSecrets, force } = given;
    const done = await cfg.activate(id, ref, { ...this.options(given), withoutSecrets, force });
    return isPlan(done) ? ofPlan(done) : ofChange(done);
  }

  async do_undo(cfg, given) {
    const { id, ref, without_secrets: withoutSecrets } = given;
    const done = await cfg.undo(id, ref, { ...this.options(given), withoutSecrets });
    return isPlan(done) ? ofPlan(done) : ofChange(done);
  }

  async do_blame(cfg, given) {
    return ok(await cfg.blame(given.id, given.path));
  }

  async do_points(cfg, given) {
    const { id, collection, around, window_ms: windowMs } = given;
    return ok(await cfg.points({ id, collection, around, windowMs }));
  }

  async do_link(cfg, given) {
    await cfg.link(given.id, given.seq, given.sha, this.options(given));
    return ok(null);
  }

  async do_tags(cfg) {
    return ok(await cfg.tags());
  }

  async do_approvals(cfg, given) {
    return ok(await cfg.approvals({ all: given.all }));
  }

  async do_approval(cfg, given) {
    return ok(await cfg.approval(given.id));
  }

  async do_approve(cfg, given) {
    const plan_oid = given.plan_oid ?? (await cfg.approval(given.id)).planOid;
    const { id, by, seed } = given;
    const text = `cfg approval 1\nenv: ${cfg.env}\napproval: ${id}\nplan: ${plan_oid}\nby: ${by}\n`;
    const signature = sign(null, Buffer.from(text), privateKey(seed)).toString("base64");
    return ok(await cfg.approve(id, { v: 1, env: cfg.env, approval: id, plan_oid, by, signature }));
  }

  async do_deny(cfg, given) {
    return ok(await cfg.deny(given.id, { reason: given.reason }));
  }

  async do_restore_all(cfg, given) {
    const { tag, as_of: asOf, only, except, prune, adopt_drift: adoptDrift, without_secrets: withoutSecrets, plan } = given;
    const options = { ...this.options(given), only, except, prune, adoptDrift, withoutSecrets, plan, includeDeleted: given.include_deleted };
    return ofRestore(await cfg.restoreAll(tag === undefined ? { asOf } : { tag }, options));
  }

  async do_resume(cfg, given) {
    return ofRestore(await cfg.resume(given.token, this.options(given)));
  }

  async do_rm(cfg, given) {
    const done = await cfg.rm(given.id, { ...this.options(given), base: this.base(given), force: given.force });
    return isPlan(done) ? ofPlan(done) : ofChange(done);
  }
}
