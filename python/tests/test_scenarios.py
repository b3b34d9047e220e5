"""Runs ``tests/scenarios/*.json`` on SQLite, in both shapes, through the package's own verbs.

``tests/scenarios/README.md`` says what the files mean; ``tests/suite`` runs them for Rust.
"""

from __future__ import annotations

import base64
import json
import re
import shutil
import sqlite3
import time
from pathlib import Path
from typing import Any

import ed25519
import pytest
from conftest import ROOT

import cfg_engine as cfg
from cfg_engine import CfgError, Document

FOLDER = ROOT / "tests" / "scenarios"
ONLY = __import__("os").environ.get("CFG_TEST_SCENARIO", "")
COLUMNS = {
    "name": "TEXT",
    "n": "INTEGER",
    "body": "JSON",
    "updated_at": "TEXT",
    "token": "TEXT",
    "active": "BOOLEAN",
    "status": "TEXT",
    "rank": "INTEGER",
    "retired_at": "TEXT",
}
# SQLite has no dates and no ids of several types in one column; a row has no fields without a column.
LACKING = {"doc": {"extended_types", "mixed_ids"}, "row": {"extended_types", "mixed_ids", "free_fields"}}


def read(path: Path) -> Any:
    return cfg.loads(path.read_text())


FILES = sorted(p for p in FOLDER.glob("*.json") if not p.name.startswith("_") and ONLY in p.name)
DEFAULT = read(FOLDER / "_default.json")


# --- expectations --------------------------------------------------------------------------------

NOTHING = object()
MATCHERS = {"$any", "$absent", "$type", "$not", "$contains", "$length", "$text", "$exactly"}
TYPES = {type(None): "null", bool: "boolean", int: "number", float: "number", str: "string", list: "array"}


def same(a: Any, b: Any) -> bool:
    return cfg.canonical(a) == cfg.canonical(b)


def fits(wanted: Any, found: Any, at: str) -> None:
    def wrong() -> None:
        shown = "nothing" if found is NOTHING else cfg.dumps(found)
        raise AssertionError(f"{at}: expected {cfg.dumps(wanted)}, found {shown}")

    if isinstance(wanted, dict):
        if len(wanted) == 1 and next(iter(wanted)) in MATCHERS:
            name, operand = next(iter(wanted.items()))
            if not holds(name, operand, found, at):
                wrong()
            return
        if not isinstance(found, dict):
            wrong()
        for key, value in wanted.items():
            fits(value, found.get(key, NOTHING), f"{at}.{key}")
    elif isinstance(wanted, list):
        if not isinstance(found, list) or len(found) != len(wanted):
            wrong()
        for n, (value, item) in enumerate(zip(wanted, found)):
            fits(value, item, f"{at}.{n}")
    elif at.endswith(".author.class"):
        # The scenarios' authors sit at a terminal; a program does not.
        assert found == "pipeline", at
    elif wanted is None:
        if found is not NOTHING and found is not None:
            wrong()
    elif found is NOTHING or isinstance(found, dict | list) or not same(wanted, found):
        wrong()


def holds(name: str, operand: Any, found: Any, at: str) -> bool:
    operands = operand if isinstance(operand, list) else [operand]

    def fit(wanted: Any, item: Any) -> bool:
        try:
            fits(wanted, item, at)
        except AssertionError:
            return False
        return True

    if name == "$any":
        return found is not NOTHING
    if name == "$absent":
        return found is NOTHING or found is None
    if name == "$type":
        return found is not NOTHING and TYPES.get(type(found), "object") == operand
    if name == "$not":
        return not fit(operand, found)
    if name == "$contains":
        return isinstance(found, list) and all(any(fit(w, item) for item in found) for w in operands)
    if name == "$length":
        return isinstance(found, list) and len(found) == operand
    if name == "$text":
        return isinstance(found, str) and all(text in found for text in operands)
    return found is not NOTHING and same(operand, found)


def look_up(saved: dict[str, Any], path: str) -> Any:
    name, *parts = path.split(".")
    at = saved[name]
    for part in parts:
        at = at[int(part)] if isinstance(at, list) else at[part]
    return at


