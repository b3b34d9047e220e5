"""Measures cfgit 0.4.7 on the server that CFG_TEST_MONGODB_URI names; prints {what: seconds} as JSON.

Run by benches/run in a virtual environment of its own. The documents and the work are those of
benches/benches/mongodb.rs."""

import json
import os
import pathlib
import statistics
import sys
import tempfile
import threading
import time
import uuid

from cfg.core.engine import RecordRef
from cfg.interfaces.actions import engine_for_project
from cfg.core.config import load_config
from pymongo import MongoClient

from cfgit_verbs import many, system, timed

URI = os.environ["CFG_TEST_MONGODB_URI"]
PROMPT = "You plan the work before you start it, and you keep the plan up to date. "
quick = "--quick" in sys.argv[1:]


def document(n, size):
    return {
        "_id": f"agent-{n:05}", "model": "large", "n": n, "temperature": 0.7,
        "limits": {"per_minute": 120, "timeout_ms": 30000}, "prompt": PROMPT * (size // len(PROMPT)),
        "tools": [{"name": "search", "enabled": True}, {"name": "fetch", "weight": 0.37}],
    }


class Store:
    def __init__(self, records, size):
        self.db = f"bench_cfgit_{uuid.uuid4().hex}"
        self.client = MongoClient(URI)
        self.live = self.client[self.db]["agents"]
        self.live.insert_many([document(n, size) for n in range(records)])
        folder = tempfile.mkdtemp()
        self.config = pathlib.Path(folder) / ".cfg.toml"
        os.environ["BENCH_URI"] = URI
        self.config.write_text(
            '[project]\nname = "bench"\n[[collection]]\nname = "agents"\nid_field = "_id"\n'
            f'[env.dev]\ndatabase = "mongo"\nuri = "env:BENCH_URI"\ndb = "{self.db}"\n')
        self.engine = self.open()
        self.engine.init()

    def open(self):
        return engine_for_project(load_config(self.config), env_name="dev", author="bench@example.com")

    def close(self):
        self.client.drop_database(self.db)


def commit(engine, n, to):
    ref = RecordRef("agents", f"agent-{n:05}")
    doc = engine.adapter.get_record("agents", ref.record_id)
    doc["n"] = to
    state = engine.commit(ref, doc, message="a benchmark")["state"]
    assert state == "committed", state


def measure():
    found = {}
    store = Store(16, 2048)
    store.engine.import_records(None, message="baseline")
    found["commit"] = statistics.median(timed(lambda n=n: commit(store.engine, 1, 1000 + n)) for n in range(30 if quick else 200))
    each = 10 if quick else 50

    def writer(n):
        engine = store.open()
        for to in range(each):
            commit(engine, 2 + n, 5000 + to)

    def all_writers():
        threads = [threading.Thread(target=writer, args=(n,)) for n in range(8)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]

    found["commit of 8 writers"] = timed(all_writers) / each
    store.close()

    store = Store(1000, 2048)
    found["import of 1,000"] = timed(lambda: store.engine.import_records(None, message="baseline"))
    store.live.update_many({}, [{"$set": {"n": {"$add": ["$n", 5000000]}}}])
    found["adopt of 1,000"] = timed(lambda: [
        store.engine.adopt(RecordRef("agents", f"agent-{n:05}"), message="seen") for n in range(1000)])
    docs = [(RecordRef("agents", f"agent-{n:05}"), {**document(n, 2048)}) for n in range(1000)]
    found["commit of 1,000"] = timed(lambda: store.engine.commit_many(docs, message="back"))
    found.update(system(store.engine, docs))
    store.close()

    records = 2000 if quick else 10_000
    store = Store(records, 2048)
    store.engine.import_records(None, message="baseline")
    found.update(many(store.engine, 10_000 / records))
    store.close()
    return found


json.dump(measure(), sys.stdout)
