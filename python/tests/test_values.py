"""What goes in comes out as itself, in stores and in text; what no document can hold is refused with its place."""

from __future__ import annotations

import collections
import datetime as dt
import decimal
import enum
import os
import pickle
import re
import subprocess
import sys
import types as pytypes
import uuid
from pathlib import Path
from typing import Any

import pytest
from conftest import World

import cfg_engine as cfg
from cfg_engine import InvalidValueError, types

bson = pytest.importorskip("bson")

UTC = dt.timezone.utc
MEMORY = """
[[collection]]
name = "things"
id_field = "id"
[env.dev]
database = "memory"
"""


@pytest.fixture
def memory(tmp_path: Path) -> cfg.Project:
    """The memory store holds every type as it is."""
    (tmp_path / ".cfg.toml").write_text(MEMORY)
    project = cfg.open(tmp_path, author="a@example.com")
    project.init()
    return project


THEMSELVES = [
    "text",
    "",
    "ünï \U0001f600 \x00",
    True,
    None,
    0,
    -1,
    2**63 - 1,
    -(2**63),
    2**63,
    10**40,
    -(10**40),
    0.1,
    -0.0,
    1e308,
    5e-324,
    decimal.Decimal("1.10"),
    decimal.Decimal("0.1"),
    decimal.Decimal("5"),
    decimal.Decimal("1E+400"),
    decimal.Decimal("-0.00"),
    uuid.UUID("12345678-1234-5678-1234-567812345678"),
    b"\x00\xff",
    b"",
    dt.datetime(2026, 6, 7, 12, 30, 1, 999000, tzinfo=UTC),
    dt.datetime(1, 1, 1, tzinfo=UTC),
    dt.datetime(9999, 12, 31, 23, 59, 59, 999000, tzinfo=UTC),
    dt.datetime(1969, 12, 31, 23, 59, 59, 1000, tzinfo=UTC),
    [1, [2, [3, {}]], []],
    {"a": {"b": {"": 1, "$x": 2, "a.b": 3}}},
    {"$oid": "not one", "$date": 1},
    bson.ObjectId("5f0000000000000000000001"),
    bson.Int64(7),
    bson.Decimal128("1.10"),
    bson.Decimal128("1E+3"),
    bson.Binary(b"abc", 128),
    bson.Timestamp(1, 2),
    bson.Regex("a+", "im"),
    bson.Code("f()"),
    bson.Code("f()", {"a": 1}),
    bson.MinKey(),
    bson.MaxKey(),
    bson.DatetimeMS(-(10**15)),
    types.StoreValue("pg:interval", "P1D"),
    types.Symbol("s"),
    types.Undefined(),
    types.DbPointer("db.c", b"123456789012"),
]


@pytest.mark.parametrize("value", THEMSELVES, ids=repr)
def test_it_is_itself_again(value: Any, memory: cfg.Project) -> None:
    memory.commit("it", {"v": value, "also": [value]}, message="in")
    for found in (memory.get("it"), memory.show("it").doc, memory.log("it", with_doc=True)[0].doc):
        assert type(found["v"]) is type(value)
        assert found["v"] == value
        assert found["also"] == [value]
        if isinstance(value, float):
            assert str(found["v"]) == str(value)
    assert memory.status().clean


@pytest.mark.parametrize("value", THEMSELVES, ids=repr)
def test_text_keeps_it(value: Any) -> None:
    again = cfg.loads(cfg.dumps({"v": value}))["v"]
    if isinstance(value, decimal.Decimal):
        # JSON has one kind of number: a decimal that a float holds exactly comes back as one.
        assert decimal.Decimal(str(again)) == value
    else:
        assert again == value and type(again) is type(value)


class Color(str, enum.Enum):
    RED = "red"


class Text(str):
    pass


class Whole(enum.IntEnum):
    ONE = 1


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        ((1, 2), [1, 2]),
        (collections.OrderedDict(a=1), {"a": 1}),
        (collections.ChainMap({"a": 1}), {"a": 1}),
        (pytypes.MappingProxyType({"a": 1}), {"a": 1}),
        (bson.SON([("b", 1), ("a", 2)]), {"b": 1, "a": 2}),
        (Color.RED, "red"),
        (Whole.ONE, 1),
        (Text("x"), "x"),
        (bytearray(b"x"), b"x"),
        (memoryview(b"x"), b"x"),
        (re.compile("a", re.I | re.S), bson.Regex("a", "isu")),
        (bson.DBRef("c", 1), {"$ref": "c", "$id": 1}),
        (dt.datetime(2026, 1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=1))), dt.datetime(2026, 1, 1, tzinfo=UTC)),
        (dt.datetime(2026, 1, 1, 0, 0, 0, 1999, tzinfo=UTC), dt.datetime(2026, 1, 1, 0, 0, 0, 1000, tzinfo=UTC)),
        (types.ObjectId("5f" * 12), bson.ObjectId("5f" * 12)),
        (types.Decimal128("1.10"), bson.Decimal128("1.10")),
        (uuid.UUID(int=5), uuid.UUID(int=5)),
    ],
    ids=repr,
)
def test_what_stands_for_something_else(value: Any, plain: Any) -> None:
    assert cfg.loads(cfg.dumps({"v": value}))["v"] == plain


def test_key_order_is_kept() -> None:
    keys = [f"k{n * 7919 % 1000}" for n in range(1000)]
    assert list(cfg.loads(cfg.dumps(dict.fromkeys(keys, 1)))) == keys


class Odd:
    pass


LOOP: list[Any] = []
LOOP.append(LOOP)