def resolve(value: Any, saved: dict[str, Any]) -> Any:
    if isinstance(value, dict):
        if len(value) == 1 and isinstance(value.get("$ref"), str):
            return look_up(saved, value["$ref"])
        return {key: resolve(item, saved) for key, item in value.items()}
    if isinstance(value, list):
        return [resolve(item, saved) for item in value]
    if isinstance(value, str):

        def text(match: re.Match[str]) -> str:
            found = look_up(saved, match[1])
            return found if isinstance(found, str) else cfg.dumps(found)

        return re.sub(r"\$\{([^}]*)\}", text, value)
    return value


# --- a store -------------------------------------------------------------------------------------


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value)


class Stage:
    def __init__(self, folder: Path, shape: str, scenario: dict[str, Any]) -> None:
        self.folder, self.shape = folder, shape
        self.config = scenario.get("config", DEFAULT)
        self.collections = {c["name"]: c for c in self.config["collections"]}
        self.saved: dict[str, Any] = {}
        self.db = sqlite3.connect(folder / "app.db", isolation_level=None, timeout=30)
        self.columns: dict[str, dict[str, str]] = {}
        for collection in self.collections.values():
            self.create(collection)
        envs = {"dev"} | {step["env"] for step in scenario["steps"] if "env" in step}
        self.projects = {}
        for env in envs:
            # One file for two envs of one database is refused; what the store says is the scenario's.
            file = folder / (".cfg.toml" if env == "dev" else f"{env}.toml")
            file.write_text(self.toml([env]))
            self.projects[env] = cfg.open(file, author="a@example.com")
        if scenario.get("init") is not False:
            self.projects["dev"].init()
        for name, rows in scenario.get("live", {}).items():
            for row in rows:
                self.insert(name, row)

    def ids(self, collection: dict[str, Any]) -> list[str]:
        return listed(collection["id_field"])

    def create(self, collection: dict[str, Any]) -> None:
        kind = {"int": "INTEGER", "uuid": "BLOB"}.get(collection.get("id_type", ""), "TEXT")
        columns = dict.fromkeys(self.ids(collection), kind)
        for name, declared in COLUMNS.items():
            if self.shape == "row" or name in collection.get("live_when", {}):
                columns[name] = declared
        if self.shape == "doc":
            columns["doc"] = "TEXT"
        self.columns[collection["name"]] = columns
        listing = ", ".join(f'"{name}" {kind}' for name, kind in columns.items())
        self.db.execute(f"CREATE TABLE {collection['name']}_live ({listing})")

    def toml(self, envs: list[str]) -> str:
        settings = self.config.get("settings", {})
        out = []
        if settings.get("require_base"):
            out.append("[versioning]\nrequire_base = true")
        if "on_secret" in settings:
            out.append(f"[secrets]\non_match = {toml(settings['on_secret'])}")
        for c in self.collections.values():
            out.append(f"[[collection]]\nname = {toml(c['name'])}\ntable = {toml(c['name'] + '_live')}")
            out.append(f"id_field = {toml(c['id_field'])}\nshape = {toml(self.shape)}")
            for key in ("id_type", "live_when", "ignore_fields", "ignore_patterns", "ignore_paths", "secret_fields"):
                if key in c:
                    out.append(f"{key} = {toml(c[key])}")
        for env in envs:
            gated = "\nneeds_approval = true" if settings.get("gated") else ""
            out.append(f'[env.{env}]\ndatabase = "sqlite"\nuri = "app.db"{gated}')
            out.append(f"[env.{env}.rules]")
            out.extend(f"{rule} = {toml(settings[rule])}" for rule in ("approvers", "alert") if rule in settings)
        return "\n".join(out) + "\n"

    def collection(self, name: str | None) -> dict[str, Any]:
        return self.collections[name] if name else next(iter(self.collections.values()))

    def cell(self, collection: dict[str, Any], column: str, value: Any) -> Any:
        if value is None:
            return None
        declared = self.columns[collection["name"]][column]
        if declared == "JSON" or (column == "doc" and self.shape == "doc"):
            return cfg.dumps(value, dialect="plain")
        return value.bytes if hasattr(value, "bytes") else value

    def insert(self, name: str | None, fields: dict[str, Any]) -> None:
        collection = self.collection(name)
        fields = dict(fields)
        row = fields
        if self.shape == "doc":
            own = [*self.ids(collection), *collection.get("live_when", {})]
            row = {key: fields.pop(key) for key in own if key in fields}
            row["doc"] = fields
        cells = {key: self.cell(collection, key, value) for key, value in row.items()}
        names, marks = ", ".join(f'"{key}"' for key in cells), ", ".join("?" * len(cells))
        table = f"{collection['name']}_live"
        self.db.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", list(cells.values()))

    def where(self, collection: dict[str, Any], id: Any) -> tuple[str, list[Any]]:
        fields = self.ids(collection)
        parts = [id] if len(fields) == 1 else [id[field] for field in fields]
        values = [part.bytes if hasattr(part, "bytes") else part for part in parts]
        return " AND ".join(f'"{field}" IS ?' for field in fields), values

    def update(self, name: str | None, id: Any, fields: dict[str, Any]) -> None:
        collection = self.collection(name)
        where, values = self.where(collection, id)
        table = f"{collection['name']}_live"
        cells = dict(fields)
        if self.shape == "doc":
            own = collection.get("live_when", {})
            cells = {key: value for key, value in fields.items() if key in own}
            ((text,),) = self.db.execute(f"SELECT doc FROM {table} WHERE {where}", values).fetchall()
            cells["doc"] = {**cfg.loads(text, plain=True), **{k: v for k, v in fields.items() if k not in own}}
        terms = ", ".join(f'"{key}" = ?' for key in cells)
        given = [self.cell(collection, key, value) for key, value in cells.items()]
        self.db.execute(f"UPDATE {table} SET {terms} WHERE {where}", [*given, *values])

    def delete(self, name: str | None, id: Any) -> None:
        collection = self.collection(name)
        where, values = self.where(collection, id)
        self.db.execute(f"DELETE FROM {collection['name']}_live WHERE {where}", values)

    def rows(self, name: str | None) -> list[dict[str, Any]]:
        collection = self.collection(name)
        columns = self.columns[collection["name"]]
        names = ", ".join(f'"{column}"' for column in columns)
        found = []
        for cells in self.db.execute(f"SELECT {names} FROM {collection['name']}_live ORDER BY rowid"):
            row: dict[str, Any] = {}
            for (column, declared), cell in zip(columns.items(), cells):
                if cell is not None and (declared == "JSON" or (column == "doc" and self.shape == "doc")):
                    cell = cfg.loads(cell, plain=True)
                elif cell is not None and declared == "BOOLEAN":
                    cell = bool(cell)
                row[column] = cell
            if self.shape == "doc":
                row.update(row.pop("doc") or {})
            found.append(row)
        return found

    def stage_document(self, id: str, doc: dict[str, Any]) -> None:
        """Put a document where ``cfg edit`` puts it."""
        folder = self.folder / ".cfg" / "staged" / "dev"
        folder.mkdir(parents=True, exist_ok=True)
        base = {"record": {"collection": "agents", "config_id": id}, "env": "dev", "seq": None, "oid": None}
        about = {"$cfg": {**base, "staged_at": "2026-01-01T00:00:00.000Z"}}
        (folder / f"agents={id}.json").write_text(cfg.dumps({**about, **doc}))

    # --- steps -------------------------------------------------------------------------------------

    def step(self, step: dict[str, Any]) -> None:
        given = resolve(step.get("with") or {}, self.saved)
        project = self.projects[step.get("env", "dev")]
        outcome: dict[str, Any]
        try:
            outcome = self.run(project, step["do"], given)
        except CfgError as error:
            outcome = failure(step["do"], error)
        if "as" in step:
            self.saved[step["as"]] = outcome
        expect = resolve(step.get("expect") or {}, self.saved)
        if "exit" not in expect:
            fits(0, outcome["exit"], f"exit of {outcome}")
        for member, wanted in expect.items():
            if member == "live":
                self.check_live(wanted)
            elif member == "ops":
                for address, ops in wanted.items():
                    fits(ops, [entry.op for entry in reversed(self.log(address))], f"ops {address}")
            else:
                fits(wanted, outcome.get(member, NOTHING), member)

    def log(self, address: str) -> list[Any]:
        try:
            return list(self.projects["dev"].history(address))
        except cfg.NotFoundError:
            return []

    def check_live(self, wanted: dict[str, Any]) -> None:
        for name, records in wanted.items():
            field = self.ids(self.collection(name))[0]
            rows = {row[field]: row for row in self.rows(name)}
            for id, fields in records.items():
                fits(fields, rows.get(id, NOTHING), f"live {id}")

    def run(self, project: cfg.Project, verb: str, given: dict[str, Any]) -> dict[str, Any]:
        if verb == "tick":
            time.sleep(0.003)
            return done(None)
        if verb == "raw_insert":
            return done(self.insert(given.get("collection"), given["row"]))
        if verb == "raw_update":
            return done(self.update(given.get("collection"), given["id"], given["set"]))
        if verb == "raw_delete":
            return done(self.delete(given.get("collection"), given["id"]))
        if verb == "rows":
            return done(self.rows(given.get("collection")))
        return getattr(self, f"do_{verb}")(project, dict(given))

    def do_init(self, project: cfg.Project, given: dict[str, Any]) -> dict[str, Any]:
        report = project.init(**given)
        return {**judged(report), "data": report}

    def do_address(self, project: cfg.Project, given: dict[str, Any]) -> dict[str, Any]:
        return done(project.address(given["text"]))

    def do_get(self, project: cfg.Project, given: dict[str, Any]) -> dict[str, Any]:
        return done(as_row(project.get(given["id"])))

    def do_show(self, project: cfg.Project, given: dict[str, Any]) -> dict[str, Any]:
        shown = project.show(given["id"], given.get("ref"), field=given.get("field"))
        return done(as_row(shown) if isinstance(shown, Document) else shown)

    def do_status(self, project: cfg.Project, given: dict[str, Any]) -> dict[str, Any]:
        for id in given.pop("staged", []):
            self.stage_document(id, {"name": "staged"})
        found = project.status(*given.pop("ids", []), **given)
        return {**judged(found), "data": found}

    def do_log(self, project: cfg.Project, given: dict[str, Any]) -> dict[str, Any]:
        given["with_doc"] = given.pop("doc", False)
        given["max_count"] = given.pop("limit", None)
        found = project.log(**given)
        if not ({"as_of", "as_of_recorded", "git_sha", "tag"} & given.keys()) and given["max_count"] is None:
            given.pop("max_count")
            # Read page by page it is the same.
            pages = project.history(**given)
            pages._PAGE = 2
            assert list(pages) == found
        return done(found)

    def do_diff(self, project: cfg.Project, given: dict[str, Any]) -> dict[str, Any]:
        shutil.rmtree(self.folder / ".cfg", ignore_errors=True)
        if "staged" in given:
            self.stage_document(given["id"], given["staged"])
        found = project.diff(given.get("id"), given.get("from"), given.get("to"), collection=given.get("collection"))
        if "id" in given:
            return done(found)
        rows = list(found)
        diffs = {"diffs": [r for r in rows if "reason" not in r], "failed": [r for r in rows if "reason" in r]}
        return done(diffs)

    def do_export(self, project: cfg.Project, given: dict[str, Any]) -> dict[str, Any]:
        # As rows: a record that cannot be read is one of them.
        return done(project._run("export", given).data())

    def do_import(self, project: cfg.Project, given: dict[str, Any]) -> dict[str, Any]:
        ids = given.pop("ids", [])
        return of_report(project.import_(*ids, all=not ids, **options(given)))

    def do_import_history(self, project: cfg.Project, given: dict[str, Any]) -> dict[str, Any]:
        report = project.import_(history=given.pop("lines"), **options(given))
        return {**judged(report), "data": report}

    def do_adopt(self, project: cfg.Project, given: dict[str, Any]) -> dict[str, Any]:
        ids = given.pop("ids", [])
        return of_report(project.adopt(*ids, all=not ids, **options(given)))

    def do_commit(self, project: cfg.Project, given: dict[str, Any]) -> dict[str, Any]:
        if len(given.get("items", [])) > 1:
            items = given.pop("items")
            batch = project.batch(**options(given))
            with batch:
                for item in items:
                    add(batch, item)
            return of_report(batch.report)
        for item in given.pop("items", []):
            given.update(item)
        given = options(given)
        if "set" in given:
            return of_change(project.set(given.pop("id"), *given.pop("set"), **given))
        given["merge_patch"] = given.pop("merge", None)
        return of_change(project.commit(given.pop("id"), given.pop("doc", None), **given))

    def do_restore(self, project: cfg.Project, given: dict[str, Any]) -> dict[str, Any]:
        return of_change(project.restore(given.pop("id"), given.pop("ref"), **options(given)))

    def do_tag(self, project: cfg.Project, given: dict[str, Any]) -> dict[str, Any]:
        return done(project.tag(given.pop("name"), given.pop("id", None), given.pop("ref", None), **options(given)))

    def do_tags(self, project: cfg.Project, given: dict[str, Any]) -> dict[str, Any]:
        return done(list(project.tags()))

    def do_approvals(self, project: cfg.Project, given: dict[str, Any]) -> dict[str, Any]:
        return done(list(project.approvals(all=given.get("all", False))))

    def do_approval(self, project: cfg.Project, given: dict[str, Any]) -> dict[str, Any]:
        return done(project.approval(given["id"]))

    def do_approve(self, project: cfg.Project, given: dict[str, Any]) -> dict[str, Any]:
        id, by, seed, env = given["id"], given["by"], bytes([given["seed"]] * 32), project.about()["env"]
        plan_oid = given.get("plan_oid") or project.approval(id)["plan_oid"]
        text = f"cfg approval 1\nenv: {env}\napproval: {id}\nplan: {plan_oid}\nby: {by}\n"
        signature = base64.b64encode(ed25519.sign(seed, text.encode())).decode()
        statement = {"v": 1, "env": env, "approval": id, "plan_oid": plan_oid, "by": by, "signature": signature}
        return done(project.approve(id, statement=statement))

    def do_deny(self, project: cfg.Project, given: dict[str, Any]) -> dict[str, Any]:
        return done(project.deny(given["id"], reason=given.get("reason", "")))

    def do_restore_all(self, project: cfg.Project, given: dict[str, Any]) -> dict[str, Any]:
        given["except_"] = given.pop("except", None)
        report = project.restore_all(**options(given))
        return {**judged(report), "data": report}

    def do_resume(self, project: cfg.Project, given: dict[str, Any]) -> dict[str, Any]:
        report = project.resume(given.pop("token"), **options(given))
        return {**judged(report), "data": report}

    def do_points(self, project: cfg.Project, given: dict[str, Any]) -> dict[str, Any]:
        return done(list(project.points(**given)))

    def do_blame(self, project: cfg.Project, given: dict[str, Any]) -> dict[str, Any]:
        return done(list(project.blame(given["id"], given.get("path"))))

    def do_undo(self, project: cfg.Project, given: dict[str, Any]) -> dict[str, Any]:
        return of_change(project.undo(given.pop("id"), given.pop("ref", None), **options(given)))

    def do_activate(self, project: cfg.Project, given: dict[str, Any]) -> dict[str, Any]:
        return of_change(project.activate(given.pop("id"), given.pop("ref", None), **options(given)))

    def do_link(self, project: cfg.Project, given: dict[str, Any]) -> dict[str, Any]:
        project.link(given.pop("id"), given.pop("seq"), given.pop("sha"), **options(given))
        return done(None)

    def do_fsck(self, project: cfg.Project, given: dict[str, Any]) -> dict[str, Any]:
        report = project.fsck(**options(given))
        return {**done(report), "exit": report.exit_code}

    def do_redact(self, project: cfg.Project, given: dict[str, Any]) -> dict[str, Any]:
        return done(project.redact(given.pop("id"), given.pop("paths", ()), **options(given)))

    def do_secrets_scan(self, project: cfg.Project, given: dict[str, Any]) -> dict[str, Any]:
        report = project.secrets_scan(**given)
        return {**done(report), "exit": report.exit_code}

    def do_rm(self, project: cfg.Project, given: dict[str, Any]) -> dict[str, Any]:
        return of_change(project.rm(given.pop("id"), **options(given)))


