"""Threads, processes, forks, kills and signals: nothing is lost, and nothing is half made."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import random
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import World

import cfg_engine as cfg
from cfg_engine import aio

NIGHTLY = bool(os.environ.get("CFG_TEST_NIGHTLY"))

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def script(world: World, body: str, *args: str) -> subprocess.Popen[str]:
    """Start a script of its own beside the test."""
    head = """
        import os, random, signal, sys, threading, time
        import cfg_engine as cfg
        project = cfg.open(sys.argv[1], author="a@example.com")
        def insist(call):
            while True:
                try:
                    return call()
                except cfg.ConflictError:
                    time.sleep(random.random() / 50)
    """
    text = textwrap.dedent(head) + textwrap.dedent(body)
    command = [sys.executable, "-c", text, str(world.folder), *args]
    pipe = subprocess.PIPE
    # Not in the checkout, whose sources without the native half would be found first.
    return subprocess.Popen(command, cwd=world.folder, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True)


def ended(process: subprocess.Popen[str], within: float = 240) -> str:
    out, errors = process.communicate(timeout=within)
    assert process.returncode == 0, errors
    return out


def sound(project: cfg.Project) -> None:
    assert project.status().clean
    report = project.fsck()
    assert report.ok, report.findings


def test_100_threads_and_8_processes_lose_nothing(world: World, project: cfg.Project) -> None:
    project.commit("shared", {"list": []}, message="begin")
    body = """
        me = sys.argv[2]
        failed = []
        def work(n):
            try:
                mine = f"{me}-{n}"
                insist(lambda: project.commit(mine, {"n": 1}, message="mine"))
                with_base = insist(lambda: project.get(mine))
                with_base["n"] = 2
                insist(lambda: with_base.commit(message="again"))
                if n % 4 == 0:
                    insist(lambda: project.set("shared", f"list+={mine}", message=mine))
            except BaseException as error:
                failed.append(repr(error))
        threads = [threading.Thread(target=work, args=(n,)) for n in range(100)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        assert not failed, failed[:3]
    """
    for process in [script(world, body, f"p{n}") for n in range(8)]:
        ended(process)
    names = [f"p{p}-{t}" for p in range(8) for t in range(100)]
    rows = {row.config_id: row for row in project.status(all=True)}
    assert all(rows[name].head_seq == 2 for name in names)
    added = [f"p{p}-{t}" for p in range(8) for t in range(0, 100, 4)]
    assert sorted(world.live("shared")["list"]) == sorted(added)
    messages = [entry.message for entry in project.history("shared")]
    assert sorted(messages) == sorted([*added, "begin"]), "each acknowledged change has its version, once"
    sound(project)


def test_the_program_s_own_sqlite3_does_no_harm_and_takes_none(world: World, project: cfg.Project) -> None:
    """Another copy of SQLite in the process opens and closes the same file all the time."""
    world.sql("CREATE TABLE notes (n INTEGER)")
    stop = threading.Event()
    noted: list[int] = []

    def application() -> None:
        while not stop.is_set():
            world.sql("INSERT INTO notes VALUES (1)")
            noted.append(1)
            assert world.live("planner") is not None

    beside = [threading.Thread(target=application) for _ in range(2)]
    for thread in beside:
        thread.start()
    done = 0
    try:
        for n in range(30):
            try:
                project.set("planner", f"n:={n + 10}", message=f"{n}")
                done += 1
            except cfg.ConflictError as busy:
                assert busy.code == "busy"
            if n % 10 == 0:
                project.close()
    finally:
        stop.set()
        for thread in beside:
            thread.join()
    assert done > 0 and len(project.log("planner")) == done + 1
    assert world.sql("SELECT count(*) FROM notes") == [(len(noted),)]
    assert world.sql("PRAGMA integrity_check") == [("ok",)]
    sound(project)


def in_child(work: Any) -> None:
    """Run it in a fork of this very process."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException as error:
            sys.stderr.write(f"{error!r}\n")
        finally:
            os._exit(code)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            assert os.waitstatus_to_exitcode(status) == 0
            return
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    raise AssertionError("the child hangs")


def test_a_fork_after_use_works_in_the_child(world: World, project: cfg.Project) -> None:
    planner = project.get("planner")

    def child() -> None:
        planner["n"] = 2
        planner.commit(message="in the child")
        assert [entry.message for entry in project.log("planner")][0] == "in the child"
        in_child(lambda: project.set("planner", "n:=3", message="in the child's child"))

    in_child(child)
    assert world.live("planner")["n"] == 3
    with pytest.raises(cfg.ConflictError):
        planner["n"] = 9
        planner.commit(message="the child was faster")
    project.set("planner", "n:=4", message="in the parent")
    sound(project)


def test_a_fork_beside_commits_of_other_threads(world: World, project: cfg.Project) -> None:
    stop = threading.Event()
    done: list[int] = []

    def work(name: str) -> None:
        n = 0
        while not stop.is_set():
            n += 1
            try:
                project.commit(name, {"n": n}, message="beside")
                done.append(1)
            except cfg.ConflictError:
                pass

    threads = [threading.Thread(target=work, args=(f"t{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    try:
        for n in range(10):
            in_child(lambda n=n: retried(lambda: project.commit(f"child{n}", {"n": n}, message="child")))
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert [world.live(f"child{n}") for n in range(10)] == [{"n": n} for n in range(10)]
    written = sum(1 for entry in project.history() if entry.message == "beside")
    assert written == len(done)
    sound(project)


def retried(call: Any) -> Any:
    while True:
        try:
            return call()
        except cfg.ConflictError:
            time.sleep(0.005)


def pool_job(project: cfg.Project, n: int) -> int:
    retried(lambda: project.commit(f"job{n}", {"n": n}, message="in a pool"))
    return n


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_pools(method: str, world: World, project: cfg.Project) -> None:
    context = multiprocessing.get_context(method)
    with context.Pool(4) as pool:
        assert pool.starmap(pool_job, [(project, n) for n in range(20)]) == list(range(20))
    assert len(project.status()) == 21
    sound(project)


def test_memory_survives_a_fork(tmp_path: Path) -> None:
    (tmp_path / ".cfg.toml").write_text('[[collection]]\nname = "a"\nid_field = "id"\n[env.dev]\ndatabase = "memory"\n')
    project = cfg.open(tmp_path, author="a@example.com")
    project.init()
    project.commit("it", {"n": 1}, message="before")

    def child() -> None:
        assert project.get("it")["n"] == 1
        project.set("it", "n:=2", message="mine alone")
        assert project.get("it")["n"] == 2

    in_child(child)
    assert project.get("it")["n"] == 1


def test_a_killed_batch_is_all_or_nothing(world: World, project: cfg.Project) -> None:
    size = 40
    names = [f"r{n}" for n in range(size)]
    project.commit_all({name: {"n": 0} for name in names}, message="begin")
    body = """
        n = int(sys.argv[2])
        print("go", flush=True)
        while True:
            n += 1
            with project.batch(message=str(n)) as batch:
                for r in range(40):
                    batch.set(f"r{r}", f"n:={n}")
            print(n, flush=True)
    """
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    n = 0
    for _ in range(40 if NIGHTLY else 8):
        process = script(world, body, str(n))
        assert process.stdout is not None
        assert process.stdout.readline() == "go\n"
        time.sleep(chance.random() / 5)
        process.kill()
        out, _ = process.communicate()
        acknowledged = [int(line) for line in out.split()]
        docs = {name: world.live(name)["n"] for name in names}
        assert len(set(docs.values())) == 1, "all of it or nothing"
        found = docs["r0"]
        assert found >= (acknowledged[-1] if acknowledged else n), "what was acknowledged is there"
        assert found - (acknowledged[-1] if acknowledged else n) <= 1
        n = found
        versions = {entry.config_id: entry for entry in project.log(with_doc=True, max_count=size)}
        assert {entry.doc["n"] for entry in versions.values() if entry.doc} == {n}
    sound(project)


def test_memory_does_not_grow_with_calls(world: World, project: cfg.Project) -> None:
    body = """
        doc = {"model": "large", "n": 1, "text": "x" * 1000, "list": list(range(50))}
        def resident():
            with open("/proc/self/statm") as file:
                return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        def call(n):
            kind = n % 10
            if kind < 3:
                project.get("planner")
            elif kind == 3:
                project.status("planner")
            elif kind == 4:
                try:
                    project.get("nobody")
                except cfg.NotFoundError:
                    pass
            elif kind == 5:
                try:
                    cfg.dumps({"x": {1}})
                except cfg.InvalidValueError:
                    pass
            elif kind == 6 and n % 1000 == 6:
                project.set("planner", f"n:={n + 5}", message="call")
            elif kind == 6:
                project.set("planner", f"n:={n + 5}", message="call", dry_run=True)
            else:
                cfg.oid(doc)
                cfg.loads(cfg.dumps(doc))
        def calls(first, last):
            for n in range(first, last):
                call(n)
            return resident()
        early = calls(0, 10_000)
        late = calls(10_000, int(sys.argv[2]))
        print(early, late)
        assert late <= early * 1.1, (early, late)
    """
    print(ended(script(world, body, "300000" if NIGHTLY else "100000"), within=500))


def test_ctrl_c_stops_the_waiting_and_not_the_change(world: World, project: cfg.Project) -> None:
    body = """
        print("ready", flush=True)
        try:
            project.set("planner", "n:=2", message="slow")
        except KeyboardInterrupt:
            print("interrupted", flush=True)
        for _ in range(200):
            if project.get("planner")["n"] == 2:
                break
            time.sleep(0.05)
        print(project.get("planner")["n"], len(project.log("planner")), flush=True)
    """
    lock = sqlite3.connect(world.file, isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    process = script(world, body)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.5)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "interrupted\n"
    assert time.monotonic() - began < 2
    lock.execute("COMMIT")
    lock.close()
    out = ended(process)
    assert out.split() == ["2", "2"]
    sound(project)


def test_the_interpreter_is_released_while_a_call_waits(world: World, project: cfg.Project) -> None:
    lock = sqlite3.connect(world.file, isolation_level=None, check_same_thread=False)
    lock.execute("BEGIN IMMEDIATE")
    turns = 0

    def count() -> None:
        nonlocal turns
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            turns += 1
            time.sleep(0.001)
        lock.execute("COMMIT")

    other = threading.Thread(target=count)
    other.start()
    project.set("planner", "n:=2", message="waits")
    other.join()
    lock.close()
    assert turns > 50


def test_cancelling_a_task_leaves_nothing_half_made(world: World, project: cfg.Project) -> None:
    async def main() -> None:
        lock = sqlite3.connect(world.file, isolation_level=None)
        async with await aio.open(world.folder, author="a@example.com") as twin:
            doc = await twin.get("planner")
            lock.execute("BEGIN IMMEDIATE")
            doc["n"] = 2
            task = asyncio.create_task(doc.commit(message="cancelled"))
            await asyncio.sleep(0.2)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(twin.set("planner", "n:=3", message="timed out"), 0.2)
            lock.execute("COMMIT")
            lock.close()
            for _ in range(200):
                if len(await twin.log("planner")) >= 2:
                    break
                await asyncio.sleep(0.05)
            await asyncio.sleep(0.5)

    asyncio.run(main())
    assert world.live("planner")["n"] in (2, 3)
    sound(project)


def test_the_awaiting_twin(world: World, project: cfg.Project) -> None:
    async def main() -> None:
        os.chdir(world.folder)
        twin = await aio.open(".", author="a@example.com")
        doc = await twin.get("planner")
        assert type(doc) is aio.Document and doc.seq == 1
        doc["n"] = 2
        assert (await doc.commit(message="awaited")).seq == 2 and doc.seq == 2
        async with twin.edit("planner", message="block") as doc:
            doc["n"] = 3
        async with twin.batch(message="both") as batch:
            batch.commit("a", {"n": 1})
            batch.commit("b", {"n": 2})
        assert [entry.seq async for entry in twin.history("planner")] == [3, 2, 1]
        assert [entry.config_id async for entry in twin.as_of("2040-01-01")] == ["a", "b", "planner"]
        with pytest.raises(cfg.NotFoundError):
            await twin.get("nobody")
        # Many at once, of one loop.
        results = await asyncio.gather(*(twin.commit(f"c{n}", {"n": n}, message="many") for n in range(50)))
        assert all(change.seq == 1 for change in results)
        told: list[int] = []
        await twin.fsck(progress=lambda done, total: told.append(done))
        await asyncio.sleep(0)
        assert told
        os.environ["CFG_AUTHOR"] = "a@example.com"
        assert (await aio.get("planner")).seq == 3 and (await aio.status()).clean
        assert len((await twin.history().to_pandas())) == 55

    before = os.getcwd()
    try:
        asyncio.run(main())
    finally:
        os.chdir(before)
        os.environ.pop("CFG_AUTHOR", None)
    sound(project)
