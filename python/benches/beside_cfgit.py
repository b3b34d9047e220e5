"""cfgit 0.4.7 and this package in one process: hashing, and commits by eight threads on MongoDB.

    CFG_TEST_MONGODB_URI=mongodb://… python python/benches/beside_cfgit.py [--check] [--json FILE]

Both have to be installed, `cfgit==0.4.7` with `pymongo`. Rounds take turns; the medians are compared. With
``--check`` the limits are held: 5 times the commits a second, 6 times the hashing.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import threading
import time
import uuid
from pathlib import Path

import cfg_engine
from cfg.core.config import CollectionConfig, load_config
from cfg.core.engine import RecordRef
from cfg.core.hashing import hash_doc
from cfg.interfaces.actions import engine_for_project
from pymongo import MongoClient

THREADS = 8
ROUNDS = 5
COMMITS = 40
CONFIG = """
[project]
name = "bench"
[[collection]]
name = "agents"
id_field = "_id"
[env.dev]
database = "mongo"
uri = "env:BENCH_URI"
db = "{db}"
"""


def document(n: int) -> dict[str, object]:
    """A document of 2 KB as an agent's configuration looks."""
    tools = [{"name": f"tool_{n}", "enabled": n % 2 == 0, "retries": n, "weight": n / 8} for n in range(16)]
    text = "Read the plan, name what is missing, and say what you would do next. " * 11
    return {"_id": f"agent-{n}", "model": "large", "temperature": 0.2, "n": 1, "tools": tools, "instructions": text}


class Database:
    """Records in a database of its own, and the folder that points at it."""

    def __init__(self, uri: str) -> None:
        self.name = f"bench_{uuid.uuid4().hex}"
        self.client = MongoClient(uri)
        self.client[self.name]["agents"].insert_many([document(n) for n in range(THREADS)])
        self.folder = tempfile.TemporaryDirectory()
        self.config = Path(self.folder.name) / ".cfg.toml"
        self.config.write_text(CONFIG.format(db=self.name))

    def drop(self) -> None:
        self.client.drop_database(self.name)
        self.folder.cleanup()


def by_threads(work) -> float:
    """Commits a second of all threads together."""
    ready = threading.Barrier(THREADS + 1)

    def run(n: int) -> None:
        do = work(n)
        ready.wait()
        for to in range(COMMITS):
            do(to)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    ready.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    return THREADS * COMMITS / (time.perf_counter() - began)


def cfgit_commits(uri: str) -> float:
    database = Database(uri)

    def opened():
        return engine_for_project(load_config(database.config), env_name="dev", author="bench@example.com")

    first = opened()
    first.init()
    first.import_records(None, message="baseline")

    def work(n: int):
        engine, ref, doc = opened(), RecordRef("agents", f"agent-{n}"), document(n)

        def commit(to: int) -> None:
            doc["n"] = 1000 + to
            assert engine.commit(ref, doc, message="bench")["state"] == "committed"

        return commit

    rate = by_threads(work)
    database.drop()
    return rate


def our_commits(uri: str) -> float:
    database = Database(uri)
    with cfg_engine.open(database.folder.name, author="bench@example.com") as project:
        project.init()
        project.import_(all=True, message="baseline")

        def work(n: int):
            doc = document(n)

            def commit(to: int) -> None:
                doc["n"] = 1000 + to
                project.commit(f"agent-{n}", doc, message="bench")

            return commit

        rate = by_threads(work)
        newest = project.log("agent-0")[0]
        assert newest["seq"] == COMMITS + 1, newest
    database.drop()
    return rate


def hashes(hash_one) -> float:
    began = time.perf_counter()
    for _ in range(2000):
        hash_one()
    return 2000 / (time.perf_counter() - began)


def main() -> int:
    uri = os.environ["CFG_TEST_MONGODB_URI"]
    os.environ["BENCH_URI"] = uri
    collection, doc = CollectionConfig(name="agents", id_field="_id"), document(0)
    rounds = {name: ([], []) for name in ("commits", "hashes")}
    for _ in range(ROUNDS):
        rounds["commits"][0].append(our_commits(uri))
        rounds["commits"][1].append(cfgit_commits(uri))
        rounds["hashes"][0].append(hashes(lambda: cfg_engine.oid(doc)))
        rounds["hashes"][1].append(hashes(lambda: hash_doc(doc, collection)))
    rows, missed = [], []
    named = {"commits": "Commits a second of eight threads on MongoDB", "hashes": "Documents of 2 KB hashed a second"}
    for name, limit in (("commits", 5), ("hashes", 6)):
        ours, theirs = (statistics.median(rates) for rates in rounds[name])
        beside = f"{ours:,.0f}, cfgit {theirs:,.0f}: {ours / theirs:.1f} times"
        rows.append([named[name], beside, f"at least {limit} times", ours / theirs >= limit])
        print(f"{name} a second: {ours:,.0f}, cfgit {theirs:,.0f}: {ours / theirs:.1f} times (at least {limit})")
        missed += [name] if ours / theirs < limit else []
    if "--json" in sys.argv:
        Path(sys.argv[sys.argv.index("--json") + 1]).write_text(json.dumps(rows))
    return 1 if missed and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
