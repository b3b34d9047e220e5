"""What the package costs: hashing, importing, and a commit against the same commit from Rust.

    python python/benches/speed.py [path of the example commit_speed] [--check] [--json FILE]

Ratios are between runs of one machine, one after the other. With ``--check`` the limits are held:
15 us for the oid of a 2 KB dict, 30 ms for the import, 1.1 times Rust for a commit on SQLite.
"""

from __future__ import annotations

import json
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cfg_engine as cfg

COMMITS = 400
ROUNDS = 7

CONFIG = """
[[collection]]
name = "agents"
table = "agents"
id_field = "id"
[env.dev]
database = "sqlite"
uri = "app.db"
"""


def document() -> dict[str, object]:
    """A document of 2 KB as an agent's configuration looks."""
    tools = [{"name": f"tool_{n}", "enabled": n % 2 == 0, "retries": n, "weight": n / 8} for n in range(16)]
    text = "Read the plan, name what is missing, and say what you would do next. " * 11
    return {"model": "large", "temperature": 0.2, "n": 1, "tools": tools, "instructions": text, "limits": {"tokens": 8000}}


def oid() -> float:
    doc = document()
    assert 1900 < len(json.dumps(doc)) < 2200, len(json.dumps(doc))
    best = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for _ in range(5000):
            cfg.oid(doc)
        best.append((time.perf_counter() - began) / 5000 * 1e6)
    return min(best)


def importing() -> float:
    script = "import time; t = time.perf_counter(); import cfg_engine; print((time.perf_counter() - t) * 1e3)"
    command = [sys.executable, "-c", script]
    return min(float(subprocess.run(command, capture_output=True, check=True, text=True, cwd="/").stdout) for _ in range(15))


def project(folder: Path) -> cfg.Project:
    folder.mkdir()
    (folder / ".cfg.toml").write_text(CONFIG)
    db = sqlite3.connect(folder / "app.db")
    db.execute("CREATE TABLE agents (id TEXT PRIMARY KEY, doc TEXT NOT NULL)")
    db.execute("INSERT INTO agents VALUES ('planner', ?)", (json.dumps(document()),))
    db.commit()
    db.close()
    opened = cfg.open(folder, author="bench@example.com")
    opened.init()
    opened.import_(all=True, message="begin")
    return opened


def commits(opened: cfg.Project) -> float:
    doc = opened.get("planner")
    began = 0.0
    for n in range(COMMITS + 20):
        if n == 20:
            began = time.perf_counter()
        doc["n"] = n + 1000
        opened.commit("planner", doc, message="bench")
    return (time.perf_counter() - began) / COMMITS * 1e6


def main() -> int:
    args = [arg for arg in sys.argv[1:] if arg != "--check"]
    rows, into = [], None
    if "--json" in args:
        at = args.index("--json")
        into = Path(args[at + 1])
        del args[at : at + 2]
    failed = []
    hashing, loading = oid(), importing()
    print(f"oid of a 2 KB dict: {hashing:.1f} us (limit 15)")
    print(f"import cfg_engine: {loading:.1f} ms (limit 30)")
    failed += ["oid"] if hashing > 15 else []
    failed += ["import"] if loading > 30 else []
    rows.append(["`oid` of a 2 KB dict", f"{hashing:.1f} µs", "at most 15 µs", hashing <= 15])
    rows.append(["`import cfg_engine`", f"{loading:.1f} ms", "at most 30 ms", loading <= 30])
    if args:
        ratios, ours, theirs = [], [], []
        with tempfile.TemporaryDirectory() as name:
            for n in range(ROUNDS):
                opened = project(Path(name) / f"python{n}")
                mine = commits(opened)
                opened.close()
                project(Path(name) / f"rust{n}").close()
                command = [args[0], str(Path(name) / f"rust{n}"), "planner", str(COMMITS)]
                rust = float(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
                ratios.append(mine / rust)
                ours.append(mine)
                theirs.append(rust)
        ratio = statistics.median(ratios)
        print(f"commit on SQLite: {statistics.median(ours):.0f} us, from Rust {statistics.median(theirs):.0f} us, "
              f"ratio {ratio:.2f} (limit 1.1)")  # fmt: skip
        failed += ["commit"] if ratio > 1.1 else []
        beside = f"{statistics.median(ours):.0f} µs, from Rust {statistics.median(theirs):.0f} µs: {ratio:.2f} times"
        rows.append(["A commit on SQLite", beside, "at most 1.1 times", ratio <= 1.1])
    if into:
        into.write_text(json.dumps(rows))
    return 1 if failed and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
