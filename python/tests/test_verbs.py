"""The verbs as Python has them: documents with bases, blocks, iterators, errors, rendering."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from conftest import World

import cfg_engine as cfg


def test_the_functions_work_on_the_project_of_the_folder(here: World) -> None:
    planner = cfg.get("planner")
    assert planner == {"model": "large", "n": 1}
    assert (planner.seq, planner.env, planner.collection, planner.config_id) == (1, "dev", "agents", "planner")
    planner["model"] = "small"
    change = planner.commit(message="cheaper")
    assert (change.seq, change.op, change.author, change.message) == (2, "commit", "a@example.com", "cheaper")
    assert planner.seq == 2 and planner.oid == change.oid
    assert here.live("planner") == {"model": "small", "n": 1}
    assert [entry.ref for entry in cfg.log("planner")] == ["@2", "@1"]
    assert cfg.restore("planner", "@1", message="back").document == {"model": "large", "n": 1}
    assert cfg.status().clean
    assert cfg.whoami()["author"]["id"] == "a@example.com"
    assert cfg.fsck().ok


def test_a_folder_below_is_the_same_project(here: World, monkeypatch: pytest.MonkeyPatch) -> None:
    below = here.folder / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert cfg.get("planner").seq == 1
    # And a file by its name.
    assert cfg.open(here.folder / ".cfg.toml").get("planner").seq == 1


def test_no_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(cfg.RefusedError) as caught:
        cfg.get("planner")
    assert caught.value.code == "no_config_file" and "cfg init" in str(caught.value)


def test_who_was_faster_is_not_overwritten(project: cfg.Project, world: World) -> None:
    mine, yours = project.get("planner"), project.get("planner")
    yours["n"] = 2
    yours.commit(message="yours")
    mine["n"] = 3
    with pytest.raises(cfg.ConflictError) as caught:
        mine.commit(message="mine")
    error = caught.value
    assert (error.status, error.code, error.exit_code) == ("conflict", "stale_base", 2)
    assert (error.config_id, error.collection, error.env) == ("planner", "agents", "dev")
    assert "cfg get planner" in str(error)
    assert world.live("planner")["n"] == 2
    assert mine.seq == 1, "a refused document is still what it was"


def test_what_was_written_around_is_not_overwritten(project: cfg.Project, world: World) -> None:
    world.sql("""UPDATE agents SET doc = '{"model": "huge", "n": 1}' WHERE id = 'planner'""")
    assert [row.state for row in project.status()] == ["dirty"]
    assert project.status().exit_code == 2 and not project.status().clean
    with pytest.raises(cfg.DriftError) as caught:
        project.set("planner", "n=2", message="more")
    assert caught.value.status == "changed_outside_cfg"
    diff = project.diff("planner")
    assert diff and [change["path"] for change in diff.changes] == ["model"]
    report = project.adopt("planner", message="kept")
    assert [change.op for change in report.results] == ["adopt"] and not report.failed
    project.set("planner", "n:=2", message="more")
    assert world.live("planner") == {"model": "huge", "n": 2}


def test_edit_commits_at_the_end_of_the_block(project: cfg.Project, world: World) -> None:
    edit = project.edit("planner", message="why")
    with edit as doc:
        doc["n"] = 2
        assert world.live("planner")["n"] == 1
    assert edit.change is not None and edit.change.seq == 2
    assert doc.seq == 2 and world.live("planner")["n"] == 2
    with pytest.raises(ZeroDivisionError), project.edit("planner", message="why") as doc:
        doc["n"] = 3
        1 / 0  # noqa: B018
    assert project.get("planner").seq == 2
    with project.edit("planner", message="nothing") as doc:
        pass
    assert project.get("planner").seq == 2
    with pytest.raises(cfg.NotFoundError), project.edit("nobody", message="why"):
        raise AssertionError("there is nothing to edit")
    with project.edit("nobody", message="made", create=True) as doc:
        doc["n"] = 1
    assert project.get("nobody").seq == 1


def test_edit_does_not_overwrite_who_was_faster(project: cfg.Project) -> None:
    with pytest.raises(cfg.ConflictError), project.edit("planner", message="slow") as doc:
        project.set("planner", "n:=7", message="fast")
        doc["n"] = 2
    assert project.get("planner")["n"] == 7


def test_a_batch_is_all_or_nothing(project: cfg.Project, world: World) -> None:
    batch = project.batch(message="both")
    with batch as b:
        planner = b.get("planner")
        planner["n"] = 5
        b.commit("planner", planner)
        b.commit("writer", {"model": "small"})
        b.commit("reader", {"a": 1})
        assert len(b) == 3
        assert world.live("writer") is None
    assert batch.report is not None
    written = {change.config_id: change for change in batch.report.results}
    assert len({change["op_id"] for change in written.values()}) == 1
    assert planner.seq == 2 and written["writer"].document == {"model": "small"}
    planner["n"] = 6
    planner.commit(message="goes on")
    with project.batch(message="fields") as b:
        b.set("reader", "a:=2", fields={"b": b"x".hex()})
    assert project.get("reader") == {"a": 2, "b": "78"}
    with pytest.raises(cfg.ConflictError), project.batch(message="stale") as b:
        b.commit("new", {"a": 1})
        b.commit("planner", {"n": 9}, base="@1")
    assert world.live("new") is None
    with pytest.raises(KeyError), project.batch(message="not") as b:
        b.commit("new", {"a": 1})
        raise KeyError
    assert world.live("new") is None and project.get("planner").seq == 3
    with project.batch(message="nothing"):
        pass


def test_a_document_in_a_batch_is_as_it_was_given(project: cfg.Project) -> None:
    doc: dict[str, Any] = {"n": 1, "list": [1]}
    with project.batch(message="each") as b:
        for n in range(3):
            doc["n"] = n
            doc["list"].append(n)
            b.commit(f"r{n}", doc)
    assert [project.get(f"r{n}")["n"] for n in range(3)] == [0, 1, 2]
    assert project.get("r0")["list"] == [1, 0]


def test_commit_all(project: cfg.Project) -> None:
    report = project.commit_all({"a": {"n": 1}, "b": {"n": 2}}, message="two")
    assert [change.seq for change in report.results] == [1, 1]
    documents = project.get_many(["b", "a"])
    assert [doc.config_id for doc in documents] == ["b", "a"]
    for doc in documents:
        doc["n"] += 10
    assert len(project.commit_all(documents, message="more").results) == 2
    assert [doc.seq for doc in documents] == [2, 2]
    with pytest.raises(cfg.NotFoundError):
        project.get_many(["a", "nobody"])


def test_patches_and_fields(project: cfg.Project) -> None:
    project.commit("planner", patch=[{"op": "replace", "path": "/n", "value": 2}], message="patch")
    project.commit("planner", merge_patch={"model": None, "tools": ["a"]}, message="merge")
    assert project.get("planner") == {"n": 2, "tools": ["a"]}
    project.set("planner", "tools+=b", fields={"deep.er": {"x": [1]}, "n": 2**70}, message="fields")
    assert project.get("planner") == {"n": 2**70, "tools": ["a", "b"], "deep": {"er": {"x": [1]}}}
    project.set("planner", "tools", "deep", delete=True, message="gone")
    assert project.get("planner") == {"n": 2**70}
    assert project.log("planner")[0]["meta"]["via"] == "set"
    project.apply_doc("planner", {"n": 3}, message="script")
    assert project.log("planner")[0]["meta"]["via"] == "apply-doc"


def test_secrets_are_masked_and_kept(project: cfg.Project, world: World) -> None:
    world.sql("""UPDATE agents SET doc = '{"model": "large", "n": 1, "token": "hunter2"}' WHERE id = 'planner'""")
    planner = project.get("planner")
    assert planner["token"] == {"$secret": True}
    planner["n"] = 2
    planner.commit(message="the token stays")
    assert world.live("planner")["token"] == "hunter2"
    project.set("planner", secrets={"token": "new"}, message="rotated")
    assert world.live("planner")["token"] == "new"
    everything = cfg.dumps(list(project.history(with_doc=True)))
    assert "hunter2" not in everything and '"new"' not in everything
    with pytest.raises(cfg.RefusedError):
        project.set("planner", secrets={"model": "x"}, message="no secret field")


def test_a_dry_run_is_a_plan(project: cfg.Project) -> None:
    planner = project.get("planner")
    planner["n"] = 2
    plan = planner.commit(message="why", dry_run=True)
    assert len(plan["plan_oid"]) == 64 and plan["changes"][0]["config_id"] == "planner"
    assert planner.seq == 1 and project.get("planner").seq == 1
    for dry in (
        project.restore("planner", "@1", message="why", dry_run=True),
        project.rm("planner", message="why", dry_run=True),
        project.adopt(all=True, message="why", dry_run=True),
        project.import_("planner", message="why", dry_run=True),
    ):
        assert "plan_oid" in dry or "changes" in dry


def test_a_key_happens_once(project: cfg.Project) -> None:
    first = project.set("planner", "n:=2", message="job", idempotency_key="job-1")
    again = project.set("planner", "n:=2", message="job", idempotency_key="job-1")
    assert (first.replayed, again.replayed, again.seq) == (False, True, 2)
    with pytest.raises(cfg.RefusedError) as caught:
        project.commit("planner", {"n": 9}, message="other", idempotency_key="job-1")
    assert caught.value.code == "key_used"


def test_approval_is_asked_for_where_it_is_not_known(project: cfg.Project) -> None:
    with pytest.raises(cfg.CfgError):
        project.set("planner", "n:=2", message="why", approval="apr_1")
    assert project.get("planner").seq == 1


def test_removed_and_made_again(project: cfg.Project, world: World) -> None:
    planner = project.get("planner")
    assert project.rm(planner, message="gone").op == "delete"
    assert world.live("planner") is None
    with pytest.raises(cfg.NotFoundError):
        project.get("planner")
    assert not project.status() and [row.state for row in project.status(all=True)] == ["removed"]
    project.restore("planner", "@1", message="again")
    assert world.live("planner") == {"model": "large", "n": 1}
    with pytest.raises(cfg.ConflictError):
        project.rm(planner, message="a stale read")


def test_unchanged_is_no_version(project: cfg.Project) -> None:
    change = project.get("planner").commit(message="same")
    assert change.unchanged and change.document is None
    assert project.get("planner").seq == 1


def test_mistakes_in_a_call(project: cfg.Project) -> None:
    for wrong in (
        lambda: project.adopt(message="nothing named"),
        lambda: project.import_(message="nothing named"),
        lambda: project.commit(message="nothing"),
        lambda: project.commit("planner", message="nothing staged"),
        lambda: project.commit("planner", {"n": 1}, patch=[], message="two"),
        lambda: project.commit("planner", {"n": 1}, message=""),
        lambda: project.restore("planner", message="where to"),
        lambda: project.show("planner@1", "@1"),
        lambda: project.as_of(),
        lambda: project.log("planner", since="yesterday"),
        lambda: project.log("planner", max_count=-1),
        lambda: project._run("nope", {}),
        lambda: project._run("get", {"id": "planner", "odd": 1}),
    ):
        with pytest.raises(cfg.RefusedError) as caught:
            wrong()
        assert caught.value.hint, caught.value


def test_history_is_lazy_and_whole(project: cfg.Project) -> None:
    for n in range(25):
        project.set("planner", f"n:={n + 10}", message=f"{n}")
    history = project.history("planner")
    history._PAGE = 4
    first = next(history)
    assert first.seq == 26 and len(history._waiting) == 3
    project.set("planner", "n:=99", message="later commits do not disturb it")
    assert [entry.seq for entry in history] == list(range(25, 0, -1))
    # Many entries of one instant, across pages.
    project.commit_all({f"r{n}": {"n": n} for n in range(20)}, message="one instant")
    history = project.history(with_doc=True)
    history._PAGE = 3
    entries = list(history)
    assert len(entries) == 27 + 20 == len({entry.entry_id for entry in entries})
    assert entries == project.log(with_doc=True)
    moments = [entry.recorded_at for entry in entries]
    assert moments == sorted(moments, reverse=True)
    assert len(list(project.history(until=moments[-1]))) == 1
    assert list(project.history(author="nobody")) == []


def test_as_of_is_what_was_live(project: cfg.Project) -> None:
    before = project.log("planner")[0].recorded_at
    project.commit_all({f"r{n:03}": {"n": n} for n in range(10)}, message="more")
    project.set("planner", "n:=2", message="later")
    held = list(project.as_of(before))
    assert [(entry.config_id, entry.doc) for entry in held] == [("planner", {"model": "large", "n": 1})]
    now = project.log("planner")[0].recorded_at
    rows = project.as_of(now)
    rows._PAGE = 3
    found = list(rows)
    assert [entry.config_id for entry in found] == ["planner", *(f"r{n:03}" for n in range(10))]
    assert found[0].doc == {"model": "large", "n": 2} and found[5].doc == {"n": 4}
    bare = list(project.as_of(recorded=now, with_doc=False))
    assert [entry.doc for entry in bare] == [None] * 11
    assert list(project.as_of("2020-01-01")) == [] or project.as_of("2020-01-01")


def test_a_history_is_loaded(project: cfg.Project, tmp_path: Path) -> None:
    lines = [
        {"id": "old", "time": "2024-01-01T00:00:00Z", "doc": {"n": 1}, "author": "b", "message": "one"},
        {"id": "old", "time": "2024-02-01T00:00:00Z", "doc": {"n": 2}},
    ]
    report = project.import_(history=lines, seed_live=True, message="loaded")
    assert (report["loaded"], report["seeded"], report.exit_code) == (2, 1, 0)
    assert [entry.doc for entry in project.as_of("2024-01-15")] [0] is not None
    file = tmp_path / "more.jsonl"
    file.write_text(json.dumps({"id": "older", "time": "2023-01-01T00:00:00Z", "doc": {"n": 1}}) + "\n")
    assert project.import_(history=file, message="loaded")["loaded"] == 1
    with pytest.raises(cfg.RefusedError):
        project.import_("old", history=file, message="both")


def test_export(project: cfg.Project, tmp_path: Path) -> None:
    project.commit("writer", {"n": 2}, message="two")
    assert [doc.config_id for doc in project.documents()] == ["planner", "writer"]
    report = project.export(tmp_path / "out")
    assert report["exported"] == 2
    exported = cfg.loads((tmp_path / "out" / "agents=writer.json").read_text())
    assert exported["$cfg"]["seq"] == 1 and exported["n"] == 2
    with pytest.raises(cfg.RefusedError):
        project.export(tmp_path / "out")


def test_progress_is_told(project: cfg.Project, world: World) -> None:
    for n in range(1200):
        world.insert(f"r{n}", n=n)
    told: list[tuple[int, int | None]] = []
    report = project.import_(all=True, message="all", progress=lambda done, total: told.append((done, total)))
    assert len(report.results) == 1200
    assert (1200, 1200) in told and told == sorted(told, key=lambda step: (step[1] is not None, step[0]))

    def stop(done: int, total: int | None) -> None:
        project.log("planner")  # a callback may call
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        project.fsck(progress=stop)
    assert project.fsck(progress=True).ok


def test_documents_can_be_copied_and_sent(project: cfg.Project) -> None:
    planner = project.get("planner")
    for again in (copy.deepcopy(planner), copy.copy(planner), pickle.loads(pickle.dumps(planner))):
        assert again == planner and again.base == planner.base and type(again) is cfg.Document
        again["n"] = 50
        assert planner["n"] == 1
        assert again.commit(message="from a copy", dry_run=True)["changes"]
    assert pickle.loads(pickle.dumps(project)).get("planner").seq == 1
    alone = cfg.Document({"n": 1})
    with pytest.raises(cfg.RefusedError):
        alone.commit(message="of nothing")
    # A document made by hand has no base, and is committed as any dict.
    assert project.commit("planner", cfg.Document(model="x", n=2), message="whole").seq == 2


def test_notebooks(project: cfg.Project, world: World) -> None:
    world.insert("<script>", model="<b>bold</b>")
    project.import_(all=True, message="<i>why</i>")
    project.set("planner", "n:=2", message="more")
    world.sql("""UPDATE agents SET doc = '{"model": "<u>"}' WHERE id = '<script>'""")
    shown = [
        project.get("<script>"),
        project.log(),
        project.status(),
        project.diff("<script>"),
        project.diff(),
        project.history(),
        project.as_of("2040-01-01"),
        project.show("planner"),
        project.adopt(all=True, message="kept"),
        project.fsck(),
    ]
    for result in shown:
        html = result._repr_html_()
        assert html.startswith("<") and "<script>" not in html and "<b>bold" not in html and "<i>why" not in html


def test_to_pandas(project: cfg.Project) -> None:
    pytest.importorskip("pandas")
    project.set("planner", "n:=2", message="more")
    frame = project.log("planner").to_pandas()
    assert list(frame["seq"]) == [2, 1] and list(frame["author"]) == ["a@example.com"] * 2
    assert str(frame["recorded_at"].dtype).startswith("datetime64") and frame["valid_to"].isna().iloc[0]
    assert list(project.history().to_pandas()["seq"]) == [2, 1]
    assert len(project.as_of("2040-01-01").to_pandas()) == 1
    assert list(project.status().to_pandas()["state"]) == ["clean"]


TWO_ENVS = """
[[collection]]
name = "agents"
table = "agents"
id_field = "id"
[env.dev]
database = "sqlite"
uri = "app.db"
[env.prod]
database = "sqlite"
uri = "prod.db"
needs_approval = true
"""


def test_a_gated_env_is_never_merely_inherited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path, TWO_ENVS)
    (tmp_path / "prod.db").write_bytes(world.file.read_bytes())
    monkeypatch.chdir(tmp_path)
    with pytest.raises(cfg.RefusedError) as caught:
        cfg.status()
    assert caught.value.code == "no_env_chosen"
    monkeypatch.setenv("CFG_ENV", "prod")
    for call in (cfg.status, lambda: cfg.open(tmp_path), lambda: cfg.commit("a", {}, message="m")):
        with pytest.raises(cfg.RefusedError) as caught:
            call()
        assert caught.value.code == "ambient_gated_env", caught.value
    # Said in the call it is meant, and what changes something waits for a human.
    assert cfg.whoami(env="prod")["needs_approval"] is True
    cfg.init(env="prod")
    with pytest.raises(cfg.ApprovalRequired) as needed:
        cfg.commit("a", {"n": 1}, message="m", env="prod")
    assert needed.value.status == "needs_human_ok" and needed.value.approval_id
    approval_id = needed.value.approval_id
    assert [row["approval_id"] for row in cfg.approvals(env="prod")] == [approval_id]
    shown = cfg.approval(approval_id, env="prod")
    assert shown["state"] == "pending" and shown["intact"] and shown["changes"][0]["config_id"] == "a"
    # No argument approves anything; a statement without a signature that counts does not either.
    with pytest.raises(cfg.RefusedError) as refused:
        statement = {"env": "prod", "approval": approval_id, "plan_oid": shown["plan_oid"], "by": "a", "signature": ""}
        cfg.approve(approval_id, statement=statement, env="prod")
    assert refused.value.code == "may_not_approve"
    assert cfg.deny(approval_id, reason="not today", env="prod")["state"] == "denied"
    with pytest.raises(cfg.DeclinedError):
        cfg.commit("a", {"n": 1}, message="m", env="prod", approval=approval_id)
    monkeypatch.setenv("CFG_CONFIRM_AMBIENT_PROD", "1")
    assert cfg.whoami()["env"] == "prod"
    # Another env in the same process, by its name or by the variable.
    assert cfg.whoami(env="dev")["env"] == "dev"
    monkeypatch.setenv("CFG_ENV", "dev")
    assert cfg.whoami()["env"] == "dev"


def test_who_the_author_is(world: World, project: cfg.Project, monkeypatch: pytest.MonkeyPatch) -> None:
    assert world.open().whoami()["author"] == {"id": "a@example.com", "class": "pipeline"}
    agent = cfg.open(world.folder, author="bot", author_class="agent")
    entry = agent.set("planner", "n:=2", message="by an agent")
    assert entry["author"] == {"id": "bot", "class": "agent"}
    assert agent.set("planner", "n:=3", message="for ana", author="ana")["author"] == {"id": "ana", "class": "agent"}
    monkeypatch.setenv("CFG_AUTHOR", "nightly")
    assert cfg.open(world.folder).whoami()["author"]["id"] == "nightly"
    for wrong in ("human", "robot"):
        with pytest.raises(cfg.RefusedError):
            cfg.open(world.folder, author="x", author_class=wrong).whoami()


def test_a_pickle_has_no_credentials(project: cfg.Project, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP_PASSWORD", "hunter2")
    opened = world.open()
    planner = opened.get("planner")
    for kept in (opened, planner):
        assert b"hunter2" not in pickle.dumps(kept)
        assert "hunter2" not in repr(vars(kept))
    assert pickle.loads(pickle.dumps(planner)).commit(message="again").unchanged


def test_nothing_shows_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path, TWO_ENVS.replace('"app.db"', '"env:APP_DB"'))
    monkeypatch.setenv("APP_DB", "postgres://user:hunter2@host/db")
    with pytest.raises(cfg.CfgError) as caught:
        world.open(env="dev")
    assert "hunter2" not in str(caught.value) + repr(caught.value) + repr(cfg.Project.__dict__)
    assert "hunter2" not in repr(cfg.config(tmp_path))
