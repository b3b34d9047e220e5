"""The stand-in for a pymongo collection: on a real server its results and documents are the server's own."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import World
from test_examples import needs

import cfg_engine as cfg
from cfg_engine.compat.pymongo import Collection, _apply, collection

pymongo = pytest.importorskip("pymongo")
from pymongo import DeleteMany, DeleteOne, InsertOne, ReplaceOne, UpdateMany, UpdateOne  # noqa: E402
from pymongo.errors import DuplicateKeyError, InvalidOperation, WriteError  # noqa: E402


class Table:
    """What the stand-in asks of a collection: its name. Reads are handed on to it."""

    name = "agents"

    def find_one(self, *args: Any) -> str:
        return "read"


@pytest.fixture
def agents(world: World, project: cfg.Project) -> Collection:
    return collection(Table(), project=project, message="a script")


def test_results_are_pymongo_s(agents: Collection, project: cfg.Project, world: World) -> None:
    result = agents.update_one({"id": "planner"}, {"$set": {"model": "small"}, "$inc": {"n": 2}})
    assert (result.matched_count, result.modified_count, result.upserted_id) == (1, 1, None)
    assert world.live("planner") == {"model": "small", "n": 3}
    assert project.log("planner")[0].message == "a script"
    result = agents.update_one({"id": "planner"}, {"$set": {"model": "small"}})
    assert (result.matched_count, result.modified_count) == (1, 0) and len(project.log("planner")) == 2
    result = agents.update_one({"id": "nobody"}, {"$set": {"n": 1}})
    assert (result.matched_count, result.modified_count, result.upserted_id) == (0, 0, None)
    result = agents.update_one({"id": "new"}, {"$set": {"n": 1}, "$setOnInsert": {"made": True}}, upsert=True)
    assert (result.matched_count, result.upserted_id) == (0, "new") and world.live("new")["made"] is True
    result = agents.replace_one({"id": "new"}, {"n": 2})
    assert (result.matched_count, result.modified_count) == (1, 1) and world.live("new")["n"] == 2
    assert "made" not in world.live("new")
    assert agents.insert_one({"id": "third", "n": 3}).inserted_id == "third"
    with pytest.raises(DuplicateKeyError):
        agents.insert_one({"id": "third", "n": 4})
    assert agents.delete_one({"id": "third"}).deleted_count == 1
    assert agents.delete_one({"id": "third"}).deleted_count == 0
    assert agents.find_one({}) == "read"
    assert project.status().clean and project.fsck().ok


def test_a_bulk_write_is_all_or_nothing(agents: Collection, project: cfg.Project, world: World) -> None:
    result = agents.bulk_write(
        [
            UpdateOne({"id": "planner"}, {"$set": {"n": 5}}),
            InsertOne({"id": "a", "n": 1}),
            ReplaceOne({"id": "b"}, {"n": 2}, upsert=True),
            UpdateOne({"id": "nobody"}, {"$set": {"n": 5}}),
        ]
    )
    assert (result.matched_count, result.modified_count, result.inserted_count, result.upserted_count) == (1, 1, 1, 1)
    assert result.upserted_ids == {2: "b"}
    assert len({entry["op_id"] for entry in project.log(max_count=3)}) == 1
    with pytest.raises(DuplicateKeyError):
        agents.bulk_write([UpdateOne({"id": "planner"}, {"$set": {"n": 6}}), InsertOne({"id": "a"})])
    assert world.live("planner")["n"] == 5
    assert agents.bulk_write([DeleteOne({"id": "a"})]).deleted_count == 1
    with pytest.raises(InvalidOperation):
        agents.bulk_write([])


@pytest.mark.parametrize(
    "call",
    [
        lambda c: c.update_many({}, {"$set": {"n": 1}}),
        lambda c: c.insert_many([{"id": "x"}]),
        lambda c: c.delete_many({}),
        lambda c: c.find_one_and_update({"id": "planner"}, {"$set": {"n": 1}}),
        lambda c: c.update_one({"model": "large"}, {"$set": {"n": 1}}),
        lambda c: c.update_one({"id": {"$in": ["planner"]}}, {"$set": {"n": 1}}),
        lambda c: c.update_one({"id": "planner"}, [{"$set": {"n": 1}}]),
        lambda c: c.update_one({"id": "planner"}, {"$bit": {"n": {"and": 1}}}),
        lambda c: c.update_one({"id": "planner"}, {"$set": {"nothing": None}}),
        lambda c: c.update_one({"id": "planner"}, {"$set": {"tools.$": 1}}),
        lambda c: c.update_one({"id": "planner"}, {"$set": {"tools.$[x]": 1}}, array_filters=[{"x": 1}]),
        lambda c: c.update_one({"id": "planner"}, {"$push": {"tools": {"$each": [1], "$slice": 2}}}),
        lambda c: c.update_one({"id": "planner", "n": {"$gt": 0}}, {"$set": {"n": 1}}),
        lambda c: c.update_one({"id": "planner", "$or": []}, {"$set": {"n": 1}}),
        lambda c: c.update_one({"id": "planner"}, {"$set": {"n": 1}}, session=object()),
        lambda c: c.update_one({"id": "planner"}, {"$set": {"n": 1}}, collation={"locale": "de"}),
        lambda c: c.bulk_write([DeleteOne({"id": "planner"}), InsertOne({"id": "x"})]),
        lambda c: c.bulk_write([DeleteMany({})]),
        lambda c: c.bulk_write([UpdateMany({}, {"$set": {"n": 1}})]),
        lambda c: c.bulk_write([UpdateOne({"id": "planner"}, {"$set": {"n": 7}}), UpdateOne({"id": "planner"}, {"$set": {"m": 7}})]),
    ],
)
def test_what_cannot_be_done_faithfully_is_refused(
    call: Callable[[Collection], Any], agents: Collection, project: cfg.Project, world: World
) -> None:
    with pytest.raises(cfg.RefusedError) as caught:
        call(agents)
    assert caught.value.hint
    assert world.live("planner") == {"model": "large", "n": 1} and len(project.log()) == 1


def test_somebody_beside(agents: Collection, project: cfg.Project, world: World) -> None:
    """An increment is done on what is there when it is written, as the server does it."""
    find, beside = agents._find, [3, 2, 1]

    def slow(filter: Any) -> Any:
        found = find(filter)
        if beside:
            project.set("planner", f"n:={beside.pop() * 100}", message="beside")
        return found

    agents._find = slow  # type: ignore[method-assign]
    assert agents.update_one({"id": "planner"}, {"$inc": {"n": 1}}).modified_count == 1
    assert world.live("planner")["n"] == 301
    world.sql("""UPDATE agents SET doc = '{"n": 9}' WHERE id = 'planner'""")
    with pytest.raises(cfg.DriftError):
        agents.update_one({"id": "planner"}, {"$inc": {"n": 1}})


def test_a_collection_that_is_not_configured(project: cfg.Project) -> None:
    other = Table()
    other.name = "others"
    with pytest.raises(cfg.RefusedError):
        collection(other, project=project)


UPDATES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"n": 1}, {"$set": {"n": 2, "a.b.c": 1}}),
    ({"a": {"b": 1, "c": 2}}, {"$unset": {"a.b": "", "x.y": ""}}),
    ({"a": [1, {"b": 2}]}, {"$set": {"a.1.b": 3, "a.2": 4}}),
    ({"a": [1, 2, 3]}, {"$unset": {"a.1": ""}}),
    ({"n": 1, "f": 0.5}, {"$inc": {"n": 2, "f": 1, "new": 3}, "$mul": {"m": 5}}),
    ({"n": 5}, {"$mul": {"n": 3}}),
    ({"n": 5, "m": 5}, {"$min": {"n": 3, "new": 1}, "$max": {"m": 3}}),
    ({"t": ["a"]}, {"$push": {"t": "b", "new": 1}}),
    ({"t": ["a"]}, {"$push": {"t": {"$each": ["b", "a"]}}}),
    ({"t": ["a", 1, {"x": 1}]}, {"$addToSet": {"t": {"$each": ["a", "b", 1.0, {"x": 1}, {"x": 2}]}}}),
    ({"t": ["a", "b", "a"]}, {"$pull": {"t": "a"}}),
    ({"t": [{"x": 1, "y": 2}, {"x": 2}]}, {"$pull": {"t": {"x": 1}}}),
    ({"t": [1, 2, 3]}, {"$pull": {"t": {"$in": [1, 3]}}}),
    ({"t": [1, 2, 3], "u": [1, 2]}, {"$pop": {"t": 1, "u": -1, "new": 1}}),
    ({"a": 1, "b": {"c": 2}}, {"$rename": {"a": "b.d", "nothing": "x"}}),
    ({"a": 1, "d": 2}, {"$set": {"d": None}, "$setOnInsert": {"x": 1}}),
    ({"a": True}, {"$set": {"a": 1}}),
    ({"a": 1}, {"$set": {"a": 1.0}}),
    ({"a": 1}, {"$set": {"b": {"z": 1, "y": 2}}}),
]
WRONG: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"a": "text"}, {"$inc": {"a": 1}}),
    ({"a": 1}, {"$push": {"a": 1}}),
    ({"a": 1}, {"$set": {"a.b": 1}}),
    ({"a": 1}, {"$set": {"a": 1}, "$inc": {"a": 1}}),
    ({"a": {}}, {"$set": {"a": 1, "a.b": 1}}),
    ({"a": 1}, {"$set": {"_id": "other"}}),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Collection]]:
    """A raw collection, and a stand-in for one beside it."""
    uri = needs("CFG_TEST_MONGODB_URI", 'eval "$(tests/servers/mongodb up)"')
    client: Any = pymongo.MongoClient(uri)
    name = f"cfg_shim_{uuid.uuid4().hex[:12]}"
    folder: Path = tmp_path_factory.mktemp("shim")
    (folder / ".cfg.toml").write_text(
        '[[collection]]\nname = "ours"\nid_field = "_id"\n'
        f'[env.dev]\ndatabase = "mongodb"\nuri = "env:CFG_TEST_MONGODB_URI"\ndb = "{name}"\n'
    )
    os.environ.setdefault("CFG_TEST_MONGODB_URI", uri)
    client[name].create_collection("ours")
    project = cfg.open(folder, author="a@example.com")
    project.init()
    yield client[name].raw, collection(client[name].ours, project=project, message="shim")
    project.close()
    client.drop_database(name)
    client.close()


@pytest.mark.parametrize(("before", "update"), UPDATES, ids=lambda v: str(v))
def test_an_update_is_the_server_s(
    before: dict[str, Any], update: dict[str, Any], server: tuple[Any, Collection]
) -> None:
    raw, ours = server
    id = uuid.uuid4().hex
    for target in (raw, ours):
        target.insert_one({"_id": id, **before})
    theirs, mine = (target.update_one({"_id": id}, update) for target in (raw, ours))
    assert (mine.matched_count, mine.modified_count) == (theirs.matched_count, theirs.modified_count)
    found, expected = ours.find_one({"_id": id}), raw.find_one({"_id": id})
    assert found == expected and list(found) == list(expected)


@pytest.mark.parametrize(("before", "update"), WRONG, ids=lambda v: str(v))
def test_what_the_server_refuses_is_refused(before: dict[str, Any], update: dict[str, Any]) -> None:
    with pytest.raises(WriteError):
        _apply({"_id": "x", **before}, update, "_id", inserting=False)