def add(batch: cfg.Batch, item: dict[str, Any]) -> None:
    item = dict(item)
    if "set" in item:
        batch.set(item.pop("id"), *item.pop("set"), **item)
    else:
        item["merge_patch"] = item.pop("merge", None)
        batch.commit(item.pop("id"), item.pop("doc", None), **item)


def options(given: dict[str, Any]) -> dict[str, Any]:
    given.setdefault("message", "a scenario")
    if "key" in given:
        given["idempotency_key"] = given.pop("key")
    return given


def as_row(document: Document) -> dict[str, Any]:
    assert document.base is not None
    return {**document.base["record"], "base": document.base, "doc": dict(document)}


def done(data: Any) -> dict[str, Any]:
    return {"exit": 0, "status": "ok", "data": data}


def said(error: CfgError) -> dict[str, Any]:
    return {"status": error.status, "code": error.code, "message": error.message, "hint": error.hint}


def judged(found: Any) -> dict[str, Any]:
    reason = said(found.reason) if found.reason is not None else {"status": "ok"}
    return {"exit": found.exit_code, **reason}


def failure(verb: str, error: CfgError) -> dict[str, Any]:
    outcome = {"exit": error.exit_code, **said(error), "data": error.data}
    if verb in ("import", "adopt") and error.config_id is not None:
        reason = {"code": error.code, "message": error.message, "hint": error.hint}
        row = {"collection": error.collection, "config_id": error.config_id, "reason": reason}
        outcome["data"] = {"results": [], "failed": [row]}
    return outcome