@pytest.mark.parametrize(
    ("value", "code", "words"),
    [
        ({1, 2}, "unsupported_type", "set"),
        (Odd(), "unsupported_type", "Odd"),
        (1j, "unsupported_type", "complex"),
        ({1: 2}, "unsupported_key", "int"),
        ({None: 2}, "unsupported_key", "None"),
        ("\ud800", "lone_surrogate", "surrogate"),
        ({"\ud800": 1}, "lone_surrogate", "surrogate"),
        (dt.datetime(2026, 1, 1), "bad_value", "zone"),
        (dt.date(2026, 1, 1), "bad_value", "date"),
        (LOOP, "too_deep", "contains itself"),
    ],
    ids=lambda v: "" if isinstance(v, list) else repr(v)[:30],
)
def test_what_no_document_holds_is_refused_with_its_place(
    value: Any, code: str, words: str, memory: cfg.Project
) -> None:
    with pytest.raises(InvalidValueError) as caught:
        memory.commit("it", {"a": [0, {"b": value}]}, message="in")
    error = caught.value
    assert error.code == code
    assert words in error.message
    assert error.message.startswith("at a[1].b")
    assert error.hint
    assert isinstance(error, TypeError)
    with pytest.raises(cfg.NotFoundError):
        memory.get("it")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), decimal.Decimal("NaN"), bson.Decimal128("NaN")])
def test_no_number(value: Any, memory: cfg.Project) -> None:
    with pytest.raises(cfg.CfgError) as caught:
        memory.commit("it", {"a": {"b": value}}, message="in")
    assert "a.b" in caught.value.message


def test_the_value_is_never_in_the_message(memory: cfg.Project) -> None:
    for value in ({"hunter2"}, dt.datetime(2026, 1, 1), "hunter2\ud800"):
        with pytest.raises(InvalidValueError) as caught:
            memory.commit("it", {"password": value}, message="in")
        assert "hunter2" not in str(caught.value) + repr(caught.value)


def test_ids_of_their_own_type(memory: cfg.Project) -> None:
    for id in (7, "seven", uuid.UUID(int=1), bson.ObjectId("5f" * 12), "a b:c@x"):
        memory.commit(id, {"is": repr(id)}, message="made")
        found = memory.get(id)
        assert found["is"] == repr(id)
        assert found.config_id == id and type(found.config_id) is type(id)
    assert len(memory.status()) == 5
    # A number and its digits are two records; in a collection of texts the text is meant by digits alone.
    memory.commit('"7"', {"is": "text"}, message="made")
    assert memory.get('"7"').config_id == "7" and memory.get(7)["is"] == "7"


def test_without_bson_stand_ins_do(tmp_path: Path) -> None:
    script = """
import sys
sys.modules["bson"] = None
import cfg_engine as cfg
from cfg_engine import types
text = ('{"o": {"$oid": "5f0000000000000000000001"}, "l": {"$numberLong": "7"}, "d": {"$numberDecimal": "1.10"}, '
        '"b": {"$binary": {"base64": "eA==", "subType": "80"}}, "r": {"$regularExpression": {"pattern": "a", "options": "i"}}, '
        '"t": {"$timestamp": {"t": 1, "i": 2}}, "m": {"$minKey": 1}, "c": {"$code": "f"}, '
        '"x": {"$date": {"$numberLong": "-100000000000000000"}}}')
found = cfg.loads(text)
assert found["o"] == types.ObjectId("5f0000000000000000000001"), found
assert found["d"] == types.Decimal128("1.10") and found["l"] == 7
assert found["b"] == types.Binary(b"x", 128) and found["b"] != b"x"
assert found["r"] == types.Regex("a", "i") and found["t"] == types.Timestamp(1, 2)
assert int(found["x"]) == -100000000000000000
assert cfg.loads(cfg.dumps(found)) == found
import copy, pickle
assert pickle.loads(pickle.dumps(found)) == found and copy.deepcopy(found) == found
assert len({v: 1 for k, v in found.items()}) == 9
"""
    subprocess.run([sys.executable, "-c", script], check=True, cwd=tmp_path, env=os.environ)


def test_errors_travel_between_processes(project: cfg.Project) -> None:
    with pytest.raises(cfg.NotFoundError) as caught:
        project.get("nobody")
    again = pickle.loads(pickle.dumps(caught.value))
    assert type(again) is cfg.NotFoundError
    assert str(again) == str(caught.value) and again.__dict__ == caught.value.__dict__


def test_numpy_and_pandas_scalars() -> None:
    numpy = pytest.importorskip("numpy")
    pandas = pytest.importorskip("pandas")
    value = {"i": numpy.int64(7), "f": numpy.float64(0.5), "b": numpy.bool_(True), "a": numpy.array([1, 2])}
    assert cfg.loads(cfg.dumps(value)) == {"i": 7, "f": 0.5, "b": True, "a": [1, 2]}
    when = pandas.Timestamp("2026-01-01T00:00:00Z")
    assert cfg.loads(cfg.dumps({"t": when}))["t"] == when.to_pydatetime()
    with pytest.raises(InvalidValueError):
        cfg.dumps({"t": pandas.NaT})


def test_a_json_column_takes_what_json_has(world: World, project: cfg.Project) -> None:
    doc = {"big": 10**30, "exact": decimal.Decimal("1.234567890123456789012"), "n": 1}
    project.commit("it", doc, message="in")
    assert project.get("it") == doc
    with pytest.raises(cfg.CfgError) as caught:
        project.commit("it", {"n": 1, "at": dt.datetime.now(UTC)}, message="in", allow_removal=True)
    assert "at" in caught.value.message
