"""Reads what the benchmarks measured, measures memory and cold start of the command, and writes
docs/performance.md with its drawings. Called by benches/run."""

import json
import os
import pathlib
import platform
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time

import side_by_side
from plots import NAMES, shown

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
CFG = TARGET / "release" / "cfg"
CORPUS = pathlib.Path(os.environ.get("CFG_TEST_CORPUS", ROOT / ".." / "shared" / "corpus")) / "scoop-2023.jsonl.gz"
CONFIG = """[project]
name = "bench"
[[collection]]
name = "items"
id_field = "id"
shape = "doc"
[env.dev]
database = "sqlite"
uri = "bench.db"
"""


def criterion():
    """{group: {function: (median seconds, low, high, throughput)}}"""
    found = {}
    for file in sorted((TARGET / "criterion").glob("**/new/benchmark.json")):
        about = json.loads(file.read_text())
        estimates = json.loads((file.parent / "estimates.json").read_text())
        median = estimates["median"]
        low, high = median["confidence_interval"]["lower_bound"], median["confidence_interval"]["upper_bound"]
        name = about["function_id"] + (f" {about['value_str']}" if about.get("value_str") else "")
        found.setdefault(about["group_id"], {})[name] = (
            median["point_estimate"] / 1e9, low / 1e9, high / 1e9, about.get("throughput"))
    return found


def cell(measured):
    median, low, high, _ = measured
    return f"{shown(median)} ({shown(low)} – {shown(high)})"