def reply(change: cfg.Change) -> dict[str, Any]:
    return {
        "config_id": change.config_id,
        "doc": change.document,
        "base": change.base,
        "entries": change.entries,
    }


def of_change(change: cfg.Change) -> dict[str, Any]:
    outcome = {**done(change), "replayed": change.replayed}
    if change._reply is not None:
        outcome.update(reply=reply(change), replies=[reply(change)])
    return outcome


def of_report(report: Any) -> dict[str, Any]:
    replies = [reply(change) for change in report.results if change._reply is not None]
    outcome = {**judged(report), "data": report, "replayed": report.replayed, "replies": replies}
    if len(replies) == 1:
        outcome["reply"] = replies[0]
    return outcome


@pytest.mark.parametrize("shape", ["doc", "row"])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_scenario(path: Path, shape: str, tmp_path: Path) -> None:
    scenario = read(path)
    if scenario.get("shapes") and shape not in scenario["shapes"]:
        return
    if set(scenario.get("needs", [])) & LACKING[shape]:
        return
    stage = Stage(tmp_path, shape, scenario)
    for n, step in enumerate(scenario["steps"]):
        try:
            stage.step(step)
        except AssertionError as error:
            raise AssertionError(f"step {n + 1} ({step['do']}): {error}") from None
    findings = [finding["code"] for finding in stage.projects["dev"].fsck().findings]
    fits(scenario.get("fsck", []), findings, "fsck")


def test_most_files_run() -> None:
    """A runner that skips is no runner: what is left out is known."""
    assert ONLY or len(FILES) >= 100
    out = {shape: sum(1 for f in FILES if set(read(f).get("needs", [])) & LACKING[shape]) for shape in LACKING}
    print(f"{len(FILES)} files; left out on SQLite: {out}")
