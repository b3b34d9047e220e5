"""Makes the waiting half of the package from the awaiting one, and the functions from the methods.

    python tools/generate.py            write the files
    python tools/generate.py --check    fail if they are not up to date
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "cfg_engine"
SOURCE = PACKAGE / "_async_project.py"

WORDS = [
    ("async def ", "def "),
    ("async for ", "for "),
    ("await ", ""),
    ("__aenter__", "__enter__"),
    ("__aexit__", "__exit__"),
    ("__aiter__", "__iter__"),
    ("__anext__", "__next__"),
    ("StopAsyncIteration", "StopIteration"),
    ("AsyncCalls", "SyncCalls"),
]

# Not verbs: what a project has as an object.
METHODS_ONLY = {"close", "about"}


def waiting() -> str:
    text = SOURCE.read_text()
    header, body = text.split('"""\n', 1)
    for old, new in WORDS:
        body = body.replace(old, new)
    return (
        '"""A project and its verbs, waiting. Made from ``_async_project.py`` by ``tools/generate.py``."""\n'
        + body
    )


def argument(name: ast.arg, default: ast.expr | None) -> str:
    annotation = f": {ast.unparse(name.annotation)}" if name.annotation else ""
    value = f" = {ast.unparse(default)}" if default is not None else ""
    return f"{name.arg}{annotation}{value}"


def function(method: ast.FunctionDef | ast.AsyncFunctionDef, is_async: bool) -> str:
    args = method.args
    positional = args.args[1:]
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(args.defaults)) + list(args.defaults)
    parts = [argument(a, d) for a, d in zip(positional, defaults)]
    call = [a.arg for a in positional]
    if args.vararg:
        parts.append(f"*{argument(args.vararg, None)}")
        call.append(f"*{args.vararg.arg}")
    else:
        parts.append("*")
    for a, d in zip(args.kwonlyargs, args.kw_defaults):
        parts.append(argument(a, d))
        call.append(f"{a.arg}={a.arg}")
    parts.append("env: str | None = None")
    if args.kwarg:
        parts.append(f"**{argument(args.kwarg, None)}")
        call.append(f"**{args.kwarg.arg}")
    is_overload = any(isinstance(d, ast.Name) and d.id == "overload" for d in method.decorator_list)
    word = "async def" if is_async else "def"
    returns = ast.unparse(method.returns) if method.returns else "None"
    lines = ["@overload"] if is_overload else []
    lines.append(f"{word} {method.name}(\n    " + ",\n    ".join(parts) + f",\n) -> {returns}:")
    if is_overload:
        lines[-1] += " ..."
        return "\n".join(lines) + "\n"
    doc = ast.get_docstring(method, clean=False) or ""
    lines.append(f'    """{doc}"""'.replace("\n    ", "\n"))
    wait = "await " if is_async else ""
    lines.append(f"    return {wait}_default.project(env).{method.name}({', '.join(call)})")
    return "\n".join(lines) + "\n"


def verbs(is_async: bool) -> str:
    tree = ast.parse(SOURCE.read_text())
    project = next(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "Project")
    module, default = ("_async_project", "_async_default") if is_async else ("_project", "_default")
    out = [
        f'"""The verbs on the project that is found from the current folder. Made by ``tools/generate.py``."""\n',
        "from __future__ import annotations\n",
        f"from . import {default} as _default\n" if default != "_default" else "from . import _default\n",
        "TYPE_CHECKING = False\nif TYPE_CHECKING:\n"
        "    import os\n"
        "    from collections.abc import Iterable, Mapping, Sequence\n"
        "    from typing import Any, overload\n\n"
        "    from ._calls import Progress\n"
        f"    from .{module} import AsOf, Batch, Document, Edit, History, Moment\n"
        "    from ._results import Change, Diff, DiffReport, Entry, FsckReport, InitReport, Log, RedactReport, Report\n"
        "    from ._results import RestoreReport, Rows, SecretReport, Status, TagReport\n"
        "else:\n\n"
        "    def overload(function):\n        return function\n",
    ]
    names: list[str] = []
    overloaded: set[str] = set()
    for node in project.body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or node.name.startswith("_"):
            continue
        if node.name in METHODS_ONLY:
            continue
        out.append("")
        text = function(node, is_async and isinstance(node, ast.AsyncFunctionDef))
        if node.name in overloaded and not text.startswith("@overload"):
            # What each form gives stands in the overloads.
            text = re.sub(r"\) -> [^:]*:", ") -> Any:", text, count=1)
        out.append(text)
        if text.startswith("@overload"):
            overloaded.add(node.name)
        if node.name not in names:
            names.append(node.name)
    listed = "".join(f'    "{name}",\n' for name in sorted(names))
    out.insert(3, f"__all__ = [\n{listed}]\n")
    return "\n".join(out)


def main() -> int:
    made = {
        PACKAGE / "_project.py": waiting(),
        PACKAGE / "_verbs.py": verbs(False),
        PACKAGE / "_async_verbs.py": verbs(True),
    }
    if "--check" in sys.argv[1:]:
        stale = [path.name for path, text in made.items() if not path.exists() or path.read_text() != text]
        if stale:
            print(f"not up to date: {', '.join(stale)}; run: python python/tools/generate.py")
        return 1 if stale else 0
    for path, text in made.items():
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