class Project:
    """A folder with a configuration, a live table and the command."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        (self.folder / ".cfg.toml").write_text(CONFIG)
        db = sqlite3.connect(self.folder / "bench.db")
        db.execute("CREATE TABLE items (id TEXT PRIMARY KEY, doc TEXT NOT NULL)")
        db.commit()
        db.close()
        self.run("init")

    def run(self, *words):
        """Runs the command; returns (seconds, peak memory in KiB)."""
        started = time.perf_counter()
        process = subprocess.Popen(
            [str(CFG), *words], cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, env={**os.environ, "CFG_AUTHOR": "bench@example.com"})
        complaint = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        if os.waitstatus_to_exitcode(status) != 0:
            raise SystemExit(f"cfg {' '.join(words)}: {complaint.decode()}")
        return seconds, usage.ru_maxrss


def history(path, records, versions):
    """Versions an hour apart; a document of half a kilobyte."""
    prompt = "Plan the work before you start it, and keep the plan up to date. " * 6
    with open(path, "w") as out:
        for version in range(versions):
            when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(1_600_000_000 + version * 3600))
            for record in range(records):
                doc = {"model": "large", "version": version, "n": record, "instructions": prompt}
                out.write(json.dumps({"id": f"r{record:05}", "time": when, "doc": doc}) + "\n")


def copies(path, times):
    """The corpus several times over, each time with ids of its own."""
    import gzip
    with gzip.open(CORPUS, "rt") as lines, open(path, "w") as out:
        for line in lines:
            entry = json.loads(line)
            for n in range(times):
                out.write(json.dumps({**entry, "id": f"{entry['id']}-{n}"}, ensure_ascii=False) + "\n")


def memory():
    rows = []
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as many:
        peaks = {}
        for folder, versions in ((one, 1), (many, 100)):
            project = Project(folder)
            history(f"{folder}/history.jsonl", 1000, versions)
            project.run("import", "--seed-live", "--history", "history.jsonl", "--quiet")
            peaks[versions] = (
                project.run("status", "--json")[1],
                project.run("log", "--as-of", "2021-01-01", "--with-doc", "--json")[1])
        for n, name in enumerate(("status", "log --as-of --with-doc")):
            rows.append((f"`cfg {name}`, 1,000 records at 100 versions against 1", peaks[100][n], peaks[1][n], 1.2))
    if CORPUS.exists():
        peaks = {}
        for times in (1, 10):
            with tempfile.TemporaryDirectory() as folder:
                project = Project(folder)
                copies(f"{folder}/history.jsonl", times)
                peaks[times] = project.run("import", "--seed-live", "--history", "history.jsonl", "--quiet")[1]
        rows.append(("`cfg import --history`, the corpus ten times over against once", peaks[10], peaks[1], 1.5))
    return rows


def cold_start():
    with tempfile.TemporaryDirectory() as folder:
        project = Project(folder)
        history(f"{folder}/history.jsonl", 20, 3)
        project.run("import", "--seed-live", "--history", "history.jsonl", "--quiet")
        return statistics.median(project.run("status", "--quiet")[0] for _ in range(60))


def fact(file, name, otherwise):
    """The value of `name: value` in a file of /proc."""
    for line in pathlib.Path(file).read_text().splitlines():
        if line.startswith(name):
            return line.split(":", 1)[1].strip()
    return otherwise


def machine(quick):
    """What the figures were measured on, as a table."""
    rustc = subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    memory = int(fact("/proc/meminfo", "MemTotal", "0 kB").split()[0]) / 1024**2
    rows = [("Machine", f"{fact('/proc/cpuinfo', 'model name', 'unknown processor')}, {os.cpu_count()} cores, {memory:.0f} GiB of memory"),
            ("System", f"{platform.system()} {platform.release()}; clients and servers share the machine"), ("Rust", rustc)]
    for store, about in sorted(side_by_side.settings(TARGET).items(), key=lambda item: list(NAMES).index(item[0])):
        about = dict(about)
        version = about.pop("version")
        rows.append((NAMES[store], ", ".join([version, *(f"{name} {value}" for name, value in about.items())])))
    rows += [("cfgit", "0.4.7, Python " + platform.python_version()), ("Run", "**quick: the spread is wide**" if quick else "full")]
    return ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)]


def cfgit():
    """{store: {verb: seconds}} of the incumbent, where it was measured."""
    files = {store: ROOT / ".dev" / f"cfgit-{store}.json" for store in ("postgres", "mongodb")}
    return {store: json.loads(file.read_text()) for store, file in files.items() if file.exists()}


# (what, group, ours, theirs, the most that ours may be times theirs, or None)
RATIOS = [
    ("Commit of one record, 2 KB, every layer", "sqlite commit", "cfg-engine commit", "bare durable update", 3.0),
    ("The same, adapter alone", "sqlite commit, 2 KB", "apply", "bare update", 3.0),
    ("`status` of 10,000 records of 2 KB, against reading and parsing them", "sqlite status of 10000 records of 2 KB",
     "cfg-engine status", "read and parse", 2.0),
    ("System as-of over the corpus with documents, against the bare query", "sqlite corpus", "as-of, cfg-engine log",
     "as-of, bare query with documents", 3.0),
]


# (what, group, ours, theirs, the most that ours may be times theirs)
POSTGRES = [
    ("Commit of one record, 2 KB: one statement against a bare prepared update", "postgres commit, 2 KB", "apply",
     "bare update", 2.6),
    ("The same behind a round trip of 4 ms", "postgres commit behind 4 ms, 2 KB", "apply", "bare update", 1.2),
    ("Eight writers at once, 200 commits", "postgres 8 writers, 2 KB", "apply", "bare updates", 2.5),
]
# What eight writers cost who write a history by hand and compare nothing but the head's number.
BY_HAND = [("by hand, constraint alone", "a head, five columns, the primary key and the exclusion constraint"),
           ("by hand, same tables", "a head, and all columns and indexes that ours has")]
THOUSAND = [("import", "`import --all` of 1,000 records"), ("adopt", "`adopt --all` of 1,000 records"),
            ("apply", "Commit of 1,000 records in one batch, adapter alone")]


def postgres(found):
    """PostgreSQL, and cfgit on the same server."""
    if not any(group.startswith("postgres") for group in found):
        return ["", "## PostgreSQL", "", "Not measured: there was no server."]
    lines = ["", "## PostgreSQL against the bare statements", "",
             "Fsync and `synchronous_commit` on; client and server share the machine.", "",
             "| What | cfg-engine | bare | ratio | at most |", "|---|---|---|---|---|"]
    for what, group, ours, theirs, most in POSTGRES:
        pair = found.get(group, {})
        if ours in pair and theirs in pair:
            ratio = pair[ours][0] / pair[theirs][0]
            verdict = "" if ratio <= most else " **slower than the target**"
            lines.append(f"| {what} | {cell(pair[ours])} | {cell(pair[theirs])} | {ratio:.2f} | {most:g}{verdict} |")
    writers = found.get("postgres 8 writers, 2 KB", {})
    for name, what in BY_HAND:
        if name in writers and "bare updates" in writers:
            ratio = writers[name][0] / writers["bare updates"][0]
            lines.append(f"| The least for eight writers, by hand: {what} | {cell(writers[name])} | "
                         f"{cell(writers['bare updates'])} | {ratio:.2f} | |")
    asof = found.get("postgres as-of over 1,000,000 entries, 0.3 KB", {})
    if not asof:
        lines += ["", "System as-of over 1,000,000 entries: not measured in this run."]
    lines += [] if not asof else ["", "System as-of over 1,000,000 entries (10,000 records, 100 versions each, 0.3 KB), warm:", "",
              "| Question | cfg-engine | bare | ratio | server time of the list |", "|---|---|---|---|---|"]
    for when in ("old", "mid", "now"):
        server = asof.get(f"{when}, server time of the list")
        for ours, theirs in (("as_of_addresses", "bare addresses"), ("as_of", "bare documents")):
            a, b = asof.get(f"{when}, {ours}"), asof.get(f"{when}, {theirs}")
            if a and b and server:
                verdict = "" if server[0] <= 0.020 else " **above 20 ms**"
                if ours == "as_of" and a[0] / b[0] > 1.5:
                    verdict += " **documents above 1.5**"
                lines.append(f"| {when}: {theirs.split()[1]} | {cell(a)} | {cell(b)} | {a[0] / b[0]:.2f} | {shown(server[0])}{verdict} |")
    theirs = cfgit().get("postgres", {})
    if not theirs:
        lines += ["", "cfgit was not measured in this run."]
    lines += ["", "Beside cfgit 0.4.7 (Python) on the same server and the same records of 2 KB:", "",
              "| What | cfg-engine | rate | cfgit | times as fast | target |", "|---|---|---|---|---|---|"]
    one = found.get("postgres commit, 2 KB", {}).get("apply")
    if one:
        other = theirs.get("commit")
        compared = f"{shown(other)} | {other / one[0]:.1f}" if other else "– | –"
        lines.append(f"| Commit of one record (cfgit: with its reads) | {cell(one)} | {1 / one[0]:,.0f}/s | {compared} | |")
    for name, what in THOUSAND:
        ours = found.get("postgres 1,000 records, 2 KB", {}).get(name)
        if ours:
            other = theirs.get(name)
            compared = f"{shown(other)} | {other / ours[0]:.1f}" if other else "– | –"
            verdict = "" if 1000 / ours[0] >= 4000 else " **missed**"
            lines.append(f"| {what} | {cell(ours)} | {1000 / ours[0]:,.0f}/s | {compared} | at least 4,000/s{verdict} |")
    return lines


# (what, group, how many times as long as the bare work it may take, what cfgit calls it)
MONGODB = [
    ("Commit of one record, 2 KB, against the same transaction by hand", "mongodb commit", 1.25, "commit"),
    ("Commit by each of 8 writers", "mongodb commit of 8 writers", 1.25, "commit of 8 writers"),
    ("`status` of 10,000 records of 1 KB, against fetching them raw", "mongodb status", 2.0, ""),
]


def mongodb(found):
    if "mongodb commit" not in found:
        return ["", "MongoDB was absent: its rows are left out."]
    theirs = cfgit().get("mongodb", {})
    other = lambda name: shown(theirs[name]) if name in theirs else "–"
    lines = ["", "## MongoDB 6.0, a replica set of one node, majority and journaled", "",
             *([] if theirs else ["cfgit was not measured in this run.", ""]),
             "| What | cfg-engine | bare | ratio | at most | cfgit 0.4.7 |", "|---|---|---|---|---|---|"]
    for what, group, most, name in MONGODB:
        pair = found.get(group, {})
        if "project" in pair and "bare" in pair:
            ratio = pair["project"][0] / pair["bare"][0]
            verdict = "" if ratio <= most else " **slower than the target**"
            lines.append(f"| {what} | {cell(pair['project'])} | {cell(pair['bare'])} | {ratio:.2f} | {most:g}{verdict} | {other(name)} |")
    lines += ["", "| 1,000 records of 2 KB | time | rate | target | cfgit 0.4.7 |", "|---|---|---|---|---|"]
    for verb, what in (("import", "Import"), ("adopt", "Adopt"), ("commit", "Commit in one batch, as a restore does")):
        measured = found.get("mongodb 1,000 records", {}).get(verb)
        if measured:
            rate = 1000 / measured[0]
            verdict = "" if rate >= 3500 else " **missed**"
            lines.append(f"| {what} | {cell(measured)} | {rate:,.0f} records/s | at least 3,500 records/s{verdict} | {other(f'{verb} of 1,000')} |")
    lines += ["", "| As-of over 200,000 entries of 0.5 KB, 10,000 found | cfg-engine | bare | ratio | at most |", "|---|---|---|---|---|"]
    asof = found.get("mongodb as-of", {})
    for when in ("old", "mid", "now"):
        for what in ("addresses", "documents"):
            ours, bare = asof.get(f"cfg {when} {what}"), asof.get(f"bare {when} {what}")
            if ours and bare:
                ratio = ours[0] / bare[0]
                verdict = "" if ratio <= 1.5 else " **slower than the target**"
                lines.append(f"| {when}: {what} | {cell(ours)} | {cell(bare)} | {ratio:.2f} | 1.5{verdict} |")
    return lines


def bindings():
    """What the scripts of the packages wrote down."""
    lines = []
    for file, language in (("python", "Python"), ("beside-cfgit", "Python"), ("node", "Node")):
        file = TARGET / "measured" / f"{file}.json"
        for what, value, target, met in json.loads(file.read_text()) if file.exists() else []:
            lines.append(f"| {language} | {what} | {value} | {target}{'' if met else ' **missed**'} |")
    if not lines:
        return ["", "## From Python and Node", "", "Not measured in this run."]
    return ["", "## From Python and Node", "", "| From | What | | target |", "|---|---|---|---|", *lines]


def report(quick):
    found = criterion()
    lines = ["# Performance", "",
             "Written by `benches/run`; do not edit. Each ratio compares with the bare statements that do the same work on the",
             "same file, in the same run. The ratio is the promise; times are this machine's.", "",
             *machine(quick), "",
             "First the stores side by side, then how they grow, then each layer by itself. Medians; in parentheses their quartiles, or the",
             "95 % interval of the median where one layer is measured by itself. What misses its target is bold.",
             *side_by_side.stores(TARGET, cfgit()), *side_by_side.growth(TARGET, ROOT / "docs" / "performance"), "",
             "## Canonical form and oid", "",
             "| Document | sha256 alone | cfg-engine | serde_jcs + sha2 | MB/s | times serde_jcs |", "|---|---|---|---|---|---|"]
    oid = found.get("oid", {})
    for size in ("2 KB", "32 KB", "1 MB"):
        ours, theirs, bare = (oid.get(f"{name} {size}") for name in ("cfg-engine", "serde_jcs + sha2", "sha256 only"))
        if ours and theirs and bare:
            volume = ours[3]["Bytes"] / ours[0] / 1e6
            lines.append(f"| {size} | {shown(bare[0])} | {cell(ours)} | {cell(theirs)} | {volume:.0f} | {theirs[0] / ours[0]:.1f} |")
    lines += ["", "Target at 32 KB: at least 400 MB/s and 3.5 times serde_jcs.", "",
              "## SQLite against the bare statements", "", "| What | cfg-engine | bare | ratio | at most |", "|---|---|---|---|---|"]
    for what, group, ours, theirs, most in RATIOS:
        pair = found.get(group, {})
        if ours in pair and theirs in pair:
            ratio = pair[ours][0] / pair[theirs][0]
            verdict = "" if ratio <= most else " **slower than the target**"
            lines.append(f"| {what} | {cell(pair[ours])} | {cell(pair[theirs])} | {ratio:.2f} | {most:g}{verdict} |")
    lines += ["", "## Throughput", "", "| What | time | rate | target |", "|---|---|---|---|"]
    batch = found.get("sqlite batch of 1000", {}).get("cfg-engine commit of 1000 records")
    if batch:
        rate = 1000 / batch[0]
        verdict = "" if rate >= 10_000 else " **missed**"
        lines.append(f"| Commit of 1,000 records of 2 KB in one batch | {cell(batch)} | {rate:,.0f} records/s | at least 10,000 records/s{verdict} |")
    apply = found.get("sqlite batch of 1,000, 2 KB", {}).get("apply")
    if apply:
        lines.append(f"| The same, adapter alone | {cell(apply)} | {1000 / apply[0]:,.0f} records/s | |")
    load = found.get("sqlite corpus", {}).get("load")
    if load:
        lines.append(f"| Load the corpus: 10,486 changes of 997 records, live seeded | {cell(load)} | {10_486 / load[0]:,.0f} entries/s | at most 10 s |")
    start = cold_start()
    lines += [f"| Cold start of `cfg status`, 20 records: process start to exit | {shown(start)} | | at most 10 ms{'' if start <= 0.010 else ' **missed**'} |", "",
              "## As-of over 200,000 entries of 0.5 KB", "", "| Question | cfg-engine | bare | ratio |", "|---|---|---|---|"]
    asof = found.get("sqlite as-of over 200,000 entries, 0.5 KB", {})
    for when in sorted({name.split(",")[0] for name in asof}):
        for ours, theirs in (("as_of_addresses", "bare addresses"), ("as_of", "bare documents")):
            a, b = asof.get(f"{when}, {ours}"), asof.get(f"{when}, {theirs}")
            if a and b:
                lines.append(f"| {when}: {theirs.split()[1]} | {cell(a)} | {cell(b)} | {a[0] / b[0]:.2f} |")
    lines += postgres(found)
    lines += mongodb(found)
    lines += bindings()
    lines += ["", "## Peak memory of the command", "", "| What | more | less | ratio | at most |", "|---|---|---|---|---|"]
    for what, more, less, most in memory():
        verdict = "" if more / less <= most else " **missed**"
        lines.append(f"| {what} | {more / 1024:.1f} MiB | {less / 1024:.1f} MiB | {more / less:.2f} | {most}{verdict} |")
    if not CORPUS.exists():
        lines += ["", "The corpus was absent: its rows are left out."]
    (ROOT / "docs" / "performance.md").write_text("\n".join(lines) + "\n")


report("--quick" in sys.argv[1:])
