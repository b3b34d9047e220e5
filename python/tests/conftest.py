"""A project in a folder of its own, and the application beside it."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import cfg_engine as cfg

ROOT = Path(__file__).resolve().parents[2]

CONFIG = """
[[collection]]
name = "agents"
table = "agents"
id_field = "id"

[versioning]
ignore_fields = ["updated_at"]
secret_fields = ["token"]

[env.dev]
database = "sqlite"
uri = "app.db"
"""


class World:
    """A SQLite file with a table, and a configuration beside it."""

    def __init__(self, folder: Path, config: str = CONFIG) -> None:
        self.folder = folder
        self.file = folder / "app.db"
        (folder / ".cfg.toml").write_text(config)
        self.sql("CREATE TABLE agents (id TEXT PRIMARY KEY, doc TEXT NOT NULL)")

    def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Do what an application does: write and read around the engine."""
        with sqlite3.connect(self.file, timeout=30) as db:
            rows = db.execute(statement, values).fetchall()
        db.close()
        return rows

    def insert(self, id: str, **doc: Any) -> None:
        self.sql("INSERT INTO agents VALUES (?, ?)", id, json.dumps(doc))

    def live(self, id: str) -> Any:
        rows = self.sql("SELECT doc FROM agents WHERE id = ?", id)
        return json.loads(rows[0][0]) if rows else None

    def open(self, **options: Any) -> cfg.Project:
        return cfg.open(self.folder, author="a@example.com", **options)


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the shell of a developer carries must not reach the tests."""
    for name in list(os.environ):
        if name.startswith("CFG_") and not name.startswith("CFG_TEST_"):
            monkeypatch.delenv(name)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def project(world: World) -> Iterator[cfg.Project]:
    """An initialised project with one record, ``planner``, at its first version."""
    world.insert("planner", model="large", n=1)
    project = world.open()
    project.init()
    project.import_(all=True, message="as we found it")
    yield project
    project.close()


@pytest.fixture
def here(world: World, project: cfg.Project, monkeypatch: pytest.MonkeyPatch) -> World:
    """The same, as the project of the current folder."""
    monkeypatch.chdir(world.folder)
    monkeypatch.setenv("CFG_AUTHOR", "a@example.com")
    return world
