"""The examples leave behind what the scripts did that they come from, and a history beside it."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, World

import cfg_engine as cfg

EXAMPLES = ROOT / "python" / "examples"


def needs(variable: str, how: str) -> str:
    """Return the address of a server, or skip loudly; in continuous integration a skip is a failure."""
    uri = os.environ.get(variable)
    if not uri:
        message = f"SKIPPED LOUDLY: {variable} is not set; type: {how}"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return uri


def run(folder: Path, name: str, **variables: str) -> None:
    environment = {**os.environ, "CFG_AUTHOR": "deploy@example.com", **variables}
    subprocess.run([sys.executable, name], cwd=folder, env=environment, check=True, timeout=120)


def copied(name: str, to: Path) -> Path:
    folder = to / name
    shutil.copytree(EXAMPLES / name, folder)
    return folder


def test_sqlite3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = copied("from_sqlite3", tmp_path)

    def seeded(name: str) -> Path:
        file = tmp_path / name
        db = sqlite3.connect(file)
        db.execute("CREATE TABLE agents (id TEXT PRIMARY KEY, doc TEXT NOT NULL)")
        rows = [("planner", '{"model": "old", "extra": 1}'), ("other", '{"model": "x"}'), ("done", '{"timeout": 5}')]
        db.executemany("INSERT INTO agents VALUES (?, ?)", rows)
        db.commit()
        db.close()
        return file

    def content(file: Path) -> dict[str, Any]:
        db = sqlite3.connect(file)
        found = {id: cfg.loads(doc, plain=True) for id, doc in db.execute("SELECT id, doc FROM agents")}
        db.close()
        return found

    raw, ours = seeded("raw.db"), seeded("ours.db")
    run(folder, "before.py", APP_DB=str(raw))
    monkeypatch.setenv("APP_DB", str(ours))
    project = cfg.open(folder, author="a@example.com")
    project.init()
    project.import_(all=True, message="as we found it")
    project.close()
    for _ in range(2):
        run(folder, "after.py", APP_DB=str(ours))
        assert content(ours) == content(raw)
    assert [entry.message for entry in project.log("planner")] == ["agents of the support desk", "as we found it"]
    assert len(project.log("done")) == 1, "what is as it should be gets no version"
    assert project.status().clean and project.fsck().ok


def test_pymongo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = needs("CFG_TEST_MONGODB_URI", 'eval "$(tests/servers/mongodb up)"')
    pymongo = pytest.importorskip("pymongo")
    folder = copied("from_pymongo", tmp_path)
    client = pymongo.MongoClient(uri)
    names = {which: f"cfg_example_{uuid.uuid4().hex[:12]}" for which in ("raw", "ours")}
    try:
        for name in names.values():
            client[name].agents.insert_many([{"_id": "planner", "budget": 5, "tools": []}, {"_id": "triage", "legacy": 1}])
        run(folder, "before.py", APP_MONGODB_URI=uri, APP_DB=names["raw"])
        config = folder / ".cfg.toml"
        config.write_text(config.read_text().replace('db = "app"', f'db = "{names["ours"]}"'))
        monkeypatch.setenv("APP_MONGODB_URI", uri)
        project = cfg.open(folder, author="a@example.com")
        project.init()
        project.import_(all=True, message="as we found it")
        project.close()
        run(folder, "after.py", APP_MONGODB_URI=uri, APP_DB=names["ours"])
        found = {which: list(client[name].agents.find(sort=[("_id", 1)])) for which, name in names.items()}
        assert found["ours"] == found["raw"]
        assert project.log("planner")[0].message == "agents of the support desk"
        assert project.status().clean and project.fsck().ok
    finally:
        for name in names.values():
            client.drop_database(name)
        client.close()


def test_psycopg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = needs("CFG_TEST_POSTGRES_URI", 'eval "$(tests/servers/postgres up)"')
    psycopg = pytest.importorskip("psycopg")
    folder = copied("from_psycopg", tmp_path)
    admin = psycopg.connect(uri, autocommit=True)
    names = {which: f"cfg_example_{uuid.uuid4().hex[:12]}" for which in ("raw", "ours")}

    def address(name: str) -> str:
        return psycopg.conninfo.make_conninfo(uri, dbname=name) if "://" not in uri else re.sub(
            r"(://[^/]*/)[^?]*", rf"\g<1>{name}", uri if re.search(r"://[^/]*/", uri) else uri + "/"
        )  # fmt: skip

    try:
        for name in names.values():
            admin.execute(f'CREATE DATABASE "{name}"')
            with psycopg.connect(address(name)) as db:
                db.execute("CREATE TABLE agents (id text PRIMARY KEY, doc jsonb NOT NULL)")
                db.execute("""INSERT INTO agents VALUES ('planner', '{"model": "large-1"}'), ('writer', '{"model": "x"}')""")
        run(folder, "before.py", APP_DATABASE_URL=address(names["raw"]))
        monkeypatch.setenv("APP_DATABASE_URL", address(names["ours"]))
        project = cfg.open(folder, author="a@example.com")
        project.init()
        project.import_(all=True, message="as we found it")
        project.close()
        run(folder, "after.py", APP_DATABASE_URL=address(names["ours"]))
        found = {}
        for which, name in names.items():
            with psycopg.connect(address(name)) as db:
                found[which] = db.execute("SELECT id, doc FROM agents ORDER BY id").fetchall()
        assert found["ours"] == found["raw"]
        assert project.log("planner")[0].message.startswith("large-1") and len(project.log("writer")) == 1
        assert project.status().clean and project.fsck().ok
        project.close()
    finally:
        for name in names.values():
            admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        admin.close()


def blocks(file: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", file.read_text(), re.M | re.S)


@pytest.mark.parametrize("file", ["README.md", "python/README.md"])
def test_the_readme_runs_as_written(file: str, tmp_path: Path) -> None:
    world = World(tmp_path)
    world.insert("planner", model="large", tools=["search"], retries=1)
    world.insert("writer", model="large")
    project = world.open()
    project.init()
    project.import_(all=True, message="as we found it")
    project.close()
    found = blocks(ROOT / file)
    assert found, f"{file} has no Python"
    for text in found:
        (tmp_path / "script.py").write_text(text)
        run(tmp_path, "script.py")
    assert len(project.log("planner")) >= 3
    assert project.status().clean and project.fsck().ok


def test_the_guide_has_no_line_that_is_not_python() -> None:
    for text in blocks(ROOT / "docs" / "migrating-scripts.md"):
        compile(text, "migrating-scripts.md", "exec")
