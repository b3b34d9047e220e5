"""The package as it is installed: light to import, and its made files up to date."""

from __future__ import annotations

import ast
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

import cfg_engine as cfg
from cfg_engine import aio


def test_importing_loads_little() -> None:
    script = "import sys; before = set(sys.modules); import cfg_engine; print(*sorted(set(sys.modules) - before))"
    out = subprocess.run([sys.executable, "-S", "-c", script], capture_output=True, text=True, cwd="/", check=False)
    if out.returncode:  # without site-packages there is no package
        out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd="/", check=True)
    loaded = out.stdout.split()
    assert not {"asyncio", "typing", "datetime", "bson", "decimal", "uuid", "json", "re", "pandas"} & set(loaded), loaded
    assert len([name for name in loaded if not name.startswith("cfg_engine")]) < 10, loaded


def test_made_files_are_up_to_date() -> None:
    subprocess.run([sys.executable, str(ROOT / "python" / "tools" / "generate.py"), "--check"], check=True)


def test_it_is_typed() -> None:
    assert (Path(cfg.__file__).parent / "py.typed").exists()
    assert (Path(cfg.__file__).parent / "_native.pyi").exists()


def test_everything_public_is_documented() -> None:
    for name in cfg.__all__:
        assert inspect.getdoc(getattr(cfg, name)), name
    for name, method in inspect.getmembers(cfg.Project, inspect.isfunction):
        if not name.startswith("_"):
            assert method.__doc__, name


def test_the_twin_has_the_same_verbs() -> None:
    """Functions, methods, and their awaiting twins: the same names and the same options."""
    for name, method in inspect.getmembers(cfg.Project, inspect.isfunction):
        if name.startswith("_"):
            continue
        options = list(inspect.signature(method).parameters)[1:]
        assert list(inspect.signature(getattr(aio.Project, name)).parameters)[1:] == options, name
        if name in ("about", "close"):
            continue
        for module in (cfg, aio):
            found = list(inspect.signature(getattr(module, name)).parameters)
            assert [p for p in found if p != "env"] == options, name
            assert "env" in found


VERBS_OF_THE_COMMAND = {
    # command: (function, options that a function cannot have, options under another name)
    "init": ("init loosen", {"loosen", "database", "path", "uri", "db", "table", "id-field", "shape", "doc-column"}, {}),
    "import": ("import_", set(), {}),
    "status": ("status", set(), {}),
    "get": ("get", {"file-form"}, {}),
    "show": ("show", set(), {}),
    "log": ("log", {"all", "oneline"}, {}),
    "diff": ("diff", {"stat", "html"}, {}),
    "set": ("set", {"commit", "secret"}, {}),
    "commit": ("commit", {"all", "from"}, {}),
    "apply-doc": ("apply_doc", {"from"}, {}),
    "restore": ("restore restore_all resume", {"secret", "preview", "pick"}, {"except": "except_", "resume": "token"}),
    "undo": ("undo", set(), {}),
    "activate": ("activate", set(), {}),
    "blame": ("blame", set(), {}),
    "points": ("points", set(), {"window": "window_ms"}),
    "tag": ("tag", set(), {}),
    "adopt": ("adopt", set(), {}),
    "rm": ("rm", set(), {}),
    "export": ("export", set(), {}),
    "fsck": ("fsck", set(), {}),
    "redact": ("redact", set(), {}),
    "secrets": ("secrets_scan", set(), {}),
}


@pytest.mark.parametrize("verb", VERBS_OF_THE_COMMAND)
def test_options_are_named_as_on_the_command_line(verb: str) -> None:
    source = {"apply-doc": "commit"}.get(verb, verb)
    path = ROOT / "cfg-engine" / "cli" / "src" / "verbs" / f"{source}.rs"
    text = path.read_text()
    function, others, renamed = VERBS_OF_THE_COMMAND[verb]
    structs = re.findall(r"struct (\w+) \{(.*?)\n\}", text, re.S)
    wanted = []
    for name, body in structs:
        if verb == "commit" and name == "ApplyDocArgs" or verb == "apply-doc" and name == "Args":
            continue
        for attributes, field in re.findall(r"#\[arg\(([^\]]*)\)\]\s*(?:pub\(crate\) )?(\w+):", body):
            if "long" in attributes:
                long = re.search(r'long = "([\w-]+)"', attributes)
                wanted.append(long[1] if long else field.replace("_", "-"))
    found = {name for one in function.split() for name in inspect.signature(getattr(cfg, one)).parameters}
    for option in set(wanted) - others:
        assert renamed.get(option, option.replace("-", "_")) in found, f"cfg {verb} has --{option}"
    if verb not in ("init", "status", "get", "show", "log", "diff", "export", "blame", "points", "fsck", "secrets"):
        assert {"message", "author", "approval", "idempotency_key", "dry_run", "allow_secret"} <= found


def test_sources_parse_on_the_oldest_python() -> None:
    for path in (ROOT / "python" / "cfg_engine").rglob("*.py"):
        ast.parse(path.read_text(), feature_version=(3, 10))


@pytest.mark.skipif(not os.environ.get("CFG_TEST_SPEED"), reason="set CFG_TEST_SPEED on an idle machine")
def test_speed() -> None:
    command = [sys.executable, str(ROOT / "python" / "benches" / "speed.py"), "--check"]
    subprocess.run(command, check=True, cwd="/")
