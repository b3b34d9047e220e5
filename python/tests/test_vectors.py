"""Runs ``tests/vectors``: the bytes are those of Rust, through Python's own values."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest
from conftest import ROOT

import cfg_engine as cfg
from cfg_engine import CfgError, _native

VECTORS = ROOT / "tests" / "vectors"


def cases(name: str) -> list[Any]:
    found: list[Any] = json.loads((VECTORS / name).read_text())["cases"]
    assert found
    return found


@pytest.mark.parametrize("case", cases("canonical.json"), ids=lambda case: case["name"])
def test_canonical(case: dict[str, Any]) -> None:
    policy = case.get("policy", {})

    def run() -> tuple[str, str]:
        value = cfg.loads(case["input"], plain=case["mode"] == "json")
        return cfg.canonical(value, **policy).decode(), cfg.oid(value, **policy)

    if "refused" in case:
        with pytest.raises(CfgError) as caught:
            run()
        if case.get("path"):
            assert case["path"] in caught.value.message
    else:
        assert run() == (case["canonical"], case["oid"])


def number(case: dict[str, Any]) -> Any:
    text = case["text"]
    wrappers = {
        "int32": "$numberInt",
        "int64": "$numberLong",
        "double": "$numberDouble",
        "decimal128": "$numberDecimal",
    }
    if case["width"] == "json":
        return cfg.loads(text, plain=True)
    if case["width"] == "double_bits":
        return struct.unpack(">d", bytes.fromhex(text))[0]
    return cfg.loads(json.dumps({wrappers[case["width"]]: text}))


@pytest.mark.parametrize("case", cases("numbers.json"), ids=lambda case: f"{case['width']} {case['text'][:40]}")
def test_numbers(case: dict[str, Any]) -> None:
    if "refused" in case:
        with pytest.raises(CfgError):
            cfg.canonical(number(case))
    else:
        assert cfg.canonical(number(case)).decode() == case["canonical"]


@pytest.mark.parametrize("case", cases("interchange.json"), ids=lambda case: case["name"])
def test_interchange(case: dict[str, Any]) -> None:
    if "refused" in case:
        with pytest.raises(CfgError):
            cfg.loads(case["input"], plain=case["mode"] == "json")
        return
    value = cfg.loads(case["input"], plain=case["mode"] == "json")
    # Python has one kind of int and of float, so widths may go; the content may not.
    for dialect in ("interchange", "relaxed"):
        assert cfg.dumps(value, dialect=dialect) == cfg.dumps(cfg.loads(case[dialect]), dialect=dialect)
    assert cfg.dumps(cfg.loads(cfg.dumps(value))) == cfg.dumps(value)


@pytest.mark.parametrize("case", cases("json_syntax.json"), ids=lambda case: repr(case["text"][:40]))
def test_json_syntax(case: dict[str, Any]) -> None:
    if case.get("accept"):
        cfg.loads(case["text"], plain=True)
    else:
        with pytest.raises(CfgError):
            cfg.loads(case["text"], plain=True)


@pytest.mark.parametrize("case", cases("times.json"), ids=lambda case: case["text"])
def test_times(case: dict[str, Any]) -> None:
    if case.get("refused"):
        with pytest.raises(CfgError):
            _native.parse_time(case["text"])
    else:
        assert _native.parse_time(case["text"]) == (case["millis"], case["shown"])


@pytest.mark.parametrize("case", cases("references.json"), ids=lambda case: case["text"])
def test_references(case: dict[str, Any]) -> None:
    if case.get("refused"):
        with pytest.raises(CfgError):
            _native.parse_reference(case["text"])
    else:
        kind, shown = _native.parse_reference(case["text"])
        assert shown == case["shown"]
        assert kind == case["kind"]
