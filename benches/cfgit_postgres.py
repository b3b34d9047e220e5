"""Measures cfgit 0.4.7 on the PostgreSQL of the benchmarks: the same records, the same changes.

    python cfgit_postgres.py URI OUTPUT [--quick]

Writes seconds per operation as JSON. Called by benches/run with a Python that has cfgit and psycopg.
"""

import json
import os
import statistics
import sys
import tempfile
import time

import psycopg
from cfg.adapters.postgres import PostgresAdapter
from cfg.core.config import load_config
from cfg.core.engine import Engine, RecordRef

from cfgit_verbs import many, system, timed

CONFIG = """
[project]
name = "bench"
[history]
history_collection = "config_history"
heads_collection = "config_heads"
[[collection]]
name = "agents"
id_field = "id"
[env.dev]
database = "postgres"
uri = "env:CFGIT_BENCH_URI"
db = "bench"
"""
PROMPT = "You plan the work before you start it, and you keep the plan up to date. "


def document(n):
    return {"id": f"agent-{n:05}", "model": "large", "n": n, "temperature": 0.7, "limits": {"per_minute": 120},
            "prompt": PROMPT * 25, "tools": [{"name": "search", "enabled": True}, {"name": "fetch", "weight": 0.37}]}


def fresh(app, records):
    app.execute("DROP SCHEMA IF EXISTS bench CASCADE")
    app.execute("CREATE SCHEMA bench")
    app.execute("CREATE TABLE bench.agents (id text PRIMARY KEY, doc jsonb NOT NULL)")
    with app.cursor() as cursor:
        cursor.executemany("INSERT INTO bench.agents VALUES (%s, %s)",
                           [(f"agent-{n:05}", json.dumps(document(n))) for n in range(records)])


def main(uri, output, *options):
    os.environ["CFGIT_BENCH_URI"] = f"{uri}?options=-c%20search_path%3Dbench"
    os.environ["CFG_AUTHOR"] = "bench@example.com"
    app = psycopg.connect(uri, autocommit=True)
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/.cfg.toml"
        with open(path, "w") as out:
            out.write(CONFIG)
        fresh(app, 1000)
        project = load_config(path)
        engine = make_engine(project)
        engine.init()
        started = time.perf_counter()
        engine.import_records(None, message="baseline")
        found["import"] = time.perf_counter() - started
        spent = []
        for n in range(200):
            doc = {**document(n), "n": n + 1_000_000}
            started = time.perf_counter()
            engine.commit(RecordRef("agents", f"agent-{n:05}"), doc, message="a change")
            spent.append(time.perf_counter() - started)
        found["commit"] = statistics.median(spent)
        app.execute("UPDATE bench.agents SET doc = jsonb_set(doc, '{n}', '7')")
        found["adopt"] = timed(lambda: [
            engine.adopt(RecordRef("agents", f"agent-{n:05}"), message="folded in") for n in range(1000)])
        found.update(system(engine, [(RecordRef("agents", f"agent-{n:05}"), document(n)) for n in range(1000)]))
        records = 2000 if "--quick" in options else 10_000
        fresh(app, records)
        engine = make_engine(project)
        engine.init()
        engine.import_records(None, message="baseline")
        found.update(many(engine, 10_000 / records))
    app.execute("DROP SCHEMA bench CASCADE")
    with open(output, "w") as out:
        json.dump(found, out)


def make_engine(project):
    return Engine(project, PostgresAdapter(project=project, env_name="dev"), env="dev", author="bench@example.com")


main(*sys.argv[1:])
